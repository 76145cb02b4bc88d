# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import goversion
from hypothesis import given
from hypothesis import strategies as st

ALLOWED = 'expected a version ("1.27", "1.27.3") or bounds with >=, >, <=, <, =, != and commas (">=1.26,<1.28")'


@pytest.mark.parametrize(("text", "fields"), [
    pytest.param("go1.27.3", (1, 27, 3, "", ""), id="release"),
    pytest.param("1.27.3", (1, 27, 3, "", ""), id="without prefix"),
    pytest.param("go1.27rc1", (1, 27, None, "rc1", ""), id="release candidate"),
    pytest.param("go1.18beta2", (1, 18, None, "beta2", ""), id="beta"),
    pytest.param("go1.20", (1, 20, None, "", ""), id="two numbers"),
    pytest.param("go1.27.3 X:boringcrypto", (1, 27, 3, "", " X:boringcrypto"), id="experiment"),
    pytest.param("go1.27.3-custom", (1, 27, 3, "", "-custom"), id="vendor suffix"),
    pytest.param("go1.18.4 (Red Hat 1.18.4-2.el9)", (1, 18, 4, "", " (Red Hat 1.18.4-2.el9)"), id="Red Hat"),
    pytest.param("go1.18 gccgo (Debian 12.2.0-14+deb12u1) 12.2.0", (1, 18, None, "", " gccgo (Debian 12.2.0-14+deb12u1) 12.2.0"),
                 id="gccgo"),
    pytest.param("devel go1.21-8c5a6f81a3 Tue May 2 2023", (1, 21, None, "devel", "-8c5a6f81a3 Tue May 2 2023"),
                 id="devel until 1.24"),
    pytest.param("go1.26-devel_8c5a6f81a3 Mon Nov 2 2025", (1, 26, None, "devel", "-devel_8c5a6f81a3 Mon Nov 2 2025"),
                 id="devel"),
    pytest.param(" go1.27.3\n", (1, 27, 3, "", ""), id="surrounding blanks"),
])
def test_parse(text: str, fields: tuple[Any, ...]) -> None:
    version = goversion.parse(text)
    assert (version.major, version.minor, version.patch, version.pre, version.suffix) == fields
    assert version.language == f"{fields[0]}.{fields[1]}"


@pytest.mark.parametrize(("text", "message"), [
    ("", "'' is no Go version (like go1.27.3 or go1.27rc1)"),
    ("go", "'go' is no Go version (like go1.27.3 or go1.27rc1)"),
    ("1", "'1' is no Go version (like go1.27.3 or go1.27rc1)"),
    ("go1.27.3.4", "'go1.27.3.4' is no Go version: '.4' follows 1.27.3"),
    ("go1.027", "'go1.027' is no Go version: '27' follows 1.0"),
    ("go1.27.3x", "'go1.27.3x' is no Go version: 'x' follows 1.27.3"),
    ("go1.27.3 a\nb", "'go1.27.3 a\\nb' is no Go version: ' a\\nb' follows 1.27.3"),
    ("devel +8c5a6f81a3", "'devel +8c5a6f81a3' is a development tree that does not tell its version"),
    ("1." + "9" * 300, "a Go version of 302 characters"),
    (1.27, "a Go version must be a string, not float"),
])
def test_parse_refuses(text: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        goversion.parse(text)
    assert str(caught.value) == message


def test_order() -> None:
    texts = ["go1.9", "go1.19.8", "go1.20", "go1.20.1", "go1.21rc2", "go1.21.0", "go1.27-devel_1234 Mon", "go1.27beta1",
             "go1.27rc1", "go1.27rc2", "go1.27.0", "go1.27.3", "go1.27.10", "go2.0.0"]
    versions = [goversion.parse(text) for text in texts]
    assert all(left < right for left, right in zip(versions, versions[1:], strict=False))


def test_the_suffix_does_not_count() -> None:
    assert goversion.parse("go1.27.3-custom") == goversion.parse("1.27.3")
    assert len({goversion.parse("go1.27.3-custom"), goversion.parse("1.27.3")}) == 1
    # Before 1.21 the first release of a line had two numbers (Go 1.21 release notes, "Tools").
    assert goversion.parse("go1.20") == goversion.parse("go1.20.0")
    assert goversion.parse("go1.21") < goversion.parse("go1.21.0")
    assert goversion.parse("go1.27.3") != "go1.27.3"


@pytest.mark.parametrize(("text", "prerelease"), [
    ("go1.27rc1", True), ("go1.27beta1", True), ("go1.27-devel_x", True), ("go1.27.0", False), ("go1.20", False),
    ("go1.27", True),
])
def test_prerelease(text: str, prerelease: bool) -> None:
    assert goversion.parse(text).prerelease is prerelease


@pytest.mark.parametrize(("text", "matching", "others"), [
    pytest.param("1.27", "1.27.0 1.27.3 1.27.3-custom", "1.26.9 1.28.0 1.27rc1", id="line"),
    pytest.param("1.20", "1.20 1.20.3", "1.21.0 1.20rc1", id="old line"),
    pytest.param("go1.27.3", "1.27.3", "1.27.2 1.27.4", id="exactly"),
    pytest.param("==1.27.3", "1.27.3", "1.27.2", id="double equals"),
    pytest.param(">=1.26,<1.28", "1.26.0 1.27.9", "1.25.9 1.28.0 1.28rc1 1.26rc1", id="half open"),
    pytest.param(" >= 1.26 , < 1.28 ", "1.26.0 1.27.9", "1.28.0", id="blanks"),
    pytest.param(">1.26", "1.27.0 1.28.3", "1.26.9", id="after the line"),
    pytest.param("<=1.27", "1.27.9 1.20", "1.28.0", id="the whole line"),
    pytest.param(">=1.26.2,!=1.27.1", "1.26.2 1.27.0 1.27.2", "1.26.1 1.27.1", id="without a bad one"),
    pytest.param("!=1.26", "1.25.0 1.27.0", "1.26.4", id="without a line"),
    pytest.param(">=1.28rc1", "1.28rc1 1.28rc2 1.28.0 1.29.0", "1.28beta1 1.27.9 1.29rc1", id="a candidate by its name"),
    pytest.param("1.28rc1", "1.28rc1", "1.28rc2 1.28.0", id="this candidate"),
])
def test_range(text: str, matching: str, others: str) -> None:
    allowed = goversion.Range.parse(text)
    assert [version for version in matching.split() if not allowed.matches(goversion.parse(version))] == []
    assert [version for version in others.split() if allowed.matches(goversion.parse(version))] == []


@pytest.mark.parametrize(("text", "message"), [
    (1.3, "1.3 is a float: quote it, because YAML reads 1.30 as the number 1.3"),
    ("", "an empty version range; " + ALLOWED),
    ("  ", "an empty version range; " + ALLOWED),
    (">=1.26,", "'' in '>=1.26,' is no term of a version range; " + ALLOWED),
    ("~1.27", "'~1.27' in '~1.27' is no Go version; " + ALLOWED),
    ("1.27.x", "'1.27.x' in '1.27.x' is no Go version; " + ALLOWED),
    ("latest", "'latest' in 'latest' is no Go version; " + ALLOWED),
    (">=", "'=' in '>=' is no Go version; " + ALLOWED),
    ("1.27 1.28", "'1.27 1.28' in '1.27 1.28' is no term of a version range; " + ALLOWED),
    (">=1.28,<1.26", "'>=1.28,<1.26' contradicts itself: no Go version satisfies all its terms"),
    (">1.27.1,<1.27.2", "'>1.27.1,<1.27.2' contradicts itself: no Go version satisfies all its terms"),
    ("1.27," * 60, "a version range of 300 characters; at most 256 are allowed"),
])
def test_range_refuses(text: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        goversion.Range.parse(text)
    assert str(caught.value) == message


@given(st.one_of(st.text(max_size=400), st.from_regex(r"(devel )?(go)?[0-9]{1,4}\.[0-9]{1,8}(\.[0-9]+|rc[0-9]+)?[ -~]{0,9}")))
def test_any_text_is_a_version_or_a_value_error(text: str) -> None:
    try:
        version = goversion.parse(text)
    except ValueError:
        return
    assert goversion.parse(f"go{version.language}{version.pre if version.pre != 'devel' else '-devel_x'}"
                           if version.pre else str(version)) == version
    assert version >= goversion.parse(text)


@given(st.one_of(st.text(max_size=300),
                 st.from_regex(r"(>=|<=|>|<|!=|=|)1\.[0-9]{1,2}(\.[0-9])?(,(>=|<)1\.[0-9]{1,2})?", fullmatch=True)))
def test_any_text_is_a_range_or_a_value_error(text: str) -> None:
    try:
        allowed = goversion.Range.parse(text)
    except ValueError:
        return
    assert goversion.Range.parse(str(allowed)).terms == allowed.terms
    assert isinstance(allowed.matches(goversion.parse("go1.27.3")), bool)


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 40), st.integers(0, 20)), min_size=2, max_size=2))
def test_bounds_agree_with_the_order(pairs: list[tuple[int, int, int]]) -> None:
    left, right = (goversion.GoVersion(*numbers) for numbers in pairs)
    assert goversion.Range.parse(f">={left}").matches(right) is (right >= left)
    assert goversion.Range.parse(f"<={left}").matches(right) is (right <= left)
    assert goversion.Range.parse(str(left)).matches(right) is (right == left)
