# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel counted while the host was watched (facts ``sample``), in the terms in which it is judged and explained.

Everything here reads the facts and judges nothing: which namespaces there are and whose, which listeners are one, how many
local ports a destination takes from those that there are.
"""
from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Facts, lookup


@dataclass(frozen=True)
class Namespace:
    """A network namespace. ``subject`` is empty for the host's own, else the services that are in it."""

    subject: str
    facts: Mapping[str, Any]

    @property
    def pid(self) -> int | None:
        """What the listeners of this namespace carry as ``net``."""
        return self.facts.get("pid")

    @property
    def error(self) -> str:
        """Why nothing was counted, empty where it was."""
        return str((self.facts.get("error") or {}).get("message") or "")

    @property
    def seconds(self) -> float:
        return float(self.facts.get("seconds") or 0)

    @property
    def tcp(self) -> Mapping[str, Any] | None:
        return self.facts.get("tcp")

    def grown(self, name: str) -> int:
        """By how much a TCP counter has grown; 0 where this kernel does not have it."""
        return int((self.tcp or {}).get(name) or 0)

    def label(self, words: str) -> str:
        """A subject within this namespace."""
        return f"{self.subject} {words}".strip()

    @property
    def reason(self) -> str:
        return f"The counters of {self.where} were not read: {self.error or 'see the errors of the facts'}."

    @property
    def where(self) -> str:
        return f"the network of {self.subject}" if self.subject else "this host's network"


def namespaces(facts: Facts) -> Iterator[Namespace]:
    """The host's own first; those that nobody could look into last, as one."""
    kernel = facts["sample"]["kernel"]
    yield Namespace("", kernel)
    names = _subjects(facts)
    for one in kernel.get("namespaces") or ():
        yield Namespace(", ".join(names.get(str(name), str(name)) for name in one.get("services") or ()), one)
    seen = {str(name) for one in (kernel, *(kernel.get("namespaces") or ())) for name in one.get("services") or ()}
    unseen = [names.get(str(name), str(name)) for name in kernel.get("unreadable") or () if str(name) not in seen]
    if unseen:
        why = "it could not be looked into" if lookup(facts, "collected.privileged") else "permission denied"
        yield Namespace(", ".join(unseen), {"pid": 0, "error": {"kind": "unreadable", "message": why}})  # 0: no listener has it


def _subjects(facts: Facts) -> dict[str, str]:
    return {str(one.get("name")): subjects.subject_of(str(one.get("name")), one.get("container"))
            for one in lookup(facts, "services.services") or ()}


@dataclass(frozen=True)
class Listener:
    """What listens at one address and port: one socket, or several that share it (SO_REUSEPORT). ``service`` is a subject, empty
    for a program that is no service of the facts. ``full``: more waited than the backlog allows, so the next one is dropped."""

    service: str
    net: int | None
    address: str
    port: int
    queue: int
    backlog: int | None
    drops: int | None
    pid: int | None
    full: bool

    @property
    def subject(self) -> str:
        return f"{self.service} {self.place}".strip()

    @property
    def place(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def listeners(facts: Facts) -> list[Listener]:
    """By service, then by port."""
    names = _subjects(facts)
    rows: dict[tuple[str, Any, str, int], list[Mapping[str, Any]]] = {}
    for one in facts["sample"].get("listeners") or ():
        name = str(one.get("service") or "")
        rows.setdefault((names.get(name, name), one.get("net"), str(one.get("address")), int(one.get("port") or 0)), []).append(one)
    found = []
    for (service, net, address, port), group in rows.items():
        drops = [int(one["drops"]) for one in group if one.get("drops") is not None]
        # Connections are spread over the sockets that share a port: the fullest one drops.
        worst = max(group, key=lambda one: (_full(one), one.get("queue_max") or 0))
        found.append(Listener(service, net, address, port, int(worst.get("queue_max") or 0), worst.get("backlog"),
                              sum(drops) if drops else None, worst.get("pid"), any(_full(one) for one in group)))
    return sorted(found, key=lambda one: (not one.service, one.service, one.port, one.address))


def _full(one: Mapping[str, Any]) -> bool:
    """As the kernel sees it (include/net/sock.h, sk_acceptq_is_full): the queue is longer than the backlog."""
    return one.get("backlog") is not None and int(one.get("queue_max") or 0) > int(one["backlog"])


@dataclass(frozen=True)
class Destination:
    """The local ports that connections to one address and port take, from one local address. ``used`` leaves out those in
    TIME-WAIT that the kernel gives away again at once; ``usable`` are all that there are."""

    facts: Mapping[str, Any]
    used: int
    usable: int

    @property
    def place(self) -> str:
        address = str(self.facts["address"])
        return f"[{address}]:{self.facts['port']}" if ":" in address else f"{address}:{self.facts['port']}"

    @property
    def percent(self) -> float:
        return 100.0 * self.used / self.usable

    @property
    def services(self) -> str:
        return ", ".join(str(name) for name in self.facts.get("services") or ())


def destinations(namespace: Namespace) -> list[Destination]:
    """The busiest first; none where the range of local ports is not known."""
    span = namespace.facts.get("port_range")
    if not span:
        return []
    usable = max(1, span[1] - span[0] + 1 - int(namespace.facts.get("reserved_ports") or 0))
    found = []
    for one in namespace.facts.get("destinations") or ():
        used = sum(int(one[key]) for key in ("established", "syn_sent", "close_wait", "closing"))
        if not _reused(one, namespace.facts.get("tw_reuse")):
            used += int(one["time_wait"])
        found.append(Destination(one, used, usable))
    return sorted(found, key=lambda one: -one.used)


def _reused(one: Mapping[str, Any], setting: Any) -> bool:
    """Whether a new connection may take a port in TIME-WAIT after a second: net.ipv4.tcp_tw_reuse 1 for all, 2 on loopback
    (Documentation/networking/ip-sysctl.rst)."""
    if setting == 2:
        return all(ipaddress.ip_address(str(one[key])).is_loopback for key in ("address", "source"))
    return bool(setting == 1)


def server_timeout(part: Mapping[str, Any] | None) -> tuple[str, float]:
    """What one slow request of ``timeouts.listeners`` shows: ("limited", seconds after which the server ended it), ("unlimited",
    seconds that it was waited for), ("unread", 0): it answered at once, without reading on, or ("unknown", 0)."""
    if not part or part.get("error"):
        return "unknown", 0.0
    closed = part.get("closed_after")
    if closed is None:
        return "unlimited", float(part.get("waited") or 0)
    # No server's patience is shorter: it refused the request, or its handler does not want the body.
    return ("limited", float(closed)) if closed >= 0.5 else ("unread", 0.0)
