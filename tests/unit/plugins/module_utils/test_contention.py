# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded mutex?debug=1 and block?debug=1 of four Go versions (fixtures/runtime/profiles)."""
from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import contention
from ansible_collections.goready.preflight.plugins.module_utils.contention import Contention

FIXTURES = Path(__file__).parents[2] / "fixtures" / "runtime" / "profiles"
VERSIONS = ("go1.21.13", "go1.24.11", "go1.26.4", "go1.27.3")


@pytest.mark.parametrize(("kind", "period"), [("mutex", 5), ("block", None)])
@pytest.mark.parametrize("version", VERSIONS)
def test_recorded(version: str, kind: str, period: int | None) -> None:
    data = gzip.decompress((FIXTURES / version / f"{kind}.debug1.txt.gz").read_bytes())
    found = contention.parse(data)
    assert (found.kind, found.period, found.empty) == (kind, period, False)
    assert 1_000_000_000 < found.cycles_per_second < 10_000_000_000
    assert contention.parse(data[:contention.HEAD]) == found


@pytest.mark.parametrize(("data", "expected"), [
    (b"--- mutex:\ncycles/second=2450000000\nsampling period=0\n", Contention("mutex", 2450000000, 0, True)),
    (b"--- mutex:\ncycles/second=1\nsampling period=1\n5 1 @ 0x1\n", Contention("mutex", 1, 1, False)),
    (b"--- mutex:\r\ncycles/second=1\r\nsampling period=100\r\n\r\n", Contention("mutex", 1, 100, True)),
    (b"--- contention:\ncycles/second=1000000000\n", Contention("block", 1000000000, None, True)),
    (b"--- contention:\ncycles/second=1000000000", Contention("block", 1000000000, None, True)),
    (b"--- contention:\ncycles/second=7\n1 1 @ 0x1\n", Contention("block", 7, None, False)),
], ids=["off", "on", "crlf", "block-empty", "block-no-newline", "block"])
def test_forms(data: bytes, expected: Contention) -> None:
    assert contention.parse(data) == expected


@pytest.mark.parametrize(("data", "message"), [
    (b"", "neither a mutex nor a block profile: it begins with ''"),
    (b"<!DOCTYPE html><html><body>a page of some length",
     "neither a mutex nor a block profile: it begins with '<!DOCTYPE html><html><body>a page of som'"),
    (b"--- mutex:", "the mutex profile does not say cycles/second in its second line"),
    (b"--- contention:\ncycles/second=x\n", "the block profile does not say cycles/second in its second line"),
    (b"--- contention:\ncycles/second=0\n", "the block profile says cycles/second=0"),
    (b"--- mutex:\ncycles/second=5\n", "the mutex profile does not say its sampling period in its third line"),
    (b"--- mutex:\ncycles/second=5", "the mutex profile does not say its sampling period in its third line"),
    (b"--- mutex:\ncycles/second=5\nsampling period=-1\n", "the mutex profile says a sampling period of -1"),
], ids=["empty", "html", "one-line", "no-number", "zero", "cut", "cut-shorter", "negative"])
def test_what_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        contention.parse(data)
    assert str(caught.value) == message


@given(st.sampled_from([b"", b"--- mutex:\n", b"--- contention:\ncycles/second=", b"--- mutex:\ncycles/second=5\nsampling period="]),
       st.binary(max_size=200))
def test_property_any_bytes(head: bytes, tail: bytes) -> None:
    try:
        found = contention.parse(head + tail)
    except ValueError as error:
        assert str(error)
    else:
        assert found.cycles_per_second > 0 and (found.period is None) == (found.kind == "block")
        assert found.period is None or found.period >= 0
