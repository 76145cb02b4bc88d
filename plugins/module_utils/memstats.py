# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory statistics at the end of ``/debug/pprof/heap?debug=1`` (runtime/pprof pprof.go writeHeapInternal).

Public: :class:`MemStats`, :func:`parse`, :data:`TAIL`. The same lines from Go 1.21 to 1.27::

    # runtime.MemStats
    # Alloc = 4816712
    # Stack = 458752 / 458752          in use / obtained from the system
    # PauseNs = [31234 28001 0 ...]    256 numbers, a ring
    # GCCPUFraction = 0.0001
    # DebugGC = false
    # MaxRSS = 23068672                where the platform has it

PauseTotalNs, EnableGC and BySize of runtime.MemStats are not printed. What a later Go adds is taken over where it is an
integer and left out where it is not.
"""
from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

MARKER = b"# runtime.MemStats\n"
# The statistics lie within so many bytes of the end: 512 numbers of at most 20 digits and some 30 lines. What comes before
# (one block for each place that allocates) need not be kept.
TAIL = 32768

_LINE = re.compile(r"# ([A-Za-z][A-Za-z0-9]{0,63}) = (.*)\Z")
_INTEGER = re.compile(r"-?[0-9]{1,20}\Z")
_PAIR = re.compile(r"([0-9]{1,20}) / ([0-9]{1,20})\Z")
_LIST = re.compile(r"\[((?:[0-9]{1,20}(?: [0-9]{1,20})*)?)\]\Z")
_NEEDED = ("HeapAlloc", "HeapInuse", "NumGC")


@dataclass(frozen=True)
class MemStats:
    """Bytes, nanoseconds and counts as runtime.MemStats has them.

    ``values`` are all integers under their name there (``HeapAlloc``; of the pairs ``StackInuse`` and ``StackSys``).
    ``pauses`` are the newest of the ring first, at most 256: (end in nanoseconds since 1970, length in nanoseconds). One is a
    whole garbage collection: "there may be multiple pauses per GC cycle; this is the sum of all" (runtime/mstats.go).
    """

    values: Dict[str, int] = field(default_factory=dict)
    gc_cpu_fraction: Optional[float] = None  # 0 to 1, of the CPU time since the start
    debug_gc: Optional[bool] = None
    pauses: List[Tuple[int, int]] = field(default_factory=list)

    @property
    def latest_pause(self) -> Optional[Tuple[int, int]]:
        """(end, length) of the latest garbage collection, None before the first."""
        return self.pauses[0] if self.pauses else None


def parse(data: bytes) -> MemStats:
    """``data`` is the answer, or its last :data:`TAIL` bytes. Raises ValueError with what is wrong."""
    # The last one: what stands before it is the service's (a function may be called anything).
    start = data.rfind(MARKER, max(0, len(data) - TAIL))
    if start < 0 or (start and data[start - 1:start] != b"\n"):
        raise ValueError("no memory statistics in %d bytes: there is no line '# runtime.MemStats' near the end" % len(data))
    values: Dict[str, int] = {}
    rings: Dict[str, List[int]] = {}
    fraction: Optional[float] = None
    debug_gc: Optional[bool] = None
    # A line without its end may be half a number of an answer that was cut off.
    for line in data[start + len(MARKER):].decode("ascii", "replace").split("\n")[:-1]:
        match = _LINE.match(line)
        if not match:
            continue
        name, text = match.group(1), match.group(2)
        pair, ring = _PAIR.match(text), _LIST.match(text)
        if name == "GCCPUFraction":
            fraction = _fraction(text)
        elif name == "DebugGC":
            debug_gc = {"true": True, "false": False}.get(text)
        elif pair:
            values[name + "Inuse"], values[name + "Sys"] = int(pair.group(1)), int(pair.group(2))
        elif ring:
            rings[name] = [int(number) for number in ring.group(1).split()]
        elif _INTEGER.match(text):
            values[name] = int(text)
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise ValueError("the memory statistics have no %s: the answer is cut off or not Go's" % ", ".join(missing))
    return MemStats(values=values, gc_cpu_fraction=fraction, debug_gc=debug_gc,
                    pauses=_pauses(values["NumGC"], rings.get("PauseNs", []), rings.get("PauseEnd", [])))


def _fraction(text: str) -> Optional[float]:
    """%v of a float64. NaN, infinities and what is outside of 0..1 are no fraction."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= 1 else None


def _pauses(cycles: int, lengths: List[int], ends: List[int]) -> List[Tuple[int, int]]:
    """The ring unrolled: runtime.MemStats says that the latest is at ``[(NumGC+255)%256]``."""
    size = len(lengths)
    if not size and not ends:
        return []
    if size != len(ends):
        raise ValueError("the memory statistics have %d lengths of pauses and %d ends" % (size, len(ends)))
    if cycles < 0:
        raise ValueError("the memory statistics count %d garbage collections" % cycles)
    indexes = [(cycles - 1 - back) % size for back in range(min(cycles, size))]
    return [(ends[index], lengths[index]) for index in indexes]
