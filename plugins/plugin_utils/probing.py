# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is really tried with, and how far: ``preflight_budget``, ``preflight_build``, ``preflight_proxy``,
``preflight_network`` and ``preflight_databases``.

Pure: what the inventory says becomes a :class:`Probing`, and :meth:`Probing.active` the option ``active`` of
``readiness_facts``. ``quick`` tries nothing.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import collecting
from ansible_collections.goready.preflight.plugins.module_utils.databases import target
from ansible_collections.goready.preflight.plugins.plugin_utils import readers

#: The subsets of ``readiness_facts`` that try something. Each is asked for where a check that is selected needs it.
SUBSETS = ("connections", "sample", "pools", "databases", "proxies", "build")
#: Of them and the next: those that watch for some seconds.
WATCHING = ("connections", "sample", "pools", "wall", "databases")
#: These serve the explanation of what runs: they are tried beside ``sample``.
EXPLAINING = ("wall", "timeouts")
#: Requests to a module proxy, by profile.
REQUESTS = {"standard": 10, "deep": 100}
#: Seconds beyond the budget: what was begun within it is ended and taken back.
OVERHEAD = 15

_DATABASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@/-]{0,199}")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,30}\$?", re.IGNORECASE)
_MODULE = re.compile(r"(?P<path>[A-Za-z0-9][A-Za-z0-9._~-]*(?:/[A-Za-z0-9._~-]+)*)@(?P<version>v[0-9][A-Za-z0-9.+-]*)")
_PATTERN = re.compile(r"[A-Za-z0-9*?\[\]][A-Za-z0-9._~*?\[\]-]*(?:/[A-Za-z0-9._~*?\[\]-]+)*")


@dataclass(frozen=True)
class Build:
    """``preflight_build``. ``timeout`` in seconds for one toolchain, ``memory`` and ``disk`` in bytes."""

    cgo: str = "auto"
    toolchains: str = "seen"
    timeout: int = 60
    memory: int = 1 << 30
    disk: int = 1 << 30


@dataclass(frozen=True)
class Proxy:
    """``preflight_proxy``. ``modules`` are ``path@version``; ``requests`` 0: what the profile says; ``timeout`` in seconds for a
    request."""

    modules: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    requests: int = 0
    concurrency: int = 10
    timeout: int = 10


@dataclass(frozen=True)
class Network:
    """``preflight_network``. ``window`` in seconds is what the kernel, the pools and the requests are watched for, ``timeout`` in
    seconds what one connection may take. ``endpoints`` says by URL whom to trust and who we are."""

    samples: int = 5
    window: int = 5
    timeout: int = 3
    redirects: int = 3
    endpoints: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    server_timeouts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probing:
    """All of it. ``databases`` are the entries of ``preflight_databases`` with every key."""

    budget: int = 60
    build_user: str = ""
    build: Build = Build()
    proxy: Proxy = Proxy()
    network: Network = Network()
    databases: tuple[Mapping[str, Any], ...] = ()

    def active(self, profile: str) -> dict[str, Any]:
        """The option ``active`` of ``readiness_facts``."""
        network = asdict(self.network)
        network["server_timeouts"] = list(self.network.server_timeouts) if profile == "deep" else []
        return {
            "budget": self.budget, "profile": profile, "build": asdict(self.build), "network": network,
            "proxy": {**asdict(self.proxy), "modules": list(self.proxy.modules), "private": list(self.proxy.private),
                      "requests": self.proxy.requests or REQUESTS.get(profile, 0)},
            "databases": [dict(one) for one in self.databases],
        }

    def seconds(self) -> int:
        """What a task has to be given for it beyond everything else, on an emulated host too."""
        return self.budget * collecting.EMULATED + OVERHEAD


def subsets(needs: Iterable[str], profile: str, network: Network, runtime: bool) -> list[str]:
    """The subsets that try something for checks with these ``needs``. ``runtime``: whether services are asked for profiles."""
    if profile == "quick":
        return []
    wanted = {path.split(".", 1)[0] for path in needs}
    found = [name for name in SUBSETS if name in wanted]
    if "sample" in found:
        found += ["wall"] if runtime else []
        found += ["timeouts"] if network.server_timeouts and profile == "deep" else []
    return found


def parse_budget(value: Any) -> int:
    """``preflight_budget``: seconds for everything that is tried on a host."""
    return readers.whole(1, 3600)(value)


def parse_user(value: Any) -> str:
    """``preflight_build_user``: a user's name, empty for none."""
    if value in (None, ""):
        return ""
    if not isinstance(value, str) or not _USER.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a user")
    return value


def parse_build(value: Any) -> Build:
    """``preflight_build`` as a :class:`Build`; ValueError says what is wrong and what is allowed."""
    given = readers.mapping(value, [one.name for one in fields(Build)])
    return replace(Build(), **readers.read(given, {
        "cgo": readers.one_of("auto", "required", "absent"), "toolchains": readers.one_of("seen", "all"),
        "timeout": readers.whole(5, 3600), "memory": readers.whole(64 << 20, 1 << 40), "disk": readers.whole(64 << 20, 1 << 40),
    }))


def parse_proxy(value: Any) -> Proxy:
    """``preflight_proxy`` as a :class:`Proxy`."""
    given = readers.mapping(value, [one.name for one in fields(Proxy)])
    return replace(Proxy(), **readers.read(given, {
        "modules": _listed(_module), "private": _listed(_private), "requests": readers.whole(1, 1000),
        "concurrency": readers.whole(1, 50), "timeout": readers.whole(1, 120),
    }))


def parse_network(value: Any, services: Iterable[Mapping[str, Any]]) -> Network:
    """``preflight_network`` as a :class:`Network`. Whom to trust is said of declared URLs alone."""
    services = list(services)
    declared = [url for one in services for url in (*(one.get("depends_on") or ()), one.get("health")) if url]
    ports = [str(one[key]) for key in ("health", "metrics", "pprof") for one in services if str(one.get(key, "")).startswith("http")]
    health = tuple(dict.fromkeys(str(one["health"]) for one in services if one.get("health") in ports))
    given = readers.mapping(value, [one.name for one in fields(Network)])
    return replace(Network(), **readers.read(given, {
        "samples": readers.whole(1, 100), "window": readers.whole(1, 60), "timeout": readers.whole(1, 30),
        "redirects": readers.whole(0, 10), "endpoints": lambda item: _endpoints(item, declared),
        "server_timeouts": lambda item: _server_timeouts(item, health, ports),
    }))


def parse_databases(value: Any, services: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """``preflight_databases``: a list of mappings with a name and a URL."""
    names = [str(one["name"]) for one in services]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r} is not a list")
    known: dict[str, Callable[[Any], Any]] = {
        "name": _database_name, "url": _database_url, "services": _listed(readers.one_of(*names)), "socket": _path, "run_as": parse_user,
        "passfile": _path, "defaults_file": _path, "ca_file": _path, "timeout": readers.whole(1, 60),
    }
    found: list[dict[str, Any]] = []
    for index, entry in enumerate(value):
        if not isinstance(entry, Mapping):
            raise ValueError(f"[{index}]: {entry!r} is not a mapping with a name and a url")
        label = f"[{index}]" + (f" ({entry['name']})" if "name" in entry else "")
        for key in ("name", "url"):
            if not entry.get(key):
                raise ValueError(f"{label}: the key {key} is missing")
        try:
            one = {"services": (), "socket": "", "run_as": "", "passfile": "", "defaults_file": "", "ca_file": "", "timeout": 5,
                   **readers.read(readers.mapping(entry, known), known)}
        except ValueError as exc:
            raise ValueError(f"{label}: {exc}") from None
        one["scheme"] = readers.split(one["url"]).scheme
        kind = target.SCHEMES[one["scheme"]][0]
        for key, of in (("passfile", "postgres"), ("defaults_file", "mysql")):
            if one[key] and kind != of:
                raise ValueError(f"{label}: {key} belongs to {of}; this one is {kind}")
        if not readers.split(one["url"]).hostname and not one["socket"]:
            raise ValueError(f"{label}: url: {readers.short(one['url'])} names no host; give one, or the key socket")
        if any(one["name"] == other["name"] for other in found):
            raise ValueError(f"{label}: the name is declared twice")
        one["services"] = list(one["services"])
        found.append(one)
    return tuple(found)


def _listed(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def reader(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{value!r} is not a list")
        return tuple(dict.fromkeys(read(item) for item in value))

    return reader


def _module(value: Any) -> str:
    if isinstance(value, str) and _MODULE.fullmatch(value) and len(value) <= 300:
        return value
    raise ValueError(f"{value!r} is not a module and its version, such as example.com/mod@v1.2.3")


def _private(value: Any) -> str:
    if isinstance(value, str) and _PATTERN.fullmatch(value) and len(value) <= 300:
        return value
    raise ValueError(f"{value!r} is not the path of a module, or a pattern as GOPRIVATE takes it, such as git.example.com/team/*")


def _path(value: Any) -> str:
    if isinstance(value, str) and value.startswith("/") and not any(ord(char) < 0x20 for char in value):
        return value
    raise ValueError(f"{value!r} is not an absolute path on the host")


def _database_name(value: Any) -> str:
    if isinstance(value, str) and _DATABASE_NAME.fullmatch(value):
        return value
    raise ValueError(f"{value!r} is not a name (at most 200 letters, digits and :_.@/-)")


def _database_url(value: Any) -> str:
    text = str(value)
    try:
        parts = readers.split(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{readers.short(value)} is not a URL that can be asked") from None
    if not isinstance(value, str) or parts.scheme not in target.SCHEMES:
        begins = ", ".join(f"{scheme}://" for scheme in target.SCHEMES)
        raise ValueError(f"{readers.short(value)} is not a URL that begins with {begins}")
    if parts.password is not None:
        raise ValueError("a password does not belong into the URL; give it in preflight_credentials, by the database's name")
    if parts.query or parts.fragment or port == 0 or any(ord(char) <= 0x20 for char in text):
        raise ValueError(f"{readers.short(value)}: expected scheme://user@host:port/database, and nothing behind it")
    return text


def _endpoints(value: Any, declared: list[str]) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not a mapping of URLs to ca_file, cert_file, key_file, validate_certs")
    known: dict[str, Callable[[Any], Any]] = {"ca_file": _path, "cert_file": _path, "key_file": _path, "validate_certs": readers.boolean}
    found: dict[str, dict[str, Any]] = {}
    for url, given in value.items():
        if url not in declared:
            raise ValueError(f"{readers.short(url)} is in no depends_on and no health of preflight_services")
        try:
            one = readers.read(readers.mapping(given, known), known)
        except ValueError as exc:
            raise ValueError(f"{readers.short(url)}: {exc}") from None
        if ("cert_file" in one) != ("key_file" in one):
            raise ValueError(f"{readers.short(url)}: cert_file and key_file belong together")
        found[str(url)] = one
    return found


def _server_timeouts(value: Any, health: tuple[str, ...], declared: list[str]) -> tuple[str, ...]:
    if value is True or value is False:
        return health if value else ()
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r} is neither true, false nor a list of http:// and https:// URLs")
    ports = {_port(url) for url in declared}
    for item in value:
        if _port(readers.url(item, ("http", "https"))) not in ports:
            raise ValueError(f"{readers.short(item)} is at no port that preflight_services declares as health, metrics or pprof")
    return tuple(dict.fromkeys(str(item) for item in value))


def _port(url: str) -> tuple[str | None, int | None]:
    return readers.split(url).hostname, readers.port_of(url)
