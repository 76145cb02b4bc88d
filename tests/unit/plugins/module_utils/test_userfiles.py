# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import userfiles
from ansible_collections.goready.preflight.plugins.module_utils.userfiles import Identity, UserChanges

SOMEBODY = Identity("somebody", 4711, 4711, (4711,))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of SOMEBODY's, reachable for that user."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    place = tmp_path / "home"
    place.mkdir()
    os.chown(place, SOMEBODY.uid, SOMEBODY.gid)
    yield place


def changes(tmp_path: Path, **options: bool) -> UserChanges:
    return UserChanges("test", state_dir=str(tmp_path / "state"), lock_dir=str(tmp_path), **options)


@needs_root
def test_the_block_has_the_users_rights_and_root_gets_its_own_back(home: Path) -> None:
    before = (os.geteuid(), os.getegid(), os.getgroups())
    with pytest.raises(PermissionError), userfiles.acting_as(SOMEBODY):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (4711, 4711, [4711])
        Path("/etc/goready-must-not-be").write_text("x")
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


@needs_root
def test_what_is_written_belongs_to_the_user(tmp_path: Path, home: Path) -> None:
    with changes(tmp_path) as one, one.of(SOMEBODY):
        one.directory(f"{home}/.config/go")
        one.write(f"{home}/.config/go/env", "A=1\n")
    status = (home / ".config/go/env").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (4711, 4711, 0o644)
    assert (home / ".config").stat().st_uid == 4711


@needs_root
def test_a_link_leads_root_nowhere(tmp_path: Path, home: Path) -> None:
    """The user has put a link to a folder of root's in the place of a folder."""
    target = tmp_path / "roots"
    target.mkdir()
    (home / ".config").symlink_to(target)
    with pytest.raises(PermissionError), changes(tmp_path) as one, one.of(SOMEBODY):
        one.write(f"{home}/.config/env", "A=1\n")
    assert list(target.iterdir()) == []


@needs_root
def test_a_folder_that_becomes_a_link_leads_root_nowhere(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same after everything was looked at, in the moment before the file is put in its place."""
    target = tmp_path / "roots"
    target.mkdir()
    original = os.replace

    def swapped(source: str, path: str) -> None:
        euid = os.geteuid()
        os.seteuid(0)
        os.rename(home / ".config", home / "away")
        (home / ".config").symlink_to(target)
        (target / Path(source).name).write_text("root's own")
        os.seteuid(euid)
        original(source, path)

    with pytest.raises(OSError), changes(tmp_path) as one, one.of(SOMEBODY):
        one.directory(f"{home}/.config")
        monkeypatch.setattr(os, "replace", swapped)
        one.write(f"{home}/.config/env", "A=1\n")
    assert not (target / "env").exists()
    assert len(list(target.iterdir())) == 1


@needs_root
def test_the_content_of_a_file_of_roots_is_not_read_for_the_user(tmp_path: Path, home: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("PASSWORD=x\n")
    secret.chmod(0o600)
    (home / "env").hardlink_to(secret)
    with pytest.raises(PermissionError), changes(tmp_path) as one, one.of(SOMEBODY):
        one.read(f"{home}/env")


@pytest.mark.parametrize(("make", "message"), [
    (os.mkfifo, "is neither a file, nor a folder, nor a symbolic link"),
    (lambda path: path.write_bytes(b"x" * (userfiles.LIMIT + 1)), f"has more than {userfiles.LIMIT} bytes"),
], ids=["a FIFO", "a big file"])
def test_what_is_no_small_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    me = Identity("me", os.geteuid(), os.getegid(), tuple(os.getgroups()))
    make(tmp_path / "env")
    with pytest.raises(ValueError) as caught, changes(tmp_path) as one, one.of(me):
        one.read(f"{tmp_path}/env")
    assert str(caught.value) == f"{tmp_path}/env {message}"


@needs_root
def test_what_a_killed_call_left_is_taken_back_with_the_users_rights(tmp_path: Path, home: Path) -> None:
    (home / "env").write_text("A=0\n")
    os.chown(home / "env", SOMEBODY.uid, SOMEBODY.gid)
    pid = os.fork()
    if pid == 0:
        with changes(tmp_path) as one, one.of(SOMEBODY):
            one.directory(f"{home}/.config/go")
            one.write(f"{home}/env", "A=1\n")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert (home / "env").read_text() == "A=1\n"
    # Meanwhile the user has put a link there: nothing of root's is changed on its way back.
    victim = tmp_path / "victim"
    victim.write_text("root's own\n")
    (home / "env").unlink()
    (home / "env").symlink_to(victim)
    with changes(tmp_path) as one:
        assert one.recovered
    assert victim.read_text() == "root's own\n"
    assert (home / "env").is_symlink()  # the user's own by now
    assert not (home / ".config").exists()


def test_check_mode_knows_of_the_record_without_its_folder(tmp_path: Path) -> None:
    one = changes(tmp_path, check_mode=True)
    with one:
        one.write(one.record_path, "{}", mode=0o600, secret=True)
    assert [entry["path"] for entry in one.changes] == [f"{tmp_path}/state/test.json"]
    assert not (tmp_path / "state").exists()


def test_only_root_acts_as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionError) as caught, contextlib.ExitStack() as stack:
        stack.enter_context(userfiles.acting_as(SOMEBODY))
    assert caught.value.strerror == "only root can change files of somebody"
