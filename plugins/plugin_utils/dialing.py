# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dead address of a name costs a Go program, from the facts ``connections``. Pure.

Go, src/net/dial.go: the addresses of the family that comes first are tried in turn, each with an equal share of what is left of
the dialer's time (partialDeadline), and those of the other family beside them after FallbackDelay (300 ms, RFC 6555), or at once
when the first family has failed. Addresses are in the order of RFC 6724, as the libc gives them.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FALLBACK_MS = 300.0           # net.Dialer.FallbackDelay
DEFAULT_DIAL_SECONDS = 30.0   # net/http, DefaultTransport
FAMILIES = {"inet": "IPv4", "inet6": "IPv6", "unix": "unix"}

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


def delay(addresses: Sequence[Address]) -> Delay | None:
    """What silent addresses cost every new connection of a Go program; None where they cost nothing."""
    usable = [one for one in addresses if one.get("routed", True) and one.get("asked")]
    if not usable or not any(one.get("ok") for one in usable):
        return None
    first = usable[0].get("family")
    primaries = [one for one in usable if one.get("family") == first]
    fallbacks = [one for one in usable if one.get("family") != first and one.get("ok")]
    if not silent(primaries[0]):
        return None
    name, family = str(primaries[0].get("address")), FAMILIES.get(str(first), str(first))
    if fallbacks:
        other = FAMILIES.get(str(fallbacks[0].get("family")), "")
        return Delay(name, family, FALLBACK_MS,
                     f"a Go client waits {FALLBACK_MS:g} ms for it before it tries {other}, on every new connection")
    # Each takes its share of what is left: the first of three a third of all, the second half of the rest.
    before = next(number for number, one in enumerate(primaries) if one.get("ok"))
    seconds = DEFAULT_DIAL_SECONDS / len(primaries) * sum(1 for one in primaries[:before] if silent(one))
    return Delay(name, family, seconds * 1000,
                 f"a Go client that tries it first waits {seconds:g} s (net/http's default of {DEFAULT_DIAL_SECONDS:g} s over "
                 f"{len(primaries)} addresses)")
