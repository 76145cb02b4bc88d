# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says about the inside of running services: goroutines, memory, GC pauses, contention, profiles.

:func:`condensed` turns the facts that a host's document carries (``services[].runtime``, see docs/facts.md) into the shape
of report.json (``hosts[].services[].runtime``); :func:`views` makes of it what the page shows (charts as percentages,
tables cut to their first rows), :func:`compare` what grew since a baseline.

Nothing is judged here. What is right or wrong is what the checks said (``goroutines.*``, ``memory.*`` and four of
``pprof.*``); everything else is a number that was measured. Facts come from hosts: whatever has another shape than it
should counts as not there, and text is cut to ``NAME`` characters.
"""
from __future__ import annotations

import functools
import json
import os
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ansible_collections.goready.preflight.plugins.module_utils import profile as pprof
from ansible_collections.goready.preflight.plugins.plugin_utils import engine, hostdoc, memory, runtimes
from ansible_collections.goready.preflight.plugins.plugin_utils.report import flame, text

CHECKS = ("pprof.available", "pprof.profiles_valid", "pprof.mutex_sampling", "pprof.block_sampling")
FAMILIES = ("goroutines.", "memory.")
# What a service shows, the worst first (the words of model.STATES).
STATES = ("blocker", "warning", "unclear", "notice", "waived", "pass", "none")
FINDINGS = ("blocker", "warning")
PHASES = ("once", "idle", "load", "after")
PHASE_WORDS = {"once": "one take", "idle": "idle", "load": "under load", "after": "after load"}
ORIGINS = ("own", "dependency", "runtime")
ORIGIN_WORDS = {"own": "Own code", "dependency": "Dependencies", "runtime": "Runtime and standard library"}
CLASS_WORDS = {
    "chan_send": "channel send", "chan_receive": "channel receive", "select": "select", "lock": "lock", "cond": "sync.Cond",
    "wait_group": "WaitGroup", "io": "I/O", "sleep": "sleep", "timer": "timer", "syscall": "system call",
    "running": "running", "runtime": "runtime", "other": "other",
}

# report.json holds every group that the facts hold, within these bounds.
NAME = 400
GROUPS = 2000
IDS = 1000
FRAMES = 40
SITES = 200
PAUSES = 512
REQUESTS = 200
# Frames of all stacks of a fleet's report.json, some 100 bytes each. Once they are used up, a service keeps the stacks of what
# leaks and of its largest groups, some FEWEST frames.
STACK_FRAMES = 400_000
FEWEST = 200
# The page: services that are told in full and that get a line; rows of a table; frames of a stack.
PARTS = 20
LINES = 200
TREND = 5           # counts of a group over time that the page shows
PAGE_GROUPS = 25
PAGE_LEAKS = 60
PAGE_SITES = 12
PAGE_FRAMES = 20
PAGE_IDS = 4
SINCE = 40
# A limit so many times above everything measured would make the chart flat: it is named, not drawn.
FAR = 2.5
# Percent of the chart that the words below a take need.
LABEL = 9.0

_MEMORY = ("HeapAlloc", "HeapInuse", "HeapSys", "HeapReleased", "HeapObjects", "Sys", "StackInuse", "NextGC", "NumGC",
           "NumForcedGC")
_SERIES = (("HeapAlloc", "heap_alloc"), ("HeapInuse", "heap_inuse"), ("HeapSys", "heap_sys"), ("RSS", "rss"))
_LIMITS = (("GOMEMLIMIT", "gomemlimit"), ("MemoryMax", "memory_max"))
_BLOCKED = ("lock", "wait_group", "cond", "chan_send", "chan_receive", "select")


class Shared:
    """What the hosts of one report have in common: equal frames are one object, and all stacks have one budget."""

    def __init__(self, frames: int = STACK_FRAMES) -> None:
        self.frames = frames
        self._known: dict[Any, Any] = {}

    def frame(self, value: Any) -> list[Any] | None:
        """``[function, file, line, origin]``; None for anything else."""
        if not isinstance(value, (list, tuple)) or len(value) != 4:
            return None
        key = (_text(value[0]), _text(value[1]), _int(value[2]) or 0, _text(value[3]))
        if not key[0]:
            return None
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = [sys.intern(key[0]), sys.intern(key[1]), key[2], sys.intern(key[3])]
        return found


# Reading what a host sent

def _int(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def _count(value: Any) -> int | None:
    number = _int(value)
    return number if number is not None and number >= 0 else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def _text(value: Any, length: int = NAME) -> str:
    return text.clip(str(value), length) if value is not None else ""


def _word(value: Any, length: int = NAME) -> str | None:
    return _text(value, length) if value is not None else None


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _counts(value: Any) -> dict[str, int]:
    return {str(key): number for key, item in _dict(value).items() if (number := _count(item)) is not None}


def _error(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {"kind": _text(value.get("kind")), "message": _text(value.get("message"))}
    return {"kind": "", "message": _text(value)}


# report.json

def condensed(host: Mapping[str, Any], shared: Shared, run_dir: Path | None = None) -> dict[str, Any]:
    """A host's document with what report.json says in the place of the runtime facts. What is condensed already stays."""
    given = host.get("services")
    if not any("runtime" in service for service in _dicts(given)):
        return dict(host)
    names = [_text(entry.get("subject")) or _text(entry.get("service"))
             for service in _dicts(given) for entry in _dicts(_dict(service.get("runtime")).get("endpoints"))]
    told = _by_subject(host, names)
    services = []
    for service in _dicts(given):
        runtime = _dict(service.get("runtime"))
        entries = _dicts(runtime.get("endpoints"))
        if entries and all("said" in entry and "state" in entry for entry in entries):
            services.append(service)
            continue
        one = {key: value for key, value in service.items() if key != "runtime"}
        if entries:
            one["runtime"] = {
                "limits": {key: _int(_dict(runtime.get("limits")).get(key)) for _label, key in _LIMITS},
                "endpoints": [_Endpoint(entry, host, told, shared, run_dir).condensed() for entry in entries]}
        services.append(one)
    return {**host, "services": services}


def without(host: Mapping[str, Any]) -> dict[str, Any]:
    """A host's document without its runtime facts."""
    services = [{key: value for key, value in service.items() if key != "runtime"} for service in _dicts(host.get("services"))]
    return {**host, "services": services} if services else dict(host)


def _by_subject(host: Mapping[str, Any], names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """What the checks of the runtime said, by endpoint. ``api main.leak`` is about ``api``, unless there is an endpoint
    ``api main.leak``: the longest name decides."""
    known = sorted(filter(None, set(names)), key=len, reverse=True)
    wall = engine.SEVERITIES.index(host["gate"]) if host.get("gate") in engine.SEVERITIES else engine.SEVERITIES.index("high")
    told: dict[str, list[dict[str, Any]]] = {}
    for result in host.get("results") or () if known else ():
        check, subject = result["id"], str(result.get("subject") or "")
        if check not in CHECKS and not check.startswith(FAMILIES):
            continue
        owner = next((name for name in known if subject == name or subject.startswith(f"{name} ")), None)
        if owner is not None:
            told.setdefault(owner, []).append({
                "check": check, "subject": subject, "status": result["status"], "severity": result["severity"],
                "state": _state(result, wall), "reason": str(result.get("reason") or ""),
                "words": " ".join(str(item) for item in [
                    subject, text.plain(result.get("actual")),
                    *(result["evidence"] if isinstance(result.get("evidence"), list) else ())])[:100_000],
            })
    return told


def _state(result: Mapping[str, Any], wall: int) -> str:
    status = result["status"]
    if status in ("fail", "error", "unknown"):
        if result.get("waived"):
            return "waived"
        above = engine.SEVERITIES.index(result["severity"]) >= wall
        if status == "fail":
            return "blocker" if above else "warning"
        return "unclear" if above else "notice"
    return "pass" if status == "pass" else "none"


class _Endpoint:
    """One entry of ``runtime.endpoints`` on its way into report.json."""

    def __init__(self, entry: Mapping[str, Any], host: Mapping[str, Any], told: Mapping[str, list[dict[str, Any]]],
                 shared: Shared, run_dir: Path | None) -> None:
        self.entry, self.shared = entry, shared
        self.takes = _dicts(entry.get("takes"))
        self.subject = _text(entry.get("subject")) or _text(entry.get("service"))
        self.told = told.get(self.subject, [])
        self.host, self.run_dir = str(host["name"]), run_dir

    def condensed(self) -> dict[str, Any]:
        entry = self.entry
        found: dict[str, Any] = {
            "subject": self.subject,
            "address": _text(_address(entry)),
            "pid": _int(entry.get("pid")),
            "go_version": _word(entry.get("go_version")),
            "module": _word(entry.get("module")),
            "declared": bool(entry.get("declared")),
            "error": _error(entry.get("error")),
            "interrupted": _error(entry.get("interrupted")),
            "restarted": _word(entry.get("restarted")),
            "takes": self._takes(),
            "goroutines": self._goroutines(),
            "heap": self._heap(),
            "pauses": self._pauses(),
            "mutex": self._contention("mutex"),
            "block": self._contention("block"),
            "cpu": self._cpu(),
            "profiles": self._profiles(),
            "asked": self._asked(),
            "skipped": [
                {"take": number, "kind": _text(one.get("kind")), "reason": _text(one.get("reason"))}
                for number, take in enumerate(self.takes) for one in _dicts(take.get("skipped"))][:REQUESTS],
            "results": [{key: one[key] for key in ("check", "subject", "status", "severity", "state")} for one in self.told],
        }
        found["state"], found["said"] = _said(found, self.told)
        return found

    def _takes(self) -> list[dict[str, Any]]:
        first = next((clock for take in self.takes if (clock := _number(take.get("clock"))) is not None), None)
        lines = []
        for take in self.takes:
            clock, read, process = _number(take.get("clock")), _dict(take.get("memory")), _dict(take.get("process"))
            stats, leaks = _dict(read.get("memstats")), _dict(take.get("leaks"))
            lines.append({
                "phase": take.get("phase") if take.get("phase") in PHASES else "once",
                "at": _word(take.get("at"), 40),
                "seconds": round(clock - first, 3) if clock is not None and first is not None else None,
                "goroutines": _count(_dict(take.get("goroutines")).get("total")),
                "leaked": _int(leaks.get("total")) if leaks.get("available") else None,
                "threads": _int(take.get("threads")) if take.get("threads") is not None else _int(process.get("threads")),
                "memory": {key: _count(stats.get(key)) for key in _MEMORY} if read else None,
                "gc_cpu_fraction": _number(read.get("gc_cpu_fraction")),
                "forced_gc": bool(read.get("forced_gc")),
                "rss": _int(process.get("rss")), "hwm": _int(process.get("hwm")), "fds": _int(process.get("fds")),
                "cpu_seconds": _number(process.get("cpu_seconds")),
            })
        return lines

    # Goroutines

    def _goroutines(self) -> dict[str, Any] | None:
        profiles = [_dict(take.get("goroutines")) for take in self.takes]
        if not any(profiles):
            return None
        counts = [_counts(one.get("counts")) for one in profiles]
        last = max(number for number, one in enumerate(profiles) if one)
        leaks = next((_dict(take.get("leaks")) for take in reversed(self.takes) if take.get("leaks")), {})
        leaked = _counts(leaks.get("counts")) if leaks.get("available") else {}
        dump = next((_dict(take.get("dump")) for take in reversed(self.takes) if take.get("dump")), {})
        known = {str(key): one for key, one in _dict(self.entry.get("groups")).items() if isinstance(one, Mapping)}
        marks = {**dict.fromkeys(mark for one in counts for mark in one), **dict.fromkeys(leaked)}
        groups = []
        for mark in marks:
            numbers = [one.get(mark, 0) if profile else None for one, profile in zip(counts, profiles, strict=True)]
            groups.append(self._group(mark, known.get(mark, {}), numbers, last))
        ids, minutes, waits = _dict(dump.get("ids")), _counts(dump.get("minutes")), _dict(dump.get("waits"))
        blamed = self._blamed(groups)
        for group in groups:
            mark = group["fingerprint"]
            own = [number for one in ids.get(mark) or () if (number := _int(one)) is not None] if isinstance(
                ids.get(mark), list) else []
            group["leaked"] = leaked.get(mark)
            group["blamed"] = mark in blamed
            group["ids"], group["minutes"] = sorted(own)[:IDS], minutes.get(mark)
            said = _counts(waits.get(mark))
            group["wait"] = group["wait"] or (max(said, key=lambda one: said[one]) if said else None)
        groups.sort(key=lambda one: (not one["blamed"], not one["leaked"], -one["count"], -max(
            (number or 0 for number in one["counts"]), default=0), one["fingerprint"]))
        classes, origins = Counter[str](), Counter[str]()
        for group in groups:
            classes[group["class"]] += group["count"]
            origins[group["origin"]] += group["count"]
        rest = groups[GROUPS:]
        groups = groups[:GROUPS]
        without = self._without_stacks(groups)
        return {
            "total": _count(profiles[last].get("total")) or 0,
            "left_out": (_count(profiles[last].get("left_out")) or 0) + sum(one["count"] for one in rest),
            "take": last,
            "dump": bool(dump), "complete": bool(dump.get("complete")) if dump else None,
            "leaks": {"available": bool(leaks.get("available")), "reason": _word(leaks.get("reason")),
                      "total": _int(leaks.get("total"))} if leaks else None,
            "classes": {key: classes[key] for key in CLASS_WORDS if classes[key]},
            "origins": {key: origins[key] for key in ORIGINS if origins[key]},
            "stacks_left_out": without,
            "groups": groups,
        }

    def _group(self, mark: str, about: Mapping[str, Any], counts: list[int | None], last: int) -> dict[str, Any]:
        given = about.get("frames")
        frames = [frame for one in (given if isinstance(given, list) else [])[:FRAMES] if (frame := self.shared.frame(one))]
        creator = self.shared.frame(about.get("created_by"))
        origins = {frame[3] for frame in [*frames, creator] if frame}
        own = next((frame for frame in frames if frame[3] == "own"), None)
        kind = str(about.get("class"))
        return {
            "fingerprint": _text(mark, 64), "class": kind if kind in CLASS_WORDS else "other", "wait": _word(about.get("wait"), 80),
            "origin": "own" if "own" in origins else "dependency" if "dependency" in origins else "runtime",
            "count": counts[last] or 0, "counts": counts,
            # Where none of its frames is own code: what the goroutine does at all, its innermost frame.
            "at": own or next(iter(frames), None), "created_by": creator, "frames": frames,
        }

    def _blamed(self, groups: Sequence[Mapping[str, Any]]) -> set[str]:
        """The groups that ``goroutines.leaked`` names: by fingerprint where it gives one, else by the function in its subject."""
        found = set()
        for one in self.told:
            if one["check"] != "goroutines.leaked" or one["status"] != "fail":
                continue
            marks = {group["fingerprint"] for group in groups if group["fingerprint"] in one["words"]}
            function = one["subject"][len(self.subject):].strip()
            if function and (not marks or "more stacks of the same function" in one["words"]):
                marks |= {group["fingerprint"] for group in groups if group["at"] and group["at"][0] == function}
            if not marks and function:
                marks = {group["fingerprint"] for group in groups if any(frame[0] == function for frame in group["frames"])}
            found |= marks
        return found

    def _without_stacks(self, groups: Sequence[dict[str, Any]]) -> int:
        """Take the stacks of the smaller groups away where the report has no room for them; how many."""
        room, without = max(self.shared.frames, FEWEST), 0
        for group in groups:
            size = len(group["frames"])
            if size > room and not group["blamed"] and not group["leaked"]:
                group["frames"] = []
                without += 1
                continue
            room -= size
            self.shared.frames -= size
        return without

    # Memory

    def _heap(self) -> dict[str, Any] | None:
        """The allocation sites of the last heap profile, and what they held in the one it is compared with: the last idle one
        for a take under or after load, else the first one."""
        having = [number for number, take in enumerate(self.takes) if isinstance(take.get("heap"), Mapping)]
        if not having:
            return None
        last = having[-1]
        phase = self.takes[last].get("phase")
        earlier = [number for number in having[:-1] if phase not in ("load", "after") or self.takes[number].get("phase") == "idle"]
        base = None if not earlier else earlier[-1] if phase in ("load", "after") else earlier[0]
        now = _sites(self.takes[last]["heap"])
        before = _sites(self.takes[base]["heap"]) if base is not None else {}
        # The facts hold the largest sites only: one that is not among the 100 largest of then may have held something.
        full = len(before) < 100
        sites: list[dict[str, Any]] = []
        for place, one in now.items():
            held = _int(one.get("inuse_bytes")) or 0
            was = _int(before[place].get("inuse_bytes")) if place in before else 0 if full else None
            sites.append({
                "function": place[0], "file": place[1], "line": place[2], "origin": _text(one.get("origin")),
                "inuse_bytes": held, "inuse_objects": _int(one.get("inuse_objects")) or 0,
                "alloc_bytes": _int(one.get("alloc_bytes")) or 0, "alloc_objects": _int(one.get("alloc_objects")) or 0,
                "grew_bytes": held - was if base is not None and was is not None else None,
            })
        sites.sort(key=lambda one: (-one["inuse_bytes"], -one["alloc_bytes"], one["function"], one["line"]))
        return {"take": last, "compared_with": base, "period": _int(self.takes[last]["heap"].get("period")),
                "sites": sites[:SITES]}

    def _pauses(self) -> dict[str, Any] | None:
        """Every GC pause that any take saw once. The runtime keeps the last 256 (runtime.MemStats, PauseNs)."""
        ends: dict[int, int] = {}
        for take in self.takes:
            given = _dict(take.get("memory")).get("pauses")
            for one in given if isinstance(given, list) else ():
                if isinstance(one, (list, tuple)) and len(one) == 2:
                    end, pause = _int(one[0]), _int(one[1])
                    if end and pause is not None:
                        ends[end] = pause
        histogram = next((found for take in reversed(self.takes) for name in memory.PAUSE_FAMILIES
                          if (found := _histogram(take, name))), None)
        if not ends:
            return {"count": 0, "p50_ns": None, "p99_ns": None, "max_ns": None, "seconds": None, "last": [],
                    "histogram": histogram} if histogram else None
        moments = sorted(ends)
        sizes = sorted(ends.values())
        return {
            "count": len(sizes), "p50_ns": _rank(sizes, 0.5), "p99_ns": _rank(sizes, 0.99), "max_ns": sizes[-1],
            "seconds": round((moments[-1] - moments[0]) / 1e9, 3),
            "last": [[end, ends[end]] for end in moments[-PAUSES:]], "histogram": histogram,
        }

    # Contention, CPU

    def _contention(self, kind: str) -> dict[str, Any] | None:
        found = next(((number, _dict(take.get(kind))) for number, take in reversed(list(enumerate(self.takes)))
                      if isinstance(take.get(kind), Mapping)), None)
        if found is None:
            return None
        number, one = found
        sites: list[dict[str, Any]] = [
            {"function": place[0], "file": place[1], "line": place[2], "origin": _text(site.get("origin")),
             "contentions": _int(site.get("contentions")) or 0, "delay_ns": _int(site.get("delay_ns")) or 0}
            for place, site in _sites(one).items()]
        sites.sort(key=lambda site: (-site["delay_ns"], -site["contentions"], site["function"], site["line"]))
        return {"take": number, "period": _int(one.get("period")), "contentions": _int(one.get("contentions")) or 0,
                "delay_ns": _int(one.get("delay_ns")) or 0, "sites": sites[:SITES]}

    def _cpu(self) -> dict[str, Any] | None:
        found = next(((number, _dict(take.get("cpu"))) for number, take in reversed(list(enumerate(self.takes)))
                      if isinstance(take.get("cpu"), Mapping)), None)
        if found is None:
            return None
        number, one = found
        sites: list[dict[str, Any]] = [
            {"function": place[0], "file": place[1], "line": place[2], "origin": _text(site.get("origin")),
             "flat_ns": _int(site.get("flat_ns")) or 0, "cum_ns": _int(site.get("cum_ns")) or 0}
            for place, site in _sites(one).items()]
        sites.sort(key=lambda site: (-site["flat_ns"], -site["cum_ns"], site["function"], site["line"]))
        return {"take": number, "duration_ns": _int(one.get("duration_ns")), "samples": _int(one.get("samples")) or 0,
                "period": _int(one.get("period")), "sites": sites[:SITES]}

    # What was asked, and what the run keeps

    def _asked(self) -> list[dict[str, Any]]:
        return [
            {"take": number, "kind": _text(one.get("kind")), "form": _text(one.get("form")), "status": _int(one.get("status")),
             "ms": _number(one.get("ms")), "bytes": _int(one.get("bytes")), "error": _error(one.get("error"))}
            for number, take in enumerate(self.takes) for one in _dicts(take.get("asked"))][:REQUESTS]

    def _profiles(self) -> list[dict[str, Any]]:
        folder = hostdoc.profile_dir(Path(), self.host, self.subject)
        entries: list[dict[str, Any]] = []
        owners: dict[str, int] = {}
        for number, take in enumerate(self.takes):
            for one in _dicts(take.get("profiles"))[:40]:
                name = _text(one.get("file"), 200)
                # A name and nothing else: what a host calls a file must not lead out of its own folder.
                safe = name and name == os.path.basename(name) and not name.startswith(".")
                types = [[_text(kind[0], 80), _text(kind[1], 80)] for kind in one.get("sample_types") or ()
                         if isinstance(kind, (list, tuple)) and len(kind) == 2] if isinstance(one.get("sample_types"), list) else []
                if safe:
                    owners[name] = len(entries)
                entries.append({
                    "take": number, "kind": _text(one.get("kind"), 40), "file": name, "path": None,
                    "bytes": _int(one.get("bytes")), "valid": bool(one.get("valid")), "error": _word(one.get("error")),
                    "sample_types": types[:20], "totals": dict(list(_counts(one.get("totals")).items())[:20]),
                    "samples": _int(one.get("samples")), "duration_ns": _int(one.get("duration_ns")),
                })
        for name, position in owners.items():  # of two takes with one name the later one wrote the file last
            if self.run_dir is not None and (self.run_dir / folder / name).is_file():
                entries[position]["path"] = (folder / name).as_posix()
        return entries


def _address(entry: Mapping[str, Any]) -> str:
    listener = _dict(entry.get("listener"))
    return runtimes.where({"listener": listener}) if listener else ""


def _sites(profile: Any) -> dict[tuple[str, str, int], Mapping[str, Any]]:
    return {(_text(one.get("function")), _text(one.get("file")), _int(one.get("line")) or 0): one
            for one in _dicts(_dict(profile).get("sites")) if one.get("function")}


def _rank(ordered: Sequence[int], part: float) -> int:
    """The nearest-rank percentile: the smallest value that so large a part of all values does not exceed."""
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)]


def _histogram(take: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The p50 and p99 of a histogram of the metrics page: the upper bound of the bucket that holds them, in ns."""
    family = _dict(_dict(_dict(take.get("metrics")).get("families")).get(name))
    given = family.get("buckets")
    buckets = []
    for one in given if isinstance(given, list) else ():
        if isinstance(one, (list, tuple)) and len(one) == 2 and _int(one[1]) is not None:
            # JSON has no infinity: the facts write null for the bound of the last bucket (promtext.as_facts).
            bound = float("inf") if one[0] is None else _number(one[0])
            if bound is not None:
                buckets.append((bound, _int(one[1]) or 0))
    buckets.sort()
    total = buckets[-1][1] if buckets else 0
    if not total:
        return None

    def bound_of(part: float) -> int | None:
        reached = next((bound for bound, number in buckets if number >= part * total), float("inf"))
        return round(reached * 1e9) if reached < 1e9 else None

    return {"count": total, "p50_ns": bound_of(0.5), "p99_ns": bound_of(0.99)}


# The sentence

def _said(found: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The worst that the checks said, and one sentence of it."""
    by_state: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in told:
        by_state[one["state"]].append(one)
    for lines in by_state.values():
        lines.sort(key=lambda one: (-engine.SEVERITIES.index(one["severity"]), one["check"] != "goroutines.leaked"))
    state = next((name for name in STATES if by_state[name]), "none")
    wrong = [*by_state["blocker"], *by_state["warning"]]
    unclear = [*by_state["unclear"], *by_state["notice"]]
    if wrong:
        more = f" And {text.count(len(wrong) - 1, 'more finding')}." if len(wrong) > 1 else ""
        # A reason is a sentence; where it begins with the name of a function, a capital would change the name.
        return state, text.clip(wrong[0]["reason"], 500) + more
    error = found["error"]
    if error and not found["takes"]:
        return state, unclear[0]["reason"] if unclear else _sentence(f"no runtime view: {error['message'] or error['kind']}")
    if unclear:
        passed = f"{text.count(len(by_state['pass']), 'check')} found nothing wrong, " if by_state["pass"] else ""
        what = f"{passed}{text.count(len(unclear), 'check')} could not be judged: {unclear[0]['reason']}"
        return state, _sentence(what)
    if by_state["waived"]:
        return state, _sentence(f"nothing wrong but what is waived: {by_state['waived'][0]['reason']}")
    numbers = ", ".join(_numbers(found))
    if by_state["pass"]:
        return state, _sentence(f"healthy: {numbers}{'; ' if numbers else ''}"
                                f"{text.count(len(by_state['pass']), 'check')} found nothing wrong")
    return state, _sentence(f"measured, and judged by no check: {numbers}" if numbers else "nothing was measured")


def _numbers(found: Mapping[str, Any]) -> Iterator[str]:
    """What was measured last, for the sentence of a service that nothing is wrong with."""
    if found["goroutines"]:
        yield text.count(found["goroutines"]["total"], "goroutine")
    inuse = [take["memory"]["HeapInuse"] for take in found["takes"] if take["memory"] and take["memory"]["HeapInuse"] is not None]
    if inuse:
        yield f"{size(inuse[-1])} of heap in use"
    pauses = found["pauses"]
    if pauses and pauses["count"]:
        yield f"GC pauses of at most {span(pauses['max_ns'])}"


def _sentence(words: str) -> str:
    return text.sentence(text.clip(words, 500))


# Words for numbers and names

def function(name: str) -> tuple[str, str]:
    """A function's name as the path of its package's folder and the rest: ``example.org/api/``, ``worker.(*Pool).run``."""
    # A type parameter or a path in brackets belongs to the rest: "slices.SortFunc[go.shape.[]example.org/x.T]".
    head, bracket, tail = name.partition("[")
    folder, slash, rest = head.rpartition("/")
    return folder + slash, rest + bracket + tail


def base(path: str) -> str:
    """The last part of a file's path; what is no path stays."""
    return path.replace("\\", "/").rpartition("/")[2]


def minutes(value: int) -> str:
    """``7 min``, ``3 h``, ``2 days``."""
    return f"{value} min" if value < 120 else f"{value // 60} h" if value < 2880 else f"{value // 1440} days"


def size(value: int | float | None) -> str:
    """Bytes for people: ``512 B``, ``12.4 MiB``, ``-3.0 MiB``."""
    if value is None:
        return "–"
    if abs(value) < 1024:
        return f"{int(value)} B"
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if abs(value) < 1024:
            return f"{value:.{0 if abs(value) >= 99.95 else 1}f} {unit}"
    return f"{value / 1024:,.1f} TiB"


def span(value: int | float | None) -> str:
    """Nanoseconds for people: ``850 ns``, ``42 µs``, ``1.3 ms``, ``2.1 s``."""
    if value is None:
        return "–"
    if abs(value) < 1000:
        return f"{int(value)} ns"
    for unit in ("µs", "ms"):
        value /= 1000
        if abs(value) < 999.95:
            return f"{value:.{0 if abs(value) >= 99.95 else 1}f} {unit}"
    return text.duration(value / 1000)


def signed(value: int | None) -> str:
    return "–" if value is None else f"{'+' if value > 0 else ''}{size(value)}"


# Since the baseline

class GroupBefore(NamedTuple):
    """A goroutine group of an earlier report: how many there were in each take, and what it is called without its lines."""

    fingerprint: str
    counts: tuple[int | None, ...]
    key: tuple[str, str, str]


class Before(NamedTuple):
    """An endpoint of an earlier report."""

    subject: str
    go_version: str
    goroutines: int | None
    heap_inuse: int | None
    groups: tuple[tuple[str, int, tuple[str, str, str]], ...]


def earlier(value: dict[str, Any]) -> Any:
    """An object of an earlier report.json while it is parsed: groups and endpoints shrink to what a comparison needs."""
    if "fingerprint" in value and "counts" in value and "frames" in value:
        counts = value["counts"]
        return GroupBefore(
            _text(value["fingerprint"], 64), tuple(_int(one) for one in counts) if isinstance(counts, list) else (), _key(value))
    if "subject" in value and "takes" in value and "go_version" in value:
        return _before(value)
    return value


def endpoints_before(host: Mapping[str, Any]) -> Iterator[Before]:
    """The endpoints of a host of an earlier report.json that was parsed with :func:`earlier`."""
    for service in _dicts(host.get("services")):
        given = _dict(service.get("runtime")).get("endpoints")
        yield from (one for one in (given if isinstance(given, list) else ()) if isinstance(one, Before))


def _key(group: Mapping[str, Any]) -> tuple[str, str, str]:
    """A group without its line numbers, which differ from one build of a service to the next."""
    def function(frame: Any) -> str:
        return sys.intern(_text(frame[0])) if isinstance(frame, list) and frame else ""

    return sys.intern(_text(group.get("class"))), function(group.get("at")), function(group.get("created_by"))


def _first_quiet(takes: Sequence[Mapping[str, Any]], counted: str) -> int | None:
    """The first take that was made without a load and has what is compared."""
    return next((number for number, take in enumerate(takes)
                 if take.get("phase") in ("once", "idle") and take.get(counted) is not None), None)


def _before(endpoint: Mapping[str, Any]) -> Before:
    takes = _dicts(endpoint.get("takes"))
    quiet = _first_quiet(takes, "goroutines")
    groups: list[tuple[str, int, tuple[str, str, str]]] = []
    given = _dict(endpoint.get("goroutines")).get("groups")
    for one in given if isinstance(given, list) and quiet is not None else ():
        group = one if isinstance(one, GroupBefore) else GroupBefore(one["fingerprint"], tuple(one["counts"]), _key(one))
        number = group.counts[quiet] if quiet is not None and quiet < len(group.counts) else None
        if number:
            groups.append((sys.intern(group.fingerprint), number, group.key))
    # HeapInuse holds garbage as well: the lowest of several readings holds least of it.
    heap = [number for take in takes if take.get("phase") in ("once", "idle")
            and (number := _int(_dict(take.get("memory")).get("HeapInuse"))) is not None]
    return Before(_text(endpoint.get("subject")), _text(endpoint.get("go_version")),
                  _int(takes[quiet].get("goroutines")) if quiet is not None else None, min(heap, default=None), tuple(groups))


def compare(hosts: Iterable[Mapping[str, Any]], before: Mapping[tuple[str, str], Before]) -> list[dict[str, Any]]:
    """``delta.runtime``: endpoints that both reports have, what grew most first.

    Goroutines as in the first take without load, the heap as the lowest HeapInuse without load. Groups are matched by
    fingerprint, and what is left over by class, function and creator, for a new build moves lines. The names of closures
    and wrappers change with the Go version, so that an endpoint of another one is named and not compared.
    """
    entries = []
    for host in hosts:
        for service in host.get("services") or ():
            for endpoint in (service.get("runtime") or {}).get("endpoints") or ():
                was = before.get((host["name"], endpoint["subject"]))
                if was is None:
                    continue
                now = _before(endpoint)
                same = was.go_version == now.go_version
                entries.append({
                    "host": host["name"], "service": endpoint["subject"],
                    "go_version": {"before": was.go_version or None, "after": now.go_version or None}, "compared": same,
                    "goroutines": {"before": was.goroutines, "after": now.goroutines, "groups": _grew(was, now, endpoint)}
                    if same and None not in (was.goroutines, now.goroutines) else None,
                    "heap_inuse": {"before": was.heap_inuse, "after": now.heap_inuse}
                    if same and None not in (was.heap_inuse, now.heap_inuse) else None,
                })
    return sorted(entries, key=_growth, reverse=True)


def _growth(entry: Mapping[str, Any]) -> float:
    parts = [part["after"] / max(1, part["before"]) for part in (entry["goroutines"], entry["heap_inuse"]) if part]
    return max(parts, default=0.0)


def _grew(was: Before, now: Before, endpoint: Mapping[str, Any]) -> list[dict[str, Any]]:
    then = {mark: number for mark, number, _key_of_it in was.groups}
    marks = {mark for mark, _number_of_it, _key_of_it in now.groups}
    left: Counter[tuple[str, str, str]] = Counter()
    for mark, number, key in was.groups:
        if mark not in marks:
            left[key] += number
    about = {group["fingerprint"]: group for group in endpoint["goroutines"]["groups"]}
    grown = []
    for mark, number, key in now.groups:
        number_before = then.get(mark)
        if number_before is None:
            number_before = min(left[key], number)
            left[key] -= number_before
        if number > number_before:
            grown.append({"fingerprint": mark, "class": about[mark]["class"], "at": about[mark]["at"],
                          "before": number_before, "after": number})
    return sorted(grown, key=lambda one: (one["before"] - one["after"], one["fingerprint"]))[:SITES]


# The page

def _trend(counts: Sequence[int | None]) -> list[int]:
    """A few of the counts over time, the first and the last among them; nothing where they are all the same."""
    known = [number for number in counts if number is not None]
    last = len(known) - 1
    some = known if last < TREND else [known[round(step * last / (TREND - 1))] for step in range(TREND)]
    return some if len(set(known)) > 1 else []


@dataclass(frozen=True)
class Series:
    """One line of a chart, in percent of its area."""

    key: str
    label: str
    points: tuple[tuple[float, float], ...]
    path: str
    last: str


@dataclass(frozen=True)
class Chart:
    """Memory over the takes. Places are percentages from the upper left corner; ``far`` are limits far above the chart."""

    bands: tuple[tuple[str, float, float], ...]
    series: tuple[Series, ...]
    limits: tuple[tuple[str, str, float], ...]
    far: tuple[tuple[str, str], ...]
    grid: tuple[tuple[float, str], ...]
    moments: tuple[tuple[float, str], ...]
    rows: tuple[tuple[str, ...], ...]
    description: str


@dataclass(frozen=True)
class Strip:
    """GC pauses as a strip: one stroke a pause, at its time and as high as it is long."""

    path: str
    p50: float
    p99: float
    begin: str
    top: str
    description: str


@dataclass(frozen=True)
class Profile:
    """A profile file of the run; ``href`` and ``command`` are relative to the report, empty where the run does not keep it."""

    about: Mapping[str, Any]
    phase: str
    totals: str
    href: str
    command: str


@dataclass(frozen=True)
class View:
    """One endpoint as the page shows it. ``shown`` is false for a line without its part."""

    number: int
    host: str
    service: str
    endpoint: Mapping[str, Any]
    limits: Mapping[str, Any]
    shown: bool = True
    chart: Chart | None = None
    strip: Strip | None = None
    groups: tuple[Mapping[str, Any], ...] = ()
    more_groups: int = 0
    sites: tuple[Mapping[str, Any], ...] = ()
    profiles: tuple[Profile, ...] = ()
    compares: str = ""
    costs: tuple[Mapping[str, Any], ...] = ()
    skipped: tuple[tuple[str, tuple[str, ...]], ...] = ()
    reading: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        return str(self.endpoint["state"])

    @property
    def said(self) -> str:
        return str(self.endpoint["said"])


@dataclass(frozen=True)
class Overview:
    """The runtime part of a report: every service worst first, and what grew since the baseline."""

    views: tuple[View, ...] = ()
    more: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    since: tuple[Mapping[str, Any], ...] = ()
    since_more: int = 0
    run_dir: Path | None = None
    report_dir: Path | None = None

    @property
    def findings(self) -> list[View]:
        """The services that something is wrong with, each once."""
        return [view for view in self.views if view.state in FINDINGS]


def views(hosts: Iterable[Mapping[str, Any]], since: Sequence[Mapping[str, Any]] = (), run_dir: Path | None = None) -> Overview:
    """What the page shows of the condensed documents of all hosts. Empty where no service has a runtime view."""
    found = [
        (host["name"], service["name"], endpoint, service["runtime"]["limits"])
        for host in hosts for service in host.get("services") or () if service.get("runtime")
        for endpoint in service["runtime"]["endpoints"]]
    found.sort(key=lambda one: (STATES.index(one[2]["state"]), one[2]["subject"], one[0]))
    lines = []
    for number, (host, service, endpoint, limits) in enumerate(found[:LINES], 1):
        if number > PARTS or not endpoint["takes"]:
            lines.append(View(number, host, service, endpoint, limits, shown=False))
            continue
        # Groups that are gone stay in report.json; every group that leaks is shown, as far as a page can.
        groups = [one for one in (endpoint["goroutines"] or {}).get("groups") or [] if one["count"] or one["blamed"] or one["leaked"]]
        rows = max(PAGE_GROUPS, min(PAGE_LEAKS, sum(bool(one["blamed"] or one["leaked"]) for one in groups)))
        profiles = _profile_rows(endpoint, run_dir, None)
        lines.append(View(
            number, host, service, endpoint, limits, chart=_chart(endpoint, limits), strip=_strip(endpoint["pauses"]),
            groups=tuple({**one, "trend": _trend(one["counts"])} for one in groups[:rows]),
            more_groups=len(groups[rows:]), sites=_page_sites(endpoint["heap"]),
            profiles=profiles, compares=_compare_command(endpoint, profiles), costs=_costs(endpoint),
            skipped=_skipped(endpoint), reading=next((take for take in reversed(endpoint["takes"]) if take["memory"]), None),
            notes=_notes(endpoint)))
    counts = Counter(one[2]["state"] for one in found)
    grown = [entry for entry in since if not entry["compared"] or _growth(entry) > 1 or
             (entry["goroutines"] and entry["goroutines"]["groups"])]
    return Overview(tuple(lines), max(0, len(found) - LINES), {state: counts[state] for state in STATES if counts[state]},
                    tuple(grown[:SINCE]), len(grown[SINCE:]), run_dir)


def placed(overview: Overview, report_dir: Path) -> Overview:
    """The same for a page in ``report_dir``: links and commands are relative to it."""
    def moved(view: View) -> View:
        if not view.shown:
            return view
        profiles = _profile_rows(view.endpoint, overview.run_dir, report_dir)
        return replace(view, profiles=profiles, compares=_compare_command(view.endpoint, profiles))

    return replace(overview, views=tuple(map(moved, overview.views)), report_dir=report_dir)


def _notes(endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """What limits this view: a restart, a take that failed, parts that were left out."""
    notes = []
    if endpoint["restarted"]:
        notes.append(f"The service was restarted while it was looked at: {endpoint['restarted']}")
    if endpoint["interrupted"]:
        notes.append(f"A later take failed: {endpoint['interrupted']['message'] or endpoint['interrupted']['kind']}")
    return tuple(text.sentence(note) for note in notes)


def _page_sites(heap: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], ...]:
    """The largest sites and those that grew most, as one table."""
    if not heap:
        return ()
    largest = [one for one in heap["sites"] if one["inuse_bytes"]][:PAGE_SITES]
    grown = sorted((one for one in heap["sites"] if (one["grew_bytes"] or 0) > 0), key=lambda one: -one["grew_bytes"])[:PAGE_SITES]
    rows = {(one["function"], one["file"], one["line"]): one for one in [*grown, *largest]}
    return tuple(sorted(rows.values(), key=lambda one: (-(one["grew_bytes"] or 0), -one["inuse_bytes"])))


def _costs(endpoint: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What was asked, one line a kind and form: how often, how long the longest answer took, how many bytes came."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for one in endpoint["asked"]:
        line = lines.setdefault((one["kind"], one["form"]), {
            "kind": one["kind"], "form": one["form"], "times": 0, "ms": None, "bytes": 0, "errors": []})
        line["times"] += 1
        line["ms"] = one["ms"] if line["ms"] is None else max(line["ms"], one["ms"] or 0)
        line["bytes"] += one["bytes"] or 0
        if one["error"]:
            line["errors"].append(one["error"]["message"] or one["error"]["kind"])
    for line in lines.values():
        line["errors"] = list(dict.fromkeys(line["errors"]))
    return tuple(lines.values())


def _skipped(endpoint: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What was never asked, by reason. A kind that one take asked for is left out of the others on purpose."""
    asked = {one["kind"] for one in endpoint["asked"]}
    reasons: dict[str, dict[str, None]] = {}
    for one in endpoint["skipped"]:
        if one["kind"] not in asked:
            reasons.setdefault(one["reason"], {})[one["kind"]] = None
    return tuple((reason, tuple(kinds)) for reason, kinds in reasons.items())


def _profile_rows(endpoint: Mapping[str, Any], run_dir: Path | None, report_dir: Path | None) -> tuple[Profile, ...]:
    rows = []
    for one in endpoint["profiles"]:
        at = _relative(one["path"], run_dir, report_dir)
        totals = ", ".join(_total(name, value, dict(map(tuple, one["sample_types"]))) for name, value in one["totals"].items())
        phase = endpoint["takes"][one["take"]]["phase"]
        rows.append(Profile(one, PHASE_WORDS[phase], totals, quote(at), f"go tool pprof -http=: {_shell(at)}" if at else ""))
    return tuple(rows)


def _relative(path: str | None, run_dir: Path | None, report_dir: Path | None) -> str:
    if not path or run_dir is None:
        return ""
    return Path(os.path.relpath(run_dir / path, report_dir if report_dir is not None else run_dir)).as_posix()


def _shell(path: str) -> str:
    # A path that begins with a dash would be an option.
    return shlex.quote(path if not path.startswith("-") else f"./{path}")


def _total(name: str, value: int, units: Mapping[str, str]) -> str:
    unit = units.get(name)
    return f"{name} {size(value) if unit == 'bytes' else span(value) if unit == 'nanoseconds' else f'{value:,}'}"


def _compare_command(endpoint: Mapping[str, Any], profiles: Sequence[Profile]) -> str:
    """The command that compares the heap before with the heap now."""
    heap = endpoint["heap"]
    if not heap or heap["compared_with"] is None:
        return ""
    files = {one.about["take"]: one.command.rpartition(" ")[2] for one in profiles if one.about["kind"] == "heap" and one.command}
    base, now = files.get(heap["compared_with"]), files.get(heap["take"])
    return f"go tool pprof -http=: -diff_base={base} {now}" if base and now and base != now else ""


# Charts

def _chart(endpoint: Mapping[str, Any], limits: Mapping[str, Any]) -> Chart | None:
    """Memory over the takes; None where fewer than two takes have any: some ask for goroutines alone."""
    takes = [take for take in endpoint["takes"] if take["memory"] or take["rss"] is not None]
    if sum(take["memory"] is not None for take in takes) < 2:
        return None
    spots = _spots([take["seconds"] for take in takes])
    values = {key: [_reading(take, label) for take in takes] for label, key in _SERIES}
    highest = max((value for line in values.values() for value in line if value is not None), default=0)
    if not highest:
        return None
    known = [(label, limits[key]) for label, key in _LIMITS if limits.get(key)]
    near = [(label, value) for label, value in known if value <= highest * FAR]
    step, top = _scale(max([highest, *(value for _label, value in near)]))
    series = []
    for label, key in _SERIES:
        points = [(spot, round(100 - 100 * value / top, 2)) for spot, value in zip(spots, values[key], strict=True) if value is not None]
        if points:
            path = " ".join(f"{'L' if number else 'M'}{x * 10:.0f} {y * 10:.0f}" for number, (x, y) in enumerate(points))
            series.append(Series(key, label, tuple(points), path, size(next(v for v in reversed(values[key]) if v is not None))))
    words = [f"{one.label} from {size(next(v for v in values[one.key] if v is not None))} to {one.last}" for one in series]
    return Chart(
        bands=_bands(takes, spots), series=tuple(series),
        limits=tuple((label, size(value), round(100 - 100 * value / top, 2)) for label, value in near),
        far=tuple((label, size(value)) for label, value in known if (label, value) not in near),
        grid=tuple((round(100 - 100 * step * number / top, 2), size(step * number).replace(".0 ", " ") if number else "0")
                   for number in range(int(top // step) + 1)),
        moments=_apart(tuple((spot, (text.duration(take["seconds"]) if take["seconds"] else "start") if take["seconds"] is not None
                              else str(number))
                             for number, (spot, take) in enumerate(zip(spots, takes, strict=True), 1))),
        rows=tuple((PHASE_WORDS[take["phase"]], text.duration(take["seconds"]) if take["seconds"] is not None else "–",
                    *(size(_reading(take, label)) for label, _key_of_it in _SERIES)) for take in takes),
        description=f"{text.count(len(takes), 'take')}: {'; '.join(words)}.",
    )


def _apart(moments: tuple[tuple[float, str], ...]) -> tuple[tuple[float, str], ...]:
    """The moments that have room for their words: the first and the last, and of the others those far enough from both."""
    first, *between, last = moments
    kept = [first]
    for one in between:
        if min(one[0] - kept[-1][0], last[0] - one[0]) >= LABEL:
            kept.append(one)
    return (*kept, last)


def _reading(take: Mapping[str, Any], label: str) -> int | None:
    value = take["rss"] if label == "RSS" else (take["memory"] or {}).get(label)
    return value if value is None or value >= 0 else None


def _spots(seconds: Sequence[float | None]) -> list[float]:
    """Where each take is drawn, by its time; one beside the other where no times are known or two takes would touch."""
    number = len(seconds)
    even = [round(4 + 92 * place / (number - 1), 2) for place in range(number)]
    times = [one for one in seconds if one is not None]
    if len(times) < number or times[-1] <= times[0] or times != sorted(times):
        return even
    spots = [round(4 + 92 * (one - times[0]) / (times[-1] - times[0]), 2) for one in times]
    return spots if all(after - before >= 5 for before, after in zip(spots, spots[1:])) else even


def _scale(highest: float) -> tuple[float, float]:
    """The distance of the grid's lines and the upper end: two to five lines at round binary sizes."""
    unit = 1.0
    while unit * 1024 <= highest:
        unit *= 1024
    step = next(unit * part for ten in (0.1, 1, 10, 100, 1000) for part in (ten, 2 * ten, 5 * ten) if unit * part * 4 >= highest)
    return step, step * -(-highest * 1.04 // step)


def _bands(takes: Sequence[Mapping[str, Any]], spots: Sequence[float]) -> tuple[tuple[str, float, float], ...]:
    """The phases: each from halfway between its first take and the one before, to halfway between its last and the next."""
    bands: list[tuple[str, float, float]] = []
    begin = 0.0
    for number, take in enumerate(takes):
        following = takes[number + 1]["phase"] if number + 1 < len(takes) else None
        if take["phase"] != following:
            end = round((spots[number] + spots[number + 1]) / 2, 2) if following is not None else 100.0
            bands.append((take["phase"], begin, round(end - begin, 2)))
            begin = end
    return tuple(bands)


def _strip(pauses: Mapping[str, Any] | None) -> Strip | None:
    if not pauses or pauses["count"] < 2 or not pauses["max_ns"]:
        return None
    last = pauses["last"]
    first, length = last[0][0], max(1, last[-1][0] - last[0][0])
    top = max(pause for _end, pause in last) or 1
    path = "".join(f"M{4 + 992 * (end - first) / length:.0f} 1000V{1000 - 960 * pause / top:.0f}" for end, pause in last)
    return Strip(
        path=path, p50=round(100 - 96 * min(pauses["p50_ns"], top) / top, 2), p99=round(100 - 96 * min(pauses["p99_ns"], top) / top, 2),
        begin=text.duration(length / 1e9), top=span(top),
        description=f"{text.count(pauses['count'], 'pause')} over {text.duration(pauses['seconds'])}: half of them at most "
                    f"{span(pauses['p50_ns'])}, the longest {span(pauses['max_ns'])}.",
    )


# Flame graphs

# Of each kind the last profile of a service; the title says what a box is as wide as.
FLAMES = (("cpu", "CPU time"), ("heap", "Heap in use"), ("allocs", "Memory allocated since the start"), ("goroutine", "Goroutines"),
          ("mutex", "Waiting for locks"), ("block", "Blocking"))
# All graphs of a page as JSON, and what may be read for them: the files as they lie there, unpacked, and their samples.
FLAME_BYTES = 3_000_000
FLAME_READ = 48 << 20
FLAME_FILE = 8 << 20
FLAME_UNPACKED = 32 << 20
FLAME_SAMPLES = 200_000


@dataclass(frozen=True)
class Flames:
    """The flame graphs of a page: ``of[view]`` are title and position in ``graphs`` (JSON texts); ``left_out`` says for which
    services there was no room, ``failed[view]`` what could not be drawn and why."""

    graphs: tuple[str, ...] = ()
    of: Mapping[int, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    failed: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class _Gallery:
    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.room, self.reads = FLAME_BYTES, FLAME_READ
        self.graphs: list[str] = []
        self.full = False

    def read(self, path: str) -> pprof.Profile | None:
        """A profile file of the run; None where too much was read already. ValueError and OSError say why it is none."""
        with open(self.run_dir / path, "rb") as stream:
            data = stream.read(FLAME_FILE + 1)
        if len(data) > FLAME_FILE:
            raise ValueError(f"it is larger than {size(FLAME_FILE)}")
        self.reads -= len(data)
        if self.reads < 0:
            self.full = True
            return None
        return pprof.parse(data, limit=FLAME_UNPACKED, max_samples=FLAME_SAMPLES)

    def add(self, graph: flame.Flame) -> int | None:
        words = json.dumps(graph, ensure_ascii=False, separators=(",", ":"))
        length = len(words.encode("utf-8", "replace"))
        if length > self.room:
            self.full = True
            return None
        self.room -= length
        self.graphs.append(words)
        return len(self.graphs) - 1


def flames(overview: Overview) -> Flames:
    """The flame graphs of the services that are told in full, those with findings first, within FLAME_BYTES."""
    if overview.run_dir is None:
        return Flames()
    gallery = _Gallery(overview.run_dir)
    drawn: dict[int, tuple[tuple[str, int], ...]] = {}
    failed: dict[int, tuple[str, ...]] = {}
    left_out = []
    for view in overview.views:
        if not view.shown or not any(one["path"] for one in view.endpoint["profiles"]):
            continue
        if gallery.full:
            left_out.append(f"{view.service} on {view.host}")
            continue
        graphs, faults = _graphs(gallery, view)
        drawn[view.number], failed[view.number] = tuple(graphs), tuple(faults)
        if gallery.full:
            left_out.append(f"{view.service} on {view.host}" + (" (in part)" if graphs else ""))
    return Flames(tuple(gallery.graphs), drawn, tuple(left_out), failed)


def _graphs(gallery: _Gallery, view: View) -> tuple[list[tuple[str, int]], list[str]]:
    graphs: list[tuple[str, int]] = []
    faults: list[str] = []
    module = view.endpoint["module"]
    kept: dict[int, pprof.Profile] = {}

    def put(title: str, make: Callable[[], flame.Flame]) -> None:
        number = gallery.add(make())
        if number is not None:
            graphs.append((title, number))

    for kind, title in FLAMES:
        last = next((one for one in reversed(view.endpoint["profiles"]) if one["kind"] == kind and one["path"]), None)
        if last is None or gallery.full:
            continue
        try:
            profile = gallery.read(last["path"])
            if profile is None:
                break
            if not profile.samples:
                continue
            phase = view.endpoint["takes"][last["take"]]["phase"]
            words = title if phase == "once" else f"{title}, {PHASE_WORDS[phase]}"
            put(words, functools.partial(flame.build, profile, kind=kind, title=words, module=module))
            if kind == "heap":
                kept[last["take"]] = profile
        except (ValueError, OSError) as exc:
            faults.append(f"{last['file']}: {exc.strerror if isinstance(exc, OSError) else exc}")
    heap = view.endpoint["heap"]
    base = heap and next((one for one in view.endpoint["profiles"] if one["kind"] == "heap" and one["path"]
                          and one["take"] == heap["compared_with"]), None)
    if base and heap["take"] in kept and not gallery.full:
        try:
            before = gallery.read(base["path"])
            if before is not None:
                words = f"Heap in use, {_between(view.endpoint, base['take'], heap['take'])}"
                put(words, functools.partial(flame.difference, before, kept[heap["take"]], kind="heap", title=words,
                                             module=module))
        except (ValueError, OSError) as exc:
            faults.append(f"{base['file']}: {exc.strerror if isinstance(exc, OSError) else exc}")
    return graphs, faults


def _between(endpoint: Mapping[str, Any], base: int, now: int) -> str:
    """The two takes that are compared, for people: ``idle against after load``, ``first against last take``."""
    before, after = (endpoint["takes"][number]["phase"] for number in (base, now))
    return f"{PHASE_WORDS[before]} against {PHASE_WORDS[after]}" if before != after else "first against last take"
