# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module ``pprof_bind`` does: tell a service by a drop-in where pprof listens, restart it, and look where it does."""
from __future__ import annotations

import os
import re
import stat
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import execstart, listening, procfs, readfile, redact, systemd, units
from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
from ansible_collections.goready.preflight.plugins.module_utils.collect.pprof import is_local
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Target

NAME = "50-goready-pprof.conf"
_COMMENT = ("Managed by goready.preflight, role pprof_guard: edits are replaced.",)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_ARGUMENT = re.compile(r"--?[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
#: What a new listener is given after the unit is active: it may read its configuration first.
LISTEN_SECONDS = 10.0


class BindError(Exception):
    """The service cannot be bound as it was asked for; one sentence for people."""


class Wanted(NamedTuple):
    """Where pprof has to listen: a loopback host and port, or a unix socket's path."""

    host: str
    port: int
    path: str

    @property
    def label(self) -> str:
        return "unix:%s" % self.path if self.path else "[%s]:%d" % (self.host, self.port) if ":" in self.host \
            else "%s:%d" % (self.host, self.port)


def wanted(value: object) -> Wanted:
    """A value for the variable or argument: ``127.0.0.1:6060``, ``[::1]:6060``, ``localhost:6060``, a URL of one of these,
    ``unix:/run/api.sock`` or an absolute path. ValueError where it is anything else, or not loopback."""
    if not isinstance(value, str) or not value or any(ord(char) <= 0x20 or ord(char) >= 0x7F for char in value):
        raise ValueError("%r is not an address such as 127.0.0.1:6060 or unix:///run/api/pprof.sock" % (value,))
    if value.startswith(("unix:", "/")):
        path = value[5:] if value.startswith("unix:") else value
        path = "/" + path.lstrip("/") if path.startswith("/") else path
        if not path.startswith(("/", "@")) or len(path) < 2 or len(path) > 107:
            raise ValueError("%r names no socket: an absolute path of at most 107 characters is wanted" % value)
        return Wanted("", 0, path)
    try:
        parts = urlsplit(value if "://" in value else "tcp://" + value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if port is None or not 1 <= port <= 65535:
        raise ValueError("%r is not an address such as 127.0.0.1:6060 or unix:///run/api/pprof.sock" % value)
    if not is_local({"proto": "tcp", "address": host}):
        raise ValueError("%r is not on loopback: 127.0.0.1:%d, [::1]:%d or a unix socket is" % (value, port, port))
    return Wanted(host, port, "")


class Binding:
    """One unit's drop-in. ``changes`` is entered already."""

    def __init__(self, changes: Changes, unit: str, *, timeout: float, health: str) -> None:
        self._changes = changes
        self._systemd = units.Systemd()
        self._restarts = units.Restarts(changes.name)
        self.unit = unit
        self.path = units.drop_in_path(unit, NAME)
        self._timeout = timeout
        self._health = health
        self.properties = self._systemd.show([unit], ("EnvironmentFiles",))[unit]
        # A call that was killed while it restarted: the unit ran, and has to run again, whatever it does now.
        self.runs = units.runs(self.properties) or unit in self._restarts.left()

    def usable(self) -> None:
        """BindError where no drop-in can work on this unit."""
        if units.is_template(self.unit):
            raise BindError("%s is a template: name the instance whose pprof is bound, such as %s"
                            % (self.unit, units.instance(self.unit, "NAME")))
        why = units.fault(self.unit, self.properties)
        if why:
            raise BindError(why)

    def environment(self, name: str, value: str) -> str:
        """The drop-in that sets a variable. BindError where something else has the last word about it."""
        for one in units.overriding(units.drop_ins(self.properties), NAME, "Environment"):
            if any(word.strip("\"'").partition("=")[0] == name for word in systemd.split_words(one.value)):
                raise BindError("%s line %d sets %s after our drop-in, and so has the last word" % (one.path, one.line, name))
        # "settings from these files override settings made with Environment=" (systemd.exec(5))
        for path in re.findall(r"(/\S+) \(ignore_errors=", self.properties.get("EnvironmentFiles", "")):
            if _sets(path, name):
                raise BindError("%s sets %s, and an EnvironmentFile= overrides what a drop-in sets: change it there" % (path, name))
        return units.render_drop_in([("Environment", units.quote("%s=%s" % (name, value)))], comment=_COMMENT)

    def argument(self, argument: str, value: str) -> str:
        """The drop-in that runs the unit's command with an argument changed. BindError where there is no one command."""
        for one in units.overriding(units.drop_ins(self.properties), NAME, "ExecStart"):
            raise BindError("%s line %d sets ExecStart= after our drop-in, and so has the last word" % (one.path, one.line))
        paths = [self.properties.get("FragmentPath", ""), *units.drop_ins(self.properties)]
        texts = [_text(path) for path in paths if path and path != self.path]
        commands = execstart.commands(texts)
        if len(commands) != 1:
            raise BindError("%s has %d ExecStart= commands: an argument is set only where there is exactly one" % (
                self.unit, len(commands)))
        try:
            line = execstart.with_argument(commands[0], argument, value)
        except ValueError as exc:
            raise BindError("%s: %s" % (self.unit, exc)) from None
        return units.render_drop_in([("ExecStart", ""), ("ExecStart", line)], comment=_COMMENT)

    def _mode(self) -> int:
        """No more open than the files that the command may be copied from: it may hold what is not for everybody."""
        mode = 0o644
        for path in (self.properties.get("FragmentPath", ""), *units.drop_ins(self.properties)):
            if path and path != self.path and os.path.exists(path):
                mode &= stat.S_IMODE(os.stat(path).st_mode) | 0o600
        return mode

    def apply(self, text: Optional[str], proof: Any) -> bool:
        """Let the drop-in be ``text`` (None: not there) and in effect. ``proof()`` returns None where it is, else what is
        wrong. Returns whether that was seen; False where the unit does not run.

        Taken back with the old drop-in, restarted, where the unit does not get active and healthy, or the proof fails.
        """
        changes = self._changes
        folder = os.path.dirname(self.path)
        if text is None:
            changed = changes.remove(self.path)
            if changed:
                changes.remove_directory(folder)
        else:
            changes.directory(folder)
            changed = changes.write(self.path, text, mode=self._mode())
        interrupted = self.unit in self._restarts.left()
        # Nothing to write, and yet not so: the process is older than the file.
        restart = self.runs and (changed or interrupted or (proof is not None and proof(0.0) is not None))
        if restart:
            changes.note("unit %s" % self.unit, "restarted")
        if changes.check_mode:
            return False
        if changed or changes.recovered or self.properties.get("NeedDaemonReload") == "yes":
            self._systemd.daemon_reload()
        if not restart:
            return self.runs and proof is not None
        begin = time.time()
        self._restarts.begin(self.unit)
        try:
            self._restart()
            why = proof(LISTEN_SECONDS) if proof is not None else None
            if why:
                raise BindError(why)
        except (units.UnitError, BindError) as exc:
            tail = self._systemd.journal_tail(self.unit, since=begin)
            raise BindError("%s; %s%s" % (exc, self._take_back(), "; the journal says: " + " | ".join(tail) if tail else "")) from None
        except BaseException:
            # What nobody expected, a signal among it: the service must run again all the same.
            self._take_back()
            raise
        self._restarts.end(self.unit)
        return proof is not None

    def _restart(self) -> None:
        self._systemd.reset_failed(self.unit)
        before = self._systemd.show([self.unit])[self.unit].get("InvocationID", "")
        self._systemd.restart(self.unit)
        waited = self._systemd.wait_active(self.unit, timeout=self._timeout, before=before)
        if self._health:
            units.wait_healthy(self._health, timeout=max(1.0, self._timeout - waited.seconds))

    def _take_back(self) -> str:
        self._changes.undo()
        try:
            self._systemd.daemon_reload()
            self._restart()
        except units.UnitError as exc:
            return "taken back, but then %s" % exc
        self._restarts.end(self.unit)
        return "taken back: %s runs as before" % self.unit


def _sets(path: str, name: str) -> bool:
    try:
        text = _text(path)
    except (OSError, ValueError):
        return False  # missing and ignored ("-"), no file, or systemd itself will say so
    return any(line.strip().partition("=")[0].strip() == name for line in text.splitlines())


def _text(path: str) -> str:
    return readfile.read_regular(path, 1 << 20).decode("utf-8", "replace")


def shown(diff: Sequence[Mapping[str, str]]) -> List[Dict[str, str]]:
    """A difference for people: a command line may hold a password that the unit's author has put there."""
    return [{key: text if key.endswith("_header") else _redacted(text) for key, text in one.items()} for one in diff]


def _redacted(text: str) -> str:
    lines = []
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        lines.append("%s=%s" % (name, systemd.redact_directive(name, value)) if equals and name.isalpha() else redact.redact_text(line))
    return "\n".join(lines)


def proof_of(unit: str, want: Wanted, ports: Sequence[int], path: str) -> Any:
    """A function ``(seconds) -> None | what is wrong``, to be asked again until it is right or the seconds are over. ``path``
    is what the service puts before /debug/pprof/, if anything."""
    target = Target(unix=want.path, path=path) if want.path else Target(host=want.host, port=want.port, path=path)

    def once() -> Optional[str]:
        found = listening.of_unit(unit)
        outside = [one for one in found if one.proto != "unix" and one.port in {want.port, *ports}
                   and not is_local({"proto": one.proto, "address": one.address})]
        if outside:
            return "%s still listens on %s" % (unit, ", ".join(listening.shown(one) for one in outside))
        if not any(_is(one, want) for one in found):
            others = ", ".join(listening.shown(one) for one in found) or "nothing"
            return "%s does not listen on %s (it listens on %s)" % (unit, want.label, others)
        look = listening.serves_pprof(target, timeout=5.0)
        if look.pprof["served"] is False:
            return "%s listens on %s, but serves no /debug/pprof/ there: %s" % (unit, want.label, "; ".join(look.pprof["evidence"]))
        return None

    def ask(seconds: float) -> Optional[str]:
        end = time.monotonic() + seconds
        while True:
            why = once()
            if why is None or time.monotonic() >= end:
                return why
            time.sleep(0.2)

    return ask


def _is(one: procfs.Listener, want: Wanted) -> bool:
    if want.path:
        return one.proto == "unix" and one.path in (want.path, os.path.realpath(want.path))
    return one.proto != "unix" and one.port == want.port and is_local({"proto": one.proto, "address": one.address})


def run(changes: Changes, *, unit: str, environment: Optional[str], argument: Optional[str], value: Optional[str],
        path: str, ports: Sequence[int], health: Optional[str], urls: Sequence[str], state: str, timeout: float,
        block_service_port: bool) -> Dict[str, Any]:
    """The module's one call. Raises BindError, units.UnitError, ValueError, OSError."""
    binding = Binding(changes, unit, timeout=timeout, health=health or "")
    if state == "absent":
        binding.apply(None, None)
        return {"listens": _listens(unit), "proven": None}
    want, name = _checked(environment, argument, value)
    binding.usable()
    shared = {port: listening.serves_more(port, [*urls, *([health] if health else [])])
              for port in ports if not block_service_port and _beyond_loopback(unit, port)}
    shared = {port: evidence for port, evidence in shared.items() if evidence}
    if shared:
        raise BindError(_refusal(unit, shared))
    text = binding.environment(name, str(value)) if environment else binding.argument(name, str(value))
    proven = binding.apply(text, proof_of(unit, want, ports, path))
    return {"listens": _listens(unit), "proven": proven or None}


def told_by(environment: Optional[str], argument: Optional[str]) -> str:
    """The name of the variable or argument. ValueError unless there is exactly one of both, and it is one."""
    if bool(environment) == bool(argument):
        raise ValueError("environment, argument: exactly one of both says how the service is told where pprof listens")
    if environment and not _VARIABLE.match(environment):
        raise ValueError("environment: %r is not the name of a variable" % environment)
    if argument and not _ARGUMENT.match(argument):
        raise ValueError("argument: %r is not an argument such as --debug-addr" % argument)
    return str(environment or argument)


def _checked(environment: Optional[str], argument: Optional[str], value: Optional[str]) -> Tuple[Wanted, str]:
    name = told_by(environment, argument)
    try:
        return wanted(value), name
    except ValueError as exc:
        raise ValueError("value: %s" % exc) from None


def _beyond_loopback(unit: str, port: int) -> bool:
    return any(one.port == port and not is_local({"proto": one.proto, "address": one.address}) for one in listening.of_unit(unit))


def _listens(unit: str) -> List[str]:
    return [listening.shown(one) for one in listening.of_unit(unit)]


def _refusal(unit: str, shared: Mapping[int, Sequence[str]]) -> str:
    said = "; ".join("port %d of %s also serves something besides /debug (%s)" % (port, unit, ", ".join(evidence))
                     for port, evidence in sorted(shared.items()))
    return ("%s: on loopback nobody else would reach that. Let pprof listen on a port of its own, or set "
            "pprof_guard_block_service_port: true (option block_service_port) if that is meant" % said)
