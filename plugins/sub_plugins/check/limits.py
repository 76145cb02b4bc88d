# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the services get the descriptors, tasks, memory and CPUs that they need, and do they know their limits?

Two questions are kept apart, because different people mend them: what the unit asks for (``nofile_configured``) and what
the running process has got (``nofile_effective``: systemd or a container may give less). Since Go 1.19 a Go program raises
its own soft limit to the hard one, so for Go the hard limit is what counts.
"""
from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Facts, Outcome, Policy, Remediation, Threshold, check, failed, lookup, notapplicable, passed, unknown,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.subjects import (
    INFINITY, Program, Service, parse_memory_limit, plain, size, words,
)

NEEDS = ("services.services",)

# systemd >= 240 (NEWS): the default of LimitNOFILE is 1024:524288.
SYSTEMD_HARD = 524288
# runtime/debug.SetMaxThreads: a Go program that has more threads than this is ended by the runtime.
GO_MAX_THREADS = 10000

# Of many services, how many a sentence names and how many lines of evidence there are.
SHOWN_NAMES = 3
SHOWN_LINES = 20


@dataclass(frozen=True)
class _Nofile:
    """What a unit asks for: its soft and hard limit, and the line that says so (None: systemd's default)."""

    soft: float | None
    hard: float | None
    line: tuple[str, int, str] | None


def _configured(service: Service) -> _Nofile:
    lines = service.directives("LimitNOFILE")
    # The last line that systemd accepts wins.
    line = lines[-1] if lines else None
    return _Nofile(subjects.number(service.properties.get("LimitNOFILESoft")),
                   subjects.number(service.properties.get("LimitNOFILE")), line)


def _raises(binary: Mapping[str, Any] | None) -> bool:
    """Whether the program raises its own soft limit: Go >= 1.19. A Go of unknown version is a development tree: newer."""
    if not lookup(binary or {}, "buildinfo.go_version"):
        return False
    version = subjects.go_version(binary)
    return version is None or version.line >= (1, 19)


def _nofile_lines(service: Service) -> list[str]:
    lines = [f"systemctl show {service.unit}: {name}={service.property(name)}" for name in ("LimitNOFILE", "LimitNOFILESoft")
             if service.properties.get(name) is not None]
    lines += [f"{path}:{line}: LimitNOFILE={value}" for path, line, value in service.directives("LimitNOFILE")]
    for one in service.facts.get("unit_files") or ():
        lines += [f"{one.get('path')}:{problem.get('line')}: {problem.get('name')}: {problem.get('message')}"
                  for problem in one.get("problems") or () if str(problem.get("name")).startswith("LimitNOFILE")]
    return lines


def _raise_nofile(service: Service, wanted: float, facts: Facts) -> Remediation:
    value = f"LimitNOFILE={wanted:.0f}:{max(wanted, SYSTEMD_HARD):.0f}"
    command = service.drop_in([value], "50-nofile")
    most = _most(facts)
    # The role refuses what the host cannot give, and knows units of the system only.
    able = bool(command) and (most is None or wanted <= most)
    return Remediation(
        hint=f"Set {value} in a drop-in of {service.unit}: a soft limit of {wanted:.0f} that leaves the hard limit high. The "
             "command restarts the service." + ("" if able or most is None or wanted <= most else
                                                f" This host gives a service {words(most)} at most: raise that first."),
        command=command, role="service_limits" if command else "", safe="apply" if able else "manual")


def _most(facts: Facts) -> float | None:
    """The most open files that a service of this host can get; None where that is not known."""
    nr_open = subjects.number((lookup(facts, "host.sysctl") or {}).get("fs.nr_open"))
    if not lookup(facts, "host.container"):
        return nr_open
    # In a container systemd may seldom raise its own hard limit; where it has more, it can give it.
    return subjects.number(lookup(facts, "services.systemd.nofile.hard"))


@check(
    "limits.nofile_configured",
    title="The unit allows enough open files",
    severity="high",
    why="Every connection is a descriptor; at the limit accept and connect fail with EMFILE, and net/http logs \"Accept error: "
        "... too many open files; retrying\" while clients time out (net/http, Server.Serve). setrlimit(2); systemd.exec(5), "
        "LimitNOFILE=: one value sets soft and hard limit, the default is 1024:524288.",
    judged="Wanted is `nofile` of the declaration, else threshold `minimum`, which only finds limits that are low for any "
           "service. What counts for a Go >= 1.19 program is the unit's hard limit, because such a program raises its own soft "
           "limit to it (Go source, syscall/rlimit.go); for others it is the soft limit. So systemd's default 1024:524288 is "
           "enough for a Go service. A program that is not built with Go is judged only by a declared `nofile`. For a "
           "discovered service the finding is medium. What the running process really has is limits.nofile_effective.",
    remediation=Remediation(hint="Raise LimitNOFILE= in a drop-in of the unit.", role="service_limits", safe="apply"),
    needs=NEEDS,
    thresholds={"minimum": Threshold(4096, "Descriptors wanted for a service that declares no `nofile`: the hard limit that "
                                           "Linux itself starts with (INR_OPEN_MAX).", unit="descriptors", minimum=1)},
)
@subjects.located
def nofile_configured(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    minimum = int(policy.threshold(nofile_configured, "minimum"))
    for service in subjects.services(facts, policy):
        yield subjects.unit_gate(service) or _nofile_configured(service, minimum, facts)


def _wanted(service: Service, minimum: int) -> tuple[int, str]:
    nofile = service.declaration.get("nofile")
    return (int(nofile), "declared") if nofile else (minimum, "the least that any service should have")


def _main_binary(service: Service) -> Mapping[str, Any] | None:
    program = next((one for one in service.programs if one.main), None)
    return (subjects.running(program, service) if program else None) or subjects.on_disk(service)


def _nofile_configured(service: Service, minimum: int, facts: Facts) -> Outcome:
    wanted, origin = _wanted(service, minimum)
    configured = _configured(service)
    binary = _main_binary(service)
    raises = _raises(binary)
    value = configured.hard if raises else configured.soft
    evidence = _nofile_lines(service)
    if value is None:
        return unknown(f"systemd does not tell LimitNOFILE= of {service.unit}.", subject=service.subject, expected=wanted,
                       evidence=evidence)
    if not raises and binary is not None and not binary.get("buildinfo") and not service.declaration.get("nofile"):
        return notapplicable("Its program is not known to be built with Go, and no `nofile` is declared for it.",
                             subject=service.subject, evidence=evidence)
    kind = "a hard limit" if raises else "a soft limit"
    if value >= wanted:
        return passed(f"{service.unit} has {kind} of {words(value)} open files; {wanted} are wanted.", subject=service.subject,
                      actual=plain(value), expected=wanted, evidence=evidence)
    return failed(f"{service.unit} has {kind} of {words(value)} open files; {wanted} are wanted ({origin}).",
                  subject=service.subject, actual=plain(value), expected=wanted, evidence=evidence,
                  severity=None if service.declared else "medium",
                  remediation=_raise_nofile(service, wanted, facts))


@check(
    "limits.nofile_effective",
    title="The running service has the open files that its unit asks for",
    severity="critical",
    why="Where systemd may not raise a limit (in a container, without CAP_SYS_RESOURCE, above fs.nr_open) it takes the closest "
        "it can get and starts the service all the same (systemd source, setrlimit_closest in rlimit-util.c; proc(5), "
        "/proc/sys/fs/nr_open). Then the unit says 65536, reviews and dashboards believe it, and the process fails at a "
        "fraction of it. Only /proc/PID/limits tells.",
    judged="Compared is /proc/PID/limits of the main process with LimitNOFILE= of its unit where a line sets it, else with the "
           "declared `nofile` as far as the unit allows that (a unit that allows too little is limits.nofile_configured). "
           "Without a unit the declared `nofile`, else the minimum of limits.nofile_configured, is compared. Go >= 1.24 takes "
           "the hard limit less one: one missing descriptor is no finding. LimitNOFILE=infinity is whatever the kernel allows, "
           "and of LimitNOFILE=SOFT:HARD with a hard limit at systemd's default or above only SOFT is a promise. "
           "Medium where the declared `nofile` is still met, and for discovered services.",
    remediation=Remediation(hint="Find what holds the limit down: fs.nr_open, the container's ulimits, a missing restart.",
                            role="service_limits"),
    needs=NEEDS,
)
@subjects.located
def nofile_effective(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    minimum = int(policy.threshold(nofile_configured, "minimum"))
    for service in subjects.services(facts, policy):
        program = next((one for one in service.programs if one.main), None)
        if program is None:
            yield notapplicable("No process of it runs.", subject=service.subject)
        else:
            yield _nofile_effective(service, program, minimum, facts)


def _limit(process: Mapping[str, Any], which: str) -> float | None:
    return subjects.number(lookup(process, f"limits.nofile.{which}"))


def _nofile_effective(service: Service, program: Program, minimum: int, facts: Facts) -> Outcome:
    process = program.processes[0]
    soft, hard = _limit(process, "soft"), _limit(process, "hard")
    path = f"/proc/{process.get('pid')}/limits"
    subject = service.subject
    if soft is None or hard is None:
        reason = subjects.unreadable([process], "limits")
        return unknown(f"{path} was not read{_because(reason)}.", subject=subject, remediation=service.as_root(reason))
    evidence = [f"{path}: Max open files {words(soft)} {words(hard)}"]
    wanted, origin = _wanted(service, minimum)
    configured = _configured(service) if service.properties and not service.container else _Nofile(None, None, None)
    raises = _raises(subjects.running(program, service))
    asked = configured.hard if raises else configured.soft
    evidence += _nofile_lines(service) if asked is not None else []
    promised = _promised(configured, raises, service.declaration.get("nofile"))
    target = promised if promised is not None else wanted if asked is None else min(wanted, asked)
    if soft + 1 >= target:
        return passed(f"The running process may open {words(soft)} files.", subject=subject, actual=plain(soft),
                      expected=plain(target), evidence=evidence)
    nr_open = subjects.number((lookup(facts, "host.sysctl") or {}).get("fs.nr_open"))
    if nr_open is not None and nr_open < target:
        evidence.append(f"/proc/sys/fs/nr_open: {words(nr_open)}")
    declared = service.declaration.get("nofile")
    critical = service.declared and not (declared and soft + 1 >= int(declared))
    said = f"{words(target)} are wanted ({origin})" if promised is None else f"{service.unit} asks for {words(target)}"
    return failed(f"The running process may open {words(soft)} files; {said}.", subject=subject, actual=plain(soft),
                  expected=plain(target), evidence=evidence, severity=None if critical else "medium",
                  remediation=_why_clamped(service, soft, hard, target, nr_open, raises, facts))


def _promised(configured: _Nofile, raises: bool, declared: Any) -> float | None:
    """What a line of the unit promises the program; None where no line sets the limit, or sets none.

    ``LimitNOFILE=65536`` promises that much. In ``soft:hard`` a Go program takes the hard limit; but a hard limit at
    systemd's default or above is there to be left alone, so the soft one is the promise, and a declared number is it within
    the two.
    """
    soft, hard = configured.soft, configured.hard
    if configured.line is None or soft is None or hard is None:
        return None
    if not raises:
        promised = soft
    elif soft == hard or (hard < SYSTEMD_HARD and not declared):
        promised = hard
    else:
        promised = max(soft, min(int(declared), hard)) if declared else soft
    return None if promised == INFINITY else promised


def _why_clamped(service: Service, soft: float, hard: float, target: float, nr_open: float | None, raises: bool,
                 facts: Facts) -> Remediation:
    restart = f"sudo systemctl restart {service.quoted}" if service.is_system and service.unit.endswith(".service") else ""
    role = "service_limits" if restart and not service.container else ""
    container, most = lookup(facts, "host.container"), _most(facts)
    if hard >= target:
        return Remediation(hint=f"The hard limit of {words(hard)} is enough, the soft limit of {words(soft)} is not: the program "
                                "does not raise it, or lowers it itself. Set the soft limit in the unit, or rebuild with a "
                                "current Go.", role=role, safe="apply" if role and not raises else "manual")
    if service.container:
        return Remediation(hint=f"It runs in {service.container}: raise the container's limit (--ulimit nofile=SOFT:HARD, or "
                                "the engine's default ulimits) and recreate it.")
    if nr_open is not None and nr_open < target:
        return Remediation(hint=f"fs.nr_open is {words(nr_open)}, below the {words(target)} that the unit asks for: raise it in "
                                "/etc/sysctl.d, then restart the service.",
                           command=f"sudo sysctl -w fs.nr_open={target:.0f} && {restart}" if restart else "")
    if container and (most is None or most < target):
        return Remediation(hint=f"This host is itself a container ({container}): its own hard limit of {words(hard)} caps every "
                                "service. Raise the limit where the container is started, then restart it.")
    return Remediation(hint="Either the unit was changed after the service started (restart it), or systemd was not allowed to "
                            "raise the limit (its journal and /proc/1/limits tell).",
                       command=f"grep 'open files' /proc/1/limits; {restart}" if restart else "", role=role,
                       safe="apply" if role else "manual")


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


@check(
    "limits.nofile_headroom",
    title="The service is not about to run out of descriptors",
    severity="high",
    why="A process near its descriptor limit fails with the next burst of connections, or leaks descriptors and fails anyway: "
        "EMFILE from accept(2), open(2) and socket(2). /proc/PID/fd shows what is open, /proc/PID/limits the soft limit that "
        "applies (proc(5)).",
    judged="Open descriptors of each process against its own soft limit as it is now: at `ratio` or above it fails. Of several "
           "processes of one program the worst counts.",
    remediation=Remediation(hint="Look at what is open (lsof -p PID) before you raise the limit: a leak fills any limit."),
    needs=NEEDS,
    thresholds={"ratio": Threshold(0.8, "Part of the soft limit from which on it is a finding.", minimum=0.01, maximum=1.0)},
)
@subjects.located
def nofile_headroom(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    ratio = float(policy.threshold(nofile_headroom, "ratio"))
    for service in subjects.services(facts, policy):
        for program in service.programs:
            yield _nofile_headroom(service, program, ratio)


def _nofile_headroom(service: Service, program: Program, ratio: float) -> Outcome:
    used: list[tuple[float, Mapping[str, Any], float, float]] = []
    for process in program.processes:
        soft, opened = _limit(process, "soft"), subjects.number(lookup(process, "fds.open"))
        if soft and opened is not None:
            used.append((opened / soft, process, opened, soft))
    if not used:
        reason = subjects.unreadable(program.processes, "fds", "limits")
        return unknown(f"The open descriptors of {program.name} ({program.pids}) were not read{_because(reason)}.",
                       subject=program.subject, remediation=service.as_root(reason))
    share, process, opened, soft = max(used, key=lambda one: (one[0], -int(one[1].get("pid") or 0)))
    pid = process.get("pid")
    said = f"{program.name} (PID {pid}) has {opened:.0f} of {words(soft)} descriptors open"
    evidence = [f"/proc/{pid}/fd: {opened:.0f} entries", f"/proc/{pid}/limits: Max open files {words(soft)} (soft)"]
    expected = f"below {ratio * 100:.0f} %"
    if share < ratio:
        return passed(f"{said}.", subject=program.subject, actual=f"{share * 100:.0f} %", expected=expected, evidence=evidence)
    return failed(f"{said}: {share * 100:.0f} %, {expected} is wanted.", subject=program.subject, actual=f"{share * 100:.0f} %",
                  expected=expected, evidence=evidence, remediation=Remediation(
                      hint="Look at what is open before you raise the limit: a leak fills any limit.",
                      command=f"sudo ls -l /proc/{pid}/fd | awk 'NR > 1 {{print $NF}}' | sed 's/:.*//' | sort | uniq -c | "
                              "sort -rn | head"))


@check(
    "limits.nofile_lowered",
    title="LimitNOFILE= does not lower the hard limit",
    severity="medium",
    why="One value sets both limits (systemd.exec(5)), and the default hard limit is 524288 since systemd 240 (its NEWS). A Go "
        "program raises its soft limit to the hard one by itself (since Go 1.19, syscall/rlimit.go), so `LimitNOFILE=65536`, "
        "meant to give more, takes the limit of a Go service from 524288 down to 65536.",
    judged="Fails when a line of the unit sets a hard limit below `default_hard` for a Go >= 1.19 program and nobody declared "
           "a `nofile` that it meets: a limit that the inventory declares is a decision. Discovered services: info where an "
           "administrator's file (/etc, /run) says so, not judged where their package does.",
    remediation=Remediation(hint="Write LimitNOFILE=SOFT:524288, or leave the line out.", role="service_limits"),
    needs=NEEDS,
    thresholds={"default_hard": Threshold(SYSTEMD_HARD, "The hard limit that systemd gives without a line in the unit.",
                                          unit="descriptors", minimum=1)},
)
@subjects.located
def nofile_lowered(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    default = int(policy.threshold(nofile_lowered, "default_hard"))
    for service in subjects.services(facts, policy):
        yield subjects.unit_gate(service) or _nofile_lowered(service, default)


def _nofile_lowered(service: Service, default: int) -> Outcome:
    configured = _configured(service)
    subject, evidence = service.subject, _nofile_lines(service)
    if configured.line is None:
        return passed(f"{service.unit} leaves the limit to systemd's default.", subject=subject,
                      actual=plain(configured.hard), expected=default, evidence=evidence)
    if configured.hard is None:
        return unknown(f"systemd does not tell LimitNOFILE= of {service.unit}.", subject=subject, evidence=evidence)
    line = f"LimitNOFILE={configured.line[2]}"
    if configured.hard >= default:
        return passed(f"{line} keeps the hard limit at {words(configured.hard)}.", subject=subject,
                      actual=plain(configured.hard), expected=default, evidence=evidence)
    if not _raises(_main_binary(service)):
        return notapplicable("The program is not built with Go 1.19 or later: it lives by the soft limit.", subject=subject)
    if not service.declared and not configured.line[0].startswith(("/etc/", "/run/")):
        return notapplicable(f"{line} is the decision of the package that {service.unit} belongs to.", subject=subject,
                             evidence=evidence)
    declared = service.declaration.get("nofile")
    if declared and configured.hard >= int(declared):
        return passed(f"{line} gives the {declared} descriptors that are declared.", subject=subject,
                      actual=plain(configured.hard), expected=int(declared), evidence=evidence)
    return failed(f"{line} lowers the hard limit of {service.unit} from systemd's {default} to {words(configured.hard)}.",
                  subject=subject, actual=plain(configured.hard), expected=default, evidence=evidence,
                  severity=None if service.declared else "info", remediation=Remediation(
                      hint=f"Write LimitNOFILE={words(configured.soft or configured.hard)}:{default}, leave the line out, or "
                           "declare `nofile` if the lower limit is meant.",
                      command=service.drop_in([f"LimitNOFILE={words(configured.soft or configured.hard)}:{default}"],
                                              "50-nofile"), role="service_limits"))


@check(
    "limits.limits_conf_ignored",
    title="Nobody relies on limits.conf for a system service",
    severity="info",
    why="limits.conf is read by pam_limits when a session is opened (limits.conf(5), pam_limits(8)); a system service has no "
        "session unless its unit sets PAMName= (systemd.exec(5)), so the line changes nothing and somebody believes it does.",
    judged="Reported is a `nofile` line whose domain is exactly the user (name or number) that services of the host's systemd "
           "run as: one finding a user, which names the services. Lines for `*`, groups and root are meant for logins and are "
           "not reported; nor are lines with the very value that the process has (of a service that does not run: that its "
           "unit sets), nor units with PAMName=.",
    remediation=Remediation(hint="Move the value to LimitNOFILE= of the unit and delete the line.", role="service_limits"),
    needs=("services.services", "services.limits_conf"),
)
@subjects.located
def limits_conf_ignored(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    lines = [line for line in lookup(facts, "services.limits_conf") or () if line.get("item") == "nofile"]
    users: dict[str, list[Service]] = {}
    others = []
    for service in subjects.services(facts, policy):
        reason = _has_logins(service)
        if reason:
            others.append(f"{service.subject}: {reason}")
        else:
            users.setdefault(_user(service), []).append(service)
    found = [outcome for user in sorted(users) if (outcome := _limits_conf(user, users[user], lines)) is not None]
    yield from found
    if users and not found:
        yield passed(f"limits.conf has no nofile line that a service of {_some(sorted(users))} does not get.",
                     evidence=_bounded([text for user in sorted(users) for text in _conf_lines(_own(users[user], lines))]))
    elif not users:
        yield notapplicable("No service of the host's systemd runs as a user of its own, so nobody would look for its limits in "
                            "limits.conf.", evidence=_bounded(others))


def _user(service: Service) -> str:
    return str((service.main or {}).get("user") or service.property("User") or "root")


def _has_logins(service: Service) -> str:
    """Why limits.conf may well be meant for a service; empty where it is not read."""
    if not service.is_system or not service.unit.endswith(".service") or service.container:
        return "no service of the host's systemd, limits.conf may apply to it"
    if service.directives("PAMName"):
        return f"{service.unit} sets PAMName=, limits.conf applies to it"
    if _user(service) == "root" or (service.main or {}).get("uid") == 0:
        return "runs as root, and lines for root are meant for logins"
    return ""


def _own(services: list[Service], lines: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines whose domain is the user of these services, by name or by number."""
    names = {_user(services[0])}
    for uid in {(service.main or {}).get("uid") for service in services} - {None}:
        names |= {str(uid), f"{uid}:{uid}"}
    return [line for line in lines if str(line.get("domain")) in names]


def _limits_conf(user: str, services: list[Service], lines: list[Mapping[str, Any]]) -> Outcome | None:
    """What there is to say about one user; None where every line for it is in effect."""
    limits = {service.subject: (soft, hard) for service in services for soft, hard in [_nofile(service)]
              if soft is not None and hard is not None}
    own = _own(services, lines)
    told = [service for service in services if service.subject in limits]
    missed = [(line, [service for service in told if not _is_in_effect(line, *limits[service.subject])]) for line in own]
    missed = [(line, without) for line, without in missed if without]
    if own and not missed and len(told) < len(services):
        silent = next(service for service in services if service not in told)
        reason = subjects.unreadable(silent.processes, "limits")
        return unknown(f"Whether {silent.unit} gets what limits.conf sets for {user} is unknown: its limits were not read"
                       f"{_because(reason)}.", subject=f"user {user}", evidence=_bounded(_conf_lines(own)),
                       remediation=silent.as_root(reason))
    if not missed:
        return None
    first, without = missed[0]
    units = _some([service.unit for service in without])
    said = f"{units} {'does' if len(without) == 1 else 'do'} not get"
    every = [service for service in told if any(service in some for unused, some in missed)]
    soft = sorted({limits[service.subject][0] for service in every})
    return failed(
        f"{first.get('path')} sets nofile for {user} to {first.get('value')}, which {said}: limits.conf is for logins.",
        subject=f"user {user}", actual=plain(soft[0]) if len(soft) == 1 else [plain(limit) for limit in soft],
        expected=plain(subjects.number(first.get("value"))),
        evidence=[*_bounded(_conf_lines([line for line, unused in missed])),
                  *_bounded([f"{service.unit}: open files {words(limits[service.subject][0])} (soft), "
                             f"{words(limits[service.subject][1])} (hard)" for service in every])],
        remediation=Remediation(hint=f"Set LimitNOFILE= in {units} if the value is wanted, and delete the line.",
                                role="service_limits"))


def _nofile(service: Service) -> tuple[float | None, float | None]:
    """Soft and hard limit of the running process; without one, what its unit would give it."""
    main = service.main
    if main is None:
        configured = _configured(service)
        return configured.soft, configured.hard
    return _limit(main, "soft"), _limit(main, "hard")


def _some(names: list[str]) -> str:
    """``a, b, c and 14 more``"""
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else "")


def _bounded(lines: list[str]) -> list[str]:
    return lines[:SHOWN_LINES] + ([f"... and {len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else [])


def _is_in_effect(line: Mapping[str, Any], soft: float, hard: float) -> bool:
    value = subjects.number(line.get("value"))
    kind = line.get("type")
    # Go >= 1.24 raises its soft limit to the hard one less one.
    return value is not None and (kind == "hard" or value in (soft, soft + 1)) and (kind == "soft" or value == hard)


def _conf_lines(lines: list[Mapping[str, Any]]) -> list[str]:
    return [f"{line.get('path')}:{line.get('line')}: {line.get('domain')} {line.get('type')} {line.get('item')} "
            f"{line.get('value')}" for line in lines]


@check(
    "limits.tasks",
    title="The service is not about to run out of tasks",
    severity="medium",
    why="At pids.max clone(2) fails with EAGAIN and the Go runtime ends the program: \"runtime: failed to create new OS "
        "thread\" (Go source, runtime/os_linux.go). The runtime also ends a program with more than 10000 threads "
        "(runtime/debug.SetMaxThreads): blocked system calls and cgo calls hold one each. systemd.resource-control(5), "
        "TasksMax=.",
    judged="pids.current against pids.max of the service's control group, and the threads of each process against 10000: at "
           "`ratio` or above it fails. A TasksMax= line that no pids controller enforces fails as low. Without controller and "
           "without such a line only the threads are judged.",
    remediation=Remediation(hint="Look at what blocks in system calls (goroutine profile) before you raise TasksMax=."),
    needs=NEEDS,
    thresholds={"ratio": Threshold(0.8, "Part of the limit from which on it is a finding.", minimum=0.01, maximum=1.0)},
)
@subjects.located
def tasks(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    ratio = float(policy.threshold(tasks, "ratio"))
    for service in subjects.services(facts, policy):
        if service.main is None:
            yield notapplicable("No process of it runs.", subject=service.subject)
        else:
            yield _tasks(service, service.main, ratio)


def _tasks(service: Service, main: Mapping[str, Any], ratio: float) -> Outcome:
    subject = service.subject
    # A process whose executable was not readable may be a Go program as well.
    threads = max(((subjects.number(process.get("threads")) or 0, int(process.get("pid") or 0))
                   for process in service.processes if process.get("go") or process.get("exe") is None), default=(0, 0))
    if threads[0] >= ratio * GO_MAX_THREADS:
        return failed(f"PID {threads[1]} has {threads[0]:.0f} threads; Go ends a program that has more than {GO_MAX_THREADS}.",
                      subject=subject, actual=plain(threads[0]), expected=f"below {ratio * GO_MAX_THREADS:.0f}",
                      evidence=[f"/proc/{threads[1]}/status: Threads: {threads[0]:.0f}"])
    cgroup = main.get("cgroup")
    if not cgroup:
        return _no_cgroup(service, main)
    limit, current = subjects.number(cgroup.get("pids_max")), subjects.number(cgroup.get("pids_current"))
    path = f"cgroup {cgroup.get('path')}"
    if limit is None:
        lines = service.directives("TasksMax")
        if lines and lines[-1][2] not in ("", "infinity"):
            return failed(f"{service.unit} sets TasksMax={lines[-1][2]}, but the kernel offers no pids controller: it is not "
                          "enforced.", subject=subject, actual="not enforced", expected=lines[-1][2],
                          evidence=[f"{path}: no pids.max", f"{lines[-1][0]}:{lines[-1][1]}: TasksMax={lines[-1][2]}"],
                          severity="low", remediation=_NO_CONTROLLER)
        return passed(f"{threads[0]:.0f} threads; no limit on tasks is in force.", subject=subject, actual=plain(threads[0]),
                      evidence=[f"{path}: no pids.max"])
    if limit == INFINITY:
        return passed("The number of tasks is not limited.", subject=subject, actual=plain(current), expected="unlimited",
                      evidence=[f"{path}: pids.max max"])
    if current is None:
        return unknown(f"The number of tasks in {path} was not read.", subject=subject)
    evidence = [f"{path}: pids.current {words(current)}, pids.max {words(limit)}"]
    share = current / limit if limit else 1.0
    expected = f"below {ratio * 100:.0f} %"
    if share < ratio:
        return passed(f"It uses {words(current)} of {words(limit)} tasks.", subject=subject, actual=f"{share * 100:.0f} %",
                      expected=expected, evidence=evidence)
    return failed(f"It uses {words(current)} of {words(limit)} tasks: {share * 100:.0f} %, {expected} is wanted.",
                  subject=subject, actual=f"{share * 100:.0f} %", expected=expected, evidence=evidence, remediation=Remediation(
                      hint="Look at what blocks in system calls before you raise TasksMax=; the command doubles it.",
                      command=service.drop_in([f"TasksMax={limit * 2:.0f}"], "50-tasks")))


_NO_CONTROLLER = Remediation(
    hint="The kernel (or the container that this host is) offers no such cgroup controller. Enable it (cgroup.subtree_control, "
         "kernel command line), or drop the setting: as it stands it promises a limit that nobody enforces.")


def _environment(service: Service, name: str) -> tuple[str, str] | None:
    """(value, where) of a variable that Environment= of the unit sets; files of EnvironmentFile= are not known."""
    found = None
    for path, line, value in service.directives("Environment"):
        if not value:
            found = None
            continue
        try:
            items = shlex.split(value)
        except ValueError:  # a quote that does not end: systemd ignores the line as well
            continue
        for item in items:
            if item.startswith(name + "="):
                found = (item[len(name) + 1:], f"{path}:{line}: Environment={item}")
    return found


def _no_cgroup(service: Service, process: Mapping[str, Any]) -> Outcome:
    reason = subjects.unreadable([process], "cgroup")
    return unknown(f"The control group of PID {process.get('pid')} was not read{_because(reason)}.", subject=service.subject,
                   remediation=service.as_root(reason))


@check(
    "limits.memory_limit",
    title="The Go runtime knows the memory limit",
    severity="medium",
    why="The kernel kills a service at its cgroup's limit; the Go runtime does not look at the cgroup and may let the heap grow "
        "to twice what is live. GOMEMLIMIT below MemoryMax= makes it collect in time (runtime/debug.SetMemoryLimit); the GC "
        "guide (go.dev/doc/gc-guide, Suggested uses) leaves 5-10 % for memory that the runtime does not see. GOMEMLIMIT=512M is "
        "no number to Go and ends the program at its start: \"malformed GOMEMLIMIT\" (Go source, runtime/mgcpacer.go).",
    judged="Fails when GOMEMLIMIT (of all processes of the program together) is at or above the lower of MemoryMax= and "
           "MemoryHigh=, or leaves less than `headroom` of it (low); when it is absent while a limit is in force and the "
           "program already holds `ratio` of it; when MemoryMax= is configured but no controller enforces it; when the unit's "
           "GOMEMLIMIT is malformed (high: the next start fails), too small to be meant, or set for a Go before 1.19, which "
           "ignores it; when GOGC=off stands without GOMEMLIMIT. Programs linked with automemlimit set it themselves and pass; "
           "a call of debug.SetMemoryLimit in the program's own code cannot be seen from outside. Not judged without any limit.",
    remediation=Remediation(hint="Set GOMEMLIMIT to about 90 % of MemoryMax=.", role="service_limits"),
    needs=NEEDS,
    thresholds={
        "ratio": Threshold(0.5, "Resident part of the limit from which on a missing GOMEMLIMIT is a finding: with GOGC=100 the "
                                "heap may double before the next collection.", minimum=0.01, maximum=1.0),
        "headroom": Threshold(0.05, "Part of the limit that GOMEMLIMIT should leave free.", minimum=0.0, maximum=0.9),
        "smallest": Threshold(4 << 20, "A GOMEMLIMIT below this was meant in another unit.", unit="bytes", minimum=0),
    },
)
@subjects.located
def memory_limit(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    total = subjects.number(lookup(facts, "host.memory.total"))
    given = {name: float(policy.threshold(memory_limit, name)) for name in ("ratio", "headroom", "smallest")}
    for service in subjects.services(facts, policy):
        yield _malformed(service) or _memory_limit(service, total, **given)


def _malformed(service: Service) -> Outcome | None:
    """The finding that the unit's own GOMEMLIMIT ends the program at its next start."""
    set_by_unit = _environment(service, "GOMEMLIMIT")
    if set_by_unit is None:
        return None
    try:
        parse_memory_limit(set_by_unit[0])
    except ValueError as exc:
        version = subjects.go_version(_main_binary(service))
        if version is not None and version.line < (1, 19):
            return None
        return failed(f"{service.unit} sets GOMEMLIMIT={set_by_unit[0]}, which Go cannot read: the next start fails.",
                      subject=service.subject, actual=set_by_unit[0], expected="a number of bytes, or with KiB, MiB, GiB, TiB",
                      evidence=[set_by_unit[1], str(exc)], severity="high", remediation=Remediation(
                          hint="Write the value with one of Go's units, for instance 512MiB.",
                          command=f"sudo systemctl edit {service.quoted}" if service.is_system else ""))
    return None


@dataclass(frozen=True)
class _Bound:
    """A memory limit in force: bytes, its name for a sentence, and the file that says so."""

    value: float
    name: str
    source: str


def _bounds(service: Service, cgroup: Mapping[str, Any]) -> list[_Bound]:
    """The limits that are in force, lowest first: those of the process's own control group and of its parents."""
    found = []
    for key, name in (("memory_max", "MemoryMax"), ("memory_high", "MemoryHigh")):
        path = str(cgroup.get("path"))
        value = subjects.number(cgroup.get(key))
        tightest = lookup(cgroup, f"effective.{key}")
        if tightest and subjects.number(tightest.get("value")) is not None:
            value, path = subjects.number(tightest["value"]), str(tightest.get("path"))
        if value is not None and value != INFINITY:
            own = path == str(cgroup.get("path"))
            label = name if own and service.unit else f"{name} of {path}" if not own else f"the control group's {key}"
            found.append(_Bound(value, label, f"cgroup {path}: {key.replace('_', '.')} {words(value)}"))
    return sorted(found, key=lambda bound: (bound.value, bound.name))


def _memory_limit(service: Service, total: float | None, *, ratio: float, headroom: float, smallest: float) -> Outcome:
    subject = service.subject
    program = next((one for one in service.programs if one.main), None)
    if program is None:
        return notapplicable("No process of it runs.", subject=subject)
    if program.go is False:
        return notapplicable(f"{program.name} is no Go program.", subject=subject)
    process = program.processes[0]
    cgroup = process.get("cgroup")
    if not cgroup:
        return _no_cgroup(service, process)
    path = f"cgroup {cgroup.get('path')}"
    wanted = subjects.number(service.properties.get("MemoryMax"))
    if wanted is not None and wanted != INFINITY and cgroup.get("memory_max") is None:
        return failed(f"{service.unit} sets MemoryMax= to {size(wanted)}, but the kernel offers no memory controller: it is not "
                      "enforced.", subject=subject, actual="not enforced", expected=plain(wanted),
                      evidence=[f"systemctl show {service.unit}: MemoryMax={service.property('MemoryMax')}",
                                f"{path}: no memory.max"], remediation=_NO_CONTROLLER)
    bounds = _bounds(service, cgroup)
    environ = process.get("environ")
    if environ is None:
        if not bounds:
            return notapplicable("No memory limit is in force for it.", subject=subject)
        reason = subjects.unreadable([process], "environ")
        return unknown(f"The environment of PID {process.get('pid')} was not read{_because(reason)}: whether GOMEMLIMIT is set "
                       f"below {bounds[0].name} is unknown.", subject=subject, expected=plain(bounds[0].value),
                       remediation=service.as_root(reason))
    text = str(environ.get("GOMEMLIMIT") or "")
    evidence = [f"/proc/{process.get('pid')}/environ: " + (f"GOMEMLIMIT={text}" if text else "no GOMEMLIMIT")]
    evidence += [bound.source for bound in bounds]
    binary = subjects.running(program, service)
    version = subjects.go_version(binary)
    if text and version is not None and version.line < (1, 19):
        return failed(f"GOMEMLIMIT={text} is set, but the program is built with Go {version}, which ignores it (new in 1.19).",
                      subject=subject, actual=text, expected="Go 1.19 or later", evidence=evidence,
                      remediation=Remediation(hint="Rebuild with a supported Go."))
    try:
        limit = parse_memory_limit(text)
    except ValueError as exc:
        # It runs, so Go was not asked to read it: a program that changed its own environment, or an unknown old version.
        return unknown(f"GOMEMLIMIT={text} cannot be read by Go, and yet the program runs.", subject=subject, actual=text,
                       evidence=[*evidence, str(exc)])
    if limit == INFINITY:
        return _without_limit(service, program, bounds, ratio, evidence, environ, binary)
    return _with_limit(service, program, limit, bounds, total, headroom, smallest, evidence)


def _advice(service: Service, bound: float | None, count: int) -> Remediation:
    if bound is None:
        return Remediation(hint="Set GOMEMLIMIT.", role="service_limits")
    value = f"{max(1, int(bound * 0.9 / count) >> 20)}MiB"
    return Remediation(
        hint=f"Set GOMEMLIMIT={value}, 90 % of the limit{f' divided by {count} processes' if count > 1 else ''}. The command "
             "restarts the service.",
        command=service.drop_in([f"Environment=GOMEMLIMIT={value}"], "50-memory"),
        role="service_limits" if service.is_system else "")


def _without_limit(service: Service, program: Program, bounds: list[_Bound], ratio: float, evidence: list[str],
                   environ: Mapping[str, Any], binary: Mapping[str, Any] | None) -> Outcome:
    subject = service.subject
    if environ.get("GOGC") == "off":
        return failed("GOGC=off without GOMEMLIMIT: the program never collects garbage.", subject=subject, actual="GOGC=off",
                      expected="GOMEMLIMIT, or another GOGC", evidence=[*evidence, "GOGC=off"],
                      remediation=Remediation(hint="Set GOMEMLIMIT, or remove GOGC=off."))
    if not bounds:
        return notapplicable("No memory limit is in force for it, and GOMEMLIMIT is not set.", subject=subject)
    if _links(binary, "github.com/KimMachineGun/automemlimit"):
        return passed("The program is linked with automemlimit, which sets the limit from the cgroup.", subject=subject,
                      actual="automemlimit", evidence=evidence)
    bound, name = bounds[0].value, bounds[0].name
    resident = [subjects.number(process.get("rss")) for process in program.processes]
    if any(value is None for value in resident):
        return unknown(f"GOMEMLIMIT is not set, and the resident memory of {program.pids} was not read.", subject=subject,
                       expected=plain(bound), evidence=evidence,
                       remediation=service.as_root(subjects.unreadable(program.processes)))
    rss = sum(value or 0 for value in resident)
    evidence.append(f"{program.pids}: resident {size(rss)}")
    share = f"{rss / bound * 100:.0f} %" if bound else "all"
    if rss < ratio * bound:
        return passed(f"GOMEMLIMIT is not set; the program holds {share} of {name} ({size(bound)}).", subject=subject,
                      actual=share, expected=f"below {ratio * 100:.0f} %", evidence=evidence)
    return failed(f"GOMEMLIMIT is not set, and the program holds {size(rss)}, {share} of {name} ({size(bound)}): the heap may "
                  "double before Go collects.", subject=subject, actual=share, expected=f"GOMEMLIMIT below {size(bound)}",
                  evidence=evidence, remediation=_advice(service, bound, len(program.processes)))


def _with_limit(service: Service, program: Program, limit: float, bounds: list[_Bound], total: float | None,
                headroom: float, smallest: float, evidence: list[str]) -> Outcome:
    subject = service.subject
    count = len(program.processes)
    many = f" x {count} processes" if count > 1 else ""
    if limit < smallest:
        return failed(f"GOMEMLIMIT is {limit:.0f} bytes: the program collects garbage all the time.", subject=subject,
                      actual=plain(limit), expected=f"at least {size(smallest)}", evidence=evidence,
                      remediation=_advice(service, bounds[0].value if bounds else None, count))
    if not bounds:
        if total is not None and limit * count > total:
            return failed(f"GOMEMLIMIT is {size(limit)}{many}, more than the host's {size(total)} of memory.", subject=subject,
                          actual=plain(limit), expected=plain(total), severity="low",
                          evidence=[*evidence, f"/proc/meminfo: MemTotal {size(total)}"])
        return passed(f"GOMEMLIMIT is {size(limit)}; no limit of the cgroup stands below it.", subject=subject,
                      actual=plain(limit), evidence=evidence)
    bound, name = bounds[0].value, bounds[0].name
    if limit * count >= bound:
        return failed(f"GOMEMLIMIT is {size(limit)}{many}, not below {name} ({size(bound)}): the kernel acts before Go does.",
                      subject=subject, actual=plain(limit), expected=f"below {size(bound)}", evidence=evidence,
                      remediation=_advice(service, bound, count))
    if limit * count > (1 - headroom) * bound:
        return failed(f"GOMEMLIMIT is {size(limit)}{many}, {limit * count / bound * 100:.1f} % of {name} ({size(bound)}); "
                      f"{headroom * 100:.0f} % should be left for memory that Go does not count.", subject=subject,
                      actual=plain(limit), expected=f"at most {size((1 - headroom) * bound)}", evidence=evidence,
                      severity="low", remediation=_advice(service, bound, count))
    return passed(f"GOMEMLIMIT is {size(limit)}{many}, {limit * count / bound * 100:.0f} % of {name} ({size(bound)}).",
                  subject=subject, actual=plain(limit), expected=f"below {size(bound)}", evidence=evidence)


def _links(binary: Mapping[str, Any] | None, module: str) -> bool:
    """Whether a module (any major version of it) is linked into the program."""
    paths = [str(dependency.get("path")) for dependency in lookup(binary or {}, "buildinfo.deps") or ()]
    return any(path == module or path.startswith(module + "/v") for path in paths)


@check(
    "limits.gomaxprocs",
    title="GOMAXPROCS follows the CPU quota",
    severity="low",
    why="With more running threads than its CPU quota pays for, a program burns the quota early in each period and stands still "
        "for the rest: latency, not throughput, suffers. Go takes the quota into account since 1.25, if the main module's go.mod "
        "says go 1.25 or later (Go 1.25 release notes, Runtime; GODEBUG containermaxprocs); before, GOMAXPROCS is the number "
        "of CPUs of the host.",
    judged="Judged where a CPU quota is in force. GOMAXPROCS up to the quota, rounded up and at least 2 (what the runtime itself "
           "takes, runtime/cgroup_linux.go), passes. Without GOMAXPROCS: Go >= 1.25 passes unless GODEBUG or the build "
           "setting DefaultGODEBUG says containermaxprocs=0 (which the go command writes when go.mod says less than 1.25); "
           "programs linked with automaxprocs pass; others fail when the host has more CPUs than that. A quota of a parent "
           "slice counts too: the Go runtime reads the process's own control group only. A quota that is configured and not "
           "enforced is a finding of its own.",
    remediation=Remediation(hint="Build with Go 1.25 or later and `go 1.25` in go.mod, or set GOMAXPROCS."),
    needs=NEEDS,
)
@subjects.located
def gomaxprocs(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    cpus = subjects.number(lookup(facts, "host.cpu.count"))
    for service in subjects.services(facts, policy):
        yield _gomaxprocs(service, cpus)


def _gomaxprocs(service: Service, cpus: float | None) -> Outcome:
    subject = service.subject
    program = next((one for one in service.programs if one.main), None)
    if program is None:
        return notapplicable("No process of it runs.", subject=subject)
    if program.go is False:
        return notapplicable(f"{program.name} is no Go program.", subject=subject)
    process = program.processes[0]
    cgroup = process.get("cgroup")
    if not cgroup:
        return _no_cgroup(service, process)
    own = quota = subjects.number(cgroup.get("cpu_quota"))
    tightest = lookup(cgroup, "effective.cpu_quota") or {}
    if subjects.number(tightest.get("value")) is not None:
        quota = subjects.number(tightest["value"])
    lines = service.directives("CPUQuota")
    path = f"cgroup {cgroup.get('path')}"
    if quota is None:
        if lines and lines[-1][2]:
            where, line, value = lines[-1]
            return failed(f"{service.unit} sets CPUQuota={value}, but the kernel offers no cpu controller: it is not enforced.",
                          subject=subject, actual="not enforced", expected=value,
                          evidence=[f"{where}:{line}: CPUQuota={value}", f"{path}: no cpu.max"], remediation=_NO_CONTROLLER)
        return notapplicable("No CPU quota is in force for it.", subject=subject)
    if quota == INFINITY:
        return notapplicable("No CPU quota is in force for it.", subject=subject)
    wanted = max(2, math.ceil(quota))
    evidence = [f"cgroup {tightest.get('path') or cgroup.get('path')}: cpu.max {quota:g} CPUs"]
    environ = process.get("environ")
    binary = subjects.running(program, service)
    version = subjects.go_version(binary)
    if environ is None:
        reason = subjects.unreadable([process], "environ")
        return unknown(f"The environment of PID {process.get('pid')} was not read{_because(reason)}.", subject=subject,
                       expected=wanted, evidence=evidence, remediation=service.as_root(reason))
    text = str(environ.get("GOMAXPROCS") or "")
    mend = Remediation(
        hint=f"Build with Go 1.25 or later and `go 1.25` in go.mod, or set GOMAXPROCS={wanted}. The command does the second and "
             "restarts the service.",
        command=service.drop_in([f"Environment=GOMAXPROCS={wanted}"], "50-gomaxprocs"))
    # The runtime takes a whole number above zero and ignores anything else (runtime/proc.go, schedinit).
    if re.fullmatch(r"[0-9]{1,9}", text) and int(text) > 0:
        evidence.append(f"/proc/{process.get('pid')}/environ: GOMAXPROCS={text}")
        if int(text) <= wanted:
            return passed(f"GOMAXPROCS is {text} with a quota of {quota:g} CPUs.", subject=subject, actual=int(text),
                          expected=wanted, evidence=evidence)
        return failed(f"GOMAXPROCS is {text} with a quota of {quota:g} CPUs; {wanted} is wanted.", subject=subject,
                      actual=int(text), expected=wanted, evidence=evidence, remediation=mend)
    if _links(binary, "go.uber.org/automaxprocs"):
        return passed("The program is linked with automaxprocs, which sets GOMAXPROCS from the quota.", subject=subject,
                      actual="automaxprocs", expected=wanted, evidence=evidence)
    if version is None:
        return unknown("The Go version of the program is unknown, and so is whether it looks at its CPU quota.",
                       subject=subject, expected=wanted, evidence=evidence,
                       remediation=service.as_root(subjects.unreadable(program.processes, "exe", "running")))
    because = f"Go {version} does not look at it"
    if version.line >= (1, 25):
        switched_off = _godebug(environ, binary)
        if not switched_off and own is not None and max(2, math.ceil(min(own, 1 << 20))) <= wanted:
            return passed(f"Go {version} takes GOMAXPROCS from the quota of {quota:g} CPUs.", subject=subject, actual=wanted,
                          expected=wanted, evidence=evidence)
        because = f"{switched_off} switches that off" if switched_off else \
            f"Go reads its own control group only, the quota is that of {tightest.get('path')}"
        evidence += [switched_off] if switched_off else []
    if cpus is None:
        return unknown(f"{because}; how many CPUs the host has is unknown.", subject=subject, expected=wanted, evidence=evidence)
    evidence.append(f"host: {words(cpus)} CPUs")
    if cpus <= wanted:
        return passed(f"GOMAXPROCS is at most the host's {words(cpus)} CPUs, within the quota of {quota:g}.", subject=subject,
                      actual=plain(cpus), expected=wanted, evidence=evidence)
    return failed(f"GOMAXPROCS is the host's {words(cpus)} CPUs with a quota of {quota:g}: {because}; {wanted} is wanted.",
                  subject=subject, actual=plain(cpus), expected=wanted, evidence=evidence, remediation=mend)


def _godebug(environ: Mapping[str, Any], binary: Mapping[str, Any] | None) -> str:
    """Where containermaxprocs is switched off: the environment's GODEBUG goes before the one built in; empty where it is on."""
    for where, text in (("GODEBUG", environ.get("GODEBUG")), ("DefaultGODEBUG", subjects.settings(binary).get("DefaultGODEBUG"))):
        values = [item[len("containermaxprocs="):] for item in str(text or "").split(",")
                  if item.startswith("containermaxprocs=")]
        if values:
            return f"{where}: containermaxprocs=0" if values[-1] == "0" else ""
    return ""
