# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/PID/mountinfo."""
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import mountinfo

FIXTURES = Path(__file__).parents[2] / "fixtures" / "host"
# The example of proc_pid_mountinfo(5), a mount point with blanks, a source without a name.
LINES = (
    "36 35 98:0 /mnt1 /mnt/parent rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n"
    "40 36 0:50 / /mnt/with\\040blank\\134 ro - nfs4 server:/export rw,vers=4.2\n"
    "41 36 0:51 / /mnt/empty rw -  tmpfs  rw\n"
)


def test_parse() -> None:
    first, second = mountinfo.parse(LINES.splitlines()[0] + "\n" + LINES.splitlines()[1])
    assert first == mountinfo.Mount("98:0", "/mnt1", "/mnt/parent", frozenset({"rw", "noatime"}), "ext3", "/dev/root",
                                    frozenset({"rw", "errors=continue"}))
    assert second.mount_point == "/mnt/with blank\\"
    assert (first.read_only, second.read_only) == (False, True)
    assert (first.remote, second.remote) == (False, True)


def test_real() -> None:
    mounts = mountinfo.parse((FIXTURES / "ubuntu24-standin-podman/proc/self/mountinfo").read_text())
    assert mounts[0].fstype == "overlay"
    found = {path: mountinfo.holding(mounts, path) for path in ("/", "/tmp/x", "/tmpx", "/run/lock/a", "/run/locker")}
    assert {path: mount and mount.mount_point for path, mount in found.items()} == {
        "/": "/", "/tmp/x": "/tmp", "/tmpx": "/", "/run/lock/a": "/run/lock", "/run/locker": "/run"}


def test_the_last_of_two_mounts_on_one_place_covers_the_first() -> None:
    mounts = mountinfo.parse(
        "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /data rw - ext4 /dev/b rw\n3 2 8:3 / /data rw - xfs /dev/c rw")
    assert mountinfo.holding(mounts, "/data/x").source == "/dev/c"  # type: ignore[union-attr]


def test_nothing_holds_it() -> None:
    assert mountinfo.holding([], "/") is None


@pytest.mark.parametrize("fstype", ["nfs", "nfs4", "cifs", "fuse.sshfs", "fuse", "ceph", "autofs", "9p"])
def test_remote(fstype: str) -> None:
    assert mountinfo.parse(f"1 0 0:1 / / rw - {fstype} x rw")[0].remote


@pytest.mark.parametrize(("text", "message"), [
    pytest.param("hello", "mountinfo line 1: 'hello' has no separator between mount and filesystem", id="nonsense"),
    pytest.param("1 0 8:1 / / rw ext4 /dev/a rw x",
                 "mountinfo line 1: '1 0 8:1 / / rw ext4 /dev/a rw x' has no separator between mount and filesystem",
                 id="no-separator"),
    pytest.param("1 0 8:1 / / rw x y -", "mountinfo line 1: '1 0 8:1 / / rw x y -' names no source", id="no-source"),
])
def test_faults(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        mountinfo.parse(text)
    assert str(caught.value) == message


@given(st.text() | st.lists(st.sampled_from("1 0 8:1 / - rw ext4 nfs \\040 \\777 /a\n".split(" "))).map(" ".join), st.text())
def test_any_text(text: str, path: str) -> None:
    try:
        mounts = mountinfo.parse(text)
    except ValueError:
        return
    mountinfo.holding(mounts, "/" + path)
