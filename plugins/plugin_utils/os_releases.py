# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when a release of Debian or Ubuntu gets security fixes.

Public: :func:`load`, :func:`parse`, :class:`OsReleases`, :class:`OsRelease`. The dates are in ``data/os_releases.json`` with
their source and the day they were taken.
"""
from __future__ import annotations

import datetime
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "os_releases.json"


@dataclass(frozen=True)
class OsRelease:
    """One release: fixes for everybody until ``ends``, for subscribers (Ubuntu Pro, Debian ELTS) until ``extended_ends``."""

    id: str
    version_id: str
    codename: str
    lts: bool
    released: datetime.date
    regular_ends: datetime.date
    ends: datetime.date
    extended_ends: datetime.date | None

    @property
    def order(self) -> tuple[int, ...]:
        return version(self.version_id)


@dataclass(frozen=True)
class OsReleases:
    as_of: datetime.date
    source: str
    releases: tuple[OsRelease, ...]

    def find(self, distribution: str, version_id: str) -> OsRelease | None:
        return next((one for one in self.releases if (one.id, one.version_id) == (distribution, version_id)), None)

    def of(self, distribution: str) -> list[OsRelease]:
        """The known releases of a distribution, oldest first."""
        return sorted((one for one in self.releases if one.id == distribution), key=lambda one: one.order)

    def supported(self, today: datetime.date) -> list[str]:
        """``["debian 12", ...]``: what gets fixes for everybody today, long-term releases only."""
        return [f"{one.id} {one.version_id}" for one in sorted(self.releases, key=lambda one: (one.id, one.order))
                if one.lts and one.released <= today <= one.ends]


def version(text: str) -> tuple[int, ...]:
    """``24.04`` as numbers that compare. ValueError for anything else."""
    return tuple(int(piece) for piece in text.split("."))


def parse(text: str) -> OsReleases:
    """Read the table; ValueError says which entry is wrong."""
    document: Any = json.loads(text)
    try:
        releases = tuple(_release(entry) for entry in document["releases"])
        return OsReleases(datetime.date.fromisoformat(document["as_of"]), str(document["source"]), releases)
    except (KeyError, TypeError) as exc:
        raise ValueError(f"the table of operating systems lacks {exc}") from exc


def _release(entry: Any) -> OsRelease:
    day = datetime.date.fromisoformat
    name = f"{entry['id']} {entry['version_id']}"
    one = OsRelease(
        id=entry["id"], version_id=entry["version_id"], codename=entry["codename"], lts=bool(entry["lts"]),
        released=day(entry["released"]), regular_ends=day(entry["regular_ends"]), ends=day(entry["ends"]),
        extended_ends=day(entry["extended_ends"]) if entry["extended_ends"] else None,
    )
    version(one.version_id)
    if not one.released < one.regular_ends <= one.ends <= (one.extended_ends or one.ends):
        raise ValueError(f"the dates of {name} are out of order")
    return one


@functools.cache
def load() -> OsReleases:
    """The table that ships with the collection."""
    return parse(DATA.read_text(encoding="utf-8"))
