# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's part "Why would a request time out here?": ``hosts[].services[].explanation``, the troubled services first.

``plugin_utils/explanation.py`` has found the causes and their order; here is only what a page needs of them.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.report import text

#: The causes in words, as a symptom names the one that it follows from.
CAUSES = {
    "down": "the service being down", "unhealthy": "its failing health URL", "unreachable": "the endpoint that cannot be reached",
    "descriptors": "the limit of open files", "accept_queue": "the full accept queue", "conntrack": "the full connection table",
    "ports": "the exhausted local ports", "database_down": "the database that cannot be reached",
    "database_connections": "the database's connections", "database_idle": "transactions left open in the database",
    "database_locks": "locks in the database", "dns": "name resolution", "dead_address": "the dead address", "connect": "slow connects",
    "tls": "slow TLS handshakes", "first_byte": "a slow answer", "pool": "the exhausted pool", "lock": "lock contention",
    "gc": "garbage collection", "cpu_quota": "the CPU quota", "run_queue": "the lack of CPU", "leak": "leaked goroutines",
    "memory": "the lack of memory", "retransmits": "retransmissions", "replication": "replication lag", "disk": "the disk",
    "process": "another program", "sleep": "sleeping handlers",
    "internal": "waiting inside the service", "client": "slow clients", "dependency": "a slow dependency",
    "module_proxy": "the module proxy", "own_connect": "slow connects to the service itself", "database": "a slow database",
    "database_memory": "the database's memory", "tasks": "the limit of tasks", "cpu": "the lack of CPU",
    "server_timeouts": "missing server time-outs",
}
#: Services that are shown; report.json holds the others.
LIMIT = 50
#: Lines of a list that are shown.
LINES = 12


@dataclass(frozen=True)
class View:
    """One service. ``state`` is ``blocker`` (requests fail), ``warning`` (they wait), ``pass`` (nothing was found) or ``notice``
    (too little could be measured); ``said`` is the sentence for it."""

    host: str
    service: str
    number: int
    state: str
    said: str
    explanation: Mapping[str, Any]

    @property
    def ranked(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.explanation.get("ranked") or ()
        return found

    @property
    def counts(self) -> str:
        """What was measured, and what was not, in a few words."""
        words = [text.count(len(self.explanation.get("excluded") or ()), "cause") + " excluded by measurement"
                 if self.explanation.get("excluded") else "",
                 f"{len(self.explanation['unmeasured'])} not measured" if self.explanation.get("unmeasured") else ""]
        return ", ".join(filter(None, words))


@dataclass(frozen=True)
class Overview:
    """The services that are shown, those in trouble first, and how many ``more`` there are."""

    views: tuple[View, ...] = ()
    more: int = 0

    @property
    def troubled(self) -> list[View]:
        return [view for view in self.views if view.ranked]

    @property
    def quiet(self) -> list[View]:
        return [view for view in self.views if not view.ranked]


@dataclass(frozen=True)
class Root:
    """A cause on a host that brings others about: a result is (check, subject), ``symptoms`` are those of the others."""

    host: str
    service: str
    cause: str
    result: tuple[str, str]
    reason: str
    first_step: str
    symptoms: frozenset[tuple[str, str]]


def roots(hosts: Iterable[Mapping[str, Any]]) -> list[Root]:
    """The causes with symptoms of all services: whoever mends one has mended its symptoms."""
    found = []
    for host in hosts:
        for service in host.get("services") or ():
            families: list[list[Mapping[str, Any]]] = []
            for line in (service.get("explanation") or {}).get("ranked") or ():
                # Symptoms stand right behind their cause.
                if line.get("behind") and families:
                    families[-1].append(line)
                else:
                    families.append([line])
            for first, *others in families:
                # The same result can be its own symptom: two causes stand on it.
                symptoms = frozenset(map(_result, others)) - {_result(first)}
                if symptoms:
                    name = subjects.subject_of(str(service["name"]), service.get("container"))
                    found.append(Root(str(host["name"]), name, str(first.get("cause") or ""), _result(first), str(first["reason"]),
                                      str(first.get("first_step") or ""), symptoms))
    return found


def _result(line: Mapping[str, Any]) -> tuple[str, str]:
    return str(line.get("check") or ""), str(line.get("subject") or "")


def views(hosts: Iterable[Mapping[str, Any]]) -> Overview:
    """The explanations of all hosts. A service of which nothing was measured has none."""
    found = []
    for host in hosts:
        for service in host.get("services") or ():
            explanation = service.get("explanation")
            if explanation and any(explanation.get(key) for key in ("ranked", "excluded", "measured")):
                found.append((str(host["name"]), subjects.subject_of(str(service["name"]), service.get("container")), explanation))
    found.sort(key=lambda one: (_rank(one[2]), one[0], one[1]))
    return Overview(
        tuple(View(host, service, number, *_said(explanation), explanation)
              for number, (host, service, explanation) in enumerate(found[:LIMIT], 1)),
        max(0, len(found) - LIMIT))


def _rank(explanation: Mapping[str, Any]) -> tuple[int, float]:
    ranked = explanation.get("ranked") or ()
    if not ranked:
        return (2 if explanation.get("excluded") else 1), 0.0
    return (-1 if ranked[0].get("fails") else 0), -float(ranked[0].get("share") or 0.0)


def _said(explanation: Mapping[str, Any]) -> tuple[str, str]:
    ranked = explanation.get("ranked") or ()
    if ranked:
        return ("blocker" if ranked[0].get("fails") else "warning"), str(ranked[0]["reason"])
    if not explanation.get("excluded"):
        return "notice", "Nothing was found that a request would wait for; little could be measured."
    return "pass", "Nothing was found that a request would wait for."
