# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL and MariaDB: what the client printed, as facts. Recorded from MariaDB 10.11.19 of Debian 12; what MySQL 8 says otherwise is
taken from its manual."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils.databases import driver, mysql
from ansible_collections.goready.preflight.plugins.module_utils.databases.target import Answers
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures/databases"
NAMES = [name for name, _sql in mysql.QUERIES]


def read(name: str) -> str:
    return (FIXTURES / name).read_text()


def test_a_metadata_lock_and_an_idle_transaction():
    found = mysql.facts(mysql.answers(read("mariadb_metadata.out"), read("mariadb_metadata.err")))
    assert found["version"] == "10.11.19-MariaDB-0+deb12u1 Debian 12" and found["login"] == "mon@127.0.0.1"
    assert found["unreadable"] == []  # performance_schema.data_lock_waits is MySQL's; MariaDB has another way
    assert found["connections"]["limit"] == 151 and found["connections"]["reserved"] == 0
    (idle,) = found["idle_in_transaction"]
    assert (idle["user"], idle["state"], idle["writes"], idle["database"]) == ("app", "idle in transaction", True, "orders")
    assert [(one["kind"], one["on"], one["exact"]) for one in found["lock_waits"]] == 2 * [
        ("metadata", "Waiting for table metadata lock", False)]
    assert found["replication"]["role"] == "primary"


def test_a_row_lock_names_who_holds_it():
    (wait,) = mysql.facts(mysql.answers(read("mariadb_row.out"), ""))["lock_waits"]
    assert (wait["kind"], wait["exact"], wait["seconds"]) == ("row", True, pytest.approx(8, abs=2))
    (holder,) = wait["blocked_by"]
    assert (holder["user"], holder["state"]) == ("app", "idle in transaction") and holder["transaction_seconds"] > wait["seconds"]


def test_without_process_nothing_is_guessed():
    found = mysql.facts(mysql.answers(read("mariadb_plain.out"), read("mariadb_plain.err")))
    denied = "Access denied; you need (at least one of) the PROCESS privilege(s) for this operation (error 1227)"
    assert found["unreadable"] == [
        "open transactions (right PROCESS): " + denied,
        "lock waits (right PROCESS): " + denied,
        "replication (right REPLICATION CLIENT, in MariaDB SLAVE MONITOR): Access denied; you need (at least one of) the SUPER, SLAVE "
        "MONITOR privilege(s) for this operation (error 1227)",
        "sessions of other users (right PROCESS)",
    ]
    assert found["idle_in_transaction"] is found["lock_waits"] is found["replication"] is None
    assert found["connections"]["by"] == [] and found["connections"]["used"] >= 0 and found["sees_all"] is False


def test_the_python_driver_says_the_same():
    found = mysql.facts(driver.mysql_answers(read("mariadb_python.out")))
    assert found["version"].startswith("10.11.19-MariaDB") and found["lock_waits"] == [] and found["unreadable"] == []
    assert found["connections"]["limit"] == 151


def test_the_client_is_told_apart_by_lines():
    script = mysql.script(5).split("\n")
    assert len(script) == 2 * len(NAMES)
    assert script[0] == "select 'limit1' as '@goready-preflight';" and script[1] == "set session max_statement_time = 5;"
    assert script[3] == "set session max_execution_time = 5000;"
    allowed = ("select ", "show ", "set session ")
    assert all(line.startswith(allowed) and line.endswith(";") and line.count(";") == 1 for line in script)


REPLICAS = {
    "MySQL 8.0.22 and newer": (
        "replica2", {"channel_name": "", "source_host": "db1", "replica_io_running": "Yes", "replica_sql_running": "Yes",
                     "seconds_behind_source": "12", "sql_delay": "0", "last_sql_error": ""}, (12.0, None, "running")),
    "MySQL 5.7": (
        "replica3", {"channel_name": "", "master_host": "db1", "slave_io_running": "Yes", "slave_sql_running": "Yes",
                     "seconds_behind_master": "0", "sql_delay": "3600"}, (0.0, 3600.0, "running")),
    "MariaDB, stopped by an error": (
        "replica1", {"connection_name": "", "master_host": "db1", "slave_io_running": "Yes", "slave_sql_running": "No",
                     "seconds_behind_master": None, "last_sql_error": "Duplicate entry '1' for key 'PRIMARY'"},
        (None, None, "receiver Yes, applier No")),
}


@pytest.mark.parametrize(("query", "row", "expected"), REPLICAS.values(), ids=REPLICAS)
def test_replicas(query, row, expected):
    others = [name for name in NAMES if name.startswith("replica") and name != query]
    answers = Answers(values={query: [row]}, errors=dict.fromkeys(others, ("1064", "no")))
    found = mysql.facts(answers)["replication"]
    assert (found["lag_seconds"], found["delay"], found["state"]) == expected
    assert (found["role"], found["resolution"], found["replicas"][0]["host"]) == ("replica", "1 s", "db1")


def test_of_several_channels_the_one_that_stands_still_is_the_worst():
    rows = [{"connection_name": name, "slave_io_running": "Yes", "slave_sql_running": sql, "seconds_behind_master": lag}
            for name, sql, lag in (("a", "Yes", "7"), ("b", "No", None), ("c", "Yes", "0"))]
    found = mysql.facts(Answers(values={"replica1": rows}))["replication"]
    assert (found["lag_seconds"], found["state"]) == (None, "receiver Yes, applier No")


def test_the_channels_of_a_group_are_none_that_stand_still():
    """MySQL manual, group replication: the one for recovery runs while a member joins, the applier's has no receiver."""
    rows = [{"channel_name": "group_replication_%s" % name, "replica_io_running": "No", "replica_sql_running": sql}
            for name, sql in (("recovery", "No"), ("applier", "Yes"))]
    assert mysql.facts(Answers(values={"replica2": rows}))["replication"]["role"] == "primary"
    rows.append({"channel_name": "other", "source_host": "db9", "replica_io_running": "Yes", "replica_sql_running": "Yes",
                 "seconds_behind_source": "4"})
    found = mysql.facts(Answers(values={"replica2": rows}))["replication"]
    assert (found["role"], found["lag_seconds"], [one["name"] for one in found["replicas"]]) == ("replica", 4.0, ["other"])


def pairs(**values: str) -> list[dict[str, str]]:
    return [{"variable_name": name.capitalize(), "value": value} for name, value in values.items()]


def test_what_was_refused_within_the_second():
    answers = Answers(values={
        "variables": pairs(max_connections="10", max_user_connections="4"), "transactions": [], "ours": [{"count": "1"}],
        "status": pairs(threads_connected="11", max_used_connections="11", connection_errors_max_connections="7"),
        "status_after": pairs(connection_errors_max_connections="9"),
        "sessions": [{"user": "app", "host": "10.0.0.5", "db": "shop", "command": "Sleep", "count": "4"}]})
    found = mysql.facts(answers)["connections"]
    assert (found["used"], found["limit"], found["refused"], found["peak"]) == (10, 10, 2, 11)
    assert found["own_limits"] == [{"of": "user app", "used": 4, "limit": 4}]


FAILURES = {
    "refused": ("ERROR 2002 (HY000): Can't connect to server on '127.0.0.1' (115)", True, "refused",
                "Can't connect to server on '127.0.0.1' (error 2002)"),
    "silence": ("ERROR 2002 (HY000): Can't connect to server on '10.0.0.9' (115)", False, "timeout",
                "Can't connect to server on '10.0.0.9' (error 2002)"),
    "MySQL's refused": ("ERROR 2003 (HY000): Can't connect to MySQL server on 'db1:3306' (111)", True, "refused",
                        "Can't connect to MySQL server on 'db1:3306' (111) (error 2003)"),
    "no route": ("ERROR 2002 (HY000): Can't connect to server on '10.0.0.9' (113)", True, "unreachable",
                 "Can't connect to server on '10.0.0.9' (113) (error 2002)"),
    "no socket": ("ERROR 2002 (HY000): Can't connect to local server through socket '/run/x.sock' (2)", True, "refused",
                  "Can't connect to local server through socket '/run/x.sock' (2) (error 2002)"),
    "no such name": ("ERROR 2005 (HY000): Unknown server host 'nosuch.invalid' (-2)", True, "resolve",
                     "Unknown server host 'nosuch.invalid' (-2) (error 2005)"),
    "no such name, pymysql": (
        "ERROR 2003 (HY000): Can't connect to MySQL server on 'nosuch.invalid' ([Errno -2] Name or service not known)", True, "resolve",
        "Can't connect to MySQL server on 'nosuch.invalid' ([Errno -2] Name or service not known) (error 2003)"),
    "refused, pymysql": ("ERROR 2003 (HY000): Can't connect to MySQL server on 'db1' ([Errno 111] Connection refused)", True, "refused",
                         "Can't connect to MySQL server on 'db1' ([Errno 111] Connection refused) (error 2003)"),
    "silence, pymysql": ("ERROR 2003 (HY000): Can't connect to MySQL server on 'db1' (timed out)", False, "timeout",
                         "Can't connect to MySQL server on 'db1' (timed out) (error 2003)"),
    "a server that hangs": ("ERROR 2013 (HY000): Lost connection to server at 'handshake: reading initial communication packet', "
                            "system error: 110", False, "timeout",
                            "Lost connection to server at 'handshake: reading initial communication packet', system error: 110 "
                            "(error 2013)"),
    "a server that hangs up": ("ERROR 2013 (HY000): Lost connection to server at 'reading authorization packet', system error: 115", True,
                               "closed", "Lost connection to server at 'reading authorization packet', system error: 115 (error 2013)"),
    "wrong password": ("ERROR 1045 (28000): Access denied for user 'mon'@'localhost' (using password: YES)", True, "auth",
                       "Access denied for user 'mon'@'localhost' (error 1045)"),
    "this host": ("ERROR 1130 (HY000): Host '10.0.0.5' is not allowed to connect to this MariaDB server", True, "forbidden",
                  "Host '10.0.0.5' is not allowed to connect to this MariaDB server (error 1130)"),
    "full, said before TLS": (
        "ERROR 2002 (HY000): Received error packet before completion of TLS handshake. The authenticity of the following error cannot be "
        "verified: 1040 - Too many connections\n", True, "full", "Too many connections (error 1040)"),
    "full": ("ERROR 1040 (08004): Too many connections", True, "full", "Too many connections (error 1040)"),
    "full for this user": ("ERROR 1203 (42000): User app already has more than 'max_user_connections' active connections", True, "full_own",
                           "User app already has more than 'max_user_connections' active connections (error 1203)"),
    "TLS": ("ERROR 2026 (HY000): TLS/SSL error: certificate verify failed", True, "tls",
            "TLS/SSL error: certificate verify failed (error 2026)"),
    "another refusal": ("ERROR 1524 (HY000): Plugin 'x' is not loaded", True, "failed", "Plugin 'x' is not loaded (error 1524)"),
    "an option it does not know": ("mysql: unknown option '--x'", True, "exception", "mysql: unknown option '--x'"),
    "nothing": ("", True, "exception", "the client ended with 1"),
}


@pytest.mark.parametrize(("err", "quick", "kind", "message"), FAILURES.values(), ids=FAILURES)
def test_why_the_client_brought_nothing(err, quick, kind, message):
    found = mysql.failure(1, err, quick=quick)
    assert (found.kind, found.message) == (kind, message)


def test_a_cell_is_what_the_client_escaped():
    out = "@goready-preflight\nlogin\nlogin\tdb\na\\tb\\\\c\\n\tNULL\n"
    assert mysql.answers(out, "").values["login"] == [{"login": "a\tb\\c\n", "db": None}]


@given(st.text(), st.text())
def test_whatever_a_server_sends_is_facts(out, err):
    for text in (out, "@goready-preflight\nstatus\nVariable_name\tValue\n" + out):
        found = mysql.facts(mysql.answers(text, err))
        assert json.loads(json.dumps(found)) == found
    assert mysql.failure(1, err).message
    mysql.facts(driver.mysql_answers(out))


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.dictionaries(st.sampled_from((
    "pid", "seconds", "waited", "waiting", "variable_name", "value", "count", "user", "host", "seconds_behind_master", "state")),
    st.none() | st.text(max_size=6) | st.sampled_from(("max_connections", "threads_connected", "5", "-1", "nan")), max_size=5),
    max_size=4)))
def test_rows_of_any_shape_are_facts(values):
    mysql.facts(Answers(values=values))
