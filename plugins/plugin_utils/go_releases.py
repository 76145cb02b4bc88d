# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases of Go are supported on a given day.

Public: :func:`load`, :func:`is_supported`, :func:`ended`, :func:`staleness`, :class:`ReleaseTable`.

The rule is Go's release policy: a major release is supported until two newer ones exist. The dates of the majors are in
``data/go_releases.json`` with their source and the day they were looked up. Majors that appeared after that day are not in
the table, so its answers wear out: for every February and August that has begun since, one more release may exist. What
such a release would change is answered with None (nobody here knows), never with yes or no.
"""
from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import goversion

DATA = Path(__file__).parent / "data" / "go_releases.json"

# Go's release cycle: a major each February and August.
RELEASE_MONTHS = (2, 8)


@dataclass(frozen=True)
class ReleaseTable:
    """The majors known on ``as_of``: release lines as ``(1, 27)`` with the day each appeared, oldest first."""

    as_of: datetime.date
    source: str
    released: tuple[tuple[tuple[int, int], datetime.date], ...]

    @property
    def newest(self) -> tuple[int, int]:
        return self.released[-1][0]


@dataclass(frozen=True)
class Staleness:
    """How far the table is behind ``today``: its age, and how many majors may have appeared that it does not know."""

    as_of: datetime.date
    age_days: int
    missing: int

    @property
    def stale(self) -> bool:
        return self.missing > 0


def parse(text: str) -> ReleaseTable:
    """Read the table; ValueError says which entry is wrong."""
    document: Any = json.loads(text)
    try:
        as_of = datetime.date.fromisoformat(document["as_of"])
        source = str(document["source"])
        entries = [(str(entry["line"]), str(entry["released"])) for entry in document["releases"]]
    except (KeyError, TypeError) as exc:
        raise ValueError(f"the release table lacks {exc}") from exc
    released: list[tuple[tuple[int, int], datetime.date]] = []
    for line, day in entries:
        row = goversion.parse(line).line, datetime.date.fromisoformat(day)
        if released and (row[0] <= released[-1][0] or row[1] <= released[-1][1]):
            raise ValueError(f"the release table is out of order at {line}")
        if row[1] > as_of:
            raise ValueError(f"the release table of {as_of} has {line} released later, on {day}")
        released.append(row)
    if len(released) < 2:
        raise ValueError("the release table needs at least two releases")
    return ReleaseTable(as_of, source, tuple(released))


@functools.cache
def load() -> ReleaseTable:
    """The table that ships with the collection."""
    return parse(DATA.read_text(encoding="utf-8"))


def staleness(today: datetime.date, table: ReleaseTable | None = None) -> Staleness:
    """How old the table is on ``today`` and how many majors it may lack (0: it is as good as new)."""
    table = table or load()
    return Staleness(table.as_of, max(0, (today - table.as_of).days), _possibly_missing(today, table))


def _possibly_missing(today: datetime.date, table: ReleaseTable) -> int:
    """The release months that began after the newest known major's own and until ``today``."""
    latest = table.released[-1][1]
    count = 0
    for year in range(latest.year, today.year + 1):
        for month in RELEASE_MONTHS:
            first = datetime.date(year, month, 1)
            # A major of the same cycle is the newest one itself, also where it came late (1.18 came in March).
            if (first - latest).days > 90 and first <= today:
                # A table that was looked up after the month had ended knows whether the release came.
                month_end = datetime.date(year, month, 28) + datetime.timedelta(days=4)
                if table.as_of <= month_end:
                    count += 1
    return count


def is_supported(version: goversion.GoVersion, today: datetime.date, *, table: ReleaseTable | None = None,
                 override: Iterable[str] = ()) -> bool | None:
    """Whether the version's release line is supported on ``today``.

    ``override`` are release lines (``"1.26"``) that replace the table's answer: what the inventory, or the vendor of the
    toolchain, supports. None: the table is too old to tell. ValueError for a line in ``override`` that is no version.
    """
    lines = {goversion.parse(line).line for line in override}
    if lines:
        return version.line in lines
    table = table or load()
    if version.line > table.newest:
        # Newer than all that was known: it appeared after as_of, so at most the majors after it can end it.
        newer_possible = _possibly_missing(today, table) - (version.line[1] - table.newest[1])
        return True if newer_possible < 2 else None
    newer = sum(1 for line, day in table.released if line > version.line and day <= today)
    if newer >= 2:
        return False
    return True if newer + _possibly_missing(today, table) < 2 else None


def ended(version: goversion.GoVersion, table: ReleaseTable | None = None) -> datetime.date | None:
    """The day on which the support of the version's line ended, or None where the table knows no such day."""
    newer = [day for line, day in (table or load()).released if line > version.line]
    return newer[1] if len(newer) >= 2 else None


def supported_lines(today: datetime.date, table: ReleaseTable | None = None) -> list[str]:
    """The release lines that the table calls supported on ``today``, newest first: ``["1.27", "1.26"]``."""
    known = [line for line, day in (table or load()).released if day <= today]
    return ["%d.%d" % line for line in reversed(known[-2:])]
