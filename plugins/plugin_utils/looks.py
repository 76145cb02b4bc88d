# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several looks at the services of one host, with a load between them: what the ``deep`` profile does after its first call.

The first call has collected everything and taken each endpoint once. :func:`go_on` makes the further calls at their times,
starts and ends the load, and appends what they bring to the facts. What goes wrong on the way is kept beside what is there.
"""
from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from ansible_collections.goready.preflight.plugins.module_utils.redact import redact_text
from ansible_collections.goready.preflight.plugins.plugin_utils import runtimes
from ansible_collections.goready.preflight.plugins.plugin_utils.sampling import COUNT, Load, Sampling, Step

#: Makes one call of ``readiness_facts`` for a step and the endpoints it is for; returns its answer.
Call = Callable[[Step, list[dict[str, Any]]], Mapping[str, Any]]
POLL = 0.5   # seconds between two questions whether a load has ended
TAIL = 2000  # bytes of what it printed that are looked at
GRACE = 5.0  # seconds that it is given to end by itself


class Running(Protocol):
    """A load on its way."""

    def ended(self) -> bool:
        """Whether it is over."""

    def finish(self) -> tuple[int | None, str]:
        """End it where it is not over. Its exit status (None: it was ended, or nobody can say) and what it said of an error."""


def go_on(facts: dict[str, Any], steps: Sequence[Step], load: Load | None, *, call: Call, start: Callable[[Load], Running],
          keep: Callable[[Mapping[str, Any]], None], say: Callable[[str], None], begin: float,
          clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
    """Make the calls of ``steps`` (those after the first). ``begin`` is when the first one had ended.

    ``keep`` gets every answer for the raw profiles in it. ``facts["runtime"]`` grows in place; ``facts["runtime"]["load"]``
    says what became of the load.
    """
    runtime: dict[str, Any] = facts["runtime"]

    def wait(moment: float, running: Running | None = None) -> None:
        while clock() < moment and not (running and running.ended()):
            sleep(max(0.01, min(POLL, moment - clock())))

    def look(number: int, step: Step) -> None:
        answer = call(step, runtimes.targets(runtime))
        later = (answer.get("facts") or {}).get("runtime")
        if not isinstance(later, Mapping):
            facts.setdefault("errors", []).append({
                "part": "runtime.takes", "kind": "unavailable",
                "message": f"look {number} ({step.phase}) gave nothing: {answer.get('msg') or 'no facts'}"[:500]})
            return
        runtimes.merge(runtime, later)
        keep(answer)

    if not runtimes.targets(runtime):
        return
    numbered = list(enumerate(steps, 2))
    whole = [step.after for step in steps if step.phase == "idle" and step.kinds != COUNT]
    if whole:
        say(f"{len(whole) + 1} looks at its services over {whole[-1]} s")
    for number, step in numbered:
        if step.phase == "idle":
            wait(begin + step.after)
            look(number, step)
            if step.after in whole[:-1]:
                say(f"look {whole.index(step.after) + 2} of {len(whole) + 1} made, the last one in {whole[-1] - step.after} s")
    if load is None:
        return
    say(f"load: {load.words}, {load.duration} s" if load.kind != "external" else
        f"load: start it now, it is looked at for {load.duration} s")
    running = start(load)  # on a busy host this takes a while
    started = clock()
    try:
        for number, step in numbered:
            if step.phase == "load":
                wait(started + step.after, running)
                if running.ended():
                    break  # there is no load any more to be looked at
                look(number, step)
        wait(started + load.duration + GRACE, running)
    finally:
        runtime["load"] = _ended(load, running, clock() - started)
    if runtime["load"]["error"]:
        say(f"the load failed: {runtime['load']['error']}")
    ended = clock()
    for number, step in numbered:
        if step.phase == "after":
            say(f"the load has ended: a look in {max(0.0, ended + step.after - clock()):.0f} s")
            wait(ended + step.after)
            look(number, step)


def plan(sampling: Sampling, load: Load | None, profile: str) -> dict[str, Any]:
    """``runtime.plan`` of the facts: how the host was looked at."""
    return {"profile": profile, **asdict(sampling), "kinds": list(sampling.kinds),
            "load": {"kind": load.kind, "words": load.words, "from": load.place, "duration": load.duration,
                     "settle": load.settle} if load is not None and profile == "deep" else None}


def _ended(load: Load, running: Running, seconds: float) -> dict[str, Any]:
    rc, said = running.finish()
    # timeout(1) ends with 124 where it ended the command, with 137 where that took a SIGKILL: a load that runs until it is
    # ended is none that failed.
    failed = rc not in (0, None, 124) and not (rc in (137, -signal.SIGKILL) and seconds >= load.duration)
    return {"words": load.words, "seconds": round(seconds, 1), "rc": rc,
            "error": f"it ended with exit status {rc}: {said or 'it said nothing'}" if failed else None}


def _end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent ends (prctl(2), PR_SET_PDEATHSIG): a worker that Ctrl-C or the task's time-out
    kills runs no ``finally``."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)


class External:
    """A load that somebody else makes."""

    def __init__(self, load: Load) -> None:
        self._end = time.monotonic() + load.duration

    def ended(self) -> bool:
        return time.monotonic() >= self._end

    def finish(self) -> tuple[int | None, str]:
        return None, ""


class Local:
    """A load that is a process on the controller, with all its children in a session of their own. It ends with its duration,
    and with this process, whatever ends that."""

    def __init__(self, load: Load) -> None:
        self._end = time.monotonic() + load.duration
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by finish()
        self._failure = ""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # macOS has no timeout(1): there it ends with its duration as long as this process is there.
            argv = bounded(load) if shutil.which("timeout") else load.argv
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said,
                                             start_new_session=True, preexec_fn=_end_with_parent)
        except OSError as exc:
            self._failure = f"{load.argv[0]} cannot be run: {exc.strerror}"

    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None or time.monotonic() >= self._end

    def finish(self) -> tuple[int | None, str]:
        if self._process is None:
            self._said.close()
            return 127, self._failure
        rc = self._process.poll()
        for number in (signal.SIGTERM, signal.SIGKILL):
            # What it started and left behind ends as well: the group lasts as long as anything of it.
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(GRACE)
            except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
                pass
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - TAIL))
        said = " ".join(redact_text(self._said.read().decode("utf-8", "replace")).split())
        self._said.close()
        return rc, said[-500:]


def bounded(load: Load) -> list[str]:
    """The load's command as a host runs it: ended there by timeout(1), also where the controller is gone."""
    return ["timeout", "--kill-after=5", str(load.duration), *load.argv]
