# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Six planted faults on each of two hosts. The tests are one story and run in the order of this file."""
from __future__ import annotations

import os
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import HOSTS, Run, begin

CONSENT = ["restart", "firewall"]
PLANTED = {
    ("limits.nofile_configured", "api"),
    ("limits.nofile_effective", "worker"),
    ("pprof.bind", "api [::]:6060"),
    ("pprof.reachable", "api [::]:6060"),
    ("modules.checksum_db", "deploy"),
    ("modules.insecure", "deploy"),
}
Play = Callable[..., Run]


@pytest.fixture(scope="module")
def before(snapshot: Callable[[str], list[str]]) -> dict[str, list[str]]:
    return {name: snapshot(name) for name in HOSTS}


@pytest.fixture(scope="module")
def predicted(play: Play, before: dict[str, list[str]]) -> Run:
    return play("remediate", "--check", "--diff", preflight_consent=CONSENT)


@pytest.fixture(scope="module")
def mended(play: Play, predicted: Run) -> Run:
    return play("remediate", "--diff", preflight_consent=CONSENT)


def test_the_faults_are_there(play: Play, before: dict[str, list[str]]) -> None:
    run = play("preflight")
    assert run.rc == 2, run.output
    for name in HOSTS:
        failed = {(one["id"], one["subject"]) for one in run.host(name)["results"] if one["status"] == "fail"}
        assert failed >= PLANTED
    assert "remediation" not in run.report


def test_without_consent_nothing_that_needs_it_is_done(play: Play, before: dict[str, list[str]],
                                                       snapshot: Callable[[str], list[str]]) -> None:
    run = play("remediate", preflight_remediate=["limits.*", "pprof.*"])
    assert run.rc == 2, run.output
    for name in HOSTS:
        assert run.outcomes(name, "fixed", "not_fixed", "new") == set()
        why = run.why(name)
        assert why["limits.nofile_configured"].lower().startswith("needs consent restart")
        assert why["pprof.bind"].lower().startswith("needs consent firewall" if name == "mend" else "needs consent restart or firewall")
        assert why["modules.checksum_db"].lower().startswith("not named by preflight_remediate")
        assert snapshot(name) == before[name]


def test_check_mode_changes_nothing(predicted: Run, before: dict[str, list[str]], snapshot: Callable[[str], list[str]]) -> None:
    assert predicted.rc == 2, predicted.output  # the hosts are as they were: not ready
    for name in HOSTS:
        assert predicted.outcomes(name, "predicted") >= PLANTED
        assert snapshot(name) == before[name]
    assert predicted.report["run"]["mode"] == "remediate-check"


@pytest.mark.parametrize("name", HOSTS)
def test_one_command_mends_all_six(mended: Run, name: str) -> None:
    assert mended.outcomes(name, "fixed") >= PLANTED, mended.output
    assert mended.outcomes(name, "not_fixed", "new") == set()
    assert mended.host(name)["verdict"] in ("ready", "ready_with_warnings")


def test_the_run_succeeds_and_the_screen_says_so(mended: Run) -> None:
    assert mended.rc == 0, mended.output
    assert mended.report["remediation"]["stopped"] is None
    assert mended.report["remediation"]["summary"]["not_fixed"] == 0
    assert "Remediation: " in mended.output


@pytest.mark.parametrize("name", HOSTS)
def test_the_prediction_was_exact(predicted: Run, mended: Run, name: str) -> None:
    assert predicted.changes(name) == mended.changes(name)
    assert len(mended.changes(name)) >= 5
    # What is fixed besides went with another change, and its own remediation is a person's decision.
    assert mended.outcomes(name, "fixed") - predicted.outcomes(name, "predicted") == {("limits.nofile_lowered", "api")}
    assert predicted.outcomes(name, "predicted") < mended.outcomes(name, "fixed")


def test_the_difference_is_shown(predicted: Run, mended: Run) -> None:
    for run in (predicted, mended):
        assert "+LimitNOFILE=8192:" in run.output
        assert "-GOSUMDB=off" in run.output


@pytest.mark.parametrize("name", HOSTS)
def test_the_processes_have_it(mended: Run, connect: Callable[[str], Any], name: str) -> None:
    host = connect(name)
    for unit, wanted in (("api", 8192), ("worker", 9000)):
        limits = host.check_output(f"cat /proc/$(systemctl show -p MainPID --value {unit}.service)/limits")
        soft = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3]
        assert int(soft) >= wanted - 1
    assert host.check_output("cat /home/deploy/.config/go/env").split() == ["GOFLAGS=-mod=mod", "GOSUMDB=sum.golang.org"]


def test_the_second_run_changes_nothing(play: Play, mended: Run, snapshot: Callable[[str], list[str]]) -> None:
    before = {name: snapshot(name) for name in HOSTS}
    run = play("remediate", preflight_consent=CONSENT)
    assert run.rc == 0, run.output
    assert re.findall(r"changed=(\d+)", run.output) == ["0", "0"]
    assert {name: snapshot(name) for name in HOSTS} == before
    for name in HOSTS:
        assert run.changes(name) == []


def test_removal_restores_the_hosts(play: Play, mended: Run, before: dict[str, list[str]],
                                    snapshot: Callable[[str], list[str]]) -> None:
    run = play("molecule/remediation/remove", preflight_consent=CONSENT)
    assert run.rc == 0, run.output
    for name in HOSTS:
        assert snapshot(name) == before[name]


def test_the_command_of_a_finding_mends_it(play: Play, connect: Callable[[str], Any]) -> None:
    run = play("preflight", limit="mend")
    (finding,) = [one for one in run.host("mend")["results"] if one["id"] == "modules.checksum_db" and one["status"] == "fail"]
    command = shlex.split(finding["remediation"]["mend"])
    assert command[:2] == ["ansible-playbook", "remediate.yml"]
    mended = play("remediate", *command[2:], limit="")
    assert mended.outcomes("mend", "fixed") == {("modules.checksum_db", "deploy")}, mended.output
    assert [row["name"] for row in mended.report["hosts"]] == ["mend"]
    # What was not named is left, and the host is held for it.
    assert ("pprof.bind", "api [::]:6060") in mended.outcomes("mend", "left")
    assert mended.rc == 2


def test_after_a_killed_run_the_next_one_ends_right(play: Play, connect: Callable[[str], Any], tmp_path: Path) -> None:
    host = connect("mend")
    drop_in, journal = "/etc/systemd/system/api.service.d/50-goready-limits.conf", "/var/lib/goready-preflight/service_limits.journal"
    # It takes a while to get ready, so that there is a restart to be killed in.
    host.check_output("install -d /etc/systemd/system/api.service.d && printf '[Service]\\nExecStartPre=/bin/sleep 8\\n' "
                      "> /etc/systemd/system/api.service.d/10-slow.conf && systemctl daemon-reload && systemctl restart api")
    process = begin("remediate", limit="mend", preflight_report_dir=str(tmp_path), preflight_consent=["restart"],
                    preflight_remediate="limits.nofile_configured")
    for _attempt in range(60):
        if host.file(drop_in).exists:
            break
        assert process.poll() is None, process.communicate()[0]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    # The module on the host goes on, or is taken back by the next call, which waits for its lock.
    run = play("remediate", limit="mend", preflight_consent=["restart"], preflight_remediate="limits.nofile_configured")
    failed = {(one["id"], one["subject"]) for one in run.host("mend")["results"] if one["status"] == "fail"}
    assert ("limits.nofile_configured", "api") not in failed, run.output
    # Where the module went on, the next run may have found everything in order while the unit was still getting ready.
    for _attempt in range(30):
        if host.service("api").is_running and not host.file(journal).exists:
            break
        time.sleep(1)
    assert host.service("api").is_running and host.file(drop_in).exists
    assert not host.file(journal).exists
    assert run.outcomes("mend", "not_fixed") == set()
    host.check_output(f"rm {drop_in} /etc/systemd/system/api.service.d/10-slow.conf && systemctl daemon-reload && systemctl restart api")


def test_a_host_that_gets_worse_stops_the_run_and_is_named(play: Play, connect: Callable[[str], Any]) -> None:
    # What the next start of the service brings with it: a debug listener for everybody.
    for name in HOSTS:
        connect(name).check_output(
            "cd /etc/systemd/system && sed -i 's/^LimitNOFILE=.*/LimitNOFILE=600/' worker.service && systemctl daemon-reload && "
            "systemctl restart worker && sed -i 's/-pprof 127.0.0.1:6061/-pprof 0.0.0.0:6061/' worker.service && "
            "systemctl daemon-reload")
    run = play("remediate", preflight_consent=["restart"], preflight_remediate="limits.nofile_configured")
    assert run.rc == 2, run.output
    stopped = run.report["remediation"]["stopped"]
    assert (stopped["host"], stopped["kind"]) == ("mend", "worse")
    assert "pprof." in stopped["reason"] and "mend" in run.output
    assert ("pprof.bind", "worker [::]:6061") in run.outcomes("mend", "new")
    assert ("limits.nofile_configured", "worker") in run.outcomes("mend", "fixed")
    # The other host was not touched, and the report says why.
    assert run.changes("mend-edge") == []
    why = run.why("mend-edge")["limits.nofile_configured"]
    assert "stopped before this host" in why and "mend" in why
    assert not connect("mend-edge").file("/etc/systemd/system/worker.service.d/50-goready-limits.conf").exists


def test_a_role_that_fails_is_told_and_stops_the_run(play: Play, connect: Callable[[str], Any]) -> None:
    # A program that does not start with more than the old limit.
    connect("mend").check_output(
        "install -d /etc/systemd/system/api.service.d && rm -f /etc/systemd/system/api.service.d/50-goready-limits.conf && "
        "systemctl daemon-reload && systemctl restart api && "
        """printf '[Service]\\nExecStartPre=/bin/sh -c "test $$(ulimit -n) -lt 1000"\\n' """
        "> /etc/systemd/system/api.service.d/90-picky.conf && systemctl daemon-reload")
    run = play("remediate", preflight_consent=["restart"], preflight_remediate=["limits.nofile_configured"])
    assert run.rc == 2, run.output
    assert ("limits.nofile_configured", "api") in run.outcomes("mend", "not_fixed")
    assert run.report["remediation"]["stopped"]["kind"] == "failures"
    host = connect("mend")
    assert host.service("api").is_running
    assert not host.file("/etc/systemd/system/api.service.d/50-goready-limits.conf").exists
    assert "preflight_remediate_max_fail_percentage" in run.report["remediation"]["stopped"]["reason"]
