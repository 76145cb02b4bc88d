# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is there a Go that works, the right one, and the same one for everybody?

A host may carry many Gos: gvm's, a distribution's, yesterday's tarball. What counts is the Go that somebody gets by typing
``go``: the first in the PATH of a login shell, of a command over ssh, of sudo, of systemd; and the Go that a unit starts.
Those are *in use* here; the rest lies on the disk and is judged for less. Where no PATH has one (a build that calls it by its
path) every Go counts.
"""
from __future__ import annotations

import shlex
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import goarch, goversion
from ansible_collections.goready.preflight.plugins.plugin_utils import go_releases, toolwork
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Facts, Outcome, Policy, Remediation, Threshold, check, failed, lookup, notapplicable, passed, unknown,
)

NEEDS = ("toolchain.toolchains", "toolchain.shells")
KINDS = ("login", "non_login", "sudo", "systemd")

Entry = Mapping[str, Any]


def _toolchains(facts: Facts) -> Sequence[Entry]:
    return lookup(facts, "toolchain.toolchains") or ()


def _shells(facts: Facts) -> Sequence[Entry]:
    return lookup(facts, "toolchain.shells") or ()


def _label(shell: Entry) -> str:
    kind = str(shell["kind"])
    return f"{kind.replace('_', '-')} shell of {shell['user']}" if kind in ("login", "non_login") else kind


def _name(shell: Entry) -> str:
    """The label inside a sentence: ``the login shell of deploy``, but ``sudo``."""
    return f"the {_label(shell)}" if shell["kind"] in ("login", "non_login") else _label(shell)


def _place(toolchain: Entry) -> str:
    return str(toolchain["goroot"] or toolchain["go"])


def _version(toolchain: Entry) -> str | None:
    """What the binary says; the VERSION file where the binary could not be asked."""
    version = toolchain["version"] or toolchain["version_file"]
    return None if version is None else str(version)


def _parsed(text: str | None) -> goversion.GoVersion | None:
    if text is None:
        return None
    try:
        return goversion.parse(text)
    except ValueError:
        return None


def _seen(facts: Facts) -> list[Entry]:
    """The Gos that some shell or manager finds first in its PATH, or that a unit starts."""
    labels = {_label(shell) for shell in _shells(facts) if shell["go"]}
    return [toolchain for toolchain in _toolchains(facts)
            if any(how in labels or how.startswith("ExecStart of ") for how in toolchain["found_by"])]


def _in_use(facts: Facts) -> list[Entry]:
    """The Gos that are seen; every Go where none is."""
    return _seen(facts) or list(_toolchains(facts))


def _weighty(facts: Facts, policy: Policy) -> set[str]:
    """The Gos whose faults are worth the full severity: those in use. Where no PATH has one, that is all of them on a host
    that has to have a Go, and none on a host that just has one lying about."""
    seen = _seen(facts)
    return {_place(one) for one in (seen or (_toolchains(facts) if policy.toolchain == "required" else ()))}


def _nothing_to_judge(facts: Facts, policy: Policy) -> Outcome | None:
    """Why the other checks of the family do not apply, or None."""
    if policy.toolchain == "absent":
        return notapplicable("preflight_toolchain is absent: this host should have no Go, and toolchain.present judges that.")
    if _toolchains(facts):
        return None
    if policy.toolchain == "required":
        return notapplicable("There is no Go on this host: toolchain.present says so.")
    if _silent(facts):
        return notapplicable("No Go was found; toolchain.present says which shell gave no answer.")
    return notapplicable("There is no Go on this host, and preflight_toolchain is optional.")


def _out_of_reach(toolchains: Iterable[Entry]) -> bool:
    """Whether the role, which puts one Go into the PATH of all shells, leaves one of these in use: a Go in somebody's home comes
    into the PATH by their own start files, a unit names its own, and a program without a tree may stand where a link would."""
    return any(one.get("in_home") or one["goroot"] is None or any(how.startswith("ExecStart of ") for how in one["found_by"])
               for one in toolchains)


def _by_hand(hint: str, toolchains: Iterable[Entry]) -> Remediation | None:
    """What stands in for a check's own remediation where the role does not mend the finding."""
    return Remediation(hint=hint, role="go_toolchain") if _out_of_reach(toolchains) else None


def _inventory(facts: Facts) -> list[str]:
    """Evidence: every Go, one line each."""
    return [f"{_place(toolchain)}: {_version(toolchain) or 'version unknown'} ({toolchain['kind']}), "
            f"found by {', '.join(toolchain['found_by'])}" for toolchain in _toolchains(facts)]


def _view(shell: Entry) -> str:
    """Evidence: what one shell sees."""
    if shell["error"] and not shell["go"]:
        return f"{_label(shell)}: {shell['error']}"
    if not shell["go"]:
        return f"{_label(shell)}: no go in PATH={shell['path']}"
    return f"{_label(shell)}: {shell['go']} ({shell['version'] or 'version unknown'})"


def _silent(facts: Facts) -> list[Entry]:
    """The user's own shells that gave no answer."""
    return [shell for shell in _shells(facts) if shell["error"] and not shell["go"] and shell["kind"] in ("login", "non_login")]


@check(
    "toolchain.present",
    title="A Go toolchain is there, and it starts (or there is none, where none should be)",
    severity="high",
    why="A build host without a working go fails its first job with `go: command not found`, or with `exec format error` where "
        "the archive was another machine's (execve(2), ENOEXEC). On a production host it is the reverse: a compiler there is "
        "not needed to run Go programs and is one more thing to patch (CIS Controls v8, 4.8: uninstall unnecessary software).",
    judged="preflight_toolchain says which kind of host this is. `required`: the Go that a PATH has (or, where no PATH has one, "
           "any Go found on the disk) answers `go env`. `optional`: the same where there is one, not applicable where there is "
           "none. `absent`: any Go found anywhere fails. Where nothing was found and a shell of the user gave no answer, the "
           "result is unknown (medium where `optional`): that shell might have one in its PATH. A Go that does not start and "
           "is in no PATH (an SDK for another machine) is no fault of an `optional` host.",
    remediation=Remediation(hint="Install a supported Go, from an archive whose checksum was compared with go.dev/dl.",
                            role="go_toolchain", safe="apply"),
    needs=NEEDS,
)
def present(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    found = _toolchains(facts)
    if policy.toolchain == "absent":
        yield _absent(facts)
        return
    if not found:
        evidence = [_view(shell) for shell in _shells(facts)]
        if _silent(facts):
            needed = policy.toolchain == "required"
            yield unknown(f"No Go was found, but the {_label(_silent(facts)[0])} gave no answer and may have one in its PATH.",
                          actual=None, expected="a Go toolchain" if needed else None, evidence=evidence,
                          severity=None if needed else "medium")
        elif policy.toolchain != "required":
            yield notapplicable("There is no Go on this host, and preflight_toolchain is optional.", evidence=evidence)
        else:
            yield failed("There is no Go on this host, and preflight_toolchain is required.", actual=None,
                         expected="a Go toolchain", evidence=evidence)
        return
    used = _in_use(facts)
    working = [one for one in used if one["runs"]]
    broken = [one for one in used if one["runs"] is False]
    evidence = _inventory(facts)
    seen = bool(_seen(facts))
    if not seen and not working and policy.toolchain == "optional":
        yield notapplicable(f"No shell has a go in its PATH; {_place(used[0])} only lies on the disk ({used[0]['error']}).",
                            evidence=evidence)
    elif broken and (seen or not working):
        first = broken[0]
        yield failed(f"{_place(first)} ({_version(first) or 'version unknown'}) does not start: {first['error']}.",
                     actual=first["error"], expected="go answers", evidence=evidence,
                     remediation=_by_hand(present.remediation.hint, broken))
    elif working:
        names = ", ".join(f"{_version(one)} in {_place(one)}" for one in working)
        where = "" if seen else "; no PATH has it"
        verb = "starts" if len(working) == 1 else "start"
        yield passed(f"{names} {verb}{where}.", actual=[_version(one) for one in working], expected="a Go toolchain",
                     evidence=evidence)
    else:
        first = used[0]
        yield unknown(f"Whether {_place(first)} starts is unknown: {first['error']}.", actual=None, expected="go answers",
                      evidence=evidence)


def _absent(facts: Facts) -> Outcome:
    found = _toolchains(facts)
    if found:
        names = ", ".join(f"{_version(one) or 'Go'} in {_place(one)}" for one in found[:3])
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        return failed(f"This host should carry no Go, but has {names}{more}.", actual=[_place(one) for one in found], expected=[],
                      evidence=_inventory(facts),
                      remediation=Remediation(hint="Remove it with the means it was installed by, or declare the host with "
                                                   "preflight_toolchain: optional."))
    if _silent(facts):
        return unknown(f"No Go was found, but the {_label(_silent(facts)[0])} gave no answer and may have one in its PATH.",
                       expected=[], evidence=[_view(shell) for shell in _shells(facts)])
    return passed("There is no Go on this host, as preflight_toolchain wants it.", actual=[], expected=[],
                  evidence=[_view(shell) for shell in _shells(facts)])


def _pin(shell: Entry) -> goversion.GoVersion | None:
    """The version that GOTOOLCHAIN makes go switch to, whatever is installed (https://go.dev/doc/toolchain)."""
    effective = shell.get("effective") or {}
    name = str(effective.get("GOTOOLCHAIN", "")).split("+", 1)[0]
    return _parsed(name) if name.startswith("go") else None


@check(
    "toolchain.version_policy",
    title="The Go in use is one that the policy allows",
    severity="high",
    why="Another Go than agreed compiles another program: a different runtime, standard library and set of GODEBUG defaults, and "
        "with GOTOOLCHAIN=local a module whose go line is newer does not build at all (https://go.dev/doc/toolchain).",
    judged="Every Go in use matches preflight_go_version; a bound without a third number means the whole release line, and "
           "release candidates match only where the policy names one. Versions that only lie on the disk (other versions under "
           "gvm, a distribution's second package) are not judged; where no PATH has a go, it is enough that one of them "
           "matches. A GOTOOLCHAIN that names a version is judged as well, because go switches to it.",
    remediation=Remediation(hint="Install the version that the policy wants and put it first in every PATH.", role="go_toolchain",
                            safe="apply"),
    needs=NEEDS,
)
def version_policy(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    if not policy.go_version:
        yield notapplicable("preflight_go_version names no version.")
        return
    wanted = goversion.Range.parse(policy.go_version)
    used = _in_use(facts)
    verb = "is in use"
    if not _seen(facts):
        verb = "is installed"
        matching = [one for one in used if (found := _parsed(_version(one))) is not None and wanted.matches(found)]
        used = matching or used
    for toolchain in used:
        subject = _place(toolchain)
        text = _version(toolchain)
        version = _parsed(text)
        evidence = [f"found by {', '.join(toolchain['found_by'])}", f"{subject}/VERSION: {toolchain['version_file']}",
                    f"go env GOVERSION: {toolchain['version'] or toolchain['error']}"]
        if version is None:
            yield unknown(f"The version of {subject} cannot be told ({text or toolchain['error'] or 'it names none'}); "
                          f"wanted is {wanted}.", subject=subject, actual=text, expected=str(wanted), evidence=evidence)
        elif wanted.matches(version):
            yield passed(f"{text} {verb}, {wanted} is wanted.", subject=subject, actual=text, expected=str(wanted),
                         evidence=evidence)
        else:
            yield failed(f"{text} {verb}, {wanted} is wanted.", subject=subject, actual=text, expected=str(wanted),
                         evidence=evidence, remediation=_by_hand(version_policy.remediation.hint, [toolchain]))
    for shell in _shells(facts):
        pin = _pin(shell)
        if shell["go"] and pin is not None and not wanted.matches(pin):
            setting = shell["effective"]["GOTOOLCHAIN"]
            yield failed(f"GOTOOLCHAIN={setting} makes go use {pin} in the {_label(shell)}, {wanted} is wanted.",
                         subject=f"GOTOOLCHAIN in {_label(shell)}", actual=setting, expected=str(wanted), evidence=[_view(shell)],
                         remediation=Remediation(hint="Unset GOTOOLCHAIN, or name an allowed version.",
                                                 command="go env -u GOTOOLCHAIN"))


@check(
    "toolchain.supported_release",
    title="The Go in use still gets security fixes",
    severity="medium",
    why="\"Each major Go release is supported until there are two newer major releases\" "
        "(https://go.dev/doc/devel/release#policy). A build with an older one carries every hole that was found in net/http, "
        "crypto/tls and the rest of the standard library since its support ended.",
    judged="The release line of every Go in use is one of the two newest on the day of the run, by a table that ships with the "
           "collection (dated, with its source). When the table is so old that a newer major may exist and would decide, the "
           "result is unknown. A distribution's own package is worth a low finding only: the distribution may carry fixes back. "
           "Release candidates and development trees fail. Where no PATH has a go, one supported Go is enough. The threshold "
           "`supported` replaces the table.",
    remediation=Remediation(hint="Move to a supported release; Go keeps old programs compiling (https://go.dev/doc/go1compat).",
                            role="go_toolchain", safe="apply"),
    needs=NEEDS,
    thresholds={"supported": Threshold((), "Release lines that count as supported, for instance [\"1.24\"] where a vendor "
                                           "maintains it; replaces the shipped table.")},
)
def supported_release(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    today = policy.now.date()
    table = go_releases.load()
    own = tuple(policy.threshold("toolchain.supported_release", "supported", ()))
    lines = list(own) or go_releases.supported_lines(today, table)
    expected = " or ".join(lines)
    source = "preflight_thresholds" if own else f"{table.source} as of {table.as_of}"

    def supported_now(version: goversion.GoVersion) -> bool | None:
        return go_releases.is_supported(version, today, table=table, override=own)

    used = _in_use(facts)
    if not _seen(facts):
        good = [one for one in used
                if (found := _parsed(_version(one))) is not None and supported_now(found) and not found.prerelease]
        used = good or used
    for toolchain in used:
        subject = _place(toolchain)
        text = _version(toolchain)
        version = _parsed(text)
        evidence = [f"supported are {expected}: {source}"]
        if version is None:
            yield unknown(f"The version of {subject} cannot be told ({text or toolchain['error'] or 'it names none'}).",
                          subject=subject, actual=text, expected=expected, evidence=evidence)
            continue
        supported = supported_now(version)
        if version.prerelease:
            yield failed(f"{text} is not a release: betas, release candidates and development trees get no fixes.",
                         subject=subject, actual=text, expected=expected, evidence=evidence,
                         remediation=_by_hand(supported_release.remediation.hint, [toolchain]))
        elif supported:
            yield passed(f"Go {version.language} is supported.", subject=subject, actual=text, expected=expected,
                         evidence=evidence)
        elif supported is None:
            age = go_releases.staleness(today, table).age_days
            yield unknown(f"Whether Go {version.language} is still supported cannot be told: the release table is {age} days old "
                          "and a newer major may have appeared since.", subject=subject, actual=text, expected=expected,
                          evidence=evidence, remediation=Remediation(
                              hint="Update the collection, or give the supported lines in preflight_thresholds."))
        else:
            ended = None if own else go_releases.ended(version, table)
            since = f" since {ended}" if ended else ""
            packaged = toolchain["kind"] == "distribution"
            note = "; the distribution may carry fixes back" if packaged else ""
            yield failed(f"Go {version.language} ({text}) has had no fixes from upstream{since}; supported are {expected}{note}.",
                         subject=subject, actual=text, expected=expected, evidence=evidence, severity="low" if packaged else None,
                         remediation=_by_hand(supported_release.remediation.hint, [toolchain]))


@check(
    "toolchain.arch_match",
    title="The toolchain is built for this machine",
    severity="critical",
    why="gvm's installer maps every machine that it does not know to s390x and i686 to a name that upstream does not have, and "
        "reports success (gvm, scripts/install); a copied tarball of another machine looks just as well until it is run "
        "(execve(2), ENOEXEC). Through qemu-user it does run, a hundred times slower. And a toolchain builds for its own "
        "architecture: a 386 Go on an amd64 host makes 32-bit services.",
    judged="The machine in the ELF header of bin/go (elf(5)) is that of the kernel (uname -m) or of the userland (dpkg "
           "--print-architecture). A Go that no PATH has, beside one that fits or on a host that need not have a Go, is worth a "
           "medium finding: a cross-compilation SDK may be wanted there. "
           "GOARCH or GOOS exported to every command of a shell is a medium finding too: each build then makes programs for "
           "another machine.",
    # The role installs the right one in front of it; the wrong one stays on the disk, and its finding with it.
    remediation=Remediation(hint="Remove it, and install the archive for this machine (go.dev/dl); compare its checksum before it "
                                 "is unpacked.", role="go_toolchain"),
    needs=(*NEEDS, "host.goarch"),
)
def arch_match(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    kernel = str(lookup(facts, "host.goarch"))
    dpkg = lookup(facts, "host.dpkg_arch")
    userland = goarch.OF_DPKG.get(str(dpkg))
    allowed = [kernel, *([userland] if userland and userland != kernel else [])]
    expected = " or ".join(allowed)
    host = [f"uname -m: {lookup(facts, 'host.machine')}", f"dpkg --print-architecture: {dpkg}"]
    weighty = _weighty(facts, policy)
    if not _seen(facts) and any(one["elf_machine"] in allowed for one in _toolchains(facts)):
        weighty = set()
    for toolchain in _toolchains(facts):
        subject = _place(toolchain)
        machine = toolchain["elf_machine"]
        evidence = [f"{toolchain['go']}: ELF machine {machine}", *host]
        if machine is None:
            yield unknown(f"The machine of {toolchain['go']} could not be read: {toolchain['error']}.", subject=subject,
                          expected=expected, evidence=evidence)
        elif machine in allowed:
            yield passed(f"It is built for {machine}, as this machine is.", subject=subject, actual=machine, expected=expected,
                         evidence=evidence)
        else:
            how = "it does not run"
            if toolchain["runs"]:
                how = "it runs (in an emulator, or as a guest of the kernel) and builds for the wrong machine"
            yield failed(f"It is built for {machine}, this machine is {expected}: {how}.", subject=subject, actual=machine,
                         expected=expected, evidence=evidence, severity=None if subject in weighty else "medium")
    for shell in _shells(facts):
        exported = {name: shell["env"][name] for name, right in (("GOARCH", allowed), ("GOOS", ["linux"]))
                    if shell["env"].get(name) and shell["env"][name] not in right}
        if exported and shell["go"]:
            words = " and ".join(f"{name}={value}" for name, value in exported.items())
            yield failed(f"The {_label(shell)} exports {words}: every build makes programs for another machine.",
                         subject=_label(shell), actual=exported, expected={"GOARCH": kernel, "GOOS": "linux"},
                         evidence=[_view(shell)], severity="medium", remediation=Remediation(
                             hint="Set GOOS and GOARCH for the one command that cross-compiles, not in a profile."))


@check(
    "toolchain.conflict",
    title="No second Go hides behind the first in a PATH",
    severity="medium",
    why="With a tarball in /usr/local/go and a distribution's golang in /usr/bin, the order of the PATH decides which one a job "
        "gets; an edited profile or a package pulled in as a dependency changes the compiler without anybody noticing. "
        "https://go.dev/doc/install wants any previous Go removed first.",
    judged="For each shell: the PATH holds no second go of another version behind the first. The same version twice, the same Go "
           "reached by two names, and a Go that is in no PATH are no conflict; nor is a version manager's Go (gvm, goenv, asdf, "
           "mise, golang.org/dl) in front of another: that is how those work, and toolchain.env_drift tells where it is not "
           "seen.",
    remediation=Remediation(hint="Remove the Go that is not wanted, for instance the distribution's golang package.",
                            command="type -a go"),
    needs=NEEDS,
)
def conflict(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    by_root = {toolchain["goroot"]: toolchain for toolchain in _toolchains(facts)}
    findings: dict[str, tuple[Entry, list[Entry], list[Entry]]] = {}
    asked = [shell for shell in _shells(facts) if shell["go"]]
    if not asked:
        yield notapplicable("No shell has a go in its PATH.")
        return
    for shell in asked:
        first = by_root.get(shell["goroot"])
        if first is None or first["kind"] in ("gvm", "sdk"):
            continue
        others = [by_root[root] for root in shell.get("others") or ()
                  if root in by_root and _version(by_root[root]) != _version(first)]
        if others:
            findings.setdefault(_place(first), (first, others, []))[2].append(shell)
    for subject, (first, others, shells) in findings.items():
        names = ", ".join(f"{_version(one) or 'another'} in {_place(one)}" for one in others)
        labels = ", ".join(_name(one) for one in shells)
        yield failed(f"{_version(first)} in {subject} hides {names} in the PATH of {labels}.", subject=subject,
                     actual=[_place(first), *(_place(one) for one in others)], expected=[_place(first)],
                     evidence=[f"{_label(shell)}: PATH={shell['path']}" for shell in shells])
    if not findings:
        yield passed("No PATH holds two different Gos that were not put there by a version manager.",
                     evidence=[_view(shell) for shell in asked])


@check(
    "toolchain.goroot",
    title="GOROOT is whole and belongs to the go that uses it",
    severity="high",
    why="A GOROOT variable that names another Go ends every build with `compile: version \"go1.26.4\" does not match go tool "
        "version \"go1.27.3\"` (cmd/compile/internal/base/flag.go), and one that names no folder with `cannot find GOROOT "
        "directory` (cmd/go/main.go). A new release unpacked over the old one \"is known to produce broken Go installations\" "
        "(https://go.dev/doc/install).",
    judged="For every Go in use: the compiler, linker, assembler, headers and the heart of the standard library are there; "
           "GOROOT/VERSION and the binary name the same version; and no shell that uses it exports a GOROOT of another version. "
           "A GOROOT variable that names the right Go, or the same version elsewhere, is harmless and passes. A Go that no PATH "
           "has is worth a medium finding; gvm's are left to toolchain.gvm.",
    remediation=Remediation(hint="Remove the folder and unpack the release afresh; unset GOROOT, go finds its own.",
                            role="go_toolchain"),
    needs=NEEDS,
)
def goroot(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    weighty = _weighty(facts, policy)
    for toolchain in _toolchains(facts):
        subject = _place(toolchain)
        if toolchain["kind"] != "gvm" or toolchain in _seen(facts):
            yield _goroot(toolchain, subject, subject in weighty)
    for shell in _shells(facts):
        finding = _goroot_variable(shell)
        if finding:
            yield finding


def _goroot(toolchain: Entry, subject: str, used: bool) -> Outcome:
    severity = None if used else "medium"
    on_disk, binary = toolchain["version_file"], toolchain["version"]
    evidence = [f"{subject}/VERSION: {on_disk}", f"go env GOVERSION: {binary or toolchain['error']}"]
    if toolchain["goroot"] is None:
        return failed(f"{subject} does not find its GOROOT: {toolchain['error'] or 'it lies in no Go tree'}.", subject=subject,
                      actual=None, expected="a GOROOT", severity=severity, evidence=evidence,
                      remediation=Remediation(hint="Call go through a link into its tree instead of a copy.",
                                              command=f"ls -l {shlex.quote(subject)}"))
    if "gccgo" in (binary or ""):
        return notapplicable("gccgo has no GOROOT of the usual kind.", subject=subject)
    missing = list(toolchain["missing"])
    # A tree checked out from the repository has no VERSION until it is a release; the binary then tells what it is.
    if binary and _is_development(binary):
        missing = [name for name in missing if name != "VERSION"]
    if missing:
        return failed(f"{subject} is incomplete: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
                      subject=subject, actual=missing, expected=[], severity=severity, evidence=evidence)
    if binary is None:
        if toolchain["runs"] is None and not used:
            return notapplicable(f"It is in no PATH, and its go was not asked for its version: {toolchain['error']}.",
                                 subject=subject, evidence=evidence)
        if toolchain["runs"] is None:
            return unknown(f"{subject} is complete, but its go was not asked for its version: {toolchain['error']}.",
                           subject=subject, evidence=evidence)
        return passed("All that a build needs is there (that its go does not start is judged by toolchain.present).",
                      subject=subject, actual=[], expected=[], evidence=evidence)
    if on_disk is not None and not _same_version(on_disk, binary):
        return failed(f"{subject}/VERSION says {on_disk}, but bin/go is {binary}: two releases were mixed.", subject=subject,
                      actual=binary, expected=on_disk, severity=severity, evidence=evidence)
    return passed(f"It is complete and bin/go is {binary}, as VERSION says.", subject=subject, actual=binary, expected=on_disk,
                  evidence=evidence)


def _is_development(version: str) -> bool:
    parsed = _parsed(version)
    return version.startswith("devel") or (parsed is not None and parsed.pre == "devel")


def _same_version(left: str, right: str) -> bool:
    """Experiments and vendors' marks are of the build, not of the release; a development tree has a new name every day."""
    one, other = _parsed(left), _parsed(right)
    same = left == right if one is None or other is None else one == other
    return same or _is_development(left) or _is_development(right)


def _goroot_variable(shell: Entry) -> Outcome | None:
    variable = shell.get("goroot_variable")
    if not variable or not shell["go"]:
        return None
    subject = f"GOROOT in {_label(shell)}"
    path = variable["path"]
    evidence = [f"{_label(shell)}: GOROOT={path}", _view(shell)]
    expected = shell["goroot"]
    if variable["realpath"] == expected:
        return passed(f"GOROOT={path} is the Go that is used.", subject=subject, actual=path, expected=expected,
                      evidence=evidence)
    remediation = Remediation(hint="Remove GOROOT from the profile (or from `go env -w`): go finds its own GOROOT.",
                              command="unset GOROOT; go env -u GOROOT")
    if not variable["exists"]:
        return failed(f"GOROOT={path} does not exist: go ends with \"cannot find GOROOT directory\".", subject=subject,
                      actual=path, expected=expected, evidence=evidence, remediation=remediation)
    if variable["version"] is None:
        return failed(f"GOROOT={path} holds no Go, and {shell['go']} would use it.", subject=subject, actual=path,
                      expected=expected, evidence=evidence, remediation=remediation)
    if shell["version"] is None:
        return unknown(f"GOROOT={path} is {variable['version']}; the version of {shell['go']} is not known.", subject=subject,
                       actual=path, expected=expected, evidence=evidence)
    if _same_version(str(variable["version"]), str(shell["version"])):
        return passed(f"GOROOT={path} is of the same version as {shell['go']}.", subject=subject, actual=path, expected=expected,
                      evidence=evidence)
    return failed(f"GOROOT={path} is {variable['version']}, but {shell['go']} is {shell['version']}: nothing compiles.",
                  subject=subject, actual=path, expected=expected, evidence=evidence, remediation=remediation)


@check(
    "toolchain.gopath",
    title="GOPATH can be used and is the user's own",
    severity="medium",
    why="go stops at a GOPATH that is relative or begins with `~` and warns where it is GOROOT itself (cmd/go/main.go); where it "
        "cannot be written, the first download of a module fails, because the module cache lies in it "
        "(https://go.dev/ref/mod#module-cache). A GOPATH that everybody can write lets everybody put a program into "
        "GOPATH/bin.",
    judged="The GOPATH in effect (variable, `go env -w`, default) of the login and the non-login shell, where they see a go: "
           "every entry is absolute, outside GOROOT, and writable by the user, or can be created by them; the first entry, where "
           "downloads go, is not writable by everybody. sudo and systemd are not judged: nothing is built there.",
    remediation=Remediation(hint="Unset GOPATH; the default is ~/go.", command="unset GOPATH; go env -u GOPATH"),
    needs=NEEDS,
)
def gopath(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    asked = [shell for shell in _shells(facts) if shell["kind"] in ("login", "non_login")]
    if not any(shell["go"] for shell in asked):
        yield notapplicable("No shell of the user has a go in its PATH.")
    for shell in asked:
        if shell["go"]:
            yield _gopath(shell)


def _gopath(shell: Entry) -> Outcome:
    subject = _label(shell)
    effective = shell.get("effective")
    if effective is None:
        return unknown(f"The GOPATH of the {subject} was not collected.", subject=subject)
    value = effective.get("GOPATH", "")
    evidence = [f"{subject}: GOPATH={value}"]
    if not value:
        return failed("There is no GOPATH, and no home folder to take the default from: modules cannot be downloaded.",
                      subject=subject, actual="", expected="an absolute path", evidence=evidence)
    for index, entry in enumerate(shell.get("gopath") or ()):
        path = entry["path"]
        if not path.startswith("/"):
            kind = "begins with ~" if path.startswith("~") else "is relative"
            return failed(f"GOPATH entry {path} {kind}: go refuses to run.", subject=subject, actual=path,
                          expected="an absolute path", evidence=evidence)
        if entry["in_goroot"]:
            return failed(f"GOPATH entry {path} lies in GOROOT: modules and the standard library mix.", subject=subject,
                          actual=path, expected=f"outside {shell['goroot']}", evidence=evidence)
        if index == 0 and entry["writable"] is False:
            return failed(f"{shell['user']} cannot write to GOPATH {path}: modules cannot be downloaded.", subject=subject,
                          actual=f"{entry['owner'] or 'not there'} {entry['mode'] or ''}".strip(), expected="writable",
                          evidence=[*evidence, f"{path}: owner {entry['owner']}, mode {entry['mode']}"])
        if index == 0 and entry["everybody"]:
            return failed(f"Everybody can write to GOPATH {path} ({entry['mode']}) and replace what {shell['user']} runs "
                          "from it.", subject=subject, actual=entry["mode"], expected="0755", evidence=evidence,
                          remediation=Remediation(hint="Take the right to write from others.",
                                                  command=f"chmod o-w {shlex.quote(path)}"))
        if index == 0 and entry["writable"] is None:
            return unknown(f"Whether {shell['user']} can write to GOPATH {path} could not be told.", subject=subject, actual=path,
                           evidence=evidence)
    return passed(f"GOPATH {value} can be used.", subject=subject, actual=value, expected="an absolute, writable path",
                  evidence=evidence)


@check(
    "toolchain.env_drift",
    title="Every kind of shell gets the same Go",
    severity="medium",
    why="\"It works in my terminal\": a login shell reads ~/.profile and /etc/profile.d, a command over ssh reads neither "
        "(bash(1), INVOCATION), sudo replaces the PATH by secure_path (sudoers(5)), and units get systemd's own "
        "(systemd.exec(5)). A CI job or `sudo make install` then uses another compiler than the person who tested it, or none.",
    judged="The kinds of shell that see a go agree on its version, and on the version that GOTOOLCHAIN names, if any. The "
           "kinds in the threshold `must_see` also have to see one as soon as any other does; that alone is a low finding. By "
           "default sudo and systemd need not see a go: services run what was built before. Where no PATH has a go (it is "
           "called by its path) nothing is compared. A shell that gave no answer is unknown.",
    remediation=Remediation(hint="Put the Go where every shell looks: links in /usr/local/bin, which is in the PATH of all four.",
                            role="go_toolchain", safe="apply"),
    needs=NEEDS,
    thresholds={"must_see": Threshold(("login", "non_login"), "Kinds of shell that have to see a go where another kind does: "
                                                              "login, non_login, sudo, systemd.", choices=KINDS)},
)
def env_drift(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    shells = list(_shells(facts))
    seeing = [shell for shell in shells if shell["go"]]
    silent = [shell for shell in shells if shell["error"] and not shell["go"]]
    evidence = [_view(shell) for shell in shells]
    must_see = policy.threshold("toolchain.env_drift", "must_see", ("login", "non_login"))
    if not seeing and not silent:
        yield notapplicable("No shell has a go in its PATH: there is nothing to compare.", evidence=evidence)
        return
    for shell in silent:
        needed = shell["kind"] in ("login", "non_login")
        yield unknown(f"What {_name(shell)} sees is unknown: {shell['error']}.", subject=_label(shell), evidence=evidence,
                      severity=None if needed else "low")
    by_root = {toolchain["goroot"]: toolchain for toolchain in _toolchains(facts)}
    views: dict[str, list[str]] = {}
    for shell in seeing:
        pin = _pin(shell)
        installed = by_root.get(shell["goroot"])
        version = str((_version(installed) if installed else None) or shell["version"] or shell["go"])
        name = f"go{pin} (by GOTOOLCHAIN)" if pin is not None and not _same_version(f"go{pin}", version) else version
        views.setdefault(name, []).append(_name(shell))
    if len(views) > 1:
        words = "; ".join(f"{name} in {', '.join(labels)}" for name, labels in views.items())
        used = [by_root[shell["goroot"]] for shell in seeing if shell["goroot"] in by_root]
        theirs = _out_of_reach(used) or any(_pin(shell) for shell in seeing)
        yield failed(f"Different shells get different Gos: {words}.", actual=views, expected="one version", evidence=evidence,
                     remediation=Remediation(hint="Take the Go that is not wanted out of the users' own start files, and unset "
                                                  "GOTOOLCHAIN.", role="go_toolchain") if theirs else None)
    first = next(iter(views), "")
    blind = [shell for shell in shells if not shell["go"] and not shell["error"] and shell["kind"] in must_see] if seeing else []
    for shell in blind:
        words = f"{_name(shell)} finds no go, {_name(seeing[0])} has {first}."
        yield failed(words[0].upper() + words[1:], subject=_label(shell), actual=None, expected=first,
                     evidence=evidence, severity="low",
                     remediation=_link(by_root.get(seeing[0]["goroot"])) if len(views) == 1 else None)
    if seeing and len(views) == 1 and not blind and not _silent(facts):
        yield passed(f"Every shell that sees a go gets {first}.", actual=first, expected="one version",
                     evidence=evidence)


def _link(toolchain: Entry | None) -> Remediation | None:
    """How the Go that was found gets into every PATH; a user's own Go is not for everybody's."""
    if toolchain is None or not toolchain["goroot"] or (toolchain["kind"] == "gvm" and not toolchain.get("in_home")):
        return None
    if toolchain.get("in_home"):
        return Remediation(hint="Let the user's other start files find it too: ~/.bashrc is read by what the login file is not.",
                           role="go_toolchain")
    tools = " ".join(shlex.quote(f"{toolchain['goroot']}/bin/{name}") for name in ("go", "gofmt"))
    return Remediation(hint=env_drift.remediation.hint, command=f"sudo ln -sf {tools} /usr/local/bin/", role="go_toolchain",
                       safe="apply")


@check(
    "toolchain.ownership",
    title="Nobody else can change the toolchain",
    severity="high",
    why="Who can write bin/go, the compiler or a file of the standard library puts code into every program that is built from "
        "then on, and runs as whoever builds, often root. The official instructions unpack the archive as root "
        "(https://go.dev/doc/install); inode(7) and path_resolution(7) say who can write and rename what.",
    judged="Neither GOROOT, nor what is in its bin, pkg, lib and the upper two levels of src, nor a folder above is writable by "
           "anybody besides root and the owner of GOROOT. A group that /etc/group shows to hold nobody else, and sticky folders "
           "above, are harmless. The owner is root, or the only user whose shells use this Go, or keeps it in the own home "
           "unused by others; another owner (or a number without a name) is a medium finding, and so is every fault of a Go "
           "that no PATH has. ACLs are not read.",
    remediation=Remediation(hint="Give the tree to root and take the right to write from all others."),
    needs=NEEDS,
)
def ownership(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    weighty = _weighty(facts, policy)
    for toolchain in _toolchains(facts):
        if toolchain["goroot"] is not None:
            yield _ownership(toolchain, facts, _place(toolchain) in weighty)


def _ownership(toolchain: Entry, facts: Facts, used: bool) -> Outcome:
    subject = str(toolchain["goroot"])
    owner, mode = toolchain["owner"], toolchain["mode"]
    seen = toolchain.get("writable_seen", 1)
    facts_line = f"{subject}: owner {owner}, mode {mode}, {seen} files looked at"
    to_root = f"sudo chown -R root:root {shlex.quote(subject)} && sudo chmod -R go-w {shlex.quote(subject)}"
    holes = list(toolchain["writable_by_others"])
    if owner is None or not seen:
        return unknown(f"Who can write to {subject} could not be read: {toolchain['error'] or 'no permission'}.", subject=subject)
    if holes:
        more = f" (and {len(holes) - 1} more)" if len(holes) > 1 else ""
        if not holes[0].startswith(subject):
            remedy = Remediation(hint="A folder above GOROOT is open: take the right to write there from others.",
                                 command=f"namei -l {shlex.quote(subject)}")
        else:
            command = to_root if owner == "root" else f"sudo chmod -R go-w {shlex.quote(subject)}"
            remedy = Remediation(hint="Take the right to write from everybody but the owner.", command=command)
        return failed(f"Others can change this toolchain: {holes[0]}{more}.", subject=subject, actual=holes, expected=[],
                      evidence=[facts_line, *holes], severity=None if used else "medium", remediation=remedy)
    users = {str(shell["user"]) for shell in _shells(facts) if shell["goroot"] == subject and shell["kind"] != "systemd"}
    if owner == "root":
        return passed("Only root can write to it.", subject=subject, actual=owner, expected="root", evidence=[facts_line])
    others = ", ".join(sorted(users - {owner}))
    if not others and (users or toolchain.get("in_home")):
        return passed(f"Only {owner}, whose own it is, and root can write to it.", subject=subject, actual=owner,
                      expected="root or its only user", evidence=[facts_line])
    who = f"user id {owner}, which has no name here and goes to the next account with this number" if owner.isdigit() else owner
    return failed(f"It belongs to {who}, who can replace the compiler that {others or 'others'} may run.", subject=subject,
                  actual=owner, expected="root or its only user", evidence=[facts_line], severity="medium",
                  remediation=Remediation(hint="Give the tree to root.", command=to_root))


@check(
    "toolchain.gvm",
    title="gvm's versions are complete and are what they are called",
    severity="medium",
    why="gvm verifies no checksum and writes gos/VERSION/manifest last: an interrupted install leaves a folder that `gvm use` "
        "takes and `gvm install` calls corrupt (gvm, scripts/install); an archive of another release under the same name "
        "installs without a word. `gvm use` matches by a part of the name and takes the first hit (gvm, scripts/env/use), so "
        "a missing version is silently another one.",
    judged="For each gvm root: every version has its manifest, its bin/go and its environment file, and its VERSION file names "
           "the version that the folder is called by (folders named by hand, `master` or `tip`, are not compared); the default "
           "is a version that is there. Versions without a default are a low finding: new shells then get no Go from gvm.",
    remediation=Remediation(hint="Uninstall the version by its full name and install it again.", role="go_toolchain"),
    needs=("toolchain.gvm",),
)
def gvm(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    if policy.toolchain == "absent":
        yield notapplicable("preflight_toolchain is absent: toolchain.present judges what is there.")
        return
    roots = lookup(facts, "toolchain.gvm") or ()
    if not roots:
        yield notapplicable("There is no gvm on this host.")
    for root in roots:
        findings = list(_gvm(root))
        yield from findings
        names = ", ".join(one["name"] for one in root["versions"])
        if not names and not findings:
            yield notapplicable(f"{root['root']} holds no Go.", subject=root["root"])
        elif not findings:
            yield passed(f"{names}: complete and what it is called, the default is {root['default']}.", subject=root["root"],
                         actual=root["default"], evidence=[f"{root['root']}/gos: {names}"])


def _gvm(root: Entry) -> Iterator[Outcome]:
    place = root["root"]
    names = [version["name"] for version in root["versions"]]
    source = f". {shlex.quote(place + '/scripts/gvm')}"
    for version in root["versions"]:
        name = version["name"]
        subject = f"{place} {name}"
        again = Remediation(hint="Uninstall the version by its full name and install it again; check the archive first.",
                            command=f"{source} && gvm uninstall {shlex.quote(name)} && gvm install {shlex.quote(name)} -B",
                            role="go_toolchain")
        evidence = [f"{place}/gos/{name}/VERSION: {version['version_file']}",
                    f"{place}/gos/{name}/manifest: {'there' if version['complete'] else 'missing'}"]
        parsed, content = _parsed(name), version["version_file"]
        if not version["go"] or not version["complete"]:
            lack = "bin/go" if not version["go"] else "its manifest, which gvm writes last"
            yield failed(f"{name} under {place} is incomplete: it lacks {lack}.", subject=subject, actual="incomplete",
                         expected="complete", evidence=evidence, remediation=again)
        elif parsed is not None and content is not None and _parsed(content) != parsed:
            yield failed(f"What gvm calls {name} is {content}.", subject=subject, actual=content, expected=name,
                         evidence=evidence, remediation=again)
        elif not version["environment"]:
            yield failed(f"{name} under {place} has no environment file: `gvm use {name}` fails.", subject=subject,
                         actual="missing", expected=f"environments/{name}", evidence=evidence, remediation=again)
    whole = [version["name"] for version in root["versions"]
             if version["go"] and version["complete"] and version["environment"]
             and (None in (_parsed(version["name"]), version["version_file"])
                  or _parsed(version["version_file"]) == _parsed(version["name"]))]
    choose = Remediation(hint="Choose a default by its full name.",
                         command=f"{source} && gvm use {shlex.quote(whole[-1])} --default") if whole else Remediation(
                             hint="No version is complete: install one again, then choose it as the default by its full name.")
    default = root["default"]
    if default is not None and default not in names and default != "system":
        yield failed(f"The default of {place} is {default}, which is not installed (there are {', '.join(names) or 'none'}).",
                     subject=f"{place} default", actual=default, expected=names,
                     evidence=[f"{place}/environments/default: {default}"],
                     remediation=choose)
    elif default is None and names:
        yield failed(f"{place} has {', '.join(names)} but no default: new shells get no Go from it.", subject=f"{place} default",
                     actual=None, expected=names, severity="low", evidence=[f"{place}/environments/default: missing"],
                     remediation=choose)


# --- in action: what the subset `build` tried ---------------------------------------------------------------------------------

ACTION = ("build.toolchains", *NEEDS)
_REINSTALL = Remediation(hint="Read the last lines; where they name a file of the toolchain, install it again into an empty folder.",
                         role="go_toolchain")


def _worked(facts: Facts, policy: Policy, step: str) -> Iterator[tuple[toolwork.Work, Outcome | None]]:
    """Each Go that was tried, with the outcome of what its step cannot be judged for, else None."""
    for work in toolwork.works(facts, _weighty(facts, policy)):
        yield work, work.stopped(step)


def _not_tried(facts: Facts, policy: Policy) -> Outcome | None:
    skip = _nothing_to_judge(facts, policy)
    if skip or lookup(facts, "build.toolchains"):
        return skip
    return notapplicable("No shell has a go in its PATH, and what only lies on the disk is not tried (preflight_build: "
                         "{toolchains: all} tries it).")


def _settings_words(tried: Entry) -> str:
    values = " ".join(f"{name}={value}" for name, value in sorted(tried["values"].items()))
    return f"{values} of {' and '.join(str(shell) for shell in tried['shells'])}"


@check(
    "toolchain.build",
    title="Go builds a program, and the program runs",
    severity="high",
    why="A tree from which one file is missing, a GOROOT of another release (\"does not match go tool version\"), a compiler of "
        "another machine or a full temporary folder all answer `go version` well and fail at the first build: every pipeline that "
        "gets this host then is red, whatever the code (https://go.dev/doc/install, `go help environment`).",
    judged="As the user that builds, a module of the collection's own (two packages, no dependencies) is built with CGO_ENABLED=0 in "
           "an empty private folder, without network and without anybody's settings; the program runs and prints what it should. "
           "Then it is built once more for each set of GOROOT, GOFLAGS, GOEXPERIMENT, CC and so on that a shell with this Go has, and "
           "for a GOTMPDIR, TMPDIR or /tmp that is not there, is full or cannot be written by this user: what fails only there is the "
           "settings' fault and fails as well. Settings that name a project's own files are not tried. A bound that is reached "
           "(preflight_budget, preflight_build) is unknown, a file system without room fails. A Go that no PATH has is worth a low "
           "finding.",
    remediation=_REINSTALL,
    needs=ACTION,
    profile="standard",
)
def build(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _not_tried(facts, policy)
    if skip:
        yield skip
        return
    for work, stopped in _worked(facts, policy, "build"):
        error = work.entry["error"]
        if error is not None and error["kind"] == "space":
            yield failed(f"{work.version} has nowhere to build: {error['message']}.", subject=work.subject, actual=error["message"],
                         expected="room to build", severity=work.severity,
                         remediation=Remediation(hint="Make room in /tmp or /var/tmp, or set GOTMPDIR to a folder that has some."))
        elif stopped is not None:
            yield stopped
        else:
            yield _built(work)


def _built(work: toolwork.Work) -> Outcome:
    step, run = work.step("build") or {}, work.step("run")
    if step["rc"] != 0:
        return work.failure(step, remediation=_REINSTALL)
    noexec = run is not None and work.entry["noexec"] and (run["error"] or {}).get("kind") == "permission"
    stopped = None if noexec else work.stopped("run")
    if run is None or stopped is not None:
        return stopped or unknown(f"Whether a program of {work.version} runs is unknown.", subject=work.subject)
    if not noexec and (run["rc"] != 0 or not run["matched"]):
        return work.failure(run, what=f"{work.version} builds a program that does not run as it should ({toolwork.status(run)})",
                            more=[step], remediation=_REINSTALL)
    tried = work.entry["settings"]
    told = [f"with {_settings_words(one)}: {one['not_tried'] or toolwork.status(one['step'])}" for one in tried]
    for one in tried:
        own = one["step"]
        if own is not None and own["rc"] not in (0, None) and not toolwork.starved(own):
            remediation = Remediation(hint="Correct or unset what the reason names, in the shell's start files or by `go env -u`.")
            return work.failure(own, what=f"{work.version} builds by itself, but not with {_settings_words(one)}",
                                remediation=remediation)
    for one in tried:
        error = (one["step"] or {}).get("error")
        if error is not None and error["kind"] == "space":
            return failed(f"{work.version} builds by itself, but not with {_settings_words(one)}: {error['message']}.",
                          subject=work.subject, actual=error["message"], expected="room to build", severity=work.severity,
                          evidence=[*work.evidence(step, run), *told],
                          remediation=Remediation(hint="Make room there, or set GOTMPDIR to a folder that has some."))
    for one in tried:
        own = one["step"]
        if own is not None and (own["rc"] != 0 or own["error"] is not None):
            because = own["error"]["message"] if own["error"] else f"the memory did not suffice ({toolwork.status(own)})"
            return unknown(f"{work.version} builds by itself; whether it does with {_settings_words(one)} is unknown: "
                           f"{because}.", subject=work.subject, severity=work.severity,
                           evidence=[*work.evidence(step, run), *told])
    ran = "; it was not run, because nothing may be executed there" if noexec else ", and it runs"
    return passed(f"{work.version} builds a program in {step['seconds']:.1f} s{ran}.", subject=work.subject,
                  actual=f"{step['seconds']:.1f} s", expected="exit status 0", evidence=[*work.evidence(step, run), *told])


@check(
    "toolchain.vet",
    title="go vet works",
    severity="high",
    why="`go vet` is a gate of most pipelines and part of every plain `go test`. It needs the tool vet of this very release and the "
        "packages' export data; where either is missing or of another Go, it fails with code that is well (cmd/vet).",
    judged="`go vet` of a package that imports another ends with status 0 on the collection's own module, in the folder and build "
           "cache of toolchain.build. Not applicable where nothing is built, unknown where a bound was reached.",
    remediation=_REINSTALL,
    needs=ACTION,
    profile="standard",
)
def vet(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from _simple(facts, policy, "vet", "go vet")


@check(
    "toolchain.test",
    title="go test works",
    severity="high",
    why="`go test` compiles some 60 packages of the standard library, links a program in GOTMPDIR (else TMPDIR, else /tmp) and "
        "starts it there: on a host whose /tmp is mounted noexec, as hardening guides want it, builds work and tests end with "
        "`fork/exec ...: permission denied` (`go help environment`, mount(8)).",
    judged="`go test -vet=off -count=1 ./sum` (vet is a check of its own) ends with status 0 on the collection's own module, in the "
           "folder and build cache of toolchain.build, which lies where this user's builds do (GOTMPDIR, TMPDIR, /tmp). Not applicable "
           "where nothing is built, unknown where a bound was reached.",
    remediation=_REINSTALL,
    needs=ACTION,
    profile="standard",
)
def test(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from _simple(facts, policy, "test", "go test")


def _simple(facts: Facts, policy: Policy, name: str, words: str) -> Iterator[Outcome]:
    skip = _not_tried(facts, policy)
    if skip:
        yield skip
        return
    for work, stopped in _worked(facts, policy, name):
        step = work.step(name)
        if stopped is not None or step is None:
            yield stopped or unknown(f"{words} was not tried.", subject=work.subject)
        elif step["rc"] != 0:
            yield work.failure(step, remediation=_REINSTALL)
        else:
            yield passed(f"`{words}` of {work.version} ends well in {step['seconds']:.1f} s.", subject=work.subject,
                         actual=f"{step['seconds']:.1f} s", expected="exit status 0", evidence=work.evidence(step))


@check(
    "toolchain.fmt",
    title="gofmt is there and works",
    severity="high",
    why="gofmt is a program of its own beside go: copied or linked alone, a go works and `go fmt`, editors and the format gate of the "
        "pipeline do not. Two releases format some code in two ways, so that it must be this Go's own (https://pkg.go.dev/cmd/gofmt).",
    judged="The gofmt in the same folder as this go runs, names the one file that is not formatted and none of those that are "
           "(`gofmt -l`, which rewrites nothing).",
    remediation=Remediation(hint="Link or install gofmt beside go, from the same archive.", role="go_toolchain"),
    needs=ACTION,
    profile="standard",
)
def fmt(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _not_tried(facts, policy)
    if skip:
        yield skip
        return
    for work, stopped in _worked(facts, policy, "fmt"):
        step = work.step("fmt")
        error = step["error"] if step is not None else None
        if step is not None and work.entry["error"] is None and error is not None and error["kind"] in ("unavailable", "permission"):
            yield failed(f"{work.version} has no gofmt that can be run beside it: {error['message']}.", subject=work.subject,
                         actual=error["message"], expected=step["argv"][0], evidence=work.evidence(step), severity=work.severity)
        elif stopped is not None or step is None:
            yield stopped or unknown("gofmt was not tried.", subject=work.subject)
        elif step["rc"] != 0:
            yield work.failure(step, remediation=fmt.remediation)
        elif not step["matched"]:
            yield failed(f"{step['argv'][0]} does not tell formatted files from others: it printed "
                         f"\"{' '.join(step['output'])[:160]}\".", subject=work.subject, actual=step["output"],
                         expected=["unformatted.txt"], evidence=work.evidence(step), severity=work.severity)
        else:
            yield passed(f"{step['argv'][0]} works.", subject=work.subject, actual="exit status 0", expected="exit status 0",
                         evidence=work.evidence(step))


def _linked(headers: Entry) -> str:
    """``static``, ``a static PIE``, or what it asks for when it is started."""
    if headers["interpreter"] or headers["needed"]:
        asks = [*([str(headers["interpreter"])] if headers["interpreter"] else []), *headers["needed"]]
        return f"it asks for {', '.join(asks)}"
    return "a static PIE" if headers["type"] == "dyn" else "static"


@check(
    "toolchain.static_build",
    title="CGO_ENABLED=0 gives a program that needs nothing of the host",
    severity="medium",
    why="Images from `scratch` or distroless have no loader and no libc: a program that asks for one ends there with `no such file or "
        "directory`. CGO_ENABLED=0 alone does not say so: with -buildmode=pie such a program has an interpreter, while ldd calls it "
        "statically linked (cmd/link; ELF: PT_INTERP, DT_NEEDED).",
    judged="What `CGO_ENABLED=0 go build` gives is read: static is an executable (or PIE) without PT_INTERP and without DT_NEEDED. The "
           "same of the builds with a shell's own settings, where those say CGO_ENABLED=0.",
    remediation=Remediation(hint="Take -buildmode=pie and -linkmode=external out of GOFLAGS for programs that go into an empty image."),
    needs=ACTION,
    profile="standard",
)
def static_build(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _not_tried(facts, policy)
    if skip:
        yield skip
        return
    for work, stopped in _worked(facts, policy, "static_build"):
        step = work.step("static_build")
        if stopped is not None or step is None:
            yield stopped or unknown("A static build was not tried.", subject=work.subject)
        elif step["rc"] != 0 or step["elf"] is None:
            yield work.failure(step, remediation=_REINSTALL)
        elif step["elf"]["interpreter"] or step["elf"]["needed"]:
            yield _dynamic(work, step, f"With CGO_ENABLED=0 {work.version} builds a program that is not static")
        else:
            own = next((one for one in work.entry["settings"] if one["values"].get("CGO_ENABLED") == "0" and one["step"]
                        and one["step"]["elf"] and (one["step"]["elf"]["interpreter"] or one["step"]["elf"]["needed"])), None)
            if own is not None:
                yield _dynamic(work, own["step"], f"With {_settings_words(own)} {work.version} builds a program that is not static")
            else:
                linked = _linked(step["elf"])
                yield passed(f"What {work.version} builds with CGO_ENABLED=0 is {linked}.", subject=work.subject, actual=linked,
                             expected="static", evidence=work.evidence(step))


def _dynamic(work: toolwork.Work, step: Entry, words: str) -> Outcome:
    return failed(f"{words}: {_linked(step['elf'])}.", subject=work.subject, actual=_linked(step["elf"]), expected="static",
                  evidence=work.evidence(step), severity=work.severity)


@check(
    "toolchain.cross_build",
    title="Go builds for the other architecture",
    severity="low",
    why="Images for amd64 and arm64 are mostly built on one kind of host. A toolchain that a distribution or an image builder has "
        "trimmed, or GOFLAGS meant for one machine, breaks only the other half of the release (`go help environment`, GOARCH).",
    judged="`GOOS=linux GOARCH=arm64 go build` (amd64 on an arm64 host) with CGO_ENABLED=0 ends with status 0, and the ELF header of the "
           "result names that machine. Nothing is run.",
    remediation=_REINSTALL,
    needs=ACTION,
    profile="standard",
)
def cross_build(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _not_tried(facts, policy)
    if skip:
        yield skip
        return
    for work, stopped in _worked(facts, policy, "cross_build"):
        step = work.step("cross_build")
        if stopped is not None or step is None:
            yield stopped or unknown("A build for another machine was not tried.", subject=work.subject)
        elif step["rc"] != 0 or step["elf"] is None:
            yield work.failure(step, remediation=_REINSTALL)
        elif step["elf"]["machine"] != step["wanted"]:
            yield failed(f"{work.version} was told to build for {step['wanted']}, and built for {step['elf']['machine']}.",
                         subject=work.subject, actual=step["elf"]["machine"], expected=step["wanted"], evidence=work.evidence(step),
                         severity=work.severity)
        else:
            yield passed(f"{work.version} builds for {step['wanted']} in {step['seconds']:.1f} s.", subject=work.subject,
                         actual=step["elf"]["machine"], expected=step["wanted"], evidence=work.evidence(step))


@check(
    "toolchain.cgo",
    title="The C compiler works, where Go uses it",
    severity="low",
    why="Go links with C wherever it finds its C compiler: `net` and `os/user` of the standard library then, SQLite or Kafka drivers "
        "always. gcc without the C library's headers, or a CC that is not there, breaks these builds and no others "
        "(https://pkg.go.dev/cmd/cgo; off without a compiler since Go 1.20).",
    judged="A file with `import \"C\"` is compiled, linked and run with CGO_ENABLED=1 and the shell's own CC, CGO_CFLAGS and so on, "
           "where cgo is wanted: preflight_build.cgo is `required`; or it is `auto`, and CGO_ENABLED=1 or CC is set, or gcc (the "
           "compiler that Go takes by itself) is in the PATH of a shell with this Go and CGO_ENABLED is not 0.",
    remediation=Remediation(hint="Install a C compiler with the C library's headers (gcc and libc6-dev, glibc-devel or musl-dev), or "
                                 "build with CGO_ENABLED=0."),
    needs=ACTION,
    profile="standard",
)
def cgo(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _not_tried(facts, policy)
    if skip:
        yield skip
        return
    for work in toolwork.works(facts, _weighty(facts, policy)):
        wanted = work.entry["cgo"]
        if work.entry["error"] is None and wanted is not None and not wanted["wanted"]:
            yield notapplicable(f"cgo is not wanted here: {wanted['why']}.", subject=work.subject)
            continue
        stopped, step = work.stopped("cgo"), work.step("cgo")
        if stopped is not None or step is None:
            yield stopped or unknown("cgo was not tried.", subject=work.subject)
        else:
            yield _with_c(work, step, str((wanted or {}).get("why", "")))


def _with_c(work: toolwork.Work, step: Entry, why: str) -> Outcome:
    if step["rc"] != 0:
        return work.failure(step, what=f"cgo does not work with {work.version} ({why})", remediation=cgo.remediation)
    run = step.get("run") or {}
    noexec = work.entry["noexec"] and (run.get("error") or {}).get("kind") == "permission"
    evidence = [*work.evidence(step), f"wanted, because {why}"]
    if not noexec and (run.get("error") or run.get("rc") == -signal.SIGKILL):
        because = run["error"]["message"] if run["error"] else f"it was {toolwork.status(run)}"
        return unknown(f"Whether a program with C in it runs is unknown: {because}.", subject=work.subject,
                       evidence=evidence, severity=work.severity)
    if not noexec and (run.get("rc") != 0 or not run.get("matched")):
        known = toolwork.cause(run.get("output") or ())
        return failed(f"A program with C in it is built, but does not run ({toolwork.status({'error': None, **run})})"
                      f"{': ' + known.words if known else ''}.", subject=work.subject, actual=run.get("output"),
                      expected="exit status 0", evidence=[*evidence, *(str(line) for line in run.get("output") or ())],
                      severity=work.severity, remediation=Remediation(hint=known.hint) if known else None)
    ran = "; it was not run, because nothing may be executed there" if noexec else ", and it runs"
    return passed(f"{work.version} compiles and links C in {step['seconds']:.1f} s{ran}.", subject=work.subject,
                  actual=_linked(step["elf"]) if step["elf"] else None, expected="exit status 0", evidence=evidence)
