# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reverse proxy of role ``pprof_guard`` as text: nginx's server, its users file, and what a file of ours says.

Public: :class:`Service`, :class:`Settings`, :func:`service`, :func:`listen`, :func:`faults`, :func:`render`,
:func:`parse`, :func:`merge`, :func:`without`, :func:`users_file`, :func:`token_file`, :func:`upto`, and the paths below.

What nginx lets through is never the client's own text: each page is an exact location of the normalised path with a fixed
path behind it, and the query is one of those that a pattern spells out. So no encoding, doubled slash, dot segment or
repeated parameter reaches the service as anything but what was looked at.
"""
from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe, redact, sha512crypt
from ansible_collections.goready.preflight.plugins.module_utils.nftables import FOLDER as HOME
from ansible_collections.goready.preflight.plugins.module_utils.nftables import networks

CONF = "/etc/nginx/conf.d/goready-pprof.conf"
FOLDER = HOME + "/pprof-proxy"
USERS = FOLDER + "/users"
TOKEN = FOLDER + "/token.conf"

DEFAULT_PATHS = ("index", "heap", "allocs", "goroutine", "profile")
#: What each page may be asked (net/http/pprof): a pattern of the parameters, each any number of times.
PATHS = ("index", "allocs", "block", "cmdline", "goroutine", "goroutineleak", "heap", "mutex", "profile", "symbol",
         "threadcreate", "trace")
SECONDS_LIMIT = 3600
TOKEN_LENGTH = 32
RATE, BURST = 10, 20

#: The arguments of module and action plugin ``pprof_proxy``.
ARGUMENTS: Dict[str, Any] = {
    "services": {"type": "list", "elements": "dict", "default": [], "options": {
        "name": {"type": "str", "required": True},
        "backend": {"type": "str"},
        "allow": {"type": "list", "elements": "str", "default": []},
        "guarded": {"type": "bool", "default": False},
    }},
    "remove": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "listen": {"type": "str", "default": "16060"},
    "tls_certificate": {"type": "str"},
    "tls_key": {"type": "str", "no_log": False},  # a path
    "insecure": {"type": "bool", "default": False},
    "token": {"type": "str", "no_log": True},
    "users": {"type": "dict", "no_log": True},
    "paths": {"type": "list", "elements": "str", "default": list(DEFAULT_PATHS), "choices": list(PATHS)},
    "seconds_max": {"type": "int", "default": 30},
    "install": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 30},
}

_STATE = "# proxied: "
_SECTION = "\n    # service "
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@_.-]{0,63}\Z")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9@_.-]{0,63}\Z")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")   # RFC 6750, 2.1: b64token
_PATH = re.compile(r"/[A-Za-z0-9@_.~/+-]*\Z")


class Service(NamedTuple):
    """One service behind the proxy: ``backend`` is the base URL of its pprof, ``allow`` the networks beside loopback."""

    name: str
    backend: str
    allow: Tuple[str, ...]

    @property
    def target(self) -> httpprobe.Target:
        return httpprobe.parse_url(self.backend)

    @property
    def outer(self) -> str:
        """The folder under which the proxy serves it."""
        return "/%s/debug/pprof/" % self.name

    @property
    def inner(self) -> str:
        """The folder of the service's own listener."""
        path = self.target.path.partition("?")[0].rstrip("/")
        return (path[:-len("/debug/pprof")] if path.endswith("/debug/pprof") else path) + "/debug/pprof/"

    @property
    def upstream(self) -> str:
        """What proxy_pass calls the listener."""
        target = self.target
        if target.unix:
            return "http://unix:%s:" % target.unix
        host = "[%s]" % target.host if ":" in target.host else target.host
        return "%s://%s:%d" % (target.scheme, host, target.port)


class Settings(NamedTuple):
    """What holds for all services. ``certificate`` and ``key`` are paths on the host, both or none of them given."""

    listen: str
    certificate: str = ""
    key: str = ""
    paths: Tuple[str, ...] = DEFAULT_PATHS
    seconds_max: int = 30
    users: Mapping[str, str] = {}
    token: str = ""
    insecure: bool = False

    @property
    def tls(self) -> bool:
        return bool(self.certificate)


def service(name: str, backend: str, allow: Iterable[object]) -> Service:
    """A checked service; ValueError says what is wrong."""
    if not _NAME.match(name):
        raise ValueError("the name %r cannot be part of a URL's path: letters, digits and @ _ . - are" % name)
    try:
        target = httpprobe.parse_url(backend)
    except ValueError as exc:
        raise ValueError(redact.redact_text(str(exc))) from None
    if target.authorization:
        raise ValueError("its URL holds credentials: the proxy asks for its own, and hands none on")
    if target.unix.startswith("@"):
        raise ValueError("%s is an abstract socket, which nginx does not know" % redact.redact_url(backend))
    if (target.unix and not _PATH.match(target.unix)) or not _PATH.match(target.path) or not re.match(r"[A-Za-z0-9.:_-]*\Z", target.host):
        raise ValueError("%r has characters that are not proxied" % redact.redact_url(backend))
    return Service(name, backend, networks(allow))


def settings(arguments: Mapping[str, Any]) -> Settings:
    """The settings that arguments as in :data:`ARGUMENTS` say. ValueError with every fault."""
    found = Settings(
        listen=str(arguments["listen"]), certificate=str(arguments["tls_certificate"] or ""), key=str(arguments["tls_key"] or ""),
        paths=tuple(name for name in PATHS if name in arguments["paths"]), seconds_max=int(arguments["seconds_max"]),
        users={str(name): str(password) for name, password in (arguments["users"] or {}).items()},
        token=str(arguments["token"] or ""), insecure=bool(arguments["insecure"]))
    wrong = faults(found)
    if wrong:
        raise ValueError("; ".join(wrong))
    return found


def services(arguments: Mapping[str, Any]) -> List[Service]:
    """The services that the arguments name. ValueError with every fault."""
    found, wrong = [], []
    for one in arguments["services"]:
        try:
            if not one["backend"]:
                raise ValueError("backend is missing: the base URL of its pprof")
            found.append(service(str(one["name"]), str(one["backend"]), one["allow"]))
        except ValueError as exc:
            wrong.append("services: %s: %s" % (one["name"], exc))
    if not arguments["services"]:
        wrong.append("services: an empty list names nothing to serve")
    if len({one.name for one in found}) != len(found):
        wrong.append("services: a name is given twice")
    if wrong:
        raise ValueError("; ".join(wrong))
    return found


def listen(value: str) -> List[Tuple[str, int]]:
    """(address, port) of ``16060`` (every address, IPv4 and IPv6), ``10.0.0.5:16060`` or ``[::1]:16060``; ValueError else."""
    wrong = ValueError("%r is neither a port, nor an address with a port such as 10.0.0.5:16060 or [::1]:16060" % value)
    if re.match(r"[0-9]{1,5}\Z", value) and 0 < int(value) < 65536:
        return [("0.0.0.0", int(value)), ("::", int(value))]
    try:
        target = httpprobe.parse_url("http://" + value)
    except ValueError:
        raise wrong from None
    if target.path != "/" or target.authorization or not re.search(r":[0-9]+\Z", value):
        raise wrong
    import ipaddress
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        raise wrong from None
    return [(str(address), target.port)]


def everywhere(value: str) -> bool:
    """Whether somebody else than this machine may connect."""
    import ipaddress
    return not all(ipaddress.ip_address(address).is_loopback for address, _port in listen(value))


def faults(settings: Settings) -> List[str]:
    """What is wrong with the settings: one sentence each, with key, value and what is allowed. No secret is repeated."""
    found: List[str] = []
    outside = True
    try:
        outside = everywhere(settings.listen)
    except ValueError as exc:
        found.append("listen: %s" % exc)
    if bool(settings.certificate) != bool(settings.key):
        found.append("tls_certificate and tls_key: both or none, not one of them")
    for key, path in (("tls_certificate", settings.certificate), ("tls_key", settings.key)):
        if path and not _PATH.match(path):
            found.append("%s: %r is no absolute path of letters, digits and @ _ . ~ + -" % (key, path))
    for name in settings.paths:
        if name not in PATHS:
            found.append("paths: %r is none of %s" % (name, ", ".join(PATHS)))
    if not settings.paths:
        found.append("paths: an empty list would serve nothing; it takes %s" % ", ".join(PATHS))
    if not 1 <= settings.seconds_max <= SECONDS_LIMIT:
        found.append("seconds_max: %d is not from 1 to %d" % (settings.seconds_max, SECONDS_LIMIT))
    if not settings.users and not settings.token:
        found.append("users and token: at least one is needed, for a proxy that asks nobody who they are guards nothing")
    for name, password in settings.users.items():
        if not _USER.match(name):
            found.append("users: the name %r has other characters than letters, digits and @ _ . -" % name)
        if not password or any(ord(char) < 0x20 for char in password):
            found.append("users: the password of %s is empty or has control characters" % name)
    if settings.token and (len(settings.token) < TOKEN_LENGTH or not _TOKEN.match(settings.token)):
        found.append("token: it is to have at least %d characters of A-Z a-z 0-9 - . _ ~ + / (openssl rand -hex 32 makes one)"
                     % TOKEN_LENGTH)
    if outside and not settings.tls and not settings.insecure:
        found.append("tls_certificate and tls_key: without them credentials cross the network in clear text to %s; give them, listen on "
                     "127.0.0.1 or ::1, or accept it by insecure: true" % settings.listen)
    return found


# --- the files -------------------------------------------------------------------------------------------------------


def render(services: Sequence[Service], settings: Settings, *, ipv6: bool = True) -> str:
    """nginx's configuration of all services, for a folder that its http block includes. No secret is in it."""
    ordered = sorted(services)
    lines = [
        "# Managed by goready.preflight, role pprof_guard: edits are replaced.",
        _state(settings.listen, ordered), "",
        "limit_req_zone $binary_remote_addr zone=goready_pprof:1m rate=%dr/s;" % RATE,
        "map $status $goready_pprof_allow { 405 GET; default \"\"; }",
    ]
    if settings.token:
        lines += [
            "map $status $goready_pprof_challenge { 401 'Bearer realm=\"pprof\"'; default \"\"; }",
            "# Who has the token needs no password. Its digest is in %s." % TOKEN,
            "map $secure_link $goready_pprof_realm { 1 off; default pprof; }",
        ]
    lines += ["# The query that is handed on, or \"refuse\".", *_maps(settings), "", "server {"]
    for address, port in listen(settings.listen):
        if ":" in address and not ipv6:
            continue
        where = "[%s]:%d" % (address, port) if ":" in address else "%s:%d" % (address, port)
        lines.append("    listen %s%s%s default_server;" % (
            where, " ipv6only=on" if ":" in address else "", " ssl" if settings.tls else ""))
    lines.append("    server_name _;")
    if settings.tls:
        lines += ["    ssl_certificate %s;" % settings.certificate, "    ssl_certificate_key %s;" % settings.key,
                  "    ssl_protocols TLSv1.2 TLSv1.3;"]
    lines += [
        "    server_tokens off;",
        "    merge_slashes on;",
        "    client_max_body_size 1k;",
        "    client_header_timeout 10s;",
        "    client_body_timeout 10s;",
        "    # The peer's own address decides, whatever a header claims: this trusts unix sockets alone, and there is none here.",
        "    set_real_ip_from unix:;",
        "    satisfy all;",
        "    limit_req zone=goready_pprof burst=%d nodelay;" % BURST,
        "    limit_req_status 429;",
        "    auth_basic %s;" % ("$goready_pprof_realm" if settings.token else "pprof"),
        "    auth_basic_user_file %s;" % (USERS if settings.users else "/dev/null"),
    ]
    if settings.token:
        lines += ["    include %s;" % TOKEN, "    add_header WWW-Authenticate $goready_pprof_challenge always;"]
    lines += [
        "    add_header Allow $goready_pprof_allow always;",
        "    if ($request_method != GET) { return 405; }",
        "",
        "    proxy_http_version 1.1;",
        "    proxy_pass_request_headers off;",
        "    proxy_pass_request_body off;",
        "    proxy_intercept_errors off;",
        "    proxy_redirect off;",
        "    proxy_bind off;",
        "    proxy_cache off;",
        "    proxy_max_temp_file_size 0;",
        "    proxy_connect_timeout 2s;",
        "    proxy_read_timeout %ds;" % (settings.seconds_max + 15),
        "",
        "    location / { return 403; }",
    ]
    own = [address for address, _port in listen(settings.listen) if address not in ("0.0.0.0", "::")]
    for one in ordered:
        lines += (_SECTION + one.name).split("\n")
        for name in settings.paths:
            page = "" if name == "index" else name
            variable = "$goready_pprof_%s" % _kind(name)
            lines += [
                "    location = %s%s {" % (one.outer, page),
                "        if (%s = refuse) { return 403; }" % variable,
                *("        allow %s;" % net for net in dict.fromkeys(["127.0.0.0/8", "::1", *own, *one.allow])),
                "        deny all;",
                "        set $args %s;" % variable,
                "        proxy_set_header Host %s;" % one.target.authority,
                "        proxy_set_header Connection close;",
                "        proxy_pass %s%s%s;" % (one.upstream, one.inner, page),
                "    }",
            ]
    return "\n".join([*lines, "}", ""])


def _state(where: str, services: Sequence[Service]) -> str:
    return _STATE + json.dumps({"listen": where, "services": [
        {"name": one.name, "backend": one.backend, "allow": list(one.allow)} for one in services]}, sort_keys=True)


def _kind(name: str) -> str:
    """Pages that may be asked the same share a map."""
    return {"index": "bare", "cmdline": "bare", "profile": "sampled", "trace": "traced", "symbol": "symbol", "heap": "heap"}.get(
        name, "counted")


def _maps(settings: Settings) -> List[str]:
    seconds = "seconds=" + upto(settings.seconds_max)
    # seconds=0 means 30 to net/http/pprof's profile, and so does none at all: what is handed on says it. trace takes 1 s.
    defaults = {"sampled": "seconds=%d" % min(30, settings.seconds_max), "traced": "seconds=1"}
    patterns = {
        "bare": None,
        "counted": "(?:debug=[01]|%s)" % seconds,
        "heap": "(?:debug=[01]|gc=1|%s)" % seconds,
        "sampled": seconds,
        "traced": seconds,
        "symbol": "0x[0-9A-Fa-f]{1,16}(?:\\+0x[0-9A-Fa-f]{1,16}){0,63}",
    }
    lines = []
    for kind in sorted({_kind(name) for name in settings.paths}):
        pattern = patterns[kind]
        lines.append("map $args $goready_pprof_%s {" % kind)
        lines.append("    \"\" \"%s\";" % defaults.get(kind, ""))
        if kind == "symbol":
            lines.append("    \"~^%s\\z\" $args;" % pattern)
        elif pattern is not None:
            lines.append("    \"~^%s(?:&%s)*\\z\" $args;" % (pattern, pattern))
        lines += ["    default refuse;", "}"]
    return lines


def upto(limit: int) -> str:
    """A pattern of the whole numbers from 1 to ``limit``, without leading zeros."""
    text = str(limit)
    parts = ["[1-9]" + "[0-9]" * (length - 1) for length in range(1, len(text))]
    for position, char in enumerate(text):
        low = 1 if position == 0 else 0
        if int(char) > low:
            parts.append(text[:position] + "[%d-%d]" % (low, int(char) - 1) + "[0-9]" * (len(text) - position - 1))
    return "(?:%s)" % "|".join([*parts, text])


def parse(text: str) -> Tuple[str, List[Service]]:
    """(listen, services) of a file that :func:`render` wrote. ValueError where it is none."""
    for line in text.split("\n"):
        if line.startswith(_STATE):
            try:
                state: Dict[str, Any] = json.loads(line[len(_STATE):])
                return str(state["listen"]), [service(str(one["name"]), str(one["backend"]), one["allow"]) for one in state["services"]]
            except (TypeError, KeyError, AttributeError, ValueError) as exc:
                raise ValueError("the line %r cannot be read: %s" % (line[:60], exc)) from None
    raise ValueError("there is no line that begins with %r" % _STATE)


def keep(text: str, services: Sequence[Service]) -> str:
    """The file with these of its services only; what holds for all of them stays as it is."""
    names = {one.name for one in services}
    where, _all = parse(text)
    head, *sections = text[:-len("}\n")].split(_SECTION)
    head = re.sub("(?m)^%s.*$" % re.escape(_STATE), lambda _match: _state(where, services), head)
    return "".join([head, *(_SECTION + one for one in sections if one.partition("\n")[0] in names), "}\n"])


def merge(services: Sequence[Service], wanted: Sequence[Service]) -> List[Service]:
    """``services`` with ``wanted`` in place of those of the same name."""
    return sorted([*without(services, [one.name for one in wanted]), *wanted])


def without(services: Sequence[Service], names: Iterable[str]) -> List[Service]:
    gone = set(names)
    return [one for one in services if one.name not in gone]


def users_file(users: Mapping[str, str], existing: Optional[str] = None) -> str:
    """An htpasswd file. The hash of a password that ``existing`` holds already is kept: a new one has a new salt."""
    known = dict(line.partition(":")[::2] for line in (existing or "").split("\n") if ":" in line)
    lines = []
    for name, password in sorted(users.items()):
        kept = known.get(name, "")
        lines.append("%s:%s\n" % (name, kept if sha512crypt.matches(password, kept) else sha512crypt.hashed(password)))
    return "".join(lines)


def token_file(token: str) -> str:
    """The directives that compare the bearer token's digest (ngx_http_secure_link_module).

    nginx cannot compare any other digest without a module from elsewhere. MD5 is weak against collisions, which do not
    matter here: to find a header from its digest takes 2^123 trials, and the token has at least 128 random bits.
    """
    digest = hashlib.md5(("goready Bearer " + token).encode("ascii"), usedforsecurity=False) if _FLAG else hashlib.md5(
        ("goready Bearer " + token).encode("ascii"))
    return ("secure_link %s;\nsecure_link_md5 \"goready $http_authorization\";\n"
            % base64.urlsafe_b64encode(digest.digest()).decode("ascii").rstrip("="))


def _has_flag() -> bool:
    """Python 3.8's hashlib does not know ``usedforsecurity``, which a FIPS kernel asks for."""
    try:
        hashlib.md5(b"", usedforsecurity=False)
    except TypeError:
        return False
    return True


_FLAG = _has_flag()
