# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import nginxconf, proxyconf, sha512crypt
from ansible_collections.goready.preflight.plugins.module_utils.proxyconf import Settings

TOKEN = "0123456789abcdef0123456789abcdef"
GOOD = Settings("16060", certificate="/etc/ssl/a.pem", key="/etc/ssl/a.key", users={"ops": "word"}, token=TOKEN)


def api(allow=("10.0.0.0/8",), backend="http://127.0.0.1:6060", name="api"):
    return proxyconf.service(name, backend, allow)


@pytest.mark.parametrize(("backend", "inner", "upstream", "host"), [
    ("http://127.0.0.1:6060", "/debug/pprof/", "http://127.0.0.1:6060", "127.0.0.1:6060"),
    ("http://127.0.0.1:6060/", "/debug/pprof/", "http://127.0.0.1:6060", "127.0.0.1:6060"),
    ("http://127.0.0.1:6060/debug/pprof/", "/debug/pprof/", "http://127.0.0.1:6060", "127.0.0.1:6060"),
    ("http://127.0.0.1:6060/admin", "/admin/debug/pprof/", "http://127.0.0.1:6060", "127.0.0.1:6060"),
    ("https://[::1]:6060", "/debug/pprof/", "https://[::1]:6060", "[::1]:6060"),
    ("unix:///run/api/pprof.sock", "/debug/pprof/", "http://unix:/run/api/pprof.sock:", "localhost"),
])
def test_service(backend, inner, upstream, host):
    one = api(backend=backend)
    assert (one.outer, one.inner, one.upstream, one.target.authority) == ("/api/debug/pprof/", inner, upstream, host)


@pytest.mark.parametrize(("name", "backend", "allow", "error"), [
    ("a b", "http://127.0.0.1:1", [], "the name 'a b' cannot be part of a URL's path: letters, digits and @ _ . - are"),
    ("../x", "http://127.0.0.1:1", [], "the name '../x' cannot be part of a URL's path: letters, digits and @ _ . - are"),
    ("a;b", "http://127.0.0.1:1", [], "the name 'a;b' cannot be part of a URL's path: letters, digits and @ _ . - are"),
    ("api", "ftp://127.0.0.1", [], "expected http://, https:// or unix:///, not 'ftp://127.0.0.1'"),
    ("api", "unix://@api", [], "unix://@api is an abstract socket, which nginx does not know"),
    ("api", "http://127.0.0.1:1/a;b", [], "'http://127.0.0.1:1/a;b' has characters that are not proxied"),
    ("api", "http://127.0.0.1:1/$host", [], "'http://127.0.0.1:1/$host' has characters that are not proxied"),
    ("api", "http://u:hunter2@127.0.0.1:1/a;b", [], "its URL holds credentials: the proxy asks for its own, and hands none on"),
    ("api", "http://127.0.0.1:1/a;b?token=hunter2", [], "'http://127.0.0.1:1/a;b?token=[redacted]' has characters that are not proxied"),
    ("api", "ftp://u:hunter2@127.0.0.1", [], "expected http://, https:// or unix:///, not 'ftp://u:[redacted]@127.0.0.1'"),
    ("api", "http://u:p@127.0.0.1:1", [], "its URL holds credentials: the proxy asks for its own, and hands none on"),
    ("api", "http://127.0.0.1:1", ["0.0.0.0/0"], "'0.0.0.0/0' admits everybody: that is no guard"),
])
def test_no_service(name, backend, allow, error):
    with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
        proxyconf.service(name, backend, allow)


@pytest.mark.parametrize(("value", "expected"), [
    ("16060", [("0.0.0.0", 16060), ("::", 16060)]),
    ("10.0.0.5:80", [("10.0.0.5", 80)]),
    ("[2001:db8::1]:80", [("2001:db8::1", 80)]),
    ("0.0.0.0:80", [("0.0.0.0", 80)]),
])
def test_listen(value, expected):
    assert proxyconf.listen(value) == expected


@pytest.mark.parametrize("value", ["", "0", "65536", "web1:80", "10.0.0.5", "10.0.0.5:0", "::1:80", "[::1]", "80 default", "80;",
                                   "u@10.0.0.5:80", "10.0.0.5:80/x", "-1", "٣"])
def test_no_place_to_listen(value):
    with pytest.raises(ValueError, match=r"is neither a port, nor an address with a port such as 10\.0\.0\.5:16060"):
        proxyconf.listen(value)


@pytest.mark.parametrize(("changed", "fault"), [
    ({"listen": "here"}, "listen: 'here' is neither a port, nor an address with a port such as 10.0.0.5:16060 or [::1]:16060"),
    ({"key": ""}, "tls_certificate and tls_key: both or none, not one of them"),
    ({"certificate": "a b.pem"}, "tls_certificate: 'a b.pem' is no absolute path of letters, digits and @ _ . ~ + -"),
    ({"paths": ("heap", "vars")}, "paths: 'vars' is none of index, allocs, block, cmdline, goroutine, goroutineleak, heap, mutex, "
                                  "profile, symbol, threadcreate, trace"),
    ({"paths": ()}, "paths: an empty list would serve nothing; it takes index, allocs, block, cmdline, goroutine, goroutineleak, heap, "
                    "mutex, profile, symbol, threadcreate, trace"),
    ({"seconds_max": 0}, "seconds_max: 0 is not from 1 to 3600"),
    ({"seconds_max": 3601}, "seconds_max: 3601 is not from 1 to 3600"),
    ({"users": {}, "token": ""}, "users and token: at least one is needed, for a proxy that asks nobody who they are guards nothing"),
    ({"users": {"a:b": "word"}}, "users: the name 'a:b' has other characters than letters, digits and @ _ . -"),
    ({"users": {"ops": ""}}, "users: the password of ops is empty or has control characters"),
    ({"users": {"ops": "wo\nrd"}}, "users: the password of ops is empty or has control characters"),
    ({"token": "s3cret"}, "token: it is to have at least 32 characters of A-Z a-z 0-9 - . _ ~ + / (openssl rand -hex 32 makes one)"),
    ({"token": TOKEN + "\n"}, "token: it is to have at least 32 characters of A-Z a-z 0-9 - . _ ~ + / (openssl rand -hex 32 makes one)"),
    ({"certificate": "", "key": ""}, "tls_certificate and tls_key: without them credentials cross the network in clear text to 16060; "
                                     "give them, listen on 127.0.0.1 or ::1, or accept it by insecure: true"),
])
def test_faults(changed, fault):
    assert proxyconf.faults(GOOD._replace(**changed)) == [fault]


@pytest.mark.parametrize("changed", [
    {}, {"users": {}}, {"token": ""}, {"certificate": "", "key": "", "insecure": True},
    {"certificate": "", "key": "", "listen": "127.0.0.1:16060"}, {"certificate": "", "key": "", "listen": "[::1]:16060"},
])
def test_no_fault(changed):
    assert proxyconf.faults(GOOD._replace(**changed)) == []


def test_every_fault_at_once_and_no_secret_in_it():
    faults = proxyconf.faults(Settings("x", users={"ops": "wo\x00rd"}, token="s3cret", paths=(), seconds_max=-1))
    assert len(faults) == 6 and not any("s3cret" in one or "wo" in one.split() for one in faults)


# --- the text


def parsed(services, settings=GOOD, **more):
    return nginxconf.routes(nginxconf.parse("http {" + proxyconf.render(services, settings, **more) + "}"))


def test_what_is_rendered_admits_the_list_alone():
    routes = parsed([api(), api(("2001:db8::/32",), "unix:///run/b.sock", "b")])
    assert {(one.path, one.target, one.backend) for one in routes if one.path.startswith("/api/")} == {
        (f"/api/debug/pprof/{page}", f"/debug/pprof/{page}", ("tcp", "127.0.0.1", 6060))
        for page in ("", "heap", "allocs", "goroutine", "profile")}
    for one in routes:
        mine = "10.0.0.0/8" if one.path.startswith("/api/") else "2001:db8::/32"
        assert (one.match, one.allow, one.asks) == ("=", ("127.0.0.0/8", "::1", mine), True)
        assert [listen[:2] for listen in one.listens] == [("0.0.0.0", 16060), ("::", 16060)] and all(listen.tls for listen in one.listens)


def test_a_host_without_ipv6_gets_no_listener_of_it():
    assert [one.address for one in parsed([api()], ipv6=False)[0].listens] == ["0.0.0.0"]


def test_the_host_itself_is_admitted_at_an_address_of_its_own():
    assert parsed([api()], GOOD._replace(listen="10.9.9.9:80"))[0].allow == ("127.0.0.0/8", "::1", "10.9.9.9", "10.0.0.0/8")


def test_no_secret_is_in_the_configuration():
    text = proxyconf.render([api()], GOOD)
    assert TOKEN not in text and "word" not in text.replace("password", "")


def test_one_text_whatever_the_order():
    one, other = api(), api(name="b")
    assert proxyconf.render([one, other], GOOD) == proxyconf.render([other, one], GOOD)


def queries(kind, seconds_max=30):
    """A function from a query to what is handed on, as nginx evaluates the map: strings first, then patterns."""
    text = proxyconf.render([api()], GOOD._replace(paths=proxyconf.PATHS, seconds_max=seconds_max))
    [block] = [one for one in nginxconf.parse(text) if one.name == "map" and one.args[1] == f"$goready_pprof_{kind}"]
    entries = [(one.name, one.args[0]) for one in block.block]

    def value(query):
        for key, result in entries:
            if key == query or (key.startswith("~") and re.search(key[1:].replace(r"\z", r"\Z"), query)):
                return query if result == "$args" else result
        return dict(entries)["default"]

    return value


@pytest.mark.parametrize(("kind", "query", "handed_on"), [
    ("bare", "", ""), ("bare", "debug=1", "refuse"),
    ("counted", "", ""), ("counted", "debug=1", "debug=1"), ("counted", "debug=0&seconds=30", "debug=0&seconds=30"),
    ("counted", "debug=2", "refuse"), ("counted", "debug=1&debug=2", "refuse"), ("counted", "debug=01", "refuse"),
    ("counted", "debug=1&", "refuse"), ("counted", "&debug=1", "refuse"), ("counted", "debug=1\n", "refuse"), ("counted", "gc=1", "refuse"),
    ("counted", "debug=1;debug=2", "refuse"), ("counted", "%64ebug=2", "refuse"), ("counted", "refuse", "refuse"),
    ("heap", "gc=1&debug=1", "gc=1&debug=1"), ("heap", "gc=2", "refuse"), ("heap", "seconds=31", "refuse"),
    ("sampled", "", "seconds=30"), ("sampled", "seconds=1", "seconds=1"), ("sampled", "seconds=30", "seconds=30"),
    ("sampled", "seconds=0", "refuse"), ("sampled", "seconds=31", "refuse"), ("sampled", "seconds=5&seconds=9999", "refuse"),
    ("sampled", "debug=1", "refuse"), ("traced", "", "seconds=1"), ("traced", "seconds=5", "seconds=5"),
    ("symbol", "", ""), ("symbol", "0x4000+0x4001", "0x4000+0x4001"), ("symbol", "cmdline", "refuse"),
])
def test_which_queries_are_handed_on(kind, query, handed_on):
    assert queries(kind)(query) == handed_on


def test_without_seconds_no_more_than_the_limit_is_asked_for():
    assert queries("sampled", seconds_max=10)("") == "seconds=10"


@given(st.integers(1, 3600), st.integers(0, 40000))
def test_upto(limit, number):
    pattern = re.compile(proxyconf.upto(limit) + r"\Z")
    assert bool(pattern.match(str(number))) == (1 <= number <= limit)
    assert not pattern.match(f"0{number}")


# --- what a file says


NAMES = st.text(st.sampled_from("abcXYZ019@_.-"), min_size=1, max_size=10).filter(lambda name: name[0] not in "@_.-")


@given(st.dictionaries(NAMES, st.lists(st.sampled_from(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]), unique=True), min_size=1, max_size=4))
def test_a_file_says_what_was_rendered(entries):
    services = sorted(api(allow, name=name) for name, allow in entries.items())
    text = proxyconf.render(services, GOOD)
    assert proxyconf.parse(text) == ("16060", services)
    for kept in ([one] for one in services):
        assert proxyconf.keep(text, kept) == proxyconf.render(kept, GOOD)


@pytest.mark.parametrize("text", ["", "server {}", "# proxied: ", "# proxied: []", '# proxied: {"listen": "1"}',
                                  '# proxied: {"listen": "1", "services": [{"name": "a b", "backend": "http://a", "allow": []}]}'])
def test_a_file_that_is_none_of_ours(text):
    with pytest.raises(ValueError, match="proxied"):
        proxyconf.parse(text)


def test_merge_and_without():
    a, b, other = api(name="a"), api(name="b"), api(("192.0.2.0/24",), name="a")
    assert proxyconf.merge([a, b], [other]) == [other, b]
    assert proxyconf.without([a, b], ["a", "c"]) == [b]


# --- secrets


def test_users_file_keeps_the_hash_of_the_same_password():
    first = proxyconf.users_file({"ops": "word", "dev": "other"})
    assert [line.partition(":")[0] for line in first.splitlines()] == ["dev", "ops"]
    assert sha512crypt.matches("word", first.splitlines()[1].partition(":")[2])
    assert proxyconf.users_file({"ops": "word", "dev": "other"}, first) == first
    changed = proxyconf.users_file({"ops": "new", "dev": "other"}, first)
    assert changed.splitlines()[0] == first.splitlines()[0] and changed.splitlines()[1] != first.splitlines()[1]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_token_file_holds_the_digest_as_nginx_makes_it():
    # The documentation of ngx_http_secure_link_module makes it by this very pipe.
    made = subprocess.run(["sh", "-c", "printf %s \"$1\" | openssl md5 -binary | openssl base64 | tr +/ -_ | tr -d =", "sh",
                           f"goready Bearer {TOKEN}"], capture_output=True, text=True, check=True).stdout.strip()
    assert proxyconf.token_file(TOKEN) == f'secure_link {made};\nsecure_link_md5 "goready $http_authorization";\n'


# --- arguments


def arguments(**more):
    defaults = {key: spec.get("default") for key, spec in proxyconf.ARGUMENTS.items()}
    return {**defaults, "token": TOKEN, "insecure": True, **more}


def test_settings_of_arguments():
    found = proxyconf.settings(arguments(paths=["profile", "index"], users={"ops": 12345}))
    assert (found.listen, found.paths, found.users, found.seconds_max) == ("16060", ("index", "profile"), {"ops": "12345"}, 30)
    with pytest.raises(ValueError, match=r"^seconds_max: 0 is not from 1 to 3600; token: it is to have"):
        proxyconf.settings(arguments(seconds_max=0, token="short"))


@pytest.mark.parametrize(("services", "error"), [
    ([], "services: an empty list names nothing to serve"),
    ([{"name": "a", "backend": None, "allow": []}], "services: a: backend is missing: the base URL of its pprof"),
    ([{"name": "a", "backend": "http://127.0.0.1:1", "allow": []}] * 2, "services: a name is given twice"),
])
def test_no_services(services, error):
    with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
        proxyconf.services(arguments(services=services))
