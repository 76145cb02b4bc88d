# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Family host: recorded facts for pass, fail and unknown of every check."""
from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.sub_plugins.check import host

FIXTURES = Path(__file__).parents[3] / "fixtures" / "host"
NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.timezone.utc)
GIB = 1 << 30


def facts(name: str = "ubuntu24-standin-podman", **edits: Any) -> dict[str, Any]:
    """A recorded document; ``edits`` are ``host__time__synchronized=True`` or ``host__time=None`` (taken out)."""
    document = json.loads((FIXTURES / f"{name}.json").read_text())
    for path, value in edits.items():
        *steps, last = path.split("__")
        where = document
        for step in steps:
            where = where[step]
        where[last] = copy.deepcopy(value)
    return document


def judge(one: engine.Check, document: dict[str, Any], **policy: Any) -> list[engine.Result]:
    return engine.run([one], document, engine.Policy(**{"now": NOW, **policy}))


def only(one: engine.Check, document: dict[str, Any], **policy: Any) -> engine.Result:
    results = judge(one, document, **policy)
    assert len(results) == 1
    return results[0]


def by_subject(results: list[engine.Result]) -> dict[str, engine.Result]:
    return {result.subject: result for result in results}


def thresholds(one: engine.Check, **values: Any) -> dict[str, Any]:
    return {"thresholds": {one.id: values}}


def test_the_family_is_complete() -> None:
    severities = {one.id: one.severity for one in engine.checks_of(host)}
    assert severities == {
        "host.supported_os": "high", "host.architecture": "high", "host.emulation": "medium", "host.fd_ceiling": "high",
        "host.tcp_backlog": "low", "host.time_sync": "medium", "host.disk_space": "high", "host.inodes": "medium",
        "host.pending_reboot": "low"}
    assert {one.profile for one in engine.checks_of(host)} == {"quick"}


@pytest.mark.parametrize("one", engine.checks_of(host), ids=lambda one: one.id)
@pytest.mark.parametrize("kind", ["timeout", "unavailable", None])
def test_what_was_not_collected_is_no_pass(one: engine.Check, kind: str | None) -> None:
    document = facts()
    section, key = one.needs[0].split(".")
    del document[section][key]
    if kind:
        document["errors"] = [{"part": one.needs[0], "kind": kind, "message": "m"}]
    assert only(one, document).status == ("error" if kind == "timeout" else "unknown")


@pytest.mark.parametrize("name", ["ubuntu24-standin-podman", "debian12-arm64-qemu"])
def test_the_recorded_hosts(name: str) -> None:
    """The findings on the test hosts: their machine's clock is not synchronised, and one of them is emulated."""
    results = engine.run(engine.checks_of(host), facts(name), engine.Policy(now=NOW))
    assert not [result for result in results if result.status == "error"]
    assert {result.id for result in results if result.status == "fail"} == {"host.time_sync"} | (
        {"host.emulation"} if "qemu" in name else set())
    assert all(result.evidence for result in results)


def system(name: str, version: str | None, extended: list[str] | None = None) -> dict[str, Any]:
    return {"id": name, "version_id": version, "codename": None, "pretty_name": f"{name.title()} {version or 'sid'}", "like": [],
            "extended_support": extended or []}


class TestSupportedOs:
    @pytest.mark.parametrize(("os", "status", "severity", "reason"), [
        pytest.param(system("ubuntu", "24.04"), "pass", "high", "Ubuntu 24.04 gets security fixes until 2029-05-31.", id="lts"),
        pytest.param(system("debian", "12"), "pass", "high", "Debian 12 gets security fixes by Debian LTS until 2028-06-30.",
                     id="debian-lts"),
        pytest.param(system("debian", "13"), "pass", "high", "Debian 13 gets security fixes until 2030-06-30.", id="debian"),
        pytest.param(system("ubuntu", "26.10"), "pass", "high", "Ubuntu 26.10 gets security fixes until 2027-07-15.",
                     id="interim"),
        pytest.param(system("ubuntu", "20.04"), "fail", "high", "Ubuntu 20.04 has had no security fixes since 2025-05-29.",
                     id="ended"),
        pytest.param(system("ubuntu", "20.04", ["ubuntu-esm-infra.list"]), "pass", "high",
                     "Ubuntu 20.04 gets security fixes by Ubuntu Pro (ESM) until 2030-04-23.", id="esm"),
        pytest.param(system("ubuntu", "20.04", ["ubuntu-esm-apps.list"]), "fail", "high",
                     "Ubuntu 20.04 has had no security fixes since 2025-05-29.", id="esm-of-apps-only"),
        pytest.param(system("ubuntu", "16.04", ["ubuntu-esm-infra.list"]), "fail", "high",
                     "Ubuntu 16.04 has had no security fixes since 2026-04-23.", id="esm-ended"),
        pytest.param(system("debian", "11"), "fail", "high", "Debian 11 has had no security fixes since 2026-08-31.",
                     id="debian-ended"),
        pytest.param(system("ubuntu", "25.10"), "fail", "high", "Ubuntu 25.10 has had no security fixes since 2026-07-09.",
                     id="interim-ended"),
        pytest.param(system("ubuntu", "19.10"), "fail", "high", "Ubuntu 19.10 gets no security fixes any more.",
                     id="not-in-the-table"),
        pytest.param(system("debian", None), "fail", "high",
                     "Debian sid has no version: testing and unstable get no timely security fixes.", id="sid"),
        pytest.param(system("ubuntu", "28.04"), "unknown", "high",
                     "Ubuntu 28.04 is newer than the table of support dates: whether "
                     "it gets fixes is not known here.", id="newer"),
        pytest.param(system("debian", "x"), "unknown", "high", "Debian x is newer than the table of support dates: whether "
                     "it gets fixes is not known here.", id="odd-version"),
        pytest.param(system("rocky", "9.5"), "unknown", "high",
                     "Rocky 9.5 is neither Ubuntu nor Debian: until when it gets fixes "
                     "is not known here.", id="other"),
    ])
    def test_cases(self, os: dict[str, Any], status: str, severity: str, reason: str) -> None:
        result = only(host.supported_os, facts(host__os=os))
        assert (result.status, result.severity, result.reason) == (status, severity, reason)

    def test_soon(self) -> None:
        policy = {"now": datetime.datetime(2029, 3, 20, tzinfo=datetime.timezone.utc)}
        result = only(host.supported_os, facts(), **policy)
        assert (result.status, result.severity) == ("fail", "low")
        assert result.reason == "Ubuntu 24.04.3 LTS gets security fixes for 72 more days only, until 2029-05-31."
        assert only(host.supported_os, facts(), **policy, **thresholds(host.supported_os, notice_days=30)).status == "pass"

    @pytest.mark.parametrize("accepted", [("rocky",), ("rocky:9.5",)])
    def test_accepted(self, accepted: tuple[str, ...]) -> None:
        document = facts(host__os=system("rocky", "9.5"))
        result = only(host.supported_os, document, **thresholds(host.supported_os, accepted=accepted))
        assert (result.status, result.reason) == ("pass", "Rocky 9.5 is accepted by threshold accepted.")

    def test_another_version_is_not_accepted(self) -> None:
        document = facts(host__os=system("rocky", "8.1"))
        assert only(host.supported_os, document, **thresholds(host.supported_os, accepted=("rocky:9.5",))).status == "unknown"


class TestArchitecture:
    @pytest.mark.parametrize(("machine", "dpkg", "bits", "status", "reason"), [
        pytest.param("x86_64", "amd64", 64, "pass", "Kernel and userland are amd64.", id="amd64"),
        pytest.param("aarch64", "arm64", 64, "pass", "Kernel and userland are arm64.", id="arm64"),
        pytest.param("armv7l", "armhf", 32, "pass", "Kernel and userland are arm.", id="armhf"),
        pytest.param("ppc64le", "ppc64el", 64, "pass", "Kernel and userland are ppc64le.", id="ppc64le"),
        pytest.param("mips64", "mips64el", 64, "pass", "Kernel and userland are mips64le.", id="mips64el"),
        pytest.param("x86_64", None, 64, "pass", "Kernel and userland are amd64.", id="no-dpkg"),
        pytest.param("aarch64", "armhf", 32, "fail", "The kernel is aarch64 (arm64), the userland is armhf (arm).",
                     id="raspberry"),
        pytest.param("x86_64", "i386", 32, "fail", "The kernel is x86_64 (amd64), the userland is i386 (386).", id="i386"),
        pytest.param("x86_64", None, 32, "fail", "The kernel is x86_64 (amd64), the userland's programs have 32 bits.",
                     id="32-bits-without-dpkg"),
        pytest.param("x86_64", None, None, "unknown", "The kernel is x86_64; what the userland is could not be read.",
                     id="nothing"),
        pytest.param("sparc64", "sparc64", 64, "unknown", "The machine sparc64 has no name in Go that is known here.",
                     id="sparc"),
        pytest.param("x86_64", "x32", 32, "unknown", "dpkg's architecture x32 has no name in Go that is known here.", id="x32"),
    ])
    def test_cases(self, machine: str, dpkg: str | None, bits: int | None, status: str, reason: str) -> None:
        result = only(host.architecture, facts(host__machine=machine, host__dpkg_arch=dpkg, host__bits=bits))
        assert (result.status, result.reason) == (status, reason)


class TestEmulation:
    def test_pass(self) -> None:
        result = only(host.emulation, facts())
        assert (result.status, result.reason) == ("pass", "x86_64 programs run on the CPU itself (AMD EPYC).")

    def test_fail(self) -> None:
        result = only(host.emulation, facts("debian12-arm64-qemu"))
        assert (result.status, result.reason) == ("fail", "The aarch64 programs of this host are emulated by qemu-user.")
        assert "/proc/self/task/TID/exe: /usr/bin/qemu-aarch64-static" in result.evidence

    def test_unknown(self) -> None:
        assert only(host.emulation, facts(host__cpu=None)).status == "unknown"


def service(limit: str) -> dict[str, Any]:
    return {"services": [{
        "name": "api", "declared": False, "unit": "api.service", "manager": "system", "processes": [], "properties": {
            "LimitNOFILE": "524288"}, "unit_files": [{"path": "/etc/systemd/system/api.service", "problems": [], "directives": [
                {"line": 7, "section": "Service", "name": "LimitNOFILE", "value": limit}]}]}]}


class TestFdCeiling:
    def test_pass(self) -> None:
        results = by_subject(judge(host.fd_ceiling, facts()))
        assert {subject: result.status for subject, result in results.items()} == {"fs.nr_open": "pass", "fs.file-max": "pass"}
        assert results["fs.nr_open"].reason == (
            "fs.nr_open of the machine around this container is 1048576, enough for the 65536 needed.")

    @pytest.mark.parametrize(("policy", "services", "status", "evidence"), [
        pytest.param(({"name": "api", "nofile": 2_000_000},), None, "fail", "preflight_services api: nofile 2000000",
                     id="declared"),
        pytest.param(({"name": "api", "nofile": 100},), None, "pass", "threshold minimum of host.fd_ceiling: 65536", id="less"),
        pytest.param((), "2000000", "fail", "/etc/systemd/system/api.service:7: LimitNOFILE=2000000", id="unit"),
        pytest.param((), "1024:2000000", "fail", "/etc/systemd/system/api.service:7: LimitNOFILE=1024:2000000",
                     id="soft-and-hard"),
        pytest.param((), "infinity", "pass", "threshold minimum of host.fd_ceiling: 65536", id="infinity"),
        pytest.param((), "64K", "pass", "threshold minimum of host.fd_ceiling: 65536", id="no-number"),
    ])
    def test_what_is_needed(self, policy: Any, services: str | None, status: str, evidence: str) -> None:
        document = facts(host__container=None)
        if services:
            document["services"] = service(services)
        result = by_subject(judge(host.fd_ceiling, document, services=policy))["fs.nr_open"]
        assert result.status == status
        assert evidence in result.evidence
        if status == "fail":
            assert result.reason == "fs.nr_open is 1048576; 2000000 descriptors are needed."
            assert "fs.nr_open = 2000000" in result.remediation.command
            assert result.remediation.role == "service_limits"

    def test_low_without_any_declaration(self) -> None:
        document = facts(host__container=None)
        document["host"]["sysctl"]["fs.nr_open"] = 20000
        document["services"] = {"services": []}
        result = by_subject(judge(host.fd_ceiling, document))["fs.nr_open"]
        assert result.reason == "fs.nr_open is 20000; 65536 descriptors are needed."
        assert "fs.nr_open = 1048576" in result.remediation.command

    @pytest.mark.parametrize(("maximum", "allocated", "status", "reason"), [
        pytest.param(100_000, 500, "fail", "fs.file-max is 100000; the services together need 131072 descriptors.", id="sum"),
        pytest.param(1_000_000, 900_000, "fail", "900000 of fs.file-max = 1000000 files are open, more than 80%.", id="used"),
        pytest.param(1_000_000, None, "pass", "fs.file-max is 1000000, enough for 131072 descriptors.", id="no-file-nr"),
        pytest.param(None, 500, "unknown", "fs.file-max could not be read.", id="unreadable"),
    ])
    def test_file_max(self, maximum: int | None, allocated: int | None, status: str, reason: str) -> None:
        document = facts(host__container=None)
        document["host"]["sysctl"]["fs.file-max"] = maximum
        document["host"]["file_nr"]["allocated"] = allocated
        result = by_subject(judge(host.fd_ceiling, document, services=({"name": "a"}, {"name": "b"})))["fs.file-max"]
        assert (result.status, result.reason) == (status, reason)

    def test_unreadable(self) -> None:
        document = facts()
        document["host"]["sysctl"]["fs.nr_open"] = None
        assert by_subject(judge(host.fd_ceiling, document))["fs.nr_open"].status == "unknown"


class TestTcpBacklog:
    SYN = "net.ipv4.tcp_max_syn_backlog"
    QUEUE = "net.core.somaxconn"

    def results(self, edits: dict[str, int | None], **policy: Any) -> dict[str, engine.Result]:
        document = facts()
        document["host"]["sysctl"].update(edits)
        return by_subject(judge(host.tcp_backlog, document, **policy))

    def test_pass(self) -> None:
        results = self.results({})
        assert (results[self.QUEUE].status, results[self.QUEUE].reason) == ("pass", "net.core.somaxconn is 4096.")
        assert "/proc/net/netstat: ListenOverflows 0 since boot" in results[self.QUEUE].evidence
        assert results[self.SYN].status == "notapplicable"

    def test_fail(self) -> None:
        result = self.results({self.QUEUE: 128})[self.QUEUE]
        assert (result.status, result.severity, result.reason) == ("fail", "low", "net.core.somaxconn is 128; 4096 is wanted.")

    def test_threshold(self) -> None:
        assert self.results({self.QUEUE: 1024}, **thresholds(host.tcp_backlog, somaxconn=1024))[self.QUEUE].status == "pass"

    def test_unknown(self) -> None:
        results = self.results({self.QUEUE: None, "net.ipv4.tcp_syncookies": None})
        assert {result.status for result in results.values()} == {"unknown"}

    @pytest.mark.parametrize(("value", "status"), [(256, "fail"), (1024, "pass")])
    def test_without_cookies(self, value: int, status: str) -> None:
        assert self.results({"net.ipv4.tcp_syncookies": 0, self.SYN: value})[self.SYN].status == status

    def test_without_network_facts(self) -> None:
        document = facts()
        del document["network"]
        assert by_subject(judge(host.tcp_backlog, document))[self.QUEUE].status == "pass"


def clock(synchronized: bool | None, service: str | None = None, error: float | None = 1.0,
          evidence: str = "adjtimex: x") -> dict[str, Any]:
    return {"synchronized": synchronized, "service": service, "max_error_ms": error, "evidence": [evidence]}


class TestTimeSync:
    @pytest.mark.parametrize(("time", "status", "reason"), [
        pytest.param(clock(True, "systemd-timesyncd.service"), "pass", "The clock is synchronised by systemd-timesyncd.service.",
                     id="pass"),
        pytest.param(clock(True), "pass", "The clock is synchronised.", id="by-somebody"),
        pytest.param(clock(True, error=None), "pass", "The clock is synchronised.", id="no-estimate"),
        pytest.param(clock(False), "fail", "The clock is not synchronised: no time service is known to run.", id="nobody"),
        pytest.param(clock(False, "chrony.service"), "fail",
                     "The clock is not synchronised: chrony.service runs, but has not synchronised it.", id="no-server"),
        pytest.param(clock(True, "ntpsec.service", 7250.0), "fail",
                     "The clock was synchronised, but may be wrong by 7.2 s (at most "
                     "5 s wanted): the time service has not reached its servers for hours.", id="stale"),
        pytest.param(clock(True, "chrony.service", 16000.0, "chronyc tracking: leap status Normal"), "pass",
                     "The clock is synchronised by chrony.service.", id="chrony-without-rtcsync"),
        pytest.param(clock(None), "unknown", "Whether the clock is synchronised could not be read.", id="unknown"),
    ])
    def test_cases(self, time: dict[str, Any], status: str, reason: str) -> None:
        result = only(host.time_sync, facts(host__time=time, host__container=None))
        assert (result.status, result.reason) == (status, reason)

    def test_a_container(self) -> None:
        result = only(host.time_sync, facts())
        assert result.reason == (
            "The clock of the machine around this container is not synchronised: no time service is known to run.")
        assert result.remediation.hint == "Synchronise the clock of the machine that runs this container."

    def test_threshold(self) -> None:
        document = facts(host__time=clock(True, error=7250.0))
        assert only(host.time_sync, document, **thresholds(host.time_sync, max_error_seconds=8.0)).status == "pass"


def disk(mount: str = "/", size: float = 100, available: float = 50, **edits: Any) -> dict[str, Any]:
    return {"paths": ["/", "/var/log", "/tmp"], "mount": mount, "device": "/dev/sda1", "fstype": "ext4", "size": int(size * GIB),
            "available": int(available * GIB), "inodes": 6_553_600, "inodes_available": 6_000_000, "read_only": False,
            "remote": False, "error": None, **edits}


class TestDiskSpace:
    @pytest.mark.parametrize(("one", "status", "severity"), [
        pytest.param(disk(available=50), "pass", "high", id="half"),
        pytest.param(disk(available=10), "pass", "high", id="ten-percent"),
        pytest.param(disk(available=9), "fail", "medium", id="nine-percent"),
        pytest.param(disk(available=4.9), "fail", "high", id="below-five-percent"),
        pytest.param(disk(available=0), "fail", "high", id="full"),
        pytest.param(disk(size=4000, available=200), "pass", "high", id="five-percent-of-4-tb"),
        pytest.param(disk(size=4000, available=19), "fail", "high", id="19-gib-of-4-tb"),
        pytest.param(disk(size=0.5, available=0.4), "pass", "high", id="small-tmpfs"),
        pytest.param({**disk(), "size": None, "available": None, "error": "x"}, "unknown", "high", id="dead-server"),
        pytest.param(disk(size=0, available=0), "notapplicable", "high", id="no-size"),
        pytest.param(disk("/snap/x/1", available=0, fstype="squashfs", read_only=True, paths=["/snap/x/1"]), "notapplicable",
                     "high",
                     id="snap"),
        pytest.param(disk(fstype="squashfs", read_only=True, available=0), "notapplicable", "high", id="image-as-root"),
        pytest.param(disk("/opt", read_only=True, available=0, paths=["/opt"]), "notapplicable", "high", id="read-only-opt"),
        pytest.param(disk(read_only=True), "fail", "high", id="remounted-read-only"),
    ])
    def test_cases(self, one: dict[str, Any], status: str, severity: str) -> None:
        result = only(host.disk_space, facts(host__filesystems=[one]))
        assert (result.status, result.severity, result.subject) == (status, severity, one["mount"])

    @pytest.mark.parametrize(("one", "reason"), [
        (disk(available=4.9), "/ has 4.9 GiB free of 100 GiB (4.9%); 10% or 20 GiB are wanted."),
        (disk(read_only=True), "/ is mounted read-only, and /var/log, /tmp on it cannot be written."),
        ({**disk("/srv"), "size": None, "error": "stat did not end within 2.0 s"},
         "/srv (/dev/sda1) could not be asked: stat did not end within 2.0 s."),
    ])
    def test_reasons(self, one: dict[str, Any], reason: str) -> None:
        assert only(host.disk_space, facts(host__filesystems=[one])).reason == reason

    def test_thresholds(self) -> None:
        document = facts(host__filesystems=[disk(available=9)])
        assert only(host.disk_space, document, **thresholds(host.disk_space, free_ratio=0.08)).status == "pass"
        assert only(host.disk_space, document, **thresholds(host.disk_space, enough_gib=5.0)).status == "pass"
        assert only(host.disk_space, document, **thresholds(host.disk_space, critical_ratio=0.2)).severity == "high"

    def test_a_mount_each(self) -> None:
        results = judge(host.disk_space, facts(host__filesystems=[disk("/"), disk("/data", available=1)]))
        assert [(result.subject, result.status) for result in results] == [("/", "pass"), ("/data", "fail")]


class TestInodes:
    @pytest.mark.parametrize(("edits", "status"), [
        pytest.param({}, "pass", id="pass"),
        pytest.param({"inodes_available": 500_000}, "fail", id="fail"),
        pytest.param({"inodes": 250_000_000, "inodes_available": 1_000_000}, "pass", id="enough"),
        pytest.param({"inodes": 0, "inodes_available": 0, "fstype": "btrfs"}, "notapplicable", id="btrfs"),
        pytest.param({"read_only": True}, "notapplicable", id="read-only"),
        pytest.param({"inodes": None, "inodes_available": None, "error": "x"}, "unknown", id="unknown"),
    ])
    def test_cases(self, edits: dict[str, Any], status: str) -> None:
        assert only(host.inodes, facts(host__filesystems=[disk(**edits)])).status == status

    def test_reason(self) -> None:
        result = only(host.inodes, facts(host__filesystems=[disk(inodes_available=1000)]))
        assert result.reason == "/ has 1000 of 6553600 inodes free (0.0%); 10% or 1000000 are wanted."


def state(required: bool | None, newest: str | None = None, packages: list[str] | None = None) -> dict[str, Any]:
    return {"required": required, "packages": packages or [], "running_kernel": "6.8.0-45-generic", "newest_kernel": newest,
            "evidence": ["x"]}


class TestPendingReboot:
    @pytest.mark.parametrize(("reboot", "container", "status", "reason"), [
        pytest.param(state(False, "6.8.0-45-generic"), None, "pass", "No reboot is due; kernel 6.8.0-45-generic runs.",
                     id="pass"),
        pytest.param(state(True, "6.8.0-48-generic"), None, "fail",
                     "A reboot is due: kernel 6.8.0-45-generic runs, 6.8.0-48-generic is installed.", id="kernel"),
        pytest.param(state(True, "6.8.0-45-generic", ["libc6", "dbus"]), None, "fail", "A reboot is due: updated: libc6, dbus.",
                     id="packages"),
        pytest.param(state(True), "podman", "fail", "A reboot is due.", id="marked-container"),
        pytest.param(state(None), "podman", "notapplicable", "The host is a container: it has no kernel of its own to update.",
                     id="container"),
        pytest.param(state(None), None, "unknown",
                     "Whether kernel 6.8.0-45-generic is the newest installed one cannot be told on this host.", id="unknown"),
    ])
    def test_cases(self, reboot: dict[str, Any], container: str | None, status: str, reason: str) -> None:
        result = only(host.pending_reboot, facts(host__reboot=reboot, host__container=container))
        assert (result.status, result.reason) == (status, reason)
