# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the verify task: gather once, look from outside, judge, write the host's document."""
from __future__ import annotations

import base64
import datetime
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.module_utils import redact
from ansible_collections.goready.preflight.plugins.module_utils.collect import probes
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
from ansible_collections.goready.preflight.plugins.plugin_utils import (
    catalogue, engine, hostdoc, looks, outside, plan, policy, probing, runtimes, sampling,
)

# Ansible loads this file in its main process, before it forks a worker for each host: what is imported here is imported
# once, and in a worker it would be paid for by every host (60 ms each).
catalogue.load()

_MODULE = "goready.preflight.readiness_facts"
_SECRET = "preflight_credentials"
_PHASES = ("once", "idle", "load", "after")
_PROFILES = 1000  # of one call, at most
_POLL = 3.0  # seconds between two questions to a host whether its load has ended
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
            variables = dict(args["variables"])
            if _SECRET in task_vars:
                variables.setdefault(_SECRET, self._templar.template(task_vars[_SECRET]))
            rules = policy.parse(
                variables, hostname=self._name,
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
        steps, tried = rules.steps(), rules.tried()
        # What is watched for some seconds is watched under the load where there is one.
        late = [name for name in tried if name in probing.WATCHING] if steps and self._load(rules) else []
        answer = self._execute_module(module_name=_MODULE, task_vars=task_vars, module_args={
            "subsets": [*_SUBSETS, *(["runtime"] if steps else []), *(name for name in tried if name not in late)],
            "services": [dict(service) for service in rules.policy.services],
            "toolchain": rules.policy.toolchain,
            "build_user": rules.probing.build_user,
            "probes": rules.probes("host"),
            "timeout": timeout,
            "credentials": self._credentials(rules) if steps or tried else [],
            **({"active": rules.probing.active(rules.policy.profile)} if tried else {}),
            **(self._runtime(rules, steps[0], []) if steps else {}),
        })
        if answer.get("failed") or "facts" not in answer:
            # What the host's Python said is more use than Ansible's word that it was no JSON.
            said = [answer.get(key) for key in ("msg", "module_stderr", "module_stdout")]
            detail = ": ".join(str(text) for text in said if text) or "the module gave no facts"
            return self._write(rules, None, [], error=f"verification could not run: {_one_line(detail)}")
        facts: dict[str, Any] = answer["facts"]
        looked = time.monotonic()
        facts["outside"] = outside.look(facts, **self._route(task_vars))
        if rules.probes("controller"):
            context = Context(timeout=float(timeout))
            facts["probes"] = {
                **(facts.get("probes") or {}),
                **{probe["id"]: probes.run_probe(probe, context) for probe in rules.probes("controller")},
            }
        if steps and isinstance(facts.get("runtime"), dict):
            facts["runtime"]["plan"] = looks.plan(rules.sampling, rules.load, rules.policy.profile)
            self._keep(facts, answer)
            self._look_again(rules, facts, steps[1:], late, looked, timeout, task_vars)
        results = engine.run(rules.checks.values(), facts, rules.policy)
        return self._write(rules, facts, results, error=None, inventory=self._inventory(rules, task_vars))

    def _runtime(self, rules: policy.Rules, step: sampling.Step, targets: list[dict[str, Any]]) -> dict[str, Any]:
        """The module's arguments for one look at the services."""
        return {
            "runtime": {
                "phase": step.phase, "kinds": list(step.kinds), "raw": list(step.raw), "targets": targets,
                "dump_limit": rules.sampling.dump_limit, "leak_limit": step.leak_limit, "cpu_seconds": rules.sampling.cpu_seconds,
                "gc": rules.sampling.gc, "budget": rules.sampling.budget, "profile_limit": rules.sampling.profile_limit,
            },
        }

    def _credentials(self, rules: policy.Rules) -> list[dict[str, Any]]:
        return [{"service": name, **given} for name, given in rules.credentials.items()]

    def _load(self, rules: policy.Rules) -> sampling.Load | None:
        """The load that this verification drives. It is no look: check mode promises that nothing is done to the services."""
        return rules.load if rules.policy.profile == "deep" and not self._task.check_mode else None

    def _look_again(self, rules: policy.Rules, facts: dict[str, Any], steps: list[sampling.Step], late: list[str], begin: float,
                    timeout: int, task_vars: dict[str, Any]) -> None:
        def call(step: sampling.Step | None, targets: list[dict[str, Any]]) -> Mapping[str, Any]:
            watching = [name for name in late if name not in facts] if step is None or step.phase == "load" else []
            try:
                return dict(self._execute_module(module_name=_MODULE, task_vars=task_vars, module_args={
                    "subsets": ["runtime", *watching], "services": [dict(service) for service in rules.policy.services], "timeout": timeout,
                    "credentials": self._credentials(rules), "toolchain": rules.policy.toolchain,
                    **({"active": rules.probing.active(rules.policy.profile)} if watching else {}),
                    **self._runtime(rules, step or sampling.Step("after", 0, sampling.COUNT), targets),
                }))
            except AnsibleConnectionFailure as exc:
                # The host was there before: what it told is judged, and this look is missing.
                return {"msg": f"unreachable: {_one_line(exc)}"}

        def start(load: sampling.Load) -> looks.Running:
            if load.kind == "external":
                return looks.External(load)
            return looks.Local(load) if load.place == "controller" else _Remote(self, load, task_vars)

        def keep(answer: Mapping[str, Any]) -> None:
            self._keep(facts, answer)
            watched(answer)

        def watched(answer: Mapping[str, Any]) -> None:
            later = answer.get("facts") or {}
            facts.update({name: later[name] for name in late if name in later and name not in facts})
            facts.setdefault("errors", []).extend(
                one for one in later.get("errors") or () if str(one.get("part", "")).split(".", 1)[0] in late)

        load = self._load(rules)
        if rules.load is not None and load is None and rules.policy.profile == "deep":
            facts["runtime"]["load"] = {"words": rules.load.words, "seconds": 0, "rc": None, "error": "check mode: no load was run"}
            steps = [step for step in steps if step.phase == "idle"]
        looks.go_on(facts, steps, load, call=call, start=start, keep=keep, begin=begin,
                    say=lambda text: self._display.display(f"{self._name}: {text}"))
        if late and not set(late) & set(facts):
            watched(call(None, runtimes.targets(facts["runtime"])))  # there was no load, or nothing to look into

    def _keep(self, facts: dict[str, Any], answer: Mapping[str, Any]) -> None:
        """Write an answer's raw profiles below the run's folder. Nothing that a host says of them is trusted."""
        folders = {runtimes.identity(one.facts): hostdoc.profile_dir(self._run_dir, self._name, one.subject)
                   for one in runtimes.endpoints(facts)}
        given = answer.get("profiles")
        for profile in given[:_PROFILES] if isinstance(given, list) else ():
            try:
                folder = folders.get(runtimes.identity(profile))
                name = f"{profile['kind']}-{profile['phase']}.pb.gz"
                if folder is None or profile["file"] != name or profile["kind"] not in sampling.KINDS or profile["phase"] not in _PHASES:
                    raise ValueError("it is no profile of an endpoint of this host")
                data = base64.b64decode(profile["data"], validate=True)
                if len(data) > sampling.PROFILE_MOST:
                    raise ValueError("it is larger than any profile that was asked for")
                hostdoc.write_private(folder, name, data, below=self._run_dir)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
                facts.setdefault("errors", []).append({
                    "part": "runtime.profiles", "kind": "exception", "message": f"a profile could not be kept: {exc}"[:500]})

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


class _Remote:
    """A load that runs on the host, by Ansible's own way to run a command in the background."""

    def __init__(self, action: ActionModule, load: sampling.Load, task_vars: dict[str, Any]) -> None:
        self._action, self._task_vars = action, task_vars
        self._result: dict[str, Any] = {}
        before = action._task.async_val
        action._task.async_val = load.duration + int(looks.GRACE) + 5
        try:
            self._started = dict(action._execute_module(
                module_name="ansible.legacy.command", module_args={"argv": looks.bounded(load)},
                task_vars=task_vars, wrap_async=True))
        except AnsibleConnectionFailure as exc:
            # What the host told before is judged; there was no load.
            self._started = {"msg": f"unreachable: {exc}"}
        finally:
            action._task.async_val = before
        self._asked = time.monotonic()
        self._end = self._asked + load.duration

    def ended(self) -> bool:
        if "ansible_job_id" not in self._started or self._result.get("finished"):
            return True
        if time.monotonic() >= self._asked + _POLL:
            self._result, self._asked = self._ask("status"), time.monotonic()
        return bool(self._result.get("finished")) or time.monotonic() >= self._end + looks.GRACE

    def finish(self) -> tuple[int | None, str]:
        if "ansible_job_id" not in self._started:
            return 127, _one_line(self._started.get("msg") or "it could not be started")
        # timeout(1) needs up to five seconds more for what ignores SIGTERM.
        end = time.monotonic() + 2 * looks.GRACE
        while not self._result.get("finished"):
            self._result = self._ask("status")
            if time.monotonic() >= end:
                break
            time.sleep(looks.POLL)
        self._ask("cleanup")
        said = _one_line(redact.redact_text(str(self._result.get("stderr") or self._result.get("msg") or "")))
        if self._result.get("finished") and "rc" in self._result:
            return int(self._result["rc"]), said
        # Neither its end nor its status was seen: nobody can say that there was a load.
        return 125, said or "its end was not seen"

    def _ask(self, mode: str) -> dict[str, Any]:
        try:
            return dict(self._action._execute_module(
                module_name="ansible.legacy.async_status", task_vars=self._task_vars,
                module_args={"jid": self._started["ansible_job_id"], "mode": mode, "_async_dir": self._action._remote_expand_user(
                    self._action.get_shell_option("async_dir", default="~/.ansible_async"))}))
        except AnsibleConnectionFailure as exc:
            return {"msg": f"unreachable: {exc}"}


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
