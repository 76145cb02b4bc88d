# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``network``: the kernel's counters since boot, of the network namespace the module runs in. No probe, no load."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

from ansible_collections.goready.preflight.plugins.module_utils import procnet
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

#: From /proc/net/snmp (Tcp) and /proc/net/netstat (TcpExt); what a kernel does not count is null.
TCP = ("OutSegs", "RetransSegs", "InErrs", "OutRsts", "AttemptFails", "EstabResets", "ActiveOpens", "PassiveOpens")
TCP_EXT = ("ListenOverflows", "ListenDrops", "SyncookiesSent", "SyncookiesFailed", "TCPTimeouts", "TCPReqQFullDrop",
           "TCPReqQFullDoCookies", "TCPBacklogDrop", "TCPAbortOnMemory", "TCPMemoryPressures")


def tcp(context: Context) -> Dict[str, Optional[int]]:
    basic = procnet.parse_counters(context.read("/proc/net/snmp")).get("Tcp", {})
    extended = procnet.parse_counters(context.read("/proc/net/netstat")).get("TcpExt", {})
    values: Dict[str, Optional[int]] = {name: basic.get(name) for name in TCP}
    values.update((name, extended.get(name)) for name in TCP_EXT)
    return values


def conntrack(context: Context) -> Optional[Dict[str, int]]:
    """The connection table against its size; null where nothing on this host tracks connections."""
    base = "/proc/sys/net/netfilter/nf_conntrack_"
    try:
        return {"count": int(context.read(base + "count", 64)), "maximum": int(context.read(base + "max", 64))}
    except FileNotFoundError:
        return None


def sockets(context: Context) -> Dict[str, Optional[int]]:
    values = procnet.parse_sockstat(context.read("/proc/net/sockstat"))
    try:
        six = procnet.parse_sockstat(context.read("/proc/net/sockstat6")).get("TCP6", {})
    except FileNotFoundError:  # a kernel without IPv6
        six = {}
    four = values.get("TCP", {})
    return {"tcp_inuse": four.get("inuse"), "tcp6_inuse": six.get("inuse"), "tcp_tw": four.get("tw"),
            "tcp_orphan": four.get("orphan"), "tcp_mem_pages": four.get("mem")}


def port_range(context: Context) -> List[int]:
    words = context.read("/proc/sys/net/ipv4/ip_local_port_range", 64).split()
    if len(words) != 2:
        raise Unavailable("/proc/sys/net/ipv4/ip_local_port_range holds %d numbers" % len(words))
    return [int(words[0]), int(words[1])]


def interfaces(context: Context) -> List[Dict[str, Any]]:
    return list(procnet.parse_dev(context.read("/proc/net/dev")))


PARTS = (
    ("tcp", tcp),
    ("conntrack", conntrack),
    ("sockets", sockets),
    ("port_range", port_range),
    ("interfaces", interfaces),
)
