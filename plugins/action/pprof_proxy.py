# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of pprof_proxy: the module on the host, then the same questions from here."""
from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.module_utils import proxyconf, proxyproof
from ansible_collections.goready.preflight.plugins.module_utils.proxyproof import Door
from ansible_collections.goready.preflight.plugins.plugin_utils import outside

_MODULE = "goready.preflight.pprof_proxy"
_SECONDS = 30.0


class ActionModule(ActionBase):
    """Services whose proxy lets in from here whom it should not are taken away from it; one that is not reached is only told."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _spec, args = self.validate_argument_spec(proxyconf.ARGUMENTS)
        settings = None
        if args["state"] == "present":
            # Here already, so that bad input costs no connection. Every fault at once.
            faults = []
            for check in (proxyconf.settings, proxyconf.services):
                try:
                    check(args)
                except ValueError as exc:
                    faults.append(str(exc))
            if faults:
                raise AnsibleActionFail("; ".join(faults))
            settings = proxyconf.settings(args)
        result.update(self._execute_module(module_name=_MODULE, module_args=dict(self._task.args), task_vars=task_vars))
        if result.get("failed") or settings is None or self._task.check_mode:
            return result
        result["outside"] = self._outside(args, settings, result, task_vars)
        wrong = result["outside"].pop("faults")
        if wrong:
            answer = None
            if result.get("changed"):
                answer = self._execute_module(module_name=_MODULE, task_vars=task_vars, module_args={
                    "state": "absent", "services": [{"name": one["name"]} for one in args["services"]], "install": args["install"]})
            result.update(failed=True, msg=_told(wrong, [str(one["name"]) for one in args["services"]], answer))
        return result

    def _outside(self, args: Mapping[str, Any], settings: proxyconf.Settings, result: Mapping[str, Any],
                 task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """``outside`` of the module's RETURN, and the ``faults``."""
        if not proxyconf.everywhere(settings.listen):
            return {"tried": 0, "admitted": None, "reason": f"it listens on {settings.listen}: on loopback only", "faults": []}
        route = _route(self, task_vars)
        path = outside.path_to(route["address"].strip("[]"), route["ssh_port"], route["connection"], route["ssh_args"],
                               time.monotonic() + outside.TOTAL)
        if path.direct is not True:
            return {"tried": 0, "admitted": None, "reason": path.reason, "faults": []}
        door = _door(settings, path.peer or path.address)
        if door is None:
            return {"tried": 0, "admitted": None, "reason": f"it listens on {settings.listen}, and the controller's path is to "
                                                            f"{path.peer or path.address}", "faults": []}
        # Credentials go to nobody but who has the host's certificate.
        door = door._replace(certificate=str(result.get("certificate") or ""))
        also: Sequence[str] = [str(result["client"])] if result.get("client") else []
        probe = proxyproof.ask(door, "GET", "/")
        if probe.status is None:
            return {"tried": 1, "admitted": None, "reason": f"{door.label} does not let the controller in ({probe.error})", "faults": []}
        proof = proxyproof.prove(door, proxyconf.services(args), settings, deadline=time.monotonic() + _SECONDS, quick=True, also=also,
                                 anonymous=settings.tls and not door.certificate)
        return {"tried": proof.tried + 1, "admitted": proof.admitted, "reason": f"from {proof.source} to {door.label}",
                "faults": list(proof.faults)}


def _told(wrong: Sequence[str], names: Sequence[str], answer: Mapping[str, Any] | None) -> str:
    """The failure, with what became of the services: ``answer`` is that of the call which took them away, None without one."""
    text = f"from the controller, {wrong[0]}" + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else "")
    if answer is None:
        return text
    if answer.get("failed"):
        return f"{text}; {', '.join(names)} could not be taken away from the proxy: {answer.get('msg')}"
    return f"{text}; the proxy serves {', '.join(names)} no longer, and how it did before does not come back"


def _door(settings: proxyconf.Settings, peer: str) -> Door | None:
    """Where the controller's path to the host ends at the proxy."""
    try:
        version = ipaddress.ip_address(peer.partition("%")[0]).version
    except ValueError:
        return None
    for address, port in proxyconf.listen(settings.listen):
        if address == peer or (address in ("0.0.0.0", "::") and ipaddress.ip_address(address).version == version):
            return Door(peer, port, settings.tls)
    return None


def _route(action: ActionBase, task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """How the controller gets to the host, as action plugin verify reads it."""
    def option(name: str) -> str:
        try:
            return str(action._connection.get_option(name) or "")
        except (KeyError, AnsibleError):
            return ""

    return {
        "address": str(option("host") or task_vars.get("ansible_host") or task_vars["inventory_hostname"]),
        "ssh_port": int(option("port") or task_vars.get("ansible_port") or 22),
        "connection": str(action._connection.transport),
        "ssh_args": " ".join(filter(None, (option("ssh_args"), option("ssh_common_args"), option("ssh_extra_args")))),
    }
