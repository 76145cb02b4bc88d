# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset network, on a recorded host and on this one."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ansible_collections.goready.preflight.plugins.module_utils.collect import network
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable, gather

FIXTURES = Path(__file__).parents[3] / "fixtures" / "host"
NAME = "ubuntu24-standin-podman"


def test_recorded_host(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / NAME, tmp_path, dirs_exist_ok=True)
    found = gather({"network": network.PARTS}, Context(root=str(tmp_path)))
    recorded = json.loads((FIXTURES / f"{NAME}.json").read_text())["network"]
    assert found["errors"] == []
    assert found["network"]["port_range"] == recorded["port_range"] == [32768, 60999]
    assert {key: set(value) for key, value in found["network"].items() if isinstance(value, dict)} == {
        key: set(value) for key, value in recorded.items() if isinstance(value, dict)}
    assert found["network"]["tcp"]["ListenOverflows"] == 0
    assert found["network"]["tcp"]["OutSegs"] > 0
    assert {row["name"] for row in found["network"]["interfaces"]} == {"lo", "eth0"}


def test_this_host() -> None:
    found = gather({"network": network.PARTS}, Context())
    assert found["errors"] == []
    assert set(found["network"]) == {key for key, _function in network.PARTS}


def test_what_a_kernel_does_not_count_is_null(tmp_path: Path) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/snmp").write_text("Tcp: OutSegs\nTcp: 5\n")
    (tmp_path / "proc/net/netstat").write_text("")
    values = network.tcp(Context(root=str(tmp_path)))
    assert (values["OutSegs"], values["ListenOverflows"]) == (5, None)


def test_no_conntrack_and_no_ipv6(tmp_path: Path) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/sockstat").write_text("TCP: inuse 4 orphan 0 tw 2 alloc 5 mem 1\n")
    context = Context(root=str(tmp_path))
    assert network.conntrack(context) is None
    assert network.sockets(context) == {"tcp_inuse": 4, "tcp6_inuse": None, "tcp_tw": 2, "tcp_orphan": 0, "tcp_mem_pages": 1}


def test_an_odd_port_range(tmp_path: Path) -> None:
    path = tmp_path / "proc/sys/net/ipv4/ip_local_port_range"
    path.parent.mkdir(parents=True)
    path.write_text("1 2 3\n")
    with pytest.raises(Unavailable, match="ip_local_port_range holds 3 numbers"):
        network.port_range(Context(root=str(tmp_path)))
