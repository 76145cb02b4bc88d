# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Goroutines that wait by design: which they are, why they are no leak, and where that is known from.

Public: :func:`load`, :func:`match`, :class:`Innocent`. The table is ``data/goroutine_innocents.json``.

Kinds, by what their number follows:

``constant``   a fixed number (one a process, a cache, a queue). A number that grows without end is a leak all the same.
``connection`` one for each live connection, beside a goroutine that waits for its input.
``pool``       one for each connection of a pool, which grows under load and keeps what it has.
``peer``       waits for bytes of a peer, though not in the network poller: as good as an IO wait.
"""
from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "goroutine_innocents.json"
KINDS = ("constant", "connection", "pool", "peer")
PLACES = ("leaf", "root", "any")

# What vendored copies put before an import path (cmd/go, vendor directories; the standard library has one of its own).
_VENDORED = re.compile(r"^(?:.*/)?vendor/")
# The linker escapes dots of the last element of an import path (cmd/internal/objabi, PathToPrefix): lumberjack%2ev2.
_ESCAPED_DOT = re.compile(r"%2e")


@dataclass(frozen=True)
class Innocent:
    """One entry: a pattern of function names and where in the stack the function has to be."""

    name: str
    pattern: re.Pattern[str]
    place: str
    kind: str
    reason: str
    source: str

    def matches(self, functions: Sequence[str]) -> bool:
        """Whether a stack, leaf first, is one of these."""
        if not functions:
            return False
        where = functions[:1] if self.place == "leaf" else functions[-1:] if self.place == "root" else functions
        return any(self.pattern.fullmatch(_ESCAPED_DOT.sub(".", _VENDORED.sub("", function))) for function in where)


def parse(text: str) -> tuple[Innocent, ...]:
    """Read the table; ValueError says which entry is wrong."""
    document: Any = json.loads(text)
    found: list[Innocent] = []
    for entry in document["innocents"]:
        name = entry.get("name")
        for key in ("name", "pattern", "place", "kind", "reason", "source"):
            if not isinstance(entry.get(key), str) or not entry[key]:
                raise ValueError(f"the innocent {name!r} lacks {key}")
        if entry["kind"] not in KINDS or entry["place"] not in PLACES:
            raise ValueError(f"the innocent {name!r}: kind is one of {', '.join(KINDS)}, place one of {', '.join(PLACES)}")
        if any(other.name == name for other in found):
            raise ValueError(f"the innocent {name!r} is there twice")
        try:
            pattern = re.compile(entry["pattern"])
        except re.error as exc:
            raise ValueError(f"the innocent {name!r}: {entry['pattern']!r} is no regular expression: {exc}") from exc
        found.append(Innocent(name, pattern, entry["place"], entry["kind"], entry["reason"], entry["source"]))
    return tuple(found)


@functools.cache
def load() -> tuple[Innocent, ...]:
    """The table that ships with the collection."""
    return parse(DATA.read_text(encoding="utf-8"))


def match(functions: Sequence[str], table: Sequence[Innocent] | None = None) -> Innocent | None:
    """The entry that a stack (function names, leaf first) belongs to, or None."""
    return next((one for one in (load() if table is None else table) if one.matches(functions)), None)
