# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``proxies``: do the module proxies that the users' go would ask answer, how fast, and with the right bytes?

Every distinct chain of ``modules.settings`` is asked once: the same GOPROXY, checksum database, exemptions, HTTP proxy, CA store
and netrc. The requests are those that cmd/go makes (module_utils/goproxyhttp.py). Without a declared module each proxy gets one
question that every proxy has an answer to; 404 and 410 are answers.

What is never asked: version control (``direct``), a public proxy or checksum database about a module that is said to be private,
and what only go's own default names, unless modules are declared or a toolchain is required. A proxy that everybody shares gets no
more than the ten requests of the smaller load.

``downloads`` lets go itself do it: ``go mod download -json`` of each declared module, into a folder that is removed.
"""
from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import threading
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import unquote, urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import (
    goenv, goenvfile, goproxy, goproxyproto, goversion, netrc, redact, scratch,
)
from ansible_collections.goready.preflight.plugins.module_utils.collect.toolchain import (
    ENVIRONMENTS, accounts_of, as_user, text_of, version_file,
)
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable, printable
from ansible_collections.goready.preflight.plugins.module_utils.goproxyhttp import Client, Connection, Reply
from ansible_collections.goready.preflight.plugins.module_utils.goproxyproto import Module

PART_SECONDS = 3600.0        # the budget ends a part, long before
MAX_CHAINS = 8
MAX_MODULES = 8
ZIP_LIMIT = 64 << 20         # bytes of a zip that is fetched to be hashed
BODY_LIMIT = 1 << 20         # of every other answer
PUBLIC_REQUESTS = 10         # the most that a proxy everybody shares is loaded with
LOAD_SECONDS = 30.0
DOWNLOAD_SECONDS = 60.0
FAILURES_LIMIT = 20          # a load that only fails ends here
# The variables that decide how go's client asks.
_ROUTE = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")
_DEFAULT = "https://proxy.golang.org,direct"
_FIRST_WITH_GOAUTH = "1.24"

NOT_WANTED = ("only go's own default names it, and nothing says that modules are fetched here (preflight_proxy: {modules: [...]} "
              "or preflight_toolchain: required)")
NOT_CHOSEN = "only go's own default names it, and the shells of who builds have a list of their own"


class Chain(NamedTuple):
    """What decides how modules are fetched, with credentials: it never leaves the host."""

    goproxy: str
    gosumdb: str
    gonoproxy: str
    gonosumdb: str
    goauth: str
    route: Tuple[Tuple[str, str], ...]
    logins: str

    @property
    def client_key(self) -> Tuple[Any, ...]:
        return (self.route, self.logins)


# --- which chains there are ---------------------------------------------------------------------------------------------

def chains_of(ctx: Context) -> List[Tuple[Chain, List[Mapping[str, Any]], bool]]:
    """(chain, the entries of ``modules.settings`` that have it, whether only go's default says so), in their order."""
    settings: Sequence[Mapping[str, Any]] = ctx.shared.get("modules.settings") or ()
    if ctx.toolchain == "absent" or not ctx.shared.get("toolchain.toolchains"):
        return []
    seeing = [one for one in settings if one["go"] or one["kind"] == "file"]
    found: Dict[Tuple[Chain, bool], List[Mapping[str, Any]]] = {}
    for entry in seeing if any(one["go"] for one in seeing) else settings:
        environment = environment_of(ctx, entry)
        source = (entry["values"].get("GOPROXY") or {}).get("source", "default")
        value = raw_value(ctx, entry, "GOPROXY", environment)
        implicit = source in ("default", "goroot_file") and value == _DEFAULT
        goauth = _goauth(ctx, entry, environment)
        chain = Chain(
            value, raw_value(ctx, entry, "GOSUMDB", environment), _shown(entry, "GONOPROXY"), _shown(entry, "GONOSUMDB"), goauth,
            tuple((name, environment[name]) for name in _ROUTE if environment.get(name)),
            logins_of(ctx, environment, str(entry["user"])) if goauth == "netrc" else "")
        found.setdefault((chain, implicit), []).append(entry)
    return [(chain, entries, implicit) for (chain, implicit), entries in found.items()]


def environment_of(ctx: Context, entry: Mapping[str, Any]) -> Dict[str, str]:
    """The environment of the shell that an entry describes. Of a user who has a go/env file only: what every login gives."""
    environments: Mapping[str, Mapping[str, str]] = ctx.shared.get(ENVIRONMENTS) or {}
    if entry["kind"] != "file":
        return dict(environments.get(str(entry["kind"])) or {})
    environment = goenv.parse_etc_environment(text_of(ctx, "/etc/environment") or "")
    home = str(entry["goenv"] or "").rpartition("/.config/go/env")[0]
    if home:
        environment["HOME"] = home
    return environment


def _shown(entry: Mapping[str, Any], name: str) -> str:
    return str((entry["values"].get(name) or {}).get("value") or "")


def raw_value(ctx: Context, entry: Mapping[str, Any], name: str, environment: Mapping[str, str]) -> str:
    """A setting with the credentials that its URLs may carry, as ``modules.settings`` says where it stands."""
    setting = entry["values"].get(name)
    if setting is None:
        return ""
    if setting["source"] == "environment":
        return environment.get(name) or str(setting["value"])
    path = str(setting["where"] or "").rpartition(":")[0]
    text = text_for(ctx, str(entry["user"]), path) if path else None
    if text is not None and setting["source"] in ("user_file", "goroot_file"):
        known = goenvfile.effective(text, first=setting["source"] == "goroot_file").get(name)
        if known is not None:
            return known.value
    return str(setting["value"])


def _goauth(ctx: Context, entry: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """``netrc``, ``off``, or ``program`` where go would run one to get credentials (Go 1.24; before it there was netrc alone)."""
    words = raw_value(ctx, entry, "GOAUTH", environment).split()
    if not words or words == ["netrc"]:
        return "netrc"
    try:
        if not goversion.Range.parse(">=" + _FIRST_WITH_GOAUTH).matches(goversion.parse(version_file(ctx, entry["goroot"]) or "")):
            return "netrc"
    except ValueError:
        pass
    return "off" if words == ["off"] else "program"


def text_for(ctx: Context, user: str, path: str) -> Optional[str]:
    """A file's text as far as ``user`` can read it, None where not. That user says which file it is (GOENV, NETRC) and, by an HTTP
    proxy and a CA file, who gets the credentials in it: root's own rights would give away everybody's."""
    account = accounts_of(ctx).by_name(user)
    if ctx.root != "/" or os.geteuid() != 0 or user == "root":
        return text_of(ctx, path)
    if account is None:
        return None
    known: Dict[Tuple[str, str], Optional[str]] = ctx.shared.setdefault("proxies.texts", {})
    if (user, path) not in known:
        known[user, path] = None
        try:
            rc, out, _err = ctx.run([*as_user(account.uid, account.gid, account.name), "head", "-c", str(1 << 18), "--", path], timeout=5.0)
        except (OSError, ValueError, Unavailable):
            return None
        known[user, path] = out if rc == 0 else None
    return known[user, path]


def logins_of(ctx: Context, environment: Mapping[str, str], user: str) -> str:
    """The text of the user's netrc (cmd/go/internal/auth, netrcPath), "" where there is none. It never leaves the host."""
    home = environment.get("HOME", "").rstrip("/")
    path = environment.get("NETRC") or (home + "/.netrc" if home else "")
    if not path.startswith("/"):
        return ""
    try:
        status = os.lstat(ctx.path(path))
        if stat.S_ISLNK(status.st_mode):
            # Another's link would let its owner have credentials sent that are not the owner's.
            if ctx.root != "/" or status.st_uid != _reader(ctx, user):
                return ""
            status = os.stat(path)
    except OSError:
        return ""
    return (text_for(ctx, user, path) or "") if stat.S_ISREG(status.st_mode) else ""


def _reader(ctx: Context, user: str) -> int:
    """With whose rights :func:`text_for` reads."""
    account = accounts_of(ctx).by_name(user)
    return account.uid if account is not None and os.geteuid() == 0 else os.geteuid()


# --- what is asked ------------------------------------------------------------------------------------------------------

class Prober:
    """Everything that is asked, each question once."""

    def __init__(self, ctx: Context) -> None:
        options: Mapping[str, Any] = ctx.active.get("proxy") or {}
        self.ctx = ctx
        self.timeout = float(options.get("timeout", 10)) * ctx.factor
        self.requests = int(options.get("requests", 10))
        self.concurrency = max(1, int(options.get("concurrency", 10)))
        self.private: List[str] = list(options.get("private") or ())
        self.modules: List[Module] = []
        for text in list(options.get("modules") or ())[:MAX_MODULES]:
            try:
                self.modules.append(goproxyproto.module_of(str(text)))
            except ValueError as exc:
                ctx.note("proxies.chains", exc)
        self._clients: Dict[Tuple[Any, ...], Client] = {}
        self._answers: Dict[Tuple[Any, ...], Tuple[Dict[str, Any], bytes]] = {}
        self._loads: Dict[Tuple[Any, ...], Optional[Dict[str, Any]]] = {}

    def left(self) -> float:
        return min(self.ctx.budget.remaining(), self.ctx.remaining())

    def client(self, chain: Chain) -> Client:
        return self._clients.setdefault(chain.client_key, Client(dict(chain.route), chain.logins,
                                                                 root="" if self.ctx.root == "/" else self.ctx.root))

    def ask(self, chain: Chain, user: str, url: str, what: str, module: Module, path: str, connection: Connection
            ) -> Tuple[Dict[str, Any], bytes]:
        """One question and, where it was answered, the body. ``zip`` is hashed in place of being kept."""
        key = (chain.client_key, url, path) if not url.startswith("file:") else (user, url, path)
        if key in self._answers:
            return self._answers[key]
        entry: Dict[str, Any] = {"what": what, "module": str(module) if module.version else module.path, "path": path, "status": None,
                                 "bytes": None, "redirects": 0, "phases": {}, "outcome": "error", "error": None}
        left = self.left()
        if left <= 0:
            entry["error"] = self.cut()
            return entry, b""
        if url.startswith("file:"):
            body = self._read(user, url, entry)
        elif what == "zip":
            body = self._zip(chain, url, path, module, connection, entry, min(self.timeout, left))
        else:
            reply = self.client(chain).get(goproxyproto.join(url, path), timeout=min(self.timeout, left), limit=BODY_LIMIT,
                                           connection=connection)
            body = _note(entry, reply)
            cannot = ("with gzip that nobody asked for, which is not unpacked here" if body[:2] == b"\x1f\x8b" else
                      "with more than %d bytes, which are not read here" % BODY_LIMIT if reply.truncated and what != "list" else "")
            if cannot and not entry["error"]:
                entry.update(outcome="error", error={"kind": "unsupported", "message": "answers " + cannot})
        if left < self.timeout and (entry["error"] or {}).get("kind") == "timeout":
            entry["error"] = self.cut()  # it was given less than it may take
        if entry["outcome"] == "ok" and what != "zip":
            said = goproxyproto.fault(what, body, module)
            if said:
                entry.update(outcome="error", error={"kind": "protocol", "message": _clean(said)})
        self._answers[key] = (entry, body)
        return entry, body

    def cut(self) -> Dict[str, str]:
        return self.ctx.budget.error()

    def _zip(self, chain: Chain, url: str, path: str, module: Module, connection: Connection, entry: Dict[str, Any],
             timeout: float) -> bytes:
        """The hash of a zip, which is kept in a file without a name meanwhile."""
        try:
            with tempfile.TemporaryFile() as sink:
                reply = self.client(chain).get(goproxyproto.join(url, path), timeout=timeout, limit=ZIP_LIMIT, sink=sink,
                                               connection=connection)
                if reply.error == "timeout" and reply.status == 200 and reply.size:
                    # go has no limit of time: a large module is no fault of the proxy.
                    entry["unhashed"] = "it is large or comes slowly: %d bytes in %g s" % (reply.size, round(timeout, 1))
                    reply.error = ""
                body = _note(entry, reply)
                if entry["outcome"] == "ok" and "unhashed" not in entry:
                    body = self._hash(entry, reply, sink, module)
                return body
        except OSError as exc:  # no room, or no folder, for temporary files
            entry["error"] = {"kind": "unsupported", "message": "there is no room on this host for its zip: %s" % exc.strerror}
            return b""

    def _hash(self, entry: Dict[str, Any], reply: Reply, sink: Any, module: Module) -> bytes:
        if reply.truncated:
            entry["unhashed"] = "it is larger than %d MiB" % (ZIP_LIMIT >> 20)
            return b""
        try:
            sink.seek(0)
            return goproxyproto.hash_zip(sink, module).encode("ascii")
        except ValueError as exc:
            if "more than" in str(exc):
                entry["unhashed"] = "it %s" % exc
            else:
                entry.update(outcome="error", error={"kind": "protocol", "message": _clean("the zip %s" % exc)})
            return b""

    def _read(self, user: str, url: str, entry: Dict[str, Any]) -> bytes:
        """A file of a file:// proxy, read with the user's rights (cmd/go/internal/web, getFile: 404 where there is none)."""
        path = "%s/%s" % (unquote(urlsplit(url).path).rstrip("/"), entry["path"])
        account = accounts_of(self.ctx).by_name(user)
        started = time.monotonic()
        try:
            prefix = as_user(account.uid, account.gid, account.name) if account else []
            rc, out, err = self.ctx.run([*prefix, "head", "-c", str(BODY_LIMIT), "--", self.ctx.path(path)], timeout=5.0, truncate=True)
        except (OSError, ValueError, Unavailable) as exc:
            entry["error"] = {"kind": "denied", "message": printable(str(exc))[:200]}
            return b""
        entry["phases"] = {"total": round((time.monotonic() - started) * 1000, 1)}
        if rc == 0:
            entry.update(status=200, outcome="ok", bytes=len(out))
            return out.encode("utf-8", "replace")
        if "No such file" in err or "Not a directory" in err:
            entry.update(status=404, outcome="not_found")
        else:
            entry.update(status=403, error={"kind": "denied", "message": "%s cannot be read by %s" % (path, user)})
        return b""

    def load(self, chain: Chain, url: str, path: str, expected: int, public: bool) -> Optional[Dict[str, Any]]:
        """Many requests for one file, over connections that are kept as go keeps them."""
        key = (chain.client_key, url, path)
        if key not in self._loads:
            count = min(self.requests, PUBLIC_REQUESTS) if public else self.requests
            self._loads[key] = _load(self, self.client(chain), goproxyproto.join(url, path), path, expected, count)
        return self._loads[key]


def _clean(text: str) -> str:
    """A sentence that may repeat what a server sent, without credentials and control characters."""
    return "".join(char if char.isprintable() else "?" for char in redact.redact_text(text))[:300]


def _note(entry: Dict[str, Any], reply: Reply) -> bytes:
    """Put what came back into a request's entry."""
    entry.update(status=reply.status, bytes=reply.size, redirects=reply.redirects, phases=dict(reply.phases))
    if reply.via:
        entry["via"] = reply.via
    if reply.error:
        entry["error"] = {"kind": reply.error, "message": _clean(reply.detail)}
    elif reply.status == 200:
        entry["outcome"] = "ok"
        return reply.body
    elif reply.status in (404, 410):
        entry["outcome"] = "not_found"
    else:
        said = "answers %s" % reply.status
        if reply.status == 401:
            said += " (asks for credentials%s)" % (
                ", and those that are known for it are not taken" if reply.credentials else "; none are known for it")
        entry["error"] = {"kind": "http_%s" % reply.status, "message": said}
    return b""


def _load(prober: Prober, client: Client, url: str, path: str, expected: int, count: int) -> Optional[Dict[str, Any]]:
    if count < 1 or prober.left() <= 0:
        return None
    seconds = min(LOAD_SECONDS * prober.ctx.factor, prober.left() / 2)
    end = time.monotonic() + seconds
    lock = threading.Lock()
    times: List[float] = []
    errors: Dict[str, int] = {}
    state = {"begun": 0, "done": 0, "connections": 0}

    def work() -> None:
        connection = Connection()
        fresh = True
        while True:
            with lock:
                left = end - time.monotonic()
                if state["begun"] >= count or left <= 0 or sum(errors.values()) >= FAILURES_LIMIT:
                    break
                state["begun"] += 1
            reply = client.get(url, timeout=min(prober.timeout, max(0.1, left)), limit=BODY_LIMIT, connection=connection)
            with lock:
                state["done"] += 1
                state["connections"] += reply.opened
                kind = reply.error or ("" if reply.status == expected else "http_%s" % reply.status)
                if kind == "timeout" and end - time.monotonic() <= 0 and left < prober.timeout:
                    state["done"] -= 1  # it was we who ended it
                elif kind:
                    errors[kind] = errors.get(kind, 0) + 1
                else:
                    # Making the worker's first connection is no property of a request: go makes a few, and keeps them.
                    times.append(reply.phases["total"] - (reply.setup if fresh else 0.0))
                fresh = False
        connection.close()

    started = time.monotonic()
    threads = [threading.Thread(target=work, daemon=True) for _number in range(min(prober.concurrency, count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()) + 1.0)
    with lock:
        return {"path": path, "status": expected, "wanted": count, "requests": state["done"], "ok": len(times), "concurrency": len(threads),
                "connections": state["connections"], "seconds": round(time.monotonic() - started, 2), "errors": dict(errors),
                "ms": goproxyproto.figures(times), "slowest": [round(one, 1) for one in sorted(times, reverse=True)[:5]],
                "error": prober.cut() if state["done"] < count and not errors else None}


# --- chains -------------------------------------------------------------------------------------------------------------

def collect_chains(ctx: Context) -> List[Dict[str, Any]]:
    """``proxies.chains``: one entry for each distinct chain."""
    prober = Prober(ctx)
    prober.left()  # the budget runs from here
    chains = chains_of(ctx)
    declared = len((ctx.active.get("proxy") or {}).get("modules") or ())
    for count, limit, what in ((len(chains), MAX_CHAINS, "lists of proxies"), (declared, MAX_MODULES, "declared modules")):
        if chains and count > limit:
            ctx.note("proxies.chains", ValueError("of %d %s only the first %d were asked" % (count, what, limit)))
    chosen = any(not implicit for _chain_, _entries, implicit in chains)
    return [_chain(prober, chain, entries, implicit, chosen) for chain, entries, implicit in chains[:MAX_CHAINS]]


def _chain(prober: Prober, chain: Chain, entries: Sequence[Mapping[str, Any]], implicit: bool, chosen: bool) -> Dict[str, Any]:
    """``chosen``: somebody has set a list on this host."""
    user = str(entries[0]["user"])
    document: Dict[str, Any] = {
        "settings": [{"kind": one["kind"], "user": one["user"]} for one in entries], "user": user, "go": any(one["go"] for one in entries),
        "value": goenv.clean_value(chain.goproxy), "implicit": implicit, "goauth": chain.goauth, "modules": [], "entries": [],
        "sumdb": None, "private": [], "error": None}
    try:
        steps = goproxy.proxies(chain.goproxy).steps
    except ValueError as exc:
        document["error"] = {"kind": "refused", "message": "go refuses this GOPROXY: %s" % exc}
        return document
    refusal = ""
    if implicit and not prober.modules and prober.ctx.toolchain != "required":
        refusal = NOT_WANTED
    elif implicit and chosen and not any(one["kind"] in ("login", "non_login") for one in entries):
        # Who builds has chosen; that sudo and the manager of services have not is how every such host is.
        refusal = NOT_CHOSEN
    secret = {str(module): why for module in prober.modules for why in [_why_private(prober, chain, module)] if why}
    document["modules"] = [
        {"path": module.path, "version": module.version, "private": secret.get(str(module), ""),
         "direct": goproxy.matches(chain.gonoproxy, module.path)} for module in prober.modules]
    sums: Dict[str, Dict[str, str]] = {}
    for position, step in enumerate(steps):
        entry = _entry_of(chain, step, last=position == len(steps) - 1)
        document["entries"].append(entry)
        if step.url in ("direct", "off"):
            entry["not_asked"] = {"off": "off: go fetches nothing", "direct": "direct: version control is not asked from here"}[step.url]
        elif refusal:
            entry["not_asked"] = refusal
        else:
            _entry(prober, chain, user, step, entry, secret)
    document["sumdb"] = _sumdb(prober, chain, user, steps, refusal, secret, sums)
    _compare(document["entries"], sums, (document["sumdb"] or {}).get("name", ""))
    hosts = [(module.path, secret[str(module)]) for module in prober.modules if secret.get(str(module), "").startswith("netrc")]
    for path, why in dict.fromkeys([*((one, "preflight_proxy") for one in prober.private), *hosts]):
        document["private"].append({"path": path, "why": why, "asked_of": _asked_of(chain, steps, path)})
    return document


def _entry_of(chain: Chain, step: goproxy.Step, *, last: bool) -> Dict[str, Any]:
    kind = step.url if step.url in ("direct", "off") else "file" if step.scheme == "file" else "proxy"
    via = goproxyproto.http_proxy(step.url, dict(chain.route)) if kind == "proxy" else ""
    return {"url": redact.redact_url(step.url), "separator": "" if last else "|" if step.on_error else ",", "kind": kind,
            "public": step.public, "via": redact.redact_url(via) or None, "asked": False, "not_asked": "", "requests": [], "hashes": [],
            "load": None}


def _why_private(prober: Prober, chain: Chain, module: Module) -> str:
    """Who says that nobody else may hear of a module, "" where nobody does."""
    if goproxy.matches(",".join(prober.private), module.path):
        return "preflight_proxy"
    host = module.path.partition("/")[0]
    known = {one.machine for one in netrc.entries(chain.logins)}
    if host in known and host not in goproxy.PUBLIC_HOSTS:
        return "netrc %s" % host
    return ""


def _asked_of(chain: Chain, steps: Sequence[goproxy.Step], path: str) -> List[Dict[str, Any]]:
    """Whom go would ask about a private path; nobody was."""
    found: List[Dict[str, Any]] = []
    if not goproxy.matches(chain.gonoproxy, path):
        found += [{"url": redact.redact_url(step.url), "what": "proxy", "public": step.public} for step in steps if step.host]
    try:
        database = goproxyproto.sumdb_of(chain.gosumdb)
    except ValueError:
        database = None
    if database and chain.goproxy.strip() != "off" and not goproxy.matches(chain.gonosumdb, path):
        found.append({"url": database.name, "what": "sumdb", "public": database.name in goproxy.PUBLIC_SUMDBS})
    return found


def _entry(prober: Prober, chain: Chain, user: str, step: goproxy.Step, entry: Dict[str, Any], secret: Mapping[str, str]) -> None:
    """Ask one proxy everything."""
    connection = Connection()
    mine = [one for one in prober.modules if not goproxy.matches(chain.gonoproxy, one.path) and not (step.public and str(one) in secret)]
    hashes: Dict[str, Dict[str, Any]] = {}
    questions = [(module, what) for module in mine for what in ("list", "info", "mod", "zip", "latest")]
    if not questions:
        if goproxy.matches(chain.gonoproxy, goproxyproto.COMMON_MODULE):
            entry["not_asked"] = "GONOPROXY takes everything past it that there is to ask"
            return
        questions = [(Module(goproxyproto.COMMON_MODULE, ""), "list")]
    entry["asked"] = True
    probe: Optional[Tuple[str, int]] = None
    for module, what in questions:
        if step.scheme == "file" and what == "zip":
            continue  # a text is all that is read with another's rights; go itself reads it for `downloads`
        path = goproxyproto.file_of(module, what)
        answer, body = prober.ask(chain, user, step.url, what, module, path, connection)
        entry["requests"].append(answer)
        if answer["outcome"] == "ok":
            if what == "zip" and body:
                hashes.setdefault(str(module), {})["zip"] = body.decode("ascii")
            elif what == "mod":
                hashes.setdefault(str(module), {})["mod"] = goproxyproto.hash_mod(body)
        if answer["outcome"] != "error" and (probe is None or (what == "info" and probe[1] != 200)):
            probe = (path, int(answer["status"]))
        if answer["status"] is None:
            break  # who does not answer one question is not kept waiting for
    connection.close()
    entry["hashes"] = [{"module": name, "what": what, "found": value, "expected": None, "ok": None, "from": ""}
                       for name, both in hashes.items() for what, value in sorted(both.items())]
    if probe and step.scheme != "file":
        info = next((one["path"] for one in entry["requests"] if one["what"] == "info" and one["outcome"] == "ok"), None)
        entry["load"] = prober.load(chain, step.url, info or probe[0], 200 if info else probe[1], step.public)


def _compare(entries: Sequence[Dict[str, Any]], sums: Mapping[str, Mapping[str, str]], database: str) -> None:
    """Compare each hash with the checksum database's, else with that of a proxy before."""
    first: Dict[Tuple[str, str], Tuple[str, str]] = {}
    for entry in entries:
        for one in entry["hashes"]:
            key = (one["module"], one["what"])
            known = sums.get(one["module"], {}).get(one["what"])
            source = database
            if known is None and key in first:
                known, source = first[key]
            if known is not None:
                one.update({"expected": known, "ok": known == one["found"], "from": source})
            first.setdefault(key, (one["found"], entry["url"]))


def _sumdb(prober: Prober, chain: Chain, user: str, steps: Sequence[goproxy.Step], refusal: str, secret: Mapping[str, str],
           sums: Dict[str, Dict[str, str]]) -> Optional[Dict[str, Any]]:
    """How go would get to the checksum database (modfetch/sumdb.go, initBase), and what that says about the declared modules."""
    try:
        database = goproxyproto.sumdb_of(chain.gosumdb)
    except ValueError:
        return None  # modules.checksum_db says so
    if database is None or steps[0].url == "off":
        return None
    public = database.name in goproxy.PUBLIC_SUMDBS
    document: Dict[str, Any] = {"name": database.name, "url": "", "via_proxy": False, "asked": False, "not_asked": "", "requests": [],
                                "error": None}
    modules = [one for one in prober.modules if not goproxy.matches(chain.gonosumdb, one.path) and not (public and str(one) in secret)]
    if prober.modules and not modules:
        document["not_asked"] = "GONOSUMDB takes every declared module past it, or they are private"
        return document
    if refusal:
        document["not_asked"] = refusal
        return document
    connection = Connection()
    base = database.url
    if not base:
        base = _way(prober, chain, user, steps, database.name, document, connection)
        document["via_proxy"] = bool(base)
    if not base and document["error"]:
        connection.close()
        return document
    if not base:
        base = "https://" + database.name
        if not prober.modules:
            document["not_asked"] = "it would be asked directly, and no module is declared (preflight_proxy: {modules: [...]})"
            connection.close()
            return document
    document["url"] = goenv.clean_value(base)
    document["asked"] = True
    questions = [("lookup", one, "lookup/%s@%s" % (goproxyproto.escape(one.path), goproxyproto.escape(one.version))) for one in modules]
    for what, module, path in questions or [("tree", Module(database.name, ""), "latest")]:
        answer, body = prober.ask(chain, user, base, what, module, path, connection)
        document["requests"].append(answer)
        if answer["outcome"] == "ok" and what == "lookup":
            sums[str(module)] = goproxyproto.sums_of(body.decode("utf-8", "replace"), module)
        if answer["status"] is None:
            break
    connection.close()
    return document


def _way(prober: Prober, chain: Chain, user: str, steps: Sequence[goproxy.Step], name: str, document: Dict[str, Any],
         connection: Connection) -> str:
    """The URL of the database below the proxy that carries it; "" where go asks it directly, or cannot (``error``)."""
    failure: Optional[Dict[str, str]] = None
    for step in steps:
        if step.url == "direct":
            failure = None
        if step.url in ("direct", "off"):
            break
        path = "sumdb/%s/supported" % name
        answer, _body = prober.ask(chain, user, step.url, "sumdb", Module(name, ""), path, connection)
        document["requests"].append(answer)
        if answer["outcome"] == "ok":
            return goproxyproto.join(step.url, "sumdb/" + name)
        if answer["outcome"] == "error":
            failure = answer["error"]
            if not step.on_error:
                break
    document["error"] = failure
    return ""


# --- go itself ----------------------------------------------------------------------------------------------------------

def collect_downloads(ctx: Context) -> List[Dict[str, Any]]:
    """``proxies.downloads``: what ``go mod download`` says of each declared module, once for each chain of a user's shells.

    ``direct`` is replaced by ``off``: go would clone repositories.
    """
    prober = Prober(ctx)
    if not prober.modules:
        return []
    chains = chains_of(ctx)
    shells = [one for one in chains if any(entry["go"] and entry["kind"] in ("login", "non_login") for entry in one[1])]
    found: List[Dict[str, Any]] = []
    for chain, entries, _implicit in (shells or chains)[:MAX_CHAINS]:
        entry = next((one for one in entries if one["go"]), None)
        if entry is not None:
            found += _downloads(prober, chain, entry)
    return found


def _downloads(prober: Prober, chain: Chain, entry: Mapping[str, Any]) -> List[Dict[str, Any]]:
    ctx = prober.ctx
    go = "%s/bin/go" % entry["goroot"] if entry["goroot"] else str(entry["go"])
    documents = [{"user": entry["user"], "go": go, "module": str(module), "value": goenv.clean_value(chain.goproxy), "rc": None,
                  "seconds": None, "bytes": None, "sum": None, "mod_sum": None, "output": [], "error": _why_not(prober, chain, module)}
                 for module in prober.modules]
    toolchain = next((one for one in ctx.shared.get("toolchain.toolchains") or () if one["goroot"] == entry["goroot"]), None)
    # What somebody else could have put there is not run as root.
    if toolchain is not None and entry["user"] == "root" and toolchain.get("run_as") not in (None, "root"):
        for document in documents:
            document["error"] = {"kind": "denied", "message": "%s is not run as root: another user could have replaced it" % go}
    if all(one["error"] for one in documents):
        return documents
    try:
        with scratch.Folder(ctx, user=str(entry["user"])) as folder:
            folder.write("work/go.mod", "module example.org/goready-preflight-probe\n\ngo 1.20\n")
            for document in documents:
                if not document["error"]:
                    _download(prober, chain, entry, folder, document)
    except scratch.Unusable as exc:
        for document in documents:
            if document["rc"] is None and not document["error"]:
                document["error"] = exc.error
    return documents


def _why_not(prober: Prober, chain: Chain, module: Module) -> Optional[Dict[str, str]]:
    """Why go is not let try, or None."""
    if goproxy.matches(chain.gonoproxy, module.path):
        return {"kind": "direct", "message": "GONOPROXY covers it: go would ask version control, which is not done from here"}
    try:
        steps = goproxy.proxies(chain.goproxy).steps
    except ValueError as exc:
        return {"kind": "refused", "message": "go refuses this GOPROXY: %s" % exc}
    if steps[0].url == "off":
        return {"kind": "off", "message": "GOPROXY=off: go fetches nothing"}
    if steps[0].url == "direct":
        return {"kind": "direct", "message": "GOPROXY=direct: go would ask version control, which is not done from here"}
    why = _why_private(prober, chain, module)
    told = [one["url"] for one in _asked_of(chain, steps, module.path) if one["public"]]
    if why and told:
        return {"kind": "private", "message": "it is private (%s), and go would tell %s about it: modules.private_leak" % (why, told[0])}
    return None


def _download(prober: Prober, chain: Chain, entry: Mapping[str, Any], folder: scratch.Folder, document: Dict[str, Any]) -> None:
    ctx = prober.ctx
    left = prober.left()
    if left <= 0:
        document["error"] = prober.cut()
        return
    environment = environment_of(ctx, entry)
    steps = goproxy.proxies(chain.goproxy).steps
    value = "".join(("off" if step.url == "direct" else step.url) + ("|" if step.on_error else ",") for step in steps).rstrip(",|")
    mine: Dict[str, Optional[str]] = dict(chain.route)
    mine.update({"GOPROXY": value, "GOSUMDB": chain.gosumdb, "GONOPROXY": chain.gonoproxy, "GONOSUMDB": chain.gonosumdb,
                 "GOFLAGS": "-mod=mod", "GOAUTH": raw_value(ctx, entry, "GOAUTH", environment) or None})
    home = environment.get("HOME", "").rstrip("/")
    if environment.get("NETRC") or home:
        mine["NETRC"] = environment.get("NETRC") or home + "/.netrc"
    result = folder.run([document["go"], "mod", "download", "-json", document["module"]],
                        seconds=min(DOWNLOAD_SECONDS * ctx.factor, left), env=mine)
    document.update(rc=result.rc, seconds=round(result.seconds, 2), bytes=result.size, error=result.error)
    if result.error and result.error["kind"] in ("timeout", "budget") and prober.left() <= 0:
        document["error"] = prober.cut()
    try:
        said = json.loads(result.stdout)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        document.update({key: str(said[name])[:200] for key, name in (("sum", "Sum"), ("mod_sum", "GoModSum")) if said.get(name)})
        if said.get("Error"):
            # go has hidden the password of a URL already; what it puts there reads like one.
            document["output"] = scratch.last_lines(re.sub(r"//[^/@\s]*:xxxxx@", "//", str(said["Error"])))
    if result.rc != 0 and not document["output"]:
        document["output"] = list(result.output)
    text = "\n".join(document["output"])
    if result.rc and chain.goauth == "program" and re.search(r"\b40[13] [A-Z]", text):
        document["error"] = {"kind": "unsupported", "message": "go was refused, and what GOAUTH runs for credentials had a temporary home "
                                                               "folder without the user's files"}
    elif result.rc and not document["sum"] and steps[-1].url == "direct" and "verifying" not in text and (
            any(step.on_error for step in steps) or re.search(r"404 Not Found|410 Gone|GOPROXY=off", text)):
        document["error"] = {"kind": "direct", "message": "no proxy of the list gives it; go would ask version control now, which is not "
                                                          "done from here"}


PARTS = (
    ("chains", collect_chains, PART_SECONDS),
    ("downloads", collect_downloads, PART_SECONDS),
)
