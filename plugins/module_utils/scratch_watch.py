# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process behind a scratch folder: it makes the folder, runs the commands in it and takes it away again.

``scratch.py`` sends this file's text to a Python of its own, which becomes the user that builds before it does anything else.
So nothing here ever happens with more rights than that user has: whatever lies in the folder, a link that leads out of it for
instance, can only lead to what the user could reach anyway. It imports nothing of the collection.

It reads one JSON object a line from standard input and answers each with one on standard output. When standard input ends
because the module ended, in whatever way, SIGKILL included, it ends what runs and removes the folder: the kernel closes a dead
process's pipes, so no other signal is needed. It is in a session of its own, so that what ends the module's does not end it.

How a folder is known as one of these, by the next run after a power failure: its name; its owner, who is this user; the file
:data:`MARKER` in it; and that nobody holds a lock on it (flock(2): it goes with the process that took it).
"""
from __future__ import annotations

import base64
import collections
import fcntl
import json
import os
import re
import resource
import selectors
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from typing import Any, Deque, Dict, Iterator, List, Optional, Tuple

PREFIX = "goready-scratch-"
NAME = re.compile(r"goready-scratch-[a-z0-9_]{8}\Z")  # tempfile's own eight characters
MARKER = ".goready-preflight-scratch"
MARKER_TEXT = "A temporary folder of the Ansible collection goready.preflight. It may be removed.\n"
#: Seconds after which a folder without a marker is one that was left behind between two system calls.
UNMARKED_AGE = 600.0
#: The folders in it that a build is told to use instead of the user's own.
FOLDERS = ("home", "tmp", "cache", "modcache", "gopath", "config", "work")
#: Go's commands (>= 1.23) count what they do and leave a process behind for it, unless this file says no (golang.org/x/telemetry,
#: Start; os.UserConfigDir()). It would write into a folder that is being removed.
SETTINGS = {"config/go/telemetry/mode": "off\n"}
#: Seconds in which processes that were sent SIGKILL are expected to be gone.
DYING = 2.0
#: What must stay free on the file system, whatever the bound says: others live on it.
RESERVE = 32 << 20
OUTPUT_LIMIT = 64 << 10
TICK = 0.25
#: RLIMIT_DATA is so much above the bound: it counts what is mapped, as thread stacks and Go's arenas of 64 MiB are, whether it is
#: used or not. What is used is watched, of all processes together.
MAPPED = 256 << 20
SCHED_IDLE = getattr(os, "SCHED_IDLE", 5)


class Refused(Exception):
    """What the folder cannot be made for: (kind, message)."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def become(uid: int, gid: int, name: str) -> None:
    """Be the user, for good, with the groups that a login would give."""
    if os.geteuid() != uid:
        try:
            os.initgroups(name, gid) if name else os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        except OSError as exc:
            raise Refused("permission", "only root can become the user %s: %s" % (name or uid, exc.strerror)) from None
    os.umask(0o022)
    os.chdir("/")


def usage(top: str) -> int:
    """Bytes on the disk below a folder; what vanishes meanwhile does not count."""
    total = 0
    todo = [top]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    total += status.st_blocks * 512
                    if stat.S_ISDIR(status.st_mode):
                        todo.append(entry.path)
        except OSError:
            continue
    return total


def remove(top: str) -> List[str]:
    """Remove the folder with all that is in it; what could not be removed is returned.

    The module cache's folders are read-only (cmd/go/internal/modfetch), so they are made writable first. No link is followed.
    """
    left: List[str] = []
    for _turn in range(3):  # what was just ended may still have been writing
        for folder, names, _files in os.walk(top, topdown=True, onerror=None, followlinks=False):
            names[:] = [name for name in names if not os.path.islink(os.path.join(folder, name))]
            for path in [folder] + [os.path.join(folder, name) for name in names]:
                try:
                    os.chmod(path, 0o700)
                except OSError:
                    pass  # said below, where it cannot be removed
        shutil.rmtree(top, ignore_errors=True)
        if not os.path.lexists(top):
            return []
        left = [top]
        time.sleep(0.05)
    return left


def left_behind(base: str) -> Iterator[str]:
    """The folders in ``base`` that are surely of a run that is dead."""
    try:
        names = os.listdir(base)
    except OSError:
        return
    for name in names:
        path = os.path.join(base, name)
        if not NAME.match(name):
            continue
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            status = os.fstat(descriptor)
            if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != 0o700:
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _marked(descriptor) or (not os.listdir(descriptor) and time.time() - status.st_mtime > UNMARKED_AGE):
                yield path
        except OSError:
            continue  # somebody holds the lock: it is in use
        finally:
            os.close(descriptor)


def _marked(folder: int) -> bool:
    try:
        descriptor = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        return os.read(descriptor, 4096) == MARKER_TEXT.encode()
    finally:
        os.close(descriptor)


def free(path: str) -> int:
    """Bytes that this user may still write there."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


class Group:
    """The processes of one command: its session, as /proc shows it, without those that have ended."""

    def __init__(self, leader: int, folder: str) -> None:
        self.leader = leader
        self.folder = os.fsencode(folder) + b"/"

    def pids(self) -> List[int]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/stat" % name, "rb") as handle:
                        fields = handle.read(4096).rpartition(b") ")[2].split()
                except OSError:
                    continue
                # The state and the session, proc(5).
                if len(fields) > 3 and int(fields[3]) == self.leader and fields[0] not in (b"Z", b"X"):
                    found.append(int(name))
        return found

    def strays(self) -> List[int]:
        """What left the session, as daemons do, and still has the folder in its environment."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/environ" % name, "rb") as handle:
                        if self.folder in handle.read(1 << 16):
                            found.append(int(name))
                except OSError:
                    continue  # it ended, or is somebody else's
        return found

    def memory(self) -> int:
        """Bytes of anonymous memory that they have together; what they share (the programs themselves) is no cost."""
        total = 0
        for pid in self.pids():
            try:
                with open("/proc/%d/status" % pid, "rb") as handle:
                    found = re.search(rb"^RssAnon:\s*(\d+) kB", handle.read(4096), re.MULTILINE)
            except OSError:
                continue
            total += int(found.group(1)) * 1024 if found else 0
        return total

    def kill(self) -> None:
        """End all of them, also those that made a process group or a session of their own, and wait until they are gone."""
        _quietly_kill(-self.leader)
        end = time.monotonic() + DYING
        while True:
            pids = self.pids() + self.strays()
            if not pids or time.monotonic() > end:
                return
            for pid in pids:
                _quietly_kill(pid)
            time.sleep(0.005)


def _quietly_kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


class Watch:
    """One folder."""

    def __init__(self) -> None:
        self.path = ""
        self.lock = -1
        self.buffer = b""
        self.ended = False  # the module's end of the pipe is closed
        self.disk = 0
        self.memory = 0
        self.peak = 0
        self.turn = 0  # number of the request that is being answered

    # --- the conversation -------------------------------------------------------------------------------------------------

    def line(self) -> Optional[Dict[str, Any]]:
        """The next request, None when there will be no more."""
        while b"\n" not in self.buffer:
            if not self.more():
                return None
        text, self.buffer = self.buffer.split(b"\n", 1)
        found: Dict[str, Any] = json.loads(text)
        self.turn = int(found["turn"])
        return found

    def more(self) -> bool:
        try:
            chunk = os.read(0, 1 << 16)
        except OSError:
            chunk = b""
        self.buffer += chunk
        self.ended = self.ended or not chunk
        return bool(chunk)

    def say(self, **values: Any) -> None:
        data = json.dumps(dict(values, turn=self.turn)).encode() + b"\n"
        while data:
            try:
                data = data[os.write(1, data):]
            except OSError:
                return  # nobody listens; that standard input has ended is seen at the next read

    # --- the folder -------------------------------------------------------------------------------------------------------

    def make(self, bases: List[str], space: int) -> Dict[str, Any]:
        """Make the folder in the first of ``bases`` that has room for it."""
        reasons: List[Tuple[str, str, str]] = []
        for base in bases:
            try:
                if not os.path.isdir(base):
                    reasons.append((base, "unavailable", "%s is no folder" % base))
                    continue
                for path in left_behind(base):
                    remove(path)
                room = free(base)
                if room < space:
                    kind = "space" if room < min(space, RESERVE) else "room"
                    reasons.append((base, kind, "%s has %d MiB free, of the %d MiB that are wanted" % (base, room >> 20, space >> 20)))
                    continue
                if os.statvfs(base).f_favail == 0 and os.statvfs(base).f_files:
                    reasons.append((base, "space", "%s has no inode free" % base))
                    continue
                self.path = tempfile.mkdtemp(prefix=PREFIX, dir=base)
                break
            except OSError as exc:
                kind = "space" if exc.errno in (28, 122) else "permission"  # ENOSPC, EDQUOT
                reasons.append((base, kind, "%s: %s" % (base, exc.strerror)))
        if not self.path:
            kinds = [kind for _base, kind, _text in reasons]
            raise Refused(next((kind for kind in ("room", "space") if kind in kinds), kinds[0] if kinds else "unavailable"),
                          "no folder to work in: %s" % "; ".join(text for _base, _kind, text in reasons))
        self.lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        # Another run that looks for what was left behind may hold it for a moment.
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.write(MARKER, MARKER_TEXT)
        for name in FOLDERS:
            os.mkdir(os.path.join(self.path, name), 0o700)
        for name, text in SETTINGS.items():
            self.write(name, text)
        base = os.path.dirname(self.path)
        return {"path": self.path, "base": base, "noexec": bool(os.statvfs(base).f_flag & os.ST_NOEXEC), "free": free(base),
                "passed_over": reasons}

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(text)
        os.chmod(path, mode)

    def read(self, name: str, limit: int) -> str:
        descriptor = os.open(os.path.join(self.path, name), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as handle:
            if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
                raise OSError(22, "it is no regular file")
            return base64.b64encode(handle.read(limit)).decode()

    def bounds(self) -> Optional[Tuple[str, str]]:
        """Which bound of the folder is passed."""
        used = usage(self.path)
        self.peak = max(self.peak, used)
        if used > self.disk:
            return "disk", "the folder passed its bound of %d MiB" % (self.disk >> 20)
        room = free(self.path)
        if room < RESERVE:
            return "room", "%s has only %d MiB left free" % (os.path.dirname(self.path), room >> 20)
        return None

    # --- commands ---------------------------------------------------------------------------------------------------------

    def limits(self) -> None:
        """In the child, before the command: the lowest priority, and the bounds of one process."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.nice(19)
        try:
            # This class also puts the disk's queue at "idle" (task_nice_ioclass() of include/linux/ioprio.h).
            os.sched_setscheduler(0, SCHED_IDLE, os.sched_param(0))
        except OSError:
            pass  # a sandbox may forbid it; nice is left
        # Not RLIMIT_AS: the Go runtime reserves far more addresses than it ever uses.
        for kind, value in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, self.disk), (resource.RLIMIT_DATA, self.memory + MAPPED),
                            (resource.RLIMIT_CPU, self.cpu)):
            hard = resource.getrlimit(kind)[1]
            if hard == resource.RLIM_INFINITY or value < hard:
                resource.setrlimit(kind, (value, value))

    cpu = 600

    def run(self, argv: List[str], env: Dict[str, str], cwd: str, seconds: float) -> Dict[str, Any]:
        """Run a command to its end, its deadline, or the first bound that it passes."""
        begin = time.monotonic()
        self.cpu = int(seconds * 8) + 10  # if everything that watches it were dead, it ends all the same
        try:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                                       cwd=cwd, close_fds=True, preexec_fn=self.limits)
        except OSError as exc:
            # Without the program's name it is no program's fault: no process could be made, the folder is gone.
            kind = "permission" if isinstance(exc, PermissionError) else "unavailable" if exc.filename == argv[0] else "exception"
            return {"rc": None, "seconds": 0.0, "error": {"kind": kind, "message": "%s: %s" % (exc.filename or argv[0], exc.strerror)}}
        except (subprocess.SubprocessError, ValueError) as exc:  # ValueError: a NUL in a variable
            return {"rc": None, "seconds": 0.0, "error": {"kind": "exception", "message": "%s: %s" % (argv[0], exc)}}
        self.say(pid=process.pid)
        # The first to go when memory runs out; and the last to get a CPU where the kernel shares them out by sessions, within which
        # alone a nice value counts (sched(7), "The autogroup feature"). Not by the child: until execve(2) who became another user may
        # not open its own files there (PR_SET_DUMPABLE, prctl(2)).
        for name, value in (("oom_score_adj", b"1000"), ("autogroup", b"19")):
            try:
                with open("/proc/%d/%s" % (process.pid, name), "wb") as handle:
                    handle.write(value)
            except OSError:
                pass  # it has ended, a sandbox forbids it, or the kernel has no such groups
        group = Group(process.pid, self.path)
        try:
            answer = self.attend(process, group, begin + seconds)
        finally:
            group.kill()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                pass  # it hangs in the kernel (a dead file server)
        error = answer["error"] or self.bounds()
        return dict(answer, rc=None if error else process.returncode, seconds=time.monotonic() - begin, bytes=self.peak,
                    error={"kind": error[0], "message": error[1]} if error else None)

    def attend(self, process: subprocess.Popen[bytes], group: Group, end: float) -> Dict[str, Any]:
        """What a command prints until its end, its deadline or a bound: {tail, stdout, memory, error}."""
        begin = time.monotonic()
        tail: Deque[bytes] = collections.deque()
        kept = 0
        out = bytearray()
        error: Optional[Tuple[str, str]] = None
        memory = 0
        looked = begin - TICK
        cost = 0.0  # seconds of CPU that the last look at the bounds took
        grace = 0.0
        with selectors.DefaultSelector() as selector:
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    selector.register(pipe, selectors.EVENT_READ)
            selector.register(0, selectors.EVENT_READ)
            while error is None:
                now = time.monotonic()
                if now >= end:
                    error = ("timeout", "it did not end within %.0f s" % (end - begin))
                    break
                ready = selector.select(min(TICK, end - now))
                for key, _events in ready:
                    if key.fd == 0:
                        if not self.more():
                            error = ("cancelled", "the module ended")
                        continue
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        selector.unregister(key.fileobj)
                        continue
                    if key.fileobj is process.stdout and len(out) < OUTPUT_LIMIT:
                        out += chunk[:OUTPUT_LIMIT - len(out)]
                    tail.append(chunk)
                    kept += len(chunk)
                    while kept - len(tail[0]) > OUTPUT_LIMIT:
                        kept -= len(tail.popleft())
                if process.poll() is not None and (len(selector.get_map()) == 1 or not ready):
                    break
                if process.returncode is not None:
                    # A child that it left behind keeps the pipe open.
                    grace = grace or time.monotonic() + 1.0
                    if time.monotonic() > grace:
                        break
                # Many files and many processes are dear to look at: no more than a tenth of a CPU, while a build has the lowest priority.
                if time.monotonic() - looked >= max(TICK, 10 * cost):
                    cost = time.process_time()
                    error = error or self.bounds()
                    used = group.memory()
                    memory = max(memory, used)
                    if used > self.memory:
                        error = error or ("memory", "it passed its bound of %d MiB of memory" % (self.memory >> 20))
                    looked, cost = time.monotonic(), time.process_time() - cost
        return {"tail": b"".join(tail).decode("utf-8", "replace"), "stdout": bytes(out).decode("utf-8", "replace"), "memory": memory,
                "error": error}

    def close(self) -> List[str]:
        return remove(self.path) if self.path else []


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the module's end is told by the pipe alone
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    watch = Watch()
    try:
        first = watch.line()
        if first is None:
            return
        watch.disk, watch.memory = int(first["disk"]), int(first["memory"])
        try:
            become(int(first["uid"]), int(first["gid"]), str(first["name"]))
            watch.say(**watch.make([str(base) for base in first["bases"]], int(first["space"])))
        except Refused as exc:
            watch.say(error={"kind": exc.kind, "message": str(exc)})
            return
        except OSError as exc:
            watch.say(error={"kind": "space" if exc.errno in (28, 122) else "permission",
                             "message": "%s: %s" % (watch.path or "no folder to work in", exc.strerror)})
            return
        while True:
            request = watch.line()
            if request is None or request["do"] == "end":
                left = watch.close()
                watch.path = ""
                watch.say(left=left, bytes=watch.peak)
                return
            try:
                if request["do"] == "write":
                    watch.write(request["name"], request["text"])
                    watch.say(done=True)
                elif request["do"] == "read":
                    watch.say(data=watch.read(request["name"], request["limit"]))
                else:
                    watch.say(**watch.run(request["argv"], request["env"], request["cwd"], request["seconds"]))
            except OSError as exc:
                watch.say(error={"kind": "space" if exc.errno in (28, 122) else "permission", "message": str(exc)})
    finally:
        watch.close()


if __name__ == "__main__":
    main()
