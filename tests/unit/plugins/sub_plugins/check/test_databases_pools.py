# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What databases.pool_wait and databases.fleet_pool say of one host."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Policy
from ansible_collections.goready.preflight.plugins.sub_plugins.check import databases

CHECKS = {one.id: one for one in engine.checks_of(databases)}
URL = "http://127.0.0.1:8080/metrics"
DECLARED = ({"name": "api", "metrics": URL},)


def pool(**values: Any) -> dict[str, Any]:
    return {"name": "orders", "max_open": 10, "open": 4, "in_use": 3, "idle": 1, "waits": 0, "wait_seconds": 0.0, "full": False,
            "closed": {}, **values}


def page(*pools: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"service": "api", "container": None, "pid": 812, "url": URL, "declared": True, "seconds": 5.0, "error": None,
            "pools": list(pools), "http": {"requests": 100, "seconds": 10.0, "family": "http_request_duration_seconds"}, **values}


def judged(*pages: dict[str, Any], check: str = "databases.pool_wait", services: Any = DECLARED, thresholds: Any = None,
           **facts: Any) -> list[engine.Result]:
    policy = Policy(services=services, thresholds={check: thresholds or {}})
    return engine.run([CHECKS[check]], {"pools": {"services": list(pages)}, "databases": {"servers": []}, **facts}, policy)


def runtime(count: int, function: str = "database/sql.(*DB).conn", pid: int = 812) -> dict[str, Any]:
    return {"endpoints": [{
        "pid": pid, "groups": {"a": {"frames": [["runtime.gopark", "", 1, "runtime"], [function, "database/sql/sql.go", 1374, "std"]]},
                               "b": {"frames": [["main.main", "main.go", 1, "own"]]}},
        "takes": [{"goroutines": {"total": count + 5, "counts": {"a": count, "b": 5}}}]}]}


@pytest.mark.parametrize(("given", "status", "severity", "reason"), [
    pytest.param(pool(), "pass", "high", "No request waited for a connection within 5 s; 3 of 10 connections were in use.", id="idle"),
    pytest.param(pool(max_open=0), "pass", "high", "No request waited for a connection within 5 s; 3 connections (unbounded) were in use.",
                 id="unlimited"),
    pytest.param(pool(waits=100, wait_seconds=0.5), "pass", "high",
                 "100 requests waited 5.0 ms in the mean for a connection within 5 s; 20 ms are allowed.", id="a busy pool"),
    pytest.param(pool(waits=100, wait_seconds=0.5, full=True, in_use=10), "pass", "high",
                 "100 requests waited 5.0 ms in the mean for a connection within 5 s; 20 ms are allowed.", id="a busy pool, full twice"),
    pytest.param(pool(in_use=10, full=True), "unknown", "low",
                 "All 10 connections of the pool were in use at both readings, 5 s apart, and no request came for one: only a goroutine "
                 "profile (pprof) tells whether some wait since before.", id="full, and nobody comes"),
    pytest.param(pool(max_open=2, waits=73, wait_seconds=82.163, in_use=2, full=True), "fail", "high",
                 "73 requests waited 1126 ms in the mean for one of 2 connections within 5 s; it should be below 20 ms.", id="exhausted"),
    pytest.param(pool(max_open=2, waits=1, wait_seconds=0.3), "fail", "low",
                 "1 request waited 300 ms in the mean for one of 2 connections within 5 s; it should be below 20 ms.", id="one slow query"),
    pytest.param(pool(max_open=2, waits=20, wait_seconds=0.0, in_use=2, full=True), "fail", "high",
                 "All 2 connections of the pool were in use for 5 s, and of 20 requests that wait for one none got it.", id="stuck"),
    pytest.param(pool(max_open=6, waits=0, wait_seconds=100.0, in_use=6, full=True), "fail", "high",
                 "Requests waited 100.0 s together for one of 6 connections within 5 s, all of them since before that; a wait should be "
                 "below 20 ms.", id="nobody new, and nobody is served"),
    pytest.param(pool(max_open=6, waits=2, wait_seconds=6.0, in_use=6), "fail", "high",
                 "2 requests waited 3000 ms in the mean for one of 6 connections within 5 s; it should be below 20 ms.",
                 id="few, and somebody waited all the time"),
    pytest.param(pool(waits=0, wait_seconds=0.004), "pass", "high",
                 "No request waited for a connection within 5 s; 3 of 10 connections were in use.", id="the end of a short wait"),
    pytest.param(pool(waits=None, wait_seconds=None), "unknown", "info", f"{URL} does not count waits for this pool.", id="no counter"),
])
def test_a_pool(given, status, severity, reason):
    results = judged(page(given))
    assert [(one.subject, one.status, one.severity, one.reason) for one in results] == [("api orders", status, severity, reason)]


def test_the_evidence_of_a_wait():
    one, = judged(page(pool(max_open=2, waits=50, wait_seconds=8.0, in_use=2, full=True)), runtime=runtime(18))
    assert one.evidence == (
        f"{URL}, 5 s: 50 waits, 8.00 s together; 2 of 2 connections in use",
        "100 requests took 10.00 s together (http_request_duration_seconds): 80% of it was this wait",
        "18 goroutines at once in database/sql.(*DB).conn")
    assert one.actual == {"waits": 50, "wait_seconds": 8.0, "in_use": 2, "max_open": 2, "seconds": 5.0}
    assert one.expected == "a mean wait below 20 ms"


@pytest.mark.parametrize(("facts", "status"), [
    pytest.param({"runtime": runtime(18)}, "fail", id="goroutines wait"),
    pytest.param({"wall": {"endpoints": [{"pid": 812, "groups": runtime(1)["endpoints"][0]["groups"],
                                          "samples": [{"counts": {"b": 1}}, {"counts": {"a": 4}}]}]}}, "fail", id="wall"),
    pytest.param({"runtime": runtime(18, pid=813)}, "unknown", id="another process"),
    pytest.param({"runtime": runtime(18, "database/sql.(*DB).connectionOpener")}, "pass", id="another function"),
    pytest.param({"runtime": {"endpoints": [{"pid": 812, "groups": {}, "takes": [{"goroutines": None}]}]}}, "unknown", id="no profile"),
    pytest.param({}, "unknown", id="no look"),
])
def test_who_waits_all_the_time_is_seen_in_the_profile(facts, status):
    """Requests that waited before the window began, and still do: no counter tells of them."""
    one, = judged(page(pool(max_open=2, in_use=2, full=True)), **facts)
    assert one.status == status


@pytest.mark.parametrize(("other", "status"), [
    pytest.param({"waits": 40, "wait_seconds": 4.0}, "unknown", id="another pool has waits"),
    pytest.param({"in_use": 10, "full": True}, "fail", id="another one is full"),  # for one of both they wait
    pytest.param({}, "fail", id="nobody waits for another one"),
])
def test_who_waits_for_another_pool_is_no_proof(other, status):
    """All pools of a process wait in one function, database/sql.(*DB).conn."""
    given = page(pool(max_open=2, in_use=2, full=True), pool(**{"name": "audit", "max_open": 10, **other}))
    one = next(line for line in judged(given, runtime=runtime(18)) if line.subject == "api orders")
    assert one.status == status
    if status == "unknown":
        assert one.reason == ("All 2 connections of the pool were in use at both readings, 5 s apart, and no request came for one: "
                              "goroutines wait, and their profile does not say for which pool.")


@pytest.mark.parametrize(("function", "delay", "pid", "evidence"), [
    pytest.param("database/sql.(*DB).conn", 2_500_000, 812,
                 ["2 ms of waiting for the pool's own mutex (database/sql.(*DB)) in the mutex profile"], id="pool"),
    pytest.param("main.(*shop).pay", 2_500_000, 812, [], id="another mutex"),
    pytest.param("database/sql.(*DB).conn", 999_999, 812, [], id="next to nothing"),
    pytest.param("database/sql.(*DB).conn", 2_500_000, 813, [], id="another process"),
])
def test_the_mutex_profile_is_evidence(function, delay, pid, evidence):
    wall = {"endpoints": [{"pid": pid, "groups": {}, "samples": [], "mutex": {"sites": [{"function": function, "delay_ns": delay}]}}]}
    one, = judged(page(pool(waits=9, wait_seconds=1.0)), wall=wall)
    assert list(one.evidence[2:]) == evidence


@pytest.mark.parametrize(("pages", "services", "expected"), [
    pytest.param([page(error={"kind": "status", "message": "HTTP 500"})], DECLARED,
                 [("api", "unknown", "high", f"What api waits for is not known: {URL}: HTTP 500.")], id="declared page"),
    pytest.param([page(error={"kind": "status", "message": "HTTP 500"}, declared=False)], (),
                 [("api", "unknown", "info", f"What api waits for is not known: {URL}: HTTP 500.")], id="page nobody declared"),
    pytest.param([page()], DECLARED,
                 [("api", "notapplicable", "high", f"{URL} has no go_sql_* metrics. Register the pool with the service's metrics: "
                   'prometheus.MustRegister(collectors.NewDBStatsCollector(db, "orders")) of client_golang.')], id="no go_sql"),
    pytest.param([], ({"name": "api"},),
                 [("api", "notapplicable", "high", "No metrics page of it is known: declare it as `metrics` in preflight_services.")],
                 id="no page"),
    pytest.param([], (), [("", "notapplicable", "high", "No service of this host is known to have a metrics page.")], id="no service"),
    pytest.param([page(pool(name=""))], DECLARED,
                 [("api", "pass", "high", "No request waited for a connection within 5 s; 3 of 10 connections were in use.")],
                 id="no name"),
])
def test_pages(pages, services, expected):
    assert [(one.subject, one.status, one.severity, one.reason) for one in judged(*pages, services=services)] == expected


def test_thresholds():
    given = page(pool(waits=4, wait_seconds=0.1))
    assert [one.status for one in judged(given)] == ["fail"]
    assert [one.status for one in judged(given, thresholds={"mean_wait_ms": 30.0})] == ["pass"]
    assert [one.severity for one in judged(given, thresholds={"few": 4})] == ["high"]


@pytest.mark.parametrize(("pages", "reason"), [
    pytest.param([page(pool())], "The report answers it from what all hosts said.", id="a pool"),
    pytest.param([page()], "No pool of a service of this host is known.", id="no pool"),
    pytest.param([], "No pool of a service of this host is known.", id="no page"),
])
def test_one_host_says_nothing_of_the_fleet(pages, reason):
    assert [(one.status, one.reason) for one in judged(*pages, check="databases.fleet_pool")] == [("notapplicable", reason)]
    assert CHECKS["databases.fleet_pool"].fleet
