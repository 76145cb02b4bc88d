# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL 5.7 and newer, MariaDB 10.3 and newer: what is asked, and what the answers mean. Pure: text of the client in, facts out.

The two differ in what they call things. Both names are asked for, one is refused, and only where both are is something missing.
"""
from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.goready.preflight.plugins.module_utils.databases.target import (
    APPLICATION, GROUPS, LISTED, Answers, Failure, mapping, number, rows, seconds, whole, words,
)

PACKAGE = "default-mysql-client"
MARK = "@" + APPLICATION
#: Seconds between two looks at the counters.
SAMPLE = 1

_STATUS = ("'Threads_connected', 'Threads_running', 'Max_used_connections', 'Connection_errors_max_connections', 'Aborted_connects', "
           "'Uptime', 'Innodb_row_lock_current_waits'")
_VARIABLES = ("'version', 'version_comment', 'hostname', 'port', 'server_id', 'server_uuid', 'server_uid', 'datadir', 'max_connections', "
              "'max_user_connections', 'read_only', 'innodb_lock_wait_timeout', 'performance_schema'")
_WHO = ("p.id as pid, p.user as user, substring_index(p.host, ':', 1) as host, coalesce(p.db, '') as db, p.command as command, "
        "p.time as seconds")
# What every look of this collection's, from whatever host, has in its text.
_OURS = "coalesce(p.info, '') not like '%%%s%%'" % APPLICATION

#: (name, SQL). A name that ends in digits is one of several ways to the same; the first that is not refused counts.
QUERIES: Tuple[Tuple[str, str], ...] = (
    ("limit1", "set session max_statement_time = %(seconds)d"),        # MariaDB
    ("limit2", "set session max_execution_time = %(milliseconds)d"),   # MySQL
    ("limit3", "set session lock_wait_timeout = 2, time_zone = 'SYSTEM', sql_mode = ''"),
    ("begin", "set session transaction read only"),
    ("variables", "show global variables where variable_name in (%s)" % _VARIABLES),
    ("status", "show global status where variable_name in (%s)" % _STATUS),
    ("login", "select current_user() as login, database() as db"),
    ("sessions", "select p.user as user, substring_index(p.host, ':', 1) as host, coalesce(p.db, '') as db, p.command as command,"
                 " count(*) as count from information_schema.processlist p where p.id <> connection_id() and %s"
                 " group by 1, 2, 3, 4 order by 5 desc, 1, 2, 3, 4 limit %d" % (_OURS, GROUPS)),
    ("ours", "select count(*) as count from information_schema.processlist p where not (%s)" % _OURS),
    # In the server's own time zone, as trx_started is.
    ("transactions", "select %s, timestampdiff(microsecond, t.trx_started, sysdate(6)) / 1000000 as transaction_seconds,"
                     " t.trx_rows_modified as modified from information_schema.innodb_trx t"
                     " join information_schema.processlist p on p.id = t.trx_mysql_thread_id"
                     " where p.id <> connection_id() and p.command = 'Sleep' order by p.time desc limit %d" % (_WHO, LISTED)),
    ("longest", "select %s, coalesce(p.state, '') as state from information_schema.processlist p where p.command in ('Query', 'Execute')"
                " and p.id <> connection_id() and %s order by p.time desc limit 3" % (_WHO, _OURS)),
    ("waits", "select %s, timestampdiff(microsecond, t.trx_wait_started, sysdate(6)) / 1000000 as waited,"
              " coalesce(t.trx_operation_state, '') as state from information_schema.innodb_trx t"
              " join information_schema.processlist p on p.id = t.trx_mysql_thread_id"
              " where t.trx_state = 'LOCK WAIT' order by waited desc limit %d" % (_WHO, LISTED)),
    # Metadata locks: an ALTER TABLE waits for a transaction that has read the table, and everybody else for the ALTER.
    ("metadata", "select %s, p.time as waited, p.state as state from information_schema.processlist p"
                 " where (p.state like 'Waiting for%%lock' or p.state = 'Waiting for table flush') and p.command in ('Query', 'Execute')"
                 " order by p.time desc limit %d" % (_WHO, LISTED)),
    ("blockers1", "select r.trx_mysql_thread_id as waiting, b.trx_mysql_thread_id as pid, p.user as user,"
                  " substring_index(p.host, ':', 1) as host, p.command as command,"
                  " timestampdiff(microsecond, b.trx_started, sysdate(6)) / 1000000 as transaction_seconds"
                  " from performance_schema.data_lock_waits w"
                  " join information_schema.innodb_trx r on r.trx_id = w.requesting_engine_transaction_id"
                  " join information_schema.innodb_trx b on b.trx_id = w.blocking_engine_transaction_id"
                  " left join information_schema.processlist p on p.id = b.trx_mysql_thread_id limit 200"),
    ("blockers2", "select r.trx_mysql_thread_id as waiting, b.trx_mysql_thread_id as pid, p.user as user,"
                  " substring_index(p.host, ':', 1) as host, p.command as command,"
                  " timestampdiff(microsecond, b.trx_started, sysdate(6)) / 1000000 as transaction_seconds"
                  " from information_schema.innodb_lock_waits w"
                  " join information_schema.innodb_trx r on r.trx_id = w.requesting_trx_id"
                  " join information_schema.innodb_trx b on b.trx_id = w.blocking_trx_id"
                  " left join information_schema.processlist p on p.id = b.trx_mysql_thread_id limit 200"),
    ("replica1", "show all slaves status"),   # MariaDB, with several primaries
    ("replica2", "show replica status"),      # MySQL from 8.0.22 on
    ("replica3", "show slave status"),
    ("pause", "select sleep(%d) as slept, '%s' as name" % (SAMPLE, APPLICATION)),
    ("status_after", "show global status where variable_name in (%s)" % _STATUS),
)

# What is missing where a query was refused, and the right that gives it.
_MISSING: Mapping[str, str] = {
    "sessions": "the process list", "transactions": "open transactions (right PROCESS)", "waits": "lock waits (right PROCESS)",
    "replica": "replication (right REPLICATION CLIENT, in MariaDB SLAVE MONITOR)", "variables": "the server's limits",
    "status": "the server's counters",
}


def statements(limit_seconds: float) -> List[str]:
    values = {"seconds": max(1, int(limit_seconds)), "milliseconds": max(1000, int(limit_seconds * 1000))}
    return [sql % values if name.startswith("limit") and "%(" in sql else sql for name, sql in QUERIES]


def script(limit_seconds: float) -> str:
    """All of it for the client's standard input: two lines a query, of which the first says whose answer follows."""
    lines = []
    for (name, _sql), statement in zip(QUERIES, statements(limit_seconds)):
        lines += ["select '%s' as '%s';" % (name, MARK), " ".join(statement.split()) + ";"]
    return "\n".join(lines)


_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def _cell(text: str) -> Optional[str]:
    """One value of --batch: escaped, and NULL by its name."""
    if text == "NULL":
        return None
    return re.sub(r"\\([nt0\\])", lambda match: _ESCAPES[match.group(1)], text) if "\\" in text else text


def answers(out: str, err: str) -> Answers:
    """The rows of each query from what ``mysql --batch`` printed, and the errors by the line of :func:`script` that they name."""
    found = Answers()
    name, header = "", None  # type: str, Optional[List[str]]
    lines = iter(out.split("\n"))
    for line in lines:
        if line == MARK:
            name, header = next(lines, ""), None
            found.values[name] = []
            continue
        if not name or not line:
            continue
        cells = line.split("\t")
        if header is None:
            header = cells
        elif len(cells) == len(header):
            found.values[name].append({key.lower(): _cell(cell) for key, cell in zip(header, cells)})
    # "ERROR 1227 (42000) at line 12: Access denied; you need (at least one of) the PROCESS privilege(s) for this operation"
    for match in re.finditer(r"(?m)^ERROR (\d{3,5}) \(\w{5}\) at line (\d{1,4}): (.{0,500})", err):
        index = (int(match.group(2)) - 1) // 2
        if index < len(QUERIES):
            found.values.pop(QUERIES[index][0], None)
            found.errors[QUERIES[index][0]] = (match.group(1), match.group(3))
    for one, _sql in QUERIES:
        if one not in found.values:
            found.errors.setdefault(one, ("", "no answer"))
    return found


# Error codes of the server (mysqld_error.h) and of the client's library (errmsg.h).
_CODES: Mapping[int, str] = {
    1040: "full", 1203: "full_own", 1226: "full_own", 1045: "auth", 1044: "denied", 1130: "forbidden", 1129: "forbidden", 1049: "database",
    1053: "starting", 1698: "auth", 2061: "auth", 2059: "auth", 1251: "auth", 1862: "auth", 1820: "auth", 3159: "tls",
    2026: "tls", 2005: "resolve", 2006: "closed", 2013: "closed", 2012: "closed", 4151: "denied", 3118: "denied",
}


def failure(rc: int, err: str, secret: str = "", *, quick: bool = True) -> Failure:
    """Why the client brought nothing at all. ``quick``: it ended before its own deadline, so a connection was refused, not awaited."""
    match = re.search(r"(?m)^ERROR (\d{4,5})(?: \(\w{5}\))?:? ?(.*)$", err)
    if match is None:
        return Failure("exception", words(err, 300, secret) or "the client ended with %d" % rc)
    # What a server says before TLS begins (that it is full) MariaDB's client wraps into an error of its own.
    match = re.search(r"before completion of TLS handshake\..{1,100}?: (\d{4,5}) - (.*)", match.group(2)) or match
    code, message = int(match.group(1)), words(re.sub(r" \(using password: (?:YES|NO)\)", "", match.group(2)), 300, secret)
    kind = _CODES.get(code, "failed" if code < 2000 or code >= 3000 else "exception")
    if code in (2002, 2003, 2004, 2013):
        # The system's errno: "Can't connect to server on 'db1' (115)"; a unix socket has its file's.
        number_match = re.search(r"\((\d{1,3})(?: \"[^\"]*\")?\)|system error: (\d{1,3})|error: (\d{1,3})|\[Errno (\d{1,3})\]", message)
        reason = int(next((group for group in number_match.groups() if group), "0")) if number_match else 0
        # MariaDB's client says 115 (in progress) of a refusal as of a deadline that has passed.
        kind = {111: "refused", 2: "refused", 110: "timeout", 115: "refused" if quick else "timeout", 4: "timeout", 11: "timeout",
                104: "closed", 0: "closed" if code == 2013 else "refused"}.get(reason, "unreachable")
        if code == 2013 and kind == "refused":
            kind = "closed"  # "Lost connection ... at 'reading authorization packet'": it was there
        message = message.replace(" (115)", "")
        if "timed out" in message:
            kind = "timeout"
        if re.search(r"Unknown (?:MySQL |MariaDB )?server host|Name or service not known|name resolution", message):
            kind = "resolve"
    return Failure(kind, "%s (error %d)" % (message, code))


# ------------------------------------------------------------------------------------------------------------- what it means

def _pairs(value: Any) -> Dict[str, str]:
    """SHOW VARIABLES and SHOW STATUS as a mapping with names in lower case."""
    return {str(one.get("variable_name")).lower(): str(one.get("value") or "") for one in rows(value)}


def facts(found: Answers, secret: str = "") -> Dict[str, Any]:
    """The part of a server's facts that its answers give. What is missing is null and named in ``unreadable``."""
    variables, status, after = (_pairs(found.values.get(name)) for name in ("variables", "status", "status_after"))
    login = mapping((rows(found.values.get("login")) or [{}])[0])
    unreadable = []
    for key, missing in _MISSING.items():
        ways = [name for name, _sql in QUERIES if name.rstrip("123") == key]
        if all(name in found.errors for name in ways):
            # The last that is not about a name which this server does not know (1064 syntax, 1109 and 1146 table).
            told = [found.errors[name] for name in ways]
            code, message = next((one for one in told if one[0] not in ("1064", "1109", "1146", "1193")), told[-1])
            unreadable.append("%s: %s%s" % (missing, words(message, 160, secret), " (error %s)" % code if code else ""))
    # Without PROCESS the process list has one's own sessions alone, and does not say so; the transactions do.
    sees_all = "transactions" not in found.errors
    if not sees_all:
        unreadable.append("sessions of other users (right PROCESS)")
    longest = [_session(one) for one in rows(found.values.get("longest"))]
    return {
        "version": words("%s %s" % (variables.get("version", ""), variables.get("version_comment", "")), 80).strip() or None,
        "login": words(login.get("login") or "") or None,
        "sees_all": sees_all if variables else None,
        "answered_by": None,
        "server_id": _identity(variables),
        "connections": _connections(found, variables, status, after, sees_all),
        "idle_in_transaction": None if "transactions" in found.errors else [
            {**_session(one), "transaction_seconds": seconds(one.get("transaction_seconds")),
             "writes": bool(whole(one.get("modified"))), "state": "idle in transaction"}
            for one in rows(found.values.get("transactions"))],
        "idle_in_transaction_count": None if "transactions" in found.errors else len(rows(found.values.get("transactions"))),
        "idle_in_transaction_limit": None,
        "longest": longest[0] if longest else None,
        "lock_waits": None if "waits" in found.errors else _lock_waits(found),
        "replication": _replication(found),
        "memory": None,
        "clients": {"running": whole(status.get("threads_running")), "blocked": None, "rejected": _delta(status, after)},
        "unreadable": unreadable,
    }


def _identity(variables: Mapping[str, str]) -> Optional[str]:
    unique = variables.get("server_uuid") or variables.get("server_uid")
    if not unique and variables.get("hostname"):
        unique = ":".join(variables.get(key, "") for key in ("hostname", "port", "server_id", "datadir"))
    return words(unique, 200) if unique else None


def _delta(status: Mapping[str, str], after: Mapping[str, str]) -> Optional[int]:
    """Connections that were refused for want of room between the two looks."""
    first, last = (whole(one.get("connection_errors_max_connections")) for one in (status, after))
    return max(0, last - first) if first is not None and last is not None else None


def _session(one: Mapping[str, Any]) -> Dict[str, Any]:
    session = {
        "pid": whole(one.get("pid")), "user": words(one.get("user") or ""), "application": "",
        "database": words(one.get("db") or ""), "host": words(one.get("host") or ""), "seconds": seconds(one.get("seconds")),
    }
    if one.get("state"):
        session["waits_for"] = words(one["state"])
    return session


def _connections(found: Answers, variables: Mapping[str, str], status: Mapping[str, str], after: Mapping[str, str],
                 sees_all: bool) -> Optional[Dict[str, Any]]:
    maximum, used = whole(variables.get("max_connections")), whole(status.get("threads_connected"))
    if maximum is None or used is None:
        return None
    ours = whole(mapping((rows(found.values.get("ours")) or [{}])[0]).get("count")) or 1
    by: List[Dict[str, Any]] = [
        {"application": "", "user": words(one.get("user") or ""), "database": words(one.get("db") or ""),
         "host": words(one.get("host") or ""), "state": words(one.get("command") or ""), "count": whole(one.get("count")) or 0}
        for one in rows(found.values.get("sessions"))] if sees_all else []
    per_user = whole(variables.get("max_user_connections")) or 0
    users: Dict[str, int] = {}
    for one in by:
        users[one["user"]] = users.get(one["user"], 0) + one["count"]
    return {
        # One more than max_connections is kept for who may do everything (SUPER, CONNECTION_ADMIN): it is none of an ordinary user's.
        "used": max(0, used - ours), "limit": maximum, "maximum": maximum, "reserved": 0, "uncertain": 0, "by": by,
        "own_limits": [{"of": "user " + user, "used": count, "limit": per_user} for user, count in sorted(users.items()) if per_user],
        "peak": whole(status.get("max_used_connections")), "refused": _delta(status, after),
    }


def _lock_waits(found: Answers) -> List[Dict[str, Any]]:
    blockers: Dict[Optional[int], List[Mapping[str, Any]]] = {}
    for name in ("blockers1", "blockers2"):
        for one in rows(found.values.get(name)):
            known = blockers.setdefault(whole(one.get("waiting")), [])
            if whole(one.get("pid")) not in [whole(other.get("pid")) for other in known]:
                known.append(one)
    waits: List[Dict[str, Any]] = []
    for name, kind in (("waits", "row"), ("metadata", "metadata")):
        for one in rows(found.values.get(name)):
            session = _session(one)
            if any(session["pid"] == other["pid"] for other in waits):
                continue
            state = words(one.get("state") or "")
            waits.append({
                **session, "seconds": seconds(one.get("waited")), "exact": name == "waits", "kind": kind,
                "on": ("row lock" + (", " + state if state else "")) if kind == "row" else state,
                "blocked_by": [{
                    "pid": whole(other.get("pid")), "user": words(other.get("user") or ""), "application": "",
                    "host": words(other.get("host") or ""),
                    "state": "idle in transaction" if other.get("command") == "Sleep" else words(other.get("command") or ""),
                    "transaction_seconds": seconds(other.get("transaction_seconds")),
                } for other in blockers.get(session["pid"], [])[:LISTED]],
            })
    return sorted(waits, key=lambda wait: -(wait["seconds"] or 0.0))[:LISTED]


def _replication(found: Answers) -> Optional[Dict[str, Any]]:
    ways = [name for name, _sql in QUERIES if name.startswith("replica")]
    name = next((one for one in ways if one in found.values), "")
    if not name:
        return None
    channels: List[Dict[str, Any]] = []
    for one in rows(found.values[name]):
        def of(*keys: str, row: Mapping[str, Any] = one) -> Any:
            return next((row[key] for key in keys if key in row), None)

        if str(of("channel_name")).startswith("group_replication_"):
            continue  # a group's own: no receiver ever runs there, and the one for recovery stands still once a member has joined
        io, sql = (words(of("replica_%s_running" % part, "slave_%s_running" % part) or "") for part in ("io", "sql"))
        problem = of("last_sql_error") or of("last_io_error")
        channels.append({
            "name": words(of("channel_name", "connection_name") or ""), "host": words(of("source_host", "master_host") or ""),
            "state": "running" if (io, sql) == ("Yes", "Yes") else "receiver %s, applier %s" % (io or "unknown", sql or "unknown"),
            "sync": "", "slot": "", "lag_seconds": seconds(of("seconds_behind_source", "seconds_behind_master")), "lag_bytes": None,
            "error": words(problem, 200) if problem else "", "delay": number(of("sql_delay")) or None,
        })
    if not channels:
        return {"role": "primary", "lag_seconds": None, "lag_bytes": None, "resolution": "", "state": "", "note": "", "delay": None,
                "replicas": []}
    # A channel that stands still has no lag to tell of, and is the worst.
    worst = max(channels, key=lambda one: float("inf") if one["lag_seconds"] is None else one["lag_seconds"] - (one["delay"] or 0.0))
    return {"role": "replica", "lag_seconds": worst["lag_seconds"], "lag_bytes": None, "resolution": "1 s", "state": worst["state"],
            "note": worst["error"], "delay": worst["delay"], "replicas": channels}
