# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu.stat, schedstat and pressure files, recorded and damaged."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import cgroupcpu
from ansible_collections.goready.preflight.plugins.module_utils.cgroupcpu import CpuStat, SchedStat

KERNEL = Path(__file__).parents[2] / "fixtures" / "kernel"


@pytest.mark.parametrize(("name", "expected"), [
    pytest.param("cpu.stat-v2-after", CpuStat(6.500389, 64, 64, 57.430724), id="v2"),
    pytest.param("cpu.stat-v1-after", CpuStat(None, 351, 351, 314.887131053), id="v1"),
])
def test_recorded_cpu_stat(name: str, expected: CpuStat) -> None:
    assert cgroupcpu.parse_cpu_stat((KERNEL / name).read_text()) == expected


def test_a_group_without_the_controller() -> None:
    assert cgroupcpu.parse_cpu_stat("usage_usec 40571\nuser_usec 16228\nsystem_usec 24343\nnice_usec 0\n") == CpuStat(
        0.040571, None, None, None)


def test_schedstat() -> None:
    assert cgroupcpu.parse_schedstat("1500000000 69374000 12\n") == SchedStat(1.5, 0.069374)


def test_recorded_pressure() -> None:
    assert set(cgroupcpu.parse_pressure((KERNEL / "pressure-io").read_text())) == {"some", "full"}
    assert cgroupcpu.parse_pressure("some avg10=3.79 avg60=1.69 avg300=2.10 total=13079383908\n") == {"some": 13079.383908}


@pytest.mark.parametrize(("function", "text", "message"), [
    pytest.param(cgroupcpu.parse_cpu_stat, "usage_usec\n", "cpu.stat line 1: 'usage_usec' is not a name and a number", id="name"),
    pytest.param(cgroupcpu.parse_cpu_stat, "a 1\nb -2\n", "cpu.stat line 2: '-2' is no counter", id="negative"),
    pytest.param(cgroupcpu.parse_schedstat, "1 2\n", "schedstat: 2 numbers instead of 3", id="two"),
    pytest.param(cgroupcpu.parse_schedstat, "1 x 3\n", "schedstat line 1: 'x' is no counter", id="word"),
    pytest.param(cgroupcpu.parse_pressure, "some avg10=0.00\n", "pressure line 1: 'some avg10=0.00' is not 'some ... total=N'", id="total"),
    pytest.param(cgroupcpu.parse_pressure, "all total=1\n", "pressure line 1: 'all total=1' is not 'some ... total=N'", id="kind"),
])
def test_faults(function: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        function(text)
    assert str(caught.value) == message


@given(st.text() | st.lists(st.sampled_from(["usage_usec", "some", "total=", "total=5", "1", "-1", "\n", "9" * 30, "٣"])).map(" ".join))
@pytest.mark.parametrize("function", [cgroupcpu.parse_cpu_stat, cgroupcpu.parse_schedstat, cgroupcpu.parse_pressure])
def test_any_text(function: Callable[[str], Any], text: str) -> None:
    try:
        function(text)
    except ValueError:
        pass
