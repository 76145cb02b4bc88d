# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it: refusals, what they show, and that the documentation says the same as the code."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import yaml

from ansible_collections.goready.preflight.plugins.modules import module_proxy


def call(**arguments: Any) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", module_proxy.__name__], input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), text=True,
        capture_output=True, timeout=120, check=False, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    return done.returncode, json.loads(done.stdout)


def test_a_refusal_names_everything_at_once() -> None:
    code, answer = call(users=["ci"], gosumdb="off", unset=["X"], _ansible_check_mode=True)
    assert code == 1
    assert len(answer["msg"].split("\n")) == 2


@pytest.mark.parametrize("arguments", [
    {"goproxy": "https://ci:s3cretword@goproxy.example"}, {"gosumdb": "sum.golang.org https://ci:s3cretword@sum.example"},
    {"netrc": [{"machine": "a.example", "login": "ci", "password": "s3cretword words"}]},
])
def test_a_refusal_shows_no_credentials(arguments: dict[str, Any]) -> None:
    code, answer = call(users=["ci"], _ansible_check_mode=True, **arguments)
    assert code == 1
    assert "s3cretword" not in json.dumps(answer)


def test_a_user_that_is_not_there() -> None:
    code, answer = call(users=["goready-nobody-has-this"], goproxy="direct", _ansible_check_mode=True)
    assert code == 1
    assert answer["msg"] == ("users: there is no user goready-nobody-has-this on this host" if os.geteuid() == 0
                             else "only root can set this for all or for other users: set become: true")


def test_the_arguments_are_the_documented_ones() -> None:
    options = yaml.safe_load(module_proxy.DOCUMENTATION)["options"]
    _code, answer = call()
    used = answer["invocation"]["module_args"]
    assert used == {name: option["default"] for name, option in options.items()}
