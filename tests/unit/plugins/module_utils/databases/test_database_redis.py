# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis: what redis-cli printed, as facts. Recorded from redis-cli and Redis 7.0.15 of Debian 12."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils.databases import redis
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures/databases"


def read(name: str) -> str:
    return (FIXTURES / name).read_text()


def facts(name: str) -> dict:
    return redis.facts(redis.answers(read(name), ""))


def test_a_full_server_that_refuses_writes():
    found = facts("redis_full.out")
    assert found["version"] == "7.0.15" and found["unreadable"] == [] and len(found["server_id"]) == 40
    memory = found["memory"]
    assert (memory["maximum"], memory["policy"], memory["evicted"]) == (2 << 20, "noeviction", 0)
    assert memory["used"] > 0.95 * memory["maximum"] and memory["refused_writes"] >= 5
    connections = found["connections"]
    assert (connections["used"], connections["limit"], connections["refused"]) == (1, 10000, 0)  # its replica; ourselves not
    assert [one["user"] for one in connections["by"]] == ["default"]
    (replica,) = found["replication"]["replicas"]
    assert found["replication"]["role"] == "primary" and replica["state"] == "online" and replica["lag_seconds"] <= 1


def test_a_replica():
    found = facts("redis_replica.out")["replication"]
    assert (found["role"], found["state"], found["lag_seconds"]) == ("replica", "up", None)
    assert found["note"].startswith("it last heard of its primary ")


def test_a_user_who_may_only_ask_for_info():
    found = facts("redis_narrow.out")
    assert found["unreadable"] == ["the list of clients: NOPERM this user has no permissions to run the 'client|list' command"]
    assert found["connections"]["limit"] == 10000 and found["connections"]["by"] == []


def test_a_limit_that_only_config_names():
    out = "# Server\nredis_version:5.0.14\n# Clients\nconnected_clients:3\nmaxclients\n512\n"
    assert redis.facts(redis.answers(out, ""))["connections"]["limit"] == 512
    hidden = "# Server\nredis_version:5.0.14\nconnected_clients:3\nERR unknown command `CONFIG`, with args beginning with: `GET`\n"
    found = redis.facts(redis.answers(hidden, ""))
    assert found["connections"]["limit"] is None
    assert found["unreadable"] == ["the limit of clients: ERR unknown command `CONFIG`, with args beginning with: `GET`"]


def info(*lines: str) -> str:
    return "\n".join(("# Server", "redis_version:7.2.4", "uptime_in_seconds:60", "# Memory", "used_memory:100", "total_error_replies:0",
                      *lines, ""))


def test_counters_are_of_the_second_between():
    out = info("evicted_keys:1000", "rejected_connections:3", "connected_clients:2") + info("evicted_keys:1250", "rejected_connections:5")
    found = redis.facts(redis.answers(out, ""))
    assert (found["memory"]["evicted"], found["memory"]["evicted_total"]) == (250, 1000)
    assert found["connections"]["refused"] == found["clients"]["rejected"] == 2


LINKS = {
    "down": (("role:slave", "master_link_status:down", "master_link_down_since_seconds:77"), ("down", 77.0)),
    "never up": (("role:slave", "master_link_status:down", "master_link_down_since_seconds:-1"), ("down", None)),
    "copying": (("role:slave", "master_link_status:down", "master_sync_in_progress:1"), ("sync", None)),
}


@pytest.mark.parametrize(("lines", "expected"), LINKS.values(), ids=LINKS)
def test_links_to_a_primary(lines, expected):
    found = redis.facts(redis.answers(info(*lines), ""))["replication"]
    assert (found["state"], found["lag_seconds"]) == expected


def test_a_replica_that_is_behind():
    found = redis.facts(redis.answers(info("role:master", "master_repl_offset:5000",
                                           "slave0:ip=10.0.0.6,port=6379,state=online,offset=1000,lag=14"), ""))["replication"]
    assert [(one["lag_seconds"], one["lag_bytes"], one["name"]) for one in found["replicas"]] == [(14.0, 4000, "10.0.0.6:6379")]


FAILURES = {
    "refused": (6 * "Could not connect to Redis at 127.0.0.1:6399: Connection refused\n", "", "refused",
                "Could not connect to Redis at 127.0.0.1:6399: Connection refused"),
    "no such name": ("Could not connect to Redis at nosuch.invalid:6379: Name or service not known\n", "", "resolve",
                     "Could not connect to Redis at nosuch.invalid:6379: Name or service not known"),
    "wrong password, though the default user may everything": (
        read("redis_wrong.err"), read("redis_wrong.out"), "auth", "WRONGPASS invalid username-password pair or user is disabled"),
    "wrong password, redis-py": ("", "ERR WRONGPASS invalid username-password pair or user is disabled.\n", "auth",
                                 "WRONGPASS invalid username-password pair or user is disabled"),
    "no password, redis-py": ("", "ERR Authentication required.\n", "auth", "ERR Authentication required"),
    "no password": ("", "NOAUTH Authentication required.\n", "auth", "NOAUTH Authentication required"),
    "protected mode": ("", read("redis_denied.out"), "forbidden",
                       "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
                       "default user"),
    "full, in a cluster": ("Error: Connection reset by peer\n", "ERR max number of clients + cluster connections reached\n", "full",
                           "ERR max number of clients + cluster connections reached"),
    "full": ("", "ERR max number of clients reached\n", "full", "ERR max number of clients reached"),
    "loading": ("", "LOADING Redis is loading the dataset in memory\n", "starting", "LOADING Redis is loading the dataset in memory"),
    "closed": ("Error: Server closed the connection\n", "", "closed", "Server closed the connection"),
    "certificate": ("Could not connect to Redis at db1:6379: SSL_connect failed: certificate verify failed\n", "", "tls",
                    "Could not connect to Redis at db1:6379: SSL_connect failed: certificate verify failed"),
    "nothing": ("", "", "exception", "redis-cli ended with 1"),
}


@pytest.mark.parametrize(("err", "out", "kind", "message"), FAILURES.values(), ids=FAILURES)
def test_why_redis_cli_brought_nothing(err, out, kind, message):
    found = redis.failure(1, out, err)
    assert (found.kind, found.message) == (kind, message)


@given(st.text(), st.text())
def test_whatever_a_server_sends_is_facts(out, err):
    for text in (out, info() + out):
        found = redis.facts(redis.answers(text, err))
        assert json.loads(json.dumps(found)) == found
    assert redis.failure(1, out, err).message


@given(st.lists(st.tuples(st.sampled_from(("role", "slave0", "maxclients", "connected_clients", "used_memory", "maxmemory", "errorstat_OOM",
                                           "total_error_replies", "master_link_down_since_seconds", "connected_slaves")),
                          st.sampled_from(("slave", "master", "-1", "5", "count=7", "ip=,lag=,offset=x", "1e999", "")))))
def test_values_of_any_shape_are_facts(lines):
    text = info(*("%s:%s" % line for line in lines))
    redis.facts(redis.answers(text + text, ""))


def test_a_sentinel_holds_no_data():
    found = redis.facts(redis.answers("# Server\nredis_version:7.0.15\nredis_mode:sentinel\n# Clients\nconnected_clients:1\n", ""))
    assert (found["replication"]["role"], found["memory"]) == ("sentinel", None)


LOADING = "# Server\nredis_version:7.0.15\n# Persistence\nloading:%d\nasync_loading:%d\nloading_eta_seconds:63\n"


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param(LOADING % (1, 0), redis.Failure("starting", "it loads its data set into memory, for 63 s more"), id="loading"),
    pytest.param(LOADING % (0, 0), None, id="loaded"),
    pytest.param(LOADING % (1, 1), None, id="serves the old data meanwhile"),
])
def test_a_server_that_loads_does_not_serve(text, expected):
    assert redis.loading(redis.answers(text, "")) == expected
