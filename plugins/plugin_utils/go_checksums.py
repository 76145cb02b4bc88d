# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SHA-256 of upstream's Go archives that the collection knows.

Public: :func:`load`, :func:`parse`, :class:`ChecksumTable`. The data with its source and date is ``data/go_checksums.json``.
"""
from __future__ import annotations

import datetime
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import goversion

DATA = Path(__file__).parent / "data" / "go_checksums.json"
ARCHITECTURES = ("amd64", "arm64")


@dataclass(frozen=True)
class ChecksumTable:
    """``sums``: exact version -> architecture -> SHA-256 of its Linux archive, oldest version first."""

    as_of: datetime.date
    source: str
    sums: dict[str, dict[str, str]]

    def of(self, version: str) -> dict[str, str]:
        """Architecture -> SHA-256 for an exact version; empty for one that is not in the table."""
        return dict(self.sums.get(version, {}))

    @property
    def versions(self) -> list[str]:
        """Every version of the table, oldest first."""
        return list(self.sums)

    @property
    def label(self) -> str:
        """How a message names the table."""
        return f"the collection's table of {self.as_of}"


def parse(text: str) -> ChecksumTable:
    """Read the table; ValueError says which entry is wrong."""
    document: Any = json.loads(text)
    try:
        as_of = datetime.date.fromisoformat(document["as_of"])
        source = str(document["source"])
        rows = [(str(row["version"]), {arch: str(row[arch]) for arch in ARCHITECTURES}) for row in document["releases"]]
    except (KeyError, TypeError) as exc:
        raise ValueError(f"the checksum table lacks {exc}") from exc
    sums: dict[str, dict[str, str]] = {}
    before = None
    seen: set[str] = set()
    for version, row in rows:
        order = goversion.parse(version)
        if str(order) != version or order.patch is None:
            raise ValueError(f"the checksum table has {version!r}, which is no exact version")
        if before is not None and not before < order:
            raise ValueError(f"the checksum table is out of order at {version}")
        before = order
        for arch, value in row.items():
            if not re.fullmatch(r"[0-9a-f]{64}", value):
                raise ValueError(f"the checksum table has no SHA-256 for {version} on {arch}")
            if value in seen:
                raise ValueError(f"the checksum table has the sum of {version} on {arch} twice")
            seen.add(value)
        sums[version] = row
    return ChecksumTable(as_of, source, sums)


@functools.cache
def load() -> ChecksumTable:
    """The table that ships with the collection."""
    return parse(DATA.read_text(encoding="utf-8"))
