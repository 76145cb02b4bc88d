# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import unicodedata

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.report import text
from hypothesis import given
from hypothesis import strategies as st

ANYTHING = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(("given_text", "shown"), [
    ("plain ünïcode 漢字 😀", "plain ünïcode 漢字 😀"), ("a\x1b[31mred", "a␛[31mred"), ("nul\x00", "nul␀"), ("del\x7f", "del␡"),
    ("c1\x9b", "c1\ufffd"), ("rtl\u202eevil", "rtl\ufffdevil"), ("half\udc80", "half\ufffd"),
    ("two\nlines\there", "two lines here"),
    ("cr\r", "cr␍"), ("sep\u2028", "sep\ufffd"), ("nbsp\u00a0", "nbsp\u00a0"),
])
def test_line(given_text: str, shown: str) -> None:
    assert text.line(given_text) == shown


@given(ANYTHING)
def test_no_text_acts(anything: str) -> None:
    shown = text.line(anything)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs") or char in "\u2028\u2029\u202e\u2066"]
    assert len(shown) == len(anything)
    shown.encode()
    assert text.visible(anything).replace("\n", " ").replace("\t", " ") == shown


@pytest.mark.parametrize(("value", "words"), [
    ((1, "host"), "1 host"), ((0, "host"), "0 hosts"), ((1200, "host"), "1,200 hosts"), ((2, "way", "ways out"), "2 ways out"),
])
def test_count(value: tuple[int, str], words: str) -> None:
    assert text.count(*value) == words


@pytest.mark.parametrize(("items", "words"), [
    ([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c"], "a, b and 1 more"),
])
def test_names(items: list[str], words: str) -> None:
    assert text.names(items, 2) == words


@pytest.mark.parametrize(("seconds", "words"), [
    (0.04, "0.0 s"), (0.41, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (3600, "1 h"),
    (3905, "1 h 5 min"),
])
def test_duration(seconds: float, words: str) -> None:
    assert text.duration(seconds) == words


@pytest.mark.parametrize(("value", "words"), [
    ("2026-11-21T06:30:00+00:00", "2026-11-21 06:30 UTC"), ("2026-11-21T06:30:00Z", "2026-11-21 06:30 UTC"),
    ("2026-11-21T06:30:00+05:30", "2026-11-21 01:00 UTC"), ("2026-11-21T06:30:00", "2026-11-21 06:30 UTC"),
    ("soon", "soon"), (None, ""), (5, "5"), ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
])
def test_moment(value: object, words: str) -> None:
    assert text.moment(value) == words


@pytest.mark.parametrize(("words", "first"), [
    ("Set it. Then restart.", "Set it."), ("Use go1.27.3 or newer.", "Use go1.27.3 or newer."),
    ("See e.g. this one.", "See e.g. this one."),
    ("No stop", "No stop"), ("", ""),
])
def test_first_sentence(words: str, first: str) -> None:
    assert text.first_sentence(words) == first


@pytest.mark.parametrize(("words", "sentence"), [("it is", "It is."), ("Done.", "Done."), (" is it? ", "Is it?"), ("", "")])
def test_sentence(words: str, sentence: str) -> None:
    assert text.sentence(words) == sentence


@pytest.mark.parametrize(("value", "words"), [
    (None, ""), ("a", "a"), (1024, "1024"), (False, "false"), ([1, "ü"], '[1, "ü"]'),
    ({"b": 1, "a": None}, '{"a": null, "b": 1}'),
])
def test_plain(value: object, words: str) -> None:
    assert text.plain(value) == words


def test_clip() -> None:
    assert text.clip("12345", 5) == "12345"
    assert text.clip("123456", 5) == "1234…"
