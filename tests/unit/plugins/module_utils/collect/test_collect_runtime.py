# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on loopback that answer as two versions of Go did (fixtures/runtime/endpoint), or as badly as can be."""
from __future__ import annotations

import base64
import gzip
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "fixtures" / "pprof"))

import pytest
from pprof_fixtures import NOT_FOUND, Server

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe, profile
from ansible_collections.goready.preflight.plugins.module_utils.collect import runtime
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

HERE = Path(__file__).parents[3] / "fixtures"
BASE = "/debug/pprof/"
ALL = ["heap?debug=1", "heap", "goroutine", "goroutine?debug=2", "allocs", "mutex?debug=1", "mutex", "block", "threadcreate",
       "goroutineleak"]
TOTAL = 8  # goroutines of the recording of Go 1.27
SECRET = "S3cr3t-of-the-test"


def recorded(version="go1.27.3", prefix=""):
    answers = json.loads((HERE / "runtime" / "endpoint" / f"{version}.json").read_text())
    return {(prefix + path if path.startswith("/debug") else path): text.encode("latin-1") for path, text in answers.items()}


def body_of(answer):
    response = httpprobe.Response()
    response.feed(answer)
    return bytes(response.body)


def http(body=b"", status="200 OK", content="application/octet-stream", extra=""):
    return (f"HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {len(body)}\r\n{extra}Connection: close\r\n\r\n"
            ).encode() + body


def endpoint(port, *, name="api", pid=None, served=True, address="127.0.0.1", unix=None, **more):
    """An entry of pprof.endpoints, as its collector writes it for this very process."""
    listener = ({"proto": "unix", "address": None, "port": None, "path": unix} if unix else
                {"proto": "tcp6" if ":" in address else "tcp", "address": address, "port": port, "path": None})
    return {
        "service": name, "pid": os.getpid() if pid is None else pid or None, "listener": listener, "declared": False,
        "container": None, "namespace": "host", "scheme": "http", "state": "answered",
        "pprof": {"served": served, "status": 200, "path": BASE if served else None, "evidence": ["GET /debug/pprof/ answered 404"]},
        "expvar": {}, "authentication": None, "shared": None, "shared_evidence": [],
        "requests": 3, "error": None, **more}


def service(*listeners, name="api", pid=None, version="go1.27.3", module="example.test/labsvc"):
    info = {"go_version": version, "path": module, "main": {"path": module, "version": "(devel)"}, "deps": [], "settings": {}}
    return {"name": name, "processes": [{"pid": pid or os.getpid(), "go": True, "listeners": list(listeners),
                                         "running": {"buildinfo": info}}]}


def collect(*found, services=None, declared=(), credentials=(), timeout=5.0, root="/", **options):
    """(endpoints, raw profiles)"""
    kinds = options.setdefault("kinds", [kind for kind in runtime.KINDS if kind not in ("cpu", "metrics")])
    assert set(kinds) <= set(runtime.KINDS)
    options = {"budget": 5, **options}
    context = Context(services=declared, runtime=options, credentials=credentials, root=root, timeout=timeout, extra={"": 60.0})
    context.deadline += 60
    context.shared["pprof.endpoints"] = list(found)
    context.shared["services.services"] = [service()] if services is None else services
    return runtime.endpoints(context), context.shared["runtime.profiles"]


def one(*found, **options):
    [entry], _raw = collect(*found, **options)
    return entry


def asked(server):
    return [line.split(" ")[1].replace(BASE, "") for line in server.requests]


def failures(entry):
    """kind -> error of what was asked in vain."""
    return {row["kind"]: row["error"] for row in entry["takes"][0]["asked"] if row["error"]} if entry["takes"] else entry["error"]


# ------------------------------------------------------------------------------------------------------------- one take

def test_one_take():
    with Server(recorded()) as server:
        entry = one(endpoint(server.port))
    assert asked(server) == ALL  # the dump before the leaks, and these last: they mark what later dumps show
    assert all(head.startswith(b"GET ") and b"uthorization" not in head for head in server.heads)
    assert {key: entry[key] for key in ("service", "pid", "scheme", "prefix", "declared", "credentials", "go_version", "module",
                                        "error", "restarted")} == {
        "service": "api", "pid": os.getpid(), "scheme": "http", "prefix": "", "declared": False, "credentials": None,
        "go_version": "go1.27.3", "module": "example.test/labsvc", "error": None, "restarted": None}
    [take] = entry["takes"]
    assert take["phase"] == "once"
    assert [(row["kind"], row["form"], row["status"], row["error"]) for row in take["asked"]] == [
        ("heap", "text", 200, None), ("heap", "proto", 200, None), ("goroutine", "proto", 200, None), ("dump", "dump", 200, None),
        ("allocs", "proto", 200, None), ("mutex", "text", 200, None), ("mutex", "proto", 200, None), ("block", "proto", 200, None),
        ("threadcreate", "proto", 200, None), ("goroutineleak", "proto", 200, None)]
    assert all(row["bytes"] > 0 and 0 <= row["ms"] < 1000 for row in take["asked"])
    assert take["skipped"] == [{"kind": "cpu", "reason": "switched off"}, {"kind": "metrics", "reason": "switched off"}]
    assert take["goroutines"]["total"] == sum(take["goroutines"]["counts"].values()) == TOTAL
    assert take["goroutines"]["left_out"] == 0
    assert (take["dump"]["total"], take["dump"]["complete"]) == (TOTAL, True)
    assert set(take["dump"]["ids"]) == set(take["dump"]["minutes"]) == set(take["dump"]["waits"])
    assert take["leaks"] == {"available": True, "reason": None, "total": 0, "counts": {}}
    assert take["memory"]["memstats"]["HeapAlloc"] > 100_000 and take["memory"]["forced_gc"] is False
    assert take["heap"]["period"] == 524288 and take["heap"]["sites"][0]["alloc_bytes"] > 0
    assert take["mutex"] == {"period": 0, "sites": [], "contentions": 0, "delay_ns": 0}
    assert take["block"] == {"samples": 0, "sites": [], "contentions": 0, "delay_ns": 0}
    assert take["threads"] > 3 and take["cpu"] is None and take["metrics"] is None
    assert [row["kind"] for row in take["profiles"]] == ["heap", "goroutine", "allocs", "mutex", "block", "threadcreate", "goroutineleak"]
    assert {(row["valid"], row["file"], row["error"]) for row in take["profiles"]} == {(True, None, None)}


def test_groups_are_one_for_all_forms():
    """What the profile and the dump show of a goroutine is one group, with the class of the one and the creator of the other."""
    with Server(recorded()) as server:
        entry = one(endpoint(server.port))
    [take] = entry["takes"]
    shared = set(take["goroutines"]["counts"]) & set(take["dump"]["ids"])
    assert len(shared) >= 4 and set(take["goroutines"]["counts"]) | set(take["dump"]["ids"]) == set(entry["groups"])
    serving = next(group for group in entry["groups"].values() if any(row[0] == "main.serve.func1" for row in group["frames"]))
    assert serving["class"] == "io" and serving["created_by"][0] == "main.serve" and serving["wait"] == "IO wait"
    assert serving["frames"][-1] == ["main.serve.func1", "example.test/labsvc/main.go", serving["frames"][-1][2], "own"]
    assert json.loads(json.dumps(entry)) == entry


def test_the_process_and_the_clock():
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=["goroutine"])
    [take] = entry["takes"]
    assert before - 0.01 <= take["clock"] <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert entry["started"] == runtime.started(Context(), os.getpid()) < before
    usage = resource.getrusage(resource.RUSAGE_SELF)
    assert take["process"]["hwm"] >= take["process"]["rss"] > 1 << 20
    assert take["process"]["cpu_seconds"] == pytest.approx(usage.ru_utime + usage.ru_stime, abs=0.5)
    assert take["process"]["threads"] >= 1 and take["process"]["fds"] >= 3


def test_go_1_21_has_no_leak_profile():
    with Server(recorded("go1.21.13")) as server:
        entry = one(endpoint(server.port), services=[service(version="go1.21.13")])
    [take] = entry["takes"]
    assert take["leaks"] == {"available": False, "reason": "go1.21.13 has none", "total": 0, "counts": {}}
    assert failures(entry) == {} and take["goroutines"]["total"] > 3


@pytest.mark.parametrize(("version", "reason"), [
    ("go1.26.4", "go1.26.4 has it only with GOEXPERIMENT=goroutineleakprofile"),
    ("go1.27.3", "go1.27.3 has one, and the service does not serve it"), (None, "the service has no such profile"),
    ("devel +abc", "the service has no such profile")])
def test_why_there_is_no_leak_profile(version, reason):
    with Server({**recorded(), BASE + "goroutineleak": NOT_FOUND}) as server:
        entry = one(endpoint(server.port), services=[service(version=version)], kinds=["goroutineleak", "goroutine"])
    assert entry["takes"][0]["leaks"]["reason"] == reason


def test_a_garbage_collection_only_where_it_is_allowed():
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=["heap"], gc=True)
    assert asked(server) == ["heap?gc=1&debug=1", "heap"]
    assert entry["takes"][0]["memory"]["forced_gc"] is True and entry["takes"][0]["memory"]["memstats"]["NumForcedGC"] > 0


@pytest.mark.parametrize("kind", runtime.KINDS)
def test_a_switch_for_each_kind(kind):
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=[kind], cpu_seconds=1, leak_limit=runtime.LEAK_MOST)
    paths = {"heap": ["heap?debug=1", "heap"], "mutex": ["mutex?debug=1", "mutex"], "cpu": ["profile?seconds=1"], "dump": [],
             "metrics": []}
    assert asked(server) == paths.get(kind, [kind])
    if kind in ("dump", "metrics"):  # of the one the goroutines have to be known, of the other the listener to be one that answered
        assert entry["error"]["kind"] == "nothing" and entry["takes"] == []
    else:
        skipped = {row["kind"]: row["reason"] for row in entry["takes"][0]["skipped"]}
        assert skipped == {other: "switched off" for other in runtime.KINDS if other != kind}


def test_a_dump_only_of_so_many_goroutines():
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), dump_limit=TOTAL - 1)
    [take] = entry["takes"]
    assert "goroutine?debug=2" not in asked(server) and take["dump"] is None
    assert {"kind": "dump", "reason": f"{TOTAL} goroutines are more than dump_limit ({TOTAL - 1})"} in take["skipped"]
    with Server(recorded()) as server:
        one(endpoint(server.port), dump_limit=TOTAL)
    assert "goroutine?debug=2" in asked(server)


def leaks_asked(kinds=("goroutine", "goroutineleak"), answers=None, **options):
    """Whether the leak profile was asked for, and why not."""
    with Server({**recorded(), **(answers or {})}) as server:
        entry = one(endpoint(server.port), kinds=list(kinds), **options)
    skipped = {row["kind"]: row["reason"] for take in entry["takes"] for row in take["skipped"]}
    return "goroutineleak" in asked(server), skipped.get("goroutineleak")


def test_the_leak_profile_only_of_so_many_goroutines():
    assert leaks_asked(leak_limit=TOTAL) == (True, None)
    assert leaks_asked(leak_limit=TOTAL - 1) == (False, f"{TOTAL} goroutines are more than leak_limit ({TOTAL - 1})")
    assert leaks_asked() == (True, None) and runtime.Options().leak_limit == 50_000


def test_the_leak_profile_where_the_number_is_not_known():
    """Only where there is no limit; the page of metrics knows it as well."""
    kinds = ("heap", "goroutineleak")
    assert leaks_asked(kinds) == (False, "how many goroutines there are is not known")
    assert leaks_asked(kinds, leak_limit=runtime.LEAK_MOST) == (True, None)
    page = {"/metrics": http(b"# TYPE go_goroutines gauge\ngo_goroutines 70000\n", content="text/plain")}
    assert leaks_asked((*kinds, "metrics"), page) == (False, "70000 goroutines are more than leak_limit (50000)")
    assert leaks_asked((*kinds, "metrics"), page, leak_limit=70_000) == (True, None)


@pytest.mark.parametrize(("counts", "kept"), [
    ([5, 0, 7], [5, 0, 7]), ([10, 10], [10, 10]), ([12, 9], [11, 9]), ([1, 2, 3, 100], [1, 2, 3, 14]), ([30, 1, 30], [9, 1, 9]),
    ([1] * 19 + [2], [1] * 20), ([], [])], ids=str)
def test_ids_are_cut_where_there_are_too_many(monkeypatch, counts, kept):
    """In the largest groups, and no more than has to be."""
    monkeypatch.setattr(runtime, "IDS_KEPT", 20)
    found = runtime._bound_ids({str(number): list(range(count)) for number, count in enumerate(counts)})
    assert list(found.values()) == [list(range(count)) for count in kept]


def test_a_busy_host_gives_no_dump_of_many(monkeypatch):
    """Unless the limit says that many are wanted."""
    monkeypatch.setattr(runtime, "DUMP_SMALL", TOTAL - 1)
    monkeypatch.setattr(runtime, "DUMP_PATIENCE", 50)
    known = recorded()

    def answer(connection):
        path = connection.recv(4096).split(b" ")[1].decode()
        time.sleep(0.1 if path == BASE + "goroutine" else 0.0)
        connection.sendall(known.get(path, NOT_FOUND))

    with Server(answer) as server:
        entry = one(endpoint(server.port), kinds=["goroutine", "dump"])
        wanted = one(endpoint(server.port), kinds=["goroutine", "dump"], dump_limit=2001)
    reason = next(row["reason"] for row in entry["takes"][0]["skipped"] if row["kind"] == "dump")
    assert reason.startswith(f"the profile of {TOTAL} goroutines took 1") and reason.endswith(
        " ms: the host is busy, and a dump would stop the service")
    assert wanted["takes"][0]["dump"]["total"] == TOTAL


@pytest.mark.parametrize(("bound", "value"), [("GROUPS_LIMIT", 2), ("GROUPS_BYTES", 3000)])
def test_groups_that_do_not_fit_are_counted(monkeypatch, bound, value):
    monkeypatch.setattr(runtime, bound, value)
    with Server(recorded()) as server:
        entry = one(endpoint(server.port))
    [take] = entry["takes"]
    kept = set(entry["groups"])
    assert 1 <= len(kept) < 6
    assert set(take["goroutines"]["counts"]) <= kept and set(take["dump"]["ids"]) <= kept and set(take["dump"]["waits"]) <= kept
    assert take["goroutines"]["left_out"] == TOTAL - sum(take["goroutines"]["counts"].values()) > 0


def test_no_dump_where_the_number_is_not_known():
    with Server({**recorded(), BASE + "goroutine": NOT_FOUND}) as server:
        entry = one(endpoint(server.port))
    assert "goroutine?debug=2" not in asked(server)
    assert {"kind": "dump", "reason": "how many goroutines there are is not known"} in entry["takes"][0]["skipped"]


# ------------------------------------------------------------------------------------------------------------------ raw

def test_profiles_come_as_they_were_sent():
    with Server(recorded()) as server:
        [entry], raw = collect(endpoint(server.port), raw=["heap", "goroutine"], phase="idle")
    assert [row["file"] for row in raw] == ["heap-idle.pb.gz", "goroutine-idle.pb.gz"]
    for row in raw:
        assert {key: row[key] for key in ("service", "container", "pid", "listener", "prefix", "phase")} == {
            "service": "api", "container": None, "pid": os.getpid(), "listener": entry["listener"], "prefix": "", "phase": "idle"}
        data = base64.b64decode(row["data"])
        assert data == body_of(recorded()[BASE + row["kind"]])
        [listed] = [one for one in entry["takes"][0]["profiles"] if one["kind"] == row["kind"]]
        assert (listed["bytes"], listed["totals"]) == (len(data), profile.totals(profile.parse(data)))
    # Of the others there is no file: one of their name may hold what another take found.
    assert {row["kind"]: row["file"] for row in entry["takes"][0]["profiles"] if row["file"]} == {
        "heap": "heap-idle.pb.gz", "goroutine": "goroutine-idle.pb.gz"}


def test_none_without_being_asked_for():
    with Server(recorded()) as server:
        assert collect(endpoint(server.port))[1] == []


def test_a_profile_over_the_limit_is_summed_up_and_stays_there():
    plain = gzip.decompress(body_of(recorded()[BASE + "goroutine"]))
    big = gzip.compress(plain, 0)
    with Server({**recorded(), BASE + "goroutine": http(big)}) as server:
        [entry], raw = collect(endpoint(server.port), raw=["goroutine", "heap"], profile_limit=len(big) - 1)
    [listed] = [row for row in entry["takes"][0]["profiles"] if row["kind"] == "goroutine"]
    assert listed["valid"] is True and entry["takes"][0]["goroutines"]["total"] == TOTAL
    assert listed["file"] is None
    assert listed["error"] == f"not brought along: its {len(big)} bytes are more than profile_limit ({len(big) - 1})"
    assert [row["kind"] for row in raw] == ["heap"]


def test_all_profiles_together_are_bounded(monkeypatch):
    monkeypatch.setattr(runtime, "RAW_LIMIT", 2000)
    with Server(recorded()) as server:
        [entry], raw = collect(endpoint(server.port), raw=["heap", "goroutine", "allocs"])
    assert sum(len(base64.b64decode(row["data"])) for row in raw) <= 2000
    left = {row["kind"]: row["error"] for row in entry["takes"][0]["profiles"] if row["error"]}
    assert left and set(left.values()) == {"not brought along: the profiles of one call have at most 2000 bytes together"}
    assert {row["kind"] for row in raw} | set(left) == {"heap", "goroutine", "allocs"}


# ---------------------------------------------------------------------------------------------------------------- sites

def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def number_of(field, value):
    return varint(field << 3) + varint(value)


def message(field, body):
    return varint(field << 3 | 2) + varint(len(body)) + body


def encoded(types, *samples):
    """A profile of (stack, values): a stack is leaf first, of "function line"; the file of all is app.go."""
    texts = {"": 0, "app.go": 1}
    places = {}
    rows = b"".join(message(1, number_of(1, texts.setdefault(kind, len(texts))) + number_of(2, 1)) for kind in types)
    for stack, values in samples:
        ids = [places.setdefault(place, len(places) + 1) for place in stack]
        rows += message(2, message(1, b"".join(map(varint, ids))) + message(2, b"".join(map(varint, values))))
    for place, ident in places.items():
        function, line = place.rsplit(" ", 1)
        name = texts.setdefault(function, len(texts))
        rows += message(5, number_of(1, ident) + number_of(2, name) + number_of(4, 1))
        rows += message(4, number_of(1, ident) + message(4, number_of(1, ident) + number_of(2, int(line))))
    return gzip.compress(rows + b"".join(message(6, text.encode()) for text in texts))


HEAP = ("alloc_objects", "alloc_space", "inuse_objects", "inuse_space")
SERVE_HTTP = "net/http.HandlerFunc.ServeHTTP 2220"


def taken(kind, data):
    with Server({**recorded(), BASE + kind: http(data), "/debug/pprof/profile?seconds=1": http(data)}) as server:
        return one(endpoint(server.port), kinds=["cpu" if kind == "profile" else kind], cpu_seconds=1)["takes"][0]


def callers(kind, data):
    take = taken(kind, data)["cpu" if kind == "profile" else kind]
    return {f"{row['function']} {row['line']}": row["caller"] and f"{row['caller'][0]} {row['caller'][2]}" for row in take["sites"]}


def test_the_caller_of_a_site_is_the_one_that_keeps_the_most():
    heap = encoded(
        HEAP, (["main.fill 5", "main.keepForever 9", "main.main 2"], [1, 900, 1, 900]),
        (["main.fill 5", "main.forget 7", "main.main 2"], [9, 9000, 0, 0]),
        # The same caller by two ways is one: together it is more than the largest single stack.
        (["bytes.growSlice 249", "bytes.(*Buffer).Write 180", "example.test/labsvc/api.log 3", "main.a 1"], [1, 60, 1, 60]),
        (["bytes.growSlice 249", "bytes.(*Buffer).Write 181", "example.test/labsvc/api.log 3", "main.b 1"], [1, 60, 1, 60]),
        (["bytes.growSlice 249", "bytes.(*Buffer).Write 180", "main.other 4"], [1, 100, 1, 100]),
        (["net/http.newBufioReader 840", SERVE_HTTP], [1, 50, 1, 50]),
        (["main.recurse 3", "main.recurse 4", "main.walk 8"], [1, 40, 1, 40]),
        (["main.main 3"], [1, 30, 1, 30]), (["main.drive 3", "main.Start.gowrap2 4"], [1, 25, 1, 25]),
        # Nothing of it is in use: what it allocated tells.
        (["main.burn 6", "main.little 1"], [1, 10, 0, 0]), (["main.burn 6", "main.much 1"], [1, 20, 0, 0]))
    assert callers("heap", heap) == {
        "main.fill 5": "main.keepForever 9", "bytes.growSlice 249": "example.test/labsvc/api.log 3",
        "net/http.newBufioReader 840": None, "main.recurse 3": "main.walk 8", "main.main 3": None, "main.drive 3": None,
        "main.burn 6": "main.much 1"}
    row = taken("heap", heap)["heap"]["sites"][0]
    assert row["caller"] == ["main.keepForever", "app.go", 9, "own"] and list(row)[:5] == ["function", "file", "line", "origin", "caller"]


@pytest.mark.parametrize("kind", ["mutex", "block"])
def test_the_caller_of_what_waits(kind):
    data = encoded(("contentions", "delay"), (["sync.(*Mutex).Unlock 223", "main.(*cache).put 12", "main.handle 40"], [3, 300]),
                   (["sync.(*Mutex).Unlock 223", "main.(*cache).put 12", "main.refresh 50"], [9, 100]),
                   (["runtime.unlock 1"], [1, 5]))
    assert callers(kind, data) == {"main.(*cache).put 12": "main.handle 40", "runtime.unlock 1": None}


def test_the_caller_of_what_burns():
    data = encoded(("samples", "cpu"), (["crypto/sha256.block 30", "main.sign 8", "main.handle 40", SERVE_HTTP], [7, 70]),
                   (["crypto/sha256.block 30", "main.check 9", SERVE_HTTP], [5, 50]))
    assert callers("profile", data) == {
        "crypto/sha256.block 30": "main.sign 8", "main.sign 8": "main.handle 40", "main.handle 40": None, SERVE_HTTP: None,
        "main.check 9": None}


def test_generic_functions_have_the_name_of_a_dump():
    """Of two instances one site: in its own value, and once in the one of both."""
    box = "main.(*box[go.shape.%s]).put %d"
    heap = encoded(HEAP, ([box % ("int", 5), "main.keep[go.shape.int] 9"], [1, 10, 1, 10]),
                   ([box % ("string", 5), "main.keep[go.shape.string] 9"], [1, 20, 1, 20]))
    [row] = taken("heap", heap)["heap"]["sites"]
    assert (row["function"], row["caller"][0], row["inuse_bytes"]) == ("main.(*box[...]).put", "main.keep[...]", 30)
    cpu = encoded(("samples", "cpu"), ([box % ("int", 5), box % ("string", 5), "main.main 1"], [1, 10]))
    [leaf, root] = taken("profile", cpu)["cpu"]["sites"]
    assert (leaf["flat_ns"], leaf["cum_ns"], leaf["caller"][0]) == (10, 10, "main.main") and root["function"] == "main.main"
    mutex = encoded(("contentions", "delay"), *[(["sync.(*Mutex).Unlock 1", box % (kind, 7)], [1, 5]) for kind in ("int", "string")])
    [row] = taken("mutex", mutex)["mutex"]["sites"]
    assert (row["function"], row["delay_ns"]) == ("main.(*box[...]).put", 10)


# ---------------------------------------------------------------------------------------------------------- who is asked

def test_declared_ones_first_and_one_door_for_each_process():
    with Server(recorded()) as first, Server(recorded()) as second, Server(recorded()) as third:
        entries, _raw = collect(
            endpoint(first.port, address="0.0.0.0"), endpoint(second.port, declared=True),
            endpoint(third.port, name="other", pid=os.getppid()), kinds=["goroutine"])
    assert [(entry["service"], entry["listener"]["port"]) for entry in entries] == [("api", second.port), ("other", third.port)]
    assert (first.connections, second.connections, third.connections) == (0, 1, 1)


DOCKER = "github.com/docker/docker/cmd/docker-proxy"


@pytest.mark.parametrize(("host", "address", "found", "module", "same"), [
    ("127.0.0.1", "127.0.0.1", {}, "example.test/labsvc", True), ("127.0.0.1", "0.0.0.0", {}, "example.test/labsvc", True),
    ("localhost", "127.0.0.1", {}, "example.test/labsvc", True), ("127.0.0.1", "::", {}, "example.test/labsvc", True),
    ("127.0.0.1", "127.0.0.2", {}, "example.test/labsvc", False), ("192.0.2.1", "0.0.0.0", {}, "example.test/labsvc", False),
    ("127.0.0.1", "0.0.0.0", {"namespace": "other"}, "example.test/labsvc", False), ("127.0.0.1", "0.0.0.0", {}, DOCKER, None),
], ids=["address", "wildcard", "name", "wildcard of IPv6", "another address", "another host", "another network", "docker-proxy"])
def test_a_declared_url_of_a_process_with_another_name(host, address, found, module, same):
    """Service shop is declared by its URL alone; its process was discovered as leaky: one endpoint, the declared one."""
    with Server(recorded()) as server:
        declared = endpoint(server.port, name="shop", pid=0, declared=True, address="127.0.0.1" if host == "localhost" else host)
        entries, _raw = collect(
            endpoint(server.port, name="leaky", address=address, **found), declared, kinds=["goroutine"], timeout=2.0,
            declared=[{"name": "shop", "pprof": f"http://{host}:{server.port}/"}], services=[service(name="leaky", module=module)])
    told = [(entry["service"], entry["pid"], entry["module"], entry["started"] is not None) for entry in entries]
    if same:
        assert told == [("shop", os.getpid(), module, True)]
        assert entries[0]["takes"][0]["process"]["rss"] > 1 << 20
    elif same is None:  # it answers with the profiles of the process behind it: of whom nothing is known
        assert told == [("shop", None, None, False)]
    else:
        assert [row[:2] for row in told] == [("shop", None), ("leaky", os.getpid())]


def test_another_path_is_another_runtime():
    """A proxy in Go: below /shop it hands on what shop serves, at its root it serves its own."""
    with Server({**recorded(), **recorded(prefix="/shop")}) as server:
        declared = endpoint(server.port, name="shop", pid=0, declared=True)
        declared["pprof"]["path"] = "/shop" + BASE
        entries, _raw = collect(endpoint(server.port, name="gateway"), declared, kinds=["goroutine"],
                                declared=[{"name": "shop", "pprof": f"http://127.0.0.1:{server.port}/shop"}])
    assert [(entry["service"], entry["prefix"], entry["pid"]) for entry in entries] == [
        ("shop", "/shop", None), ("gateway", "", os.getpid())]


def test_a_declared_url_that_serves_none_hides_nobody():
    with Server(recorded()) as server:
        entries, _raw = collect(endpoint(server.port, name="leaky"), endpoint(server.port, name="shop", pid=0, declared=True, served=False),
                                kinds=["goroutine"], declared=[{"name": "shop", "pprof": f"http://127.0.0.1:{server.port}/nope"}])
    assert [(entry["service"], entry["error"] and entry["error"]["kind"]) for entry in entries] == [("shop", "not_pprof"), ("leaky", None)]


def test_what_serves_none_is_not_there():
    assert collect(endpoint(1, served=False), endpoint(2, served=None, authentication=None), endpoint(3, served=False))[0] == []


@pytest.mark.parametrize(("more", "kind", "message"), [
    ({"state": "refused", "served": False, "error": "connection refused"}, "refused", "connection refused"),
    ({"state": "silent", "served": None, "error": "did not answer within 1 s"}, "timeout", "did not answer within 1 s"),
    ({"state": "answered", "served": False}, "not_pprof", "GET /debug/pprof/ answered 404"),
    ({"state": "answered", "served": None, "authentication": True}, "unauthorized", "it asks for credentials, and none were given"),
    ({"state": "client_certificate", "served": None, "authentication": True}, "unauthorized", "it asks for a client certificate"),
    ({"state": "resolve", "served": None, "error": "x.test cannot be resolved"}, "unreachable", "x.test cannot be resolved"),
], ids=lambda value: value if isinstance(value, str) and " " not in value else None)
def test_a_declared_one_that_serves_none_says_why(more, kind, message):
    served = more.pop("served")
    with Server(recorded()) as server:
        entry = one(endpoint(server.port, pid=0, declared=True, served=served, **more))
    assert (entry["error"], entry["takes"], server.connections) == ({"kind": kind, "message": message}, [], 0)


def test_without_a_look_at_the_listeners_there_is_nothing_to_tell():
    with pytest.raises(Unavailable, match="the listeners were not looked at, so what serves pprof is not known"):
        runtime.endpoints(Context())


def test_a_prefix():
    with Server(recorded(prefix="/api")) as server:
        found = endpoint(server.port)
        found["pprof"]["path"] = "/api" + BASE
        entry = one(found)
    assert entry["prefix"] == "/api" and entry["takes"][0]["goroutines"]["total"] == TOTAL and failures(entry) == {}


def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "api.sock")
    with Server(recorded(), unix=path) as server:
        entry = one(endpoint(0, unix=path))
    assert asked(server) == ALL and entry["takes"][0]["goroutines"]["total"] == TOTAL


def test_a_wildcard_over_ipv6_where_only_ipv4_is():
    with Server(recorded()) as server:
        entry = one(endpoint(server.port, address="::"), kinds=["goroutine"])
    assert entry["takes"] or entry["error"]["kind"] == "refused"  # ::1 refuses where there is IPv6; unreachable without


@pytest.mark.parametrize(("info", "module"), [
    ({"main": {"path": "example.org/api"}, "path": "example.org/api/cmd/api"}, "example.org/api"),
    ({"main": None, "path": "github.com/prometheus/node_exporter/cmd/x"}, "github.com/prometheus/node_exporter"),
    ({"path": "command-line-arguments"}, None), ({}, None)])
def test_the_main_module(info, module):
    assert runtime._module(info) == module


# ----------------------------------------------------------------------------------------------------------- credentials

def guarded(header, heads=None):
    """A server that lets in who sends this header."""
    known = recorded()

    def answer(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        path = head.split(b" ")[1].decode()
        if heads is not None:
            heads.append(head)
        good = any(line.lower() == b"authorization: " + header.lower() for line in head.split(b"\r\n"))
        connection.sendall(known.get(path, NOT_FOUND) if good else http(
            b"no: " + head, "401 Unauthorized", "text/plain", "X-Go-Pprof: 1\r\nWWW-Authenticate: Basic\r\n"))

    return answer


BASIC = b"Basic " + base64.b64encode(f"ops:{SECRET}".encode())


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "discovered"])
@pytest.mark.parametrize(("header", "given", "shown"), [
    (BASIC, {"username": "ops", "password": SECRET}, "basic"), (b"Bearer " + SECRET.encode(), {"token": SECRET}, "bearer")])
def test_credentials(header, given, shown, declared):
    with Server(guarded(header)) as server:
        declarations = [{"name": "api", "pprof": f"http://127.0.0.1:{server.port}"}] if declared else []
        entries, raw = collect(endpoint(server.port, served=None, authentication=True, declared=declared), declared=declarations,
                               credentials=[{"service": "api", **given}], raw=["heap"])
    assert entries[0]["takes"][0]["goroutines"]["total"] == TOTAL and entries[0]["credentials"] == shown
    text = json.dumps([entries, raw])
    assert SECRET not in text and BASIC.decode()[6:] not in text


def test_wrong_credentials_are_tried_once_and_never_told():
    """A server that says them back has them redacted."""
    with Server(guarded(BASIC)) as server:
        entries, raw = collect(endpoint(server.port, served=None, authentication=True, declared=True),
                               credentials=[{"service": "api", "username": "ops", "password": "Wr0ng-of-the-test"}])
    assert entries[0]["error"] == {"kind": "unauthorized", "message": "it answered 401 to the basic credentials"}
    assert server.connections == 1 and "Wr0ng" not in json.dumps([entries, raw])


def test_credentials_are_for_nobody_else():
    """Not for another service, and not for another listener of one whose endpoint is declared."""
    with Server(recorded()) as other, Server(guarded(BASIC)) as declared:
        entries, _raw = collect(
            endpoint(other.port, name="web", pid=os.getppid()), endpoint(declared.port, served=None, authentication=True, declared=True),
            declared=[{"name": "api", "pprof": f"http://127.0.0.1:{declared.port}"}],
            credentials=[{"service": "api", "username": "ops", "password": SECRET}])
    assert [bool(entry["takes"]) for entry in entries] == [True, True]
    assert all(b"uthorization" not in head for head in other.heads)


def test_asked_without_credentials():
    entry = one(endpoint(6060, served=None, authentication=True))
    assert entry["error"] == {"kind": "unauthorized", "message": "it asks for credentials, and none were given"}


@pytest.mark.parametrize(("given", "message"), [
    ({"token": "a\nHost: x"},
     "the credentials cannot be sent: a bearer token has no spaces, control characters or characters beyond ASCII"),
    ({"username": "a:b", "password": "c"}, "the credentials cannot be sent: the user's name of Basic authentication has no colon"),
    ({"username": "a", "password": "c\r\nX: y"},
     "the credentials cannot be sent: the name and password of Basic authentication have no control characters")])
def test_credentials_that_cannot_be_sent(given, message):
    with Server(recorded()) as server:
        entry = one(endpoint(server.port, served=None, authentication=True, declared=True), credentials=[{"service": "api", **given}])
    assert (entry["error"], server.connections) == ({"kind": "unauthorized", "message": message}, 0)


GIVEN = [{"service": "api", "username": "ops", "password": SECRET}]
HEADER = BASIC.decode()[6:]


def with_password(server, userinfo=f"ops:{SECRET}@"):
    return [{"name": "api", "pprof": f"http://{userinfo}127.0.0.1:{server.port}"}]


@pytest.mark.parametrize("way", ["variable", "URL"])
def test_who_asks_for_none_gets_none(way):
    """The look without credentials was answered: they would only be read on the way."""
    heads = []
    known = recorded()

    def answer(connection):
        heads.append(connection.recv(4096))
        connection.sendall(known.get(heads[-1].split(b" ")[1].decode(), NOT_FOUND))

    with Server(answer) as server:
        entry = one(endpoint(server.port, declared=True), declared=with_password(server, "" if way == "variable" else f"ops:{SECRET}@"),
                    credentials=GIVEN if way == "variable" else [], kinds=["goroutine"])
        [later] = again([entry], declared=with_password(server), credentials=GIVEN, kinds=["goroutine"])
    assert entry["takes"] and later["takes"] and entry["credentials"] is None and len(heads) == 2
    assert not any(b"uthorization" in head for head in heads)


@pytest.mark.parametrize("way", ["variable", "URL"])
@pytest.mark.parametrize("who", ["nobody of the service", "a process with another name", "a service that nobody declared",
                                 "a process that does not listen there"])
def test_no_password_for_who_only_has_the_port(who, way):
    heads = []
    with Server(guarded(BASIC, heads)) as server, Process() as bystander:
        api = endpoint(server.port, declared=True, served=None, authentication=True, pid=0)
        found, services = [api], [service(pid=bystander.pid)]
        if who == "a process with another name":
            found, services = [api, endpoint(server.port, name="mallory", served=None, authentication=True)], [service(name="mallory")]
        elif who == "a service that nobody declared":
            api["pid"], services = os.getpid(), [{**service(), "declared": False}]
        elif who == "a process that does not listen there":
            api["pid"] = bystander.pid
        variable = way == "variable"
        entries, _raw = collect(*found, services=services, declared=with_password(server, "" if variable else f"ops:{SECRET}@"),
                                credentials=GIVEN if variable else [])
    assert entries[0]["error"] == {"kind": "unauthorized", "message":
                                   f"127.0.0.1:{server.port} is not held by a process of the service: no credentials were sent"}
    assert entries[0]["credentials"] is None and heads == []


def test_another_host_that_was_declared_gets_its_password(monkeypatch):
    """Loopback plays the other host: whether an address can be bound here is what tells."""
    monkeypatch.setattr(runtime, "_ours", lambda address: address != "127.0.0.1")
    with Server(guarded(BASIC)) as server:
        entry = one(endpoint(server.port, declared=True, served=None, authentication=True, pid=0), services=[],
                    declared=with_password(server), kinds=["goroutine"])
    assert entry["takes"] and entry["credentials"] == "basic"


@pytest.mark.parametrize(("url", "elsewhere"), [
    ("http://127.0.0.1:1", False), ("http://127.9.9.9:1", False), ("http://localhost:1", False), ("http://[::1]:1", False),
    ("http://0.0.0.0:1", False), ("unix:///run/x.sock", False), ("http://192.0.2.1:1", True), ("http://nowhere.invalid:1", False)])
def test_what_is_another_host(url, elsewhere):
    assert runtime._elsewhere(httpprobe.parse_url(url)) is elsewhere


@pytest.mark.parametrize(("address", "bound", "rank"), [
    ("127.0.0.1", "127.0.0.1", 0), ("127.0.0.1", "::ffff:127.0.0.1", 0), ("127.0.0.1", "0.0.0.0", 1), ("127.0.0.1", "::", 2),
    ("127.0.0.1", "127.0.0.2", None), ("::1", "::1", 0), ("::1", "::", 2), ("::1", "0.0.0.0", None), ("::1", "127.0.0.1", None)])
def test_which_listener_an_address_reaches(address, bound, rank):
    assert runtime._rank(address, runtime.procfs.Listener(proto="tcp", address=bound, port=1, path=None, inode=1)) == rank


def test_a_nearer_listener_of_somebody_else_has_the_port():
    """We listen on all addresses of IPv6 alone, which no table of the kernel says; another process on the one that is asked."""
    with Process() as near, socket.create_server(("::", near.port), family=socket.AF_INET6):
        context, target, listener = Context(), httpprobe.Target(host="127.0.0.1", port=near.port), {"path": None}
        life, ours = runtime.started(context, near.pid), runtime.started(context, os.getpid())
        assert runtime._holds(context, near.pid, life, target, listener)
        assert not runtime._holds(context, os.getpid(), ours, target, listener)
        assert runtime._holds(context, os.getpid(), ours, httpprobe.Target(host="::1", port=near.port), listener)
        assert not runtime._holds(context, near.pid, life - 10, target, listener)  # another life
        assert not runtime._holds(context, 1 << 30, None, target, listener)


def test_a_unix_socket_that_was_bound_anew_gets_no_password(tmp_path):
    path = str(tmp_path / "api.sock")
    heads = []
    with Server(guarded(BASIC), unix=path):
        found = endpoint(0, unix=path, declared=True, served=None, authentication=True)
        options = {"declared": [{"name": "api", "pprof": f"unix://{path}"}], "credentials": GIVEN, "kinds": ["goroutine"]}
        assert one(found, **options)["takes"]
        os.unlink(path)
        script = ("import socket, sys, time; one = socket.socket(socket.AF_UNIX); one.bind(sys.argv[1]); one.listen(); "
                  "print(flush=True); time.sleep(60)")
        with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE) as mallory:
            mallory.stdout.readline()
            entry = one(found, **options)
            mallory.kill()
    assert entry["error"]["message"] == f"{path} is not held by a process of the service: no credentials were sent" and heads == []


def test_no_password_for_who_takes_the_port_between_two_takes():
    """The process lives on, and has closed its listener; or has given it up in the middle of a take."""
    heads = []
    with Server(guarded(BASIC)) as server:
        first, _raw = collect(endpoint(server.port, served=None, authentication=True), credentials=GIVEN, kinds=["goroutine"])
        assert first[0]["takes"] and first[0]["credentials"] == "basic"
    with Process(server.port):
        [entry] = again(first, credentials=GIVEN, kinds=["goroutine"])
    assert entry["error"] == {"kind": "unauthorized", "message":
                              f"127.0.0.1:{server.port} is not held by a process of the service: no credentials were sent"}
    assert entry["credentials"] is None and heads == []


def test_no_password_for_who_takes_the_port_in_the_middle_of_a_take(monkeypatch):
    held = iter([True, True, False])
    monkeypatch.setattr(runtime, "_holds", lambda *unused: next(held))
    with Server(guarded(BASIC)) as server:
        entry = one(endpoint(server.port, served=None, authentication=True), credentials=GIVEN, kinds=["goroutine", "allocs", "block"])
    reason = f"127.0.0.1:{server.port} is not held by a process of the service: no credentials were sent"
    assert server.connections == 1 and entry["takes"][0]["goroutines"]["total"] == TOTAL
    assert [row for row in entry["takes"][0]["skipped"] if row["reason"] != "switched off"] == [
        {"kind": "allocs", "reason": reason}, {"kind": "block", "reason": reason}]


@pytest.mark.parametrize("way", ["variable", "URL"])
def test_no_password_over_http_where_https_was_declared(way):
    heads = []
    with Server(guarded(BASIC, heads)) as server:
        url = f"https://{'' if way == 'variable' else f'ops:{SECRET}@'}127.0.0.1:{server.port}"
        entry = one(endpoint(server.port, declared=True, served=None, authentication=True, scheme="http"),
                    declared=[{"name": "api", "pprof": url}], credentials=GIVEN if way == "variable" else [])
    assert entry["error"] == {"kind": "certificate", "message": "declared as https, answers http"} and heads == []


def test_a_password_of_the_url_of_metrics():
    """Sent to who asks for it and is of the service, and to nobody else."""
    page = http(b"# TYPE go_goroutines gauge\ngo_goroutines 12\n", content="text/plain")
    heads = []

    def answer(connection):
        heads.append(connection.recv(4096))
        connection.sendall(page if b"Authorization: " + BASIC in heads[-1] else http(b"", "401 Unauthorized"))

    with Server(recorded()) as server, Server(answer) as other:
        declared = [{"name": "api", "metrics": f"http://ops:{SECRET}@127.0.0.1:{other.port}/metrics"}]
        good = one(endpoint(server.port), kinds=["goroutine", "metrics"], declared=declared)
        assert good["takes"][0]["metrics"]["families"]["go_goroutines"] == 12 and failures(good) == {}
        assert [b"uthorization" in head for head in heads] == [False, True]
        bad = one(endpoint(server.port), kinds=["goroutine", "metrics"], declared=declared, services=[service(name="web")])
    assert failures(bad)["metrics"] == {"kind": "unauthorized", "message":
                                        f"127.0.0.1:{other.port} is not held by a process of the service: no credentials were sent"}
    assert [b"uthorization" in head for head in heads] == [False, True, False] and SECRET not in json.dumps([good, bad])


def let_in(data, kind):
    """A service that asks for the password, and answers ``kind`` with ``data``."""
    known = {**recorded(), BASE + kind: http(data)}

    def answer(connection):
        head = connection.recv(4096)
        connection.sendall(known.get(head.split(b" ")[1].decode(), NOT_FOUND))

    return answer


@pytest.mark.parametrize("said", [SECRET, HEADER], ids=["password", "header"])
@pytest.mark.parametrize("kind", ["heap", "mutex", "threadcreate"])
def test_a_password_that_is_said_back_is_nowhere(kind, said):
    types = {"heap": HEAP, "mutex": ("contentions", "delay")}.get(kind, (kind, said))
    data = encoded(types, ([f"main.{said}.f 5", f"main.by{said} 9"], [7] * len(types)))
    with Server(let_in(data, kind)) as server:
        [entry], raw = collect(endpoint(server.port, served=None, authentication=True), credentials=GIVEN, kinds=[kind, "allocs"],
                               raw=[kind, "allocs"])
    [take] = entry["takes"]
    assert SECRET not in json.dumps([entry, raw]) and HEADER not in json.dumps([entry, raw])
    if kind != "threadcreate":
        assert "main.[redacted].f" in json.dumps(entry)
    shown = {row["kind"]: row for row in take["profiles"]}
    assert (shown[kind]["valid"], shown[kind]["file"]) == (True, None)
    assert shown[kind]["error"] == "not brought along: it holds a password or token"
    assert [row["kind"] for row in raw] == ["allocs"] and shown["allocs"]["error"] is None


def test_a_password_that_is_said_back_in_a_dump():
    dump = (f"goroutine 1 [{SECRET}]:\nmain.{SECRET}()\n\t/src/{SECRET}.go:5 +0x1d\n"
            f"created by main.{SECRET} in goroutine 2\n\t/a.go:3 +0x1\n\n")
    known = {**recorded(), BASE + "goroutine?debug=2": http(dump.encode(), content="text/plain")}
    with Server(known) as server:
        entry = one(endpoint(server.port, served=None, authentication=True), credentials=GIVEN, kinds=["goroutine", "dump"])
    assert entry["takes"][0]["dump"]["total"] == 1 and SECRET not in json.dumps(entry)
    assert ["main.[redacted]", "/src/[redacted].go", 5, "own"] in [row for group in entry["groups"].values() for row in group["frames"]]


def test_a_short_password_cuts_nothing_out():
    data = encoded(HEAP, (["main.keep 5"], [7] * 4))
    with Server(let_in(data, "heap")) as server:
        [entry], raw = collect(endpoint(server.port, served=None, authentication=True), kinds=["heap"], raw=["heap"],
                               credentials=[{"service": "api", "username": "ops", "password": "main"}])
    assert entry["takes"][0]["heap"]["sites"][0]["function"] == "main.keep" and len(raw) == 1


def test_a_name_is_cut_after_the_password_was_taken_out():
    """Not in the middle of it."""
    data = encoded(HEAP, (["x" * (runtime.NAME_LIMIT - 5) + SECRET + " 5"], [7] * 4))
    with Server(let_in(data, "heap")) as server:
        entry = one(endpoint(server.port, served=None, authentication=True), credentials=GIVEN, kinds=["heap"])
    assert SECRET[:5] not in json.dumps(entry)


@pytest.mark.parametrize("char", ["\x1b", "\a", "\r", "\n", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b", "\u2028"], ids=ascii)
def test_what_a_terminal_obeys_is_in_no_name(char):
    data = encoded(HEAP, ([f"main.a{char}b 5", f"main.by{char} 9"], [7] * 4))
    take = taken("heap", data)
    [row] = take["heap"]["sites"]
    assert (row["function"], row["caller"][0]) == ("main.a\ufffdb", "main.by\ufffd")


@pytest.mark.parametrize("name", ["main.(*box[...]).put", "main.größe·1", "[libc.so.6]", "/usr/lib/日本語.go"])
def test_names_that_are_names_stay(name):
    assert runtime.clean(name) == name


def test_no_secret_is_in_a_repr():
    context = Context(credentials=GIVEN)
    entry = {**endpoint(1), "prefix": "", "error": None, "credentials": None, "started": None}
    job = runtime.Job(entry, [httpprobe.Target(host="h", port=1, authorization=BASIC.decode())], secrets=(SECRET, HEADER))
    assert all(word not in repr([context, job]) for word in (SECRET, HEADER))


@pytest.fixture
def ca():
    return str(HERE / "runtime" / "endpoint" / "tls.pem")


class TestTls:
    def take(self, declared=(), certificate=None, **given):
        self.heads = []
        with Server(guarded(BASIC, self.heads), tls=True) as server:
            if certificate:
                server._context.load_cert_chain(certificate)
            return one(endpoint(server.port, served=None, authentication=True, declared=True, scheme="https"), declared=declared,
                       credentials=[{"service": "api", "username": "ops", "password": SECRET, **given}])

    def test_no_password_for_whom_nobody_vouches(self):
        entry = self.take()
        assert entry["error"]["kind"] == "certificate" and entry["takes"] == []
        assert entry["error"]["message"].startswith("the server's certificate is not good: self") and self.heads == []

    def test_no_password_of_a_url_for_whom_nobody_vouches(self):
        heads = []
        with Server(guarded(BASIC, heads), tls=True) as server:
            entry = one(endpoint(server.port, served=None, authentication=True, declared=True, scheme="https"),
                        declared=[{"name": "api", "pprof": f"https://ops:{SECRET}@127.0.0.1:{server.port}"}])
        assert entry["error"]["kind"] == "certificate" and heads == []

    @pytest.mark.parametrize("verified", [True, False])
    def test_who_shows_a_good_certificate_needs_no_process(self, ca, verified):
        heads = []
        with Server(guarded(BASIC, heads), tls=True) as server:
            server._context.load_cert_chain(ca)
            entry = one(endpoint(server.port, served=None, authentication=True, declared=True, scheme="https", pid=0), services=[],
                        declared=[{"name": "api", "pprof": f"https://127.0.0.1:{server.port}"}], kinds=["goroutine"],
                        credentials=[{**GIVEN[0], "ca_file": ca, "validate_certs": verified}])
        assert (bool(entry["takes"]), bool(heads)) == (verified, verified)
        assert verified or entry["error"]["message"].endswith("is not held by a process of the service: no credentials were sent")

    def test_unverified_when_told(self):
        assert self.take(validate_certs=False)["takes"][0]["goroutines"]["total"] == TOTAL

    def test_a_ca_file_that_is_none(self, tmp_path):
        entry = self.take(ca_file=str(tmp_path / "none.pem"))
        assert entry["error"]["message"] == f"the CA file {tmp_path}/none.pem cannot be used: no such file or directory"

    def test_good_certificates(self, ca):
        """For an address, and for the name of the declared URL that leads there."""
        for url in ("https://127.0.0.1:1", "https://api.test:1"):
            entry = self.take([{"name": "api", "pprof": url}], ca_file=ca, certificate=ca)
            assert entry["takes"][0]["goroutines"]["total"] == TOTAL
        assert b"\r\nHost: api.test\r\n" in self.heads[0]

    def test_a_certificate_for_somebody_else(self, ca):
        entry = self.take([{"name": "api", "pprof": "https://web.test:1"}], ca_file=ca, certificate=ca)
        assert entry["error"]["kind"] == "certificate" and "web.test" in entry["error"]["message"] and self.heads == []

    def test_open_pprof_needs_no_certificate(self):
        with Server(recorded(), tls=True) as server:
            entry = one(endpoint(server.port, scheme="https"), kinds=["goroutine"])
        assert entry["takes"][0]["goroutines"]["total"] == TOTAL


# ------------------------------------------------------------------------------------------------------ bad and busy ones

def says(answer, only=None):
    """The recording, with this answer for one path (or every path)."""
    return {path: answer if only in (None, path) else known for path, known in recorded().items()}


def stream(head, block, count=None, pause=0.0):
    """A server that sends ``block`` again and again to whoever asks for a goroutine profile, and is good otherwise."""
    known = recorded()

    def answer(connection):
        request = connection.recv(4096)
        path = request.split(b" ")[1].decode()
        if path != BASE + "goroutine":
            connection.sendall(known.get(path, NOT_FOUND))
            return
        connection.sendall(head)
        sent = 0
        while count is None or sent < count:
            connection.sendall(block)
            sent += 1
            time.sleep(pause)

    return answer


OCTETS = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
BOMB = gzip.compress(b"\x32\x80\x80\x40" + b"\0" * (1 << 20)) + b"".join(gzip.compress(b"\0" * (32 << 20), 9) for _number in range(4))
HOSTILE = {
    "html": (http(b"<!DOCTYPE html><title>No</title>", content="text/html; charset=utf-8"), "not_pprof", "it answers with a page of HTML"),
    "text": (http(b"all is well\n", content="text/plain"), None, None),
    "empty": (http(b""), "not_pprof", None),
    "garbage": (http(os.urandom(5000)), "broken", None),
    "gzip bomb": (http(BOMB), "too_big", None),
    "cut gzip": (http(body_of(recorded()[BASE + "goroutine"])[:-100]), "broken", None),
    "another profile": (http(body_of(recorded()[BASE + "mutex"])), "broken",
                        "it has no sample type goroutine, so it is no goroutine profile"),
    "wrong length": (OCTETS + b"Content-Length: 5000\r\n\r\nabc", "broken", "the connection ended inside the response's body"),
    "bad chunk": (OCTETS + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "broken", "b'xyz' is not a chunk's size"),
    "negative length": (OCTETS + b"Content-Length: -5\r\n\r\n", "not_pprof", "the profile is empty"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "status", "it answered 302 (a redirect)"),
    "no http": (b"SSH-2.0-OpenSSH_9.2\r\n", "not_pprof", None),
    "nothing": (b"", "broken", "closed the connection without an answer"),
    "long head": (OCTETS + b"X: " + b"y" * 100_000 + b"\r\n\r\n", "not_pprof", "the response's head is longer than 32768 bytes"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_answers_have_a_name(what):
    answer, kind, message = HOSTILE[what]
    with Server(says(answer, BASE + "goroutine")) as server:
        entry = one(endpoint(server.port), raw=["goroutine"])
    [take] = entry["takes"]
    error = failures(entry)["goroutine"]
    assert kind is None or error["kind"] == kind
    assert message is None or error["message"] == message
    assert 5 < len(error["message"]) <= 300 and take["goroutines"] is None
    assert take["memory"] is not None  # what came before is kept
    assert all(not row["valid"] and row["error"] for row in take["profiles"] if row["kind"] == "goroutine")


@pytest.mark.parametrize(("answer", "kind"), [
    (stream(OCTETS + b"\r\n", b"x" * 65536), "too_big"),
    (stream(OCTETS + b"Content-Length: %d\r\n\r\n" % (1 << 30), b"x" * 65536), "too_big"),
    (stream(OCTETS + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 900 + b"\r\nx\r\n"), "too_big"),
    (stream(OCTETS + b"\r\n", b"x", pause=0.01), "timeout"),
    # Too much of it, or for too long: a busy machine decides.
    (stream(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "broken or timeout"),
    (stream(b"HTTP/1.1 200 OK\r\nX-", b"x", pause=0.01), "timeout"),
], ids=["endless", "1 GB", "chunk extensions", "drip", "interim answers", "endless head"])
def test_answers_without_end(answer, kind, monkeypatch):
    monkeypatch.setattr(runtime, "REQUEST_SECONDS", 1.5)
    started = time.monotonic()
    with Server(answer) as server:
        entry = one(endpoint(server.port))
    error = failures(entry)["goroutine"]
    assert error["kind"] in kind.split(" or "), error
    assert time.monotonic() - started < 5


def test_nothing_but_pages_of_html():
    with Server(says(http(b"<html>", content="text/html"))) as server:
        entry = one(endpoint(server.port))
    assert (entry["error"], entry["takes"]) == ({"kind": "not_pprof", "message": "it answers with a page of HTML"}, [])


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
def test_a_broken_service_is_left_alone(status):
    with Server(says(http(b"panic", status, "text/plain"), BASE + "goroutine")) as server:
        entry = one(endpoint(server.port))
    assert asked(server) == ["heap?debug=1", "heap", "goroutine"]
    [take] = entry["takes"]
    assert failures(entry)["goroutine"] == {"kind": "status", "message": f"it answered {status[:3]}"}
    reasons = {row["kind"]: row["reason"] for row in take["skipped"]}
    assert reasons["allocs"] == reasons["goroutineleak"] == f"left alone: it answered {status[:3]} (goroutine)"
    assert reasons["cpu"] == "switched off" and take["memory"] is not None


def test_a_service_that_does_not_answer_is_asked_once(monkeypatch):
    monkeypatch.setattr(runtime, "REQUEST_SECONDS", 0.5)
    with Server(lambda connection: time.sleep(5)) as server:
        started = time.monotonic()
        entry = one(endpoint(server.port))
        assert time.monotonic() - started < 2
    assert server.connections == 1
    assert (entry["error"], entry["takes"]) == ({"kind": "timeout", "message": "did not answer within 0.5 s"}, [])


def test_a_slow_service_is_left_alone(monkeypatch):
    monkeypatch.setattr(runtime, "SLOW", 0.3)
    known = recorded()

    def answer(connection):
        path = connection.recv(4096).split(b" ")[1].decode()
        if path == BASE + "heap":
            time.sleep(0.5)
        connection.sendall(known.get(path, NOT_FOUND))

    with Server(answer) as server:
        entry = one(endpoint(server.port))
    assert server.connections == 2
    [take] = entry["takes"]
    assert take["heap"] is not None and take["goroutines"] is None  # what came is used
    assert {"kind": "goroutine", "reason": "left alone: it took 0.5 s (heap)"} in take["skipped"]


def test_a_service_that_dies_in_the_middle():
    known = recorded()
    box = []

    def answer(connection):
        path = connection.recv(4096).split(b" ")[1].decode()
        if path == BASE + "heap":
            # Before the answer: the next request follows it at once.
            box[0]._listener.shutdown(socket.SHUT_RDWR)
            box[0]._listener.close()
        connection.sendall(known.get(path, NOT_FOUND))

    server = Server(answer)
    box.append(server)
    entry = one(endpoint(server.port))
    assert server.connections == 2
    [take] = entry["takes"]
    assert failures(entry)["goroutine"] == {"kind": "refused", "message": "connection refused"}
    assert {"kind": "mutex", "reason": "left alone: connection refused (goroutine)"} in take["skipped"]


def test_refused():
    with Server({}) as server:
        port = server.port
    entry = one(endpoint(port))
    assert (entry["error"], entry["takes"]) == ({"kind": "refused", "message": "connection refused"}, [])


def test_one_budget_for_all_and_a_share_for_each(monkeypatch):
    """Nine that never answer, in one second; the tenth, which is declared, was asked first."""
    monkeypatch.setattr(runtime, "REQUEST_SECONDS", 30.0)
    servers = [Server(lambda connection: time.sleep(20)) for _number in range(9)]
    with Server(recorded()) as good:
        started = time.monotonic()
        entries, _raw = collect(*(endpoint(server.port, name=str(number), pid=0) for number, server in enumerate(servers)),
                                endpoint(good.port, declared=True), budget=3)
        took = time.monotonic() - started
    assert took < 4
    assert entries[0]["takes"] and len(entries) == 10
    assert {entry["error"]["kind"] for entry in entries[1:]} <= {"timeout", "budget"}
    assert sum(server.connections for server in servers) >= 6  # nobody's silence took the others' share
    assert max(server.most for server in servers) == 1


def test_at_most_four_side_by_side_and_one_request_at_a_time():
    known = recorded()
    lock, now, most, crowded = threading.Lock(), [], [0], []

    def answers(number):
        def answer(connection):
            path = connection.recv(4096).split(b" ")[1].decode()
            with lock:
                crowded.extend([number] if number in now else [])
                now.append(number)
                most[0] = max(most[0], len(now))
            time.sleep(0.03)
            with lock:
                now.remove(number)
            connection.sendall(known.get(path, NOT_FOUND))

        return answer

    servers = [Server(answers(number)) for number in range(7)]
    entries, _raw = collect(*(endpoint(server.port, name=str(number), pid=0) for number, server in enumerate(servers)))
    assert all(entry["takes"] for entry in entries) and 2 <= most[0] <= runtime.WORKERS
    assert crowded == []


def test_little_memory_whatever_they_send():
    """Its own process: the memory of this one has seen the bombs."""
    # A sample type, and as many strings as fit: what costs a decoder most is many small things.
    plain = b"\x0a\x04\x08\x01\x10\x02" + b"\x32\x00\x32\x09goroutine\x32\x05count"
    many = gzip.compress(plain + b"".join(b"\x32\x08%08x" % number for number in range(900_000)))
    script = """
import json, os, sys
from ansible_collections.goready.preflight.plugins.module_utils.collect import runtime
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
context = Context(runtime={"budget": 20, "raw": list(runtime.KINDS)}, timeout=30)
context.shared.update({"pprof.endpoints": json.loads(sys.argv[1]), "services.services": []})
found = runtime.endpoints(context)
print(json.dumps([runtime.process(context, os.getpid())["hwm"], [entry["error"] for entry in found],
                  [[row["error"] and row["error"]["kind"] for row in take["asked"]] for entry in found for take in entry["takes"]]]))
"""
    endless = stream(OCTETS + b"\r\n", b"x" * 65536)
    with Server(endless) as one_, Server(says(http(BOMB))) as two, Server(says(http(many))) as three, \
            Server(says(http(b"goroutine 1 [running]:\n" + b"main.f()\n\t/x.go:1\n" * 2_000_000, content="text/plain"))) as four:
        found = [endpoint(server.port, name=str(number), pid=0) for number, server in enumerate((one_, two, three, four))]
        done = subprocess.run([sys.executable, "-c", script, json.dumps(found)], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr
    most, errors, kinds = json.loads(done.stdout)
    assert most < 100 << 20, (most, errors, kinds)
    assert [error and error["kind"] for error in errors] == [None, "broken", "broken", "broken"]


def big(entries, samples):
    """A profile of so many strings, functions and locations, and so many samples of 20 frames: what a decoder has to keep."""
    rows = [message(1, number_of(1, 1) + number_of(2, 2)), b"\x32\x00", message(6, b"goroutine"), message(6, b"count")]
    rows += [message(6, b"main.function%d" % number) for number in range(entries)]
    rows += [message(5, number_of(1, number + 1) + number_of(2, 3 + number) + number_of(4, 3 + number * 7 % entries))
             + message(4, number_of(1, number + 1) + message(4, number_of(1, number + 1) + number_of(2, number)))
             for number in range(entries)]
    ids = list(map(varint, range(1, entries + 1)))
    rows += [message(2, message(1, b"".join(ids[(number * 977 + step * 7919) % entries] for step in range(20))) + message(2, b"\x01"))
             for number in range(samples)]
    return gzip.compress(b"".join(rows), 9)


@pytest.mark.parametrize(("entries", "samples", "kind"), [(99_000, 10, None), (30_000, 60_000, None), (490_000, 10, "too_big")])
def test_little_memory_for_large_profiles(entries, samples, kind):
    """The first is larger than that of any real program, the second is that of a large one, the third is hostile."""
    script = """
import json, os, sys
from ansible_collections.goready.preflight.plugins.modules import readiness_facts
from ansible_collections.goready.preflight.plugins.module_utils.collect import runtime
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
context = Context(runtime={"budget": 50, "raw": list(runtime.KINDS), "kinds": ["goroutine"], "profile_limit": 16 << 20}, timeout=60)
context.shared.update({"pprof.endpoints": json.loads(sys.argv[1]), "services.services": []})
[found] = runtime.endpoints(context)
print(json.dumps([runtime.process(context, os.getpid())["hwm"], found["error"], [take["goroutines"]["total"] for take in found["takes"]]]))
"""
    with Server({**recorded(), BASE + "goroutine": http(big(entries, samples))}) as server:
        done = subprocess.run([sys.executable, "-c", script, json.dumps([endpoint(server.port, pid=0)])], capture_output=True, text=True,
                              timeout=90, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr
    most, error, totals = json.loads(done.stdout)
    assert most < 150 << 20, (most, error)
    assert (error and error["kind"], totals) == (kind, [] if kind else [samples]), error


def test_the_budget_holds_while_a_profile_is_decoded(monkeypatch):
    real = profile.decode

    def slowly(data, **limits):
        time.sleep(1.1)
        return real(data, **limits)

    monkeypatch.setattr(profile, "decode", slowly)
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=["heap", "block"], budget=1)
    [take] = entry["takes"]
    said = "not decoded: no time was left in the budget"
    assert [(row["kind"], row["form"], row["error"]) for row in take["asked"]] == [
        ("heap", "text", None), ("heap", "proto", {"kind": "budget", "message": said})]
    assert [(row["valid"], row["file"], row["error"]) for row in take["profiles"]] == [(False, None, said)]
    assert {"kind": "block", "reason": "no time was left in the budget"} in take["skipped"]
    assert take["memory"] is not None and take["heap"] is None


# ------------------------------------------------------------------------------------------------------------------ CPU

def test_a_cpu_profile_only_when_asked_for():
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=["cpu", "goroutine"], cpu_seconds=1)
    assert asked(server) == ["goroutine", "profile?seconds=1"]
    cpu = entry["takes"][0]["cpu"]
    assert (cpu["period"], cpu["duration_ns"] > 900_000_000) == (10_000_000, True)


def test_another_profile_is_being_taken():
    busy = http(b"Could not enable CPU profiling: cpu profiling already in use\n", "500 Internal Server Error", "text/plain",
                "X-Go-Pprof: 1\r\n")
    with Server({**recorded(), BASE + "profile?seconds=1": busy}) as server:
        entry = one(endpoint(server.port), kinds=["cpu", "goroutine", "goroutineleak"], cpu_seconds=1)
    assert failures(entry)["cpu"] == {"kind": "cpu_busy", "message": "another CPU profile of the process is being taken"}
    assert entry["takes"][0]["cpu"] is None and asked(server)[-1] == "goroutineleak"  # busy is not broken


def test_what_pprof_itself_says_is_told():
    late = http(b"profile duration exceeds server's WriteTimeout\n", "400 Bad Request", "text/plain", "X-Go-Pprof: 1\r\n")
    with Server({**recorded(), BASE + "profile?seconds=1": late}) as server:
        entry = one(endpoint(server.port), kinds=["cpu", "goroutine"], cpu_seconds=1)
    assert failures(entry)["cpu"]["message"] == "it answered 400: profile duration exceeds server's WriteTimeout"


def test_two_verifications_take_one_cpu_profile_at_a_time():
    """The name is free again when the other one has ended, however it ended."""
    script = ("import socket, sys, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
              f"s.bind('\\0goready-preflight-cpu-{os.getpid()}'); print('bound', flush=True); time.sleep(60)")
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "bound\n"
        with Server(recorded()) as server:
            entry = one(endpoint(server.port), kinds=["cpu", "goroutine"], cpu_seconds=1)
        assert failures(entry)["cpu"] == {"kind": "cpu_busy", "message": "another verification is taking a CPU profile of the process"}
        assert asked(server) == ["goroutine"]
    finally:
        other.kill()
        other.wait()
    with Server(recorded()) as server:
        assert failures(one(endpoint(server.port), kinds=["cpu", "goroutine"], cpu_seconds=1)) == {}


def test_no_cpu_profile_without_time_for_it():
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=["cpu", "goroutine"], cpu_seconds=30, budget=1)
    assert entry["takes"][0]["cpu"] is None and "profile?seconds=30" not in asked(server)
    assert {"kind": "cpu", "reason": "less than 31.5 s were left in the budget"} in entry["takes"][0]["skipped"]


@pytest.mark.parametrize(("options", "message"), [
    ({"cpu_seconds": 31}, "cpu_seconds: 31 is not from 0 to 30"), ({"budget": 0}, "budget: 0 is not from 1 to 600"),
    ({"kinds": ["trace"]}, f"kinds: trace is none of {', '.join(runtime.KINDS)}"),
    ({"phase": "x"}, "phase: 'x' is none of once, idle, load, after"),
    ({"profile_limit": 1 << 30}, f"profile_limit: {1 << 30} is not from 1024 to {16 << 20}")])
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        runtime.Options.of(options)


# --------------------------------------------------------------------------------------------------------------- metrics

PAGE = (b"# HELP go_goroutines Number of goroutines.\n# TYPE go_goroutines gauge\ngo_goroutines 12\n"
        b"# TYPE go_gc_duration_seconds summary\ngo_gc_duration_seconds{quantile=\"0\"} 1e-05\ngo_gc_duration_seconds_sum 0.5\n"
        b"go_gc_duration_seconds_count 9\n")
METRICS = {"/metrics": http(PAGE, content="text/plain; version=0.0.4")}


def test_metrics_of_the_same_listener():
    with Server({**recorded(), **METRICS}) as server:
        entry = one(endpoint(server.port), kinds=["goroutine", "metrics"])
    metrics = entry["takes"][0]["metrics"]
    assert metrics["url"] == entry["metrics_url"] == f"http://127.0.0.1:{server.port}/metrics"
    assert metrics["families"]["go_goroutines"] == 12


def test_declared_metrics():
    with Server(recorded()) as server, Server({"/internal/m": METRICS["/metrics"]}) as other:
        url = f"http://127.0.0.1:{other.port}/internal/m"
        entry = one(endpoint(server.port), kinds=["goroutine", "metrics"], declared=[{"name": "api", "metrics": url}])
    assert entry["takes"][0]["metrics"]["url"] == url and "/metrics" not in asked(server)


def test_metrics_of_another_listener_of_the_process():
    with Server({**recorded(), "/metrics": NOT_FOUND}) as server, Server(METRICS) as other:
        listener = {"proto": "tcp", "address": "127.0.0.1", "port": other.port, "path": None}
        entry = one(endpoint(server.port), kinds=["goroutine", "metrics"], services=[service(listener)])
    assert entry["metrics_url"] == f"http://127.0.0.1:{other.port}/metrics" and entry["takes"][0]["metrics"]


def test_no_metrics_is_no_error():
    with Server({**recorded(), "/metrics": http(b"<html>", content="text/html")}) as server:
        entry = one(endpoint(server.port), kinds=["goroutine", "metrics"])
    assert entry["takes"][0]["metrics"] is None and failures(entry) == {}
    assert {"kind": "metrics", "reason": "none was found"} in entry["takes"][0]["skipped"]


def test_declared_metrics_that_are_not_there():
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=["goroutine", "metrics"],
                    declared=[{"name": "api", "metrics": f"http://u:{SECRET}@127.0.0.1:{server.port}/nope"}])
    assert failures(entry)["metrics"] == {"kind": "status", "message": "it answered 404"} and SECRET not in json.dumps(entry)


# ---------------------------------------------------------------------------------------------------------------- again

def again(first, **options):
    """A later call for the endpoints of an earlier one, as the controller makes it; neither services nor listeners are known."""
    targets = [{key: value for key, value in entry.items() if key not in ("takes", "groups", "error", "restarted")} for entry in first]
    context = Context(services=options.pop("declared", ()), credentials=options.pop("credentials", ()), timeout=10.0,
                      runtime={"budget": 5, "targets": json.loads(json.dumps(targets)), "phase": "load", **options})
    return runtime.endpoints(context)


def test_the_same_again():
    with Server({**recorded(), **METRICS}) as server:
        first, _raw = collect(endpoint(server.port), kinds=["goroutine", "metrics"])
        [entry] = again(first, kinds=["heap", "goroutine", "metrics"])
    assert (entry["error"], entry["restarted"]) == (None, None)
    [take] = entry["takes"]
    assert take["phase"] == "load" and take["goroutines"]["total"] == TOTAL and take["metrics"] is not None
    for key in ("service", "pid", "started", "listener", "prefix", "module", "go_version", "declared", "metrics_url"):
        assert entry[key] == first[0][key]
    assert take["clock"] > first[0]["takes"][0]["clock"]


def test_the_same_again_with_credentials():
    with Server(guarded(BASIC)) as server:
        given = [{"service": "api", "username": "ops", "password": SECRET}]
        first, _raw = collect(endpoint(server.port, served=None, authentication=True), credentials=given)
        [entry] = again(first, credentials=given)
    assert entry["takes"][0]["goroutines"]["total"] == TOTAL and SECRET not in json.dumps(entry)


SERVE = """
import http.server, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[3], int(sys.argv[1])))
listener.listen(5)
print(listener.getsockname()[1], flush=True)
answers = {path: text.encode("latin-1") for path, text in __import__("json").load(open(sys.argv[2])).items()}
while True:
    connection, _peer = listener.accept()
    path = connection.recv(4096).split(b" ")[1].decode()
    connection.sendall(answers.get(path, b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n"))
    connection.close()
""".replace("\\\\", "\\")


class Process:
    """A service in a process of its own, which can end."""

    def __init__(self, port=0, address="127.0.0.1"):
        recording = str(HERE / "runtime" / "endpoint" / "go1.27.3.json")
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, str(port), recording, address], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test_another_life_gives_no_take():
    with Process() as service_:
        first, _raw = collect(endpoint(service_.port, pid=service_.pid), kinds=["goroutine"])
        assert first[0]["takes"]
    with Process(service_.port) as other:
        [entry] = again(first)
    assert (entry["takes"], entry["error"]["kind"], entry["pid"]) == ([], "restarted", other.pid)
    assert entry["restarted"] == entry["error"]["message"] == (
        f"PID {service_.pid} (started {first[0]['started']:.2f} s after boot) was replaced by PID {other.pid}")
    assert entry["started"] >= first[0]["started"]


def test_a_reused_pid_is_another_life():
    with Process() as service_:
        first, _raw = collect(endpoint(service_.port, pid=service_.pid), kinds=["goroutine"])
        first[0]["started"] -= 100.0
        [entry] = again(first)
    assert (entry["takes"], entry["error"]["kind"], entry["pid"]) == ([], "restarted", service_.pid)


def test_another_life_on_all_addresses():
    """The declared URL has one address, the service listens on all of them."""
    with Process() as service_:
        found = endpoint(service_.port, name="shop", pid=0, declared=True)
        first, _raw = collect(found, endpoint(service_.port, name="leaky", pid=service_.pid), kinds=["goroutine"])
        assert [(entry["service"], entry["pid"]) for entry in first] == [("shop", service_.pid)] and first[0]["takes"]
    with Process(service_.port, "0.0.0.0") as other:
        [entry] = again(first)
    assert (entry["takes"], entry["error"]["kind"], entry["pid"]) == ([], "restarted", other.pid)


def test_what_has_ended_is_refused():
    with Process() as service_:
        first, _raw = collect(endpoint(service_.port, pid=service_.pid), kinds=["goroutine"])
    [entry] = again(first)
    assert (entry["takes"], entry["restarted"], entry["pid"]) == ([], None, service_.pid)
    assert entry["error"] == {"kind": "refused", "message": f"PID {service_.pid} has ended, and nothing listens in its place"}


def test_a_restart_in_the_middle_of_a_take(monkeypatch):
    """What came may be of either life: it is dropped."""
    lives = iter([100.0, 200.0, 200.0])
    monkeypatch.setattr(runtime, "started", lambda context, pid: next(lives))
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=["goroutine"])
    assert entry["takes"] == [] and entry["error"]["kind"] == "restarted"
