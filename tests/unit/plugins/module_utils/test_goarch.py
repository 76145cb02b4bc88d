# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Architectures and CPU levels."""
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import cpuinfo, goarch

FIXTURES = Path(__file__).parents[2] / "fixtures" / "host"
V2 = frozenset("pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm".split())
V3 = V2 | frozenset("fma movbe avx f16c abm bmi1 avx2 bmi2".split())
V4 = V3 | frozenset("avx512f avx512dq avx512cd avx512bw avx512vl".split())


@pytest.mark.parametrize(("flags", "level"), [
    pytest.param(frozenset(), "v1", id="v1"),
    pytest.param(V2, "v2", id="v2"),
    pytest.param(V3, "v3", id="v3"),
    pytest.param(V4, "v4", id="v4"),
    pytest.param(V3 - {"movbe"}, "v2", id="one-short-of-v3"),
    pytest.param(V4 - {"cx16"}, "v1", id="a-hole-below"),
])
def test_goamd64(flags: frozenset[str], level: str) -> None:
    assert goarch.goamd64(flags) == level


@pytest.mark.parametrize(("name", "level"), [
    pytest.param("neoverse-n1", "v8.2,lse,crypto", id="n1"),
    pytest.param("neoverse-v1", "v8.4,lse,crypto", id="v1"),
    pytest.param("neoverse-v2", "v9.1,lse,crypto", id="v2"),
    pytest.param("raspberry-pi-3-arm64", "v8.0", id="pi3"),
    pytest.param("raspberry-pi-3-armhf", None, id="pi3-32-bit"),
])
def test_goarm64_of_real_processors(name: str, level: str | None) -> None:
    info = cpuinfo.parse((FIXTURES / "cpuinfo" / f"{name}.txt").read_text())
    assert goarch.goarm64(info.flags) == level


@given(st.sets(st.sampled_from(sorted(V4 | {"fp", "asimd", "atomics", "aes", "sve2", "dcpop", "crc32", "asimdrdm"}))))
def test_more_features_never_lower_the_level(flags: set[str]) -> None:
    assert goarch.goamd64(flags) <= goarch.goamd64(flags | V2)
    with_all = goarch.goarm64(flags | {"fp", "asimd"})
    assert with_all is not None and with_all.startswith(("v8.", "v9."))


def test_names_are_of_go() -> None:
    ports = {"386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x"}
    assert set(goarch.OF_MACHINE.values()) <= ports
    assert set(goarch.OF_DPKG.values()) <= ports
