# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.module_utils.collect.build import QUICK
from ansible_collections.goready.preflight.plugins.plugin_utils import toolwork
from hypothesis import given
from hypothesis import strategies as st


# Lines that tools really printed: go 1.21.13 and 1.27.3, gcc 12, ld 2.40, Linux 6.1.
@pytest.mark.parametrize(("line", "words"), [
    ('compile: version "go1.26.4" does not match go tool version "go1.27.3"', "GOROOT names another Go than the one that runs"),
    ("go: cannot find GOROOT directory: /nonexistent", "GOROOT names a folder that is no Go tree"),
    ("go: creating work dir: stat /none: no such file or directory", "GOTMPDIR or TMPDIR names a folder that is not there"),
    ("go: creating work dir: mkdir /root/go-build2915023463: permission denied",
     "GOTMPDIR or TMPDIR names a folder in which this user can make nothing"),
    ("-mod=foo not supported (can be '', 'mod', 'readonly', or 'vendor')", "GOFLAGS holds what this go does not take"),
    ("go: parsing $GOFLAGS: unknown flag -nosuch", "GOFLAGS holds what this go does not take"),
    ("write /tmp/go-build1/b002/_pkg_.a: no space left on device", "there is no room left"),
    ("go: error obtaining buildID for go tool compile: fork/exec /opt/go/pkg/tool/linux_amd64/compile: exec format error",
     "a program of the toolchain is another machine's"),
    ("fork/exec /tmp/goready-scratch-2uwiilmd/tmp/go-build1726248242/b078/sum.test: permission denied",
     "nothing may be executed in the temporary folder"),
    ('cgo: C compiler "gcc" not found: exec: "gcc": executable file not found in $PATH', "the C compiler is not there"),
    ('cgo: C compiler "/none/cc" not found: exec: "/none/cc": stat /none/cc: no such file or directory', "the C compiler is not there"),
    ("_cgo_export.c:3:10: fatal error: stdlib.h: No such file or directory", "the C library's headers are not there"),
    ("/usr/bin/ld: cannot find crt1.o: No such file or directory", "the C linker fails"),
    ("/opt/go/src/os/exec.go:8:2: package errors is not in std (/opt/go/src/errors)", "the standard library is not whole"),
    ("main.go:4:2: package fmt is not in GOROOT (/usr/local/go/src/fmt)", "the standard library is not whole"),
    ('go: no such tool "vet"', "a program of the toolchain is missing"),
    ("fork/exec /opt/go/pkg/tool/linux_amd64/asm: permission denied", "the user that builds may not read or run a part of it"),
    ("go: unsupported GOOS/GOARCH pair linux/nosuch", "GOOS or GOARCH names no machine that this go builds for"),
    ("runtime: failed to create new OS thread (have 2 already; errno=11): newosproc", "no more processes may be started"),
    ("./program: error while loading shared libraries: libx.so.1: cannot open shared object file", "a shared library is missing"),
])
def test_what_normally_causes_it(line: str, words: str) -> None:
    found = toolwork.cause(["# example.org/x", line])
    assert found is not None and found.words == words


@pytest.mark.parametrize("lines", [[], [""], ["--- FAIL: TestOf (0.00s)"], ["exit status 1"]])
def test_nothing_is_made_up(lines: list[str]) -> None:
    assert toolwork.cause(lines) is None


@given(st.lists(st.text()))
def test_any_output_can_be_read(lines: list[str]) -> None:
    found = toolwork.cause(lines)
    assert found is None or found in toolwork.CAUSES


@pytest.mark.parametrize(("argv", "env", "text"), [
    (["/usr/local/go/bin/go", "vet", "./..."], {}, "go vet ./..."),
    (["./program"], {}, "./program"),
    (["/go", "build"], {"GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}, "CGO_ENABLED=0 go build"),
    (["/go", "build"], {"GOFLAGS": f"{QUICK} -buildvcs=false", "GOARCH": "arm64"}, "GOARCH=arm64 go build"),
    (["/go", "build"], {"GOFLAGS": f"{QUICK} -gcflags=-l -buildvcs=false"}, "GOFLAGS=-gcflags=-l go build"),
    (["/go", "build"], {"GOFLAGS": "-trimpath -ldflags=-s -buildvcs=false"}, "GOFLAGS='-trimpath -ldflags=-s' go build"),
])
def test_a_command_as_a_person_would_type_it(argv: list[str], env: dict[str, str], text: str) -> None:
    assert toolwork.command({"argv": argv, "env": env}) == text


@pytest.mark.parametrize(("rc", "error", "text"), [
    (0, None, "exit status 0"), (-9, None, "ended by SIGKILL"), (-99, None, "ended by signal 99"),
    (None, {"kind": "timeout", "message": "too slow"}, "too slow"), (None, None, "it was not tried"),
])
def test_how_it_ended(rc: Any, error: Any, text: str) -> None:
    assert toolwork.status({"rc": rc, "error": error}) == text
