# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook as a process over the hosts with pools, each with declarations of its own."""
from __future__ import annotations

import contextlib
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
            "preflight_report_dir": str(reports), "preflight_checks": ["databases.*", "goroutines.*"],
            "preflight_services": [{"name": name, "unit": f"{name}.service", "metrics": f"http://127.0.0.1:{PORTS[name]}/metrics",
                                    "pprof": f"http://127.0.0.1:{PORTS[name] - 1000}"} for name in services],
            "preflight_databases": [{"name": "orders", "url": "postgres://shop@pool-db:5432/orders", "services": services}],
            "preflight_credentials": {"orders": {"username": "shop", "password": "sells-things"}}, **variables}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "preflight.yml",
             *(word for path in [*INVENTORY, *filter(None, [inventory])] for word in ("-i", path)),
             "--limit", ",".join(hosts), "--skip-tags", "preflight_gate", "-e", json.dumps(extra)],
            cwd=ROOT, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300, check=False,
            env={**{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))},
                 "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0"},
        )
        output = done.stdout + done.stderr
        assert (reports / "report.json").exists(), output[-4000:]
        assert "sells-things" not in output
        for path in reports.rglob("*"):
            assert not path.is_file() or b"sells-things" not in path.read_bytes(), path
        document = json.loads((reports / "report.json").read_text())
        return Run(reports, {row["name"]: row for row in document["hosts"]}, document["verdict"])

    return run


@pytest.fixture(scope="session")
def server() -> Callable[[str], Any]:
    inventory = next(path for path in reversed(INVENTORY) if Path(path).exists())
    return lambda name: testinfra.get_host(f"ansible://{name}?force_ansible=true", ansible_inventory=inventory)


@pytest.fixture
def running(server: Callable[[str], Any]) -> Callable[..., contextlib.AbstractContextManager[None]]:
    """``with running("pool-peer", "tight", rps=30)``: a service, and a load on it from outside of its unit."""

    @contextlib.contextmanager
    def run(host: str, service: str, rps: int = 0) -> Iterator[None]:
        one = server(host)
        load = f"systemd-run --unit=load-{service} --collect shop load -rps {rps} -for 120 -timeout 60s http://127.0.0.1:{PORTS[service]}/order"
        one.run_expect([0], f"systemctl start {service}")
        try:
            time.sleep(1)
            if rps:
                one.run_expect([0], load)
                time.sleep(4)
            yield
        finally:
            one.run(f"systemctl stop load-{service}")
            if service != "api":
                one.run_expect([0], f"systemctl stop {service}")

    return run
