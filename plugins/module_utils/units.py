# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units as a remediation handles them: ask, write a drop-in, restart, and believe it only when it lasts.

Public: :class:`Systemd` (show, reload, start, restart, wait, journal), :func:`wait_healthy`, :class:`Restarts`,
:func:`fault`, :func:`is_template`, :func:`instance`, :func:`drop_in_path`, :func:`render_drop_in`, :func:`overriding`.

Every command has a deadline. A restart is only queued (``--no-block``): a unit of ``Type=notify`` that never gets ready
would hold ``systemctl restart`` for its whole TimeoutStartSec=, so the waiting is done here, against a deadline of the
caller's.
"""
from __future__ import annotations

import json
import os
import re
import time
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe, redact, systemd
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

Properties = Dict[str, str]
# (argv, seconds) -> (rc, stdout, stderr); raises Unavailable, TimeoutError, ValueError as Context.run does.
Runner = Callable[[Sequence[str], float], Tuple[int, str, str]]

# What tells in which state a unit is, whatever else is asked.
STATE = ("Id", "LoadState", "LoadError", "UnitFileState", "ActiveState", "SubState", "Result", "Type", "MainPID", "NRestarts",
         "InvocationID", "Job", "FragmentPath", "DropInPaths", "NeedDaemonReload", "ControlGroup", "ExecMainCode",
         "ExecMainStatus")

COMMAND_SECONDS = 20.0
RELOAD_SECONDS = 90.0
JOURNAL_LINES = 12
#: How long a unit has to stay active, with the same main process, before it counts: the default RestartSec= is 100 ms,
#: and what a bad limit or address breaks, breaks while a program starts.
SETTLE = 2.0
#: So many automatic restarts while we wait are a crash loop, whose end nobody needs to wait for.
CRASHES = 3
_POLL = 0.1


class UnitError(Exception):
    """A unit did not do what it was asked to; one sentence, with the unit's name."""


class Waited(NamedTuple):
    """How a wait ended well: the properties at its end and the seconds it took."""

    properties: Properties
    seconds: float


def _run(argv: Sequence[str], seconds: float) -> Tuple[int, str, str]:
    return Context(timeout=seconds).run(argv, timeout=seconds)


class Systemd:
    """The system's service manager. ``run`` is replaced in tests."""

    def __init__(self, run: Optional[Runner] = None) -> None:
        self._run = run or _run

    # Asking

    def show(self, units: Sequence[str], properties: Sequence[str] = ()) -> Dict[str, Properties]:
        """``{unit: {property: value}}`` of many units in one call: :data:`STATE` and ``properties``. A template is asked
        through an instance of it that is never started. UnitError where systemd does not answer."""
        if not units:
            return {}
        asked = [instance(unit) if is_template(unit) else unit for unit in units]
        names = list(dict.fromkeys([*STATE, *properties]))
        rc, out, err = self._command(["show", "--property=" + ",".join(names), "--", *asked], COMMAND_SECONDS)
        blocks = systemd.parse_show(out)
        if rc or len(blocks) != len(asked):
            raise UnitError("systemctl show answered for %d of %d units: %s" % (len(blocks), len(asked), _last(err or out)))
        return dict(zip(units, blocks))

    def manager(self, properties: Sequence[str]) -> Properties:
        """Properties of the manager itself, such as DefaultLimitNOFILE."""
        rc, out, err = self._command(["show", "--property=" + ",".join(properties)], COMMAND_SECONDS)
        blocks = systemd.parse_show(out)
        if rc or not blocks:
            raise UnitError("systemctl show does not answer: %s" % _last(err or out))
        return blocks[0]

    def instances(self, template: str) -> List[str]:
        """The instances of a template (``worker@.service``) that run, start or failed, by name."""
        prefix, _at, suffix = template.partition("@")
        rc, out, err = self._command(["list-units", "--plain", "--no-legend", "--no-pager", "--full", "--",
                                      "%s@*%s" % (prefix, suffix)], COMMAND_SECONDS)
        if rc:
            raise UnitError("systemctl list-units does not answer: %s" % _last(err))
        return sorted(line.split()[0] for line in out.splitlines() if line.strip())

    def journal_tail(self, unit: str, *, lines: int = JOURNAL_LINES, since: Optional[float] = None) -> List[str]:
        """The unit's last lines in the journal, without credentials; none where there is no journal. ``since``: seconds
        since 1970."""
        argv = ["journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=%d" % lines, "--unit=" + unit]
        if since is not None:
            argv.append("--since=@%d" % int(since))
        try:
            rc, out, _err = self._run(argv, COMMAND_SECONDS)
        except (Unavailable, TimeoutError, ValueError):
            return []
        return [redact.redact_text(line)[:500] for line in out.splitlines() if line.strip()] if rc == 0 else []

    # Doing

    def daemon_reload(self) -> None:
        """Let systemd read its files again. It also applies MemoryMax=, TasksMax= and the like to units that run
        (systemd source, unit_deserialize_state: what is realized is invalidated)."""
        rc, _out, err = self._command(["daemon-reload"], RELOAD_SECONDS)
        if rc:
            raise UnitError("systemctl daemon-reload failed: %s" % _last(err))

    def start(self, unit: str) -> None:
        """Queue the start."""
        self._queue("start", unit)

    def stop(self, unit: str) -> None:
        """Queue the stop."""
        self._queue("stop", unit)

    def restart(self, unit: str) -> None:
        """Queue the restart; :meth:`wait_active` tells what became of it."""
        self._queue("restart", unit)

    def reset_failed(self, unit: str) -> None:
        """Let a unit that crashed too often (StartLimitBurst=) be started again."""
        self._command(["reset-failed", "--", unit], COMMAND_SECONDS)

    def wait_active(self, unit: str, *, timeout: float, settle: float = SETTLE, before: str = "") -> Waited:
        """Wait until the unit is active and has stayed so for ``settle`` seconds with the same main process.

        ``before`` is the InvocationID from before a restart: the unit has to have another one, so that the old run of a
        unit that has not stopped yet is not taken for the new one. UnitError at ``timeout``, where it failed for good, and
        where it crashes again and again.
        """
        begin = time.monotonic()
        deadline = begin + timeout
        steady: Optional[Tuple[str, str, str]] = None
        since = 0.0
        first: Optional[int] = None
        ended = ""
        while True:
            now = self.show([unit])[unit]
            state = now.get("ActiveState", "")
            ended = _how(now) if now.get("ExecMainCode", "0") != "0" and now.get("InvocationID") != before else ended
            restarts = _number(now.get("NRestarts"))
            if restarts is not None and now.get("InvocationID") != before:
                first = restarts if first is None or restarts < first else first
                if restarts - first >= CRASHES:
                    raise UnitError("%s crashes again and again: systemd restarted it %d times within %.1f s%s" % (
                        unit, restarts - first, time.monotonic() - begin, " (%s)" % ended if ended else ""))
            done = not now.get("Job") and (not before or now.get("InvocationID") != before)
            if state == "failed" and done:
                raise UnitError("%s failed: %s" % (unit, _how(now)))
            if state == "active" and done:
                mark = (now.get("InvocationID", ""), now.get("MainPID", ""), now.get("NRestarts", ""))
                if mark != steady:
                    steady, since = mark, time.monotonic()
                elif time.monotonic() - since >= settle:
                    return Waited(now, time.monotonic() - begin)
            else:
                if state == "inactive" and done and before:
                    raise UnitError("%s ended: %s" % (unit, _how(now)))
                steady = None
            if time.monotonic() >= deadline:
                if steady is not None:
                    raise UnitError("%s does not stay active within %g s" % (unit, timeout))
                raise UnitError("%s is not active after %g s: it is %s" % (unit, timeout, _how(now)))
            time.sleep(min(_POLL, max(0.01, deadline - time.monotonic())))

    def _queue(self, verb: str, unit: str) -> None:
        rc, _out, err = self._command(["--no-block", "--no-ask-password", verb, "--", unit], COMMAND_SECONDS)
        if rc:
            raise UnitError("systemctl %s %s was refused: %s" % (verb, unit, _last(err)))

    def _command(self, arguments: Sequence[str], seconds: float) -> Tuple[int, str, str]:
        try:
            return self._run(["systemctl", *arguments], seconds)
        except Unavailable:
            raise UnitError("systemctl is not installed: this host has no systemd") from None
        except (TimeoutError, ValueError) as exc:
            raise UnitError("systemctl %s: %s" % (arguments[0], exc)) from None


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return redact.redact_text(lines[-1])[:300] if lines else "it said nothing"


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _how(now: Mapping[str, str]) -> str:
    """The state in words: ``activating (auto-restart), its program ended with status 3``."""
    said = "%s (%s)" % (now.get("ActiveState"), now.get("SubState"))
    result = now.get("Result")
    if result not in (None, "", "success"):
        said += ", result %s" % result
    # CLD_EXITED, CLD_KILLED, CLD_DUMPED (sigaction(2))
    code, status = now.get("ExecMainCode"), now.get("ExecMainStatus")
    if code == "1":
        said += ", its program ended with status %s" % status
    elif code in ("2", "3"):
        said += ", its program was ended by signal %s" % status
    return said


def wait_healthy(url: str, *, timeout: float) -> float:
    """Ask ``url`` (http, https or unix) until it answers with a status from 200 to 299, as the check services.healthy
    judges it, and return the seconds it took. UnitError at ``timeout`` with the last answer; ValueError where it is no URL.
    """
    begin = time.monotonic()
    target = httpprobe.parse_url(url)
    shown = redact.redact_url(url)
    while True:
        left = timeout - (time.monotonic() - begin)
        answer = httpprobe.get(target, target.path, timeout=max(0.2, min(5.0, left)))
        if answer.status is not None and 200 <= answer.status <= 299:
            return time.monotonic() - begin
        if time.monotonic() - begin + 0.2 >= timeout:
            said = "answers %d" % answer.status if answer.status is not None else answer.detail or str(answer.error)
            raise UnitError("%s is not healthy after %g s: %s" % (shown, timeout, said))
        time.sleep(0.2)


# --- names and states ------------------------------------------------------------------------------------------------


def is_template(unit: str) -> bool:
    """Whether the name is a template's: ``worker@.service``."""
    return "@." in unit and unit.index("@.") == unit.index("@")


def instance(template: str, name: str = "goready-preflight") -> str:
    """The instance ``name`` of a template."""
    return template.replace("@.", "@%s." % name, 1)


def fault(unit: str, properties: Mapping[str, str]) -> Optional[str]:
    """Why a remediation cannot work on this unit, None where it can."""
    state = properties.get("LoadState", "")
    if state == "loaded":
        return None
    if state == "not-found":
        return "%s does not exist on this host" % unit
    if state == "masked":
        return "%s is masked: nothing can start it (systemctl unmask %s, if that was not meant)" % (unit, unit)
    why = redact.redact_text(properties.get("LoadError", "").strip())
    return "systemd cannot load %s: it is %s%s" % (unit, state or "in no known state", " (%s)" % why if why else "")


def runs(properties: Mapping[str, str]) -> bool:
    """Whether the unit runs or is on its way: what a restart interrupts, and what has to run again afterwards."""
    return properties.get("ActiveState") in ("active", "activating", "reloading")


# --- drop-ins --------------------------------------------------------------------------------------------------------


def drop_in_path(unit: str, name: str) -> str:
    """Where the administrator's drop-in ``name`` (``50-x.conf``) of a unit lies."""
    return "/etc/systemd/system/%s.d/%s" % (unit, name)


def render_drop_in(lines: Sequence[Tuple[str, str]], *, comment: Sequence[str] = (), section: str = "Service") -> str:
    """A drop-in with these (directive, value) pairs. ValueError for a value that would be more than one line."""
    for name, value in lines:
        if any(ord(char) < 0x20 or ord(char) == 0x7F for char in name + value) or value.endswith("\\"):
            raise ValueError("%s=%r does not fit into one line of a unit file" % (name, value))
    text = ["# " + one for one in comment] + ["[%s]" % section] + ["%s=%s" % pair for pair in lines]
    return "\n".join(text) + "\n"


def quote(value: str) -> str:
    """A word of Environment= or ExecStart=: quoted, specifiers (``%``) and escapes taken literally (systemd.syntax(7),
    systemd.unit(5)). For ExecStart= a ``$`` is to be doubled by the caller."""
    return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


class Line(NamedTuple):
    """A directive in a file: ``path``, its line from 1, its value."""

    path: str
    line: int
    value: str


def overriding(drop_ins: Sequence[str], name: str, directive: str, *, known: Optional[systemd.KnownDirectives] = None,
               root: str = "/") -> List[Line]:
    """The lines of ``directive`` in drop-ins that systemd reads after ours.

    ``drop_ins`` is DropInPaths; ``name`` our file's. systemd sorts the files of all folders by their name alone
    (systemd.unit(5)).
    """
    found = []
    for path in drop_ins:
        if os.path.basename(path) <= name:
            continue
        try:
            with open(path if root == "/" else os.path.join(root, path.lstrip("/")), encoding="utf-8", errors="replace") as stream:
                text = stream.read(1 << 20)
        except OSError:
            continue
        parsed = systemd.parse_unit_file(text, known=known)
        refused = {(one.line, one.name) for one in parsed.problems}
        found += [Line(path, one.line, one.value) for one in parsed.directives
                  if one.section == "Service" and one.name == directive and (one.line, one.name) not in refused]
    return found


def drop_ins(properties: Mapping[str, str]) -> List[str]:
    """The paths of DropInPaths, in the order in which systemd reads them."""
    return [re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match.group(1), 16)), one)
            for one in properties.get("DropInPaths", "").split()]


# --- restarts that a kill may cut short --------------------------------------------------------------------------------


class Restarts:
    """Which units were running when a call began to restart them, kept on the disk until each is known to run again.

    The journal of ``changing.Changes`` brings files back after a kill; this brings the service back whose files they are:
    without it the next call would find a failed unit and could not know that nobody had stopped it.
    """

    def __init__(self, name: str, *, state_dir: str = "/var/lib/goready-preflight") -> None:
        self._folder = state_dir
        self._path = os.path.join(state_dir, "%s.restarts" % name)

    def left(self) -> List[str]:
        """The units of a call that was killed while it restarted them."""
        try:
            with open(self._path, encoding="utf-8") as stream:
                units = json.load(stream)
        except FileNotFoundError:
            return []
        except ValueError:  # written by something else: the rename below is atomic
            return []
        return [unit for unit in units if isinstance(unit, str)] if isinstance(units, list) else []

    def begin(self, unit: str) -> None:
        """Say, before the restart, that this unit runs."""
        self._write([*(one for one in self.left() if one != unit), unit])

    def end(self, unit: str) -> None:
        """It is in its final state."""
        self._write([one for one in self.left() if one != unit])

    def _write(self, units: List[str]) -> None:
        if not units:
            try:
                os.unlink(self._path)
                os.rmdir(self._folder)
            except OSError:  # nothing was written, or others keep their journals beside it
                pass
            return
        os.makedirs(self._folder, 0o700, exist_ok=True)
        part = "%s.%d.part" % (self._path, os.getpid())
        with open(part, "w", encoding="utf-8") as stream:
            json.dump(units, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, self._path)
