# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import go_toolchain
from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
from ansible_collections.goready.preflight.plugins.module_utils.go_toolchain import Made

# dpkg-query 1.21 of Debian 12: -W -f '${Package} ${db:Status-Status}\n' git make gawk vim
SHOWN = "git installed\nmake config-files\ngawk half-installed\n"


def test_packages():
    assert go_toolchain.parse_packages(["git", "make", "gawk", "vim"], SHOWN) == ["make", "gawk", "vim"]


@given(st.lists(st.text()), st.text())
def test_any_answer_of_dpkg(wanted, shown):
    assert set(go_toolchain.parse_packages(wanted, shown)) <= set(wanted)


def test_versions_are_full_names_alone():
    names = ["go1.27.3", "go1.28rc1", "go1.20", "system", "master", "go1.27.3.bak~", "mine-go1.27.3", "gotip"]
    assert go_toolchain.installed_versions(names) == ["1.20", "1.27.3", "1.28rc1"]


@pytest.mark.parametrize(("shell", "there", "expected"), [
    pytest.param("/bin/bash", (), [".profile", ".bashrc"], id="none yet"),
    pytest.param("/bin/bash", (".profile", ".bash_profile"), [".bash_profile", ".bashrc"], id="bash reads the first"),
    pytest.param("/bin/bash", (".profile", ".bash_login"), [".bash_login", ".bashrc"], id="or the second"),
    pytest.param("/usr/bin/zsh", (".profile",), [".zshenv"], id="zsh"),
])
def test_start_files_of_a_user(shell, there, expected):
    found = go_toolchain.rc_files("/home/d", shell, exists=lambda path: path.startswith("/home/d/") and path[8:] in there)
    assert found == ["/home/d/" + name for name in expected]


def test_start_files_of_everybody():
    assert go_toolchain.rc_files("", "", exists=lambda path: path == "/etc/bash.bashrc") == ["/etc/bash.bashrc"]


def test_units_that_start_a_version_through_a_link(tmp_path):
    goroot = tmp_path / "gos/go1.26.4"
    (goroot / "bin").mkdir(parents=True)
    (goroot / "bin/go").touch()
    (tmp_path / "go").symlink_to(goroot / "bin/go")
    (tmp_path / "ours").symlink_to(goroot / "bin/go")
    units = tmp_path / "units/x.service.d"
    units.mkdir(parents=True)
    (units / "a.conf").write_text(f"[Service]\nExecStartPre=-@{tmp_path}/go go version\n")
    (tmp_path / "units/y.service").write_text(f"[Service]\nExecStart={tmp_path}/ours\n#ExecStart={tmp_path}/go\n")
    (tmp_path / "units/z.txt").write_text(f"ExecStart={tmp_path}/go\n")
    found = go_toolchain.linked_units(str(goroot), {f"{tmp_path}/ours"}, folders=[str(tmp_path / "units")])
    assert found == [f"{units}/a.conf starts it as {tmp_path}/go"]


def test_the_record(tmp_path):
    (tmp_path / "var/lib").mkdir(parents=True)
    path = "/var/lib/made.json"

    def remember(made, check_mode=False):
        with Changes("record", root=str(tmp_path), check_mode=check_mode) as changes:
            go_toolchain.remember(changes, path, made)
        return [line["action"] for line in changes.changes]

    made = go_toolchain.merged(Made("", ("1.26.4",)), Made("/opt/gvm", ("1.27.3",)))
    assert made == Made("/opt/gvm", ("1.26.4", "1.27.3"))
    assert go_toolchain.merged(made, Made()) == made
    assert remember(made, check_mode=True) == remember(made) == ["created"]
    assert remember(made) == []
    assert go_toolchain.parse_made((tmp_path / path[1:]).read_bytes()) == made
    left = go_toolchain.without(made, Made("/opt/gvm", ("1.27.3", "1.9.7")))
    assert left == Made("", ("1.26.4",))
    assert remember(left) == ["changed"]
    assert remember(go_toolchain.without(left, left)) == ["removed"]
    assert os.listdir(tmp_path / "var/lib") == []


@given(st.binary())
def test_any_record_is_one_or_a_fault(content):
    try:
        assert isinstance(go_toolchain.parse_made(content), Made)
    except ValueError as exc:
        assert str(exc) == "it does not hold what was written there"
