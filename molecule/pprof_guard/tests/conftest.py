# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two hosts, and runs of the role as a process."""
from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import scenario

PLAY = """\
- hosts: guard
  gather_facts: false
  roles: [goready.preflight.pprof_guard]
  post_tasks:
    - ansible.builtin.copy:
        dest: "{{ result_path }}"
        content: "{{ {'changes': pprof_guard_changes, 'plan': __pprof_guard_plan, 'proof': __pprof_guard_proof} | to_json }}"
        mode: "0600"
      delegate_to: localhost
      check_mode: false
"""


@pytest.fixture(scope="session")
def connect():
    """``connect("guard")`` -> a testinfra host over SSH."""
    return scenario.connect


@pytest.fixture(scope="session")
def guard(connect):
    """A shell on the guarded host: ``guard("ss -ltn")`` -> its output; fails with it where the status is not 0."""
    return shell(connect("guard"))


@pytest.fixture(scope="session")
def peer(connect):
    """A shell on the host that tries it from outside."""
    return shell(connect("guard-peer"))


def shell(host):
    def run(command: str, *, check: bool = True) -> str:
        done = host.run(command)
        assert done.rc == 0 or not check, f"{command}: status {done.rc}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def address(connect) -> dict[str, str]:
    """The addresses of both hosts: ``guard``, ``guard_v6``, ``peer``, ``peer_v6``."""
    def of(name: str) -> dict[str, Any]:
        return connect(name).ansible.get_variables()

    variables = of("guard")
    return {"guard": variables["ansible_host"], "guard_v6": variables["guard_ipv6"],
            "peer": of("guard-peer")["ansible_host"], "peer_v6": variables["guard_peer_ipv6"]}


def command(*arguments: str, **variables: Any) -> dict[str, Any]:
    """What subprocess needs to run the role."""
    play = Path(variables["result_path"]).with_name("play.yml")
    play.write_text(PLAY)
    return scenario.command(str(play), *arguments, **variables)


@pytest.fixture
def role(tmp_path):
    """Runs the role: ``role("--check", pprof_guard_state="absent")`` -> (exit status, output, {changes, plan, proof})."""

    def run(*arguments: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
        result = tmp_path / "result.json"
        result.unlink(missing_ok=True)
        variables = {"pprof_guard_consent": ["firewall", "restart"], "result_path": str(result), **variables}
        done = subprocess.run(**command(*arguments, **variables), timeout=180, check=False)
        return done.returncode, done.stdout, json.loads(result.read_text()) if result.exists() else {}

    return run


def paths(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What was changed, to be compared."""
    return [(one["path"], one["action"], one["detail"]) for one in result["changes"]]
