# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbooks as a process, and the hosts they ran on."""
from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import scenario

HOSTS = ("mend", "mend-edge")


@dataclass(frozen=True)
class Run:
    rc: int
    output: str
    report: dict[str, Any]

    def host(self, name: str) -> dict[str, Any]:
        return next(row for row in self.report["hosts"] if row["name"] == name)

    def outcomes(self, name: str, *wanted: str) -> set[tuple[str, str]]:
        """(check, subject) of a host's items with one of the outcomes."""
        return {(item["check"], item["subject"]) for item in self.host(name)["remediation"] if item["outcome"] in wanted}

    def why(self, name: str) -> dict[str, str]:
        """The sentence of every item, by check."""
        return {item["check"]: item["why"] for item in self.host(name)["remediation"]}

    def changes(self, name: str) -> list[tuple[str, str]]:
        return [(change["path"], change["action"]) for change in self.host(name)["changes"]]


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``play("remediate", "--check", preflight_consent=["restart"])`` as a user types it."""

    def run(name: str, *arguments: str, limit: str = ",".join(HOSTS), **variables: Any) -> Run:
        reports = tmp_path_factory.mktemp("reports")
        process = begin(name, *arguments, limit=limit, **{"preflight_report_dir": str(reports), **variables})
        output, _nothing = process.communicate(timeout=900)
        return Run(process.returncode, output, scenario.report(reports))

    return run


def begin(name: str, *arguments: str, limit: str, **variables: Any) -> subprocess.Popen[str]:
    """The same as a process of its own session, to be waited for or killed."""
    limits = ["--limit", limit] if limit else []
    return subprocess.Popen(**scenario.command(f"{name}.yml", *limits, *arguments, **variables), start_new_session=True)


@pytest.fixture(scope="session")
def connect() -> Callable[[str], Any]:
    """``connect("mend")`` -> a testinfra host over SSH."""
    return scenario.connect


@pytest.fixture(scope="session")
def snapshot(connect: Callable[[str], Any]) -> Callable[[str], list[str]]:
    """Everything that remediation could leave behind: files with content, mode and owner, units, the packet filter."""

    def take(name: str) -> list[str]:
        places = "/etc /opt /usr/local /root /home /var/lib/goready-preflight"
        done = connect(name).run(
            f"find {places} -xdev -path /root/.ansible -prune -o -type f -print0 2>/dev/null | sort -z | xargs -0 sha256sum; "
            f"find {places} -xdev -path /root/.ansible -prune -o -printf '%p %y %m %u %g %l\\n' 2>/dev/null | grep -v '^/root d' | sort; "
            "systemctl list-unit-files --no-legend | sort; nft --stateless list ruleset")
        assert len(done.stdout.splitlines()) > 300, done.stderr
        return list(done.stdout.splitlines())

    return take
