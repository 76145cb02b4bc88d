# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which goroutines of an endpoint leak, by what the takes of one life of its process show.

Public: :func:`find` (facts of one endpoint in, a :class:`Diagnosis` out), :func:`snapshots`, :func:`steadily`,
:func:`chance`, :func:`blame`, :func:`place`. Pure: no host, no policy.

Three ways, from sure to vague (``METHODS``):

``certain``    the runtime's own goroutineleak profile lists it: what the goroutine waits for cannot be reached any more, so
               nothing can wake it (Go, src/runtime/mgc.go, findGoroutineLeaks).
``likely``     its number rises in every snapshot and its goroutines stay, or a load left them behind.
``suspicion``  many goroutines of the program's own code wait at one source line (LeakProf's idea), or a rise too small to be sure.

**How a rise is told from chance.** Requests in work come and go; in steady traffic their number at a moment is a Poisson
number around its mean (the M/G/infinity queue), and as often above the last snapshot as below.

With goroutine ids (the debug=2 dump) it is seen who was born and who ended between two snapshots. In steady traffic the
process looks the same backwards: births and ends are equally likely, whatever the life times are (Kelly, Reversibility and
Stochastic Networks, 1979). So the probability that of n changes b or more are births is that of b heads of n fair coins.
``CHANCE`` of 0.005 asks for 8 births where none ended, 11 where one did. What is not given but happens to be, the number of
changes, makes it rarer still: of goroutines whose births in the window are x on average, 8 and no end come with
P(Poisson(x) >= 8) * exp(-x), which no x lifts above 0.001. Traffic that grows is not steady: therefore the ends have to be
few besides (``ENDED``), and a quarter of those born in the window must have been seen again, which the last ones cannot. Short
requests that are more each time are other ones each time; leaks stay.

Takes with ids are dear (the dump stops the service); between them goroutines are only counted. Ids judge the takes that have
them, the numbers are those of all. Where ids reach from the first take to the last they have the last word; where the service
outgrew the limit of the dumps in between, they can prove a leak, and refute one: goroutines that are seen to end are none.

Without ids only the numbers are there. Two Poisson numbers of one mean, given their sum, are heads and tails again;
``CHANCE_OF_COUNTS`` of 0.0001 with a rise from each third of the window to the next (of its lowest number: bursts stand above it),
by ``GROWTH`` at least and at an even rate, because real traffic comes in bursts and loads begin.

That sees no slow leak among thousands. But what never ends never falls. Where births and ends are equally likely, so are a step up
and a step down, whatever the number and the life times are; for requests that outlive the window each step is a toss of its own,
for shorter ones a rise makes the next fall likelier. Births and ends seen one by one, 12 and none are 2^-12; but a count sees only
their difference, so an end may hide behind a birth. With Poisson births and ends at the rate that is worst, the chance of no fall in
12 steps, 6 of them up and 12 in all (``NEVER_FELL``) is 0.002, of 24 in all with 8 steps up 0.0007 (``SURELY``); in 6 steps it
were 0.02, which is why fewer than 12 have to rise every time: 0.003 in 8. A leak of Poisson births passes the first with 98 %.
Who waits in a handler for a message is left aside: he may do so for hours, and his like are as many as there are visitors.

**How a leak is told from a pool that fills.** Workers that are started when they are first needed rise and stay as a leak does. But
an idle worker waits for work (``IDLE``: on a receive, a select, a condition, between two polls in a sleep), never in a handler, and
his like have a number at which they stop. So a rise of such goroutines of which the last third or sixth of the window has less than a
quarter of an even rate's share, where 8 or more were due (Poisson: at most 1 came, p = 0.003), has ended: no finding, unless it is
larger than a pool (``POOL``) and has gone on for longer than one takes to fill (``FILLS``: size / rate); then a leak's traffic may have
paused, and it is a suspicion. So is what still rises at the end, but by a third of its first rate or less, and what is small and
young and began with the window (``BEGUN``): 50 workers that come evenly within a minute and 50 goroutines that leak
do not differ by anything that can be seen. A leak of even rate is likely as soon as it is larger or was there before.

Fewer births than 8 are believed where none ended and the group is as large as its rate makes it over the life of the process:
a steady group with so few births would have to have members that live half as long as the process has been running.
"""
from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import innocents

METHODS = ("certain", "likely", "suspicion")

#: What a goroutine can wait for without end. IO, sleep, timers and system calls end by themselves or by their peer; a loop that
#: sleeps between two rounds is told by its waking up (:func:`_wakes`).
BLOCKED = ("chan_send", "chan_receive", "select", "lock", "cond", "wait_group")
#: What an idle worker of a pool waits in.
IDLE = ("chan_receive", "select", "cond", "sleep")

CHANCE = 0.005             # that steady traffic looks like this, with ids
CHANCE_OF_COUNTS = 0.0001  # and without
NEVER_FELL = (12, 6, 12)   # steps without a fall, how many of them go up at least, and by how much in all
SURELY = (8, 24)           # steps up and rise from which that is likely, and no mere suspicion
EACH_ROSE = (8, 24)        # fewer steps, all of them up, and the rise
ENDED = 0.1                # ends for each birth that a leak may have beside it: others come and go on the same line
STAYED = 0.9               # of what a window or a load has left, how much has to be there after it
GROWTH = 0.2               # of the first count, where there are no ids
EVEN = 3.0                 # times, by which the rates of both halves of the window may differ then
LEFT_BEHIND = 50           # goroutines that a load leaves: more than the usual pool that it fills
POOL = 64                  # workers of the usual pool that is filled bit by bit
FILLS = 120.0              # seconds in which it is
BEGUN = 0.25               # of its growth in the window that has to be there before it, for a rise that did not just begin
ENDS = (8, 0.25)           # goroutines that the end of the window owes at least, and the share of them below which the rise has ended
SLOW_WINDOW = 60.0         # seconds: below that a few births say nothing
LIFE = 0.5                 # of the process's life that a slow rise has to explain
SLOW = (2, 4)              # births from which a slow rise is a suspicion, and likely

# Closures and wrappers carry the name of the function around them (cmd/compile: closure.go, wrap.go).
_CLOSURE = re.compile(r"(?:[.-](?:func|gowrap|deferwrap|range)\d+|\.\d+)+$")
_STREAM = re.compile(r"net/http\.\(\*http2serverConn\)\.runHandler|google\.golang\.org/grpc\.\(\*Server\)\.handleStream|"
                     r"(?:net/http/internal|golang\.org/x/net)/http2\.\(\*serverConn\)\.runHandler")
_HANDLER = re.compile(r"net/http\.\(\*conn\)\.serve|" + _STREAM.pattern)
_BACKGROUND = "net/http.(*connReader).backgroundRead"
# What one cause leaves in two functions: the first is the one it is named by.
_TOGETHER = (("net/http.(*persistConn).readLoop", "net/http.(*persistConn).writeLoop"),)


@dataclass(frozen=True)
class Frame:
    """One frame of a stack. ``origin``: own, dependency, std, runtime."""

    function: str
    file: str
    line: int
    origin: str

    def __str__(self) -> str:
        return f"{self.function} ({short(self.file)}:{self.line})" if self.file else self.function


@dataclass(frozen=True)
class Group:
    """Goroutines of one stack (``groups`` of the facts)."""

    fingerprint: str
    cls: str
    frames: tuple[Frame, ...]
    created_by: Frame | None
    wait: str

    @functools.cached_property
    def innocent(self) -> innocents.Innocent | None:
        return innocents.match([frame.function for frame in self.frames])

    @property
    def waits_for_peer(self) -> bool:
        """Whether it waits for bytes, in the network poller or where a library hands them on."""
        return self.cls == "io" or (self.innocent is not None and self.innocent.kind == "peer")

    @property
    def in_handler(self) -> bool:
        return any(_HANDLER.match(frame.function) for frame in self.frames)

    @property
    def own(self) -> bool:
        return any(frame.origin == "own" for frame in self.frames)


@dataclass(frozen=True)
class Snapshot:
    """The goroutines of one take. ``ids`` by fingerprint is None where there is no complete dump; ``alive`` are all ids, ``cut``
    the groups of which only some are there."""

    phase: str
    at: str
    clock: float
    total: int
    counts: Mapping[str, int]
    left_out: int
    ids: Mapping[str, frozenset[int]] | None
    alive: frozenset[int]
    cut: frozenset[str]
    minutes: Mapping[str, int]
    waits: Mapping[str, Mapping[str, int]]
    collected: tuple[float, ...] | None = None  # when garbage collections ended, on the clock of the takes; None: not known

    def count(self, members: Iterable[str]) -> int:
        return sum(self.counts.get(one, 0) for one in members)

    def followed(self, members: Iterable[str]) -> bool:
        """Whether the ids of these groups are all there."""
        return self.ids is not None and self.cut.isdisjoint(members)

    def of(self, members: Iterable[str]) -> frozenset[int]:
        return frozenset().union(*((self.ids or {}).get(one, frozenset()) for one in members))


@dataclass(frozen=True)
class Rise:
    """How the number of some goroutines rose. ``error`` bounds ``per_hour`` on both sides (two standard deviations)."""

    seconds: float
    counts: tuple[int, ...]
    births: int | None  # None: there are no ids
    ends: int | None
    sure: bool
    under_load: bool = False
    stays: bool = False  # left behind by a load, and no more than that
    never_fell: bool = False  # believed for that

    @property
    def per_hour(self) -> float:
        return (self.counts[-1] - self.counts[0]) / self.seconds * 3600 if self.seconds > 0 else 0.0

    @property
    def error(self) -> float:
        # The takes with ids may span a part of the window only.
        events = max((self.births or 0) + (self.ends or 0), abs(self.counts[-1] - self.counts[0]))
        return 2 * math.sqrt(max(1, events)) / self.seconds * 3600 if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Leak:
    """One leaking function. ``members`` are fingerprints, the largest first; ``count`` their goroutines at the last take."""

    function: str
    method: str
    where: Frame
    members: tuple[str, ...]
    count: int
    rise: Rise | None = None
    also: tuple[str, ...] = ()      # other functions of the same cause
    partner: str = ""               # where as many wait for a lock: a deadlock
    wakes: bool = False             # its goroutines are woken regularly: a ticker
    fills: bool = False             # a suspicion because it may be a pool that fills
    firm: bool = False              # a suspicion with more than its number behind it


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`find` saw. ``window`` are the takes that were compared, ``followed`` how many of them have ids, ``profiled``
    whether the runtime's leak profile was there (else ``why_not``), ``watched`` rises too small to be told from chance,
    ``connected`` groups that rose with their connections."""

    snapshots: tuple[Snapshot, ...]
    groups: Mapping[str, Group]
    leaks: tuple[Leak, ...]
    window: tuple[Snapshot, ...]
    profiled: bool
    why_not: str
    followed: int
    load: bool
    watched: tuple[str, ...] = ()
    connected: tuple[str, ...] = ()


def short(file: str) -> str:
    """The last two parts of a path: ``api/main.go``."""
    return "/".join(file.rsplit("/", 2)[-2:])


def shown(counts: Sequence[int]) -> Sequence[int]:
    """Of many numbers the first, the middle, and the last."""
    return counts if len(counts) <= 3 else (counts[0], counts[len(counts) // 2], counts[-1])


def enclosing(function: str) -> str:
    """The function that a closure is written in: ``main.leak`` of ``main.leak.func1``, ``main.leak.gowrap1``."""
    return _CLOSURE.sub("", function)


def _frame(parts: Sequence[Any] | None) -> Frame | None:
    if not parts:
        return None
    function, file, line, origin = (*parts, "", "", 0, "")[:4] if len(parts) >= 4 else (*parts, *("", "", 0, "")[len(parts):])
    return Frame(str(function), str(file or ""), int(line or 0), str(origin or ""))


def groups_of(entry: Mapping[str, Any]) -> dict[str, Group]:
    """The groups of an endpoint by fingerprint."""
    found = {}
    for fingerprint, one in (entry.get("groups") or {}).items():
        frames = tuple(frame for frame in (_frame(parts) for parts in one.get("frames") or ()) if frame is not None)
        found[str(fingerprint)] = Group(str(fingerprint), str(one.get("class") or "other"), frames,
                                        _frame(one.get("created_by")), str(one.get("wait") or ""))
    return found


def snapshots(entry: Mapping[str, Any]) -> list[Snapshot]:
    """The takes of an endpoint that have a goroutine profile, by time."""
    found = []
    for take in entry.get("takes") or ():
        profile = take.get("goroutines")
        if not profile:
            continue
        dump = take.get("dump") or {}
        ids = {str(key): frozenset(int(one) for one in values) for key, values in (dump.get("ids") or {}).items()}
        alive = frozenset().union(*ids.values()) if ids else frozenset()
        # A dump that was cut (at 64 MB by the runtime, or by us) does not tell who ended; nor does a group of which the facts
        # have some ids only, by its wait reasons.
        whole = bool(dump.get("complete"))
        waits = {str(key): dict(value) for key, value in (dump.get("waits") or {}).items()}
        cut = frozenset() if len(alive) >= int(dump.get("total") or 0) else frozenset(
            name for name, values in ids.items() if len(values) < sum(waits.get(name, {}).values()))
        found.append(Snapshot(
            str(take.get("phase") or "once"), str(take.get("at") or ""), float(take.get("clock") or 0.0), int(profile["total"]),
            {str(key): int(value) for key, value in (profile.get("counts") or {}).items()}, int(profile.get("left_out") or 0),
            ids if whole else None, alive if whole else frozenset(), cut,
            {str(key): int(value) for key, value in (dump.get("minutes") or {}).items() if value is not None},
            waits, _collected(take)))
    return sorted(found, key=lambda one: one.clock)


def _collected(take: Mapping[str, Any]) -> tuple[float, ...] | None:
    """When the garbage collections that a take knows of ended, in seconds of its clock."""
    memory = take.get("memory")
    if not memory:
        return None
    try:
        now = datetime.datetime.fromisoformat(str(take.get("at")).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
    return tuple(float(take.get("clock") or 0.0) + pause[0] / 1e9 - now for pause in memory.get("pauses") or ())


def chance(heads: int, tails: int) -> float:
    """The probability that as many coins show at least so many heads."""
    total = heads + tails
    if total <= 0:
        return 1.0
    if total <= 2000:
        return float(sum(math.comb(total, number) for number in range(heads, total + 1)) / 2 ** total)
    return 0.5 * math.erfc((heads - 0.5 - total / 2) / math.sqrt(total / 4) / math.sqrt(2))


def rising(counts: Sequence[int]) -> bool:
    """Whether a number rises in every step; over more than three steps, whether it never falls and rises in most of them, in
    both halves of the window."""
    steps = [later - earlier for earlier, later in zip(counts, counts[1:], strict=False)]
    if len(steps) <= 3:
        return bool(steps) and all(step > 0 for step in steps)
    half = len(steps) // 2
    return (all(step >= 0 for step in steps) and sum(step > 0 for step in steps) * 2 > len(steps)
            and any(step > 0 for step in steps[:half]) and any(step > 0 for step in steps[half:]))


def steadily(window: Sequence[Snapshot], members: Sequence[str], *, uptime: float | None = None,
             handler: bool = False, waits: bool = False) -> tuple[Rise, bool] | None:
    """The rise of some groups over a window, and whether it is one at all by the rules of the module's head.

    (rise, False) is a rise that chance may explain; None: it did not rise. ``uptime`` is the age of the process at the end of
    the window. ``handler``: they run in a request; ``waits``: for a message, which may come in hours.
    """
    if len(window) < 2 or any(one.left_out and not one.count(members) for one in window):
        return None
    counts = tuple(one.count(members) for one in window)
    seconds = window[-1].clock - window[0].clock
    followed = [one for one in window if one.followed(members)]
    if len(followed) > 1:
        births, ends = changes(followed, members)
        found = _by_ids(followed, members, counts, seconds, uptime)
        if followed[0] is window[0] and followed[-1] is window[-1]:
            return found
        if found is not None and found[1]:
            return found
        if ends > 1 and ends > ENDED * births:
            return None
    steps = [later - earlier for earlier, later in zip(counts, counts[1:], strict=False)]
    growth, up = counts[-1] - counts[0], sum(step > 0 for step in steps)
    if rising(counts):
        enough = (growth >= (1.0 if handler else GROWTH) * counts[0] and chance(counts[-1], counts[0]) <= CHANCE_OF_COUNTS
                  and _even(window, counts))
        if enough:
            return Rise(seconds, counts, None, None, True), True
    if steps and min(steps) >= 0 and not waits:
        if len(steps) >= NEVER_FELL[0] and up >= NEVER_FELL[1] and growth >= NEVER_FELL[2]:
            sure = up >= SURELY[0] and growth >= SURELY[1] and _even(window, counts)
            return Rise(seconds, counts, None, None, sure, never_fell=True), True
        if len(steps) >= EACH_ROSE[0] and up == len(steps) and growth >= EACH_ROSE[1]:
            return Rise(seconds, counts, None, None, _even(window, counts), never_fell=True), True
    if rising(counts):
        return Rise(seconds, counts, None, None, False), False
    # Others come and go on the same line: what lies below all of them.
    low = [min(part, key=lambda one: one.count(members)) for part in _thirds(window)]
    floor = tuple(one.count(members) for one in low)
    if len(window) > 3 and rising(floor) and growth > 0:
        enough = (floor[-1] - floor[0] >= (1.0 if handler else GROWTH) * floor[0] and chance(floor[-1], floor[0]) <= CHANCE_OF_COUNTS
                  and _even(low, floor))
        return Rise(low[-1].clock - low[0].clock, floor, None, None, enough), enough
    return None


def ended(window: Sequence[Snapshot], members: Sequence[str]) -> bool:
    """Whether a rise came to its end within the window: a pool that was filled (the module's head).

    Nothing is told where the number falls, or goroutines end: others come and go on the same line, and their noise hides the end.
    """
    counts = [one.count(members) for one in window]
    if any(later < earlier for earlier, later in zip(counts, counts[1:], strict=False)):
        return False
    followed = [one for one in window if one.followed(members)]
    if len(followed) > 1 and changes(followed, members)[1]:
        return False
    last, seconds = window[-1], window[-1].clock - window[0].clock
    for part in (3, 6):
        since = next((one for one in reversed(window) if one.clock <= last.clock - seconds / part), None)
        if since is None or seconds <= 0:
            continue
        due = (counts[-1] - counts[0]) * (last.clock - since.clock) / seconds
        if due >= ENDS[0] and last.count(members) - since.count(members) < ENDS[1] * due:
            return True
    return False


def fills(window: Sequence[Snapshot], members: Sequence[str]) -> str:
    """What says that a rise of idle workers may be that of a pool: ``ended`` (it is full), ``slows``, ``young``; empty: nothing.

    What ended but is larger than a pool and has gone on for longer is a leak whose traffic may have stopped: it ``slows``.
    """
    counts = [one.count(members) for one in window]
    growth, seconds = counts[-1] - counts[0], window[-1].clock - window[0].clock
    if growth <= 0 or seconds <= 0:
        return ""
    young = counts[-1] / growth * seconds < FILLS
    if ended(window, members):
        return "ended" if young or counts[-1] <= POOL else "slows"
    if young and counts[-1] <= POOL and counts[0] < BEGUN * growth:
        # Of what is no more than a suspicion, nobody at all where 5 were due is enough of an end (Poisson: p = 0.007).
        due = growth * (window[-1].clock - window[-2].clock) / seconds
        return "ended" if due >= 5 and counts[-1] == counts[-2] else "young"
    half = len(window) // 2
    slower = counts[half] - counts[0] > counts[-1] - counts[half]
    return "slows" if len(window) > 3 and slower and growth >= 3 * ENDS[0] and not _even(window, counts) else ""


def worker(group: Group) -> bool:
    """Whether a goroutine may be an idle worker of a pool: it waits for work, not for ever, and in no request. What the standard
    library waits in has a cause of its own."""
    return (group.cls in IDLE and not group.in_handler and not _known(group)
            and "nil chan" not in group.wait and "no cases" not in group.wait)


def _thirds(window: Sequence[Snapshot]) -> list[Sequence[Snapshot]]:
    size = len(window)
    return [window[size * part // 3:size * (part + 1) // 3] for part in range(3)] if size >= 3 else [[one] for one in window]


def _even(window: Sequence[Snapshot], counts: Sequence[int]) -> bool:
    """Whether both halves of the window rise at about one rate. A load that begins or ends its rise within the window does not."""
    half = len(window) // 2
    if len(window) < 3:
        return True
    rates = [(counts[end] - counts[begin]) / max(0.001, window[end].clock - window[begin].clock)
             for begin, end in ((0, half), (half, len(window) - 1))]
    return max(rates) <= EVEN * min(rates)


def changes(window: Sequence[Snapshot], members: Sequence[str]) -> tuple[int, int]:
    """Births and ends from one take with ids to the next."""
    seen = [one.of(members) for one in window]
    births = sum(len(later - window[index].alive) for index, later in enumerate(seen[1:]))
    return births, sum(len(earlier - window[index + 1].alive) for index, earlier in enumerate(seen[:-1]))


def _by_ids(window: Sequence[Snapshot], members: Sequence[str], counts: tuple[int, ...], whole: float,
            uptime: float | None) -> tuple[Rise, bool] | None:
    """What the takes with ids show. ``counts`` are those of all takes, within ``whole`` seconds."""
    seen = [one.of(members) for one in window]
    pairs = list(zip(range(len(window)), range(1, len(window)), strict=False))
    seconds = window[-1].clock - window[0].clock
    births, ends = changes(window, members)
    proven = sum(len((seen[index] - window[index - 1].alive) & window[index + 1].alive) for index in range(1, len(window) - 1))
    # Half of those who were born before the last interval, if births are even: a quarter of all where the takes are so far apart.
    share = 0.5 * (window[-2].clock - window[0].clock) / max(0.001, seconds)
    if len(window) == 2:  # nobody born in between could be seen again: those that were there before have to do
        proven, share = len(seen[0]), 0.25
    sizes = tuple(len(one) for one in seen)
    rise = Rise(whole, counts, births, ends, True) if rising(counts) else Rise(seconds, sizes, births, ends, True)
    if rising(sizes) and ends <= ENDED * births and proven >= births * max(0.125, share):
        # Of two takes with ids the second may be an outburst's, unless the counts between them or after them rise too.
        needed = CHANCE if len(window) > 2 or (len(counts) > 2 and rising(counts)) else CHANCE_OF_COUNTS
        if chance(births, ends) <= needed:
            return rise, True
        if (ends == 0 and births >= SLOW[0] and len(window) > 2 and seconds >= SLOW_WINDOW and uptime
                and sizes[-1] >= LIFE * births / seconds * uptime):
            return replace(rise, sure=births >= SLOW[1]), True
        return replace(rise, sure=False), False
    if not ends:  # a pool that was filled once
        return None
    # Others come and go on the same line: those that stayed from one take to the next are counted.
    core = [seen[earlier] & seen[later] for earlier, later in pairs]
    new = sum(len(later - earlier) for earlier, later in zip(core, core[1:], strict=False))
    lost = sum(len(one - window[index + 2].alive) for index, one in enumerate(core[:-1]))
    if (len(core) > 1 and rising([len(one) for one in core]) and lost <= ENDED * new and len(core[0]) * 4 >= new
            and chance(new, lost) <= CHANCE):
        between = window[-1].clock - window[1].clock
        return Rise(between, tuple(len(one) for one in core), new, lost, True), True
    return None


@dataclass
class _Case:
    """The endpoint while it is looked at."""

    groups: Mapping[str, Group]
    takes: Sequence[Snapshot]
    uptime: float | None
    watched: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)

    def blocked(self) -> list[Group]:
        """Groups that a leak can be, those of connections that move with their peers among them; of those that sleep own loops, which
        go round for as long as somebody looks: one sleep of any length has an end."""
        idle = [one for one in self.takes if one.phase == "idle"]
        return [one for one in self.groups.values() if (one.cls in BLOCKED and not one.waits_for_peer) or
                (one.cls == "sleep" and one.own and len(idle) > 2 and _wakes(idle, [one.fingerprint]))]

    def with_connection(self, group: Group, takes: Sequence[Snapshot]) -> bool:
        """Whether each goroutine of the group has a live connection beside it, whose number moves as its own does.

        A writer of a websocket beside its reader, a gRPC stream, the loop of an HTTP/2 connection: they live as long as a
        peer is connected, and clients that arrive are no leak. The other goroutine is known by its creator, or by running in
        the function that made this one, or by the receiver of its root's method: a hub starts the writer of a client that registers,
        and the listener its reader. For what a handler waits for itself, it
        is the reader that net/http starts beside every request in work, which ends when the client goes away.
        """
        def follows(others: Iterable[Group]) -> bool:
            members = [one.fingerprint for one in others]
            mine = [take.count([group.fingerprint]) for take in takes]
            theirs = [take.count(members) for take in takes]
            if not members or any(other < 0.9 * one for one, other in zip(mine, theirs, strict=True)):
                return False
            return len(takes) < 2 or theirs[-1] - theirs[0] >= 0.8 * (mine[-1] - mine[0])

        if group.innocent is not None and group.innocent.kind == "connection":
            return "quic" in group.innocent.name.lower() or follows(one for one in self.groups.values() if one.waits_for_peer)
        if group.in_handler and group.cls in ("select", "chan_receive"):
            return follows(one for one in self.groups.values() if any(frame.function == _BACKGROUND for frame in one.frames))
        if group.innocent is not None or not group.frames:
            return False
        waiting = [one for one in self.groups.values() if one.waits_for_peer and (one.innocent is None or one.innocent.kind == "peer")]
        root = _receiver(group.frames[-1].function)
        if root and follows(one for one in waiting if one.frames and _receiver(one.frames[-1].function) == root):
            return True
        maker = enclosing(group.created_by.function) if group.created_by else ""
        return bool(maker) and follows(
            one for one in waiting if (one.created_by and enclosing(one.created_by.function) == maker) or
            any(enclosing(frame.function) == maker for frame in one.frames))


def _package(function: str) -> str:
    head, slash, tail = function.rpartition("/")
    return head + slash + tail.split(".", 1)[0]


def _receiver(function: str) -> str:
    """``main.(*Client)`` of a method's name, empty for a function."""
    head, mark, tail = function.partition(").")
    return head + mark if tail and "(*" in head else ""


def blame(group: Group) -> Frame:
    """The frame that a leak is named by: the innermost of the program's own code; else the one that made the goroutine, where
    that is own; else the innermost of a dependency, else of the standard library that is not a mere primitive."""
    own = next((frame for frame in group.frames if frame.origin == "own"), None)
    if own is not None:
        return own
    if group.created_by is not None and group.created_by.origin == "own" and not _known(group):
        return group.created_by
    for origin in ("dependency", "std"):
        for frame in group.frames:
            if frame.origin == origin and _package(frame.function) not in ("sync", "internal/sync", "time", "internal/poll"):
                return frame
    return group.frames[0] if group.frames else Frame("(unknown)", "", 0, "")


def _known(group: Group) -> bool:
    """Frames of the standard library that tell the cause by themselves."""
    return any(_package(frame.function) in ("net/http", "database/sql", "context", "os/exec") for frame in group.frames)


def place(group: Group) -> tuple[str, str, int]:
    """Where a group blocks, as source: function, file, line of :func:`blame`."""
    frame = blame(group)
    return frame.function, frame.file, frame.line


def find(entry: Mapping[str, Any], *, suspicious: int) -> Diagnosis:
    """Everything that leaks at one endpoint. ``suspicious`` goroutines at one source line are a suspicion.

    ``entry`` is one of ``runtime.endpoints`` of the facts; its takes belong to one life of the process.
    """
    takes = snapshots(entry)
    groups = groups_of(entry)
    profiles = [take["leaks"] for take in entry.get("takes") or () if take.get("leaks")]
    available = [one for one in profiles if one.get("available")]
    started = entry.get("started")
    uptime = takes[-1].clock - float(started) if takes and started is not None else None
    case = _Case(groups, takes, uptime if uptime and uptime > 0 else None)
    idle = [one for one in takes if one.phase in ("idle", "once")]
    after = [one for one in takes if one.phase == "after"]
    leaks = _certain(case, available)
    window = idle if len(idle) > 1 else []
    sure = {member for leak in leaks for member in leak.members}
    leaks += _likely(case, window, after, sure)
    load = [one for one in takes if one.phase == "load"]
    sure = {member for leak in leaks for member in leak.members}
    if idle and load and after:
        leaks += _left_behind(case, idle[-1], load, after, sure)
    if takes and not available:
        sure = {member for leak in leaks for member in leak.members}
        leaks += _suspicion(case, takes, window, suspicious, sure)
    why_not = "" if available else next((str(one.get("reason")) for one in profiles if one.get("reason")), "it was not asked for")
    return Diagnosis(
        tuple(takes), groups, tuple(_by_function(case, leaks)), tuple(window), bool(available), why_not,
        sum(one.ids is not None for one in window), bool(idle and load and after),
        tuple(case.watched), tuple(case.connected))


def _certain(case: _Case, profiles: Sequence[Mapping[str, Any]]) -> list[Leak]:
    counts: dict[str, int] = {}
    for profile in profiles:
        for fingerprint, count in (profile.get("counts") or {}).items():
            # What leaked once stays: the largest count is the latest.
            counts[str(fingerprint)] = max(counts.get(str(fingerprint), 0), int(count))
    found = []
    for fingerprint, count in counts.items():
        group = case.groups.get(fingerprint) or Group(fingerprint, "other", (), None, "")
        frame = blame(group)
        rise = None
        idle = [one for one in case.takes if one.phase == "idle"]
        if len(idle) > 1:
            compared = steadily(idle, [fingerprint], uptime=case.uptime)
            rise = compared[0] if compared else None
        found.append(Leak(enclosing(frame.function), "certain", frame, (fingerprint,), count, rise))
    return found


def _likely(case: _Case, window: Sequence[Snapshot], after: Sequence[Snapshot], sure: set[str]) -> list[Leak]:
    if len(window) < 2:
        return []
    found: list[Leak] = []
    small: dict[tuple[str, str, str, int], list[Group]] = {}
    for group in case.blocked():
        if group.fingerprint in sure:
            continue
        leak = _risen(case, window, after, [group])
        if leak is not None:
            found.append(leak)
        else:
            small.setdefault((group.cls, *place(group)), []).append(group)
    # One line that is reached on many ways: each way is small, the line is not.
    for members in small.values():
        if len(members) > 1:
            leak = _risen(case, window, after, members)
            if leak is not None:
                found.append(leak)
    return found


def _risen(case: _Case, window: Sequence[Snapshot], after: Sequence[Snapshot], members: Sequence[Group]) -> Leak | None:
    names = [one.fingerprint for one in members]
    group = max(members, key=lambda one: window[-1].count([one.fingerprint]))
    compared = steadily(window, names, uptime=case.uptime, handler=group.in_handler,
                        waits=group.in_handler and group.cls in ("select", "chan_receive"))
    if compared is None or not _stays_after(window, after, names):
        return None
    rise, believed = compared
    frame = blame(group)
    line = f"{frame}: {' -> '.join(str(one) for one in shown(rise.counts))} in {rise.seconds:.0f} s"
    if any(case.with_connection(one, window) for one in members):
        case.connected.append(line)
        return None
    pool = fills(window, names) if all(worker(one) for one in members) else ""
    if any(_filling(one, rise) for one in members):
        believed = False
    if believed and pool == "ended":
        case.watched.append(f"{line}, and the rise ended within the window: a pool that was filled")
        return None
    if not believed or (not rise.sure and not group.own):
        case.watched.append(line)
        return None
    count = (after or window)[-1].count(names) or rise.counts[-1]
    return Leak(enclosing(frame.function), "likely" if rise.sure and not pool else "suspicion", frame, tuple(names), count, rise,
                wakes=_wakes(window, names), firm=rise.never_fell and not pool, fills=bool(pool))


def _filling(group: Group, rise: Rise) -> bool:
    """Whether a rise may be that of a pool of connections that fills. A client connection of net/http that waits for somebody
    to read its body is none: it is not idle (src/net/http/transport.go, readLoop, the select on waitForBodyRead)."""
    if group.innocent is None or group.innocent.kind != "pool":
        return False
    if group.cls == "select" and any(frame.function == _TOGETHER[0][0] for frame in group.frames):
        return False
    return rise.births is None or rise.births < LEFT_BEHIND or bool(rise.ends)


def _stays_after(window: Sequence[Snapshot], after: Sequence[Snapshot], names: Sequence[str]) -> bool:
    if not after:
        return True
    last = after[-1]
    if last.ids is not None and window[-1].followed(names):
        there = window[-1].of(names)
        return len(there & last.alive) >= STAYED * len(there)
    first, final = window[0].count(names), window[-1].count(names)
    return last.count(names) >= first + 0.5 * (final - first)


def _wakes(window: Sequence[Snapshot], names: Sequence[str]) -> bool:
    """Whether goroutines that have lived through the window show no minutes of waiting while others do: something wakes them.

    Minutes count from the first garbage collection after the wait began (src/runtime/mgcmark.go, markroot sets waitsince), so one has
    to have ended within the window, a minute before its last take: whoever had waited since would show it.
    """
    first, last = window[0], window[-1]
    if last.collected is not None and not any(first.clock < moment < last.clock - 60 for moment in last.collected):
        return False
    return (last.clock - first.clock >= 110 and bool(last.minutes) and not any(name in last.minutes for name in names)
            and bool(first.of(names) & last.alive))


def growing(groups: Mapping[str, Group], window: Sequence[Snapshot]) -> tuple[list[str], list[tuple[int, Frame, bool]]]:
    """(the groups that belong to no connection, the places of theirs that rise by themselves, the largest rise first).

    A place is its growth, its frame, and whether it may be a pool that fills. Goroutines of any class count, but their rise has to
    be more than chance by the same rules: where traffic grows, other goroutines are there each time.
    """
    case = _Case(groups, window, None)
    ends = [window[0], window[-1]]
    members = [name for name, group in groups.items()
               if not (group.waits_for_peer or (group.innocent is not None and group.innocent.kind in ("connection", "pool")))
               and not (window[-1].count([name]) and case.with_connection(group, ends))]
    places: dict[tuple[str, str, str, int], list[str]] = {}
    for name in members:
        places.setdefault((groups[name].cls, *place(groups[name])), []).append(name)
    found = []
    for names in places.values():
        compared = steadily(window, names)
        pool = fills(window, names) if all(worker(groups[name]) for name in names) else ""
        if compared is not None and compared[1] and pool != "ended":
            found.append((window[-1].count(names) - window[0].count(names), blame(groups[names[0]]), bool(pool)))
    return members, sorted(found, key=lambda one: (-one[0], str(one[1])))


def _left_behind(case: _Case, before: Snapshot, load: Sequence[Snapshot], after: Sequence[Snapshot], sure: set[str]) -> list[Leak]:
    """What a load leaves: more than before it, and none of it gone when the load has ended."""
    found: list[Leak] = []
    places: dict[tuple[str, str, str, int], list[Group]] = {}
    for group in case.blocked():
        if group.fingerprint not in sure:
            places.setdefault((group.cls, *place(group)), []).append(group)
    last = after[-1]
    for members in places.values():
        names = [one.fingerprint for one in members]
        takes = [before, *load, *after]
        if any(one.left_out and not one.count(names) for one in takes):
            continue
        if any(one.innocent is not None for one in members):
            continue  # pools and connections that the load has filled
        counts = [one.count(names) for one in takes]
        grown = last.count(names) - counts[0]
        if grown < 8 or last.count(names) < STAYED * max(counts):
            continue
        births: int | None = None
        ends: int | None = None
        if all(one.followed(names) for one in takes):
            born = frozenset().union(*(one.of(names) for one in load)) - before.alive
            kept, ends = len(born & last.alive), len((born | before.of(names)) - last.alive)
            births = kept + len(last.of(names) - before.alive - born)
            if births < 8 or kept * 4 < births or ends > ENDED * births or chance(births, ends) > CHANCE:
                continue
        elif chance(last.count(names), counts[0]) > CHANCE_OF_COUNTS or grown < GROWTH * counts[0]:
            continue
        # A pool that the load has filled has its size early; a leak goes on as long as the load does.
        goes_on = rising([before.count(names), *(one.count(names) for one in load)]) and \
            grown >= 1.3 * (load[0].count(names) - counts[0])
        if not goes_on and grown < LEFT_BEHIND:
            case.watched.append(f"{blame(members[0])}: {counts[0]} before the load, {last.count(names)} after it")
            continue
        if any(case.with_connection(one, takes) for one in members):
            case.connected.append(f"{blame(members[0])}: {counts[0]} before the load, {last.count(names)} after it")
            continue
        group = max(members, key=lambda one: last.count([one.fingerprint]))
        rise = Rise(after[0].clock - before.clock, tuple(counts), births, ends, True, True, not goes_on)
        frame = blame(group)
        found.append(Leak(enclosing(frame.function), "likely", frame, tuple(names), last.count(names), rise))
    return found


def _in_work(members: Sequence[Group], takes: Sequence[Snapshot]) -> bool:
    """Whether so many goroutines are work that goes on: other ones at the end of the window than at its beginning; none that has
    waited for a minute where others have (an age is shown from the first GC after the wait began); or streams of HTTP/2 and gRPC,
    whose clients are not seen."""
    names = [one.fingerprint for one in members]
    followed = [one for one in takes if one.followed(names)]
    if followed:
        last, there = followed[-1], followed[0].of(names)
        if 2 * len(there & last.alive) < len(there):
            return True
        if max(last.minutes.values(), default=0) >= 2 and not any(name in last.minutes for name in names):
            return True
    return all(one.cls in ("select", "chan_receive") and any(_STREAM.match(frame.function) for frame in one.frames) for one in members)


def _suspicion(case: _Case, takes: Sequence[Snapshot], window: Sequence[Snapshot], suspicious: int, sure: set[str]) -> list[Leak]:
    places: dict[tuple[str, str, str, int], list[Group]] = {}
    for group in case.blocked():
        if group.own and group.fingerprint not in sure and group.innocent is None:
            places.setdefault((group.cls, *place(group)), []).append(group)
    idle = [one for one in takes if one.phase != "load"] or list(takes)
    found = []
    for members in places.values():
        names = [one.fingerprint for one in members]
        if min(one.count(names) for one in idle) < suspicious or _in_work(members, idle):
            continue
        if any(case.with_connection(one, idle[-1:]) for one in members):
            case.connected.append(f"{blame(members[0])}: {idle[-1].count(names)}")
            continue
        group = max(members, key=lambda one: idle[-1].count([one.fingerprint]))
        compared = steadily(window, names, uptime=case.uptime) if window else None
        rise = compared[0] if compared else None
        # It rises, and its size is what its rate makes of the life of the process: chance rarely does both.
        firm = bool(rise and rise.births is None and case.uptime and
                    LIFE <= idle[-1].count(names) / max(1.0, rise.per_hour / 3600 * case.uptime) <= 1 / LIFE)
        frame = blame(group)
        found.append(Leak(enclosing(frame.function), "suspicion", frame, tuple(names), idle[-1].count(names), rise, firm=firm))
    return found


def _other_lock(case: _Case, leak: Leak, leaks: Sequence[Leak]) -> str:
    """The function in which as many goroutines wait for another lock: of the same creator, or the only other one there is."""
    def first(one: Leak) -> Group | None:
        return case.groups.get(one.members[0])

    mine = first(leak)
    locks = [one for one in leaks if one is not leak and getattr(first(one), "cls", "") == "lock"]
    if mine is None or mine.cls != "lock":
        return ""
    even = [one for one in locks if 0.8 <= (one.count + 1) / (leak.count + 1) <= 1.25]
    related = [one for one in even if mine.created_by is not None and (made := getattr(first(one), "created_by", None)) is not None
               and enclosing(made.function) == enclosing(mine.created_by.function)]
    chosen = related or (even if len(locks) == 1 else [])
    return chosen[0].function if chosen else ""


def _sum(rises: Sequence[Rise]) -> Rise | None:
    """One rise of several groups, where they were seen at the same takes; else the first."""
    if not rises:
        return None
    same = [one for one in rises if one.under_load == rises[0].under_load and len(one.counts) == len(rises[0].counts)]
    return replace(
        rises[0], counts=tuple(sum(numbers) for numbers in zip(*(one.counts for one in same), strict=True)),
        births=None if any(one.births is None for one in same) else sum(one.births or 0 for one in same),
        ends=None if any(one.ends is None for one in same) else sum(one.ends or 0 for one in same))


def _by_function(case: _Case, leaks: Sequence[Leak]) -> list[Leak]:
    """One for each function and cause: the surest method speaks, the counts are put together."""
    named: dict[str, list[Leak]] = {}
    for leak in leaks:
        named.setdefault(leak.function, []).append(leak)
    merged = []
    for parts in named.values():
        parts = sorted(parts, key=lambda one: (METHODS.index(one.method), -one.count))
        members = tuple(dict.fromkeys(member for part in parts for member in part.members))
        rise = _sum([part.rise for part in parts if part.rise is not None])
        merged.append(replace(parts[0], members=members, count=sum(part.count for part in parts), rise=rise,
                              wakes=any(part.wakes for part in parts), firm=any(part.firm for part in parts),
                              fills=parts[0].fills))
    for first, other in _TOGETHER:
        main = next((leak for leak in merged if leak.function == first), None)
        if main is not None:
            same = [leak for leak in merged if leak.function == other]
            beside = [one.fingerprint for one in case.groups.values()
                      if one.cls in BLOCKED and any(frame.function == other for frame in one.frames)]
            merged = [leak for leak in merged if leak is not main and leak not in same]
            both = dict.fromkeys((*main.members, *(member for leak in same for member in leak.members), *beside))
            merged.append(replace(main, also=(other,) if same or beside else (), members=tuple(both)))
    result = [replace(leak, partner=_other_lock(case, leak, merged)) for leak in merged]
    return sorted(result, key=lambda one: (METHODS.index(one.method), -one.count, one.function))
