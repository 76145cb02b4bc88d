# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``pprof``: what the listeners of Go processes serve to whoever asks, and whether declared services are healthy.

What a listener is asked, and nothing else (``GET`` each, no credentials, at most four requests to one that serves no
debugging, three to one that does; one more where plain HTTP met TLS):

==================================  ==================================================================================
``/debug/pprof/``                   the index of net/http/pprof, a list of names and counts
``/debug/pprof/heap?seconds=0``     refused by the handler with 400 and ``X-Go-Pprof: 1`` before it looks at the heap
                                    (net/http/pprof serveDeltaProfile, Go 1.15); for older or unknown versions of Go an
                                    unguessable name, which is answered 404 with the same header
``/debug/pprof/symbol``             without arguments: ``num_symbols: 1``
``/debug/vars``                     expvar; only *that* it is served is kept, never its body (it holds argv)
``/``                               only where debugging was found: does the same listener serve an application too?
==================================  ==================================================================================

So no profile is started and no goroutine stack is taken. ``cmdline`` is never asked for: it holds argv.

What stands in front of such a listener is read, not assumed: nginx's configuration for the reverse proxies that lead to it
(each asked the same as a listener), and what the kernel has of the table of role pprof_guard.
"""
from __future__ import annotations

import glob
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe, nftables, nginxconf, sshclient
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Answer, Target
from ansible_collections.goready.preflight.plugins.module_utils.redact import redact_url

WORKERS = 8
ENDPOINTS_SECONDS = 10.0   # for all listeners together: 80 that never answer
HEALTH_TIMEOUT = 5.0
SCAN_LIMIT = 512 * 1024 * 1024  # bytes of an executable that are searched

INDEX = "/debug/pprof/"
HEAP_REFUSED = "/debug/pprof/heap?seconds=0"
SYMBOL = "/debug/pprof/symbol"
VARS = "/debug/vars"
WILDCARDS = ("0.0.0.0", "::")
CONVENTIONAL_PORT = 6060   # of net/http/pprof's package documentation

CLONE_NEWNET = 0x40000000  # linux/sched.h

Ask = Callable[[str, str], Answer]
T = TypeVar("T")


@dataclass
class Look:
    """What a listener was found to serve. ``state`` is ``answered`` where it speaks HTTP/1.1; else why nothing is known
    or nothing is there: ``not_http``, ``silent``, ``tls``, ``client_certificate`` or an error kind of httpprobe."""

    scheme: Optional[str] = None
    state: str = "not_probed"
    pprof: Dict[str, Any] = field(default_factory=lambda: {"served": None, "status": None, "path": None, "evidence": []})
    expvar: Dict[str, Any] = field(default_factory=lambda: {"served": None, "status": None, "evidence": []})
    authentication: Optional[bool] = None
    error: Optional[str] = None
    requests: int = 0

    @property
    def debugging(self) -> bool:
        return bool(self.pprof["served"] or self.expvar["served"])


def pprof_evidence(path: str, answer: Answer) -> Optional[str]:
    """Why this answer can only come from net/http/pprof, or None."""
    said = "GET %s answered %s" % (path, answer.status)
    if "x-go-pprof" in answer.headers:  # set by its serveError alone
        return "%s with the header X-Go-Pprof" % said
    if answer.status != 200:
        return None
    head = answer.body[:4096]
    if b"<title>/debug/pprof/</title>" in head and b"profiles" in head:
        return "%s with the index of net/http/pprof" % said
    if path.endswith("/symbol") and answer.body.startswith(b"num_symbols: "):
        return "%s with %s" % (said, "num_symbols")
    if 'filename="heap"' in answer.headers.get("content-disposition", ""):
        return "%s with a heap profile" % said
    return None


def expvar_evidence(path: str, answer: Answer) -> Optional[str]:
    """Why this answer comes from expvar, or None. The names of its variables only, never a value."""
    body = answer.body
    if answer.status != 200 or body.lstrip()[:1] != b"{" or b'"cmdline"' not in body:
        return None
    if b'"memstats"' in body:
        return "GET %s answered 200 with the variables cmdline and memstats" % path
    # Variables are sorted by name: a long one may have pushed memstats behind the cut.
    return "GET %s answered 200 with the variable cmdline" % path if answer.truncated else None


def look(ask: Ask, *, scheme: str = "http", prefix: str = "", delta: bool = False) -> Look:
    """Ask one listener. ``ask(scheme, path)`` makes one request; ``prefix`` is what a declared base URL puts before
    ``/debug``; ``delta`` says that the process is of Go 1.15 or later (see the module's text)."""
    found = Look()

    def request(path: str) -> Answer:
        found.requests += 1
        return ask(scheme, path)

    first = request(prefix + INDEX)
    if scheme == "http" and first.error in (httpprobe.TLS_EXPECTED, httpprobe.CLOSED):
        # A TLS server of another library than net/http just hangs up.
        scheme = "https"
        second = request(prefix + INDEX)
        if second.tls or first.error == httpprobe.TLS_EXPECTED or second.error in (httpprobe.HTTP2, httpprobe.CLIENT_CERTIFICATE):
            first = second
        else:
            scheme = "http"
    if first.status is None:
        return _no_http(found, first, scheme)
    found.scheme, found.state = scheme, "answered"

    second_path = prefix + (HEAP_REFUSED if delta else INDEX + _unguessable())
    answers = [(prefix + INDEX, first)]
    for path in (second_path, prefix + SYMBOL):
        if _judge_pprof(found, answers) or _unheard(answers[-1][1]):
            break
        if path.endswith(SYMBOL) and all(answer.status in (401, 403) for _path, answer in answers):
            break  # the whole folder is guarded
        answers.append((path, request(path)))
    _judge_pprof(found, answers)

    variables = request(prefix + VARS)
    evidence = expvar_evidence(prefix + VARS, variables)
    found.expvar = {"served": True if evidence else _absent([variables]), "status": variables.status,
                    "evidence": [evidence or _said(prefix + VARS, variables)]}
    guarded = [answer for _path, answer in answers + [(VARS, variables)] if answer.status in (401, 403)]
    found.authentication = False if found.debugging else True if guarded else None
    if found.pprof["served"] is None and not guarded and any(answer.error for _path, answer in answers):
        found.error = next(answer.detail for _path, answer in answers if answer.error)
    return found


def _judge_pprof(found: Look, answers: Sequence[Tuple[str, Answer]]) -> bool:
    for path, answer in answers:
        evidence = pprof_evidence(path, answer)
        if evidence:
            found.pprof = {"served": True, "status": answer.status, "path": path, "evidence": [evidence]}
            return True
    found.pprof = {"served": _absent([answer for _path, answer in answers]), "status": answers[0][1].status, "path": None,
                   "evidence": [_said(path, answer) for path, answer in answers]}
    return False


def _said(path: str, answer: Answer) -> str:
    path = INDEX + "<random name>" if INDEX + "preflight-" in path else path
    if answer.status is None:
        return "GET %s: %s" % (path, answer.detail)
    asks = answer.headers.get("www-authenticate", "").split(" ")[0]
    return "GET %s answered %d%s" % (path, answer.status, " (asks for %s authentication)" % asks if asks else "")


def _unheard(answer: Answer) -> bool:
    return answer.status is None


def _absent(answers: Sequence[Answer]) -> Optional[bool]:
    """False where every answer shows that the thing is not there; None where one hides it (asks for credentials, is a
    gateway's or a limiter's own, did not come)."""
    return None if any(answer.status in (None, 401, 403, 407, 429, 502, 503, 504) for answer in answers) else False


def _no_http(found: Look, answer: Answer, scheme: str) -> Look:
    error = answer.error
    found.error = answer.detail
    found.state = {
        httpprobe.HTTP2: "not_http", httpprobe.CLOSED: "not_http", httpprobe.INCOMPLETE: "not_http",
        httpprobe.TLS_EXPECTED: "tls", httpprobe.TIMEOUT_KIND: "silent" if answer.connected else httpprobe.UNREACHABLE,
    }.get(error or "", error or "not_http")
    if found.state == "not_http":
        found.pprof["served"] = found.expvar["served"] = False
        found.pprof["evidence"] = found.expvar["evidence"] = [answer.detail]
    if found.state == "client_certificate":
        found.scheme, found.authentication = "https", True
        found.pprof["evidence"] = found.expvar["evidence"] = [answer.detail]
    if answer.tls:
        found.scheme = "https"
    return found


def _unguessable() -> str:
    return "preflight-" + os.urandom(8).hex()


def shared(root: Optional[Answer], *, declared_pprof: bool, health_here: bool, health_elsewhere: bool, port: Optional[int],
           local: bool, open_elsewhere: bool) -> Tuple[Optional[bool], List[str]]:
    """Whether a listener that serves debugging serves an application too, with the evidence.

    ``root`` is its answer to ``GET /`` (None: not asked). ``health_here``/``health_elsewhere``: the service's declared
    health URL names this listener / another one; ``local``: loopback or unix; ``open_elsewhere``: the service has a
    listener beyond loopback besides this one.
    """
    if health_here:
        return True, ["the declared health URL is served by this listener"]
    if declared_pprof:
        return False, ["declared as the service's pprof listener"]
    if root is None or root.status is None:
        return None, ["GET / was not answered"]
    said = "GET / answered %d" % root.status
    if _landing_page(root):
        return False, [said + " with a way to /metrics or /debug: an administrator's listener"]
    if root.status not in (404, 410):
        kind = root.headers.get("content-type", "").split(";")[0]
        where = root.headers.get("location")
        return True, ["%s%s" % (said, " to %s" % where[:80] if where else " with %s" % kind if kind else "")]
    if health_elsewhere:
        return False, [said, "the declared health URL is served by another listener"]
    if port == CONVENTIONAL_PORT:
        return False, [said, "port %d is the one of net/http/pprof's documentation" % CONVENTIONAL_PORT]
    if local and open_elsewhere:
        return False, [said, "the service has another listener beyond loopback"]
    return None, [said, "nothing tells a listener for debugging from one for the application"]


def _landing_page(root: Answer) -> bool:
    """``/`` of an administrative listener: a page or redirect to its /metrics or /debug."""
    location = root.headers.get("location", "")
    path = location if location.startswith("/") else "/" + location.partition("://")[2].partition("/")[2]
    if location:
        return path.startswith(("/debug", "/metrics"))
    return root.status == 200 and any(mark in root.body for mark in (
        b"/debug/pprof", b'href="/metrics', b"href='/metrics", b'href="metrics', b"href='metrics"))


# --- the host ----------------------------------------------------------------------------------------------------


@dataclass
class Job:
    """One listener to look at, for one service."""

    service: str
    pid: Optional[int]
    listener: Dict[str, Any]
    container: Optional[Dict[str, Any]]
    namespace: Optional[str]       # "host", "other" or None (not readable)
    targets: List[Target]
    key: Tuple[Any, ...]           # the same key is the same socket
    prefixes: List[str] = field(default_factory=lambda: [""])
    delta: bool = False
    declared: bool = False
    from_process: bool = True
    health_here: bool = False
    health_elsewhere: bool = False
    open_elsewhere: bool = False


def endpoints(context: Context) -> List[Dict[str, Any]]:
    """One entry a listener of a Go process, and one a declared pprof URL that no such listener serves."""
    services = context.shared.get("services.services")
    if services is None:
        raise Unavailable("the services were not collected, so their listeners are not known")
    jobs = plan(context, services)
    unique: Dict[Tuple[Any, ...], Job] = {}
    for job in jobs:
        unique.setdefault(job.key, job)
    keys = list(unique)
    deadline = min(context.deadline - 0.5, time.monotonic() + ENDPOINTS_SECONDS)
    results = dict(zip(keys, httpprobe.side_by_side(
        lambda key: probe(context, unique[key]), keys, workers=WORKERS, deadline=deadline)))
    entries = []
    for job in jobs:
        found, root = results[job.key] or (Look(error="not reached in the time for all listeners"), None)
        entries.append(entry(context, job, found, root))
    return entries


def plan(context: Context, services: Sequence[Mapping[str, Any]]) -> List[Job]:
    """The listeners to look at, declared services first: they matter most where the time is up."""
    declarations = {str(one.get("name")): one for one in context.services}
    own = _namespace(context, "self")
    jobs: List[Job] = []
    for service in sorted(services, key=lambda one: not one.get("declared")):
        declaration = declarations.get(str(service.get("name")), {}) if service.get("declared") else {}
        pprof_url, health_url = _declared(declaration.get("pprof")), _declared(declaration.get("health"))
        mine: List[Job] = []
        for process in service.get("processes") or ():
            if not process.get("go"):
                continue
            namespace = _where(context, process, service, own)
            for listener in process.get("listeners") or ():
                job = _job(context, service, process, listener, namespace)
                if job is not None and all(job.key != other.key for other in mine):
                    mine.append(job)
        for job in mine:
            in_host = job.namespace != "other"
            if pprof_url and in_host and _names(pprof_url, job.listener):
                job.declared = True
                job.prefixes = list(dict.fromkeys((url_prefix(pprof_url), "")))
            job.health_here = bool(health_url and in_host and _names(health_url, job.listener))
            job.open_elsewhere = any(other is not job and not is_local(other.listener) for other in mine)
        for job in mine:
            job.health_elsewhere = bool(health_url) and not job.health_here
        if pprof_url and not any(job.declared for job in mine):
            mine.append(_declared_job(service, pprof_url, health_url))
        jobs.extend(mine)
    return jobs


def _job(context: Context, service: Mapping[str, Any], process: Mapping[str, Any], listener: Mapping[str, Any],
         namespace: Optional[str]) -> Optional[Job]:
    address, port, path = str(listener.get("address") or ""), listener.get("port"), listener.get("path")
    pid = int(process["pid"])
    where = _namespace(context, str(pid)) if namespace == "other" else "host"
    if listener.get("proto") in ("tcp", "tcp6") and port:
        hosts = {"0.0.0.0": ["127.0.0.1"], "::": ["::1", "127.0.0.1"]}.get(address, [address])
        targets = [Target(host=host, port=int(port)) for host in hosts]
        key: Tuple[Any, ...] = (where, hosts[0], int(port))
    elif listener.get("proto") == "unix" and path:
        targets = [Target(unix=socket_path(context, pid, str(path)))]
        # An unreadable namespace may hold another file of the same name: then the socket's inode tells them apart.
        key = (where, str(path), listener.get("inode"))
    else:
        return None
    shown = {"proto": listener.get("proto"), "address": listener.get("address"), "port": port, "path": path}
    return Job(service=str(service.get("name")), pid=pid, listener=shown, container=_container(service), namespace=namespace,
               targets=targets, key=key, delta=_delta(process))


def _declared_job(service: Mapping[str, Any], url: Target, health: Optional[Target]) -> Job:
    """The declared pprof URL itself, where no listener of the service is known to serve it."""
    if url.unix:
        listener: Dict[str, Any] = {"proto": "unix", "address": None, "port": None, "path": url.unix}
        key: Tuple[Any, ...] = ("declared", url.unix)
    else:
        host = "127.0.0.1" if url.host == "localhost" else url.host
        listener = {"proto": "tcp6" if ":" in host else "tcp", "address": host, "port": url.port, "path": None}
        key = ("declared", url.scheme, host, url.port)
    return Job(service=str(service.get("name")), pid=None, listener=listener, container=None, namespace="host",
               targets=[Target(scheme=url.scheme, host=url.host, port=url.port, unix=url.unix)], key=key,
               prefixes=[url_prefix(url)], declared=True, from_process=False,
               health_here=bool(health and _names(health, listener)))


def probe(context: Context, job: Job) -> Tuple[Look, Optional[Answer]]:
    """Look at one listener, inside its network namespace where it has one of its own."""
    if job.namespace == "other":
        return _inside(context, job)
    if job.namespace is None and job.container is not None and not job.targets[0].unix:
        return Look(state="namespace", error="in a container whose network namespace cannot be read"), None
    return _probe(context, job)


def _probe(context: Context, job: Job) -> Tuple[Look, Optional[Answer]]:
    target = job.targets[0]

    def ask(scheme: str, path: str) -> Answer:
        one = Target(scheme=scheme, host=target.host, port=target.port, unix=target.unix)
        return httpprobe.get(one, path, timeout=min(httpprobe.TIMEOUT, max(0.05, context.remaining() - 0.5)))

    found = Look()
    for target in job.targets:
        found = look(ask, scheme=target.scheme, prefix=job.prefixes[0], delta=job.delta)
        if found.state != httpprobe.UNREACHABLE:  # a host without IPv6 on its loopback, under a socket bound to [::]
            break
    for prefix in job.prefixes[1:]:
        if found.state == "answered" and not found.pprof["served"]:
            other = look(ask, scheme=found.scheme or "http", prefix=prefix, delta=job.delta)
            other.requests += found.requests
            found = other
    root = None
    if found.debugging and not job.health_here and not job.declared:
        found.requests += 1
        root = ask(found.scheme or "http", "/")
    return found, root


def entry(context: Context, job: Job, found: Look, root: Optional[Answer]) -> Dict[str, Any]:
    """The endpoint as docs/facts.md describes it."""
    pprof, expvar = dict(found.pprof), dict(found.expvar)
    if job.from_process and job.pid is not None and found.state in ("silent", "tls", "client_certificate", "namespace", "denied",
                                                                    "not_probed"):
        # The listener told nothing. A program in which the path does not occur cannot serve it.
        for part, text in ((pprof, b"/debug/pprof/"), (expvar, b"/debug/vars")):
            if part["served"] is None and _occurs(context, job.pid, text) is False:
                part["served"] = False
                part["evidence"] = ["%s does not occur in the executable" % text.decode("ascii")]
    if not job.from_process and found.state in (httpprobe.REFUSED, httpprobe.MISSING):
        # Declared, and nothing is there. (A listener that was seen and refuses is a riddle: a firewall, a race.)
        for part in (pprof, expvar):
            part.update(served=False, evidence=[found.error])
    mux: Optional[bool] = None
    mux_evidence: List[str] = []
    if pprof["served"] or expvar["served"]:
        mux, mux_evidence = shared(
            root, declared_pprof=job.declared, health_here=job.health_here, health_elsewhere=job.health_elsewhere,
            port=job.listener["port"], local=is_local(job.listener), open_elsewhere=job.open_elsewhere)
    return {
        "service": job.service, "pid": job.pid, "listener": job.listener, "declared": job.declared,
        "container": job.container, "namespace": job.namespace, "scheme": found.scheme, "state": found.state,
        "pprof": pprof, "expvar": expvar, "authentication": found.authentication,
        "shared": mux, "shared_evidence": mux_evidence, "requests": found.requests, "error": found.error,
    }


def is_local(listener: Mapping[str, Any]) -> bool:
    """Bound to loopback or a unix socket: nobody but this machine (or container) gets there."""
    if listener.get("proto") == "unix":
        return True
    address = str(listener.get("address") or "")
    if address.startswith("::ffff:"):
        address = address[7:]
    return address in ("::1", "localhost") or (address.startswith("127.") and address.count(".") == 3)


def _declared(url: Any) -> Optional[Target]:
    if not isinstance(url, str):
        return None
    try:
        return httpprobe.parse_url(url)
    except ValueError:
        return None  # the controller validates the declarations; here it only means that there is no such URL


def url_prefix(url: Target) -> str:
    """What a base URL puts before /debug/pprof/, also where it was written to the end."""
    path = url.path.partition("?")[0].rstrip("/")
    return path[:-len("/debug/pprof")] if path.endswith("/debug/pprof") else path


def _names(url: Target, listener: Mapping[str, Any]) -> bool:
    """Whether a URL leads to this listener."""
    if url.unix or listener.get("proto") == "unix":
        return bool(url.unix) and url.unix == listener.get("path")
    if url.port != listener.get("port"):
        return False
    address = str(listener.get("address") or "")
    if address in WILDCARDS or address == url.host:
        return True
    if url.host == "localhost":
        return is_local(listener)
    try:
        found = httpprobe.resolve(url.host, url.port, time.monotonic() + 0.5)
    except (OSError, httpprobe.ProbeError):
        return False
    return any(one[0] == address for _family, one in found)


def _delta(process: Mapping[str, Any]) -> bool:
    """Whether the process is of Go 1.15 or later; with a development version nobody knows."""
    running = process.get("running") or {}
    version = str((running.get("buildinfo") or {}).get("go_version") or "")
    major, _dot, rest = version[2:].partition(".") if version.startswith("go") else ("", "", "")
    minor = ""
    for char in rest:
        if not char.isdigit():
            break
        minor += char
    return major == "1" and minor.isdigit() and int(minor[:4]) >= 15


def _container(service: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    container = service.get("container")
    return dict(container) if isinstance(container, Mapping) else None


def _namespace(context: Context, pid: str) -> Optional[str]:
    try:
        return os.readlink(context.path("/proc/%s/ns/net" % pid))
    except OSError:
        return None


def _where(context: Context, process: Mapping[str, Any], service: Mapping[str, Any], own: Optional[str]) -> Optional[str]:
    theirs = _namespace(context, str(process["pid"]))
    if own is None or theirs is None:
        # Not ours to read (another user's process). A process of the host has the host's network as a rule.
        return None if service.get("container") else "host"
    return "host" if own == theirs else "other"


def socket_path(context: Context, pid: int, path: str) -> str:
    """The socket as the process sees it: it may have a root or a /tmp of its own (PrivateTmp=, a container)."""
    if path.startswith("@"):
        return path
    seen = context.path("/proc/%d/root%s" % (pid, path))
    return seen if len(seen.encode("utf-8", "surrogateescape")) < 108 and os.path.exists(seen) else context.path(path)


def _inside(context: Context, job: Job) -> Tuple[Look, Optional[Answer]]:
    """Probe from within the listener's network namespace."""
    try:
        found = inside(context, job.pid or 0, lambda: _probe(context, job), max(0.1, context.remaining() - 0.3))
    except OSError as exc:
        # Its addresses are not reachable from the host's loopback, so there is nothing else to ask.
        return Look(state="namespace", error="in a network namespace of its own that cannot be entered: %s" % (
            os.strerror(exc.errno).lower() if exc.errno else exc)), None
    return found or (Look(state="namespace", error="not reached in time"), None)


def inside(context: Context, pid: int, function: Callable[[], T], seconds: float) -> Optional[T]:
    """What ``function`` gives in the network namespace of a process, None where it takes longer than ``seconds``.

    Only a thread of ours enters the namespace (setns(2)), and ends there. OSError where it may not.
    """
    result: List[T] = []
    refused: List[OSError] = []

    def work() -> None:
        try:
            _setns(context.path("/proc/%d/ns/net" % pid))
        except OSError as exc:
            refused.append(exc)
            return
        result.append(function())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if refused:
        raise refused[0]
    return result[0] if result else None


def _setns(path: str) -> None:
    """Move this thread into a network namespace; OSError where it may not."""
    import ctypes  # only where a process has a network namespace of its own; os.setns is of Python 3.12
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)


def _occurs(context: Context, pid: int, text: bytes) -> Optional[bool]:
    """Whether a text occurs in the process's executable; None where that cannot be read."""
    known: Dict[Tuple[int, bytes], Optional[bool]] = context.shared.setdefault("pprof.occurs", {})
    if (pid, text) not in known:
        known[(pid, text)] = _search(context.path("/proc/%d/exe" % pid), text, context)
    return known[(pid, text)]


def _search(path: str, text: bytes, context: Context) -> Optional[bool]:
    tail = b""
    read = 0
    try:
        with open(path, "rb") as handle:
            while context.remaining() > 1:
                block = handle.read(1 << 20)
                if text in tail + block:
                    return True
                if not block:
                    # A packed executable (UPX) hides its strings; it would not have been seen to be Go either.
                    return False if read else None
                read += len(block)
                if read > SCAN_LIMIT:
                    return None
                tail = block[-len(text):]
    except OSError:
        return None
    return None


# --- what stands in front -------------------------------------------------------------------------------------------

NGINX_CONF = "/etc/nginx/nginx.conf"
CONF_LIMIT = 1 << 20       # bytes of one configuration file
PROXIES_SECONDS = 6.0


def proxies(context: Context) -> List[Dict[str, Any]]:
    """One entry a server of nginx and listener behind it that serves debugging, asked as the listeners are."""
    found = context.shared.get("pprof.endpoints")
    if found is None:
        raise Unavailable("the listeners were not looked at, so what leads to them is not known")
    behind = [one for one in found if one["pprof"]["served"] or one["expvar"]["served"]]
    try:
        directives, missing = nginxconf.assemble(NGINX_CONF, lambda path: _conf(context, path), lambda pattern: _glob(context, pattern))
    except FileNotFoundError:
        return []  # no nginx
    if missing and behind:
        context.errors.append({"part": "pprof.proxies", "kind": "permission" if "permission denied" in "".join(missing) else "exception",
                               "message": "not read: %s" % "; ".join(missing[:5])})
    jobs = _proxy_jobs(nginxconf.routes(directives), behind)
    deadline = min(context.deadline - 0.5, time.monotonic() + PROXIES_SECONDS)
    results = httpprobe.side_by_side(lambda job: look(_asker(context, job[1]), scheme=job[1].scheme, prefix=job[0]["prefix"]),
                                     jobs, workers=WORKERS, deadline=deadline)
    entries = []
    for (one, _target), looked in zip(jobs, results):
        seen = looked or Look(error="not reached in the time for all proxies")
        one.update(scheme=seen.scheme or one["scheme"], state=seen.state, pprof=seen.pprof, expvar=seen.expvar,
                   authentication=seen.authentication, requests=seen.requests, error=seen.error)
        entries.append(one)
    return entries


def _conf(context: Context, path: str) -> str:
    with open(context.path(path), encoding="utf-8", errors="replace") as stream:
        return stream.read(CONF_LIMIT)


def _glob(context: Context, pattern: str) -> List[str]:
    if not any(char in pattern for char in "*?["):
        return [pattern]
    root = context.path("/").rstrip("/")
    return sorted(path[len(root):] for path in glob.glob(context.path(pattern)))


def _asker(context: Context, target: Target) -> Ask:
    def ask(scheme: str, path: str) -> Answer:
        one = Target(scheme=scheme, host=target.host, port=target.port, unix=target.unix, name=target.name)
        return httpprobe.get(one, path, timeout=min(httpprobe.TIMEOUT, max(0.05, context.remaining() - 0.5)))

    return ask


def _proxy_jobs(routes: Sequence[nginxconf.Route], behind: Sequence[Mapping[str, Any]]) -> List[Tuple[Dict[str, Any], Target]]:
    """(entry, where to ask) of each server's listener and each service behind it; several routes there are one entry, which
    admits whom any of them admits."""
    jobs: Dict[Tuple[Any, ...], Tuple[Dict[str, Any], Target]] = {}
    for route in routes:
        for endpoint in behind:
            if not _leads(route, endpoint["listener"]):
                continue
            paths = [nginxconf.outer_path(route, folder) for folder in (INDEX, "/debug/")]
            outer = next((path for path in paths if path), None)
            if outer is None:
                continue
            for listen in _distinct(route.listens):
                where = listen.unix or "%s %s" % (listen.address, listen.port)
                name = next((one for one in route.names if one and one[0] not in "_*.~" and "*" not in one), "")
                key = (where, name, endpoint["service"], endpoint["listener"]["port"], endpoint["listener"]["path"])
                if key in jobs:
                    known = jobs[key][0]
                    known["allow"] = None if known["allow"] is None or route.allow is None else sorted({*known["allow"], *route.allow})
                    continue
                jobs[key] = _proxy_job(route, endpoint, listen, name, outer)
    return list(jobs.values())


def _proxy_job(route: nginxconf.Route, endpoint: Mapping[str, Any], listen: nginxconf.Listen, name: str, outer: str
               ) -> Tuple[Dict[str, Any], Target]:
    inner = endpoint["listener"]
    entry_: Dict[str, Any] = {
        "service": endpoint["service"], "program": "nginx", "pid": None, "declared": False, "container": None, "namespace": "host",
        "listener": {"proto": "unix" if listen.unix else "tcp6" if ":" in listen.address else "tcp",
                     "address": None if listen.unix else listen.address, "port": listen.port, "path": listen.unix},
        "backend": {key: inner[key] for key in ("proto", "address", "port", "path")},
        "file": route.file, "line": route.line, "server_name": name, "prefix": outer.partition("/debug")[0],
        "allow": sorted(route.allow) if route.allow is not None else None, "scheme": "https" if listen.tls else "http",
    }
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.address, listen.address)
    return entry_, Target(scheme=entry_["scheme"], host=host, port=listen.port or 0, unix=listen.unix or "", name=name)


def _distinct(listens: Sequence[nginxconf.Listen]) -> List[nginxconf.Listen]:
    """Every address of IPv4 and of IPv6 with one port is one listener for whoever counts them."""
    found: List[nginxconf.Listen] = []
    for one in listens:
        if not any(one.address in WILDCARDS and other.address in WILDCARDS and one.port == other.port and not one.unix for other in found):
            found.append(one)
    return found


def _leads(route: nginxconf.Route, listener: Mapping[str, Any]) -> bool:
    kind, host, port = route.backend
    if kind == "unix" or listener.get("proto") == "unix":
        return kind == "unix" and listener.get("proto") == "unix" and host == listener.get("path")
    if port != listener.get("port"):
        return False
    address = str(listener.get("address") or "")
    return host == address or (host == "localhost" and is_local(listener)) or address in WILDCARDS


def firewall(context: Context) -> Dict[str, Any]:
    """What the kernel has of role pprof_guard's table, and whether it will be there after the next boot."""
    found: Dict[str, Any] = {"present": False, "ports": [], "lasting": None, "error": None}
    if not os.path.exists(context.path(nftables.FILE)):
        return found
    found["lasting"] = False
    try:
        # /usr/sbin is in no ordinary user's PATH.
        nft = next((path for path in ("/usr/sbin/nft", "/sbin/nft") if os.path.exists(path)), "nft")
        rc, out, err = context.run([nft, "-j", "list", "table", nftables.FAMILY, nftables.TABLE], timeout=5.0)
        if rc and "No such file or directory" in err:
            return found
        ports = nftables.guards_of_listing(nftables.listing(out)) if rc == 0 else {}
    except (Unavailable, TimeoutError, ValueError) as exc:
        found.update(present=None, lasting=None, error=str(exc))
        return found
    if rc:
        found.update(present=None, lasting=None, error=(err.strip().splitlines() or ["nft ended with %d" % rc])[-1][:200].lower())
        return found
    found.update(present=True, ports=[{"port": port, "allow": list(allow)} for port, allow in sorted(ports.items())])
    found["lasting"] = _lasting(context, ports)
    return found


def _lasting(context: Context, ports: Mapping[int, Sequence[str]]) -> Optional[bool]:
    """Whether the unit that loads the table at boot is enabled, and its file says what the kernel holds to."""
    try:
        kept = {one.port: set(one.allow) for one in nftables.parse(_conf(context, nftables.FILE))}
    except PermissionError:
        return None
    except (OSError, ValueError):
        return False
    return os.path.lexists(context.path(nftables.LINK)) and os.path.exists(context.path(nftables.UNIT_FILE)) and all(
        kept.get(port) == set(allow) for port, allow in ports.items())


def client(context: Context) -> Optional[str]:
    """The address from which the one who collects came, as the host sees it; None where it is no SSH session."""
    return sshclient.address(context.path("/"))


# --- health --------------------------------------------------------------------------------------------------------


def health(context: Context) -> List[Dict[str, Any]]:
    """The answer of every declared health URL, asked once from the host itself.

    ``ok`` is true for 2xx and false for every other answer (a redirect is not followed: declare where it leads) and for
    silence. It is None where the question could not be put: a name that does not resolve, a socket that we may not open,
    a server that wants a client certificate.
    """
    wanted = [(str(one.get("name")), str(one["health"])) for one in context.services if one.get("health")]
    deadline = context.deadline - 0.3

    def ask(item: Tuple[str, str]) -> Dict[str, Any]:
        name, url = item
        result: Dict[str, Any] = {"service": name, "url": redact_url(url), "status": None, "ms": None, "ok": None, "error": None}
        try:
            target = httpprobe.parse_url(url)
            timeout = min(HEALTH_TIMEOUT, max(0.1, deadline - time.monotonic()))
            answer = httpprobe.get(target, target.path, timeout=timeout)
        except ValueError as exc:
            result["error"] = str(exc)
            return result
        result.update(status=answer.status, ms=answer.ms)
        result["ok"], result["error"] = healthy(answer, timeout >= HEALTH_TIMEOUT)
        return result

    results = httpprobe.side_by_side(ask, wanted, workers=WORKERS, deadline=deadline)
    return [result or {"service": name, "url": redact_url(url), "status": None, "ms": None, "ok": None,
                       "error": "not reached in time"} for (name, url), result in zip(wanted, results)]


def healthy(answer: Answer, whole: bool = True) -> Tuple[Optional[bool], Optional[str]]:
    """(ok, error) of a health URL's answer; ``whole`` says that it had its whole time to answer."""
    status = answer.status
    if status is None:
        unclear = (httpprobe.RESOLVE, httpprobe.DENIED, httpprobe.CLIENT_CERTIFICATE)
        verdict: Optional[bool] = None if answer.error in unclear else False
        if answer.error == httpprobe.TIMEOUT_KIND and not whole:
            verdict = None  # it was we who had no more time
        return verdict, answer.detail
    if 200 <= status < 300:
        return True, None  # a body that streams on does not take the status back
    if 300 <= status < 400 and answer.headers.get("location"):
        return False, "answers %d: redirects to %s" % (status, redact_url(answer.headers["location"])[:200])
    return False, "answers %d" % status


# Health first: it is asked of what was declared, however long the listeners take.
PARTS = [
    ("health", health, HEALTH_TIMEOUT + 1), ("endpoints", endpoints, ENDPOINTS_SECONDS + 1), ("client", client),
    ("firewall", firewall, 6.0), ("proxies", proxies, PROXIES_SECONDS + 1),
]
