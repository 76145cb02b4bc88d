# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is needed for is tried on one, by molecule/pprof_guard/tests/test_proxy.py."""
from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.goready.preflight.plugins.module_utils import pprof_proxy, proxyconf, proxyproof
from ansible_collections.goready.preflight.plugins.module_utils.proxyproof import Door
from ansible_collections.goready.preflight.plugins.modules import pprof_proxy as module

ROLE = Path(__file__).parents[4] / "roles/pprof_guard"
# The role's words for the module's options, and the same values.
OPTIONS = ("listen", "tls_certificate", "tls_key", "insecure", "token", "users", "paths", "seconds_max")


def test_the_documented_options_are_the_real_ones():
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert set(documented) == set(proxyconf.ARGUMENTS)
    for name, spec in proxyconf.ARGUMENTS.items():
        for key in ("type", "elements", "choices", "default"):
            given, said = spec.get(key), documented[name].get(key)
            assert sorted(given) == sorted(said) if isinstance(given, list) else given == said, (name, key)
    assert set(documented["services"]["suboptions"]) == set(proxyconf.ARGUMENTS["services"]["options"])


def test_the_role_has_every_setting_with_the_modules_default():
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    for name in OPTIONS:
        mine, spec = defaults[f"pprof_guard_proxy_{name}"], proxyconf.ARGUMENTS[name]
        assert (mine or None) == (spec.get("default") or None), name
        assert options[f"pprof_guard_proxy_{name}"]["default"] == mine
    assert sorted(options["pprof_guard_proxy_paths"]["choices"]) == sorted(proxyconf.PATHS)


@pytest.mark.parametrize(("mine", "theirs", "meet"), [
    ("0.0.0.0", "0.0.0.0", True), ("0.0.0.0", "10.0.0.5", True), ("10.0.0.5", "0.0.0.0", True), ("10.0.0.5", "10.0.0.6", False),
    ("10.0.0.5", "::", True), ("::", "10.0.0.5", True), ("::1", "127.0.0.1", False), ("::1", "0.0.0.0", False), ("::1", "::", True),
])
def test_which_sockets_of_one_port_meet(mine, theirs, meet):
    assert pprof_proxy._overlap(mine, theirs) is meet


@pytest.mark.parametrize(("text", "last"), [
    ("", "it said nothing"),
    ("nginx: [emerg] unknown directive \"x\" in /etc/nginx/a.conf:1\n", '[emerg] unknown directive "x" in /etc/nginx/a.conf:1'),
    ("first\n\nE: password=hunter2 \n", "E: password=[redacted]"),
])
def test_what_a_command_said_last(text, last):
    assert pprof_proxy._last(text) == last


@pytest.mark.parametrize(("door", "label"), [(Door("10.0.0.5", 80, False), "10.0.0.5:80"), (Door("::1", 443, True), "[::1]:443")])
def test_a_door_has_a_name(door, label):
    assert door.label == label


SETTINGS = proxyconf.Settings("127.0.0.1:16060", users={"ops": "word"}, token="t" * 32)
API = proxyconf.service("api", "http://127.0.0.1:6060", ["10.0.0.0/8"])


def test_what_is_tried_covers_pages_methods_and_credentials():
    tried = list(proxyproof.cases(API, SETTINGS))
    assert {one.method for one in tried} == {"GET", *proxyproof.METHODS}
    assert {one.path for one in tried if 200 in one.right} == {
        "/api/debug/pprof/", "/api/debug/pprof/heap", "/api/debug/pprof/allocs", "/api/debug/pprof/goroutine",
        "/api/debug/pprof/profile?seconds=1"}
    assert {"/api/debug/pprof/cmdline", "/api/debug/pprof/goroutine?debug=2", "/debug/vars"} <= {
        one.path for one in tried if one.right == (403,)}
    assert sorted(one.authorization.split(" ")[0] for one in tried if one.right == (401,)) == ["", "Basic", "Bearer"]
    assert "profile?seconds=1" not in "".join(one.path for one in proxyproof.cases(API, SETTINGS, quick=True) if 200 in one.right)


def test_without_the_index_another_page_is_asked():
    settings = SETTINGS._replace(paths=("heap",))
    tried = list(proxyproof.cases(API, settings))
    assert {one.path for one in tried if one.right == (401,)} == {"/api/debug/pprof/heap"}


def test_a_port_where_nobody_answers_is_a_fault_and_not_a_proof():
    import time
    proof = proxyproof.prove(Door("127.0.0.1", 1, False), [API], SETTINGS, deadline=time.monotonic() + 5)
    assert proof.faults == ("api: 127.0.0.1:1 does not answer: connection refused",)
    assert (proof.tried, proof.admitted) == (1, None)
