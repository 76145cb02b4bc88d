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
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ.get("GOREADY_INVENTORY", str(ROOT / "molecule/default/inventory")).split(os.pathsep)
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
        extra = {"preflight_profile": "standard", "preflight_report_dir": str(reports), **variables}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "preflight.yml", *(word for path in INVENTORY for word in ("-i", path)),
             "--limit", APP, "--skip-tags", "preflight_gate", "-e", json.dumps(extra)],
            cwd=ROOT, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=600, check=False,
            env={**{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))},
                 "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0"},
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0, output[-4000:]
        (document,), (facts,) = (list(reports.glob(f"runs/*/{folder}/{APP}.json")) for folder in ("hosts", "facts"))
        if RECORD:
            # The same bytes for the same facts.
            (Path(RECORD) / f"{name}.json.gz").write_bytes(gzip.compress(facts.read_bytes(), mtime=0))
        return Run(output, time.monotonic() - since, json.loads(document.read_text()), json.loads(facts.read_text()))

    return run


@pytest.fixture(scope="session")
def connect() -> Callable[[str], Any]:
    """``connect("causes-app")`` -> a testinfra host over SSH."""
    hosts: dict[str, Any] = {}

    def to(name: str) -> Any:
        if name not in hosts:
            # testinfra takes one inventory.
            inventory = next(path for path in reversed(INVENTORY) if Path(path).exists())
            hosts[name] = testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory)
        return hosts[name]

    return to


@pytest.fixture(scope="session")
def planted(connect: Callable[[str], Any]) -> Callable[[str, str], AbstractContextManager[None]]:
    """``with planted("causes-dep", "slow-dns"):`` the cause is there; behind it, everything is as it was."""

    def change(host: str, *words: str) -> None:
        done = connect(host).run("/usr/bin/python3 /opt/causes.py" + " %s" * len(words), *words)
        assert done.rc == 0, done.stderr

    @contextmanager
    def cause(host: str, name: str) -> Iterator[None]:
        try:
            change(host, "plant", name)
            yield
        finally:
            change(host, "take-back")

    return cause
