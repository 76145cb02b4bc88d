# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dead address costs a Go program: the rules of src/net/dial.go."""
from __future__ import annotations

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import dialing

HOLE = [{"phase": "connect", "kind": "timeout", "message": "no connection within 3 s", "count": 2}]
ALONE = [{"phase": "connect", "kind": "timeout", "message": "no connection within 3 s", "count": 1},
         {"phase": "connect", "kind": "unreachable", "message": "no route to host", "count": 1}]
REJECTED = [{"phase": "connect", "kind": "failed", "message": "no route to host", "count": 5}]
SHUT = [{"phase": "connect", "kind": "refused", "message": "connection refused", "count": 5}]


def address(name, errors=(), **changed):
    return {"address": name, "family": "inet6" if ":" in name else "inet", "routed": True, "asked": 5, "ok": 0 if errors else 5,
            "errors": list(errors), **changed}


@pytest.mark.parametrize(("addresses", "ms"), [
    ([], None),
    ([address("192.0.2.1")], None),
    ([address("192.0.2.1", HOLE)], None),
    ([address("2001:db8::1", HOLE), address("192.0.2.1")], 300),
    ([address("2001:db8::1", SHUT), address("192.0.2.1")], None),
    ([address("192.0.2.1"), address("2001:db8::1", HOLE)], None),
    ([address("192.0.2.1", HOLE), address("192.0.2.2")], 15000),
    ([address("192.0.2.1", HOLE), address("192.0.2.2", HOLE), address("192.0.2.3")], 20000),
    ([address("192.0.2.1", HOLE), address("192.0.2.2", SHUT), address("192.0.2.3")], 10000),
    ([address("192.0.2.1"), address("192.0.2.2", HOLE)], 15000),
    ([address("192.0.2.1"), address("192.0.2.2", SHUT)], None),
    ([address("192.0.2.1"), address("192.0.2.2", ALONE)], 3000),
    ([address("2001:db8::1"), address("2001:db8::2", HOLE), address("192.0.2.1")], 300),
    ([address("192.0.2.1", HOLE), address("192.0.2.2"), address("2001:db8::1")], 300),
    ([address("2001:db8::1", asked=0, ok=0, routed=False), address("192.0.2.1", HOLE), address("192.0.2.2")], 15000),
    ([address("2001:db8::1", asked=0, ok=0), address("192.0.2.1")], None),
    ([address("fd00::1", HOLE), address("192.0.2.1")], None),
    ([address("fd00::1"), address("192.0.2.1", HOLE)], 300),
    ([address("fd00::1", HOLE), address("fd00::2")], 15000),
    ([address("::1", HOLE), address("127.0.0.1")], 300),
], ids=["none", "one", "one, dead", "dead IPv6 first", "shut IPv6 first", "dead IPv6 last", "dead of two", "two dead of three",
        "one of them shut", "the second of two: the order of a family is nobody's",
        "the second of two, shut", "no neighbour has it", "the second of one family, the other helps", "the other family helps",
        "no route to IPv6", "not asked",
        "a local IPv6 address comes behind IPv4", "so a dead IPv4 comes before it", "local addresses alone", "::1 comes first"])
def test_delay(addresses, ms):
    found = dialing.delay(addresses)
    assert (found.ms if found else None) == ms


def test_words():
    found = dialing.delay([address("2001:db8::1", HOLE), address("192.0.2.1")])
    assert found == dialing.Delay("2001:db8::1", "IPv6", 300.0,
                                  "a Go client waits 300 ms for it before it tries IPv4, on every new connection")
    found = dialing.delay([address("192.0.2.1", HOLE), address("192.0.2.2")])
    assert found is not None and found.words == (
        "a Go client that tries it first waits 15 s (net/http's default of 30 s over 2 addresses)")
    found = dialing.delay([address("192.0.2.1"), address("192.0.2.2", ALONE)])
    assert found == dialing.Delay("192.0.2.2", "IPv4", 3000.0, "a Go client that tries it first waits up to 3 s")
    found = dialing.delay([address("2001:db8::1"), address("2001:db8::2", HOLE), address("192.0.2.1")])
    assert found is not None and found.words == "a Go client that tries it first waits 300 ms before it tries IPv4"


@pytest.mark.parametrize(("errors", "dead", "silent"), [
    (HOLE, True, True), (SHUT, True, False), (REJECTED, True, False),
    ([{"phase": "tls", "kind": "timeout"}], False, False), ((), False, False),
], ids=["black hole", "refused", "rejected", "no handshake", "good"])
def test_dead_and_silent(errors, dead, silent):
    one = address("192.0.2.1", errors)
    assert (dialing.dead(one), dialing.silent(one)) == (dead, silent)
