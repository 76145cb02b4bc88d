# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.sub_plugins.check import limits
from hypothesis import given
from hypothesis import strategies as st

HOST, TROUBLE, USER = "checks/host.json", "checks/trouble.json", "checks/user.json"
MIB = 1 << 20


def row(**values: Any) -> dict[str, Any]:
    return values


def of(name: str, **edits: Any) -> dict[str, Any]:
    """Edits of one service: ``of("api", unit=None)``, ``of("api", properties__Restart="no")``."""
    return {f"services/services/{name}/{path.replace('__', '/')}": value for path, value in edits.items()}


def proc(name: str, **edits: Any) -> dict[str, Any]:
    """Edits of a service's first process."""
    return {f"services/services/{name}/processes/0/{path.replace('__', '/')}": value for path, value in edits.items()}


def nofile(name: str, soft: Any, hard: Any) -> dict[str, Any]:
    return proc(name, limits__nofile={"soft": soft, "hard": hard})


def unit(name: str, soft: str, hard: str, text: str | None = None) -> dict[str, Any]:
    """What systemd resolved, and the line of the unit that says so (None: no line, systemd's default)."""
    line = [] if text is None else [{"line": 7, "section": "Service", "name": "LimitNOFILE", "value": text}]
    return {**of(name, properties__LimitNOFILE=hard, properties__LimitNOFILESoft=soft),
            **of(name, unit_files__0__directives=line, unit_files__0__problems=[])}


def built(name: str, version: str) -> dict[str, Any]:
    """With another Go, running and on disk."""
    return {**proc(name, running__buildinfo__go_version=version), **of(name, binary__buildinfo__go_version=version)}


def cgroup(name: str, **values: Any) -> dict[str, Any]:
    return proc(name, **{f"cgroup__{key}": value for key, value in values.items()})


def environ(name: str, **values: str) -> dict[str, Any]:
    return proc(name, environ=values)


NOT_GO = {**proc("api", go=False, running__buildinfo=None), **of("api", binary__buildinfo=None)}
IN_CONTAINER = of("api", container={"runtime": "docker", "id": "0123456789ab"}, unit=None, manager=None, properties=None,
                  unit_files=[])
BY_HAND = of("api", unit=None, manager=None, properties=None, unit_files=[])
STOPPED = of("api", processes=[], main_pid=None)
DISCOVERED = of("api", declared=False)
CONF = {"path": "/etc/security/limits.conf", "line": 4, "domain": "api", "type": "-", "item": "nofile", "value": "65536"}
WANTS = {"services": [{"name": "api", "nofile": 65536}]}
MODULES = "services/services/api/processes/0/running/buildinfo/deps"


def conf(*lines: Mapping[str, Any]) -> dict[str, Any]:
    return {"services/limits_conf": [{**CONF, **line} for line in lines]}


ROWS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "limits.nofile_configured": [
        ("systemds-default", row(subject="api", edits=unit("api", "1024", "524288"), **WANTS, status="pass",
                                 reason="api.service has a hard limit of 524288 open files; 65536 are wanted.")),
        ("too-low", row(
            subject="api", **WANTS, status="fail", role="service_limits",
            evidence="/etc/systemd/system/api.service:7: LimitNOFILE=8192:20000",
            command="sudo install -d /etc/systemd/system/api.service.d && printf '%b\\n' "
                    "'[Service]\\nLimitNOFILE=65536:524288' | sudo tee "
                    "/etc/systemd/system/api.service.d/50-nofile.conf && sudo systemctl daemon-reload && "
                    "sudo systemctl restart api.service",
            reason="api.service has a hard limit of 20000 open files; 65536 are wanted (declared).")),
        ("before-go-1.19", row(
            subject="api", edits={**unit("api", "1024", "524288"), **built("api", "go1.18.10")}, **WANTS, status="fail",
            reason="api.service has a soft limit of 1024 open files; 65536 are wanted (declared).")),
        ("development-tree", row(
            subject="api", edits={**unit("api", "1024", "524288"), **built("api", "devel +8c5a6f81a3")}, **WANTS, status="pass",
            reason="api.service has a hard limit of 524288 open files; 65536 are wanted.")),
        ("infinity", row(subject="api", edits=unit("api", "infinity", "infinity", "infinity"), **WANTS, status="pass",
                         reason="api.service has a hard limit of unlimited open files; 65536 are wanted.")),
        ("least-of-all", row(
            subject="api", edits=unit("api", "1024", "1024", "1024"), status="fail",
            reason="api.service has a hard limit of 1024 open files; 4096 are wanted (the least that any service should have).")),
        ("least-of-all-discovered", row(
            subject="api", edits={**unit("api", "1024", "1024", "1024"), **DISCOVERED}, status="fail", severity="medium",
            reason="api.service has a hard limit of 1024 open files; 4096 are wanted (the least that any service should have).")),
        ("package-of-the-distribution", row(
            subject="prometheus-node-exporter", status="pass",
            reason="prometheus-node-exporter.service has a hard limit of 524288 open files; 4096 are wanted.")),
        ("not-go", row(subject="api", edits={**unit("api", "1024", "524288"), **NOT_GO}, status="notapplicable",
                       reason="Its program is not known to be built with Go, and no `nofile` is declared for it.")),
        ("not-go-declared", row(subject="api", edits={**unit("api", "1024", "524288"), **NOT_GO}, **WANTS, status="fail",
                                reason="api.service has a soft limit of 1024 open files; 65536 are wanted (declared).")),
        ("not-told", row(subject="api", edits=of("api", properties__LimitNOFILE=...), **WANTS, status="unknown",
                         reason="systemd does not tell LimitNOFILE= of api.service.")),
        ("in-a-container", row(
            subject="api (docker container)", edits=IN_CONTAINER, **WANTS, status="notapplicable",
            reason="It runs in the docker container 0123456789ab: the container's runtime starts it, not a unit of this host.")),
    ],
    "limits.nofile_effective": [
        ("as-asked", row(subject="api", status="pass", reason="The running process may open 19999 files.",
                         evidence="/proc/211/limits: Max open files 19999 20000")),
        ("clamped", row(subject="bad", status="fail", evidence="/etc/systemd/system/bad.service:7: LimitNOFILE=65536", command="",
                        reason="The running process may open 20000 files; bad.service asks for 65536.")),
        ("clamped-but-enough", row(
            subject="bad", services=[{"name": "bad", "nofile": 16384}], status="fail", severity="medium",
            reason="The running process may open 20000 files; bad.service asks for 65536.")),
        ("clamped-discovered", row(subject="etcd", status="fail", severity="medium",
                                   reason="The running process may open 20000 files; etcd.service asks for 65536.")),
        ("clamped-default-is-no-finding", row(subject="prometheus-node-exporter", status="pass",
                                              reason="The running process may open 20000 files.")),
        ("clamped-default-below-the-declaration", row(
            subject="wrap", services=[{"name": "wrap", "nofile": 65536}], status="fail",
            reason="The running process may open 19999 files; 65536 are wanted (declared).")),
        ("too-little-configured-is-not-clamped", row(
            subject="api", **WANTS, status="pass", reason="The running process may open 19999 files.")),
        ("one-less-than-hard", row(
            subject="api", edits={**unit("api", "1024", "524288"), **nofile("api", 524287, 524288)},
            services=[{"name": "api", "nofile": 524288}], status="pass", reason="The running process may open 524287 files.")),
        ("infinity", row(subject="api",
                         edits={**unit("api", "infinity", "infinity", "infinity"), **nofile("api", 1048575, 1048576)},
                         status="pass", reason="The running process may open 1048575 files.")),
        ("hard-limit-left-alone", row(
            subject="api", edits={**unit("api", "16384", "524288", "16384:524288"), **nofile("api", 19999, 20000)},
            services=[{"name": "api", "nofile": 16384}], status="pass", reason="The running process may open 19999 files.")),
        ("soft-limit-is-the-promise", row(
            subject="api", edits={**unit("api", "65536", "524288", "65536:524288"), **nofile("api", 19999, 20000)}, status="fail",
            reason="The running process may open 19999 files; api.service asks for 65536.")),
        ("declared-within-the-two", row(
            subject="api", edits={**unit("api", "1024", "524288", "1024:524288"), **nofile("api", 19999, 20000)}, **WANTS,
            status="fail", reason="The running process may open 19999 files; api.service asks for 65536.")),
        ("soft-limit-of-another-program", row(
            subject="api", edits={**unit("api", "8192", "20000", "8192:20000"), **nofile("api", 8192, 20000), **NOT_GO},
            status="pass", reason="The running process may open 8192 files.")),
        ("above-nr-open", row(
            subject="api", edits={**unit("api", "2000000", "2000000", "2000000"), **nofile("api", 1048576, 1048576),
                                  "host/container": None},
            status="fail", evidence="/proc/sys/fs/nr_open: 1048576",
            command="sudo sysctl -w fs.nr_open=2000000 && sudo systemctl",
            reason="The running process may open 1048576 files; api.service asks for 2000000.")),
        ("not-restarted", row(
            subject="api", edits={**nofile("api", 4095, 4096), "host/container": None}, status="fail",
            command="grep 'open files' /proc/1/limits; sudo systemctl restart api.service",
            reason="The running process may open 4095 files; api.service asks for 20000.")),
        ("lowers-itself", row(
            subject="api", edits=nofile("api", 1024, 20000), status="fail", role="service_limits",
            reason="The running process may open 1024 files; api.service asks for 20000.")),
        ("container", row(subject="api (docker container)", edits={**IN_CONTAINER, **nofile("api", 1024, 1024)}, **WANTS,
                          status="fail", command="", evidence="in the docker container 0123456789ab: ",
                          reason="The running process may open 1024 files; 65536 are wanted (declared).")),
        ("by-hand-discovered", row(
            subject="hand", edits=nofile("hand", 1024, 1024), status="fail", severity="medium",
            reason="The running process may open 1024 files; 4096 are wanted (the least that any service should have).")),
        ("unlimited", row(subject="api", edits=nofile("api", "unlimited", "unlimited"), status="pass",
                          reason="The running process may open unlimited files.")),
        ("as-a-user", row(base=USER, subject="api", status="pass", reason="The running process may open 19999 files.")),
        ("unreadable", row(subject="api", edits=proc("api", limits=None, unreadable=["limits: permission denied"]),
                           status="unknown", reason="/proc/211/limits was not read (limits: permission denied).")),
        ("stopped", row(subject="api", edits=STOPPED, status="notapplicable", reason="No process of it runs.")),
    ],
    "limits.nofile_headroom": [
        ("plenty", row(subject="api", status="pass", reason="api (PID 211) has 6 of 19999 descriptors open.")),
        ("nearly-full", row(
            subject="api", edits={**proc("api", fds__open=900), **nofile("api", 1024, 1024)}, status="fail",
            evidence="/proc/211/fd: 900 entries", command="sudo ls -l /proc/211/fd",
            reason="api (PID 211) has 900 of 1024 descriptors open: 88 %, below 80 % is wanted.")),
        ("other-ratio", row(subject="api", edits={**proc("api", fds__open=900), **nofile("api", 1024, 1024)},
                            thresholds={"ratio": 0.9}, status="pass", reason="api (PID 211) has 900 of 1024 descriptors open.")),
        ("unlimited", row(subject="api", edits={**proc("api", fds__open=900), **nofile("api", "unlimited", "unlimited")},
                          status="pass", reason="api (PID 211) has 900 of unlimited descriptors open.")),
        ("as-a-user", row(base=USER, subject="api", status="unknown",
                          reason="The open descriptors of api (PID 211) were not read (fds: permission denied).")),
    ],
    "limits.nofile_lowered": [
        ("default", row(subject="wrap", status="pass", reason="wrap.service leaves the limit to systemd's default.")),
        ("keeps-hard", row(subject="api", edits=unit("api", "65536", "524288", "65536:524288"), status="pass",
                           reason="LimitNOFILE=65536:524288 keeps the hard limit at 524288.")),
        ("lowers", row(subject="bad", status="fail", command="LimitNOFILE=65536:524288",
                       reason="LimitNOFILE=65536 lowers the hard limit of bad.service from systemd's 524288 to 65536.")),
        ("lowers-as-declared", row(subject="bad", services=[{"name": "bad", "nofile": 65536}], status="pass",
                                   reason="LimitNOFILE=65536 gives the 65536 descriptors that are declared.")),
        ("administrators-file", row(subject="bad", edits=of("bad", declared=False), status="fail", severity="info",
                                    reason="LimitNOFILE=65536 lowers the hard limit of bad.service from systemd's 524288 to 65536.")),
        ("package", row(subject="etcd", status="notapplicable",
                        reason="LimitNOFILE=65536 is the decision of the package that etcd.service belongs to.")),
        ("before-go-1.19", row(subject="bad", edits=built("bad", "go1.18.10"), status="notapplicable",
                               reason="The program is not built with Go 1.19 or later: it lives by the soft limit.")),
        ("ignored-line", row(
            subject="api", status="pass", reason="api.service leaves the limit to systemd's default.",
            edits={**unit("api", "1024", "524288", "64K"),
                   **of("api", unit_files__0__problems=[{"line": 7, "section": "Service", "name": "LimitNOFILE",
                                                         "message": "'64K' is no limit"}])})),
        ("not-told", row(subject="bad", edits=of("bad", properties__LimitNOFILE=...), status="unknown",
                         reason="systemd does not tell LimitNOFILE= of bad.service.")),
    ],
    "limits.limits_conf_ignored": [
        ("no-line", row(
            subject="", edits=conf(), status="pass",
            reason="limits.conf has no nofile line that a service of api, caddy, etcd and 1 more does not get.")),
        ("line-for-the-user", row(
            subject="user api", edits=conf({}), status="fail", evidence="/etc/security/limits.conf:4: api - nofile 65536",
            reason="/etc/security/limits.conf sets nofile for api to 65536, which api.service does not get: limits.conf is for "
                   "logins.")),
        ("line-for-the-uid", row(
            subject="user api", edits=conf({"domain": "999", "type": "soft"}), status="fail",
            evidence="api.service: open files 19999 (soft), 20000 (hard)",
            reason="/etc/security/limits.conf sets nofile for api to 65536, which api.service does not get: limits.conf is for "
                   "logins.")),
        ("same-value", row(
            subject="", edits=conf({"type": "hard", "value": "20000"}), status="pass",
            evidence="/etc/security/limits.conf:4: api hard nofile 20000",
            reason="limits.conf has no nofile line that a service of api, caddy, etcd and 1 more does not get.")),
        ("same-value-less-gos-one", row(
            subject="", edits=conf({"value": "20000"}), status="pass",
            reason="limits.conf has no nofile line that a service of api, caddy, etcd and 1 more does not get.")),
        ("line-for-all", row(
            subject="", edits=conf({"domain": "*"}, {"domain": "@api"}, {"domain": "root"}), status="pass",
            reason="limits.conf has no nofile line that a service of api, caddy, etcd and 1 more does not get.")),
        ("another-item", row(
            subject="", edits=conf({"item": "nproc"}), status="pass",
            reason="limits.conf has no nofile line that a service of api, caddy, etcd and 1 more does not get.")),
        ("pam", row(
            subject="", status="pass",
            reason="limits.conf has no nofile line that a service of caddy, etcd, prometheus does not get.",
            edits={**conf({}), **of("api", unit_files__0__directives__0={"line": 3, "section": "Service", "name": "PAMName",
                                                                         "value": "login"})})),
        ("stopped", row(
            subject="user api", edits={**conf({}), **of("api", processes=[])}, status="fail",
            evidence="api.service: open files 8192 (soft), 20000 (hard)",
            reason="/etc/security/limits.conf sets nofile for api to 65536, which api.service does not get: limits.conf is for "
                   "logins.")),
        ("stopped-and-configured", row(
            subject="", edits={**conf({}), **of("api", processes=[]), **unit("api", "65536", "65536", "65536")}, status="pass",
            reason="limits.conf has no nofile line that a service of api, caddy, etcd and 1 more does not get.")),
        ("not-read", row(
            subject="user api", edits={**conf({}), **proc("api", limits=None, unreadable=["limits: permission denied"])},
            status="unknown", evidence="/etc/security/limits.conf:4: api - nofile 65536",
            reason="Whether api.service gets what limits.conf sets for api is unknown: its limits were not read (limits: "
                   "permission denied).")),
        ("one-of-two-not-read", row(
            subject="user api", base=TROUBLE, status="fail",
            edits={**conf({}), **proc("api", limits=None, unreadable=["limits: permission denied"])},
            reason="/etc/security/limits.conf sets nofile for api to 65536, which rep.service does not get: limits.conf is for "
                   "logins.")),
        ("not-collected", row(subject="", edits={"services/limits_conf": None}, status="unknown",
                              reason="services.limits_conf was not collected.")),
    ],
    "limits.tasks": [
        ("few", row(subject="api", edits=cgroup("api", pids_max=100, pids_current=7), status="pass",
                    reason="It uses 7 of 100 tasks.")),
        ("nearly-all", row(subject="api", edits=cgroup("api", pids_max=100, pids_current=80), status="fail",
                           command="TasksMax=200",
                           reason="It uses 80 of 100 tasks: 80 %, below 80 % is wanted.")),
        ("unlimited", row(subject="api", edits=cgroup("api", pids_max="max", pids_current=80), status="pass",
                          reason="The number of tasks is not limited.")),
        ("threads-of-go", row(subject="api", edits=proc("api", threads=8001), status="fail",
                              reason="PID 211 has 8001 threads; Go ends a program that has more than 10000.")),
        ("not-enforced", row(subject="bad", status="fail", severity="low", evidence="bad.service:6: TasksMax=100",
                             reason="bad.service sets TasksMax=100, but the kernel offers no pids controller: it is not enforced.")),
        ("no-controller", row(subject="api", status="pass", reason="6 threads; no limit on tasks is in force.")),
        ("no-cgroup", row(subject="api", edits=proc("api", cgroup=None), status="unknown",
                          reason="The control group of PID 211 was not read.")),
        ("no-count", row(subject="api", edits=cgroup("api", pids_max=100), status="unknown",
                         reason="The number of tasks in cgroup /system.slice/api.service was not read.")),
        ("stopped", row(subject="api", edits=STOPPED, status="notapplicable", reason="No process of it runs.")),
    ],
    "limits.memory_limit": [
        ("below", row(subject="api", edits={**cgroup("api", memory_max=512 * MIB), **environ("api", GOMEMLIMIT="460MiB")},
                      status="pass", reason="GOMEMLIMIT is 460 MiB, 90 % of MemoryMax (512 MiB).")),
        ("above", row(subject="api", edits={**cgroup("api", memory_max=512 * MIB), **environ("api", GOMEMLIMIT="512MiB")},
                      status="fail", command="Environment=GOMEMLIMIT=460MiB",
                      reason="GOMEMLIMIT is 512 MiB, not below MemoryMax (512 MiB): the kernel acts before Go does.")),
        ("above-high", row(
            subject="api", status="fail", evidence="memory.high 268435456",
            edits={**cgroup("api", memory_max=512 * MIB, memory_high=256 * MIB), **environ("api", GOMEMLIMIT="400MiB")},
            reason="GOMEMLIMIT is 400 MiB, not below MemoryHigh (256 MiB): the kernel acts before Go does.")),
        ("a-parents-limit", row(
            subject="api", status="fail", evidence="cgroup /system.slice: memory.max 268435456",
            edits={**cgroup("api", memory_max="max", effective={"memory_max": {"value": 256 * MIB, "path": "/system.slice"}}),
                   **environ("api", GOMEMLIMIT="400MiB")},
            reason="GOMEMLIMIT is 400 MiB, not below MemoryMax of /system.slice (256 MiB): the kernel acts before Go does.")),
        ("no-room", row(
            subject="api", edits={**cgroup("api", memory_max=512 * MIB), **environ("api", GOMEMLIMIT="500MiB")}, status="fail",
            severity="low", reason="GOMEMLIMIT is 500 MiB, 97.7 % of MemoryMax (512 MiB); 5 % should be left for memory that Go "
                                   "does not count.")),
        ("absent-and-full", row(
            subject="api", edits={**cgroup("api", memory_max=512 * MIB), **proc("api", rss=300 * MIB)}, status="fail",
            command="Environment=GOMEMLIMIT=460MiB",
            reason="GOMEMLIMIT is not set, and the program holds 300 MiB, 59 % of MemoryMax (512 MiB): the heap may double "
                   "before "
                   "Go collects.")),
        ("absent-and-small", row(
            subject="api", edits={**cgroup("api", memory_max=512 * MIB), **proc("api", rss=100 * MIB)}, status="pass",
            reason="GOMEMLIMIT is not set; the program holds 20 % of MemoryMax (512 MiB).")),
        ("automemlimit", row(
            subject="api", edits={**cgroup("api", memory_max=512 * MIB), **proc("api", rss=300 * MIB),
                                  MODULES: [{"path": "github.com/KimMachineGun/automemlimit", "version": "v0.7.5"}]},
            status="pass", reason="The program is linked with automemlimit, which sets the limit from the cgroup.")),
        ("malformed-in-the-unit", row(
            base=TROUBLE, subject="memlim", status="fail", severity="high", command="sudo systemctl edit memlim.service",
            evidence="/etc/systemd/system/memlim.service:3: Environment=GOMEMLIMIT=512M",
            reason="memlim.service sets GOMEMLIMIT=512M, which Go cannot read: the next start fails.")),
        ("too-small-to-be-meant", row(
            subject="api", edits=environ("api", GOMEMLIMIT="512"), status="fail",
            reason="GOMEMLIMIT is 512 bytes: the program collects garbage all the time.")),
        ("ignored-by-old-go", row(
            subject="api", edits={**environ("api", GOMEMLIMIT="512MiB"), **built("api", "go1.18.10")}, status="fail",
            reason="GOMEMLIMIT=512MiB is set, but the program is built with Go 1.18.10, which ignores it (new in 1.19).")),
        ("not-enforced", row(
            subject="bad", status="fail",
            reason="bad.service sets MemoryMax= to 256 MiB, but the kernel offers no memory controller: it is not enforced.")),
        ("gogc-off", row(subject="api", edits=environ("api", GOGC="off"), status="fail",
                         reason="GOGC=off without GOMEMLIMIT: the program never collects garbage.")),
        ("gogc-off-with-limit", row(subject="api", edits=environ("api", GOGC="off", GOMEMLIMIT="1GiB"), status="pass",
                                    reason="GOMEMLIMIT is 1 GiB; no limit of the cgroup stands below it.")),
        ("more-than-the-host-has", row(
            subject="api", edits=environ("api", GOMEMLIMIT="1TiB"), status="fail", severity="low",
            reason="GOMEMLIMIT is 1 TiB, more than the host's 23.5 GiB of memory.")),
        ("off-is-absent", row(subject="api", edits=environ("api", GOMEMLIMIT="off"), status="notapplicable",
                              reason="No memory limit is in force for it, and GOMEMLIMIT is not set.")),
        ("nothing-set", row(subject="api", status="notapplicable",
                            reason="No memory limit is in force for it, and GOMEMLIMIT is not set.")),
        ("not-go", row(subject="api", edits={**NOT_GO, **cgroup("api", memory_max=512 * MIB)}, status="notapplicable",
                       reason="api is no Go program.")),
        ("environment-unreadable", row(
            base=USER, subject="api", edits=cgroup("api", memory_max=512 * MIB), status="unknown",
            reason="The environment of PID 211 was not read (environ: permission denied): whether GOMEMLIMIT is set below "
                   "MemoryMax is unknown.")),
        ("no-cgroup", row(subject="api", edits=proc("api", cgroup=None), status="unknown",
                          reason="The control group of PID 211 was not read.")),
        ("unreadable-value-that-runs", row(
            subject="api", edits=environ("api", GOMEMLIMIT="512M"), status="unknown",
            reason="GOMEMLIMIT=512M cannot be read by Go, and yet the program runs.")),
        ("in-a-container", row(
            subject="api (docker container)", status="fail", command="", role="",
            edits={**IN_CONTAINER, **cgroup("api", memory_max=512 * MIB), **environ("api", GOMEMLIMIT="600MiB")},
            reason="GOMEMLIMIT is 600 MiB, not below the control group's memory_max (512 MiB): the kernel acts before Go does.")),
    ],
    "limits.gomaxprocs": [
        ("go-1.25", row(subject="api", edits=cgroup("api", cpu_quota=0.5), status="pass",
                        reason="Go 1.27.3 takes GOMAXPROCS from the quota of 0.5 CPUs.")),
        ("go-1.24", row(
            subject="api", edits={**cgroup("api", cpu_quota=1.5), **built("api", "go1.24.9"), "host/cpu/count": 16},
            status="fail",
            command="Environment=GOMAXPROCS=2",
            reason="GOMAXPROCS is the host's 16 CPUs with a quota of 1.5: Go 1.24.9 does not look at it; 2 is wanted.")),
        ("go-1.24-small-host", row(
            subject="api", edits={**cgroup("api", cpu_quota=1.5), **built("api", "go1.24.9")}, status="pass",
            reason="GOMAXPROCS is at most the host's 2 CPUs, within the quota of 1.5.")),
        ("old-go.mod", row(
            subject="api", status="fail",
            edits={**cgroup("api", cpu_quota=3.0), "host/cpu/count": 16,
                   **proc("api", running__buildinfo__settings__DefaultGODEBUG="containermaxprocs=0,updatemaxprocs=0")},
            reason="GOMAXPROCS is the host's 16 CPUs with a quota of 3: DefaultGODEBUG: containermaxprocs=0 switches that off; "
                   "3 is wanted.")),
        ("environment-goes-first", row(
            subject="api", status="pass", reason="Go 1.27.3 takes GOMAXPROCS from the quota of 3 CPUs.",
            edits={**cgroup("api", cpu_quota=3.0), "host/cpu/count": 16, **environ("api", GODEBUG="containermaxprocs=1"),
                   **proc("api", running__buildinfo__settings__DefaultGODEBUG="containermaxprocs=0")})),
        ("a-parents-quota", row(
            subject="api", status="fail",
            edits={**cgroup("api", cpu_quota="max", effective={"cpu_quota": {"value": 2.0, "path": "/system.slice"}}),
                   "host/cpu/count": 16},
            reason="GOMAXPROCS is the host's 16 CPUs with a quota of 2: Go reads its own control group only, the quota is "
                   "that of "
                   "/system.slice; 2 is wanted.")),
        ("set", row(subject="api", edits={**cgroup("api", cpu_quota=2.0), **environ("api", GOMAXPROCS="2")}, status="pass",
                    reason="GOMAXPROCS is 2 with a quota of 2 CPUs.")),
        ("set-too-high", row(subject="api", edits={**cgroup("api", cpu_quota=2.0), **environ("api", GOMAXPROCS="8")},
                             status="fail",
                             reason="GOMAXPROCS is 8 with a quota of 2 CPUs; 2 is wanted.")),
        ("set-to-nonsense", row(subject="api", edits={**cgroup("api", cpu_quota=2.0), **environ("api", GOMAXPROCS="many")},
                                status="pass", reason="Go 1.27.3 takes GOMAXPROCS from the quota of 2 CPUs.")),
        ("automaxprocs", row(
            subject="api", edits={**cgroup("api", cpu_quota=2.0), **built("api", "go1.24.9"), "host/cpu/count": 16,
                                  MODULES: [{"path": "go.uber.org/automaxprocs", "version": "v1.6.0"}]},
            status="pass", reason="The program is linked with automaxprocs, which sets GOMAXPROCS from the quota.")),
        ("not-enforced", row(subject="bad", status="fail", evidence="/etc/systemd/system/bad.service:5: CPUQuota=50%",
                             reason="bad.service sets CPUQuota=50%, but the kernel offers no cpu controller: it is not enforced.")),
        ("no-quota", row(subject="api", edits=cgroup("api", cpu_quota="max"), status="notapplicable",
                         reason="No CPU quota is in force for it.")),
        ("version-unknown", row(
            subject="api", edits={**cgroup("api", cpu_quota=2.0), **built("api", "devel +8c5a6f81a3")}, status="unknown",
            reason="The Go version of the program is unknown, and so is whether it looks at its CPU quota.")),
        ("cpus-unknown", row(
            subject="api", edits={**cgroup("api", cpu_quota=2.0), **built("api", "go1.24.9"), "host/cpu": None}, status="unknown",
            reason="Go 1.24.9 does not look at it; how many CPUs the host has is unknown.")),
        ("environment-unreadable", row(base=USER, subject="api", edits=cgroup("api", cpu_quota=2.0), status="unknown",
                                       reason="The environment of PID 211 was not read (environ: permission denied).")),
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
        assert result is None or result.status in ("pass", "notapplicable") or result.severity in ("info", "low", "medium")


def test_programs_of_one_service_are_told_apart(recorded: Callable[..., Any], judge: Callable[..., Any]) -> None:
    facts = recorded(HOST)
    service = next(one for one in facts["services"]["services"] if one["name"] == "api")
    for pid in (300, 301):
        service["processes"].append({**service["processes"][0], "pid": pid, "exe": "/opt/api/worker",
                                     "fds": {"open": 19000 if pid == 301 else 5}})
    results = judge("limits.nofile_headroom", facts)
    assert results["api"].status == "pass"
    assert results["api/worker"].reason == "worker (PID 301) has 19000 of 19999 descriptors open: 95 %, below 80 % is wanted."


def test_memory_limits_of_several_processes_add_up(recorded: Callable[..., Any], judge: Callable[..., Any]) -> None:
    facts = recorded(HOST, {**cgroup("api", memory_max=512 * MIB), **environ("api", GOMEMLIMIT="256MiB")})
    service = next(one for one in facts["services"]["services"] if one["name"] == "api")
    service["processes"].append({**service["processes"][0], "pid": 300})
    result = judge("limits.memory_limit", facts)["api"]
    assert result.reason.startswith("GOMEMLIMIT is 256 MiB x 2 processes, not below MemoryMax (512 MiB)")
    assert "GOMEMLIMIT=230MiB" in result.remediation.command


def sharing(facts: dict[str, Any], count: int) -> dict[str, Any]:
    """The services become ``count`` copies of api, which run as the same user."""
    api = next(one for one in facts["services"]["services"] if one["name"] == "api")
    facts["services"]["services"] = [
        {**api, "name": f"job{number:02}", "unit": f"job{number:02}.service"} for number in range(count)]
    return facts


def test_one_line_for_many_services_is_one_finding(recorded: Callable[..., Any], judge: Callable[..., Any]) -> None:
    results = judge("limits.limits_conf_ignored", sharing(recorded(HOST, conf({}, {"line": 9, "value": "4096"})), 30))
    assert list(results) == ["user api"]
    result = results["user api"]
    assert (result.status, result.actual, result.expected) == ("fail", 19999, 65536)
    assert result.reason == (
        "/etc/security/limits.conf sets nofile for api to 65536, which job00.service, job01.service, job02.service and 27 more "
        "do not get: limits.conf is for logins.")
    assert result.evidence[:3] == (
        "/etc/security/limits.conf:4: api - nofile 65536", "/etc/security/limits.conf:9: api - nofile 4096",
        "job00.service: open files 19999 (soft), 20000 (hard)")
    assert (len(result.evidence), result.evidence[-1]) == (23, "... and 10 more")


def test_one_finding_for_each_user_and_only_for_those_services_that_miss_a_line(
        recorded: Callable[..., Any], judge: Callable[..., Any]) -> None:
    facts = sharing(recorded(HOST, conf({"type": "hard", "value": "20000"}, {"domain": "etcd"})), 3)
    first, _second, third = facts["services"]["services"]
    first["processes"] = [{**first["processes"][0], "limits": {"nofile": {"soft": 512, "hard": 1024}}}]
    third["processes"] = [{**third["processes"][0], "user": "etcd", "uid": 101}]
    results = judge("limits.limits_conf_ignored", facts)
    assert sorted(results) == ["user api", "user etcd"]
    assert results["user api"].reason == (
        "/etc/security/limits.conf sets nofile for api to 20000, which job00.service does not get: limits.conf is for logins.")
    assert results["user api"].evidence[1:] == ("job00.service: open files 512 (soft), 1024 (hard)",)
    assert results["user etcd"].evidence[1:] == ("job02.service: open files 19999 (soft), 20000 (hard)",)


def test_nothing_to_rely_on_limits_conf_is_one_outcome(recorded: Callable[..., Any], judge: Callable[..., Any]) -> None:
    facts = recorded(HOST, conf({}, {"domain": "root"}))
    facts["services"]["services"] = [one for one in facts["services"]["services"] if one["name"] in ("bad", "gone", "hand")]
    results = judge("limits.limits_conf_ignored", facts)
    assert {subject: (one.status, one.reason) for subject, one in results.items()} == {"": ("notapplicable", (
        "No service of the host's systemd runs as a user of its own, so nobody would look for its limits in limits.conf."))}
    assert results[""].evidence == (
        "bad: runs as root, and lines for root are meant for logins", "gone: runs as root, and lines for root are meant for logins",
        "hand: no service of the host's systemd, limits.conf may apply to it")


@pytest.mark.parametrize(("text", "expected"), [
    ("", limits.INFINITY), ("off", limits.INFINITY), ("0", 0), ("512", 512), ("512B", 512), ("1KiB", 1024), ("512MiB", 512 * MIB),
    ("2GiB", 2048 * MIB), ("1TiB", 1 << 40), ("9223372036854775807", (1 << 63) - 1),
])
def test_memory_limit_as_go_reads_it(text: str, expected: float) -> None:
    assert limits.parse_memory_limit(text) == expected


# Tried with go 1.27.3: each of these ends the program with "malformed GOMEMLIMIT".
@pytest.mark.parametrize("text", ["512M", "512MB", "512mib", "512 MiB", "-1", "1.5GiB", "MiB", "B", "iB", "OFF", "1PiB",
                                  "9223372036854775808", "8388608TiB", "0x10"])
def test_memory_limit_that_go_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is no GOMEMLIMIT"):
        limits.parse_memory_limit(text)


@given(st.text(max_size=40))
def test_any_text_is_a_limit_or_an_error(text: str) -> None:
    try:
        assert limits.parse_memory_limit(text) >= 0
    except ValueError as exc:
        assert repr(text) in str(exc)


CLAMPED = {**unit("api", "9000", "9000", "9000"), **nofile("api", 512, 512)}


@pytest.mark.parametrize(("check", "edits", "safe", "role"), [
    # systemd of this container has more than what the process has: it was not restarted.
    pytest.param("limits.nofile_effective", {**CLAMPED, "services/systemd/nofile": {"soft": 20000, "hard": 20000}}, "apply",
                 "service_limits", id="not-restarted"),
    pytest.param("limits.nofile_effective", {**CLAMPED, "services/systemd/nofile": {"soft": 512, "hard": 512}}, "manual", "",
                 id="the-container-has-no-more"),
    pytest.param("limits.nofile_effective", {**CLAMPED, "host/container": None}, "apply", "service_limits", id="no-container"),
    pytest.param("limits.nofile_effective", nofile("api", 1024, 20000), "manual", "service_limits", id="go-lowered-itself"),
    pytest.param("limits.nofile_effective", {**unit("api", "8192", "20000", "8192"), **nofile("api", 1024, 20000), **NOT_GO}, "apply",
                 "service_limits", id="another-program"),
    pytest.param("limits.nofile_configured", unit("api", "512", "512", "512"), "apply", "service_limits", id="unit"),
    pytest.param("limits.nofile_configured", {**unit("api", "512", "512", "512"), "services/systemd/nofile": {"soft": 9000, "hard": 9000}},
                 "manual", "service_limits", id="more-than-the-container-has"),
    pytest.param("limits.nofile_configured", {**unit("api", "512", "512", "512"), "host/container": None, "host/sysctl/fs.nr_open": 10000},
                 "manual", "service_limits", id="more-than-the-kernel-allows"),
])
def test_the_role_is_offered_where_it_mends(recorded: Callable[..., Any], judge: Callable[..., Any], check: str, edits: Any, safe: str,
                                            role: str) -> None:
    one = judge(check, recorded(HOST, edits), services=[{"name": "api", "nofile": 16384}])["api"]
    assert one.status == "fail"
    assert (one.remediation.safe, one.remediation.role) == (safe, role)
