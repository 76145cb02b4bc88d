# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module ``pprof_firewall`` does: one nftables table, its file and its unit, all or nothing.

The kernel's rules are compared with what this very ``nft`` makes of the file in an empty network namespace that ends with
the command (unshare(1)): no two versions of nft have to print alike, and a file that the kernel would refuse is found out
before anything is touched.
"""
from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import listening, nftables, units
from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable
from ansible_collections.goready.preflight.plugins.module_utils.nftables import (
    DROP_IN, FAMILY, FILE, FOLDER, LINK, TABLE, UNIT, UNIT_FILE, Guard,
)

SECONDS = 30.0
_TABLE = "nft table %s %s" % (FAMILY, TABLE)
_UNIT = "unit %s" % UNIT


class FirewallError(Exception):
    """The guard cannot be as it was asked for; one sentence for people."""


class Firewall:
    """The table of one host. ``changes`` is entered already."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._systemd = units.Systemd()
        self._nft = shutil.which("nft", path=os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin")

    def guards(self) -> List[Guard]:
        """What the file says. FirewallError where there is a file that is not ours to read."""
        content = self._changes.read(FILE)
        if content is None:
            return []
        try:
            return nftables.parse(content.decode("utf-8", "replace"))
        except ValueError as exc:
            raise FirewallError("%s is not as it was written (%s); remove it, or bring it back" % (FILE, exc)) from None

    def apply(self, wanted: Sequence[Guard]) -> None:
        """Let the table, its file and its unit be of these guards; none: let nothing of all be there."""
        if self._nft is None:
            if not wanted and self._changes.state(FILE).kind == "absent":
                return
            raise FirewallError("nft is not installed on this host: install the package nftables, or guard by another means")
        text = nftables.render(wanted) if wanted else None
        expected = self._expected(text) if text is not None else None
        before = self._kernel()
        state = self._state()
        try:
            if text is None:
                self._remove(before, state)
            else:
                self._load(text, expected, before, state)
        except BaseException:
            if not self._changes.check_mode:
                try:
                    self._changes.undo()
                finally:
                    self._restore(before)
            raise

    def _load(self, text: str, expected: Any, before: Any, state: Mapping[str, str]) -> None:
        changes = self._changes
        changes.directory(FOLDER)
        changes.write(FILE, text)
        unit = changes.write(UNIT_FILE, nftables.UNIT_TEXT.format(nft=self._nft, file=FILE, family=FAMILY, table=TABLE))
        changes.directory(os.path.dirname(LINK))
        unit = changes.link(LINK, UNIT_FILE) or unit
        changes.directory(os.path.dirname(DROP_IN))
        unit = changes.write(DROP_IN, nftables.DROP_IN_TEXT.format(nft=self._nft, file=FILE)) or unit
        if before != expected:
            changes.note(_TABLE, "created" if before is None else "changed")
        active = state.get("ActiveState") == "active"
        if not active:
            changes.note(_UNIT, "started")
        if changes.check_mode:
            return
        if unit or changes.recovered or state.get("NeedDaemonReload") == "yes":
            self._systemd.daemon_reload()
        if before != expected or not active:
            self._systemctl("reload-or-restart")
        after = self._kernel()
        if after != expected:
            raise FirewallError("table %s %s is not what %s says after %s was loaded: something else changes it"
                                % (FAMILY, TABLE, FILE, UNIT))

    def _remove(self, before: Any, state: Mapping[str, str]) -> None:
        changes = self._changes
        active = state.get("ActiveState") in ("active", "activating", "failed")
        if before is not None:
            changes.note(_TABLE, "removed")
        if active:
            changes.note(_UNIT, "stopped")
        if not changes.check_mode:
            if active:
                self._systemctl("stop")
            if self._kernel() is not None:
                self._run([str(self._nft), "delete", "table", FAMILY, TABLE])
        unit = changes.remove(DROP_IN)
        if unit:
            changes.remove_directory(os.path.dirname(DROP_IN))
        unit = changes.remove(LINK) or unit
        unit = changes.remove(UNIT_FILE) or unit
        changes.remove(FILE)
        changes.remove_directory(FOLDER)
        if changes.check_mode:
            return
        if unit or changes.recovered:
            self._systemd.daemon_reload()
            self._systemd.reset_failed(UNIT)
        if self._kernel() is not None:
            raise FirewallError("table %s %s is there again after it was removed: something else loads it" % (FAMILY, TABLE))

    def _restore(self, before: Any) -> None:
        """After the files are as they were: let the kernel and systemd follow them."""
        self._systemd.daemon_reload()
        if os.path.exists(FILE):
            self._systemctl("reload-or-restart")
        elif before is None:
            self._run([str(self._nft), "-f", "-"], "table %s %s\ndelete table %s %s\n" % (FAMILY, TABLE, FAMILY, TABLE))

    # Asking

    def _kernel(self) -> Optional[List[Any]]:
        rc, out, err = self._execute([str(self._nft), "-j", "list", "table", FAMILY, TABLE])
        if rc and "No such file or directory" in err:
            return None
        if rc:
            raise FirewallError("nft cannot list table %s %s: %s" % (FAMILY, TABLE, _first(err)))
        return nftables.listing(out)

    def _expected(self, text: str) -> Optional[List[Any]]:
        script = '"$0" -f - && "$0" -j list table %s %s' % (FAMILY, TABLE)
        rc, out, err = self._execute(["unshare", "--net", "sh", "-c", script, str(self._nft)], text)
        if rc:
            raise FirewallError("the rules cannot be loaded on this host, not even aside in a network namespace: %s" % _first(err))
        return nftables.listing(out)

    def _state(self) -> Mapping[str, str]:
        return self._systemd.show([UNIT])[UNIT]

    # Doing

    def _systemctl(self, verb: str) -> None:
        rc, _out, err = self._execute(["systemctl", "--no-ask-password", verb, "--", UNIT])
        if rc:
            tail = self._systemd.journal_tail(UNIT)
            raise FirewallError("systemctl %s %s failed: %s%s" % (
                verb, UNIT, _first(err), "; the journal says: " + " | ".join(tail) if tail else ""))

    def _run(self, argv: Sequence[str], text: str = "") -> str:
        rc, out, err = self._execute(argv, text)
        if rc:
            raise FirewallError("%s failed: %s" % (" ".join(argv), _first(err)))
        return out

    def _execute(self, argv: Sequence[str], text: str = "") -> Tuple[int, str, str]:
        try:
            if not text:
                return Context(timeout=SECONDS).run(argv, timeout=SECONDS)
            # Context.run gives no standard input, and one argument holds no more than 128 KiB (execve(2), MAX_ARG_STRLEN).
            with tempfile.NamedTemporaryFile("w", encoding="utf-8") as rules:
                rules.write(text)
                rules.flush()
                command = ["sh", "-c", 'exec "$@" < "$0"', rules.name, *argv]
                return Context(timeout=SECONDS).run(command, timeout=SECONDS)
        except Unavailable as exc:
            raise FirewallError(str(exc)) from None
        except (TimeoutError, ValueError) as exc:
            raise FirewallError("%s: %s" % (argv[0], exc)) from None


def _first(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] or "it said nothing"


def shared_ports(wanted: Sequence[Guard], urls: Mapping[str, Sequence[str]]) -> Dict[int, List[str]]:
    """The ports that serve something besides debugging, with the evidence. ``urls`` by service."""
    found = {one.port: listening.serves_more(one.port, [url for name in one.services for url in urls.get(name, ())])
             for one in wanted}
    return {port: evidence for port, evidence in found.items() if evidence}


def run(changes: Changes, *, services: Sequence[Mapping[str, Any]], state: str, block_service_port: bool) -> Dict[str, Any]:
    """The module's one call. ``services``: {name, ports, allow, urls}; with ``state`` absent only the names count, and none
    means all. Raises FirewallError, units.UnitError, ValueError, OSError."""
    table = Firewall(changes)
    if state == "absent":
        names = [str(one["name"]) for one in services]
        left = nftables.without(table.guards(), names) if names else []
        table.apply(left)
    else:
        wanted = _wanted(services)
        left = nftables.merge(table.guards(), wanted)
        if not block_service_port:
            shared = shared_ports(wanted, {str(one["name"]): one.get("urls") or () for one in services})
            if shared:
                raise FirewallError(_refusal(shared))
        table.apply(left)
    return {"guards": [{"port": one.port, "services": list(one.services), "allow": list(one.allow)} for one in left]}


def _wanted(services: Sequence[Mapping[str, Any]]) -> List[Guard]:
    result: Dict[int, Guard] = {}
    for one in services:
        name, allow = str(one["name"]), nftables.networks(one.get("allow") or ())
        for port in one.get("ports") or ():
            if not 1 <= port <= 65535:
                raise ValueError("%s: port %s is not a number from 1 to 65535" % (name, port))
            other = result.get(port, Guard(port, (), allow))
            if other.allow != allow:
                raise ValueError("port %d is given for %s with the allow-list [%s] and for %s with [%s]; give both the same" % (
                    port, ", ".join(other.services), ", ".join(other.allow), name, ", ".join(allow)))
            result[port] = Guard(port, tuple(sorted({*other.services, name})), allow)
    return sorted(result.values())


def _refusal(shared: Mapping[int, Sequence[str]]) -> str:
    said = "; ".join("port %d also serves something besides /debug (%s)" % (port, ", ".join(evidence))
                     for port, evidence in sorted(shared.items()))
    return ("%s: blocking it would cut that off for everybody outside the allow-list. Let pprof listen elsewhere, or set "
            "pprof_guard_block_service_port: true (option block_service_port) if that is meant" % said)
