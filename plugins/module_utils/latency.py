# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A few measured times in three numbers.

Public: :func:`summary`, :func:`percentile`, :func:`milliseconds`. No Ansible, no host.
"""
from __future__ import annotations

import math
from typing import Dict, Iterable, Optional, Sequence


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds with one decimal, never below 0 (a clock that is not monotonic)."""
    return round(max(0.0, seconds) * 1000, 1)


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile by nearest rank (NIST/SEMATECH e-Handbook, 7.2.6.2): the smallest value that ``percent`` of all do not
    pass. It is always a value that was measured; of fewer than 20 the 95th is the largest. ValueError for none."""
    if not values:
        raise ValueError("a percentile of no values")
    if not 0 < percent <= 100:
        raise ValueError("a percentile is above 0 and at most 100, not %r" % (percent,))
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100.0)) - 1]


def summary(values: Iterable[float]) -> Optional[Dict[str, float]]:
    """``{min, median, p95}`` of times in milliseconds, each one that was measured (nearest rank), with one decimal; None for
    no time at all."""
    known = [float(value) for value in values]
    if not known:
        return None
    return {"min": round(min(known), 1), "median": round(percentile(known, 50), 1), "p95": round(percentile(known, 95), 1)}
