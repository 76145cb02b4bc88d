# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the verify task: gather once, look from outside, judge, write the host's document."""
from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.module_utils.collect import probes
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue, engine, hostdoc, outside, plan, policy

# Ansible loads this file in its main process, before it forks a worker for each host: what is imported here is imported
# once, and in a worker it would be paid for by every host (60 ms each).
catalogue.load()

_MODULE = "goready.preflight.readiness_facts"
_SUBSETS = ("host", "toolchain", "modules", "services", "pprof", "network")


class ActionModule(ActionBase):
    """One module call on the host; everything else happens here, in the worker."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _spec, args = self.validate_argument_spec({
            "run_dir": {"type": "path", "required": True},
            "variables": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 30},
        })
        self._name = str(task_vars["inventory_hostname"])
        self._run_dir = Path(args["run_dir"])
        self._started = datetime.datetime.now(datetime.timezone.utc)
        self._clock = time.monotonic()
        try:
            rules = policy.parse(
                args["variables"], hostname=self._name,
                groups=tuple(sorted(str(group) for group in task_vars.get("group_names") or ())),
                now=self._started, conditional=self._conditional(task_vars),
            )
        except policy.PolicyError as exc:
            # `validate` told all of these before; here they come from a play that calls verify alone.
            raise AnsibleActionFail("\n".join(exc.faults)) from None

        try:
            document = self._verify(rules, args["timeout"], task_vars)
        except AnsibleConnectionFailure as exc:
            self._write(rules, None, [], error=f"unreachable: {_one_line(exc)}", reachable=False)
            raise
        except BaseException as exc:
            # Whatever broke (the task's timeout is no Exception), the host has its row and the row says what; then it is
            # told as any failed task is.
            self._write(rules, None, [], error=f"verification broke: {type(exc).__name__}: {_one_line(exc)}")
            raise
        result.update(_summary(document, self._path()))
        if document["error"]:
            result["warnings"] = [f"{self._name}: {document['error']}"]
        return result

    def _verify(self, rules: policy.Rules, timeout: int, task_vars: dict[str, Any]) -> dict[str, Any]:
        answer = self._execute_module(module_name=_MODULE, task_vars=task_vars, module_args={
            "subsets": list(_SUBSETS),
            "services": [dict(service) for service in rules.policy.services],
            "toolchain": rules.policy.toolchain,
            "probes": rules.probes("host"),
            "timeout": timeout,
        })
        if answer.get("failed") or "facts" not in answer:
            # What the host's Python said is more use than Ansible's word that it was no JSON.
            said = [answer.get(key) for key in ("msg", "module_stderr", "module_stdout")]
            detail = ": ".join(str(text) for text in said if text) or "the module gave no facts"
            return self._write(rules, None, [], error=f"verification could not run: {_one_line(detail)}")
        facts: dict[str, Any] = answer["facts"]
        facts["outside"] = outside.look(facts, **self._route(task_vars))
        if rules.probes("controller"):
            context = Context(timeout=float(timeout))
            facts["probes"] = {
                **(facts.get("probes") or {}),
                **{probe["id"]: probes.run_probe(probe, context) for probe in rules.probes("controller")},
            }
        results = engine.run(rules.checks.values(), facts, rules.policy)
        return self._write(rules, facts, results, error=None, inventory=self._inventory(rules, task_vars))

    def _inventory(self, rules: policy.Rules, task_vars: dict[str, Any]) -> plan.Inventory | None:
        """What the inventory says of remediation; None where it says something wrong, which `validate` or the role tells."""
        values = {}
        try:
            for name in (*policy.REMEDIATION_DEFAULTS, *plan.VARIABLES):
                if name in task_vars:
                    values[name] = self._templar.template(task_vars[name])
            return plan.Inventory(policy.parse_mandate(values, rules.checks), rules.policy.services, values)
        except (AnsibleError, policy.PolicyError):
            return None

    def _conditional(self, task_vars: dict[str, Any]) -> Any:
        """Conditions of custom checks see the host's variables beside the probe, and mean what they mean in assert."""

        def evaluate(expression: str, variables: Any) -> bool:
            templar = self._templar.copy_with_new_env(available_variables={**task_vars, **variables})
            return bool(templar.evaluate_conditional(expression))

        return evaluate

    def _route(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """How the controller gets to the host: what decides whether the outside view can be trusted."""
        def option(name: str) -> str:
            try:
                return str(self._connection.get_option(name) or "")
            except (KeyError, AnsibleError):
                return ""

        return {
            "address": str(option("host") or task_vars.get("ansible_host") or self._name),
            "ssh_port": int(option("port") or task_vars.get("ansible_port") or 22),
            "connection": str(self._connection.transport),
            "ssh_args": " ".join(filter(None, (option("ssh_args"), option("ssh_common_args"), option("ssh_extra_args")))),
        }

    def _path(self) -> Path:
        return self._run_dir / "hosts" / hostdoc.file_name(self._name)

    def _write(self, rules: policy.Rules, facts: dict[str, Any] | None, results: list[engine.Result], *,
               error: str | None, reachable: bool = True, inventory: plan.Inventory | None = None) -> dict[str, Any]:
        ended = datetime.datetime.now(datetime.timezone.utc)
        document = hostdoc.document(
            name=self._name, started=self._started.isoformat(timespec="milliseconds"),
            ended=ended.isoformat(timespec="milliseconds"), duration_ms=int((time.monotonic() - self._clock) * 1000),
            rules=rules, facts=facts, results=results, error=error, reachable=reachable,
        )
        if inventory is not None:
            needed = plan.consents(document, inventory)
            for line in document["results"]:
                if line["status"] == "fail" and line["fingerprint"] in needed:
                    line["remediation"]["consent"] = needed[line["fingerprint"]]
        try:
            for folder in ("hosts", "facts"):
                (self._run_dir / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
            if facts is not None:
                path = self._run_dir / "facts" / hostdoc.file_name(self._name)
                hostdoc.write_json(path, hostdoc.replayable(facts, rules), mode=0o600)
            hostdoc.write_json(self._path(), document)
        except OSError as exc:
            raise AnsibleActionFail(f"{self._run_dir} cannot be written: {exc}") from None
        return document


def _summary(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """What the task returns: little, for the main process pays for every byte of every host."""
    lines = document["results"]
    return {
        "changed": False,
        "verdict": document["verdict"],
        "counts": hostdoc.counts(lines),
        "failed_checks": sorted({line["id"] for line in lines if line["status"] == "fail" and not line["waived"]}),
        "path": str(path),
    }


def _one_line(message: object) -> str:
    return " ".join(str(message).split())[:500]
