# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an ordinary user is told to do about what he may not read: become root, not what mends the check's finding."""
from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import engine

FAMILIES = ("services", "limits", "binary", "pprof")
DENIED = "permission denied"
# Those that cannot tell as an ordinary user what root would see on the recorded host, and on the same host with hidepid=1.
REFUSED = {
    "services.present", "limits.nofile_headroom", "limits.memory_limit", "limits.gomaxprocs", "binary.arch_match",
    "binary.cpu_level", "binary.static", "binary.go_release", "binary.revision", "binary.clean", "binary.race",
    "binary.replaced", "binary.ownership", "pprof.bind", "pprof.reachable", "pprof.public_mux", "pprof.expvar",
}
CLOSED = {"services.root_user", "services.unit_directives", "services.healthy", "limits.nofile_effective",
          "limits.limits_conf_ignored", "limits.tasks"}
SERVICES = ({"name": "api", "revision": "acc4d82", "health": "unix:///run/api.sock"},)


def catalogue() -> list[engine.Check]:
    base = "ansible_collections.goready.preflight.plugins.sub_plugins.check."
    return [one for family in FAMILIES for one in engine.checks_of(importlib.import_module(base + family))]


def refuse(facts: dict[str, Any], *, hidepid: bool) -> None:
    """As the collector writes it down for a process of another user."""
    parts = ("exe", "fds", "environ")
    facts["collected"]["privileged"] = False
    facts["services"]["unreadable"] = {"processes": 9, "commands": ["api"], "hidden": hidepid, "reason": "not readable"}
    facts["services"]["limits_conf"] = [
        {"path": "/etc/security/limits.conf", "line": 1, "domain": "api", "type": "-", "item": "nofile", "value": "65536"}]
    facts["pprof"] = {"endpoints": [], "health": [
        {"service": "api", "url": SERVICES[0]["health"], "status": None, "ms": None, "ok": None, "error": DENIED}]}
    facts["runtime"] = {"endpoints": []}
    for service in facts["services"]["services"]:
        service["binary"] = {"path": "/opt/api/api", "realpath": None, "error": DENIED}
        for one in service["processes"]:
            one.update(go=None, exe=None, running=None, same_file=None, fds=None, environ=None, listeners=None,
                       unreadable=[f"{part}: {DENIED}" for part in parts])
            one["cgroup"]["cpu_quota"], one["cgroup"]["memory_max"] = 1.5, 512 << 20
            if hidepid:
                pid = one["pid"]
                one.update(dict.fromkeys(one))
                one.update(pid=pid, unreadable=[f"status: {DENIED}"])
        if hidepid:
            for unit_file in service["unit_files"]:
                unit_file.update(error=DENIED, problems=[], directives=[])
            if service["name"] == "api":
                service["properties"]["User"] = "api"


def unknowns(recorded: Callable[..., Any], *, hidepid: bool, privileged: bool = False) -> list[engine.Result]:
    facts = recorded("checks/host.json")
    refuse(facts, hidepid=hidepid)
    facts["collected"]["privileged"] = privileged
    return [one for one in engine.run(catalogue(), facts, engine.Policy(services=SERVICES)) if one.status == "unknown"]


@pytest.mark.parametrize(("hidepid", "expected"), [(False, REFUSED), (True, REFUSED | CLOSED)], ids=["refused", "hidepid"])
def test_what_was_refused_is_mended_by_becoming_root(recorded: Callable[..., Any], hidepid: bool, expected: set[str]) -> None:
    found = unknowns(recorded, hidepid=hidepid)
    assert {one.id for one in found if one.remediation == engine.AS_ROOT} >= expected
    assert [(one.id, one.reason) for one in found if one.remediation != engine.AS_ROOT] == []


@pytest.mark.parametrize("hidepid", [False, True], ids=["refused", "hidepid"])
def test_nobody_is_told_to_become_what_he_is(recorded: Callable[..., Any], hidepid: bool) -> None:
    found = unknowns(recorded, hidepid=hidepid, privileged=True)
    assert found and all(one.remediation != engine.AS_ROOT for one in found)


def test_one_way_in_for_the_report(recorded: Callable[..., Any]) -> None:
    """The report shows the first sentence of a hint, and groups what has the same one."""
    assert ". " not in engine.AS_ROOT.hint and engine.AS_ROOT.hint.startswith("Run the verification as root: set ansible_become")
