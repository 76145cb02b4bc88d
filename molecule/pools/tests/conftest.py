# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook as a process over the hosts with pools, each with declarations of its own."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import scenario

PORTS = {"api": 8080, "tight": 8081, "loose": 8082, "stuck": 8083}


@dataclass(frozen=True)
class Run:
    reports: Path
    hosts: dict[str, dict[str, Any]]
    verdict: str

    def of(self, check: str, host: str) -> dict[str, dict[str, Any]]:
        """The results of a check on a host, by subject."""
        return {line["subject"]: line for line in self.hosts[host]["results"] if line["id"] == f"databases.{check}"}


@pytest.fixture(scope="session")
def preflight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``preflight(["pool-db"], ["api"])``: these services on these hosts, in the profile standard."""

    def run(hosts: list[str], services: list[str], inventory: str = "", **variables: Any) -> Run:
        reports = tmp_path_factory.mktemp("reports")
        extra = {
            "preflight_checks": ["databases.*", "goroutines.*"],
            "preflight_services": [{"name": name, "unit": f"{name}.service", "metrics": f"http://127.0.0.1:{PORTS[name]}/metrics",
                                    "pprof": f"http://127.0.0.1:{PORTS[name] - 1000}"} for name in services],
            "preflight_databases": [{"name": "orders", "url": "postgres://shop@pool-db:5432/orders", "services": services}],
            "preflight_credentials": {"orders": {"username": "shop", "password": "sells-things"}}, **variables}
        more = ["-i", inventory] if inventory else []
        _rc, output, document = scenario.preflight(reports, *more, "--limit", ",".join(hosts), **extra)
        assert document, output[-4000:]
        scenario.hidden("sells-things", output, reports)
        return Run(reports, {row["name"]: row for row in document["hosts"]}, document["verdict"])

    return run


@pytest.fixture(scope="session")
def server() -> Callable[[str], Any]:
    return scenario.connect


@pytest.fixture
def running(server: Callable[[str], Any]) -> Callable[..., contextlib.AbstractContextManager[None]]:
    """``with running("pool-peer", "tight", rps=30)``: a service, and a load on it from outside of its unit."""

    @contextlib.contextmanager
    def run(host: str, service: str, rps: int = 0) -> Iterator[None]:
        one = server(host)
        orders = f"http://127.0.0.1:{PORTS[service]}/order"
        load = f"systemd-run --unit=load-{service} --collect shop load -rps {rps} -for 600 -timeout 60s {orders}"
        listens = f"ss -Hltn 'sport = :{PORTS[service]}'"
        try:
            one.run_expect([0], f"systemctl start {service}")
            scenario.wait_until(lambda: one.check_output(listens), f"{service} listens")
            if rps:
                one.run_expect([0], load)
                time.sleep(4)  # until orders wait for each other as they will go on to
            yield
            if rps:
                one.run_expect([0], f"systemctl is-active load-{service}")
        finally:
            one.run(f"systemctl stop load-{service}")
            if service != "api":
                one.run_expect([0], f"systemctl stop {service}")

    return run
