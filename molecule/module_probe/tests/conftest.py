# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook with one GOPROXY each, and what go itself says of the same."""
from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import scenario

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
    return scenario.connect(HOST)


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
                 "preflight_build_user": "ci", "preflight_toolchain": "required", "preflight_proxy": {"modules": [module], **(proxy or {})},
                 **variables}
        _rc, output, report = scenario.preflight(reports, "--limit", HOST, **extra)
        return Run(output, reports, report, str(go.stdout))

    return run
