# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host looks up names, and one DNS question to one nameserver.

Public: :func:`parse_resolv_conf`, :func:`parse_nsswitch`, :func:`query`, :func:`parse_response`, :func:`ask`. The parsers take
text or bytes; only :func:`ask` uses the network. A nameserver is asked by itself because the libc does not tell which of them
made it wait.
"""
from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any, Dict, List, Optional, Tuple

#: resolv.conf(5): MAXNS, RES_TIMEOUT, RES_DFLRETRY and their caps (glibc, resolv/resolv.h and resolv/res_init.c).
NAMESERVERS, TIMEOUT, TIMEOUT_LIMIT, ATTEMPTS, ATTEMPTS_LIMIT, NDOTS_LIMIT = 3, 5, 30, 2, 5, 15
SEARCH_LIMIT = 32
#: nsswitch.conf(5): what glibc does where the file says nothing of hosts (nss/nss_database.c).
NSSWITCH_DEFAULT = "dns [!UNAVAIL=return] files"
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}  # RFC 1035, 4.1.1
A, AAAA = 1, 28
PORT = 53


def parse_resolv_conf(text: str) -> Dict[str, Any]:
    """``{nameservers, search, ndots, timeout, attempts, options}`` as glibc reads resolv.conf(5): three nameservers, the last
    ``search`` or ``domain`` line, options capped. Without a nameserver it is the host itself."""
    found: Dict[str, Any] = {"nameservers": [], "search": [], "ndots": 1, "timeout": TIMEOUT, "attempts": ATTEMPTS, "options": []}
    for line in text.splitlines():
        if line[:1] in ("#", ";", " ", "\t"):
            continue  # res_init.c, MATCH: a keyword begins its line; what is indented is read by nobody
        words = line.split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            if len(found["nameservers"]) < NAMESERVERS and _is_address(words[1]):
                found["nameservers"].append(words[1])
        elif words[0] == "search":
            found["search"] = words[1:1 + SEARCH_LIMIT]
        elif words[0] == "domain":
            found["search"] = words[1:2]
        elif words[0] == "options":
            for word in words[1:]:
                name, _colon, value = word.partition(":")
                caps = {"ndots": NDOTS_LIMIT, "timeout": TIMEOUT_LIMIT, "attempts": ATTEMPTS_LIMIT}
                if name in caps:
                    found[name] = min(int(value[:9]), caps[name]) if value.isascii() and value.isdigit() else found[name]
                elif len(found["options"]) < SEARCH_LIMIT:
                    found["options"].append(word)
    # res_init.c: "If there were no nameserver lines, use the local host".
    found["nameservers"] = found["nameservers"] or ["127.0.0.1"]
    found["timeout"] = found["timeout"] or 1  # res_send.c: "if (seconds <= 0) seconds = 1"
    return found


def _is_address(text: str) -> bool:
    host = text.partition("%")[0]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):  # ValueError: a null character
            continue
        return True
    return False


def parse_nsswitch(text: str) -> str:
    """The line of ``hosts`` in nsswitch.conf(5), its words joined by one blank; what glibc does where there is none."""
    for line in text.splitlines():
        name, colon, value = line.partition("#")[0].partition(":")
        if colon and name.strip() == "hosts" and value.split():
            return " ".join(value.split())[:256]
    return NSSWITCH_DEFAULT


def query(name: str, kind: int, identity: int) -> bytes:
    """The bytes of one question (RFC 1035, 4.1). ValueError where ``name`` is none: a label has 1 to 63 bytes, all 255."""
    labels = name.rstrip(".").encode("idna" if not name.isascii() else "ascii").split(b".")
    if any(not 0 < len(label) < 64 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise ValueError("%r is no domain name" % name[:80])
    body = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    # RD: recursion is desired, as every stub resolver asks for it.
    return struct.pack(">HHHHHH", identity, 0x0100, 1, 0, 0, 0) + body + struct.pack(">HH", kind, 1)


def parse_response(data: bytes, question: bytes) -> Optional[Tuple[str, int]]:
    """(rcode, records of the answer) of a response to ``question``; None where the bytes are not one (another id, another
    question, no response). Records are counted as the server says, they are not read."""
    if len(data) < 12:
        return None
    identity, flags, questions, answers = struct.unpack(">HHHH", data[:8])
    if identity != struct.unpack(">H", question[:2])[0] or not flags & 0x8000:
        return None
    # A server that refuses may leave the question out (RFC 8020 does not ask for it); one that repeats it has to repeat ours.
    if questions and data[12:len(question)].lower() != question[12:].lower():
        return None
    rcode = flags & 0xF
    return RCODES.get(rcode, "RCODE %d" % rcode), answers


def ask(server: str, name: str, *, timeout: float, tries: int = 2, kind: int = A, port: int = PORT) -> Dict[str, Any]:
    """Ask one nameserver over UDP, ``tries`` times within ``timeout`` seconds: one lost datagram is no dead server.

    ``{server, ms, answer, error}``: ``ms`` from the last question to its answer, ``answer`` its rcode, ``error`` None or
    ``{kind, message}`` with kind ``timeout``, ``refused`` (nobody listens), ``unreachable`` or ``name``.
    """
    result: Dict[str, Any] = {"server": server, "ms": None, "answer": None, "error": None}
    try:
        question = query(name, kind, struct.unpack(">H", os.urandom(2))[0])
        family, _kind, _protocol, _canonical, address = socket.getaddrinfo(
            server, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
    except (ValueError, UnicodeError, socket.gaierror) as exc:
        result["error"] = {"kind": "name", "message": str(exc)}
        return result
    end = time.monotonic() + timeout
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)  # so that an ICMP port unreachable is told, and nobody else's answer is taken
            for number in range(tries):
                started = time.monotonic()
                until = started + (end - started) / (tries - number)
                sock.send(question)
                while True:
                    left = until - time.monotonic()
                    if left <= 0:
                        break
                    sock.settimeout(left)
                    try:
                        answer = parse_response(sock.recv(4096), question)
                    except socket.timeout:
                        break
                    if answer is not None:
                        result["ms"] = round((time.monotonic() - started) * 1000, 1)
                        result["answer"] = answer[0]
                        return result
    except ConnectionRefusedError:
        result["error"] = {"kind": "refused", "message": "nobody listens at port %d/udp" % port}
        return result
    except OSError as exc:
        result["error"] = {"kind": "unreachable", "message": (exc.strerror or str(exc)).lower()}
        return result
    result["error"] = {"kind": "timeout", "message": "no answer to %d questions within %g s" % (tries, round(timeout, 1))}
    return result


def candidates(name: str, search: List[str], ndots: int) -> List[str]:
    """The full names that the resolver asks for in turn until one exists: resolv.conf(5), ``search`` and ``ndots``."""
    if name.endswith("."):
        return [name]
    expanded = ["%s.%s" % (name, domain.rstrip(".")) for domain in search if domain.strip(".")]
    return [name, *expanded] if name.count(".") >= ndots else [*expanded, name]
