# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the takes of one endpoint say about memory and the garbage collector (GC), as numbers.

Everything here reads takes (``runtime.endpoints[].takes`` of the facts) and judges nothing. Sources are the Go runtime's:
``runtime/mstats.go`` for the fields of MemStats, ``runtime/mgcpacer.go`` for NextGC.
"""
from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import promtext
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import lookup

Take = Mapping[str, Any]
MIB = 1 << 20

# What the taking of profiles allocates: it writes each one through gzip (runtime/pprof, proto.go), and its buffers stay in use for a
# moment. gzip of the service's own is called by code of its own, which the facts name as the caller.
_PROFILING = ("runtime/pprof.", "net/http/pprof.", "compress/flate.", "compress/gzip.")

# The runtime's histograms of its pauses as the Prometheus client names them: Go >= 1.22 first, the older name after it.
KEPT = 0.2  # of what a site allocates in a window: more is no request of some seconds
PAUSE_FAMILIES = ("go_sched_pauses_total_gc_seconds", "go_gc_pauses_seconds")


@dataclass(frozen=True)
class Heap:
    """The heap of one take. ``goal`` is NextGC: the collector sets it at the end of a cycle in proportion to what it found
    alive, so it follows the live heap without the garbage that was made since."""

    clock: float
    inuse: int
    alloc: int
    goal: int
    kept: int      # HeapIdle - HeapReleased: free memory that the runtime keeps mapped
    cycles: int    # NumGC
    forced: bool

    @property
    def value(self) -> int:
        """The live heap where a GC was forced before the reading, else the spans in use."""
        return self.alloc if self.forced else self.inuse


@dataclass(frozen=True)
class Fraction:
    """The share of the CPU time available to the program that its GC took, and over which time (None: not known)."""

    value: float
    seconds: float | None
    since_start: bool


def memstats(take: Take) -> Mapping[str, Any]:
    found: Mapping[str, Any] = lookup(take, "memory.memstats") or {}
    return found


def whole(value: Any) -> int | None:
    """A number of the facts, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value)


def number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def heaps(takes: Iterable[Take]) -> list[Heap]:
    """The readings of the heap, in order. Where they are not all after a forced GC, none counts as one: two kinds are not
    compared. Readings before a counter that went back belong to another process and are left out."""
    found: list[Heap] = []
    for take in takes:
        stats = memstats(take)
        values = [whole(stats.get(key)) for key in ("HeapInuse", "HeapAlloc", "NextGC", "NumGC")]
        clock = number(take.get("clock"))
        if clock is None or any(value is None for value in values):
            continue
        inuse, alloc, goal, cycles = (value or 0 for value in values)
        if found and cycles < found[-1].cycles:
            found = []
        kept = max(0, (whole(stats.get("HeapIdle")) or 0) - (whole(stats.get("HeapReleased")) or 0))
        found.append(Heap(clock, inuse, alloc, goal, kept, cycles, bool(lookup(take, "memory.forced_gc"))))
    return found


def levels_off(heaps: Sequence[Heap], values: Sequence[int]) -> bool:
    """Whether a growth had ended by the last reading: its last step is less than a quarter of an even rate's. Where no cycle
    ended in it and no GC was forced, the step says nothing."""
    if len(heaps) < 3 or (heaps[-1].cycles == heaps[-2].cycles and not heaps[-1].forced):
        return False
    seconds = heaps[-1].clock - heaps[0].clock
    due = (values[-1] - values[0]) * (heaps[-1].clock - heaps[-2].clock) / max(seconds, 0.001)
    return due > 0 and values[-1] - values[-2] < 0.25 * due


def steady(heaps: Sequence[Heap], values: Sequence[int]) -> bool:
    """Whether four steps or more all rise at about one rate (three times the lowest at most)."""
    rates = [(later - earlier) / max(after.clock - before.clock, 0.001)
             for earlier, later, before, after in zip(values, values[1:], heaps, heaps[1:], strict=False)]
    return len(rates) >= 4 and min(rates) > 0 and max(rates) <= 3 * min(rates)


def cycles_after(takes: Iterable[Take], moment: float | None) -> int:
    """How many GC cycles certainly ended after a moment (seconds since 1970), as the takes of after it know: by the times of
    the pauses where the moment is known, else by what NumGC gained between the takes."""
    takes = list(takes)
    found = heaps(takes)
    if not found:
        return 0
    gained = found[-1].cycles - found[0].cycles + (1 if found[0].forced else 0)
    counted = sum(end > moment for end, unused in pauses(takes)) if moment is not None else 0
    return max(gained, counted)


def alike(*groups: Sequence[Heap]) -> bool:
    """Whether every reading is of the live heap after a forced GC."""
    return all(heap.forced for group in groups for heap in group)


def value(heap: Heap, forced: bool) -> int:
    return heap.alloc if forced else heap.inuse


def unix(text: Any) -> float | None:
    """An RFC 3339 time as seconds since 1970."""
    try:
        moment = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc).timestamp()


def age(entry: Mapping[str, Any], take: Take) -> float | None:
    """Seconds that the process had run when the take was made; None where that is not known."""
    started, clock = number(entry.get("started")), number(take.get("clock"))
    return None if started is None or clock is None or clock < started else clock - started


def pauses(takes: Iterable[Take]) -> list[tuple[float, float]]:
    """(seconds since 1970 of its end, seconds) of the GC cycles that the takes still know, newest first.

    One entry is a cycle: the sum of the times it stopped the world (runtime/mstats.go, PauseNs).
    """
    seen: set[tuple[float, float]] = set()
    for take in takes:
        for entry in lookup(take, "memory.pauses") or ():
            if len(entry) == 2 and number(entry[0]) is not None and number(entry[1]) is not None and entry[0] > 0:
                seen.add((entry[0], entry[1]))
    return [(end / 1e9, length / 1e9) for end, length in sorted(seen, reverse=True)]


def more_than_one_of_a_hundred(over: int, total: int) -> bool:
    """Whether so many values above a limit say that the 99th percentile is above it: two at least, and as many as are found by
    chance in one of 20 cases only where one of a hundred is (binomial). Two of 35, three of 82, six of 256."""
    if over < 2:
        return False
    if total > 5000:
        return 0.5 * math.erfc((over - 0.5 - 0.01 * total) / math.sqrt(2 * 0.0099 * total)) <= 0.05
    fewer = sum(math.exp(math.lgamma(total + 1) - math.lgamma(number + 1) - math.lgamma(total - number + 1)
                         + number * math.log(0.01) + (total - number) * math.log(0.99)) for number in range(over))
    return 1 - fewer <= 0.05


def nearest_rank(values: Iterable[float], share: float) -> float:
    """The value at the nearest rank: the smallest that ``share`` of the values do not exceed. Raises ValueError where there
    is none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


def pause_histogram(take: Take) -> tuple[str, promtext.Histogram] | None:
    """(family, histogram) of the pauses on the take's metrics page; None where there is none that can be read."""
    for name in PAUSE_FAMILIES:
        value = family(take, name)
        if isinstance(value, Mapping):
            try:
                found = promtext.from_facts({name: value}).families[name]
            except ValueError:
                continue
            if isinstance(found, promtext.Histogram):
                return name, found
    return None


def between(first: promtext.Histogram, last: promtext.Histogram) -> promtext.Histogram | None:
    """What was observed between two readings; None where they are not of one life of a process."""
    try:
        return promtext.delta(last, first)
    except ValueError:
        return None


def family(take: Take, *names: str) -> Any:
    """The first of some families of the metrics page; None where it has none of them."""
    families = lookup(take, "metrics.families") or {}
    return next((families[name] for name in names if name in families), None)


def gauge(take: Take, name: str) -> float | None:
    return number(family(take, name))


def gc_fractions(entry: Mapping[str, Any], takes: Sequence[Take]) -> list[Fraction]:
    """GC's share of the CPU time: over the window of the takes where a cycle ended in it, then since the process's start.

    GCCPUFraction is a mean since the start, taken at the end of a cycle: of two readings f1, f2 at t1, t2 the share between
    them is (f2 t2 - f1 t1) / (t2 - t1), as long as GOMAXPROCS stays the same.
    """
    readings: list[tuple[float | None, float, int]] = []  # (age at the end of the cycle, fraction, cycles)
    for take in takes:
        fraction, stats = number(lookup(take, "memory.gc_cpu_fraction")), memstats(take)
        cycles, last = whole(stats.get("NumGC")), whole(stats.get("LastGC"))
        if fraction is None or not cycles or not 0 <= fraction <= 1:
            continue
        if readings and cycles < readings[-1][2]:
            readings = []
        readings.append((_age_at(entry, take, last), fraction, cycles))
    if not readings:
        return []
    found = []
    (begin, before, cycles), (end, after, more) = readings[0], readings[-1]
    if more > cycles and begin is not None and end is not None and end > begin:
        found.append(Fraction(min(1.0, max(0.0, (after * end - before * begin) / (end - begin))), end - begin, False))
    return [*found, Fraction(after, end, True)]


def cpu_share(entry: Mapping[str, Any], takes: Sequence[Take], processors: float) -> float | None:
    """The highest share of the processors' time that the process used, between two takes or since its start; None where that
    is not known. What the garbage collector takes is a part of it."""
    readings = []
    for take in takes:
        used, clock = number(lookup(take, "process.cpu_seconds")), number(take.get("clock"))
        if used is not None and clock is not None:
            readings.append((clock, used))
    started = number(entry.get("started"))
    if started is not None and readings:
        readings.insert(0, (started, 0.0))
    shares = [(more - used) / (then - clock) / processors for (clock, used), (then, more) in zip(readings, readings[1:], strict=False)
              if then - clock >= 1 and more >= used]
    return max(shares, default=None)


def _age_at(entry: Mapping[str, Any], take: Take, last_gc: int | None) -> float | None:
    """How old the process was at the end of its last GC cycle."""
    now, at = age(entry, take), unix(take.get("at"))
    if now is None or at is None or not last_gc:
        return None
    return max(0.0, now - max(0.0, at - last_gc / 1e9))


def grown_sites(before: Take, after: Take) -> list[tuple[Mapping[str, Any], int]]:
    """(site, bytes) of the allocation sites that hold more in the second take than in the first, the largest first.

    Sites are functions and lines; one that only the second take lists counts whole where the first one's list was not cut.
    Entries that differ by their caller only are one site, under the caller that holds most of it. Sites of the profiling itself are
    left out.
    """
    first, last = sites_of(before), sites_of(after)
    if not first:
        return []
    grown = [(site, int(site["inuse_bytes"]) - int(first.get(key, {}).get("inuse_bytes") or 0)) for key, site in last.items()]
    return sorted(((site, more) for site, more in grown if more > 0 and not of_profiling(site)),
                  key=lambda pair: (-pair[1], _site(pair[0])))


def sites_of(take: Take) -> dict[tuple[str, str, int], Mapping[str, Any]]:
    """The sites of the heap profile by function, file and line."""
    found: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for site in lookup(take, "heap.sites") or ():
        found.setdefault(_site(site), []).append(site)
    merged: dict[tuple[str, str, int], Mapping[str, Any]] = {}
    for key, sites in found.items():
        largest = max(range(len(sites)), key=[int(site.get("inuse_bytes") or 0) for site in sites].__getitem__)
        merged[key] = {**sites[largest],
                       **{name: sum(int(site.get(name) or 0) for site in sites) for name in ("inuse_bytes", "alloc_bytes")}}
    return merged


def of_profiling(site: Mapping[str, Any]) -> bool:
    """Whether a site is the profiling's own: no code of the program or its dependencies called it."""
    return str(site.get("function")).startswith(_PROFILING) and not ours(site)


def ours(site: Mapping[str, Any]) -> bool:
    """Whether a site is the program's, or a dependency's, or theirs is the code that called it."""
    caller = site.get("caller")
    origins = [site.get("origin"), caller[3] if isinstance(caller, (list, tuple)) and len(caller) > 3 else None]
    return any(origin in ("own", "dependency") for origin in origins)


def kept(before: Take, after: Take) -> bool | None:
    """Whether half of what grew between two takes is at sites that keep what they allocate (:data:`KEPT` of it or more); None
    where there are no profiles.

    Requests in work make the live heap go up and down as well, but their sites free nearly all that they allocate in a window.
    """
    if not lookup(before, "heap.sites") or not lookup(after, "heap.sites"):
        return None
    grown = grown_sites(before, after)
    first = {key: int(site["alloc_bytes"]) for key, site in sites_of(before).items()}
    held = sum(more for site, more in grown
               if more >= KEPT * (int(site.get("alloc_bytes") or 0) - first.get(_site(site), 0)))
    return bool(grown) and 2 * held >= sum(more for unused, more in grown)


def in_use(take: Take) -> int | None:
    """Bytes that the listed sites of the heap profile hold: as of the last GC, so without the garbage since."""
    sites = lookup(take, "heap.sites")
    return sum(int(site.get("inuse_bytes") or 0) for site in sites) if sites else None


def gogc(takes: Sequence[Take], process: Mapping[str, Any]) -> float | None:
    """How far the heap may grow between two collections, in percent of what is alive (100 by default); None: switched off."""
    for take in reversed(takes):
        told = gauge(take, "go_gc_gogc_percent")
        if told is not None:
            return told if 0 <= told < 1e6 else None  # off is math.MaxUint64 there (runtime/metrics.go)
    text = str((process.get("environ") or {}).get("GOGC") or "")
    if text == "off":
        return None
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 100.0


def _site(site: Mapping[str, Any]) -> tuple[str, str, int]:
    return str(site.get("function")), str(site.get("file")), int(site.get("line") or 0)


def where(site: Mapping[str, Any]) -> str:
    """``main.remember (cache.go:31)``; with who called it, where the facts tell: ``..., called by main.handle (api.go:7)``."""
    file = str(site.get("file") or "").rsplit("/", 1)[-1]
    text = f"{site.get('function')} ({file}:{site.get('line')})" if file else str(site.get("function"))
    caller = site.get("caller")
    if isinstance(caller, (list, tuple)) and len(caller) >= 3:
        text += ", called by " + where(dict(zip(("function", "file", "line"), caller, strict=False)))
    return text


def span(seconds: float) -> str:
    """A time for a sentence: ``45 s``, ``2 minutes``, ``1.5 hours``, ``3 days``."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length * (2 if unit != "minute" else 1):
            amount = round(seconds / length, 1)
            return f"{amount:g} {unit}{'' if amount == 1 else 's'}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def milliseconds(seconds: float) -> str:
    """``0.31 ms``, ``12 ms``, ``1.2 s``."""
    return f"{seconds:.2g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
