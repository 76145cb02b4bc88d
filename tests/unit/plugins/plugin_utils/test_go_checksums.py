# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of known checksums: that it is whole, and that a damaged one is refused."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.plugin_utils import go_checksums, go_releases

A, B, C, D = ("%x" % number * 64 for number in range(10, 14))


def table(*rows: dict[str, str], **values: object) -> str:
    return json.dumps({"as_of": "2026-11-21", "source": "a test", "releases": list(rows), **values})


ONE = {"version": "1.27.0", "amd64": A, "arm64": B}
TWO = {"version": "1.27.1", "amd64": C, "arm64": D}


def test_parse():
    found = go_checksums.parse(table(ONE, TWO))
    assert found.versions == ["1.27.0", "1.27.1"] and found.label == "the collection's table of 2026-11-21"
    assert found.of("1.27.1") == {"amd64": C, "arm64": D} and found.of("1.27") == {} and found.of("1.27.2") == {}


@pytest.mark.parametrize(("text", "message"), [
    (table({"version": "1.27.0", "amd64": A}), "the checksum table lacks 'arm64'"),
    (table(as_of=None), None),
    (table({**ONE, "version": "1.27"}), "the checksum table has '1.27', which is no exact version"),
    (table({**ONE, "version": "go1.27.0"}), "the checksum table has 'go1.27.0', which is no exact version"),
    (table(TWO, ONE), "the checksum table is out of order at 1.27.0"),
    (table(ONE, {**ONE}), "the checksum table is out of order at 1.27.0"),
    (table({**ONE, "arm64": "x"}), "the checksum table has no SHA-256 for 1.27.0 on arm64"),
    (table({**ONE, "arm64": A}), "the checksum table has the sum of 1.27.0 on arm64 twice"),
    (table(ONE, {**TWO, "amd64": B}), "the checksum table has the sum of 1.27.1 on amd64 twice"),
    ("[]", None), ("", None),
])
def test_damaged_tables(text, message):
    with pytest.raises(ValueError) as caught:
        go_checksums.parse(text)
    assert message is None or str(caught.value) == message


@given(st.text())
def test_parse_gives_a_table_or_value_error(text):
    try:
        go_checksums.parse(text)
    except ValueError:
        return
    pytest.fail("no text like that is a table")


def test_the_table_that_ships_covers_the_supported_lines():
    shipped = go_checksums.load()
    assert len(shipped.versions) > 80
    for line in go_releases.supported_lines(shipped.as_of):
        assert line + ".0" in shipped.versions
    assert shipped.versions[0] == "1.21.0"


@pytest.mark.parametrize(("version", "arch", "value"), [
    # As https://github.com/docker-library/golang has them in versions.json.
    ("1.26.1", "amd64", "031f088e5d955bab8657ede27ad4e3bc5b7c1ba281f05f245bcc304f327c987a"),
    ("1.26.1", "arm64", "a290581cfe4fe28ddd737dde3095f3dbeb7f2e4065cab4eae44dfc53b760c2f7"),
    ("1.25.9", "amd64", "00859d7bd6defe8bf84d9db9e57b9a4467b2887c18cd93ae7460e713db774bc1"),
    ("1.25.9", "arm64", "ec342e7389b7f489564ed5463c63b16cf8040023dabc7861256677165a8c0e2b"),
])
def test_sums_that_a_second_source_has(version, arch, value):
    assert go_checksums.load().of(version)[arch] == value
