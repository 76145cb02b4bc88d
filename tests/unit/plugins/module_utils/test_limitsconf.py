# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import limitsconf

RECORDED = Path(__file__).parents[2] / "fixtures" / "services" / "limits-1.5.2.conf"


@pytest.mark.parametrize(("text", "expected"), [
    ("api soft nofile 65536", (1, "api", "soft", "nofile", "65536")),
    ("\n  api\t-  nofile   65536  # both\n", (2, "api", "-", "nofile", "65536")),
    ("API Hard NoFile Unlimited", (1, "API", "hard", "nofile", "unlimited")),
    ("@web - nproc 100 and more", (1, "@web", "-", "nproc", "100")),
    ("1000:2000 soft core 0\r\n", (1, "1000:2000", "soft", "core", "0")),
    ("api -", (1, "api", "-", None, None)),
    ("* soft nosuchitem x", (1, "*", "soft", "nosuchitem", "x")),
], ids=["soft", "both-and-comment", "case", "fifth-word", "range-and-crlf", "free-of-limits", "unknown-item"])
def test_lines(text: str, expected: tuple[object, ...]) -> None:
    assert [tuple(line) for line in limitsconf.parse(text)] == [expected]


@pytest.mark.parametrize("text", [
    "", "\n\n", "#api soft nofile 1", "api soft nofile # 1", "api soft", "api", "api soft nofile\n1",
    "a" * 300 + " soft nofile 1", "api\u00a0soft\u00a0nofile\u00a01",
], ids=["empty", "blank", "comment", "comment-before-the-value", "two-words", "one-word", "broken", "hostile", "no-blanks"])
def test_lines_that_set_nothing(text: str) -> None:
    assert limitsconf.parse(text) == []


def test_the_file_as_packaged_sets_nothing() -> None:
    text = RECORDED.read_text()
    assert text.count("\n") > 50
    assert limitsconf.parse(text) == []
    # Its examples, without the sign that makes them comments.
    examples = limitsconf.parse("\n".join(line[1:] for line in text.split("\n") if line.startswith("#") and "  " in line[1:]))
    assert ("@student", "-", "maxlogins", "4") in [tuple(line[1:]) for line in examples]


def test_bound() -> None:
    assert [line.line for line in limitsconf.parse("a - nofile 1\n" * 10, 3)] == [1, 2, 3]


@pytest.mark.parametrize(("name", "read"), [
    ("50-lab.conf", True), (".hidden.conf", False), ("x.conf.bak", False), ("README", False)])
def test_which_files_are_read(name: str, read: bool) -> None:
    assert limitsconf.is_read(name) is read


@given(st.text(alphabet="api soft-nfle*@#:0\n\t\r\0\u2028", max_size=300))
def test_arbitrary_text(text: str) -> None:
    for line in limitsconf.parse(text):
        assert 1 <= line.line <= text.count("\n") + 1
        assert line.domain and "#" not in line.domain and (line.item is None) == (line.value is None)
        assert line.domain in text.split("\n")[line.line - 1]
