# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "fixtures" / "pprof"))

import pprof_fixtures as fixtures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pprof_fixtures import Server

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe, nftables
from ansible_collections.goready.preflight.plugins.module_utils.collect import pprof
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Answer

INDEX, HEAP, SYMBOL, VARS = "/debug/pprof/", "/debug/pprof/heap?seconds=0", "/debug/pprof/symbol", "/debug/vars"
RANDOM = "/debug/pprof/<random>"
# Everything that may ever be asked. Each is harmless: see the collector's own text.
ALLOWED = {INDEX, HEAP, SYMBOL, VARS, "/", RANDOM}


def tcp(port, address="127.0.0.1", **more):
    return {"proto": "tcp6" if ":" in address else "tcp", "address": address, "port": port, "path": None, "inode": port, **more}


def unix(path):
    return {"proto": "unix", "address": None, "port": None, "path": path, "inode": 1}


def service(*listeners, name="api", go_version="go1.27.3", pid=None, **more):
    running = {"buildinfo": {"go_version": go_version}} if go_version else None
    process = {"pid": pid or os.getpid(), "go": True, "listeners": list(listeners), "running": running, "unreadable": []}
    return {"name": name, "declared": False, "container": None, "processes": [process], **more}


def collect(*services, declared=(), root="/", timeout=20.0):
    context = Context(services=declared, root=root, timeout=timeout)
    context.shared["services.services"] = list(services)
    return pprof.endpoints(context)


def asked(server):
    """The paths that a server was asked for, in their order, the random one by its placeholder."""
    return ["/debug/pprof/<random>" if "/preflight-" in line else line.split(" ")[1] for line in server.requests]


PLAIN = [INDEX, HEAP, SYMBOL, VARS]
FOUND = [INDEX, VARS, "/"]
# variant: (pprof, path of the proof, expvar, authentication, shared, what it was asked)
VARIANTS = {
    "default": (True, INDEX, True, False, True, FOUND),
    "api": (True, INDEX, True, False, None, FOUND),
    "own": (True, INDEX, False, False, None, FOUND),
    "index": (True, INDEX, False, False, None, FOUND),
    "noindex": (True, SYMBOL, False, False, None, [*PLAIN, "/"]),
    "heaponly": (True, HEAP, False, False, None, [INDEX, HEAP, VARS, "/"]),
    "auth": (None, None, None, True, None, [INDEX, HEAP, VARS]),
    "indexauth": (True, HEAP, False, False, None, [INDEX, HEAP, VARS, "/"]),
    "forbidden": (None, None, None, True, None, [INDEX, HEAP, VARS]),
    "gateway": (None, None, None, None, None, PLAIN),
    "expvar": (False, None, True, False, None, [*PLAIN, "/"]),
    "landing": (True, INDEX, False, False, False, FOUND),
    "metrics": (False, None, False, None, None, PLAIN),
    "clean": (False, None, False, None, None, PLAIN),
    "spa": (False, None, False, None, None, PLAIN),
    "login": (False, None, False, None, None, PLAIN),
    "prefix": (False, None, False, None, None, PLAIN),
}


@pytest.mark.parametrize("version", ["go1.27.3", "go1.21.13"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_go_services_serve(version, variant):
    served, path, expvar, authentication, shared, requests = VARIANTS[variant]
    with Server(fixtures.answers(version, variant)) as server:
        [entry] = collect(service(tcp(server.port), go_version=version))
    assert (entry["scheme"], entry["state"], entry["error"]) == ("http", "answered", None)
    assert (entry["pprof"]["served"], entry["pprof"]["path"], entry["expvar"]["served"]) == (served, path, expvar)
    assert (entry["authentication"], entry["shared"]) == (authentication, shared)
    assert asked(server) == requests and entry["requests"] == server.connections == len(requests) <= 5
    assert "secret-of-the-fixture" not in json.dumps(entry)


@pytest.mark.parametrize(("program", "shared"), [("node_exporter", False), ("etcd", None)])
def test_programs_of_the_distribution(program, shared):
    """An exporter's page of links is no application. etcd's API is gRPC and has nothing at /: it is not known."""
    with Server(fixtures.answers("debian12", program)) as server:
        [entry] = collect(service(tcp(server.port), go_version="go1.19.8"))
    assert (entry["pprof"]["served"], entry["expvar"]["served"], entry["shared"]) == (True, True, shared)


def test_no_profile_is_started_and_no_credentials_are_sent():
    """Over every variant: only paths that do no work, GET only, named as who we are, at most five times."""
    for version in ("go1.27.3", "go1.21.13"):
        for variant in VARIANTS:
            with Server(fixtures.answers(version, variant)) as server:
                collect(service(tcp(server.port), go_version=version))
            assert set(asked(server)) <= ALLOWED
            for head in server.heads:
                assert head.startswith(b"GET /") and b"\r\nUser-Agent: goready-preflight\r\n" in head
                assert b"authorization" not in head.lower() and b"cookie" not in head.lower()


def test_the_heap_is_asked_for_in_a_way_that_go_refuses():
    """The recorded answers of real Go: 400 before the handler looks at the heap."""
    for version in ("go1.27.3", "go1.21.13"):
        answer = fixtures.answers(version, "own")[HEAP]
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"\r\nX-Go-Pprof: 1\r\n" in answer
        assert b'invalid value for "seconds" - must be a positive integer' in answer


@pytest.mark.parametrize("version", ["go1.14.15", "go1.9", "devel +abc", "", None, "go2.0", "go1.x", "go1"])
def test_versions_that_may_ignore_seconds_are_asked_for_an_unguessable_name(version):
    with Server(fixtures.answers("go1.21.13", "clean")) as server:
        collect(service(tcp(server.port), go_version=version))
    assert asked(server) == [INDEX, RANDOM, SYMBOL, VARS]
    with Server({**fixtures.answers("go1.21.13", "own"), INDEX: fixtures.NOT_FOUND}) as server:
        [entry] = collect(service(tcp(server.port), go_version=version))
    assert entry["pprof"]["served"] is True and "X-Go-Pprof" in entry["pprof"]["evidence"][0]


@pytest.mark.parametrize("version", ["go1.15", "go1.15rc1", "go1.27.3 X:boringcrypto"])
def test_versions_that_refuse_seconds(version):
    with Server(fixtures.answers("go1.21.13", "clean")) as server:
        collect(service(tcp(server.port), go_version=version))
    assert asked(server)[1] == HEAP


def test_tls():
    with Server(fixtures.answers("go1.27.3", "tls"), tls=True) as server:
        [entry] = collect(service(tcp(server.port)))
    assert (entry["scheme"], entry["state"], entry["pprof"]["served"], entry["requests"]) == ("https", "answered", True, 4)
    assert asked(server) == FOUND  # the plain request never reached a handler


def test_a_client_certificate_protects():
    with Server(fixtures.answers("go1.27.3", "tls"), tls=True, mutual=True) as server:
        [entry] = collect(service(tcp(server.port), pid=1 << 22))
    assert (entry["scheme"], entry["state"], entry["authentication"]) == ("https", "client_certificate", True)
    assert (entry["pprof"]["served"], entry["error"]) == (None, "TLS that asks for a client certificate")
    assert server.requests == []


def test_unix_socket(tmp_path):
    path = str(tmp_path / "api.sock")
    with Server(fixtures.answers("go1.27.3", "own"), unix=path):
        [entry] = collect(service(unix(path)))
    assert (entry["pprof"]["served"], entry["scheme"], entry["listener"]["path"]) == (True, "http", path)


@pytest.mark.parametrize(("variant", "detail", "connections"), [
    ("closes", "closed the connection without an answer", 2),
    ("h2c", "closed the connection without an answer", 2),
    ("greets", "does not speak HTTP: answered b'SSH-2.0-variants'", 1),
    ("echo", "does not speak HTTP: answered b'GET /debug/pprof'", 1),
])
def test_what_is_no_http_serves_no_pprof(variant, detail, connections):
    with Server(fixtures.answers("go1.27.3", variant)) as server:
        [entry] = collect(service(tcp(server.port)))
    assert (entry["scheme"], entry["state"], entry["error"]) == (None, "not_http", detail)
    assert (entry["pprof"], entry["expvar"]["served"]) == (
        {"served": False, "status": None, "path": None, "evidence": [detail]}, False)
    assert server.connections == connections


def hold(connection):
    while connection.recv(1000):
        pass


def test_silence_is_not_known(monkeypatch):
    monkeypatch.setattr(httpprobe, "TIMEOUT", 0.3)
    with Server(hold) as server:
        [entry] = collect(service(tcp(server.port), pid=1 << 22))
    assert (entry["state"], entry["error"], entry["pprof"]["served"]) == ("silent", "did not answer within 0.3 s", None)
    assert server.connections == entry["requests"] == 1


@pytest.mark.parametrize(("content", "pprof_served", "expvar_served"), [
    (b"\x7fELF" + b"x" * (1 << 20), False, False),
    (b"\x7fELF" + b"x" * ((1 << 20) - 8) + b"/debug/pprof/heap", None, False),
    (b"/debug/vars", False, None),
    (b"", None, None),
], ids=["neither", "across blocks", "vars", "unreadable"])
def test_a_program_without_the_path_cannot_serve_it(monkeypatch, tmp_path, content, pprof_served, expvar_served):
    monkeypatch.setattr(httpprobe, "TIMEOUT", 0.2)
    (tmp_path / "proc" / "77").mkdir(parents=True)
    (tmp_path / "proc" / "77" / "exe").write_bytes(content)
    with Server(hold) as server:
        [entry] = collect(service(tcp(server.port), pid=77), root=str(tmp_path))
    assert (entry["pprof"]["served"], entry["expvar"]["served"]) == (pprof_served, expvar_served)
    if pprof_served is False:
        assert entry["pprof"]["evidence"] == ["/debug/pprof/ does not occur in the executable"]


def test_one_socket_is_asked_once():
    """Two processes with one socket (a worker model, SO_REUSEPORT) are one entry; another service gets the same answer."""
    with Server(fixtures.answers("go1.27.3", "metrics")) as server:
        first, second = service(tcp(server.port)), service(tcp(server.port), name="batch")
        first["processes"] *= 2
        entries = collect(first, second)
    assert [(entry["service"], entry["pprof"]["served"]) for entry in entries] == [("api", False), ("batch", False)]
    assert server.connections == 4


@pytest.mark.parametrize(("address", "hosts"), [
    ("0.0.0.0", ["127.0.0.1"]), ("::", ["::1", "127.0.0.1"]), ("10.1.2.3", ["10.1.2.3"]), ("fd00::1", ["fd00::1"]),
])
def test_where_a_listener_is_asked(monkeypatch, address, hosts):
    seen = []

    def get(target, path, **unused):
        seen.append((target.host, target.port))
        return Answer(error=httpprobe.UNREACHABLE, detail="network is unreachable")

    monkeypatch.setattr(httpprobe, "get", get)
    [entry] = collect(service(tcp(6060, address), pid=1 << 22))
    assert seen == [(host, 6060) for host in hosts]
    assert (entry["state"], entry["error"]) == ("unreachable", "network is unreachable")


def test_what_is_not_a_stream_or_not_go_is_left_alone():
    """UDP, other programs, sockets without a name."""
    odd = service({"proto": "udp", "address": "0.0.0.0", "port": 53, "path": None}, unix(None), tcp(None))
    foreign = service(tcp(1), name="nginx")
    foreign["processes"][0]["go"] = False
    unread = service(name="unread")
    unread["processes"][0]["listeners"] = None
    assert collect(odd, foreign, unread) == []


# --- declared


def test_the_declared_pprof_listener_is_no_application():
    with Server(fixtures.answers("go1.27.3", "default")) as server:
        url = f"http://localhost:{server.port}"
        [entry] = collect(service(tcp(server.port), declared=True), declared=[{"name": "api", "pprof": url}])
    assert (entry["declared"], entry["shared"]) == (True, False)
    assert entry["shared_evidence"] == ["declared as the service's pprof listener"]
    assert asked(server) == [INDEX, VARS]


def test_unless_the_declared_health_url_is_on_it():
    with Server(fixtures.answers("go1.27.3", "own")) as server:
        base = f"http://127.0.0.1:{server.port}"
        [entry] = collect(service(tcp(server.port, "127.0.0.1"), declared=True),
                          declared=[{"name": "api", "pprof": base, "health": base + "/healthz"}])
    assert (entry["declared"], entry["shared"]) == (True, True)
    assert entry["shared_evidence"] == ["the declared health URL is served by this listener"]


@pytest.mark.parametrize("suffix", ["/admin", "/admin/", "/admin/debug/pprof/"])
def test_a_declared_prefix(suffix):
    with Server(fixtures.answers("go1.27.3", "prefix")) as server:
        [entry] = collect(service(tcp(server.port), declared=True),
                          declared=[{"name": "api", "pprof": f"http://127.0.0.1:{server.port}{suffix}"}])
    assert (entry["pprof"]["served"], entry["pprof"]["path"]) == (True, "/admin/debug/pprof/")


def test_a_declared_prefix_does_not_hide_the_usual_place():
    with Server(fixtures.answers("go1.27.3", "own")) as server:
        [entry] = collect(service(tcp(server.port), declared=True),
                          declared=[{"name": "api", "pprof": f"http://127.0.0.1:{server.port}/admin"}])
    assert (entry["pprof"]["served"], entry["pprof"]["path"]) == (True, INDEX)


def test_a_declared_url_without_a_process():
    with Server(fixtures.answers("go1.27.3", "own")) as server:
        nothing = service(declared=True)
        nothing["processes"] = []
        [entry] = collect(nothing, declared=[{"name": "api", "pprof": f"http://u:p@127.0.0.1:{server.port}"}])
    assert (entry["pid"], entry["declared"], entry["namespace"], entry["pprof"]["served"]) == (None, True, "host", True)
    assert entry["listener"] == {"proto": "tcp", "address": "127.0.0.1", "port": server.port, "path": None}
    # The question is what others get: they have no credentials.
    assert all(b"authorization" not in head.lower() for head in server.heads)


def test_a_declared_url_where_nothing_listens(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    nothing = service(declared=True)
    nothing["processes"] = []
    [entry] = collect(nothing, declared=[{"name": "api", "pprof": f"http://127.0.0.1:{port}"}])
    assert (entry["state"], entry["pprof"]["served"], entry["pprof"]["evidence"]) == ("refused", False, ["connection refused"])
    [entry] = collect(nothing, declared=[{"name": "api", "pprof": f"unix://{tmp_path}/no.sock"}])
    assert (entry["state"], entry["pprof"]["served"], entry["listener"]["proto"]) == ("missing", False, "unix")
    assert collect(nothing, declared=[{"name": "api", "pprof": "nonsense"}]) == []


def test_a_discovered_service_does_not_take_the_declaration_of_its_name():
    with Server(fixtures.answers("go1.27.3", "own")) as server:
        [entry] = collect(service(tcp(server.port)), declared=[{"name": "api", "pprof": f"http://127.0.0.1:{server.port}"}])
    assert entry["declared"] is False


@pytest.mark.parametrize(("url", "listener", "expected"), [
    ("http://127.0.0.1:6060", tcp(6060), True),
    ("http://127.0.0.1:6061", tcp(6060), False),
    ("http://127.0.0.1:6060", tcp(6060, "0.0.0.0"), True),
    ("http://127.0.0.1:6060", tcp(6060, "::"), True),
    ("http://127.0.0.1:6060", tcp(6060, "10.0.0.1"), False),
    ("http://localhost:6060", tcp(6060, "::1"), True),
    ("http://localhost:6060", tcp(6060, "10.0.0.1"), False),
    ("unix:///run/a", unix("/run/a"), True),
    ("unix:///run/a", unix("/run/b"), False),
    ("unix:///run/a", tcp(6060), False),
    ("http://127.0.0.1:6060", unix("/run/a"), False),
])
def test_which_listener_a_url_names(url, listener, expected):
    assert pprof._names(httpprobe.parse_url(url), listener) is expected


# --- network namespaces


def host_tree(tmp_path, **namespaces):
    for pid, name in namespaces.items():
        folder = tmp_path / "proc" / pid.strip("_") / "ns"
        folder.mkdir(parents=True)
        (folder / "net").symlink_to(name)
    return str(tmp_path)


def test_a_container_whose_network_cannot_be_read(tmp_path):
    container = {"runtime": "podman", "id": "0123456789ab"}
    [entry] = collect(service(tcp(6060, "0.0.0.0"), container=container, pid=77), root=host_tree(tmp_path, self="net:[1]"))
    assert (entry["namespace"], entry["state"], entry["requests"]) == (None, "namespace", 0)
    assert entry["error"] == "in a container whose network namespace cannot be read"
    assert (entry["pprof"]["served"], entry["container"]) == (None, container)


def test_a_container_with_the_hosts_network_is_asked_like_the_host(tmp_path):
    root = host_tree(tmp_path, self="net:[1]", _77="net:[1]")
    with Server(fixtures.answers("go1.27.3", "own")) as server:
        [entry] = collect(service(tcp(server.port), container={"runtime": "docker", "id": "1"}, pid=77), root=root)
    assert (entry["namespace"], entry["pprof"]["served"]) == ("host", True)


def test_another_network_is_asked_from_inside(tmp_path, monkeypatch):
    entered = []
    monkeypatch.setattr(pprof, "_setns", entered.append)
    root = host_tree(tmp_path, self="net:[1]", _77="net:[2]")
    with Server(fixtures.answers("go1.27.3", "own")) as server:
        [entry] = collect(service(tcp(server.port), container={"runtime": "docker", "id": "1"}, pid=77), root=root)
    assert entered == [f"{root}/proc/77/ns/net"]
    assert (entry["namespace"], entry["pprof"]["served"]) == ("other", True)


def test_another_network_that_may_not_be_entered(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(pprof, "_setns", refuse)
    [entry] = collect(service(tcp(6060, "0.0.0.0"), pid=77), root=host_tree(tmp_path, self="net:[1]", _77="net:[2]"))
    assert (entry["namespace"], entry["state"], entry["pprof"]["served"], entry["requests"]) == ("other", "namespace", None, 0)
    assert entry["error"] == "in a network namespace of its own that cannot be entered: operation not permitted"


def test_the_same_port_in_two_networks_is_two_sockets(tmp_path, monkeypatch):
    monkeypatch.setattr(pprof, "_setns", lambda path: None)
    root = host_tree(tmp_path, self="net:[1]", _77="net:[2]", _78="net:[3]", _79="net:[1]")
    with Server(fixtures.answers("go1.27.3", "clean")) as server:
        entries = collect(*(service(tcp(server.port), name=str(pid), pid=pid) for pid in (77, 78, 79)), root=root)
    assert len(entries) == 3 and server.connections == 12


def test_a_network_can_really_be_entered_and_is_left():
    """Our own: entering it needs the same right as entering another's."""
    before = os.readlink("/proc/self/ns/net")
    try:
        pprof._setns("/proc/self/ns/net")
    except PermissionError:
        pytest.skip("setns(2) needs CAP_SYS_ADMIN")
    assert os.readlink("/proc/self/ns/net") == before


def test_a_socket_is_found_below_the_root_of_its_process(tmp_path):
    (tmp_path / "proc" / "77" / "root" / "run").mkdir(parents=True)
    with Server(fixtures.answers("go1.27.3", "own"), unix=str(tmp_path / "proc" / "77" / "root" / "run" / "s")):
        [entry] = collect(service(unix("/run/s"), pid=77), root=str(tmp_path))
    assert (entry["pprof"]["served"], entry["listener"]["path"]) == (True, "/run/s")


# --- time


def test_no_services_is_an_error_and_not_an_empty_answer():
    with pytest.raises(Unavailable, match="the services were not collected, so their listeners are not known"):
        pprof.endpoints(Context())


def test_many_listeners_that_never_answer_cost_a_bounded_time(monkeypatch):
    monkeypatch.setattr(httpprobe, "TIMEOUT", 0.3)
    monkeypatch.setattr(pprof, "ENDPOINTS_SECONDS", 0.8)
    real, lock, now, most = httpprobe.get, threading.Lock(), 0, 0

    def get(*words, **named):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        try:
            return real(*words, **named)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr(httpprobe, "get", get)
    # Every address of 127.0.0.0/8 is this machine: two hundred listeners for the price of one.
    with Server(hold, host="0.0.0.0") as server:
        started = time.monotonic()
        entries = collect(service(*(tcp(server.port, f"127.1.0.{number}") for number in range(1, 201)), pid=1 << 22))
        took = time.monotonic() - started
    assert len(entries) == 200 and took < 2
    states = [entry["state"] for entry in entries]
    assert set(states) == {"silent", "not_probed"} and states[0] == "silent"
    assert entries[-1]["error"] == "not reached in the time for all listeners"
    assert 2 <= most <= 8 and server.connections <= 40


def test_declared_services_come_first():
    jobs = pprof.plan(Context(), [service(tcp(1), name="a"), service(tcp(2), name="b", declared=True)])
    assert [job.service for job in jobs] == ["b", "a"]


# --- pure parts


@pytest.mark.parametrize(("listener", "expected"), [
    (tcp(1, "127.0.0.1"), True), (tcp(1, "127.8.9.10"), True), (tcp(1, "::1"), True), (tcp(1, "::ffff:127.0.0.1"), True),
    (tcp(1, "localhost"), True), (unix("/run/x"), True), (unix("@x"), True),
    (tcp(1, "0.0.0.0"), False), (tcp(1, "::"), False), (tcp(1, "10.0.0.1"), False), (tcp(1, "192.168.1.1"), False),
    (tcp(1, "fe80::1"), False), (tcp(1, "127.example.org"), False), (tcp(1, ""), False),
])
def test_is_local(listener, expected):
    assert pprof.is_local(listener) is expected


def page(status=404, body=b"", **headers):
    return Answer(status=status, body=body, headers={key.replace("_", "-"): value for key, value in headers.items()})


@pytest.mark.parametrize(("root", "named", "expected", "evidence"), [
    (page(), {"health_here": True}, True, "the declared health URL is served by this listener"),
    (page(200), {"health_here": True, "declared_pprof": True}, True, "the declared health URL is served by this listener"),
    (None, {"declared_pprof": True}, False, "declared as the service's pprof listener"),
    (None, {}, None, "GET / was not answered"),
    (page(200, b"<h1>Shop</h1>", content_type="text/html; charset=utf-8"), {}, True, "GET / answered 200 with text/html"),
    (page(302, location="/login"), {}, True, "GET / answered 302 to /login"),
    (page(401), {}, True, "GET / answered 401"),
    (page(405), {}, True, "GET / answered 405"),
    (page(302, location="/debug/pprof/"), {}, False,
     "GET / answered 302 with a way to /metrics or /debug: an administrator's listener"),
    (page(301, location="http://h:1/metrics"), {}, False,
     "GET / answered 301 with a way to /metrics or /debug: an administrator's listener"),
    (page(200, b'<a href="/metrics">Metrics</a>'), {}, False,
     "GET / answered 200 with a way to /metrics or /debug: an administrator's listener"),
    (page(), {"health_elsewhere": True}, False, "the declared health URL is served by another listener"),
    (page(200), {"health_elsewhere": True}, True, "GET / answered 200"),
    (page(), {"port": 6060}, False, "port 6060 is the one of net/http/pprof's documentation"),
    (page(), {"local": True, "open_elsewhere": True}, False, "the service has another listener beyond loopback"),
    (page(), {"local": True}, None, "nothing tells a listener for debugging from one for the application"),
    (page(), {"open_elsewhere": True}, None, "nothing tells a listener for debugging from one for the application"),
])
def test_shared(root, named, expected, evidence):
    defaults = {"declared_pprof": False, "health_here": False, "health_elsewhere": False, "port": 8080, "local": False,
                "open_elsewhere": False}
    result, lines = pprof.shared(root, **{**defaults, **named})
    assert (result, lines[-1]) == (expected, evidence)


@pytest.mark.parametrize(("path", "answer", "seen"), [
    (INDEX, page(404, x_go_pprof="1"), True),
    (INDEX, page(200, b"<html><title>/debug/pprof/</title> Types of profiles available:"), True),
    (INDEX, page(200, b"<html><title>/debug/pprof/</title>Directory listing"), False),
    (INDEX, page(404, b"<html><title>/debug/pprof/</title> Types of profiles available:"), False),
    (INDEX, page(200, b"<p>how to read /debug/pprof/ profiles</p>"), False),
    (SYMBOL, page(200, b"num_symbols: 1\n"), True),
    (INDEX, page(200, b"num_symbols: 1\n"), False),
    (HEAP, page(200, b"\x1f\x8b", content_disposition='attachment; filename="heap"'), True),
    (INDEX, Answer(), False),
])
def test_pprof_evidence(path, answer, seen):
    assert bool(pprof.pprof_evidence(path, answer)) is seen


@pytest.mark.parametrize(("answer", "seen"), [
    (page(200, b'{\n"cmdline": ["api"],\n"memstats": {}\n}'), True),
    (page(200, b'{"memstats": {}}'), False),
    (page(200, b'["cmdline", "memstats"]'), False),
    (page(404, b'{"cmdline": [], "memstats": {}}'), False),
    (page(200, b'{"cmdline": []}'), False),
    (Answer(status=200, body=b'{"cmdline": ["x"], "jobs": {', truncated=True), True),
])
def test_expvar_evidence(answer, seen):
    assert bool(pprof.expvar_evidence(VARS, answer)) is seen


@given(st.lists(st.builds(Answer, status=st.none() | st.integers(100, 999), body=st.binary(max_size=80),
                          headers=st.dictionaries(st.sampled_from(sorted(httpprobe.HEADERS)), st.text(max_size=20)),
                          error=st.none() | st.sampled_from([httpprobe.CLOSED, httpprobe.TIMEOUT_KIND, httpprobe.TLS_EXPECTED,
                                                             httpprobe.HTTP2, httpprobe.TLS, "anything"]),
                          tls=st.booleans(), connected=st.booleans()), min_size=1, max_size=8))
def test_look_gives_a_value_for_any_answers(answers):
    asked_for = []

    def ask(scheme, path):
        asked_for.append(path)
        return answers[(len(asked_for) - 1) % len(answers)]

    found = pprof.look(ask, delta=True)
    assert len(asked_for) == found.requests <= 5
    assert found.pprof["served"] in (True, False, None) and found.expvar["served"] in (True, False, None)
    assert set(asked_for) <= ALLOWED
    json.dumps([found.pprof, found.expvar, found.error, found.state])


# --- health


def health(*declared, timeout=20.0):
    return pprof.health(Context(services=[{"name": f"s{number}", "health": url} for number, url in enumerate(declared)],
                                timeout=timeout))


@pytest.mark.parametrize(("raw", "ok", "status", "error"), [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True, 200, None),
    (b"HTTP/1.1 204 No Content\r\n\r\n", True, 204, None),
    (b"HTTP/1.1 302 Found\r\nLocation: http://u:p@h/login\r\n\r\n", False, 302, "answers 302: redirects to http://u:[redacted]@h/login"),
    (b"HTTP/1.1 401 Unauthorized\r\n\r\n", False, 401, "answers 401"),
    (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False, 503, "answers 503"),
    (b"HTTP/1.1 304 Not Modified\r\n\r\n", False, 304, "answers 304"),
    (b"+PONG\r\n", False, None, "does not speak HTTP: answered b'+PONG\\r\\n'"),
    (b"", False, None, "closed the connection without an answer"),
], ids=lambda value: value[9:12].decode() if isinstance(value, bytes) else "")
def test_health(raw, ok, status, error):
    with Server({"/healthz?full=1": raw}) as server:
        [entry] = health(f"http://127.0.0.1:{server.port}/healthz?full=1")
    assert (entry["service"], entry["ok"], entry["status"], entry["error"]) == ("s0", ok, status, error)
    assert entry["ms"] < 1000 and server.connections == 1


def test_health_of_a_stream_that_does_not_end(monkeypatch):
    monkeypatch.setattr(pprof, "HEALTH_TIMEOUT", 0.4)

    def stream(connection):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        hold(connection)

    with Server(stream) as server:
        [entry] = health(f"http://127.0.0.1:{server.port}/")
    assert (entry["ok"], entry["status"]) == (True, 200)


def test_health_that_hangs(monkeypatch):
    monkeypatch.setattr(pprof, "HEALTH_TIMEOUT", 0.4)
    with Server(hold) as server:
        [entry] = health(f"http://127.0.0.1:{server.port}/")
        assert (entry["ok"], entry["error"]) == (False, "did not answer within 0.4 s")
        # When it is our own time that ran out, nobody knows.
        [entry] = health(f"http://127.0.0.1:{server.port}/", timeout=0.6)
    assert entry["ok"] is None


def test_health_over_unix_tls_and_with_credentials(tmp_path):
    path = str(tmp_path / "s")
    ok = {"/live": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}
    with Server(ok, unix=path), Server(ok, tls=True) as secure, Server(ok) as plain:
        entries = health(f"unix://{path}:/live", f"https://127.0.0.1:{secure.port}/live",
                         f"http://probe:s3cret@127.0.0.1:{plain.port}/live")
    assert [entry["ok"] for entry in entries] == [True, True, True]
    assert b"\r\nAuthorization: Basic cHJvYmU6czNjcmV0\r\n" in plain.heads[0]
    assert "s3cret" not in json.dumps(entries)


@pytest.mark.parametrize(("error", "ok"), [
    (httpprobe.REFUSED, False), (httpprobe.TLS, False), (httpprobe.MISSING, False), (httpprobe.UNREACHABLE, False),
    (httpprobe.RESOLVE, None), (httpprobe.DENIED, None), (httpprobe.CLIENT_CERTIFICATE, None),
])
def test_health_that_could_not_be_asked_is_not_known(error, ok):
    assert pprof.healthy(Answer(error=error, detail="said so")) == (ok, "said so")


def test_health_of_nonsense_and_of_nothing():
    [entry] = health("nonsense")
    assert (entry["ok"], entry["error"]) == (None, "expected http://, https:// or unix:///, not 'nonsense'")
    assert pprof.health(Context(services=[{"name": "api"}])) == []


# --- what stands in front


def behind(listener, *, served=True, name="api"):
    return {"service": name, "pid": 1, "listener": {key: listener[key] for key in ("proto", "address", "port", "path")},
            "pprof": {"served": served, "status": 200, "path": INDEX, "evidence": []},
            "expvar": {"served": False, "status": 404, "evidence": []}}


def configured(tmp_path, text, *endpoints, files=()):
    """proxies() with this nginx.conf. A wildcard in front is asked on loopback, where the test's own server is."""
    for path, content in {"nginx.conf": text, **dict(files)}.items():
        target = tmp_path / "etc/nginx" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    context = Context(root=str(tmp_path), timeout=10.0)
    context.shared["pprof.endpoints"] = list(endpoints)
    return pprof.proxies(context), context


OURS = """
http {{ include /etc/nginx/conf.d/*.conf;
  server {{ listen 0.0.0.0:{port}; listen [::]:{port}; auth_basic pprof;
    location = /api/debug/pprof/ {{ allow 10.0.0.0/8; deny all; proxy_pass http://127.0.0.1:6060/debug/pprof/; }}
    location = /api/debug/pprof/heap {{ allow 192.0.2.0/24; deny all; proxy_pass http://127.0.0.1:6060/debug/pprof/heap; }} }} }}
"""


def test_a_proxy_is_asked_as_a_listener_is(tmp_path):
    asks = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=pprof\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with Server(lambda sock: (sock.recv(4096), sock.sendall(asks))) as server:
        [entry], context = configured(tmp_path, OURS.format(port=server.port), behind(tcp(6060)))
    assert {key: entry[key] for key in ("service", "program", "prefix", "allow", "scheme", "state", "authentication", "server_name")} == {
        "service": "api", "program": "nginx", "prefix": "/api", "allow": ["10.0.0.0/8", "192.0.2.0/24"], "scheme": "http",
        "state": "answered", "authentication": True, "server_name": ""}
    assert entry["listener"] == {"proto": "tcp", "address": "0.0.0.0", "port": server.port, "path": None}
    assert entry["backend"] == {"proto": "tcp", "address": "127.0.0.1", "port": 6060, "path": None}
    assert (entry["pprof"]["served"], entry["pprof"]["status"]) == (None, 401)
    assert (entry["file"], entry["line"]) == ("/etc/nginx/nginx.conf", 4) and context.errors == []


def test_a_site_that_publishes_pprof_is_found_out(tmp_path):
    """Everything of /: what the application itself serves, its debugging too. The server's name is asked for."""
    with Server(fixtures.answers("go1.27.3", "default")) as server:
        text = (f"http {{ upstream app {{ server localhost:6060; }} server {{ listen {server.port}; server_name shop.example.org _; "
                "location / { proxy_pass http://app; } } }")
        [entry], _context = configured(tmp_path, text, behind(tcp(6060)))
    assert (entry["pprof"]["served"], entry["pprof"]["path"], entry["allow"], entry["authentication"]) == (True, INDEX, None, False)
    assert b"\r\nHost: shop.example.org\r\n" in server.heads[0]


@pytest.mark.parametrize("text", [
    "http { server { listen 1; location / { proxy_pass http://127.0.0.1:6061; } } }",
    "http { server { listen 1; location / { proxy_pass http://10.0.0.9:6060; } } }",
    "http { server { listen 1; location /app/ { proxy_pass http://127.0.0.1:6060; } } }",
    "http { server { listen 1; location / { proxy_pass http://unix:/run/x.sock; } } }",
    "events { }",
])
def test_a_proxy_that_leads_elsewhere_is_none_and_not_asked(tmp_path, text):
    assert configured(tmp_path, text, behind(tcp(6060)))[0] == []


def test_a_listener_without_debugging_has_no_proxy(tmp_path):
    assert configured(tmp_path, OURS.format(port=1), behind(tcp(6060), served=False))[0] == []


def test_no_nginx_and_no_listeners(tmp_path):
    context = Context(root=str(tmp_path))
    context.shared["pprof.endpoints"] = []
    assert pprof.proxies(context) == []
    with pytest.raises(Unavailable, match="so what leads to them is not known"):
        pprof.proxies(Context(root=str(tmp_path)))


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    entries, context = configured(tmp_path, "http { include conf.d/*.conf; }", behind(tcp(6060)), files={"conf.d/a.conf": "server {"})
    assert entries == []
    assert context.errors == [{"part": "pprof.proxies", "kind": "exception",
                               "message": "not read: /etc/nginx/conf.d/a.conf: a block is not closed"}]


FILTER = [nftables.Guard(6060, ("api",), ("10.0.0.0/8", "2001:db8::/32"))]


class Kernel(Context):
    """A context whose nft answers with a recorded listing."""

    said = (0, "", "")

    def run(self, argv, **more):
        assert argv[1:] == ["-j", "list", "table", "inet", "goready_pprof"]
        return self.said


@pytest.fixture
def kernel(tmp_path):
    def with_table(said, *, file=None, linked=True):
        for path, text in ((nftables.FILE, nftables.render(FILTER if file is None else file)), (nftables.UNIT_FILE, "[Unit]\n")):
            target = tmp_path / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        if linked:
            target = tmp_path / nftables.LINK.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(nftables.UNIT_FILE)
        context = Kernel(root=str(tmp_path))
        context.said = said
        return pprof.firewall(context)

    return with_table


def rule(chain, protocol, name):
    return {"rule": {"chain": chain, "expr": [
        {"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "lo"}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 6060}},
        {"match": {"op": "!=", "left": {"payload": {"protocol": protocol, "field": "saddr"}}, "right": f"@{name}"}},
        {"counter": {"packets": 3, "bytes": 180}}, {"drop": None}]}}


LISTING = json.dumps({"nftables": [
    {"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "goready_pprof"}},
    {"set": {"name": "port_6060_v4", "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}]}},
    {"set": {"name": "port_6060_v6", "elem": [{"prefix": {"addr": "2001:db8::", "len": 32}}]}},
    {"chain": {"name": "local", "hook": "input"}}, rule("local", "ip", "port_6060_v4"), rule("local", "ip6", "port_6060_v6")]})
PORT = {"port": 6060, "allow": ["10.0.0.0/8", "2001:db8::/32"]}


def test_what_the_kernel_holds_to_and_whether_it_lasts(kernel):
    assert kernel((0, LISTING, "")) == {"present": True, "ports": [PORT], "lasting": True, "error": None}


def test_a_table_that_nothing_loads_at_boot_does_not_last(kernel):
    assert kernel((0, LISTING, ""), linked=False)["lasting"] is False


def test_a_file_that_says_something_else_does_not_last(kernel):
    assert kernel((0, LISTING, ""), file=[nftables.Guard(6060, ("api",), ("192.0.2.0/24",))])["lasting"] is False


@pytest.mark.parametrize(("said", "expected"), [
    ((1, "", "Error: No such file or directory\nlist table inet goready_pprof\n"),
     {"present": False, "ports": [], "lasting": False, "error": None}),
    ((1, "", "Operation not permitted (you must be root)\n"),
     {"present": None, "ports": [], "lasting": None, "error": "operation not permitted (you must be root)"}),
    ((0, "nonsense", ""),
     {"present": None, "ports": [], "lasting": None, "error": "Expecting value: line 1 column 1 (char 0)"}),
])
def test_a_table_that_is_gone_or_hidden(kernel, said, expected):
    assert kernel(said) == expected


def test_where_nobody_guards_nft_is_not_asked(tmp_path):
    context = Kernel(root=str(tmp_path))
    context.said = None
    assert pprof.firewall(context) == {"present": False, "ports": [], "lasting": None, "error": None}
