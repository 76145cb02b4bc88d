# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control groups: where a process's values lie (v1, v2, hybrid), what they say, which unit or container a path names.

Public: :func:`unit_of`, :func:`container_of`, :func:`relative`, :func:`primary`, :func:`directories`, :func:`ancestors`,
:func:`parse_amount`, :func:`parse_cpu_max`, :func:`parse_cfs`.

Sources: cgroups(7), Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/*.rst, systemd.unit(5) on names, and the paths the
container runtimes make (runc, crun, containerd, cri-o, podman, LXC, systemd-nspawn).
"""
from __future__ import annotations

import re
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from ansible_collections.goready.preflight.plugins.module_utils.procfs import Membership, Mount

# v1 has no word for "no limit": it prints the largest multiple of the page size (mm/page_counter.c).
_V1_UNLIMITED = 1 << 60

_UNIT = r"(?:[A-Za-z0-9:_.\\@-]{1,255})\.service\Z"
_ID = r"([0-9a-f]{64})"
# A component of a path and the runtime that makes such names. The monitor of a podman container (libpod-conmon-) runs on
# the host and matches none.
_CONTAINERS = (
    (r"libpod-(?:payload-)?" + _ID + r"(?:\.scope)?\Z", "podman"),
    (r"docker-" + _ID + r"\.scope\Z", "docker"),
    (r"(?:cri-containerd|nerdctl)[-:]" + _ID + r"(?:\.scope)?\Z", "containerd"),
    (r".*:cri-containerd:" + _ID + r"\Z", "containerd"),
    (r"crio-" + _ID + r"(?:\.scope)?\Z", "unknown"),
    (r"lxc\.payload\.([\w.-]{1,200})\Z", "lxc"),
)
_LXC_PARENTS = ("lxc", "lxc.payload")


def primary(entries: Sequence[Membership]) -> Optional[str]:
    """The path that systemd gave the process: v2's, or in a v1 or hybrid setup that of ``name=systemd``. None where there
    is neither."""
    unified = next((one.path for one in entries if one.hierarchy == 0 and not one.controllers), None)
    named = next((one.path for one in entries if "name=systemd" in one.controllers), None)
    if unified not in (None, "/"):
        return unified
    return named if named is not None else unified


def relative(path: str, host: str) -> str:
    """``path`` as seen from the host's own top, where ``host`` is the path of PID 1.

    A host that is itself a container without a cgroup namespace sees ``/docker/<id>/...`` everywhere, also in front of its
    own services.
    """
    top = re.sub(r"/(?:init\.scope|init|system\.slice/systemd-init\.scope)\Z", "", host.rstrip("/"))
    if top and (path == top or path.startswith(top + "/")):
        return path[len(top):] or "/"
    return path


class Unit(NamedTuple):
    """The service a cgroup belongs to: ``manager`` is "system" or "user", ``user`` the uid of a user manager. ``name`` is
    None in a scope (a login session, a container), where ``scope`` names it."""

    name: Optional[str]
    manager: Optional[str]
    user: Optional[int]
    scope: Optional[str]


def unit_of(path: str) -> Unit:
    """Which service's a (relative) cgroup path is. Sub-groups that a service makes itself (Delegate=) belong to it."""
    name: Optional[str] = None
    manager: Optional[str] = None
    user: Optional[int] = None
    scope: Optional[str] = None
    for part in path.split("/"):
        # systemd puts "_" before names that the kernel uses itself (cg_escape).
        part = part[1:] if part.startswith("_") else part
        login = re.match(r"user@([0-9]{1,10})\.service\Z", part)
        if login and name is None:
            manager, user = "user", int(login.group(1))
        elif part.endswith(".scope"):
            if name is None:
                scope = part
        elif re.match(_UNIT, part) and name is None and scope is None:
            name = part
    if name is None:
        return Unit(None, manager if scope else None, user, scope)
    return Unit(name, manager or "system", user, None)


def container_of(path: str) -> Optional[Tuple[str, str]]:
    """(runtime, id) when a (relative) cgroup path is a container's, else None. The id is its first 12 digits or a name."""
    parts = [part for part in path.split("/") if part]
    for index, part in enumerate(parts):
        for pattern, runtime in _CONTAINERS:
            match = re.match(pattern, part)
            if match:
                return runtime, _short(match.group(1))
        before = parts[index - 1] if index else ""
        if re.match(_ID + r"\Z", part):
            # cgroupfs driver: /docker/<id>, /libpod_parent/..., /kubepods/burstable/pod<uid>/<id>, /<namespace>/<id>
            if before == "docker" or before == "buildkit":
                return "docker", part[:12]
            if before.startswith("libpod"):
                return "podman", part[:12]
            return "containerd" if _in_kubernetes(parts) or before in ("k8s.io", "default", "moby") else "unknown", part[:12]
        if before in _LXC_PARENTS and re.match(r"[\w.-]{1,200}\Z", part):
            return "lxc", part
        if part == "payload" and before.startswith("systemd-nspawn@"):
            return "unknown", before[len("systemd-nspawn@"):].rsplit(".", 1)[0]
    return None


def _short(name: str) -> str:
    return name[:12] if re.match(r"[0-9a-f]{64}\Z", name) else name


def _in_kubernetes(parts: Iterable[str]) -> bool:
    return any(part.startswith("kubepods") for part in parts)


def directories(entries: Sequence[Membership], mounts: Sequence[Mount]) -> Dict[str, Tuple[str, str]]:
    """Where the controllers' files of a process lie: {"unified" | controller: (mount point, path below it)}.

    ``mounts`` are those of the process that reads. A mount whose root is not "/" shows a part of the hierarchy (a container
    with a bind mount): the path is taken from there.
    """
    result: Dict[str, Tuple[str, str]] = {}
    for mount in mounts:
        if mount.fstype == "cgroup2":
            names: Tuple[str, ...] = ("unified",)
        elif mount.fstype == "cgroup":
            names = tuple(one for one in mount.options if one in ("memory", "cpu", "pids"))
        else:
            continue
        for name in names:
            path = next((one.path for one in entries if
                         (one.hierarchy == 0 and not one.controllers if name == "unified" else name in one.controllers)), None)
            if path is None or name in result or "/.." in path:
                continue
            if mount.root != "/":
                if path != mount.root and not path.startswith(mount.root + "/"):
                    # In a cgroup namespace the root is printed relative to it ("/../.."); nothing to take off then.
                    if not mount.root.startswith("/.."):
                        continue
                else:
                    path = path[len(mount.root):] or "/"
            result[name] = (mount.point, path)
    return result


def ancestors(path: str) -> List[str]:
    """The path and its parents, the root last: /a/b -> [/a/b, /a, /]."""
    parts = [part for part in path.split("/") if part]
    return ["/" + "/".join(parts[:count]) for count in range(len(parts), 0, -1)] + ["/"]


Amount = Union[int, str, None]


def parse_amount(text: str) -> Amount:
    """A number of bytes or tasks, "max" where there is no limit (v2's word, or v1's largest number)."""
    text = text.strip()
    if text in ("max", "-1"):
        return "max"
    if not re.match(r"[0-9]{1,20}\Z", text):
        raise ValueError("%r is no amount" % text[:40])
    number = int(text)
    return "max" if number >= _V1_UNLIMITED else number


def parse_cpu_max(text: str) -> Union[float, str]:
    """cpu.max of v2 ("150000 100000") as CPUs, "max" where unlimited."""
    fields = text.split()
    if not fields:
        raise ValueError("cpu.max is empty")
    return parse_cfs(fields[0], fields[1] if len(fields) > 1 else "100000")


def parse_cfs(quota: str, period: str) -> Union[float, str]:
    """cpu.cfs_quota_us and cpu.cfs_period_us of v1 as CPUs, "max" where unlimited."""
    quota, period = quota.strip(), period.strip()
    if quota in ("max", "-1"):
        return "max"
    if not re.match(r"[0-9]{1,18}\Z", quota) or not re.match(r"[0-9]{1,18}\Z", period) or int(period) == 0:
        raise ValueError("%r of %r is no CPU quota" % (quota[:40], period[:40]))
    return int(quota) / int(period)
