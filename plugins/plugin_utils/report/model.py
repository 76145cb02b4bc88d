# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one model of a run that every renderer shows: :func:`load` reads a run's files, :func:`build` calculates.

``Report.document`` is report.json. The other fields of :class:`Report` are views of the same results (the same failure
on many hosts as one line, the rows of the host table, what to do next), so that no renderer calculates and all of them
say the same.

How two runs are compared. A finding is *open* while its result is ``fail``, ``error`` or ``unknown``, waived or not
(a waiver accepts a finding, it does not mend it). By host and fingerprint:

- *new*: open now and not open in the baseline, or a ``fail`` that was only ``error`` or ``unknown`` there;
- *unchanged*: open in both;
- *fixed*: open in the baseline and now judged ``pass`` or ``notapplicable``, or its subject is gone from a host where
  the check ran;
- *unverified*: open in the baseline and not judged now (the host gave no result, the check was not selected, or its
  facts could not be collected). That is no proof of anything, so it does not count as fixed.

Hosts that only one of the two runs has are named; the findings of a host that is gone are neither fixed nor unverified.
"""
from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue as catalogues
from ansible_collections.goready.preflight.plugins.plugin_utils import engine, fleet
from ansible_collections.goready.preflight.plugins.plugin_utils.report import explanation, remediation, runtime, text

SCHEMA_VERSION = "1.0"
HOST_FORMAT = 1
NO_RESULT = "no result was written for this host (it failed before verification; see the play's output)"

OPEN = remediation.OPEN
# The kinds of findings, in the order in which a person works through them.
KINDS = ("blocker", "unclear", "warning", "notice", "waived")
# What a host shows for a family of checks, from worst to best.
STATES = ("blocker", "unclear", "warning", "notice", "waived", "pass", "none")

# How the findings of two runs compare: see the top of this file.
CHANGES = ("new", "fixed", "unchanged", "unverified")

_PLATFORM = ("os", "version", "arch", "goarch", "kernel")
_SERVICE = ("name", "unit", "declared", "state", "pids", "go_version", "revision", "listeners", "container")
_STEPS = 5
_ROOTS = 2
# (check, status, severity, waived, kind): what findings are made of.
_Group = tuple[str, str, str, bool, str]
# A baseline is read as a whole; the report of a thousand hosts has some 60 MB.
BASELINE_LIMIT = 256 * 1024 * 1024
# A subject that is a listener: "api tcp 0.0.0.0:6060".
_LISTENER = re.compile(r":\d+$")


# What became of findings in a remediation run, by host and fingerprint (of any other run: nothing).
Became = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True)
class Variant:
    """Results of one finding that say the same: one reason, the hosts it was said on, and one of them in full."""

    subject: str
    reason: str
    hosts: tuple[str, ...]
    example: Mapping[str, Any]


@dataclass(frozen=True)
class Mend:
    """One way to mend a finding and the subjects it is for (empty: all of them)."""

    hint: str
    command: str
    role: str
    safe: str
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fix:
    """The command by which a role mends a finding unasked. ``note`` says what it needs and where it works."""

    command: str
    roles: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Finding:
    """One check that gave the same status on some hosts: one line of a report.

    ``mends`` are the ways to mend it, ``advice`` is the one for all: the only way there is, or what the check itself says.
    ``fix`` is there where a role mends it on some of the hosts and did not try in vain in this very run; ``tried`` says why it
    did not help where it did; ``predicted``: this is a run in check mode, which says that all of it would be fixed.
    """

    key: str
    check: str
    title: str
    family: str
    why: str
    status: str
    severity: str
    kind: str
    waived: bool
    results: int
    new: int
    hosts: tuple[str, ...]
    subjects: tuple[str, ...]
    variants: tuple[Variant, ...]
    mends: tuple[Mend, ...]
    advice: str
    fix: Fix | None = None
    tried: str = ""
    predicted: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.check, "status": self.status, "severity": self.severity, "waived": self.waived,
            "kind": self.kind, "results": self.results, "subjects": list(self.subjects), "hosts": list(self.hosts),
            "reasons": [variant.reason for variant in self.variants[:5]],
            **({"mend": self.fix.command} if self.fix else {}),
        }


@dataclass(frozen=True)
class HostRow:
    """One host of the host table.

    ``kinds`` counts its findings by kind, ``passed`` the checks that found nothing, ``judged`` its results that say anything
    about it; ``states`` is its worst state per family.
    """

    name: str
    verdict: str
    reachable: bool | None
    error: str
    platform: str
    services: tuple[str, ...]
    duration_ms: int | None
    kinds: Mapping[str, int]
    passed: int
    judged: int
    states: tuple[str, ...]
    gate: str

    def kind_of(self, result: Mapping[str, Any]) -> str:
        """Which of KINDS an open result of this host is."""
        return _kind(result, text.rank(self.gate))


@dataclass(frozen=True)
class CheckRow:
    """One check of the table of checks: how many results of each status it gave."""

    id: str
    title: str
    family: str
    severity: str
    statuses: Mapping[str, int]
    waived: int


@dataclass(frozen=True)
class Step:
    """One thing to do next: what, where, and the finding it belongs to. Where ``do`` only says what is wrong, ``how`` mends it,
    or ``command`` does (``note`` says what that needs). ``explained``: an explanation says more of it."""

    do: str
    where: str
    finding: str = ""
    how: str = ""
    command: str = ""
    note: str = ""
    explained: bool = False


@dataclass(frozen=True)
class Change:
    """One line of the comparison with the baseline: a check whose finding changed in the same way on some hosts."""

    check: str
    title: str
    severity: str
    subjects: tuple[str, ...]
    hosts: tuple[str, ...]
    results: int


@dataclass(frozen=True)
class Report:
    """Everything a renderer shows. ``findings`` are in the order of KINDS, then severity, then number of hosts.

    ``unselected`` says how much of the catalogue this run left out (empty: nothing), and belongs beside every verdict: a run
    that judged a part must not look like one that judged everything.
    """

    document: dict[str, Any]
    headline: str
    unselected: str
    findings: tuple[Finding, ...]
    steps: tuple[Step, ...]
    families: tuple[str, ...]
    hosts: tuple[HostRow, ...]
    silent: tuple[HostRow, ...]
    checks: tuple[CheckRow, ...]
    changes: Mapping[str, tuple[Change, ...]]
    seconds: float | None
    mended: remediation.View | None = None
    inside: runtime.Overview = field(default_factory=runtime.Overview)
    why: explanation.Overview = field(default_factory=explanation.Overview)

    @property
    def verdict(self) -> str:
        return str(self.document["verdict"])

    @property
    def said(self) -> str:
        """The headline, what was mended and what was left out, as one text."""
        return " ".join(filter(None, (self.headline, self.mended.said if self.mended else "", self.unselected)))

    def of_kind(self, *kinds: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind in kinds]


@dataclass(frozen=True)
class Baseline:
    """What an earlier report.json says about open findings, ``{host: {fingerprint: (check, subject, status, severity)}}``, and
    about what services held then, ``{(host, endpoint): Before}``."""

    run_id: str
    started: str
    hosts: Mapping[str, Mapping[str, tuple[str, str, str, str]]] = field(default_factory=dict)
    inside: Mapping[tuple[str, str], runtime.Before] = field(default_factory=dict)


# Reading

def load(run_dir: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """``run.json`` and the hosts' documents of a run's folder, every host of the run with one.

    A host without a document, or with one that cannot be read, gets a row that says so. The run of a remediation carries what
    else its folder holds as ``remediation``. What only all hosts together tell is answered here, in each document (``fleet.py``).
    Runtime facts are condensed as each host is read: those of a fleet have gigabytes.
    Raises ValueError where the folder holds no run.
    """
    try:
        run = json.loads((run_dir / "run.json").read_text("utf-8"))
    except OSError as exc:
        raise ValueError(f"{run_dir} holds no run: run.json cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"{run_dir} holds no run: run.json is no JSON: {exc}") from exc
    if not isinstance(run, dict) or not isinstance(run.get("id"), str) or not isinstance(run.get("hosts"), list):
        raise ValueError(f"{run_dir} holds no run: run.json has no id or no list of hosts")
    shared: dict[Any, Any] = {}
    found: dict[str, dict[str, Any]] = {}
    frames = runtime.Shared()
    checks = catalogues.load()
    for one in _read_hosts(run_dir / "hosts", shared):
        found[one["name"]] = runtime.condensed(one, frames, run_dir)
    run["folder"] = str(run_dir)
    if run.get("mode") in remediation.MODES:
        before = fleet.answers(map(runtime.without, _read_hosts(run_dir / "before", shared)))
        run["remediation"] = remediation.read(run_dir, (
            fleet.answered(runtime.without(one), before, checks) for one in _read_hosts(run_dir / "before", shared)))
    names = [str(name) for name in run["hosts"]]
    hosts = [found.pop(name) if name in found else silent_host(name, NO_RESULT) for name in dict.fromkeys(names)]
    return run, list(fleet.judge(hosts + list(found.values()), checks))


def silent_host(name: str, error: str) -> dict[str, Any]:
    """The document of a host that gave none."""
    return {"format": HOST_FORMAT, "name": name, "reachable": None, "verdict": "inconclusive", "error": error}


def _read_hosts(folder: Path, shared: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        if not path.name.startswith("."):
            yield _read_host(path, shared)


def _read_host(path: Path, shared: dict[Any, Any]) -> dict[str, Any]:
    name = unquote(path.name.removesuffix(".json"))
    try:
        raw = path.read_text("utf-8")
        # NaN and Infinity are no JSON, though Python writes them: they would make the report unreadable for others.
        host = json.loads(raw, parse_constant=str)
        if "\\ud" in raw or "\\uD" in raw:
            host = _encodable(host)
        _expect_host(host)
    except (OSError, ValueError, RecursionError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        return silent_host(name, f"the result of this host cannot be read: {path.name}: {reason}")
    host["results"] = [_share(result, shared) for result in host["results"]]
    return dict(host)


def _expect_host(host: Any) -> None:
    if not isinstance(host, dict) or host.get("format") != HOST_FORMAT:
        raise ValueError(f"expected a host document of format {HOST_FORMAT}")
    if not isinstance(host.get("name"), str) or host.get("verdict") not in engine.VERDICTS:
        raise ValueError("it has no name or no verdict")
    if not isinstance(host.setdefault("results", []), list):
        raise ValueError("its results are no list")
    for result in host["results"]:
        if (not isinstance(result, dict) or result.get("status") not in engine.STATUSES
                or result.get("severity") not in engine.SEVERITIES or not isinstance(result.get("id"), str)):
            raise ValueError("one of its results has no id, status or severity")


def _encodable(value: Any) -> Any:
    """The same value without lone surrogates, which JSON can carry and UTF-8 cannot."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _share(result: dict[str, Any], shared: dict[Any, Any]) -> dict[str, Any]:
    """A fleet says the same thing thousands of times: equal parts of results become one object in memory."""
    for key in ("id", "subject", "reason", "fingerprint", "status", "severity"):
        value = result.get(key)
        if isinstance(value, str):
            result[key] = shared.setdefault(value, value)
    remediation = result.get("remediation")
    if isinstance(remediation, dict):
        parts = tuple(remediation.items())
        try:
            result["remediation"] = shared.setdefault(parts, remediation)
        except TypeError:  # a value that is no plain text: keep it as it is
            pass
    evidence = result.get("evidence")
    if isinstance(evidence, list):
        result["evidence"] = [shared.setdefault(item, item) if isinstance(item, str) else item for item in evidence]
    return result


def read_baseline(path: Path) -> Baseline:
    """What an earlier report.json says about open findings. Raises ValueError (one sentence) where it is no report."""
    raw = _read_regular(path)
    try:
        report = json.loads(raw, object_hook=_baseline_object)
    except RecursionError:
        raise ValueError("it is no JSON document of a sane depth") from None
    except UnicodeDecodeError:
        raise ValueError("it is no JSON document: it is not text in UTF-8") from None
    except ValueError as exc:
        raise ValueError(f"it is no JSON document: {exc}") from exc
    if not isinstance(report, dict) or "schema_version" not in report:
        raise ValueError("it has no schema_version: expected a report.json that this collection wrote")
    version = report["schema_version"]
    major = SCHEMA_VERSION.partition(".")[0]
    if not isinstance(version, str) or version.partition(".")[0] != major:
        raise ValueError(f"its schema_version is {version!r}: expected {major}.x")
    run, hosts = report.get("run"), report.get("hosts")
    if not isinstance(run, dict) or not isinstance(run.get("id"), str) or not isinstance(hosts, list):
        raise ValueError("it has no run.id or no list of hosts")
    known = {}
    for host in hosts:
        if not isinstance(host, dict) or not isinstance(host.get("name"), str) or not isinstance(host.get("results"), list):
            raise ValueError("one of its hosts has no name or no list of results")
        entries: dict[str, tuple[str, str, str, str]] = {}
        for fingerprint, check, subject, status, severity in (r for r in host["results"] if isinstance(r, tuple)):
            if status in OPEN and (fingerprint not in entries or entries[fingerprint][2] != "fail"):
                entries[fingerprint] = (check, subject, status, severity)
        known[host["name"]] = entries
    held = {(host["name"], one.subject): one for host in hosts for one in runtime.endpoints_before(host)}
    return Baseline(run["id"], str(run.get("started") or ""), known, held)


def _read_regular(path: Path) -> bytes:
    """The content of a regular file of a sane size: a pipe or a device would be waited for, or read, for ever."""
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to waits for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise ValueError("it is no regular file")
            raw = stream.read(BASELINE_LIMIT + 1) if about.st_size <= BASELINE_LIMIT else b""
    except OSError as exc:
        raise ValueError(f"it cannot be read: {exc.strerror}") from exc
    if about.st_size > BASELINE_LIMIT or len(raw) > BASELINE_LIMIT:
        raise ValueError(f"it is larger than {BASELINE_LIMIT // 1024 ** 2} MB")
    return raw


def _baseline_object(value: dict[str, Any]) -> Any:
    """Results shrink to the five values a comparison needs while they are parsed, and what services held to what it needs: a
    big report stays small in memory."""
    if "fingerprint" not in value or "reason" not in value:
        return runtime.earlier(value)
    parts = tuple(value.get(key, "") for key in ("fingerprint", "id", "subject", "status", "severity"))
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("one of its results has an id, subject, status or severity that is no text")
    return tuple(sys.intern(part) for part in parts)


# Calculating

def build(run: Mapping[str, Any], hosts: Iterable[Mapping[str, Any]], catalogue: Mapping[str, engine.Check],
          baseline: Baseline | None = None) -> Report:
    """The report of a run. ``hosts`` are the hosts' documents as :func:`load` gives them."""
    folder = Path(run["folder"]) if run.get("folder") else None
    frames = runtime.Shared()
    hosts = [runtime.condensed(host, frames, folder) for host in hosts]
    gate = str(run.get("gate") or "high")
    checks = _checks_used(hosts, catalogue)
    families = tuple(dict.fromkeys(entry["family"] for entry in checks.values()))
    delta = _delta(hosts, baseline) if baseline else None
    fresh = {(entry["host"], entry["fingerprint"]) for entry in delta["new"]} if delta else set()
    judged_run = remediation.judge(run, hosts, checks)
    about, items, mended = judged_run or (None, {}, None)
    became = {(name, item["fingerprint"]): item for name, found in items.items() for item in found}
    fresh.update(key for key, item in became.items() if item["outcome"] == "new")

    groups: dict[_Group, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    statuses: dict[str, dict[str, int]] = {check: dict.fromkeys(engine.STATUSES, 0) for check in checks}
    waived: dict[str, int] = defaultdict(int)
    failed = dict.fromkeys(reversed(engine.SEVERITIES), 0)
    rows = []
    for host in hosts:
        own_gate = str(host.get("gate") or gate)
        wall = text.rank(own_gate)
        own: set[tuple[str, str, str, bool, str]] = set()
        states: dict[str, str] = {}
        passed: set[str] = set()
        judged = 0
        for result in host.get("results") or ():
            check, status = result["id"], result["status"]
            statuses[check][status] += 1
            if status in OPEN:
                state = kind = _kind(result, wall)
                key = (check, status, result["severity"], bool(result.get("waived")), kind)
                own.add(key)
                groups[key].append((host["name"], result))
                if kind == "waived":
                    waived[check] += 1
                elif status == "fail":
                    failed[result["severity"]] += 1
            else:
                if status == "pass":
                    passed.add(check)
                state = "pass" if status == "pass" else "none"
            judged += status in OPEN or status == "pass"
            family = checks[check]["family"]
            if family not in states or STATES.index(state) < STATES.index(states[family]):
                states[family] = state
        kinds = {kind: sum(key[-1] == kind for key in own) for kind in KINDS}
        rows.append(HostRow(
            name=host["name"], verdict=host["verdict"], reachable=host.get("reachable"), error=str(host.get("error") or ""),
            platform=_platform_words(host.get("platform") or {}),
            services=tuple(str(service.get("name")) for service in host.get("services") or ()),
            duration_ms=host.get("duration_ms"), kinds=kinds,
            passed=len(passed - {key[0] for key in own}), judged=judged,
            states=tuple(states.get(family, "none") for family in families), gate=own_gate,
        ))

    places = {check: place for place, check in enumerate(checks)}
    findings = sorted(
        (_finding(key, members, checks[key[0]], fresh, became) for key, members in groups.items()),
        # Of findings of a family that weigh the same, in the catalogue's order: what causes before what follows from it.
        key=lambda one: (KINDS.index(one.kind), -text.rank(one.severity), -len(one.hosts), one.family, places[one.check], one.status),
    )
    silent = tuple(row for row in rows if row.error)
    started = text.parse_time(run.get("started"))
    ended = max(filter(None, (text.parse_time(host.get("ended")) for host in hosts)), default=started)
    verdicts = dict.fromkeys(reversed(engine.VERDICTS), 0)
    for row in rows:
        verdicts[row.verdict] += 1
    totals = {status: sum(counts[status] for counts in statuses.values()) for status in engine.STATUSES}
    worst = engine.fleet_verdict(row.verdict for row in rows)
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "run": {
            "id": run["id"], "started": run.get("started"), "ended": ended.isoformat() if ended else run.get("started"),
            "profile": run.get("profile"), "gate": gate, "mode": run.get("mode"),
            "collection_version": run.get("collection_version"), "ansible_version": run.get("ansible_version"),
        },
        "verdict": worst,
        "summary": {"hosts": verdicts, "results": totals, "failed": failed, "waived": sum(waived.values()),
                    "checks": _selection(statuses)},
        "checks": checks,
        "hosts": [
            {**_host_document(host, became), **(
                {"remediation": items[host["name"]], "changes": remediation.changes_of(run, host["name"])} if about else {})}
            for host in hosts
        ],
        "waivers": _waivers(hosts),
        "delta": delta,
        "findings": [finding.as_dict() for finding in findings],
    }
    if about:
        document["remediation"] = about
    return Report(
        document=document,
        headline=_headline(worst, findings, rows, silent, hosts),
        unselected=_unselected(statuses, hosts),
        findings=tuple(findings),
        steps=(*_mending_steps(mended), *_steps(
            worst, findings, silent, checks, bool(totals["notselected"]), _Roots.of(explanation.roots(hosts), groups))),
        families=families,
        hosts=tuple(rows),
        silent=silent,
        checks=tuple(
            CheckRow(check, entry["title"], entry["family"], entry["severity"], statuses[check], waived.get(check, 0))
            for check, entry in checks.items()
        ),
        changes={key: _changes(delta[key], checks) for key in CHANGES} if delta else {},
        seconds=(ended - started).total_seconds() if ended and started else None,
        mended=mended,
        inside=runtime.views(hosts, (delta or {}).get("runtime") or (), folder),
        why=explanation.views(hosts),
    )


def placed(report: Report, report_dir: Path) -> Report:
    """The same report for a page in ``report_dir``: links to what the run keeps are relative to it."""
    return replace(report, inside=runtime.placed(report.inside, report_dir)) if report.inside.views else report


def _kind(result: Mapping[str, Any], wall: int) -> str:
    if result.get("waived"):
        return "waived"
    above = text.rank(result["severity"]) >= wall
    if result["status"] == "fail":
        return "blocker" if above else "warning"
    return "unclear" if above else "notice"


def _checks_used(hosts: Sequence[Mapping[str, Any]], catalogue: Mapping[str, engine.Check]) -> dict[str, dict[str, Any]]:
    """The catalogue entries of all results, in the catalogue's order, those from elsewhere behind them."""
    own: dict[str, Mapping[str, Any]] = {}
    severities: dict[str, str] = {}
    for host in hosts:
        for check, entry in (host.get("checks") or {}).items():
            own.setdefault(check, entry)
        for result in host.get("results") or ():
            severities.setdefault(result["id"], result["severity"])
    order = [check for check in catalogue if check in severities]
    order += sorted(check for check in severities if check not in catalogue)
    used = {}
    for check in order:
        if check in own:
            entry = dict(own[check])
        elif check in catalogue:
            entry = catalogue[check].as_dict()
        else:
            entry = {}
        empty = {
            "title": check, "family": check.split(".", 1)[0], "severity": severities[check], "why": "", "tags": [],
            "remediation": engine.Remediation().as_dict(),
        }
        used[check] = {**empty, **entry}
    return used


def _host_document(host: Mapping[str, Any], became: Became) -> dict[str, Any]:
    platform = host.get("platform") or {}
    return {
        "name": host["name"],
        "verdict": host["verdict"],
        "reachable": host.get("reachable"),
        "error": host.get("error"),
        "platform": {key: platform.get(key) for key in _PLATFORM},
        "services": [
            {key: service.get(key) for key in (*_SERVICE, *(key for key in ("explanation", "runtime") if key in service))}
            for service in host.get("services") or ()
        ],
        "results": [_with_mend(result, host["name"], became) for result in host.get("results") or ()],
        "started": host.get("started"),
        "ended": host.get("ended"),
        "duration_ms": host.get("duration_ms"),
    }


def _with_mend(result: Mapping[str, Any], host: str, became: Became) -> Mapping[str, Any]:
    """The result, with the command that lets a role mend it where there is one."""
    if result["status"] != "fail":
        return result
    command = remediation.mend_of(result, host, became.get((host, result.get("fingerprint") or "")))
    return {**result, "remediation": {**result["remediation"], "mend": command}} if command else result


def _platform_words(platform: Mapping[str, Any]) -> str:
    system = " ".join(str(platform[key]) for key in ("os", "version") if platform.get(key))
    arch = platform.get("goarch") or platform.get("arch")
    return " · ".join(filter(None, (system[:1].upper() + system[1:], str(arch or ""))))


def _finding(key: _Group, members: list[tuple[str, Mapping[str, Any]]], entry: Mapping[str, Any],
             fresh: set[tuple[str, str]], became: Became) -> Finding:
    check, status, severity, is_waived, kind = key
    same: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for host, result in members:
        same[result.get("subject") or "", result.get("reason") or ""].append((host, result))
    variants = [
        Variant(subject, reason, tuple(dict.fromkeys(host for host, _result in group)), group[0][1])
        for (subject, reason), group in same.items()
    ]
    variants.sort(key=lambda one: -len(one.hosts))  # stable: equal ones stay in the order of the inventory
    mends = _mends(variants)
    general = str((entry.get("remediation") or {}).get("hint") or "")
    advice = general if len(mends) > 1 and general else mends[0].hint if mends else ""
    items = [became.get((host, result.get("fingerprint") or "")) for host, result in members] if became else []
    return Finding(
        key=f"{check}:{status}:{severity}:{kind}", check=check, title=str(entry["title"]), family=str(entry["family"]),
        why=str(entry.get("why") or ""), status=status, severity=severity, kind=kind, waived=is_waived,
        results=len(members), new=sum((host, result.get("fingerprint")) in fresh for host, result in members),
        hosts=tuple(dict.fromkeys(host for host, _result in members)),
        subjects=tuple(dict.fromkeys(filter(None, (variant.subject for variant in variants)))),
        variants=tuple(variants), mends=mends, advice=advice, fix=_fix(check, members, became),
        tried=next((item["why"] for item in items if item and item["outcome"] == "not_fixed"), ""),
        predicted=bool(items) and all(item and item["outcome"] == "predicted" for item in items),
    )


def _fix(check: str, members: Iterable[tuple[str, Mapping[str, Any]]], became: Became) -> Fix | None:
    """The command that lets roles mend what of a finding they may, and did not try in vain already."""
    able = []
    for host, result in members:
        item = became.get((host, result.get("fingerprint") or ""))
        consent = remediation.consent_of(result, item)
        if consent is not None and not (item and item["outcome"] == "not_fixed"):
            able.append((host, result, consent))
    if not able:
        return None
    hosts = tuple(dict.fromkeys(host for host, _result, _consent in able))
    words = tuple(dict.fromkeys(word for _host, _result, consent in able for word in consent.split(",")
                                if word in text.CONSENT_MEANS))
    notes = [f"This may {' and '.join(text.CONSENT_MEANS[word] for word in words)}."] if words else []
    if len(hosts) > text.LIMIT_HOSTS:
        notes.append(f"It names none of the {len(hosts):,} hosts: it mends this wherever verification finds it.")
    return Fix(text.mend_command(check, hosts, ",".join(words)),
               tuple(dict.fromkeys(result["remediation"]["role"] for _host, result, _consent in able)), " ".join(notes))


def _mends(variants: Sequence[Variant]) -> tuple[Mend, ...]:
    """The distinct ways to mend a finding, the most common first; which subjects each is for where there are several."""
    ways: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for variant in variants:
        given = variant.example.get("remediation") or {}
        way = tuple(str(given.get(key) or "") for key in ("hint", "command", "role", "safe"))
        if any(way[:3]):
            ways[way[0], way[1], way[2], way[3]].append(variant.subject)
    if len(ways) == 1:
        return (Mend(*next(iter(ways))),)
    return tuple(Mend(*way, subjects=tuple(dict.fromkeys(filter(None, subjects)))) for way, subjects in ways.items())


def _waivers(hosts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every host tells about the same waivers: one line each, used where any host used it."""
    merged: dict[str, dict[str, Any]] = {}
    order = ("active", "expired", "unused")
    for host in hosts:
        for waiver in host.get("waivers") or ():
            key = engine.canonical({name: value for name, value in waiver.items() if name not in ("state", "results")})
            if key not in merged:
                merged[key] = dict(waiver)
                continue
            one = merged[key]
            one["results"] = one.get("results", 0) + waiver.get("results", 0)
            one["state"] = min(one.get("state", "unused"), waiver.get("state", "unused"), key=order.index)
    return list(merged.values())


def _delta(hosts: Sequence[Mapping[str, Any]], baseline: Baseline) -> dict[str, Any]:
    lists: dict[str, list[dict[str, Any]]] = {key: [] for key in CHANGES}
    names = set()
    for host in hosts:
        name = host["name"]
        names.add(name)
        before = dict(baseline.hosts.get(name, {}))
        now, ran = remediation.newest(host.get("results") or ())
        for mark, result in now.items():
            was = before.pop(mark, None)
            entry = {
                "host": name, "check": result["id"], "subject": result.get("subject") or "", "fingerprint": mark,
                "severity": result["severity"], "status": result["status"], "was": was[2] if was else None,
            }
            if result["status"] in OPEN:
                worse = was is None or (result["status"] == "fail" and was[2] != "fail")
                lists["new" if worse else "unchanged"].append(entry)
            elif was:
                lists["unverified" if result["status"] == "notselected" else "fixed"].append(entry)
        for mark, (check, subject, status, severity) in before.items():
            lists["fixed" if ran.get(check) else "unverified"].append({
                "host": name, "check": check, "subject": subject, "fingerprint": mark, "severity": severity,
                "status": None, "was": status,
            })
    held = runtime.compare(hosts, baseline.inside) if baseline.inside else []
    return {
        "baseline_run_id": baseline.run_id,
        "baseline_started": baseline.started or None,
        **lists,
        "hosts_new": sorted(names - set(baseline.hosts)),
        "hosts_gone": sorted(set(baseline.hosts) - names),
        **({"runtime": held} if held else {}),
    }


def _changes(entries: Iterable[Mapping[str, Any]], checks: Mapping[str, Mapping[str, Any]]) -> tuple[Change, ...]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        groups[entry["check"], entry["severity"]].append(entry)
    lines = [
        Change(
            check=check, title=str(checks[check]["title"]) if check in checks else check, severity=severity,
            subjects=tuple(dict.fromkeys(entry["subject"] for entry in group if entry["subject"])),
            hosts=tuple(dict.fromkeys(entry["host"] for entry in group)), results=len(group),
        )
        for (check, severity), group in groups.items()
    ]
    return tuple(sorted(lines, key=lambda one: (-text.rank(one.severity), -len(one.hosts), one.check)))


# Words

def _selection(statuses: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {"total": len(statuses), "notselected": sum(counts["notselected"] > 0 for counts in statuses.values())}


def _unselected(statuses: Mapping[str, Mapping[str, int]], hosts: Sequence[Mapping[str, Any]]) -> str:
    """How many checks were left out by profile, preflight_checks or preflight_skip_checks, on any of the hosts."""
    counts = _selection(statuses)
    number, total = counts["notselected"], counts["total"]
    if not number:
        return ""
    told = [{result["status"] == "notselected" for result in host["results"]} for host in hosts if host.get("results")]
    some = sum(True in kinds for kinds in told)
    where = f" on {some:,} of {len(told):,} hosts" if some < len(told) else ""
    return f"{number:,} of {text.count(total, 'check')} {'was' if number == 1 else 'were'} not selected{where}."


def _headline(verdict: str, findings: Sequence[Finding], rows: Sequence[HostRow], silent: Sequence[HostRow],
              hosts: Sequence[Mapping[str, Any]]) -> str:
    """One sentence: what stands between this fleet and its traffic."""
    if not rows:
        return "There was no host to verify."
    blockers, unclear, warnings = (_of(findings, kind) for kind in ("blocker", "unclear", "warning"))
    total = len(rows)
    if verdict == "ready":
        return f"No open finding on {'the host' if total == 1 else f'any of {total:,} hosts'}."
    if verdict == "ready_with_warnings":
        if not warnings:
            notices = _of(findings, "notice")
            return f"Nothing blocks; {text.count(len(notices), 'check')} could not be judged on {_some(notices, total)}."
        return f"Nothing blocks; {text.count(len(warnings), 'warning')} on {_some(warnings, total)}."
    parts = []
    if blockers:
        blocks = "finding blocks" if len(blockers) == 1 else "findings block"
        parts.append(f"{len(blockers):,} {blocks} {_some(blockers, total)}")
    if silent:
        parts.append(f"{text.count(len(silent), 'host')} gave no result")
    if unclear:
        parts.append(f"{text.count(len(unclear), 'check')} could not be judged on {_some(unclear, total, short=bool(parts))}")
    unjudged = [row for row in rows if row.verdict == "inconclusive" and not row.error and not row.judged]
    if unjudged:
        names = {row.name for row in unjudged}
        none = all(result["status"] == "notselected" for host in hosts if host["name"] in names
                   for result in host.get("results") or ())
        where = "" if len(unjudged) == total else f" on {len(unjudged):,} of {total:,} hosts"
        parts.append(f"no check {'was selected' if none else 'judged anything'}{where}")
    return text.sentence("; ".join(parts))


def _of(findings: Iterable[Finding], kind: str) -> list[Finding]:
    return [finding for finding in findings if finding.kind == kind]


def _some(findings: Iterable[Finding], total: int, *, short: bool = False) -> str:
    """How many of the hosts these findings are on, in words."""
    touched = len({host for finding in findings for host in finding.hosts})
    if total == 1:
        return "the host"
    if touched == total:
        return f"all {total:,} hosts"
    return text.count(touched, "host") if short else f"{touched:,} of {total:,} hosts"


def _by_mend(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings that are mended in one go: by the same advice, or about the same listeners on the same hosts.

    A port that is bound to the world, reachable and on the public mux is closed once.
    """
    steps: list[list[Finding]] = []
    known: dict[tuple[Any, ...], list[Finding]] = {}
    for finding in findings:
        keys: list[tuple[Any, ...]] = [("advice", finding.advice)] if finding.advice else []
        if finding.subjects and all(_LISTENER.search(subject) for subject in finding.subjects):
            keys.append((finding.family, frozenset(finding.subjects), frozenset(finding.hosts)))
        step = next((known[key] for key in keys if key in known), None)
        if step is None:
            step = []
            steps.append(step)
        step.append(finding)
        for key in keys:
            known.setdefault(key, step)
    return steps


def _clear_up(unclear: Sequence[Finding], checks: Mapping[str, Mapping[str, Any]]) -> Iterator[Step]:
    """What makes checks judgeable that were not: what most of them ask for, where they ask for anything.

    A check's general remediation mends its finding, and nobody knows whether there is one.
    """
    ways: dict[str, list[Finding]] = defaultdict(list)
    for finding in unclear:
        general = (checks[finding.check].get("remediation") or {}).get("hint")
        hints = [mend.hint for mend in finding.mends if mend.hint and mend.hint != general]
        for do in dict.fromkeys(text.sentence(text.first_sentence(hint)) for hint in hints):
            ways[do].append(finding)
    do, cleared = max(ways.items(), key=lambda way: len(way[1]), default=("", []))
    done = {finding.key for finding in cleared}
    rest = [finding for finding in unclear if finding.key not in done]
    if cleared:
        hosts, said = _example(cleared)
        yield Step(do, f"{hosts}. {text.count(len(cleared), 'check')} could not be judged. {said}", cleared[0].key)
    if rest:
        hosts, said = _example(rest)
        count = text.count(len(rest), "other check" if cleared else "check")
        yield Step(f"Clear up {count} that could not be judged.", f"{hosts}. {said}", rest[0].key)


def _example(findings: Sequence[Finding]) -> tuple[str, str]:
    """The hosts of some findings, and one of their reasons."""
    hosts = text.names(tuple(dict.fromkeys(host for finding in findings for host in finding.hosts)), 4)
    said = ("" if len(findings) == 1 else "For instance: ") + findings[0].variants[0].reason
    return hosts, text.sentence(said)


def _mending_steps(mended: remediation.View | None) -> Iterator[Step]:
    """What comes first after a remediation: where it stopped, and in check mode to do what it would do."""
    if mended and mended.stopped:
        stopped = mended.stopped
        do = f"Look at {stopped['host']} first: {stopped['reason']}" if stopped["host"] else stopped["reason"]
        yield Step(text.sentence(do), "The run stopped there; the hosts that it had not come to are as they were.")
    number = mended.summary["predicted"] if mended and mended.check else 0
    if mended and number:
        yield Step("Run the same without --check.", f"It would fix {text.count(number, 'finding')} on {text.count(mended.hosts, 'host')}.")


class _Roots(NamedTuple):
    """What blocks and is only a symptom, by the explanations. ``behind``: the checks of which every blocking result is one, with a
    cause of it; ``roots`` are the causes of those that block, which do not block themselves."""

    behind: Mapping[str, explanation.Root]
    roots: Sequence[explanation.Root]

    @classmethod
    def of(cls, roots: Sequence[explanation.Root], groups: Mapping[_Group, Sequence[tuple[str, Mapping[str, Any]]]]) -> _Roots:
        causes = {(root.host, *result): root for root in roots for result in root.symptoms}
        if not causes:
            return cls({}, [])
        blocking: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for key, members in groups.items():
            if key[-1] == "blocker":
                blocking[key[0]] += [(host, key[0], str(result.get("subject") or "")) for host, result in members]
        known = {mark for marks in blocking.values() for mark in marks}
        return cls({check: causes[marks[0]] for check, marks in blocking.items() if all(mark in causes for mark in marks)},
                   [root for root in roots if (root.host, *root.result) not in known
                    and any((root.host, *result) in known for result in root.symptoms)])

    def steps(self) -> Iterator[Step]:
        """The causes, those of the most services first."""
        same: dict[tuple[Any, ...], list[explanation.Root]] = defaultdict(list)
        for root in self.roots:
            same[root.cause, root.result].append(root)
        for _same, those in sorted(same.items(), key=lambda item: -len(item[1])):
            services = text.names(tuple(dict.fromkeys(root.service for root in those)), 2)
            hosts = text.names(tuple(dict.fromkeys(root.host for root in those)), 4)
            yield Step(those[0].reason, f"{services} on {hosts}", how=text.sentence(those[0].first_step), explained=True)

    def cause_of(self, same: Sequence[Finding]) -> explanation.Root | None:
        """The cause of findings that are symptoms only; None where one stands for itself."""
        causes = [self.behind.get(finding.check) for finding in same]
        return causes[0] if None not in causes else None


def _steps(verdict: str, findings: Sequence[Finding], silent: Sequence[HostRow],
           checks: Mapping[str, Mapping[str, Any]], unselected: bool, roots: _Roots) -> tuple[Step, ...]:
    """What to do next, the most urgent first: at most five steps, the causes of what blocks before them, and how many findings are
    behind them."""
    blockers = [finding for finding in _of(findings, "blocker") if not finding.predicted]
    steps = list(roots.steps())[:_ROOTS]
    unclear = _of(findings, "unclear")
    # What one command mends comes first: it costs least.
    ways = sorted(_by_mend(blockers), key=lambda same: (roots.cause_of(same) is not None, not any(finding.fix for finding in same)))
    for same in ways[:_STEPS]:
        subjects = tuple(dict.fromkeys(subject for finding in same for subject in finding.subjects))
        where = text.names(tuple(dict.fromkeys(host for finding in same for host in finding.hosts)), 4)
        if subjects:
            where = f"{text.names(subjects, 2)} on {where}"
        # A hint alone may say no more than a cause: what is wrong comes first, what to do about it below.
        how = text.sentence(next((finding.advice for finding in same if finding.advice), ""))
        reason = same[0].variants[0].reason
        fix = next((finding.fix for finding in same if finding.fix), None)
        tried = next((finding.tried for finding in same if finding.tried), "")
        if fix:
            how = ""  # the command does it; what a person would do by hand is with the finding
        elif root := roots.cause_of(same):
            how = f"It follows from {explanation.CAUSES.get(root.cause, root.cause)}: mend that first."
        elif tried:
            how = f"Remediation did not mend it: {tried}"
        steps.append(Step(reason if how or fix else f"Mend {same[0].check}: {reason}", where, same[0].key, how,
                          fix.command if fix else "", fix.note if fix else ""))
    more = sum(map(len, ways[_STEPS:]))
    if more:
        steps.append(Step(f"Mend the other {text.count(more, 'blocking finding')}.", ""))
    if silent:
        causes: dict[str, list[str]] = defaultdict(list)
        for row in silent:
            causes[row.error].append(row.name)
        cause, hosts = max(causes.items(), key=lambda item: len(item[1]))
        where = text.names([row.name for row in silent], 4)
        said = text.sentence(cause if len(causes) == 1 else f"{text.names(hosts, 2)}: {cause}")
        steps.append(Step(f"Get a result from {text.count(len(silent), 'host')}.", f"{where}. {said}"))
    steps.extend(_clear_up(unclear, checks))
    if unselected and verdict == "inconclusive" and not steps:
        steps.append(Step("Select checks.", "preflight_profile, preflight_checks and preflight_skip_checks say which ones run."))
    if steps:
        steps.append(Step("Verify again.", ""))
    elif verdict == "ready_with_warnings":
        warnings = [one for one in findings if one.kind in ("warning", "notice")]
        steps.append(Step("Nothing has to be done before traffic.",
                          f"Look at {text.names([one.title for one in warnings], 3)} when there is time."))
    else:
        steps.append(Step("Nothing has to be done.", ""))
    return tuple(steps)
