# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Against real sockets on loopback; what a unit listens on is seen on a real host in molecule/pprof_guard."""
from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import listening
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Target
from ansible_collections.goready.preflight.plugins.module_utils.procfs import Listener

Answer = tuple[int, dict[str, str], bytes]
# What net/http/pprof answers (Go 1.27).
INDEX = (200, {"Content-Type": "text/html"}, b"<title>/debug/pprof/</title> Types of profiles available: profiles")


@contextlib.contextmanager
def server(answers: dict[str, Answer]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers.get(self.path, (404, {}, b"404 page not found\n"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        thread = threading.Thread(target=one.serve_forever, daemon=True)
        thread.start()
        yield one.server_address[1]
        one.shutdown()


@pytest.mark.parametrize("answers, evidence", [
    pytest.param({}, [], id="pprof-alone"),
    pytest.param({"/": (302, {"Location": "/debug/pprof/"}, b"")}, [], id="way-to-debug"),
    pytest.param({"/": (200, {}, b'<a href="/debug/pprof/">pprof</a>')}, [], id="index-of-debugging"),
    pytest.param({"/": (401, {}, b"")}, [], id="asks-for-credentials"),
    pytest.param({"/": (200, {}, b"hello")}, ["GET / answered 200"], id="application"),
    pytest.param({"/": (302, {"Location": "/login"}, b"")}, ["GET / answered 302"], id="login"),
    pytest.param({"/metrics": (200, {}, b"go_goroutines 7\n")}, ["GET /metrics answered 200"], id="metrics"),
    pytest.param({"/": (200, {}, b'<a href="/metrics">m</a><a href="/debug/pprof/">p</a>'), "/metrics": (200, {}, b"")},
                 ["GET / answered 200", "GET /metrics answered 200"], id="landing-page"),
    pytest.param({"/healthz": (204, {}, b"")}, ["GET /healthz answered 204"], id="health"),
])
def test_serves_more(answers, evidence):
    with server({"/debug/pprof/": INDEX, **answers}) as port:
        assert listening.serves_more(port, []) == evidence


def test_a_declared_url_at_the_port_is_evidence_enough():
    assert listening.serves_more(8080, ["http://127.0.0.1:8080/healthz", "http://127.0.0.1:9090/metrics", "unix:///run/a.sock"]) == [
        "http://127.0.0.1:8080/healthz is declared at this port"]
    assert listening.serves_more(8080, ["http://u:hunter2@127.0.0.1:8080/healthz?token=hunter2"]) == [
        "http://u:[redacted]@127.0.0.1:8080/healthz?token=[redacted] is declared at this port"]


def test_what_is_no_http_is_something_else():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        def greet() -> None:
            connection, _address = sock.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        assert listening.serves_more(sock.getsockname()[1], []) == ["it does not speak HTTP: answered b'SSH-2.0-OpenSSH_'"]
        thread.join()


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    assert listening.on_port(port) == []
    assert listening.serves_more(port, []) == []


def test_on_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert [(one.proto, one.address, one.port) for one in listening.on_port(port)] == [("tcp", "127.0.0.1", port)]


def test_serves_pprof():
    with server({"/debug/pprof/": INDEX}) as port:
        assert listening.serves_pprof(Target(host="127.0.0.1", port=port), timeout=5.0).pprof["served"] is True
    with server({}) as port:
        assert listening.serves_pprof(Target(host="127.0.0.1", port=port), timeout=5.0).pprof["served"] is False


# As /proc prints them (Linux 6.18, little-endian): 127.0.0.1:6060 with inode 501, [::]:8080 with 502, and one of somebody else.
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:17AC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  999        0 501 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000    0        0 600 1 0 100 0 0 10 0
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 999 0 502 1 0
"""
UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 503 /run/api/pprof.sock
"""


def process(root: Path, pid: int, cgroup: str, inodes: list[int]) -> None:
    folder = root / "proc" / str(pid)
    for name in ("fd", "ns", "net"):
        (folder / name).mkdir(parents=True)
    (folder / "cgroup").write_text(f"0::{cgroup}\n")
    (folder / "ns/net").symlink_to("net:[4026531840]")
    for number, inode in enumerate(inodes):
        (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
    for name, text in (("tcp", TCP), ("tcp6", TCP6), ("unix", UNIX)):
        (folder / "net" / name).write_text(text)


def test_of_unit(tmp_path):
    process(tmp_path, 10, "/system.slice/api.service", [501])
    process(tmp_path, 11, "/system.slice/api.service/worker", [502, 503])
    process(tmp_path, 12, "/system.slice/ssh.service", [600])
    process(tmp_path, 13, "/user.slice/user-1000.slice/user@1000.service/app.slice/api.service", [600])
    os.symlink("10", tmp_path / "proc/self")
    found = listening.of_unit("api.service", root=str(tmp_path))
    assert [listening.shown(one) for one in found] == ["127.0.0.1:6060", "*:8080", "unix:/run/api/pprof.sock"]
    assert listening.of_unit("other.service", root=str(tmp_path)) == []


@pytest.mark.parametrize("address, found", [
    ("0.0.0.0", ["127.0.0.1"]), ("::", ["::1", "127.0.0.1"]), ("10.0.0.5", ["10.0.0.5"]),
])
def test_hosts(address, found):
    assert listening.hosts([Listener("tcp", address, 6060, None, 1)] * 2) == found


@pytest.mark.parametrize("listener, text", [
    (Listener("tcp6", "::", 6060, None, 1), "*:6060"), (Listener("tcp6", "fd00::1", 6060, None, 1), "[fd00::1]:6060"),
    (Listener("unix", None, None, "@api", 1), "unix:@api"),
])
def test_shown(listener, text):
    assert listening.shown(listener) == text
