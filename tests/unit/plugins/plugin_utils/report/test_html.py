# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.plugin_utils.report import html, model
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet
from hypothesis import given, settings
from hypothesis import strategies as st

VOID = {"meta", "link", "input", "br"}
EVIL = "</script><script>alert(1)</script><!-- \u2028\u2029 & \"'` \x00\x1b ${x} {{ 7*7 }}"


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails where an element is not closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.text: list[str] = []
        self.feed(source)
        self.close()
        assert self.inside == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.inside.append(tag)
            if tag in self.raw:
                self.raw[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] in self.raw:
            self.raw[self.inside[-1]][-1] += data
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def build(hosts: list[dict[str, Any]], baseline: model.Baseline | None = None) -> model.Report:
    return model.build(fleet.run(one["name"] for one in hosts), hosts, fleet.CATALOGUE, baseline)


def page(report: model.Report) -> Page:
    return Page("".join(html.render(report)))


@pytest.fixture(scope="module")
def report() -> model.Report:
    return build(fleet.documents(), model.Baseline("before", "2026-11-14T06:30:00+00:00", {"old1": {}}))


@pytest.fixture(scope="module")
def shown(report: model.Report) -> Page:
    return page(report)


def test_without_a_script_it_says_what_matters(shown: Page) -> None:
    for words in (
        "Not ready", "3 findings block 4 of 12 hosts; 1 host gave no result; 2 checks could not be judged on 1 host.",
        "1 of 30 checks was not selected on 1 of 11 hosts.", "Not ready edge2 edge1 web4 web3", "No result pay2", "Results329",
        "--limit web3,web4,edge2 -e preflight_remediate=limits.nofile_effective", "limits.nofile_effective",
        "api runs with 1024 open files; its unit asks for 65536.", "sudo systemctl restart api.service", "web3", "web4", "edge2",
        "/proc/812/limits: Max open files 1024 1024 files", "The limits of pay (pid 901) could not be read: permission denied.",
        "unreachable: ssh: connect to host 10.20.0.52 port 22: Connection timed out", "setrlimit(2)", "M. Weber (release)",
        "in 3 days", "7 days ago", "Since the baseline: 16 new", "Not in this run: old1", "high and above",
        "ansible-core 2.19.14",
        "2026-11-21 06:30 UTC", "20261121T063000Z-7f3a9c",
    ):
        assert words in shown.words, words


def test_it_asks_nobody_for_anything(shown: Page) -> None:
    for tag, attributes in shown.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, attributes)
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
    assert not re.search(r"url\(|@import", shown.raw["style"][0])
    unwanted = r"fetch\(|XMLHttpRequest|import\(|innerHTML|insertAdjacentHTML|document\.write|eval\("
    assert not re.search(unwanted, shown.raw["script"][1])


def test_policy_allows_this_style_and_this_script_alone(shown: Page) -> None:
    policy = next(one["content"] for tag, one in shown.elements if tag == "meta" and one.get("http-equiv"))
    hashes = {kind: "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
              for kind, code in (("style", shown.raw["style"][0]), ("script", shown.raw["script"][1]))}
    assert policy == (f"default-src 'none'; script-src '{hashes['script']}'; style-src '{hashes['style']}'; img-src data:; "
                      "base-uri 'none'; form-action 'none'")


def test_links_lead_somewhere(shown: Page) -> None:
    ids = [one["id"] for _tag, one in shown.elements if one.get("id")]
    assert len(ids) == len(set(ids))
    for tag, attributes in shown.elements:
        target = attributes.get("href")
        if tag in ("a", "use") and target:
            assert target[1:] in ids, target
        for reference in ("aria-labelledby", "list"):
            assert attributes.get(reference) is None or attributes[reference] in ids


def test_landmarks_and_names(shown: Page) -> None:
    tags = [tag for tag, _attributes in shown.elements]
    assert [tags.count(tag) for tag in ("html", "main", "header", "footer", "nav", "h1")] == [1, 1, 1, 1, 1, 1]
    assert dict(shown.elements)["html"]["lang"] == "en"
    for tag, attributes in shown.elements:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")
    assert any(attributes.get("aria-live") == "polite" for _tag, attributes in shown.elements)


def data(shown: Page) -> dict[str, Any]:
    return dict(json.loads(shown.raw["script"][0]))


def test_embedded_data_is_every_result(shown: Page, report: model.Report) -> None:
    embedded = data(shown)
    strings, checks = embedded["strings"], embedded["checks"]
    told = [
        (host["name"], checks[one[0]]["id"], strings[one[1]], embedded["statuses"][one[2]], embedded["severities"][one[3]],
         strings[one[5]])
        for host in embedded["hosts"] for one in host["results"]]
    assert told == [
        (host["name"], one["id"], one["subject"], one["status"], one["severity"], one["reason"])
        for host in report.document["hosts"] for one in host["results"]]


def test_keys_of_cards_are_those_the_script_makes(shown: Page) -> None:
    embedded = data(shown)
    kinds, statuses, severities = embedded["kinds"], embedded["statuses"], embedded["severities"]
    made = {":".join((embedded["checks"][one[0]]["id"], statuses[one[2]], severities[one[3]], kinds[one[4]]))
            for host in embedded["hosts"] for one in host["results"] if one[4] >= 0}
    assert {attributes["data-key"] for _tag, attributes in shown.elements if "data-key" in attributes} == made


def test_text_of_hosts_is_text() -> None:
    waiver = dict.fromkeys(("check", "subject", "justification", "approver"), EVIL) | {
        "hosts": [EVIL], "expires": EVIL, "state": "active", "results": 1}
    one = fleet.result("limits.nofile_effective", "fail", EVIL, subject=EVIL, actual=EVIL, expected={EVIL: EVIL},
                       evidence=(EVIL,),
                       remediation=engine.Remediation(hint=EVIL, command=EVIL, role=EVIL)).as_dict()
    host = {"format": 1, "name": EVIL, "reachable": True, "verdict": "not_ready", "results": [one], "waivers": [waiver],
            "platform": dict.fromkeys(("os", "version", "arch", "goarch", "kernel"), EVIL), "duration_ms": 1,
            "services": [{"name": EVIL, "unit": EVIL, "state": EVIL, "go_version": EVIL, "revision": EVIL, "listeners": [EVIL],
                          "container": {"runtime": EVIL, "id": EVIL}}],
            "checks": {"limits.nofile_effective": {"title": EVIL, "family": EVIL, "severity": "high", "why": EVIL, "tags": [],
                                                   "remediation": {}}}}
    report = model.build({**fleet.run([EVIL]), "profile": EVIL, "id": EVIL}, [host, model.silent_host(EVIL + "2", EVIL)], {},
                         model.Baseline(EVIL, EVIL, {EVIL + "3": {}}))
    source = "".join(html.render(report))
    shown = Page(source)
    assert [tag for tag, _attributes in shown.elements].count("script") == 2
    assert "\x00" not in source and "\x1b" not in source and "\u2028" not in source
    assert not re.search("[<>&\u2028\u2029]", shown.raw["script"][0])
    clean = EVIL.replace("\x00", "␀").replace("\x1b", "␛").replace("\u2028", "\ufffd").replace("\u2029", "\ufffd")
    assert data(shown)["hosts"][0]["name"] == clean
    assert clean in "".join(shown.text)
    assert "49" not in shown.words.replace("20", "")  # {{ 7*7 }} was not evaluated


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_any_text_gives_a_page(anything: str) -> None:
    one = fleet.result("limits.nofile_effective", "fail", anything, subject=anything, actual=anything, evidence=(anything,))
    host = {"format": 1, "name": anything, "reachable": True, "verdict": "not_ready", "results": [one.as_dict()]}
    shown = page(build([host]))
    assert [tag for tag, _attributes in shown.elements].count("script") == 2
    data(shown)


def crowd(hosts: int, evidence: int = 1) -> list[dict[str, Any]]:
    results = [
        fleet.result("limits.nofile_effective", "fail", "The same everywhere.", subject="api").as_dict(),
        fleet.result("pprof.bind", "fail", "?", subject="api").as_dict(),
        fleet.result("host.time_sync", "pass", "?").as_dict(),
    ]
    return [{
        "format": 1, "name": f"web{number}", "reachable": True, "verdict": "not_ready",
        "results": [{**one, "reason": one["reason"].replace("?", f"reason {number}"),
                     "evidence": [f"line {number} {line}" for line in range(evidence)]} for one in results],
    } for number in range(hosts)]


def test_many_hosts_and_reasons_are_counted_not_listed() -> None:
    shown = page(build(crowd(200)))
    assert "and 176 more" in shown.words  # of 200 hosts, 24 are named
    assert "and 196 more reasons, which report.json holds" in shown.words
    assert len(data(shown)["hosts"]) == 200


def test_passes_are_no_elements() -> None:
    def elements(copies: int) -> int:
        hosts = [{**host, "results": host["results"][:2] + host["results"][2:] * copies} for host in crowd(20)]
        return len(page(build(hosts)).elements)

    assert elements(50) == elements(1)


@pytest.mark.parametrize(("level", "omitted", "kept"), [
    (0, "", [True, True, True]),
    (1, "evidence and values of results that are no findings", [True, True, False]),
    (2, "reasons, evidence and values of results that are no findings", [True, False, False]),
    (3, "reasons of results that are no findings, and the evidence and values of findings", [False, False, False]),
])
def test_what_is_left_out_of_a_large_fleet(monkeypatch: pytest.MonkeyPatch, level: int, omitted: str, kept: list[bool]) -> None:
    report = build(crowd(100, evidence=3))
    sizes = [len(html._Payload(report, step).encode()) for step in range(4)]
    assert sizes == sorted(set(sizes), reverse=True)
    monkeypatch.setattr(html, "DATA_LIMIT", sizes[level])
    text, said = html.payload(report)
    assert said == omitted
    embedded = json.loads(text)
    finding, passed = embedded["hosts"][7]["results"][1:]
    assert embedded["strings"][finding[5]] == "reason 7"
    assert [bool(finding[8]), len(passed) > 5, len(passed) > 6] == kept
    assert ("This fleet is large" in "".join(html.render(report))) == bool(omitted)


@pytest.mark.parametrize(("verdict", "results", "headline"), [
    ("ready", [], "No open finding on the host."),
    ("ready_with_warnings", [fleet.result("host.time_sync", "fail", "It drifts.")], "Nothing blocks; 1 warning on the host."),
    ("inconclusive", [fleet.result("limits.nofile_effective", "unknown", "Not readable.")],
     "1 check could not be judged on the host."),
])
def test_other_verdicts(verdict: str, results: list[engine.Result], headline: str) -> None:
    host = {"format": 1, "name": "a", "reachable": True, "verdict": verdict, "results": [one.as_dict() for one in results]}
    shown = page(build([host]))
    assert headline in shown.words
    opened = [attributes["data-key"] for tag, attributes in shown.elements if tag == "details" and "open" in attributes]
    assert opened == (["limits.nofile_effective:unknown:critical:unclear"] if verdict == "inconclusive" else [])


def test_many_hosts_that_are_not_ready_are_counted_not_listed() -> None:
    words = page(build(crowd(200))).words
    assert "Not ready web0 web1 web2 web3 web4 web5 web6 web7 and 192 more" in words


def test_the_panel_of_one_host_counts_findings_as_its_headline_does() -> None:
    one = fleet.result("limits.nofile_effective", "fail", "It fails.")
    results = [{**one.as_dict(), "subject": subject} for subject in "abc"]
    host = {"format": 1, "name": "a", "reachable": True, "verdict": "not_ready", "results": results}
    words = page(build([host])).words
    assert "1 finding blocks the host." in words and "1 blocking" in words and "3 blocking" not in words


def test_no_host_gives_a_page() -> None:
    assert "There was no host to verify." in page(build([])).words


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2)."""
    def luminance(colour: str) -> float:
        parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark by system", "dark by choice"])
def test_contrast_of_text_is_aa(scheme: int) -> None:
    style = (html._TEMPLATES / "report.css").read_text("utf-8")
    block = re.findall(r":root[^{}]*\{([^{}]*--page[^{}]*)\}", style)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for ink in ("text", "quiet", "link", "red", "violet", "amber", "green"):
        for ground in ("page", "card", "sunk"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for name in ("red", "violet", "amber", "green"):
        assert contrast(colours[name], colours[f"{name}-tint"]) >= 4.5
        assert contrast(colours["text"], colours[f"{name}-tint"]) >= 4.5
    assert contrast(colours["on"], colours["red"]) >= 4.5
