# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures" / "services"))

from typing import Any

import pytest
import services_fixtures as fixtures
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import buildinfo, elf


def read(data: bytes) -> dict[str, Any] | None:
    return buildinfo.read(elf.parse(elf.BytesReader(data)))


def as_go_prints(info: dict[str, Any]) -> list[list[str]]:
    """The lines of ``go version -m`` without the modules' checksums."""
    lines = [["path", info["path"]]] if info["path"] else []

    def module(word: str, one: dict[str, Any]) -> None:
        lines.append([word, one["path"], one["version"]])
        if one["replace"]:
            lines.append(["=>", one["replace"]["path"], one["replace"]["version"]])

    if info["main"]:
        module("mod", info["main"])
    for one in info["deps"]:
        module("dep", one)
    return lines + [["build", key, value] for key, value in info["settings"].items()]


def as_go_printed(text: str) -> list[list[str]]:
    lines = []
    for line in text.rstrip("\n").split("\n")[1:]:
        if not line.strip():
            continue  # printed behind a replacement
        word, rest = line.lstrip("\t").split("\t", 1)
        if word == "build":
            key, value = rest.split("=", 1)
            lines.append([word, key, json.loads(value) if value.startswith('"') else value])
        else:
            lines.append([word, *rest.split("\t")[:2]] if word != "path" else [word, rest])
    return lines


GO = [name for name in fixtures.recorded_names() if "nosec" not in name and name not in ("debian12-ls", "debian12-python3")]


@pytest.mark.parametrize("name", GO)
def test_same_as_go_version_m(name: str) -> None:
    reader, document = fixtures.recorded(name)
    info = buildinfo.read(elf.parse(reader))
    assert info is not None
    assert document["go_version_m"].split("\n")[0] == f"{name}: {info['go_version']}"
    assert as_go_prints(info) == as_go_printed(document["go_version_m"])
    assert reader.read_bytes < 65_536


def test_what_the_recordings_hold() -> None:
    """The comparison above is about something: race, cgo, a GOAMD64 level, VCS data, dependencies, quoted linker flags."""
    seen: dict[str, dict[str, Any]] = {}
    for name in GO:
        info = buildinfo.read(elf.parse(fixtures.recorded(name)[0]))
        assert info is not None
        seen[name] = info
    assert len(seen) >= 25
    assert seen["go1.27.3-race"]["settings"]["-race"] == "true"
    assert seen["go1.27.3-v3"]["settings"]["GOAMD64"] == "v3"
    assert "vcs.revision" not in seen["go1.27.3-v3"]["settings"]
    assert len(seen["go1.27.3-plain-strip"]["settings"]["vcs.revision"]) == 40
    assert seen["go1.27.3-ldflags"]["settings"]["-ldflags"] == '-s -w -X "main.token=a b"'
    assert seen["debian12-caddy"]["go_version"] == "go1.19.8"
    assert seen["go1.27.3-ldflags"]["deps"][0]["replace"] == {"path": "../dep", "version": "(devel)"}
    # Debian builds without modules: a path, and nothing to compare a revision with.
    assert (seen["debian12-caddy"]["main"], seen["debian12-caddy"]["deps"]) == (None, [])
    assert seen["debian12-prometheus-node-exporter"]["path"] == "github.com/prometheus/node_exporter"
    assert seen["go1.27.3-go"]["path"] == "cmd/go"


@pytest.mark.parametrize("name", [name for name in fixtures.recorded_names() if "nosec" in name])
def test_without_section_headers(name: str) -> None:
    """Where go version -m gives up, the same is found as in the file with its section headers."""
    reader, document = fixtures.recorded(name)
    assert "not a Go executable" in document["go_version_m"]
    whole, _document = fixtures.recorded(name.replace("-nosec", ""))
    found = buildinfo.read(elf.parse(reader))
    assert found is not None
    assert found == buildinfo.read(elf.parse(whole))


@pytest.mark.parametrize("name", ["debian12-ls", "debian12-python3"])
def test_no_go_program(name: str) -> None:
    reader, _document = fixtures.recorded(name)
    image = elf.parse(reader)
    assert buildinfo.locate(image) is None
    assert buildinfo.read(image) is None
    assert reader.read_bytes < 8_192, "what is asked of every process of a host"


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("little", [True, False])
def test_pointers_of_go_before_1_18(bits: int, little: bool) -> None:
    size, order, letter = bits // 8, "<" if little else ">", "I" if bits == 32 else "Q"
    version, modules = b"go1.16.15", b"\x30" * 16 + b"path\texample.org/old\nmod\texample.org/old\t(devel)\t\n" + b"\x31" * 16
    base = 0x400000

    def blob(at: int) -> bytes:
        # header, two string headers, the strings
        strings = at + 32 + 4 * size
        head = buildinfo.MAGIC + bytes([size, 0 if little else 1]) + struct.pack(order + 2 * letter, at + 32, at + 32 + 2 * size)
        head += b"\0" * (32 - len(head))
        return (
            head
            + struct.pack(order + 4 * letter, strings, len(version), strings + len(version), len(modules))
            + version
            + modules
        )

    draft = fixtures.make_elf(bits=bits, little=little, buildinfo=blob(0))
    data = fixtures.make_elf(bits=bits, little=little, buildinfo=blob(base + draft.index(buildinfo.MAGIC)))
    assert read(data) == {
        "go_version": "go1.16.15",
        "path": "example.org/old",
        "settings": {},
        "deps": [],
        "main": {"path": "example.org/old", "version": "(devel)", "replace": None},
    }


def test_built_without_modules() -> None:
    assert read(fixtures.make_elf(buildinfo=fixtures.inline_buildinfo("go1.27.3", ""))) == {
        "go_version": "go1.27.3",
        "path": None,
        "main": None,
        "deps": [],
        "settings": {},
    }


HEAD = buildinfo.MAGIC + b"\x08\x02" + b"\0" * 16


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (HEAD + b"\0\0", "Go build information without a Go version"),
        (HEAD + b"\x05go1", "the Go version is cut off"),
        (HEAD + b"\xff" * 10, "the length of the Go version is cut off or too large"),
        (HEAD + b"\xff\xff\xff\x7f", "the Go version claims 268435455 bytes"),
        (HEAD + b"\x02go\x7f", "the module information is cut off"),
        (buildinfo.MAGIC + b"\x05\x00" + b"\0" * 16, "Go build information with pointers of 5 bytes"),
        (buildinfo.MAGIC + b"\x08\x00" + b"\x10" * 16, "Go build information without a Go version"),
    ],
)
def test_damaged(blob: bytes, message: str) -> None:
    # The blob ends the file, so that what is cut off is cut off.
    image = elf.parse(elf.BytesReader(fixtures.make_elf(buildinfo=blob, sections=False)))
    assert buildinfo.locate(image) is not None, "it is a Go program all the same"
    with pytest.raises(ValueError, match=message):
        buildinfo.read(image)


def test_magic_only_counts_where_aligned() -> None:
    assert read(fixtures.make_elf(buildinfo=b"\0" * 8 + fixtures.inline_buildinfo("go1.2", ""))) is None
    found = read(
        fixtures.make_elf(buildinfo=b"\0" * 3 + buildinfo.MAGIC + b"\0" * 15 + fixtures.inline_buildinfo("go1.27.3", ""))
    )
    assert found is not None and found["go_version"] == "go1.27.3"


MODULES = """path\texample.org/a
mod\texample.org/a\tv1.2.3\th1:x=
dep\texample.org/b\tv0.1.0\th1:y=
dep\texample.org/c\tv0.2.0
=>\t../c\t(devel)\t
later\twhat a newer Go adds
build\t-ldflags="-X \\"main.v=a b\\" \\x41\\u00e9\\n"
build\t"odd key"=`raw`
build\tvcs.modified=true
"""


def test_modules() -> None:
    assert buildinfo.parse_modules(MODULES) == {
        "path": "example.org/a",
        "main": {"path": "example.org/a", "version": "v1.2.3", "replace": None},
        "deps": [
            {"path": "example.org/b", "version": "v0.1.0", "replace": None},
            {"path": "example.org/c", "version": "v0.2.0", "replace": {"path": "../c", "version": "(devel)"}},
        ],
        "settings": {"-ldflags": '-X "main.v=a b" A\u00e9\n', "odd key": "raw", "vcs.modified": "true"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mod\ta", "line 1: expected 2 or 3 columns, got 1"),
        ("path\tx\ndep\ta\tb\tc\td", "line 2: expected 2 or 3 columns, got 4"),
        ("=>\ta\tb\tc", "line 1: a replacement without module"),
        ("dep\ta\tb\n=>\ta\tb", "line 2: a replacement without module"),
        ("build\tnothing", "line 1: no key=value"),
        ("build\t=x", "line 1: no key=value"),
        ('build\t"open=x', "line 1: no key=value"),
        ('build\ta="\\q"', "line 1: invalid quoted text"),
        ('build\ta="x" y', "line 1: invalid quoted text"),
    ],
)
def test_modules_that_go_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        buildinfo.parse_modules(text)


@given(st.text(alphabet='pathmodebuil\t=>\n"\\x`1', max_size=300))
def test_arbitrary_modules(text: str) -> None:
    try:
        buildinfo.parse_modules(text)
    except ValueError as exc:
        assert "line " in str(exc)


@given(st.binary(max_size=300))
def test_arbitrary_build_information(data: bytes) -> None:
    for blob in (data, HEAD + data, buildinfo.MAGIC + b"\x08\x00" + data):
        for sections in (True, False):
            try:
                read(fixtures.make_elf(buildinfo=blob, sections=sections))
            except ValueError as exc:
                assert str(exc)


def test_a_large_file_is_not_searched_whole() -> None:
    class Endless:
        """A file whose header promises a segment of a terabyte."""

        def __init__(self) -> None:
            self.total = 0

        def read(self, offset: int, size: int) -> bytes:
            self.total += size
            if offset < 120:
                head = bytearray(fixtures.make_elf(sections=False)[:120])
                head[96:104] = (1 << 40).to_bytes(8, "little")
                return bytes(head)[offset : offset + size]
            return b"\0" * size

    reader = Endless()
    assert buildinfo.locate(elf.parse(reader)) is None
    assert reader.total < 5 << 20
