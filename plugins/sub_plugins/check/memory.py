# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a service's memory stay bounded, does it come back after load, and what does the garbage collector (GC) cost?

All of it is read from outside: MemStats of ``/debug/pprof/heap?debug=1``, the histograms of a metrics page, /proc and the
control group. What a window is too short to tell is unknown (as info), never a finding.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import promtext
from ansible_collections.goready.preflight.plugins.plugin_utils import memory, runtimes, subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Facts, Outcome, Policy, Remediation, Threshold, as_root, check, failed, lookup, notapplicable, passed, unknown,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.memory import MIB, Fraction, Heap, Take, milliseconds, span
from ansible_collections.goready.preflight.plugins.plugin_utils.runtimes import Endpoint
from ansible_collections.goready.preflight.plugins.plugin_utils.subjects import INFINITY, parse_memory_limit, size

NEEDS = ("runtime.endpoints",)
SHOWN = 10  # allocation sites in the evidence

# A percentile that says more than the maximum does needs that many values.
ENOUGH_PAUSES = 100
# Seconds: pauses before that say how the service was, where enough came after them.
RECENT = 3600.0
# GCCPUFraction moves by what one cycle takes; below that the mean of a window is one cycle's.
SHORTEST_WINDOW = 30.0
# A growth that is smaller than this share is within what two GC cycles of a steady service differ by.
NOISE = 0.05
# After a forced GC only what is in flight differs.
NOISE_FORCED = 0.02
# Seconds: a process that has run for less may still fill its caches.
YOUNG = 600.0
# Seconds: and of one that has run for less, or for less than half of the window, nothing is known: a cache begins as a leak does.
BEGINS = 60.0
ENDED = "the growth ended within the window, as that of a cache that is full: its last step is below a quarter of an even rate's"
# Snapshots that rise by chance, one after the other, in one of 720 windows only.
CERTAIN = 6
# Of a service whose GOMEMLIMIT is reached to this share, the collector's work is that limit's doing. The runtime itself keeps
# to 95 % of the limit before it gives memory back (runtime/mgcscavenge.go, memoryLimit).
AT_LIMIT = 0.95

_LONGER = Remediation(
    hint="Look longer: preflight_runtime.snapshots (at least 3) and interval (seconds). With preflight_runtime.gc: true each "
         "snapshot forces a garbage collection first, and the live heap is compared without garbage.")
_HEAP_PROFILE = "go tool pprof -sample_index=inuse_space -top RUN/profiles/HOST/SERVICE/heap-idle.pb.gz"
_HEAP_DIFFERENCE = ("go tool pprof -sample_index=inuse_space -top -diff_base RUN/profiles/HOST/SERVICE/heap-idle.pb.gz "
                    "RUN/profiles/HOST/SERVICE/heap-after.pb.gz")


def _each(facts: Facts) -> Iterator[tuple[Endpoint, Outcome | None]]:
    """Every endpoint, and what there is to say where it has given nothing to judge."""
    for endpoint in runtimes.endpoints(facts):
        yield endpoint, None if endpoint.takes else runtimes.without_take(endpoint)


def _life(endpoint: Endpoint) -> list[str]:
    """What the window is to be read with: how long the process had run, and whether it was replaced meanwhile."""
    seconds = memory.age(endpoint.facts, endpoint.takes[0])
    lines = [f"PID {endpoint.facts.get('pid')} had run for {span(seconds)} at the first snapshot"] if seconds is not None else []
    return [*lines, *endpoint.life]


def _kind(forced: bool) -> str:
    return "live heap (HeapAlloc after a forced GC)" if forced else "heap in use (HeapInuse, with garbage: no GC was forced)"


def _sites(before: Take, after: Take) -> list[str]:
    """The allocation sites that hold more than before, for the evidence."""
    grown = memory.grown_sites(before, after)
    lines = [f"{memory.where(site)} holds {size(more)} more, {size(int(site.get('inuse_bytes') or 0))} in all" for site, more in grown]
    return lines[:SHOWN] + ([f"... and {len(lines) - SHOWN} more sites"] if len(lines) > SHOWN else [])


def _named(before: Take, after: Take) -> str:
    """The site that grew most, for the sentence. Own code and its dependencies go before the runtime and the standard library,
    which allocate for somebody."""
    grown = memory.grown_sites(before, after)
    if not grown:
        return ""
    ours = [pair for pair in grown if memory.ours(pair[0]) and 4 * pair[1] >= grown[0][1]]
    site, more = (ours or grown)[0]
    return f"; {memory.where(site)} holds {size(more)} more"


def _with_heap(takes: Sequence[Take]) -> list[Take]:
    return [take for take in takes if lookup(take, "heap.sites")]


@check(
    "memory.heap_growth",
    title="The heap does not grow without end",
    severity="high",
    profile="deep",
    why="What stays reachable is never freed: a map without eviction, an append to a global, a goroutine that never ends keeps its "
        "stack and everything it points to. The heap grows until the kernel kills the process (OOM), and the collector works "
        "more and more on the way. HeapAlloc alone does not show it: it holds garbage too, and doubles between two collections at "
        "GOGC=100 (Go source, runtime/mstats.go HeapAlloc; Go GC guide).",
    judged="Compared are the snapshots of phase idle (`preflight_runtime`: 3 of 60 s by default). Where each forced a GC "
           "(`preflight_runtime.gc`) the live heap (HeapAlloc) is compared. Else NextGC is, the goal that the collector derives from the "
           "live heap at the end of each cycle (runtime/mgcpacer.go), and HeapInuse or the heap profile must have risen with it: "
           "so garbage that waits for its collection is no growth. It fails where no snapshot is below the one before, the growth is above "
           "`floor` and 5 % (after forced GCs a quarter of it and 2 %), and its rate above `per_hour`. Where HeapInuse rose and no GC ran "
           "between the snapshots nothing is known: unknown, as info. Of a process that was started less than 10 minutes before it is "
           "medium; where it had run for less than a minute or half of the window, it is unknown, as info, unless 4 steps rose at about "
           "one rate. Growth whose last step is below a quarter of an even rate's has ended: a cache that was filled. "
           "Where what grew is at sites that free most of what they allocate (less than a fifth is kept) it may be requests in "
           "work: unknown, as info, unless 6 snapshots rose. Under load the heap may be `load_ratio` times "
           "the idle one, or `load_floor` above it: beyond both it fails as medium, because it is a matter of size, "
           "not of a leak (what stays is memory.returns_after_load). The allocation sites that hold more than before are named, from the "
           "difference of the heap profiles (a sample each 512 KiB: small sites may be missing).",
    remediation=Remediation(
        hint="Look at the sites that hold more than before: bound the cache, delete from the map, end the goroutine that keeps it "
             "(goroutines.leaked). The report has the flame graph of the difference.", command=_HEAP_PROFILE),
    needs=NEEDS,
    thresholds={
        "per_hour": Threshold(10.0, "Growth of the heap of a service without load that is accepted.", unit="percent an hour", minimum=0),
        "floor": Threshold(4.0, "Growth within the window below which it is noise.", unit="MiB", minimum=0),
        "load_ratio": Threshold(10.0, "How many times the idle heap the heap under load may be.", unit="times", minimum=1),
        "load_floor": Threshold(256.0, "How much the heap under load may be above the idle one in any case.", unit="MiB", minimum=0),
    },
)
def heap_growth(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    for endpoint, missing in _each(facts):
        yield missing or _heap_growth(facts, endpoint, policy)


def _heap_growth(facts: Facts, endpoint: Endpoint, policy: Policy) -> Outcome:
    subject = endpoint.subject
    # What a load that failed has done to the heap nobody knows.
    failure = lookup(facts, "runtime.load.error")
    idle, load = memory.heaps(endpoint.of("idle")), [] if failure else memory.heaps(endpoint.of("load"))
    evidence = _life(endpoint) + ([f"the heap under load was not judged, the load failed: {failure}"] if failure else [])
    if len(idle) < 3:
        have = "There is one snapshot" if len(idle) == 1 else f"There are {len(idle)} snapshots"
        because = f" ({endpoint.facts['restarted']})" if endpoint.facts.get("restarted") else ""
        return unknown(f"{have} of MemStats without load{because}; at least 3 are needed.", subject=subject, evidence=evidence,
                       severity="info", remediation=_LONGER)
    forced = memory.alike(idle)
    values = [memory.value(heap, forced) for heap in idle]
    seconds = idle[-1].clock - idle[0].clock
    evidence += [f"{_kind(forced)}: {_list(values)}; over {span(seconds)}",
                 f"goal of the collector (NextGC): {_list([heap.goal for heap in idle])}",
                 f"{idle[-1].cycles - idle[0].cycles} GC cycles in that time"]
    percent = memory.gogc(endpoint.of("idle"), _process(facts, endpoint)[0])
    outcome = _risen(endpoint, policy, idle, forced, percent, evidence) or _under_load(endpoint, policy, idle, load, evidence)
    if outcome is not None:
        return outcome
    ended = ENDED in evidence
    if forced:
        grown = values[-1] - values[0]
        how = "did not grow" if grown <= 0 else f"grew by {size(grown)}, {'and then no more' if ended else 'which is noise or slow'}"
        reason = f"{_short(forced)} {how} ({size(values[0])} to {size(values[-1])} in {span(seconds)})"
    else:
        reason = f"live heap did not {'go on growing' if ended else 'grow noticeably'}: its goal NextGC went from {size(idle[0].goal)} to" \
                 f" {size(idle[-1].goal)}, the {_short(forced)} from {size(values[0])} to {size(values[-1])}, in {span(seconds)}"
    return passed(f"Without load the {reason}.", subject=subject, actual=values[-1], expected=_limit(policy), evidence=evidence)


def _list(values: Sequence[int]) -> str:
    return ", ".join(size(value) for value in values)


def _short(forced: bool) -> str:
    return "live heap after a forced GC" if forced else "heap in use (no GC was forced)"


def _limit(policy: Policy) -> str:
    return f"at most {policy.threshold(heap_growth, 'per_hour'):g} % an hour"


def _rate(values: Sequence[int], seconds: float) -> float:
    """Percent an hour."""
    return (values[-1] - values[0]) / max(values[0], 1) * 100.0 * 3600.0 / max(seconds, 1.0)


def _percent(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _rises(values: Sequence[int], floor: float, noise: float = NOISE) -> bool:
    """Whether values never fall and end above their beginning by more than what is noise."""
    return all(after >= before for before, after in zip(values, values[1:], strict=False)) and \
        values[-1] - values[0] > max(floor, noise * values[0])


def _risen(endpoint: Endpoint, policy: Policy, idle: Sequence[Heap], forced: bool, percent: float | None,
           evidence: list[str]) -> Outcome | None:
    """The finding of a heap that grows without load; None where it does not.

    Where no GC was forced the goals tell: their ratio is that of the live heaps as long as GOGC is the same. What changes GOGC
    while it runs raises the goal and no live heap, so the heap in use or the profile must have risen as well.
    """
    values, goals = [memory.value(heap, forced) for heap in idle], [heap.goal for heap in idle]
    seconds, floor = idle[-1].clock - idle[0].clock, float(policy.threshold(heap_growth, "floor")) * MIB
    takes = _with_heap(endpoint.of("idle"))
    grown = values[-1] - values[0]
    if forced:
        judged, rises = values, _rises(values, floor / 4, NOISE_FORCED)
    else:
        if grown > max(floor, NOISE * values[0]) and idle[-1].cycles == idle[0].cycles:
            return unknown(f"The heap in use grew by {size(grown)} in {span(seconds)}, and no GC ran in that time: it may be garbage.",
                           subject=endpoint.subject, evidence=evidence, severity="info", remediation=_LONGER)
        held = [memory.in_use(take) or 0 for take in takes[:1] + takes[-1:]]
        seen = grown > max(floor, NOISE * values[0]) or (len(held) == 2 and _rises(held, floor))
        judged, rises = goals, seen and percent is not None and _rises(goals, floor * (1 + percent / 100))
    rate = _rate(judged, seconds)
    if not rises or rate <= float(policy.threshold(heap_growth, "per_hour")):
        return None
    if memory.levels_off(idle, judged):
        evidence.append(ENDED)
        return None
    named = ""
    if len(takes) > 1:
        evidence, named = evidence + _sites(takes[0], takes[-1]), _named(takes[0], takes[-1])
    by = f"by {size(grown)} in {span(seconds)} ({size(values[0])} to {size(values[-1])}, {_percent(rate)} % an hour)" if forced else (
        f"by {_percent(rate)} % an hour: its goal NextGC rose from {size(goals[0])} to {size(goals[-1])} in {span(seconds)}, the "
        f"{_short(forced)} from {size(values[0])} to {size(values[-1])}")
    if len(idle) < CERTAIN and len(takes) > 1 and memory.kept(takes[0], takes[-1]) is False:
        return unknown(f"The live heap rose in {len(idle)} snapshots{named}, but what grew is allocated and freed all the time: it may be "
                       f"requests in work; {CERTAIN} snapshots tell.", subject=endpoint.subject, evidence=evidence, severity="info",
                       remediation=_LONGER)
    ran = memory.age(endpoint.facts, endpoint.of("idle")[0])
    if ran is not None and ran < max(BEGINS, seconds / 2) and not memory.steady(idle, judged):
        return unknown(f"Without load the {_short(forced) if forced else 'live heap'} grew {by}{named}, of a process that was started "
                       f"{span(ran)} before: its caches may still fill.", subject=endpoint.subject, evidence=evidence, severity="info",
                       remediation=_LONGER)
    young = ran is not None and ran < YOUNG
    caches = f" It was started {span(ran)} before: its caches may still fill." if young and ran is not None else ""
    return failed(f"Without load the {_short(forced) if forced else 'live heap'} grew {by}{named}.{caches}", subject=endpoint.subject,
                  actual=f"{_percent(rate)} % an hour", expected=_limit(policy), evidence=evidence, severity="medium" if young else None)


def _under_load(endpoint: Endpoint, policy: Policy, idle: Sequence[Heap], load: Sequence[Heap], evidence: list[str]) -> Outcome | None:
    if not load:
        return None
    forced = memory.alike(idle, load)
    quiet = min(memory.value(heap, forced) for heap in idle)
    # Of a saw the lowest point is nearest to what is alive.
    busy = min(memory.value(heap, forced) for heap in load)
    ratio, floor = float(policy.threshold(heap_growth, "load_ratio")), float(policy.threshold(heap_growth, "load_floor")) * MIB
    evidence.append(f"under load: {', '.join(size(memory.value(heap, forced)) for heap in load)} of {_kind(forced)}")
    if busy <= ratio * quiet or busy - quiet <= floor:
        return None
    takes, later = _with_heap(endpoint.of("idle")), _with_heap(endpoint.of("load"))
    if takes and later:
        evidence = evidence + _sites(takes[-1], later[-1])
    return failed(f"Under load the {_short(forced)} is {size(busy)}, {busy / max(quiet, 1):.3g} times the {size(quiet)} without load.",
                  subject=endpoint.subject, actual=f"{busy / max(quiet, 1):.3g} times", expected=f"at most {ratio:g} times",
                  evidence=evidence, severity="medium")


@check(
    "memory.returns_after_load",
    title="Memory comes back after load",
    severity="high",
    profile="deep",
    why="What a load leaves behind is left behind by the next one too: a service that is 100 MiB larger after each peak ends in the "
        "OOM killer. The other half is a false alarm that people chase for days: after a peak the runtime keeps free memory for the "
        "next one and returns it slowly in the background (runtime/mgcscavenge.go: at most 1 % of the CPU), so RSS stays high though "
        "nothing leaks (HeapIdle - HeapReleased, runtime/mstats.go).",
    judged="With `preflight_load`: the least heap of phase after must not be above the least of phase idle by more than `percent` and "
           "`floor`, whichever is more. Where all takes forced a GC the live heap is compared (HeapAlloc), else HeapInuse; there a "
           "NextGC that has come back is enough, because it follows the live heap. A heap that is larger is a finding only where "
           "a GC ended after the load: two GCs, or it is medium, because a sync.Pool gives its objects back at the second (sync/pool.go); "
           "without any it is unknown, as info; so is one whose sites free most of "
           "what they allocate: it may be requests in work. Where the load failed, or no snapshot was taken under it, the result is "
           "unknown, as low. Memory that the runtime keeps mapped is told and is no finding.",
    remediation=Remediation(
        hint="Look at the sites that hold more than before the load: what is kept for each request, user or connection and never "
             "dropped? Goroutines that the load left behind keep their memory too (goroutines.leaked).", command=_HEAP_DIFFERENCE),
    needs=NEEDS,
    thresholds={
        "percent": Threshold(20.0, "How much larger than before the load the heap may be.", unit="percent", minimum=0),
        "floor": Threshold(16.0, "How much larger it may be in any case: caches and pools that a first load fills.", unit="MiB", minimum=0),
    },
)
def returns_after_load(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    for endpoint, missing in _each(facts):
        yield missing or _returns(facts, endpoint, policy)


_LET_COLLECT = Remediation(
    hint="Allow a forced GC with preflight_runtime.gc: true, or give preflight_load a `settle` of 150 s: an idle Go program collects "
         "every 2 minutes (runtime/proc.go, forcegcperiod).")
_GIVE_LOAD = ("No load was given: preflight_load names one (a command, a url with a rate, or external), in profile deep.")


def _returns(facts: Facts, endpoint: Endpoint, policy: Policy) -> Outcome:
    subject, told = endpoint.subject, lookup(facts, "runtime.load") or {}
    idle, after = memory.heaps(endpoint.of("idle")), memory.heaps(endpoint.of("after"))
    if not endpoint.of("after", "load") and not told and not lookup(facts, "runtime.plan.load"):
        return notapplicable(_GIVE_LOAD, subject=subject)
    evidence = _life(endpoint)
    planned = lookup(facts, "runtime.plan.load") is not None
    if told.get("error") or (planned and not endpoint.of("load")):
        evidence += [f"the load: {told['error']}"] if told.get("error") else []
        evidence += [f"{which} it: {', '.join(size(heap.inuse) for heap in heaps)} of heap in use"
                     for which, heaps in (("before", idle), ("after", after)) if heaps]
        why = f"The load did not do its work ({str(told['error'])[:160]})" if told.get("error") else "No snapshot was taken under the load"
        return unknown(f"{why}: whether memory comes back is not known.", subject=subject, evidence=evidence, severity="low",
                       remediation=Remediation(hint="Mend preflight_load: what it said is in the evidence.") if told.get("error") else
                       runtimes.SEE_AVAILABLE)
    if not idle or not after:
        which = " and ".join(name for name, found in (("before", idle), ("after", after)) if not found)
        return unknown(f"There is no snapshot of MemStats {which} the load.", subject=subject, evidence=evidence, severity="info",
                       remediation=runtimes.SEE_AVAILABLE)
    if after[0].cycles < idle[-1].cycles:
        return unknown("The counters went back during the load: it is another process now.", subject=subject, evidence=evidence,
                       severity="info")
    forced = memory.alike(idle, after)
    before, now = (min(memory.value(heap, forced) for heap in heaps) for heaps in (idle, after))
    percent, floor = float(policy.threshold(returns_after_load, "percent")), float(policy.threshold(returns_after_load, "floor")) * MIB
    allowed = before + max(before * percent / 100.0, floor)
    load = memory.heaps(endpoint.of("load"))
    for phase, heaps in (("before", idle), ("under", load), ("after", after)):
        if heaps:
            evidence.append(f"{phase} load: {', '.join(size(memory.value(heap, forced)) for heap in heaps)} of {_kind(forced)}")
    kept = _kept(endpoint, after)
    common: dict[str, Any] = {"subject": subject, "actual": now, "expected": int(allowed)}
    goal, goal_before = after[-1].goal, min(heap.goal for heap in idle)
    spare = memory.gogc(endpoint.takes, _process(facts, endpoint)[0])
    # The goal is the live heap and GOGC percent of it: so is what it may be above the one before.
    back = not forced and spare is not None and after[-1].cycles > idle[-1].cycles and \
        goal <= goal_before + max(goal_before * percent / 100.0, floor * (1 + spare / 100.0))
    if now <= allowed or back:
        how = f"is {size(now)} after the load, {size(before)} before it" if now <= allowed else (
            f"is {size(now)} after the load, {size(before)} before it, but the live heap came back (NextGC {size(goal)}, "
            f"{size(goal_before)} before): the rest is garbage that waits for its GC")
        return passed(f"The {_short(forced)} {how}.{kept}", **common, evidence=evidence)
    settle = memory.number(lookup(facts, "runtime.plan.load.settle"))
    at = memory.unix(endpoint.of("after")[0].get("at"))
    cycles = memory.cycles_after(endpoint.of("after"), at - settle if at is not None and settle is not None else None)
    evidence.append(f"{cycles} GC cycles are known to have ended after the load")
    if not cycles:
        return unknown(f"The {_short(forced)} is {size(now)} after the load, {size(before)} before it, and no GC is known to have ended "
                       "since: it may be garbage.", **common, evidence=evidence, severity="info",
                       remediation=_LET_COLLECT)
    takes, later = _with_heap(endpoint.of("idle")), _with_heap(endpoint.of("after"))
    named = ""
    if takes and later:
        evidence += _sites(takes[-1], later[-1])
        named = _named(takes[-1], later[-1])
    if takes and later and memory.kept(takes[-1], later[-1]) is False:
        return unknown(f"The {_short(forced)} is {size(now)} after the load, {size(before)} before it{named}, but what grew is allocated "
                       "and freed all the time: it may be requests in work.", **common, evidence=evidence, severity="info",
                       remediation=_LET_COLLECT)
    one = "" if cycles > 1 else " One GC ran since; a sync.Pool gives its objects back at the second."
    return failed(f"The {_short(forced)} is {size(now)} after the load, {size(now - before)} above the {size(before)} before it{named}."
                  f"{one}{kept}", **common, evidence=evidence, severity=None if cycles > 1 else "medium")


def _kept(endpoint: Endpoint, after: Sequence[Heap]) -> str:
    """A sentence on what of the resident memory is the runtime's to give back."""
    if after[-1].kept < 16 * MIB:
        return ""
    rss = memory.whole(lookup(endpoint.of("after")[-1], "process.rss"))
    resident = f" (RSS is {size(rss)})" if rss else ""
    return (f" Free memory of {size(after[-1].kept)} is kept by the runtime for the next peak and given back in the background{resident}: "
            "no leak.")


@check(
    "memory.gc_pause_p99",
    title="The garbage collector stops the service only briefly",
    severity="medium",
    profile="standard",
    why="While the world is stopped no goroutine runs and every request in flight waits. Go's own goal is 500 microseconds a pause "
        "(\"Getting to Go: the journey of Go's garbage collector\", ISMM 2018, go.dev/blog/ismmkeynote). Tens of milliseconds "
        "mean that threads do not get a CPU when the collector needs them: a CPU quota that throttles, a host with too many runnable "
        "threads, swapping, or a loop in cgo or assembly that cannot be preempted.",
    judged="The 99th percentile by nearest rank must not be above `maximum`, which is 20 times Go's goal: what a request notices beside "
           "the network. Preferred are the runtime's histograms where a metrics page shows them (go_gc_pauses_seconds, "
           "go_sched_pauses_total_gc_seconds): between the first and the last take where 100 pauses lie between them, "
           "else since the start. A bucket that the maximum lies in decides nothing: then MemStats' ring of the last 256 cycles does (a "
           "cycle's pauses together), those of the last hour where they are 100. A percentile of fewer than 100 pauses is their "
           "maximum, and said to be. One pause is one event, which the kernel may have made longer (another process had the CPU): it "
           "fails only where two or more are above `maximum`, and so many that fewer than one of a hundred above it is excluded (95 %, "
           "binomial: 2 of 35, 3 of 82, 6 of 256); of fewer than 100 pauses as low.",
    remediation=Remediation(
        hint="Look for CPU throttling first (nr_throttled of cpu.stat in the service's cgroup; limits.gomaxprocs), then for swapping "
             "and for loops in cgo.", command="sudo cat /sys/fs/cgroup/SLICE/UNIT/cpu.stat"),
    needs=NEEDS,
    thresholds={"maximum": Threshold(10.0, "The longest 99th percentile of the pauses.", unit="milliseconds", minimum=0)},
)
def gc_pause_p99(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    limit = float(policy.threshold(gc_pause_p99, "maximum")) / 1000.0
    for endpoint, missing in _each(facts):
        yield missing or _gc_pause(endpoint, limit)


def _gc_pause(endpoint: Endpoint, limit: float) -> Outcome:
    evidence = _life(endpoint)
    from_histogram = _pause_histogram(endpoint, limit, evidence)
    if from_histogram is not None:
        return from_histogram
    found = memory.pauses(endpoint.takes)
    stats = next((memory.memstats(take) for take in reversed(endpoint.takes) if memory.memstats(take)), None)
    if not found:
        if stats is None:
            return unknown("MemStats were not read, and no metrics page shows the pauses.", subject=endpoint.subject, severity="info",
                           evidence=evidence, remediation=runtimes.SEE_AVAILABLE)
        if stats.get("NumGC") == 0:
            return notapplicable("It has not run a garbage collection yet.", subject=endpoint.subject, evidence=evidence)
        return unknown("MemStats tell no time of a pause.", subject=endpoint.subject, severity="info", evidence=evidence)
    now = max(found[0][0], memory.unix(endpoint.takes[-1].get("at")) or 0.0)
    recent = [pause for pause in found if now - pause[0] <= RECENT]
    judged = recent if len(recent) >= ENOUGH_PAUSES else found
    lengths = [length for unused, length in judged]
    worst = max(judged, key=lambda pause: pause[1])
    few = len(judged) < ENOUGH_PAUSES
    value = memory.nearest_rank(lengths, 0.99)
    evidence += [f"MemStats, PauseNs: {len(found)} GC cycles from {span(now - found[-1][0])} ago to {span(now - found[0][0])} ago, of "
                 f"{(stats or {}).get('NumGC', 'unknown')} since the start",
                 f"median {milliseconds(memory.nearest_rank(lengths, 0.5))}, maximum {milliseconds(worst[1])}, which was "
                 f"{span(now - worst[0])} ago"]
    window = f"{len(judged)} GC cycles of the last {span(now - judged[-1][0])}" if len(judged) > 1 else \
        f"the only GC cycle, {span(now - judged[0][0])} ago"
    what = f"The longest stop (fewer than {ENOUGH_PAUSES} cycles: the maximum, not a percentile)" if few else \
        "The 99th percentile of the stops"
    common: dict[str, Any] = {"subject": endpoint.subject, "actual": round(value * 1000, 3), "expected": limit * 1000, "evidence": evidence}
    over = sorted((length for length in lengths if length > limit), reverse=True)
    if value > limit and not memory.more_than_one_of_a_hundred(len(over), len(lengths)):
        rest = max((length for length in lengths if length <= limit), default=None)
        others = f"; the others took {milliseconds(rest)} at most" if rest is not None else ""
        if len(judged) == 1:
            return passed(f"The only GC cycle, {span(now - judged[0][0])} ago, stopped it for {milliseconds(value)}: too few to say that "
                          f"the 99th percentile is above {milliseconds(limit)}.", **common)
        which = f"One stop of {milliseconds(over[0])}" if len(over) == 1 else f"{len(over)} stops of up to {milliseconds(over[0])}"
        return passed(f"{which} among {window}{others}: too few to say that the 99th percentile is above {milliseconds(limit)}.", **common)
    if value > limit:
        return failed(f"{what} is {milliseconds(value)} of {window}; {len(over)} took more than the {milliseconds(limit)} that are "
                      "accepted.", **common, severity="low" if few else None)
    return passed(f"{what} is {milliseconds(value)} of {window}.", **common)


def _pause_histogram(endpoint: Endpoint, limit: float, evidence: list[str]) -> Outcome | None:
    """What the histogram of the metrics page says; None where there is none, or its buckets are too wide to decide."""
    readings = [(take, *found) for take in endpoint.takes if (found := memory.pause_histogram(take)) is not None]
    if not readings:
        return None
    (first, begun_by, before), (last, name, after) = readings[0], readings[-1]
    between = memory.between(before, after) if len(readings) > 1 and begun_by == name else None
    window = "since the start of the process"
    chosen = after
    if between is not None and between.count >= ENOUGH_PAUSES:
        chosen, window = between, f"in {span(float(last.get('clock') or 0) - float(first.get('clock') or 0))}"
    bounds = promtext.quantile_bounds(chosen, 0.99)
    if bounds is None:
        return None
    lower, upper = max(0.0, bounds[0]), bounds[1]
    count, few = int(chosen.count), chosen.count < ENOUGH_PAUSES
    evidence.append(f"metrics, {name}: {count} pauses {window}, the 99th percentile is between {milliseconds(lower)} and "
                    + ("infinity" if upper == INFINITY else milliseconds(upper)))
    what = f"The longest pause (fewer than {ENOUGH_PAUSES}: the maximum, not a percentile)" if few else "The 99th percentile of the pauses"
    common: dict[str, Any] = {"subject": endpoint.subject, "expected": limit * 1000, "evidence": evidence}
    # A bucket that the limit lies in may have some above it; these are.
    buckets = [(0.0, 0.0), *chosen.buckets]
    over = sum(int(more - less) for (begin, less), (unused, more) in zip(buckets, buckets[1:], strict=False) if begin >= limit)
    if lower >= limit and not memory.more_than_one_of_a_hundred(over, count):
        one = "One pause is" if over == 1 else f"{over} pauses are"
        return passed(f"{one} above {milliseconds(limit)} of {count} {window} (by {name}): too few to say that the 99th percentile is.",
                      **common, actual=round(lower * 1000, 3))
    if lower >= limit:
        return failed(f"{what} is above {milliseconds(lower)} ({count} pauses {window}, by {name}); {milliseconds(limit)} is accepted.",
                      **common, actual=round(lower * 1000, 3), severity="low" if few else None)
    if upper <= limit:
        return passed(f"{what} is at most {milliseconds(upper)} ({count} pauses {window}, by {name}).", **common,
                      actual=round(upper * 1000, 3))
    return None


@check(
    "memory.gc_cpu",
    title="The garbage collector leaves the CPU to the service",
    severity="medium",
    profile="standard",
    why="A collection takes a quarter of the CPUs for as long as it runs (Go source, runtime/mgcpacer.go, gcBackgroundUtilization = 0.25). "
        "A mean of that much over a longer time says that one collection follows the other and that goroutines have to help as "
        "well (mark assist): the heap is too small for what is allocated, GOGC is low or GOMEMLIMIT nearly reached. The runtime stops "
        "at 50 % (runtime/mgclimit.go), and lets memory grow beyond the limit instead.",
    judged="GCCPUFraction of MemStats is the share of the CPU time available to the program (GOMAXPROCS, used or not) since its start. "
           "Between two takes in whose time a cycle ended, 30 s apart or more, the share of that window is computed from it and "
           "judged; else the one since the start. It is never taken for more than the process used of the CPUs at all. It "
           "fails above `maximum`; from `warn` on it is low. A process younger than "
           "60 s is not judged: what it allocates at its start is not what it is like.",
    remediation=Remediation(
        hint="Allocate less (the report's flame graph of allocations), or give the heap room: a higher GOGC, a higher GOMEMLIMIT with the "
             "memory for it.",
        command="go tool pprof -sample_index=alloc_space -top RUN/profiles/HOST/SERVICE/allocs-idle.pb.gz"),
    needs=NEEDS,
    thresholds={
        "maximum": Threshold(25.0, "The largest share of the CPU time for the garbage collector.", unit="percent", minimum=0, maximum=100),
        "warn": Threshold(15.0, "The share from which on it is told, as low.", unit="percent", minimum=0, maximum=100),
    },
)
def gc_cpu(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    for endpoint, missing in _each(facts):
        yield missing or _gc_cpu(facts, endpoint, policy)


def _share(facts: Facts, endpoint: Endpoint) -> tuple[Fraction | None, list[Fraction], float | None]:
    """The share that counts, all that are known (under load, over the window of all takes, since the start), and the share of
    the processors that the process used at all where that is less."""
    chosen, found = _told(endpoint)
    used = memory.cpu_share(endpoint.facts, endpoint.takes, _processors(facts, endpoint))
    if chosen is None or used is None or used >= chosen.value:
        return chosen, found, None
    # The runtime counts the wall time of its workers (runtime/mgc.go), also while the kernel ran something else.
    return replace(chosen, value=used), found, used


def _processors(facts: Facts, endpoint: Endpoint) -> float:
    """GOMAXPROCS, or what it is at least."""
    process, _others = _process(facts, endpoint)
    told = [gauge for take in endpoint.takes if (gauge := memory.gauge(take, "go_sched_gomaxprocs_threads"))]
    told += [number for value in (lookup(process, "environ.GOMAXPROCS"), lookup(process, "cgroup.cpu_quota"),
                                  lookup(facts, "host.cpu.count")) if (number := subjects.number(value)) and number != INFINITY]
    return max(1.0, min(told, default=1.0))


def _told(endpoint: Endpoint) -> tuple[Fraction | None, list[Fraction]]:
    whole = memory.gc_fractions(endpoint.facts, endpoint.takes)
    loaded = [one for one in memory.gc_fractions(endpoint.facts, endpoint.of("load")) if not one.since_start]
    found = [*loaded, *whole]
    windows = [one for one in found if not one.since_start and (one.seconds or 0.0) >= SHORTEST_WINDOW]
    if windows:
        return max(windows, key=lambda one: one.value), found
    return next((one for one in found if one.since_start), None), found


def _over(one: Fraction) -> str:
    if one.since_start:
        return "since the start of the process" + (f", {span(one.seconds)}" if one.seconds is not None else "")
    return f"over {span(one.seconds or 0.0)}"


def _gc_cpu(facts: Facts, endpoint: Endpoint, policy: Policy) -> Outcome:
    subject = endpoint.subject
    stats = next((memory.memstats(take) for take in reversed(endpoint.takes) if memory.memstats(take)), None)
    if stats is None:
        return unknown("MemStats were not read.", subject=subject, severity="info", evidence=_life(endpoint),
                       remediation=runtimes.SEE_AVAILABLE)
    if stats.get("NumGC") == 0:
        return notapplicable("It has not run a garbage collection yet.", subject=subject)
    chosen, found, used = _share(facts, endpoint)
    if chosen is None:
        return unknown("MemStats tell no GCCPUFraction.", subject=subject, severity="info", evidence=_life(endpoint))
    seconds = memory.age(endpoint.facts, endpoint.takes[-1])
    if seconds is not None and seconds < 60:
        return notapplicable(f"The process has run for {span(seconds)} only: its start is not what it is like.", subject=subject)
    evidence = _life(endpoint) + [f"GC took {one.value * 100:.2g} % of the available CPU time {_over(one)}" for one in found]
    if used is not None:
        evidence.append(f"the whole process used {used * 100:.2g} % of it: the rest is time in which the kernel ran something else")
    maximum, warn = float(policy.threshold(gc_cpu, "maximum")), float(policy.threshold(gc_cpu, "warn"))
    percent = chosen.value * 100
    common: dict[str, Any] = {"subject": subject, "actual": round(percent, 2), "expected": f"at most {min(maximum, warn):g} %",
                              "evidence": evidence}
    reason = f"The garbage collector took {percent:.2g} % of the CPU time available {_over(chosen)}"
    if percent > maximum:
        return failed(f"{reason}; {maximum:g} % is what one collection may take while it runs.", **common)
    if percent > warn:
        return failed(f"{reason}; from {warn:g} % on it is told.", **common, severity="low")
    return passed(f"{reason}.", **common)


@check(
    "memory.rss_headroom",
    title="There is room between the service's memory and its limit",
    severity="high",
    profile="standard",
    why="At its control group's limit the kernel kills the process: no Go error, no log of its own, exit status 137 (memory.max in the "
        "kernel's cgroup-v2.rst; systemd.resource-control(5), MemoryMax=). GOMEMLIMIT is soft: near it the runtime collects ever more "
        "often instead, up to half of the CPU (runtime/mgclimit.go), and the service crawls.",
    judged="The resident memory (RSS) of the service's processes in its control group, the highest that was seen, is compared with the "
           "tightest memory.max in force (MemoryMax=, a parent slice's). Room of less than `room` percent fails. memory.current "
           "is told and not judged: it counts the page cache, which the kernel takes back before it kills. A GOMEMLIMIT that is "
           "reached is no finding by itself (with GOGC=off it is meant to be); together with a collector above the maximum of "
           "memory.gc_cpu it is a death spiral, and fails. Where no limit is in force the host's memory is the limit: it fails, as "
           "medium, where less than `room` percent of it is available and the service holds half of it or more.",
    remediation=Remediation(
        hint="Find what holds the memory (memory.heap_growth, the report's flame graph of the heap), or raise the limit; set GOMEMLIMIT "
             "to about 90 % of it, so that the collector works harder before the kernel acts (limits.memory_limit)."),
    needs=NEEDS,
    thresholds={"room": Threshold(10.0, "How much of the limit has to be free.", unit="percent", minimum=0, maximum=100)},
)
def rss_headroom(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    for endpoint, missing in _each(facts):
        yield missing or _headroom(facts, endpoint, policy)


def _process(facts: Facts, endpoint: Endpoint) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """The process that the endpoint belongs to as the services know it (empty: they do not), and the others of its cgroup."""
    pid = endpoint.facts.get("pid")
    everything = [one for service in lookup(facts, "services.services") or () for one in service.get("processes") or ()]
    own: Mapping[str, Any] = next((one for one in everything if pid and one.get("pid") == pid), {})
    path = lookup(own, "cgroup.path")
    return own, [one for one in everything if path and lookup(one, "cgroup.path") == path and one.get("pid") != pid]


def _gomemlimit(endpoint: Endpoint, process: Mapping[str, Any]) -> tuple[float, str]:
    """The runtime's own limit and where it is known from; infinite where there is none."""
    for take in reversed(endpoint.takes):
        told = memory.gauge(take, "go_gc_gomemlimit_bytes")
        # math.MaxInt64 is none (runtime/debug.SetMemoryLimit); the page shows it as a float.
        if told is not None:
            return (INFINITY if told >= float((1 << 63) - 1024) else told), "metrics: go_gc_gomemlimit_bytes"
    text = str((process.get("environ") or {}).get("GOMEMLIMIT") or "")
    try:
        return parse_memory_limit(text), f"/proc/{process.get('pid')}/environ: GOMEMLIMIT={text}"
    except ValueError:
        return INFINITY, f"GOMEMLIMIT={text} cannot be read"


def _headroom(facts: Facts, endpoint: Endpoint, policy: Policy) -> Outcome:
    subject = endpoint.subject
    process, others = _process(facts, endpoint)
    seen = [value for take in endpoint.takes if (value := memory.whole(lookup(take, "process.rss"))) is not None]
    own = max(seen, default=memory.whole(process.get("rss")) or 0)
    spiral = _spiral(facts, endpoint, process, policy)
    if spiral is not None:
        return spiral
    if not own:
        reason = subjects.unreadable([process], "rss")
        return unknown(f"Its resident memory was not read{': ' + reason if reason else ''}.", subject=subject, severity="info",
                       remediation=as_root(facts, reason))
    rest = sum(memory.whole(one.get("rss")) or 0 for one in others)
    resident = own + rest
    evidence = [f"PID {endpoint.facts.get('pid')}: resident {size(own)}" + (", the highest of the takes" if len(seen) > 1 else "")]
    if others:
        evidence.append(f"{len(others)} other processes of its control group: {size(rest)}")
    peak = max((memory.whole(lookup(take, "process.hwm")) or 0 for take in endpoint.takes), default=0)
    if peak:
        evidence.append(f"peak since its start (VmHWM): {size(peak)}")
    limit, source = _gomemlimit(endpoint, process)
    if limit != INFINITY:
        evidence.append(f"{source} ({size(limit)})")
    group = process.get("cgroup") or {}
    current = subjects.number(group.get("memory_current"))
    if current is not None and current != INFINITY:
        evidence.append(f"memory.current: {size(current)}, with the page cache, which the kernel takes back first")
    bound, path = subjects.number(group.get("memory_max")), group.get("path")
    tightest = subjects.number(lookup(group, "effective.memory_max.value"))
    if tightest is not None:
        bound, path = tightest, lookup(group, "effective.memory_max.path")
    room = float(policy.threshold(rss_headroom, "room"))
    if bound is None or bound == INFINITY:
        return _on_host(facts, subject, resident, room, evidence)
    evidence.append(f"cgroup {path}: memory.max {size(bound)}")
    free = max(0.0, (bound - resident) / bound * 100.0) if bound else 0.0
    common: dict[str, Any] = {"subject": subject, "actual": round(free, 1), "expected": f"at least {room:g} % free", "evidence": evidence}
    what = f"{size(resident)} of the {size(bound)} that its control group may have are resident: {free:.3g} % are free"
    return failed(f"{what}; {room:g} % should be.", **common) if free < room else passed(f"{what}.", **common)


def _on_host(facts: Facts, subject: str, resident: float, room: float, evidence: list[str]) -> Outcome:
    """Without a limit the machine's memory is one: what is not available to anybody is not available to the service."""
    total, available = (memory.whole(lookup(facts, f"host.memory.{key}")) for key in ("total", "available"))
    if not total or available is None:
        return notapplicable(f"No memory limit is in force for it ({size(resident)} are resident).", subject=subject, evidence=evidence)
    free = available / total * 100.0
    evidence.append(f"/proc/meminfo: {size(available)} of {size(total)} available")
    common: dict[str, Any] = {"subject": subject, "actual": round(free, 1), "expected": f"at least {room:g} % free", "evidence": evidence}
    if free < room and resident >= total / 2:
        return failed(f"No memory limit is in force, it holds {size(resident)} of the host's {size(total)}, and {free:.3g} % of them are "
                      "available.", **common, severity="medium")
    return passed(f"No memory limit is in force; {size(resident)} are resident, and the host has {size(available)} available.", **common)


def _spiral(facts: Facts, endpoint: Endpoint, process: Mapping[str, Any], policy: Policy) -> Outcome | None:
    """GOMEMLIMIT reached and the collector working all the time."""
    limit, source = _gomemlimit(endpoint, process)
    chosen = _share(facts, endpoint)[0]
    stats = next((memory.memstats(take) for take in reversed(endpoint.takes) if memory.memstats(take)), {})
    system, released = memory.whole(stats.get("Sys")), memory.whole(stats.get("HeapReleased"))
    seconds = memory.age(endpoint.facts, endpoint.takes[-1])
    if limit == INFINITY or not limit or chosen is None or system is None or released is None or (seconds or 60.0) < 60:
        return None
    # What the runtime compares with its limit (runtime/debug.SetMemoryLimit: Sys - HeapReleased).
    held, maximum = system - released, float(policy.threshold(gc_cpu, "maximum"))
    if held < AT_LIMIT * limit or chosen.value * 100 <= maximum:
        return None
    return failed(f"GOMEMLIMIT ({size(limit)}) is reached: the runtime holds {size(held)}, and its collector takes "
                  f"{chosen.value * 100:.2g} % of the CPU time {_over(chosen)}: a death spiral, it collects ever more and frees ever "
                  "less.", subject=endpoint.subject, actual=held, expected=int(limit), evidence=[source, *_life(endpoint)],
                  remediation=Remediation(hint="Raise GOMEMLIMIT and the limit behind it, or find what holds the memory "
                                               "(memory.heap_growth)."))
