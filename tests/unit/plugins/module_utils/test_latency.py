# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times in three numbers, by nearest rank."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import latency

TIMES = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=200)


@pytest.mark.parametrize(("values", "expected"), [
    ([], None),
    ([3.14159], {"min": 3.1, "median": 3.1, "p95": 3.1}),
    ([1, 2], {"min": 1.0, "median": 1.0, "p95": 2.0}),
    ([5, 1, 3], {"min": 1.0, "median": 3.0, "p95": 5.0}),
    ([1, 1, 1, 1, 900], {"min": 1.0, "median": 1.0, "p95": 900.0}),
    (range(1, 21), {"min": 1.0, "median": 10.0, "p95": 19.0}),
    (range(1, 101), {"min": 1.0, "median": 50.0, "p95": 95.0}),
], ids=["none", "one", "two", "three", "an outlier of five is p95", "of twenty it is not the largest", "hundred"])
def test_summary(values, expected):
    assert latency.summary(values) == expected


@given(TIMES, st.floats(min_value=0.001, max_value=100))
def test_a_percentile_was_measured_and_covers_its_share(values, percent):
    found = latency.percentile(values, percent)
    assert found in values
    assert sum(1 for value in values if value <= found) >= percent / 100 * len(values) - 1e-6


@given(TIMES)
def test_the_numbers_are_in_order(values):
    found = latency.summary(values)
    assert found is not None and found["min"] <= found["median"] <= found["p95"]


@pytest.mark.parametrize(("values", "percent", "message"), [
    ([], 50, "a percentile of no values"),
    ([1], 0, "a percentile is above 0 and at most 100, not 0"),
    ([1], 101, "a percentile is above 0 and at most 100, not 101"),
], ids=["no values", "0", "101"])
def test_no_percentile(values, percent, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        latency.percentile(values, percent)


@pytest.mark.parametrize(("seconds", "expected"), [(0.0012345, 1.2), (0, 0.0), (-1, 0.0), (5.005, 5005.0)])
def test_milliseconds(seconds, expected):
    assert latency.milliseconds(seconds) == expected


@pytest.mark.parametrize(("values", "p95"), [
    ([5.0], 5.0), ([1.0, 2.0], 2.0), (list(map(float, range(1, 11))), 10.0), (list(map(float, range(1, 21))), 19.0),
    (list(map(float, range(1, 101))), 95.0)])
def test_nearest_rank(values: list[float], p95: float) -> None:
    assert latency.percentile(list(reversed(values)), 95) == p95
