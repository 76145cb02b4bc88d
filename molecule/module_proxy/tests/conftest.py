# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the role as a process, and the host they ran on."""
from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import scenario
import yaml

HERE = Path(__file__).resolve().parent
WANTED = yaml.safe_load((HERE.parent / "vars/main.yml").read_text())
PASSWORD = WANTED["module_proxy_netrc"][0]["password"]


@dataclass(frozen=True)
class Run:
    rc: int
    output: str
    changes: list[dict[str, str]]

    @property
    def paths(self) -> list[tuple[str, str]]:
        return [(change["path"], change["action"]) for change in self.changes]


def command(*arguments: str, changes: str = "", **variables: Any) -> dict[str, Any]:
    """What subprocess needs to run the role with the scenario's variables, some of them changed."""
    return scenario.command(str(HERE / "play.yml"), *arguments, **{**WANTED, **variables, "changes_file": changes})


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Run]:
    """``play("--check", module_proxy_state="absent")``."""

    def run(*arguments: str, **variables: Any) -> Run:
        file = tmp_path / "changes.json"
        file.unlink(missing_ok=True)
        done = subprocess.run(**command(*arguments, changes=str(file), **variables), timeout=300, check=False)
        return Run(done.returncode, done.stdout, json.loads(file.read_text()) if file.exists() else [])

    return run


@pytest.fixture(scope="session")
def host() -> Any:
    return scenario.connect("proxied")


@pytest.fixture
def snapshot(host: Any) -> Callable[[], list[str]]:
    """Every file that the role could touch: content, mode, owner."""

    def take() -> list[str]:
        places = ("/home/ci /home/deploy /home/runner /root/.config /root/.netrc /usr/local/go/go.env /opt/go1.21.13/go.env /var/lib "
                  "/etc/profile.d /etc/environment")
        done = host.run(f"find {places} -xdev -type f -print0 2>/dev/null | sort -z | xargs -0 sha256sum; "
                        f"find {places} -xdev -printf '%p %y %m %u %g %l\\n' 2>/dev/null | sort")
        assert len(done.stdout.splitlines()) > 20
        return list(done.stdout.splitlines())

    return take


@pytest.fixture
def clean(play: Callable[..., Run], host: Any, snapshot: Callable[[], list[str]]) -> list[str]:
    """The host without anything of the role's, as a snapshot."""
    if host.file("/var/lib/goready-preflight/module_proxy.json").exists:
        done = play(module_proxy_state="absent")
        assert done.rc == 0, done.output
    return snapshot()
