# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook as a process, and the hosts they ran on."""
from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import scenario

ACTION = ("build", "vet", "test", "fmt", "static_build", "cross_build", "cgo")
# The machine of the tests is busy, and a build is the last in its queue.
PATIENT = {"preflight_budget": 900, "preflight_build": {"timeout": 800}}


@dataclass(frozen=True)
class Run:
    rc: int
    output: str
    folder: Path
    report: dict[str, Any]

    def results(self, name: str) -> dict[tuple[str, str], dict[str, Any]]:
        """(check without its family, subject) -> result, of what was tried with a Go."""
        assert self.report, self.output[-4000:]
        host = next(row for row in self.report["hosts"] if row["name"] == name)
        return {(line["id"].split(".")[1], line["subject"]): line for line in host["results"]
                if line["id"].startswith("toolchain.") and line["id"].split(".")[1] in ACTION and line["status"] != "notselected"}

    def statuses(self, name: str, goroot: str) -> dict[str, str]:
        return {check: line["status"] for (check, subject), line in self.results(name).items() if subject == goroot}

    def toolchains(self, name: str) -> list[dict[str, Any]]:
        """What the run's facts have of the builds: docs/facts.md, build."""
        return list(scenario.facts(self.folder, name)["build"]["toolchains"])


def begin(reports: Path, *arguments: str, checks: tuple[str, ...] = ACTION, **variables: Any) -> subprocess.Popen[str]:
    extra = {"preflight_profile": "standard", "preflight_report_dir": str(reports), "preflight_toolchain": "required",
             "preflight_build_user": "ci", "preflight_checks": [f"toolchain.{name}" for name in checks], "preflight_skip_checks": [],
             **PATIENT, **variables}
    with reports.with_name(f"{reports.name}.out").open("w") as output:
        return subprocess.Popen(**{
            **scenario.command("preflight.yml", *arguments, "--skip-tags", "preflight_gate", **extra), "stdout": output})


def end(reports: Path, process: subprocess.Popen[str]) -> Run:
    try:
        process.wait(timeout=1800)
    finally:
        process.kill()
    return Run(process.returncode, reports.with_name(f"{reports.name}.out").read_text(), reports, scenario.report(reports))


@pytest.fixture(scope="session")
def preflight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``preflight("--limit", "builder", checks=("build",), preflight_build={...})`` as a user types it."""

    def run(*arguments: str, **variables: Any) -> Run:
        reports = tmp_path_factory.mktemp("reports")
        return end(reports, begin(reports, *arguments, **variables))

    return run


@pytest.fixture(scope="session", autouse=True)
def edge(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Callable[[], Run]]:
    """The run on the emulated host, which takes minutes: begun with the session, waited for when it is called."""
    if not any("emulated" in item.name for item in request.session.items):
        yield pytest.fail
        return
    reports = tmp_path_factory.mktemp("reports")
    # Twice what is the default, because the other tests run beside it.
    process = begin(reports, "--limit", "builder-edge", preflight_budget=120, preflight_build={"timeout": 120})
    try:
        yield lambda: end(reports, process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="session")
def connect() -> Callable[[str], Any]:
    """``connect("builder")`` -> a testinfra host over SSH, without Ansible: a test covers its /tmp."""
    return scenario.connect
