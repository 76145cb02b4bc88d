# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What files below /proc say, as text in and data out. Formats are those of proc(5) and the kernel's own printing code.

Public: :func:`parse_status`, :func:`parse_limits`, :func:`parse_stat`, :func:`boot_time`, :func:`parse_net_tcp`,
:func:`parse_net_unix`, :func:`parse_cgroup`, :func:`parse_mountinfo`, :func:`parse_environ`, :func:`parse_cmdline`,
:func:`parse_maps`, :func:`parse_auxv`, :func:`socket_inode`.

The text of a process that is just going away may be empty or cut off: each function then raises ValueError or leaves the
line out, as its docstring says.
"""
from __future__ import annotations

import re
import socket
import struct
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

# /proc/PID/limits: the name the kernel prints (fs/proc/base.c, lnames) and the one used here (that of prlimit(1)).
LIMITS = {"Max open files": "nofile", "Max processes": "nproc", "Max core file size": "core",
          "Max locked memory": "memlock", "Max address space": "as"}

Limit = Union[int, str, None]


class Status(NamedTuple):
    """/proc/PID/status. ``uid`` is the effective one, ``rss`` bytes (None for a kernel thread or zombie), ``nspid`` the
    process's ids from the outer namespace inwards (empty on kernels before 4.1)."""

    name: str
    state: str
    ppid: int
    uid: int
    threads: int
    rss: Optional[int]
    nspid: Tuple[int, ...]


def parse_status(text: str) -> Status:
    """/proc/PID/status; ValueError where a field that every process has is missing."""
    fields: Dict[str, str] = {}
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon and name not in fields:
            fields[name] = value.strip()
    try:
        uids = fields["Uid"].split()
        resident = fields.get("VmRSS", "").split()
        return Status(
            name=fields["Name"], state=fields["State"][:1], ppid=int(fields["PPid"]), uid=int(uids[1]),
            threads=int(fields["Threads"]), rss=int(resident[0]) * 1024 if resident else None,
            nspid=tuple(int(one) for one in fields.get("NSpid", "").split()),
        )
    except (KeyError, IndexError, ValueError) as exc:
        raise ValueError("process status without a usable %s" % exc) from None


def parse_limits(text: str) -> Dict[str, Dict[str, Limit]]:
    """/proc/PID/limits: {nofile: {soft, hard}, ...}, whole numbers or "unlimited"; lines of other limits are left out."""
    result: Dict[str, Dict[str, Limit]] = {}
    for line in text.split("\n"):
        # Name (25 columns), soft, hard (20 each), unit.
        key = LIMITS.get(line[:25].rstrip())
        if key is None:
            continue
        values = line[25:].split()
        if len(values) >= 2:
            result[key] = {"soft": _limit(values[0]), "hard": _limit(values[1])}
    if text and not result:
        raise ValueError("no limit in the text")
    return result


def _limit(text: str) -> Limit:
    if text == "unlimited":
        return text
    return int(text) if text.isdigit() and text.isascii() and len(text) < 25 else None


class Stat(NamedTuple):
    """/proc/PID/stat: ``started`` is in clock ticks since the machine's boot."""

    comm: str
    state: str
    ppid: int
    session: int
    started: int


def parse_stat(text: str) -> Stat:
    """/proc/PID/stat; ValueError where it is cut off. The name may hold blanks and parentheses: its end is the last one."""
    start, end = text.find("("), text.rfind(")")
    fields = text[end + 1:].split()
    if start < 0 or end < start or len(fields) < 20:
        raise ValueError("process stat line is cut off")
    try:
        return Stat(text[start + 1:end], fields[0], int(fields[1]), int(fields[3]), int(fields[19]))
    except ValueError as exc:
        raise ValueError("process stat line: %s" % exc) from None


def boot_time(text: str) -> int:
    """The machine's boot time in seconds since 1970: ``btime`` of /proc/stat."""
    match = re.search(r"^btime ([0-9]{1,18})$", text, re.MULTILINE)
    if match is None:
        raise ValueError("no btime in /proc/stat")
    return int(match.group(1))


class Listener(NamedTuple):
    """A listening socket; ``port`` for TCP, ``path`` for unix (abstract names begin with "@")."""

    proto: str
    address: Optional[str]
    port: Optional[int]
    path: Optional[str]
    inode: int


def parse_net_tcp(text: str, *, proto: str = "tcp", byteorder: str = sys.byteorder) -> List[Listener]:
    """Listening sockets of /proc/PID/net/tcp or tcp6 (state 0A). Damaged lines are left out.

    The kernel prints an address as 32-bit words in the machine's own byte order.
    """
    family, size = (socket.AF_INET6, 32) if proto == "tcp6" else (socket.AF_INET, 8)
    result = []
    for line in text.split("\n"):
        # Split no more than needed: hosts with 100,000 connections have as many lines.
        if " 0A " not in line:
            continue
        fields = line.split(None, 10)
        if len(fields) < 10 or fields[3] != "0A":
            continue
        host, colon, port = fields[1].partition(":")
        if len(host) != size or not colon:
            continue
        try:
            raw = bytes.fromhex(host)
            words = struct.unpack(("<" if byteorder == "little" else ">") + "%dI" % (size // 8), raw)
            address = socket.inet_ntop(family, struct.pack(">%dI" % (size // 8), *words))
            result.append(Listener(proto, address, int(port, 16) & 0xFFFF, None, int(fields[9])))
        except ValueError:
            continue
    return result


def parse_net_unix(text: str) -> List[Listener]:
    """Listening sockets of /proc/PID/net/unix (flag __SO_ACCEPTCON) that have a name. Damaged lines are left out."""
    result = []
    for line in text.split("\n"):
        # Num RefCount Protocol Flags Type St Inode [Path]; a path may hold blanks.
        fields = line.split(None, 7)
        if len(fields) < 8 or fields[3] != "00010000" or not fields[6].isdigit() or not fields[6].isascii():
            continue
        result.append(Listener("unix", None, None, fields[7], int(fields[6][:20])))
    return result


def socket_inode(link: str) -> Optional[int]:
    """The inode in what /proc/PID/fd/N points at (``socket:[12345]``), None for other files."""
    if link.startswith("socket:[") and link.endswith("]") and link[8:-1].isdigit() and link[8:-1].isascii() and len(link) < 40:
        return int(link[8:-1])
    return None


class Membership(NamedTuple):
    """One line of /proc/PID/cgroup: hierarchy 0 without controllers is the unified one (v2)."""

    hierarchy: int
    controllers: Tuple[str, ...]
    path: str


def parse_cgroup(text: str) -> List[Membership]:
    """/proc/PID/cgroup. Damaged lines are left out; " (deleted)" behind a path is kept off."""
    result = []
    for line in text.split("\n"):
        fields = line.split(":", 2)
        if len(fields) == 3 and re.match(r"[0-9]{1,9}\Z", fields[0]) and fields[2].startswith("/"):
            path = fields[2]
            if path.endswith(" (deleted)"):
                path = path[:-len(" (deleted)")]
            result.append(Membership(int(fields[0]), tuple(one for one in fields[1].split(",") if one), path))
    return result


class Mount(NamedTuple):
    """One line of /proc/PID/mountinfo. ``root`` is the folder of the file system that is mounted at ``point``."""

    root: str
    point: str
    fstype: str
    options: Tuple[str, ...]  # of the file system (for cgroup v1: its controllers)


def parse_mountinfo(text: str) -> List[Mount]:
    """/proc/PID/mountinfo, damaged lines left out."""
    result = []
    for line in text.split("\n"):
        left, dash, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if dash and len(fields) >= 6 and len(rest) >= 3:
            result.append(Mount(_unescape(fields[3]), _unescape(fields[4]), rest[0], tuple(rest[2].split(","))))
    return result


def _unescape(text: str) -> str:
    """Blanks, newlines and backslashes of a path are printed as ``\\040`` (fs/proc_namespace.c, mangle)."""
    if "\\" not in text:
        return text
    return re.sub(r"\\([0-3][0-7]{2})", lambda match: chr(int(match.group(1), 8)), text)


def parse_environ(data: bytes) -> Dict[str, str]:
    """/proc/PID/environ: the variables the process was started with."""
    result: Dict[str, str] = {}
    for piece in data.split(b"\0"):
        name, equals, value = piece.partition(b"=")
        if equals and name:
            # getenv(3) finds the first of two that have the same name.
            result.setdefault(name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
    return result


def parse_cmdline(data: bytes) -> List[str]:
    """/proc/PID/cmdline: the arguments, the program's name first; none for a kernel thread or zombie."""
    if not data:
        return []
    pieces = data.split(b"\0")
    if pieces and not pieces[-1]:
        pieces.pop()
    return [piece.decode("utf-8", "replace") for piece in pieces]


class Mapped(NamedTuple):
    """A file in a process's memory. ``device`` is (major, minor); ``path`` without the kernel's " (deleted)"."""

    start: int
    end: int
    offset: int
    device: Tuple[int, int]
    inode: int
    path: str
    deleted: bool


_MAPPED = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,16}) [-rwxsp]{4} ([0-9a-f]{1,16}) ([0-9a-f]{1,8}):([0-9a-f]{1,8}) "
                     r"([0-9]{1,20}) +(/.*)\Z")


def parse_maps(text: str) -> List[Mapped]:
    """The files in /proc/PID/maps, in the order of their addresses; memory without a file and damaged lines are left out."""
    result = []
    for line in text.split("\n"):
        match = _MAPPED.match(line)
        if match is None:
            continue
        start, end, offset, major, minor = (int(one, 16) for one in match.group(1, 2, 3, 4, 5))
        # Only a line break is printed as an octal number (fs/proc/task_mmu.c, show_map_vma).
        path = match.group(7).replace("\\012", "\n")
        deleted = path.endswith(" (deleted)")
        result.append(Mapped(start, end, offset, (major, minor), int(match.group(6)),
                             path[:-len(" (deleted)")] if deleted else path, deleted))
    return result


def parse_auxv(data: bytes) -> Dict[int, int]:
    """/proc/PID/auxv: what the kernel told the program at its start, by the numbers of <elf.h> (AT_PAGESZ is 6).

    The words are those of the program's own width; ValueError where the data fits neither 64 nor 32 bits.
    """
    for code in ("QQ", "II"):
        size = struct.calcsize("=" + code)
        pairs = list(struct.iter_unpack("=" + code, data[:len(data) // size * size]))
        result: Dict[int, int] = {}
        for kind, value in pairs:
            if kind == 0:
                break
            result.setdefault(kind, value)
        # Every program is told its page size, and no page is smaller than 4 KiB.
        if result.get(6, 0) >= 4096 and result[6] & (result[6] - 1) == 0 and max(result) < 1 << 16:
            return result
    raise ValueError("no auxiliary vector")


def as_listener(one: Listener) -> Dict[str, Any]:
    """A listener as the facts carry it."""
    return {"proto": one.proto, "address": one.address, "port": one.port, "path": one.path, "inode": one.inode}
