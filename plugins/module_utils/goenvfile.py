# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The go command's environment files, read as cmd/go reads them and edited so that every other byte stays.

Two files have this format: the user's (``go env -w``, mostly ~/.config/go/env) and GOROOT/go.env (since Go 1.21). Of several
lines with one name the last counts in the user's file and the first in GOROOT/go.env (cmd/go/internal/cfg, readEnvFile). A
name with nothing behind the ``=`` is set to nothing there: it hides what the next file says.

Pure: text in, text out. Lines are what lies between newlines; a carriage return belongs to the value.
"""
from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple


class Assignment(NamedTuple):
    line: int  # 1 is the first
    name: str
    value: str


class Edit(NamedTuple):
    """What was done to one name: the lines that were there, and the line that took their place (None: none)."""

    before: Tuple[str, ...]
    after: Optional[str]


def assignments(text: str) -> List[Assignment]:
    """Every line that cmd/go takes for a setting: it begins with A to Z and has a ``=``."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = line.partition("=")
        if equals and "A" <= line[:1] <= "Z":
            found.append(Assignment(number, name, value))
    return found


def effective(text: str, *, first: bool = False) -> Dict[str, Assignment]:
    """The assignment of each name that counts; ``first`` for GOROOT/go.env."""
    found: Dict[str, Assignment] = {}
    for one in assignments(text):
        if not first or one.name not in found:
            found[one.name] = one
    return found


def check_value(name: str, value: str) -> None:
    """ValueError where a value cannot be kept in such a file."""
    if any(char in value for char in "\n\r\0"):
        raise ValueError("%s holds a line break or a null byte, which no line of go's environment file can" % name)


def apply(text: str, wanted: Mapping[str, Optional[str]], done: Mapping[str, Edit], *,
          first: bool = False) -> Tuple[str, Dict[str, Edit]]:
    """The text with every name of ``wanted`` set to its value (None: without any line of that name), and the edits.

    ``done`` are the edits that earlier calls made to this file; what is returned holds them too, brought up to date. The line
    that counts is replaced in place, a new one goes to the end. A name that is as wanted already is left as it is.
    """
    edits = dict(done)
    for name, value in wanted.items():
        now = effective(text, first=first).get(name)
        if (now.value if now else None) == value:
            continue
        if name in edits:
            text, unchanged = revert(text, {name: edits[name]}, first=first)
            if unchanged:  # somebody else has set it since: that is what was there before
                pass
            del edits[name]
        text, edit = _change(text, name, value, first)
        if edit is not None:
            edits[name] = edit
    return text, edits


def _change(text: str, name: str, value: Optional[str], first: bool) -> Tuple[str, Optional[Edit]]:
    lines = text.split("\n")
    places = [one.line - 1 for one in assignments(text) if one.name == name]
    if value is None:
        before = tuple(lines[place] for place in places)
        kept = [line for number, line in enumerate(lines) if number not in places]
        return "\n".join(kept), Edit(before, None) if before else None
    after = "%s=%s" % (name, value)
    if places:
        place = places[0] if first else places[-1]
        before = (lines[place],)
        lines[place] = after
        return "\n".join(lines), Edit(before, after) if before != (after,) else None
    # What comes behind the last newline is no line; a file without one at its end gets none.
    lines.insert(len(lines) - 1 if lines[-1] == "" else len(lines), after)
    return "\n".join(lines), Edit((), after)


def revert(text: str, edits: Mapping[str, Edit], *, first: bool = False) -> Tuple[str, List[str]]:
    """The text without the edits, and the names that somebody else has changed since, which stay as they are now.

    Of several lines that say the same, ours is the one that counts: the last, and the ``first`` in GOROOT/go.env.
    """
    changed = []
    for name in reversed(list(edits)):
        edit = edits[name]
        lines = text.split("\n")
        if edit.after is None:
            if any(one.name == name for one in assignments(text)):
                changed.append(name)
                continue
            place = len(lines) - 1 if lines[-1] == "" else len(lines)
            lines[place:place] = edit.before
        elif edit.after in lines:
            place = lines.index(edit.after) if first else len(lines) - 1 - lines[::-1].index(edit.after)
            lines[place:place + 1] = edit.before
        else:
            changed.append(name)
            continue
        text = "\n".join(lines)
    return text, changed
