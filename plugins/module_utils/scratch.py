# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private temporary folder in which go is tried on somebody's host, and of which nothing stays.

Public: :class:`Folder`, :class:`Result`, :class:`Unusable`, :func:`account`. ::

    with scratch.Folder(context, user="ci", memory=1 << 30, disk=1 << 30) as folder:
        folder.write("work/go.mod", "module example.org/m\\n")
        result = folder.run(["/usr/local/go/bin/go", "build", "."], seconds=60.0)
        if result.rc == 0: ...

* The folder belongs to the user that builds and to nobody else (0700). Everything in it happens with that user's rights.
* HOME, TMPDIR and all that go keeps (GOCACHE, GOMODCACHE, GOPATH, GOTMPDIR, telemetry) lie in it; the network is off
  (GOPROXY=off), no other Go is loaded (GOTOOLCHAIN=local), no settings of anybody's apply (GOENV=off), until the caller says so.
* A command has a deadline and bounds: anonymous memory of all its processes together, size of the folder, size of one file.
  It has the lowest priority for CPU and disk, and is the first that goes when the host's memory runs out.
* The folder is removed at the end, also when the module is killed with SIGKILL; see ``scratch_watch.py``, which is what does
  all of this. What a power failure left is removed by the next run.

One folder belongs to one thread.
"""
from __future__ import annotations

import base64
import json
import os
import pwd
import re
import select
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.goready.preflight.plugins.module_utils import redact, scratch_watch
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, printable

#: Where a folder is looked for after the caller's own wishes, in this order.
BASES = ("/tmp", "/var/tmp")
#: What has to be free at the beginning: a cold build with its cache takes less, see docs/toolchain-in-action.md.
SPACE = 256 << 20
LINES = 15
LINE_LENGTH = 500
USER_PATH = "/usr/local/bin:/usr/bin:/bin"
NOBODY = 65534
#: Parallel steps of a build; each may take some 100 MB, so that a host with 64 CPUs must not do 64.
AT_ONCE = 4
#: Seconds that the watching process is given beyond a command's deadline.
GRACE = 10.0

# What says why, with much behind it: runtime/panic.go and runtime/cgo (every goroutine's trace), cmd/compile (another release's asm
# explains all its flags next).
_TELLING = re.compile(r"fatal error: |panic: |runtime/cgo: |compile: version .* does not match")

_START = """\
import os
def read(size):
    data = b""
    while len(data) < size:
        chunk = os.read(0, size - len(data))
        if not chunk:
            os._exit(0)
        data += chunk
    return data
exec(compile(read(int(read(8))), "goready-preflight-scratch", "exec"), {"__name__": "__main__"})
"""


class Unusable(Exception):
    """There is no folder to work in. ``error`` is {kind, message}; kind is one of unavailable (no such user or folder),
    permission, space (the file systems are full), room (they have less than is wanted), timeout, exception."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.error = {"kind": kind, "message": printable(message)[:500]}


class Result(NamedTuple):
    """What came of a command.

    ``rc`` is null where it did not come to its own end; negative where a signal ended it. ``output`` are the last lines of
    what it printed on both channels, ``stdout`` is the whole of the one (64 KiB at most, not redacted). ``error`` is null or
    {kind, message}; kind is one of timeout, memory, disk (a bound of the caller's), room (the file system has too little left
    for the others on it), unavailable (no such program), permission, budget (no time was left to begin), exception. ``memory``
    and ``size`` are peaks in bytes.
    """

    argv: List[str]
    rc: Optional[int]
    seconds: float
    output: List[str]
    stdout: str
    error: Optional[Dict[str, str]]
    memory: int
    size: int

    def as_dict(self) -> Dict[str, Any]:
        """One of ``steps`` of the facts."""
        return {"argv": list(self.argv), "rc": self.rc, "seconds": round(self.seconds, 2), "output": list(self.output),
                "error": self.error, "memory": self.memory}


def account(name: str = "") -> pwd.struct_passwd:
    """The passwd entry of ``name``, of who runs this where it is empty. Unusable where there is none; but a number may have no
    name: whom a container runs as, the owner of a tree from an archive."""
    try:
        return pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
    except KeyError:
        if name and not (name.isascii() and name.isdigit()):
            raise Unusable("unavailable", "there is no user %s" % name) from None
    uid, gid = (int(name), NOBODY) if name else (os.geteuid(), os.getegid())
    return pwd.struct_passwd((str(uid), "x", uid, gid, "", "/", "/bin/sh"))


def last_lines(text: str, lines: int = LINES) -> List[str]:
    """The last lines that say something, printable, without credentials, each of bounded length. Where Go says why and hundreds of
    lines more, that line comes first."""
    kept = [line.rstrip() for line in redact.redact_text(printable(text)).splitlines() if line.strip()]
    telling = next((line for line in kept[:-lines] if _TELLING.match(line)), None)
    kept = kept[-lines:] if telling is None else [telling, *kept[-lines:][1:]]
    return ["".join(char if char.isprintable() or char == "\t" else "?" for char in line)[:LINE_LENGTH] for line in kept]


class Folder:
    """See the module. ``user`` is a name (empty: who runs this). ``memory`` and ``disk`` are bounds in bytes, ``space`` is what
    must be free at the beginning. ``bases`` are folders to be tried before :data:`BASES`."""

    def __init__(self, context: Context, *, user: str = "", memory: int = 1 << 30, disk: int = 1 << 30, space: int = SPACE,
                 bases: Sequence[str] = ()) -> None:
        self.context = context
        self.user = account(user)
        self.memory = memory
        self.disk = disk
        self.space = min(space, disk)
        self.bases = [base for base in bases if base.startswith("/")] + [base for base in BASES if base not in bases]
        #: The folder's path, the folder that it lies in, whether that one lets nothing be executed (noexec).
        self.path = ""
        self.base = ""
        self.noexec = False
        #: Why the folder does not lie in one of the bases before: {base: {kind, message}}.
        self.passed_over: Dict[str, Dict[str, str]] = {}
        #: The most that the folder and a command took, in bytes.
        self.peak_bytes = 0
        self.peak_memory = 0
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._buffer = b""
        self._command = 0  # pid of what runs
        self._turn = 0  # number of the last request

    # --- begin and end ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Folder:
        try:
            answer = self._start()
        except BaseException:
            self._stop()
            raise
        self.path, self.base, self.noexec = str(answer["path"]), str(answer["base"]), bool(answer["noexec"])
        self.passed_over = {str(base): {"kind": str(kind), "message": str(text)} for base, kind, text in answer["passed_over"]}
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is None:
            return
        try:
            self._ask({"do": "end"}, GRACE)
        except Unusable:
            self._end_command()
            self._stop()
            self._sweep()
        else:
            self._stop()

    def _start(self) -> Dict[str, Any]:
        if os.geteuid() not in (0, self.user.pw_uid):
            raise Unusable("permission", "only root can build as the user %s" % self.user.pw_name)
        loader = getattr(scratch_watch, "__loader__", None)
        source = loader.get_source(scratch_watch.__name__) if loader is not None else None
        if not source:
            raise Unusable("exception", "the text of scratch_watch.py cannot be read")
        environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        try:
            # -I -S: nothing of the module's environment or of anybody's site-packages.
            self._process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _START], stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", env=environment,
                                             start_new_session=True)
        except OSError as exc:
            raise Unusable("exception", "%s: %s" % (sys.executable, exc.strerror)) from None
        data = source.encode("utf-8")
        name = self.user.pw_name if self.user.pw_name != str(self.user.pw_uid) else ""
        request = {"uid": self.user.pw_uid, "gid": self.user.pw_gid, "name": name, "bases": self.bases, "space": self.space,
                   "disk": self.disk, "memory": self.memory, "turn": self._turn}
        self._send(b"%08d" % len(data) + data + json.dumps(request).encode("utf-8") + b"\n")
        return self._answer(GRACE * max(1, self.context.factor))

    def _stop(self) -> None:
        """Close the pipes: that alone makes the watching process end what runs, remove the folder and go."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass  # it is gone already
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass  # it goes on removing without us; a file server does not answer

    def _end_command(self) -> None:
        """End the command whose watching process is gone."""
        if self._command:
            try:
                os.killpg(self._command, signal.SIGKILL)
            except OSError:
                pass

    def _sweep(self) -> None:
        """Remove the folder of a watching process that was killed: the next one finds it by itself."""
        other = Folder(self.context, user=self.user.pw_name, space=0, bases=[self.base] if self.base else [])
        try:
            with other:
                pass
        except Unusable:
            pass  # the next run does it

    # --- what can be done in it -------------------------------------------------------------------------------------------

    def write(self, name: str, text: str) -> None:
        """Make a file; ``name`` is relative to the folder (``work/main.go``). Unusable where that cannot be."""
        self._ask({"do": "write", "name": name, "text": text}, GRACE)

    def read(self, name: str, limit: int = 1 << 20) -> bytes:
        """The first bytes of a regular file of the folder, read with the user's rights. Unusable where that cannot be."""
        return base64.b64decode(self._ask({"do": "read", "name": name, "limit": limit}, GRACE)["data"])

    def run(self, argv: Sequence[str], *, seconds: float, env: Optional[Mapping[str, Optional[str]]] = None,
            cwd: str = "work") -> Result:
        """Run a command to its end or its first bound. ``env`` is added to :meth:`environment`, None takes a name out; ``cwd``
        is relative to the folder."""
        seconds = min(seconds, self.context.remaining())
        if seconds <= 0:
            return Result(list(argv), None, 0.0, [], "", {"kind": "budget", "message": "no time was left to begin"}, 0, 0)
        environment = self.environment()
        for name, value in (env or {}).items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        begin = time.monotonic()
        try:
            answer = self._ask({"do": "run", "argv": list(argv), "env": environment, "cwd": os.path.join(self.path, cwd),
                                "seconds": seconds}, seconds + GRACE)
        except Unusable as exc:
            return Result(list(argv), None, time.monotonic() - begin, [], "", exc.error, 0, 0)
        finally:
            self._command = 0
        self.peak_bytes = max(self.peak_bytes, int(answer.get("bytes") or 0))
        self.peak_memory = max(self.peak_memory, int(answer.get("memory") or 0))
        return Result(
            argv=[redact.redact_text(printable(word)) for word in argv], rc=answer["rc"], seconds=float(answer["seconds"]),
            output=last_lines(str(answer.get("tail") or "")), stdout=str(answer.get("stdout") or ""), error=answer["error"],
            memory=int(answer.get("memory") or 0), size=int(answer.get("bytes") or 0))

    def environment(self) -> Dict[str, str]:
        """The whole environment of a command: nothing of the module's own is in it."""
        own = {
            # Where things are kept.
            "HOME": "home", "TMPDIR": "tmp", "GOTMPDIR": "tmp", "GOCACHE": "cache", "GOMODCACHE": "modcache", "GOPATH": "gopath",
            "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "home/.cache", "XDG_DATA_HOME": "home/.local/share",
        }
        environment = {name: os.path.join(self.path, place) for name, place in own.items()}
        environment.update({
            "USER": self.user.pw_name, "LOGNAME": self.user.pw_name, "PATH": USER_PATH, "LC_ALL": "C", "LANG": "C", "TERM": "dumb",
            # Nothing from the network, no other Go, nobody's settings.
            "GOENV": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "GO111MODULE": "on", "GOPROXY": "off",
            "GOSUMDB": "off", "GONOSUMDB": "", "GOPRIVATE": "", "GONOPROXY": "", "GOVCS": "*:off", "GIT_TERMINAL_PROMPT": "0",
            # The compiler's processes stay within the bound together; the last part is for the garbage that they leave. They are
            # short: to collect it costs a third of their time, and most of them end before there is much.
            "GOMAXPROCS": str(max(1, min(AT_ONCE, os.cpu_count() or 1))), "GOMEMLIMIT": str(self.memory * 3 // 4 // AT_ONCE),
            "GOGC": "800",
        })
        return environment

    # --- the conversation -------------------------------------------------------------------------------------------------

    def _ask(self, request: Dict[str, Any], seconds: float) -> Dict[str, Any]:
        if self._process is None:
            raise Unusable("exception", "the folder is closed")
        self._turn += 1
        self._send(json.dumps(dict(request, turn=self._turn)).encode("utf-8") + b"\n")
        return self._answer(seconds)

    def _send(self, data: bytes) -> None:
        pipe = self._process.stdin if self._process is not None else None
        if pipe is None:
            raise Unusable("exception", "the folder is closed")
        try:
            pipe.write(data)
            pipe.flush()
        except OSError as exc:
            raise Unusable("exception", "the process that watches the folder is gone: %s" % exc.strerror) from None

    def _answer(self, seconds: float) -> Dict[str, Any]:
        """What the watching process answers to the last request. Passed over are the lines that only tell which process runs,
        and answers that came too late."""
        end = time.monotonic() + seconds
        while True:
            while b"\n" not in self._buffer:
                self._buffer += self._chunk(end)
            line, self._buffer = self._buffer.split(b"\n", maxsplit=1)
            answer: Dict[str, Any] = json.loads(line)
            if answer["turn"] != self._turn:
                continue
            if "pid" in answer:
                self._command = int(answer["pid"])
                continue
            # A command's own error is part of its result, which has a status beside it.
            if answer.get("error") and "rc" not in answer:
                raise Unusable(str(answer["error"]["kind"]), str(answer["error"]["message"]))
            return answer

    def _chunk(self, end: float) -> bytes:
        pipe = self._process.stdout if self._process is not None else None
        if pipe is None:
            raise Unusable("exception", "the folder is closed")
        left = end - time.monotonic()
        # poll() and not select(): a module may have more than 1024 descriptors open.
        poll = select.poll()
        poll.register(pipe.fileno(), select.POLLIN)
        if left <= 0 or not poll.poll(left * 1000):
            raise Unusable("timeout", "the process that watches the folder does not answer")
        chunk = os.read(pipe.fileno(), 1 << 16)
        if not chunk:
            raise Unusable("exception", "the process that watches the folder is gone")
        return chunk
