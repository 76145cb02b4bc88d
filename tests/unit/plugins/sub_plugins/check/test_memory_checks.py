# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import datetime
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.plugin_utils import memory as numbers
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Policy
from ansible_collections.goready.preflight.plugins.sub_plugins.check import memory

CHECKS = {one.id: one for one in engine.checks_of(memory)}
RECORDED = Path(__file__).parents[3] / "fixtures" / "runtime" / "memory"
MIB = 1 << 20
NOON = 1_800_000_000  # 2027-01-15T08:00:00Z


@cache
def _read(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


def recorded(name: str) -> dict[str, Any]:
    return {"runtime": copy.deepcopy(_read(name))}


def take(phase: str = "idle", second: float = 0.0, *, inuse: float = 20, alloc: float | None = None, goal: float = 32, cycles: int = 5,
         idle: float = 4, released: float = 2, system: float = 60, forced: bool = False, fraction: float | None = 0.01,
         pauses: list[list[int]] | None = None, rss: float | None = 40, sites: dict[str, float] | None = None, last_gc: float | None = None,
         families: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
    """One take; sizes in MiB. The process was started at second 0 of the clock, and the first take is of second 1000."""
    last = NOON + second - 1 if last_gc is None else last_gc
    stats = {"HeapInuse": int(inuse * MIB), "HeapAlloc": int((inuse if alloc is None else alloc) * MIB), "NextGC": int(goal * MIB),
             "NumGC": cycles, "HeapIdle": int(idle * MIB), "HeapReleased": int(released * MIB), "Sys": int(system * MIB),
             "LastGC": int(last * 1e9)}
    heap = {"period": 524288, "sites": [
        {"function": f"main.{name}", "file": "/src/app/main.go", "line": 7, "origin": "own", "inuse_bytes": int(amount * MIB)}
        for name, amount in sites.items()]} if sites else None
    moment = datetime.datetime.fromtimestamp(NOON + second, datetime.timezone.utc).isoformat()
    return {"phase": phase, "at": moment, "clock": 1000.0 + second, "asked": [], "skipped": [], "profiles": [], "heap": heap,
            "memory": {"memstats": stats, "gc_cpu_fraction": fraction, "pauses": pauses or [], "forced_gc": forced},
            "process": {"rss": int(rss * MIB), "hwm": int(rss * MIB)} if rss is not None else None,
            "metrics": {"url": "http://127.0.0.1:8080/metrics", "families": families} if families else None, **extra}


def facts(*takes: dict[str, Any], runtime: dict[str, Any] | None = None, services: list[Any] | None = None,
          host: dict[str, Any] | None = None, **entry: Any) -> dict[str, Any]:
    endpoint = {"service": "api", "container": None, "pid": 812, "started": 0.0, "declared": True, "error": None, "restarted": None,
                "listener": {"proto": "tcp", "address": "127.0.0.1", "port": 6060, "path": None}, "takes": list(takes), **entry}
    return {"runtime": {"endpoints": [endpoint], **(runtime or {})}, "services": {"services": services or []}, "host": host or {}}


def judge(check: str, document: dict[str, Any], **policy: Any) -> engine.Result:
    """The one result of a check."""
    (result,) = engine.run([CHECKS[check]], document, Policy(profile="deep", **policy))
    return result


def idle(*values: tuple[float, float, int], **options: Any) -> list[dict[str, Any]]:
    """Snapshots of 60 s apart, from (HeapInuse, NextGC, NumGC)."""
    return [take("idle", 60.0 * number, inuse=inuse, goal=goal, cycles=cycles, **options)
            for number, (inuse, goal, cycles) in enumerate(values)]


def process(**edits: Any) -> list[dict[str, Any]]:
    return [{"name": "api", "processes": [{"pid": 812, "rss": 40 * MIB, "environ": {}, **edits}]}]


def group(maximum: Any, current: int | None = None, **effective: Any) -> dict[str, Any]:
    return {"path": "/system.slice/api.service", "memory_max": maximum, "memory_current": current, "effective": effective}


# --- what needs no window


@pytest.mark.parametrize("check", CHECKS)
def test_a_host_without_pprof(check: str) -> None:
    result = judge(check, {"runtime": {"endpoints": []}})
    assert (result.status, result.reason) == ("notapplicable", "No service of this host is known to serve net/http/pprof.")


@pytest.mark.parametrize(("declared", "error", "status", "severity", "reason"), [
    (True, {"kind": "refused", "message": "connection refused"}, "unknown", None,
     "No profile was taken from 127.0.0.1:6060: connection refused."),
    (False, {"kind": "timeout", "message": "no answer within 5 s"}, "unknown", "info",
     "No profile was taken from 127.0.0.1:6060: no answer within 5 s."),
    (True, {"kind": "unauthorized", "message": "it answered 401"}, "unknown", None,
     "No profile was taken from 127.0.0.1:6060: it answered 401."),
    (False, {"kind": "unauthorized", "message": "it answered 401"}, "notapplicable", None,
     "No profile was taken from 127.0.0.1:6060: it answered 401. Give the credentials in preflight_credentials, by the "
     "service's name: username and password, or token; from a vault."),
    (True, None, "unknown", None, "No profile was taken from 127.0.0.1:6060: it was not asked."),
], ids=["declared", "discovered", "declared-asks", "discovered-asks", "nothing-said"])
@pytest.mark.parametrize("check", CHECKS)
def test_an_endpoint_without_a_take(check: str, declared: bool, error: Any, status: str, severity: str | None, reason: str) -> None:
    result = judge(check, facts(declared=declared, error=error))
    assert (result.status, result.severity, result.reason) == (status, severity or CHECKS[check].severity, reason)


@pytest.mark.parametrize("check", CHECKS)
def test_a_take_without_memstats_is_no_finding(check: str) -> None:
    bare = take(memory=None, process=None, heap=None)
    assert judge(check, facts(bare)).status in ("unknown", "notapplicable")


@pytest.mark.parametrize("check", CHECKS)
def test_a_take_without_fields_is_no_finding(check: str) -> None:
    bare = take(memory={"memstats": {}, "gc_cpu_fraction": None, "pauses": [], "forced_gc": False}, process={}, heap={"sites": []})
    assert judge(check, facts(bare)).status in ("unknown", "notapplicable")


# --- heap_growth

GROWS = [(20, 32, 5), (50, 92, 6), (80, 152, 7)]


@pytest.mark.parametrize(("takes", "status", "severity", "reason"), [
    pytest.param(idle(*GROWS), "fail", "high",
                 "Without load the live heap grew by 11,250 % an hour: its goal NextGC rose from 32 MiB to 152 MiB in 2 minutes, the heap "
                 "in use (no GC was forced) from 20 MiB to 80 MiB.", id="grows"),
    pytest.param([take("idle", 60 * number, inuse=value + 30, alloc=value, forced=True, cycles=5 + number)
                  for number, value in enumerate((20, 23, 26))], "fail", "high",
                 "Without load the live heap after a forced GC grew by 6 MiB in 2 minutes (20 MiB to 26 MiB, 900 % an hour).", id="forced"),
    pytest.param([take("idle", 60 * number, inuse=value + 30 * number, alloc=value, forced=True, cycles=5 + number)
                  for number, value in enumerate((20, 20.1, 20.2))], "pass", "high",
                 "Without load the live heap after a forced GC grew by 204.8 KiB, which is noise or slow (20 MiB to 20.2 MiB in 2 "
                 "minutes).",
                 id="forced-garbage-rises"),
    pytest.param([take("idle", 60 * number, alloc=value, forced=True, cycles=5 + number) for number, value in enumerate((20, 40, 30))],
                 "pass", "high", "Without load the live heap after a forced GC grew by 10 MiB, which is noise or slow (20 MiB to 30 MiB in "
                 "2 minutes).", id="forced-up-and-down"),
    pytest.param(idle((20, 64, 5), (40, 64, 5), (60, 64, 5)), "unknown", "info",
                 "The heap in use grew by 40 MiB in 2 minutes, and no GC ran in that time: it may be garbage.", id="no-gc"),
    pytest.param(idle((20, 64, 5), (40, 64, 6), (60, 64, 6)), "pass", "high",
                 "Without load the live heap did not grow noticeably: its goal NextGC went from 64 MiB to 64 MiB, the heap in use (no GC "
                 "was forced) from 20 MiB to 60 MiB, in 2 minutes.", id="garbage"),
    pytest.param(idle((60, 64, 5), (40, 64, 5), (20, 64, 5)), "pass", "high",
                 "Without load the live heap did not grow noticeably: its goal NextGC went from 64 MiB to 64 MiB, the heap in use (no GC "
                 "was forced) from 60 MiB to 20 MiB, in 2 minutes.", id="falls-without-gc"),
    pytest.param(idle((20, 32, 5), (20, 64, 6), (20, 128, 7)), "pass", "high",
                 "Without load the live heap did not grow noticeably: its goal NextGC went from 32 MiB to 128 MiB, the heap in use (no GC "
                 "was forced) from 20 MiB to 20 MiB, in 2 minutes.", id="only-the-goal"),
    pytest.param(idle((20, 32, 5), (80, 152, 6), (60, 92, 7)), "pass", "high",
                 "Without load the live heap did not grow noticeably: its goal NextGC went from 32 MiB to 92 MiB, the heap in use (no GC "
                 "was forced) from 20 MiB to 60 MiB, in 2 minutes.", id="up-and-down"),
    pytest.param(idle((2000, 4000, 5), (2020, 4040, 6), (2040, 4080, 7)), "pass", "high",
                 "Without load the live heap did not grow noticeably: its goal NextGC went from 3.9 GiB to 4 GiB, the heap in use (no GC "
                 "was forced) from 2 GiB to 2 GiB, in 2 minutes.",
                 id="noise-of-a-large-heap"),
    pytest.param(idle(*GROWS)[:2], "unknown", "info",
                 "There are 2 snapshots of MemStats without load; at least 3 are needed.", id="two"),
    pytest.param([take("once")], "unknown", "info",
                 "There are 0 snapshots of MemStats without load; at least 3 are needed.", id="standard-takes"),
    pytest.param(idle((80, 152, 50), (20, 32, 5), (50, 92, 6)), "unknown", "info",
                 "There are 2 snapshots of MemStats without load; at least 3 are needed.", id="counters-went-back"),
    pytest.param([*idle((10, 16, 5), (10, 16, 6), (10, 16, 7)), take("load", 150, inuse=400, cycles=60)], "fail", "medium",
                 "Under load the heap in use (no GC was forced) is 400 MiB, 40 times the 10 MiB without load.", id="load"),
    pytest.param([*idle((10, 16, 5), (10, 16, 6), (10, 16, 7)), take("load", 150, inuse=200, cycles=60)], "pass", "high",
                 "Without load the live heap did not grow noticeably: its goal NextGC went from 16 MiB to 16 MiB, the heap in use (no GC "
                 "was forced) from 10 MiB to 10 MiB, in 2 minutes.", id="load-of-a-small-one"),
    pytest.param([*idle((10, 16, 5), (10, 16, 6), (10, 16, 7)), take("load", 150, inuse=400, cycles=60),
                  take("load", 160, inuse=40, cycles=61)], "pass", "high",
                 "Without load the live heap did not grow noticeably: its goal NextGC went from 16 MiB to 16 MiB, the heap in use (no GC "
                 "was forced) from 10 MiB to 10 MiB, in 2 minutes.", id="load-peak"),
])
def test_heap_growth(takes: list[dict[str, Any]], status: str, severity: str, reason: str) -> None:
    result = judge("memory.heap_growth", facts(*takes))
    assert (result.status, result.severity, result.reason) == (status, severity, reason)


def test_growth_names_the_sites() -> None:
    takes = idle(*GROWS)
    for one, amount in zip(takes, (1, 30, 60), strict=True):
        one["heap"] = take(sites={"remember": amount, "steady": 9, f"new{amount}": 0.5})["heap"]
    result = judge("memory.heap_growth", facts(*takes))
    assert result.reason.endswith("from 20 MiB to 80 MiB; main.remember (main.go:7) holds 59 MiB more.")
    assert result.evidence[-2:] == ("main.remember (main.go:7) holds 59 MiB more, 60 MiB in all",
                                    "main.new60 (main.go:7) holds 512 KiB more, 512 KiB in all")


@pytest.mark.parametrize(("sites", "named"), [
    ([("main.remember", "own", 40, None), ("bytes.growSlice", "std", 50, None)], "main.remember (a.go:3) holds 40 MiB more"),
    ([("main.tiny", "own", 1, None), ("bytes.growSlice", "std", 50, None)], "bytes.growSlice (a.go:3) holds 50 MiB more"),
    ([("main.remember", "own", 40, None), ("bytes.growSlice", "std", 50, ["main.fill", "/src/fill.go", 12, "own"])],
     "bytes.growSlice (a.go:3), called by main.fill (fill.go:12) holds 50 MiB more"),
    ([("bytes.growSlice", "std", 50, ["main.fill", "/src/fill.go", 12, "own"])],
     "bytes.growSlice (a.go:3), called by main.fill (fill.go:12) holds 50 MiB more"),
], ids=["own-first", "own-is-too-small", "own-caller-is-own", "caller"])
def test_which_site_is_named(sites: list[Any], named: str) -> None:
    takes = idle(*GROWS)
    takes[0]["heap"] = take(sites={"other": 1})["heap"]
    takes[-1]["heap"] = {"sites": [{"function": name, "origin": origin, "inuse_bytes": amount * MIB, "file": "/x/a.go", "line": 3,
                                    "caller": caller} for name, origin, amount, caller in sites]}
    assert judge("memory.heap_growth", facts(*takes)).reason.endswith(f"to 80 MiB; {named}.")


def test_a_site_under_several_callers_is_one_that_its_largest_caller_names() -> None:
    takes = idle(*GROWS)
    for one, amounts in zip(takes, ((1, 2), (20, 2), (50, 2)), strict=True):
        one["heap"] = {"sites": [
            {"function": "bytes.growSlice", "origin": "std", "file": "/x/a.go", "line": 3, "inuse_bytes": amount * MIB,
             "alloc_bytes": amount * MIB, "caller": ["main." + name, "/src/fill.go", 12, "own"]}
            for name, amount in zip(("fill", "other"), amounts, strict=True)]}
    result = judge("memory.heap_growth", facts(*takes))
    assert result.reason.endswith("; bytes.growSlice (a.go:3), called by main.fill (fill.go:12) holds 49 MiB more.")
    assert result.evidence[-1] == "bytes.growSlice (a.go:3), called by main.fill (fill.go:12) holds 49 MiB more, 52 MiB in all"


def test_growth_is_seen_by_the_profile_where_garbage_hides_it() -> None:
    takes = idle((60, 64, 5), (50, 124, 6), (60, 184, 7))
    for one, amount in zip(takes, (1, 30, 60), strict=True):
        one["heap"] = take(sites={"remember": amount})["heap"]
    assert judge("memory.heap_growth", facts(*takes)).status == "fail"


def test_growth_with_the_collector_switched_off_is_not_judged_by_its_goal() -> None:
    document = facts(*idle(*GROWS), services=process(environ={"GOGC": "off"}))
    assert judge("memory.heap_growth", document).status == "pass"


def test_growth_says_how_old_the_process_is_and_what_happened_to_it() -> None:
    document = facts(*idle(*GROWS[:2]), started=940.0, restarted="PID 812 was replaced by PID 900: one later take was dropped")
    result = judge("memory.heap_growth", document)
    assert result.reason == ("There are 2 snapshots of MemStats without load (PID 812 was replaced by PID 900: one later take was "
                             "dropped); "
                             "at least 3 are needed.")
    assert result.evidence == ("PID 812 had run for 1 minute at the first snapshot",
                               "PID 812 was replaced by PID 900: one later take was dropped")


def test_growth_of_a_young_process_may_be_its_caches() -> None:
    result = judge("memory.heap_growth", facts(*idle(*GROWS), started=940.0))
    assert (result.status, result.severity) == ("fail", "medium")
    assert result.reason.endswith("from 20 MiB to 80 MiB. It was started 1 minute before: its caches may still fill.")
    assert judge("memory.heap_growth", facts(*idle(*GROWS), started=400.0)).severity == "high"
    assert judge("memory.heap_growth", facts(*idle(*GROWS), started=None)).severity == "high"


@pytest.mark.parametrize(("started", "steps", "status", "severity"), [
    (940.0, 2, "fail", "medium"), (940.5, 2, "unknown", "info"), (990.0, 3, "unknown", "info"), (990.0, 4, "fail", "medium"),
    (890.0, 4, "fail", "medium")])
def test_growth_of_a_process_that_has_just_begun_is_not_known_unless_it_is_steady(
        started: float, steps: int, status: str, severity: str) -> None:
    takes = idle(*[(20 + 30 * number, 32 + 60 * number, 5 + number) for number in range(steps + 1)])
    result = judge("memory.heap_growth", facts(*takes, started=started))
    assert (result.status, result.severity) == (status, severity)
    if status == "unknown":
        assert result.reason.endswith(f"of a process that was started {1000 - started:.0f} s before: its caches may still fill.")


FULL = "the growth ended within the window, as that of a cache that is full: its last step is below a quarter of an even rate's"


@pytest.mark.parametrize(("last", "cycles", "status"), [(100, 7, "pass"), (109, 7, "pass"), (113, 7, "fail"), (92, 6, "fail")],
                         ids=["plateau", "less-than-a-quarter", "a-quarter", "no-cycle-in-the-last-step"])
def test_a_cache_that_is_full_is_no_growth(last: float, cycles: int, status: str) -> None:
    """From 32 to 100 MiB in the first minute."""
    first = 92 if cycles == 6 else 100
    result = judge("memory.heap_growth", facts(*idle((20, 32, 5), (50, first, 6), (56, last, cycles))))
    assert result.status == status
    assert (FULL in result.evidence) is (status == "pass")
    if status == "pass":
        assert result.reason.startswith(f"Without load the live heap did not go on growing: its goal NextGC went from 32 MiB to {last} MiB")


def test_a_live_heap_that_is_full_is_no_growth() -> None:
    takes = [take("idle", 60 * number, alloc=value, forced=True, cycles=5 + number) for number, value in enumerate((20, 40, 41))]
    result = judge("memory.heap_growth", facts(*takes))
    assert (result.status, result.reason) == (
        "pass", "Without load the live heap after a forced GC grew by 21 MiB, and then no more (20 MiB to 41 MiB in 2 minutes).")


@pytest.mark.parametrize(("function", "caller", "named"), [
    ("compress/flate.(*compressor).init", None, False), ("runtime/pprof.writeGoroutineStacks", None, False),
    ("net/http/pprof.Index", None, False), ("compress/flate.NewWriter", ["main.zip", "/src/zip.go", 12, "own"], True),
    ("compress/flate.NewWriter", ["example.org/gz.Zip", "/d/zip.go", 12, "dependency"], True), ("bufio.NewWriterSize", None, True)])
def test_what_the_taking_of_profiles_allocates_is_not_named(function: str, caller: Any, named: bool) -> None:
    takes = idle(*GROWS)
    takes[0]["heap"] = take(sites={"other": 1})["heap"]
    takes[-1]["heap"] = {"sites": [{"function": function, "origin": "std", "inuse_bytes": 40 * MIB, "file": "/x/a.go", "line": 3,
                                    "caller": caller}]}
    result = judge("memory.heap_growth", facts(*takes))
    assert (function in result.reason, any(function in line for line in result.evidence)) == (named, named)


def churning(takes: list[dict[str, Any]], allocated: float) -> list[dict[str, Any]]:
    """With a site that holds 30 MiB more from one take to the next, of so many MiB that it allocated meanwhile."""
    for number, one in enumerate(takes):
        one["heap"] = {"sites": [{"function": "main.serve", "file": "/a/a.go", "line": 3, "origin": "own",
                                  "inuse_bytes": (10 + 30 * number) * MIB, "alloc_bytes": int((50 + allocated * number) * MIB)}]}
    return takes


def test_requests_in_work_are_no_growth() -> None:
    result = judge("memory.heap_growth", facts(*churning(idle(*GROWS), 1000)))
    assert (result.status, result.severity, result.reason) == (
        "unknown", "info", "The live heap rose in 3 snapshots; main.serve (a.go:3) holds 60 MiB more, but what grew is allocated and freed "
        "all the time: it may be requests in work; 6 snapshots tell.")
    assert judge("memory.heap_growth", facts(*churning(idle(*GROWS), 100))).status == "fail"  # three of ten stay
    six = [(20 + 30 * number, 32 + 60 * number, 5 + number) for number in range(6)]
    assert judge("memory.heap_growth", facts(*churning(idle(*six), 1000))).status == "fail"


def test_requests_in_work_are_not_left_behind() -> None:
    takes = [*QUIET, take("after", 240, inuse=290, goal=500, cycles=99), take("after", 300, inuse=285, goal=500, cycles=101)]
    assert judge("memory.returns_after_load", facts(*churning(takes, 40))).status == "fail"
    result = judge("memory.returns_after_load", facts(*churning(takes, 1000)))
    assert (result.status, result.severity, result.reason) == (
        "unknown", "info", "The heap in use (no GC was forced) is 285 MiB after the load, 20 MiB before it; main.serve (a.go:3) holds 60 "
        "MiB more, but what grew is allocated and freed all the time: it may be requests in work.")


def test_growth_thresholds() -> None:
    document = facts(*[take("idle", 60 * number, alloc=value, forced=True, cycles=5 + number)
                       for number, value in enumerate((100, 103, 106))])
    assert judge("memory.heap_growth", document).status == "fail"
    assert judge("memory.heap_growth", document, thresholds={"memory.heap_growth": {"per_hour": 200.0}}).status == "pass"
    assert judge("memory.heap_growth", document, thresholds={"memory.heap_growth": {"floor": 32.0}}).status == "pass"


# --- returns_after_load

QUIET = idle((20, 32, 5), (20, 32, 6), (20, 32, 7))
LOAD = take("load", 150, inuse=300, goal=500, cycles=90)


@pytest.mark.parametrize(("takes", "status", "severity", "reason"), [
    pytest.param([*QUIET, LOAD, take("after", 240, inuse=25, goal=40, cycles=99)], "pass", "high",
                 "The heap in use (no GC was forced) is 25 MiB after the load, 20 MiB before it.", id="back"),
    pytest.param([*QUIET, LOAD, take("after", 240, inuse=25, goal=40, cycles=99, idle=300, released=20, rss=330)], "pass", "high",
                 "The heap in use (no GC was forced) is 25 MiB after the load, 20 MiB before it. Free memory of 280 MiB is kept by the "
                 "runtime "
                 "for the next peak and given back in the background (RSS is 330 MiB): no leak.", id="rss-stays"),
    pytest.param([*QUIET, LOAD, take("after", 240, inuse=90, goal=36, cycles=99)], "pass", "high",
                 "The heap in use (no GC was forced) is 90 MiB after the load, 20 MiB before it, but the live heap came back (NextGC 36 "
                 "MiB, "
                 "32 MiB before): the rest is garbage that waits for its GC.", id="garbage"),
    pytest.param([*QUIET, LOAD, take("after", 240, inuse=290, goal=500, cycles=99), take("after", 300, inuse=285, goal=500, cycles=101)],
                 "fail", "high", "The heap in use (no GC was forced) is 285 MiB after the load, 265 MiB above the 20 MiB before it.",
                 id="stays"),
    pytest.param([*QUIET, LOAD, take("after", 240, inuse=290, goal=500, cycles=99), take("after", 300, inuse=285, goal=500, cycles=100)],
                 "fail", "medium", "The heap in use (no GC was forced) is 285 MiB after the load, 265 MiB above the 20 MiB before it. "
                                   "One GC "
                 "ran since; a sync.Pool gives its objects back at the second.", id="stays-one-gc"),
    pytest.param([*QUIET, LOAD, take("after", 240, inuse=290, goal=500, cycles=99)], "unknown", "info",
                 "The heap in use (no GC was forced) is 290 MiB after the load, 20 MiB before it, and no GC is known to have ended "
                 "since: it "
                 "may be garbage.", id="no-gc-since"),
    pytest.param(QUIET, "notapplicable", "high",
                 "No load was given: preflight_load names one (a command, a url with a rate, or external), in profile deep.", id="no-load"),
    pytest.param([*QUIET, LOAD], "unknown", "info", "There is no snapshot of MemStats after the load.", id="no-after"),
    pytest.param([LOAD], "unknown", "info", "There is no snapshot of MemStats before and after the load.", id="load-only"),
    pytest.param([*QUIET, take("after", 240, inuse=2, goal=4, cycles=1)], "unknown", "info",
                 "The counters went back during the load: it is another process now.", id="another-life"),
    pytest.param([take("idle", 0, alloc=8, inuse=60, forced=True), take("after", 240, alloc=20, inuse=60, forced=True, cycles=50)],
                 "pass", "high", "The live heap after a forced GC is 20 MiB after the load, 8 MiB before it.", id="small-and-forced"),
    pytest.param([take("idle", 0, alloc=8, forced=True), take("after", 240, alloc=60, forced=True, cycles=50, sites={"keep": 50}),
                  take("after", 300, alloc=58, forced=True, cycles=51)],
                 "fail", "high", "The live heap after a forced GC is 58 MiB after the load, 50 MiB above the 8 MiB before it.",
                 id="forced"),
])
def test_returns_after_load(takes: list[dict[str, Any]], status: str, severity: str, reason: str) -> None:
    result = judge("memory.returns_after_load", facts(*takes))
    assert (result.status, result.severity, result.reason) == (status, severity, reason)


def test_the_times_of_the_pauses_prove_a_gc_after_the_load() -> None:
    # The first take of phase after is 30 s (`settle`) after the load's end: two cycles ended in that time.
    pauses = [[(NOON + second) * 10**9, 90_000] for second in (235, 215, 205, 180)]
    takes = [*QUIET, LOAD, take("after", 240, inuse=290, goal=500, cycles=99, pauses=pauses)]
    result = judge("memory.returns_after_load", facts(*takes, runtime={"plan": {"load": {"settle": 30}}}))
    assert (result.status, result.severity) == ("fail", "high")
    assert "2 GC cycles are known to have ended after the load" in result.evidence


def test_a_load_that_failed_proves_nothing() -> None:
    document = facts(*QUIET, take("after", 240, inuse=20, cycles=9),
                     runtime={"load": {"rc": 127, "error": "it ended with exit status 127"}})
    result = judge("memory.returns_after_load", document)
    assert (result.status, result.severity, result.reason) == (
        "unknown", "low", "The load did not do its work (it ended with exit status 127): whether memory comes back is not known.")
    assert result.evidence[1:] == ("the load: it ended with exit status 127", "before it: 20 MiB, 20 MiB, 20 MiB of heap in use",
                                   "after it: 20 MiB of heap in use")


def test_a_load_that_failed_makes_no_finding_either() -> None:
    takes = [*QUIET, LOAD, take("after", 240, inuse=290, goal=500, cycles=99), take("after", 300, inuse=285, goal=500, cycles=101)]
    assert judge("memory.returns_after_load", facts(*takes)).status == "fail"
    document = facts(*takes, runtime={"plan": {"load": {"settle": 30}}, "load": {"rc": 1, "error": "it ended with exit status 1"}})
    assert judge("memory.returns_after_load", document).status == "unknown"


@pytest.mark.parametrize(("takes", "load", "reason"), [
    ([*QUIET, take("after", 240, cycles=9)], {"rc": 0, "error": None}, "No snapshot was taken under the load: whether memory comes back is "
     "not known."),
    ([*QUIET, take("after", 240, cycles=9)], None, "No snapshot was taken under the load: whether memory comes back is not known."),
    (QUIET, None, "No snapshot was taken under the load: whether memory comes back is not known."),
    ([*QUIET, LOAD, take("after", 240, cycles=99)], {"rc": None, "error": "no load tool is installed"},
     "The load did not do its work (no load tool is installed): whether memory comes back is not known."),
], ids=["no-load-take", "nothing-told", "idle-only", "error"])
def test_a_planned_load_that_nobody_saw_is_never_a_pass(takes: list[dict[str, Any]], load: Any, reason: str) -> None:
    document = facts(*takes, runtime={"plan": {"load": {"kind": "command", "settle": 30}}, "load": load})
    result = judge("memory.returns_after_load", document)
    assert (result.status, result.severity, result.reason) == ("unknown", "low", reason)


def test_growth_under_a_load_that_failed_is_not_judged() -> None:
    takes = [*idle((10, 16, 5), (10, 16, 6), (10, 16, 7)), take("load", 150, inuse=400, cycles=60)]
    assert judge("memory.heap_growth", facts(*takes)).status == "fail"
    result = judge("memory.heap_growth", facts(*takes, runtime={"load": {"rc": 1, "error": "it ended with exit status 1"}}))
    assert result.status == "pass"
    assert "the heap under load was not judged, the load failed: it ended with exit status 1" in result.evidence


def test_returns_thresholds() -> None:
    takes = [*QUIET, LOAD, take("after", 240, inuse=33, goal=90, cycles=99), take("after", 300, inuse=33, goal=90, cycles=101)]
    assert judge("memory.returns_after_load", facts(*takes)).status == "pass"
    assert judge("memory.returns_after_load", facts(*takes), thresholds={"memory.returns_after_load": {"floor": 8.0}}).status == "fail"


# --- gc_pause_p99


def ring(lengths: list[float], *, newest: float = 10.0, apart: float = 2.0) -> list[list[int]]:
    """Pauses in milliseconds, newest first, the newest ``newest`` s before the take."""
    return [[int((NOON - newest - apart * number) * 1e9), int(length * 1e6)] for number, length in enumerate(lengths)]


@pytest.mark.parametrize(("pauses", "status", "severity", "reason"), [
    pytest.param(ring([0.1] * 256), "pass", "medium",
                 "The 99th percentile of the stops is 0.1 ms of 256 GC cycles of the last 8.7 minutes.", id="healthy"),
    pytest.param(ring([30.0] * 2 + [0.1] * 198), "pass", "medium",
                 "The 99th percentile of the stops is 0.1 ms of 200 GC cycles of the last 6.8 minutes.", id="two-of-200-are-above-it"),
    pytest.param(ring([30.0] * 3 + [0.1] * 197), "pass", "medium",
                 "3 stops of up to 30 ms among 200 GC cycles of the last 6.8 minutes; the others took 0.1 ms at most: too few to say that "
                 "the 99th percentile is above 10 ms.", id="three-of-200"),
    pytest.param(ring([58.0, 14.3] + [3.9] * 136), "pass", "medium",
                 "2 stops of up to 58 ms among 138 GC cycles of the last 4.7 minutes; the others took 3.9 ms at most: too few to say that "
                 "the 99th percentile is above 10 ms.", id="two-of-138-on-a-busy-machine"),
    pytest.param(ring([30.0] * 6 + [0.1] * 194), "fail", "medium",
                 "The 99th percentile of the stops is 30 ms of 200 GC cycles of the last 6.8 minutes; 6 took more than the 10 ms that are "
                 "accepted.", id="six-of-200"),
    pytest.param(ring([0.2] * 11 + [14.0]), "pass", "medium",
                 "One stop of 14 ms among 12 GC cycles of the last 32 s; the others took 0.2 ms at most: too few to say that the 99th "
                 "percentile is above 10 ms.", id="one-of-12"),
    pytest.param(ring([3.0] * 20 + [16.8]), "pass", "medium",
                 "One stop of 16.8 ms among 21 GC cycles of the last 50 s; the others took 3 ms at most: too few to say that the 99th "
                 "percentile is above 10 ms.", id="one-of-21"),
    pytest.param(ring([0.2] * 10 + [14.0, 11.0]), "fail", "low",
                 "The longest stop (fewer than 100 cycles: the maximum, not a percentile) is 14 ms of 12 GC cycles of the last 32 s; 2 "
                 "took more than the 10 ms that are accepted.", id="two-of-12"),
    pytest.param(ring([14.0]), "pass", "medium",
                 "The only GC cycle, 10 s ago, stopped it for 14 ms: too few to say that the 99th percentile is above 10 ms.",
                 id="the-only-one"),
    pytest.param(ring([0.2] * 12), "pass", "medium",
                 "The longest stop (fewer than 100 cycles: the maximum, not a percentile) is 0.2 ms of 12 GC cycles of the last 32 s.",
                 id="few"),
    pytest.param(ring([0.2]), "pass", "medium",
                 "The longest stop (fewer than 100 cycles: the maximum, not a percentile) is 0.2 ms of the only GC cycle, 10 s ago.",
                 id="one"),
    pytest.param(ring([0.1] * 150, apart=10.0) + ring([40.0] * 100, newest=4000.0), "pass", "medium",
                 "The 99th percentile of the stops is 0.1 ms of 150 GC cycles of the last 25 minutes.", id="of-an-hour-ago"),
    pytest.param(ring([0.1] * 50, apart=60.0) + ring([40.0] * 100, newest=4000.0), "fail", "medium",
                 "The 99th percentile of the stops is 40 ms of 150 GC cycles of the last 70 minutes; 100 took more than the 10 ms that are "
                 "accepted.",
                 id="too-few-in-the-last-hour"),
])
def test_gc_pause(pauses: list[list[int]], status: str, severity: str, reason: str) -> None:
    result = judge("memory.gc_pause_p99", facts(take("once", pauses=pauses, cycles=300)))
    assert (result.status, result.severity, result.reason) == (status, severity, reason)


def histogram(*counts: float) -> dict[str, Any]:
    """The runtime's buckets as client_golang shows them (powers of ten), cumulative."""
    bounds = (6.4e-08, 6.4e-07, 7.168e-06, 8.192e-05, 0.000917504, 0.010485759, 0.11744, None)
    return {"buckets": [list(pair) for pair in zip(bounds, counts, strict=True)], "count": counts[-1], "sum": 1.0}


@pytest.mark.parametrize(("histograms", "pauses", "status", "severity", "reason"), [
    pytest.param([histogram(0, 0, 0, 900, 1000, 1000, 1000, 1000)], [], "pass", "medium",
                 "The 99th percentile of the pauses is at most 0.918 ms (1000 pauses since the start of the process, by "
                 "go_gc_pauses_seconds).", id="since-start"),
    pytest.param([histogram(0, 0, 0, 900, 900, 900, 1000, 1000)], ring([0.1] * 100), "fail", "medium",
                 "The 99th percentile of the pauses is above 10.5 ms (1000 pauses since the start of the process, by "
                 "go_gc_pauses_seconds); 10 ms is accepted.", id="preferred"),
    pytest.param([histogram(0, 0, 0, 8, 8, 8, 10, 10)], [], "fail", "low",
                 "The longest pause (fewer than 100: the maximum, not a percentile) is above 10.5 ms (10 pauses since the start of the "
                 "process, by go_gc_pauses_seconds); 10 ms is accepted.", id="few"),
    pytest.param([histogram(0, 0, 0, 9, 9, 9, 10, 10)], [], "pass", "medium",
                 "One pause is above 10 ms of 10 since the start of the process (by go_gc_pauses_seconds): too few to say that the 99th "
                 "percentile is.", id="one-of-few"),
    pytest.param([histogram(0, 0, 0, 147, 147, 147, 150, 150)], [], "pass", "medium",
                 "3 pauses are above 10 ms of 150 since the start of the process (by go_gc_pauses_seconds): too few to say that the 99th "
                 "percentile is.", id="three-of-150"),
    pytest.param([histogram(0, 0, 0, 900, 900, 1000, 1000, 1000)], ring([0.1] * 100), "pass", "medium",
                 "The 99th percentile of the stops is 0.1 ms of 100 GC cycles of the last 3.5 minutes.", id="bucket-too-wide"),
    pytest.param([histogram(0, 0, 0, 900, 900, 900, 1000, 1000), histogram(0, 0, 0, 1100, 1100, 1100, 1200, 1200)], [], "pass", "medium",
                 "The 99th percentile of the pauses is at most 0.0819 ms (200 pauses in 2 minutes, by go_gc_pauses_seconds).",
                 id="between"),
    pytest.param([histogram(0, 0, 0, 900, 900, 900, 1000, 1000), histogram(0, 0, 0, 910, 910, 910, 1010, 1010)], [], "fail", "medium",
                 "The 99th percentile of the pauses is above 10.5 ms (1010 pauses since the start of the process, by "
                 "go_gc_pauses_seconds); 10 ms is accepted.", id="too-few-between"),
    pytest.param([histogram(0, 0, 0, 900, 900, 900, 1000, 1000), histogram(0, 0, 0, 200, 200, 200, 200, 200)], [], "pass", "medium",
                 "The 99th percentile of the pauses is at most 0.0819 ms (200 pauses since the start of the process, by "
                 "go_gc_pauses_seconds).", id="counters-went-back"),
    pytest.param([{"buckets": [], "count": 3, "sum": 1.0}], ring([0.1] * 100), "pass", "medium",
                 "The 99th percentile of the stops is 0.1 ms of 100 GC cycles of the last 3.5 minutes.", id="empty"),
])
def test_gc_pause_by_histogram(histograms: list[Any], pauses: list[Any], status: str, severity: str, reason: str) -> None:
    takes = [take("idle", 120.0 * number, pauses=pauses, families={"go_gc_pauses_seconds": one}) for number, one in enumerate(histograms)]
    result = judge("memory.gc_pause_p99", facts(*takes))
    assert (result.status, result.severity, result.reason) == (status, severity, reason)


def test_gc_pause_of_a_program_that_never_collected() -> None:
    result = judge("memory.gc_pause_p99", facts(take("once", cycles=0)))
    assert (result.status, result.reason) == ("notapplicable", "It has not run a garbage collection yet.")


def test_gc_pause_takes_the_pauses_of_all_takes_once() -> None:
    first, second = ring([0.1] * 60), ring([0.1] * 60, newest=-110.0)
    result = judge("memory.gc_pause_p99", facts(take("idle", 0, pauses=first), take("idle", 120, pauses=[*second, *first])))
    assert "120 GC cycles" in result.reason


@pytest.mark.parametrize(("over", "total", "wanted"), [
    (0, 1, False), (1, 1, False), (1, 5, False), (2, 2, True), (2, 35, True), (2, 36, False), (3, 82, True), (3, 83, False),
    (5, 198, True), (5, 256, False), (6, 256, True), (256, 256, True), (62, 5000, False), (63, 5000, True), (63, 5001, True),
    (5000, 5000, True), (60, 6000, False), (600, 6000, True), (10**6, 10**8, False), (2 * 10**6, 10**8, True),
])
def test_more_than_one_of_a_hundred(over: int, total: int, wanted: bool) -> None:
    assert numbers.more_than_one_of_a_hundred(over, total) is wanted


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300))
def test_nearest_rank(values: list[float]) -> None:
    found = numbers.nearest_rank(values, 0.99)
    assert found in values
    assert sum(value <= found for value in values) >= 0.99 * len(values)
    assert sum(value < found for value in values) < 0.99 * len(values)
    if len(values) < 100:
        assert found == max(values)


# --- gc_cpu


@pytest.mark.parametrize(("takes", "status", "severity", "reason"), [
    pytest.param([take("once", 0, fraction=0.0123)], "pass", "medium",
                 "The garbage collector took 1.2 % of the CPU time available since the start of the process, 16.6 minutes.", id="healthy"),
    pytest.param([take("once", 0, fraction=0.31)], "fail", "medium",
                 "The garbage collector took 31 % of the CPU time available since the start of the process, 16.6 minutes; 25 % is what one "
                 "collection may take while it runs.", id="since-start"),
    pytest.param([take("once", 0, fraction=0.18)], "fail", "low",
                 "The garbage collector took 18 % of the CPU time available since the start of the process, 16.6 minutes; from 15 % on "
                 "it is "
                 "told.", id="told"),
    pytest.param([take("idle", 0, fraction=0.02, cycles=10), take("idle", 120, fraction=0.05, cycles=90)], "fail", "medium",
                 "The garbage collector took 30 % of the CPU time available over 2 minutes; 25 % is what one collection may take while it "
                 "runs.", id="window"),
    pytest.param([take("idle", 0, fraction=0.30, cycles=10), take("idle", 120, fraction=0.27, cycles=90)], "pass", "medium",
                 "The garbage collector took 2 % of the CPU time available over 2 minutes.", id="bad-start-good-window"),
    pytest.param([take("idle", 0, fraction=0.02, cycles=10), take("idle", 10, fraction=0.02, cycles=12)], "pass", "medium",
                 "The garbage collector took 2 % of the CPU time available since the start of the process, 16.8 minutes.",
                 id="window-too-short"),
    pytest.param([take("idle", 0, fraction=0.30, cycles=90), take("idle", 120, fraction=0.02, cycles=9)], "pass", "medium",
                 "The garbage collector took 2 % of the CPU time available since the start of the process, 18.6 minutes.", id="went-back"),
    pytest.param([take("once", -970, fraction=0.4)], "notapplicable", "medium",
                 "The process has run for 30 s only: its start is not what it is like.", id="young"),
    pytest.param([take("once", cycles=0)], "notapplicable", "medium", "It has not run a garbage collection yet.", id="no-gc"),
    pytest.param([take("once", fraction=None)], "unknown", "info", "MemStats tell no GCCPUFraction.", id="not-told"),
])
def test_gc_cpu(takes: list[dict[str, Any]], status: str, severity: str, reason: str) -> None:
    result = judge("memory.gc_cpu", facts(*takes))
    assert (result.status, result.severity, result.reason) == (status, severity, reason)


@pytest.mark.parametrize(("used", "cpus", "status"), [
    pytest.param((10.0, 37.0), 2, "pass", id="preempted"),
    pytest.param((10.0, 90.0), 2, "fail", id="really"),
    pytest.param((10.0, 37.0), None, "fail", id="one-processor-at-least"),
    pytest.param((None, None), 2, "fail", id="not-read"),
])
def test_gc_takes_no_more_than_the_process_used(used: tuple[Any, Any], cpus: int | None, status: str) -> None:
    takes = [take("idle", second, fraction=fraction, cycles=cycles, process={"rss": 1, "cpu_seconds": seconds})
             for second, fraction, cycles, seconds in ((0.0, 0.2, 10, used[0]), (126.0, 0.2, 90, used[1]))]
    result = judge("memory.gc_cpu", facts(*takes, host={"cpu": {"count": cpus}}))
    assert result.status == status
    said = "the whole process used 11 % of it: the rest is time in which the kernel ran something else"
    assert (said in result.evidence) == (status == "pass")


def test_gc_cpu_without_the_start_of_the_process() -> None:
    result = judge("memory.gc_cpu", facts(take("idle", 0, fraction=0.02, cycles=10), take("idle", 120, fraction=0.02, cycles=90),
                                          started=None))
    assert (result.status, result.reason) == ("pass", "The garbage collector took 2 % of the CPU time available since the start of the "
                                                      "process.")


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 1e6), st.floats(1, 1e6))
def test_the_share_of_a_window_is_a_share(before: float, after: float, age: float, seconds: float) -> None:
    takes = [take("idle", 0, fraction=before, cycles=1), take("idle", seconds, fraction=after, cycles=2)]
    for found in numbers.gc_fractions({"started": 1000.0 - age}, takes):
        assert 0 <= found.value <= 1


# --- rss_headroom


@pytest.mark.parametrize(("services", "host", "takes", "status", "severity", "reason"), [
    pytest.param(process(cgroup=group(100 * MIB)), {}, [take("once", rss=40)], "pass", "high",
                 "40 MiB of the 100 MiB that its control group may have are resident: 60 % are free.", id="room"),
    pytest.param(process(cgroup=group(100 * MIB)), {}, [take("once", rss=95)], "fail", "high",
                 "95 MiB of the 100 MiB that its control group may have are resident: 5 % are free; 10 % should be.", id="none"),
    pytest.param(process(cgroup=group(100 * MIB)), {}, [take("idle", rss=30), take("load", 60, rss=95), take("after", 90, rss=30)],
                 "fail", "high", "95 MiB of the 100 MiB that its control group may have are resident: 5 % are free; 10 % should be.",
                 id="under-load"),
    pytest.param(process(cgroup=group(100 * MIB, 99 * MIB)), {}, [take("once", rss=40)], "pass", "high",
                 "40 MiB of the 100 MiB that its control group may have are resident: 60 % are free.", id="page-cache"),
    pytest.param(process(cgroup=group("max", None, memory_max={"value": 50 * MIB, "path": "/system.slice"})), {}, [take("once", rss=48)],
                 "fail", "high", "48 MiB of the 50 MiB that its control group may have are resident: 4 % are free; 10 % should be.",
                 id="parent"),
    pytest.param([{"name": "api", "processes": [{"pid": 812, "rss": MIB, "cgroup": group(100 * MIB)},
                                                {"pid": 813, "rss": 55 * MIB, "cgroup": group(100 * MIB)}]}], {}, [take("once", rss=40)],
                 "fail", "high", "95 MiB of the 100 MiB that its control group may have are resident: 5 % are free; 10 % should be.",
                 id="two-processes"),
    pytest.param(process(cgroup=group("max")), {}, [take("once")], "notapplicable", "high",
                 "No memory limit is in force for it (40 MiB are resident).", id="no-limit-no-host"),
    pytest.param(process(), {"memory": {"total": 1000 * MIB, "available": 600 * MIB}}, [take("once")], "pass", "high",
                 "No memory limit is in force; 40 MiB are resident, and the host has 600 MiB available.", id="host"),
    pytest.param(process(), {"memory": {"total": 1000 * MIB, "available": 50 * MIB}}, [take("once", rss=800)], "fail", "medium",
                 "No memory limit is in force, it holds 800 MiB of the host's 1000 MiB, and 5 % of them are available.", id="host-full"),
    pytest.param(process(), {"memory": {"total": 1000 * MIB, "available": 50 * MIB}}, [take("once", rss=80)], "pass", "high",
                 "No memory limit is in force; 80 MiB are resident, and the host has 50 MiB available.", id="host-full-of-others"),
    pytest.param([], {}, [take("once", rss=None)], "unknown", "info", "Its resident memory was not read.", id="not-read"),
    pytest.param(process(environ={"GOMEMLIMIT": "64MiB"}, cgroup=group(100 * MIB)), {},
                 [take("once", rss=60, system=66, released=2, fraction=0.02)], "pass", "high",
                 "60 MiB of the 100 MiB that its control group may have are resident: 40 % are free.", id="at-its-own-limit"),
    pytest.param(process(environ={"GOMEMLIMIT": "64MiB"}, cgroup=group(100 * MIB)), {},
                 [take("once", rss=60, system=66, released=2, fraction=0.4)], "fail", "high",
                 "GOMEMLIMIT (64 MiB) is reached: the runtime holds 64 MiB, and its collector takes 40 % of the CPU time since the "
                 "start of "
                 "the process, 16.6 minutes: a death spiral, it collects ever more and frees ever less.", id="spiral"),
    pytest.param([], {}, [take("once", rss=60, system=66, released=2, fraction=0.4, families={"go_gc_gomemlimit_bytes": 64.0 * MIB})],
                 "fail", "high",
                 "GOMEMLIMIT (64 MiB) is reached: the runtime holds 64 MiB, and its collector takes 40 % of the CPU time since the "
                 "start of the process, 16.6 minutes: a death spiral, it collects ever more and frees ever less.", id="spiral-by-metrics"),
    pytest.param([], {}, [take("once", rss=60, fraction=0.4, families={"go_gc_gomemlimit_bytes": 9.223372036854776e18})], "notapplicable",
                 "high", "No memory limit is in force for it (60 MiB are resident).", id="no-gomemlimit"),
])
def test_rss_headroom(services: Any, host: Any, takes: Any, status: str, severity: str, reason: str) -> None:
    result = judge("memory.rss_headroom", facts(*takes, services=services, host=host))
    assert (result.status, result.severity, result.reason) == (status, severity, reason)


def test_headroom_tells_what_it_did_not_judge() -> None:
    document = facts(take("once", rss=40), services=process(cgroup=group(100 * MIB, 99 * MIB), environ={"GOMEMLIMIT": "90MiB"}))
    assert judge("memory.rss_headroom", document).evidence == (
        "PID 812: resident 40 MiB", "peak since its start (VmHWM): 40 MiB", "/proc/812/environ: GOMEMLIMIT=90MiB (90 MiB)",
        "memory.current: 99 MiB, with the page cache, which the kernel takes back first",
        "cgroup /system.slice/api.service: memory.max 100 MiB")


# --- services that ran (fixtures/runtime/memory: what each one does is in its record.py)


@pytest.mark.parametrize(("name", "check", "status", "severity"), [
    ("growth-go1.27", "memory.heap_growth", "unknown", "info"),  # of a process of 3 s: a cache begins like that
    ("growth-go1.24", "memory.heap_growth", "unknown", "info"),
    ("growth-forced", "memory.heap_growth", "unknown", "info"),
    ("twin-go1.27", "memory.heap_growth", "pass", "high"),
    ("twin-go1.24", "memory.heap_growth", "pass", "high"),
    ("twin-forced", "memory.heap_growth", "pass", "high"),
    ("pressure", "memory.heap_growth", "pass", "high"),
    ("every-wait", "memory.heap_growth", "pass", "high"),
    ("load", "memory.returns_after_load", "fail", "high"),
    ("load-forced", "memory.returns_after_load", "fail", "high"),
    ("load-twin", "memory.returns_after_load", "pass", "high"),
    ("load", "memory.heap_growth", "pass", "high"),
    ("load-twin", "memory.heap_growth", "pass", "high"),
    ("pressure", "memory.gc_pause_p99", "pass", "medium"),
    ("growth-go1.24", "memory.gc_pause_p99", "pass", "medium"),
])
def test_recorded(name: str, check: str, status: str, severity: str) -> None:
    result = judge(check, recorded(name))
    assert (result.status, result.severity) == (status, severity), result.reason


@pytest.mark.parametrize(("older", "severity"), [(57, "medium"), (596, "medium"), (597, "high")])
@pytest.mark.parametrize("name", ["growth-go1.27", "growth-go1.24", "growth-forced"])
def test_recorded_growth_of_an_older_process(name: str, older: float, severity: str) -> None:
    document = recorded(name)
    document["runtime"]["endpoints"][0]["started"] -= older
    result = judge("memory.heap_growth", document)
    assert (result.status, result.severity) == ("fail", severity), result.reason


@pytest.mark.parametrize("name", ["growth-go1.27", "growth-go1.24", "growth-forced"])
def test_the_site_that_grew_is_named(name: str) -> None:
    assert "; example.test/leaky/memory.block (memory.go:" in judge("memory.heap_growth", recorded(name)).reason


def test_pressure_of_the_collector_is_seen_in_the_window() -> None:
    document = recorded("pressure")
    (entry,) = document["runtime"]["endpoints"]
    entry["started"] -= 600  # as if it had run for longer: a process younger than a minute is not judged
    result = judge("memory.gc_cpu", document)
    assert result.status in ("pass", "fail") and "over 3" in result.reason, result.reason
