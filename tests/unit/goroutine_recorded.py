# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of an endpoint made of what a real service sent (``fixtures/runtime/leaky``), by the collection's own parsers."""
from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import goroutines, profile

FOLDER = Path(__file__).parent / "fixtures/runtime/leaky"
MODULE = "example.test/leaky"
VERSIONS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
SECONDS = 3.0  # between two takes of a window


@cache
def truth(version: str, mode: str) -> Any:
    path = FOLDER / version / mode / "truth.json"
    return json.loads(path.read_text(encoding="utf-8"))


def _take(folder: Path, name: str, clock: float, groups: dict[str, Any], *, dump: bool) -> dict[str, Any]:
    found = goroutines.from_profile(profile.parse((folder / f"{name}.pb.gz").read_bytes()), MODULE)
    take: dict[str, Any] = {
        "phase": "idle", "at": f"2026-11-21T12:00:{int(clock - 1000):02d}+00:00", "clock": clock, "asked": [], "skipped": [],
        "goroutines": {"total": sum(one.count for one in found), "counts": {one.fingerprint: one.count for one in found}, "left_out": 0},
        "dump": None, "leaks": None}
    for one in found:
        groups.setdefault(one.fingerprint, one.facts())
    if dump:
        text = gzip.decompress((folder / f"{name}.debug2.txt.gz").read_bytes())
        told = goroutines.parse_dump([text], MODULE)
        for one in told.groups:
            known = groups.setdefault(one.fingerprint, one.facts())
            known["created_by"] = known["created_by"] or one.facts()["created_by"]
            known["wait"] = known["wait"] or one.wait
        take["dump"] = {"total": told.total, "complete": told.complete, "ids": told.ids, "minutes": told.minutes, "waits": told.waits}
    return take


def _entry(groups: dict[str, Any], takes: list[dict[str, Any]], version: str) -> dict[str, Any]:
    return {"service": "leaky", "container": None, "pid": 4711, "started": 990.0, "declared": True, "scheme": "http", "prefix": "",
            "listener": {"proto": "tcp", "address": "127.0.0.1", "port": 6060, "path": None}, "credentials": None,
            "go_version": version, "module": MODULE, "error": None, "restarted": None, "groups": groups, "takes": takes}


def window(version: str, mode: str, *, dump: bool = True) -> dict[str, Any]:
    """Three takes of a process in which every way leaks (``leaking``) or gives everything back (``twin``)."""
    groups: dict[str, Any] = {}
    takes = [_take(FOLDER / version / mode, f"goroutine-{number}", 1000 + SECONDS * number, groups, dump=dump) for number in (1, 2, 3)]
    return _entry(groups, takes, version)


def profiled(version: str) -> dict[str, Any]:
    """One take with the runtime's goroutineleak profile."""
    groups: dict[str, Any] = {}
    take = _take(FOLDER / version, "goroutine", 1020, groups, dump=True) | {"phase": "once"}
    found = goroutines.from_profile(profile.parse((FOLDER / version / "goroutineleak.pb.gz").read_bytes()), MODULE)
    for one in found:
        groups.setdefault(one.fingerprint, one.facts())
    take["leaks"] = {"available": True, "reason": None, "total": sum(one.count for one in found),
                     "counts": {one.fingerprint: one.count for one in found}}
    return _entry(groups, [take], version)
