# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dead address of a name costs a Go program, from the facts ``connections``. Pure.

Go, src/net/dial.go: the addresses of the family that comes first are tried in turn, each with an equal share of what is left of
the dialer's time (partialDeadline), and those of the other family beside them after FallbackDelay (300 ms, RFC 6555), or at once
when the first family has failed. Go sorts addresses by the table of RFC 6724 (src/net/addrselect.go), the libc by that of RFC 3484
(gai.conf(5)): local IPv6 addresses come behind IPv4 for the one and before it for the other. The facts have the libc's order.

Within a family the order is anybody's: DNS servers rotate the addresses, and of IPv4 the libc puts those first that are nearest by
their bits, which Go does not (rule 9; addrselect.go has it for IPv6 alone). So a silent address is the first one for some.
"""
from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FALLBACK_MS = 300.0           # net.Dialer.FallbackDelay
DEFAULT_DIAL_SECONDS = 30.0   # net/http, DefaultTransport
NO_NEIGHBOUR_SECONDS = 3.0    # "no route to host" from the host itself: arp(7), mcast_solicit times retrans_time
FAMILIES = {"inet": "IPv4", "inet6": "IPv6", "unix": "unix"}

# Those of rfc6724policyTable with a precedence below that of IPv4 (35).
_BEHIND_IPV4 = tuple(ipaddress.ip_network(one) for one in ("2002::/16", "2001::/32", "fc00::/7", "::/96", "fec0::/10", "3ffe::/16"))

Address = Mapping[str, Any]


@dataclass(frozen=True)
class Delay:
    """What the dead ``address`` adds to a new connection: ``ms``, and the sentence's second half."""

    address: str
    family: str
    ms: float
    words: str


def dead(address: Address) -> bool:
    """Whether an address was tried and no connection came about: neither slow nor answering badly."""
    return bool(address.get("routed", True)) and bool(address.get("asked")) and not address.get("ok") and not any(
        one.get("phase") != "connect" for one in address.get("errors") or ())


def silent(address: Address) -> bool:
    """Whether a dead address lets one wait: it answers nothing, not even that nobody listens."""
    return dead(address) and any(one.get("kind") in ("timeout", "unreachable") for one in address.get("errors") or ())


def in_order(addresses: Sequence[Address]) -> list[Address]:
    """Those that were tried, in the order in which Go tries them: the table of RFC 6724, and the facts' order else."""
    return sorted((one for one in addresses if one.get("routed", True) and one.get("asked")), key=_behind_ipv4)


def delay(addresses: Sequence[Address]) -> Delay | None:
    """What silent addresses cost every new connection of a Go program; None where they cost nothing."""
    usable = in_order(addresses)
    if not usable or not any(one.get("ok") for one in usable):
        return None
    first = usable[0].get("family")
    primaries = [one for one in usable if one.get("family") == first]
    fallbacks = [one for one in usable if one.get("family") != first and one.get("ok")]
    always = silent(primaries[0])
    if not always:
        primaries.sort(key=lambda one: not silent(one))
    if not silent(primaries[0]):
        return None
    name, family = str(primaries[0].get("address")), FAMILIES.get(str(first), str(first))
    if fallbacks:
        other = FAMILIES.get(str(fallbacks[0].get("family")), "")
        return Delay(name, family, FALLBACK_MS,
                     f"a Go client waits {FALLBACK_MS:g} ms for it before it tries {other}, on every new connection" if always else
                     f"a Go client that tries it first waits {FALLBACK_MS:g} ms before it tries {other}")
    # Each takes its share of what is left: the first of three a third of all, the second half of the rest.
    before = next(number for number, one in enumerate(primaries) if one.get("ok"))
    gone, each = [one for one in primaries[:before] if silent(one)], DEFAULT_DIAL_SECONDS / len(primaries)
    if all(any(error.get("kind") == "unreachable" for error in one.get("errors") or ()) for one in gone):
        seconds = min(each, NO_NEIGHBOUR_SECONDS) * len(gone)
        return Delay(name, family, seconds * 1000, f"a Go client that tries it first waits up to {seconds:g} s")
    seconds = each * len(gone)
    return Delay(name, family, seconds * 1000,
                 f"a Go client that tries it first waits {seconds:g} s (net/http's default of {DEFAULT_DIAL_SECONDS:g} s over "
                 f"{len(primaries)} addresses)")


def _behind_ipv4(address: Address) -> bool:
    try:
        one = ipaddress.IPv6Address(str(address.get("address")).split("%", maxsplit=1)[0])
    except ValueError:
        return False
    return one != ipaddress.IPv6Address("::1") and any(one in network for network in _BEHIND_IPV4)
