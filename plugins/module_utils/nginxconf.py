# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's configuration: which listeners hand requests on to which backends, for whom, and with which questions asked.

Public: :func:`parse`, :func:`assemble`, :func:`routes`, :class:`Directive`, :class:`Listen`, :class:`Route`,
:func:`admitted`, :func:`outer_path`.

Text in, data out. Only what decides who gets to a backend is understood; everything else is carried along unread. A value
with a variable in it (``proxy_pass http://$upstream``) names no backend.
"""
from __future__ import annotations

import posixpath
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

DEPTH_LIMIT = 40   # of blocks within blocks, and of files that include files
INCLUDE_LIMIT = 20000   # files that each include the next one twice would be read 2^40 times


class Directive(NamedTuple):
    """One directive; ``block`` is None where it ends in a semicolon."""

    name: str
    args: Tuple[str, ...]
    block: Optional[Tuple[Directive, ...]] = None
    file: str = ""
    line: int = 0


class Listen(NamedTuple):
    """Where a server listens: an address (``0.0.0.0``, ``::``), or the path of a unix socket."""

    address: str
    port: Optional[int]
    unix: Optional[str]
    tls: bool
    default: bool


class Route(NamedTuple):
    """Requests of one location that are handed on.

    ``backend`` is ``("tcp", host, port)`` or ``("unix", path, None)``; ``match`` the location's modifier (``=``, ``^~``,
    ``~``, ``~*`` or empty), ``path`` its pattern, ``target`` the path in proxy_pass (None: the request's own). ``allow`` is
    the networks that are admitted, None where everybody is. ``asks`` says that the configuration wants credentials.
    """

    listens: Tuple[Listen, ...]
    names: Tuple[str, ...]
    match: str
    path: str
    backend: Tuple[str, str, Optional[int]]
    scheme: str
    target: Optional[str]
    allow: Optional[Tuple[str, ...]]
    asks: bool
    file: str
    line: int


class _Token(NamedTuple):
    text: str
    line: int
    mark: bool   # ; { } as nginx's own, not as part of a quoted word


def _tokens(text: str) -> Iterator[_Token]:
    """Words as nginx's ngx_conf_read_token reads them: a quote quotes only at the beginning of a word, ``#`` comments there
    too, a backslash takes the next character's meaning, ``${`` belongs to a variable."""
    position, line, length = 0, 1, len(text)
    while position < length:
        char = text[position]
        if char == "\n":
            line += 1
            position += 1
        elif char in " \t\r":
            position += 1
        elif char == "#":
            end = text.find("\n", position)
            position = length if end < 0 else end
        elif char in ";{}":
            yield _Token(char, line, True)
            position += 1
        elif char in "\"'":
            begin, start = position + 1, line
            position = begin
            word: List[str] = []
            while position < length and text[position] != char:
                if text[position] == "\\" and position + 1 < length:
                    word.append(_escaped(text[position + 1]))
                    line += text[position + 1] == "\n"
                    position += 2
                    continue
                line += text[position] == "\n"
                word.append(text[position])
                position += 1
            if position >= length:
                raise ValueError("line %d: a quote that is not closed" % start)
            position += 1
            if position < length and text[position] not in " \t\r\n;{)":
                raise ValueError("line %d: %r after a closing quote" % (line, text[position]))
            yield _Token("".join(word), start, False)
        else:
            word, start = [], line
            while position < length and text[position] not in " \t\r\n;":
                if text[position] == "{" and not (word and word[-1] == "$"):
                    break
                if text[position] == "\\" and position + 1 < length:
                    word.append(_escaped(text[position + 1]))
                    line += text[position + 1] == "\n"
                    position += 2
                    continue
                word.append(text[position])
                position += 1
            yield _Token("".join(word), start, False)


def _escaped(char: str) -> str:
    # Only these escapes are translated, every other one stays as it is (ngx_conf_read_token).
    return {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}.get(char, "\\" + char)


def parse(text: str, file: str = "") -> Tuple[Directive, ...]:
    """The directives of one file; ValueError with the line where nginx would not read it either."""
    return _block(_tokens(text), file, 0)


def _block(tokens: Iterator[_Token], file: str, depth: int) -> Tuple[Directive, ...]:
    if depth > DEPTH_LIMIT:
        raise ValueError("blocks are nested deeper than %d levels" % DEPTH_LIMIT)
    found: List[Directive] = []
    words: List[_Token] = []
    for token in tokens:
        if not token.mark:
            words.append(token)
            continue
        if token.text == "}":
            if words:
                raise ValueError("line %d: %r is not ended by a semicolon" % (token.line, words[0].text[:40]))
            if depth == 0:
                raise ValueError("line %d: a closing brace too many" % token.line)
            return tuple(found)
        if not words:
            raise ValueError("line %d: %r without a directive before it" % (token.line, token.text))
        inner = None
        if token.text == "{":
            # Lua's blocks hold Lua, and braces of their own: nothing here needs to know what they say.
            inner = _block(tokens, file, depth + 1)
        found.append(Directive(words[0].text, tuple(word.text for word in words[1:]), inner, file, words[0].line))
        words = []
    if words:
        raise ValueError("line %d: %r is not ended" % (words[0].line, words[0].text[:40]))
    if depth:
        raise ValueError("a block is not closed")
    return tuple(found)


def assemble(path: str, read: Callable[[str], str], glob: Callable[[str], Sequence[str]]) -> Tuple[Tuple[Directive, ...], List[str]]:
    """(the directives of ``path`` with every ``include`` in its place, what could not be read).

    ``read`` gives a file's text (OSError, ValueError), ``glob`` the files a pattern stands for, sorted. Where the first file
    itself cannot be read, its OSError or ValueError is raised.
    """
    missing: List[str] = []
    home = posixpath.dirname(path)
    count = 0

    def expand(directives: Sequence[Directive], chain: Tuple[str, ...]) -> Tuple[Directive, ...]:
        nonlocal count
        result: List[Directive] = []
        for one in directives:
            if one.name == "include" and one.block is None and len(one.args) == 1:
                pattern = one.args[0] if one.args[0].startswith("/") else posixpath.join(home, one.args[0])
                if len(chain) > DEPTH_LIMIT:
                    missing.append("%s: included deeper than %d levels" % (pattern, DEPTH_LIMIT))
                    continue
                for name in glob(pattern):
                    count += 1
                    if name in chain:
                        missing.append("%s: it includes itself" % name)
                        continue
                    if count > INCLUDE_LIMIT:
                        missing.append("%s: more than %d includes" % (name, INCLUDE_LIMIT))
                        return tuple(result)
                    try:
                        inner = parse(read(name), name)
                    except OSError as exc:
                        missing.append("%s: %s" % (name, (exc.strerror or str(exc)).lower()))
                        continue
                    except ValueError as exc:
                        missing.append("%s: %s" % (name, exc))
                        continue
                    result.extend(expand(inner, (*chain, name)))
            elif one.block is not None:
                result.append(one._replace(block=expand(one.block, chain)))
            else:
                result.append(one)
        return tuple(result)

    return expand(parse(read(path), path), (path,)), missing


class _Scope(NamedTuple):
    """What a level inherits from the one above: a level that has any of a directive has none of the outer ones."""

    access: Tuple[Directive, ...] = ()
    asks: bool = False
    satisfy_any: bool = False

    def within(self, block: Sequence[Directive]) -> _Scope:
        access = tuple(one for one in block if one.name in ("allow", "deny"))
        asks, satisfy_any = self.asks, self.satisfy_any
        for one in block:
            if one.name == "auth_basic" and one.args:
                asks = one.args[0] != "off"
            elif one.name == "auth_request" and one.args:
                asks = one.args[0] != "off" or asks
            elif one.name == "ssl_verify_client" and one.args:
                asks = one.args[0] == "on" or asks
            elif one.name == "satisfy" and one.args:
                satisfy_any = one.args[0] == "any"
        return _Scope(access or self.access, asks, satisfy_any)


def routes(directives: Sequence[Directive]) -> List[Route]:
    """Every proxy_pass of every server of every http block."""
    found: List[Route] = []
    for http in directives:
        if http.name != "http" or http.block is None:
            continue
        upstreams = {one.args[0]: _members(one.block) for one in http.block
                     if one.name == "upstream" and one.args and one.block is not None}
        outer = _Scope().within(http.block)
        for server in http.block:
            if server.name != "server" or server.block is None:
                continue
            listens = _listens(server.block)
            names = tuple(name for one in server.block if one.name == "server_name" for name in one.args)
            found += _passes(server.block, outer.within(server.block), listens, names, "", "/", upstreams)
    return found


def _passes(block: Sequence[Directive], scope: _Scope, listens: Tuple[Listen, ...], names: Tuple[str, ...], match: str, path: str,
            upstreams: Dict[str, List[Tuple[str, str, Optional[int]]]]) -> Iterator[Route]:
    for one in block:
        if one.name == "proxy_pass" and one.args:
            scheme, backends, target = _target(one.args[0], upstreams)
            for backend in backends:
                yield Route(listens, names, match, path, backend, scheme, target, admitted(scope.access, scope.satisfy_any and scope.asks),
                            scope.asks, one.file, one.line)
        elif one.name == "location" and one.block is not None and one.args:
            inner_match, inner_path = (one.args[0], one.args[1]) if len(one.args) > 1 else ("", one.args[0])
            yield from _passes(one.block, scope.within(one.block), listens, names, inner_match, inner_path, upstreams)
        elif one.name in ("if", "limit_except") and one.block is not None:
            # limit_except's allow and deny hold for the other methods only.
            inner = scope if one.name == "limit_except" else scope.within(one.block)
            yield from _passes(one.block, inner, listens, names, match, path, upstreams)


def admitted(access: Sequence[Directive], by_credentials: bool = False) -> Optional[Tuple[str, ...]]:
    """The networks that ``allow`` and ``deny`` let in, in their order (the first that matches decides); None for everybody.

    A ``deny`` of some only makes that smaller. ``by_credentials``: whoever has credentials needs no allow (satisfy any).
    """
    networks: List[str] = []
    for one in access:
        value = one.args[0] if one.args else ""
        if one.name == "deny" and value == "all":
            return None if by_credentials else tuple(networks)
        if one.name == "allow":
            if value == "all":
                return None
            networks.append(value)
    return None  # what no line matches is admitted


def _listens(block: Sequence[Directive]) -> Tuple[Listen, ...]:
    found: List[Listen] = []
    tls_everywhere = any(one.name == "ssl" and one.args == ("on",) for one in block)
    for one in block:
        if one.name != "listen" or not one.args:
            continue
        value, options = one.args[0], one.args[1:]
        tls, default = "ssl" in options or tls_everywhere, "default_server" in options or "default" in options
        if value.startswith("unix:"):
            found.append(Listen("", None, value[5:], tls, default))
            continue
        address, port = _host_port(value)
        if address is not None:
            found.append(Listen("0.0.0.0" if address in ("*", "") else address, port or 80, None, tls, default))
    return tuple(found or [Listen("0.0.0.0", 80, None, tls_everywhere, False)])


def _host_port(value: str) -> Tuple[Optional[str], Optional[int]]:
    """``8080``, ``*:8080``, ``10.0.0.5``, ``[::1]:8080``; (None, None) where it is none of these."""
    if value.isascii() and value.isdigit():
        return "", int(value[:6])
    if value.startswith("["):
        host, bracket, rest = value[1:].partition("]")
        if not bracket:
            return None, None
    else:
        host, colon, port = value.partition(":")
        rest = colon + port
    if not rest:
        return host, None
    port = rest[1:]
    return (host, int(port[:6])) if rest.startswith(":") and port.isascii() and port.isdigit() else (None, None)


def _members(block: Sequence[Directive]) -> List[Tuple[str, str, Optional[int]]]:
    found = []
    for one in block:
        if one.name == "server" and one.args and "down" not in one.args[1:]:
            backend = _backend(one.args[0], 80)
            if backend is not None:
                found.append(backend)
    return found


def _backend(text: str, default: int) -> Optional[Tuple[str, str, Optional[int]]]:
    if "$" in text:
        return None
    if text.startswith("unix:"):
        return "unix", text[5:].partition(":")[0], None
    host, port = _host_port(text)
    return ("tcp", host, port or default) if host else None


def _target(url: str, upstreams: Dict[str, List[Tuple[str, str, Optional[int]]]]
            ) -> Tuple[str, List[Tuple[str, str, Optional[int]]], Optional[str]]:
    """(scheme, backends, path) of a proxy_pass."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("http", "https"):
        return "", [], None
    if rest.startswith("unix:"):
        socket, colon, path = rest[5:].partition(":")
        backend = _backend("unix:" + socket, 0)
        return scheme, [backend] if backend else [], path if colon and path else None
    cut = rest.find("/")
    authority, path = (rest, "") if cut < 0 else (rest[:cut], rest[cut:])
    if authority in upstreams:
        return scheme, upstreams[authority], path or None
    backend = _backend(authority, 443 if scheme == "https" else 80)
    return scheme, [backend] if backend else [], path or None


def outer_path(route: Route, inner: str) -> Optional[str]:
    """Under which path of the proxy a request would have to come to reach the backend's ``inner`` folder (it ends in a slash),
    or a page in it; None where the route leads elsewhere."""
    target = route.target
    if target is not None and "$" in target:
        target = None
    if route.match.startswith("~"):
        return inner
    if target is None:
        return inner if inner.startswith(route.path) else route.path if route.path.startswith(inner) else None
    if inner.startswith(target) and route.match != "=":
        return route.path + inner[len(target):]
    return route.path if target.startswith(inner) else None
