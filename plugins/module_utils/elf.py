# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ELF executables: what they run on, how they are linked, and where a section or an address lies in the file.

Public: :func:`parse` (-> :class:`Elf`), :func:`go_arch`, :class:`BytesReader`, :class:`DescriptorReader`.

Only headers are read, a few KB of a file of any size, so that asking every process of a host is cheap. Layouts and numbers
are those of elf(5) and <elf.h>; names of machines are Go's (GOARCH). Every table is bounded: a hostile file gives
ValueError or a value, in bounded time and memory.
"""
from __future__ import annotations

import os
import struct
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

# Go's own linker writes 13 program headers at most, ld some more; a table beyond these bounds is no executable's.
MAX_SEGMENTS = 1024
MAX_SECTIONS = 8192
MAX_NAMES = 1 << 20
MAX_DYNAMIC = 1 << 16
MAX_NEEDED = 1024
MAX_STRING = 4096

PT_LOAD = 1
PT_DYNAMIC = 2
PT_INTERP = 3
PF_X = 1
PF_W = 2

_TYPES = {1: "rel", 2: "exec", 3: "dyn", 4: "core"}
_MACHINES = {3: "386", 62: "amd64", 40: "arm", 183: "arm64", 243: "riscv64", 22: "s390x", 258: "loong64"}


class BytesReader:
    """Random access to bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes at ``offset``; fewer at the end."""
        return self.data[offset:offset + size] if offset >= 0 and size > 0 else b""


class DescriptorReader:
    """Random access to an open file. The first block serves most headers, so it is read once and kept."""

    def __init__(self, descriptor: int, *, head: int = 4096) -> None:
        self.descriptor = descriptor
        self.head = os.pread(descriptor, head, 0)
        self.whole = len(self.head) < head

    def read(self, offset: int, size: int) -> bytes:
        if size <= 0 or offset < 0 or offset >= 1 << 63:
            return b""
        if offset + size <= len(self.head) or self.whole:
            return self.head[offset:offset + size]
        return os.pread(self.descriptor, size, offset)


class Segment(NamedTuple):
    """One program header."""

    kind: int
    flags: int
    offset: int
    address: int
    size: int  # in the file


class Section(NamedTuple):
    """One section header."""

    name: str
    kind: int
    address: int
    offset: int
    size: int


class Elf:
    """What the headers of an ELF file say; made by :func:`parse`. ``machine`` is a GOARCH or ``em_<number>``, ``kind``
    ``exec``, ``dyn`` (PIE and shared objects) or another."""

    def __init__(self, reader: Any, *, bits: int, little: bool, kind: str, machine: str, segments: List[Segment],
                 section_table: Tuple[int, int, int, int]) -> None:
        self.reader = reader
        self.bits = bits
        self.little = little
        self.kind = kind
        self.machine = machine
        self.segments = segments
        self._section_table = section_table
        self._sections: Optional[List[Section]] = None
        self._rows: Optional[Tuple[List[Tuple[int, ...]], bytes]] = None

    def read_address(self, address: int, size: int) -> bytes:
        """At most ``size`` bytes at a virtual address; fewer where its segment ends in the file, none where it is not
        mapped from the file."""
        for segment in self.segments:
            if segment.kind == PT_LOAD and segment.address <= address < segment.address + segment.size:
                into = address - segment.address
                return bytes(self.reader.read(segment.offset + into, min(size, segment.size - into)))
        return b""

    def sections(self) -> List[Section]:
        """The section headers, none where they were stripped or make no sense."""
        if self._sections is None:
            rows, names = self._section_rows()
            self._sections = []
            for row in rows:
                start = row[0]
                end = names.find(b"\0", start, start + 256)
                name = names[start:end if end >= 0 else start + 256].decode("latin-1")
                self._sections.append(Section(name, row[1], row[3], row[4], row[5]))
        return self._sections

    def has_sections(self) -> bool:
        return bool(self._section_rows()[0])

    def section(self, name: str) -> Optional[Section]:
        # Most executables that are asked have no such section: one search in the names tells.
        if name.encode("latin-1") + b"\0" not in self._section_rows()[1]:
            return None
        return next((section for section in self.sections() if section.name == name), None)

    def _section_rows(self) -> Tuple[List[Tuple[int, ...]], bytes]:
        """(the table's rows, the names' bytes), read once."""
        if self._rows is None:
            self._rows = self._read_section_rows()
        return self._rows

    def _read_section_rows(self) -> Tuple[List[Tuple[int, ...]], bytes]:
        nothing: Tuple[List[Tuple[int, ...]], bytes] = ([], b"")
        offset, entry, count, names_index = self._section_table
        layout = struct.Struct(("<" if self.little else ">") + ("IIQQQQIIQQ" if self.bits == 64 else "IIIIIIIIII"))
        if not offset or entry != layout.size:
            return nothing
        if count == 0 or names_index == 0xFFFF:
            # elf(5): numbers that do not fit stand in the first, otherwise empty, section header.
            first = self.reader.read(offset, layout.size)
            if len(first) < layout.size:
                return nothing
            fields = layout.unpack(first)
            count = count or fields[5]
            names_index = fields[6] if names_index == 0xFFFF else names_index
        if not 0 < count <= MAX_SECTIONS or names_index >= count:
            return nothing
        table = self.reader.read(offset, count * layout.size)
        if len(table) < count * layout.size:
            return nothing
        rows = list(layout.iter_unpack(table))
        names = self.reader.read(rows[names_index][4], min(rows[names_index][5], MAX_NAMES))
        return rows, names

    def interpreter(self) -> Optional[str]:
        """The dynamic loader (PT_INTERP), None for a static executable. ValueError where it lies outside the file."""
        for segment in self.segments:
            if segment.kind == PT_INTERP:
                raw = self.reader.read(segment.offset, min(segment.size, MAX_STRING))
                if not raw:
                    raise ValueError("PT_INTERP lies outside the file (offset %d)" % segment.offset)
                return str(raw.split(b"\0", 1)[0].decode("utf-8", "replace"))
        return None

    def needed(self) -> List[str]:
        """The shared libraries it asks for (DT_NEEDED), in their order."""
        for segment in self.segments:
            if segment.kind == PT_DYNAMIC:
                return self._needed(segment)
        return []

    def _needed(self, segment: Segment) -> List[str]:
        layout = struct.Struct(("<" if self.little else ">") + ("qQ" if self.bits == 64 else "iI"))
        raw = self.reader.read(segment.offset, min(segment.size, MAX_DYNAMIC))
        raw = raw[:len(raw) - len(raw) % layout.size]
        offsets: List[int] = []
        table, size = 0, 0
        for tag, value in layout.iter_unpack(raw):
            if tag == 0:  # DT_NULL
                break
            if tag == 1 and len(offsets) < MAX_NEEDED:  # DT_NEEDED
                offsets.append(value)
            elif tag == 5:  # DT_STRTAB
                table = value
            elif tag == 10:  # DT_STRSZ
                size = value
        names = []
        for offset in offsets:
            text = self.read_address(table + offset, min(256, size - offset)) if offset < size else b""
            if not text:
                raise ValueError("a DT_NEEDED name lies outside the string table (offset %d)" % offset)
            names.append(text.split(b"\0", 1)[0].decode("utf-8", "replace"))
        return names

    def as_dict(self) -> Dict[str, Any]:
        """``Binary.elf`` of the facts."""
        return {"bits": self.bits, "machine": self.machine, "type": self.kind, "interpreter": self.interpreter(),
                "needed": self.needed()}


def go_arch(machine: int, *, bits: int, little: bool) -> str:
    """GOARCH for an e_machine number; the byte order and class decide where one number stands for several."""
    if machine == 21:
        return "ppc64le" if little else "ppc64"
    if machine == 20:
        return "ppc"
    if machine == 8:
        return "mips" + ("64" if bits == 64 else "") + ("le" if little else "")
    if machine == 183 and not little:
        return "arm64be"
    if machine == 40 and not little:
        return "armbe"
    if machine == 243 and bits == 32:
        return "riscv"
    return _MACHINES.get(machine, "em_%d" % machine)


def parse(reader: Any) -> Elf:
    """The headers of an ELF file. ``reader`` has ``read(offset, size) -> bytes``. ValueError says what is wrong."""
    ident = reader.read(0, 64)
    if ident[:4] != b"\x7fELF":
        raise ValueError("not an ELF file")
    if len(ident) < 52:
        raise ValueError("the ELF header is cut off after %d bytes" % len(ident))
    if ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise ValueError("unknown ELF class %d or byte order %d" % (ident[4], ident[5]))
    bits = 64 if ident[4] == 2 else 32
    little = ident[5] == 1
    order = "<" if little else ">"
    header = struct.Struct(order + ("HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH"))
    if len(ident) < 16 + header.size:
        raise ValueError("the ELF header is cut off after %d bytes" % len(ident))
    fields = header.unpack(ident[16:16 + header.size])
    kind, machine, segments_at, segment_size, segment_count = fields[0], fields[1], fields[4], fields[8], fields[9]
    segments: List[Segment] = []
    if segments_at and segment_count:
        layout = struct.Struct(order + ("IIQQQQQQ" if bits == 64 else "IIIIIIII"))
        if segment_size != layout.size:
            raise ValueError("program headers of %d bytes, expected %d" % (segment_size, layout.size))
        if segment_count > MAX_SEGMENTS:
            raise ValueError("%d program headers, more than %d" % (segment_count, MAX_SEGMENTS))
        table = reader.read(segments_at, segment_count * layout.size)
        if len(table) < segment_count * layout.size:
            raise ValueError("the program headers are cut off")
        for row in layout.iter_unpack(table):
            if bits == 64:
                segments.append(Segment(row[0], row[1], row[2], row[3], row[5]))
            else:
                segments.append(Segment(row[0], row[6], row[1], row[2], row[4]))
    return Elf(reader, bits=bits, little=little, kind=_TYPES.get(kind, "type_%d" % kind),
               machine=go_arch(machine, bits=bits, little=little), segments=segments,
               section_table=(fields[5], fields[10], fields[11], fields[12]))
