# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused, and one file's way there and back. The whole way is molecule/module_proxy's."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.goready.preflight.plugins.module_utils import moduleproxy
from ansible_collections.goready.preflight.plugins.module_utils.userfiles import Identity, UserChanges
from ansible_collections.goready.preflight.plugins.modules import module_proxy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[4]
NOTHING: dict[str, Any] = {
    **dict.fromkeys(moduleproxy.OPTIONS, ""), "users": [], "system": False, "goroots": [], "unset": [], "netrc": [],
    "allow_unverified": False, "state": "present",
}
ME = Identity("me", os.geteuid(), os.getegid(), tuple(os.getgroups()))
PROXY = "https://goproxy.example"


def wish(**options: Any) -> dict[str, Any]:
    return {**NOTHING, "users": ["ci"], **options}


@pytest.mark.parametrize(("options", "message"), [
    ({"users": [], "goproxy": PROXY}, "users: nobody is named and system is false, so there is nothing to set; name users, or set system"),
    ({"users": ["ci; rm"], "goproxy": PROXY}, "users: 'ci; rm' is no user name"),
    ({}, "state: present, but no value, nothing to unset and no netrc entry is given"),
    ({"goproxy": PROXY, "goroots": ["/usr/local/go"]}, "goroots: they are used only where system is true"),
    ({"goproxy": PROXY, "system": True, "goroots": ["go"]}, "goroots: 'go' is no absolute path"),
    ({"goproxy": "https://ci:s3cret@goproxy.example"},
     "goproxy: a URL in it carries credentials, which every `go env` and error message would show; give them by netrc (machine, login, "
     "password) and leave them out of the URL"),
    ({"goproxy": "ftp://a.example"}, "goproxy: 'ftp://a.example' has the scheme ftp; go knows https, http and file; expected URLs, direct "
                                     "and off, separated by `,` or `|`"),
    ({"goproxy": "direct\nGOSUMDB=off"}, "goproxy: GOPROXY holds a line break or a null byte, which no line of go's environment file can"),
    ({"gosumdb": "sum.example"}, "gosumdb: sum.example is no database whose key go knows, and no key stands with it (name+hash+key)"),
    ({"gosumdb": "off"}, "gosumdb: 'off' is refused: it switches the checksum database off for every module; set allow_unverified: true if "
                         "that is what you want"),
    ({"gonosumdb": "*"}, "gonosumdb: '*' is refused: it takes the checksum database from every module; set allow_unverified: true if that "
                         "is what you want"),
    ({"goflags": "-insecure"}, "goflags: '-insecure' is refused: it switches the checks off before Go 1.17, and breaks every `go get` "
                               "since; set allow_unverified: true if that is what you want"),
    ({"unset": ["GOPATH"]}, "unset: 'GOPATH' is none of GOPROXY, GOSUMDB, GOPRIVATE, GONOPROXY, GONOSUMDB, GOINSECURE, GOFLAGS, alone or "
                            "with =VALUE"),
    ({"unset": ["GOPROXY"], "goproxy": PROXY}, "unset: GOPROXY is to be unset, and goproxy gives it a value"),
    ({"unset": ["GOSUMDB"], "system": True}, "unset: GOSUMDB has no default beside the one in GOROOT/go.env, so go would stop without it; "
                                             "set it to sum.golang.org"),
    ({"users": [], "system": True, "goproxy": PROXY, "netrc": [{"machine": "a", "login": "b", "password": "c"}]},
     "netrc: a netrc file belongs to a user, and users names none"),
    ({"netrc": [{"machine": "a.example", "login": "ci", "password": "two words"}]},
     "netrc[0].password holds a blank or a character beyond ASCII, which netrc cannot carry"),
    ({"netrc": [{"machine": "a.example", "login": "ci", "password": None}]}, "netrc[0].password is empty"),
    ({"netrc": [{"machine": "a", "login": "b", "password": "c"}, {"machine": "a", "login": "d", "password": "e"}]},
     "netrc[1]: machine a is named twice"),
])
def test_a_wish_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    assert moduleproxy.faults(wish(**options)) == [message]
    assert "s3cret" not in message


@pytest.mark.parametrize("options", [
    {"goproxy": f"{PROXY},direct", "goprivate": "git.example,github.com/acme"}, {"unset": ["GOSUMDB=off"], "gosumdb": "sum.golang.org"},
    {"gosumdb": "off", "goinsecure": "*", "goprivate": "*", "goflags": "-insecure", "allow_unverified": True},
    {"state": "absent"}, {"state": "absent", "netrc": [{"machine": "a", "login": None, "password": None}]},
    {"system": True, "unset": ["GOPROXY=off"], "goproxy": PROXY},
])
def test_a_wish_that_can(options: dict[str, Any]) -> None:
    assert moduleproxy.faults(wish(**options)) == []


def test_the_roles_defaults_specification_and_the_module_agree() -> None:
    role = ROOT / "roles/module_proxy"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == defaults
    documented = yaml.safe_load(module_proxy.DOCUMENTATION)["options"]
    assert {name.removeprefix("module_proxy_") for name in defaults} == {*documented, "consent"}
    assert all(defaults[f"module_proxy_{name}"] == option["default"] for name, option in documented.items())
    page = (ROOT / "docs/roles/module_proxy.md").read_text()
    assert all(f"`{name}`" in page or f"`_{name.removeprefix('module_proxy_')}`" in page for name in defaults)


def test_every_fault_is_told_at_once() -> None:
    assert len(moduleproxy.faults(wish(users=[], goproxy="x", gosumdb="off", unset=["X"]))) == 4


class Host:
    """One environment file below a folder, set and taken back as the module does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config/go/env"
        self.state = folder / "state"

    def changes(self, *, check_mode: bool = False) -> UserChanges:
        return UserChanges("module_proxy", check_mode=check_mode, state_dir=str(self.state), lock_dir=str(self.folder))

    def set(self, values: dict[str, str | None], unless: dict[str, list[str]] | None = None, *, check_mode: bool = False) -> list[Any]:
        with self.changes(check_mode=check_mode) as changes:
            files = moduleproxy._load(changes)
            moduleproxy._set(changes, files, str(self.file), ME, values, unless or {})
            moduleproxy._save(changes, files)
        return changes.changes

    def take_back(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        warnings: list[str] = []
        with self.changes() as changes:
            files = moduleproxy._load(changes)
            for record in files.values():
                record["user"] = None  # this user's name is not asked of the system
            for path in list(files):
                moduleproxy._take_back(changes, files, path, warnings)
            moduleproxy._save(changes, files)
        return warnings


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_there_and_back_where_nothing_was(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    predicted = host.set({"GOPROXY": PROXY}, check_mode=True)
    assert not host.file.exists() and not host.state.exists()
    assert host.set({"GOPROXY": PROXY}) == predicted
    assert host.file.read_text() == f"GOPROXY={PROXY}\n"
    assert (host.state / "module_proxy.json").stat().st_mode & 0o777 == 0o600
    assert host.set({"GOPROXY": PROXY}) == []
    assert host.take_back(monkeypatch) == []
    assert sorted(path.name for path in host.folder.iterdir()) == ["goready-preflight.lock"]


@pytest.mark.parametrize("before", ["# mine\nGOFLAGS=-mod=mod\nGOPROXY=off\n", "GOPROXY=a\nGOPROXY=b", "", "A=1\r\n\xff".encode("latin-1")])
def test_there_and_back_byte_for_byte(host: Host, monkeypatch: pytest.MonkeyPatch, before: str | bytes) -> None:
    raw = before if isinstance(before, bytes) else before.encode()
    host.file.parent.mkdir(parents=True)
    host.file.write_bytes(raw)
    host.file.chmod(0o640)
    host.set({"GOPROXY": PROXY})
    host.set({"GOPROXY": None, "GOSUMDB": "sum.golang.org"})
    host.set({"GOPROXY": "direct"})
    assert host.file.stat().st_mode & 0o777 == 0o640
    assert host.take_back(monkeypatch) == []
    assert (host.file.read_bytes(), host.file.stat().st_mode & 0o777) == (raw, 0o640)


def test_lines_of_others_stay_where_the_file_was_changed_since(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.file.parent.mkdir(parents=True)
    host.file.write_text("GOPROXY=off\n")
    host.set({"GOPROXY": PROXY, "GOSUMDB": "sum.golang.org", "GOPRIVATE": "git.example"})
    host.file.write_text(host.file.read_text().replace("GOPRIVATE=git.example", "GOPRIVATE=by.hand") + "GOFLAGS=-v\n")
    assert host.take_back(monkeypatch) == [f"{host.file}: GOPRIVATE was changed since and is left as it is"]
    assert host.file.read_text() == "GOPROXY=off\nGOPRIVATE=by.hand\nGOFLAGS=-v\n"


def test_a_line_that_goes_only_where_it_says_so(host: Host) -> None:
    host.file.parent.mkdir(parents=True)
    host.file.write_text("GOSUMDB=sum.golang.org\nGOINSECURE=*\n")
    host.set({}, {"GOSUMDB": ["off"], "GOINSECURE": ["*"]})
    assert host.file.read_text() == "GOSUMDB=sum.golang.org\n"


def test_a_record_that_is_none_is_told(host: Host) -> None:
    host.state.mkdir()
    (host.state / "module_proxy.json").write_text("[]")
    with pytest.raises(moduleproxy.Refused, match="which says what is to be taken back, cannot be read"):
        host.set({"GOPROXY": PROXY})


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
       st.lists(st.dictionaries(st.sampled_from(moduleproxy.NAMES), st.none() | st.sampled_from(["a", "b", ""])), max_size=3))
def test_any_file_comes_back(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, text: str,
                             calls: list[dict[str, str | None]]) -> None:
    host = Host(tmp_path_factory.mktemp("host"))
    host.file.parent.mkdir(parents=True)
    host.file.write_bytes(text.encode())
    for values in calls:
        host.set(values)
    assert host.take_back(monkeypatch) == []
    assert host.file.read_bytes() == text.encode()
