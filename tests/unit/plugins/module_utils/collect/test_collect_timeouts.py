# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset timeouts, against sockets of the test's own."""
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe
from ansible_collections.goready.preflight.plugins.module_utils.collect import timeouts
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, gather

HEADS = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"


class Server:
    """Answers each connection as ``behave`` does, and keeps what it was sent."""

    def __init__(self, behave: Callable[[socket.socket, bytes], None]) -> None:
        self.behave = behave
        self.heard: list[bytes] = []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client:
            data = client.recv(4096)
            self.heard.append(data)
            self.behave(client, data)


@contextmanager
def server(behave: Callable[[socket.socket, bytes], None]) -> Iterator[Server]:
    one = Server(behave)
    try:
        yield one
    finally:
        one.sock.close()


def patient(client: socket.socket, data: bytes) -> None:
    """Waits as long as the client."""
    client.recv(1)


def impatient(client: socket.socket, data: bytes) -> None:
    time.sleep(0.6)
    client.sendall(HEADS)


def rude(client: socket.socket, data: bytes) -> None:
    """Resets the connection."""
    time.sleep(0.6)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def unread(client: socket.socket, data: bytes) -> None:
    """Answers a whole head at once, and never minds the body."""
    if data.endswith(b"{"):
        client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
    else:
        client.recv(1)


def ask(*urls: str, budget: float = 8.0) -> list[dict[str, Any]]:
    context = Context(active={"budget": budget, "network": {"server_timeouts": list(urls), "timeout": 1}})
    found = gather({"timeouts": timeouts.PARTS}, context)
    assert found["errors"] == []
    listeners: list[dict[str, Any]] = found["timeouts"]["listeners"]
    return listeners


@pytest.mark.parametrize(("behave", "headers", "body"), [
    pytest.param(patient, (None, None), (None, None), id="no timeout"),
    pytest.param(impatient, (0.6, 408), (0.6, 408), id="both"),
    pytest.param(rude, (0.6, None), (0.6, None), id="reset"),
    pytest.param(unread, (None, None), (0.0, 405), id="the body is not read"),
])
def test_how_a_server_ends_it(behave: Callable[[socket.socket, bytes], None], headers: tuple[Any, Any], body: tuple[Any, Any]) -> None:
    with server(behave) as one:
        (entry,) = ask(one.url)
    assert (entry["url"], entry["error"]) == (one.url, None)
    for key, (closed, status) in (("headers", headers), ("body", body)):
        part = entry[key]
        assert part["error"] is None
        assert part["status"] == status
        if closed is None:
            assert part["closed_after"] is None
            assert 1.5 <= part["waited"] <= 3.5
        else:
            assert closed <= part["closed_after"] <= closed + 0.4
    assert len(one.heard) == 2


def endless(client: socket.socket, data: bytes) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        while True:
            client.sendall(bytes(1 << 20))
    except OSError:
        pass


def test_an_answer_without_end_keeps_no_processor_busy() -> None:
    with server(endless) as one:
        begun = time.process_time()
        (entry,) = ask(one.url)
        used = time.process_time() - begun
    assert (entry["headers"]["closed_after"], entry["headers"]["status"]) == (None, 200)
    assert used < 0.3 * entry["headers"]["waited"]


def test_what_is_sent() -> None:
    target = httpprobe.parse_url("http://user:secret@127.0.0.1:8080/health?deep=1")
    assert timeouts.head(target) == (b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: goready-preflight\r\n"
                                     b"X-Preflight: slow")
    assert timeouts.body(target).endswith(b"Content-Length: 1024\r\nConnection: close\r\n\r\n{")
    assert b"secret" not in timeouts.head(target) + timeouts.body(target)


def test_two_urls_of_one_listener_are_asked_once() -> None:
    with server(impatient) as one:
        first, second = ask(one.url + "/a", one.url + "/b")
    assert [first["url"], second["url"]] == [one.url + "/a", one.url + "/b"]
    assert first["headers"] == second["headers"]
    assert len(one.heard) == 2


def test_a_port_where_nobody_listens_does_not_hide_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with server(impatient) as one:
        dead, alive, wrong = ask(f"http://u:p4ss@127.0.0.1:{port}/", one.url, "gopher://127.0.0.1/")
    assert dead["error"] == {"kind": "refused", "message": "connection refused"}
    assert "p4ss" not in str(dead)
    assert alive["headers"]["status"] == 408
    assert wrong["error"]["kind"] == "url"


def test_a_tls_server_of_plain_text_is_an_error() -> None:
    with server(lambda client, data: client.sendall(b"what?")) as one:
        (entry,) = ask(one.url.replace("http:", "https:"))
    assert entry["error"]["kind"] == "tls"


def test_nothing_is_asked_where_the_budget_is_used_up() -> None:
    with server(patient) as one:
        (entry,) = ask(one.url, budget=0.5)
    assert one.heard == []
    assert entry == {"url": one.url, "headers": None, "body": None,
                     "error": {"kind": "budget", "message": "the budget of 0.5 s (preflight_budget) was used up"}}


def test_nobody_is_asked_unasked() -> None:
    assert ask() == []


@pytest.mark.parametrize(("said", "status"), [
    (b"HTTP/1.1 408 Request Timeout\r\n", 408), (b"HTTP/1.0 200\r\n", 200), (b"HTTP/1.1 99 x\r\n", None), (b"HTTP/2 200\r\n", None),
    (b"", None), (b"\x15\x03\x03\x00\x02\x02F", None),
])
def test_status(said: bytes, status: int | None) -> None:
    assert timeouts.status_of(said) == status
