# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: selection, missing facts, waivers, verdicts; a broken check stays alone."""
from __future__ import annotations

import dataclasses
import datetime

import pytest
from hypothesis import given, strategies as st

from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Policy, Remediation, Result, Threshold, Waiver, check, failed, notapplicable, passed, run, unknown,
)

NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.timezone.utc)


def make(check_id="host.example", function=None, **fields):
    fields = {"title": "t", "severity": "high", "why": "w", "judged": "j", "remediation": Remediation(hint="h"), **fields}
    return check(check_id, **fields)(function or (lambda facts, policy: [passed("fine")]))


def statuses(results):
    return [(result.id, result.subject, result.status) for result in results]


def test_a_check_that_raises_is_one_error_and_keeps_what_it_found_before():
    def breaks(facts, policy):
        yield failed("first", subject="api")
        raise KeyError("gone")

    results = run([make("a.breaks", breaks), make("a.next")], {}, Policy())
    assert statuses(results) == [("a.breaks", "api", "fail"), ("a.breaks", "", "error"), ("a.next", "", "pass")]
    assert results[1].reason == "The check itself broke: KeyError: 'gone'"


def test_a_check_without_outcome_is_notapplicable_not_missing():
    assert statuses(run([make(function=lambda facts, policy: [])], {}, Policy())) == [("host.example", "", "notapplicable")]


@pytest.mark.parametrize(("kind", "privileged", "hint"), [
    pytest.param("permission", False, engine.AS_ROOT.hint, id="refused"),
    pytest.param("permission", True, "h", id="root was refused"),
    pytest.param("unavailable", False, "h", id="not there"),
])
def test_what_was_refused_is_mended_by_becoming_root(kind, privileged, hint):
    facts = {"collected": {"privileged": privileged}, "errors": [{"part": "host.memory", "kind": kind, "message": "[Errno 13] x"}]}
    (result,) = run([make(needs=("host.memory",))], facts, Policy())
    assert (result.status, result.remediation.hint) == ("unknown", hint)


@pytest.mark.parametrize(("told", "privileged", "expected"), [
    pytest.param(("", "fds: permission denied"), False, engine.AS_ROOT, id="refused"),
    pytest.param(("[Errno 13] Permission denied: '/x'",), False, engine.AS_ROOT, id="as Python says it"),
    pytest.param(("fds: permission denied",), True, None, id="root was refused"),
    pytest.param(("", None, "operation not permitted"), False, None, id="a firewall on the host refuses root too"),
    pytest.param((), False, None, id="nothing told"),
])
def test_as_root(told, privileged, expected):
    assert engine.as_root({"collected": {"privileged": privileged}}, *told) is expected


@pytest.mark.parametrize(("fields", "policy", "reason"), [
    pytest.param({"profile": "deep"}, {}, "Belongs to profile deep; this run is standard.", id="profile"),
    pytest.param({}, {"select": ("limits.*",)}, "Not named by preflight_checks.", id="not named"),
    pytest.param({}, {"skip": ("host.*",)}, "Left out by preflight_skip_checks.", id="skipped by glob"),
    pytest.param({"tags": ("security",)}, {"skip": ("@security",)}, "Left out by preflight_skip_checks.", id="skipped by tag"),
    pytest.param({}, {"skip": ("@host",)}, "Left out by preflight_skip_checks.", id="family as tag"),
])
def test_what_is_not_selected_stays_visible_with_its_reason(fields, policy, reason):
    (result,) = run([make(**fields)], {}, Policy(**policy))
    assert (result.status, result.reason) == ("notselected", reason)


@pytest.mark.parametrize(("errors", "status", "reason"), [
    pytest.param([{"part": "host.memory", "kind": "timeout", "message": "too slow"}], "error",
                 "host.memory could not be collected: too slow", id="collector timed out"),
    pytest.param([{"part": "host", "kind": "exception", "message": "boom"}], "error",
                 "host.memory could not be collected: boom", id="whole subset broke"),
    pytest.param([{"part": "host.memory", "kind": "permission", "message": "denied"}], "unknown",
                 "host.memory could not be collected: denied", id="no privilege"),
    pytest.param([{"part": "host.mem", "kind": "timeout", "message": "other"}], "unknown",
                 "host.memory was not collected.", id="a name that only begins alike"),
    pytest.param([], "unknown", "host.memory was not collected.", id="subset not asked for"),
])
def test_missing_facts_are_never_a_pass(errors, status, reason):
    (result,) = run([make(needs=("host.memory",))], {"host": {}, "errors": errors}, Policy())
    assert (result.status, result.reason) == (status, reason)


def waiver(**fields):
    return Waiver(**{"check": "host.example", "hosts": ("*",), "subject": "*", "justification": "known", "approver": "ann",
                     "expires": NOW + datetime.timedelta(days=1), **fields})


@pytest.mark.parametrize(("fields", "waived"), [
    pytest.param({}, True, id="all hosts"),
    pytest.param({"hosts": ("web*",)}, True, id="host glob"),
    pytest.param({"hosts": ("edge",)}, True, id="group"),
    pytest.param({"hosts": ("db*",)}, False, id="other host"),
    pytest.param({"subject": "api"}, True, id="subject"),
    pytest.param({"subject": "worker"}, False, id="other subject"),
    pytest.param({"check": "host.*"}, True, id="check glob"),
    pytest.param({"check": "limits.*"}, False, id="other check"),
])
def test_a_waiver_keeps_the_failure_and_marks_it(fields, waived):
    policy = Policy(hostname="web1", groups=("edge",), waivers=(waiver(**fields),), now=NOW)
    (result,) = run([make(function=lambda facts, policy: [failed("bad", subject="api")])], {}, policy)
    assert (result.status, result.waived) == ("fail", waived)
    assert engine.verdict([result], "high") == ("ready" if waived else "not_ready")


def test_an_expired_waiver_gates_again_and_says_so():
    policy = Policy(waivers=(waiver(expires=NOW),), now=NOW)
    (result,) = run([make(function=lambda facts, policy: [failed("bad")])], {}, policy)
    assert not result.waived
    assert result.reason == "bad (a waiver by ann expired at 2026-11-21T12:00:00+00:00)"
    assert engine.verdict([result], "high") == "not_ready"


def test_the_longest_of_two_waivers_counts():
    policy = Policy(waivers=(waiver(expires=NOW), waiver(approver="bob")), now=NOW)
    (result,) = run([make(function=lambda facts, policy: [failed("bad")])], {}, policy)
    assert result.waived and "by bob" in result.evidence[-1]


def test_a_pass_is_never_marked_waived():
    policy = Policy(waivers=(waiver(),), now=NOW)
    (result,) = run([make()], {}, policy)
    assert (result.status, result.waived) == ("pass", False)


def result(status="fail", severity="high", **fields):
    return Result(id="a.b", status=status, severity=severity, reason="", **fields)


@pytest.mark.parametrize(("results", "gate", "verdict"), [
    pytest.param([], "high", "inconclusive", id="nothing"),
    pytest.param([result("notselected")], "high", "inconclusive", id="nothing was selected"),
    pytest.param([result("pass"), result("notapplicable"), result("notselected")], "high", "ready", id="all well"),
    pytest.param([result()], "high", "not_ready", id="fail at the gate"),
    pytest.param([result(severity="medium")], "high", "ready_with_warnings", id="fail below the gate"),
    pytest.param([result(severity="medium")], "medium", "not_ready", id="gate lowered"),
    pytest.param([result("unknown")], "high", "inconclusive", id="unknown at the gate"),
    pytest.param([result("error", "critical")], "high", "inconclusive", id="error at the gate"),
    pytest.param([result("unknown", "low")], "high", "ready_with_warnings", id="unknown below the gate is no pass"),
    pytest.param([result("unknown"), result()], "high", "not_ready", id="a certain fail outweighs an unknown"),
    pytest.param([result(waived=True)], "high", "ready", id="waived"),
])
def test_verdict(results, gate, verdict):
    assert engine.verdict(results, gate) == verdict


@pytest.mark.parametrize(("verdicts", "fleet"), [
    pytest.param([], "inconclusive", id="no hosts"),
    pytest.param(["ready", "ready_with_warnings"], "ready_with_warnings", id="warnings"),
    pytest.param(["ready", "inconclusive"], "inconclusive", id="one unclear"),
    pytest.param(["inconclusive", "not_ready", "ready"], "not_ready", id="worst counts"),
])
def test_fleet_verdict(verdicts, fleet):
    assert engine.fleet_verdict(verdicts) == fleet


@given(st.lists(st.tuples(st.sampled_from(engine.STATUSES), st.sampled_from(engine.SEVERITIES), st.booleans())),
       st.sampled_from(engine.SEVERITIES))
def test_a_verdict_is_never_better_with_one_more_open_failure(lines, gate):
    results = [result(status, severity, waived=waived) for status, severity, waived in lines]
    before = engine.VERDICTS.index(engine.verdict(results, gate))
    after = engine.VERDICTS.index(engine.verdict([*results, result(severity="critical")], gate))
    assert after == engine.VERDICTS.index("not_ready") >= before


def test_fingerprint_names_check_and_subject_only():
    one = result(subject="api")
    assert one.fingerprint == dataclasses.replace(one, reason="other", status="pass", actual=3).fingerprint
    assert one.fingerprint != dataclasses.replace(one, subject="worker").fingerprint


@pytest.mark.parametrize(("threshold", "value", "parsed"), [
    (Threshold(5, ""), "7", 7),
    (Threshold(5, ""), 7.0, 7),
    (Threshold(0.5, ""), 1, 1.0),
    (Threshold(0.5, ""), "0.25", 0.25),
    (Threshold(True, ""), False, False),
    (Threshold("a", "", choices=("a", "b")), "b", "b"),
    (Threshold(("x",), ""), ["y"], ("y",)),
])
def test_threshold_takes(threshold, value, parsed):
    assert threshold.parse(value) == parsed and type(threshold.parse(value)) is type(parsed)


@pytest.mark.parametrize(("threshold", "value", "message"), [
    (Threshold(5, "", minimum=1, maximum=9), 10, "expected a whole number from 1 to 9"),
    (Threshold(5, ""), 1.5, "expected a whole number"),
    (Threshold(0.5, ""), 10**400, "expected a number"),
    (Threshold(5, "", unit="files"), "many", "expected a whole number of files"),
    (Threshold(5, ""), True, "expected a whole number"),
    (Threshold(5, ""), None, "expected a whole number"),
    (Threshold(0.5, "", minimum=0), float("nan"), "expected a number of at least 0"),
    (Threshold(0.5, ""), [], "expected a number"),
    (Threshold(True, ""), "yes", "expected true or false"),
    (Threshold("a", "", choices=("a", "b")), "c", "expected one of a, b"),
    (Threshold(("x",), ""), "y", "expected a list of strings"),
    (Threshold(("x",), "", choices=("x", "y")), ["z"], "expected a list of x, y"),
])
def test_threshold_refuses(threshold, value, message):
    with pytest.raises(ValueError) as caught:
        threshold.parse(value)
    assert str(caught.value) == message


@pytest.mark.parametrize("fields", [{"severity": "urgent"}, {"profile": "slow"}, {"check_id": "nodot"}])
def test_a_wrong_declaration_is_refused_when_the_family_is_loaded(fields):
    with pytest.raises(ValueError):
        make(**fields)


def test_outcome_may_lower_its_severity_and_bring_its_own_remediation():
    outcome = failed("bad", severity="info", remediation=Remediation(command="systemctl restart api"))
    (result_,) = run([make(function=lambda facts, policy: [outcome])], {}, Policy())
    assert (result_.severity, result_.remediation.command) == ("info", "systemctl restart api")


def test_unknown_and_notapplicable_keep_their_evidence():
    results = run([make(function=lambda facts, policy: [unknown("?", evidence=["a"]), notapplicable("-", evidence=["b"])])], {}, Policy())
    assert [line.evidence for line in results] == [("a",), ("b",)]


def test_a_subject_that_is_no_valid_unicode_has_a_fingerprint():
    assert len(result(subject="\udcff").fingerprint) == 16
