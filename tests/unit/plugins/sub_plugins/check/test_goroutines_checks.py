# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The goroutines family: what each result says, of simulated processes and of recorded ones."""
from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import goroutine_recorded as recorded
import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.leaks import enclosing
from goroutine_world import MADE, OWN, World

FIRST = 37_000.0
WINDOW = (FIRST, FIRST + 60, FIRST + 120)
ONCE = WINDOW[:1]
SHORT = tuple(FIRST + 5 * index for index in range(10))


def facts(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"runtime": {"endpoints": list(entries)}}


def std(function: str) -> tuple[str, str, int, str]:
    return (function, "/go/src/file.go", 9, "std")


def own(function: str, line: int = 12) -> tuple[str, str, int, str]:
    return (function, "/src/api/main.go", line, "own")


def leaking(cls: str, *frames: tuple[str, str, int, str], wait: str | None = None, every: float = 2, created_by: Any = MADE) -> World:
    world = World()
    world.leak(world.group("leak", cls, frames or OWN, created_by, wait), every, FIRST - 60, FIRST + 121)
    return world


# ------------------------------------------------------------------------------------------------------- leaked: causes

# way: (class, frames, wait reason, what the hint has to say)
WAYS: dict[str, tuple[str, list[Any], str | None, str]] = {
    "unbuffered-send": ("chan_send", [own("main.answer")], None, "nobody receives any more"),
    "receive-without-sender": ("chan_receive", [own("main.answer")], None, "nobody sends and nobody closes the channel"),
    "nil-channel": ("chan_receive", [own("main.answer")], "chan receive (nil chan)", "the channel is nil"),
    "nil-channel-send": ("chan_send", [own("main.answer")], "chan send (nil chan)", "the channel is nil"),
    "select-without-cancel": ("select", [own("main.answer")], None, "a missing cancel"),
    "empty-select": ("select", [own("main.answer")], "select (no cases)", "select {} waits for ever"),
    "mutex": ("lock", [std("sync.(*Mutex).Lock"), own("main.answer")], None, "the lock is held and not given back"),
    "wait-group": ("wait_group", [std("sync.(*WaitGroup).Wait"), own("main.answer")], None, "Done is not called as often as Add counted"),
    "cond": ("cond", [std("sync.(*Cond).Wait"), own("main.answer")], None, "nobody calls Signal or Broadcast"),
    "context": ("chan_receive", [own("main.untilCancelled")], None, "its cancel function was dropped"),
    "context-of-another-type": ("select", [std("context.(*cancelCtx).propagateCancel.func2")], None, "never cancelled"),
    "ticker": ("select", [own("main.tickLoop.func1")], None, "a loop around a ticker or timer"),
    "body": ("select", [std("net/http.(*persistConn).readLoop")], None, "response bodies are not read to their end and closed"),
    "no-timeout": ("select", [std("net/http.(*persistConn).roundTrip"), std("net/http.(*Client).Do"), own("main.fetch")], None,
                   "waits for an answer without a timeout"),
    "worker-pool": ("chan_receive", [own("main.worker")], None, "range over a channel that nobody closes"),
    "rows": ("select", [std("database/sql.(*Rows).awaitDone")], None, "rows of a query are not closed"),
    "transaction": ("chan_receive", [std("database/sql.(*Tx).awaitDone")], None, "neither committed nor rolled back"),
    "pool-exhausted": ("select", [std("database/sql.(*DB).conn"), own("main.query")], None, "all connections of the database pool"),
    "pipe": ("select", [std("io.(*pipe).write"), std("io.(*PipeWriter).Write"), own("main.stream")], None, "other end of an io.Pipe"),
    "command": ("chan_receive", [std("os/exec.(*Cmd).watchCtx.func1")], None, "a command was started and is not waited for"),
    "grpc": ("select", [("google.golang.org/grpc.newClientStreamWithParams.func4", "/d/stream.go", 1, "dependency")], None, "gRPC stream"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_usual_cause_of_each_way(way, judge):
    cls, frames, wait, hint = WAYS[way]
    created = MADE if frames[0][3] != "dependency" else ("google.golang.org/grpc.newClientStream", "/d/stream.go", 2, "dependency")
    entry = leaking(cls, *frames, wait=wait, created_by=created).endpoint(WINDOW)
    (result,) = judge("goroutines.leaked", facts(entry), profile="deep").values()
    assert (result.status, result.severity) == ("fail", "high")
    named = next((frame[0] for frame in frames if frame[3] == "own"), frames[0][0])
    assert result.subject == f"api {enclosing(named)}"
    assert hint in result.remediation.hint
    assert f" in {named} (" in result.reason
    assert result.reason.endswith(": likely, none of them has ended. Their number rose from 30 to 90 in 2 min (1,800 an hour, give or take "
                                  "465).")
    assert result.remediation.command == "go tool pprof -traces http://127.0.0.1:6060/debug/pprof/goroutine"


@pytest.mark.parametrize("way", WAYS)
def test_its_healthy_twin_gives_no_finding(way, judge):
    """The same goroutines at the same rate, each of which ends; and as many that stay as they are."""
    cls, frames, wait, _hint = WAYS[way]
    world = World()
    world.requests(world.group("twin", cls, frames, MADE, wait), random.Random(7), 30, 5, FIRST, FIRST + 121)
    world.constant("twin", 30)
    results = judge("goroutines.leaked", facts(world.endpoint(WINDOW)), profile="deep")
    assert [(one.subject, one.status) for one in results.values()] == [("api", "pass")]


def test_two_locks(judge):
    world = World()
    for name in ("first", "second"):
        world.leak(world.group(name, "lock", [std("sync.(*Mutex).Lock"), own(f"main.{name}")]), 2, FIRST - 60, FIRST + 121)
    results = judge("goroutines.leaked", facts(world.endpoint(WINDOW)), profile="deep")
    assert set(results) == {"api main.first", "api main.second"}
    for name, other in (("first", "second"), ("second", "first")):
        result = results[f"api main.{name}"]
        assert f"a deadlock of two locks: as many goroutines wait for a lock in main.{other}" in result.remediation.hint
        assert "the other side of the deadlock:" in result.evidence and f"  main.{other} /src/api/main.go:12 (own)" in result.evidence


def test_a_library_that_the_program_starts_is_the_programs_finding(judge):
    frame = ("example.org/dep.(*Watcher).run", "/d/dep.go", 5, "dependency")
    (result,) = judge("goroutines.leaked", facts(leaking("select", frame).endpoint(WINDOW)), profile="deep").values()
    assert result.subject == "api main.handle"
    assert "wait on a select in example.org/dep.(*Watcher).run (d/dep.go:5): likely" in result.reason
    assert "  created by main.handle /src/api/main.go:44" in result.evidence


def test_a_loop_that_wakes_up_is_told_from_one_that_waits(judge):
    """Others show minutes of waiting, these do not, though they have lived through the window."""
    world = leaking("select", own("main.run"))
    world.constant(world.group("pool", "chan_receive", [own("main.jobs")]), 4)
    entry = facts(world.endpoint(WINDOW, minutes={"pool": 600}))
    assert "it goes round and is never ended: a loop around a ticker" in judge("goroutines.leaked", entry, profile="deep")[
        "api main.run"].remediation.hint
    entry = facts(world.endpoint(WINDOW, minutes={"pool": 600, "leak": 2}))
    assert "a missing cancel" in judge("goroutines.leaked", entry, profile="deep")["api main.run"].remediation.hint


def test_a_loop_that_sleeps_and_is_never_ended(judge):
    world = leaking("sleep", std("time.Sleep"), own("main.poll"))
    world.constant(world.group("pool", "chan_receive", [own("main.jobs")]), 4)
    result = judge("goroutines.leaked", facts(world.endpoint(WINDOW, minutes={"pool": 600})), profile="deep")["api main.poll"]
    assert result.reason == ("90 goroutines wait in a sleep in main.poll (api/main.go:12): likely, none of them has ended. Their number "
                             "rose from 30 to 90 in 2 min (1,800 an hour, give or take 465).")
    assert result.remediation.hint.startswith("Usual cause: it goes round and is never ended: a loop that sleeps between two rounds")


def test_a_pool_that_fills_is_called_so(judge):
    world = World()
    world.at(world.group("pool", "chan_receive", [own("main.worker")]), *[FIRST + 0.01 + index * 0.9 for index in range(50)])
    (result,) = judge("goroutines.leaked", facts(world.endpoint(SHORT)), profile="deep").values()
    assert (result.status, result.severity) == ("fail", "low")
    assert result.reason == ("50 goroutines wait on a channel receive in main.worker (api/main.go:12): suspicion, a leak, or a pool that "
                             "fills. Their number rose from 0 to 50 in 45 s (4,000 an hour, give or take 1,130).")


@pytest.mark.parametrize(("minutes", "said"), [(1, "for 1 minute at least"), (2, "for 2 minutes at least")])
def test_one_minute(minutes, said, judge):
    result = judge("goroutines.leaked", facts(leaking("lock").endpoint(WINDOW, minutes={"leak": minutes})), profile="deep")["api main.wait"]
    assert said in "\n".join(result.evidence)


def test_what_the_leak_profile_does_not_list_is_still_reached(judge):
    result = judge("goroutines.leaked", facts(leaking("chan_receive", own("main.subscriber")).endpoint(WINDOW, leaks=[])), profile="deep")
    assert "a global variable (a list of subscribers)" in result["api main.subscriber"].remediation.hint


# ------------------------------------------------------------------------------------------------------- leaked: sentences

def _certain(world: World) -> dict[str, Any]:
    return world.endpoint(ONCE, leaks=["leak"], minutes={"leak": 14})


def _loaded(number: int, begin: float = 121, life: float = 60) -> dict[str, Any]:
    world = World()
    name = world.group("leak")
    world.at(name, *[FIRST + begin + index * life / number for index in range(number)])
    times = (*WINDOW, FIRST + 140, FIRST + 160, FIRST + 200, FIRST + 260)
    return world.endpoint(times, phases=("idle",) * 3 + ("load",) * 2 + ("after",) * 2)


COUNTED = tuple(FIRST + 10 * index for index in range(13))


def _among_many(every: float) -> dict[str, Any]:
    """2,000 goroutines without ids, and one more of them each so many seconds."""
    world = World()
    world.constant(world.group("leak", "select"), 2000)
    world.leak("leak", every, FIRST, FIRST + 121)
    return world.endpoint(COUNTED, dump=False)


def _three_with_ids() -> dict[str, Any]:
    world = World()
    world.constant(world.group("pool", "select"), 20)
    entry = world.endpoint(COUNTED, leaks=[])
    for index, take in enumerate(entry["takes"]):
        if index % 6:
            take.update(dump=None, leaks=None)
    return entry


ROWS: list[tuple[str, Callable[[], dict[str, Any]], dict[str, Any]]] = [
    ("certain", lambda: _certain(leaking("chan_send")), {
        "subject": "api main.wait", "status": "fail", "severity": "high",
        "reason": "30 goroutines wait for ever on a channel send in main.wait (api/main.go:12): certain, the runtime's leak profile names "
                  "them.",
        "actual": {"method": "certain", "goroutines": 30, "function": "main.wait", "class": "chan_send"},
        "evidence": "goroutines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 18 more: "
                    "the oldest waits for 14 minutes at least; chan send 30"}),
    ("certain-and-one", lambda: _certain(leaking("chan_send", every=60)), {
        "subject": "api main.wait", "status": "fail", "severity": "high",
        "reason": "1 goroutine waits for ever on a channel send in main.wait (api/main.go:12): certain, the runtime's leak profile names "
                  "it."}),
    ("certain-and-rising", lambda: leaking("chan_send").endpoint(WINDOW, leaks=["leak"]), {
        "subject": "api main.wait", "status": "fail", "severity": "high",
        "reason": "90 goroutines wait for ever on a channel send in main.wait (api/main.go:12): certain, the runtime's leak profile names "
                  "them. Their number rose from 30 to 90 in 2 min (1,800 an hour, give or take 465)."}),
    ("likely", lambda: leaking("select").endpoint(WINDOW), {
        "subject": "api main.wait", "status": "fail", "severity": "high",
        "reason": "90 goroutines wait on a select in main.wait (api/main.go:12): likely, none of them has ended. Their number rose from 30 "
                  "to 90 in 2 min (1,800 an hour, give or take 465).",
        "actual": {"method": "likely", "goroutines": 90, "function": "main.wait", "class": "select", "per_hour": 1800.0, "error": 464.8},
        "evidence": "counts: idle 12:00:00: 30, idle 12:01:00: 60, idle 12:02:00: 90"}),
    ("likely-without-ids", lambda: leaking("select").endpoint(WINDOW, dump=False), {
        "subject": "api main.wait", "status": "fail", "severity": "high",
        "reason": "90 goroutines wait on a select in main.wait (api/main.go:12): likely, they rose by more than chance. Their number rose "
                  "from 30 to 90 in 2 min (1,800 an hour, give or take 465)."}),
    ("likely-by-thirteen-numbers", lambda: _among_many(3), {
        "subject": "api main.wait", "status": "fail", "severity": "high",
        "reason": "2040 goroutines wait on a select in main.wait (api/main.go:12): likely, their number never fell. Their number rose from "
                  "2000 to 2040 in 2 min (1,200 an hour, give or take 379)."}),
    ("suspicion-by-thirteen-numbers", lambda: _among_many(10), {
        "subject": "api main.wait", "status": "fail", "severity": "medium",
        "reason": "2012 goroutines wait on a select in main.wait (api/main.go:12): suspicion, their number never fell. Their number rose "
                  "from 2000 to 2012 in 2 min (360 an hour, give or take 208)."}),
    ("a-window-of-nothing-without-ids", lambda: _among_many(1000), {
        "subject": "api", "status": "pass", "severity": "high",
        "reason": "Of 2000 goroutines none is found to leak: no blocked group rose and stayed over 13 snapshots in 2 min (likely: by "
                  "number, without ids) and no line of own code blocks 3000 goroutines (suspicion).",
        "evidence": "no ids (no dump, or above dump_limit): a leak of fewer than 12 goroutines in the window is not told from chance",
        "thresholds": {"suspicious": 3000}}),
    ("a-window-of-which-three-have-ids", _three_with_ids, {
        "subject": "api", "status": "pass", "severity": "high",
        "reason": "Of 20 goroutines none is found to leak: the runtime's leak profile lists none (certain) and no blocked group rose and "
                  "stayed over 13 snapshots in 2 min (likely: by number, followed by id in 3)."}),
    ("under-load", lambda: _loaded(60), {
        "subject": "api main.wait", "status": "fail", "severity": "high",
        "reason": "60 goroutines wait on a channel send in main.wait (api/main.go:12): 0 before the load, 60 after it: likely, they rose "
                  "as long as it lasted."}),
    ("left-behind", lambda: _loaded(60, life=1), {
        "subject": "api main.wait", "status": "fail", "severity": "medium",
        "reason": "60 goroutines wait on a channel send in main.wait (api/main.go:12): 0 before the load, 60 after it: a leak, or a pool "
                  "that the load has filled."}),
    ("suspicion", lambda: leaking("chan_send", every=0.05).endpoint(ONCE, dump=False), {
        "subject": "api main.wait", "status": "fail", "severity": "low",
        "reason": "1200 goroutines wait on a channel send in main.wait (api/main.go:12): suspicion, more than usual wait at one line.",
        "actual": {"method": "suspicion", "goroutines": 1200, "function": "main.wait", "class": "chan_send"}}),
    ("one-look", lambda: leaking("chan_send").endpoint(ONCE), {
        "subject": "api", "status": "pass", "severity": "high",
        "reason": "Of 30 goroutines none is found to leak: no line of own code blocks 1000 goroutines (suspicion); one look without the "
                  "runtime's leak profile sees no slow leak and no small one.",
        "evidence": "no goroutineleak profile: Go 1.26 has no such profile (Go 1.27 has it"}),
    ("one-look-with-the-profile", lambda: leaking("chan_send").endpoint(ONCE, leaks=[]), {
        "subject": "api", "status": "pass", "severity": "high",
        "reason": "Of 30 goroutines none is found to leak: the runtime's leak profile lists none (certain).",
        "evidence": "one look does not see what grows while a global variable or a timer still reaches it"}),
    ("a-window-of-nothing", lambda: leaking("io").endpoint(WINDOW, leaks=[]), {
        "subject": "api", "status": "pass", "severity": "high",
        "reason": "Of 90 goroutines none is found to leak: the runtime's leak profile lists none (certain) and no blocked group rose and "
                  "stayed over 3 snapshots in 2 min (likely: followed by id)."}),
    ("restarted", lambda: leaking("chan_send").endpoint(ONCE, restarted="PID 812 was replaced by PID 900: 2 later takes were dropped"), {
        "subject": "api", "status": "pass", "severity": "high",
        "reason": "Of 30 goroutines none is found to leak: no line of own code blocks 1000 goroutines (suspicion); one look without the "
                  "runtime's leak profile sees no slow leak and no small one.",
        "evidence": "PID 812 was replaced by PID 900: 2 later takes were dropped"}),
]


@pytest.mark.parametrize(("entry", "wanted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_leaked(entry, wanted, judge):
    results = judge("goroutines.leaked", facts(entry()), profile="deep", thresholds=wanted.get("thresholds", {}))
    assert list(results) == [wanted["subject"]]
    result = results[wanted["subject"]]
    assert (result.status, result.severity, result.reason) == (wanted["status"], wanted["severity"], wanted["reason"])
    assert "actual" not in wanted or result.actual == wanted["actual"]
    assert wanted.get("evidence", "") in "\n".join(result.evidence)


def test_the_threshold_of_a_suspicion(judge):
    entry = facts(leaking("chan_send").endpoint(ONCE))
    assert judge("goroutines.leaked", entry, thresholds={"suspicious": 30})["api main.wait"].status == "fail"
    assert judge("goroutines.leaked", entry, thresholds={"suspicious": 31})["api"].status == "pass"


def test_the_command_is_left_out_where_the_tool_cannot_reach_the_page(judge):
    unix = {"listener": {"proto": "unix", "path": "/run/api.sock"}}
    for edit in (unix, {"credentials": "basic"}, {"container": {"runtime": "docker", "id": "1"}}):
        (result,) = judge("goroutines.leaked", facts(leaking("chan_send").endpoint(WINDOW) | edit), profile="deep").values()
        assert result.remediation.command == ""


# ------------------------------------------------------------------------------------------------------- nothing to judge

CHECKS = ("leaked", "count", "growth_rate", "blocked")


@pytest.mark.parametrize("name", CHECKS)
def test_no_service_serves_pprof(name, judge):
    (result,) = judge(f"goroutines.{name}", facts(), profile="deep").values()
    assert (result.status, result.reason) == ("notapplicable", "No service of this host is known to serve net/http/pprof.")


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize(("edit", "status", "severity", "reason"), [
    ({"error": {"kind": "timeout", "message": "no answer within 5 s"}}, "unknown", None,
     "No profile was taken from 127.0.0.1:6060: no answer within 5 s."),
    ({"error": {"kind": "timeout", "message": "no answer within 5 s"}, "declared": False}, "unknown", "info",
     "No profile was taken from 127.0.0.1:6060: no answer within 5 s."),
    ({"error": {"kind": "unauthorized", "message": "401"}}, "unknown", None,
     "No profile was taken from 127.0.0.1:6060: 401."),
    ({"error": {"kind": "unauthorized", "message": "401"}, "declared": False}, "notapplicable", None,
     "No profile was taken from 127.0.0.1:6060: 401. Give the credentials in preflight_credentials, by the "
     "service's name: username and password, or token; from a vault."),
    ({"error": None}, "unknown", None, "No profile was taken from 127.0.0.1:6060: it was not asked."),
])
def test_an_endpoint_without_a_take(name, edit, status, severity, reason, judge):
    entry = {**World().endpoint(()), **edit}
    (result,) = judge(f"goroutines.{name}", facts(entry), profile="deep").values()
    assert (result.subject, result.status, result.reason) == ("api", status, reason)
    assert severity is None or result.severity == severity


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize(("edit", "reason"), [
    ({"asked": [{"kind": "goroutine", "error": {"kind": "timeout", "message": "no answer within 5 s"}}]}, "no answer within 5 s"),
    ({"skipped": [{"kind": "goroutine", "reason": "switched off"}]}, "it was left out: switched off"), ({}, "the answer had none"),
])
def test_a_take_without_goroutines(name, edit, reason, judge):
    entry = leaking("chan_send").endpoint(ONCE)
    entry["takes"][0].update(edit, goroutines=None)
    (result,) = judge(f"goroutines.{name}", facts(entry), profile="deep").values()
    assert (result.status, result.reason) == ("unknown", f"The goroutine profile is not there: {reason}.")


def test_a_leak_profile_alone_is_enough(judge):
    entry = leaking("chan_send").endpoint(ONCE, leaks=["leak"])
    entry["takes"][0]["goroutines"] = None
    (result,) = judge("goroutines.leaked", facts(entry)).values()
    assert result.subject == "api main.wait" and ": certain, " in result.reason


def test_two_endpoints_are_told_apart(judge):
    entries = [leaking("chan_send").endpoint(WINDOW) for _unused in range(2)]
    entries[1]["listener"] = {**entries[1]["listener"], "port": 6061}
    assert set(judge("goroutines.leaked", facts(*entries), profile="deep")) == {
        "api 127.0.0.1:6060 main.wait", "api 127.0.0.1:6061 main.wait"}


# ------------------------------------------------------------------------------------------------------- count

def crowd(**numbers: int) -> World:
    world = World()
    for cls, number in numbers.items():
        world.constant(world.group(cls, cls, [own(f"main.{cls}")]), number)
    return world


@pytest.mark.parametrize(("numbers", "status", "reason"), [
    ({"select": 40}, "pass", "The process has 40 goroutines; 40 are at main.select (api/main.go:12), select."),
    ({"select": 9000, "lock": 1000}, "pass", "The process has 10000 goroutines; 9000 are at main.select (api/main.go:12), select."),
    ({"select": 9000, "lock": 1001}, "fail",
     "The process has 10001 goroutines, 10000 are accepted; 9000 are at main.select (api/main.go:12), select."),
    ({"io": 30000, "select": 8}, "pass",
     "The process has 8 goroutines and 30000 of connections; 8 are at main.select (api/main.go:12), select."),
    ({"select": 1}, "pass", "The process has 1 goroutine; 1 are at main.select (api/main.go:12), select."),
])
def test_count(numbers, status, reason, judge):
    (result,) = judge("goroutines.count", facts(crowd(**numbers).endpoint(ONCE, dump=False))).values()
    assert (result.status, result.reason) == (status, reason)


def test_count_judges_the_highest_take(judge):
    world = leaking("select", every=1)
    (result,) = judge("goroutines.count", facts(world.endpoint(WINDOW)), thresholds={"max": 150}).values()
    assert result.reason == (
        "The process has 180 goroutines (idle 12:02:00), 150 are accepted; 180 are at main.wait (api/main.go:12), select.")
    assert result.evidence[0] == "180: main.wait (api/main.go:12), select"


# ------------------------------------------------------------------------------------------------------- growth_rate

def steady(number: int, *, hours: float = 120 / 3600, more: tuple[int, int] = (0, 0), **how: Any) -> dict[str, Any]:
    """``number`` goroutines, ``more`` in the first and second half of the window."""
    world = World()
    world.constant(world.group("all", "select", [own("main.all")]), number)
    half = hours * 1800
    for index, births in enumerate(more):
        world.at("all", *[FIRST + half * index + 1 + step / births for step in range(births)])
    return world.endpoint((FIRST, FIRST + half, FIRST + 2 * half), **how)


@pytest.mark.parametrize(("entry", "status", "severity", "reason"), [
    (lambda: steady(100), "unknown", "info",
     "100 -> 100 -> 100 goroutines in 2 min: the window is too short to tell 0.7 % an hour."),
    (lambda: steady(100, hours=4), "pass", "high", "100 -> 100 -> 100 goroutines in 4 h: 0 % an hour, give or take 0.5; 0.7 are accepted."),
    (lambda: steady(100, more=(10, 10)), "fail", "high",
     "100 -> 110 -> 120 goroutines in 2 min: 600 % an hour, give or take 268; 0.7 are accepted. 20 more are in main.all "
     "(api/main.go:12)."),
    (lambda: steady(10_000, hours=2, more=(300, 300)), "fail", "high",
     "10000 -> 10300 -> 10600 goroutines in 2 h: 3 % an hour, give or take 0.245; 0.7 are accepted. 600 more are in main.all "
     "(api/main.go:12)."),
    (lambda: steady(100, more=(0, 20)), "unknown", "info",
     "100 -> 100 -> 120 goroutines in 2 min: the window is too short to tell 0.7 % an hour."),
    (lambda: steady(100, dump=False), "unknown", "info",
     "100 -> 100 -> 100 goroutines in 2 min: the window is too short to tell 0.7 % an hour."),
], ids=["too-short", "long-enough", "growth", "slow-growth", "one-window", "without-ids"])
def test_growth_rate(entry, status, severity, reason, judge):
    (result,) = judge("goroutines.growth_rate", facts(entry()), profile="deep").values()
    assert (result.status, result.severity, result.reason) == (status, severity, reason)


@pytest.mark.parametrize(("number", "words"), [
    (100, "take 3 snapshots 85.7 min apart (preflight_runtime: snapshots: 3, interval: 5143)"), (1, "no run waits that long")])
def test_what_a_longer_window_takes(number, words, judge):
    (result,) = judge("goroutines.growth_rate", facts(steady(number)), profile="deep").values()
    assert words in result.remediation.hint
    assert result.evidence[:2] == (
        ("0 % an hour, give or take 60", "to tell 0.7 % an hour of so many goroutines a window of 2.86 h is needed") if number == 100 else
        ("0 % an hour, give or take 6,000", "to tell 0.7 % an hour of so many goroutines a window of 11.9 days is needed"))


def test_ids_of_the_snapshots_make_the_error_of_thirteen_takes_small(judge):
    world = World()
    world.constant(world.group("all", "select", [own("main.all")]), 100)
    entry = world.endpoint(COUNTED)
    for index, take in enumerate(entry["takes"]):
        take["dump"] = None if index % 6 else take["dump"]
    (result,) = judge("goroutines.growth_rate", facts(entry), profile="deep").values()
    assert result.evidence[0] == "0 % an hour, give or take 60"


@pytest.mark.parametrize(("failed", "said"), [(None, True), ("it ended with exit status 127", False)])
def test_a_load_that_failed_left_nothing_behind_and_says_nothing(failed, said, judge):
    world = World()
    world.constant(world.group("pool", "select"), 20)
    times = (*WINDOW, FIRST + 140, FIRST + 200)
    document = facts(world.endpoint(times, phases=("idle",) * 3 + ("load", "after")))
    document["runtime"]["load"] = {"words": "a load", "seconds": 20, "rc": 127, "error": failed}
    assert ("the load left none behind" in judge("goroutines.leaked", document, profile="deep")["api"].reason) is said


def test_the_path_of_an_own_package_is_in_the_subject_and_not_in_the_sentence(judge):
    frame = ("example.org/team/api/jobs.(*Queue[...]).wait", "/src/api/jobs/queue.go", 9, "own")
    (result,) = judge("goroutines.leaked", facts(leaking("lock", frame).endpoint(WINDOW)), profile="deep").values()
    assert result.reason.startswith("90 goroutines wait on a lock in jobs.(*Queue[...]).wait (jobs/queue.go:9): likely, ")
    assert result.subject == "api example.org/team/api/jobs.(*Queue[...]).wait"
    assert "  example.org/team/api/jobs.(*Queue[...]).wait /src/api/jobs/queue.go:9 (own)" in result.evidence
    assert len(result.reason.split(". ")[0]) < 160


def test_a_number_that_falls_does_not_grow(judge):
    world = World()
    world.constant(world.group("all", "select"), 10)
    world.at("all", *[FIRST - 1] * 40, life=30)
    world.at("all", *[FIRST - 1] * 40, life=90)
    (result,) = judge("goroutines.growth_rate", facts(world.endpoint(WINDOW)), profile="deep").values()
    assert (result.status, result.reason) == (
        "pass", "90 -> 50 -> 10 goroutines in 2 min: -2,670 % an hour, give or take 596; 0.7 are accepted.")


@pytest.mark.parametrize("cls", ["io", "select"])
def test_connections_and_requests_are_no_growth(cls, judge):
    """Clients that arrive (io); requests that are more each time and other ones each time (select)."""
    world = World()
    world.constant(world.group("base", "chan_receive"), 20)
    name = world.group("more", cls, [own("main.more")])
    for time, number in zip(WINDOW, (10, 60, 300), strict=True):
        world.at(name, *[time - 1] * number, life=10 if cls == "select" else 1e9)
    (result,) = judge("goroutines.growth_rate", facts(world.endpoint(WINDOW)), profile="deep").values()
    assert result.status == "unknown" and result.severity == "info"


@pytest.mark.parametrize("clients", [True, False])
def test_requests_whose_clients_are_there_are_no_growth(clients, judge):
    """The goroutine of a connection that is kept alive is the same one in each request: by its id it never ends. Beside each request
    in work is the reader that net/http starts; what the request has started is other goroutines each time."""
    world = World()
    world.constant(world.group("base", "chan_receive"), 4)
    world.leak(world.group("handler", "chan_receive", [own("main.get"), std("net/http.(*conn).serve")]), 1, FIRST - 10, FIRST + 46)
    reader = world.group("reader", "io", [std("internal/poll.(*FD).Read"), std("net/http.(*connReader).backgroundRead")])
    world.constant(reader, 60)
    if clients:
        world.leak(reader, 1, FIRST - 10, FIRST + 46)
    world.at(world.group("work", "sleep", [std("time.Sleep"), own("main.get.func1")]),
             *[FIRST - 8 + index * 0.5 for index in range(110)], life=4)
    (result,) = judge("goroutines.growth_rate", facts(world.endpoint(SHORT)), profile="deep").values()
    if clients:
        assert (result.status, result.severity) == ("unknown", "info")
        assert result.reason == "12 -> 12 -> 12 goroutines in 45 s: the window is too short to tell 0.7 % an hour."
    else:
        assert (result.status, result.severity) == ("fail", "high")
        assert result.reason.endswith("45 more are in main.get (api/main.go:12).")


@pytest.mark.parametrize(("births", "cls", "status", "severity", "reason"), [
    ([index * 0.9 for index in range(50)], "chan_receive", "unknown", "info",
     "4 -> 32 -> 54 goroutines in 45 s: a leak, or a pool that fills, in main.run (api/main.go:12); a longer window tells."),
    ([index * 0.5 for index in range(50)], "chan_receive", "unknown", "info",
     "4 -> 54 -> 54 goroutines in 45 s: the window is too short to tell 0.7 % an hour."),
    ([index * 0.4 for index in range(112)], "sleep", "fail", "high",
     "4 -> 67 -> 116 goroutines in 45 s: 224,000 % an hour, give or take 42,300; 0.7 are accepted. 112 more are in main.run "
     "(api/main.go:12)."),
    ([index * 0.9 for index in range(50)], "chan_send", "fail", "high",
     "4 -> 32 -> 54 goroutines in 45 s: 100,000 % an hour, give or take 28,300; 0.7 are accepted. 50 more are in main.run "
     "(api/main.go:12)."),
], ids=["pool-that-fills", "pool-that-was-filled", "loops-that-sleep", "senders"])
def test_what_grows_is_named_and_a_pool_is_none(births, cls, status, severity, reason, judge):
    world = World()
    world.constant(world.group("base", "chan_receive"), 4)
    world.at(world.group("run", cls, [own("main.run")]), *[FIRST + 0.01 + birth for birth in births])
    (result,) = judge("goroutines.growth_rate", facts(world.endpoint(SHORT)), profile="deep").values()
    assert (result.status, result.severity, result.reason) == (status, severity, reason)


def test_the_largest_of_several_places_is_named(judge):
    world = leaking("lock")
    world.leak(world.group("second", "chan_send", [own("main.second", 99)]), 1, FIRST - 60, FIRST + 121)
    (result,) = judge("goroutines.growth_rate", facts(world.endpoint(WINDOW)), profile="deep").values()
    assert result.reason.endswith("120 more are in main.second (api/main.go:99), the most of 2 places.")
    assert result.evidence[:2] == ("120 more in main.second (api/main.go:99)", "60 more in main.wait (api/main.go:12)")


@pytest.mark.parametrize(("times", "phases"), [(WINDOW[:2], ()), (WINDOW, ("idle", "load", "after"))])
def test_two_windows_are_needed_and_the_load_is_not_compared(times, phases, judge):
    entry = leaking("select").endpoint(times, phases=phases, restarted="PID 812 was replaced by PID 900: one later take was dropped")
    (result,) = judge("goroutines.growth_rate", facts(entry), profile="deep").values()
    assert (result.status, result.severity) == ("unknown", "info")
    assert result.reason == ("Two consecutive windows need 3 snapshots of one life of the process; there are "
                             f"{len([one for one in entry['takes'] if one['phase'] == 'idle'])} (PID 812 was replaced by PID 900: one "
                             "later take was dropped).")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dump", [True, False])
def test_random_traffic_is_no_growth(seed, dump, judge):
    world = World()
    world.constant(world.group("base", "chan_receive"), 40)
    world.requests(world.group("busy", "select"), random.Random(seed), 60, 3, FIRST, FIRST + 121)
    (result,) = judge("goroutines.growth_rate", facts(world.endpoint(WINDOW, dump=dump)), profile="deep").values()
    assert result.status in ("unknown", "pass")


# ------------------------------------------------------------------------------------------------------- blocked

def queue(waiting: int, others: int, *, life: float = 1e9, times: tuple[float, ...] = ONCE, split: bool = False) -> dict[str, Any]:
    world = World()
    world.constant(world.group("other", "select", [own("main.other")]), others)
    names = [world.group(f"lock{number}", "lock", [std("sync.(*Mutex).Lock"), own("main.update", 70 + number * split)])
             for number in (0, 1)]
    for number in range(waiting):
        world.at(names[number % 2], FIRST - 1, life=life)
    return world.endpoint(times, dump=False)


@pytest.mark.parametrize(("entry", "status", "reason"), [
    (lambda: queue(0, 10), "pass", "None of 10 goroutines waits for a lock."),
    (lambda: queue(0, 1), "pass", "None of 1 goroutine waits for a lock."),
    (lambda: queue(49, 1), "pass", "49 of 50 goroutines wait for a lock in main.update (api/main.go:70)."),
    (lambda: queue(50, 151), "pass", "50 of 201 goroutines wait for a lock in main.update (api/main.go:70)."),
    (lambda: queue(50, 150), "fail", "50 of 200 goroutines (25 %) wait for a lock in main.update (api/main.go:70); 25 % are accepted."),
    (lambda: queue(80, 100, split=True), "pass", "40 of 180 goroutines wait for a lock in main.update (api/main.go:71)."),
    (lambda: queue(80, 20, life=30, times=WINDOW), "pass", "80 of 100 goroutines wait for a lock in main.update (api/main.go:70)."),
    (lambda: queue(80, 20, life=90, times=WINDOW), "fail",
     "80 of 100 goroutines (80 %) wait for a lock in main.update (api/main.go:70); 25 % are accepted."),
], ids=["none", "one", "few", "a-quarter-less", "a-quarter", "two-lines", "for-a-moment", "most-of-the-time"])
def test_blocked(entry, status, reason, judge):
    (result,) = judge("goroutines.blocked", facts(entry())).values()
    assert (result.status, result.reason) == (status, reason)


# ------------------------------------------------------------------------------------------------------- real services

@pytest.mark.parametrize("version", recorded.VERSIONS)
def test_every_way_of_a_recorded_service_is_named_with_its_cause(version, judge):
    results = judge("goroutines.leaked", facts(recorded.window(version, "leaking")), profile="deep")
    ways = recorded.truth(version, "leaking")[-1]
    hints = {name: results[f"leaky {enclosing(way['function'])}"].remediation.hint for name, way in ways.items() if name != "connection"}
    for name, words in {
        "unbuffered-send": "nobody receives any more", "nil-channel": "the channel is nil", "nil-send": "the channel is nil",
        "select": "a missing cancel", "empty-select": "select {} waits for ever", "context": "its cancel function was dropped",
        "ticker": "a loop around a ticker", "worker-pool": "a channel that nobody closes", "range": "a channel that nobody closes",
        "mutex": "the lock is held", "rwmutex": "the lock is held", "rwmutex-read": "the lock is held", "wait-group": "Done is not called",
        "cond": "nobody calls Signal", "two-locks": "a deadlock of two locks", "http-body": "response bodies are not read",
        "http-timeout": "without a timeout", "receive": "nobody sends and nobody closes",
    }.items():
        assert words in hints[name], name
    for name, way in ways.items():
        if name != "connection" and way["origin"] == "own":
            where = f"{way['function'].rpartition('/')[2]} ({'/'.join(way['file'].rsplit('/', 2)[-2:])}:{way['line']})"
            assert where in results[f"leaky {enclosing(way['function'])}"].reason


@pytest.mark.parametrize("version", recorded.VERSIONS)
def test_a_recorded_twin_is_healthy(version, judge):
    for name in CHECKS:
        for result in judge(f"goroutines.{name}", facts(recorded.window(version, "twin")), profile="deep").values():
            assert result.status == "pass" or (name == "growth_rate" and result.severity == "info"), result.reason


def test_results_are_plain_json(judge):
    for name in CHECKS:
        for result in judge(f"goroutines.{name}", facts(recorded.window("go1.27", "leaking")), profile="deep").values():
            assert json.loads(json.dumps(result.as_dict())) == result.as_dict()
