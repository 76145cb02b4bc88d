# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What works passes, what is broken is named, and nothing of it stays on the host."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import scenario

from conftest import ACTION, Run, begin

NEW, OLD, OLDEST = "/opt/go1.27.3", "/opt/go1.26.4", "/opt/go1.21.13"
TOOLS = "pkg/tool/linux_amd64"
SHELL = "/etc/profile.d/planted.sh"
PASSED = dict.fromkeys(ACTION, "pass")
Preflight = Callable[..., Run]


def left(host: Any) -> list[str]:
    """Folders and processes that a build has left behind."""
    found = host.check_output("ls -d /tmp/goready-scratch-* /var/tmp/goready-scratch-* 2>/dev/null; "
                              "ps -eo pid,args | grep -E 'goready-(preflight-)?scratc[h]|/pkg/tool/linux_[a]' || true")
    return [line for line in str(found).splitlines() if line.strip() and "ps -eo" not in line]


@contextmanager
def broken(host: Any, command: str, mend: str) -> Iterator[None]:
    try:
        host.check_output(command)
        yield
    finally:
        host.check_output(mend)


def test_every_go_of_a_host_that_is_well(preflight: Preflight, connect: Callable[[str], Any]) -> None:
    run = preflight("--limit", "builder", preflight_build={"timeout": 800, "toolchains": "all"})
    for goroot in (NEW, OLD, OLDEST):
        assert run.statuses("builder", goroot) == PASSED, run.results("builder")
    assert {one["user"] for one in run.toolchains("builder")} == {"ci"}
    for one in run.toolchains("builder"):
        assert one["steps"]["static_build"]["elf"]["interpreter"] is None
        assert one["steps"]["cross_build"]["elf"]["machine"] == "arm64"
        assert one["bytes"] < 256 << 20 and one["memory"] < 1 << 30
    assert left(connect("builder")) == []
    assert connect("builder").check_output("ls -A /home/ci/.cache /home/ci/go /home/ci/.config 2>/dev/null || true") == ""


def findings(run: Run) -> dict[tuple[str, str], str]:
    return {key: line["reason"] for key, line in run.results("builder").items() if line["status"] == "fail"}


def agree(run: Run, wanted: dict[tuple[str, str], str]) -> None:
    """These findings and no others."""
    found = findings(run)
    assert set(found) == set(wanted), run.results("builder")
    for key, words in wanted.items():
        assert words in found[key], found[key]


def test_each_go_has_its_own_fault(preflight: Preflight, connect: Callable[[str], Any]) -> None:
    """What breaks the build is one finding; what breaks a part leaves the others."""
    with broken(connect("builder"),
                f"mv {NEW}/src/errors /opt/errors; "
                f"cp -a {OLD}/{TOOLS}/compile /opt/ && printf '\\026' | dd of={OLD}/{TOOLS}/compile bs=1 seek=18 conv=notrunc; "
                f"mv {OLDEST}/bin/gofmt /opt/gofmt; mv {OLDEST}/{TOOLS}/vet /opt/vet; mv /usr/include/stdlib.h /opt",
                f"mv /opt/errors {NEW}/src/errors; mv /opt/compile {OLD}/{TOOLS}/compile; "
                f"mv /opt/gofmt {OLDEST}/bin/gofmt; mv /opt/vet {OLDEST}/{TOOLS}/vet; mv /opt/stdlib.h /usr/include"):
        run = preflight("--limit", "builder", preflight_build={"timeout": 800, "toolchains": "all"})
    agree(run, {("build", NEW): "the standard library is not whole", ("build", OLD): "a program of the toolchain is another machine's",
                ("fmt", OLDEST): "no gofmt that can be run beside it", ("vet", OLDEST): "a program of the toolchain is missing",
                ("cgo", OLDEST): "the C library's headers are not there"})
    assert left(connect("builder")) == []


@pytest.mark.parametrize(("command", "mend", "cgo", "wanted"), [
    pytest.param("mount -t tmpfs -o size=8M,mode=1777 none /tmp && mount -t tmpfs -o size=8M,mode=1777 none /var/tmp",
                 "umount /tmp /var/tmp", "auto", {"build": "nowhere to build"}, id="no room"),
    pytest.param(f"mount -t tmpfs -o noexec,mode=1777 none /tmp; printf 'export GOFLAGS=-mod=foo\\nexport CC=/none/cc\\n' > {SHELL}",
                 f"umount /tmp; rm {SHELL}", "auto",
                 {"test": "nothing may be executed in the temporary folder", "cgo": "the C compiler is not there",
                  "build": "not with CC=/none/cc GOFLAGS=-mod=foo of login shell of ci: GOFLAGS holds what this go does not take"},
                 id="noexec and wrong settings"),
    pytest.param(f"mv /usr/bin/gcc /opt/gcc; echo 'export GOROOT={OLD}' > {SHELL}", f"mv /opt/gcc /usr/bin/gcc; rm {SHELL}", "required",
                 {"build": f"not with GOROOT={OLD} of login shell of ci: GOROOT names another Go", "cgo": "the C compiler is not there"},
                 id="another GOROOT and no C compiler"),
    pytest.param(f"printf 'export GOFLAGS=-buildmode=pie CGO_ENABLED=0\\n' > {SHELL}", f"rm {SHELL}", "auto",
                 {"static_build": "it asks for /lib64/ld-linux-x86-64.so.2"}, id="a PIE that is called static"),
])
def test_each_fault_is_named(preflight: Preflight, connect: Callable[[str], Any], command: str, mend: str, cgo: str,
                             wanted: dict[str, str]) -> None:
    with broken(connect("builder"), command, mend):
        run = preflight("--limit", "builder", preflight_build={"timeout": 800, "cgo": cgo})
    agree(run, {(check, NEW): words for check, words in wanted.items()})
    assert left(connect("builder")) == []


@pytest.mark.parametrize("number", ["KILL", "TERM"])
def test_nothing_stays_when_the_module_is_killed(connect: Callable[[str], Any], tmp_path: Path, number: str) -> None:
    host = connect("builder")
    reports = tmp_path / "reports"
    reports.mkdir()
    # Three Gos, one after the other: long enough to be found at work.
    process = begin(reports, "--limit", "builder", checks=("test",), preflight_build={"timeout": 800, "toolchains": "all"})
    try:
        # The module is the process whose child is the one that watches the folder. It is killed once there is something to be left.
        kill = ("for p in /proc/[0-9]*; do if tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q 'goready-preflight-scratc[h]'; then "
                f"kill -{number} $(awk '/^PPid/ {{print $2}}' $p/status) && echo killed; fi; done")
        scenario.wait_until(lambda: process.poll() is not None or any("/pkg/tool/" in line for line in left(host)), "a build", 300)
        assert "killed" in host.check_output(kill), reports.with_name("reports.out").read_text()
        scenario.wait_until(lambda: not left(host), "nothing is left")
    finally:
        process.terminate()
        process.wait(60)


def test_quick_builds_nothing(preflight: Preflight) -> None:
    run = preflight("--limit", "builder", checks=("present", *ACTION), preflight_profile="quick")
    assert run.results("builder") == {}


def test_an_emulated_host_ends_in_its_time(edge: Callable[[], Run], connect: Callable[[str], Any]) -> None:
    """It began with the first test and had the other ones beside it."""
    run = edge()
    # There is no C compiler, so cgo is not wanted.
    assert run.statuses("builder-edge", NEW) == {**PASSED, "cgo": "notapplicable"}, run.results("builder-edge")
    (one,) = run.toolchains("builder-edge")
    assert one["emulated"] and one["steps"]["static_build"]["elf"]["machine"] == "arm64"
    assert one["steps"]["cross_build"]["elf"]["machine"] == "amd64"
    assert left(connect("builder-edge")) == []
