# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import procfs

FIXTURES = Path(__file__).parents[2] / "fixtures" / "services" / "proc"


def recorded(name: str) -> str:
    return (FIXTURES / f"{name}.txt").read_text()


def test_recorded_status() -> None:
    status = procfs.parse_status(recorded("status"))
    assert (status.name, status.state, status.ppid, status.uid, status.threads) == ("api", "S", 1, 1000, 4)
    assert status.rss is not None and status.rss % 4096 == 0 and status.rss > 1 << 20
    assert status.nspid == (85,)


def test_status_of_a_process_in_a_container_and_of_a_kernel_thread() -> None:
    text = "Name:\tweb server\nState:\tR (running)\nPPid:\t4\nUid:\t5\t6\t7\t8\nThreads:\t1\nNSpid:\t40\t7\t1\n"
    assert procfs.parse_status(text) == ("web server", "R", 4, 6, 1, None, (40, 7, 1))
    assert procfs.parse_status(text.replace("NSpid:\t40\t7\t1\n", "")).nspid == ()


@pytest.mark.parametrize("text", ["", "Name:\tx\n", "Name:\tx\nState:\tS\nPPid:\tx\nUid:\t0\t0\nThreads:\t1\n"])
def test_status_that_is_cut_off(text: str) -> None:
    with pytest.raises(ValueError, match="process status without a usable"):
        procfs.parse_status(text)


def test_recorded_limits() -> None:
    # LimitNOFILE=4096:8192; Go raised its own soft limit to hard - 1 (internal: syscall/rlimit.go, Go 1.24)
    assert procfs.parse_limits(recorded("limits")) == {
        "nofile": {"soft": 8191, "hard": 8192},
        "nproc": {"soft": 4096, "hard": 4096},
        "core": {"soft": 0, "hard": "unlimited"},
        "memlock": {"soft": 8388608, "hard": 8388608},
        "as": {"soft": "unlimited", "hard": "unlimited"},
    }


def test_limits_that_are_none() -> None:
    assert procfs.parse_limits("") == {}
    with pytest.raises(ValueError, match="no limit in the text"):
        procfs.parse_limits("something else\n")


def test_recorded_stat() -> None:
    stat = procfs.parse_stat(recorded("stat"))
    assert (stat.comm, stat.state, stat.ppid) == ("api", "S", 1)
    assert stat.started > 0


@pytest.mark.parametrize(
    ("text", "comm"),
    [
        ("7 (a) b) R 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0", "a) b"),
        ("7 ((sd-pam)) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0", "(sd-pam)"),
    ],
)
def test_stat_with_parentheses(text: str, comm: str) -> None:
    assert procfs.parse_stat(text) == (comm, text[text.rindex(")") + 2], 1, 7, 4242)


@pytest.mark.parametrize("text", ["", "7 (a) R 1", "7 a R 1 7 7", "7 (a) R x 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0"])
def test_stat_that_is_cut_off(text: str) -> None:
    with pytest.raises(ValueError, match="process stat line"):
        procfs.parse_stat(text)


def test_boot_time() -> None:
    assert procfs.boot_time("cpu  1 2\nbtime 1700000000\nprocesses 4\n") == 1700000000
    with pytest.raises(ValueError, match="no btime"):
        procfs.boot_time("cpu  1 2\n")


def test_recorded_listeners() -> None:
    four = procfs.parse_net_tcp(recorded("net-tcp"), byteorder="little")
    assert {(one.address, one.port) for one in four} >= {("127.0.0.1", 9001), ("127.0.0.1", 2379), ("0.0.0.0", 22)}
    six = procfs.parse_net_tcp(recorded("net-tcp6"), proto="tcp6", byteorder="little")
    assert ("tcp6", "::", 8080, None, 441462) in six
    assert {one.port for one in six} == {22, 80, 8080, 9100}, "connections are no listeners"


@pytest.mark.parametrize(
    ("host", "proto", "byteorder", "address"),
    [
        ("0100007F", "tcp", "little", "127.0.0.1"),
        ("7F000001", "tcp", "big", "127.0.0.1"),
        ("00000000000000000000000001000000", "tcp6", "little", "::1"),
        ("00000000000000000000000000000001", "tcp6", "big", "::1"),
        ("0000000000000000FFFF00000100007F", "tcp6", "little", "::ffff:127.0.0.1"),
        ("B80D0120000000000000000042000000", "tcp6", "little", "2001:db8::42"),
    ],
)
def test_addresses_are_in_the_machines_byte_order(host: str, proto: str, byteorder: str, address: str) -> None:
    line = f"  0: {host}:1F90 {'0' * len(host)}:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1 0 100 0 0 10 0\n"
    assert procfs.parse_net_tcp(line, proto=proto, byteorder=byteorder) == [(proto, address, 8080, None, 77)]


def test_recorded_unix_sockets() -> None:
    sockets = {one.path: one for one in procfs.parse_net_unix(recorded("net-unix"))}
    assert sockets["/tmp/api.sock"] == ("unix", None, None, "/tmp/api.sock", 441455)
    assert all(one.path for one in sockets.values())


def test_unix_paths() -> None:
    line = "0000000000000000: 00000002 00000000 {flags} 0001 01 5 {path}\n"
    text = line.format(flags="00010000", path="/run/a b.sock") + line.format(flags="00010000", path="@abstract")
    text += line.format(flags="00000000", path="/run/connected") + "0000000000000000: 00000002 00000000 00010000 0001 01 6\n"
    assert [one.path for one in procfs.parse_net_unix(text)] == ["/run/a b.sock", "@abstract"]


@pytest.mark.parametrize(
    ("link", "inode"),
    [
        ("socket:[4711]", 4711),
        ("pipe:[4711]", None),
        ("/dev/null", None),
        ("socket:[x]", None),
        ("socket:[]", None),
        ("", None),
    ],
)
def test_socket_inode(link: str, inode: int | None) -> None:
    assert procfs.socket_inode(link) == inode


def test_recorded_cgroup() -> None:
    entries = procfs.parse_cgroup(recorded("cgroup"))
    assert (0, (), "/system.slice/api.service") in entries
    assert (4, ("memory",), "/") in entries


def test_cgroup_paths() -> None:
    assert procfs.parse_cgroup("4:cpu,cpuacct:/a:b\n0::/x (deleted)\nnonsense\n1:name=systemd:relative\n") == [
        (4, ("cpu", "cpuacct"), "/a:b"),
        (0, (), "/x"),
    ]


def test_recorded_mounts() -> None:
    mounts = {one.point: one for one in procfs.parse_mountinfo(recorded("mountinfo"))}
    assert mounts["/sys/fs/cgroup"].fstype == "cgroup2"
    assert mounts["/"].root == "/"


def test_mount_paths_are_unescaped() -> None:
    line = "36 35 98:0 /a\\040b /mnt/x\\134y rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n36 35 bad\n"
    assert procfs.parse_mountinfo(line) == [("/a b", "/mnt/x\\y", "ext3", ("rw", "errors=continue"))]


def test_environment_and_arguments() -> None:
    assert procfs.parse_environ(b"A=1\0B=x=y\0A=2\0=odd\0noequals\0\xff=\xfe\0") == {"A": "1", "B": "x=y", "\ufffd": "\ufffd"}
    assert procfs.parse_cmdline(b"/bin/x\0-a\0\0b c\0") == ["/bin/x", "-a", "", "b c"]
    assert procfs.parse_cmdline(b"") == []


def test_recorded_maps_of_an_emulated_program() -> None:
    mapped = procfs.parse_maps(recorded("qemu-maps"))
    assert [(one.path, one.offset) for one in mapped][:3] == [
        ("/opt/foreign/foreign", 0), ("/opt/foreign/foreign", 0x310000), ("/opt/foreign/foreign", 0x6A0000)]
    assert {one.path for one in mapped[3:]} == {"/usr/bin/qemu-aarch64-static"}
    assert mapped[0] == (0x10000, 0x319000, 0, (0, 0x6A), 2023450, "/opt/foreign/foreign", False)


@pytest.mark.parametrize(("line", "expected"), [
    ("00010000-00319000 r-xp 00000000 fe:00 12   /opt/a b (deleted)", [("/opt/a b", True)]),
    ("00010000-00319000 r-xp 00000000 fe:00 12   /opt/a\\012b", [("/opt/a\nb", False)]),
    ("00010000-00319000 rw-p 00000000 00:00 0 ", []),
    ("00010000-00319000 rw-p 00000000 00:00 0    [heap]", []),
    ("00010000-00319000 rw-s 00000000 00:01 9    anon_inode:[io_uring]", []),
    ("00010000-00319000 r-xp 00000000 fe:00 12   /opt/a", [("/opt/a", False)]),
    ("00010000-00319000 r-xp 000", []),
], ids=["deleted", "line-break", "anonymous", "heap", "no-file", "file", "cut-off"])
def test_maps(line: str, expected: list[tuple[str, bool]]) -> None:
    assert [(one.path, one.deleted) for one in procfs.parse_maps(line)] == expected


def test_recorded_auxiliary_vector() -> None:
    data = bytes.fromhex((FIXTURES / "qemu-auxv.hex").read_text())
    assert {key: procfs.parse_auxv(data)[key] for key in (6, 8, 11)} == {6: 4096, 8: 1, 11: 999}
    narrow = b"".join(struct.pack("=II", *pair) for pair in ((16, 0x178BFBFF), (6, 4096), (8, 1), (0, 0), (7, 7)))
    assert procfs.parse_auxv(narrow) == {16: 0x178BFBFF, 6: 4096, 8: 1}


@pytest.mark.parametrize("data", [b"", b"\0" * 64, b"x" * 100, struct.pack("=QQ", 6, 5000)])
def test_data_that_is_no_auxiliary_vector(data: bytes) -> None:
    with pytest.raises(ValueError, match="no auxiliary vector"):
        procfs.parse_auxv(data)


@given(st.one_of(st.text(max_size=400), st.text(alphabet="0123456789ABCDEF: \n\t()/S", max_size=400)))
def test_arbitrary_text(text: str) -> None:
    for function in (procfs.parse_status, procfs.parse_limits, procfs.parse_stat, procfs.boot_time):
        try:
            function(text)
        except ValueError:
            pass
    procfs.parse_net_tcp(text)
    procfs.parse_net_tcp(text, proto="tcp6")
    procfs.parse_net_unix(text)
    procfs.parse_cgroup(text)
    procfs.parse_mountinfo(text)
    procfs.socket_inode(text)
    procfs.parse_maps(text)


@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    assert all("\0" not in name for name in procfs.parse_environ(data))
    assert all("\0" not in word for word in procfs.parse_cmdline(data))
    try:
        assert procfs.parse_auxv(data)[6] >= 4096
    except ValueError:
        pass
