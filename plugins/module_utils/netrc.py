# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""~/.netrc: read its machines, put one in, take it out, and leave every other byte.

The format is GNU inetutils' ("The .netrc file"), read by go, git and curl: words between blanks, ``machine NAME`` begins an
entry, ``default`` one for every other machine, ``macdef`` a macro up to the next empty line. go reads words only: a password
with a blank in it, or in quotes, is none to it (cmd/go/internal/auth/netrc.go).

Pure: text in, text out.
"""
from __future__ import annotations

import re
from typing import List, NamedTuple, Optional


class Entry(NamedTuple):
    """One entry: ``text[start:end]`` is all of it, without the blanks and macros behind it. ``machine`` is "" for ``default``."""

    machine: str
    login: str
    password: str
    start: int
    end: int


def entries(text: str) -> List[Entry]:
    """Every entry in its order."""
    found: List[Entry] = []
    values = {"machine": "", "login": "", "password": ""}
    start = end = -1
    key = ""
    macro = False

    def close() -> None:
        if start >= 0:
            found.append(Entry(values["machine"], values["login"], values["password"], start, end))

    position = 0
    for line in text.split("\n"):
        if macro:
            macro = line != ""
        elif not line.lstrip().startswith("#"):
            for match in re.finditer(r"\S+", line):
                word, at = match.group(0), position + match.start()
                if key:
                    if key in values:
                        values[key] = word
                    key = ""
                elif word in ("machine", "default", "macdef"):
                    close()
                    values = {"machine": "", "login": "", "password": ""}
                    start = at if word != "macdef" else -1
                    key = "machine" if word == "machine" else ""
                    macro = word == "macdef"
                    if macro:
                        break
                elif word in ("login", "password", "account", "port"):
                    key = word
                else:
                    continue  # no word of the format: whatever it is, it stays outside the entry
                end = position + match.end()
        position += len(line) + 1
    close()
    return found


def find(text: str, machine: str) -> Optional[Entry]:
    """The entry of a machine, None where there is none. ValueError where there are several: programs differ in which counts."""
    found = [one for one in entries(text) if one.machine == machine]
    if len(found) > 1:
        raise ValueError("%d entries for machine %s" % (len(found), machine))
    return found[0] if found else None


def check_word(name: str, value: str) -> None:
    """ValueError where a value cannot be a word of the format."""
    if not value:
        raise ValueError("%s is empty" % name)
    if not re.match(r"[!-~]+\Z", value):
        raise ValueError("%s holds a blank or a character beyond ASCII, which netrc cannot carry" % name)


def line(machine: str, login: str, password: str) -> str:
    """An entry as :func:`put` writes it."""
    return "machine %s login %s password %s" % (machine, login, password)


def put(text: str, machine: str, login: str, password: str) -> str:
    """The text with this entry: in place of the machine's own, else first (``default`` and macros have to come last).

    ValueError where the text begins with words that belong to no machine: they would belong to this one then.
    """
    entry = find(text, machine)
    if entry is None:
        first = entries("machine x\n" + text)[0]
        if first.end > len("machine x"):
            raise ValueError("a login or password without a machine before it")
        return line(machine, login, password) + "\n" + text
    if (entry.login, entry.password) == (login, password):
        return text
    return text[:entry.start] + line(machine, login, password) + text[entry.end:]


def replace(text: str, machine: str, before: Optional[str]) -> str:
    """The text with ``before`` in place of the machine's entry; None takes out what :func:`put` put first."""
    entry = find(text, machine)
    if entry is None:
        return text
    if before is not None:
        return text[:entry.start] + before + text[entry.end:]
    end = entry.end + 1 if text[entry.end:entry.end + 1] == "\n" else entry.end
    return text[:entry.start] + text[end:]
