# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the services there, up, and will systemd keep them so?

A declared service was promised by somebody, a discovered one merely runs: findings about intent (enabled, restart policy,
user) are worth less for the second. What holds for every service: processes in containers and processes without a unit
are not judged by what units should say.
"""
from __future__ import annotations

import datetime
import fnmatch
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Facts, Outcome, Policy, Remediation, Threshold, as_root, check, failed, lookup, notapplicable, passed, unknown,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.subjects import Service

NEEDS = ("services.services",)

_ROOT_ALLOWED = Threshold(
    subjects.SYSTEM_DAEMONS,
    "Programs (globs of file names) that run as root and unconfined by design: container engines, node agents.",
)


def _show(service: Service, *names: str) -> list[str]:
    """Evidence: what systemctl show printed; of the further names only those that have a value."""
    return [f"systemctl show {service.unit}: {name}={service.property(name)}" for name in names
            if service.properties.get(name) is not None and (service.property(name) or name == names[0])]


@check(
    "services.present",
    title="Every declared service is installed",
    severity="critical",
    why="A service that the inventory promises and the host does not have answers nothing; a rollout that failed half-way or "
        "a host left out of a deployment looks like that. systemctl(1): LoadState is `not-found` where no unit file exists and "
        "`masked` where it is linked to /dev/null; systemd.exec(5): a program that is not there ends the start with 203/EXEC.",
    judged="For every service of preflight_services: systemd has loaded its unit (LoadState=loaded) and the program that the "
           "unit or the declaration names is on disk and executable (not looked for where a process runs, or the unit has a "
           "RootDirectory= or RootImage=). A service without a unit (hand-started, in a container) passes when a process of it "
           "runs. Masked, unreadable or absent units fail. Discovered services are not judged: they run, so they are there. "
           "Without any declaration everything rests on discovery: where executables of other users could not be read, the "
           "answer for the host is unknown (low where services are declared, or where even root may not read them).",
    remediation=Remediation(hint="Install the service, or correct its entry in preflight_services."),
    needs=NEEDS,
)
@subjects.located
def present(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    found = [service for service in subjects.services(facts, policy) if service.declared]
    for service in found:
        yield _present(service)
    known = {str(service.facts.get("name")) for service in found}
    for declaration in sorted(policy.services, key=lambda one: str(one["name"])):
        if declaration["name"] not in known:
            yield unknown(f"{declaration['name']} was not looked for when these facts were collected.",
                          subject=str(declaration["name"]))
    blind = _blind(facts, bool(found or policy.services))
    if blind is not None:
        yield blind
    elif not found and not policy.services:
        yield notapplicable("preflight_services declares no service; what runs here was discovered.")


def _blind(facts: Facts, declared: bool) -> Outcome | None:
    """That there may be services nobody saw: as an ordinary user one cannot tell which programs of others are Go."""
    seen = lookup(facts, "services.unreadable") or {}
    count = int(seen.get("processes") or 0)
    if not count and not seen.get("hidden"):
        return None
    what = f"{count} processes could not be told to be Go programs or not" if count != 1 else \
        "one process could not be told to be a Go program or not"
    if seen.get("hidden"):
        what = "processes of other users are hidden"
    privileged = bool(lookup(facts, "collected.privileged"))
    return unknown(f"Services may have been missed: {what} ({seen.get('reason') or 'not readable'}).", actual=count, expected=0,
                   evidence=[f"not readable: {', '.join(str(one) for one in (seen.get('commands') or ())[:10])}"],
                   severity="low" if declared or privileged else None, remediation=subjects.unseen(facts))


def _present(service: Service) -> Outcome:
    subject = service.subject
    state = service.property("LoadState")
    evidence = _show(service, "LoadState", "FragmentPath", "UnitFileState")
    if state == "loaded":
        return _program_missing(service, evidence) or passed(
            f"{service.unit} is installed.", subject=subject, actual=state, expected="loaded", evidence=evidence)
    if state == "masked":
        return failed(f"{service.unit} is masked: systemd refuses to start it.", subject=subject, actual=state,
                      expected="loaded", evidence=evidence, remediation=Remediation(
                          hint="Find out who masked the unit and why before you unmask it.",
                          command=service.systemctl("unmask")))
    if state == "not-found":
        where = " A process of it runs all the same." if service.processes else ""
        return failed(f"There is no unit {service.unit} on this host.{where}", subject=subject, actual=state,
                      expected="loaded", evidence=evidence)
    if state:
        return failed(f"systemd cannot use {service.unit}: its LoadState is {state}.", subject=subject, actual=state,
                      expected="loaded", evidence=evidence, remediation=Remediation(
                          hint="systemd-analyze verify names the faulty line.",
                          command=f"systemd-analyze verify {service.quoted}"))
    if service.processes:
        main = service.main or {}
        where = f" in {service.container}" if service.container else "" if service.unit else ", without a systemd unit"
        return passed(f"It runs as PID {main.get('pid')}{where}.", subject=subject, actual="running", expected="installed",
                      evidence=[f"/proc/{main.get('pid')}/exe -> {main.get('exe')}"])
    if service.unit:
        return unknown(f"Whether {service.unit} is installed is unknown: systemd's view of it was not read.", subject=subject)
    return failed("No unit and no running process of it was found on this host.", subject=subject, actual=None,
                  expected="installed")


def _program_missing(service: Service, evidence: list[str]) -> Outcome | None:
    """The finding that the unit is there and its program is not, or may not be executed."""
    binary = subjects.on_disk(service) or {}
    if service.processes or service.property("RootDirectory") or service.directives("RootImage"):
        return None
    path, error = binary.get("path"), str(binary.get("error") or "")
    mode = str(binary.get("mode") or "")
    if "no such file" in error.lower():
        said = "is not on disk"
    elif mode and not int(mode, 8) & 0o111:
        said, error = "is not executable", f"{path}: mode {mode}"
    else:
        return None
    return failed(f"{service.unit} is installed, but its program {path} {said}: it cannot start.", subject=service.subject,
                  actual=said, expected=path, evidence=[*evidence, f"{path}: {error}" if not error.startswith("/") else error],
                  remediation=Remediation(hint="Deploy the program, or correct ExecStart= of the unit.", role="release"))


@check(
    "services.active",
    title="Services are running",
    severity="critical",
    why="A unit that is failed, dead or waiting for its next restart serves nobody, whatever its files look like. "
        "systemctl(1) and org.freedesktop.systemd1(5) define ActiveState and SubState; `activating (auto-restart)` is a service "
        "between two crashes.",
    judged="ActiveState `active` or `reloading` passes; `failed`, `inactive`, `deactivating` and `activating` fail, the last "
           "also while a start is still going on: at that moment the service is not up. An oneshot service that ended with "
           "success passes. An inactive service that a socket starts on demand is unknown, because only its socket tells. A "
           "service that is not installed is left to services.present. For a discovered service (whose processes outlived its "
           "unit) the finding is medium.",
    remediation=Remediation(hint="Read the journal of the unit, mend the cause, start it."),
    needs=NEEDS,
)
@subjects.located
def active(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    for service in subjects.services(facts, policy):
        if not service.properties and service.processes:
            main = service.main or {}
            yield passed(f"It runs as PID {main.get('pid')}.", subject=service.subject, actual="running", expected="active",
                         evidence=[f"/proc/{main.get('pid')}/exe -> {main.get('exe')}"])
            continue
        yield subjects.unit_gate(service) or _active(service)


def _active(service: Service) -> Outcome:
    state, sub = service.property("ActiveState"), service.property("SubState")
    evidence = _show(service, "ActiveState", "SubState", "Result", "ExecMainCode", "ExecMainStatus", "NRestarts")
    shown = f"{state} ({sub})" if sub else state
    if not state:
        return unknown(f"systemd does not tell the state of {service.unit}.", subject=service.subject)
    if state in ("active", "reloading", "refreshing"):
        return passed(f"{service.unit} is {shown}.", subject=service.subject, actual=shown, expected="active", evidence=evidence)
    result = service.property("Result")
    triggers = service.property("TriggeredBy").split()
    if state == "inactive" and result in ("", "success"):
        if service.property("Type") == "oneshot":
            return passed(f"{service.unit} is a oneshot service whose last run ended with success.", subject=service.subject,
                          actual=shown, expected="active", evidence=evidence)
        if any(trigger.endswith(".socket") for trigger in triggers):
            return unknown(f"{service.unit} is {shown} and started on demand by {', '.join(triggers)}: whether that listens "
                           "was not read.", subject=service.subject, actual=shown, expected="active",
                           evidence=[*evidence, *_show(service, "TriggeredBy")],
                           remediation=Remediation(hint="Declare a health URL for it, or look at its socket.",
                                                   command=f"systemctl status {' '.join(map(shlex.quote, triggers))}"))
    because = f", result {result}" if result not in ("", "success") else ""
    status = service.property("ExecMainStatus")
    because += f", exit status {status}" if because and status not in ("", "0") else ""
    return failed(f"{service.unit} is {shown}{because}; it should be active.", subject=service.subject, actual=shown,
                  expected="active", evidence=evidence, severity=None if service.declared else "medium",
                  remediation=Remediation(
                      hint="Read why it stopped, mend that, then start it.",
                      command=" ; ".join(filter(None, (service.journal(50), service.systemctl("restart"))))))


@check(
    "services.enabled",
    title="Services come back after a reboot",
    severity="high",
    why="`systemctl start` is gone with the next reboot; only an enabled unit (or one that an enabled unit, socket or timer "
        "pulls in) returns. Kernel updates and host moves are when that is noticed. systemctl(1), is-enabled: `enabled`, "
        "`enabled-runtime` (until the reboot), `static`, `indirect`, `generated`, `transient`, `masked`.",
    judged="`enabled` and `alias` pass, and so does any state when WantedBy=, RequiredBy= or TriggeredBy= of the unit names "
           "somebody that starts it. `disabled`, `linked`, `masked` and everything that ends in `-runtime` fail; so does a "
           "declared `transient` unit. A `static`, `indirect` or `generated` unit that systemd shows no starter for is unknown: "
           "D-Bus, udev or a cluster manager may start it; a static oneshot unit is not judged. For a discovered service the "
           "finding is medium (somebody, or a cluster manager, may start it on purpose), and a transient one is not judged.",
    remediation=Remediation(hint="Enable the unit."),
    needs=NEEDS,
)
@subjects.located
def enabled(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    for service in subjects.services(facts, policy):
        yield subjects.unit_gate(service) or _enabled(service)


def _enabled(service: Service) -> Outcome:
    state = service.property("UnitFileState")
    starters = [name for key in ("WantedBy", "RequiredBy", "TriggeredBy") for name in service.property(key).split()]
    evidence = _show(service, "UnitFileState", "WantedBy", "RequiredBy", "TriggeredBy")
    subject, unit = service.subject, service.unit
    if state in ("enabled", "alias"):
        return passed(f"{unit} is {state}.", subject=subject, actual=state, expected="enabled", evidence=evidence)
    if state == "transient" or (not state and service.property("FragmentPath").startswith("/run/systemd/transient/")):
        if not service.declared:
            return notapplicable(f"{unit} is a transient unit that somebody started by systemd-run or an API.", subject=subject)
        return failed(f"{unit} is transient: it was made by systemd-run or an API and is gone after a reboot.", subject=subject,
                      actual=state, expected="enabled", evidence=evidence,
                      remediation=Remediation(hint="Write a unit file for it and enable that."))
    # A runtime link and a mask are not mended by a starter: the first is gone after the reboot, the second forbids it.
    runtime = state.endswith("-runtime")
    if starters and not runtime and state not in ("masked", "bad"):
        return passed(f"{unit} is {state or 'without [Install]'} and started by {', '.join(starters)}.", subject=subject,
                      actual=state, expected="enabled", evidence=evidence)
    if state == "static" and service.property("Type") == "oneshot":
        return notapplicable(f"{unit} is a static oneshot service: it runs when somebody asks for it.", subject=subject)
    if state in ("static", "indirect", "generated"):
        return unknown(f"{unit} is {state}, and systemd shows nothing that starts it at boot.", subject=subject, actual=state,
                       expected="enabled", evidence=evidence,
                       severity=None if service.declared else "low",
                       remediation=Remediation(hint="If nothing else starts it, give the unit an [Install] section with "
                                                    "WantedBy=multi-user.target and enable it."))
    if not state:
        return unknown(f"systemd does not tell whether {unit} is enabled.", subject=subject, evidence=evidence)
    said = {"masked": "masked: systemd refuses to start it", "bad": "not valid, so systemd cannot enable it"}.get(
        state, "enabled until the next reboot only" if state == "enabled-runtime" else f"{state}: a reboot does not start it")
    return failed(f"{unit} is {said}.", subject=subject, actual=state, expected="enabled", evidence=evidence,
                  severity=None if service.declared else "medium", remediation=Remediation(
                      hint="Enable the unit, unless a cluster manager starts it: then waive this." if state != "masked" else
                           "Find out who masked the unit and why before you unmask it.",
                      command=service.systemctl("unmask" if state.startswith("masked") else "enable")))


@check(
    "services.restart_policy",
    title="systemd restarts the service when it dies",
    severity="medium",
    why="A Go program that panics exits with status 2, not by a signal (runtime.fatalpanic calls exit(2)). systemd's default "
        "Restart=no leaves it dead, and so do on-abnormal, on-abort and on-watchdog, which do not look at exit codes "
        "(systemd.service(5), table \"Exit causes and the effect of the Restart= settings\"; the page recommends on-failure "
        "for long-running services).",
    judged="Restart=always and on-failure pass. no, on-success, on-abnormal, on-abort and on-watchdog fail. Oneshot services and "
           "services that a socket, timer or path starts are not judged: what triggers them starts them again. For a discovered "
           "service the finding is low: its packager decided.",
    remediation=Remediation(hint="Set Restart=on-failure with a RestartSec= of some seconds."),
    needs=NEEDS,
)
@subjects.located
def restart_policy(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    for service in subjects.services(facts, policy):
        yield subjects.unit_gate(service) or _restart_policy(service)


def _restart_policy(service: Service) -> Outcome:
    value = service.property("Restart")
    evidence = _show(service, "Restart", "RestartUSec", "Type", "TriggeredBy")
    evidence += [f"{path}:{line}: Restart={text}" for path, line, text in service.directives("Restart")]
    if service.property("Type") == "oneshot":
        return notapplicable(f"{service.unit} is a oneshot service: it is meant to end.", subject=service.subject,
                             evidence=evidence)
    if not value:
        return unknown(f"systemd does not tell Restart= of {service.unit}.", subject=service.subject)
    if value in ("always", "on-failure"):
        return passed(f"{service.unit} has Restart={value}.", subject=service.subject, actual=value, expected="on-failure",
                      evidence=evidence)
    triggers = service.property("TriggeredBy").split()
    if triggers:
        return notapplicable(f"{service.unit} is started again by {', '.join(triggers)}.", subject=service.subject,
                             evidence=evidence)
    effect = {"no": "once it dies it stays dead", "on-success": "it comes back after a clean exit only"}.get(
        value, "a Go panic exits with status 2, which that does not restart")
    return failed(f"{service.unit} has Restart={value}: {effect}; on-failure is wanted.", subject=service.subject, actual=value,
                  expected="on-failure", evidence=evidence, severity=None if service.declared else "low",
                  remediation=Remediation(hint="Set Restart=on-failure; the command restarts the service.",
                                          command=service.drop_in(["Restart=on-failure", "RestartSec=2"], "50-restart")))


@check(
    "services.flapping",
    title="The service does not restart again and again",
    severity="high",
    why="Restart= hides a crash loop: the unit is active whenever somebody looks, and requests fail in between. NRestarts counts "
        "systemd's own restarts since the last start by hand (org.freedesktop.systemd1(5)); `start-limit-hit` means that systemd "
        "has given up (systemd.unit(5), StartLimitBurst=).",
    judged="Fails when systemd waits for the next restart, has given up, or has restarted the service `restarts` times or more "
           "and the last time was within `window_hours`. NRestarts has no time of its own, so the age of the main process is "
           "the time of the last restart: five restarts, the last one three weeks ago, is a pass. Where the last restart is "
           "older than that and younger than a day, the finding is medium: slow crash loops (an OOM kill every few hours) look "
           "like that.",
    remediation=Remediation(hint="Read the journal for what ends the service: a panic, the OOM killer, a failed health check."),
    needs=NEEDS,
    thresholds={
        "restarts": Threshold(3, "So many restarts by systemd count as flapping.", minimum=1),
        "window_hours": Threshold(1.0, "The last restart lies at most so long ago.", unit="hours", minimum=0.0),
    },
)
@subjects.located
def flapping(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    now = _time(lookup(facts, "collected.at"))
    many, window = int(policy.threshold(flapping, "restarts")), float(policy.threshold(flapping, "window_hours"))
    for service in subjects.services(facts, policy):
        yield subjects.unit_gate(service) or _flapping(service, now, many, window)


def _flapping(service: Service, now: datetime.datetime | None, many: int, window: float) -> Outcome:
    subject, unit = service.subject, service.unit
    evidence = _show(service, "NRestarts", "ActiveState", "SubState", "Result", "ExecMainStatus")
    mend = Remediation(hint="Read the journal for what ends the service: a panic, the OOM killer, a failed health check.",
                       command=service.journal(100))
    if service.property("Result") == "start-limit-hit":
        return failed(f"systemd has given up on {unit}: it ended too often in a short time.", subject=subject,
                      actual="start-limit-hit", expected="steady", evidence=evidence, remediation=mend)
    if service.property("SubState") == "auto-restart":
        return failed(f"{unit} has ended and waits for its next restart ({service.property('NRestarts') or '?'} so far).",
                      subject=subject, actual="auto-restart", expected="steady", evidence=evidence, remediation=mend)
    count = subjects.number(service.properties.get("NRestarts"))
    if count is None:
        return unknown(f"systemd does not tell how often it restarted {unit}.", subject=subject)
    times = "once" if count == 1 else f"{count:.0f} times"
    if count < many:
        said = f"systemd restarted {unit} {times} since it was last started by hand." if count else \
            f"systemd has not restarted {unit} since it was last started by hand."
        return passed(said, subject=subject, actual=int(count), expected=f"fewer than {many}", evidence=evidence)
    main = service.main
    if service.property("ActiveState") == "failed":
        return failed(f"systemd restarted {unit} {times} and then gave up.", subject=subject, actual=int(count),
                      expected=f"fewer than {many}", evidence=evidence, remediation=mend)
    if main is None and service.property("ActiveState") == "inactive":
        return notapplicable(f"{unit} does not run (services.active judges that); systemd had restarted it {times}.",
                             subject=subject, evidence=evidence)
    started = _time(main.get("started")) if main else None
    if main is None or started is None or now is None:
        return unknown(f"systemd restarted {unit} {times}; when the last time was is unknown.", subject=subject,
                       actual=int(count), expected=f"fewer than {many}", evidence=evidence)
    hours = max(0.0, (now - started).total_seconds() / 3600)
    evidence.append(f"/proc/{main.get('pid')}: started {main.get('started')}")
    said = f"systemd restarted {unit} {times}, the last time {_ago(hours)} ago"
    if hours > max(window, 24.0):
        return passed(f"{said}: it has been steady since.", subject=subject, actual=int(count), evidence=evidence)
    return failed(f"{said}; fewer than {many} are wanted.", subject=subject, actual=int(count), expected=f"fewer than {many}",
                  evidence=evidence, remediation=mend, severity=None if hours <= window else "medium")


def _time(value: object) -> datetime.datetime | None:
    """An RFC 3339 time, None where there is none."""
    try:
        moment = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)


def _ago(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


@check(
    "services.root_user",
    title="The service does not run as root",
    severity="medium",
    why="A fault in a network service that runs as root is a fault of the whole host. systemd.exec(5): system services run as "
        "root unless User= or DynamicUser= says otherwise; a port below 1024 needs AmbientCapabilities=CAP_NET_BIND_SERVICE, "
        "not root.",
    judged="The user ID of the running process, else User= and DynamicUser= of the unit. Programs that need root by what they do "
           "(container engines, node agents: threshold `allowed`) are not judged. For a discovered service, and in a container "
           "(where root is usually confined by capabilities), the finding is low.",
    remediation=Remediation(hint="Give the service a user of its own (User=, or DynamicUser=yes), and "
                                 "AmbientCapabilities=CAP_NET_BIND_SERVICE if it listens below 1024."),
    needs=NEEDS,
    thresholds={"allowed": _ROOT_ALLOWED},
)
@subjects.located
def root_user(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    allowed = policy.threshold(root_user, "allowed")
    for service in subjects.services(facts, policy):
        programs = service.programs
        for program in programs:
            yield _root_process(service, program, allowed)
        if not programs:
            yield subjects.unit_gate(service) or _root_unit(service)


def _matches(name: str, patterns: object) -> bool:
    return isinstance(patterns, (tuple, list)) and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _root_process(service: Service, program: subjects.Program, allowed: object) -> Outcome:
    roots = [process for process in program.processes if process.get("uid") == 0]
    known = [process for process in program.processes if process.get("uid") is not None]
    if _matches(program.name, allowed):
        return notapplicable(f"{program.name} needs root by what it does.", subject=program.subject)
    if roots:
        where = f" in {service.container}" if service.container else ""
        evidence = [f"/proc/{process.get('pid')}/status: Uid 0 (root)" for process in roots[:5]]
        evidence += _show(service, "User", "DynamicUser")
        return failed(f"{program.name} runs as root{where}; a user of its own is wanted.", subject=program.subject,
                      actual="root", expected="a user of its own", evidence=evidence,
                      severity=None if service.declared and not service.container else "low")
    if not known:
        return unknown(f"The user of {program.name} ({program.pids}) was not read.", subject=program.subject,
                       remediation=service.as_root(subjects.unreadable(program.processes)))
    user = str(known[0].get("user") or known[0].get("uid"))
    return passed(f"{program.name} runs as {user}.", subject=program.subject, actual=user, expected="a user of its own",
                  evidence=[f"/proc/{known[0].get('pid')}/status: Uid {known[0].get('uid')} ({user})"])


def _root_unit(service: Service) -> Outcome:
    if not service.is_system:
        return passed(f"{service.unit} belongs to a user's own systemd.", subject=service.subject, actual="user unit",
                      expected="a user of its own")
    if "User" not in service.properties and "DynamicUser" not in service.properties:
        return unknown(f"systemd does not tell the user of {service.unit}.", subject=service.subject)
    user = "a dynamic user" if service.property("DynamicUser") == "yes" else service.property("User")
    evidence = _show(service, "User", "DynamicUser")
    if user in ("", "root", "0"):
        return failed(f"{service.unit} would run as root; a user of its own is wanted.", subject=service.subject, actual="root",
                      expected="a user of its own", evidence=evidence, severity=None if service.declared else "low")
    return passed(f"{service.unit} would run as {user}.", subject=service.subject, actual=user, expected="a user of its own",
                  evidence=evidence)


@check(
    "services.unit_directives",
    title="systemd understands every line of the unit",
    severity="high",
    why="systemd ignores a directive that it does not know, or whose value it cannot read, with one line in the journal: "
        "`LimitNOFILESoft=65536` and `LimitNOFILE=64K` look right in a review and do nothing (systemd.exec(5), "
        "systemd.syntax(7); systemd's load-fragment-gperf.gperf is the list of directives). An edited unit is not read before "
        "`systemctl daemon-reload` (NeedDaemonReload).",
    judged="Fails for every line of the unit's files that systemd does not know or cannot use, each named with file and line. "
           "Where all of them are in a discovered service's vendor files (not in /etc or /run) the finding is low: such units "
           "are written for newer systemds too. A file in a drop-in folder that systemd does not read (no .conf), and a unit "
           "that changed on disk and was not reloaded, fail as medium.",
    remediation=Remediation(hint="Correct the lines and reload systemd."),
    needs=NEEDS,
)
@subjects.located
def unit_directives(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    for service in subjects.services(facts, policy):
        yield subjects.unit_gate(service) or _unit_directives(service, lookup(facts, "services.systemd.directives_known"))


def _unit_directives(service: Service, known: object) -> Outcome:
    files = service.facts.get("unit_files") or []
    faults = [
        (str(one.get("path")), str(problem.get("name") or problem.get("section") or "line"), _problem(one, problem))
        for one in files for problem in one.get("problems") or ()
    ]
    subject, unit = service.subject, service.unit
    if faults:
        names = list(dict.fromkeys(name for unused, name, unused_text in faults))
        lines = "a line that systemd does not use" if len(faults) == 1 else f"{len(faults)} lines that systemd does not use"
        vendor = not service.declared and not any(path.startswith(("/etc/", "/run/")) for path, *unused in faults)
        own = all(path == service.property("FragmentPath") for path, *unused in faults)
        return failed(f"{unit} has {lines}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}.", subject=subject,
                      actual=len(faults), expected=0, evidence=[text for unused, unused_name, text in faults],
                      severity="low" if vendor else None, remediation=Remediation(
                          hint="Correct the lines, reload systemd, restart the service.",
                          command=service.systemctl("edit --full" if own else "edit")))
    ignored = [str(path) for path in service.facts.get("ignored_files") or ()]
    if ignored:
        return failed(f"systemd does not read {ignored[0]}{' and others' if len(ignored) > 1 else ''}: names of drop-ins end in "
                      ".conf.", subject=subject, actual=len(ignored), expected=0, evidence=ignored, severity="medium",
                      remediation=Remediation(hint="Rename the file to end in .conf and reload systemd, or delete it."))
    if service.property("NeedDaemonReload") == "yes":
        return failed(f"{unit} was changed on disk and systemd has not read the change.", subject=subject,
                      actual="NeedDaemonReload=yes", expected="NeedDaemonReload=no", evidence=_show(service, "NeedDaemonReload"),
                      severity="medium", remediation=Remediation(
                          hint="Reload systemd, then restart the service: limits and environment take effect at its start.",
                          command=f"sudo systemctl daemon-reload && {service.systemctl('restart')}"))
    unread = [f"{one.get('path')}: {one.get('error')}" for one in files if one.get("error")]
    if unread or not files:
        return unknown(f"The files of {unit} were not {'all ' if files else ''}read.", subject=subject,
                       evidence=unread or _show(service, "FragmentPath"), remediation=service.as_root(*unread))
    count = sum(len(one.get("directives") or ()) for one in files)
    evidence = [str(one.get("path")) for one in files]
    if known is False:
        return unknown(f"Which directives this systemd knows was not read; no other fault was found in {unit}.", subject=subject,
                       evidence=evidence)
    return passed(f"systemd understands all {count} lines of {unit}.", subject=subject, actual=0, expected=0, evidence=evidence)


def _problem(unit_file: Mapping[str, Any], problem: Mapping[str, Any]) -> str:
    """``/etc/systemd/system/api.service:8: [Service] LimitNOFILESoft: unknown directive``"""
    section = f" [{problem['section']}]" if problem.get("section") else ""
    name = f" {problem['name']}:" if problem.get("name") else ""
    return f"{unit_file.get('path')}:{problem.get('line')}:{section}{name} {problem.get('message')}"


@check(
    "services.healthy",
    title="The service answers its health URL",
    severity="critical",
    why="A process that runs is not a service that works: it may have lost its database, or never opened its port. The health "
        "URL is the service's own answer, asked on the host, so that neither a load balancer nor the network stands between. "
        "RFC 9110, section 15.3: 2xx means that the request was understood and served.",
    judged="For every declared service with `health`: a status of 200 to 299 passes; any other status, a refused connection, a "
           "time-out and a redirect fail. The request is made once, on the host, with the time-out of the pprof probes.",
    remediation=Remediation(hint="Ask the URL on the host and read the service's journal."),
    # Not pprof.health: where no URL is declared there is nothing to ask for.
    needs=NEEDS,
)
@subjects.located
def healthy(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    wanted = sorted((service for service in policy.services if service.get("health")), key=lambda one: str(one["name"]))
    answers = {str(one.get("service")): one for one in lookup(facts, "pprof.health") or ()}
    for declaration in wanted:
        subject, url = str(declaration["name"]), str(declaration["health"])
        answer = answers.get(subject)
        if answer is None:
            reason = next((f": {entry.get('message')}" for entry in facts.get("errors") or ()
                           if str(entry.get("part")) in ("pprof", "pprof.health")), ".")
            yield unknown(f"{url} was not tried on the host{reason}", subject=subject, expected="2xx",
                          remediation=as_root(facts, reason))
            continue
        yield _healthy(subject, str(answer.get("url") or url), answer, as_root(facts, answer.get("error")))
    if not wanted:
        yield notapplicable("No service of preflight_services declares a health URL.")


def _healthy(subject: str, url: str, answer: Mapping[str, Any], privilege: Remediation | None) -> Outcome:
    status, error, ms = answer.get("status"), answer.get("error"), answer.get("ms")
    took = f" in {ms} ms" if ms is not None else ""
    mend = Remediation(hint="Ask the URL on the host and read the service's journal.", command=_curl(url))
    if isinstance(status, int):
        evidence = [f"GET {url} (on the host): {status}{took}"]
        if 200 <= status <= 299:
            return passed(f"{url} answered {status}{took}.", subject=subject, actual=status, expected="2xx", evidence=evidence)
        return failed(f"{url} answered {status}; 2xx is wanted.", subject=subject, actual=status, expected="2xx",
                      evidence=evidence, remediation=mend)
    evidence = [f"GET {url} (on the host): {error or 'no answer'}"]
    if answer.get("ok") is None:
        return unknown(f"{url} could not be tried: {error or 'no reason was given'}.", subject=subject, expected="2xx",
                       evidence=evidence, remediation=privilege)
    return failed(f"{url} did not answer: {error or 'no reason was given'}; 2xx is wanted.", subject=subject, actual=None,
                  expected="2xx", evidence=evidence, remediation=mend)


def _curl(url: str) -> str:
    if url.startswith("unix://"):
        return f"curl -sS -i --max-time 5 --unix-socket {shlex.quote(url[len('unix://'):])} http://localhost/"
    return f"curl -sS -i --max-time 5 {shlex.quote(url)}"


@check(
    "services.hardening",
    title="The unit confines the service",
    severity="info",
    why="Some lines in the unit keep a fault in the service from becoming a fault of the host; systemd.exec(5), section "
        "Sandboxing, describes them and systemd-analyze(1) `security` counts them.",
    judged="Named are those settings of threshold `wanted` that are off: NoNewPrivileges=, ProtectSystem=, ProtectHome= and "
           "PrivateTmp= by default, which hardly any Go service minds. Advice, never a blocker. Units of a user's own systemd "
           "(which cannot use most of them), discovered services with the unit of their package, and programs that need the "
           "whole machine are not judged.",
    remediation=Remediation(hint="Add the settings one at a time and test: each may break a service that needs what it takes."),
    needs=NEEDS,
    thresholds={
        "wanted": Threshold(("NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp"),
                            "Settings of the unit that should be on."),
        "allowed": _ROOT_ALLOWED,
    },
)
@subjects.located
def hardening(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    wanted = policy.threshold(hardening, "wanted")
    allowed = policy.threshold(hardening, "allowed")
    for service in subjects.services(facts, policy):
        yield subjects.unit_gate(service) or _hardening(service, wanted, allowed)


def _hardening(service: Service, wanted: tuple[str, ...], allowed: object) -> Outcome:
    subject = service.subject
    if not service.is_system:
        return notapplicable(f"{service.unit} belongs to a user's own systemd, which cannot confine most things.",
                             subject=subject)
    binary = subjects.on_disk(service) or {}
    name = subjects.executable(service.main) if service.main else str(binary.get("path") or "").rsplit("/", 1)[-1]
    if _matches(name, allowed):
        return notapplicable(f"{name} needs the whole machine by what it does.", subject=subject)
    if service.vendor:
        return notapplicable(f"{service.unit} is its package's unit, and nobody declared it.", subject=subject)
    told = [key for key in wanted if service.properties.get(key) is not None]
    if not told:
        return unknown(f"systemd does not tell how {service.unit} is confined.", subject=subject)
    missing = [key for key in told if service.property(key) in ("", "no")]
    evidence = _show(service, *told)
    if not missing:
        return passed(f"{service.unit} sets {', '.join(told)}.", subject=subject, actual=list(told), expected=list(told),
                      evidence=evidence)
    values = {"ProtectSystem": "full", "ProtectHome": "yes"}
    return failed(f"{service.unit} does not set {', '.join(missing)}.", subject=subject,
                  actual=[key for key in told if key not in missing], expected=list(told), evidence=evidence,
                  remediation=Remediation(
                      hint="Add the settings one at a time and test; the command adds all of them and restarts the service.",
                      command=service.drop_in([f"{key}={values.get(key, 'yes')}" for key in missing], "50-hardening")))
