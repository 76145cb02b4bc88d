# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.html: one file that opens from a mail, without a network, and shows hosts' text as text and nothing else.

Verdict, next steps and findings are plain HTML; the results of every host are embedded as JSON and shown on demand, for
200 hosts times 60 results as elements would make a browser think for seconds. Where a fleet is so large that the data
passes ``DATA_LIMIT``, what a reader misses least is left out first, and the page says so.

Everything from a host is untrusted: the template escapes, the embedded JSON carries no ``<``, the script writes text
nodes only, and the content security policy allows exactly this style and this script (by their hashes) and no request.
"""
from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.plugin_utils.causes.base import milliseconds
from ansible_collections.goready.preflight.plugins.plugin_utils.report import explanation, model, remediation, runtime, text

DATA_LIMIT = 5_000_000

_TEMPLATES = Path(__file__).parent / "templates"
_SECTIONS = (
    ("blocks", "What blocks", ("blocker",), ""),
    ("unclear", "What could not be judged", ("unclear",),
     "No evidence either way at or above the gate. An unknown is never counted as a pass."),
    ("warnings", "Warnings", ("warning",), "Real findings below the gate: they do not block."),
    ("notices", "Not judged, below the gate", ("notice",), "No evidence either way; these do not block."),
    ("waived", "Waived", ("waived",), "Findings that somebody answers for until a day. The checks still run."),
)
# What is left out, one step after the other, until the embedded data is small enough.
_OMISSIONS = (
    "",
    "evidence and values of results that are no findings",
    "reasons, evidence and values of results that are no findings",
    "reasons of results that are no findings, and the evidence and values of findings",
)
# Of each outcome of a remediation: the heads of its first and its last column.
_OUTCOME_HEADS = {
    "fixed": ("In order now", "Fixed by"), "predicted": ("Found", "By"), "not_fixed": ("Found before", "Why not"),
    "new": ("Found now", "Before"), "left": ("Found", "What it needs"),
}
_OUTCOME_ICONS = {"fixed": "pass", "predicted": "pass", "not_fixed": "blocker", "new": "warning", "left": "none"}
# What the checks said about the inside of a service.
_WHY_WORDS = {"blocker": "requests fail", "warning": "requests wait", "pass": "nothing was found", "notice": "little was measured"}
_SERVICE_WORDS = {"blocker": "with a blocking finding", "warning": "with warnings", "unclear": "not judged", "notice": "not fully judged",
                  "waived": "waived", "pass": "healthy", "none": "not judged by any check"}
_OUTCOME_LINES = 60
_CHANGED = 40
_CLIP = 2000
_NAMES = 24
_VARIANTS = 4


def render(report: model.Report) -> Iterator[str]:
    """The text of report.html in pieces."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        count=text.count, duration=text.duration, moment=text.moment, day=text.day, line=_line, plain=_plain,
        visible=_visible, paragraphs=_paragraphs, bytes=runtime.size, span=runtime.span, signed=runtime.signed,
        function=runtime.function, base=runtime.base, minutes=runtime.minutes, ms=milliseconds,
    )
    # What belongs to the inside of services is there only where there is one to show.
    flames = runtime.flames(report.inside) if report.inside.views else runtime.Flames()
    extra = [*(["flame"] if flames.graphs else []), *(["runtime"] if report.inside.views else [])]
    # Its cards are those of the inside of services.
    why = ["explanation", *([] if report.inside.views else ["runtime"])] if report.why.views else []
    style, script = _part("css", "report", *extra, *why), _part("js", "report", *extra)
    data, omitted = payload(report)
    yield from environment.get_template("report.html.j2").generate(
        report=report, document=report.document, run=report.document["run"], words=text.VERDICT_WORDS,
        sections=[(key, title, report.of_kind(*kinds), note) for key, title, kinds, note in _SECTIONS],
        anchors={finding.key: f"finding-{number}" for number, finding in enumerate(report.findings, 1)},
        numbers={row.name: number for number, row in enumerate(report.hosts)},
        rows=sorted(report.hosts, key=_worst_first), waivers=[_waiver(one, report) for one in report.document["waivers"]],
        bar=_bar(report), named=_named(report),
        bar_words={"blocker": "blocking", "unclear": "not judged", "warning": "warning",
                   "notice": "not judged, below the gate", "waived": "waived", "pass": "checks passed"},
        mended=report.mended, outcomes=_outcomes(report.mended), outcome_icons=_OUTCOME_ICONS, outcome_words=text.OUTCOME_WORDS,
        unread=list(report.mended.unread.items())[:_NAMES] if report.mended else [], changed_limit=_CHANGED,
        severities=tuple(reversed(engine.SEVERITIES)), status_words=text.STATUS_WORDS, names_limit=_NAMES,
        variants_limit=_VARIANTS, style=Markup(style), script=Markup(script), style_hash=_hash(style),
        script_hash=_hash(script), data=Markup(data), omitted=omitted, total=len(report.hosts),
        inside=report.inside, flames=flames, flame_data=Markup(_inert(f"[{','.join(flames.graphs)}]")),
        service_words=_SERVICE_WORDS, class_words=runtime.CLASS_WORDS, origin_words=runtime.ORIGIN_WORDS,
        phase_words=runtime.PHASE_WORDS, page_frames=runtime.PAGE_FRAMES, page_ids=runtime.PAGE_IDS, page_sites=runtime.PAGE_SITES,
        why_words=_WHY_WORDS, why_causes=explanation.CAUSES, why_lines=explanation.LINES,
        # The findings that decide the verdict are open, the others are headings that say what was found.
        opened={"blocker"} if report.of_kind("blocker") else {"unclear"},
    )


def _part(kind: str, *names: str) -> str:
    """Some of the files that make up the page's style or script, as one text."""
    files = (_TEMPLATES / f"{name}.{kind}" for name in names)
    return "\n".join(file.read_text("utf-8") for file in files if kind == "js" or file.exists())


def _inert(words: str) -> str:
    """JSON for a <script>: inside of one nothing is escaped, and "</script" or "<!--" would end or change it."""
    for char, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        words = words.replace(char, code)
    return words


def _hash(code: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def _line(value: Any, length: int = 400) -> str:
    return text.clip(text.line(str(value)), length)


def _visible(value: Any) -> str:
    return text.clip(text.visible(str(value)), _CLIP)


def _plain(value: Any) -> str:
    return text.clip(text.visible(text.plain(value)), 500)


def _paragraphs(value: Any) -> list[str]:
    return [text.line(part) for part in str(value).split("\n\n") if part.strip()]


def _worst_first(row: model.HostRow) -> tuple[int, int, int, int]:
    return (-engine.VERDICTS.index(row.verdict), -row.kinds["blocker"], -row.kinds["unclear"], -row.kinds["warning"])


def _bar(report: model.Report) -> list[tuple[str, int, float, float]]:
    """The bar below the verdict: hosts by verdict or, for one host, its findings by kind and the checks that passed.

    Name, number, where the segment begins and how wide it is, in hundredths of the bar.
    """
    parts: Mapping[str, int] = report.document["summary"]["hosts"]
    if len(report.hosts) == 1:
        parts = {**report.hosts[0].kinds, "pass": report.hosts[0].passed}
    segments, begin, total = [], 0.0, sum(parts.values())
    for name, number in parts.items():
        if number:
            segments.append((name, number, round(begin, 2), round(100 * number / total, 2)))
            begin += 100 * number / total
    return segments


def _outcomes(mended: remediation.View | None) -> list[tuple[str, str, str, str, list[remediation.Line], int]]:
    """The tables of a remediation: outcome, title, heads of the first and the last column, lines, how many more there are."""
    tables = []
    for outcome, number in mended.counts if mended else ():
        if mended and number:
            lines = mended.of(outcome)
            tables.append((outcome, text.OUTCOME_WORDS[outcome], *_OUTCOME_HEADS[outcome], lines[:_OUTCOME_LINES],
                           len(lines[_OUTCOME_LINES:])))
    return tables


def _named(report: model.Report) -> list[tuple[str, str, list[model.HostRow]]]:
    """The hosts of a fleet that are not ready, by what stands in their way, the worst first."""
    if len(report.hosts) == 1:
        return []
    rows = sorted(report.hosts, key=_worst_first)
    groups = [
        ("Not ready", "not_ready", [row for row in rows if row.verdict == "not_ready" and not row.error]),
        ("No result", "inconclusive", list(report.silent)),
        ("Inconclusive", "inconclusive", [row for row in rows if row.verdict == "inconclusive" and not row.error]),
    ]
    return [group for group in groups if group[2]]


def _waiver(waiver: Mapping[str, Any], report: model.Report) -> dict[str, Any]:
    """A waiver with the time it has left, counted from the run: a report says the same thing whenever it is opened."""
    expires, started = text.parse_time(waiver.get("expires")), text.parse_time(report.document["run"]["started"])
    days = int((expires - started).total_seconds() / 86400) if expires and started else None  # whole days, towards now
    hosts = waiver.get("hosts") or []
    words = ""
    if days is not None:
        words = f"in {text.count(days, 'day')}" if days > 0 else f"{text.count(-days, 'day')} ago" if days < 0 else "that day"
    return {**waiver, "left": words, "soon": days is not None and days < 14,
            "host_names": [hosts] if isinstance(hosts, str) else [str(host) for host in hosts]}


def payload(report: model.Report) -> tuple[str, str]:
    """The embedded JSON, and what had to be left out of it (empty: nothing)."""
    data = ""
    for level, omission in enumerate(_OMISSIONS):
        data = _Payload(report, level).encode()
        if len(data) <= DATA_LIMIT:
            return data, omission
    return data, _OMISSIONS[-1]


class _Payload:
    """All results in a shape that is small: every string once, results as lists of numbers (``report.js`` reads it)."""

    def __init__(self, report: model.Report, level: int) -> None:
        self._level = level
        self._strings: dict[str, int] = {"": 0}
        self._mends: dict[tuple[int, ...], int] = {}
        document = report.document
        self._check_numbers = {check: number for number, check in enumerate(document["checks"])}
        self._document = {
            "run": document["run"]["id"], "check": bool(report.mended and report.mended.check),
            "statuses": engine.STATUSES, "severities": engine.SEVERITIES, "kinds": model.KINDS,
            "checks": [
                {"id": text.line(check), "title": text.line(str(entry["title"])), "family": text.line(str(entry["family"])),
                 "why": text.visible(str(entry.get("why") or ""))}
                for check, entry in document["checks"].items()
            ],
            "hosts": [
                {"name": _line(host["name"]), "verdict": host["verdict"], "error": _line(host["error"] or ""),
                 "kernel": _line((host["platform"]).get("kernel") or ""), "ms": host["duration_ms"],
                 **self._mending(host),
                 "services": [self._service(service) for service in host["services"]],
                 "results": [self._result(result, row, host["name"]) for result in host["results"]]}
                for host, row in zip(document["hosts"], report.hosts)
            ],
        }

    def encode(self) -> str:
        self._document["mends"] = list(self._mends)
        self._document["strings"] = list(self._strings)
        words = json.dumps(self._document, ensure_ascii=False, separators=(",", ":"), default=str)
        return _inert(words)

    def _string(self, value: str) -> int:
        return self._strings.setdefault(value, len(self._strings))

    def _mending(self, host: Mapping[str, Any]) -> dict[str, Any]:
        """What a host has only where there is something to say: what was changed, and how --limit names it."""
        parts: dict[str, Any] = {}
        if host.get("changes"):
            parts["changes"] = [[self._string(_line(change[key])) for key in ("action", "path", "detail", "role")]
                                for change in host["changes"][:100]]
        if any("mend" in result["remediation"] for result in host["results"] if result["status"] == "fail"):
            parts["limit"] = _visible(_limit(host["name"]))
        return parts

    def _service(self, service: Mapping[str, Any]) -> dict[str, Any]:
        container = service.get("container")
        return {
            "name": _line(service.get("name") or ""), "unit": _line(service.get("unit") or ""),
            "state": _line(service.get("state") or ""), "go": _line(service.get("go_version") or ""),
            "revision": _line(service.get("revision") or "", 12), "declared": bool(service.get("declared")),
            "listeners": [_line(one) for one in (service.get("listeners") or ())[:20]],
            "container": _line(" ".join(str(container[key]) for key in ("runtime", "id") if container.get(key)))
            if isinstance(container, Mapping) else _line(container or ""),
        }

    def _result(self, result: Mapping[str, Any], row: model.HostRow, host: str) -> list[Any]:
        status = result["status"]
        is_open = status in model.OPEN
        subject = self._string(_line(result.get("subject") or ""))
        head = [
            self._check_numbers[result["id"]], subject, engine.STATUSES.index(status), text.rank(result["severity"]),
            model.KINDS.index(row.kind_of(result)) if is_open else -1,
        ]
        if not is_open and self._level >= 2:
            return head
        head.append(self._string(_visible(result.get("reason") or "")))
        if self._level >= (3 if is_open else 1):
            return head if not is_open else [*head, 0, 0, [], self._mend(result, host)]
        return [
            *head, self._string(_plain(result.get("actual"))), self._string(_plain(result.get("expected"))),
            [self._string(_visible(item)) for item in (result.get("evidence") or ())[:50]],
            *([self._mend(result, host)] if is_open else ()),
        ]

    def _mend(self, result: Mapping[str, Any], host: str) -> int:
        given = result.get("remediation") or {}
        # The command that lets a role mend it differs by the host's name alone: the name is taken out, the rest is shared.
        head, _limit_of_it, tail = str(given.get("mend") or "").partition(_limit(host))
        parts = tuple(self._string(_visible(one)) for one in (
            *(given.get(key) or "" for key in ("hint", "command", "role")), *((head, tail) if head else ())))
        if not any(parts):
            return -1
        return self._mends.setdefault(parts, len(self._mends))


def _limit(host: str) -> str:
    return f"--limit {shlex.quote(host)}"
