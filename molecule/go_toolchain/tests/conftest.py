# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts over ssh, and the role as a process. What needs gvm's own scripts is skipped where they cannot be had."""
from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ.get("GOREADY_TEST_INVENTORY", str(ROOT / "molecule/default/inventory"))
WORK = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", "/tmp"))
VARIABLES = WORK / "go_toolchain.json"
LISTING = Path(__file__).resolve().parents[1] / "list-files"


class Done(NamedTuple):
    """A run of the role: exit status, output, ``changed=`` of the recap, and go_toolchain_changes where it came to them."""

    rc: int
    output: str
    changed: int
    changes: list[dict[str, str]] | None

    @property
    def paths(self) -> list[str]:
        return [line["path"] for line in self.changes or []]


def prepared() -> dict[str, Any]:
    """What prepare.yml has found; test_gvm_go.py runs without it too."""
    return dict(json.loads(VARIABLES.read_text())) if VARIABLES.exists() else {"scenario_gvm": True}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not prepared()["scenario_gvm"]:
        for item in items:
            if item.get_closest_marker("needs_gvm"):
                item.add_marker(pytest.mark.skip(reason="gvm's repository cannot be had"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_gvm: runs gvm's own scripts")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last lines of the scenario, after pytest's own summary; and in the file that GOREADY_NOT_TESTED names, for the end of a
    longer run."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    values = prepared()
    if not values["scenario_gvm"]:
        skipped = len(reporter.stats.get("skipped", []))
        line = (f"NOT TESTED: {skipped} tests need gvm, whose repository cannot be had here ({values['scenario_why']}). Set "
                "GOREADY_GVM_SOURCE to a URL, a path or a bundle of it, or let git's insteadOf lead "
                "https://github.com/moovweb/gvm.git to one.")
        reporter.write_line(line, red=True)
        notes = os.environ.get("GOREADY_NOT_TESTED")
        if notes:
            with open(notes, "a", encoding="utf-8") as stream:
                # One line each, which are sorted there; git's error may have several.
                stream.write(" ".join(line.split()) + "\n")


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))}
    return kept | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0", "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                   "MOLECULE_EPHEMERAL_DIRECTORY": str(WORK)}


def program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


@functools.cache
def address(host: str) -> dict[str, Any]:
    done = subprocess.run([program("ansible-inventory"), "-i", INVENTORY, "--host", host], check=True, capture_output=True, text=True,
                          cwd=ROOT, timeout=60, env=environment())
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
def on() -> Callable[..., str]:
    """``on("gopher", "go version")``: what a command over ssh prints, in the non-login shell that sshd gives it."""

    def run(host: str, command: str, *, user: str = "root", check: bool = True, stdin: str = "") -> str:
        values = address(host)
        done = subprocess.run(
            ["ssh", "-i", values["ansible_ssh_private_key_file"], *shlex.split(values["ansible_ssh_common_args"]),
             f"{user}@{values['ansible_host']}", command], text=True, capture_output=True, timeout=300, check=False, input=stdin)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def listing(on: Callable[..., str]) -> Callable[..., str]:
    """``listing("gopher")``: every path below the folders that the role may touch, as prepare.yml listed them; or below those named."""
    return lambda host, *places: on(host, shlex.join(["sh", "-s", "--", *places]), stdin=LISTING.read_text())


def start(host: str, changes_to: Path, *arguments: str, **variables: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [program("ansible-playbook"), "apply.yml", "-i", INVENTORY, "-e", f"@{VARIABLES}",
         "-e", json.dumps({"target": host, "changes_to": str(changes_to), **variables}), *arguments],
        cwd=ROOT / "molecule/go_toolchain", text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        env=environment())


@pytest.fixture
def role(tmp_path: Path) -> Callable[..., Done]:
    """``role("gopher", "--check", go_toolchain_state="absent")`` -> :class:`Done`."""

    def run(host: str, *arguments: str, **variables: Any) -> Done:
        kept = tmp_path / f"{host}.json"
        kept.unlink(missing_ok=True)
        output, _nothing = start(host, tmp_path, *arguments, **variables).communicate(timeout=1200)
        recap = re.search(rf"^{re.escape(host)} +: .*changed=(\d+) .*failed=(\d+)", output, re.M)
        assert recap, output
        return Done(int(recap.group(2)), output, int(recap.group(1)), json.loads(kept.read_text()) if kept.exists() else None)

    return run


@pytest.fixture
def predicted(role: Callable[..., Done]) -> Callable[..., Done]:
    """Runs the role in check mode, then for real, then again: the prediction is the result, and the second run changes nothing."""

    def run(host: str, **variables: Any) -> Done:
        said = role(host, "--check", **variables)
        done = role(host, **variables)
        assert (said.rc, done.rc) == (0, 0), said.output + done.output
        assert said.changes == done.changes
        assert said.changed == done.changed
        again = role(host, **variables)
        assert (again.rc, again.changed, again.changes) == (0, 0, []), again.output
        return done

    return run
