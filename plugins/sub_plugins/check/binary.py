# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Can the services' executables run here, where do they come from, and who could replace them?

Judged are the executables that run (read through /proc/PID/exe) and, where it is another one, the file on disk that the
next start will run: a release for the wrong machine is found before the restart, not by it.
"""
from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import goversion
from ansible_collections.goready.preflight.plugins.plugin_utils import go_releases, subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Facts, Outcome, Policy, Remediation, Threshold, check, failed, lookup, notapplicable, passed, unknown,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.subjects import Program, Service

NEEDS = ("services.services",)

# From the worst to the best, for the one outcome of a subject that has two files (running and on disk).
_ORDER = ("fail", "unknown", "pass", "notapplicable")

# Go architectures whose kernels run the other one's programs natively (uname -m of the host: what it also runs).
_ALSO_RUNS = {"amd64": ("386",)}

# Where distributions install: what is there was built, and is maintained, by them.
_DISTRIBUTION = ("/bin/", "/sbin/", "/lib/", "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/libexec/", "/snap/")

Judge = Callable[[Service, str, str, Mapping[str, Any]], Outcome]


def _each(facts: Facts, policy: Policy, judge: Judge, *, disk_is_enough: bool = False) -> Iterator[Outcome]:
    """One outcome a subject: the worst of its running file and of the file on disk.

    A good file on disk does not speak for a running one that could not be read, unless ``disk_is_enough``: whether this
    machine can run it is answered by the running one itself.
    """
    for service in subjects.services(facts, policy):
        outcomes: dict[str, list[Outcome]] = {}
        for subject, where, binary in subjects.binaries(service):
            outcome = judge(service, subject, where, binary)
            if outcome.status == "unknown" and outcome.remediation is None:
                outcome = replace(outcome, remediation=service.as_root(binary.get("error")))
            outcomes.setdefault(subject, []).append(outcome)
        for program in service.programs:
            if subjects.running(program, service) is None and not (disk_is_enough and program.subject in outcomes):
                reason = subjects.unreadable(program.processes, "exe", "running")
                outcomes.setdefault(program.subject, []).append(unknown(
                    f"The executable of {program.name} ({program.pids}) was not read{f' ({reason})' if reason else ''}.",
                    subject=program.subject, remediation=service.as_root(reason)))
        for found in outcomes.values():
            yield min(found, key=lambda outcome: _ORDER.index(outcome.status))
        if not outcomes:
            yield notapplicable("No executable of it is known (services.present judges whether it is there).",
                                subject=service.subject)


def _label(binary: Mapping[str, Any], where: str) -> str:
    """How a sentence names a file: ``/opt/api/api``, ``/opt/api/api (on disk, not running)``."""
    path = str(binary.get("path") or binary.get("realpath") or "the executable")
    return f"{path} (on disk, for the next start)" if where == "on disk" else path


def _not_go(binary: Mapping[str, Any], where: str, subject: str) -> Outcome | None:
    """Why a question about Go's build information does not arise or has no answer; None where it has one."""
    if binary.get("buildinfo"):
        return None
    if _is_gone(binary):
        return notapplicable(f"{binary.get('path')} is not on disk (services.present judges that).", subject=subject)
    if subjects.scripted(binary):
        return notapplicable(f"{_label(binary, where)} is a script or no ELF executable.", subject=subject)
    if binary.get("error"):
        return unknown(f"{_label(binary, where)} was not read: {binary['error']}.", subject=subject)
    return notapplicable(f"{_label(binary, where)} carries no Go build information.", subject=subject)


def _is_gone(binary: Mapping[str, Any]) -> bool:
    return "no such file" in str(binary.get("error") or "").lower()


def _not_elf(binary: Mapping[str, Any], label: str, subject: str) -> Outcome:
    if _is_gone(binary):
        return notapplicable(f"{binary.get('path')} is not on disk (services.present judges that).", subject=subject)
    if binary.get("error") and not subjects.scripted(binary):
        return unknown(f"{label} was not read: {binary['error']}.", subject=subject)
    return notapplicable(f"{label} is a script or no ELF executable.", subject=subject)


@check(
    "binary.arch_match",
    title="The executable is built for this machine",
    severity="critical",
    why="execve(2) answers ENOEXEC for an executable of another machine: systemd logs \"Exec format error\" and the service "
        "never starts, or it runs ten times slower because binfmt_misc hands it to an emulator (kernel, "
        "admin-guide/binfmt-misc.rst). ELF e_machine is the truth (elf(5)), not the name of the download.",
    judged="The ELF machine of the running file and of the file on disk against the machine of the kernel (uname -m): a wrong "
           "file on disk fails also while the old one still runs. 386 on amd64 passes, because kernels run it; a running arm "
           "program on arm64 passes, one on disk is unknown, because not every arm64 CPU can. A running program of another "
           "machine fails all the same: it runs in an emulator that the next host may not have; on a host that is emulated "
           "itself it runs on the real CPU and passes. An empty file fails. Scripts are not judged.",
    remediation=Remediation(hint="Deploy the build for this architecture (GOARCH).", role="release"),
    needs=("services.services", "host.goarch"),
)
@subjects.located
def arch_match(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    host = str(lookup(facts, "host.goarch"))

    def judge(service: Service, subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
        label = _label(binary, where)
        machine = lookup(binary, "elf.machine")
        if machine is None:
            if binary.get("size") == 0:
                return failed(f"{label} is empty: it cannot start.", subject=subject, actual="0 bytes", expected=host,
                              evidence=[f"{binary.get('path')}: size 0"])
            return _not_elf(binary, label, subject)
        evidence = [f"{binary.get('realpath') or binary.get('path')}: ELF machine {machine}",
                    f"uname -m: {lookup(facts, 'host.machine') or host}"]
        if machine == host:
            return passed(f"{label} is built for {machine}.", subject=subject, actual=machine, expected=host, evidence=evidence)
        if machine in _ALSO_RUNS.get(host, ()) or (machine, host, where) == ("arm", "arm64", "running"):
            return passed(f"{label} is built for {machine}, which this {host} machine runs too.", subject=subject,
                          actual=machine, expected=host, evidence=evidence)
        if (machine, host) == ("arm", "arm64"):
            return unknown(f"{label} is built for arm; whether this arm64 CPU runs 32-bit programs was not read.",
                           subject=subject, actual=machine, expected=host, evidence=evidence)
        if where == "running":
            emulated = {str(path): process.get("pid") for process in reversed(service.processes)
                        if process.get("exe") == binary.get("path") and (path := lookup(process, "emulator.path"))}
            emulators = sorted(emulated)
            kind = lookup(facts, "host.emulation.kind")
            if kind and not emulators:
                return passed(f"{label} is built for {machine} and runs without an emulator: what is emulated ({kind}) is this "
                              f"{host} host.", subject=subject, actual=machine, expected=host, evidence=evidence)
            return failed(f"{label} is built for {machine}, this machine is {host}: it runs only through an emulator"
                          f"{f' ({emulators[0]})' if emulators else ''}.", subject=subject, actual=machine, expected=host,
                          evidence=[*evidence, *(f"/proc/{emulated[path]}/exe: {path}" for path in emulators)])
        # Of a running process whose executable was not readable nobody knows whether an emulator runs it.
        unread = any(process.get("exe") is None for process in service.processes)
        return failed(f"{label} is built for {machine}, this machine is {host}: it "
                      f"{'cannot start without an emulator' if unread else 'cannot start'}.", subject=subject, actual=machine,
                      expected=host, evidence=evidence)

    yield from _each(facts, policy, judge, disk_is_enough=True)


_ARM = re.compile(r"v([89])\.([0-9]+)")


def _arm_level(text: str) -> tuple[int, int, set[str]]:
    """GOARM64 as (8 or 9, minor, options). v8.1 and later contain LSE (Go source, internal/buildcfg/cfg.go, ParseGoarm64)."""
    first, *options = [part.strip() for part in text.split(",")]
    found = _ARM.fullmatch(first)
    if not found:
        raise ValueError(f"{text!r} is no GOARM64 level")
    major, minor = int(found.group(1)), int(found.group(2))
    names = {option for option in options if option}
    if (major, minor) >= (8, 1):
        names.add("lse")
    return major, minor, names


def _arm_supports(has: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """As Go's Goarm64Features.Supports: v9.N contains v8.(N+5), and no v8 contains a v9."""
    if has[0] == wanted[0]:
        return has[1] >= wanted[1]
    return has[0] == 9 and has[1] + 5 >= wanted[1]


@check(
    "binary.cpu_level",
    title="The CPU has the instructions that the executable was built for",
    severity="critical",
    why="A program built with GOAMD64=v3 prints \"This program can only be run on AMD64 processors with v3 microarchitecture "
        "support.\" and exits with 1 on an older CPU (Go source, runtime/asm_amd64.s); GOARM64=v8.1 or `lse` ends the same way "
        "on a CPU without LSE (runtime/asm_arm64.s; older Go: SIGILL). It shows on the one old host of a fleet, or after a move "
        "of the virtual machine.",
    judged="GOAMD64 or GOARM64 of the build information against the level of /proc/cpuinfo. A Go before 1.18 (1.23 for arm64) "
           "has no levels and passes. An amd64 program that runs has passed its own test of the CPU. On arm64 a missing LSE is "
           "critical; a higher level or `crypto` alone is medium, because the compiler uses nothing of it but LSE so far. "
           "Unknown where the host is emulated, because the level shown there is not the one that counts. Other architectures "
           "are not judged.",
    remediation=Remediation(hint="Deploy a build with a lower GOAMD64 or GOARM64, or move the service to a newer CPU.",
                            role="release"),
    needs=NEEDS,
)
@subjects.located
def cpu_level(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    def judge(service: Service, subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
        return _not_go(binary, where, subject) or _cpu_level(facts, subject, where, binary)

    yield from _each(facts, policy, judge, disk_is_enough=True)


def _cpu_level(facts: Facts, subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
    label = _label(binary, where)
    settings = subjects.settings(binary)
    machine = lookup(binary, "elf.machine") or settings.get("GOARCH")
    variable = {"amd64": "GOAMD64", "arm64": "GOARM64"}.get(str(machine))
    if variable is None:
        return notapplicable(f"{label} is built for {machine}: no level of the CPU is judged there.", subject=subject)
    if lookup(facts, "host.goarch") not in (None, machine):
        return notapplicable(f"{label} is built for another machine (binary.arch_match judges that).", subject=subject)
    version = subjects.go_version(binary)
    wanted = str(settings.get(variable) or "")
    if not wanted:
        first = (1, 18) if machine == "amd64" else (1, 23)
        if version is not None and version.line < first:
            return passed(f"{label} is built with Go {version}, which knows no levels.", subject=subject, actual=None)
        if machine == "amd64" and where == "running":
            return passed(f"{label} runs, so it has found its CPU sufficient.", subject=subject, actual=None)
        # The default of both variables is the lowest level, so this blocks nobody.
        return unknown(f"{label} does not tell its {variable}.", subject=subject, severity="low")
    lowest = wanted == ("v1" if machine == "amd64" else "v8.0")
    if lowest:
        return passed(f"{label} is built with {variable}={wanted}, which every {machine} CPU has.", subject=subject,
                      actual=wanted)
    evidence = [f"{binary.get('path')}: build {variable}={wanted}"]
    emulation = lookup(facts, "host.emulation.kind")
    if emulation:
        return unknown(f"{label} is built with {variable}={wanted}; this host is emulated ({emulation}), so the level of its "
                       "CPU is unknown.", subject=subject, expected=wanted, evidence=evidence)
    has = lookup(facts, f"host.cpu.{variable.lower()}")
    if not has:
        return unknown(f"{label} is built with {variable}={wanted}; the level of this CPU was not read.", subject=subject,
                       expected=wanted, evidence=evidence)
    evidence.append(f"/proc/cpuinfo: {variable} {has}")
    try:
        enough, starts = _has_level(str(machine), str(has), wanted)
    except ValueError as exc:
        return unknown(f"{label}: {exc}.", subject=subject, actual=has, expected=wanted, evidence=evidence)
    if enough:
        return passed(f"{label} is built with {variable}={wanted}; this CPU has {has}.", subject=subject, actual=has,
                      expected=wanted, evidence=evidence)
    return failed(f"{label} is built with {variable}={wanted}; this CPU has only {has}.", subject=subject, actual=has,
                  expected=wanted, evidence=evidence, severity="medium" if starts else None)


def _has_level(machine: str, has: str, wanted: str) -> tuple[bool, bool]:
    """(the CPU has the level, the program starts all the same)."""
    if machine == "amd64":
        for text in (has, wanted):
            if not re.fullmatch(r"v[1-4]", text):
                raise ValueError(f"{text!r} is no GOAMD64 level")
        return has >= wanted, False
    have, need = _arm_level(has), _arm_level(wanted)
    enough = _arm_supports(have[:2], need[:2]) and need[2] <= have[2]
    return enough, "lse" in have[2] or "lse" not in need[2]


@check(
    "binary.static",
    title="The executable's loader is there",
    severity="low",
    why="An executable with PT_INTERP needs that loader (and its shared libraries) on the host: a build on Alpine asks for "
        "/lib/ld-musl-x86_64.so.1, and on Ubuntu execve(2) answers \"No such file or directory\" for a file that is plainly "
        "there (elf(5), ld.so(8)). Go programs without cgo have none (cmd/link), with CGO_ENABLED=1 and the net or os/user "
        "packages they often do.",
    judged="No PT_INTERP passes; so does a dynamically linked program that runs, for its loader was there: distributions "
           "link Go programs like that on purpose. A file on disk whose loader is missing fails as critical. Where the unit "
           "shows its processes other files than the host's (RootDirectory=, BindPaths= ...) or the loader could not be looked "
           "for, that is unknown. With threshold `required` every dynamically linked executable of a declared service is a "
           "finding. CGO_ENABLED of the build information is no evidence either way.",
    remediation=Remediation(hint="Build with CGO_ENABLED=0 (and without -buildmode=pie), or on the distribution it runs on."),
    needs=NEEDS,
    thresholds={"required": Threshold(False, "Whether declared services have to be statically linked.")},
)
@subjects.located
def static(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    required = bool(policy.threshold(static, "required"))
    host = lookup(facts, "host.goarch")

    def judge(service: Service, subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
        return _static(service, subject, where, binary, required, host)

    yield from _each(facts, policy, judge, disk_is_enough=True)


def _static(service: Service, subject: str, where: str, binary: Mapping[str, Any], required: bool, host: object) -> Outcome:
    label = _label(binary, where)
    elf = binary.get("elf")
    if not elf:
        return _not_elf(binary, label, subject)
    interpreter = elf.get("interpreter")
    if not interpreter:
        return passed(f"{label} is statically linked.", subject=subject, actual="static", evidence=["no PT_INTERP"])
    needed = ", ".join(str(name) for name in elf.get("needed") or ()) or "no library"
    evidence = [f"PT_INTERP {interpreter}", f"DT_NEEDED: {needed}"]
    if where != "running" and elf.get("interpreter_exists") is False:
        return failed(f"{label} needs the loader {interpreter}, which is not on this host: it cannot start.", subject=subject,
                      actual=interpreter, expected="a loader of this host, or none", evidence=evidence, severity="critical")
    if required and service.declared:
        return failed(f"{label} is dynamically linked ({needed}); static is required.", subject=subject, actual="dynamic",
                      expected="static", evidence=evidence)
    if where != "running" and elf.get("interpreter_exists") is None:
        if host is not None and elf.get("machine") not in (host, *_ALSO_RUNS.get(str(host), ())):
            return notapplicable(f"{label} is built for another machine (binary.arch_match judges that).", subject=subject)
        return unknown(f"{label} needs the loader {interpreter}; whether that is there for it is unknown.", subject=subject,
                       expected=interpreter, evidence=evidence)
    proof = "and runs" if where == "running" else f"with {interpreter}"
    return passed(f"{label} is dynamically linked {proof}.", subject=subject, actual="dynamic", evidence=evidence)


@check(
    "binary.go_release",
    title="The executable is built with a supported Go",
    severity="medium",
    why="Security fixes of the standard library (net/http, crypto/tls) reach a program only when it is built again with a fixed "
        "Go; a release line gets them until two newer ones exist (go.dev/doc/devel/release, Release Policy).",
    judged="The Go version of the build information: against preflight_go_version where that is set (declared services only, "
           "because the policy is the team's), else against the table of Go releases that ships with the collection. A "
           "discovered program in a distribution's folder (/usr/bin, /usr/lib, /snap ...) is info, in a container too: its distribution "
           "patches it under the old number. Where the table is too old to tell, the answer is unknown.",
    remediation=Remediation(hint="Build the program again with a supported Go release."),
    needs=NEEDS,
)
@subjects.located
def go_release(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    wanted = goversion.Range.parse(policy.go_version) if policy.go_version else None

    def judge(service: Service, subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
        return _not_go(binary, where, subject) or _go_release(service, subject, where, binary, wanted, policy)

    yield from _each(facts, policy, judge)


def _go_release(service: Service, subject: str, where: str, binary: Mapping[str, Any], wanted: goversion.Range | None,
                policy: Policy) -> Outcome:
    label = _label(binary, where)
    text = str(lookup(binary, "buildinfo.go_version"))
    evidence = [f"{binary.get('path')}: build information: {text}"]
    version = subjects.go_version(binary)
    if version is None:
        return unknown(f"{label} is built with {text!r}, which names no Go release.", subject=subject, actual=text,
                       evidence=evidence)
    if wanted is not None and service.declared:
        if wanted.matches(version):
            return passed(f"{label} is built with Go {version}; {wanted} is wanted.", subject=subject, actual=str(version),
                          expected=str(wanted), evidence=evidence)
        return failed(f"{label} is built with Go {version}; {wanted} is wanted.", subject=subject, actual=str(version),
                      expected=str(wanted), evidence=evidence)
    today = policy.now.date()
    lines = " and ".join(go_releases.supported_lines(today))
    supported = go_releases.is_supported(version, today)
    if supported:
        return passed(f"{label} is built with Go {version}, a supported release line.", subject=subject, actual=str(version),
                      expected=lines, evidence=evidence)
    if supported is None:
        return unknown(f"{label} is built with Go {version}; the table of Go releases (of {go_releases.load().as_of}) is too old "
                       "to tell whether that is still supported.", subject=subject, actual=str(version), evidence=evidence)
    end = go_releases.ended(version)
    since = f" since {end}" if end else ""
    real = str(binary.get("realpath") or binary.get("path") or "")
    packaged = not service.declared and real.startswith(_DISTRIBUTION)
    whose = "the image's" if service.container else "its"
    maintained = f"; {whose} distribution maintains it" if packaged else ""
    updates = ("Keep the image up to date: pull or build it again with its distribution's security updates."
               if service.container else "Keep the distribution's security updates installed.")
    return failed(f"{label} is built with Go {version}, which upstream has not supported{since}{maintained}; {lines} are "
                  "supported.", subject=subject, actual=str(version), expected=lines, evidence=evidence,
                  severity="info" if packaged else None,
                  remediation=Remediation(hint=updates) if packaged else None)


def _revision(binary: Mapping[str, Any]) -> tuple[str, str]:
    """(revision, where it is told): vcs.revision, else the end of a pseudo-version (12 digits); empty where neither is there.

    Since Go 1.24 the main module's version carries the revision too (Go 1.24 release notes), and it survives a build from
    the module cache, where vcs.* is absent.
    """
    revision = str(subjects.settings(binary).get("vcs.revision") or "")
    if revision:
        return revision.lower(), f"build vcs.revision={revision}"
    version = str(lookup(binary, "buildinfo.main.version") or "")
    found = re.search(r"[-.][0-9]{14}-([0-9a-f]{12})(?:\+|$)", version)
    return (found.group(1), f"mod version {version}") if found else ("", "")


@check(
    "binary.revision",
    title="The expected revision runs",
    severity="high",
    why="A deployment that copied the file and did not restart, or a host that was skipped, runs yesterday's code under today's "
        "name. The go command stamps the commit into every build made inside a repository (cmd/go, -buildvcs; since Go 1.18).",
    judged="Only where preflight_services declares `revision`: it has to be a prefix of vcs.revision (or of the revision in the "
           "main module's pseudo-version) of the running program; without a process, of the file on disk. No VCS data in the "
           "build is unknown, never a pass.",
    remediation=Remediation(hint="Deploy the expected revision and restart the service.", role="release"),
    needs=NEEDS,
)
@subjects.located
def revision(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    wanted = [(service, str(service.declaration["revision"]).lower()) for service in subjects.services(facts, policy)
              if service.declaration.get("revision")]
    for service, text in wanted:
        yield _expected_revision(service, text)
    if not wanted:
        yield notapplicable("No service of preflight_services declares a revision.")


def _expected_revision(service: Service, wanted: str) -> Outcome:
    subject = service.subject
    program = next((one for one in service.programs if one.main), None)
    binary = subjects.running(program, service) if program else subjects.on_disk(service)
    where = "running" if program else "on disk"
    if binary is None:
        reason = subjects.unreadable(program.processes, "exe", "running") if program else ""
        return unknown(f"Its executable was not read{f' ({reason})' if reason else ''}." if program else
                       "No executable of it is known.", subject=subject, expected=wanted, remediation=service.as_root(reason))
    label = _label(binary, where)
    if not binary.get("buildinfo"):
        return unknown(f"{label} carries no readable Go build information.", subject=subject, expected=wanted,
                       evidence=[str(binary["error"])] if binary.get("error") else [],
                       remediation=service.as_root(binary.get("error")))
    found, origin = _revision(binary)
    if not found:
        return unknown(f"{label} carries no VCS revision: it was built outside of a repository or with -buildvcs=false.",
                       subject=subject, expected=wanted, evidence=[f"{binary.get('path')}: no build vcs.revision"],
                       remediation=Remediation(hint="Build inside the repository with -buildvcs=true."))
    evidence = [f"{binary.get('path')}: {origin}"]
    disk = subjects.on_disk(service)
    # A pseudo-version holds 12 digits: a longer declaration is compared as far as that goes.
    if found.startswith(wanted) or wanted.startswith(found):
        return passed(f"{label} is revision {found[:12]}.", subject=subject, actual=found, expected=wanted, evidence=evidence)
    on_disk = _revision(disk)[0] if disk is not None else ""
    if program and on_disk and on_disk.startswith(wanted):
        return failed(f"Revision {found[:12]} still runs; {wanted[:12]} is on disk and wanted.", subject=subject, actual=found,
                      expected=wanted, evidence=[*evidence, f"{(disk or {}).get('path')}: revision {on_disk}"],
                      remediation=_restart(service, "The expected revision is on disk: restart the service."))
    return failed(f"{label} is revision {found[:12]}; {wanted[:12]} is wanted.", subject=subject, actual=found, expected=wanted,
                  evidence=evidence)


def _restart(service: Service, hint: str) -> Remediation:
    return Remediation(hint=hint, command=service.systemctl("restart"), role="release" if service.declared else "")


@check(
    "binary.clean",
    title="The executable was built from committed code",
    severity="medium",
    why="vcs.modified=true means that the build had uncommitted changes (cmd/go, -buildvcs): nobody can check out what runs, "
        "neither to debug it nor to build it again.",
    judged="vcs.modified of the build information, or `+dirty` in the main module's version (Go >= 1.24). No VCS data: unknown "
           "for a declared service, not judged for a discovered one, because distributions build from source archives.",
    remediation=Remediation(hint="Build from a clean checkout. Files that the build itself generates count as changes: ignore "
                                 "them in the repository."),
    needs=NEEDS,
)
@subjects.located
def clean(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    def judge(service: Service, subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
        return _not_go(binary, where, subject) or _clean(service, subject, where, binary)

    yield from _each(facts, policy, judge)


def _clean(service: Service, subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
    label = _label(binary, where)
    modified = subjects.settings(binary).get("vcs.modified")
    version = str(lookup(binary, "buildinfo.main.version") or "")
    revision_text = _revision(binary)[0][:12]
    if modified == "true" or version.endswith("+dirty"):
        told = "build vcs.modified=true" if modified == "true" else f"mod version {version}"
        return failed(f"{label} was built from uncommitted changes on top of {revision_text or 'an unknown revision'}.",
                      subject=subject, actual="modified", expected="committed", evidence=[f"{binary.get('path')}: {told}"])
    if modified == "false" or (revision_text and not modified):
        return passed(f"{label} was built from the committed revision {revision_text}.", subject=subject, actual="committed",
                      expected="committed", evidence=[f"{binary.get('path')}: build vcs.modified={modified}"])
    reason = f"{label} carries no VCS data: it was built outside of a repository or with -buildvcs=false."
    return unknown(reason, subject=subject) if service.declared else notapplicable(reason, subject=subject)


@check(
    "binary.race",
    title="The executable is no race-detector build",
    severity="high",
    why="A build with -race uses 5-10 times the memory and 2-20 times the time (go.dev/doc/articles/race_detector, Runtime "
        "Overhead) and allows at most 8128 goroutines at once; -asan and -msan builds are for tests as well.",
    judged="-race, -asan or -msan in the build settings. Go before 1.18 does not record them: unknown, as low.",
    remediation=Remediation(hint="Deploy a build without -race; keep the race detector in CI and, if at all, on a canary."),
    needs=NEEDS,
)
@subjects.located
def race(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    def judge(service: Service, subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
        return _not_go(binary, where, subject) or _race(subject, where, binary)

    yield from _each(facts, policy, judge)


def _race(subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
    label = _label(binary, where)
    settings = subjects.settings(binary)
    found = [flag for flag in ("-race", "-asan", "-msan") if settings.get(flag) == "true"]
    if found:
        return failed(f"{label} is built with {', '.join(found)}: slower and larger by a multiple, made for tests.",
                      subject=subject, actual=" ".join(found), expected="a release build",
                      evidence=[f"{binary.get('path')}: build {flag}=true" for flag in found])
    if not settings:
        return unknown(f"{label} does not record its build settings.", subject=subject, severity="low")
    return passed(f"{label} is built without -race.", subject=subject, expected="a release build")


@check(
    "binary.replaced",
    title="The running file is the file on disk",
    severity="high",
    why="A file that was replaced after the start takes effect at the next restart, planned or not: a crash at night then starts "
        "the new release. Until then the old code (with its old faults) runs although every version check on disk says new. "
        "proc(5): /proc/PID/exe ends in ` (deleted)` for a file that is gone.",
    judged="Fails when /proc/PID/exe is deleted, or is another file (device and inode) than the one at that path; and when the "
           "symbolic link that the unit starts (such as /opt/api/current) now points to another release of the same program. "
           "Medium for discovered services: package upgrades leave some daemons running on purpose. Programs that run from "
           "memory (memfd) are not judged. In a container an executable that could not be compared is not judged.",
    remediation=Remediation(hint="Restart the service if the new file is wanted, or roll the file back.", role="release"),
    needs=NEEDS,
)
@subjects.located
def replaced(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    for service in subjects.services(facts, policy):
        programs = service.programs
        for program in programs:
            yield _replaced(service, program)
        if not programs:
            yield notapplicable("No process of it runs.", subject=service.subject)


def _replaced(service: Service, program: Program) -> Outcome:
    subject = program.subject
    severity = None if service.declared else "medium"
    mend = _restart(service, "Restart the service if the new file is wanted, or roll the file back.")
    first = program.processes[0]
    exe = str(first.get("exe") or "")
    if exe.startswith("/memfd:"):
        return notapplicable("It runs from memory, not from a file.", subject=subject)
    for process in program.processes:
        pid, path = process.get("pid"), process.get("exe")
        if process.get("exe_deleted"):
            return failed(f"The file that {program.name} (PID {pid}) runs is gone: it was replaced or deleted after the start.",
                          subject=subject, actual="deleted", expected="the file on disk", severity=severity, remediation=mend,
                          evidence=[f"/proc/{pid}/exe -> {path} (deleted)", *_releases(service, program)])
        if process.get("same_file") is False:
            return failed(f"{path} was replaced after {program.name} (PID {pid}) started: the old file still runs.",
                          subject=subject, actual="another file", expected="the file on disk", severity=severity,
                          evidence=[f"/proc/{pid}/exe and {path} are different files (device, inode)",
                                    *_releases(service, program)], remediation=mend)
    moved = _moved(service, program) if program.main else None
    if moved:
        return failed(f"{moved[0]} now points to {moved[1]}, and {exe} still runs.", subject=subject, actual=exe,
                      expected=moved[1], severity=severity, remediation=mend,
                      evidence=[f"/proc/{first.get('pid')}/exe -> {exe}", f"{moved[0]} -> {moved[1]}",
                                *_releases(service, program)])
    known = [process for process in program.processes if process.get("same_file")]
    if known:
        return passed(f"{known[0].get('exe')} is the file that runs.", subject=subject, actual="the file on disk",
                      expected="the file on disk", evidence=[f"/proc/{known[0].get('pid')}/exe -> {known[0].get('exe')}"])
    if service.container and exe:
        return notapplicable(f"It runs in {service.container}; its file there was not compared.", subject=subject)
    reason = subjects.unreadable([first], "exe")
    return unknown(f"The executable of {program.name} ({program.pids}) could not be compared with the file on disk"
                   f"{f' ({reason})' if reason else ''}.", subject=subject, remediation=service.as_root(reason))


def _moved(service: Service, program: Program) -> tuple[str, str] | None:
    """(link, target) where the unit's path leads to another release than the one that runs.

    Only where a symbolic link is on the way and both files are the same Go program: ``ExecStart=/usr/bin/env api`` and
    wrapper scripts name other files by design.
    """
    disk = subjects.on_disk(service) or {}
    binary = subjects.running(program, service) or {}
    path, real, exe = disk.get("path"), disk.get("realpath"), program.processes[0].get("exe")
    if not (path and real and exe) or path == real or exe in (real, path):
        return None
    package = lookup(disk, "buildinfo.path")
    if package is None or package != lookup(binary, "buildinfo.path"):
        return None
    return str(path), str(real)


def _releases(service: Service, program: Program) -> list[str]:
    """Evidence: the revisions of the running file and of the one on disk, where both tell theirs."""
    binary, disk = subjects.running(program, service), subjects.on_disk(service)
    if binary is None or disk is None or not program.main:
        return []
    old, new = _revision(binary)[0], _revision(disk)[0]
    if not (old and new):
        return []
    return [f"both are revision {old}" if old == new else f"running revision {old}, on disk {new}"]


@check(
    "binary.ownership",
    title="Nobody else can replace the executable",
    severity="high",
    why="Who can write the file, or rename something in one of its folders, decides what the service runs after its next start, "
        "with the service's rights. unlink(2) and rename(2) ask for write permission on the folder, not on the file; the "
        "sticky bit (inode(7)) restricts that to the owners.",
    judged="High: the file or a folder above it can be written by everybody or by a group that is not among `trusted_groups`; "
           "and a service that runs as root from a file or folder of another user, who thereby becomes root. Low: a unit's "
           "service can rewrite its own executable, so an intruder in it can stay. A program that somebody starts from their "
           "own folder crosses no border and passes, and so does a deployment user who owns the file. A group that holds only "
           "the owner, and a folder with the sticky bit, lets nobody else in. Files in containers are not judged: an image is "
           "replaced, not its files.",
    remediation=Remediation(hint="Give the file and its folders to root and take write permission from group and others."),
    needs=NEEDS,
    thresholds={"trusted_groups": Threshold(
        ("root", "sudo", "wheel", "admin", "staff"),
        "Groups whose members are trusted with the machine anyway; staff owns /usr/local on Debian (Debian Policy 9.1.2).")},
)
@subjects.located
def ownership(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    trusted = tuple(str(group) for group in policy.threshold(ownership, "trusted_groups"))

    def judge(service: Service, subject: str, where: str, binary: Mapping[str, Any]) -> Outcome:
        return _ownership(service, subject, where, binary, trusted)

    yield from _each(facts, policy, judge, disk_is_enough=True)


_WRITABLE = re.compile(r"(?P<path>/.*) is writable by (?:everybody|group (?P<group>\S+)) \([0-7]+\)")


def _ownership(service: Service, subject: str, where: str, binary: Mapping[str, Any], trusted: tuple[str, ...]) -> Outcome:
    if service.container:
        return notapplicable(f"It runs in {service.container}: its image decides.", subject=subject)
    label = _label(binary, where)
    path = str(binary.get("realpath") or binary.get("path") or "")
    if _is_gone(binary):
        return notapplicable(f"{binary.get('path')} is not on disk (services.present judges that).", subject=subject)
    if binary.get("owner") is None:
        error = f" ({binary['error']})" if binary.get("error") else ""
        return unknown(f"The owner of {label} was not read{error}.", subject=subject)
    owners = {path: str(binary.get("owner"))}
    owners.update((str(folder.get("path")), str(folder.get("owner"))) for folder in binary.get("folders") or ())
    evidence = [f"{path}: {binary.get('owner')}:{binary.get('group')} {binary.get('mode')}"]
    writable = {
        found.group("path"): str(text) for text in binary.get("writable_by") or ()
        if (found := _WRITABLE.fullmatch(str(text))) and found.group("group") not in trusted
    }
    if writable:
        first = next(iter(writable.values()))
        more = f" (and {len(writable) - 1} more)" if len(writable) > 1 else ""
        return failed(f"{label} can be replaced: {first}{more}.", subject=subject, actual=len(writable), expected=0,
                      evidence=[*evidence, *writable.values()], remediation=Remediation(
                          hint="Take write permission from group and others.",
                          command="sudo chmod go-w " + " ".join(shlex.quote(one) for one in writable)))
    user = _user(service, subject)
    foreign = {name: owner for name, owner in owners.items() if owner not in ("root", "0")}
    if user == "root" and foreign:
        name, owner = next(iter(foreign.items()))
        return failed(f"{label} runs as root, and {name} belongs to {owner}, who can replace it and so becomes root.",
                      subject=subject, actual=owner, expected="root",
                      evidence=[*evidence, *(f"{one}: owner {who}" for one, who in foreign.items())],
                      severity=None if service.unit else "low", remediation=_give_to_root(foreign))
    own = [name for name, owner in foreign.items() if owner == user]
    if own and service.is_system:
        return failed(f"{label} can be rewritten by the service itself: {own[0]} belongs to {user}.", subject=subject,
                      actual=user, expected="root", evidence=evidence, severity="low", remediation=_give_to_root(own))
    others = sorted(set(foreign.values()))
    said = f"only root{' and ' + ' and '.join(others) if others else ''} can replace it"
    return passed(f"{label} belongs to {binary.get('owner')}; {said}.", subject=subject, actual=str(binary.get("owner")),
                  evidence=evidence)


def _give_to_root(paths: Iterable[str]) -> Remediation:
    paths = list(paths)
    if any(path.startswith("/home/") for path in paths):
        # Taking somebody's home away from them would mend nothing.
        return Remediation(hint="Install the program outside of a home folder (/opt, /usr/local), owned by root.")
    return Remediation(hint="Give the file and its folders to root, or run the service as a user that does not own them.",
                       command="sudo chown root:root " + " ".join(shlex.quote(path) for path in paths))


def _user(service: Service, subject: str) -> str:
    """The user that runs, or would run, the file."""
    for program in service.programs:
        if program.subject == subject:
            process = program.processes[0]
            return "root" if process.get("uid") == 0 else str(process.get("user") or "")
    if not service.properties or not service.is_system or service.property("DynamicUser") == "yes":
        return ""
    return "root" if service.property("User") in ("", "0") else service.property("User")
