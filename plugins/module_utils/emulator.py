# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that run a program of another machine: which executables are emulators, and what they were told to run.

Public: :func:`is_emulator`, :func:`keeps_name`, :func:`program`.

The kernel starts an emulator in the place of a program that binfmt_misc registers for it, and puts two words before the
program's arguments, or only one (fs/binfmt_misc.c, load_misc_binary):

* with the flag P: ``INTERPRETER /opt/api/api NAME ARGUMENTS``, NAME being what the caller gave as argument 0;
* without it: ``INTERPRETER /opt/api/api ARGUMENTS``; NAME is lost.

The flags O, C and F change nothing of it. Somebody may also start the emulator by hand, with options of its own.
"""
from __future__ import annotations

import re
from typing import List, Mapping, Optional, Sequence, Tuple

# linux-user targets of QEMU (configs/targets/*-linux-user.mak); qemu-system-*, qemu-img, qemu-ga and others run no program.
_TARGETS = (
    "aarch64|aarch64_be|alpha|arm|armeb|cris|hexagon|hppa|i386|loongarch64|m68k|microblaze|microblazeel|mips|mips64|mips64el"
    "|mipsel|mipsn32|mipsn32el|nios2|or1k|ppc|ppc64|ppc64le|riscv32|riscv64|s390x|sh4|sh4eb|sparc|sparc32plus|sparc64|x86_64"
    "|xtensa|xtensaeb")
_EMULATOR = re.compile(r"(?:qemu-(?:%s)(?:-static)?|rosetta)\Z" % _TARGETS)

# Options of qemu-user without a value (linux-user/main.c, arg_table); all others take the next word.
_ALONE = frozenset(("h", "help", "version", "strace", "singlestep", "one-insn-per-tb"))

_AT_FLAGS = 8
_PRESERVE_ARGV0 = 1  # AT_FLAGS_PRESERVE_ARGV0 of include/uapi/linux/binfmts.h


def is_emulator(path: str) -> bool:
    """Whether an executable's path is that of qemu's user mode or of Rosetta."""
    return _EMULATOR.match(path[path.rfind("/") + 1:]) is not None


def keeps_name(auxv: Mapping[int, int], words: Sequence[str]) -> bool:
    """Whether the kernel kept the program's name (flag P). Linux before 5.12 does not tell; Debian then tells its emulator by
    the name of a link, ``/usr/libexec/qemu-binfmt/aarch64-binfmt-P``."""
    return bool(auxv.get(_AT_FLAGS, 0) & _PRESERVE_ARGV0) or bool(words and words[0].endswith("-binfmt-P"))


def program(words: Sequence[str], name_kept: bool) -> Optional[Tuple[str, List[str]]]:
    """(path, arguments from number 0 on) of the program in an emulator's own arguments; None where they name none."""
    if name_kept:
        return (words[1], list(words[2:])) if len(words) > 1 and words[1] else None
    rest = list(words[1:])
    name: Optional[str] = None
    while rest and rest[0].startswith("-"):
        option = rest.pop(0).lstrip("-")
        value = rest.pop(0) if rest and option not in _ALONE else ""
        if option in ("0", "argv0"):
            name = value
    if not rest or not rest[0]:
        return None
    return rest[0], [name or rest[0]] + rest[1:]
