# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP sockets as the kernel tells them: sock_diag(7) messages, and the rows of /proc/net/tcp where those may not be asked for.

Public: :func:`listening_request`, :func:`local_ports_request`, :func:`parse_messages`, :func:`parse_rows`, :class:`Socket`.

Bytes or lines in, data out. The layouts are those of linux/netlink.h, linux/rtnetlink.h, linux/sock_diag.h and linux/inet_diag.h,
whose numbers are in the machine's own byte order, but for addresses and ports.
"""
from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Iterable, Iterator, List, NamedTuple, Optional, Tuple

NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_INET_DIAG_REQ_BYTECODE = 1
_INET_DIAG_SKMEMINFO = 7
_SK_MEMINFO_DROPS = 8
_BC_S_GE, _BC_S_LE = 2, 3

# net/tcp_states.h
ESTABLISHED, SYN_SENT, TIME_WAIT, CLOSE_WAIT, LISTEN = 1, 2, 6, 8, 10
#: Every state in which a socket holds a local port of a connection: all but LISTEN, CLOSE, and what is not accepted yet.
CONNECTED = sum(1 << state for state in (ESTABLISHED, SYN_SENT, 4, 5, TIME_WAIT, CLOSE_WAIT, 9, 11))

_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
_ATTRIBUTE = struct.Struct("=HH")
_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address in a socket of the IPv6 family (RFC 4291, 2.5.5.2)


class Socket(NamedTuple):
    """A TCP socket. Addresses are packed: 4 bytes, or 16 of IPv6; an IPv4 address that is mapped into IPv6 has 4.

    Of a listening one ``rqueue`` are the connections that wait for accept(2), ``wqueue`` is the backlog (None where it is not
    told), ``drops`` the connections that were dropped since it was opened (None where it is not told).
    ``inode`` is 0 where no process holds the socket any more.
    """

    family: int
    state: int
    source: bytes
    sport: int
    target: bytes
    dport: int
    rqueue: int
    wqueue: Optional[int]
    uid: int
    inode: int
    drops: Optional[int]


def listening_request(family: int) -> bytes:
    """Ask for every listening TCP socket of a family (socket.AF_INET, AF_INET6), with its memory and drops."""
    return _request(family, 1 << LISTEN, 1 << (_INET_DIAG_SKMEMINFO - 1), b"")


def local_ports_request(family: int, low: int, high: int) -> bytes:
    """Ask for every connection whose local port is from ``low`` to ``high``: the kernel leaves out the others itself.

    What makes a host with 200,000 clients cheap: their connections have the listener's port.
    """
    # Two conditions (inet_diag_bc_op and its port): "yes" goes on to the next one, "no" jumps 4 bytes past the end, which is
    # how the kernel's interpreter says no (net/ipv4/inet_diag.c, inet_diag_bc_run).
    code = struct.pack("=BBHBBHBBHBBH", _BC_S_GE, 8, 20, 0, 0, low, _BC_S_LE, 8, 12, 0, 0, high)
    return _request(family, CONNECTED, 0, _ATTRIBUTE.pack(_ATTRIBUTE.size + len(code), _INET_DIAG_REQ_BYTECODE) + code)


def _request(family: int, states: int, extensions: int, attributes: bytes) -> bytes:
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, extensions, 0, states) + bytes(48) + attributes
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + body


def parse_messages(data: bytes) -> Tuple[List[Socket], bool]:
    """(the sockets of one datagram, whether it was the last one).

    OSError with the kernel's errno where it refuses; ValueError where a message is cut off.
    """
    found: List[Socket] = []
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            raise ValueError("sock_diag: a message of %d bytes where %d are left" % (length, len(data) - at))
        if kind == _NLMSG_DONE:
            _raise_error(data, at, length)
            return found, True
        if kind == _NLMSG_ERROR:
            _raise_error(data, at, length)
            raise ValueError("sock_diag: an acknowledgement instead of an answer")
        if kind == _SOCK_DIAG_BY_FAMILY:
            found.append(_socket(data, at + _HEADER.size, at + length))
        at += length + 3 & ~3
    if at < len(data):
        raise ValueError("sock_diag: %d bytes are no message" % (len(data) - at))
    return found, False


def _raise_error(data: bytes, at: int, length: int) -> None:
    """The end of a dump carries an error too: the module tcp_diag is missing (ENOENT), an interrupted one."""
    if length >= _HEADER.size + 4:
        number = struct.unpack_from("=i", data, at + _HEADER.size)[0]
        if number < 0:
            raise OSError(-number, os.strerror(-number))


def _socket(data: bytes, at: int, end: int) -> Socket:
    if end - at < _MESSAGE.size:
        raise ValueError("sock_diag: a socket in %d bytes" % (end - at))
    (family, state, _timer, _retrans, sport, dport, source, target, _interface, _cookie, _expires, rqueue, wqueue, uid,
     inode) = _MESSAGE.unpack_from(data, at)
    drops = None
    at += _MESSAGE.size
    while at + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > end:
            raise ValueError("sock_diag: an attribute of %d bytes where %d are left" % (length, end - at))
        place = at + _ATTRIBUTE.size + 4 * _SK_MEMINFO_DROPS
        if kind == _INET_DIAG_SKMEMINFO and place + 4 <= at + length:  # drops are told since Linux 4.11
            drops = struct.unpack_from("=I", data, place)[0]
        at += length + 3 & ~3
    return Socket(family, state, _address(family, source), int.from_bytes(sport, "big"), _address(family, target),
                  int.from_bytes(dport, "big"), rqueue, wqueue, uid, inode, drops)


def _address(family: int, packed: bytes) -> bytes:
    if family != socket.AF_INET6:
        return packed[:4]
    return packed[12:] if packed.startswith(_MAPPED) else packed


def parse_rows(lines: Iterable[str], *, family: int, byteorder: str = sys.byteorder) -> Iterator[Socket]:
    """The sockets of /proc/net/tcp or tcp6, one after the other; damaged lines are left out.

    The queue of a listening socket is in the column of what was received (net/ipv4/tcp_ipv4.c, get_tcp4_sock); its backlog
    is not told.
    """
    size = 32 if family == socket.AF_INET6 else 8
    order = "<" if byteorder == "little" else ">"
    words = "%dI" % (size // 8)
    for line in lines:
        fields = line.split(None, 10)
        if len(fields) < 10 or fields[0] == "sl":
            continue
        try:
            addresses = []
            for text in (fields[1], fields[2]):
                host, _colon, port = text.partition(":")
                if len(host) != size:
                    raise ValueError(text)
                packed = struct.pack(">" + words, *struct.unpack(order + words, bytes.fromhex(host)))
                addresses.append((_address(family, packed), int(port, 16) & 0xFFFF))
            state = int(fields[3], 16)
            received = int(fields[4].partition(":")[2], 16)
            yield Socket(family, state, addresses[0][0], addresses[0][1], addresses[1][0], addresses[1][1], received, None,
                         int(fields[7]), int(fields[9]), None)
        except ValueError:
            continue


def text_of(packed: bytes) -> str:
    """An address of :class:`Socket` for people."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
