# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime view of services: its endpoints by name, and several takes of them put together.

``readiness_facts`` takes each endpoint once. :func:`merge` appends what a later call brought, and never mixes two lives
of a process: their counts have nothing to do with each other.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Facts, Outcome, Remediation, lookup, notapplicable, unknown

GIVE_CREDENTIALS = Remediation(
    hint="Give the credentials in preflight_credentials, by the service's name: username and password, or token; from a vault.")
SEE_AVAILABLE = Remediation(hint="See pprof.available: what the endpoint answered is told there.")

#: Two readings of one process's start differ by less: it is counted in clock ticks of a hundredth of a second (proc(5)).
SAME_LIFE = 0.05


@dataclass(frozen=True)
class Endpoint:
    """One entry of ``runtime.endpoints`` under the name its findings carry: the service's, and the listener's where a
    service has several."""

    subject: str
    facts: Mapping[str, Any]

    @property
    def takes(self) -> Sequence[Mapping[str, Any]]:
        return self.facts.get("takes") or ()

    @property
    def declared(self) -> bool:
        return bool(self.facts.get("declared"))

    @property
    def failure(self) -> str:
        """Why it gave nothing."""
        error = self.facts.get("error") or {}
        return str(error.get("message") or error.get("kind") or "it was not asked")

    @property
    def refused_us(self) -> bool:
        """It is a matter of credentials that it gave nothing."""
        return bool(lookup(self.facts, "error.kind") == "unauthorized")

    @property
    def life(self) -> list[str]:
        """What any window has to be read with: that the process was replaced, or that a later look failed."""
        told = [self.facts.get(key) for key in ("restarted", "interrupted")]
        return [str(one.get("message") if isinstance(one, Mapping) else one) for one in told if one]

    def of(self, *phases: str) -> list[Mapping[str, Any]]:
        """The takes of some phases, in the order in which they were made."""
        return [take for take in self.takes if take.get("phase") in phases]


def endpoints(facts: Facts) -> list[Endpoint]:
    """Every endpoint of the facts, by subject."""
    entries: Iterable[Mapping[str, Any]] = lookup(facts, "runtime.endpoints") or ()
    entries = list(entries)
    names = [subjects.subject_of(str(entry["service"]), entry.get("container")) for entry in entries]
    counts = Counter(names)
    named = [f"{name} {where(entry)}" if counts[name] > 1 else name for name, entry in zip(names, entries, strict=True)]
    again = Counter(named)
    return sorted(
        (Endpoint(f"{name} @{entry.get('pid')}" if again[name] > 1 else name, entry)
         for name, entry in zip(named, entries, strict=True)), key=lambda one: one.subject)


def none(facts: Facts) -> list[Outcome]:
    """The outcome of a host without any endpoint; nothing where it has one."""
    return [] if endpoints(facts) else [notapplicable("No service of this host is known to serve net/http/pprof.")]


def without_take(endpoint: Endpoint) -> Outcome:
    """Why there is nothing to judge. What nobody declared must not stop a release."""
    reason = f"No profile was taken from {where(endpoint.facts)}: {endpoint.failure}."
    if not endpoint.refused_us:
        return unknown(reason, subject=endpoint.subject, severity=None if endpoint.declared else "info", remediation=SEE_AVAILABLE,
                       evidence=endpoint.life)
    if endpoint.declared:
        return unknown(reason, subject=endpoint.subject, remediation=GIVE_CREDENTIALS)
    return notapplicable(f"{reason} {GIVE_CREDENTIALS.hint}", subject=endpoint.subject)


def where(entry: Mapping[str, Any]) -> str:
    """The listener of an endpoint for people: ``127.0.0.1:6060``, ``[::1]:6060``, ``unix:/run/api.sock``."""
    listener = entry.get("listener") or {}
    if listener.get("proto") == "unix":
        return f"unix:{listener.get('path')}"
    address = str(listener.get("address") or "")
    return f"[{address}]:{listener.get('port')}" if ":" in address else f"{address}:{listener.get('port')}"


def targets(runtime: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a later call has to be told of the endpoints that gave a take: who they are, without what they gave."""
    return [
        {key: value for key, value in entry.items() if key not in ("takes", "groups", "error", "restarted")}
        for entry in runtime.get("endpoints") or () if entry.get("takes")
    ]


def merge(first: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Append the takes of a later call to the endpoints of ``first``, in place.

    What answers with another life (PID and start) than before was restarted: its takes are dropped, and ``restarted`` says
    so. An endpoint whose later take failed keeps what it has, and the failure becomes its ``interrupted``.
    """
    found = {identity(entry): entry for entry in later.get("endpoints") or ()}
    for entry in first.get("endpoints") or ():
        other = found.get(identity(entry))
        if other is None or not entry.get("takes"):
            continue
        if other.get("restarted") or not _one_life(entry, other):
            dropped = entry.get("dropped", 0) + 1
            entry["dropped"] = dropped
            what = (f"PID {other['pid']}" if other.get("pid") and other["pid"] != entry.get("pid") else
                    "a process of the same PID" if other.get("pid") and not other.get("restarted") else "another process")
            takes = "one later take was" if dropped == 1 else f"{dropped} later takes were"
            entry["restarted"] = f"PID {entry.get('pid')} was replaced by {what}: {takes} dropped"
            continue
        if not other.get("takes"):
            entry["interrupted"] = other.get("error")
            continue
        entry["groups"] = {**(other.get("groups") or {}), **(entry.get("groups") or {})}
        entry["takes"] = [*entry["takes"], *other["takes"]]


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """What an endpoint is known by from one look to the next: service, container, listener, prefix."""
    container = (entry.get("container") or {}).get("id") or ""
    return str(entry.get("service")), str(container), where(entry), str(entry.get("prefix") or "")


def _one_life(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if one.get("pid") != other.get("pid"):
        return False
    if one.get("started") is None or other.get("started") is None:
        return True  # not readable for us; the same PID within minutes is the same process as a rule
    return abs(float(one["started"]) - float(other["started"])) < SAME_LIFE
