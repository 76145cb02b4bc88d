# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.sub_plugins.check import toolchain

# Those that only read the host; test_toolchain_action.py has the others.
READING = [one for one in engine.checks_of(toolchain) if one.profile == "quick"]

GO = "/usr/local/go"
DEBIAN = "/usr/lib/go-1.19"
LOGIN, NON_LOGIN = "login shell of deploy", "non-login shell of deploy"
GVM = "/home/deploy/.gvm"

FIRST = "toolchain/toolchains/0"  # the Go that the first shell sees
SHELL = "toolchain/shells/0"  # the login shell


def row(check: str, base: str, status: str, reason: str, subject: str = "", *, id: str = "", **options: Any) -> Any:
    options.update(check=f"toolchain.{check}", base=f"toolchain/{base}.json", status=status, reason=reason, subject=subject)
    return pytest.param(options, id=id or f"{check}: {base} {status} {subject}".strip())


NOT_RUN = {f"{FIRST}/runs": None, f"{FIRST}/version": None, f"{FIRST}/error": "not run: another user could have replaced it"}
DOES_NOT_START = {f"{FIRST}/runs": False, f"{FIRST}/version": None, f"{FIRST}/error": "Exec format error"}
NO_PATH = {f"toolchain/shells/{number}/go": None for number in range(4)}
NOBODY_SEES = {**NO_PATH, f"{FIRST}/found_by": [GO]}
NO_GO = "There is no Go on this host, and preflight_toolchain is optional."
ABSENT = "preflight_toolchain is absent: this host should have no Go, and toolchain.present judges that."


def with_version(version: str) -> dict[str, Any]:
    return {f"{FIRST}/version": version, f"{FIRST}/version_file": version, f"{SHELL}/version": version}


def gopath(**values: Any) -> dict[str, Any]:
    return {f"{SHELL}/gopath/0/{key}": value for key, value in values.items()}


def goroot_variable(**values: Any) -> dict[str, Any]:
    return {f"{SHELL}/goroot_variable": {"path": "/opt/go", "realpath": "/opt/go", "exists": True, "version": "go1.26.4",
                                         **values}}


PRESENT = [
    row("present", "good", "pass", "go1.27.3 in /usr/local/go starts.", toolchain="required",
        evidence="found by login shell of deploy"),
    row("present", "good", "pass", "go1.27.3 in /usr/local/go starts.", id="present: optional and there"),
    row("present", "drift", "pass", "go1.27.3 in /usr/local/go, go1.19.8 in /usr/lib/go-1.19 start."),
    row("present", "disk", "pass",
        "go1.27.3 in /usr/local/go, go1.27.3 in /opt/go-arm64, go1.21.13 in /opt/go1.21.13 start; no PATH has it.",
        toolchain="required"),
    row("present", "unit", "pass", "go1.21.13 in /opt/x/tools starts.", toolchain="required", evidence="ExecStart of x.service"),
    row("present", "none", "notapplicable", NO_GO, evidence="sudo: no go in PATH="),
    row("present", "none", "fail", "There is no Go on this host, and preflight_toolchain is required.", toolchain="required",
        role="go_toolchain"),
    row("present", "none", "pass", "There is no Go on this host, as preflight_toolchain wants it.", toolchain="absent"),
    row("present", "good", "fail", "This host should carry no Go, but has go1.27.3 in /usr/local/go.", toolchain="absent",
        role=""),
    row("present", "disk", "fail", "This host should carry no Go, but has go1.27.3 in /usr/local/go, go1.27.3 in /opt/go-arm64, "
        "go1.21.13 in /opt/go1.21.13.", toolchain="absent"),
    row("present", "silent", "unknown",
        "No Go was found, but the login shell of deploy gave no answer and may have one in its PATH.",
        toolchain="required", evidence="login shell of deploy: it did not answer within 4 s"),
    row("present", "silent", "unknown",
        "No Go was found, but the login shell of deploy gave no answer and may have one in its PATH.",
        toolchain="absent", id="present: silent, absent"),
    row("present", "silent", "unknown",
        "No Go was found, but the login shell of deploy gave no answer and may have one in its PATH.",
        severity="medium", id="present: silent, optional"),
    row("goroot", "silent", "notapplicable", "No Go was found; toolchain.present says which shell gave no answer.",
        id="goroot: silent, optional"),
    row("present", "copied", "fail",
        "/usr/local/bin/go (version unknown) does not start: go: cannot find GOROOT directory: 'go' binary "
        "is trimmed and GOROOT is not set."),
    row("present", "good", "fail", "/usr/local/go (go1.27.3) does not start: Exec format error.", edits=DOES_NOT_START,
        id="present: another machine's"),
    row("present", "good", "unknown", "Whether /usr/local/go starts is unknown: not run: another user could have replaced it.",
        edits=NOT_RUN, id="present: not run"),
    row("present", "good", "notapplicable",
        "No shell has a go in its PATH; /usr/local/go only lies on the disk (Exec format error).",
        edits={**DOES_NOT_START, **NOBODY_SEES}, id="present: broken, but nobody sees it"),
    row("present", "good", "fail", "/usr/local/go (go1.27.3) does not start: Exec format error.", toolchain="required",
        edits={**DOES_NOT_START, **NOBODY_SEES}, id="present: broken, nobody sees it, required"),
]

POLICY = [
    row("version_policy", "good", "pass", "go1.27.3 is in use, 1.27 is wanted.", GO, go_version="1.27"),
    row("version_policy", "good", "fail", "go1.27.3 is in use, >=1.26,<1.27 is wanted.", GO, go_version=">=1.26, <1.27",
        role="go_toolchain"),
    row("version_policy", "drift", "fail", "go1.19.8 is in use, 1.27 is wanted.", DEBIAN, go_version="1.27",
        evidence="found by non-login shell of deploy, sudo, systemd"),
    row("version_policy", "disk", "pass", "go1.21.13 is installed, 1.21 is wanted.", "/opt/go1.21.13", go_version="1.21"),
    row("version_policy", "disk", "fail", "go1.27.3 is installed, 1.26 is wanted.", GO, go_version="1.26"),
    row("version_policy", "good", "fail", "go1.28rc1 is in use, >=1.27 is wanted.", GO, go_version=">=1.27",
        edits=with_version("go1.28rc1"), id="version_policy: a candidate is no release"),
    row("version_policy", "good", "unknown", "The version of /usr/local/go cannot be told (devel +8c5a6f81a3); wanted is 1.27.",
        GO,
        go_version="1.27", edits=with_version("devel +8c5a6f81a3")),
    row("version_policy", "copied", "unknown",
        "The version of /usr/local/bin/go cannot be told (go: cannot find GOROOT directory: 'go' "
        "binary is trimmed and GOROOT is not set); wanted is 1.27.", "/usr/local/bin/go", go_version="1.27"),
    row("version_policy", "good", "fail", f"GOTOOLCHAIN=go1.26.4+auto makes go use 1.26.4 in the {LOGIN}, 1.27 is wanted.",
        f"GOTOOLCHAIN in {LOGIN}", go_version="1.27", edits={f"{SHELL}/effective/GOTOOLCHAIN": "go1.26.4+auto"}),
    row("version_policy", "good", "notapplicable", "preflight_go_version names no version."),
    row("version_policy", "good", "notapplicable", ABSENT, toolchain="absent", go_version="1.27", id="version_policy: absent"),
    row("version_policy", "none", "notapplicable", "There is no Go on this host: toolchain.present says so.",
        toolchain="required",
        go_version="1.27"),
]


def on(day: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(day + "T12:00:00+00:00")


RELEASE = [
    row("supported_release", "good", "pass", "Go 1.27 is supported.", GO, now=on("2026-11-21"),
        evidence="supported are 1.27 or 1.26: https://go.dev/doc/devel/release as of 2026-11-21"),
    row("supported_release", "unit", "fail",
        "Go 1.21 (go1.21.13) has had no fixes from upstream since 2024-08-13; supported are 1.27 or "
        "1.26.", "/opt/x/tools"),
    row("supported_release", "drift", "fail",
        "Go 1.19 (go1.19.8) has had no fixes from upstream since 2023-08-08; supported are 1.27 or "
        "1.26; the distribution may carry fixes back.", DEBIAN, severity="low"),
    row("supported_release", "disk", "pass", "Go 1.27 is supported.", GO, id="supported_release: one on the disk is enough"),
    row("supported_release", "good", "fail",
        "go1.28rc1 is not a release: betas, release candidates and development trees get no fixes.",
        GO, edits=with_version("go1.28rc1")),
    row("supported_release", "good", "unknown",
        "Whether Go 1.27 is still supported cannot be told: the release table is 618 days old and "
        "a newer major may have appeared since.", GO, now=on("2028-07-31"), id="supported_release: an old table"),
    row("supported_release", "good", "pass", "Go 1.27 is supported.", GO, now=on("2028-07-31"),
        thresholds={"supported": ("1.27",)},
        id="supported_release: the inventory knows better", evidence="supported are 1.27: preflight_thresholds"),
    row("supported_release", "good", "fail", "Go 1.27 (go1.27.3) has had no fixes from upstream; supported are 1.28.", GO,
        thresholds={"supported": ("1.28",)}, id="supported_release: the inventory says no"),
    row("supported_release", "good", "unknown", "The version of /usr/local/go cannot be told (it names none).", GO,
        edits={f"{FIRST}/version": None, f"{FIRST}/version_file": None}),
    row("supported_release", "none", "notapplicable", NO_GO),
]

EMULATED = ("It is built for arm64, this machine is amd64: it runs (in an emulator, or as a guest of the kernel) and builds for "
            "the wrong machine.")
ARCH = [
    row("arch_match", "good", "pass", "It is built for amd64, as this machine is.", GO),
    row("arch_match", "arm64", "fail", EMULATED, GO, evidence="/usr/local/go/bin/go: ELF machine arm64"),
    row("arch_match", "arm64", "fail", "It is built for arm64, this machine is amd64: it does not run.", GO,
        edits={f"{FIRST}/runs": False, f"{FIRST}/error": "Exec format error"}, id="arch_match: it does not run"),
    row("arch_match", "disk", "fail", EMULATED, "/opt/go-arm64", severity="medium", toolchain="required"),
    row("arch_match", "arm64", "fail", EMULATED, GO, severity="medium", edits=NOBODY_SEES,
        id="arch_match: optional, nobody sees it"),
    row("arch_match", "arm64", "fail", EMULATED, GO, edits=NOBODY_SEES, toolchain="required",
        id="arch_match: the only one there is"),
    row("arch_match", "good", "fail",
        "It is built for 386, this machine is amd64: it runs (in an emulator, or as a guest of the kernel) "
        "and builds for the wrong machine.", GO, edits={f"{FIRST}/elf_machine": "386"}),
    row("arch_match", "good", "pass", "It is built for arm, as this machine is.", GO, id="arch_match: 32-bit userland",
        edits={f"{FIRST}/elf_machine": "arm", "host/goarch": "arm64", "host/dpkg_arch": "armhf", "host/machine": "aarch64"}),
    row("arch_match", "good", "pass", "It is built for amd64, as this machine is.", GO, edits={"host/dpkg_arch": None},
        id="arch_match: no dpkg"),
    row("arch_match", "good", "unknown",
        "The machine of /usr/local/go/bin/go could not be read: /usr/local/go/bin/go: Permission denied.",
        GO, edits={f"{FIRST}/elf_machine": None, f"{FIRST}/error": "/usr/local/go/bin/go: Permission denied"}),
    row("arch_match", "good", "unknown", "host.goarch was not collected.", edits={"host/goarch": None}),
    row("arch_match", "drift", "fail", f"The {LOGIN} exports GOARCH=arm64: every build makes programs for another machine.",
        LOGIN,
        severity="medium"),
    row("arch_match", "none", "notapplicable", NO_GO),
]

NO_CONFLICT = "No PATH holds two different Gos that were not put there by a version manager."
CONFLICT = [
    row("conflict", "good", "pass", NO_CONFLICT),
    row("conflict", "conflict", "fail", f"go1.27.3 in {GO} hides go1.19.8 in {DEBIAN} in the PATH of the {LOGIN}, the "
        f"{NON_LOGIN}, sudo, systemd.", GO, evidence=f"{LOGIN}: PATH=/usr/local/bin"),
    row("conflict", "conflict", "pass", NO_CONFLICT, edits={"toolchain/toolchains/1/version": "go1.27.3"},
        id="conflict: the same version twice"),
    row("conflict", "conflict", "pass", NO_CONFLICT, edits={f"{FIRST}/kind": "gvm"}, id="conflict: a version manager's is first"),
    row("conflict", "gvm", "pass", NO_CONFLICT),
    row("conflict", "disk", "notapplicable", "No shell has a go in its PATH."),
    row("conflict", "none", "notapplicable", NO_GO),
    row("conflict", "good", "unknown", "toolchain.shells could not be collected: no time was left", edits={
        "toolchain/shells": ..., "errors/0": {"part": "toolchain.shells", "kind": "unavailable", "message": "no time was left"}}),
]

WHOLE = "It is complete and bin/go is go1.27.3, as VERSION says."
GOROOT = [
    row("goroot", "good", "pass", WHOLE, GO),
    row("goroot", "broken", "fail", f"{DEBIAN} is incomplete: src/fmt is missing.", DEBIAN),
    row("goroot", "broken", "fail", f"{GO}/VERSION says go1.27.2, but bin/go is go1.27.3: two releases were mixed.", GO,
        severity="medium"),
    row("goroot", "copied", "fail",
        "/usr/local/bin/go does not find its GOROOT: go: cannot find GOROOT directory: 'go' binary is trimmed "
        "and GOROOT is not set.", "/usr/local/bin/go"),
    row("goroot", "drift", "fail", "GOROOT=/usr/lib/go-1.19 is go1.19.8, but /usr/local/go/bin/go is go1.27.3: nothing compiles.",
        f"GOROOT in {LOGIN}", command="unset GOROOT"),
    row("goroot", "gvm", "pass", f"GOROOT={GVM}/gos/go1.27.3 is the Go that is used.", f"GOROOT in {LOGIN}"),
    row("goroot", "good", "pass", "GOROOT=/opt/go is of the same version as /usr/local/bin/go.", f"GOROOT in {LOGIN}",
        edits=goroot_variable(version="go1.27.3")),
    row("goroot", "good", "fail", "GOROOT=/opt/go does not exist: go ends with \"cannot find GOROOT directory\".",
        f"GOROOT in {LOGIN}",
        edits=goroot_variable(exists=False, version=None)),
    row("goroot", "good", "fail", "GOROOT=/opt/go holds no Go, and /usr/local/bin/go would use it.", f"GOROOT in {LOGIN}",
        edits=goroot_variable(version=None), id="goroot: variable names an empty folder"),
    row("goroot", "good", "unknown", "GOROOT=/opt/go is go1.26.4; the version of /usr/local/bin/go is not known.",
        f"GOROOT in {LOGIN}",
        edits={**goroot_variable(), f"{SHELL}/version": None}),
    row("goroot", "good", "pass", WHOLE.replace("go1.27.3", "go1.27.3 X:boringcrypto"), GO,
        edits={f"{FIRST}/version": "go1.27.3 X:boringcrypto"}, id="goroot: an experiment is the same release"),
    row("goroot", "good", "pass", WHOLE.replace("go1.27.3", "go1.28-devel_8c5a6f81a3"), GO, id="goroot: a development tree",
        edits={f"{FIRST}/version": "go1.28-devel_8c5a6f81a3", f"{FIRST}/version_file": None, f"{FIRST}/missing": ["VERSION"]}),
    row("goroot", "good", "fail", f"{GO} is incomplete: VERSION, src/fmt are missing.", GO,
        edits={f"{FIRST}/missing": ["VERSION", "src/fmt"]}),
    row("goroot", "good", "unknown",
        f"{GO} is complete, but its go was not asked for its version: not run: another user could have "
        "replaced it.", GO, edits=NOT_RUN),
    row("goroot", "good", "notapplicable",
        "It is in no PATH, and its go was not asked for its version: not run: another user could have "
        "replaced it.", GO, edits={**NOT_RUN, **NOBODY_SEES}, id="goroot: another user's, seen by nobody"),
    row("goroot", "good", "pass",
        "All that a build needs is there (that its go does not start is judged by toolchain.present).", GO,
        edits=DOES_NOT_START),
    row("goroot", "good", "notapplicable", "gccgo has no GOROOT of the usual kind.", GO,
        edits={f"{FIRST}/version": "go1.18 gccgo (Debian 12.2.0-14+deb12u1) 12.2.0", f"{FIRST}/missing": ["VERSION"]}),
]

GOPATH = [
    row("gopath", "good", "pass", "GOPATH /home/deploy/go can be used.", LOGIN),
    row("gopath", "gvm", "pass", f"GOPATH {GVM}/pkgsets/go1.27.3/global can be used.", LOGIN),
    row("gopath", "drift", "fail", "GOPATH entry rel is relative: go refuses to run.", LOGIN),
    row("gopath", "good", "fail", "GOPATH entry ~/go begins with ~: go refuses to run.", LOGIN, edits=gopath(path="~/go")),
    row("gopath", "good", "fail", "GOPATH entry /usr/local/go lies in GOROOT: modules and the standard library mix.", LOGIN,
        edits=gopath(path=GO, in_goroot=True)),
    row("gopath", "good", "fail", "deploy cannot write to GOPATH /srv/go: modules cannot be downloaded.", LOGIN,
        edits=gopath(path="/srv/go", exists=True, owner="root", mode="0755", writable=False),
        evidence="/srv/go: owner root, mode 0755"),
    row("gopath", "good", "fail", "Everybody can write to GOPATH /srv/go (0777) and replace what deploy runs from it.", LOGIN,
        edits=gopath(path="/srv/go", exists=True, owner="deploy", mode="0777", everybody=True), command="chmod o-w /srv/go"),
    row("gopath", "good", "unknown", "Whether deploy can write to GOPATH /home/deploy/go could not be told.", LOGIN,
        edits=gopath(writable=None)),
    row("gopath", "good", "fail",
        "There is no GOPATH, and no home folder to take the default from: modules cannot be downloaded.",
        LOGIN, edits={f"{SHELL}/effective/GOPATH": "", f"{SHELL}/gopath": []}),
    row("gopath", "good", "unknown", f"The GOPATH of the {LOGIN} was not collected.", LOGIN, edits={f"{SHELL}/effective": None}),
    row("gopath", "disk", "notapplicable", "No shell of the user has a go in its PATH."),
    row("gopath", "none", "notapplicable", NO_GO),
]

DRIFT = [
    row("env_drift", "good", "pass", "Every shell that sees a go gets go1.27.3.",
        evidence="systemd: /usr/local/bin/go (go1.27.3)"),
    row("env_drift", "drift", "fail",
        f"Different shells get different Gos: go1.27.3 in the {LOGIN}; go1.19.8 in the {NON_LOGIN}, sudo, "
        "systemd."),
    row("env_drift", "gvm", "fail", f"The {NON_LOGIN} finds no go, the {LOGIN} has go1.27.3.", NON_LOGIN, severity="low",
        command=""),
    row("env_drift", "gvm", "fail", f"Sudo finds no go, the {LOGIN} has go1.27.3.", "sudo", severity="low",
        thresholds={"must_see": ("sudo",)}),
    row("env_drift", "gvm", "pass", "Every shell that sees a go gets go1.27.3.", thresholds={"must_see": ()},
        id="env_drift: nobody else need see it"),
    row("env_drift", "good", "fail",
        f"Different shells get different Gos: go1.26.4 (by GOTOOLCHAIN) in the {LOGIN}; go1.27.3 in the "
        f"{NON_LOGIN}, sudo, systemd.", edits={f"{SHELL}/effective/GOTOOLCHAIN": "go1.26.4"}),
    row("env_drift", "good", "unknown", f"What the {LOGIN} sees is unknown: it did not answer within 4 s.", LOGIN,
        edits={f"{SHELL}/go": None, f"{SHELL}/error": "it did not answer within 4 s"}),
    row("env_drift", "user", "unknown",
        "What sudo sees is unknown: not tried: this user is in none of the groups sudo, wheel, admin, and "
        "sudo would report it.", "sudo", severity="low"),
    row("env_drift", "user", "pass", "Every shell that sees a go gets go1.27.3."),
    row("env_drift", "good", "fail", f"The {NON_LOGIN} finds no go, the {LOGIN} has go1.27.3.", NON_LOGIN, severity="low",
        edits={"toolchain/shells/1/go": None}, id="env_drift: a link for everybody",
        command="sudo ln -sf /usr/local/go/bin/go /usr/local/go/bin/gofmt /usr/local/bin/"),
    row("env_drift", "disk", "notapplicable", "No shell has a go in its PATH: there is nothing to compare."),
    row("env_drift", "none", "notapplicable", NO_GO),
]

OWNER = [
    row("ownership", "good", "pass", "Only root can write to it.", GO, evidence="files looked at"),
    row("ownership", "gvm", "pass", "Only deploy, whose own it is, and root can write to it.", f"{GVM}/gos/go1.27.3"),
    row("ownership", "broken", "fail", f"Others can change this toolchain: {GO}/src/fmt is writable by everybody (0777).", GO,
        severity="medium", command=f"sudo chown -R root:root {GO} && sudo chmod -R go-w {GO}"),
    row("ownership", "good", "fail", f"Others can change this toolchain: {GO} is writable by group staff (0775) (and 1 more).",
        GO,
        edits={f"{FIRST}/writable_by_others": [f"{GO} is writable by group staff (0775)", f"{GO}/bin belongs to bob"]}),
    row("ownership", "good", "fail", "Others can change this toolchain: /usr/local is writable by group staff (2775).", GO,
        edits={f"{FIRST}/writable_by_others": ["/usr/local is writable by group staff (2775)"]},
        command="namei -l /usr/local/go"),
    row("ownership", "broken", "fail",
        "It belongs to user id 4242, which has no name here and goes to the next account with this number, "
        "who can replace the compiler that deploy, root may run.", DEBIAN, severity="medium"),
    row("ownership", "user", "fail", "It belongs to bob, who can replace the compiler that others may run.", "/opt/go1.21.13",
        severity="medium"),
    row("ownership", "good", "fail", "It belongs to deploy, who can replace the compiler that root may run.", GO,
        severity="medium",
        edits={f"{FIRST}/owner": "deploy"}, id="ownership: the build user's, and root uses it"),
    row("ownership", "good", "unknown", f"Who can write to {GO} could not be read: no permission.", GO,
        edits={f"{FIRST}/owner": None, f"{FIRST}/mode": None, f"{FIRST}/writable_seen": 0}),
    row("ownership", "none", "notapplicable", NO_GO),
]

VERSIONS = "toolchain/gvm/0/versions"
ALL_WELL = {f"{VERSIONS}/0/complete": True, f"{VERSIONS}/1/version_file": "go1.26.4"}
GVM_ROWS = [
    row("gvm", "gvm", "pass", "go1.21.13, go1.26.4, go1.27.3: complete and what it is called, the default is go1.27.3.", GVM,
        edits=ALL_WELL),
    row("gvm", "gvm", "fail", f"go1.21.13 under {GVM} is incomplete: it lacks its manifest, which gvm writes last.",
        f"{GVM} go1.21.13",
        command="gvm uninstall go1.21.13 && gvm install go1.21.13 -B"),
    row("gvm", "gvm", "fail", "What gvm calls go1.26.4 is go1.21.13.", f"{GVM} go1.26.4",
        evidence=f"{GVM}/gos/go1.26.4/VERSION: go1.21.13"),
    row("gvm", "gvm", "fail", f"go1.21.13 under {GVM} is incomplete: it lacks bin/go.", f"{GVM} go1.21.13",
        edits={f"{VERSIONS}/0/go": False}),
    row("gvm", "gvm", "fail", f"go1.27.3 under {GVM} has no environment file: `gvm use go1.27.3` fails.", f"{GVM} go1.27.3",
        edits={f"{VERSIONS}/2/environment": False}),
    row("gvm", "gvm", "fail",
        f"The default of {GVM} is go1.25.1, which is not installed (there are go1.21.13, go1.26.4, go1.27.3).",
        f"{GVM} default", edits={**ALL_WELL, "toolchain/gvm/0/default": "go1.25.1"}, command="gvm use go1.27.3 --default"),
    row("gvm", "gvm", "fail",
        f"The default of {GVM} is go1.25.1, which is not installed (there are go1.21.13, go1.26.4, go1.27.3).",
        f"{GVM} default", edits={**ALL_WELL, "toolchain/gvm/0/default": "go1.25.1", f"{VERSIONS}/2/complete": False},
        command="gvm use go1.26.4 --default", id="gvm: the last version is incomplete"),
    row("gvm", "gvm", "fail", f"{GVM} has go1.21.13, go1.26.4, go1.27.3 but no default: new shells get no Go from it.",
        f"{GVM} default", severity="low", command="", id="gvm: no version is complete",
        edits={"toolchain/gvm/0/default": None, **{f"{VERSIONS}/{number}/complete": False for number in range(3)}}),
    row("gvm", "gvm", "fail", f"{GVM} has go1.21.13, go1.26.4, go1.27.3 but no default: new shells get no Go from it.",
        f"{GVM} default",
        severity="low", edits={"toolchain/gvm/0/default": None}),
    row("gvm", "gvm", "pass", "go1.21.13, go1.26.4, mine: complete and what it is called, the default is system.", GVM,
        edits={**ALL_WELL, f"{VERSIONS}/2/name": "mine", "toolchain/gvm/0/default": "system"}, id="gvm: names of one's own"),
    row("gvm", "gvm", "notapplicable", f"{GVM} holds no Go.", GVM, edits={VERSIONS: [], "toolchain/gvm/0/default": None}),
    row("gvm", "good", "notapplicable", "There is no gvm on this host."),
    row("gvm", "gvm", "notapplicable", "preflight_toolchain is absent: toolchain.present judges what is there.",
        toolchain="absent"),
    row("gvm", "good", "error", "toolchain.gvm could not be collected: the collector did not end in time", edits={
        "toolchain/gvm": ..., "errors/0": {"part": "toolchain.gvm", "kind": "timeout",
                                           "message": "the collector did not end in time"}}),
]

ROWS = [*PRESENT, *POLICY, *RELEASE, *ARCH, *CONFLICT, *GOROOT, *GOPATH, *DRIFT, *OWNER, *GVM_ROWS]


@pytest.mark.parametrize("options", ROWS)
def test_toolchain(options: Mapping[str, Any], expect: Callable[..., None]) -> None:
    expect(**options)


# What a host is reported with, all checks together: the findings there are and no others.
@pytest.mark.parametrize(("base", "findings"), [
    ("none", set()),
    ("good", set()),
    ("conflict", {("toolchain.conflict", GO)}),
    ("arm64", {("toolchain.arch_match", GO)}),
    ("drift", {("toolchain.version_policy", DEBIAN), ("toolchain.supported_release", DEBIAN), ("toolchain.arch_match", LOGIN),
               ("toolchain.conflict", GO), ("toolchain.goroot", f"GOROOT in {LOGIN}"), ("toolchain.gopath", LOGIN),
               ("toolchain.env_drift", "")}),
    ("broken", {("toolchain.version_policy", DEBIAN), ("toolchain.supported_release", DEBIAN), ("toolchain.conflict", DEBIAN),
                ("toolchain.goroot", DEBIAN), ("toolchain.goroot", GO), ("toolchain.ownership", DEBIAN), ("toolchain.ownership",
                GO)}),
    ("gvm", {("toolchain.env_drift", NON_LOGIN), ("toolchain.gvm", f"{GVM} go1.21.13"), ("toolchain.gvm", f"{GVM} go1.26.4")}),
    ("user", {("toolchain.ownership", "/opt/go1.21.13")}),
    ("disk", {("toolchain.arch_match", "/opt/go-arm64")}),
])
def test_a_host_is_reported_with_its_faults_and_no_others(base: str, findings: set[tuple[str, str]],
                                                          recorded: Callable[..., dict[str, Any]]) -> None:
    policy = engine.Policy(toolchain="optional", go_version="1.27", now=on("2026-11-21"))
    results = engine.run(READING, recorded(f"toolchain/{base}.json"), policy)
    assert {(result.id, result.subject) for result in results if result.status == "fail"} == findings
    assert not [result for result in results if result.status == "error"]
    names = [(result.id, result.subject) for result in results]
    assert len(names) == len(set(names))


def test_every_check_of_the_family_is_covered() -> None:
    covered = {(param.values[0]["check"], param.values[0]["status"]) for param in ROWS}
    for one in READING:
        statuses = {status for check, status in covered if check == one.id}
        assert {"pass", "fail"} <= statuses, one.id
        assert statuses & {"unknown", "error"}, one.id


def test_facts_of_an_older_collector_are_judged_too(recorded: Callable[..., dict[str, Any]]) -> None:
    facts = recorded("toolchain/good.json")
    for shell in facts["toolchain"]["shells"]:
        for key in ("others", "effective", "goenv", "goroot_variable", "gopath"):
            del shell[key]
    for entry in facts["toolchain"]["toolchains"]:
        for key in ("run_as", "in_home", "writable_seen"):
            del entry[key]
    results = engine.run(READING, facts, engine.Policy(toolchain="required", go_version="1.27"))
    assert not [result for result in results if result.status == "error"]


# The role puts one Go into the PATH of all shells. Where that does not mend a finding, a person has to.
@pytest.mark.parametrize(("check", "base", "subject", "edits", "policy", "safe"), [
    pytest.param("present", "none", "", {}, {"toolchain": "required"}, "apply", id="no Go"),
    pytest.param("present", "good", "", DOES_NOT_START, {}, "apply", id="a Go for everybody that does not start"),
    pytest.param("present", "good", "", {**DOES_NOT_START, f"{FIRST}/in_home": True}, {}, "manual", id="a user's that does not"),
    pytest.param("present", "copied", "", {}, {}, "manual", id="a copy where the link would be"),
    pytest.param("version_policy", "drift", DEBIAN, {}, {"go_version": "1.27"}, "apply", id="a distribution's of another version"),
    pytest.param("version_policy", "unit", "/opt/x/tools", {}, {"go_version": "1.27"}, "manual", id="a unit's of another version"),
    pytest.param("supported_release", "drift", DEBIAN, {}, {}, "apply", id="a distribution's without support"),
    pytest.param("supported_release", "unit", "/opt/x/tools", {}, {}, "manual", id="a unit's without support"),
    pytest.param("arch_match", "arm64", GO, {}, {}, "manual", id="another machine's stays on the disk"),
    pytest.param("env_drift", "drift", "", {}, {}, "apply", id="two Gos for everybody"),
    pytest.param("env_drift", "drift", "", {f"{FIRST}/in_home": True}, {}, "manual", id="a user's own before everybody's"),
    pytest.param("env_drift", "gvm", NON_LOGIN, {}, {}, "manual", id="a user's own that one shell does not see"),
    pytest.param("env_drift", "good", NON_LOGIN, {"toolchain/shells/1/go": None}, {}, "apply", id="one shell does not see it"),
    pytest.param("ownership", "broken", GO, {}, {}, "manual", id="others may write"),
])
def test_what_the_role_mends_and_what_it_does_not(check: str, base: str, subject: str, edits: Mapping[str, Any],
                                                  policy: Mapping[str, Any], safe: str, recorded: Callable[..., dict[str, Any]],
                                                  judge: Callable[..., dict[str, engine.Result]]) -> None:
    facts = recorded(f"toolchain/{base}.json", edits)
    result = judge(f"toolchain.{check}", facts, **policy)[subject]
    assert result.status == "fail"
    assert result.remediation is not None
    assert result.remediation.safe == safe
