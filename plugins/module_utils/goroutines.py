# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the goroutines of a process do, from the three forms in which Go tells it, as groups of equal stacks.

Public: :class:`Frame`, :class:`Group`, :class:`TextProfile`, :class:`Dump`, :class:`DumpParser`, :class:`GoroutineError`,
:func:`from_profile` (``goroutine`` and ``goroutineleak``, debug=0), :func:`parse_text` (debug=1), :func:`parse_dump`
(debug=2), :func:`fingerprint`, :func:`origin`, :func:`package`, :func:`short`, :func:`class_of_wait`,
:func:`visible`. Standard library only.

The forms show different parts of one stack (runtime/pprof/pprof.go, runtime/traceback.go, Go 1.21 to 1.27):

* debug=0 has every frame, those of the runtime too: what a goroutine blocks on can be read from them. It holds the leaf 32
  return addresses up to Go 1.22, 128 since (runtime/mprof.go).
* debug=1 hides the runtime's frames at the leaf (printStackRecord). A send cannot be told from a receive: class ``other``.
* debug=2 hides the runtime's frames everywhere but exported functions (showfuncinfo), names C without a package, and shows
  the leaf 50 and the root 50 frames. Only it has ids, ages, wait reasons and creators. The text of a crash has the same form;
  with GOTRACEBACK=system it shows all: the frames of the runtime, wrappers and the runtime's own goroutines (debug=2 never
  does: runtime/mprof.go Stack overrides it).

So the fingerprint is made of what all three have: the first :data:`FINGERPRINTED` frames from the leaf that are neither the
runtime's nor a wrapper. It does not depend on the number of goroutines, on ids, arguments, offsets, ages or labels. It is
not comparable between two builds: names of closures and lines differ.

``goroutineleak`` (Go 1.26 with GOEXPERIMENT=goroutineleakprofile, 1.27): debug=0 and debug=1 list the leaked goroutines only
(runtime/mprof.go goroutineLeakProfileWithLabelsConcurrent skips every other status than _Gleaked), so that the whole profile
counts; debug=2 lists all, the leaked ones marked.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import profile as profiles

CLASSES = ("chan_send", "chan_receive", "select", "lock", "cond", "wait_group", "io", "sleep", "timer", "syscall", "running",
           "runtime", "other")
ORIGINS = ("own", "dependency", "std", "runtime")

#: Frames in a fingerprint. Go 1.21 and 1.22 keep 32 return addresses of a goroutine (runtime/mprof.go StackRecord), of which
#: the runtime has some six at the leaf; debug=2 shows 50 from the leaf. 24 are in every form of every version.
FINGERPRINTED = 24
SHOWN = 40  # frames kept of a group
#: The runtime gives up at a buffer of this size (runtime/pprof/pprof.go writeGoroutineStacks): so long a dump is cut.
RUNTIME_LIMIT = 64 << 20

MAX_GROUPS = 10_000
MAX_IDS = 200_000
MAX_TEXT = 8 << 20  # characters of all names and files of one result
MAX_NAME = 4096     # bytes of one line of a stack that are looked at
MAX_LINES = 5_000   # lines of one goroutine's text that are looked at: Go prints 100 frames, 203 lines
MAX_BLOCK = 1 << 20
MAX_REASONS = 32    # different wait reasons of one group

_PIECE = 1 << 18
_LOOKED_FOR = 1 << 20   # so much without any goroutine is no dump
_CACHED = 4096
_CACHED_BYTES = 8 << 20

KINDS = ("empty", "not_goroutines", "garbage", "too_big")


class GoroutineError(ValueError):
    """Text that is no goroutine profile. ``kind`` is one of :data:`KINDS`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Frame(NamedTuple):
    """One call and whose code it is. ``line`` is 0 where it is not known."""

    function: str
    file: str
    line: int
    origin: str


@dataclass
class Group:
    """Goroutines with equal stacks. ``cls`` is one of :data:`CLASSES`, of most of them where they differ.

    ``frames`` are leaf first, at most :data:`SHOWN`, without the runtime's; where a stack has no other, they are the
    runtime's. ``created_by`` is the call of ``go``: only a dump has it. ``wait`` is the wait reason of most; from a profile
    only what its lines tell for sure: ``chan send (nil chan)``, ``chan receive (nil chan)``, ``select (no cases)``.
    """

    fingerprint: str
    cls: str
    frames: Tuple[Frame, ...]
    created_by: Optional[Frame]
    wait: Optional[str]
    count: int

    def facts(self) -> Dict[str, Any]:
        """The entry of ``runtime.endpoints[].groups``."""
        return {
            "class": self.cls,
            "frames": [list(frame) for frame in self.frames],
            "created_by": list(self.created_by) if self.created_by else None,
            "wait": self.wait,
        }

    @property
    def own(self) -> Optional[Frame]:
        """The first frame of the program's own code, from the leaf."""
        for frame in self.frames:
            if frame.origin == "own":
                return frame
        return None

    @property
    def profiler(self) -> bool:
        """Whether it is the goroutine that makes this very profile: each form catches it at another line."""
        return any(frame.function in _PROFILERS for frame in self.frames[:4])


@dataclass
class TextProfile:
    """debug=1. ``name`` is ``goroutine`` or ``goroutineleak``; ``total`` what its first line says. ``complete`` is false where
    the groups do not sum up to it."""

    name: str
    total: int
    groups: List[Group]
    complete: bool
    left_out: int = 0


@dataclass
class Dump:
    """debug=2. ``groups`` by count, ``total`` goroutines, and by fingerprint: their ``ids`` (:data:`MAX_IDS` of all), the
    highest age in ``minutes``, their wait reasons, how many are ``leaked`` (what an earlier goroutineleak request found: these
    have no age), ``locked`` to a thread, in a synctest ``bubble``, durably blocked in one.

    An age counts from the GC *before* the first one that found the goroutine blocked (runtime/mgcmark.go markroot takes
    work.tstart, which mgc.go gcMark sets when the marking is over): it may be too high by the time between two collections,
    two minutes at most. None where none was shown: less than a minute, no second GC yet, or not blocked.

    ``complete`` is false where text is missing or not understood, for the reason ``why``; ``left_out`` counts the goroutines
    of groups over the bounds, ``elided`` those with a stack of more than 100 frames.
    """

    groups: List[Group] = field(default_factory=list)
    total: int = 0
    complete: bool = True
    why: Optional[str] = None
    ids: Dict[str, List[int]] = field(default_factory=dict)
    minutes: Dict[str, Optional[int]] = field(default_factory=dict)
    waits: Dict[str, Dict[str, int]] = field(default_factory=dict)
    leaked: Dict[str, int] = field(default_factory=dict)
    locked: Dict[str, int] = field(default_factory=dict)
    bubble: Dict[str, int] = field(default_factory=dict)
    durable: Dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    elided: int = 0
    size: int = 0


# ------------------------------------------------------------------------------------------------------------ whose code

_ESCAPED = re.compile(r"%([0-9a-f]{2})")
_RUNTIME = ("runtime.", "internal/runtime/", "runtime/internal/")
_BRACKET = re.compile(r"[\[\]]")
_WRAPPER = re.compile(r"\.(?:gowrap|deferwrap)\d+$|-fm$")
_PROFILERS = frozenset((
    "runtime/pprof.writeGoroutineStacks", "runtime/pprof.writeRuntimeProfile", "runtime/pprof.runtime_goroutineProfileWithLabels",
    "runtime/pprof.pprof_goroutineProfileWithLabels", "runtime/pprof.writeGoroutine", "runtime/pprof.writeGoroutineLeak",
))


def package(function: str) -> str:
    """The import path of a function's package: ``gopkg.in/yaml.v3`` of ``gopkg.in/yaml%2ev3.(*Decoder).Decode``.

    Type arguments may hold paths of their own: what follows ``[`` does not count. The linker escapes dots in the last element
    of a path (cmd/internal/objabi path.go PathToPrefix). "" of a name without a package (C, assembly).
    """
    name = function.split("[", 1)[0]
    slash = name.rfind("/")
    dot = name.find(".", slash + 1)
    if dot < 0:
        return ""
    path = name[:dot]
    if "%" in path:
        path = _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), path)
    return path


def origin(function: str, module: Optional[str]) -> str:
    """Whose code a function is, one of :data:`ORIGINS`. ``module`` is the path of the binary's main module, None where it is
    not known: then only package main is known to be own code.

    The standard library's own copies (``vendor/golang.org/x/net/...``) are std; a ``vendor`` folder of the program
    (``example.org/api/vendor/github.com/x``, GOPATH mode only: with modules a vendored package keeps its path) is a dependency.
    """
    path = package(function)
    if not path or path == "runtime" or path.startswith(("internal/runtime/", "runtime/internal/", "runtime/cgo")):
        return "runtime"
    if path == "main":
        return "own"
    vendored = path.rfind("/vendor/")
    if vendored >= 0:
        return "dependency"
    if module and (path == module or (path.startswith(module) and path[len(module)] in "/_")):
        return "own"
    return "dependency" if "." in path.split("/", 1)[0] else "std"


def short(function: str) -> str:
    """A function's name as Go prints it, without type arguments: ``main.(*box[...]).wait`` of ``main.(*box[go.shape.int]).wait``.

    debug=1 and debug=2 have it so, debug=0 the whole (runtime/symtab.go funcNameForPrint; runtime/pprof/proto.go). A generic
    method of a generic type (Go 1.27) has two lists of them, ``main.(*box[...]).put[...]``.
    """
    first = function.find("[", 1)
    if first < 0:
        return function
    pieces: List[str] = []
    depth = begin = 0
    for match in _BRACKET.finditer(function, first):
        if match.group() == "[":
            if not depth:
                pieces.append(function[begin:match.start()])
            depth += 1
        elif depth:
            depth -= 1
            begin = match.end()
    return "[...]".join([*pieces, function[begin:]]) if not depth else function


def visible(function: str, file: str) -> bool:
    """Whether all three forms show a frame: not the runtime's, not C or a panic (no package), not a wrapper that the compiler
    made (hidden unless GOTRACEBACK=system: runtime/traceback.go showfuncinfo, tracebackPCs)."""
    return ("." in function and not function.startswith(_RUNTIME) and function[0] != "[" and file != "<autogenerated>"
            and not _WRAPPER.search(function))


def fingerprint(frames: Iterable[Sequence[Any]]) -> str:
    """16 hexadecimal digits of a stack, leaf first; each frame begins with function, file and line."""
    lines: List[str] = []
    for frame in frames:
        function = frame[0]
        if visible(function, frame[1]):
            if "[" in function:
                # Up to Go 1.26 the text has one [...] from the first bracket to the last, in 1.27 one for each list: the line
                # tells the methods apart.
                function = "%s[...]%s" % (function[:function.find("[")], function[function.rfind("]") + 1:])
            lines.append("%s %s:%d" % (function, frame[1], frame[2]))
            if len(lines) == FINGERPRINTED:
                break
    return sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------- what it is blocked on

# runtime/runtime2.go waitReasonStrings and traceback.go gStatusStrings of Go 1.21 to 1.27, without "semacquire", "waiting" and
# "leaked": several things wait so, the stack tells which.
_WAITS = {
    "chan receive": "chan_receive", "chan receive (nil chan)": "chan_receive",
    "chan send": "chan_send", "chan send (nil chan)": "chan_send",
    "select": "select", "select (no cases)": "select",
    "sync.Mutex.Lock": "lock", "sync.RWMutex.RLock": "lock", "sync.RWMutex.Lock": "lock",
    "sync.Cond.Wait": "cond", "sync.WaitGroup.Wait": "wait_group", "IO wait": "io", "sleep": "sleep", "syscall": "syscall",
    "running": "running", "runnable": "running", "preempted": "running", "copystack": "running", "debug call": "running",
    "coroutine": "other", "synctest.Run": "other", "synctest.Wait": "other",
    "waiting for cgo callback": "runtime", "idle": "runtime", "dead": "runtime",
    "GC assist marking": "runtime", "GC assist wait": "runtime", "GC mark termination": "runtime", "GC scavenge wait": "runtime",
    "GC sweep wait": "runtime", "GC weak to strong wait": "runtime", "GC worker (active)": "runtime", "GC worker (idle)": "runtime",
    "GOMAXPROCS updater (idle)": "runtime", "cleanup wait": "runtime", "dumping heap": "runtime", "finalizer wait": "runtime",
    "flushing proc caches": "runtime", "force gc (idle)": "runtime", "garbage collection": "runtime",
    "garbage collection scan": "runtime", "page trace flush": "runtime", "panicwait": "runtime", "stopping the world": "runtime",
    "trace goroutine status": "runtime", "trace proc status": "runtime", "trace reader (blocked)": "runtime",
    "wait for GC cycle": "runtime",
}
_BY_STACK = frozenset(("semacquire", "waiting", "leaked", "???", ""))

# The runtime's functions at the leaf of a debug=0 stack, from the leaf on: the first that is known tells.
_PARKED = {
    "runtime.chansend": "chan_send", "runtime.chansend1": "chan_send", "runtime.chanrecv": "chan_receive",
    "runtime.chanrecv1": "chan_receive", "runtime.chanrecv2": "chan_receive", "runtime.selectgo": "select",
    "runtime.block": "select", "runtime.netpollblock": "io", "runtime.cgocall": "syscall", "runtime.asmcgocall": "syscall",
    "runtime.notetsleepg": "syscall", "runtime.entersyscallblock": "syscall", "runtime.coroswitch": "other",
    "runtime.coroswitch_m": "other", "runtime.gcAssistAlloc": "runtime", "runtime.gcParkAssist": "runtime",
    "runtime.stopTheWorld": "runtime", "runtime.stopTheWorldGC": "runtime", "runtime.GC": "runtime",
    "runtime.gcWaitOnMark": "runtime", "runtime.runfinq": "runtime", "runtime.runFinalizers": "runtime",
    "runtime.runCleanups": "runtime", "runtime.bgsweep": "runtime", "runtime.bgscavenge": "runtime",
    "runtime.forcegchelper": "runtime", "runtime.gcBgMarkWorker": "runtime",
}
_SWITCHES = frozenset(("runtime.coroswitch", "runtime.coroswitch_m", "runtime.corostart", "runtime.coroexit"))
_PARKS = frozenset(("runtime.gopark", "runtime.goparkunlock"))
# The first frame behind the runtime's.
_WAITING_IN = {
    "sync.runtime_SemacquireWaitGroup": "wait_group", "sync.runtime_SemacquireMutex": "lock",
    "internal/sync.runtime_SemacquireMutex": "lock", "sync.runtime_SemacquireRWMutex": "lock",
    "sync.runtime_SemacquireRWMutexR": "lock", "internal/poll.runtime_Semacquire": "lock", "sync.runtime_notifyListWait": "cond",
    "internal/poll.runtime_pollWait": "io", "time.Sleep": "sleep", "os/signal.signal_recv": "syscall",
    "reflect.chansend0": "chan_send", "reflect.chansend": "chan_send", "reflect.chanrecv": "chan_receive", "reflect.rselect": "select",
}
_SYSCALLS = ("syscall.Syscall", "syscall.RawSyscall", "syscall.rawSyscall", "syscall.syscall", "syscall.rawVforkSyscall",
             "syscall.runtime_", "internal/runtime/syscall.", "runtime/internal/syscall.")
# Lines of chan.go at which a nil channel parks, in Go 1.21 and 1.22, 1.23, 1.24, 1.25 to 1.27. An open channel parks some
# hundred lines further down.
_NIL_CHANNEL = {
    ("runtime.chansend", 165): "chan send (nil chan)", ("runtime.chansend", 176): "chan send (nil chan)",
    ("runtime.chansend", 181): "chan send (nil chan)", ("runtime.chanrecv", 469): "chan receive (nil chan)",
    ("runtime.chanrecv", 516): "chan receive (nil chan)", ("runtime.chanrecv", 533): "chan receive (nil chan)",
    ("runtime.chanrecv", 536): "chan receive (nil chan)",
}


def class_of_wait(reason: str, frames: Sequence[Sequence[Any]] = ()) -> str:
    """The class of a wait reason of a dump. The stack decides where several things wait under one reason: "semacquire" is a
    WaitGroup up to Go 1.23, a file's lock, or the runtime stopping the world. ``other`` of a reason that is not known."""
    known = _WAITS.get(reason)
    if known:
        return known
    if reason in _BY_STACK:
        return _by_stack(frames) or ("lock" if reason == "semacquire" else "other")
    return "other"


def _by_stack(frames: Sequence[Sequence[Any]]) -> Optional[str]:
    """What the frame nearest to the leaf tells of a parked goroutine, None where it tells nothing."""
    for number, frame in enumerate(frames):
        function = frame[0]
        if function.startswith("runtime."):
            known = _PARKED.get(function)
            if known:
                return known
            if function not in _PARKS and function[8:9].isupper():
                return "runtime"  # an exported function is shown in a dump: runtime.ReadMemStats waits for the world
            continue
        if function == "sync.runtime_Semacquire":
            behind = frames[number + 1][0] if number + 1 < len(frames) else ""
            return "wait_group" if behind == "sync.(*WaitGroup).Wait" else "lock"
        if function in _WAITING_IN:
            return _WAITING_IN[function]
        if function.startswith(_SYSCALLS) or "._Cfunc_" in function or "._C2func_" in function:
            return "syscall"
        return None
    return "runtime" if frames else None


def _class_of_stack(stack: Sequence[Sequence[Any]]) -> Tuple[str, Optional[str]]:
    """Class and wait reason of a stack of debug=0, which has the runtime's frames."""
    parked = bool(stack) and stack[0][0] in _PARKS
    wait = None
    for frame in stack[:4]:
        if frame[0] == "runtime.block":
            wait = "select (no cases)"
        wait = _NIL_CHANNEL.get((frame[0], frame[2]), wait) if frame[0].startswith("runtime.chan") else wait
        if not frame[0].startswith("runtime."):
            break
    known = _by_stack(stack)
    if known == "runtime" and not parked and not all(frame[0].startswith("runtime.") for frame in stack):
        known = None
    if known and (parked or known == "syscall" or stack[0][0] in _SWITCHES):
        return known, wait
    return ("other" if parked else "running"), None


# ------------------------------------------------------------------------------------------------------------- collecting

class _Names:
    """Frames as one object each, and the bound for all text."""

    def __init__(self, module: Optional[str]) -> None:
        self.module = module
        self.frames: Dict[Tuple[str, str, int], Frame] = {}
        self.origins: Dict[str, str] = {}
        self.texts: Dict[str, str] = {}
        self.size = 0

    def frame(self, function: str, file: str, line: int) -> Frame:
        key = (function, file, line)
        known = self.frames.get(key)
        if known is None:
            function, file = self._text(function), self._text(file)
            whose = self.origins.get(function)
            if whose is None:
                whose = self.origins[function] = origin(function, self.module)
            self.size += 250  # what the tuples and the entries of the tables cost
            known = self.frames[(function, file, line)] = Frame(function, file, line, whose)
        return known

    def _text(self, text: str) -> str:
        known = self.texts.get(text)
        if known is None:
            self.size += len(text)
            known = self.texts[text] = text
        return known

    @property
    def full(self) -> bool:
        return self.size > MAX_TEXT


class _Tally:
    """What is known of one group while it is counted."""

    __slots__ = ("count", "created", "fingerprint", "flags", "frames", "ids", "leaf", "minutes", "states")

    def __init__(self, mark: str, frames: Tuple[Frame, ...], leaf: Sequence[Any] = ()) -> None:
        self.leaf = leaf  # with the runtime's frames, where the text shows some
        self.fingerprint = mark
        self.frames = frames
        self.created: Dict[Any, int] = {}
        self.count = 0
        self.ids: List[int] = []
        self.states: Dict[Any, int] = {}  # by wait reason, or class and wait reason
        self.flags: Dict[str, int] = {}
        self.minutes: Optional[int] = None

    @staticmethod
    def add(counts: Dict[Any, int], key: Any, count: int) -> None:
        """Count a key, of too many different ones as the first of them: they are not worth more memory."""
        if key not in counts and len(counts) >= MAX_REASONS:
            key = next(iter(counts))
        counts[key] = counts.get(key, 0) + count


def _shown(stack: Sequence[Tuple[str, str, int]], names: _Names) -> Tuple[Frame, ...]:
    kept = [frame for frame in stack if visible(frame[0], frame[1])] or list(stack)
    return tuple(names.frame(short(frame[0]) if "[" in frame[0] else frame[0], frame[1], frame[2]) for frame in kept[:SHOWN])


def _most(counts: Dict[Any, int]) -> Any:
    """The key of the highest count, of equals the first by name: the result must not depend on the order of the text."""
    return min(counts, key=lambda key: (-counts[key], str(key)))


def _sorted(groups: Iterable[Group]) -> List[Group]:
    return sorted(groups, key=lambda group: (-group.count, group.fingerprint))


def from_profile(profile: profiles.Profile, module: Optional[str] = None, *, max_groups: int = MAX_GROUPS) -> List[Group]:
    """Groups of a ``goroutine`` or ``goroutineleak`` profile (debug=0), by count. Of equal stacks at different addresses, with
    different labels or different frames of the runtime, one group is made.

    Raises ValueError for another kind of profile.
    """
    index = -1
    for number, (name, unit) in enumerate(profile.sample_types):
        if name in ("goroutine", "goroutineleak") and unit == "count":
            index = number
    if index < 0:
        raise GoroutineError("not_goroutines", "a profile of %s counts no goroutines" % (
            ", ".join(name[:40] for name, unit in profile.sample_types[:8]) or "nothing"))
    names = _Names(module)
    tallies: Dict[str, _Tally] = {}
    marks: Dict[int, Tuple[str, Any]] = {}  # equal stacks are one object in a Profile
    for sample in profile.samples:
        known = marks.get(id(sample.stack))
        if known is None:
            known = marks[id(sample.stack)] = (fingerprint(sample.stack), _class_of_stack(sample.stack))
        mark, state = known
        tally = tallies.get(mark)
        if tally is None:
            if len(tallies) >= max_groups or names.full:
                continue
            tally = tallies[mark] = _Tally(mark, _shown(sample.stack, names))
        count = max(0, sample.values[index])
        tally.count += count
        tally.states[state] = tally.states.get(state, 0) + count
    return _sorted(Group(tally.fingerprint, _most(tally.states)[0], tally.frames, None, _most(tally.states)[1], tally.count)
                   for tally in tallies.values())


# ---------------------------------------------------------------------------------------------------------------- debug=1

_FIRST = re.compile(rb"(goroutine|goroutineleak) profile: total (\d{1,18})\s*$")
_RECORD = re.compile(rb"(\d{1,18}) @((?: 0x[0-9a-f]{1,16})*)\s*$")


def parse_text(data: bytes, module: Optional[str] = None, *, max_groups: int = MAX_GROUPS, limit: int = RUNTIME_LIMIT) -> TextProfile:
    """``goroutine?debug=1`` or ``goroutineleak?debug=1`` (runtime/pprof/pprof.go printCountProfile).

    Raises :class:`GoroutineError` where it is neither. What is cut or damaged further down gives ``complete`` false.
    """
    if not data:
        raise GoroutineError("empty", "the goroutine profile is empty")
    if len(data) > limit:
        raise GoroutineError("too_big", "the goroutine profile has %d bytes, over the limit of %d" % (len(data), limit))
    end = data.find(b"\n")
    head = data[:end if end >= 0 else len(data)][:200]
    first = _FIRST.match(head)
    if not first:
        raise GoroutineError("not_goroutines", "no goroutine profile: it begins with %s" % _quoted(head))
    names = _Names(module)
    tallies: Dict[str, _Tally] = {}
    seen = left_out = 0
    whole = data.endswith(b"\n") and end >= 0
    for count, stack in _records(data, end + 1 if end >= 0 else len(data)):
        if count is None:
            whole = False
            continue
        seen += count
        mark = fingerprint(stack)
        tally = tallies.get(mark)
        if tally is None:
            if len(tallies) >= max_groups or names.full:
                left_out += count
                continue
            tally = tallies[mark] = _Tally(mark, _shown(stack, names))
        tally.count += count
        state = _by_stack(stack) or "other"
        tally.states[state] = tally.states.get(state, 0) + count
    total = int(first.group(2))
    groups = _sorted(Group(tally.fingerprint, _most(tally.states), tally.frames, None, None, tally.count)
                     for tally in tallies.values())
    return TextProfile(first.group(1).decode(), total, groups, whole and seen == total, left_out)


def _records(data: bytes, at: int) -> Iterator[Tuple[Optional[int], List[Tuple[str, str, int]]]]:
    """Count and stack of each record; None for the count of what is none. The last may be cut: without a blank line behind
    it, it is left out."""
    count: Optional[int] = None
    stack: List[Tuple[str, str, int]] = []
    known: Dict[bytes, Optional[Tuple[str, str, int]]] = {}
    size = len(data)
    while at < size:
        end = data.find(b"\n", at)
        if end < 0:
            end = size
        line = data[at:min(end, at + MAX_NAME)]
        at = end + 1
        if not line.strip():
            if count is not None:
                yield count, stack
            count, stack = None, []
        elif line[:2] == b"#\t":
            if len(stack) >= MAX_LINES:
                continue
            if line not in known:
                if len(known) >= _CACHED:
                    known.clear()
                known[line] = _text_frame(line)
            frame = known[line]
            if frame is not None:
                stack.append(frame)
        elif line[:1] != b"#":  # "# labels: {...}" says nothing of the stack
            if count is not None:
                yield None, []
            # The addresses may be more than MAX_NAME: only what stands before them is wanted.
            record = _RECORD.match(line if len(line) < MAX_NAME else line[:line.rfind(b" 0x")])
            count, stack = (int(record.group(1)) if record else None), []
            if count is None:
                yield None, []
    if count is not None:
        yield None, []


def _text_frame(line: bytes) -> Optional[Tuple[str, str, int]]:
    """``#\\t0x4ad5f6\\tmain.f+0x25\\t\\t/src/main.go:12``; None of an address without a name."""
    fields = [part for part in line.split(b"\t") if part]
    if len(fields) < 4:
        return None
    function = fields[2]
    offset = function.rfind(b"+0x")
    file, _colon, number = fields[-1].rpartition(b":")
    return (_decoded(function[:offset] if offset > 0 else function), _decoded(file),
            int(number) if number.isdigit() and len(number) < 10 else 0)


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _quoted(text: bytes) -> str:
    return repr(_decoded(text.split(b"\n", 1)[0][:40]))


# ---------------------------------------------------------------------------------------------------------------- debug=2

_HEAD = b"goroutine "
_HEADER = re.compile(
    rb"goroutine (\d{1,20})(?: gp=\w+)?(?: m=\w+)?(?: mp=\w+)? "
    rb"\[([^\],]*)((?:, (?:\d{1,12} minutes|locked to thread|synctest bubble \d{1,20}))*)"
    rb"(?: labels:\{.*\})?\](?: \{.*\})?:$")
_MARKS = re.compile(rb"(?: \((?:leaked|scan|durable|synctest)\)| labels:\{.*\}?)+$")
_MINUTES = re.compile(rb", (\d{1,12}) minutes")
_PLACE = re.compile(rb"\t(.*):(\d{1,9})((?: (?:\+0x|fp=0x|sp=0x|pc=0x)[0-9a-f]{1,16})*) ?$")
_PARENT = b" in goroutine "
_startswith = bytes.startswith


class _State:
    """What the header says behind the id. Equal ones are one object: they are counted by identity, which is fast."""

    __slots__ = ("flags", "minutes", "reason")

    def __init__(self, reason: str, minutes: Optional[int], *flags: bool) -> None:
        self.reason = reason
        self.minutes = minutes
        self.flags = tuple(name for name, flag in zip(("leaked", "locked", "bubble", "durable"), flags) if flag)


class _Stack(NamedTuple):
    frames: List[Tuple[str, str, int]]
    created: Optional[Tuple[str, str, int]]
    elided: bool
    cut: bool  # ends with a function without its place


class _Variant:
    """A stack as it is written, and what was counted of it since it was met. ``beginnings`` are those of its parts, ``tally``
    is None where there is no room for another group."""

    __slots__ = ("beginnings", "counts", "created", "elided", "ids", "tally")

    def __init__(self, beginnings: List[bytes], tally: Optional[_Tally], created: Optional[Frame], elided: bool) -> None:
        self.beginnings = beginnings
        self.tally = tally
        self.created = created
        self.elided = elided
        self.counts: Dict[_State, int] = {}
        self.ids: List[bytes] = []


class DumpParser:
    """Reads a dump piece by piece in bounded memory: :meth:`feed` each, then :meth:`close`.

    Most goroutines of a dump that is worth reading have the stack of another one: only ids and arguments differ. So the text of
    a goroutine is split in front of its places, which makes parts such as ``/src/main.go:12 +0x1d\\nmain.work(0xc000012345)``:
    they begin as those of the stack that was met before, up to the parenthesis. Frames, fingerprint and group are made once
    for each different stack. A stack is looked for by its last place, where the goroutine was made, and its number of
    parts; when there are many such, by all its places.
    """

    def __init__(self, module: Optional[str] = None, *, max_groups: int = MAX_GROUPS, max_ids: int = MAX_IDS) -> None:
        self.max_groups, self.max_ids = max_groups, max_ids
        self._names = _Names(module)
        self._tallies: Dict[str, _Tally] = {}
        self._states: Dict[bytes, _State] = {}
        self._equal: Dict[Tuple[Any, ...], _State] = {}
        self._near: Dict[Tuple[bytes, int], List[_Variant]] = {}
        self._far: Dict[Tuple[bytes, ...], List[_Variant]] = {}
        self._variants: List[_Variant] = []
        self._cached = 0
        self._waiting: List[bytes] = []
        self._waiting_size = 0
        self._tail = b""
        self._skipping = False
        self._ids = 0
        self._begin: Optional[bytes] = None
        self.dump = Dump()

    def feed(self, chunk: bytes) -> None:
        """More text, of any size. Raises :class:`GoroutineError` as soon as it is clear that this is no dump."""
        if len(chunk) > _PIECE:
            view = memoryview(chunk)
            for at in range(0, len(chunk), _PIECE):
                self._feed(bytes(view[at:at + _PIECE]))
        elif chunk:
            self._feed(chunk)

    def _feed(self, chunk: bytes) -> None:
        self.dump.size += len(chunk)
        self._waiting.append(chunk)
        self._waiting_size += len(chunk)
        if self._waiting_size >= _PIECE >> 1 or len(self._waiting) >= _PIECE >> 4:
            self._work()

    def _work(self) -> None:
        text = self._tail + b"".join(self._waiting)
        self._waiting, self._waiting_size = [], 0
        if self._begin is None and text:
            self._begin = text[:200]
        blocks = text.split(b"\n\n")
        self._tail = blocks.pop()
        if self._skipping and blocks:
            del blocks[0]
            self._skipping = False
        self._blocks(blocks)
        if self._skipping or len(self._tail) > MAX_BLOCK:
            if not self._skipping:
                self._incomplete("a goroutine has more than %d bytes of text" % MAX_BLOCK)
            # The blank line that ends it may lie across two pieces.
            self._skipping, self._tail = True, self._tail[-1:]
        if not self.dump.total and self.dump.size > _LOOKED_FOR and not (self._begin or b"").startswith(_HEAD):
            raise self._no_dump()

    def close(self) -> Dump:
        """The result. Raises :class:`GoroutineError` where there was no goroutine in the text."""
        self._work()
        dump = self.dump
        if not dump.size:
            raise GoroutineError("empty", "the goroutine dump is empty")
        tail, self._tail = self._tail, b""
        if tail.strip(b"\n") and not self._skipping:
            self._last(tail)
        if not dump.total:
            raise self._no_dump()
        self._fold()
        for tally in self._tallies.values():
            self._finish(tally)
        dump.groups = _sorted(dump.groups)
        return dump

    def _no_dump(self) -> GoroutineError:
        begin = self._begin or b""
        kind = "garbage" if re.match(rb"\n*goroutine (?!profile:)", begin) else "not_goroutines"
        return GoroutineError(kind, "no goroutine in %d bytes: they begin with %s" % (self.dump.size, _quoted(begin.lstrip(b"\n"))))

    def _incomplete(self, why: str) -> None:
        self.dump.complete = False
        if self.dump.why is None:
            self.dump.why = why

    def _last(self, tail: bytes) -> None:
        if self.dump.size >= RUNTIME_LIMIT:
            self._incomplete("the runtime cuts a dump at %d bytes" % RUNTIME_LIMIT)
        elif not tail.endswith(b"\n"):
            self._incomplete("the text ends in the middle of a line")
        elif _read(tail.rstrip(b"\n").split(b"\n", MAX_LINES)[1:MAX_LINES]).cut:
            self._incomplete("the text ends in the middle of a stack")
        else:
            self._blocks([tail.rstrip(b"\n")])

    def _blocks(self, blocks: List[bytes]) -> None:
        states, near = self._states, self._near
        room = self.max_ids - self._ids
        counted = 0
        for block in blocks:
            # "goroutine 18 [chan receive, 5 minutes]:\nmain.work(0xc000012345)", "/src/main.go:12 +0x1d\nmain.main()", ...
            parts = block.split(b"\n\t")
            head, _line, parts[0] = parts[0].partition(b"\n")
            words = head.split(b" ", 2)
            state = states.get(words[2]) if len(words) == 3 else None
            if state is None or words[0] != b"goroutine" or not words[1].isdigit() or len(words[1]) > 20:
                if not head:  # more than one blank line
                    block = block.lstrip(b"\n")
                    if not block:
                        continue
                    parts = block.split(b"\n\t")
                    head, _line, parts[0] = parts[0].partition(b"\n")
                state = self._state(head)
                if state is None:
                    self._incomplete("%s is no goroutine" % _quoted(head))
                    continue
                words = head.split(b" ", 2)
            counted += 1
            last = parts[-1]
            variant = None
            size = len(parts)
            for one in near.get((last, size), ()):
                if all(map(_startswith, parts, one.beginnings)):
                    variant = one
                    break
            if variant is None:
                variant = self._variant(block, parts)
            counts = variant.counts
            counts[state] = counts.get(state, 0) + 1
            if room > 0 and variant.tally is not None:
                room -= 1
                variant.ids.append(words[1])
        self._ids = self.max_ids - room
        self.dump.total += counted

    def _state(self, head: bytes) -> Optional[_State]:
        """What ``goroutine 18 [chan receive, 5 minutes]:`` says, None where it is no such line."""
        match = _HEADER.match(head[:1 << 16])
        if not match:
            return None
        ident, reason, more = match.group(1, 2, 3)
        marks = b""
        cut = _MARKS.search(reason)
        if cut:
            reason, marks = reason[:cut.start()], cut.group()
        minutes = _MINUTES.search(more)
        values = (
            _decoded(reason[:100]), int(minutes.group(1)) if minutes else None, b"(leaked)" in marks, b"locked to thread" in more,
            b"synctest bubble" in more or b"(synctest)" in marks, b"(durable)" in marks or b"(synctest)" in marks)
        if len(self._equal) >= _CACHED:
            self._fold()
            self._equal.clear()
            self._states.clear()
        state = self._equal.get(values)
        if state is None:
            state = self._equal[values] = _State(*values)
        rest = head[len(_HEAD) + len(ident) + 1:]
        if len(self._states) >= _CACHED:  # labels that differ
            self._states.clear()
        if len(rest) < 500:
            self._states[rest] = state
        return state

    def _variant(self, block: bytes, parts: List[bytes]) -> _Variant:
        """The stack of a goroutine that is not among the next ones: known by all its places, or new."""
        last = parts[-1]
        near = self._near.get((last, len(parts)))
        places: Optional[Tuple[bytes, ...]] = None
        if near is not None and len(near) >= 4:
            places = tuple(part.partition(b"\n")[0] for part in parts)[1:]
            for one in self._far.get(places, ()):
                if all(map(_startswith, parts, one.beginnings)):
                    return one
        size = len(block) + 120 * len(parts)
        if self._cached + size > _CACHED_BYTES or len(self._variants) >= _CACHED:
            self._fold()
            near = None
        self._cached += size
        stack = _read(block.split(b"\n", MAX_LINES)[1:MAX_LINES])
        mark = fingerprint(stack.frames)
        tally = self._tallies.get(mark)
        if tally is None and len(self._tallies) < self.max_groups and not self._names.full:
            tally = self._tallies[mark] = _Tally(mark, _shown(stack.frames, self._names), tuple(stack.frames[:3]))
        created = self._names.frame(*stack.created) if tally is not None and stack.created and not self._names.full else None
        variant = _Variant([_beginning(part) for part in parts], tally, created, stack.elided)
        self._variants.append(variant)
        if near is None:
            self._near[(last, len(parts))] = [variant]
        elif places is None:
            near.append(variant)
        else:
            known = self._far.setdefault(places, [])
            if len(known) < 8:
                known.append(variant)
        return variant

    def _fold(self) -> None:
        """Add what was counted to the groups, and forget the stacks."""
        for variant in self._variants:
            count = sum(variant.counts.values())
            tally = variant.tally
            if variant.elided:
                self.dump.elided += count
            if tally is None:
                self.dump.left_out += count
                continue
            tally.count += count
            tally.ids.extend(map(int, variant.ids))
            variant.ids.clear()
            if variant.created is not None:
                tally.add(tally.created, variant.created, count)
            for state, number in variant.counts.items():
                tally.add(tally.states, state.reason, number)
                for name in state.flags:
                    tally.flags[name] = tally.flags.get(name, 0) + number
                if state.minutes is not None and (tally.minutes is None or tally.minutes < state.minutes):
                    tally.minutes = state.minutes
        self._variants.clear()
        self._near.clear()
        self._far.clear()
        self._cached = 0

    def _finish(self, tally: _Tally) -> None:
        dump, mark = self.dump, tally.fingerprint
        classes: Dict[str, int] = {}
        for reason, count in tally.states.items():
            cls = class_of_wait(reason, tally.leaf)
            classes[cls] = classes.get(cls, 0) + count
        dump.groups.append(Group(mark, _most(classes), tally.frames, _most(tally.created) if tally.created else None,
                                 _most(tally.states), tally.count))
        dump.ids[mark] = tally.ids
        dump.minutes[mark] = tally.minutes
        dump.waits[mark] = tally.states
        for name, found in (("leaked", dump.leaked), ("locked", dump.locked), ("bubble", dump.bubble), ("durable", dump.durable)):
            if name in tally.flags:
                found[mark] = tally.flags[name]


def parse_dump(chunks: Iterable[bytes], module: Optional[str] = None, *, limit: int = 2 * RUNTIME_LIMIT,
               max_groups: int = MAX_GROUPS, max_ids: int = MAX_IDS) -> Dump:
    """``goroutine?debug=2``, piece by piece: memory does not grow with its size.

    A dump that is cut, begins in the middle or has other text in it gives what was understood, ``complete`` false; of more
    than ``limit`` bytes the rest is not read. A goroutine whose text is cut is not counted. Raises :class:`GoroutineError`
    where there is no goroutine at all.
    """
    parser = DumpParser(module, max_groups=max_groups, max_ids=max_ids)
    for chunk in chunks:
        room = limit - parser.dump.size
        if len(chunk) > room:
            parser.feed(chunk[:room])
            parser.dump.complete, parser.dump.why = False, "the dump has more than %d bytes" % limit
            break
        parser.feed(chunk)
    return parser.close()


def _beginning(part: bytes) -> bytes:
    """What a part has in common with that of an equal stack: all but arguments, and the id of the creator."""
    line = part.rfind(b"\n") + 1
    if part.startswith(b"created by ", line):
        at = part.rfind(_PARENT, line)
        return part[:at + len(_PARENT)] if at > 0 else part
    at = part.rfind(b"(", line) if part.endswith(b")") else -1
    return part[:at + 1] if at > 0 else part


def _read(lines: Sequence[bytes]) -> _Stack:
    """The frames of one goroutine, from the lines behind its header."""
    frames: List[Tuple[str, str, int]] = []
    created: Optional[Tuple[str, str, int]] = None
    elided = False
    function: Optional[bytes] = None
    for line in lines:
        line = line[:MAX_NAME]
        if line[:1] == b"\t":
            place = _PLACE.match(line)
            if function is not None and place:
                file, digits = place.group(1, 2)
                if function[:11] == b"created by ":
                    parent = function.rfind(_PARENT)
                    created = (_decoded(function[11:parent if parent > 0 else len(function)]), _decoded(file), int(digits))
                else:
                    name = function[:function.rfind(b"(")] if function.endswith(b")") else function
                    frames.append((_decoded(name), _decoded(file), int(digits)))
            function = None
            continue
        function = None
        if line[:3] == b"..." and b" frames elided..." in line:
            elided = True
        elif line.startswith(b"[originating from goroutine "):
            break  # GODEBUG=tracebackancestors: what created the creators, in the form of more stacks
        elif not line.startswith(b"non-Go function"):
            function = line
    return _Stack(frames, created, elided, function is not None)
