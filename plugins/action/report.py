# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the report task: the documents of all hosts become the report's files and one screen of summary."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue
from ansible_collections.goready.preflight.plugins.plugin_utils.report import model, screen, store


class ActionModule(ActionBase):
    """Reads and writes files on the controller; meant for ``run_once``, connects to no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "report_dir": {"type": "path"},
            "formats": {"type": "list", "elements": "str", "choices": list(store.FILES), "default": list(store.FILES)},
            "keep_runs": {"type": "int", "default": 10},
            "summary": {"type": "bool", "default": True},
        })
        run_dir = Path(os.path.abspath(args["run_dir"]))
        # As `validate` lays them out: REPORT_DIR/runs/RUN.
        report_dir = Path(os.path.abspath(args["report_dir"])) if args["report_dir"] else run_dir.parent.parent
        try:
            run, hosts = model.load(run_dir)
            checks = catalogue.load()
        except ValueError as exc:
            # "from None" here and below: Ansible appends a cause to the message, which would say everything twice.
            raise AnsibleActionFail(str(exc)) from None
        # Before anything is written: the baseline may be the very file that this report replaces.
        baseline, path = None, _baseline_path(run)
        if path:
            try:
                baseline = model.read_baseline(path)
            except ValueError as exc:
                raise AnsibleActionFail(f"the baseline {str(path)!r} is no report: {exc}") from None
        report = model.build(run, hosts, checks, baseline)
        try:
            paths = store.write(report, args["formats"], report_dir, run_dir)
        except OSError as exc:
            raise AnsibleActionFail(
                f"the report cannot be written: {exc.filename or report_dir}: {exc.strerror}; an older report was left as it is"
            ) from None
        try:
            store.prune(run_dir, args["keep_runs"], path)
        except OSError as exc:
            result["warnings"] = [f"old runs beside {run_dir} could not be cleared away: {exc}"]
        named = {one: str(written) for one, written in paths.items()}
        if args["summary"]:
            screen.show(report, named)
        result.update(
            changed=False, verdict=report.verdict, msg=report.said, counts=report.document["summary"],
            verdicts={row.name: row.verdict for row in report.hosts}, unmended=_unmended(report), report_dir=str(report_dir), paths=named,
        )
        return result


def _unmended(report: model.Report) -> dict[str, list[str]]:
    """The checks by host whose findings a role was to mend, and did not."""
    found = {row["name"]: sorted({item["check"] for item in row.get("remediation") or () if item["outcome"] == "not_fixed"})
             for row in report.document["hosts"]}
    return {name: checks for name, checks in found.items() if checks}


def _baseline_path(run: dict[str, Any]) -> Path | None:
    return Path(os.path.expanduser(str(run["baseline"]))) if run.get("baseline") else None
