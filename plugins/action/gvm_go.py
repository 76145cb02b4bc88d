# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of gvm_go: the table of known checksums, and an archive that is pushed to the host."""
from __future__ import annotations

import hashlib
import os
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.goready.preflight.plugins.module_utils import gvm_fetch, gvm_go
from ansible_collections.goready.preflight.plugins.plugin_utils import go_checksums

MODULE = "goready.preflight.gvm_go"


class ActionModule(ActionBase):
    """Runs the module; where an archive of the controller is needed on the host, pushes it before."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        table = go_checksums.load()
        told = arguments.get("version", "")
        if not isinstance(told, str):
            raise AnsibleActionFail(f"version: {told} is no text: quote it, as YAML reads 1.30 as the number 1.3")
        try:
            version = gvm_go.exact_version(told, table.versions)
        except ValueError as exc:
            raise AnsibleActionFail(str(exc)) from None
        sums = table.of(version)
        arguments["known_checksums"] = {**sums, "source": table.label} if sums else {}
        arguments["known_versions"] = table.versions
        pushed = arguments.get("archive") and not boolean(arguments.get("archive_remote", True), strict=False)
        if pushed and arguments.get("state", "present") == "present":
            result.update(self._pushed(arguments, sums, table.label, task_vars))
        else:
            result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars,
                                               wrap_async=self._task.async_val))
        return result

    def _pushed(self, arguments: dict[str, Any], sums: dict[str, str], label: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        try:
            local = self._find_needle("files", str(arguments["archive"]))
        except AnsibleError as exc:
            raise AnsibleActionFail(f"archive: {exc}") from None
        given = arguments.get("checksum") or beside(local)
        checked = verify(local, str(given) if given else "", sums, label)
        # archive_remote stays false: it tells the module that the file lies in Ansible's own folder.
        arguments = {**arguments, "checksum": checked}
        probe = {**arguments, "probe": True, "archive": "/dev/null"}
        answer = self._execute_module(module_name=MODULE, module_args=probe, task_vars=task_vars)
        wanted = any(entry["path"] == answer.get("goroot") for entry in answer.get("changes", []))
        if answer.get("failed") or self._task.check_mode:
            return dict(answer)
        # What is installed already needs no archive; 70 MB are not sent for nothing.
        arguments["archive"] = "/dev/null"
        if wanted:
            folder = self._connection._shell.tmpdir or self._make_tmp_path()
            target = self._connection._shell.join_path(folder, os.path.basename(local))
            self._transfer_file(local, target)
            self._fixup_perms2((folder, target))
            arguments["archive"] = target
        answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        if answer.get("archive_source") == arguments["archive"]:
            answer["archive_source"] = f"controller {local}"
        return dict(answer)


def beside(path: str) -> str:
    """The checksum in ``PATH.sha256``, "" where there is none."""
    try:
        with open(path + ".sha256", encoding="utf-8", errors="replace") as stream:
            return gvm_fetch.checksum_from_file(stream.read(1 << 20), os.path.basename(path)) or ""
    except OSError:
        return ""


def verify(path: str, given: str, sums: dict[str, str], label: str) -> str:
    """The SHA-256 of a file of the controller. AnsibleActionFail where it is not the given one, or one of the table's."""
    with open(path, "rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    found = digest.hexdigest()
    if given:
        try:
            expected = gvm_fetch.normal_checksum(given)
        except ValueError as exc:
            raise AnsibleActionFail(str(exc)) from None
        if found != expected:
            raise AnsibleActionFail(f"archive checksum: {path} on the controller has the SHA-256 {found}, and not {expected}")
    elif not sums:
        raise AnsibleActionFail(f"checksum: there is none for {path}, and what cannot be verified is not installed; give it as checksum")
    elif found not in sums.values():
        raise AnsibleActionFail(f"archive checksum: {path} on the controller has the SHA-256 {found}, which is in {label} "
                                f"for no architecture of this version")
    return found
