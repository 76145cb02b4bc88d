# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The counters below /proc/net: snmp, netstat, sockstat, dev, stat/nf_conntrack (proc_net(5))."""
from __future__ import annotations

from typing import Dict, List, Tuple


def parse_counters(text: str) -> Dict[str, Dict[str, int]]:
    """/proc/net/snmp and /proc/net/netstat: pairs of lines, the names and the numbers of one protocol.

    Returns {protocol: {name: value}}. Raises ValueError where a line has no partner or a number is none.
    """
    result: Dict[str, Dict[str, int]] = {}
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) % 2:
        raise ValueError("counters: %d lines, but they come in pairs" % len(lines))
    for number in range(0, len(lines), 2):
        protocol, colon, names = lines[number].partition(":")
        again, _colon, values = lines[number + 1].partition(":")
        if not colon or protocol != again:
            raise ValueError("counters line %d: %r is not followed by its values" % (number + 1, lines[number][:40]))
        words = values.split()
        if len(words) != len(names.split()):
            raise ValueError("counters line %d: %d names, %d values" % (number + 1, len(names.split()), len(words)))
        result.setdefault(protocol, {}).update(zip(names.split(), (_number(word, "counters", number + 2) for word in words)))
    return result


def parse_sockstat(text: str) -> Dict[str, Dict[str, int]]:
    """/proc/net/sockstat and sockstat6: {protocol: {name: value}}; TCP ``mem`` is in pages. Raises ValueError."""
    result: Dict[str, Dict[str, int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        protocol, colon, rest = line.partition(":")
        words = rest.split()
        if not line.strip():
            continue
        if not colon or len(words) % 2:
            raise ValueError("sockstat line %d: %r is not 'protocol: name value ...'" % (number, line[:40]))
        result[protocol] = {words[at]: _number(words[at + 1], "sockstat", number) for at in range(0, len(words), 2)}
    return result


def parse_dev(text: str) -> List[Dict[str, object]]:
    """/proc/net/dev: {name, rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, ...} of each interface. Raises ValueError."""
    rows: List[Dict[str, object]] = []
    for number, line in enumerate(text.splitlines()[2:], 3):
        name, colon, rest = line.rpartition(":")  # an alias has a colon in its name
        words = rest.split()
        if not line.strip():
            continue
        if not colon or len(words) < 12:
            raise ValueError("dev line %d: %r is not an interface" % (number, line[:40]))
        counts = [_number(word, "dev", number) for word in words]
        rows.append({
            "name": name.strip(), "rx_bytes": counts[0], "rx_packets": counts[1], "rx_errors": counts[2],
            "rx_dropped": counts[3], "tx_bytes": counts[8], "tx_packets": counts[9], "tx_errors": counts[10],
            "tx_dropped": counts[11],
        })
    return rows


def parse_conntrack(text: str) -> Dict[str, int]:
    """/proc/net/stat/nf_conntrack: the sums over all CPUs of its hexadecimal columns ({drop: 0, early_drop: 0, ...}).

    ``entries`` is the same on every line, and not summed. Raises ValueError for a line that is none.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    result: Dict[str, int] = {}
    for number, words in enumerate(lines[1:], 2):
        if len(words) != len(lines[0]):
            raise ValueError("conntrack line %d: %d names, %d values" % (number, len(lines[0]), len(words)))
        for name, word in zip(lines[0], words):
            if len(word) > 16 or set(word) - set("0123456789abcdefABCDEF"):
                raise ValueError("conntrack line %d: %r is no counter" % (number, word[:40]))
            result[name] = int(word, 16) + (0 if name == "entries" else result.get(name, 0))
    return result


def parse_ports(text: str) -> List[Tuple[int, int]]:
    """ip_local_reserved_ports ("8080,9148-9150"): (first, last) of each range. Raises ValueError."""
    result: List[Tuple[int, int]] = []
    for one in text.strip().split(","):
        if not one:
            continue
        first, _dash, last = one.partition("-")
        if not all(word.isdecimal() and word.isascii() and len(word) < 6 for word in (first, last or first)):
            raise ValueError("%r is no range of ports" % one[:40])
        result.append((int(first), int(last or first)))
    return result


def _number(word: str, what: str, line: int) -> int:
    digits = word[1:] if word.startswith("-") else word  # Tcp MaxConn is -1 where it is dynamic
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 20:
        raise ValueError("%s line %d: %r is no counter" % (what, line, word[:40]))
    return int(word)
