# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sock_diag(7) and /proc/net/tcp, on what a kernel really sent."""
from __future__ import annotations

import base64
import errno
import json
import socket
import struct
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import sockdiag
from ansible_collections.goready.preflight.plugins.module_utils.sockdiag import Socket

KERNEL = Path(__file__).parents[2] / "fixtures" / "kernel"


def recorded(name: str, family: str) -> list[bytes]:
    return [base64.b64decode(one) for one in json.loads((KERNEL / f"{name}.json").read_text())[family]]


def sockets(name: str) -> list[Socket]:
    found = []
    for family in ("inet", "inet6"):
        datagrams = recorded(name, family)
        parsed = [sockdiag.parse_messages(one) for one in datagrams]
        assert [done for _found, done in parsed] == [False] * (len(datagrams) - 1) + [True]
        found += [one for some, _done in parsed for one in some]
    return found


def test_listening_sockets() -> None:
    found = {(sockdiag.text_of(one.source), one.sport): one for one in sockets("listening")}
    assert {one.state for one in found.values()} == {sockdiag.LISTEN}
    stuck = found["127.0.0.1", 9001]
    assert (stuck.rqueue, stuck.wqueue, stuck.uid) == (2, 1, 0)
    assert stuck.drops and stuck.inode
    assert {place: one.wqueue for place, one in found.items() if place[1] != 9001} == {
        ("0.0.0.0", 22): 128, ("::", 22): 128, ("::", 8081): 4096, ("::", 9100): 4096, ("127.0.0.1", 8082): 4096,
        ("127.0.0.1", 8083): 4096, ("127.0.0.1", 8084): 4096}
    assert {one.drops for place, one in found.items() if place[1] != 9001} == {0}


def test_connections_of_a_range_of_local_ports() -> None:
    found = sockets("connected")
    assert all(40000 <= one.sport <= 40099 for one in found)
    assert Counter((sockdiag.text_of(one.target), one.dport, one.state) for one in found)["127.0.0.1", 9100, sockdiag.ESTABLISHED] == 90
    assert all(one.inode for one in found if one.state == sockdiag.ESTABLISHED)


def test_rows_say_the_same_as_messages() -> None:
    """/proc/net/tcp of the same host: all but backlog and drops."""
    rows = []
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        rows += sockdiag.parse_rows((KERNEL / "stuck-after" / name).read_text().splitlines(), family=family, byteorder="little")
    listening = {one.inode: (one.source, one.sport, one.rqueue) for one in rows if one.state == sockdiag.LISTEN}
    assert listening == {one.inode: (one.source, one.sport, one.rqueue) for one in sockets("listening")}
    assert {one.wqueue for one in rows} == {None}
    held = {one.inode for one in rows if one.state == sockdiag.ESTABLISHED and one.dport == 9100}
    assert held == {one.inode for one in sockets("connected") if one.dport == 9100}
    assert any(one.family == socket.AF_INET6 and len(one.source) == 4 for one in rows), "mapped addresses are IPv4"


def test_rows_of_a_machine_of_the_other_byte_order() -> None:
    line = "  0: 7F000001:2329 00000000:0000 0A 00000000:00000002 00:00000000 00000000  1000  0 77 2 0 100 0 0 10 0"
    (one,) = sockdiag.parse_rows([line], family=socket.AF_INET, byteorder="big")
    assert (sockdiag.text_of(one.source), one.sport, one.rqueue, one.uid, one.inode) == ("127.0.0.1", 9001, 2, 1000, 77)


@pytest.mark.parametrize("line", [
    pytest.param("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", id="header"),
    pytest.param("  0: 0100007F:2329 00000000:0000 0A 00000000:00000002", id="cut"),
    pytest.param("  0: 0100007F:2329 00000000:0000 XX 00000000:00000002 00:00000000 00000000 0 0 77", id="state"),
    pytest.param("  0: 0100007F00:2329 00000000:0000 0A 00000000:00000002 00:00000000 00000000 0 0 77", id="address"),
    pytest.param("", id="empty"),
])
def test_damaged_rows_are_left_out(line: str) -> None:
    assert list(sockdiag.parse_rows([line], family=socket.AF_INET)) == []


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


@pytest.mark.parametrize("kind", [2, 3], ids=["error", "end of the dump"])
def test_what_the_kernel_refuses_is_an_oserror(kind: int) -> None:
    with pytest.raises(OSError) as caught:
        sockdiag.parse_messages(message(kind, struct.pack("=i", -errno.ENOENT)))
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize(("data", "text"), [
    pytest.param(message(20, b"")[:-1] + b"", "sock_diag: 15 bytes are no message", id="header"),
    pytest.param(message(20, bytes(72))[:40], "sock_diag: a message of 88 bytes where 40 are left", id="cut"),
    pytest.param(message(20, bytes(71)), "sock_diag: a socket in 71 bytes", id="socket"),
    pytest.param(message(20, bytes(72) + struct.pack("=HH", 40, 7) + bytes(4)), "sock_diag: an attribute of 40 bytes where 8 are left",
                 id="attribute"),
    pytest.param(message(2, struct.pack("=i", 0)), "sock_diag: an acknowledgement instead of an answer", id="acknowledgement"),
])
def test_damaged_messages(data: bytes, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        sockdiag.parse_messages(data)
    assert str(caught.value) == text


def test_a_kernel_that_does_not_tell_drops() -> None:
    """Before Linux 4.11 the memory has eight words."""
    data = message(20, bytes([socket.AF_INET, 10]) + bytes(70) + struct.pack("=HH", 36, 7) + bytes(32))
    (one,), done = sockdiag.parse_messages(data)
    assert (one.drops, done) == (None, False)


def test_requests_are_answered_by_this_kernel() -> None:
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, sockdiag.NETLINK_SOCK_DIAG)
    except OSError as exc:
        pytest.skip(f"no sock_diag here: {exc}")
    with sock, socket.create_server(("127.0.0.1", 0), backlog=7) as server, socket.create_connection(server.getsockname()) as client:
        sock.settimeout(5)

        def ask(request: bytes) -> list[Socket]:
            sock.send(request)
            found: list[Socket] = []
            done = False
            while not done:
                some, done = sockdiag.parse_messages(sock.recv(1 << 16))
                found += some
            return found

        port, local = server.getsockname()[1], client.getsockname()[1]
        (mine,) = [one for one in ask(sockdiag.listening_request(socket.AF_INET)) if one.sport == port]
        assert (mine.rqueue, mine.wqueue, mine.drops) == (1, 7, 0)
        (other,) = ask(sockdiag.local_ports_request(socket.AF_INET, local, local))
        assert (other.sport, other.dport, other.state) == (local, port, sockdiag.ESTABLISHED)


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    try:
        sockdiag.parse_messages(data)
    except (ValueError, OSError):
        pass


@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_recording_cut_or_changed_anywhere(noise: bytes, at: int) -> None:
    data = bytearray(recorded("listening", "inet")[0])
    data[at:at + len(noise)] = noise
    try:
        sockdiag.parse_messages(bytes(data))
    except (ValueError, OSError):
        pass


@given(st.lists(st.text() | st.lists(st.sampled_from(["0:", "0100007F:1F90", "0A", "00000000:00000001", "0", "٣", "-1"]), max_size=12)
                .map(" ".join)))
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_any_rows(family: int, lines: list[str]) -> None:
    list(sockdiag.parse_rows(lines, family=family))
