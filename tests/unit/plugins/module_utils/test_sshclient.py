# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.goready.preflight.plugins.module_utils import sshclient


@pytest.mark.parametrize(("block", "address"), [
    (b"HOME=/root\0SSH_CONNECTION=10.0.0.9 50000 10.0.0.5 22\0PATH=/bin\0", "10.0.0.9"),
    (b"SSH_CONNECTION=2001:db8::9 50000 2001:db8::5 22\0", "2001:db8::9"),
    (b"SSH_CONNECTION=fe80::1%eth0 50000 fe80::2%eth0 22\0", "fe80::1"),
    (b"SSH_CONNECTION=::ffff:10.0.0.9 50000 ::ffff:10.0.0.5 22\0", "10.0.0.9"),
    (b"XSSH_CONNECTION=10.0.0.9 1 2 3\0", None),
    (b"SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535\0", None),
    (b"SSH_CONNECTION=\0", None),
    (b"\xff\xfe", None),
    (b"", None),
])
def test_environment(block, address):
    assert sshclient.of_environment(block) == address


@pytest.fixture
def proc(tmp_path):
    def process(pid, parent, environment, comm="python3"):
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} ({comm}) S {parent} 1 1 0 -1\n")
        if environment is not None:
            (folder / "environ").write_bytes(environment)

    return process


def test_sudo_takes_the_variable_out_and_a_parent_still_has_it(tmp_path, proc):
    proc(30, 20, b"SUDO_USER=deploy\0")
    proc(20, 10, None, comm="sudo) x (")
    proc(10, 1, b"SSH_CONNECTION=10.0.0.9 50000 10.0.0.5 22\0", comm="bash")
    assert sshclient.address(str(tmp_path), 30) == "10.0.0.9"


def test_no_session(tmp_path, proc):
    proc(30, 1, b"HOME=/\0")
    assert sshclient.address(str(tmp_path), 30) is None
    assert sshclient.address(str(tmp_path), 99) is None


def test_a_ring_of_parents_ends(tmp_path, proc):
    proc(30, 31, b"")
    proc(31, 30, b"")
    assert sshclient.address(str(tmp_path), 30) is None
