# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps are run with a stand-in for go: a shell script that says what it was called with, or fails as a real one does."""
from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import scratch
from ansible_collections.goready.preflight.plugins.module_utils.collect import build, toolchain
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Budget, Context, Unavailable

# Builds a script that prints what the real program prints; everything else ends well.
GO = """#!/bin/sh
PATH=/usr/bin:/bin
echo "$0 $* CGO_ENABLED=$CGO_ENABLED GOARCH=$GOARCH GOFLAGS=$GOFLAGS GOROOT=$GOROOT CC=$CC" >> {log}
case "$1 $GOROOT" in
  "{fails} "*) echo "go: {fails} is broken" >&2; exit 1;;
  *" /elsewhere") echo 'compile: version "go1.26.4" does not match go tool version "go1.27.3"' >&2; exit 1;;
esac
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then
    text="goready: the sum of 2, 3 and 5 is 10"; [ "$CGO_ENABLED" = 1 ] && text="goready: cgo works"
    printf '#!/bin/sh\\necho "%s"\\n' "$text" > "$2"; chmod +x "$2"
  fi
  shift
done
"""
GOFMT = "#!/bin/sh\necho unformatted.txt\n"
FLAGS = f"{build.QUICK} -buildvcs=false"


class Host:
    """A Go tree, and what the subset toolchain tells of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "go"
        self.log = folder / "log"
        (self.root / "bin").mkdir(parents=True)
        self.program("gofmt", GOFMT)
        self.go()

    def program(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def go(self, fails: str = "nothing") -> None:
        self.program("go", GO.format(log=self.log, fails=fails))

    def entry(self, **values: Any) -> dict[str, Any]:
        return {"goroot": str(self.root), "go": f"{self.root}/bin/go", "version": "go1.27.3", "runs": True, "error": None,
                "elf_machine": "amd64", "env": {"GOHOSTARCH": "amd64"}, "found_by": ["login shell of me"], "writable_by_others": [],
                **values}

    def context(self, environment: Mapping[str, str] | None = None, *, options: Mapping[str, Any] | None = None,
                entries: list[dict[str, Any]] | None = None, **values: Any) -> Context:
        active = {"budget": 60, "build": dict(options or {})}
        context = Context(timeout=120.0, active=active, **values)
        context.shared["toolchain.toolchains"] = [self.entry()] if entries is None else entries
        context.shared["toolchain.shells"] = [{"kind": "login", "user": "me", "go": f"{self.root}/bin/go", "goroot": str(self.root)}]
        context.shared[toolchain.ENVIRONMENTS] = {"login": {"PATH": "/none", "TMPDIR": str(self.folder), **(environment or {})}}
        return context

    def calls(self) -> list[str]:
        return [line.split(" ", 1)[1] for line in self.log.read_text().splitlines()]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.delenv("SUDO_USER", raising=False)
    # The folders above are pytest's own, some of which others may write: who runs the tests is trusted here.
    monkeypatch.setattr(toolchain, "runner_of", lambda context, _path: ([], toolchain.accounts_of(context).by_uid(os.geteuid())))
    return Host(tmp_path)


def steps(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: (step["error"] or {}).get("kind", step["rc"]) for name, step in entry["steps"].items()}


def test_every_step_of_a_go_that_works(host: Host) -> None:
    (entry,) = build.collect_toolchains(host.context())
    assert entry["error"] is None
    assert entry["seen_by"] == ["login shell of me"] and entry["base"] == str(host.folder)
    assert entry["cgo"] == {"wanted": False, "why": "no C compiler is in PATH, and Go does without cgo then"}
    # What the script gives is no ELF file.
    assert steps(entry) == {"fmt": 0, "build": 0, "run": 0, "static_build": "unavailable", "vet": 0, "test": 0,
                            "cross_build": "unavailable"}
    assert entry["steps"]["run"]["matched"] and entry["steps"]["fmt"]["matched"]
    assert entry["steps"]["static_build"]["error"]["message"] == "program: not an ELF file"
    assert entry["steps"]["static_build"]["argv"] == entry["steps"]["build"]["argv"] and entry["steps"]["build"]["error"] is None
    assert host.calls() == [
        f"build -o program . CGO_ENABLED=0 GOARCH= GOFLAGS={FLAGS} GOROOT= CC=",
        f"vet ./twice CGO_ENABLED=0 GOARCH= GOFLAGS={FLAGS} GOROOT= CC=",
        f"test -vet=off -count=1 ./sum CGO_ENABLED=0 GOARCH= GOFLAGS={FLAGS} GOROOT= CC=",
        f"build -o program . CGO_ENABLED=0 GOARCH=arm64 GOFLAGS={FLAGS} GOROOT= CC=",
    ]
    assert sorted(path.name for path in host.folder.iterdir()) == ["go", "log"]


def test_nothing_more_is_tried_where_nothing_is_built(host: Host) -> None:
    host.go(fails="build")
    (entry,) = build.collect_toolchains(host.context())
    assert steps(entry) == {"fmt": 0, "build": 1, "run": "build", "static_build": "build", "vet": "build", "test": "build",
                            "cross_build": "build", "cgo": "build"}
    assert entry["steps"]["build"]["output"] == ["go: build is broken"]


@pytest.mark.parametrize("name", ["vet", "test"])
def test_a_step_that_fails_leaves_the_others(host: Host, name: str) -> None:
    host.go(fails=name)
    (entry,) = build.collect_toolchains(host.context())
    assert entry["steps"][name]["rc"] == 1 and entry["steps"][name]["output"] == [f"go: {name} is broken"]
    assert [other for other, rc in steps(entry).items() if rc == 1] == [name]


@pytest.mark.parametrize(("text", "rc", "matched", "kind"), [
    pytest.param("#!/bin/sh\necho main.go; echo unformatted.txt\n", 0, False, None, id="names what is formatted"),
    pytest.param("#!/bin/sh\ntrue\n", 0, False, None, id="names nothing"),
    pytest.param("#!/bin/sh\nexit 2\n", 2, False, None, id="fails"),
    pytest.param(None, None, False, "unavailable", id="is not there"),
])
def test_gofmt(host: Host, text: str | None, rc: int | None, matched: bool, kind: str | None) -> None:
    if text is None:
        (host.root / "bin/gofmt").unlink()
    else:
        host.program("gofmt", text)
    step = build.collect_toolchains(host.context())[0]["steps"]["fmt"]
    assert (step["rc"], step["matched"], (step["error"] or {}).get("kind")) == (rc, matched, kind)


@pytest.mark.parametrize(("version", "flags"), [("go1.17.13", ""), ("go1.20.14", "-buildvcs=false"), ("go1.21.0", FLAGS),
                                                ("devel go1.28-abc", FLAGS)])
def test_an_old_go_knows_fewer_flags(host: Host, version: str, flags: str) -> None:
    build.collect_toolchains(host.context(entries=[host.entry(version=version)]))
    assert host.calls()[0] == f"build -o program . CGO_ENABLED=0 GOARCH= GOFLAGS={flags} GOROOT= CC="


class TestSettings:
    @pytest.mark.parametrize(("environment", "values", "rc"), [
        ({"GOROOT": "/elsewhere"}, {"GOROOT": "/elsewhere"}, 1),
        ({"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOWORK": "/x"}, {"GOFLAGS": "-mod=mod"}, 0),
        ({"GOOS": "windows", "GOARCH": "amd64"}, {"GOOS": "windows", "GOARCH": "amd64"}, 0),
    ])
    def test_what_a_shell_sets_is_tried_after_what_go_does_by_itself(self, host: Host, environment: Mapping[str, str],
                                                                     values: Mapping[str, str], rc: int) -> None:
        (entry,) = build.collect_toolchains(host.context(environment))
        (tried,) = entry["settings"]
        assert tried["shells"] == ["login shell of me"] and tried["values"] == values and tried["not_tried"] is None
        assert tried["step"]["rc"] == rc
        assert entry["steps"]["build"]["rc"] == 0

    def test_flags_are_kept_beside_ours(self, host: Host) -> None:
        build.collect_toolchains(host.context({"GOFLAGS": "-mod=mod"}))
        assert [call for call in host.calls() if "own" in call] == [
            "build -o own . CGO_ENABLED= GOARCH= GOFLAGS='-gcflags=all=-l -dwarf=false' -mod=mod -buildvcs=false GOROOT= CC="]

    def test_what_go_env_w_keeps_counts_and_the_environment_wins(self, host: Host) -> None:
        file = host.folder / "env"
        file.write_text("GOFLAGS=-mod=vendor\nGOEXPERIMENT=nosuch\n")
        (entry,) = build.collect_toolchains(host.context({"GOENV": str(file), "GOFLAGS": "-trimpath"}))
        assert entry["settings"][0]["values"] == {"GOFLAGS": "-trimpath", "GOEXPERIMENT": "nosuch"}

    @pytest.mark.parametrize("flags", ["-modfile=go.local.mod", "-trimpath -overlay=/x.json", "--pgo=default.pgo"])
    def test_a_projects_own_files_are_not_tried(self, host: Host, flags: str) -> None:
        (entry,) = build.collect_toolchains(host.context({"GOFLAGS": flags}))
        assert entry["settings"][0]["not_tried"] == "GOFLAGS names files of a project" and entry["settings"][0]["step"] is None

    @pytest.mark.parametrize(("environment", "values"), [
        pytest.param({"GOTMPDIR": "/nowhere/at/all"}, {"GOTMPDIR": "/nowhere/at/all"}, id="GOTMPDIR is not there"),
        pytest.param({"TMPDIR": "/nowhere/at/all"}, {"TMPDIR": "/nowhere/at/all"}, id="TMPDIR is not there"),
        pytest.param({"TMPDIR": "/etc/passwd"}, {"TMPDIR": "/etc/passwd"}, id="nothing can be made there"),
        pytest.param({"GOTMPDIR": "{good}", "TMPDIR": "/nowhere/at/all"}, None, id="GOTMPDIR comes first"),
        pytest.param({"TMPDIR": "{good}"}, None, id="a good one"),
        pytest.param({"TMPDIR": "relative"}, None, id="no absolute path"),
    ])
    def test_a_temporary_folder_in_which_nothing_can_be_made(self, host: Host, environment: Mapping[str, str],
                                                             values: Mapping[str, str] | None) -> None:
        context = host.context({name: value.format(good=host.folder) for name, value in environment.items()})
        context.shared["toolchain.shells"][0]["user"] = scratch.account().pw_name
        context.shared["toolchain.toolchains"][0]["found_by"] = [f"login shell of {scratch.account().pw_name}"]
        (entry,) = build.collect_toolchains(context)
        assert [one["values"] for one in entry["settings"]] == ([] if values is None else [values])
        assert entry["steps"]["build"]["rc"] == 0
        assert [call.split(" CGO", 1)[0] for call in host.calls()].count("build -o own .") == (values is not None)

    @pytest.mark.parametrize(("environment", "values"), [({}, {"TMPDIR": "/tmp"}), ({"GOTMPDIR": "/x"}, {"GOTMPDIR": "/x"})])
    def test_a_temporary_folder_that_is_full(self, host: Host, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str],
                                             values: Mapping[str, str]) -> None:
        """The toolchain is tried where there is room, but this user's go does not look for that."""
        error = {"kind": "space", "message": "it has 3 MiB free, of the 256 MiB that are wanted"}
        enter = scratch.Folder.__enter__

        def full(folder: scratch.Folder) -> scratch.Folder:
            folder.bases = [str(host.folder)]
            enter(folder)
            folder.passed_over = dict.fromkeys(values.values(), error)
            return folder

        monkeypatch.setattr(scratch.Folder, "__enter__", full)
        context = host.context({"TMPDIR": "", **environment})
        context.shared["toolchain.shells"][0]["user"] = scratch.account().pw_name
        context.shared["toolchain.toolchains"][0]["found_by"] = [f"login shell of {scratch.account().pw_name}"]
        (entry,) = build.collect_toolchains(context)
        (tried,) = entry["settings"]
        assert (tried["values"], tried["step"]["error"], tried["step"]["rc"]) == (values, error, None)
        assert entry["steps"]["build"]["rc"] == 0 and "own" not in " ".join(host.calls())

    def test_what_another_users_shell_names_is_not_for_this_one(self, host: Host) -> None:
        """As pam_tmpdir does: sudo has /tmp/user/0."""
        (entry,) = build.collect_toolchains(host.context({"TMPDIR": "/nowhere/at/all"}))
        assert entry["settings"] == []

    def test_another_systems_program_is_no_elf_file(self, host: Host) -> None:
        (entry,) = build.collect_toolchains(host.context({"GOOS": "windows"}))
        step = entry["settings"][0]["step"]
        assert (step["rc"], step["error"], step["elf"]) == (0, None, None)

    def test_a_goroot_that_names_this_tree_changes_nothing(self, host: Host) -> None:
        (entry,) = build.collect_toolchains(host.context({"GOROOT": str(host.root)}))
        assert entry["settings"] == []

    def test_one_try_for_shells_that_agree(self, host: Host) -> None:
        context = host.context({"GOFLAGS": "-trimpath"})
        context.shared["toolchain.shells"].append(dict(context.shared["toolchain.shells"][0], kind="sudo"))
        context.shared["toolchain.toolchains"][0]["found_by"].append("sudo")
        context.shared[toolchain.ENVIRONMENTS]["sudo"] = {"GOFLAGS": "-trimpath"}
        (entry,) = build.collect_toolchains(context)
        assert [one["shells"] for one in entry["settings"]] == [["login shell of me", "sudo"]]

    def test_a_password_is_hidden(self, host: Host) -> None:
        (entry,) = build.collect_toolchains(host.context({"GOFLAGS": "-ldflags=-X=main.url=https://ci:hunter22@example.org/"}))
        assert "hunter22" not in str(entry)


class TestCgo:
    @pytest.mark.parametrize(("environment", "compiler", "cgo", "wanted", "why"), [
        pytest.param({}, True, "auto", True, "{bin}/gcc is in PATH", id="gcc is there"),
        pytest.param({}, False, "auto", False, "no C compiler is in PATH, and Go does without cgo then", id="nothing is there"),
        pytest.param({"CGO_ENABLED": "0"}, True, "auto", False, "CGO_ENABLED=0 is set", id="switched off"),
        pytest.param({"CGO_ENABLED": "1"}, False, "auto", True, "CGO_ENABLED=1 is set", id="switched on"),
        pytest.param({"CC": "clang-99"}, False, "auto", True, "CC=clang-99 is set", id="a compiler is named"),
        pytest.param({}, True, "absent", False, "preflight_build.cgo is absent", id="absent by the inventory"),
        pytest.param({}, False, "required", True, "preflight_build.cgo is required", id="required by the inventory"),
    ])
    def test_where_it_is_wanted(self, host: Host, environment: Mapping[str, str], compiler: bool, cgo: str, wanted: bool,
                                why: str) -> None:
        folder = host.folder / "c"
        folder.mkdir()
        if compiler:
            (folder / "gcc").write_text("#!/bin/sh\n")
            (folder / "gcc").chmod(0o755)
        (entry,) = build.collect_toolchains(host.context({"PATH": str(folder), **environment}, options={"cgo": cgo}))
        assert entry["cgo"] == {"wanted": wanted, "why": why.format(bin=folder)}
        assert ("cgo" in entry["steps"]) == wanted

    def test_the_program_is_run(self, host: Host) -> None:
        (entry,) = build.collect_toolchains(host.context({"CC": "mycc", "CGO_CFLAGS": "-O2", "SECRET": "x"}))
        step = entry["steps"]["cgo"]
        assert step["env"] == {"CC": "mycc", "CGO_CFLAGS": "-O2", "CGO_ENABLED": "1", "GOFLAGS": FLAGS}
        assert step["run"] == {"rc": 0, "output": ["goready: cgo works"], "error": None, "matched": True}


class TestWhichGo:
    def test_those_that_a_shell_sees(self, host: Host) -> None:
        context = host.context(entries=[host.entry(), host.entry(goroot="/opt/go", found_by=["/opt/go"])])
        assert [one["goroot"] for one in build.wanted(context)] == [str(host.root)]

    def test_all_where_the_inventory_says_so(self, host: Host) -> None:
        context = host.context(entries=[host.entry(), host.entry(goroot="/opt/go", found_by=["/opt/go"])], options={"toolchains": "all"})
        assert [one["goroot"] for one in build.wanted(context)] == [str(host.root), "/opt/go"]

    @pytest.mark.parametrize(("policy", "found"), [("required", ["go1.27.3"]), ("optional", [])])
    def test_the_newest_where_no_shell_sees_one(self, host: Host, policy: str, found: list[str]) -> None:
        versions = ("go1.9.7", "go1.27rc1", "go1.27.3", "devel", "go1.26.4", "go1.28.0")
        entries = [host.entry(version=version, found_by=["/opt"], runs=version != "go1.28.0") for version in versions]
        assert [one["version"] for one in build.wanted(host.context(entries=entries, toolchain=policy))] == found

    def test_none_where_none_should_be(self, host: Host) -> None:
        assert build.collect_toolchains(host.context(toolchain="absent")) == []

    def test_it_is_unknown_which_there_are(self) -> None:
        with pytest.raises(Unavailable, match="which Gos there are was not collected"):
            build.collect_toolchains(Context())

    def test_those_beyond_the_most_are_not_kept_silent(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(build, "MAX_TOOLCHAINS", 1)
        entries = [host.entry(), host.entry(goroot="/opt/go", found_by=["/opt/go"])]
        first, second = build.collect_toolchains(host.context(entries=entries, options={"toolchains": "all"}))
        assert first["error"] is None and first["steps"]["build"]["rc"] == 0
        assert second["error"] == {"kind": "unavailable", "message": "more than 1 Gos are not tried on one host"} and second["steps"] == {}

    @pytest.mark.parametrize(("runs", "kind"), [(False, "broken"), (None, "permission")])
    def test_one_that_does_not_start(self, host: Host, runs: bool | None, kind: str) -> None:
        (entry,) = build.collect_toolchains(host.context(entries=[host.entry(runs=runs, error="Exec format error")]))
        assert entry["error"] == {"kind": kind, "message": "Exec format error"} and entry["steps"] == {}


class TestSeveral:
    def two(self, host: Host) -> Context:
        return host.context(entries=[host.entry(), host.entry(goroot="/opt/go", version="go1.26.4", found_by=["/opt/go"])],
                            options={"toolchains": "all", "cgo": "absent"})

    def test_what_matters_most_of_each_comes_first(self, host: Host) -> None:
        entries = build.collect_toolchains(self.two(host))
        assert [steps(entry)["test"] for entry in entries] == [0, 0]
        assert [call.split(" ", 1)[0] + call.split("GOARCH=")[1][:5] for call in host.calls()] == [
            "build GOFL", "vet GOFL", "test GOFL", "build GOFL", "vet GOFL", "test GOFL", "buildarm64", "buildarm64"]
        assert sorted(path.name for path in host.folder.iterdir()) == ["go", "log"]

    def test_where_there_is_room_for_one_at_a_time(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        enter = scratch.Folder.__enter__

        def refused(folder: scratch.Folder) -> scratch.Folder:
            if [path for path in host.folder.iterdir() if path.name.startswith("goready-scratch-")]:
                raise scratch.Unusable("room", "it is taken")
            return enter(folder)

        monkeypatch.setattr(scratch.Folder, "__enter__", refused)
        entries = build.collect_toolchains(self.two(host))
        assert [entry["error"] for entry in entries] == [None, None]
        assert [steps(entry)["test"] for entry in entries] == [0, 0]
        assert ["GOARCH=arm64" in call for call in host.calls()] == [False, False, False, True] * 2

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root asks who could have changed a program")
    def test_one_that_is_gone_by_now_leaves_the_others(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """Build comes last: a minute after the Gos were looked for, which somebody may have used to take one away."""
        def runner_of(context: Context, path: str) -> Any:
            os.stat(path)
            return [], toolchain.accounts_of(context).by_uid(0)

        monkeypatch.setattr(toolchain, "runner_of", runner_of)
        context = self.two(host)
        context.shared["toolchain.toolchains"][0]["go"] = "/gone/bin/go"
        first, second = build.collect_toolchains(context)
        assert first["error"] == {"kind": "unavailable", "message": "/gone/bin/go: No such file or directory"} and first["steps"] == {}
        assert steps(second)["test"] == 0

    def test_one_that_cannot_be_tried_leaves_the_others(self, host: Host) -> None:
        context = self.two(host)
        context.shared["toolchain.toolchains"][0]["runs"] = False
        first, second = build.collect_toolchains(context)
        assert first["error"]["kind"] == "broken" and steps(second)["cross_build"] == "unavailable"


class TestBounds:
    def test_no_budget_is_left(self, host: Host) -> None:
        context = host.context()
        context.budget = Budget(0.0)
        (entry,) = build.collect_toolchains(context)
        assert entry["error"] == {"kind": "budget", "message": "the budget of 0 s (preflight_budget) was used up"}

    @pytest.mark.parametrize(("budget", "timeout", "kind", "message"), [
        (1.0, 60, "budget", "the budget of 1 s (preflight_budget) was used up"),
        (60.0, 1, "timeout", "the 1 s of one toolchain (preflight_build.timeout) were used up"),
    ])
    def test_what_is_cut_off_says_why(self, host: Host, budget: float, timeout: int, kind: str, message: str) -> None:
        host.program("go", "#!/bin/sh\nPATH=/usr/bin:/bin\n[ $1 = vet ] && sleep 60\nprintf '#!/bin/sh\\n' > program; chmod +x program\n")
        context = host.context(options={"timeout": timeout})
        context.budget = Budget(budget)
        (entry,) = build.collect_toolchains(context)
        assert entry["steps"]["vet"]["error"] == entry["steps"]["test"]["error"] == {"kind": kind, "message": message}
        assert entry["steps"]["build"]["rc"] == 0
        assert entry["seconds"] < 10

    def test_an_emulated_host_takes_longer(self, host: Host) -> None:
        context = host.context(options={"timeout": 1})
        context.slow_down(6)
        host.program("go", "#!/bin/sh\n[ $1 = vet ] && sleep 2\ntrue\n")
        (entry,) = build.collect_toolchains(context)
        assert entry["emulated"] and entry["steps"]["vet"]["rc"] == 0


class TestWhoBuilds:
    def test_a_user_who_is_not_there(self, host: Host) -> None:
        (entry,) = build.collect_toolchains(host.context(build_user="nobody-at-all"))
        assert entry["error"] == {"kind": "unavailable", "message": "there is no user nobody-at-all"}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_a_tree_whose_owner_has_no_name(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """An archive that was unpacked with its own numbers: what lies in it is run as that number."""
        owner = toolchain.User("54321", 54321, 65534, "/", "")
        monkeypatch.setattr(toolchain, "runner_of", lambda _ctx, _path: ([], owner))
        # /usr is readable for all, pytest's folder is not.
        (entry,) = build.collect_toolchains(host.context({"TMPDIR": ""}, entries=[host.entry(go="/usr/bin/true", goroot="/usr")]))
        assert entry["user"] == "54321" and entry["error"] is None
        assert entry["steps"]["build"]["rc"] == 0

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root is warned of others' programs")
    def test_root_runs_no_compiler_of_a_tree_that_others_may_write(self, host: Host) -> None:
        entries = [host.entry(writable_by_others=["/go/pkg/tool/linux_amd64/compile is writable by everybody (0777)"])]
        (entry,) = build.collect_toolchains(host.context({"TMPDIR": ""}, entries=entries))
        assert entry["user"] == "nobody"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root is warned of others' programs")
    def test_root_takes_no_library_that_others_may_replace(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        nobody = toolchain.User("nobody", 65534, 65534, "/", "")
        root = toolchain.User("root", 0, 0, "/root", "")
        monkeypatch.setattr(toolchain, "runner_of", lambda _ctx, path: ([], nobody if str(path).startswith("/theirs") else root))
        (entry,) = build.collect_toolchains(host.context({"CC": "mycc", "LD_LIBRARY_PATH": "/theirs:/ours", "COMPILER_PATH": "/theirs"}))
        assert entry["user"] == "root"
        assert entry["steps"]["cgo"]["env"] == {"CC": "mycc", "LD_LIBRARY_PATH": "/ours", "CGO_ENABLED": "1", "GOFLAGS": FLAGS}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root is warned of others' programs")
    def test_root_takes_no_compiler_that_others_may_replace(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        theirs = host.folder / "theirs"
        theirs.mkdir()
        (theirs / "gcc").write_text("#!/bin/sh\n")
        (theirs / "gcc").chmod(0o755)
        nobody = toolchain.User("nobody", 65534, 65534, "/", "")
        root = toolchain.User("root", 0, 0, "/root", "")
        monkeypatch.setattr(toolchain, "runner_of", lambda _ctx, path: ([], nobody if str(path).startswith(str(theirs)) else root))
        context = host.context({"PATH": f"{theirs}:/usr/bin", "CC": f"{theirs}/gcc", "GOROOT": str(theirs)})
        (entry,) = build.collect_toolchains(context)
        assert entry["user"] == "root"
        assert entry["settings"][0]["not_tried"] == "GOROOT names what somebody besides root could have put there"
        assert str(theirs) not in entry["cgo"]["why"]
        assert str(theirs) not in host.log.read_text()


def test_the_module_is_formatted_and_has_no_dependencies() -> None:
    for name, text in build.FILES.items():
        if name.endswith(".go"):
            assert text.endswith("}\n") and not text.endswith("\n\n")
            assert all(line == line.rstrip() and not line.startswith(" ") for line in text.splitlines()), name
        if name.endswith("go.mod"):
            assert "require" not in text and text.endswith("\ngo 1.18\n")


def test_the_folder_is_removed_when_a_step_breaks(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_arguments: Any, **_options: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(scratch.Folder, "run", breaks)
    with pytest.raises(RuntimeError):
        build.collect_toolchains(host.context())
    assert not [path for path in host.folder.iterdir() if stat.S_ISDIR(path.stat().st_mode) and path.name != "go"]
