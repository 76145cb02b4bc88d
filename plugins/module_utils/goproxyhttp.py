# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GET as the go command does it: through the environment's HTTP proxy, with netrc's credentials, certificates verified.

Public: :class:`Client`, :class:`Reply`, :class:`Connection`.

What cmd/go does (cmd/go/internal/web/http.go, cmd/go/internal/auth) and this does too: credentials go over https alone, netrc's
where the URL has none (before Go 1.24 netrc's came first); an http URL with credentials is refused; at most 10 redirects, none
from https to http, and no credentials at another host; a kept connection that was closed meanwhile is made anew; the CA store of
crypto/x509 with SSL_CERT_FILE and SSL_CERT_DIR. It has no time limit of its own: that is ours, for everything together. What it
would get by running a program (GOAUTH) is not got here. HTTP/2 is not spoken.
"""
from __future__ import annotations

import errno
import os
import select
import socket
import stat
import threading
import time
from dataclasses import dataclass, field
from typing import IO, Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import certificate, goproxyproto, httpprobe, netrc
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import ProbeError
from ansible_collections.goready.preflight.plugins.module_utils.redact import redact_url

BODY_LIMIT = 1 << 20
REDIRECTS = 10            # net/http, defaultCheckRedirect
FALLBACK_SECONDS = 0.3    # net.Dialer, FallbackDelay (RFC 6555)
CA_FILE_LIMIT = 4 << 20
CA_COUNT_LIMIT = 2000

# Kinds of error beside those of httpprobe.
HTTP_PROXY, INSECURE, REDIRECT, UNSUPPORTED = "http_proxy", "insecure", "redirect", "unsupported"
_HTTP2_ALONE = "speaks HTTP/2 only, which this collection does not"
_PORTS = {"http": 80, "https": 443}


@dataclass
class Reply:
    """What came back. ``phases`` in ms: ``dns``, ``connect``, ``tls`` (of the last connection that had to be made; none where a kept
    one was used), ``first_byte`` (from the request to its first byte), ``total`` (all of it, redirects too). ``setup`` is the
    part of the total that went into making connections, ``opened`` how many were made."""

    status: Optional[int] = None
    headers: Dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    size: int = 0
    truncated: bool = False
    error: str = ""
    detail: str = ""
    phases: Dict[str, float] = field(default_factory=dict)
    redirects: int = 0
    via: str = ""
    reused: bool = False
    opened: int = 0
    setup: float = 0.0
    credentials: bool = False  # whether some were sent


class Connection:
    """Keeps the connections of one worker open for its next requests, as net/http does: several, for a proxy may redirect."""

    KEPT = 4

    def __init__(self) -> None:
        self._kept: Dict[Tuple[Any, ...], socket.socket] = {}

    def take(self, key: Tuple[Any, ...]) -> Optional[socket.socket]:
        sock = self._kept.pop(key, None)
        if sock is None:
            return None
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        if not poller.poll(0):
            return sock
        sock.close()  # readable: it was closed meanwhile
        return None

    def keep(self, key: Tuple[Any, ...], sock: socket.socket) -> None:
        self._kept[key] = sock
        while len(self._kept) > self.KEPT:
            self._kept.pop(next(iter(self._kept))).close()

    def close(self) -> None:
        while self._kept:
            self._kept.popitem()[1].close()


class Client:
    """Asks as a user's go would. ``environment``: the variables of that user's shell; ``logins``: the text of that user's netrc;
    ``root`` is put before the CA store's paths."""

    def __init__(self, environment: Mapping[str, str], logins: str = "", *, root: str = "") -> None:
        self._environment = environment
        self._logins: Dict[str, str] = {}
        self._root = root.rstrip("/")
        self._tls: Dict[str, Any] = {}
        self._lock = threading.Lock()
        for entry in netrc.entries(logins):
            if entry.machine and entry.login and entry.password:
                try:
                    self._logins.setdefault(entry.machine, httpprobe.authorization(entry.login, entry.password))
                except ValueError:
                    continue

    def get(self, url: str, *, timeout: float, limit: int = BODY_LIMIT, sink: Optional[IO[bytes]] = None,
            connection: Optional[Connection] = None) -> Reply:
        """GET ``url``. Never raises for what the other side does. The body goes to ``sink`` where there is one; beyond ``limit``
        it is cut (``truncated``)."""
        reply = Reply()
        mine = connection or Connection()
        started = time.monotonic()
        deadline = started + timeout
        try:
            self._follow(url, reply, deadline, limit, sink, mine)
        except ProbeError as failure:
            reply.error, reply.detail = failure.kind, failure.detail
        except OSError as exc:
            reply.error, reply.detail = _kind(exc, reply)
        except ValueError as exc:
            reply.error, reply.detail = (httpprobe.INCOMPLETE if reply.status else httpprobe.NOT_HTTP), str(exc)[:200]
        finally:
            if reply.error or connection is None:
                mine.close()
        if reply.error == httpprobe.TIMEOUT_KIND:
            what = "did not end its answer" if reply.status else "did not answer" if "connect" in reply.phases or reply.reused \
                else "no connection"
            reply.detail = "%s within %g s" % (what, round(timeout, 1))
        reply.phases["total"] = _ms(started)
        return reply

    def _follow(self, url: str, reply: Reply, deadline: float, limit: int, sink: Optional[IO[bytes]], connection: Connection) -> None:
        first = _split(url)[0]
        if first.scheme not in _PORTS or not first.hostname:  # GOSUMDB may hold anything
            raise ProbeError(httpprobe.UNREACHABLE, "it is no http or https URL with a host")
        if first.scheme == "http" and first.username is not None:
            raise ProbeError(INSECURE, "go refuses to pass credentials to an http URL")
        sent = self.login_for(url) if first.scheme == "https" else ""
        keep = sent  # what a redirect to the same host inherits: a header, not what stands in the URL
        if not sent and first.scheme == "https":
            sent = _userinfo(url)
        while True:
            self._ask(url, sent, reply, deadline, limit, sink, connection)
            where = reply.headers.get("location", "")
            if reply.status not in (301, 302, 303, 307, 308) or not where:
                return
            reply.redirects += 1
            if reply.redirects >= REDIRECTS:
                raise ProbeError(REDIRECT, "stopped after %d redirects" % REDIRECTS)
            try:
                target = urljoin(url, where)
            except ValueError:
                raise ProbeError(REDIRECT, "redirects to something that is no http or https URL") from None
            parts = _split(target)[0]
            if parts.scheme not in _PORTS or not parts.hostname:
                raise ProbeError(REDIRECT, "redirects to something that is no http or https URL")
            if first.scheme == "https" and parts.scheme != "https":
                raise ProbeError(REDIRECT, "redirects from https to http (%s), which go refuses" % _host_of(target))
            host, before = parts.hostname or "", first.hostname or ""
            if host != before and not host.endswith("." + before):
                keep = ""
            url, sent = target, keep or (_userinfo(target) if parts.scheme == "https" else "")
            if sink is not None:
                sink.seek(0)
                sink.truncate()

    def _ask(self, url: str, sent: str, reply: Reply, deadline: float, limit: int, sink: Optional[IO[bytes]],
             connection: Connection) -> None:
        """One request and its answer, without redirects."""
        parts, port = _split(url)
        host = parts.hostname or ""
        via = goproxyproto.http_proxy(url, self._environment)
        reply.via = redact_url(via)
        reply.status, reply.headers, reply.body, reply.size, reply.truncated = None, {}, b"", 0, False
        reply.credentials = bool(sent)
        path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        authority = "[%s]" % host if ":" in host else host
        authority += "" if port == _PORTS[parts.scheme] else ":%d" % port
        plain = bool(via) and parts.scheme == "http"
        lines = ["GET %s HTTP/1.1" % ("http://%s%s" % (authority, path) if plain else path),
                 "Host: " + authority, "User-Agent: " + httpprobe.USER_AGENT, "Accept: */*"]
        if sent:
            lines.append("Authorization: " + sent)
        if plain and _userinfo(via):
            lines.append("Proxy-Authorization: " + _userinfo(via))
        if any(ord(char) < 0x20 or ord(char) > 0x7E for line in lines for char in line) or " " in path:
            raise ProbeError(REDIRECT if reply.redirects else UNSUPPORTED, "%s has characters that no URL has" % redact_url(url)[:80])
        payload = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
        key = (parts.scheme, host, port, via)
        whole = False
        while True:
            sock: Any = connection.take(key)
            reply.reused = sock is not None
            reply.phases.pop("first_byte", None)
            if sock is None:
                started = time.monotonic()
                sock = self._open(parts.scheme, host, port, via, reply, deadline)
                reply.opened += 1
                reply.setup += _ms(started)
            started = time.monotonic()
            try:
                sock.settimeout(_left(deadline))
                sock.sendall(payload)
                whole = self._receive(sock, reply, deadline, limit, sink, started)
                break
            except BaseException as exc:
                agreed = sock.selected_alpn_protocol() if parts.scheme == "https" else "http/1.1"
                sock.close()
                if not _hung_up(exc, reply):
                    raise
                if not reply.reused:
                    if agreed is None and self._offers_http2(host, port, via, deadline):
                        raise ProbeError(httpprobe.HTTP2, _HTTP2_ALONE) from None
                    raise
                # It was closed while the request was on its way: net/http makes another then (shouldRetryRequest).
        if whole:
            connection.keep(key, sock)
        else:
            sock.close()

    def _offers_http2(self, host: str, port: int, via: str, deadline: float) -> bool:
        """Whether a TLS server that hung up on the request takes HTTP/2. One made with Go that does nothing else does not refuse the
        handshake without it (crypto/tls, negotiateALPN)."""
        try:
            sock: Any = self._open("https", host, port, via, Reply(), deadline, protocol="h2")
        except (OSError, ProbeError):
            return False
        with sock:
            return bool(sock.selected_alpn_protocol() == "h2")

    def _receive(self, sock: socket.socket, reply: Reply, deadline: float, limit: int, sink: Optional[IO[bytes]], started: float) -> bool:
        """Fill ``reply``. True where the connection can take another request."""
        response = httpprobe.Response(limit, wire=limit + (limit >> 3) + httpprobe.WIRE_LIMIT)
        first = b""
        pieces: List[bytes] = []
        while not response.complete:
            sock.settimeout(_left(deadline))
            data = sock.recv(65536)
            if not data:
                if not first:
                    raise ProbeError(httpprobe.CLOSED, "closed the connection without an answer")
                reply.status = response.status
                response.finish()
                break
            if not first:
                data = data.lstrip(b"\r\n")  # what a chunked answer before this one ended with (RFC 9112, 2.2)
                if not data:
                    continue
                reply.phases["first_byte"] = _ms(started)
                first = data[:16]
                other = httpprobe.greeting(first)
                if other == httpprobe.HTTP2 and not hasattr(sock, "selected_alpn_protocol"):
                    raise ProbeError(httpprobe.NOT_HTTP, "speaks HTTP/2 without TLS, which go does not")
                if other is not None:
                    words = {httpprobe.TLS_EXPECTED: "answers with a TLS record", httpprobe.HTTP2: _HTTP2_ALONE}
                    raise ProbeError(other, words.get(other, "does not speak HTTP"))
            try:
                response.feed(data)
            finally:
                reply.status, reply.headers, reply.truncated = response.status, response.headers, response.truncated
            piece = response.drain()
            reply.size += len(piece)
            if sink is not None and reply.status == 200:
                try:
                    sink.write(piece)
                except OSError as exc:
                    raise ProbeError(UNSUPPORTED, "there is no room on this host for what it sends: %s" % exc.strerror) from None
            elif piece:
                pieces.append(piece)
        reply.status, reply.headers, reply.truncated = response.status, response.headers, response.truncated
        reply.body = b"".join(pieces)
        framed = "content-length" in reply.headers or "chunked" in reply.headers.get("transfer-encoding", "")
        return framed and not reply.truncated and "close" not in reply.headers.get("connection", "").lower()

    # --- connecting -----------------------------------------------------------------------------------------------------

    def _open(self, scheme: str, host: str, port: int, via: str, reply: Reply, deadline: float, *, protocol: str = "http/1.1"
              ) -> socket.socket:
        for name in ("dns", "connect", "tls"):
            reply.phases.pop(name, None)
        if not via:
            sock = _dial(host, port, reply, deadline)
        else:
            way, way_port = _split(via)
            if way.scheme not in ("http", "https") or not way.hostname:
                raise ProbeError(UNSUPPORTED, "the HTTP proxy %s is of a kind that is not spoken here" % redact_url(via)[:80])
            if way.scheme == "https" and scheme == "https":
                raise ProbeError(UNSUPPORTED, "TLS through the https proxy %s is not spoken here" % redact_url(via)[:80])
            try:
                sock = _dial(way.hostname, way_port, reply, deadline)
            except ProbeError as failure:
                raise ProbeError(failure.kind, "the HTTP proxy %s: %s" % (_host_of(via), failure.detail)) from None
            except OSError as exc:
                kind, detail = _kind(exc, reply)
                if kind == httpprobe.TIMEOUT_KIND:
                    raise ProbeError(kind, "") from None
                raise ProbeError(kind, "the HTTP proxy %s: %s" % (_host_of(via), detail)) from None
            if way.scheme == "https":
                sock = self._wrap(sock, way.hostname, reply, deadline)
            elif scheme == "https":
                _tunnel(sock, host, port, via, deadline)
        return self._wrap(sock, host, reply, deadline, protocol) if scheme == "https" else sock

    def _wrap(self, sock: socket.socket, host: str, reply: Reply, deadline: float, protocol: str = "http/1.1") -> socket.socket:
        import ssl  # 20 ms of start-up that most hosts do not need
        with self._lock:
            if protocol not in self._tls:
                self._tls[protocol] = self._context(protocol)
        started = time.monotonic()
        try:
            sock.settimeout(_left(deadline))
            wrapped: socket.socket = self._tls[protocol].wrap_socket(sock, server_hostname=host)
        except socket.timeout:
            sock.close()
            raise
        except ssl.SSLError as exc:
            sock.close()
            raise _tls_failure(exc) from None
        except (OSError, ValueError) as exc:
            sock.close()
            text = str(getattr(exc, "strerror", None) or exc).lower()
            raise ProbeError(httpprobe.TLS, "closed the connection in the TLS handshake: %s" % text[:120]) from None
        reply.phases["tls"] = _ms(started)
        return wrapped

    def _context(self, protocol: str) -> Any:
        import ssl
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # crypto/tls, since Go 1.18
        try:
            context.hostname_checks_common_name = False  # crypto/x509, since Go 1.15
        except AttributeError:
            pass  # an OpenSSL that cannot
        context.verify_flags |= certificate.PARTIAL_CHAIN
        context.set_alpn_protocols([protocol])
        for path in self.ca_files():
            try:
                context.load_verify_locations(cafile=path)
            except (OSError, ValueError):
                continue  # go skips what holds no certificate
        return context

    def ca_files(self) -> List[str]:
        """The files that go reads its CAs from, each once, with the root before them."""
        named = self._environment.get("SSL_CERT_FILE")
        folders = self._environment.get("SSL_CERT_DIR")
        found: Dict[str, str] = {}
        for path in [named] if named else list(certificate.CA_FILES):
            if _regular(self._root + path):
                found[os.path.realpath(self._root + path)] = path
                break
        names: List[str] = []
        for folder in folders.split(":") if folders else certificate.CA_FOLDERS:
            try:
                names += ["%s/%s" % (folder, name) for name in sorted(os.listdir(self._root + folder)) if folder]
            except OSError:
                continue
        bundled = self._root + "/usr/share/ca-certificates/"  # update-ca-certificates(8) made the links and the bundle of the same files
        for path in names[:CA_COUNT_LIMIT]:
            real = os.path.realpath(self._root + path)
            if real not in found and not (found and not named and real.startswith(bundled)) and _regular(real):
                found[real] = path
        return list(found)

    def login_for(self, url: str) -> str:
        """The Authorization header that netrc has for an https URL: of the longest of ``host[:port]/path`` that is a machine, "" for
        none. What stands before the ``@`` is a part of that name (cmd/go/internal/auth, loadCredential): such a URL has none."""
        parts = urlsplit(url)
        prefix = (parts.netloc + parts.path).rstrip("/")
        while prefix:
            if prefix in self._logins:
                return self._logins[prefix]
            if "/" not in prefix:
                return ""
            prefix = prefix.rpartition("/")[0]
        return ""


def _regular(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= CA_FILE_LIMIT


def _split(url: str) -> Tuple[SplitResult, int]:
    """A URL's parts and port. What urlsplit() says of a bad one may repeat a part of a password: nothing of it is told."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ProbeError(UNSUPPORTED, "a URL has brackets that are not those of an IPv6 address") from None
    try:
        return parts, parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        raise ProbeError(httpprobe.UNREACHABLE, "a URL has a port that is none") from None


def _hung_up(exc: BaseException, reply: Reply) -> bool:
    """Whether the connection was closed before a byte of an answer came."""
    kind = exc.kind if isinstance(exc, ProbeError) else _kind(exc, reply)[0] if isinstance(exc, OSError) else ""
    return kind == httpprobe.CLOSED and "first_byte" not in reply.phases


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ProbeError(httpprobe.TIMEOUT_KIND, "")
    return left


def _ms(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _userinfo(url: str) -> str:
    """The Basic header of what stands before the ``@`` of a URL, "" where nothing does or it cannot be sent."""
    userinfo, at, _host = _split(url)[0].netloc.rpartition("@")
    if not at:
        return ""
    name, _colon, password = userinfo.partition(":")
    try:
        return httpprobe.authorization(unquote(name), unquote(password))
    except ValueError:
        return ""


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or url[:60]


def _dial(host: str, port: int, reply: Reply, deadline: float) -> socket.socket:
    """A connected socket. As net.Dialer does, the other address family is tried 0.3 s after the first one was. So is the next
    address of the same family, for which go waits longer (a share of 30 s): ``connect`` shows that the first one is dead."""
    started = time.monotonic()
    addresses = httpprobe.resolve(host, port, deadline)
    reply.phases["dns"] = _ms(started)
    if not addresses:
        raise ProbeError(httpprobe.RESOLVE, "%s has no address" % host)
    first = addresses[0][0]
    waiting = [one for one in addresses if one[0] == first] + [one for one in addresses if one[0] != first]
    started = time.monotonic()
    pending: Dict[int, socket.socket] = {}
    failure: Optional[OSError] = None
    due = started
    try:
        while waiting or pending:
            left = _left(deadline)
            if waiting and (not pending or time.monotonic() >= due):
                family, address = waiting.pop(0)
                due = time.monotonic() + FALLBACK_SECONDS
                try:
                    sock = socket.socket(family, socket.SOCK_STREAM)
                    sock.setblocking(False)
                    code = sock.connect_ex(address)
                except OSError as exc:
                    failure = failure or exc
                    continue
                if code not in (0, errno.EINPROGRESS):
                    failure = failure or OSError(code, os.strerror(code))
                    sock.close()
                    continue
                pending[sock.fileno()] = sock
            wait = min(left, max(0.0, due - time.monotonic())) if waiting else left
            poller = select.poll()
            for descriptor in pending:
                poller.register(descriptor, select.POLLOUT)
            for descriptor, _event in poller.poll(wait * 1000):
                sock = pending.pop(descriptor)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    reply.phases["connect"] = _ms(started)
                    return sock
                failure = failure or OSError(code, os.strerror(code))
                sock.close()
    finally:
        for sock in pending.values():
            sock.close()
    raise failure or ProbeError(httpprobe.TIMEOUT_KIND, "")


def _tunnel(sock: socket.socket, host: str, port: int, via: str, deadline: float) -> None:
    """CONNECT through an HTTP proxy (RFC 9110, 9.3.6)."""
    name = "%s:%d" % ("[%s]" % host if ":" in host else host, port)
    lines = ["CONNECT %s HTTP/1.1" % name, "Host: " + name, "User-Agent: " + httpprobe.USER_AGENT]
    if _userinfo(via):
        lines.append("Proxy-Authorization: " + _userinfo(via))
    head = bytearray()
    try:
        sock.settimeout(_left(deadline))
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace"))
        while b"\r\n\r\n" not in head and len(head) < httpprobe.HEAD_LIMIT:
            sock.settimeout(_left(deadline))
            data = sock.recv(1)  # not a byte of what the tunnel carries
            if not data:
                break
            head += data
        status = httpprobe.parse_head(bytes(head))[0]
    except ValueError:
        sock.close()
        raise ProbeError(HTTP_PROXY, "the HTTP proxy %s does not answer CONNECT with HTTP" % _host_of(via)) from None
    except (OSError, ProbeError):
        sock.close()
        raise
    if not 200 <= status < 300:
        sock.close()
        raise ProbeError(HTTP_PROXY, "the HTTP proxy %s answers CONNECT with %d" % (_host_of(via), status))


def _tls_failure(exc: Exception) -> ProbeError:
    reason = str(getattr(exc, "reason", None) or exc)
    upper = reason.upper()
    if "CERTIFICATE_VERIFY_FAILED" in upper:
        said = str(getattr(exc, "verify_message", "") or "certificate verify failed").rstrip(".")
        return ProbeError(httpprobe.CERTIFICATE, "the server's certificate is not good: %s" % (said[:1].lower() + said[1:])[:160])
    if "NO_APPLICATION_PROTOCOL" in upper:
        return ProbeError(httpprobe.HTTP2, _HTTP2_ALONE)
    if "WRONG_VERSION_NUMBER" in upper or "HTTP_REQUEST" in upper:
        return ProbeError(httpprobe.TLS, "answers the TLS handshake in clear")
    return ProbeError(httpprobe.TLS, "the TLS handshake failed: %s" % reason.lower().replace("_", " ")[:120])


def _kind(exc: OSError, reply: Reply) -> Tuple[str, str]:
    """The kind and the words of an OSError."""
    connected = "connect" in reply.phases or reply.reused
    if isinstance(exc, socket.timeout) or exc.errno == errno.ETIMEDOUT:
        return httpprobe.TIMEOUT_KIND, ""
    if isinstance(exc, (ConnectionResetError, BrokenPipeError)) or exc.errno == errno.ECONNABORTED or type(exc).__name__ == "SSLEOFError":
        if reply.status:
            return httpprobe.INCOMPLETE, "the connection was reset inside the answer"
        return (httpprobe.CLOSED, "reset the connection without an answer") if connected else (httpprobe.REFUSED, "connection reset")
    if type(exc).__module__ == "ssl" or "SSL" in type(exc).__name__:
        failure = _tls_failure(exc)
        return failure.kind, failure.detail
    if isinstance(exc, ConnectionRefusedError):
        return httpprobe.REFUSED, "connection refused"
    text = (os.strerror(exc.errno) if exc.errno and 0 < exc.errno < 200 else str(exc)).lower()
    if isinstance(exc, PermissionError):
        return httpprobe.DENIED, text  # what a rule of the host's own firewall answers
    return httpprobe.UNREACHABLE, text
