# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What remediation does about the findings of a host: which roles run, with which variables, and what is left and why.

Pure: a host's document and the inventory's variables go in, a :class:`Plan` comes out. Nothing here diagnoses: what is
wrong, and whether a role may mend it, is in the results; what is wanted is in the inventory, or in the result's ``expected``.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import engine, policy, readers
from ansible_collections.goready.preflight.plugins.plugin_utils.report import text
from ansible_collections.goready.preflight.plugins.plugin_utils.report.remediation import verified

FORMAT = 1

# The roles' variables that say what is wanted and allowed. Others (credentials among them) are not read here.
VARIABLES = (
    "go_toolchain_versions", "go_toolchain_user", "service_limits_services", "service_limits_apply", "pprof_guard_services",
    "pprof_guard_means", "module_proxy_goproxy", "module_proxy_gosumdb", "module_proxy_goprivate", "module_proxy_gonoproxy",
    "module_proxy_gonosumdb", "module_proxy_goinsecure", "module_proxy_goflags", *(f"{role}_consent" for role in engine.ROLES),
)

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
    variables: Mapping[str, Any] = field(default_factory=dict)

    def list_of(self, name: str) -> list[Mapping[str, Any]]:
        """A role's list of mappings; what is none is the role's own validation's to refuse."""
        value = self.variables.get(name)
        return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, (list, tuple)) else []


@dataclass(frozen=True)
class _Request:
    """What one finding asks of its role: variables to merge, and what it needs consent to, as alternatives of which one is
    enough (or why it cannot be)."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[frozenset[str], ...] = (frozenset(),)
    cannot: str = ""

    def missing(self, given: frozenset[str]) -> list[list[str]]:
        """The words that each alternative lacks; none where one lacks nothing."""
        lacks = [sorted(words - given) for words in self.needs]
        return lacks if all(lacks) else []


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
            missing = request.missing(inventory.mandate.consent | _own_consent(role, inventory))
            if request.cannot:
                kind, why = "manual", request.cannot
            elif missing:
                kind, why = "consent", f"needs consent {' or '.join(' and '.join(words) for words in missing)}"
                command = text.mend_command(result["id"], [str(document["name"])], ",".join(_to_ask(missing, inventory)))
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


def consents(document: Mapping[str, Any], inventory: Inventory) -> dict[str, str | None]:
    """What the command that mends a finding has to consent to beside the inventory (``restart,install``; empty: nothing), by
    fingerprint; None where no command does, for only people can say what is wanted."""
    found: dict[str, str | None] = {}
    for result in document.get("results") or ():
        remediation = result.get("remediation") or {}
        if result["status"] == "fail" and remediation.get("role") in _REQUESTS and remediation.get("safe") == "apply":
            request = _REQUESTS[remediation["role"]](result, document, inventory)
            missing = request.missing(inventory.mandate.consent | _own_consent(remediation["role"], inventory))
            found[result["fingerprint"]] = None if request.cannot else ",".join(_to_ask(missing, inventory))
    return found


def _to_ask(missing: list[list[str]], inventory: Inventory) -> list[str]:
    """What --extra-vars has to say: it replaces the inventory's own consent, so it repeats that."""
    return sorted({*missing[0], *inventory.mandate.consent}) if missing else []


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
    return _Request({"service_limits_services": [entry]}, needs=(frozenset({"restart"} if apply == "restart" else ()),))


def _pprof_guard(result: Mapping[str, Any], document: Mapping[str, Any], inventory: Inventory) -> _Request:
    entry = _entry("pprof_guard", result, document, inventory)
    if isinstance(entry, str):
        return _Request(cannot=entry)
    port = str(result["subject"]).rpartition(":")[2].partition(" ")[0]
    declared = readers.port_of(str(entry["pprof"])) if entry.get("pprof") else entry.get("port")
    if not port.isdecimal():
        return _Request(cannot="manual: the finding names no port")
    if declared is not None and int(port) != declared:
        return _Request(cannot=f"manual: it is served on port {port}, and the one declared to be guarded is {declared}")
    entry.setdefault("pprof", f"http://127.0.0.1:{port}")
    means = entry.get("means") or inventory.variables.get("pprof_guard_means") or "auto"
    words = {"bind": "restart", "firewall": "firewall", "proxy": "install"}
    if means in ("auto", ["auto"]):
        ways = [frozenset({"restart"})] if entry.get("bind") else []
        return _Request({"pprof_guard_services": [entry]}, needs=(*ways, frozenset({"firewall"})))
    named = [means] if isinstance(means, str) else list(means)
    return _Request({"pprof_guard_services": [entry]}, needs=(frozenset(words[one] for one in named if one in words),))


def _go_toolchain(result: Mapping[str, Any], document: Mapping[str, Any], inventory: Inventory) -> _Request:
    versions = inventory.variables.get("go_toolchain_versions")
    if not versions:
        return _Request(cannot="manual: say which Go is wanted in go_toolchain_versions")
    # A user's own Go needs nothing of the machine; where packages are missing, the role says so itself.
    return _Request({"go_toolchain_versions": list(versions) if isinstance(versions, (list, tuple)) else versions},
                    needs=(frozenset() if inventory.variables.get("go_toolchain_user") else frozenset({"install"}),))


def _module_proxy(result: Mapping[str, Any], document: Mapping[str, Any], inventory: Inventory) -> _Request:
    # The very values that were found, so that a setting that became another one in between is left alone; and of what the
    # inventory wants, that which takes their place. Nothing else is set for a user whom the inventory has not named.
    actual = result.get("actual")
    if not isinstance(actual, Mapping):
        return _Request(cannot="manual: the finding does not say which setting it is")
    wanted = {f"module_proxy_{name.lower()}": inventory.variables.get(f"module_proxy_{name.lower()}") or "" for name in actual}
    return _Request({"module_proxy_users": [str(result["subject"])], **wanted,
                     "module_proxy_unset": [f"{name}={value}" for name, value in actual.items()]})


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
    now, proving = verified(after.get("results") or ())
    found = {}
    for finding in findings:
        current = now.get(finding["fingerprint"])
        if current:
            found[finding["fingerprint"]] = _OUTCOMES.get(current["status"], "unverified")
        else:
            # Its subject is gone: proof of nothing where the check did not run.
            found[finding["fingerprint"]] = "fixed" if finding["id"] in proving else "unverified"
    return found


_OUTCOMES = {"pass": "fixed", "notapplicable": "fixed", "fail": "not_fixed"}
