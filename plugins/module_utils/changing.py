# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module changes a host: one at a time, journalled, and taken back where it did not end well.

:class:`Changes` is to what changes what ``collecting.Context`` is to what reads. Before anything is touched, how it was is
written to a journal on the disk, so that an exception takes the changes back at once and the next call takes back what a
killed one has left. A lock (``flock``, which the kernel frees when its holder dies) lets one module at a time change a host.

Check mode writes nothing, takes no lock, and records the very entries that the real call records.
"""
from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import json
import os
import stat
import time
from typing import Any, Dict, IO, List, NamedTuple, Optional, Tuple, Union

_UNSHOWN = "(not shown)\n"


class Busy(Exception):
    """Another remediation holds the host's lock; the text says which and since when."""


class State(NamedTuple):
    """What is at a path. ``kind``: absent, file, link, directory; ``content``: a file's bytes, a link's target."""

    kind: str = "absent"
    content: bytes = b""
    mode: int = 0
    uid: int = 0
    gid: int = 0


ABSENT = State()


class Changes:
    """What one module call changes. Use it as a context manager, and leave it before ``exit_json``.

    Leaving it by an exception takes everything back and removes the journal; leaving it in peace commits. ``root`` is put
    before every path (a test's). Raises :class:`Busy` after ``lock_timeout`` seconds, OSError where the file system refuses,
    ValueError for a path that is something else than what it should be (a symbolic link in place of a file).
    """

    def __init__(self, name: str, *, check_mode: bool = False, root: str = "/", state_dir: Optional[str] = None,
                 lock_dir: Optional[str] = None, lock_timeout: float = 120.0) -> None:
        self.name = name
        self.check_mode = check_mode
        self.recovered: List[str] = []
        #: In check mode: what the real call would take back of a killed one, before it begins.
        self.pending: List[str] = []
        self._root = root.rstrip("/")
        # /var/lib and /run belong to root alone: nobody else can plant a journal or a lock there.
        private = os.geteuid() != 0 and root == "/"
        home = os.path.join(os.path.expanduser("~"), ".local", "state", "goready-preflight")
        self._state_dir = state_dir or (home if private else self._real("/var/lib/goready-preflight"))
        self._lock_path = os.path.join(lock_dir or (home if private else self._real("/run")), "goready-preflight.lock")
        self._lock_timeout = lock_timeout
        self._lock: Optional[IO[str]] = None
        self._journal: Optional[IO[str]] = None
        self._records: List[Dict[str, Any]] = []
        self._stuck = False
        self._overlay: Dict[str, State] = {}
        # In the order in which they were first touched; notes have their own entry among them.
        self._before: Dict[str, State] = {}
        self._after: Dict[str, State] = {}
        self._secret: Dict[str, bool] = {}
        self._entries: List[Union[str, Dict[str, str]]] = []

    # The transaction

    def __enter__(self) -> Changes:
        if self.check_mode:
            for record in reversed(_read_journal(self._journal_path)):
                self._overlay[record["path"]] = _state_of(record)
            self.pending = list(self._overlay)
            return self
        self._take_lock()
        try:
            self._records = _read_journal(self._journal_path)
            if self._records:
                self.recovered = self.undo()
        except BaseException:
            self._free_lock()
            raise
        return self

    def __exit__(self, kind: Any, exc: Optional[BaseException], trace: Any) -> None:
        try:
            if exc is None or (isinstance(exc, SystemExit) and not exc.code):
                self.commit()
            else:
                self.undo()
        finally:
            self._free_lock()

    def commit(self) -> None:
        """What was changed until now stays."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._stuck:
            return  # what could not be taken back is for the next call, however this one goes on
        self._records = []
        if not self.check_mode:
            _unlink(self._journal_path)
            _rmdir(self._state_dir)

    def undo(self) -> List[str]:
        """Take back every change of a path since the last commit, the newest first, and return the paths.

        Every one is tried; where one cannot be taken back, OSError is raised at the end and the journal stays for the next
        call. What somebody else has changed since is left as it is, and said so. Notes stay listed: what they tell has
        happened.
        """
        done: List[str] = []
        failures: List[str] = []
        known: Dict[str, List[str]] = {}
        for record in self._records:
            known.setdefault(record["path"], []).extend([_digest(_state_of(record)), record.get("after") or ""])
        foreign: List[str] = []
        for record in reversed(self._records):
            path = record["path"]
            try:
                if record.get("temporary"):
                    _unlink(self._real(record["temporary"]))
                if path in foreign:
                    continue
                if _digest(self.state(path)) not in known[path]:
                    foreign.append(path)
                    continue
                self._restore(path, _state_of(record), record.get("temporary"))
            except (OSError, ValueError) as exc:
                failures.append("%s: %s" % (path, getattr(exc, "strerror", None) or exc))
                continue
            if path not in done:
                done.append(path)
        if failures:
            self._stuck = True
            raise OSError("not taken back: %s (how it was stays in %s)" % ("; ".join(failures), self._journal_path))
        self._after = dict(self._before)
        self._stuck = False
        self.commit()
        return done + ["%s (left as it is: it was changed again since)" % path for path in reversed(foreign)]

    # The changes

    def state(self, path: str) -> State:
        """What is at ``path`` now; in check mode, what would be."""
        if path in self._overlay:
            return self._overlay[path]
        real = self._real(path)
        try:
            about = os.lstat(real)
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        mode = stat.S_IMODE(about.st_mode)
        if stat.S_ISLNK(about.st_mode):
            return State("link", os.fsencode(os.readlink(real)), 0, about.st_uid, about.st_gid)
        if stat.S_ISDIR(about.st_mode):
            return State("directory", b"", mode, about.st_uid, about.st_gid)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("%s is neither a file, nor a folder, nor a symbolic link" % path)
        # It may have been replaced since: not followed, and not waited for where it is a pipe now.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise ValueError("%s is no file any more" % path)
            return State("file", stream.read(), stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid)

    def read(self, path: str) -> Optional[bytes]:
        """A file's content, None where there is no file."""
        found = self.state(path)
        return found.content if found.kind == "file" else None

    def write(self, path: str, content: Union[str, bytes], *, mode: int = 0o644, owner: Optional[Tuple[int, int]] = None,
              secret: bool = False) -> bool:
        """Let ``path`` be a file of this content, mode and (uid, gid); without ``owner`` an existing file keeps its own."""
        before = self.state(path)
        if before.kind not in ("absent", "file"):
            raise ValueError("%s is a %s: a file is written there only where none or a file is" % (path, _WORDS[before.kind]))
        if owner is None:
            owner = (before.uid, before.gid) if before.kind == "file" else (os.geteuid(), os.getegid())
        raw = content.encode("utf-8") if isinstance(content, str) else content
        return self._change(path, before, State("file", raw, mode, owner[0], owner[1]), secret)

    def remove(self, path: str, *, secret: bool = False) -> bool:
        """Let no file and no symbolic link be at ``path``."""
        before = self.state(path)
        if before.kind == "directory":
            raise ValueError("%s is a folder: only files and symbolic links are removed" % path)
        return self._change(path, before, ABSENT, secret)

    def directory(self, path: str, *, mode: int = 0o755, owner: Optional[Tuple[int, int]] = None) -> bool:
        """Let ``path`` be a folder, with its parents. One that exists is left as it is."""
        before = self.state(path)
        if before.kind == "directory":
            return False
        if before.kind == "link" and os.path.isdir(self._real(path)):
            return False
        if before.kind != "absent":
            raise ValueError("%s is a %s, not a folder" % (path, _WORDS[before.kind]))
        parent = os.path.dirname(path.rstrip("/"))
        if parent not in ("", "/", path):
            self.directory(parent, owner=owner)
        uid, gid = owner if owner is not None else (os.geteuid(), os.getegid())
        return self._change(path, before, State("directory", b"", mode, uid, gid), False)

    def remove_directory(self, path: str) -> bool:
        """Remove a folder if it is empty; one that holds something, or is none, stays."""
        before = self.state(path)
        if before.kind != "directory" or self._names(path):
            return False
        return self._change(path, before, ABSENT, False)

    def link(self, path: str, target: str) -> bool:
        """Let ``path`` be a symbolic link to ``target``; it replaces another link, not a file."""
        before = self.state(path)
        if before.kind not in ("absent", "link"):
            raise ValueError("%s is a %s: a link is made there only where none or a link is" % (path, _WORDS[before.kind]))
        if before.kind == "link" and before.content == os.fsencode(target):
            return False
        return self._change(path, before, State("link", os.fsencode(target), 0, os.geteuid(), os.getegid()), False)

    def note(self, what: str, action: str, detail: str = "") -> None:
        """Record a change that is no path: ``note("unit api.service", "restarted")``. Taking it back is the caller's."""
        self._entries.append({"path": what, "action": action, "detail": detail})

    # What was done

    @property
    def changed(self) -> bool:
        return bool(self.changes)

    @property
    def changes(self) -> List[Dict[str, str]]:
        """``{path, action, detail}`` of every change that lasts, in the order of its beginning. A path that is again as it
        was is none."""
        found = []
        for entry in self._entries:
            if isinstance(entry, dict):
                found.append(dict(entry))
                continue
            before, after = self._before[entry], self._after[entry]
            if before == after:
                continue
            action = "created" if before.kind == "absent" else "removed" if after.kind == "absent" else "changed"
            found.append({"path": entry, "action": action, "detail": _detail(before, after)})
        return found

    @property
    def diff(self) -> List[Dict[str, str]]:
        """The same as Ansible's ``--diff`` shows it."""
        found = []
        for entry in self._entries:
            if isinstance(entry, dict):
                line = "%s: %s%s\n" % (entry["path"], entry["action"], " (%s)" % entry["detail"] if entry["detail"] else "")
                found.append({"before_header": entry["path"], "after_header": entry["path"], "before": "", "after": line})
                continue
            before, after = self._before[entry], self._after[entry]
            if before != after:
                hide = self._secret.get(entry, False)
                found.append({
                    "before_header": entry, "after_header": entry,
                    "before": _shown(before, hide), "after": _shown(after, hide, "changed " if hide else ""),
                })
        return found

    def as_result(self) -> Dict[str, Any]:
        """The keys that a module returns."""
        return {"changed": self.changed, "changes": self.changes, "diff": self.diff, "recovered": self.recovered}

    # How

    def _real(self, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError("%r is no absolute path" % path)
        return self._root + path

    @property
    def _journal_path(self) -> str:
        return os.path.join(self._state_dir, "%s.journal" % self.name.replace("/", "-"))

    def _has_folder(self, path: str) -> bool:
        """Whether the folder of a path is there. A link that this very call has made leads nowhere yet: in check mode it is
        not there to be followed, and the real call must do what check mode says."""
        parent = folder = os.path.dirname(path.rstrip("/")) or "/"
        while folder != "/":
            if (folder in self._before or folder in self._overlay) and self.state(folder).kind != "directory":
                return False
            folder = os.path.dirname(folder)
        return self.state(parent).kind == "directory" or os.path.isdir(self._real(parent))

    def _names(self, path: str) -> List[str]:
        """What a folder holds, or would hold."""
        prefix = path.rstrip("/") + "/"
        real = self._real(path)
        names = set(os.listdir(real)) if os.path.isdir(real) else set()
        for one, state in self._overlay.items():
            if one.startswith(prefix) and "/" not in one[len(prefix):]:
                name = one[len(prefix):]
                if state.kind == "absent":
                    names.discard(name)
                else:
                    names.add(name)
        return sorted(names)

    def _change(self, path: str, before: State, after: State, secret: bool) -> bool:
        if before == after:
            return False
        if not self._has_folder(path):
            raise FileNotFoundError(errno.ENOENT, "there is no folder to put it in", path)
        if path not in self._before:
            self._before[path] = self._after[path] = before
            self._entries.append(path)
        self._secret[path] = secret or self._secret.get(path, False)
        if self.check_mode:
            self._overlay[path] = after
        else:
            self._apply(path, before, after)
        self._after[path] = after
        return True

    def _apply(self, path: str, before: State, after: State) -> None:
        record: Dict[str, Any] = {
            "path": path, "kind": before.kind, "content": base64.b64encode(before.content).decode("ascii"),
            "mode": before.mode, "uid": before.uid, "gid": before.gid, "after": _digest(after),
        }
        if after.kind in ("file", "link"):
            record["temporary"] = _temporary(path)
        self._write_record(record)
        self._records.append(record)
        self._place(path, after, record.get("temporary"))

    def _place(self, path: str, state: State, temporary: Optional[str]) -> None:
        real = self._real(path)
        if state.kind == "absent":
            if os.path.isdir(real) and not os.path.islink(real):
                os.rmdir(real)
            else:
                _unlink(real)
        elif state.kind == "directory":
            os.mkdir(real, 0o700)
            _own(real, state)
            os.chmod(real, state.mode)
        else:
            part = self._real(str(temporary))
            _unlink(part)
            if state.kind == "link":
                os.symlink(os.fsdecode(state.content), part)
            else:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with os.fdopen(handle, "wb") as stream:
                    stream.write(state.content)
                    stream.flush()
                    _own(part, state)
                    os.fchmod(stream.fileno(), state.mode)
                    os.fsync(stream.fileno())
            os.replace(part, real)
        _sync(os.path.dirname(real))

    def _restore(self, path: str, state: State, temporary: Optional[str] = None) -> None:
        """Let ``path`` be as ``state`` says. A folder of ours that somebody has put something into stays."""
        now = self.state(path)
        if now == state:
            return
        if state.kind == "absent" and now.kind == "directory" and os.listdir(self._real(path)):
            return
        if state.kind == "directory" and now.kind == "directory":
            os.chmod(self._real(path), state.mode)
            return
        # By the name in the journal where there is one, so that a kill in here leaves nothing that nobody knows of.
        self._place(path, state, temporary or _temporary(path))

    def _write_record(self, record: Dict[str, Any]) -> None:
        if self._journal is None:
            os.makedirs(self._state_dir, 0o700, exist_ok=True)
            # What was in a file before may be secret: 0600. Half a line of a call that was killed is of nothing that was done.
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_APPEND if self._records else os.O_TRUNC)
            handle = os.open(self._journal_path, flags, 0o600)
            self._journal = os.fdopen(handle, "a", encoding="utf-8")
            _sync(self._state_dir)
        self._journal.write(json.dumps(record) + "\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _take_lock(self) -> None:
        os.makedirs(os.path.dirname(self._lock_path), 0o755, exist_ok=True)
        handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._lock = os.fdopen(handle, "r+", encoding="utf-8", errors="replace")
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self._lock.seek(0)
                    holder = self._lock.read(200).strip() or "it has not said its name"
                    self._lock.close()
                    self._lock = None
                    raise Busy("another remediation changes this host: %s; waited %d s for it to end"
                               % (holder, self._lock_timeout)) from None
                time.sleep(0.2)
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.write("%s, PID %d, since %s\n" % (self.name, os.getpid(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())))
        self._lock.flush()

    def _free_lock(self) -> None:
        # The file stays: removing it would let a third one lock a new file while a second still waits at this one.
        if self._lock is not None:
            self._lock.close()
            self._lock = None


_WORDS = {"absent": "missing file", "file": "file", "link": "symbolic link", "directory": "folder"}


def _read_journal(path: str) -> List[Dict[str, Any]]:
    """The records of a journal. The last line may be half (a kill while it was written): then nothing was done after it."""
    try:
        with open(path, encoding="utf-8") as stream:
            lines = stream.read().split("\n")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines[:-1]]


def _state_of(record: Dict[str, Any]) -> State:
    return State(record["kind"], base64.b64decode(record["content"]), record["mode"], record["uid"], record["gid"])


def _digest(state: State) -> str:
    return hashlib.sha256(repr(tuple(state)).encode("utf-8")).hexdigest()


def _temporary(path: str) -> str:
    """Beside the path, with no suffix that any program reads: drop-ins and included files end in .conf or .service."""
    folder, name = os.path.split(path)
    return "%s/.%s.%d.goready~" % (folder.rstrip("/"), name[:100], os.getpid())


def _detail(before: State, after: State) -> str:
    if after.kind == "link":
        return "to %s" % os.fsdecode(after.content)
    if before.kind != "absent" and after.kind == before.kind == "file" and before.content == after.content:
        if before.mode != after.mode:
            return "mode %04o to %04o" % (before.mode, after.mode)
        return "owner %d:%d to %d:%d" % (before.uid, before.gid, after.uid, after.gid)
    return ""


def _shown(state: State, hide: bool, word: str = "") -> str:
    if state.kind == "absent":
        return ""
    if state.kind == "directory":
        return "folder, mode %04o\n" % state.mode
    if state.kind == "link":
        return "link to %s\n" % os.fsdecode(state.content)
    if hide:
        return word + _UNSHOWN
    try:
        return state.content.decode("utf-8")
    except UnicodeDecodeError:
        return "(%d bytes that are no text)\n" % len(state.content)


def _own(path: str, state: State) -> None:
    about = os.lstat(path)
    if (about.st_uid, about.st_gid) != (state.uid, state.gid):
        os.chown(path, state.uid, state.gid, follow_symlinks=False)


def _unlink(path: str) -> None:
    # A filesystem that is read-only refuses (EROFS) before it sees that there is nothing to remove.
    if os.path.lexists(path):
        os.unlink(path)


def _rmdir(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:  # other modules' journals are in it, or it was never made
        pass


def _sync(folder: str) -> None:
    """Let a rename outlast a power cut: the folder's own data on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
