# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/net."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import procnet

NET = Path(__file__).parents[2] / "fixtures" / "host" / "ubuntu24-standin-podman" / "proc" / "net"


def test_real_counters() -> None:
    snmp, netstat = (procnet.parse_counters((NET / name).read_text()) for name in ("snmp", "netstat"))
    assert snmp["Tcp"]["MaxConn"] == -1
    assert snmp["Tcp"]["OutSegs"] > 0
    assert "ListenOverflows" in netstat["TcpExt"]


def test_real_sockstat() -> None:
    assert set(procnet.parse_sockstat((NET / "sockstat").read_text())["TCP"]) == {"inuse", "orphan", "tw", "alloc", "mem"}


def test_real_dev() -> None:
    rows = procnet.parse_dev((NET / "dev").read_text())
    assert {row["name"] for row in rows} == {"lo", "eth0"}
    assert all(row["rx_packets"] for row in rows if row["name"] == "eth0")


def test_dev_columns() -> None:
    header = "Inter-|   Receive |\n face |bytes packets errs drop\n"
    assert procnet.parse_dev(header + "eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n") == [{
        "name": "eth0:1", "rx_bytes": 1, "rx_packets": 2, "rx_errors": 3, "rx_dropped": 4, "tx_bytes": 9, "tx_packets": 10,
        "tx_errors": 11, "tx_dropped": 12}]


def test_real_conntrack() -> None:
    text = (NET.parents[3] / "kernel" / "nf_conntrack").read_text()
    counted = procnet.parse_conntrack(text)
    assert counted["entries"] == int(text.splitlines()[1].split()[0], 16)
    assert {"drop", "early_drop", "insert_failed", "search_restart"} <= set(counted)


def test_conntrack_is_summed_over_the_cpus() -> None:
    assert procnet.parse_conntrack("entries drop early_drop\n0000000a 00000010 00000000\n0000000a 00000001 000000ff\n") == {
        "entries": 10, "drop": 17, "early_drop": 255}


def test_ports() -> None:
    assert procnet.parse_ports("8080,9148-9150\n") == [(8080, 8080), (9148, 9150)]
    assert procnet.parse_ports("\n") == []


@pytest.mark.parametrize(("function", "text", "message"), [
    pytest.param(procnet.parse_conntrack, "entries drop\n0\n", "conntrack line 2: 2 names, 1 values", id="columns"),
    pytest.param(procnet.parse_conntrack, "drop\n0x1\n", "conntrack line 2: '0x1' is no counter", id="hexadecimal"),
    pytest.param(procnet.parse_ports, "80,a-9", "'a-9' is no range of ports", id="ports"),
    pytest.param(procnet.parse_counters, "Tcp: A\n", "counters: 1 lines, but they come in pairs", id="odd"),
    pytest.param(procnet.parse_counters, "Tcp: A\nUdp: 1\n", "counters line 1: 'Tcp: A' is not followed by its values",
                 id="partner"),
    pytest.param(procnet.parse_counters, "Tcp: A B\nTcp: 1\n", "counters line 1: 2 names, 1 values", id="count"),
    pytest.param(procnet.parse_counters, "Tcp: A\nTcp: x\n", "counters line 2: 'x' is no counter", id="number"),
    pytest.param(procnet.parse_sockstat, "TCP inuse 1\n", "sockstat line 1: 'TCP inuse 1' is not 'protocol: name value ...'",
                 id="colon"),
    pytest.param(procnet.parse_sockstat, "TCP: inuse\n", "sockstat line 1: 'TCP: inuse' is not 'protocol: name value ...'",
                 id="odd-words"),
    pytest.param(procnet.parse_dev, "\n\nlo 1\n", "dev line 3: 'lo 1' is not an interface", id="dev"),
    pytest.param(procnet.parse_dev, "\n\nlo: 1 2 3 4 5 6 7 8 9 10 11 x\n", "dev line 3: 'x' is no counter", id="dev-number"),
])
def test_faults(function: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        function(text)
    assert str(caught.value) == message


@given(st.text() | st.lists(st.sampled_from(["Tcp:", "A", "1", "-1", "\n", "9" * 30, "٣"])).map(" ".join))
@pytest.mark.parametrize("function", [procnet.parse_counters, procnet.parse_sockstat, procnet.parse_dev,
                                      procnet.parse_conntrack, procnet.parse_ports])
def test_any_text(function: Callable[[str], Any], text: str) -> None:
    try:
        function(text)
    except ValueError:
        pass
