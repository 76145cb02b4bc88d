# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every collector stands on: a context that can point at a fake root, commands with a deadline, parts that fail
alone, and a document that stays within bounds.

A collector is a module ``collect/<subset>.py`` with ``PARTS``: pairs of a key and a function ``(Context) -> JSON value``,
or triples with the part's own deadline in seconds. :func:`gather` runs the subsets side by side; a part that raises or
hangs costs its own key and one entry in ``errors``.
"""
from __future__ import annotations

import copy
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Union

FACTS_VERSION = "1.0"
#: The share of the whole deadline that one part may take where it does not say so itself. One part that hangs must
#: leave time for those behind it and for a subset that waits for its own.
PART_SHARE = 0.5
#: Between SIGTERM and SIGKILL: a login shell that a version manager has taken a lock in can give it back.
TERM_SECONDS = 0.5
#: What a part is given beyond its deadline to hand in what it has. A command is asked to end *at* the deadline.
GRACE = TERM_SECONDS + 0.25
#: The most a host may send back, as JSON. A controller holds the answers of many hosts at a time.
DOCUMENT_LIMIT = 8 << 20
ERRORS_LIMIT = 1000
#: Deeper nesting than any collector makes: a value that contains itself.
DEPTH_LIMIT = 64
#: An emulated host takes this many times as long.
EMULATED = 6


class Unavailable(Exception):
    """The host has no such thing (a file, a command): the value is unknown, and nothing is broken."""


class Budget:
    """The seconds that everything which tries something on a host has together, from the first question on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._begin: Optional[float] = None
        self._lock = threading.Lock()

    def spent(self) -> float:
        """Seconds since the first question; that is when the time begins to run."""
        with self._lock:
            if self._begin is None:
                self._begin = time.monotonic()
            return time.monotonic() - self._begin

    def remaining(self) -> float:
        return max(0.0, self.seconds - self.spent())

    @property
    def words(self) -> str:
        """Why something was not tried any more."""
        return "the budget of %g s (preflight_budget) was used up" % self.seconds

    def error(self) -> Dict[str, str]:
        """:attr:`words` as the ``error`` of an entry."""
        return {"kind": "budget", "message": self.words}


class Context:
    """What a collector may use. ``root`` is prefixed to every absolute path it reads, so that a test can give a
    recorded tree; ``run`` is replaced in tests as well. Every part gets a copy whose ``deadline`` is its own."""

    def __init__(self, *, root: str = "/", services: Sequence[Mapping[str, Any]] = (), timeout: float = 20.0,
                 toolchain: str = "optional", build_user: str = "", probes: Sequence[Mapping[str, Any]] = (),
                 runtime: Optional[Mapping[str, Any]] = None, credentials: Sequence[Mapping[str, Any]] = (),
                 extra: Optional[Mapping[str, float]] = None, active: Optional[Mapping[str, Any]] = None) -> None:
        self.root = root
        self.services = list(services)
        self.toolchain = toolchain
        self.build_user = build_user
        self.probes = list(probes)
        self.runtime = dict(runtime or {})
        self.credentials = list(credentials)
        self.timeout = timeout
        self.active = dict(active or {})  # how far the host may be tried, see docs/facts.md
        self.factor = 1  # how many times as long this host may take, see slow_down()
        self.budget = Budget(float(self.active.get("budget", 60)))
        self.extra = dict(extra or {})  # seconds that a subset may take beyond the deadline of all the others
        self.deadline = time.monotonic() + timeout
        self.shared: Dict[str, Any] = {}  # what one part leaves for another (the process table, the subsets' results)
        self.errors: List[Dict[str, str]] = []  # what parts report beside their value, see note()
        self._processes: Set[int] = set()  # sessions of commands that run, see kill_commands()

    def until(self, deadline: float, subset: str = "") -> Context:
        """This context with an earlier deadline; everything else is shared."""
        part = copy.copy(self)
        part.deadline = min(self.deadline_of(subset), deadline)
        return part

    def slow_down(self, factor: int) -> None:
        """Allow this host ``factor`` times as long: its programs run on translated instructions."""
        self.factor = factor
        self.budget = Budget(self.budget.seconds * factor)

    def deadline_of(self, subset: str) -> float:
        """When a subset has to have ended."""
        return self.deadline + self.extra.get(subset, 0.0)

    def note(self, part: str, exc: BaseException, where: str = "") -> None:
        """Put a failure into the document's ``errors`` that costs a part one entry (``where``), not all of its value."""
        entry = error_entry(part, exc)
        if where:
            entry["message"] = printable("%s: %s" % (where, entry["message"]))[:500]
        self.errors.append(entry)

    def path(self, path: str) -> str:
        """The absolute path ``path`` below the root."""
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    def read(self, path: str, limit: int = 1 << 20) -> str:
        """Text of a file, at most ``limit`` bytes; undecodable bytes are replaced. OSError as open() raises it."""
        return self.read_bytes(path, limit).decode("utf-8", "replace")

    def read_bytes(self, path: str, limit: int = 1 << 20) -> bytes:
        with open(self.path(path), "rb") as handle:
            return handle.read(limit)

    def remaining(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def run(self, argv: Sequence[str], *, timeout: float = 5.0, env: Optional[Mapping[str, str]] = None,
            cwd: str = "/", limit: int = 4 << 20, truncate: bool = False) -> Tuple[int, str, str]:
        """(rc, stdout, stderr) of a command: no standard input, C locale, ended with all its children at the deadline.

        rc is negative where a signal ended it. Raises Unavailable where there is no such command, TimeoutError where it
        did not end in time, and ValueError where it printed more than ``limit`` bytes (unless ``truncate``).
        """
        timeout = min(timeout, self.remaining())
        if timeout <= 0:
            raise TimeoutError("%s was not started: no time was left" % argv[0])
        environment = dict(os.environ if env is None else env, LC_ALL="C", LANG="C")
        if env is None:
            # A plain user's PATH has no sbin, where half of what describes a host lives.
            environment["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
        try:
            process = subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, cwd=cwd, env=environment, start_new_session=True)
        except FileNotFoundError as exc:
            if exc.filename == cwd:
                raise
            raise Unavailable("%s is not installed" % argv[0]) from None
        self._processes.add(process.pid)
        try:
            out, err, cut = _communicate(process, time.monotonic() + timeout, limit)
        except TimeoutError:
            raise TimeoutError("%s did not end within %.1f s" % (argv[0], timeout)) from None
        finally:
            self._processes.discard(process.pid)
        if cut and not truncate:
            raise ValueError("%s printed more than %d bytes" % (argv[0], limit))
        return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def kill_commands(self) -> None:
        """End every command that still runs: the module leaves nothing behind on the host."""
        _end_sessions(list(self._processes))


def _communicate(process: subprocess.Popen[bytes], end: float, limit: int) -> Tuple[bytes, bytes, bool]:
    """Both outputs, each cut at ``limit``, and whether one was cut. TimeoutError at ``end``; the process is gone either way.

    Unlike Popen.communicate() this holds no more than ``limit`` of what a runaway command prints, and does not wait for
    a background child that keeps the pipe open after the command itself has ended.
    """
    pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
    kept: Dict[int, bytearray] = {pipe.fileno(): bytearray() for pipe in pipes}
    cut = False
    try:
        with selectors.DefaultSelector() as selector:
            for descriptor in kept:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError()
                ready = selector.select(min(left, 0.1))
                if not ready and process.poll() is not None:
                    break
                for key, _events in ready:
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        selector.unregister(key.fd)
                    room = limit - len(kept[key.fd])
                    cut = cut or len(chunk) > room
                    kept[key.fd] += chunk[:max(0, room)]
        try:
            process.wait(max(0.01, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise TimeoutError() from None
    finally:
        if process.returncode is None:
            _end_sessions([process.pid], process)
            try:
                process.wait((GRACE - TERM_SECONDS) / 2)
            except subprocess.TimeoutExpired:
                pass  # it hangs in the kernel (a dead NFS server); init inherits it when the module ends
        out, err = (bytes(kept[pipe.fileno()]) for pipe in pipes)
        for pipe in pipes:
            pipe.close()
    return out, err, cut


def _end_sessions(pids: Sequence[int], leader: Optional[subprocess.Popen[bytes]] = None) -> None:
    """SIGTERM, and SIGKILL for what is left after TERM_SECONDS.

    A group lasts as long as anything of it, also as an ended ``leader`` that nobody has waited for.
    """
    left = [pid for pid in pids if _signal_session(pid, signal.SIGTERM)]
    end = time.monotonic() + TERM_SECONDS
    while left and time.monotonic() < end:
        time.sleep(0.01)
        if leader is not None:
            leader.poll()
        left = [pid for pid in left if _signal_session(pid, 0)]
    for pid in left:
        _signal_session(pid, signal.SIGKILL)


def _signal_session(pid: int, number: int) -> bool:
    """Whether there is still something to be told: start_new_session made the command the leader of its own group."""
    try:
        os.killpg(pid, number)
    except PermissionError:
        return True  # of another user, as everything that sudo runs
    except OSError:
        return False
    return True


def error_entry(part: str, exc: BaseException) -> Dict[str, str]:
    """One entry of ``errors``: the kind tells the engine whether the evidence is missing or the collector broke."""
    if isinstance(exc, PermissionError):
        kind = "permission"
    elif isinstance(exc, (Unavailable, FileNotFoundError)):
        kind = "unavailable"
    elif isinstance(exc, (TimeoutError, subprocess.TimeoutExpired)) or type(exc).__name__ == "timeout":
        kind = "timeout"  # socket.timeout became TimeoutError in Python 3.10
    else:
        kind = "exception"
    message = str(exc) if isinstance(exc, (OSError, Unavailable, ValueError)) else "%s: %s" % (type(exc).__name__, exc)
    return {"part": part, "kind": kind, "message": printable(message or type(exc).__name__)[:500]}


PartFunction = Callable[[Context], Any]
Part = Union[Tuple[str, PartFunction], Tuple[str, PartFunction, float]]


class _Subset:
    """One subset on its way through its parts. Only touched under the lock of :func:`gather`."""

    def __init__(self, name: str, parts: Sequence[Part]) -> None:
        self.name = name
        self.queue: List[Part] = list(parts)
        self.facts: Dict[str, Any] = {}
        self.part = ""  # the dotted path that is being collected
        self.deadline = 0.0  # of that part
        self.turn = 0  # grows when a thread is given up on: what it brings later is not taken
        self.started: Optional[float] = None
        self.ended: Optional[float] = None


def gather(subsets: Mapping[str, Sequence[Part]], context: Context,
           after: Optional[Mapping[str, Sequence[str]]] = None) -> Dict[str, Any]:
    """Run the parts of every subset, the subsets side by side, until the context's deadline (and a subset's ``extra``).

    ``after`` names for a subset those it waits for, where they are wanted (pprof needs the listeners of services). Returns
    ``{subset: {key: value}, "errors": [...], "timings": {subset: ms}}``, where every key of a part that did not give its value is named in
    ``errors``. A part that passes its deadline costs its own value: another thread goes on with the parts behind it. The
    threads are daemons, so a process whose part hangs ends all the same.
    """
    changed = threading.Condition()
    states = {name: _Subset(name, parts) for name, parts in subsets.items()}
    errors: List[Dict[str, str]] = []

    def work(state: _Subset, turn: int) -> None:
        while True:
            with changed:
                changed.notify()  # there is a new deadline to watch, or an end
                if state.turn != turn:
                    return
                if not state.queue:
                    state.part, state.ended = "", time.monotonic()
                    return
                entry = state.queue.pop(0)
                seconds = entry[2] if len(entry) == 3 else context.timeout * PART_SHARE
                mine = context.until(time.monotonic() + seconds, state.name)
                part = state.part = "%s.%s" % (state.name, entry[0])
                state.deadline = mine.deadline
            failure: Optional[Dict[str, str]] = None
            value: Any = None
            try:
                value = as_json(entry[1](mine))
            except BaseException as exc:  # noqa: BLE001 - a part that breaks leaves the others whole: one errors entry
                failure = error_entry(part, exc)
            with changed:
                if state.turn != turn:
                    return
                if failure is None:
                    state.facts[entry[0]] = value
                    context.shared[part] = value
                else:
                    errors.append(failure)

    def start(state: _Subset) -> None:
        # Its part's own deadline is set by the thread; until then it has the whole time.
        state.deadline = context.deadline_of(state.name)
        threading.Thread(target=work, args=(state, state.turn), daemon=True, name=state.name).start()

    def ready(state: _Subset) -> bool:
        before = [states[name] for name in (after or {}).get(state.name, ()) if name in states]
        return state.started is None and all(one.ended is not None for one in before)

    with changed:
        while True:
            now = time.monotonic()
            for state in states.values():
                if state.started is None or state.ended is not None or now < state.deadline + GRACE:
                    continue
                errors.append(_late(state.part or state.name, "the collector did not end in time"))
                state.turn += 1
                if state.queue and now < context.deadline_of(state.name):
                    start(state)
                else:
                    state.ended = now
            for state in states.values():
                if ready(state) and now < context.deadline_of(state.name):
                    state.started = now
                    start(state)
            running = [state for state in states.values() if state.started is not None and state.ended is None]
            if not running:
                break
            changed.wait(max(0.001, min(state.deadline for state in running) + GRACE - now))
        for state in states.values():
            state.turn += 1  # nothing is taken from here on
            errors.extend(_late("%s.%s" % (state.name, entry[0]), "not reached in time") for entry in state.queue)
        result: Dict[str, Any] = {name: dict(state.facts) for name, state in states.items()}
        result["errors"] = sorted(errors + list(context.errors), key=lambda entry: (entry["part"], entry["message"]))
        result["timings"] = {name: int((state.ended - state.started) * 1000) for name, state in states.items()
                             if state.started is not None and state.ended is not None}
    context.kill_commands()
    return result


def _late(part: str, message: str) -> Dict[str, str]:
    return {"part": part, "kind": "timeout", "message": message}


def printable(text: str) -> str:
    """The text without lone surrogates: what os.listdir() makes of undecodable names, and what no JSON may hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def as_json(value: Any) -> Any:
    """A value that JSON can hold: the value itself where it is one already, else a copy in plain types.

    Raises ValueError where it contains itself. A part whose value is no JSON must not cost the whole document.
    """
    try:
        if "\\ud" not in json.dumps(value, allow_nan=False):
            return value
    except (TypeError, ValueError, RecursionError):
        pass
    return _plain(value, 0)


def _plain(value: Any, depth: int) -> Any:
    if depth > DEPTH_LIMIT:
        raise ValueError("the value is nested deeper than %d levels or contains itself" % DEPTH_LIMIT)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON has neither infinity nor NaN
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {printable(str(key)): _plain(item, depth + 1) for key, item in list(value.items())}
    if isinstance(value, (set, frozenset)):
        return [_plain(item, depth + 1) for item in sorted(value, key=str)]
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in list(value)]
    return printable(str(value))


def fit(document: Dict[str, Any], limit: int = DOCUMENT_LIMIT) -> None:
    """Cut ``document`` in place until its JSON has at most ``limit`` bytes; every cut is an entry of its ``errors``.

    What is cut is the list (or text) that makes the document big: from the top down into the child that holds most of
    the bytes, until no child does. It loses its second half, as often as needed.
    """
    errors = document.setdefault("errors", [])
    if len(errors) > ERRORS_LIMIT:
        more = len(errors) - ERRORS_LIMIT
        del errors[ERRORS_LIMIT:]
        errors.append({"part": "errors", "kind": "truncated", "message": "%d more are left out" % more})
    cuts: Dict[str, Tuple[int, int]] = {}
    size, before = _size(document), -1
    while size > limit and size != before:
        path, container, key = _biggest(document)
        value = container[key]
        kept = len(value) // 2 if isinstance(value, (list, str)) else 0
        total = cuts[path][1] if path in cuts else len(value) if isinstance(value, (list, str, dict)) else 1
        container[key] = value[:kept] if isinstance(value, (list, str)) else None
        cuts[path] = (kept, total)
        size, before = _size(document), size
    for path, (kept, total) in sorted(cuts.items()):
        errors.append({
            "part": ".".join(path.split("[")[0].split(".")[:2]), "kind": "truncated",
            "message": "%s: kept %d of %d, the document would have passed %d bytes" % (path[:300], kept, total, limit),
        })


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _children(value: Any) -> Iterator[Tuple[Any, Any]]:
    return iter(value.items()) if isinstance(value, dict) else iter(enumerate(value))


def _biggest(document: Dict[str, Any]) -> Tuple[str, Any, Any]:
    """The dotted path of what is to be cut, its container and its key there."""
    # The errors say what is missing: they are the last thing to lose.
    key: Any = max((name for name in document if name != "errors"), key=lambda name: _size(document[name]), default="errors")
    path: str = str(key)
    container: Any = document
    while True:
        value = container[key]
        if not isinstance(value, (list, dict)) or not value:
            return path, container, key
        inner, size = max(((step, _size(item)) for step, item in _children(value)), key=lambda pair: pair[1])
        if isinstance(value, list) and len(value) > 1 and size * 2 < _size(value):
            return path, container, key
        if not isinstance(value[inner], (list, dict, str)) or size < 64:
            return path, container, key
        path += "[%d]" % inner if isinstance(value, list) else "." + str(inner)
        container, key = value, inner


def document(subsets: Mapping[str, Sequence[Part]], context: Context,
             after: Optional[Mapping[str, Sequence[str]]] = None) -> Dict[str, Any]:
    """The facts document of docs/facts.md: what :func:`gather` brings, when and by whom it was collected, within bounds."""
    import datetime
    import platform
    import pwd

    started = time.monotonic()
    at = datetime.datetime.now(datetime.timezone.utc)
    facts = gather(subsets, context, after)
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run as a number without a name
        user = str(uid)
    facts["facts_version"] = FACTS_VERSION
    facts["collected"] = {
        "at": at.isoformat(timespec="seconds"), "duration_ms": int((time.monotonic() - started) * 1000), "subsets": list(subsets),
        "uid": uid, "user": user, "privileged": uid == 0, "hostname": os.uname().nodename,
        "python": platform.python_version(),
    }
    fit(facts)
    return facts
