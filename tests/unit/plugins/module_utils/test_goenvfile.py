# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import goenvfile
from ansible_collections.goready.preflight.plugins.module_utils.goenvfile import Edit
from hypothesis import given
from hypothesis import strategies as st

RELEASE = (Path(__file__).parents[2] / "fixtures/toolchain/go.env-1.27.3.txt").read_text(encoding="utf-8")
NAMES = ("GOPROXY", "GOSUMDB", "GOFLAGS")
VALUES = st.text(st.characters(exclude_characters="\n\r\0"), max_size=8)
LINES = st.one_of(VALUES, st.builds("{}={}".format, st.sampled_from(NAMES), VALUES))
TEXTS = st.lists(LINES, max_size=8).map("\n".join)
WANTED = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), VALUES))


@pytest.mark.parametrize(("text", "first", "expected"), [
    pytest.param(RELEASE, True, {"GOPROXY": (7, "https://proxy.golang.org,direct"), "GOSUMDB": (8, "sum.golang.org"),
                                 "GOTOOLCHAIN": (12, "auto")}, id="of the release"),
    pytest.param("A=1\nA=2\n", False, {"A": (2, "2")}, id="the last counts for a user"),
    pytest.param("A=1\nA=2\n", True, {"A": (1, "1")}, id="the first counts in GOROOT/go.env"),
    pytest.param("# A=1\n a=1\nB\n=x\n", False, {}, id="no settings"),
    pytest.param("GOPROXY=\r\nA=b=c", False, {"GOPROXY": (1, "\r"), "A": (2, "b=c")}, id="a carriage return is of the value"),
])
def test_effective(text: str, first: bool, expected: dict[str, tuple[int, str]]) -> None:
    found = goenvfile.effective(text, first=first)
    assert {name: (one.line, one.value) for name, one in found.items()} == expected


@pytest.mark.parametrize(("text", "wanted", "first", "expected", "edits"), [
    pytest.param("", {"A": "1"}, False, "A=1\n", {"A": Edit((), "A=1")}, id="into an empty file"),
    pytest.param("B=2", {"A": "1"}, False, "B=2\nA=1", {"A": Edit((), "A=1")}, id="no newline at the end stays none"),
    pytest.param("# c\nA=0\nB=2\n", {"A": "1"}, False, "# c\nA=1\nB=2\n", {"A": Edit(("A=0",), "A=1")}, id="in place"),
    pytest.param("A=0\nA=9\n", {"A": "1"}, False, "A=0\nA=1\n", {"A": Edit(("A=9",), "A=1")}, id="the one that counts"),
    pytest.param("A=0\nA=9\n", {"A": "1"}, True, "A=1\nA=9\n", {"A": Edit(("A=0",), "A=1")}, id="the first in go.env"),
    pytest.param("A=0\nB=2\nA=9\n", {"A": None}, False, "B=2\n", {"A": Edit(("A=0", "A=9"), None)}, id="every line of it goes"),
    pytest.param("A=1\n", {"A": "1", "B": None}, False, "A=1\n", {}, id="as wanted already"),
    pytest.param("A=0\n", {"A": ""}, False, "A=\n", {"A": Edit(("A=0",), "A=")}, id="set to nothing is not unset"),
])
def test_apply(text: str, wanted: dict[str, str | None], first: bool, expected: str, edits: dict[str, Edit]) -> None:
    assert goenvfile.apply(text, wanted, {}, first=first) == (expected, edits)


def test_a_second_value_keeps_what_was_there_first() -> None:
    text, edits = goenvfile.apply("A=0\n", {"A": "1"}, {})
    text, edits = goenvfile.apply(text, {"A": "2"}, edits)
    assert (text, edits) == ("A=2\n", {"A": Edit(("A=0",), "A=2")})
    assert goenvfile.apply(text, {"A": "0"}, edits) == ("A=0\n", {})


def test_what_somebody_else_has_set_since_is_what_comes_back() -> None:
    text, edits = goenvfile.apply("A=0\n", {"A": "1"}, {})
    text = text.replace("A=1", "A=by hand")
    text, edits = goenvfile.apply(text, {"A": "2"}, edits)
    assert goenvfile.revert(text, edits) == ("A=by hand\n", [])


@pytest.mark.parametrize(("text", "edits", "expected"), [
    ("B=2\nA=1\n", {"A": Edit((), "A=1")}, ("B=2\n", [])),
    ("A=by hand\n", {"A": Edit((), "A=1")}, ("A=by hand\n", ["A"])),
    ("B=2\n", {"A": Edit(("A=0", "A=9"), None)}, ("B=2\nA=0\nA=9\n", [])),
    ("A=by hand\n", {"A": Edit(("A=0",), None)}, ("A=by hand\n", ["A"])),
])
def test_revert(text: str, edits: dict[str, Edit], expected: tuple[str, list[str]]) -> None:
    assert goenvfile.revert(text, edits) == expected


@pytest.mark.parametrize(("text", "first", "after"), [
    pytest.param("A=x\nA=y\n", False, "A=x\nA=x\n", id="the last"),
    pytest.param("A=y\nA=x\n", True, "A=x\nA=x\n", id="the first in go.env"),
])
def test_of_two_lines_that_say_the_same_ours_is_taken_back(text: str, first: bool, after: str) -> None:
    got, edits = goenvfile.apply(text, {"A": "x"}, {}, first=first)
    assert (got, goenvfile.revert(got, edits, first=first)) == (after, (text, []))
    assert goenvfile.apply(got, {"A": "z"}, edits, first=first)[0] == text.replace("y", "z")


@given(TEXTS, WANTED, st.booleans())
def test_what_is_applied_counts_and_nothing_else_is_touched(text: str, wanted: dict[str, str | None], first: bool) -> None:
    after, edits = goenvfile.apply(text, wanted, {}, first=first)
    found = goenvfile.effective(after, first=first)
    for name, value in wanted.items():
        assert (found[name].value if name in found else None) == value
    assert [line for line in after.split("\n") if line.partition("=")[0] not in wanted and line] == [
        line for line in text.split("\n") if line.partition("=")[0] not in wanted and line]
    assert goenvfile.apply(after, wanted, edits, first=first) == (after, edits)


@given(TEXTS, st.dictionaries(st.sampled_from(NAMES), VALUES), st.booleans())
def test_values_that_were_set_are_taken_back_byte_for_byte(text: str, wanted: dict[str, str], first: bool) -> None:
    after, edits = goenvfile.apply(text, wanted, {}, first=first)
    assert goenvfile.revert(after, edits, first=first) == (text, [])


@pytest.mark.parametrize("value", ["a\nGOSUMDB=off", "a\r", "a\0"])
def test_a_value_is_one_line(value: str) -> None:
    with pytest.raises(ValueError, match=r"\AGOPROXY holds a line break or a null byte, which no line of go's environment file can\Z"):
        goenvfile.check_value("GOPROXY", value)
