# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a host's services are looked into, how deep, and under which load: ``preflight_runtime`` and ``preflight_load``.

Pure: what the inventory says becomes a :class:`Sampling`, a :class:`Load` and the :class:`Step` s of a verification. The
``verify`` action goes through them.
"""
from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.goready.preflight.plugins.plugin_utils import readers

#: What an endpoint can be asked for, in the order in which it is asked (the cheap ones first, the leak profile last).
KINDS = ("heap", "goroutine", "dump", "allocs", "mutex", "block", "threadcreate", "cpu", "metrics", "goroutineleak")
#: A step that only counts.
COUNT = ("goroutine",)
#: What changes while one looks: asked for in every take. The others are asked for once.
_REPEATED = ("heap", "goroutine", "dump", "mutex", "metrics", "goroutineleak")
#: Seconds a take may need beyond its budget: the connection, Python's start on an emulated host.
_OVERHEAD = 15
_LOAD_TAKES = 3
PROFILE_MOST = 16 << 20
#: More goroutines than any process has: the leak profile is asked for whatever there are of them.
_NO_LIMIT = 10_000_000
#: Between two snapshots goroutines alone are counted (the cheapest thing there is) at least this many seconds apart, and at
#: most so often: a group that never falls on the way is told from one that comes and goes without a dump of every stack.
_COUNT_SECONDS = 5
_COUNTS = 5

_LOAD_KEYS = ("command", "url", "rate", "external", "from", "duration", "settle")
# Those that keep a rate; the first that is installed is used.
LOAD_TOOLS = ("vegeta", "oha", "hey")


@dataclass(frozen=True)
class Sampling:
    """``preflight_runtime``: what is asked of an endpoint, and how often in ``deep``. Seconds, bytes, counts."""

    kinds: tuple[str, ...] = KINDS
    dump_limit: int = 2000
    leak_limit: int = 50_000
    cpu_seconds: int = 10
    snapshots: int = 3
    interval: int = 60
    gc: bool = False
    budget: int = 20
    profile_limit: int = 4 << 20


@dataclass(frozen=True)
class Load:
    """``preflight_load``: what puts the services under load between two looks at them.

    ``kind`` is ``command`` (``argv`` is run), ``url`` (``argv`` runs a load tool) or ``external`` (somebody else makes the
    load: it is waited for ``duration`` seconds). ``words`` say it for people, without the command's arguments.
    """

    kind: str
    argv: tuple[str, ...] = ()
    place: str = "controller"
    duration: int = 60
    settle: int = 30
    words: str = ""


@dataclass(frozen=True)
class Step:
    """One call of the collector: the phase its takes belong to, what is asked, and seconds after the phase's begin.

    ``leak_limit`` are the goroutines up to which the leak profile is asked for: who wants ``deep`` wants it whatever it costs."""

    phase: str
    after: int
    kinds: tuple[str, ...]
    raw: tuple[str, ...] = field(default=())
    leak_limit: int = _NO_LIMIT


def parse(value: Any) -> Sampling:
    """``preflight_runtime`` as a :class:`Sampling`; ValueError says what is wrong and what is allowed."""
    given = readers.mapping(value, [one.name for one in fields(Sampling)])
    known: dict[str, Callable[[Any], Any]] = {
        "kinds": _kinds, "dump_limit": readers.whole(0, 1_000_000), "leak_limit": readers.whole(0, _NO_LIMIT),
        "cpu_seconds": readers.whole(0, 30), "snapshots": readers.whole(2, 60), "interval": readers.whole(1, 86400),
        "gc": readers.boolean, "budget": readers.whole(1, 600),
        "profile_limit": readers.whole(1024, PROFILE_MOST),
    }
    return replace(Sampling(), **readers.read(given, known))


def parse_load(value: Any) -> Load | None:
    """``preflight_load`` as a :class:`Load`; None where it is empty. ValueError says what is wrong."""
    given = readers.mapping(value, _LOAD_KEYS)
    if not given:
        return None
    named = [key for key in ("command", "url", "external") if key in given and given[key] is not False]
    if len(named) != 1:
        raise ValueError(f"{' and '.join(named) or 'none'} of command, url and external is given; exactly one says where the load "
                         "comes from")
    (kind,) = named
    if "rate" in given and kind != "url":
        raise ValueError("rate belongs to url; a command has its own")
    if "from" in given and kind == "external":
        raise ValueError("from belongs to command and url; an external load is nobody's here")
    read = readers.read(given, {
        "command": _command, "url": _url, "external": readers.boolean, "rate": readers.whole(1, 100_000),
        "from": readers.one_of("controller", "host"), "duration": readers.whole(1, 3600), "settle": readers.whole(0, 3600),
    })
    duration = int(read.get("duration", 60))
    # A URL names what the host reaches: by default it is asked from there.
    place = str(read.get("from", "host" if kind == "url" else "controller"))
    argv: tuple[str, ...] = ()
    words = f"an external load of {duration} s"
    if kind == "command":
        argv = read["command"]
        words = f"the command {argv[0].rsplit('/', 1)[-1]} on the {place}"
    if kind == "url":
        rate = int(read.get("rate", 50))
        argv = ("/bin/sh", "-c", _tool_script(str(read["url"]), rate, duration))
        words = f"{rate} requests/s from the {place}"
    return Load(kind, argv, place, duration, int(read.get("settle", 30)), words)


def steps(sampling: Sampling, load: Load | None, profile: str) -> list[Step]:
    """The calls of a verification: none in ``quick``, one in ``standard``, several in ``deep``."""
    if profile == "quick":
        return []
    if profile == "standard":
        kinds = tuple(kind for kind in sampling.kinds if kind != "cpu")
        return [Step("once", 0, kinds, kinds, sampling.leak_limit)]
    cpu = "cpu" in sampling.kinds and sampling.cpu_seconds > 0
    everything = tuple(kind for kind in sampling.kinds if kind != "cpu")
    repeated = tuple(kind for kind in everything if kind in _REPEATED)
    plan = []
    for number in range(sampling.snapshots):
        first, last = number == 0, number == sampling.snapshots - 1
        # The CPU profile shows work: it is taken under load where there is one, else when the window is over.
        busy = ("cpu",) if last and cpu and load is None else ()
        asked = (everything if first else repeated) + busy
        plan.append(Step("idle", number * sampling.interval, asked, asked if first else busy))
        counts = min(_COUNTS, sampling.interval // _COUNT_SECONDS - 1) if "goroutine" in sampling.kinds and not last else 0
        plan += [Step("idle", number * sampling.interval + sampling.interval * (one + 1) // (counts + 1), COUNT) for one in range(counts)]
    if load is not None:
        for number in range(_LOAD_TAKES):
            asked = repeated + (("cpu",) if cpu and number == 1 else ())
            plan.append(Step("load", load.duration * (number + 1) // (_LOAD_TAKES + 1), asked, asked if number == 1 else ()))
        # Each look may run a garbage collection (the leak profile does): what sync.Pool keeps needs two to go.
        plan.append(Step("after", load.settle, repeated))
        plan.append(Step("after", load.settle + sampling.interval // 2, repeated))
        plan.append(Step("after", load.settle + sampling.interval, everything, everything))
    return plan


def seconds(sampling: Sampling, load: Load | None, profile: str) -> int:
    """What the steps may take beyond the collection of everything else; what a task's time-out has to allow."""
    plan = steps(sampling, load, profile)
    if not plan:
        return 0
    waits = (sampling.snapshots - 1) * sampling.interval if profile == "deep" else 0
    if load is not None and profile == "deep":
        waits += load.duration + load.settle + sampling.interval
    return waits + sum(sampling.budget + _OVERHEAD + (sampling.cpu_seconds if "cpu" in step.kinds else 0) for step in plan)


def _kinds(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r} is not a list of {', '.join(KINDS)}")
    for kind in value:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not one of {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in value)


def _command(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as exc:
            raise ValueError(f"it is no command line: {str(exc).lower()}") from None
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(word, str) and "\0" not in word for word in value):
        raise ValueError("expected a command line, or a list of its words")
    if "=" in value[0]:
        raise ValueError("its first word sets a variable; there is no shell: use env NAME=VALUE COMMAND")
    return tuple(str(word) for word in value)


def _url(value: Any) -> str:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        good = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good, parts = False, None
    if parts is not None and "@" in parts.netloc:
        # It would be in the arguments of the tool, which every user of the machine can read.
        raise ValueError("a URL with a user or password is not taken; give a command that reads them from a file")
    if not good or any(char.isspace() for char in value):
        raise ValueError(f"{value!r} is not a URL that begins with http:// or https://")
    return str(value)


def _tool_script(url: str, rate: int, duration: int) -> str:
    """A shell script that puts load on a URL with the first load tool there is. Each ends by itself after ``duration``."""
    target = shlex.quote(url)
    lines = {
        "vegeta": f"printf 'GET %s\\n' {target} | exec vegeta attack -rate={rate} -duration={duration}s -timeout=10s > /dev/null",
        "oha": f"exec oha --no-tui -q {rate} -z {duration}s -t 10s {target}",
        # hey's rate is one worker's.
        "hey": f"exec hey -z {duration}s -c 1 -q {rate} -t 10 {target}",
    }
    tried = "".join(f"if command -v {tool} > /dev/null; then {lines[tool]}; exit; fi\n" for tool in LOAD_TOOLS)
    return f"{tried}echo 'none of {', '.join(LOAD_TOOLS)} is installed' >&2; exit 127"
