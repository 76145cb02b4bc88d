# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one request for a profile costs the service that is asked: the table of docs/runtime.md.

    python bench/runtime_cost.py                                      # a table; about five minutes
    python bench/runtime_cost.py --json --goroutines 100 --rounds 2   # a quick look, as JSON

A service of its own (bench/runtime_cost/main.go: so many waiting goroutines, 64 MiB of small live objects) is asked for each kind
in turn. Two things notice how long it stands still meanwhile: a 1 ms ticker inside it (the longest gap), and a client that asks it
for a page every millisecond from another process (the slowest answer). "nothing" is the same without a request: the machine's noise.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "bench" / "runtime_cost"

# In the order in which a verification asks; the dump by itself, because most runs leave it out.
KINDS = {
    "nothing": "", "heap debug=1": "heap?debug=1", "heap": "heap", "goroutine": "goroutine", "allocs": "allocs",
    "mutex": "mutex", "block": "block", "threadcreate": "threadcreate", "cpu (2 s)": "profile?seconds=2",
    "goroutineleak": "goroutineleak", "heap gc=1": "heap?gc=1&debug=1", "goroutine debug=1": "goroutine?debug=1",
    "goroutine debug=2": "goroutine?debug=2",
}
QUIET = 0.3  # seconds before and after a request


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=120) as answer:
        body: bytes = answer.read()
        return body


def built(folder: Path, version: str) -> tuple[Path, str]:
    """The program and the Go that built it."""
    command = [sys.executable, str(ROOT / "tests/lab/build_service.py"), "sdk", "--version", version, "--unpacked"]
    goroot = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
    program = folder / "runtimecost"
    environment = {**os.environ, "GOROOT": str(goroot), "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0",
                   "GOCACHE": str(folder / "cache"), "GOPATH": str(folder / "path")}
    subprocess.run([str(goroot / "bin" / "go"), "build", "-o", str(program), "."], cwd=SOURCE, env=environment, check=True)
    return program, (goroot / "VERSION").read_text(encoding="utf-8").split()[0]


class Client:
    """The process that asks for a page every millisecond."""

    def __init__(self, program: Path, url: str) -> None:
        self.process = subprocess.Popen([str(program), "-poll", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def slowest(self) -> tuple[int, float]:
        """(answers, the slowest one in milliseconds) since the last question."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the client has no pipes")
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        count, nanoseconds = self.process.stdout.readline().split()
        return int(count), int(nanoseconds) / 1e6


def measure(base: str, client: Client, path: str) -> dict[str, float]:
    """One request: how long the service stood still, and how long the answer took."""
    time.sleep(QUIET)
    fetch(f"{base}/gap")
    client.slowest()
    begin, size = time.monotonic(), 0
    if path:
        size = len(fetch(f"{base}/debug/pprof/{path}"))
    else:
        time.sleep(QUIET)
    seconds = time.monotonic() - begin
    time.sleep(0.05)
    answers, slowest = client.slowest()
    return {"gap_ms": int(fetch(f"{base}/gap")) / 1e6, "slowest_ms": slowest, "answers": answers, "answer_ms": seconds * 1000,
            "bytes": size}


def rounds(program: Path, goroutines: int, count: int, kinds: Sequence[str]) -> dict[str, dict[str, float]]:
    """{kind: what its rounds came to} of a service with so many goroutines."""
    service = subprocess.Popen([str(program), "-serve", "127.0.0.1:0", "-goroutines", str(goroutines)], stdout=subprocess.PIPE, text=True)
    client = None
    try:
        if service.stdout is None:
            raise RuntimeError("the service has no pipe")
        base = f"http://{service.stdout.readline().strip()}"
        time.sleep(1 + goroutines / 50_000)
        client = Client(program, f"{base}/ping")
        # In turns, so that a bad moment of the machine does not hit the rounds of one kind only.
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
        for _round in range(count):
            for kind in kinds:
                found[kind].append(measure(base, client, KINDS[kind]))
    finally:
        for process in (client.process if client else None, service):
            if process is not None:
                process.kill()
                process.wait()
    return {kind: {
        "gap_ms": round(statistics.median(one["gap_ms"] for one in several), 1),
        "gap_max_ms": round(max(one["gap_ms"] for one in several), 1),
        "slowest_ms": round(statistics.median(one["slowest_ms"] for one in several), 1),
        "slowest_max_ms": round(max(one["slowest_ms"] for one in several), 1),
        "answer_ms": round(statistics.median(one["answer_ms"] for one in several), 1), "bytes": int(several[-1]["bytes"]),
    } for kind, several in found.items()}


def sampling(program: Path) -> dict[str, dict[str, float]]:
    """{mutex or block: {rate: nanoseconds an operation}}"""
    found: dict[str, dict[str, float]] = {}
    for line in subprocess.run([str(program), "-sampling"], capture_output=True, text=True, check=True, timeout=300).stdout.splitlines():
        kind, rate, nanoseconds = line.split()
        found.setdefault(kind, {})[rate] = float(nanoseconds)
    return found


def table(results: dict[str, Any]) -> str:
    sizes = list(results["goroutines"])
    lines = ["| asked for | " + " | ".join(f"{int(size):,} goroutines" for size in sizes) + " |", "| --- |" + " --- |" * len(sizes)]
    for kind in results["goroutines"][sizes[0]]:
        cells = [results["goroutines"][size][kind] for size in sizes]
        shown = [f"{one['gap_ms']:g} / {one['slowest_ms']:g} ({one['answer_ms']:g})" for one in cells]
        lines.append(f"| {kind} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goroutines", type=int, nargs="+", default=[100, 2000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--go", default="1.27.3")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program, version = built(Path(folder), options.go)
        results: dict[str, Any] = {
            "go": version, "machine": platform.machine(), "cpus": os.cpu_count(), "rounds": options.rounds,
            "sampling_ns": sampling(program),
            "load": os.getloadavg()[0],
            "goroutines": {str(size): rounds(program, size, options.rounds, options.kinds) for size in options.goroutines},
        }
    if options.json:
        print(json.dumps(results, indent=1))
        return
    print(f"{version}, {results['machine']}, {results['cpus']} CPUs, {options.rounds} rounds.")
    print("Milliseconds: longest gap of the service's own 1 ms ticker / slowest answer to a client (time until the profile was there).\n")
    print(table(results))
    print("\nNanoseconds an operation, by sampling rate:", json.dumps(results["sampling_ns"]))


if __name__ == "__main__":
    main()
