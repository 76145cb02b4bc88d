# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter of role ``pprof_guard`` as text: its rules, the file that holds them, and what ``nft`` lists of them.

Public: :class:`Guard`, :func:`network`, :func:`networks`, :func:`render`, :func:`parse`, :func:`merge`, :func:`without`,
:func:`listing`, :func:`guards_of_listing`, :data:`UNIT_TEXT`, :data:`DROP_IN_TEXT` and the names below.

One table, ``inet goready_pprof``, is all that is ever touched. It only drops; its policy is accept, so that every other
table decides as before about the rest (a packet is dropped where any base chain drops it, nft(8), "VERDICT STATEMENTS").
"""
from __future__ import annotations

import ipaddress
import json
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

FAMILY, TABLE = "inet", "goready_pprof"
FOLDER = "/etc/goready-preflight"
FILE = FOLDER + "/pprof-guard.nft"
UNIT = "goready-pprof-guard.service"
UNIT_FILE = "/etc/systemd/system/" + UNIT
#: What ``systemctl enable`` would make of WantedBy= below.
LINK = "/etc/systemd/system/sysinit.target.wants/" + UNIT
DROP_IN = "/etc/systemd/system/nftables.service.d/50-goready-pprof-guard.conf"

_STATE = "# guards: "

# It is loaded before the network is up. Without Conflicts= on shutdown.target the table holds until the kernel is gone.
UNIT_TEXT = """\
# Managed by goready.preflight, role pprof_guard: edits are replaced.
[Unit]
Description=Admit only loopback and an allow-list to pprof ports (table {family} {table})
Documentation=man:nft(8)
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target
After=nftables.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ProtectSystem=full
ProtectHome=true
ExecStart={nft} -f {file}
ExecReload={nft} -f {file}
ExecStop={nft} "add table {family} {table}; delete table {family} {table}"

[Install]
WantedBy=sysinit.target
"""

# nftables.service of the distributions flushes all tables at its start, reload and stop: each time ours is loaded again. The
# "-" lets it never fail on our account.
DROP_IN_TEXT = """\
# Managed by goready.preflight, role pprof_guard: edits are replaced.
[Service]
ExecStartPost=-{nft} -f {file}
ExecReload=-{nft} -f {file}
ExecStopPost=-{nft} -f {file}
"""


class Guard(NamedTuple):
    """One port: the services it was guarded for, and the networks that are admitted beside loopback."""

    port: int
    services: Tuple[str, ...]
    allow: Tuple[str, ...]


def network(value: object) -> str:
    """A network or address of an allow-list in its canonical form; ValueError says what is wrong."""
    if not isinstance(value, str) or "%" in value:
        raise ValueError("%r is not a network such as 10.0.0.0/8 or 2001:db8::/32, or an address" % (value,))
    try:
        found = ipaddress.ip_network(value, strict=False)
        if "/" in value and ipaddress.ip_interface(value).ip != found.network_address:
            raise ValueError("%r has bits of a host behind its prefix; the network is %s" % (value, found))
    except (ipaddress.AddressValueError, ipaddress.NetmaskValueError):
        raise ValueError("%r is not a network such as 10.0.0.0/8 or 2001:db8::/32, or an address" % (value,)) from None
    except ValueError as exc:
        if "has bits of a host" in str(exc):
            raise
        raise ValueError("%r is not a network such as 10.0.0.0/8 or 2001:db8::/32, or an address" % (value,)) from None
    if found.prefixlen == 0:
        raise ValueError("%r admits everybody: that is no guard" % (value,))
    return str(found)


def networks(values: Iterable[object]) -> Tuple[str, ...]:
    """An allow-list: canonical, without duplicates and what another entry contains, IPv4 first, ordered."""
    parsed = [ipaddress.ip_network(network(value)) for value in values]
    result: List[str] = []
    for version in (4, 6):
        mine: List[Any] = [one for one in parsed if one.version == version]
        result.extend(str(one) for one in ipaddress.collapse_addresses(mine))
    return tuple(result)


def render(guards: Sequence[Guard]) -> str:
    """The file for ``nft -f``: in one transaction the table is replaced, whether there was one or not (nft(8): "add" of an
    existing table is no error, "delete" of a missing one is)."""
    ordered = sorted(guards)
    state = {str(one.port): {"allow": list(one.allow), "services": list(one.services)} for one in ordered}
    sets: List[str] = []
    arriving: List[str] = []
    local: List[str] = []
    for one in ordered:
        for version, kind, key in ((4, "ipv4_addr", "ip"), (6, "ipv6_addr", "ip6")):
            name = "port_%d_v%d" % (one.port, version)
            elements = [net for net in one.allow if (":" in net) == (version == 6)]
            sets.append("\tset %s {\n\t\ttype %s\n\t\tflags interval\n%s\t}\n" % (
                name, kind, "\t\telements = { %s }\n" % ", ".join(elements) if elements else ""))
            drop = "%s saddr != @%s counter drop" % (key, name)
            port = "iifname != \"lo\" tcp dport %d" % one.port
            arriving.append("\t\t%s fib daddr type local tcp flags & (fin|syn|rst|ack) == syn %s" % (port, drop))
            local.append("\t\t%s %s" % (port, drop))
    return "".join([
        "#!/usr/sbin/nft -f\n",
        "# Managed by goready.preflight, role pprof_guard: edits are replaced.\n",
        _STATE, json.dumps(state, sort_keys=True), "\n\n",
        "table %s %s\ndelete table %s %s\n\n" % (FAMILY, TABLE, FAMILY, TABLE),
        "table %s %s {\n" % (FAMILY, TABLE), "\n".join(sets), "\n",
        "\t# What arrives for a port of this host, also one that is forwarded to a container: before destination NAT (dstnat,\n",
        "\t# -100). New connections only, for a translated answer may come to a port of the same number.\n",
        "\tchain arriving {\n\t\ttype filter hook prerouting priority -150; policy accept;\n", "\n".join(arriving), "\n\t}\n\n",
        "\t# What a process of this host would get, whatever port it was sent to; before the filter (0) of ufw and firewalld.\n",
        "\tchain local {\n\t\ttype filter hook input priority -20; policy accept;\n", "\n".join(local), "\n\t}\n",
        "}\n",
    ])


def parse(text: str) -> List[Guard]:
    """The guards of a file that :func:`render` wrote. ValueError where it is none."""
    for line in text.split("\n"):
        if line.startswith(_STATE):
            try:
                state = json.loads(line[len(_STATE):])
                return sorted(
                    Guard(int(port), tuple(str(name) for name in one["services"]), networks(one["allow"]))
                    for port, one in state.items())
            except (TypeError, KeyError, AttributeError, ValueError) as exc:
                raise ValueError("the line %r cannot be read: %s" % (line[:60], exc)) from None
    raise ValueError("there is no line that begins with %r" % _STATE)


def merge(guards: Sequence[Guard], wanted: Sequence[Guard]) -> List[Guard]:
    """``guards`` with ``wanted`` in place of what there was for the same services.

    A port that another service keeps guarded must have the same allow-list: ValueError else.
    """
    names = [name for one in wanted for name in one.services]
    result: Dict[int, Guard] = {one.port: one for one in without(guards, names)}
    for one in wanted:
        there = result.get(one.port)
        if there is not None and there.allow != one.allow:
            raise ValueError("port %d is guarded for %s with the allow-list [%s] and for %s with [%s]; give both the same" % (
                one.port, ", ".join(there.services), ", ".join(there.allow), ", ".join(one.services), ", ".join(one.allow)))
        services = set(one.services) | set(there.services if there else ())
        result[one.port] = Guard(one.port, tuple(sorted(services)), one.allow)
    return sorted(result.values())


def without(guards: Sequence[Guard], names: Iterable[str]) -> List[Guard]:
    """``guards`` after the services of these names were taken out."""
    gone = set(names)
    left = [one._replace(services=tuple(name for name in one.services if name not in gone)) for one in guards]
    return [one for one in left if one.services]


def listing(text: str) -> Optional[List[Any]]:
    """``nft -j list table`` as a value that is equal where the rules are: without handles, counts and the program's name.

    None where the table is not there (an empty text). ValueError where the text is something else.
    """
    if not text.strip():
        return None
    value = json.loads(text)
    objects = value.get("nftables") if isinstance(value, dict) else None
    if not isinstance(objects, list):
        raise ValueError("no list of nftables objects")
    return [_plain(one) for one in objects if isinstance(one, dict) and "metainfo" not in one]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: {} if key == "counter" else _plain(inner) for key, inner in value.items() if key != "handle"}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def guards_of_listing(objects: Optional[Sequence[Mapping[str, Any]]]) -> Dict[int, Tuple[str, ...]]:
    """{port: admitted networks} that the kernel really holds to, of a :func:`listing`.

    A port counts only where the chain at the input hook drops it for both families. The networks are the elements of its
    sets; a range that is no network is given as ``first-last``.
    """
    sets: Dict[str, List[str]] = {}
    hooks: Dict[str, str] = {}
    dropped: Dict[int, Dict[str, str]] = {}
    for entry in objects or ():
        if "set" in entry:
            sets[str(entry["set"].get("name"))] = [_element(one) for one in entry["set"].get("elem") or ()]
        elif "chain" in entry:
            hooks[str(entry["chain"].get("name"))] = str(entry["chain"].get("hook"))
        elif "rule" in entry:
            found = _rule(entry["rule"])
            if found is not None and hooks.get(str(entry["rule"].get("chain"))) == "input":
                port, protocol, name = found
                dropped.setdefault(port, {})[protocol] = name
    return {port: tuple(net for protocol in ("ip", "ip6") for net in sets.get(names[protocol], []))
            for port, names in sorted(dropped.items()) if {"ip", "ip6"} <= set(names)}


def _element(value: Any) -> str:
    if isinstance(value, dict) and "prefix" in value:
        return "%s/%s" % (value["prefix"].get("addr"), value["prefix"].get("len"))
    if isinstance(value, dict) and "range" in value:
        return "-".join(str(one) for one in value["range"])
    return str(ipaddress.ip_network(str(value)))


def _rule(rule: Mapping[str, Any]) -> Optional[Tuple[int, str, str]]:
    """(port, ip or ip6, name of the set) of a rule that drops what comes not from loopback and not from the set."""
    port, protocol, name, drops = None, None, None, False
    for expression in rule.get("expr") or ():
        match = expression.get("match") or {}
        left, right = match.get("left"), match.get("right")
        payload = left.get("payload") or {} if isinstance(left, dict) else {}
        if payload.get("field") == "dport" and match.get("op") == "==" and isinstance(right, int):
            port = right
        elif payload.get("field") == "saddr" and match.get("op") == "!=" and str(right).startswith("@"):
            protocol, name = str(payload.get("protocol")), str(right)[1:]
        elif "drop" in expression:
            drops = True
        elif match and not (isinstance(left, dict) and (left.get("meta") or {}).get("key") in ("iifname", "nfproto", "l4proto")):
            return None  # it asks for more: not everything to that port is dropped
    if port is None or protocol is None or name is None or not drops:
        return None
    return port, protocol, name
