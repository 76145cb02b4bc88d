# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook with one GOPROXY each, and what go itself says of the same."""
from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ.get("GOREADY_INVENTORY", str(ROOT / "molecule/default/inventory")).split(os.pathsep)
HOST = os.environ.get("GOREADY_PROBER", "prober")


@dataclass(frozen=True)
class Run:
    output: str
    folder: Path
    report: dict[str, Any]
    go: str  # what go said

    @property
    def results(self) -> list[dict[str, Any]]:
        assert self.report, self.output[-4000:]
        found: list[dict[str, Any]] = self.report["hosts"][0]["results"]
        return found

    def of(self, check: str) -> dict[str, dict[str, Any]]:
        """The results of one check by subject."""
        return {line["subject"]: line for line in self.results if line["id"] == f"modules.{check}"}


@pytest.fixture(scope="session")
def prober() -> Any:
    hosts = testinfra.get_hosts([f"ansible://{HOST}?ansible_inventory={INVENTORY[-1]}"])
    return hosts[0]


@pytest.fixture(scope="session")
def known(prober: Any) -> dict[str, Any]:
    """What moduletree.py printed."""
    found: dict[str, Any] = json.loads(prober.file("/srv/modules.json").content_string)
    return found


@pytest.fixture
def verify(prober: Any, known: dict[str, Any], tmp_path: Path) -> Callable[..., Run]:
    def run(goproxy: str, *, gosumdb: str = "", module: str = "example.org/fine@v1.1.0", netrc: str = "", environment: str = "",
            profile: str = "standard", proxy: dict[str, Any] | None = None, **variables: Any) -> Run:
        settings = f"GOPROXY={goproxy}\nGOSUMDB={gosumdb or known['gosumdb']}\n"
        for path, text in (("/home/ci/.config/go/env", settings), ("/home/ci/.netrc", netrc), ("/home/ci/.profile", environment)):
            prober.check_output(f"printf %s {shlex.quote(text)} > {path} && chown ci:ci {path} && chmod 600 {path}")
        go = prober.run(
            "cd / && setpriv --reuid=ci --regid=ci --init-groups env -i HOME=/home/ci PATH=/usr/local/bin:/usr/bin:/bin sh -c "
            + shlex.quote(f". /home/ci/.profile; d=$(mktemp -d); cd $d; printf 'module x\\n' > go.mod; GOPATH=$d GOFLAGS=-modcacherw "
                          f"GOTOOLCHAIN=local timeout 60 go mod download {module} 2>&1; echo rc=$?; rm -rf $d"))
        reports = tmp_path / "reports"
        extra = {"preflight_profile": profile, "preflight_checks": ["modules.*"], "preflight_skip_checks": [],
                 "preflight_report_dir": str(reports),
                 "preflight_build_user": "ci", "preflight_toolchain": "required", "preflight_proxy": {"modules": [module], **(proxy or {})},
                 **variables}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "preflight.yml", *(word for path in INVENTORY for word in ("-i", path)),
             "--limit", HOST, "--skip-tags", "preflight_gate", "-e", json.dumps(extra)],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False, timeout=240,
            env={**{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))},
                 "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0"})
        report = reports / "report.json"
        return Run(done.stdout, reports, json.loads(report.read_text()) if report.exists() else {}, str(go.stdout))

    return run
