# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real folders and real processes: what is told here is that nothing of them stays."""
from __future__ import annotations

import fcntl
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import scratch, scratch_watch
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[4]


def folder(base: Path, **options: Any) -> scratch.Folder:
    return scratch.Folder(Context(timeout=60.0), bases=[str(base)], **{"space": 1 << 20, **options})


def sh(one: scratch.Folder, script: str, seconds: float = 20.0, **options: Any) -> scratch.Result:
    return one.run(["/bin/sh", "-c", script], seconds=seconds, **options)


def gone(pid: int) -> bool:
    """Whether a process has ended (what nobody has waited for has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Any, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def test_what_a_command_gives(tmp_path: Path) -> None:
    with folder(tmp_path) as one:
        assert Path(one.path).parent == tmp_path
        assert Path(one.path).stat().st_mode & 0o777 == 0o700
        one.write("work/deep/file.txt", "text\n")
        result = sh(one, "cat deep/file.txt; echo two >&2; exit 3")
        assert (result.rc, result.stdout, result.error) == (3, "text\n", None)
        assert sorted(result.output) == ["text", "two"]
        assert one.read("work/deep/file.txt") == b"text\n"
        assert result.as_dict()["argv"] == ["/bin/sh", "-c", "cat deep/file.txt; echo two >&2; exit 3"]
    assert list(tmp_path.iterdir()) == []


def test_the_environment_is_the_folders_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    monkeypatch.setenv("DATABASE_PASSWORD", "hidden")
    with folder(tmp_path) as one:
        result = sh(one, "env", env={"GOPROXY": "http://127.0.0.1:1", "LANG": None})
        path = one.path
    values = dict(line.split("=", 1) for line in result.stdout.splitlines())
    for name in ("HOME", "TMPDIR", "GOTMPDIR", "GOCACHE", "GOMODCACHE", "GOPATH", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        assert values[name].startswith(path + "/"), name
    assert values["GOTOOLCHAIN"] == "local" and values["GOENV"] == "off" and values["GOFLAGS"] == ""
    assert values["GOPROXY"] == "http://127.0.0.1:1" and values["GOSUMDB"] == "off"
    assert "DATABASE_PASSWORD" not in values and "LANG" not in values


def test_a_command_is_the_last_in_every_queue(tmp_path: Path) -> None:
    with folder(tmp_path) as one:
        script = ("import os,resource;print(os.nice(0), os.sched_getscheduler(0)==os.SCHED_IDLE, open('/proc/self/oom_score_adj').read(),"
                  "resource.getrlimit(resource.RLIMIT_CORE)[0], resource.getrlimit(resource.RLIMIT_FSIZE)[0], oct(os.umask(0)))")
        result = one.run([sys.executable, "-c", script], seconds=20.0)
    assert result.stdout.split() == ["19", "True", "1000", "0", str(1 << 30), "0o22"], result


@pytest.mark.skipif(not os.path.exists("/proc/self/autogroup"), reason="this kernel does not group by sessions")
def test_its_session_is_the_last_in_the_queue_too(tmp_path: Path) -> None:
    with folder(tmp_path) as one:
        # Who is not root may say so ten times a second only (kernel/sched/autogroup.c).
        result = sh(one, "for i in 1 2 3 4 5 6 7 8 9 10; do "
                         "read g < /proc/self/autogroup; case $g in *'nice 19') break;; esac; sleep 0.1; done; echo $g")
    assert result.stdout.split()[1:] == ["nice", "19"], result


@pytest.mark.parametrize(("script", "options", "kind", "message"), [
    pytest.param("sleep 60", {"seconds": 0.5}, "timeout", "it did not end within 0 s", id="deadline"),
    pytest.param("while :; do head -c 1000000 /dev/zero >> \"$TMPDIR/$i\"; i=$((i+1)); sleep 0.02; done", {"disk": 8 << 20}, "disk",
                 "the folder passed its bound of 8 MiB", id="size of the folder"),
    pytest.param("exec {python} -c 'import time; kept = [bytes(100) * 20000 for _ in range(60)]; time.sleep(20)'", {"memory": 64 << 20},
                 "memory", "it passed its bound of 64 MiB of memory", id="memory of one process"),
    pytest.param("for i in 1 2 3 4; do {python} -c 'import time; kept = b\"x\" * 24000000; time.sleep(20)' & done; wait",
                 {"memory": 64 << 20}, "memory", "it passed its bound of 64 MiB of memory", id="memory of all its processes"),
])
def test_a_command_that_passes_a_bound_is_ended(tmp_path: Path, script: str, options: dict[str, Any], kind: str, message: str) -> None:
    seconds = options.pop("seconds", 20.0)
    with folder(tmp_path, **options) as one:
        result = sh(one, script.replace("{python}", sys.executable), seconds=seconds)
        assert sh(one, "echo still usable").stdout == "still usable\n"
    assert (result.rc, result.error) == (None, {"kind": kind, "message": message})
    assert list(tmp_path.iterdir()) == []


def test_what_is_mapped_and_not_used_is_no_memory(tmp_path: Path) -> None:
    """Threads' stacks of 8 MiB, Go's arenas of 64 MiB: a small bound must not keep a go from starting."""
    with folder(tmp_path, memory=64 << 20) as one:
        script = "import mmap, time; kept = mmap.mmap(-1, 200 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); time.sleep(0.6); print('here')"
        result = one.run([sys.executable, "-c", script], seconds=20.0)
        assert (result.stdout, result.error) == ("here\n", None)
        too_much = one.run([sys.executable, "-c", script.replace("200 <<", "400 <<")], seconds=20.0)
        assert too_much.rc == 1 and "Cannot allocate memory" in too_much.output[-1]


def test_one_file_has_a_bound_as_well(tmp_path: Path) -> None:
    with folder(tmp_path, disk=4 << 20) as one:
        result = sh(one, "exec dd if=/dev/zero of=$TMPDIR/big bs=1M count=8")
    assert result.rc != 0 and result.size <= 5 << 20


def test_what_a_command_leaves_running_is_ended(tmp_path: Path) -> None:
    with folder(tmp_path) as one:
        result = sh(one, "sleep 300 & echo $!; exit 0")
        assert result.rc == 0 and result.seconds < 10
        assert wait_for(lambda: gone(int(result.stdout)))


def test_a_child_in_a_group_of_its_own_is_ended(tmp_path: Path) -> None:
    with folder(tmp_path) as one:
        script = ("import os, subprocess\np = subprocess.Popen(['sleep', '300'], preexec_fn=lambda: os.setpgid(0, 0))\n"
                  "print(p.pid, flush=True)\nos._exit(0)")
        result = one.run([sys.executable, "-c", script], seconds=20.0)
        assert wait_for(lambda: gone(int(result.stdout)))


def test_a_child_in_a_session_of_its_own_is_ended_before_the_folder_goes(tmp_path: Path) -> None:
    """As go's telemetry and other daemons leave; it writes as fast as it can, where the folder was."""
    script = ("import os, sys\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
              "for number in (0, 1, 2): os.close(number)\n"
              "while True:\n    os.makedirs(os.environ['XDG_CONFIG_HOME'] + '/x', exist_ok=True)\n"
              "    open(os.environ['XDG_CONFIG_HOME'] + '/x/pid', 'w').write(str(os.getpid()))\n")
    with folder(tmp_path) as one:
        assert one.run([sys.executable, "-c", script], seconds=20.0).rc == 0
        time.sleep(0.2)
    assert list(tmp_path.iterdir()) == []
    time.sleep(0.2)
    assert list(tmp_path.iterdir()) == []


def test_go_counts_nothing(tmp_path: Path) -> None:
    with folder(tmp_path) as one:
        assert sh(one, "cat $XDG_CONFIG_HOME/go/telemetry/mode").stdout == "off\n"


@pytest.mark.parametrize(("argv", "kind", "message"), [
    (["/no/such/program"], "unavailable", "/no/such/program: No such file or directory"),
    (["/etc/passwd"], "permission", "/etc/passwd: Permission denied"),
])
def test_a_program_that_does_not_start(tmp_path: Path, argv: list[str], kind: str, message: str) -> None:
    with folder(tmp_path) as one:
        assert one.run(argv, seconds=5.0).error == {"kind": kind, "message": message}


def test_a_variable_that_no_process_can_have(tmp_path: Path) -> None:
    """A file of `go env -w` may hold anything."""
    with folder(tmp_path) as one:
        assert sh(one, "echo no", env={"GOFLAGS": "a\0b"}).error == {"kind": "exception", "message": "/bin/sh: embedded null byte"}
        assert sh(one, "echo still usable").stdout == "still usable\n"


def test_no_time_left(tmp_path: Path) -> None:
    context = Context(timeout=60.0)
    with scratch.Folder(context, bases=[str(tmp_path)], space=1 << 20) as one:
        context.deadline = time.monotonic()
        assert sh(one, "echo no").error == {"kind": "budget", "message": "no time was left to begin"}


def test_read_only_folders_and_links_out_of_it(tmp_path: Path) -> None:
    """A module cache is read-only; a link in the folder leads to what is none of ours."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "file").write_text("kept")
    base = tmp_path / "base"
    base.mkdir()
    with folder(base) as one:
        sh(one, f"mkdir -p a/b && touch a/b/c && ln -s {outside} a/b/link && ln -s {outside} top && chmod -R a-w a && chmod 0 a/b")
    assert list(base.iterdir()) == []
    assert (outside / "file").read_text() == "kept" and outside.stat().st_mode & 0o777 == 0o755


def test_a_link_is_not_read(tmp_path: Path) -> None:
    with folder(tmp_path) as one:
        sh(one, "ln -s /etc/passwd link; mkfifo pipe")
        with pytest.raises(scratch.Unusable):
            one.read("work/link")
        with pytest.raises(scratch.Unusable, match="it is no regular file"):
            one.read("work/pipe")


# What a shell runs in the background ignores SIGINT, and so would everything below it: also these tests.
KILLED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from ansible_collections.goready.preflight.plugins.module_utils import scratch
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
with scratch.Folder(Context(timeout=60.0), bases=[sys.argv[1]], space=1 << 20) as one:
    one.run(["/bin/sh", "-c", "mkdir -p x && touch x/y && chmod -R a-w x; sleep 300 & echo $! $$ > pids; mv pids seen; wait"], seconds=50.0)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_nothing_stays_of_a_module_that_is_killed(tmp_path: Path, number: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
                               stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: list(tmp_path.glob("*/work/seen")))
        (seen,) = tmp_path.glob("*/work/seen")
        pids = [int(text) for text in seen.read_text().split()]
        process.send_signal(number)
        process.wait(20)
    finally:
        process.kill()
    assert wait_for(lambda: not list(tmp_path.iterdir()))
    assert wait_for(lambda: all(gone(pid) for pid in pids))


def test_the_watching_process_is_killed(tmp_path: Path) -> None:
    with folder(tmp_path) as one:
        assert one._process is not None
        one._process.kill()
        result = sh(one, "echo no")
        assert result.rc is None and result.error is not None and result.error["kind"] == "exception"
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_comes_too_late_is_not_the_next_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watching process hangs (its disk does not answer) until nobody waits any more."""
    with folder(tmp_path) as one:
        assert one._process is not None
        monkeypatch.setattr(scratch, "GRACE", 0.3)
        one._process.send_signal(signal.SIGSTOP)
        late = sh(one, "echo first", seconds=0.2)
        one._process.send_signal(signal.SIGCONT)
        monkeypatch.setattr(scratch, "GRACE", 10.0)
        assert late.error == {"kind": "timeout", "message": "the process that watches the folder does not answer"}
        assert late.seconds >= 0.5
        assert sh(one, "echo second").stdout == "second\n"
        one.write("work/a", "text")
        assert one.read("work/a") == b"text"


def test_a_command_is_ended_where_its_folder_is_taken_away(tmp_path: Path) -> None:
    """As somebody's tidy program does."""
    with folder(tmp_path) as one:
        result = sh(one, f"echo $$ > {tmp_path}/pid; rm -rf {one.path}; exec sleep 300")
        assert result.rc is None and result.error is not None and result.seconds < 15
        assert wait_for(lambda: gone(int((tmp_path / "pid").read_text())))


def test_a_folder_that_another_run_is_looking_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the lock for a moment, to see whether somebody has it."""
    make = tempfile.mkdtemp

    def seen_at_once(**options: Any) -> str:
        path = make(**options)
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        threading.Timer(0.3, os.close, [descriptor]).start()
        return path

    monkeypatch.setattr(scratch_watch.tempfile, "mkdtemp", seen_at_once)
    watch = scratch_watch.Watch()
    try:
        assert watch.make([str(tmp_path)], 0)["base"] == str(tmp_path)
    finally:
        watch.close()
        os.close(watch.lock)


def leftover(base: Path, name: str = "goready-scratch-abcdefgh", *, marked: bool = True, mode: int = 0o700) -> Path:
    path = base / name
    path.mkdir(mode=0o700)
    if marked:
        (path / scratch_watch.MARKER).write_text(scratch_watch.MARKER_TEXT)
    (path / "cache").mkdir(mode=0o500)
    path.chmod(mode)
    return path


def test_what_a_dead_run_left_is_removed(tmp_path: Path) -> None:
    left = leftover(tmp_path)
    with folder(tmp_path):
        assert not left.exists()


@pytest.mark.parametrize(("name", "options"), [
    pytest.param("goready-scratch-abcdefg", {}, id="another name"),
    pytest.param("goready-scratch-abcdefgh.bak", {}, id="a longer name"),
    pytest.param("goready-scratch-abcdefgh", {"marked": False}, id="no marker"),
    pytest.param("goready-scratch-abcdefgh", {"mode": 0o755}, id="open to others"),
])
def test_what_is_not_surely_ours_stays(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    left = leftover(tmp_path, name, **options)
    with folder(tmp_path):
        assert left.exists()


def test_a_folder_that_is_in_use_stays(tmp_path: Path) -> None:
    left = leftover(tmp_path)
    descriptor = os.open(left, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with folder(tmp_path):
            assert left.exists()
    finally:
        os.close(descriptor)


def test_a_link_with_such_a_name_stays(tmp_path: Path) -> None:
    real = leftover(tmp_path, "elsewhere")
    (tmp_path / "goready-scratch-abcdefgh").symlink_to(real)
    with folder(tmp_path):
        assert real.exists() and (tmp_path / "goready-scratch-abcdefgh").is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
class TestAsAnotherUser:
    def test_everything_is_done_with_their_rights(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("x")
        secret.chmod(0o600)
        with scratch.Folder(Context(timeout=60.0), user="nobody", space=1 << 20) as one:
            owner = Path(one.path).stat()
            assert owner.st_uid == pwd.getpwnam("nobody").pw_uid and owner.st_mode & 0o777 == 0o700
            result = sh(one, f"id -u; id -G; cat {secret}")
            assert result.stdout.split() == [str(pwd.getpwnam("nobody").pw_uid), str(pwd.getpwnam("nobody").pw_gid)]
            assert "Permission denied" in "\n".join(result.output)
            sh(one, f"ln -s {secret} link")
            with pytest.raises(scratch.Unusable, match="Too many levels"):
                one.read("work/link")
        assert not Path(one.path).exists()

    def test_it_is_the_first_that_goes_when_memory_runs_out(self) -> None:
        with scratch.Folder(Context(timeout=60.0), user="nobody", space=1 << 20) as one:
            assert sh(one, "sleep 0.2; cat /proc/self/oom_score_adj").stdout == "1000\n"

    def test_a_number_without_a_name(self) -> None:
        with scratch.Folder(Context(timeout=60.0), user="54321", space=1 << 20) as one:
            assert sh(one, "id -u; id -G; touch x").stdout.split() == ["54321", "65534"]
            assert one.environment()["USER"] == "54321"

    def test_a_folder_that_they_cannot_write_is_passed_over(self) -> None:
        with tempfile.TemporaryDirectory() as base:
            Path(base).chmod(0o755)
            with folder(Path(base), user="nobody") as one:
                assert one.base in scratch.BASES
                assert one.passed_over == {base: {"kind": "permission", "message": f"{base}: Permission denied"}}


def test_a_user_who_is_not_there() -> None:
    with pytest.raises(scratch.Unusable, match="there is no user nobody-at-all") as caught:
        scratch.Folder(Context(), user="nobody-at-all")
    assert caught.value.error["kind"] == "unavailable"


def test_only_root_builds_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    one = scratch.Folder(Context(), user="nobody")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(scratch.Unusable, match="only root can build as the user nobody") as caught:
        with one:
            pass
    assert caught.value.error["kind"] == "permission"


def test_no_folder_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "BASES", ())
    with pytest.raises(scratch.Unusable, match=r"MiB free, of the \d+ MiB that are wanted") as caught, \
            folder(tmp_path, space=1 << 60, disk=1 << 61):
        pass
    assert caught.value.error["kind"] == "room"
    with pytest.raises(scratch.Unusable, match=r"no folder to work in: .*/none is no folder") as caught, folder(tmp_path / "none"):
        pass
    assert caught.value.error["kind"] == "unavailable"


def test_the_output_is_printable_and_without_credentials(tmp_path: Path) -> None:
    with folder(tmp_path) as one:
        result = sh(one, "seq 1 100; printf 'GOPROXY=https://ci:hunter22@proxy.example.org/\\033[31m\\n\\n'; "
                         "yes long | head -c 900 | tr -d '\\n'; echo")
    text = "\n".join(result.output)
    assert len(result.output) == 15 and max(map(len, result.output)) == 500
    assert "hunter22" not in text and "\033" not in text
    assert text.count("[redacted]") == 1


@pytest.mark.parametrize("first", ["fatal error: runtime: cannot allocate memory", "panic: runtime error: index out of range",
                                   "runtime/cgo: pthread_create failed: Resource temporarily unavailable",
                                   'compile: version "go1.21.13" does not match go tool version "go1.27.3"'])
def test_the_reason_is_kept_where_much_is_behind_it(first: str) -> None:
    """As go1.27.3 and go1.19.8 print it: the reason, then what every goroutine does, or all flags of another release's asm."""
    trace = [f"goroutine {number} [runnable]:" for number in range(40)]
    assert scratch.last_lines("\n".join(["# runtime", first, *trace])) == [first, *trace[-14:]]
    assert scratch.last_lines("\n".join([*trace, first])) == [*trace[-14:], first]


@given(st.text())
def test_any_output_becomes_bounded_lines(text: str) -> None:
    lines = scratch.last_lines(text)
    assert len(lines) <= scratch.LINES
    for line in lines:
        assert line.strip() and len(line) <= scratch.LINE_LENGTH
        assert all(char.isprintable() or char == "\t" for char in line)


def test_no_bytes_are_left_on_a_second_use(tmp_path: Path) -> None:
    one = folder(tmp_path)
    with one:
        pass
    with pytest.raises(scratch.Unusable, match="the folder is closed"):
        one.write("work/x", "")
