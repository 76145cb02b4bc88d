# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ansible-playbook the way a user does: in the clone, as a process."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Run:
    """What a run left: its exit status, its output, and the folder of its reports."""

    rc: int
    output: str
    reports: Path

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.reports / "report.json").read_text())

    def results(self, host: str, check: str) -> list[dict[str, Any]]:
        (row,) = [row for row in self.report["hosts"] if row["name"] == host]
        return [line for line in row["results"] if line["id"] == check]


@pytest.fixture
def playbook(tmp_path):
    """``playbook(variables, inventory=..., arguments=...)`` -> Run. Quick profile, two cheap checks, reports below tmp_path."""

    def run(variables: dict[str, Any] | None = None, *, inventory: str | None = None, arguments: list[str] | None = None,
            environment: dict[str, str] | None = None) -> Run:
        hosts = tmp_path / "hosts.yml"
        hosts.write_text(inventory or f"all: {{hosts: {{here: {{ansible_connection: local, "
                         f"ansible_python_interpreter: {sys.executable}}}}}}}")
        reports = tmp_path / "reports"
        extra = {"preflight_profile": "quick", "preflight_report_dir": str(reports), **(variables or {})}
        done = subprocess.run(
            [str(BIN / "ansible-playbook"), "preflight.yml", "-i", str(hosts), "-e", json.dumps(extra), *(arguments or [])],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", **(environment or {})}, stdin=subprocess.DEVNULL,
        )
        return Run(done.returncode, done.stdout, reports)

    return run
