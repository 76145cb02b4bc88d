# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From which address this session came, as the host sees it: what an allow-list of the host would have to name.

Public: :func:`address`. sshd puts it into SSH_CONNECTION (sshd(8), ENVIRONMENT); sudo takes it out again, so the environments
of the parent processes are asked too.
"""
from __future__ import annotations

import ipaddress
import os
from typing import Optional

PARENTS = 20


def address(root: str = "/", pid: Optional[int] = None) -> Optional[str]:
    """The client's address, None where this is no SSH session or its processes may not be read."""
    current = os.getpid() if pid is None else pid
    for _number in range(PARENTS):
        if current <= 1:
            return None
        folder = os.path.join(root, "proc", str(current))
        try:
            with open(os.path.join(folder, "environ"), "rb") as stream:
                found = of_environment(stream.read(1 << 20))
            if found:
                return found
        except OSError:
            pass  # of another user; its parent may be ours again
        try:
            with open(os.path.join(folder, "stat"), encoding="utf-8", errors="replace") as stream:
                current = int(stream.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return None
    return None


def of_environment(block: bytes) -> Optional[str]:
    """The first word of SSH_CONNECTION in a process's environment, where it is an address."""
    for entry in block.split(b"\0"):
        if entry.startswith(b"SSH_CONNECTION="):
            word = entry[len(b"SSH_CONNECTION="):].decode("ascii", "replace").partition(" ")[0].partition("%")[0]
            try:
                found = ipaddress.ip_address(word)
            except ValueError:
                return None
            mapped = getattr(found, "ipv4_mapped", None)
            return str(mapped or found)
    return None
