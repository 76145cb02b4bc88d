# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a report of a large fleet takes, and how much memory::

    cd collections && python -m ansible_collections.goready.preflight.bench.report [--hosts 1000] [--results 60] [--json FILE]

Writes the hosts' documents of a synthetic fleet (not measured), then reads them and writes every format in a process of
its own: as it is, against a baseline, and with what one look into two services of each host brings (27 goroutine groups a
service, as a small real one has; one service in 50 leaks; the profiles are there). Exit status 1 where a target is missed.
"""
from __future__ import annotations

import argparse
import copy
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Check, Result, verdict
from ansible_collections.goready.preflight.plugins.plugin_utils.report import model, store, terminal
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet, inside

SECONDS, MEGABYTES = 10.0, 500.0  # of the processor: what else runs on the machine must not count
GROUPS = 27


def catalogue(results: int) -> dict[str, Check]:
    """So many checks, each a copy of one of the sample fleet's under a name of its own."""
    kinds = list(fleet.CATALOGUE.values())
    checks = {}
    for number in range(results):
        one = kinds[number % len(kinds)]
        check_id = one.id if number < len(kinds) else f"{one.id}_{number // len(kinds)}"
        checks[check_id] = Check(**{**vars(one), "id": check_id})
    return checks


def documents(hosts: int, results: int, seed: int = 1) -> Any:
    """Hosts' documents one after the other: three of four results pass, reasons carry values that differ by host."""
    chance = random.Random(seed)
    checks = catalogue(results)
    template = fleet.documents()[0]
    for number in range(hosts):
        name = f"web{number:04d}.fleet.example.org"
        lines = []
        for check_id, one in checks.items():
            status = chance.choices(("pass", "fail", "unknown", "notapplicable"), (76, 12, 4, 8))[0]
            value = chance.randrange(1024, 65536)
            lines.append(Result(
                id=check_id, status=status, severity=one.severity, subject=f"service{number % 20}",
                reason=f"service{number % 20} has {value if chance.random() < 0.3 else 1024} of 65536: {one.title.lower()}.",
                actual=value, expected=65536, remediation=one.remediation,
                evidence=(f"/proc/{value}/limits: Max open files  {value}  {value}  files",
                          f"/etc/systemd/system/service{number % 20}.service:{value % 40}: LimitNOFILE=65536",
                          f"systemctl show service{number % 20}.service: LimitNOFILE=65536"),
            ))
        yield {**template, "name": name, "verdict": verdict(lines, "high"), "results": [line.as_dict() for line in lines]}


def looked_into(documents: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same documents, with two services of each host as profile ``standard`` looks into them."""
    for number, document in enumerate(documents):
        services, told = [], []
        for place, service in enumerate(("orders", "billing")):
            leaking = (2 * number + place) % 50 == 0
            facts = inside.endpoint(service, leaking=leaking, phases=("once",))
            marks = list(facts["groups"])
            for more in range(GROUPS - len(marks)):
                like = marks[more % len(marks)]
                about = copy.deepcopy(facts["groups"][like])
                for frame in about["frames"]:
                    frame[2] += 100 * (more + 1)
                mark = f"{more:016x}"
                facts["groups"][mark] = about
                for take in facts["takes"]:
                    take["goroutines"]["counts"][mark] = 1
            services.append({"name": service, "unit": f"{service}.service", "declared": True, "state": "active", "pids": [812],
                             "go_version": "go1.27.3", "revision": "3f2c9ab", "listeners": ["tcp 127.0.0.1:6060"], "container": None,
                             "runtime": {"limits": {"gomemlimit": None, "memory_max": None}, "endpoints": [facts]}})
            told += [one.as_dict() for one in inside.results(service, leaking=leaking)]
        yield {**document, "services": services, "results": [*document["results"], *told]}


def _measure(run_dir: Path, report_dir: Path, results: int) -> dict[str, Any]:
    """The whole work of the report task, as the action does it."""
    started, cpu = time.perf_counter(), time.process_time()
    run, hosts = model.load(run_dir)
    loaded = time.perf_counter()
    baseline = model.read_baseline(Path(run["baseline"])) if run["baseline"] else None
    report = model.build(run, hosts, catalogue(results), baseline)
    built = time.perf_counter()
    figures: dict[str, Any] = {"load": loaded - started, "build": built - loaded}
    paths = store.write(report, list(store.FILES), report_dir, run_dir)
    terminal.render(report, {one: str(path) for one, path in paths.items()})
    figures["write"] = time.perf_counter() - built
    figures["seconds"] = time.perf_counter() - started
    figures["cpu_seconds"] = time.process_time() - cpu
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["bytes"] = {path.name: path.stat().st_size for path in paths.values()}
    return figures


def _write_looked_into(run_dir: Path, hosts: Iterable[dict[str, Any]], about: dict[str, Any]) -> None:
    def kept() -> Iterator[dict[str, Any]]:
        for document in looked_into(hosts):
            for service in document["services"]:
                for facts in service["runtime"]["endpoints"]:
                    inside.write_profiles(run_dir, document["name"], facts)
            yield document

    fleet.write(run_dir, kept(), about)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--results", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--measure", nargs=2, type=Path, metavar=("RUN_DIR", "REPORT_DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(_measure(args.measure[0], args.measure[1], args.results)))
        return 0
    figures = {}
    with tempfile.TemporaryDirectory(prefix="preflight-bench-") as folder:
        baseline = Path(folder) / "baseline.json"
        for name, before in (("report", None), ("report_with_baseline", str(baseline)), ("report_with_runtime", None)):
            run_dir = Path(folder) / name / "runs" / fleet.run()["id"]
            about = {**fleet.run(f"web{number:04d}.fleet.example.org" for number in range(args.hosts)), "baseline": before}
            hosts = documents(args.hosts, args.results, seed=2 if before else 1)
            if name == "report_with_runtime":
                _write_looked_into(run_dir, hosts, about)
            else:
                fleet.write(run_dir, hosts, about)
            answer = subprocess.run(
                [sys.executable, "-m", __spec__.name, "--results", str(args.results), "--measure",
                 str(run_dir), str(run_dir.parent.parent)],
                check=True, capture_output=True, text=True,
            )
            one = figures[name] = {"hosts": args.hosts, "results": args.results, **json.loads(answer.stdout)}
            if name == "report":
                (run_dir / "report.json").replace(baseline)
            shutil.rmtree(run_dir)
            sizes = ", ".join(f"{file} {size / 1e6:.1f} MB" for file, size in one["bytes"].items())
            print(f"{name}: {args.hosts} hosts x {args.results} results in {one['cpu_seconds']:.1f} s of CPU (target {SECONDS:.0f}; "
                  f"{one['seconds']:.1f} s on the wall), "
                  f"peak {one['peak_mb']:.0f} MB (target {MEGABYTES:.0f}); load {one['load']:.1f} s, build {one['build']:.1f} s, "
                  f"write {one['write']:.1f} s; {sizes}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    met = all(one["cpu_seconds"] < SECONDS and one["peak_mb"] < MEGABYTES for one in figures.values())
    print("targets met" if met else "TARGETS MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
