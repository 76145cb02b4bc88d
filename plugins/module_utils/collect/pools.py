# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``pools``: what the services' metrics pages count in a window: waits for a database connection, requests, garbage
collections, waits for mutexes.

Each page is read twice, at the begin and at the end of ``network.window`` seconds, and the counters' difference is the fact. A counter
that went back is a process that was restarted: an error, and no number. Pages are those that the services declare as ``metrics``, and
those that the subset ``runtime`` found where a service listens. Credentials go where that subset would send them: to who refused a
request without them, over https to a good certificate or to the process of the service that holds the listener now.

Pools are told by these families, each series by one label:

=======================  ===================================================================================================
``go_sql_*``             client_golang collectors.NewDBStatsCollector(db, name): sql.DB.Stats(), label ``db_name``
``go_sql_stats_*``       github.com/dlmiddlecote/sqlstats: the same under other names
``db_sql_connection_*``  github.com/XSAM/otelsql RegisterDBStatsMetrics, as the OpenTelemetry exporter for Prometheus names it
=======================  ===================================================================================================

``WaitCount`` is counted when a request begins to wait and ``WaitDuration`` when it ends to (database/sql DB.conn): requests that wait
through the whole window add nothing to either.
"""
from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe, promtext
from ansible_collections.goready.preflight.plugins.module_utils.collect import pprof, runtime
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Download, Target
from ansible_collections.goready.preflight.plugins.module_utils.redact import REDACTED, redact_url

WINDOW = 5.0            # seconds, where the inventory says nothing
PAGE_SECONDS = 3.0      # for one page
PAGE_LIMIT = 8 << 20    # bytes of a page
SERIES_LIMIT = 20_000   # series that are kept of a page while it is read
WORKERS = 8             # pages that are read side by side
ROUNDS = 3              # times PAGE_SECONDS, for all pages
SERVICES_LIMIT = 100    # pages of one host
POOLS_LIMIT = 50        # pools of one service
NAME_LIMIT = 200        # characters of a pool's name
SHORTEST = 1.0          # seconds: in less a rate is chance
NUMBER_LIMIT = 1 << 53  # what is beyond counts nothing: sums and differences of such numbers may be infinite

#: Durations of requests that a service has answered (not of those it made), without the prefix that a namespace adds to it.
HTTP_FAMILIES = {
    "http_request_duration_seconds": 1.0, "http_server_request_duration_seconds": 1.0, "http_server_duration_milliseconds": 0.001,
    "http_server_duration_seconds": 1.0, "http_request_duration_milliseconds": 0.001, "gin_request_duration_seconds": 1.0,
    "echo_request_duration_seconds": 1.0, "chi_request_duration_seconds": 1.0, "grpc_server_handling_seconds": 1.0,
}
#: Parts of a prefix that tell of requests to somebody else.
_OUTGOING = (b"client", b"upstream", b"outgoing", b"outbound", b"backend", b"proxy")
_HTTP = re.compile(rb"((?:[a-zA-Z_:][a-zA-Z0-9_:]*?_)?(?:%s))_(sum|count)(?=[{ \t])" % "|".join(HTTP_FAMILIES).encode())
_OTEL = rb"db_sql_connection_[a-z_]+(?=[{ \t])"
_ALSO = re.compile(rb"(?:%s)|(?:%s)" % (_HTTP.pattern, _OTEL))
_KEY = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\Z", re.DOTALL)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|\Z)', re.DOTALL)

#: What the series of a pool say, by name, and what makes them seconds and numbers.
_POOL_SERIES: Dict[str, Tuple[str, float]] = {
    "go_sql_max_open_connections": ("max_open", 1.0), "go_sql_open_connections": ("open", 1.0),
    "go_sql_in_use_connections": ("in_use", 1.0), "go_sql_idle_connections": ("idle", 1.0),
    "go_sql_wait_count_total": ("waits", 1.0), "go_sql_wait_duration_seconds_total": ("wait_seconds", 1.0),
    "go_sql_max_idle_closed_total": ("max_idle", 1.0), "go_sql_max_idle_time_closed_total": ("max_idle_time", 1.0),
    "go_sql_max_lifetime_closed_total": ("max_lifetime", 1.0),
    "go_sql_stats_connections_max_open": ("max_open", 1.0), "go_sql_stats_connections_open": ("open", 1.0),
    "go_sql_stats_connections_in_use": ("in_use", 1.0), "go_sql_stats_connections_idle": ("idle", 1.0),
    "go_sql_stats_connections_waited_for": ("waits", 1.0), "go_sql_stats_connections_blocked_seconds": ("wait_seconds", 1.0),
    "go_sql_stats_connections_closed_max_idle": ("max_idle", 1.0),
    "go_sql_stats_connections_closed_max_idle_time": ("max_idle_time", 1.0),
    "go_sql_stats_connections_closed_max_lifetime": ("max_lifetime", 1.0),
    "db_sql_connection_max_open": ("max_open", 1.0), "db_sql_connection_wait_total": ("waits", 1.0),
    "db_sql_connection_wait_duration_milliseconds_total": ("wait_seconds", 0.001),
    "db_sql_connection_closed_max_idle_total": ("max_idle", 1.0),
    "db_sql_connection_closed_max_idle_time_total": ("max_idle_time", 1.0),
    "db_sql_connection_closed_max_lifetime_total": ("max_lifetime", 1.0),
}
#: Labels that name the pool, the first that a series has.
_NAMES = ("db_name", "db_client_connection_pool_name", "pool_name", "db_system_name", "db_system")


@dataclass
class Reading:
    """One reading of a page: when (seconds since boot), and what it said. ``error`` is None or ``{kind, message}``."""

    clock: float
    page: promtext.Page
    error: Optional[Dict[str, str]] = None


@dataclass
class Source:
    """A metrics page. ``job`` says who may be sent credentials; ``authorization`` is sent to nobody who did not ask."""

    service: str
    container: Any
    declared: bool
    job: runtime.Job
    target: Target
    authorization: str = field(default="", repr=False)
    readings: List[Reading] = field(default_factory=list)

    @property
    def url(self) -> str:
        where = "unix://%s:%s" % (self.target.unix, self.target.path) if self.target.unix else self.target.label + self.target.path
        return redact_url(where)


def services(context: Context) -> List[Dict[str, Any]]:
    """``pools.services`` of docs/facts.md: one entry a metrics page."""
    network = context.active.get("network") or {}
    window = float(network.get("window") or WINDOW)
    seconds = min(PAGE_SECONDS, float(network.get("timeout") or PAGE_SECONDS)) * context.factor
    found = sources(context)

    def take(some: Sequence[Source], needed: float) -> None:
        httpprobe.side_by_side(lambda one: one.readings.append(read(context, one, min(seconds, _left(context)), needed)), some,
                               workers=WORKERS, deadline=time.monotonic() + min(_left(context), ROUNDS * seconds))

    take(found, SHORTEST + seconds)
    answered = [one for one in found if one.readings and one.readings[0].error is None]
    if answered:
        # The budget may leave less than the window: the second reading has to be within it.
        end = max(one.readings[0].clock for one in answered) + window
        time.sleep(max(0.0, min(end - _clock(), _left(context) - seconds)))
        take(answered, 0.0)
    unread = context.budget.error() if _left(context) <= seconds else {
        "kind": "timeout", "message": "its turn did not come: %d pages were read for %g s" % (len(found), ROUNDS * seconds)}
    return [facts_of(one, unread) for one in found]


def _left(context: Context) -> float:
    return max(0.0, min(context.budget.remaining(), context.remaining() - 0.5))


def _clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# ------------------------------------------------------------------------------------------------------------------ where

def sources(context: Context) -> List[Source]:
    """The declared metrics pages, and those that ``runtime`` found at services that declare none."""
    known: Sequence[Mapping[str, Any]] = context.shared.get("services.services") or ()
    let_in = {str(one.get("service")): one for one in context.credentials}
    found: List[Source] = []
    for declared in context.services:
        if not declared.get("metrics"):
            continue
        name = str(declared.get("name"))
        try:
            target = httpprobe.parse_url(str(declared["metrics"]))
        except ValueError:
            continue  # the controller validates the declarations
        service: Mapping[str, Any] = next(
            (one for one in known if one.get("name") == name and one.get("declared") is not False), {})
        pid = _listening(service, target)
        entry = {"service": name, "pid": pid, "started": runtime.started(context, pid) if pid is not None else None,
                 "listener": {"path": target.unix or None, "address": target.host, "port": target.port}, "namespace": None}
        found.append(_source(entry, service.get("container"), True, target, let_in.get(name)))
    declared_names = {one.service for one in found}
    declared_pids = {one.job.entry["pid"] for one in found} - {None}
    for endpoint in context.shared.get("runtime.endpoints") or ():
        url, name = endpoint.get("metrics_url"), str(endpoint.get("service"))
        if not url or name in declared_names or endpoint.get("pid") in declared_pids:
            continue  # under another name it would be counted twice
        try:
            target = httpprobe.parse_url(str(url))
        except ValueError:
            continue
        entry = {"service": name, "pid": endpoint.get("pid"), "started": endpoint.get("started"), "listener": endpoint["listener"],
                 "namespace": endpoint.get("namespace")}
        given = let_in.get(name) if endpoint.get("declared") else None
        found.append(_source(entry, endpoint.get("container"), False, target, given))
    return found[:SERVICES_LIMIT]


def _source(entry: Dict[str, Any], container: Any, declared: bool, target: Target, given: Optional[Mapping[str, Any]]) -> Source:
    given = given or {}
    sent = target.authorization
    try:
        sent = sent or httpprobe.authorization(str(given.get("username") or ""), str(given.get("password") or ""),
                                               str(given.get("token") or ""))
    except ValueError:
        pass  # it is told where the pprof endpoint is asked; here the page says what it makes of a request without
    job = runtime.Job(entry, holder=entry["pid"], verify=given.get("validate_certs") is not False,
                      ca_file=str(given.get("ca_file") or ""))
    job.secrets = runtime.secrets_of([sent], [str(given.get(key) or "") for key in ("password", "token")])
    return Source(str(entry["service"]), container, declared, job, replace(target, authorization=""), sent)


def _listening(service: Mapping[str, Any], target: Target) -> Optional[int]:
    """The process of a service that listens where a URL leads to; None where that is none, or cannot be told."""
    for process in service.get("processes") or ():
        for listener in process.get("listeners") or ():
            if target.unix and listener.get("path") == target.unix:
                return int(process["pid"])
            if not target.unix and listener.get("port") == target.port and str(listener.get("proto")).startswith("tcp"):
                return int(process["pid"])
    return None


# ------------------------------------------------------------------------------------------------------------------- read

def read(context: Context, source: Source, seconds: float, needed: float = 0.0) -> Reading:
    """One reading. Where ``needed`` seconds are not left in the budget, it is not begun."""
    if seconds <= 0.1 or _left(context) < needed:
        return Reading(_clock(), promtext.Page(), context.budget.error())
    entry = source.job.entry

    def ask() -> Reading:
        return _ask(context, source, time.monotonic() + seconds)

    if entry["namespace"] != "other":
        return ask()
    try:
        got = pprof.inside(context, int(entry["pid"]), ask, seconds + 0.2)
    except OSError as exc:
        return _failed("denied", "its network namespace cannot be entered: %s" % (exc.strerror or exc))
    return got or _failed("timeout", "did not end its answer within %g s" % seconds)


def _ask(context: Context, source: Source, deadline: float) -> Reading:
    reading, status = _page(source.target, deadline)
    if status not in (401, 403):
        return reading
    if not source.authorization:
        return _failed("unauthorized", "it asks for credentials, and none were given")
    target = replace(source.target, authorization=source.authorization, verify=source.job.verify, ca_file=source.job.ca_file)
    withheld = runtime.withheld_from(context, source.job, target)
    if withheld:
        return _failed("unauthorized", withheld)
    reading, status = _page(target, deadline)
    return _failed("unauthorized", "it refuses the credentials that were given") if status in (401, 403) else reading


def _failed(kind: str, message: str) -> Reading:
    return Reading(_clock(), promtext.Page(), {"kind": kind, "message": runtime.clean(message)[:300]})


def _page(target: Target, deadline: float) -> Tuple[Reading, Optional[int]]:
    page = promtext.Page()
    failure: Optional[Tuple[str, str]] = None
    seconds = max(0.1, round(deadline - time.monotonic(), 2))
    with Download(target, target.path, timeout=seconds, limit=PAGE_LIMIT, wire=2 * PAGE_LIMIT) as download:
        answer = download.answer
        if answer.status == 200:
            try:
                page = promtext.parse(download, max_series=SERIES_LIMIT, also=_ALSO)
            except promtext.PromError as exc:
                failure = ("too_big" if exc.kind == "too_big" else "broken", str(exc))
    clock = _clock()
    if answer.error is not None:
        failure = (runtime.ERRORS.get(answer.error, "broken"), answer.detail)
    elif answer.status != 200:
        failure = ("status", "HTTP %s" % answer.status)
    elif answer.truncated:
        failure = ("too_big", "the answer has more than %d bytes" % PAGE_LIMIT)
    if failure is not None:
        return replace(_failed(*failure), clock=clock), answer.status
    return Reading(clock, page), answer.status


# ------------------------------------------------------------------------------------------------------------------ facts

def facts_of(source: Source, unread: Mapping[str, str]) -> Dict[str, Any]:
    """The entry of a page. ``unread`` is the error of a page to which its turn did not come."""
    first = source.readings[0] if source.readings else Reading(0.0, promtext.Page(), dict(unread))
    last = source.readings[1] if len(source.readings) > 1 else Reading(first.clock, promtext.Page(), dict(unread))
    error = first.error or last.error
    seconds = last.clock - first.clock
    if error is None and seconds < SHORTEST:
        error = {**unread, "message": "%s; %.1f s were left for its window" % (unread["message"], seconds)}
    if error is None:
        error = restarted(first.page, last.page)
    changes: Dict[str, Any] = {
        "http": None, "gc": None, "mutex_wait_seconds": None, "sched_latency": None, "goroutines": None, "fds": None}
    if error is None:
        changes.update(deltas(first.page, last.page))
    if error is not None and error["kind"] == "restarted":
        first = last  # what its pools are allowed is known all the same
    pools = pools_of(first.page, None if error is not None else last.page, lambda text: _name(text, source.job.secrets))
    return {
        "service": source.service, "container": source.container, "pid": source.job.entry["pid"], "url": source.url,
        "declared": source.declared, "seconds": round(seconds, 2) if error is None else 0.0, "clock": round(first.clock, 3),
        "error": error, "pools": pools, **changes,
    }


def _name(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return runtime.clean(redact_url(text))[:NAME_LIMIT]


def restarted(before: promtext.Page, after: promtext.Page) -> Optional[Dict[str, str]]:
    """The error of two pages that are not of one life of one process, else None."""
    began = [page.number("process_start_time_seconds") for page in (before, after)]
    if began[0] is not None and began[1] is not None and abs(began[1] - began[0]) > 1.0:
        return {"kind": "restarted", "message": "the process was restarted within the window"}
    for key, value in after.families.items():
        earlier = before.families.get(key)
        if isinstance(value, float) and isinstance(earlier, float) and value < earlier and _is_counter(key):
            return {"kind": "restarted", "message": "%s went back from %g to %g: the process was restarted, or another one answered"
                    % (runtime.clean(key)[:NAME_LIMIT], earlier, value)}
    return None


def _is_counter(key: str) -> bool:
    """Whether a number never goes back in one life of a process. The CPU classes may: they are estimates (runtime/metrics)."""
    name = key.partition("{")[0]
    if name.startswith("go_cpu_classes_"):
        return False
    return name.endswith("_total") or (name.endswith("_count") and _HTTP.match(name.encode() + b" ") is not None) \
        or name in ("go_sql_stats_connections_waited_for", "go_sql_stats_connections_blocked_seconds")


def _split(key: str) -> Tuple[str, Dict[str, str]]:
    """Name and labels of a family's key (promtext.Page)."""
    match = _KEY.match(key)
    if match is None:
        return key, {}
    return match.group(1), {label: re.sub(r"\\(.)", lambda one: {"n": "\n"}.get(one.group(1), one.group(1)), text)
                            for label, text in _LABEL.findall(match.group(2) or "")}


def pools_of(before: promtext.Page, after: Optional[promtext.Page], named: Callable[[str], str]) -> List[Dict[str, Any]]:
    """The pools of a page; with no second reading their counters are null. Gauges are the higher one of both readings
    (``max_open`` the last), ``full`` says whether every connection was in use at both."""
    first, last = _pool_values(before), _pool_values(after) if after is not None else {}
    found = []
    for name in sorted(last or first)[:POOLS_LIMIT]:
        one, other = first.get(name, {}), last.get(name, {})
        newest = other or one

        def grown(key: str, one: Mapping[str, float] = one, other: Mapping[str, float] = other) -> Optional[float]:
            if key not in one or key not in other:
                return None
            return round(max(0.0, other[key] - one[key]), 6)

        def highest(key: str, one: Mapping[str, float] = one, other: Mapping[str, float] = other) -> Optional[int]:
            values = [int(reading[key]) for reading in (one, other) if key in reading]
            return max(values) if values else None

        limit = int(newest["max_open"]) if "max_open" in newest else None
        waits = grown("waits")
        found.append({
            "name": named(name), "max_open": limit, "open": highest("open"), "in_use": highest("in_use"), "idle": highest("idle"),
            "waits": None if waits is None else int(waits), "wait_seconds": grown("wait_seconds"),
            "full": bool(limit) and bool(other) and all(reading.get("in_use") == limit for reading in (one, other)),
            "closed": {key: None if value is None else int(value) for key, value in
                       ((key, grown(key)) for key in ("max_idle", "max_idle_time", "max_lifetime"))},
        })
    return found


def _pool_values(page: promtext.Page) -> Dict[str, Dict[str, float]]:
    found: Dict[str, Dict[Tuple[Tuple[str, str], ...], Dict[str, float]]] = {}
    for key, value in page.families.items():
        if not isinstance(value, float) or not abs(value) < NUMBER_LIMIT:  # nor NaN
            continue
        name, labels = _split(key)
        pool = next((labels[label] for label in _NAMES if label in labels), "")
        status = labels.pop("status", "")
        one = found.setdefault(pool, {}).setdefault(tuple(sorted(labels.items())), {})
        if name in _POOL_SERIES:
            what, scale = _POOL_SERIES[name]
            one[what] = value * scale
        elif name == "db_sql_connection_open" and status in ("inuse", "idle"):
            one["in_use" if status == "inuse" else "idle"] = value
            one["open"] = one.get("in_use", 0.0) + one.get("idle", 0.0)
    pools = {name: _together(list(several.values())) for name, several in found.items()}
    return {name: values for name, values in pools.items() if set(values) & {"max_open", "waits", "open"}}


def _together(pools: Sequence[Mapping[str, float]]) -> Dict[str, float]:
    """Pools of one name, which other labels tell apart: a primary's and its replica's. One without a bound has all."""
    found = {what: sum(one.get(what, 0.0) for one in pools) for what in sorted({what for one in pools for what in one})}
    if any(one.get("max_open") == 0 for one in pools):
        found["max_open"] = 0.0
    return found


def deltas(before: promtext.Page, after: promtext.Page) -> Dict[str, Any]:
    """What else the two pages tell of the time between them."""
    return {
        "http": _http(before, after), "gc": _collections(before, after),
        "mutex_wait_seconds": _grown(before, after, "go_sync_mutex_wait_total_seconds_total"),
        "sched_latency": _latency(before, after),
        "goroutines": _highest(before, after, "go_goroutines"),
        "fds": {"open": _highest(before, after, "process_open_fds"), "max": _highest(before, after, "process_max_fds")}
        if after.number("process_open_fds") is not None else None,
    }


def _grown(before: promtext.Page, after: promtext.Page, name: str) -> Optional[float]:
    begin, end = before.number(name), after.number(name)
    return None if begin is None or end is None or not math.isfinite(end - begin) else round(end - begin, 6)


def _highest(before: promtext.Page, after: promtext.Page, name: str) -> Optional[int]:
    values = [page.number(name) for page in (before, after)]
    # client_golang says -1 or 1.8e19 where there is no limit.
    known = [int(value) for value in values if value is not None and 0 <= value < 1 << 53]
    return max(known) if known else None


def _http(before: promtext.Page, after: promtext.Page) -> Optional[Dict[str, Any]]:
    """Requests and their seconds, of the family that counted most requests; a histogram by its sum and count."""
    sums: Dict[str, Dict[str, float]] = {}
    for key, value in after.families.items():
        match = _HTTP.match(key.encode("utf-8", "replace") + b" ")
        if match is None or not isinstance(value, float) or any(word in match.group(1) for word in _OUTGOING):
            continue
        earlier = before.families.get(key, 0.0)
        grown = value - earlier if isinstance(earlier, float) else 0.0
        if abs(grown) < NUMBER_LIMIT:
            summed = sums.setdefault(match.group(1).decode(), {"sum": 0.0, "count": 0.0})
            summed[match.group(2).decode()] += max(0.0, grown)
    if not sums:
        return None
    family = max(sums, key=lambda name: (sums[name]["count"], -len(name)))
    scale = next(factor for name, factor in sorted(HTTP_FAMILIES.items(), key=lambda item: -len(item[0])) if family.endswith(name))
    return {"requests": int(sums[family]["count"]), "seconds": round(sums[family]["sum"] * scale, 6), "family": family}


def _collections(before: promtext.Page, after: promtext.Page) -> Optional[Dict[str, Any]]:
    """Garbage collections, the seconds that everything stood still for them, and their share of the CPU time that GOMAXPROCS
    allowed (counted by the runtime when a collection ends: null without one)."""
    pauses = seconds = None
    begin, end = before.one("go_gc_duration_seconds"), after.one("go_gc_duration_seconds")
    if isinstance(begin, promtext.Summary) and isinstance(end, promtext.Summary):
        # Not of the ring of 256: count and sum are NumGC and PauseTotal of debug.GCStats.
        pauses, seconds = end.count - begin.count, end.sum - begin.sum
    else:
        # The histograms' sums are estimates from their buckets' bounds, as the runtime has none.
        for name in ("go_sched_pauses_total_gc_seconds", "go_gc_pauses_seconds"):
            earlier, later = before.histogram(name), after.histogram(name)
            if earlier is not None and later is not None:
                pauses, seconds = later.count - earlier.count, later.sum - earlier.sum
                break
    if pauses is None or seconds is None or not math.isfinite(pauses) or not math.isfinite(seconds) or pauses < 0:
        return None
    cpu, total = (_grown(before, after, "go_cpu_classes_%s_cpu_seconds_total" % name) for name in ("gc_total", "total"))
    assists = _grown(before, after, "go_cpu_classes_gc_mark_assist_cpu_seconds_total")
    return {"pauses": int(pauses), "pause_seconds": round(max(0.0, seconds), 6), "cpu_seconds": cpu, "assist_seconds": assists,
            "cpu_fraction": round(cpu / total, 4) if cpu is not None and total else None}


def _latency(before: promtext.Page, after: promtext.Page) -> Optional[Dict[str, Any]]:
    """How long goroutines that could run waited for a thread, in ms: median and p99, each the upper bound of its bucket."""
    begin, end = before.histogram("go_sched_latencies_seconds"), after.histogram("go_sched_latencies_seconds")
    if begin is None or end is None:
        return None
    try:
        grown = promtext.delta(end, begin)
    except ValueError:
        return None
    found: Dict[str, Any] = {"count": int(grown.count)}
    for key, share in (("median", 0.5), ("p99", 0.99)):
        bounds = promtext.quantile_bounds(grown, share)
        found[key] = round(bounds[1] * 1000, 3) if bounds is not None and math.isfinite(bounds[1]) else None
    return found


PARTS = (("services", services),)
