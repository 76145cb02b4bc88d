# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures" / "pprof"))

import pprof_fixtures as fixtures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pprof_fixtures import Server

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Response, Target

INDEX = "/debug/pprof/"


@pytest.mark.parametrize(("url", "expected"), [
    ("http://127.0.0.1:6060", Target(host="127.0.0.1", port=6060)),
    ("http://127.0.0.1:6060/", Target(host="127.0.0.1", port=6060)),
    ("HTTPS://api.example.org/healthz?full=1#x", Target("https", "api.example.org", 443, path="/healthz?full=1")),
    ("http://api?x=1", Target(host="api", port=80, path="/?x=1")),
    ("http://[::1]:8080/h", Target(host="::1", port=8080, path="/h")),
    ("http://[fe80::1%eth0]", Target(host="fe80::1%eth0", port=80)),
    ("http://u:p%40ss%zz@h:1/", Target(host="h", port=1, authorization="Basic dTpwQHNzJXp6")),
    ("unix:///run/api.sock", Target(unix="/run/api.sock")),
    ("unix:///run/api.sock:/healthz", Target(unix="/run/api.sock", path="/healthz")),
    ("unix://@api", Target(unix="@api")),
], ids=lambda value: value if isinstance(value, str) else "")
def test_parse_url(url, expected):
    assert httpprobe.parse_url(url) == expected


@pytest.mark.parametrize(("url", "message"), [
    ("", "expected http://, https:// or unix:///, not ''"),
    ("ftp://h", "expected http://, https:// or unix:///, not 'ftp://h'"),
    ("127.0.0.1:80", "expected http://, https:// or unix:///, not '127.0.0.1:80'"),
    ("htp://bob:hunter22@h", "expected http://, https:// or unix:///, not 'htp://bob:[redacted]@h'"),
    ("bob:hunter22@h", "expected http://, https:// or unix:///, not '...'"),
    ("http://bob:hunter22/x@h", "'...' is not a port number from 1 to 65535"),
    ("http://", "'http://' names no host"),
    ("http://user:secret@:80/", "':80/' names no host"),
    ("http://h:99999", "'99999' is not a port number from 1 to 65535"),
    ("http://h:0", "'0' is not a port number from 1 to 65535"),
    ("http://h:\u0663", "'\u0663' is not a port number from 1 to 65535"),
    ("http://[::1", "'[::1' is not an IPv6 address in brackets"),
    ("http://[::1]x", "'[::1]x' is not an IPv6 address in brackets"),
    ("unix://run/api.sock", "'unix://run/api.sock' names no absolute socket path"),
    ("http://h/\r\nX: y", "a URL has no spaces or control characters"),
])
def test_parse_url_says_what_is_wrong(url, message):
    with pytest.raises(ValueError) as caught:
        httpprobe.parse_url(url)
    assert str(caught.value) == message


@given(st.text() | st.from_regex(r"(http|https|unix)://[^\s]*", fullmatch=True))
def test_any_text_is_a_url_or_a_value_error(text):
    try:
        target = httpprobe.parse_url(text)
    except ValueError:
        return
    assert target.unix or (target.host and 0 < target.port < 65536)
    assert target.path.startswith("/")
    assert target.authority and target.label


@pytest.mark.parametrize(("target", "authority", "label"), [
    (Target(host="127.0.0.1", port=6060), "127.0.0.1:6060", "http://127.0.0.1:6060"),
    (Target(host="h", port=80), "h", "http://h"),
    (Target("https", "h", 443), "h", "https://h"),
    (Target("https", "fe80::1%eth0", 80), "[fe80::1]:80", "https://[fe80::1]:80"),
    (Target(unix="/run/x"), "localhost", "unix:///run/x"),
])
def test_authority(target, authority, label):
    assert (target.authority, target.label) == (authority, label)


def test_request_is_one_get_without_credentials():
    assert httpprobe.request(Target(host="127.0.0.1", port=6060), "/debug/vars") == (
        b"GET /debug/vars HTTP/1.1\r\nHost: 127.0.0.1:6060\r\nUser-Agent: goready-preflight\r\nAccept: */*\r\n"
        b"Connection: close\r\n\r\n")


def test_declared_credentials_are_sent_and_not_shown():
    target = httpprobe.parse_url("http://u:p@h/")
    assert b"\r\nAuthorization: Basic dTpw\r\n" in httpprobe.request(target, "/")
    assert "dTpw" not in repr(target) and "dTpw" not in target.label


@pytest.mark.parametrize("path", ["", "x", "/a b", "/\r\nX: y", "/\u00e9", "/\x00"])
def test_a_path_cannot_smuggle_a_line(path):
    with pytest.raises(ValueError, match="is not a request path"):
        httpprobe.request(Target(host="h", port=80), path)


RESPONSES = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nSet-Cookie: secret\r\n\r\nhello, world",
               200, {"content-length": "5", "content-type": "text/plain"}, b"hello", False),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, {}, b"", False),
    "length 0": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, {"content-length": "0"}, b"", False),
    "bare newlines": (b"HTTP/1.0 200\nContent-Length: 2\n\nok", 200, {"content-length": "2"}, b"ok", False),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n",
                200, {"transfer-encoding": "Chunked"}, b"hello!", False),
    "interim": (b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                200, {"content-length": "1"}, b"x", False),
    "cut by length": (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n12345678901234567890", 200, {"content-length": "20"},
                      b"1234567890", True),
    "cut in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n90123456\r\n0\r\n\r\n",
                      200, {"transfer-encoding": "chunked"}, b"1234567890", True),
    "exactly the limit": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890", 200, {"content-length": "10"},
                          b"1234567890", False),
    "first header wins": (b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nno colon\r\nContent-Length: 0\r\n\r\n",
                          302, {"location": "/a", "content-length": "0"}, b"", False),
    "switching": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello", 101, {}, b"", False),
}


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("step", [1, 3, 1 << 20])
def test_response(name, step):
    raw, status, headers, body, truncated = RESPONSES[name]
    response = Response(limit=10)
    for start in range(0, len(raw), step):
        if response.feed(raw[start:start + step]):
            break
    assert (response.status, response.headers, bytes(response.body), response.truncated, response.complete) == (
        status, headers, body, truncated, True)


def test_a_body_without_length_ends_with_the_connection():
    response = Response()
    assert not response.feed(b"HTTP/1.1 200 OK\r\n\r\nhello")
    response.finish()
    assert bytes(response.body) == b"hello" and response.complete and not response.truncated


@pytest.mark.parametrize(("raw", "message"), [
    (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP/1.x response: begins with b'SSH-2.0-OpenSSH_'"),
    (b"HTTP/2 200\r\n\r\n", "not an HTTP/1.x response: begins with b'HTTP/2 200\\r\\n\\r\\n'"),
    (b"HTTP/1.1 OK\r\n\r\n", "not an HTTP/1.x status line: b'HTTP/1.1 OK'"),
    (b"HTTP/1.1 099 Low\r\n\r\n", "not an HTTP status: 99"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 6000, "the response's head is longer than 32768 bytes"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "b'zz' is not a chunk's size"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "b'-1' is not a chunk's size"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000, "a chunk's size line is longer than 1024 bytes"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "a chunk does not end where its size says"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 50000, "informational responses without end"),
])
def test_response_says_what_is_wrong(raw, message):
    with pytest.raises(ValueError) as caught:
        Response().feed(raw)
    assert str(caught.value) == message


@pytest.mark.parametrize(("raw", "message"), [
    (b"", "the connection ended without a response"),
    (b"HTTP/1.1 200", "the connection ended inside the response's head"),
    (b"HTTP/1.1 100 Continue\r\n\r\n", "the connection ended inside the response's head"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", "the connection ended inside the response's body"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "the connection ended inside the response's body"),
])
def test_an_early_end_is_told(raw, message):
    response = Response()
    response.feed(raw)
    with pytest.raises(ValueError) as caught:
        response.finish()
    assert str(caught.value) == message


HEADS = st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n",
                         b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
                         b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])


@given(HEADS, st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=60))
def test_any_bytes_are_a_response_or_a_value_error(head, data, cuts):
    """In any pieces, with bounded memory, and with the same end as in one piece."""
    raw = head + data

    def parse(pieces):
        response = Response(limit=64)
        try:
            for piece in pieces:
                response.feed(piece)
            response.finish()
        except ValueError as exc:
            # A message quotes what had come: the state is what has to agree.
            return type(exc), response.status, bytes(response.body)
        assert response.status is not None and 100 <= response.status <= 999
        assert len(response.body) <= 64
        return response.status, response.headers, bytes(response.body), response.truncated

    pieces, start = [], 0
    for cut in cuts:
        pieces.append(raw[start:start + cut])
        start += cut
    assert parse([*pieces, raw[start:]]) == parse([raw])


@given(st.binary(max_size=500), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_any_body_survives_chunking(body, sizes):
    encoded, start, number = b"", 0, 0
    while start < len(body):
        piece = body[start:start + sizes[number % len(sizes)]]
        encoded += b"%x\r\n%s\r\n" % (len(piece), piece)
        start, number = start + len(piece), number + 1
    response = Response()
    assert response.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + encoded + b"0\r\n\r\n")
    assert bytes(response.body) == body and not response.truncated


def test_memory_and_time_are_bounded_whatever_comes():
    """64 MiB in chunks of one byte with long extensions: the parser gives up long before."""
    response = Response()
    piece = b"1;" + b"x" * 1000 + b"\r\na\r\n"
    fed = response.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    started, count = time.monotonic(), 0
    while not fed:
        fed = response.feed(piece)
        count += 1
        assert count < 2000
    assert response.truncated and len(response.body) < 2000 and time.monotonic() - started < 1


@pytest.mark.parametrize(("data", "kind"), [
    (b"HTTP/1.1 200", None),
    (b"HT", None),
    (b"\x15\x03\x01\x00\x02\x02\x0a", httpprobe.TLS_EXPECTED),
    (b"\x15", None),
    (b"\x16\x03\x03\x00\x50", httpprobe.TLS_EXPECTED),
    (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00", httpprobe.HTTP2),  # SETTINGS MAX_FRAME_SIZE (grpc-go)
    (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", httpprobe.HTTP2),
    (b"\x00\x00\x05\x04\x00\x00\x00\x00\x00", httpprobe.NOT_HTTP),
    (b"\x00\x00", None),
    (b"-ERR unknown", httpprobe.NOT_HTTP),
    (b"SSH-2.0", httpprobe.NOT_HTTP),
])
def test_greeting(data, kind):
    assert httpprobe.greeting(data) == kind


@given(st.binary(max_size=40))
def test_any_greeting_is_a_kind_or_none(data):
    assert httpprobe.greeting(data) in (None, httpprobe.TLS_EXPECTED, httpprobe.HTTP2, httpprobe.NOT_HTTP)


def get(server, path=INDEX, *, scheme="http", timeout=1.0, **options):
    return httpprobe.get(Target(scheme=scheme, host="127.0.0.1", port=server.port), path, timeout=timeout, **options)


@pytest.mark.parametrize("tls", [False, True])
def test_get(tls):
    with Server(fixtures.answers("go1.27.3", "own"), tls=tls) as server:
        answer = get(server, scheme="https" if tls else "http", timeout=5)
    assert (answer.status, answer.error, answer.tls, answer.connected, answer.peer) == (200, None, tls, True, "127.0.0.1")
    assert b"<title>/debug/pprof/</title>" in answer.body
    assert server.requests == ["GET /debug/pprof/ HTTP/1.1"]


def test_get_of_ipv6():
    with Server(fixtures.answers("go1.27.3", "own"), host="::1") as server:
        answer = httpprobe.get(Target(host="::1", port=server.port), INDEX)
    assert answer.status == 200 and b"\r\nHost: [::1]:%d\r\n" % server.port in server.heads[0]


def test_get_of_a_unix_socket(tmp_path):
    with Server(fixtures.answers("go1.27.3", "own"), unix=str(tmp_path / "s")) as server:
        answer = httpprobe.get(Target(unix=str(tmp_path / "s")), INDEX)
    assert answer.status == 200 and b"\r\nHost: localhost\r\n" in server.heads[0]


def test_get_of_an_abstract_socket():
    name = f"@goready-preflight-test-{time.monotonic_ns()}"
    with Server(fixtures.answers("go1.27.3", "own"), unix="\0" + name[1:]):
        assert httpprobe.get(Target(unix=name), INDEX).status == 200


def test_a_redirect_is_not_followed():
    with Server(fixtures.answers("go1.27.3", "login")) as server:
        answer = get(server)
    assert (answer.status, answer.headers["location"], server.connections) == (302, "/login", 1)


def test_the_body_is_cut():
    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with Server(endless) as server:
        answer = get(server, limit=1000)
    assert (answer.status, answer.truncated, len(answer.body), answer.error) == (200, True, 1000, None)
    assert answer.ms < 900


def drip(connection, text=b"HTTP/1.1 200 OK\r\nX-Go-Pprof: 1\r\nContent-Length: 900\r\n\r\n" + b"x" * 900, quick=0):
    connection.recv(1000)
    connection.sendall(text[:quick])
    for number in text[quick:]:
        connection.sendall(bytes((number,)))
        time.sleep(0.05)


def hold(connection):
    while connection.recv(1000):
        pass


@pytest.mark.parametrize(("serve", "status", "detail"), [
    (hold, None, "did not answer within 0.4 s"),
    (drip, None, "did not answer within 0.4 s"),
    (lambda connection: drip(connection, quick=60), 200, "did not end its answer within 0.4 s"),
], ids=["silent", "drip of the head", "drip of the body"])
@pytest.mark.parametrize("tls", [False, True])
def test_the_deadline_is_total(serve, status, detail, tls):
    with Server(serve, tls=tls) as server:
        started = time.monotonic()
        answer = get(server, scheme="https" if tls else "http", timeout=0.4)
        took = time.monotonic() - started
    assert (answer.status, answer.error, answer.detail, answer.connected) == (status, httpprobe.TIMEOUT_KIND, detail, True)
    assert 0.35 < took < 1.2


def test_a_handshake_that_hangs_is_within_the_deadline():
    with Server(hold) as server:
        answer = get(server, scheme="https", timeout=0.4)
    assert (answer.error, answer.tls, answer.connected) == (httpprobe.TIMEOUT_KIND, False, True)
    assert answer.ms < 1200


def test_no_connection_is_within_the_deadline():
    listener, fillers = fixtures.backlogged()
    with listener:
        answer = httpprobe.get(Target(host="127.0.0.1", port=listener.getsockname()[1]), "/", timeout=0.4)
    assert (answer.error, answer.detail, answer.connected) == (httpprobe.TIMEOUT_KIND, "no connection within 0.4 s", False)
    for filler in fillers:
        filler.close()


def test_a_name_service_that_hangs_is_within_the_deadline(monkeypatch):
    real = socket.getaddrinfo

    def slow(host, *words, **named):
        if named.get("flags"):
            return real(host, *words, **named)
        time.sleep(1.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    started = time.monotonic()
    answer = httpprobe.get(Target(host="db.invalid", port=80), "/", timeout=0.3)
    assert answer.error == httpprobe.TIMEOUT_KIND and time.monotonic() - started < 1


def test_a_name_that_does_not_resolve(monkeypatch):
    def missing(host, *words, **named):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", missing)
    answer = httpprobe.get(Target(host="db.invalid", port=80), "/")
    assert (answer.error, answer.detail) == (
        httpprobe.RESOLVE, "db.invalid cannot be resolved: Name or service not known")


def test_the_second_address_of_a_name_is_tried(monkeypatch):
    with Server(fixtures.answers("go1.27.3", "own")) as server:
        pairs = [(int(socket.AF_INET6), ("::1", server.port, 0, 0)), (int(socket.AF_INET), ("127.0.0.1", server.port))]
        monkeypatch.setattr(httpprobe, "resolve", lambda host, port, deadline: pairs)
        answer = httpprobe.get(Target(host="localhost", port=server.port), INDEX)
    assert (answer.status, answer.peer) == (200, "127.0.0.1")


def test_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = httpprobe.get(Target(host="127.0.0.1", port=port), "/")
    assert (answer.error, answer.detail, answer.connected) == (httpprobe.REFUSED, "connection refused", False)


def test_unix_sockets_that_are_none(tmp_path):
    missing = httpprobe.get(Target(unix=str(tmp_path / "none")), "/")
    assert (missing.error, missing.detail) == (httpprobe.MISSING, "there is no such socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(tmp_path / "d"))
        answer = httpprobe.get(Target(unix=str(tmp_path / "d")), "/")
    assert (answer.error, answer.detail) == (httpprobe.NOT_HTTP, "not a stream socket")
    too_long = httpprobe.get(Target(unix="/" + "x" * 200), "/")
    assert (too_long.error, too_long.detail) == (httpprobe.UNREACHABLE, "af_unix path too long")


def test_permission_denied(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *words: (none for none in ()).throw(PermissionError(13, "Permission denied")))
    answer = httpprobe.get(Target(unix="/run/root.sock"), "/")
    assert (answer.error, answer.detail, answer.errno) == (httpprobe.DENIED, "permission denied", 13)


@pytest.mark.parametrize(("variant", "error", "detail"), [
    ("closes", httpprobe.CLOSED, "closed the connection without an answer"),
    ("h2c", httpprobe.CLOSED, "closed the connection without an answer"),
    ("rawtls", httpprobe.CLOSED, "closed the connection without an answer"),
    ("greets", httpprobe.NOT_HTTP, "does not speak HTTP: answered b'SSH-2.0-variants'"),
    ("echo", httpprobe.NOT_HTTP, "does not speak HTTP: answered b'GET /debug/pprof'"),
    ("tls.plain", httpprobe.TLS_EXPECTED, "HTTPS: answers a plain request with 400"),
])
def test_recorded_listeners_that_are_no_http(variant, error, detail):
    with Server(fixtures.answers("go1.27.3", variant)) as server:
        answer = get(server)
    assert (answer.error, answer.detail) == (error, detail)


@pytest.mark.parametrize(("said", "error", "status"), [
    (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00", httpprobe.HTTP2, None),
    (b"\x15\x03\x01\x00\x02\x02\x0a", httpprobe.TLS_EXPECTED, None),
    (b"\x15\x03", httpprobe.NOT_HTTP, None),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n<h1>The plain HTTP request was sent to HTTPS port</h1>", httpprobe.TLS_EXPECTED, 400),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 50\r\n\r\nearly end", httpprobe.INCOMPLETE, 404),
    (b"HTTP/1.1 103 Early Hints\r\n\r\n", httpprobe.INCOMPLETE, None),
    (b"HTTP/1.1 nonsense\r\n\r\n", httpprobe.NOT_HTTP, None),
])
def test_what_else_listeners_say(said, error, status):
    def say(connection):
        connection.recv(1000)
        connection.sendall(said)

    with Server(say) as server:
        answer = get(server)
    assert (answer.error, answer.status) == (error, status)


def test_http2_frames_in_two_pieces():
    def say(connection):
        connection.recv(1000)
        connection.sendall(b"\0\0")
        time.sleep(0.1)
        connection.sendall(b"\0\4\0\0\0\0\0")

    with Server(say) as server:
        assert get(server).error == httpprobe.HTTP2


@pytest.mark.parametrize("maximum", [None, ssl.TLSVersion.TLSv1_2], ids=["1.3", "1.2"])
def test_a_client_certificate_is_asked_for(maximum):
    with Server(fixtures.answers("go1.27.3", "own"), tls=True, mutual=True, maximum=maximum) as server:
        answer = get(server, scheme="https", timeout=5)
    assert answer.status is None
    # OpenSSL's server answers a missing certificate in TLS 1.2 with handshake_failure, which means many things.
    assert answer.error == (httpprobe.CLIENT_CERTIFICATE if maximum is None else httpprobe.TLS)


def test_tls_to_a_plain_listener():
    with Server(lambda connection: connection.sendall(b"SSH-2.0-x\r\n")) as server:
        answer = get(server, scheme="https")
    assert (answer.error, answer.tls) == (httpprobe.TLS, False) and answer.detail.startswith("TLS handshake failed: ")


def test_side_by_side_keeps_the_order_and_the_bound():
    now, most, lock = 0, 0, threading.Lock()

    def work(number):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return number * 2

    results = httpprobe.side_by_side(work, list(range(50)), deadline=time.monotonic() + 20)
    assert results == [number * 2 for number in range(50)] and 2 <= most <= 8


def test_side_by_side_leaves_out_what_the_time_does_not_allow():
    started = time.monotonic()
    results = httpprobe.side_by_side(lambda number: time.sleep(0.2) or number, list(range(40)), deadline=started + 0.3)
    assert time.monotonic() - started < 1
    assert results[0] == 0 and results[-1] is None


def test_side_by_side_hands_on_what_broke():
    with pytest.raises(ZeroDivisionError):
        httpprobe.side_by_side(lambda number: 1 // number, [1, 0, 2], deadline=time.monotonic() + 5)
    assert httpprobe.side_by_side(str, [], deadline=0) == []


# ------------------------------------------------------------------------------------------------------------ downloads

def serving(*pieces):
    def answer(connection):
        connection.recv(4096)
        for piece in pieces:
            connection.sendall(piece)

    return answer


BIG = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n"


def test_fetch_takes_what_get_cuts():
    with Server(serving(BIG, b"x" * 3_000_000)) as server:
        target = Target(host="127.0.0.1", port=server.port)
        whole = httpprobe.fetch(target, "/", timeout=5, limit=3_000_000)
        over = httpprobe.fetch(target, "/", timeout=5, limit=2_999_999)
        cut = httpprobe.get(target, "/", timeout=5)
    assert (whole.status, len(whole.body), whole.truncated, whole.error) == (200, 3_000_000, False, None)
    assert (over.status, over.body, over.truncated, over.error) == (200, b"", True, None)
    assert (len(cut.body), cut.truncated) == (httpprobe.BODY_LIMIT, True)


def test_a_download_keeps_nothing():
    with Server(serving(BIG, b"x" * 3_000_000)) as server:
        download = httpprobe.Download(Target(host="127.0.0.1", port=server.port), "/", timeout=5, limit=1 << 30, wire=1 << 30)
        with download:
            assert (download.answer.status, download.answer.error) == (200, None)  # known before the body is read
            assert sum(len(piece) for piece in download) == download.received == 3_000_000
    assert (download.answer.body, download.answer.error, download.answer.truncated) == (b"", None, False)


def test_a_download_that_nobody_reads_to_its_end_is_closed():
    with Server(serving(BIG, b"x" * 3_000_000)) as server:
        with httpprobe.Download(Target(host="127.0.0.1", port=server.port), "/", timeout=5, limit=1 << 30, wire=1 << 30) as download:
            assert next(iter(download))
        assert download.received < 3_000_000 and list(download) == []


@pytest.mark.parametrize(("pieces", "error", "got"), [
    ((BIG, b"abc"), httpprobe.INCOMPLETE, b"abc"), ((), httpprobe.CLOSED, b""), ((b"SSH-2.0-x\r\n",), httpprobe.NOT_HTTP, b""),
    ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",), httpprobe.INCOMPLETE, b"abc"),
], ids=["cut", "nothing", "no http", "bad chunk"])
def test_a_download_says_why_it_ended(pieces, error, got):
    with Server(serving(*pieces)) as server, \
            httpprobe.Download(Target(host="127.0.0.1", port=server.port), "/", timeout=5, limit=1 << 20) as download:
        assert b"".join(download) == got
        assert download.answer.error == error and download.answer.detail


@pytest.mark.parametrize(("arguments", "header"), [
    ({}, ""), ({"username": "ops", "password": "pässword"}, "Basic b3BzOnDDpHNzd29yZA=="), ({"password": "x"}, "Basic Ong="),
    ({"token": "abc.def"}, "Bearer abc.def"), ({"token": "abc", "username": "ops"}, "Bearer abc")])
def test_authorization(arguments, header):
    assert httpprobe.authorization(**arguments) == header


@pytest.mark.parametrize("arguments", [
    {"token": "x y z"}, {"token": "a\r\nX: y"}, {"token": "ä"}, {"username": "a:b"}, {"username": "a", "password": "b\n"}])
def test_authorization_that_cannot_be_sent_does_not_tell_it(arguments):
    with pytest.raises(ValueError, match=r"has no|have no") as caught:
        httpprobe.authorization(**arguments)
    assert not any(value in str(caught.value) for value in arguments.values() if len(value) > 2)


@pytest.mark.parametrize(("name", "ca", "error"), [
    ("", True, None), ("api.test", True, None), ("web.test", True, httpprobe.CERTIFICATE), ("", False, httpprobe.CERTIFICATE)])
def test_verified_certificates(name, ca, error):
    certificate = str(Path(__file__).parents[2] / "fixtures" / "runtime" / "endpoint" / "tls.pem")
    with Server({"/": b"HTTP/1.1 204 No Content\r\n\r\n"}, tls=True) as server:
        server._context.load_cert_chain(certificate)
        answer = httpprobe.get(Target(scheme="https", host="127.0.0.1", port=server.port, name=name, verify=True,
                                      ca_file=certificate if ca else "", authorization="Bearer secret"), "/", timeout=5)
    assert (answer.error, answer.status) == (error, None if error else 204)
    assert bool(server.heads) is (error is None)  # nothing was sent to whom nobody vouches for


def test_credentials_are_in_no_repr():
    assert "secret" not in repr(Target(host="127.0.0.1", port=1, authorization="Bearer secret"))
