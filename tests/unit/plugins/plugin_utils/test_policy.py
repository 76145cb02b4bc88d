# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public variables: every fault names the key, the value and what is allowed."""
from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies as st

from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue, policy

ROOT = Path(__file__).resolve().parents[4]
UTC = datetime.timezone.utc
WAIVER = {"check": "pprof.bind", "justification": "known", "approver": "ann", "expires": "2027-01-31T12:00:00Z"}


def fault(**variables):
    with pytest.raises(policy.PolicyError) as caught:
        policy.parse(variables)
    return str(caught.value)


@pytest.mark.parametrize(("variables", "message"), [
    pytest.param({"preflight_profile": "fast"}, "preflight_profile: 'fast' is not one of quick, standard, deep", id="profile"),
    pytest.param({"preflight_gate": "severe"}, "preflight_gate: 'severe' is not one of info, low, medium, high, critical",
                 id="gate"),
    pytest.param({"preflight_toolchain": "maybe"},
                 "preflight_toolchain: 'maybe' is not one of required, optional, absent", id="toolchain"),
    pytest.param({"preflight_go_version": 1.27},
                 "preflight_go_version: 1.27 is a number; write it in quotes, for instance \"1.27\"", id="go version as number"),
    pytest.param({"preflight_checks": ["pprof.bnd"]}, "preflight_checks: no check is named pprof.bnd; did you mean pprof.bind",
                 id="closest id"),
    pytest.param({"preflight_skip_checks": ["@secrity"]}, "preflight_skip_checks: no check carries the tag @secrity; there are @",
                 id="unknown tag"),
    pytest.param({"preflight_checks": ["nothing.*"]}, "preflight_checks: no check is named nothing.*; the families are",
                 id="glob that matches nothing"),
    pytest.param({"preflight_services": "api"}, "preflight_services: 'api' is not a list", id="services no list"),
    pytest.param({"preflight_services": [{"unit": "api.service"}]}, "preflight_services: [0]: the key name is missing", id="no name"),
    pytest.param({"preflight_services": [{"name": "api", "nofiles": 1}]},
                 "preflight_services: [0] (api): unknown key 'nofiles'; did you mean nofile? allowed are name, unit, binary",
                 id="unknown key"),
    pytest.param({"preflight_services": [{"name": "api", "pprof": "http://127.0.0.1:sixty"}]},
                 "preflight_services: [0] (api): pprof: 'http://127.0.0.1:sixty' is not a URL that can be asked: "
                 "'sixty' is not a port number from 1 to 65535",
                 id="port no number"),
    pytest.param({"preflight_services": [{"name": "api", "pprof": "http://127.0.0.1:99999"}]},
                 "preflight_services: [0] (api): pprof: 'http://127.0.0.1:99999' is not a URL that can be asked: "
                 "'99999' is not a port number", id="port too big"),
    pytest.param({"preflight_services": [{"name": "api", "health": "ftp://x"}]},
                 "preflight_services: [0] (api): health: 'ftp://x' is not a URL that begins with http://, https://, unix://",
                 id="scheme"),
    pytest.param({"preflight_services": [{"name": "api", "depends_on": ["tcp://db1"]}]},
                 "preflight_services: [0] (api): depends_on: 'tcp://db1' names no port; expected tcp://host:port", id="no port"),
    pytest.param({"preflight_services": [{"name": "api", "nofile": "many"}]},
                 "preflight_services: [0] (api): nofile: 'many' is not a whole number from 1 to 1073741824", id="nofile"),
    pytest.param({"preflight_services": [{"name": "api", "unit": "api"}]},
                 "preflight_services: [0] (api): unit: 'api' is not the name of a .service unit", id="unit"),
    pytest.param({"preflight_services": [{"name": "api\n"}]}, "name: 'api\\n' is not a service name", id="line break"),
    pytest.param({"preflight_services": [{"name": "a" * 5000}]}, "(5002 characters) is not a service name", id="long"),
    pytest.param({"preflight_services": [{"name": "api", "health": "http://[::1/"}]},
                 "health: 'http://[::1/' is not a URL that can be asked: ", id="IPv6"),
    pytest.param({"preflight_services": [{"name": "api", "health": "http://a/ b"}]},
                 "health: 'http://a/ b' is not a URL that can be asked: a URL has no spaces", id="space in URL"),
    pytest.param({"preflight_waivers": [{**WAIVER, "expires": "9999-12-31T23:59:59-12:00"}]}, "is not an RFC 3339 time", id="overflow"),
    pytest.param({"preflight_custom_checks": [{"id": "a.b", "title": "t", "probe": {"kind": "file", "path": "/x"}, "that": "probe =="}]},
                 "a.b: that: 'probe ==' is not a Jinja expression: ", id="syntax of a condition"),
    pytest.param({"preflight_services": [{"name": "api"}, {"name": "api"}]},
                 "preflight_services: [1] (api): the name is declared twice", id="twice"),
    pytest.param({"preflight_services": [{"name": "api", "revision": 1234567}]},
                 "preflight_services: [0] (api): revision: 1234567 is not a VCS revision: 4 to 64 hexadecimal digits, in quotes",
                 id="revision without quotes"),
    pytest.param({"preflight_waivers": [{**WAIVER, "expires": ""}]},
                 "preflight_waivers: [0] (pprof.bind): the key expires is missing; a waiver needs", id="waiver without expiry"),
    pytest.param({"preflight_waivers": [{**WAIVER, "expires": "2027-01-31"}]},
                 "preflight_waivers: [0] (pprof.bind): expires: '2027-01-31' is not an RFC 3339 time with a zone", id="date only"),
    pytest.param({"preflight_waivers": [{**WAIVER, "expires": datetime.datetime(2027, 1, 31)}]},
                 "preflight_waivers: [0] (pprof.bind): expires: '2027-01-31 00:00:00' is not an RFC 3339 time with a zone",
                 id="YAML timestamp without a zone"),
    pytest.param({"preflight_waivers": [{**WAIVER, "check": "pprof.bound"}]},
                 "preflight_waivers: [0] (pprof.bound): check: no check is named pprof.bound; did you mean pprof.bind",
                 id="waiver for nothing"),
    pytest.param({"preflight_waivers": [{**WAIVER, "until": "x"}]}, "preflight_waivers: [0] (pprof.bind): unknown key 'until'",
                 id="waiver key"),
    pytest.param({"preflight_thresholds": {"limits.nofile_headrom": 1}},
                 "preflight_thresholds: no check is named limits.nofile_headrom; did you mean limits.nofile_headroom",
                 id="threshold of no check"),
    pytest.param({"preflight_custom_checks": [{"id": "x"}]}, "preflight_custom_checks[0]: x: the key title is missing", id="custom"),
    pytest.param({"preflight_custom_checks": ["acme.checks.billing"]},
                 "preflight_custom_checks[0]: check family acme.checks.billing was not found: is the collection acme.checks installed",
                 id="family of a collection that is not there"),
    pytest.param({"preflight_custom_checks": ["billing"]},
                 "preflight_custom_checks[0]: 'billing' is no check family: expected namespace.collection.family", id="no FQCN"),
])
def test_faults(variables, message):
    assert message in fault(**variables)


@pytest.mark.parametrize(("variables", "message"), [
    pytest.param({"preflight_timeout": value}, f"preflight_timeout: {value!r} is not a whole number from 1 to 3600",
                 id=f"timeout {value!r}")
    for value in (0, -5, "soon", 1.5, None, 10**12, True)
] + [
    pytest.param({"preflight_keep_runs": "all"}, "preflight_keep_runs: 'all' is not a whole number from 0", id="runs"),
    pytest.param({"preflight_report_formats": []}, "preflight_report_formats: the list is empty; name at least one of json", id="none"),
    pytest.param({"preflight_report_formats": {"a": 1}}, "preflight_report_formats: {'a': 1} is not a list", id="dict"),
    pytest.param({"preflight_report_dir": ["a"]}, "preflight_report_dir: ['a'] is not a path", id="list"),
    pytest.param({"preflight_report_dir": "a\0b"}, "preflight_report_dir: 'a\\x00b' is not a path", id="NUL"),
    pytest.param({"preflight_report_dir": "/etc/passwd/x"},
                 "preflight_report_dir: '/etc/passwd/x' cannot be written: '/etc/passwd' is not a folder", id="file in the way"),
    pytest.param({"preflight_baseline": "/dev/zero"}, "preflight_baseline: '/dev/zero' is no report: ", id="no file"),
])
def test_faults_of_the_run(variables, message):
    with pytest.raises(policy.PolicyError) as caught:
        policy.parse_run(variables)
    assert message in str(caught.value)


def test_the_runs_defaults_are_valid(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = policy.parse_run({})
    assert (settings.report_dir, settings.baseline, settings.timeout, settings.keep_runs) == (tmp_path / "reports", None, 30, 10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "near"), [
    ("preflight_gates", "preflight_gate"), ("preflight_servces", "preflight_services"), ("preflight_gate", None),
    ("preflight_hosts", None), ("preflight_release_train", None),
])
def test_a_misspelt_variable_is_told(name, near):
    sentences = policy.misspelt([name])
    assert sentences == ([f"{name} is no variable of this collection and has no effect; did you mean {near}?"] if near else [])


@pytest.mark.parametrize("variables", [{"preflight_checks": []}, {"preflight_skip_checks": ["*"]}], ids=["none named", "all left out"])
def test_a_selection_that_leaves_nothing_is_refused(variables):
    assert "leave no check to judge: a run that asks nothing proves nothing" in fault(**variables)


def test_every_fault_is_told_at_once():
    with pytest.raises(policy.PolicyError) as caught:
        policy.parse({"preflight_profile": "x", "preflight_gate": "y", "preflight_services": 3})
    assert [one.split(":")[0] for one in caught.value.faults] == ["preflight_profile", "preflight_services", "preflight_gate"] or \
        sorted(one.split(":")[0] for one in caught.value.faults) == ["preflight_gate", "preflight_profile", "preflight_services"]


@pytest.mark.parametrize(("threshold", "message"), [
    pytest.param({"limits.nofile_headroom": "much"}, "limits.nofile_headroom.", id="type"),
    pytest.param({"toolchain.env_drift": ["ssh"]},
                 "toolchain.env_drift.must_see: ['ssh'] is not allowed: expected a list of login, non_login, sudo, systemd", id="words"),
    pytest.param({"limits.nofile_headroom": {"nope": 1}}, "limits.nofile_headroom: unknown threshold 'nope'; there are", id="name"),
    pytest.param([1], "preflight_thresholds: [1] is not a mapping of check ids to thresholds", id="no mapping"),
])
def test_threshold_faults(threshold, message):
    assert message in fault(preflight_thresholds=threshold)


def test_defaults_are_a_valid_policy_and_equal_the_role_and_its_specification():
    defaults = yaml.safe_load((ROOT / "roles/preflight/defaults/main.yml").read_text())
    options = yaml.safe_load((ROOT / "roles/preflight/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == defaults
    assert defaults == {**policy.DEFAULTS, **policy.REMEDIATION_DEFAULTS, **policy.RUN_DEFAULTS}
    assert tuple(options["preflight_consent"]["choices"]) == policy.CONSENT
    assert set(options["preflight_services"]["options"]) == set(policy.SERVICE_KEYS)
    assert tuple(options["preflight_profile"]["choices"]) == policy.PROFILES
    assert tuple(options["preflight_gate"]["choices"]) == policy.SEVERITIES
    assert tuple(options["preflight_toolchain"]["choices"]) == (*policy.TOOLCHAIN, "")
    assert tuple(options["preflight_report_formats"]["choices"]) == policy.FORMATS
    assert policy.parse(defaults).policy.toolchain == "optional"


@pytest.mark.parametrize(("values", "consent", "select"), [
    pytest.param({}, frozenset(), ("*",), id="defaults"),
    pytest.param({"preflight_consent": ["restart", "install"], "preflight_remediate": ["limits.*", "@pprof"]},
                 frozenset({"restart", "install"}), ("limits.*", "@pprof"), id="lists"),
    pytest.param({"preflight_consent": "restart, sysctl", "preflight_remediate": "limits.tasks,host.inodes"},
                 frozenset({"restart", "sysctl"}), ("limits.tasks", "host.inodes"), id="extra-vars"),
])
def test_the_mandate_of_remediation(values, consent, select):
    assert policy.parse_mandate(values, catalogue.load()) == policy.Mandate(consent, select)


@pytest.mark.parametrize(("values", "message"), [
    pytest.param({"preflight_consent": ["reboot"]},
                 "preflight_consent: 'reboot' is not one of restart, firewall, sysctl, install", id="consent"),
    pytest.param({"preflight_consent": True}, "preflight_consent: True is not a list", id="consent-type"),
    pytest.param({"preflight_remediate": ["limits.nofile"]}, "preflight_remediate: ", id="select"),
    pytest.param({"preflight_remediate": {"a": 1}}, "preflight_remediate: {'a': 1} is not a list", id="select-type"),
])
def test_a_wrong_mandate(values, message):
    with pytest.raises(policy.PolicyError) as caught:
        policy.parse_mandate(values, catalogue.load())
    assert caught.value.faults[0].startswith(message)


@pytest.mark.parametrize(("variable", "value", "said"), [
    ("preflight_remediate_first", 0, "0 is not a whole number from 1 to 100000"),
    ("preflight_remediate_batch", "200%", "'200%' is neither a whole number of hosts nor a percentage from 1% to 100%"),
    ("preflight_remediate_batch", 0, "0 is neither a whole number of hosts nor a percentage from 1% to 100%"),
    ("preflight_remediate_max_fail_percentage", 101, "101 is not a whole number from 0 to 100"),
])
def test_wrong_batches(variable, value, said):
    with pytest.raises(policy.PolicyError) as caught:
        policy.parse_run({variable: value})
    assert caught.value.faults == [f"{variable}: {said}"]


def test_every_default_carries_a_comment():
    lines = (ROOT / "roles/preflight/defaults/main.yml").read_text().splitlines()
    bare = [line for before, line in zip(lines, lines[1:]) if line[:1].isalpha() and not before.startswith("#")]
    assert bare == []


def test_a_version_policy_makes_the_toolchain_required():
    assert policy.parse({"preflight_go_version": "1.27"}).policy.toolchain == "required"
    assert policy.parse({"preflight_go_version": "1.27", "preflight_toolchain": "optional"}).policy.toolchain == "optional"


@pytest.mark.parametrize("expires", [
    "2027-01-31T12:00:00Z", "2027-01-31 13:00:00+01:00", datetime.datetime(2027, 1, 31, 12, tzinfo=UTC),
])
def test_expiry(expires):
    rules = policy.parse({"preflight_waivers": [{**WAIVER, "expires": expires}]})
    assert rules.policy.waivers[0].expires == datetime.datetime(2027, 1, 31, 12, tzinfo=UTC)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["name", "unit", "check", "expires", "id", "probe", "that", "x"]), inner, max_size=4), max_leaves=8)


@given(st.dictionaries(st.sampled_from(sorted(policy.DEFAULTS)), anything, max_size=4))
def test_arbitrary_variables_are_taken_or_refused_never_a_crash(variables):
    try:
        policy.parse(variables)
    except policy.PolicyError as exc:
        assert exc.faults and all(one.startswith("preflight_") for one in exc.faults)
