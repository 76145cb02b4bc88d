# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures" / "pprof"))

import pprof_fixtures as fixtures
import pytest
from pprof_fixtures import Server

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Answer
from ansible_collections.goready.preflight.plugins.plugin_utils import outside
from ansible_collections.goready.preflight.plugins.plugin_utils.outside import Path as Route

BANNER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"
DIRECT = Route(True, True, "127.0.0.2", "port 22 of 127.0.0.2 answers the controller directly", "127.0.0.2")


def endpoint(port=6060, address="0.0.0.0", *, proto="tcp", pprof=True, expvar=False, path="/debug/pprof/", **more):
    return {
        "service": "api", "pid": 1, "listener": {"proto": proto, "address": address, "port": port, "path": None},
        "declared": False, "container": None, "namespace": "host", "scheme": "http", "state": "answered",
        "pprof": {"served": pprof, "status": 200, "path": path if pprof else None, "evidence": []},
        "expvar": {"served": expvar, "status": 200, "evidence": []}, "authentication": False, "shared": None, "error": None,
        **more,
    }


def facts(*endpoints):
    return {"pprof": {"endpoints": list(endpoints)}}


def attempt(one, route=DIRECT, seconds=5.0):
    return outside.attempt(one, route, time.monotonic() + seconds)


# --- what is worth a try


@pytest.mark.parametrize(("one", "tried"), [
    (endpoint(), True),
    (endpoint(address="::"), True),
    (endpoint(address="10.0.0.5"), True),
    (endpoint(pprof=None, expvar=None), True),
    (endpoint(pprof=False, expvar=True), True),
    (endpoint(pprof=False, expvar=False), False),
    (endpoint(address="127.0.0.1"), False),
    (endpoint(address="::1"), False),
    (endpoint(proto="unix", port=None, address=None), False),
    (endpoint(namespace="other"), False),
    (endpoint(namespace=None), False),
])
def test_candidates(one, tried):
    assert outside.candidates(facts(one)) == ([one] if tried else [])


@pytest.mark.parametrize("given", [{}, {"pprof": None}, {"pprof": {}}, facts(endpoint(address="127.0.0.1"))])
def test_nothing_to_try_costs_nothing(monkeypatch, given):
    def must_not(*words, **named):
        raise AssertionError("it opened a connection or ran a command")

    monkeypatch.setattr(httpprobe, "connect", must_not)
    monkeypatch.setattr(subprocess, "run", must_not)
    assert outside.look(given, address="web1") == {
        "direct": None, "address": "web1", "endpoints": [],
        "reason": "no listener beyond loopback serves, or may serve, debug endpoints: there was nothing to try"}


# --- the path to the host


@pytest.fixture
def no_ssh_config(monkeypatch):
    """The machine that runs the tests has a configuration of its own, or no ssh at all."""
    monkeypatch.setattr(outside, "ssh_route", lambda address, port, args: (address, port, outside._proxy_of_words(args)))


@pytest.mark.parametrize(("connection", "address", "reason"), [
    ("local", "web1", "the controller is the host itself (or a tunnel's end); try from another machine"),
    ("podman", "web1", "the connection podman says nothing about a network path to the host"),
    ("ssh", "127.0.0.1", "the controller is the host itself (or a tunnel's end); try from another machine"),
    ("ssh", "[::1]", "the controller is the host itself (or a tunnel's end); try from another machine"),
])
def test_connections_without_a_path(no_ssh_config, connection, address, reason):
    result = outside.look(facts(endpoint()), address=address, connection=connection)
    assert (result["direct"], result["reason"]) == (None, reason)
    [entry] = result["endpoints"]
    assert (entry["state"], entry["open"], entry["pprof"], entry["expvar"], entry["error"]) == (None, None, None, None, reason)


def banner(connection, text=BANNER):
    connection.sendall(text)
    connection.recv(100)


def path_to(server, args="", address="127.0.0.2"):
    return outside.path_to(address, server.port, "ssh", args, time.monotonic() + 5)


@pytest.fixture
def far(monkeypatch, no_ssh_config):
    """127.0.0.2 stands for another machine: connections to it come from 127.0.0.1."""
    real = outside.ipaddress.ip_address

    class Address:
        is_loopback = False

    monkeypatch.setattr(outside.ipaddress, "ip_address", lambda text: Address() if text == "127.0.0.2" else real(text))


def test_ssh_that_answers_is_a_direct_path(far):
    with Server(banner, host="127.0.0.2") as server:
        reason = f"port {server.port} of 127.0.0.2 answers the controller directly"
        assert path_to(server) == Route(True, True, "127.0.0.2", reason, "127.0.0.2")


def test_lines_before_the_banner(far):
    with Server(lambda connection: banner(connection, b"Welcome\r\n" + BANNER), host="127.0.0.2") as server:
        assert path_to(server).direct is True


@pytest.mark.parametrize(("serve", "detail"), [
    (lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "it closed the connection"),
    (lambda connection: None, "it closed the connection"),
    (lambda connection: connection.recv(10), "no banner in time"),
    (lambda connection: banner(connection, b"x" * 5000), "it says something else than SSH"),
    (lambda connection: banner(connection, b"error: no SSH-server here\r\n"), "it says something else than SSH"),
])
def test_what_is_no_ssh_is_no_direct_path(far, monkeypatch, serve, detail):
    monkeypatch.setattr(outside, "BANNER_TIMEOUT", 0.4)
    with Server(serve, host="127.0.0.2") as server:
        route = path_to(server)
    assert (route.direct, route.tries) == (False, False)
    assert route.reason == f"port {server.port} of 127.0.0.2 does not answer the controller with SSH ({detail}): no direct path"


def test_no_ssh_at_all(far):
    with Server(banner, host="127.0.0.2") as server:
        pass
    route = path_to(server, "-o ProxyJump=bastion.example.org")
    assert (route.direct, route.tries) == (False, False)
    assert route.reason.endswith("(connection refused), and SSH goes through ProxyJump bastion.example.org: no direct path")


def test_a_firewall_in_front_of_ssh(far, monkeypatch):
    monkeypatch.setattr(outside, "BANNER_TIMEOUT", 0.3)
    listener, fillers = fixtures.backlogged()
    with listener:
        route = outside.path_to("127.0.0.2", listener.getsockname()[1], "ssh", "", time.monotonic() + 5)
    assert route.direct is False and fillers


def test_a_proxy_makes_a_direct_answer_doubtful(far):
    with Server(banner, host="127.0.0.2") as server:
        route = path_to(server, "-o ProxyCommand='ssh -W %h:%p bastion'")
    assert (route.direct, route.tries, route.peer) == (None, True, "127.0.0.2")
    assert route.reason == (f"SSH goes through ProxyCommand ssh, though port {server.port} of 127.0.0.2 answers directly: "
                            "it may be another machine")


def test_an_address_of_the_controller_itself(far, monkeypatch):
    monkeypatch.setattr(outside, "ssh_route", lambda address, port, args: ("localhost", port, ""))
    with Server(banner) as server:
        route = path_to(server, address="web1")
    assert (route.direct, route.tries, route.reason) == (None, False, outside.HOST_ITSELF)


@pytest.mark.parametrize(("args", "proxy"), [
    ("", ""),
    ("-C -o ControlMaster=auto -o ControlPersist=60s", ""),
    ("-o ProxyJump=bastion", "ProxyJump bastion"),
    ("-oProxyCommand='nc %h %p'", "ProxyCommand nc"),
    ("-o proxycommand=\"ssh -W %h:%p b\"", "proxycommand ssh"),
    ("-J user@bastion:2222", "ProxyJump user@bastion:2222"),
    ("-C -Jbastion", "ProxyJump bastion"),
    ("-o ProxyCommand=none", ""),
])
def test_proxy_of_the_arguments(args, proxy):
    assert outside._proxy_of_words(args) == proxy


# What `ssh -G web1` prints (OpenSSH 9.2), shortened.
CONFIG = "host web1\nuser deploy\nhostname 10.0.0.5\nport 2222\naddressfamily any\nproxyjump bastion.example.org\n"


@pytest.mark.parametrize(("printed", "rc", "port", "expected"), [
    (CONFIG, 0, 22, ("10.0.0.5", 2222, "ProxyJump bastion.example.org")),
    (CONFIG, 0, 2200, ("10.0.0.5", 2200, "ProxyJump bastion.example.org")),
    ("hostname web1\nport 22\n", 0, 22, ("web1", 22, "")),
    ("hostname web1\nport 22\nproxycommand none\n", 0, 22, ("web1", 22, "")),
    ("hostname web1\nproxycommand /usr/bin/nc -X 5 %h %p\n", 0, 22, ("web1", 22, "ProxyCommand /usr/bin/nc")),
    ("Bad configuration option", 255, 22, ("web1", 22, "")),
    ("", 0, 22, ("web1", 22, "")),
])
def test_ssh_route(monkeypatch, printed, rc, port, expected):
    commands = []

    def run(command, **named):
        commands.append(command)
        assert named["timeout"] <= 2 and named["stdin"] == subprocess.DEVNULL
        return subprocess.CompletedProcess(command, rc, printed, "")

    monkeypatch.setattr(subprocess, "run", run)
    assert outside.ssh_route("web1", port, "-C -o ControlPersist=60s") == expected
    assert commands == [["ssh", "-G", "-C", "-o", "ControlPersist=60s", "--", "web1"]]


@pytest.mark.parametrize("failure", [FileNotFoundError("ssh"), subprocess.TimeoutExpired("ssh", 2)])
def test_ssh_route_without_ssh(monkeypatch, failure):
    def run(command, **named):
        raise failure

    monkeypatch.setattr(subprocess, "run", run)
    assert outside.ssh_route("web1", 22, "-J b 'unbalanced") == ("web1", 22, "ProxyJump b")


# --- one try


def test_pprof_is_really_seen():
    with Server(fixtures.answers("go1.27.3", "default"), host="127.0.0.2") as server:
        entry = attempt(endpoint(server.port, expvar=True))
    assert (entry["state"], entry["open"], entry["pprof"], entry["expvar"], entry["status"]) == ("open", True, True, True, 200)
    assert (entry["address"], entry["port"], entry["error"]) == ("127.0.0.2", server.port, None)
    assert server.requests == ["GET /debug/pprof/ HTTP/1.1", "GET /debug/vars HTTP/1.1"]


def test_the_path_that_proved_it_on_the_host_is_asked():
    with Server(fixtures.answers("go1.27.3", "prefix"), host="127.0.0.2") as server:
        entry = attempt(endpoint(server.port, path="/admin/debug/pprof/"))
    assert entry["pprof"] is True and server.requests == ["GET /admin/debug/pprof/ HTTP/1.1"]


@pytest.mark.parametrize(("variant", "pprof", "expvar", "status"), [
    ("own", True, False, 200), ("expvar", False, True, 404), ("auth", False, False, 401), ("forbidden", False, False, 403),
    ("clean", False, False, 404), ("gateway", None, None, 502), ("greets", False, False, None),
])
def test_what_was_not_known_on_the_host(variant, pprof, expvar, status):
    with Server(fixtures.answers("go1.27.3", variant), host="127.0.0.2") as server:
        entry = attempt(endpoint(server.port, pprof=None, expvar=None, scheme=None))
    assert (entry["state"], entry["pprof"], entry["expvar"], entry["status"]) == ("open", pprof, expvar, status)
    assert all(line.startswith("GET ") for line in server.requests) and server.connections <= 4


def test_open_and_refused_by_an_allow_list():
    with Server(fixtures.answers("go1.27.3", "clean"), host="127.0.0.2") as server:
        entry = attempt(endpoint(server.port))
    assert (entry["open"], entry["pprof"], entry["status"]) == (True, False, 404)
    assert entry["evidence"] == ["GET /debug/pprof/ answered 404"]


def test_closed():
    with Server(fixtures.answers("go1.27.3", "own"), host="127.0.0.2") as server:
        pass
    entry = attempt(endpoint(server.port))
    assert (entry["state"], entry["open"], entry["pprof"], entry["error"]) == ("closed", False, None, "connection refused")


def test_filtered_is_tried_twice(monkeypatch):
    monkeypatch.setattr(httpprobe, "TIMEOUT", 0.2)
    listener, fillers = fixtures.backlogged()
    with listener:
        started = time.monotonic()
        entry = attempt(endpoint(listener.getsockname()[1], "127.0.0.1"), Route(True, True, "127.0.0.1", "", "127.0.0.1"))
        took = time.monotonic() - started
    assert (entry["state"], entry["open"], entry["error"]) == ("filtered", False, "no connection within 0.2 s") and fillers
    assert 0.35 < took < 1


@pytest.mark.parametrize(("answer", "state"), [
    (Answer(connected=True), "open"),
    (Answer(error=httpprobe.REFUSED), "closed"),
    (Answer(error=httpprobe.TIMEOUT_KIND), "filtered"),
    (Answer(error=httpprobe.UNREACHABLE, errno=errno.EHOSTUNREACH), "filtered"),
    (Answer(error=httpprobe.UNREACHABLE, errno=errno.ENETUNREACH), None),
    (Answer(error=httpprobe.RESOLVE), None),
])
def test_states(answer, state):
    assert outside._state(answer) == state


DOUBTS = [
    (Route(None, True, "127.0.0.2", "SSH goes through a bastion", "127.0.0.2"), "0.0.0.0", "SSH goes through a bastion"),
    (Route(True, True, "web1", "direct", "10.0.0.9"), "127.0.0.2",
     "the controller's path is to web1, others may have one to 127.0.0.2"),
]


@pytest.mark.parametrize(("route", "listened", "doubt"), DOUBTS)
def test_in_doubt_a_no_proves_nothing(route, listened, doubt):
    with Server(fixtures.answers("go1.27.3", "clean"), host="127.0.0.2") as server:
        answered = attempt(endpoint(server.port, listened), route)
    closed = attempt(endpoint(server.port, listened), route)
    assert (answered["state"], answered["pprof"], answered["error"]) == ("open", None, doubt)
    assert (closed["state"], closed["open"], closed["error"]) == (None, None, f"connection refused; {doubt}")


@pytest.mark.parametrize(("route", "listened", "doubt"), DOUBTS)
def test_in_doubt_a_yes_counts(route, listened, doubt):
    with Server(fixtures.answers("go1.27.3", "own"), host="127.0.0.2") as server:
        entry = attempt(endpoint(server.port, listened), route)
    assert (entry["pprof"], entry["error"]) == (True, None)


@pytest.mark.parametrize(("listened", "route", "doubt"), [
    ("0.0.0.0", Route(True, True, "web1", "", "fd00::5"), "it listens on IPv4 only, and the controller's path is to fd00::5"),
    ("0.0.0.0", Route(True, True, "web1", "", "10.0.0.5"), ""),
    ("::", Route(True, True, "web1", "", "fd00::5"), ""),
    ("10.0.0.5", Route(True, True, "web1", "", "10.0.0.5"), ""),
    ("10.0.0.5", Route(True, True, "10.0.0.5", "", "10.0.0.5"), ""),
])
def test_doubt(listened, route, doubt):
    assert outside._doubt(listened, listened not in ("0.0.0.0", "::"), route) == doubt


def test_look_as_a_whole(far):
    """SSH and three services of one machine, over one call: one open, one closed, one behind a password."""
    with Server(banner, host="127.0.0.2") as ssh, Server(fixtures.answers("go1.27.3", "own"), host="127.0.0.2") as own, \
            Server(fixtures.answers("go1.27.3", "auth"), host="127.0.0.2") as auth:
        with Server(banner, host="127.0.0.2") as gone:
            pass
        result = outside.look(facts(endpoint(own.port), endpoint(gone.port), endpoint(auth.port, pprof=None, expvar=None),
                                    endpoint(1, "127.0.0.1")), address="127.0.0.2", ssh_port=ssh.port)
    assert result["direct"] is True
    assert [(entry["port"], entry["state"], entry["pprof"]) for entry in result["endpoints"]] == [
        (own.port, "open", True), (gone.port, "closed", None), (auth.port, "open", False)]


def test_the_time_for_everything_is_bounded(far, monkeypatch):
    monkeypatch.setattr(outside, "BANNER_TIMEOUT", 0.3)

    def hold(connection):
        while connection.recv(1000):
            pass

    with Server(banner, host="127.0.0.2") as ssh, Server(hold, host="127.0.0.2") as silent:
        started = time.monotonic()
        result = outside.look(facts(*(endpoint(silent.port) for unused in range(40))), address="127.0.0.2", ssh_port=ssh.port,
                              timeout=0.6)
        took = time.monotonic() - started
    assert took < 1.6 and len(result["endpoints"]) == 40
    assert result["endpoints"][-1]["error"] == "not reached in time" and result["endpoints"][-1]["open"] is None
