# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of Linux kernels as Debian and Ubuntu build them: 6.8.0-45-generic, 6.1.0-18-cloud-amd64, 6.12.9+bpo-amd64."""
from __future__ import annotations

import re
from typing import NamedTuple, Tuple

# Upstream version, Debian's or Ubuntu's ABI number, a backport's mark, the flavour.
_RELEASE = re.compile(
    r"(?P<version>[0-9]{1,6}(?:\.[0-9]{1,6}){1,3})(?P<rc>-rc[0-9]{1,4})?(?P<mark>\+[a-z0-9.]{1,20})?"
    r"(?:-(?P<abi>[0-9]{1,8}(?:\.[0-9]{1,8}){0,3}))?(?:-(?P<flavour>[a-z][a-z0-9+._-]{0,60}))?\Z"
)


class KernelRelease(NamedTuple):
    """``order`` compares within one flavour only: a cloud kernel is no successor of a generic one."""

    order: Tuple[Tuple[int, ...], bool, Tuple[int, ...], str]
    flavour: str


def parse(release: str) -> KernelRelease:
    """The parts of ``uname -r``. Raises ValueError for a name of another shape (a kernel somebody built by hand)."""
    match = _RELEASE.match(release)
    if match is None:
        raise ValueError("kernel release %r has not the shape of a Debian or Ubuntu kernel" % release[:80])
    version = tuple(int(piece) for piece in match.group("version").split("."))
    version += (0,) * (4 - len(version))
    abi = tuple(int(piece) for piece in (match.group("abi") or "0").split("."))
    return KernelRelease((version, not match.group("rc"), abi, match.group("mark") or ""), match.group("flavour") or "")
