# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Against real sockets on loopback. What go itself says in the same cases was tried with go 1.27.3 (docs/module-proxy.md)."""
from __future__ import annotations

import base64
import contextlib
import datetime
import io
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.goready.preflight.plugins.module_utils import goproxyhttp
from ansible_collections.goready.preflight.plugins.module_utils.goproxyhttp import Client, Connection, Reply

Handler = Callable[[bytes], bytes]


class Server:
    """Gives each request's head to ``handler`` and sends what that returns; b"" closes, b"RST" at the end resets."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family)
        self.port = self._socket.getsockname()[1]
        self.heads: list[bytes] = []
        self.connections = 0
        self._handler, self._context = handler, context
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _address = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            if self._context:
                peer = self._context.wrap_socket(peer, server_side=True)
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = peer.recv(4096)
                    if not data:
                        return
                    buffer += data
                head, _blank, buffer = buffer.partition(b"\r\n\r\n")
                self.heads.append(head)
                answer = self._handler(head)
                if answer.endswith(b"RST"):
                    peer.sendall(answer[:-3])
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                peer.sendall(answer)
                if not answer or b"connection: close" in answer.lower():
                    return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(handler: Handler | bytes, context: ssl.SSLContext | None = None) -> Server:
        server = Server(handler if callable(handler) else lambda _head: handler, context)
        made.append(server)
        return server

    yield start
    for server in made:
        server.close()


def ok(body: bytes = b"fine", *more: str, status: str = "200 OK") -> bytes:
    head = "".join(line + "\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more))
    return head.encode() + b"\r\n" + body


def get(url: str, environment: dict[str, str] | None = None, logins: str = "", **options: object) -> Reply:
    return Client(environment or {}, logins).get(url, **{"timeout": 5.0, **options})  # type: ignore[arg-type]


class Authority:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "unit test CA")])
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._make(self.name, self.key, 30, "").public_bytes(serialization.Encoding.PEM))

    def _make(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: int, host: str) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=60))
        builder = builder.not_valid_after(now + datetime.timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(ca=not host, path_length=None), critical=True)
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, host: str = "localhost", days: int = 30) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        path = self.folder / f"{host}{days}.pem"
        path.write_bytes(self._make(name, key, days, host).public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def test_an_answer(serve: Callable[..., Server]) -> None:
    server = serve(ok(b"v1.0.0\n", "Connection: close"))
    reply = get(f"http://127.0.0.1:{server.port}/x/@v/list")
    assert (reply.status, reply.body, reply.size, reply.error, reply.redirects) == (200, b"v1.0.0\n", 7, "", 0)
    assert set(reply.phases) == {"dns", "connect", "first_byte", "total"}
    assert server.heads[0].decode().split("\r\n") == [
        "GET /x/@v/list HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "User-Agent: goready-preflight", "Accept: */*"]


@pytest.mark.parametrize(("answer", "error", "detail"), [
    (b"", "closed", "closed the connection without an answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{RST", "incomplete", "the connection was reset inside the answer"),
    (b"RST", "closed", "reset the connection without an answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{", "incomplete",
     "the connection ended inside the response's body"),
    (b"220 mail.example ESMTP\r\n", "not_http", "does not speak HTTP"),
    (b"\x15\x03\x01\x00\x02\x02\x16" + b"\0" * 9, "tls_expected", "answers with a TLS record"),
], ids=["closed", "reset inside", "reset", "short", "smtp", "tls"])
def test_what_is_no_answer(serve: Callable[..., Server], answer: bytes, error: str, detail: str) -> None:
    reply = get(f"http://127.0.0.1:{serve(answer).port}/")
    assert (reply.error, reply.detail) == (error, detail)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    reply = get(f"http://127.0.0.1:{port}/")
    assert (reply.status, reply.error, reply.detail) == (None, "refused", "connection refused")


def test_the_deadline_is_for_everything(serve: Callable[..., Server]) -> None:
    server = serve(lambda _head: (threading.Event().wait(3) and b"") or b"")
    reply = get(f"http://127.0.0.1:{server.port}/", timeout=0.3)
    assert (reply.error, reply.detail) == ("timeout", "did not answer within 0.3 s")
    assert reply.phases["total"] < 1500


def test_a_name_without_an_address() -> None:
    reply = get("http://nowhere.invalid/x")
    assert reply.error == "resolve" and reply.detail.startswith("nowhere.invalid cannot be resolved: ")


def test_a_connection_is_kept(serve: Callable[..., Server]) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    server = serve(lambda head: chunked if b"/chunked" in head else ok())
    client, connection = Client({}), Connection()
    found = [client.get(f"http://127.0.0.1:{server.port}/{path}", timeout=5, connection=connection)
             for path in ("chunked", "a", "chunked", "b")]
    connection.close()
    assert [(one.body, one.error, one.reused, one.opened) for one in found] == [
        (b"abc", "", False, 1), (b"fine", "", True, 0), (b"abc", "", True, 0), (b"fine", "", True, 0)]
    assert server.connections == 1 and "connect" not in found[1].phases


def test_a_connection_that_the_server_closed_is_made_anew(serve: Callable[..., Server]) -> None:
    server = serve(ok(b"x", "Connection: close"))
    client, connection = Client({}), Connection()
    for _number in range(2):
        assert client.get(f"http://127.0.0.1:{server.port}/", timeout=5, connection=connection).error == ""
    assert server.connections == 2


class Closing:
    """A server that says nothing of it and closes after each answer: ``delay`` seconds later."""

    def __init__(self, delay: float) -> None:
        self.requests = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._delay = delay
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _address = self._socket.accept()
                with peer:
                    peer.recv(4096)
                    self.requests += 1
                    peer.sendall(ok())
                    threading.Event().wait(self._delay)

    def close(self) -> None:
        self._socket.close()


def test_a_kept_connection_that_is_closed_under_the_request_is_no_error() -> None:
    """net/http makes another one then (shouldRetryRequest): HTTP/1.0 servers, and everybody's idle time-out."""
    server = Closing(0.05)
    client, connection = Client({}), Connection()
    found = [client.get(f"http://127.0.0.1:{server.port}/", timeout=5, connection=connection) for _number in range(4)]
    connection.close()
    server.close()
    assert [(one.status, one.error, one.opened, one.reused) for one in found] == [(200, "", 1, False)] * 4
    assert server.requests == 4


def test_the_connections_of_a_redirect_are_both_kept(serve: Callable[..., Server]) -> None:
    storage = serve(ok(b"the zip"))
    server = serve(ok(b"", f"Location: http://127.0.0.1:{storage.port}/x", status="302 Found"))
    client, connection = Client({}), Connection()
    for _number in range(3):
        assert client.get(f"http://127.0.0.1:{server.port}/", timeout=5, connection=connection).body == b"the zip"
    connection.close()
    assert (server.connections, storage.connections) == (1, 1)


def test_the_making_of_both_connections_of_a_redirect_is_no_part_of_the_answer(
        serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    storage = serve(ok())
    server = serve(ok(b"", f"Location: http://127.0.0.1:{storage.port}/x", status="302 Found"))
    made = Client._open

    def slow(self: Client, *arguments: Any, **options: Any) -> socket.socket:
        threading.Event().wait(0.1)
        return made(self, *arguments, **options)

    monkeypatch.setattr(Client, "_open", slow)
    reply = get(f"http://127.0.0.1:{server.port}/")
    assert reply.opened == 2 and reply.phases["total"] >= 200 and reply.phases["total"] - reply.setup < 100


def test_no_more_than_a_few_connections_are_kept(serve: Callable[..., Server]) -> None:
    servers = [serve(ok()) for _number in range(6)]
    client, connection = Client({}), Connection()
    for server in [*servers, servers[-1], servers[0]]:
        assert client.get(f"http://127.0.0.1:{server.port}/", timeout=5, connection=connection).status == 200
    connection.close()
    assert [server.connections for server in servers] == [2, 1, 1, 1, 1, 1]


def test_a_body_beyond_the_limit_is_cut(serve: Callable[..., Server]) -> None:
    reply = get(f"http://127.0.0.1:{serve(ok(b'x' * 5000)).port}/", limit=1000)
    assert (reply.truncated, reply.size, reply.error) == (True, 1000, "")


def test_a_body_goes_to_the_sink(serve: Callable[..., Server]) -> None:
    server = serve(lambda head: ok(b"moved", "Location: /b", status="302 Found") if b" /a " in head else ok(b"the zip"))
    sink = io.BytesIO()
    reply = get(f"http://127.0.0.1:{server.port}/a", sink=sink)
    assert (sink.getvalue(), reply.body, reply.size, reply.redirects) == (b"the zip", b"", 7, 1)


def test_no_room_for_a_body_is_no_fault_of_the_proxy(serve: Callable[..., Server]) -> None:
    with open("/dev/full", "wb", buffering=0) as sink:
        reply = get(f"http://127.0.0.1:{serve(ok()).port}/", sink=sink)
    assert (reply.error, reply.detail) == ("unsupported", "there is no room on this host for what it sends: No space left on device")


@pytest.mark.parametrize(("url", "environment"), [
    ("http://127.0.0.1:99999/", {"HTTP_PROXY": "http://127.0.0.1:1"}), ("https://ci:wo/rdofci@127.0.0.1/go", {}),
    ("http://modules.example/", {"HTTP_PROXY": "http://ci:wo/rdofci@127.0.0.1:1"}),
])
def test_a_port_that_is_none(url: str, environment: dict[str, str]) -> None:
    """What stands between the colon and an unescaped slash may be the beginning of a password."""
    reply = get(url, environment)
    assert (reply.error, reply.detail) == ("unreachable", "a URL has a port that is none")


# --- redirects and credentials --------------------------------------------------------------------------------------------

def test_redirects_end(serve: Callable[..., Server]) -> None:
    server = serve(ok(b"", "Location: /again", status="302 Found"))
    reply = get(f"http://127.0.0.1:{server.port}/")
    assert (reply.error, reply.detail, len(server.heads)) == ("redirect", "stopped after 10 redirects", 10)


def test_a_redirect_to_a_signed_url(serve: Callable[..., Server]) -> None:
    """What Artifactory and its like answer where they let the store itself give the bytes: cut, it would be 403."""
    where = "/bucket/x.zip?X-Amz-Signature=" + "a" * 1500
    server = serve(lambda head: ok(b"the zip") if where in head.decode() else
                   ok(b"", f"Location: {where}", status="302 Found") if b"/start" in head else ok(status="403 Forbidden"))
    reply = get(f"http://127.0.0.1:{server.port}/start")
    assert (reply.status, reply.body) == (200, b"the zip")


BASIC = "Authorization: Basic " + base64.b64encode(b"ci:word").decode()


def test_credentials_go_over_https(serve: Callable[..., Server], authority: Authority) -> None:
    other = serve(ok(), authority.server("localhost"))
    environment = {"SSL_CERT_FILE": str(authority.file)}
    base = f"https://localhost:{other.port}"
    logins = f"machine localhost:{other.port} login ci password word\n"
    assert get(f"{base}/x", environment, logins).status == 200
    assert BASIC in other.heads[-1].decode()
    assert get(f"{base}/x", environment, "machine localhost login ci password word\n").status == 200
    assert "Authorization" not in other.heads[-1].decode()  # the port is a part of the name, as it is for go


def test_netrc_does_not_go_in_clear(serve: Callable[..., Server]) -> None:
    server = serve(ok())
    reply = get(f"http://127.0.0.1:{server.port}/", {}, f"machine 127.0.0.1:{server.port} login ci password word\n")
    assert (reply.status, reply.credentials) == (200, False)
    assert b"Authorization" not in server.heads[0]


def test_an_http_url_with_credentials_is_refused_as_go_does() -> None:
    reply = get("http://ci:word@127.0.0.1:9/")
    assert (reply.error, reply.detail) == ("insecure", "go refuses to pass credentials to an http URL")


def test_a_login_in_the_url_comes_before_netrc(serve: Callable[..., Server], authority: Authority) -> None:
    """Tried with go 1.24.11 and 1.27.3; 1.22.10 took netrc's."""
    server = serve(ok(), authority.server("localhost"))
    url = f"https://ci:word@localhost:{server.port}/go"
    assert get(url, {"SSL_CERT_FILE": str(authority.file)}, f"machine localhost:{server.port} login other password one\n").credentials
    assert BASIC in server.heads[0].decode()


def test_credentials_stay_on_the_host_of_a_redirect(serve: Callable[..., Server], authority: Authority) -> None:
    context = authority.server("localhost")
    server = serve(lambda head: ok(b"", "Location: /end", status="302 Found") if b"/here" in head else
                   ok(b"", "Location: https://127.0.0.1:%d/" % server.port, status="302 Found") if b"/away" in head else ok(), context)
    environment = {"SSL_CERT_FILE": str(authority.file)}
    logins = f"machine localhost:{server.port} login ci password word\n"
    assert get(f"https://localhost:{server.port}/here", environment, logins).status == 200
    assert [BASIC in head.decode() for head in server.heads] == [True, True]
    reply = get(f"https://localhost:{server.port}/away", environment, logins)
    assert reply.error == "certificate" and not reply.credentials  # the certificate is not for the address


def test_no_redirect_from_https_to_http(serve: Callable[..., Server], authority: Authority) -> None:
    server = serve(ok(b"", "Location: http://localhost:1/x", status="302 Found"), authority.server())
    reply = get(f"https://localhost:{server.port}/", {"SSL_CERT_FILE": str(authority.file)})
    assert (reply.error, reply.detail) == ("redirect", "redirects from https to http (localhost:1), which go refuses")


# --- TLS ------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("host", "days", "detail"), [
    ("localhost", 30, ""), ("localhost", -1, "the server's certificate is not good: certificate has expired"),
    ("other.example", 30, "the server's certificate is not good: hostname mismatch, certificate is not valid for 'localhost'"),
])
def test_certificates(serve: Callable[..., Server], authority: Authority, host: str, days: int, detail: str) -> None:
    server = serve(ok(), authority.server(host, days))
    reply = get(f"https://localhost:{server.port}/", {"SSL_CERT_FILE": str(authority.file)})
    assert (reply.error, reply.detail) == ("certificate" if detail else "", detail)


def test_a_ca_that_the_host_does_not_know(serve: Callable[..., Server], authority: Authority, tmp_path: Path) -> None:
    server = serve(ok(), authority.server())
    for environment in ({}, {"SSL_CERT_FILE": str(tmp_path / "none"), "SSL_CERT_DIR": str(tmp_path)}):
        assert get(f"https://localhost:{server.port}/", environment).error == "certificate"


def test_a_folder_of_cas(serve: Callable[..., Server], authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "any-name").write_bytes(authority.file.read_bytes())
    (tmp_path / "notes.txt").write_text("no certificate\n")
    server = serve(ok(), authority.server())
    assert get(f"https://localhost:{server.port}/", {"SSL_CERT_DIR": f"{tmp_path}/none:{tmp_path}"}).status == 200


@pytest.mark.parametrize(("offered", "error", "detail"), [
    (["h2"], "http2", "speaks HTTP/2 only, which this collection does not"),
    (["h2", "http/1.1"], "closed", "closed the connection without an answer"),
    ([], "closed", "closed the connection without an answer"),
])
def test_a_server_of_http2_alone(serve: Callable[..., Server], authority: Authority, offered: list[str], error: str, detail: str) -> None:
    """One made with Go (http.Protocols, 1.24) takes the handshake and then hangs up; go itself downloads from it."""
    context = authority.server()
    if offered:
        context.set_alpn_protocols(offered)
    reply = get(f"https://localhost:{serve(b'', context).port}/", {"SSL_CERT_FILE": str(authority.file)})
    assert (reply.error, reply.detail) == (error, detail)


def test_http2_in_clear_is_nothing_that_go_speaks(serve: Callable[..., Server]) -> None:
    server = serve(b"\0\0\6\4\0\0\0\0\0" + b"\0\5\0\0\x40\0")  # a SETTINGS frame
    reply = get(f"http://127.0.0.1:{server.port}/")
    assert (reply.error, reply.detail) == ("not_http", "speaks HTTP/2 without TLS, which go does not")


def test_tls_where_there_is_none() -> None:
    clear = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        peer, _address = clear.accept()
        with peer:
            peer.recv(64)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            peer.recv(4096)

    threading.Thread(target=work, daemon=True).start()
    with clear:
        reply = get(f"https://localhost:{clear.getsockname()[1]}/")
    assert (reply.error, reply.detail) == ("tls", "answers the TLS handshake in clear")


def test_the_ca_files_are_those_of_crypto_x509(tmp_path: Path) -> None:
    certs = tmp_path / "etc/ssl/certs"
    certs.mkdir(parents=True)
    shared = tmp_path / "usr/share/ca-certificates"
    shared.mkdir(parents=True)
    (certs / "ca-certificates.crt").write_text("")
    (shared / "a.crt").write_text("")
    (certs / "a.pem").symlink_to(shared / "a.crt")
    (certs / "own.pem").write_text("")
    (certs / "own-link.0").symlink_to("own.pem")
    assert Client({}, root=str(tmp_path)).ca_files() == [str(certs / "ca-certificates.crt"), str(certs / "own.pem")]
    named = {"SSL_CERT_FILE": "/etc/ssl/certs/own.pem", "SSL_CERT_DIR": "/none"}
    assert Client(named, root=str(tmp_path)).ca_files() == [str(certs / "own.pem")]


# --- the HTTP proxy -------------------------------------------------------------------------------------------------------

def test_a_plain_request_takes_the_http_proxy(serve: Callable[..., Server]) -> None:
    server = serve(ok())
    reply = get("http://modules.example/x", {"HTTP_PROXY": f"http://me:pass@127.0.0.1:{server.port}"})
    head = server.heads[0].decode()
    assert (reply.status, reply.via) == (200, f"http://me:[redacted]@127.0.0.1:{server.port}")
    assert head.startswith("GET http://modules.example/x HTTP/1.1\r\nHost: modules.example\r\n")
    assert "Proxy-Authorization: Basic " + base64.b64encode(b"me:pass").decode() in head


@pytest.mark.parametrize(("answer", "error", "detail"), [
    (ok(status="407 Proxy Authentication Required"), "http_proxy", "answers CONNECT with 407"),
    (b"hello\r\n\r\n", "http_proxy", "does not answer CONNECT with HTTP"),
])
def test_a_tunnel_that_is_refused(serve: Callable[..., Server], answer: bytes, error: str, detail: str) -> None:
    server = serve(answer)
    reply = get("https://modules.example/x", {"HTTPS_PROXY": f"127.0.0.1:{server.port}"})
    assert (reply.error, reply.detail) == (error, f"the HTTP proxy 127.0.0.1:{server.port} {detail}")
    assert server.heads[0].startswith(b"CONNECT modules.example:443 HTTP/1.1\r\nHost: modules.example:443\r\n")


def test_a_tunnel(authority: Authority) -> None:
    """The proxy answers CONNECT and then is, for the test, the server itself. Its credentials are not for the server, nor the other way."""
    heads: list[bytes] = []
    context = authority.server("modules.example")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def work() -> None:
            peer, _address = listener.accept()
            data = b""
            while b"\r\n\r\n" not in data:
                data += peer.recv(1024)
            heads.append(data)
            peer.sendall(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
            with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as inner:
                heads.append(inner.recv(4096))
                inner.sendall(ok(b"inside"))

        threading.Thread(target=work, daemon=True).start()
        port = listener.getsockname()[1]
        environment = {"https_proxy": f"http://me:pa%40ss@127.0.0.1:{port}", "SSL_CERT_FILE": str(authority.file)}
        reply = get("https://modules.example/x", environment, "machine modules.example login ci password word\n")
    assert (reply.status, reply.body, reply.error, reply.via) == (200, b"inside", "", f"http://me:[redacted]@127.0.0.1:{port}")
    theirs = "Proxy-Authorization: Basic " + base64.b64encode(b"me:pa@ss").decode()
    assert [(theirs in head.decode(), BASIC in head.decode()) for head in heads] == [(True, False), (False, True)]


@pytest.mark.parametrize(("value", "detail"), [
    ("socks5://127.0.0.1:1", "the HTTP proxy socks5://127.0.0.1:1 is of a kind that is not spoken here"),
    ("https://127.0.0.1:1", "TLS through the https proxy https://127.0.0.1:1 is not spoken here"),
])
def test_an_http_proxy_that_is_not_spoken(value: str, detail: str) -> None:
    reply = get("https://modules.example/", {"HTTPS_PROXY": value})
    assert (reply.error, reply.detail) == ("unsupported", detail)


def test_a_password_with_brackets_is_not_told() -> None:
    reply = Client({"HTTP_PROXY": "http://ci:wo[rd]ofci@127.0.0.1:1"}).get("http://modules.example/x", timeout=2)
    assert (reply.error, reply.detail, reply.via) == (
        "unsupported", "a URL has brackets that are not those of an IPv6 address", "http://ci:[redacted]@127.0.0.1:1")


def test_an_http_proxy_that_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    reply = get("https://modules.example/", {"HTTPS_PROXY": f"http://127.0.0.1:{port}"})
    assert (reply.error, reply.detail) == ("refused", f"the HTTP proxy 127.0.0.1:{port}: connection refused")


# --- names ----------------------------------------------------------------------------------------------------------------

def test_a_dead_family_costs_a_third_of_a_second(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a name with a dead IPv6 address costs go (net.Dialer, FallbackDelay): here a listener whose queue is full."""
    server = serve(ok())
    with socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=0) as dead:
        full = [socket.socket(socket.AF_INET6) for _number in range(4)]
        for one in full:
            one.setblocking(False)
            one.connect_ex(("::1", dead.getsockname()[1]))
        addresses = [(int(socket.AF_INET6), ("::1", dead.getsockname()[1], 0, 0)), (int(socket.AF_INET), ("127.0.0.1", server.port))]
        monkeypatch.setattr(goproxyhttp.httpprobe, "resolve", lambda *_arguments: addresses)
        reply = get("http://both.example/")
        for one in full:
            one.close()
    assert reply.status == 200 and 290 <= reply.phases["connect"] < 2000


@pytest.mark.parametrize(("logins", "url", "login"), [
    ("machine a.example login u password p", "https://a.example/x/y", "u:p"),
    ("machine a.example login u password p", "https://a.example:8443/x", ""),
    ("machine a.example:8443 login u password p", "https://a.example:8443/x", "u:p"),
    ("machine a.example/go login u password p machine a.example login v password q", "https://a.example/go/x", "u:p"),
    ("machine a.example login u password p machine a.example login v password q", "https://a.example/", "u:p"),
    ("machine a.example login u", "https://a.example/", ""), ("default login u password p", "https://a.example/", ""),
    ("machine a.example login u password p", "https://c:d@a.example/x", ""),
])
def test_login_for(logins: str, url: str, login: str) -> None:
    """cmd/go/internal/auth, loadCredential. Where a URL has a login of its own, netrc's is not looked for: tried with 1.24.11, 1.27.3."""
    expected = "Basic " + base64.b64encode(login.encode()).decode() if login else ""
    assert Client({}, logins).login_for(url) == expected
