# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads from real servers on loopback, good and bad ones, and checksums as the world writes them."""
from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import gvm, gvm_fetch
from ansible_collections.goready.preflight.plugins.module_utils.gvm import Deadline, GvmError

A, B = "a" * 64, "b" * 64
NAME = "go1.27.3.linux-amd64.tar.gz"
BODY = bytes(range(256)) * 4096


@pytest.mark.parametrize(("text", "value"), [(A, A), ("sha256:" + A, A), ("SHA256:" + A.upper(), A), (" %s\n" % A, A)])
def test_normal_checksum(text, value):
    assert gvm_fetch.normal_checksum(text) == value


@pytest.mark.parametrize("text", ["", "sha256:", "a" * 63, "a" * 65, "g" * 64, "sha1:" + A, "sha512:" + A * 2])
def test_normal_checksum_refuses(text):
    with pytest.raises(ValueError, match=r"^checksum: .* is no SHA-256 \(64 hex digits, with or without sha256: before them\)$"):
        gvm_fetch.normal_checksum(text)


@pytest.mark.parametrize(("text", "value"), [
    (A, A), (A.upper() + "\n", A),
    ("%s  %s\n" % (A, NAME), A), ("%s *%s\n" % (A, NAME), A), ("%s  ./%s\n" % (A, NAME), A),
    ("%s  other\n%s  %s\n" % (B, A, NAME), A),
    ("SHA256 (%s) = %s\n" % (NAME, A), A),
    ("%s  other\n" % B, None), ("%s  %s.asc\n" % (B, NAME), None),
    ("%s\n%s\n" % (A, B), None), ("<html>%s</html>" % A, None), ("", None),
], ids=["bare", "capital", "text", "binary", "folder", "several", "bsd", "another", "longer", "two-bare", "html", "empty"])
def test_checksum_from_file(text, value):
    assert gvm_fetch.checksum_from_file(text, NAME) == value


@given(st.text())
def test_checksum_from_file_gives_a_checksum_or_none(text):
    found = gvm_fetch.checksum_from_file(text, NAME)
    assert found is None or re.fullmatch(r"[0-9a-f]{64}", found)


def index(**files: str) -> str:
    return json.dumps([{"version": "go1.27.3", "stable": True, "files": [
        {"filename": name, "os": "linux", "arch": "amd64", "version": "go1.27.3", "sha256": value, "size": 1, "kind": "archive"}
        for name, value in files.items()]}])


def test_checksum_from_index():
    text = index(**{"go1.27.3.src.tar.gz": B, NAME: A})
    assert gvm_fetch.checksum_from_index(text, NAME) == A
    assert gvm_fetch.checksum_from_index(text, "go1.27.3.linux-arm64.tar.gz") is None


@pytest.mark.parametrize("text", ["", "<html>", "{}", '"x"', index(**{NAME: ""}), index(**{NAME: "zz"})])
def test_checksum_from_index_refuses(text):
    with pytest.raises(ValueError):
        gvm_fetch.checksum_from_index(text, NAME)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["files", "filename", "sha256", "x"]), inner)))
def test_checksum_from_index_gives_a_checksum_none_or_value_error(document):
    with contextlib.suppress(ValueError):
        found = gvm_fetch.checksum_from_index(json.dumps(document), NAME)
        assert found is None or re.fullmatch(r"[0-9a-f]{64}", found)


@pytest.mark.parametrize(("source", "value"), [
    ("https://go.dev/dl", "https://go.dev/dl"), ("https://go.dev/dl/", "https://go.dev/dl"), ("http://u:p@[::1]:8000", "http://u:p@[::1]:8000"),
    ("file:///srv/go", "file:///srv/go"), ("file://localhost/srv", "file://localhost/srv"),
])
def test_check_source(source, value):
    assert gvm_fetch.check_source(source) == value


@pytest.mark.parametrize("source", ["", "/srv/go", "ftp://host/go", "https://", "file://host/srv", "file:srv", "https://h/?x=1", "https://h/#x"])
def test_check_source_refuses(source):
    with pytest.raises(ValueError, match=r"^source: .* is no base URL"):
        gvm_fetch.check_source(source)


class Server:
    """A mirror whose answers a test decides; ``asked`` are its (path, Range, Authorization)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.answers: dict[str, object] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers["Range"], self.headers["Authorization"]))
                answer = outer.answers.get(self.path, 404)
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                if callable(answer):
                    answer(self)
                elif isinstance(answer, bytes):
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                else:
                    self.send_error(int(answer))

            def log_message(self, *arguments: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    one = Server()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses between attempts cost nothing here."""
    monkeypatch.setattr(gvm_fetch, "PAUSE", 0.01)


def fetch(url: str, part: Path, *, seconds: float = 20, retries: int = 3, **options) -> None:
    gvm_fetch.fetch(url, str(part), deadline=Deadline(seconds), retries=retries, **options)


def cut_after(count: int):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.wfile.write(BODY[:count])
    return answer


def rest(handler):
    start = int(re.match(r"bytes=(\d+)-", handler.headers["Range"]).group(1))
    handler.send_response(206)
    handler.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(BODY) - 1, len(BODY)))
    handler.send_header("Content-Length", str(len(BODY) - start))
    handler.end_headers()
    handler.wfile.write(BODY[start:])


def test_a_download(server, tmp_path):
    server.answers["/x"] = BODY
    fetch(server.url + "/x", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY and server.asked == [("/x", None, None)]


def test_it_resumes_where_the_connection_ended(server, tmp_path):
    server.answers["/x"] = [cut_after(1000), rest]
    fetch(server.url + "/x", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY
    assert [asked[1] for asked in server.asked] == [None, "bytes=1000-"]


def test_it_begins_anew_where_the_server_does_not_resume(server, tmp_path):
    (tmp_path / "part").write_bytes(b"x" * 5000)
    server.answers["/x"] = BODY
    fetch(server.url + "/x", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY and server.asked[0][1] == "bytes=5000-"


def test_it_begins_anew_where_the_server_has_less(server, tmp_path):
    (tmp_path / "part").write_bytes(b"x" * (len(BODY) + 1))
    server.answers["/x"] = [416, BODY]
    fetch(server.url + "/x", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY and [asked[1] for asked in server.asked] == ["bytes=%d-" % (len(BODY) + 1), None]


def test_a_range_that_was_not_asked_for_is_not_taken(server, tmp_path):
    def lying(handler):
        handler.send_response(206)
        handler.send_header("Content-Range", "bytes 0-9/10")
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"0123456789")

    (tmp_path / "part").write_bytes(b"x" * 10)
    server.answers["/x"] = lying
    with pytest.raises(GvmError, match=r"^the download of http://.*/x failed after 2 attempts: it answers a range with another one$"):
        fetch(server.url + "/x", tmp_path / "part", retries=1)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_what_will_not_pass_is_not_tried_again(server, tmp_path, code):
    server.answers["/x"] = code
    with pytest.raises(gvm_fetch.Missing, match="^http://.*/x: HTTP %d " % code):
        fetch(server.url + "/x", tmp_path / "part")
    assert len(server.asked) == 1 and not (tmp_path / "part").exists()


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again(server, tmp_path, code):
    server.answers["/x"] = [code, code, BODY]
    fetch(server.url + "/x", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY and len(server.asked) == 3


def test_the_last_attempt_tells_why(server, tmp_path):
    server.answers["/x"] = 503
    with pytest.raises(GvmError, match=r"^the download of http://.*/x failed after 3 attempts: HTTP 503 Service Unavailable$"):
        fetch(server.url + "/x", tmp_path / "part", retries=2)
    with pytest.raises(GvmError, match=r"failed at once: HTTP 503"):
        fetch(server.url + "/x", tmp_path / "part", retries=0)


def test_nobody_listens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(GvmError, match=r"failed after 2 attempts: .*refused"):
        fetch("http://127.0.0.1:%d/x" % port, tmp_path / "part", retries=1)


def silent(handler):
    threading.Event().wait(5)


def dripping(handler):
    handler.send_response(200)
    handler.end_headers()
    for _number in range(100):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        threading.Event().wait(0.1)


def slow_headers(handler):
    for _number in range(50):
        handler.wfile.write(b"H")
        handler.wfile.flush()
        threading.Event().wait(0.1)


@pytest.mark.parametrize("answer", [silent, dripping, slow_headers])
def test_a_server_that_hangs_ends_at_the_deadline(server, tmp_path, answer):
    server.answers["/x"] = answer
    begin = time.monotonic()
    with pytest.raises(GvmError, match=r"^timeout: the download of http://.*/x was not done within 1 s"):
        fetch(server.url + "/x", tmp_path / "part", seconds=1)
    assert time.monotonic() - begin < 4


def test_a_password_goes_to_its_host_only_and_into_no_message(server, tmp_path):
    other = Server()
    other.answers["/y"] = BODY

    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", other.url + "/y")
        handler.end_headers()

    server.answers["/x"] = redirect
    url = server.url.replace("http://", "http://me:s%40cret-word@")
    fetch(url + "/x", tmp_path / "part")
    assert server.asked == [("/x", None, "Basic " + base64.b64encode(b"me:s@cret-word").decode())]
    assert other.asked == [("/y", None, None)]
    with pytest.raises(gvm_fetch.Missing) as caught:
        fetch(url + "/none", tmp_path / "part")
    assert "cret-word" not in str(caught.value)
    other.server.shutdown()
    other.server.server_close()


def test_the_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.answers["http://mirror.invalid/x"] = BODY
    fetch("http://mirror.invalid/x", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY and server.asked[0][0] == "http://mirror.invalid/x"


def test_https_is_not_left_by_a_redirect():
    import urllib.error
    import urllib.request

    request = urllib.request.Request("https://mirror.example/x")
    with pytest.raises(urllib.error.HTTPError, match="it redirects from https to http"):
        gvm_fetch._SameHost().redirect_request(request, None, 302, "Found", {}, "http://mirror.example/x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_a_user_gets_nothing_that_only_root_may_read(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and str(folder) != "/":
            folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "shadow").write_bytes(BODY)
    (tmp_path / "shadow").chmod(0o600)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "go.tar.gz").symlink_to(tmp_path / "shadow")
    nobody = gvm.identity("nobody")
    os.chown(theirs, nobody.uid, nobody.gid)
    for options in ({}, {"pushed": True}):
        with gvm.acting_as(nobody), pytest.raises((GvmError, ValueError)):
            fetch("file://%s/go.tar.gz" % theirs, theirs / "part", **options)
        assert not (theirs / "part").exists()
    # What Ansible has pushed lies in a folder that only its own user can enter.
    with gvm.acting_as(nobody):
        fetch("file://%s/shadow" % tmp_path, theirs / "part", pushed=True)
    assert (theirs / "part").read_bytes() == BODY and (theirs / "part").stat().st_uid == nobody.uid


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(GvmError, match=r"is no regular file$"):
        fetch("file://%s/fifo" % tmp_path, tmp_path / "part")
    with pytest.raises(ValueError, match=r"is no regular file$"):
        gvm_fetch.hash_file(str(tmp_path / "fifo"), Deadline(5))


def test_files(tmp_path):
    (tmp_path / "a b").write_bytes(BODY)
    fetch("file://%s/a%%20b" % tmp_path, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY
    with pytest.raises(gvm_fetch.Missing, match=r"^file:///.*/none: there is no such file$"):
        fetch("file://%s/none" % tmp_path, tmp_path / "part")
    with pytest.raises(GvmError, match=r"is no regular file$"):
        fetch("file://%s" % tmp_path, tmp_path / "part")


def test_a_disk_without_room_is_said_before_it_is_full(server, tmp_path):
    def huge(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 60))
        handler.end_headers()

    server.answers["/x"] = huge
    place = re.escape(str(tmp_path))
    with pytest.raises(GvmError, match=r"^the download of http://.*/x needs \d+ MiB in %s, where \d+ MiB are free$" % place):
        fetch(server.url + "/x", tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_an_answer_may_not_be_longer_than_it_should(server, tmp_path):
    server.answers["/x"] = BODY
    with pytest.raises(gvm_fetch.Missing, match="has more than 1000 bytes"):
        fetch(server.url + "/x", tmp_path / "part", limit=1000)


def find(source: str, tmp_path: Path):
    return gvm_fetch.find_checksum(source, NAME, str(tmp_path), deadline=Deadline(20), retries=0)


def test_the_checksum_beside_the_archive_comes_before_the_index(server, tmp_path):
    server.answers["/%s.sha256" % NAME] = A.encode()
    server.answers["/?mode=json&include=all"] = index(**{NAME: B}).encode()
    assert find(server.url, tmp_path) == (A, "file %s/%s.sha256" % (server.url, NAME), [])
    assert list(tmp_path.iterdir()) == []


def test_the_index_where_there_is_nothing_beside_the_archive(server, tmp_path):
    server.answers["/?mode=json&include=all"] = index(**{NAME: B}).encode()
    found, place, reasons = find(server.url, tmp_path)
    assert (found, place) == (B, "index %s/?mode=json&include=all" % server.url)
    assert reasons == ["%s/%s.sha256: HTTP 404 Not Found" % (server.url, NAME)]


def test_no_checksum_at_all(server, tmp_path):
    server.answers["/%s.sha256" % NAME] = b"<html>Not here</html>"
    server.answers["/?mode=json&include=all"] = b"<html>Not here</html>"
    found, _place, reasons = find(server.url, tmp_path)
    assert found is None and len(reasons) == 2
    assert reasons[0] == "%s/%s.sha256 does not name %s" % (server.url, NAME, NAME)
    (tmp_path / (NAME + ".sha256")).write_text("%s  %s\n" % (A, NAME))
    assert find("file://%s" % tmp_path, tmp_path)[0] == A
