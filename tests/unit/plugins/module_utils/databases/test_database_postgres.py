# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL: what psql printed, as facts. Recorded from psql 15.20 and PostgreSQL 15.20 of Debian 12."""
from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils.databases import postgres
from ansible_collections.goready.preflight.plugins.module_utils.databases.target import Answers, number
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures/databases"


def read(name: str) -> str:
    return (FIXTURES / name).read_text()


def facts(name: str, err: str = "") -> dict:
    return postgres.facts(postgres.answers(read(name), err))


def test_a_busy_server_is_read_whole():
    found = facts("postgres_busy.out")
    assert found["version"] == "15.20 (Debian 15.20-0+deb12u1)" and found["sees_all"] and found["unreadable"] == []
    connections = found["connections"]
    assert (connections["used"], connections["limit"], connections["maximum"], connections["reserved"]) == (6, 17, 20, 3)
    assert connections["uncertain"] == 0 and sum(one["count"] for one in connections["by"]) == 6
    (idle,) = found["idle_in_transaction"]
    assert (idle["user"], idle["application"], idle["host"], idle["writes"]) == ("app", "api", "127.0.0.1", True)
    assert idle["seconds"] == pytest.approx(60, abs=5) and idle["transaction_seconds"] >= idle["seconds"]
    row, advisory = found["lock_waits"]
    assert (row["application"], row["kind"], row["exact"], row["on"]) == ("worker", "transactionid", True, "ShareLock on transactionid")
    assert [(one["pid"], one["state"]) for one in row["blocked_by"]] == [(idle["pid"], "idle in transaction")]
    assert advisory["kind"] == "advisory"
    assert found["longest"]["waits_for"] == "Lock: transactionid"


def test_a_user_without_rights_sees_less_and_says_so():
    found = facts("postgres_plain.out")
    assert found["unreadable"] == ["sessions of other users: state and host are hidden from plain, who is no member of pg_monitor"]
    # Their types are hidden too: the six sessions may be workers of the server's own.
    assert found["connections"]["used"] == 6 and found["connections"]["uncertain"] == 6
    assert found["sees_all"] is False and found["idle_in_transaction"] == [] and found["lock_waits"][0]["seconds"] > 5


def test_a_full_server_seen_by_its_superuser():
    connections = facts("postgres_full.out")["connections"]
    assert connections["used"] == connections["limit"] == 17


def test_a_refused_view_costs_itself_alone():
    found = facts("postgres_unreadable.out", read("postgres_unreadable.err"))
    assert found["unreadable"] == [
        "pg_control_system() (which two names are one server): permission denied for function pg_control_system (SQLSTATE 42501)",
        "pg_locks: permission denied for view pg_locks (SQLSTATE 42501)",
        "pg_stat_wal_receiver: permission denied for view pg_stat_wal_receiver (SQLSTATE 42501)",
    ]
    assert found["lock_waits"] is None and found["connections"]["used"] == 0
    # Without the system identifier the server's start tells two names of one server.
    assert re.fullmatch(r"a server started \d+\.\d{6}", found["server_id"])


def test_a_primary_knows_how_far_its_replica_is():
    found = facts("postgres_primary.out")["replication"]
    (replica,) = found["replicas"]
    assert found["role"] == "primary" and replica["state"] == "streaming" and replica["name"] == "15/standby"
    assert replica["lag_seconds"] == pytest.approx(10.2, abs=0.1) and replica["lag_bytes"] == 624


def test_who_keeps_the_wal_and_replays_nothing_is_not_behind():
    """pg_receivewal: PostgreSQL 15 has no replay_lsn of it, and its replay_lag is the time since it connected."""
    sender = {"application": "pg_receivewal", "host": None, "state": "streaming", "sync": "async", "seconds": 20.01, "bytes": None}
    (replica,) = postgres.facts(Answers(values={"server": {"recovery": False}, "senders": [sender]}))["replication"]["replicas"]
    assert (replica["lag_seconds"], replica["lag_bytes"]) == (None, None)


def test_a_standby_that_has_replayed_all_is_not_behind_however_old_its_last_commit_is():
    text = read("postgres_standby.out")
    assert json.loads(text.splitlines()[7])["v"]["replayed_seconds"] > 1
    found = postgres.facts(postgres.answers(text, ""))["replication"]
    assert (found["role"], found["state"], found["lag_seconds"], found["lag_bytes"]) == ("standby", "streaming", 0.0, 0)


def test_a_standby_has_another_id_than_its_primary():
    primary, standby = facts("postgres_primary.out")["server_id"], facts("postgres_standby.out")["server_id"]
    assert primary.split()[0] == standby.split()[0] and primary != standby


def test_a_paused_standby():
    found = facts("postgres_paused.out")["replication"]
    assert found["state"] == "paused" and found["lag_bytes"] == 624


def standby(**values: object) -> Answers:
    whole = {"bytes": 624, "received": 1000, "replayed_seconds": 3600.0, "paused": False, "receiver": True, "status": "streaming",
             "streams": True}
    return Answers(values={"server": {"recovery": True, "settings": {}}, "standby": {**whole, **values}})


STANDBYS = {
    "replayed a second later": (standby(), 1000, ("streaming", 1.0, "1 s")),
    "still not replayed": (standby(), 999, ("streaming", 3600.0, "the age of the last commit that was replayed")),
    "nothing streams": (standby(receiver=False, bytes=None), 1000, (
        "disconnected", 3600.0, "the age of the last commit that was replayed")),
    "nothing streams, and nobody says whether it should": (standby(receiver=False, bytes=None, streams=None), None, (
        "no receiver", None, "")),
    "fed from an archive": (standby(receiver=False, bytes=None, streams=False), None, (
        "archive", 3600.0, "the age of the last commit that was replayed")),
}


def test_a_number_without_end_keeps_nobody_busy():
    begun = time.process_time()
    found = postgres.answers('{"q": "limits", "v": {"max_connections": %s}}\n{"q": "login", "v": "mon"}' % ("9" * 2_000_000), "")
    assert time.process_time() - begun < 1
    assert (number(found.values["limits"]["max_connections"]), found.values["login"]) == (None, "mon")


@pytest.mark.parametrize(("answers", "replayed", "expected"), STANDBYS.values(), ids=STANDBYS)
def test_standbys(answers, replayed, expected):
    answers.values["replayed"] = replayed
    found = postgres.facts(answers)["replication"]
    assert (found["state"], found["lag_seconds"], found["resolution"]) == expected


def test_reserved_connections_are_no_ordinary_users():
    answers = Answers(values={
        "server": {"number": 160000, "sees_all": True, "settings": {
            "max_connections": "100", "superuser_reserved_connections": "3", "reserved_connections": "5"}},
        "sessions": {"total": 10, "hidden": 0, "walsenders": 2}})
    found = postgres.facts(answers)["connections"]
    assert (found["limit"], found["reserved"], found["used"]) == (92, 8, 10)
    answers.values["server"]["number"] = 110000
    assert postgres.facts(answers)["connections"]["used"] == 12  # WAL senders took of max_connections until 11


AT = 'psql: error: connection to server at "10.89.0.84", port 5432 failed: '
FAILURES = {
    "refused": (AT + "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n",
                "refused", "Connection refused"),
    "no route": (AT + "No route to host\n\tIs the server running?\n", "unreachable", "No route to host"),
    "silence": (AT + "timeout expired\n", "timeout", "timeout expired"),
    "no such name": ('psql: error: could not translate host name "nosuch.invalid" to address: Name or service not known\n', "resolve",
                     'could not translate host name "nosuch.invalid" to address: Name or service not known'),
    "no socket": ('psql: error: connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: No such file or directory\n',
                  "refused", "No such file or directory"),
    "wrong password": (2 * 'connection to server at "127.0.0.1", port 5432 failed: FATAL:  password authentication failed for user "mon"\n',
                       "auth", 'password authentication failed for user "mon"'),
    "no password": (AT + "fe_sendauth: no password supplied\n", "auth", "fe_sendauth: no password supplied"),
    "peer": ('psql: error: connection to server on socket "/run/.s.PGSQL.5432" failed: FATAL:  Peer authentication failed for user "app"\n',
             "auth", 'Peer authentication failed for user "app"'),
    "pg_hba.conf": (AT + 'FATAL:  no pg_hba.conf entry for host "10.89.0.85", user "mon", database "postgres", SSL encryption\n'
                    'connection to server at "10.89.0.84", port 5432 failed: FATAL:  no pg_hba.conf entry for host "10.89.0.85", '
                    'user "mon", database "postgres", no encryption\n', "denied",
                    'no pg_hba.conf entry for host "10.89.0.85", user "mon", database "postgres", no encryption'),
    "no primary": (AT + "session is read-only\n", "role", "session is read-only"),
    "no standby": (AT + "server is not in hot standby mode\n", "role", "server is not in hot standby mode"),
    "rejected by pg_hba.conf": (AT + 'FATAL:  pg_hba.conf rejects connection for host "127.0.0.1", user "mon", database "x", SSL '
                                'encryption\nconnection to server at "127.0.0.1", port 5432 failed: FATAL:  pg_hba.conf rejects '
                                'connection for host "127.0.0.1", user "mon", database "x", no encryption\n', "denied",
                                'pg_hba.conf rejects connection for host "127.0.0.1", user "mon", database "x", no encryption'),
    "no client's certificate": (AT + "FATAL:  connection requires a valid client certificate\n", "auth",
                                "connection requires a valid client certificate"),
    "somebody else's key": (AT + 'private key file "/k" must be owned by the current user or root\n', "exception",
                            'private key file "/k" must be owned by the current user or root'),
    "PgBouncer in statement mode": ("FATAL:  08P01: transaction blocks not allowed in statement pooling mode\n"
                                    "server closed the connection unexpectedly\n", "pooling",
                                    "transaction blocks not allowed in statement pooling mode"),
    "PgBouncer without a connection to give": (AT + "FATAL:  query_wait_timeout\n", "timeout", "query_wait_timeout"),
    "no such database": (AT + 'FATAL:  database "nodb" does not exist\n', "database", 'database "nodb" does not exist'),
    "full": (AT + "FATAL:  sorry, too many clients already\n", "full", "sorry, too many clients already"),
    "full, recorded": (read("postgres_full.err"), "full",
                       "remaining connection slots are reserved for non-replication superuser connections"),
    "full for this role": (AT + 'FATAL:  too many connections for role "app"\n', "full_own", 'too many connections for role "app"'),
    "starting": (AT + "FATAL:  the database system is starting up\n", "starting", "the database system is starting up"),
    "no PostgreSQL": (AT + "received invalid response to SSL negotiation: H\n", "closed",
                      "received invalid response to SSL negotiation: H"),
    "certificate": (AT + "SSL error: certificate verify failed\n", "tls", "SSL error: certificate verify failed"),
    "an open passfile": ('WARNING: password file "/root/pg" has group or world access; permissions should be u=rw (0600) or less\n'
                         + AT + "fe_sendauth: no password supplied\n", "auth",
                         'fe_sendauth: no password supplied; WARNING: password file "/root/pg" has group or world access; permissions '
                         'should be u=rw (0600) or less'),
    "a server that speaks German": (AT + "FATAL:  Etwas anderes\n", "failed", "Etwas anderes"),
    "nothing": ("", "exception", "psql ended with 2"),
}


@pytest.mark.parametrize(("err", "kind", "message"), FAILURES.values(), ids=FAILURES)
def test_why_psql_brought_nothing(err, kind, message):
    found = postgres.failure(2, err)
    assert (found.kind, found.message) == (kind, message)


def test_nothing_is_written_and_nothing_is_set_for_longer_than_the_transaction():
    argv = postgres.arguments(5000)
    assert argv[:6] == ["-X", "-A", "-t", "-q", "-w", "-v"]
    sql = [argv[index + 1] for index, word in enumerate(argv) if word == "-c"]
    assert sql[0].startswith("begin isolation level read committed read only; set local statement_timeout = 5000;") and sql[-1] == "commit"
    assert not [part for part in sql[0].split("; ") if part.startswith("set ") and not part.startswith("set local ")]
    assert all(one.startswith(("select ", "with ")) for one in sql[1:-1])


@given(st.text(), st.text())
def test_whatever_a_server_sends_is_facts(out, err):
    found = postgres.facts(postgres.answers(out, err))
    assert json.loads(json.dumps(found)) == found
    assert postgres.failure(1, err).message


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from((
                        "pid", "count", "oldest", "waiting", "blocked_by", "blockers", "settings", "max_connections", "total", "by",
                        "roles", "recovery", "seconds", "state", "bytes")), inner, max_size=4), max_leaves=12)


@given(st.dictionaries(st.sampled_from([name for name, _sql, _missing in postgres.QUERIES]), JSON))
def test_values_of_any_shape_are_facts(values):
    lines = "\n".join(json.dumps({"q": name, "v": value}) for name, value in values.items())
    postgres.facts(postgres.answers(lines, ""))
