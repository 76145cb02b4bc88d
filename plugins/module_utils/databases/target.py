# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server a URL means, and what every kind of server's answer has in common.

Pure: :func:`parse` makes a :class:`Target` of a URL, :class:`Answers` holds what a client program brought, :func:`words` makes
text of a server fit for a report.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ansible_collections.goready.preflight.plugins.module_utils.redact import REDACTED, redact_text

#: Scheme of a URL -> (kind of server, its port, whether the scheme itself asks for TLS).
SCHEMES: Dict[str, Tuple[str, int, bool]] = {
    "postgres": ("postgres", 5432, False), "postgresql": ("postgres", 5432, False), "mysql": ("mysql", 3306, False),
    "mariadb": ("mysql", 3306, False), "redis": ("redis", 6379, False), "rediss": ("redis", 6379, True),
}
#: How this collection calls itself where a server has a place for the name of a client.
APPLICATION = "goready-preflight"
#: The most of anything that a server lists: sessions by their kind, open transactions, waiting sessions.
LISTED = 20
GROUPS = 50
_SECRET_LEAST = 6  # characters of a password that is looked for in a text: a shorter one is a word by chance


@dataclass(frozen=True)
class Target:
    """One server. ``hosts`` are (name, port) pairs: libpq and its like take several; empty where ``socket`` is used. The password
    is never shown by ``repr``."""

    kind: str
    scheme: str
    hosts: Tuple[Tuple[str, int], ...]
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    socket: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return ",".join(host for host, _port in self.hosts)

    @property
    def port(self) -> str:
        return ",".join(str(port) for _host, port in self.hosts)

    @property
    def tls(self) -> bool:
        """Whether the scheme asks for TLS (rediss)."""
        return SCHEMES[self.scheme][2]

    @property
    def place(self) -> str:
        """``db1:5432``, ``[::1]:6379``, ``/run/mysqld/mysqld.sock``, ``/run/postgresql:5433``: the same for every URL of one server."""
        if self.socket:
            port = self.options.get("port", "") if self.kind == "postgres" and ".s.PGSQL." not in self.socket else ""
            return self.socket + (":" + port if re.match(r"[0-9]{1,5}\Z", port) and int(port) != SCHEMES[self.scheme][1] else "")
        return ",".join("%s:%d" % ("[%s]" % host if ":" in host else host, port) for host, port in self.hosts)

    @property
    def name(self) -> str:
        """What a server is called that only a URL names: ``db1:5432/orders``."""
        return self.place + ("/" + self.database if self.database else "")


def parse(url: str, socket: str = "") -> Target:
    """The server of ``url``, or of ``socket`` (a path) in its stead. ValueError says what is wrong, without the URL in it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its words hold what stands between the brackets, which may be a part of a password
        raise ValueError("the URL has brackets that are not those of an IPv6 address") from None
    if parts.scheme not in SCHEMES:
        raise ValueError("the URL's scheme is none of %s" % ", ".join(SCHEMES))
    kind, standard, _tls = SCHEMES[parts.scheme]
    userinfo, at, places = parts.netloc.rpartition("@")
    user, _colon, password = userinfo.partition(":") if at else ("", "", "")
    options = dict(parse_qsl(parts.query))
    # PostgreSQL: postgres:///db?host=/run/postgresql; MySQL's drivers: ?socket=/run/mysqld/mysqld.sock.
    given = options.get("socket" if kind == "mysql" else "host", "")
    if not socket and given.startswith("/"):
        socket = given
    hosts: List[Tuple[str, int]] = []
    for one in [] if socket else places.split(","):
        host, port = _host(one, standard)
        if not host:
            raise ValueError("the URL names no host")
        hosts.append((host, port))
    if len(hosts) > 1 and kind != "postgres":
        raise ValueError("the URL names several hosts")
    return Target(kind=kind, scheme=parts.scheme, hosts=tuple(hosts), user=unquote(user), password=unquote(password),
                  database=unquote(parts.path.lstrip("/")), socket=socket, options=options)


def _host(text: str, standard: int) -> Tuple[str, int]:
    """``db1``, ``db1:5432``, ``[::1]:5432``."""
    bracket = text.rfind("]")
    host, colon, port = text.rpartition(":") if text.rfind(":") > bracket else (text, "", "")
    if bracket < 0 and ":" in host:
        raise ValueError("an IPv6 address in a URL stands in brackets")
    if colon and port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("the URL's port is no number from 1 to 65535")
    host = unquote(host.strip("[]"))
    return host if host.startswith("/") else host.lower(), int(port) if port else standard  # libpq takes a socket's folder, too


@dataclass
class Answers:
    """What a client brought: ``values`` by the query's name, and why others are missing: (code, message) in ``errors``."""

    values: Dict[str, Any] = field(default_factory=dict)
    errors: Dict[str, Tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a client got nothing: kind and sentence of an ``error`` of the facts."""

    kind: str
    message: str

    def as_dict(self) -> Dict[str, str]:
        return {"kind": self.kind, "message": self.message}


def words(text: Any, limit: int = 120, secret: str = "") -> str:
    """A server's text on one line, within a bound, without what a terminal obeys and without credentials."""
    line = " ".join(str(text).split())
    if secret and len(secret) >= _SECRET_LEAST:
        line = line.replace(secret, REDACTED)
    line = redact_text(line)
    if not line.isprintable():
        line = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return line if len(line) <= limit else line[:limit - 3] + "..."


def number(value: Any) -> Optional[float]:
    """A finite number from what a server sent, None where it is none."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if abs(found) <= 1e18 else None  # nor NaN, nor infinity


def seconds(value: Any) -> Optional[float]:
    """A duration in seconds with three decimals; never below zero, where two clocks differ."""
    found = number(value)
    return None if found is None else round(max(0.0, found), 3)


def whole(value: Any) -> Optional[int]:
    found = number(value)
    return None if found is None else int(found)


def rows(value: Any) -> List[Mapping[str, Any]]:
    """The mappings of a list, whatever a server sent in its place."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
