# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of CPU time that somebody waited for: cpu.stat of a control group, schedstat, pressure files.

Public: :func:`parse_cpu_stat`, :func:`parse_schedstat`, :func:`parse_pressure`.

Sources: Documentation/admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst, scheduler/sched-stats.rst, accounting/psi.rst.
"""
from __future__ import annotations

from typing import Dict, NamedTuple, Optional


class CpuStat(NamedTuple):
    """Since the group was made. ``periods`` are the periods of the quota in which something ran, ``throttled`` those in which
    it was used up; the seconds of ``throttled_seconds`` are of all CPUs together, so they may be more than have passed.
    None: the group has no quota (v2), or the file does not say it (v1 has no usage in it)."""

    usage_seconds: Optional[float]
    periods: Optional[int]
    throttled: Optional[int]
    throttled_seconds: Optional[float]


def parse_cpu_stat(text: str) -> CpuStat:
    """cpu.stat of v2 (microseconds) and v1 (nanoseconds); ValueError for a line that is no name and number."""
    values: Dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise ValueError("cpu.stat line %d: %r is not a name and a number" % (number, line[:40]))
        values[words[0]] = _number(words[1], "cpu.stat", number)
    usage = values.get("usage_usec")
    throttled: Optional[float] = None
    if "throttled_usec" in values:
        throttled = values["throttled_usec"] / 1e6
    elif "throttled_time" in values:
        throttled = values["throttled_time"] / 1e9
    return CpuStat(None if usage is None else usage / 1e6, values.get("nr_periods"), values.get("nr_throttled"), throttled)


class SchedStat(NamedTuple):
    """Seconds that a thread ran, and that it could run and waited for a CPU."""

    run: float
    wait: float


def parse_schedstat(text: str) -> SchedStat:
    """/proc/PID/task/TID/schedstat: nanoseconds on a CPU, nanoseconds in its queue, time slices."""
    words = text.split()
    if len(words) != 3:
        raise ValueError("schedstat: %d numbers instead of 3" % len(words))
    run, wait, _slices = (_number(word, "schedstat", 1) for word in words)
    return SchedStat(run / 1e9, wait / 1e9)


def parse_pressure(text: str) -> Dict[str, float]:
    """A pressure file: {"some": seconds since boot in which at least one task was held up, "full": all of them}.

    A kernel before 5.13 has no "full" for the CPU. ValueError for a line that is none.
    """
    result: Dict[str, float] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        total = next((word[len("total="):] for word in words[1:] if word.startswith("total=")), "")
        if words[0] not in ("some", "full") or not total:
            raise ValueError("pressure line %d: %r is not 'some ... total=N'" % (number, line[:40]))
        result[words[0]] = _number(total, "pressure", number) / 1e6
    return result


def _number(word: str, what: str, line: int) -> int:
    if not word.isdecimal() or not word.isascii() or len(word) > 20:
        raise ValueError("%s line %d: %r is no counter" % (what, line, word[:40]))
    return int(word)
