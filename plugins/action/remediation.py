# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the remediation task: the plan of a run, the beginning and the end of each batch of hosts."""
from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue, hostdoc, plan, policy
from ansible_collections.goready.preflight.plugins.plugin_utils.report import text

catalogue.load()


class ActionModule(ActionBase):
    """Runs once for all hosts of the batch; touches none."""

    _requires_connection = False
    _supports_check_mode = True
    BYPASS_HOST_LOOP = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "phase": {"type": "str", "required": True, "choices": ["plan", "begin", "end"]},
        })
        task_vars = task_vars or {}
        self._vars = task_vars
        self._run_dir = Path(os.path.abspath(args["run_dir"]))
        self._check_mode = bool(self._task.check_mode)
        try:
            phase: dict[str, Any] = getattr(self, f"_{args['phase']}")(task_vars)
        except OSError as exc:
            raise AnsibleActionFail(f"{exc.filename or self._run_dir}: {exc.strerror}") from None
        # What roles get may hold URLs with credentials: not for the screen, not even with -v.
        result.update(phase, changed=False, _ansible_verbose_override=True)
        return result

    # The plan, after the first verification

    def _plan(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        hosts = [str(host) for host in task_vars.get("ansible_play_hosts_all") or [task_vars["inventory_hostname"]]]
        settings = policy.parse_run(self._templated(policy.RUN_DEFAULTS, task_vars))
        for folder in ("before", "remediation"):
            (self._run_dir / folder).mkdir(mode=0o700, exist_ok=True)
        mend: list[str] = []
        left = 0
        consent: set[str] = set()
        select: set[str] = set()
        for host in hosts:
            document = self._read("hosts", host)
            if document is None or not any(one["status"] == "fail" for one in document.get("results") or ()):
                continue
            rules, inventory = self._inventory(host)
            consent |= inventory.mandate.consent
            select |= set(inventory.mandate.select)
            one = plan.make(document, inventory, rules.checks)
            hostdoc.write_json(self._path("before", host), document)
            hostdoc.write_json(self._path("remediation", host), {
                "format": plan.FORMAT, "name": host, "check_mode": self._check_mode, "worse": [],
                "steps": [{"role": step.role, "variables": dict(step.variables), "consent": list(step.consent),
                           "items": list(step.items), "status": "planned", "message": "", "changes": []} for step in one.steps],
                "left": [item.as_dict() for item in one.left],
            }, mode=0o600)
            left += len(one.left)
            if one.steps:
                mend.append(host)
        # What was asked of the hosts that have findings, for the report.
        run = json.loads((self._run_dir / "run.json").read_text("utf-8"))
        run["remediate"] = {"select": sorted(select), "consent": sorted(consent), "first": settings.first}
        hostdoc.write_json(self._run_dir / "run.json", run)
        return {
            "mend": mend, "left": left,
            "serial": [min(settings.first, max(1, len(mend))), settings.batch],
            "msg": f"{_hosts(len(mend))} to mend" + (f"; {left} findings are left to people" if left else ""),
        }

    def _inventory(self, host: str) -> tuple[policy.Rules, plan.Inventory]:
        """The host's variables as the plan needs them; `validate` has judged the public ones already."""
        own = self._vars["hostvars"][host]
        # Role defaults and variables of the play are not in hostvars: those of the task stand in.
        names = [*policy.DEFAULTS, *policy.REMEDIATION_DEFAULTS]
        values = {**self._templated(names, self._vars), **self._templated(names, own)}
        rules = policy.parse(values, hostname=host)
        return rules, plan.Inventory(
            mandate=policy.parse_mandate(values, rules.checks), services=rules.policy.services,
            variables=self._templated(plan.VARIABLES, own),
        )

    def _templated(self, names: Any, source: Mapping[str, Any]) -> dict[str, Any]:
        values = {}
        for name in names:
            if name in source:
                try:
                    # hostvars template what they give; the variables of the task have to be.
                    values[name] = self._templar.template(source[name]) if source is self._vars else source[name]
                except AnsibleError as exc:
                    raise AnsibleActionFail(f"{name}: it cannot be templated: {exc}") from None
        return values

    # A batch

    def _batch(self, task_vars: Mapping[str, Any]) -> list[str]:
        return [str(host) for host in task_vars.get("ansible_play_batch") or [task_vars["inventory_hostname"]]]

    def _begin(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """The steps of the batch's hosts; none where an earlier batch stopped the run, and then it says so for each."""
        stopped = self._stopped()
        steps: dict[str, dict[str, Any]] = {}
        for host in self._batch(task_vars):
            record = self._read("remediation", host)
            if record is None:
                continue
            if stopped:
                before = {one["fingerprint"]: one for one in (self._read("before", host) or {}).get("results") or ()}
                for step in record.pop("steps"):
                    for item in step["items"]:
                        found = before[item]
                        record["left"].append(plan.Left(
                            item, found["id"], found["subject"], found["severity"], "stopped",
                            f"remediation stopped before this host: {stopped['reason']} on {stopped['host']}",
                            text.mend_command(found["id"], [host], ""),
                        ).as_dict())
                record["steps"] = []
                hostdoc.write_json(self._path("remediation", host), record, mode=0o600)
            steps[host] = {step["role"]: {"variables": step["variables"], "consent": step["consent"]} for step in record["steps"]}
        return {"steps": steps, "stopped": stopped}

    def _end(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """Compare the batch's hosts with what they were, and stop the run where one got worse or too many were not mended."""
        batch = self._batch(task_vars)
        failed: list[str] = []
        worse: list[tuple[str, str]] = []
        for host in batch:
            record, before, after = (self._read(folder, host) for folder in ("remediation", "before", "hosts"))
            if record is None or before is None or not record["steps"]:
                continue
            own = task_vars["hostvars"][host]
            told = own.get("__preflight_mending") or {}
            results = {one["fingerprint"]: one for one in before["results"] if one["status"] == "fail"}
            for step in record["steps"]:
                step.pop("variables")
                step.pop("consent")
                _settle(step, told.get(step["role"]), own, after, self._check_mode)
            if self._check_mode:
                _made_once(record["steps"])
            if not self._check_mode:
                new = list(plan.newly_failed(before, after or {}))
                record["worse"] = [one["fingerprint"] for one in new]
                worse += [(host, f"{one['id']}{' of ' + one['subject'] if one['subject'] else ''} fails newly") for one in new]
                mended = plan.outcomes([results[item] for step in record["steps"] for item in step["items"]], after or {})
                if any(outcome != "fixed" for outcome in mended.values()):
                    failed.append(host)
            if any(step["status"] in ("failed", "unreachable") for step in record["steps"]) and host not in failed:
                failed.append(host)
            hostdoc.write_json(self._path("remediation", host), record, mode=0o600)
        stopped = self._stopped() or self._stop(batch, failed, worse, task_vars)
        return {"failed_hosts": failed, "worse_hosts": sorted({host for host, unused in worse}), "stopped": stopped}

    def _stop(self, batch: list[str], failed: list[str], worse: list[tuple[str, str]],
              task_vars: Mapping[str, Any]) -> dict[str, str] | None:
        settings = policy.parse_run(self._templated(policy.RUN_DEFAULTS, task_vars))
        stopped = None
        if worse:
            host, reason = worse[0]
            stopped = {"host": host, "reason": reason, "kind": "worse"}
        elif len(failed) * 100 > settings.max_fail_percentage * len(batch):
            stopped = {"host": ", ".join(failed), "kind": "failures",
                       "reason": f"{len(failed)} of a batch of {_hosts(len(batch))} could not be mended, "
                                 f"{settings.max_fail_percentage} % are allowed (preflight_remediate_max_fail_percentage)"}
        if stopped:
            hostdoc.write_json(self._run_dir / "stopped.json", stopped)
        return stopped

    def _stopped(self) -> dict[str, str] | None:
        try:
            found: dict[str, str] = json.loads((self._run_dir / "stopped.json").read_text("utf-8"))
        except FileNotFoundError:
            return None
        return found

    # Files

    def _path(self, folder: str, host: str) -> Path:
        return self._run_dir / folder / hostdoc.file_name(host)

    def _read(self, folder: str, host: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._path(folder, host).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as exc:
            raise AnsibleActionFail(f"{self._path(folder, host)} is no JSON: {exc}") from None
        return found


def _settle(step: dict[str, Any], told: Any, own: Mapping[str, Any], after: Mapping[str, Any] | None, check_mode: bool) -> None:
    """What became of a step: what its role told in facts, and what its failure said."""
    failure = str((told or {}).get("failed") or "")
    changes = own.get(f"{step['role']}_changes")
    step["changes"] = [dict(one) for one in changes if isinstance(one, Mapping)] if isinstance(changes, (list, tuple)) else []
    if after is not None and not after.get("reachable", True):
        step["status"], step["message"] = "unreachable", str(after.get("error") or "the host was not reached")
    elif failure or told is None:
        step["status"], step["message"] = "failed", failure or "the role did not run to its end"
    else:
        step["status"] = "predicted" if check_mode else "done"


def _made_once(steps: list[dict[str, Any]]) -> None:
    """In check mode no role sees what an earlier one would have made: what two of them would create is created by the first."""
    made: set[str] = set()
    for step in steps:
        step["changes"] = [one for one in step["changes"] if not (one.get("action") == "created" and one.get("path") in made)]
        made |= {str(one["path"]) for one in step["changes"] if one.get("action") == "created"}


def _hosts(count: int) -> str:
    return "1 host" if count == 1 else f"{count} hosts"
