# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated Go process whose goroutines are known: facts of its endpoint, as the collector writes them.

Goroutines are born and end at times that a test chooses; a take sees those that live. Ids are given in the order of birth, as
the runtime does.
"""
from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Frames = Sequence[tuple[str, str, int, str]]
FOREVER = float("inf")
OWN = (("main.wait", "/src/api/main.go", 12, "own"), ("main.serve", "/src/api/main.go", 30, "own"))
MADE = ("main.handle", "/src/api/main.go", 44, "own")


@dataclass
class World:
    """``started`` and all times are seconds since boot."""

    started: float = 1000.0
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    lives: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def group(self, name: str, cls: str = "chan_send", frames: Frames = OWN, created_by: Any = MADE, wait: str | None = None) -> str:
        self.groups[name] = {"class": cls, "frames": [list(frame) for frame in frames],
                             "created_by": list(created_by) if created_by else None, "wait": wait}
        self.lives.setdefault(name, [])
        return name

    def constant(self, name: str, number: int) -> None:
        self.lives[name] += [(self.started, FOREVER)] * number

    def at(self, name: str, *births: float, life: float = FOREVER) -> None:
        self.lives[name] += [(birth, birth + life) for birth in births]

    def leak(self, name: str, every: float, begin: float, end: float) -> None:
        """One each ``every`` seconds from ``begin`` on, in the middle of its interval."""
        number = int((end - begin) / every)
        self.at(name, *(begin + (index + 0.5) * every for index in range(number)))

    def requests(self, name: str, source: random.Random, mean: float, life: float, begin: float, end: float) -> None:
        """``mean`` requests in work at a time, of exponential life, that arrive at random: the M/M/infinity queue in its steady state."""
        for _unused in range(poisson(source, mean)):
            self.lives[name].append((begin, begin + source.expovariate(1 / life)))
        moment = begin
        while True:
            moment += source.expovariate(mean / life)
            if moment > end:
                return
            self.lives[name].append((moment, moment + source.expovariate(1 / life)))

    def endpoint(self, times: Sequence[float], *, phases: Sequence[str] = (), dump: bool = True, leaks: Sequence[str] | None = None,
                 created: bool = True, minutes: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
        """One entry of ``runtime.endpoints`` with a take at each of the times. ``leaks``: the groups that the runtime's leak
        profile lists (None: the profile is not there)."""
        everybody = sorted((birth, number, name, end) for name, lives in self.lives.items()
                           for number, (birth, end) in enumerate(lives))
        takes = []
        for index, time in enumerate(times):
            ids: dict[str, list[int]] = {}
            for ident, (birth, _number, name, end) in enumerate(everybody, 1):
                if birth <= time < end:
                    ids.setdefault(name, []).append(ident)
            counts = {name: len(members) for name, members in ids.items()}
            at = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=time - times[0])
            takes.append({
                "phase": phases[index] if phases else ("idle" if len(times) > 1 else "once"), "at": at.isoformat(), "clock": time,
                "asked": [], "skipped": [],
                "goroutines": {"total": sum(counts.values()), "counts": counts, "left_out": 0},
                "dump": {"total": sum(counts.values()), "complete": True, "ids": ids,
                         "minutes": {name: (minutes or {}).get(name) for name in ids},
                         "waits": {name: {self.groups[name]["class"].replace("_", " "): count} for name, count in counts.items()}}
                if dump else None,
                "leaks": {"available": False, "reason": "Go 1.26 has no such profile", "total": 0, "counts": {}} if leaks is None else
                {"available": True, "reason": None, "total": sum(counts.get(name, 0) for name in leaks),
                 "counts": {name: counts[name] for name in leaks if counts.get(name)}},
            })
        groups = {name: {**group, "created_by": group["created_by"] if created and dump else None} for name, group in self.groups.items()}
        return {
            "service": "api", "container": None, "pid": 812, "started": self.started, "declared": True, "scheme": "http", "prefix": "",
            "listener": {"proto": "tcp", "address": "127.0.0.1", "port": 6060, "path": None}, "credentials": None,
            "go_version": "go1.26.4", "module": "example.org/api", "error": None, "restarted": None, "groups": groups, "takes": takes,
            **more}


def poisson(source: random.Random, mean: float) -> int:
    """A Poisson number."""
    if mean > 500:
        return max(0, round(source.gauss(mean, mean ** 0.5)))
    limit, product, number = 2.718281828459045 ** -mean, source.random(), 0
    while product > limit:
        product *= source.random()
        number += 1
    return number
