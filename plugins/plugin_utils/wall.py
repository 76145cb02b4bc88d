# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wall-clock profile: where requests spend their time, from goroutines that were counted several times.

Public: :class:`State`, :class:`Profile`, :func:`profile`, :func:`state_of`, :data:`WORDS`.

A goroutine profile is a sample of all goroutines at one moment. Of those that handle a request then, the part that waits in X
is the share of a request's time that is spent in X: by Little's law (L = lambda W) the requests that are in X are the rate of
requests times what each spends there, and the rate is the same for every X. It holds for requests that come and go; a
connection that was taken over (a websocket) and a stream that waits for its client are none, and are left out.

What a goroutine does is read from its frames and its class (module_utils/goroutines.py). One thing is not where the request
waits: net/http dials in a goroutine of its own (Transport.queueForDial starts dialConnFor), while the handler waits in getConn.
These handlers are divided as the dials in flight are: some in name resolution, some in connect, some in the handshake.

Nor is it where a handler has handed its work to goroutines of its own (errgroup, WaitGroup, a time-out around the next handler):
they run a closure of the function that waits, ``main.pay.func1`` in ``main.pay`` (cmd/compile, closure naming), and the handlers
are divided as these are. So are those behind a singleflight, as its leaders are.

A long poll waits for an event, and is not slow. It stands in a select, a receive or a condition, as a request does whose work is
done by another goroutine. What tells them apart: a wait to send, for a group, a limiter or a semaphore is for room or work; and for
a request somebody is at work, in a handler or in own code. What is left may be either, and is called an event. Those that the
service's own metrics do not know of in the window, as they did not end in it, are no requests that come and go.
"""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils.engine import lookup

#: What a request does, as words for a sentence: "waits for ...".
WORDS: Mapping[str, str] = {
    "dns": "name resolution", "connect": "connections to be made", "tls": "TLS handshakes", "dependency": "the answer of a dependency",
    "database": "the answer of a database", "pool": "a connection of a pool", "lock": "a lock", "gc": "the garbage collector",
    "disk": "the file system", "process": "another program", "sleep": "a sleep", "internal": "a channel or another goroutine",
    "client": "the client itself", "cpu": "the CPU (running, or waiting for one)", "other": "something else",
}
#: Fewer observed requests tell no share: at 20, one of 10 % is seen with a standard error of 7 %.
OBSERVATIONS = 20
GONE = 0.25  # of the requests at work: those whose client has hung up, from where on it is told


@dataclass(frozen=True)
class State:
    """``count`` observations of requests in one state, ``share`` of all, ``http`` the part of it that waits for net/http's
    Transport to make a connection; ``where`` is the line of own code most of them are in."""

    name: str
    share: float
    count: float
    where: str = ""
    http: float = 0.0


@dataclass(frozen=True)
class Profile:
    """``observations``: requests seen at work, over all samples; ``handlers``: how many at a time, the mean. ``gone``: the part of
    them (0..1) whose client has hung up, see :func:`_gone`; ``events``: the part that waits for an event, as it seems: it is in the
    state ``internal``. ``lasting``: those that waited so and did not end (``count`` at a time, the mean); they are in none of the
    others."""

    seconds: float
    samples: int
    observations: int
    handlers: float
    states: tuple[State, ...]
    streams: int = 0
    gone: float = 0.0
    events: float = 0.0
    lasting: State | None = None

    @property
    def enough(self) -> bool:
        return self.observations >= OBSERVATIONS and self.samples >= 2

    def share(self, *names: str) -> float:
        return sum(one.share for one in self.states if one.name in names)

    def state(self, name: str) -> State | None:
        return next((one for one in self.states if one.name == name), None)

    def as_dict(self) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds, 1), "samples": self.samples, "observations": self.observations,
            "handlers": round(self.handlers, 1), "shares": [
                {"state": WORDS.get(one.name, one.name), "share": round(one.share, 3), "where": one.where} for one in self.states],
        }


# Functions by what they tell, in the order in which they are looked for: a driver's connection that resolves a name is in name
# resolution. Names are those of Go 1.21 to 1.27; a vendored package has its path before it (GOPATH mode).
_DNS = re.compile(r"^net\.(?:\(\*Resolver\)\.|cgo|_C|dnsPacketRoundTrip|dnsStreamRoundTrip|doBlockingWithCtx|\(\*nssConf|readHosts)"
                  r"|^internal/singleflight\.")
_TLS = re.compile(r"^crypto/tls\.\(\*Conn\)\.(?:[hH]andshake|clientHandshake)|^net/http\.\(\*persistConn\)\.addTLS"
                  r"|^crypto/tls\.\(\*clientHandshakeState")
_CONNECT = re.compile(r"^net\.(?:\(\*sysDialer\)\.|\(\*netFD\)\.(?:connect|dial)|\(\*Dialer\)\.|internetSocket|socket$)")
_POOL = re.compile(
    r"/puddle(?:/v\d+)?\.\(\*Pool(?:\[\.\.\.\])?\)\.(?:[aA]cquire)|pool\.\(\*ConnPool\)\.waitTurn$"
    r"|redigo/redis\.\(\*Pool\)\.wait|/topology\.\(\*(?:pool|wantConn)\)\.(?:checkOut|wait)"
    r"|fasthttp\.\(\*HostClient\)\.acquireConn")
_LOCK = re.compile(r"^(?:internal/)?sync\.\((?:\*Mutex|\*RWMutex)\)\.")
_DATABASE = re.compile(
    r"(?:^|/)(?:github\.com/(?:lib/pq|jackc/pg[a-z0-9]*|go-sql-driver/mysql|go-redis/redis|redis/go-redis|gomodule/redigo|go-pg/pg|gocql/gocql"
    r"|apache/cassandra-gocql-driver|mattn/go-sqlite3|microsoft/go-mssqldb|denisenkom/go-mssqldb|sijms/go-ora|ClickHouse/clickhouse-go"
    r"|bradfitz/gomemcache|valkey-io/valkey-go|redis/rueidis)|go\.mongodb\.org/mongo-driver|modernc\.org/sqlite)[/.]")
_GET_CONN = re.compile(r"^net/http\.\(\*Transport\)\.(?:getConn|queueForDial)$")
_DIAL = re.compile(r"^net/http\.\(\*Transport\)\.(?:dialConnFor|startDialConnForLocked)")
_DEPENDENCY = re.compile(
    r"^net/http\.\(\*(?:persistConn|bodyEOFSignal|http2ClientConn|http2clientStream|http2Transport)\)\."
    r"|(?:^|/)http2\.\(\*(?:ClientConn|clientStream|Transport)\)\.|^net/http\.http2transportResponseBody\.|(?:^|/)http2\.transportResponseBody\."
    r"|(?:^|/)google\.golang\.org/grpc\.\(\*(?:clientStream|csAttempt|ClientConn|pickerWrapper)\)\."
    r"|(?:^|/)github\.com/(?:rabbitmq/amqp091-go|streadway/amqp|segmentio/kafka-go|IBM/sarama|Shopify/sarama|twmb/franz-go|nats-io/nats\.go)[/.]")
_CLIENT = re.compile(
    r"^net/http\.(?:\(\*(?:body|response|conn|connReader|chunkWriter|expectContinueReader)\)\.|checkConnErrorWriter"
    r"|\(\*http2(?:requestBody|responseWriter|serverConn)\)\.)|(?:^|/)http2\.\(\*(?:requestBody|responseWriter|serverConn)\)\.")
_PROCESS = re.compile(r"^os/exec\.\(\*Cmd\)\.|^os\.\(\*Process\)\.")
_FILE = re.compile(r"^os\.\(\*File\)\.")
_DISK = re.compile(r"^os\.(?:\(\*File\)\.|\(\*Root\)\.|[A-Z])|^io/ioutil\.|^path/filepath\.|^syscall\.(?:[Ff]sync|[Ff]datasync)"
                   r"|^internal/poll\.\(\*FD\)\.(?:Fsync|Pread|Pwrite)")
# Connections that were taken over, and streams: no request that comes and goes.
_STREAM = re.compile(r"(?:^|/)(?:github\.com/(?:gorilla|coder)/websocket|nhooyr\.io/websocket|github\.com/gobwas/ws"
                     r"|golang\.org/x/net/websocket)[/.]|(?:^|/)google\.golang\.org/grpc\.\(\*serverStream\)\.RecvMsg")
# Who waits here waits for what somebody may send: a blocking queue, a subscription.
_LISTENS = re.compile(
    r"\.(?:WaitForNotification|B[LR]Pop|BLMove|BZPop(?:Min|Max)|XRead(?:Group)?|NextMsg(?:WithContext)?|FetchMessage|PollFetches|PollRecords"
    r"|SubscribeSync)$|\.\(\*PubSub\)\.|redigo/redis\.PubSubConn\.|kafka-go\.\(\*Reader\)\.ReadMessage$")
_LIMITS = re.compile(r"(?:^|/)(?:golang\.org/x/time/rate|golang\.org/x/sync/(?:semaphore|errgroup)|go\.uber\.org/ratelimit)\.")
_ANSWERS = re.compile(r"^net/http\.\(\*(?:persistConn|http2ClientConn|http2Transport)\)\.|(?:^|/)http2\.\(\*(?:ClientConn|Transport)\)\."
                      r"|(?:^|/)google\.golang\.org/grpc\.\(\*(?:csAttempt|ClientConn)\)\.")
_OURS = re.compile(r"^net/http/pprof\.|^runtime/pprof\.")  # who answers the very question
_READER = "net/http.(*connReader).backgroundRead"
_TIMEOUT_HANDLER = "net/http.(*timeoutHandler).ServeHTTP"  # its handler runs in another goroutine, which is counted

_FLIGHT = re.compile(r"(?:^|/)singleflight\.\(\*Group\)\.(?:Do|doCall)")
_INNER = 6  # closures in closures that are looked through
# What tells more of a helping goroutine than that a handler waits for it.
_HELPS = frozenset((*WORDS, "get_conn", "stream")) - {"internal", "client", "other"}
# In these somebody is at work. A loop of own code that sleeps, has a program run or reads from a connection may do so all day.
_AT_WORK = frozenset(("dns", "connect", "tls", "get_conn", "pool", "lock", "gc", "disk", "cpu", "database", "dependency"))

_WAITS = frozenset(("select", "chan_receive", "chan_send", "cond", "wait_group"))
_NETWORK = frozenset(("io", "select", "chan_receive", "chan_send", "cond", "syscall", "wait_group"))


def state_of(cls: str, functions: Sequence[str]) -> str:
    """What a goroutine does, from its class and the functions of its stack, leaf first, without those of the server above the
    handler. One of :data:`WORDS`, or ``get_conn``: it waits for a connection of a http.Transport."""
    def any_of(pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(one) for one in functions)

    leaf = functions[0] if functions else ""
    if cls == "gc":
        return "gc"
    if any_of(_DNS):
        return "dns"
    if any_of(_TLS):
        return "tls"
    if any_of(_CONNECT):
        return "connect"
    if cls == "lock" or (_LOCK.search(leaf) and cls != "cond"):
        return "lock"
    if cls in _WAITS and (leaf == "database/sql.(*DB).conn" or any_of(_POOL)):
        return "pool"
    if cls in _NETWORK and any_of(_GET_CONN):
        return "get_conn"
    if cls in _NETWORK and any_of(_LISTENS):
        return "internal"
    if cls in _NETWORK and any_of(_DATABASE):
        return "database"
    if cls in _NETWORK and any_of(_DEPENDENCY):
        return "dependency"
    if cls in ("io", "cond", "select") and any_of(_CLIENT):
        return "client"
    if cls == "running":
        return "cpu"
    if cls == "sleep":
        return "sleep"
    # Only pipes and terminals are waited for by polling: a file that is read is a system call (epoll_ctl(2), EPERM).
    if any_of(_PROCESS) or (cls == "io" and any_of(_FILE)):
        return "process"
    if cls == "syscall" and any_of(_DISK):
        return "disk"
    if cls == "io":
        return "dependency"
    return "internal" if cls in _WAITS else "other"


def profile(endpoints: Iterable[Mapping[str, Any]], expected: float | None = None) -> Profile | None:
    """The profile of a service, from the entries of ``wall.endpoints`` that are its own. None where none was sampled.

    ``expected`` are the requests at work at a time by the service's own metrics: the seconds of all that ended in the window, by
    the window (L = lambda W). Where twice as many and more are seen, those above it that wait for an event are left out.
    """
    counts: dict[str, float] = {}
    places: dict[str, dict[str, float]] = {}
    dials: Counter[str] = Counter()

    def add(state: str, place: str, seen: float) -> None:
        counts[state] = counts.get(state, 0.0) + seen
        rows = places.setdefault(state, {})
        rows[place] = rows.get(place, 0.0) + seen

    total, served, read, working = 0, 0, 0, 0
    unsure: dict[str, int] = {}  # of those in "internal" who may wait for an event: by their place
    samples, seconds, streams, found = 0, 0.0, 0, False
    for endpoint in endpoints:
        taken = [one for one in _items(endpoint.get("samples")) if isinstance(one.get("counts"), Mapping)]
        if not taken:
            continue
        found = True
        samples, seconds = max(samples, len(taken)), max(seconds, _number(endpoint.get("seconds")))
        groups = endpoint.get("groups")
        waiting: list[_Group] = []
        helpers: list[_Group] = []
        for key, group in (groups.items() if isinstance(groups, Mapping) else ()):
            seen = sum(int(_number(one["counts"].get(key))) for one in taken)
            if seen <= 0 or not isinstance(group, Mapping):
                continue
            frames = _frames(group)
            functions = [one[0] for one in frames]
            cls = str(group.get("class") or "other")
            read += seen if _READER in functions else 0
            if any(_DIAL.search(one) for one in functions):
                dials[state_of(cls, functions)] += seen
            elif not group.get("server"):
                streaming = any(_STREAM.search(one) for one in functions)
                one_group = _Group("stream" if streaming else state_of(cls, functions), cls, seen, frames, "")
                helpers.append(one_group)
                working += seen if one_group.works else 0
            if not group.get("server") or any(_OURS.search(one) for one in functions) or functions[:1] == [_TIMEOUT_HANDLER]:
                continue
            if any(_STREAM.search(one) for one in functions):
                streams += seen
                continue
            one_group = _Group(state_of(cls, functions), cls, seen, frames, str(group["server"]))
            total += seen
            working += seen if one_group.state in _AT_WORK else 0
            served += seen if one_group.server == "net/http" else 0
            if one_group.state == "internal":
                waiting.append(one_group)
                continue
            if one_group.flight:
                helpers.append(one_group)
            add(one_group.state, _place(frames), seen)
        for each in waiting:
            done_by = [one for one in helpers if one.state in _HELPS and one.helps(each)]
            if any(one.state == "stream" for one in done_by):
                streams, total = streams + each.seen, total - each.seen
                served -= each.seen if each.server == "net/http" else 0
                continue
            helping = sum(one.seen for one in done_by)
            for one_group in done_by:
                add(one_group.state, _place(one_group.frames), each.seen * one_group.seen / helping)
            if not done_by:
                add("internal", _place(each.frames), each.seen)
                if not each.for_room:
                    unsure[_place(each.frames)] = unsure.get(_place(each.frames), 0) + each.seen
    if not found:
        return None
    events, lasting = sum(unsure.values()), 0
    gone = _gone(served, read, total)
    # Who works for nobody polls for nothing: that is code which hangs.
    if expected is not None and events and gone < GONE and total > 2 * expected * samples:
        lasting = min(events, int(total - expected * samples))
        for name, count in unsure.items():
            add("internal", name, -count * lasting / events)
        events, total = events - lasting, total - lasting
    shares = {key: value for key, value in counts.items() if value > 1e-6}
    connecting, http = shares.pop("get_conn", 0.0), dict[str, float]()
    if connecting:
        made = {key: value for key, value in dials.items() if key in ("dns", "connect", "tls")}
        # Nobody dials: the transport has as many connections as it may have (MaxConnsPerHost).
        for key, value in _wanted(made or {"pool": 1}, connecting).items():
            http[key] = value
            shares[key] = shares.get(key, 0.0) + http[key]
            rows = places.setdefault(key, {})
            for name, seen_there in places["get_conn"].items():
                rows[name] = rows.get(name, 0.0) + seen_there
    states = tuple(sorted((
        State(key, value / total, value, _most(places.get(key)), http.get(key, 0.0) / total) for key, value in shares.items()),
        key=lambda one: (-one.share, one.name))) if total else ()
    return Profile(seconds, samples, total, total / max(1, samples), states, streams, gone,
                   events / total if total and working < samples else 0.0,
                   State("internal", lasting / (total + lasting), lasting / samples, _most(unsure)) if lasting else None)


def _wanted(dials: Mapping[str, int], waiting: float) -> dict[str, float]:
    """Of so many who wait for a connection, how many wait for a dial in each state.

    Who waits has begun one dial. Where there are more, nobody waits for the others any more: a dial goes on when its request has
    ended or got another connection (net/http, Transport.getConn). They are the oldest, so that they are taken from what most are in.
    """
    total = sum(dials.values())
    if total <= waiting:
        return {key: waiting * value / total for key, value in dials.items()}
    found: dict[str, float] = {}
    for number, (key, value) in enumerate(sorted(dials.items(), key=lambda one: one[1])):
        found[key] = min(value, (waiting - sum(found.values())) / (len(dials) - number))
    return found


def _gone(served: int, read: int, total: int) -> float:
    """The part of the requests at work whose client has hung up, at most.

    Beside every handler of HTTP/1 a goroutine reads from its connection, and ends when the client does (net/http,
    connReader.backgroundRead): handlers without one work for nobody. It begins when the request's body has been read to its end,
    so that a handler that leaves a body alone has none either.
    """
    return min(1.0, max(0, served - read) / total) if total else 0.0


class _Group:
    """Goroutines of one stack: their state, how often they were seen, the own functions in it, and whose handler it is ("": nobody's)."""

    def __init__(self, state: str, cls: str, seen: int, frames: Sequence[tuple[str, str, int, str]], server: str) -> None:
        self.state, self.cls, self.seen, self.frames, self.server = state, cls, seen, frames, server
        self.own = {function for function, _file, _line, origin in frames if origin == "own"}
        self.flight = any(_FLIGHT.search(one[0]) for one in frames)

    @property
    def for_room(self) -> bool:
        """Whether they wait for a place in a queue, a limiter or for goroutines of their own, so for no event."""
        return self.cls in ("chan_send", "wait_group") or self.flight or any(_LIMITS.search(one[0]) for one in self.frames)

    @property
    def works(self) -> bool:
        """Whether goroutines of own code that handle no request are at work."""
        return bool(self.own) and self.state in _AT_WORK and (
            self.state != "dependency" or any(_ANSWERS.search(one[0]) for one in self.frames))

    def helps(self, waiting: _Group) -> bool:
        """Whether these goroutines do what others wait for."""
        if self.flight and waiting.flight:
            return True
        return any(outer in waiting.own for function in self.own - waiting.own for outer in _outer(function))


def _outer(function: str) -> Iterator[str]:
    """``main.pay.func1.2``: ``main.pay.func1``, ``main.pay``, ..."""
    for _number in range(_INNER):
        function = function.rpartition(".")[0]
        if not function:
            return
        yield function


def _most(places: Mapping[str, float] | None) -> str:
    named = [(count, place) for place, count in (places or {}).items() if place]
    return min(named, key=lambda one: (-one[0], one[1]))[1] if named else ""


def _frames(group: Mapping[str, Any]) -> list[tuple[str, str, int, str]]:
    found = []
    for one in group.get("frames") or () if isinstance(group.get("frames"), (list, tuple)) else ():
        if isinstance(one, (list, tuple)) and len(one) >= 4:
            found.append((str(one[0]), str(one[1]), int(_number(one[2])), str(one[3])))
    return found


def _place(frames: Sequence[tuple[str, str, int, str]]) -> str:
    """The innermost line of own code: ``main.charge (pay.go:31)``."""
    for function, file, line, origin in frames:
        if origin == "own":
            return f"{function.rsplit('/', 1)[-1][:120]} ({file.rsplit('/', 1)[-1][:80]}:{line})"
    return ""


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:  # nor NaN
        return 0.0
    return float(value)


def of_service(facts: Mapping[str, Any], service: str, container: str) -> list[Mapping[str, Any]]:
    """The entries of ``wall.endpoints`` of one service."""
    return [one for one in _items(lookup(facts, "wall.endpoints"))
            if str(one.get("service")) == service and str(lookup(one, "container.id") or "") == container]
