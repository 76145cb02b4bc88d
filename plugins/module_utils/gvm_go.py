# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Go version under gvm: verified before gvm sees it, installed by gvm, proven afterwards, or not there at all.

What is under way is marked by ``GVM_ROOT/.goready/goX.unfinished`` with what was there before: the next call takes back
what a killed one has left. ``GVM_ROOT/.goready/goX.json`` records the archive that an installed version was made from.
"""
from __future__ import annotations

import contextlib
import glob
import json
import os
import platform
import secrets
import sys
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote

from ansible_collections.goready.preflight.plugins.module_utils import changing, elf, goarch, goenv, goversion, gvm, gvm_fetch, redact
from ansible_collections.goready.preflight.plugins.module_utils.gvm import Deadline, GvmError, Layout, read_text
from ansible_collections.goready.preflight.plugins.module_utils.readfile import open_regular
from ansible_collections.goready.preflight.plugins.module_utils.userfiles import Identity, acting_as

#: What gvm's scripts/install maps rightly and the collection is tested on.
ARCHITECTURES = ("amd64", "arm64")
#: A Go tree of 2026 has 16,000 files; each wastes half a block of 4 KiB.
TREE_FILES = 16000
#: What compiling hello writes into its caches, with room to spare.
PROOF_ROOM = 64 << 20
#: Seconds for one step of the proof. Compiling hello takes 3 s on a small server.
PROOF_SECONDS = 60.0

HELLO = """package main

import "runtime"

func main() { println(%s, runtime.Version(), runtime.GOARCH) }
"""


class Unproven(GvmError):
    """The installed tree is not what was asked for; ``which`` of the three disagrees."""

    def __init__(self, which: str, text: str) -> None:
        super().__init__(text)
        self.which = which


class Wanted(NamedTuple):
    """What the module was asked for, validated."""

    version: str  # "1.27.3"
    default: bool
    archive: str  # a path on the host, "" for the sources
    sources: Sequence[str]
    checksum: str  # 64 hex digits, "" where none was given
    known: str  # that of the collection's data file for this architecture
    known_source: str
    retries: int
    pushed: bool = False  # the archive came from the controller, into a folder of whoever runs the module

    @property
    def name(self) -> str:
        return "go" + self.version


class Found(NamedTuple):
    """How a version is now. ``kind``: absent, whole, broken; ``why`` for broken ones."""

    kind: str
    why: str = ""


def exact_version(text: str, candidates: Sequence[str]) -> str:
    """``1.27.3`` from ``1.27.3`` or ``go1.27.3``. ValueError answers anything less exact with what it could mean."""
    try:
        version = goversion.parse(text)
    except ValueError:
        raise ValueError('version: %r is no Go version; an exact one is needed, like "1.27.3"' % text) from None
    plain = str(version)
    if version.suffix or version.pre == "devel":
        raise ValueError("version: %r is not a version that upstream publishes as an archive" % text)
    # Go 1.20 was really called go1.20.
    if version.patch is None and not version.pre and version.line >= (1, 21):
        fitting = [one for one in candidates if goversion.parse(one).line == version.line]
        hint = "it could mean %s" % ", ".join(fitting) if fitting else "the collection knows no version of that line"
        raise ValueError("version: %r is not exact; %s" % (text, hint))
    return plain


def host_arch(machine: Optional[str] = None, program: Optional[str] = None) -> str:
    """The host's GOARCH. GvmError where gvm cannot install for it, with the reason."""
    machine = machine or os.uname().machine
    arch = goarch.OF_MACHINE.get(machine)
    if machine in ("aarch64", "x86_64", "arm64"):
        with open(program or sys.executable or "/proc/self/exe", "rb") as stream:
            own = elf.parse(elf.DescriptorReader(stream.fileno())).machine
        if own != arch:
            raise GvmError("this host runs %s programs under an %s kernel; only hosts that are amd64 or arm64 throughout are "
                           "supported" % (own, arch))
    if arch not in ARCHITECTURES:
        # gvm's scripts/install (download_binary): what it does not know is s390x, and i686 is "i386".
        wrong = {"386": "i386, which upstream does not publish", "arm": "armv6l, or s390x on armv8l"}.get(arch or "", "s390x")
        if arch == "ppc64le" or arch == "s390x":
            raise GvmError("this host is %s (%s): only amd64 and arm64 are supported" % (arch, machine))
        raise GvmError("this host is %s (%s): only amd64 and arm64 are supported, as gvm takes this architecture for %s"
                       % (arch or "of an unknown architecture", machine, wrong))
    return arch


# How it is now

def inspect(layout: Layout, name: str, arch: str) -> Found:
    """Whether a version is there as gvm leaves it. Reads files only."""
    goroot = layout.goroot(name)
    if os.path.lexists(layout.unfinished(name)):
        return Found("absent")
    if not os.path.lexists(goroot):
        return Found("absent")
    if not os.path.isfile(os.path.join(goroot, "manifest")):
        return Found("broken", "gvm did not finish its installation (no manifest)")
    why = inspect_environment(layout, name)
    if why:
        return Found("broken", why)
    try:
        check_tree(goroot, name, arch)
    except Unproven as exc:
        return Found("broken", str(exc))
    return Found("whole")


def check_tree(goroot: str, name: str, arch: str) -> None:
    """Unproven where the VERSION file or the programs' architecture are not those of the wanted version."""
    told = goenv.version_line(read_text(os.path.join(goroot, "VERSION"))) or "nothing"
    if told != name:
        raise Unproven("VERSION", "its VERSION file says %s, and not %s" % (told, name))
    for program in ("bin/go", "bin/gofmt", "pkg/tool/linux_%s/compile" % arch):
        path = os.path.join(goroot, program)
        try:
            with os.fdopen(open_regular(path), "rb") as stream:
                machine = elf.parse(elf.DescriptorReader(stream.fileno())).machine
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise Unproven("binary or architecture", "%s: %s" % (program, reason)) from None
        if machine != arch:
            raise Unproven("binary or architecture", "%s is a program for %s, and this host is %s" % (program, machine, arch))


def _go_environment(scratch: str, goroot: str) -> Dict[str, str]:
    """The environment of a proof: nothing of the host's, no GOROOT, no network, every cache in the scratch folder."""
    return {
        "PATH": os.path.join(goroot, "bin") + ":" + gvm.SYSTEM_PATH, "HOME": scratch, "XDG_CONFIG_HOME": scratch, "TMPDIR": scratch,
        "GOTMPDIR": scratch, "GOCACHE": os.path.join(scratch, "cache"), "GOPATH": os.path.join(scratch, "path"), "GOENV": "off",
        "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "", "GO111MODULE": "off", "CGO_ENABLED": "0", "LC_ALL": "C",
    }


def _run(argv: Sequence[str], who: Identity, scratch: str, goroot: str, deadline: Deadline, what: str) -> Tuple[int, str]:
    """(rc, output) of a program of the proof. Unproven where the kernel does not start it (another format, noexec)."""
    try:
        return gvm.run(argv, who, env=_go_environment(scratch, goroot), cwd=scratch, deadline=deadline, what=what)
    except OSError as exc:
        raise Unproven("binary or architecture", "%s cannot be started: %s" % (argv[0], exc.strerror)) from None


def ask_version(goroot: str, name: str, arch: str, who: Identity, scratch: str, deadline: Deadline) -> None:
    """Unproven where ``go version`` is not that of the wanted one."""
    rc, output = _run([os.path.join(goroot, "bin", "go"), "version"], who, scratch, goroot, deadline, "go version")
    # "go version go1.27.3 linux/amd64"; experiments and vendors add words in between.
    words = output.split()
    if rc != 0 or words[:2] != ["go", "version"] or len(words) < 4:
        raise Unproven("binary or architecture", "go version fails (rc %d): %s" % (rc, gvm.tail(output, 2)))
    if words[2] != name or words[-1] != "linux/" + arch:
        raise Unproven("binary or architecture", "go version says %s %s, and not %s linux/%s" % (words[2], words[-1], name, arch))


def compile_hello(goroot: str, name: str, arch: str, who: Identity, scratch: str, deadline: Deadline) -> None:
    """Unproven where a small program cannot be compiled, does not run, or was not made by this version."""
    word = secrets.token_hex(8)
    source = os.path.join(scratch, "hello.go")
    with open(source, "w", encoding="utf-8") as stream:
        stream.write(HELLO % json.dumps(word))
    rc, output = _run([os.path.join(goroot, "bin", "go"), "build", "-o", "hello", source], who, scratch, goroot, deadline,
                      "compiling hello with %s" % name)
    if rc != 0:
        raise Unproven("binary or architecture", "it does not compile a small program (rc %d): %s" % (rc, gvm.tail(output)))
    rc, output = _run([os.path.join(scratch, "hello")], who, scratch, goroot, deadline, "running hello")
    if rc != 0 or output.split() != [word, name, arch]:
        raise Unproven("binary or architecture", "the program that it compiles prints %s (rc %d), and not %s %s %s"
                       % (gvm.tail(output, 2), rc, word, name, arch))


def is_default(layout: Layout, name: str) -> bool:
    """Whether ``environments/default``, which login shells read, is that of the version, to the byte."""
    text = read_text(layout.default)
    return bool(text) and text == read_text(layout.environment(name))


def read_record(layout: Layout, name: str) -> Dict[str, Any]:
    """What was recorded of an installed version; empty for one that was installed by hand."""
    try:
        document = json.loads(read_text(layout.record(name)) or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


# One at a time, and no half things

@contextlib.contextmanager
def _scratch(layout: Layout) -> Iterator[str]:
    """A folder for caches and small programs. Beside the Go trees, as programs from there have to run anyway and /tmp may
    be mounted noexec."""
    path = os.path.join(layout.own, "scratch")
    os.makedirs(layout.own, 0o755, exist_ok=True)
    gvm.remove_tree(path)
    os.mkdir(path, 0o700)
    # Go's commands leave a child behind that counts them (telemetry, Go >= 1.23), unless this file forbids it.
    for folder in (os.path.join(path, "go", "telemetry"), os.path.join(path, ".config", "go", "telemetry")):
        os.makedirs(folder)
        with open(os.path.join(folder, "mode"), "w", encoding="ascii") as stream:
            stream.write("off\n")
    try:
        yield path
    finally:
        gvm.remove_tree(path)


def _write(path: str, text: str) -> None:
    part = path + "~"
    gvm.remove_tree(part)
    # What somebody has put there in between is not written through.
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, path)


def _pieces(layout: Layout, name: str, arch: str) -> List[str]:
    """Every path that an installation makes, in the order in which they are taken back: gvm takes a tree without its
    environment for whole, so the tree goes first."""
    return [layout.goroot(name), layout.environment(name), layout.environment(name + "@global"), layout.packages(name),
            layout.archive(name, arch), layout.record(name)]


def _begin(layout: Layout, name: str, arch: str) -> None:
    """Mark the version as under way, with what is to stay when it is taken back."""
    kept = [path for path in (layout.packages(name), layout.archive(name, arch)) if os.path.lexists(path)]
    default = read_text(layout.default) if os.path.lexists(layout.default) else None
    _write(layout.unfinished(name), json.dumps({"kept": kept, "default": default, "pid": os.getpid()}))


def _before(layout: Layout, name: str) -> Tuple[Optional[List[str]], Optional[str]]:
    """(what stays when an unfinished installation is taken back, None where there is none; the default's text before it)."""
    default = read_text(layout.default) if os.path.lexists(layout.default) else None
    if not os.path.lexists(layout.unfinished(name)):
        return None, default
    try:
        before = json.loads(read_text(layout.unfinished(name)))
    except ValueError:
        before = {}
    if goenv.gvm_default(default or "") == name and "default" in before:
        default = before["default"]
    return list(before.get("kept", [])), default


def take_back(layout: Layout, name: str, arch: str) -> List[str]:
    """Remove what an unfinished installation has left; the paths that were there. Nothing where none is marked."""
    marker = layout.unfinished(name)
    kept, default = _before(layout, name)
    if kept is None:
        return []
    done = []
    for path in _pieces(layout, name, arch):
        if path not in kept and os.path.lexists(path):
            gvm.remove_tree(path)
            done.append(path)
    if default is None and os.path.lexists(layout.default):
        os.unlink(layout.default)
        done.append(layout.default)
    elif default is not None and default != read_text(layout.default):
        _write(layout.default, default)
        done.append(layout.default)
    os.unlink(marker)
    return done


# The archive

def expected_checksum(wanted: Wanted, layout: Layout, arch: str, scratch: str, deadline: Deadline) -> Tuple[str, str]:
    """(checksum, where it is from): given, from the data file, or from where the archive is. GvmError where there is none."""
    if wanted.checksum:
        return wanted.checksum, "given"
    if wanted.known:
        return wanted.known, wanted.known_source
    name = os.path.basename(layout.archive(wanted.name, arch))
    reasons: List[str] = []
    if wanted.archive:
        beside = wanted.archive + ".sha256"
        found = gvm_fetch.checksum_from_file(read_text(beside), os.path.basename(wanted.archive)) \
            or gvm_fetch.checksum_from_file(read_text(beside), name)
        if found:
            return found, "file %s" % beside
        reasons.append("%s does not tell it" % beside if os.path.exists(beside) else "there is no %s" % beside)
    for source in [] if wanted.archive else wanted.sources:
        try:
            found, place, why = gvm_fetch.find_checksum(source, name, scratch, deadline=deadline, retries=wanted.retries)
        except GvmError as exc:
            reasons.append(str(exc))
            continue
        if found:
            return found, place
        reasons += why
    raise GvmError("checksum: there is none for %s, and what cannot be verified is not installed (%s); give it as checksum"
                   % (name, "; ".join(reasons)))


def obtain(wanted: Wanted, layout: Layout, arch: str, checksum: str, place: str, deadline: Deadline) -> Tuple[str, str]:
    """(path of a verified archive, where it is from). It is a ``.part``, which gvm does not look at, or the archive that was
    there already."""
    final = layout.archive(wanted.name, arch)
    part = final + ".part"
    os.makedirs(layout.archives, 0o755, exist_ok=True)
    if os.path.isfile(final) and gvm_fetch.hash_file(final, deadline) == checksum:
        return final, final
    if wanted.archive:
        if not _is_file(wanted.archive, wanted.pushed):
            raise GvmError("archive: there is no file %s on the host" % wanted.archive)
        gvm_fetch.fetch("file://" + quote(wanted.archive), part, deadline=deadline, retries=0, pushed=wanted.pushed)
        _verify(wanted, part, checksum, place, wanted.archive, deadline)
        return part, wanted.archive
    reasons: List[str] = []
    for source in wanted.sources:
        url = "%s/%s" % (source, os.path.basename(final))
        shown = redact.redact_url(url)
        try:
            resumed = os.path.exists(part) and os.path.getsize(part) > 0 and not url.startswith("file:")
            gvm_fetch.fetch(url, part, deadline=deadline, retries=wanted.retries)
            if resumed and gvm_fetch.hash_file(part, deadline) != checksum:
                # Its beginning came from elsewhere, or from another day.
                os.unlink(part)
                gvm_fetch.fetch(url, part, deadline=deadline, retries=wanted.retries)
            _verify(wanted, part, checksum, place, shown, deadline)
            return part, shown
        except GvmError as exc:
            reasons.append(str(exc))
    raise GvmError("%s cannot be had: %s" % (wanted.name, "; ".join(reasons)) if len(reasons) != 1 else reasons[0])


def _is_file(path: str, pushed: bool) -> bool:
    if os.path.isfile(path) or not pushed:
        return os.path.isfile(path)
    with gvm.as_called():
        return os.path.isfile(path)


def _verify(wanted: Wanted, path: str, checksum: str, place: str, source: str, deadline: Deadline) -> None:
    found = gvm_fetch.hash_file(path, deadline)
    if found != checksum:
        os.unlink(path)
        raise GvmError("archive checksum: %s from %s has the SHA-256 %s, and not %s (%s); gvm has not seen it"
                       % (wanted.name, source, found, checksum, place))


def unpacked_size(path: str) -> int:
    """Bytes that a Go archive takes on the disk: gzip's ISIZE (RFC 1952, 2.3.1), and what many small files waste."""
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        stream.seek(max(0, size - 4))
        inner = int.from_bytes(stream.read(4), "little")
    # ISIZE counts modulo 4 GiB, and only the last of several members. A small archive has few files.
    inner = max(inner, size)
    return inner + min(inner // 4, TREE_FILES * 2048)


def _require_room(layout: Layout, path: str, name: str) -> None:
    gvm_fetch.require_space(layout.root, unpacked_size(path) + PROOF_ROOM, "unpacking %s" % name)
    about = os.statvfs(layout.root)
    if about.f_files and about.f_favail < TREE_FILES and os.path.getsize(path) > (20 << 20):
        raise GvmError("unpacking %s needs %d inodes in %s, where %d are free" % (name, TREE_FILES, layout.root, about.f_favail))


# present

def present(layout: Layout, who: Identity, wanted: Wanted, *, changes: changing.Changes, deadline: Deadline) -> Dict[str, Any]:
    """Let the version be installed, proven, and the default where that is wanted. Returns what the module returns."""
    arch = host_arch()
    name = wanted.name
    problems: List[str] = []
    if not layout.installed():
        text = "gvm_root: there is no gvm in %s; install it with goready.preflight.gvm" % layout.root
        if not changes.check_mode:
            raise GvmError(text)
        problems.append(text)
    gvm.require_commands(problems, changes.check_mode)
    if changes.check_mode:
        if os.path.isdir(layout.root):
            gvm.require_closed(layout, who, name)
        # Its folders are read with its own rights.
        with acting_as(who):
            return _predict(layout, wanted, arch, changes, deadline, problems)
    gvm.require_closed(layout, who, name)
    with acting_as(who), gvm.locked(layout, deadline) as lock, _scratch(layout) as scratch:
        changes.recovered += take_back(layout, name, arch)
        found = inspect(layout, name, arch)
        if found.kind == "whole":
            _agrees_with_record(layout, wanted)
            try:
                ask_version(layout.goroot(name), name, arch, who, scratch, _slow(deadline))
            except Unproven as exc:
                found = Found("broken", str(exc))
        have: Dict[str, Any] = read_record(layout, name) if found.kind == "whole" else {}
        poison = ""
        if found.kind != "whole":
            sum_of, place = expected_checksum(wanted, layout, arch, scratch, deadline)
            path, origin = obtain(wanted, layout, arch, sum_of, place, deadline)
            poison = _poison(layout, name, arch, sum_of, deadline)
            _require_room(layout, path, name)
            if found.kind == "broken":
                gvm.refuse_if_used("%s is broken (%s), but" % (name, found.why), [layout.goroot(name)])
            have = {"version": wanted.version, "arch": arch, "sha256": sum_of, "checksum_source": place, "archive_source": origin}
        planned = _plan(layout, wanted, arch, found, poison)
        if planned:
            try:
                if found.kind != "whole":
                    _install(layout, who, wanted, arch, path, have, scratch, deadline, lock)
                if wanted.default and not is_default(layout, name):
                    _make_default(layout, who, name, arch, scratch, deadline, lock)
                if found.kind != "whole":
                    os.unlink(layout.unfinished(name))
            except BaseException:
                take_back(layout, name, arch)
                raise
        _note(changes, planned)
        return _result(layout, wanted, arch, have)


def _slow(deadline: Deadline) -> Deadline:
    """The deadline of a step of the proof: its own, longer on an emulated host, and not less than is left of the whole.

    The whole is a bound for what may hang (mirrors); a proof that has begun is worth its time."""
    return Deadline(max(PROOF_SECONDS * gvm.slowness(), deadline.end - time.monotonic()))


def _agrees_with_record(layout: Layout, wanted: Wanted) -> None:
    record = read_record(layout, wanted.name)
    have, source = record.get("sha256"), record.get("checksum_source")
    want = wanted.checksum or ("" if source == "given" else wanted.known)
    if have and want and have != want:
        raise GvmError("archive checksum: %s was installed from an archive with the SHA-256 %s (%s), and not %s; remove it first with "
                       "state: absent" % (wanted.name, have, source, want))


def _poison(layout: Layout, name: str, arch: str, checksum: str, deadline: Deadline) -> str:
    """gvm's own archive of the version where it is another one: gvm would take it without a look."""
    path = layout.archive(name, arch)
    if os.path.lexists(path) and (not os.path.isfile(path) or gvm_fetch.hash_file(path, deadline) != checksum):
        return path
    return ""


def _plan(layout: Layout, wanted: Wanted, arch: str, found: Found, poison: str) -> List[Tuple[str, str, str]]:
    """(path, action, detail) of everything that will be changed; check mode records the same."""
    name = wanted.name
    planned: List[Tuple[str, str, str]] = []
    if poison:
        planned.append((poison, "removed", "an archive with another SHA-256"))
    kept, default = _before(layout, name)
    if found.kind != "whole":
        planned.append((layout.goroot(name), "changed" if found.kind == "broken" else "created", "%s for linux/%s" % (name, arch)))
        for path in (layout.environment(name), layout.environment(name + "@global"), layout.packages(name), layout.record(name)):
            there = os.path.lexists(path) and (kept is None or path in kept)
            # What is in an existing package set is its users'.
            if path != layout.packages(name) or not there:
                planned.append((path, "changed" if there else "created", ""))
    if wanted.default and not (is_default(layout, name) and kept is None and not inspect_environment(layout, name)):
        before = goenv.gvm_default(default or "") or "none"
        planned.append((layout.default, "created", "to " + name) if default is None
                       else (layout.default, "changed", "%s to %s" % (before, name)))
    return planned


def _note(changes: changing.Changes, planned: Sequence[Tuple[str, str, str]]) -> None:
    for path, action, detail in planned:
        if not changes.check_mode and os.path.lexists(path) == (action == "removed"):
            raise GvmError("%s should have been %s and was not" % (path, action))
        changes.note(path, action, detail)


def _predict(layout: Layout, wanted: Wanted, arch: str, changes: changing.Changes, deadline: Deadline,
             problems: List[str]) -> Dict[str, Any]:
    import tempfile

    name = wanted.name
    found = inspect(layout, name, arch)
    have: Dict[str, Any] = {}
    poison = ""
    if found.kind == "whole":
        _agrees_with_record(layout, wanted)
        have = read_record(layout, name)
    else:
        try:
            # Not in the module's own temporary folder, which is that of whoever runs it.
            with tempfile.TemporaryDirectory(prefix="goready-", dir="/tmp") as scratch:
                sum_of, place = expected_checksum(wanted, layout, arch, scratch, deadline)
            have = {"sha256": sum_of, "checksum_source": place}
            poison = _poison(layout, name, arch, sum_of, deadline)
        except GvmError as exc:
            problems.append(str(exc))
        if wanted.archive and not _is_file(wanted.archive, wanted.pushed):
            problems.append("archive: there is no file %s on the host" % wanted.archive)
    _note(changes, _plan(layout, wanted, arch, found, poison))
    answer = _result(layout, wanted, arch, have)
    answer["default"] = answer["default"] or wanted.default
    answer["problems"] = problems
    return answer


def _result(layout: Layout, wanted: Wanted, arch: str, have: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "goroot": layout.goroot(wanted.name), "go_version": wanted.name, "arch": arch, "gvm_root": layout.root,
        "default": is_default(layout, wanted.name), "checksum": have.get("sha256"), "checksum_source": have.get("checksum_source"),
        "archive_source": have.get("archive_source"),
    }


def _install(layout: Layout, who: Identity, wanted: Wanted, arch: str, path: str, record: Dict[str, Any], scratch: str,
             deadline: Deadline, lock: int) -> None:
    """From a verified archive to a proven version. The caller takes back what it leaves when it fails."""
    name = wanted.name
    final = layout.archive(name, arch)
    if path != final and os.path.lexists(final):
        os.unlink(final)
    _begin(layout, name, arch)
    # gvm would uninstall a broken one itself, by a search for something like its name.
    for old in _pieces(layout, name, arch):
        if old not in (layout.packages(name), final):
            gvm.remove_tree(old)
    if path != final:
        os.rename(path, final)
    slow = _slow(deadline)
    rc, output = gvm.call(layout, ["install", name, "-B"], who, scratch=scratch, deadline=slow, pass_fds=(lock,))
    if rc != 0 or not os.path.isfile(os.path.join(layout.goroot(name), "manifest")):
        raise GvmError("gvm install %s -B failed (rc %d): %s" % (name, rc, gvm.tail(output + _unpack_log(layout, name))))
    goroot = layout.goroot(name)
    try:
        check_tree(goroot, name, arch)
        ask_version(goroot, name, arch, who, scratch, slow)
        compile_hello(goroot, name, arch, who, scratch, slow)
        found = inspect_environment(layout, name)
        if found:
            raise Unproven("binary or architecture", found)
    except Unproven as exc:
        raise Unproven(exc.which, "%s: the archive's checksum is right (%s), but %s (%s); everything of it was removed"
                       % (name, record["checksum_source"], exc, exc.which)) from None
    if path != final:
        # It has served; gvm keeps 70 MB a version for nothing.
        os.unlink(final)
    _write(layout.record(name), json.dumps(record, indent=2, sort_keys=True) + "\n")


def inspect_environment(layout: Layout, name: str) -> str:
    """Why the environment files are not gvm's for this version, "" where they are."""
    for path in (layout.environment(name), layout.environment(name + "@global")):
        text = read_text(path)
        if goenv.gvm_default(text) != name or 'GOROOT="$GVM_ROOT/gos/%s"' % name not in text:
            return "%s is not the environment of %s" % (path, name)
    return ""


def _unpack_log(layout: Layout, name: str) -> str:
    return "\n" + "\n".join(read_text(os.path.join(layout.root, "logs", "go-%s-download-binary" % name)).splitlines()[-3:])


def _make_default(layout: Layout, who: Identity, name: str, arch: str, scratch: str, deadline: Deadline, lock: int) -> None:
    """``gvm use NAME --default``. gvm takes the first version whose name contains the words: looked at afterwards."""
    before = read_text(layout.default) if os.path.lexists(layout.default) else None
    rc, output = gvm.call(layout, ["use", name, "--default"], who, scratch=scratch, deadline=_slow(deadline), pass_fds=(lock,))
    if rc == 0 and is_default(layout, name):
        return
    now = goenv.gvm_default(read_text(layout.default)) or "none"
    if before is None:
        gvm.remove_tree(layout.default)
    else:
        _write(layout.default, before)
    raise GvmError("gvm use %s --default left %s as the default (rc %d): %s; it was set back" % (name, now, rc, gvm.tail(output)))


# absent

def absent(layout: Layout, who: Identity, version: str, *, changes: changing.Changes, deadline: Deadline) -> Dict[str, Any]:
    """Let the version not be there. Refused while a process or a unit uses it."""
    name = "go" + version
    arch = goarch.OF_MACHINE.get(platform.machine(), platform.machine())
    answer: Dict[str, Any] = {"goroot": layout.goroot(name), "go_version": name, "arch": arch, "gvm_root": layout.root, "default": False,
                              "checksum": None, "checksum_source": None, "archive_source": None}
    if not os.path.isdir(layout.root):
        return answer
    paths = [path for path in _pieces(layout, name, arch) + sorted(_pkgset_environments(layout, name)) if os.path.lexists(path)]
    was_default = goenv.gvm_default(read_text(layout.default)) == name
    planned = [(path, "removed", "") for path in dict.fromkeys(paths)]
    if was_default:
        planned.append((layout.default, "removed", "it named %s" % name))
    gvm.require_closed(layout, who, name)
    if planned:
        gvm.refuse_if_used(name, [layout.goroot(name), layout.packages(name)])
    if not changes.check_mode:
        with acting_as(who):
            if not (planned or os.path.lexists(layout.unfinished(name)) or _traces(layout, name, arch)):
                return answer
            with gvm.locked(layout, deadline):
                # Half a tree may look like a whole one: marked as what is to be taken back.
                os.makedirs(layout.own, 0o755, exist_ok=True)
                _write(layout.unfinished(name), json.dumps({"kept": [], "pid": os.getpid()}))
                # The default first: a shell that starts now must not be sent to a tree that is going.
                for path in ([layout.default] if was_default else []) + [path for path, _action, _detail in planned]:
                    gvm.remove_tree(path)
                for path in _traces(layout, name, arch):
                    gvm.remove_tree(path)
                gvm.remove_tree(layout.unfinished(name))
    _note(changes, planned)
    return answer


def _pkgset_environments(layout: Layout, name: str) -> List[str]:
    return glob.glob(glob.escape(layout.environment(name)) + "@*")


def _traces(layout: Layout, name: str, arch: str) -> List[str]:
    """What is not worth an entry: a download that was not finished, gvm's logs."""
    logs = os.path.join(glob.escape(os.path.join(layout.root, "logs")), "go-%s-*" % glob.escape(name))
    part = layout.archive(name, arch) + ".part"
    return ([part] if os.path.lexists(part) else []) + sorted(glob.glob(logs))


# What the module was given

def parse(params: Dict[str, Any]) -> Tuple[Optional[Wanted], List[str]]:
    """(what is wanted, None) or (None, every fault of the parameters)."""
    faults: List[str] = []
    values: Dict[str, Any] = {"version": "", "checksum": "", "sources": []}

    def take(key: str, function: Any) -> None:
        try:
            values[key] = function()
        except ValueError as exc:
            faults.append(str(exc))

    take("version", lambda: exact_version(params["version"], params["known_versions"]))
    take("root", lambda: gvm.check_root(params["gvm_root"]))
    if params["checksum"]:
        take("checksum", lambda: gvm_fetch.normal_checksum(params["checksum"]))
    for source in params["source"]:
        take("source", lambda source=source: values["sources"].append(gvm_fetch.check_source(source)))
    if not params["source"] and not params["archive"]:
        faults.append("source: an empty list, and no archive; give one of them")
    if params["archive"] and not params["archive"].startswith("/"):
        faults.append("archive: %r is no absolute path" % params["archive"])
    for key, least, most in (("retries", 0, 20), ("timeout", 1, 86400)):
        if not least <= params[key] <= most:
            faults.append("%s: %d is not from %d to %d" % (key, params[key], least, most))
    if faults:
        return None, faults
    known = params["known_checksums"]
    return Wanted(
        version=values["version"], default=params["default"], archive=params["archive"] or "", sources=values["sources"],
        checksum=values["checksum"], known=str(known.get(goarch.OF_MACHINE.get(platform.machine(), ""), "")),
        known_source=str(known.get("source", "the collection's table")), retries=params["retries"], pushed=not params["archive_remote"]), []
