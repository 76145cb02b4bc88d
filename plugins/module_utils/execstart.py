# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ExecStart= of a unit as its files have it, and the same with one argument changed. Text in, text out.

``systemctl show`` gives a command line without its quotes and with its specifiers expanded, which cannot be written back:
what is put into a drop-in comes from the files.
"""
from __future__ import annotations

import re
from typing import List, NamedTuple, Sequence

from ansible_collections.goready.preflight.plugins.module_utils import systemd, units

# What systemd takes literally outside of quotes (systemd.syntax(7), systemd.service(5) "COMMAND LINES").
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@+=\[\]-]+\Z")
_CLOSED = re.compile(r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\\.|[^\s\"'\\])+\Z", re.DOTALL)
_WORD = re.compile(r"(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|\\.|[^\s\"'\\]|\\\Z)+", re.DOTALL)


class Word(NamedTuple):
    """A word of a command line: its text as it stands, and where."""

    text: str
    start: int
    end: int

    @property
    def bare(self) -> str:
        """Without the quotes around it."""
        text = self.text
        return text[1:-1] if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0] else text


def commands(texts: Sequence[str]) -> List[str]:
    """The command lines of ExecStart= that hold after these unit files, in the order in which systemd reads them: an empty
    assignment forgets those before it."""
    result: List[str] = []
    for text in texts:
        for one in systemd.parse_unit_file(text).directives:
            if one.section == "Service" and one.name == "ExecStart":
                result = [*result, one.value] if one.value else []
    return result


def words(line: str) -> List[Word]:
    return [Word(match.group(0), match.start(), match.end()) for match in _WORD.finditer(line)]


def with_argument(line: str, argument: str, value: str) -> str:
    """The command line with ``argument`` set to ``value``; everything else stays byte for byte.

    An argument that is there, as ``--name=old`` or ``--name old``, keeps its place and form (all of them, where it is given
    several times); one that is not is put at the end. ``-name`` and ``--name`` are the same to Go's flag package. ValueError
    where the line holds several commands, or a quote that is not closed.
    """
    found = words(line)
    if any(word.text == ";" for word in found):
        raise ValueError("ExecStart= holds several commands")
    if not found:
        raise ValueError("ExecStart= is empty")
    if not all(_CLOSED.match(word.text) for word in found):
        raise ValueError("ExecStart= has a quote that is not closed")
    name = argument.lstrip("-")
    spelt = {argument} if len(name) < 2 else {"-" + name, "--" + name}
    quoted = quote(value)
    pieces: List[str] = []
    position, skip, seen = 0, False, False
    for index, word in enumerate(found):
        if skip:
            skip = False
            continue
        head, equals, _old = word.bare.partition("=")
        if index == 0 or head not in spelt:
            continue
        seen = True
        if equals:
            pieces.append(line[position:word.start] + quote("%s=%s" % (head, value)))
            position = word.end
        elif index + 1 < len(found):
            after = found[index + 1]
            pieces.append(line[position:after.start] + quoted)
            position, skip = after.end, True
        else:
            raise ValueError("ExecStart= ends with %s and no value of it" % argument)
    if not seen:
        return "%s %s" % (line, quote("%s=%s" % (argument, value)))
    return "".join(pieces) + line[position:]


def quote(value: str) -> str:
    """A word of a command line that means ``value`` and nothing else."""
    return value if _PLAIN.match(value) else units.quote(value).replace("$", "$$")
