# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import emulator, procfs

RECORDED = Path(__file__).parents[2] / "fixtures" / "services" / "proc"
QEMU = "/usr/bin/qemu-aarch64-static"


@pytest.mark.parametrize("path", [QEMU, "/usr/bin/qemu-arm", "qemu-x86_64-static", "qemu-ppc64le", "/run/rosetta/rosetta"])
def test_emulators(path: str) -> None:
    assert emulator.is_emulator(path)


@pytest.mark.parametrize("path", [
    "/usr/bin/qemu-system-aarch64", "/usr/bin/qemu-img", "/usr/sbin/qemu-ga", "/usr/bin/qemu-storage-daemon", "/opt/qemu-arm/api",
    "/opt/rosetta/api", "/usr/bin/qemu-arm\n", "", "/",
])
def test_other_programs(path: str) -> None:
    assert not emulator.is_emulator(path)


@pytest.mark.parametrize(("auxv", "words", "kept"), [
    ({8: 1}, [QEMU, "/opt/api"], True),
    ({8: 0}, [QEMU, "/opt/api"], False),
    ({}, [QEMU, "/opt/api"], False),
    ({8: 0}, ["/usr/libexec/qemu-binfmt/aarch64-binfmt-P", "/opt/api", "api"], True),
    ({}, [], False),
], ids=["P", "no-P", "unknown", "debian-before-linux-5.12", "no-arguments"])
def test_whether_the_name_was_kept(auxv: dict[int, int], words: list[str], kept: bool) -> None:
    assert emulator.keeps_name(auxv, words) is kept


@pytest.mark.parametrize(("words", "kept", "expected"), [
    ([QEMU, "/opt/api", "api", "-v"], True, ("/opt/api", ["api", "-v"])),
    ([QEMU, "-odd", "api"], True, ("-odd", ["api"])),
    ([QEMU, "/opt/api", "-v", "x"], False, ("/opt/api", ["/opt/api", "-v", "x"])),
    (["/run/rosetta/rosetta", "/opt/api", "api"], True, ("/opt/api", ["api"])),
    ([QEMU, "-L", "/sysroot", "-strace", "./api", "-v"], False, ("./api", ["./api", "-v"])),
    ([QEMU, "--cpu", "max", "-0", "shop", "/opt/api", "-0"], False, ("/opt/api", ["shop", "-0"])),
    ([QEMU, "-version"], False, None),
    ([QEMU, "-L"], False, None),
    ([QEMU], True, None),
    ([QEMU, ""], True, None),
    ([], False, None),
], ids=["P", "P-and-a-dash", "no-P", "rosetta", "by-hand", "by-hand-with-name", "no-program", "cut-off", "P-alone", "P-empty",
        "none"])
def test_program(words: list[str], kept: bool, expected: tuple[str, list[str]] | None) -> None:
    assert emulator.program(words, kept) == expected


def test_recorded_process() -> None:
    auxv = procfs.parse_auxv(bytes.fromhex((RECORDED / "qemu-auxv.hex").read_text()))
    words = procfs.parse_cmdline(bytes.fromhex((RECORDED / "qemu-cmdline.hex").read_text()))
    assert auxv[8] == 1
    assert emulator.program(words, emulator.keeps_name(auxv, words)) == (
        "/opt/foreign/foreign", ["/opt/foreign/foreign", "-listen", "127.0.0.1:8113"])


@given(st.lists(st.text(alphabet="-0Lapi/ \0", max_size=8), max_size=8), st.booleans())
def test_arbitrary_arguments(words: list[str], kept: bool) -> None:
    found = emulator.program(words, kept)
    assert found is None or (found[0] in words[1:] and len(found[1]) < len(words))
    assert emulator.keeps_name({}, words) in (True, False)
