# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``timeouts``: does a server end a request that comes too slowly? Only what ``preflight_network.server_timeouts`` names.

Two connections to each, and never more: one sends half of a request's head and then nothing, the other a head that announces a
body and one byte of it. A server with a timeout for that (in Go ReadHeaderTimeout, ReadTimeout) answers or hangs up; what is
kept is when. A server without one keeps such a connection, and its goroutine, for as long as the client likes.
"""
from __future__ import annotations

import socket
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, printable
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Answer, ProbeError, Target
from ansible_collections.goready.preflight.plugins.module_utils.redact import redact_url

WAIT = 15.0            # seconds that are waited for a server to lose its patience
CONNECT_SECONDS = 3.0  # for name, connection and handshake, where nothing else is wanted
SHARE = 1 / 3          # of what is left of the budget: module proxies and toolchains come after this
SHORTEST = 1.0         # seconds: less is no wait
WORKERS = 8
MOST = 32
ANSWER_LIMIT = 4096    # bytes that are read of what a server says before it hangs up
BODY_LENGTH = 1024     # announced; one byte of it is sent


def head(target: Target) -> bytes:
    """Half of a request's head: a header line that does not end, so that no server takes it for a whole one."""
    return ("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nX-Preflight: slow" % (
        target.path, target.authority, httpprobe.USER_AGENT)).encode("latin-1", "replace")


def body(target: Target) -> bytes:
    """A whole head and the first byte of the body that it announces. No handler that reads its body gets to its work."""
    return ("POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n"
            "Connection: close\r\n\r\n{" % (target.path, target.authority, httpprobe.USER_AGENT, BODY_LENGTH)).encode("latin-1", "replace")


def ask(target: Target, payload: bytes, *, wait: float, connect: float) -> Dict[str, Any]:
    """{closed_after, waited, status, error}: seconds after the last byte was sent until the server hung up (None: it had not when
    ``waited`` seconds were over), the status that it sent before (None: none)."""
    result: Dict[str, Any] = {"closed_after": None, "waited": 0.0, "status": None, "error": None}
    sock: Optional[socket.socket] = None
    answer = Answer()
    try:
        deadline = time.monotonic() + connect
        sock = httpprobe.connect(target, deadline, answer)
        if target.scheme == "https":
            sock = httpprobe.wrap(sock, target, deadline)
        sock.settimeout(connect)
        sock.sendall(payload)
        begun = time.monotonic()
        said = b""
        try:
            while True:
                left = wait - (time.monotonic() - begun)
                if left <= 0:
                    break
                sock.settimeout(left)
                data = sock.recv(1 << 16)
                if not data:
                    result["closed_after"] = round(time.monotonic() - begun, 1)
                    break
                said = (said + data)[:ANSWER_LIMIT]
                if len(said) == ANSWER_LIMIT:
                    time.sleep(min(0.01, left))  # who never ends its answer keeps no processor busy with it
        except socket.timeout:
            pass
        except OSError:  # a reset ends it as well, and TLS says it in its own way
            result["closed_after"] = round(time.monotonic() - begun, 1)
        result["waited"] = round(time.monotonic() - begun, 1)
        result["status"] = status_of(said)
    except ProbeError as failure:
        result["error"] = {"kind": failure.kind, "message": printable(failure.detail or "no connection within %g s" % connect)}
    except OSError as exc:
        kind, detail = httpprobe.kind_of(exc, answer)
        result["error"] = {"kind": kind, "message": printable(detail or "no connection within %g s" % connect)}
    finally:
        if sock is not None:
            sock.close()
    return result


def status_of(said: bytes) -> Optional[int]:
    """The status of an HTTP/1 answer's first line, None for anything else."""
    words = said.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) >= 2 and words[0] in (b"HTTP/1.1", b"HTTP/1.0") and len(words[1]) == 3 and words[1].isdigit():
        return int(words[1])
    return None


def listeners(context: Context) -> List[Dict[str, Any]]:
    """``timeouts.listeners``: one entry a URL, in their order."""
    settings = context.active.get("network") or {}
    urls: Sequence[str] = list(settings.get("server_timeouts") or ())[:MOST]
    connect = float(settings.get("timeout") or CONNECT_SECONDS)

    def one(target: Target) -> Dict[str, Any]:
        entry: Dict[str, Any] = {"headers": None, "body": None, "error": None}
        if _left(context, connect) < SHORTEST:
            return {**entry, "error": context.budget.error()}
        wait = max(SHORTEST, min(WAIT, _left(context, connect) * SHARE))
        parts = httpprobe.side_by_side(lambda payload: ask(target, payload(target), wait=wait, connect=connect), [head, body], workers=2,
                                       deadline=time.monotonic() + connect + wait + 1)
        entry["headers"], entry["body"] = parts
        failures = [part["error"] for part in parts if part is not None and part["error"]]
        if len(failures) == len(parts):
            entry["error"] = failures[0]
        return entry

    result: List[Dict[str, Any]] = []
    targets: Dict[Tuple[str, str, int, str], Target] = {}  # two URLs of one listener are asked once
    keys: List[Optional[Tuple[str, str, int, str]]] = []
    for url in urls:
        entry: Dict[str, Any] = {"url": redact_url(url), "headers": None, "body": None, "error": None}
        try:
            target = httpprobe.parse_url(url)
            keys.append((target.scheme, target.host, target.port, target.unix))
            targets.setdefault((target.scheme, target.host, target.port, target.unix), target)
        except ValueError as exc:
            keys.append(None)
            entry["error"] = {"kind": "url", "message": str(exc)}
        result.append(entry)
    answers = dict(zip(targets, httpprobe.side_by_side(one, list(targets.values()), workers=WORKERS,
                                                       deadline=time.monotonic() + _left(context, 0))))
    for entry, key in zip(result, keys):
        if key is not None:
            entry.update(answers[key] or {"error": context.budget.error()})
    return result


def _left(context: Context, connect: float) -> float:
    """Seconds for a wait, when connecting has taken what it may."""
    return min(context.budget.remaining(), context.remaining() - 1) - connect


PARTS = (("listeners", listeners),)
