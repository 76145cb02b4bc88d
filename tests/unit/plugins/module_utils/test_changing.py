# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils.changing import ABSENT, Busy, Changes
from hypothesis import given, settings
from hypothesis import strategies as st


def tree(root: Path) -> dict[str, tuple[str, str]]:
    """Every path below a folder with its mode and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        about = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(root))] = (oct(about.st_mode) if not path.is_symlink() else "link", content)
    return found


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/old.conf").write_text("old\n")
    (tmp_path / "etc/old.conf").chmod(0o640)
    (tmp_path / "etc/link").symlink_to("old.conf")
    (tmp_path / "state").mkdir()
    return tmp_path


@pytest.fixture
def begin(host: Path) -> Callable[..., Changes]:
    def make(**options: object) -> Changes:
        return Changes("test", root=str(host), state_dir=str(host / "state" / "s"), lock_dir=str(host / "state"),
                       **{"lock_timeout": 0.3, **options})  # type: ignore[arg-type]
    return make


def everything(changes: Changes) -> None:
    changes.directory("/etc/unit.d/deep")
    changes.write("/etc/unit.d/deep/new.conf", "new\n")
    changes.write("/etc/old.conf", "changed\n", mode=0o600)
    changes.link("/etc/link", "elsewhere")
    changes.link("/etc/second", "old.conf")
    changes.note("unit api.service", "restarted")


def test_what_is_changed_is_listed_and_shown(begin: Callable[..., Changes], host: Path) -> None:
    with begin() as changes:
        everything(changes)
    assert changes.changes == [
        {"path": "/etc/unit.d", "action": "created", "detail": ""},
        {"path": "/etc/unit.d/deep", "action": "created", "detail": ""},
        {"path": "/etc/unit.d/deep/new.conf", "action": "created", "detail": ""},
        {"path": "/etc/old.conf", "action": "changed", "detail": ""},
        {"path": "/etc/link", "action": "changed", "detail": "to elsewhere"},
        {"path": "/etc/second", "action": "created", "detail": "to old.conf"},
        {"path": "unit api.service", "action": "restarted", "detail": ""},
    ]
    assert changes.diff[3] == {"before_header": "/etc/old.conf", "after_header": "/etc/old.conf", "before": "old\n", "after": "changed\n"}
    assert (host / "etc/unit.d/deep/new.conf").read_text() == "new\n"
    assert stat.S_IMODE((host / "etc/old.conf").stat().st_mode) == 0o600
    assert os.readlink(host / "etc/link") == "elsewhere"
    # Nothing is left of the journal, nor of temporary files.
    assert [path.name for path in (host / "state").iterdir()] == ["goready-preflight.lock"]
    assert not list(host.rglob("*goready~*"))


def test_check_mode_predicts_the_same_and_writes_nothing(begin: Callable[..., Changes], host: Path) -> None:
    before = tree(host)
    with begin(check_mode=True) as predicted:
        everything(predicted)
    assert tree(host) == before
    with begin() as changes:
        everything(changes)
    assert predicted.changes == changes.changes
    assert predicted.diff == changes.diff


def test_the_second_time_nothing_changes(begin: Callable[..., Changes], host: Path) -> None:
    for wanted in (True, False):
        with begin() as changes:
            assert changes.write("/etc/a.conf", "a\n", mode=0o644) is wanted
            assert changes.directory("/etc/d") is wanted
            assert changes.link("/etc/l", "a.conf") is wanted
        assert changes.changed is wanted


def test_an_exception_takes_everything_back(begin: Callable[..., Changes], host: Path) -> None:
    before = tree(host / "etc")
    with pytest.raises(RuntimeError), begin() as changes:
        everything(changes)
        raise RuntimeError("proof failed")
    assert tree(host / "etc") == before
    assert [entry["path"] for entry in changes.changes] == ["unit api.service"]
    assert not (host / "state/s").exists()


def test_leaving_with_success_commits(begin: Callable[..., Changes], host: Path) -> None:
    with pytest.raises(SystemExit), begin() as changes:
        changes.write("/etc/a.conf", "a\n")
        raise SystemExit(0)
    assert (host / "etc/a.conf").exists()


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
def test_a_killed_call_is_taken_back_by_the_next(begin: Callable[..., Changes], host: Path, after: int) -> None:
    before = tree(host / "etc")
    program = textwrap.dedent(f"""
        import os, signal
        from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
        steps = [
            lambda c: c.directory("/etc/unit.d"),
            lambda c: c.write("/etc/unit.d/new.conf", "new"),
            lambda c: c.write("/etc/old.conf", "changed", mode=0o600),
            lambda c: c.link("/etc/link", "elsewhere"),
            lambda c: c.remove("/etc/old.conf"),
        ]
        with Changes("test", root={str(host)!r}, state_dir={str(host / "state" / "s")!r}, lock_dir={str(host / "state")!r}) as changes:
            for step in steps[:{after}]:
                step(changes)
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert tree(host / "etc") != before
    with begin(check_mode=True) as predicted:
        predicted.write("/etc/old.conf", "wanted\n", mode=0o640)
    with begin() as changes:
        assert tree(host / "etc") == before
        changes.write("/etc/old.conf", "wanted\n", mode=0o640)
    assert changes.recovered
    assert predicted.changes == changes.changes == [{"path": "/etc/old.conf", "action": "changed", "detail": ""}]


def test_half_a_journal_line_is_of_something_that_was_not_done(begin: Callable[..., Changes], host: Path) -> None:
    (host / "state/s").mkdir()
    (host / "state/s/test.journal").write_text('{"path": "/etc/old.conf", "kind": "abs')
    with begin() as changes:
        changes.write("/etc/a.conf", "a\n")
    assert changes.recovered == []
    assert (host / "etc/old.conf").exists()
    assert not (host / "state/s").exists()


def test_the_lock_lets_one_in_and_says_who_it_is(begin: Callable[..., Changes]) -> None:
    with begin(), pytest.raises(Busy, match=rf"test, PID {os.getpid()}, since \d{{4}}-.*; waited 0 s"), begin():
        pass
    with begin():  # freed
        pass


def test_check_mode_waits_for_nobody(begin: Callable[..., Changes]) -> None:
    with begin(), begin(check_mode=True) as predicted:
        predicted.write("/etc/a.conf", "a\n")
    assert predicted.changed


@pytest.mark.parametrize(("act", "message"), [
    (lambda c: c.write("/etc/link", "x"), "/etc/link is a symbolic link: a file is written there only where none or a file is"),
    (lambda c: c.write("/etc", "x"), "/etc is a folder: a file is written there only where none or a file is"),
    (lambda c: c.remove("/etc"), "/etc is a folder: only files and symbolic links are removed"),
    (lambda c: c.directory("/etc/old.conf"), "/etc/old.conf is a file, not a folder"),
    (lambda c: c.directory("/etc/old.conf/x"), "/etc/old.conf is a file, not a folder"),
    (lambda c: c.link("/etc/old.conf", "x"), "/etc/old.conf is a file: a link is made there only where none or a link is"),
    (lambda c: c.write("etc/x", "x"), "'etc/x' is no absolute path"),
], ids=["link", "folder", "remove-folder", "file-as-folder", "below-a-file", "file-as-link", "relative"])
@pytest.mark.parametrize("check_mode", [False, True], ids=["real", "check"])
def test_what_is_something_else_is_left_alone(begin: Callable[..., Changes], host: Path, act: Callable[[Changes], object],
                                              message: str, check_mode: bool) -> None:
    before = tree(host / "etc")
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.") + "$"), begin(check_mode=check_mode) as changes:
        act(changes)
    assert tree(host / "etc") == before


def test_secrets_are_not_shown(begin: Callable[..., Changes], host: Path) -> None:
    (host / "etc/secret").write_text("old password")
    with begin() as changes:
        changes.write("/etc/secret", "new password", mode=0o600, secret=True)
        changes.write("/etc/secret2", "other password", mode=0o600, secret=True)
    assert "password" not in str(changes.as_result())
    assert [one["after"] for one in changes.diff] == ["changed (not shown)\n"] * 2


def test_removing_and_making_again_is_no_change(begin: Callable[..., Changes], host: Path) -> None:
    with begin() as changes:
        changes.remove("/etc/old.conf")
        changes.write("/etc/old.conf", "old\n", mode=0o640)
    assert changes.changes == []


def test_only_empty_folders_are_removed(begin: Callable[..., Changes], host: Path) -> None:
    for check_mode in (True, False):
        with begin(check_mode=check_mode) as changes:
            assert changes.remove_directory("/etc") is False
            changes.directory("/etc/d")
            changes.write("/etc/d/x", "x")
            assert changes.remove_directory("/etc/d") is False
            changes.remove("/etc/d/x")
            assert changes.remove_directory("/etc/d") is True
        assert changes.changes == []


def test_a_folder_that_somebody_uses_by_now_is_not_taken_back(begin: Callable[..., Changes], host: Path) -> None:
    with pytest.raises(RuntimeError), begin() as changes:
        changes.directory("/etc/d")
        (host / "etc/d/theirs").write_text("x")
        raise RuntimeError
    assert (host / "etc/d/theirs").exists()


def test_what_cannot_be_taken_back_stays_in_the_journal(begin: Callable[..., Changes], host: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with begin() as changes:
        changes.write("/etc/old.conf", "changed\n", mode=0o640)
        changes.write("/etc/new.conf", "new\n")
        monkeypatch.setattr(changes, "_place", refuse)
        with pytest.raises(OSError, match=r"not taken back: /etc/new\.conf: No space left on device; /etc/old\.conf: No space"):
            changes.undo()
    # Whoever swallows that error and ends well has not lost how it was.
    assert (host / "etc/old.conf").read_text() == "changed\n"
    with begin() as changes:
        pass
    assert changes.recovered == ["/etc/new.conf", "/etc/old.conf"]
    assert (host / "etc/old.conf").read_text() == "old\n"
    assert not (host / "etc/new.conf").exists()


def killed(host: Path, *steps: str) -> None:
    program = textwrap.dedent("""
        import os, signal
        from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
        with Changes("test", root=%r, state_dir=%r, lock_dir=%r) as changes:
            %s
            os.kill(os.getpid(), signal.SIGKILL)
    """) % (str(host), str(host / "state/s"), str(host / "state"), "; ".join(steps))
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL


def test_what_somebody_has_changed_since_a_kill_is_left(begin: Callable[..., Changes], host: Path) -> None:
    killed(host, 'changes.write("/etc/old.conf", "ours")', 'changes.write("/etc/new.conf", "ours")')
    (host / "etc/old.conf").write_text("somebody's\n")
    with begin() as changes:
        pass
    assert changes.recovered == ["/etc/new.conf", "/etc/old.conf (left as it is: it was changed again since)"]
    assert (host / "etc/old.conf").read_text() == "somebody's\n"
    assert not (host / "etc/new.conf").exists()


def test_something_odd_at_one_path_does_not_keep_the_others_from_being_taken_back(begin: Callable[..., Changes], host: Path) -> None:
    killed(host, 'changes.write("/etc/old.conf", "ours")', 'changes.write("/etc/new.conf", "ours")')
    (host / "etc/new.conf").unlink()
    os.mkfifo(host / "etc/new.conf")
    with pytest.raises(OSError, match=r"not taken back: /etc/new\.conf: /etc/new\.conf is neither a file"), begin():
        pass
    assert (host / "etc/old.conf").read_text() == "old\n"


def test_half_a_line_and_another_kill(begin: Callable[..., Changes], host: Path) -> None:
    (host / "state/s").mkdir()
    (host / "state/s/test.journal").write_text('{"path": "/etc/old.conf", "kind": "abs')
    killed(host, 'changes.write("/etc/new.conf", "ours")')
    with begin() as changes:
        pass
    assert changes.recovered == ["/etc/new.conf"]


def test_what_is_absent(begin: Callable[..., Changes]) -> None:
    with begin(check_mode=True) as changes:
        assert changes.state("/etc/old.conf/x") == changes.state("/nowhere/x") == ABSENT
        assert changes.read("/etc/link") is None
        assert changes.read("/etc/old.conf") == b"old\n"


NAMES = st.sampled_from(["/etc/a", "/etc/b", "/etc/old.conf", "/etc/link", "/etc/d", "/etc/d/x", "/etc/d/e/y"])
STEPS = st.lists(st.one_of(
    st.tuples(st.just("write"), NAMES, st.binary(max_size=4)), st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("directory"), NAMES), st.tuples(st.just("remove_directory"), NAMES),
    st.tuples(st.just("link"), NAMES, st.sampled_from(["a", "b"])),
), max_size=12)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_any_steps_are_predicted_and_taken_back(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, ...]]) -> None:
    host = tmp_path_factory.mktemp("host")
    (host / "etc").mkdir()
    (host / "etc/old.conf").write_text("old\n")
    (host / "etc/link").symlink_to("old.conf")

    def play(check_mode: bool, fail: bool) -> Changes:
        changes = Changes("test", root=str(host), state_dir=str(host / "s"), lock_dir=str(host), check_mode=check_mode)
        try:
            with changes:
                for name, *arguments in steps:
                    try:
                        getattr(changes, name)(*arguments)
                    except (ValueError, OSError):  # OSError: also a link that leads to itself
                        continue  # a step that is refused
                if fail:
                    raise RuntimeError
        except RuntimeError:
            pass
        return changes

    before = tree(host / "etc")
    play(check_mode=False, fail=True)
    assert tree(host / "etc") == before
    predicted = play(check_mode=True, fail=False)
    assert tree(host / "etc") == before
    changes = play(check_mode=False, fail=False)
    assert predicted.changes == changes.changes
    assert predicted.diff == changes.diff
