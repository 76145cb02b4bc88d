# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/meminfo."""
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import meminfo

FIXTURES = Path(__file__).parents[2] / "fixtures" / "host"


def test_real() -> None:
    values = meminfo.parse((FIXTURES / "ubuntu24-standin-podman/proc/meminfo").read_text())
    assert values["MemTotal"] == 24684096 * 1024
    assert values["SwapTotal"] == 0
    assert values["HugePages_Total"] == 0
    assert "Active(anon)" in values


@pytest.mark.parametrize("text", ["", "MemTotal: x kB\n", "MemFree: 1 kB\n", "MemTotal: -1 kB"])
def test_faults(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        meminfo.parse(text)
    assert str(caught.value) == f"meminfo: no MemTotal in {len(text)} characters"


@given(st.text() | st.from_regex(r"(Mem[A-Z][a-z]+: +[0-9]+( kB)?\n)*", fullmatch=True))
def test_any_text(text: str) -> None:
    try:
        values = meminfo.parse(text)
    except ValueError:
        return
    assert all(0 <= value < 1 << 80 for value in values.values())
