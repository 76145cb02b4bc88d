# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``build``: every Go that is wanted builds, runs, vets and tests a module of the collection's own.

Each toolchain has a scratch folder to itself (``scratch.py``) and fills one build cache in it, so that only the first step is a
cold build; what is cheap or matters most comes first, and what matters most of every toolchain before the rest of any. Nothing of
it reaches the network or the user's own folders.

What takes the time is the standard library, so it is compiled as cheaply as may be (:data:`QUICK`): that halves the time, more so
in an emulator. The static build is the first build, read once more; what is built for another machine, or with other settings,
imports nothing, because then only the runtime is compiled again; what is vetted imports nothing of the standard library, because
go vet looks at every package that is imported; and `go test` does without the vet that is a step of its own.

The steps are tried without anybody's settings first: they tell whether the *toolchain* works. Then the module is built once
more for each different set of settings (GOROOT, GOFLAGS, CC ... of the shells and of ``go env -w``) that the shells have which
see this Go: what only fails there is a fault of the settings. Those that name files of a project (GOFLAGS=-modfile=...) cannot
be tried in another project.
"""
from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import elf, goenv, goversion, scratch
from ansible_collections.goready.preflight.plugins.module_utils.collect import toolchain
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

#: More Gos than this are not tried on one host.
MAX_TOOLCHAINS = 8
TIMEOUT = 60.0
BOUND = 1 << 30

#: GOFLAGS of every step, quoted as cmd/go/internal/base reads it: nothing is inlined and no debug information is made. Both are
#: half of a compiler's work (measured with go1.27.3, standard library), and neither says anything about a toolchain.
QUICK = "'-gcflags=all=-l -dwarf=false'"

# The module. The go line is older than every release in use (1.18 is the first with build information), and nothing but os is
# imported: a cold build is the standard library's, with fmt it takes a third longer. Formatted by gofmt; no dependencies, so no go.sum.
MODULE = "example.org/goready/probe"
PRINTED = "goready: the sum of 2, 3 and 5 is 10\n"
_SOURCES = {
    "work/go.mod": "module %s\n\ngo 1.18\n" % MODULE,
    "work/main.go": """\
// The program that goready.preflight builds to see whether a Go toolchain works.
package main

import (
    "os"

    "%s/sum"
)

func main() {
    if sum.Of(2, 3, 5) == 10 {
        os.Stdout.WriteString("goready: the sum of 2, 3 and 5 is 10\\n")
    }
}
""" % MODULE,
    "work/sum/sum.go": """\
// Package sum adds.
package sum

// Of is the sum of the values.
func Of(values ...int) int {
    total := 0
    for _, value := range values {
        total += value
    }
    return total
}
""",
    "work/sum/sum_test.go": """\
package sum

import "testing"

func TestOf(t *testing.T) {
    if got := Of(2, 3, 5); got != 10 {
        t.Errorf("Of(2, 3, 5) = %d, want 10", got)
    }
}
""",
    # What go vet is given: it has to read what the compiler wrote of the package that this one imports. No program, for which go
    # vet would go through the runtime's thirty packages as well, and no test, for which it would compile package testing.
    "work/twice/twice.go": """\
// Package twice adds as well.
package twice

import "%s/sum"

// Of is twice the sum of the values.
func Of(values ...int) int {
    return 2 * sum.Of(values...)
}
""" % MODULE,
    # What gofmt has to name: proof that it looks. Not a .go file, so that no build sees it.
    "work/unformatted.txt": "package  main\n",
    # The same in small, where the runtime has to be compiled anew.
    "small/go.mod": "module %s/small\n\ngo 1.18\n" % MODULE,
    "small/main.go": """\
package main

func main() {
\tprintln("goready: built once more")
}
""",
    # A module of its own: with CGO_ENABLED=0 it has no file, which the patterns of the other one must not meet.
    "cgo/go.mod": "module %s/cgo\n\ngo 1.18\n" % MODULE,
    "cgo/main.go": """\
package main

// #include <stdlib.h>
import "C"

import "os"

func main() {
    if C.abs(-42) != 42 {
        os.Exit(3)
    }
    os.Stdout.WriteString("goready: cgo works\\n")
}
""",
}
# gofmt indents with tabs, this file with blanks.
FILES = {name: re.sub("(?m)^(?:    )+", lambda found: "\t" * (len(found.group()) // 4), text) for name, text in _SOURCES.items()}
UNFORMATTED = "unformatted.txt\n"
CGO_PRINTED = "goready: cgo works\n"

# What a shell or `go env -w` may set that changes how anything is built (`go help environment`). Left out: where things are
# kept, the network, GOWORK and GO111MODULE, which belong to a project.
_SETTINGS = (
    "GOROOT", "GOFLAGS", "GOEXPERIMENT", "GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOARM", "GO386", "GOTOOLDIR", "GODEBUG",
    "GO_EXTLINK_ENABLED", "CGO_ENABLED", "CC", "CXX", "AR", "PKG_CONFIG", "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS",
    "CGO_LDFLAGS")
# What the C compiler and the loader look at besides.
_C_SETTINGS = ("C_INCLUDE_PATH", "CPATH", "LIBRARY_PATH", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX")
# Where go works, the first that is set (cmd/go/internal/work, Builder.Init; os.TempDir): it makes none, and looks for no other.
_TEMPORARY = ("GOTMPDIR", "TMPDIR")
_USABLE = 'test -d "$0" && test -w "$0" && test -x "$0"'
_OF_A_PROJECT = re.compile(r"(?:^|\s)--?(?:modfile|overlay|C|pkgdir|pgo)=")

Step = Dict[str, Any]


def collect_toolchains(ctx: Context) -> List[Dict[str, Any]]:
    """``build.toolchains``: one entry for each Go that was tried, the newest first where no shell sees any."""
    if ctx.toolchain == "absent":
        return []
    if "toolchain.toolchains" not in ctx.shared:
        raise Unavailable("which Gos there are was not collected")
    trials = [_Trial(ctx, one) for one in wanted(ctx)]
    for trial in trials[MAX_TOOLCHAINS:]:
        trial.entry["error"] = {"kind": "unavailable", "message": "more than %d Gos are not tried on one host" % MAX_TOOLCHAINS}
    waiting: List[_Trial] = []
    try:
        for trial in trials[:MAX_TOOLCHAINS]:
            trial.begin()
            if waiting and trial.has_no_room():
                # The folders of the others take it up.
                _finish(waiting)
                trial.begin()
            waiting.append(trial)
        _finish(waiting)
    finally:
        for trial in trials:
            trial.close()
    return [trial.entry for trial in trials]


def _finish(waiting: List[_Trial]) -> None:
    while waiting:
        trial = waiting.pop(0)
        trial.finish()
        trial.close()


def wanted(ctx: Context) -> List[Mapping[str, Any]]:
    """The Gos that have to be tried, in the order of ``toolchain.toolchains``: those that a shell or manager sees first. On a
    host that has to have a Go and shows none in any PATH, the newest that runs; or all, where the inventory says so."""
    every: Sequence[Mapping[str, Any]] = ctx.shared.get("toolchain.toolchains") or ()
    if (ctx.active.get("build") or {}).get("toolchains") == "all":
        return list(every)
    seen = [one for one in every if _shells(ctx, one)]
    if seen or ctx.toolchain != "required":
        return seen
    return sorted((one for one in every if one["runs"]), key=_age)[:1]


def _age(one: Mapping[str, Any]) -> Tuple[bool, Tuple[int, ...]]:
    try:
        version = goversion.parse(str(one["version"]))
    except ValueError:
        return True, ()
    return False, (-version.major, -version.minor, -(version.patch or 0), int(version.prerelease))


def _shells(ctx: Context, one: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    """The shells and managers that see this Go first."""
    return [shell for shell in ctx.shared.get("toolchain.shells") or ()
            if shell["go"] and toolchain.shell_label(shell) in one["found_by"]]


def _clean(values: Mapping[str, str]) -> Dict[str, str]:
    """Settings as they may leave the host."""
    return {name: goenv.clean_value(value) for name, value in values.items() if value}


class _Trial:
    """One toolchain on its way through the steps."""

    def __init__(self, ctx: Context, one: Mapping[str, Any]) -> None:
        self.ctx = ctx
        self.one = one
        self.go = ctx.path(str(one["go"]))
        self.options: Mapping[str, Any] = ctx.active.get("build") or {}
        self.left = float(self.options.get("timeout", TIMEOUT)) * ctx.factor
        self.shells = _shells(ctx, one)
        self.root = True
        self.steps: Dict[str, Step] = {}
        self.settings: List[Dict[str, Any]] = []
        self.folder: Optional[scratch.Folder] = None
        self.entry: Dict[str, Any] = {
            "goroot": one["goroot"], "go": one["go"], "version": one["version"], "user": None, "emulated": ctx.factor > 1,
            "seen_by": [toolchain.shell_label(shell) for shell in self.shells], "base": None, "noexec": False, "error": None,
            "seconds": 0.0, "bytes": 0, "memory": 0, "steps": self.steps, "settings": self.settings, "cgo": None}

    def begin(self) -> None:
        """Make the folder and try what matters most; the folder stays for :meth:`finish`."""
        entry = self.entry
        entry["error"] = None
        if not self.one["runs"]:
            kind = "permission" if self.one["runs"] is None else "broken"
            entry["error"] = {"kind": kind, "message": self.one["error"] or "it was not asked"}
            return
        if self.ctx.budget.remaining() <= 0:
            entry["error"] = self._over()
            return
        with self._noted():
            user = self.user()
            entry["user"] = user
            self.root = scratch.account(user).pw_uid == 0
            folder = scratch.Folder(self.ctx, user=user, memory=int(self.options.get("memory", BOUND)),
                                    disk=int(self.options.get("disk", BOUND)), bases=self._bases())
            folder.__enter__()
            self.folder = folder
            entry["base"], entry["noexec"] = folder.base, folder.noexec
            for name, text in FILES.items():
                folder.write(name, text)
            self._high(folder)

    def finish(self) -> None:
        """Try the rest."""
        folder = self.folder
        if folder is not None and not self.entry["error"]:
            with self._noted():
                self._low(folder)

    def close(self) -> None:
        """Remove the folder. May be called again."""
        folder, self.folder = self.folder, None
        if folder is not None:
            with self._noted():
                folder.__exit__()

    def has_no_room(self) -> bool:
        return bool(self.folder is None and self.entry["error"] and self.entry["error"]["kind"] in ("room", "space"))

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """What goes wrong becomes ``error``, what it cost is added up."""
        begin = self.ctx.budget.spent()
        try:
            yield
        except scratch.Unusable as exc:
            self.entry["error"] = exc.error
        except OSError as exc:
            # It may have been taken away since it was found.
            kind = "permission" if isinstance(exc, PermissionError) else "unavailable"
            self.entry["error"] = {"kind": kind, "message": "%s: %s" % (self.one["go"], exc.strerror)}
        finally:
            self.entry["seconds"] = round(self.entry["seconds"] + self.ctx.budget.spent() - begin, 1)
            if self.folder is not None:
                self.entry["bytes"], self.entry["memory"] = self.folder.peak_bytes, self.folder.peak_memory

    def user(self) -> str:
        """Whose build it is: the user whose shells were looked at (``build_user``, else who called sudo, else who runs this). Root
        never runs a program that somebody else could have put there; that one is run as its owner, or as nobody."""
        try:
            subject = toolchain.subject_of(self.ctx)
        except Unavailable as exc:
            raise scratch.Unusable("unavailable", str(exc)) from None
        if subject.uid != 0:
            return subject.name
        runner = toolchain.runner_of(self.ctx, str(self.one["go"]))[1]
        # go is the least of what is run: compile, link and the library's sources lie in the same tree.
        return "nobody" if runner.uid == 0 and self.one["writable_by_others"] else runner.name

    def _roots_own(self, path: str) -> bool:
        """Whether nobody but root can change what lies there."""
        try:
            return toolchain.runner_of(self.ctx, path)[1].uid == 0
        except OSError:
            return False

    def _path(self, path: str) -> str:
        """PATH for a build: for root's without the folders in which somebody else could put a compiler."""
        if not self.root:
            return path
        return ":".join(folder for folder in goenv.split_list(path) if folder.startswith("/") and self._roots_own(folder))

    def _foreign(self, values: Mapping[str, str]) -> Optional[str]:
        """Which setting would make root run what somebody else could have put there."""
        if self.root:
            for name in ("GOROOT", "GOTOOLDIR", "CC", "CXX", "AR", "PKG_CONFIG"):
                program = values.get(name, "").split(" ", maxsplit=1)[0]
                if program.startswith("/") and os.path.exists(self.ctx.path(program)) and not self._roots_own(program):
                    return name
            if "-toolexec" in values.get("GOFLAGS", ""):
                return "GOFLAGS"
        return None

    def _over(self) -> Dict[str, str]:
        return self.ctx.budget.error()

    def _late(self) -> Dict[str, str]:
        seconds = float(self.options.get("timeout", TIMEOUT)) * self.ctx.factor
        return {"kind": "timeout", "message": "the %g s of one toolchain (preflight_build.timeout) were used up" % seconds}

    def _bases(self) -> List[str]:
        """Where the user's own builds would work."""
        found: List[str] = []
        for environment in self._environments():
            found += [environment[name] for name in _TEMPORARY if environment.get(name)]
        return list(dict.fromkeys(found))

    def _environments(self) -> Iterator[Dict[str, str]]:
        """The environment of each shell that sees this Go, with what ``go env -w`` adds. They never leave the host."""
        kept = self.ctx.shared.get(toolchain.ENVIRONMENTS) or {}
        for shell in self.shells:
            environment: Dict[str, str] = kept.get(shell["kind"]) or {}
            file = toolchain.user_file(environment)
            values = goenv.parse_env_file(toolchain.text_of(self.ctx, file) or "") if file else {}
            yield {**values, **{name: value for name, value in environment.items() if value}}

    # --- the steps --------------------------------------------------------------------------------------------------------

    def _high(self, folder: scratch.Folder) -> None:
        pure = {"CGO_ENABLED": "0", "GOFLAGS": self._flags()}
        self._gofmt(folder)
        build = self._step(folder, "build", ["build", "-o", "program", "."], pure)
        if build["error"] or build["rc"] != 0:
            for name in ("run", "static_build", "vet", "test", "cross_build", "cgo"):
                self.steps[name] = self._empty({"kind": "build", "message": "not tried, because nothing is built"})
            return
        run = self._step(folder, "run", ["./program"], {}, go=False)
        run["matched"] = run.pop("stdout") == PRINTED
        # The very same command, and what it built.
        static = self.steps["static_build"] = dict(build)
        self._read(folder, static, "work/program")
        self._step(folder, "vet", ["vet", "./twice"], pure)
        self._step(folder, "test", ["test", "-vet=off", "-count=1", "./sum"], pure)
        self._with_settings(folder)

    def _low(self, folder: scratch.Folder) -> None:
        if self.steps["build"]["rc"] != 0:
            return
        self._cgo(folder)
        arch = "amd64" if self.host_arch() == "arm64" else "arm64"
        cross = self._step(folder, "cross_build", ["build", "-o", "program", "."],
                           {"CGO_ENABLED": "0", "GOFLAGS": self._flags(), "GOOS": "linux", "GOARCH": arch}, cwd="small")
        cross["wanted"] = arch
        self._read(folder, cross, "small/program")

    def host_arch(self) -> str:
        """The machine that the toolchain builds for by itself."""
        return str((self.one.get("env") or {}).get("GOHOSTARCH") or self.one["elf_machine"] or "")

    def _flags(self, own: str = "") -> str:
        """GOFLAGS, with somebody's ``own``, which win over :data:`QUICK` where they say something else. The folder lies in no
        repository, and what lies above it is none of ours: Go 1.18 was the first to look."""
        try:
            line = goversion.parse(str(self.one["version"])).line
        except ValueError:
            line = (9, 0)  # a development tree
        words = [QUICK if line >= (1, 21) else "", own, "-buildvcs=false" if line >= (1, 18) else ""]
        return " ".join(word for word in words if word)

    @staticmethod
    def _empty(error: Optional[Dict[str, str]]) -> Step:
        return {"argv": [], "rc": None, "seconds": 0.0, "output": [], "memory": 0, "env": {}, "elf": None, "error": error}

    def _step(self, folder: scratch.Folder, name: str, argv: Sequence[str], env: Mapping[str, str], *, go: bool = True,
              cwd: str = "work", path: str = "") -> Step:
        """Run one step and keep what came of it."""
        step = self._run(folder, [self.go, *argv] if go else list(argv), env, cwd=cwd, path=path)
        self.steps[name] = step
        if go:
            del step["stdout"]
        return step

    def _run(self, folder: scratch.Folder, argv: Sequence[str], env: Mapping[str, str], *, cwd: str = "work", path: str = "") -> Step:
        if self.ctx.budget.remaining() <= 0:
            return dict(self._empty(self._over()), argv=list(argv), stdout="")
        if self.left <= 0:
            return dict(self._empty(self._late()), argv=list(argv), stdout="")
        seconds = min(self.left, self.ctx.budget.remaining())
        whole = self.ctx.budget.remaining() <= self.left
        variables = dict(env)
        if path:
            variables["PATH"] = path
        result = folder.run(argv, seconds=seconds, env=variables, cwd=cwd)
        self.left -= result.seconds
        step = dict(self._empty(result.error), **result.as_dict())
        if result.error and result.error["kind"] == "timeout":
            step["error"] = self._over() if whole else self._late()
        step["env"] = _clean(env)
        step["stdout"] = result.stdout
        return step

    @staticmethod
    def _read(folder: scratch.Folder, step: Step, name: str, *, others: bool = False) -> None:
        """Put the headers of what a step built into ``elf``. ``others``: it may be another system's program as well."""
        if step["rc"] != 0:
            return
        try:
            # Go's linker puts every header and the dynamic section's strings into the first part of the file; whole is sure.
            step["elf"] = elf.parse(elf.BytesReader(folder.read(name, 64 << 20))).as_dict()
        except (scratch.Unusable, ValueError) as exc:
            if others and isinstance(exc, ValueError):
                return
            step["error"] = {"kind": "unavailable", "message": "%s: %s" % (os.path.basename(name), exc)}

    def _gofmt(self, folder: scratch.Folder) -> None:
        """gofmt lies beside go, in every layout; a `gofmt` of the PATH may be another Go's."""
        gofmt = os.path.join(os.path.dirname(self.go), "gofmt")
        step = self._step(folder, "fmt", [gofmt, "-l", ".", "unformatted.txt"], {}, go=False)
        step["matched"] = step.pop("stdout") == UNFORMATTED

    # --- with the user's own settings -------------------------------------------------------------------------------------

    def _with_settings(self, folder: scratch.Folder) -> None:
        tried: List[Dict[str, str]] = []
        for shell, environment in zip(self.shells, self._environments()):
            values = {name: environment[name] for name in _SETTINGS if environment.get(name)}
            temporary, error = self._no_temporary(folder, shell, environment)
            values.update(temporary)
            if not values or (set(values) == {"GOROOT"} and self._same_goroot(values["GOROOT"])):
                continue
            label = toolchain.shell_label(shell)
            if values in tried:
                self.settings[tried.index(values)]["shells"].append(label)
                continue
            tried.append(values)
            entry: Dict[str, Any] = {"shells": [label], "values": _clean(values), "step": None, "not_tried": None}
            self.settings.append(entry)
            if error is not None:
                entry["step"] = self._empty(error)
                continue
            if _OF_A_PROJECT.search(values.get("GOFLAGS", "")):
                entry["not_tried"] = "GOFLAGS names files of a project"
                continue
            foreign = self._foreign(values)
            if foreign:
                entry["not_tried"] = "%s names what somebody besides root could have put there" % foreign
                continue
            variables = dict(values, GOFLAGS=self._flags(values.get("GOFLAGS", "")))
            if "TMPDIR" in values:
                variables["GOTMPDIR"] = ""
            step = self._run(folder, [self.go, "build", "-o", "own", "."], variables, cwd="small",
                             path=self._path(environment.get("PATH", "")))
            del step["stdout"]
            self._read(folder, step, "small/own", others=True)
            entry["step"] = step

    def _no_temporary(self, folder: scratch.Folder, shell: Mapping[str, Any],
                      environment: Mapping[str, str]) -> Tuple[Dict[str, str], Optional[Dict[str, str]]]:
        """The variable that names the temporary folder of this user's builds, where they can make nothing in it; and why it was not
        even tried: where it is full, go would leave things there."""
        name = next((name for name in _TEMPORARY if environment.get(name)), "TMPDIR")
        path = environment.get(name) or "/tmp"
        # What another user's shell names (sudo's, with pam_tmpdir) is not for this one.
        if not path.startswith("/") or path == folder.base or shell["user"] != self.entry["user"]:
            return {}, None
        error = folder.passed_over.get(path)
        if error is not None and error["kind"] == "space":
            return {name: path}, error
        usable = self._run(folder, ["/bin/sh", "-c", _USABLE, path], {})
        return ({name: path} if usable["rc"] not in (0, None) else {}), None

    def _same_goroot(self, path: str) -> bool:
        return bool(toolchain.real_path(self.ctx, path) == self.one["goroot"])

    # --- cgo --------------------------------------------------------------------------------------------------------------

    def _cgo(self, folder: scratch.Folder) -> None:
        asked = str(self.options.get("cgo", "auto"))
        environments = [dict(one, PATH=self._path(one.get("PATH", ""))) for one in self._environments() if not self._foreign(one)]
        environments = environments or [{"PATH": scratch.USER_PATH}]
        environment, why = self._with_compiler(environments, asked)
        self.entry["cgo"] = {"wanted": environment is not None, "why": why}
        if environment is None:
            return
        values = {name: environment[name] for name in _SETTINGS + _C_SETTINGS
                  if environment.get(name) and name.startswith(("C", "LIB", "LD_", "PKG_", "GCC_", "AR", "COMPILER_"))}
        if self.root:
            # What the compiler and the loader take programs and libraries from.
            values.update((name, self._path(values[name])) for name in _C_SETTINGS if name in values)
            values = {name: value for name, value in values.items() if value}
        values.update(CGO_ENABLED="1", GOFLAGS=self._flags())
        step = self._step(folder, "cgo", ["build", "-o", "program", "."], values, cwd="cgo", path=environment.get("PATH", ""))
        if step["error"] or step["rc"] != 0:
            return
        self._read(folder, step, "cgo/program")
        loader = {"LD_LIBRARY_PATH": values["LD_LIBRARY_PATH"]} if "LD_LIBRARY_PATH" in values else {}
        run = self._run(folder, ["./program"], loader, cwd="cgo")
        step["run"] = {"rc": run["rc"], "output": run["output"], "error": run["error"], "matched": run["stdout"] == CGO_PRINTED}

    def _with_compiler(self, environments: Sequence[Dict[str, str]], asked: str) -> Tuple[Optional[Dict[str, str]], str]:
        """(environment in which cgo is to be tried, why); None where it is not wanted.

        Go itself turns cgo off where its C compiler (CC, else gcc) is not in PATH, since 1.20; so what is there is wanted.
        """
        if asked == "absent":
            return None, "preflight_build.cgo is absent"
        for environment in environments:
            if environment.get("CGO_ENABLED") == "1":
                return environment, "CGO_ENABLED=1 is set"
        for environment in environments:
            if environment.get("CGO_ENABLED") != "0" and environment.get("CC"):
                return environment, "CC=%s is set" % goenv.clean_value(environment["CC"])
        for environment in environments:
            found = self._which("gcc", environment.get("PATH", ""))
            if environment.get("CGO_ENABLED") != "0" and found:
                return environment, "%s is in PATH" % found
        if asked == "required":
            return environments[0], "preflight_build.cgo is required"
        if all(environment.get("CGO_ENABLED") == "0" for environment in environments):
            return None, "CGO_ENABLED=0 is set"
        return None, "no C compiler is in PATH, and Go does without cgo then"

    def _which(self, name: str, path: str) -> Optional[str]:
        for folder in goenv.split_list(path)[:200]:
            candidate = os.path.join(folder, name)
            if folder.startswith("/") and os.path.isfile(self.ctx.path(candidate)) and os.access(self.ctx.path(candidate), os.X_OK):
                return candidate
        return None


PARTS = (("toolchains", collect_toolchains),)
