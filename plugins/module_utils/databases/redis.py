# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis 5 and newer, and Valkey: what is asked, and what the answers mean. Pure: text of redis-cli in, facts out."""
from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.goready.preflight.plugins.module_utils.databases.target import (
    APPLICATION, GROUPS, LISTED, Answers, Failure, seconds, whole, words,
)

PACKAGE = "redis-tools"
#: Seconds between the two looks at the counters.
SAMPLE = 1
#: In this order. A bare INFO has every section of interest, of ``errorstats`` too (from 6.2 on).
COMMANDS: Tuple[str, ...] = ("CLIENT SETNAME " + APPLICATION, "INFO", "CONFIG GET maxclients", "CLIENT LIST")
AFTER = "INFO"


def answers(out: str, err: str) -> Answers:
    """What the replies are, told apart by their shape: ``info`` and ``info_after`` mappings, ``maxclients`` text, ``clients`` rows."""
    found = Answers()
    info: Dict[str, str] = {}
    clients: List[Dict[str, str]] = []
    previous = ""
    for line in out.splitlines():
        line = line.strip("\r")
        if line == "# Server" and info:
            found.values["info"], info = info, {}
        if re.match(r"id=\d+ addr=", line):
            clients.append(dict(word.split("=", 1) for word in line.split(" ") if "=" in word))
            found.values["clients"] = clients
        elif re.match(r"[a-z0-9_]{1,60}:", line) or re.match(r"errorstat_\w{1,60}:", line):
            name, _colon, value = line.partition(":")
            info.setdefault(name, value)
        elif previous == "maxclients" and line.isdigit():
            found.values["maxclients"] = line
        elif re.match(r"(?:ERR|NOPERM) ", line):
            lowered = line.lower()
            key = "name" if "setname" in lowered else "maxclients" if "config" in lowered else "clients" if "client" in lowered else "info"
            found.errors.setdefault(key, ("", line))
        previous = line
    if info:
        found.values["info_after" if "info" in found.values else "info"] = info
    return found


_KINDS: Tuple[Tuple[str, str], ...] = (
    ("full", r"max number of clients (?:\+ cluster connections )?reached"),
    ("starting", r"LOADING|MASTERDOWN"),
    ("auth", r"NOAUTH|Authentication required|WRONGPASS|invalid password|invalid username-password|AUTH failed|"
             r"called without any password"),
    ("forbidden", r"DENIED"),
    ("denied", r"NOPERM"),
    ("resolve", r"Name or service not known|Temporary failure in name resolution|nodename nor servname|No address associated"),
    ("refused", r"Connection refused|No such file or directory"),
    ("timeout", r"timed out|Resource temporarily unavailable"),
    ("unreachable", r"No route to host|Network is unreachable|Permission denied"),
    ("tls", r"SSL|certificate|TLS"),
    ("closed", r"Server closed the connection|Connection reset|Broken pipe|Protocol error|I/O error"),
)


def failure(rc: int, out: str, err: str, secret: str = "") -> Failure:
    """Why redis-cli brought nothing at all. A refusal is on its standard output, as every reply is."""
    # What INFO says of errors in the past is none of this one.
    lines = [line.strip() for line in (err + "\n" + out).splitlines()
             if line.strip() and not line.startswith("Warning: ") and not re.match(r"[a-z0-9_]+:|errorstat_", line)]
    for kind, pattern in _KINDS:
        told = next((line for line in lines if re.search(pattern, line)), "")
        if told:
            told = re.sub(r"^(?:Error: |AUTH failed: |\(error\) |ERR (?=[A-Z]{4}))+", "", told)
            # DENIED comes with a lesson on protected mode behind its first sentence.
            return Failure(kind, words(told.split(". ", maxsplit=1)[0].rstrip("."), 300, secret))
    return Failure("exception", words(lines[0] if lines else "", 300, secret) or "redis-cli ended with %d" % rc)


def loading(found: Answers) -> Optional[Failure]:
    """Why a server does not serve that answers INFO: while it reads its data set it refuses nearly every other command."""
    info: Mapping[str, str] = found.values.get("info") or {}
    if info.get("loading") != "1" or info.get("async_loading") == "1":
        return None
    left = whole(info.get("loading_eta_seconds"))
    return Failure("starting", "it loads its data set into memory" + (", for %d s more" % left if left is not None else ""))


# ------------------------------------------------------------------------------------------------------------- what it means

def facts(found: Answers, secret: str = "") -> Dict[str, Any]:
    """The part of a server's facts that its answers give. What is missing is null and named in ``unreadable``."""
    info: Mapping[str, str] = found.values.get("info") or {}
    after: Mapping[str, str] = found.values.get("info_after") or {}
    unreadable = ["%s: %s" % (what, words(found.errors[key][1], 160, secret))
                  for key, what in (("info", "INFO"), ("clients", "the list of clients"), ("maxclients", "the limit of clients"))
                  if key in found.errors
                  and not (key == "maxclients" and info.get("maxclients"))]
    version = info.get("valkey_version") or info.get("redis_version")
    return {
        "version": words(version, 60) if version else None,
        "login": None,
        "sees_all": "clients" not in found.errors,
        "answered_by": None,
        "server_id": words(info["run_id"], 60) if info.get("run_id") else None,
        "connections": _connections(found, info, after),
        "idle_in_transaction": [],
        "idle_in_transaction_count": 0,
        "idle_in_transaction_limit": None,
        "longest": None,
        "lock_waits": [],
        "replication": _replication(info),
        "memory": _memory(info, after),
        "clients": {"running": None, "blocked": whole(info.get("blocked_clients")),
                    "rejected": _delta(info, after, "rejected_connections")},
        "unreadable": unreadable,
    }


def _delta(before: Mapping[str, str], after: Mapping[str, str], name: str) -> Optional[int]:
    first, last = whole(before.get(name)), whole(after.get(name))
    return max(0, last - first) if first is not None and last is not None else None


def _connections(found: Answers, info: Mapping[str, str], after: Mapping[str, str]) -> Optional[Dict[str, Any]]:
    maximum = whole(info.get("maxclients")) or whole(found.values.get("maxclients"))
    connected = whole(info.get("connected_clients"))
    if connected is None:
        return None
    clients = found.values.get("clients") or []
    ours = max(1, sum(one.get("name") == APPLICATION for one in clients))
    # networking.c acceptCommonHandler: replicas and the links of a cluster take of maxclients too; connected_clients leaves them out.
    used = max(0, connected - ours) + (whole(info.get("connected_slaves")) or 0) + (whole(info.get("cluster_connections")) or 0)
    groups: Dict[Tuple[str, str, str], int] = {}
    for one in clients:
        if one.get("name") == APPLICATION:
            continue
        key = (one.get("name", ""), one.get("user", ""), one.get("addr", "").rpartition(":")[0])
        groups[key] = groups.get(key, 0) + 1
    by = [{"application": words(name), "user": words(user), "database": "", "host": words(host), "state": "", "count": count}
          for (name, user, host), count in sorted(groups.items(), key=lambda item: (-item[1], item[0]))[:GROUPS]]
    return {"used": used, "limit": maximum, "maximum": maximum, "reserved": 0, "uncertain": 0, "by": by, "own_limits": [], "peak": None,
            "refused": _delta(info, after, "rejected_connections")}


def _memory(info: Mapping[str, str], after: Mapping[str, str]) -> Optional[Dict[str, Any]]:
    used = whole(info.get("used_memory"))
    if used is None:
        return None
    return {
        "used": used, "maximum": whole(info.get("maxmemory")) or None, "rss": whole(info.get("used_memory_rss")),
        "system": whole(info.get("total_system_memory")), "policy": words(info.get("maxmemory_policy", ""), 40),
        "evicted": _delta(info, after, "evicted_keys"), "evicted_total": whole(info.get("evicted_keys")),
        "refused_writes": _delta(_errors(info), _errors(after), "OOM") if after else None, "sample_seconds": float(SAMPLE),
        "since_seconds": whole(info.get("uptime_in_seconds")),
    }


def _errors(info: Mapping[str, str]) -> Dict[str, str]:
    """``errorstat_OOM:count=5`` (from 6.2 on; an error that never came has no line)."""
    if "unexpected_error_replies" not in info and "total_error_replies" not in info:
        return {}
    counted = {"OOM": "0"}
    for name, value in info.items():
        if name.startswith("errorstat_"):
            counted[name[len("errorstat_"):]] = value.rpartition("count=")[2]
    return counted


def _replication(info: Mapping[str, str]) -> Optional[Dict[str, Any]]:
    role = "sentinel" if info.get("redis_mode") == "sentinel" else info.get("role")
    if not role:
        return None
    common: Dict[str, Any] = {"role": "primary", "lag_seconds": None, "lag_bytes": None, "resolution": "", "state": "", "note": "",
                              "delay": None, "replicas": []}
    if role == "sentinel":
        common["role"] = role
        return common
    if role == "slave":
        state = info.get("master_link_status", "")
        common.update(role="replica", state=words(state, 40), resolution="1 s")
        if info.get("master_sync_in_progress") == "1":
            common.update(state="sync", note="it takes over the primary's whole data set")
        if state != "up":
            # -1: there never was a link.
            down = whole(info.get("master_link_down_since_seconds"))
            common["lag_seconds"] = float(down) if down is not None and down >= 0 else None
        else:
            ago = words(info.get("master_last_io_seconds_ago", "?"), 10)
            common["note"] = "it last heard of its primary %s s ago (which pings every 10 s)" % ago
        return common
    offset = whole(info.get("master_repl_offset"))
    for index in range(LISTED):
        line = info.get("slave%d" % index)
        if line is None:
            break
        fields = dict(word.split("=", 1) for word in line.split(",") if "=" in word)
        theirs = whole(fields.get("offset"))
        common["replicas"].append({
            "name": words("%s:%s" % (fields.get("ip", ""), fields.get("port", ""))), "host": words(fields.get("ip", "")),
            "state": words(fields.get("state", "")), "sync": "", "slot": "", "lag_seconds": seconds(fields.get("lag")),
            "lag_bytes": max(0, offset - theirs) if offset is not None and theirs is not None else None,
        })
    if common["replicas"]:
        common["resolution"] = "1 s"
    return common
