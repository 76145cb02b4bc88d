# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the validate task: every host's variables judged before any host is touched."""
from __future__ import annotations

import datetime
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as ansible_version

from ansible_collections.goready.preflight.plugins.plugin_utils import engine, hostdoc, policy, version
from ansible_collections.goready.preflight.plugins.plugin_utils.report import model


class ActionModule(ActionBase):
    """Runs once for all hosts of the play; touches none."""

    _requires_connection = False
    _supports_check_mode = True
    BYPASS_HOST_LOOP = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, args = self.validate_argument_spec({
            "variables": {"type": "dict", "default": {}},
            "report_dir": {"type": "str", "default": "reports"},
            "report_formats": {"type": "list", "elements": "str", "default": list(policy.FORMATS)},
            "baseline": {"type": "str", "default": ""},
        })
        task_vars = task_vars or {}
        hosts = [str(host) for host in task_vars.get("ansible_play_hosts_all") or [task_vars["inventory_hostname"]]]
        faults = self._host_faults(hosts, args["variables"], task_vars)
        faults += _format_faults(args["report_formats"])
        faults += _baseline_faults(args["baseline"])
        report_dir = Path(os.path.expanduser(args["report_dir"] or "reports")).absolute()
        if not faults:
            # Last, so that wrong input leaves nothing behind.
            started = datetime.datetime.now(datetime.timezone.utc)
            run_id = f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
            run_dir = report_dir / "runs" / run_id
            variables = args["variables"]
            try:
                # What hosts told may be confidential: only the user who ran this reads the raw documents.
                for folder in (run_dir / "hosts", run_dir / "facts"):
                    folder.mkdir(parents=True, mode=0o700)
                hostdoc.write_json(run_dir / "run.json", {
                    "id": run_id, "started": started.isoformat(timespec="seconds"),
                    "profile": variables.get("preflight_profile", "standard"),
                    "gate": variables.get("preflight_gate", "high"),
                    "mode": "check" if self._task.check_mode else "verify",
                    "collection_version": version.collection_version(), "ansible_version": ansible_version,
                    "hosts": hosts, "formats": list(args["report_formats"]), "baseline": args["baseline"] or None,
                })
            except OSError as exc:
                faults.append(f"preflight_report_dir: {str(report_dir)!r} cannot be written: {exc.strerror}")
        if faults:
            raise AnsibleActionFail("\n".join(faults) if len(faults) > 1 else faults[0])
        result.update(changed=False, run_dir=str(run_dir), report_dir=str(report_dir), run_id=run_id, hosts=len(hosts))
        return result

    def _host_faults(self, hosts: list[str], variables: Mapping[str, Any], task_vars: Mapping[str, Any]) -> list[str]:
        """The faults of every host's own variables; hosts with the same values are judged, and named, together."""
        seen: dict[str, tuple[list[str], list[str]]] = {}
        hostvars = task_vars.get("hostvars") or {}
        for host in hosts:
            values = dict(variables)
            fault = []
            try:
                # Role defaults and play variables are not in hostvars: the task's own arguments stand for them.
                own = hostvars.get(host, {})
                values.update({key: own[key] for key in policy.DEFAULTS if key in own})
            except AnsibleError as exc:
                fault = [f"{host}: a variable cannot be templated: {exc}"]
            key = engine.canonical(values) + "".join(fault)
            if key not in seen:
                seen[key] = ([], fault or self._faults(values))
            seen[key][0].append(host)
        return [
            fault if len(names) == len(hosts) else f"{fault} (hosts: {', '.join(names[:5])}"
            + (f" and {len(names) - 5} more)" if len(names) > 5 else ")")
            for names, found in seen.values() for fault in found
        ]

    @staticmethod
    def _faults(values: Mapping[str, Any]) -> list[str]:
        try:
            policy.parse(values)
        except policy.PolicyError as exc:
            return exc.faults
        return []


def _format_faults(formats: list[str]) -> list[str]:
    return [
        f"preflight_report_formats: {one!r} is not one of {', '.join(policy.FORMATS)}"
        for one in formats if one not in policy.FORMATS
    ]


def _baseline_faults(path: str) -> list[str]:
    if not path:
        return []
    try:
        model.read_baseline(Path(os.path.expanduser(path)))
    except (OSError, ValueError) as exc:
        return [f"preflight_baseline: {path!r} is no report: {exc}"]
    return []
