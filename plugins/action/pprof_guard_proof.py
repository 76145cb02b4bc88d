# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try every guard: on the host by what listens, answers and is loaded, and from the controller by connecting."""
from __future__ import annotations

import ipaddress
import json
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe
from ansible_collections.goready.preflight.plugins.module_utils.collect import pprof
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Target
from ansible_collections.goready.preflight.plugins.plugin_utils import outside, pprof_guard
from ansible_collections.goready.preflight.plugins.plugin_utils.pprof_guard import Attempt

_FACTS = "goready.preflight.readiness_facts"
_FIREWALL = "goready.preflight.pprof_firewall"
_ADDRESSES = "pprof_guard.addresses"
# The kernel sends a second SYN after one second (RFC 6298): one that was lost must not look like a guard.
CONNECT_SECONDS = 2.5
PATH_SECONDS = 5.0


class ActionModule(ActionBase):
    """Reads and connects; changes nothing."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        _spec, args = self.validate_argument_spec({
            "services": {"type": "list", "elements": "dict", "required": True},
            "firewall": {"type": "dict", "default": {}},
        })
        services = args["services"]
        attempts: list[Attempt] = []
        if services:
            facts = self._facts(services)
            attempts += pprof_guard.seen_on_host(services, facts)
            attempts += self._loaded(services, args["firewall"])
            attempts += self._from_here(services, facts)
        verdicts = pprof_guard.verdicts(services, attempts)
        result.update(changed=False, attempts=[one.as_dict() for one in attempts], proven=verdicts)
        wrong = [one for one in attempts if one.ok is False]
        if wrong:
            result.update(failed=True, msg="\n".join(f"{one.service}: {one.reason}" for one in wrong))
        unsure = [f"{name}: not proven from outside: {reason}" for name, reason in pprof_guard.doubts(services, attempts).items()]
        if unsure:
            result["warnings"] = unsure
        return result

    def _facts(self, services: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        answer = self._execute_module(module_name=_FACTS, task_vars=self._vars, module_args={
            "subsets": ["services", "pprof"],
            "services": [{key: one[key] for key in ("name", "unit", "pprof", "health") if one.get(key)} for one in services],
            "probes": [{"id": _ADDRESSES, "kind": "command", "command": ["ip", "-json", "address", "show", "scope", "global"]}],
        })
        if answer.get("failed") or "facts" not in answer:
            raise AnsibleActionFail(f"the host could not be read: {answer.get('msg') or 'no facts'}")
        found: Mapping[str, Any] = answer["facts"]
        return found

    def _loaded(self, services: Sequence[Mapping[str, Any]], firewall: Mapping[str, Any]) -> list[Attempt]:
        """The kernel's own rules, compared with the file: the module would have nothing to do."""
        names = [one["name"] for one in services if "firewall" in one["means"]]
        if not names:
            return []
        before = self._task.check_mode
        self._task.check_mode = True
        try:
            answer = self._execute_module(module_name=_FIREWALL, module_args=dict(firewall), task_vars=self._vars)
        finally:
            self._task.check_mode = before
        good = not answer.get("failed") and not answer.get("changed")
        reason = "the kernel holds the rules of the file" if good else str(
            answer.get("msg") or "the rules are not what they should be: " + ", ".join(
                f"{one['path']} {one['action']}" for one in answer.get("changes") or ()))
        return [Attempt(name, "host", None, None, "rules loaded", "rules loaded" if good else "other rules", good, reason)
                for name in names]

    # From the controller

    def _from_here(self, services: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[Attempt]:
        guarded = [one for one in services if one["ports"] and set(one["means"]) & {"bind", "firewall"}]
        if not guarded:
            return []
        route = self._route()
        first = outside.path_to(route["address"].strip("[]"), route["ssh_port"], route["connection"], route["ssh_args"],
                                time.monotonic() + PATH_SECONDS)
        paths = [first]
        attempts: list[Attempt] = []
        if first.direct is True:
            here = ipaddress.ip_address(first.peer.partition("%")[0]).version
            paths += self._other_family(facts, 10 - here, route)
        sources = {path.address: self._source(path) for path in paths if path.direct is True}
        tries = [(service, port, path) for path in paths for service in guarded for port in service["ports"]]
        # Silence takes its full time: all at once.
        done = httpprobe.side_by_side(lambda one: _attempt(*one, sources), tries, workers=16,
                                      deadline=time.monotonic() + CONNECT_SECONDS * (len(tries) // 16 + 2))
        for (service, port, path), attempt in zip(tries, done, strict=True):
            attempts.append(attempt or Attempt(service["name"], "controller", path.address, port, "", "not tried", None,
                                               "not tried in time"))
        return attempts

    def _other_family(self, facts: Mapping[str, Any], version: int, route: Mapping[str, Any]) -> list[outside.Path]:
        """Paths to the host's addresses of the other family, where its SSH answers there too."""
        answer = (facts.get("probes") or {}).get(_ADDRESSES) or {}
        try:
            found = pprof_guard.addresses(json.loads(answer.get("stdout") or "[]"), version)
        except ValueError:
            found = []
        for address in found[:3]:
            path = outside.path_to(address, route["ssh_port"], "ssh", "", time.monotonic() + PATH_SECONDS)
            if path.direct is True:
                return [path]
        return []

    def _source(self, path: outside.Path) -> str:
        """The controller's address as the host sees it: sshd tells it, where SSH took this very path; else the one that this
        machine sends from."""
        said = self._low_level_execute_command("echo \"$SSH_CONNECTION\"", sudoable=False)
        words = str(said.get("stdout") or "").split()
        if len(words) >= 3 and pprof_guard.same_address(words[2], path.peer):
            return words[0]
        family = socket.AF_INET6 if ":" in path.peer else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            try:
                sock.connect((path.peer, 9))  # sends nothing: the kernel only chooses the source
                return str(sock.getsockname()[0])
            except OSError:
                return ""

    def _route(self) -> dict[str, Any]:
        def option(name: str) -> str:
            try:
                return str(self._connection.get_option(name) or "")
            except (KeyError, AnsibleError):
                return ""

        return {
            "address": str(option("host") or self._vars.get("ansible_host") or self._vars["inventory_hostname"]),
            "ssh_port": int(option("port") or self._vars.get("ansible_port") or 22),
            "connection": str(self._connection.transport),
            "ssh_args": " ".join(filter(None, (option("ssh_args"), option("ssh_common_args"), option("ssh_extra_args")))),
        }


def _attempt(service: Mapping[str, Any], port: int, path: outside.Path, sources: Mapping[str, str]) -> Attempt:
    if path.direct is not True:
        return Attempt(service["name"], "controller", path.address, port, "", "not tried", None, path.reason)
    # A link-local address means something with its zone only, which the peer's does not have.
    address = path.address if "%" in path.address else path.peer or path.address
    answer = httpprobe.get(Target(host=address, port=port), pprof.INDEX, timeout=CONNECT_SECONDS)
    source = sources[path.address]
    seen, detail = pprof_guard.seen_of(answer)
    return pprof_guard.judge(service["name"], address, port, source, pprof_guard.expected(service, source), seen, detail)
