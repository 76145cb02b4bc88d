# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the module and of the role as processes, and a look at what the host says."""
from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scenario


class Call:
    """The module on one host, begun; :meth:`end` gives its result."""

    def __init__(self, host: str, folder: Path, services: list[dict[str, Any]], *, check: bool = False, path: str = "",
                 **options: Any) -> None:
        self._host, self._folder = host, folder
        play = [{"hosts": host, "gather_facts": False, "tasks": [{
            "goready.preflight.service_limits": {"services": services, **options}, "register": "call", "ignore_errors": True,
            "environment": {"PATH": path} if path else {},
        }, {"ansible.builtin.copy": {"content": "{{ call | to_json }}", "dest": str(folder / "result.json"), "mode": "0600"},
            "delegate_to": "localhost", "check_mode": False, "become": False, "vars": {"ansible_connection": "local"}}]}]
        (folder / "play.json").write_text(json.dumps(play))
        self.process = subprocess.Popen(**scenario.command(str(folder / "play.json"), *(["--check"] if check else [])))

    def end(self) -> dict[str, Any]:
        output = self.process.communicate(timeout=300)[0]
        path = self._folder / "result.json"
        assert path.exists(), output
        return json.loads(path.read_text())


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Call]:
    """``begin(host, services, check=..., path=..., **options)``: a call that goes on while the test does something else."""

    def run(host: str, services: list[dict[str, Any]], **options: Any) -> Call:
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir()
        return Call(host, folder, services, **options)

    return run


@pytest.fixture
def limits(begin: Callable[..., Call]) -> Callable[..., dict[str, Any]]:
    """The same, and its result."""
    return lambda host, services, **options: begin(host, services, **options).end()


@pytest.fixture
def shell() -> Callable[..., str]:
    """``shell("limits", "uname -m")``: what a command prints on a host over SSH; it has to succeed."""

    def run(name: str, command: str) -> str:
        done = scenario.connect(name).run(command)
        assert done.rc == 0, (command, done.stdout, done.stderr)
        return str(done.stdout).strip()

    return run


@pytest.fixture
def soft(shell: Callable[..., str]) -> Callable[[str, str], int]:
    """The soft limit of open files of a unit's main process, as the kernel has it."""
    return lambda host, unit: int(shell(
        host, f"awk '/open files/ {{print $4}}' /proc/$(systemctl show --property=MainPID --value {unit})/limits"))
