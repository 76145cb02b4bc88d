# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import goenv
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).parents[3] / "unit" / "fixtures" / "toolchain"


def recorded(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param(recorded("VERSION-1.27.3.txt"), "go1.27.3", id="1.27.3"),
    pytest.param(recorded("VERSION-1.21.13.txt"), "go1.21.13", id="1.21.13"),
    pytest.param(recorded("VERSION-debian-1.19.8.txt"), "go1.19.8", id="one line without a newline"),
    pytest.param("", None, id="empty"),
    pytest.param("\n", None, id="empty line"),
    pytest.param("\x7fELF\x02\x01", None, id="not a text"),
])
def test_version_line(text: str, expected: str | None) -> None:
    assert goenv.version_line(text) == expected


def test_env_file_of_the_release() -> None:
    assert goenv.parse_env_file(recorded("go.env-1.27.3.txt")) == {
        "GOPROXY": "https://proxy.golang.org,direct", "GOSUMDB": "sum.golang.org", "GOTOOLCHAIN": "auto"}


@pytest.mark.parametrize(("text", "expected"), [
    ("GOPRIVATE=git.corp\nGOFLAGS=-mod=mod\n", {"GOPRIVATE": "git.corp", "GOFLAGS": "-mod=mod"}),
    ("# GOPRIVATE=no\n GOPROXY=no\ngoproxy=no\nNOVALUE\n=x\n", {}),
    ("GOPROXY=\r\nGOFLAGS=a b  \r\n", {"GOPROXY": "", "GOFLAGS": "a b  "}),
])
def test_env_file(text: str, expected: dict[str, str]) -> None:
    assert goenv.parse_env_file(text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param('PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games:/snap/bin"\n',
                 {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games:/snap/bin"},
                 id="Ubuntu"),
    pytest.param("export GOROOT='/opt/go' # old\n#GOPATH=/x\n", {"GOROOT": "/opt/go"}, id="export, quotes, comment"),
    pytest.param("GOPATH=$HOME/go\nno value\n1X=2\n", {"GOPATH": "$HOME/go"}, id="nothing is expanded"),
    pytest.param('A="\n', {"A": ""}, id="one quote"),
])
def test_etc_environment(text: str, expected: dict[str, str]) -> None:
    assert goenv.parse_etc_environment(text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param("LANG=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
                 {"LANG": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, id="systemd 252"),
    pytest.param("GOFLAGS=$'-ldflags=\\'-X a\\' \\x41\\101\\n'\n", {"GOFLAGS": "-ldflags='-X a' AA\n"}, id="escaped"),
    pytest.param("A=$'\nB=1\n", {"A": "$'", "B": "1"}, id="not closed"),
])
def test_show_environment(text: str, expected: dict[str, str]) -> None:
    assert goenv.parse_show_environment(text) == expected


MARK = "--mark--"


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param(f"{MARK}/usr/bin/go\n{MARK}PATH=/usr/bin\0HOME=/root\0{MARK}",
                 ("/usr/bin/go", {"PATH": "/usr/bin", "HOME": "/root"}), id="quiet"),
    pytest.param(f"Welcome!\nGOROOT=/lie\n{MARK}/usr/bin/go\n{MARK}PATH=/usr/bin\0{MARK}bye\n",
                 ("/usr/bin/go", {"PATH": "/usr/bin"}), id="noise before and behind"),
    pytest.param(f"{MARK}{MARK}A=1\nB=2\0C\0BASH_FUNC_x%%=() {{ :; }}\0{MARK}", ("", {"A": "1\nB=2"}), id="no go, odd variables"),
    pytest.param(f"{MARK}alias go='grc go'\n{MARK}\0{MARK}", ("alias go='grc go'", {}), id="alias"),
])
def test_dump(text: str, expected: tuple[str, dict[str, str]]) -> None:
    assert goenv.parse_dump(text, MARK) == expected


@pytest.mark.parametrize("text", ["", "Welcome!\n", f"{MARK}/usr/bin/go\n", f"{MARK}{MARK}PATH=/usr/bin", MARK * 5])
def test_dump_of_a_shell_that_did_not_answer(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        goenv.parse_dump(text, MARK)
    assert str(caught.value) == "its start-up files ended the shell before it could answer"


@pytest.mark.parametrize(("text", "expected"), [
    (recorded("gvm-1.0.22-environment-default.txt"), "go1.27.3"),
    ("export gvm_go_name; gvm_go_name='system'\n", "system"),
    ("export gvm_go_name\n", None),
    ("", None),
])
def test_gvm_default(text: str, expected: str | None) -> None:
    assert goenv.gvm_default(text) == expected


GO_ENV = goenv.parse_env_file(recorded("go.env-1.27.3.txt"))


@pytest.mark.parametrize(("variables", "user_file", "name", "expected"), [
    pytest.param({}, {}, "GOPATH", "/home/deploy/go", id="default GOPATH"),
    pytest.param({"GOPATH": ""}, {"GOPATH": "/srv/go"}, "GOPATH", "/srv/go", id="an empty variable is unset"),
    pytest.param({"GOPATH": "/a"}, {"GOPATH": "/srv/go"}, "GOPATH", "/a", id="the variable comes first"),
    pytest.param({}, {}, "GOTOOLCHAIN", "auto", id="from GOROOT/go.env"),
    pytest.param({}, {"GOTOOLCHAIN": "go1.26.4"}, "GOTOOLCHAIN", "go1.26.4", id="go env -w comes before go.env"),
    pytest.param({"GOPRIVATE": "git.corp"}, {}, "GONOSUMDB", "git.corp", id="GOPRIVATE is the default"),
    pytest.param({"GOPRIVATE": "git.corp", "GONOPROXY": "none"}, {}, "GONOPROXY", "none", id="unless set"),
    pytest.param({}, {}, "GOROOT", "/usr/local/go", id="GOROOT of the binary"),
    pytest.param({"GOROOT": "/opt/go"}, {}, "GOROOT", "/opt/go", id="GOROOT variable"),
])
def test_in_effect(variables: dict[str, str], user_file: dict[str, str], name: str, expected: str) -> None:
    values = goenv.in_effect(variables, user_file, GO_ENV, home="/home/deploy", goroot="/usr/local/go")
    assert values[name] == expected


@pytest.mark.parametrize("version", ["1.27.3", "1.21.13"])
def test_in_effect_agrees_with_go(version: str) -> None:
    answer = json.loads(recorded(f"go-env-{version}.json"))
    values = goenv.in_effect({}, {}, GO_ENV, home="/home/deploy", goroot="/usr/local/go")
    asked = set(values) & set(answer) - {"GOTOOLCHAIN"}  # asked with GOTOOLCHAIN=local
    assert len(asked) >= 8
    assert {name: values[name] for name in asked} == {name: answer[name] for name in asked}


def test_the_default_gopath_is_dropped_where_go_itself_lies_there() -> None:
    assert goenv.in_effect({}, {}, {}, home="/home/deploy", goroot="/home/deploy/go")["GOPATH"] == ""
    assert goenv.in_effect({}, {}, {}, home="", goroot="/usr/local/go")["GOPATH"] == ""


def test_go_without_go_env_does_not_switch() -> None:
    assert goenv.in_effect({}, {}, {}, home="/root", goroot=None)["GOTOOLCHAIN"] == "local"


@pytest.mark.parametrize(("value", "expected"), [
    ("https://ci:hunter2@proxy.corp,https://x:s3cr3t@second.corp|direct",
     "https://ci:[redacted]@proxy.corp,https://x:[redacted]@second.corp|direct"),
    ("https://proxy.golang.org,direct", "https://proxy.golang.org,direct"),
    ("ci:hunter2@proxy.corp/go|direct", "ci:[redacted]@proxy.corp/go|direct"),
    ("sum.corp+1+A ci:hunter2@sum.corp", "sum.corp+1+A ci:[redacted]@sum.corp"), ("https:ci:hunter2@a.b/x", "https:ci:[redacted]@a.b/x"),
    ("git@github.com:corp/", "git@github.com:corp/"),
    ("-ldflags=-X=main.token=hunter2", "-ldflags=-X=main.token=[redacted]"),
    ("git.corp/*,github.com/corp", "git.corp/*,github.com/corp"),
])
def test_credentials_stay_on_the_host(value: str, expected: str) -> None:
    assert goenv.clean_value(value) == expected


def test_only_the_named_variables_are_reported() -> None:
    assert goenv.clean({"GOPATH": "/go", "AWS_SECRET_ACCESS_KEY": "x", "PATH": "/bin", "GOFLAGS": ""}) == {"GOPATH": "/go"}


PARSERS = [goenv.version_line, goenv.parse_env_file, goenv.parse_etc_environment, goenv.parse_show_environment, goenv.gvm_default,
           goenv.split_list, goenv.clean_value]


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__)
@given(text=st.one_of(st.text(max_size=500), st.binary(max_size=500).map(lambda raw: raw.decode("utf-8", "replace")),
                      st.lists(st.sampled_from(["A", "=", "'", '"', "$'", "\\", "x4", "\n", "#", "export ", ":", ",", "https://"]),
                               max_size=40).map("".join)))
def test_any_text_gives_a_value(parser: object, text: str) -> None:
    assert callable(parser)
    parser(text)


@given(st.text(max_size=300), st.integers(0, 5))
def test_a_dump_is_read_only_between_three_markers(text: str, marks: int) -> None:
    text = text.replace("-", "")
    dump = text + (MARK + text) * marks
    if marks == 3:
        answer, environment = goenv.parse_dump(dump, MARK)
        assert "\n" not in answer and all(environment)
    else:
        with pytest.raises(ValueError):
            goenv.parse_dump(dump, MARK)
