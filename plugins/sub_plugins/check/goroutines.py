# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the goroutines of a service end, and what do those that do not end wait for?

``leaked`` names the functions that leak and says how sure that is (``plugin_utils/leaks.py`` has the rules), ``growth_rate``
and ``count`` judge the number of all, ``blocked`` how many wait for one lock. Goroutines that wait for bytes of a connection
are no matter of these checks: ``limits.nofile_headroom`` counts connections.
"""
from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import leaks, runtimes
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Facts, Outcome, Policy, Remediation, Threshold, check, failed, lookup, passed, unknown,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.leaks import Diagnosis, Group, Leak, Rise, Snapshot, short
from ansible_collections.goready.preflight.plugins.plugin_utils.runtimes import Endpoint

NEEDS = ("runtime.endpoints",)
SHOWN_FRAMES = 12
SHOWN_GROUPS = 5
SHOWN_IDS = 12
SHOWN_LINES = 20
LONGEST_INTERVAL = 86400  # seconds; preflight_runtime.interval takes no more

_LOOK = "go tool pprof -top http://ADDRESS:PORT/debug/pprof/goroutine"


# ------------------------------------------------------------------------------------------------------- usual causes

@dataclass(frozen=True)
class _Cause:
    """What usually leaves goroutines like these, and how that is mended. ``functions`` are those that tell it by themselves."""

    cause: str
    mend: str
    functions: re.Pattern[str] | None = None


# By functions in the stack: what the library says about itself. The first that matches wins.
_BY_FUNCTION = tuple(_Cause(cause, mend, re.compile(functions)) for functions, cause, mend in (
    (r"net/http\.\(\*persistConn\)\.(?:readLoop|writeLoop)",
     "response bodies are not read to their end and closed, so that the connection is never given back",
     "Where the program makes HTTP requests, defer resp.Body.Close() after the error was looked at, and read the body to its end "
     "(io.Copy(io.Discard, resp.Body)); keep one http.Client, do not make a Transport for each request. The linter bodyclose finds the "
     "places."),
    (r"net/http\.\(\*(?:persistConn|http2ClientConn|http2clientStream|http2clientConn)\)\.roundTrip|"
     r"net/http/internal/http2\..*[rR]oundTrip",
     "an HTTP request waits for an answer without a timeout",
     "Set http.Client.Timeout, or make the request with a context that has a deadline (http.NewRequestWithContext)."),
    (r"database/sql\.\(\*Rows\)\.awaitDone", "rows of a query are not closed",
     "defer rows.Close() after each Query, and look at rows.Err(); the linter sqlclosecheck finds the places."),
    (r"database/sql\.\(\*Tx\)\.awaitDone", "a transaction is neither committed nor rolled back",
     "defer tx.Rollback() right after Begin: after a Commit it does nothing."),
    (r"database/sql\.\(\*DB\)\.conn", "all connections of the database pool are in use, and are not given back",
     "Close rows and end transactions on every path; look at DB.Stats(). Raise SetMaxOpenConns only then, and query with a context "
     "that has a deadline."),
    (r"database/sql\.\(\*DB\)\.(?:connectionOpener|connectionCleaner)", "a database handle is opened again and again and never closed",
     "Open one sql.DB for the program and share it: it is a pool."),
    (r"context\.\(\*cancelCtx\)\.propagateCancel|context\.\(\*afterFuncCtx\)|context\.AfterFunc",
     "a context is derived from one of another type and never cancelled",
     "Call the cancel function of every context.WithCancel, WithTimeout and WithDeadline (defer cancel()); go vet's lostcancel finds the "
     "places."),
    (r"os/exec\.\(\*Cmd\)", "a command was started and is not waited for, or never ends",
     "Call Cmd.Wait for each Cmd.Start, give the command a context with a deadline, and set WaitDelay."),
    (r"io\.\(\*[pP]ipe\)?\.?(?:read|write)|io\.\(\*Pipe(?:Reader|Writer)\)", "the other end of an io.Pipe was dropped and not closed",
     "Close both ends of the pipe on every path (CloseWithError)."),
    (r"google\.golang\.org/grpc(?:/|\.)", "a gRPC stream or ClientConn is not closed, or a call has no deadline",
     "Give each call a context with a deadline, receive a stream until io.EOF or cancel its context, keep one ClientConn a target and "
     "close it."),
    (r"k8s\.io/client-go/", "informers or watches are started again and again",
     "Start each informer factory once, stop watches (watch.Interface.Stop) and give them a stop channel."),
    (r"github\.com/fsnotify/", "a file watcher is made again and again and never closed",
     "defer watcher.Close(), and drain Events and Errors."),
    (r"gopkg\.in/natefinch/lumberjack", "a log file is opened again and again: each lumberjack.Logger keeps a goroutine for ever",
     "Make one lumberjack.Logger for each file, at the start."),
    (r"golang\.org/x/sync/(?:errgroup|semaphore)", "a member of the group never returns, or a weight is never released",
     "Let every function of the group end when the group's context is cancelled; defer Release after each Acquire."),
    (r"github\.com/go-sql-driver/mysql",
     "connections of the database pool rise: rows are not closed, or a handle is opened for each request",
     "Share one sql.DB, set SetMaxOpenConns, defer rows.Close()."),
))

_NIL = {
    "chan_send": _Cause("the channel is nil: it was declared and never made", "Make the channel (make(chan T, n)) before it is sent on."),
    "chan_receive": _Cause("the channel is nil: it was declared and never made", "Make the channel before somebody waits for it."),
}
_NO_CASES = _Cause("select {} waits for ever by its definition", "Start it once, or let it wait for a context's Done channel instead.")

_BY_CLASS = {
    "chan_send": _Cause(
        "nobody receives any more: the receiver returned early, by a timeout or an error",
        "Make the channel with room for every sender (make(chan T, 1) for one result), or send in a select with <-ctx.Done()."),
    "chan_receive": _Cause(
        "nobody sends and nobody closes the channel: a missing close after the last job (workers that range over it), a context that is "
        "never cancelled, or a sender that returned early",
        "Let the sender close the channel when it is through (defer close(jobs)), call every cancel function (defer cancel()), and receive "
        "in a select with <-ctx.Done()."),
    "select": _Cause(
        "it has no case that ends it, or that case never comes: a missing cancel",
        "Add a case for <-ctx.Done() and see that the context is cancelled (defer cancel()); close the channels that it waits for."),
    "lock": _Cause(
        "the lock is held and not given back: a return or panic before Unlock, a lock taken twice, two locks taken in opposite order, or a "
        "holder that itself waits",
        "Put defer mu.Unlock() below mu.Lock(), do not call foreign code with the lock held. The goroutine profile shows who waits; the "
        "holder is the one that has passed this line and waits somewhere else."),
    "cond": _Cause(
        "nobody calls Signal or Broadcast after the condition has changed",
        "Call Broadcast, with the lock held, wherever the condition may change, at the end of the program too; a channel that is closed is "
        "simpler."),
    "wait_group": _Cause(
        "Done is not called as often as Add counted: a return or panic before it",
        "defer wg.Done() as the first line of each goroutine, Add before it is started (or WaitGroup.Go from Go 1.25)."),
}
_TICKER = _Cause(
    "it goes round and is never ended: a loop around a ticker or timer that is started again and again",
    "Give the loop a case for <-ctx.Done() or a stop channel, defer ticker.Stop(), and start it once.")
_SLEEPER = _Cause(
    "it goes round and is never ended: a loop that sleeps between two rounds and is started again and again",
    "Replace time.Sleep by a select of <-ctx.Done() and a ticker (defer ticker.Stop()), and start the loop once, or cancel the context "
    "when its work is done.")


# What the program calls its function is a hint where the stack alone does not tell two causes apart: a profile shows neither
# what a channel is for nor what a select has for cases.
_BY_NAME = (
    (("select", "chan_receive"), re.compile(r"(?i)tick|heartbeat|interval|periodic|refresh|poll(?!ute)"), _TICKER),
    (("chan_receive",), re.compile(r"(?i)worker|pool|consum|drain|jobs?$"), _Cause(
        "workers range over a channel that nobody closes after the last job",
        "Let the sender close the channel when it is through (defer close(jobs)), and wait for the workers with a WaitGroup.")),
    (("chan_receive",), re.compile(r"(?i)ctx|context|cancel|done$"), _Cause(
        "the context that it waits for is never cancelled: its cancel function was dropped",
        "Call the cancel function of every context.WithCancel, WithTimeout and WithDeadline (defer cancel()); go vet's lostcancel finds "
        "the places.")),
)
_REACHED = _Cause(
    "a ticker, a timer or a global variable (a list of subscribers) still reaches what it waits for, since the runtime's leak profile does "
    "not list it; nothing ends it or takes it off",
    "Give the loop a case for <-ctx.Done() and stop its ticker; take the subscriber off the list, and close its channel, when it is done.")


def _cause(leak: Leak, groups: Sequence[Group], profiled: bool) -> _Cause:
    if leak.partner:
        return _Cause(
            f"a deadlock of two locks: as many goroutines wait for a lock in {leak.partner}",
            "Take the locks in the same order everywhere, or make them one; the stacks of both are in the evidence of both findings.")
    group = groups[0]
    for cause in _BY_FUNCTION:
        if cause.functions and any(cause.functions.match(frame.function) for frame in group.frames if frame.origin != "own"):
            return cause
    if "nil chan" in group.wait and group.cls in _NIL:
        return _NIL[group.cls]
    if "no cases" in group.wait:
        return _NO_CASES
    if group.cls == "sleep":
        return _SLEEPER
    if leak.wakes and group.cls in ("select", "chan_receive"):
        return _TICKER
    name = leaks.enclosing(_where(group).function).rpartition(".")[2]
    for classes, words, cause in _BY_NAME:
        if group.cls in classes and words.search(name):
            return cause
    if profiled and leak.method != "certain" and group.cls in ("chan_send", "chan_receive", "select"):
        return _REACHED
    return _BY_CLASS.get(group.cls, _Cause("what it waits for never comes", "Give it a way to end: a context, a deadline, a close."))


# ------------------------------------------------------------------------------------------------------- words

_WAITS = {
    "chan_send": "on a channel send", "chan_receive": "on a channel receive", "select": "on a select", "lock": "on a lock",
    "cond": "on a condition variable", "wait_group": "on a WaitGroup", "io": "for input or output", "sleep": "in a sleep",
    "syscall": "in a system call",
}


def _waits(group: Group) -> str:
    if "nil chan" in group.wait:
        return f"{_WAITS[group.cls]} on a nil channel" if group.cls in _NIL else "on a nil channel"
    if "no cases" in group.wait:
        return "on a select without cases"
    return _WAITS.get(group.cls, "for something that is not known")


def _short(frame: leaks.Frame) -> str:
    """A place for a sentence: of own code without the path of its package, which the subject and the evidence have."""
    if frame.origin != "own":
        return str(frame)
    head, bracket, types = frame.function.partition("[")
    name = head.rpartition("/")[2] + bracket + types
    return f"{name} ({short(frame.file)}:{frame.line})" if frame.file else name


def _goroutines(count: int) -> str:
    return "1 goroutine" if count == 1 else f"{count} goroutines"


def _span(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def _number(value: float) -> str:
    """Three figures: what a rate of few goroutines has at most."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _rate(rise: Rise) -> str:
    return f"{_number(rise.per_hour)} an hour, give or take {_number(rise.error)}"


def _where(group: Group) -> leaks.Frame:
    """The frame in which the group blocks, for the sentence: the first that is no mere primitive of the standard library."""
    if any(frame.origin == "own" for frame in group.frames):
        return leaks.blame(group)
    return next((frame for frame in group.frames if not re.match(r"(?:internal/)?sync\.|internal/poll\.|time\.", frame.function)),
                leaks.blame(group))


def _age(endpoint: Endpoint, snapshot: Snapshot) -> float | None:
    started = endpoint.facts.get("started")
    return snapshot.clock - float(started) if started is not None and snapshot.clock > float(started) else None


def _moment(snapshot: Snapshot) -> str:
    clock = re.search(r"\d{2}:\d{2}:\d{2}", snapshot.at)
    return f"{snapshot.phase} {clock.group()}" if clock else snapshot.phase


# ------------------------------------------------------------------------------------------------------- without takes

def _asked(endpoint: Endpoint) -> str:
    """Why a take has no goroutine profile."""
    for take in endpoint.takes:
        for part in take.get("asked") or ():
            if part.get("kind") == "goroutine" and part.get("error"):
                return str(part["error"].get("message"))
        for part in take.get("skipped") or ():
            if part.get("kind") == "goroutine":
                return f"it was left out: {part.get('reason')}"
    return "the answer had none"


def _each(facts: Facts) -> Iterator[tuple[Endpoint, list[Snapshot], Outcome | None]]:
    """Each endpoint with its snapshots, or the outcome that says why there are none."""
    for endpoint in runtimes.endpoints(facts):
        if not endpoint.takes:
            yield endpoint, [], runtimes.without_take(endpoint)
            continue
        found = leaks.snapshots(endpoint.facts)
        missing = None if found else unknown(
            f"The goroutine profile is not there: {_asked(endpoint)}.", subject=endpoint.subject, remediation=runtimes.SEE_AVAILABLE,
            severity=None if endpoint.declared else "info", evidence=endpoint.life)
        yield endpoint, found, missing


# ------------------------------------------------------------------------------------------------------- leaked

_HINT = ("Let every goroutine end: a context that is cancelled, a channel that is closed or has room, a deadline. The result names the "
         "function and what it waits for.")


@check(
    "goroutines.leaked",
    title="No goroutine is left behind",
    severity="high",
    profile="standard",
    why="A goroutine that waits for what never comes keeps its stack, everything it points to and often a connection or a lock; nothing "
        "ever ends it but the end of the process. Each costs little, so that it shows after days, as memory or file descriptors that run "
        "out. Source: Saioc et al., Unveiling and Vanquishing Goroutine Leaks in Enterprise Microservices (LeakProf; 2024), and Go 1.27, "
        "runtime/pprof, the goroutineleak profile.",
    judged="Three methods, and each result says which it is. (a) *Certain:* the runtime's goroutineleak profile (Go 1.27, 1.26 with "
           "GOEXPERIMENT=goroutineleakprofile) lists what nothing can wake any more: every function of it fails, however few. It does not "
           "know what a global variable, a timer or the network still reaches. (b) *Likely* (`deep`): goroutines blocked on a channel, "
           "select, lock, condition or WaitGroup whose number rises over the window, and that stay: with ids (the debug=2 dump of the "
           "snapshots; between them goroutines are only counted) each is followed, requests in work are other ones each time. Without, "
           "above dump_limit, the rise must be one that chance gives in less than 1 of 10,000 cases and a fifth at least, or the "
           "number never fell in 12 steps and rose by 24 (by 12: suspicion, medium), which chance gives in 7 (20) of 10,000. "
           "Loops that sleep count where they are seen to go round. Goroutines that may be idle workers (on a receive, a select, a "
           "condition, in a sleep) are none where their rise ended within the window, and a suspicion (low) where it slows down, or where "
           "no more than 64 came since the window began, in less than 2 minutes: a pool that fills looks the same. "
           "What a load leaves behind counts too, as medium where it did not go on growing "
           "while the load lasted (a pool does that): from 50. (c) *Suspicion* (low), where there is no goroutineleak profile: "
           "`suspicious` goroutines of own code at one source line, unless ids or ages show that they are work that goes on. Not a "
           "finding: waits for the bytes of a peer, goroutines beside a live "
           "connection whose number moves with it, and listeners, pools, informers and other known waits of constant number. Their list "
           "with the reason for each is plugins/plugin_utils/data/goroutine_innocents.json. Snapshots of two lives of a process "
           "are never compared.",
    remediation=Remediation(hint=_HINT, command=_LOOK),
    needs=NEEDS,
    thresholds={
        "suspicious": Threshold(
            1000, "Goroutines blocked at one source line of own code that are a suspicion where nothing better is known. LeakProf asks for "
            "10,000 over a fleet whose processes have tens of thousands; one service has workers by the hundred and rarely more.",
            unit="goroutines", minimum=2),
    },
)
def leaked(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    for endpoint, found, missing in _each(facts):
        profiled = any((take.get("leaks") or {}).get("available") for take in endpoint.takes)
        if missing is not None and not profiled:
            yield missing
            continue
        limit = int(policy.threshold(leaked, "suspicious"))
        diagnosis = leaks.find(endpoint.facts, suspicious=limit)
        if diagnosis.leaks:
            for leak in diagnosis.leaks:
                yield _leak(endpoint, diagnosis, leak)
        else:
            failed_load = bool(lookup(facts, "runtime.load.error"))
            yield _no_leak(endpoint, diagnosis, found, limit, loaded=diagnosis.load and not failed_load)


def _leak(endpoint: Endpoint, diagnosis: Diagnosis, leak: Leak) -> Outcome:
    groups = [diagnosis.groups[one] for one in leak.members if one in diagnosis.groups]
    if not groups:  # the list of groups is bounded, the profile's own is not
        groups = [Group(leak.members[0], "other", (leak.where,), None, "")]
    group, cause = groups[0], _cause(leak, groups, diagnosis.profiled)
    at = _where(group)
    others = f" (and as many in {', '.join(leak.also)})" if leak.also else ""
    one = leak.count == 1
    wait = ("waits" if one else "wait") + (" for ever" if leak.method == "certain" else "")
    blocked = f"{_goroutines(leak.count)} {wait} {_waits(group)} in {_short(at)}{others}"
    severity, rise = None, leak.rise
    if leak.method == "certain":
        reason = f"{blocked}: certain, the runtime's leak profile names {'it' if one else 'them'}."
        if rise is not None:
            reason += f" Their number rose {_since(rise)}."
    elif leak.method == "likely" and rise is not None and rise.under_load:
        severity = "medium" if rise.stays else None
        reason = (f"{blocked}: {rise.counts[0]} before the load, {rise.counts[-1]} after it: "
                  f"{'a leak, or a pool that the load has filled' if rise.stays else 'likely, they rose as long as it lasted'}.")
    elif leak.method == "likely" and rise is not None:
        reason = f"{blocked}: likely, {_proof(rise)}. Their number rose {_since(rise)}."
    else:
        severity = "medium" if leak.firm else "low"
        why = ("a leak, or a pool that fills" if leak.fills else
               "more than usual wait at one line" if rise is None or not (rise.births or rise.never_fell) else
               "their number never fell" if rise.never_fell else "their number rises, too little to be sure")
        reason = f"{blocked}: suspicion, {why}." + (f" Their number rose {_since(rise)}." if rise is not None else "")
    actual: dict[str, Any] = {"method": leak.method, "goroutines": leak.count, "function": at.function, "class": group.cls}
    if leak.rise is not None and not leak.rise.under_load:
        actual |= {"per_hour": round(leak.rise.per_hour, 1), "error": round(leak.rise.error, 1)}
    return failed(
        reason, subject=f"{endpoint.subject} {leak.function}", actual=actual, severity=severity,
        expected="goroutines that end", evidence=_evidence(endpoint, diagnosis, leak, groups, cause),
        remediation=Remediation(hint=f"Usual cause: {cause.cause}. {cause.mend}", command=_command(endpoint)))


def _since(rise: Rise) -> str:
    return f"from {rise.counts[0]} to {rise.counts[-1]} in {_span(rise.seconds)} ({_rate(rise)})"


def _proof(rise: Rise) -> str:
    if rise.births is None:
        return "their number never fell" if rise.never_fell else "they rose by more than chance"
    return "none of them has ended" if not rise.ends else f"{rise.births} began and only {rise.ends} ended"


def _command(endpoint: Endpoint) -> str:
    """The page of this endpoint, where it is one that the standard tool can reach as it is."""
    listener = endpoint.facts.get("listener") or {}
    if listener.get("proto") == "unix" or endpoint.facts.get("credentials") or endpoint.facts.get("container"):
        return ""
    scheme = "https+insecure" if endpoint.facts.get("scheme") == "https" else "http"
    address = runtimes.where(endpoint.facts).replace("0.0.0.0", "127.0.0.1").replace("[::]", "127.0.0.1")
    return f"go tool pprof -traces {scheme}://{address}{endpoint.facts.get('prefix') or ''}/debug/pprof/goroutine"


def _evidence(endpoint: Endpoint, diagnosis: Diagnosis, leak: Leak, groups: Sequence[Group], cause: _Cause) -> list[str]:
    lines = [f"usual cause: {cause.cause}"]
    for group in groups[:SHOWN_GROUPS]:
        lines += _stack(group)
        counts = [(one, one.counts.get(group.fingerprint, 0)) for one in diagnosis.snapshots]
        if counts:
            lines.append("counts: " + ", ".join(f"{_moment(one)}: {count}" for one, count in counts))
        lines += _ids(diagnosis, group)
    if len(groups) > SHOWN_GROUPS:
        lines.append(f"... and {len(groups) - SHOWN_GROUPS} more stacks of the same function")
    if leak.partner:
        other = next((one for one in diagnosis.leaks if one.function == leak.partner), None)
        if other and other.members[0] in diagnosis.groups:
            lines += ["the other side of the deadlock:", *_stack(diagnosis.groups[other.members[0]])]
    if leak.rise is not None and leak.rise.births is not None:
        lines.append(f"followed by id: {leak.rise.births} began and {leak.rise.ends} ended in the window")
    age = _age(endpoint, diagnosis.snapshots[-1]) if diagnosis.snapshots else None
    if age is not None:
        lines.append(f"PID {endpoint.facts.get('pid')} had run for {_span(age)} at the last snapshot")
    return [*lines, *endpoint.life]


def _stack(group: Group) -> list[str]:
    shown = [f"  {frame.function} {frame.file}:{frame.line}" + (" (own)" if frame.origin == "own" else "")
             for frame in group.frames[:SHOWN_FRAMES]]
    if len(group.frames) > SHOWN_FRAMES:
        shown.append(f"  ... {len(group.frames) - SHOWN_FRAMES} more frames")
    if group.created_by:
        shown.append(f"  created by {group.created_by.function} {group.created_by.file}:{group.created_by.line}")
    return [f"stack {group.fingerprint}, {group.wait or group.cls.replace('_', ' ')}:", *shown]


def _ids(diagnosis: Diagnosis, group: Group) -> list[str]:
    """Ids and ages from the last dump that has the group. Minutes count from the first GC after the goroutine blocked
    (src/runtime/traceback.go, goroutineheader; waitsince is set by the GC), so they are a lower bound."""
    for one in reversed(diagnosis.snapshots):
        ids = sorted((one.ids or {}).get(group.fingerprint, ()))
        if ids:
            minutes = one.minutes.get(group.fingerprint)
            reasons = ", ".join(f"{what} {count}" for what, count in (one.waits.get(group.fingerprint) or {}).items())
            more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
            return [f"goroutines {', '.join(map(str, ids[:SHOWN_IDS]))}{more}: "
                    + ("no age is shown" if minutes is None else
                       f"the oldest waits for {minutes} {'minute' if minutes == 1 else 'minutes'} at least")
                    + (f"; {reasons}" if reasons else "")]
    return []


def _no_leak(endpoint: Endpoint, diagnosis: Diagnosis, found: Sequence[Snapshot], limit: int, *, loaded: bool) -> Outcome:
    """What was looked at, by which of the three methods, and what that cannot see."""
    total = found[-1].total if found else 0
    said = []
    if diagnosis.profiled:
        said.append("the runtime's leak profile lists none (certain)")
    if len(diagnosis.window) > 1:
        seconds = diagnosis.window[-1].clock - diagnosis.window[0].clock
        number, ids = len(diagnosis.window), diagnosis.followed
        how = "by number, without ids" if ids < 2 else "followed by id" if ids == number else f"by number, followed by id in {ids}"
        said.append(f"no blocked group rose and stayed over {number} snapshots in {_span(seconds)} (likely: {how})")
    if loaded:
        said.append("the load left none behind")
    if not diagnosis.profiled:
        said.append(f"no line of own code blocks {limit} goroutines (suspicion)")
    whole = f"Of {_goroutines(total)} none" if found else "No goroutine"
    reason = f"{whole} is found to leak: {', '.join(said[:-1])}{' and ' if len(said) > 1 else ''}{said[-1]}."
    evidence = []
    if not diagnosis.profiled:
        evidence.append(f"no goroutineleak profile: {diagnosis.why_not} (Go 1.27 has it, 1.26 with GOEXPERIMENT=goroutineleakprofile)")
    if len(diagnosis.window) < 2:
        if not diagnosis.profiled:
            reason = reason[:-1] + "; one look without the runtime's leak profile sees no slow leak and no small one."
        else:
            evidence.append("one look does not see what grows while a global variable or a timer still reaches it: profile deep does")
    elif diagnosis.window[-1].clock - diagnosis.window[0].clock < leaks.SLOW_WINDOW:
        evidence.append("the window is short: a leak of fewer than 8 goroutines in it is not told from chance")
    if len(diagnosis.window) > 1 and diagnosis.followed < 2:
        evidence.append("no ids (no dump, or above dump_limit): a leak of fewer than 12 goroutines in the window is not told from chance")
    evidence += [f"rose, too little to be told from chance: {line}" for line in diagnosis.watched]
    evidence += [f"moves with its connections: {line}" for line in diagnosis.connected]
    evidence = evidence[:SHOWN_LINES] + ([f"... and {len(evidence) - SHOWN_LINES} more"] if len(evidence) > SHOWN_LINES else [])
    return passed(reason, subject=endpoint.subject, actual=0, expected=0, evidence=[*evidence, *endpoint.life])


# ------------------------------------------------------------------------------------------------------- count

def _peers(snapshot: Snapshot, groups: Mapping[str, Group]) -> int:
    """Goroutines that wait for a peer's bytes, or live beside a connection."""
    return sum(count for name, count in snapshot.counts.items() if name in groups and _of_a_connection(groups[name]))


def _of_a_connection(group: Group) -> bool:
    return group.waits_for_peer or (group.innocent is not None and group.innocent.kind in ("connection", "pool"))


def _dominant(snapshot: Snapshot, groups: Mapping[str, Group]) -> tuple[str, int]:
    """Where the most goroutines of one place are, connections left aside: its words and its number."""
    places: Counter[tuple[str, str]] = Counter()
    for name, count in snapshot.counts.items():
        group = groups.get(name)
        if group is not None and group.frames and not _of_a_connection(group):
            places[(_short(_where(group)), group.cls)] += count
    if not places:
        return "", 0
    (words, cls), count = max(places.items(), key=lambda pair: (pair[1], pair[0]))
    return f"{words}, {cls.replace('_', ' ')}", count


def _table(snapshot: Snapshot, groups: Mapping[str, Group]) -> list[str]:
    places: Counter[str] = Counter()
    for name, count in snapshot.counts.items():
        group = groups.get(name)
        places[f"{_where(group)}, {group.cls.replace('_', ' ')}" if group and group.frames else "(no stack)"] += count
    ranked = sorted(places.items(), key=lambda pair: (-pair[1], pair[0]))
    return [f"{count}: {words}" for words, count in ranked[:SHOWN_GROUPS]]


@check(
    "goroutines.count",
    title="The number of goroutines is in bounds",
    severity="medium",
    profile="standard",
    why="A goroutine has a stack of 2 KiB at least, and what it points to; the collector scans every stack, and a dump of all stops the "
        "service (10,000: 40 to 140 ms, measured with Go 1.27). Tens of thousands that do not wait for a connection are work without "
        "bounds: no limit on what is accepted, a queue that only grows, or a leak. Source: Go, src/runtime/stack.go (stackMin) and "
        "src/runtime/mprof.go (goroutine profile).",
    judged="The highest number of all takes, less those that wait for the bytes of a peer or live beside a connection (a proxy has two "
           "for each: limits.nofile_headroom judges connections), must not be above `max`. The place with the most is named. The "
           "default is LeakProf's number for one place, here for a whole process: a service at rest has tens, a busy one hundreds "
           "or some thousands.",
    remediation=Remediation(
        hint="Bound the work that is accepted at a time (a semaphore, errgroup.SetLimit, http.Server timeouts), and see goroutines.leaked "
             "whether they end.", command=_LOOK),
    needs=NEEDS,
    thresholds={"max": Threshold(10_000, "Goroutines of one process that do not belong to a connection.", unit="goroutines", minimum=10)},
)
def count(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    limit = int(policy.threshold(count, "max"))
    for endpoint, found, missing in _each(facts):
        if missing is not None:
            yield missing
            continue
        groups = leaks.groups_of(endpoint.facts)
        top = max(found, key=lambda one: one.total - _peers(one, groups))
        peers = _peers(top, groups)
        rest = top.total - peers
        words, most = _dominant(top, groups)
        when = f" ({_moment(top)})" if len(found) > 1 else ""
        named = f"; {most} are at {words}" if words else ""
        with_peers = f" and {peers} of connections" if peers else ""
        evidence = [*_table(top, groups), *endpoint.life]
        if rest > limit:
            yield failed(f"The process has {_goroutines(rest)}{with_peers}{when}, {limit} are accepted{named}.", subject=endpoint.subject,
                         actual=rest, expected=limit, evidence=evidence)
        else:
            yield passed(f"The process has {_goroutines(rest)}{with_peers}{when}{named}.", subject=endpoint.subject, actual=rest,
                         expected=limit, evidence=evidence)


# ------------------------------------------------------------------------------------------------------- growth_rate

@check(
    "goroutines.growth_rate",
    title="The number of goroutines does not grow",
    severity="high",
    profile="deep",
    why="A leak shows in the number of goroutines long before it shows in memory. A steady 0.7 % an hour doubles them in four days. The "
        "number is this project's early warning, not a law: it is a threshold.",
    judged="The snapshots of phase idle are two consecutive windows (their first, middle and last); goroutines that wait for a peer or "
           "live beside a connection are not counted, what a load does is not compared. It fails where the number grows in both windows by "
           "more than `percent` an hour beyond the error, and one place at least rises by itself, which is named (the rules of "
           "goroutines.leaked): traffic that grows is other goroutines each time. A pool that may still fill is unknown (info). Where the "
           "error, "
           "two standard deviations of what came and went, is larger than the threshold, the result is unknown (info) and says how long a "
           "window this service needs: one goroutine more of 100 within a minute is 60 % an hour, and may be a request. It passes where "
           "growth above the threshold is excluded, or where the number falls.",
    remediation=Remediation(
        hint="See goroutines.leaked for the function. For a rate as small as the threshold, take snapshots over hours: "
             "preflight_runtime with snapshots: 3 and an interval of half the time that the result names.", command=_LOOK),
    needs=NEEDS,
    thresholds={"percent": Threshold(0.7, "Growth that is accepted.", unit="percent an hour", minimum=0.01)},
)
def growth_rate(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    limit = float(policy.threshold(growth_rate, "percent"))
    for endpoint, found, missing in _each(facts):
        yield missing or _growth(endpoint, [one for one in found if one.phase == "idle"], limit)


def _growth(endpoint: Endpoint, idle: Sequence[Snapshot], limit: float) -> Outcome:
    subject, evidence = endpoint.subject, endpoint.life
    if len(idle) < 3:
        told = f" ({evidence[0]})" if evidence else ""
        return unknown(f"Two consecutive windows need 3 snapshots of one life of the process; there are {len(idle)}{told}.",
                       subject=subject, severity="info", evidence=evidence)
    members, places = leaks.growing(leaks.groups_of(endpoint.facts), idle)
    chosen = [idle[0], idle[len(idle) // 2], idle[-1]]
    # What is left out of the bounded list of groups is counted too: it belongs to no connection that is known of.
    counts = [one.count(members) + one.left_out for one in chosen]
    seconds = idle[-1].clock - idle[0].clock
    if not counts[0] or seconds <= 0:
        return unknown("No goroutine of the service itself is in the first snapshot.", subject=subject, severity="info", evidence=evidence)
    evidence = ["goroutines, less those of connections: " + ", ".join(
        f"{_moment(one)}: {number}" for one, number in zip(chosen, counts, strict=True)), *evidence]
    changes = _changes(idle, members)
    error_count = 2 * math.sqrt(max(1, changes)) if changes is not None else 2 * math.sqrt(counts[0] + counts[-1])
    error_count = max(1.0, error_count)
    percent = 100 * 3600 / seconds / counts[0]
    rate, error = (counts[-1] - counts[0]) * percent, error_count * percent
    words = f"{_number(rate)} % an hour, give or take {_number(error)}"
    numbers = f"{counts[0]} -> {counts[1]} -> {counts[2]} goroutines in {_span(seconds)}"
    sentence = f"{numbers}: {words}"
    actual = {"percent_per_hour": round(rate, 2), "error": round(error, 2)}
    grows = counts[0] < counts[1] < counts[2] and rate - error > limit
    sure = [place for place in places if not place[2]]
    if grows and sure:
        more, frame, _fills = sure[0]
        others = f", the most of {len(sure)} places" if len(sure) > 1 else ""
        return failed(f"{sentence}; {limit:g} are accepted. {more} more are in {_short(frame)}{others}.", subject=subject, actual=actual,
                      expected=limit, evidence=[*(f"{number} more in {where}" for number, where, _fills in sure[:SHOWN_GROUPS]), *evidence])
    if grows and places:
        return unknown(f"{numbers}: a leak, or a pool that fills, in {_short(places[0][1])}; a longer window tells.", subject=subject,
                       severity="info", actual=actual, expected=limit, evidence=[words, *evidence],
                       remediation=Remediation(hint="Look again when the service has run under its usual traffic for some minutes."))
    if rate + error <= limit or (counts[2] < counts[0] and rate + error <= 0):
        return passed(f"{sentence}; {limit:g} are accepted.", subject=subject, actual=actual, expected=limit, evidence=evidence)
    # The noise of a stationary number does not grow with the window: a longer one makes the same error a smaller rate.
    hours = error_count / (counts[0] * limit / 100)
    apart = math.ceil(hours / 2 * 3600)
    needed = f"to tell {limit:g} % an hour of so many goroutines a window of {_span(hours * 3600)} is needed"
    hint = "Let the monitoring watch go_goroutines: no run waits that long." if apart > LONGEST_INTERVAL else (
        f"For an answer, take 3 snapshots {_span(apart)} apart (preflight_runtime: snapshots: 3, interval: {apart}), or let the "
        "monitoring watch go_goroutines.")
    return unknown(f"{numbers}: the window is too short to tell {limit:g} % an hour.", subject=subject, severity="info", actual=actual,
                   expected=limit, evidence=[words, needed, *evidence], remediation=Remediation(hint=hint))


def _changes(idle: Sequence[Snapshot], members: Sequence[str]) -> int | None:
    """Goroutines that came or went between the snapshots with ids; None where those do not reach from the first to the last."""
    followed = [one for one in idle if one.followed(members)]
    if len(followed) < 2 or followed[0] is not idle[0] or followed[-1] is not idle[-1]:
        return None
    return sum(leaks.changes(followed, members))


# ------------------------------------------------------------------------------------------------------- blocked

@check(
    "goroutines.blocked",
    title="The goroutines do not queue at one lock",
    severity="medium",
    profile="standard",
    why="When a large part of a service waits for one lock, the lock is the service's speed, or its holder never gives it back and the "
        "service stands still with a process that looks alive. Source: Go, src/sync/mutex.go, and the wait reason of blocked goroutines in "
        "src/runtime/runtime2.go (waitReasonSyncMutexLock, waitReasonSyncRWMutexLock).",
    judged="In each take the goroutines that wait for a lock (sync.Mutex, sync.RWMutex) are counted by source line of own code, else by "
           "the innermost frame. It fails where `percent` of all goroutines and `least` of them wait at one line, in more than half of "
           "the takes of a phase: one look may see a short queue. Who holds the lock a profile does not say.",
    remediation=Remediation(
        hint="Hold the lock for less: no IO and no foreign call inside, split it, or use RWMutex, atomic or a channel. The mutex profile "
             "(pprof.mutex_sampling) names the holder; where nothing moves, look for a return without Unlock.", command=_LOOK),
    needs=NEEDS,
    thresholds={
        "percent": Threshold(25.0, "Share of all goroutines that may wait at one lock.", unit="percent", minimum=1, maximum=100),
        "least": Threshold(50, "Waiting goroutines below which the share says nothing.", unit="goroutines", minimum=2),
    },
)
def blocked(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    for endpoint, found, missing in _each(facts):
        yield missing or _queue(endpoint, found, float(policy.threshold(blocked, "percent")), int(policy.threshold(blocked, "least")))


def _queue(endpoint: Endpoint, found: Sequence[Snapshot], percent: float, least: int) -> Outcome:
    groups = leaks.groups_of(endpoint.facts)
    phases: dict[str, list[tuple[Snapshot, str, int]]] = {}
    for one in found:
        places: Counter[str] = Counter()
        for name, number in one.counts.items():
            group = groups.get(name)
            if group is not None and group.cls == "lock" and group.frames:
                places[_short(_where(group))] += number
        words, most = max(places.items(), key=lambda pair: (pair[1], pair[0]), default=("", 0))
        phases.setdefault(one.phase, []).append((one, words, most))
    evidence = [f"{_moment(one)}: {most} of {one.total} wait for a lock in {words}" if most else f"{_moment(one)}: none of {one.total}"
                for takes in phases.values() for one, words, most in takes]
    worst: tuple[float, Snapshot, str, int] | None = None
    for takes in phases.values():
        over = [(100 * most / max(1, one.total), one, words, most) for one, words, most in takes
                if most >= least and 100 * most >= percent * one.total]
        if 2 * len(over) > len(takes):
            worst = max([*over, *([worst] if worst else [])], key=lambda one: one[0])
    evidence += endpoint.life
    if worst is not None:
        share, one, words, most = worst
        return failed(f"{most} of {one.total} goroutines ({share:.0f} %) wait for a lock in {words}; {percent:g} % are accepted.",
                      subject=endpoint.subject, actual=round(share, 1), expected=percent, evidence=evidence)
    most, one, words = max(((most, one, words) for takes in phases.values() for one, words, most in takes), key=lambda part: part[0])
    reason = (f"{most} of {one.total} goroutines wait for a lock in {words}." if most else
              f"None of {_goroutines(one.total)} waits for a lock.")
    return passed(reason, subject=endpoint.subject, actual=round(100 * most / max(1, one.total), 1), expected=percent, evidence=evidence)
