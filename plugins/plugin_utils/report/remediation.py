# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a remediation run did: fixed, not fixed, left and why, from the two verifications and what was done between them.

Beside what every run has, the folder of a remediation run holds

- ``before/HOST.json``: the host's document of the first verification, where something was to be mended;
- ``remediation/HOST.json``: the roles that ran there, what they changed, and what was left for which reason;
- ``stopped.json``, where the run stopped before it came to all hosts.

An *item* is one finding (a ``fail``, waived or not) of one host:

- *fixed*: the newest verification judges it ``pass`` or ``notapplicable``, or its subject is gone where the check ran;
- *predicted*: check mode only: a role says that it would mend it;
- *not_fixed*: a role was called for it, and it still fails, or nobody could verify that it does not;
- *new*: a ``fail`` now that was none before;
- *left*: everything else.

A host with neither ``before/HOST.json`` nor ``remediation/HOST.json`` had nothing to be mended, so it has no items.
"""
from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ansible_collections.goready.preflight.plugins.plugin_utils.report import text

# ``mode`` of run.json, and what the report calls it.
MODES = {"remediate": "apply", "remediate-check": "check"}
# In the order in which a report shows them.
OUTCOMES = ("fixed", "predicted", "not_fixed", "new", "left")
# Why a finding was left, what needs somebody first.
KINDS = ("error", "stopped", "consent", "unselected", "manual", "waived")
# A step that is still planned at the end was not begun, or the run was killed in it.
STATUSES = ("planned", "done", "failed", "unreachable", "predicted")
FORMAT = 1

OPEN = ("fail", "error", "unknown")
_GONE = ("pass", "notapplicable")
# What the plan knows better than a role's usual consent: the means that this host's variables ask for.
_CONSENT = re.compile(r" -e preflight_consent=([a-z,]+)$")


@dataclass(frozen=True)
class Before:
    """What the first verification said about a host: its failed results whole, of the others the status."""

    failed: tuple[Mapping[str, Any], ...]
    statuses: Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """``remediation/HOST.json``, its texts made sure to be texts."""

    steps: tuple[Mapping[str, Any], ...] = ()
    left: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    worse: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """Everything that the folder of a remediation run holds beside the newest verification, by host.

    ``unread`` says why the files of a host could not be read.
    """

    before: Mapping[str, Before] = field(default_factory=dict)
    done: Mapping[str, Done] = field(default_factory=dict)
    stopped: Mapping[str, str] | None = None
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """Items of one check with the same outcome for the same reason: one line of a report.

    ``reasons`` are the findings before, ``command`` is what is run next (empty: nothing) and ``only`` the hosts that it is
    for where they are not all of ``hosts``.
    """

    outcome: str
    check: str
    title: str
    severity: str
    kind: str
    role: str
    why: str
    reasons: tuple[str, ...]
    subjects: tuple[str, ...]
    hosts: tuple[str, ...]
    results: int
    command: str
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changed:
    """The hosts on which the same was changed, and what."""

    hosts: tuple[str, ...]
    changes: tuple[Mapping[str, str], ...]

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(change["role"] for change in self.changes if change["role"]))


@dataclass(frozen=True)
class View:
    """What the renderers show of a remediation run. ``said`` is it in one sentence."""

    check: bool
    said: str
    summary: Mapping[str, int]
    roles: Mapping[str, Mapping[str, int]]
    stopped: Mapping[str, str] | None
    unread: Mapping[str, str]
    lines: tuple[Line, ...]
    changed: tuple[Changed, ...]
    hosts: int

    @property
    def title(self) -> str:
        return "What would be mended" if self.check else "What was mended"

    @property
    def counts(self) -> list[tuple[str, int]]:
        """(outcome, number) in the order of OUTCOMES: what this run is for, and what else there is."""
        aim = "predicted" if self.check else "fixed"
        return [(outcome, self.summary[outcome]) for outcome in OUTCOMES if outcome == aim or self.summary[outcome]]

    def of(self, *outcomes: str) -> list[Line]:
        return [line for line in self.lines if line.outcome in outcomes]


# Reading

def read(run_dir: Path, documents: Iterable[Mapping[str, Any]]) -> Material:
    """The files of a remediation run. ``documents`` are the hosts' documents of ``before/``, one at a time: of a fleet, only
    what is needed of them stays in memory."""
    before: dict[str, Before] = {}
    unread: dict[str, str] = {}
    for host in documents:
        if "results" not in host:
            unread[host["name"]] = f"the first verification: {host.get('error')}"
            continue
        results = host["results"]
        statuses: dict[str, str] = {}
        for result in results:
            mark = str(result.get("fingerprint") or "")
            if statuses.get(mark) != "fail":
                statuses[mark] = result["status"]
        before[host["name"]] = Before(_failed(results), statuses)
    done: dict[str, Done] = {}
    for path in sorted((run_dir / "remediation").glob("*.json")):
        if path.name.startswith("."):
            continue
        name = unquote(path.name.removesuffix(".json"))
        try:
            name, done[name] = _done(json.loads(path.read_text("utf-8", "replace"), parse_constant=str), name)
        except (OSError, ValueError, RecursionError) as exc:
            unread.setdefault(name, f"what was done: {path.name}: {exc.strerror if isinstance(exc, OSError) else exc}")
    return Material(before, done, _stopped(run_dir / "stopped.json"), unread)


def _failed(results: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The failed results, each fingerprint once."""
    return tuple({str(one.get("fingerprint") or ""): one for one in results if one["status"] == "fail"}.values())


def _done(value: Any, name: str) -> tuple[str, Done]:
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("name") != name:
        raise ValueError(f"expected a document of format {FORMAT} about {name}")
    steps = []
    for step in _dicts(value, "steps"):
        status = str(step.get("status"))
        if status not in STATUSES:
            raise ValueError(f"a step has status {status!r}: expected one of {', '.join(STATUSES)}")
        steps.append({
            "role": _word(step.get("role")), "status": status, "message": _word(step.get("message")),
            "items": [_word(item) for item in _list(step, "items")],
            "changes": [{key: _word(change.get(key)) for key in ("path", "action", "detail")} for change in _dicts(step, "changes")],
        })
    left = {}
    for entry in _dicts(value, "left"):
        kind = _word(entry.get("kind"))
        left[_word(entry.get("fingerprint"))] = {
            "why": _word(entry.get("why")), "kind": kind if kind in KINDS else "error", "command": _word(entry.get("command"))}
    return name, Done(tuple(steps), left, tuple(_word(item) for item in _list(value, "worse")))


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    items = value.get(key) or []
    if not isinstance(items, list):
        raise ValueError(f"{key} is no list")
    return items


def _dicts(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = _list(value, key)
    if not all(isinstance(item, dict) for item in items):
        raise ValueError(f"{key} holds something that is no object")
    return items


def _word(value: Any) -> str:
    """A value as text that UTF-8 can carry: JSON knows lone surrogates, which it cannot."""
    return "" if value is None else str(value).encode("utf-8", "replace").decode("utf-8")


def _stopped(path: Path) -> dict[str, str] | None:
    try:
        value = json.loads(path.read_text("utf-8", "replace"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        # That the file is there says that the run stopped: no report may keep that back.
        return {"host": "", "reason": "the run stopped, and the file that says why cannot be read", "kind": "failures"}
    kind = _word(value.get("kind"))
    return {"host": _word(value.get("host")), "reason": _word(value.get("reason")),
            "kind": kind if kind in ("worse", "failures") else "failures"}


# Calculating

def newest(results: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Mapping[str, Any]], dict[str, bool]]:
    """The results of a host by fingerprint (of several the worst), and by check whether it judged what it found there."""
    now: dict[str, Mapping[str, Any]] = {}
    ran: dict[str, bool] = {}
    for result in results:
        mark = result.get("fingerprint", "")
        if mark not in now or now[mark]["status"] not in OPEN or result["status"] == "fail":
            now[mark] = result
        judged = result["status"] in ("pass", "fail", "notapplicable") or bool(
            result.get("subject") and result["status"] != "notselected")
        ran[result["id"]] = ran.get(result["id"], True) and judged
    return now, ran


def verified(results: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Mapping[str, Any]], set[str]]:
    """:func:`newest` results after mending, and the checks that prove by their silence that a subject is gone: they judged
    something there, and nothing kept them from judging all of it."""
    now, ran = newest(results)
    return now, {result["id"] for result in results
                 if result["status"] in ("pass", "fail", "notapplicable") and ran.get(result["id"], False)}


def steps_ran(done: Done) -> bool:
    """Whether any role was called on a host."""
    return any(step["status"] != "planned" for step in done.steps)


def changes(done: Done) -> list[dict[str, str]]:
    """Everything that was changed on a host (in check mode: would be), in the order of the steps, with the role."""
    return [{**change, "role": step["role"]} for step in done.steps for change in step["changes"]]


def items(host: Mapping[str, Any], material: Material, *, check: bool) -> list[dict[str, Any]]:
    """The items of one host, in the order of OUTCOMES and of the results."""
    name, results = host["name"], host.get("results") or ()
    done = material.done.get(name, Done())
    before = material.before.get(name)
    if before is None:
        if name not in material.done:
            return []
        before = Before(_failed(results), {})
    now, proving = verified(results)
    steps = {mark: step for step in done.steps if step["status"] != "planned" for mark in step["items"]}
    found = []
    for result in before.failed:
        mark = str(result.get("fingerprint") or "")
        found.append(_item(result, host, done, steps.get(mark), now.get(mark), result["id"] in proving, material, check))
    if not check:
        known = {str(result.get("fingerprint") or "") for result in before.failed}
        found += [_new(result, name, before, done) for mark, result in now.items()
                  if result["status"] == "fail" and mark not in known]
    return sorted(found, key=lambda one: OUTCOMES.index(one["outcome"]))


def _entry(result: Mapping[str, Any], outcome: str, **more: Any) -> dict[str, Any]:
    return {
        "fingerprint": str(result.get("fingerprint") or ""), "check": result["id"], "subject": result.get("subject") or "",
        "severity": result["severity"], "reason": result.get("reason") or "", "outcome": outcome,
        **{"kind": "", "role": "", "why": "", "command": "", "changes": [], **more},
    }


def _item(result: Mapping[str, Any], host: Mapping[str, Any], done: Done, step: Mapping[str, Any] | None,
          current: Mapping[str, Any] | None, gone: bool, material: Material, check: bool) -> dict[str, Any]:
    """What became of one finding of the first verification. ``gone``: where it has no result now, that proves it fixed."""
    given = result.get("remediation") or {}
    role = step["role"] if step else str(given.get("role") or "")
    changed = list(step["changes"]) if step else []
    left = done.left.get(str(result.get("fingerprint") or ""))
    mend = mend_of(result, host["name"])
    planned = not step and any(result.get("fingerprint") in one["items"] for one in done.steps)
    if check and step and step["status"] in ("predicted", "done"):
        return _entry(result, "predicted", role=role, command=mend, changes=changed)
    if not check and (current["status"] in _GONE if current else gone):
        why = "" if step else "The run was interrupted before its role told what it did." if planned else (
            "No role was called for it; it went with another change." if steps_ran(done) else
            "No role was called for it; it was gone by itself.")
        return _entry(result, "fixed", role=role if step else "", why=why, changes=changed)
    by_hand = str(given.get("command") or "")
    if step:
        # A host that went away may have been mended, or will be by the same: a person has nothing to do there by hand.
        away = step["status"] == "unreachable" or host.get("error")
        return _entry(result, "not_fixed", role=role, why=_sentence(_why_not_fixed(step, host, current)),
                      command=mend if away else by_hand, changes=changed)
    if left:
        kind = left["kind"]
        other = "" if kind == "waived" else by_hand if kind == "manual" else mend
        return _entry(result, "left", role=role, kind=kind, why=_sentence(left["why"]) or _LEFT[kind],
                      command=left["command"] or other)
    if host["name"] in material.unread:
        return _entry(result, "left", kind="error", role=role, command=mend,
                      why=f"Nobody knows whether it was worked on: {material.unread[host['name']]}.")
    kind = "waived" if result.get("waived") else "manual" if not mend else (
        "stopped" if planned or material.stopped else "error")
    why = text.sentence(text.first_sentence(str(given.get("hint") or ""))) if kind == "manual" else ""
    return _entry(result, "left", role=role, kind=kind, why=why or _LEFT[kind], command=by_hand if kind == "manual" else mend)


_LEFT = {
    "consent": "Its role needs a consent that was not given.", "manual": "A person has to decide how it is mended.",
    "unselected": "It was not selected by preflight_remediate.", "waived": "It is waived: somebody answers for it.",
    "stopped": "The run ended before its role was done.", "error": "No role was called for it.",
}


def _why_not_fixed(step: Mapping[str, Any], host: Mapping[str, Any], current: Mapping[str, Any] | None) -> str:
    message = step["message"]
    if step["status"] == "failed":
        return str(message) or "the role failed without a message"
    if step["status"] == "unreachable":
        return f"the host could not be reached: {message}" if message else "the host could not be reached"
    if host.get("error"):
        return f"the role ran, but it is unverified: the host gave no result: {host['error']}"
    if current is None or current["status"] == "notselected":
        return "the role ran, but it is unverified: its check was not judged again"
    if current["status"] != "fail":
        return f"the role ran, but it is unverified: {current.get('reason') or 'it could not be judged again'}"
    return f"the role ran and verification still finds: {current.get('reason') or ''}"


def _sentence(words: str) -> str:
    """A sentence; the name of a role or a unit at its beginning keeps its small letter."""
    return text.sentence(words) if words.split(" ", 1)[0].rstrip(",:").isalpha() else words.rstrip(".") + "." if words else ""


def _new(result: Mapping[str, Any], name: str, before: Before, done: Done) -> dict[str, Any]:
    mark = str(result.get("fingerprint") or "")
    was = before.statuses.get(mark)
    why = ("It passed before." if was == "pass" else "It could not be judged before." if was in OPEN else
           "The question did not arise before." if was == "notapplicable" else "It was not there before.")
    given = result.get("remediation") or {}
    worse = " The host got worse by it." if mark in done.worse else ""
    return _entry(result, "new", role=str(given.get("role") or ""), why=why + worse,
                  command=mend_of(result, name) or str(given.get("command") or ""))


def consent_of(result: Mapping[str, Any], item: Mapping[str, Any] | None = None) -> str | None:
    """The consent that the role needs which mends this finding (empty: none); None where no role may mend it unasked.

    ``item`` is what became of the finding in this run: its plan may know that the role cannot mend it here, or what it needs.
    """
    given = result.get("remediation") or {}
    if result["status"] != "fail" or result.get("waived") or given.get("safe") != "apply":
        return None
    if item and item["kind"] == "manual":
        return None
    if "consent" in given:
        return None if given["consent"] is None else str(given["consent"])
    word = _CONSENT.search(item["command"]) if item and item["kind"] == "consent" else None
    return word[1] if word else text.CONSENT.get(given.get("role") or "")


def mend_of(result: Mapping[str, Any], host: str, item: Mapping[str, Any] | None = None) -> str:
    """The command that mends this finding on this host; empty where no role may mend it unasked."""
    consent = consent_of(result, item)
    return "" if consent is None else text.mend_command(result["id"], [host], consent)


def judge(run: Mapping[str, Any], hosts: Sequence[Mapping[str, Any]],
          checks: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], View] | None:
    """``remediation`` of report.json, the items by host, and what renderers show; None where this was no remediation."""
    mode = MODES.get(str(run.get("mode")))
    if mode is None:
        return None
    check = mode == "check"
    material = run.get("remediation")
    if not isinstance(material, Material):
        material = Material()
    by_host = {host["name"]: items(host, material, check=check) for host in hosts}
    summary = dict.fromkeys(("fixed", "not_fixed", "left", "new", "predicted"), 0)
    touched: dict[str, set[str]] = defaultdict(set)
    for name, found in by_host.items():
        for item in found:
            summary[item["outcome"]] += 1
            touched[item["outcome"]].add(name)
    roles = _roles(material.done.values())
    asked = run.get("remediate") or {}
    document = {
        "mode": mode, "summary": summary, "stopped": material.stopped, "roles": roles,
        "asked": {"select": [str(one) for one in asked.get("select") or ("*",)],
                  "consent": [str(one) for one in asked.get("consent") or ()], "first": asked.get("first")},
        "unread": [{"host": name, "why": why} for name, why in material.unread.items()],
    }
    view = View(
        check=check, said=_said(summary, touched, check), summary=summary, roles=roles, stopped=material.stopped,
        unread=material.unread, lines=_lines(by_host, checks), changed=_changed(hosts, material),
        hosts=len(touched["predicted" if check else "fixed"]),
    )
    return document, by_host, view


def changes_of(run: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    """Everything that was changed on this host."""
    material = run.get("remediation")
    return changes(material.done.get(name, Done())) if isinstance(material, Material) else []


def _roles(all_done: Iterable[Done]) -> dict[str, dict[str, int]]:
    """By role: on how many hosts it ran, changed something, failed (or lost the host)."""
    roles: dict[str, dict[str, int]] = {}
    for done in all_done:
        own: dict[str, set[str]] = {}
        for step in (one for one in done.steps if one["status"] != "planned"):
            seen = own.setdefault(step["role"], set())
            if step["changes"]:
                seen.add("changed")
            if step["status"] in ("failed", "unreachable"):
                seen.add("failed")
        for role, seen in own.items():
            counts = roles.setdefault(role, {"hosts": 0, "changed": 0, "failed": 0})
            for key in ("hosts", *seen):
                counts[key] += 1
    return dict(sorted(roles.items()))


def _lines(by_host: Mapping[str, Sequence[Mapping[str, Any]]], checks: Mapping[str, Mapping[str, Any]]) -> tuple[Line, ...]:
    groups: dict[tuple[str, ...], list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for name, found in by_host.items():
        for item in found:
            key = tuple(item[part] for part in ("outcome", "check", "severity", "kind", "role", "why"))
            groups[key].append((name, item))
    lines = []
    for (outcome, check, severity, kind, role, why), members in groups.items():
        hosts = tuple(dict.fromkeys(name for name, _item in members))
        command, only = _command(check, hosts, members)
        lines.append(Line(
            outcome=outcome, check=check, title=str(checks[check]["title"]) if check in checks else check, severity=severity,
            kind=kind, role=role, why=why, reasons=tuple(dict.fromkeys(item["reason"] for _name, item in members)),
            subjects=tuple(dict.fromkeys(item["subject"] for _name, item in members if item["subject"])),
            hosts=hosts, results=len(members), command=command, only=only,
        ))
    return tuple(sorted(lines, key=lambda one: (
        OUTCOMES.index(one.outcome), KINDS.index(one.kind) if one.kind else -1, -text.rank(one.severity), -len(one.hosts),
        one.check)))


def _command(check: str, hosts: Sequence[str], members: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[str, tuple[str, ...]]:
    """One command for all members where there is one, else that of the first and the host that it is for."""
    commands: dict[str, str] = {}
    for name, item in members:
        commands.setdefault(item["command"], name)
    if len(commands) == 1:
        return next(iter(commands)), ()
    for consent in ("", *text.CONSENT_MEANS):
        if all(item["command"] == text.mend_command(check, [name], consent) for name, item in members):
            return text.mend_command(check, hosts, consent), ()
    command, name = next((command, name) for command, name in commands.items() if command)
    return command, (name,)


def _changed(hosts: Iterable[Mapping[str, Any]], material: Material) -> tuple[Changed, ...]:
    """Hosts on which the same was changed are one line, in the order of the inventory."""
    same: dict[tuple[tuple[str, ...], ...], list[str]] = defaultdict(list)
    for host in hosts:
        made = changes(material.done.get(host["name"], Done()))
        if made:
            same[tuple((one["role"], one["path"], one["action"], one["detail"]) for one in made)].append(host["name"])
    return tuple(
        Changed(tuple(names), tuple(dict(zip(("role", "path", "action", "detail"), one)) for one in made))
        for made, names in same.items()
    )


def _said(summary: Mapping[str, int], touched: Mapping[str, set[str]], check: bool) -> str:
    """The sum of it in one sentence."""
    if not any(summary.values()):
        return "There was nothing to mend."
    good = summary["predicted" if check else "fixed"]
    where = f" on {text.count(len(touched['predicted' if check else 'fixed']), 'host')}"
    if check:
        parts = [f"{text.count(good, 'finding')} would be fixed{where}" if good else "no finding would be fixed"]
    else:
        parts = [f"{text.count(good, 'finding')} {'was' if good == 1 else 'were'} fixed{where}" if good else
                 "no finding was fixed"]
    number = summary["not_fixed"]
    if number:
        parts.append(f"{number:,} would not" if check else f"{number:,} {'was' if number == 1 else 'were'} not")
    for key, one, some in (("new", "is new", "are new"), ("left", "is left", "are left")):
        if summary[key]:
            parts.append(f"{summary[key]:,} {one if summary[key] == 1 else some}")
    if check and summary["left"]:
        parts[-1] = f"{summary['left']:,} would be left"
    head, last = ", ".join(parts[:-1]), parts[-1]
    return text.sentence(f"{head} and {last}" if head else last)
