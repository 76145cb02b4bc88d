# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``connections``: how long the names, connections, handshakes and first bytes take that services depend on.

Every ``depends_on`` and ``health`` URL of the declared services is asked from the host itself: by its own resolver, each
address of a name by itself, a few samples spread over the window. Nothing is sent but a GET without credentials (http, https),
PostgreSQL's question for TLS, and TLS handshakes. Everything happens side by side under :class:`Schedule`, so that what hangs
costs its own time only; each connection ends after ``timeout`` seconds, each look-up after :data:`LOOKUP_SECONDS`.
"""
from __future__ import annotations

import errno
import heapq
import itertools
import os
import socket
import string
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import quote, urljoin

from ansible_collections.goready.preflight.plugins.module_utils import certificate, httpprobe, latency, resolvconf
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Budget, Context
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Target
from ansible_collections.goready.preflight.plugins.module_utils.redact import redact_text, redact_url

PORTS = {"http": 80, "https": 443, "postgres": 5432, "postgresql": 5432, "mysql": 3306, "redis": 6379, "rediss": 6379,
         "amqp": 5672, "amqps": 5671}
TLS = frozenset(("https", "tls", "rediss", "amqps"))
POSTGRES = frozenset(("postgres", "postgresql"))
#: Protocols whose server says something first, by their specification (MySQL, "Connection Phase").
GREETING = frozenset(("mysql",))
#: PostgreSQL, "SSLRequest": length 8, code 80877103. The answer is one byte; a server does not log who leaves then.
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"

ENDPOINTS_LIMIT = 64     # of one host
ADDRESSES_LIMIT = 8      # of one name
WORKERS = 32             # beside one for each name, whose look-up may hang
QUESTIONS = 4            # at once to one nameserver by itself
#: glibc waits 5 s for a nameserver before it asks the next one (resolv.conf(5), timeout): with less, a look-up that only
#: works slowly would be one that does not work.
LOOKUP_SECONDS = 6.0
QUERY_SECONDS = 3.0      # for one nameserver by itself
#: Where the server is not expected to speak first: how long is listened for a greeting, or for the connection's end.
LISTEN_SECONDS = 0.2
#: A host that finds no neighbour at an address says so after 3 s (arp(7), mcast_solicit); what comes sooner is somebody's answer.
NO_NEIGHBOUR_SECONDS = 1.0
#: So many time-outs in a row say what there is to say of an address.
GIVE_UP = 2
#: Beyond this, a second look-up is made and no third: each of them holds a thread.
SLOW_LOOKUP = 2.0

Error = Dict[str, Any]


@dataclass
class Endpoint:
    """One URL that is asked, and who declares it. ``unix`` is a socket's path instead of host and port; ``asks`` what is said
    once connected: ``http``, ``postgres``, ``greeting`` (wait for the server) or nothing."""

    url: str
    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    unix: str = ""
    asks: str = ""
    services: List[str] = field(default_factory=list)
    roles: List[str] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tls(self) -> bool:
        return self.scheme in TLS

    @property
    def target(self) -> Target:
        """The target of a GET; without what the URL has as user and password."""
        return Target(scheme="https" if self.tls else "http", host=ascii_name(self.host), port=self.port, unix=self.unix, path=self.path)


def ascii_name(host: str) -> str:
    """A name as it stands in a certificate and in the header Host (RFC 5890, A-label)."""
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def parse(url: str, role: str) -> Endpoint:
    """The endpoint of a declared URL; ValueError says what is wrong. Passwords in it are dropped here."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme in ("http", "https", "unix"):
        target = httpprobe.parse_url(url)
        # A socket that a service depends on may speak anything; a path behind it (":/healthz") says that it is HTTP.
        asks = "http" if scheme != "unix" or role == "health" or ":/" in rest else ""
        # What is no ASCII is sent in percent-encoding, as every client does it (RFC 3986, 2.1).
        path = quote(target.path, safe=string.punctuation)
        return Endpoint(url=url, scheme=scheme, host=target.host, port=target.port, path=path, unix=target.unix, asks=asks)
    if not separator or (scheme not in PORTS and scheme not in ("tcp", "tls", "kafka")):
        raise ValueError("%r is no scheme that can be asked" % scheme[:20])
    cut = min([rest.find(char) for char in "/?#" if char in rest] or [len(rest)])
    hostport = rest[:cut].rpartition("@")[2]
    host, tail = hostport, ""
    if hostport.startswith("["):
        host, _bracket, tail = hostport[1:].partition("]")
    elif ":" in hostport:
        host, _colon, tail = hostport.partition(":")
    port = tail.lstrip(":")
    if not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536)):
        raise ValueError("%s names no host and port" % redact_url(url)[:80])
    if not port and scheme not in PORTS:
        raise ValueError("%s names no port" % redact_url(url)[:80])
    return Endpoint(url=url, scheme=scheme, host=host, port=int(port) if port else PORTS[scheme],
                    asks="postgres" if scheme in POSTGRES else "greeting" if scheme in GREETING else "")


def declared(services: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Tuple[List[Endpoint], List[str]]:
    """The distinct endpoints of ``preflight_services``, and what is no URL that can be asked. ``options`` are
    ``active.network.endpoints``."""
    found: Dict[Tuple[str, str, int, str, str], Endpoint] = {}
    wrong: List[str] = []
    for service in services:
        urls = [("depends_on", url) for url in service.get("depends_on") or ()]
        urls += [("health", service["health"])] if service.get("health") else []
        for role, url in urls:
            try:
                one = parse(str(url), role)
            except ValueError as exc:
                wrong.append("%s of %s: %s" % (role, service.get("name"), exc))
                continue
            key = (one.scheme, one.host.lower(), one.port, one.unix, one.path if one.asks == "http" else "")
            one = found.setdefault(key, one)
            one.options = one.options or options.get(str(url)) or {}
            for value, values in ((str(service.get("name")), one.services), (role, one.roles)):
                if value not in values:
                    values.append(value)
    return list(found.values()), wrong


# ------------------------------------------------------------------------------------------------------- side by side

class Schedule:
    """Jobs that are due at a time (of time.monotonic), done by at most ``workers`` threads until ``end``. A job may add others.
    What is not begun at the end never is; what hangs is left behind in its daemon thread."""

    def __init__(self, *, end: float, workers: int = WORKERS) -> None:
        self.end = end
        self.failures: List[BaseException] = []
        self._workers = workers
        self._heap: List[Tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._active = 0

    def add(self, due: float, job: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._heap, (due, next(self._numbers), job))
            self._changed.notify()

    def run(self) -> None:
        """Return when nothing is left to do, or at the end."""
        threads = [threading.Thread(target=self._work, daemon=True) for _number in range(self._workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self.end - time.monotonic()) + 0.05)

    def _work(self) -> None:
        while True:
            with self._changed:
                while True:
                    now = time.monotonic()
                    if now >= self.end or (not self._heap and not self._active):
                        self._changed.notify_all()
                        return
                    wait = self.end - now if not self._heap else min(self._heap[0][0], self.end) - now
                    if self._heap and wait <= 0:
                        break
                    self._changed.wait(wait)
                job = heapq.heappop(self._heap)[2]
                self._active += 1
            try:
                job()
            except Exception as exc:  # noqa: BLE001 - a job that breaks leaves the others whole; it is told
                self.failures.append(exc)
            finally:
                with self._changed:
                    self._active -= 1
                    self._changed.notify_all()


# ------------------------------------------------------------------------------------------------------- names

@dataclass
class Lookup:
    """The look-ups of one name (or the address that it is)."""

    host: str
    literal: bool = False
    cold: Optional[float] = None
    warm: List[float] = field(default_factory=list)
    failed: int = 0  # warm look-ups that brought nothing
    addresses: List[Tuple[int, Any]] = field(default_factory=list)
    error: Optional[Error] = None
    queries: List[Dict[str, Any]] = field(default_factory=list)
    cut: int = 0  # addresses beyond the limit

    def facts(self) -> Optional[Dict[str, Any]]:
        if self.literal:
            return None
        return {
            "name": self.host, "cold": self.cold, "warm": latency.summary(self.warm), "asked": len(self.warm) + self.failed,
            "failed": self.failed, "addresses": [{"address": str(address[0]), "family": _family(family)}
                                                 for family, address in self.addresses],
            "left_out": self.cut, "error": self.error,
            "queries": sorted(self.queries, key=lambda one: str(one["server"])),
        }


def _family(family: int) -> str:
    return {int(socket.AF_INET): "inet", int(socket.AF_INET6): "inet6"}.get(family, "unix")


def getaddrinfo(host: str, seconds: float) -> Tuple[float, Any]:
    """(milliseconds, answer) of one look-up by the host's own libc, as a program on it does; the answer is a list of (family,
    (address, ...)), or an error. getaddrinfo(3) knows no deadline: the thread is left behind."""
    result: List[Tuple[float, Any]] = []
    done = threading.Event()

    def ask() -> None:
        started = time.monotonic()
        answer: Any
        try:
            found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
            # Each once: the libc gives an address as often as it stands in /etc/hosts.
            answer = list(dict.fromkeys((int(family), address) for family, _type, _protocol, _name, address in found))
        except socket.gaierror as exc:
            kind = "not_found" if exc.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)) else "no_answer"
            answer = {"kind": kind, "message": (exc.strerror or str(exc))}
        except (OSError, UnicodeError) as exc:  # UnicodeError: a label that IDNA refuses
            answer = {"kind": "name", "message": str(exc)}
        result.append((latency.milliseconds(time.monotonic() - started), answer))
        done.set()

    threading.Thread(target=ask, daemon=True).start()
    done.wait(seconds)
    if result:
        return result[0]
    return latency.milliseconds(seconds), {"kind": "timeout", "message": "no answer within %g s" % round(seconds, 1)}


def literal(host: str) -> List[Tuple[int, Any]]:
    """The address that ``host`` is; empty for a name."""
    try:
        return [(int(found[0]), found[4]) for found in socket.getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)][:1]
    except (socket.gaierror, UnicodeError):
        return []


def routed(family: int, address: Any) -> bool:
    """Whether the host has any way to that address: connecting a datagram socket sends nothing, and looks up the route. An
    IPv6 address on a host without IPv6 is no dead one: neither libc nor Go tries it first (RFC 6724, rule 1)."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address[0], 9, *address[2:]))
    except OSError as exc:
        return exc.errno not in (errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
    return True


# ------------------------------------------------------------------------------------------------------- one connection

@dataclass
class Sample:
    """One connection: milliseconds of its phases (None: not come so far), or the phase that failed."""

    connect: Optional[float] = None
    tls: Optional[float] = None
    first_byte: Optional[float] = None
    failure: Optional[Error] = None
    status: Optional[int] = None
    location: str = ""
    spoke: bool = False
    protocol: Optional[str] = None
    der: bytes = b""

    @property
    def total(self) -> float:
        return round(sum(value for value in (self.connect, self.tls, self.first_byte) if value is not None), 1)


class Failure(Exception):
    """The phase at which a connection ended, with a kind and a sentence."""

    def __init__(self, phase: str, kind: str, message: str) -> None:
        super().__init__(message)
        self.error: Error = {"phase": phase, "kind": kind, "message": message}


#: Kinds of a failed system call. The messages are the kernel's own (strerror).
_KINDS = {
    errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.EPIPE: "reset", errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable", errno.ENETUNREACH: "unreachable", errno.EACCES: "denied", errno.EPERM: "denied",
    errno.ENOENT: "missing", errno.EADDRNOTAVAIL: "no_local_port", errno.EMFILE: "no_descriptor", errno.ENFILE: "no_descriptor",
    errno.EAGAIN: "backlog",  # connect(2) of a unix socket whose backlog is full
}


_CLIENT_CERTIFICATE = "the server asks for a client certificate"


def _failure(phase: str, exc: OSError, seconds: float, what: str) -> Failure:
    if isinstance(exc, socket.timeout):
        return Failure(phase, "timeout", "%s within %g s" % (what, seconds))
    kind = _KINDS.get(exc.errno or 0, "failed")
    return Failure(phase, kind, redact_text((exc.strerror or str(exc)).lower())[:200])


def _tls_failure(exc: OSError, seconds: float) -> Failure:
    if isinstance(exc, socket.timeout):
        return Failure("tls", "timeout", "no TLS handshake within %g s" % seconds)
    reason = str(getattr(exc, "reason", None) or exc.strerror or exc)
    upper = reason.upper()
    if isinstance(exc, ConnectionResetError):
        return Failure("tls", "reset", "the connection was reset in the TLS handshake")
    if "EOF" in upper or isinstance(exc, BrokenPipeError):
        return Failure("tls", "closed", "the connection was closed in the TLS handshake")
    if any(word in upper for word in ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE_CERTIFICATE")):
        return Failure("tls", "client_certificate", _CLIENT_CERTIFICATE)
    return Failure("tls", "tls", "the TLS handshake failed: %s" % reason[:120])


def unverified() -> Any:
    """An ssl context that takes every certificate: what is shown is looked at, nothing secret is sent."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def load_store(context: Any) -> None:
    """The CA store that Go programs of this host use. ssl's default is that of the interpreter, which need not be the distribution's."""
    file = next((path for path in certificate.CA_FILES if os.path.isfile(path)), None)
    folder = next((path for path in certificate.CA_FOLDERS if os.path.isdir(path)), None)
    try:
        if file or folder:
            context.load_verify_locations(cafile=file, capath=folder)
            return
    except OSError:
        pass  # what holds no certificate
    context.load_default_certs()


class Trust:
    """The ssl contexts of an endpoint's options; made once, because reading the host's CA store takes longer than a handshake."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        import ssl  # 20 ms of start-up that most hosts do not need

        self.error: Optional[str] = None
        self.verify = options.get("validate_certs", True) is not False
        self.plain = unverified()
        self.http2 = unverified()
        self.http2.set_alpn_protocols(["h2"])
        self.checking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.checking.check_hostname = False  # the name is compared apart, so that each fault is told by itself
        self.checking.verify_flags |= certificate.PARTIAL_CHAIN
        self.nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody: it ends where the server shows its certificate
        self.nobody.check_hostname = False
        path = ""
        try:
            if options.get("ca_file"):
                path = str(options["ca_file"])
                self.checking.load_verify_locations(cafile=path)
            elif self.verify:
                load_store(self.checking)
            if options.get("cert_file"):
                path = str(options["cert_file"])
                for one in (self.plain, self.http2, self.checking):
                    # Without a password ssl would ask the terminal for that of an encrypted key.
                    one.load_cert_chain(path, options.get("key_file") or None, password="")
        except (OSError, ValueError) as exc:
            reason = "it holds no certificate or key that fits" if isinstance(exc, ssl.SSLError) else (
                getattr(exc, "strerror", None) or str(exc))
            self.error = "%s cannot be used: %s" % (path, reason.lower())


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("timed out")
    return left


def open_socket(endpoint: Endpoint, family: int, address: Any, deadline: float, seconds: float) -> socket.socket:
    """A connected socket; :class:`Failure` of phase ``connect`` else."""
    before = time.monotonic()
    to = address if family not in (socket.AF_INET, socket.AF_INET6) else (address[0], endpoint.port, *address[2:])
    try:
        return _connected(family, socket.SOCK_STREAM, to, deadline)
    except OSError as exc:
        if exc.errno == errno.EPROTOTYPE and not endpoint.asks:
            return _of_another_type(family, to, deadline, seconds)
        if isinstance(exc, ConnectionResetError):
            raise Failure("connect", "reset", "the connection was accepted and reset at once") from None
        failure = _failure("connect", exc, seconds, "no connection")
        if failure.error["kind"] == "unreachable" and time.monotonic() - before < NO_NEIGHBOUR_SECONDS:
            failure.error["kind"] = "failed"  # a router or packet filter refuses (ICMP): nobody waits for it
        raise failure from None


def _connected(family: int, kind: int, address: Any, deadline: float) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.settimeout(_left(deadline))
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _of_another_type(family: int, address: Any, deadline: float, seconds: float) -> socket.socket:
    """A unix socket of datagrams or packets (/dev/log): connecting sends nothing there, and is refused where nobody holds it."""
    failure = _failure("connect", OSError(errno.EPROTOTYPE, os.strerror(errno.EPROTOTYPE)), seconds, "no connection")
    for kind in (socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        try:
            return _connected(family, kind, address, deadline)
        except OSError as exc:
            failure = _failure("connect", exc, seconds, "no connection")
    raise failure from None


def shake_hands(context: Any, sock: socket.socket, host: str, deadline: float) -> Any:
    """The TLS connection over ``sock``; OSError as ssl raises it. The socket is closed then."""
    try:
        sock.settimeout(_left(deadline))
        return context.wrap_socket(sock, server_hostname=host.partition("%")[0].rstrip(".") or None)
    except OSError:  # the error of a bad certificate is a ValueError too
        sock.close()
        raise
    except ValueError as exc:  # a name that is none
        sock.close()
        raise OSError(str(exc)) from None


def probe(endpoint: Endpoint, family: int, address: Any, trust: Optional[Trust], seconds: float, *, http2: bool = False) -> Sample:
    """Connect once, and go as far as the protocol lets a stranger go, within ``seconds`` altogether. ``http2``: as a client of
    HTTP/2, whose server is only listened to."""
    sample = Sample()
    started = time.monotonic()
    deadline = started + seconds
    sock: Any = None
    try:
        sock = open_socket(endpoint, family, address, deadline, seconds)
        sample.connect = latency.milliseconds(time.monotonic() - started)
        if trust is not None:
            before = time.monotonic()
            try:
                sock = shake_hands(trust.http2 if http2 else trust.plain, sock, endpoint.host, deadline)
            except OSError as exc:
                raise _tls_failure(exc, seconds) from None
            sample.tls = latency.milliseconds(time.monotonic() - before)
            sample.protocol = sock.version()
            sample.der = sock.getpeercert(binary_form=True) or b""
            if http2 and sock.selected_alpn_protocol() != "h2":
                raise Failure("tls", "tls", "the server does not offer HTTP/2")
        if http2:
            _listen(endpoint, sock, sample, deadline, seconds)
        else:
            _converse(endpoint, sock, sample, deadline, seconds)
    except Failure as failure:
        sample.failure = failure.error
    finally:
        if sock is not None:
            sock.close()
    return sample


def _converse(endpoint: Endpoint, sock: Any, sample: Sample, deadline: float, seconds: float) -> None:
    if endpoint.asks == "http":
        _http(endpoint, sock, sample, deadline, seconds)
    elif endpoint.asks == "postgres":
        _postgres(endpoint, sock, sample, deadline, seconds)
    else:
        _listen(endpoint, sock, sample, deadline, seconds)


def _receive(sock: Any, deadline: float, seconds: float, what: str) -> bytes:
    """Bytes, none at the connection's end; Failure of phase ``first_byte``."""
    try:
        sock.settimeout(_left(deadline))
        return bytes(sock.recv(4096))
    except socket.timeout as exc:
        raise _failure("first_byte", exc, seconds, what) from None
    except OSError as exc:
        if "EOF" in str(exc).upper():  # TLS that was not closed as it should be
            return b""
        # A server that wants a client certificate says so after the handshake of TLS 1.3 (RFC 8446, 4.4.2.4).
        told = _tls_failure(exc, seconds) if getattr(exc, "reason", None) else None
        raise told or _failure("first_byte", exc, seconds, what) from None


def _http(endpoint: Endpoint, sock: Any, sample: Sample, deadline: float, seconds: float) -> None:
    response = httpprobe.Response(1)
    before = time.monotonic()
    reset = False
    try:
        sock.settimeout(_left(deadline))
        sock.sendall(httpprobe.request(endpoint.target, endpoint.path))
    except (BrokenPipeError, ConnectionResetError):
        reset = True  # what the server said before may still be there to read; the error itself is told once only
    except OSError as exc:
        raise _failure("first_byte", exc, seconds, "the request was not taken") from None
    while not _answered(response):
        data = _receive(sock, deadline, seconds, "no answer" if sample.first_byte is None else "no end of the answer's head")
        if data and sample.first_byte is None:
            sample.first_byte = latency.milliseconds(time.monotonic() - before)
            other = httpprobe.greeting(data)
            if other == httpprobe.HTTP2:
                sample.spoke = True  # a server of HTTP/2 without TLS (gRPC): it is there, and it answers
                return
            if other == httpprobe.TLS_EXPECTED:
                raise Failure("first_byte", "tls_expected", "it speaks TLS there, the URL says http")
        try:
            if data:
                response.feed(data)
            else:
                response.finish()
        except ValueError as exc:
            if _answered(response):
                break  # the head is whole: that is all that is wanted
            if reset and sample.first_byte is None:
                raise Failure("first_byte", "reset", "connection reset by peer") from None
            kind = "closed" if not data else "not_http"
            raise Failure("first_byte", kind, "the connection was closed without an answer" if not data and sample.first_byte is None
                          else str(exc)[:200]) from None
    sample.status = response.status
    sample.location = response.headers.get("location", "") if 300 <= (response.status or 0) < 400 else ""


def _answered(response: httpprobe.Response) -> bool:
    """Whether the head is there: of an interim answer (103 Early Hints), the real one follows (RFC 9110, 15.2)."""
    return response.status is not None and (response.status == 101 or not 100 <= response.status < 200)


def _postgres(endpoint: Endpoint, sock: Any, sample: Sample, deadline: float, seconds: float) -> None:
    before = time.monotonic()
    try:
        sock.settimeout(_left(deadline))
        sock.sendall(SSL_REQUEST)
    except OSError as exc:
        raise _failure("first_byte", exc, seconds, "the request was not taken") from None
    data = _receive(sock, deadline, seconds, "no answer")
    if not data:
        raise Failure("first_byte", "closed", "the connection was closed without an answer")
    sample.first_byte = latency.milliseconds(time.monotonic() - before)
    sample.spoke = True
    if data == b"S":
        # It is what a driver does next; and a server writes a line to its log where nobody does.
        context = unverified()  # what that takes is not the server's
        before = time.monotonic()
        try:
            tls = shake_hands(context, sock, endpoint.host, deadline)
        except socket.timeout as exc:
            raise _tls_failure(exc, seconds) from None
        except OSError:
            return  # a server may want a certificate that only the service has
        sample.tls = latency.milliseconds(time.monotonic() - before)
        sample.protocol = tls.version()
        try:
            # What is left unread (session tickets) makes close() a reset, and that a line in the server's log.
            tls.settimeout(min(_left(deadline), 0.5))
            tls.unwrap()
        except OSError:
            pass
        tls.close()


def _listen(endpoint: Endpoint, sock: Any, sample: Sample, deadline: float, seconds: float) -> None:
    before = time.monotonic()
    expected = endpoint.asks == "greeting"
    # Twice the time of the connect, for what a distant server sends at once.
    patience = deadline if expected else min(deadline, before + max(LISTEN_SECONDS, 2 * (sample.connect or 0) / 1000))
    try:
        data = _receive(sock, patience, seconds, "no greeting")
    except Failure as failure:
        if failure.error["kind"] == "timeout" and not expected:
            return  # the usual case: the client has to speak first
        raise
    if not data:
        raise Failure("first_byte", "closed", "the connection was accepted and closed at once")
    sample.spoke = True
    if expected and data[4:5] == b"\xff" and len(data) >= 7:
        # ERR_Packet instead of the handshake: 1040 too many connections, 1129 the host is blocked, 1130 it is not allowed.
        raise Failure("first_byte", "failed", "the server greets with error %d" % int.from_bytes(data[5:7], "little"))
    if expected:
        sample.first_byte = latency.milliseconds(time.monotonic() - before)


# ------------------------------------------------------------------------------------------------------- one address

@dataclass
class Lane:
    """The samples of one address of one endpoint."""

    endpoint: Endpoint
    family: int
    address: Any
    lookup: Lookup
    routed: bool = True
    http2: bool = False  # it takes nobody who does not offer HTTP/2
    samples: List[Sample] = field(default_factory=list)
    chain: Dict[str, Any] = field(default_factory=lambda: {"ok": None, "error": None})
    redirects: List[Dict[str, Any]] = field(default_factory=list)

    @property
    def good(self) -> List[Sample]:
        return [sample for sample in self.samples if sample.failure is None]

    def hopeless(self) -> bool:
        """Whether a further sample would only wait, or be refused, once more."""
        if self.samples and (self.samples[-1].failure or {}).get("kind") == "client_certificate":
            return True
        last = [sample.failure or {} for sample in self.samples[-GIVE_UP:]]
        return len(last) == GIVE_UP and all(one.get("kind") == "timeout" for one in last)

    def facts(self) -> Dict[str, Any]:
        good = self.good
        last = good[-1] if good else None
        spoken: Dict[str, Any] = {"certificate": None, "name": {"ok": None, "error": None}}
        der = next((sample.der for sample in self.samples if sample.der), b"")
        if der:
            spoken = describe(der, self.endpoint.host, bool(self.endpoint.options.get("validate_certs", True)))
        return {
            "address": self.endpoint.unix or str(self.address[0]), "family": _family(self.family), "routed": self.routed,
            "asked": len(self.samples), "ok": len(good), "errors": count_errors(self.samples),
            **{phase: latency.summary(value for value in (getattr(sample, phase) for sample in good) if value is not None)
               for phase in ("connect", "tls", "first_byte", "total")},
            "status": last.status if last else None,
            "statuses": _counts(str(sample.status) for sample in good if sample.status is not None),
            "redirects": self.redirects, "chain": dict(self.chain), **spoken,
            "protocol": next((sample.protocol for sample in reversed(self.samples) if sample.protocol), None),
        }


def _counts(values: Any) -> Dict[str, int]:
    found: Dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found


def count_errors(samples: Sequence[Sample]) -> List[Dict[str, Any]]:
    """``[{phase, kind, message, count}]``, the most frequent first."""
    found: Dict[Tuple[str, str], Dict[str, Any]] = {}
    for sample in samples:
        if sample.failure is not None:
            one = found.setdefault((sample.failure["phase"], sample.failure["kind"]), {**sample.failure, "count": 0})
            one["count"] += 1
    return sorted(found.values(), key=lambda one: -one["count"])


def describe(der: bytes, host: str, verify: bool) -> Dict[str, Any]:
    """``{certificate, name}`` of what a server showed: its fields, and whether it is for ``host``."""
    try:
        found = certificate.parse(der)
    except ValueError as exc:
        return {"certificate": None, "name": {"ok": None, "error": str(exc)}}
    good: Optional[bool] = certificate.covers(found, ascii_name(host)) if verify and host else None
    names = ", ".join(found.names[:5]) or "nobody (it has no subjectAltName)"
    more = " and %d more" % (len(found.names) - 5) if len(found.names) > 5 else ""
    return {
        "certificate": {"subject": found.subject, "issuer": found.issuer, "not_before": found.not_before,
                        "not_after": found.not_after, "names": list(found.names), "self_signed": found.self_signed},
        "name": {"ok": good, "error": "it is for %s%s" % (names, more) if good is False else None},
    }


def _expects_login(endpoint: Endpoint, sample: Sample) -> bool:
    """Whether the server waits for a login that does not come: it spoke before it was asked.

    An aborted handshake is counted against the host that it came from: after max_connect_errors (100) of them in a row MySQL locks it
    out ("Host is blocked"), and sshd keeps away who does not log in (sshd_config(5), PerSourcePenalties). One a run is what is risked.
    """
    return endpoint.asks == "greeting" or (endpoint.asks == "" and sample.spoke)


@dataclass
class _Questions:
    """What one nameserver is asked by itself: the names that wait, and how many questions are under way or brought nothing."""

    waiting: List[Lookup] = field(default_factory=list)
    running: int = 0
    silent: int = 0
    answered: bool = False


class _Run:
    """All of it: what is to be asked, and what came of it. Written to by the schedule's threads, each its own objects."""

    def __init__(self, context: Context, found: Sequence[Endpoint], resolver: Mapping[str, Any]) -> None:
        network = context.active.get("network") or {}
        self.samples = max(1, int(network.get("samples", 5)))
        self.window = float(network.get("window", 5))
        self.seconds = float(network.get("timeout", 3))
        self.hops = int(network.get("redirects", 3))
        self.resolver = resolver
        switch = str(resolver.get("nsswitch")).split()
        # resolv.conf(5), use-vc: they are asked over TCP then, and may be reached in no other way.
        asked = ("dns" in switch or "resolve" in switch) and "use-vc" not in (resolver.get("options") or ())
        self.servers: List[str] = list(resolver.get("nameservers") or ()) if asked else []
        self.endpoints = list(found)
        self.budget = context.budget
        self.declared = {(one.host.lower(), one.port, one.path) for one in found if one.asks == "http" and one.host}
        left = min(context.budget.remaining(), context.remaining() - 1.0)
        names = {one.host.lower() for one in found if one.host}
        self.schedule = Schedule(end=time.monotonic() + max(0.0, left), workers=WORKERS + len(names))
        self.questions = {server: _Questions() for server in self.servers}
        self.lookups: Dict[str, Lookup] = {}
        self.lanes: Dict[int, List[Lane]] = {number: [] for number in range(len(found))}
        self.trusts: Dict[Tuple[str, ...], Trust] = {}
        self._lock = threading.Lock()
        self._started = 0

    def start(self) -> None:
        now = time.monotonic()
        for number, endpoint in enumerate(self.endpoints):
            if endpoint.unix:
                name = "\0" + endpoint.unix[1:] if endpoint.unix.startswith("@") else endpoint.unix
                self._lane(number, int(socket.AF_UNIX), name, Lookup("", literal=True), now)
                continue
            lookup = self.lookups.get(endpoint.host.lower())
            if lookup is None:
                lookup = self.lookups[endpoint.host.lower()] = Lookup(endpoint.host)
                lookup.addresses = literal(endpoint.host)
                lookup.literal = bool(lookup.addresses)
                if not lookup.literal:
                    self.schedule.add(now, lambda one=lookup: self._cold(one))  # type: ignore[misc]
            if lookup.literal:
                self._lane(number, *lookup.addresses[0], lookup, now)
        self.schedule.run()

    # --- names

    def _cold(self, lookup: Lookup) -> None:
        # Beside the look-up: they do not change what it takes, each server is asked over a socket of its own.
        for server, questions in self.questions.items():
            with self._lock:
                questions.waiting.append(lookup)
                begins = questions.running < QUESTIONS
                questions.running += begins
            if begins:
                self.schedule.add(time.monotonic(), lambda one=server: self._ask(one))  # type: ignore[misc]
        seconds = self._lookup_seconds()
        ms, answer = getaddrinfo(lookup.host, seconds)
        if isinstance(answer, dict):
            if answer["kind"] != "timeout":
                lookup.error, lookup.cold = answer, ms
            elif seconds >= LOOKUP_SECONDS:  # else it was we who had no more time
                lookup.error = answer
            return
        lookup.cold = ms
        lookup.addresses, lookup.cut = answer[:ADDRESSES_LIMIT], max(0, len(answer) - ADDRESSES_LIMIT)
        now = time.monotonic()
        self.schedule.add(now, lambda: self._warm(lookup, now, 0))
        for number, endpoint in enumerate(self.endpoints):
            if not endpoint.unix and endpoint.host.lower() == lookup.host.lower():
                for family, address in lookup.addresses:
                    self._lane(number, family, address, lookup, now)

    def _lookup_seconds(self) -> float:
        return max(0.1, min(max(self.seconds, LOOKUP_SECONDS), self.schedule.end - time.monotonic()))

    def _warm(self, lookup: Lookup, begin: float, turn: int) -> None:
        ms, answer = getaddrinfo(lookup.host, self._lookup_seconds())
        if isinstance(answer, dict):
            if time.monotonic() < self.schedule.end:  # else it was we who had no more time
                lookup.failed += 1
        else:
            lookup.warm.append(ms)
        if turn + 1 < self.samples and ms < SLOW_LOOKUP * 1000:
            self.schedule.add(self._due(begin, turn + 1), lambda: self._warm(lookup, begin, turn + 1))

    def _ask(self, server: str) -> None:
        """One question to one nameserver, and on to the next. One that is silent to :data:`GIVE_UP` names is asked for no other."""
        questions = self.questions[server]
        with self._lock:
            if not questions.waiting or (questions.silent >= GIVE_UP and not questions.answered):
                questions.running -= 1
                return
            lookup = questions.waiting.pop(0)
        found = self._query(lookup, server)
        with self._lock:
            questions.answered = questions.answered or bool(found["answer"])
            questions.silent += bool(found["error"] and found["error"]["kind"] != "name")  # what is no name was not asked for
        self.schedule.add(time.monotonic(), lambda: self._ask(server))

    def _query(self, lookup: Lookup, server: str) -> Dict[str, Any]:
        name = resolvconf.candidates(lookup.host, self.resolver.get("search") or [], int(self.resolver.get("ndots") or 1))[0]
        seconds = min(QUERY_SECONDS, self._lookup_seconds())
        found = resolvconf.ask(server, name, timeout=seconds)
        if found["answer"] or found["error"]["kind"] != "timeout" or seconds >= QUERY_SECONDS:  # else it was we who had no more time
            lookup.queries.append(found)
        return found

    # --- addresses

    def _due(self, begin: float, turn: int) -> float:
        return begin + self.window * turn / self.samples

    def _trust(self, endpoint: Endpoint) -> Optional[Trust]:
        if not endpoint.tls:
            return None
        key = tuple(str(endpoint.options.get(name)) for name in ("ca_file", "cert_file", "key_file", "validate_certs"))
        with self._lock:
            if key not in self.trusts:
                self.trusts[key] = Trust(endpoint.options)
            return self.trusts[key]

    def _lane(self, number: int, family: int, address: Any, lookup: Lookup, begin: float) -> None:
        lane = Lane(self.endpoints[number], family, address, lookup, routed(family, address))
        with self._lock:
            self.lanes[number].append(lane)
            self._started += 1
            # Not all in the same instant: a burst is a load of its own.
            begin += 0.01 * (self._started % 20)
        if lane.routed:
            self.schedule.add(begin, lambda: self._sample(lane, begin, 0))

    def _sample(self, lane: Lane, begin: float, turn: int) -> None:
        endpoint = lane.endpoint
        seconds = self._connection_seconds()
        if seconds < min(self.seconds, 0.5):
            return  # too little to tell slow from dead
        trust = self._trust(endpoint)
        if trust is not None and trust.error:
            lane.chain["error"] = trust.error
            return
        sample = probe(endpoint, lane.family, lane.address, trust, seconds, http2=lane.http2)
        if sample.failure is not None and sample.failure["kind"] == "timeout" and seconds < self.seconds:
            return  # it was we who had no more time
        if trust is not None and turn == 0 and sample.failure is not None:
            sample = self._look_again(lane, trust, sample, sample.failure)
        if (sample.failure or {}).get("kind") == "client_certificate" and endpoint.options.get("cert_file"):
            sample.failure = {"phase": "tls", "kind": "tls", "message": "the server does not accept the client certificate of cert_file"}
        lane.samples.append(sample)
        if trust is not None and turn == 0 and sample.tls is not None:
            self.schedule.add(time.monotonic(), lambda: self._verify(lane, trust))
        if sample.location and turn == 0:
            self.schedule.add(time.monotonic(), lambda: self._follow(lane, sample))
        if turn + 1 < self.samples and not lane.hopeless() and (lane.http2 or not _expects_login(endpoint, sample)):
            self.schedule.add(max(self._due(begin, turn + 1), time.monotonic()), lambda: self._sample(lane, begin, turn + 1))

    def _look_again(self, lane: Lane, trust: Trust, sample: Sample, failure: Error) -> Sample:
        """What a server that hangs up on TLS wants of a client: a certificate, or HTTP/2."""
        asks = False
        if failure["phase"] == "first_byte":
            why = self._hangs_up(lane, trust.plain)[0]
            asks = why == "client_certificate"
            if why in ("closed", "reset"):
                # Before anything was said. gRPC's servers take nobody who does not offer "h2" (RFC 9113, 3.2).
                again = probe(lane.endpoint, lane.family, lane.address, trust, self._connection_seconds(), http2=True)
                if again.failure is None:
                    lane.http2 = True
                    return again
        elif failure["kind"] == "tls" and "HANDSHAKE_FAILURE" in failure["message"] and not lane.endpoint.options.get("cert_file"):
            # What TLS 1.2 says where a client certificate is missing, and where nothing is agreed on. But only then the server
            # has shown its own (RFC 5246, 7.3).
            asks = self._hangs_up(lane, trust.nobody)[1]
        if asks:
            sample.failure = {"phase": "tls", "kind": "client_certificate", "message": _CLIENT_CERTIFICATE}
        return sample

    def _connection_seconds(self) -> float:
        return min(self.seconds, self.schedule.end - time.monotonic())

    def _hangs_up(self, lane: Lane, context: Any) -> Tuple[str, bool]:
        """(kind of failure where a server ends a TLS connection over which nothing is said, whether it showed a certificate that
        ``context`` does not take).

        In TLS 1.3 it says only after the handshake that it wanted a client certificate, and the reset that a request meets can swallow
        that.
        """
        seconds = self._connection_seconds()
        deadline = time.monotonic() + seconds
        sock: Any = None
        try:
            sock = shake_hands(context, open_socket(lane.endpoint, lane.family, lane.address, deadline, seconds),
                               lane.endpoint.host, deadline)
            return "" if _receive(sock, min(deadline, time.monotonic() + 0.5), seconds, "") else "closed", False
        except Failure as failure:
            return str(failure.error["kind"]), False
        except OSError as exc:
            return str(_tls_failure(exc, seconds).error["kind"]), getattr(exc, "verify_code", None) is not None
        finally:
            if sock is not None:
                sock.close()

    def _verify(self, lane: Lane, trust: Trust) -> None:
        """A second handshake that verifies: the samples do not, so that a bad certificate hides nothing else."""
        if not trust.verify:
            return
        seconds = self._connection_seconds()
        sock: Any = None
        try:
            deadline = time.monotonic() + seconds
            sock = shake_hands(trust.checking, open_socket(lane.endpoint, lane.family, lane.address, deadline, seconds),
                               lane.endpoint.host, deadline)
            lane.chain["ok"] = True
        except Failure as failure:
            lane.chain["error"] = failure.error["message"]
        except OSError as exc:
            code = getattr(exc, "verify_code", None)
            if code is None:
                lane.chain["error"] = _tls_failure(exc, seconds).error["message"]
                return
            lane.chain["ok"] = False
            said = str(getattr(exc, "verify_message", "") or "certificate verify failed").rstrip(".")
            lane.chain["error"] = (said[:1].lower() + said[1:])[:160]
            lane.chain["code"] = int(code)
        finally:
            if sock is not None:
                sock.close()

    def _follow(self, lane: Lane, sample: Sample) -> None:
        """Where the answer leads, hop by hop, as long as it stays at this host or is another declared URL. No credentials are sent.

        A server elsewhere could have this host ask its own services for anything otherwise (CWE-918).
        """
        base = "%s%s" % (lane.endpoint.target.label, lane.endpoint.path)
        status, location = sample.status, sample.location
        for hop in range(self.hops + 1):
            one: Dict[str, Any] = {"status": status, "to": redact_url(location)[:300], "followed": False, "reason": None}
            lane.redirects.append(one)
            try:
                to = urljoin(base, location)
            except ValueError:  # "http://[": a bracket without an IPv6 address
                one["reason"] = "it is no URL"
                return
            one["to"] = redact_url(to)[:300]
            if lane.endpoint.unix:
                one["reason"] = "it is a socket"
                return
            if hop == self.hops:
                one["reason"] = "the limit of %d redirects is reached" % self.hops
                return
            try:
                target = httpprobe.parse_url(to)
            except ValueError as exc:
                one["reason"] = redact_text(str(exc))
                return
            if target.unix or (target.host.lower() != lane.endpoint.host.lower()
                               and (target.host.lower(), target.port, target.path) not in self.declared):
                one["reason"] = "%s is not declared" % ("a socket" if target.unix else redact_url(target.label + target.path)[:200])
                return
            seconds = self._connection_seconds()
            if seconds <= 0:
                one["reason"] = self.budget.words
                return
            bare = Target(scheme=target.scheme, host=target.host, port=target.port, path=target.path)
            answer = httpprobe.get(bare, bare.path, timeout=seconds, limit=1)
            one["followed"], one["ms"] = True, answer.ms
            if answer.status is None:
                one["reason"] = answer.detail
                return
            one["answer"] = answer.status
            if not 300 <= answer.status < 400 or not answer.headers.get("location"):
                return
            base, status, location = to, answer.status, answer.headers["location"]


# ------------------------------------------------------------------------------------------------------- facts

def resolver(context: Context) -> Dict[str, Any]:
    """How this host looks up names: /etc/resolv.conf and the line ``hosts`` of /etc/nsswitch.conf."""
    try:
        text = context.read("/etc/resolv.conf", 1 << 16)
        source = "/etc/resolv.conf"
    except FileNotFoundError:
        text, source = "", ""
    try:
        switch = context.read("/etc/nsswitch.conf", 1 << 16)
    except FileNotFoundError:
        switch = ""
    link = context.path("/etc/resolv.conf")
    return {**resolvconf.parse_resolv_conf(text), "nsswitch": resolvconf.parse_nsswitch(switch), "source": source,
            "link": os.readlink(link) if os.path.islink(link) else None}


def endpoints(context: Context) -> List[Dict[str, Any]]:
    """One entry for every distinct URL, see docs/facts.md. What the budget cuts off says so."""
    network = context.active.get("network") or {}
    found, wrong = declared(context.services, network.get("endpoints") or {})
    for text in wrong:
        context.note("connections.endpoints", ValueError(text))
    over = found[ENDPOINTS_LIMIT:]
    run = _Run(context, found[:ENDPOINTS_LIMIT], context.shared.get("connections.resolver") or {})
    run.start()
    for failure in run.schedule.failures:
        context.note("connections.endpoints", failure)
    limit = {"phase": None, "kind": "limit", "message": "more than %d endpoints are declared" % ENDPOINTS_LIMIT}
    result = [_facts(run, number) for number in range(len(run.endpoints))]
    return result + [_empty(one, run.samples, limit) for one in over]


def _empty(endpoint: Endpoint, samples: int, error: Optional[Error]) -> Dict[str, Any]:
    shown = redact_url(endpoint.url)
    path = "" if endpoint.unix or endpoint.asks != "http" else "/" + shown.partition("://")[2].partition("/")[2]
    return {
        "services": list(endpoint.services), "role": list(endpoint.roles), "url": shown, "scheme": endpoint.scheme,
        "host": endpoint.host, "port": endpoint.port, "path": path, "unix": endpoint.unix or None, "samples": samples,
        "dns": None, "addresses": [], "phases": None, "slowest": None, "greeting": False, "error": error,
    }


def _facts(run: _Run, number: int) -> Dict[str, Any]:
    endpoint, lanes = run.endpoints[number], list(run.lanes[number])
    result = _empty(endpoint, run.samples, None)
    lookup = run.lookups.get(endpoint.host.lower()) if not endpoint.unix else None
    result["dns"] = lookup.facts() if lookup is not None else None
    result["addresses"] = [lane.facts() for lane in lanes]
    result["greeting"] = any(sample.spoke for lane in lanes for sample in lane.samples)
    result["error"] = _why_not(lookup, lanes, run.budget)
    used = next((lane for lane in lanes if lane.good), None)
    if used is not None:
        result["phases"], result["slowest"] = _phases(used)
    return result


def _why_not(lookup: Optional[Lookup], lanes: Sequence[Lane], budget: Budget) -> Optional[Error]:
    """Why there is no good sample; None where there is one."""
    if any(lane.good for lane in lanes):
        return None
    if lookup is not None and lookup.error is not None:
        return {"phase": "dns", **lookup.error}
    trusted = next((lane.chain["error"] for lane in lanes if lane.chain["error"] and not lane.samples), None)
    if trusted:
        return {"phase": "tls", "kind": "settings", "message": trusted}
    failures = [sample.failure for lane in lanes for sample in lane.samples if sample.failure]
    if failures:
        # Of several addresses the one that came farthest: that nobody listens at ::1 does not explain what 127.0.0.1 does.
        farthest: Error = max(failures, key=_progress)
        return dict(farthest)
    if lanes and not any(lane.routed for lane in lanes):
        return {"phase": "connect", "kind": "no_route", "message": "the host has no route to %s" % (
            lanes[0].address[0] if len(lanes) == 1 else "any address of it")}
    return {"phase": None, **budget.error()}


def _progress(failure: Error) -> Tuple[int, bool]:
    return ("connect", "tls", "first_byte").index(failure["phase"]), failure["kind"] not in ("refused", "failed")


def _phases(lane: Lane) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Every phase over the samples of the address that is used, and the slowest of these connections by itself. Go keeps no
    names: a new connection looks its name up, so each sample has a warm look-up in it."""
    warm = lane.lookup.warm or ([lane.lookup.cold] if lane.lookup.cold is not None else [])
    rows: List[Dict[str, Optional[float]]] = []
    for number, sample in enumerate(lane.good):
        dns = warm[min(number, len(warm) - 1)] if warm else None
        rows.append({"dns": dns, "connect": sample.connect, "tls": sample.tls, "first_byte": sample.first_byte,
                     "total": round(sample.total + (dns or 0.0), 1)})
    phases = {name: latency.summary(row[name] or 0.0 for row in rows if row[name] is not None)
              for name in ("dns", "connect", "tls", "first_byte", "total")}
    return phases, dict(max(rows, key=lambda row: row["total"] or 0.0))


PARTS = (
    ("resolver", resolver),
    ("endpoints", endpoints),
)
