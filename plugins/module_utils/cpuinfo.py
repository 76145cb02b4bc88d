# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/cpuinfo, which every architecture words in its own way (proc_cpuinfo(5))."""
from __future__ import annotations

from typing import Dict, FrozenSet, List, NamedTuple, Optional

# The implementers and cores that servers have (util-linux, sys-utils/lscpu-arm.c).
_ARM_VENDORS = {
    0x41: "ARM", 0x42: "Broadcom", 0x43: "Cavium", 0x46: "Fujitsu", 0x48: "HiSilicon", 0x4E: "NVIDIA", 0x50: "APM",
    0x51: "Qualcomm", 0x61: "Apple", 0x6D: "Microsoft", 0xC0: "Ampere",
}
_ARM_CORES = {
    0xD03: "Cortex-A53", 0xD07: "Cortex-A57", 0xD08: "Cortex-A72", 0xD0B: "Cortex-A76", 0xD0C: "Neoverse-N1",
    0xD40: "Neoverse-V1", 0xD49: "Neoverse-N2", 0xD4F: "Neoverse-V2", 0xD8E: "Neoverse-N3", 0xD84: "Neoverse-V3",
}


class CpuInfo(NamedTuple):
    """How many ``processors``; ``flags`` are those that every one of them has."""

    processors: int
    vendor: Optional[str]
    model: Optional[str]
    flags: FrozenSet[str]


def parse(text: str) -> CpuInfo:
    """What /proc/cpuinfo says. Raises ValueError where no line is ``name : value``."""
    first: Dict[str, str] = {}
    flags: Optional[FrozenSet[str]] = None
    seen: List[str] = []
    count = 0
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not name:
            continue
        first.setdefault(name, value)
        if name == "processor" or name.startswith("processor "):  # s390x: "processor 0: version = ..."
            count += 1
        elif name in ("flags", "Features", "features"):
            if value in seen:
                continue  # hundreds of equal CPUs
            seen = [value]
            flags = frozenset(value.split()) if flags is None else flags & frozenset(value.split())
    if not first:
        raise ValueError("cpuinfo: no line of %d characters is 'name : value'" % len(text))
    implementer = _hex(first.get("CPU implementer"))
    if implementer is not None:
        core = _hex(first.get("CPU part"))
        vendor: Optional[str] = _ARM_VENDORS.get(implementer, "0x%02x" % implementer)
        model = "part 0x%03x" % core if core is not None else None
        if implementer == 0x41 and core is not None:  # other makers number their cores as they like
            model = _ARM_CORES.get(core, model)
    else:
        vendor = first.get("vendor_id") or first.get("mvendorid")
        model = first.get("model name") or first.get("cpu") or first.get("cpu model") or first.get("uarch") or first.get("isa")
    return CpuInfo(count, vendor, model, flags or frozenset())


def _hex(value: Optional[str]) -> Optional[int]:
    try:
        return int(value or "", 16)
    except ValueError:
        return None


def cpu_list(text: str) -> int:
    """How many CPUs a list such as ``0-3,8`` names (/sys/devices/system/cpu/online). Raises ValueError."""
    total = 0
    for piece in text.strip().split(","):
        low, dash, high = piece.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()) or len(piece) > 20:
            raise ValueError("cpu list: %r is neither a number nor a range" % piece[:40])
        span = int(high) - int(low) + 1 if dash else 1
        if span < 1:
            raise ValueError("cpu list: the range %r runs backwards" % piece[:40])
        total += span
    return total
