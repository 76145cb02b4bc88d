# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the causes of slow requests have in common: the candidate, the view of one service, what is a cause, how facts are read.

What a cost is measured against, the best that there is:

* the wall-clock profile (``wall.py``): the part of the requests at work that waits for something is the share itself;
* the mean time of a request by the service's own metrics: the milliseconds that a request pays, by it;
* the time of its health URL, which needs none of what the others need: a request that pays c on top of it spends c/(T+c).

What is a cause. A check that fails has the inventory's own threshold behind it. Without one, a measured part must be at least a
tenth of a request's time *and* 20 ms (:data:`SHARE`, :data:`COST`): requests time out after hundreds of milliseconds, a tenth of
less is nobody's reason, and a request that takes 2 ms has a largest part as well. What a service waits for by its nature (the
answer of a dependency, its own computing) must be a quarter and 100 ms (:data:`NATURE_SHARE`), since something always is the
largest; where its check passes, half and 500 ms (:data:`ACCEPTED_SHARE`), which many quick calls in one request come to. What
the profile contradicts (many requests seen, none there) is no cause, however slow it is.

Facts come from hosts: every key may be missing or hold something else.
"""
from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import engine, subjects, wall
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Facts, Result, lookup

DOWN, FAILS, MEASURED, UNMEASURED, NOTE = range(5)  # in the order in which causes are told

SHARE, COST = 0.10, 20.0                  # of a request's time, ms
NATURE_SHARE, NATURE_COST = 0.25, 100.0
ACCEPTED_SHARE, ACCEPTED_COST = 0.5, 500.0  # where its check passes: what network.endpoint_latency accepts of one connection
NEVER = 0.02                              # a share below is none: one of 50 requests seen
WAITING = 2.0                             # requests that wait at a time, where no request's time is known
OLD = 3.0                                 # times as many requests as were seen at work: what ended in the window began long before

_METRICS, _HEALTH = "the service's metrics", "health URL"


@dataclass(frozen=True)
class Candidate:
    """``tier`` is one of :data:`DOWN` to :data:`NOTE`. ``share`` of a request's time, ``cost_ms`` a request. ``brings`` are
    the causes that it brings about; where both say what they are about (``keys``), it must be the same. What is not
    ``ranked`` was measured and is no cause."""

    cause: str
    check: str
    subject: str
    tier: int
    reason: str
    first_step: str = ""
    share: float | None = None
    cost_ms: float | None = None
    evidence: tuple[str, ...] = ()
    severity: int = 0
    ranked: bool = True
    brings: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()


@dataclass
class View:
    """All that is known of one service. ``measured`` and ``unmeasured`` (what, check, why) are filled while causes are looked
    for. ``seen`` is the wall-clock profile."""

    key: tuple[str, str]
    name: str
    subject: str
    service: Mapping[str, Any]
    facts: Facts
    results: Sequence[Result]
    concerned: bool = True  # what is the host's alone is told of it: it is declared, or no service is
    endpoints: Sequence[Mapping[str, Any]] = ()   # of connections: what the service depends on
    health: Sequence[Mapping[str, Any]] = ()      # of connections: its own health URLs
    databases: Sequence[Mapping[str, Any]] = ()
    pools: Sequence[Mapping[str, Any]] = ()
    samples: Sequence[Mapping[str, Any]] = ()
    listeners: Sequence[Mapping[str, Any]] = ()
    walls: Sequence[Mapping[str, Any]] = ()
    seen: wall.Profile | None = None
    mean_ms: float | None = None
    mean_source: str = ""
    requests: int | None = None
    measured: list[str] = field(default_factory=list)
    unmeasured: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def request(self) -> dict[str, Any]:
        mean = None if self.mean_ms is None else round(self.mean_ms, 1)
        return {"mean_ms": mean, "source": self.mean_source, "requests": self.requests}

    @property
    def profile(self) -> dict[str, Any] | None:
        if self.seen is None:
            return None
        shown = self.seen.as_dict()
        return {**shown, "shares": [{**one, "where": text(one["where"], 200)} for one in shown["shares"]]}

    @property
    def watched(self) -> wall.Profile | None:
        """The wall-clock profile, where it saw requests enough to tell shares."""
        return self.seen if self.seen is not None and self.seen.enough else None

    @property
    def own_mean(self) -> float | None:
        """The mean time of a request in ms by the service's metrics; the health URL's says nothing of the others."""
        return self.mean_ms if self.mean_source == _METRICS else None

    def failing(self, check: str, *about: str) -> Result | None:
        """The worst finding of a check about this service or the whole host; with ``about``, with one of these subjects."""
        lines = [line for line in self.results if line.id == check and line.status == "fail" and (
            line.subject in about if about else not line.subject or begins(line.subject, self.subject))]
        return max(lines, key=lambda line: line.rank, default=None)

    def passes(self, check: str, subject: str) -> bool:
        return any(line.id == check and line.status == "pass" and line.subject == subject for line in self.results)

    def share_of(self, cost: float) -> float | None:
        """The share of a request's time that ``cost`` (ms) is, at most; None where a request's time is not known, or where
        it is less than that: then not every request pays it, and how many do is not known."""
        if self.mean_ms is None:
            return None
        if self.mean_source == _HEALTH:
            return cost / (self.mean_ms + cost) if self.mean_ms + cost > 0 else None
        # Both are measured: a request that does nothing else takes as long, and a little more or less.
        return min(1.0, cost / self.mean_ms) if 0 < cost <= 1.1 * self.mean_ms else None

    def beside(self) -> str:
        """What a cost is measured against, for the end of a sentence: `` of a request's 120 ms``."""
        if self.mean_ms is None:
            return ""
        return f" beside {milliseconds(self.mean_ms)} of the health URL" if self.mean_source == _HEALTH else \
            f", a request takes {milliseconds(self.mean_ms)} in the mean"


def views(facts: Facts, results: Sequence[Result]) -> Iterator[View]:
    """Every service of the facts with what belongs to it."""
    services = listed(facts, "services.services")
    for service in services:
        name = str(service.get("name") or "")[:300]
        container = mapping(service.get("container"))
        ident = str(container.get("id") or "")
        view = View((name, ident), name, subjects.subject_of(name, container or None), service, facts, results,
                    bool(service.get("declared")) or not any(one.get("declared") for one in services))
        asked = [one for one in listed(facts, "connections.endpoints") if name in words(one.get("services"))]
        view.endpoints = [one for one in asked if "depends_on" in words(one.get("role"))]
        view.health = [one for one in asked if "health" in words(one.get("role"))]
        view.databases = [one for one in listed(facts, "databases.servers") if name in words(one.get("services"))]
        for key, path in (("pools", "pools.services"), ("samples", "sample.services")):
            setattr(view, key, [one for one in listed(facts, path) if one.get("service") == name
                                and str(lookup(one, "container.id") or "") in ("", ident)])
        view.listeners = [one for one in listed(facts, "sample.listeners") if one.get("service") == name]
        view.walls = wall.of_service(facts, name, ident)
        expected = _request(view)
        view.seen = wall.profile(view.walls, expected)
        if expected is not None and view.mean_ms is not None and view.watched is not None and expected > OLD * view.watched.handlers:
            whole_mean, view.mean_ms = view.mean_ms, view.mean_ms * view.watched.handlers / expected  # W = L / lambda
            view.measured.append(f"Requests that ended in the window took {milliseconds(whole_mean)} in the mean, those seen at work "
                                 f"{milliseconds(view.mean_ms)}: some began long before it, as streams do.")
        yield view


def _request(view: View) -> float | None:
    """What a request takes in the mean: by the service's own metrics, else by its health URL. Returned are the requests at work at
    a time by the metrics (the seconds of all, by those of the window), None where they do not tell."""
    http = [mapping(one.get("http")) for one in view.pools]
    requests, seconds = (sum(number(one.get(key)) or 0.0 for one in http) for key in ("requests", "seconds"))
    if requests >= 1:
        view.requests = int(requests)
        if seconds > 0:
            view.mean_ms, view.mean_source = seconds * 1000 / requests, _METRICS
            window = max((number(one.get("seconds")) or 0.0 for one in view.pools), default=0.0)
            return seconds / window if window else None
    totals = [total for one in view.health for total in [median(lookup(one, "phases.total"))] if total is not None]
    if totals:
        view.mean_ms, view.mean_source = max(totals), _HEALTH
    return None


# ---------------------------------------------------------------------------------------------------------------- judging

def brings(cause: Candidate, symptom: Candidate) -> bool:
    """Whether one cause brings the other about."""
    return symptom.cause in cause.brings and (not cause.keys or not symptom.keys or bool(cause.keys & symptom.keys))


def is_cause(cost: float | None, share: float | None, *, failing: bool, nature: bool = False, watched: bool = False,
             accepted: bool = False) -> bool:
    """Whether a part of a request's time is a cause. ``failing``: a check says so, ``accepted``: it passes; ``nature``: every
    service waits for such a thing; ``watched``: the share is the profile's."""
    if watched and share is not None and share < NEVER:
        return False
    if failing:
        return True
    if share is None or cost is None:
        return False
    least, most = (ACCEPTED_SHARE, ACCEPTED_COST) if accepted else (NATURE_SHARE, NATURE_COST) if nature else (SHARE, COST)
    return share >= least and cost >= most


def grave(line: Result | None) -> bool:
    """A finding whose cost was not measured is a cause from medium on: below are suspicions and advice."""
    return line is not None and line.rank >= engine.SEVERITIES.index("medium")


def stands(line: Result | None, check: str) -> dict[str, Any]:
    """What a candidate has of the finding that it stands on."""
    return {"check": check, "severity": line.rank if line else 0}


def hint(line: Result | None) -> str:
    return line.remediation.hint if line is not None else ""


def proof(line: Result | None, *own: str) -> tuple[str, ...]:
    return (*own, *(line.evidence if line else ()))[:6]


def from_result(line: Result, cause: str, tier: int, brought: Iterable[str] = (), **values: Any) -> Candidate:
    """A candidate that is no more than a finding."""
    return Candidate(cause, line.id, line.subject, tier, line.reason, hint(line), evidence=line.evidence[:6], severity=line.rank,
                     brings=frozenset(brought), **values)


# ---------------------------------------------------------------------------------------------------------------- reading

def text(value: Any, most: int) -> str:
    """A bounded text without what a terminal obeys: control characters, and those that turn the direction of writing."""
    cut = str(value)[:most + 1]
    if not cut.isprintable():
        cut = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char
                      for char in cut)
    return cut if len(cut) <= most else cut[:most - 3] + "..."


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def listed(facts: Mapping[str, Any], path: str) -> list[Mapping[str, Any]]:
    return items(lookup(facts, path))


def words(value: Any) -> list[str]:
    return [str(one)[:300] for one in value if isinstance(one, (str, int))] if isinstance(value, (list, tuple)) else []


def number(value: Any) -> float | None:
    """A number that can be reckoned with, not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e15:
        return None
    return float(value)


def whole(value: Any) -> int:
    return int(number(value) or 0)


def median(value: Any) -> float | None:
    return number(mapping(value).get("median"))


def begins(subject: str, name: str) -> bool:
    """Whether a subject is a service or a part of it."""
    return bool(name) and (subject == name or subject.startswith((name + " ", name + "/", name + ":")))


def kind(entry: Mapping[str, Any]) -> str:
    return str(lookup(entry, "error.kind") or "")


def message(entry: Mapping[str, Any]) -> str:
    return text(lookup(entry, "error.message") or lookup(entry, "error.kind") or "it was not asked", 200)


def place(entry: Mapping[str, Any]) -> str:
    """Address and port for people."""
    address = text(entry.get("address") or "", 60)
    return f"[{address}]:{entry.get('port')}" if ":" in address else f"{address}:{entry.get('port')}"


def site(entry: Mapping[str, Any]) -> str:
    """A line of code for people: ``main.(*shop).pay (causes.go:102)``."""
    function, file = (text(str(entry.get(key) or "").rsplit("/", 1)[-1], 120) for key in ("function", "file"))
    return f"{function} ({file}:{whole(entry.get('line'))})"


def milliseconds(value: float) -> str:
    """``0.4 ms``, ``12 ms``, ``1.3 s``."""
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def percent(value: float) -> str:
    return f"{value * 100:.0f} %"


def plural(count: float, one: str) -> str:
    return f"{count:.0f} {one if count == 1 else one + 's'}"
