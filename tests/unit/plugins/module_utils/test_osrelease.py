# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-release(5)."""
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import osrelease

FIXTURES = Path(__file__).parents[2] / "fixtures" / "host"


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param("ID=debian\n", {"ID": "debian"}, id="bare"),
    pytest.param('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"', {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}, id="double"),
    pytest.param("NAME='a b'", {"NAME": "a b"}, id="single"),
    pytest.param('NAME="a \\"b\\" \\$c \\\\"', {"NAME": 'a "b" $c \\'}, id="escapes"),
    pytest.param("NAME='a \\$c'", {"NAME": "a \\$c"}, id="no-escapes-in-single-quotes"),
    pytest.param('VERSION_ID=""', {"VERSION_ID": ""}, id="empty"),
    pytest.param("# comment\n\nnonsense\n ID=x \nid=lower\n", {"ID": "x"}, id="other-lines"),
    pytest.param("ID=a\nID=b\n", {"ID": "b"}, id="the-last-counts"),
])
def test_parse(text: str, expected: dict[str, str]) -> None:
    assert osrelease.parse(text) == expected


@pytest.mark.parametrize(("text", "message"), [
    pytest.param("", "os-release: no assignment in 0 characters", id="empty"),
    pytest.param("hello\n", "os-release: no assignment in 6 characters", id="nonsense"),
    pytest.param('ID=x\nNAME="a\n', "os-release line 2: the quote of NAME is not closed", id="open-quote"),
    pytest.param("NAME='", "os-release line 1: the quote of NAME is not closed", id="one-quote"),
])
def test_faults(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        osrelease.parse(text)
    assert str(caught.value) == message


def test_recorded() -> None:
    values = osrelease.parse((FIXTURES / "ubuntu24-standin-podman/etc/os-release").read_text())
    assert (values["ID"], values["VERSION_ID"], values["ID_LIKE"]) == ("ubuntu", "24.04", "debian")


@given(st.text() | st.binary().map(lambda data: "ID=" + data.decode("utf-8", "replace")))
def test_any_text(text: str) -> None:
    try:
        values = osrelease.parse(text)
    except ValueError:
        return
    assert values and all(isinstance(value, str) for value in values.values())
