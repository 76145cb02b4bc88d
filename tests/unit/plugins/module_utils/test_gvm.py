# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gvm itself: paths, commits, who uses what. Its installation is tested on real hosts (molecule/go_toolchain)."""
from __future__ import annotations

import os
import pwd
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import changing, gvm, redact

ME = gvm.identity(pwd.getpwuid(os.geteuid()).pw_name)
GO = "/opt/gvm/gos/go1.26.4"


@pytest.mark.parametrize(("path", "good"), [
    ("/opt/gvm", "/opt/gvm"), ("/opt/gvm/", "/opt/gvm"),
    ("/home/deploy/.gvm", "/home/deploy/.gvm"), ("/srv/a@b+c-d_e/f", "/srv/a@b+c-d_e/f"),
])
def test_check_root(path, good):
    assert gvm.check_root(path) == good


@pytest.mark.parametrize("path", ["", "/", "gvm", "/opt/my gvm", "/opt/gvm;id", "/opt/../etc", "/opt/./gvm", "/opt//gvm", "/opt/$HOME",
                                  "~/.gvm"])
def test_check_root_refuses(path):
    with pytest.raises(ValueError, match=r"^gvm_root: .* is no absolute path of letters, digits and"):
        gvm.check_root(path)


@given(st.text())
def test_check_root_gives_what_a_shell_takes_as_one_word(text):
    try:
        path = gvm.check_root(text)
    except ValueError:
        return
    assert path.startswith("/") and not set(path) & set(" \t\n'\"\\$`;&|<>()*?[]{}!#~") and ".." not in path.split("/")


SHA = "dd652539fa4b771840846f8319fad303c7d0a8d2"


@pytest.mark.parametrize(("files", "commit"), [
    ({"HEAD": SHA + "\n"}, SHA),
    ({"HEAD": "ref: refs/heads/master\n", "refs/heads/master": SHA + "\n"}, SHA),
    ({"HEAD": "ref: refs/heads/master\n", "packed-refs": "# pack-refs with: peeled\n%s refs/heads/master\n" % SHA}, SHA),
    ({"HEAD": "ref: refs/heads/master\n", "packed-refs": "%s refs/heads/master2\n" % SHA}, None),
    ({"HEAD": "ref: refs/heads/a", "refs/heads/a": "ref: refs/heads/a"}, None),
    ({"HEAD": "garbage"}, None),
    ({}, None),
], ids=["detached", "loose", "packed", "other", "circle", "garbage", "empty"])
def test_parse_head(files, commit):
    assert gvm.parse_head(files) == commit


@given(st.dictionaries(st.sampled_from(["HEAD", "packed-refs", "refs/heads/master"]), st.text()))
def test_parse_head_gives_a_commit_or_none(files):
    found = gvm.parse_head(files)
    assert found is None or len(found) == 40


def test_installed_commit_of_a_real_repository(tmp_path):
    run = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.test"]
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    subprocess.run([*run, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*run, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert gvm.installed_commit(str(tmp_path)) == head
    subprocess.run([*run, "pack-refs", "--all"], check=True)
    os.rename(tmp_path / ".git", tmp_path / "git.bak")
    assert gvm.installed_commit(str(tmp_path)) == head
    assert gvm.installed_commit(str(tmp_path / "none")) is None


@pytest.mark.parametrize(("text", "line"), [
    ("[Service]\nEnvironment=GOROOT=/opt/gvm/gos/go1.26.4\n", 2),
    ("ExecStart=/opt/gvm/gos/go1.26.4/bin/go run .", 1),
    ("Environment=PATH=/opt/gvm/gos/go1.26.4/bin:/bin", 1),
    ("ExecStart=/opt/gvm/gos/go1.26.40/bin/go", None),
    ("ExecStart=/opt/gvm/gos/go1.26.4rc1/bin/go", None),
    ("ExecStart=/opt/gvm/gos/go1.26/bin/go", None),
    ("# ExecStart=/opt/gvm/gos/go1.26.4/bin/go\n; /opt/gvm/gos/go1.26.4", None),
    ("ExecStart=/opt/gvm/gos/go1x26x4/bin/go", None),
    ("", None),
], ids=["goroot", "program", "path", "longer", "candidate", "shorter", "comments", "dots", "empty"])
def test_mentions(text, line):
    assert gvm.mentions(text, [GO]) == line


def fake_process(proc: Path, pid: int, program: str, *words: str) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "exe").symlink_to(program)
    (folder / "cmdline").write_bytes(b"\0".join(word.encode() for word in words or (program,)) + b"\0")


def test_in_use(tmp_path):
    proc, units = tmp_path / "proc", tmp_path / "systemd"
    fake_process(proc, 9, GO + "/bin/gopls")
    fake_process(proc, 10, "/usr/bin/sleep")
    fake_process(proc, 11, "/usr/libexec/qemu-binfmt/aarch64-binfmt-P/qemu-aarch64", "qemu-aarch64", GO + "/bin/go", "go", "test")
    fake_process(proc, 100, "/opt/gvm/gos/go1.26.40/bin/go")
    (proc / "12").mkdir()  # a kernel thread: no exe
    (proc / "self").mkdir()
    (units / "system" / "b.service.d").mkdir(parents=True)
    (units / "system" / "a.service").write_text("[Service]\nExecStart=%s/bin/go\n" % GO)
    (units / "system" / "z.service").symlink_to(units / "system" / "a.service")
    (units / "system" / "notes.txt").write_text(GO)
    (tmp_path / "go.env").write_text("# environment\nPATH=%s/bin\n" % GO)
    (units / "system" / "b.service.d" / "10.conf").write_text(
        "[Service]\nEnvironmentFile=-%s\nEnvironmentFile=/none\n" % (tmp_path / "go.env"))
    assert gvm.in_use([GO], proc=str(proc), unit_folders=[str(units), str(tmp_path / "none")]) == [
        "process 9 runs %s/bin/gopls" % GO,
        "process 11 runs %s/bin/go" % GO,
        "%s/system/a.service names it in line 2" % units,
        "%s/system/b.service.d/10.conf names it in line 2 of its EnvironmentFile %s/go.env" % (units, tmp_path),
    ]


def test_in_use_sees_a_real_process(tmp_path):
    program = tmp_path / "sleepy"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    process = subprocess.Popen([str(program), "30"])
    try:
        assert gvm.in_use([str(tmp_path)], unit_folders=[]) == ["process %d runs %s" % (process.pid, program)]
        with pytest.raises(gvm.GvmError, match=r"^go1 is in use and stays: process \d+ runs "):
            gvm.refuse_if_used("go1", [str(tmp_path)])
    finally:
        process.kill()
        process.wait()
    assert gvm.in_use([str(tmp_path)], unit_folders=[]) == []


def test_in_use_sees_through_links_and_past_a_fifo(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    fake_process(tmp_path / "proc", 9, str(tmp_path / "real" / "bin" / "go"))
    units = tmp_path / "systemd"
    units.mkdir()
    os.mkfifo(tmp_path / "fifo")
    (units / "a.service").write_text("[Service]\nEnvironmentFile=%s\n" % (tmp_path / "fifo"))
    os.mkfifo(units / "b.service")
    assert gvm.in_use([str(tmp_path / "link")], proc=str(tmp_path / "proc"), unit_folders=[str(units)]) == [
        "process 9 runs %s/real/bin/go" % tmp_path]


@pytest.mark.parametrize(("machine", "text", "emulated"), [
    ("aarch64", "processor\t: 0\nCPU implementer\t: 0x41\n", False),
    ("aarch64", "vendor_id\t: GenuineIntel\nflags\t\t: fpu vme\n", True),
    ("x86_64", "flags\t\t: fpu vme\n", False),
    ("x86_64", "CPU implementer\t: 0x41\nFeatures\t: fp asimd\n", True),
    ("riscv64", "", False),
])
def test_is_emulated(machine, text, emulated):
    assert gvm.is_emulated(machine, text) is emulated


def test_missing_commands(tmp_path):
    for command, _package in gvm.COMMANDS:
        if command not in ("hexdump", "bison", "ar"):
            (tmp_path / command).write_text("#!/bin/sh\n")
            (tmp_path / command).chmod(0o755)
    assert gvm.missing_commands(str(tmp_path)) == [("ar", "binutils"), ("bison", "bison"), ("hexdump", "bsdextrautils")]


def test_run_ends_a_command_and_its_children_at_the_deadline(tmp_path):
    begin = time.monotonic()
    with pytest.raises(gvm.GvmError, match=r"^timeout: sleeping was not done within 1 s$"):
        gvm.run(["sh", "-c", "sleep 29 & echo $! > pid; wait"], ME, env={"PATH": "/bin:/usr/bin"}, cwd=str(tmp_path),
                deadline=gvm.Deadline(1), what="sleeping")
    assert time.monotonic() - begin < 10
    child = int((tmp_path / "pid").read_text())
    for _attempt in range(50):
        if not os.path.exists("/proc/%d" % child) or "\nState:\tZ" in Path("/proc/%d/status" % child).read_text():
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child lives on")


def test_run_ends_the_children_of_a_command_that_has_ended(tmp_path):
    with pytest.raises(gvm.GvmError, match=r"^timeout: leaving was not done within 1 s$"):
        gvm.run(["sh", "-c", "sleep 29 & echo $! > pid"], ME, env={"PATH": "/bin:/usr/bin"}, cwd=str(tmp_path),
                deadline=gvm.Deadline(1), what="leaving")
    child = int((tmp_path / "pid").read_text())
    for _attempt in range(50):
        if not os.path.exists("/proc/%d" % child) or "\nState:\tZ" in Path("/proc/%d/status" % child).read_text():
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child lives on")


def test_run_gives_both_outputs_and_the_status(tmp_path):
    rc, output = gvm.run(["sh", "-c", "echo out; echo err >&2; exit 3"], ME, env={"PATH": "/bin:/usr/bin"}, cwd=str(tmp_path),
                         deadline=gvm.Deadline(10), what="it")
    assert (rc, output) == (3, "out\nerr\n")


def test_a_lock_is_held_by_what_was_started(tmp_path):
    layout = gvm.Layout(str(tmp_path))
    with gvm.locked(layout, gvm.Deadline(5)) as lock:
        child = subprocess.Popen(["sleep", "30"], pass_fds=(lock,))
    try:
        with pytest.raises(gvm.GvmError, match=r"^timeout: waiting for what an earlier call has started in "):
            with gvm.locked(layout, gvm.Deadline(0.5)):
                pytest.fail("it was not locked")
    finally:
        child.kill()
        child.wait()
    with gvm.locked(layout, gvm.Deadline(5)):
        pass


def test_tail_hides_credentials_and_colours():
    assert gvm.tail("a\n\n\x1b[31mfatal: https://u:s3cretpassw0rd@host/x\x1b[0m\n") == "a | fatal: https://u:%s@host/x" % redact.REDACTED
    assert gvm.tail("\n") == "it said nothing"
    assert gvm.tail("1\n2\n3\n", 2) == "2 | 3"


def test_remove_tree(tmp_path):
    tree = tmp_path / "tree"
    (tree / "mod").mkdir(parents=True)
    (tree / "mod" / "file").write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("x")
    (tree / "link").symlink_to(tmp_path / "outside")
    (tree / "mod").chmod(0o555)
    gvm.remove_tree(str(tree))
    assert not tree.exists() and (tmp_path / "outside" / "kept").exists()
    gvm.remove_tree(str(tree))
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    gvm.remove_tree(str(tmp_path / "link"))
    assert (tmp_path / "outside" / "kept").exists() and not (tmp_path / "link").is_symlink()


def present(root: Path, **values):
    changes = changing.Changes("gvm", check_mode=values.pop("check_mode", False), root=str(root.parent / "host"))
    options = {"source": str(root.parent / "none"), "commit": SHA, "deadline": gvm.Deadline(30), **values}
    with changes:
        gvm.present(gvm.Layout(str(root)), ME, changes=changes, **options)
    return changes


@pytest.mark.parametrize(("source", "message"), [
    ("--upload-pack=id", r"^source: '--upload-pack=id' is neither a URL nor a path$"),
    ("https://u:pw@host/gvm.git", r"^source: a password or token in a URL is seen by every user .* and https://host/gvm\.git here$"),
    ("https://ghp_0123@host/gvm.git", r"^source: a password or token in a URL is seen by every user .* and https://host/gvm\.git here$"),
    ("ssh://git:pw@host/gvm.git", r"^source: a password or token in a URL is seen .* and ssh://git@host/gvm\.git here$"),
    ("http://[bad/", r"^source: http://\[bad/ is no URL$"),
], ids=["option", "password", "token", "ssh", "no-url"])
def test_sources_that_are_refused(tmp_path, source, message, monkeypatch):
    monkeypatch.setattr(gvm, "missing_commands", list)
    with pytest.raises(gvm.GvmError, match=message):
        present(tmp_path / "gvm", source=source)
    assert not (tmp_path / "gvm").exists()


@pytest.mark.parametrize("source", ["https://host/gvm.git", "ssh://git@host/gvm.git", "git@host:gvm.git", "/srv/gvm.bundle"])
def test_sources_that_are_allowed(source):
    gvm.check_source(source)


@pytest.mark.parametrize(("url", "found"), [
    ("https://u:s3cret@host/x", ["s3cret"]), ("https://ghp_0123@host/x", ["ghp_0123"]), ("https://host/x", []),
    ("ssh://git@host/x", []), ("ssh://git:pw@host/x", ["pw"]), ("/srv/x", []),
    ("http://u:s3cret@[bad/", ["u:s3cret"]), ("http://[bad/", []),
])
def test_secrets_in(url, found):
    assert gvm.secrets_in(url) == found


def test_nothing_that_others_can_change_is_run(tmp_path):
    root = tmp_path / "gvm"
    layout = gvm.Layout(str(root))
    (root / "scripts" / "function").mkdir(parents=True)
    (root / "scripts" / "gvm").write_text("")
    (root / "gos" / "go1.27.3" / "bin").mkdir(parents=True)
    (root / "gos" / "go1.27.3" / "bin" / "go").write_text("")
    gvm.require_closed(layout, ME, "go1.27.3")
    for path in (tmp_path, root, root / "scripts", root / "scripts" / "function", root / "scripts" / "gvm", root / "gos",
                 root / "gos" / "go1.27.3", root / "gos" / "go1.27.3" / "bin" / "go"):
        before = path.stat().st_mode
        path.chmod(0o777)
        try:
            with pytest.raises(gvm.GvmError) as caught:
                gvm.require_closed(layout, ME, "go1.27.3")
        finally:
            path.chmod(before)
        assert str(caught.value) == ("gvm_root: others could change what is run there: %s is writable by everybody (0777); "
                                     "close it to them first" % path)
    # Another version is not run.
    (root / "gos" / "go1.27.3").chmod(0o777)
    gvm.require_closed(layout, ME, "go1.26.4")


def test_check_mode_refuses_them_too(tmp_path):
    (tmp_path / "gvm").mkdir()
    (tmp_path / "gvm").chmod(0o777)
    for check_mode in (True, False):
        with pytest.raises(gvm.GvmError, match=r"^gvm_root: others could change what is run there: "):
            present(tmp_path / "gvm", check_mode=check_mode)


def test_the_folders_above_are_made_told_and_unmade(tmp_path, monkeypatch):
    monkeypatch.setattr(gvm, "missing_commands", list)

    def broken(*_args):
        raise gvm.GvmError("broken")

    monkeypatch.setattr(gvm, "_install", broken)
    root = tmp_path / "a" / "b" / "gvm"
    made = [str(tmp_path / "a"), str(tmp_path / "a" / "b"), str(root)]
    assert gvm.make_root(str(root), ME, check_mode=True) == made and not os.path.exists(made[0])
    changes = changing.Changes("gvm", root=str(tmp_path / "host"))
    with pytest.raises(gvm.GvmError, match=r"^broken$"), changes:
        gvm.present(gvm.Layout(str(root)), ME, source="/none", commit=SHA, changes=changes, deadline=gvm.Deadline(5))
    assert not os.path.exists(made[0])
    assert gvm.make_root(str(root), ME) == made and root.is_dir()
    assert gvm.make_root(str(root), ME) == []


def test_no_root_where_others_decide_what_the_names_mean(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(gvm.GvmError, match=r"^gvm_root: others could change what is run there: .*/open is writable by everybody"):
        gvm.make_root(str(tmp_path / "open" / "a" / "gvm"), ME)
    assert os.listdir(tmp_path / "open") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(gvm.GvmError, match=r"^gvm_root: .*/file is no folder$"):
        gvm.make_root(str(tmp_path / "file" / "gvm"), ME)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_root_makes_nothing_in_a_folder_of_somebody_else(tmp_path):
    nobody = gvm.identity("nobody")
    os.chown(tmp_path, nobody.uid, nobody.gid)
    with pytest.raises(gvm.GvmError, match=r"^gvm_root: others could change what is run there: .* belongs to nobody; close"):
        gvm.make_root(str(tmp_path / "a" / "gvm"), ME)
    assert os.listdir(tmp_path) == []


def repository(folder: Path) -> str:
    """A repository with one file and its commit."""
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / "README").write_text("no gvm\n")
    run = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.test"]
    subprocess.run([*run, "add", "."], check=True)
    subprocess.run([*run, "commit", "--quiet", "-m", "x"], check=True)
    return subprocess.run([*run, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_what_is_no_gvm_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(gvm, "missing_commands", list)
    root = tmp_path / "gvm"
    commit = repository(tmp_path / "other")
    with pytest.raises(gvm.GvmError, match=r"^source: git cannot clone .*/none: .*does not exist"):
        present(root)
    with pytest.raises(gvm.GvmError, match=r"^commit: .*/other has no commit %s; its newest is %s of \d{4}-\d\d-\d\d$" % (SHA, commit)):
        present(root, source=str(tmp_path / "other"))
    with pytest.raises(gvm.GvmError, match=r"^source: commit %s of .*/other is no gvm: it has no binscripts/gvm-installer$" % commit):
        present(root, source=str(tmp_path / "other"), commit=commit)
    assert not root.exists()
    # A folder that was there stays, empty.
    root.mkdir()
    with pytest.raises(gvm.GvmError, match=r"^source: git cannot clone"):
        present(root)
    assert os.listdir(root) == []


def test_folders_that_are_not_ours_are_left_alone(tmp_path):
    root = tmp_path / "gvm"
    root.mkdir()
    (root / "precious").write_text("x")
    with pytest.raises(gvm.GvmError, match=r"^gvm_root: .*/gvm is no gvm and is not empty \(precious\)$"):
        present(root)
    changes = changing.Changes("gvm", root=str(tmp_path / "host"))
    with changes, pytest.raises(gvm.GvmError, match=r"^gvm_root: .*/gvm is no gvm and is left alone \(precious\)$"):
        gvm.absent(gvm.Layout(str(root)), ME, changes=changes, deadline=gvm.Deadline(5))
    assert (root / "precious").exists()
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(gvm.GvmError, match=r"^gvm_root: .*/file is no folder$"):
        present(file)


def test_missing_commands_are_a_warning_in_check_mode(tmp_path, monkeypatch):
    monkeypatch.setattr(gvm, "missing_commands", lambda: [("bison", "bison"), ("hexdump", "bsdextrautils")])
    message = "gvm needs bison, hexdump, which this host lacks (packages: bison bsdextrautils)"
    with pytest.raises(gvm.GvmError) as caught:
        present(tmp_path / "gvm")
    assert str(caught.value) == message
    changes = changing.Changes("gvm", check_mode=True)
    with changes:
        problems = gvm.present(gvm.Layout(str(tmp_path / "gvm")), ME, source="/none", commit=SHA, changes=changes, deadline=gvm.Deadline(5))
    assert problems == [message] and not (tmp_path / "gvm").exists()
    assert changes.changes == [{"path": str(tmp_path / "gvm"), "action": "created", "detail": "gvm at commit dd652539fa4b"}]


def test_a_removal_that_was_killed_goes_on(tmp_path):
    root = tmp_path / "gvm"
    (root / ".goready-staging").mkdir(parents=True)
    (root / "gos").mkdir()
    changes = changing.Changes("gvm", root=str(tmp_path / "host"))
    with changes:
        gvm.absent(gvm.Layout(str(root)), ME, changes=changes, deadline=gvm.Deadline(5))
    assert not root.exists() and changes.changed


def test_identity():
    with pytest.raises(gvm.GvmError, match=r"^user: there is no user 'nobody-here' on this host$"):
        gvm.identity("nobody-here")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_acting_as_another_user(tmp_path):
    nobody = gvm.identity("nobody")
    tmp_path.chmod(0o777)
    for folder in list(tmp_path.parents)[:3]:
        if folder.stat().st_uid == 0 and str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    with gvm.acting_as(nobody):
        (tmp_path / "its").write_text("x")
        rc, output = gvm.run(["grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status"], nobody, env={"PATH": "/bin:/usr/bin"}, cwd="/",
                             deadline=gvm.Deadline(20), what="it")
    assert (tmp_path / "its").stat().st_uid == nobody.uid and os.geteuid() == 0
    assert (rc, output.split()) == (0, ["Uid:", *[str(nobody.uid)] * 4, "Gid:", *[str(nobody.gid)] * 4, "Groups:", str(nobody.gid)])
