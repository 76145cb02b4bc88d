# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import re
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import engine, plan
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Remediation, Result
from ansible_collections.goready.preflight.plugins.plugin_utils.report import (
    html, json_report, junit, markdown, model, remediation, store, terminal, text,
)
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet
from hypothesis import given, settings
from hypothesis import strategies as st

NOFILE = fleet.result("limits.nofile_effective", "fail", "api has 1024 open files.", subject="api").as_dict()
NOFILE["remediation"] = {"hint": "Restart it. Then look.", "command": "systemctl restart api", "role": "service_limits", "safe": "apply"}
MARK = NOFILE["fingerprint"]
MEND = "ansible-playbook remediate.yml --limit h -e preflight_remediate=limits.nofile_effective -e preflight_consent=restart"
CHANGES = [{"path": "/etc/a", "action": "created", "detail": ""}]
PASS = {**NOFILE, "status": "pass", "reason": "api has 65536 open files."}
OTHER = {**PASS, "subject": "web", "fingerprint": "0" * 16}
MANUAL = {**NOFILE, "remediation": {**NOFILE["remediation"], "safe": "manual"}}


def host(*results: Any, name: str = "h", verdict: str = "not_ready", **more: Any) -> dict[str, Any]:
    return {"format": 1, "name": name, "reachable": True, "verdict": verdict,
            "results": [one.as_dict() if isinstance(one, Result) else one for one in results], **more}


def step(status: str = "done", message: str = "", *, items: tuple[str, ...] = (MARK,), role: str = "service_limits") -> dict[str, Any]:
    return {"role": role, "items": list(items), "status": status, "message": message, "changes": CHANGES, "duration_ms": 1}


def left(kind: str, why: str = "", command: str = "") -> dict[str, Any]:
    return {"fingerprint": MARK, "check": NOFILE["id"], "subject": "api", "severity": "critical", "why": why, "kind": kind,
            "command": command}


def folder(path: Path, before: list[dict[str, Any]], now: list[dict[str, Any]], steps: list[dict[str, Any]],
           lefts: list[dict[str, Any]] | None = None, *, check: bool = False, stopped: dict[str, str] | None = None,
           worse: tuple[str, ...] = ()) -> Path:
    """A run of one host, ``h``."""
    return fleet.write_remediation(path, {
        "about": {**fleet.run(["h"]), "mode": "remediate-check" if check else "remediate"},
        "before": before, "hosts": now, "stopped": stopped,
        "remediation": [{"format": 1, "name": "h", "check_mode": check, "batch": 1, "steps": steps, "left": lefts or [],
                         "worse": list(worse)}],
    })


def build(path: Path) -> model.Report:
    return model.build(*model.load(path), fleet.CATALOGUE)


SILENT = {**model.silent_host("h", "unreachable: no route"), "reachable": False}


@pytest.mark.parametrize(("before", "now", "steps", "lefts", "expected"), [
    pytest.param(NOFILE, [PASS], [step()], [], ("fixed", "", "service_limits", "", "", CHANGES), id="fixed"),
    pytest.param(NOFILE, [{**PASS, "status": "notapplicable"}], [step()], [],
                 ("fixed", "", "service_limits", "", "", CHANGES), id="fixed: not applicable"),
    pytest.param(NOFILE, [OTHER], [step()], [], ("fixed", "", "service_limits", "", "", CHANGES), id="fixed: its subject is gone"),
    pytest.param(NOFILE, [PASS], [step("failed", "it did not come up")], [],
                 ("fixed", "", "service_limits", "", "", CHANGES), id="fixed, though the role failed: verification says it"),
    pytest.param(NOFILE, [PASS], [step(items=("other",))], [],
                 ("fixed", "", "", "No role was called for it; it went with another change.", "", []), id="fixed with another"),
    pytest.param(NOFILE, [PASS], [], [],
                 ("fixed", "", "", "No role was called for it; it was gone by itself.", "", []), id="fixed by nobody"),
    pytest.param(NOFILE, [PASS], [step("planned")], [],
                 ("fixed", "", "", "The run was interrupted before its role told what it did.", "", []), id="fixed, though killed"),
    pytest.param(NOFILE, [{**NOFILE, "reason": "api has 2048."}], [step()], [], (
        "not_fixed", "", "service_limits", "The role ran and verification still finds: api has 2048.", "systemctl restart api",
        CHANGES), id="not fixed: it still fails"),
    pytest.param(NOFILE, [NOFILE], [step("failed", "service_limits: api.service did not start")], [], (
        "not_fixed", "", "service_limits", "service_limits: api.service did not start.", "systemctl restart api", CHANGES),
        id="not fixed: the role failed"),
    pytest.param(NOFILE, [NOFILE], [step("failed")], [], (
        "not_fixed", "", "service_limits", "The role failed without a message.", "systemctl restart api", CHANGES),
        id="not fixed: the role failed in silence"),
    pytest.param(NOFILE, SILENT, [step("unreachable", "timed out")], [], (
        "not_fixed", "", "service_limits", "The host could not be reached: timed out.", MEND, CHANGES),
        id="not fixed: unreachable"),
    pytest.param(NOFILE, SILENT, [step()], [], (
        "not_fixed", "", "service_limits",
        "The role ran, but it is unverified: the host gave no result: unreachable: no route.", MEND, CHANGES),
        id="not fixed: no second verification"),
    pytest.param(NOFILE, [{**NOFILE, "status": "unknown", "reason": "Not readable."}], [step()], [], (
        "not_fixed", "", "service_limits", "The role ran, but it is unverified: Not readable.", "systemctl restart api", CHANGES),
        id="not fixed: an unknown is no proof"),
    pytest.param(NOFILE, [{**OTHER, "subject": "", "status": "error", "reason": "It broke."}], [step()], [], (
        "not_fixed", "", "service_limits", "The role ran, but it is unverified: its check was not judged again.",
        "systemctl restart api", CHANGES), id="not fixed: a check that broke proves nothing"),
    pytest.param(NOFILE, [{**OTHER, "status": "unknown", "reason": "Not readable."}], [step()], [], (
        "not_fixed", "", "service_limits", "The role ran, but it is unverified: its check was not judged again.",
        "systemctl restart api", CHANGES), id="not fixed: gone, and its check judged nothing"),
    pytest.param(NOFILE, [{**NOFILE, "status": "notselected"}], [step()], [], (
        "not_fixed", "", "service_limits", "The role ran, but it is unverified: its check was not judged again.",
        "systemctl restart api", CHANGES), id="not fixed: not selected"),
    pytest.param(NOFILE, [NOFILE], [], [left("consent", "needs consent restart", MEND)], (
        "left", "consent", "service_limits", "Needs consent restart.", MEND, []), id="left: consent"),
    pytest.param(NOFILE, [NOFILE], [], [left("unselected", "not named by preflight_remediate")], (
        "left", "unselected", "service_limits", "Not named by preflight_remediate.", MEND, []), id="left: not selected"),
    pytest.param(NOFILE, [NOFILE], [], [left("stopped", "remediation stopped before this host")], (
        "left", "stopped", "service_limits", "Remediation stopped before this host.", MEND, []), id="left: stopped"),
    pytest.param(MANUAL, [MANUAL], [], [left("manual", "manual: Restart it.")], (
        "left", "manual", "service_limits", "Manual: Restart it.", "systemctl restart api", []), id="left: manual"),
    pytest.param({**NOFILE, "waived": True}, [{**NOFILE, "waived": True}], [], [left("waived", "waived: somebody answers")], (
        "left", "waived", "service_limits", "Waived: somebody answers.", "", []), id="left: waived"),
    pytest.param(NOFILE, [NOFILE], [], [left("no such kind", "Odd.")], (
        "left", "error", "service_limits", "Odd.", MEND, []), id="left: a kind that nobody knows"),
    pytest.param(NOFILE, [NOFILE], [], [left("consent")], (
        "left", "consent", "service_limits", "Its role needs a consent that was not given.", MEND, []), id="left without a word"),
    pytest.param(NOFILE, [NOFILE], [step("planned")], [], (
        "left", "stopped", "service_limits", "The run ended before its role was done.", MEND, []), id="left: the run was killed"),
    pytest.param(NOFILE, [NOFILE], [], [], (
        "left", "error", "service_limits", "No role was called for it.", MEND, []), id="left: nobody said anything"),
    pytest.param(MANUAL, [MANUAL], [], [], (
        "left", "manual", "service_limits", "Restart it.", "systemctl restart api", []), id="left: manual, nobody said it"),
    pytest.param({**NOFILE, "waived": True}, [{**NOFILE, "waived": True}], [], [], (
        "left", "waived", "service_limits", "It is waived: somebody answers for it.", "", []), id="left: waived, nobody said it"),
])
def test_outcome(tmp_path: Path, before: dict[str, Any], now: Any, steps: list[Any], lefts: list[Any], expected: tuple[Any, ...]) -> None:
    after = now if isinstance(now, dict) else host(*now)
    document = build(folder(tmp_path / "run", [host(before)], [after], steps, lefts)).document
    item, = document["hosts"][0]["remediation"]
    assert (item["outcome"], item["kind"], item["role"], item["why"], item["command"], item["changes"]) == expected
    assert (item["fingerprint"], item["check"], item["subject"], item["severity"], item["reason"]) == (
        MARK, "limits.nofile_effective", "api", "critical", "api has 1024 open files.")
    assert document["remediation"]["summary"] == {
        **dict.fromkeys(("fixed", "not_fixed", "left", "new", "predicted"), 0), expected[0]: 1}


@pytest.mark.parametrize(("steps", "lefts", "expected"), [
    ([step("predicted")], [], ("predicted", "", MEND, CHANGES)),
    ([step("failed", "preflight_consent lacks restart")], [],
     ("not_fixed", "preflight_consent lacks restart.", "systemctl restart api", CHANGES)),
    ([], [left("consent", "needs consent restart", MEND)], ("left", "Needs consent restart.", MEND, [])),
])
@pytest.mark.parametrize("first", [True, False])
def test_outcome_in_check_mode(
    tmp_path: Path, steps: list[Any], lefts: list[Any], expected: tuple[Any, ...], first: bool,
) -> None:
    run_dir = folder(tmp_path / "run", [host(NOFILE)] if first else [], [host(NOFILE)], steps, lefts, check=True)
    report = build(run_dir)
    item, = report.document["hosts"][0]["remediation"]
    assert (item["outcome"], item["why"], item["command"], item["changes"]) == expected
    assert report.document["remediation"]["mode"] == "check"
    assert report.document["hosts"][0]["changes"] == [{**CHANGES[0], "role": "service_limits"}] * len(steps)


@pytest.mark.parametrize(("was", "worse", "why"), [
    ("pass", (), "It passed before."), ("unknown", (), "It could not be judged before."),
    ("notapplicable", (), "The question did not arise before."), (None, (), "It was not there before."),
    ("pass", (MARK,), "It passed before. The host got worse by it."),
])
def test_a_fail_that_was_none_is_new(tmp_path: Path, was: str | None, worse: tuple[str, ...], why: str) -> None:
    before = [host(*([{**NOFILE, "status": was}] if was else []))]
    report = build(folder(tmp_path / "run", before, [host(NOFILE)], [step(items=())], worse=worse))
    item, = report.document["hosts"][0]["remediation"]
    assert (item["outcome"], item["why"], item["command"]) == ("new", why, MEND)
    assert report.findings[0].new == 1


def test_a_host_without_files_had_nothing_to_mend(tmp_path: Path) -> None:
    run_dir = folder(tmp_path / "run", [], [host(NOFILE, name="x")], [])
    document = build(run_dir).document
    assert [(one["name"], one["remediation"], one["changes"]) for one in document["hosts"]] == [("h", [], []), ("x", [], [])]
    assert build(run_dir).mended is not None


def test_what_nothing_was_done_for_is_left_without_a_first_document(tmp_path: Path) -> None:
    item, = build(folder(tmp_path / "run", [], [host(MANUAL)], [], [left("manual", "manual: Do it.")])
                  ).document["hosts"][0]["remediation"]
    assert (item["outcome"], item["why"]) == ("left", "Manual: Do it.")


def test_a_second_step_for_the_same_finding_counts(tmp_path: Path) -> None:
    report = build(folder(tmp_path / "run", [host(NOFILE)], [host(NOFILE)], [step("failed", "first"), step("failed", "second")]))
    assert report.document["hosts"][0]["remediation"][0]["why"] == "Second."
    assert report.document["remediation"]["roles"] == {"service_limits": {"hosts": 1, "changed": 1, "failed": 1}}


# The sample fleet

@pytest.fixture(scope="module", params=["apply", "check"])
def run_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = fleet.remediation(check=request.param == "check")
    return fleet.write_remediation(tmp_path_factory.mktemp("run") / request.param, parts)


@pytest.fixture
def applied(tmp_path: Path) -> model.Report:
    return build(fleet.write_remediation(tmp_path / "run", fleet.remediation()))


def test_fleet(applied: model.Report) -> None:
    assert applied.document["remediation"] == {
        "mode": "apply", "summary": {"fixed": 4, "not_fixed": 4, "left": 6, "new": 1, "predicted": 0},
        "stopped": {"host": "web4", "reason": "services.active of api fails newly after service_limits", "kind": "worse"},
        "roles": {"pprof_guard": {"hosts": 2, "changed": 1, "failed": 1}, "service_limits": {"hosts": 4, "changed": 3, "failed": 1}},
        "asked": {"select": ["*"], "consent": ["firewall", "restart"], "first": 1}, "unread": []}
    outcomes = {one["name"]: [item["outcome"] for item in one["remediation"]] for one in applied.document["hosts"]}
    assert outcomes == {
        "web1": [], "web2": ["left"], "web3": ["fixed"], "web4": ["not_fixed", "new", "left"], "edge1": ["fixed"] * 2,
        "edge2": ["not_fixed"] * 3, "job1": ["fixed", "left"], "job2": ["left"], "db1": ["left"], "cache1": ["left"], "pay1": [],
        "pay2": []}
    assert applied.said.startswith(
        "2 findings block 1 of 12 hosts; 2 hosts gave no result; 2 checks could not be judged on 1 host. 4 findings were fixed on "
        "3 hosts, 4 were not, 1 is new and 6 are left.")
    assert [one.hosts for one in applied.mended.changed] == [("web3",), ("edge1",), ("edge2",), ("job1",)]  # type: ignore[union-attr]


def test_lines_are_in_the_order_of_worth(applied: model.Report) -> None:
    assert applied.mended
    assert [(one.outcome, one.kind, one.check, one.hosts) for one in applied.mended.lines] == [
        ("fixed", "", "limits.nofile_effective", ("web3",)), ("fixed", "", "pprof.bind", ("edge1",)),
        ("fixed", "", "pprof.reachable", ("edge1",)), ("fixed", "", "limits.memory_limit", ("job1",)),
        ("not_fixed", "", "limits.nofile_effective", ("web4",)), ("not_fixed", "", "limits.nofile_effective", ("edge2",)),
        ("not_fixed", "", "pprof.bind", ("edge2",)), ("not_fixed", "", "pprof.reachable", ("edge2",)),
        ("new", "", "services.active", ("web4",)), ("left", "stopped", "limits.memory_limit", ("job2",)),
        ("left", "consent", "toolchain.env_drift", ("web2",)), ("left", "manual", "binary.go_release", ("web4", "job1")),
        ("left", "manual", "host.time_sync", ("db1",)), ("left", "waived", "binary.replaced", ("cache1",))]


def test_steps_after_a_run_that_stopped(applied: model.Report) -> None:
    assert [(one.do, one.how, one.command) for one in applied.steps[:3]] == [
        ("Look at web4 first: services.active of api fails newly after service_limits.", "", ""),
        ("api runs with 1024 open files; its unit asks for 65536.",
         "Remediation did not mend it: service_limits: api.service was not active again after 30 s, so the drop-in was taken back; "
         "journal: listen tcp :8080: bind: address already in use.", ""),
        ("Mend services.active: api.service is failed.", "", "")]


def test_steps_in_check_mode_do_not_repeat_what_would_be_fixed(tmp_path: Path) -> None:
    report = build(fleet.write_remediation(tmp_path / "run", fleet.remediation(check=True)))
    assert [(one.do, one.where) for one in report.steps[:2]] == [
        ("Run the same without --check.", "It would fix 9 findings on 6 hosts."),
        ("Get a result from 1 host.", "pay2. Unreachable: ssh: connect to host 10.20.0.52 port 22: Connection timed out.")]
    assert report.mended and report.mended.said == "9 findings would be fixed on 6 hosts and 5 would be left."


def test_reports_keep_to_the_schema(run_dir: Path) -> None:
    from ansible_collections.goready.preflight.tests.unit.plugins.plugin_utils.report import test_schema as schema
    report = build(run_dir)
    document = json.loads("".join(json_report.render(report)))
    assert document == json.loads(json.dumps(report.document))
    assert schema.errors(schema.strict(schema.SCHEMA), document) == []
    document["remediation"] = document["hosts"][0]["remediation"] = document["hosts"][0]["changes"] = None
    assert schema.errors(schema.SCHEMA, document) == []


def test_any_other_run_has_no_word_of_it(tmp_path: Path) -> None:
    parts = fleet.remediation()
    run_dir = fleet.write_remediation(tmp_path / "run", {**parts, "about": fleet.run()})
    report = build(run_dir)
    assert report.mended is None and "remediation" not in report.document
    assert not any("remediation" in one or "changes" in one for one in report.document["hosts"])
    for render in (html.render, markdown.render, junit.render):
        words = "".join(render(report))
        assert not re.search(r'mended">|What was mended|remediation_fixed', words)


def test_building_changes_no_input(run_dir: Path) -> None:
    run, hosts = model.load(run_dir)
    before = copy.deepcopy((run, hosts))
    model.build(run, hosts, fleet.CATALOGUE)
    assert (run, hosts) == before


@pytest.mark.parametrize(("summary", "hosts", "check", "words"), [
    ({}, 0, False, "There was nothing to mend."), ({}, 0, True, "There was nothing to mend."),
    ({"fixed": 6}, 3, False, "6 findings were fixed on 3 hosts."), ({"fixed": 1}, 1, False, "1 finding was fixed on 1 host."),
    ({"fixed": 1, "not_fixed": 1}, 1, False, "1 finding was fixed on 1 host and 1 was not."),
    ({"left": 2}, 0, False, "No finding was fixed and 2 are left."),
    ({"not_fixed": 2, "new": 1, "left": 1}, 0, False, "No finding was fixed, 2 were not, 1 is new and 1 is left."),
    ({"predicted": 1200}, 400, True, "1,200 findings would be fixed on 400 hosts."),
    ({"not_fixed": 1, "left": 1}, 0, True, "No finding would be fixed, 1 would not and 1 would be left."),
])
def test_the_sum_in_a_sentence(summary: dict[str, int], hosts: int, check: bool, words: str) -> None:
    full = {**dict.fromkeys(remediation.OUTCOMES, 0), **summary}
    touched = {outcome: {str(number) for number in range(hosts)} for outcome in remediation.OUTCOMES}
    assert remediation._said(full, touched, check) == words


# Files that cannot be read

@pytest.mark.parametrize(("content", "why"), [
    ("{", "Nobody knows whether it was worked on: what was done: h.json: Expecting property name"),
    ("[]", "Nobody knows whether it was worked on: what was done: h.json: expected a document of format 1 about h."),
    (json.dumps({"format": 2, "name": "h"}), "expected a document of format 1 about h."),
    (json.dumps({"format": 1, "name": "x"}), "expected a document of format 1 about h."),
    (json.dumps({"format": 1, "name": "h", "steps": {}}), "steps"),
    (json.dumps({"format": 1, "name": "h", "steps": [1]}), "steps holds something that is no object."),
    (json.dumps({"format": 1, "name": "h", "steps": [{"status": "odd"}]}),
     "a step has status 'odd': expected one of planned, done, failed, unreachable, predicted."),
    (json.dumps({"format": 1, "name": "h", "left": "x"}), "left is no list."),
])
def test_what_was_done_cannot_be_read(tmp_path: Path, content: str, why: str) -> None:
    run_dir = folder(tmp_path / "run", [host(NOFILE)], [host(NOFILE)], [])
    (run_dir / "remediation" / "h.json").write_text(content)
    report = build(run_dir)
    item, = report.document["hosts"][0]["remediation"]
    if content.endswith('"steps": {}}'):  # an empty object is an empty list of steps
        assert (item["outcome"], item["why"]) == ("left", "No role was called for it.")
        return
    assert (item["outcome"], item["kind"]) == ("left", "error")
    assert why in item["why"]
    assert [one["host"] for one in report.document["remediation"]["unread"]] == ["h"]
    assert "What was done on h is not known." in "".join(html.render(report))
    assert "**Of `h` nothing sure is known:**" in "".join(markdown.render(report))


def test_the_first_verification_cannot_be_read(tmp_path: Path) -> None:
    run_dir = folder(tmp_path / "run", [host(NOFILE)], [host(PASS)], [step()])
    (run_dir / "before" / "h.json").write_text("{")
    unread, = build(run_dir).document["remediation"]["unread"]
    assert unread["host"] == "h"
    assert unread["why"].startswith("the first verification: the result of this host cannot be read: h.json: Expecting property")


@pytest.mark.parametrize(("content", "expected"), [
    ("{", {"host": "", "reason": "the run stopped, and the file that says why cannot be read", "kind": "failures"}),
    ("[]", {"host": "", "reason": "the run stopped, and the file that says why cannot be read", "kind": "failures"}),
    (json.dumps({"host": "h", "reason": "r", "kind": "odd"}), {"host": "h", "reason": "r", "kind": "failures"}),
])
def test_that_the_run_stopped_is_never_kept_back(tmp_path: Path, content: str, expected: dict[str, str]) -> None:
    run_dir = folder(tmp_path / "run", [host(NOFILE)], [host(NOFILE)], [])
    (run_dir / "stopped.json").write_text(content)
    report = build(run_dir)
    assert report.document["remediation"]["stopped"] == expected
    assert "The run stopped" in "".join(html.render(report)) and "The run stopped" in "".join(markdown.render(report))


def test_lone_surrogates_can_be_written(tmp_path: Path) -> None:
    run_dir = folder(tmp_path / "run", [host(NOFILE)], [host(NOFILE)], [step("failed", "a\ud800b")])
    for render in (json_report.render, html.render, markdown.render, junit.render):
        assert "".join(render(build(run_dir))).encode()


def test_its_report_serves_as_a_baseline_and_its_folder_is_cleared_away(tmp_path: Path) -> None:
    run_dir = fleet.write_remediation(tmp_path / "runs" / fleet.run()["id"], fleet.remediation())
    report = build(run_dir)
    store.write(report, ["json"], tmp_path, run_dir)
    delta = model.build(*model.load(run_dir), fleet.CATALOGUE, model.read_baseline(run_dir / "report.json")).document["delta"]
    assert not delta["new"] and not delta["fixed"] and len(delta["unchanged"]) == len(
        [one for host_ in report.document["hosts"] for one in host_["results"] if one["status"] in model.OPEN])
    other = fleet.write(tmp_path / "runs" / "later", [], {**fleet.run(), "id": "later", "started": "2026-11-23T00:00:00+00:00"})
    assert store.prune(other, 1) == [run_dir]


# The command

@pytest.mark.parametrize(("hosts", "consent", "command"), [
    (["web1"], "restart", "ansible-playbook remediate.yml --limit web1 -e preflight_remediate=pprof.bind -e preflight_consent=restart"),
    (["web1", "web2"], "", "ansible-playbook remediate.yml --limit web1,web2 -e preflight_remediate=pprof.bind"),
    (["a b;c"], "", "ansible-playbook remediate.yml --limit 'a b;c' -e preflight_remediate=pprof.bind"),
    (["it's"], "", """ansible-playbook remediate.yml --limit 'it'"'"'s' -e preflight_remediate=pprof.bind"""),
    ([], "", "ansible-playbook remediate.yml -e preflight_remediate=pprof.bind"),
    ([f"web{number}" for number in range(6)], "firewall",
     "ansible-playbook remediate.yml -e preflight_remediate=pprof.bind -e preflight_consent=firewall"),
])
def test_mend_command(hosts: list[str], consent: str, command: str) -> None:
    assert text.mend_command("pprof.bind", hosts, consent) == command


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.sampled_from(["", *text.CONSENT_MEANS]))
def test_a_shell_reads_the_command_as_it_is_meant(hosts: list[str], consent: str) -> None:
    words = shlex.split(text.mend_command("pprof.bind", hosts, consent))
    agreed = ["-e", f"preflight_consent={consent}"] if consent else []
    assert words == ["ansible-playbook", "remediate.yml", "--limit", ",".join(hosts), "-e", "preflight_remediate=pprof.bind", *agreed]


@pytest.mark.parametrize("status", ["pass", "fail", "unknown", "error", "notapplicable", "notselected"])
@pytest.mark.parametrize("subject", ["api", "web", ""])
def test_a_run_is_stopped_by_what_the_report_says(tmp_path: Path, status: str, subject: str) -> None:
    now = host({**NOFILE, "status": status, "subject": subject, "fingerprint": MARK if subject == "api" else "0" * 16})
    item = build(folder(tmp_path / "run", [host(NOFILE)], [now], [step()])).document["hosts"][0]["remediation"][0]
    assert (item["outcome"] == "fixed") == (plan.outcomes([NOFILE], now) == {MARK: "fixed"})


def test_the_roles_are_those_of_the_plan() -> None:
    assert set(text.CONSENT) == set(engine.ROLES)
    assert set(remediation.KINDS) == set(plan.LEFT)


@pytest.mark.parametrize(("result", "command"), [
    (NOFILE, MEND), (MANUAL, ""), ({**NOFILE, "waived": True}, ""), ({**NOFILE, "status": "unknown"}, ""), (PASS, ""),
    ({**NOFILE, "remediation": {**NOFILE["remediation"], "role": "release"}}, ""),
    ({**NOFILE, "remediation": {**NOFILE["remediation"], "role": "module_proxy"}}, MEND.removesuffix(" -e preflight_consent=restart")),
])
def test_findings_that_a_role_mends_unasked_carry_the_command(result: dict[str, Any], command: str) -> None:
    report = model.build(fleet.run(["h"]), [host(result)], fleet.CATALOGUE)
    one, = report.document["hosts"][0]["results"]
    assert one["remediation"].get("mend", "") == command
    assert [finding.get("mend", "") for finding in report.document["findings"]] == ([command] if result is not PASS else [])
    assert (MEND in "".join(junit.render(report))) == (command == MEND)
    assert report.steps[0].command == command


@pytest.mark.parametrize(("count", "note"), [
    (5, "This may restart the service."),
    (6, "This may restart the service. It names none of the 6 hosts: it mends this wherever verification finds it."),
])
def test_many_hosts_are_not_named(count: int, note: str) -> None:
    hosts = [host(NOFILE, name=f"web{number}") for number in range(count)]
    report = model.build(fleet.run(one["name"] for one in hosts), hosts, fleet.CATALOGUE)
    fix = report.findings[0].fix
    assert fix and fix.note == note
    assert ("--limit" in fix.command) == (count == 5)
    assert fix.command in "".join(markdown.render(report)) and fix.command in terminal.render(report, {})
    assert note in "".join(html.render(report))


def test_what_one_command_mends_comes_first() -> None:
    by_hand = fleet.result("services.active", "fail", "It is down.", subject="api",
                           remediation=Remediation(hint="Start it."))
    report = model.build(fleet.run(["h", "i"]), [host(by_hand), host(by_hand, NOFILE, name="i")], fleet.CATALOGUE)
    assert [one.do for one in report.steps[:2]] == ["api has 1024 open files.", "It is down."]


def test_the_plan_knows_better_what_a_role_needs(tmp_path: Path) -> None:
    other = MEND.replace("=restart", "=install")
    report = build(folder(tmp_path / "run", [host(NOFILE)], [host(NOFILE)], [], [left("consent", "needs consent install", other)]))
    assert report.steps[0].command == report.document["hosts"][0]["results"][0]["remediation"]["mend"] == other
    report = build(folder(tmp_path / "two", [host(NOFILE)], [host(NOFILE)], [], [left("manual", "manual: it runs in a container")]))
    assert report.steps[0].command == "" and "mend" not in report.document["hosts"][0]["results"][0]["remediation"]


@pytest.mark.parametrize(("hosts", "command", "only"), [
    (2, MEND.replace(" h ", " h0,h1 "), ()), (7, MEND.replace(" --limit h", ""), ()),
])
def test_the_commands_of_many_hosts_become_one(hosts: int, command: str, only: tuple[str, ...]) -> None:
    members = [(f"h{number}", {"command": MEND.replace(" h ", f" h{number} ")}) for number in range(hosts)]
    assert remediation._command(NOFILE["id"], [name for name, _item in members], members) == (command, only)


def test_commands_that_differ_name_their_host() -> None:
    members = [("a", {"command": ""}), ("b", {"command": "systemctl restart b"}), ("c", {"command": "systemctl restart c"})]
    assert remediation._command("a.b", ["a", "b", "c"], members) == ("systemctl restart b", ("b",))


# The renderers

def test_junit_tests_keep_their_meaning(applied: model.Report) -> None:
    root = ElementTree.fromstring("".join(junit.render(applied)))
    suites = {suite.get("name"): suite for suite in root}

    def case(name: str, title: str) -> ElementTree.Element:
        return suites[name].find(f"testcase[@name='{title}']")  # type: ignore[return-value]

    fixed, = case("web3", "limits.nofile_effective [api]")
    assert (fixed.tag, fixed.text) == (
        "system-out", "fixed by service_limits: api runs with 1024 open files; its unit asks for 65536.")
    failure, = case("web4", "limits.nofile_effective [api]")
    assert failure.tag == "failure"
    assert str(failure.text).endswith("\nnot fixed: service_limits: api.service was not active again after 30 s, so the drop-in was "
                                      "taken back; journal: listen tcp :8080: bind: address already in use.")
    assert str(case("web4", "services.active [api]")[0].text).endswith("\nnew: It passed before. The host got worse by it.")
    assert str(case("web2", "toolchain.env_drift")[0].text).endswith("\nleft: Needs consent install.")
    assert case("cache1", "binary.replaced [cache]")[0].tag == "skipped"
    told = {one.get("name"): one.get("value") for one in suites["web4"].findall("properties/property")}
    assert {key: value for key, value in told.items() if str(key).startswith("remediation_")} == {
        "remediation_fixed": "0", "remediation_predicted": "0", "remediation_not_fixed": "1", "remediation_new": "1",
        "remediation_left": "1"}
    for suite in root:
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))


def test_markdown_of_a_fleet(applied: model.Report) -> None:
    words = "".join(markdown.render(applied))
    for part in (
        "gate high, remediation · ", "**The run stopped at `web4`:** services.active of api fails newly after service\\_limits\n",
        "### What was mended\n",
        "| ✅ fixed | critical | `limits.nofile_effective`<br>api runs with 1024 open files; its unit asks for 65536. | `web3` | "
        "by `service_limits` |\n",
        "| ❌ not fixed | critical | `pprof.bind`<br>pprof of gateway listens on 0.0.0.0:6060; a loopback address is wanted. | "
        "`edge2` | The host could not be reached: connection timed out. |\n",
        "| 🆕 new | critical | `services.active`<br>api.service is failed. | `web4` | It passed before. The host got worse by it. |\n",
        "| ➖ left | medium | `toolchain.env_drift`<br>sudo sees go1.25.4, a login shell go1.27.3. | `web2` | "
        "Needs consent install. |\n",
        "created    /etc/nftables.d/goready-pprof.nft (port 6060 from 127.0.0.0/8, ::1, 10.20.0.0/24)\n",
        "`toolchain.env_drift` on web2:\n\n```text\nansible-playbook remediate.yml --limit web2 "
        "-e preflight_remediate=toolchain.env_drift -e preflight_consent=install\n```\n",
    ):
        assert part in words, part
    assert words.count("<details>") == words.count("</details>")


def test_terminal_of_a_run_that_mended_everything(tmp_path: Path) -> None:
    report = build(folder(tmp_path / "run", [host(NOFILE)], [host(PASS, verdict="ready")], [step()]))
    assert terminal.render(report, {"html": "/r/report.html"}) == """\
READY  No open finding on the host.
Remediation: 1 finding was fixed on 1 host.
1 host · profile standard · gate high · 0.0 s

What was mended
  fixed     limits.nofile_effective  h  by service_limits

Report: /r/report.html"""


def test_terminal_of_a_run_that_did_not(tmp_path: Path) -> None:
    drift = {**fleet._DRIFT.as_dict()}
    report = build(folder(tmp_path / "run", [host(NOFILE, drift)], [host(NOFILE, drift)], [step("failed", "api did not start")]))
    assert terminal.render(report, {"html": "/r/report.html"}) == """\
NOT READY  1 finding blocks the host.
Remediation: No finding was fixed, 1 was not and 1 is left.
1 host · profile standard · gate high · 0.0 s

What was mended
  not fixed limits.nofile_effective  h
            Api did not start.
  left      toolchain.env_drift  h: No role was called for it.

Also 1 warning

Next: api has 1024 open files. Remediation did not mend it: Api did not start.
Report: /r/report.html"""


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("silent", [0, 30])
@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("check", [False, True])
def test_the_terminal_is_one_screen(tmp_path: Path, count: int, silent: int, stopped: bool, check: bool) -> None:
    def many(kind: str, status: str = "fail") -> list[dict[str, Any]]:
        return [{**NOFILE, "id": f"{kind}.check_with_a_long_name_{number}", "fingerprint": f"{kind}{number}", "status": status,
                 "reason": "漢字 " * 60} for number in range(count)]

    before = host(*many("fixed"), *many("kept"), *many("left"))
    now = host(*many("fixed", "fail" if check else "pass"), *many("kept"), *many("left"), *([] if check else many("new")),
               *many("unclear", "unknown"))
    steps = [step("predicted" if check else "done", items=tuple(f"fixed{number}" for number in range(count))),
             step("failed", "x" * 300, items=tuple(f"kept{number}" for number in range(count)))]
    run_dir = folder(tmp_path / "run", [before], [now, *(model.silent_host(f"gone{n}", "y" * 200) for n in range(silent))], steps,
                     check=check, stopped={"host": "h" * 300, "reason": "r" * 300, "kind": "worse"} if stopped else None)
    run, hosts = model.load(run_dir)
    report = model.build(run, hosts, fleet.CATALOGUE, model.Baseline("b" * 200, ""))
    lines = terminal.render(report, {"html": "/r/report.html"}).split("\n")
    assert len(lines) <= 24
    assert not [line for line in lines if len(line) > 100 and not line.startswith("      ansible-playbook ")]
    assert lines[-1] == "Report: /r/report.html"
    if count == 40:
        assert any("more in the report" in line for line in lines)


EVIL = "</td></script><script>alert(1)</script> | ` @all \x1b[31m\x00 \u202e {{ 7*7 }}\n# x"


def evil(tmp_path: Path, words: str) -> model.Report:
    name = "h"
    failed = {**NOFILE, "subject": words, "reason": words, "remediation": {**NOFILE["remediation"], "hint": words, "command": words}}
    new = {**failed, "id": "services.active", "fingerprint": "1" * 16}
    record = {**step("failed", words, role=words), "changes": [dict.fromkeys(("path", "action", "detail"), words)]}
    run_dir = folder(tmp_path, [host(failed)], [host(failed, new)], [record], stopped={"host": words, "reason": words, "kind": "worse"})
    more = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps({**more, "remediate": {"select": [words], "consent": [words], "first": words}}))
    report = build(run_dir)
    assert report.document["hosts"][0]["name"] == name
    return report


def test_text_of_hosts_is_text_everywhere(tmp_path: Path) -> None:
    report = evil(tmp_path / "run", EVIL)
    page = "".join(html.render(report))
    assert page.count("<script") == 2 and "\x00" not in page and "\x1b" not in page and "\u202e" not in page
    assert "&lt;/td&gt;" in page and "49" not in re.sub(r"[0-9a-zA-Z+/=-]{20,}", "", page).replace("2019", "").replace("249", "")
    words = "".join(markdown.render(report))
    row = next(line for line in words.splitlines() if line.startswith("| ❌"))
    assert len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) == 6
    assert words.count("<details>") == words.count("</details>")
    outside = re.sub(r"(?ms)\\.|^(`{3,})text\n.*?^\1$|(?<!`)(`+)(?!`).*?(?<!`)\2(?!`)", "", words)
    assert not re.search(r"<(?!/?(?:details|summary|sub|br)>)", outside)
    ElementTree.fromstring("".join(junit.render(report)).encode())
    screen = terminal.render(report, {})
    assert "\x1b" not in screen and "\x00" not in screen and len(screen.split("\n")) <= 24


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_any_text_gives_every_report(tmp_path_factory: pytest.TempPathFactory, words: str) -> None:
    report = evil(tmp_path_factory.mktemp("any") / "run", words)
    assert "".join(html.render(report)).count("<script") == 2
    ElementTree.fromstring("".join(junit.render(report)).encode())
    assert json.loads("".join(json_report.render(report)))
    assert "".join(markdown.render(report)) and terminal.render(report, {})


def crowd(tmp_path: Path, hosts: int) -> model.Report:
    """So many hosts: the same is fixed on all, and each has a reason of its own why something is not."""
    bind = {**fleet.result("pprof.bind", "fail", "It is open.", subject="api tcp 0.0.0.0:6060").as_dict()}
    names = [f"web{number}" for number in range(hosts)]
    return build(fleet.write_remediation(tmp_path / "run", {
        "about": {**fleet.run(names), "mode": "remediate"}, "stopped": None,
        "before": [host(NOFILE, bind, name=name) for name in names], "hosts": [host(PASS, bind, name=name) for name in names],
        "remediation": [{"format": 1, "name": name, "check_mode": False, "batch": 1, "left": [], "worse": [], "steps": [
            step(), step("failed", f"{name} said no", items=(bind["fingerprint"],), role="pprof_guard")]} for name in names]}))


def test_a_large_fleet_is_counted_not_listed(tmp_path: Path) -> None:
    report = crowd(tmp_path, 300)
    assert report.mended and [one.hosts for one in report.mended.changed] == [tuple(f"web{number}" for number in range(300))]
    assert len(report.mended.of("fixed")) == 1 and len(report.mended.of("not_fixed")) == 300
    page = "".join(html.render(report))
    assert "and 240 more lines, which report.json holds" in page and "and 292 more" in page
    assert page.count('<tr>\n      <td><div class="item">') == 61
    assert len("".join(markdown.render(report)).encode()) <= markdown.LIMIT
