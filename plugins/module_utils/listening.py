# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What listens right now: on a port of this network namespace, or in the processes of a unit; and what a port serves.

Public: :func:`on_port`, :func:`of_unit`, :func:`in_folder`, :func:`sockets`, :func:`hosts`, :func:`serves_more`, :func:`serves_pprof`.
"""
from __future__ import annotations

import os
import time
from typing import Dict, List, Optional, Sequence

from ansible_collections.goready.preflight.plugins.module_utils import cgroup, httpprobe, procfs, redact
from ansible_collections.goready.preflight.plugins.module_utils.collect import pprof
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Answer, Target

#: What an application or its monitoring is asked for beside its declared URLs.
OTHER_PATHS = ("/", "/metrics", "/healthz")
REQUEST_SECONDS = 2.0


def on_port(port: int, *, root: str = "/") -> List[procfs.Listener]:
    """The TCP listeners on ``port`` in the network namespace of this process."""
    return [one for one in _tcp(os.path.join(root, "proc/self/net")) if one.port == port]


def of_unit(unit: str, *, root: str = "/") -> List[procfs.Listener]:
    """The listeners of all processes of a system unit, in their own network namespace.

    Processes come from /proc/PID/cgroup, which also names those that the unit's main process has started.
    """
    proc = os.path.join(root, "proc")
    found: Dict[int, procfs.Listener] = {}
    tables: Dict[str, Dict[int, procfs.Listener]] = {}
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        folder = os.path.join(proc, name)
        try:
            with open(os.path.join(folder, "cgroup"), encoding="utf-8", errors="replace") as stream:
                path = cgroup.primary(procfs.parse_cgroup(stream.read()))
            if path is None or cgroup.unit_of(path)[:2] != (unit, "system"):
                continue
            inodes = set(sockets(os.path.join(folder, "fd")))
            namespace = os.readlink(os.path.join(folder, "ns/net"))
            if namespace not in tables:
                net = os.path.join(folder, "net")
                tables[namespace] = {one.inode: one for one in in_folder(net)}
        except (FileNotFoundError, ProcessLookupError, ValueError):
            continue  # it has just ended
        found.update({inode: one for inode, one in tables[namespace].items() if inode in inodes})
    return sorted(found.values(), key=lambda one: (one.proto, one.port or 0, one.address or "", one.path or ""))


def in_folder(folder: str) -> List[procfs.Listener]:
    """All listeners that a folder /proc/PID/net shows."""
    return [*_tcp(folder), *_unix(folder)]


def sockets(folder: str) -> List[int]:
    """The inodes of the sockets that a folder /proc/PID/fd shows."""
    result = []
    for name in os.listdir(folder):
        try:
            inode = procfs.socket_inode(os.readlink(os.path.join(folder, name)))
        except FileNotFoundError:
            continue
        if inode is not None:
            result.append(inode)
    return result


def _tcp(folder: str) -> List[procfs.Listener]:
    result: List[procfs.Listener] = []
    for proto in ("tcp", "tcp6"):
        try:
            with open(os.path.join(folder, proto), encoding="ascii", errors="replace") as stream:
                result.extend(procfs.parse_net_tcp(stream.read(), proto=proto))
        except FileNotFoundError:
            continue  # a kernel without IPv6
    return result


def _unix(folder: str) -> List[procfs.Listener]:
    with open(os.path.join(folder, "unix"), encoding="utf-8", errors="replace") as stream:
        return procfs.parse_net_unix(stream.read())


def hosts(listeners: Sequence[procfs.Listener]) -> List[str]:
    """The addresses at which this host itself reaches these listeners."""
    result: List[str] = []
    for one in listeners:
        address = str(one.address or "")
        for host in {"0.0.0.0": ["127.0.0.1"], "::": ["::1", "127.0.0.1"]}.get(address, [address]):
            if host and host not in result:
                result.append(host)
    return result


def shown(one: procfs.Listener) -> str:
    """A listener for people."""
    if one.proto == "unix":
        return "unix:%s" % one.path
    host = {"0.0.0.0": "*", "::": "*"}.get(str(one.address), str(one.address))
    return "[%s]:%s" % (host, one.port) if ":" in host else "%s:%s" % (host, one.port)


def serves_more(port: int, urls: Sequence[str], *, root: str = "/") -> List[str]:
    """Evidence that a TCP port serves something besides debugging; empty where there is none.

    ``urls`` are what the service is declared to serve (health, metrics): one of them at this port is evidence enough. Else
    the port is asked for ``/``, ``/metrics`` and ``/healthz``: a mux for debugging alone knows none of them (404).
    """
    evidence = ["%s is declared at this port" % redact.redact_url(one) for one in urls if _port_of(one) == port]
    for host in hosts(on_port(port, root=root))[:2] if not evidence else []:
        scheme = "http"
        for path in OTHER_PATHS:
            answer = httpprobe.get(Target(scheme=scheme, host=host, port=port), path, timeout=REQUEST_SECONDS)
            if answer.error == httpprobe.TLS_EXPECTED:
                scheme = "https"
                answer = httpprobe.get(Target(scheme=scheme, host=host, port=port), path, timeout=REQUEST_SECONDS)
            if answer.error in (httpprobe.NOT_HTTP, httpprobe.HTTP2):
                return ["it %s" % answer.detail]
            if not answer.connected:
                break
            said = _other(path, answer)
            if said:
                evidence.append(said)
        if evidence:
            break
    return evidence


def _other(path: str, answer: Answer) -> Optional[str]:
    """What an answer to a path beside /debug says, None where it is no more than "not here" or the way to /debug."""
    if answer.status is None or answer.status in (400, 401, 403, 404, 405, 410, 429) or answer.status >= 500:
        return None
    location = answer.headers.get("location", "")
    target = location if location.startswith("/") else "/" + location.partition("://")[2].partition("/")[2]
    if location and target.startswith("/debug/"):
        return None
    if answer.status == 200 and b"/debug/pprof" in answer.body and b"/metrics" not in answer.body:
        return None  # an index of what there is to debug
    return "GET %s answered %d" % (path, answer.status)


def _port_of(url: str) -> Optional[int]:
    try:
        target = httpprobe.parse_url(url)
    except ValueError:
        return None
    return None if target.unix else target.port


def serves_pprof(target: Target, *, timeout: float) -> pprof.Look:
    """What a listener serves, as the collector asks it (no profile is taken)."""
    deadline = time.monotonic() + timeout
    path = target.path.partition("?")[0].rstrip("/")
    prefix = path[:-len("/debug/pprof")] if path.endswith("/debug/pprof") else path

    def ask(scheme: str, wanted: str) -> Answer:
        one = Target(scheme=scheme, host=target.host, port=target.port, unix=target.unix)
        return httpprobe.get(one, wanted, timeout=max(0.1, min(REQUEST_SECONDS, deadline - time.monotonic())))

    return pprof.look(ask, scheme=target.scheme, prefix=prefix)
