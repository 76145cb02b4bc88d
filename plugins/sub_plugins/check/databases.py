# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the databases that a service needs answer, and is there room for its work?

The first part judges what the servers say of themselves (``databases.servers``), the second the connection pools of the services
(``pools.services``). A subject is a database as the inventory names it, or ``host:port/database`` of a ``depends_on`` URL.
"""
from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import fleet, subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Facts, Outcome, Policy, Remediation, Threshold, check, failed, lookup, notapplicable, passed, unknown,
)

NEEDS = ("databases.servers",)

# ------------------------------------------------------------------------------------------------------------- servers

_KINDS = {"postgres": "PostgreSQL", "mysql": "MySQL", "redis": "Redis"}
# What to install for a client, on systems of Debian's family and on others.
_PACKAGES = {"postgres": ("postgresql-client", "postgresql"), "mysql": ("default-mysql-client", "mariadb"),
             "redis": ("redis-tools", "redis")}
_RIGHTS = {
    "postgres": "GRANT pg_monitor TO the user that asks",
    "mysql": "GRANT PROCESS, REPLICATION CLIENT ON *.* (in MariaDB PROCESS, SLAVE MONITOR) and SELECT ON performance_schema.* TO the user "
             "that asks",
    "redis": "ACL SETUSER for the user that asks: +info +client|list +client|setname +config|get",
}
# Locks that sessions wait for by design: an advisory lock elects a leader, CREATE INDEX CONCURRENTLY waits for old snapshots.
_PATIENT_LOCKS = ("advisory", "virtualxid")
SHOWN_SESSIONS = 8
_SILENT_KINDS = ("full", "full_own")


def _servers(facts: Facts) -> list[Mapping[str, Any]]:
    return list(lookup(facts, "databases.servers") or ())


def _weight(server: Mapping[str, Any]) -> str | None:
    """What an unknown is worth: less where nobody has declared the database, a URL of depends_on only names it."""
    return None if server.get("declared") else "low"


def _called(server: Mapping[str, Any]) -> str:
    """``orders (PostgreSQL, db1:5432)``."""
    name, place = str(server["name"]), str(server.get("place") or "")
    kind = _KINDS.get(str(server.get("kind")), "a database")
    if "MariaDB" in str(server.get("version")):
        kind = "MariaDB"
    return f"{name} ({kind}{', ' + place if place and not name.startswith(place) else ''})"


def _about(server: Mapping[str, Any]) -> list[str]:
    """Evidence: who asked whom, and who needs it."""
    lines = [f"{server['url']} asked by {server['client']}" + (f" as {server.get('login') or server.get('user')}" if server.get("login")
             or server.get("user") else "")] if server.get("client") else [str(server.get("url") or "")]
    if server.get("version"):
        lines.append(f"version {server['version']}")
    if server.get("services"):
        lines.append("needed by " + ", ".join(str(one) for one in server["services"]))
    if fleet.between(server):
        by = server.get("answered_by")
        listens = f"listens at {by['address']}:{by['port']}" if by else "was asked through a unix socket"
        lines.append(f"the server that answered {listens}: a pooler or a forwarded port is between")
    return lines


def _session(one: Mapping[str, Any]) -> str:
    """``app "api" from 10.0.0.5, PID 812``."""
    if one.get("pid") == 0:  # pg_blocking_pids()
        return "a prepared transaction (pg_prepared_xacts)"
    name = str(one.get("user") or "an unknown user")
    if one.get("application"):
        name += f" \"{one['application']}\""
    if one.get("host"):
        name += f" from {one['host']}"
    return f"{name}, PID {one.get('pid')}"


def _no_figures(server: Mapping[str, Any], key: str) -> Outcome:
    """What there is to say where a server's answer, or this part of it, is missing."""
    subject = str(server["name"])
    error = server.get("error")
    if error:
        where = "connections" if error["kind"] in _SILENT_KINDS else "reachable"
        return unknown(f"{_called(server)} gave no figures: databases.{where} says why ({error['kind']}).", subject=subject,
                       severity="info", evidence=[f"{error['kind']}: {error['message']}"])
    return unknown(f"{_called(server)} did not show {key} to {server.get('login') or 'this user'}.", subject=subject,
                   severity=_weight(server), evidence=[*(server.get("unreadable") or ()), *_about(server)],
                   remediation=_rights(server))


def _rights(server: Mapping[str, Any]) -> Remediation:
    return Remediation(hint=f"{_RIGHTS[str(server['kind'])]}. See docs/databases.md.")


def _once(facts: Facts) -> Iterator[tuple[Mapping[str, Any], Outcome | None]]:
    """Every server, and what there is to say where another name means it too. Judged is the name that sees most, else the first."""
    chosen: dict[tuple[str, str], Mapping[str, Any]] = {}
    for server in _servers(facts):
        if server.get("server_id") and not server.get("error"):
            key = (str(server["kind"]), str(server["server_id"]))
            if key not in chosen or (server.get("sees_all") and not chosen[key].get("sees_all")):
                chosen[key] = server
    for server in _servers(facts):
        other = chosen.get((str(server["kind"]), str(server.get("server_id"))), server)
        same = None if other is server else notapplicable(
            f"{_called(server)} is the server of {other['name']}, which is judged.", subject=str(server["name"]),
            evidence=[f"server id: {server['server_id']}"])
        yield server, same


def _nowhere() -> Outcome:
    return notapplicable("Neither preflight_databases nor a depends_on of preflight_services names a database.")


@check(
    "databases.reachable",
    title="The databases answer",
    severity="high",
    profile="standard",
    tags=("databases",),
    why="A service whose database refuses it, or does not answer, fails or waits with every request that needs it. Who can connect is "
        "decided by the address the request comes from (PostgreSQL pg_hba.conf, MySQL accounts user@host), so it is asked from this host.",
    judged="The server is asked by its own client program (psql, mariadb or mysql, redis-cli or valkey-cli) or its Python driver. It fails "
           "where nothing listens, the name is not found, no answer comes within the database's `timeout`, TLS cannot be agreed on, the "
           "server is starting or loads its data, it refuses this host whoever asks, none of several hosts is what target_session_attrs "
           "asks for, the database does not exist, or the login that the inventory gives is refused. Where the inventory gives no login "
           "and the server wants one, or the host has no client, it is unknown (low for a database that only a URL of depends_on names); "
           "so are PgBouncer in statement mode and a Redis over TLS that hangs up, as it does without a client's certificate (low). A "
           "server that refuses for want of connections answers: databases.connections fails.",
    remediation=Remediation(hint="Ask the server as the service does, from this host: the message says what it was that refused."),
    needs=NEEDS,
)
def reachable(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    servers = _servers(facts)
    for server in servers:
        yield _reachable(server, facts)
    if not servers:
        yield _nowhere()


_FAILURES = {
    "refused": ("{who}: nothing accepts connections there ({message}).",
                "Is the server up, and does it listen at this address (listen_addresses, bind-address, bind)?"),
    "resolve": ("{who}: its name is not found ({message}).", "Correct the name, or the resolver of this host (network.dns)."),
    "timeout": ("{who}: no answer came in time ({message}).",
                "Packets to the port are dropped, the server hangs, or a pooler has no connection to it left: look at the firewall "
                "between, and at the log and load of both."),
    "unreachable": ("{who} cannot be reached from this host ({message}).", "Look at the route to it and at the firewall between."),
    "closed": ("{who} closed the connection without an answer ({message}).", "The server's log says why; is it this kind of server?"),
    "tls": ("{who}: TLS could not be agreed on ({message}).",
            "Give the CA that signed the server's certificate as the database's ca_file, and use the name that is in the certificate."),
    "starting": ("{who} does not serve yet ({message}).", "Wait until it has started, and look at its log for what it does."),
    "database": ("{who}: the database is missing ({message}).", "Create the database, or correct the URL."),
    "forbidden": ("{who} refuses this host, whoever asks ({message}).",
                  "Let the server accept this host's address (MySQL: an account user@host, FLUSH HOSTS; Redis: a password, or "
                  "protected-mode no)."),
    "role": ("{who}: none of its hosts is what target_session_attrs asks for ({message}).",
             "Is the primary gone, and no standby promoted (pg_is_in_recovery)?"),
    "failed": ("{who} refused ({message}).", "The server's log says why."),
}


def _reachable(server: Mapping[str, Any], facts: Facts) -> Outcome:
    subject, who, about = str(server["name"]), _called(server), _about(server)
    error = server.get("error")
    if not error:
        took = f" {server['client']} took {server['seconds']:.2f} s." if isinstance(server.get("seconds"), float) else ""
        return passed(f"{who} answers{' ' + str(server['login']) if server.get('login') else ''}.{took}", subject=subject,
                      actual=server.get("version"), evidence=[*about, *(f"not shown: {one}" for one in server.get("unreadable") or ())])
    kind, message = str(error.get("kind")), str(error.get("message"))
    evidence = [f"{kind}: {message}", *about]
    if kind in _SILENT_KINDS:
        return notapplicable(f"{who} answers, and refuses new connections: databases.connections says so.", subject=subject,
                             evidence=evidence)
    if kind == "pooling":
        return unknown(f"{who} answers, and lets no transaction begin in which it could be asked: {message}.", subject=subject, actual=kind,
                       severity="low", evidence=evidence, remediation=Remediation(
                           hint="Declare the server behind the pooler in preflight_databases."))
    if kind == "closed" and str(server.get("url")).startswith("rediss:"):
        # The alert is lost in the reset; redis-cli cannot tell it from another end.
        return unknown(f"{who} closed the connection ({message}), as a server does that wants a client's certificate (tls-auth-clients, by "
                       "default yes): there is none to give.", subject=subject, actual=kind, severity="low", evidence=evidence,
                       remediation=Remediation(hint="The server's log says why. network.endpoint tries the TLS handshake of a depends_on, "
                                                    "with the certificate that preflight_network.endpoints names."))
    if kind in _FAILURES:
        reason, hint = _FAILURES[kind]
        return failed(reason.format(who=who, message=message), subject=subject, actual=kind, expected="an answer", evidence=evidence,
                      remediation=Remediation(hint=hint))
    if kind in ("auth", "denied") and server.get("credentials"):
        return failed(f"{who} refuses the login of {server.get('user') or 'the client'} from this host: {message}.", subject=subject,
                      actual=kind, expected="a login that works", evidence=evidence, remediation=Remediation(
                          hint="Correct the user and password in preflight_credentials (by the database's name), or what the server "
                               "allows this host (pg_hba.conf, user@host, ACL)."))
    if kind in ("auth", "denied"):
        wants = "wants a login, of which the inventory says nothing" if kind == "auth" else \
            f"refuses {server.get('user') or 'the client'}, of whose login the inventory says nothing"
        return unknown(f"{who} answers and {wants}: {message}.", subject=subject, actual=kind,
                       severity=_weight(server), evidence=evidence, remediation=Remediation(
                           hint="Declare it in preflight_databases, with its user and password by its name in preflight_credentials, or "
                                "with passfile, defaults_file or run_as. docs/databases.md names the least rights."))
    if kind == "no_client":
        return unknown(f"{who} was not asked: {message}.", subject=subject, severity=_weight(server), evidence=evidence,
                       remediation=_install(server, facts))
    hint = "Correct preflight_databases." if kind in ("url", "run_as") else "Raise preflight_budget." if kind == "budget" else ""
    return unknown(f"{who} was not asked: {message}." if kind in ("url", "run_as", "budget") else f"{who}: the client failed ({message}).",
                   subject=subject, severity=_weight(server), evidence=evidence, remediation=Remediation(hint=hint) if hint else None)


def _install(server: Mapping[str, Any], facts: Facts) -> Remediation:
    debian, other = _PACKAGES.get(str(server.get("kind")), ("", ""))
    system = {str(lookup(facts, "host.os.id")), *(str(one) for one in lookup(facts, "host.os.like") or ())}
    if system & {"debian", "ubuntu"}:
        return Remediation(hint=f"Install {debian}, or a Python driver of the server.", command=f"apt-get install {debian}")
    return Remediation(hint=f"Install the server's client program ({debian} on Debian and Ubuntu, {other} on others), or a Python driver.")


@check(
    "databases.connections",
    title="The database has room for connections",
    severity="high",
    profile="standard",
    tags=("databases",),
    why="A server that is full refuses the next connection at once: PostgreSQL says `sorry, too many clients already` (53300), MySQL "
        "`Too many connections` (1040), Redis `max number of clients reached`. The last slots are not everybody's: PostgreSQL keeps "
        "superuser_reserved_connections (3) and from 16 on reserved_connections back (runtime-config-connection), MySQL one for "
        "administrators. A deployment that starts new processes before it ends the old ones needs twice the pool for a while.",
    judged="It fails where `percent` of the connections that an ordinary user may take are taken, and as critical where all are, or where "
           "connections are refused now: this one was, or the server's counter rose within a second (MySQL "
           "Connection_errors_max_connections, Redis rejected_connections). This look's own connection is not counted. A limit of a "
           "single role, database or user that is taken up is low: a pool of just that size is no fault by itself. Where a "
           "PostgreSQL server hides the sessions of others, some may be workers of its own; it is unknown where that decides.",
    remediation=Remediation(
        hint="Look who holds them (the evidence names users, programs and hosts): lower the pools (SetMaxOpenConns, SetConnMaxIdleTime), "
             "put a pooler in front (PgBouncer, ProxySQL), or raise the limit where memory allows."),
    thresholds={"percent": Threshold(80, "The share of the connections of an ordinary user that may be taken.", unit="%", minimum=1,
                                     maximum=100)},
    needs=NEEDS,
)
def connections(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    percent = int(policy.threshold(connections, "percent"))
    for server, same in _once(facts):
        yield same or _connections(server, percent)
    if not _servers(facts):
        yield _nowhere()


_SLOT = Remediation(
    hint="End sessions that nobody needs, lower the pools (SetMaxOpenConns) or raise the limit. Let the user that asks have a reserved "
         "connection (PostgreSQL 16: GRANT pg_use_reserved_connections), and the next look names who holds them.")


def _connections(server: Mapping[str, Any], percent: int) -> Outcome:
    subject, who = str(server["name"]), _called(server)
    error = server.get("error")
    if error and error["kind"] in _SILENT_KINDS:
        own = error["kind"] == "full_own"
        return failed(f"New connections to {who} are refused{' to this user' if own else ''}: {error['message']}.", subject=subject,
                      actual=error["message"], expected="a connection", evidence=_about(server), remediation=_SLOT,
                      severity=None if own else "critical")
    found = server.get("connections")
    if error or not found:
        return _no_figures(server, "its connections")
    used, limit = int(found["used"]), found.get("limit")
    if not limit:
        return _no_figures(server, "its limit of connections")
    least = used - int(found.get("uncertain") or 0)
    reserved = f"; {found['reserved']} of {found['maximum']} are reserved" if found.get("reserved") else ""
    evidence = [f"{used} of {limit} connections that an ordinary user may take{reserved}", *_holders(found), *_about(server)]
    if found.get("peak"):
        evidence.append(f"most at a time since the server's start: {found['peak']}")
    wanted = f"below {percent} %"
    if least >= limit or found.get("refused"):
        refused = f"; {found['refused']} were refused within a second" if found.get("refused") else ""
        return failed(f"{who} has no connection left: {used} of {limit} are taken{refused}; wanted is {wanted}.", subject=subject,
                      actual=used, expected=wanted, evidence=evidence, severity="critical")
    share = 100.0 * used / limit
    if 100.0 * least / limit >= percent:
        return failed(f"{who}: {used} of {limit} connections are taken ({share:.0f} %); wanted is {wanted}.", subject=subject, actual=used,
                      expected=wanted, evidence=evidence)
    if share >= percent:
        return unknown(f"{who} has {used} sessions for {limit} connections, some of which may be the server's own: their types are hidden.",
                       subject=subject, actual=used, expected=wanted, evidence=evidence, severity=_weight(server),
                       remediation=_rights(server))
    taken = [one for one in found.get("own_limits") or () if one["used"] >= one["limit"] >= 3]
    if taken:
        said = ", ".join(f"{one['of']}: {one['used']} of {one['limit']}" for one in taken)
        return failed(f"{who} has room, but not for everybody: {said} connections are taken.", subject=subject, actual=said,
                      expected="room for one more", evidence=evidence, severity="low", remediation=Remediation(
                          hint="A pool of just that size is no fault. Where a deployment runs two at a time, raise the limit of the role, "
                               "database or user, or lower the pool."))
    return passed(f"{who}: {used} of {limit} connections are taken ({share:.0f} %).", subject=subject, actual=used, expected=wanted,
                  evidence=evidence)


def _holders(found: Mapping[str, Any]) -> list[str]:
    """Who holds the connections: users and programs, by host and state, most first."""
    groups: dict[str, dict[str, int]] = {}
    for one in found.get("by") or ():
        name = str(one.get("user") or one.get("application") or "unnamed")
        if one.get("user") and one.get("application"):
            name += f" \"{one['application']}\""
        if one.get("host"):
            name += f" from {one['host']}"
        states = groups.setdefault(name, {})
        state = str(one.get("state") or "")
        states[state] = states.get(state, 0) + int(one["count"])
    ranked = sorted(groups.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    lines = []
    for name, states in ranked[:SHOWN_SESSIONS]:
        said = ", ".join(f"{count} {state}".strip() for state, count in sorted(states.items(), key=lambda item: -item[1]) if state)
        lines.append(f"{name}: {sum(states.values())}" + (f" ({said})" if said else ""))
    return lines + ([f"... and {len(ranked) - SHOWN_SESSIONS} more"] if len(ranked) > SHOWN_SESSIONS else [])


@check(
    "databases.idle_in_transaction",
    title="No transaction is left open",
    severity="medium",
    profile="standard",
    tags=("databases",),
    why="A session that has begun a transaction and says nothing more keeps its locks, its connection and, in PostgreSQL, every dead row "
        "since (routine-vacuuming): others wait behind it, and pools run dry. In Go it is a Tx without Commit or Rollback on one path, or "
        "a remote call between two statements. No limit is set by default (idle_in_transaction_session_timeout 0); 60 s, which no request "
        "lasts, is what GitLab set for its own servers.",
    judged="It fails where a session has been idle within a transaction for `seconds` since its last statement (PostgreSQL: state `idle in "
           "transaction` and its state_change; MySQL: an InnoDB transaction of a sleeping connection). Programs of `ignore` (the "
           "application names of backups) are left out. Redis has no such transactions.",
    remediation=Remediation(
        hint="Put `defer tx.Rollback()` after each Begin, and call nothing else within the transaction. Until then "
             "idle_in_transaction_session_timeout (PostgreSQL) or idle_transaction_timeout (MariaDB) ends such sessions."),
    thresholds={
        "seconds": Threshold(60, "How long a transaction may be idle.", unit="s", minimum=1),
        "ignore": Threshold(("pg_dump*", "pg_restore*", "pg_basebackup*"), "Application names (globs) that may keep a transaction open."),
    },
    needs=NEEDS,
)
def idle_in_transaction(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    limit = int(policy.threshold(idle_in_transaction, "seconds"))
    ignore = policy.threshold(idle_in_transaction, "ignore")
    for server, same in _once(facts):
        yield same or _idle(server, limit, ignore)
    if not _servers(facts):
        yield _nowhere()


def _idle(server: Mapping[str, Any], limit: int, ignore: Sequence[str]) -> Outcome:
    subject, who = str(server["name"]), _called(server)
    if server.get("kind") == "redis":
        return notapplicable(f"{who} keeps no transactions open.", subject=subject)
    if server.get("error") or server.get("idle_in_transaction") is None:
        return _no_figures(server, "the transactions of others")
    found = [one for one in server["idle_in_transaction"] or () if one.get("seconds") is not None
             and not any(fnmatch.fnmatchcase(str(one.get("application") or ""), pattern) for pattern in ignore)]
    found.sort(key=lambda one: -float(one["seconds"]))
    late = [one for one in found if one["seconds"] >= limit]
    lines = [f"{_session(one)}: idle for {one['seconds']:.0f} s, its transaction is {one['transaction_seconds'] or 0:.0f} s old"
             + (", and has written" if one.get("writes") else "") for one in found[:SHOWN_SESSIONS]]
    if not late and not server.get("sees_all"):
        return _no_figures(server, "the sessions of others")
    if not late:
        oldest = f"; the longest is idle for {found[0]['seconds']:.0f} s" if found else ""
        return passed(f"No transaction of {who} has been idle for {limit} s{oldest}.", subject=subject,
                      actual=found[0]["seconds"] if found else 0, expected=f"below {limit} s", evidence=[*lines, *_about(server)])
    worst = late[0]
    waiting = [one for one in server.get("lock_waits") or () if any(by.get("pid") == worst.get("pid") for by in one["blocked_by"])]
    blocks = f", and {len(waiting)} session{'s wait' if len(waiting) > 1 else ' waits'} for its locks" if waiting else ""
    more = f" (one of {len(late)})" if len(late) > 1 else ""
    evidence = lines + [f"{_session(one)} waits for it" for one in waiting[:SHOWN_SESSIONS]]
    if server.get("kind") == "postgres":
        ends = server.get("idle_in_transaction_limit")
        evidence.append(f"idle_in_transaction_session_timeout: {f'{ends:g} s' if ends else '0 (off)'}")
    return failed(f"{_session(worst)}{more}, has left a transaction of {who} open and idle for {worst['seconds']:.0f} s{blocks}; wanted is "
                  f"below {limit} s.", subject=subject, actual=worst["seconds"], expected=f"below {limit} s",
                  evidence=[*evidence, *_about(server)])


@check(
    "databases.lock_wait",
    title="No session waits long for a lock",
    severity="medium",
    profile="standard",
    tags=("databases",),
    why="A statement that waits for a lock holds a connection of the pool, and all that come after it for the same rows do too. Behind an "
        "ALTER TABLE that itself waits, everybody waits (PostgreSQL: explicit-locking, a queue in order; MySQL: metadata locking). "
        "PostgreSQL looks for a deadlock after deadlock_timeout, 1 s; MySQL gives up after innodb_lock_wait_timeout, 50 s.",
    judged="It fails where a session has waited for `seconds` for a lock that another holds: pg_locks (waitstart, from PostgreSQL 14 on), "
           "InnoDB's waiting transactions, and statements that wait for a metadata lock. Who holds it is named. Where a server "
           "does not say when a wait began, the age of the statement is its upper bound, and the sentence says `up to`. Advisory locks "
           "and the waits of CREATE INDEX CONCURRENTLY are no matter of it: they wait by design.",
    remediation=Remediation(
        hint="Look what the session that holds the lock does, and end its transaction earlier; set lock_timeout (PostgreSQL) or "
             "lock_wait_timeout (MySQL) for migrations."),
    thresholds={"seconds": Threshold(5.0, "How long a session may wait for a lock.", unit="s", minimum=0.1)},
    needs=NEEDS,
)
def lock_wait(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    limit = float(policy.threshold(lock_wait, "seconds"))
    for server, same in _once(facts):
        yield same or _lock_wait(server, limit)
    if not _servers(facts):
        yield _nowhere()


def _waited(one: Mapping[str, Any]) -> float | None:
    """Seconds; at most the age of the oldest transaction that may hold the lock."""
    seconds = one.get("seconds")
    if seconds is None or one.get("exact"):
        return seconds
    held = [by["transaction_seconds"] for by in one["blocked_by"] if by.get("transaction_seconds") is not None]
    return min(float(seconds), max(held)) if held else float(seconds)


def _lock_wait(server: Mapping[str, Any], limit: float) -> Outcome:
    subject, who = str(server["name"]), _called(server)
    if server.get("kind") == "redis":
        return notapplicable(f"{who} has no locks that sessions wait for.", subject=subject)
    if server.get("error") or server.get("lock_waits") is None:
        return _no_figures(server, "who waits for whom")
    waits = [(one, _waited(one)) for one in server["lock_waits"] if one.get("kind") not in _PATIENT_LOCKS]
    known = sorted(((one, seconds) for one, seconds in waits if seconds is not None), key=lambda pair: -pair[1])
    late = [one for one, seconds in known if seconds >= limit]
    idle = [f"{_session(one)} has a transaction open, idle for {one['seconds']:.0f} s" for one in server.get("idle_in_transaction") or ()
            if one.get("seconds") is not None and not all(wait["blocked_by"] for wait, _seconds in known)]
    evidence = [f"{_session(one)} waits {'' if one.get('exact') else 'up to '}{seconds:.1f} s: {one['on']}{_by(one)}"
                for one, seconds in known[:SHOWN_SESSIONS]] + idle[:SHOWN_SESSIONS]
    if not late:
        if any(seconds is None for _one, seconds in waits):
            return _no_figures(server, "how long sessions have waited for locks")
        longest = f"; the longest wait is {known[0][1]:.1f} s" if known else ""
        return passed(f"No session of {who} has waited {limit:g} s for a lock{longest}.", subject=subject,
                      actual=round(known[0][1], 1) if known else 0, expected=f"below {limit:g} s", evidence=[*evidence, *_about(server)])
    worst, seconds = known[0]
    more = f" (one of {len(late)})" if len(late) > 1 else ""
    upto = "" if worst.get("exact") else "up to "
    return failed(f"{_session(worst)}{more}, has waited {upto}{seconds:.0f} s for a lock of {who}{_by(worst, _root(worst, server))}; "
                  f"wanted is below {limit:g} s.", subject=subject, actual=round(seconds, 1), expected=f"below {limit:g} s",
                  evidence=[*evidence, *_about(server)])


def _root(one: Mapping[str, Any], server: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Who is at the head of the queue: it blocks and does not wait itself."""
    waiting = {other["pid"]: other for other in server.get("lock_waits") or ()}
    seen: set[Any] = set()
    queue = list(one["blocked_by"])
    while queue:
        by = queue.pop(0)
        if by["pid"] in seen:
            continue
        seen.add(by["pid"])
        if by["pid"] not in waiting:
            return dict(by)
        queue += waiting[by["pid"]]["blocked_by"]
    return None


def _by(one: Mapping[str, Any], holder: Mapping[str, Any] | None = None) -> str:
    """``, which app "api", PID 811, holds (idle in transaction for 90 s)``."""
    holder = holder or (one["blocked_by"][0] if one["blocked_by"] else None)
    if holder is None:
        return ""
    age = f", its transaction is {holder['transaction_seconds']:.0f} s old" if holder.get("transaction_seconds") is not None else ""
    state = f" ({holder['state']}{age})" if holder.get("state") else ""
    return f", held by {_session(holder)}{state}"


@check(
    "databases.replication_lag",
    title="Replicas are not far behind",
    severity="medium",
    profile="standard",
    tags=("databases",),
    why="A service that reads from a replica sees what was written `lag` ago: it reads its own write and finds nothing. A failover to a "
        "replica that is behind waits or loses. What the figures can show differs: PostgreSQL measures replay_lag in microseconds, "
        "MySQL's Seconds_Behind_Source and Redis' lag are whole seconds, and now() - pg_last_xact_replay_timestamp() grows on an idle "
        "primary (monitoring-stats; SHOW REPLICA STATUS; INFO replication).",
    judged="It fails where a replica is `seconds` behind, beyond the delay that it is told to keep (recovery_min_apply_delay, "
           "SQL_Delay), or where its replication stands still. On a PostgreSQL primary the physical replicas that stream are judged by "
           "replay_lag; on a standby the lag is 0 where all that was received is replayed, and what is behind is looked at again a second "
           "later. Where `seconds` is below what the server can tell it is unknown. Consumers of logical replication, programs that keep "
           "the WAL and replay nothing (pg_receivewal) and replicas that still copy the data are shown and not judged.",
    remediation=Remediation(
        hint="Look at the replica: its disks and CPU, a long query that conflicts with the replay, a long transaction of the primary that "
             "is applied in one piece; and at the network between. Let requests that need their own writes read from the primary."),
    thresholds={"seconds": Threshold(10.0, "How far a replica may be behind.", unit="s", minimum=0.001)},
    needs=NEEDS,
)
def replication_lag(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    limit = float(policy.threshold(replication_lag, "seconds"))
    for server, same in _once(facts):
        yield same or _replication_lag(server, limit)
    if not _servers(facts):
        yield _nowhere()


def _replication_lag(server: Mapping[str, Any], limit: float) -> Outcome:
    subject, who = str(server["name"]), _called(server)
    found = server.get("replication")
    if server.get("error") or not found:
        return _no_figures(server, "its replication")
    wanted = f"below {limit:g} s"
    coarse = found.get("resolution") == "1 s" and limit < 1.0
    replicas = list(found.get("replicas") or ())
    evidence = [_replica(one) for one in replicas[:SHOWN_SESSIONS]] + ([found["note"]] if found.get("note") else [])
    if found["role"] == "sentinel":
        return notapplicable(f"{who} is a Sentinel: it holds no data.", subject=subject)
    if found["role"] == "primary":
        if not replicas:
            said = "is no replica; its own replicas tell their lag themselves" if server["kind"] == "mysql" else "has no replicas"
            return notapplicable(f"{who} {said}.", subject=subject)
        if server.get("kind") == "postgres" and not server.get("sees_all"):
            return _no_figures(server, "its replicas")
        judged = [one for one in replicas if one.get("slot") != "logical" and one.get("state") in ("streaming", "catchup", "online")
                  and not (server.get("kind") == "postgres" and one.get("lag_bytes") is None)]
        timed = sorted((one for one in judged if one.get("lag_seconds") is not None), key=lambda one: -float(one["lag_seconds"]))
        if timed and timed[0]["lag_seconds"] >= limit and not coarse:
            worst = timed[0]
            return failed(f"The replica {_replica_name(worst)} of {who} is {_span(worst['lag_seconds'])} behind; wanted is {wanted}.",
                          subject=subject, actual=worst["lag_seconds"], expected=wanted, evidence=[*evidence, *_about(server)])
        if not judged:
            return notapplicable(f"{who} has no replica that streams.", subject=subject, evidence=evidence)
        if coarse or len(timed) < len(judged):
            why = f"Whole seconds are all that {who} tells of its replicas' lag, and wanted is {wanted}" if coarse else \
                f"The lag of {_replica_name(next(one for one in judged if one.get('lag_seconds') is None))} is not measured by {who} yet"
            return unknown(f"{why}.", subject=subject, evidence=evidence, severity="low")
        behind = f"more than {_span(timed[0]['lag_seconds'])} behind" if timed[0]["lag_seconds"] else "behind"
        return passed(f"No replica of {who} is {behind}{_resolution(found)}.", subject=subject,
                      actual=timed[0]["lag_seconds"], expected=wanted, evidence=[*evidence, *_about(server)])
    return _behind(server, found, limit, wanted, coarse, evidence)


def _behind(server: Mapping[str, Any], found: Mapping[str, Any], limit: float, wanted: str, coarse: bool, evidence: list[str]) -> Outcome:
    """The judgement of a server that is a replica itself."""
    subject, who = str(server["name"]), _called(server)
    lag, delay, state = found.get("lag_seconds"), float(found.get("delay") or 0.0), str(found.get("state") or "")
    lines = [*evidence, *([f"it is told to be {delay:g} s behind"] if delay else []), *_about(server)]
    if state == "sync":
        return unknown(f"{who} still copies its primary's data.", subject=subject, evidence=lines)
    stands = state in ("disconnected", "paused", "down") or "applier No" in state or "receiver No" in state
    if stands:
        since = f", and what it has is {lag:.0f} s old" if lag is not None else ""
        return failed(f"The replication of {who} stands still ({state}){since}; wanted is {wanted}.", subject=subject,
                      actual=lag if lag is not None else state, expected=wanted, evidence=lines)
    if state == "archive":
        return unknown(f"{who} is fed from an archive: how far it is behind cannot be told while its primary is idle.", subject=subject,
                       actual=lag, expected=wanted, evidence=lines, severity="low")
    if lag is None and server.get("kind") == "redis" and state == "up":
        return passed(f"{who} is linked to its primary; how far it is behind only the primary tells.", subject=subject, actual=state,
                      expected=wanted, evidence=lines)
    if lag is None:
        return unknown(f"{who} is a replica and does not say how far it is behind ({state or 'no state'}).", subject=subject,
                       evidence=lines, severity=_weight(server), remediation=_rights(server))
    if lag - delay >= limit and not coarse:
        return failed(f"{who} is {_span(lag)} behind its primary{_resolution(found)}; wanted is {wanted}.", subject=subject, actual=lag,
                      expected=wanted, evidence=lines)
    if coarse:
        return unknown(f"Whole seconds are all that {who} tells of its lag, and wanted is {wanted}.", subject=subject, actual=lag,
                       expected=wanted, evidence=lines, severity="low")
    return passed(f"{who} is {_span(lag)} behind its primary{_resolution(found)}.", subject=subject, actual=lag, expected=wanted,
                  evidence=lines)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def _resolution(found: Mapping[str, Any]) -> str:
    said = str(found.get("resolution") or "")
    return f" (measured in steps of {said})" if said == "1 s" else f" ({said})" if said else ""


def _replica_name(one: Mapping[str, Any]) -> str:
    names = [str(one[key]) for key in ("name", "host") if one.get(key)]
    return " at ".join(dict.fromkeys(names)) or "without a name"


def _replica(one: Mapping[str, Any]) -> str:
    lag = f"{one['lag_seconds']:.3f} s" if one.get("lag_seconds") is not None else "unknown"
    bytes_behind = f", {one['lag_bytes']} bytes" if one.get("lag_bytes") is not None else ""
    slot = " (logical: not judged)" if one.get("slot") == "logical" else \
        " (replays nothing: not judged)" if one.get("state") == "streaming" and one.get("lag_bytes") is None else ""
    said = f", {one['error']}" if one.get("error") else ""
    return f"{_replica_name(one)}: {one.get('state') or 'state hidden'}, behind {lag}{bytes_behind}{slot}{said}"


@check(
    "databases.memory",
    title="Redis has memory for what is written",
    severity="medium",
    profile="standard",
    tags=("databases",),
    why="At maxmemory Redis refuses writes (`OOM command not allowed`) with the policy noeviction, its default, and with volatile-* "
        "once no key with an expiry is left; else it throws keys away before their time (Redis documentation, key eviction). Without "
        "maxmemory it grows until the kernel kills it or the host swaps; and a fork for a snapshot needs more on top.",
    judged="It fails as high where writes were refused for want of memory within a second. With noeviction it fails where `percent` of "
           "maxmemory is used. With volatile-* it fails where keys were thrown away within a second: their expiry was not "
           "reached. With allkeys-* that is what such a cache is for, and it passes. Without maxmemory it fails where `percent` of the "
           "machine's memory is resident. PostgreSQL and MySQL are not judged.",
    remediation=Remediation(
        hint="Raise maxmemory where the machine has it, give keys an expiry, or choose the policy that fits: allkeys-lru for a cache, "
             "noeviction for what must not be lost."),
    thresholds={"percent": Threshold(90, "The share of the memory that may be used.", unit="%", minimum=1, maximum=100)},
    needs=NEEDS,
)
def memory(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    percent = int(policy.threshold(memory, "percent"))
    for server, same in _once(facts):
        yield same or _memory(server, percent)
    if not _servers(facts):
        yield _nowhere()


def _memory(server: Mapping[str, Any], percent: int) -> Outcome:
    subject, who = str(server["name"]), _called(server)
    if server.get("kind") != "redis":
        return notapplicable(f"{who} is no Redis.", subject=subject)
    if (server.get("replication") or {}).get("role") == "sentinel":
        return notapplicable(f"{who} is a Sentinel: it holds no data.", subject=subject)
    found = server.get("memory")
    if server.get("error") or not found:
        return _no_figures(server, "its memory")
    used, maximum, rule = int(found["used"]), found.get("maximum"), str(found.get("policy") or "unknown")
    size = subjects.size
    evidence = [f"used_memory {size(used)}, maxmemory {size(maximum) if maximum else '0 (no limit)'}, maxmemory_policy {rule}",
                f"keys thrown away since the server's start: {found.get('evicted_total')}", *_about(server)]
    seconds = f"{found.get('sample_seconds') or 1:g} s"
    if found.get("refused_writes"):
        return failed(f"{who} refused {found['refused_writes']} commands for want of memory within {seconds} ({size(used)} of "
                      f"{size(maximum) if maximum else 'no limit'} used, {rule}); wanted is none.", subject=subject, actual=used,
                      expected="no write refused", evidence=evidence, severity="high")
    if not maximum:
        resident, system = found.get("rss"), found.get("system")
        if not resident or not system:
            return unknown(f"{who} has no maxmemory, and does not say how much memory its machine has.", subject=subject, severity="low",
                           evidence=evidence)
        share = 100.0 * resident / system
        text = f"{who} has no maxmemory, and {size(resident)} of its machine's {size(system)} are resident ({share:.0f} %)"
        if share >= percent:
            return failed(f"{text}; wanted is below {percent} %.", subject=subject, actual=resident, expected=f"below {percent} %",
                          evidence=evidence)
        return passed(f"{text}.", subject=subject, actual=resident, expected=f"below {percent} %", evidence=evidence)
    share = 100.0 * used / maximum
    text = f"{who} uses {size(used)} of {size(maximum)} ({share:.0f} %, {rule})"
    if rule.startswith("volatile") and found.get("evicted"):
        return failed(f"{text}, and threw {found['evicted']} keys away within {seconds}, before their expiry; wanted is none.",
                      subject=subject, actual=found["evicted"], expected=0, evidence=evidence)
    if rule == "noeviction" and share >= percent:
        return failed(f"{text}: at the limit it refuses every write; wanted is below {percent} %.", subject=subject, actual=used,
                      expected=f"below {percent} %", evidence=evidence)
    evicts = f", and threw {found['evicted']} keys away within {seconds}, as that policy says" if found.get("evicted") else ""
    return passed(f"{text}{evicts}.", subject=subject, actual=used, expected=f"below {percent} %" if rule == "noeviction" else None,
                  evidence=evidence)


# --------------------------------------------------------------------------------------------- the pools of the services

_REGISTER = ("Register the pool with the service's metrics: "
             'prometheus.MustRegister(collectors.NewDBStatsCollector(db, "orders")) of client_golang.')


def _pages(facts: Facts) -> list[tuple[str, Mapping[str, Any]]]:
    """The metrics pages by the subject of their service, in its order."""
    pages = [(subjects.subject_of(str(one["service"]), one.get("container")), one) for one in lookup(facts, "pools.services") or ()]
    return sorted(pages, key=lambda item: item[0])


def pool_subject(service: str, pool: str) -> str:
    """``api orders``; the service alone where its pool has no name."""
    return f"{service} {pool}".rstrip()


def _waiting_goroutines(facts: Facts, page: Mapping[str, Any]) -> int | None:
    """How many goroutines of the page's process wait in database/sql.(*DB).conn, the most of all looks; None without a look."""
    most: int | None = None
    endpoints = [*(lookup(facts, "wall.endpoints") or ()), *(lookup(facts, "runtime.endpoints") or ())]
    for endpoint in endpoints:
        if endpoint.get("pid") != page.get("pid") or page.get("pid") is None:
            continue
        waiting = {
            fingerprint for fingerprint, group in (endpoint.get("groups") or {}).items()
            if any(frame[0] == "database/sql.(*DB).conn" for frame in group.get("frames") or ())
        }
        for counts in _counts(endpoint):
            most = max(most or 0, sum(int(count) for fingerprint, count in counts.items() if fingerprint in waiting))
    return most


def _contention(facts: Facts, page: Mapping[str, Any]) -> Iterator[str]:
    """What the mutex profile has of the pool's own lock, which every query takes and gives back twice."""
    for endpoint in lookup(facts, "wall.endpoints") or ():
        if endpoint.get("pid") != page.get("pid") or page.get("pid") is None:
            continue
        delay = sum(int(site.get("delay_ns") or 0) for site in lookup(endpoint, "mutex.sites") or ()
                    if str(site.get("function")).startswith("database/sql.(*DB)."))
        if delay >= 1_000_000:
            yield f"{delay / 1e6:.0f} ms of waiting for the pool's own mutex (database/sql.(*DB)) in the mutex profile"


def _counts(endpoint: Mapping[str, Any]) -> Iterator[Mapping[str, int]]:
    for sample in endpoint.get("samples") or ():
        yield sample.get("counts") or {}
    for take in endpoint.get("takes") or ():
        if take.get("goroutines"):
            yield take["goroutines"].get("counts") or {}


@check(
    "databases.pool_wait", title="No request waits for a database connection", severity="high", profile="standard",
    why="A pool (sql.DB) with SetMaxOpenConns lets requests wait when every connection is in use. They wait without a time-out of their "
        "own, beside a database that has nothing to do: requests time out and the database's own numbers look healthy. "
        "Source: database/sql DB.conn, and sql.DBStats WaitCount and WaitDuration.",
    judged="The service's metrics page is read at the begin and the end of the window. A finding is a pool for which requests waited "
           "`mean_wait_ms` or more in the mean, or one whose connections were all in use at both readings while requests waited and "
           "none of them got one. Fewer than `few` waits in the window are of severity low, unless somebody waited all the time: one slow "
           "query makes them. The mean is that of the requests that waited, and 20 ms are some ten round trips in a data centre: a queue, "
           "and not the moment that another request's query still took. Not applicable: a service without a metrics page, or whose page "
           "has no go_sql_*.",
    needs=("pools.services",),
    thresholds={
        "mean_wait_ms": Threshold(20.0, "The mean wait of a request that waited for a connection.", unit="ms", minimum=0.1, maximum=60000),
        "few": Threshold(5, "Fewer waits in the window than these are of severity low.", minimum=1, maximum=10000),
    },
    remediation=Remediation(
        hint="Find what keeps the connections first: a query that is slow, rows or a transaction that is not closed (rows.Close, "
             "tx.Rollback). Then raise SetMaxOpenConns, as far as the server's limit allows for all hosts together "
             "(databases.fleet_pool), and give each request a deadline (QueryContext)."),
)
def pool_wait(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    pages = _pages(facts)
    known = {subject for subject, _page in pages}
    for declared in policy.services:
        if declared["name"] not in {str(page["service"]) for _subject, page in pages}:
            yield notapplicable("No metrics page of it is known: declare it as `metrics` in preflight_services.", subject=declared["name"])
    if not known and not policy.services:
        yield notapplicable("No service of this host is known to have a metrics page.")
    for subject, page in pages:
        error = page.get("error")
        if error:
            yield unknown(f"What {subject} waits for is not known: {page.get('url')}: {error.get('message')}.", subject=subject,
                          severity=None if page.get("declared") else "info")
        elif not page.get("pools"):
            yield notapplicable(f"{page.get('url')} has no go_sql_* metrics. {_REGISTER}", subject=subject)
        else:
            for pool in page["pools"]:
                yield _pool(facts, policy, pool_subject(subject, str(pool["name"])), page, pool)


def _in_use(pool: Mapping[str, Any]) -> str:
    used, limit = pool.get("in_use"), pool.get("max_open")
    return f"{used} of {limit} connections" if limit else f"{used} connections (unbounded)"


def _pool(facts: Facts, policy: Policy, subject: str, page: Mapping[str, Any], pool: Mapping[str, Any]) -> Outcome:
    waits, waited, limit, seconds = pool.get("waits"), pool.get("wait_seconds"), pool.get("max_open"), float(page["seconds"])
    if waits is None or waited is None:
        return unknown(f"{page.get('url')} does not count waits for this pool.", subject=subject, severity="info")
    waiting = _waiting_goroutines(facts, page)
    http = page.get("http") or {}
    evidence = [f"{page.get('url')}, {seconds:g} s: {waits} waits, {waited:.2f} s together; "
                f"{_in_use(pool)} in use"]
    if http.get("requests") and waited:
        evidence.append(f"{http['requests']} requests took {float(http['seconds']):.2f} s together ({http['family']}): "
                        f"{min(1.0, waited / float(http['seconds'])) if http['seconds'] else 1.0:.0%} of it was this wait")
    if waiting:
        evidence.append(f"{waiting} goroutine{'s' if waiting > 1 else ''} at once in database/sql.(*DB).conn")
    evidence.extend(_contention(facts, page))
    # A wait is counted when it begins and its time when it ends: without a new one, somebody waits since before the window.
    mean = waited * 1000 / max(waits, 1)
    allowed = float(policy.threshold("databases.pool_wait", "mean_wait_ms", 20.0))
    found = {"waits": waits, "wait_seconds": waited, "in_use": pool.get("in_use"), "max_open": limit, "seconds": seconds}
    wanted = f"a mean wait below {allowed:g} ms"
    few = waits < int(policy.threshold("databases.pool_wait", "few", 5)) and waited < seconds
    # Requests for all pools of a process wait in one function.
    another = any(one is not pool and (one.get("waits") or one.get("wait_seconds")) for one in page["pools"])
    mine = 0 if another else waiting or 0
    # Who waits all the time is counted neither as a new wait nor with what it has waited.
    if pool.get("full") and not waited and (waits or mine):
        return failed(f"All {limit} connections of the pool were in use for {seconds:g} s, and of {max(waits, mine)} requests that "
                      "wait for one none got it.", subject=subject, actual=found, expected=wanted, evidence=evidence)
    if mean >= allowed:
        of = f"one of {limit} connections" if limit else "a connection"
        said = f"{waits} request{'s' if waits > 1 else ''} waited {mean:.0f} ms in the mean for {of} within {seconds:g} s; it should be " \
               f"below {allowed:g} ms." if waits else \
               f"Requests waited {waited:.1f} s together for {of} within {seconds:g} s, all of them since before that; a wait should be " \
               f"below {allowed:g} ms."
        return failed(said, subject=subject, actual=found, expected=wanted, evidence=evidence, severity="low" if few else None)
    if pool.get("full") and (waiting is None or waiting > mine) and not waits and not waited:
        why = "only a goroutine profile (pprof) tells whether some wait since before" if waiting is None else \
            "goroutines wait, and their profile does not say for which pool"
        return unknown(f"All {limit} connections of the pool were in use at both readings, {seconds:g} s apart, and no request came for "
                       f"one: {why}.", subject=subject, actual=found, expected=wanted, evidence=evidence, severity="low")
    if waits:
        return passed(f"{waits} request{'s' if waits > 1 else ''} waited {mean:.1f} ms in the mean for a connection within {seconds:g} s; "
                      f"{allowed:g} ms are allowed.", subject=subject, actual=found, expected=wanted, evidence=evidence)
    return passed(f"No request waited for a connection within {seconds:g} s; {_in_use(pool)} were in use.",
                  subject=subject, actual=found, expected=wanted, evidence=evidence)


@check(
    "databases.fleet_pool", title="All pools of the fleet together fit into their database server", severity="high", profile="standard",
    why="Every instance of a service may open as many connections as its pool allows. That fits on one host and is too much when ten "
        "of them are under load at once: the server refuses further connections (PostgreSQL \"sorry, too many clients already\", "
        "MySQL error 1040), first those of whoever comes last. No host can see that alone. "
        "Source: PostgreSQL max_connections, superuser_reserved_connections; MySQL max_connections; sql.DB SetMaxOpenConns.",
    judged="When the report is made, the upper bounds of all pools of all hosts are added up for each server and compared with its limit "
           "less the reserved connections, of which `percent` may be taken. Two addresses are one server where it says the same of "
           "itself. A pool belongs to the database of preflight_databases that has the name of its label db_name; else to the one "
           "that lists its service; else to the service's one database in depends_on. A pool without an upper bound is a finding of "
           "severity low. Hosts and pools of which nothing is known make it unknown, unless it is too much already. Behind a "
           "connection pooler (PgBouncer) the sum says nothing of the server: where PostgreSQL was asked at another port than it "
           "listens at, what is too much with such pools alone is unknown (low). A pooler that cannot be told so is to be waived.",
    needs=("pools.services", "databases.servers"), fleet=True,
    thresholds={"percent": Threshold(100, "The share of the server's connections that all pools may take.", unit="%",
                                     minimum=1, maximum=1000)},
    remediation=Remediation(
        hint="Lower SetMaxOpenConns so that the sum over all instances stays below the server's limit, or raise the limit (and the "
             "server's memory), or put a connection pooler between them."),
)
def fleet_pool(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    if any(page.get("pools") for _subject, page in _pages(facts)):
        yield notapplicable("The report answers it from what all hosts said.")
    else:
        yield notapplicable("No pool of a service of this host is known.")
