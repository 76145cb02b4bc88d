# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a file that somebody else may have put in its place, without waiting for it."""
from __future__ import annotations

import os
import stat


def open_regular(path: str, *, follow: bool = True) -> int:
    """A descriptor for reading a regular file. OSError where the kernel refuses; ValueError where it is no regular file
    (open(2) of a FIFO waits for a writer, for ever). ``follow``: through a symbolic link in the last place."""
    # Looked at before it is opened: opening some devices does something (a watchdog starts to run).
    if not stat.S_ISREG(os.stat(path, follow_symlinks=follow).st_mode):
        raise ValueError("%s is no regular file" % path)
    # It may have been replaced since.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError("%s is no regular file" % path)
    return handle


def read_regular(path: str, limit: int) -> bytes:
    """The content of a regular file, symbolic links followed. OSError and ValueError as :func:`open_regular`; ValueError where
    it has more than ``limit`` bytes, too."""
    with os.fdopen(open_regular(path), "rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ValueError("%s has more than %d bytes" % (path, limit))
    return content
