# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers on loopback that answer with the profiles of fixtures/wall, a program that asks itself for a known number of requests."""
from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "fixtures" / "pprof"))

import pytest
from pprof_fixtures import Server

from ansible_collections.goready.preflight.plugins.module_utils import profile
from ansible_collections.goready.preflight.plugins.module_utils.collect import runtime
from ansible_collections.goready.preflight.plugins.module_utils.collect import wall as collector
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable
from ansible_collections.goready.preflight.plugins.plugin_utils import wall

HERE = Path(__file__).parents[3] / "fixtures" / "wall"
VERSIONS = sorted(path.name for path in HERE.glob("go1*"))
PATH = "/debug/pprof/"


def http(body, status="200 OK"):
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def serve(version="go1.27.3", *, before=None, delay=0.0, mutex=("mutex-begin", "mutex-end")):
    """What answers: the goroutine profile each time, one mutex profile after the other."""
    left = list(mutex)

    def answer(connection: socket.socket) -> None:
        path = connection.recv(4096).split(b" ")[1].decode()
        asked.append(path.replace(PATH, ""))
        time.sleep(delay)
        name = (left.pop(0) if len(left) > 1 else left[0]) if path.endswith("/mutex") else "goroutine"
        connection.sendall(before or http((HERE / version / f"{name}.pb.gz").read_bytes()))

    asked: list[str] = []
    server = Server(answer)
    server.asked = asked
    return server


def entry(port, *, total=174, period=1, started=None, **more):
    """An entry of runtime.endpoints for this very process."""
    return {
        "service": "wall", "container": None, "pid": os.getpid(), "started": started, "namespace": "host", "scheme": "http", "prefix": "",
        "listener": {"proto": "tcp", "address": "127.0.0.1", "port": port, "path": None}, "declared": False, "credentials": None,
        "go_version": "go1.27.3", "module": "example.test/wall", "metrics_url": None, "error": None, "restarted": None, "groups": {},
        "takes": [{"goroutines": {"total": total, "counts": {}}, "mutex": {"period": period, "sites": []}}], **more}


def collect(*found, window=0.4, budget=60, timeout=20.0):
    context = Context(timeout=timeout, active={"budget": budget, "network": {"window": window}})
    context.shared["runtime.endpoints"] = list(found)
    return collector.endpoints(context)


@pytest.mark.parametrize("version", VERSIONS)
def test_requests_are_where_the_program_put_them(version):
    """Its numbers are those of program/main.go: four for the lock, of which one holds it asleep; four for the one connection of the
    pool, of which one has it and waits for the database's answer."""
    with serve(version) as server:
        [found] = collect(entry(server.port))
    assert found["error"] is None and len(found["samples"]) == collector.SAMPLES
    seen = wall.profile([found])
    assert {one.name: one.count / collector.SAMPLES for one in seen.states} == {
        "lock": 3, "pool": 3, "dns": 3, "tls": 3, "connect": 3, "dependency": 3 + 1, "internal": 3 + 2, "sleep": 2 + 1, "client": 2,
        "cpu": 1}
    assert seen.handlers == 30 and sum(one.share for one in seen.states) == pytest.approx(1)
    assert seen.state("lock").where.startswith("main.httpServer.func1 (main.go:")
    assert seen.state("dns").where.startswith("main.get (main.go:")


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_are_those_below_the_server(version):
    with serve(version) as server:
        [found] = collect(entry(server.port), window=0.1)
    assert sum(found["samples"][0]["counts"].values()) == found["samples"][0]["total"]
    groups = [group for group in found["groups"].values() if group["server"]]
    assert {group["server"] for group in groups} == {"net/http"}
    functions = {row[0] for group in groups for row in group["frames"]}
    assert "net/http.HandlerFunc.ServeHTTP" in functions
    assert not functions & {"net/http.serverHandler.ServeHTTP", "net/http.(*conn).serve"}


def test_the_locks_of_the_window_are_the_difference():
    with serve() as server:
        [found] = collect(entry(server.port), window=0.2)
    assert server.asked[0] == server.asked[-1] == "mutex" and set(server.asked[1:-1]) == {"goroutine"}
    mutex = found["mutex"]
    assert mutex["period"] == 1 and mutex["seconds"] >= 0.19  # rounded, and measured from the first profile on
    # Two goroutines waited 50 ms for a third one's lock, once before the first profile and once after it.
    worst = mutex["sites"][0]
    assert worst["function"] == "main.contend" and worst["origin"] == "own"
    assert 1 <= worst["contentions"] <= 4
    assert 40e6 < worst["delay_ns"] < 400e6
    whole = profile.totals(profile.parse((HERE / "go1.27.3" / "mutex-end.pb.gz").read_bytes()))
    assert mutex["delay_ns"] < whole["delay"]


@pytest.mark.parametrize(("period", "asked"), [
    pytest.param(0, [], id="switched off"), pytest.param(None, [], id="not known"), pytest.param(5, ["mutex", "mutex"], id="sampled")])
def test_locks_are_asked_for_where_they_are_sampled(period, asked):
    with serve() as server:
        [found] = collect(entry(server.port, period=period), window=0.1)
    assert [one for one in server.asked if one == "mutex"] == asked
    assert (found["mutex"] is None) == (not asked)


@pytest.mark.parametrize(("total", "samples"), [
    pytest.param(174, 10, id="few"), pytest.param(2000, 10, id="at the limit"), pytest.param(2001, 5, id="many"),
    pytest.param(20_000, 5, id="many, at the limit"), pytest.param(20_001, 2, id="a crowd")])
def test_the_more_goroutines_the_fewer_looks(total, samples):
    with serve() as server:
        [found] = collect(entry(server.port, total=total, period=0), window=0.2)
    assert len(found["samples"]) == samples == len(server.asked)
    clocks = [one["clock"] for one in found["samples"]]
    assert clocks == sorted(clocks) and clocks[-1] - clocks[0] >= 0.2 * (samples - 1) / samples - 0.05


def test_a_service_that_is_slow_is_left_alone_and_what_came_counts():
    with serve(delay=0.7) as server:
        [found] = collect(entry(server.port, period=0), window=2)
    assert server.asked == ["goroutine"]
    assert len(found["samples"]) == 1
    assert found["error"]["kind"] == "timeout" and found["error"]["message"].startswith("left alone: one sample took 0.")


@pytest.mark.parametrize(("answer", "kind"), [
    pytest.param(http(b"no", "500 Internal Server Error"), "status", id="server error"),
    pytest.param(http(b"\x1f\x8bnothing"), "broken", id="garbage"),
    pytest.param(http(b"<html>"), "not_pprof", id="another page"),
    pytest.param(http((HERE / "go1.27.3" / "mutex-end.pb.gz").read_bytes()), "broken", id="another profile"),
])
def test_a_service_that_answers_badly_is_asked_once(answer, kind):
    with serve(before=answer) as server:
        [found] = collect(entry(server.port, period=0), window=0.2)
    assert server.asked == ["goroutine"]
    assert found["error"]["kind"] == kind and found["samples"] == [] and found["groups"] == {}


def test_nobody_listens_any_more():
    with serve() as server:
        port = server.port
    [found] = collect(entry(port), window=0.2)
    assert found["error"]["kind"] == "refused" and found["samples"] == []


def test_another_life_of_the_process_is_not_asked():
    with serve() as server:
        [found] = collect(entry(server.port, started=1.0), window=0.2)
    assert server.asked == []
    assert found["error"]["kind"] in ("restarted", "refused") and found["samples"] == []


def test_endpoints_are_watched_at_the_same_time():
    begin = time.monotonic()
    with serve() as one, serve() as other:
        found = collect(entry(one.port, period=0), entry(other.port, period=0), window=1)
    assert time.monotonic() - begin < 1.9
    assert [len(each["samples"]) for each in found] == [10, 10]


def test_the_budget_ends_it():
    with serve() as server:
        context = Context(timeout=20, active={"budget": 1, "network": {"window": 0.2}})
        context.shared["runtime.endpoints"] = [entry(server.port)]
        context.budget.spent()
        time.sleep(1)
        [found] = collector.endpoints(context)
    assert server.asked == []
    assert found["error"] == {"kind": "budget", "message": "the budget of 1 s (preflight_budget) was used up"}


def test_only_endpoints_that_gave_a_take_are_asked():
    with serve() as server:
        assert collect(entry(server.port, takes=[])) == []
        assert server.asked == []


def test_without_the_subset_runtime_there_is_nothing_to_ask():
    with pytest.raises(Unavailable, match="the services were not asked for profiles"):
        collector.endpoints(Context(active={"network": {}}))


def test_facts_are_bounded(monkeypatch):
    monkeypatch.setattr(collector, "GROUPS_LIMIT", 6)
    with serve() as server:
        [found] = collect(entry(server.port), window=0.1)
    assert len(found["groups"]) == 6
    # Those of requests come first: they are what it is for. Before them who reads beside them: without it all clients have hung up.
    assert [group["frames"][-1][0] for group in found["groups"].values() if not group["server"]] == [
        "net/http.(*connReader).backgroundRead"]
    assert wall.profile([found]).gone == 0
    assert all(set(one["counts"]) <= set(found["groups"]) for one in found["samples"])


def frame(function):
    return profile.Frame(function, "x.go", 1)


@pytest.mark.parametrize(("functions", "expected"), [
    pytest.param(["main.handle", "net/http.serverHandler.ServeHTTP", "net/http.(*conn).serve"], "net/http", id="net/http"),
    pytest.param(["net.(*conn).Read", "bufio.(*Reader).Peek", "net/http.(*conn).serve"], "", id="idle connection"),
    pytest.param(["main.handle", "golang.org/x/net/http2.(*serverConn).runHandler"], "http2", id="HTTP/2"),
    pytest.param(["main.handle", "google.golang.org/grpc.(*Server).processUnaryRPC"], "grpc", id="gRPC"),
    pytest.param(["main.handle", "github.com/valyala/fasthttp.(*Server).serveConn"], "fasthttp", id="fasthttp"),
    pytest.param(["runtime.gopark", "net.(*conn).Read", "bufio.(*Reader).fill", "github.com/valyala/fasthttp.(*RequestHeader).tryRead",
                  "github.com/valyala/fasthttp.(*Server).serveConn"], "", id="fasthttp between two requests"),
    pytest.param(["main.worker"], "", id="no server"),
])
def test_who_handles_a_request(functions, expected):
    assert collector._server(tuple(map(frame, functions))) == expected


@pytest.mark.parametrize(("functions", "expected"), [
    pytest.param(["runtime.gopark", "runtime.gcParkAssist", "runtime.gcAssistAlloc", "runtime.mallocgc", "main.items"], True, id="parked"),
    pytest.param(["runtime.gcAssistAlloc1", "runtime.mallocgc", "main.items"], True, id="at work"),
    pytest.param(["runtime.mallocgc", "main.items"], False, id="allocates"),
    pytest.param(["main.items", "runtime.gcAssistAlloc"], False, id="not at the leaf"),
    pytest.param([], False, id="no stack"),
])
def test_who_does_the_collectors_work(functions, expected):
    assert collector._assists(tuple(map(frame, functions))) is expected


def test_the_collectors_work_is_a_group_of_its_own():
    stack = tuple(map(frame, ["runtime.gcAssistAlloc", "runtime.mallocgc", "main.items", "net/http.serverHandler.ServeHTTP"]))
    plain = tuple(map(frame, ["runtime.mallocgc", "main.items", "net/http.serverHandler.ServeHTTP"]))
    watch = collector._Watch(Context(), runtime.Options(), runtime.Job({}, [None]), entry(1), None, 0.0, 1 << 20)
    one, servers = {}, {}
    watch._count(profile.Profile([("goroutine", "count")], samples=[profile.Sample(stack, (3,), {}), profile.Sample(plain, (2,), {})]),
                 one, servers)
    assert sorted(one["counts"].values()) == [2, 3] and one["total"] == 5 and len(servers) == 2
    kept = watch._kept([one], servers)
    assert {group["class"]: one["counts"][key] for key, group in kept.items()} == {"gc": 3, "running": 2}


@pytest.mark.parametrize(("before", "after", "expected"), [
    pytest.param([], [("a", 3, 30)], [("a", 3, 30)], id="new"),
    pytest.param([("a", 1, 10)], [("a", 3, 30), ("b", 1, 50)], [("b", 1, 50), ("a", 2, 20)], id="grown, the dearest first"),
    pytest.param([("a", 3, 30)], [("a", 3, 30)], [], id="as it was"),
    pytest.param([("a", 3, 30)], [("a", 1, 10)], [], id="less, of another process"),
])
def test_difference_of_two_mutex_profiles(before, after, expected):
    def shown(rows):
        return {"sites": [{"function": name, "file": "x.go", "line": 1, "contentions": count, "delay_ns": delay}
                          for name, count, delay in rows],
                "contentions": sum(row[1] for row in rows), "delay_ns": sum(row[2] for row in rows)}

    found = collector._difference(shown(before), shown(after))
    assert [(one["function"], one["contentions"], one["delay_ns"]) for one in found["sites"]] == expected
    assert found["delay_ns"] == max(0, shown(after)["delay_ns"] - shown(before)["delay_ns"])
