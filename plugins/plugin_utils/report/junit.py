# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""junit.xml for a CI server: one test suite a host, one test case a result.

What makes a job red is what the gate says: a failure is an unwaived ``fail`` at or above the gate, an error an unwaived
``error`` or ``unknown`` at or above it (or a host without a result). A finding below the gate is a passed case that says
so in its output; waived, not applicable and not selected results are skipped with their reason.

A remediation run makes no case of its own: the cases are the newest verification's, and what became of a finding is told
in the output of its case, and in numbers as properties of the suite.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from ansible_collections.goready.preflight.plugins.plugin_utils.report import model, remediation, text


def render(report: model.Report) -> Iterator[str]:
    """The text of junit.xml, a test suite at a time."""
    suites = [_suite(host, row) for host, row in zip(report.document["hosts"], report.hosts)]
    totals = [sum(counts[index] for counts, _xml in suites) for index in range(4)]
    seconds = 0.0 if report.seconds is None else report.seconds
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<testsuites name="goready.preflight" {_counts(totals)} time="{seconds:.3f}">\n'
    for _numbers, xml in suites:
        yield xml
    yield "</testsuites>\n"


def _counts(numbers: list[int]) -> str:
    return 'tests="{}" failures="{}" errors="{}" skipped="{}"'.format(*numbers)


def _suite(host: Mapping[str, Any], row: model.HostRow) -> tuple[list[int], str]:
    name = host["name"]
    numbers = [len(host["results"]), 0, 0, 0]
    cases = []
    if row.error:
        numbers[0] += 1
        numbers[2] += 1
        cases.append(_case(name, "verification", _element("error", row.error, row.error, "noresult")))
    items = {item["fingerprint"]: item for item in host.get("remediation") or ()}
    for result in host["results"]:
        body = _body(result, host, row, items.get(result.get("fingerprint") or ""))
        for index, tag in enumerate(("failure", "error", "skipped"), 1):
            numbers[index] += body.startswith(f"<{tag}")
        title = f"{result['id']} [{result['subject']}]" if result.get("subject") else result["id"]
        cases.append(_case(f"{name}.{result['id'].split('.', 1)[0]}", title, body))
    started = text.parse_time(host.get("started"))
    # The format's own schema knows no zone: UTC, without saying so.
    stamp = f' timestamp="{started:%Y-%m-%dT%H:%M:%S}"' if started else ""
    head = f'<testsuite name={_attribute(name)} {_counts(numbers)} time="{(row.duration_ms or 0) / 1000:.3f}"{stamp}>\n'
    checks = {result["id"] for result in host["results"]}
    left = {result["id"] for result in host["results"] if result["status"] == "notselected"}
    head += (f'<properties><property name="verdict" value={_attribute(row.verdict)}/>'
             f'<property name="checks_not_selected" value="{len(left)} of {len(checks)}"/>{_mended(host)}</properties>\n')
    return numbers, head + "".join(cases) + "</testsuite>\n"


def _mended(host: Mapping[str, Any]) -> str:
    """How many findings of this host had which outcome, where this was a remediation."""
    if "remediation" not in host:
        return ""
    counts = Counter(item["outcome"] for item in host["remediation"])
    return "".join(f'<property name="remediation_{outcome}" value="{counts[outcome]}"/>' for outcome in remediation.OUTCOMES)


def _case(classname: str, name: str, body: str) -> str:
    return f"<testcase classname={_attribute(classname)} name={_attribute(name)}{'>' + body + '</testcase>' if body else '/>'}\n"


def _body(result: Mapping[str, Any], host: Mapping[str, Any], row: model.HostRow, item: Mapping[str, Any] | None) -> str:
    status, reason = result["status"], result.get("reason") or ""
    became = _became(item) if item else ""
    if status == "pass":
        return f"<system-out>{_content(became)}</system-out>" if became else ""
    if status not in model.OPEN:
        return _element("skipped", f"{text.STATUS_WORDS[status]}: {reason}", became)
    kind = row.kind_of(result)
    if kind == "waived":
        note = next((item for item in reversed(result.get("evidence") or ()) if str(item).startswith("waived ")), "waived")
        return _element("skipped", f"{note}; {reason}")
    details = _details(result) + (f"\n{became}" if became else "")
    if kind == "blocker":
        return _element("failure", reason, details, result["severity"])
    if kind == "unclear":
        return _element("error", reason, details, status)
    said = f"{status} below the gate ({result['severity']}): {details}"
    return f"<system-out>{_content(said)}</system-out>"


def _became(item: Mapping[str, Any]) -> str:
    """What became of a finding: ``fixed by service_limits: it ran with 1024 open files``."""
    by = f" by {item['role']}" if item["role"] and item["outcome"] in ("fixed", "predicted") else ""
    said = item["reason"] if item["outcome"] in ("fixed", "predicted") else item["why"]
    return f"{text.OUTCOME_WORDS[item['outcome']].lower()}{by}: {said}"


def _details(result: Mapping[str, Any]) -> str:
    lines = [result.get("reason") or ""]
    for label, key in (("found", "actual"), ("wanted", "expected")):
        if result.get(key) is not None:
            lines.append(f"{label}: {text.clip(text.plain(result[key]), 500)}")
    lines += [f"evidence: {text.clip(str(item), 500)}" for item in (result.get("evidence") or ())[:20]]
    remediation = result.get("remediation") or {}
    lines += [f"{key}: {remediation[key]}" for key in ("hint", "command", "role", "mend") if remediation.get(key)]
    return "\n".join(lines)


def _element(tag: str, message: str, content: str = "", kind: str = "") -> str:
    attributes = f" message={_attribute(message)}" + (f" type={_attribute(kind)}" if kind else "")
    return f"<{tag}{attributes}>{_content(content)}</{tag}>" if content else f"<{tag}{attributes}/>"


def _attribute(value: str) -> str:
    return quoteattr(text.line(value))


def _content(value: str) -> str:
    return escape(text.visible(value))
