# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes below a user's home, made with that user's rights.

Whoever owns a folder decides what the names in it mean: a symbolic link there, put in the place of a folder a moment before
root writes, would let root write where the user may not. So everything that touches such a path runs with the effective ids
of the user (seteuid(2)): the kernel then refuses what it would refuse the user. The journal stays root's.
"""
from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from ansible_collections.goready.preflight.plugins.module_utils.changing import ABSENT, Changes, State

# Settings are small. Somebody who links a device or a disk image there gets one sentence.
LIMIT = 1 << 20


class Identity(NamedTuple):
    name: str
    uid: int
    gid: int
    groups: Tuple[int, ...]


def identity(name: str, uid: int, gid: int) -> Identity:
    return Identity(name, uid, gid, tuple(os.getgrouplist(name, gid)))


@contextlib.contextmanager
def acting_as(who: Optional[Identity]) -> Iterator[None]:
    """The effective user, group and groups of ``who`` for the block. For the whole process: no other thread may run."""
    if who is None or os.geteuid() == who.uid:
        yield
        return
    if os.geteuid() != 0:
        raise PermissionError(errno.EPERM, "only root can change files of %s" % who.name)
    gid, groups = os.getegid(), os.getgroups()
    try:
        os.setgroups(list(who.groups))
        os.setegid(who.gid)
        os.seteuid(who.uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


class UserChanges(Changes):
    """:class:`Changes` whose paths may belong to a user: what is asked within :meth:`of` is done with that user's rights,
    and so is taking it back, also by a later call."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._acting: Optional[Identity] = None
        self._actors: Dict[str, Identity] = {}
        #: How a path's text is shown in the difference, where not as it is.
        self.shown: Dict[str, Callable[[str], str]] = {}

    def __enter__(self) -> UserChanges:
        super().__enter__()
        if self.check_mode:
            # The journal of a real call would have made it.
            folder = os.path.dirname(self.record_path)
            self._overlay.setdefault(folder, State("directory", b"", 0o700, os.geteuid(), os.getegid()))
        return self

    @contextlib.contextmanager
    def of(self, who: Optional[Identity]) -> Iterator[None]:
        """Paths that are touched in this block belong to ``who``; None: to whoever runs this."""
        before, self._acting = self._acting, who
        try:
            yield
        finally:
            self._acting = before

    @property
    def record_path(self) -> str:
        """Where a module keeps what it has set over the calls: beside the journals, for root alone."""
        return "%s/%s.json" % (self._state_dir[len(self._root):], self.name)

    @property
    def diff(self) -> List[Dict[str, str]]:
        found = super().diff
        for entry in found:
            shown = self.shown.get(entry["after_header"])
            if shown is not None:
                entry.update(before=shown(entry["before"]), after=shown(entry["after"]))
        return found

    def _actor(self, path: str) -> Optional[Identity]:
        return self._actors.get(path, self._acting)

    def state(self, path: str) -> State:
        who = self._actor(path)
        if who is None or path in self._overlay:
            return super().state(path)
        with acting_as(who):
            return _state(self._real(path), path)

    def write(self, path: str, content: Union[str, bytes], *, mode: int = 0o644, owner: Optional[Tuple[int, int]] = None,
              secret: bool = False) -> bool:
        if owner is None and self._acting is not None and self.state(path).kind == "absent":
            owner = (self._acting.uid, self._acting.gid)
        return super().write(path, content, mode=mode, owner=owner, secret=secret)

    def directory(self, path: str, *, mode: int = 0o755, owner: Optional[Tuple[int, int]] = None) -> bool:
        if owner is None and self._acting is not None:
            owner = (self._acting.uid, self._acting.gid)
        return super().directory(path, mode=mode, owner=owner)

    def undo(self) -> List[str]:
        for record in self._records:
            if record.get("as"):
                name, uid, gid, groups = record["as"]
                self._actors[record["path"]] = who = Identity(name, uid, gid, tuple(groups))
                temporary = record.pop("temporary", None)
                if temporary:
                    with acting_as(who), contextlib.suppress(OSError):
                        os.unlink(self._real(temporary))
        return super().undo()

    def _names(self, path: str) -> List[str]:
        with acting_as(self._actor(path)):
            return super()._names(path)

    def _change(self, path: str, before: State, after: State, secret: bool) -> bool:
        if self._acting is not None and before != after:
            self._actors[path] = self._acting
        return super()._change(path, before, after, secret)

    def _write_record(self, record: Dict[str, Any]) -> None:
        who = self._actor(record["path"])
        if who is not None:
            record["as"] = [who.name, who.uid, who.gid, list(who.groups)]
        super()._write_record(record)

    def _place(self, path: str, state: State, temporary: Optional[str]) -> None:
        with acting_as(self._actor(path)):
            super()._place(path, state, temporary)

    def _restore(self, path: str, state: State, temporary: Optional[str] = None) -> None:
        with acting_as(self._actor(path)):
            super()._restore(path, state, temporary)


def _state(real: str, path: str) -> State:
    try:
        about = os.lstat(real)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    mode = stat.S_IMODE(about.st_mode)
    if stat.S_ISLNK(about.st_mode):
        return State("link", os.fsencode(os.readlink(real)), 0, about.st_uid, about.st_gid)
    if stat.S_ISDIR(about.st_mode):
        return State("directory", b"", mode, about.st_uid, about.st_gid)
    if stat.S_ISREG(about.st_mode):
        # It may have been replaced since: not followed, and not waited for where it is a FIFO now.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            about = os.fstat(handle)
            if stat.S_ISREG(about.st_mode):
                content = stream.read(LIMIT + 1)
                if len(content) > LIMIT:
                    raise ValueError("%s has more than %d bytes" % (path, LIMIT))
                return State("file", content, stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid)
    raise ValueError("%s is neither a file, nor a folder, nor a symbolic link" % path)
