# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes in the service and its process: whether it runs, descriptors, its listener, pools, locks, the collector, CPU, memory."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import wall
from ansible_collections.goready.preflight.plugins.plugin_utils.causes.base import (
    COST, DOWN, FAILS, MEASURED, NATURE_COST, NATURE_SHARE, NEVER, NOTE, SHARE, UNMEASURED, WAITING, Candidate, View, begins, from_result,
    grave, is_cause, items, mapping, median, message, milliseconds, number, percent, place, plural, proof, site, stands, text, whole,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import lookup

FULL, ROOM = 0.9, 256  # of the descriptors: more are in use and fewer left, so that a burst of requests finds none
# Of the CPU: what Go gives the collector while it works (runtime/mgcpacer.go, gcBackgroundUtilization); and where requests queue
# for what is left, however short they are.
HEAVY_GC, GREEDY_GC = 0.25, 0.4
# The mutex profile has one of so many contentions and multiplies what it has by that number: fewer recorded ones are chance.
RECORDED = 5
# Threads that wait for a CPU this many times as long as they run, one of them at any time at least, slow all that a request does.
CROWDED = 2.0
_SLOW_ALL = frozenset(("cpu", "lock", "unhealthy", "internal", "pool", "dns", "connect", "tls", "first_byte", "dependency", "database"))


def candidates(view: View) -> Iterator[Candidate]:
    yield from _down(view)
    yield from _descriptors(view)
    yield from _tasks(view)
    yield from _accept_queue(view)
    yield from _pools(view)
    yield from _locks(view)
    yield from _collector(view)
    yield from _quota(view)
    yield from _run_queue(view)
    yield from _scheduler(view)
    yield from _leaks(view)
    yield from _memory(view)
    yield from _seen(view)


def _down(view: View) -> Iterator[Candidate]:
    for check in ("services.present", "services.active", "services.flapping"):
        line = view.failing(check)
        if line is not None:
            yield from_result(line, "down", FAILS if check == "services.flapping" else DOWN, ("unhealthy", "accept_queue"))
            break
    line = view.failing("services.healthy")
    if line is not None:
        # It runs, and answers badly or too late: whatever makes requests fail or slow makes its health URL so.
        yield from_result(line, "unhealthy", FAILS)


def _descriptors(view: View) -> Iterator[Candidate]:
    check = "limits.nofile_headroom"
    line = view.failing(check)
    brought = frozenset(("unhealthy", "accept_queue", "own_connect", "unreachable", "dns", "database_down", "internal"))
    used = [(now, soft, whole(one.get("pid"))) for one in view.samples for now, soft in [
        (number(lookup(one, "fds.open")), number(lookup(one, "fds.soft")))] if now is not None and soft]
    if used:
        now, soft, pid = max(used, key=lambda row: row[0] / row[1])
        said = f"{now:.0f} of {soft:.0f} file descriptors are in use"
        if now >= FULL * soft and soft - now < ROOM:
            yield Candidate("descriptors", subject=view.subject, tier=FAILS, brings=brought, **stands(line, check),
                            reason=f"{said}: with none left, accept(2), connect(2) and open(2) fail with EMFILE.",
                            first_step=f"Look at what is open (ls -l /proc/{pid or 'PID'}/fd): a leak fills any limit. Where all of it is "
                                       "needed, raise LimitNOFILE= of its unit and restart it.", evidence=proof(line))
            return
        view.measured.append(f"Descriptors: {said}.")
    if line is not None and grave(line):
        yield from_result(line, "descriptors", UNMEASURED, brought)


def _tasks(view: View) -> Iterator[Candidate]:
    line = view.failing("limits.tasks")
    if line is not None and grave(line):
        yield from_result(line, "tasks", UNMEASURED, ("unhealthy",))


def _accept_queue(view: View) -> Iterator[Candidate]:
    check = "network.listen_overflow"
    brought = frozenset(("unhealthy", "own_connect", "retransmits"))  # a SYN that was dropped is sent again
    told = False
    for one in view.listeners:
        where, backlog, peak, drops = place(one), number(one.get("backlog")), number(one.get("queue_max")), number(one.get("drops"))
        subject = f"{view.subject} {where}"
        line = view.failing(check, subject)
        # The kernel drops when the queue is longer than the backlog (include/net/sock.h, sk_acceptq_is_full).
        if drops or (backlog is not None and peak is not None and peak > backlog):
            told = True
            lost = f"{plural(drops, 'connection')} {'was' if drops == 1 else 'were'} dropped" if drops else "the next connection is dropped"
            waited = f"up to {peak or 0:.0f} waited at a backlog of {backlog:.0f}, and " if backlog is not None else ""
            yield Candidate(
                "accept_queue", subject=subject, tier=FAILS, brings=brought, evidence=proof(line), **stands(line, check),
                reason=f"The accept queue of {where} is full: {waited}{lost}; a client tries again after 1, 3 and 7 s.",
                first_step="Look at what keeps the service from accepting (its descriptors, its CPU), and give the listener room: raise "
                           "net.core.somaxconn and restart the service, since Go takes its backlog from it when it begins to listen.")
        elif backlog is not None and peak is not None:
            view.measured.append(f"Accept queue of {where}: {f'at most {peak:.0f} of {backlog:.0f} waited' if peak else 'nobody waited'}.")
    # Where listeners are not told apart, what the whole network dropped may be of any of them.
    line = view.failing(check, view.subject, *(["all listeners"] if any(one.get("drops") is None for one in view.listeners) else []))
    if line is not None and not told and grave(line):
        yield from_result(line, "accept_queue", FAILS, brought)


def _pools(view: View) -> Iterator[Candidate]:
    seen = view.watched
    in_pool = seen.share("pool") if seen is not None else None
    pools = [(page, pool) for page in view.pools for pool in items(page.get("pools"))]
    for page in view.pools:
        if page.get("error"):
            view.unmeasured.append(("its metrics page", "databases.pool_wait", message(page)))
    total = sum(number(pool.get("wait_seconds")) or 0.0 for _page, pool in pools)
    told = False
    for page, pool in pools:
        found = _pool(view, page, pool, total, in_pool)
        if found is not None:
            told = True
            yield found
    if not told and in_pool is not None and in_pool >= SHARE:
        yield from _by_profile(view, "pool", "databases.pool_wait", "Requests wait for a connection of a pool",
                               "Look for connections that are held too long, then raise the pool's limit.", nature=False)


def _pool(view: View, page: Mapping[str, Any], pool: Mapping[str, Any], total: float, in_pool: float | None) -> Candidate | None:
    name, seconds = text(pool.get("name") or "", 100), number(page.get("seconds")) or 0.0
    subject = f"{view.subject} {name}".rstrip()
    most, used, waits, waited = (number(pool.get(key)) for key in ("max_open", "in_use", "waits", "wait_seconds"))
    line = view.failing("databases.pool_wait", subject)
    full = bool(most) and (used or 0) >= (most or 0)
    of = f"{used or 0:.0f} of {most:.0f} connections in use" if most else \
        f"{used or 0:.0f} connections in use{'' if most is None else ', without a limit'}"
    if line is None and not waited and not (full and in_pool and in_pool >= SHARE):
        if waits is not None:
            view.measured.append(f"Pool {name or subject}: {of}, no wait in {seconds:.0f} s.")
        return None
    each = (waited or 0.0) * 1000 / waits if waits and waited else None
    cost = (waited or 0.0) * 1000 / view.requests if view.requests else None
    share = None
    if in_pool is not None:
        share = in_pool * ((waited or 0.0) / total if total > 0 else 1.0)
    elif cost is not None:
        share = view.share_of(cost)
    # Who waits is counted as a wait at once, and with its time when it has ended (database/sql, DBStats).
    one = f"a connection of {f'the pool {name}' if name else 'its pool'}"
    if each is not None:
        reason = f"Requests waited {plural(waits or 0, 'time')} for {one} in {seconds:.0f} s, {milliseconds(each)} each ({of})"
    elif waited:
        reason = f"Requests waited {milliseconds(waited * 1000)} together for {one}, since before the window of {seconds:.0f} s ({of})"
    else:
        reason = f"Nobody who waited for {one} got it in {seconds:.0f} s ({of})"
    # Workers of the service may queue for what no request needs; where requests wait for a goroutine, that may be the one which queues.
    seen = view.watched
    unseen = seen is not None and in_pool is not None and in_pool < NEVER and seen.share("internal") < SHARE
    if seen is not None and in_pool is not None:
        reason += f"; {percent(in_pool)} of {seen.observations} requests seen at work waited for one"
    failing = grave(line) or (share is None and (each or 0.0) >= NATURE_COST)
    wanted = is_cause(cost, share, failing=failing, watched=unseen)
    return Candidate(
        "pool", "databases.pool_wait", subject, MEASURED if share is not None else UNMEASURED, f"{reason}{'' if wanted else ': no cause'}.",
        "Look for what holds connections too long (rows that are not closed, a transaction around a call); then raise SetMaxOpenConns, as "
        "far as the database has room.", share=share, cost_ms=cost if cost is not None else each, evidence=proof(line),
        severity=line.rank if line else 0, ranked=wanted, brings=frozenset(("unhealthy", "internal", "lock")))


def _locks(view: View) -> Iterator[Candidate]:
    check = "goroutines.blocked"
    line, seen = view.failing(check), view.watched
    taken = [mapping(one.get("mutex")) for one in view.walls if one.get("mutex")]
    deltas = [one for one in taken if not one.get("delay_ns")
              or _of_code(one, "contentions") >= RECORDED * (number(one.get("period")) or 1)]
    if seen is None and len(deltas) < len(taken):
        view.measured.append(f"Locks: fewer than {RECORDED} waits were recorded, too few to tell what a request waits.")
    if seen is None and not deltas:
        if line is not None and grave(line):
            yield from_result(line, "lock", UNMEASURED, ("unhealthy", "accept_queue", "internal"))
        return
    delay = sum(_of_code(one, "delay_ns") for one in deltas) / 1e6
    seconds = max((number(one.get("seconds")) or 0.0 for one in deltas), default=seen.seconds if seen is not None else 0.0)
    sites = sorted((row for one in deltas for row in items(one.get("sites")) if row.get("origin") != "runtime"),
                   key=lambda row: -(number(row.get("delay_ns")) or 0.0))
    state = seen.state("lock") if seen is not None else None
    if seen is not None:
        share: float | None = state.share if state is not None else 0.0
        cost = (share or 0.0) * view.own_mean if view.own_mean is not None else None
        waiting = seen.handlers * (share or 0.0)
    else:
        cost = delay / view.requests if view.requests else None
        share = view.share_of(cost) if cost is not None else None
        waiting = delay / 1000 / seconds if seconds else 0.0
    if not delay and not share:
        view.measured.append(f"Locks: no request waited for one in {seconds:.0f} s.")
        return
    reason = f"Requests wait {percent(share)} of their time for a lock" if share is not None else \
        f"Goroutines waited {milliseconds(delay)} for locks in {seconds:.0f} s"
    beside = ""
    if share is not None and share < NEVER:
        # Workers of the service may queue for one that no request needs.
        beside = f"; others waited {milliseconds(delay)} in {seconds:.0f} s, most of it for one which {site(sites[0])} holds" \
            if sites and delay >= seconds * 1000 else ""
        sites = []
    where = f"which {site(sites[0])} holds" if sites else f"in {state.where}" if state is not None and state.where else ""
    reason += f", most of it for one {where}" if sites else f", most of it {where}" if where else ""
    reason += beside or (f"; {waiting:.1f} wait at a time" if waiting >= 0.1 else "")
    crowd = share is not None and share >= NATURE_SHARE and cost is None and waiting >= WAITING
    wanted = crowd or is_cause(cost, share, failing=grave(line), watched=seen is not None)
    if not wanted and cost is None and (share is None or share >= SHARE):
        view.measured.append(f"{reason}. What that costs a request is not known.")
        return
    evidence = [f"{site(row)} let others wait {whole(row.get('contentions'))} times, "
                f"{milliseconds((number(row.get('delay_ns')) or 0.0) / 1e6)} together" for row in sites[:3]]
    if state is not None and state.where:
        evidence.append(f"most of the waiting requests are in {text(state.where, 200)}")
    tier = MEASURED if share is not None else UNMEASURED
    yield Candidate("lock", check, view.subject, tier, f"{reason}{'' if wanted else ': no cause'}.",
                    "Hold that lock shorter: no call, no query and no sleep while it is held; then split what it protects.", share=share,
                    cost_ms=cost, evidence=proof(line, *evidence), severity=line.rank if line else 0, ranked=wanted,
                    brings=frozenset(("unhealthy", "accept_queue", "internal", "cpu")))


def _of_code(delta: Mapping[str, Any], key: str) -> float:
    """A sum of a mutex profile without the runtime's own locks (runtime.unlock), which no request waits for and nobody can hold
    shorter."""
    own = sum(number(row.get(key)) or 0.0 for row in items(delta.get("sites")) if row.get("origin") == "runtime")
    return max(0.0, (number(delta.get(key)) or 0.0) - own)


def _collector(view: View) -> Iterator[Candidate]:
    brought = ("unhealthy", "cpu", "run_queue", "lock", "internal")
    findings = [line for line in (view.failing("memory.gc_cpu"), view.failing("memory.gc_pause_p99")) if line is not None and grave(line)]
    line = findings[0] if findings else None
    shares: list[tuple[float, str]] = []
    for one in view.pools:
        fraction = number(lookup(one, "gc.cpu_fraction"))
        if fraction is not None and fraction <= 1:
            shares.append((fraction, f"in {number(one.get('seconds')) or 0:.0f} s the garbage collector took {percent(fraction)} of the "
                           "CPU time that the service may use"))
    if view.watched is not None:
        assist = view.watched.share("gc")
        shares.append((assist, f"{percent(assist)} of {view.watched.observations} requests seen at work did the garbage collector's work"))
    if not shares:
        if line is not None:
            yield from_result(line, "gc", UNMEASURED, (*brought, "cpu_quota"))
        return
    share = max(shares)[0]
    reason = "; ".join(said for value, said in sorted(shares, reverse=True) if value >= 0.005)
    cost = share * view.own_mean if view.own_mean is not None else None
    # It takes CPU from all requests: of one that computes, that share; of one that waits, less.
    heavy = share >= GREEDY_GC or (share >= HEAVY_GC and (cost is None or cost >= COST))
    wanted = heavy or is_cause(cost, share, failing=line is not None)
    if not wanted and share < 0.005:
        view.measured.append("Garbage collector: no measurable part of the requests' time.")
        return
    # The checks judge another time than the window, as a rule a longer one: where they come to another end, both are told.
    if line is not None and share < HEAVY_GC:
        reason = "; ".join(filter(None, (line.reason.rstrip("."), reason)))
    elif line is None and wanted:
        other = next((one.reason.rstrip(".") for one in view.results
                      if one.id == "memory.gc_cpu" and one.status == "pass" and begins(one.subject, view.subject)), "")
        reason += f" (memory.gc_cpu judges another time: {other})" if other else ""
    reason = reason[:1].upper() + reason[1:]
    yield Candidate("gc", line.id if line else "memory.gc_cpu", view.subject, MEASURED, f"{reason}{'' if wanted else ': no cause'}.",
                    "Look at who allocates (go tool pprof -sample_index=alloc_space, profile allocs); then give it room: GOGC, "
                    "and GOMEMLIMIT below the memory limit.", share=share, cost_ms=cost, evidence=proof(line),
                    severity=line.rank if line else 0, ranked=wanted,
                    brings=frozenset((*brought, *(("cpu_quota",) if share >= HEAVY_GC else ()))))


def _quota(view: View) -> Iterator[Candidate]:
    line = view.failing("limits.gomaxprocs")
    # Its processes are in one control group as a rule: the one that was stopped most tells.
    cpu = max((mapping(one.get("cpu")) for one in view.samples), key=lambda one: number(one.get("throttled_periods")) or 0.0, default={})
    periods, throttled, stalled, seconds = (
        number(cpu.get(key)) or 0.0 for key in ("periods", "throttled_periods", "throttled_seconds", "seconds"))
    quota = number(cpu.get("quota"))
    of = f" of {quota:g} CPUs" if quota else ""
    if not (periods and throttled and seconds):
        if quota and periods:
            view.measured.append(f"CPU quota{of}: never reached in {seconds:.0f} s.")
        return
    # throttled_usec adds up what each CPU was stopped (kernel/sched/fair.c, unthrottle_cfs_rq): it may be more than the time.
    share = min(1.0, stalled / seconds, throttled / periods)
    wanted = throttled / periods >= SHARE and share >= SHARE / 2
    yield Candidate(
        "cpu_quota", subject=view.subject, tier=MEASURED, share=share, ranked=wanted, evidence=proof(line),
        **stands(line, "limits.gomaxprocs"), cost_ms=share * view.own_mean if view.own_mean is not None else None,
        reason=f"The CPU quota{of} stopped the service in {throttled:.0f} of {periods:.0f} periods, for {milliseconds(stalled * 1000)} in "
               f"{seconds:.0f} s{': every request stands still meanwhile' if wanted else ': no cause'}.",
        first_step="Raise CPUQuota= (or the container's CPU limit), and set GOMAXPROCS to it where Go does not by itself.",
        brings=frozenset(("run_queue", "gc", "lock", "cpu", "internal", "unhealthy", "accept_queue", "own_connect")))


def _run_queue(view: View) -> Iterator[Candidate]:
    scheds = [mapping(one.get("sched")) for one in view.samples]
    waited, ran = (sum(number(one.get(key)) or 0.0 for one in scheds) for key in ("wait_seconds", "run_seconds"))
    if waited + ran <= 0:
        return
    ratio, seconds = waited / (waited + ran), number(lookup(view.facts, "sample.kernel.seconds")) or 0.0
    said = f"Its threads waited {milliseconds(waited * 1000)} for a CPU while they ran {milliseconds(ran * 1000)}"
    share = ratio * view.watched.share("cpu", "gc") if view.watched is not None else None
    cost = share * view.own_mean if share is not None and view.own_mean is not None else None
    if share is not None and is_cause(cost, share, failing=False):
        yield Candidate("run_queue", "", view.subject, MEASURED, f"{said}: the host has too few CPUs for what runs on it.",
                        "Look at what else runs (top, /proc/pressure/cpu); move it, or add CPUs.", share=share, cost_ms=cost,
                        brings=frozenset(("cpu", "lock", "unhealthy", "internal")))
    elif seconds and waited >= seconds and waited >= CROWDED * ran and (view.own_mean or NATURE_COST) >= NATURE_COST:
        # Whatever a request waits for, it then waits for a CPU to go on: each part of it is long.
        yield Candidate("run_queue", "", view.subject, MEASURED, f"{said} in {seconds:.0f} s, {waited / seconds:.1f} at a time: the host "
                        "has too few CPUs for what runs on it.", "Look at what else runs (top, /proc/pressure/cpu); move it, or add CPUs.",
                        cost_ms=cost, brings=_SLOW_ALL)
    elif view.watched is not None and ratio >= SHARE and waited >= 0.05:
        yield Candidate("run_queue", "", view.subject, MEASURED, f"{said}: no request was seen to lose {percent(SHARE)} by it.",
                        share=share, cost_ms=cost, ranked=False)
    else:
        view.measured.append(f"Run queue: {said[0].lower()}{said[1:]}.")


def _scheduler(view: View) -> Iterator[Candidate]:
    """What goroutines that can run wait for a thread: the only sign of a program without CPU left that is too busy for its profile.

    A median is the upper bound of its bucket, which may be ten times the lower one.
    """
    told = [one for one in (mapping(one.get("sched_latency")) for one in view.pools)
            if whole(one.get("count")) >= wall.OBSERVATIONS and number(one.get("median")) is not None]
    if not told:
        return
    worst = max(told, key=lambda one: number(one.get("median")) or 0.0)
    wait, p99 = number(worst.get("median")) or 0.0, number(worst.get("p99"))
    said = f"A goroutine that could run waited up to {milliseconds(wait)} for a CPU in the median" if wait >= COST else ""
    said += f" (p99: {milliseconds(p99)})" if said and p99 else ""
    if wait >= NATURE_COST and (view.own_mean or 0.0) >= NATURE_COST:
        yield Candidate("cpu", "", view.subject, UNMEASURED, f"{said}: it computes more than it has CPUs for.",
                        "Look at GOMAXPROCS and the host's CPUs, then take a CPU profile under load (profile deep), and mend what is at "
                        "its top.",
                        brings=frozenset(("unhealthy", "internal", "own_connect")))
    else:
        view.measured.append(f"Go's scheduler: {said[0].lower()}{said[1:]}." if said else
                             f"Go's scheduler: half of the goroutines that could run did so within {milliseconds(max(wait, 0.1))}.")


def _leaks(view: View) -> Iterator[Candidate]:
    for check in ("goroutines.leaked", "goroutines.growth_rate", "goroutines.count"):
        # Their subjects name the service and then the function.
        line = view.failing(check)
        if line is None or not grave(line):
            continue
        now = max((number(lookup(one, "fds.open")) or 0.0 for one in view.samples), default=0.0)
        # What is left behind may hold a connection each: where there are as many as half of the descriptors in use.
        brought = ["memory", "gc", *(["descriptors"] if now and (number(line.actual) or 0.0) >= now / 2 else [])]
        yield from_result(line, "leak", UNMEASURED, brought)
        return


def _memory(view: View) -> Iterator[Candidate]:
    for check in ("memory.rss_headroom", "memory.heap_growth", "memory.returns_after_load"):
        line = view.failing(check)
        if line is not None and grave(line):
            yield from_result(line, "memory", UNMEASURED, ("gc",))
            return


# --------------------------------------------------------------------------------------------- what the profile alone tells

def _seen(view: View) -> Iterator[Candidate]:
    """Of a request's time, what is spent on what nobody has declared, or on computing."""
    seen = view.watched
    if seen is None:
        return
    parts = ", ".join(f"{wall.WORDS.get(one.name, one.name)} ({percent(one.share)})" for one in seen.states[:4] if one.share >= 0.005)
    view.measured.append(f"Requests at work: {seen.handlers:.1f} at a time, seen {plural(seen.observations, 'time')} in "
                         f"{seen.seconds:.0f} s; their time went to {parts}.")
    if seen.gone >= wall.GONE and seen.gone * seen.observations >= wall.OBSERVATIONS / 2:
        view.measured.append(
            f"Up to {percent(seen.gone)} of the requests at work go on though their client has hung up (or left a body that nobody "
            "reads): pass the request's context to what they call.")
    if seen.lasting is not None:
        lasting = seen.lasting
        view.measured.append(
            f"Beside them {plural(max(1, lasting.count), 'request')} at a time waited for a channel or another goroutine"
            f"{f', most of them in {text(lasting.where, 200)},' if lasting.where else ''} and did not end: streams and long polls do so, "
            "else they hang. The shares are told without them.")
    if not view.endpoints:
        for state, check in (("dns", "network.dns"), ("connect", "network.endpoint_latency"), ("tls", "network.endpoint_latency")):
            yield from _by_profile(view, state, check, f"Requests wait for {wall.WORDS[state]}",
                                   "Declare what the service needs in depends_on, so that it is measured.", nature=False)
    # One answer takes so long of what is declared: where requests spend many times that, they ask often, or somebody else.
    known = max((median(lookup(one, "phases.first_byte")) or 0.0 for one in view.endpoints), default=0.0)
    rarely = max(view.endpoints, key=lambda one: number(lookup(one, "phases.first_byte.p95")) or 0.0, default={})
    slowest = number(lookup(rarely, "phases.first_byte.p95")) or 0.0
    if slowest >= max(NATURE_COST, 5 * known) and seen.share("dependency") * (view.own_mean or 0.0) >= 5 * known:
        # Its median hides that some answers are late.
        url = text(rarely.get("url") or "a dependency", 200)
        yield from _by_profile(
            view, "dependency", "network.endpoint_latency", f"Some answers of {url} take {milliseconds(slowest)} (p95; the median is "
            f"{milliseconds(median(lookup(rarely, 'phases.first_byte')) or 0.0)}), and requests wait for answers of other services",
            "Look at that service, which is late now and then; give the call a deadline of its own.")
    elif seen.share("dependency") * (view.own_mean or 0.0) >= 5 * known:
        yield from _by_profile(
            view, "dependency", "network.endpoint_latency", "Requests wait for answers of other services",
            f"One answer of what is declared takes {milliseconds(known)}: count the calls of one request, and declare all that it asks in "
            "depends_on." if view.endpoints else "Declare them in depends_on, so that they are measured, and give calls a deadline.",
            accepted=bool(view.endpoints))
    if not view.databases:
        yield from _by_profile(view, "database", "databases.reachable", "Requests wait for the answer of a database",
                               "Declare it in preflight_databases, so that its locks and connections are looked at.")
    yield from _by_profile(view, "disk", "", "Requests wait for the file system", "Look at the disk: iostat -x 1, /proc/pressure/io.")
    yield from _by_profile(view, "process", "", "Requests wait for another program",
                           "Look at what that program does, and how many of it run at a time; give it a deadline (exec.CommandContext).",
                           accepted=True)
    # What is meant to wait (a long poll) does so among requests of any kind: only where it is most of a request that takes long.
    inside = seen.share("internal")
    if inside and seen.events >= inside / 2:
        yield from _by_profile(view, "internal", "", "Requests wait for a channel, while nothing in the service is seen to work for them,",
                               "Find out whether they are meant to wait (a long poll, a stream, an empty queue): then nothing is wrong. "
                               "Else look for who should answer them: a worker that has ended, a message that does not come back.",
                               accepted=True, tier=NOTE)
    else:
        yield from _by_profile(view, "internal", "", "Requests wait for a channel or another goroutine",
                               "Look at who serves it: too few workers, a semaphore or limiter that is full, one call that all wait for; "
                               "give the wait a deadline. A long poll waits there on purpose.", accepted=True)
    yield from _by_profile(view, "sleep", "", "Requests sleep",
                           "Look why: a retry, a back-off, a limiter; wait for a timer and the request's context instead.", accepted=True)
    yield from _by_profile(view, "cpu", "", "Requests compute, or wait for a CPU to compute on,",
                           "Take a CPU profile under load (profile deep), and mend what is at its top.", least=0.5)


def _by_profile(view: View, state: str, check: str, said: str, step: str, *, nature: bool = True,
                least: float = 0.0, accepted: bool = False, tier: int = MEASURED) -> Iterator[Candidate]:
    seen = view.watched
    found = seen.state(state) if seen is not None else None
    if seen is None or found is None or found.share < NEVER:
        return
    cost = found.share * view.own_mean if view.own_mean is not None else None
    reason = f"{said} {percent(found.share)} of their time{f', most of it in {text(found.where, 200)}' if found.where else ''}"
    # Where no request's time is known: what always waits for something must be a crowd to be a cause.
    crowd = cost is None and not nature and found.share >= NATURE_SHARE and found.share * seen.handlers >= WAITING
    wanted = found.share >= least and (crowd or is_cause(cost, found.share, failing=False, nature=nature, accepted=accepted))
    if not wanted and cost is None and found.share >= max(SHARE, least):
        return  # how long a request takes is not known: neither a cause nor excluded, and the profile has told it
    yield Candidate(state, check, view.subject, tier, f"{reason}{'' if wanted else ': no cause'}.", step, share=found.share,
                    cost_ms=cost, ranked=wanted, brings=frozenset(() if tier == NOTE else ("unhealthy",)))
