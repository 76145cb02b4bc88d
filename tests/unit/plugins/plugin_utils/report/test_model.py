# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import AS_ROOT, Remediation, Result
from ansible_collections.goready.preflight.plugins.plugin_utils.report import html, json_report, model
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet


def host(name: str, *results: Result, verdict: str = "not_ready", **more: Any) -> dict[str, Any]:
    return {"format": 1, "name": name, "reachable": True, "verdict": verdict, "results": [one.as_dict() for one in results],
            **more}


def fail(subject: str = "api", reason: str = "It fails.", check: str = "limits.nofile_effective", **more: Any) -> Result:
    return fleet.result(check, "fail", reason, subject=subject, **more)


def build(*hosts: dict[str, Any], baseline: model.Baseline | None = None, **about: Any) -> model.Report:
    return model.build({**fleet.run(one["name"] for one in hosts), **about}, hosts, fleet.CATALOGUE, baseline)


@pytest.fixture(scope="module")
def report() -> model.Report:
    return model.build(fleet.run(), fleet.documents(), fleet.CATALOGUE)


def test_document_has_the_keys_of_the_contract(report: model.Report) -> None:
    assert list(report.document) == [
        "schema_version", "run", "verdict", "summary", "checks", "hosts", "waivers", "delta", "findings"]
    assert report.document["schema_version"] == "1.0"
    assert report.document["run"] == {
        "id": "20261121T063000Z-7f3a9c", "started": "2026-11-21T06:30:00+00:00", "ended": "2026-11-21T06:30:14.500000+00:00",
        "profile": "standard", "gate": "high", "mode": "verify", "collection_version": "0.1.0", "ansible_version": "2.19.14"}
    assert report.document["delta"] is None


def test_totals(report: model.Report) -> None:
    assert report.verdict == "not_ready"
    assert report.document["summary"] == {
        "hosts": {"not_ready": 4, "inconclusive": 2, "ready_with_warnings": 3, "ready": 3},
        "results": {"pass": 268, "fail": 13, "error": 1, "unknown": 2, "notapplicable": 45, "notselected": 1},
        "failed": {"critical": 7, "high": 0, "medium": 5, "low": 0, "info": 0},
        "waived": 1,
        "checks": {"total": 30, "notselected": 1},
    }
    assert sum(report.document["summary"]["results"].values()) == sum(len(one["results"]) for one in report.document["hosts"])


def test_same_failure_on_many_hosts_is_one_line(report: model.Report) -> None:
    first = report.findings[0]
    assert (first.check, first.kind, first.hosts, first.subjects, first.results) == (
        "limits.nofile_effective", "blocker", ("web3", "web4", "edge2"), ("api", "gateway"), 3)
    assert [(one.subject, one.reason, one.hosts) for one in first.variants] == [
        ("api", "api runs with 1024 open files; its unit asks for 65536.", ("web3", "web4")),
        ("gateway", "gateway runs with 4096 open files; its unit asks for 65536.", ("edge2",))]
    assert [mend.subjects for mend in first.mends] == [("api",), ("gateway",)]


def test_findings_are_sorted_by_kind_severity_and_hosts(report: model.Report) -> None:
    assert [(one.kind, one.severity, len(one.hosts), one.check) for one in report.findings] == [
        ("blocker", "critical", 3, "limits.nofile_effective"), ("blocker", "critical", 2, "pprof.bind"),
        ("blocker", "critical", 2, "pprof.reachable"), ("unclear", "critical", 1, "limits.nofile_effective"),
        ("unclear", "high", 1, "binary.replaced"), ("warning", "medium", 2, "binary.go_release"),
        ("warning", "medium", 2, "limits.memory_limit"), ("warning", "medium", 1, "host.time_sync"),
        ("notice", "medium", 1, "host.inodes"), ("waived", "high", 1, "binary.replaced")]


def test_host_rows(report: model.Report) -> None:
    rows = {row.name: row for row in report.hosts}
    assert report.families == ("host", "toolchain", "services", "limits", "binary", "pprof")
    assert rows["web1"].states == ("pass", "none", "pass", "pass", "pass", "pass")
    assert rows["edge2"].states == ("pass", "none", "pass", "blocker", "pass", "blocker")
    assert rows["pay1"].states == ("notice", "none", "pass", "unclear", "unclear", "pass")
    assert rows["cache1"].states[4] == "waived"
    assert rows["edge2"].platform == "Ubuntu 24.04 · arm64"
    assert dict(rows["edge2"].kinds) == {"blocker": 3, "unclear": 0, "warning": 0, "notice": 0, "waived": 0}
    assert [row.name for row in report.silent] == ["pay2"]
    assert rows["pay2"].states == ("none",) * 6


def test_a_host_judged_by_a_gate_of_its_own() -> None:
    warned = fleet.result("host.time_sync", "fail", "The clock is not synchronised.")
    report = build(host("strict", warned, gate="medium"), host("usual", warned, verdict="ready_with_warnings"))
    assert [(one.kind, one.hosts) for one in report.findings] == [("blocker", ("strict",)), ("warning", ("usual",))]


def test_waivers_of_all_hosts_are_one_line_each(report: model.Report) -> None:
    assert [(one["check"], one["state"], one["results"]) for one in report.document["waivers"]] == [
        ("binary.replaced", "active", 1), ("host.time_sync", "expired", 1), ("limits.gomaxprocs", "unused", 0)]


@pytest.mark.parametrize(("states", "expected"), [
    (("unused", "active"), "active"), (("active", "unused"), "active"), (("unused", "unused"), "unused"),
    (("expired", "unused"), "expired"), (("expired", "active"), "active"),
])
def test_state_of_a_merged_waiver(states: tuple[str, str], expected: str) -> None:
    waiver = {"check": "a.b", "hosts": ["*"], "subject": "*", "justification": "j", "approver": "a",
              "expires": "2027-01-01T00:00:00Z"}
    hosts = [host(f"h{number}", verdict="ready", waivers=[{**waiver, "state": state, "results": 2}])
             for number, state in enumerate(states)]
    assert build(*hosts).document["waivers"] == [{**waiver, "state": expected, "results": 4}]


def test_checks_used_keep_the_order_of_the_catalogue_and_know_foreign_ones() -> None:
    foreign = {"title": "The lamp is on", "family": "lamp", "severity": "low", "why": "w", "judged": "j", "profile": "quick",
               "tags": ["custom"], "remediation": {"hint": "", "command": "", "role": "", "safe": "manual"}}
    one = host("h", fail(), verdict="ready", checks={"lamp.on": foreign})
    one["results"] += [{**one["results"][0], "id": check, "severity": "low"} for check in ("lamp.on", "gone.check",
                                                                                           "host.inodes")]
    checks = build(one).document["checks"]
    assert list(checks) == ["host.inodes", "limits.nofile_effective", "gone.check", "lamp.on"]
    assert checks["lamp.on"] == foreign
    assert checks["gone.check"] == {
        "title": "gone.check", "family": "gone", "severity": "low", "why": "", "tags": [],
        "remediation": {"hint": "", "command": "", "role": "", "safe": "manual"}}


def test_building_changes_no_input() -> None:
    documents = fleet.documents()
    before = copy.deepcopy(documents)
    model.build(fleet.run(), documents, fleet.CATALOGUE)
    assert documents == before


WARNING = fleet.result("host.time_sync", "fail", "The clock drifts.")
UNKNOWN = fleet.result("binary.replaced", "unknown", "Not readable.", subject="api")
NOTICE = fleet.result("host.inodes", "unknown", "Not readable.")


@pytest.mark.parametrize(("hosts", "headline", "steps"), [
    pytest.param([host("a", verdict="ready")], "No open finding on the host.", ["Nothing has to be done."], id="one ready host"),
    pytest.param([host("a", verdict="ready"), host("b", verdict="ready")], "No open finding on any of 2 hosts.",
                 ["Nothing has to be done."], id="ready"),
    pytest.param([host("a", WARNING, verdict="ready_with_warnings"), host("b", verdict="ready")],
                 "Nothing blocks; 1 warning on 1 of 2 hosts.", ["Nothing has to be done before traffic."], id="warned"),
    pytest.param([host("a", NOTICE, verdict="ready_with_warnings")], "Nothing blocks; 1 check could not be judged on the host.",
                 ["Nothing has to be done before traffic."], id="not judged below the gate"),
    pytest.param([host("a", fail(check="pprof.bind"))], "1 finding blocks the host.",
                 ["Mend pprof.bind: It fails.", "Verify again."], id="one blocker, without a hint"),
    pytest.param([host("a", fail()), host("b", fail(), fail(check="pprof.bind"))], "2 findings block all 2 hosts.",
                 ["It fails.", "Mend pprof.bind: It fails.", "Verify again."], id="blockers"),
    pytest.param([host("a", UNKNOWN, verdict="inconclusive"), host("b", verdict="ready")],
                 "1 check could not be judged on 1 of 2 hosts.", ["Clear up 1 check that could not be judged.", "Verify again."],
                 id="not judged"),
    pytest.param([model.silent_host("a", "gone"), host("b", verdict="ready")], "1 host gave no result.",
                 ["Get a result from 1 host.", "Verify again."], id="silent"),
    pytest.param([], "There was no host to verify.", ["Nothing has to be done."], id="no host"),
])
def test_headline_and_steps(hosts: list[dict[str, Any]], headline: str, steps: list[str]) -> None:
    report = build(*hosts)
    assert report.headline == headline
    assert [step.do for step in report.steps] == steps


def closed(check: str, reason: str = "Not readable.", **more: Any) -> Result:
    """A check that an ordinary user could not judge."""
    return fleet.result(check, "unknown", reason, remediation=AS_ROOT, **more)


@pytest.mark.parametrize(("results", "steps"), [
    pytest.param([closed("pprof.bind"), closed("pprof.reachable")], [
        (AS_ROOT.hint, "a. 2 checks could not be judged. For instance: Not readable.")], id="all for one cause"),
    pytest.param([closed("pprof.bind"), UNKNOWN], [
        (AS_ROOT.hint, "a. 1 check could not be judged. Not readable."),
        ("Clear up 1 other check that could not be judged.", "a. Not readable.")], id="and one for another"),
    pytest.param([closed("binary.replaced", subject="api"), fleet.result("binary.replaced", "unknown", "Odd.", subject="web")], [
        (AS_ROOT.hint, "a. 1 check could not be judged. Not readable.")], id="one check for two causes"),
    pytest.param([fleet.result("pprof.bind", "unknown", "Silent.", remediation=Remediation(hint="Ask its owner.")),
                  closed("pprof.reachable"), closed("binary.replaced")], [
        (AS_ROOT.hint, "a. 2 checks could not be judged. For instance: Not readable."),
        ("Clear up 1 other check that could not be judged.", "a. Silent.")], id="the way that clears up most"),
])
def test_what_clears_up_checks_that_could_not_be_judged(results: list[Result], steps: list[tuple[str, str]]) -> None:
    report = build(host("a", *results, verdict="inconclusive"))
    assert [(step.do, step.where) for step in report.steps] == [*steps, ("Verify again.", "")]
    linked = [step.finding for step in report.steps[:-1]]
    assert len(set(linked)) == len(linked) and set(linked) <= {one.key for one in report.findings}


def test_no_host_is_inconclusive() -> None:
    assert build().verdict == "inconclusive"


@pytest.mark.parametrize(("hints", "advice"), [
    (("Restart api.",), "Restart api."), (("Restart api.", "Restart api."), "Restart api."),
    (("Restart api.", "Restart worker."), "Make the unit's limit take effect: restart the service, or raise what caps it."),
])
def test_advice_is_the_only_way_or_the_check_s_own(hints: tuple[str, ...], advice: str) -> None:
    results = [fail(f"service{number}", remediation=Remediation(hint=hint)) for number, hint in enumerate(hints)]
    finding, = build(host("a", *results)).findings
    assert finding.advice == advice
    assert [mend.hint for mend in finding.mends] == list(dict.fromkeys(hints))


def test_one_way_to_mend_is_one_step(report: model.Report) -> None:
    assert [(step.do, step.how, step.where, step.command) for step in report.steps[:2]] == [
        ("api runs with 1024 open files; its unit asks for 65536.", "", "api, gateway on web3, web4, edge2",
         "ansible-playbook remediate.yml --limit web3,web4,edge2 -e preflight_remediate=limits.nofile_effective "
         "-e preflight_consent=restart"),
        ("pprof of gateway listens on 0.0.0.0:6060; a loopback address is wanted.", "",
         "gateway tcp 0.0.0.0:6060 on edge1, edge2",
         "ansible-playbook remediate.yml --limit edge1,edge2 -e preflight_remediate=pprof.bind -e preflight_consent=firewall")]


@pytest.mark.parametrize(("subjects", "checks", "steps"), [
    (("api [::]:6060", "api [::]:6060"), ("pprof.bind", "pprof.reachable"), 1),
    (("api [::]:6060", "api [::]:6061"), ("pprof.bind", "pprof.reachable"), 2),
    (("api [::]:6060", "api [::]:6060"), ("pprof.bind", "services.active"), 2),
    (("api", "api"), ("services.present", "services.active"), 2),
    (("", ""), ("pprof.bind", "pprof.reachable"), 2),
])
def test_findings_about_one_listener_are_one_step(subjects: tuple[str, str], checks: tuple[str, str], steps: int) -> None:
    results = [fail(subject, check=check, remediation=Remediation(hint=f"Mend {check}."))
               for subject, check in zip(subjects, checks)]
    report = build(host("a", *results))
    assert [step.how for step in report.steps[:-1]] == [f"Mend {check}." for check in checks[:steps]]
    assert len(report.findings) == 2


def explained(*lines: tuple[str, str, str, str]) -> dict[str, Any]:
    """A service with an explanation: (cause, check, subject, cause behind it)."""
    ranked = [{"cause": cause, "check": check, "subject": subject, "share": None, "reason": f"It is {cause}.",
               "first_step": f"Mend {cause}", "behind": behind, "fails": False, "evidence": [], "cost_ms": None}
              for cause, check, subject, behind in lines]
    return {"name": "api", "explanation": {
        "ranked": ranked, "excluded": [], "measured": [], "unmeasured": [], "request": None, "profile": None}}


IDLE, POOL = ("database_idle", "services.active", "stock", ""), ("pool", "pprof.bind", "api orders", "database_idle")
FOLLOWS = "It follows from transactions left open in the database: mend that first."


@pytest.mark.parametrize(("results", "hosts", "steps"), [
    pytest.param([fail("api orders", check="pprof.bind")], 1,
                 [("It is database_idle.", "Mend database_idle.", "api on a"), ("It fails.", FOLLOWS, "api orders on a")],
                 id="only the symptom blocks"),
    pytest.param([fail("api orders", check="pprof.bind"), fail("api", check="pprof.expvar"),
                  fail("stock", check="services.active", severity="low")], 1,
                 [("It is database_idle.", "Mend database_idle.", "api on a"), ("Mend pprof.expvar: It fails.", "", "api on a"),
                  ("It fails.", FOLLOWS, "api orders on a")], id="a symptom comes last"),
    pytest.param([fail("api orders", check="pprof.bind"), fail("stock", check="services.active")], 1,
                 [("Mend services.active: It fails.", "", "stock on a"), ("It fails.", FOLLOWS, "api orders on a")],
                 id="both block"),
    pytest.param([fail("api orders", check="pprof.bind")], 2,
                 [("It is database_idle.", "Mend database_idle.", "api on a"), ("Mend pprof.bind: It fails.", "", "api orders on a, b")],
                 id="on another host it stands for itself"),
    pytest.param([fail("other", check="pprof.bind")], 1, [("Mend pprof.bind: It fails.", "", "other on a")], id="another service's"),
])
def test_the_cause_of_what_blocks_comes_before_it(results: list[Result], hosts: int, steps: list[tuple[str, str, str]]) -> None:
    report = build(host("a", *results, services=[explained(IDLE, POOL)]), *[host("b", *results) for _number in range(hosts - 1)])
    assert [(step.do, step.how, step.where) for step in report.steps[:-1]] == steps
    causes = [step.explained for step in report.steps]
    assert causes == [step.do == "It is database_idle." for step in report.steps]
    page = "".join(html.render(report))
    assert (page.count('<a href="#why">It is database_idle.</a>'), 'id="why"' in page) == (sum(causes), True)


def test_counts_of_a_host_are_findings_and_checks() -> None:
    passed = fleet.result("pprof.bind", "pass", "Well.")
    row, = build(host("a", fail("api"), fail("web"), fleet.result("limits.nofile_effective", "pass", "Well.", subject="x"),
                      passed, passed, fleet.result("pprof.expvar", "notapplicable", "No."))).hosts
    assert (row.kinds["blocker"], row.passed, row.judged) == (1, 1, 5)


OUT = fleet.result("pprof.bind", "notselected", "Not named by preflight_checks.")
IN = fleet.result("pprof.expvar", "pass", "Well.")


@pytest.mark.parametrize(("hosts", "verdict", "headline", "unselected"), [
    pytest.param([host("a", IN, verdict="ready")], "ready", "No open finding on the host.", "", id="all"),
    pytest.param([host("a", IN, OUT, verdict="ready")], "ready", "No open finding on the host.",
                 "1 of 2 checks was not selected.", id="a part"),
    pytest.param([host("a", IN, OUT, verdict="ready"), host("b", IN, verdict="ready")], "ready",
                 "No open finding on any of 2 hosts.", "1 of 2 checks was not selected on 1 of 2 hosts.", id="a part of one host"),
    pytest.param([host("a", OUT, verdict="inconclusive")], "inconclusive", "No check was selected.",
                 "1 of 1 check was not selected.", id="nothing"),
    pytest.param([host("a", OUT, verdict="inconclusive"), host("b", IN, verdict="ready")], "inconclusive",
                 "No check was selected on 1 of 2 hosts.", "1 of 2 checks was not selected on 1 of 2 hosts.", id="nothing on one"),
    pytest.param([host("a", fleet.result("pprof.bind", "notapplicable", "No."), verdict="inconclusive")], "inconclusive",
                 "No check judged anything.", "", id="nothing applies"),
])
def test_what_was_not_selected_is_said(
    hosts: list[dict[str, Any]], verdict: str, headline: str, unselected: str,
) -> None:
    report = build(*hosts)
    assert (report.verdict, report.headline, report.unselected) == (verdict, headline, unselected)
    assert report.said == f"{headline} {unselected}".strip()
    if headline.startswith("No check was selected"):
        assert [step.do for step in report.steps] == ["Select checks.", "Verify again."]


def test_steps_are_bounded() -> None:
    many = [fail(check=check) for check in list(fleet.CATALOGUE)[:12]]
    steps = build(host("a",
                       *[Result(**{**vars(one), "severity": "critical", "remediation": one.remediation}) for one in many])).steps
    assert len(steps) <= 8
    assert any(step.do.startswith("Mend the other ") for step in steps)


class TestDelta:
    """What a finding was and is decides which list it is in."""

    @pytest.mark.parametrize(("was", "now", "expected"), [
        (None, "fail", "new"), (None, "unknown", "new"), ("pass", "fail", "new"), ("notapplicable", "error", "new"),
        ("unknown", "fail", "new"), ("error", "fail", "new"),
        ("fail", "fail", "unchanged"), ("fail", "unknown", "unchanged"), ("unknown", "error", "unchanged"),
        ("fail", "pass", "fixed"), ("unknown", "pass", "fixed"), ("fail", "notapplicable", "fixed"),
        ("fail", "notselected", "unverified"), ("fail", None, "unverified"),
        ("pass", "pass", None), ("pass", "unknown", "new"), (None, "pass", None),
    ])
    def test_lists(self, tmp_path: Path, was: str | None, now: str | None, expected: str | None) -> None:
        then = self.baseline(tmp_path, host("a", *self.results(was)))
        delta = build(host("a", *self.results(now)), baseline=then).document["delta"]
        assert {key: len(delta[key]) for key in model.CHANGES} == {key: int(key == expected) for key in model.CHANGES}
        for entry in delta[expected] if expected else ():
            assert entry == {
                "host": "a", "check": "limits.nofile_effective", "subject": "api", "severity": "critical", "status": now,
                "was": was if was in model.OPEN else None, "fingerprint": fail().fingerprint}

    @staticmethod
    def results(status: str | None) -> list[Result]:
        return [fleet.result("limits.nofile_effective", status, "Said.", subject="api")] if status else []

    @staticmethod
    def baseline(folder: Path, *hosts: dict[str, Any]) -> model.Baseline:
        path = folder / "report.json"
        path.write_text("".join(json_report.render(build(*hosts, id="before", started="2026-11-01T00:00:00+00:00"))), "utf-8")
        return model.read_baseline(path)

    def test_a_subject_that_is_gone_is_fixed_where_the_check_ran(self, tmp_path: Path) -> None:
        then = self.baseline(tmp_path, host("a", fail("api"), fail("old")))
        delta = build(host("a", fail("api")), baseline=then).document["delta"]
        assert [(one["subject"], one["status"], one["was"]) for one in delta["fixed"]] == [("old", None, "fail")]

    @pytest.mark.parametrize("status", ["error", "unknown", "notselected"])
    def test_a_subject_that_is_gone_because_nothing_was_collected_is_not_fixed(self, tmp_path: Path, status: str) -> None:
        then = self.baseline(tmp_path, host("a", fail("api")))
        broken = fleet.result("limits.nofile_effective", status, "services.services was not collected.")
        delta = build(host("a", broken), baseline=then).document["delta"]
        assert [one["subject"] for one in delta["unverified"]] == ["api"]
        assert delta["fixed"] == []

    def test_a_silent_host_proves_nothing(self, tmp_path: Path) -> None:
        then = self.baseline(tmp_path, host("a", fail()))
        delta = build(model.silent_host("a", "unreachable"), baseline=then).document["delta"]
        assert len(delta["unverified"]) == 1
        assert delta["hosts_gone"] == []

    def test_hosts_that_came_and_went(self, tmp_path: Path) -> None:
        then = self.baseline(tmp_path, host("a", fail()), host("gone", fail()))
        delta = build(host("a", fail()), host("came", fail()), baseline=then).document["delta"]
        assert (delta["hosts_new"], delta["hosts_gone"]) == (["came"], ["gone"])
        assert [one["host"] for one in delta["new"]] == ["came"]
        assert [one["host"] for one in delta["unchanged"]] == ["a"]
        assert delta["fixed"] == delta["unverified"] == []

    def test_a_waiver_mends_nothing(self, tmp_path: Path) -> None:
        then = self.baseline(tmp_path, host("a", fail()))
        delta = build(host("a", fail(waived=True)), baseline=then).document["delta"]
        assert len(delta["unchanged"]) == 1

    def test_findings_know_what_is_new(self, tmp_path: Path) -> None:
        then = self.baseline(tmp_path, host("a", fail()), host("b"))
        finding, = build(host("a", fail()), host("b", fail()), baseline=then).findings
        assert (finding.results, finding.new) == (2, 1)


class TestReadBaseline:
    def test_reads_a_report(self, tmp_path: Path) -> None:
        path = tmp_path / "report.json"
        path.write_text("".join(json_report.render(build(host("a", fail()), id="before"))), "utf-8")
        assert model.read_baseline(path) == model.Baseline("before", fleet.STARTED, {
            "a": {fail().fingerprint: ("limits.nofile_effective", "api", "fail", "critical")}})

    @pytest.mark.parametrize(("content", "message"), [
        (None, "it cannot be read: No such file or directory"),
        (b"", "it is no JSON document: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe{", "it is no JSON document: it is not text in UTF-8"),
        (b"[" * 200_000, "it is no JSON document of a sane depth"),
        (b"[]", "it has no schema_version: expected a report.json that this collection wrote"),
        (b"{}", "it has no schema_version: expected a report.json that this collection wrote"),
        (b'{"schema_version": "2.0"}', "its schema_version is '2.0': expected 1.x"),
        (b'{"schema_version": 1}', "its schema_version is 1: expected 1.x"),
        (b'{"schema_version": "1.0"}', "it has no run.id or no list of hosts"),
        (b'{"schema_version": "1.0", "run": {"id": "x"}, "hosts": {}}', "it has no run.id or no list of hosts"),
        (b'{"schema_version": "1.0", "run": {"id": "x"}, "hosts": [1]}', "one of its hosts has no name or no list of results"),
        (b'{"schema_version": "1.0", "run": {"id": "x"}, "hosts": [{"name": "a", "results": null}]}',
         "one of its hosts has no name or no list of results"),
        (b'{"schema_version": "1.0", "run": {"id": "x"}, "hosts": [{"name": "a", "results": ['
         b'{"fingerprint": 1, "reason": ""}]}]}',
         "it is no JSON document: one of its results has an id, subject, status or severity that is no text"),
    ])
    def test_refuses_what_is_no_report(self, tmp_path: Path, content: bytes | None, message: str) -> None:
        path = tmp_path / "baseline.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError) as caught:
            model.read_baseline(path)
        assert str(caught.value) == message

    def test_refuses_what_is_no_regular_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path, message in (
            (tmp_path, "it cannot be read: Is a directory"), (tmp_path / "pipe", "it is no regular file"),
            (Path("/dev/zero"), "it is no regular file"),
        ):
            with pytest.raises(ValueError, match=f"^{message}$"):
                model.read_baseline(path)

    def test_refuses_a_file_beyond_the_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "report.json"
        with path.open("wb") as stream:
            stream.truncate(model.BASELINE_LIMIT + 1)
        with pytest.raises(ValueError, match=r"^it is larger than 256 MB$"):
            model.read_baseline(path)

    def test_later_minor_versions_are_read(self, tmp_path: Path) -> None:
        path = tmp_path / "report.json"
        path.write_text('{"schema_version": "1.7", "run": {"id": "x"}, "hosts": [], "more": {"reason": "", "fingerprint": "x"}}')
        assert model.read_baseline(path) == model.Baseline("x", "", {})


class TestLoad:
    def test_every_host_of_the_run_is_a_row_in_its_order(self, tmp_path: Path) -> None:
        run, hosts = model.load(fleet.write(tmp_path, about=fleet.run([*sorted(fleet._HOSTS, reverse=True), "job3", "pay2"])))
        assert [one["name"] for one in hosts] == run["hosts"]
        assert hosts[-2] == {
            "format": 1, "name": "job3", "reachable": None, "verdict": "inconclusive",
            "error": "no result was written for this host (it failed before verification; see the play's output)"}
        assert model.build(run, hosts, fleet.CATALOGUE).document["hosts"][-2]["reachable"] is None

    def test_nothing_is_lost_on_the_way(self, tmp_path: Path) -> None:
        _run, hosts = model.load(fleet.write(tmp_path))
        assert hosts == fleet.documents()

    def test_hosts_whose_names_are_no_file_names(self, tmp_path: Path) -> None:
        names = ["web/1", "..", "a b", "[::1]", "ünïcode", "%41", "A"]
        fleet.write(tmp_path, [host(name, verdict="ready") for name in names], fleet.run(names))
        assert [(one["name"], one["verdict"]) for one in model.load(tmp_path)[1]] == [(name, "ready") for name in names]

    @pytest.mark.parametrize(("content", "error"), [
        ("", "web1.json: Expecting value: line 1 column 1 (char 0)"),
        ('{"format": 1, "name": "we', "web1.json: Unterminated string starting at: line 1 column 23 (char 22)"),
        ("[]", "web1.json: expected a host document of format 1"),
        ('{"format": 2}', "web1.json: expected a host document of format 1"),
        ('{"format": 1, "name": "web1"}', "web1.json: it has no name or no verdict"),
        ('{"format": 1, "name": "web1", "verdict": "ready", "results": {}}', "web1.json: its results are no list"),
        ('{"format": 1, "name": "web1", "verdict": "ready", "results": [{"id": "a.b", "status": "ok"}]}',
         "web1.json: one of its results has no id, status or severity"),
    ])
    def test_a_document_that_cannot_be_read_is_a_row_that_says_so(self, tmp_path: Path, content: str, error: str) -> None:
        fleet.write(tmp_path, [], fleet.run(["web1"]))
        (tmp_path / "hosts" / "web1.json").write_text(content)
        hosts = model.load(tmp_path)[1]
        assert [(one["name"], one["verdict"], one["error"]) for one in hosts] == [
            ("web1", "inconclusive", f"the result of this host cannot be read: {error}")]

    def test_values_that_are_no_json_and_text_that_is_no_unicode(self, tmp_path: Path) -> None:
        fleet.write(tmp_path, [host("a", fail(reason="\udc80", actual=float("nan"), expected=float("inf")))], fleet.run(["a"]))
        document = "".join(json_report.render(model.build(*model.load(tmp_path), fleet.CATALOGUE)))
        result = json.loads(document.encode(), parse_constant=pytest.fail)["hosts"][0]["results"][0]
        assert (result["reason"], result["actual"], result["expected"]) == ("?", "NaN", "Infinity")

    @pytest.mark.parametrize(("content", "message"), [
        (None, "run.json cannot be read: No such file or directory"), ("{", "run.json is no JSON: "),
        ("[]", "run.json has no id"),
        ('{"id": "x"}', "run.json has no id or no list of hosts"),
    ])
    def test_a_folder_that_is_no_run(self, tmp_path: Path, content: str | None, message: str) -> None:
        if content is not None:
            (tmp_path / "run.json").write_text(content)
        with pytest.raises(ValueError) as caught:
            model.load(tmp_path)
        assert str(caught.value).startswith(f"{tmp_path} holds no run: {message}")
