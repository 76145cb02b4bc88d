# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the validate task: every host's variables judged before any host is touched."""
from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as ansible_version

from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue, engine, hostdoc, policy, version

# The variables that a host may have values of its own for.
_OF_HOSTS = (*policy.DEFAULTS, *policy.REMEDIATION_DEFAULTS)


class ActionModule(ActionBase):
    """Runs once for all hosts of the play; touches none."""

    _requires_connection = False
    _supports_check_mode = True
    BYPASS_HOST_LOOP = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, args = self.validate_argument_spec({
            "mode": {"type": "str", "choices": ["verify", "remediate"], "default": "verify"},
        })
        task_vars = task_vars or {}
        hosts = [str(host) for host in task_vars.get("ansible_play_hosts_all") or [task_vars["inventory_hostname"]]]
        faults: list[str] = []
        values = _templated([*_OF_HOSTS, *policy.RUN_DEFAULTS], task_vars, self._templar.template, faults)
        settings = None
        looking = 0
        if not faults:
            found, looking = _judge_hosts(hosts, values, task_vars.get("hostvars") or {})
            faults += found
            try:
                settings = policy.parse_run(values)
            except policy.PolicyError as exc:
                faults += exc.faults
        if settings is None or faults:
            raise AnsibleActionFail("\n".join(faults))
        # Last, so that wrong input leaves nothing behind.
        started = datetime.datetime.now(datetime.timezone.utc)
        run_id = f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        run_dir = settings.report_dir / "runs" / run_id
        try:
            # What hosts told may be confidential: only the user who ran this reads the raw documents.
            for folder in (run_dir / "hosts", run_dir / "facts"):
                folder.mkdir(parents=True, mode=0o700)
            hostdoc.write_json(run_dir / "run.json", {
                "id": run_id, "started": started.isoformat(timespec="seconds"),
                "profile": values.get("preflight_profile", "standard"), "gate": values.get("preflight_gate", "high"),
                "mode": _mode(args["mode"], bool(self._task.check_mode)),
                "collection_version": version.collection_version(), "ansible_version": ansible_version,
                "hosts": hosts, "formats": list(settings.formats),
                "baseline": str(settings.baseline) if settings.baseline else None,
            })
        except OSError as exc:
            raise AnsibleActionFail(
                f"preflight_report_dir: {str(settings.report_dir)!r} cannot be written: {exc.strerror}") from None
        result.update(changed=False, run_dir=str(run_dir), report_dir=str(settings.report_dir), run_id=run_id, hosts=len(hosts),
                      looking_seconds=looking)
        warnings = policy.misspelt(sorted(str(name) for name in task_vars if str(name).startswith("preflight_")))
        if warnings:
            result["warnings"] = warnings
        return result


def _templated(names: Iterable[str], source: Mapping[str, Any], template: Callable[[Any], Any],
               faults: list[str]) -> dict[str, Any]:
    """Those of the variables that are set; one that cannot be templated is a fault that names it."""
    values = {}
    for name in names:
        try:
            if name in source:
                values[name] = template(source[name])
        except AnsibleError as exc:
            faults.append(f"{name}: it cannot be templated: {exc}")
    return values


def _judge_hosts(hosts: list[str], variables: Mapping[str, Any], hostvars: Mapping[str, Any]) -> tuple[list[str], int]:
    """The faults of every host's own variables, and the seconds that the slowest may be looked into; hosts with the same
    values are judged, and named, together."""
    seen: dict[str, tuple[list[str], list[str]]] = {}
    looking = 0
    for host in hosts:
        faults: list[str] = []
        # Role defaults and play variables are not in hostvars (which template what they give): those of the task stand in.
        own = _templated(_OF_HOSTS, hostvars.get(host, {}), lambda value: value, faults)
        values = {**variables, **own}
        key = engine.canonical(values) + "".join(faults)
        if key not in seen:
            found, seconds = _judge(values)
            seen[key] = ([], faults or found)
            looking = max(looking, seconds)
        seen[key][0].append(host)
    return [
        fault if len(names) == len(hosts) else f"{fault} (hosts: {', '.join(names[:5])}"
        + (f" and {len(names) - 5} more)" if len(names) > 5 else ")")
        for names, found in seen.values() for fault in found
    ], looking


def _judge(values: Mapping[str, Any]) -> tuple[list[str], int]:
    faults: list[str] = []
    seconds = 0
    try:
        rules = policy.parse(values)
        checks, seconds = rules.checks, rules.seconds()
    except policy.PolicyError as exc:
        faults += exc.faults
        checks = catalogue.load()
    try:
        policy.parse_mandate(values, checks)
    except policy.PolicyError as exc:
        faults += exc.faults
    return faults, seconds


def _mode(mode: str, check_mode: bool) -> str:
    if mode == "verify":
        return "check" if check_mode else "verify"
    return "remediate-check" if check_mode else "remediate"
