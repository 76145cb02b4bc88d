# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook as a process over one host, with and without a cause of slow requests planted.

With GOREADY_RECORD=tests/unit/fixtures/explanation the facts of each run are kept there, for the unit tests.
"""
from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import scenario

RECORD = os.environ.get("GOREADY_RECORD")
APP, DEPENDENCY = "causes-app", "causes-dep"


@dataclass(frozen=True)
class Run:
    """``document``: the host's document of the run, ``facts``: the file that a replay reads."""

    output: str
    seconds: float
    document: dict[str, Any]
    facts: dict[str, Any]

    def failed(self) -> dict[tuple[str, str], str]:
        """{(check, subject): reason} of what fails or breaks."""
        return {(line["id"], line["subject"]): line["reason"] for line in self.document["results"] if line["status"] in ("fail", "error")}

    def explanation(self, service: str = "shop") -> dict[str, Any]:
        (one,) = (line for line in self.document["services"] if line["name"] == service)
        found: dict[str, Any] = one["explanation"]
        return found


@pytest.fixture(scope="session")
def preflight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``preflight("pool", preflight_checks=[...])`` over the host with the service, as a user types it; the name is the recording's."""

    def run(name: str, **variables: Any) -> Run:
        reports, since = tmp_path_factory.mktemp("reports"), time.monotonic()
        rc, output, _report = scenario.preflight(reports, "--limit", APP, **{"preflight_profile": "standard", **variables})
        assert rc == 0, output[-4000:]
        (document,), (facts,) = (list(reports.glob(f"runs/*/{folder}/{APP}.json")) for folder in ("hosts", "facts"))
        if RECORD:
            # The same bytes for the same facts.
            (Path(RECORD) / f"{name}.json.gz").write_bytes(gzip.compress(facts.read_bytes(), mtime=0))
        return Run(output, time.monotonic() - since, json.loads(document.read_text()), json.loads(facts.read_text()))

    return run


@pytest.fixture(scope="session")
def plant() -> Iterator[Callable[..., None]]:
    """``plant("causes-dep", "slow-dns")``: the cause is there, and it alone, whatever a test before has left. ``plant()``: none is."""

    def change(host: str, *words: str) -> None:
        done = scenario.connect(host).run("/usr/bin/python3 /opt/causes.py" + " %s" * len(words), *words)
        assert done.rc == 0, f"{host}: {words}: {done.stdout}{done.stderr}"

    def cause(host: str = "", name: str = "") -> None:
        # The service last: what it asked of a dependency that was at fault may hang for two minutes.
        change(DEPENDENCY, "take-back")
        change(APP, "take-back")
        if name:
            change(host, "plant", name)

    yield cause
    cause()
