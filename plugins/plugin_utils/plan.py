# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What remediation does about the findings of a host: which roles run, with which variables, and what is left and why.

Pure: a host's document and the inventory's variables go in, a :class:`Plan` comes out. Nothing here diagnoses: what is
wrong, and whether a role may mend it, is in the results; what is wanted is in the inventory, or in the result's ``expected``.
"""
from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import engine, policy

FORMAT = 1
PLAYBOOK = "remediate.yml"

# Kinds of "left".
LEFT = ("consent", "manual", "unselected", "waived", "stopped", "error")


@dataclass(frozen=True)
class Step:
    """One role to run on one host, the variables it gets, and the findings (fingerprints) that it is to mend."""

    role: str
    variables: Mapping[str, Any]
    consent: tuple[str, ...]
    items: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """A finding that is not mended, and why: ``kind`` is one of :data:`LEFT`."""

    fingerprint: str
    check: str
    subject: str
    severity: str
    kind: str
    why: str
    command: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"fingerprint": self.fingerprint, "check": self.check, "subject": self.subject, "severity": self.severity,
                "why": self.why, "kind": self.kind, "command": self.command}


@dataclass(frozen=True)
class Plan:
    """What is done on one host."""

    steps: tuple[Step, ...] = ()
    left: tuple[Left, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """What the plan needs to know of a host's variables: its declared services, the roles' own, and the mandate."""

    mandate: policy.Mandate
    services: tuple[Mapping[str, Any], ...] = ()
    go_version: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)

    def list_of(self, name: str) -> list[Mapping[str, Any]]:
        """A role's list of mappings; what is none is the role's own validation's to refuse."""
        value = self.variables.get(name)
        return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, (list, tuple)) else []


@dataclass(frozen=True)
class _Request:
    """What one finding asks of its role: variables to merge, and the words of consent of which one is needed (or why it
    cannot be)."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    cannot: str = ""


def mend_command(check_id: str, hosts: Iterable[str] = (), consent: str = "") -> str:
    """The command that mends one finding on some hosts (none: all of them)."""
    words = ["ansible-playbook", PLAYBOOK]
    names = list(hosts)
    if names:
        words += ["--limit", ",".join(names)]
    words += ["-e", f"preflight_remediate={check_id}"]
    if consent:
        words += ["-e", f"preflight_consent={consent}"]
    return shlex.join(words)


def make(document: Mapping[str, Any], inventory: Inventory, checks: Mapping[str, engine.Check]) -> Plan:
    """The plan for one host's document (of ``verify``). An open finding is in exactly one step, or left."""
    left: list[Left] = []
    wanted: dict[str, list[tuple[Mapping[str, Any], _Request]]] = {}
    for result in document.get("results") or ():
        if result["status"] != "fail":
            continue
        kind, why, command = _why_left(result, inventory, checks)
        role = str((result.get("remediation") or {}).get("role") or "")
        if not kind:
            request = _REQUESTS[role](result, document, inventory)
            given = inventory.mandate.consent | _own_consent(role, inventory)
            if request.cannot:
                kind, why = "manual", request.cannot
            elif request.needs and not given & set(request.needs):
                kind, why = "consent", f"needs consent {' or '.join(request.needs)}"
                command = mend_command(result["id"], [str(document["name"])], request.needs[0])
            else:
                wanted.setdefault(role, []).append((result, request))
                continue
        left.append(Left(result["fingerprint"], result["id"], result["subject"], result["severity"], kind, why, command))
    steps = []
    for role in engine.ROLES:
        if role in wanted:
            variables: dict[str, Any] = {}
            for request in (one for unused, one in wanted[role]):
                _merge(variables, request.variables)
            consent = inventory.mandate.consent | _own_consent(role, inventory)
            steps.append(Step(role, variables, tuple(sorted(consent)), tuple(result["fingerprint"] for result, unused in wanted[role])))
    return Plan(tuple(steps), tuple(left))


def _why_left(result: Mapping[str, Any], inventory: Inventory, checks: Mapping[str, engine.Check]) -> tuple[str, str, str]:
    """(kind, why, command) of a finding that no role is asked about; three empty strings where one is."""
    remediation = result.get("remediation") or {}
    command = str(remediation.get("command") or "")
    if result.get("waived"):
        return "waived", "waived: somebody took responsibility for it", ""
    role = str(remediation.get("role") or "")
    if role not in engine.ROLES or remediation.get("safe") != "apply":
        return "manual", "manual: " + (str(remediation.get("hint") or "") or "no role mends this"), command
    check = checks.get(str(result["id"]))
    if check is None or not engine.selected(inventory.mandate.select, check):
        return "unselected", "not named by preflight_remediate", ""
    return "", "", ""


def _own_consent(role: str, inventory: Inventory) -> frozenset[str]:
    try:
        return policy.words_of_consent(inventory.variables.get(f"{role}_consent") or [])
    except ValueError:  # the role's own validation tells it
        return frozenset()


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Lists of mappings are merged by their ``name``, other lists are united, the rest replaces."""
    for key, value in more.items():
        if not isinstance(value, list):
            into[key] = value
            continue
        target = into.setdefault(key, [])
        for entry in value:
            same = next((one for one in target if isinstance(entry, dict) and one["name"] == entry["name"]), None)
            if same is not None:
                same.update(entry)
            elif entry not in target:
                target.append(dict(entry) if isinstance(entry, dict) else entry)


def _service_of(subject: str, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The service of the document that a subject belongs to: ``api``, ``api/worker``, ``api [::]:6060``."""
    services = [service for service in document.get("services") or ()
                if subject == service["name"] or subject.startswith((f"{service['name']}/", f"{service['name']} "))]
    return max(services, key=lambda service: len(service["name"]), default=None)


def _entry(role: str, result: Mapping[str, Any], document: Mapping[str, Any], inventory: Inventory) -> dict[str, Any] | str:
    """The role's entry for the service of a result: declared, completed by the role's own list; why there is none."""
    service = _service_of(str(result["subject"]), document)
    if service is None:
        return "manual: the finding belongs to no service that the role could be given"
    if service.get("container"):
        return "manual: it runs in a container, which the container's runtime configures"
    unit = str(service.get("unit") or "")
    if not unit.endswith(".service"):
        return "manual: no unit starts it"
    name = service["name"]
    entry: dict[str, Any] = {"name": name, "unit": unit}
    for source in (inventory.services, inventory.list_of(f"{role}_services")):
        for one in source:
            if one.get("name") == name or one.get("unit") == unit:
                entry.update({str(key): value for key, value in one.items() if value is not None})
    return {**entry, "name": name, "unit": unit}


def _service_limits(result: Mapping[str, Any], document: Mapping[str, Any], inventory: Inventory) -> _Request:
    entry = _entry("service_limits", result, document, inventory)
    if isinstance(entry, str):
        return _Request(cannot=entry)
    expected = result.get("expected")
    if result["id"].startswith("limits.nofile") and "nofile" not in entry and isinstance(expected, int):
        entry["nofile"] = expected
    apply = inventory.variables.get("service_limits_apply") or "restart"
    return _Request({"service_limits_services": [entry]}, needs=("restart",) if apply == "restart" else ())


def _pprof_guard(result: Mapping[str, Any], document: Mapping[str, Any], inventory: Inventory) -> _Request:
    entry = _entry("pprof_guard", result, document, inventory)
    if isinstance(entry, str):
        return _Request(cannot=entry)
    port = str(result["subject"]).rpartition(":")[2]
    if "pprof" not in entry and port.isdecimal():
        entry["pprof"] = f"http://127.0.0.1:{port}"
    means = entry.get("means") or inventory.variables.get("pprof_guard_means") or "auto"
    means = [means] if isinstance(means, str) else list(means)
    consent = inventory.mandate.consent | _own_consent("pprof_guard", inventory)
    words = {"bind": "restart", "firewall": "firewall", "proxy": "install"}
    if means == ["auto"]:
        needs: tuple[str, ...] = ("restart", "firewall") if entry.get("bind") else ("firewall",)
    else:
        needs = tuple(words[one] for one in means if one in words and words[one] not in consent)[:1]
    return _Request({"pprof_guard_services": [entry]}, needs=needs)


def _go_toolchain(result: Mapping[str, Any], document: Mapping[str, Any], inventory: Inventory) -> _Request:
    versions = inventory.variables.get("go_toolchain_versions")
    if not versions:
        return _Request(cannot="manual: say which Go is wanted in go_toolchain_versions")
    return _Request({"go_toolchain_versions": list(versions) if isinstance(versions, (list, tuple)) else versions}, needs=("install",))


def _module_proxy(result: Mapping[str, Any], document: Mapping[str, Any], inventory: Inventory) -> _Request:
    # The very values that were found, so that a setting that became another one in between is left alone. What the inventory
    # wants instead is in the role's own variables, which win.
    actual = result.get("actual")
    unset = [f"{name}={value}" for name, value in actual.items()] if isinstance(actual, Mapping) else []
    return _Request({"module_proxy_users": [str(result["subject"])], "module_proxy_unset": unset})


_REQUESTS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], Inventory], _Request]] = {
    "service_limits": _service_limits,
    "pprof_guard": _pprof_guard,
    "go_toolchain": _go_toolchain,
    "module_proxy": _module_proxy,
}


# What a role's run came to

def newly_failed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The results that fail after mending at or above the gate, unwaived, and did not fail before."""
    wall = engine.SEVERITIES.index(str(after.get("gate") or "high"))
    old = {result["fingerprint"] for result in before.get("results") or () if result["status"] == "fail"}
    for result in after.get("results") or ():
        if (result["status"] == "fail" and not result.get("waived") and result["fingerprint"] not in old
                and engine.SEVERITIES.index(result["severity"]) >= wall):
            yield result


def outcomes(findings: Iterable[Mapping[str, Any]], after: Mapping[str, Any]) -> dict[str, str]:
    """What became of findings (results that failed) by the verification that followed: their fingerprint to ``fixed``,
    ``not_fixed`` (it still fails) or ``unverified`` (nobody could tell: an unknown is never a pass)."""
    worst: dict[str, str] = {}
    broken: set[str] = set()
    judged: set[str] = set()
    for result in after.get("results") or ():
        status, key = str(result["status"]), str(result["fingerprint"])
        if key not in worst or _ORDER.index(status) > _ORDER.index(worst[key]):
            worst[key] = status
        if status in ("pass", "fail", "notapplicable"):
            judged.add(result["id"])
        elif not result["subject"]:
            broken.add(result["id"])
    found = {}
    for finding in findings:
        key, check = str(finding["fingerprint"]), str(finding["id"])
        if key in worst:
            found[key] = {"pass": "fixed", "notapplicable": "fixed", "fail": "not_fixed"}.get(worst[key], "unverified")
        else:
            # Its subject is gone: proof of nothing where the check did not run.
            found[key] = "fixed" if check in judged and check not in broken else "unverified"
    return found


_ORDER = ("pass", "notapplicable", "notselected", "unknown", "error", "fail")
