# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""preflight.yml as a user runs it, on this machine: inputs, the gate, the report, custom checks."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Probes of a file that is there on every system: verdicts of these tests do not depend on the machine's own health.
ONLY = {"preflight_checks": ["example.*"]}
OUR_OWN = {"id": "example.passwd", "title": "There is a passwd file", "severity": "high",
           "probe": {"kind": "file", "path": "/etc/passwd"}, "that": "probe.exists"}
TWO_HOSTS = f"""
all:
  hosts:
    here: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}, expected: /etc/passwd}}
    "gone/1": {{ansible_host: 127.0.0.1, ansible_port: 1, ansible_ssh_common_args: -o ConnectTimeout=2}}
"""


def only(*checks, **variables):
    return {"preflight_custom_checks": list(checks), **ONLY, **variables}


@pytest.mark.parametrize(("variables", "message"), [
    pytest.param({"preflight_profile": "fast"}, "preflight_profile: 'fast' is not one of quick, standard, deep", id="profile"),
    pytest.param({"preflight_checks": ["pprof.bnd"]}, "no check is named pprof.bnd; did you mean pprof.bind", id="check id"),
    pytest.param({"preflight_services": [{"name": "api", "nofiles": 3}]}, "unknown key 'nofiles'; did you mean nofile?", id="key"),
    pytest.param({"preflight_thresholds": {"limits.nofile_headroom": "x"}}, "limits.nofile_headroom.", id="threshold"),
    pytest.param({"preflight_waivers": [{"check": "host.*", "justification": "j", "approver": "a"}]},
                 "the key expires is missing", id="waiver"),
    pytest.param({"preflight_report_formats": ["pdf"]}, "'pdf' is not one of json, html, junit, md", id="format"),
    pytest.param({"preflight_baseline": "/etc/passwd"}, "preflight_baseline: '/etc/passwd' is no report", id="baseline"),
    pytest.param({"preflight_baseline": "/nonexistent.json"}, "preflight_baseline: '/nonexistent.json' is no report", id="no file"),
    pytest.param({"preflight_report_dir": "/etc/passwd/reports"}, "'/etc/passwd/reports' cannot be written", id="report folder"),
])
def test_wrong_input_is_one_sentence_before_any_host_is_touched(playbook, variables, message):
    run = playbook(variables)
    assert run.rc == 2, run.output
    assert message in run.output.replace("\n", " ").replace("  ", " "), run.output
    assert "Traceback" not in run.output
    assert "Gather, evaluate" not in run.output
    assert not run.reports.exists()


def test_a_run_that_is_refused_leaves_the_older_report_as_it_was(playbook):
    first = playbook(only(OUR_OWN))
    before = (first.reports / "report.json").read_bytes()
    assert playbook({"preflight_gate": "nope"}).rc == 2
    assert (first.reports / "report.json").read_bytes() == before


def test_ready_is_exit_zero(playbook):
    run = playbook(only(OUR_OWN))
    assert (run.rc, run.report["verdict"]) == (0, "ready"), run.output
    assert [line["status"] for line in run.results("here", "example.passwd")] == ["pass"]
    assert {path.name for path in run.reports.iterdir()} >= {"report.json", "report.html", "report.md", "junit.xml", "runs"}


@pytest.mark.parametrize(("severity", "rc", "verdict"), [("high", 2, "not_ready"), ("medium", 0, "ready_with_warnings")])
def test_the_gate_comes_after_the_report(playbook, severity, rc, verdict):
    run = playbook(only({**OUR_OWN, "severity": severity, "that": "not probe.exists"}))
    assert (run.rc, run.report["verdict"]) == (rc, verdict), run.output
    # The last word before Ansible's own recap is the summary.
    summary = run.output.index(verdict.upper().replace("_", " "))
    assert run.output.rfind("Hold the host") < summary < run.output.index("PLAY RECAP")


def test_check_mode_and_diff_do_the_same(playbook):
    run = playbook(only(OUR_OWN), arguments=["--check", "--diff"])
    assert (run.rc, run.report["verdict"], run.report["run"]["mode"]) == (0, "ready", "check"), run.output
    assert "changed=0" in run.output


def test_without_the_gate_the_report_stands_alone(playbook):
    run = playbook(only({**OUR_OWN, "that": "not probe.exists"}), arguments=["--skip-tags", "preflight_gate"])
    assert (run.rc, run.report["verdict"]) == (0, "not_ready"), run.output


def test_an_unreachable_host_is_a_row_and_the_fleet_is_inconclusive(playbook):
    run = playbook(only(OUR_OWN), inventory=TWO_HOSTS)
    rows = {row["name"]: row for row in run.report["hosts"]}
    assert (rows["here"]["verdict"], rows["here"]["reachable"]) == ("ready", True)
    assert (rows["gone/1"]["verdict"], rows["gone/1"]["reachable"]) == ("inconclusive", False)
    assert (run.rc, run.report["verdict"]) == (2, "inconclusive"), run.output
    # Only the host that is not ready is held.
    recap = run.output[run.output.index("PLAY RECAP"):]
    assert [line.split()[0] for line in recap.splitlines() if "failed=1" in line] == ["gone/1"], recap


def test_a_fleet_of_unreachable_hosts_has_a_report(playbook):
    run = playbook(only(OUR_OWN), inventory=TWO_HOSTS, arguments=["--limit", "gone*"])
    assert [(row["name"], row["verdict"]) for row in run.report["hosts"]] == [("gone/1", "inconclusive")]
    assert run.rc == 2


def test_limit_leaves_the_others_out(playbook):
    run = playbook(only(OUR_OWN), inventory=TWO_HOSTS, arguments=["--limit", "here", "--check"])
    assert [row["name"] for row in run.report["hosts"]] == ["here"]
    assert run.rc == 0


def test_a_host_whose_python_is_missing_is_a_row(playbook):
    run = playbook(only(OUR_OWN), inventory="all: {hosts: {odd: {ansible_connection: local, "
                                            "ansible_python_interpreter: /nonexistent/python}}}")
    (row,) = run.report["hosts"]
    assert (row["verdict"], run.rc) == ("inconclusive", 2), run.output
    assert "could not run" in json.dumps(row), row


def test_conditions_see_the_probe_the_facts_and_the_inventory(playbook):
    check = {**OUR_OWN, "that": ["probe.path == expected", "facts.host.kernel is string"], "when": "expected is defined"}
    run = playbook(only(check), inventory=TWO_HOSTS, arguments=["--limit", "here"])
    assert (run.rc, run.report["verdict"]) == (0, "ready"), run.output


def test_a_condition_on_what_is_not_there_is_an_error_not_a_pass(playbook):
    run = playbook(only({**OUR_OWN, "that": "probe.nothing == 1"}))
    assert (run.rc, run.report["verdict"]) == (2, "inconclusive")
    assert run.results("here", "example.passwd")[0]["status"] == "error"


def test_a_probe_from_the_controller(playbook):
    run = playbook(only({**OUR_OWN, "from": "controller"}))
    assert (run.rc, run.report["verdict"]) == (0, "ready"), run.output


def test_a_family_of_another_collection(playbook):
    run = playbook(
        {"preflight_custom_checks": ["acme.checks.billing"], "preflight_checks": ["billing.*"],
         "preflight_services": [{"name": "billing"}], "preflight_thresholds": {"billing.memory": 0.001}},
        environment={"ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/collections:{ROOT}/tests/integration/collections"},
    )
    assert (run.rc, run.report["verdict"]) == (0, "ready"), run.output
    assert run.report["checks"]["billing.memory"]["title"] == "The host has the memory that billing was sized for"


@pytest.mark.parametrize(("expires", "rc", "state"), [
    ("2999-01-01T00:00:00Z", 0, "active"), ("2020-01-01T00:00:00Z", 2, "expired"),
])
def test_a_waiver_holds_until_its_day(playbook, expires, rc, state):
    waiver = {"check": "example.*", "justification": "known", "approver": "ann", "expires": expires}
    run = playbook(only({**OUR_OWN, "that": "not probe.exists"}, preflight_waivers=[waiver]))
    assert run.rc == rc, run.output
    assert [one["state"] for one in run.report["waivers"]] == [state]
    assert run.results("here", "example.passwd")[0]["status"] == "fail"


def test_a_baseline_tells_new_fixed_and_unchanged(playbook, tmp_path):
    broken = {**OUR_OWN, "that": "not probe.exists"}
    first = playbook(only(broken, {**OUR_OWN, "id": "example.other"}))
    baseline = tmp_path / "baseline.json"
    baseline.write_bytes((first.reports / "report.json").read_bytes())
    first_id = first.report["run"]["id"]
    second = playbook(only(OUR_OWN, {**broken, "id": "example.other"}, preflight_baseline=str(baseline)))
    delta = second.report["delta"]
    assert delta["baseline_run_id"] == first_id
    assert ("example.other" in json.dumps(delta["new"]), "example.passwd" in json.dumps(delta["fixed"])) == (True, True), delta


def test_a_replay_gives_the_same_results(playbook):
    run = playbook({"preflight_checks": ["host.*", "services.*"]}, arguments=["--skip-tags", "preflight_gate"])
    (facts,) = (run.reports / "runs").glob("*/facts/here.json")
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.goready.preflight.plugins.plugin_utils.replay", str(facts)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "collections")}, text=True, stdout=subprocess.PIPE, cwd="/", timeout=60, check=False,
    )
    (row,) = run.report["hosts"]
    assert json.loads(done.stdout)["results"] == row["results"]
    assert done.returncode == {"ready": 0, "ready_with_warnings": 0, "not_ready": 2, "inconclusive": 3}[row["verdict"]]


def test_an_ordinary_user_gets_unknowns_not_a_crash(playbook, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("is the ordinary user itself")
    tmp_path.chmod(0o755)
    run = playbook({}, inventory="all: {hosts: {here: {ansible_connection: local, ansible_python_interpreter: /usr/bin/python3, "
                                 "ansible_become: true, ansible_become_method: ansible.builtin.su, ansible_become_user: nobody, "
                                 "ansible_become_flags: '-s /bin/sh'}}}")
    (row,) = run.report["hosts"]
    assert not row.get("error"), row["error"]
    assert {line["status"] for line in row["results"]} >= {"pass", "unknown"}
    assert all("Traceback" not in line["reason"] for line in row["results"])
    assert not [line for line in row["results"] if line["status"] == "error"]
