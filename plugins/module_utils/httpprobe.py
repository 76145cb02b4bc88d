# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One bounded HTTP GET over TCP, TLS or a unix socket, for looking at listeners nobody has vouched for.

Public: :func:`get`, :func:`fetch`, :class:`Download`, :class:`Target`, :func:`parse_url`, :func:`authorization`,
:class:`Answer`, :class:`Response`, :func:`connect`, :func:`wrap`, :func:`resolve`, :func:`kind_of`, :class:`ProbeError`,
:func:`side_by_side`.

Not http.client: its timeout holds for each ``recv``, so that a server that sends a byte a second keeps it busy for
ever. Here the deadline is for everything together (name, connect, handshake, answer), the head and the body are cut,
redirects are not followed, and nothing is ever sent but a GET. Certificates are verified only where the target says so: the
question is what is served, not who serves it, as long as no credentials are sent. ``ssl`` is imported at the first TLS
connection only.
"""
from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Callable, Dict, Generator, Iterator, List, Optional, Sequence, Tuple, Type, TypeVar

from ansible_collections.goready.preflight.plugins.module_utils.redact import redact_url

TIMEOUT = 1.0            # seconds for one request, everything included
BODY_LIMIT = 64 * 1024   # bytes of the body that are kept
HEAD_LIMIT = 32 * 1024   # bytes of status line and headers
WIRE_LIMIT = 1 << 20     # bytes read at all: bounds chunk extensions and runs of 1xx answers
VALUE_LIMIT = 256        # characters kept of a header
LOCATION_LIMIT = 8192    # of Location: that of a signed URL (S3, GCS, CloudFront) has a thousand, and is worth nothing in part
LINE_LIMIT = 1024        # bytes of a chunk's size line
USER_AGENT = "goready-preflight"  # so that an access log says who asked

# What a probe can use; anything else a server sends (cookies ...) is dropped unread.
HEADERS = frozenset((
    "connection", "content-disposition", "content-length", "content-type", "location", "server", "transfer-encoding",
    "www-authenticate", "x-go-pprof",
))

# Kinds of Answer.error.
REFUSED, TIMEOUT_KIND, UNREACHABLE, DENIED, MISSING, RESOLVE = "refused", "timeout", "unreachable", "denied", "missing", "resolve"
CLOSED, NOT_HTTP, HTTP2, TLS_EXPECTED, TLS, CLIENT_CERTIFICATE, INCOMPLETE, CERTIFICATE = (
    "closed", "not_http", "http2", "tls_expected", "tls", "client_certificate", "incomplete", "certificate")

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Target:
    """Where to ask. ``host`` is a name or an address without brackets; ``unix`` a socket's path (``@name`` for the
    abstract namespace) instead of host and port; ``path`` what a base URL ends in (``/`` where it has none)."""

    scheme: str = "http"
    host: str = ""
    port: int = 0
    unix: str = ""
    path: str = "/"
    authorization: str = field(default="", repr=False)  # only what the user declared: see authorization()
    name: str = ""  # the server's name, where one address serves many: Host header and SNI
    verify: bool = False  # whether the server's certificate has to be good for `name` (or `host`)
    ca_file: str = ""     # PEM file of those who may sign it; empty: those that the host trusts

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        if self.name:
            return self.name
        if self.unix:
            return "localhost"
        host = "[%s]" % self.host.split("%", maxsplit=1)[0] if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else "%s:%d" % (host, self.port)

    @property
    def label(self) -> str:
        """The target as a URL without path and credentials, for people."""
        return "unix://" + self.unix if self.unix else "%s://%s" % (self.scheme, self.authority)


@dataclass
class Answer:
    """What came back. ``status`` is None where no HTTP answer came; ``error`` is one of this module's kinds, or None;
    ``detail`` is one sentence for people. Both may be set: the head came, the body did not end in time."""

    status: Optional[int] = None
    headers: Dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    truncated: bool = False
    error: Optional[str] = None
    detail: str = ""
    errno: Optional[int] = None  # of the system call that failed
    connected: bool = False   # TCP or unix connect succeeded
    tls: bool = False         # a TLS handshake succeeded
    peer: Optional[str] = None
    source: Optional[str] = None  # our own address in that connection
    ms: int = 0


def parse_url(url: str) -> Target:
    """``http://host[:port][/path]``, ``https://...`` or ``unix:///run/api.sock[:/path]``; ValueError says what is wrong.

    A user and password in the URL become a Basic ``Authorization`` header (RFC 7617), as curl does it.
    """
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
        raise ValueError("a URL has no spaces or control characters")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "https", "unix"):
        # What stands before an @ may be a password.
        shown = redact_url(url)[:80] if separator or "@" not in url else "..."
        raise ValueError("expected http://, https:// or unix:///, not %r" % shown)
    if scheme == "unix":
        # As nginx writes it (proxy_pass http://unix:/path:/uri): what follows ":/" is the path of the request.
        sock, _colon, path = rest.partition(":/")
        if not sock.startswith("/") and not sock.startswith("@"):
            raise ValueError("%r names no absolute socket path" % url[:80])
        return Target(unix=sock, path="/" + path)
    cut = min([rest.find(char) for char in "/?#" if char in rest] or [len(rest)])
    authority, path = rest[:cut], rest[cut:].partition("#")[0]
    userinfo, at, hostport = authority.rpartition("@")
    if hostport.startswith("["):
        host, bracket, tail = hostport[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError("%r is not an IPv6 address in brackets" % hostport[:80])
        port = tail[1:]
    else:
        host, _colon, port = hostport.partition(":")
    if not host:
        raise ValueError("%r names no host" % url.rpartition("@")[2][:80])
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        # http://user:pa/ss@host: the slash of the password has ended the authority.
        raise ValueError("%r is not a port number from 1 to 65535" % (port[:20] if "@" not in path else "..."))
    sent = ""
    if at:
        sent = _basic(_unquote(userinfo))
    if not path.startswith("/"):
        path = "/" + path
    return Target(scheme=scheme, host=host, port=int(port) if port else {"http": 80, "https": 443}[scheme], path=path,
                  authorization=sent)


def authorization(username: str = "", password: str = "", token: str = "") -> str:
    """The ``Authorization`` header for a user's name and password (RFC 7617) or a bearer token (RFC 6750), "" for neither.

    ValueError, which does not hold them, where they cannot be sent.
    """
    if token:
        if any(not 0x20 < ord(char) < 0x7F for char in token):
            raise ValueError("a bearer token has no spaces, control characters or characters beyond ASCII")
        return "Bearer " + token
    if not username and not password:
        return ""
    if ":" in username:
        raise ValueError("the user's name of Basic authentication has no colon")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in username + password):
        raise ValueError("the name and password of Basic authentication have no control characters")
    return _basic("%s:%s" % (username, password))


def _basic(userinfo: str) -> str:
    import binascii  # only where credentials were declared
    return "Basic " + binascii.b2a_base64(userinfo.encode("utf-8", "surrogateescape"), newline=False).decode("ascii")


def _unquote(text: str) -> str:
    """Percent-decoding of userinfo (RFC 3986, 2.1); a stray percent sign stays."""
    if "%" not in text:
        return text
    first, *parts = text.encode("utf-8").split(b"%")
    out = bytearray(first)
    for part in parts:
        try:
            out += bytes((int(part[:2].decode("ascii"), 16),)) + part[2:] if len(part) >= 2 else b"%" + part
        except ValueError:
            out += b"%" + part
    return out.decode("utf-8", "replace")


class Response:
    """An HTTP/1.x response, parsed as the bytes come: :meth:`feed` what was received, :meth:`finish` at the end of it.

    ValueError where the bytes are no HTTP/1.x response or break its framing (RFC 9112); ``status`` and ``headers`` are
    set all the same once the head was whole. ``complete`` says that nothing more is wanted: the body ended, or ``limit``
    bytes of it are there (``truncated``). Memory is bounded by HEAD_LIMIT + ``limit`` whatever is fed; where :meth:`drain`
    is called as the bytes come, by what is fed at once. ``wire`` bounds the bytes that are read at all.
    """

    def __init__(self, limit: int = BODY_LIMIT, *, wire: int = WIRE_LIMIT) -> None:
        self.status: Optional[int] = None
        self.headers: Dict[str, str] = {}
        self.body = bytearray()
        self.taken = 0  # bytes of the body so far, the drained ones too
        self.truncated = False
        self.complete = False
        self._limit = limit
        self._wire = wire
        self._buffer = bytearray()
        self._searched = 0        # how much of the buffer has no end of a head, so that a drip is not quadratic
        self._state = "head"      # head | length | chunk_size | chunk_data | chunk_end | close
        self._wanted = 0          # bytes of the body or the chunk still to come
        self._fed = 0

    def feed(self, data: bytes) -> bool:
        """Take bytes; True once the response is complete."""
        if self.complete:
            return True
        self._fed += len(data)
        self._buffer += data
        if self._state == "head" and not self._head():
            return False
        while self._buffer and not self.complete and self._step():
            pass
        if self._fed > self._wire and not self.complete:
            self._stop()
        return self.complete

    def drain(self) -> bytes:
        """What has come of the body since the last call; it is not kept."""
        data = bytes(self.body)
        self.body.clear()
        return data

    def finish(self) -> None:
        """The peer closed. ValueError where the response had not ended."""
        if self.complete:
            return
        self.complete = True
        if self._state == "head":
            raise ValueError("the connection ended inside the response's head" if self._buffer or self.status else
                             "the connection ended without a response")
        if self._state != "close":
            raise ValueError("the connection ended inside the response's body")

    def _stop(self) -> None:
        self.truncated = self.complete = True

    def _head(self) -> bool:
        while True:
            prefix = bytes(self._buffer[:7])
            if prefix != b"HTTP/1."[:len(prefix)]:
                raise ValueError("not an HTTP/1.x response: begins with %r" % bytes(self._buffer[:16]))
            end, width = self._blank_line()
            if end < 0:
                if len(self._buffer) > HEAD_LIMIT:
                    raise ValueError("the response's head is longer than %d bytes" % HEAD_LIMIT)
                return False
            head = bytes(self._buffer[:end])
            del self._buffer[:end + width]
            self._searched = 0
            if len(head) > HEAD_LIMIT:
                raise ValueError("the response's head is longer than %d bytes" % HEAD_LIMIT)
            self.status, self.headers = parse_head(head)
            if not 100 <= self.status < 200 or self.status == 101:
                break
            if self._fed > min(self._wire, WIRE_LIMIT):
                raise ValueError("informational responses without end")
            # An interim answer: the real one follows (RFC 9110, 15.2).
        if self.status in (101, 204, 304):
            self.complete = True
        elif "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._state = "chunk_size"
        else:
            length = self.headers.get("content-length", "")
            if length.isascii() and length.isdigit():
                self._state, self._wanted = "length", int(length[:18])
                self.complete = self._wanted == 0
            else:
                self._state = "close"
        return True

    def _blank_line(self) -> Tuple[int, int]:
        start = max(0, self._searched - 3)
        found = [(self._buffer.find(mark, start), len(mark)) for mark in (b"\r\n\r\n", b"\n\n")]
        self._searched = len(self._buffer)
        return min((pair for pair in found if pair[0] >= 0), default=(-1, 0))

    def _step(self) -> bool:
        if self._state == "close":
            self._take(len(self._buffer))
        elif self._state in ("length", "chunk_data"):
            self._wanted -= self._take(min(self._wanted, len(self._buffer)))
            if self._wanted == 0 and not self.complete:
                if self._state == "length":
                    self.complete = True
                else:
                    self._state = "chunk_end"
        else:
            newline = self._buffer.find(b"\n")
            if newline < 0 or newline > LINE_LIMIT:
                if len(self._buffer) > LINE_LIMIT:
                    raise ValueError("a chunk's size line is longer than %d bytes" % LINE_LIMIT)
                return False
            line = bytes(self._buffer[:newline]).strip()
            del self._buffer[:newline + 1]
            if self._state == "chunk_end":
                if line:
                    raise ValueError("a chunk does not end where its size says")
                self._state = "chunk_size"
            else:
                size = line.partition(b";")[0].strip()
                if not size or len(size) > 16 or size.strip(b"0123456789abcdefABCDEF"):
                    raise ValueError("%r is not a chunk's size" % size[:20])
                self._wanted = int(size, 16)
                self._state = "chunk_data"
                self.complete = self._wanted == 0  # trailers are not read
        return True

    def _take(self, count: int) -> int:
        room = self._limit - self.taken
        self.body += self._buffer[:min(count, room)]
        self.taken += min(count, room)
        del self._buffer[:count]
        if count > room or (count == room and (self._state == "close" or self._wanted > count)):
            self._stop()
        return count


def parse_head(head: bytes) -> Tuple[int, Dict[str, str]]:
    """Status and the headers of :data:`HEADERS` (lower case, the first of a name) of a response's head."""
    lines = head.split(b"\n")
    parts = lines[0].strip().split(None, 2)
    if len(parts) < 2 or parts[0] not in (b"HTTP/1.0", b"HTTP/1.1") or len(parts[1]) != 3 or not parts[1].isdigit():
        raise ValueError("not an HTTP/1.x status line: %r" % lines[0][:40])
    status = int(parts[1])
    if status < 100:
        raise ValueError("not an HTTP status: %d" % status)
    headers: Dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        key = name.decode("latin-1").lower()
        if colon and key in HEADERS and key not in headers:
            headers[key] = value.strip().decode("latin-1")[:LOCATION_LIMIT if key == "location" else VALUE_LIMIT]
    return status, headers


def greeting(data: bytes) -> Optional[str]:
    """What else than HTTP/1.x the first bytes of an answer are: an error kind, or None where it cannot be told yet."""
    if data[:7] == b"HTTP/1."[:len(data)]:
        return None
    if len(data) >= 3 and data[0] in (0x15, 0x16) and data[1] == 3 and data[2] <= 4:
        return TLS_EXPECTED  # a TLS alert or handshake record (RFC 8446, 5.1)
    if len(data) >= 9 and data[3] == 4 and data[5:9] == b"\0\0\0\0" and struct.unpack(">I", b"\0" + data[:3])[0] % 6 == 0:
        return HTTP2  # a SETTINGS frame of stream 0 (RFC 9113, 6.5): what an HTTP/2 server says first
    if len(data) < 9 and (data[:2] == b"\0\0" or data[0] in (0x15, 0x16)):
        return None
    return NOT_HTTP


def request(target: Target, path: str) -> bytes:
    """The bytes of the one request that is ever sent. ValueError where the path would smuggle a line in."""
    if not path.startswith("/") or any(ord(char) <= 0x20 or ord(char) >= 0x7F for char in path):
        raise ValueError("%r is not a request path" % path[:80])
    lines = ["GET %s HTTP/1.1" % path, "Host: " + target.authority, "User-Agent: " + USER_AGENT, "Accept: */*",
             "Connection: close"]
    if target.authorization:
        lines.append("Authorization: " + target.authorization)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def get(target: Target, path: str, *, timeout: float = TIMEOUT, limit: int = BODY_LIMIT) -> Answer:
    """GET ``path`` of ``target`` within ``timeout`` seconds, name resolution and handshake included.

    Never raises for what the other side does: the answer's ``error`` and ``detail`` say it. ValueError for a path that
    is none.
    """
    with Download(target, path, timeout=timeout, limit=limit) as download:
        answer = download.answer
        answer.body = b"".join(download)
    if (answer.status == 400 and not answer.tls and not answer.error
            and (answer.body.startswith(b"Client sent an HTTP request to an HTTPS server")  # Go, net/http/server.go
                 or b"plain HTTP request was sent to HTTPS port" in answer.body)):            # nginx
        answer.error, answer.detail = TLS_EXPECTED, "HTTPS: answers a plain request with 400"
    return answer


def fetch(target: Target, path: str, *, timeout: float, limit: int) -> Answer:
    """As :func:`get`, for bodies that may be large: up to ``limit`` bytes and what frames them. A body over the limit is
    dropped: ``truncated`` then."""
    with Download(target, path, timeout=timeout, limit=limit, wire=limit + (limit >> 3) + WIRE_LIMIT) as download:
        pieces: List[bytes] = []
        for piece in download:
            pieces.append(piece)
            if download.answer.truncated:
                pieces.clear()
        download.answer.body = b"".join(pieces)
    return download.answer


class Download:
    """One GET whose body is handed over piece by piece, and not kept: iterate over it, inside ``with``.

    The request is sent and the head read when the context is entered; ``answer`` then has status and headers, or the error.
    Nothing is raised for what the other side does: iteration ends, and ``answer.error`` says why (None: the body is whole,
    unless ``answer.truncated``). ``answer.body`` stays empty. ValueError for a path that is none.
    """

    def __init__(self, target: Target, path: str, *, timeout: float, limit: int, wire: int = WIRE_LIMIT) -> None:
        self.answer = Answer()
        self._target = target
        self._payload = request(target, path)
        self._timeout = timeout
        self._started = time.monotonic()
        self._deadline = self._started + timeout
        self._response = Response(limit, wire=wire)
        self._sock: Optional[socket.socket] = None
        self._pieces = self._guarded()
        self._first = b""

    def __enter__(self) -> Download:
        for piece in self._pieces:
            self._first = piece
            if self.answer.status is not None:
                break
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self._pieces.close()
        self._close()
        self.answer.ms = self.answer.ms or int((time.monotonic() - self._started) * 1000)

    def __iter__(self) -> Iterator[bytes]:
        if self._first:
            first, self._first = self._first, b""
            yield first
        for piece in self._pieces:
            if piece:
                yield piece

    @property
    def received(self) -> int:
        """Bytes of the body so far."""
        return self._response.taken

    def _close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _guarded(self) -> Generator[bytes, None, None]:
        answer = self.answer
        try:
            self._sock = connect(self._target, self._deadline, answer)
            if self._target.scheme == "https":
                self._sock = wrap(self._sock, self._target, self._deadline)
                answer.tls = True
            self._sock.settimeout(_left(self._deadline))
            try:
                self._sock.sendall(self._payload)
            except (BrokenPipeError, ConnectionResetError):
                pass  # what the server said before it hung up may still be there to read
            yield from _receive(self._sock, answer, self._deadline, self._response)
        except ProbeError as failure:
            answer.error, answer.detail = failure.kind, failure.detail
        except OSError as exc:
            answer.error, answer.detail = kind_of(exc, answer)
            answer.errno = exc.errno
        finally:
            self._close()
        if answer.error == CLOSED and answer.tls and _wants_certificate(self._target, self._deadline):
            answer.error, answer.detail = CLIENT_CERTIFICATE, "TLS that asks for a client certificate"
        if answer.error == TIMEOUT_KIND:
            what = "did not end its answer" if answer.status else "did not answer" if answer.connected else "no connection"
            answer.detail = "%s within %g s" % (what, self._timeout)
        answer.ms = int((time.monotonic() - self._started) * 1000)


class ProbeError(Exception):
    """An end that is known by its kind already."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ProbeError(TIMEOUT_KIND, "")
    return left


def connect(target: Target, deadline: float, answer: Answer) -> socket.socket:
    """A connected socket (no TLS yet); OSError or :class:`ProbeError`. Notes in ``answer`` what was reached."""
    addresses: List[Tuple[int, Any]]
    if target.unix:
        addresses = [(int(socket.AF_UNIX), "\0" + target.unix[1:] if target.unix.startswith("@") else target.unix)]
    else:
        addresses = resolve(target.host, target.port, deadline)
    failure: Optional[OSError] = None
    for position, (family, address) in enumerate(addresses):
        # The first of several addresses may not eat the time of the others.
        share = _left(deadline) / (len(addresses) - position)
        sock: Optional[socket.socket] = None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(share)
            sock.connect(address)
        except OSError as exc:
            failure = exc
            if sock is not None:
                sock.close()
            continue
        answer.connected = True
        answer.peer = None if target.unix else str(address[0])
        answer.source = None if target.unix else str(sock.getsockname()[0])
        return sock
    if failure is None:
        raise ProbeError(RESOLVE, "%s has no address" % target.host)
    raise failure


def resolve(host: str, port: int, deadline: float) -> List[Tuple[int, Any]]:
    """(family, address) pairs of a host, the literal at once, a name within the deadline (getaddrinfo has none)."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [(int(family), address) for family, _type, _proto, _name, address in found][:4]
    except (socket.gaierror, UnicodeError):
        pass
    result: List[Any] = []

    def ask() -> None:
        try:
            result.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:  # UnicodeError: a label that IDNA refuses
            result.append(exc)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_left(deadline))
    if not result:
        raise ProbeError(TIMEOUT_KIND, "")
    if isinstance(result[0], Exception):
        raise ProbeError(RESOLVE, "%s cannot be resolved: %s" % (host, getattr(result[0], "strerror", None) or result[0]))
    return [(int(family), address) for family, _type, _proto, _name, address in result[0]][:4]


def wrap(sock: socket.socket, target: Target, deadline: float) -> socket.socket:
    """TLS over a connected socket, which is closed where that fails; OSError or :class:`ProbeError`."""
    import ssl  # 20 ms of start-up that most hosts do not need
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # A name for SNI and, where the certificate is verified, the address too: ssl sends no SNI for one (RFC 6066, 3).
    host = target.name or target.host
    named = bool(host) and ":" not in host and not host.replace(".", "").isdigit()
    if target.verify:
        host = host or "localhost"  # over a unix socket
        named = True
        try:
            if target.ca_file:
                context.load_verify_locations(cafile=target.ca_file)
            else:
                context.load_default_certs()
        except (OSError, ValueError) as exc:
            sock.close()
            reason = "holds no certificate" if isinstance(exc, ssl.SSLError) else getattr(exc, "strerror", None) or str(exc)
            raise ProbeError(CERTIFICATE, "the CA file %s cannot be used: %s" % (target.ca_file, reason.lower())) from None
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    sock.settimeout(_left(deadline))
    try:
        return context.wrap_socket(sock, server_hostname=host if named else None)
    except socket.timeout:
        sock.close()
        raise
    except (OSError, ValueError) as exc:
        sock.close()
        raise _tls_failure(exc) from None


def _wants_certificate(target: Target, deadline: float) -> bool:
    """Whether a TLS 1.3 server hangs up for want of a client certificate. It says so after the handshake (RFC 8446,
    4.4.2.4), and the reset that our request meets can swallow that: shake hands again, and only listen."""
    sock: Optional[socket.socket] = None
    try:
        sock = wrap(connect(target, deadline, Answer()), target, deadline)
        sock.settimeout(min(0.5, _left(deadline)))
        sock.recv(1)
    except ProbeError as failure:
        return failure.kind == CLIENT_CERTIFICATE
    except OSError as exc:
        return _tls_failure(exc).kind == CLIENT_CERTIFICATE
    finally:
        if sock is not None:
            sock.close()
    return False


def _tls_failure(exc: Exception) -> ProbeError:
    reason = str(getattr(exc, "reason", None) or exc)
    upper = reason.upper()
    if "NO_APPLICATION_PROTOCOL" in upper:
        return ProbeError(HTTP2, "TLS that does not offer HTTP/1.1 (no_application_protocol)")
    if "CERTIFICATE_VERIFY_FAILED" in upper:
        said = str(getattr(exc, "verify_message", "") or "").rstrip(".") or "certificate verify failed"
        return ProbeError(CERTIFICATE, "the server's certificate is not good: %s" % (said[:1].lower() + said[1:])[:160])
    if any(word in upper for word in ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE_CERTIFICATE")):
        return ProbeError(CLIENT_CERTIFICATE, "TLS that asks for a client certificate")
    return ProbeError(TLS, "TLS handshake failed: %s" % reason[:120])


def _receive(sock: socket.socket, answer: Answer, deadline: float, response: Response) -> Iterator[bytes]:
    """The pieces of the body as they come, an empty one when the head is whole. Fills ``answer``, but for its body."""
    first = b""
    headed = False
    try:
        while not response.complete:
            sock.settimeout(_left(deadline))
            data = sock.recv(16384)
            if len(first) < 16:
                first += data[:16]
                kind = greeting(first) if first else None
                if kind is None and first[:7] != b"HTTP/1."[:len(first)]:
                    if data:
                        continue  # too little of what is no HTTP to say what it is
                    kind = NOT_HTTP
                if kind is not None:
                    raise ProbeError(kind, {TLS_EXPECTED: "answers with a TLS record", HTTP2: "speaks HTTP/2 only"}.get(
                        kind, "does not speak HTTP: answered %r" % first))
            if not data:
                response.finish()
                break
            response.feed(data)
            answer.status, answer.headers, answer.truncated = _final(response.status), response.headers, response.truncated
            if response.taken or (answer.status is not None and not headed):
                headed = True
                yield response.drain()
    except ValueError as exc:
        answer.status, answer.headers = _final(response.status), response.headers
        yield response.drain()
        kind = INCOMPLETE if response.status else NOT_HTTP if first else CLOSED
        raise ProbeError(kind, str(exc) if first else "closed the connection without an answer") from None
    finally:
        answer.status, answer.headers, answer.truncated = _final(response.status), response.headers, response.truncated


def _final(status: Optional[int]) -> Optional[int]:
    """An interim answer is none."""
    return None if status is not None and 100 <= status < 200 and status != 101 else status


def kind_of(exc: OSError, answer: Answer) -> Tuple[str, str]:
    """(kind, one sentence for people) of what a system call said."""
    if isinstance(exc, socket.timeout):
        return TIMEOUT_KIND, ""
    text = os.strerror(exc.errno) if exc.errno and 0 < exc.errno < 200 else str(exc)
    if answer.tls or type(exc).__module__ == "ssl" or "SSL" in type(exc).__name__:
        failure = _tls_failure(exc)
        # In TLS 1.3 the server says only after our Finished that it wanted a certificate (RFC 8446, 4.4.2.4).
        return (failure.kind, failure.detail) if failure.kind != TLS else (CLOSED, "closed the connection: %s" % text[:120])
    if isinstance(exc, (ConnectionResetError, BrokenPipeError)) or exc.errno == errno.ECONNABORTED:
        return (CLOSED, "closed the connection without an answer") if answer.connected else (REFUSED, "connection reset")
    if isinstance(exc, ConnectionRefusedError):
        return REFUSED, "connection refused"
    if isinstance(exc, PermissionError):
        # EPERM is what a local firewall rule answers; EACCES what a socket file's mode says.
        return DENIED, text.lower()
    if isinstance(exc, FileNotFoundError):
        return MISSING, "there is no such socket"
    if exc.errno == errno.EPROTOTYPE:  # a unix socket of datagrams
        return NOT_HTTP, "not a stream socket"
    return UNREACHABLE, text.lower()


def side_by_side(function: Callable[[T], R], items: Sequence[T], *, workers: int = 8,
                 deadline: float) -> List[Optional[R]]:
    """``function`` of every item, at most ``workers`` at once; None for those not reached before ``deadline`` (of
    time.monotonic). An exception of one is raised when the others have ended."""
    results: List[Optional[R]] = [None] * len(items)
    failures: List[BaseException] = []
    lock = threading.Lock()
    waiting = iter(range(len(items)))

    def work() -> None:
        while time.monotonic() < deadline:
            with lock:
                index = next(waiting, None)
            if index is None:
                return
            try:
                results[index] = function(items[index])
            except Exception as exc:  # noqa: BLE001  (handed to the caller, below)
                failures.append(exc)

    threads = [threading.Thread(target=work, daemon=True) for _number in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()) + 0.2)
    if failures:
        raise failures[0]
    return list(results)
