# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of molecule's scenarios share: playbooks run as a user types them, what they wrote, and the hosts they ran on.

GOREADY_INVENTORY names other inventories than molecule's, separated as in PATH. pyproject.toml (pythonpath) lets tests import this.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import testinfra

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
INVENTORY = os.environ.get("GOREADY_INVENTORY", str(ROOT / "molecule/default/inventory")).split(os.pathsep)
# Nothing of what molecule sets for runs of its own.
ENVIRONMENT = {**{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))},
               "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0"}


def command(playbook: str, *arguments: str, **variables: Any) -> dict[str, Any]:
    """What subprocess needs to run a playbook with these variables."""
    inventories = [word for path in INVENTORY for word in ("-i", path)]
    return {"args": [str(BIN / "ansible-playbook"), playbook, *inventories, *arguments, "-e", json.dumps(variables)], "cwd": ROOT,
            "env": ENVIRONMENT, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}


def preflight(folder: Path, *arguments: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
    """(exit status, output, report) of preflight.yml without the gate, which reports to ``folder``."""
    variables = {"preflight_report_dir": str(folder), **variables}
    done = subprocess.run(**command("preflight.yml", "--skip-tags", "preflight_gate", *arguments, **variables), timeout=900, check=False)
    return done.returncode, done.stdout, report(folder)


def report(folder: Path) -> dict[str, Any]:
    """report.json of a run; empty where there is none."""
    path = folder / "report.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def facts(folder: Path, host: str) -> dict[str, Any]:
    """What a run has read from a host: docs/facts.md."""
    (path,) = folder.glob(f"runs/*/facts/{host}.json")
    found = json.loads(path.read_text())
    return dict(found.get("facts", found))


def hidden(secret: str, output: str, folder: Path) -> None:
    """A secret is neither in what a run said nor in what it wrote."""
    assert secret not in output
    for path in folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@functools.cache
def connect(name: str) -> Any:
    """A testinfra host over SSH, without Ansible: its modules would have files in the host's /tmp."""
    # testinfra takes one inventory.
    inventory = next(path for path in reversed(INVENTORY) if Path(path).exists())
    return testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory)


def wait_until(true: Callable[[], Any], what: str, seconds: float = 60) -> None:
    """However slow the machine is, what has to be there before a test goes on is awaited, not guessed."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.2)
