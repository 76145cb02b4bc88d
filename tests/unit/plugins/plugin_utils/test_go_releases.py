# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import goversion
from ansible_collections.goready.preflight.plugins.plugin_utils import go_releases

TABLE = json.dumps({
    "source": "https://example.org/releases", "as_of": "2026-11-21",
    "releases": [{"line": "1.25", "released": "2025-08-12"}, {"line": "1.26", "released": "2026-02-10"},
                 {"line": "1.27", "released": "2026-08-19"}],
})


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


@pytest.mark.parametrize(("version", "today", "expected"), [
    pytest.param("go1.27.3", "2026-11-21", True, id="newest"),
    pytest.param("go1.26.4", "2026-11-21", True, id="the one before"),
    pytest.param("go1.25.14", "2026-11-21", False, id="two newer exist"),
    pytest.param("go1.19.8", "2026-11-21", False, id="older than the table"),
    pytest.param("go1.25.1", "2026-08-18", True, id="the day before 1.27.0"),
    pytest.param("go1.25.1", "2026-08-19", False, id="the day of 1.27.0"),
    pytest.param("go1.26.4", "2027-01-31", True, id="the table still knows everything"),
    pytest.param("go1.26.4", "2027-02-01", None, id="1.28 may have come"),
    pytest.param("go1.27.3", "2027-02-01", True, id="one newer may exist, two cannot"),
    pytest.param("go1.27.3", "2027-08-01", None, id="two newer may exist"),
    pytest.param("go1.28.0", "2027-02-20", True, id="newer than the table"),
    pytest.param("go1.28.0", "2028-02-01", None, id="newer than the table, two newer may exist"),
    pytest.param("go1.25.14", "2030-01-01", False, id="ended stays ended"),
])
def test_is_supported(version: str, today: str, expected: bool | None) -> None:
    table = go_releases.parse(TABLE)
    assert go_releases.is_supported(goversion.parse(version), day(today), table=table) is expected


def test_the_override_replaces_the_table() -> None:
    table = go_releases.parse(TABLE)
    today = day("2026-11-21")
    assert go_releases.is_supported(goversion.parse("go1.22.2"), today, table=table, override=["1.22"]) is True
    assert go_releases.is_supported(goversion.parse("go1.27.3"), today, table=table, override=["1.22"]) is False
    with pytest.raises(ValueError, match="'latest' is no Go version"):
        go_releases.is_supported(goversion.parse("go1.27.3"), today, table=table, override=["latest"])


@pytest.mark.parametrize(("today", "age", "missing"), [
    ("2026-11-21", 0, 0), ("2027-01-31", 71, 0), ("2027-02-01", 72, 1), ("2027-08-01", 253, 2), ("2026-01-01", 0, 0),
])
def test_staleness(today: str, age: int, missing: int) -> None:
    found = go_releases.staleness(day(today), go_releases.parse(TABLE))
    assert (found.age_days, found.missing, found.stale) == (age, missing, missing > 0)


def test_a_table_that_was_looked_up_after_the_month_knows_that_nothing_came() -> None:
    table = go_releases.parse(TABLE.replace("2026-11-21", "2027-03-05"))
    assert go_releases.staleness(day("2027-03-05"), table).missing == 0
    assert go_releases.is_supported(goversion.parse("go1.26.4"), day("2027-03-05"), table=table) is True


def test_a_late_release_counts_for_its_own_month() -> None:
    late = json.dumps({"source": "x", "as_of": "2022-03-20", "releases": [
        {"line": "1.17", "released": "2021-08-16"}, {"line": "1.18", "released": "2022-03-15"}]})
    assert go_releases.staleness(day("2022-07-31"), go_releases.parse(late)).missing == 0
    assert go_releases.staleness(day("2022-08-01"), go_releases.parse(late)).missing == 1


def test_ended_and_supported_lines() -> None:
    table = go_releases.parse(TABLE)
    assert go_releases.ended(goversion.parse("go1.25.3"), table) == day("2026-08-19")
    assert go_releases.ended(goversion.parse("go1.26.3"), table) is None
    assert go_releases.supported_lines(day("2026-11-21"), table) == ["1.27", "1.26"]
    assert go_releases.supported_lines(day("2026-03-01"), table) == ["1.26", "1.25"]


@pytest.mark.parametrize(("old", "new", "message"), [
    ('"as_of"', '"asof"', "the release table lacks 'as_of'"),
    ('"2026-02-10"', '"2025-01-01"', "the release table is out of order at 1.26"),
    ('"2026-11-21"', '"2026-08-01"', "the release table of 2026-08-01 has 1.27 released later, on 2026-08-19"),
    ('"1.27"', '"latest"', "'latest' is no Go version (like go1.27.3 or go1.27rc1)"),
])
def test_a_broken_table_says_what_is_wrong(old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        go_releases.parse(TABLE.replace(old, new))
    assert str(caught.value) == message


def test_the_table_that_ships_is_whole() -> None:
    table = go_releases.load()
    assert table.source == "https://go.dev/doc/devel/release"
    lines = [line for line, unused in table.released]
    assert lines == [(1, minor) for minor in range(15, lines[-1][1] + 1)]
    # A copy that is released must not be out of date on the day of its own making.
    assert go_releases.staleness(table.as_of, table).missing == 0
