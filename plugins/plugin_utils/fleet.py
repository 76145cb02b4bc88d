# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no host can judge alone: the checks of the fleet, answered from the documents of all hosts of a run.

Public: :func:`carried`, which says what one host's document carries for it, and :func:`judge`, which gives the documents with these
checks answered (:func:`answers` and :func:`answered`, where not all can be held at once). Pure: nothing is read or written. The
documents on disk keep what their host said, so that a report that is made again, of more hosts or fewer, answers anew.
"""
from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.goready.preflight.plugins.module_utils.databases.target import SCHEMES
from ansible_collections.goready.preflight.plugins.plugin_utils import engine, subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Check, Facts, Outcome, Policy, Result, Waiver, failed, lookup, notapplicable, passed, unknown,
)

if TYPE_CHECKING:
    from ansible_collections.goready.preflight.plugins.plugin_utils.policy import Rules

POOL = "databases.fleet_pool"
NAMED = 10  # pools and hosts that one result names
Answers = Mapping[str, Sequence[Outcome]]

_LOOPBACK = ("localhost", "127.", "[::1]", "/")


# ---------------------------------------------------------------------------------------------------------------- one host

def carried(facts: Facts | None, rules: Rules | None) -> dict[str, Any]:
    """``fleet`` of a host's document: its pools, the database servers that they may lead to, and what judging them needs.

    ``declares``: whether the inventory names a service or a database of the host; where it answered and its pools were not looked
    at, whether it names one with pools. A host of which nothing else is known has nothing else.
    """
    if rules is None:
        return {"declares": True}
    policy = rules.policy
    found: dict[str, Any] = {
        "declares": bool(policy.services or rules.probing.databases),
        "groups": list(policy.groups), "now": policy.now.isoformat(), "percent": policy.threshold(POOL, "percent", 100),
    }
    if facts is None:
        return found
    pages, known = lookup(facts, "pools.services"), lookup(facts, "databases.servers")
    if pages is None or known is None:
        # Its profile has no such look, or it broke: what its pools may open, or where they lead to, is not known.
        uses = [one["url"] for one in rules.probing.databases] + [url for one in policy.services for url in one.get("depends_on") or ()]
        return {**found, "declares": any(SCHEMES.get(str(url).partition(":")[0], ("redis",))[0] != "redis" for url in uses)}
    servers = [one for one in known if one.get("kind") != "redis"]
    pools: list[dict[str, Any]] = []
    seen = set()
    for page in pages:
        service = subjects.subject_of(str(page["service"]), page.get("container"))
        for pool in page.get("pools") or ():
            # Two services may declare one page. What was found in containers may be one address in each.
            key = (page["url"], pool["name"], "" if page.get("declared") or not page.get("container") else service)
            if key in seen:
                continue
            seen.add(key)
            pools.append({
                "subject": f"{service} {pool['name']}".rstrip(), "max_open": pool.get("max_open"), "open": pool.get("open"),
                "server": _server_of(str(page["service"]), str(pool["name"]), servers)})
    counted = {str(page["service"]) for page in pages if page.get("pools")}
    return {**found, "pools": pools, "servers": [_server(one, counted) for one in servers]}


def _server(server: Mapping[str, Any], counted: set[str]) -> dict[str, Any]:
    connections = server.get("connections") or {}
    error = server.get("error") or {}
    return {
        "name": server.get("name"), "kind": server.get("kind"), "place": server.get("place"), "server_id": server.get("server_id"),
        "limit": connections.get("limit"), "reserved": connections.get("reserved"), "used": connections.get("used"),
        "error": error.get("message") or error.get("kind"), "declared": bool(server.get("declared")), "between": between(server),
        "uncounted": sorted(name for name in server.get("services") or () if name not in counted),
    }


def between(server: Mapping[str, Any]) -> bool:
    """Whether the PostgreSQL that answered is not who listens where it was asked: a pooler or a forwarded port is between."""
    place = str(server.get("place") or "")
    if server.get("kind") != "postgres" or not server.get("login") or place.startswith("/"):
        return False
    by = server.get("answered_by")  # None: it was reached through a unix socket
    return not by or f":{by.get('port')}," not in f"{place},"


def _server_of(service: str, pool: str, servers: Sequence[Mapping[str, Any]]) -> int | None:
    """Which of the servers a pool leads to, None where that cannot be told."""
    named = [index for index, one in enumerate(servers) if one.get("name") == pool]
    mine = [index for index, one in enumerate(servers) if service in (one.get("services") or ())]
    called = [index for index in mine if servers[index].get("database") == pool]
    return next((found[0] for found in (named, called, mine) if len(found) == 1), None)


# ---------------------------------------------------------------------------------------------------------------- all hosts

def judge(hosts: Iterable[Mapping[str, Any]], checks: Mapping[str, Check]) -> list[dict[str, Any]]:
    """The hosts' documents with the results of the fleet's checks, their waivers and their verdicts."""
    documents = list(hosts)
    found = answers(documents)
    return [answered(document, found, checks) for document in documents]


def answers(documents: Iterable[Mapping[str, Any]]) -> Answers:
    """What the fleet's checks say of each host. Of a document only a few lines are kept, so they may come one at a time."""
    return _pools([{key: one.get(key) for key in ("name", "fleet", "error", "reachable")} for one in documents])


def answered(host: Mapping[str, Any], found: Answers, checks: Mapping[str, Check]) -> dict[str, Any]:
    """A host's document with its answers. A host where a check was not selected, or whose part of it could not be collected, keeps
    what it says of it."""
    document = dict(host)
    check = checks.get(POOL)
    if check is not None:
        _put(document, check, found.get(str(document["name"])) or [])
    return document


def _put(document: dict[str, Any], check: Check, outcomes: Sequence[Outcome]) -> None:
    before = [line for line in document.get("results") or () if line["id"] == check.id]
    carries = document.get("fleet")
    if not outcomes or not isinstance(carries, Mapping) or not _replaceable(before):
        return
    waivers = [_waiver(entry) for entry in document.get("waivers") or ()]
    policy = Policy(hostname=str(document["name"]), groups=tuple(carries.get("groups") or ()), waivers=tuple(waivers),
                    now=datetime.datetime.fromisoformat(str(carries["now"])))
    results = [engine.waive(engine.result_of(check, outcome), policy) for outcome in outcomes]
    # In the place of what the host said of it, so that the families stay together.
    lines = list(document["results"])
    at = lines.index(before[0])
    lines = [line for line in lines[:at] if line["id"] != check.id] + [one.as_dict() for one in results] + \
        [line for line in lines[at:] if line["id"] != check.id]
    document["results"] = lines
    document["verdict"] = engine.verdict([_as_result(line) for line in lines], str(document.get("gate") or "high"))
    document["waivers"] = [_used(entry, waiver, results, policy)
                           for entry, waiver in zip(document.get("waivers") or (), waivers, strict=True)]


def _replaceable(lines: Sequence[Mapping[str, Any]]) -> bool:
    return bool(lines) and all(line["status"] == "notapplicable" for line in lines)


def _waiver(entry: Mapping[str, Any]) -> Waiver:
    return Waiver(check=entry["check"], hosts=tuple(entry["hosts"]), subject=entry["subject"], justification=entry["justification"],
                  approver=entry["approver"], expires=datetime.datetime.fromisoformat(entry["expires"]))


def _used(entry: Mapping[str, Any], waiver: Waiver, results: Iterable[Result], policy: Policy) -> dict[str, Any]:
    more = sum(1 for one in results if one.status in ("fail", "error", "unknown") and waiver.matches(one, policy))
    state = "active" if more and entry["state"] == "unused" else entry["state"]
    return {**entry, "results": entry["results"] + more, "state": state}


def _as_result(line: Mapping[str, Any]) -> Result:
    return Result(id=line["id"], status=line["status"], severity=line["severity"], reason=line["reason"], subject=line["subject"],
                  waived=bool(line.get("waived")))


# ------------------------------------------------------------------------------------------------------------------- pools

@dataclass
class _Server:
    """One database server as several hosts know it."""

    names: dict[str, None] = field(default_factory=dict)
    pools: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)   # (host, pool)
    limit: int | None = None
    reserved: int = 0
    used: int | None = None
    error: str = ""
    declared: bool = False
    uncounted: list[str] = field(default_factory=list)  # "web2 api"

    @property
    def total(self) -> int:
        return sum(int(pool["max_open"]) for _host, pool in self.pools if pool["max_open"])

    @property
    def straight(self) -> int:
        """The part of the total that no pooler can hold back."""
        return sum(int(pool["max_open"]) for _host, pool in self.pools if pool["max_open"] and not pool.get("between"))


def _keys(host: str, server: Mapping[str, Any]) -> tuple[str, str]:
    """What a server is known by: itself (empty where it did not say) and where it is. The same loopback address or socket is
    another server on every host."""
    place = str(server.get("place") or server.get("name"))
    where = f"{host} {place}" if place.startswith(_LOOPBACK) else place
    said = server.get("server_id")
    return (f"id {server.get('kind')} {said}" if said else ""), f"at {server.get('kind')} {where}"


def _servers(documents: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], _Server]:
    """By host and the index of its own list. A server that said who it is on one host and not on another is known by its address;
    an address that leads to two servers (behind one name may be several) tells nothing."""
    listed = [(str(document["name"]), index, server) for document in documents
              for index, server in enumerate(lookup(document, "fleet.servers") or ())]
    at: dict[str, set[str]] = {}
    for host, _index, server in listed:
        said, where = _keys(host, server)
        if said:
            at.setdefault(where, set()).add(said)
    found: dict[str, _Server] = {}
    by_index = {}
    for host, index, server in listed:
        said, where = _keys(host, server)
        known = at.get(where) or set()
        key = said or (next(iter(known)) if len(known) == 1 else where)
        one = by_index[(host, index)] = found.setdefault(key, _Server())
        place, name = str(server.get("place") or ""), str(server.get("name"))
        one.names[name if not place or name.startswith(place) else f"{name} ({place})"] = None
        if server.get("limit") is not None:
            one.limit = min(int(server["limit"]), one.limit if one.limit is not None else int(server["limit"]))
            one.reserved = int(server.get("reserved") or 0)
            one.used = max(int(server.get("used") or 0), one.used or 0)
        one.declared = one.declared or bool(server.get("declared"))
        one.error = one.error or str(server.get("error") or "")
        one.uncounted += [f"{host} {service}" for service in server.get("uncounted") or ()]
    return by_index


def _pools(documents: Sequence[Mapping[str, Any]]) -> dict[str, list[Outcome]]:
    """The outcomes of :data:`POOL` by host."""
    by_index = _servers(documents)
    answers: dict[str, list[Outcome]] = {}
    counted: list[str] = []
    silent: list[str] = []   # they could not be verified
    unasked: list[str] = []  # they were, without a look at their pools
    for document in documents:
        name, fleet = str(document["name"]), document.get("fleet") or {}
        if "pools" in fleet:
            counted.append(name)
        elif fleet.get("declares", True):
            (silent if document.get("error") or document.get("reachable") is not True else unasked).append(name)
        for pool in fleet.get("pools") or ():
            if pool["server"] is None:
                answers.setdefault(name, []).append(_unmapped(pool))
            else:
                index = int(pool["server"])
                between = bool(fleet["servers"][index].get("between"))
                by_index[(name, index)].pools.append((name, {**pool, "between": between}))
    sums: dict[tuple[int, float], Outcome] = {}  # what every host with a pool at a server is told
    for document in documents:
        name, fleet = str(document["name"]), document.get("fleet") or {}
        told = set()
        for index, listed in enumerate(fleet.get("servers") or ()):
            server = by_index[(name, index)]
            mine = [pool for host, pool in server.pools if host == name]
            if id(server) in told or not mine:
                continue  # two names of one server are one sum
            told.add(id(server))
            answers.setdefault(name, []).extend(_of_pools(str(listed["name"]), server, mine))
            if any(pool["max_open"] for pool in mine):
                key = (id(server), float(fleet["percent"]))
                if key not in sums:
                    sums[key] = _sum(server, key[1], counted, silent, unasked)
                answers.setdefault(name, []).append(replace(sums[key], subject=str(listed["name"])))
    return answers


def _unmapped(pool: Mapping[str, Any]) -> Outcome:
    return notapplicable(
        "Which database server this pool leads to is not known: name the database in preflight_databases as the pool's label "
        "db_name does, or list the service there.", subject=pool["subject"])


def _of_pools(name: str, server: _Server, mine: Sequence[Mapping[str, Any]]) -> Iterator[Outcome]:
    """The pools of one host that no sum can hold."""
    for pool in mine:
        if pool["max_open"] == 0:
            room = f"all {server.limit} connections" if server.limit is not None and not pool["between"] else "all connections"
            yield failed(
                f"The pool has no upper bound: under load it may take {room} of {name}; SetMaxOpenConns should bound it.",
                subject=pool["subject"], actual=0, expected="an upper bound", severity="low",
                evidence=(f"{pool['open']} open now",))
        elif pool["max_open"] is None:
            yield unknown("The upper bound of the pool is not among its metrics.", subject=pool["subject"], severity="low")


def _sum(server: _Server, percent: float, counted: Sequence[str], silent: Sequence[str], unasked: Sequence[str]) -> Outcome:
    bounded = [(host, pool) for host, pool in server.pools if pool["max_open"]]
    hosts = {host for host, _pool in bounded}
    on = f"{_many(len(bounded), 'pool')} on {_many(len(hosts), 'host')}"
    largest = sorted(bounded, key=lambda item: (-item[1]["max_open"], item[0], item[1]["subject"]))
    evidence = [f"{host}: {pool['subject']} up to {pool['max_open']}" for host, pool in largest[:NAMED]]
    if len(largest) > NAMED:
        evidence.append(f"and {_many(len(largest) - NAMED, 'pool')} more")
    evidence.append(f"known as {', '.join(sorted(server.names))}; {_many(len(counted), 'host')} of this run counted")
    others = [f"{host} {pool['subject']}" for host, pool in server.pools if not pool["max_open"]]
    if others:
        evidence.append(f"not in the sum, without an upper bound: {_some(others)}")
    if server.uncounted:
        evidence.append(f"not in the sum, no pool is known of: {_some(server.uncounted)}")
    if silent or unasked:
        evidence.append(f"not in the sum, nothing is known of: {_some([*silent, *unasked])}")
    if server.limit is None:
        why = f": {server.error}" if server.error else ""
        return unknown(f"{on} may open {server.total} connections together; how many the server allows is not known{why}.",
                       actual=server.total, evidence=evidence, severity=None if server.declared else "low")
    evidence.append(f"{server.used} connections in use now; {server.reserved} more are reserved")
    allowed = int(server.limit * percent / 100)
    said = f"{on} may open {server.total} connections together; the server has {server.limit} for them"
    said += "" if percent == 100 else f", of which they may take {percent:g} %"
    wanted = f"at most {allowed}"
    if server.straight > allowed:
        return failed(f"{said}.", actual=server.total, expected=wanted, evidence=evidence)
    if server.total > allowed:
        return unknown(f"{said}, but {server.total - server.straight} of them lead to a pooler or a forwarded port: a pooler opens no more "
                       "than it is allowed.", actual=server.total, expected=wanted, evidence=evidence, severity=None if silent else "low")
    if silent:
        return unknown(f"{said}, and {_many(len(silent), 'host')} did not say what more there is: {_some(silent)}.", actual=server.total,
                       expected=wanted, evidence=evidence)
    if server.uncounted or others or unasked:
        # A pool that nobody counts is no proof; it must not stop a release either.
        return unknown(f"{said}, and not all that use it are counted: {_some([*server.uncounted, *others, *unasked])}.",
                       actual=server.total, expected=wanted, evidence=evidence, severity="low")
    return passed(f"{said}.", actual=server.total, expected=wanted, evidence=evidence)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
