# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook as a process over the host with the faulty servers, each with declarations of its own."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ.get("GOREADY_INVENTORY", str(ROOT / "molecule/default/inventory")).split(os.pathsep)
HOST = "connects"
CHECKS = ["network.dns", "network.endpoint", "network.endpoint_latency", "network.tls_expiry"]


@dataclass(frozen=True)
class Run:
    output: str
    seconds: float
    results: list[dict[str, Any]]
    facts: dict[str, Any]

    def of(self, check: str, subject: str) -> tuple[str, str, str]:
        """(status, severity, reason) of one result."""
        (line,) = (one for one in self.results if one["id"] == f"network.{check}" and one["subject"] == subject)
        return line["status"], line["severity"], line["reason"]

    def findings(self) -> list[str]:
        """What is not in order, as lines."""
        return [f"{line['id']} {line['subject']}: {line['reason']}" for line in self.results
                if line["status"] not in ("pass", "notapplicable", "notselected")]


@pytest.fixture(scope="session")
def preflight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``preflight(["http://..."], preflight_network={...})``: what one service depends on, in the profile standard."""

    def run(depends_on: list[str], health: str = "", **variables: Any) -> Run:
        reports = tmp_path_factory.mktemp("reports")
        service = {"name": "api", "depends_on": depends_on, **({"health": health} if health else {})}
        extra = {"preflight_profile": "standard", "preflight_report_dir": str(reports), "preflight_checks": CHECKS,
                 "preflight_services": [service], **variables}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "preflight.yml", *(word for path in INVENTORY for word in ("-i", path)),
             "--limit", HOST, "--skip-tags", "preflight_gate", "-e", json.dumps(extra)],
            cwd=ROOT, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300, check=False,
            env={**{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))},
                 "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0"},
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0, output[-4000:]
        assert "hunter2" not in output
        for path in reports.rglob("*"):
            assert not path.is_file() or b"hunter2" not in path.read_bytes(), path
        (row,) = json.loads((reports / "report.json").read_text())["hosts"]
        (path,) = reports.glob(f"runs/*/facts/{HOST}.json")
        facts = json.loads(path.read_text())
        facts = facts.get("facts", facts)
        return Run(output, facts["timings"]["connections"] / 1000, row["results"], facts["connections"])

    return run


@pytest.fixture(scope="session")
def host() -> Any:
    inventory = next(path for path in reversed(INVENTORY) if Path(path).exists())
    return testinfra.get_host(f"ansible://{HOST}?force_ansible=true", ansible_inventory=inventory)


@pytest.fixture
def nameservers(host: Any) -> Iterator[Callable[..., None]]:
    """``nameservers("127.0.0.154", "127.0.0.153", more="options ndots:5")``: the host's resolv.conf for one test."""

    def put(*servers: str, more: str = "") -> None:
        text = "".join(f"nameserver {one}\n" for one in servers) + more + "\n"
        done = host.run("sh -c %s sh %s", 'printf %s "$1" > /etc/resolv.conf', text)
        assert done.rc == 0, done.stderr
        time.sleep(0.1)

    yield put
    put("127.0.0.153")
