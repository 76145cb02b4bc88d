# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""resolv.conf and nsswitch.conf as glibc reads them, and questions to real nameservers on this machine."""
from __future__ import annotations

import socket
import struct
import threading
import time

import faulty_net
import pytest
from ansible_collections.goready.preflight.plugins.module_utils import resolvconf
from hypothesis import given
from hypothesis import strategies as st

NAMES = {"api.lab.test": ["127.0.0.1", "::1"], "empty.lab.test": []}


def conf(**changed):
    return {"nameservers": ["127.0.0.1"], "search": [], "ndots": 1, "timeout": 5, "attempts": 2, "options": [], **changed}


@pytest.mark.parametrize(("text", "expected"), [
    ("", conf()),
    ("nameserver 192.0.2.1\nnameserver fe80::1%eth0\n", conf(nameservers=["192.0.2.1", "fe80::1%eth0"])),
    ("nameserver 192.0.2.1\n" * 5, conf(nameservers=["192.0.2.1"] * 3)),
    ("nameserver ns.example\nnameserver\nnameserver 192.0.2.1 # first\n", conf(nameservers=["192.0.2.1"])),
    ("# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n", conf()),
    ("search a.example b.example\ndomain c.example\n", conf(search=["c.example"])),
    ("domain c.example\nsearch a.example b.example\n", conf(search=["a.example", "b.example"])),
    ("options ndots:5 timeout:1 attempts:3 rotate\noptions edns0\n", conf(ndots=5, timeout=1, attempts=3, options=["rotate", "edns0"])),
    ("  nameserver 10.0.0.1\n\tsearch x.example\n", conf()),
    ("options timeout:0\n", conf(timeout=1)),
    ("options ndots:99 timeout:999999999999 attempts:9 ndots:x\n", conf(ndots=15, timeout=30, attempts=5)),
], ids=["empty is the host itself", "two", "no more than three", "no addresses", "comments", "last of domain and search",
        "last of search and domain", "options", "indented", "no time at all is a second", "caps"])
def test_resolv_conf(text, expected):
    assert resolvconf.parse_resolv_conf(text) == expected


@given(st.text())
def test_any_text_is_a_resolv_conf(text):
    found = resolvconf.parse_resolv_conf(text)
    assert 1 <= len(found["nameservers"]) <= 3 and found["ndots"] <= 15 and found["timeout"] <= 30 and found["attempts"] <= 5
    assert isinstance(resolvconf.parse_nsswitch(text), str)


@pytest.mark.parametrize(("text", "expected"), [
    ("hosts:          files dns\n", "files dns"),
    ("passwd: files\nhosts: files\tmymachines  resolve [!UNAVAIL=return] # why\n", "files mymachines resolve [!UNAVAIL=return]"),
    ("#hosts: files\nhosts:\n", resolvconf.NSSWITCH_DEFAULT),
    ("", resolvconf.NSSWITCH_DEFAULT),
], ids=["debian", "comment behind", "none", "empty"])
def test_nsswitch(text, expected):
    assert resolvconf.parse_nsswitch(text) == expected


@pytest.mark.parametrize(("name", "search", "ndots", "expected"), [
    ("db1", ["a.example"], 1, ["db1.a.example", "db1"]),
    ("db1.example.org", ["a.example"], 1, ["db1.example.org", "db1.example.org.a.example"]),
    ("db1.example.org", ["a.example", "b.example."], 5, ["db1.example.org.a.example", "db1.example.org.b.example", "db1.example.org"]),
    ("db1.example.org.", ["a.example"], 5, ["db1.example.org."]),
    ("db1", [".", ""], 1, ["db1"]),
], ids=["short", "dotted", "kubernetes", "absolute", "the root"])
def test_candidates(name, search, ndots, expected):
    assert resolvconf.candidates(name, search, ndots) == expected


def test_a_question_is_what_the_wire_wants():
    asked = resolvconf.query("api.lab.test.", resolvconf.AAAA, 0x1234)
    assert asked == b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03api\x03lab\x04test\x00\x00\x1c\x00\x01"


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, ".".join(["x" * 60] * 5)], ids=["empty", "root", "hole", "label", "long"])
def test_no_domain_name(name):
    with pytest.raises(ValueError, match=r"is no domain name$"):
        resolvconf.query(name, resolvconf.A, 1)


@pytest.mark.parametrize(("change", "expected"), [
    (lambda data: data, ("NOERROR", 1)),
    (lambda data: b"\xff\xff" + data[2:], None),
    (lambda data: data[:2] + b"\x01\x00" + data[4:], None),
    (lambda data: data[:12] + b"\x03xyz" + data[16:], None),
    (lambda data: data[:12].replace(data[4:6], b"\0\0", 1), ("NOERROR", 1)),
    (lambda data: data[:3] + b"\x83" + data[4:], ("NXDOMAIN", 1)),
    (lambda data: data[:3] + b"\x8f" + data[4:], ("RCODE 15", 1)),
    (lambda data: data[:11], None),
], ids=["whole", "another id", "a question", "another question", "without a question", "no such name", "unknown code", "short"])
def test_a_response(change, expected):
    asked = resolvconf.query("api.lab.test", resolvconf.A, 7)
    assert resolvconf.parse_response(change(faulty_net.answer(asked, NAMES)), asked) == expected


@given(st.binary(max_size=600))
def test_any_bytes_are_a_response_or_none(data):
    asked = resolvconf.query("api.lab.test", resolvconf.A, 7)
    found = resolvconf.parse_response(data, asked)
    assert found is None or data[:2] == asked[:2]


@pytest.fixture
def nameserver():
    started = []

    def make(**options):
        one = faulty_net.Listener("dns", names=NAMES, **options).start()
        started.append(one)
        return one.port

    yield make
    for one in started:
        one.close()


@pytest.mark.parametrize(("name", "answer"), [("api.lab.test", "NOERROR"), ("nobody.lab.test", "NXDOMAIN")])
def test_a_nameserver_that_answers(nameserver, name, answer):
    found = resolvconf.ask("127.0.0.1", name, timeout=2, port=nameserver())
    assert found.pop("ms") < 1000
    assert found == {"server": "127.0.0.1", "answer": answer, "error": None}


def test_a_slow_one_is_timed(nameserver):
    assert 200 <= resolvconf.ask("127.0.0.1", "api.lab.test", timeout=2, port=nameserver(delay=0.2))["ms"] < 900


def test_a_silent_one_is_asked_twice_and_left(nameserver):
    began = time.monotonic()
    found = resolvconf.ask("127.0.0.1", "api.lab.test", timeout=0.4, port=nameserver(silent=True))
    assert found == {"server": "127.0.0.1", "ms": None, "answer": None,
                     "error": {"kind": "timeout", "message": "no answer to 2 questions within 0.4 s"}}
    assert 0.35 < time.monotonic() - began < 1.5


def test_one_lost_datagram_is_no_silence():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def second_only() -> None:
            server.recvfrom(512)
            data, peer = server.recvfrom(512)
            server.sendto(b"nonsense", peer)
            server.sendto(faulty_net.answer(data, NAMES), peer)

        threading.Thread(target=second_only, daemon=True).start()
        found = resolvconf.ask("127.0.0.1", "api.lab.test", timeout=1, port=server.getsockname()[1])
    assert (found["answer"], found["error"]) == ("NOERROR", None) and found["ms"] < 480


def test_where_nobody_listens():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = resolvconf.ask("127.0.0.1", "api.lab.test", timeout=2, port=port)
    assert found["error"] == {"kind": "refused", "message": f"nobody listens at port {port}/udp"}


def test_no_name_is_not_asked():
    assert resolvconf.ask("127.0.0.1", "x" * 70, timeout=2)["error"]["kind"] == "name"


def test_the_fake_answers_both_families():
    asked = resolvconf.query("api.lab.test", resolvconf.AAAA, 7)
    assert faulty_net.answer(asked, NAMES).endswith(struct.pack(">H", 16) + socket.inet_pton(socket.AF_INET6, "::1"))
    assert resolvconf.parse_response(faulty_net.answer(resolvconf.query("empty.lab.test", 1, 7), NAMES),
                                     resolvconf.query("empty.lab.test", 1, 7)) == ("NOERROR", 0)
