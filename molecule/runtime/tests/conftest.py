# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook as a process, the hosts they ran on, and what the services there say of themselves."""
from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import scenario

# What a run of these tests is about; the other families are tested elsewhere.
CHECKS = ["goroutines.*", "memory.*", "pprof.*"]
INSIDE = ("goroutines", "memory")


@dataclass(frozen=True)
class Run:
    rc: int
    output: str
    seconds: float
    folder: Path
    report: dict[str, Any]

    def host(self, name: str) -> dict[str, Any]:
        assert self.report, self.output[-4000:]
        return next(row for row in self.report["hosts"] if row["name"] == name)

    def results(self, name: str, *families: str) -> list[dict[str, Any]]:
        return [line for line in self.host(name)["results"] if line["id"].split(".")[0] in families]

    def of(self, name: str, service: str, check: str) -> list[dict[str, Any]]:
        """The results of one check about a service, whatever else their subject names."""
        family = check.split(".", maxsplit=1)[0]
        return [line for line in self.results(name, family)
                if line["id"] == check and (line["subject"] == service or line["subject"].startswith(f"{service} "))]

    def runtime(self, name: str) -> dict[str, Any]:
        """What the run's facts have of the Go runtimes on a host: docs/facts.md, runtime."""
        assert self.report, self.output[-4000:]
        return dict(scenario.facts(self.folder, name)["runtime"])

    def endpoint(self, name: str, service: str) -> dict[str, Any]:
        """The only endpoint of a service."""
        (endpoint,) = (one for one in self.runtime(name)["endpoints"] if one["service"] == service)
        return endpoint

    def profiles(self, name: str) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*.pb.gz") if name in path.parts)


def said(reports: Path) -> Path:
    """What a run wrote to the terminal, while it runs too."""
    return reports.with_name(f"{reports.name}.out")


def begin(reports: Path, *arguments: str, profile: str = "deep", **variables: Any) -> subprocess.Popen[str]:
    extra = {"preflight_profile": profile, "preflight_report_dir": str(reports), "preflight_checks": CHECKS, **variables}
    with said(reports).open("w") as output:
        return subprocess.Popen(**{
            **scenario.command("preflight.yml", *arguments, "--skip-tags", "preflight_gate", **extra), "stdout": output})


def end(process: subprocess.Popen[str], reports: Path, since: float) -> Run:
    process.wait(timeout=900)
    return Run(process.returncode, said(reports).read_text(), time.monotonic() - since, reports, scenario.report(reports))


@pytest.fixture(scope="session")
def preflight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``preflight("--limit", "leaks", preflight_runtime={...})`` as a user types it; the whole of ``deep`` by default."""

    def run(*arguments: str, **variables: Any) -> Run:
        reports, since = tmp_path_factory.mktemp("reports"), time.monotonic()
        return end(begin(reports, *arguments, **variables), reports, since)

    return run


@pytest.fixture(scope="session")
def connect() -> Callable[[str], Any]:
    """``connect("leaks")`` -> a testinfra host over SSH."""
    return scenario.connect


@pytest.fixture(scope="session")
def ask(connect: Callable[[str], Any]) -> Callable[..., Any]:
    """``ask("leaks", 8127, "truth")`` -> JSON or text of a service's own page; a POST with ``post=True``."""

    def of(name: str, port: int, page: str, *, post: bool = False) -> Any:
        code = ("import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], data=b'' if sys.argv[2] else None, timeout=30)"
                ".read().decode())")
        # Python and no curl: every host that Ansible reaches has it.
        done = connect(name).run("/usr/bin/python3 -c %s %s %s", code, f"http://127.0.0.1:{port}/{page}", "1" if post else "")
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout

    return of


@pytest.fixture(scope="session")
def only(connect: Callable[[str], Any]) -> Callable[..., None]:
    """``only("leaks", "go121")``: of the planted services these run, begun anew, and no others."""

    def services(name: str, *wanted: str) -> None:
        # One connection for all: stop the others; several restarts in one test are no reason for systemd to refuse the next.
        script = """stop=; for path in /opt/*/; do one=$(basename "$path"); case " $* " in *" $one "*) ;; *) stop="$stop $one" ;; esac; done
if [ -n "$stop" ]; then systemctl stop $stop || exit; fi
if [ $# -gt 0 ]; then systemctl reset-failed "$@"; systemctl restart "$@"; fi"""
        done = connect(name).run("sh -c %s sh" + " %s" * len(wanted), script, *wanted)
        assert done.rc == 0, done.stderr

    return services
