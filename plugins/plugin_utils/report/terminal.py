# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary that is printed when the report was written: at most one screen, and what to read next."""
from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.goready.preflight.plugins.plugin_utils.report import explanation, model, remediation, runtime, text

LINES = 24
COLUMNS = 100

_SHORT = {**text.VERDICT_WORDS, "ready_with_warnings": "with warnings"}
_SHORT = {key: words.lower() for key, words in _SHORT.items()}

# ``colour(text, verdict or severity)`` returns the text, coloured where the terminal wants it.
Colour = Callable[[str, str], str]


def render(report: model.Report, paths: Mapping[str, str], colour: Colour | None = None) -> str:
    """The summary, ``LINES`` lines of ``COLUMNS`` columns at most. ``paths`` says where each format was written."""
    paint = colour or _plain
    head = _head(report, paint)
    foot = _foot(report, paths)
    room = LINES - len(head) - len(foot)
    return "\n".join(head + _body(report, room, paint) + foot)


def _plain(words: str, _kind: str) -> str:
    return words


def _head(report: model.Report, paint: Colour) -> list[str]:
    document = report.document
    run, hosts = document["run"], document["summary"]["hosts"]
    word = text.VERDICT_WORDS[report.verdict].upper()
    first, *rest = _wrap(f"{word}  {report.headline}", COLUMNS, "  ")
    total = text.count(len(report.hosts), "host")
    if len(report.hosts) > 1:
        total += ": " + ", ".join(f"{number:,} {_SHORT[key]}" for key, number in hosts.items() if number)
    facts = [total, f"profile {text.line(str(run['profile']))}", f"gate {text.line(str(run['gate']))}"]
    if report.seconds is not None:
        facts.append(text.duration(report.seconds))
    lines = [paint(word, report.verdict) + first[len(word):], *rest[:1 if report.mended else 2]]
    if report.mended:
        lines.append(_cut(f"Remediation{' (check mode)' if report.mended.check else ''}: {report.mended.said}", COLUMNS))
        if report.mended.stopped:
            stopped = report.mended.stopped
            lines.append(_cut(text.line(f"It stopped{' at ' if stopped['host'] else ''}{stopped['host']}: {stopped['reason']}"), COLUMNS))
    if report.unselected:
        lines.append(_cut(report.unselected, COLUMNS))
    lines.append(_cut(" · ".join(facts), COLUMNS))
    if document["delta"]:
        lines.append(_cut(_delta(document["delta"]), COLUMNS))
    return lines


def _delta(delta: Mapping[str, Sequence[object]]) -> str:
    since = f"since {text.line(str(delta['baseline_run_id']))}: "
    counts = [f"{len(delta[key]):,} {key}" for key in ("new", "fixed", "unchanged")]
    return since + ", ".join(counts) + (f", {len(delta['unverified']):,} not verified again" if delta["unverified"] else "")


def _foot(report: model.Report, paths: Mapping[str, str]) -> list[str]:
    lines = [""]
    if report.verdict in ("not_ready", "inconclusive") and report.steps:
        step = report.steps[0]
        words = text.line(f"{step.do} {step.how}".rstrip())
        lines += _wrap(f"Next: {text.clip(words, 3 * COLUMNS - 40)}", COLUMNS, "      ")[:2 if report.mended else 3]
        if step.command and len(step.command) <= 3 * COLUMNS:
            lines.append(f"      {text.line(step.command)}")  # never cut: it is there to be copied, as the path below
    order = [key for key in ("html", "md", "json", "junit") if key in paths]
    if order:
        # A path is never cut: it is there to be copied.
        lines.append(f"Report: {text.line(paths[order[0]])}" + (f"  (also {', '.join(order[1:])})" if order[1:] else ""))
    return lines


def _body(report: model.Report, room: int, paint: Colour) -> list[str]:
    told = {line.check for line in report.mended.of("not_fixed", "new", "left")} if report.mended else set()
    sections = [
        *([(report.mended.title, _mended(report.mended))] if report.mended else ()),
        ("Blocks", [_finding(one, paint) for one in report.of_kind("blocker") if one.check not in told and not one.predicted]),
        ("No result", [[_row("", _name(row.name), row.error)] for row in report.silent]),
        ("Could not be judged", [_finding(one, paint) for one in report.of_kind("unclear")]),
    ]
    warnings = report.of_kind("warning")
    if report.verdict == "ready_with_warnings":
        sections.append(("Warnings", [_finding(one, paint) for one in warnings]))
        warnings = []
    sections.append(("Why would a request time out here?", [_why(view) for view in report.why.troubled]))
    sections.append(("Inside the services", [_service(view) for view in report.inside.findings]))
    sections = [(title, entries) for title, entries in sections if entries]
    also = [
        text.count(len(warnings), "warning") if warnings else "",
        f"{text.count(len(report.of_kind('notice')), 'check')} below the gate not judged" if report.of_kind("notice") else "",
        f"{text.count(report.document['summary']['waived'], 'result')} waived" if report.document["summary"]["waived"] else "",
    ]
    tail = ["Also " + ", ".join(filter(None, also))] if any(also) else []
    room -= len(tail)

    # Every section gets some lines, what is left over goes to the first ones; blank lines only where there is room.
    wanted = [sum(map(len, entries)) for _title, entries in sections]
    given = [min(needed, least) for needed, least in zip(wanted, (5, 2, 2, 2, 2, 2, 2))]
    while sum(given) + len(sections) + 1 > room and max(given, default=0) > 1:
        given[given.index(max(given))] -= 1
    left = room - 1 - len(sections) - sum(given)
    for index, needed in enumerate(wanted):
        extra = max(0, min(left, needed - given[index]))
        given[index] += extra
        left -= extra
    lines: list[str] = []
    for index, (title, entries) in enumerate(sections):
        if index == 0 or left >= len(sections) - 1:
            lines.append("")
        lines += [title, *_fit(entries, given[index])]
    if tail and left > len(sections) - 1:
        lines.append("")
    return lines + tail


def _fit(entries: list[list[str]], room: int) -> list[str]:
    """As many entries as there is room for, and how many there are beside them."""
    lines: list[str] = []
    for number, entry in enumerate(entries):
        rest = len(entries) - number - 1
        if len(lines) + len(entry) + (1 if rest else 0) > room:
            # Rather the first line of an entry than none of it.
            if len(entry) > 1 and len(lines) + 1 + (1 if rest else 0) <= room:
                lines.append(entry[0])
                number += 1
            if number < len(entries):
                lines.append(f"  … {len(entries) - number:,} more in the report")
            break
        lines += entry
    return lines


def _mended(mended: remediation.View) -> list[list[str]]:
    """What became of the findings, what needs a look first; where one is still there, the second line says why."""
    entries = []
    for outcome in ("not_fixed", "new", "fixed", "predicted", "left"):
        word = text.OUTCOME_WORDS[outcome].lower()
        for line in mended.of(outcome):
            by = f"  by {line.role}" if line.role and outcome in ("fixed", "predicted") else ""
            hosts = text.names([_name(host) for host in line.hosts], 4)
            why = f": {line.why}" if outcome == "left" else ""
            entry = [_row(f"{word:<{14 if mended.check else 9}}", line.check, hosts + by + why)]
            if outcome in ("not_fixed", "new"):
                entry.append("            " + _cut(text.line(line.why), COLUMNS - 12))
            entries.append(entry)
    return entries


def _finding(finding: model.Finding, paint: Colour) -> list[str]:
    severity = f"{finding.severity:<9}"
    label = _row(severity, finding.check, text.names([_name(host) for host in finding.hosts], 4))
    reason = finding.variants[0].reason
    more = f" (and {text.count(len(finding.variants) - 1, 'more reason')})" if len(finding.variants) > 1 else ""
    second = "            " + _cut(text.line(reason), COLUMNS - 12 - len(more)) + more
    return ["  " + paint(severity, finding.severity) + label[2 + len(severity):], second]


def _why(view: explanation.View) -> list[str]:
    share = view.ranked[0].get("share")
    part = f"{share:.0%} of a request: " if share is not None else ""
    return [_row("", f"{_cut(text.line(view.service), 30)} on {_name(view.host)}", part + view.said)]


def _service(view: runtime.View) -> list[str]:
    return [_row("", f"{_cut(text.line(str(view.endpoint['subject'])), 30)} on {_name(view.host)}", view.said)]


def _row(severity: str, subject: str, words: str) -> str:
    return _cut(f"  {severity}{' ' if severity else ''}{text.line(subject)}  {text.line(words)}", COLUMNS)


def _name(host: str) -> str:
    return _cut(text.line(host), 30)


def _width(words: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in words
    )


def _cut(words: str, columns: int) -> str:
    """``words`` cut to so many columns of a terminal (a CJK character takes two)."""
    if _width(words) <= columns:
        return words
    words = words[:columns]
    while _width(words) > columns - 1:
        words = words[:-1]
    return words.rstrip() + "…"


def _wrap(words: str, columns: int, indent: str) -> list[str]:
    return [_cut(line, columns) for line in textwrap.wrap(words, columns, subsequent_indent=indent)] or [""]
