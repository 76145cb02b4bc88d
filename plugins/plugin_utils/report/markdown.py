# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.md for the description or a comment of a merge request: verdict, blockers, the rest folded away.

A comment has a size limit (GitHub 65,536 characters), so the parts are written in the order of their worth until
``LIMIT`` bytes are used, and what is left out is counted. Text from hosts is escaped: it can start no markup, close no
table cell, mention nobody and refer to no issue.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils.report import explanation, model, remediation, runtime, text

LIMIT = 56_000

_ICONS = {"ready": "✅", "ready_with_warnings": "⚠️", "inconclusive": "❔", "not_ready": "❌"}
_MODES = {"check": ", check mode", "remediate": ", remediation", "remediate-check": ", remediation in check mode"}
_OUTCOME_ICONS = {"fixed": "✅", "predicted": "☑️", "not_fixed": "❌", "new": "🆕", "left": "➖"}
_MARKUP = re.compile(r"([\\`*_\[\]|~^$])")
# An @name, #1 or !1 becomes a mention or a reference even where it is escaped; a zero-width space ends that.
_REFERENCE = re.compile(r"(?<![A-Za-z0-9/])([@#!&%])(?=[A-Za-z0-9_])|(?<=\w)@(?=\w)")
_FENCE = re.compile(r"`{3,}")
_START = re.compile(r"^(\s*)([-+=#]|\d+(?=[.)]))")


def render(report: model.Report) -> Iterator[str]:
    """The text of report.md, ``LIMIT`` bytes at most."""
    left = LIMIT
    for part in _parts(report):
        piece = part if isinstance(part, str) else _fit(part, left)
        size = len(piece.encode())
        if size > left:
            continue
        left -= size
        yield piece


class _Rows:
    """A part that may be cut between its rows: what is before them, the rows, what is behind them."""

    def __init__(self, head: str, rows: Iterable[str], tail: str, noun: str) -> None:
        self.head, self.rows, self.tail, self.noun = head, list(rows), tail, noun


def _fit(part: _Rows, room: int) -> str:
    """As many rows as there is room for, and a line that counts the others."""
    room -= len((part.head + part.tail).encode()) + 80
    kept = []
    for row in part.rows:
        room -= len(row.encode())
        if room < 0:
            break
        kept.append(row)
    if not kept:
        return ""
    missing = len(part.rows) - len(kept)
    note = f"\n… and {text.count(missing, part.noun)} more: see the full report.\n" if missing else ""
    return part.head + "".join(kept) + note + part.tail


def _parts(report: model.Report) -> Iterator[str | _Rows]:
    document = report.document
    run = document["run"]
    yield f"## {_ICONS[report.verdict]} {text.VERDICT_WORDS[report.verdict]}\n\n{_paragraph(report.said)}\n\n"
    yield _facts(report)
    if document["delta"]:
        delta = document["delta"]
        yield (f"Since {_code(str(delta['baseline_run_id']))}: **{len(delta['new'])} new**, {len(delta['fixed'])} fixed, "
               f"{len(delta['unchanged'])} unchanged"
               + (f", {len(delta['unverified'])} not verified again" if delta["unverified"] else "") + ".\n\n")
    if report.mended:
        yield from _mended(report.mended)
    blockers = report.of_kind("blocker")
    if blockers:
        yield _Rows("### What blocks\n\n" + _TABLE, map(_row, blockers), "\n", "blocking finding")
    if report.silent:
        yield _Rows(
            "### Hosts without a result\n\n| Host | Why |\n| --- | --- |\n",
            (f"| {_cell_code(row.name)} | {_cell(row.error)} |\n" for row in report.silent), "\n", "host")
    unclear = report.of_kind("unclear")
    if unclear:
        yield _Rows("### What could not be judged\n\n" + _TABLE, map(_row, unclear), "\n", "check")
    if report.why.troubled:
        yield _Rows("### Why would a request time out here?\n\n", map(_why, report.why.troubled), "\n", "service")
    if report.inside.findings:
        yield _Rows("### Inside the services\n\n", map(_service, report.inside.findings), "\n", "service")
    if report.verdict in ("not_ready", "inconclusive"):
        yield "### What to do next\n\n" + "".join(
            f"{number}. {escaped(' '.join(filter(None, (step.do, step.how))))}{' ' + _muted(step.where) if step.where else ''}\n"
            + (f"   {_code(step.command, 2000)}{' ' + escaped(step.note) if step.note else ''}\n" if step.command else "")
            for number, step in enumerate(report.steps, 1)) + "\n"
    if blockers:
        yield _Rows(_open("How to mend what blocks"), map(_mending, blockers), "</details>\n\n", "finding")
    for title, kinds in (("Warnings", ("warning",)), ("Not judged, below the gate", ("notice",)), ("Waived", ("waived",))):
        findings = report.of_kind(*kinds)
        if findings:
            yield _Rows(_open(f"{title} ({len(findings)})") + _TABLE, map(_row, findings), "\n</details>\n\n", "finding")
    if document["waivers"]:
        yield _Rows(
            _open(f"Waivers ({len(document['waivers'])})")
            + "| Check | Hosts | Expires | State | By | Why |\n| --- | --- | --- | --- | --- | --- |\n",
            map(_waiver, document["waivers"]), "\n</details>\n\n", "waiver")
    yield _Rows(
        _open(f"Hosts ({len(report.hosts)})")
        + "| Host | Verdict | Blocking | Not judged | Warnings | Waived | Passed |\n"
        + "| --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
        map(_host, report.hosts), "\n</details>\n\n", "host")
    yield (f"<sub>goready.preflight {escaped(str(run['collection_version']))} · ansible-core "
           f"{escaped(str(run['ansible_version']))} · run {_code(str(run['id']))}</sub>\n")


def _service(view: runtime.View) -> str:
    icon = "❌" if view.state == "blocker" else "⚠️"
    return f"- {icon} {_code(str(view.endpoint['subject']))} on {_code(view.host)}: {_cell(view.said)}\n"


def _why(view: explanation.View) -> str:
    first = view.ranked[0]
    share = f" ({first['share']:.0%} of a request's time)" if first.get("share") is not None else ""
    step = f"<br>First: {_cell(str(first['first_step']))}" if first.get("first_step") else ""
    icon = "❌" if view.state == "blocker" else "⚠️"
    return f"- {icon} {_code(view.service)} on {_code(view.host)}: {_cell(view.said)}{share}{step}\n"


def _mended(mended: remediation.View) -> Iterator[str | _Rows]:
    """What a remediation run did, and what is still to be done."""
    if mended.stopped:
        host = f" at {_code(mended.stopped['host'])}" if mended.stopped["host"] else ""
        yield f"**The run stopped{host}:** {escaped(mended.stopped['reason'])}\n\n"
    for host, why in list(mended.unread.items())[:10]:
        yield f"**Of {_code(host)} nothing sure is known:** {_cell(why)}\n\n"
    if mended.lines:
        yield _Rows(f"### {mended.title}\n\n| Outcome | Severity | Finding | Hosts | Why |\n| --- | --- | --- | --- | --- |\n",
                    (_mended_row(line) for line in mended.lines), "\n", "line")
    commands = [line for line in mended.lines if line.command and line.outcome in ("not_fixed", "new", "left")]
    if commands:
        yield _Rows(_open("How to mend what was left"), map(_mended_command, commands), "</details>\n\n", "command")
    if mended.changed:
        title = "What would change" if mended.check else "What was changed"
        yield _Rows(_open(title), map(_changed, mended.changed), "</details>\n\n", "set of changes")


def _mended_row(line: remediation.Line) -> str:
    others = len(line.reasons) - 1
    more = f"<br>… and {text.count(others, 'more finding')}" if others else ""
    by = f"by {_cell_code(line.role)}" if line.outcome in ("fixed", "predicted") and line.role else ""
    return (f"| {_OUTCOME_ICONS[line.outcome]} {text.OUTCOME_WORDS[line.outcome].lower()} | {line.severity} | "
            f"{_cell_code(line.check)}<br>{_cell(line.reasons[0])}{more} | {_hosts(line.hosts)} | "
            f"{' '.join(filter(None, (by, _cell(line.why) if line.why else '')))} |\n")


def _mended_command(line: remediation.Line) -> str:
    where = text.names(line.only or line.hosts, 5)
    return f"{_code(line.check)} on {escaped(where)}:\n\n{_block(line.command.splitlines())}"


def _changed(one: remediation.Changed) -> str:
    lines = [f"{change['action']:<10} {change['path']}" + (f" ({change['detail']})" if change["detail"] else "")
             for change in one.changes]
    return f"{_hosts(one.hosts)}:\n\n{_block([text.line(line) for line in lines])}"


_TABLE = "| Severity | Check | What | Hosts |\n| --- | --- | --- | --- |\n"


def _facts(report: model.Report) -> str:
    run, hosts = report.document["run"], report.document["summary"]["hosts"]
    verdicts = ", ".join(f"{number} {text.VERDICT_WORDS[key].lower()}" for key, number in hosts.items() if number)
    took = f" in {text.duration(report.seconds)}" if report.seconds is not None else ""
    mode = _MODES.get(str(run["mode"]), "")
    return (f"{text.count(len(report.hosts), 'host')}{': ' + verdicts if len(report.hosts) > 1 else ''} · "
            f"profile {escaped(str(run['profile']))} · gate {escaped(str(run['gate']))}{mode} · "
            f"{escaped(text.moment(run['started']))}{took}\n\n")


def _row(finding: model.Finding) -> str:
    first, others = finding.variants[0], len(finding.variants) - 1
    more = f"<br>… and {text.count(others, 'more reason')}" if others else ""
    new = " 🆕" if finding.new else ""
    return f"| {finding.severity}{new} | {_cell_code(finding.check)} | {_cell(first.reason)}{more} | {_hosts(finding.hosts)} |\n"


def _hosts(hosts: Sequence[str]) -> str:
    shown = ", ".join(_cell_code(host) for host in hosts[:8])
    return shown + (f" and {len(hosts) - 8:,} more" if len(hosts) > 8 else "")


def _mending(finding: model.Finding) -> str:
    lines = [f"**{escaped(finding.title)}** ({_code(finding.check)})\n\n"]
    if finding.why:
        lines.append(f"Why: {escaped(text.clip(finding.why, 800))}\n\n")
    for variant in finding.variants[:3]:
        evidence = [text.line(str(item)) for item in (variant.example.get("evidence") or ())[:4]]
        if evidence:
            lines.append(f"Evidence from {_code(variant.hosts[0])}:\n\n{_block(evidence)}")
    if finding.fix:
        lines.append(f"A role mends it. {escaped(finding.fix.note)}".rstrip() + f"\n\n{_block([finding.fix.command])}")
    for mend in finding.mends[:3]:
        role = f" Role: {_code(mend.role)}." if mend.role else ""
        if mend.hint or role:
            lines.append(f"{_paragraph(mend.hint)}{role}\n\n")
        if mend.command:
            lines.append(_block(mend.command.splitlines()))
    return "".join(lines)


def _waiver(waiver: Mapping[str, Any]) -> str:
    state = str(waiver.get("state"))
    state = f"**{state}**" if state == "expired" else state
    what = _cell_code(str(waiver.get("check")))
    if waiver.get("subject") not in (None, "", "*"):
        what += " " + _cell_code(str(waiver["subject"]))
    hosts = waiver.get("hosts") or []
    hosts = [hosts] if isinstance(hosts, str) else [str(host) for host in hosts]
    return (f"| {what} | {_hosts(hosts)} | {_cell(text.day(waiver.get('expires')))} | {state} ({waiver.get('results', 0)}) | "
            f"{_cell(str(waiver.get('approver') or ''))} | {_cell(str(waiver.get('justification') or ''))} |\n")


def _host(row: model.HostRow) -> str:
    kinds = row.kinds
    return (f"| {_cell_code(row.name)} | {_ICONS[row.verdict]} {text.VERDICT_WORDS[row.verdict].lower()} | {kinds['blocker']} | "
            f"{kinds['unclear'] + kinds['notice']} | {kinds['warning']} | {kinds['waived']} | {row.passed} |\n")


def _open(title: str) -> str:
    return f"<details><summary>{title}</summary>\n\n"


def _muted(words: str) -> str:
    return f"— {escaped(words)}"


def escaped(words: str) -> str:
    """Text from anywhere as one line of Markdown that shows exactly that text."""
    words = _REFERENCE.sub(lambda found: found.group(0) + "\u200b", text.line(words))
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", words)


def _paragraph(words: str) -> str:
    """The same at the beginning of a line, where a dash, a number with a dot or a hash would begin something."""
    words = escaped(words)
    # A number at the start of a line would begin a list: "1." becomes "1\\.".
    return _START.sub(lambda found: f"{found[1]}{found[2]}\\" if found[2].isdigit() else f"{found[1]}\\{found[2]}", words)


def _cell(words: str) -> str:
    return escaped(text.clip(words, 300))


def _cell_code(words: str) -> str:
    """A code span in a table, which ends its cell at any pipe, also inside a code span; it undoes the escape itself."""
    return _code(words).replace("|", "\\|")


def _code(words: str, length: int = 120) -> str:
    words = text.clip(text.line(words).strip(), length) or " "
    ticks = "`" * (max((len(run) for run in re.findall(r"`+", words)), default=0) + 1)
    pad = " " if words[0] == "`" or words[-1] == "`" else ""
    return f"{ticks}{pad}{words}{pad}{ticks}"


def _block(lines: Sequence[str]) -> str:
    body = "\n".join(text.visible(text.clip(line, 1000)) for line in lines[:12])
    fence = "`" * max(3, *(len(run) + 1 for run in _FENCE.findall(body)), 3)
    return f"{fence}text\n{body}\n{fence}\n\n"
