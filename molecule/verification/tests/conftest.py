# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What converge left, and runs of the playbook as a process."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import scenario

REPORTS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "reports"


@pytest.fixture(scope="session")
def report() -> dict[str, Any]:
    """The report of the converge run."""
    return scenario.report(REPORTS)


@pytest.fixture(scope="session")
def rows(report) -> dict[str, dict[str, Any]]:
    """``{host: row}`` of that report."""
    return {row["name"]: row for row in report["hosts"]}


@pytest.fixture
def connect():
    """``connect("ready")`` -> a testinfra host over SSH."""
    return scenario.connect


@pytest.fixture
def preflight(tmp_path):
    """Runs the playbook like a user and gives (exit status, output, report)."""

    def run(*arguments: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
        extra = {"preflight_report_dir": str(tmp_path), **variables}
        done = subprocess.run(**scenario.command("preflight.yml", *arguments, **extra), timeout=600, check=False)
        return done.returncode, done.stdout, scenario.report(tmp_path)

    return run


def found(row: dict[str, Any], *statuses: str) -> set[tuple[str, str]]:
    """(check, subject) of a host's results with one of the statuses."""
    return {(line["id"], line["subject"]) for line in row["results"] if line["status"] in statuses}
