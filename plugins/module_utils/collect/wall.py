# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``wall``: what the requests of each service do, looked at several times in a window (a wall-clock profile).

Each endpoint that gave the subset ``runtime`` a take is asked for the cheap form of its goroutines, 2 to 10 times within
``network.window`` seconds: the protocol buffer, which has the frames of the runtime and stops the service for 1 ms (12 ms with
100,000 goroutines). What holds locks is the difference of its mutex profile from the window's begin to its end, where the
service samples one. A service that takes long for an answer is left alone; what came until then counts.
"""
from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import goroutines, httpprobe, profile
from ansible_collections.goready.preflight.plugins.module_utils.collect import pprof, runtime
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

SAMPLES, FEW, LEAST = 10, 5, 2
MANY, MOST = 2000, 20_000  # goroutines above which there are FEW samples, and LEAST
SLOW = 0.5                 # seconds for one sample after which the service is left alone
WORKERS = 8                # endpoints that are watched at the same time
WINDOW = 5.0
MARGIN = 3.0               # seconds beyond the window for the last answers
GROUPS_LIMIT = 300         # groups of an endpoint
GROUPS_BYTES = 1 << 20     # of all endpoints, about, as JSON
SITES = 20                 # locks

# A request is handled below one of these: what is nearer to the leaf is the handler's. The connection itself waits for its next
# request above them (net/http.(*conn).serve), so an idle one has none.
SERVERS: Tuple[Tuple[str, Any], ...] = (
    ("net/http", re.compile(r"^net/http\.serverHandler\.ServeHTTP$|^net/http\.\(\*timeoutHandler\)\.ServeHTTP\.func")),
    ("http2", re.compile(r"^net/http\.\(\*http2serverConn\)\.runHandler$|(?:^|/)http2\.\(\*serverConn\)\.runHandler$")),
    ("grpc", re.compile(r"(?:^|/)google\.golang\.org/grpc\.\(\*Server\)\.(?:processUnaryRPC|processStreamingRPC|handleStream)$")),
    ("fasthttp", re.compile(r"(?:^|/)github\.com/valyala/fasthttp\.\(\*Server\)\.serveConn$")),
)
# What fasthttp does for itself between two requests.
_BETWEEN = re.compile(r"(?:^|/)github\.com/valyala/fasthttp\.|^bufio\.|^net\.|^internal/poll\.|^crypto/tls\.|^sync\.")
_READER = "net/http.(*connReader).backgroundRead"
_DIAL = re.compile(r"^net/http\.\(\*Transport\)\.(?:dialConnFor|startDialConnForLocked)")
_ASSIST = re.compile(r"^runtime\.gc(?:AssistAlloc|ParkAssist)")


def endpoints(context: Context) -> List[Dict[str, Any]]:
    """One entry an endpoint that gave ``runtime`` a take."""
    found = context.shared.get("runtime.endpoints")
    if found is None:
        raise Unavailable("the services were not asked for profiles, so where their goroutines are is not known")
    asked = {id(one): one for one in found if one.get("takes")}
    options = runtime.Options.of({
        "kinds": ["goroutine", "mutex"], "phase": "once",
        "targets": [{key: value for key, value in one.items() if key not in ("takes", "groups", "error", "restarted")}
                    for one in asked.values()]})
    if not asked:
        return []
    jobs = runtime._again(context, options)
    window = float((context.active.get("network") or {}).get("window", WINDOW))
    raw = runtime.Raw(options)
    room = GROUPS_BYTES // len(jobs)
    pairs = list(zip(jobs, asked.values()))
    rounds = -(-len(pairs) // WORKERS)
    deadline = time.monotonic() + min(context.remaining() - 0.5, context.budget.remaining(), rounds * (window + MARGIN))

    def run(pair: Tuple[runtime.Job, Mapping[str, Any]]) -> Dict[str, Any]:
        job, before = pair
        if job.entry["error"] is not None:
            return _entry(job.entry, error=job.entry["error"])
        mine = min(deadline, time.monotonic() + window + MARGIN)
        if mine - time.monotonic() < 1.0:
            return _cut(context, job)
        watch = _Watch(context, options, job, {**job.entry, "groups": {}, "takes": []}, raw, mine, room)

        def look() -> Dict[str, Any]:
            return watch.look(before["takes"][-1], min(window, max(0.5, mine - time.monotonic() - 1.0)))

        if job.entry["namespace"] != "other":
            return look()
        try:
            seen = pprof.inside(context, int(job.entry["pid"]), look, max(0.1, mine - time.monotonic()))
        except OSError as exc:
            return _entry(job.entry, error={
                "kind": "denied", "message": "its network namespace cannot be entered: %s" % runtime._words(exc)})
        return seen or _cut(context, job)

    taken = httpprobe.side_by_side(run, pairs, workers=WORKERS, deadline=deadline + 0.5)
    return [entry or _cut(context, job) for (job, _before), entry in zip(pairs, taken)]


def _cut(context: Context, job: runtime.Job) -> Dict[str, Any]:
    return _entry(job.entry, error=context.budget.error())


def _entry(of: Mapping[str, Any], *, error: Optional[Mapping[str, str]] = None, **values: Any) -> Dict[str, Any]:
    return {
        **{key: of[key] for key in ("service", "container", "pid", "started", "listener", "prefix")},
        "seconds": 0.0, "groups": {}, "samples": [], "mutex": None, "error": error, **values,
    }


class _Watch(runtime._Take):
    """One endpoint, asked several times."""

    def look(self, before: Mapping[str, Any], window: float) -> Dict[str, Any]:
        """``before`` is the endpoint's latest take in ``runtime``: how many goroutines there are, whether locks are sampled."""
        total = int((before.get("goroutines") or {}).get("total") or 0)
        wanted = LEAST if total > MOST else FEW if total > MANY else SAMPLES
        # One of so many contentions is recorded; 0 is off (runtime.SetMutexProfileFraction).
        period = (before.get("mutex") or {}).get("period")
        samples: List[Dict[str, Any]] = []
        servers: Dict[str, str] = {}
        begin = time.monotonic()
        first = self._locks() if period else None
        since = time.monotonic()
        end = begin + window
        for number in range(wanted):
            at = begin + window * (number + 0.5) / wanted
            time.sleep(max(0.0, min(at, self._deadline) - time.monotonic()))
            if self._stop is not None or self._context.budget.remaining() < 0.2 or self._left() < 0.3:
                break
            asked = time.monotonic()
            one: Dict[str, Any] = {"clock": runtime._clock(), "total": 0, "counts": {}}
            if self._proto("goroutine", seconds=2.0, use=lambda found, one=one: self._count(found, one, servers)):  # type: ignore[misc]
                samples.append(one)
            elif self._stop is None and not samples:
                break  # it answers with something else: so it will the next time
            if time.monotonic() - asked > SLOW:
                self._stop = self._stop or ("timeout", "left alone: one sample took %.1f s" % (time.monotonic() - asked))
        seconds = time.monotonic() - begin
        mutex = None
        if first is not None and self._stop is None:
            time.sleep(max(0.0, min(end, self._deadline - 0.5) - time.monotonic()))
            second = self._locks()
            if second is not None:
                mutex = {"seconds": round(time.monotonic() - since, 3), "period": period, **_difference(first, second)}
        entry = self._entry
        if entry["pid"] is not None and entry["started"] is not None and not runtime._same_life(self._context, entry):
            return _entry(entry, error=entry["error"])  # what came may be of either
        groups = self._kept(samples, servers)
        for one in samples:
            one["counts"] = {key: count for key, count in one["counts"].items() if key in groups}
        error = None
        if not samples:
            failed = next((one["error"] for one in self._asked if one["error"]), None)
            error = failed or self._error(*(self._stop or ("nothing", "no sample could be taken")))
        elif self._stop is not None:
            error = self._error(*self._stop)
        return _entry(entry, error=error, seconds=round(seconds, 3), groups=groups, samples=samples, mutex=mutex)

    def _count(self, found: profile.Profile, one: Dict[str, Any], servers: Dict[str, str]) -> None:
        """Count one profile. A goroutine that pays for the garbage collector is a group of its own: the frames that tell it are
        the runtime's, which a group has none of."""
        counts: Dict[str, int] = {}
        parts: Dict[Tuple[bool, str], List[profile.Sample]] = {}
        known: Dict[int, Tuple[bool, str]] = {}
        for sample in found.samples:
            key = known.get(id(sample.stack))
            if key is None:
                key = known[id(sample.stack)] = (_assists(sample.stack), _server(sample.stack))
            parts.setdefault(key, []).append(sample)
        for (assists, server), some in parts.items():
            for group in goroutines.from_profile(replace(found, samples=some), self._entry["module"]):
                if assists:
                    group = replace(group, fingerprint=group.fingerprint + "-gc", cls="gc")
                for name, count in self._remember([group]).items():
                    counts[name] = counts.get(name, 0) + count
                if server:
                    servers[group.fingerprint] = server
        one.update(total=profile.totals(found)["goroutine"], counts=counts)

    def _locks(self) -> Optional[Dict[str, Any]]:
        taken: List[Dict[str, Any]] = []
        self._proto("mutex", seconds=2.0, use=lambda found: taken.append(self._contention(found)))
        return taken[0] if taken else None

    def _kept(self, samples: Iterable[Mapping[str, Any]], servers: Mapping[str, str]) -> Dict[str, Dict[str, Any]]:
        """The groups that fit: those that tell whether the clients of requests are still there (a few, and without them all have
        hung up), those of requests, those that dial for them, then the largest. Of a request only the frames below the server are
        kept; those above it are the same in all."""
        counts: Dict[str, int] = {}
        for one in samples:
            for key, count in one["counts"].items():
                counts[key] = counts.get(key, 0) + count
        readers = {key for key, group in self._groups.items() if any(row[0] == _READER for row in group["frames"])}
        dialling = {key for key, group in self._groups.items() if any(_DIAL.match(str(row[0])) for row in group["frames"])}
        kept: Dict[str, Dict[str, Any]] = {}
        room = self._room
        for key in sorted(counts, key=lambda one: (one not in readers, one not in servers, one not in dialling, -counts[one], one)):
            if key not in self._groups:
                continue
            group = self._groups[key]
            rows = group["frames"]
            if key in servers:
                ends = [number for number, row in enumerate(rows) if any(pattern.search(str(row[0])) for _name, pattern in SERVERS)]
                rows = rows[:ends[0]] if ends else rows
            room -= 120 + sum(len(row[0]) + len(row[1]) + 24 for row in rows)
            if len(kept) >= GROUPS_LIMIT or room < 0:
                break
            kept[key] = {"class": group["class"], "frames": rows, "wait": group["wait"], "server": servers.get(key)}
        return kept


def _assists(stack: profile.Stack) -> bool:
    for frame in stack:
        if not frame.function.startswith("runtime."):
            return False
        if _ASSIST.match(frame.function):
            return True
    return False


def _server(stack: profile.Stack) -> str:
    """Which server's handler a stack is in, "" where it is in none."""
    for number, frame in enumerate(stack):
        for name, pattern in SERVERS:
            if pattern.search(frame.function):
                if name == "fasthttp" and all(
                        _BETWEEN.search(one.function) or not goroutines.visible(one.function, one.file) for one in stack[:number]):
                    return ""
                return name
    return ""


def _difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> Dict[str, Any]:
    """What came in the window. A site that the first list did not name any more had less than those it names."""
    def place(site: Mapping[str, Any]) -> Tuple[Any, ...]:
        return site["function"], site["file"], site["line"]

    before = {place(site): site for site in first["sites"]}
    sites = []
    for site in second["sites"]:
        old = before.get(place(site), {})
        delay = site["delay_ns"] - old.get("delay_ns", 0)
        contentions = site["contentions"] - old.get("contentions", 0)
        if delay > 0 and (old or len(first["sites"]) < runtime.CONTENTION_SITES):
            sites.append({**site, "contentions": max(0, contentions), "delay_ns": delay})
    return {
        "contentions": max(0, second["contentions"] - first["contentions"]),
        "delay_ns": max(0, second["delay_ns"] - first["delay_ns"]),
        "sites": sorted(sites, key=lambda one: (-one["delay_ns"], one["function"], one["line"]))[:SITES],
    }


PARTS: Tuple[Tuple[str, Callable[[Context], Any]], ...] = (("endpoints", endpoints),)
