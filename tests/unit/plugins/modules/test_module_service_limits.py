# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as Ansible runs them: what is refused, in one answer without a traceback."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.goready.preflight.plugins.module_utils import moduleproxy
from ansible_collections.goready.preflight.plugins.module_utils import service_limits as logic
from ansible_collections.goready.preflight.plugins.modules import module_proxy, service_limits


def test_every_fault_at_once() -> None:
    arguments = {"services": [{"name": "api", "nofile": 0}], "timeout": -1, "settle": "inf", "_ansible_check_mode": True}
    done = subprocess.run(
        [sys.executable, "-m", service_limits.__name__], input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), text=True,
        capture_output=True, timeout=120, check=False, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    answer = json.loads(done.stdout)
    assert done.returncode == 1 and answer["failed"]
    assert answer["msg"] == (
        "timeout: -1 is no time to wait: allowed are seconds above 0; settle: inf is no time to wait: allowed are seconds from 0; "
        "services[0] (api): nofile: 0 is no limit of open files: allowed are a whole number from 1 to 1073741824, \"soft:hard\", or "
        "{soft, hard}")


# What Changes raises for such a path lies in /etc and /var/lib of the host itself, which no test writes to.
@pytest.mark.parametrize(("module", "part", "call", "arguments"), [
    pytest.param(service_limits, logic, "apply", {"services": []}, id="service_limits"),
    pytest.param(module_proxy, moduleproxy, "run", {}, id="module_proxy"),
])
def test_a_path_that_is_something_else(module: ModuleType, part: ModuleType, call: str, arguments: dict[str, Any],
                                       monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = "/etc/x is a symbolic link: a file is written there only where none or a file is"

    def refuse(*_args: Any, **_options: Any) -> None:
        raise ValueError(said)

    monkeypatch.setattr(part, call, refuse)
    with patch_module_args(arguments), pytest.raises(SystemExit) as caught:
        module.main()
    assert caught.value.code == 1
    assert json.loads(capsys.readouterr().out)["msg"] == said
