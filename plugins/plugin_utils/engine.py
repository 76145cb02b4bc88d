# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: facts and a policy in, results and a verdict out.

Public: :class:`Check`, :class:`Outcome`, :class:`Result`, :class:`Policy`, :func:`check`, :func:`run`,
:func:`verdict`, :func:`fleet_verdict`. Nothing here touches a host, a file or Ansible: the same facts and the same
policy give the same results on any machine (``replay.py`` is the command line to it).

A check is a pure function ``(facts, policy) -> iterable of Outcome``. It judges one host and yields one outcome for
each subject (service, listener, toolchain; ``""`` for the host itself). A check that raises becomes one ``error``
result; the others go on.
"""
from __future__ import annotations

import datetime
import fnmatch
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

SEVERITIES = ("info", "low", "medium", "high", "critical")
STATUSES = ("pass", "fail", "error", "unknown", "notapplicable", "notselected")
VERDICTS = ("ready", "ready_with_warnings", "inconclusive", "not_ready")  # from best to worst
PROFILES = ("quick", "standard", "deep")

# The remediation roles that this collection has, in the order in which they run on a host: what changes no running service
# comes first. A check may name one that is still to come; the report does not.
ROLES = ("go_toolchain", "module_proxy", "service_limits", "pprof_guard")

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Remediation:
    """How a finding is mended.

    ``role`` is the collection's role that mends it, ``command`` a shell command to copy, ``hint`` one or two
    sentences for a person. ``safe`` is ``apply`` where a role may mend it unasked, ``manual`` where a person decides.
    """

    hint: str = ""
    command: str = ""
    role: str = ""
    safe: str = "manual"

    def as_dict(self) -> dict[str, str]:
        role = self.role if self.role in ROLES else ""
        return {"hint": self.hint, "command": self.command, "role": role, "safe": self.safe}


# What was not read for want of privilege is mended by no check's own remediation.
AS_ROOT = Remediation(
    hint="Run the verification as root: set ansible_become, or give --become on the command line (for this machine: "
         "make preflight ARGS='--become --ask-become-pass').")


@dataclass(frozen=True)
class Threshold:
    """One number (or word, or list of words) of a check that the inventory may override.

    Its type is the type of ``default``; ``minimum`` and ``maximum`` bound numbers, ``choices`` bounds words.
    """

    default: int | float | str | bool | tuple[str, ...]
    doc: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def parse(self, value: Any) -> Any:
        """Return ``value`` as this threshold's type, or raise ValueError that says what is allowed."""
        default = self.default
        if isinstance(default, bool):
            if isinstance(value, bool):
                return value
            raise ValueError("expected true or false")
        if isinstance(default, (int, float)):
            return self._parse_number(value, type(default))
        if isinstance(default, tuple):
            if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
                if not self.choices or set(value) <= set(self.choices):
                    return tuple(str(item) for item in value)
            raise ValueError(f"expected {self.describe()}")
        if not isinstance(value, str) or (self.choices and value not in self.choices):
            raise ValueError(f"expected {self.describe()}")
        return str(value)

    def _parse_number(self, value: Any, kind: type[int] | type[float]) -> int | float:
        wrong = ValueError(f"expected {self.describe()}")
        if isinstance(value, str):
            # Extra vars given as key=value on the command line arrive as strings.
            try:
                value = kind(value)
            except ValueError:
                raise wrong from None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= 1e300:  # nor NaN
            raise wrong
        if kind is int and int(value) != value:
            raise wrong
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            raise wrong
        return kind(value)

    def describe(self) -> str:
        """What is allowed, as words for an error message or the documentation."""
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, tuple):
            return f"a list of {', '.join(self.choices)}" if self.choices else "a list of strings"
        if isinstance(self.default, str):
            return "one of " + ", ".join(self.choices) if self.choices else "a string"
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        unit = f" of {self.unit}" if self.unit else ""
        if self.minimum is not None and self.maximum is not None:
            return f"{kind}{unit} from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{kind}{unit} of at least {self.minimum:g}"
        if self.maximum is not None:
            return f"{kind}{unit} of at most {self.maximum:g}"
        return kind + unit


@dataclass(frozen=True)
class Outcome:
    """What a check says about one subject. Made by :func:`passed`, :func:`failed`, :func:`unknown`,
    :func:`notapplicable`; the engine turns it into a :class:`Result`."""

    status: str
    reason: str
    subject: str = ""
    actual: Any = None
    expected: Any = None
    evidence: tuple[str, ...] = ()
    remediation: Remediation | None = None
    severity: str | None = None


def passed(reason: str, *, subject: str = "", actual: Any = None, expected: Any = None,
           evidence: Iterable[str] = ()) -> Outcome:
    """The subject is as it should be; ``reason`` names the value found."""
    return Outcome("pass", reason, subject, actual, expected, tuple(evidence))


def failed(reason: str, *, subject: str = "", actual: Any = None, expected: Any = None, evidence: Iterable[str] = (),
           remediation: Remediation | None = None, severity: str | None = None) -> Outcome:
    """A finding. ``reason`` is one sentence with the value found and the value wanted; ``remediation`` replaces the
    check's general one where the finding knows better; ``severity`` replaces the check's own where this finding is
    worth less (or more)."""
    return Outcome("fail", reason, subject, actual, expected, tuple(evidence), remediation, severity)


def unknown(reason: str, *, subject: str = "", actual: Any = None, expected: Any = None, evidence: Iterable[str] = (),
            remediation: Remediation | None = None, severity: str | None = None) -> Outcome:
    """There is no evidence either way (no privilege, a value the host does not show). Never a pass."""
    return Outcome("unknown", reason, subject, actual, expected, tuple(evidence), remediation, severity)


def notapplicable(reason: str, *, subject: str = "", evidence: Iterable[str] = ()) -> Outcome:
    """The question does not arise on this host or for this subject; ``reason`` says why."""
    return Outcome("notapplicable", reason, subject, None, None, tuple(evidence))


CheckFunction = Callable[[Facts, "Policy"], Iterable[Outcome]]


@dataclass(frozen=True)
class Check:
    """One entry of the catalogue.

    ``why`` says what goes wrong in production and where that is known from (its source). ``judged`` says how the
    verdict is reached, in the words of the documentation. ``needs`` are dotted paths into the facts
    (``host.memory``): where one was not collected, the engine answers ``error`` or ``unknown`` itself and the
    function is not called. ``profile`` is the lowest profile that runs it. A check of the ``fleet`` needs what all hosts
    said: its function says only whether the question arises on this host, and ``fleet.py`` answers it when the report is made.
    """

    id: str
    title: str
    severity: str
    why: str
    judged: str
    remediation: Remediation
    function: CheckFunction
    needs: tuple[str, ...] = ()
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    profile: str = "quick"
    tags: tuple[str, ...] = ()
    fleet: bool = False

    @property
    def family(self) -> str:
        return self.id.split(".", 1)[0]

    def as_dict(self) -> dict[str, Any]:
        """The catalogue entry as report.json carries it."""
        return {
            "title": self.title,
            "family": self.family,
            "severity": self.severity,
            "why": self.why,
            "judged": self.judged,
            "profile": self.profile,
            "tags": list(self.tags),
            "remediation": self.remediation.as_dict(),
        }


def check(check_id: str, *, title: str, severity: str, why: str, judged: str, remediation: Remediation,
          needs: Sequence[str] = (), thresholds: Mapping[str, Threshold] | None = None, profile: str = "quick",
          tags: Sequence[str] = (), fleet: bool = False) -> Callable[[CheckFunction], Check]:
    """Declare the decorated function as a check; see :class:`Check` for the parameters."""
    if severity not in SEVERITIES or profile not in PROFILES or check_id.count(".") != 1:
        raise ValueError(f"{check_id}: severity {severity!r} or profile {profile!r} is not one, or the id is not family.name")

    def declare(function: CheckFunction) -> Check:
        return Check(id=check_id, title=title, severity=severity, why=why, judged=judged, remediation=remediation,
                     function=function, needs=tuple(needs), thresholds=dict(thresholds or {}), profile=profile,
                     tags=tuple(tags), fleet=fleet)

    return declare


def checks_of(module: ModuleType) -> list[Check]:
    """The checks that a family module declares, in the order of the file."""
    return [value for value in vars(module).values() if isinstance(value, Check)]


@dataclass(frozen=True)
class Waiver:
    """A finding that somebody took responsibility for, until a day. ``hosts`` are globs of host or group names,
    ``check`` and ``subject`` globs."""

    check: str
    hosts: tuple[str, ...]
    subject: str
    justification: str
    approver: str
    expires: datetime.datetime

    def matches(self, result: Result, policy: Policy) -> bool:
        names = (policy.hostname, *policy.groups)
        return (
            fnmatch.fnmatchcase(result.id, self.check)
            and fnmatch.fnmatchcase(result.subject, self.subject)
            and any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in self.hosts)
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.check, "hosts": list(self.hosts), "subject": self.subject,
            "justification": self.justification, "approver": self.approver, "expires": self.expires.isoformat(),
        }


@dataclass(frozen=True)
class Policy:
    """What the inventory wants of one host: the public variables, validated and typed (``policy.py`` makes it)."""

    hostname: str = "localhost"
    groups: tuple[str, ...] = ()
    profile: str = "standard"
    gate: str = "high"
    services: tuple[Mapping[str, Any], ...] = ()
    toolchain: str = "optional"
    go_version: str = ""
    select: tuple[str, ...] = ("*",)
    skip: tuple[str, ...] = ()
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    now: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.timezone.utc))

    def threshold(self, one: Check | str, name: str, default: Any = None) -> Any:
        """The value of a check's threshold: the inventory's, else the check's default."""
        check_id = one if isinstance(one, str) else one.id
        given = self.thresholds.get(check_id, {})
        if name in given:
            return given[name]
        return default if isinstance(one, str) else one.thresholds[name].default

    def service(self, name: str) -> Mapping[str, Any]:
        """The declaration of a service, or an empty mapping for one that was discovered."""
        return next((service for service in self.services if service["name"] == name), {})


@dataclass(frozen=True)
class Result:
    """One line of the report: the fields of design.md."""

    id: str
    status: str
    severity: str
    reason: str
    subject: str = ""
    actual: Any = None
    expected: Any = None
    evidence: tuple[str, ...] = ()
    remediation: Remediation = Remediation()
    waived: bool = False

    @property
    def fingerprint(self) -> str:
        """Names the finding on its host across runs: the check and its subject, not the values of the day."""
        # A host may send text that is no valid Unicode (a lone surrogate).
        return hashlib.sha256(f"{self.id}\0{self.subject}".encode("utf-8", "replace")).hexdigest()[:16]

    @property
    def rank(self) -> int:
        return SEVERITIES.index(self.severity)

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id, "subject": self.subject, "status": self.status, "severity": self.severity,
            "reason": self.reason, "actual": self.actual, "expected": self.expected,
            "evidence": list(self.evidence), "remediation": self.remediation.as_dict(), "waived": self.waived,
            "fingerprint": self.fingerprint,
        }


def lookup(facts: Facts, path: str) -> Any:
    """The value at a dotted path of the facts, or None where any step is missing."""
    value: Any = facts
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def as_root(facts: Facts, *told: object) -> Remediation | None:
    """:data:`AS_ROOT` where one of the texts that say why something was not read is a refusal, and it was not root who was
    refused; else None, which is the check's own remediation."""
    refused = any("permission denied" in str(text).lower() for text in told)
    return AS_ROOT if refused and not lookup(facts, "collected.privileged") else None


def selected(patterns: Iterable[str], one: Check) -> bool:
    """Whether an id, a glob or ``@tag`` of ``patterns`` names the check. Its family and profile count as tags."""
    tags = {*one.tags, one.family, one.profile}
    return any(
        pattern[1:] in tags if pattern.startswith("@") else fnmatch.fnmatchcase(one.id, pattern)
        for pattern in patterns
    )


def run(checks: Iterable[Check], facts: Facts, policy: Policy) -> list[Result]:
    """Judge one host. Every check gives at least one result, also when it was not selected or broke."""
    results: list[Result] = []
    for one in checks:
        results.extend(waive(result, policy) for result in _run_one(one, facts, policy))
    return results


def _run_one(one: Check, facts: Facts, policy: Policy) -> Iterator[Result]:
    reason = _why_not_selected(one, policy)
    if reason:
        yield result_of(one, Outcome("notselected", reason))
        return
    for path in one.needs:
        if lookup(facts, path) is None:
            yield result_of(one, _not_collected(path, facts))
            return
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(one.function(facts, policy))
    except Exception as exc:  # noqa: BLE001 - a broken check must not hide the others: it becomes one error result
        outcomes.append(Outcome("error", f"The check itself broke: {type(exc).__name__}: {exc}"))
    if not outcomes:
        outcomes.append(notapplicable("There is nothing on this host that this check judges."))
    for outcome in outcomes:
        yield result_of(one, outcome)


def is_selected(one: Check, policy: Policy) -> bool:
    """Whether the policy's profile, selection and omissions leave the check to be judged."""
    return not _why_not_selected(one, policy)


def _why_not_selected(one: Check, policy: Policy) -> str:
    if PROFILES.index(one.profile) > PROFILES.index(policy.profile):
        return f"Belongs to profile {one.profile}; this run is {policy.profile}."
    if not selected(policy.select, one):
        return "Not named by preflight_checks."
    if selected(policy.skip, one):
        return "Left out by preflight_skip_checks."
    return ""


def _not_collected(path: str, facts: Facts) -> Outcome:
    """Why a path of the facts is missing, from the collectors' own errors."""
    subset = path.split(".", 1)[0]
    for entry in facts.get("errors") or ():
        part = str(entry.get("part", ""))
        if part in (path, subset) or path.startswith(part + "."):
            kind, message = entry.get("kind"), entry.get("message")
            status = "unknown" if kind in ("permission", "unavailable") else "error"
            return Outcome(status, f"{path} could not be collected: {message}", evidence=(f"{part}: {kind}: {message}",),
                           remediation=as_root(facts, "permission denied" if kind == "permission" else ""))
    return Outcome("unknown", f"{path} was not collected.")


def result_of(one: Check, outcome: Outcome) -> Result:
    """What the report says of an outcome of a check, not yet waived."""
    return Result(
        id=one.id, subject=outcome.subject, status=outcome.status, severity=outcome.severity or one.severity,
        reason=outcome.reason, actual=outcome.actual, expected=outcome.expected, evidence=outcome.evidence,
        remediation=outcome.remediation or one.remediation,
    )


def waive(result: Result, policy: Policy) -> Result:
    """The result as the policy's waivers leave it."""
    if result.status not in ("fail", "error", "unknown"):
        return result
    matching = [waiver for waiver in policy.waivers if waiver.matches(result, policy)]
    if not matching:
        return result
    latest = max(matching, key=lambda waiver: waiver.expires)
    if latest.expires > policy.now:
        note = f"waived until {latest.expires.isoformat()} by {latest.approver}: {latest.justification}"
        return replace(result, waived=True, evidence=(*result.evidence, note))
    note = f"a waiver by {latest.approver} expired at {latest.expires.isoformat()}"
    return replace(result, reason=f"{result.reason} ({note})")


def verdict(results: Iterable[Result], gate: str) -> str:
    """The verdict of one host, as design.md defines it."""
    wall = SEVERITIES.index(gate)
    lines = list(results)
    if all(result.status == "notselected" for result in lines):
        return "inconclusive"  # nothing was asked
    open_results = [result for result in lines if not result.waived]
    failed_results = [result for result in open_results if result.status == "fail"]
    unclear = [result for result in open_results if result.status in ("error", "unknown")]
    if any(result.rank >= wall for result in failed_results):
        return "not_ready"
    if any(result.rank >= wall for result in unclear):
        return "inconclusive"
    return "ready_with_warnings" if failed_results or unclear else "ready"


def fleet_verdict(verdicts: Iterable[str]) -> str:
    """The worst verdict of the hosts; a fleet of no hosts is ``inconclusive``."""
    return max(verdicts, key=VERDICTS.index, default="inconclusive")


def canonical(value: Any) -> str:
    """JSON text that is equal for equal values: what results files are written as and compared by."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
