# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of ``/debug/pprof/mutex?debug=1`` and ``/debug/pprof/block?debug=1`` (runtime/pprof pprof.go writeProfileInternal).

Public: :class:`Contention`, :func:`parse`, :data:`HEAD`::

    --- mutex:                       --- contention:        (the block profile's name here)
    cycles/second=2450000000         cycles/second=2450000000
    sampling period=5

The period of the mutex profile is runtime.SetMutexProfileFraction's: 1 of so many contentions is recorded, 0 is off. The
block profile's rate is printed nowhere: an empty block profile is "off" or "nothing blocked", and nobody can tell which. What
is contended comes from the protocol buffer (``profile.py``): there the values are nanoseconds and already stand for all
contentions (runtime/mprof.go saveBlockEventStack multiplies by the period).
"""
from __future__ import annotations

import re
from typing import NamedTuple, Optional

HEAD = 4096  # the head lies within so many bytes of the start
_KINDS = {b"--- mutex:": "mutex", b"--- contention:": "block"}
_CYCLES = re.compile(rb"cycles/second=([0-9]{1,19})\Z")
_PERIOD = re.compile(rb"sampling period=(-?[0-9]{1,19})\Z")


class Contention(NamedTuple):
    kind: str  # mutex or block
    cycles_per_second: int
    period: Optional[int]  # of the mutex profile; None for the block profile
    empty: bool  # nothing is recorded: the head is all there is


def parse(data: bytes) -> Contention:
    """``data`` is the answer or its first :data:`HEAD` bytes. Raises ValueError with what is wrong."""
    lines = data[:HEAD].split(b"\n")
    kind = _KINDS.get(lines[0].rstrip())
    if kind is None:
        raise ValueError("neither a mutex nor a block profile: it begins with %r" % _shown(lines[0]))
    cycles = _CYCLES.match(lines[1].rstrip()) if len(lines) > 1 else None
    if not cycles:
        raise ValueError("the %s profile does not say cycles/second in its second line" % kind)
    if not int(cycles.group(1)):
        raise ValueError("the %s profile says cycles/second=0" % kind)
    period: Optional[int] = None
    head = 2
    if kind == "mutex":
        found = _PERIOD.match(lines[2].rstrip()) if len(lines) > 2 else None
        if not found:
            raise ValueError("the mutex profile does not say its sampling period in its third line")
        if int(found.group(1)) < 0:
            raise ValueError("the mutex profile says a sampling period of %d" % int(found.group(1)))
        period, head = int(found.group(1)), 3
    return Contention(kind, int(cycles.group(1)), period, not any(line.strip() for line in lines[head:]))


def _shown(line: bytes) -> str:
    return line[:40].decode("utf-8", "replace").strip()
