# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide how each service's pprof is guarded, and try in check mode everything that would be done."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.module_utils import nftables, pprof_bind, proxyconf
from ansible_collections.goready.preflight.plugins.plugin_utils import policy, pprof_guard
from ansible_collections.goready.preflight.plugins.plugin_utils.pprof_guard import Decision, Settings

_FACTS = "goready.preflight.readiness_facts"
_FIREWALL = "goready.preflight.pprof_firewall"
_BIND = "goready.preflight.pprof_bind"
_PROXY = "goready.preflight.pprof_proxy"
_PROXY_SETTINGS = ("listen", "tls_certificate", "tls_key", "insecure", "token", "users", "paths", "seconds_max")
_DROP_INS = "pprof_guard.drop_ins"


class ActionModule(ActionBase):
    """Reads the host once, then calls the modules in check mode: what they refuse is told before anything is changed."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _spec, args = self.validate_argument_spec({
            "services": {"type": "list", "elements": "dict", "default": []},
            "means": {"type": "raw", "default": "auto"},
            "allow": {"type": "list", "elements": "raw", "default": []},
            "block_service_port": {"type": "bool", "default": False},
            "state": {"type": "str", "default": "present"},
            "consent": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
            "proxy": {"type": "dict", "apply_defaults": True, "options": {key: proxyconf.ARGUMENTS[key] for key in _PROXY_SETTINGS}},
        })
        proxy = args.pop("proxy")
        try:
            settings = pprof_guard.parse(args)
        except policy.PolicyError as exc:
            raise AnsibleActionFail("\n".join([*exc.faults, *_proxy_faults(args, proxy)])) from None

        facts = self._facts(settings, task_vars)
        decisions, faults = pprof_guard.decide(settings, facts)
        warnings = [line for one in decisions for line in one.warnings]
        plan: dict[str, Any] = {
            "services": [{**one.as_dict(), "allow": pprof_guard.at_the_port(one, settings)} for one in decisions if one.means],
            "left": [{"name": one.service.name, "why": one.why} for one in decisions if not one.means],
            "firewall": pprof_guard.firewall_arguments(decisions, settings),
            "firewall_removed": pprof_guard.firewall_removed(decisions, settings),
            "bind": pprof_guard.bind_arguments(decisions, settings),
            "proxy": pprof_guard.proxy_arguments(decisions, settings),
        }
        everything = settings.state == "absent" and not settings.services
        plan["remove_firewall"] = everything or bool(plan["firewall_removed"]["services"])
        if everything:
            plan["bind"] = [{"unit": unit, "state": "absent", "timeout": settings.timeout} for unit in _bound_units(facts)]
        missing = self._rehearse(plan, decisions, settings, proxy, faults, task_vars)
        if faults or (missing and not self._task.check_mode):
            raise AnsibleActionFail("\n".join([*faults, *missing]))
        result.update(plan, changed=False)
        if warnings or missing:
            result["warnings"] = [*warnings, *missing]
        return result

    def _facts(self, settings: Settings, task_vars: dict[str, Any]) -> Mapping[str, Any]:
        answer = self._execute_module(module_name=_FACTS, task_vars=task_vars, module_args={
            "subsets": ["services", "pprof"] if settings.state == "present" else ["services"],
            "services": [
                {key: value for key, value in (("name", one.name), ("unit", one.unit), ("pprof", one.pprof), ("health", one.health))
                 if value} for one in settings.services],
            "probes": [
                {"id": pprof_guard.FILE_PROBE, "kind": "file", "path": nftables.FILE, "content": True},
                {"id": pprof_guard.PROXY_PROBE, "kind": "file", "path": proxyconf.CONF, "content": True},
                {"id": _DROP_INS, "kind": "command", "command": [
                    "find", "/etc/systemd/system", "-mindepth", "2", "-maxdepth", "2", "-name", pprof_bind.NAME]},
            ],
        })
        if answer.get("failed") or "facts" not in answer:
            said = [answer.get(key) for key in ("msg", "module_stderr", "module_stdout")]
            raise AnsibleActionFail("the host could not be read: " + (": ".join(str(text) for text in said if text) or "no facts"))
        found: Mapping[str, Any] = answer["facts"]
        return found

    def _rehearse(self, plan: Mapping[str, Any], decisions: Sequence[Decision], settings: Settings, proxy: Mapping[str, Any],
                  faults: list[str], task_vars: dict[str, Any]) -> list[str]:
        """Every call in check mode. Refusals are added to ``faults``; returns what lacks consent."""
        firewall: list[str] = []
        restart: list[str] = []
        calls = [plan["firewall"]] if plan["firewall"]["services"] else []
        calls += [plan["firewall_removed"]] if plan["remove_firewall"] else []
        for call in calls:
            if self._try(_FIREWALL, call, faults, task_vars).get("changed"):
                firewall += [one["name"] for one in call["services"]] or ["everything"]
        for call in plan["bind"]:
            answer = self._try(_BIND, call, faults, task_vars)
            if any(change["action"] == "restarted" for change in answer.get("changes") or ()):
                restart.append(call["unit"])
        missing: list[str] = []
        alternatives = {one.service.unit for one in decisions if one.service.means is None and one.ports}
        if restart and "restart" not in settings.consent:
            other = " (or firewall, which guards without a restart)" if set(restart) <= alternatives and settings.state == "present" else ""
            missing.append(f"pprof_guard_consent: {', '.join(restart)} has to be restarted, which needs consent: add restart{other} to "
                           "pprof_guard_consent or preflight_consent")
        if firewall and "firewall" not in settings.consent:
            missing.append(f"pprof_guard_consent: the packet filter has to be changed for {', '.join(firewall)}, which needs consent: add "
                           "firewall to pprof_guard_consent or preflight_consent")
        if plan["proxy"]:
            call = {**proxy, **plan["proxy"], "install": "install" in settings.consent}
            missing += self._try(_PROXY, call, faults, task_vars).get("missing") or []
        return missing

    def _try(self, module: str, arguments: Mapping[str, Any], faults: list[str], task_vars: dict[str, Any]) -> dict[str, Any]:
        before = self._task.check_mode
        self._task.check_mode = True
        try:
            answer: dict[str, Any] = self._execute_module(module_name=module, module_args=dict(arguments), task_vars=task_vars)
        finally:
            self._task.check_mode = before
        if answer.get("failed"):
            faults.append(str(answer.get("msg")))
        return answer


def _proxy_faults(args: Mapping[str, Any], proxy: Mapping[str, Any]) -> list[str]:
    """What is wrong with the proxy's settings, where the variables ask for one."""
    entries = args["services"] if args["state"] == "present" else ()
    given = [args["means"] if entries else None, *(entry.get("means") for entry in entries)]
    if any("proxy" in means for means in given if isinstance(means, (str, list))):
        try:
            proxyconf.settings(proxy)
        except ValueError as exc:
            return [str(exc)]
    return []


def _bound_units(facts: Mapping[str, Any]) -> list[str]:
    """The units that have our drop-in, whatever the inventory says today."""
    answer = (facts.get("probes") or {}).get(_DROP_INS) or {}
    return sorted(path.split("/")[-2].removesuffix(".d") for path in str(answer.get("stdout") or "").splitlines() if path.count("/") > 2)
