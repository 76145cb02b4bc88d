# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``runtime``: what the Go runtime of each service says of itself, taken once from each of its pprof endpoints.

One call is one take: nothing is remembered here. Several takes make a window; the controller calls again with ``targets``,
the endpoints of an earlier take, and puts the takes together. What is asked of an endpoint, in this order, one request after
the other, and only what is switched on:

===================  ==========================================================================================================
heap?debug=1         the memory statistics; only the end of the answer is kept. With ``gc`` it is heap?gc=1&debug=1: one garbage
                     collection (net/http/pprof handler.ServeHTTP)
heap                 where what is in use was allocated
goroutine            every goroutine, aggregated. The protocol buffer has the functions, the lines *and* the frames of the runtime
                     which tell what a goroutine waits for; debug=1 hides these (runtime/pprof printStackRecord)
goroutine?debug=2    ids, ages and creators; only up to ``dump_limit`` goroutines, because it stops the whole service while it is
                     made (runtime.Stack with all=true calls stopTheWorld)
allocs               where everything since the start was allocated
mutex, block         contention; mutex?debug=1 also says how it is sampled (block?debug=1 does not)
threadcreate         threads of the operating system
profile              CPU, only where asked for
/metrics             the runtime's histograms, where the service exposes them
goroutineleak        last: it runs a garbage collection and marks what has leaked, which takes the ages away from a later dump
                     (runtime/traceback.go goroutineheader); only up to ``leak_limit`` goroutines, because the service stands
                     still while their stacks are looked through
===================  ==========================================================================================================

A service that is slow, ends in the middle or answers with a server's error is left alone: nothing more is asked of it.
"""
from __future__ import annotations

import base64
import os
import socket
import threading
import time
import unicodedata
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, FrozenSet, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import (
    contention, goroutines, httpprobe, listening, memstats, procfs, profile, promtext,
)
from ansible_collections.goready.preflight.plugins.module_utils.collect import pprof
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable, printable
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Answer, Download, Target
from ansible_collections.goready.preflight.plugins.module_utils.redact import REDACTED, redact_url

KINDS = ("heap", "goroutine", "dump", "allocs", "mutex", "block", "threadcreate", "cpu", "metrics", "goroutineleak")
WORKERS = 4                # endpoints that are asked side by side
SLOW = 2.0                 # seconds after which a service is left alone
REQUEST_SECONDS = 5.0      # for one answer
HEAVY_SECONDS = 10.0       # for one that waits for a garbage collection
METRICS_SECONDS = 1.0      # for a page of metrics that nobody has declared
DUMP_SMALL = 1000          # goroutines of which a dump is cheap on a busy host too
DUMP_PATIENCE = 100        # ms for the profile of more of them
LEAK_MOST = 10_000_000     # leak_limit that is none: the profile is asked for whatever is known of the goroutines
CPU_MOST = 30              # seconds of a CPU profile
CPU_MARGIN = 1.5           # of the budget that must be left beside those
SAME_LIFE = 0.05           # seconds: a start is counted in clock ticks of a hundredth of a second (proc(5))

TEXT_LIMIT = 64 << 20      # bytes of heap?debug=1 that are read (its end is kept), and of debug=2, where Go itself stops
PROTO_LIMIT = 4 << 20      # bytes of a compressed profile that are read where profile_limit is smaller
METRICS_LIMIT = 8 << 20
INFLATED_LIMIT = 24 << 20  # decompressed: what the host's memory is asked to hold of one profile at a time
SAMPLES_LIMIT = 100_000
FRAMES_LIMIT = 2_000_000
RAW_LIMIT = 16 << 20       # bytes of all raw profiles of one call: AnsibleModule holds an answer four times while it prints it
GROUPS_LIMIT = 2000        # groups of goroutines of one take
GROUPS_BYTES = 4 << 20     # of all groups of all endpoints, about, as JSON
FRAMES_KEPT = 40
NAME_LIMIT = 512           # characters of a function's or file's name
IDS_KEPT = 20_000          # goroutine ids of a take
HEAP_SITES, CONTENTION_SITES, CPU_SITES = 100, 50, 50

# kind: (its name below /debug/pprof/, a sample type that it has)
_PROFILES = {
    "heap": ("heap", "inuse_space"), "goroutine": ("goroutine", "goroutine"), "allocs": ("allocs", "alloc_space"),
    "mutex": ("mutex", "contentions"), "block": ("block", "contentions"), "threadcreate": ("threadcreate", "threadcreate"),
    "cpu": ("profile", "cpu"), "goroutineleak": ("goroutineleak", "goroutineleak"),
}
# Error kinds of httpprobe as those of the facts.
ERRORS = {
    httpprobe.REFUSED: "refused", httpprobe.MISSING: "refused", httpprobe.TIMEOUT_KIND: "timeout", httpprobe.DENIED: "denied",
    httpprobe.CLIENT_CERTIFICATE: "unauthorized", httpprobe.CERTIFICATE: "certificate", httpprobe.TLS: "certificate",
    httpprobe.UNREACHABLE: "unreachable", httpprobe.RESOLVE: "unreachable", httpprobe.CLOSED: "broken",
    httpprobe.INCOMPLETE: "broken", httpprobe.NOT_HTTP: "not_pprof", httpprobe.HTTP2: "not_pprof",
    httpprobe.TLS_EXPECTED: "not_pprof",
}
# States of an endpoint that nobody got through to (collect/pprof.py), as kinds of error.
_STATES = {
    "refused": "refused", "missing": "refused", "silent": "timeout", "denied": "denied", "namespace": "denied",
    "client_certificate": "unauthorized", "resolve": "unreachable", "unreachable": "unreachable", "not_probed": "budget",
}
_FATAL = ("refused", "timeout", "denied", "unauthorized", "certificate", "unreachable", "broken")

# Sample types of Go's profiles: no secret, whatever a password is.
_TYPES = frozenset((
    "alloc_objects", "alloc_space", "inuse_objects", "inuse_space", "goroutine", "goroutineleak", "contentions", "delay", "samples",
    "cpu", "threadcreate", "count", "bytes", "nanoseconds"))

OFF = "switched off"
SECRET_LEAST = 6  # characters of a password that is looked for in what a service says: a shorter one is a word by chance

_decoding = threading.Lock()  # one profile in memory at a time, whatever the number of endpoints


def _error(kind: str, message: str) -> Dict[str, str]:
    return {"kind": kind, "message": clean(message)[:300]}


def clean(text: str) -> str:
    """The text without what a terminal obeys: control and format characters (ESC, CR, the bidirectional ones), line separators."""
    if text.isprintable():
        return text
    return printable("".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") else char
                             for char in text))


@dataclass(frozen=True)
class Options:
    """The module's option ``runtime``, with its defaults."""

    phase: str = "once"
    kinds: FrozenSet[str] = frozenset(kind for kind in KINDS if kind != "cpu")
    dump_limit: int = 2000
    leak_limit: int = 50_000
    cpu_seconds: int = 10
    gc: bool = False
    budget: float = 20.0
    profile_limit: int = 4 << 20
    raw: FrozenSet[str] = frozenset()
    targets: Tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """ValueError where a value makes no sense. A key that is missing or null has its default."""
        values = {key: value for key, value in given.items() if value is not None}
        for key in ("kinds", "raw"):
            if key in values:
                wanted = values[key]
                if isinstance(wanted, bool):
                    wanted = KINDS if wanted else ()
                unknown = sorted(set(wanted) - set(KINDS))
                if unknown:
                    raise ValueError("%s: %s is none of %s" % (key, ", ".join(unknown), ", ".join(KINDS)))
                values[key] = frozenset(wanted)
        for key, least, most in (("dump_limit", 0, 1_000_000), ("leak_limit", 0, LEAK_MOST), ("cpu_seconds", 0, CPU_MOST),
                                 ("budget", 1, 600), ("profile_limit", 1024, 16 << 20)):
            if key in values and not least <= values[key] <= most:
                raise ValueError("%s: %s is not from %d to %d" % (key, values[key], least, most))
        if values.get("phase", "once") not in ("once", "idle", "load", "after"):
            raise ValueError("phase: %r is none of once, idle, load, after" % values["phase"])
        values["targets"] = tuple(values.get("targets") or ())
        return cls(**values)

    @property
    def cpu(self) -> int:
        """Seconds of the CPU profile, 0 where there is none."""
        return self.cpu_seconds if "cpu" in self.kinds else 0

    @property
    def seconds(self) -> float:
        """What the whole subset may take."""
        return self.budget + self.cpu


class Raw:
    """The profiles as the services sent them, on their way to the controller. Within bounds."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._left = RAW_LIMIT
        self.profiles: List[Dict[str, Any]] = []

    def keep(self, entry: Mapping[str, Any], kind: str, data: bytes) -> Optional[str]:
        """Why it is not kept, or None."""
        if len(data) > self._options.profile_limit:
            return "not brought along: its %d bytes are more than profile_limit (%d)" % (len(data), self._options.profile_limit)
        with self._lock:
            if len(data) > self._left:
                return "not brought along: the profiles of one call have at most %d bytes together" % RAW_LIMIT
            self._left -= len(data)
            self.profiles.append({
                **{key: entry[key] for key in ("service", "container", "pid", "listener", "prefix")},
                "kind": kind, "phase": self._options.phase, "file": file_name(kind, self._options.phase),
                "data": base64.b64encode(data).decode("ascii")})
        return None


def file_name(kind: str, phase: str) -> str:
    return "%s-%s.pb.gz" % (kind, phase)


@dataclass
class Job:
    """An endpoint to take: ``entry`` is what becomes its facts. ``targets`` are tried in their order."""

    entry: Dict[str, Any]
    targets: List[Target] = field(default_factory=list)
    others: List[Target] = field(default_factory=list)  # where else the process listens: its metrics may be there
    holder: Optional[int] = None                        # the process of the service that has to hold what gets credentials
    verify: bool = True                                 # whether who gets credentials over TLS needs a good certificate
    ca_file: str = ""
    secrets: Tuple[str, ...] = field(default=(), repr=False)  # what no fact may hold, should a server say it back to us


# ------------------------------------------------------------------------------------------------------------------- whom

def endpoints(context: Context) -> List[Dict[str, Any]]:
    """One entry an endpoint, with one take where it gave one. Raw profiles are left in ``context.shared``."""
    options = Options.of(context.runtime)
    raw = Raw(options)
    context.shared["runtime.profiles"] = raw.profiles
    jobs = _again(context, options) if options.targets else _first(context)
    deadline = min(context.deadline - 0.5, time.monotonic() + options.seconds)
    waiting = [job for job in jobs if job.entry["error"] is None]
    left = len(waiting)
    lock = threading.Lock()
    room = GROUPS_BYTES // max(1, len(waiting))

    def run(job: Job) -> Dict[str, Any]:
        nonlocal left
        with lock:
            rounds = -(-left // WORKERS)
            left -= 1
        mine = time.monotonic() + max(0.0, deadline - time.monotonic()) / max(1, rounds)
        return _run(context, options, job, raw, mine, room)

    taken = httpprobe.side_by_side(run, waiting, workers=WORKERS, deadline=deadline)
    for job, entry in zip(waiting, taken):
        job.entry = entry or {**job.entry, "error": _error("budget", "not reached within the %g s for all endpoints" % options.seconds)}
    return [job.entry for job in jobs]


def _run(context: Context, options: Options, job: Job, raw: Raw, deadline: float, room: int) -> Dict[str, Any]:
    entry = {**job.entry, "groups": {}, "takes": []}
    if entry["namespace"] != "other":
        return _Take(context, options, job, entry, raw, deadline, room).run()
    try:
        found = pprof.inside(context, int(entry["pid"]), lambda: _Take(context, options, job, entry, raw, deadline, room).run(),
                             max(0.1, deadline - time.monotonic()))
    except OSError as exc:
        return {**job.entry, "error": _error("denied", "its network namespace cannot be entered: %s" % _words(exc))}
    return found or {**job.entry, "error": _error("budget", "not ended in its share of the time")}


def _words(exc: OSError) -> str:
    return os.strerror(exc.errno).lower() if exc.errno else str(exc)


def _first(context: Context) -> List[Job]:
    """The endpoints that the subset ``pprof`` has found, declared ones first; one for each process.

    A declared URL that no listener of its service serves may lead to a process that was discovered under another name: it is
    that process's endpoint then, under the declared name.
    """
    found = context.shared.get("pprof.endpoints")
    if found is None:
        raise Unavailable("the listeners were not looked at, so what serves pprof is not known")
    services = context.shared.get("services.services") or ()
    let_in = {str(one["service"]): one for one in context.credentials}
    declared_services = {one["service"] for one in found if one["declared"]}
    served = {one["service"] for one in found if one["pprof"]["served"] or one["declared"]}
    jobs: List[Job] = []
    processes: List[Any] = []
    ordered = sorted(found, key=lambda one: (not one["declared"], not one["pprof"]["served"], not pprof.is_local(one["listener"])))
    for one in ordered:
        name = one["service"]
        asks = bool(one["authentication"]) and one["pprof"]["served"] is None
        refused = asks and one["state"] == "answered"  # with 401 or 403: pprof.look()
        # Credentials are for the declared endpoint; where none is declared, for the listener that asks.
        mine = let_in.get(name) if one["declared"] or (asks and name not in declared_services) else None
        if not (one["pprof"]["served"] or one["declared"] or (asks and (mine or name not in served))):
            continue
        pid = one["pid"]
        if pid is not None and pid in processes:
            continue  # another door to the same runtime
        declaration = _declaration(context, name)
        path = str(one["pprof"]["path"] or "")
        url = _url(declaration.get("pprof")) if one["declared"] else None
        prefix = path.partition(pprof.INDEX)[0] if path else pprof.url_prefix(url) if url else ""
        if pid is None and one["declared"] and (one["pprof"]["served"] or (asks and mine)):
            pid = _discovered(one, prefix, found)
        processes.append(pid)
        process = _process(services, pid)
        info = ((process or {}).get("running") or {}).get("buildinfo") or {}
        if one["pid"] is None and str(info.get("path") or "").endswith("/docker-proxy"):
            pid, process, info = None, None, {}  # it hands on what another process answers
        entry = {
            "service": name, "container": one["container"], "pid": pid,
            "started": started(context, pid) if pid is not None else None,
            "listener": one["listener"], "namespace": one["namespace"],
            "scheme": one["scheme"] or (url.scheme if url else "http"), "prefix": prefix, "declared": one["declared"],
            "credentials": None, "go_version": info.get("go_version"), "module": _module(info), "metrics_url": None,
            "error": None, "restarted": None, "groups": {}, "takes": [],
        }
        job = _job(context, entry, mine, refused, one["pid"] if one["pid"] in _pids(services, name) else None)
        if entry["error"] is None and not (one["pprof"]["served"] or entry["credentials"]):
            entry["error"] = _no_pprof(one, asks)
        for listener in (process or {}).get("listeners") or ():
            if listener.get("port") and listener.get("port") != one["listener"]["port"]:
                job.others.extend(_targets(context, {**entry, "listener": listener, "scheme": "http"})[:1])
        jobs.append(job)
    return jobs


def _no_pprof(one: Mapping[str, Any], asks: bool) -> Dict[str, str]:
    """Why an endpoint that was declared (or that may be one) is not asked."""
    if asks or one["state"] == "client_certificate":
        return _error("unauthorized", "it asks for credentials, and none were given" if one["state"] != "client_certificate" else
                      "it asks for a client certificate")
    said = str(one["error"] or "; ".join(str(text) for text in one["pprof"]["evidence"][:2]))
    if one["state"] == "answered":
        return _error("not_pprof" if one["pprof"]["served"] is False else "status", said)
    return _error(_STATES.get(one["state"], "not_pprof"), said or "nothing answered")


def _discovered(one: Mapping[str, Any], prefix: str, found: Sequence[Mapping[str, Any]]) -> Optional[int]:
    """The process that was discovered behind the listener of a declared URL; what it serves there is the same."""
    behind = [other for other in found if other["pid"] is not None and not other["declared"] and other["namespace"] != "other"
              and str(other["pprof"]["path"] or pprof.INDEX).partition(pprof.INDEX)[0] == prefix
              and _reaches(one["listener"], other["listener"])]
    # The kernel prefers a listener of this very address to one of all addresses (net/ipv4/inet_hashtables.c compute_score).
    behind.sort(key=lambda other: other["listener"]["address"] in pprof.WILDCARDS)
    return int(behind[0]["pid"]) if behind else None


def _reaches(wanted: Mapping[str, Any], listener: Mapping[str, Any]) -> bool:
    """Whether who asks for ``wanted`` (its address may be a name) on this host gets to ``listener``."""
    if "unix" in (wanted.get("proto"), listener.get("proto")):
        return bool(wanted.get("path")) and wanted.get("path") == listener.get("path")
    if not wanted.get("port") or wanted.get("port") != listener.get("port"):
        return False
    host, address = str(wanted.get("address") or ""), str(listener.get("address") or "")
    if host == address:
        return True
    try:
        found = [str(one[0]) for _family, one in httpprobe.resolve(host, int(wanted["port"]), time.monotonic() + 0.5)]
    except (OSError, httpprobe.ProbeError):
        return False
    return any(one == address or (address in pprof.WILDCARDS and (":" not in one or address == "::") and _ours(one)) for one in found)


def _ours(address: str) -> bool:
    """Whether an address is one of this host: it can be bound."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _process(services: Sequence[Mapping[str, Any]], pid: Optional[int]) -> Optional[Mapping[str, Any]]:
    for service in services:
        for process in service.get("processes") or ():
            if pid is not None and process.get("pid") == pid:
                found: Mapping[str, Any] = process
                return found
    return None


def _pids(services: Sequence[Mapping[str, Any]], name: str) -> List[Any]:
    """The processes of a service that the user declared: a discovered one is called what its program calls itself."""
    return [process.get("pid") for service in services if service.get("name") == name and service.get("declared") is not False
            for process in service.get("processes") or ()]


def _module(info: Mapping[str, Any]) -> Optional[str]:
    """The main module; of a program built without modules (distributions do that), the repository of its main package."""
    module = (info.get("main") or {}).get("path")
    if module:
        return str(module)
    path = str(info.get("path") or "")
    if "." not in path.partition("/")[0]:
        return None  # command-line-arguments, or of the standard library
    return "/".join(path.split("/")[:3])


def _declaration(context: Context, service: str) -> Mapping[str, Any]:
    return next((one for one in context.services if str(one.get("name")) == service), {})


def _url(value: Any) -> Optional[Target]:
    try:
        return httpprobe.parse_url(value) if isinstance(value, str) else None
    except ValueError:
        return None  # the controller validates the declarations


def _job(context: Context, entry: Dict[str, Any], given: Optional[Mapping[str, Any]], asks: bool, holder: Optional[int]) -> Job:
    """Where an endpoint is asked, and with which credentials. What they are is in the targets alone.

    They are sent only where ``asks`` says that the endpoint refused who had none, and to nobody who only has the port
    (:func:`withheld_from`). ``holder`` is the process of the service behind the listener, None where it is not known to be one.
    """
    url = _url(_declaration(context, entry["service"]).get("pprof")) if entry["declared"] else None
    sent = url.authorization if url else ""
    secrets = [sent]
    if given:
        try:
            sent = httpprobe.authorization(str(given.get("username") or ""), str(given.get("password") or ""),
                                           str(given.get("token") or "")) or sent
        except ValueError as exc:
            if asks:
                entry["error"] = _error("unauthorized", "the credentials cannot be sent: %s" % exc)
    sent = sent if asks else ""
    job = Job(entry, holder=holder, ca_file=str((given or {}).get("ca_file") or ""),
              # What nobody vouches for gets no password, unless the user says so.
              verify=(given or {}).get("validate_certs") is not False)
    metrics = _url(_declaration(context, entry["service"]).get("metrics"))
    secrets += [sent, metrics.authorization if metrics else ""]
    job.secrets = secrets_of(secrets, [str((given or {}).get(key) or "") for key in ("password", "token")])
    # The name that the certificate is for, where the user has declared one.
    name = url.host if url and entry["scheme"] == "https" and not _is_address(url.host) else ""
    job.targets = [replace(one, authorization=sent, name=name, verify=bool(sent) and job.verify, ca_file=job.ca_file)
                   for one in _targets(context, entry)]
    if sent and entry["error"] is None:
        withheld = withheld_from(context, job, job.targets[0])
        if url and url.scheme == "https" and entry["scheme"] != "https":
            entry["error"] = _error("certificate", "declared as https, answers %s" % entry["scheme"])
        elif withheld:
            entry["error"] = _error("unauthorized", withheld)
    if entry["error"] is not None:
        job.targets = [replace(one, authorization="") for one in job.targets]
    entry["credentials"] = job.targets[0].authorization.partition(" ")[0].lower() or None
    return job


def secrets_of(headers: Iterable[str], others: Iterable[str]) -> Tuple[str, ...]:
    """What to look for in what a service says: passwords, tokens, and both as the header has them. The longest first."""
    found = set(others)
    for header in headers:
        scheme, _blank, value = header.partition(" ")
        found.add(value)
        if scheme == "Basic":
            found.add(base64.b64decode(value).decode("utf-8", "replace").partition(":")[2])
    return tuple(sorted((one for one in found if len(one) >= SECRET_LEAST), key=lambda one: (-len(one), one)))


def withheld_from(context: Context, job: Job, target: Target) -> Optional[str]:
    """Why a target gets no credentials, or None where it may have them.

    Any user of this host can listen on a port that its service has left. So they are for who shows a good certificate, for
    the process of the service that holds the listener now, and for another host that the user has declared.
    """
    if not target.authorization or (target.scheme == "https" and target.verify):
        return None
    entry = job.entry
    if job.holder is not None and _holds(context, job.holder, entry["started"], target, entry["listener"]):
        return None
    if entry["namespace"] != "other" and _elsewhere(target):
        return None
    where = target.unix and str(entry["listener"]["path"] or target.unix)
    if not where:
        where = ("[%s]:%d" if ":" in target.host else "%s:%d") % (target.host, target.port)
    return "%s is not held by a process of the service: no credentials were sent" % where


def _elsewhere(target: Target) -> bool:
    """Whether a URL leads to another host, whatever its name resolves to."""
    if target.unix:
        return False
    try:
        found = httpprobe.resolve(target.host, target.port, time.monotonic() + 0.5)
    except (OSError, httpprobe.ProbeError):
        return False
    return bool(found) and not any(_ours(str(address[0])) for _family, address in found)


def _holds(context: Context, pid: int, begun: Optional[float], target: Target, listener: Mapping[str, Any]) -> bool:
    """Whether who connects to ``target`` gets to this life of a process. False where that cannot be read."""
    folder = "/proc/%d" % pid
    if started(context, pid) != begun:
        return False
    try:
        there = listening.in_folder(context.path(folder + "/net"))
        mine = set(listening.sockets(context.path(folder + "/fd")))
    except OSError:
        return False
    if target.unix:
        # A path can be bound anew while the first socket still listens: one of both is reached.
        paths = (target.unix, listener.get("path"))
        inodes = [one.inode for one in there if one.proto == "unix" and one.path in paths]
        return bool(inodes) and all(inode in mine for inode in inodes)
    try:
        addresses = [str(one[0]).partition("%")[0] for _family, one in httpprobe.resolve(target.host, target.port, time.monotonic() + 0.5)]
    except (OSError, httpprobe.ProbeError):
        return False
    held = False
    for address in addresses:
        ranked = [(rank, one.inode) for one in there if one.port == target.port for rank in [_rank(address, one)] if rank is not None]
        best = min((rank for rank, _inode in ranked), default=None)
        if best is not None:
            if not any(inode in mine for rank, inode in ranked if rank == best):
                return False
            held = True
    return held


def _rank(address: str, listener: procfs.Listener) -> Optional[int]:
    """How near a listener is to an address; the kernel takes the nearest (compute_score in net/ipv4/inet_hashtables.c and
    net/ipv6/inet6_hashtables.c: the address itself, then the family). None where it is not reached by it."""
    bound = str(listener.address or "")
    if bound in (address, "::ffff:" + address):
        return 0
    if bound == "0.0.0.0" and ":" not in address:
        return 1
    return 2 if bound == "::" else None


def _is_address(host: str) -> bool:
    return ":" in host or not host.replace(".", "").strip("0123456789")


def _targets(context: Context, entry: Mapping[str, Any]) -> List[Target]:
    listener = entry["listener"]
    if listener.get("proto") == "unix":
        path = str(listener["path"])
        return [Target(scheme=entry["scheme"], unix=pprof.socket_path(context, entry["pid"], path) if entry["pid"] else path)]
    address = str(listener["address"])
    hosts = {"0.0.0.0": ["127.0.0.1"], "::": ["::1", "127.0.0.1"]}.get(address, [address])
    return [Target(scheme=entry["scheme"], host=host, port=int(listener["port"])) for host in hosts]


# ------------------------------------------------------------------------------------------------------------------ again

_CARRIED = ("service", "container", "pid", "started", "listener", "namespace", "scheme", "prefix", "declared", "credentials",
            "go_version", "module", "metrics_url")


def _again(context: Context, options: Options) -> List[Job]:
    """The endpoints of an earlier take, where they are still the same process."""
    let_in = {str(one["service"]): one for one in context.credentials}
    jobs = []
    for target in options.targets:
        entry: Dict[str, Any] = {key: target.get(key) for key in _CARRIED}
        entry.update(error=None, restarted=None, groups={}, takes=[])
        asked_with = entry["credentials"]
        # Who let us in without them then is not sent them now.
        job = _job(context, entry, let_in.get(str(entry["service"])), bool(asked_with), entry["pid"] if asked_with else None)
        if entry["pid"] is not None:
            _same_life(context, entry)
        jobs.append(job)
    return jobs


def _same_life(context: Context, entry: Dict[str, Any]) -> bool:
    """Whether the endpoint's process is the one that it was; else ``error``, and ``restarted`` where there is another."""
    pid, before = int(entry["pid"]), entry["started"]
    now = started(context, pid)
    if now is not None and (before is None or abs(now - float(before)) < SAME_LIFE):
        return True
    if now is None and before is None and os.path.isdir(context.path("/proc/%d" % pid)):
        return True
    other = holder(context, entry)
    if other is None:
        entry["error"] = _error("refused", "PID %d has ended, and nothing listens in its place" % pid)
        return False
    entry["pid"], entry["started"] = other, started(context, other)
    entry["restarted"] = "PID %d (started %s s after boot) was replaced by PID %d" % (
        pid, "?" if before is None else "%.2f" % float(before), other)
    entry["error"] = _error("restarted", str(entry["restarted"]))
    return False


def started(context: Context, pid: int) -> Optional[float]:
    """Seconds since boot at which a process began, None where it is gone (or a zombie) or not readable: with its PID, its life."""
    try:
        stat = procfs.parse_stat(context.read("/proc/%d/stat" % pid))
    except (OSError, ValueError):
        return None
    return None if stat.state in "ZX" else stat.started / os.sysconf("SC_CLK_TCK")


def holder(context: Context, entry: Mapping[str, Any]) -> Optional[int]:
    """The process that holds an endpoint's listener now; None where there is none (or it cannot be told).

    Of a container the process is in the same container: its network may be a new one. Else it is in our own network.
    """
    wanted = str((entry.get("container") or {}).get("id") or "")
    own = _link(context, "/proc/self/ns/net")
    tables: Dict[str, List[procfs.Listener]] = {}
    for name in sorted((one for one in _list(context, "/proc") if one.isdigit()), key=int):
        folder = "/proc/" + name
        try:
            if wanted and wanted not in context.read(folder + "/cgroup"):
                continue
            network = _link(context, folder + "/ns/net")
            if not wanted and network != own:
                continue
            if network not in tables:
                listeners = listening.in_folder(context.path(folder + "/net"))
                # A declared URL leads to a listener of all addresses as well.
                tables[network] = ([one for one in listeners if _same(one, entry["listener"])]
                                   or [one for one in listeners if _reaches(entry["listener"], one._asdict())])
            inodes = {one.inode for one in tables[network]}
            if inodes and inodes & set(listening.sockets(context.path(folder + "/fd"))):
                return int(name)
        except OSError:
            continue  # it has just ended, or is not ours
    return None


def _same(one: procfs.Listener, listener: Mapping[str, Any]) -> bool:
    return (one.proto, one.address, one.port, one.path) == tuple(listener.get(key) for key in ("proto", "address", "port", "path"))


def _link(context: Context, path: str) -> str:
    try:
        return os.readlink(context.path(path))
    except OSError:
        return ""


def _list(context: Context, path: str) -> List[str]:
    try:
        return os.listdir(context.path(path))
    except OSError:
        return []


# ------------------------------------------------------------------------------------------------------------------- take

class _Take:
    """One endpoint, asked once."""

    def __init__(self, context: Context, options: Options, job: Job, entry: Dict[str, Any], raw: Raw, deadline: float,
                 room: int) -> None:
        self._context = context
        self._options = options
        self._job = job
        self._entry = entry
        self._raw = raw
        self._deadline = deadline
        self._room = room
        self._target = job.targets[0]
        self._reached = False
        self._stop: Optional[Tuple[str, str]] = None   # (kind, reason): nothing more is asked
        self._found = False                            # whether anything came that can be used
        self._asked: List[Dict[str, Any]] = []
        self._skipped: List[Dict[str, str]] = []
        self._groups: Dict[str, Dict[str, Any]] = {}   # by fingerprint, all that were seen
        self._leaks: List[str] = []
        self._origins: Dict[str, str] = {}             # by function
        self._cuts: Dict[str, str] = {}                # names as they are shown, by what the service said
        self._take: Dict[str, Any] = {
            "phase": options.phase, "at": _now(), "clock": _clock(), "asked": self._asked, "skipped": self._skipped,
            "goroutines": None, "dump": None, "leaks": None, "memory": None, "process": None, "heap": None, "mutex": None,
            "block": None, "threads": None, "cpu": None, "metrics": None, "profiles": [],
        }

    def run(self) -> Dict[str, Any]:
        steps: Dict[str, Callable[[], None]] = {
            "heap": self._heap, "goroutine": self._goroutines, "dump": self._dump, "allocs": lambda: self._plain("allocs"),
            "mutex": self._mutex, "block": self._block, "threadcreate": self._threads, "cpu": self._cpu,
            "metrics": self._metrics, "goroutineleak": self._leaked,
        }
        for kind in KINDS:
            if kind not in self._options.kinds:
                self._skip(kind, OFF)
            elif self._stop is not None:
                self._skip(kind, self._stop[1])
            else:
                steps[kind]()
        entry = self._entry
        if entry["pid"] is not None and entry["started"] is not None and not _same_life(self._context, entry):
            return entry  # what came may be of either
        if not self._found:
            failed = next((one["error"] for one in self._asked if one["error"]), None)
            why = next((one["reason"] for one in self._skipped if one["reason"] != OFF), "all of it is switched off")
            entry["error"] = failed or self._error(*(self._stop or ("nothing", "nothing was asked: %s" % why)))
            return entry
        self._take["process"] = process(self._context, entry["pid"]) if entry["pid"] is not None else None
        self._bound_groups()
        entry["takes"] = [self._take]
        return entry

    # --- asking

    def _skip(self, kind: str, reason: str) -> None:
        self._skipped.append({"kind": kind, "reason": reason})

    def _error(self, kind: str, message: str) -> Dict[str, str]:
        return _error(kind, self._hidden(message))

    def _hidden(self, text: str) -> str:
        """The text without the secrets that a service may have said back to us."""
        for one in self._job.secrets:
            text = text.replace(one, REDACTED)
        return text

    def _cut(self, text: str) -> str:
        known = self._cuts.get(text)
        if known is None:
            shown = self._hidden(text)
            known = self._cuts[text] = clean(shown if len(shown) <= NAME_LIMIT else shown[:NAME_LIMIT] + "...")
        return known

    def _row(self, frame: goroutines.Frame) -> List[Any]:
        return [self._cut(frame.function), self._cut(frame.file), frame.line, frame.origin]

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _url(self, kind: str, query: str) -> str:
        return "%s%s%s%s" % (self._entry["prefix"], pprof.INDEX, _PROFILES[kind][0], query)

    def _ask(self, kind: str, form: str, path: str, *, limit: int, seconds: Optional[float] = None, meant: float = 0.0,
             read: Callable[[Download], None]) -> bool:
        """One request; ``read`` gets the body of a 200 and raises ValueError where it is not what was asked for.

        False where there is nothing to go on with: the failure is in ``asked``, and where the service should be left alone,
        ``_stop`` says why. ``meant`` are the seconds that the answer takes by its nature.
        """
        if self._stop is not None or self._left() < 0.2 + meant:
            self._stop = self._stop or ("budget", "no time was left in the budget")
            self._skip(kind, self._stop[1])
            return False
        seconds = min((REQUEST_SECONDS if seconds is None else seconds) + meant, self._left())
        received, failure, answer = 0, None, Answer()
        for target in self._job.targets if not self._reached else [self._target]:
            withheld = withheld_from(self._context, self._job, target)
            if withheld:
                self._stop = ("unauthorized", withheld)
                self._skip(kind, withheld)
                return False
            self._target, received, failure = target, 0, None
            download = Download(target, path, timeout=seconds, limit=limit, wire=limit + (limit >> 3) + httpprobe.WIRE_LIMIT)
            with download:
                answer = download.answer
                if answer.status == 200 and _is_page(answer):
                    failure = self._error("not_pprof", "it answers with a page of HTML")
                elif answer.status == 200:
                    try:
                        read(download)
                    except ValueError as exc:
                        failure = self._error("broken", str(exc))
                elif answer.status is not None and "x-go-pprof" in answer.headers:
                    failure = self._status(answer, b"".join(download)[:200])
                received = download.received
            if answer.error != httpprobe.UNREACHABLE or answer.connected:
                break  # else: a host without IPv6 on its loopback, under a socket bound to [::]
        if answer.error is not None and answer.error != httpprobe.TLS_EXPECTED:
            failure = self._error(ERRORS.get(answer.error, "broken"), answer.detail)
        elif answer.status != 200:
            failure = failure or self._status(answer, b"")
        elif answer.truncated and failure is None:
            failure = self._error("too_big", "the answer has more than %d bytes" % limit)
        self._reached = self._reached or answer.connected
        self._asked.append({"kind": kind, "form": form, "status": answer.status, "ms": answer.ms, "bytes": received, "error": failure})
        self._judge(kind, answer, failure, answer.ms / 1000 - meant)
        return failure is None

    def _judge(self, kind: str, answer: Answer, failure: Optional[Mapping[str, str]], seconds: float) -> None:
        """Whether the service is to be left alone."""
        if failure is not None and failure["kind"] in _FATAL and (answer.error or answer.status in (401, 403)):
            self._stop = (failure["kind"], "left alone: %s of %s" % (failure["message"], kind) if answer.error is None else
                          "left alone: %s (%s)" % (failure["message"], kind))
        elif answer.status is not None and answer.status >= 500 and (failure or {}).get("kind") != "cpu_busy":
            self._stop = ("status", "left alone: it answered %d (%s)" % (answer.status, kind))
        elif seconds > SLOW:
            self._stop = ("timeout", "left alone: it took %.1f s (%s)" % (seconds, kind))

    def _status(self, answer: Answer, said: bytes) -> Dict[str, str]:
        """The error of an answer that is no 200. ``said`` is the text of net/http/pprof's own errors, of nobody else's."""
        status = answer.status
        if b"already in use" in said:  # runtime/pprof StartCPUProfile
            return self._error("cpu_busy", "another CPU profile of the process is being taken")
        if status in (401, 403):
            given = self._entry["credentials"]
            return self._error("unauthorized", "it answered %d%s" % (status, " to the %s credentials" % given if given else ""))
        text = "".join(char if " " <= char <= "~" else " " for char in said.decode("ascii", "replace")).strip()
        where = " (a redirect)" if status is not None and 300 <= status < 400 else ""
        return self._error("status", "it answered %s%s%s" % (status, where, ": " + text if text else ""))

    def _proto(self, kind: str, query: str = "", *, seconds: Optional[float] = None, meant: float = 0.0,
               use: Optional[Callable[[profile.Profile], None]] = None) -> bool:
        """A profile: asked for, decoded, summed up in ``profiles``, kept where it is wanted raw; ``use`` takes from it what the
        facts need. It is gone then: no two decoded profiles are in memory at a time."""
        limit = max(self._options.profile_limit, PROTO_LIMIT)
        pieces: List[bytes] = []

        def read(download: Download) -> None:
            pieces.clear()
            pieces.extend(download)
            if download.answer.truncated or download.answer.error:
                pieces.clear()

        if not self._ask(kind, "proto", self._url(kind, query), limit=limit, seconds=seconds, meant=meant, read=read):
            return False
        shown: Dict[str, Any] = {
            "kind": kind, "file": None, "bytes": self._asked[-1]["bytes"], "valid": False, "error": None,
            "sample_types": [], "totals": {}, "samples": 0, "duration_ns": 0, "period": 0,
        }
        self._take["profiles"].append(shown)
        if not _decoding.acquire(timeout=max(0.0, self._left())):
            return self._undecoded(shown)
        try:
            data = b"".join(pieces)
            pieces.clear()
            plain = profile.inflate(data, limit=INFLATED_LIMIT, late=lambda: self._left() <= 0)
            told = any(one.encode("utf-8", "replace") in plain for one in self._job.secrets)
            found = profile.decode(plain, max_samples=SAMPLES_LIMIT, max_frames=FRAMES_LIMIT, late=lambda: self._left() <= 0)
            del plain
            wanted = _PROFILES[kind][1]
            if all(name != wanted for name, _unit in found.sample_types):
                raise ValueError("it has no sample type %s, so it is no %s profile" % (wanted, kind))
            if use is not None:
                use(found)
            shown.update(valid=True, sample_types=[[self._type(name) for name in pair] for pair in found.sample_types],
                         totals={self._type(name): total for name, total in profile.totals(found).items()},
                         samples=len(found.samples), duration_ns=found.duration_nanos, period=found.period)
            if kind in self._options.raw:
                shown["error"] = "not brought along: it holds a password or token" if told else self._raw.keep(self._entry, kind, data)
                shown["file"] = None if shown["error"] else file_name(kind, self._options.phase)
        except ValueError as exc:
            what = getattr(exc, "kind", "")
            if what == "too_slow":
                return self._undecoded(shown)
            failure = self._error({"too_big": "too_big", "text": "not_pprof", "empty": "not_pprof"}.get(what, "broken"), str(exc))
            shown["error"], self._asked[-1]["error"] = failure["message"], failure
            return False
        finally:
            _decoding.release()
        self._found = True
        return True

    def _type(self, name: str) -> str:
        return name if name in _TYPES else self._cut(name)

    def _undecoded(self, shown: Dict[str, Any]) -> bool:
        failure = self._error("budget", "not decoded: no time was left in the budget")
        shown["error"], self._asked[-1]["error"] = failure["message"], failure
        return False

    # --- kinds

    def _heap(self) -> None:
        tail = bytearray()

        def read(download: Download) -> None:
            for piece in download:
                tail.extend(piece)
                del tail[:-memstats.TAIL]

        forced = self._options.gc
        if self._ask("heap", "text", self._url("heap", "?gc=1&debug=1" if forced else "?debug=1"), limit=TEXT_LIMIT,
                     seconds=HEAVY_SECONDS if forced else None, read=read):
            try:
                found = memstats.parse(bytes(tail))
            except ValueError as exc:
                self._asked[-1]["error"] = self._error("broken", str(exc))
            else:
                self._found = True
                self._take["memory"] = {
                    "memstats": {self._cut(name): value for name, value in found.values.items()}, "gc_cpu_fraction": found.gc_cpu_fraction,
                    "pauses": [list(pair) for pair in found.pauses], "forced_gc": forced,
                }
        if self._stop is None:
            self._proto("heap", use=self._heap_sites)

    def _heap_sites(self, heap: profile.Profile) -> None:
        types = ("inuse_space", "inuse_objects", "alloc_space", "alloc_objects")
        sites = _columns(heap, types)
        kept = {id(one): one for index in (0, 2)
                for one in sorted(sites, key=lambda one: -one[1][index])[:HEAP_SITES] if one[1][index]}
        rows = sorted(kept.values(), key=lambda one: (-one[1][0], -one[1][2]))
        called = self._callers(heap, [frame for frame, _values in rows], ("inuse_space", "alloc_space"), lambda stack: range(1))
        self._take["heap"] = {"period": heap.period, "sites": [
            {**self._place(frame), "caller": called.get(frame), "inuse_bytes": values[0], "inuse_objects": values[1],
             "alloc_bytes": values[2], "alloc_objects": values[3]} for frame, values in rows]}

    def _goroutines(self) -> None:
        at, clock = _now(), _clock()

        def use(found: profile.Profile) -> None:
            counts = self._remember(goroutines.from_profile(found, self._entry["module"]))
            total = profile.totals(found)["goroutine"]
            self._take.update(at=at, clock=clock, goroutines={
                "total": total, "counts": counts, "left_out": total - sum(counts.values())})

        self._proto("goroutine", use=use)

    def _dump(self) -> None:
        seen = self._take["goroutines"]
        if seen is None:
            self._skip("dump", "how many goroutines there are is not known")
            return
        if seen["total"] > self._options.dump_limit:
            self._skip("dump", "%d goroutines are more than dump_limit (%d)" % (seen["total"], self._options.dump_limit))
            return
        # Counting them stops nothing, and takes some milliseconds. Where it took long, the host is busy, and a dump of so many
        # would stop the service for as long (measured: 2,000 goroutines, 15 ms on an idle host and 80 ms on one with a load of 5 a CPU).
        took = self._asked[-1]["ms"]
        if seen["total"] > DUMP_SMALL and took > DUMP_PATIENCE and self._options.dump_limit <= Options.dump_limit:
            self._skip("dump", "the profile of %d goroutines took %d ms: the host is busy, and a dump would stop the service" % (
                seen["total"], took))
            return
        dumps: List[goroutines.Dump] = []

        def read(download: Download) -> None:
            dumps[:] = [goroutines.parse_dump(iter(download), self._entry["module"])]

        self._ask("dump", "dump", self._url("goroutine", "?debug=2"), limit=TEXT_LIMIT, read=read)
        if not dumps:
            return
        found = dumps[0]
        self._remember(found.groups)
        self._take["dump"] = {
            "total": found.total, "complete": bool(found.complete and not self._asked[-1]["error"]),
            "ids": _bound_ids(found.ids),
            "minutes": dict(found.minutes),
            "waits": {key: {self._cut(wait): count for wait, count in waits.items()} for key, waits in found.waits.items()},
        }

    def _plain(self, kind: str) -> None:
        self._proto(kind)

    def _mutex(self) -> None:
        head = bytearray()

        def read(download: Download) -> None:
            for piece in download:
                head.extend(piece[:contention.HEAD])
                if len(head) >= contention.HEAD:
                    break  # the rest says what the protocol buffer says

        period: Optional[int] = None
        if self._ask("mutex", "text", self._url("mutex", "?debug=1"), limit=TEXT_LIMIT, read=read):
            try:
                period = contention.parse(bytes(head)).period
            except ValueError as exc:
                self._asked[-1]["error"] = self._error("broken", str(exc))
        if self._stop is None:
            self._proto("mutex", use=lambda found: self._take.update(mutex={"period": period, **self._contention(found)}))

    def _block(self) -> None:
        self._proto("block", use=lambda found: self._take.update(block={"samples": len(found.samples), **self._contention(found)}))

    def _contention(self, found: profile.Profile) -> Dict[str, Any]:
        """Who held (mutex) or waited (block): the first frame that is neither the runtime's nor of package sync."""
        sums = profile.totals(found)
        indexes = [profile.type_index(found, name) for name in ("contentions", "delay")]
        places: Dict[profile.Frame, List[int]] = {}
        for sample in found.samples:
            for position in _outside_sync(sample.stack):
                values = places.setdefault(_named(sample.stack[position]), [0, 0])
                for number, index in enumerate(indexes):
                    values[number] += sample.values[index]
        dearest = sorted(places.items(), key=lambda one: (-one[1][1], -one[1][0], one[0]))[:CONTENTION_SITES]
        called = self._callers(found, [frame for frame, _values in dearest], ("delay", "contentions"), _outside_sync)
        return {"sites": [{**self._place(frame), "caller": called.get(frame), "contentions": values[0], "delay_ns": values[1]}
                          for frame, values in dearest], "contentions": sums["contentions"], "delay_ns": sums["delay"]}

    def _threads(self) -> None:
        self._proto("threadcreate", use=lambda found: self._take.update(threads=profile.totals(found)["threadcreate"]))

    def _cpu(self) -> None:
        seconds = self._options.cpu
        if not seconds:
            self._skip("cpu", "cpu_seconds is 0")
            return
        if self._left() < seconds + CPU_MARGIN:
            self._skip("cpu", "less than %g s were left in the budget" % (seconds + CPU_MARGIN))
            return
        with _cpu_turn(self._entry) as free:
            if not free:
                self._asked.append({"kind": "cpu", "form": "proto", "status": None, "ms": 0, "bytes": 0, "error": self._error(
                    "cpu_busy", "another verification is taking a CPU profile of the process")})
                return
            self._proto("cpu", "?seconds=%d" % seconds, meant=float(seconds), use=self._cpu_sites)

    def _cpu_sites(self, found: profile.Profile) -> None:
        sites = profile.sites(found, ("cpu",), name=goroutines.short)
        kept = sites[:CPU_SITES * 3 // 5]
        rest = sorted(sites[len(kept):], key=lambda one: -one.cum[0])
        kept += rest[:CPU_SITES - len(kept)]
        called = self._callers(found, [one.frame for one in kept], ("cpu",), lambda stack: range(len(stack)))
        self._take["cpu"] = {
            "duration_ns": found.duration_nanos, "period": found.period,
            "samples": profile.totals(found).get("samples", len(found.samples)),
            "sites": [{**self._place(one.frame), "caller": called.get(one.frame), "flat_ns": one.flat[0], "cum_ns": one.cum[0]}
                      for one in kept],
        }

    def _metrics(self) -> None:
        """The page of metrics: the declared one, else one that answers at once where the process listens."""
        declared = _url(_declaration(self._context, self._entry["service"]).get("metrics"))
        known = _url(self._entry["metrics_url"])
        if declared or known:
            target = declared or known or self._target
            self._page(replace(target, authorization=""), target.path, REQUEST_SECONDS)
            if not target.authorization or self._asked[-1]["status"] not in (401, 403):
                return
            target = replace(target, verify=self._job.verify, ca_file=self._job.ca_file)
            withheld = withheld_from(self._context, self._job, target)
            if withheld:
                self._asked[-1]["error"] = self._error("unauthorized", withheld)
            else:
                self._asked.pop()
                self._page(target, target.path, REQUEST_SECONDS)
            return
        if self._options.targets:
            self._skip("metrics", "none was found in the first take")
            return
        root = [(self._target, "/metrics")] if self._reached and not withheld_from(self._context, self._job, self._target) else []
        for target, path in root + [(one, "/metrics") for one in self._job.others[:3]]:
            if self._left() < METRICS_SECONDS or self._page(target, path, METRICS_SECONDS, quiet=True):
                return
        self._skip("metrics", "none was found")

    def _page(self, target: Target, path: str, seconds: float, quiet: bool = False) -> bool:
        """Whether that was the page: with ``quiet`` only where it is a good one."""
        families: Dict[str, Any] = {}
        failure: Optional[Dict[str, str]] = None
        with Download(target, path, timeout=max(0.1, min(seconds, self._left())), limit=METRICS_LIMIT, wire=2 * METRICS_LIMIT) as download:
            answer = download.answer
            if answer.status == 200 and _is_page(answer):
                failure = self._error("broken", "it is a page of HTML")
            elif answer.status == 200:
                try:
                    families = {self._cut(name): value for name, value in promtext.as_facts(promtext.parse(download)).items()}
                except ValueError as exc:
                    failure = self._error("broken", str(exc))
                else:
                    failure = None if families else self._error("broken", "it has none of the Go runtime's families")
        if answer.error is not None:
            failure = self._error(ERRORS.get(answer.error, "broken"), answer.detail)
        elif answer.status != 200:
            failure = self._status(answer, b"")
        elif answer.truncated:
            failure = self._error("too_big", "the answer has more than %d bytes" % METRICS_LIMIT)
        if failure is not None and quiet:
            return False
        self._asked.append({"kind": "metrics", "form": "text", "status": answer.status, "ms": answer.ms, "bytes": download.received,
                            "error": failure})
        if failure is None:
            url = redact_url("unix://%s:%s" % (target.unix, path) if target.unix else target.label + path)
            self._entry["metrics_url"] = url
            self._take["metrics"] = {"url": url, "families": families}
        return True

    def _leaked(self) -> None:
        if self._left() < 0.2:
            self._skip("goroutineleak", "no time was left in the budget")
            return
        limit = self._options.leak_limit
        if limit < LEAK_MOST:
            total = self._total()
            if total is None or total > limit:
                self._skip("goroutineleak", "how many goroutines there are is not known" if total is None else
                           "%d goroutines are more than leak_limit (%d)" % (total, limit))
                return

        def use(found: profile.Profile) -> None:
            counts = self._remember(goroutines.from_profile(found, self._entry["module"]))
            self._leaks = list(counts)
            self._take["leaks"] = {"available": True, "reason": None, "total": profile.totals(found)["goroutineleak"], "counts": counts}

        got = self._proto("goroutineleak", seconds=HEAVY_SECONDS, use=use)
        last = self._asked[-1] if self._asked else {}
        if not got and last.get("kind") == "goroutineleak" and last.get("status") == 404:
            # The runtime has no such profile, which is no fault of the service.
            last["error"] = None
            self._take["leaks"] = {"available": False, "reason": _no_leak_profile(self._entry["go_version"]), "total": 0, "counts": {}}

    def _total(self) -> Optional[int]:
        """How many goroutines there are: from their profile, else from the page of metrics."""
        if self._take["goroutines"] is not None:
            return int(self._take["goroutines"]["total"])
        told = ((self._take["metrics"] or {}).get("families") or {}).get("go_goroutines")
        return int(told) if isinstance(told, (int, float)) else None

    # --- groups

    def _remember(self, groups: Sequence[goroutines.Group]) -> Dict[str, int]:
        """Counts by fingerprint. What a group is, is noted once; a later form adds what the earlier one could not know."""
        counts: Dict[str, int] = {}
        for one in groups:
            counts[one.fingerprint] = counts.get(one.fingerprint, 0) + one.count
            known = self._groups.get(one.fingerprint)
            if known is None:
                self._groups[one.fingerprint] = {
                    "class": one.cls, "frames": [self._row(frame) for frame in one.frames[:FRAMES_KEPT]],
                    "created_by": self._row(one.created_by) if one.created_by is not None else None,
                    "wait": self._cut(one.wait) if one.wait else one.wait,
                }
                continue
            if known["created_by"] is None and one.created_by is not None:
                known["created_by"] = self._row(one.created_by)
            known["wait"] = known["wait"] or (self._cut(one.wait) if one.wait else one.wait)
        return counts

    def _bound_groups(self) -> None:
        """Keep the groups that fit, leaked ones first, then the largest; count what the others hold."""
        seen = self._take["goroutines"]
        counts: Mapping[str, int] = seen["counts"] if seen else {}
        leaked = set(self._leaks)
        kept: Dict[str, Dict[str, Any]] = {}
        room = self._room
        for key in sorted(self._groups, key=lambda one: (one not in leaked, -counts.get(one, 0), one)):
            room -= 120 + sum(len(row[0]) + len(row[1]) + 24 for row in self._groups[key]["frames"])
            if len(kept) >= GROUPS_LIMIT or room < 0:
                break
            kept[key] = self._groups[key]
        self._entry["groups"] = kept
        if len(kept) == len(self._groups):
            return
        if seen:
            seen["counts"] = {key: count for key, count in counts.items() if key in kept}
            seen["left_out"] = seen["total"] - sum(seen["counts"].values())
        for part, names in (("dump", ("ids", "minutes", "waits")), ("leaks", ("counts",))):
            for name in names if self._take[part] else ():
                self._take[part][name] = {key: value for key, value in self._take[part][name].items() if key in kept}

    # --- sites

    def _place(self, frame: profile.Frame) -> Dict[str, Any]:
        return {"function": self._cut(frame.function), "file": self._cut(frame.file), "line": frame.line,
                "origin": self._origin(frame.function)}

    def _origin(self, function: str) -> str:
        known = self._origins.get(function)
        if known is None:
            known = self._origins[function] = goroutines.origin(function, self._entry["module"])
        return known

    def _callers(self, found: profile.Profile, frames: Sequence[profile.Frame], types: Sequence[str],
                 positions: Callable[[profile.Stack], Iterable[int]]) -> Dict[profile.Frame, Optional[List[Any]]]:
        """Who calls the sites: of each the first frame above it that is own code and another function, the one with the most of
        ``types``. A helper that everybody calls says nothing of who keeps what it makes. ``positions`` are where in a stack
        sites are; of a site that is there more than once the one nearest to the leaf counts."""
        indexes = [index for name in types for index, (kind, _unit) in enumerate(found.sample_types) if kind == name]
        sums: Dict[profile.Frame, Dict[Optional[profile.Frame], List[int]]] = {frame: {} for frame in frames}
        for sample in found.samples:
            seen: List[profile.Frame] = []
            for position in positions(sample.stack) if sample.stack else ():
                frame = _named(sample.stack[position])
                callers = sums.get(frame)
                if callers is None or frame in seen:
                    continue
                seen.append(frame)
                caller = self._above(sample.stack, position, frame.function)
                values = callers.setdefault(caller, [0] * len(indexes))
                for number, index in enumerate(indexes):
                    values[number] += sample.values[index]
        most = {frame: min(callers, key=lambda one: ([-value for value in callers[one]], one or ()), default=None)
                for frame, callers in sums.items()}
        return {frame: [self._cut(caller.function), self._cut(caller.file), caller.line, "own"] for frame, caller in most.items()
                if caller is not None}

    def _above(self, stack: profile.Stack, position: int, function: str) -> Optional[profile.Frame]:
        for index in range(position + 1, len(stack)):
            frame = stack[index]
            # What the compiler made (gowrap1 of a go statement) is nobody's code.
            if self._origin(frame.function) == "own" and goroutines.visible(frame.function, frame.file):
                frame = _named(frame)
                if frame.function != function:
                    return frame
        return None


def _bound_ids(found: Mapping[str, List[int]]) -> Dict[str, List[int]]:
    """At most :data:`IDS_KEPT` ids: the groups that have no more than their share keep all, and leave the rest to the others."""
    room, share = IDS_KEPT, IDS_KEPT
    for position, count in enumerate(sorted(map(len, found.values()))):
        share = room // (len(found) - position)
        if count > share:
            break  # so is every one behind it
        room -= count
    return {key: ids[:share] if len(ids) > share else list(ids) for key, ids in found.items()}


def _named(frame: profile.Frame) -> profile.Frame:
    """The function's name as a dump has it: without type arguments."""
    return frame if "[" not in frame.function else frame._replace(function=goroutines.short(frame.function))


def _outside_sync(stack: profile.Stack) -> Iterable[int]:
    """Where in a stack of the mutex or block profile the one is that held or waited: below it are the runtime and sync alone."""
    for index, frame in enumerate(stack):
        if not frame.function.startswith(("runtime.", "sync.", "internal/sync.")):
            return (index,)
    return range(min(1, len(stack)))


def _is_page(answer: Answer) -> bool:
    return answer.headers.get("content-type", "").lower().startswith("text/html")


def _no_leak_profile(version: Optional[str]) -> str:
    """Why /debug/pprof/goroutineleak is not there. General since Go 1.27, behind GOEXPERIMENT=goroutineleakprofile in 1.26."""
    minor = (version or "").partition("go1.")[2].partition(".")[0]
    if not minor.isdigit():
        return "the service has no such profile"
    if int(minor[:3]) < 26:
        return "%s has none" % version
    return "%s has it only with GOEXPERIMENT=goroutineleakprofile" % version if minor == "26" else \
        "%s has one, and the service does not serve it" % version


def _columns(found: profile.Profile, types: Sequence[str]) -> List[Tuple[profile.Frame, Tuple[int, ...]]]:
    """The sites of a profile with their own values in ``types``, 0 for a type that it has not."""
    known = [name for name in types if any(name == kind for kind, _unit in found.sample_types)]
    return [(site.frame, tuple(site.flat[known.index(name)] if name in known else 0 for name in types))
            for site in profile.sites(found, known, name=goroutines.short)]


class _cpu_turn:
    """Whether we are the only verification on this host that takes a CPU profile of a process now.

    A second profile of one process is refused by Go with 500. Two verifications at once shall not depend on that: one takes
    it, the other says that it was busy. A name in the abstract namespace of unix sockets is bound by one process at a time,
    is in no file system, and is free again when that process ends, however it ends (unix(7)): ``\\0goready-preflight-cpu-<PID>``.
    """

    def __init__(self, entry: Mapping[str, Any]) -> None:
        listener = entry["listener"]
        self._name = "\0goready-preflight-cpu-%s" % (entry["pid"] or listener["path"] or "%s-%s" % (listener["address"], listener["port"]))
        self._socket: Optional[socket.socket] = None

    def __enter__(self) -> bool:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(self._name[:100])
        except OSError:
            return False
        return True

    def __exit__(self, *unused: object) -> None:
        if self._socket is not None:
            self._socket.close()


def process(context: Context, pid: int) -> Optional[Dict[str, Any]]:
    """What the kernel says of a process: memory in bytes, CPU time in seconds. A value that is not readable is None."""
    folder = "/proc/%d" % pid
    found: Dict[str, Any] = {"rss": None, "hwm": None, "cpu_seconds": None, "threads": None, "fds": None}
    try:
        status = context.read(folder + "/status")
        stat = context.read(folder + "/stat")
    except OSError:
        return None
    fields = dict(_pairs(status))
    for key, name in (("rss", "VmRSS"), ("hwm", "VmHWM")):
        words = fields.get(name, "").split()
        if words and words[0].isdigit():
            found[key] = int(words[0]) * 1024
    if fields.get("Threads", "").isdigit():
        found["threads"] = int(fields["Threads"])
    behind = stat[stat.rfind(")") + 1:].split()
    if len(behind) > 12 and behind[11].isdigit() and behind[12].isdigit():  # utime and stime: fields 14 and 15 of proc(5)
        found["cpu_seconds"] = (int(behind[11]) + int(behind[12])) / os.sysconf("SC_CLK_TCK")
    try:
        found["fds"] = len(os.listdir(context.path(folder + "/fd")))
    except OSError:
        pass  # of another user
    return found


def _pairs(text: str) -> Iterator[Tuple[str, str]]:
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            yield name, value.strip()


def _now() -> str:
    import datetime
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def _clock() -> float:
    """Seconds since boot, sleep included: the clock of a process's start."""
    return round(time.clock_gettime(time.CLOCK_BOOTTIME), 3)
