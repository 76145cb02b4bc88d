# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public variables: validated once, typed, and turned into the engine's :class:`Policy`.

Every fault is one sentence that names the key, the value and what is allowed; all faults of a host are told at once.
"""
from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import goversion
from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue as catalogues
from ansible_collections.goready.preflight.plugins.plugin_utils import custom
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    PROFILES, SEVERITIES, Check, Policy, Waiver,
)

TOOLCHAIN = ("required", "optional", "absent")
FORMATS = ("json", "html", "junit", "md")

# The variables that shape a host's verdict, with the defaults of roles/preflight/defaults/main.yml (a test compares).
DEFAULTS: dict[str, Any] = {
    "preflight_profile": "standard",
    "preflight_services": [],
    "preflight_toolchain": "",
    "preflight_go_version": "",
    "preflight_gate": "high",
    "preflight_checks": ["*"],
    "preflight_skip_checks": [],
    "preflight_thresholds": {},
    "preflight_waivers": [],
    "preflight_custom_checks": [],
}

_SERVICE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9:_.@\\-]*$")
_UNIT_NAME = re.compile(r"^[A-Za-z0-9:_.@\\-]+\.service$")
_REVISION = re.compile(r"^[0-9a-fA-F]{4,64}$")
_DEPENDS_SCHEMES = ("http", "https", "tcp", "tls", "postgres", "postgresql", "mysql", "redis", "rediss", "amqp", "amqps",
                    "kafka", "unix")


class PolicyError(ValueError):
    """One or more variables are wrong; ``faults`` has a sentence each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


class Rules:
    """What :func:`parse` returns: the engine's policy, and the checks it is applied to."""

    def __init__(self, policy: Policy, checks: dict[str, Check], variables: dict[str, Any],
                 customs: list[custom.CustomCheck]) -> None:
        self.policy = policy
        self.checks = checks
        self.variables = variables
        self.customs = customs

    def probes(self, where: str) -> list[dict[str, Any]]:
        """The probes of the custom checks that run on ``host`` or on the ``controller``, with their check's id."""
        return [{"id": one.id, **one.probe} for one in self.customs if one.where == where]


def parse(variables: Mapping[str, Any], *, hostname: str = "localhost", groups: tuple[str, ...] = (),
          now: datetime.datetime | None = None, conditional: custom.Conditional | None = None) -> Rules:
    """Validate the public variables of one host. Raises :class:`PolicyError` with every fault found.

    ``conditional`` evaluates the conditions of custom checks; the default is plain Jinja.
    """
    values = {**DEFAULTS, **{key: value for key, value in variables.items() if key in DEFAULTS}}
    faults: list[str] = []

    def take(key: str, reader: Callable[[Any], Any], fallback: Any) -> Any:
        try:
            return reader(values[key])
        except ValueError as exc:
            faults.append(f"{key}: {exc}")
            return fallback

    go_version = take("preflight_go_version", _go_version, "")
    entries = take("preflight_custom_checks", _list, [])
    customs: list[custom.CustomCheck] = []
    families: list[str] = []
    for index, entry in enumerate(entries):
        try:
            if isinstance(entry, str):
                catalogues.load([entry])
                families.append(str(entry))
            else:
                customs.append(custom.parse(entry))
        except ValueError as exc:
            faults.append(f"preflight_custom_checks[{index}]: {exc}")
    try:
        checks = catalogues.load(families)
    except ValueError as exc:
        faults.append(f"preflight_custom_checks: {exc}")
        checks = catalogues.load()
    for one in customs:
        if one.id in checks:
            faults.append(f"preflight_custom_checks: the check id {one.id} is taken already")
        checks[one.id] = custom.as_check(one, conditional or custom.jinja_conditional)

    policy = Policy(
        hostname=hostname,
        groups=groups,
        profile=take("preflight_profile", _choice(PROFILES), "standard"),
        gate=take("preflight_gate", _choice(SEVERITIES), "high"),
        services=take("preflight_services", _services, ()),
        toolchain=take("preflight_toolchain", _choice((*TOOLCHAIN, "")), "") or ("required" if go_version else "optional"),
        go_version=go_version,
        select=take("preflight_checks", lambda value: _patterns(value, checks), ("*",)),
        skip=take("preflight_skip_checks", lambda value: _patterns(value, checks), ()),
        thresholds=take("preflight_thresholds", lambda value: _thresholds(value, checks), {}),
        waivers=take("preflight_waivers", lambda value: _waivers(value, checks), ()),
        now=now or datetime.datetime.now(datetime.timezone.utc),
    )
    if faults:
        raise PolicyError(faults)
    return Rules(policy, checks, values, customs)


def _choice(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if isinstance(value, str) and value in choices:
            return str(value)
        raise ValueError(f"{value!r} is not one of {', '.join(choice for choice in choices if choice)}")

    return read


def _list(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    raise ValueError(f"{value!r} is not a list")


def _go_version(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"{value!r} is a number; write it in quotes, for instance \"1.27\"")
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a version such as \"1.27.3\" or a range such as \">=1.26,<1.28\"")
    if value.strip():
        goversion.Range.parse(value)
    return str(value).strip()


def _patterns(value: Any, checks: Mapping[str, Check]) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else _list(value)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ValueError(f"{pattern!r} is not a check id, a glob or @tag")
        fault = "" if pattern == "*" else catalogues.unmatched(pattern, checks)
        if fault:
            raise ValueError(fault)
    return tuple(str(pattern) for pattern in patterns)


def _thresholds(value: Any, checks: Mapping[str, Check]) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not a mapping of check ids to thresholds")
    parsed: dict[str, dict[str, Any]] = {}
    for check_id, given in value.items():
        if check_id not in checks:
            raise ValueError(catalogues.unmatched(str(check_id), checks) or f"{check_id} is a pattern; name one check")
        known = checks[check_id].thresholds
        if not known:
            raise ValueError(f"{check_id} has no threshold")
        if not isinstance(given, Mapping):
            if len(known) > 1:
                raise ValueError(f"{check_id}: {given!r} is not a mapping; its thresholds are {', '.join(known)}")
            given = {next(iter(known)): given}
        for name, number in given.items():
            if name not in known:
                raise ValueError(f"{check_id}: unknown threshold {name!r}; there are {', '.join(known)}")
            try:
                parsed.setdefault(str(check_id), {})[str(name)] = known[name].parse(number)
            except ValueError as exc:
                raise ValueError(f"{check_id}.{name}: {number!r} is not allowed: {exc}") from None
    return parsed


def _port(netloc: str, url: str) -> int | None:
    try:
        return urlsplit(f"//{netloc}").port
    except ValueError:
        raise ValueError(f"{url!r} has a port that is no number from 0 to 65535") from None


def url(value: Any, schemes: tuple[str, ...]) -> str:
    """A URL of one of the schemes with a host (or a path for unix), or ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a URL")
    parts = urlsplit(value)
    if parts.scheme not in schemes:
        raise ValueError(f"{value!r} is not a URL that begins with {', '.join(scheme + '://' for scheme in schemes)}")
    if parts.scheme == "unix":
        if not parts.path.startswith("/"):
            raise ValueError(f"{value!r} names no absolute path; expected unix:///run/api/pprof.sock")
        return str(value)
    port = _port(parts.netloc, value)
    if not parts.hostname:
        raise ValueError(f"{value!r} names no host")
    if port is None and parts.scheme in ("tcp", "tls", "kafka"):
        raise ValueError(f"{value!r} names no port; expected {parts.scheme}://host:port")
    return str(value)


def _nofile(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 1 << 30:
        raise ValueError(f"{value!r} is not a whole number from 1 to {1 << 30}")
    return number


def _absolute(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path")
    return str(value)


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.match(value):
            raise ValueError(f"{value!r} is not {what}")
        return str(value)

    return read


def _depends_on(value: Any) -> list[str]:
    return [url(entry, _DEPENDS_SCHEMES) for entry in _list(value)]


SERVICE_KEYS: dict[str, Callable[[Any], Any]] = {
    "name": _matching(_SERVICE_NAME, "a service name (letters, digits and :_.@-)"),
    "unit": _matching(_UNIT_NAME, "the name of a .service unit"),
    "binary": _absolute,
    "nofile": _nofile,
    "pprof": lambda value: url(value, ("http", "https", "unix")),
    "health": lambda value: url(value, ("http", "https", "unix")),
    "metrics": lambda value: url(value, ("http", "https", "unix")),
    "revision": _matching(_REVISION, "a VCS revision: 4 to 64 hexadecimal digits, in quotes"),
    "depends_on": _depends_on,
}


def _services(value: Any) -> tuple[dict[str, Any], ...]:
    services: list[dict[str, Any]] = []
    for index, entry in enumerate(_list(value)):
        if not isinstance(entry, Mapping):
            raise ValueError(f"[{index}]: {entry!r} is not a mapping with at least a name")
        if "name" not in entry:
            raise ValueError(f"[{index}]: the key name is missing")
        service: dict[str, Any] = {}
        label = f"[{index}] ({entry['name']})"
        for key, given in entry.items():
            if key not in SERVICE_KEYS:
                near = difflib.get_close_matches(str(key), SERVICE_KEYS, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise ValueError(f"{label}: unknown key {key!r}; {hint}allowed are {', '.join(SERVICE_KEYS)}")
            if given is None and key != "name":
                continue  # `revision:` left empty by a template means "not given"
            try:
                service[str(key)] = SERVICE_KEYS[key](given)
            except ValueError as exc:
                raise ValueError(f"{label}: {key}: {exc}") from None
        if any(service["name"] == other["name"] for other in services):
            raise ValueError(f"{label}: the name is declared twice")
        services.append(service)
    return tuple(services)


_WAIVER_KEYS = ("check", "hosts", "subject", "justification", "approver", "expires")


def _waivers(value: Any, checks: Mapping[str, Check]) -> tuple[Waiver, ...]:
    return tuple(_waiver(entry, index, checks) for index, entry in enumerate(_list(value)))


def _waiver(entry: Any, index: int, checks: Mapping[str, Check]) -> Waiver:
    if not isinstance(entry, Mapping):
        raise ValueError(f"[{index}]: {entry!r} is not a mapping")
    label = f"[{index}]" + (f" ({entry['check']})" if "check" in entry else "")
    for key in entry:
        if key not in _WAIVER_KEYS:
            raise ValueError(f"{label}: unknown key {key!r}; allowed are {', '.join(_WAIVER_KEYS)}")
    for key in ("check", "justification", "approver", "expires"):
        if not entry.get(key):
            raise ValueError(f"{label}: the key {key} is missing; a waiver needs check, justification, approver and expires")
    for key in ("check", "subject", "justification", "approver"):
        if key in entry and not isinstance(entry[key], str):
            raise ValueError(f"{label}: {key}: {entry[key]!r} is not a string")
    fault = catalogues.unmatched(entry["check"], checks)
    if fault or entry["check"].startswith("@"):
        raise ValueError(f"{label}: check: " + (fault or "a waiver names a check id or a glob, not a tag"))
    hosts = entry.get("hosts", ["*"])
    hosts = [hosts] if isinstance(hosts, str) else _list(hosts)
    if not hosts or not all(isinstance(host, str) and host for host in hosts):
        raise ValueError(f"{label}: hosts: {entry.get('hosts')!r} is not a list of host names, group names or globs")
    return Waiver(
        check=str(entry["check"]), hosts=tuple(str(host) for host in hosts), subject=str(entry.get("subject") or "*"),
        justification=str(entry["justification"]), approver=str(entry["approver"]),
        expires=_expiry(entry["expires"], label),
    )


def _expiry(value: Any, label: str) -> datetime.datetime:
    """RFC 3339 with a zone; YAML turns an unquoted timestamp into a datetime already."""
    try:
        moment = value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or len(str(value)) < 16:
        raise ValueError(
            f"{label}: expires: {str(value)!r} is not an RFC 3339 time with a zone, such as \"2027-01-31T12:00:00Z\"")
    return moment.astimezone(datetime.timezone.utc)
