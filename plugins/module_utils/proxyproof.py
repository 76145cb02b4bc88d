# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying the reverse proxy of role ``pprof_guard``: what it lets through, and what it refuses, from where this runs.

Public: :class:`Door`, :class:`Reply`, :func:`ask`, :func:`cases`, :func:`prove`. Runs on the host and on the controller.

Not ``httpprobe``, which sends nothing but GET: here the other methods are what is tried.
"""
from __future__ import annotations

import base64
import hashlib
import http.client
import ipaddress
import socket
import time
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils.proxyconf import Service, Settings

METHODS = ("POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE")
TIMEOUT = 5.0
#: A status of the service itself: it was asked. 500: its CPU profiler is busy (net/http/pprof).
THROUGH = (200, 500)


class Door(NamedTuple):
    """Where the proxy is tried. ``certificate``: the SHA-256 of the one certificate (DER) that is taken for it."""

    host: str
    port: int
    tls: bool
    certificate: str = ""

    @property
    def label(self) -> str:
        return "%s:%d" % ("[%s]" % self.host if ":" in self.host else self.host, self.port)


class Reply(NamedTuple):
    """``status`` None: no answer, ``error`` says why. ``source``: the address that this machine had in the connection."""

    status: Optional[int]
    headers: Mapping[str, str]
    error: str
    source: str


class Case(NamedTuple):
    """One request and the statuses that are right."""

    method: str
    path: str
    authorization: str
    right: Tuple[int, ...]
    why: str


class Proof(NamedTuple):
    """``tried`` requests, the ``faults`` among them, and whether this place is admitted (None: no connection)."""

    tried: int
    faults: Tuple[str, ...]
    admitted: Optional[bool]
    source: str


def ask(door: Door, method: str, path: str, *, authorization: str = "", headers: Optional[Mapping[str, str]] = None,
        timeout: float = TIMEOUT, source: str = "") -> Reply:
    """One request; the path is sent as it is written here. No authority is asked about a certificate: the door's own is
    known, and where another answers, nothing is sent to it."""
    mine = (source, 0) if source else None
    connection: http.client.HTTPConnection
    if door.tls:
        import ssl
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(door.host, door.port, timeout=timeout, context=context, source_address=mine)
    else:
        connection = http.client.HTTPConnection(door.host, door.port, timeout=timeout, source_address=mine)
    used = source
    try:
        connection.connect()
        used = str(connection.sock.getsockname()[0])
        if door.certificate:
            import ssl
            served = connection.sock.getpeercert(binary_form=True) if isinstance(connection.sock, ssl.SSLSocket) else None
            if hashlib.sha256(served or b"").hexdigest() != door.certificate:
                return Reply(None, {}, "it shows another certificate than the host's file holds", used)
        sent: Dict[str, str] = dict(headers or {})
        if authorization:
            sent["Authorization"] = authorization
        connection.putrequest(method, path, skip_accept_encoding=True, skip_host="Host" in sent)
        for key, value in sent.items():
            connection.putheader(key, value)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read(1 << 16)
        return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, "", used)
    except socket.timeout:
        return Reply(None, {}, "no answer within %g s" % timeout, used)
    except (OSError, http.client.HTTPException) as exc:
        text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        return Reply(None, {}, str(text).lower(), used)
    finally:
        connection.close()


def credentials(settings: Settings) -> List[str]:
    """Every Authorization header that is right: the token's, and one of each user."""
    found = ["Bearer " + settings.token] if settings.token else []
    return found + [basic(name, password) for name, password in sorted(settings.users.items())]


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(("%s:%s" % (name, password)).encode("utf-8")).decode("ascii")


def cases(one: Service, settings: Settings, *, quick: bool = False) -> Iterator[Case]:
    """What is tried of a service from a place that is admitted. ``quick``: no CPU profile is taken."""
    outer, good = one.outer, credentials(settings)
    first = _page(outer, settings)
    yield Case("GET", first, "", (401,), "without credentials")
    yield Case("GET", first, basic("nobody", "wrong"), (401,), "with wrong credentials")
    yield Case("GET", first, "Bearer wrong", (401,), "with a wrong token")
    for authorization in good if "index" in settings.paths else []:
        yield Case("GET", first, authorization, (200,), "with credentials")
    for name in settings.paths:
        if name in ("profile", "trace"):
            if quick:
                continue
            yield Case("GET", "%s%s?seconds=1" % (outer, name), good[0], THROUGH, "allowed")
        elif name == "goroutineleak":
            yield Case("GET", outer + name, good[0], (*THROUGH, 404), "allowed")  # of Go 1.27, or an experiment
        else:
            yield Case("GET", outer + ("" if name == "index" else name), good[0], THROUGH, "allowed")
    for path in forbidden(outer, settings):
        yield Case("GET", path, good[0], (403,), "forbidden")
    for method in METHODS:
        yield Case(method, first, good[0], (405,), "no other method than GET")


def _page(outer: str, settings: Settings) -> str:
    """A page that is served; asked without credentials it costs the service nothing."""
    return outer + ("" if "index" in settings.paths else settings.paths[0])


def forbidden(outer: str, settings: Settings) -> Iterator[str]:
    """Paths and queries that no credentials open."""
    for name in ("cmdline", "trace", "symbol", "block"):
        if name not in settings.paths:
            yield outer + name
    yield outer + "goroutine?debug=2"
    yield outer + "goroutine?debug=1&debug=2"
    yield outer + "profile?seconds=%d" % (settings.seconds_max + 1)
    yield outer + "nothing"
    yield "/debug/pprof/"
    yield "/debug/vars"
    yield "/"


def prove(door: Door, services: Sequence[Service], settings: Settings, *, deadline: float, source: str = "", quick: bool = False,
          also: Sequence[str] = (), anonymous: bool = False) -> Proof:
    """Try every service through one door until ``deadline`` (time.monotonic).

    ``also`` are further addresses that the host may see us come from. ``anonymous``: no right credentials are sent. Being
    admitted or refused has to agree with each service's allow-list; what is refused by its address is refused everything.
    """
    faults: List[str] = []
    tried, admitted, used = 0, None, source
    for one in services:
        probe = Case("GET", _page(one.outer, settings), "", (401, 403), "without credentials")
        reply = _paced(door, probe, deadline, source)
        tried += 1
        used = reply.source or used
        if reply.status is None:
            faults.append("%s: %s does not answer: %s" % (one.name, door.label, reply.error))
            continue
        here = [used, *also]
        listed = any(_local(address) or _within(address, one.allow) for address in here) or used == door.host
        inside = reply.status == 401
        admitted = inside if admitted is None else admitted and inside
        if inside and not listed:
            faults.append("%s: %s admits %s, which is not in the allow-list [%s]" % (one.name, door.label, used, ", ".join(one.allow)))
            continue
        if not inside and listed:
            faults.append("%s: GET %s at %s from %s answered %s; 401 was expected, for the address is admitted" % (
                one.name, probe.path, door.label, used, reply.status))
            continue
        wanted = cases(one, settings, quick=quick) if inside else _refusals(one, settings)
        good = credentials(settings) if anonymous else []
        for case in wanted:
            if case.authorization in good:
                continue
            if time.monotonic() > deadline:
                faults.append("%s: the time was up after %d requests to %s" % (one.name, tried, door.label))
                break
            reply = _paced(door, case, deadline, source)
            tried += 1
            if reply.status not in case.right:
                said = str(reply.status) if reply.status is not None else reply.error
                behind = reply.status in (502, 504)
                more = ": the service itself does not answer nginx at %s" % one.backend if behind else ""
                more += ", where its user has to be allowed to write" if behind and one.target.unix else ""
                faults.append("%s: %s %s at %s (%s) answered %s; %s was expected%s" % (
                    one.name, case.method, case.path, door.label, case.why, said, " or ".join(str(code) for code in case.right), more))
                if behind:
                    break
    return Proof(tried, tuple(faults), admitted, used)


def _refusals(one: Service, settings: Settings) -> Iterator[Case]:
    good = credentials(settings)[0]
    for name in settings.paths:
        yield Case("GET", one.outer + ("" if name == "index" else name), good, (403,), "from an address that is not admitted")
    yield Case("GET", one.outer + "cmdline", good, (403,), "from an address that is not admitted")
    yield Case("POST", _page(one.outer, settings), good, (405,), "no other method than GET")


def _paced(door: Door, case: Case, deadline: float, source: str) -> Reply:
    """The rate limit holds for us too: 429 is asked again."""
    while True:
        reply = ask(door, case.method, case.path, authorization=case.authorization, source=source)
        if reply.status != 429 or 429 in case.right or time.monotonic() > deadline:
            return reply
        time.sleep(0.15)


def _local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _within(address: str, networks: Sequence[str]) -> bool:
    try:
        one = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(one in ipaddress.ip_network(net) for net in networks)
