# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import nginxconf
from ansible_collections.goready.preflight.plugins.module_utils.nginxconf import Listen


def names(directives):
    return [(one.name, one.args, None if one.block is None else names(one.block)) for one in directives]


@pytest.mark.parametrize(("text", "expected"), [
    ("", []),
    ("# only a comment", []),
    ("a;", [("a", (), None)]),
    ("a b c;", [("a", ("b", "c"), None)]),
    ("a { b c; }", [("a", (), [("b", ("c",), None)])]),
    ("a 'b; c' \"d } e\";", [("a", ("b; c", "d } e"), None)]),
    ("a b#c; # d;", [("a", ("b#c",), None)]),
    ("a \"b\\\"c\" 'd\\'e' f\\;g;", [("a", ('b"c', "d'e", "f\\;g"), None)]),
    ("set $x ${host}y;", [("set", ("$x", "${host}y"), None)]),
    ("a\r\n\tb\n;", [("a", ("b",), None)]),
    ("if ($a = b) { return 403; }", [("if", ("($a", "=", "b)"), [("return", ("403",), None)])]),
    ("location ~ \"^/a{2}$\" {}", [("location", ("~", "^/a{2}$"), [])]),
])
def test_parse(text, expected):
    assert names(nginxconf.parse(text)) == expected


@pytest.mark.parametrize(("text", "error"), [
    ("a", "line 1: 'a' is not ended"),
    ("a {", "a block is not closed"),
    ("a { b }", "line 1: 'b' is not ended by a semicolon"),
    ("}", "line 1: a closing brace too many"),
    ("\n;", "line 2: ';' without a directive before it"),
    ("a\n'b", "line 2: a quote that is not closed"),
    ("a 'b'c;", "line 1: 'c' after a closing quote"),
    ("a{" * 60 + "}" * 60, "blocks are nested deeper than 40 levels"),
])
def test_what_nginx_would_not_read(text, error):
    with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
        nginxconf.parse(text)


@given(st.text(st.sampled_from("ab \n;{}'\"#$\\~"), max_size=60))
def test_any_text_is_a_configuration_or_a_value_error(text):
    try:
        nginxconf.routes(nginxconf.parse(text))
    except ValueError:
        pass


FILES = {
    "/etc/nginx/nginx.conf": "user www-data;\nhttp {\n include /etc/nginx/conf.d/*.conf;\n include sites-enabled/*;\n}\n",
    "/etc/nginx/conf.d/a.conf": "upstream app { server 127.0.0.1:8080; server 127.0.0.1:8081 down; }\n",
    "/etc/nginx/sites-enabled/shop": "server { listen 80; location / { proxy_pass http://app; } }\n",
}


def read(path):
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


def glob(pattern):
    if "*" not in pattern:
        return [pattern]
    return sorted(name for name in FILES if name.startswith(pattern.split("*")[0]) and name.endswith(pattern.split("*")[1]))


def test_includes_are_put_in_their_place():
    directives, missing = nginxconf.assemble("/etc/nginx/nginx.conf", read, glob)
    assert missing == []
    [route] = nginxconf.routes(directives)
    assert (route.backend, route.file, route.line) == (("tcp", "127.0.0.1", 8080), "/etc/nginx/sites-enabled/shop", 1)


def test_what_cannot_be_read_is_named(monkeypatch):
    monkeypatch.setitem(FILES, "/etc/nginx/conf.d/b.conf", "server {")
    monkeypatch.setitem(FILES, "/etc/nginx/conf.d/c.conf", "include missing.conf; include c2.conf;")
    monkeypatch.setitem(FILES, "/etc/nginx/c2.conf", "include c2.conf;")
    directives, missing = nginxconf.assemble("/etc/nginx/nginx.conf", read, glob)
    assert missing == [
        "/etc/nginx/conf.d/b.conf: a block is not closed", "/etc/nginx/missing.conf: no such file or directory",
        "/etc/nginx/c2.conf: it includes itself"]
    assert len(nginxconf.routes(directives)) == 1
    with pytest.raises(FileNotFoundError):
        nginxconf.assemble("/etc/other.conf", read, glob)


def test_files_that_double_each_other_come_to_an_end():
    def doubling(path):
        number = int(path.rpartition("/")[2])
        return f"include {number + 1}; include {number + 1}; a;"

    directives, missing = nginxconf.assemble("/0", doubling, lambda pattern: [pattern])
    assert {one.partition(": ")[2] for one in missing} == {"included deeper than 40 levels", "more than 20000 includes"}
    assert len(directives) < nginxconf.INCLUDE_LIMIT


def route(text):
    [one] = nginxconf.routes(nginxconf.parse(text))
    return one


def server(inside, http=""):
    return f"http {{ {http} server {{ {inside} }} }}"


@pytest.mark.parametrize(("listen", "expected"), [
    ("", Listen("0.0.0.0", 80, None, False, False)),
    ("listen 8080;", Listen("0.0.0.0", 8080, None, False, False)),
    ("listen *:8080 default_server;", Listen("0.0.0.0", 8080, None, False, True)),
    ("listen 10.0.0.5;", Listen("10.0.0.5", 80, None, False, False)),
    ("listen [::]:8443 ssl http2;", Listen("::", 8443, None, True, False)),
    ("listen [::1];", Listen("::1", 80, None, False, False)),
    ("ssl on; listen 443;", Listen("0.0.0.0", 443, None, True, False)),
    ("listen unix:/run/x.sock;", Listen("", None, "/run/x.sock", False, False)),
])
def test_listen(listen, expected):
    assert route(server(f"{listen} location / {{ proxy_pass http://127.0.0.1:1; }}")).listens == (expected,)


@pytest.mark.parametrize(("target", "backend", "path"), [
    ("http://127.0.0.1:6060", ("tcp", "127.0.0.1", 6060), None),
    ("http://127.0.0.1:6060/", ("tcp", "127.0.0.1", 6060), "/"),
    ("https://[::1]:6060/debug/", ("tcp", "::1", 6060), "/debug/"),
    ("http://localhost", ("tcp", "localhost", 80), None),
    ("https://localhost", ("tcp", "localhost", 443), None),
    ("http://unix:/run/api.sock:/debug/", ("unix", "/run/api.sock", None), "/debug/"),
    ("http://unix:/run/api.sock", ("unix", "/run/api.sock", None), None),
    ("http://app/x", ("tcp", "10.0.0.9", 99), "/x"),
])
def test_proxy_pass(target, backend, path):
    one = route(server(f"location / {{ proxy_pass {target}; }}", "upstream app { server 10.0.0.9:99; }"))
    assert (one.backend, one.target) == (backend, path)


@pytest.mark.parametrize("target", ["http://$upstream", "http://127.0.0.1:$port", "grpc://127.0.0.1:1", "nothing"])
def test_a_backend_with_a_variable_is_none(target):
    assert nginxconf.routes(nginxconf.parse(server(f"location / {{ proxy_pass {target}; }}"))) == []


PASS = "proxy_pass http://127.0.0.1:1;"


@pytest.mark.parametrize(("text", "allow"), [
    (server(f"location / {{ {PASS} }}"), None),
    (server(f"location / {{ allow 10.0.0.0/8; deny all; {PASS} }}"), ("10.0.0.0/8",)),
    (server(f"location / {{ allow 10.0.0.0/8; {PASS} }}"), None),
    (server(f"location / {{ deny 192.0.2.1; allow 10.0.0.0/8; allow all; deny all; {PASS} }}"), None),
    (server(f"location / {{ deny 192.0.2.1; {PASS} }}"), None),
    (server(f"location / {{ deny all; allow 10.0.0.0/8; {PASS} }}"), ()),
    (server(f"allow 10.0.0.0/8; deny all; location / {{ {PASS} }}"), ("10.0.0.0/8",)),
    (server(f"location / {{ {PASS} }}", "allow 10.0.0.0/8; deny all;"), ("10.0.0.0/8",)),
    # A level that has any has none of the outer ones.
    (server(f"allow 10.0.0.0/8; deny all; location / {{ deny 192.0.2.1; {PASS} }}"), None),
    (server(f"allow 10.0.0.0/8; deny all; location / {{ location /x {{ {PASS} }} }}"), ("10.0.0.0/8",)),
    # Whoever has a password needs no address.
    (server(f"satisfy any; auth_basic x; allow 10.0.0.0/8; deny all; location / {{ {PASS} }}"), None),
    (server(f"satisfy any; allow 10.0.0.0/8; deny all; location / {{ {PASS} }}"), ("10.0.0.0/8",)),
    # limit_except is for the other methods.
    (server(f"location / {{ limit_except GET {{ deny all; }} {PASS} }}"), None),
])
def test_who_is_admitted(text, allow):
    assert route(text).allow == allow


@pytest.mark.parametrize(("inside", "asks"), [
    ("", False), ("auth_basic x;", True), ("auth_basic off;", False), ("auth_request /auth;", True), ("auth_request off;", False),
    ("ssl_verify_client on;", True), ("ssl_verify_client optional;", False),
])
def test_who_is_asked(inside, asks):
    assert route(server(f"{inside} location / {{ {PASS} }}")).asks is asks


@pytest.mark.parametrize(("location", "target", "outer"), [
    ("/", "", "/debug/pprof/"),
    ("/", "/", "/debug/pprof/"),
    ("/api/", "/", "/api/debug/pprof/"),
    ("/api", "/", "/apidebug/pprof/"),
    ("/api/", "/debug/", "/api/pprof/"),
    ("/debug/", "", "/debug/pprof/"),
    ("/debug/pprof/", "", "/debug/pprof/"),
    ("/debug/pprof/heap", "", "/debug/pprof/heap"),
    ("/app/", "", None),
    ("/app/", "/app/", None),
    ("= /x", "/debug/pprof/heap", "/x"),
    ("= /api/debug/pprof/", "/debug/pprof/", "/api/debug/pprof/"),
    ("= /x", "", None),
    ("~ ^/x", "", "/debug/pprof/"),
])
def test_where_pprof_would_be_found(location, target, outer):
    one = route(server(f"location {location} {{ proxy_pass http://127.0.0.1:1{target}; }}"))
    assert nginxconf.outer_path(one, "/debug/pprof/") == outer
