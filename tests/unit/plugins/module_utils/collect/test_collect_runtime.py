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
    assert {row["kind"]: (row["valid"], row["file"], row["error"]) for row in take["profiles"]} == {
        kind: (True, f"{kind}-once.pb.gz", None)
        for kind in ("heap", "goroutine", "allocs", "mutex", "block", "threadcreate", "goroutineleak")}


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
        entry = one(endpoint(server.port), services=[service(version=version)], kinds=["goroutineleak", "heap"])
    assert entry["takes"][0]["leaks"]["reason"] == reason


def test_a_garbage_collection_only_where_it_is_allowed():
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=["heap"], gc=True)
    assert asked(server) == ["heap?gc=1&debug=1", "heap"]
    assert entry["takes"][0]["memory"]["forced_gc"] is True and entry["takes"][0]["memory"]["memstats"]["NumForcedGC"] > 0


@pytest.mark.parametrize("kind", runtime.KINDS)
def test_a_switch_for_each_kind(kind):
    with Server(recorded()) as server:
        entry = one(endpoint(server.port), kinds=[kind], cpu_seconds=1)
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


# ---------------------------------------------------------------------------------------------------------- who is asked

def test_declared_ones_first_and_one_door_for_each_process():
    with Server(recorded()) as first, Server(recorded()) as second, Server(recorded()) as third:
        entries, _raw = collect(
            endpoint(first.port, address="0.0.0.0"), endpoint(second.port, declared=True),
            endpoint(third.port, name="other", pid=os.getppid()), kinds=["goroutine"])
    assert [(entry["service"], entry["listener"]["port"]) for entry in entries] == [("api", second.port), ("other", third.port)]
    assert (first.connections, second.connections, third.connections) == (0, 1, 1)


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
    (stream(OCTETS + b"\r\n", b"x", pause=0.01), "timeout"), (stream(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "broken"),
    (stream(b"HTTP/1.1 200 OK\r\nX-", b"x", pause=0.01), "timeout"),
], ids=["endless", "1 GB", "chunk extensions", "drip", "interim answers", "endless head"])
def test_answers_without_end(answer, kind, monkeypatch):
    monkeypatch.setattr(runtime, "REQUEST_SECONDS", 1.5)
    started = time.monotonic()
    with Server(answer) as server:
        entry = one(endpoint(server.port))
    error = failures(entry)["goroutine"]
    assert error["kind"] == kind, error
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
        connection.sendall(known.get(path, NOT_FOUND))
        if path == BASE + "heap":
            box[0]._listener.shutdown(socket.SHUT_RDWR)
            box[0]._listener.close()

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
listener.bind(("127.0.0.1", int(sys.argv[1])))
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

    def __init__(self, port=0):
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, str(port), str(HERE / "runtime" / "endpoint" / "go1.27.3.json")],
                                        stdout=subprocess.PIPE, text=True)
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
