# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes outside of the service: the kernel's network, what it depends on, its databases, the module proxies."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import dialing, engine, wall, watched
from ansible_collections.goready.preflight.plugins.plugin_utils.causes.base import (
    COST, FAILS, MEASURED, NATURE_COST, NEVER, NOTE, SHARE, UNMEASURED, Candidate, View, from_result, grave, hint, is_cause, items, kind,
    listed, mapping, median, message, milliseconds, number, percent, place, plural, proof, stands, text, whole, words,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Result, lookup

_HIGH = engine.SEVERITIES.index("high")
FULL_TABLE = 0.95  # of the tracked connections
# What waits where a dependency is slow or does not answer.
_BEHIND = frozenset(("dependency", "database", "pool", "internal", "unhealthy"))


def candidates(view: View) -> Iterator[Candidate]:
    yield from _tracking(view)
    yield from _ports(view)
    yield from _retransmits(view)
    told = set()
    for endpoint in view.endpoints:
        for one in _endpoint(view, endpoint):
            # Two endpoints of one name are looked up once.
            if one.cause != "dns" or one.subject not in told:
                told.add(one.subject)
                yield one
    yield from _own_listener(view)
    for server in view.databases:
        yield from _database(view, server)
    yield from _timeouts(view)
    yield from _proxies(view)


# ----------------------------------------------------------------------------------------------------------------- kernel

# Neither a full table nor used up ports let a new connection through.
_NO_CONNECTION = _BEHIND | {"unreachable", "connect", "dns", "first_byte", "database_down", "retransmits"}


def _tracking(view: View) -> Iterator[Candidate]:
    check = "network.conntrack"
    table = mapping(lookup(view.facts, "sample.kernel.conntrack"))
    count, most = number(table.get("count")), number(table.get("maximum"))
    lost = (number(table.get("drops")) or 0.0) + (number(table.get("early_drops")) or 0.0)
    line = view.failing(check, "", view.subject)
    # A few are dropped with room in the table: two packets that raced for one entry.
    if lost and (line is not None or (most and (count or 0.0) >= FULL_TABLE * most)):
        yield Candidate(
            "conntrack", subject="connection tracking", tier=FAILS, brings=_NO_CONNECTION, **stands(line, check),
            reason=f"{count or 0:.0f} of {most or 0:.0f} connections are tracked, and {plural(lost, 'packet')} of new ones "
                   f"{'was' if lost == 1 else 'were'} dropped in the window: such a connection gets no answer.",
            first_step=hint(line) or "Raise net.netfilter.nf_conntrack_max.", evidence=proof(line))
    elif line is not None and grave(line):
        yield from_result(line, "conntrack", FAILS if line.rank >= _HIGH else UNMEASURED, _NO_CONNECTION)
    elif count is not None and most:
        gone = f"{plural(lost, 'packet')} dropped" if lost else "nothing dropped"
        view.measured.append(f"Connection tracking: {count:.0f} of {most:.0f} entries in use, {gone}.")


def _ports(view: View) -> Iterator[Candidate]:
    """The check knows which ports in TIME-WAIT count and how many are reserved: what it says is taken."""
    check = "network.conntrack"
    spaces = [mapping(lookup(view.facts, "sample.kernel")), *listed(view.facts, "sample.kernel.namespaces")]
    own = {whole(one.get("port")) for one in view.listeners}  # what leads to itself takes its clients' ports
    busiest = ""
    for one in (row for space in spaces for row in items(space.get("destinations"))):
        users = words(one.get("services"))
        if (users and view.name not in users) or whole(one.get("port")) in own:
            continue
        where = place(one)
        line = view.failing(check, where, f"{view.subject} {where}")
        if line is not None:
            yield Candidate("ports", subject=where, tier=FAILS if line.rank >= _HIGH else UNMEASURED, brings=_NO_CONNECTION,
                            reason=line.reason, first_step=hint(line), evidence=proof(line), **stands(line, check))
        elif not busiest:
            used = sum(whole(one.get(key)) for key in ("established", "syn_sent", "closing"))
            busiest = f"Local ports: {plural(used, 'connection')} to {where}, the host's most to one place." if used else ""
    if busiest:
        view.measured.append(busiest)


def _retransmits(view: View) -> Iterator[Candidate]:
    line = view.failing("network.retransmits")
    if line is not None and grave(line):
        # Lost segments slow everything a little: which of the measured parts they made long is not known. A health URL that is asked
        # on the host itself loses none.
        yield from_result(line, "retransmits", UNMEASURED)
        return
    sent, again = (number(lookup(view.facts, f"sample.kernel.tcp.{key}")) for key in ("OutSegs", "RetransSegs"))
    if sent:
        view.measured.append(f"Retransmits: {again or 0:.0f} of {sent:.0f} TCP segments in the window.")


def _own_ports(view: View) -> set[int]:
    """Where the service listens itself: a health URL may lead to a load balancer before it."""
    return {whole(one.get("port")) for rows in (view.listeners, *(items(process.get("listeners")) for process in items(
        view.service.get("processes")))) for one in rows} - {0}


def _own_listener(view: View) -> Iterator[Candidate]:
    own = _own_ports(view)
    for one in view.health:
        connect = median(lookup(one, "phases.connect")) if whole(one.get("port")) in own else None
        # Between a host and its own listener lies nothing but the accept queue; a SYN that finds it full comes again after 1 s.
        if connect is not None and connect >= 500:
            yield Candidate("own_connect", "network.listen_overflow", _label(one), MEASURED, share=view.share_of(connect), cost_ms=connect,
                            reason=f"Connecting to the service's own {_label(one)} takes {milliseconds(connect)} from its own host.",
                            first_step="Look at its accept queue: ss -ltn (Recv-Q above Send-Q).", brings=frozenset(("unhealthy",)))
        total = median(lookup(one, "phases.total"))
        if total is not None:
            view.measured.append(f"Health URL {_label(one)}: {milliseconds(total)} (median).")


# -------------------------------------------------------------------------------------------------------------- endpoints

# phase: (words, check, state of the profile, first step)
_PHASES: Mapping[str, tuple[str, str, str, str]] = {
    "dns": ("Looking up the name of", "network.dns", "dns",
            "Ask each nameserver of /etc/resolv.conf by itself and take out the slow one; let a cache on the host answer."),
    "connect": ("Connecting to", "network.endpoint_latency", "connect",
                "Look at the accept queue of its listener (ss -ltn on its host) and at the network between; keep connections open, so that "
                "few requests pay for one."),
    "tls": ("The TLS handshake with", "network.endpoint_latency", "tls",
            "Look whether its server has CPU and workers left; keep connections open, so that few requests pay for a handshake."),
    "first_byte": ("The first byte of", "network.endpoint_latency", "dependency",
                   "Look at that service, which takes so long for its answer; give the call a deadline of its own."),
}
_NOT_ASKED = ("budget", "limit", "settings", "denied", "client_certificate")


def _label(endpoint: Mapping[str, Any]) -> str:
    return text(endpoint.get("url") or endpoint.get("host") or "an endpoint", 200)


def _keys(endpoint: Mapping[str, Any]) -> frozenset[str]:
    """What an endpoint is known by: its URL, ``host:port``, its host."""
    host, port = text(endpoint.get("host") or "", 300), endpoint.get("port")
    return frozenset(one for one in (_label(endpoint), host, f"{host}:{port}" if host and port else "") if one)


def _phase(endpoint: Mapping[str, Any], name: str) -> float | None:
    value = median(lookup(endpoint, f"phases.{name}"))
    if name != "dns":
        return value
    # Go keeps no names: each new connection pays for a repeated look-up.
    return max((one for one in (value, median(lookup(endpoint, "dns.warm"))) if one is not None), default=None)


def _endpoint(view: View, one: Mapping[str, Any]) -> Iterator[Candidate]:
    label, keys = _label(one), _keys(one)
    if kind(one) in _NOT_ASKED:
        view.unmeasured.append((label, "network.endpoint", message(one)))
        return
    addresses = [_address(entry) for entry in items(one.get("addresses"))]
    error = mapping(one.get("error"))
    if error and not any(entry["ok"] for entry in addresses):
        yield _no_answer(view, one, error)
        return
    line = view.failing("network.endpoint", label)
    taken = {name: cost for name in _PHASES for cost in [_phase(one, name)] if cost is not None}
    if taken:
        shown = ", ".join(f"{name.replace('_', ' ')} {milliseconds(cost)}" for name, cost in taken.items())
        view.measured.append(f"{label}: {shown} (medians).")
    total = sum(taken.values())
    if any(dialing.dead(entry) for entry in addresses):
        if dialing.delay(addresses) is not None:
            taken.pop("connect", None)  # the requests that are seen to connect wait for the dead one
        yield from _dead(view, one, addresses, line)
    elif line is not None and grave(line):
        yield Candidate("unreachable", subject=label, tier=FAILS if line.rank >= _HIGH else UNMEASURED, keys=keys, brings=_BEHIND,
                        reason=line.reason, first_step=hint(line), evidence=proof(line), **stands(line, "network.endpoint"))
    for name, cost in taken.items():
        found = _slow_phase(view, one, name, cost, total)
        if found is not None:
            yield found


def _address(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An address with every key that ``dialing`` reads."""
    return {"address": text(entry.get("address"), 60), "family": str(entry.get("family")), "ok": whole(entry.get("ok")),
            "asked": whole(entry.get("asked")), "routed": entry.get("routed") is not False,
            "errors": [{"phase": error.get("phase"), "kind": error.get("kind")} for error in items(entry.get("errors"))]}


def _no_answer(view: View, one: Mapping[str, Any], error: Mapping[str, Any]) -> Candidate:
    label = _label(one)
    named = str(error.get("phase")) == "dns"
    cause, check = ("dns", "network.dns") if named else ("unreachable", "network.endpoint")
    line = view.failing(check, text(lookup(one, "dns.name") or one.get("host"), 300) if named else label)
    phase = text(error.get("phase") or "connect", 20).replace("_", " ")
    return Candidate(
        cause, subject=text(one.get("host") or label, 200) if named else label, tier=FAILS, keys=_keys(one),
        brings=_BEHIND | {"database_down", "unreachable"}, evidence=proof(line), **stands(line, check),
        reason=f"{label} does not answer: {message(one)} ({phase}).",
        first_step=hint(line) or f"Try it from this host: {_by_hand(one, named=named)}")


def _by_hand(one: Mapping[str, Any], *, named: bool) -> str:
    host, port = text(one.get("host") or "", 200), one.get("port")
    if named:
        return f"getent ahosts {host}"
    return f"nc -vz {host} {port}" if host and port and not _is_http(one) else f"curl -v {_label(one)}"


def _dead(view: View, one: Mapping[str, Any], addresses: Sequence[Mapping[str, Any]], line: Result | None) -> Iterator[Candidate]:
    """Addresses that do not answer while others do. Only one that is silent and tried first costs time."""
    label = _label(one)
    about: dict[str, Any] = {"subject": label, "keys": _keys(one), **stands(line, "network.endpoint")}
    cost = dialing.delay(addresses)
    if cost is None:
        gone = ", ".join(entry["address"] for entry in addresses if dialing.dead(entry))[:200]
        yield Candidate("dead_address", tier=MEASURED, ranked=False, share=0.0, cost_ms=0.0, **about,
                        reason=f"{gone} of {label} is dead, but Go tries it last or is refused at once: no request waits for it.")
        return
    share, tier, seen = _share(view, "connect", cost.ms, one)
    reason = f"{cost.address} of {label} is dead: {cost.words}{seen}"
    wanted = is_cause(cost.ms, share, failing=True, watched=bool(seen))
    yield Candidate("dead_address", tier=tier, share=share, cost_ms=cost.ms, ranked=wanted, evidence=proof(line), **about,
                    reason=f"{reason}." if wanted else f"{reason}: no request was seen to wait for it.",
                    first_step="Mend that address, or take it out of the name"
                               f"{' (its AAAA record, where nothing behind it speaks IPv6)' if cost.family == 'IPv6' else ''}.",
                    brings=_BEHIND | {"connect"})


def _slow_phase(view: View, one: Mapping[str, Any], name: str, cost: float, total: float) -> Candidate | None:
    """None where it is neither: it takes long, and what a request takes is not known."""
    said, check, _state, step = _PHASES[name]
    label = _label(one)
    subject = text(lookup(one, "dns.name") or one.get("host") or label, 200) if name == "dns" else label
    line = view.failing(check, subject)
    # One check judges all phases together: it blames those that are a good part of them.
    failing = line is not None and grave(line) and (name == "dns" or cost >= 0.3 * total)
    share, tier, seen = _share(view, name, cost, one)
    inner, own = view.watched.share("internal") if view.watched is not None else 0.0, view.share_of(cost)
    if name == "first_byte" and failing and seen and (share or 0.0) < NEVER and inner >= SHARE and own is not None:
        # Whose goroutine does the call is not in the profile (wall.py knows closures): the handler waits for one, and the answer is late.
        share = min(inner, own)
        seen = f"; {percent(inner)} of requests seen at work waited for a channel or a goroutine, which may wait for it"
    accepted = view.passes(check, subject)
    wanted = is_cause(cost, share, failing=failing, nature=True, watched=bool(seen), accepted=accepted)
    if not wanted and cost >= COST and share is None and view.mean_ms is None and not accepted:
        return None
    reason = f"{said} {subject} takes {milliseconds(cost)} (median){seen or view.beside()}"
    why = ""
    if not wanted:
        unseen = seen and (share or 0.0) < NEVER
        why = ": no cause" if cost < COST else ": no request was seen to wait for it" if unseen else \
            ": its check accepts that" if share is None and accepted else ": few requests can wait for it" if share is None else \
            ": a part of them, and not what makes them late"
    return Candidate(
        name, check, subject, tier, f"{reason}{why}.", hint(line) if name == "dns" and hint(line) else step, share=share, cost_ms=cost,
        evidence=proof(line), severity=line.rank if line else 0, ranked=wanted, keys=_keys(one) | {subject}, brings=_BEHIND)


def _share(view: View, phase: str, cost: float, one: Mapping[str, Any]) -> tuple[float | None, int, str]:
    """(share, tier, what the profile says): the profile's share, as far as it is this endpoint's, else by time.

    Requests that wait for net/http's Transport wait for an endpoint of http or https, the others for what has a driver of its
    own; within these, each endpoint has its part by how long its phase takes.
    """
    seen = view.watched
    if seen is None:
        share = view.share_of(cost)
        return share, UNMEASURED if share is None else MEASURED, ""
    # A driver waits for the answer to a query, which is no first byte of a connection; still it is the nearest that there is.
    named = "database" if phase == "first_byte" and not _is_http(one) else _PHASES[phase][2]
    found = seen.share(named)
    sums: dict[bool, dict[str, float]] = {True: {}, False: {}}
    for other in view.endpoints:
        name = text(lookup(other, "dns.name"), 200) if phase == "dns" else _label(other)
        sums[_is_http(other)][name] = max(cost if other is one else 0.0, _phase(other, phase) or 0.0)
    state = seen.state(named)
    by_http = state.http if state is not None and sums[True] and sums[False] else None
    if phase == "first_byte":
        alike, part = sums[_is_http(one)], found
    elif by_http is None:
        alike, part = {**sums[False], **sums[True]}, found
    else:
        alike, part = sums[_is_http(one)], by_http if _is_http(one) else found - by_http
    slow = sum(alike.values())
    share = part * (cost / slow if slow > 0 else 1.0)
    # What others are waited for is not to be read as this one's.
    mine = f", {percent(share)} for this one" if percent(share) != percent(found) else ""
    return share, MEASURED, f"; {percent(found)} of {seen.observations} requests seen at work waited for {wall.WORDS[named]}{mine}"


def _is_http(endpoint: Mapping[str, Any]) -> bool:
    return str(endpoint.get("scheme")) in ("http", "https")


# -------------------------------------------------------------------------------------------------------------- databases

# It was not asked, or not let in: that says nothing about whether it serves others.
_NOT_DOWN = ("no_client", "auth", "denied", "budget", "run_as", "credentials", "unauthorized", "exception")


def _database(view: View, one: Mapping[str, Any]) -> Iterator[Candidate]:
    name = text(one.get("name") or "a database", 100)
    keys = frozenset(word for word in (name, text(one.get("place") or "", 300), text(one.get("url") or "", 300), *_where(one)) if word)
    full = view.failing("databases.connections", *keys)
    if one.get("error") and full is not None and kind(one) == "full":
        yield from_result(full, "database_connections", FAILS, _BEHIND | {"database_down"}, keys=keys)
        return
    if one.get("error"):
        line = view.failing("databases.reachable", *keys)
        if line is None or kind(one) in _NOT_DOWN:
            view.unmeasured.append((f"database {name}", "databases.reachable", message(one)))
        else:
            yield Candidate("database_down", subject=name, tier=FAILS, keys=keys, brings=_BEHIND | {"unreachable", "first_byte"},
                            reason=line.reason, first_step=hint(line), evidence=proof(line), **stands(line, "databases.reachable"))
        return
    yield from _locks(view, one, name, keys)
    yield from _connections(view, one, name, keys)
    for check, cause in (("databases.replication_lag", "replication"), ("databases.memory", "database_memory")):
        line = view.failing(check, *keys)
        if line is not None and grave(line):
            yield from_result(line, cause, UNMEASURED, keys=keys)


def _where(server: Mapping[str, Any]) -> tuple[str, ...]:
    """``host:port`` of a database's URL, as a depends_on of it is called."""
    found = re.match(r"[a-z0-9+]{1,20}://(?:[^@/]*@)?(\[[0-9a-fA-F:.]+\]|[^:/?#]+)(?::(\d{1,5}))?", str(server.get("url") or "")[:600])
    if not found:
        return ()
    port = found.group(2) or {"postgres": "5432", "mysql": "3306", "redis": "6379"}.get(str(server.get("kind")), "")
    return (f"{found.group(1)}:{port}",) if port else ()


def _locks(view: View, one: Mapping[str, Any], name: str, keys: frozenset[str]) -> Iterator[Candidate]:
    """Transactions that are left open, and who waits for their locks."""
    idle, waits = items(one.get("idle_in_transaction")), items(one.get("lock_waits"))
    blocked_by = {str(other.get("pid")) for wait in waits for other in items(wait.get("blocked_by"))}
    blocked_by |= {pid for wait in waits for pid in words(wait.get("blocked_by"))}
    blockers = [entry for entry in idle if str(entry.get("pid")) in blocked_by]
    longest = max((number(entry.get("seconds")) or 0.0 for entry in waits), default=0.0)
    # A request that waits for a lock of the database holds a connection of the pool, for which others wait.
    seen = view.watched
    share = seen.share("database", "pool") if seen is not None and waits else None
    # It may be somebody else's session that waits. Not every driver is known by its name; and where requests wait for a goroutine,
    # that may be the one which asks the database.
    unseen = seen is not None and share is not None and share + seen.share("dependency", "other") < NEVER \
        and seen.share("internal") < SHARE
    waiting = f"{plural(len(waits), 'session')} wait{'s' if len(waits) == 1 else ''} for a lock"
    line = view.failing("databases.idle_in_transaction", *keys)
    if blockers or (line is not None and grave(line)):
        open_ones = blockers or idle
        oldest = max(open_ones, key=lambda entry: number(entry.get("seconds")) or 0.0, default={})
        whose = text(oldest.get("application") or oldest.get("user") or "unnamed", 60)
        reason = (f"{plural(len(open_ones), 'transaction')} in {name} {'is' if len(open_ones) == 1 else 'are'} open without work, the "
                  f"longest for {number(oldest.get('seconds')) or 0:.0f} s ({whose})")
        if line is not None and not open_ones:
            reason = line.reason.rstrip(".")
        yield Candidate(
            "database_idle", subject=name, tier=MEASURED if blockers and share else UNMEASURED, share=share if blockers else None,
            keys=keys, brings=_BEHIND | {"database_locks", "database_connections"}, ranked=not (unseen and blockers),
            reason=f"{reason}, and {waiting} behind {'it' if len(blockers) == 1 else 'them'}{_nobody(unseen)}." if blockers
                   else f"{reason}.",
            first_step=f"{_end(one, oldest)} transactions on every path (defer tx.Rollback()), with a context that has a deadline.",
            evidence=proof(line), **stands(line, "databases.idle_in_transaction"))
    elif isinstance(one.get("idle_in_transaction"), list):
        view.measured.append(f"Database {name}: {plural(len(idle), 'transaction')} open without work, none in anybody's way." if idle else
                             f"Database {name}: no transaction is open without work.")
    line = view.failing("databases.lock_wait", *keys)
    if waits and (line is not None or longest * 1000 >= NATURE_COST):
        # How long somebody waits at this moment is not what a request pays.
        yield Candidate("database_locks", subject=name, tier=MEASURED if share else UNMEASURED, share=share, keys=keys, ranked=not unseen,
                        brings=_BEHIND, reason=f"In {name} {waiting}, the longest {longest:.1f} s{_nobody(unseen)}.",
                        first_step=hint(line) or f"Look at who holds the lock{_named(blocked_by)}, and make that transaction shorter.",
                        evidence=proof(line), **stands(line, "databases.lock_wait"))
    elif isinstance(one.get("lock_waits"), list):
        view.measured.append(f"Database {name}: {'nobody waits for a lock' if not waits else waiting + ', not for long'}.")


def _named(sessions: set[str]) -> str:
    return f" (session {', '.join(text(one, 20) for one in sorted(sessions)[:3])})" if sessions else ""


def _end(server: Mapping[str, Any], session: Mapping[str, Any]) -> str:
    """How the session is ended by hand, where that is known; the code that leaves it is mended later."""
    pid = whole(session.get("pid"))
    call = {"postgres": f"SELECT pg_terminate_backend({pid})", "mysql": f"KILL {pid}"}.get(str(server.get("kind")), "")
    return f"Look what session {pid} belongs to; {call} ends it now. Then mend the code: end" if pid and call else "End"


def _nobody(unseen: bool) -> str:
    return ": no request was seen to wait for the database" if unseen else ""


def _connections(view: View, one: Mapping[str, Any], name: str, keys: frozenset[str]) -> Iterator[Candidate]:
    # The limit is that of the service's kind of user: what is reserved for others is taken off already.
    used, limit, uncertain = (number(lookup(one, f"connections.{key}")) for key in ("used", "limit", "uncertain"))
    line = view.failing("databases.connections", *keys)
    if used is None or not limit:
        return
    said = f"{used:.0f} of {limit:.0f} connections of {name} are in use"
    full = used - (uncertain or 0.0) >= limit
    if full or (line is not None and grave(line)):
        yield Candidate("database_connections", subject=name, tier=FAILS if full else UNMEASURED, keys=keys,
                        brings=_BEHIND | {"database_down"}, reason=f"{said}{': the next one is refused' if full else ''}.",
                        first_step=hint(line) or "Lower SetMaxOpenConns of the services, or raise the server's limit.",
                        evidence=proof(line), **stands(line, "databases.connections"))
    else:
        view.measured.append(f"Database {name}: {used:.0f} of {limit:.0f} connections are in use.")


# ---------------------------------------------------------------------------------------------------------------- notes

def _timeouts(view: View) -> Iterator[Candidate]:
    ports = _own_ports(view)
    for one in listed(view.facts, "timeouts.listeners"):
        url = text(one.get("url") or "", 200)
        found = re.match(r"https?://(?:\[[^\]/]*\]|[^:/]*):(\d{1,5})(?:/|$)", url)
        if (int(found.group(1)) if found else 443 if url.startswith("https") else 80) not in ports:
            continue
        if one.get("error"):
            view.unmeasured.append((f"server timeouts of {url}", "", message(one)))
            continue
        for part in ("headers", "body"):
            seen = mapping(one.get(part))
            patience, seconds = watched.server_timeout({
                "error": seen.get("error"), "closed_after": number(seen.get("closed_after")), "waited": number(seen.get("waited"))}
                if seen else None)
            if patience == "limited":
                view.measured.append(f"{url}: a client that sends its {part} slowly is given up after {seconds:.1f} s.")
            elif patience == "unread" and part == "body":
                view.unmeasured.append((f"ReadTimeout of {url}", "", "it answers without reading the body of a request"))
            elif patience == "unlimited" and seconds and part == "body":
                # Some uploads are slow by right, so a body without a deadline is a choice.
                view.measured.append(f"{url}: a client that sends its body slowly is waited for longer than {seconds:.0f} s: no "
                                     "ReadTimeout is seen.")
            elif patience == "unlimited" and seconds:
                yield Candidate("server_timeouts", "", url, NOTE,
                                f"{url} waits longer than {seconds:.0f} s for a client that sends its headers slowly: no "
                                "ReadHeaderTimeout is seen, and such clients keep descriptors and goroutines.",
                                "Set ReadHeaderTimeout of http.Server.")


def _proxies(view: View) -> Iterator[Candidate]:
    if not view.concerned:
        return
    for check in ("modules.proxy_reachable", "modules.proxy_errors", "modules.proxy_latency", "modules.download"):
        lines = [line for line in view.results if line.id == check and line.status == "fail"]
        if lines:
            line = max(lines, key=lambda one: one.rank)
            yield Candidate("module_proxy", check, line.subject, NOTE,
                            f"{line.reason.rstrip('.')}. No request waits for it; builds do, and every repair that needs one.",
                            hint(line), evidence=proof(line), severity=line.rank)
            return
