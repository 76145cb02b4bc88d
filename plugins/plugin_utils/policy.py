# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public variables: validated once, typed, and turned into the engine's :class:`Policy`.

Every fault is one sentence that names the key, the value and what is allowed; all faults of a host are told at once.
"""
from __future__ import annotations

import datetime
import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import goversion, httpprobe
from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue as catalogues
from ansible_collections.goready.preflight.plugins.plugin_utils import custom, probing, readers, sampling
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    PROFILES, SEVERITIES, Check, Policy, Waiver, is_selected,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.report import model

TOOLCHAIN = ("required", "optional", "absent")
FORMATS = ("json", "html", "junit", "md")
# What remediation may interrupt or change for the whole machine: a service, the packet filter, the kernel's settings, packages.
CONSENT = ("restart", "firewall", "sysctl", "install")

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
    "preflight_runtime": {},
    "preflight_load": {},
    "preflight_credentials": {},
    "preflight_budget": 60,
    "preflight_build_user": "",
    "preflight_build": {},
    "preflight_proxy": {},
    "preflight_network": {},
    "preflight_databases": [],
}

# What remediation may do on a host, with its defaults.
REMEDIATION_DEFAULTS: dict[str, Any] = {
    "preflight_consent": [],
    "preflight_remediate": ["*"],
}

# And those that concern the run as a whole.
RUN_DEFAULTS: dict[str, Any] = {
    "preflight_report_dir": "reports",
    "preflight_report_formats": ["json", "html", "junit", "md"],
    "preflight_baseline": "",
    "preflight_timeout": 30,
    "preflight_keep_runs": 10,
    "preflight_remediate_first": 1,
    "preflight_remediate_batch": "20%",
    "preflight_remediate_max_fail_percentage": 10,
}

# Of the playbooks.
OTHER_VARIABLES = ("preflight_hosts",)

# systemd.unit(5): a unit's name has 255 characters at most.
_SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@\\-]{0,199}")
_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.@\\-]{1,247}\.service")
_REVISION = re.compile(r"[0-9a-fA-F]{4,64}")
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
                 customs: list[custom.CustomCheck], plan: sampling.Sampling, load: sampling.Load | None,
                 credentials: Mapping[str, Mapping[str, Any]], probe: probing.Probing) -> None:
        self.policy = policy
        self.checks = checks
        self.variables = variables
        self.customs = customs
        self.sampling = plan
        self.load = load
        self.credentials = credentials
        self.probing = probe

    def steps(self) -> list[sampling.Step]:
        """How the services are looked into: nothing where no check that is selected needs it."""
        wanted = "runtime.endpoints" in self._needs()
        return sampling.steps(self.sampling, self.load, self.policy.profile) if wanted else []

    def tried(self) -> list[str]:
        """The subsets that try something: those that a selected check needs."""
        needs = self._needs()
        return probing.subsets(needs, self.policy.profile, self.probing.network, "runtime.endpoints" in needs)

    def seconds(self) -> int:
        """What the verification may take beyond the reading of what exists; what a task's time-out has to allow."""
        looking = sampling.seconds(self.sampling, self.load, self.policy.profile) if self.steps() else 0
        return looking + (self.probing.seconds() if self.tried() else 0)

    def _needs(self) -> set[str]:
        return {path for one in self.checks.values() if is_selected(one, self.policy) for path in one.needs}

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
    plan = take("preflight_runtime", sampling.parse, sampling.Sampling())
    load = take("preflight_load", sampling.parse_load, None)
    probe = probing.Probing(
        budget=take("preflight_budget", probing.parse_budget, 60),
        build_user=take("preflight_build_user", probing.parse_user, ""),
        build=take("preflight_build", probing.parse_build, probing.Build()),
        proxy=take("preflight_proxy", probing.parse_proxy, probing.Proxy()),
        network=take("preflight_network", lambda value: probing.parse_network(value, policy.services), probing.Network()),
        databases=take("preflight_databases", lambda value: probing.parse_databases(value, policy.services), ()),
    )
    credentials = take("preflight_credentials", lambda value: _credentials(value, policy.services, probe.databases), {})
    if not faults and not any(is_selected(one, policy) for one in checks.values()):
        faults.append("preflight_checks and preflight_skip_checks leave no check to judge: a run that asks nothing proves nothing")
    if faults:
        raise PolicyError(faults)
    return Rules(policy, checks, values, customs, plan, load, credentials, probe)


@dataclass(frozen=True)
class RunSettings:
    """The public variables that concern the run as a whole and not a host's verdict."""

    report_dir: Path
    formats: tuple[str, ...]
    baseline: Path | None
    timeout: int
    keep_runs: int
    first: int
    batch: int | str
    max_fail_percentage: int


@dataclass(frozen=True)
class Mandate:
    """What remediation may do on a host: ``consent`` is a part of :data:`CONSENT`, ``select`` are ids, globs and ``@tag``."""

    consent: frozenset[str]
    select: tuple[str, ...]


def parse_mandate(variables: Mapping[str, Any], checks: Mapping[str, Check]) -> Mandate:
    """Validate the remediation's variables of one host. Raises :class:`PolicyError` with every fault found."""
    values = {**REMEDIATION_DEFAULTS, **{key: value for key, value in variables.items() if key in REMEDIATION_DEFAULTS}}
    faults: list[str] = []
    consent: frozenset[str] = frozenset()
    select: tuple[str, ...] = ()
    try:
        consent = words_of_consent(values["preflight_consent"])
    except ValueError as exc:
        faults.append(f"preflight_consent: {exc}")
    try:
        # --extra-vars preflight_remediate=a.b,c.d is a string.
        select = _patterns(_comma_list(values["preflight_remediate"]), checks)
    except ValueError as exc:
        faults.append(f"preflight_remediate: {exc}")
    if faults:
        raise PolicyError(faults)
    return Mandate(consent, select)


def words_of_consent(value: Any) -> frozenset[str]:
    """What is consented to, of a list or of a string with commas. ValueError for a word that is none."""
    words = _comma_list(value)
    for word in words:
        if word not in CONSENT:
            raise ValueError(f"{word!r} is not one of {', '.join(CONSENT)}")
    return frozenset(str(word) for word in words)


def parse_run(variables: Mapping[str, Any]) -> RunSettings:
    """Validate the variables of the run. Raises :class:`PolicyError` with every fault found."""
    values = {**RUN_DEFAULTS, **{key: value for key, value in variables.items() if key in RUN_DEFAULTS}}
    faults: list[str] = []
    parsed: dict[str, Any] = {}
    for key, reader in _RUN_READERS.items():
        try:
            parsed[key] = reader(values[key])
        except ValueError as exc:
            faults.append(f"{key}: {exc}")
    if faults:
        raise PolicyError(faults)
    return RunSettings(parsed["preflight_report_dir"], parsed["preflight_report_formats"], parsed["preflight_baseline"],
                       parsed["preflight_timeout"], parsed["preflight_keep_runs"], parsed["preflight_remediate_first"],
                       parsed["preflight_remediate_batch"], parsed["preflight_remediate_max_fail_percentage"])


def misspelt(names: Iterable[str]) -> list[str]:
    """A sentence for every variable whose name is nearly, but not quite, a public one."""
    known = [*DEFAULTS, *REMEDIATION_DEFAULTS, *RUN_DEFAULTS, *OTHER_VARIABLES]
    sentences = []
    for name in names:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.85) if name not in known else []
        if near:
            sentences.append(f"{name} is no variable of this collection and has no effect; did you mean {near[0]}?")
    return sentences


def _folder(value: Any) -> Path:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f"{readers.short(value)} is not a path")
    path = Path(os.path.abspath(os.path.expanduser(value)))
    # The nearest folder that is there decides whether the report can be written; found out now and not after the run.
    for folder in (path / "runs", path, *path.parents):
        try:
            there = folder.is_dir()
            if not there and os.path.lexists(folder):
                raise ValueError(f"{str(path)!r} cannot be written: {str(folder)!r} is not a folder")
        except OSError as exc:
            raise ValueError(f"{str(path)!r} cannot be written: {exc.strerror}") from None
        if there:
            if not os.access(folder, os.W_OK | os.X_OK):
                raise ValueError(f"{str(path)!r} cannot be written: {str(folder)!r} is not writable")
            if folder != path / "runs":
                break
    return path


def _formats(value: Any) -> tuple[str, ...]:
    formats = _list(value)
    for one in formats:
        if one not in FORMATS:
            raise ValueError(f"{one!r} is not one of {', '.join(FORMATS)}")
    if not formats:
        raise ValueError(f"the list is empty; name at least one of {', '.join(FORMATS)}")
    return tuple(str(one) for one in formats)


def _baseline(value: Any) -> Path | None:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{readers.short(value)} is not a path")
    if not value:
        return None
    path = Path(os.path.abspath(os.path.expanduser(value)))
    try:
        model.read_baseline(path)
    except OSError as exc:
        raise ValueError(f"{value!r} is no report: {exc.strerror}") from None
    except ValueError as exc:
        raise ValueError(f"{value!r} is no report: {exc}") from None
    return path


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


def _comma_list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [word for word in (part.strip() for part in value.split(",")) if word]
    return _list(value)


def _batch(value: Any) -> int | str:
    if isinstance(value, str) and re.fullmatch(r"(100|[1-9][0-9]?)%", value):
        return str(value)
    try:
        return readers.whole(1, 100000)(value)
    except ValueError:
        raise ValueError(f"{readers.short(value)} is neither a whole number of hosts nor a percentage from 1% to 100%") from None


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


def _absolute(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path")
    return str(value)


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{readers.short(value)} is not {what}")
        return str(value)

    return read


def _secret(value: Any) -> str:
    # The value is not in the message: it may be the secret.
    if not isinstance(value, str) or not value or any(ord(char) < 0x20 for char in value):
        raise ValueError("expected a text without line breaks")
    return str(value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("expected true or false")


def _depends_on(value: Any) -> list[str]:
    return [readers.url(entry, _DEPENDS_SCHEMES) for entry in _list(value)]


SERVICE_KEYS: dict[str, Callable[[Any], Any]] = {
    "name": _matching(_SERVICE_NAME, "a service name (at most 200 letters, digits and :_.@-)"),
    "unit": _matching(_UNIT_NAME, "the name of a .service unit"),
    "binary": _absolute,
    "nofile": readers.whole(1, 1 << 30),
    "pprof": lambda value: readers.url(value, ("http", "https", "unix")),
    "health": lambda value: readers.url(value, ("http", "https", "unix")),
    "metrics": lambda value: readers.url(value, ("http", "https", "unix")),
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


def _ca_file(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("expected an absolute path on the host")
    return str(value)


# No message of these holds the value: one that slipped into the next line may be the secret.
_CREDENTIAL_KEYS: dict[str, Callable[[Any], Any]] = {
    "username": _secret, "password": _secret, "token": _secret, "ca_file": _ca_file, "validate_certs": _truth,
}


def _credentials(value: Any, services: Iterable[Mapping[str, Any]],
                 databases: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise ValueError("expected a mapping of names in preflight_services and preflight_databases to their credentials")
    names = [one["name"] for one in services]
    servers = [one["name"] for one in databases if one["name"] not in names]
    parsed: dict[str, dict[str, Any]] = {}
    for name, given in value.items():
        if name not in (*names, *servers):
            raise ValueError(f"{name}: no service of that name is declared; preflight_services has {', '.join(names) or 'none'}"
                             + (f" and preflight_databases {', '.join(servers)}" if servers else ""))
        if not isinstance(given, Mapping):
            raise ValueError(f"{name}: expected a mapping of {', '.join(_CREDENTIAL_KEYS)}")
        entry = parsed.setdefault(str(name), {})
        for key, item in given.items():
            if key not in _CREDENTIAL_KEYS:
                raise ValueError(f"{name}: unknown key {key!r}; allowed are {', '.join(_CREDENTIAL_KEYS)}")
            try:
                entry[str(key)] = _CREDENTIAL_KEYS[key](item)
            except ValueError as exc:
                raise ValueError(f"{name}: {key}: {exc}") from None
        # A database's user may stand in its URL, and Redis needs none.
        if ("username" in entry) != ("password" in entry) and not (name in servers and "password" in entry):
            raise ValueError(f"{name}: username and password belong together")
        if "token" in entry and "username" in entry:
            raise ValueError(f"{name}: token and username exclude each other")
        if not entry:
            raise ValueError(f"{name}: it is empty; expected some of {', '.join(_CREDENTIAL_KEYS)}")
        try:
            if name in names:
                httpprobe.authorization(entry.get("username", ""), entry.get("password", ""), entry.get("token", ""))
        except ValueError as exc:
            raise ValueError(f"{name}: {exc}") from None
    return parsed


_RUN_READERS: dict[str, Callable[[Any], Any]] = {
    "preflight_report_dir": _folder,
    "preflight_report_formats": _formats,
    "preflight_baseline": _baseline,
    "preflight_timeout": readers.whole(1, 3600),
    "preflight_keep_runs": readers.whole(0, 100000),
    "preflight_remediate_first": readers.whole(1, 100000),
    "preflight_remediate_batch": _batch,
    "preflight_remediate_max_fail_percentage": readers.whole(0, 100),
}

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
    if moment is not None and moment.tzinfo is not None and len(str(value)) >= 16:
        try:
            return moment.astimezone(datetime.timezone.utc)
        except OverflowError:  # beyond the year 9999 in UTC
            pass
    raise ValueError(
        f"{label}: expires: {str(value)!r} is not an RFC 3339 time with a zone, such as \"2027-01-31T12:00:00Z\"")
