# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL 10 and newer: what is asked, and what the answers mean. Pure: text of psql in, facts out.

Everything is one read-only transaction. Its settings are SET LOCAL, not startup options: a pooler in transaction mode gives the
server's connection to the service afterwards, and a plain SET would go with it; PgBouncer refuses startup options altogether
(its ignore_startup_parameters). The search path is pg_catalog alone, so that nobody's function of the same name is called.

Columns and settings that only newer servers have are read through ``to_jsonb(row) ->> 'column'``: one text of SQL fits all.
"""
from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.goready.preflight.plugins.module_utils.databases.target import (
    APPLICATION, GROUPS, LISTED, Answers, Failure, mapping, number, rows, seconds, whole, words,
)

PACKAGE = "postgresql-client"
RIGHT = "pg_monitor"

_SETTINGS = ("max_connections", "superuser_reserved_connections", "reserved_connections", "idle_in_transaction_session_timeout",
             "recovery_min_apply_delay", "autovacuum_max_workers", "max_parallel_workers")
# A client's session, as far as one is allowed to see it: of others' sessions the type is hidden from who lacks pg_read_all_stats,
# the database is not.
_CLIENT = ("a.pid <> pg_backend_pid() and coalesce(a.application_name, '') <> '%s' and a.datid is not null"
           " and coalesce(to_jsonb(a) ->> 'backend_type', 'client backend') = 'client backend'" % APPLICATION)
_WHO = "a.pid, a.usename::text as \"user\", a.datname::text as database, a.application_name as application, host(a.client_addr) as host"

_SERVER = """
select json_build_object('q', 'server', 'v', json_build_object(
  'version', current_setting('server_version'), 'number', current_setting('server_version_num')::int,
  'recovery', pg_is_in_recovery(), 'user', current_user, 'database', current_database(),
  'address', host(inet_server_addr()), 'port', inet_server_port(),
  'started', round(extract(epoch from pg_postmaster_start_time())::numeric, 6)::text,
  'sees_all', exists (select 1 from pg_roles where rolname = current_user and rolsuper)
           or exists (select 1 from pg_roles where rolname = 'pg_read_all_stats' and pg_has_role(oid, 'usage')),
  'settings', (select json_object_agg(name, setting) from pg_settings where name in (%s))))
""" % ", ".join("'%s'" % name for name in _SETTINGS)

_IDENTITY = "select json_build_object('q', 'identity', 'v', (select system_identifier::text from pg_control_system()))"

# datid: every client's session has a database; only WAL senders of physical replication and the server's own workers have none.
_SESSIONS = """
with s as (select a.*, to_jsonb(a) ->> 'backend_type' as type from pg_stat_activity a where %(client)s)
select json_build_object('q', 'sessions', 'v', json_build_object(
  'total', (select count(*) from s), 'hidden', (select count(*) from s where type is null),
  'walsenders', (select count(*) from pg_stat_activity w where to_jsonb(w) ->> 'backend_type' = 'walsender'),
  'by', (select json_agg(g) from (
      select application_name as application, usename::text as "user", datname::text as database, host(client_addr) as host, state,
             count(*) as count
        from s group by 1, 2, 3, 4, 5 order by 6 desc, 1, 2, 3, 4, 5 limit %(groups)d) g),
  'roles', (select json_agg(r) from (
      select rolname::text as name, rolconnlimit as "limit", (select count(*) from s where s.usesysid = p.oid) as used
        from pg_roles p where rolconnlimit > 0 and rolcanlogin and not rolsuper order by 1 limit %(groups)d) r),
  'databases', (select json_agg(d) from (
      select datname::text as name, datconnlimit as "limit", (select count(*) from s where s.datid = p.oid) as used
        from pg_database p where datconnlimit > 0 order by 1 limit %(groups)d) d)))
""" % {"client": _CLIENT, "groups": GROUPS}

_IDLE = """
with s as (select %(who)s, a.state, extract(epoch from clock_timestamp() - a.state_change) as seconds,
                  extract(epoch from clock_timestamp() - a.xact_start) as transaction_seconds, a.backend_xid is not null as writes
             from pg_stat_activity a
            where %(client)s and a.state in ('idle in transaction', 'idle in transaction (aborted)'))
select json_build_object('q', 'idle', 'v', json_build_object(
  'count', (select count(*) from s), 'oldest', (select json_agg(o) from (select * from s order by seconds desc limit %(listed)d) o)))
""" % {"who": _WHO, "client": _CLIENT, "listed": LISTED}

_LONGEST = """
select json_build_object('q', 'longest', 'v', (select json_agg(o) from (
  select %(who)s, extract(epoch from clock_timestamp() - a.query_start) as seconds,
         concat_ws(': ', a.wait_event_type, a.wait_event) as waits_for
    from pg_stat_activity a where %(client)s and a.state = 'active' order by a.query_start limit 3) o))
""" % {"who": _WHO, "client": _CLIENT}

# pg_locks.waitstart is there from 14 on, and is set a moment after the wait began. Before that the statement's begin is the earliest.
_LOCKS = """
with w as (
  select %(who)s, l.locktype, l.mode, to_jsonb(l) ->> 'waitstart' is not null as exact,
         extract(epoch from clock_timestamp() - coalesce((to_jsonb(l) ->> 'waitstart')::timestamptz, a.query_start)) as seconds,
         case when l.relation is not null and l.database in (0, (select oid from pg_database where datname = current_database()))
              then l.relation::regclass::text end as relation,
         pg_blocking_pids(l.pid) as blocked_by
    from pg_locks l join pg_stat_activity a on a.pid = l.pid
   where not l.granted and %(client)s
   order by seconds desc nulls last limit %(listed)d)
select json_build_object('q', 'locks', 'v', json_build_object(
  'count', (select count(*) from pg_locks where not granted), 'waiting', (select json_agg(w) from w),
  'blockers', (select json_agg(b) from (
      select %(who)s, a.state, extract(epoch from clock_timestamp() - a.xact_start) as transaction_seconds
        from pg_stat_activity a where a.pid in (select unnest(blocked_by) from w)) b)))
""" % {"who": _WHO, "client": _CLIENT, "listed": LISTED}

_SENDERS = """
select json_build_object('q', 'senders', 'v', (select json_agg(s) from (
  select application_name as application, host(client_addr) as host, state, sync_state as sync,
         extract(epoch from replay_lag) as seconds,
         pg_wal_lsn_diff(case when not pg_is_in_recovery() then pg_current_wal_lsn()
                              else coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) end, replay_lsn) as bytes,
         (select slot_type from pg_replication_slots p where p.active_pid = r.pid) as slot
    from pg_stat_replication r order by 6 desc nulls last limit %d) s))
""" % LISTED

_STANDBY = """
select json_build_object('q', 'standby', 'v', case when pg_is_in_recovery() then json_build_object(
  'bytes', pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()),
  'received', pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0'),
  'replayed_seconds', extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()),
  'paused', pg_is_wal_replay_paused(),
  'receiver', exists (select 1 from pg_stat_wal_receiver),
  'status', (select status from pg_stat_wal_receiver limit 1),
  'streams', (select setting <> '' from pg_settings where name = 'primary_conninfo')) end)
"""

# What was received a second ago is replayed by now, or it is not: now() - pg_last_xact_replay_timestamp() alone is the age of a commit,
# and as old as the primary was idle.
_PAUSE = """
select json_build_object('q', 'pause', 'v', case when pg_is_in_recovery()
  and pg_last_wal_receive_lsn() is distinct from pg_last_wal_replay_lsn() then pg_sleep(1)::text end)
"""
_REPLAYED = """
select json_build_object('q', 'replayed', 'v', case when pg_is_in_recovery() then pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') end)
"""

#: (name, SQL, what is missing without it and which right would give it).
QUERIES: Tuple[Tuple[str, str, str], ...] = (
    ("server", _SERVER, "the server's limits"),
    ("identity", _IDENTITY, "pg_control_system() (which two names are one server)"),
    ("sessions", _SESSIONS, "pg_stat_activity"),
    ("idle", _IDLE, "idle transactions (pg_stat_activity)"),
    ("longest", _LONGEST, "running statements (pg_stat_activity)"),
    ("locks", _LOCKS, "pg_locks"),
    ("senders", _SENDERS, "pg_stat_replication"),
    ("standby", _STANDBY, "pg_stat_wal_receiver"),
    ("pause", _PAUSE, "pg_sleep()"),
    ("replayed", _REPLAYED, "pg_last_wal_replay_lsn()"),
)


def begin(milliseconds: int) -> str:
    """The transaction's beginning: read-only, no statement above ``milliseconds``, no waiting for anybody's lock."""
    return ("begin isolation level read committed read only; set local statement_timeout = %d; set local lock_timeout = 1000; "
            "set local search_path = pg_catalog; set local client_min_messages = error" % milliseconds)


def one_line(sql: str) -> str:
    return " ".join(sql.split())


def arguments(milliseconds: int) -> List[str]:
    """psql's: no start-up file, bare values, no prompt, a query that is refused costs itself alone (psql(1), ON_ERROR_ROLLBACK)."""
    argv = ["-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_ROLLBACK=on", "-v", "VERBOSITY=verbose", "-c", begin(milliseconds)]
    for _name, sql, _missing in QUERIES:
        argv += ["-c", one_line(sql)]
    return argv + ["-c", "commit"]


def answers(out: str, err: str) -> Answers:
    """The JSON values of psql's output, and the errors of the queries that gave none, told apart by their order."""
    found = Answers()
    # Two megabytes of digits keep int() busy for a minute before Python 3.11; what has so many is no number for target.number().
    decoder = json.JSONDecoder(parse_int=lambda digits: int(digits[:40]))
    position = out.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(out, position)
        except (ValueError, RecursionError):
            break
        if isinstance(value, dict) and isinstance(value.get("q"), str):
            found.values[value["q"]] = value.get("v")
        position = out.find("{", end)
    # VERBOSITY=verbose: "ERROR:  42501: permission denied for view pg_stat_activity". The first word may be translated, the code not.
    told = re.findall(r"(?m)^\S{1,20}\s{1,3}([0-9A-Z]{5}): (.{0,500})", err)
    missing = [name for name, _sql, _missing in QUERIES if name not in found.values]
    for name, (code, message) in zip(missing, told if len(told) == len(missing) else []):
        found.errors[name] = (code, message)
    for name in missing:
        found.errors.setdefault(name, ("", words(err, 200) or "no answer"))
    return found


# What libpq (English, by LC_ALL=C) and the server (by its lc_messages, mostly English) say, and which kind of error that is.
# libpq: src/interfaces/libpq/fe-connect.c, fe-auth*.c; server: src/backend/{postmaster,utils/init/postinit.c,libpq}.
_KINDS: Tuple[Tuple[str, str], ...] = (
    ("resolve", r"could not translate host name"),
    ("full", r"too many clients already|remaining connection slots are reserved|no more connections allowed|too many connections"),
    ("starting", r"the database system is (?:starting up|shutting down|in recovery mode|not (?:yet )?accepting connections)"),
    ("timeout", r"timeout expired|Connection timed out|query_wait_timeout"),
    ("pooling", r"statement pooling mode"),
    ("role", r"session is (?:not )?read-only|server is (?:not )?in hot standby mode|could not make a writable connection"),
    # The client's own: it was not sent, or the host does not let us read it.
    ("exception", r"private key file|could not (?:load|read) (?:private key|certificate) file"),
    ("auth", r"requires a valid client certificate"),
    ("closed", r"invalid response to SSL negotiation"),  # another kind of server
    ("tls", r"certificate|SSL|\bTLS\b"),
    ("database", r"database \"[^\"]{0,200}\" does not exist|no such database"),
    ("denied", r"permission denied for database|no pg_hba\.conf entry|pg_hba\.conf rejects|not permitted to log in|"
               r"is not currently accepting"),
    ("auth", r"authentication failed|no password supplied|role \"[^\"]{0,200}\" does not exist|password authentication|"
             r"authentication method|no such user|SASL|server requested"),
    ("refused", r"Connection refused|No such file or directory"),
    ("unreachable", r"No route to host|Network is unreachable|Host is down|Permission denied"),
    ("closed", r"server closed the connection|Connection reset|terminating connection|connection to server was lost|EOF detected"),
)


def failure(rc: int, err: str, secret: str = "") -> Failure:
    """Why psql brought nothing at all."""
    told = "\n".join(line for line in err.splitlines() if not line.startswith("perl:"))
    kind = next((kind for kind, pattern in _KINDS if re.search(pattern, told)), "")
    if kind == "tls" and re.search(r"pg_hba\.conf|authentication failed", told):
        # libpq tries again without TLS (sslmode=prefer) and tells of both; pg_hba.conf's line ends with "SSL off" or "SSL encryption".
        kind = "denied" if "pg_hba.conf" in told else "auth"
    if kind == "full" and re.search(r"for (?:role|database) \"", told):
        kind = "full_own"
    if not kind:
        kind = "failed" if "FATAL" in told else "exception"
    return Failure(kind, _sentence(told, secret) or "psql ended with %d" % rc)


def _sentence(told: str, secret: str) -> str:
    """The line that says most: the last of the server's own, else the first."""
    lines = [re.sub(r"^psql: (?:error: )?", "", line.strip()) for line in told.splitlines() if line.strip()]
    lines = list(dict.fromkeys(lines))
    fatal = [line for line in lines if "FATAL" in line]
    warning = [line for line in lines if line.startswith("WARNING")]
    chosen = fatal[-1:] or [line for line in lines if line not in warning][:1]
    # "connection to server at "db1" (10.0.0.5), port 5432 failed: FATAL:  ..."
    text = "; ".join(re.sub(r"^connection to server (?:at|on) .{1,300}? failed: ", "", line) for line in chosen + warning[:1])
    return words(re.sub(r"FATAL:\s+(?:[0-9A-Z]{5}: )?", "", text), 300, secret)


# ------------------------------------------------------------------------------------------------------------- what it means

def facts(found: Answers, secret: str = "") -> Dict[str, Any]:
    """The part of a server's facts that its answers give. What is missing is null and named in ``unreadable``."""
    server = mapping(found.values.get("server"))
    settings = mapping(server.get("settings"))
    unreadable = []
    for name, _sql, missing in QUERIES:
        if name in found.errors:
            code, message = found.errors[name]
            unreadable.append("%s: %s%s" % (missing, words(message, 160, secret), " (SQLSTATE %s)" % code if code else ""))
    if server and not server.get("sees_all"):
        unreadable.append("sessions of other users: state and host are hidden from %s, who is no member of %s"
                          % (words(server.get("user")), RIGHT))
    idle = mapping(found.values.get("idle"))
    locks = mapping(found.values.get("locks"))
    longest = [_session(one) for one in rows(found.values.get("longest"))]
    return {
        "version": words(server["version"], 60) if server.get("version") else None,
        "login": words(server.get("user", "")) or None,
        "sees_all": bool(server.get("sees_all")) if server else None,
        "answered_by": {"address": words(server["address"]), "port": whole(server.get("port"))} if server.get("address") else None,
        "server_id": _identity(found, server),
        "connections": _connections(found, server, settings),
        "idle_in_transaction": None if "idle" in found.errors else [
            {**_session(one), "transaction_seconds": seconds(one.get("transaction_seconds")), "writes": bool(one.get("writes")),
             "state": words(one.get("state"))} for one in rows(idle.get("oldest"))],
        "idle_in_transaction_count": whole(idle.get("count")),
        "idle_in_transaction_limit": _milliseconds(settings.get("idle_in_transaction_session_timeout")),
        "longest": longest[0] if longest else None,
        "lock_waits": None if "locks" in found.errors else _lock_waits(locks),
        "replication": _replication(found, server, settings),
        "memory": None,
        "clients": None,
        "unreadable": unreadable,
    }


def _identity(found: Answers, server: Mapping[str, Any]) -> Optional[str]:
    """A standby has its primary's system identifier; when the postmaster started tells them apart."""
    if not server.get("started"):
        return None
    identifier = found.values.get("identity")
    return "%s started %s" % (words(identifier, 40) if identifier else "a server", words(server["started"], 40))


def _session(one: Mapping[str, Any]) -> Dict[str, Any]:
    session = {
        "pid": whole(one.get("pid")), "user": words(one.get("user") or ""), "application": words(one.get("application") or ""),
        "database": words(one.get("database") or ""), "host": words(one.get("host") or ""), "seconds": seconds(one.get("seconds")),
    }
    if one.get("waits_for"):
        session["waits_for"] = words(one["waits_for"])
    return session


def _milliseconds(value: Any) -> Optional[float]:
    """A setting in milliseconds as seconds; None where it is 0 (off)."""
    found = number(value)
    return found / 1000 if found else None


def _connections(found: Answers, server: Mapping[str, Any], settings: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    sessions = mapping(found.values.get("sessions"))
    maximum, used = whole(settings.get("max_connections")), whole(sessions.get("total"))
    if maximum is None or used is None:
        return None
    reserved = sum(whole(settings.get(name)) or 0 for name in ("superuser_reserved_connections", "reserved_connections"))
    if (whole(server.get("number")) or 0) < 120000:
        used += whole(sessions.get("walsenders")) or 0  # they take of max_connections until 11 (release notes of 12)
    # Among sessions of a hidden type there may be workers of the server's own.
    workers = sum(whole(settings.get(name)) or 0 for name in ("autovacuum_max_workers", "max_parallel_workers"))
    return {
        "used": used, "limit": max(0, maximum - reserved), "maximum": maximum, "reserved": reserved,
        "uncertain": min(whole(sessions.get("hidden")) or 0, workers) if not server.get("sees_all") else 0,
        "by": [{**{key: words(one.get(key) or "") for key in ("application", "user", "database", "host", "state")},
                "count": whole(one.get("count")) or 0} for one in rows(sessions.get("by"))],
        "own_limits": [
            {"of": "%s %s" % (kind, words(one.get("name"))), "used": whole(one.get("used")) or 0, "limit": whole(one.get("limit")) or 0}
            for kind, key in (("role", "roles"), ("database", "databases")) for one in rows(sessions.get(key))],
        "peak": None, "refused": None,
    }


def _lock_waits(locks: Mapping[str, Any]) -> List[Dict[str, Any]]:
    blockers = {whole(one.get("pid")): one for one in rows(locks.get("blockers"))}
    waits = []
    for one in rows(locks.get("waiting")):
        mode = words(one.get("mode") or "")
        lock = words(one.get("locktype") or "lock")
        relation = words(one.get("relation") or "")
        pids = one.get("blocked_by")
        waits.append({
            **_session(one), "exact": bool(one.get("exact")), "kind": lock,
            "on": " ".join(word for word in (mode, "on", lock, relation) if word) if mode else lock,
            "blocked_by": [_blocker(pid, blockers.get(whole(pid), {})) for pid in (pids if isinstance(pids, list) else [])[:LISTED]],
        })
    return waits


def _blocker(pid: Any, one: Mapping[str, Any]) -> Dict[str, Any]:
    return {"pid": whole(pid), "user": words(one.get("user") or ""), "application": words(one.get("application") or ""),
            "host": words(one.get("host") or ""), "state": words(one.get("state") or ""),
            "transaction_seconds": seconds(one.get("transaction_seconds"))}


def _replication(found: Answers, server: Mapping[str, Any], settings: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    if not server:
        return None
    replicas = []
    for one in rows(found.values.get("senders")):
        bytes_behind, behind = whole(one.get("bytes")), seconds(one.get("seconds"))
        if bytes_behind is None:
            behind = None  # it replays nothing (pg_receivewal, barman): its replay_lag is the time since it connected
        elif behind is None and bytes_behind == 0:
            behind = 0.0  # monitoring-stats: null where the standby has caught up and nothing is written
        replicas.append({
            "name": words(one.get("application") or ""), "host": words(one.get("host") or ""), "state": words(one.get("state") or ""),
            "sync": words(one.get("sync") or ""), "slot": words(one.get("slot") or ""), "lag_seconds": behind, "lag_bytes": bytes_behind,
        })
    common: Dict[str, Any] = {"role": "primary", "lag_seconds": None, "lag_bytes": None, "resolution": "", "state": "", "note": "",
                              "delay": None, "replicas": replicas}
    if not server.get("recovery"):
        return common
    standby = mapping(found.values.get("standby"))
    behind_bytes, replayed = whole(standby.get("bytes")), seconds(standby.get("replayed_seconds"))
    common.update(role="standby", lag_bytes=behind_bytes, delay=_milliseconds(settings.get("recovery_min_apply_delay")))
    if standby.get("paused"):
        common.update(state="paused", lag_seconds=replayed, note="the replay is paused (pg_wal_replay_pause)")
    elif standby.get("receiver"):
        common["state"] = words(standby.get("status") or "receiving")
        received, now_replayed = number(standby.get("received")), number(found.values.get("replayed"))
        if behind_bytes == 0:
            common.update(lag_seconds=0.0, note="everything received is replayed")
        elif received is not None and now_replayed is not None and now_replayed >= received:
            common.update(lag_seconds=1.0, resolution="1 s", note="what was received is replayed within 1 s")
        elif behind_bytes is not None:
            common.update(lag_seconds=replayed, resolution="the age of the last commit that was replayed",
                          note="%d bytes are received and not replayed" % behind_bytes)
    elif standby and standby.get("streams") is None:
        # pg_settings shows primary_conninfo to pg_read_all_settings alone, and knows it from 12 on.
        common.update(state="no receiver", note="no WAL receiver runs, and whether one should is not shown")
    elif standby:
        common.update(state="disconnected" if standby.get("streams") else "archive", lag_seconds=replayed,
                      resolution="the age of the last commit that was replayed",
                      note="no WAL receiver runs" if standby.get("streams") else "it is fed from an archive, not streamed")
    return common
