# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import go_releases

HOST, TROUBLE, USER = "checks/host.json", "checks/trouble.json", "checks/user.json"
REVISION = "acc4d820727fd6a06c4ac28c01bf45b8a097bf95"
OLD = "0123456789abcdef0123456789abcdef01234567"


def row(**values: Any) -> dict[str, Any]:
    return values


def of(name: str, **edits: Any) -> dict[str, Any]:
    """Edits of one service: ``of("api", unit=None)``, ``of("api", binary__mode="0644")``."""
    return {f"services/services/{name}/{path.replace('__', '/')}": value for path, value in edits.items()}


def proc(name: str, index: int = 0, **edits: Any) -> dict[str, Any]:
    """Edits of a service's process."""
    return {f"services/services/{name}/processes/{index}/{path.replace('__', '/')}": value for path, value in edits.items()}


def both(name: str, **edits: Any) -> dict[str, Any]:
    """The same edits of the running file and of the file on disk."""
    return {**proc(name, **{f"running__{path}": value for path, value in edits.items()}),
            **of(name, **{f"binary__{path}": value for path, value in edits.items()})}


def setting(name: str, key: str, value: Any) -> dict[str, Any]:
    """A build setting of the running file. Only the running file counts where the file on disk is the same."""
    return {f"services/services/{name}/processes/0/running/buildinfo/settings/{key}": value}


STOPPED = of("api", processes=[], main_pid=None)
NOT_GO = {**proc("api", go=False), **both("api", buildinfo=None)}
IN_CONTAINER = of("api", container={"runtime": "docker", "id": "0123456789ab"}, unit=None, manager=None, properties=None,
                  unit_files=[])
DISCOVERED = of("api", declared=False)
ARM = {"host/goarch": "arm64", "host/machine": "aarch64", "host/cpu": {"count": 4, "goamd64": None, "goarm64": "v8.2,lse,crypto"}}
ARM_BINARY = {**both("api", elf__machine="arm64"), **setting("api", "GOARM64", "v8.0")}
# Another file on disk than the one that runs, as a deployment without a restart leaves it.
DEPLOYED = {**proc("api", same_file=False)}
DISK = "/opt/api/current/api (on disk, for the next start)"
UNREAD = "The executable of api (PID 211) was not read (exe: permission denied)."
ON_DISK = "/opt/nothere/api is not on disk (services.present judges that)."


ROWS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "binary.arch_match": [
        ("same", row(subject="api", status="pass", reason="/opt/api/releases/1/api is built for amd64.")),
        ("disk-is-for-another", row(
            subject="api", edits={**DEPLOYED, **of("api", binary__elf__machine="arm64")}, status="fail", role="release",
            evidence="/opt/api/releases/1/api: ELF machine arm64",
            reason=f"{DISK} is built for arm64, this machine is amd64: it cannot start.")),
        ("stopped-for-another", row(
            subject="api", edits={**STOPPED, **of("api", binary__elf__machine="riscv64")}, status="fail",
            reason=f"{DISK} is built for riscv64, this machine is amd64: it cannot start.")),
        ("unread-process-may-be-emulated", row(
            subject="api", status="fail", severity="critical",
            edits={**proc("api", exe=None, go=None, running=None, same_file=None), **of("api", binary__elf__machine="arm64")},
            reason=f"{DISK} is built for arm64, this machine is amd64: it cannot start without an emulator.")),
        ("runs-emulated", row(
            subject="api", edits={**both("api", elf__machine="arm64"),
                                  **proc("api", emulator={"path": "/usr/bin/qemu-aarch64-static"})},
            status="fail", severity="critical", role="release", evidence="/proc/211/exe: /usr/bin/qemu-aarch64-static",
            reason="/opt/api/releases/1/api is built for arm64, this machine is amd64: it runs only through an "
                   "emulator (/usr/bin/qemu-aarch64-static).")),
        ("runs-in-an-unseen-emulator", row(
            subject="api", edits=both("api", elf__machine="arm64"), status="fail", severity="critical",
            reason="/opt/api/releases/1/api is built for arm64, this machine is amd64: it runs only through an "
                   "emulator.")),
        ("of-the-real-cpu-of-an-emulated-host", row(
            subject="api", edits={**ARM, "host/emulation/kind": "qemu-user"}, status="pass",
            reason="/opt/api/releases/1/api is built for amd64 and runs without an emulator: what is emulated (qemu-user) is "
                   "this arm64 host.")),
        ("386-on-amd64", row(subject="api", edits=both("api", elf__machine="386"), status="pass",
                             reason="/opt/api/releases/1/api is built for 386, which this amd64 machine runs too.")),
        ("arm-runs-on-arm64", row(subject="api", edits={**ARM, **both("api", elf__machine="arm")}, status="pass",
                                  reason="/opt/api/releases/1/api is built for arm, which this arm64 machine runs too.")),
        ("arm-on-disk-of-arm64", row(
            subject="api", edits={**ARM, **STOPPED, **of("api", binary__elf__machine="arm")}, status="unknown",
            reason=f"{DISK} is built for arm; whether this arm64 CPU runs 32-bit programs was not read.")),
        ("empty-file", row(
            subject="api", status="fail", reason=f"{DISK} is empty: it cannot start.",
            edits={**DEPLOYED,
                   **of("api", binary__elf=None, binary__buildinfo=None, binary__size=0, binary__error="not an ELF file")})),
        ("script", row(subject="wrap", status="pass", reason="/opt/wrap/wrap is built for amd64.")),
        ("script-alone", row(
            subject="wrap", edits=of("wrap", processes=[], main_pid=None), status="notapplicable",
            reason="/opt/wrap/start (on disk, for the next start) is a script or no ELF executable.")),
        ("damaged", row(
            subject="api", edits={**STOPPED, **of("api", binary__elf=None, binary__buildinfo=None,
                                                  binary__error="the program headers are cut off")},
            status="unknown", reason=f"{DISK} was not read: the program headers are cut off.")),
        ("missing", row(base=TROUBLE, subject="missing", status="notapplicable", reason=ON_DISK)),
        ("as-a-user", row(base=USER, subject="api", status="pass", reason=f"{DISK} is built for amd64.")),
        ("nothing-known", row(
            subject="gone", status="notapplicable",
            reason="No executable of it is known (services.present judges whether it is there).")),
        ("machine-unknown", row(subject="", edits={"host/goarch": None}, status="unknown",
                                reason="host.goarch was not collected.")),
    ],
    "binary.cpu_level": [
        ("lowest", row(subject="api", status="pass",
                       reason="/opt/api/releases/1/api is built with GOAMD64=v1, which every amd64 CPU has.")),
        ("enough", row(subject="api", edits=setting("api", "GOAMD64", "v3"), status="pass", evidence="/proc/cpuinfo: GOAMD64 v4",
                       reason="/opt/api/releases/1/api is built with GOAMD64=v3; this CPU has v4.")),
        ("too-high-on-disk", row(
            subject="api", status="fail", reason=f"{DISK} is built with GOAMD64=v3; this CPU has only v2.",
            edits={**DEPLOYED, **of("api", binary__buildinfo__settings__GOAMD64="v3"), "host/cpu/goamd64": "v2"})),
        ("emulated", row(
            subject="api", edits={**setting("api", "GOAMD64", "v3"), "host/emulation/kind": "qemu-user"}, status="unknown",
            reason="/opt/api/releases/1/api is built with GOAMD64=v3; this host is emulated (qemu-user), so the level of its CPU "
                   "is unknown.")),
        ("cpu-unknown", row(
            subject="api", edits={**setting("api", "GOAMD64", "v3"), "host/cpu": None}, status="unknown",
            reason="/opt/api/releases/1/api is built with GOAMD64=v3; the level of this CPU was not read.")),
        ("level-of-the-future", row(subject="api", edits=setting("api", "GOAMD64", "v5"), status="unknown",
                                    reason="/opt/api/releases/1/api: 'v5' is no GOAMD64 level.")),
        ("before-levels", row(
            subject="api", status="pass", reason="/opt/api/releases/1/api is built with Go 1.17.13, which knows no levels.",
            edits=proc("api", running__buildinfo__settings={}, running__buildinfo__go_version="go1.17.13"))),
        ("no-settings-but-runs", row(subject="api", edits=proc("api", running__buildinfo__settings={}), status="pass",
                                     reason="/opt/api/releases/1/api runs, so it has found its CPU sufficient.")),
        ("no-settings-on-disk", row(
            subject="api", edits={**STOPPED, **of("api", binary__buildinfo__settings={})}, status="unknown", severity="low",
            reason=f"{DISK} does not tell its GOAMD64.")),
        ("arm64-lowest", row(subject="api", edits={**ARM, **ARM_BINARY}, status="pass",
                             reason="/opt/api/releases/1/api is built with GOARM64=v8.0, which every arm64 CPU has.")),
        ("arm64-lse", row(subject="api", edits={**ARM, **ARM_BINARY, **setting("api", "GOARM64", "v8.0,lse")}, status="pass",
                          reason="/opt/api/releases/1/api is built with GOARM64=v8.0,lse; this CPU has v8.2,lse,crypto.")),
        ("arm64-without-lse", row(
            subject="api",
            edits={**ARM, **ARM_BINARY, **setting("api", "GOARM64", "v8.0,lse"), "host/cpu/goarm64": "v8.0,crypto"},
            status="fail", reason="/opt/api/releases/1/api is built with GOARM64=v8.0,lse; this CPU has only v8.0,crypto.")),
        ("arm64-v9-contains-v8.5", row(
            subject="api",
            edits={**ARM, **ARM_BINARY, **setting("api", "GOARM64", "v8.5"), "host/cpu/goarm64": "v9.0,lse,crypto"},
            status="pass", reason="/opt/api/releases/1/api is built with GOARM64=v8.5; this CPU has v9.0,lse,crypto.")),
        ("arm64-v8-contains-no-v9", row(
            subject="api", status="fail", severity="medium",
            edits={**ARM, **ARM_BINARY, **setting("api", "GOARM64", "v9.0"), "host/cpu/goarm64": "v8.9,lse,crypto"},
            reason="/opt/api/releases/1/api is built with GOARM64=v9.0; this CPU has only v8.9,lse,crypto.")),
        ("arm64-too-high", row(
            subject="api", edits={**ARM, **ARM_BINARY, **setting("api", "GOARM64", "v9.0")}, status="fail", severity="medium",
            reason="/opt/api/releases/1/api is built with GOARM64=v9.0; this CPU has only v8.2,lse,crypto.")),
        ("another-machine", row(
            subject="api", edits={**ARM, **STOPPED, **of("api", binary__buildinfo__settings__GOAMD64="v3")},
            status="notapplicable",
            reason=f"{DISK} is built for another machine (binary.arch_match judges that).")),
        ("riscv64", row(subject="api", edits={"host/goarch": "riscv64", **both("api", elf__machine="riscv64")},
                        status="notapplicable",
                        reason="/opt/api/releases/1/api is built for riscv64: no level of the CPU is judged there.")),
        ("not-go", row(subject="api", edits=NOT_GO, status="notapplicable",
                       reason="/opt/api/releases/1/api carries no Go build information.")),
    ],
    "binary.static": [
        ("static", row(subject="api", status="pass", reason="/opt/api/releases/1/api is statically linked.",
                       evidence="no PT_INTERP")),
        ("distribution", row(subject="caddy", status="pass", reason="/usr/bin/caddy is dynamically linked and runs.",
                             evidence="DT_NEEDED: libzstd.so.1, libc.so.6")),
        ("loader-missing", row(
            subject="bad", status="fail", severity="critical",
            edits={**of("bad", processes=[]), **of("bad", binary__elf__interpreter_exists=False)},
            reason="/opt/bad/bad (on disk, for the next start) needs the loader /lib64/ld-linux-x86-64.so.2, which is not "
                   "on this host: it cannot start.")),
        ("loader-missing-and-replaced-while-it-runs", row(
            subject="bad", status="fail", severity="critical",
            edits={**proc("bad", same_file=False), **of("bad", binary__elf__interpreter_exists=False)},
            reason="/opt/bad/bad (on disk, for the next start) needs the loader /lib64/ld-linux-x86-64.so.2, which is not "
                   "on this host: it cannot start.")),
        ("loader-unknown", row(
            subject="bad", status="unknown", edits={**of("bad", processes=[]), **of("bad", binary__elf__interpreter_exists=None)},
            evidence="PT_INTERP /lib64/ld-linux-x86-64.so.2",
            reason="/opt/bad/bad (on disk, for the next start) needs the loader /lib64/ld-linux-x86-64.so.2; whether that is "
                   "there for it is unknown.")),
        ("loader-unknown-of-another-machine", row(
            subject="bad", status="notapplicable",
            edits={**ARM, **of("bad", processes=[]), **of("bad", binary__elf__interpreter_exists=None)},
            reason="/opt/bad/bad (on disk, for the next start) is built for another machine (binary.arch_match judges that).")),
        ("loader-unknown-and-static-wanted", row(
            subject="bad", status="fail", thresholds={"required": True},
            edits={**of("bad", processes=[]), **of("bad", binary__elf__interpreter_exists=None)},
            reason="/opt/bad/bad (on disk, for the next start) is dynamically linked (libc.so.6); static is required.")),
        ("loader-unknown-and-runs", row(
            subject="bad", edits=proc("bad", running__elf__interpreter_exists=None), status="pass",
            reason="/opt/bad/bad is dynamically linked and runs.")),
        ("musl-runs", row(subject="bad", edits=proc("bad", running__elf__interpreter="/lib/ld-musl-x86_64.so.1"), status="pass",
                          reason="/opt/bad/bad is dynamically linked and runs.")),
        ("musl-that-is-there", row(
            subject="bad", status="pass",
            edits={**of("bad", processes=[]), **of("bad", binary__elf__interpreter="/lib/ld-musl-x86_64.so.1")},
            reason="/opt/bad/bad (on disk, for the next start) is dynamically linked with /lib/ld-musl-x86_64.so.1.")),
        ("required", row(subject="bad", thresholds={"required": True}, status="fail",
                         reason="/opt/bad/bad is dynamically linked (libc.so.6); static is required.")),
        ("required-discovered", row(subject="caddy", thresholds={"required": True}, status="pass",
                                    reason="/usr/bin/caddy is dynamically linked and runs.")),
        ("damaged", row(
            subject="api", edits={**STOPPED, **of("api", binary__elf=None, binary__error="the program headers are cut off")},
            status="unknown", reason=f"{DISK} was not read: the program headers are cut off.")),
        ("missing", row(base=TROUBLE, subject="missing", status="notapplicable", reason=ON_DISK)),
    ],
    "binary.go_release": [
        ("supported", row(subject="api", status="pass",
                          reason="/opt/api/releases/1/api is built with Go 1.27.3, a supported release line.")),
        ("ended", row(
            subject="hand", status="fail",
            reason="/usr/local/bin/hand is built with Go 1.21.13, which upstream has not supported since 2024-08-13; 1.27 "
                   "and 1.26 "
                   "are supported.")),
        ("distribution", row(
            subject="etcd", status="fail", severity="info",
            reason="/usr/bin/etcd is built with Go 1.19.8, which upstream has not supported since 2023-08-08; its distribution "
                   "maintains it; 1.27 and 1.26 are supported.")),
        ("distribution-in-a-container", row(
            subject="etcd (podman container)", edits=of("etcd", container={"runtime": "podman", "id": "0123456789ab"}),
            status="fail", severity="info",
            evidence="in the podman container 0123456789ab: paths and users are the container's",
            reason="/usr/bin/etcd is built with Go 1.19.8, which upstream has not supported since 2023-08-08; the image's "
                   "distribution maintains it; 1.27 and 1.26 are supported.")),
        ("distribution-declared", row(
            subject="etcd", edits=of("etcd", declared=True), status="fail",
            reason="/usr/bin/etcd is built with Go 1.19.8, which upstream has not supported since 2023-08-08; 1.27 and 1.26 are "
                   "supported.")),
        ("policy", row(subject="api", go_version=">=1.26,<1.28", status="pass",
                       reason="/opt/api/releases/1/api is built with Go 1.27.3; >=1.26,<1.28 is wanted.")),
        ("policy-broken", row(subject="api", go_version="1.26", status="fail",
                              reason="/opt/api/releases/1/api is built with Go 1.27.3; 1.26 is wanted.")),
        ("policy-is-not-for-the-discovered", row(
            subject="api", edits=DISCOVERED, go_version="1.26", status="pass",
            reason="/opt/api/releases/1/api is built with Go 1.27.3, a supported release line.")),
        ("table-too-old", row(
            subject="api", now=datetime.datetime(2031, 1, 1, tzinfo=datetime.timezone.utc), status="unknown",
            reason="/opt/api/releases/1/api is built with Go 1.27.3; the table of Go releases (of "
                   f"{go_releases.load().as_of}) is too old to tell whether that is still supported.")),
        ("development-tree", row(
            subject="api", edits=proc("api", running__buildinfo__go_version="devel +8c5a6f81a3"), status="unknown",
            reason="/opt/api/releases/1/api is built with 'devel +8c5a6f81a3', which names no Go release.")),
        ("as-a-user", row(base=USER, subject="api", status="unknown", reason=UNREAD)),
    ],
    "binary.revision": [
        ("expected", row(subject="api", services=[{"name": "api", "revision": "acc4d82"}], status="pass",
                         evidence=f"build vcs.revision={REVISION}",
                         reason="/opt/api/releases/1/api is revision acc4d820727f.")),
        ("upper-case", row(subject="api", services=[{"name": "api", "revision": "ACC4D82"}], status="pass",
                           reason="/opt/api/releases/1/api is revision acc4d820727f.")),
        ("another", row(subject="api", services=[{"name": "api", "revision": "3f2c9ab"}], status="fail", role="release",
                        reason="/opt/api/releases/1/api is revision acc4d820727f; 3f2c9ab is wanted.")),
        ("not-restarted", row(
            subject="api", services=[{"name": "api", "revision": "acc4d82"}], status="fail",
            edits=setting("api", "vcs.revision", OLD), command="sudo systemctl restart api.service",
            reason="Revision 0123456789ab still runs; acc4d82 is on disk and wanted.")),
        ("pseudo-version", row(
            subject="api", services=[{"name": "api", "revision": REVISION}], edits=setting("api", "vcs.revision", ...),
            status="pass", evidence="mod version v0.0.0-20260101000000-acc4d820727f",
            reason="/opt/api/releases/1/api is revision acc4d820727f.")),
        ("stopped", row(subject="api", edits=STOPPED, services=[{"name": "api", "revision": "3f2c9ab"}], status="fail",
                        reason=f"{DISK} is revision acc4d820727f; 3f2c9ab is wanted.")),
        ("no-vcs-data", row(
            subject="api", services=[{"name": "api", "revision": "acc4d82"}], status="unknown",
            edits={**setting("api", "vcs.revision", ...), **proc("api", running__buildinfo__main=None)},
            reason="/opt/api/releases/1/api carries no VCS revision: it was built outside of a repository or with "
                   "-buildvcs=false.")),
        ("not-go", row(subject="api", services=[{"name": "api", "revision": "acc4d82"}], edits=NOT_GO, status="unknown",
                       reason="/opt/api/releases/1/api carries no readable Go build information.")),
        ("as-a-user", row(base=USER, subject="api", services=[{"name": "api", "revision": "acc4d82"}], status="unknown",
                          reason="Its executable was not read (exe: permission denied).")),
        ("not-declared", row(subject="", status="notapplicable", reason="No service of preflight_services declares a revision.")),
    ],
    "binary.clean": [
        ("clean", row(subject="api", status="pass",
                      reason="/opt/api/releases/1/api was built from the committed revision acc4d820727f.")),
        ("modified", row(subject="wrap", status="fail", evidence="build vcs.modified=true",
                         reason="/opt/wrap/wrap was built from uncommitted changes on top of acc4d820727f.")),
        ("dirty-version", row(
            subject="api", status="fail", evidence="mod version v0.0.0-20260101000000-acc4d820727f+dirty",
            edits={**setting("api", "vcs.modified", ...), **setting("api", "vcs.revision", ...),
                   **proc("api", running__buildinfo__main__version="v0.0.0-20260101000000-acc4d820727f+dirty")},
            reason="/opt/api/releases/1/api was built from uncommitted changes on top of acc4d820727f.")),
        ("no-vcs-data", row(
            subject="api", edits=proc("api", running__buildinfo__settings={}, running__buildinfo__main=None), status="unknown",
            reason="/opt/api/releases/1/api carries no VCS data: it was built outside of a repository or with -buildvcs=false.")),
        ("distribution", row(
            subject="caddy", status="notapplicable",
            reason="/usr/bin/caddy carries no VCS data: it was built outside of a repository or with -buildvcs=false.")),
        ("as-a-user", row(base=USER, subject="api", status="unknown", reason=UNREAD)),
    ],
    "binary.race": [
        ("release-build", row(subject="api", status="pass", reason="/opt/api/releases/1/api is built without -race.")),
        ("race", row(subject="bad", status="fail", evidence="build -race=true",
                     reason="/opt/bad/bad is built with -race: slower and larger by a multiple, made for tests.")),
        ("sanitizers", row(subject="api", edits={**setting("api", "-asan", "true"), **setting("api", "-race", "true")},
                           status="fail",
                           reason="/opt/api/releases/1/api is built with -race, -asan: slower and larger by a multiple, made for tests.")),
        ("on-disk", row(
            subject="api", edits={**DEPLOYED, "services/services/api/binary/buildinfo/settings/-race": "true"}, status="fail",
            reason=f"{DISK} is built with -race: slower and larger by a multiple, made for tests.")),
        ("no-settings", row(subject="api", edits=proc("api", running__buildinfo__settings={}), status="unknown", severity="low",
                            reason="/opt/api/releases/1/api does not record its build settings.")),
        ("as-a-user", row(base=USER, subject="api", status="unknown", reason=UNREAD)),
        ("not-go", row(subject="api", edits=NOT_GO, status="notapplicable",
                       reason="/opt/api/releases/1/api carries no Go build information.")),
    ],
    "binary.replaced": [
        ("same", row(subject="api", status="pass", reason="/opt/api/releases/1/api is the file that runs.")),
        ("deleted", row(base=TROUBLE, subject="rep", status="fail", command="sudo systemctl restart rep.service", role="release",
                        evidence=f"/proc/333/exe -> /opt/rep/rep (deleted)\nboth are revision {REVISION}",
                        reason="The file that rep (PID 333) runs is gone: it was replaced or deleted after the start.")),
        ("deleted-discovered", row(
            base=TROUBLE, subject="rep", edits=of("rep", declared=False), status="fail", severity="medium", role="",
            reason="The file that rep (PID 333) runs is gone: it was replaced or deleted after the start.")),
        ("another-file", row(
            subject="api", edits={**DEPLOYED, **setting("api", "vcs.revision", OLD)}, status="fail",
            evidence=f"running revision {OLD}, on disk {REVISION}",
            reason="/opt/api/releases/1/api was replaced after api (PID 211) started: the old file still runs.")),
        ("link-moved", row(
            base=TROUBLE, subject="api", status="fail", command="sudo systemctl restart api.service",
            evidence="/opt/api/current/api -> /opt/api/releases/2/api",
            reason="/opt/api/current/api now points to /opt/api/releases/2/api, and /opt/api/releases/1/api still runs.")),
        ("launcher-is-no-link-moved", row(
            base=TROUBLE, subject="api", edits=of("api", binary__buildinfo=None), status="pass",
            reason="/opt/api/releases/1/api is the file that runs.")),
        ("wrapper-script", row(subject="wrap", status="pass", reason="/opt/wrap/wrap is the file that runs.")),
        ("users-unit", row(
            subject="api", edits={**DEPLOYED, **of("api", manager="user", manager_user="deploy")}, status="fail",
            command="sudo systemctl --user -M deploy@ restart api.service",
            reason="/opt/api/releases/1/api was replaced after api (PID 211) started: the old file still runs.")),
        ("from-memory", row(subject="api", edits=proc("api", exe="/memfd:runc", exe_deleted=True, same_file=False),
                            status="notapplicable", reason="It runs from memory, not from a file.")),
        ("container-not-compared", row(
            subject="api (docker container)", edits={**IN_CONTAINER, **proc("api", same_file=None)}, status="notapplicable",
            reason="It runs in the docker container 0123456789ab; its file there was not compared.")),
        ("container", row(subject="api (docker container)", edits={**IN_CONTAINER, **DEPLOYED}, status="fail", command="",
                          reason="/opt/api/releases/1/api was replaced after api (PID 211) started: the old file still runs.")),
        ("as-a-user", row(
            base=USER, subject="api", status="unknown",
            reason="The executable of api (PID 211) could not be compared with the file on disk (exe: permission denied).")),
        ("stopped", row(subject="api", edits=STOPPED, status="notapplicable", reason="No process of it runs.")),
    ],
    "binary.ownership": [
        ("roots", row(subject="api", status="pass",
                      reason="/opt/api/releases/1/api belongs to root; only root can replace it.")),
        ("folder-for-everybody", row(
            subject="bad", status="fail", command="sudo chmod go-w /opt/bad", evidence="/opt/bad/bad: root:root 0775",
            reason="/opt/bad/bad can be replaced: /opt/bad is writable by everybody (0777).")),
        ("group", row(
            subject="api", edits=proc("api", running__writable_by=["/opt/my api/x is writable by group devs (0775)",
                                                                   "/opt is writable by everybody (0777)"]),
            status="fail", command="sudo chmod go-w '/opt/my api/x' /opt",
            reason="/opt/api/releases/1/api can be replaced: /opt/my api/x is writable by group devs (0775) (and 1 more).")),
        ("debians-staff", row(
            subject="hand", edits=proc("hand", running__writable_by=["/usr/local/bin is writable by group staff (2775)"]),
            status="pass", reason="/usr/local/bin/hand belongs to root; only root can replace it.")),
        ("no-group-trusted", row(
            subject="hand", edits=proc("hand", running__writable_by=["/usr/local/bin is writable by group staff (2775)"]),
            thresholds={"trusted_groups": ()}, status="fail",
            reason="/usr/local/bin/hand can be replaced: /usr/local/bin is writable by group staff (2775).")),
        ("root-runs-anothers-file", row(
            subject="wrap", edits=proc("wrap", 1, running__owner="deploy"), status="fail",
            command="sudo chown root:root /opt/wrap/wrap",
            reason="/opt/wrap/wrap runs as root, and /opt/wrap/wrap belongs to deploy, who can replace it and so becomes root.")),
        ("root-runs-from-anothers-home", row(
            subject="wrap", status="fail", command="",
            edits=proc("wrap", 1,
                       running__folders=[{"path": "/home/deploy", "owner": "deploy", "group": "deploy", "mode": "0755"}],
                       running__writable_by=["/home/deploy belongs to deploy (0755)"]),
            reason="/opt/wrap/wrap runs as root, and /home/deploy belongs to deploy, who can replace it and so becomes root.")),
        ("root-by-hand", row(
            subject="hand", edits=proc("hand", running__owner="deploy"), status="fail", severity="low",
            reason="/usr/local/bin/hand runs as root, and /usr/local/bin/hand belongs to deploy, who can replace it and so "
                   "becomes root.")),
        ("its-own-file", row(
            subject="api", edits=proc("api", running__owner="api"), status="fail", severity="low",
            reason="/opt/api/releases/1/api can be rewritten by the service itself: /opt/api/releases/1/api belongs to api.")),
        ("own-program-by-hand", row(
            subject="hand", edits=proc("hand", uid=1000, user="deploy", running__owner="deploy"), status="pass",
            reason="/usr/local/bin/hand belongs to deploy; only root and deploy can replace it.")),
        ("deployers-file", row(subject="api", edits=proc("api", running__owner="deploy"), status="pass",
                               reason="/opt/api/releases/1/api belongs to deploy; only root and deploy can replace it.")),
        ("in-a-container", row(
            subject="api (docker container)",
            edits={**IN_CONTAINER, **proc("api", running__writable_by=["/app is writable by everybody (0777)"])},
            status="notapplicable", reason="It runs in the docker container 0123456789ab: its image decides.")),
        ("owner-unread", row(
            subject="api", status="unknown", reason="The owner of /opt/api/releases/1/api was not read (permission denied).",
            edits=proc("api", running__owner=None, running__error="permission denied"))),
        ("as-a-user", row(base=USER, subject="api", status="pass",
                          reason=f"{DISK} belongs to root; only root can replace it.")),
        ("missing", row(base=TROUBLE, subject="missing", status="notapplicable", reason=ON_DISK)),
    ],
}


@pytest.mark.parametrize(
    ("check", "case"), [pytest.param(check, case, id=f"{check}-{name}") for check, rows in ROWS.items() for name, case in rows])
def test_judgement(check: str, case: Mapping[str, Any], expect: Callable[..., None]) -> None:
    expect(**{"check": check, "base": HOST, **case})


@pytest.mark.parametrize("check", list(ROWS))
def test_packages_of_the_distribution_block_nothing(check: str, recorded: Callable[..., Any], judge: Callable[..., Any]) -> None:
    results = judge(check, recorded(HOST))
    for name in ("caddy", "etcd", "prometheus-node-exporter"):
        result = results.get(name)
        assert result is None or result.status in ("pass", "notapplicable") or result.severity in ("info", "low")
