# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why would a request to a service time out here? The findings of all families, in the order of what they cost a request.

Public: :func:`explain`, :func:`first`. Pure: facts and results in, one explanation a service out. It decides no verdict. What may
be a cause, what it costs and when it is one is in ``causes/``; here causes are put in order:

1. the service is down;
2. what makes requests fail outright, whatever its share: a limit that is reached, a queue that overflows, a dependency that
   does not answer. A request that gets no answer has no time of which a part could be measured;
3. what was measured, by its share of a request's time;
4. failing findings whose cost could not be measured, by severity;
5. what slows no request, and is worth a word where nothing else is found.

A cause that another one brings about comes right behind that one, which takes the better place of the two: who mends the first
has mended both. What was measured and is no cause is *excluded*, with the measurement; what was not measured is neither.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils.causes import inside, outside
from ansible_collections.goready.preflight.plugins.plugin_utils.causes.base import (
    FAILS, Candidate, View, begins, brings, listed, message, plural, text, views,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Facts, Result, lookup
from ansible_collections.goready.preflight.plugins.plugin_utils.wall import OBSERVATIONS

#: The subsets of the facts without which nothing can be said of a request; what else is known is used beside them.
MEASURED = ("connections", "sample", "pools", "wall", "databases", "timeouts")
RANKED_MOST, EXCLUDED_MOST, LINES_MOST = 20, 30, 40

#: What a result must say where it is unknown: it would have been a cause, or excluded.
_DECIDES = frozenset((
    "limits.nofile_headroom", "memory.gc_cpu", "goroutines.leaked", "databases.pool_wait", "services.healthy", "services.active"))
_ASKED = (
    ("connections", "what it depends on", "network.endpoint"),
    ("sample", "kernel counters, listeners and CPU quota", "network.listen_overflow"),
    ("pools", "its metrics page", "databases.pool_wait"),
    ("databases", "its databases", "databases.reachable"),
)

Key = tuple[str, str]  # the service's name, and the id of its container or ""


def explain(facts: Facts, results: Iterable[Result]) -> dict[Key, dict[str, Any]]:
    """One explanation a service, by its name and container; none where nothing was measured on the host.

    ``{ranked: [{cause, check, subject, share, cost_ms, fails, reason, evidence, first_step, behind}], excluded: [{cause, check,
    subject, share, cost_ms, reason}], measured: [sentence], unmeasured: [{what, check, reason}], request: {mean_ms, source,
    requests}, profile: null | {seconds, samples, observations, handlers, shares: [{state, share, where}]}}``. Shares are 0 to 1,
    costs milliseconds a request, both null where they could not be measured; ``behind`` is the cause whose symptom a cause is.
    """
    if not any(facts.get(name) for name in MEASURED):
        return {}
    return {view.key: _explanation(view) for view in views(facts, list(results))}


def first(explanation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The answer of an explanation, None where nothing wrong was found."""
    ranked: Sequence[Mapping[str, Any]] = explanation.get("ranked") or ()
    return ranked[0] if ranked else None


def _explanation(view: View) -> dict[str, Any]:
    found = [*inside.candidates(view), *outside.candidates(view)]
    _gaps(view)
    excluded = sorted((one for one in found if not one.ranked), key=_rank)
    return {
        "ranked": [_shown(one, {
            "fails": one.tier <= FAILS, "evidence": [text(line, 300) for line in one.evidence[:6]],
            "first_step": text(one.first_step, 400), "behind": behind,
        }) for one, behind in _ordered([one for one in found if one.ranked])[:RANKED_MOST]],
        "excluded": [_shown(one, {}) for one in excluded[:EXCLUDED_MOST]],
        "measured": [text(line, 400) for line in view.measured[:LINES_MOST]],
        "unmeasured": [{"what": text(what, 100), "check": check, "reason": text(reason, 400)}
                       for what, check, reason in view.unmeasured[:LINES_MOST]],
        "request": view.request,
        "profile": view.profile,
    }


def _shown(one: Candidate, more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cause": one.cause, "check": one.check, "subject": text(one.subject, 200),
        "share": None if one.share is None else round(min(1.0, max(0.0, one.share)), 3),
        "cost_ms": None if one.cost_ms is None else round(one.cost_ms, 1), "reason": text(one.reason, 400), **more,
    }


# --------------------------------------------------------------------------------------------------------------- order

def _rank(one: Candidate) -> tuple[Any, ...]:
    # That its health URL fails is what is to be explained: it is the answer where there is no other. Shares are rounded, so that
    # chance in their last digits decides nothing.
    return (one.tier, one.cause == "unhealthy", -round(one.share or 0.0, 2), -one.severity, -round(one.cost_ms or 0.0), one.cause,
            one.subject)


def _ordered(found: Sequence[Candidate]) -> list[tuple[Candidate, str]]:
    """The causes in their order, each with the cause that it is a symptom of (or "")."""
    waiting = sorted(found, key=_rank)
    owner: dict[int, int] = {}  # a symptom's index -> its cause's
    for number, one in enumerate(waiting):
        for other, bringer in enumerate(waiting):
            # Of several that may bring it about the first; never one that is (by way of others) brought about by it.
            if other != number and brings(bringer, one) and number not in _owners(other, owner):
                owner[number] = other
                break
    best = {number: _rank(one) for number, one in enumerate(waiting)}
    for number in range(len(waiting)):
        for above in _owners(number, owner):
            best[above] = min(best[above], _rank(waiting[number]))
    placed: list[tuple[Candidate, str]] = []

    def place(number: int) -> None:
        above = owner.get(number)
        placed.append((waiting[number], waiting[above].cause if above is not None else ""))
        for symptom in sorted((each for each, cause in owner.items() if cause == number), key=lambda each: best[each]):
            place(symptom)

    for number in sorted((each for each in range(len(waiting)) if each not in owner), key=lambda each: (best[each], each)):
        place(number)
    return placed


def _owners(number: int, owner: Mapping[int, int]) -> list[int]:
    """The causes of a symptom, the next first."""
    found = []
    while number in owner:
        number = owner[number]
        found.append(number)
    return found


# ---------------------------------------------------------------------------------------------------------------- gaps

def _gaps(view: View) -> None:
    """What was not measured, and why."""
    errors = listed(view.facts, "errors")
    for subset, what, check in _ASKED:
        broken = next((one for one in errors if str(one.get("part") or "").split(".", 1)[0] == subset), None)
        if broken is not None:
            view.unmeasured.append((what, check, text(broken.get("message") or broken.get("kind"), 200)))
        elif view.facts.get(subset) is None:
            view.unmeasured.append((what, check, "none of the selected checks reads it"))
    if lookup(view.facts, "connections.endpoints") is not None and not view.endpoints:
        view.unmeasured.append(("what it depends on", "network.endpoint", "preflight_services declares no depends_on of it"))
    if lookup(view.facts, "pools.services") is not None and not view.pools:
        view.unmeasured.append((
            "its metrics page", "databases.pool_wait", "none of it is known: declare it as metrics in preflight_services"))
    if view.mean_ms is None:
        view.unmeasured.append(("the time of a request", "", "neither metrics nor a health URL tells it"))
    elif view.own_mean is None:
        view.unmeasured.append(("the time of a request", "", "no metrics tell it, and its health URL is not like other requests"))
    seen = view.seen
    if seen is None:
        failed = next((one for one in view.walls if one.get("error")), None)
        view.unmeasured.append(("where its requests wait", "", message(failed) if failed else "no profile of it was taken (pprof)"))
    elif not seen.enough and seen.observations >= OBSERVATIONS:
        failed = next((one for one in view.walls if one.get("error")), None)
        view.unmeasured.append(("where its requests wait", "", "one look at its goroutines is not enough to tell shares"
                                f"{f': {message(failed)}' if failed else ''}"))
    elif not seen.enough:
        view.unmeasured.append(("where its requests wait", "", f"{plural(seen.observations, 'request')} seen at work in {seen.seconds:.0f} "
                                f"s, {OBSERVATIONS} are needed to tell shares: look again under load"))
    for line in view.results:
        if line.id in _DECIDES and line.status in ("unknown", "error") and begins(line.subject, view.subject):
            view.unmeasured.append((line.id, line.id, line.reason))
