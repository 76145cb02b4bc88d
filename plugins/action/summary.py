# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the summary task: one screen of summary of a run whose report is written."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue
from ansible_collections.goready.preflight.plugins.plugin_utils.report import model, screen


class ActionModule(ActionBase):
    """Reads files on the controller; meant for ``run_once``, connects to no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "paths": {"type": "dict", "default": {}},
        })
        run_dir = Path(os.path.abspath(args["run_dir"]))
        try:
            run, hosts = model.load(run_dir)
            report = model.build(run, hosts, catalogue.load(), None)
            # From the written report: the baseline that it was compared with may be the very file that it replaced.
            report.document["delta"] = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))["delta"]
        except (OSError, ValueError, KeyError) as exc:
            raise AnsibleActionFail(str(exc)) from None
        screen.show(report, {str(name): str(path) for name, path in args["paths"].items()})
        result.update(changed=False, verdict=report.verdict)
        return result
