# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build information that Go's linker leaves in every executable: Go version, modules, build settings, VCS revision.

Public: :func:`locate` (is this a Go executable?), :func:`read`, :func:`parse_modules`.

The format is that of Go's debug/buildinfo (src/debug/buildinfo/buildinfo.go) and runtime/debug.ParseBuildInfo: a 32-byte
header, 16-aligned, with the magic ``\\xff Go buildinf:``; since Go 1.18 two length-prefixed strings follow it, before that
it holds pointers to two Go strings. Unlike ``go version -m`` this reader also finds it where the section headers are gone
(sstrip, some packers): the header stands near the beginning of a data segment.
"""
from __future__ import annotations

import re
import struct
from typing import Any, Dict, List, Match, Optional, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import elf

MAGIC = b"\xff Go buildinf:"
HEADER = 32
# The largest module lists (Kubernetes, Terraform providers) are below 100 KB.
MAX_TEXT = 4 << 20
# Without section headers: so much of every data segment is searched. Go puts the header at its very beginning; an external
# linker (cgo) puts C's data before it.
SCAN = 4 << 20

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))"


def locate(image: elf.Elf) -> Optional[Tuple[int, bytes]]:
    """(file offset, 32-byte header) of the build information; None where this is no Go executable.

    With section headers this is one look at their names and one small read.
    """
    section = image.section(".go.buildinfo")
    if section is not None:
        return _search(image.reader, section.offset, min(section.size, SCAN))
    if image.has_sections():
        return None
    data = [segment for segment in image.segments if segment.kind == elf.PT_LOAD and not segment.flags & elf.PF_X]
    # Writable ones first: that is where it is, except in what future linkers may make of it.
    for segment in sorted(data, key=lambda one: not one.flags & elf.PF_W)[:8]:
        found = _search(image.reader, segment.offset, min(segment.size, SCAN))
        if found is not None:
            return found
    return None


def _search(reader: Any, start: int, size: int) -> Optional[Tuple[int, bytes]]:
    """The first header in a part of the file. The alignment counts from the part's start (its address is aligned too)."""
    chunk = 1 << 16
    position = 0
    while position < size:
        data = reader.read(start + position, min(chunk, size - position))
        if len(data) < HEADER:
            return None
        index = data.find(MAGIC)
        while index >= 0:
            if index % 16 == 0:
                header = data[index:index + HEADER]
                if len(header) < HEADER:
                    header = reader.read(start + position + index, HEADER)
                return (start + position + index, header) if len(header) == HEADER else None
            index = data.find(MAGIC, index + 1)
        if len(data) < min(chunk, size - position):
            return None
        position += chunk
    return None


def read(image: elf.Elf) -> Optional[Dict[str, Any]]:
    """``Binary.buildinfo`` of the facts, None where this is no Go executable.

    ValueError where the header is there and what it points at makes no sense: it is a Go executable that tells nothing.
    """
    found = locate(image)
    if found is None:
        return None
    offset, header = found
    if header[15] & 2:
        version, following = _inline(image.reader, offset + HEADER, "Go version")
        modules, _end = _inline(image.reader, following, "module information")
    else:
        version, modules = _pointed(image, header)
    if not version:
        raise ValueError("Go build information without a Go version")
    # The linker frames the module information with two 16-byte sentinels (cmd/go/internal/modload.infoStart, infoEnd).
    framed = len(modules) >= 33 and modules[-17:-16] == b"\n"
    result: Dict[str, Any] = {"go_version": version.decode("utf-8", "replace")}
    result.update(parse_modules((modules[16:-16] if framed else b"").decode("utf-8", "replace")))
    return result


def _inline(reader: Any, offset: int, what: str) -> Tuple[bytes, int]:
    """(a string with an unsigned varint as its length, the offset behind it)."""
    head = reader.read(offset, 10)
    used = next((index for index, byte in enumerate(head, 1) if not byte & 0x80), 0)
    if not used:
        raise ValueError("the length of the %s is cut off or too large" % what)
    length = sum((byte & 0x7F) << (7 * index) for index, byte in enumerate(head[:used]))
    if length > MAX_TEXT:
        raise ValueError("the %s claims %d bytes" % (what, length))
    text = reader.read(offset + used, length)
    if len(text) < length:
        raise ValueError("the %s is cut off" % what)
    return text, offset + used + length


def _pointed(image: elf.Elf, header: bytes) -> Tuple[bytes, bytes]:
    """Version and module information of Go before 1.18: two pointers to string headers (pointer, length)."""
    size = header[14]
    if size not in (4, 8):
        raise ValueError("Go build information with pointers of %d bytes" % size)
    pointer = struct.Struct((">" if header[15] & 1 else "<") + ("Q" if size == 8 else "I"))
    texts = []
    for index in (0, 1):
        (address,) = pointer.unpack_from(header, 16 + index * size)
        string = image.read_address(address, 2 * size)
        text = b""
        if len(string) == 2 * size:
            start, length = pointer.unpack_from(string, 0)[0], pointer.unpack_from(string, size)[0]
            if length <= MAX_TEXT:
                text = image.read_address(start, length)
                text = text if len(text) == length else b""
        texts.append(text)
    return texts[0], texts[1]


def parse_modules(text: str) -> Dict[str, Any]:
    """The lines ``path``, ``mod``, ``dep``, ``=>``, ``build`` as {path, main, deps, settings}; ValueError names the line.

    ``path`` and ``main`` are None where the program was built without modules. Lines of a kind that is not known are left
    out, as Go does.
    """
    path: Optional[str] = None
    main: Optional[Dict[str, Any]] = None
    deps: List[Dict[str, Any]] = []
    settings: Dict[str, str] = {}
    last: Optional[Dict[str, Any]] = None
    for number, line in enumerate(text.split("\n"), 1):
        word, tab, rest = line.partition("\t")
        if not tab:
            continue
        columns = rest.split("\t")
        if word == "path":
            path = rest
        elif word in ("mod", "dep"):
            if len(columns) not in (2, 3):
                raise ValueError("Go build information, line %d: expected 2 or 3 columns, got %d" % (number, len(columns)))
            last = {"path": columns[0], "version": columns[1], "replace": None}
            if word == "mod":
                main = last
            else:
                deps.append(last)
        elif word == "=>":
            if len(columns) != 3 or last is None:
                raise ValueError("Go build information, line %d: a replacement without module" % number)
            last["replace"] = {"path": columns[0], "version": columns[1]}
            last = None
        elif word == "build":
            key, value = _setting(rest, number)
            settings[key] = value
    return {"path": path, "main": main, "deps": deps, "settings": settings}


def _setting(text: str, number: int) -> Tuple[str, str]:
    match = re.match(r"(\"(?:[^\"\\]|\\.)*\"|`[^`]*`|[^=\"`][^=]*)=(.*)\Z", text, re.DOTALL)
    if match is None:
        raise ValueError("Go build information, line %d: no key=value" % number)
    return _unquote(match.group(1), number), _unquote(match.group(2), number)


def _unquote(text: str, number: int) -> str:
    """strconv.Unquote for what strconv.Quote writes; a bare word stays."""
    if text[:1] == "`" and len(text) > 1 and text[-1] == "`":
        return text[1:-1]
    if text[:1] != '"':
        return text
    if not re.match(r"\"(?:[^\"\\\n]|%s)*\"\Z" % _ESCAPE, text):
        raise ValueError("Go build information, line %d: invalid quoted text" % number)
    return re.sub(_ESCAPE, _escape, text[1:-1])


def _escape(match: Match[str]) -> str:
    if match.group(1):
        return _ESCAPES.get(match.group(1), match.group(1))
    if match.group(5):
        return chr(int(match.group(5), 8))
    number = int(match.group(2) or match.group(3) or match.group(4), 16)
    return chr(number) if number < 0x110000 else "\ufffd"
