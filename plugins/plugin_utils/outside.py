# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outside view: which debug listeners of a host answer the controller.

A host cannot see its own firewall, security group or load balancer. The controller can, where it has a direct path to
the host; where it has none (a bastion, a proxy command, a container connection), "no answer" says nothing about the
host, and the result is null, never "closed".
"""
from __future__ import annotations

import errno
import ipaddress
import re
import shlex
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe
from ansible_collections.goready.preflight.plugins.module_utils.collect import pprof
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Answer, Target

WORKERS = 8
TOTAL = 5.0            # seconds for everything
BANNER_TIMEOUT = 1.5
SSH_CONFIG_TIMEOUT = 2.0
SSH_TRANSPORTS = ("ssh", "ansible.builtin.ssh", "paramiko", "paramiko_ssh", "ansible.builtin.paramiko_ssh")

HOST_ITSELF = "the controller is the host itself (or a tunnel's end); try from another machine"

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Path:
    """How the controller stands to the host. ``direct`` as in docs/facts.md; ``tries`` whether an answer would mean
    anything; ``address`` is where SSH really goes, ``peer`` the IP address that this is."""

    direct: bool | None
    tries: bool
    address: str
    reason: str
    peer: str = ""


def look(facts: Facts, *, address: str, ssh_port: int = 22, connection: str = "ssh", ssh_args: str = "",
         timeout: float = TOTAL) -> dict[str, Any]:
    """``facts.outside`` of docs/facts.md. Opens no connection where no listener is worth a try."""
    wanted = candidates(facts)
    if not wanted:
        return {"direct": None, "address": address, "endpoints": [],
                "reason": "no listener beyond loopback serves, or may serve, debug endpoints: there was nothing to try"}
    deadline = time.monotonic() + timeout
    path = path_to(address.strip("[]"), ssh_port, connection, ssh_args, deadline)
    if not path.tries:
        return {"direct": path.direct, "address": path.address, "reason": path.reason,
                "endpoints": [_entry(endpoint, path.address, error=path.reason) for endpoint in wanted]}
    tried = httpprobe.side_by_side(lambda endpoint: attempt(endpoint, path, deadline), wanted, workers=WORKERS, deadline=deadline)
    return {
        "direct": path.direct, "address": path.address, "reason": path.reason,
        "endpoints": [entry or _entry(endpoint, path.address, error="not reached in time")
                      for endpoint, entry in zip(wanted, tried, strict=True)],
    }


def candidates(facts: Facts) -> list[Mapping[str, Any]]:
    """The endpoints, and the reverse proxies in front of them, that somebody else might reach: on TCP beyond loopback, in the
    host's own network, where debugging is served or not ruled out."""
    seen = facts.get("pprof") or {}
    return [
        endpoint for endpoint in [*(seen.get("endpoints") or ()), *(seen.get("proxies") or ())]
        if endpoint["listener"].get("port") and not pprof.is_local(endpoint["listener"])
        and endpoint.get("namespace") == "host"
        and not (endpoint["pprof"]["served"] is False and endpoint["expvar"]["served"] is False)
    ]


def path_to(address: str, ssh_port: int, connection: str, ssh_args: str, deadline: float) -> Path:
    """Whether the controller reaches the host without anything in between, told by SSH answering there itself."""
    if connection in ("local", "ansible.builtin.local"):
        return Path(None, False, address, HOST_ITSELF)
    if connection not in SSH_TRANSPORTS:
        return Path(None, False, address, f"the connection {connection} says nothing about a network path to the host")
    target, port, proxy = ssh_route(address, ssh_port, ssh_args)
    try:
        if ipaddress.ip_address(target.partition("%")[0]).is_loopback:
            return Path(None, False, target, HOST_ITSELF)
    except ValueError:
        pass  # a name
    seen, detail, peer, same = banner(target, port, min(deadline, time.monotonic() + BANNER_TIMEOUT))
    where = f"port {port} of {target}"
    if not seen:
        through = f", and SSH goes through {proxy}" if proxy else ""
        return Path(False, False, target, f"{where} does not answer the controller with SSH ({detail}){through}: no direct path")
    if same:
        return Path(None, False, target, HOST_ITSELF)
    if proxy:
        # The same private address may be another machine here than behind the bastion: an open port still counts, a
        # closed one does not.
        return Path(None, True, target, f"SSH goes through {proxy}, though {where} answers directly: it may be another machine",
                    peer)
    return Path(True, True, target, f"{where} answers the controller directly", peer)


def ssh_route(address: str, ssh_port: int, ssh_args: str) -> tuple[str, int, str]:
    """(host, port, proxy) as OpenSSH would use them with these arguments and the user's configuration."""
    try:
        words = shlex.split(ssh_args)
    except ValueError:
        words = []
    proxy = _proxy_of_words(ssh_args)
    try:
        done = subprocess.run(["ssh", "-G", *words, "--", address], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=SSH_CONFIG_TIMEOUT, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return address, ssh_port, proxy
    if done.returncode != 0:
        return address, ssh_port, proxy
    settings: dict[str, str] = {}
    for line in done.stdout.splitlines():
        key, _space, value = line.partition(" ")
        settings.setdefault(key.lower(), value.strip())
    for key in ("proxyjump", "proxycommand"):
        if settings.get(key, "none").lower() not in ("none", ""):
            proxy = {"proxyjump": "ProxyJump ", "proxycommand": "ProxyCommand "}[key] + settings[key].split()[0]
    port = settings.get("port", "")
    return (settings.get("hostname") or address,
            int(port) if ssh_port == 22 and port.isascii() and port.isdigit() else ssh_port, proxy)


def _proxy_of_words(ssh_args: str) -> str:
    """Which proxy the arguments name, for a controller without the ssh command."""
    match = re.search(r"(?i)(ProxyJump|ProxyCommand)\s*[= ]\s*['\"]?(?!none\b)(\S+)|(?:^|\s)-J\s*(\S+)", ssh_args)
    if match is None:
        return ""
    return f"ProxyJump {match.group(3)}" if match.group(3) else f"{match.group(1)} {match.group(2)}"


def banner(host: str, port: int, deadline: float) -> tuple[bool, str, str, bool]:
    """(an SSH server answers there, what happened, the IP address it has, it is this very machine)."""
    answer = Answer()
    try:
        with httpprobe.connect(Target(host=host, port=port), deadline, answer) as sock:
            peer = answer.peer or ""
            same = bool(sock.getsockname()[0] == peer)
            data = b""
            # RFC 4253, 4.2: the server may send other lines before its version.
            while b"SSH-" not in data and len(data) < 4096:
                sock.settimeout(max(0.01, deadline - time.monotonic()))
                block = sock.recv(1024)
                if not block:
                    return False, "it closed the connection", peer, same
                data += block
            return data.startswith(b"SSH-") or b"\nSSH-" in data, "it says something else than SSH", peer, same
    except httpprobe.ProbeError as exc:
        return False, exc.detail or "no answer in time", "", False
    except TimeoutError:
        return False, "no banner in time" if answer.connected else "no connection in time", "", False
    except OSError as exc:
        return False, (exc.strerror or str(exc)).lower(), "", False


def attempt(endpoint: Mapping[str, Any], path: Path, deadline: float) -> dict[str, Any]:
    """Try one listener from here: the requests the host made, no more."""
    listener = endpoint["listener"]
    specific = listener["address"] not in pprof.WILDCARDS
    address = listener["address"] if specific else path.address
    answers: list[Answer] = []

    def ask(scheme: str, request: str) -> Answer:
        def once() -> Answer:
            target = Target(scheme=scheme, host=address, port=listener["port"], name=endpoint.get("server_name") or "")
            return httpprobe.get(target, request, timeout=max(0.05, min(httpprobe.TIMEOUT, deadline - time.monotonic())))

        answer = once()
        if answer.error == httpprobe.TIMEOUT_KIND and not answer.connected:
            answer = once()  # one lost SYN (sent again after a second, RFC 6298) must not look like a firewall
        answers.append(answer)
        return answer

    entry = _entry(endpoint, address)
    scheme = endpoint.get("scheme") or "http"
    known = endpoint["pprof"]
    if known["served"] and known.get("path"):
        one = ask(scheme, known["path"])
        seen = pprof.pprof_evidence(known["path"], one)
        entry["pprof"] = True if seen else _absent(one)
        entry["status"] = one.status
        entry["evidence"] = [seen or _said(known["path"], one)]
        if endpoint["expvar"]["served"] and one.connected:
            variables = ask(scheme, _vars_path(known["path"]))
            seen = pprof.expvar_evidence(pprof.VARS, variables)
            entry["expvar"] = True if seen else _absent(variables)
            entry["evidence"].append(seen or _said(pprof.VARS, variables))
    else:
        found = pprof.look(ask, scheme=scheme, prefix=endpoint.get("prefix") or "")
        # Credentials asked for: to somebody without them nothing is served.
        entry["pprof"], entry["expvar"] = (
            False if part["served"] is None and found.authentication else part["served"] for part in (found.pprof, found.expvar))
        entry["status"] = found.pprof["status"] if found.pprof["status"] is not None else found.expvar["status"]
        entry["evidence"] = found.pprof["evidence"] + found.expvar["evidence"]
        if entry["pprof"] is None and entry["expvar"] is None:
            entry["error"] = found.error
    first = answers[0]
    entry["source"] = first.source
    entry["state"] = _state(first)
    if entry["state"] != "open":
        entry["pprof"] = entry["expvar"] = None
        entry["error"] = first.detail
        entry["evidence"] = [f"{address} port {listener['port']}: {first.detail}"]
    doubt = _doubt(listener["address"], specific, path)
    if doubt and not entry["pprof"] and not entry["expvar"]:
        # Whatever said no, it may not have been the host.
        entry["pprof"] = entry["expvar"] = None
        entry["state"] = "open" if entry["state"] == "open" else None
        entry["error"] = f"{entry['error']}; {doubt}" if entry["error"] else doubt
    entry["open"] = {"open": True, "closed": False, "filtered": False, None: None}[entry["state"]]
    return entry


def _state(answer: Answer) -> str | None:
    if answer.connected:
        return "open"
    if answer.error == httpprobe.REFUSED:
        return "closed"
    # SSH of the same machine just answered: silence, or "no route", is somebody's firewall.
    if answer.error == httpprobe.TIMEOUT_KIND or answer.errno in (errno.EHOSTUNREACH, errno.EACCES, errno.EPERM):
        return "filtered"
    return None


def _doubt(listened: str, specific: bool, path: Path) -> str:
    """Why no connection would not prove that nobody gets there."""
    if path.direct is not True:
        return path.reason
    if specific and listened not in (path.address, path.peer):
        return f"the controller's path is to {path.address}, others may have one to {listened}"
    if listened == "0.0.0.0" and ":" in path.peer:
        return f"it listens on IPv4 only, and the controller's path is to {path.peer}"
    return ""


def _absent(answer: Answer) -> bool | None:
    """No debugging for the controller: refused by status or simply not there. None where nothing was said of it."""
    if answer.status is None:
        return False if answer.error == httpprobe.CLOSED else None
    return None if answer.status in (429, 502, 503, 504) else False


def _said(path: str, answer: Answer) -> str:
    return f"GET {path} answered {answer.status}" if answer.status else f"GET {path}: {answer.detail}"


def _vars_path(path: str) -> str:
    return path.partition("/debug/pprof")[0] + pprof.VARS


def _entry(endpoint: Mapping[str, Any], address: str, *, error: str | None = None) -> dict[str, Any]:
    listener = endpoint["listener"]
    return {"service": endpoint["service"], "listener": dict(listener), "address": address, "port": listener["port"],
            "state": None, "open": None, "pprof": None, "expvar": None, "status": None, "evidence": [], "error": error,
            "source": None}
