# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shlex

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import execstart
from hypothesis import given
from hypothesis import strategies as st

LINE = "/opt/api/api  --name='a b' --debug-addr=:6060 -v %i ${MORE}"


@pytest.mark.parametrize("line, argument, after", [
    pytest.param(LINE, "--debug-addr", "/opt/api/api  --name='a b' --debug-addr=127.0.0.1:6060 -v %i ${MORE}", id="equals"),
    pytest.param("/a --debug-addr :6060 -v", "--debug-addr", "/a --debug-addr 127.0.0.1:6060 -v", id="two-words"),
    pytest.param('/a  --debug-addr   ":6060"', "--debug-addr", "/a  --debug-addr   127.0.0.1:6060", id="quoted-value"),
    pytest.param('/a "--debug-addr=:6060" -v', "--debug-addr", "/a --debug-addr=127.0.0.1:6060 -v", id="quoted-word"),
    pytest.param("/a -debug-addr=:1", "--debug-addr", "/a -debug-addr=127.0.0.1:6060", id="one-dash"),
    pytest.param("/a --debug-addr=:1", "-debug-addr", "/a --debug-addr=127.0.0.1:6060", id="two-dashes"),
    pytest.param("/a -d :1 --d=:2", "-d", "/a -d 127.0.0.1:6060 --d=:2", id="short-is-not-long"),
    pytest.param("/a --debug-addr=:1 --debug-addr=:2", "--debug-addr", "/a --debug-addr=127.0.0.1:6060 --debug-addr=127.0.0.1:6060",
                 id="twice"),
    pytest.param("/a -v", "--debug-addr", "/a -v --debug-addr=127.0.0.1:6060", id="added"),
    pytest.param("/a --debug-address=:1", "--debug-addr", "/a --debug-address=:1 --debug-addr=127.0.0.1:6060", id="longer-name"),
    pytest.param("-@/a argv0 --debug-addr=:1", "--debug-addr", "-@/a argv0 --debug-addr=127.0.0.1:6060", id="prefixes"),
])
def test_with_argument(line, argument, after):
    assert execstart.with_argument(line, argument, "127.0.0.1:6060") == after


@pytest.mark.parametrize("line, message", [
    pytest.param("/a --debug-addr", "ExecStart= ends with --debug-addr and no value of it", id="no-value"),
    pytest.param("/a ; /b", "ExecStart= holds several commands", id="several"),
    pytest.param("", "ExecStart= is empty", id="empty"),
    pytest.param("/a 'b", "ExecStart= has a quote that is not closed", id="quote"),
])
def test_with_argument_refuses(line, message):
    with pytest.raises(ValueError) as caught:
        execstart.with_argument(line, "--debug-addr", "127.0.0.1:6060")
    assert str(caught.value) == message


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters=";"), max_size=80))
def test_setting_it_twice_is_setting_it_once(line):
    try:
        once = execstart.with_argument(line, "--debug-addr", "127.0.0.1:6060")
    except ValueError:
        return
    assert execstart.with_argument(once, "--debug-addr", "127.0.0.1:6060") == once
    assert once == line or "127.0.0.1:6060" in once


@pytest.mark.parametrize("texts, commands", [
    pytest.param(["[Service]\nExecStart=/a\n"], ["/a"], id="one"),
    pytest.param(["[Service]\nExecStart=/a \\\n  -b\n"], ["/a  -b"], id="continued"),
    pytest.param(["[Service]\nExecStart=/a\n", "[Service]\nExecStart=\nExecStart=/b  -c\n"], ["/b  -c"], id="reset"),
    pytest.param(["[Service]\nType=oneshot\nExecStart=/a\nExecStart=/b\n"], ["/a", "/b"], id="two"),
    pytest.param(["[Unit]\nExecStart=/a\n"], [], id="other-section"),
])
def test_commands(texts, commands):
    assert execstart.commands(texts) == commands


@pytest.mark.parametrize("value, quoted", [
    pytest.param("--a=[::1]:6060", "--a=[::1]:6060", id="plain"),
    pytest.param("a b", '"a b"', id="blank"),
    pytest.param("50%$x\"", '"50%%$$x\\""', id="special"),
])
def test_quote(value, quoted):
    assert execstart.quote(value) == quoted
    assert shlex.split(quoted.replace("%%", "%").replace("$$", "$")) == [value]
