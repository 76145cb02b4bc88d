# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of what was tried with a Go: recorded on a real host, see fixtures/build/README.md."""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.sub_plugins.check import toolchain

ROOT = "/opt/sdk/1.27.3"
ENTRY = "build/toolchains/0"
STEPS = f"{ENTRY}/steps"
RECORDED = json.loads((Path(__file__).parents[3] / "fixtures/build/failures.json").read_text())
FAILED, SETTINGS = RECORDED["steps"], RECORDED["settings"]
ACTION = [one for one in engine.checks_of(toolchain) if one.profile == "standard"]
AGAIN = "Install the toolchain again from an archive"


def edited(base: Mapping[str, Any], /, **values: Any) -> dict[str, Any]:
    return {**base, **values}


def ended(step: str, **error: str) -> dict[str, Any]:
    """A step that did not come to its own end."""
    return {f"{STEPS}/{step}/rc": None, f"{STEPS}/{step}/error": error}


BUDGET = {"kind": "budget", "message": "the budget of 60 s (preflight_budget) was used up"}
NOTHING_BUILT = {
    f"{STEPS}/{name}": {"argv": [], "rc": None, "seconds": 0.0, "output": [], "memory": 0, "env": {}, "elf": None,
                        "error": {"kind": "build", "message": "not tried, because nothing is built"}}
    for name in ("run", "vet", "test", "static_build", "cross_build", "cgo")}


def row(check: str, status: str, reason: str, edits: Mapping[str, Any] | None = None, *, id: str = "", hint: str = "", evidence: str = "",
        severity: str = "", **policy: Any) -> Any:
    options = {"check": f"toolchain.{check}", "status": status, "reason": reason, "edits": edits or {}, "hint": hint,
               "evidence": evidence, "severity": severity, "policy": policy}
    return pytest.param(options, id=f"{check}: {id or status}")


def error(kind: str, message: str) -> dict[str, Any]:
    return {f"{ENTRY}/error": {"kind": kind, "message": message}, f"{ENTRY}/steps": {}, f"{ENTRY}/cgo": None}


ROWS = [
    # build
    row("build", "pass", "go1.27.3 builds a program in {build} s, and it runs.",
        evidence="$ CGO_ENABLED=0 go build -o program .: exit status 0"),
    row("build", "fail", "`CGO_ENABLED=0 go build -o program .` of go1.27.3 fails (exit status 1): the standard library is not whole.",
        {f"{STEPS}/build": FAILED["std"], **NOTHING_BUILT}, id="a package of the standard library is gone", hint=AGAIN, severity="high",
        evidence="  /opt/sdk/1.27.3/src/os/exec.go:8:2: package errors is not in std (/opt/sdk/1.27.3/src/errors)"),
    row("build", "fail", "`CGO_ENABLED=0 go build -o program .` of go1.27.3 fails (exit status 1): a program of the toolchain is another "
        "machine's.", {f"{STEPS}/build": FAILED["machine"], **NOTHING_BUILT}, id="the compiler is another machine's", hint="`uname -m`",
        evidence="exec format error"),
    row("build", "fail", "go1.27.3 builds by itself, but not with GOROOT=/opt/sdk/1.26.4 of login shell of deploy: GOROOT names another "
        "Go than the one that runs.", {f"{ENTRY}/settings": [SETTINGS["goroot"]]}, id="GOROOT of another release", hint="Unset GOROOT",
        evidence='compile: version "go1.26.4" does not match go tool version "go1.27.3"'),
    row("build", "fail", "go1.27.3 builds by itself, but not with GOFLAGS=-mod=foo of login shell of deploy: GOFLAGS holds what this go "
        "does not take.", {f"{ENTRY}/settings": [SETTINGS["flags"]]}, id="GOFLAGS", hint="go env -u GOFLAGS",
        evidence="$ GOFLAGS=-mod=foo go build -o own .: exit status 1"),
    row("build", "pass", "go1.27.3 builds a program in {build} s, and it runs.",
        {f"{ENTRY}/settings": [edited(SETTINGS["flags"], step=None, not_tried="GOFLAGS names files of a project")]},
        id="settings of a project", evidence="with GOFLAGS=-mod=foo of login shell of deploy: GOFLAGS names files of a project"),
    row("build", "unknown", "go1.27.3 builds by itself; whether it does with GOFLAGS=-mod=foo of login shell of deploy is unknown: "
        "the budget of 60 s (preflight_budget) was used up.",
        {f"{ENTRY}/settings": [edited(SETTINGS["flags"], step=edited(SETTINGS["flags"]["step"], rc=None, error=BUDGET))]},
        id="settings cut off"),
    row("build", "unknown", "go1.27.3 builds by itself; whether it does with GOFLAGS=-mod=foo of login shell of deploy is unknown: "
        "the memory did not suffice (exit status 1).",
        {f"{ENTRY}/settings": [edited(SETTINGS["flags"], step=edited(
            SETTINGS["flags"]["step"], rc=1, output=["go build runtime: /opt/go/pkg/tool/linux_amd64/compile: signal: killed"]))]},
        id="no memory for the settings"),
    row("build", "fail", "go1.27.3 builds by itself, but not with TMPDIR=/tmp of login shell of deploy: /tmp has 3 MiB free, of the "
        "256 MiB that are wanted.",
        {f"{ENTRY}/settings": [edited(SETTINGS["flags"], values={"TMPDIR": "/tmp"}, step=edited(
            SETTINGS["flags"]["step"], rc=None, argv=[], output=[],
            error={"kind": "space", "message": "/tmp has 3 MiB free, of the 256 MiB that are wanted"}))]},
        id="this user's temporary folder is full", hint="Make room there", severity="high"),
    row("build", "unknown", "How `./program` of go1.27.3 ends is unknown: the memory did not suffice (ended by SIGKILL).",
        {f"{STEPS}/run/rc": -9, f"{STEPS}/run/matched": False, f"{STEPS}/run/output": []}, id="the program is killed"),
    row("build", "pass", "go1.27.3 builds a program in {build} s; it was not run, because nothing may be executed there.",
        {f"{STEPS}/run": FAILED["noexec_run"], f"{ENTRY}/noexec": True}, id="noexec", evidence="(mounted noexec)"),
    row("build", "fail", "go1.27.3 builds a program that does not run as it should (ended by SIGILL).",
        {f"{STEPS}/run/rc": -4, f"{STEPS}/run/matched": False, f"{STEPS}/run/output": []}, id="the program does not run"),
    row("build", "fail", 'go1.27.3 builds a program that does not run as it should (exit status 0): it says "10".',
        {f"{STEPS}/run/matched": False, f"{STEPS}/run/output": ["10"]}, id="the program prints something else"),
    row("build", "fail", "go1.27.3 has nowhere to build: " + FAILED["space"]["message"] + ".", error(**FAILED["space"]), id="no space",
        hint="Make room in /tmp"),
    row("build", "unknown", "What go1.27.3 does is unknown: " + FAILED["room"]["message"] + ".", error(**FAILED["room"]),
        id="little space"),
    row("build", "unknown", "What go1.27.3 does is unknown: there is no user ci.", error("unavailable", "there is no user ci"),
        id="no user",
        hint="Correct preflight_build_user"),
    row("build", "unknown", "What go1.27.3 does is unknown: only root can build as the user ci.",
        error("permission", "only root can build as the user ci"), id="not root", hint="Run the verification as root"),
    row("build", "unknown", "How `CGO_ENABLED=0 go build -o program .` of go1.27.3 ends is unknown: the budget of 60 s (preflight_budget) "
        "was used up.", ended("build", **BUDGET), id="cut off", hint="Raise preflight_budget"),
    row("build", "unknown", "How `CGO_ENABLED=0 go build -o program .` of go1.27.3 ends is unknown: the memory did not suffice (exit "
        "status 1).", {f"{STEPS}/build/rc": 1, f"{STEPS}/build/output": ["runtime: /opt/x/compile: signal: killed"]}, id="no memory",
        hint="Raise preflight_build.memory"),
    row("build", "unknown", "How `./program` of go1.27.3 ends is unknown: it did not end.", ended("run", kind="timeout",
        message="it did not end"),
        id="the program hangs"),
    row("build", "notapplicable", f"{ROOT} does not start: toolchain.present says so.", error("broken", "Exec format error"),
        id="does not start"),
    row("build", "fail", "`CGO_ENABLED=0 go build -o program .` of go1.27.3 fails (exit status 1): the standard library is not whole.",
        {f"{STEPS}/build": FAILED["std"], **NOTHING_BUILT, "toolchain/toolchains/0/found_by": ["/opt/sdk"]}, id="in no PATH",
        severity="low",
        toolchain="optional"),
    # vet, test
    row("vet", "pass", "`go vet` of go1.27.3 ends well in {vet} s."),
    row("vet", "fail", "`CGO_ENABLED=0 go vet ./...` of go1.27.3 fails (exit status 2): a program of the toolchain is missing.",
        {f"{STEPS}/vet": FAILED["vet"]}, hint=AGAIN, evidence='  go: no such tool "vet"'),
    row("vet", "unknown", "How `CGO_ENABLED=0 go vet ./...` of go1.27.3 ends is unknown: the folder passed its bound of 64 MiB.",
        ended("vet", kind="disk", message="the folder passed its bound of 64 MiB"), hint="preflight_build.disk"),
    row("vet", "notapplicable", "go1.27.3 builds nothing: toolchain.build says why.", {f"{STEPS}/build": FAILED["std"], **NOTHING_BUILT}),
    row("vet", "notapplicable", "There is no room to build in: toolchain.build says so.", error(**FAILED["space"]), id="no space"),
    row("test", "pass", "`go test` of go1.27.3 ends well in {test} s."),
    row("test", "fail",
        "`CGO_ENABLED=0 go test -count=1 ./...` of go1.27.3 fails (exit status 1): nothing may be executed in the temporary "
        "folder.", {f"{STEPS}/test": FAILED["noexec_test"], f"{ENTRY}/noexec": True}, id="noexec", hint="set GOTMPDIR",
        evidence="sum.test: permission denied"),
    row("test", "fail", "`CGO_ENABLED=0 go test -count=1 ./...` of go1.27.3 fails (exit status 2): a program of the toolchain is missing.",
        {f"{STEPS}/test": FAILED["test"]}, id="vet is missing"),
    row("test", "unknown", "How `CGO_ENABLED=0 go test -count=1 ./...` of go1.27.3 ends is unknown: it was killed.",
        ended("test", kind="memory", message="it was killed")),
    row("test", "notapplicable", "go1.27.3 builds nothing: toolchain.build says why.", {f"{STEPS}/build": FAILED["std"], **NOTHING_BUILT}),
    # fmt
    row("fmt", "pass", f"{ROOT}/bin/gofmt works."),
    row("fmt", "fail", f"go1.27.3 has no gofmt that can be run beside it: {ROOT}/bin/gofmt: No such file or directory.",
        ended("fmt", kind="unavailable", message=f"{ROOT}/bin/gofmt: No such file or directory"), id="not there",
        hint="Link or install gofmt"),
    row("fmt", "fail", f'{ROOT}/bin/gofmt does not tell formatted files from others: it printed "main.go unformatted.txt".',
        {f"{STEPS}/fmt/matched": False, f"{STEPS}/fmt/output": ["main.go", "unformatted.txt"]}, id="another gofmt"),
    row("fmt", "fail",
        "`gofmt -l . unformatted.txt` of go1.27.3 fails (exit status 2): the toolchain is damaged, or of two releases unpacked "
        "over each other.", {f"{STEPS}/fmt/rc": 2, f"{STEPS}/fmt/output": ["main.go:1:1: syntax error"]}, id="it fails"),
    row("fmt", "unknown", "What go1.27.3 does is unknown: the budget of 60 s (preflight_budget) was used up.", error(**BUDGET)),
    row("fmt", "pass", f"{ROOT}/bin/gofmt works.", {f"{STEPS}/build": FAILED["std"], **NOTHING_BUILT}, id="works where nothing is built"),
    row("fmt", "notapplicable", f"{ROOT} does not start: toolchain.present says so.", error("broken", "Exec format error")),
    # static_build: go-facts of ELF, by the headers alone
    row("static_build", "pass", "What go1.27.3 builds with CGO_ENABLED=0 is static."),
    row("static_build", "pass", "What go1.27.3 builds with CGO_ENABLED=0 is a static PIE.", {f"{STEPS}/static_build/elf/type": "dyn"},
        id="static-pie"),
    row("static_build", "fail", "With CGO_ENABLED=0 go1.27.3 builds a program that is not static: it asks for /lib64/ld-linux-x86-64.so.2.",
        {f"{STEPS}/static_build/elf/interpreter": "/lib64/ld-linux-x86-64.so.2", f"{STEPS}/static_build/elf/type": "dyn"},
        id="a PIE with an interpreter and no library"),
    row("static_build", "fail", "With CGO_ENABLED=0 go1.27.3 builds a program that is not static: it asks for libc.so.6.",
        {f"{STEPS}/static_build/elf/needed": ["libc.so.6"]}, id="a library"),
    row("static_build", "fail", "With CGO_ENABLED=0 GOFLAGS=-buildmode=pie of login shell of deploy go1.27.3 builds a program that is not "
        "static: it asks for /lib64/ld-linux-x86-64.so.2.", {f"{ENTRY}/settings": [SETTINGS["pie"]]}, id="by the shell's settings",
        hint="Take -buildmode=pie"),
    row("static_build", "pass", "What go1.27.3 builds with CGO_ENABLED=0 is static.",
        {f"{ENTRY}/settings": [edited(SETTINGS["pie"], values={"GOFLAGS": "-buildmode=pie"})]}, id="a PIE that nobody called static"),
    row("static_build", "unknown", "How `CGO_ENABLED=0 go build -o static .` of go1.27.3 ends is unknown: static: not an ELF file.",
        ended("static_build", kind="unavailable", message="static: not an ELF file")),
    row("static_build", "notapplicable", "go1.27.3 builds nothing: toolchain.build says why.",
        {f"{STEPS}/build": FAILED["std"], **NOTHING_BUILT}),
    # cross_build
    row("cross_build", "pass", "go1.27.3 builds for arm64 in {cross_build} s."),
    row("cross_build", "fail", "go1.27.3 was told to build for arm64, and built for amd64.", {f"{STEPS}/cross_build/elf/machine": "amd64"},
        severity="low"),
    row("cross_build", "fail",
        "`CGO_ENABLED=0 GOARCH=arm64 GOOS=linux go build -o cross .` of go1.27.3 fails (exit status 1): the standard "
        "library is not whole.", {f"{STEPS}/cross_build/rc": 1, f"{STEPS}/cross_build/output": FAILED["std"]["output"]}, id="it fails"),
    row("cross_build", "unknown",
        "How `CGO_ENABLED=0 GOARCH=arm64 GOOS=linux go build -o cross .` of go1.27.3 ends is unknown: the budget of "
        "60 s (preflight_budget) was used up.", ended("cross_build", **BUDGET)),
    row("cross_build", "notapplicable", "go1.27.3 builds nothing: toolchain.build says why.",
        {f"{STEPS}/build": FAILED["std"], **NOTHING_BUILT}),
    # cgo
    row("cgo", "pass", "go1.27.3 compiles and links C in {cgo} s, and it runs.", evidence="wanted, because /usr/bin/gcc is in PATH"),
    row("cgo", "pass", "go1.27.3 compiles and links C in 1.2 s; it was not run, because nothing may be executed there.",
        {f"{STEPS}/cgo": edited(FAILED["noexec_cgo"], seconds=1.2), f"{ENTRY}/noexec": True}, id="noexec"),
    row("cgo", "fail", "cgo does not work with go1.27.3 (/usr/bin/gcc is in PATH): the C library's headers are not there.",
        {f"{STEPS}/cgo": FAILED["headers"]}, id="no headers", hint="libc6-dev", severity="low"),
    row("cgo", "fail", "cgo does not work with go1.27.3 (preflight_build.cgo is required): the C compiler is not there.",
        {f"{STEPS}/cgo": FAILED["nocompiler"], f"{ENTRY}/cgo": {"wanted": True, "why": "preflight_build.cgo is required"}},
        id="no compiler",
        hint="Install a C compiler"),
    row("cgo", "fail", "A program with C in it is built, but does not run (exit status 127): a shared library is missing.",
        {f"{STEPS}/cgo/run": {"rc": 127, "output": ["./program: error while loading shared libraries: libx.so.1"], "error": None,
                              "matched": False}}, id="a library is missing at run time"),
    row("cgo", "unknown", "Whether a program with C in it runs is unknown: it did not end.",
        {f"{STEPS}/cgo/run": {"rc": None, "output": [], "error": {"kind": "timeout", "message": "it did not end"}, "matched": False}},
        id="the program hangs"),
    row("cgo", "unknown", "Whether a program with C in it runs is unknown: it was ended by SIGKILL.",
        {f"{STEPS}/cgo/run": {"rc": -9, "output": [], "error": None, "matched": False}}, id="the program is killed"),
    row("cgo", "unknown", "What go1.27.3 does is unknown: the budget of 60 s (preflight_budget) was used up.", error(**BUDGET),
        id="cut off"),
    row("cgo", "notapplicable", "cgo is not wanted here: no C compiler is in PATH, and Go does without cgo then.",
        {f"{ENTRY}/cgo": {"wanted": False, "why": "no C compiler is in PATH, and Go does without cgo then"}, f"{STEPS}/cgo": ...}),
]


@pytest.mark.parametrize("options", ROWS)
def test_action(options: Mapping[str, Any], recorded: Callable[..., dict[str, Any]],
                judge: Callable[..., dict[str, engine.Result]]) -> None:
    facts = recorded("build/host.json", options["edits"])
    steps = facts["build"]["toolchains"][0]["steps"]
    reason = options["reason"].format(**{name: f"{step['seconds']:.1f}" for name, step in steps.items()})
    results = judge(options["check"], facts, **{"toolchain": "required", **options["policy"]})
    assert set(results) == {ROOT}
    result = results[ROOT]
    assert (result.status, result.reason) == (options["status"], reason)
    if options["hint"]:
        assert options["hint"] in result.remediation.hint
    if options["evidence"]:
        assert any(options["evidence"] in line for line in result.evidence), result.evidence
    if options["severity"]:
        assert result.severity == options["severity"]


@pytest.mark.parametrize("one", ACTION, ids=lambda one: one.id)
def test_every_status_of_every_check_is_covered(one: engine.Check) -> None:
    covered = {param.values[0]["status"] for param in ROWS if param.values[0]["check"] == one.id}
    assert covered == {"pass", "fail", "unknown", "notapplicable"}


@pytest.mark.parametrize(("edits", "policy", "status", "reason"), [
    pytest.param({}, {"toolchain": "absent"}, "notapplicable",
                 "preflight_toolchain is absent: this host should have no Go, and toolchain.present judges that.", id="absent"),
    pytest.param({"build/toolchains": []}, {}, "notapplicable", "No shell has a go in its PATH, and what only lies on the disk is not "
                 "tried (preflight_build: {toolchains: all} tries it).", id="nothing is wanted"),
    pytest.param({"build/toolchains": [], "toolchain/toolchains": []}, {}, "notapplicable",
                 "There is no Go on this host, and preflight_toolchain is optional.", id="no Go"),
    pytest.param({"build": ...}, {}, "unknown", "build.toolchains was not collected.", id="not collected"),
])
@pytest.mark.parametrize("one", ACTION, ids=lambda one: one.id)
def test_where_nothing_was_tried(one: engine.Check, edits: Mapping[str, Any], policy: Mapping[str, Any], status: str, reason: str,
                                 recorded: Callable[..., dict[str, Any]], judge: Callable[..., dict[str, engine.Result]]) -> None:
    results = judge(one.id, recorded("build/host.json", edits), **{"toolchain": "optional", **policy})
    assert [(result.subject, result.status) for result in results.values()] == [("", status)]
    assert results[""].reason == reason


def test_a_healthy_host_has_no_finding(recorded: Callable[..., dict[str, Any]]) -> None:
    results = engine.run(ACTION, recorded("build/host.json"), engine.Policy(toolchain="required"))
    assert {(result.id, result.status) for result in results} == {(one.id, "pass") for one in ACTION}


def test_two_toolchains_are_two_subjects(recorded: Callable[..., dict[str, Any]]) -> None:
    facts = recorded("build/host.json")
    facts["build"]["toolchains"].append({**facts["build"]["toolchains"][0], "goroot": "/opt/sdk/1.26.4", "version": "go1.26.4"})
    results = engine.run(ACTION, facts, engine.Policy(toolchain="required"))
    assert len({(result.id, result.subject) for result in results}) == len(results) == 2 * len(ACTION)
