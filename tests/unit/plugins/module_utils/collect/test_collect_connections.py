# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subset ``connections`` against real servers on this machine, each with one fault (tests/lab/faulty_net.py)."""
from __future__ import annotations

import errno
import json
import shutil
import socket
import ssl
import threading
import time
from pathlib import Path

import faulty_net
import pytest
from ansible_collections.goready.preflight.plugins.module_utils.collect import connections
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
from hypothesis import given
from hypothesis import strategies as st

NETWORK = {"samples": 3, "window": 0.2, "timeout": 1, "redirects": 3}


@pytest.fixture
def listener():
    started = []

    def make(kind, **options):
        one = faulty_net.Listener(kind, **options).start()
        started.append(one)
        return one

    yield make
    for one in started:
        one.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    faulty_net.certificates(str(folder), "localhost")
    return folder


def context(*depends_on, budget=60.0, health=None, resolver=None, **network):
    service = {"name": "api", "depends_on": list(depends_on), **({"health": health} if health else {})}
    made = Context(services=[service], timeout=budget + 5, active={"budget": budget, "network": {**NETWORK, **network}})
    made.shared["connections.resolver"] = resolver or {}
    return made


def ask(*depends_on, **options):
    made = context(*depends_on, **options)
    found = connections.endpoints(made)
    assert made.errors == []
    assert json.loads(json.dumps(found)) == found
    return found


def one(url, **options):
    (found,) = ask(url, **options)
    return found


# ------------------------------------------------------------------------------------------------------- what is asked

@pytest.mark.parametrize(("url", "role", "expected"), [
    ("http://pay.example", "depends_on", ("http", "pay.example", 80, "/", "", "http")),
    ("https://u:p@pay.example:8443/a?b=c", "health", ("https", "pay.example", 8443, "/a?b=c", "", "http")),
    ("postgres://u:p%40@db1/x?sslmode=disable", "depends_on", ("postgres", "db1", 5432, "", "", "postgres")),
    ("mysql://u:p@[::1]:3307/x", "depends_on", ("mysql", "::1", 3307, "", "", "greeting")),
    ("redis://cache", "depends_on", ("redis", "cache", 6379, "", "", "")),
    ("rediss://:p@cache", "depends_on", ("rediss", "cache", 6379, "", "", "")),
    ("amqps://mq", "depends_on", ("amqps", "mq", 5671, "", "", "")),
    ("kafka://mq:9092", "depends_on", ("kafka", "mq", 9092, "", "", "")),
    ("TCP://10.0.0.1:9", "depends_on", ("tcp", "10.0.0.1", 9, "", "", "")),
    ("unix:///run/x.sock", "depends_on", ("unix", "", 0, "/", "/run/x.sock", "")),
    ("unix:///run/x.sock", "health", ("unix", "", 0, "/", "/run/x.sock", "http")),
    ("unix:///run/x.sock:/healthz", "depends_on", ("unix", "", 0, "/healthz", "/run/x.sock", "http")),
])
def test_parse(url, role, expected):
    found = connections.parse(url, role)
    assert (found.scheme, found.host, found.port, found.path, found.unix, found.asks) == expected


@pytest.mark.parametrize(("url", "message"), [
    ("ftp://x", "'ftp' is no scheme that can be asked"),
    ("nothing", "'nothing' is no scheme that can be asked"),
    ("tcp://x", "tcp://x names no port"),
    ("tcp://x:0", "tcp://x:0 names no host and port"),
    ("postgres://u:secret@:1", "postgres://u:[redacted]@:1 names no host and port"),
])
def test_no_endpoint(url, message):
    with pytest.raises(ValueError) as raised:
        connections.parse(url, "depends_on")
    assert str(raised.value) == message


@given(st.text(max_size=60), st.sampled_from(["tcp://", "postgres://", "http://", "unix://", ""]))
def test_any_text_is_an_endpoint_or_none(text, scheme):
    try:
        found = connections.parse(scheme + text, "depends_on")
    except ValueError:
        return
    assert found.unix or (found.host and 0 < found.port < 65536)


def test_who_declares_the_same_is_asked_once():
    found, wrong = connections.declared([
        {"name": "api", "depends_on": ["http://u:p@pay/x", "tcp://pay:1"], "health": "http://pay/x"},
        {"name": "worker", "depends_on": ["http://PAY/x", "tcp://pay"]},
    ], {"http://u:p@pay/x": {"ca_file": "/ca.pem"}})
    assert [(one.services, one.roles, one.options) for one in found] == [
        (["api", "worker"], ["depends_on", "health"], {"ca_file": "/ca.pem"}), (["api"], ["depends_on"], {})]
    assert wrong == ["depends_on of worker: tcp://pay names no port"]


def test_what_is_no_url_is_told_and_the_others_are_asked(listener):
    made = context("tcp://nowhere", f"tcp://127.0.0.1:{listener('silent').port}")
    assert [one["addresses"][0]["ok"] for one in connections.endpoints(made)] == [3]
    assert made.errors == [{"part": "connections.endpoints", "kind": "exception",
                            "message": "depends_on of api: tcp://nowhere names no port"}]


# ------------------------------------------------------------------------------------------------------- good ones

def test_http(listener):
    server = listener("http", delay=0.1, status=404)
    found = one(f"http://user:hunter2@127.0.0.1:{server.port}/x?token=0123456789abcdef")
    (address,) = found["addresses"]
    assert (found["url"], found["path"]) == (f"http://user:[redacted]@127.0.0.1:{server.port}/x?token=[redacted]", "/x?token=[redacted]")
    assert (found["error"], found["dns"], found["role"], found["services"]) == (None, None, ["depends_on"], ["api"])
    assert (address["asked"], address["ok"], address["status"], address["statuses"], address["errors"]) == (3, 3, 404, {"404": 3}, [])
    assert address["first_byte"]["min"] >= 100 and address["connect"]["min"] < 100 and address["tls"] is None
    assert found["slowest"]["first_byte"] >= 100 and found["phases"]["total"]["p95"] == found["slowest"]["total"]
    assert server.accepted == 3


def heard_by_server(answer, url):
    """What is found of a server that answers one request with ``answer``, and the request."""
    heard = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(5)

        def hear() -> None:
            connection, _peer = server.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)

        threading.Thread(target=hear, daemon=True).start()
        found = one(url.format(server.getsockname()[1]), samples=1)
    return found, heard[0]


def test_no_credentials_are_sent():
    found, heard = heard_by_server(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "http://user:hunter2@127.0.0.1:{}/")
    assert found["addresses"][0]["status"] == 401
    assert heard.startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:") and b"authorization" not in heard.lower()
    assert "hunter2" not in json.dumps(found)


@pytest.mark.parametrize(("kind", "url", "spoke", "timed", "asked"), [
    ("silent", "tcp://127.0.0.1:{}", False, False, 3),
    ("greeting", "tcp://127.0.0.1:{}", True, False, 1),
    ("greeting", "mysql://root:x@127.0.0.1:{}/", True, True, 1),
    ("postgres", "postgres://a:b@127.0.0.1:{}/x", True, True, 3),
    ("silent", "redis://127.0.0.1:{}", False, False, 3),
], ids=["tcp", "who greets is asked once", "mysql is asked once", "postgres", "redis"])
def test_other_protocols(listener, kind, url, spoke, timed, asked):
    found = one(url.format(listener(kind).port))
    (address,) = found["addresses"]
    assert (found["error"], found["greeting"], address["asked"], address["ok"]) == (None, spoke, asked, asked)
    assert (address["first_byte"] is not None) is timed


def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(5)
        found = one(f"unix://{path}")
    assert (found["unix"], found["host"], found["path"]) == (path, "", "")
    assert (found["addresses"][0]["address"], found["addresses"][0]["family"], found["addresses"][0]["ok"]) == (path, "unix", 3)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET], ids=["datagrams, as /dev/log", "packets"])
def test_a_unix_socket_of_another_type(tmp_path, kind):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(path)
        if kind == socket.SOCK_SEQPACKET:
            server.listen(5)
        found = one(f"unix://{path}")
    assert (found["error"], found["addresses"][0]["ok"], found["addresses"][0]["asked"]) == (None, 3, 3)
    assert one(f"unix://{path}")["error"] == {"phase": "connect", "kind": "refused", "message": "connection refused"}


@pytest.mark.parametrize(("path", "sent"), [("/stra\u00dfe?q=\u00fc", b"/stra%C3%9Fe?q=%C3%BC"), ("/a%20b?c=d&e", b"/a%20b?c=d&e")])
def test_a_path_is_sent_in_ascii(path, sent):
    found, heard = heard_by_server(b"HTTP/1.1 204 No Content\r\n\r\n", "http://127.0.0.1:{}%s" % path)
    assert found["addresses"][0]["status"] == 204
    assert heard.startswith(b"GET " + sent + b" HTTP/1.1\r\n")


def test_samples_are_spread_over_the_window(listener):
    began = time.monotonic()
    one(f"tcp://127.0.0.1:{listener('silent').port}", samples=4, window=2)
    assert 1.5 <= time.monotonic() - began < 3


def test_a_name_is_looked_up_by_the_host(listener):
    server = listener("http")
    found = one(f"http://localhost:{server.port}/", resolver={"nsswitch": "files dns", "nameservers": []})
    looked = found["dns"]
    assert looked["name"] == "localhost" and looked["error"] is None and looked["cold"] is not None
    assert (looked["asked"], looked["failed"]) == (3, 0) and looked["warm"]["min"] >= 0
    assert {"address": "127.0.0.1", "family": "inet"} in looked["addresses"]
    four = next(row for row in found["addresses"] if row["address"] == "127.0.0.1")
    assert four["ok"] == 3 and found["phases"]["dns"] == pytest.approx(looked["warm"])


def test_an_address_that_stands_twice_in_etc_hosts_is_asked_once(listener, monkeypatch):
    """Recorded: glibc 2.36, /etc/hosts with two lines "127.0.0.1 localhost"."""
    server, real = listener("http"), socket.getaddrinfo

    def twice(host, *args, **options):
        return 2 * real(host, *args, **options)

    monkeypatch.setattr(connections.socket, "getaddrinfo", twice)
    found = one(f"http://localhost:{server.port}/")
    assert [row["address"] for row in found["dns"]["addresses"]].count("127.0.0.1") == 1
    assert [row["address"] for row in found["addresses"]].count("127.0.0.1") == 1


def test_an_interim_answer_is_none():
    def serve(server: socket.socket) -> None:
        connection, _peer = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            time.sleep(0.1)
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(5)
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        (address,) = one(f"http://127.0.0.1:{server.getsockname()[1]}/", samples=1)["addresses"]
    assert (address["status"], address["ok"]) == (503, 1)


# ------------------------------------------------------------------------------------------------------- faults

@pytest.mark.parametrize(("kind", "options", "url", "phase", "error", "message"), [
    ("silent", {}, "http", "first_byte", "timeout", "no answer within 1 s"),
    ("silent", {}, "https", "tls", "timeout", "no TLS handshake within 1 s"),
    ("silent", {}, "postgres", "first_byte", "timeout", "no answer within 1 s"),
    ("silent", {}, "mysql", "first_byte", "timeout", "no greeting within 1 s"),
    ("greeting", {"text": "S"}, "postgres", "tls", "timeout", "no TLS handshake within 1 s"),
    ("greeting", {"text": "\x17\x00\x00\x00\xff\x10\x04Too many connections"}, "mysql", "first_byte", "failed",
     "the server greets with error 1040"),
    ("backlog", {"fill": 4}, "tcp", "connect", "timeout", "no connection within 1 s"),
    ("close", {}, "tcp", "first_byte", "closed", "the connection was accepted and closed at once"),
    ("greeting", {"text": "220 mail ready\r\n"}, "http", "first_byte", "not_http", None),
    ("greeting", {"text": "\x15\x03\x01\x00\x02\x02\x46"}, "http", "first_byte", "tls_expected", "it speaks TLS there, the URL says http"),
    ("greeting", {"text": "HTTP/1.1 200 OK\r\nX: "}, "http", "first_byte", "timeout", "no end of the answer's head within 1 s"),
], ids=["accepts and is silent", "no handshake", "postgres", "mysql", "postgres without a handshake",
        "mysql has too many", "full backlog", "closes", "smtp", "tls", "half a head"])
def test_a_fault_has_its_phase(listener, kind, options, url, phase, error, message):
    began = time.monotonic()
    found = one(f"{url}://127.0.0.1:{listener(kind, **options).port}")
    assert (found["error"]["phase"], found["error"]["kind"]) == (phase, error)
    assert message is None or found["error"]["message"] == message
    (address,) = found["addresses"]
    assert address["ok"] == 0 and address["asked"] in (1, 2, 3) and found["phases"] is None
    assert address["errors"][0]["count"] == address["asked"]
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(("kind", "errors"), [("reset", {"reset"}), ("close", {"closed", "reset"})])
def test_who_hangs_up(listener, kind, errors):
    """Whether a request meets the end or the reset that follows it is a race."""
    found = one(f"http://127.0.0.1:{listener(kind).port}")
    assert found["error"]["kind"] in errors and found["error"]["phase"] in ("connect", "first_byte")


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:{}", "https://127.0.0.1:{}"])
def test_nobody_listens(url):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = one(url.format(free.getsockname()[1]))
    assert found["error"] == {"phase": "connect", "kind": "refused", "message": "connection refused"}
    assert found["addresses"][0]["asked"] == 3


@pytest.mark.parametrize(("soon", "kind"), [(60.0, "failed"), (0.0, "unreachable")], ids=["at once", "after a while"])
def test_no_route_to_host(monkeypatch, soon, kind):
    """A packet filter that rejects (firewalld does) says so at once, a missing neighbour after 3 s: only that one is waited for."""
    def refuse(*_args):
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(connections, "NO_NEIGHBOUR_SECONDS", soon)
    monkeypatch.setattr(connections, "_connected", refuse)
    assert one("tcp://192.0.2.1:1", samples=1)["error"] == {"phase": "connect", "kind": kind, "message": "no route to host"}


FAILURES = {name: {"phase": phase, "kind": kind, "message": name} for name, phase, kind in (
    ("refused", "connect", "refused"), ("silent", "connect", "timeout"), ("handshake", "tls", "tls"), ("answer", "first_byte", "timeout"))}


@pytest.mark.parametrize(("first", "second", "told"), [
    ("refused", "silent", "silent"), ("silent", "refused", "silent"), ("refused", "answer", "answer"), ("handshake", "silent", "handshake"),
    ("refused", "refused", "refused"),
])
def test_of_several_addresses_the_one_that_comes_farthest_is_told(first, second, told):
    """Nobody listens at ::1 of localhost, and 127.0.0.1 does not answer."""
    run = connections._Run(context(), [connections.parse("tcp://localhost:1", "depends_on")], {})
    lanes = [connections.Lane(run.endpoints[0], family, (name, 0), connections.Lookup("localhost"), samples=[
        connections.Sample(failure=dict(FAILURES[failure]))]) for family, name, failure in (
            (socket.AF_INET6, "::1", first), (socket.AF_INET, "127.0.0.1", second))]
    assert connections._why_not(None, lanes, run.budget) == FAILURES[told]


def test_no_socket(tmp_path):
    assert one(f"unix://{tmp_path}/none")["error"] == {"phase": "connect", "kind": "missing", "message": "no such file or directory"}


def test_a_unix_socket_whose_queue_is_full(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen(0)
        client.connect(path)
        assert one(f"unix://{path}")["error"]["kind"] == "backlog"


def test_http2_without_tls_is_an_answer(listener):
    found = one(f"http://127.0.0.1:{listener('greeting', text=chr(0) * 3 + chr(4) + chr(0) * 5).port}")
    assert (found["error"], found["addresses"][0]["ok"], found["addresses"][0]["status"]) == (None, 3, None)


def test_a_name_that_is_none():
    found = one("tcp://nobody.invalid:1")
    assert found["error"]["phase"] == "dns" and found["error"]["kind"] in ("not_found", "no_answer", "timeout")
    assert found["addresses"] == [] and found["dns"]["addresses"] == []


def test_each_nameserver_is_asked_by_itself(listener, monkeypatch):
    from ansible_collections.goready.preflight.plugins.module_utils import resolvconf

    server = listener("dns", names={"localhost": ["127.0.0.1"]})
    monkeypatch.setattr(resolvconf, "PORT", server.port)
    monkeypatch.setattr(resolvconf.ask, "__kwdefaults__", {**resolvconf.ask.__kwdefaults__, "port": server.port})
    resolver = {"nsswitch": "files dns", "nameservers": ["127.0.0.1", "127.0.0.9"], "search": [], "ndots": 1}
    queries = one("tcp://localhost:1", resolver=resolver)["dns"]["queries"]
    assert [(row["server"], row["answer"], (row["error"] or {}).get("kind")) for row in queries] == [
        ("127.0.0.1", "NOERROR", None), ("127.0.0.9", None, "refused")]


def test_a_nameserver_that_answers_is_asked_for_every_name(listener, monkeypatch):
    from ansible_collections.goready.preflight.plugins.module_utils import resolvconf

    server = listener("dns", names={})
    monkeypatch.setattr(resolvconf.ask, "__kwdefaults__", {**resolvconf.ask.__kwdefaults__, "port": server.port})
    found = ask(*(f"tcp://n{number}.invalid:1" for number in range(12)), resolver={"nsswitch": "dns", "nameservers": ["127.0.0.1"]})
    assert [[query["answer"] for query in row["dns"]["queries"]] for row in found] == [["NXDOMAIN"]] * 12


@pytest.mark.parametrize("resolver", [
    {"nsswitch": "files", "nameservers": ["127.0.0.1"]},
    {"nsswitch": "files dns", "nameservers": ["127.0.0.1"], "options": ["use-vc"]},
], ids=["files only", "over TCP only"])
def test_nameservers_that_nobody_asks_are_not_asked(resolver):
    assert one("tcp://localhost:1", resolver=resolver)["dns"]["queries"] == []


def test_an_address_without_a_route_is_not_tried():
    run = connections._Run(context(), [connections.parse("tcp://x:1", "depends_on")], {})
    lane = connections.Lane(run.endpoints[0], socket.AF_INET6, ("2001:db8::1", 0, 0, 0), connections.Lookup("x"), routed=False)
    assert connections._why_not(None, [lane], run.budget) == {
        "phase": "connect", "kind": "no_route", "message": "the host has no route to 2001:db8::1"}
    assert (lane.facts()["routed"], lane.facts()["asked"]) == (False, 0)
    assert connections.routed(socket.AF_INET, ("127.0.0.1", 0))


# ------------------------------------------------------------------------------------------------------- TLS

@pytest.mark.parametrize(("name", "chain", "said", "fits"), [
    ("good", True, None, True),
    ("expired", False, "certificate has expired", True),
    ("future", False, "certificate is not yet valid", True),
    ("other", True, None, False),
    ("self", False, "self", True),
    ("soon", True, None, True),
])
def test_certificates(listener, certificates, name, chain, said, fits):
    server = listener("tls", certificate=str(certificates / f"{name}.pem"))
    url = f"https://localhost:{server.port}/"
    found = one(url, endpoints={url: {"ca_file": str(certificates / "ca.pem")}})
    address = next(row for row in found["addresses"] if row["address"] == "127.0.0.1")
    assert (address["ok"], address["status"], address["chain"]["ok"], address["name"]["ok"]) == (3, 200, chain, fits)
    assert said is None or said in address["chain"]["error"]
    assert address["protocol"] == "TLSv1.3" and address["tls"]["min"] > 0
    assert address["certificate"]["names"] == (["localhost"] if fits else ["elsewhere.example"])
    assert address["certificate"]["self_signed"] is (name == "self")
    assert address["name"]["error"] == (None if fits else "it is for elsewhere.example")


def test_without_verification_nothing_is_said_of_chain_and_name(listener, certificates):
    url = f"tls://localhost:{listener('tls', certificate=str(certificates / 'other.pem')).port}"
    found = one(url, endpoints={url: {"validate_certs": False}})
    address = next(row for row in found["addresses"] if row["address"] == "127.0.0.1")
    assert (address["ok"], address["chain"], address["name"]) == (3, {"ok": None, "error": None}, {"ok": None, "error": None})
    assert address["certificate"]["subject"] == "CN=elsewhere.example"


def test_a_client_certificate(listener, certificates):
    server = listener("tls", certificate=str(certificates / "good.pem"), client_ca=str(certificates / "ca.pem"))
    url = f"https://127.0.0.1:{server.port}/"
    without = one(url)
    assert without["error"]["kind"] == "client_certificate" and without["addresses"][0]["asked"] == 1
    mine = {"cert_file": str(certificates / "good.pem"), "ca_file": str(certificates / "ca.pem")}
    assert one(url, endpoints={url: mine})["addresses"][0]["status"] == 200


def test_postgres_with_tls_is_left_as_it_should_be(listener, certificates):
    """A server writes a line to its log for whoever leaves with a reset."""
    server = listener("postgres", certificate=str(certificates / "good.pem"))
    (address,) = one(f"postgres://a@127.0.0.1:{server.port}/x")["addresses"]
    assert (address["ok"], address["protocol"], address["certificate"]) == (3, "TLSv1.3", None) and address["tls"]["min"] > 0
    end = time.monotonic() + 2
    while len(server.ends) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    assert server.ends == ["b''"] * 3


def test_the_time_of_a_handshake_is_the_servers(listener, certificates, monkeypatch):
    real = connections.unverified

    def slowly():
        time.sleep(0.4)
        return real()

    monkeypatch.setattr(connections, "unverified", slowly)
    server = listener("postgres", certificate=str(certificates / "good.pem"))
    (address,) = one(f"postgres://a@127.0.0.1:{server.port}/x", samples=1)["addresses"]
    assert address["tls"]["p95"] < 400


def test_who_is_in_the_ca_file_is_trusted_whoever_signed_it(listener, certificates):
    """As Go does it (crypto/x509, Roots): an intermediate authority, or the server's certificate itself."""
    url = f"tls://localhost:{listener('tls', certificate=str(certificates / 'good.pem')).port}"
    found = one(url, endpoints={url: {"ca_file": str(certificates / "good.pem")}})
    assert next(row for row in found["addresses"] if row["address"] == "127.0.0.1")["chain"] == {"ok": True, "error": None}
    found = one(url, endpoints={url: {"ca_file": str(certificates / "other.pem")}})
    assert next(row for row in found["addresses"] if row["address"] == "127.0.0.1")["chain"]["ok"] is False


@pytest.mark.parametrize("file", ["ca.pem", "none.pem"], ids=["in the host's store", "nowhere"])
def test_the_store_is_the_hosts_and_not_the_interpreters(listener, certificates, monkeypatch, tmp_path, file):
    """A Python that is not the distribution's (/opt/python, conda) has a store of its own, or none."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nothing"))
    monkeypatch.setattr(connections.certificate, "CA_FILES", (str(tmp_path / "none"), str(certificates / file)))
    found = one(f"tls://localhost:{listener('tls', certificate=str(certificates / 'good.pem')).port}")
    assert next(row for row in found["addresses"] if row["address"] == "127.0.0.1")["chain"]["ok"] is (file == "ca.pem")


@pytest.fixture
def tls_server(certificates):
    """A server of TLS that speaks as little as it may: ``serve`` gets each connection after its handshake."""
    opened = []

    def make(serve, *, newest=None, client_ca=False, protocols=(), ciphers=""):
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        settings.load_cert_chain(certificates / "good.pem")
        if client_ca:
            settings.verify_mode = ssl.CERT_REQUIRED
            settings.load_verify_locations(certificates / "ca.pem")
        if newest:
            settings.maximum_version = newest
        if protocols:
            settings.set_alpn_protocols(list(protocols))
        if ciphers:
            settings.set_ciphers(ciphers)
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)

        def one_of(plain: socket.socket) -> None:
            try:
                with settings.wrap_socket(plain, server_side=True) as connection:
                    serve(connection)
            except OSError:
                plain.close()

        def accept() -> None:
            while True:
                try:
                    plain, _peer = server.accept()
                except OSError:
                    return
                threading.Thread(target=one_of, args=(plain,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return server.getsockname()[1]

    yield make
    for server in opened:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def only_http2(connection: ssl.SSLSocket) -> None:
    """As gRPC's servers in Go: who has not agreed on h2 is sent away (google.golang.org/grpc, credentials/tls.go)."""
    if connection.selected_alpn_protocol() == "h2":
        connection.sendall(bytes(3) + b"\x04" + bytes(5))  # an empty SETTINGS frame
        connection.recv(100)


def unverified(*urls):
    return {url: {"validate_certs": False} for url in urls}


@pytest.mark.parametrize("scheme", ["tls", "https"])
def test_a_server_of_http2_alone_is_there(tls_server, scheme):
    url = f"{scheme}://127.0.0.1:{tls_server(only_http2, protocols=['h2'])}"
    found = one(url, endpoints=unverified(url))
    (address,) = found["addresses"]
    assert (found["error"], address["ok"], address["asked"], address["status"]) == (None, 3, 3, None)
    assert address["certificate"]["subject"] == "CN=localhost"


@pytest.mark.parametrize("protocols", [(), ("h2", "http/1.1")], ids=["without ALPN", "HTTP/2 as well"])
@pytest.mark.parametrize(("scheme", "wait"), [("tls", False), ("https", False), ("https", True)])
def test_who_hangs_up_on_everybody_is_no_server_of_http2(tls_server, scheme, wait, protocols):
    """``wait``: it takes the request first (nginx: return 444)."""
    url = f"{scheme}://127.0.0.1:{tls_server(lambda connection: wait and connection.recv(1000), protocols=protocols)}"
    found = one(url, endpoints=unverified(url))
    assert found["error"]["kind"] in ("closed", "reset") and found["addresses"][0]["ok"] == 0


def test_a_client_certificate_in_tls_1_2(tls_server):
    """An alert handshake_failure: the same as where nothing is agreed on."""
    url = f"tls://127.0.0.1:{tls_server(lambda connection: None, newest=ssl.TLSVersion.TLSv1_2, client_ca=True)}"
    found = one(url, endpoints=unverified(url))
    assert (found["error"]["kind"], found["addresses"][0]["asked"]) == ("client_certificate", 1)


def test_no_common_cipher_is_no_client_certificate(tls_server):
    url = f"tls://127.0.0.1:{tls_server(print, newest=ssl.TLSVersion.TLSv1_2, ciphers='ECDHE-RSA-AES128-GCM-SHA256')}"
    error = one(url, endpoints=unverified(url))["error"]
    assert error["kind"] == "tls" and "HANDSHAKE_FAILURE" in error["message"]


def test_a_client_certificate_that_is_not_accepted(listener, certificates):
    """Go's servers answer bad_certificate to a wrong one, as to none."""
    url = f"tls://127.0.0.1:{listener('greeting', text=chr(21) + chr(3) + chr(3) + chr(0) + chr(2) + chr(2) + chr(42)).port}"
    assert one(url, endpoints=unverified(url))["error"]["kind"] == "client_certificate"
    mine = {"cert_file": str(certificates / "good.pem"), "validate_certs": False}
    assert one(url, endpoints={url: mine})["error"] == {
        "phase": "tls", "kind": "tls", "message": "the server does not accept the client certificate of cert_file"}


@pytest.mark.parametrize(("host", "good"), [("b\u00fccher.example", True), ("b\u00e4cher.example", False)])
def test_a_name_beyond_ascii_is_compared_as_it_stands_in_certificates(monkeypatch, host, good):
    from ansible_collections.goready.preflight.plugins.module_utils import certificate

    shown = certificate.Certificate("", "", "", "", ("xn--bcher-kva.example",), False)
    monkeypatch.setattr(connections.certificate, "parse", lambda _der: shown)
    assert connections.describe(b"x", host, True)["name"]["ok"] is good
    assert connections.parse(f"http://{host}/", "depends_on").target.authority.isascii()


@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_a_file_that_cannot_be_used_is_told(listener, certificates, tmp_path, key):
    url = f"https://127.0.0.1:{listener('tls', certificate=str(certificates / 'good.pem')).port}/"
    assert one(url, endpoints={url: {key: f"{tmp_path}/none"}})["error"] == {
        "phase": "tls", "kind": "settings", "message": f"{tmp_path}/none cannot be used: no such file or directory"}
    (tmp_path / "empty").write_text("nothing")
    assert one(url, endpoints={url: {key: f"{tmp_path}/empty"}})["error"]["message"] == (
        f"{tmp_path}/empty cannot be used: it holds no certificate or key that fits")


# ------------------------------------------------------------------------------------------------------- redirects

def test_redirects_are_followed_to_declared_hosts_only(listener):
    end = listener("http", status=204)
    middle = listener("http", status=301, location=f"http://127.0.0.1:{end.port}/end?password=hunter2")
    url = f"http://127.0.0.1:{listener('http', status=302, location=f'http://127.0.0.1:{middle.port}/').port}/"
    hops = one(url, samples=1)["addresses"][0]["redirects"]
    assert [(hop["status"], hop["followed"], hop.get("answer"), hop["reason"]) for hop in hops] == [
        (302, True, 301, None), (301, True, 204, None)]
    assert hops[1]["to"].endswith("/end?password=[redacted]")
    away = listener("http", status=302, location="http://192.0.2.1/x")
    hops = one(f"http://127.0.0.1:{away.port}/", samples=1)["addresses"][0]["redirects"]
    assert hops == [{"status": 302, "to": "http://192.0.2.1/x", "followed": False, "reason": "http://192.0.2.1/x is not declared"}]


def test_a_server_elsewhere_does_not_choose_what_a_declared_one_is_asked(listener):
    """127.0.0.1 and localhost are two hosts: what the one says of the other is followed to a declared URL, and to nothing else of it."""
    inner = listener("http", status=204)
    declared = f"http://127.0.0.1:{inner.port}/healthz"
    outer = {path: f"http://localhost:{listener('http', status=302, location=f'http://127.0.0.1:{inner.port}{path}').port}/"
             for path in ("/healthz", "/quit")}
    found = {endpoint["url"]: [hop for address in endpoint["addresses"] for hop in address["redirects"]]
             for endpoint in ask(declared, *outer.values(), samples=1)}
    assert [hop["followed"] for hop in found[outer["/healthz"]]] == [True]
    assert [(hop["followed"], hop["reason"]) for hop in found[outer["/quit"]]] == [
        (False, f"http://127.0.0.1:{inner.port}/quit is not declared")]


@pytest.mark.parametrize("location", ["http://[::1", "//["])
def test_a_redirect_that_is_no_url(listener, location):
    """Chosen by the server: it is told at its address, and is no error of the collector."""
    hops = one(f"http://127.0.0.1:{listener('http', status=302, location=location).port}/", samples=1)["addresses"][0]["redirects"]
    assert hops == [{"status": 302, "to": location, "followed": False, "reason": "it is no URL"}]


def test_redirects_have_a_limit(listener):
    server = listener("http", status=302, location="/again")
    hops = one(f"http://127.0.0.1:{server.port}/", samples=1, redirects=2)["addresses"][0]["redirects"]
    assert [hop["followed"] for hop in hops] == [True, True, False] and hops[-1]["reason"] == "the limit of 2 redirects is reached"
    assert server.accepted == 3


# ------------------------------------------------------------------------------------------------------- bounds

def test_many_silent_ones_take_as_long_as_one(listener):
    servers = [listener("silent") for _number in range(20)]
    good = listener("http")
    began = time.monotonic()
    found = ask(*(f"http://127.0.0.1:{server.port}/" for server in servers), f"http://127.0.0.1:{good.port}/")
    assert time.monotonic() - began < 6
    assert [row["addresses"][0]["asked"] for row in found] == [2] * 20 + [3]
    assert found[-1]["error"] is None


@pytest.fixture
def slow_names(monkeypatch):
    """Every look-up of a name takes 4 s."""
    real = socket.getaddrinfo

    def slowly(host, *args, flags=0, **options):
        if not flags & socket.AI_NUMERICHOST:
            time.sleep(4)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *args, flags=flags, **options)

    monkeypatch.setattr(connections.socket, "getaddrinfo", slowly)


@pytest.mark.usefixtures("slow_names")
def test_names_that_hang_cost_their_own_time_alone(listener):
    server = listener("http")
    found = ask(*(f"tcp://n{number}.test:1" for number in range(60)), f"http://127.0.0.1:{server.port}/", budget=2)
    assert {row["error"]["kind"] for row in found[:-1]} == {"budget"}
    assert (found[-1]["error"], found[-1]["addresses"][0]["ok"]) == (None, 3)


@pytest.mark.usefixtures("slow_names")
def test_a_silent_nameserver_is_not_asked_for_every_name(listener, monkeypatch):
    from ansible_collections.goready.preflight.plugins.module_utils import resolvconf

    server = listener("dns", silent=True)
    monkeypatch.setattr(connections, "QUERY_SECONDS", 0.2)
    monkeypatch.setattr(resolvconf.ask, "__kwdefaults__", {**resolvconf.ask.__kwdefaults__, "port": server.port})
    found = ask(*(f"tcp://n{number}.test:1" for number in range(30)), budget=2, resolver={"nsswitch": "dns", "nameservers": ["127.0.0.1"]})
    queries = [query for row in found for query in row["dns"]["queries"]]
    assert connections.GIVE_UP <= len(queries) <= connections.QUESTIONS + connections.GIVE_UP
    assert {query["error"]["kind"] for query in queries} == {"timeout"}


def test_what_the_budget_cuts_off_says_so(listener):
    began = time.monotonic()
    made = context(f"http://127.0.0.1:{listener('silent').port}/", budget=0.3)
    (found,) = connections.endpoints(made)
    assert time.monotonic() - began < 1.5
    assert found["error"] == {"phase": None, "kind": "budget", "message": "the budget of 0.3 s (preflight_budget) was used up"}


def test_a_look_up_that_the_budget_cuts_off_is_no_dead_name(listener, monkeypatch):
    """A slow one, with less time left than it would have had; and a nameserver that had no time to be silent."""
    from ansible_collections.goready.preflight.plugins.module_utils import resolvconf

    server, real = listener("dns", silent=True), socket.getaddrinfo

    def slowly(host, *args, flags=0, **options):
        if not flags & socket.AI_NUMERICHOST:
            time.sleep(2)
        return real(host, *args, flags=flags, **options)

    monkeypatch.setattr(connections.socket, "getaddrinfo", slowly)
    monkeypatch.setattr(resolvconf.ask, "__kwdefaults__", {**resolvconf.ask.__kwdefaults__, "port": server.port})
    found = one("tcp://localhost:1", budget=0.7, resolver={"nsswitch": "dns", "nameservers": ["127.0.0.1"]})
    assert found["error"] == {"phase": None, "kind": "budget", "message": "the budget of 0.7 s (preflight_budget) was used up"}
    assert (found["dns"]["cold"], found["dns"]["error"], found["dns"]["queries"]) == (None, None, [])


def test_more_than_are_asked():
    found = ask(*(f"unix:///nowhere/{number}" for number in range(connections.ENDPOINTS_LIMIT + 2)), samples=1, window=0)
    assert len(found) == connections.ENDPOINTS_LIMIT + 2
    assert found[-1]["error"] == {"phase": None, "kind": "limit", "message": "more than 64 endpoints are declared"}
    assert found[0]["error"]["kind"] == "missing"


def test_a_job_that_breaks_leaves_the_others():
    done = []
    schedule = connections.Schedule(end=time.monotonic() + 2, workers=2)

    def breaks() -> None:
        raise RuntimeError("no")

    schedule.add(0, breaks)
    schedule.add(time.monotonic() + 0.1, lambda: done.append(1))
    schedule.run()
    assert done == [1] and [str(exc) for exc in schedule.failures] == ["no"]


def test_a_job_that_hangs_is_left_behind():
    schedule = connections.Schedule(end=time.monotonic() + 0.3, workers=2)
    schedule.add(0, lambda: time.sleep(3))
    began = time.monotonic()
    schedule.run()
    assert time.monotonic() - began < 1


def test_the_resolver(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("nameserver 192.0.2.1\noptions ndots:2\n")
    (tmp_path / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    found = connections.resolver(Context(root=str(tmp_path)))
    assert (found["nameservers"], found["ndots"], found["nsswitch"], found["source"], found["link"]) == (
        ["192.0.2.1"], 2, "files dns", "/etc/resolv.conf", None)


def test_a_host_without_resolv_conf(tmp_path):
    found = connections.resolver(Context(root=str(tmp_path)))
    assert (found["nameservers"], found["source"]) == (["127.0.0.1"], "")


# ------------------------------------------------------------------------------------------------------- documentation

def _paths(value, prefix):
    if isinstance(value, dict) and not prefix.endswith(".statuses"):
        for key, item in value.items():
            yield f"{prefix}.{key}"
            yield from _paths(item, f"{prefix}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, prefix)


def _documented(entries, prefix):
    for key, entry in entries.items():
        yield f"{prefix}.{key}"
        yield from _documented(entry.get("contains") or {}, f"{prefix}.{key}")


RECORDED = sorted((Path(__file__).parents[3] / "fixtures" / "connections").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_every_key_is_documented(path):
    import yaml
    from ansible_collections.goready.preflight.plugins.modules import readiness_facts

    described = yaml.safe_load(readiness_facts.RETURN)["facts"]["contains"]["connections"]["contains"]
    found = set(_paths(json.loads(path.read_text())["connections"], "connections"))
    assert found - set(_documented(described, "connections")) == set()
    assert found > {"connections.resolver.ndots", "connections.endpoints.dns.queries.ms"}
