# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.module_utils.collect import modules
from ansible_collections.goready.preflight.plugins.module_utils.collect.toolchain import ENVIRONMENTS
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context

FIXTURES = Path(__file__).parents[3] / "fixtures/toolchain"
PASSWD = "root:x:0:0:root:/root:/bin/bash\ndeploy:x:1000:1000::/home/deploy:/bin/bash\nci:x:1001:1001::/home/ci:/bin/sh\n"
GO = "/usr/local/go"


def host(root: Path, files: dict[str, str], environments: dict[str, dict[str, str]], **options: Any) -> Context:
    for path, text in {"/etc/passwd": PASSWD, "/etc/group": "root:x:0:\n", **files}.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    context = Context(root=str(root), **options)
    context.shared["toolchain.shells"] = [{"kind": kind, "user": "deploy", "go": f"{GO}/bin/go", "goroot": GO} for kind in environments]
    context.shared["toolchain.toolchains"] = [{"goroot": GO}]
    context.shared[ENVIRONMENTS] = environments
    return context


RELEASE = {f"{GO}/VERSION": (FIXTURES / "VERSION-1.27.3.txt").read_text(encoding="utf-8"),
           f"{GO}/go.env": (FIXTURES / "go.env-1.27.3.txt").read_text(encoding="utf-8")}
OLD = {f"{GO}/VERSION": (FIXTURES / "VERSION-debian-1.19.8.txt").read_text(encoding="utf-8")}
HOME = {"HOME": "/home/deploy"}
ENV = "/home/deploy/.config/go/env"


@pytest.mark.parametrize(("files", "environment", "name", "expected"), [
    pytest.param(RELEASE, {}, "GOPROXY", ("https://proxy.golang.org,direct", "goroot_file", f"{GO}/go.env:7"), id="of the release"),
    pytest.param(OLD, {}, "GOPROXY", ("https://proxy.golang.org,direct", "default", None), id="compiled in before 1.21"),
    pytest.param({f"{GO}/VERSION": "go1.27.3\n"}, {}, "GOPROXY", ("", "default", None), id="nothing is compiled in since"),
    pytest.param({**RELEASE, ENV: "A=1\nGOPROXY=off\n"}, {}, "GOPROXY", ("off", "user_file", f"{ENV}:2"), id="the user's file"),
    pytest.param({**RELEASE, ENV: "GOPROXY=\n"}, {}, "GOPROXY", ("", "user_file", f"{ENV}:1"), id="set to nothing hides the default"),
    pytest.param({**RELEASE, ENV: "GOPROXY=off\n"}, {"GOENV": "off"}, "GOPROXY",
                 ("https://proxy.golang.org,direct", "goroot_file", f"{GO}/go.env:7"), id="GOENV=off"),
    pytest.param({**RELEASE, "/srv/env": "GOPROXY=off\n"}, {"GOENV": "/srv/env"}, "GOPROXY", ("off", "user_file", "/srv/env:1"),
                 id="GOENV names another file"),
    pytest.param({**RELEASE, "/etc/profile.d/go.sh": "# GOPROXY=x\nexport GOPROXY=https://ci:s3cret@a.example\n"},
                 {"GOPROXY": "https://ci:s3cret@a.example"}, "GOPROXY",
                 ("https://ci:[redacted]@a.example", "environment", "/etc/profile.d/go.sh:2"), id="a start-up file, a password"),
    pytest.param(RELEASE, {"GOPROXY": "direct"}, "GOPROXY", ("direct", "environment", None), id="from nobody knows where"),
    pytest.param({**RELEASE, ENV: "GOPRIVATE=git.example\nGONOPROXY=none\n"}, {}, "GONOSUMDB", ("git.example", "user_file", f"{ENV}:1"),
                 id="GOPRIVATE is the default"),
    pytest.param({**RELEASE, ENV: "GOPRIVATE=git.example\nGONOPROXY=none\n"}, {}, "GONOPROXY", ("none", "user_file", f"{ENV}:2"),
                 id="unless set"),
    pytest.param({**RELEASE, "/etc/environment": "GONOSUMCHECK=1\n"}, {"GONOSUMCHECK": "1"}, "GONOSUMCHECK",
                 ("1", "environment", "/etc/environment:1"), id="/etc/environment"),
])
def test_a_value_and_where_it_comes_from(tmp_path: Path, files: dict[str, str], environment: dict[str, str], name: str,
                                         expected: tuple[str, str, str | None]) -> None:
    (entry,) = modules.collect_settings(host(tmp_path, files, {"login": {**HOME, **environment}}))
    value = entry["values"][name]
    assert (value["value"], value["source"], value["where"]) == expected


def test_what_is_not_set_is_not_listed(tmp_path: Path) -> None:
    (entry,) = modules.collect_settings(host(tmp_path, RELEASE, {"login": HOME}))
    assert sorted(entry["values"]) == ["GOPROXY", "GOSUMDB"]


def test_users_with_settings_of_their_own_are_entries_too(tmp_path: Path) -> None:
    files = {**RELEASE, ENV: "GOSUMDB=off\n", "/home/ci/.config/go/env": "GOFLAGS=-mod=mod\n"}
    found = modules.collect_settings(host(tmp_path, files, {"login": HOME}))
    assert [(one["kind"], one["user"], one["goenv"], one["go"]) for one in found] == [
        ("login", "deploy", ENV, f"{GO}/bin/go"), ("file", "ci", "/home/ci/.config/go/env", None)]
    assert found[1]["values"]["GOFLAGS"] == {"value": "-mod=mod", "source": "user_file", "where": "/home/ci/.config/go/env:1"}


def test_a_host_that_should_have_no_go_is_not_asked(tmp_path: Path) -> None:
    assert modules.collect_settings(host(tmp_path, RELEASE, {"login": HOME}, toolchain="absent")) == []


@pytest.mark.parametrize(("kind", "files", "expected"), [
    ("login", {"/home/deploy/.profile": "export PATH=x GOPROXY=y\n"}, "/home/deploy/.profile:1"),
    ("login", {"/etc/profile.d/a.sh": "GOPROXY=a\n", "/home/deploy/.bash_profile": "\nGOPROXY=b\n"}, "/home/deploy/.bash_profile:2"),
    ("non_login", {"/home/deploy/.profile": "export GOPROXY=y\n", "/home/deploy/.bashrc": "export GOPROXY=y\n"},
     "/home/deploy/.bashrc:1"),
    ("login", {"/home/deploy/.config/fish/config.fish": "set -gx GOPROXY https://a.example\n"}, "/home/deploy/.config/fish/config.fish:1"),
    ("systemd", {"/etc/systemd/system.conf.d/go.conf": "[Manager]\nDefaultEnvironment=\"A=1\" \"GOPROXY=x\"\n"},
     "/etc/systemd/system.conf.d/go.conf:2"),
    ("sudo", {"/etc/sudoers": "Defaults env_keep += \"GOPROXY\"\n"}, None),
    ("login", {"/etc/security/pam_env.conf": "GOPROXY DEFAULT=x\n"}, "/etc/security/pam_env.conf:1"),
    ("login", {"/etc/profile.d/a.sh": "# GOPROXY=a\nunset GOPROXY\necho $GOPROXY MYGOPROXY=1\n"}, None),
])
def test_the_line_that_sets_a_variable(tmp_path: Path, kind: str, files: dict[str, str], expected: str | None) -> None:
    context = host(tmp_path, files, {})
    assert modules.setting_place(context, kind, "/home/deploy", "GOPROXY") == expected


def test_of_a_netrc_the_machines_alone(tmp_path: Path) -> None:
    text = "machine b.example login ci password s3cret\nmachine a.example\ndefault login x password y\n"
    context = host(tmp_path, {"/home/ci/.netrc": text}, {})
    (tmp_path / "home/ci/.netrc").chmod(0o640)
    (entry,) = modules.collect_netrc(context)
    assert entry["machines"] == ["a.example", "b.example"]
    assert (entry["path"], entry["mode"], entry["readable"]) == ("/home/ci/.netrc", "0640", True)
    assert "s3cret" not in str(entry)


def test_what_git_is_told_to_fetch_from_elsewhere(tmp_path: Path) -> None:
    context = host(tmp_path, {
        "/etc/gitconfig": "[url \"ssh://git@git.example/\"]\n\tinsteadOf = https://git.example/ ; why\n",
        "/home/ci/.gitconfig": "[user]\n insteadOf = no\n[url \"https://ci:s3cret@b.example/\"] insteadof=\"https://b.example/\"\n[url",
    }, {})
    assert modules.collect_git(context) == [
        {"user": None, "where": "/etc/gitconfig:2", "url": "ssh://git@git.example/", "instead_of": "https://git.example/"},
        {"user": "ci", "where": "/home/ci/.gitconfig:3", "url": "https://ci:[redacted]@b.example/", "instead_of": "https://b.example/"},
    ]
