# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Against real servers on loopback that serve what tests/lab/moduletree.py writes."""
from __future__ import annotations

import gzip
import importlib.util
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from ansible_collections.goready.preflight.plugins.module_utils import goproxy
from ansible_collections.goready.preflight.plugins.module_utils.collect import proxies
from ansible_collections.goready.preflight.plugins.module_utils.collect.toolchain import ENVIRONMENTS
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, gather

FINE = "example.org/fine@v1.1.0"
SECRET = "git.corp.example/team/secret@v0.1.0"
GOROOT = "/usr/local/go"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that moduletree.py wrote, and the value for GOSUMDB."""
    spec = importlib.util.spec_from_file_location("moduletree", Path(__file__).parents[4] / "lab" / "moduletree.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("modules")
    return folder, str(module.build(folder, host="localhost", sumdb="sum.lab.example")["gosumdb"])


class Proxies:
    """A web server: /good, /wrong, /bare are folders; /NUMBER answers with that status, /slow waits, /flaky fails every second time."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                first, path = unquote(self.path[1:]).partition("/")[::2]
                status, body = 200, b""
                if first.isdigit():
                    status = int(first)
                elif first == "login":
                    body = b"<html>Sign in</html>"
                elif first == "evil":
                    body = json.dumps({"Version": "v9\x1b[2J\nNOT READY https://ci:wordofci@a.example"}).encode()
                elif first == "gzip":
                    body = gzip.compress((folder / "good" / path).read_bytes())
                elif first == "long":
                    body = b"module x\n" + b"\n" * (1 << 20)
                elif first == "flaky" and path.endswith(".info") and len(outer.asked) > 5 and len(outer.asked) % 2:
                    status = 503
                else:
                    if first == "slow" and len(outer.asked) > 5:
                        threading.Event().wait(0.05)
                    file = folder / (first if first in ("wrong", "bare") else "good") / path
                    status, body = (200, file.read_bytes()) if file.is_file() else (404, b"not found")
                self.send_response(302 if first == "moved" else status)
                if first == "moved":
                    self.send_header("Location", "http://ci:wordofci@a.example\x1bc/x")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(tree: tuple[Path, str]) -> Iterator[Proxies]:
    made = Proxies(tree[0])
    yield made
    made.close()


def setting(kind: str = "login", user: str = "root", go: bool = True, source: str = "environment", where: str | None = None,
            **values: str) -> dict[str, Any]:
    return {"kind": kind, "user": user, "go": f"{GOROOT}/bin/go" if go else None, "goroot": GOROOT, "goenv": f"/home/{user}/.config/go/env",
            "values": {name: {"value": value, "source": source, "where": where} for name, value in values.items()}}


def context(*settings: dict[str, Any], root: str = "/", environment: dict[str, str] | None = None, toolchain: str = "optional",
            budget: int = 60, **options: Any) -> Context:
    proxy = {"modules": [FINE], "requests": 10, "concurrency": 4, "timeout": 5, "private": [], **options}
    made = Context(root=root, timeout=60, toolchain=toolchain, active={"budget": budget, "proxy": proxy})
    made.shared["modules.settings"] = list(settings)
    made.shared["toolchain.toolchains"] = [{"goroot": GOROOT, "go": f"{GOROOT}/bin/go", "run_as": "root"}]
    made.shared[ENVIRONMENTS] = {one["kind"]: {name: entry["value"] for name, entry in one["values"].items()} | (environment or {})
                                 for one in settings}
    return made


def chains(*settings: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    facts = gather({"proxies": proxies.PARTS[:1]}, context(*settings, **options))
    assert facts["errors"] == []
    json.dumps(facts)
    found: list[dict[str, Any]] = facts["proxies"]["chains"]
    return found


def one(goproxy_value: str, **options: Any) -> dict[str, Any]:
    names = {name: options.pop(name) for name in list(options) if name.startswith("GO")}
    (chain,) = chains(setting(GOPROXY=goproxy_value, **{"GOSUMDB": "off", **names}), **options)
    return chain


def outcomes(entry: dict[str, Any]) -> list[tuple[str, int | None, str]]:
    return [(request["what"], request["status"], request["outcome"]) for request in entry["requests"]]


def test_a_good_proxy(server: Proxies, tree: tuple[Path, str]) -> None:
    chain = one(f"{server.url}/good,direct", GOSUMDB=tree[1])
    first, direct = chain["entries"]
    assert outcomes(first) == [(what, 200, "ok") for what in ("list", "info", "mod", "zip", "latest")]
    assert [(row["what"], row["ok"], row["from"]) for row in first["hashes"]] == [
        ("mod", True, "sum.lab.example"), ("zip", True, "sum.lab.example")]
    load = first["load"]
    assert (load["requests"], load["ok"], load["concurrency"], load["errors"]) == (10, 10, 4, {})
    assert load["path"] == "example.org/fine/@v/v1.1.0.info"
    assert 1 <= load["connections"] <= 4 and load["ms"]["min"] <= load["ms"]["median"] <= load["ms"]["p95"]
    assert (direct["asked"], direct["not_asked"]) == (False, "direct: version control is not asked from here")
    database = chain["sumdb"]
    assert (database["via_proxy"], database["url"], [request["what"] for request in database["requests"]]) == (
        True, f"{server.url}/good/sumdb/sum.lab.example", ["sumdb", "lookup"])
    assert f"/good/sumdb/sum.lab.example/lookup/{FINE}" in server.asked


def test_capitals_are_escaped(server: Proxies) -> None:
    entry = one(f"{server.url}/good", modules=["example.org/Upper/CaseMod@v1.2.3"])["entries"][0]
    assert [outcome for _what, _status, outcome in outcomes(entry)] == ["ok"] * 5
    assert "/good/example.org/%21upper/%21case%21mod/@v/v1.2.3.zip" in server.asked


def test_other_bytes(server: Proxies, tree: tuple[Path, str]) -> None:
    entry = one(f"{server.url}/wrong", GOSUMDB=tree[1])["entries"][0]
    assert {row["what"]: row["ok"] for row in entry["hashes"]} == {"mod": True, "zip": False}
    first, second = one(f"{server.url}/bare,{server.url}/wrong")["entries"]
    assert [(row["ok"], row["from"]) for row in first["hashes"]] == [(None, "")] * 2
    assert [(row["what"], row["ok"], row["from"]) for row in second["hashes"]] == [
        ("mod", True, f"{server.url}/bare"), ("zip", False, f"{server.url}/bare")]


@pytest.mark.parametrize(("first", "outcome", "kind"), [
    ("404", "not_found", None), ("410", "not_found", None), ("500", "error", "http_500"), ("403", "error", "http_403"),
    ("login", "error", "protocol"),
])
def test_what_an_answer_is_worth(server: Proxies, first: str, outcome: str, kind: str | None) -> None:
    info = one(f"{server.url}/{first}")["entries"][0]["requests"][1]
    assert (info["what"], info["outcome"], (info["error"] or {}).get("kind")) == ("info", outcome, kind)


@pytest.mark.parametrize(("first", "kind"), [("evil", "protocol"), ("moved", "redirect")])
def test_what_a_proxy_says_is_printable(server: Proxies, first: str, kind: str) -> None:
    requests = one(f"{server.url}/{first}")["entries"][0]["requests"]
    errors = [row["error"] for row in requests if row["error"]]
    assert {error["kind"] for error in errors} == {kind}
    assert all(error["message"].isprintable() and "wordofci" not in error["message"] for error in errors)


@pytest.mark.parametrize(("first", "said"), [
    ("gzip", "answers with gzip that nobody asked for, which is not unpacked here"),
    ("long", "answers with more than 1048576 bytes, which are not read here"),
])
def test_what_is_not_read_here_is_no_fault(server: Proxies, first: str, said: str) -> None:
    """Content-Encoding: gzip whatever is asked: go does ask for it, and unpacks it."""
    entry = one(f"{server.url}/{first}")["entries"][0]
    assert [row["error"] for row in entry["requests"] if row["what"] in ("info", "mod")] == [{"kind": "unsupported", "message": said}] * 2
    assert not [row for row in entry["hashes"] if row["what"] == "mod"]


def test_a_zip_that_comes_slowly_is_no_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def work() -> None:
            while True:
                try:
                    peer, _address = listener.accept()
                except OSError:
                    return
                asked = peer.recv(4096)
                length = b"100000" if b".zip" in asked else b"3"
                peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + length + b"\r\n\r\nPK.")
                if b".zip" in asked:
                    kept.append(peer)
                else:
                    peer.close()

        kept: list[socket.socket] = []
        threading.Thread(target=work, daemon=True).start()
        entry = one(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=1)["entries"][0]
    (answer,) = (row for row in entry["requests"] if row["what"] == "zip")
    assert (answer["outcome"], answer["error"], answer["unhashed"]) == ("ok", None, "it is large or comes slowly: 3 bytes in 1 s")
    assert not [row for row in entry["hashes"] if row["what"] == "zip"]


def test_who_does_not_answer_is_asked_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    entry = one(f"http://127.0.0.1:{port}")["entries"][0]
    assert [(row["what"], row["error"]) for row in entry["requests"]] == [("list", {"kind": "refused", "message": "connection refused"})]
    assert entry["load"] is None


def test_without_a_module_there_is_one_question(server: Proxies) -> None:
    entry = one(f"{server.url}/404", modules=[])["entries"][0]
    assert [(row["path"], row["outcome"]) for row in entry["requests"]] == [("golang.org/x/text/@v/list", "not_found")]
    assert (entry["load"]["status"], entry["load"]["ok"]) == (404, 10)


def test_what_only_go_says_is_not_asked() -> None:
    by_hand = context(setting(GOPROXY="https://proxy.golang.org,direct"))
    assert [implicit for _chain, _entries, implicit in proxies.chains_of(by_hand)] == [False]
    (chain,) = chains(setting(GOPROXY="https://proxy.golang.org,direct", GOSUMDB="sum.golang.org", source="default"), modules=[])
    assert chain["implicit"] and [(entry["asked"], entry["requests"]) for entry in chain["entries"]] == [(False, []), (False, [])]
    assert chain["entries"][0]["not_asked"] == proxies.NOT_WANTED
    assert (chain["sumdb"]["asked"], chain["sumdb"]["not_asked"], chain["sumdb"]["requests"]) == (False, proxies.NOT_WANTED, [])


def test_sudo_without_a_list_is_not_asked_where_the_shells_have_one(server: Proxies) -> None:
    default = {"GOPROXY": "https://proxy.golang.org,direct", "GOSUMDB": "off"}
    own = setting(GOPROXY=f"{server.url}/good", GOSUMDB="off")
    mine, other = chains(own, setting("sudo", source="default", **default), toolchain="required")
    assert (mine["entries"][0]["asked"], other["entries"][0]["asked"]) == (True, False)
    assert other["entries"][0]["not_asked"] == proxies.NOT_CHOSEN


def test_nobody_public_hears_of_a_private_module(server: Proxies, monkeypatch: pytest.MonkeyPatch, tree: tuple[Path, str]) -> None:
    monkeypatch.setattr(goproxy, "PUBLIC_PROXIES", ("127.0.0.1",))
    monkeypatch.setattr(goproxy, "PUBLIC_SUMDBS", ("sum.lab.example",))
    chain = one(f"{server.url}/good", GOSUMDB=tree[1], modules=[SECRET, FINE], private=["git.corp.example/*"])
    assert not [path for path in server.asked if "secret" in path]
    assert chain["private"] == [{"path": "git.corp.example/*", "why": "preflight_proxy", "asked_of": [
        {"url": f"{server.url}/good", "what": "proxy", "public": True}, {"url": "sum.lab.example", "what": "sumdb", "public": True}]}]
    assert [(row["path"], row["private"]) for row in chain["modules"]] == [
        ("git.corp.example/team/secret", "preflight_proxy"), ("example.org/fine", "")]


def test_a_module_on_a_host_of_netrc_is_private(server: Proxies, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(goproxy, "PUBLIC_PROXIES", ("127.0.0.1",))
    (tmp_path / "netrc").write_text("machine git.corp.example login ci password a-long-word\n")
    chain = one(f"{server.url}/good", modules=[SECRET], environment={"NETRC": str(tmp_path / "netrc")})
    assert [(row["path"], row["why"]) for row in chain["private"]] == [("git.corp.example/team/secret", "netrc git.corp.example")]
    assert not [path for path in server.asked if "secret" in path] and "a-long-word" not in json.dumps(chain)


def test_gonoproxy_takes_a_module_past_the_proxy(server: Proxies) -> None:
    chain = one(f"{server.url}/good", GONOPROXY="example.org", GONOSUMDB="*")
    assert chain["modules"][0]["direct"] is True
    assert [row["path"] for row in chain["entries"][0]["requests"]] == ["golang.org/x/text/@v/list"]
    entry = one(f"{server.url}/good", GONOPROXY="*")["entries"][0]
    assert (entry["asked"], entry["not_asked"]) == (False, "GONOPROXY takes everything past it that there is to ask")


def test_chains_that_are_the_same_are_asked_once(server: Proxies) -> None:
    url = f"{server.url}/good"
    found = chains(setting(GOPROXY=url, GOSUMDB="off"), setting("non_login", GOPROXY=url, GOSUMDB="off"),
                   setting("systemd", GOPROXY=f"{url},direct", GOSUMDB="off"))
    assert [[row["kind"] for row in chain["settings"]] for chain in found] == [["login", "non_login"], ["systemd"]]
    assert len([path for path in server.asked if path.endswith(".zip")]) == 1


def test_what_is_more_than_is_asked_is_told(server: Proxies) -> None:
    settings = [setting(f"file{number}", GOPROXY=f"{server.url}/404/{number}", GOSUMDB="off") for number in range(9)]
    facts = gather({"proxies": proxies.PARTS[:1]}, context(*settings, modules=[f"example.org/m{number}@v1.0.0" for number in range(10)]))
    assert [error["message"] for error in facts["errors"]] == [
        "of 10 declared modules only the first 8 were asked", "of 9 lists of proxies only the first 8 were asked"]
    assert len(facts["proxies"]["chains"]) == len(facts["proxies"]["chains"][0]["modules"]) == 8


def test_shells_without_a_go_do_not_count_beside_those_that_have_one(server: Proxies) -> None:
    other = setting("systemd", go=False, GOPROXY=f"{server.url}/500", GOSUMDB="off")
    assert len(chains(setting(GOPROXY=f"{server.url}/good", GOSUMDB="off"), other)) == 1
    assert len(chains(other)) == 1


def test_no_go_no_question(server: Proxies) -> None:
    made = context(setting(GOPROXY=f"{server.url}/good"))
    made.shared["toolchain.toolchains"] = []
    assert proxies.collect_chains(made) == []
    assert proxies.collect_chains(context(setting(GOPROXY=f"{server.url}/good"), toolchain="absent")) == []
    assert server.asked == []


def test_a_list_that_go_refuses() -> None:
    assert one("ftp://a.example")["error"] == {
        "kind": "refused", "message": "go refuses this GOPROXY: 'ftp://a.example' has the scheme ftp; go knows https, http and file"}


def test_the_password_of_a_file_is_used_and_not_told(tmp_path: Path) -> None:
    home = tmp_path / "home/ci/.config/go"
    home.mkdir(parents=True)
    (home / "env").write_text("GOPROXY=https://ci:wordofci@127.0.0.1:1/go\n")
    entry = setting("file", "ci", source="user_file", where="/home/ci/.config/go/env:1", GOPROXY="https://ci:[redacted]@127.0.0.1:1/go")
    made = context(entry, root=str(tmp_path))
    ((chain, _entries, implicit),) = proxies.chains_of(made)
    assert (chain.goproxy, implicit) == ("https://ci:wordofci@127.0.0.1:1/go", False)
    found = proxies.collect_chains(made)
    assert "wordofci" not in json.dumps(found)
    assert (found[0]["value"], found[0]["entries"][0]["url"]) == ("https://ci:[redacted]@127.0.0.1:1/go",) * 2


def test_a_netrc_that_is_a_link_of_somebody_else_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One's own is: who keeps dotfiles in a repository has such links, and go follows them."""
    (tmp_path / "other").write_text("machine a.example login u password p\n")
    (tmp_path / ".netrc").symlink_to(tmp_path / "other")
    made = context()
    if os.geteuid() == 0:
        assert proxies.logins_of(made, {"HOME": str(tmp_path)}, "root") == "machine a.example login u password p\n"
        os.chown(tmp_path / ".netrc", 65534, 65534, follow_symlinks=False)
    else:
        monkeypatch.setattr(proxies, "_reader", lambda _context, _user: 65534)
    assert proxies.logins_of(made, {"HOME": str(tmp_path)}, "root") == ""
    monkeypatch.setattr(proxies, "_reader", lambda _context, _user: (tmp_path / ".netrc").lstat().st_uid)
    assert proxies.logins_of(context(root=str(tmp_path)), {"NETRC": "/.netrc"}, "root") == ""  # it would lead out of there
    assert proxies.logins_of(made, {"HOME": "/none", "NETRC": str(tmp_path / "other")}, "root") == "machine a.example login u password p\n"
    assert proxies.logins_of(made, {}, "root") == ""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root reads with another's rights")
def test_who_names_a_file_has_its_credentials_sent_only_if_they_may_be_read() -> None:
    """NETRC=/root/.netrc in the profile of who builds, with an HTTP proxy and a CA of the same hand."""
    made = context()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own is closed to others
        os.chmod(folder, 0o755)
        path = Path(folder) / "netrc"
        path.write_text("machine a.example login u password p\n")
        path.chmod(0o600)
        assert proxies.logins_of(made, {"NETRC": str(path)}, "nobody") == ""
        assert proxies.logins_of(made, {"NETRC": str(path)}, "root") == "machine a.example login u password p\n"
        entry = setting("login", "nobody", source="user_file", where=f"{path}:1", GOPROXY="https://ci:[redacted]@127.0.0.1:1/go")
        path.write_text("GOPROXY=https://ci:wordofci@127.0.0.1:1/go\n")
        assert proxies.raw_value(made, entry, "GOPROXY", {}) == "https://ci:[redacted]@127.0.0.1:1/go"
        path.chmod(0o644)
        assert proxies.raw_value(context(), entry, "GOPROXY", {}) == "https://ci:wordofci@127.0.0.1:1/go"


@pytest.mark.parametrize(("value", "version", "word"), [
    ("netrc", "go1.27.3", "netrc"), ("off", "go1.27.3", "off"), ("git /srv/x", "go1.27.3", "program"), ("off", "go1.21.13", "netrc"),
    ("/opt/helper; netrc", "go1.24.0", "program"),
])
def test_goauth(tmp_path: Path, value: str, version: str, word: str) -> None:
    goroot = tmp_path / "usr/local/go"
    goroot.mkdir(parents=True)
    (goroot / "VERSION").write_text(f"{version}\n")
    made = context(setting(GOPROXY="off", GOAUTH=value), root=str(tmp_path))
    assert [chain.goauth for chain, _entries, _implicit in proxies.chains_of(made)] == [word]


def test_the_budget(server: Proxies, tree: tuple[Path, str]) -> None:
    cut = {"kind": "budget", "message": "the budget of 0 s (preflight_budget) was used up"}
    chain = one(f"{server.url}/good", GOSUMDB=tree[1], budget=0)
    assert [row["error"] for row in chain["entries"][0]["requests"]] == [cut]
    assert (chain["entries"][0]["load"], chain["sumdb"]["error"]) == (None, cut)
    assert server.asked == []


def test_what_the_budget_ends_is_no_fault_of_the_proxy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        entry = one(f"http://127.0.0.1:{silent.getsockname()[1]}", budget=1)["entries"][0]
    assert entry["requests"][0]["error"]["kind"] == "budget"


def test_a_load_that_fails_now_and_then(server: Proxies) -> None:
    load = one(f"{server.url}/flaky", requests=20)["entries"][0]["load"]
    assert load["requests"] == 20 and set(load["errors"]) == {"http_503"} and load["ok"] == 20 - load["errors"]["http_503"]


def test_a_load_ends_where_all_of_it_fails(server: Proxies) -> None:
    client = proxies.Client({})
    made = proxies._load(proxies.Prober(context()), client, f"{server.url}/500/x", "x", 200, 100)
    assert made is not None and proxies.FAILURES_LIMIT <= made["requests"] < 40 and made["ms"] is None and made["ok"] == 0


def test_a_slow_proxy(server: Proxies) -> None:
    load = one(f"{server.url}/slow")["entries"][0]["load"]
    assert load["ms"]["median"] >= 50 and len(load["slowest"]) == 5 and load["slowest"][0] == load["ms"]["max"]


def test_everybodys_proxy_gets_ten(server: Proxies, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(f"{server.url}/good", requests=25)["entries"][0]["load"]["requests"] == 25
    monkeypatch.setattr(goproxy, "PUBLIC_PROXIES", ("127.0.0.1",))
    assert one(f"{server.url}/good", requests=25)["entries"][0]["load"]["requests"] == 10


def test_a_folder(tree: tuple[Path, str]) -> None:
    entry = one(f"file://{tree[0]}/good")["entries"][0]
    assert outcomes(entry) == [(what, 200, "ok") for what in ("list", "info", "mod", "latest")]
    entry = one(f"file://{tree[0]}/bare/none")["entries"][0]
    assert outcomes(entry) == [(what, 404, "not_found") for what in ("list", "info", "mod", "latest")]


def test_a_path_that_is_none_hides_nothing(server: Proxies) -> None:
    first, second = one(f"file:///srv/%00x|{server.url}/good")["entries"]
    assert (first["requests"][0]["error"]["kind"], second["requests"][0]["outcome"]) == ("denied", "ok")


# modfetch/proxy.go TryProxies and modfetch/sumdb.go initBase; the way was tried with go 1.27.3.
@pytest.mark.parametrize(("value", "way"), [
    ("{url}/good", "proxy"), ("{url}/404,{url}/good", "proxy"), ("{url}/500|{url}/good", "proxy"), ("{url}/500,{url}/good", "http_500"),
    ("{url}/404,direct", "direct"), ("{url}/500|direct", "direct"), ("{url}/500,direct", "http_500"), ("{url}/500|off", "http_500"),
    ("{url}/404,off", "direct"), ("{url}/bare", "direct"), ("{url}/500", "http_500"), ("{url}/login", "protocol"), ("direct", "direct"),
])
def test_the_way_to_the_checksum_database(server: Proxies, tree: tuple[Path, str], value: str, way: str) -> None:
    database = one(value.format(url=server.url), GOSUMDB=tree[1], modules=[])["sumdb"]
    if way == "proxy":
        assert (database["via_proxy"], database["url"]) == (True, f"{server.url}/good/sumdb/sum.lab.example")
        assert database["requests"][-1]["what"] == "tree" and database["requests"][-1]["outcome"] == "ok"
    elif way == "direct":
        assert (database["asked"], database["error"]) == (False, None)
        assert database["not_asked"].startswith("it would be asked directly, and no module is declared")
    else:
        assert database["error"]["kind"] == way


@pytest.mark.parametrize("value", ["sum.corp.example", "https://ci:wordofci@sum.corp.example"])
def test_a_database_that_go_refuses_is_not_asked(server: Proxies, value: str) -> None:
    """modules.checksum_db says so."""
    chain = one(f"{server.url}/good", GOSUMDB=value, private=["git.corp.example"])
    assert (chain["sumdb"], [path for path in server.asked if "sumdb" in path]) == (None, [])
    assert "wordofci" not in json.dumps(chain) and [row["what"] for row in chain["private"][0]["asked_of"]] == ["proxy"]


def test_a_database_with_a_url_is_asked_there(server: Proxies, tree: tuple[Path, str]) -> None:
    database = one(f"{server.url}/404", GOSUMDB=f"{tree[1]} {server.url}/good/sumdb/sum.lab.example")["sumdb"]
    assert [(row["what"], row["outcome"]) for row in database["requests"]] == [("lookup", "ok")]
    assert database["via_proxy"] is False


@pytest.mark.parametrize("url", ["sum.golang.google.cn", "ftp://sum.corp.example", "https://", "https:sum.corp.example"])
def test_a_database_with_a_url_that_is_none_hides_nothing(server: Proxies, tree: tuple[Path, str], url: str) -> None:
    chain = one(f"{server.url}/good", GOSUMDB=f"{tree[1]} {url}")
    assert chain["entries"][0]["requests"][0]["outcome"] == "ok"
    assert chain["sumdb"]["requests"][0]["error"] == {"kind": "unreachable", "message": "it is no http or https URL with a host"}


@pytest.mark.parametrize(("value", "modules", "options", "kind"), [
    ("off", [FINE], {}, "off"), ("direct", [FINE], {}, "direct"), ("https://a.example", [FINE], {"GONOPROXY": "example.org"}, "direct"),
    ("ftp://a.example", [FINE], {}, "refused"),
])
def test_downloads_that_are_not_tried(value: str, modules: list[str], options: dict[str, str], kind: str) -> None:
    (download,) = proxies.collect_downloads(context(setting(GOPROXY=value, GOSUMDB="off", **options), modules=modules))
    assert (download["module"], download["error"]["kind"], download["rc"]) == (FINE, kind, None)


def test_a_private_module_is_not_downloaded_where_somebody_public_would_hear_of_it() -> None:
    made = context(setting(GOPROXY="https://proxy.golang.org", GOSUMDB="off"), modules=[SECRET], private=["git.corp.example"])
    (download,) = proxies.collect_downloads(made)
    assert download["error"] == {
        "kind": "private",
        "message": "it is private (preflight_proxy), and go would tell https://proxy.golang.org about it: modules.private_leak"}


def test_nothing_is_downloaded_unasked() -> None:
    assert proxies.collect_downloads(context(setting(GOPROXY="https://a.example"), modules=[])) == []


def fake_go(folder: Path, body: str) -> str:
    goroot = folder / "go"
    (goroot / "bin").mkdir(parents=True)
    (goroot / "bin/go").write_text(f"#!/bin/sh\n{body}\n")
    (goroot / "bin/go").chmod(0o755)
    return str(goroot)


@pytest.fixture
def download(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What a stand-in for go makes of a download, by its script."""
    def run(script: str, value: str = "https://ci:wordofci@a.example/go,direct", goauth: str = "netrc", **options: Any) -> dict[str, Any]:
        import getpass
        entry = dict(setting(user=getpass.getuser(), GOPROXY=value, GOSUMDB="off", GOAUTH=goauth), goroot=fake_go(tmp_path, script))
        (document,) = proxies.collect_downloads(context(entry, **options))
        return document

    return run


def test_a_download(download: Callable[..., dict[str, Any]]) -> None:
    document = download("""printf '{"Sum":"h1:x","GoModSum":"h1:y","Version":"%s"}' "$GOPROXY $GOFLAGS $GOTOOLCHAIN $*" """)
    assert (document["rc"], document["sum"], document["mod_sum"], document["error"], document["output"]) == (0, "h1:x", "h1:y", None, [])
    assert document["value"] == "https://ci:[redacted]@a.example/go,direct"


def test_version_control_is_switched_off(download: Callable[..., dict[str, Any]]) -> None:
    document = download("""printf '{"Error":"GOPROXY is %s GOVCS is %s"}' "${GOPROXY#*@}" "$GOVCS"; exit 1""")
    assert (document["rc"], document["output"], document["error"]) == (1, ["GOPROXY is a.example/go,off GOVCS is *:off"], None)


def test_what_only_version_control_would_have(download: Callable[..., dict[str, Any]]) -> None:
    document = download("""printf '{"Error":"x: reading https://ci:xxxxx@a.example/go/x/@v/v1.1.0.info: 404 Not Found"}'; exit 1""")
    assert document["error"]["kind"] == "direct"
    assert document["output"] == ["x: reading https://a.example/go/x/@v/v1.1.0.info: 404 Not Found"]


def test_a_checksum_that_is_wrong_is_no_matter_of_version_control(download: Callable[..., dict[str, Any]]) -> None:
    document = download("""printf '{"Error":"x: verifying module: checksum mismatch"}'; exit 1""", "https://a.example|direct")
    assert (document["error"], document["output"]) == (None, ["x: verifying module: checksum mismatch"])


@pytest.mark.parametrize(("goauth", "error"), [("netrc", None), ("git /srv/credentials", "unsupported")])
def test_credentials_of_a_program_that_needs_its_home(download: Callable[..., dict[str, Any]], goauth: str, error: str | None) -> None:
    """HOME is the temporary folder: git finds no credential helper there, gcloud no login."""
    document = download("""printf '{"Error":"x: reading https://a.example/x/@v/v1.1.0.info: 401 Unauthorized"}'; exit 1""", goauth=goauth)
    assert (document["error"] or {}).get("kind") == error and document["output"]


def test_a_module_that_wants_a_newer_go_was_downloaded_all_the_same(download: Callable[..., dict[str, Any]]) -> None:
    """What go 1.22.10 and 1.24.11 print with GOTOOLCHAIN=local, which is ours; with the default they would get themselves a newer one."""
    error = "example.org/fine@v1.1.0 requires go >= 1.27.0 (running go 1.22.10; GOTOOLCHAIN=local)"
    document = download(f"""printf '{{"Error":"{error}","Sum":"h1:x","GoModSum":"h1:y"}}'; exit 1""", "https://a.example|direct")
    assert (document["rc"], document["sum"], document["error"], document["output"]) == (1, "h1:x", None, [error])
