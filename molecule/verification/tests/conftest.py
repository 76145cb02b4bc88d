# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What converge left, and runs of the playbook as a process."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = ROOT / "molecule/default/inventory"
REPORTS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "reports"


@pytest.fixture(scope="session")
def report() -> dict[str, Any]:
    """The report of the converge run."""
    return json.loads((REPORTS / "report.json").read_text())


@pytest.fixture(scope="session")
def rows(report) -> dict[str, dict[str, Any]]:
    """``{host: row}`` of that report."""
    return {row["name"]: row for row in report["hosts"]}


@pytest.fixture
def connect():
    """``connect("ready")`` -> a testinfra host over SSH."""
    return lambda name: testinfra.get_host(f"ansible://{name}?force_ansible=true", ansible_inventory=str(INVENTORY))


@pytest.fixture
def preflight(tmp_path):
    """Runs the playbook like a user and gives (exit status, output, report)."""

    def run(*arguments: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
        extra = {"preflight_report_dir": str(tmp_path), **variables}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "preflight.yml", "-i", str(INVENTORY), *arguments,
             "-e", json.dumps(extra)],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False, stdin=subprocess.DEVNULL,
            env={**{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))},
                 "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0"},
        )
        path = tmp_path / "report.json"
        return done.returncode, done.stdout, json.loads(path.read_text()) if path.exists() else {}

    return run


def found(row: dict[str, Any], *statuses: str) -> set[tuple[str, str]]:
    """(check, subject) of a host's results with one of the statuses."""
    return {(line["id"], line["subject"]) for line in row["results"] if line["status"] in statuses}
