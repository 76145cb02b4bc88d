# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The databases family: what each result says of servers as they were recorded, and of small edits of them."""
from __future__ import annotations

import copy
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils.collect import databases as collector
from ansible_collections.goready.preflight.plugins.module_utils.databases import mysql, postgres, redis
from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.sub_plugins.check import databases as checks

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures/databases"
URLS = {"postgres": "postgres://mon@db1/orders", "mysql": "mysql://mon@db1/orders", "redis": "redis://db1"}
WHO = {"postgres": "orders (PostgreSQL, db1:5432)", "mysql": "orders (MariaDB, db1:3306)", "redis": "orders (Redis, db1:6379)"}


def read(name: str) -> str:
    return (FIXTURES / name).read_text()


def server(fixture: str, err: str = "", *, kind: str = "", declared: bool = True, **edits) -> dict:
    """The facts of one server: a recorded answer (``postgres_busy``), edited. ``a__b=c`` edits within."""
    kind = kind or {"mariadb": "mysql"}.get(fixture.split("_")[0], fixture.split("_")[0])
    databases, services = ([{"name": "orders", "url": URLS[kind], "services": ["api"]}], []) if declared else (
        [], [{"name": "api", "depends_on": [URLS[kind]]}])
    (job,), _broken = collector.jobs(databases, services, [])
    entry = job.entry()
    if "_" in fixture:
        module = {"postgres": postgres, "mysql": mysql, "redis": redis}[kind]
        entry.update(module.facts(module.answers(read(fixture + ".out"), read(err) if err else "")))
        entry.update(client="client 1.0", seconds=0.5)
    entry = copy.deepcopy(entry)
    for path, value in edits.items():
        place = entry
        *steps, last = path.split("__")
        for step in steps:
            place = place[step]
        place[last] = value
    return entry


def judged(check: engine.Check, *servers: dict, thresholds: dict | None = None, host: dict | None = None) -> list[engine.Result]:
    facts = {"databases": {"servers": list(servers)}, "host": host or {}}
    return engine.run([check], facts, engine.Policy(thresholds={check.id: thresholds or {}}))


def one(check: engine.Check, *servers: dict, **more) -> tuple[str, str, str]:
    (result,) = judged(check, *servers, **more)
    assert result.subject == ("orders" if servers[0]["declared"] else servers[0]["name"])
    return result.status, result.severity, result.reason


ALL = (checks.reachable, checks.connections, checks.idle_in_transaction, checks.lock_wait, checks.replication_lag, checks.memory)


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.id)
def test_without_databases_there_is_nothing_to_judge(check):
    (result,) = judged(check)
    assert (result.status, result.reason) == (
        "notapplicable", "Neither preflight_databases nor a depends_on of preflight_services names a database.")


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.id)
def test_facts_that_were_not_collected_are_unknown(check):
    (result,) = engine.run([check], {}, engine.Policy())
    assert (result.status, result.reason) == ("unknown", "databases.servers was not collected.")


@pytest.mark.parametrize("check", ALL[1:], ids=lambda check: check.id)
def test_a_server_that_did_not_answer_is_unknown_but_reachable_says_why(check):
    kind = "redis" if check is checks.memory else "postgres"
    down = server(kind, error={"kind": "refused", "message": "Connection refused"})
    assert one(check, down) == ("unknown", "info", f"{WHO[kind]} gave no figures: databases.reachable says why (refused).")


@pytest.mark.parametrize("check", ALL[1:], ids=lambda check: check.id)
def test_two_names_of_one_server_are_judged_once_by_the_one_that_sees_most(check):
    blind = {**server("postgres_plain"), "name": "blind", "server_id": "same"}
    seeing = {**server("postgres_primary"), "server_id": "same"}
    first, second = judged(check, blind, seeing)
    assert (first.status, first.reason) == (
        "notapplicable", "blind (PostgreSQL, db1:5432) is the server of orders, which is judged.")
    assert "is the server of" not in second.reason


# ------------------------------------------------------------------------------------------------------------- reachable

def failing(kind: str, message: str = "it said so", **more) -> dict:
    return server("postgres", error={"kind": kind, "message": message}, **more)


PG = WHO["postgres"]
REACHABLE = {
    "it answers": (server("postgres_busy"), ("pass", "high", f"{PG} answers mon. client 1.0 took 0.50 s.")),
    "nothing listens": (failing("refused"), ("fail", "high", f"{PG}: nothing accepts connections there (it said so).")),
    "silence": (failing("timeout"), ("fail", "high", f"{PG}: no answer came in time (it said so).")),
    "no such name": (failing("resolve"), ("fail", "high", f"{PG}: its name is not found (it said so).")),
    "no route": (failing("unreachable"), ("fail", "high", f"{PG} cannot be reached from this host (it said so).")),
    "it hangs up": (failing("closed"), ("fail", "high", f"{PG} closed the connection without an answer (it said so).")),
    "TLS": (failing("tls"), ("fail", "high", f"{PG}: TLS could not be agreed on (it said so).")),
    "it starts": (failing("starting"), ("fail", "high", f"{PG} does not serve yet (it said so).")),
    "no database": (failing("database"), ("fail", "high", f"{PG}: the database is missing (it said so).")),
    "another refusal": (failing("failed"), ("fail", "high", f"{PG} refused (it said so).")),
    "a wrong password": (failing("auth", credentials=True), (
        "fail", "high", f"{PG} refuses the login of mon from this host: it said so.")),
    "this host is not let in": (failing("denied", credentials=True), (
        "fail", "high", f"{PG} refuses the login of mon from this host: it said so.")),
    "this host is not let in, and there is no login": (failing("denied"), (
        "unknown", "high", f"{PG} answers and refuses mon, of whose login the inventory says nothing: it said so.")),
    "this host is not let in, whoever asks": (failing("forbidden"), (
        "fail", "high", f"{PG} refuses this host, whoever asks (it said so).")),
    "several hosts, and none is the primary": (failing("role"), (
        "fail", "high", f"{PG}: none of its hosts is what target_session_attrs asks for (it said so).")),
    "a pooler that gives no transaction": (failing("pooling"), (
        "unknown", "low", f"{PG} answers, and lets no transaction begin in which it could be asked: it said so.")),
    "TLS that may want a client's certificate": (
        server("redis", error={"kind": "closed", "message": "reset"}, url="rediss://db1"), (
            "unknown", "low", "orders (Redis, db1:6379) closed the connection (reset), as a server does that wants a client's certificate "
                              "(tls-auth-clients, by default yes): there is none to give.")),
    "no password given": (failing("auth"), (
        "unknown", "high", f"{PG} answers and wants a login, of which the inventory says nothing: it said so.")),
    "no password given, and not declared": (failing("auth", declared=False), (
        "unknown", "low", "db1:5432/orders (PostgreSQL) answers and wants a login, of which the inventory says nothing: it said so.")),
    "no client": (failing("no_client"), ("unknown", "high", f"{PG} was not asked: it said so.")),
    "no client, and not declared": (failing("no_client", declared=False), (
        "unknown", "low", "db1:5432/orders (PostgreSQL) was not asked: it said so.")),
    "no time": (failing("budget"), ("unknown", "high", f"{PG} was not asked: it said so.")),
    "no such user": (failing("run_as"), ("unknown", "high", f"{PG} was not asked: it said so.")),
    "the client broke": (failing("exception"), ("unknown", "high", f"{PG}: the client failed (it said so).")),
    "full": (failing("full"), (
        "notapplicable", "high", f"{PG} answers, and refuses new connections: databases.connections says so.")),
}


@pytest.mark.parametrize(("entry", "expected"), REACHABLE.values(), ids=REACHABLE)
def test_reachable(entry, expected):
    assert one(checks.reachable, entry) == expected


@pytest.mark.parametrize(("like", "command"), [(["debian"], "apt-get install postgresql-client"), (["fedora"], "")],
                         ids=["debian", "other"])
def test_the_package_of_a_client_is_named(like, command):
    (result,) = judged(checks.reachable, failing("no_client"), host={"os": {"id": "x", "like": like}})
    assert "postgresql-client" in result.remediation.hint and result.remediation.command == command


@pytest.mark.parametrize(("by", "expected"), [
    pytest.param({"address": "10.0.0.7", "port": 5433}, "listens at 10.0.0.7:5433", id="another port"),
    pytest.param(None, "was asked through a unix socket", id="unix socket"),
    pytest.param({"address": "10.0.0.7", "port": 5432}, "", id="itself"),
])
def test_a_pooler_between_is_shown(by, expected):
    (result,) = judged(checks.reachable, server("postgres_busy", answered_by=by))
    assert [line for line in result.evidence if "pooler" in line] == (
        [f"the server that answered {expected}: a pooler or a forwarded port is between"] if expected else [])


# ------------------------------------------------------------------------------------------------------------- connections

TAKEN = "connections are taken"
CONNECTIONS = {
    "room": (server("postgres_busy"), None, ("pass", "high", f"{PG}: 6 of 17 {TAKEN} (35 %).")),
    "below the threshold": (server("postgres_busy", connections__used=13), None, ("pass", "high", f"{PG}: 13 of 17 {TAKEN} (76 %).")),
    "above it": (server("postgres_busy", connections__used=14), None, (
        "fail", "high", f"{PG}: 14 of 17 {TAKEN} (82 %); wanted is below 80 %.")),
    "a threshold of one's own": (server("postgres_busy"), {"percent": 30}, (
        "fail", "high", f"{PG}: 6 of 17 {TAKEN} (35 %); wanted is below 30 %.")),
    "full, recorded": (server("postgres_full"), None, (
        "fail", "critical", f"{PG} has no connection left: 17 of 17 are taken; wanted is below 80 %.")),
    "refused": (failing("full", "sorry, too many clients already"), None, (
        "fail", "critical", f"New connections to {PG} are refused: sorry, too many clients already.")),
    "refused to this user": (failing("full_own", 'too many connections for role "mon"'), None, (
        "fail", "high", f'New connections to {PG} are refused to this user: too many connections for role "mon".')),
    "refused meanwhile": (server("redis_full", connections__refused=3), None, (
        "fail", "critical", f"{WHO['redis']} has no connection left: 1 of 10000 are taken; 3 were refused within a second; wanted is below "
                            "80 %.")),
    "perhaps": (server("postgres_plain", connections__used=15, connections__uncertain=6), None, (
        "unknown", "high", f"{PG} has 15 sessions for 17 connections, some of which may be the server's own: their types are hidden.")),
    "surely, though some may be the server's": (server("postgres_plain", connections__used=17, connections__uncertain=2), None, (
        "fail", "high", f"{PG}: 17 of 17 {TAKEN} (100 %); wanted is below 80 %.")),
    "a role's own limit": (server("postgres_busy", connections__own_limits=[{"of": "role app", "used": 5, "limit": 5}]), None, (
        "fail", "low", f"{PG} has room, but not for everybody: role app: 5 of 5 connections are taken.")),
    "a role for one session": (server("postgres_busy", connections__own_limits=[{"of": "role job", "used": 1, "limit": 1}]), None, (
        "pass", "high", f"{PG}: 6 of 17 {TAKEN} (35 %).")),
    "no limit known": (server("redis_full", connections__limit=None), None, (
        "unknown", "high", f"{WHO['redis']} did not show its limit of connections to this user.")),
    "MariaDB": (server("mariadb_row"), None, (
        "pass", "high", f"{WHO['mysql']}: 2 of 10 {TAKEN} (20 %).")),
}


@pytest.mark.parametrize(("entry", "thresholds", "expected"), CONNECTIONS.values(), ids=CONNECTIONS)
def test_connections(entry, thresholds, expected):
    assert one(checks.connections, entry, thresholds=thresholds) == expected


def test_who_holds_the_connections_is_named():
    (result,) = judged(checks.connections, server("postgres_full"))
    assert result.evidence[:3] == (
        "17 of 17 connections that an ordinary user may take; 3 of 20 are reserved", 'app "pool" from 127.0.0.1: 11 (11 idle)',
        'app "api" from 127.0.0.1: 1 (1 idle in transaction)')


# ------------------------------------------------------------------------------------------------- idle_in_transaction

BUSY = server("postgres_busy")
IDLE = BUSY["idle_in_transaction"][0]
SESSION = f'app "api" from 127.0.0.1, PID {IDLE["pid"]}'
IDLES = {
    "a minute": (BUSY, None, (
        "fail", "medium", f"{SESSION}, has left a transaction of {PG} open and idle for 60 s, and 1 session waits for its locks; wanted is "
                          "below 60 s.")),
    "less": (BUSY, {"seconds": 90}, ("pass", "medium", f"No transaction of {PG} has been idle for 90 s; the longest is idle for 60 s.")),
    "several": (server("postgres_busy", lock_waits=[], idle_in_transaction=[IDLE, {**IDLE, "seconds": 300.0}]), None, (
        "fail", "medium", f"{SESSION} (one of 2), has left a transaction of {PG} open and idle for 300 s; wanted is below 60 s.")),
    "a backup": (server("postgres_busy", idle_in_transaction=[{**IDLE, "application": "pg_dump", "seconds": 3600.0}]), None, (
        "pass", "medium", f"No transaction of {PG} has been idle for 60 s.")),
    "none": (server("postgres_primary"), None, ("pass", "medium", f"No transaction of {PG} has been idle for 60 s.")),
    "hidden": (server("postgres_plain"), None, ("unknown", "medium", f"{PG} did not show the sessions of others to plain.")),
    "hidden, and not declared": (server("postgres_plain", declared=False), None, (
        "unknown", "low", "db1:5432/orders (PostgreSQL) did not show the sessions of others to plain.")),
    "MariaDB": (server("mariadb_metadata"), {"seconds": 50}, (
        "fail", "medium", f"app from localhost, PID 25, has left a transaction of {WHO['mysql']} open and idle for 59 s; wanted is below "
                          "50 s.")),
    "MariaDB without PROCESS": (server("mariadb_plain", "mariadb_plain.err"), None, (
        "unknown", "medium", f"{WHO['mysql']} did not show the transactions of others to app@127.0.0.1.")),
    "Redis": (server("redis_full"), None, ("notapplicable", "medium", f"{WHO['redis']} keeps no transactions open.")),
}


@pytest.mark.parametrize(("entry", "thresholds", "expected"), IDLES.values(), ids=IDLES)
def test_idle_in_transaction(entry, thresholds, expected):
    assert one(checks.idle_in_transaction, entry, thresholds=thresholds) == expected


# ------------------------------------------------------------------------------------------------------------- lock_wait

WAIT = BUSY["lock_waits"][0]
WAITER = f'app "worker" from 127.0.0.1, PID {WAIT["pid"]}'
HELD = f"held by {SESSION} (idle in transaction, its transaction is 60 s old)"
QUEUE = [{**WAIT, "pid": 9, "application": "late", "seconds": 70.0, "blocked_by": [{**WAIT["blocked_by"][0], "pid": WAIT["pid"]}]}, WAIT]
INEXACT = {**WAIT, "exact": False, "seconds": 400.0, "blocked_by": [{**WAIT["blocked_by"][0], "transaction_seconds": 2.0}]}
WAITS = {
    "recorded": (BUSY, None, ("fail", "medium", f"{WAITER}, has waited 60 s for a lock of {PG}, {HELD}; wanted is below 5 s.")),
    "less": (BUSY, {"seconds": 61}, (
        "pass", "medium", f"No session of {PG} has waited 61 s for a lock; the longest wait is 59.8 s.")),
    "who is at the head of the queue is named": (server("postgres_busy", lock_waits=QUEUE), None, (
        "fail", "medium", f'app "late" from 127.0.0.1, PID 9 (one of 2), has waited 70 s for a lock of {PG}, {HELD}; wanted is below '
                          "5 s.")),
    "a lock that elects a leader": (server("postgres_busy", lock_waits=BUSY["lock_waits"][1:]), None, (
        "pass", "medium", f"No session of {PG} has waited 5 s for a lock.")),
    "CREATE INDEX CONCURRENTLY": (server("postgres_busy", lock_waits=[{**WAIT, "kind": "virtualxid"}]), None, (
        "pass", "medium", f"No session of {PG} has waited 5 s for a lock.")),
    "a long statement behind a young transaction": (server("postgres_busy", lock_waits=[INEXACT]), None, (
        "pass", "medium", f"No session of {PG} has waited 5 s for a lock; the longest wait is 2.0 s.")),
    "nobody knows since when": (server("postgres_busy", lock_waits=[{**WAIT, "exact": False, "seconds": None}]), None, (
        "unknown", "medium", f"{PG} did not show how long sessions have waited for locks to mon.")),
    "behind a prepared transaction": (server("postgres_busy", lock_waits=[{**WAIT, "blocked_by": [
        {"pid": 0, "user": "", "application": "", "host": "", "state": "", "transaction_seconds": None}]}]), None, (
            "fail", "medium", f"{WAITER}, has waited 60 s for a lock of {PG}, held by a prepared transaction (pg_prepared_xacts); wanted "
                              "is below 5 s.")),
    "not readable": (server("postgres_unreadable", "postgres_unreadable.err"), None, (
        "unknown", "medium", f"{PG} did not show who waits for whom to mon.")),
    "a metadata lock": (server("mariadb_metadata"), None, (
        "fail", "medium", f"app from localhost, PID 27 (one of 2), has waited up to 58 s for a lock of {WHO['mysql']}; wanted is below "
                          "5 s.")),
    "none": (server("postgres_primary"), None, ("pass", "medium", f"No session of {PG} has waited 5 s for a lock.")),
    "Redis": (server("redis_full"), None, ("notapplicable", "medium", f"{WHO['redis']} has no locks that sessions wait for.")),
}


@pytest.mark.parametrize(("entry", "thresholds", "expected"), WAITS.values(), ids=WAITS)
def test_lock_wait(entry, thresholds, expected):
    assert one(checks.lock_wait, entry, thresholds=thresholds) == expected


def test_a_circle_of_waiting_sessions_ends():
    circle = [{**WAIT, "pid": 1, "blocked_by": [{**WAIT["blocked_by"][0], "pid": 2}]},
              {**WAIT, "pid": 2, "blocked_by": [{**WAIT["blocked_by"][0], "pid": 1}]}]
    assert one(checks.lock_wait, server("postgres_busy", lock_waits=circle))[0] == "fail"


# ------------------------------------------------------------------------------------------------------- replication_lag

PRIMARY = server("postgres_primary")
REPLICA = PRIMARY["replication"]["replicas"][0]


def replica(kind: str, **values) -> dict:
    fixture = {"postgres": "postgres_standby", "mysql": "mariadb_row", "redis": "redis_replica"}[kind]
    whole = {"role": "replica", "lag_seconds": None, "lag_bytes": None, "resolution": "1 s", "state": "running", "note": "", "delay": None,
             "replicas": []}
    return server(fixture, replication={**whole, **values})


def primary(**values) -> dict:
    return server("postgres_primary", replication__replicas=[{**REPLICA, **values}])


LAGS = {
    "a replica behind, recorded": (PRIMARY, None, (
        "fail", "medium", f"The replica 15/standby at 127.0.0.1 of {PG} is 10.2 s behind; wanted is below 10 s.")),
    "a replica a little behind": (primary(lag_seconds=0.05), None, (
        "pass", "medium", f"No replica of {PG} is more than 0.05 s behind.")),
    "PostgreSQL can tell 50 ms": (primary(lag_seconds=0.05), {"seconds": 0.04}, (
        "fail", "medium", f"The replica 15/standby at 127.0.0.1 of {PG} is 0.05 s behind; wanted is below 0.04 s.")),
    "a consumer of changes": (primary(slot="logical", lag_seconds=500.0), None, (
        "notapplicable", "medium", f"{PG} has no replica that streams.")),
    "a base backup": (primary(state="backup", lag_seconds=None), None, ("notapplicable", "medium", f"{PG} has no replica that streams.")),
    "who keeps the WAL and replays nothing": (primary(name="pg_receivewal", lag_seconds=None, lag_bytes=None), None, (
        "notapplicable", "medium", f"{PG} has no replica that streams.")),
    "a Sentinel": (replica("redis", role="sentinel", state="", resolution=""), None, (
        "notapplicable", "medium", f"{WHO['redis']} is a Sentinel: it holds no data.")),
    "not measured yet": (primary(lag_seconds=None), None, (
        "unknown", "low", f"The lag of 15/standby at 127.0.0.1 is not measured by {PG} yet.")),
    "a standby that has all, recorded": (server("postgres_standby"), None, ("pass", "medium", f"{PG} is 0 s behind its primary.")),
    "a standby that is paused, recorded": (server("postgres_paused"), None, (
        "fail", "medium", f"The replication of {PG} stands still (paused); wanted is below 10 s.")),
    "a standby that is behind": (replica("postgres", role="standby", lag_seconds=40.0, state="streaming",
                                         resolution="the age of the last commit that was replayed"), None, (
        "fail", "medium", f"{PG} is 40 s behind its primary (the age of the last commit that was replayed); wanted is below 10 s.")),
    "a standby that is told to be": (replica("postgres", lag_seconds=3601.0, state="streaming", delay=3600.0, resolution=""), None, (
        "pass", "medium", f"{PG} is 3601 s behind its primary.")),
    "a standby that hears nothing": (replica("postgres", lag_seconds=90.0, state="disconnected"), None, (
        "fail", "medium", f"The replication of {PG} stands still (disconnected), and what it has is 90 s old; wanted is below 10 s.")),
    "a standby of which nobody says whether it streams": (replica("postgres", state="no receiver", resolution=""), None, (
        "unknown", "medium", f"{PG} is a replica and does not say how far it is behind (no receiver).")),
    "a standby of an archive": (replica("postgres", lag_seconds=90.0, state="archive"), None, (
        "unknown", "low", f"{PG} is fed from an archive: how far it is behind cannot be told while its primary is idle.")),
    "no replicas": (server("postgres_busy"), None, ("notapplicable", "medium", f"{PG} has no replicas.")),
    "a user without rights": (server("postgres_plain", replication__replicas=[{**REPLICA, "state": "", "lag_seconds": None}]), None, (
        "unknown", "medium", f"{PG} did not show its replicas to plain.")),
    "whole seconds": (replica("mysql", lag_seconds=0.0), None, (
        "pass", "medium", f"{WHO['mysql']} is 0 s behind its primary (measured in steps of 1 s).")),
    "below whole seconds": (replica("mysql", lag_seconds=0.0), {"seconds": 0.05}, (
        "unknown", "low", f"Whole seconds are all that {WHO['mysql']} tells of its lag, and wanted is below 0.05 s.")),
    "an applier that stands": (replica("mysql", state="receiver Yes, applier No"), None, (
        "fail", "medium", f"The replication of {WHO['mysql']} stands still (receiver Yes, applier No); wanted is below 10 s.")),
    "MariaDB without the right": (server("mariadb_plain", "mariadb_plain.err"), None, (
        "unknown", "medium", f"{WHO['mysql']} did not show its replication to app@127.0.0.1.")),
    "MariaDB that is no replica": (server("mariadb_row"), None, (
        "notapplicable", "medium", f"{WHO['mysql']} is no replica; its own replicas tell their lag themselves.")),
    "Redis' replica, recorded": (server("redis_replica"), None, (
        "pass", "medium", f"{WHO['redis']} is linked to its primary; how far it is behind only the primary tells.")),
    "Redis' replica without a link": (replica("redis", state="down", lag_seconds=77.0), None, (
        "fail", "medium", f"The replication of {WHO['redis']} stands still (down), and what it has is 77 s old; wanted is below 10 s.")),
    "Redis' replica that copies": (replica("redis", state="sync"), None, (
        "unknown", "medium", f"{WHO['redis']} still copies its primary's data.")),
    "Redis' primary, recorded": (server("redis_full"), None, (
        "pass", "medium", f"No replica of {WHO['redis']} is more than 1 s behind (measured in steps of 1 s).")),
}


@pytest.mark.parametrize(("entry", "thresholds", "expected"), LAGS.values(), ids=LAGS)
def test_replication_lag(entry, thresholds, expected):
    assert one(checks.replication_lag, entry, thresholds=thresholds) == expected


# ------------------------------------------------------------------------------------------------------------- memory

RD = WHO["redis"]
MIB = 1 << 20


def filled(**values) -> dict:
    memory = {"used": MIB, "maximum": 10 * MIB, "rss": 2 * MIB, "system": 100 * MIB, "policy": "noeviction", "evicted": 0,
              "evicted_total": 0, "refused_writes": 0, "sample_seconds": 1.0, "since_seconds": 60, **values}
    return server("redis_full", memory=memory)


MEMORY = {
    "refused, recorded": (server("redis_full", memory__refused_writes=7), (
        "fail", "high", f"{RD} refused 7 commands for want of memory within 1 s (2 MiB of 2 MiB used, noeviction); wanted is none.")),
    "nearly full": (filled(used=9 * MIB), (
        "fail", "medium", f"{RD} uses 9 MiB of 10 MiB (90 %, noeviction): at the limit it refuses every write; wanted is below 90 %.")),
    "room": (filled(), ("pass", "medium", f"{RD} uses 1 MiB of 10 MiB (10 %, noeviction).")),
    "a cache that is full and evicts": (filled(used=10 * MIB, policy="allkeys-lru", evicted=40), (
        "pass", "medium", f"{RD} uses 10 MiB of 10 MiB (100 %, allkeys-lru), and threw 40 keys away within 1 s, as that policy says.")),
    "sessions that are thrown away": (filled(used=10 * MIB, policy="volatile-lru", evicted=40), (
        "fail", "medium", f"{RD} uses 10 MiB of 10 MiB (100 %, volatile-lru), and threw 40 keys away within 1 s, before their expiry; "
                          "wanted is none.")),
    "volatile and full, nothing thrown away": (filled(used=10 * MIB, policy="volatile-ttl"), (
        "pass", "medium", f"{RD} uses 10 MiB of 10 MiB (100 %, volatile-ttl).")),
    "no limit": (filled(maximum=None), (
        "pass", "medium", f"{RD} has no maxmemory, and 2 MiB of its machine's 100 MiB are resident (2 %).")),
    "no limit, and the machine is full": (filled(maximum=None, rss=95 * MIB), (
        "fail", "medium", f"{RD} has no maxmemory, and 95 MiB of its machine's 100 MiB are resident (95 %); wanted is below 90 %.")),
    "no limit, and no machine": (filled(maximum=None, system=None), (
        "unknown", "low", f"{RD} has no maxmemory, and does not say how much memory its machine has.")),
    "PostgreSQL": (server("postgres_busy"), ("notapplicable", "medium", f"{PG} is no Redis.")),
    "a Sentinel": (server("redis_full", memory=None, replication__role="sentinel"), (
        "notapplicable", "medium", f"{RD} is a Sentinel: it holds no data.")),
}


@pytest.mark.parametrize(("entry", "expected"), MEMORY.values(), ids=MEMORY)
def test_memory(entry, expected):
    assert one(checks.memory, entry) == expected
