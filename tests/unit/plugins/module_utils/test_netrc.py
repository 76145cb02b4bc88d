# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import netrc
from hypothesis import given
from hypothesis import strategies as st

TEXT = """# machine commented login x password y
machine git.example login ci
    password s1
machine host.example login a password b
macdef init
 machine inside login no password no

default login anonymous password me@
"""
WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)


def words(text: str) -> list[tuple[str, str, str]]:
    return [(one.machine, one.login, one.password) for one in netrc.entries(text)]


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param(TEXT, [("git.example", "ci", "s1"), ("host.example", "a", "b"), ("", "anonymous", "me@")], id="all forms"),
    pytest.param("machine\na\nlogin\nb\npassword\nc", [("a", "b", "c")], id="a word a line"),
    pytest.param("machine a account z login b port 1 password c", [("a", "b", "c")], id="other words"),
    pytest.param("machine a login", [("a", "", "")], id="cut off"),
    pytest.param("machine", [("", "", "")], id="cut off at once"),
    pytest.param("", [], id="empty"),
])
def test_entries(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert words(text) == expected


def test_the_span_of_an_entry_is_all_of_it() -> None:
    entry = netrc.find(TEXT, "git.example")
    assert entry is not None
    assert TEXT[entry.start:entry.end] == "machine git.example login ci\n    password s1"


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param("", "machine m login l password p\n", id="into an empty file"),
    pytest.param("default login a password b\n", "machine m login l password p\ndefault login a password b\n", id="before default"),
    pytest.param("macdef init\n ls\n", "machine m login l password p\nmacdef init\n ls\n", id="not into a macro"),
    pytest.param("machine a login b\nmachine m login x\n password y\nmachine z\n",
                 "machine a login b\nmachine m login l password p\nmachine z\n", id="in place"),
    pytest.param("machine m\nlogin l\npassword p", "machine m\nlogin l\npassword p", id="as wanted already"),
])
def test_put(text: str, expected: str) -> None:
    assert netrc.put(text, "m", "l", "p") == expected


def test_words_without_a_machine_are_not_given_one() -> None:
    with pytest.raises(ValueError, match=r"\Aa login or password without a machine before it\Z"):
        netrc.put("# broken\n password x\nmachine a login b password c\n", "m", "l", "p")


def test_two_entries_of_a_machine_are_nobodys_guess() -> None:
    with pytest.raises(ValueError, match=r"\A2 entries for machine a\Z"):
        netrc.find("machine a login b password c\nmachine a login d password e\n", "a")


PIECES = st.sampled_from(["machine a login b password c\n", "machine a\n", "machine\tb\n login c\n", "  password d\n", "# note\n", "\n",
                          "default login e password f\n", "macdef init\n ls\n\n", "macdef last\n", "stray\n", "machine c login x"])


@given(st.lists(PIECES, max_size=6).map("".join), WORD | st.sampled_from("abc"), WORD, WORD)
def test_what_is_put_is_found_and_taken_back_byte_for_byte(text: str, machine: str, login: str, password: str) -> None:
    try:
        before = netrc.find(text, machine)
        after = netrc.put(text, machine, login, password)
    except ValueError:
        return
    found = netrc.find(after, machine)
    assert found is not None
    assert (found.login, found.password) == (login, password)
    old = None if before is None else text[before.start:before.end]
    if after != text:
        assert netrc.replace(after, machine, old) == text


@pytest.mark.parametrize(("value", "message"), [
    ("", "password is empty"),
    ("two words", "password holds a blank or a character beyond ASCII, which netrc cannot carry"),
    ("a\nmachine b", "password holds a blank or a character beyond ASCII, which netrc cannot carry"),
    ("gr\u00fcn", "password holds a blank or a character beyond ASCII, which netrc cannot carry"),
])
def test_a_word_is_a_word(value: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        netrc.check_word("password", value)
    assert str(caught.value) == message
