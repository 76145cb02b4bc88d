# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers of the distribution: healthy ones are said nothing about, a fault is named with who causes it."""
from __future__ import annotations

import time
from typing import Any

import pytest

WORD = "monitor-word"
DATABASES = [
    {"name": "orders", "url": "postgres://monitor@127.0.0.1/orders"},
    {"name": "shop", "url": "mysql://monitor@127.0.0.1/shop"},
    {"name": "cache", "url": "redis://monitor@127.0.0.1/0"},
]
CREDENTIALS = {name: {"username": "monitor", "password": WORD} for name in ("orders", "shop", "cache")}
DECLARED = {"preflight_databases": DATABASES, "preflight_credentials": CREDENTIALS}
STRICT = {"databases.idle_in_transaction": {"seconds": 2}, "databases.lock_wait": {"seconds": 1}}


def told(results: dict[str, dict[str, Any]], *statuses: str) -> dict[str, str]:
    return {name: line["reason"] for name, line in results.items() if line["status"] in statuses}


def test_healthy_servers_are_said_nothing_about_with_the_least_rights(preflight):
    run = preflight("store", **DECLARED)
    results = run.results("store")
    assert told(results, "fail", "unknown", "error") == {}
    assert results["connections orders"]["reason"] == "orders (PostgreSQL, 127.0.0.1:5432): 0 of 17 connections are taken (0 %)."
    for name in ("reachable orders", "reachable shop", "reachable cache", "memory cache", "lock_wait shop"):
        assert results[name]["status"] == "pass", results[name]
        assert not [line for line in results[name]["evidence"] if line.startswith("not shown")]
    assert WORD not in run.text()


def test_idle_transactions_and_lock_waits_name_who_holds_what(preflight, session, store):
    for kind in ("postgres", "mariadb"):
        session(kind, "begin; update items set amount = amount + 1 where id = 1;", then=(1, 0, 1, 0))
        session(kind, "update items set amount = amount + 2 where id = 1;", then=(2, 0, 1, 1))
    session("postgres", "select pg_advisory_lock(7);", count=2, then=(4, 1, 1, 2))  # the second waits for as long as it likes
    time.sleep(3)  # longer than STRICT
    run = preflight("store", **DECLARED, preflight_thresholds=STRICT)
    failed = told(run.results("store"), "fail", "error", "unknown")
    assert sorted(failed) == ["idle_in_transaction orders", "idle_in_transaction shop", "lock_wait orders", "lock_wait shop"]
    assert failed["idle_in_transaction orders"].startswith('app "api" from 127.0.0.1, PID ')
    assert "and 1 session waits for its locks" in failed["idle_in_transaction orders"]
    assert "held by app \"api\" from 127.0.0.1" in failed["lock_wait orders"] and "idle in transaction" in failed["lock_wait orders"]
    assert "held by app from localhost" in failed["lock_wait shop"] and "idle in transaction" in failed["lock_wait shop"]


def test_a_server_without_a_connection_left_is_critical(preflight, session):
    session("postgres", "select 1;", count=20, then=(17, 17, 0, 0))
    line = preflight("store", **DECLARED).results("store", "connections")["orders"]
    assert (line["status"], line["severity"]) == ("fail", "critical")
    assert line["reason"].startswith("New connections to orders (PostgreSQL, 127.0.0.1:5432) are refused: ")


def test_nearly_full_is_named_with_who_has_them(preflight, session):
    session("postgres", "select 1;", count=14, then=(14, 14, 0, 0))
    line = preflight("store", **DECLARED).results("store", "connections")["orders"]
    assert (line["status"], line["severity"], line["actual"]) == ("fail", "high", 14)
    assert 'app "api" from 127.0.0.1: 14 (14 idle)' in line["evidence"]


@pytest.fixture
def full_cache(store):
    """Redis at its maxmemory with noeviction."""
    ask = "REDISCLI_AUTH=app-word redis-cli"
    value = "$(head -c 3000 /dev/zero | tr '\\0' x)"
    try:
        done = store.run("sh -c %s",
                         f"{ask} config set maxmemory 2mb; for n in $(seq 400); do echo set k$n {value}; done | {ask} | sort -u")
        assert "OOM" in done.stdout, done.stdout
        yield
    finally:
        store.run_expect([0], "sh -c %s", f"{ask} flushall; {ask} config set maxmemory 0")


def test_a_redis_that_is_full_is_named(preflight, full_cache):
    failed = told(preflight("store", **DECLARED).results("store"), "fail", "error", "unknown")
    assert list(failed) == ["memory cache"]
    assert "noeviction): at the limit it refuses every write; wanted is below 90 %." in failed["memory cache"]


def test_a_wrong_password_a_closed_port_and_missing_rights_are_told_apart(preflight):
    word = "not-the-right-word"
    databases = [
        *DATABASES,
        {"name": "closed", "url": "postgres://127.0.0.1:5999/orders"},
        {"name": "noname", "url": "mysql://no-such-host.invalid/shop"},
        {"name": "missing", "url": "postgres://monitor@127.0.0.1/no-such-database"},
        {"name": "blind", "url": "postgres://nobody@127.0.0.1/orders"},
        {"name": "peer", "url": "postgres:///orders", "socket": "/run/postgresql", "run_as": "postgres"},
        {"name": "unasked", "url": "postgres://somebody@127.0.0.1/orders"},
    ]
    credentials = {**{name: {"username": "monitor", "password": word} for name in ("orders", "shop", "cache")},
                   "missing": {"username": "monitor", "password": WORD}, "blind": {"username": "nobody", "password": "nobody-word"}}
    run = preflight("store", preflight_databases=databases, preflight_credentials=credentials)
    lines = run.results("store", "reachable")
    reasons = {name: line["reason"] for name, line in lines.items()}
    assert {name: line["status"] for name, line in lines.items()} == {
        "orders": "fail", "shop": "fail", "cache": "fail", "closed": "fail", "noname": "fail", "missing": "fail", "blind": "pass",
        "peer": "pass", "unasked": "unknown"}
    assert 'refuses the login of monitor from this host: password authentication failed for user "monitor".' in reasons["orders"]
    assert "refuses the login of monitor from this host: Access denied for user 'monitor'@" in reasons["shop"]
    assert "refuses the login of monitor from this host: WRONGPASS" in reasons["cache"]
    assert "nothing accepts connections there (Connection refused)." in reasons["closed"]
    assert "its name is not found" in reasons["noname"]
    assert 'the database is missing (database "no-such-database" does not exist).' in reasons["missing"]
    assert "answers and wants a login, of which the inventory says nothing" in reasons["unasked"]
    # The superuser sees all of the same server: it is the one that is judged, and the other is no finding of its own.
    idle = run.results("store", "idle_in_transaction")
    assert (idle["peer"]["status"], idle["blind"]["status"]) == ("pass", "notapplicable")
    assert word not in run.text() and "nobody-word" not in run.text()


def test_a_user_without_rights_is_no_proof_of_anything(preflight):
    run = preflight("store", preflight_databases=[{"name": "blind", "url": "postgres://nobody@127.0.0.1/orders"}],
                    preflight_credentials={"blind": {"username": "nobody", "password": "nobody-word"}})
    line = run.results("store", "idle_in_transaction")["blind"]
    assert (line["status"], line["severity"]) == ("unknown", "medium")
    assert line["reason"] == "blind (PostgreSQL, 127.0.0.1:5432) did not show the sessions of others to nobody."
    assert "pg_monitor" in line["remediation"]["hint"]


def test_from_another_host_by_a_driver_and_by_nobody(preflight, store):
    services = [{"name": "api", "depends_on": ["mysql://store/shop", "postgres://app@store:5432/orders"]}]
    run = preflight("store-client", preflight_services=services,
                    preflight_databases=[{"name": "orders", "url": "postgres://monitor@store/orders"}],
                    preflight_credentials={"orders": CREDENTIALS["orders"]})
    results = run.results("store-client", "reachable")
    release = store.check_output("ls /etc/postgresql")
    assert (results["orders"]["status"], results["orders"]["actual"].split(".")[0]) == ("pass", release)
    assert "python psycopg2" in results["orders"]["reason"] and "needed by api" in results["orders"]["evidence"]
    # Nobody has declared it: that it could not be asked weighs little.
    shop = results["store:3306/shop"]
    assert (shop["status"], shop["severity"]) == ("unknown", "low")
    assert "there is neither mariadb nor mysql nor Python's pymysql or MySQLdb on this host" in shop["reason"]
    assert shop["remediation"]["command"] == "apt-get install default-mysql-client"
