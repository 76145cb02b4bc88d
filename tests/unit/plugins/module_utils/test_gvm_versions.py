# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions, proofs and the taking back of what was not finished. Installing them is tested on real hosts (molecule/go_toolchain)."""
from __future__ import annotations

import gzip
import json
import os
import platform
import pwd
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import changing, gvm, gvm_go

ME = gvm.identity(pwd.getpwuid(os.geteuid()).pw_name)
KNOWN = ["1.26.9", "1.27.0", "1.27.1", "1.27.2"]
NAME = "go1.27.3"
ARCH = "amd64"


@pytest.mark.parametrize(("text", "version"), [
    ("1.27.3", "1.27.3"), ("go1.27.3", "1.27.3"), (" 1.27.3 ", "1.27.3"), ("1.27rc1", "1.27rc1"), ("1.20", "1.20"), ("1.99.0", "1.99.0"),
])
def test_exact_version(text, version):
    assert gvm_go.exact_version(text, KNOWN) == version


@pytest.mark.parametrize(("text", "message"), [
    ("1.27", "version: '1.27' is not exact; it could mean 1.27.0, 1.27.1, 1.27.2"),
    ("go1.26", "version: 'go1.26' is not exact; it could mean 1.26.9"),
    ("1.99", "version: '1.99' is not exact; the collection knows no version of that line"),
    ("1", "version: '1' is no Go version; an exact one is needed, like \"1.27.3\""),
    ("latest", "version: 'latest' is no Go version; an exact one is needed, like \"1.27.3\""),
    ("1.27.x", "version: '1.27.x' is no Go version; an exact one is needed, like \"1.27.3\""),
    ("", "version: '' is no Go version; an exact one is needed, like \"1.27.3\""),
    ("1.27.3-custom", "version: '1.27.3-custom' is not a version that upstream publishes as an archive"),
    ("1.27.3 X:boringcrypto", "version: '1.27.3 X:boringcrypto' is not a version that upstream publishes as an archive"),
])
def test_inexact_versions(text, message):
    with pytest.raises(ValueError) as caught:
        gvm_go.exact_version(text, KNOWN)
    assert str(caught.value) == message


@given(st.text() | st.from_regex(r"(go)?1\.[0-9]{1,2}(\.[0-9]{1,2})?(rc[0-9])?[^0-9]{0,3}", fullmatch=True))
def test_an_exact_version_is_a_safe_name(text):
    try:
        version = gvm_go.exact_version(text, KNOWN)
    except ValueError:
        return
    assert set(version) <= set("0123456789.rcbetalph") and gvm_go.exact_version(version, KNOWN) == version


def program(path: Path, machine: int = 62, body: bytes = b"") -> None:
    """The head of an ELF program for that machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, machine, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0) + body)


@pytest.mark.parametrize(("machine", "number", "answer"), [("x86_64", 62, "amd64"), ("aarch64", 183, "arm64")])
def test_host_arch(tmp_path, machine, number, answer):
    program(tmp_path / "python", number)
    assert gvm_go.host_arch(machine, str(tmp_path / "python")) == answer


@pytest.mark.parametrize(("machine", "number", "message"), [
    ("x86_64", 3, "this host runs 386 programs under an amd64 kernel; only hosts that are amd64 or arm64 throughout are supported"),
    ("aarch64", 40, "this host runs arm programs under an arm64 kernel; only hosts that are amd64 or arm64 throughout are supported"),
    ("riscv64", 243, "this host is riscv64 (riscv64): only amd64 and arm64 are supported, as gvm takes this architecture for s390x"),
    ("loongarch64", 258, "this host is loong64 (loongarch64): only amd64 and arm64 are supported, as gvm takes this architecture for "
                         "s390x"),
    ("armv8l", 40, "this host is arm (armv8l): only amd64 and arm64 are supported, as gvm takes this architecture for armv6l, or s390x on "
                   "armv8l"),
    ("i686", 3, "this host is 386 (i686): only amd64 and arm64 are supported, as gvm takes this architecture for i386, which upstream does "
                "not publish"),
    ("s390x", 22, "this host is s390x (s390x): only amd64 and arm64 are supported"),
    ("sparc64", 43, "this host is of an unknown architecture (sparc64): only amd64 and arm64 are supported, as gvm takes this architecture "
                    "for s390x"),
])
def test_hosts_that_are_refused(tmp_path, machine, number, message):
    program(tmp_path / "python", number)
    with pytest.raises(gvm.GvmError) as caught:
        gvm_go.host_arch(machine, str(tmp_path / "python"))
    assert str(caught.value) == message


def tree(root: Path, name: str = NAME, machine: int = 62, arch: str = ARCH) -> Path:
    """What gvm leaves of a version, as far as it is looked at."""
    goroot = root / "gos" / name
    for path in ("bin/go", "bin/gofmt", "pkg/tool/linux_%s/compile" % arch):
        program(goroot / path, machine)
    (goroot / "VERSION").write_text("%s\ntime 2026-11-05T00:00:00Z\n" % name)
    (goroot / "manifest").write_text(".\n")
    (root / "environments").mkdir(exist_ok=True)
    for suffix in ("", "@global"):
        (root / "environments" / (name + suffix)).write_text(
            'export GVM_ROOT; GVM_ROOT="%s"\nexport gvm_go_name; gvm_go_name="%s"\n'
            'export GOROOT; GOROOT="$GVM_ROOT/gos/%s"\n' % (root, name, name))
    (root / "pkgsets" / name / "global").mkdir(parents=True)
    return goroot


@pytest.fixture
def layout(tmp_path):
    for folder in ("scripts", "archive", "environments", ".goready", "gos", "pkgsets"):
        (tmp_path / "gvm" / folder).mkdir(parents=True)
    (tmp_path / "gvm" / "scripts" / "gvm").write_text("")
    return gvm.Layout(str(tmp_path / "gvm"))


def test_inspect(layout):
    assert gvm_go.inspect(layout, NAME, ARCH).kind == "absent"
    tree(Path(layout.root))
    assert gvm_go.inspect(layout, NAME, ARCH).kind == "whole"
    Path(layout.unfinished(NAME)).write_text("{}")
    assert gvm_go.inspect(layout, NAME, ARCH).kind == "absent"


def no_manifest(goroot):
    (goroot / "manifest").unlink()


def other_version(goroot):
    (goroot / "VERSION").write_text("go1.21.13\n")


def no_version(goroot):
    (goroot / "VERSION").unlink()


def other_machine(goroot):
    program(goroot / "bin/go", 183)


def no_compiler(goroot):
    (goroot / "pkg/tool/linux_amd64/compile").unlink()


def no_program(goroot):
    (goroot / "bin/gofmt").write_text("#!/bin/sh\n")


def no_environment(goroot):
    (goroot.parents[1] / "environments" / NAME).unlink()


def other_environment(goroot):
    path = goroot.parents[1] / "environments" / (NAME + "@global")
    path.write_text(path.read_text().replace("go1.27.3", "go1.27.2"))


@pytest.mark.parametrize(("spoil", "why"), [
    (no_manifest, "gvm did not finish its installation (no manifest)"),
    (other_version, "its VERSION file says go1.21.13, and not go1.27.3"),
    (no_version, "its VERSION file says nothing, and not go1.27.3"),
    (other_machine, "bin/go is a program for arm64, and this host is amd64"),
    (no_compiler, "pkg/tool/linux_amd64/compile: No such file or directory"),
    (no_program, "bin/gofmt: not an ELF file"),
    (no_environment, "{root}/environments/go1.27.3 is not the environment of go1.27.3"),
    (other_environment, "{root}/environments/go1.27.3@global is not the environment of go1.27.3"),
])
def test_broken_trees(layout, spoil, why):
    spoil(tree(Path(layout.root)))
    assert gvm_go.inspect(layout, NAME, ARCH) == gvm_go.Found("broken", why.format(root=layout.root))


GO = """#!/bin/sh
if [ "$1" = version ]; then echo "{version}"; exit {rc}; fi
cp "$(dirname "$0")/hello" "$3"
"""


def fake_go(tmp_path: Path, *, version: str = "go version go1.27.3 linux/amd64", rc: int = 0, hello: str = "") -> str:
    """A GOROOT whose bin/go says, and makes, what a test wants."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").write_text(GO.format(version=version, rc=rc))
    (tmp_path / "bin" / "hello").write_text("#!/bin/sh\n" + hello + "\n")
    for path in ("bin/go", "bin/hello"):
        (tmp_path / path).chmod(0o755)
    return str(tmp_path)


@pytest.mark.parametrize(("options", "message"), [
    ({"version": "go version go1.21.13 linux/amd64"}, "go version says go1.21.13 linux/amd64, and not go1.27.3 linux/amd64"),
    ({"version": "go version go1.27.3 linux/arm64"}, "go version says go1.27.3 linux/arm64, and not go1.27.3 linux/amd64"),
    ({"version": "Exec format error", "rc": 126}, "go version fails (rc 126): Exec format error"),
    ({"version": "", "rc": 0}, "go version fails (rc 0): it said nothing"),
], ids=["version", "arch", "broken", "mute"])
def test_go_version_that_disagrees(tmp_path, options, message):
    with pytest.raises(gvm_go.Unproven) as caught:
        gvm_go.ask_version(fake_go(tmp_path, **options), NAME, ARCH, ME, str(tmp_path), gvm.Deadline(20))
    assert (str(caught.value), caught.value.which) == (message, "binary or architecture")


def test_a_go_that_the_kernel_does_not_start(tmp_path):
    goroot = fake_go(tmp_path)
    program(tmp_path / "bin" / "go", 183 if platform.machine() == "x86_64" else 62)
    with pytest.raises(gvm_go.Unproven, match=r"^.*/bin/go cannot be started: |^go version fails"):
        gvm_go.ask_version(goroot, NAME, ARCH, ME, str(tmp_path), gvm.Deadline(20))
    (tmp_path / "bin" / "go").chmod(0o644)
    with pytest.raises(gvm_go.Unproven, match=r"^.*/bin/go cannot be started: Permission denied$"):
        gvm_go.ask_version(goroot, NAME, ARCH, ME, str(tmp_path), gvm.Deadline(20))


@pytest.mark.parametrize("said", ["go version go1.27.3 linux/amd64", "go version go1.27.3 X:nocoverageredesign linux/amd64"])
def test_go_version_that_agrees(tmp_path, said):
    gvm_go.ask_version(fake_go(tmp_path, version=said), NAME, ARCH, ME, str(tmp_path), gvm.Deadline(20))


@pytest.mark.parametrize(("hello", "message"), [
    ("echo hello", "the program that it compiles prints hello (rc 0), and not "),
    ("exit 1", "the program that it compiles prints it said nothing (rc 1), and not "),
    ("echo $(sed -n 's/.*println(\"\\([0-9a-f]*\\)\".*/\\1/p' hello.go) go1.21.13 amd64", "the program that it compiles prints "),
], ids=["fixed", "fails", "version"])
def test_a_compiled_program_that_disagrees(tmp_path, hello, message):
    with pytest.raises(gvm_go.Unproven) as caught:
        gvm_go.compile_hello(fake_go(tmp_path, hello=hello), NAME, ARCH, ME, str(tmp_path), gvm.Deadline(20))
    assert str(caught.value).startswith(message) and str(caught.value).endswith(" go1.27.3 amd64")


def test_a_compiled_program_that_agrees(tmp_path):
    hello = "echo $(sed -n 's/.*println(\"\\([0-9a-f]*\\)\".*/\\1/p' hello.go) go1.27.3 amd64"
    gvm_go.compile_hello(fake_go(tmp_path, hello=hello), NAME, ARCH, ME, str(tmp_path), gvm.Deadline(20))


def test_a_proof_takes_nothing_of_the_caller(tmp_path, monkeypatch):
    monkeypatch.setenv("GOROOT", "/elsewhere")
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    environment = gvm_go._go_environment(str(tmp_path), "/goroot")
    assert "GOROOT" not in environment and environment["GOFLAGS"] == ""
    assert {key for key, value in environment.items() if value.startswith("/") and not value.startswith(str(tmp_path))} == {"PATH"}


# What is taken back

def marked(layout, **before):
    Path(layout.unfinished(NAME)).write_text(json.dumps(before))


def test_nothing_is_taken_back_without_a_mark(layout):
    tree(Path(layout.root))
    assert gvm_go.take_back(layout, NAME, ARCH) == [] and gvm_go.inspect(layout, NAME, ARCH).kind == "whole"


def test_everything_of_an_unfinished_version_is_taken_back(layout):
    root = Path(layout.root)
    tree(root)
    tree(root, "go1.27.30")
    Path(layout.archive(NAME, ARCH)).write_text("x")
    Path(layout.default).write_text((root / "environments" / NAME).read_text())
    marked(layout, kept=[], default='gvm_go_name="go1.26.4"\n', pid=1)
    assert gvm_go.take_back(layout, NAME, ARCH) == [
        layout.goroot(NAME), layout.environment(NAME), layout.environment(NAME + "@global"), layout.packages(NAME),
        layout.archive(NAME, ARCH), layout.default]
    assert Path(layout.default).read_text() == 'gvm_go_name="go1.26.4"\n'
    assert sorted(os.listdir(root / "gos")) == ["go1.27.30"] and os.listdir(layout.own) == []


def test_what_was_there_before_stays(layout):
    root = Path(layout.root)
    tree(root)
    Path(layout.archive(NAME, ARCH)).write_text("x")
    marked(layout, kept=[layout.packages(NAME), layout.archive(NAME, ARCH)], default=None, pid=1)
    Path(layout.default).write_text('gvm_go_name="go1.26.4"\n')  # somebody else's, since
    gvm_go.take_back(layout, NAME, ARCH)
    assert os.path.exists(layout.packages(NAME)) and os.path.exists(layout.archive(NAME, ARCH))
    assert Path(layout.default).read_text() == 'gvm_go_name="go1.26.4"\n'


def test_a_default_that_was_none_is_none_again(layout):
    tree(Path(layout.root))
    Path(layout.default).write_text(Path(layout.environment(NAME)).read_text())
    marked(layout, kept=[], default=None, pid=1)
    gvm_go.take_back(layout, NAME, ARCH)
    assert not os.path.exists(layout.default)


def test_a_mark_that_is_cut_off_counts(layout):
    tree(Path(layout.root))
    Path(layout.unfinished(NAME)).write_text('{"kept": [')
    assert layout.goroot(NAME) in gvm_go.take_back(layout, NAME, ARCH)


# What check mode tells

def wanted(**values) -> gvm_go.Wanted:
    return gvm_go.Wanted(**{"version": "1.27.3", "default": False, "archive": "", "sources": [], "checksum": "a" * 64, "known": "",
                            "known_source": "", "retries": 0, **values})


def plan(layout, *, default: bool = False) -> list[tuple[str, str]]:
    found = gvm_go.inspect(layout, NAME, ARCH)
    return [(os.path.relpath(path, layout.root), action)
            for path, action, _detail in gvm_go._plan(layout, wanted(default=default), ARCH, found, "")]


NEW = [("gos/go1.27.3", "created"), ("environments/go1.27.3", "created"), ("environments/go1.27.3@global", "created"),
       ("pkgsets/go1.27.3", "created"), (".goready/go1.27.3.json", "created")]


def test_plan_for_a_new_version(layout):
    assert plan(layout) == NEW
    assert plan(layout, default=True) == [*NEW, ("environments/default", "created")]
    Path(layout.default).write_text('gvm_go_name="go1.26.4"\n')
    assert plan(layout, default=True) == [*NEW, ("environments/default", "changed")]


def test_plan_after_a_kill_is_that_of_before_it(layout):
    """Also where the killed one had switched the default already."""
    tree(Path(layout.root))
    Path(layout.default).write_text(Path(layout.environment(NAME)).read_text())
    marked(layout, kept=[], default='gvm_go_name="go1.26.4"\n', pid=1)
    before = plan(layout, default=True)
    gvm_go.take_back(layout, NAME, ARCH)
    assert before == plan(layout, default=True) == [*NEW, ("environments/default", "changed")]


def test_plan_for_what_is_there(layout):
    tree(Path(layout.root))
    assert plan(layout) == []
    assert plan(layout, default=True) == [("environments/default", "created")]
    Path(layout.default).write_text(Path(layout.environment(NAME)).read_text())
    assert plan(layout, default=True) == []


def test_plan_for_a_broken_tree(layout):
    no_manifest(tree(Path(layout.root)))
    assert plan(layout) == [("gos/go1.27.3", "changed"), ("environments/go1.27.3", "changed"), ("environments/go1.27.3@global", "changed"),
                            (".goready/go1.27.3.json", "created")]


def removed(layout, *, check_mode: bool) -> list[dict[str, str]]:
    changes = changing.Changes("gvm_go", check_mode=check_mode, root=layout.root + "-host")
    with changes:
        gvm_go.absent(layout, ME, "1.27.3", changes=changes, deadline=gvm.Deadline(20))
    return changes.changes


def test_a_removal_leaves_nothing_of_the_version_and_everything_else(layout):
    root = Path(layout.root)
    tree(root)
    tree(root, "go1.27.30")
    (root / "logs").mkdir()
    for name in ("go-go1.27.3-install.log", "go-go1.27.30-install.log"):
        (root / "logs" / name).write_text("")
    (root / "environments" / (NAME + "@mine")).write_text("")
    Path(layout.archive(NAME, ARCH) + ".part").write_text("x")
    Path(layout.default).write_text(Path(layout.environment(NAME)).read_text())
    predicted = removed(layout, check_mode=True)
    assert os.path.exists(layout.goroot(NAME))
    assert removed(layout, check_mode=False) == predicted
    assert [os.path.relpath(entry["path"], layout.root) for entry in predicted] == [
        "gos/go1.27.3", "environments/go1.27.3", "environments/go1.27.3@global", "pkgsets/go1.27.3", "environments/go1.27.3@mine",
        "environments/default"]
    names = [str(path.relative_to(root)) for path in root.rglob("*") if "1.27" in path.name or path.name == "default"]
    assert sorted(names) == ["environments/go1.27.30", "environments/go1.27.30@global", "gos/go1.27.30", "logs/go-go1.27.30-install.log",
                             "pkgsets/go1.27.30"]
    assert removed(layout, check_mode=False) == []


def test_absent_without_gvm(tmp_path):
    assert removed(gvm.Layout(str(tmp_path / "none")), check_mode=False) == []


# The archive

def test_expected_checksum(tmp_path, layout):
    def expected(**values):
        return gvm_go.expected_checksum(wanted(**values), layout, ARCH, str(tmp_path), gvm.Deadline(20))

    assert expected(known="b" * 64, known_source="the table") == ("a" * 64, "given")
    assert expected(checksum="", known="b" * 64, known_source="the table") == ("b" * 64, "the table")
    archive = tmp_path / "mine.tar.gz"
    (tmp_path / "mine.tar.gz.sha256").write_text("%s  mine.tar.gz\n" % ("c" * 64))
    assert expected(checksum="", archive=str(archive)) == ("c" * 64, "file %s.sha256" % archive)
    (tmp_path / "mine.tar.gz.sha256").unlink()
    with pytest.raises(gvm.GvmError) as caught:
        expected(checksum="", archive=str(archive))
    assert str(caught.value) == ("checksum: there is none for go1.27.3.linux-amd64.tar.gz, and what cannot be verified is not installed "
                                 "(there is no %s.sha256); give it as checksum" % archive)


def test_a_wrong_archive_is_not_kept(tmp_path, layout):
    source = tmp_path / "go1.27.3.linux-amd64.tar.gz"
    source.write_bytes(b"x")
    told = wanted(sources=["file://%s" % tmp_path])
    message = r"^archive checksum: go1\.27\.3 from file://.* has the SHA-256 2d71.*, and not a{64} \(given\); gvm has not seen it$"
    with pytest.raises(gvm.GvmError, match=message):
        gvm_go.obtain(told, layout, ARCH, "a" * 64, "given", gvm.Deadline(20))
    assert os.listdir(layout.archives) == [] and source.exists()


def test_an_archive_that_is_there_already_is_taken_where_it_is_right(layout):
    Path(layout.archive(NAME, ARCH)).write_bytes(b"x")
    right = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert gvm_go.obtain(wanted(), layout, ARCH, right, "given", gvm.Deadline(20)) == (layout.archive(NAME, ARCH),) * 2


def test_every_source_is_tried_and_told(layout, tmp_path):
    told = wanted(sources=["file://%s/one" % tmp_path, "file://%s/two" % tmp_path])
    with pytest.raises(gvm.GvmError) as caught:
        gvm_go.obtain(told, layout, ARCH, "a" * 64, "given", gvm.Deadline(20))
    assert str(caught.value) == "go1.27.3 cannot be had: " + "; ".join(
        "file://%s/%s/go1.27.3.linux-amd64.tar.gz: there is no such file" % (tmp_path, one) for one in ("one", "two"))


def test_unpacked_size(tmp_path):
    body = os.urandom(100000) + bytes(900000)
    (tmp_path / "x.gz").write_bytes(gzip.compress(body))
    assert 1000000 < gvm_go.unpacked_size(str(tmp_path / "x.gz")) < 1500000
    (tmp_path / "empty").write_bytes(b"")
    assert gvm_go.unpacked_size(str(tmp_path / "empty")) == 0


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_go_that_others_can_change_is_not_run(layout, monkeypatch, check_mode):
    monkeypatch.setattr(gvm, "missing_commands", list)
    monkeypatch.setattr(gvm_go, "host_arch", lambda: ARCH)
    (Path(layout.root) / "scripts").mkdir(exist_ok=True)
    (Path(layout.root) / "scripts" / "gvm").write_text("")
    Path(layout.goroot(NAME)).mkdir(parents=True, exist_ok=True)
    Path(layout.goroot(NAME)).chmod(0o777)
    changes = changing.Changes("gvm_go", check_mode=check_mode, root=str(Path(layout.root).parent / "host"))
    with pytest.raises(gvm.GvmError, match=r"/gos/go1\.27\.3 is writable by everybody \(0777\); close it to them first$"), changes:
        gvm_go.present(layout, ME, wanted(), changes=changes, deadline=gvm.Deadline(5))


def test_nothing_is_written_through_a_planted_link(tmp_path):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "record~").symlink_to("victim")
    gvm_go._write(str(tmp_path / "record"), "new")
    assert (tmp_path / "victim").read_text() == "kept"
    assert (tmp_path / "record").read_text() == "new" and not (tmp_path / "record~").is_symlink()


# The module's parameters

def parse(**values):
    return gvm_go.parse({"version": "1.27.3", "state": "present", "default": False, "gvm_root": "/opt/gvm", "user": "root", "archive": None,
                         "archive_remote": True, "source": ["https://go.dev/dl/"], "checksum": None, "known_checksums": {},
                         "known_versions": KNOWN, "retries": 3, "timeout": 600, **values})


def test_parse():
    told, faults = parse(checksum="sha256:" + "A" * 64, known_checksums={"amd64": "b" * 64, "arm64": "b" * 64, "source": "the table"})
    assert faults == [] and told == gvm_go.Wanted("1.27.3", False, "", ["https://go.dev/dl"], "a" * 64, "b" * 64, "the table", 3)


def test_all_faults_at_once():
    told, faults = parse(version="1.27", gvm_root="opt", checksum="x", source=["ftp://x"], retries=-1, timeout=0)
    assert told is None and [fault.split(":")[0] for fault in faults] == ["version", "gvm_root", "checksum", "source", "retries", "timeout"]
    assert faults[-2:] == ["retries: -1 is not from 0 to 20", "timeout: 0 is not from 1 to 86400"]
    assert parse(source=["http://[bad/"])[1] == ["source: http://[bad/ is no URL"]
    assert parse(source=[])[1] == ["source: an empty list, and no archive; give one of them"]
    assert parse(archive="x")[1] == ["archive: 'x' is no absolute path"]
