# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wall-clock profile: shares of counted requests, on stacks of real programs and on facts of any shape."""
from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.plugin_utils import wall

RECORDED = json.loads(gzip.decompress((Path(__file__).parents[2] / "fixtures/wall/waits/waits.json.gz").read_bytes()))
HANDLER = ("main.handle", "/src/shop/main.go", 41, "own")


def group(cls: str, *functions: str, server: str | None = "net/http", own: bool = True) -> dict[str, Any]:
    frames = [[name, "/go/src/x.go", 7, "std"] for name in functions]
    return {"class": cls, "frames": [*frames, list(HANDLER)] if own else frames, "wait": None, "server": server}


def endpoint(groups: dict[str, Any], *counts: dict[str, int], seconds: float = 5.0, **more: Any) -> dict[str, Any]:
    return {"service": "api", "container": None, "seconds": seconds, "groups": groups,
            "samples": [{"clock": float(number), "total": 100, "counts": one} for number, one in enumerate(counts)], **more}


@pytest.mark.parametrize(("cls", "functions", "expected"), [
    pytest.param("select", ["net.(*Resolver).lookupIPAddr", "net.(*Dialer).DialContext"], "dns", id="name, Go's resolver"),
    pytest.param("select", ["net.cgoLookupHostIP", "net.(*Dialer).DialContext"], "dns", id="name, the libc's resolver"),
    pytest.param("io", ["internal/poll.runtime_pollWait", "net.(*netFD).connect", "net.(*sysDialer).dialTCP"], "connect", id="connect"),
    pytest.param("select", ["net.(*sysDialer).dialParallel", "net.(*Dialer).DialContext"], "connect", id="both families"),
    pytest.param("io", ["net.(*conn).Read", "crypto/tls.(*Conn).clientHandshake"], "tls", id="handshake"),
    pytest.param("chan_receive", ["net/http.(*persistConn).addTLS", "net/http.(*Transport).dialConn"], "tls", id="waits for its handshake"),
    pytest.param("select", ["net/http.(*Transport).getConn", "net/http.(*Client).Do"], "get_conn", id="waits for a connection"),
    pytest.param("select", ["net/http.(*persistConn).roundTrip", "net/http.(*Client).Do"], "dependency", id="answer over HTTP"),
    pytest.param("select", ["golang.org/x/net/http2.(*clientStream).writeRequest"], "dependency", id="answer over HTTP/2"),
    pytest.param("cond", ["sync.(*Cond).Wait", "net/http.(*http2pipe).Read", "net/http.http2transportResponseBody.Read"], "dependency",
                 id="the rest of an answer over HTTP/2"),
    pytest.param("cond", ["sync.(*Cond).Wait", "net/http/internal/http2.transportResponseBody.Read"], "dependency", id="the same, Go 1.27"),
    pytest.param("select", ["google.golang.org/grpc.(*csAttempt).recvMsg"], "dependency", id="answer over gRPC"),
    pytest.param("io", ["net.(*conn).Read", "main.readLine"], "dependency", id="a protocol of its own"),
    pytest.param("io", ["net.(*conn).Read", "github.com/lib/pq.(*conn).recvMessage", "database/sql.(*DB).query"], "database", id="lib/pq"),
    pytest.param("io", ["net.(*conn).Read", "github.com/jackc/pgx/v5/pgconn.(*PgConn).receiveMessage"], "database", id="pgx"),
    pytest.param("io", ["net.(*conn).Read", "example.org/api/vendor/github.com/go-sql-driver/mysql.(*buffer).fill"], "database",
                 id="vendored"),
    pytest.param("io", ["net.(*conn).Read", "github.com/redis/go-redis/v9/internal/proto.(*Reader).ReadReply"], "database", id="redis"),
    pytest.param("select", ["database/sql.(*DB).conn", "database/sql.(*DB).query"], "pool", id="pool of database/sql"),
    pytest.param("io", ["net.(*conn).Read", "github.com/lib/pq.(*conn).startup", "database/sql.(*DB).conn"], "database",
                 id="pool that opens a connection"),
    pytest.param("select", ["golang.org/x/sync/semaphore.(*Weighted).Acquire", "github.com/jackc/puddle/v2.(*Pool[...]).acquire"], "pool",
                 id="pool of pgx"),
    pytest.param("select", ["github.com/redis/go-redis/v9/internal/pool.(*ConnPool).waitTurn"], "pool", id="pool of redis"),
    pytest.param("lock", ["internal/sync.runtime_SemacquireMutex", "internal/sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock"], "lock",
                 id="lock"),
    pytest.param("lock", ["sync.runtime_SemacquireRWMutexR", "sync.(*RWMutex).RLock"], "lock", id="read lock"),
    pytest.param("running", ["sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock"], "lock", id="lock, spinning"),
    pytest.param("gc", ["main.items"], "gc", id="assist"),
    pytest.param("io", ["net.(*conn).Read", "net/http.(*body).Read", "io.Copy"], "client", id="body of the request"),
    pytest.param("io", ["net.(*conn).Write", "net/http.checkConnErrorWriter.Write", "net/http.(*response).Write"], "client", id="answer"),
    pytest.param("running", ["crypto/sha256.block"], "cpu", id="computes"),
    pytest.param("running", ["main.spin"], "cpu", id="computes itself"),
    pytest.param("sleep", ["time.Sleep"], "sleep", id="sleep"),
    pytest.param("syscall", ["syscall.Syscall", "internal/poll.(*FD).Fsync", "os.(*File).Sync"], "disk", id="disk"),
    pytest.param("syscall", ["syscall.Syscall6", "os.(*Process).wait", "os/exec.(*Cmd).Wait"], "process", id="another program"),
    pytest.param("io", ["internal/poll.(*FD).Read", "os.(*File).Read", "bufio.(*Scanner).Scan"], "process", id="its pipe"),
    pytest.param("syscall", ["main._Cfunc_wait"], "other", id="cgo"),
    pytest.param("wait_group", ["sync.(*WaitGroup).Wait", "golang.org/x/sync/errgroup.(*Group).Wait"], "internal", id="wait group"),
    pytest.param("chan_receive", ["main.receive"], "internal", id="channel"),
    pytest.param("io", ["net.(*conn).Read", "github.com/redis/go-redis/v9/internal/proto.(*Reader).ReadReply",
                        "github.com/redis/go-redis/v9.cmdable.BLPop"], "internal", id="queue of redis that is empty"),
    pytest.param("io", ["net.(*conn).Read", "github.com/jackc/pgx/v5/pgconn.(*PgConn).WaitForNotification",
                        "github.com/jackc/pgx/v5.(*Conn).WaitForNotification"], "internal", id="LISTEN"),
    pytest.param("select", ["github.com/nats-io/nats.go.(*Subscription).NextMsg"], "internal", id="subscription"),
    pytest.param("select", ["github.com/nats-io/nats.go.(*Conn).Request"], "dependency", id="question over a broker"),
    pytest.param("cond", ["sync.(*Cond).Wait"], "internal", id="condition"),
    pytest.param("runtime", [], "other", id="nothing known"),
])
def test_state(cls: str, functions: list[str], expected: str) -> None:
    assert wall.state_of(cls, [*functions, "main.handle"]) == expected


def test_shares_are_those_of_the_requests_seen() -> None:
    groups = {"lock": group("lock", "sync.(*Mutex).Lock"), "cpu": group("running"),
              "idle": group("io", "net.(*conn).Read", server=None, own=False)}
    found = wall.profile([endpoint(groups, {"lock": 6, "cpu": 2, "idle": 90}, {"lock": 9, "cpu": 3, "idle": 90})])
    assert found is not None
    assert (found.samples, found.observations, found.handlers, found.seconds) == (2, 20, 10.0, 5.0)
    assert [(one.name, one.share, one.where) for one in found.states] == [
        ("lock", 0.75, "main.handle (main.go:41)"), ("cpu", 0.25, "main.handle (main.go:41)")]
    assert found.enough
    assert found.share("lock", "cpu") == 1.0 and found.share("dns") == 0 and found.state("dns") is None
    assert found.as_dict()["shares"][0] == {"state": "a lock", "share": 0.75, "where": "main.handle (main.go:41)"}


@pytest.mark.parametrize(("dials", "expected"), [
    pytest.param({"dns": 6, "tls": 2}, {"dns": 0.6, "tls": 0.2, "cpu": 0.2}, id="as the dials in flight are"),
    pytest.param({"connect": 1}, {"connect": 0.8, "cpu": 0.2}, id="one for all"),
    pytest.param({"connect": 300, "tls": 6}, {"connect": 0.5, "tls": 0.3, "cpu": 0.2}, id="most connect for nobody any more"),
    pytest.param({"connect": 300, "tls": 300}, {"connect": 0.4, "tls": 0.4, "cpu": 0.2}, id="which of them is not told"),
    pytest.param({"connect": 1, "tls": 16}, {"connect": 0.05, "tls": 0.75, "cpu": 0.2}, id="one more than who waits"),
    pytest.param({}, {"pool": 0.8, "cpu": 0.2}, id="nobody dials: as many connections as there may be"),
])
def test_who_waits_for_a_connection_waits_for_what_its_dial_does(dials: dict[str, int], expected: dict[str, float]) -> None:
    behind = ("net/http.(*Transport).dialConn", "net/http.(*Transport).dialConnFor")
    groups = {
        "get": group("select", "net/http.(*Transport).getConn"), "cpu": group("running"),
        "dns": group("select", "net.(*Resolver).lookupIPAddr", "net.(*Dialer).DialContext", *behind, server=None, own=False),
        "connect": group("io", "net.(*sysDialer).dialTCP", *behind, server=None, own=False),
        "tls": group("chan_receive", "net/http.(*persistConn).addTLS", *behind, server=None, own=False),
    }
    found = wall.profile([endpoint(groups, {"get": 16, "cpu": 4, **dials})])
    assert found is not None and found.observations == 20
    assert {one.name: round(one.share, 6) for one in found.states} == expected


def stack(cls: str, *frames: tuple[str, str], server: str | None = None) -> dict[str, Any]:
    return {"class": cls, "frames": [[name, "/src/x.go", 7, origin] for name, origin in frames], "wait": None, "server": server}


ROUND_TRIP = ("net/http.(*persistConn).roundTrip", "std")


@pytest.mark.parametrize(("helper", "expected"), [
    pytest.param(stack("select", ROUND_TRIP, ("main.fetch", "own"), ("main.pay.func1", "own")), {"dependency": 1.0}, id="its closure"),
    pytest.param(stack("select", ROUND_TRIP, ("main.pay.func1.2", "own"), ("golang.org/x/sync/errgroup.(*Group).Go.func1", "dependency")),
                 {"dependency": 1.0}, id="a closure in its closure, by errgroup"),
    pytest.param(stack("select", ROUND_TRIP, ("main.payLater.func1", "own")), {"internal": 1.0}, id="another function that begins so"),
    pytest.param(stack("select", ROUND_TRIP, ("main.poll", "own")), {"internal": 1.0}, id="somebody's loop"),
    pytest.param(stack("select", ("main.pay.func1", "own")), {"internal": 1.0}, id="a closure that waits for a channel as well"),
    pytest.param(stack("select", ("net/http.(*Transport).getConn", "std"), ("main.pay.func1", "own")), {"pool": 1.0},
                 id="its closure waits for a connection of the Transport"),
])
def test_who_waits_for_its_goroutines_waits_for_what_they_do(helper: dict[str, Any], expected: dict[str, float]) -> None:
    waits = stack("wait_group", ("sync.(*WaitGroup).Wait", "std"), ("main.pay", "own"), server="net/http")
    found = wall.profile([endpoint({"w": waits, "h": helper}, {"w": 10, "h": 3}, {"w": 10, "h": 3})])
    assert found is not None and found.observations == 20
    assert {one.name: one.share for one in found.states} == expected


def test_a_fan_out_is_divided_as_its_goroutines_are() -> None:
    groups = {"w": stack("wait_group", ("sync.(*WaitGroup).Wait", "std"), ("main.pay", "own"), server="net/http"),
              "a": stack("select", ROUND_TRIP, ("main.pay.func1", "own")),
              "b": stack("lock", ("sync.(*Mutex).Lock", "std"), ("main.pay.func2", "own")),
              "sleep": stack("sleep", ("time.Sleep", "std"), ("main.wait", "own"), server="net/http")}
    found = wall.profile([endpoint(groups, {"w": 16, "a": 9, "b": 3, "sleep": 4})])
    assert found is not None
    assert [(one.name, one.share, one.where) for one in found.states] == [
        ("dependency", 0.6, "main.pay.func1 (x.go:7)"), ("lock", 0.2, "main.pay.func2 (x.go:7)"), ("sleep", 0.2, "main.wait (x.go:7)")]


def test_who_waits_for_the_leader_of_a_flight_waits_for_what_it_does() -> None:
    flight = ("golang.org/x/sync/singleflight.(*Group).Do", "dependency")
    groups = {"w": stack("wait_group", ("sync.(*WaitGroup).Wait", "std"), flight, ("main.price", "own"), server="net/http"),
              "leader": stack("select", ROUND_TRIP, ("main.price.func1", "own"), flight, ("main.price", "own"), server="net/http")}
    found = wall.profile([endpoint(groups, {"w": 19, "leader": 1})])
    assert found is not None and found.observations == 20
    assert [(one.name, one.share) for one in found.states] == [("dependency", 1.0)]


@pytest.mark.parametrize("left_out", [
    pytest.param(group("io", "net.(*conn).Read", "github.com/gorilla/websocket.(*Conn).NextReader"), id="websocket"),
    pytest.param(group("select", "google.golang.org/grpc.(*serverStream).RecvMsg", server="grpc"), id="stream"),
    pytest.param(group("running", "runtime/pprof.writeRuntimeProfile", "net/http/pprof.handler.ServeHTTP"), id="our own question"),
    pytest.param(group("select", "net/http.(*timeoutHandler).ServeHTTP"), id="whose handler is another goroutine"),
    pytest.param(group("select", "main.worker", server=None), id="no request"),
])
def test_what_is_no_request_that_comes_and_goes(left_out: dict[str, Any]) -> None:
    found = wall.profile([endpoint({"x": left_out, "sleep": group("sleep", "time.Sleep")}, {"x": 50, "sleep": 1})])
    assert found is not None and found.observations == 1 and [one.name for one in found.states] == ["sleep"]


def test_a_websocket_whose_goroutines_do_the_reading_is_a_stream() -> None:
    groups = {"serve": stack("wait_group", ("sync.(*WaitGroup).Wait", "std"), ("main.chat", "own"), server="net/http"),
              "read": stack("io", ("net.(*conn).Read", "std"), ("github.com/coder/websocket.(*Conn).Read", "dependency"),
                            ("main.chat.func1", "own")),
              "sleep": group("sleep", "time.Sleep")}
    found = wall.profile([endpoint(groups, {"serve": 30, "read": 30, "sleep": 1})])
    assert found is not None and (found.observations, found.streams) == (1, 30) and [one.name for one in found.states] == ["sleep"]


POLL = stack("select", ("main.poll", "own"), server="net/http")


@pytest.mark.parametrize(("waiting", "other", "expected"), [
    pytest.param(POLL, {}, 1.0, id="a long poll"),
    pytest.param(stack("cond", ("sync.(*Cond).Wait", "std"), ("main.poll", "own"), server="net/http"), {}, 1.0, id="by a condition"),
    pytest.param(POLL, {"w": stack("chan_receive", ("main.work", "own"))}, 1.0, id="beside workers that have nothing to do"),
    pytest.param(POLL, {"w": stack("io", ("net.(*conn).Read", "std"), ("main.consume", "own"))}, 1.0, id="beside who reads messages"),
    pytest.param(POLL, {"w": stack("io", ("net.(*conn).Read", "std"), ("github.com/jackc/pgx/v5.(*Conn).WaitForNotification", "dependency"),
                                   ("main.listen", "own"))}, 1.0, id="beside who listens"),
    pytest.param(POLL, {"w": stack("sleep", ("time.Sleep", "std"), ("main.tick", "own"))}, 1.0, id="beside a loop that sleeps"),
    pytest.param(POLL, {"w": stack("select", ROUND_TRIP, ("net/http.(*Transport).dialConn", "std"))}, 1.0, id="nobody's own code"),
    pytest.param(POLL, {"w": stack("select", ROUND_TRIP, ("main.work", "own"))}, 0.0, id="a worker asks another service"),
    pytest.param(POLL, {"w": stack("running", ("main.work", "own"))}, 0.0, id="a worker computes"),
    pytest.param(POLL, {"w": stack("select", ROUND_TRIP, ("main.pay", "own"), server="net/http")}, 0.0, id="who holds the semaphore works"),
    pytest.param(stack("chan_send", ("main.submit", "own"), server="net/http"), {}, 0.0, id="a full queue"),
    pytest.param(stack("wait_group", ("sync.(*WaitGroup).Wait", "std"), ("main.all", "own"), server="net/http"), {}, 0.0, id="its own"),
    pytest.param(stack("select", ("golang.org/x/time/rate.(*Limiter).wait", "dependency"), ("main.pay", "own"), server="net/http"), {}, 0.0,
                 id="a limiter"),
])
def test_who_waits_for_an_event_is_told_from_who_waits_for_work(waiting: dict[str, Any], other: dict[str, Any], expected: float) -> None:
    found = wall.profile([endpoint({"p": waiting, **other}, *[{"p": 10, **dict.fromkeys(other, 1)}] * 3)])
    assert found is not None and round(found.events, 2) == expected
    assert found.share("internal") >= expected and found.lasting is None


@pytest.mark.parametrize(("expected", "lasting", "handlers"), [
    pytest.param(None, None, 110, id="the service tells no requests"),
    pytest.param(9.5, 100, 10, id="a hundred streams beside ten requests"),
    pytest.param(60.0, None, 110, id="half of them"),
    pytest.param(1.0, 100, 10, id="no more than wait for an event"),
    pytest.param(100.0, None, 110, id="long polls that end"),
])
def test_who_does_not_end_is_no_request_that_comes_and_goes(expected: float | None, lasting: float | None, handlers: float) -> None:
    reader = group("io", "net.(*conn).Read", "net/http.(*connReader).backgroundRead", server=None, own=False)
    groups = {"p": POLL, "pool": group("select", "database/sql.(*DB).conn"), "r": reader}
    found = wall.profile([endpoint(groups, *[{"p": 100, "pool": 10, "r": 110}] * 2)], expected)
    assert found is not None and found.handlers == handlers
    assert found.share("pool") == pytest.approx(10 / handlers)
    assert sum(one.share for one in found.states) == pytest.approx(1)
    assert (None if found.lasting is None else (found.lasting.count, found.lasting.where)) == (
        None if lasting is None else (lasting, "main.poll (x.go:7)"))


@pytest.mark.parametrize("version", RECORDED)
@pytest.mark.parametrize(("case", "shares", "events", "lasting"), [
    ("long poll", {"internal": 1.0}, 1.0, None),
    ("stream", {"internal": 1.0}, 1.0, None),  # no request ended, so that nothing is known to last
    ("stream and semaphore", {"internal": 0.75, "dependency": 0.25}, 0.0, 100),
    ("queue", {"internal": 1.0}, 0.0, None),
    ("semaphore", {"internal": 0.9, "dependency": 0.1}, 0.0, None),
    ("long poll and queue", {"internal": 1.0}, 0.0, None),
    ("left dials", {"connect": 10 / 18, "tls": 8 / 18}, 0.0, None),
])
def test_what_a_program_waits_for(version: str, case: str, shares: dict[str, float], events: float, lasting: float | None) -> None:
    recorded = RECORDED[version][case]
    found = wall.profile([recorded["entry"]], recorded["expected"])
    assert found is not None and found.gone == 0
    assert {one.name: one.share for one in found.states} == pytest.approx(shares, abs=0.02)
    assert found.events == events
    assert (found.lasting.count if found.lasting else None) == (lasting and pytest.approx(lasting, abs=1))


def test_who_works_for_nobody_is_no_stream() -> None:
    found = wall.profile([endpoint({"p": POLL, "cpu": group("running")}, *[{"p": 100, "cpu": 10}] * 2)], 10.0)
    assert found is not None and found.lasting is None and found.gone == 1.0


@pytest.mark.parametrize(("endpoints", "expected"), [
    pytest.param([], None, id="none was sampled"),
    pytest.param([endpoint({})], None, id="no sample came"),
    pytest.param([endpoint({}, {})], (1, 0, False), id="nobody was at work"),
    pytest.param([endpoint({"s": group("sleep", "time.Sleep")}, {"s": 40})], (1, 40, False), id="one look alone"),
    pytest.param([endpoint({"s": group("sleep", "time.Sleep")}, {"s": 9}, {"s": 10})], (2, 19, False), id="too few"),
    pytest.param([endpoint({"s": group("sleep", "time.Sleep")}, {"s": 9}, {"s": 11})], (2, 20, True), id="enough"),
    pytest.param([endpoint({"s": group("sleep", "time.Sleep")}, {"s": count}, {}) for count in (9, 11)], (2, 20, True),
                 id="of two processes"),
])
def test_how_much_was_seen(endpoints: list[dict[str, Any]], expected: tuple[int, int, bool] | None) -> None:
    found = wall.profile(endpoints)
    assert (None if found is None else (found.samples, found.observations, found.enough)) == expected


def test_a_handler_without_a_reader_works_for_nobody() -> None:
    reader = group("io", "net.(*conn).Read", "net/http.(*connReader).backgroundRead", server=None, own=False)
    groups = {"work": group("running"), "h2": group("running", server="http2"), "reader": reader}
    assert wall.profile([endpoint(groups, *[{"work": 10, "reader": 4}] * 3)]).gone == pytest.approx(0.6)
    assert wall.profile([endpoint(groups, *[{"work": 10, "reader": 11}] * 3)]).gone == 0  # one reads for who asks for this very profile
    assert wall.profile([endpoint(groups, *[{"h2": 10}] * 3)]).gone == 0  # HTTP/2 has one reader a connection
    assert wall.profile([endpoint(groups, {})]).gone == 0


def test_of_service_knows_containers_apart() -> None:
    plain, inside = endpoint({}), endpoint({}, container={"runtime": "podman", "id": "0123"})
    other = {**endpoint({}), "service": "web"}
    facts = {"wall": {"endpoints": [plain, inside, other, "nothing"]}}
    assert wall.of_service(facts, "api", "") == [plain]
    assert wall.of_service(facts, "api", "0123") == [inside]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ("class", "frames", "server", "counts", "samples", "groups", "seconds", "a", "b")), inner, max_size=5), max_leaves=20)


@given(st.lists(st.fixed_dictionaries({"groups": JSON, "samples": JSON, "seconds": JSON}), max_size=2), st.none() | st.floats(0, 1e6))
def test_any_facts_give_a_profile_or_none(endpoints: list[dict[str, Any]], expected: float | None) -> None:
    found = wall.profile(endpoints, expected)
    assert found is None or sum(one.share for one in found.states) == pytest.approx(1 if found.observations else 0)


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(
    st.sampled_from(("select", "io", "lock", "running", "gc", "sleep")), st.sampled_from((
        "net.(*Resolver).lookupIPAddr", "net/http.(*Transport).getConn", "database/sql.(*DB).conn", "net/http.(*Transport).dialConnFor",
        "sync.(*Mutex).Lock", "main.x")), st.booleans(), st.integers(0, 50)), max_size=6), st.none() | st.floats(0, 300))
def test_shares_are_of_one_whole(rows: dict[str, tuple[str, str, bool, int]], expected: float | None) -> None:
    groups = {key: group(cls, function, server="net/http" if serves else None) for key, (cls, function, serves, _count) in rows.items()}
    found = wall.profile([endpoint(groups, {key: row[3] for key, row in rows.items()})], expected)
    assert found is not None
    lasting = found.lasting.count if found.lasting else 0
    assert found.observations + lasting == sum(count for _cls, _function, serves, count in rows.values() if serves)
    assert sum(one.share for one in found.states) == pytest.approx(1 if found.observations else 0)
    assert all(0 <= one.share <= 1 + 1e-9 for one in found.states) and 0 <= found.events <= 1
