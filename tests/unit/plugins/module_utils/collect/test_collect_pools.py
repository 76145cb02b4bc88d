# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import promtext
from ansible_collections.goready.preflight.plugins.module_utils.collect import pools
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
from ansible_collections.goready.preflight.plugins.modules import readiness_facts

# What the lab's service shop said under load, Go 1.27.3: `-cause pool` with five seconds between the two readings, `-cause gc` with
# three.
RECORDED = Path(__file__).parents[3] / "fixtures" / "pools"
WINDOW = 1.1


def recorded(name: str) -> bytes:
    return (RECORDED / f"{name}.txt").read_bytes()


def page(text: str | bytes) -> promtext.Page:
    return promtext.parse([text.encode() if isinstance(text, str) else text], also=pools._ALSO)


@contextlib.contextmanager
def serving(*answers: tuple[int, bytes], wanted: str = ""):
    """A server that gives one answer after the other, and again the last; 401 to whoever does not send ``wanted``."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization") or "")
            status, body = answers[min(len(asked) - 1, len(answers) - 1)]
            if wanted and asked[-1] != wanted:
                status, body = 401, b"who are you?"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        server.server_close()


def collect(port: int, *, user: str = "", credentials: Any = (), pid: int | None = None, budget: float = 60, window: float = WINDOW,
            endpoints: Any = None, declared: bool = True) -> list[dict[str, Any]]:
    url = f"http://{user}127.0.0.1:{port}/metrics"
    context = Context(services=[{"name": "api", "metrics": url}] if declared else [], credentials=credentials,
                      active={"budget": budget, "network": {"window": window, "timeout": 1}})
    context.shared["services.services"] = [{
        "name": "api", "declared": True, "container": None,
        "processes": [{"pid": pid or os.getpid(), "listeners": [{"proto": "tcp", "address": "127.0.0.1", "port": port, "path": None}]}]}]
    if endpoints is not None:
        context.shared["runtime.endpoints"] = endpoints
    return pools.services(context)


def test_a_window_of_an_exhausted_pool():
    with serving((200, recorded("pool-begin")), (200, recorded("pool-end"))) as (port, _asked):
        found = collect(port)
    assert len(found) == 1
    one = found[0]
    assert one["error"] is None
    assert one["service"] == "api"
    assert one["pid"] == os.getpid()
    assert one["url"] == f"http://127.0.0.1:{port}/metrics"
    assert WINDOW <= one["seconds"] < WINDOW + 1
    assert one["pools"] == [{
        "name": "orders", "max_open": 2, "open": 2, "in_use": 2, "idle": 0, "waits": 73, "wait_seconds": 82.162757, "full": True,
        "closed": {"max_idle": 0, "max_idle_time": 0, "max_lifetime": 0}}]
    assert one["http"] == {"requests": 72, "seconds": 93.65358, "family": "http_request_duration_seconds"}
    assert one["goroutines"] == 49
    json.dumps(one, allow_nan=False)


def test_the_pressure_of_garbage_collection():
    found = pools.deltas(page(recorded("gc-begin")), page(recorded("gc-end")))
    assert found["gc"].pop("cpu_fraction") == pytest.approx(0.4, abs=0.1)
    assert found["gc"] == {"pauses": 79, "pause_seconds": 0.008092, "cpu_seconds": 2.170453, "assist_seconds": 0.876964}
    assert found["sched_latency"]["count"] > 0
    assert found["fds"]["max"] >= found["fds"]["open"] > 0


BEFORE = 'go_sql_wait_count_total{db_name="orders"} 10\ngo_sql_max_open_connections{db_name="orders"} 4\n'


@pytest.mark.parametrize(("before", "after", "message"), [
    pytest.param(BEFORE, 'go_sql_wait_count_total{db_name="orders"} 3\n',
                 'go_sql_wait_count_total{db_name="orders"} went back from 10 to 3: the process was restarted, or another one answered',
                 id="counter"),
    pytest.param("process_start_time_seconds 1700000000\n", "process_start_time_seconds 1700000100\n",
                 "the process was restarted within the window", id="start"),
    pytest.param('http_request_duration_seconds_count{code="200"} 9\n', 'http_request_duration_seconds_count{code="200"} 1\n',
                 'http_request_duration_seconds_count{code="200"} went back from 9 to 1: the process was restarted, '
                 "or another one answered",
                 id="requests"),
])
def test_a_restart_is_an_error(before, after, message):
    assert pools.restarted(page(before), page(after)) == {"kind": "restarted", "message": message}


@pytest.mark.parametrize(("before", "after"), [
    pytest.param("go_goroutines 9\n", "go_goroutines 3\n", id="gauge"),
    pytest.param("go_cpu_classes_idle_cpu_seconds_total 9\n", "go_cpu_classes_idle_cpu_seconds_total 8.9\n", id="estimate"),
    pytest.param("process_start_time_seconds 1700000000.12\n", "process_start_time_seconds 1700000000.13\n", id="same start"),
    pytest.param(BEFORE, BEFORE, id="nothing happened"),
])
def test_no_restart(before, after):
    assert pools.restarted(page(before), page(after)) is None


def test_a_restart_keeps_what_the_pool_is_allowed():
    after = BEFORE.replace(" 10\n", " 1\n").replace(" 4\n", " 8\n")
    with serving((200, BEFORE.encode()), (200, after.encode())) as (port, _asked):
        one = collect(port)[0]
    assert one["error"]["kind"] == "restarted"
    assert [(pool["max_open"], pool["waits"], pool["full"]) for pool in one["pools"]] == [(8, None, False)]


@pytest.mark.parametrize(("answer", "kind", "message"), [
    pytest.param((404, b"no"), "status", "HTTP 404", id="404"),
    pytest.param((200, b"<html>no</html>\n"), "broken", "this is no metrics page: it begins with '<html>no</html>'", id="html"),
    pytest.param((200, b"go_goroutines 7"), "broken", "the metrics page ends within a line", id="cut"),
    pytest.param((401, b"no"), "unauthorized", "it asks for credentials, and none were given", id="401"),
])
def test_a_page_that_is_none(answer, kind, message):
    with serving(answer) as (port, asked):
        one = collect(port)[0]
    assert one["error"] == {"kind": kind, "message": message}
    assert one["pools"] == []
    assert len(asked) == 1  # what was none is not asked again


@pytest.mark.parametrize(("bounds", "expected"), [((4, 6), 10), ((4, 0), 0)], ids=["bounded", "one is not"])
def test_pools_that_share_their_name_are_counted_together(bounds, expected):
    """prometheus.WrapRegistererWith(Labels{"role": ...}) around two NewDBStatsCollector(db, "orders")."""
    text = "".join('go_sql_%s{db_name="orders",role="%s"} %d\n' % (name, role, value)
                   for role, bound in zip(("a", "b"), bounds) for name, value in (
                       ("max_open_connections", bound), ("in_use_connections", 3), ("wait_count_total", 7),
                       ("wait_duration_seconds_total", 1)))
    (one,) = pools.pools_of(page(text), page(text.replace(" 7\n", " 9\n")), str)
    assert (one["name"], one["max_open"], one["in_use"], one["waits"]) == ("orders", expected, 6, 4)


def test_a_page_that_is_gone_at_the_end():
    with serving((200, BEFORE.encode()), (500, b"no")) as (port, _asked):
        one = collect(port)[0]
    assert one["error"] == {"kind": "status", "message": "HTTP 500"}
    assert [(pool["max_open"], pool["waits"]) for pool in one["pools"]] == [(4, None)]


def test_nobody_listens():
    with serving((200, b"")) as (port, _asked):
        pass
    assert collect(port)[0]["error"]["kind"] == "refused"


@pytest.mark.parametrize(("budget", "message"), [
    pytest.param(0.0, "the budget of 0 s (preflight_budget) was used up", id="none"),
    pytest.param(1.5, "the budget of 1.5 s (preflight_budget) was used up", id="less than a window"),
])
def test_without_budget_nothing_is_asked(budget, message):
    with serving((200, BEFORE.encode())) as (port, asked):
        one = collect(port, budget=budget)[0]
    assert one["error"] == {"kind": "budget", "message": message}
    assert asked == []


def test_the_window_is_what_the_budget_leaves():
    with serving((200, BEFORE.encode())) as (port, _asked):
        one = collect(port, budget=3.5, window=30)[0]
    assert one["error"] is None
    assert pools.SHORTEST <= one["seconds"] < 3.5


BASIC = "Basic " + base64.b64encode(b"probe:not-for-you").decode()
GIVEN = ({"service": "api", "username": "probe", "password": "not-for-you"},)


@pytest.mark.parametrize(("user", "credentials"), [
    pytest.param("probe:not-for-you@", (), id="url"), pytest.param("", GIVEN, id="preflight_credentials")])
def test_credentials_go_to_the_holder_that_asks(user, credentials):
    with serving((200, BEFORE.encode()), wanted=BASIC) as (port, asked):
        one = collect(port, user=user, credentials=credentials)[0]
    assert one["error"] is None
    assert asked == ["", BASIC, "", BASIC]
    assert "not-for-you" not in json.dumps(one)


def test_who_does_not_ask_gets_none():
    with serving((200, BEFORE.encode())) as (port, asked):
        collect(port, credentials=GIVEN)
    assert asked == ["", ""]


def test_somebody_elses_listener_gets_none():
    with serving((200, BEFORE.encode()), wanted=BASIC) as (port, asked):
        one = collect(port, credentials=GIVEN, pid=1)[0]
    assert one["error"] == {
        "kind": "unauthorized", "message": f"127.0.0.1:{port} is not held by a process of the service: no credentials were sent"}
    assert asked == [""]


def test_a_secret_in_a_label_is_hidden():
    body = b'go_sql_max_open_connections{db_name="not-for-you \xe2\x80\xae\\n"} 4\n'
    with serving((200, body), wanted=BASIC) as (port, _asked):
        one = collect(port, credentials=GIVEN)[0]
    assert one["pools"][0]["name"] == "[redacted] \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"


def test_a_discovered_service_is_asked_where_runtime_found_its_page():
    with serving((200, BEFORE.encode())) as (port, _asked):
        endpoint = {"service": "found", "container": None, "pid": os.getpid(), "started": None, "namespace": "host", "declared": False,
                    "listener": {"proto": "tcp", "address": "127.0.0.1", "port": port, "path": None}}
        found = collect(port, declared=False, endpoints=[
            {**endpoint, "metrics_url": f"http://127.0.0.1:{port}/metrics"}, {**endpoint, "service": "without", "metrics_url": None}])
    assert [(one["service"], one["declared"], one["error"]) for one in found] == [("found", False, None)]


def test_a_declared_process_is_not_counted_again_under_another_name():
    with serving((200, BEFORE.encode())) as (port, _asked):
        found = collect(port, endpoints=[{
            "service": "shop", "container": None, "pid": os.getpid(), "started": None, "namespace": "host", "declared": False,
            "metrics_url": f"http://127.0.0.1:{port}/metrics", "listener": {"proto": "tcp", "address": "127.0.0.1", "port": port}}])
    assert [one["service"] for one in found] == ["api"]


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param('go_sql_stats_connections_max_open{db_name="a"} 5\ngo_sql_stats_connections_waited_for{db_name="a"} 2\n'
                 'go_sql_stats_connections_blocked_seconds{db_name="a"} 1.5\n', {"a": {"max_open": 5, "waits": 2, "wait_seconds": 1.5}},
                 id="sqlstats"),
    pytest.param('db_sql_connection_max_open{db_system="postgresql"} 5\ndb_sql_connection_open{db_system="postgresql",status="inuse"} 3\n'
                 'db_sql_connection_open{db_system="postgresql",status="idle"} 1\ndb_sql_connection_wait_total{db_system="postgresql"} 2\n'
                 'db_sql_connection_wait_duration_milliseconds_total{db_system="postgresql"} 1500\n',
                 {"postgresql": {"max_open": 5, "in_use": 3, "idle": 1, "open": 4, "waits": 2, "wait_seconds": 1.5}}, id="otelsql"),
    pytest.param("go_sql_max_open_connections 5\n", {"": {"max_open": 5}}, id="no label"),
    pytest.param('go_sql_max_open_connections{db_name="a"} NaN\n', {}, id="no number"),
    pytest.param("go_goroutines 5\n", {}, id="no pool"),
])
def test_pools_by_what_exports_them(text, expected):
    assert pools._pool_values(page(text)) == expected


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param("http_server_duration_milliseconds_sum 500\nhttp_server_duration_milliseconds_count 5\n",
                 {"requests": 5, "seconds": 0.5, "family": "http_server_duration_milliseconds"}, id="milliseconds"),
    pytest.param('api_http_request_duration_seconds_sum{a="1"} 2\napi_http_request_duration_seconds_count{a="1"} 5\n'
                 'api_http_request_duration_seconds_sum{a="2"} 1\napi_http_request_duration_seconds_count{a="2"} 4\n',
                 {"requests": 9, "seconds": 3.0, "family": "api_http_request_duration_seconds"}, id="namespace"),
    pytest.param("http_client_request_duration_seconds_sum 500\nhttp_client_request_duration_seconds_count 5\n", None, id="outgoing"),
    pytest.param("db_request_duration_seconds_sum 500\ndb_request_duration_seconds_count 5\n", None, id="of something else"),
    pytest.param("go_goroutines 5\n", None, id="none"),
])
def test_requests(text, expected):
    assert pools.deltas(page("go_goroutines 1\n"), page(text))["http"] == expected


@given(st.binary(max_size=200).filter(lambda text: b"\r" not in text), st.binary(max_size=200))
def test_whatever_two_pages_say_is_json(before, after):
    begin = b'# x\ngo_sql_wait_count_total{db_name="a"} 1\n'
    try:
        pages = [promtext.parse([begin, text], also=pools._ALSO) for text in (before, after)]
    except promtext.PromError:
        return
    json.dumps([pools.deltas(*pages), pools.restarted(*pages), pools.pools_of(*pages, lambda text: text)], allow_nan=False)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(0, 100).map(float)


@given(st.lists(st.tuples(st.sampled_from(sorted(pools._POOL_SERIES)), st.sampled_from(["", '{db_name="a"}']), NUMBERS), max_size=12),
       st.lists(st.tuples(st.sampled_from(sorted(pools._POOL_SERIES)), st.sampled_from(["", '{db_name="a"}']), NUMBERS), max_size=12))
def test_no_counter_of_a_pool_is_negative(before, after):
    begin, end = (page("# x\n" + "".join(f"{name}{labels} {value!r}\n" for name, labels, value in series)) for series in (before, after))
    for pool in pools.pools_of(begin, end, lambda text: text):
        assert all(value is None or value >= 0 for value in (pool["waits"], pool["wait_seconds"], *pool["closed"].values()))
        json.dumps(pool, allow_nan=False)


@pytest.mark.parametrize("begin, end", [("-1.7e308", "1.7e308"), ("1", "1.7e308"), ("1", "1e400"), ("NaN", "-Inf")])
def test_numbers_that_no_service_counts_cost_no_other_page(begin, end):
    """Their sum and difference are infinite, which no int() takes."""
    pages = [page("".join(f'{name}_{part}{{code="{code}"}} {number}\n' for name in ("http_request_duration_seconds",)
                          for part in ("sum", "count") for code in (200, 500))
                  + f"go_sql_max_open_connections 5\ngo_sql_wait_count_total {number}\ngo_sql_wait_duration_seconds_total {number}\n")
             for number in (begin, end)]
    found = pools.pools_of(*pages, lambda text: text)
    assert [(one["max_open"], one["waits"], one["wait_seconds"]) for one in found] == [(5, None, None)]
    assert (pools.deltas(*pages)["http"] or {"requests": 0})["requests"] == 0


def keys(value: Any, prefix: str = "pools.services"):
    for item in value if isinstance(value, list) else [value]:
        for key, inner in item.items() if isinstance(item, dict) else ():
            yield f"{prefix}.{key}"
            yield from keys(inner, f"{prefix}.{key}")


def test_every_key_is_documented():
    with serving((200, recorded("gc-begin") + recorded("pool-begin")), (200, recorded("gc-end") + recorded("pool-end"))) as (port, _asked):
        found = collect(port)
    told = set(returned(yaml.safe_load(readiness_facts.RETURN)["facts"]["contains"]["pools"], "pools"))
    assert {path for path in told if ".container." not in path and ".error." not in path} == {"pools", "pools.services", *keys(found)}
    text = (Path(__file__).parents[5] / "docs" / "facts.md").read_text()
    part = text[text.index("\npools:"):text.index("\n## Probes")]
    assert [path for path in told if not re.search(rf"\b{path.rsplit('.', 1)[-1]}\b", part)
            and ".container." not in path] == []


def returned(entry: Any, path: str):
    yield path
    for name, inner in (entry.get("contains") or {}).items():
        yield from returned(inner, f"{path}.{name}")
