# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that an inventory declares: ``{id, title, severity, probe, that, when, reason, remediation, from}``.

The probe is run by ``readiness_facts`` on the host (or by ``verify`` on the controller for ``from: controller``), its
answer is in the facts under ``probes``; here the conditions are judged. Conditions see ``probe`` (the answer), ``facts``
(the whole document) and, in a play, the host's variables.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, TemplateSyntaxError

from ansible_collections.goready.preflight.plugins.module_utils.collect import probes
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    SEVERITIES, Check, Facts, Outcome, Policy, Remediation, failed, notapplicable, passed, unknown,
)

Conditional = Callable[[str, Mapping[str, Any]], bool]
"""``(expression, variables) -> truth``; raises whatever the template engine raises."""

_ID = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_KEYS = ("id", "title", "severity", "probe", "that", "when", "reason", "remediation", "from")
_REMEDIATION_KEYS = ("hint", "command")


@dataclass(frozen=True)
class CustomCheck:
    """A validated entry of ``preflight_custom_checks``."""

    id: str
    title: str
    severity: str
    probe: dict[str, Any]
    that: tuple[str, ...]
    when: tuple[str, ...]
    reason: str
    remediation: Remediation
    where: str


def parse(entry: Any) -> CustomCheck:
    """One entry, or ValueError that names the key, the value and what is allowed."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{entry!r} is neither a check family (a string) nor a check (a mapping)")
    label = str(entry.get("id") or "check without id")
    for key in entry:
        if key not in _KEYS:
            raise ValueError(f"{label}: unknown key {key!r}; allowed are {', '.join(_KEYS)}")
    for key in ("id", "title", "probe", "that"):
        if not entry.get(key):
            raise ValueError(f"{label}: the key {key} is missing; a check needs id, title, probe and that")
    if not isinstance(entry["id"], str) or not _ID.fullmatch(entry["id"]):
        raise ValueError(f"{label}: id: {entry['id']!r} is not of the form family.name (lower case, digits, _)")
    severity = entry.get("severity", "medium")
    if severity not in SEVERITIES:
        raise ValueError(f"{label}: severity: {severity!r} is not one of {', '.join(SEVERITIES)}")
    where = entry.get("from", "host")
    if where not in ("host", "controller"):
        raise ValueError(f"{label}: from: {where!r} is not one of host, controller")
    if not isinstance(entry["probe"], Mapping):
        raise ValueError(f"{label}: probe: {entry['probe']!r} is not a mapping")
    try:
        probes.validate_probe(entry["probe"])
    except ValueError as exc:
        raise ValueError(f"{label}: probe: {exc}") from None
    for key in ("title", "reason"):
        if not isinstance(entry.get(key, ""), str):
            raise ValueError(f"{label}: {key}: {entry[key]!r} is not a string")
    return CustomCheck(
        id=entry["id"], title=entry["title"], severity=severity, probe=dict(entry["probe"]),
        that=_conditions(entry["that"], label, "that"), when=_conditions(entry.get("when", []), label, "when"),
        reason=entry.get("reason", ""), remediation=_remediation(entry.get("remediation"), label), where=where,
    )


def _conditions(value: Any, label: str, key: str) -> tuple[str, ...]:
    conditions = list(value) if isinstance(value, (list, tuple)) else [value]
    for condition in conditions:
        if isinstance(condition, bool):
            continue
        if not isinstance(condition, str):
            raise ValueError(f"{label}: {key}: {condition!r} is not a condition")
        if "{{" in condition or "{%" in condition:
            raise ValueError(f"{label}: {key}: {condition!r} has braces; a condition is a bare expression, as in assert")
        try:
            # The syntax only: which filters and tests there are is Ansible's to say.
            Environment(autoescape=True).parse("{{ (%s) }}" % condition)
        except TemplateSyntaxError as exc:
            raise ValueError(f"{label}: {key}: {condition!r} is not a Jinja expression: {exc.message}") from None
    # Ansible's own conditional wants the tagged (trusted) string that came in, so it is kept as it is.
    return tuple("true" if c is True else "false" if c is False else c for c in conditions)


def _remediation(value: Any, label: str) -> Remediation:
    if value is None:
        return Remediation(hint="Declared by the inventory without a remediation.")
    if isinstance(value, str):
        return Remediation(hint=str(value))
    if isinstance(value, Mapping) and all(key in _REMEDIATION_KEYS and isinstance(text, str) for key, text in value.items()):
        return Remediation(hint=str(value.get("hint", "")), command=str(value.get("command", "")))
    raise ValueError(f"{label}: remediation: {value!r} is not a string or a mapping of {', '.join(_REMEDIATION_KEYS)}")


def as_check(one: CustomCheck, conditional: Conditional) -> Check:
    """The catalogue entry that judges the probe's answer by the conditions."""

    def judge(facts: Facts, policy: Policy) -> Iterator[Outcome]:
        answer = (facts.get("probes") or {}).get(one.id)
        variables = {"probe": answer or {}, "facts": facts}
        evidence = describe(answer)
        for expression in one.when:
            if not conditional(expression, variables):
                yield notapplicable(f"Not asked here: {expression}", evidence=evidence)
                return
        if not isinstance(answer, Mapping):
            yield unknown(f"The probe of {one.id} gave no answer.", evidence=evidence)
            return
        for expression in one.that:
            if not conditional(expression, variables):
                detail = f" (probe: {answer['error']})" if answer.get("error") else ""
                yield failed((one.reason or f"{one.title}: not so") + f": {expression} does not hold{detail}.",
                             expected=expression, evidence=evidence)
                return
        yield passed(f"{one.title}: {' and '.join(one.that)}.", evidence=evidence)

    return Check(
        id=one.id, title=one.title, severity=one.severity,
        why=one.reason or "Declared by the inventory in preflight_custom_checks.",
        judged=f"Probe from the {one.where}; passes while every condition holds: {'; '.join(one.that)}.",
        remediation=one.remediation, function=judge, tags=("custom",),
    )


def describe(answer: Any) -> tuple[str, ...]:
    """The probe's answer as evidence: a line a key, long values cut."""
    if not isinstance(answer, Mapping):
        return ()
    return tuple(f"{key}: {str(value)[:200]}" for key, value in answer.items() if value not in (None, "", [], {}))


def jinja_conditional(expression: str, variables: Mapping[str, Any]) -> bool:
    """A condition by plain Jinja (sandboxed, undefined is an error): what a replay without Ansible uses."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    compiled = SandboxedEnvironment(undefined=StrictUndefined).compile_expression(expression, undefined_to_none=False)
    return bool(compiled(**variables))
