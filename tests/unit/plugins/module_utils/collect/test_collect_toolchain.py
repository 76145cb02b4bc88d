# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import json
import os
import re
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import collecting
from ansible_collections.goready.preflight.plugins.module_utils.collect import toolchain
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

FIXTURES = Path(__file__).parents[4] / "unit" / "fixtures" / "toolchain"
GO_ENV = (FIXTURES / "go-env-1.27.3.json").read_text(encoding="utf-8")
MACHINES = {"amd64": 62, "arm64": 183, "386": 3}
PATH = "/usr/local/bin:/usr/bin:/bin"

Answer = Any  # (rc, stdout, stderr), or an exception to raise
Shells = Mapping[str, Any]


class Host(Context):
    """A host made of files below a folder, whose commands answer what the test says."""

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root=str(root), **options)
        self.calls: list[tuple[list[str], dict[str, str]]] = []
        self.answers: dict[str, Answer] = {}
        self.file("/etc/passwd", "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"
                                 "deploy:x:12345:12345::/home/deploy:/bin/bash\nbob:x:12346:12346::/home/bob:/bin/bash\n")
        self.file("/etc/group", "root:x:0:\nsudo:x:27:deploy\nstaff:x:50:\ndevs:x:60:bob,deploy\ndeploy:x:12345:\n")
        for folder in ("/root", "/home/deploy", "/home/bob"):
            self.folder(folder)

    def folder(self, path: str, mode: int = 0o755) -> None:
        place = Path(self.path(path))
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(mode)

    def file(self, path: str, content: str | bytes = "", mode: int = 0o644) -> None:
        self.folder(os.path.dirname(path))
        place = Path(self.path(path))
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        place.chmod(mode)

    def link(self, path: str, target: str) -> None:
        self.folder(os.path.dirname(path))
        os.symlink(target, self.path(path))

    def go(self, root: str, version: str = "go1.27.3", machine: str = "amd64", *, without: Sequence[str] = ()) -> None:
        """A Go tree of ``version``, as small as one can be."""
        header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, MACHINES[machine], 1, 0, 0, 0, 0, 64, 0,
                                                                 0, 0, 0, 0)
        files: dict[str, str | bytes] = {
            "VERSION": version + "\ntime 2026-10-19T22:20:36Z\n", "go.env": "GOTOOLCHAIN=auto\n", "bin/go": header,
            "bin/gofmt": header,
            "src/runtime/proc.go": "", "src/fmt/print.go": "", "pkg/include/textflag.h": ""}
        files.update({f"pkg/tool/linux_{machine}/{tool}": header for tool in ("asm", "compile", "link")})
        for name, content in files.items():
            if name not in without:
                self.file(f"{root}/{name}", content, 0o755 if b"ELF" in header and isinstance(content, bytes) else 0o644)

    def run(self, argv: Sequence[str], *, timeout: float = 5.0, env: Mapping[str, str] | None = None, cwd: str = "/",
            limit: int = 4 << 20, truncate: bool = False) -> tuple[int, str, str]:
        self.calls.append((list(argv), dict(env or {})))
        words = list(argv)
        words = _unwrapped(words)
        key = _question(words, self.root)
        answer = self.answers.get(key, self.answers.get(key.split(" ")[0]))
        if answer is None:
            raise Unavailable(f"{words[0]} is not installed")
        if callable(answer):
            answer = answer(words, dict(env or {}))
        if isinstance(answer, Exception):
            raise answer
        rc, out, err = answer
        return rc, out, err


def _unwrapped(words: list[str]) -> list[str]:
    """The command without the timeout(1) and setpriv(1) before it."""
    words = words[4:] if words[0] == "timeout" else words
    return words[words.index("--") + 1:] if words[0] == "setpriv" else words


def _question(words: list[str], root: str) -> str:
    """``login``, ``non_login``, ``sudo``, ``systemd``, or ``go /usr/local/go/bin/go``."""
    if "-c" in words:
        return "login" if "-l" in words else "non_login"
    if words[0] in ("sudo", "systemctl"):
        return {"sudo": "sudo", "systemctl": "systemd"}[words[0]]
    return "go " + words[0].replace(root, "", 1)


def shell_answer(path: str, go: str = "", **variables: str) -> Callable[[list[str], dict[str, str]], Answer]:
    """What a shell prints: the markers of its own script, with noise around."""
    def answer(words: list[str], env: dict[str, str]) -> Answer:
        marker = re.findall(r"'(--goready-[^']*)'", words[-1])[0]
        values = {"HOME": env["HOME"], "PATH": path, **variables}
        dump = "".join(f"{name}={value}\0" for name, value in values.items())
        return 0, f"Last login: never\n{marker}{go + chr(10) if go else ''}{marker}{dump}{marker}bye\n", ""
    return answer


def env_answer(path: str, **variables: str) -> Answer:
    return 0, "".join(f"{name}={value}\0" for name, value in {"PATH": path, **variables}.items()), ""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host that is looked at by root for ``deploy``, as a build server is."""
    monkeypatch.setattr(toolchain.os, "geteuid", lambda: 0)
    monkeypatch.delenv("SUDO_USER", raising=False)
    found = Host(tmp_path, build_user="deploy")
    found.answers.update(login=shell_answer(PATH), non_login=shell_answer(PATH))
    return found


def collect(host: Host) -> dict[str, Any]:
    document = collecting.gather({"toolchain": toolchain.PARTS}, host)
    assert document["errors"] == []
    facts: dict[str, Any] = document["toolchain"]
    return facts


def shells(host: Host) -> dict[str, Any]:
    return {entry["kind"]: entry for entry in toolchain.collect_shells(host)}


def test_a_host_without_go(host: Host) -> None:
    facts = collect(host)
    assert facts["toolchains"] == [] and facts["gvm"] == []
    assert [(entry["kind"], entry["user"], entry["go"], entry["error"]) for entry in facts["shells"]] == [
        ("login", "deploy", None, None), ("non_login", "deploy", None, None)]
    assert len(host.calls) == 2  # one process for each shell, none for a Go that is not there


def test_every_kind_of_shell(host: Host) -> None:
    host.go("/usr/local/go")
    host.go("/usr/lib/go-1.19", "go1.19.8")
    host.link("/usr/bin/go", "../lib/go-1.19/bin/go")
    host.file("/usr/bin/sudo", mode=0o755)
    host.folder("/run/systemd/system")
    host.file("/etc/environment", 'GOPRIVATE="git.corp"\n')
    host.answers.update({
        "login": shell_answer("/usr/local/go/bin:" + PATH, "/usr/local/go/bin/go",
                              GOPROXY="https://ci:hunter2@proxy.corp,direct"),
        "non_login": shell_answer(PATH, "/usr/bin/go"), "sudo": env_answer("/sbin:/bin"), "go": (0, GO_ENV, ""),
        "systemd": (0, "LANG=C.UTF-8\nPATH=/usr/local/bin:/usr/bin\n", "")})
    found = shells(host)
    assert {kind: (entry["user"], entry["go"], entry["goroot"], entry["version"], entry["others"]) for kind,
            entry in found.items()} == {
        "login": ("deploy", "/usr/local/go/bin/go", "/usr/local/go", "go1.27.3", ["/usr/lib/go-1.19"]),
        "non_login": ("deploy", "/usr/bin/go", "/usr/lib/go-1.19", "go1.19.8", []),
        "sudo": ("root", None, None, None, []),
        "systemd": ("root", "/usr/bin/go", "/usr/lib/go-1.19", "go1.19.8", []),
    }
    assert found["login"]["env"] == {"GOPROXY": "https://ci:[redacted]@proxy.corp,direct"}
    assert found["login"]["effective"]["GOTOOLCHAIN"] == "auto"  # from GOROOT/go.env
    assert found["sudo"]["effective"] is None
    asked = {_question(_unwrapped(argv), host.root): (argv, env) for argv, env in host.calls}
    login, environment = asked["login"]
    assert login[:5] == ["setpriv", "--reuid=12345", "--regid=12345", "--init-groups", "--"]
    assert login[5:8] == ["/bin/bash", "-l", "-c"]
    assert environment == {"HOME": "/home/deploy", "USER": "deploy", "LOGNAME": "deploy", "SHELL": "/bin/bash", "TERM": "dumb",
                           "PATH": toolchain.USER_PATH, "GOPRIVATE": "git.corp"}
    non_login, environment = asked["non_login"]
    assert non_login[5:7] == ["/bin/bash", "-c"]
    assert environment["SSH_CLIENT"] == "127.0.0.1 0 22"


def test_the_secret_is_nowhere_in_the_facts(host: Host) -> None:
    host.go("/usr/local/go")
    host.file("/home/deploy/.config/go/env", "GOPROXY=https://ci:hunter2@proxy.corp\nGOFLAGS=-ldflags=-X=a.token=hunter2\n")
    host.answers.update(login=shell_answer("/usr/local/go/bin", GOPROXY="https://x:hunter2@second.corp", MY_PASSWORD="hunter2"),
                        go=(0, GO_ENV.replace("https://proxy.golang.org", "https://y:hunter2@third.corp"), ""))
    text = json.dumps(collect(host))
    assert "hunter2" not in text
    assert "https://y:[redacted]@third.corp" in text and "https://x:[redacted]@second.corp" in text


def test_what_go_env_w_keeps(host: Host) -> None:
    host.go("/usr/local/go")
    host.file("/home/deploy/.config/go/env", "GOPRIVATE=git.corp\nGOPATH=/srv/go\nGOROOT=/opt/go\nUNKNOWN=secret\n")
    host.answers["login"] = shell_answer("/usr/local/go/bin", GOPATH="/home/deploy/mine")
    entry = shells(host)["login"]
    assert entry["goenv"] == {"path": "/home/deploy/.config/go/env",
                              "values": {"GOROOT": "/opt/go", "GOPATH": "/srv/go", "GOPRIVATE": "git.corp"}}
    assert (entry["effective"]["GOPATH"], entry["effective"]["GONOSUMDB"]) == ("/home/deploy/mine", "git.corp")
    assert entry["goroot_variable"] == {"path": "/opt/go", "realpath": "/opt/go", "exists": False, "version": None}


@pytest.mark.parametrize(("variables", "path"), [
    ({}, "/home/deploy/.config/go/env"), ({"XDG_CONFIG_HOME": "/cfg"}, "/cfg/go/env"), ({"GOENV": "/etc/goenv"}, "/etc/goenv"),
    ({"GOENV": "off"}, None), ({"HOME": ""}, None),
])
def test_where_go_env_w_keeps_it(variables: dict[str, str], path: str | None) -> None:
    assert toolchain._user_file({"HOME": "/home/deploy", **variables}) == path


@pytest.mark.parametrize(("answer", "error"), [
    pytest.param(TimeoutError("bash did not end within 5.0 s"), "it did not answer within 4 s", id="hangs"),
    pytest.param((3, "Welcome!\n", ""), "its start-up files ended the shell before it could answer", id="exits"),
    pytest.param((1, "", "noise\n/home/deploy/.bash_profile: line 1: syntax error\n"),
                 "its start-up files ended the shell before it could answer: /home/deploy/.bash_profile: line 1: syntax error",
                 id="dies"),
    pytest.param(Unavailable("/bin/bash is not installed"), "/bin/bash is not installed", id="no shell"),
    pytest.param(PermissionError(errno.EACCES, "Permission denied"), "Permission denied", id="refused"),
])
def test_a_shell_that_does_not_answer_costs_its_own_kind(host: Host, answer: Answer, error: str) -> None:
    host.go("/usr/local/go")
    host.answers.update(login=answer, non_login=shell_answer("/usr/local/go/bin", "/usr/local/go/bin/go"))
    found = shells(host)
    assert (found["login"]["error"], found["login"]["go"], found["login"]["path"]) == (error, None, None)
    assert (found["non_login"]["error"], found["non_login"]["go"]) == (None, "/usr/local/go/bin/go")


def test_a_path_on_a_dead_file_server_costs_its_own_kind(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "SHELL_TIMEOUT", -0.9)
    look = toolchain._in_path
    monkeypatch.setattr(toolchain, "_in_path", lambda ctx, path: look(ctx, path) if path != "/net/dead" else
                        time.sleep(2) or [])
    host.answers["login"] = shell_answer("/net/dead")
    found = shells(host)
    assert found["login"]["error"] is not None and found["non_login"]["error"] is None


def test_a_fault_of_the_collector_is_no_fault_of_the_shell(host: Host) -> None:
    host.answers["login"] = lambda words, env: {}["no such key"]
    with pytest.raises(KeyError):
        toolchain.collect_shells(host)


def test_the_users_shells_are_started_one_after_the_other(host: Host) -> None:
    running: list[str] = []

    def answer(words: list[str], env: dict[str, str]) -> Answer:
        running.append(words[-1])
        assert len(running) == 1
        time.sleep(0.05)
        running.remove(words[-1])
        return shell_answer(PATH)(words, env)

    host.answers.update(login=answer, non_login=answer)
    assert [entry["error"] for entry in shells(host).values()] == [None, None]


@pytest.mark.parametrize("rc", [124, 137, -9])
def test_a_slow_shell_is_asked_to_end_before_it_is_killed(host: Host, rc: int) -> None:
    host.file("/usr/bin/timeout", mode=0o755)
    host.answers["login"] = (rc, "", "")
    found = shells(host)
    assert found["login"]["error"] == "it did not answer within 4 s"
    assert host.calls[0][0][:5] == ["timeout", "-k", "1", "4", "setpriv"]


@pytest.mark.parametrize(("shell", "used", "error"), [
    ("/usr/sbin/nologin", "/bin/sh", None), ("/bin/false", "/bin/sh", None), ("", "/bin/sh", None), ("/bin/zsh", "/bin/zsh",
                                                                                                     None),
    ("/bin/tcsh", None, "its shell /bin/tcsh is not one that can be asked"),
])
def test_which_shell_is_asked(host: Host, shell: str, used: str | None, error: str | None) -> None:
    host.file("/etc/passwd", f"deploy:x:12345:12345::/home/deploy:{shell}\n")
    found = shells(host)
    assert found["login"]["error"] == error
    assert {argv[argv.index("--") + 1] for argv, _env in host.calls} == ({used} if used else set())


def test_an_account_without_a_shell_gets_bash_where_there_is_one(host: Host) -> None:
    host.file("/bin/bash", mode=0o755)
    host.file("/etc/passwd", "deploy:x:12345:12345::/home/deploy:/usr/sbin/nologin\n")
    shells(host)
    assert {argv[argv.index("--") + 1] for argv, _env in host.calls} == {"/bin/bash"}


@pytest.mark.parametrize(("folders", "hidden"), [
    ((), {"XDG_CONFIG_HOME", "XDG_DATA_HOME"}), (("/home/deploy/.config/fish",), {"XDG_DATA_HOME"}),
    (("/home/deploy/.config/fish", "/home/deploy/.local/share/fish"), set()),
])
def test_fish_makes_no_folders(host: Host, folders: Sequence[str], hidden: set[str]) -> None:
    for folder in folders:
        host.folder(folder)
    host.go("/usr/local/go")
    host.file("/home/deploy/.config/go/env", "GOPRIVATE=git.corp\n")
    host.file("/etc/passwd", "deploy:x:12345:12345::/home/deploy:/usr/bin/fish\n")
    host.answers["login"] = lambda words, env: shell_answer("/usr/local/go/bin", **{
        name: env[name] for name in env if name.startswith("XDG")})(words, env)
    entry = shells(host)["login"]
    assert {name for name in host.calls[0][1] if name.startswith("XDG")} == hidden
    assert entry["effective"]["GOPRIVATE"] == "git.corp"


def test_an_unknown_build_user_leaves_the_other_kinds(host: Host) -> None:
    host.build_user = "nobody-here"
    host.file("/usr/bin/sudo", mode=0o755)
    host.answers["sudo"] = env_answer("/usr/bin")
    found = shells(host)
    assert found["login"]["error"] == found["non_login"]["error"] == "there is no user nobody-here"
    assert found["sudo"]["error"] is None


def test_who_called_sudo_is_asked(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.build_user = ""
    monkeypatch.setenv("SUDO_USER", "bob")
    assert shells(host)["login"]["user"] == "bob"
    monkeypatch.delenv("SUDO_USER")
    assert shells(host)["login"]["user"] == "root"


def test_only_root_looks_at_the_shells_of_others(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.os, "geteuid", lambda: 12346)
    assert shells(host)["login"]["error"] == "only root can look at the shells of deploy"
    assert host.calls == []


@pytest.mark.parametrize(("groups", "answer", "error", "calls"), [
    pytest.param([12346], None, "not tried: this user is in none of the groups sudo, wheel, admin, and sudo would report it", 0,
                 id="in no group"),
    pytest.param([27], (1, "", "sudo: a password is required\n"), "sudo: a password is required", 1, id="with a password"),
    pytest.param([27], env_answer("/usr/sbin:/usr/bin"), None, 1, id="without a password"),
])
def test_sudo_of_an_ordinary_user(host: Host, monkeypatch: pytest.MonkeyPatch, groups: list[int], answer: Answer,
                                  error: str | None,
                                  calls: int) -> None:
    monkeypatch.setattr(toolchain.os, "geteuid", lambda: 12345)
    monkeypatch.setattr(toolchain.os, "getgroups", lambda: groups)
    host.file("/usr/bin/sudo", mode=0o755)
    host.answers["sudo"] = answer
    assert shells(host)["sudo"]["error"] == error
    assert len([argv for argv, _env in host.calls if argv[0] == "sudo"]) == calls


def test_systemd_that_does_not_answer(host: Host) -> None:
    host.folder("/run/systemd/system")
    host.answers["systemd"] = (1, "", "Failed to connect to bus: Operation not permitted\n")
    assert shells(host)["systemd"]["error"] == "Failed to connect to bus: Operation not permitted"


@pytest.mark.parametrize(("path", "answer", "go"), [
    pytest.param("bin::./x:/usr/local/go/bin", "", "/usr/local/go/bin/go", id="relative entries"),
    pytest.param("/usr/local/go/bin/", "alias go='grc go'", "/usr/local/go/bin/go", id="an alias is no path"),
    pytest.param("/nowhere", "", None, id="none"),
    pytest.param("/home/deploy", "", None, id="a folder called go"),
    pytest.param("/srv", "", None, id="not executable"),
])
def test_go_in_a_path(host: Host, path: str, answer: str, go: str | None) -> None:
    host.go("/usr/local/go")
    host.folder("/home/deploy/go")
    host.file("/srv/go", "text", 0o644)
    host.answers["login"] = shell_answer(path, answer)
    assert shells(host)["login"]["go"] == go


@pytest.mark.parametrize(("value", "setup", "expected"), [
    pytest.param("/home/deploy/go", None, {"exists": False, "owner": None, "mode": None, "writable": False, "everybody": False},
                 id="cannot be created in another's home"),
    pytest.param("/srv/go", ("/srv", 0o777), {"exists": False, "writable": True, "everybody": False}, id="can be created"),
    pytest.param("/srv/go", ("/srv/go", 0o777), {"exists": True, "mode": "0777", "writable": True, "everybody": True},
                 id="everybody"),
    pytest.param("/srv/go", ("/srv/go", 0o1777), {"exists": True, "mode": "1777", "everybody": False}, id="sticky"),
    pytest.param("/srv/go", ("/srv/go", 0o755), {"exists": True, "mode": "0755", "writable": False}, id="not writable"),
    pytest.param("rel", None, {"exists": False, "writable": None}, id="relative"),
    pytest.param("~/go", None, {"exists": False, "writable": None}, id="tilde"),
    pytest.param("/usr/local/go", None, {"in_goroot": True, "exists": True}, id="is GOROOT"),
    pytest.param("/usr/local/go/../go/mine", None, {"in_goroot": True}, id="below GOROOT"),
    pytest.param("/usr/local/gopath", None, {"in_goroot": False}, id="only begins like GOROOT"),
    pytest.param("/etc/passwd", None, {"writable": False}, id="a file"),
])
def test_gopath(host: Host, value: str, setup: tuple[str, int] | None, expected: dict[str, Any]) -> None:
    host.go("/usr/local/go")
    if setup:
        host.folder(*setup)
    host.answers["login"] = shell_answer("/usr/local/go/bin", GOPATH=value + ":/second")
    entries = shells(host)["login"]["gopath"]
    assert [entry["path"] for entry in entries] == [value, "/second"]
    assert {key: entries[0][key] for key in expected} == expected


# --- toolchains

def by_place(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["goroot"] or entry["go"]: entry for entry in facts["toolchains"]}


@pytest.mark.parametrize(("root", "kind"), [
    ("/usr/local/go", "official"), ("/usr/local/go1.26.4", "official"), ("/opt/go", "official"), ("/opt/go-arm64", "official"),
    ("/usr/lib/go-1.19", "distribution"), ("/usr/lib/golang", "distribution"), ("/home/deploy/sdk/go1.26.4", "sdk"),
    ("/root/sdk/gotip", "sdk"), ("/home/bob/.goenv/versions/1.26.4", "sdk"), ("/home/bob/.asdf/installs/golang/1.26.4/go", "sdk"),
    ("/home/bob/.local/share/mise/installs/go/1.26.4", "sdk"), ("/home/bob/.gvm/gos/go1.26.4", "gvm"), ("/home/bob/go",
                                                                                                        "official"),
])
def test_places(host: Host, root: str, kind: str) -> None:
    host.go(root)
    host.answers["go"] = (0, GO_ENV, "")
    facts = collect(host)
    assert [(entry["goroot"], entry["kind"], entry["go"]) for entry in facts["toolchains"]] == [(root, kind, root + "/bin/go")]


@pytest.mark.parametrize("path", ["/usr/local/google-cloud-sdk/bin/gcloud", "/home/bob/go/bin/gopls", "/opt/godot/godot",
                                  "/usr/lib/go-1.19/README", "/usr/local/go/bin/other"])
def test_what_is_no_go(host: Host, path: str) -> None:
    host.file(path, mode=0o755)
    assert collect(host)["toolchains"] == []


def test_one_go_by_many_ways_is_one_entry(host: Host) -> None:
    host.go("/opt/go1.27.3")
    host.link("/usr/local/go", "../../opt/go1.27.3")
    host.link("/usr/local/bin/go", "/usr/local/go/bin/go")
    host.answers.update(login=shell_answer("/usr/local/bin", "/usr/local/bin/go"), go=(0, GO_ENV, ""))
    facts = collect(host)
    assert [(entry["goroot"], entry["found_by"]) for entry in facts["toolchains"]] == [
        ("/opt/go1.27.3", ["login shell of deploy", "/usr/local/go", "/opt/go1.27.3"])]
    assert facts["shells"][0]["goroot"] == "/opt/go1.27.3"


def test_snap(host: Host) -> None:
    host.go("/snap/go/10737")
    host.link("/snap/go/current", "10737")
    host.link("/snap/bin/go", "/usr/bin/snap")
    host.file("/usr/bin/snap", mode=0o755)
    host.answers.update(login=shell_answer("/snap/bin", "/snap/bin/go"), go=(0, GO_ENV, ""))
    facts = collect(host)
    assert [(entry["goroot"], entry["kind"], entry["found_by"]) for entry in facts["toolchains"]] == [
        ("/snap/go/10737", "snap", ["login shell of deploy", "/snap/go/current"])]


def test_the_second_in_a_path_is_named(host: Host) -> None:
    host.go("/srv/first")
    host.go("/srv/second", "go1.26.4")
    host.answers.update(login=shell_answer("/srv/first/bin:/srv/second/bin:/srv/first/bin", "/srv/first/bin/go"), go=(0, GO_ENV,
                                                                                                                      ""))
    facts = collect(host)
    assert [(entry["goroot"], entry["found_by"]) for entry in facts["toolchains"]] == [
        ("/srv/first", ["login shell of deploy"]), ("/srv/second", ["PATH of the login shell of deploy, behind another"])]


@pytest.mark.parametrize(("file", "line", "found"), [
    ("api.service", "ExecStart=/srv/tools/bin/go run /srv/api.go", "api.service"),
    ("api.service", "ExecStartPre=-/srv/tools/bin/go build", "api.service"),
    ("api.service", "ExecStart=/bin/sh -c 'exec /srv/tools/bin/go run .'", "api.service"),
    ("api.service.d/override.conf", "ExecStart=/srv/tools/bin/go run .", "api.service"),
    ("api.service", "ExecStart=/srv/tools/bin/gofmt -l .", None),
    ("api.service", "ExecStart=/srv/api /srv/tools/bin/go.mod", None),
    ("api.service", "Documentation=file:/srv/tools/bin/go", None),
    ("api.timer", "ExecStart=/srv/tools/bin/go run .", None),
])
def test_units(host: Host, file: str, line: str, found: str | None) -> None:
    host.go("/srv/tools")
    host.file("/etc/systemd/system/" + file, f"[Service]\n{line}\n")
    host.answers["go"] = (0, GO_ENV, "")
    assert [entry["found_by"] for entry in collect(host)["toolchains"]] == ([[f"ExecStart of {found}"]] if found else [])


def test_what_is_told_of_a_go(host: Host) -> None:
    host.go("/usr/local/go")
    host.answers["go"] = (0, GO_ENV, "")
    entry = collect(host)["toolchains"][0]
    assert {key: entry[key] for key in ("version", "version_file", "runs", "error", "elf_machine", "missing", "mode")} == {
        "version": "go1.27.3", "version_file": "go1.27.3", "runs": True, "error": None, "elf_machine": "amd64", "missing": [],
        "mode": "0755"}
    assert entry["env"]["GOHOSTARCH"] == "amd64" and "GOVERSION" not in entry["env"]
    argv, environment = next(call for call in host.calls if "env" in call[0])
    assert argv[:4] == [host.path("/usr/local/go/bin/go"), "env", "-json", "GOROOT"]
    # Names that make cmd/go run a C compiler, and so fill the build cache, are not asked for (cmd/go/internal/envcmd).
    assert not [name for name in argv if name.startswith(("CGO_", "GOGCCFLAGS", "PKG_CONFIG", "CC", "CXX"))]
    assert environment["GOTOOLCHAIN"] == "local" and environment["GO111MODULE"] == "off"
    assert environment["XDG_CONFIG_HOME"] == "/dev/null" and environment["GOENV"].endswith("/.config/go/env")
    assert "GOROOT" not in environment and "GOFLAGS" not in environment


@pytest.mark.parametrize(("answer", "expected"), [
    pytest.param(OSError(errno.ENOEXEC, "Exec format error"), (False, None, "Exec format error"), id="another machine's"),
    pytest.param(Unavailable("go is not installed"), (False, None, "its dynamic loader is missing"), id="no loader"),
    pytest.param(TimeoutError("go did not end within 5.0 s"), (None, None, "go did not end within 5.0 s"), id="hangs"),
    pytest.param((2, "", "go: cannot find GOROOT directory: /x\n"), (False, None, "go: cannot find GOROOT directory: /x"),
                 id="fails"),
    pytest.param((0, "not json", ""), (False, None, "go env ended with 0"), id="no answer"),
    pytest.param((-11, "", ""), (False, None, "go env ended with -11"), id="crashes"),
    pytest.param(lambda words, env: (0, "{}", "") if "env" in words else (0, "go version go1.9.7 linux/amd64\n", ""),
                 (True, "go1.9.7", None), id="before GOVERSION"),
])
def test_a_go_that_does_not_answer(host: Host, answer: Answer, expected: tuple[Any, ...]) -> None:
    host.go("/usr/local/go")
    host.answers["go"] = answer
    entry = collect(host)["toolchains"][0]
    assert (entry["runs"], entry["version"], entry["error"]) == expected
    assert entry["version_file"] == "go1.27.3"


def test_where_no_go_should_be_none_is_run(host: Host) -> None:
    host.toolchain = "absent"
    host.go("/usr/local/go")
    host.file("/usr/local/bin/go", "#!/bin/sh\n", 0o755)
    host.answers["login"] = shell_answer("/usr/local/bin", "/usr/local/bin/go")
    facts = collect(host)
    assert [(entry["go"], entry["version_file"], entry["runs"]) for entry in facts["toolchains"]] == [
        ("/usr/local/bin/go", None, None), ("/usr/local/go/bin/go", "go1.27.3", None)]
    assert len(host.calls) == 2


def test_another_machines_go(host: Host) -> None:
    host.go("/usr/local/go", machine="arm64")
    host.answers["go"] = OSError(errno.ENOEXEC, "Exec format error")
    entry = collect(host)["toolchains"][0]
    assert (entry["elf_machine"], entry["runs"], entry["missing"]) == ("arm64", False, [])


def test_a_go_that_is_no_program(host: Host) -> None:
    host.go("/usr/local/go")
    host.file("/usr/local/go/bin/go", "")
    entry = collect(host)["toolchains"][0]
    assert (entry["elf_machine"], entry["runs"], entry["error"]) == (None, None, "/usr/local/go/bin/go: not an ELF file")


@pytest.mark.parametrize("name", ["VERSION", "bin/gofmt", "src/fmt/print.go", "pkg/include/textflag.h",
                                  "pkg/tool/linux_amd64/compile"])
def test_what_is_missing(host: Host, name: str) -> None:
    host.go("/usr/local/go", without=[name])
    host.answers["go"] = (0, GO_ENV, "")
    expected = {"src/fmt/print.go": "src/fmt"}.get(name, name)
    assert collect(host)["toolchains"][0]["missing"] == [expected]


def test_a_dangling_link_is_missing(host: Host) -> None:
    host.go("/usr/lib/go-1.19", "go1.19.8", without=["src/fmt/print.go", "src/runtime/proc.go"])
    host.link("/usr/lib/go-1.19/src", "../../share/go-1.19/src")
    host.answers["go"] = (0, GO_ENV, "")
    assert collect(host)["toolchains"][0]["missing"] == ["src/runtime", "src/fmt"]


def test_a_shim_is_asked_for_its_goroot(host: Host) -> None:
    host.go("/srv/real/go1.27.3")
    host.file("/home/deploy/.shims/go", "#!/bin/sh\n", 0o755)
    host.answers.update({"login": shell_answer("/home/deploy/.shims", "/home/deploy/.shims/go", ASDF_DIR="/srv/asdf"),
                         "go": (0, GO_ENV, ""), "go /home/deploy/.shims/go": (0, "/srv/real/go1.27.3\n", "")})
    facts = collect(host)
    assert (facts["shells"][0]["go"], facts["shells"][0]["goroot"]) == ("/home/deploy/.shims/go", "/srv/real/go1.27.3")
    assert [(entry["goroot"], entry["go"]) for entry in facts["toolchains"]] == [("/srv/real/go1.27.3",
                                                                                  "/srv/real/go1.27.3/bin/go")]
    asked = next(env for argv, env in host.calls if argv[-1] == "GOROOT" and "-json" not in argv)
    assert asked["ASDF_DIR"] == "/srv/asdf" and asked["XDG_CONFIG_HOME"] == "/dev/null"


def test_a_copied_go_has_no_goroot(host: Host) -> None:
    host.go("/srv/x")
    message = "go: cannot find GOROOT directory: 'go' binary is trimmed and GOROOT is not set"
    host.file("/usr/local/bin/go", Path(host.path("/srv/x/bin/go")).read_bytes(), 0o755)
    host.answers.update(login=shell_answer("/usr/local/bin", "/usr/local/bin/go"), go=(2, "", message + "\n"))
    facts = collect(host)
    assert facts["shells"][0]["error"] == "/usr/local/bin/go does not tell its GOROOT: " + message
    entry = facts["toolchains"][0]
    assert (entry["goroot"], entry["go"], entry["runs"], entry["error"]) == (None, "/usr/local/bin/go", False, message)


# --- gvm

def test_gvm(host: Host) -> None:
    default = (FIXTURES / "gvm-1.0.22-environment-default.txt").read_text(encoding="utf-8")
    root = "/home/deploy/.gvm"
    host.file(root + "/scripts/gvm")
    host.file(root + "/environments/default", default)
    for name, version in (("go1.27.3", "go1.27.3"), ("go1.26.4", "go1.21.13"), ("go1.21.13", "go1.21.13")):
        host.go(f"{root}/gos/{name}", version)
        host.file(f"{root}/environments/{name}")
        if name != "go1.21.13":
            host.file(f"{root}/gos/{name}/manifest")
    host.folder(root + "/gos/go1.25.0")
    host.file(root + "/gos/README")
    host.answers["go"] = (0, GO_ENV, "")
    facts = collect(host)
    assert facts["gvm"] == [{"root": root, "user": facts["gvm"][0]["user"], "default": "go1.27.3", "versions": [
        {"name": "go1.21.13", "complete": False, "version_file": "go1.21.13", "go": True, "environment": True},
        {"name": "go1.25.0", "complete": False, "version_file": None, "go": False, "environment": False},
        {"name": "go1.26.4", "complete": True, "version_file": "go1.21.13", "go": True, "environment": True},
        {"name": "go1.27.3", "complete": True, "version_file": "go1.27.3", "go": True, "environment": True},
    ]}]
    assert [entry["goroot"] for entry in facts["toolchains"]] == [f"{root}/gos/{name}" for name in ("go1.21.13", "go1.26.4",
                                                                                                    "go1.27.3")]


@pytest.mark.parametrize("root", ["/root/.gvm", "/home/bob/.gvm", "/opt/gvm", "/usr/local/gvm", "/srv/tools"])
def test_gvm_roots(host: Host, root: str) -> None:
    host.go(root + "/gos/go1.27.3")
    host.answers.update(login=shell_answer(root + "/gos/go1.27.3/bin"), go=(0, GO_ENV, ""))
    gvm = collect(host)["gvm"]
    assert [(entry["root"], entry["default"]) for entry in gvm] == [(root, None)]


def test_homes(host: Host) -> None:
    host.file("/etc/passwd",
              "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/x\njenkins:x:110:110::/var/lib/jenkins:/bin/sh\n"
              "gone:x:1000:1000::/home/gone:/bin/sh\nlong:x:1001:1001::/data/long/:/bin/sh\n")
    for folder in ("/usr/sbin", "/var/lib/jenkins", "/data/long", "/home/ldap"):
        host.folder(folder)
    assert toolchain._homes(host) == ["/root", "/var/lib/jenkins", "/data/long", "/home/bob", "/home/deploy", "/home/ldap"]


# --- who can change what

def status(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(("mode", "uid", "gid", "parent", "expected"), [
    pytest.param(0o100755, 0, 0, False, [], id="root's"),
    pytest.param(0o100775, 0, 0, False, [], id="root's group"),
    pytest.param(0o100775, 0, 50, False, [], id="a group that holds nobody"),
    pytest.param(0o100775, 0, 60, False, [("is writable by group devs (0775)", -1)], id="a group with people"),
    pytest.param(0o100775, 0, 4242, False, [("is writable by group 4242 (0775)", -1)], id="a group that is not known"),
    pytest.param(0o100775, 12345, 12345, False, [("belongs to deploy", 12345)], id="a private group"),
    pytest.param(0o100777, 0, 0, False, [("is writable by everybody (0777)", -1)], id="everybody"),
    pytest.param(0o041777, 0, 0, True, [], id="sticky above"),
    pytest.param(0o041777, 0, 0, False, [("is writable by everybody (1777)", -1)], id="sticky inside"),
    pytest.param(0o040755, 12346, 12346, True, [("belongs to bob", 12346)], id="another's folder above"),
    pytest.param(0o040757, 4242, 4242, True, [("belongs to 4242", 4242), ("is writable by everybody (0757)", -1)], id="both"),
])
def test_open_to(host: Host, mode: int, uid: int, gid: int, parent: bool, expected: list[tuple[str, int]]) -> None:
    assert toolchain._open_to(status(mode, uid, gid), toolchain.Accounts(host), {0}, parent=parent) == expected


@pytest.mark.parametrize("path", ["", "/bin", "/bin/go", "/bin/gofmt", "/pkg/tool/linux_amd64/compile",
                                  "/pkg/include/textflag.h", "/src",
                                  "/src/fmt", "/src/fmt/print.go", "/VERSION", "/go.env"])
def test_what_everybody_can_write_is_found(host: Host, path: str) -> None:
    host.go("/usr/local/go")
    place = Path(host.path("/usr/local/go" + path))
    place.chmod(0o777)
    host.answers["go"] = (0, GO_ENV, "")
    entry = collect(host)["toolchains"][0]
    inside = [line for line in entry["writable_by_others"] if line.startswith("/usr/local/go")]
    assert inside == [f"/usr/local/go{path} is writable by everybody (0777)"]
    assert entry["writable_seen"] == 19


def test_an_open_folder_above_is_found(host: Host) -> None:
    host.go("/usr/local/go")
    host.folder("/usr/local", 0o777)
    host.answers["go"] = (0, GO_ENV, "")
    assert "/usr/local is writable by everybody (0777)" in collect(host)["toolchains"][0]["writable_by_others"]


def test_the_look_is_bounded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.go("/usr/local/go")
    for number in range(60):
        host.file(f"/usr/local/go/src/p{number}/x.go", mode=0o666)
    host.answers["go"] = (0, GO_ENV, "")
    entry = collect(host)["toolchains"][0]
    assert len(entry["writable_by_others"]) == toolchain.MAX_WRITABLE + 1
    assert entry["writable_by_others"][-1] == "and 40 more"
    monkeypatch.setattr(toolchain, "MAX_FILES", 30)
    assert collect(host)["toolchains"][0]["writable_seen"] == 31


def test_a_distributions_linked_sources_are_looked_at(host: Host) -> None:
    host.go("/usr/lib/go-1.19", "go1.19.8", without=["src/fmt/print.go", "src/runtime/proc.go"])
    host.file("/usr/share/go-1.19/src/fmt/print.go", mode=0o666)
    host.file("/usr/share/go-1.19/src/runtime/proc.go")
    host.link("/usr/lib/go-1.19/src", "../../share/go-1.19/src")
    host.answers["go"] = (0, GO_ENV, "")
    found = collect(host)["toolchains"][0]["writable_by_others"]
    assert "/usr/share/go-1.19/src/fmt/print.go is writable by everybody (0666)" in found


# --- on this machine

def test_root_runs_nothing_that_others_could_have_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("")
    go.chmod(0o777)
    monkeypatch.setattr(toolchain.os, "geteuid", lambda: 0)
    prefix, user = toolchain._runner(Context(), str(go))
    assert prefix == ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    assert user.name == "nobody"


def test_an_ordinary_user_runs_nothing_that_others_could_have_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("")
    go.chmod(0o777)
    monkeypatch.setattr(toolchain.os, "geteuid", lambda: 54321)
    with pytest.raises(PermissionError) as caught:
        toolchain._runner(Context(), str(go))
    assert caught.value.strerror == "not run: another user could have replaced it"


def test_a_number_without_a_name_has_no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.os, "geteuid", lambda: 0)
    assert toolchain._as_user(4242, 65534, "4242") == ["setpriv", "--reuid=4242", "--regid=65534", "--clear-groups", "--"]
    assert toolchain._as_user(0, 0, "root") == []


@pytest.fixture
def me(tmp_path: Path) -> toolchain.User:
    return toolchain.User("me", os.geteuid(), os.getegid(), str(tmp_path), "/bin/sh")


def test_a_real_shell_answers_through_the_noise(tmp_path: Path, me: toolchain.User) -> None:
    (tmp_path / ".profile").write_text('echo "Welcome, GOROOT=/lie"\nset -e\nPATH="$HOME/bin:$PATH"\n'
                                       'export PATH GOFLAGS=-mod=mod\n')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "go").chmod(0o755)
    before = sorted(tmp_path.rglob("*"))
    answer, environment = toolchain._ask_shell(Context(), me, threading.Lock(), login=True)
    assert answer == f"{tmp_path}/bin/go"
    assert environment["GOFLAGS"] == "-mod=mod" and environment["PATH"].startswith(f"{tmp_path}/bin:")
    answer, environment = toolchain._ask_shell(Context(), me, threading.Lock(), login=False)
    assert "GOFLAGS" not in environment and not answer.startswith(str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("profile", "error", "message"), [
    ("exit 3", ValueError, "its start-up files ended the shell before it could answer"),
    ("echo about to fail >&2; exit 1", ValueError, "its start-up files ended the shell before it could answer: about to fail"),
    ("exec true", ValueError, "its start-up files ended the shell before it could answer"),
    ("sleep 30", TimeoutError, "/bin/sh did not end within"),
])
def test_a_real_shell_that_does_not_answer(tmp_path: Path, me: toolchain.User, monkeypatch: pytest.MonkeyPatch, profile: str,
                                           error: type[Exception], message: str) -> None:
    monkeypatch.setattr(toolchain, "SHELL_TIMEOUT", 1.0)
    (tmp_path / ".profile").write_text(profile + "\n")
    with pytest.raises(error) as caught:
        toolchain._ask_shell(Context(), me, threading.Lock(), login=True)
    assert str(caught.value).startswith(message)


def test_a_lock_that_a_profile_takes_is_given_back(tmp_path: Path, me: toolchain.User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "SHELL_TIMEOUT", 0.5)
    (tmp_path / ".profile").write_text('touch "$HOME/taken"; trap \'rm "$HOME/taken"; exit 1\' TERM; sleep 30 & wait\n')
    with pytest.raises(TimeoutError):
        toolchain._ask_shell(Context(), me, threading.Lock(), login=True)
    assert [path.name for path in tmp_path.iterdir()] == [".profile"]


def test_a_fifo_in_a_home_stops_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "env")
    assert toolchain._text(Context(), str(tmp_path / "env")) is None


@pytest.mark.parametrize(("links", "path", "expected"), [
    ({}, "/a//b/./c/", "/a/b/c"), ({"/a": "b"}, "/a/x", "/b/x"), ({"/a/b": "../c"}, "/a/b/x", "/c/x"), ({}, "/a/../../b", "/b"),
    ({"/a": "/b", "/b": "c/d"}, "/a", "/c/d"), ({"/a": "a"}, "/a/x", None),
])
def test_realpath_stays_below_the_root(host: Host, links: dict[str, str], path: str, expected: str | None) -> None:
    for name, target in links.items():
        host.link(name, target)
    found = toolchain._realpath(host, path)
    assert found == expected if expected else found.startswith("/")
