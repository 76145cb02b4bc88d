# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a request would time out, in every form of the report."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils.report import explanation, html, json_report, markdown, model, terminal
from ansible_collections.goready.preflight.tests.unit.fixtures.report import explained, fleet
from ansible_collections.goready.preflight.tests.unit.plugins.plugin_utils.report.test_html import Page
from ansible_collections.goready.preflight.tests.unit.plugins.plugin_utils.report.test_schema import SCHEMA, errors, strict

EVIL = "</script><script>alert(1)</script><b onmouseover=alert(1)>\x1b[31m {{ 7*7 }}"


def build(hosts: list[dict[str, Any]]) -> model.Report:
    return model.build(fleet.run(one["name"] for one in hosts), hosts, fleet.CATALOGUE, None)


def words_of(report: model.Report) -> str:
    return " ".join(" ".join(Page("".join(html.render(report))).text).split())


def test_the_failing_come_before_the_waiting_and_both_before_the_rest() -> None:
    views = build(explained.documents()).why.views
    assert [(view.service, view.state, view.said) for view in views] == [
        ("edge", "blocker", "edge has 1,024 of 1,024 files open: it can accept no connection."),
        ("api", "warning", "4 transactions of orders are left open, the oldest for 310 s, and hold locks that others wait for."),
        ("dark", "notice", "Nothing was found that a request would wait for; little could be measured."),
        ("quiet", "pass", "Nothing was found that a request would wait for."),
    ]
    assert [view.counts for view in views] == ["", "1 cause excluded by measurement, 1 not measured", "1 not measured",
                                               "1 cause excluded by measurement"]


def test_every_cause_has_words() -> None:
    """As what a symptom follows from."""
    folder = Path(explanation.__file__).parents[1] / "causes"
    source = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in ("inside", "outside"))
    named = set(re.findall(r'(?:Candidate\(\s*|from_result\(\w+, |_by_profile\(\s*view, )"(\w+)"', source))
    assert len(named) > 25 and sorted(named - set(explanation.CAUSES)) == []


def test_what_was_not_explained_has_no_part() -> None:
    report = build(fleet.documents())
    assert report.why == explanation.Overview()
    page = "".join(html.render(report))
    assert "Why would a request time out here?" not in page and 'href="#why"' not in page
    assert "Why would a request" not in terminal.render(report, {}) + "".join(markdown.render(report))


def test_report_json_fits_its_schema() -> None:
    document = json.loads("".join(json_report.render(build(explained.documents()))))
    assert errors(strict(SCHEMA), document) == []
    assert document["hosts"][0]["services"][1]["explanation"] == explained.WAITING


def test_the_page_has_the_cause_its_share_the_first_step_and_what_was_excluded() -> None:
    text = words_of(build(explained.documents()))
    for words in ("Why would a request time out here? 2 services", "62 %", "410 ms",
                  "Likely follows from transactions left open in the database.",
                  "First End them: SELECT pg_terminate_backend(812);",
                  "Name resolution of pay.example.org takes 1.2 ms of a request of 660 ms.",
                  "A request took 660 ms in the mean of 1,520 requests", "main.(*shop).order (order.go:41)",
                  "Its health URL took 120 ms; what other requests took is not known.",
                  "CPU quota: no throttling in 5 s", "nothing on this host tracks connections"):
        assert words in text
    assert text.index("Why would a request time out here?") < text.index("What blocks")


def test_where_nothing_is_wrong_the_findings_come_first() -> None:
    hosts = explained.documents()[:1]
    hosts[0]["services"] = hosts[0]["services"][:1]
    text = words_of(build(hosts))
    assert text.index("What blocks") < text.index("Why would a request time out here?")


def test_nothing_of_a_host_becomes_markup() -> None:
    hosts = explained.documents()
    for host in hosts:
        for service in host["services"]:
            service["explanation"] = json.loads(json.dumps(service["explanation"]).replace("pay.example.org", json.dumps(EVIL)[1:-1])
                                                .replace("order.go", json.dumps(EVIL)[1:-1]).replace("812", json.dumps(EVIL)[1:-1]))
    page = "".join(html.render(build(hosts)))
    assert "<b onmouseover" not in page and "alert(1)</script>" not in page.replace("&lt;/script&gt;", "") and "\x1b" not in page


def test_terminal_and_markdown_name_the_first_cause() -> None:
    report = build(explained.documents())
    assert "  edge on" in terminal.render(report, {}) and "it can accept no connection" in terminal.render(report, {})
    page = "".join(markdown.render(report))
    assert "### Why would a request time out here?" in page and "First: Raise LimitNOFILE to 65536 and restart it." in page


def test_of_many_services_the_worst_are_shown() -> None:
    hosts = explained.documents()[:1]
    hosts[0]["services"] = [explained.service(f"s{number}", explained.HEALTHY) for number in range(60)] + [
        explained.service("last", explained.WAITING)]
    why = build(hosts).why
    assert (len(why.views), why.more, why.views[0].service) == (explanation.LIMIT, 11, "last")
    assert "and 11 more services, which report.json holds" in "".join(html.render(build(hosts)))
