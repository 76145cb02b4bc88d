# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook as a process, and sessions of a database that do what a test wants."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ.get("GOREADY_INVENTORY", str(ROOT / "molecule/default/inventory")).split(os.pathsep)
CHECKS = ["databases." + name for name in (
    "reachable", "connections", "idle_in_transaction", "lock_wait", "replication_lag", "memory")]


@dataclass(frozen=True)
class Run:
    output: str
    folder: Path
    report: dict[str, Any]

    def results(self, host: str, check: str = "") -> dict[str, dict[str, Any]]:
        """By subject (one check) or by check and subject."""
        assert self.report, self.output[-4000:]
        (row,) = (one for one in self.report["hosts"] if one["name"] == host)
        lines = [line for line in row["results"] if line["status"] != "notselected"]
        if check:
            return {line["subject"]: line for line in lines if line["id"] == f"databases.{check}"}
        return {f"{line['id'].split('.')[1]} {line['subject']}": line for line in lines}

    def text(self) -> str:
        """Everything that the run has written."""
        return self.output + "".join(path.read_text(errors="replace") for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def preflight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``preflight("store", preflight_databases=[...])`` as a user types it, in profile standard."""

    def run(limit: str, **variables: Any) -> Run:
        folder = tmp_path_factory.mktemp("reports")
        extra = {"preflight_profile": "standard", "preflight_report_dir": str(folder), "preflight_checks": CHECKS,
                 "preflight_skip_checks": [], "preflight_services": [], **variables}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "preflight.yml", *(word for path in INVENTORY for word in ("-i", path)),
             "--limit", limit, "--skip-tags", "preflight_gate", "-e", json.dumps(extra)],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=300, check=False,
            env={**{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))},
                 "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0"})
        path = folder / "report.json"
        return Run(done.stdout, folder, json.loads(path.read_text()) if path.exists() else {})

    return run


@pytest.fixture(scope="session")
def store() -> Any:
    inventory = next(path for path in reversed(INVENTORY) if Path(path).exists())
    return testinfra.get_host("ansible://store?force_ansible=true", ansible_inventory=inventory)


CLIENTS = {
    "postgres": "PGAPPNAME=api PGPASSWORD=app-word psql -X -q -h 127.0.0.1 -U app orders",
    "mariadb": "MYSQL_PWD=app-word mariadb --no-defaults -h 127.0.0.1 -u app shop",
}


@pytest.fixture
def session(store: Any) -> Iterator[Callable[[str, str], None]]:
    """``session("postgres", "begin; ...")``: a session of the service's user that says this and then stays, until the test ends."""
    begun: list[str] = []

    def begin(kind: str, sql: str, count: int = 1) -> None:
        script = f"for n in $(seq {count}); do (echo \"$1\"; sleep 300) | {CLIENTS[kind]} & done; wait"
        unit = f"session-{len(begun)}"
        done = store.run("systemd-run --quiet --collect --unit=%s sh -c %s sh %s", unit, script, sql)
        assert done.rc == 0, done.stderr
        begun.append(unit)

    yield begin
    for unit in begun:
        store.run("systemctl stop %s", unit)
