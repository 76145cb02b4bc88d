# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verification costs the service that is looked into, and what the profiles cost beside each other::

    python bench/runtime_overhead.py                          # a table, then JSON; about ten minutes
    python bench/runtime_overhead.py --rounds 1 --seconds 5 --deep 0   # a quick look

On a test host (tests/lab) runs the lab's own Go service with 1,000 parked goroutines. On the host itself a load asks it over
kept connections, once as fast as the answers come (requests a second) and once at a steady rate (the 99th percentile, counted from
the moment at which a request was due), in turns: without any verification; with one call of ``readiness_facts`` as profile
``standard`` makes it every ten seconds; with such calls one after the other; with those of profile ``quick`` one after the other,
which ask for no profile and cost the host the same otherwise. What is called is the very file that Ansible sends to a host.
Service, load and verification share the machine's CPUs, so that the ratios are the upper end.

Then ``ansible-playbook preflight.yml`` against that host, in turns with the profiles ``quick`` and ``standard``, and ``deep`` with
its defaults: what it takes beyond the waits between its looks and the CPU profile.
"""
from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SET = "benchruntime"
SERVICE, PPROF = 8090, 6060
PAGE = "/work?ms=2&kb=16"  # an answer that waits for 2 ms and needs 16 KiB
CONNECTIONS = 8
# The profile, and the seconds between the begins of two calls: None is no call at all.
WAYS: dict[str, tuple[str, float | None]] = {
    "none": ("quick", None), "quick_back_to_back": ("quick", 0.0), "standard_every_10_s": ("standard", 10.0),
    "standard_back_to_back": ("standard", 0.0),
}
DEADLINE = 900


# On the host: nothing but Python's standard library.

def asked(seconds: float, rate: float) -> dict[str, float]:
    """Answers a second, and the median and 99th percentile of the waits in milliseconds. Rate 0: as fast as they come."""
    begin = time.monotonic()
    waits: list[list[float]] = [[] for _number in range(CONNECTIONS)]
    errors = [0] * CONNECTIONS

    def worker(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", SERVICE, timeout=10)
        turn = number
        while time.monotonic() - begin < seconds:
            due = time.monotonic()
            if rate:
                due = begin + turn / rate
                if due - begin >= seconds:
                    break
                time.sleep(max(0.0, due - time.monotonic()))
                turn += CONNECTIONS
            try:
                connection.request("GET", PAGE)
                answer = connection.getresponse()
                answer.read()
                errors[number] += answer.status != 200
            except OSError:
                errors[number] += 1
                connection.close()
            waits[number].append(time.monotonic() - due)
        connection.close()

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = sorted(one for some in waits for one in some)
    return {"per_second": len(times) / (time.monotonic() - begin), "p50_ms": times[len(times) // 2] * 1000,
            "p99_ms": times[len(times) * 99 // 100] * 1000, "max_ms": times[-1] * 1000, "errors": sum(errors)}


class Calls:
    """Calls of the module, one every so many seconds, until they are stopped."""

    def __init__(self, program: list[str], takes: bool, every: float | None) -> None:
        self.seconds: list[float] = []
        self.failed = 0
        self._program, self._takes, self._every, self._stop = program, takes, every, threading.Event()
        self._thread = threading.Thread(target=self._run)
        if every is not None:
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            begin = time.monotonic()
            done = subprocess.run(self._program, capture_output=True, timeout=120, check=False)
            self.seconds.append(time.monotonic() - begin)
            try:
                facts = json.loads(done.stdout)["facts"]
                if self._takes:
                    takes = [one["takes"] for one in facts["runtime"]["endpoints"]]
                    self.failed += not (takes and takes[0] and takes[0][0]["goroutines"])
            except (ValueError, KeyError):
                self.failed += 1
            self._stop.wait(max(0.0, begin + (self._every or 0.0) - time.monotonic()))

    def stop(self) -> None:
        self._stop.set()
        if self._every is not None:
            self._thread.join()


def on_host(programs: dict[str, list[str]], seconds: float, rounds: int, rate: float) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    asked(2.0, 0)
    for _round in range(rounds):  # in turns, so that a slow minute hits all alike
        for way, (profile, every) in WAYS.items():
            calls = Calls(programs[profile], profile == "standard", every)
            try:
                flat_out, steady = asked(seconds, 0), asked(seconds, rate)
            finally:
                calls.stop()
            found[way].append({
                "requests_s": flat_out["per_second"], "p50_ms": steady["p50_ms"], "p99_ms": steady["p99_ms"], "max_ms": steady["max_ms"],
                "steady_s": steady["per_second"], "errors": flat_out["errors"] + steady["errors"], "calls": len(calls.seconds),
                "calls_failed": calls.failed, "call_s": statistics.median(calls.seconds) if calls.seconds else None})
    return {way: {key: _middle([one[key] for one in several], key) for key in several[0]} for way, several in found.items()}


def _middle(values: list[Any], key: str) -> Any:
    if key in ("errors", "calls", "calls_failed"):
        return sum(values)
    there = [value for value in values if value is not None]
    return round(statistics.median(there), 3) if there else None


# On the controller.

def environment() -> dict[str, str]:
    return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_NOCOLOR": "1"}


def run(argv: list[str], allowed: tuple[int, ...] = (0,), more: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False, stdin=subprocess.DEVNULL,
                          env={**environment(), **(more or {})})
    if done.returncode not in allowed:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


class Host:
    """A test host with the service."""

    def __init__(self, folder: Path, goroutines: int) -> None:
        lab = [sys.executable, str(ROOT / "tests/lab/lab.py")]
        self.inventory = folder / "hosts.yml"
        self.down = [*lab, "down", "--set", SET]
        run([*lab, "up", "benchruntime", "--set", SET, "--inventory", str(self.inventory)])
        built = json.loads(run([sys.executable, str(ROOT / "tests/lab/build_service.py"), "build", "leaky-go1.27"]))
        self.go = built["go"]
        self._copy(built["variants"]["leaky-go1.27"], "/opt/bench/service")
        self._copy(__file__, "/opt/bench/load.py")
        self.ansible("ansible.builtin.command", {"argv": [
            "systemd-run", "--unit=bench", "--property=LimitNOFILE=16384", "/opt/bench/service", "-listen", f"127.0.0.1:{SERVICE}",
            "-pprof", f"127.0.0.1:{PPROF}", "-goroutines", str(goroutines)]})
        time.sleep(2)
        self.variables = json.dumps({
            "preflight_toolchain": "optional",
            "preflight_services": [{"name": "bench", "pprof": f"http://127.0.0.1:{PPROF}", "health": f"http://127.0.0.1:{SERVICE}/healthz"}]})

    def _copy(self, source: str, target: str) -> None:
        self.ansible("ansible.builtin.file", {"path": "/opt/bench", "state": "directory", "mode": "0755"})
        self.ansible("ansible.builtin.copy", {"src": source, "dest": target, "mode": "0755"})

    def ansible(self, module: str, arguments: dict[str, Any], **more: str) -> str:
        return run([str(BIN / "ansible"), "-i", str(self.inventory), "all", "-m", module, "-a", json.dumps(arguments)], more=more)

    def program(self, profile: str) -> list[str]:
        """The file that Ansible sends for such a call, kept on the host: a call of it costs what a verification costs there."""
        subsets = ["host", "toolchain", "modules", "services", "pprof", "network"]
        raw = ["heap", "goroutine", "allocs", "mutex", "block", "threadcreate", "goroutineleak"]
        self.ansible("goready.preflight.readiness_facts", {
            "subsets": subsets + (["runtime"] if profile == "standard" else []), "timeout": 30,
            "services": json.loads(self.variables)["preflight_services"], "runtime": {"phase": "once", "raw": raw},
        }, ANSIBLE_KEEP_REMOTE_FILES="1")
        path = f"/opt/bench/{profile}.py"
        self.ansible("ansible.builtin.shell", {"cmd": f"mv ~/.ansible/tmp/*/AnsiballZ_readiness_facts.py {path}"})
        return ["/usr/bin/python3", path]

    def on_host(self, seconds: float, rounds: int, rate: float) -> dict[str, Any]:
        words = json.dumps([{profile: self.program(profile) for profile in ("quick", "standard")}, seconds, rounds, rate])
        said = self.ansible("ansible.builtin.command", {"argv": ["/usr/bin/python3", "/opt/bench/load.py", "--on-host", words]})
        found: dict[str, Any] = json.loads(said[said.index("{"):].splitlines()[0])
        return found

    def verified(self, profile: str, folder: Path) -> float:
        """Wall seconds of a run. The gate may hold the host: exit status 2."""
        begin = time.monotonic()
        run([str(BIN / "ansible-playbook"), str(ROOT / "preflight.yml"), "-i", str(self.inventory), "-e", f"preflight_profile={profile}",
             "-e", f"preflight_report_dir={folder / 'reports'}", "-e", self.variables], (0, 2))
        return time.monotonic() - begin


def profiles(host: Host, rounds: int, deep: int, folder: Path) -> dict[str, Any]:
    walls: dict[str, list[float]] = {"quick": [], "standard": []}
    host.verified("quick", folder)  # the first one is slower: nothing is compiled or cached yet
    for _round in range(rounds):
        for profile, several in walls.items():
            several.append(host.verified(profile, folder))
    medians = {profile: statistics.median(several) for profile, several in walls.items()}
    found: dict[str, Any] = {**{f"{profile}_s": round(value, 2) for profile, value in medians.items()}, "rounds": rounds,
                             "standard_to_quick": round(medians["standard"] / medians["quick"], 2),
                             "standard_more_s": round(medians["standard"] - medians["quick"], 2)}
    if deep:
        waits = 2 * 60 + 10  # two intervals between three snapshots, and the CPU profile: the defaults
        wall = statistics.median(host.verified("deep", folder) for _round in range(deep))
        found.update(deep_s=round(wall, 1), deep_waits_s=waits, deep_own_s=round(wall - waits, 1))
    return found


def table(result: dict[str, Any]) -> str:
    lines = ["| verification | requests/s | ratio | p50 ms | p99 ms | ratio | slowest ms | calls | a call |", "| --- |" + " --- |" * 8]
    none = result["service"]["none"]
    for way, one in result["service"].items():
        call = f"{one['call_s']:.2f} s" if one["call_s"] else ""
        lines.append(
            f"| {way.replace('_', ' ')} | {one['requests_s']:,.0f} | {one['requests_s'] / none['requests_s']:.2f} | {one['p50_ms']:.1f} | "
            f"{one['p99_ms']:.1f} | {one['p99_ms'] / none['p99_ms']:.2f} | {one['max_ms']:.0f} | {one['calls']} | {call} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goroutines", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20, help="how long each of the two loads lasts; at most 60")
    parser.add_argument("--rate", type=float, default=200, help="requests a second of the steady one; at most 500")
    parser.add_argument("--rounds", type=int, default=3, help="of everything but deep")
    parser.add_argument("--deep", type=int, default=1, help="runs of profile deep, 140 s each; 0 leaves it out")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--on-host", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.on_host:
        print(json.dumps(on_host(*json.loads(options.on_host))))
        return 0
    if not 0 < options.seconds <= 60 or not 0 < options.rate <= 500 or options.rounds < 1:
        parser.error("at most 60 seconds, 500 requests a second, and one round at least")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="gr") as name:
        folder = Path(name)
        host = Host(folder, options.goroutines)
        try:
            result = {"go": host.go, "cpus": os.cpu_count(), "load_before": round(load, 2), "goroutines": options.goroutines,
                      "rate": options.rate, "seconds": options.seconds, "rounds": options.rounds,
                      "service": host.on_host(options.seconds, options.rounds, options.rate),
                      "profiles": profiles(host, options.rounds, options.deep, folder)}
        finally:
            subprocess.run(host.down, check=False, capture_output=True)
    print(table(result))
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
