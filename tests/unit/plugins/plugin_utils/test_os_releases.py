# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of operating systems."""
from __future__ import annotations

import datetime
import json

import pytest

from ansible_collections.goready.preflight.plugins.plugin_utils import os_releases

ENTRY = {"id": "debian", "version_id": "12", "codename": "bookworm", "lts": True, "released": "2023-06-10",
         "regular_ends": "2026-07-11", "ends": "2028-06-30", "extended_ends": None}


def text(**changes: object) -> str:
    return json.dumps({"as_of": "2026-01-01", "source": "x", "releases": [{**ENTRY, **changes}]})


def test_shipped_table() -> None:
    table = os_releases.load()
    assert "distro-info-data" in table.source
    assert table.as_of > datetime.date(2026, 1, 1)
    assert len({(one.id, one.version_id) for one in table.releases}) == len(table.releases)
    assert {one.id for one in table.releases} == {"debian", "ubuntu"}


@pytest.mark.parametrize(("day", "expected"), [
    ("2024-06-01", ["debian 10", "debian 11", "debian 12", "ubuntu 20.04", "ubuntu 22.04", "ubuntu 24.04"]),
    ("2026-11-21", ["debian 12", "debian 13", "ubuntu 22.04", "ubuntu 24.04", "ubuntu 26.04"]),
])
def test_supported(day: str, expected: list[str]) -> None:
    assert os_releases.load().supported(datetime.date.fromisoformat(day)) == expected


def test_order() -> None:
    assert [one.version_id for one in os_releases.load().of("debian")] == ["8", "9", "10", "11", "12", "13"]


@pytest.mark.parametrize(("document", "message"), [
    pytest.param("{}", "the table of operating systems lacks 'releases'", id="empty"),
    pytest.param(text(ends="2020-01-01"), "the dates of debian 12 are out of order", id="order"),
    pytest.param(text(version_id="x"), "invalid literal for int() with base 10: 'x'", id="version"),
    pytest.param(text(released="soon"), "Invalid isoformat string: 'soon'", id="date"),
])
def test_faults(document: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        os_releases.parse(document)
    assert str(caught.value) == message
