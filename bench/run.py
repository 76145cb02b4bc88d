"""Benchmarks, side by side in one run; ratios are what counts. ``make bench`` writes bench/results.json.

    make bench                                  # everything
    make bench ARGS='--hosts 1 10 --rounds 1'   # a quick look
    make bench ARGS=--runtime                   # the runtime benches alone; the other figures stay in bench/results.json

(a) ``ansible -m setup``, (b) this verification with its report (profile quick), (c) a playbook of one task a check for
thirty of the same checks, on 1, 10 and 50 real SSH hosts. Then remediation: 10 hosts with three services each, mended by
one run, and what a run costs that finds nothing to mend. Then what 300 hosts cost the controller itself, and what the report
costs for 1,000 hosts. Last what runtime diagnosis costs: the parsers, the flame graphs, each kind of profile, and a service under
load that is verified; and what it costs to really try what a host is meant to do (about forty minutes).
"""
from __future__ import annotations

import argparse
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
TICKS = os.sysconf("SC_CLK_TCK")
DEADLINE = 900  # seconds a command may take


class Watched:
    """A command and what it cost: wall seconds, the main process's own CPU seconds, and its peak memory in MiB."""

    def __init__(self, argv: list[str], folder: Path, log: Path) -> None:
        environment = {
            **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            # A connection of its own for every run: a kept one would be a present to whoever comes second. The names
            # are short because a socket's path may have 108 bytes only (unix(7)).
            "ANSIBLE_SSH_CONTROL_PATH_DIR": tempfile.mkdtemp(prefix="c", dir=folder), "ANSIBLE_NOCOLOR": "1",
        }
        started = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT)
            self.cpu = self.peak = 0.0
            watcher = threading.Thread(target=self._watch, args=(process.pid,), daemon=True)
            watcher.start()
            self.rc = process.wait(timeout=DEADLINE)
        self.wall = time.monotonic() - started

    def _watch(self, pid: int) -> None:
        while True:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return
            # utime and stime of the process itself, without its children (proc(5)).
            self.cpu = max(self.cpu, (int(fields[11]) + int(fields[12])) / TICKS)
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    self.peak = max(self.peak, int(line.split()[1]) / 1024)
            time.sleep(0.02)


def timed(name: str, argv: list[str], folder: Path, allowed: tuple[int, ...] = (0,)) -> Watched:
    log = folder / f"{name}.log"
    run = Watched(argv, folder, log)
    if run.rc not in allowed:
        sys.exit(f"{' '.join(argv)} ended with {run.rc}:\n{log.read_text()[-3000:]}")
    return run


def playbook(name: str, inventory: Path, limit: str, folder: Path, *more: str) -> list[str]:
    return [str(BIN / "ansible-playbook"), str(ROOT / f"{name}.yml"), "-i", str(inventory), "--limit", limit,
            "-e", f"preflight_report_dir={folder / 'reports'}", *more]


def preflight(inventory: Path, limit: str, folder: Path) -> list[str]:
    return playbook("preflight", inventory, limit, folder, "-e", "preflight_profile=quick")


def over_ssh(counts: list[int], rounds: int, folder: Path) -> dict[str, Any]:
    inventory = folder / "hosts.yml"
    lab = [sys.executable, str(ROOT / "tests/lab/lab.py")]
    subprocess.run([*lab, "up", "--set", "bench", "--count", str(max(counts)), "--prefix", "bench", "--inventory",
                    str(inventory)], check=True)
    try:
        results = {}
        for count in counts:
            limit = f"all[0:{count - 1}]"
            ways = {
                "setup": ([str(BIN / "ansible"), "-i", str(inventory), limit, "-m", "ansible.builtin.setup"], (0,)),
                "preflight": (preflight(inventory, limit, folder), (0, 2)),
                "one_task_per_check": ([str(BIN / "ansible-playbook"), "-i", str(inventory), "--limit", limit,
                                        str(ROOT / "bench/one_task_per_check.yml")], (0,)),
            }
            walls: dict[str, list[float]] = {name: [] for name in ways}
            for _round in range(rounds):  # interleaved, so that a slow minute hits all alike
                for name, (argv, allowed) in ways.items():
                    walls[name].append(timed(name, argv, folder, allowed).wall)
            medians = {name: statistics.median(values) for name, values in walls.items()}
            results[str(count)] = {
                **{f"{name}_s": round(value, 2) for name, value in medians.items()},
                "preflight_to_setup": round(medians["preflight"] / medians["setup"], 2),
                "one_task_per_check_to_preflight": round(medians["one_task_per_check"] / medians["preflight"], 2),
                "rounds": rounds,
            }
            print(f"{count:4d} hosts: " + ", ".join(f"{name} {value:.1f} s" for name, value in medians.items())
                  + f"; preflight/setup {results[str(count)]['preflight_to_setup']}, "
                  f"one task a check/preflight {results[str(count)]['one_task_per_check_to_preflight']}", flush=True)
        return results
    finally:
        subprocess.run([*lab, "down", "--set", "bench"], check=False)


def remediation(count: int, rounds: int, folder: Path) -> dict[str, Any]:
    """One run that mends three services on every host, then verification against a run that has nothing to mend."""
    inventory = folder / "hosts.yml"
    lab = [sys.executable, str(ROOT / "tests/lab/lab.py")]
    built = subprocess.run([sys.executable, str(ROOT / "tests/lab/build_service.py"), "build", "plain"], check=True,
                           capture_output=True, text=True)
    program = json.loads(built.stdout)["variants"]["plain"]
    subprocess.run([*lab, "up", "--set", "bench", "--count", str(count), "--prefix", "bench", "--inventory", str(inventory)],
                   check=True)
    variables = json.dumps({
        "preflight_services": [
            {"name": name, "nofile": 8192, "pprof": f"http://127.0.0.1:{6060 + index}",
             "health": f"http://127.0.0.1:{8080 + index}/healthz"}
            for index, name in enumerate(("one", "two", "three"))
        ],
        "preflight_consent": ["restart", "firewall"], "preflight_remediate": ["limits.nofile_configured", "pprof.*"],
        "preflight_remediate_batch": "100%",
    })
    try:
        timed("plant", [str(BIN / "ansible-playbook"), "-i", str(inventory), str(ROOT / "bench/plant.yml"), "-e", f"service={program}"],
              folder)
        mend = playbook("remediate", inventory, "all", folder, "-e", variables)
        verify = playbook("preflight", inventory, "all", folder, "-e", variables)
        allowed = (0, 2)
        first = timed("verify-before", verify, folder, allowed).wall
        mending = timed("mend", mend, folder, allowed).wall
        summary = json.loads((folder / "reports/report.json").read_text())["remediation"]["summary"]
        walls: dict[str, list[float]] = {"preflight": [], "nothing_to_mend": []}
        for _round in range(rounds):
            walls["preflight"].append(timed("verify", verify, folder, allowed).wall)
            walls["nothing_to_mend"].append(timed("nothing", mend, folder, allowed).wall)
        medians = {name: statistics.median(values) for name, values in walls.items()}
        result = {
            "hosts": count, "services": 3 * count, "verify_s": round(first, 1), "mend_s": round(mending, 1), "summary": summary,
            **{f"{name}_s": round(value, 2) for name, value in medians.items()},
            "nothing_to_mend_to_preflight": round(medians["nothing_to_mend"] / medians["preflight"], 2), "rounds": rounds,
        }
        print(f"{count:4d} hosts x 3 services: mended in {mending:.1f} s ({summary['fixed']} findings fixed, {summary['not_fixed']} "
              f"not); nothing to mend/preflight {result['nothing_to_mend_to_preflight']}", flush=True)
        return result
    finally:
        subprocess.run([*lab, "down", "--set", "bench"], check=False)


def controller(count: int, folder: Path) -> dict[str, Any]:
    """What the main process costs for hosts that stand in for a fleet: this machine under many names."""
    inventory = folder / "local.yml"
    names = "".join(f"    stand-in-{number:03d}:\n" for number in range(count))
    inventory.write_text(
        f"all:\n  vars:\n    ansible_connection: local\n    ansible_python_interpreter: {sys.executable}\n  hosts:\n{names}")
    run = timed("controller", preflight(inventory, "all", folder), folder, (0, 2))
    result = {"hosts": count, "wall_s": round(run.wall, 1), "main_process_ms_per_host": round(run.cpu * 1000 / count, 1),
              "main_process_peak_mib": round(run.peak)}
    print(f"{count:4d} stand-ins: {run.wall:.1f} s, {result['main_process_ms_per_host']} ms a host in the main process, "
          f"peak {result['main_process_peak_mib']} MiB", flush=True)
    return result


# The runtime benches: their arguments, and whether they print JSON only or write it to a file (--json FILE). They are run from
# collections/, where the collection can be imported.
RUNTIME: dict[str, tuple[tuple[str, ...], bool]] = {
    "goroutine_dump": ((), True), "profile_decode": ((), True), "flame": ((), False), "runtime_cost": (("--json",), True),
    "runtime_overhead": ((), False), "probing": ((), False),
}


def runtime(name: str, folder: Path) -> dict[str, Any]:
    """The figures of one of them. One that misses its target has figures as well: exit status 1."""
    options, prints = RUNTIME[name]
    figures = folder / f"{name}.json"
    argv = [sys.executable, "-m", f"ansible_collections.goready.preflight.bench.{name}", *options,
            *(() if prints else ("--json", str(figures)))]
    print(f"{name} ...", flush=True)
    load = os.getloadavg()[0]
    done = subprocess.run(argv, cwd=ROOT / "collections", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False,
                          timeout=2 * DEADLINE)
    if done.returncode not in (0, 1) or not (prints or figures.exists()):
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    if not prints:
        print(done.stdout, end="", flush=True)
    try:
        told = json.loads(done.stdout if prints else figures.read_text())
    except ValueError:
        sys.exit(f"{' '.join(argv)} gave no JSON:\n{done.stdout[-3000:]}")
    return {"load_before": round(load, 2), "target_met": done.returncode == 0, **told}


def save(results: dict[str, Any], path: Path) -> None:
    """After every part, so that one that breaks does not cost the others."""
    path.write_text(json.dumps(results, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="*", default=[1, 10, 50], help="how many SSH hosts, one run each; nothing leaves it out")
    parser.add_argument("--rounds", type=int, default=3, help="how often each command runs; the median counts")
    parser.add_argument("--mend", type=int, default=10, help="SSH hosts for the remediation; 0 leaves it out")
    parser.add_argument("--stand-ins", type=int, default=300, help="hosts for the controller's own cost; 0 leaves it out")
    parser.add_argument("--skip-report", action="store_true", help="leave out the report of 1,000 hosts")
    parser.add_argument("--skip-runtime", action="store_true", help="leave out the runtime benches")
    parser.add_argument("--runtime", nargs="*", choices=RUNTIME, metavar="BENCH",
                        help=f"only these of the runtime benches, by default all: {', '.join(RUNTIME)}")
    parser.add_argument("--output", type=Path, default=ROOT / "bench/results.json")
    arguments = parser.parse_args()
    results: dict[str, Any] = {
        "machine": {"cpus": os.cpu_count(), "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)},
    }
    if arguments.runtime is not None:
        arguments.hosts, arguments.mend, arguments.stand_ins, arguments.skip_report = [], 0, 0, True
        if arguments.output.exists():
            results = {**json.loads(arguments.output.read_text()), **results}
    with tempfile.TemporaryDirectory(prefix="gb") as name:
        folder = Path(name)
        if arguments.hosts:
            results["ssh"] = over_ssh(sorted(arguments.hosts), arguments.rounds, folder)
            save(results, arguments.output)
        if arguments.mend:
            results["remediation"] = remediation(arguments.mend, arguments.rounds, folder)
            save(results, arguments.output)
        if arguments.stand_ins:
            results["controller"] = controller(arguments.stand_ins, folder)
            save(results, arguments.output)
        if not arguments.skip_report:
            figures = folder / "report.json"
            module = "ansible_collections.goready.preflight.bench.report"
            subprocess.run([sys.executable, "-m", module, "--json", str(figures)], check=True, cwd=ROOT / "collections")
            results["report"] = json.loads(figures.read_text())
            save(results, arguments.output)
        if not arguments.skip_runtime:
            for one in arguments.runtime or RUNTIME:
                results.setdefault("runtime", {})[one] = runtime(one, folder)
                save(results, arguments.output)
    print(f"written to {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
