# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a run: where they lie, what one host's document holds, and how they are written.

``RUN/run.json``, ``RUN/hosts/<name>.json`` (results) and ``RUN/facts/<name>.json`` (facts and policy: a replay's input).
Every file is written beside its final name and renamed, so that a reader sees the old or the new one, never half.
"""
from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible_collections.goready.preflight.plugins.module_utils import redact
from ansible_collections.goready.preflight.plugins.plugin_utils.catalogue import FAMILIES
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Facts, Result, lookup, verdict
from ansible_collections.goready.preflight.plugins.plugin_utils.policy import Rules

FORMAT = 1


def file_name(host: str) -> str:
    """A file name for an inventory name, which may hold anything (slashes, dots, brackets). Distinct names stay so."""
    name = quote(host, safe="-_.@")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > 200:  # a file's name may have 255 bytes
        name = f"{name[:160]}~{hashlib.sha256(host.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return f"{name}.json"


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """Write JSON atomically: a temporary file in the same folder, then a rename. OSError as the file system raises it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
            json.dump(value, stream, ensure_ascii=False, separators=(",", ":"), default=str)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def document(*, name: str, started: str, ended: str, duration_ms: int, rules: Rules | None, facts: Facts | None,
             results: Iterable[Result], error: str | None, reachable: bool) -> dict[str, Any]:
    """One host's document, what ``report`` reads. Without facts (``error`` says why) the verdict is ``inconclusive``."""
    lines = list(results)
    gate = rules.policy.gate if rules else "high"
    return {
        "format": FORMAT,
        "name": name,
        "reachable": reachable,
        "verdict": verdict(lines, gate) if error is None else "inconclusive",
        "gate": gate,
        "platform": _platform(facts or {}),
        "services": [_service(service) for service in lookup(facts or {}, "services.services") or []],
        "results": [line.as_dict() for line in lines],
        "checks": {
            check_id: one.as_dict() for check_id, one in (rules.checks if rules else {}).items()
            if one.family not in FAMILIES or "custom" in one.tags
        },
        "waivers": _waivers(rules, lines) if rules else [],
        "duration_ms": duration_ms,
        "error": error,
        "started": started,
        "ended": ended,
    }


def counts(results: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many results of each status."""
    return dict(Counter(result["status"] for result in results))


def replayable(facts: Facts, rules: Rules) -> dict[str, Any]:
    """What ``replay`` needs: the facts and the policy's own variables, credentials in URLs redacted."""
    return {
        "format": FORMAT,
        "policy": {
            "hostname": rules.policy.hostname, "groups": list(rules.policy.groups),
            "now": rules.policy.now.isoformat(), "variables": redacted(rules.variables),
        },
        "facts": facts,
    }


def redacted(value: Any, name: str = "") -> Any:
    """The same value with the credentials in its strings hidden: inventories carry them in URLs and probe headers."""
    if isinstance(value, Mapping):
        return {str(key): redacted(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if all(isinstance(item, str) for item in value):
            return redact.redact_argv([str(item) for item in value])  # a command line: an option hides the next word
        return [redacted(item) for item in value]
    return redact.redact_value(name, str(value)) if isinstance(value, str) else value


def _platform(facts: Facts) -> dict[str, Any]:
    return {
        "os": lookup(facts, "host.os.id"),
        "version": lookup(facts, "host.os.version_id"),
        "arch": lookup(facts, "host.machine"),
        "goarch": lookup(facts, "host.goarch"),
        "kernel": lookup(facts, "host.kernel"),
    }


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    processes = service.get("processes") or []
    running = next((process["running"] for process in processes if process.get("running")), service.get("binary")) or {}
    buildinfo = running.get("buildinfo") or {}
    properties = service.get("properties") or {}
    listeners = {
        f"unix {listener['path']}" if listener["proto"] == "unix" else
        f"{listener['proto']} {'[%s]' % listener['address'] if ':' in str(listener['address']) else listener['address']}"
        f":{listener['port']}"
        for process in processes for listener in process.get("listeners") or []
    }
    return {
        "name": service["name"],
        "unit": service.get("unit"),
        "declared": bool(service.get("declared")),
        "state": properties.get("ActiveState") or ("running" if processes else None),
        "pids": [process["pid"] for process in processes],
        "go_version": buildinfo.get("go_version"),
        "revision": (buildinfo.get("settings") or {}).get("vcs.revision"),
        "listeners": sorted(listeners),
        "container": service.get("container"),
    }


def _waivers(rules: Rules, results: list[Result]) -> list[dict[str, Any]]:
    lines = []
    for waiver in rules.policy.waivers:
        used = sum(
            1 for result in results
            if result.status in ("fail", "error", "unknown") and waiver.matches(result, rules.policy)
        )
        expired = waiver.expires <= rules.policy.now
        lines.append({**waiver.as_dict(), "state": "expired" if expired else "active" if used else "unused", "results": used})
    return lines
