# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook as a process over the host with the faulty servers, each with declarations of its own."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import scenario

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
        extra = {"preflight_profile": "standard", "preflight_checks": CHECKS, "preflight_services": [service], **variables}
        rc, output, report = scenario.preflight(reports, "--limit", HOST, **extra)
        assert rc == 0, output[-4000:]
        scenario.hidden("hunter2", output, reports)
        (row,) = report["hosts"]
        facts = scenario.facts(reports, HOST)
        return Run(output, facts["timings"]["connections"] / 1000, row["results"], facts["connections"])

    return run


@pytest.fixture(scope="session")
def host() -> Any:
    return scenario.connect(HOST)


@pytest.fixture
def nameservers(host: Any) -> Iterator[Callable[..., None]]:
    """``nameservers("127.0.0.154", "127.0.0.153", more="options ndots:5")``: the host's resolv.conf for one test."""

    def put(*servers: str, more: str = "") -> None:
        text = "".join(f"nameserver {one}\n" for one in servers) + more + "\n"
        done = host.run("sh -c %s sh %s", 'printf %s "$1" > /etc/resolv.conf', text)
        assert done.rc == 0, done.stderr

    yield put
    put("127.0.0.153")
