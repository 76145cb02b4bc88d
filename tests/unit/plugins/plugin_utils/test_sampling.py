# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.goready.preflight.plugins.module_utils.collect import runtime
from ansible_collections.goready.preflight.plugins.plugin_utils import policy, sampling
from ansible_collections.goready.preflight.plugins.plugin_utils.sampling import Load, Sampling, parse, parse_load, seconds, steps


@pytest.mark.parametrize(("value", "message"), [
    pytest.param({"interval": 0}, "interval: 0 is not a whole number from 1 to 86400", id="number"),
    pytest.param({"snapshots": True}, "snapshots: True is not a whole number from 2 to 60", id="boolean"),
    pytest.param({"kinds": ["heap", "profile"]}, f"kinds: 'profile' is not one of {', '.join(sampling.KINDS)}", id="kind"),
    pytest.param({"intervall": 3}, "unknown key 'intervall'; did you mean interval? allowed are kinds, dump_limit, leak_limit, "
                 "cpu_seconds, snapshots, interval, gc, budget, profile_limit", id="key"),
    pytest.param([1], "[1] is not a mapping; its keys are kinds, dump_limit, leak_limit, cpu_seconds, snapshots, interval, gc, budget, "
                 "profile_limit", id="mapping"),
    pytest.param({"gc": "perhaps"}, "gc: 'perhaps' is neither true nor false", id="truth"),
])
def test_wrong_sampling_is_told_by_key_value_and_what_is_allowed(value, message):
    with pytest.raises(ValueError) as caught:
        parse(value)
    assert str(caught.value) == message


def test_sampling_of_extra_vars_and_of_the_inventory():
    assert parse({}) == Sampling()
    assert parse({"interval": "5", "gc": "yes", "kinds": ["goroutine", "heap"]}) == Sampling(
        kinds=("heap", "goroutine"), interval=5, gc=True)


@pytest.mark.parametrize(("value", "message"), [
    pytest.param({"command": "true", "url": "http://127.0.0.1/"},
                 "command and url of command, url and external is given; exactly one says where the load comes from", id="two"),
    pytest.param({"duration": 3}, "none of command, url and external is given; exactly one says where the load comes from", id="none"),
    pytest.param({"command": "true", "rate": 3}, "rate belongs to url; a command has its own", id="rate"),
    pytest.param({"external": True, "from": "host"}, "from belongs to command and url; an external load is nobody's here", id="from"),
    pytest.param({"command": "echo 'x"}, "command: it is no command line: no closing quotation", id="quotes"),
    pytest.param({"url": "ftp://x/"}, "url: 'ftp://x/' is not a URL that begins with http:// or https://", id="url"),
    pytest.param({"command": "true", "duration": 7200}, "duration: 7200 is not a whole number from 1 to 3600", id="long"),
    pytest.param({"command": "TOKEN=s3cret ./run"},
                 "command: its first word sets a variable; there is no shell: use env NAME=VALUE COMMAND", id="variable"),
    pytest.param({"url": "http://me:s3cret@127.0.0.1/"},
                 "url: a URL with a user or password is not taken; give a command that reads them from a file", id="secret"),
    pytest.param({"external": False, "command": []}, "command: expected a command line, or a list of its words", id="empty"),
    pytest.param({"command": "true", "from": "moon"}, "from: 'moon' is not one of controller, host", id="place"),
])
def test_a_wrong_load_is_told(value, message):
    with pytest.raises(ValueError) as caught:
        parse_load(value)
    assert str(caught.value) == message


def test_loads():
    assert parse_load({}) is None
    assert parse_load({"command": "hey -z '5 s'", "settle": 1}) == Load(
        "command", ("hey", "-z", "5 s"), "controller", 60, 1, "the command hey on the controller")
    assert parse_load({"external": True, "duration": 9}) == Load("external", (), "controller", 9, 30, "an external load of 9 s")
    load = parse_load({"url": "http://127.0.0.1:8080/x?a='b", "rate": 7})
    assert load is not None and (load.place, load.words) == ("host", "7 requests/s from the host")


def test_a_url_without_a_tool_says_which_there_could_be(tmp_path):
    load = parse_load({"url": "http://127.0.0.1:9/", "duration": 1})
    done = subprocess.run(load.argv, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (127, "none of vegeta, oha, hey is installed\n")


@pytest.mark.parametrize("tool", sampling.LOAD_TOOLS)
def test_the_tool_that_is_installed_gets_url_rate_and_duration(tmp_path, tool):
    program = tmp_path / tool
    program.write_text('#!/bin/sh\necho "$0 $*" > "$OUT"; [ "$1" = attack ] && cat >> "$OUT"; exit 0\n')
    program.chmod(0o755)
    load = parse_load({"url": "http://127.0.0.1:9/a?x='y$z", "rate": 7, "duration": 3})
    out = tmp_path / "out"
    subprocess.run(load.argv, env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "OUT": str(out)}, check=True)
    said = out.read_text()
    assert said.startswith(f"{program} ") and "http://127.0.0.1:9/a?x='y$z" in said
    assert "3s" in said and "7" in said


def test_the_steps_of_the_profiles():
    load = parse_load({"command": "true", "duration": 40, "settle": 5})
    assert steps(Sampling(), load, "quick") == []
    (once,) = steps(Sampling(), load, "standard")
    assert once.phase == "once" and "cpu" not in once.kinds and "goroutineleak" in once.kinds
    alone = steps(Sampling(interval=8), None, "deep")
    assert [(step.after, "cpu" in step.kinds) for step in alone if step.phase == "idle"] == [(0, False), (8, False), (16, True)]
    assert [step.raw for step in alone[1:]] == [(), ("cpu",)]
    loaded = steps(Sampling(interval=8), load, "deep")
    assert [(step.phase, step.after) for step in loaded] == [
        ("idle", 0), ("idle", 8), ("idle", 16), ("load", 10), ("load", 20), ("load", 30), ("after", 5), ("after", 9), ("after", 13)]
    assert [step.phase for step in loaded if "cpu" in step.kinds] == ["load"]
    assert not any("cpu" in step.kinds for step in steps(Sampling(cpu_seconds=0), load, "deep"))


@pytest.mark.parametrize("given", [{}, {"leak_limit": "7"}], ids=["default", "given"])
def test_the_leak_profile_is_limited_in_standard_alone(given):
    read = parse(given)
    [once] = steps(read, None, "standard")
    assert once.leak_limit == read.leak_limit == int(given.get("leak_limit", 50_000))
    load = parse_load({"command": "true"})
    assert {step.leak_limit for step in steps(read, load, "deep")} == {runtime.LEAK_MOST}
    assert {key: runtime.Options.of({"leak_limit": key}).leak_limit for key in (0, runtime.LEAK_MOST)} == {0: 0, 10_000_000: 10_000_000}


def test_between_two_snapshots_goroutines_are_counted():
    plan = steps(Sampling(), None, "deep")
    assert [step.after for step in plan] == list(range(0, 121, 10))
    assert [step.after for step in plan if step.kinds != sampling.COUNT] == [0, 60, 120]
    assert [step.after for step in steps(Sampling(interval=12), None, "deep")] == [0, 6, 12, 18, 24]
    assert [step.after for step in steps(Sampling(kinds=("heap",)), None, "deep")] == [0, 60, 120]


@pytest.mark.parametrize(("profile", "least"), [("quick", 0), ("standard", 20), ("deep", 2 * 60 + 40 + 5 + 60 + 8 * 20)])
def test_a_task_is_given_the_time_that_the_steps_need(profile, least):
    load = parse_load({"command": "true", "duration": 40, "settle": 5})
    assert seconds(Sampling(), load, profile) >= least
    assert (seconds(Sampling(), load, profile) == 0) == (profile == "quick")


SERVICE = [{"name": "api", "unit": "api.service", "pprof": "http://127.0.0.1:6060"}]


@pytest.mark.parametrize(("value", "message"), [
    pytest.param({"web": {}}, "web: no service of that name is declared; preflight_services has api", id="name"),
    pytest.param({"api": {"username": "me"}}, "api: username and password belong together", id="half"),
    pytest.param({"api": {"username": "me", "password": "s3cret", "token": "t"}}, "api: token and username exclude each other", id="both"),
    pytest.param({"api": {"passwort": "s3cret"}}, "api: unknown key 'passwort'; allowed are username, password, token, ca_file, "
                 "validate_certs", id="key"),
    pytest.param({"api": {"password": "s3\ncret"}}, "api: password: expected a text without line breaks", id="line"),
    pytest.param("s3cret", "expected a mapping of names in preflight_services and preflight_databases to their credentials", id="mapping"),
    pytest.param({"api": {}}, "api: it is empty; expected some of username, password, token, ca_file, validate_certs", id="empty"),
    pytest.param({"api": {"token": "s3 cret"}},
                 "api: a bearer token has no spaces, control characters or characters beyond ASCII", id="token"),
    pytest.param({"api": {"ca_file": "ca.pem"}}, "api: ca_file: expected an absolute path on the host", id="path"),
])
def test_wrong_credentials_are_told_without_the_secret(value, message):
    with pytest.raises(policy.PolicyError) as caught:
        policy.parse({"preflight_services": SERVICE, "preflight_credentials": value})
    assert caught.value.faults == [f"preflight_credentials: {message}"]
    assert "s3" not in str(caught.value)


def test_what_is_kept_for_a_replay_has_no_secret():
    from ansible_collections.goready.preflight.plugins.plugin_utils import hostdoc
    rules = policy.parse({"preflight_services": SERVICE, "preflight_credentials": {"api": {"username": "me", "password": "s3cret"}}})
    kept = hostdoc.replayable({}, rules)
    assert "s3cret" not in str(kept) and "preflight_credentials" in kept["policy"]["variables"]
    assert policy.parse(kept["policy"]["variables"]).credentials["api"]["password"] == "[redacted]"
