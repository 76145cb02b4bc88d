# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the checks of a toolchain in action read ``build.toolchains`` (docs/facts.md): one step of one Go becomes one outcome.

Public: :class:`Work`, :func:`works`, :func:`starved`, :func:`cause`, :data:`CAUSES`. Pure.

What is the toolchain's fault and what is not: a command that came to its own end with a status other than 0 is a finding. One
that was stopped at a bound, or for which the machine had no memory, is unknown: it says nothing about the toolchain.
"""
from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    AS_ROOT, Facts, Outcome, Remediation, failed, lookup, notapplicable, unknown,
)

Entry = Mapping[str, Any]


class Cause(NamedTuple):
    """What a line of a tool's output normally means: a clause for the reason, and the first thing to do."""

    pattern: str
    words: str
    hint: str


_AGAIN = "Install the toolchain again from an archive whose checksum was compared with go.dev/dl; unpack it into an empty folder."

#: In this order: what is specific first. Texts of cmd/go, cmd/compile, gcc, ld, dlopen and the kernel (errno(3)).
CAUSES = (
    Cause(r"does not match go tool version", "GOROOT names another Go than the one that runs",
          "Unset GOROOT: go finds its own. It is set in a start file, in a unit, or by `go env -w`."),
    Cause(r"cannot find GOROOT directory|GOROOT=\S* .*not found|go: cannot find GOROOT", "GOROOT names a folder that is no Go tree",
          "Unset GOROOT: go finds its own."),
    Cause(r"parsing \$GOFLAGS|go: parsing GOFLAGS|-mod may only be set to|invalid value .* for (?:flag )?-|flag provided but not defined"
          r"|unknown flag|-mod=\S+ (?:not supported|only valid)", "GOFLAGS holds what this go does not take",
          "Correct or unset GOFLAGS (`go env GOFLAGS`, `go env -u GOFLAGS`)."),
    Cause(r"creating work dir: .*no such file", "GOTMPDIR or TMPDIR names a folder that is not there",
          "Make the folder, or unset the variable: go does not make it."),
    Cause(r"creating work dir: .*(?:permission denied|read-only file system|not a directory)",
          "GOTMPDIR or TMPDIR names a folder in which this user can make nothing",
          "Unset the variable, or name a folder of the user's own."),
    Cause(r"no space left on device|disk quota exceeded", "there is no room left",
          "Make room in the temporary folder and the build cache (`go clean -cache`), or set GOTMPDIR to a folder that has some."),
    Cause(r"exec format error", "a program of the toolchain is another machine's",
          "Install the archive of this machine's architecture (`uname -m`) into an empty folder."),
    Cause(r"fork/exec \S*(?:/go-build|/goready-scratch)\S*: permission denied", "nothing may be executed in the temporary folder",
          "The temporary folder is mounted noexec: set GOTMPDIR to a folder from which programs may be run "
          "(`go env -w GOTMPDIR=...`)."),
    Cause(r"C compiler \S+ not found|\"[^\"]*(?:gcc|clang|cc)[^\"]*\": (?:executable file not found|no such file)"
          r"|fork/exec \S*(?:gcc|clang|cc): no such file", "the C compiler is not there",
          "Install a C compiler and the C library's headers (gcc with libc6-dev, glibc-devel or musl-dev), correct CC, or build "
          "with CGO_ENABLED=0."),
    Cause(r"\.h: No such file or directory|'\w+\.h' file not found", "the C library's headers are not there",
          "Install them: libc6-dev (Debian, Ubuntu), glibc-devel (RHEL, SUSE), musl-dev (Alpine)."),
    Cause(r"cannot find (?:crt1\.o|-l\w+)|ld: (?:library|cannot find)|collect2: |cannot find 'ld'",
          "the C linker fails", "Install binutils and the C library's development files (libc6-dev, glibc-devel, musl-dev)."),
    Cause(r"cgo: (?:cannot|C compiler)|\bcc1\b.*(?:not found|No such file)|gcc: (?:fatal )?error|clang: error|cgo-gcc-prolog",
          "the C compiler fails", "Try the compiler by itself (`$CC -xc -c /dev/null`), and look at CC, CGO_CFLAGS and CGO_LDFLAGS."),
    Cause(r"is not in (?:std|GOROOT)|package \S+ is not in|cannot find package", "the standard library is not whole", _AGAIN),
    Cause(r"no such tool|fork/exec \S*/pkg/tool/\S+: no such file|/pkg/tool/\S+: no such file", "a program of the toolchain is missing",
          _AGAIN),
    Cause(r"fork/exec \S*/pkg/tool/\S+: permission denied|open /\S+: permission denied|permission denied",
          "the user that builds may not read or run a part of it",
          "Give the tree's files to root and let everybody read them (`chmod -R a+rX`)."),
    Cause(r"requires go ?>= ?1|requires newer Go version", "this go is older than any that is supported",
          "Install a supported Go release."),
    Cause(r"unsupported GOOS/GOARCH", "GOOS or GOARCH names no machine that this go builds for", "Unset GOOS and GOARCH."),
    Cause(r"resource temporarily unavailable|cannot fork|newosproc|pthread_create failed", "no more processes may be started",
          "Raise the user's limit of processes (`ulimit -u`, nproc in limits.conf, TasksMax of the unit)."),
    Cause(r"could not import|invalid import data|corrupt|checksum|unexpected EOF|redeclared|undefined:|syntax error|illegal instruction"
          r"|internal compiler error", "the toolchain is damaged, or of two releases unpacked over each other", _AGAIN),
    Cause(r"error while loading shared libraries|cannot open shared object", "a shared library is missing",
          "Install the library that the line names."),
)

# What says that the machine, not the toolchain, was at its end.
_NO_MEMORY = re.compile(r"cannot allocate memory|out of memory|signal: killed", re.IGNORECASE)
# What only the collection's own try needs; see collect/build.py, QUICK.
_OURS = re.compile(r"'-gcflags=all=-l -dwarf=false'|(?<!\S)-buildvcs=false(?!\S)")
_BOUNDS = {
    "budget": "Raise preflight_budget, or let fewer toolchains be tried (preflight_build).",
    "timeout": "Raise preflight_build.timeout; a busy host takes longer, because the build is the last in the queue.",
    "memory": "Raise preflight_build.memory.",
    "disk": "Raise preflight_build.disk.",
    "room": "Make room in /tmp or /var/tmp; the build stops before it fills a file system up.",
}


def cause(lines: Iterable[str]) -> Cause | None:
    """What normally causes such an output; None where nothing is known of it."""
    text = "\n".join(lines)
    return next((one for one in CAUSES if re.search(one.pattern, text)), None)


def command(step: Entry) -> str:
    """``CGO_ENABLED=0 go build -o program .``, as a person would type it; without what only this try needs."""
    words = [str(word) for word in step["argv"]]
    if words and "/" in words[0] and not words[0].startswith("./"):
        words[0] = words[0].rsplit("/", 1)[1]
    shown = []
    for name, value in sorted((step.get("env") or {}).items()):
        if name == "GOFLAGS":
            value = " ".join(_OURS.sub("", str(value)).split())
        if value:
            shown.append(f"{name}={shlex.quote(str(value))}")
    return " ".join([*shown, *words])


def status(step: Entry) -> str:
    """How a step ended, in words."""
    rc = step["rc"]
    if rc is None:
        return str((step["error"] or {}).get("message") or "it was not tried")
    if rc >= 0:
        return f"exit status {rc}"
    try:
        return f"ended by {signal.Signals(-rc).name}"
    except ValueError:
        return f"ended by signal {-rc}"


def starved(step: Entry) -> bool:
    """Whether it was the machine's memory that was at its end, not the toolchain."""
    rc = step["rc"]
    return rc == -signal.SIGKILL or (rc not in (0, None) and _NO_MEMORY.search("\n".join(step["output"])) is not None)


@dataclass(frozen=True)
class Work:
    """One entry of ``build.toolchains``. ``severity`` replaces a finding's own where the Go is in no PATH."""

    entry: Entry
    severity: str | None = None

    @property
    def subject(self) -> str:
        return str(self.entry["goroot"] or self.entry["go"])

    @property
    def version(self) -> str:
        return str(self.entry["version"] or "this Go")

    def step(self, name: str) -> Entry | None:
        found: Entry | None = self.entry["steps"].get(name)
        return found

    def evidence(self, *steps: Entry | None) -> list[str]:
        """Each command with its status and time, then its last lines; where and as whom it was tried."""
        lines = []
        for step in steps:
            if step is not None and step["argv"]:
                lines.append(f"$ {command(step)}: {status(step)}, {step['seconds']:.1f} s")
                lines += [f"  {line}" for line in step["output"]]
        where = f"tried as {self.entry['user']}" if self.entry["user"] else ""
        if where and self.entry["base"]:
            where += f" in a folder below {self.entry['base']}" + (" (mounted noexec)" if self.entry["noexec"] else "")
        if where and self.entry["emulated"]:
            where += ", on an emulated host"
        return [*lines, *([where] if where else [])]

    def stopped(self, name: str) -> Outcome | None:
        """Why nothing can be said about a step: unknown or not applicable. None where it came to its own end."""
        error = self.entry["error"]
        if error is not None:
            if error["kind"] == "broken":
                return notapplicable(f"{self.subject} does not start: toolchain.present says so.", subject=self.subject)
            if error["kind"] == "space":
                return notapplicable("There is no room to build in: toolchain.build says so.", subject=self.subject)
            return self._unknown(error, None)
        step = self.step(name)
        if step is None:
            return self._unknown({"kind": "exception", "message": "it was not tried"}, None)
        if step["error"] is not None:
            if step["error"]["kind"] == "build":
                return notapplicable(f"{self.version} builds nothing: toolchain.build says why.", subject=self.subject)
            return self._unknown(step["error"], step)
        if starved(step):
            return self._unknown({"kind": "memory", "message": f"the memory did not suffice ({status(step)})"}, step)
        return None

    def _unknown(self, error: Mapping[str, str], step: Entry | None) -> Outcome:
        kind, message = error["kind"], error["message"]
        hint = _BOUNDS.get(kind)
        remediation = Remediation(hint=hint) if hint else AS_ROOT if kind == "permission" and "only root" in message else None
        if "there is no user" in message:
            remediation = Remediation(hint="Correct preflight_build_user, or make the user.")
        what = f"How `{command(step)}` of {self.version} ends" if step is not None and step["argv"] else f"What {self.version} does"
        return unknown(f"{what} is unknown: {message}.", subject=self.subject, evidence=self.evidence(step), severity=self.severity,
                       remediation=remediation)

    def failure(self, step: Entry, *, what: str = "", remediation: Remediation | None = None, actual: Any = None,
                more: Sequence[Entry | None] = ()) -> Outcome:
        """The finding of a step that did not do what it should; ``what`` replaces the reason's first part."""
        known = cause(step["output"])
        last = step["output"][-1].strip() if step["output"] else ""
        first = what or f"`{command(step)}` of {self.version} fails ({status(step)})"
        because = known.words if known else f"it says \"{last[:160]}\"" if last else ""
        return failed(f"{first}{': ' + because if because else ''}.", subject=self.subject,
                      actual=status(step) if actual is None else actual, expected="exit status 0" if actual is None else None,
                      evidence=self.evidence(*more, step), severity=self.severity,
                      remediation=Remediation(hint=known.hint, role=remediation.role if remediation else "") if known else remediation)


def works(facts: Facts, seen: set[str]) -> list[Work]:
    """What was tried. ``seen`` are the places (GOROOT) of the Gos whose faults are worth the full severity."""
    return [Work(entry, None if str(entry["goroot"] or entry["go"]) in seen else "low")
            for entry in lookup(facts, "build.toolchains") or ()]
