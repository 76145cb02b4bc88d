# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/cpuinfo."""
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import cpuinfo

FIXTURES = Path(__file__).parents[2] / "fixtures" / "host"


@pytest.mark.parametrize(("path", "processors", "vendor", "model", "flag"), [
    pytest.param("ubuntu24-standin-podman/proc/cpuinfo", 2, "AuthenticAMD", "AMD EPYC", "avx512vl", id="amd64"),
    pytest.param("cpuinfo/neoverse-n1.txt", 2, "ARM", "Neoverse-N1", "atomics", id="arm64"),
    pytest.param("cpuinfo/raspberry-pi-3-armhf.txt", 4, "ARM", "Cortex-A53", "neon", id="arm"),
])
def test_real(path: str, processors: int, vendor: str, model: str, flag: str) -> None:
    info = cpuinfo.parse((FIXTURES / path).read_text())
    assert (info.processors, info.vendor, info.model) == (processors, vendor, model)
    assert flag in info.flags


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param("processor : 0\nflags : a b c\nprocessor : 1\nflags : b c d\n", (2, None, None, {"b", "c"}), id="unequal"),
    pytest.param("vendor_id : IBM/S390\nfeatures : esan3 zarch\nprocessor 0: version = FF\nprocessor 1: version = FF\n",
                 (2, "IBM/S390", None, {"esan3", "zarch"}), id="s390x"),
    pytest.param("processor : 0\ncpu : POWER9 (architected)\n", (1, None, "POWER9 (architected)", set()), id="ppc64le"),
    pytest.param("processor : 0\nhart : 0\nisa : rv64imafdc\nmvendorid : 0x489\n", (1, "0x489", "rv64imafdc", set()), id="riscv"),
    pytest.param("CPU implementer : 0x61\nCPU part : 0x022\n", (0, "Apple", "part 0x022", set()), id="apple"),
    pytest.param("CPU implementer : 0x99\nCPU part : x\n", (0, "0x99", None, set()), id="unknown-implementer"),
])
def test_parse(text: str, expected: tuple[int, str | None, str | None, set[str]]) -> None:
    assert tuple(cpuinfo.parse(text)) == expected


def test_nothing() -> None:
    with pytest.raises(ValueError, match=r"^cpuinfo: no line of 5 characters is 'name : value'$"):
        cpuinfo.parse("hello")


@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0-3", 4), ("0-1,4,8-11", 7)])
def test_cpu_list(text: str, count: int) -> None:
    assert cpuinfo.cpu_list(text) == count


@pytest.mark.parametrize(("text", "message"), [
    ("", "cpu list: '' is neither a number nor a range"), ("1-", "cpu list: '1-' is neither a number nor a range"),
    ("3-1", "cpu list: the range '3-1' runs backwards"), ("a", "cpu list: 'a' is neither a number nor a range"),
])
def test_cpu_list_faults(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        cpuinfo.cpu_list(text)
    assert str(caught.value) == message


@given(st.text(alphabet=st.characters() | st.sampled_from("processor:flags 0x\n\t")))
def test_any_text(text: str) -> None:
    for function in (cpuinfo.parse, cpuinfo.cpu_list):
        try:
            function(text)
        except ValueError:
            pass
