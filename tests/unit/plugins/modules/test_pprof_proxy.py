# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is needed for is tried on one, by molecule/pprof_guard/tests/test_proxy.py."""
from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from ansible_collections.goready.preflight.plugins.module_utils import pprof_proxy, proxyconf, proxyproof
from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
from ansible_collections.goready.preflight.plugins.module_utils.proxyproof import Door
from ansible_collections.goready.preflight.plugins.modules import pprof_proxy as module

ROLE = Path(__file__).parents[4] / "roles/pprof_guard"
# The role's words for the module's options, and the same values.
OPTIONS = ("listen", "tls_certificate", "tls_key", "insecure", "token", "users", "paths", "seconds_max")


def test_the_documented_options_are_the_real_ones():
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert set(documented) == set(proxyconf.ARGUMENTS)
    for name, spec in proxyconf.ARGUMENTS.items():
        for key in ("type", "elements", "choices", "default"):
            given, said = spec.get(key), documented[name].get(key)
            assert sorted(given) == sorted(said) if isinstance(given, list) else given == said, (name, key)
    assert set(documented["services"]["suboptions"]) == set(proxyconf.ARGUMENTS["services"]["options"])


def test_the_role_has_every_setting_with_the_modules_default():
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    for name in OPTIONS:
        mine, spec = defaults[f"pprof_guard_proxy_{name}"], proxyconf.ARGUMENTS[name]
        assert (mine or None) == (spec.get("default") or None), name
        assert options[f"pprof_guard_proxy_{name}"]["default"] == mine
    assert sorted(options["pprof_guard_proxy_paths"]["choices"]) == sorted(proxyconf.PATHS)


@pytest.mark.parametrize(("mine", "theirs", "meet"), [
    ("0.0.0.0", "0.0.0.0", True), ("0.0.0.0", "10.0.0.5", True), ("10.0.0.5", "0.0.0.0", True), ("10.0.0.5", "10.0.0.6", False),
    ("10.0.0.5", "::", True), ("::", "10.0.0.5", True), ("::1", "127.0.0.1", False), ("::1", "0.0.0.0", False), ("::1", "::", True),
])
def test_which_sockets_of_one_port_meet(mine, theirs, meet):
    assert pprof_proxy._overlap(mine, theirs) is meet


@pytest.mark.parametrize(("text", "last"), [
    ("", "it said nothing"),
    ("nginx: [emerg] unknown directive \"x\" in /etc/nginx/a.conf:1\n", '[emerg] unknown directive "x" in /etc/nginx/a.conf:1'),
    ("first\n\nE: password=hunter2 \n", "E: password=[redacted]"),
])
def test_what_a_command_said_last(text, last):
    assert pprof_proxy._last(text) == last


@pytest.mark.parametrize(("door", "label"), [(Door("10.0.0.5", 80, False), "10.0.0.5:80"), (Door("::1", 443, True), "[::1]:443")])
def test_a_door_has_a_name(door, label):
    assert door.label == label


SETTINGS = proxyconf.Settings("127.0.0.1:16060", users={"ops": "word"}, token="t" * 32)
API = proxyconf.service("api", "http://127.0.0.1:6060", ["10.0.0.0/8"])


def test_what_is_tried_covers_pages_methods_and_credentials():
    tried = list(proxyproof.cases(API, SETTINGS))
    assert {one.method for one in tried} == {"GET", *proxyproof.METHODS}
    assert {one.path for one in tried if 200 in one.right} == {
        "/api/debug/pprof/", "/api/debug/pprof/heap", "/api/debug/pprof/allocs", "/api/debug/pprof/goroutine",
        "/api/debug/pprof/profile?seconds=1"}
    assert {"/api/debug/pprof/cmdline", "/api/debug/pprof/goroutine?debug=2", "/debug/vars"} <= {
        one.path for one in tried if one.right == (403,)}
    assert sorted(one.authorization.split(" ")[0] for one in tried if one.right == (401,)) == ["", "Basic", "Bearer"]
    assert "profile?seconds=1" not in "".join(one.path for one in proxyproof.cases(API, SETTINGS, quick=True) if 200 in one.right)


def test_without_the_index_another_page_is_asked():
    settings = SETTINGS._replace(paths=("heap",))
    tried = list(proxyproof.cases(API, settings))
    assert {one.path for one in tried if one.right == (401,)} == {"/api/debug/pprof/heap"}


def test_a_port_where_nobody_answers_is_a_fault_and_not_a_proof():
    proof = proxyproof.prove(Door("127.0.0.1", 1, False), [API], SETTINGS, deadline=time.monotonic() + 5)
    assert proof.faults == ("api: 127.0.0.1:1 does not answer: connection refused",)
    assert (proof.tried, proof.admitted) == (1, None)


# As apt 2.6 prints it (Debian 12), with one upgrade and one removal more.
SIMULATION = """\
NOTE: This is only a simulation!
Inst libssl3 [3.0.11-1~deb12u1] (3.0.17-1~deb12u3 Debian-Security:12/oldstable-security [amd64])
Inst nginx-common (1.22.1-9+deb12u3 Debian:12.12/oldstable [all])
Inst nginx (1.22.1-9+deb12u3 Debian:12.12/oldstable [amd64])
Remv lighttpd [1.4.69-1]
Conf nginx-common (1.22.1-9+deb12u3 Debian:12.12/oldstable [all])
Purg old* [1]
"""


def test_what_apt_would_do():
    assert pprof_proxy._simulated(SIMULATION) == (["nginx", "nginx-common"], ["libssl3"], ["lighttpd", "old*"])
    assert pprof_proxy._simulated("") == ([], [], [])


class Apt(pprof_proxy.Proxy):
    """A Proxy on a host where ``needs`` says which packages each one's removal takes with it, beside itself."""

    needs: dict[str, list[str]] = {}
    manual = ""

    def _run(self, argv, seconds=0.0):
        if argv[0] == "apt-mark":
            return 0, self.manual, ""
        if "unknown" in argv:
            return 100, "", "E: Unable to locate package unknown"
        asked = argv[argv.index("--simulate") + 1:]
        gone = sorted({name for one in asked for name in [one, *self.needs.get(one, [])]})
        return 0, "".join(f"Purg {name} [1]\n" for name in gone), ""


@pytest.mark.parametrize(("packages", "needs", "manual", "going"), [
    pytest.param(["libx", "nginx", "nginx-common"], {"nginx-common": ["nginx"], "libx": ["nginx"]}, "nginx\nvim\n",
                 ["nginx", "nginx-common", "libx"], id="all"),
    pytest.param(["libx", "nginx"], {"libx": ["nginx", "gimp"]}, "nginx\n", ["nginx"], id="somebody-else-needs-it"),
    pytest.param(["libx", "nginx"], {}, "nginx\nlibx\n", ["nginx"], id="somebody-wants-it"),
    pytest.param(["libx", "nginx"], {"nginx": ["needs-nginx"], "libx": ["nginx", "needs-nginx"]}, "nginx\n", [], id="nginx-is-needed"),
    pytest.param(["nginx", "unknown"], {}, "nginx\n", ["nginx"], id="apt-knows-it-no-longer"),
    pytest.param([], {}, "", [], id="none"),
])
def test_what_is_purged(tmp_path, packages, needs, manual, going):
    apt = Apt(Changes("pprof_proxy", root=str(tmp_path)), install=True)
    apt.needs, apt.manual = needs, manual
    found, taken = apt._removable(pprof_proxy.Nginx(True, True, True, False, tuple(packages)))
    assert found == going
    assert set(taken) <= set(packages)


def test_an_nginx_that_apt_cannot_purge_is_not_taken_for_somebody_elses(tmp_path):
    apt = Apt(Changes("pprof_proxy", root=str(tmp_path)), install=True)
    apt._apt = lambda arguments, check=True: (100, "", "E: Held packages were changed\n")
    with pytest.raises(pprof_proxy.ProxyError, match=r"^apt cannot purge nginx: E: Held packages were changed$"):
        apt._removable(pprof_proxy.Nginx(True, True, True, False, ("nginx",)))


def test_after_a_killed_apt_the_marks_say_nothing(tmp_path):
    apt = Apt(Changes("pprof_proxy", root=str(tmp_path)), install=True)
    apt.manual = "nginx\nlibx\n"
    assert apt._removable(pprof_proxy.Nginx(True, True, True, True, ("libx", "nginx")))[0] == ["nginx", "libx"]


@pytest.mark.parametrize("content", ["[1]", "7", "{", '{"packages": "nginx"}', '{"packages": ["-o"]}', '{"packages": [7]}'])
def test_a_marker_that_nobody_wrote(tmp_path, content):
    path = tmp_path / pprof_proxy.MARKER.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    proxy = pprof_proxy.Proxy(Changes("pprof_proxy", root=str(tmp_path)), install=True)
    with pytest.raises(pprof_proxy.ProxyError) as caught:
        proxy._nginx()
    assert str(caught.value) == f"{pprof_proxy.MARKER} is not as it was written; remove it where nginx is the host's own"


def test_the_marker_as_it_is_written(tmp_path):
    path = tmp_path / pprof_proxy.MARKER.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"packages": ["libc6:arm64", "nginx"], "state": "installed", "welcome": True}))
    assert pprof_proxy.Proxy(Changes("pprof_proxy", root=str(tmp_path)), install=True)._marker()["packages"] == ["libc6:arm64", "nginx"]


class Untaken(pprof_proxy.Proxy):
    """A Proxy whose apt cannot remove anything."""

    def _run(self, argv, seconds=0.0):
        return (100, "", "E: a lock") if "purge" in argv and "--simulate" not in argv else (0, "", "")

    def _others(self):
        return []


def test_what_could_not_be_purged_stays_known(tmp_path, monkeypatch):
    monkeypatch.setattr(pprof_proxy, "NGINX", "/bin/true")  # it is there still
    monkeypatch.setattr(pprof_proxy.units.Systemd, "show", lambda self, names: {one: {"ActiveState": "inactive"} for one in names})
    path = tmp_path / pprof_proxy.MARKER.lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text('{"packages": ["nginx"], "state": "installed"}')
    said = Untaken(Changes("pprof_proxy", root=str(tmp_path)), install=True)._take_back(
        pprof_proxy.Nginx(False, False, False, False, ()), installed=True)
    assert said == "and it could not all be taken back: apt-get purge failed: E: a lock"
    assert path.exists()


CERTIFICATE = Path(__file__).parents[2] / "fixtures" / "pprof" / "tls.pem"


@contextlib.contextmanager
def tls_server():
    """(port, the Authorization headers it has seen)."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words):
            return

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        one.socket = context.wrap_socket(one.socket, server_side=True)
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one.server_address[1], seen
        one.shutdown()


def test_credentials_go_to_the_hosts_own_certificate_only(tmp_path):
    own = pprof_proxy.fingerprint(SETTINGS._replace(certificate=str(CERTIFICATE), key=str(CERTIFICATE)))
    with tls_server() as (port, seen):
        assert proxyproof.ask(Door("127.0.0.1", port, True, own), "GET", "/", authorization="Bearer secret").status == 401
        assert seen == ["Bearer secret"]
        reply = proxyproof.ask(Door("127.0.0.1", port, True, "0" * 64), "GET", "/", authorization="Bearer secret")
        assert (reply.status, reply.error) == (None, "it shows another certificate than the host's file holds")
        assert seen == ["Bearer secret"]


def test_where_the_certificate_is_not_known_no_right_credentials_are_sent():
    with tls_server() as (port, seen):
        proof = proxyproof.prove(Door("127.0.0.1", port, True), [API], SETTINGS, deadline=time.monotonic() + 10, anonymous=True)
    assert proof.admitted is True
    assert seen
    assert not set(proxyproof.credentials(SETTINGS)) & set(seen)


@pytest.mark.parametrize("content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\n=A=\n-----END CERTIFICATE-----\n"])
def test_a_file_without_a_certificate_has_no_fingerprint(tmp_path, content):
    (tmp_path / "p.pem").write_text(content)
    assert pprof_proxy.fingerprint(SETTINGS._replace(certificate=str(tmp_path / "p.pem"))) == ""
    assert pprof_proxy.fingerprint(SETTINGS._replace(certificate=str(tmp_path / "missing.pem"))) == ""
    assert pprof_proxy.fingerprint(SETTINGS) == ""
