# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go's names for architectures, and the CPU levels that GOAMD64 and GOARM64 ask for."""
from __future__ import annotations

from typing import AbstractSet, Optional

#: `uname -m` -> GOARCH. armv8l is a 64-bit ARM that shows itself to a 32-bit process.
OF_MACHINE = {
    "x86_64": "amd64", "i386": "386", "i486": "386", "i586": "386", "i686": "386", "aarch64": "arm64", "arm64": "arm64",
    "armv5tel": "arm", "armv6l": "arm", "armv7l": "arm", "armv8l": "arm", "riscv64": "riscv64", "ppc64": "ppc64",
    "ppc64le": "ppc64le", "s390x": "s390x", "loongarch64": "loong64", "mips64": "mips64",
}
#: dpkg's architecture -> GOARCH. dpkg names the byte order that `uname -m` leaves out for MIPS.
OF_DPKG = {
    "amd64": "amd64", "i386": "386", "arm64": "arm64", "armhf": "arm", "armel": "arm", "riscv64": "riscv64",
    "ppc64el": "ppc64le", "ppc64": "ppc64", "s390x": "s390x", "loong64": "loong64", "mips64el": "mips64le",
    "mipsel": "mipsle",
}

# What Go's compiler may use at each level: https://go.dev/wiki/MinimumRequirements#amd64, in the words of /proc/cpuinfo
# (pni is SSE3, abm is LZCNT).
_AMD64 = (
    ("v2", frozenset(("pni", "ssse3", "cx16", "sse4_1", "sse4_2", "popcnt", "lahf_lm"))),
    ("v3", frozenset(("fma", "movbe", "avx", "f16c", "abm", "bmi1", "avx2", "bmi2"))),
    ("v4", frozenset(("avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"))),
)
# What each version of the architecture makes mandatory (Arm Architecture Reference Manual, A2 "Armv8 architecture
# extensions"), as far as the kernel shows it to programs (Documentation/arch/arm64/elf_hwcaps.rst). Pointer
# authentication (v8.3) is left out: kernels without CONFIG_ARM64_PTR_AUTH hide it, and its instructions are hints then.
_ARM64 = (
    ("v8.1", frozenset(("atomics", "crc32", "asimdrdm"))),
    ("v8.2", frozenset(("dcpop",))),
    ("v8.3", frozenset(("jscvt", "fcma", "lrcpc"))),
    ("v8.4", frozenset(("asimddp", "flagm", "dit", "uscat", "ilrcpc"))),
    ("v8.5", frozenset(("sb", "flagm2", "frint", "dcpodp"))),
    ("v8.6", frozenset(("i8mm", "bf16"))),
    ("v8.7", frozenset(("wfxt",))),
    ("v8.8", frozenset(("mops",))),
    ("v8.9", frozenset(("cssc",))),
)
_CRYPTO = frozenset(("aes", "pmull", "sha1", "sha2"))


def goamd64(flags: AbstractSet[str]) -> str:
    """The highest GOAMD64 (v1 .. v4) whose programs run on a CPU with these /proc/cpuinfo flags."""
    level = "v1"
    for name, wanted in _AMD64:
        if not wanted <= flags:
            break
        level = name
    return level


def goarm64(features: AbstractSet[str]) -> Optional[str]:
    """The highest GOARM64 for these /proc/cpuinfo features, as ``v8.2,lse,crypto``; None where they are not an arm64's.

    v9.N is v8.(N+5) with SVE2 (`go help environment`).
    """
    if not {"fp", "asimd"} <= features:
        return None
    level = 0
    for number, (_name, wanted) in enumerate(_ARM64, 1):
        if not wanted <= features:
            break
        level = number
    name = "v9.%d" % (level - 5) if level >= 5 and "sve2" in features else "v8.%d" % level
    return name + (",lse" if "atomics" in features else "") + (",crypto" if features >= _CRYPTO else "")
