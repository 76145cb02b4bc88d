# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/PID/mountinfo (proc_pid_mountinfo(5)): the mounts of a namespace."""
from __future__ import annotations

import re
from typing import FrozenSet, List, NamedTuple, Optional, Sequence

_OCTAL = re.compile(r"\\([0-7]{3})")
# Where a server, a cluster or a program answers for the filesystem: asking it may wait for ever.
_REMOTE = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "afs", "lustre", "gpfs", "beegfs", "ocfs2",
                     "gfs2", "9p", "virtiofs", "coda", "orangefs", "fuse", "fuseblk", "davfs", "autofs"))


class Mount(NamedTuple):
    """One mount. ``device`` is major:minor, ``source`` what the administrator named, ``root`` the folder of the
    filesystem that is mounted (another than / is a bind mount or a subvolume)."""

    device: str
    root: str
    mount_point: str
    options: FrozenSet[str]
    fstype: str
    source: str
    super_options: FrozenSet[str]

    @property
    def read_only(self) -> bool:
        return "ro" in self.options or "ro" in self.super_options

    @property
    def remote(self) -> bool:
        return self.fstype in _REMOTE or self.fstype.startswith("fuse.")


def parse(text: str) -> List[Mount]:
    """The mounts in the kernel's order: a later one on the same place covers the earlier. Raises ValueError."""
    mounts: List[Mount] = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split(" ")
        # id parent major:minor root mount-point options [optional fields] - fstype source super-options
        if not line:
            continue
        if len(fields) < 9 or "-" not in fields[6:]:
            raise ValueError("mountinfo line %d: %r has no separator between mount and filesystem" % (number, line[:80]))
        separator = fields.index("-", 6)
        behind = fields[separator + 1:]
        if len(behind) < 2:
            raise ValueError("mountinfo line %d: %r names no source" % (number, line[:80]))
        mounts.append(Mount(
            device=fields[2], root=_unescape(fields[3]), mount_point=_unescape(fields[4]),
            options=frozenset(fields[5].split(",")), fstype=behind[0], source=_unescape(behind[1]),
            super_options=frozenset(behind[2].split(",") if len(behind) > 2 else ()),
        ))
    return mounts


def _unescape(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), text)


def holding(mounts: Sequence[Mount], path: str) -> Optional[Mount]:
    """The mount that an absolute path without symlinks lies on: the longest mount point, of equal ones the last."""
    best: Optional[Mount] = None
    for mount in mounts:
        point = mount.mount_point.rstrip("/")
        if path == point or path.startswith(point + "/"):
            if best is None or len(point) >= len(best.mount_point.rstrip("/")):
                best = mount
    return best
