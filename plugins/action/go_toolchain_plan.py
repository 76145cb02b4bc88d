# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of go_toolchain's validation: the variables judged, the host looked at, the plan made."""
from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.module_utils.go_toolchain import ARGUMENTS
from ansible_collections.goready.preflight.plugins.plugin_utils import go_toolchain


class ActionModule(ActionBase):
    """Changes nothing; wrong variables are told before the host is connected to."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, values = self.validate_argument_spec(ARGUMENTS)
        known = go_toolchain.known_versions(go_toolchain.CHECKSUMS.read_text(encoding="utf-8"))
        faults = go_toolchain.faults(values, known)
        if faults:
            raise AnsibleActionFail("\n".join(faults))
        host = self._execute_module(module_name="goready.preflight.go_toolchain_plan", module_args=dict(values), task_vars=task_vars)
        if host.get("failed") or "host" not in host:
            return {**result, **host}
        plan, faults = go_toolchain.decide(values, host["host"])
        if faults:
            raise AnsibleActionFail("\n".join(faults))
        unconsented = plan["needs_consent"] and not plan["consent"]
        check_mode = bool(self._task.check_mode)
        plan.update(unconsented=unconsented, preview=unconsented and not check_mode, predict=unconsented or check_mode)
        return {**result, "changed": False, "plan": plan, "host": host["host"]}
