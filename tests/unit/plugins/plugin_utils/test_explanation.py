# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each cause by itself is the first line; a symptom comes behind its cause; a healthy service has none; facts of any shape."""
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.plugin_utils import explanation, hostdoc
from ansible_collections.goready.preflight.plugins.plugin_utils.causes import base
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Remediation, Result

URL = "https://pay.example.org/charge"
KEYS = ("ranked", "excluded", "measured", "unmeasured", "request", "profile")


def times(median: float) -> dict[str, float]:
    return {"min": median * 0.9, "median": median, "p95": median * 1.2}


def endpoint(url: str = URL, *, dns: float = 0.5, connect: float = 0.4, tls: float = 4.0, first_byte: float = 6.0,
             role: str = "depends_on", **more: Any) -> dict[str, Any]:
    host = url.split("/")[2]
    phases = {"dns": times(dns), "connect": times(connect), "tls": times(tls), "first_byte": times(first_byte),
              "total": times(dns + connect + tls + first_byte)}
    return {"services": ["api"], "role": [role], "url": url, "scheme": "https", "host": host, "port": 443, "samples": 5,
            "dns": {"name": host, "cold": dns * 2, "warm": times(dns), "error": None, "queries": []},
            "addresses": [address("192.0.2.7")], "phases": phases, "error": None, **more}


def address(name: str, *, ok: int = 5, kind: str = "timeout", routed: bool = True) -> dict[str, Any]:
    errors = [] if ok else [{"phase": "connect", "kind": kind, "message": "no answer", "count": 2}]
    return {"address": name, "family": "inet6" if ":" in name else "inet", "ok": ok, "asked": 5, "routed": routed, "errors": errors}


def seen(**states: int) -> dict[str, Any]:
    """An entry of wall.endpoints: so many requests in each state, in each of ten samples."""
    functions = {
        "lock": ("lock", "sync.(*Mutex).Lock"), "pool": ("select", "database/sql.(*DB).conn"),
        "dns": ("select", "net.(*Resolver).lookupIP"),
        "connect": ("io", "net.(*sysDialer).dialTCP"), "tls": ("io", "crypto/tls.(*Conn).Handshake"), "cpu": ("running", "main.compute"),
        "dependency": ("select", "net/http.(*persistConn).roundTrip"), "database": ("io", "github.com/lib/pq.(*conn).recvMessage"),
        "gc": ("gc", "main.allocate"), "sleep": ("sleep", "time.Sleep"), "internal": ("select", "main.wait"),
        "queue": ("chan_send", "main.submit"),
    }
    groups = {name: {"class": functions[name][0], "frames": [[functions[name][1], "/x.go", 1, "std"], ["main.handle", "/m.go", 9, "own"]],
                     "wait": None, "server": "net/http"} for name in states}
    groups["reader"] = {"class": "io", "wait": None, "server": None,
                        "frames": [["net/http.(*connReader).backgroundRead", "/x.go", 1, "std"]]}
    states["reader"] = sum(states.values())
    return {"service": "api", "container": None, "pid": 812, "seconds": 4.8, "groups": groups, "mutex": None, "error": None,
            "samples": [{"clock": float(number), "total": 50, "counts": dict(states)} for number in range(10)]}


def healthy() -> dict[str, Any]:
    """A service under load with everything measured and nothing wrong: a request takes 12 ms."""
    return {
        "services": {"services": [{"name": "api", "container": None, "declared": True, "processes": [
            {"pid": 812, "listeners": [{"proto": "tcp", "address": "0.0.0.0", "port": 8080, "path": None}]}]}]},
        "connections": {"resolver": {}, "endpoints": [endpoint(), endpoint("http://127.0.0.1:8080/healthz", role="health", dns=0, tls=0,
                                                                           first_byte=1.0)]},
        "sample": {
            "kernel": {"seconds": 5.0, "tcp": {"OutSegs": 9000, "RetransSegs": 3, "ListenOverflows": 0}, "port_range": [32768, 60999],
                       "conntrack": {"count": 90, "maximum": 262144, "drops": 0, "early_drops": 0},
                       "destinations": [{"address": "192.0.2.7", "port": 443, "established": 9, "time_wait": 30, "syn_sent": 0,
                                         "closing": 0, "services": ["api"]},
                                        {"address": "127.0.0.1", "port": 8080, "established": 900, "services": []}]},
            "listeners": [{"service": "api", "pid": 812, "proto": "tcp", "address": "0.0.0.0", "port": 8080, "backlog": 4096,
                           "queue": [0, 1, 0], "queue_max": 1, "drops": 0}],
            "services": [{"service": "api", "pid": 812, "container": None, "fds": {"open": 40, "soft": 65536},
                          "cpu": {"quota": 2.0, "periods": 50, "throttled_periods": 0, "throttled_seconds": 0.0, "seconds": 5.0},
                          "sched": {"wait_seconds": 0.01, "run_seconds": 0.5}}]},
        "pools": {"services": [{"service": "api", "pid": 812, "seconds": 5.0, "error": None, "http": {"requests": 500, "seconds": 6.0},
                                "gc": {"pauses": 2, "pause_seconds": 0.0002, "cpu_fraction": 0.002},
                                "pools": [{"name": "orders", "max_open": 20, "open": 5, "in_use": 3, "idle": 2, "waits": 0,
                                           "wait_seconds": 0.0}]}]},
        "databases": {"servers": [{"name": "orders", "kind": "postgres", "url": "postgres://app@db1:5432/orders", "services": ["api"],
                                   "error": None, "connections": {"used": 20, "limit": 97, "reserved": 3, "maximum": 100},
                                   "idle_in_transaction": [], "lock_waits": []}]},
        "wall": {"endpoints": [seen(dependency=2, database=2, cpu=1)]},
        "timeouts": {"listeners": [{"url": "http://127.0.0.1:8080", "headers": {"closed_after": 5.0, "waited": 5.0},
                                    "body": {"closed_after": 10.0, "waited": 10.0}, "error": None}]},
    }


def finding(check: str, subject: str = "api", *, severity: str = "high", reason: str = "It is not as it should be.", status: str = "fail",
            actual: Any = None) -> Result:
    return Result(check, status, severity, reason, subject, actual, evidence=("what was seen",), remediation=Remediation(hint="Mend it."))


def explained(facts: dict[str, Any], *results: Result) -> dict[str, Any]:
    found = explanation.explain(facts, results)
    assert set(found) == {("api", "")}
    assert tuple(found["api", ""]) == KEYS
    return found["api", ""]


def causes(told: dict[str, Any]) -> list[str]:
    return [one["cause"] for one in told["ranked"]]


# ------------------------------------------------------------------------------------------------------------- nothing wrong

def test_a_healthy_service_has_no_cause_and_says_what_was_measured() -> None:
    told = explained(healthy())
    assert told["ranked"] == [] and explanation.first(told) is None
    assert told["unmeasured"] == []
    assert told["request"] == {"mean_ms": 12.0, "source": "the service's metrics", "requests": 500}
    assert [line for line in told["measured"] if line.startswith("Pool")] == ["Pool orders: 3 of 20 connections in use, no wait in 5 s."]
    assert {one["cause"]: one["reason"] for one in told["excluded"]}["tls"] == (
        f"The TLS handshake with {URL} takes 4.0 ms (median); 0 % of 50 requests seen at work waited for "
        "TLS handshakes: no cause.")
    starts = ("Descriptors: 40 of 65536", "CPU quota of 2 CPUs: never reached", "Accept queue of 0.0.0.0:8080: at most 1 of 4096",
              "Database orders: 20 of 97 connections", "Retransmits: 3 of 9000", "Locks: no request waited",
              "Requests at work: 5.0 at a time", "Local ports: 9 connections to 192.0.2.7:443, the host's most",
              "Connection tracking: 90 of 262144", "http://127.0.0.1:8080: a client that sends its headers slowly is given up after 5.0 s")
    assert not [start for start in starts if not any(line.startswith(start) for line in told["measured"])], told["measured"]
    assert told["profile"]["observations"] == 50 and told["profile"]["shares"][0] == {
        "state": "the answer of a database", "share": 0.4, "where": "main.handle (m.go:9)"}


def test_nothing_is_explained_where_nothing_was_measured() -> None:
    facts = {key: value for key, value in healthy().items() if key == "services"}
    assert explanation.explain({**facts, "runtime": {"endpoints": []}, "host": {}}, []) == {}


# --------------------------------------------------------------------------------------------------------- one cause at a time

def planted(name: str) -> tuple[dict[str, Any], list[Result]]:
    """The healthy facts with one cause, as its collector would bring it, and the finding of its check."""
    facts = healthy()
    slow = {"pools.services.0.http": {"requests": 100, "seconds": 60.0}}  # a request takes 600 ms

    def change(values: dict[str, Any]) -> None:
        for path, value in values.items():
            *steps, last = path.split(".")
            at: Any = facts
            for step in steps:
                at = at[int(step)] if isinstance(at, list) else at[step]
            if isinstance(at, list):
                at[int(last)] = value
            else:
                at[last] = value

    wall = "wall.endpoints.0"
    if name == "dns":
        change({**slow, "connections.endpoints.0": endpoint(dns=450), wall: seen(dns=9, dependency=1)})
        return facts, [finding("network.dns", "pay.example.org"), finding("network.endpoint_latency", URL, severity="low")]
    if name == "dead_address":
        dead = [address("2001:db8::7", ok=0), address("192.0.2.7")]
        change({**slow, "connections.endpoints.0": endpoint(addresses=dead), wall: seen(connect=6, dependency=3)})
        return facts, [finding("network.endpoint", URL, severity="medium")]
    if name == "tls":
        change({**slow, "connections.endpoints.0": endpoint(tls=520), wall: seen(tls=9, dependency=1)})
        return facts, [finding("network.endpoint_latency", URL, severity="medium")]
    if name == "first_byte":
        change({**slow, "connections.endpoints.0": endpoint(first_byte=560), wall: seen(dependency=19, cpu=1)})
        return facts, [finding("network.endpoint_latency", URL, severity="medium")]
    if name == "accept_queue":
        change({"sample.listeners.0.backlog": 1, "sample.listeners.0.queue_max": 2, "sample.listeners.0.drops": 40})
        return facts, [finding("network.listen_overflow", "api 0.0.0.0:8080"), finding("services.healthy", severity="critical")]
    if name == "descriptors":
        change({"sample.services.0.fds": {"open": 63, "soft": 64}, "sample.listeners.0.drops": 3})
        return facts, [finding("limits.nofile_headroom"), finding("services.healthy", severity="critical")]
    if name == "pool":
        change({**slow, wall: seen(pool=12, database=3), "pools.services.0.pools.0": {
            "name": "orders", "max_open": 2, "open": 2, "in_use": 2, "idle": 0, "waits": 90, "wait_seconds": 45.0}})
        return facts, [finding("databases.pool_wait", "api orders")]
    if name == "database_idle":
        change({**slow, wall: seen(pool=8, database=10),
                "pools.services.0.pools.0.waits": 50, "pools.services.0.pools.0.wait_seconds": 30.0,
                "databases.servers.0.idle_in_transaction": [{"pid": 70, "user": "app", "application": "shop", "seconds": 95.0}],
                "databases.servers.0.lock_waits": [{"pid": 71, "seconds": 4.0, "blocked_by": [{"pid": 70, "user": "app"}]}]})
        return facts, [finding("databases.idle_in_transaction", "orders", severity="medium"), finding("databases.pool_wait", "api orders"),
                       finding("databases.lock_wait", "orders", severity="medium")]
    if name == "lock":
        site = {"function": "example.org/api/store.(*Till).Pay", "file": "/src/till.go", "line": 31, "origin": "own", "contentions": 80,
                "delay_ns": 40_000_000_000}
        mutex = {"seconds": 5.0, "period": 5, "contentions": 80, "delay_ns": 40_000_000_000, "sites": [site]}
        change({**slow, wall: {**seen(lock=18, sleep=1), "mutex": mutex}})
        return facts, []
    if name == "gc":
        change({**slow, "pools.services.0.gc.cpu_fraction": 0.55, wall: seen(gc=6, cpu=8), "sample.services.0.sched": {
            "wait_seconds": 3.0, "run_seconds": 4.0}})
        return facts, [finding("memory.gc_cpu", severity="medium")]
    if name == "cpu_quota":
        change({**slow, wall: seen(cpu=18, gc=1), "sample.services.0.cpu": {
            "quota": 0.2, "periods": 50, "throttled_periods": 48, "throttled_seconds": 4.1, "seconds": 5.0}})
        return facts, [finding("limits.gomaxprocs", severity="low")]
    if name == "conntrack":
        change({"sample.kernel.conntrack": {"count": 262144, "maximum": 262144, "drops": 30, "early_drops": 0},
                "connections.endpoints.0": endpoint(addresses=[address("192.0.2.7", ok=0)], phases=None,
                                                    error={"phase": "connect", "kind": "timeout", "message": "no answer within 3 s"})})
        return facts, [finding("network.conntrack", "", severity="high"), finding("network.endpoint", URL)]
    if name == "ports":
        change({"connections.endpoints.0": endpoint(addresses=[address("192.0.2.7", ok=0, kind="no_local_port")], phases=None, error={
            "phase": "connect", "kind": "no_local_port", "message": "cannot assign requested address"})})
        return facts, [finding("network.conntrack", "192.0.2.7:443"), finding("network.endpoint", URL)]
    if name == "module_proxy":
        return facts, [finding("modules.proxy_latency", "https://proxy.example.org", severity="medium", reason="Its p95 is 900 ms.")]
    if name == "down":
        change({wall: {**seen(), "samples": [], "error": {"kind": "refused", "message": "nothing listens"}}})
        return facts, [finding("services.active", severity="critical"), finding("services.healthy", severity="critical")]
    if name == "unhealthy":
        return facts, [finding("services.healthy", severity="critical")]
    if name == "database_down":
        change({"databases.servers.0": {"name": "orders", "url": "postgres://app@db1:5432/orders", "services": ["api"],
                                        "error": {"kind": "refused", "message": "connection refused"}},
                wall: seen(database=9, cpu=1)})
        return facts, [finding("databases.reachable", "orders"), finding("services.healthy", severity="critical")]
    if name == "database_full":
        change({"databases.servers.0": {"name": "orders", "url": "postgres://app@db1:5432/orders", "services": ["api"],
                                        "error": {"kind": "full", "message": "sorry, too many clients already"}}})
        return facts, [finding("databases.connections", "orders"), finding("services.healthy", severity="critical")]
    if name == "tasks":
        return facts, [finding("limits.tasks", severity="medium")]
    if name == "database_connections":
        change({"databases.servers.0.connections": {"used": 97, "limit": 97, "reserved": 3, "maximum": 100}})
        return facts, [finding("databases.connections", "orders"), finding("databases.pool_wait", "api orders")]
    if name == "leak":
        change({"sample.services.0.fds": {"open": 1000, "soft": 1024}})
        return facts, [finding("goroutines.leaked", "api main.fetch", actual=900), finding("limits.nofile_headroom")]
    if name == "memory":
        return facts, [finding("memory.rss_headroom")]
    if name == "retransmits":
        return facts, [finding("network.retransmits", "", severity="medium")]
    assert name == "server_timeouts"
    change({"timeouts.listeners.0.headers": {"closed_after": None, "waited": 10.0}})
    return facts, []


CAUSES = (
    "dns", "dead_address", "tls", "first_byte", "accept_queue", "descriptors", "pool", "database_idle", "lock", "gc", "cpu_quota",
    "conntrack", "ports", "module_proxy", "down", "unhealthy", "database_down", "database_connections", "leak", "memory", "retransmits",
    "server_timeouts", "database_full", "tasks")


@pytest.mark.parametrize("name", CAUSES)
def test_the_first_line_names_the_cause(name: str) -> None:
    facts, results = planted(name)
    told = explained(facts, *results)
    first = explanation.first(told)
    assert first is told["ranked"][0]
    wanted = {"database_full": "database_connections"}.get(name, name)
    assert first["cause"] == wanted, [(one["cause"], one["share"], one["reason"]) for one in told["ranked"]]
    assert first["behind"] == "" and first["reason"].endswith(".") and first["first_step"]
    assert first["check"] in ({line.id for line in results} | {"", "goroutines.blocked"})
    # What else is told is its symptom.
    assert all(one["behind"] for one in told["ranked"][1:]), [(one["cause"], one["behind"]) for one in told["ranked"]]


@pytest.mark.parametrize(("name", "share", "cost", "fails", "reason"), [
    pytest.param("dns", 0.9, 450.0, False, "Looking up the name of pay.example.org takes 450 ms (median); "
                                           "90 % of 100 requests seen at work waited for name resolution.", id="dns"),
    pytest.param("dead_address", 0.667, 300.0, False, "2001:db8::7 of https://pay.example.org/charge is dead: a Go client waits 300 ms for "
                 "it before it tries IPv4, on every new connection; 67 % of 90 requests seen at work waited for connections to be made.",
                 id="dead IPv6"),
    pytest.param("accept_queue", None, None, True, "The accept queue of 0.0.0.0:8080 is full: up to 2 waited at a backlog of 1, and 40 "
                 "connections were dropped; a client tries again after 1, 3 and 7 s.", id="backlog"),
    pytest.param("descriptors", None, None, True, "63 of 64 file descriptors are in use: with none left, accept(2), connect(2) and "
                 "open(2) fail with EMFILE.", id="descriptors"),
    pytest.param("pool", 0.8, 450.0, False, "Requests waited 90 times for a connection of the pool orders in 5 s, 500 ms each (2 "
                 "of 2 connections in use); 80 % of 150 requests seen at work waited for one.", id="pool"),
    pytest.param("database_idle", 1.0, None, False, "1 transaction in orders is open without work, the longest for 95 s (shop), and 1 "
                 "session waits for a lock behind it.", id="idle transaction"),
    pytest.param("lock", 0.947, 568.4, False, "Requests wait 95 % of their time for a lock, most of it for one which store.(*Till).Pay "
                 "(till.go:31) holds; 18.0 wait at a time.", id="lock"),
    pytest.param("gc", 0.55, 330.0, False, "In 5 s the garbage collector took 55 % of the CPU time that the service may use; 43 % of "
                 "140 requests seen at work did the garbage collector's work.", id="gc"),
    pytest.param("cpu_quota", 0.82, 492.0, False, "The CPU quota of 0.2 CPUs stopped the service in 48 of 50 periods, for 4.1 s in 5 s: "
                 "every request stands still meanwhile.", id="quota"),
    pytest.param("module_proxy", None, None, False, "Its p95 is 900 ms. No request waits for it; builds do, and every repair that needs "
                 "one.", id="slow proxy"),
])
def test_what_the_first_line_says(name: str, share: float | None, cost: float | None, fails: bool, reason: str) -> None:
    facts, results = planted(name)
    first = explained(facts, *results)["ranked"][0]
    assert (first["share"], first["cost_ms"], first["fails"], first["reason"]) == (share, cost, fails, reason)


@pytest.mark.parametrize(("name", "expected"), [
    pytest.param("database_idle", [("database_idle", ""), ("database_locks", "database_idle"), ("pool", "database_idle")],
                 id="locks and the pool behind the open transaction"),
    pytest.param("leak", [("leak", ""), ("descriptors", "leak")], id="descriptors behind what keeps them"),
    pytest.param("descriptors", [("descriptors", ""), ("accept_queue", "descriptors"), ("unhealthy", "descriptors")],
                 id="nobody accepts without descriptors"),
    pytest.param("conntrack", [("conntrack", ""), ("unreachable", "conntrack")], id="nobody is reached through a full table"),
    pytest.param("gc", [("gc", ""), ("cpu", "gc"), ("run_queue", "gc")], id="what the collector takes is missing to others"),
    pytest.param("cpu_quota", [("cpu_quota", ""), ("cpu", "cpu_quota")], id="who is stopped computes long"),
    pytest.param("down", [("down", ""), ("unhealthy", "down")], id="who is down is not healthy"),
])
def test_symptoms_come_behind_their_cause(name: str, expected: list[tuple[str, str]]) -> None:
    facts, results = planted(name)
    assert [(one["cause"], one["behind"]) for one in explained(facts, *results)["ranked"]] == expected


def test_order_of_several_causes() -> None:
    """Down, then what fails outright, then by measured share, then by severity, then notes."""
    facts, results = planted("lock")
    facts["wall"]["endpoints"][0]["groups"].update(seen(tls=1)["groups"])
    for sample in facts["wall"]["endpoints"][0]["samples"]:
        sample["counts"]["tls"] = 6
    facts["connections"]["endpoints"][0] = endpoint(tls=300)
    facts["sample"]["services"][0]["fds"] = {"open": 64, "soft": 64}
    results = [finding("network.endpoint_latency", URL, severity="medium"), finding("memory.rss_headroom", severity="high"),
               finding("network.retransmits", "", severity="medium"),
               finding("modules.proxy_latency", "https://proxy", severity="critical"), finding("services.active", severity="critical")]
    told = explained(facts, *results)
    assert causes(told) == ["down", "descriptors", "lock", "tls", "memory", "retransmits", "module_proxy"]
    assert [one["fails"] for one in told["ranked"]] == [True, True, False, False, False, False, False]


# ----------------------------------------------------------------------------------------------------------- what is no cause

def test_what_no_request_waits_for_is_excluded_however_slow_it_is() -> None:
    facts = healthy()
    facts["connections"]["endpoints"][0] = endpoint(dns=450)
    told = explained(facts, finding("network.dns", "pay.example.org"))
    assert causes(told) == []
    found = next(one for one in told["excluded"] if one["cause"] == "dns")
    assert (found["share"], found["cost_ms"]) == (0.0, 450.0)
    assert found["reason"].endswith("0 % of 50 requests seen at work waited for name resolution: no request was seen to wait for it.")


@pytest.mark.parametrize(("cost", "mean", "failing", "ranked"), [
    pytest.param(150.0, 300.0, False, True, id="half of the time, and much"),
    pytest.param(150.0, 3000.0, False, False, id="a twentieth"),
    pytest.param(40.0, 60.0, False, False, id="most of the time, and little"),
    pytest.param(150.0, 3000.0, True, True, id="a twentieth, and its check fails"),
    pytest.param(400.0, 5.0, False, False, id="more than a request takes: few requests pay it"),
    pytest.param(400.0, 5.0, True, True, id="more than a request takes, and its check fails"),
])
def test_without_a_profile_a_cost_is_measured_by_the_requests_time(cost: float, mean: float, failing: bool, ranked: bool) -> None:
    facts = healthy()
    del facts["wall"]
    facts["connections"]["endpoints"][0] = endpoint(tls=cost)
    facts["pools"]["services"][0]["http"] = {"requests": 1000, "seconds": mean}
    told = explained(facts, *([finding("network.endpoint_latency", URL, severity="medium")] if failing else []))
    assert causes(told) == (["tls"] if ranked else [])
    one = next(one for one in told["ranked"] + told["excluded"] if one["cause"] == "tls")
    assert one["share"] == (round(cost / mean, 3) if cost <= mean else None)


@pytest.mark.parametrize(("first_byte", "accepted", "mean", "expected"), [
    pytest.param(160, False, 200.0, "first_byte", id="most of the time, and nobody has judged it"),
    pytest.param(160, True, 200.0, "", id="most of the time, and its check accepts it"),
    pytest.param(60, False, 80.0, "", id="most of a short request"),
    pytest.param(60, True, 3000.0, "dependency", id="many quick calls in one request"),
    pytest.param(60, True, 250.0, "", id="some quick calls"),
])
def test_the_answer_of_a_dependency(first_byte: float, accepted: bool, mean: float, expected: str) -> None:
    facts = healthy()
    facts["connections"]["endpoints"][0] = endpoint(first_byte=first_byte)
    facts["pools"]["services"][0]["http"] = {"requests": 30, "seconds": mean * 0.03}
    facts["wall"]["endpoints"] = [seen(dependency=19, cpu=1)]
    told = explained(facts, *([finding("network.endpoint_latency", URL, status="pass")] if accepted else []))
    assert "".join(causes(told)) == expected
    if expected == "dependency":
        first = told["ranked"][0]
        assert (first["share"], first["cost_ms"]) == (0.95, 2850.0)
        assert first["reason"] == "Requests wait for answers of other services 95 % of their time, most of it in main.handle (m.go:9)."
        assert first["first_step"].startswith("One answer of what is declared takes 60 ms: count the calls of one request")


@pytest.mark.parametrize(("state", "cause", "subset"), [
    ("dependency", "dependency", "connections"), ("database", "database", "databases"), ("dns", "dns", "connections")])
def test_what_nobody_has_declared_is_seen_in_the_profile(state: str, cause: str, subset: str) -> None:
    facts = healthy()
    del facts[subset]
    facts["pools"]["services"][0]["http"] = {"requests": 100, "seconds": 60.0}
    facts["wall"]["endpoints"] = [seen(**{state: 9, "cpu": 1})]
    first = explained(facts)["ranked"][0]
    assert (first["cause"], first["share"], first["cost_ms"]) == (cause, 0.9, 540.0)


def test_with_the_health_url_alone_a_cost_comes_on_top() -> None:
    facts = healthy()
    del facts["wall"], facts["pools"]
    own = endpoint("http://127.0.0.1:8080/healthz", role="health", dns=0, connect=0, tls=0, first_byte=100.0)
    facts["connections"]["endpoints"] = [endpoint(tls=300), own]
    told = explained(facts)
    assert told["request"] == {"mean_ms": 100.0, "source": "health URL", "requests": None}
    assert [(one["cause"], one["share"]) for one in told["ranked"]] == [("tls", 0.75)]


@pytest.mark.parametrize("severity", ["info", "low"])
def test_suspicions_are_no_causes(severity: str) -> None:
    facts = healthy()
    results = [finding(check, subject, severity=severity) for check, subject in (
        ("goroutines.leaked", "api main.fetch"), ("memory.rss_headroom", "api"), ("network.retransmits", ""),
        ("limits.nofile_headroom", "api"), ("network.endpoint_latency", URL), ("databases.pool_wait", "api orders"))]
    assert causes(explained(facts, *results)) == []


@pytest.mark.parametrize(("check", "subject"), [
    ("limits.nofile_headroom", "web"), ("limits.nofile_headroom", "apium"), ("network.endpoint_latency", "https://other.example.org/"),
    ("network.dns", "other.example.org"), ("databases.pool_wait", "web orders"), ("databases.lock_wait", "stock"),
    ("goroutines.leaked", "web"), ("network.listen_overflow", "web 0.0.0.0:8080"), ("network.conntrack", "192.0.2.99:443"),
    ("services.active", "web")])
def test_findings_of_others_are_none_of_ours(check: str, subject: str) -> None:
    assert causes(explained(healthy(), finding(check, subject))) == []


def test_a_lock_that_no_request_waits_for_is_told_beside() -> None:
    facts = healthy()
    site = {"function": "main.sweep", "file": "/src/main.go", "line": 5, "origin": "own", "contentions": 900, "delay_ns": 30_000_000_000}
    facts["wall"]["endpoints"][0]["mutex"] = {"seconds": 5.0, "period": 1, "contentions": 900, "delay_ns": 30_000_000_000, "sites": [
        {**site, "function": "runtime.unlock", "origin": "runtime", "contentions": 1, "delay_ns": 1}, site]}
    told = explained(facts)
    assert causes(told) == []
    assert next(one for one in told["excluded"] if one["cause"] == "lock")["reason"] == (
        "Requests wait 0 % of their time for a lock; others waited 30.0 s in 5 s, most of it for one which main.sweep (main.go:5) holds: "
        "no cause.")


@pytest.mark.parametrize(("http", "share", "listed"), [
    pytest.param({"requests": 100, "seconds": 20.0}, 0.4, "ranked", id="80 of 200 ms a request"),
    pytest.param({"requests": 1000, "seconds": 20.0}, 0.4, "excluded", id="8 of 20 ms a request"),
    pytest.param(None, None, "measured", id="the time of requests is not known: neither a cause nor excluded"),
])
def test_locks_without_a_profile_of_requests(http: dict[str, Any] | None, share: float | None, listed: str) -> None:
    """The service has no traffic of which ten looks saw enough, and its mutex profile counts all of it."""
    facts = healthy()
    mutex = {"seconds": 5.0, "period": 1, "contentions": 90, "delay_ns": 8_000_000_000, "sites": []}
    facts["wall"]["endpoints"] = [{**seen(), "mutex": mutex}]
    facts["pools"]["services"][0]["http"] = http
    del facts["connections"]
    told = explained(facts)
    assert {name: [one["share"] for one in told[name] if one["cause"] == "lock"] for name in ("ranked", "excluded")} == {
        "ranked": [], "excluded": [], **({} if listed == "measured" else {listed: [share]})}
    assert [line for line in told["measured"] if "for locks" in line] == ([
        "Goroutines waited 8.0 s for locks in 5 s; 1.6 wait at a time. What that costs a request is not known."]
        if listed == "measured" else [])


def test_locks_of_the_runtime_are_none_of_the_requests() -> None:
    facts = healthy()
    site = {"function": "runtime.unlock", "file": "x.go", "line": 1, "origin": "runtime", "contentions": 900, "delay_ns": 8_000_000_000}
    facts["wall"]["endpoints"] = [{**seen(), "mutex": {
        "seconds": 5.0, "period": 100, "contentions": 900, "delay_ns": 8_000_000_000, "sites": [site]}}]
    facts["pools"]["services"][0]["http"] = {"requests": 100, "seconds": 20.0}
    assert causes(explained(facts)) == []


@pytest.mark.parametrize(("contentions", "period", "ranked"), [
    pytest.param(100, 100, False, id="one was recorded"), pytest.param(400, 100, False, id="four"), pytest.param(500, 100, True, id="five"),
    pytest.param(4, 1, False, id="four, each recorded"), pytest.param(5, 1, True, id="five, each recorded")])
def test_a_lock_needs_more_than_one_recorded_wait(contentions: int, period: int, ranked: bool) -> None:
    """What is recorded is multiplied by the sampling period: one wait of 80 ms in a hundred makes 8 s."""
    facts = healthy()
    facts["wall"]["endpoints"] = [{**seen(), "mutex": {
        "seconds": 5.0, "period": period, "contentions": contentions, "delay_ns": 8_000_000_000, "sites": []}}]
    facts["pools"]["services"][0]["http"] = {"requests": 100, "seconds": 20.0}
    told = explained(facts)
    assert causes(told) == (["lock"] if ranked else [])
    few = "Locks: fewer than 5 waits were recorded, too few to tell what a request waits."
    assert (few in told["measured"]) == (not ranked)


def test_a_name_is_looked_up_by_who_waits_for_it() -> None:
    """Requests that wait for net/http's Transport wait for the endpoint of https, not for that of the database's driver."""
    facts = healthy()
    database = {**endpoint("tcp://db1.example.org:5432", dns=400, tls=0, first_byte=0), "scheme": "tcp"}
    database["phases"] = {"dns": times(400), "connect": times(0.4), "tls": None, "first_byte": None, "total": times(401)}
    database["host"] = database["dns"]["name"] = "db1.example.org"
    facts["connections"]["endpoints"] = [database, endpoint(dns=400)]
    watched = seen(dns=1, cpu=1)
    watched["groups"]["get"] = {"class": "select", "frames": [["net/http.(*Transport).getConn", "/x.go", 1, "std"]], "server": "net/http"}
    watched["groups"]["dial"] = {"class": "select", "frames": [
        ["net.(*Resolver).lookupIPAddr", "/x.go", 1, "std"], ["net/http.(*Transport).dialConnFor", "/x.go", 1, "std"]], "server": None}
    for sample in watched["samples"]:
        sample["counts"] = {"dns": 1, "cpu": 1, "get": 8, "dial": 3}
    facts["wall"]["endpoints"] = [watched]
    told = explained(facts, finding("network.dns", "pay.example.org"), finding("network.dns", "db1.example.org"))
    assert [(one["cause"], one["subject"], one["share"]) for one in told["ranked"]] == [
        ("dns", "pay.example.org", 0.8), ("dns", "db1.example.org", 0.1)]


def test_a_dead_address_that_is_tried_last_costs_nothing() -> None:
    facts = healthy()
    facts["connections"]["endpoints"][0] = endpoint(addresses=[address("192.0.2.7"), address("2001:db8::7", ok=0)])
    told = explained(facts, finding("network.endpoint", URL, severity="low"))
    assert causes(told) == []
    assert next(one for one in told["excluded"] if one["cause"] == "dead_address")["reason"] == (
        f"2001:db8::7 of {URL} is dead, but Go tries it last or is refused at once: no request waits for it.")


@pytest.mark.parametrize(("state", "mean", "expected", "words"), [
    pytest.param("internal", 900, ["internal"], "Requests wait for a channel or another goroutine 90 % of their time, most of it in "
                 "main.handle (m.go:9).", id="a full worker pool"),
    pytest.param("internal", 300, [], "", id="its nature: 270 ms"),
    pytest.param("sleep", 900, ["sleep"], "Requests sleep 90 % of their time, most of it in main.handle (m.go:9).",
                 id="a limiter that sleeps"),
    pytest.param("sleep", 300, [], "", id="a short sleep"),
])
def test_what_requests_wait_for_in_the_service_itself(state: str, mean: float, expected: list[str], words: str) -> None:
    facts = healthy()
    facts["wall"]["endpoints"] = [seen(**{state: 9}, dependency=1)]
    facts["pools"]["services"][0]["http"] = {"requests": 100, "seconds": mean / 10}
    told = explained(facts)
    assert causes(told) == expected
    assert not expected or told["ranked"][0]["reason"] == words


LONG = ("Requests wait for a channel, while nothing in the service is seen to work for them, 100 % of their time, most of it in "
        "main.handle (m.go:9).")


@pytest.mark.parametrize(("states", "worker", "results", "expected"), [
    pytest.param({"internal": 9}, False, [], [("internal", "")], id="a long poll, or a wait that nobody ends"),
    pytest.param({"internal": 9}, False, [finding("network.retransmits", "", severity="medium")], [("retransmits", ""), ("internal", "")],
                 id="comes after all else"),
    pytest.param({"internal": 9}, False, [finding("services.healthy", severity="critical")], [("unhealthy", ""), ("internal", "")],
                 id="makes no health URL fail"),
    pytest.param({"internal": 9}, True, [finding("network.retransmits", "", severity="medium")], [("internal", ""), ("retransmits", "")],
                 id="somebody works for it"),
    pytest.param({"queue": 9}, False, [finding("network.retransmits", "", severity="medium")], [("internal", ""), ("retransmits", "")],
                 id="a queue that is full"),
])
def test_a_long_poll_is_told_as_what_it_is(states: dict[str, int], worker: bool, results: list[Result],
                                           expected: list[tuple[str, str]]) -> None:
    """Requests of ten seconds that wait for a channel; the others need no word."""
    facts = healthy()
    facts["pools"]["services"][0]["http"] = {"requests": 5, "seconds": 50.0}
    entry = facts["wall"]["endpoints"][0] = seen(**states)
    if worker:
        entry["groups"]["worker"] = {"class": "select", "wait": None, "server": None, "frames": [
            ["net/http.(*persistConn).roundTrip", "/x.go", 1, "std"], ["main.work", "/m.go", 9, "own"]]}
        for one in entry["samples"]:
            one["counts"]["worker"] = 2
    told = explained(facts, *results)
    assert [(one["cause"], one["behind"]) for one in told["ranked"]] == expected
    first = next(one for one in told["ranked"] if one["cause"] == "internal")
    assert (first["reason"] == LONG) == ("internal" in states and not worker) and not first["fails"]


def test_streams_hide_nothing() -> None:
    """A thousand clients of server-sent events, and twelve requests at a time, of which ten wait for the pool."""
    facts, results = planted("pool")
    facts["pools"]["services"][0]["http"] = {"requests": 100, "seconds": 60.0}
    facts["wall"]["endpoints"] = [seen(internal=1000, pool=10, database=2)]
    told = explained(facts, *results)
    assert [(one["cause"], one["share"]) for one in told["ranked"]] == [("pool", 0.833)]
    assert [line for line in told["measured"] if line.startswith("Beside them")] == [
        "Beside them 1000 requests at a time waited for a channel or another goroutine, most of them in main.handle (m.go:9), and did not "
        "end: streams and long polls do so, else they hang. The shares are told without them."]


@pytest.mark.parametrize(("http", "mean", "expected"), [
    pytest.param({"requests": 501, "seconds": 3606.0}, 49.9, [], id="a stream of an hour ends beside short requests"),
    pytest.param({"requests": 10, "seconds": 50.0}, 5000.0, ["dependency"], id="requests are as long"),
])
def test_what_began_long_before_makes_no_request_long(http: dict[str, float], mean: float, expected: list[str]) -> None:
    """Five requests are at work at a time."""
    facts = healthy()
    facts["pools"]["services"][0]["http"] = http
    facts["wall"]["endpoints"] = [seen(dependency=4, cpu=1)]
    told = explained(facts)
    assert (told["request"]["mean_ms"], causes(told)) == (mean, expected)
    assert [line for line in told["measured"] if line.startswith("Requests that ended")] == ([] if expected else [
        "Requests that ended in the window took 7.2 s in the mean, those seen at work 50 ms: some began long before it, as streams do."])


@pytest.mark.parametrize(("states", "ranked"), [
    pytest.param({"database": 9, "cpu": 1}, [], id="workers queue for it, requests do not"),
    pytest.param({"internal": 9, "cpu": 1}, ["pool"], id="requests wait for a goroutine, which may queue"),
])
def test_a_pool_that_no_request_waits_for(states: dict[str, int], ranked: list[str]) -> None:
    facts, results = planted("pool")
    facts["wall"]["endpoints"] = [seen(**states)]
    told = explained(facts, *results)
    assert [one for one in causes(told) if one == "pool"] == ranked


@pytest.mark.parametrize(("pool", "said"), [
    pytest.param({"waits": 0, "wait_seconds": 0.0}, "Nobody who waited for a connection of the pool orders got it in 5 s (2 of 2 "
                 "connections in use); 80 % of 150 requests seen at work waited for one.", id="all wait since before"),
    pytest.param({"waits": 0, "wait_seconds": 9.0}, "Requests waited 9.0 s together for a connection of the pool orders, since before the "
                 "window of 5 s (2 of 2 connections in use); 80 % of 150 requests seen at work waited for one.", id="no new one"),
    pytest.param({"waits": 1, "wait_seconds": 2.0, "max_open": None}, "Requests waited 1 time for a connection of the pool orders in 5 s, "
                 "2.0 s each (2 connections in use); 80 % of 150 requests seen at work waited for one.", id="its limit is not known"),
])
def test_what_is_said_of_a_pool(pool: dict[str, Any], said: str) -> None:
    facts, results = planted("pool")
    facts["pools"]["services"][0]["pools"][0].update(pool)
    assert explained(facts, *results)["ranked"][0]["reason"] == said


@pytest.mark.parametrize(("used", "soft", "expected"), [
    pytest.param(60000, 65536, [("descriptors", False)], id="nine tenths, and five thousand left"),
    pytest.param(65400, 65536, [("descriptors", True)], id="a hundred left"),
    pytest.param(930, 1024, [("descriptors", True)], id="nine tenths of a thousand"),
])
def test_requests_fail_where_few_descriptors_are_left(used: int, soft: int, expected: list[tuple[str, bool]]) -> None:
    facts = healthy()
    facts["sample"]["services"][0]["fds"] = {"open": used, "soft": soft}
    told = explained(facts, finding("limits.nofile_headroom"))
    assert [(one["cause"], one["fails"]) for one in told["ranked"]] == expected


@pytest.mark.parametrize(("table", "line", "expected"), [
    pytest.param({"count": 90, "maximum": 262144, "drops": 2}, None, [], id="two raced for one entry"),
    pytest.param({"count": 262000, "maximum": 262144, "drops": 2}, None, [True], id="nobody has judged a full table"),
    pytest.param({"count": 90, "maximum": 262144, "drops": 60}, "medium", [True], id="many, and its check fails"),
    pytest.param({"count": 230000, "maximum": 262144, "drops": 0}, "medium", [False], id="nearly full"),
    pytest.param({"count": 262144, "maximum": 262144, "drops": 0}, "high", [True], id="full"),
])
def test_dropped_packets(table: dict[str, int], line: str | None, expected: list[bool]) -> None:
    facts = healthy()
    facts["sample"]["kernel"]["conntrack"] = {**table, "early_drops": 0}
    told = explained(facts, *([finding("network.conntrack", "", severity=line)] if line else []))
    assert [one["fails"] for one in told["ranked"] if one["cause"] == "conntrack"] == expected
    assert bool(expected) or "Connection tracking: 90 of 262144 entries in use, 2 packets dropped." in told["measured"]


@pytest.mark.parametrize(("url", "expected"), [
    pytest.param("http://127.0.0.1:8080/healthz", ["own_connect"], id="its own listener"),
    pytest.param("https://api.example.org/healthz", [], id="a load balancer before it"),
])
def test_a_slow_connect_to_itself(url: str, expected: list[str]) -> None:
    facts = healthy()
    facts["connections"]["endpoints"][1] = {**endpoint(url, role="health", connect=1003), "port": 8080 if "8080" in url else 443}
    assert causes(explained(facts)) == expected
    told = explained(facts, finding("services.healthy", severity="critical"))
    assert [(one["cause"], one["behind"]) for one in told["ranked"]] == [
        *((cause, "") for cause in expected), ("unhealthy", "".join(expected))]


@pytest.mark.parametrize(("kind", "said"), [
    ("postgres", "Look what session 70 belongs to; SELECT pg_terminate_backend(70) ends it now. Then mend the code: end transactions on "
                 "every path (defer tx.Rollback()), with a context that has a deadline."),
    ("mysql", "Look what session 70 belongs to; KILL 70 ends it now. Then mend the code: end transactions on every path (defer "
              "tx.Rollback()), with a context that has a deadline."),
    ("other", "End transactions on every path (defer tx.Rollback()), with a context that has a deadline.")])
def test_a_transaction_that_is_left_open_is_ended_first(kind: str, said: str) -> None:
    facts, results = planted("database_idle")
    facts["databases"]["servers"][0]["kind"] = kind
    assert explained(facts, *results)["ranked"][0]["first_step"] == said


def test_who_holds_a_lock_of_the_database_is_named() -> None:
    facts, results = planted("database_idle")
    told = explained(facts, results[0])
    assert [one["first_step"] for one in told["ranked"] if one["cause"] == "database_locks"] == [
        "Look at who holds the lock (session 70), and make that transaction shorter."]


@pytest.mark.parametrize(("name", "expected"), [
    ("unhealthy", [("unhealthy", ""), ("retransmits", "")]),
    ("accept_queue", [("accept_queue", ""), ("retransmits", "accept_queue"), ("unhealthy", "accept_queue")])])
def test_what_is_sent_again_makes_no_health_url_fail(name: str, expected: list[tuple[str, str]]) -> None:
    facts, results = planted(name)
    told = explained(facts, *results, finding("network.retransmits", "", severity="medium"))
    assert sorted((one["cause"], one["behind"]) for one in told["ranked"]) == sorted(expected)
    assert told["ranked"][0]["cause"] == name


@pytest.mark.parametrize(("states", "ranked"), [
    pytest.param({"cpu": 9}, [], id="somebody else's session"),
    pytest.param({"cpu": 9, "dependency": 9}, ["database_idle", "database_locks"], id="a driver that is not known"),
    pytest.param({"internal": 9}, ["database_idle", "database_locks"], id="whose goroutine asks is not told"),
])
def test_locks_of_the_database_that_no_request_waits_for(states: dict[str, int], ranked: list[str]) -> None:
    facts, results = planted("database_idle")
    facts["pools"]["services"][0]["pools"][0].update(waits=0, wait_seconds=0.0)
    facts["wall"]["endpoints"] = [seen(**states)]
    told = explained(facts, results[0], results[2])
    assert [one for one in causes(told) if one.startswith("database")] == ranked
    assert bool(ranked) or [one["reason"] for one in told["excluded"] if one["cause"] == "database_locks"] == [
        "In orders 1 session waits for a lock, the longest 4.0 s: no request was seen to wait for the database."]


def test_without_the_time_of_a_request_nothing_long_is_excluded() -> None:
    facts = healthy()
    facts["pools"]["services"][0]["http"] = None
    facts["connections"] = {"endpoints": []}
    facts["wall"]["endpoints"] = [seen(dependency=40)]
    told = explained(facts)
    assert told["ranked"] == [] and [one["cause"] for one in told["excluded"] if one["cause"] == "dependency"] == []
    assert [one["reason"] for one in told["unmeasured"] if one["what"] == "the time of a request"] == [
        "neither metrics nor a health URL tells it"]
    del facts["wall"]
    facts["connections"] = {"endpoints": [endpoint(first_byte=400)]}
    assert [one["cause"] for one in explained(facts)["excluded"] if one["cause"] == "first_byte"] == []
    told = explained(facts, finding("network.endpoint_latency", URL, status="pass"))
    assert [one["reason"] for one in told["excluded"] if one["cause"] == "first_byte"] == [
        f"The first byte of {URL} takes 400 ms (median): its check accepts that."]


def test_the_health_url_tells_little_of_other_requests() -> None:
    facts = healthy()
    facts["pools"]["services"][0]["http"] = None
    assert [(one["what"], one["reason"]) for one in explained(facts)["unmeasured"]] == [
        ("the time of a request", "no metrics tell it, and its health URL is not like other requests")]


def test_what_others_are_waited_for_is_not_this_one() -> None:
    facts = healthy()
    facts["connections"]["endpoints"] = [endpoint(dns=450), endpoint("https://other.example.org/", dns=1.0)]
    facts["wall"]["endpoints"] = [seen(dns=9, cpu=1)]
    told = explained(facts, finding("network.dns", "pay.example.org"))
    assert [one["reason"] for one in told["excluded"] if one["cause"] == "dns"] == [
        "Looking up the name of other.example.org takes 1.0 ms (median); 90 % of 100 requests seen at work waited for name resolution, 0 % "
        "for this one: no cause."]


@pytest.mark.parametrize(("fraction", "status", "said", "expected"), [
    pytest.param(0.55, "pass", "In 5 s the garbage collector took 55 % of the CPU time that the service may use (memory.gc_cpu judges "
                 "another time: The garbage collector took 3 % of the CPU time available over 40 s).", ["gc"], id="now, not in the mean"),
    pytest.param(0.03, "fail", "The garbage collector took 3 % of the CPU time available over 40 s; in 5 s the garbage "
                 "collector took 3 % of the CPU time that the service may use.", ["gc"], id="in the mean, not now"),
    pytest.param(0.55, "fail", "In 5 s the garbage collector took 55 % of the CPU time that the service may use.", ["gc"], id="both"),
])
def test_the_collector_in_its_check_and_in_the_window(fraction: float, status: str, said: str, expected: list[str]) -> None:
    facts = healthy()
    del facts["wall"]
    facts["pools"]["services"][0]["gc"]["cpu_fraction"] = fraction
    told = explained(facts, finding("memory.gc_cpu", severity="medium", status=status,
                                    reason="The garbage collector took 3 % of the CPU time available over 40 s."))
    assert causes(told) == expected and told["ranked"][0]["reason"] == said


@pytest.mark.parametrize(("scheme", "phase", "step"), [
    ("https", "dns", "Try it from this host: getent ahosts pay.example.org"), ("https", "connect", f"Try it from this host: curl -v {URL}"),
    ("tcp", "connect", "Try it from this host: nc -vz pay.example.org 443")])
def test_what_to_try_where_nothing_answers(scheme: str, phase: str, step: str) -> None:
    facts = healthy()
    facts["connections"]["endpoints"][0] = {**endpoint(addresses=[], phases=None), "scheme": scheme, "error": {
        "phase": phase, "kind": "timeout", "message": "no answer"}}
    assert explained(facts)["ranked"][0]["first_step"] == step


def test_a_listener_whose_backlog_is_not_told() -> None:
    facts, results = planted("accept_queue")
    facts["sample"]["listeners"][0]["backlog"] = None
    assert explained(facts, *results)["ranked"][0]["reason"] == (
        "The accept queue of 0.0.0.0:8080 is full: 40 connections were dropped; a client tries again after 1, 3 and 7 s.")


def test_a_slow_body_is_measured() -> None:
    facts = healthy()
    facts["timeouts"]["listeners"][0]["body"] = {"closed_after": None, "waited": 15.0}
    told = explained(facts)
    assert told["ranked"] == [] and not [one for one in told["excluded"] if one["cause"] == "server_timeouts"]
    assert ("http://127.0.0.1:8080: a client that sends its body slowly is waited for longer than 15 s: no ReadTimeout is seen."
            in told["measured"])


@pytest.mark.parametrize(("waited", "ran", "mean", "expected"), [
    pytest.param(8.2, 0.9, 345, [("run_queue", ""), ("dns", "run_queue")], id="as measured on a host without a CPU left"),
    pytest.param(8.2, 6.0, 345, [("dns", "")], id="it computes itself"),
    pytest.param(3.0, 0.2, 345, [("dns", "")], id="less than one thread at a time"),
    pytest.param(8.2, 0.9, 60, [("dns", "")], id="requests are quick all the same"),
])
def test_without_a_cpu_left_each_part_of_a_request_is_long(waited: float, ran: float, mean: float, expected: list[tuple[str, str]]) -> None:
    facts, results = planted("dns")
    facts["pools"]["services"][0]["http"] = {"requests": 100, "seconds": mean / 10}
    facts["sample"]["services"][0]["sched"] = {"wait_seconds": waited, "run_seconds": ran}
    told = explained(facts, *results[:1])
    assert [(one["cause"], one["behind"]) for one in told["ranked"]] == expected


@pytest.mark.parametrize(("states", "first_byte", "mean", "expected"), [
    pytest.param({"internal": 9}, 900, 901, [("first_byte", ""), ("internal", "first_byte")], id="whose goroutine asks is not told"),
    pytest.param({"internal": 9}, 901.3, 900.8, [("first_byte", ""), ("internal", "first_byte")], id="the answer is the request"),
    pytest.param({"internal": 9}, 900, 300, [], id="a request takes less than that answer"),
    pytest.param({"sleep": 9}, 900, 901, [("sleep", "")], id="requests wait for something else"),
])
def test_a_slow_answer_that_another_goroutine_may_wait_for(states: dict[str, int], first_byte: float, mean: float,
                                                           expected: list[tuple[str, str]]) -> None:
    facts = healthy()
    facts["wall"]["endpoints"] = [seen(**states)]
    facts["connections"]["endpoints"][0] = endpoint(first_byte=first_byte)
    facts["pools"]["services"][0]["http"] = {"requests": 100, "seconds": mean / 10}
    told = explained(facts, finding("network.endpoint_latency", URL, severity="medium"))
    assert [(one["cause"], one["behind"]) for one in told["ranked"]] == expected


@pytest.mark.parametrize(("first_byte", "share"), [(701.3, 1.0), (770.0, 1.0), (800.0, None)], ids=["as long", "a tenth more", "longer"])
def test_without_a_profile_an_answer_that_is_all_of_a_request_has_its_share(first_byte: float, share: float | None) -> None:
    facts = healthy()
    facts["wall"]["endpoints"] = []
    facts["connections"]["endpoints"][0] = endpoint(first_byte=first_byte)
    facts["pools"]["services"][0]["http"] = {"requests": 100, "seconds": 70.08}
    told = explained(facts, finding("network.endpoint_latency", URL, severity="medium"))
    assert [(one["cause"], one["share"]) for one in told["ranked"]] == [("first_byte", share)]


@pytest.mark.parametrize(("profile", "listed"), [
    pytest.param([seen(dependency=9)], "excluded", id="requests were seen, and none lost much"),
    pytest.param([], "measured", id="no request was seen: nothing is excluded"),
])
def test_a_wait_for_a_cpu_is_excluded_by_seen_requests_alone(profile: list[dict[str, Any]], listed: str) -> None:
    facts = healthy()
    facts["wall"]["endpoints"] = profile
    facts["sample"]["services"][0]["sched"] = {"wait_seconds": 0.3, "run_seconds": 0.2}
    told = explained(facts)
    assert causes(told) == []
    said = {"excluded": [one["reason"] for one in told["excluded"] if one["cause"] == "run_queue"],
            "measured": [line for line in told["measured"] if line.startswith("Run queue: ")]}
    assert {name: len(lines) for name, lines in said.items()} == {"excluded": 0, "measured": 0, listed: 1}


@pytest.mark.parametrize(("latency", "mean", "expected"), [
    pytest.param({"count": 73, "median": 117.44, "p99": 1342.2}, 1900, ["cpu"], id="GOMAXPROCS=1 and more to compute, as measured"),
    pytest.param({"count": 73, "median": 117.44, "p99": 1342.2}, 50, [], id="requests are quick all the same"),
    pytest.param({"count": 73, "median": 11.7, "p99": 1342.2}, 1900, [], id="now and then"),
    pytest.param({"count": 12, "median": 117.44, "p99": None}, 1900, [], id="too few"),
    pytest.param({"count": 73, "median": None, "p99": None}, 1900, [], id="beyond the last bucket"),
])
def test_a_program_without_cpu_left_is_seen_in_its_scheduler(latency: dict[str, Any], mean: float, expected: list[str]) -> None:
    facts = healthy()
    facts["wall"] = {"endpoints": [{**seen(cpu=27), "samples": [{"clock": 1.0, "total": 50, "counts": {"cpu": 27}}],
                                    "error": {"kind": "timeout", "message": "left alone: one sample took 0.5 s"}}]}
    facts["pools"]["services"][0].update(http={"requests": 60, "seconds": mean * 0.06}, sched_latency=latency)
    told = explained(facts)
    assert causes(told) == expected
    assert not expected or told["ranked"][0]["reason"] == (
        "A goroutine that could run waited up to 117 ms for a CPU in the median (p99: 1.3 s): it computes more than it has CPUs for.")
    assert [one["reason"] for one in told["unmeasured"] if one["what"] == "where its requests wait"] == [
        "one look at its goroutines is not enough to tell shares: left alone: one sample took 0.5 s"]


@pytest.mark.parametrize(("p95", "mean", "expected"), [
    pytest.param(2001.0, 640, ["dependency"], id="one of three answers takes 2 s"),
    pytest.param(20.0, 90, [], id="all are quick, and so are requests"),
])
def test_a_dependency_that_is_late_now_and_then(p95: float, mean: float, expected: list[str]) -> None:
    facts = healthy()
    facts["connections"]["endpoints"][0]["phases"]["first_byte"] = {"min": 1.0, "median": 1.2, "p95": p95}
    facts["wall"]["endpoints"] = [seen(dependency=9)]
    facts["pools"]["services"][0]["http"] = {"requests": 100, "seconds": mean / 10}
    told = explained(facts, finding("network.endpoint_latency", URL, severity="low"))
    assert causes(told) == expected
    assert not expected or told["ranked"][0]["reason"] == (
        f"Some answers of {URL} take 2.0 s (p95; the median is 1.2 ms), and requests wait for answers of other services 100 % of their "
        "time, most of it in main.handle (m.go:9).")


# ------------------------------------------------------------------------------------------------------------- not measured

@pytest.mark.parametrize(("change", "what", "reason"), [
    pytest.param({"databases": None}, "its databases", "none of the selected checks reads it", id="a subset that was not read"),
    pytest.param({"pools": None, "errors": [{"part": "pools.services", "kind": "timeout", "message": "the collector did not end in time"}]},
                 "its metrics page", "the collector did not end in time", id="a subset that broke"),
    pytest.param({"pools": {"services": []}}, "its metrics page", "none of it is known: declare it as metrics in preflight_services",
                 id="no metrics page"),
    pytest.param({"wall": None}, "where its requests wait", "no profile of it was taken (pprof)", id="no profile"),
    pytest.param({"wall": {"endpoints": [{**seen(), "samples": [], "error": {"kind": "budget", "message": "the budget was used up"}}]}},
                 "where its requests wait", "the budget was used up", id="no sample"),
    pytest.param({"wall": {"endpoints": [{**seen(cpu=1), "samples": [{"counts": {"cpu": 3}}] * 2}]}}, "where its requests wait",
                 "6 requests seen at work in 5 s, 20 are needed to tell shares: look again under load", id="too few requests"),
    pytest.param({"connections": {}, "errors": [{"part": "connections.endpoints", "kind": "timeout", "message": "not reached in time"}]},
                 "what it depends on", "not reached in time", id="connections that broke"),
    pytest.param({"connections": {"endpoints": []}}, "what it depends on", "preflight_services declares no depends_on of it",
                 id="nothing declared"),
    pytest.param({"connections": {"endpoints": [endpoint(error={"kind": "budget", "message": "the budget of 60 s was used up"})]}},
                 URL, "the budget of 60 s was used up", id="an endpoint that was cut"),
    pytest.param({"databases": {"servers": [
        {"name": "orders", "services": ["api"], "error": {"kind": "no_client", "message": "no psql"}}]}}, "database orders", "no psql",
        id="no client"),
])
def test_what_was_not_measured_is_neither_a_cause_nor_excluded(change: dict[str, Any], what: str, reason: str) -> None:
    facts = {key: value for key, value in {**healthy(), **change}.items() if value is not None}
    told = explained(facts)
    assert told["ranked"] == []
    assert [one["reason"] for one in told["unmeasured"] if one["what"] == what] == [reason]


def test_an_unknown_is_told() -> None:
    told = explained(healthy(), finding("limits.nofile_headroom", status="unknown", reason="permission denied"))
    assert told["unmeasured"] == [{"what": "limits.nofile_headroom", "check": "limits.nofile_headroom", "reason": "permission denied"}]


# --------------------------------------------------------------------------------------------------------------- any facts

def test_services_are_explained_one_by_one() -> None:
    facts, results = planted("pool")
    facts["services"]["services"] += [
        {"name": "web", "container": None, "processes": []}, {"name": "api", "container": {"runtime": "podman", "id": "0123456789ab"}}]
    found = explanation.explain(facts, results)
    assert set(found) == {("api", ""), ("web", ""), ("api", "0123456789ab")}
    assert causes(found["api", ""]) == ["pool"] and causes(found["web", ""]) == []


def test_a_slow_module_proxy_is_told_of_declared_services() -> None:
    facts, results = planted("module_proxy")
    other = {"name": "node-exporter", "container": None, "declared": False, "processes": []}
    facts["services"]["services"].append(other)
    found = explanation.explain(facts, results)
    assert causes(found["api", ""]) == ["module_proxy"] and causes(found["node-exporter", ""]) == []
    facts["services"]["services"] = [other]
    assert causes(explanation.explain(facts, results)["node-exporter", ""]) == ["module_proxy"]


def test_the_host_document_has_it_beside_the_service() -> None:
    facts, results = planted("pool")
    document = hostdoc.document(name="web1", started="", ended="", duration_ms=1, rules=None, facts=facts, results=results, error=None,
                                reachable=True)
    assert document["services"][0]["explanation"] == explained(facts, *results)
    del facts["connections"], facts["sample"], facts["pools"], facts["wall"], facts["databases"], facts["timeouts"]
    document = hostdoc.document(name="web1", started="", ended="", duration_ms=1, rules=None, facts=facts, results=results, error=None,
                                reachable=True)
    assert "explanation" not in document["services"][0]


def spoiled(value: Any, draw: Any) -> Any:
    """The same facts with some values missing, or of another kind."""
    if draw(st.integers(0, 11)) == 0:
        return draw(st.sampled_from([
            None, [], {}, "", "x" * 5000, -1, 0, 1e308, float("nan"), float("inf"), True, "\x1b[31m\u202e", [None], [[]]]))
    if isinstance(value, dict):
        return {key: spoiled(item, draw) for key, item in value.items() if draw(st.integers(0, 19))}
    return [spoiled(item, draw) for item in value] if isinstance(value, list) else value


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(CAUSES))
def test_any_facts_are_explained(data: st.DataObject, name: str) -> None:
    facts, results = planted(name)
    facts = {key: spoiled(value, data.draw) for key, value in facts.items()}
    for told in explanation.explain(facts, results).values():
        shown = json.dumps(told, allow_nan=False)
        assert len(shown) < 100_000 and "\\u001b" not in shown and "\\u202e" not in shown
        assert all(one["share"] is None or 0 <= one["share"] <= 1 for one in told["ranked"] + told["excluded"])
        assert len({id(one) for one in told["ranked"]}) == len(told["ranked"]) <= explanation.RANKED_MOST


CANDIDATES = st.builds(
    base.Candidate, cause=st.sampled_from("abcde"), check=st.just("x.y"), subject=st.sampled_from(("s", "t")), tier=st.integers(0, 4),
    reason=st.just("why"), share=st.none() | st.floats(0, 1), cost_ms=st.none() | st.floats(0, 1e6),
    brings=st.frozensets(st.sampled_from("abcde")), keys=st.frozensets(st.sampled_from("kl")))


@given(st.lists(CANDIDATES, max_size=8))
def test_every_candidate_is_placed_once_and_behind_its_cause(found: list[base.Candidate]) -> None:
    placed = explanation._ordered(found)
    assert sorted(map(id, found)) == sorted(id(one) for one, _behind in placed)
    for index, (one, behind) in enumerate(placed):
        assert not behind or any(other.cause == behind and base.brings(other, one) for other, _behind in placed[:index])


@pytest.mark.parametrize(("readers", "said"), [(12, False), (10, False), (3, True), (0, True)])
def test_requests_whose_client_has_hung_up_are_told_and_are_no_cause(readers: int, said: bool) -> None:
    facts = healthy()
    entry = seen(internal=12)
    for one in entry["samples"]:
        one["counts"]["reader"] = readers
    facts["wall"] = {"endpoints": [entry]}
    found = explained(facts)
    told = [line for line in found["measured"] if "hung up" in line]
    assert [line.split(":")[0] for line in told] == ([
        f"Up to {(12 - readers) / 12:.0%} of the requests at work go on though their client has hung up (or left a body that nobody reads)"
        .replace("%", " %")] if said else [])
    assert "hung up" not in str(found["ranked"])


def test_a_body_that_nobody_reads_shows_no_patience() -> None:
    facts = healthy()
    facts["timeouts"]["listeners"][0]["body"] = {"closed_after": 0.0, "waited": 0.0, "status": 200}
    found = explained(facts)
    assert not [line for line in found["measured"] if "its body slowly" in line]
    assert found["unmeasured"] == [
        {"what": "ReadTimeout of http://127.0.0.1:8080", "check": "", "reason": "it answers without reading the body of a request"}]
