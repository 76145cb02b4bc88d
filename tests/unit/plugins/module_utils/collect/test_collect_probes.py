# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes of custom checks, against real commands, files, servers and the resolver."""
from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils.collect import probes
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context

CERTIFICATE = Path(__file__).parents[3] / "fixtures" / "pprof" / "tls.pem"
PROMETHEUS = {
    "up": {"resultType": "vector", "result": [{"metric": {"job": "api"}, "value": [1.0, "1"]}]},
    "two": {"resultType": "vector", "result": [
        {"metric": {"i": "a"}, "value": [1.0, "1.5"]}, {"metric": {"i": "b"}, "value": [1, "NaN"]}]},
    "none": {"resultType": "vector", "result": []},
    "scalar": {"resultType": "scalar", "result": [1.0, "42"]},
    "range": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1.0, "1"]]}]},
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, _mark, query = self.path.partition("?")
        body, status, headers = b"hello", 200, {}
        if path == "/status/500":
            status = 500
        elif path == "/redirect":
            status, headers = 302, {"Location": "/elsewhere"}
        elif path == "/big":
            body = b"x" * 200_000
        elif path == "/secret":
            body, headers = b'{"password": "hunter2"}', {"Set-Cookie": "session=0123456789abcdef0123456789abcdef; HttpOnly"}
        elif path == "/echo":
            body = json.dumps({key.lower(): value for key, value in self.headers.items()}).encode()
        elif path == "/who":
            body = base64.b64decode(self.headers["Authorization"].partition(" ")[2]).replace(b":", b", ").replace(b"@", b", ")
        elif path == "/hang":
            time.sleep(3)
        elif path == "/drip":
            self.send_response(200)
            self.end_headers()
            for _count in range(40):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
            return
        elif path == "/api/v1/query":
            name = query.partition("=")[2]
            if name == "bad":
                status, body = 400, b'{"status": "error", "error": "parse error"}'
            elif name == "html":
                body = b"<html>no Prometheus</html>"
            else:
                body = json.dumps({"status": "success", "data": PROMETHEUS[name]}).encode()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def serve(tls: bool) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    yield from serve(False)


@pytest.fixture(scope="module")
def tls_port() -> Iterator[int]:
    yield from serve(True)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(**probe: Any) -> dict[str, Any]:
    return probes.run_probe(probe, Context())


class TestValidate:
    @pytest.mark.parametrize("probe", [
        {"kind": "command", "command": ["true"]},
        {"kind": "command", "command": "redis-cli -p 6379 ping", "timeout": 30},
        {"kind": "command", "command": "a | b", "shell": True, "chdir": "/opt"},
        {"kind": "file", "path": "/etc/hosts", "content": True, "sha256": False},
        {"kind": "http", "url": "https://user:pw@[::1]:8443/a?b=c", "headers": {"X-A": "b"}, "verify_tls": False, "timeout": 0.5},
        {"kind": "tcp", "host": "db1", "port": 5432},
        {"kind": "dns", "name": "example.org", "family": "ipv4"},
        {"kind": "prometheus", "url": "http://prom:9090", "query": "up{job=\"api\"} == 1"},
    ], ids=lambda probe: probe["kind"])
    def test_good(self, probe: dict[str, Any]) -> None:
        probes.validate_probe(probe)

    @pytest.mark.parametrize(("probe", "message"), [
        ([], "[] is not a mapping"),
        ({}, "kind: None is not one of command, file, http, tcp, dns, prometheus"),
        ({"kind": "icmp"}, "kind: 'icmp' is not one of command, file, http, tcp, dns, prometheus"),
        ({"kind": ["http"]}, "kind: ['http'] is not one of command, file, http, tcp, dns, prometheus"),
        ({"kind": "tcp", "host": "db"}, "the key port of a tcp probe is missing; it is a whole number from 1 to 65535"),
        ({"kind": "tcp", "host": "db", "port": "5432"}, "port: '5432' is not a whole number from 1 to 65535"),
        ({"kind": "tcp", "host": "db", "port": 0}, "port: 0 is not a whole number from 1 to 65535"),
        ({"kind": "tcp", "host": "db", "port": True}, "port: True is not a whole number from 1 to 65535"),
        ({"kind": "tcp", "host": "", "port": 1}, "host: '' is not a host name or an address"),
        ({"kind": "tcp", "host": "db", "port": 1, "url": "x"},
         "unknown key 'url' of a tcp probe; allowed are kind, host, port, timeout"),
        ({"kind": "dns", "name": "x", "timeout": 31}, "timeout: 31 is not a number of seconds above 0, at most 30"),
        ({"kind": "dns", "name": "x", "timeout": 0}, "timeout: 0 is not a number of seconds above 0, at most 30"),
        ({"kind": "dns", "name": "x", "timeout": "5"}, "timeout: '5' is not a number of seconds above 0, at most 30"),
        ({"kind": "dns", "name": "x", "timeout": float("nan")}, "timeout: nan is not a number of seconds above 0, at most 30"),
        ({"kind": "dns", "name": "x", "family": "ipv5"}, "family: 'ipv5' is not one of any, ipv4, ipv6"),
        ({"kind": "dns", "name": "x", "family": ["any"]}, "family: ['any'] is not one of any, ipv4, ipv6"),
        ({"kind": "http", "url": "ftp://x"}, "url: 'ftp://x' is not an http:// or https:// URL"),
        ({"kind": "http", "url": "http://"}, "url: 'http://' is not an http:// or https:// URL"),
        ({"kind": "http", "url": "http://x:99999/"}, "url: 'http://x:99999/' is not an http:// or https:// URL"),
        ({"kind": "http", "url": "http://x/a b"}, "url: 'http://x/a b' is not an http:// or https:// URL"),
        ({"kind": "http", "url": "http://x/\r\nHost: y"}, "url: 'http://x/\\r\\nHost: y' is not an http:// or https:// URL"),
        ({"kind": "http", "url": "http://x", "headers": {"A": "b\r\nC: d"}},
         "headers: {'A': 'b\\r\\nC: d'} is not a mapping of header names to strings without line breaks"),
        ({"kind": "http", "url": "http://x", "headers": {"A": 1}},
         "headers: {'A': 1} is not a mapping of header names to strings without line breaks"),
        ({"kind": "file", "path": "etc/hosts"}, "path: 'etc/hosts' is not an absolute path"),
        ({"kind": "command", "command": []}, "command: [] is not a list of strings, or one string that shlex can split"),
        ({"kind": "command", "command": "echo 'x"},
         "command: \"echo 'x\" is not a list of strings, or one string that shlex can split"),
        ({"kind": "command", "command": ["a", 1]},
         "command: ['a', 1] is not a list of strings, or one string that shlex can split"),
        ({"kind": "command", "command": ["a"], "shell": True},
         "command: ['a'] is not one string, which a probe with shell needs"),
        ({"kind": "command", "command": "a", "shell": "yes"}, "shell: 'yes' is not true or false"),
    ], ids=str)
    def test_faults(self, probe: Any, message: str) -> None:
        with pytest.raises(ValueError) as caught:
            probes.validate_probe(probe)
        assert str(caught.value) == message

    VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()) | st.dictionaries(
        st.text(), st.text())

    @given(st.dictionaries(
        st.sampled_from(["kind", "command", "path", "url", "headers", "host", "port", "name", "query", "timeout"]) | st.text(),
        VALUES | st.sampled_from(["http", "file", "tcp", "dns", "command", "prometheus"])))
    def test_any_mapping(self, probe: dict[str, Any]) -> None:
        try:
            probes.validate_probe(probe)
        except ValueError:
            answer = probes.run_probe(probe, Context())
            assert (answer["ok"], answer["error"][:11]) == (False, "not a probe")

    @given(st.text() | st.from_regex(r"https?://[a-z@:\\[\\]0-9/?#.%]*", fullmatch=True))
    def test_any_url(self, url: str) -> None:
        try:
            scheme, host, port, target, _userinfo = probes._split(url)
        except ValueError:
            return
        assert scheme in ("http", "https") and host and 0 < port < 65536 and target.startswith("/")


@pytest.mark.parametrize(("url", "expected"), [
    ("http://x", ("http", "x", 80, "/", None)),
    ("HTTPS://x?a=b#c", ("https", "x", 443, "/?a=b", None)),
    ("http://u:p@x:81/a/b?c#d", ("http", "x", 81, "/a/b?c", "u:p")),
    ("http://[::1]:81/", ("http", "::1", 81, "/", None)),
    ("http://[::1]", ("http", "::1", 80, "/", None)),
    ("http://x/a@b", ("http", "x", 80, "/a@b", None)),
])
def test_split(url: str, expected: tuple[str, str, int, str, str | None]) -> None:
    assert probes._split(url) == expected


class TestCommand:
    @pytest.mark.parametrize(("probe", "expected"), [
        pytest.param({"command": ["sh", "-c", "echo out; echo err >&2; exit 3"]}, (3, "out", "err"), id="list"),
        pytest.param({"command": "echo 'a b' \"c\""}, (0, "a b c", ""), id="string"),
        pytest.param({"command": "echo $HOME; echo | wc -l"}, (0, "$HOME; echo | wc -l", ""), id="no-shell"),
        pytest.param({"command": "echo a | tr a b", "shell": True}, (0, "b", ""), id="shell"),
        pytest.param({"command": "pwd", "chdir": "/usr"}, (0, "/usr", ""), id="chdir"),
        pytest.param({"command": "kill -15 $$", "shell": True}, (-15, "", ""), id="killed"),
        pytest.param({"command": "echo --password=hunter2"}, (0, "--password=[redacted]", ""), id="secret"),
    ])
    def test_answers(self, probe: dict[str, Any], expected: tuple[int, str, str]) -> None:
        answer = ask(kind="command", **probe)
        assert (answer["rc"], answer["stdout"], answer["stderr"]) == expected
        assert (answer["kind"], answer["ok"], answer["error"]) == ("command", True, None)
        assert answer["ms"] > 0

    @pytest.mark.parametrize(("probe", "error"), [
        ({"command": ["no-such-command"]}, "Unavailable: no-such-command is not installed"),
        ({"command": ["sleep", "60"], "timeout": 0.2}, "sleep did not end within 0.2 s"),
        ({"command": ["true"], "chdir": "/no/such"}, "[Errno 2] No such file or directory: '/no/such'"),
    ])
    def test_failures(self, probe: dict[str, Any], error: str) -> None:
        answer = ask(kind="command", **probe)
        assert (answer["ok"], answer["error"]) == (False, error)
        assert "rc" not in answer

    def test_output_is_cut(self) -> None:
        answer = ask(kind="command", command=["head", "-c", "1000000", "/dev/zero"])
        assert (answer["rc"], len(answer["stdout"])) == (0, 65536)


class TestFile:
    def test_regular(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.write_text("token: 1\n")
        path.chmod(0o640)
        answer = ask(kind="file", path=str(path), content=True, sha256=True)
        assert answer["ok"] and answer["exists"]
        assert [answer[key] for key in ("type", "mode", "size", "link", "truncated")] == ["file", "0640", 9, None, False]
        assert answer["sha256"] == hashlib.sha256(b"token: 1\n").hexdigest()
        assert answer["content"] == "token: [redacted]\n"

    def test_only_what_was_asked_for(self, tmp_path: Path) -> None:
        assert not {"content", "sha256"} & set(ask(kind="file", path=str(tmp_path)))

    def test_absent(self, tmp_path: Path) -> None:
        answer = ask(kind="file", path=str(tmp_path / "x"), content=True)
        assert (answer["ok"], answer["exists"], answer["mode"]) == (True, False, None)

    def test_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        assert ask(kind="file", path=str(tmp_path / "x" / "y"))["exists"] is False

    def test_link(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("1")
        (tmp_path / "y").symlink_to("x")
        (tmp_path / "z").symlink_to("gone")
        answer = ask(kind="file", path=str(tmp_path / "y"), content=True)
        assert (answer["link"], answer["type"], answer["content"]) == ("x", "file", "1")
        assert [ask(kind="file", path=str(tmp_path / "z"))[key] for key in ("exists", "link")] == [False, "gone"]

    def test_a_fifo_is_not_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "x")
        answer = ask(kind="file", path=str(tmp_path / "x"), content=True, sha256=True, timeout=1)
        assert (answer["ok"], answer["type"]) == (True, "fifo")
        assert "content" not in answer

    def test_cut(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"x" * 100_000)
        answer = ask(kind="file", path=str(tmp_path / "x"), content=True)
        assert (len(answer["content"]), answer["truncated"], answer["size"]) == (65536, True, 100_000)

    def test_too_large_for_a_checksum(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "CHECKSUM_LIMIT", 3)
        (tmp_path / "x").write_bytes(b"1234")
        assert ask(kind="file", path=str(tmp_path / "x"), sha256=True)["sha256"] is None

    def test_undecodable(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"a\xffb")
        assert ask(kind="file", path=str(tmp_path / "x"), content=True)["content"] == "a\ufffdb"

    def test_no_permission(self, tmp_path: Path) -> None:
        """As an ordinary user, also where the tests run as root."""
        (tmp_path / "x").mkdir(mode=0)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                os.write(writer, json.dumps(probes._run("file", {"path": str(tmp_path / "x/y")}, Context())).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answers:
            answer = json.load(answers)
        os.waitpid(child, 0)
        assert (answer["ok"], answer["error"][:30]) == (False, "[Errno 13] Permission denied: ")


class TestHttp:
    def test_answer(self, port: int) -> None:
        answer = ask(kind="http", url=f"http://127.0.0.1:{port}/")
        assert [answer[key] for key in ("ok", "error", "status", "body", "truncated")] == [True, None, 200, "hello", False]
        assert answer["headers"]["content-length"] == "5"
        assert answer["address"] == "127.0.0.1"
        assert 0 <= answer["connect_ms"] <= answer["first_byte_ms"] <= answer["ms"]

    def test_an_error_page_is_an_answer(self, port: int) -> None:
        answer = ask(kind="http", url=f"http://127.0.0.1:{port}/status/500")
        assert (answer["ok"], answer["status"]) == (True, 500)

    def test_redirects_are_not_followed(self, port: int) -> None:
        answer = ask(kind="http", url=f"http://127.0.0.1:{port}/redirect")
        assert (answer["status"], answer["headers"]["location"]) == (302, "/elsewhere")

    def test_what_is_sent(self, port: int) -> None:
        answer = ask(kind="http", url=f"http://me:p%40ss@localhost:{port}/echo#x", headers={"X-Test": "1"})
        sent = json.loads(answer["body"])
        assert (sent["x-test"], sent["host"], sent["connection"]) == ("1", f"localhost:{port}", "close")
        assert sent["authorization"] == "[redacted]"  # in the answer; that it was right is seen below

    def test_basic_authentication(self, port: int) -> None:
        answer = ask(kind="http", url=f"http://me:p%40ss@localhost:{port}/who")
        assert answer["body"] == "me, p, ss"

    def test_secrets(self, port: int) -> None:
        answer = ask(kind="http", url=f"http://127.0.0.1:{port}/secret")
        assert "hunter2" not in json.dumps(answer) and "0123456789abcdef" not in json.dumps(answer)
        assert json.loads(answer["body"]) == {"password": "[redacted]"}

    def test_cut(self, port: int) -> None:
        answer = ask(kind="http", url=f"http://127.0.0.1:{port}/big")
        assert (len(answer["body"]), answer["truncated"]) == (65536, True)

    @pytest.mark.parametrize("path", ["/hang", "/drip"])
    def test_deadline(self, port: int, path: str) -> None:
        started = time.monotonic()
        answer = ask(kind="http", url=f"http://127.0.0.1:{port}{path}", timeout=0.5)
        assert not answer["ok"] and answer["error"]
        assert time.monotonic() - started < 1.5

    def test_refused(self, closed_port: int) -> None:
        answer = ask(kind="http", url=f"http://127.0.0.1:{closed_port}/")
        assert (answer["ok"], answer["error"]) == (False, f"[Errno 111] 127.0.0.1 port {closed_port}: Connection refused")

    def test_tls_is_verified(self, tls_port: int) -> None:
        answer = ask(kind="http", url=f"https://localhost:{tls_port}/")
        assert not answer["ok"] and "CERTIFICATE_VERIFY_FAILED" in answer["error"]

    def test_tls_unverified(self, tls_port: int) -> None:
        answer = ask(kind="http", url=f"https://localhost:{tls_port}/", verify_tls=False)
        assert (answer["ok"], answer["status"]) == (True, 200)

    def test_not_http(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            def answer_oddly() -> None:
                connection, _address = server.accept()
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")
                connection.close()

            threading.Thread(target=answer_oddly, daemon=True).start()
            answer = ask(kind="http", url=f"http://127.0.0.1:{server.getsockname()[1]}/")
        assert (answer["ok"], answer["error"]) == (False, "BadStatusLine: SSH-2.0-OpenSSH\r\n")


class TestTcpAndDns:
    def test_open(self, port: int) -> None:
        answer = ask(kind="tcp", host="127.0.0.1", port=port)
        assert (answer["ok"], answer["address"], answer["port"]) == (True, "127.0.0.1", port)

    def test_closed(self, closed_port: int) -> None:
        answer = ask(kind="tcp", host="127.0.0.1", port=closed_port)
        assert (answer["ok"], answer["error"]) == (False, f"[Errno 111] 127.0.0.1 port {closed_port}: Connection refused")

    def test_name(self) -> None:
        answer = ask(kind="dns", name="localhost", family="ipv4")
        assert (answer["ok"], answer["addresses"]) == (True, ["127.0.0.1"])

    def test_no_such_name(self) -> None:
        answer = ask(kind="dns", name="no-such-host.invalid")
        assert (answer["ok"], answer["addresses"]) == (False, [])
        assert answer["error"]

    def test_a_resolver_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: time.sleep(20))
        started = time.monotonic()
        answer = ask(kind="dns", name="x", timeout=0.2)
        assert (answer["ok"], answer["error"]) == (False, "no answer within 0.2 s")
        assert time.monotonic() - started < 1


class TestPrometheus:
    @pytest.mark.parametrize(("query", "kind", "value", "series"), [
        ("up", "vector", 1.0, [{"labels": {"job": "api"}, "value": 1.0}]),
        ("two", "vector", None, [{"labels": {"i": "a"}, "value": 1.5}, {"labels": {"i": "b"}, "value": None}]),
        ("none", "vector", None, []),
        ("scalar", "scalar", 42.0, [{"labels": {}, "value": 42.0}]),
    ])
    def test_answers(self, port: int, query: str, kind: str, value: float | None, series: list[Any]) -> None:
        answer = ask(kind="prometheus", url=f"http://127.0.0.1:{port}/", query=query)
        assert (answer["ok"], answer["type"], answer["value"], answer["series"]) == (True, kind, value, series)

    @pytest.mark.parametrize(("query", "error"), [
        ("bad", "Prometheus says: parse error"),
        ("html", "HTTP 200, not a Prometheus answer: <html>no Prometheus</html>"),
        ("range", "HTTP 200, not a Prometheus answer: {"),
    ])
    def test_failures(self, port: int, query: str, error: str) -> None:
        answer = ask(kind="prometheus", url=f"http://127.0.0.1:{port}", query=query)
        assert not answer["ok"] and answer["error"].startswith(error)


class TestCollect:
    def test_side_by_side(self) -> None:
        questions = [{"id": f"a.n{number}", "kind": "command", "command": ["sleep", "0.3"]} for number in range(8)]
        started = time.monotonic()
        answers = probes.collect(Context(probes=questions))
        assert time.monotonic() - started < 1.5
        assert sorted(answers) == [f"a.n{number}" for number in range(8)]
        assert all(answer["rc"] == 0 for answer in answers.values())

    def test_one_that_hangs_or_is_none_leaves_the_others(self) -> None:
        answers = probes.collect(Context(probes=[
            {"id": "a.hangs", "kind": "command", "command": ["sleep", "60"], "timeout": 0.2},
            {"id": "a.bad", "kind": "nonsense"}, "nonsense",  # type: ignore[list-item]
            {"id": "a.good", "kind": "file", "path": "/", "from": "host"}]))
        assert {key: answer["ok"] for key, answer in answers.items()} == {"a.hangs": False, "a.bad": False, "a.good": True}

    def test_the_modules_deadline_comes_first(self) -> None:
        started = time.monotonic()
        answers = probes.collect(Context(timeout=0.3, probes=[
            {"id": f"a.n{number}", "kind": "command", "command": ["sleep", "60"]} for number in range(20)]))
        assert time.monotonic() - started < 2
        assert {answer["ok"] for answer in answers.values()} == {False}
        assert answers["a.n19"]["error"] == "not started: no time was left"

    def test_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "PROBE_LIMIT", 1)
        answers = probes.collect(Context(probes=[{"id": name, "kind": "file", "path": "/"} for name in ("a.x", "a.y")]))
        assert answers["a.x"]["ok"]
        assert answers["a.y"]["error"] == "not run: a host is asked 1 probes at most"
