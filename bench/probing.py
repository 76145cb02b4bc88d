# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to really try what a host is meant to do::

    python bench/probing.py                              # a table, then JSON; about ten minutes
    python bench/probing.py --counts 1 --rounds 1        # a quick look

Test hosts (tests/lab), each with a Go toolchain, the lab's own Go service and an endpoint that it depends on. In turns:
``ansible-playbook preflight.yml`` with the profiles ``quick``, ``standard`` without the build, and ``standard``, on one host and on
ten; and one cold ``go build`` of a program that prints a line, with caches of its own, on the first host. Then the parts' own times
(``timings`` of the facts).

The target: standard without the build takes at most one and a half times as long as quick, and the seconds that are watched. All
hosts share this machine's CPUs, so that the figures of ten hosts are the upper end.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.goready.preflight.bench.runtime_overhead import BIN, ROOT, run
from ansible_collections.goready.preflight.plugins.plugin_utils.probing import Network

SET = "benchprobing"
SERVICE, PPROF = 8090, 6060
VERSION = "1.27.3"
PARTS = ("connections", "sample", "pools", "wall", "databases", "timeouts", "proxies", "build")
VARIABLES: dict[str, Any] = {
    "preflight_toolchain": "required",
    "preflight_services": [{
        "name": "bench", "pprof": f"http://127.0.0.1:{PPROF}", "health": f"http://127.0.0.1:{SERVICE}/healthz",
        "metrics": f"http://127.0.0.1:{SERVICE}/metrics", "depends_on": [f"http://localhost:{SERVICE}/"]}],
    # A test host has no module proxy; what asks one is measured by the tests.
    "preflight_skip_checks": ["modules.proxy_*", "modules.download"],
}
WAYS: dict[str, dict[str, Any]] = {
    "quick": {"preflight_profile": "quick"},
    "standard_without_build": {"preflight_skip_checks": [*VARIABLES["preflight_skip_checks"], *(
        f"toolchain.{name}" for name in ("build", "vet", "test", "fmt", "static_build", "cross_build", "cgo"))]},
    "standard": {},
}
#: Cold: nothing is kept from one build to the next.
BUILD = """set -e; d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
printf 'module example.org/hello\\n\\ngo 1.21\\n' > go.mod
printf 'package main\\n\\nimport "fmt"\\n\\nfunc main() { fmt.Println("hello") }\\n' > main.go
export HOME="$d" GOCACHE="$d/c" GOPATH="$d/p" GOTOOLCHAIN=local GOPROXY=off GOFLAGS=
a=$(date +%s%N); nice -n 19 /usr/local/go/bin/go build -o hello .; b=$(date +%s%N); ./hello > /dev/null; echo $(( (b - a) / 1000000 ))
"""


class Hosts:
    """Test hosts with a toolchain and a service each."""

    def __init__(self, folder: Path, count: int) -> None:
        lab = [sys.executable, str(ROOT / "tests/lab/lab.py")]
        self.folder, self.inventory = folder, folder / "hosts.yml"
        self.down = [*lab, "down", "--set", SET]
        run([*lab, "up", "--set", SET, "--count", str(count), "--prefix", "probed", "--inventory", str(self.inventory)])
        build = [sys.executable, str(ROOT / "tests/lab/build_service.py")]
        service = json.loads(run([*build, "build", "leaky-go1.27"]))["variants"]["leaky-go1.27"]
        archive = run([*build, "sdk", "--version", VERSION]).strip().splitlines()[-1]
        self.ansible("ansible.builtin.file", {"path": "/opt/bench", "state": "directory", "mode": "0755"})
        self.ansible("ansible.builtin.copy", {"src": service, "dest": "/opt/bench/service", "mode": "0755"})
        self.ansible("ansible.builtin.unarchive", {"src": archive, "dest": "/usr/local", "creates": "/usr/local/go/bin/go"})
        self.ansible("ansible.builtin.file", {"src": "/usr/local/go/bin/go", "dest": "/usr/local/bin/go", "state": "link"})
        self.ansible("ansible.builtin.command", {"argv": [
            "systemd-run", "--unit=bench", "/opt/bench/service", "-listen", f"127.0.0.1:{SERVICE}", "-pprof", f"127.0.0.1:{PPROF}"]})
        time.sleep(2)

    def ansible(self, module: str, arguments: dict[str, Any], limit: str = "all") -> str:
        return run([str(BIN / "ansible"), "-i", str(self.inventory), limit, "-m", module, "-a", json.dumps(arguments)])

    def verify(self, way: str, count: int) -> float:
        """Wall seconds of the playbook."""
        begin = time.monotonic()
        run([str(BIN / "ansible-playbook"), str(ROOT / "preflight.yml"), "-i", str(self.inventory), "--limit", f"all[0:{count - 1}]",
             "-e", f"preflight_report_dir={self.folder / 'reports'}", "-e", json.dumps({**VARIABLES, **WAYS[way]})], allowed=(0, 2))
        return time.monotonic() - begin

    def timings(self) -> dict[str, float]:
        """Seconds by part, the median of the last run's hosts."""
        runs = sorted((self.folder / "reports/runs").iterdir(), key=lambda one: one.stat().st_mtime)
        told = [json.loads(path.read_text())["facts"]["timings"] for path in (runs[-1] / "facts").glob("*.json")]
        return {part: round(statistics.median(one[part] for one in told) / 1000, 2) for part in PARTS if all(part in one for one in told)}

    def cold_build(self) -> float:
        """Seconds of one cold ``go build`` on the first host."""
        said = self.ansible("ansible.builtin.shell", {"cmd": BUILD}, "all[0]")
        return int(said.strip().splitlines()[-1]) / 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10], help="how many hosts")
    parser.add_argument("--rounds", type=int, default=3, help="how often; the median counts")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    window = Network().window
    figures: dict[str, Any] = {"window_s": window, "rounds": arguments.rounds}
    with tempfile.TemporaryDirectory(prefix="gp") as name:
        hosts = Hosts(Path(name), max(arguments.counts))
        try:
            for count in sorted(arguments.counts):
                walls: dict[str, list[float]] = {way: [] for way in WAYS}
                builds = []
                for _round in range(arguments.rounds):  # in turns, so that a slow minute hits all alike
                    for way in WAYS:
                        walls[way].append(hosts.verify(way, count))
                    if count == 1:
                        builds.append(hosts.cold_build())
                found = {way: round(statistics.median(values), 2) for way, values in walls.items()}
                allowed = 1.5 * found["quick"] + window
                figures[f"hosts_{count}"] = {
                    **{f"{way}_s": value for way, value in found.items()}, "parts_s": hosts.timings(), "allowed_s": round(allowed, 2),
                    "to_allowed": round(found["standard_without_build"] / allowed, 2)}
                if builds:
                    cold = statistics.median(builds)
                    figures[f"hosts_{count}"] |= {
                        "cold_go_build_s": round(cold, 2), "standard_to_cold_build": round(found["standard"] / cold, 2)}
                print(f"{count} hosts: {json.dumps(figures[f'hosts_{count}'])}", flush=True)
        finally:
            subprocess.run(hosts.down, check=False, stdout=subprocess.DEVNULL)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(any(one["to_allowed"] > 1 for key, one in figures.items() if key.startswith("hosts_")))


if __name__ == "__main__":
    sys.exit(main())
