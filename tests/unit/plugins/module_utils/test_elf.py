# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures" / "services"))

import pytest
import services_fixtures as fixtures
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import elf

LOADER = "/lib64/ld-linux-x86-64.so.2"


def parse(data: bytes) -> elf.Elf:
    return elf.parse(elf.BytesReader(data))


# name of the recording: (bits, machine, type, interpreter, needed); truth is readelf -hld of the same file
RECORDED = {
    "go1.27.3-plain": (64, "amd64", "exec", None, []),
    "go1.27.3-pie": (64, "amd64", "dyn", LOADER, []),
    "go1.27.3-staticpie": (64, "amd64", "dyn", None, []),
    "go1.27.3-cgo": (64, "amd64", "exec", LOADER, ["libc.so.6"]),
    "go1.27.3-race-strip": (64, "amd64", "exec", LOADER, ["libc.so.6"]),
    "go1.27.3-arm64": (64, "arm64", "exec", None, []),
    "go1.27.3-arm": (32, "arm", "exec", None, []),
    "go1.27.3-x386": (32, "386", "exec", None, []),
    "go1.27.3-mips": (32, "mips", "exec", None, []),
    "go1.27.3-s390x": (64, "s390x", "exec", None, []),
    "go1.27.3-ppc64le": (64, "ppc64le", "exec", None, []),
    "debian12-caddy": (64, "amd64", "exec", LOADER, ["libzstd.so.1", "libc.so.6"]),
    "debian12-ls": (64, "amd64", "dyn", LOADER, ["libselinux.so.1", "libc.so.6"]),
    "debian12-python3": (64, "amd64", "exec", LOADER, ["libm.so.6", "libz.so.1", "libexpat.so.1", "libc.so.6"]),
}


@pytest.mark.parametrize("name", RECORDED)
def test_real_executables(name: str) -> None:
    reader, _document = fixtures.recorded(name)
    bits, machine, kind, interpreter, needed = RECORDED[name]
    assert elf.parse(reader).as_dict() == {
        "bits": bits,
        "machine": machine,
        "type": kind,
        "interpreter": interpreter,
        "needed": needed,
    }
    assert reader.read_bytes < 16_384, "headers only, whatever the size of the file"


@pytest.mark.parametrize(
    ("number", "bits", "little", "expected"),
    [
        (62, 64, True, "amd64"),
        (3, 32, True, "386"),
        (183, 64, True, "arm64"),
        (183, 64, False, "arm64be"),
        (40, 32, True, "arm"),
        (40, 32, False, "armbe"),
        (243, 64, True, "riscv64"),
        (243, 32, True, "riscv"),
        (21, 64, True, "ppc64le"),
        (21, 64, False, "ppc64"),
        (20, 32, False, "ppc"),
        (22, 64, False, "s390x"),
        (258, 64, True, "loong64"),
        (8, 32, False, "mips"),
        (8, 32, True, "mipsle"),
        (8, 64, False, "mips64"),
        (8, 64, True, "mips64le"),
        (9999, 64, True, "em_9999"),
    ],
)
def test_go_names_of_machines(number: int, bits: int, little: bool, expected: str) -> None:
    assert elf.go_arch(number, bits=bits, little=little) == expected
    assert parse(fixtures.make_elf(machine=number, bits=bits, little=little)).machine == expected


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("little", [True, False])
def test_assembled(bits: int, little: bool) -> None:
    image = parse(
        fixtures.make_elf(
            bits=bits, little=little, kind=3, interpreter=b"/lib/ld.so", needed=(b"libc.so.6", b"libm.so.6"), buildinfo=b"x" * 32
        )
    )
    assert image.as_dict()["interpreter"] == "/lib/ld.so"
    assert image.needed() == ["libc.so.6", "libm.so.6"]
    assert image.kind == "dyn"
    assert [one.name for one in image.sections()] == ["", ".go.buildinfo", ".shstrtab"]
    section = image.section(".go.buildinfo")
    assert section is not None
    assert image.reader.read(section.offset, section.size) == b"x" * 32
    assert image.read_address(section.address, 16) == b"x" * 16
    assert image.read_address(0x10, 16) == b""
    assert image.section(".text") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "not an ELF file"),
        (lambda data: b"#!/bin/sh\nexec true\n" + b"#" * 60, "not an ELF file"),
        (lambda data: data[:40], "the ELF header is cut off after 40 bytes"),
        (lambda data: data[:60], "the ELF header is cut off after 60 bytes"),
        (lambda data: data[:4] + b"\3" + data[5:], "unknown ELF class 3 or byte order 1"),
        (lambda data: data[:0x36] + b"\x20\0" + data[0x38:], "program headers of 32 bytes, expected 56"),
        (lambda data: data[:0x38] + b"\xff\xff" + data[0x3A:], "65535 program headers, more than 1024"),
        (lambda data: data[:100], "the program headers are cut off"),
    ],
    ids=["empty", "script", "cut-32", "cut-64", "class", "phentsize", "phnum", "cut-table"],
)
def test_what_is_wrong(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(change(fixtures.make_elf(interpreter=b"/lib/ld.so")))


def test_interpreter_outside_the_file() -> None:
    whole = fixtures.make_elf(interpreter=b"/lib/ld.so", sections=False)
    with pytest.raises(ValueError, match=r"PT_INTERP lies outside the file \(offset \d+\)"):
        parse(whole[:176]).interpreter()


def test_sections_that_make_no_sense_are_none() -> None:
    data = bytearray(fixtures.make_elf(buildinfo=b"x" * 32))
    data[0x28:0x30] = (len(data) - 10).to_bytes(8, "little")
    assert parse(bytes(data)).sections() == []


def test_descriptor_reader(tmp_path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 40)
    with path.open("rb") as handle:
        reader = elf.DescriptorReader(handle.fileno(), head=512)
        assert reader.read(0, 4) == b"\0\1\2\3"
        assert reader.read(510, 4) == b"\xfe\xff\0\1"
        assert reader.read(10_238, 10) == b"\xfe\xff"
        assert [reader.read(-1, 4), reader.read(0, 0), reader.read(1 << 70, 4), reader.read(20_000, 4)] == [b""] * 4


def use(data: bytes) -> None:
    try:
        image = parse(data)
        image.section(".go.buildinfo")
        image.sections()
        image.as_dict()
    except ValueError:
        pass


@given(st.binary(max_size=600))
def test_arbitrary_bytes(data: bytes) -> None:
    use(data)
    use(b"\x7fELF\2\1\1" + data)


BASE = fixtures.make_elf(interpreter=b"/lib/ld.so", needed=(b"libc.so.6",), buildinfo=b"x" * 64)


@given(st.lists(st.tuples(st.integers(4, len(BASE) - 1), st.integers(0, 255)), max_size=12), st.integers(0, len(BASE)))
def test_damaged_executables(changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(BASE)
    for position, value in changes:
        data[position] = value
    use(bytes(data[:end]))
    use(bytes(data))
