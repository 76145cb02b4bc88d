# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset host, on recorded hosts and on this one."""
from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.goready.preflight.plugins.module_utils.collect import host
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable, gather

FIXTURES = Path(__file__).parents[3] / "fixtures" / "host"
ROOT_MOUNT = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"


class Fake(Context):
    """A context whose commands answer from a table; an answer that is an exception is raised."""

    answers: dict[str, Any] = {}

    def run(self, argv: Any, **options: Any) -> tuple[int, str, str]:
        answer = self.answers.get(argv[0], Unavailable(f"{argv[0]} is not installed"))
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


def tree(root: Path, files: dict[str, str]) -> Fake:
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
    return Fake(root=str(root))


@pytest.mark.parametrize(("name", "machine", "dpkg", "interpreter"), [
    ("ubuntu24-standin-podman", "x86_64", "amd64", ""),
    ("debian12-arm64-qemu", "aarch64", "arm64", "/usr/bin/qemu-aarch64-static"),
])
def test_recorded_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, machine: str, dpkg: str,
                       interpreter: str) -> None:
    """The collectors make the recorded document of the recorded files."""
    shutil.copytree(FIXTURES / name, tmp_path, dirs_exist_ok=True)
    extra = {"/proc/self/ns/pid": "-> pid:[4026532326]", "/bin/sh": "-> dash", "/bin/dash": "\x7fELF\x02"}
    if interpreter:
        extra["/proc/self/task/1/exe"] = "-> " + interpreter
    context = tree(tmp_path, extra)
    for folder in ("tmp", "var/log", "var/lib", "opt", "boot"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    context.answers = {"dpkg": (0, dpkg + "\n", "")}
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    monkeypatch.setattr(host, "kernel_clock", lambda: {"status": 0x40, "maxerror": 16000000, "esterror": 16000000})
    recorded = json.loads((FIXTURES / f"{name}.json").read_text())["host"]
    # What changes from one moment to the next, or is asked of the filesystem itself.
    moving = {"memory", "file_nr"}
    found = gather({"host": host.PARTS}, context)
    assert found["errors"] == []
    for entry in [*found["host"]["filesystems"], *recorded["filesystems"]]:
        for key in ("size", "available", "inodes", "inodes_available"):
            assert entry.pop(key) > 0
    assert set(found["host"]) == set(recorded)
    assert {key: found["host"][key] for key in recorded if key not in moving} == {
        key: recorded[key] for key in recorded if key not in moving}
    assert found["host"]["memory"]["total"] == recorded["memory"]["total"]


def test_this_host() -> None:
    found = gather({"host": host.PARTS}, Context())
    assert [entry for entry in found["errors"] if entry["kind"] == "exception"] == []
    assert set(found["host"]) <= {key for key, _function in host.PARTS}
    assert {"os", "kernel", "machine", "goarch", "bits", "cpu", "memory", "sysctl", "time", "filesystems"} <= set(found["host"])
    assert any("/" in entry["paths"] for entry in found["host"]["filesystems"])
    assert found["host"]["sysctl"]["fs.nr_open"] > 0


class TestOs:
    def test_fallback(self, tmp_path: Path) -> None:
        assert host.os_release(tree(tmp_path, {"/usr/lib/os-release": "ID=Debian\nVERSION_ID=12\n"})) == {
            "id": "debian", "version_id": "12", "codename": None, "pretty_name": None, "like": [], "extended_support": []}

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(Unavailable, match="there is neither /etc/os-release nor /usr/lib/os-release"):
            host.os_release(Fake(root=str(tmp_path)))

    def test_ubuntu_pro(self, tmp_path: Path) -> None:
        context = tree(tmp_path, {
            "/etc/os-release": "ID=ubuntu\nVERSION_ID=20.04\nID_LIKE=debian\nUBUNTU_CODENAME=focal\n",
            "/etc/apt/sources.list.d/ubuntu-esm-infra.list": "", "/etc/apt/sources.list.d/ubuntu-esm-infra.list.save": "",
            "/etc/apt/sources.list.d/other.list": ""})
        found = host.os_release(context)
        assert found["extended_support"] == ["ubuntu-esm-infra.list"]
        assert (found["codename"], found["like"]) == ("focal", ["debian"])


class TestDpkg:
    @pytest.mark.parametrize(("answer", "expected"), [
        ((0, "armhf\n", ""), "armhf"), (Unavailable("dpkg is not installed"), None)])
    def test_answer(self, tmp_path: Path, answer: Any, expected: str | None) -> None:
        context = Fake(root=str(tmp_path))
        context.answers = {"dpkg": answer}
        assert host.dpkg_arch(context) == expected

    def test_broken(self, tmp_path: Path) -> None:
        context = Fake(root=str(tmp_path))
        context.answers = {"dpkg": (2, "", "broken")}
        with pytest.raises(Unavailable, match="dpkg --print-architecture ended with 2"):
            host.dpkg_arch(context)


@pytest.mark.parametrize(("files", "expected"), [
    pytest.param({"/bin/sh": "\x7fELF\x01"}, 32, id="32"),
    pytest.param({"/bin/sh": "\x7fELF\x02"}, 64, id="64"),
    pytest.param({"/bin/sh": "#!/bin/x", "/sbin/init": "\x7fELF\x01"}, 32, id="init"),
    pytest.param({"/proc/self/exe": "\x7fELF\x02"}, 64, id="python"),
])
def test_bits(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert host.bits(tree(tmp_path, files)) == expected


def test_bits_unknown(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="neither /bin/sh nor /sbin/init is an ELF program that can be read"):
        host.bits(tree(tmp_path, {"/bin/sh": "\x7fELF\x07"}))


@pytest.mark.parametrize(("arch", "cpuinfo", "goamd64", "goarm64"), [
    pytest.param("amd64", "ubuntu24-standin-podman/proc/cpuinfo", "v4", None, id="amd64"),
    pytest.param("arm64", "cpuinfo/neoverse-n1.txt", None, "v8.2,lse,crypto", id="arm64"),
    pytest.param("arm64", "debian12-arm64-qemu/proc/cpuinfo", None, None, id="emulated"),
    pytest.param("arm", "cpuinfo/raspberry-pi-3-armhf.txt", None, None, id="arm"),
    pytest.param("amd64", "cpuinfo/neoverse-n1.txt", None, None, id="emulated-amd64"),
])
def test_cpu_levels(tmp_path: Path, arch: str, cpuinfo: str, goamd64: str | None, goarm64: str | None) -> None:
    context = tree(tmp_path, {"/proc/cpuinfo": (FIXTURES / cpuinfo).read_text()})
    context.shared["host.goarch"] = arch
    found = host.cpu(context)
    assert (found["goamd64"], found["goarm64"]) == (goamd64, goarm64)
    assert found["count"] > 0  # counted in cpuinfo, for there is no /sys


AMD = {"vendor": "GenuineIntel", "model": "Intel(R) Xeon(R)", "flags": ["fpu", "lm", "sse2"]}
ARM = {"vendor": "ARM", "model": "Neoverse-N1", "flags": ["asimd", "fp"]}


@pytest.mark.parametrize(("arch", "cpu", "files", "kind", "evidence"), [
    pytest.param("amd64", AMD, {}, None, [], id="none"),
    pytest.param("arm64", ARM, {}, None, [], id="arm64"),
    pytest.param("arm", {"vendor": "ARM", "model": "Cortex-A53", "flags": ["half", "neon"]}, {}, None, [], id="arm-userland"),
    pytest.param("386", AMD, {}, None, [], id="386-on-amd64"),
    pytest.param("amd64", None, {}, None, [], id="no-cpuinfo"),
    pytest.param("riscv64", {"vendor": None, "model": "rv64imafdc", "flags": []}, {}, None, [], id="riscv64"),
    pytest.param("amd64", AMD, {"/proc/sys/fs/binfmt_misc/qemu-aarch64": "enabled\n"}, None, [], id="interpreter-for-another"),
    pytest.param("arm64", AMD, {}, "qemu-user", ["uname -m: m, but /proc/cpuinfo shows a CPU of GenuineIntel"], id="other-cpu"),
    pytest.param("amd64", ARM, {}, "qemu-user", ["uname -m: m, but /proc/cpuinfo shows a CPU of ARM"], id="amd64-on-arm"),
    pytest.param("amd64", ARM, {"/proc/sys/fs/binfmt_misc/rosetta": "enabled\n"}, "rosetta",
                 ["uname -m: m, but /proc/cpuinfo shows a CPU of ARM"], id="rosetta-registered"),
    pytest.param("amd64", {"vendor": "VirtualApple", "model": "VirtualApple @ 2.50GHz", "flags": ["lm", "sse2"]}, {}, "rosetta",
                 ["/proc/cpuinfo: vendor_id VirtualApple, model name VirtualApple @ 2.50GHz"], id="rosetta"),
    pytest.param("arm64", ARM, {"/proc/sys/fs/binfmt_misc/qemu-aarch64": "enabled\ninterpreter /usr/bin/qemu\n"}, "qemu-user",
                 ["/proc/sys/fs/binfmt_misc/qemu-aarch64: enabled"], id="qemu-that-fakes-cpuinfo"),
    pytest.param("arm64", ARM, {"/proc/sys/fs/binfmt_misc/qemu-aarch64": "disabled\n"}, None, [], id="disabled"),
    pytest.param("arm64", ARM, {"/proc/self/task/1/exe": "-> /usr/bin/qemu-aarch64-static"}, "qemu-user",
                 ["/proc/self/task/TID/exe: /usr/bin/qemu-aarch64-static"], id="interpreter"),
    pytest.param("amd64", {"vendor": "AuthenticAMD", "model": "QEMU TCG CPU version 2.5+", "flags": ["lm"]}, {}, "qemu-system",
                 ["/proc/cpuinfo: model name QEMU TCG CPU version 2.5+ (a virtual machine without KVM)"], id="tcg"),
])
def test_emulation(tmp_path: Path, arch: str, cpu: Any, files: dict[str, str], kind: str | None, evidence: list[str]) -> None:
    context = tree(tmp_path, files)
    context.shared.update({"host.goarch": arch, "host.cpu": cpu, "host.machine": "m"})
    assert host.emulation(context) == {"kind": kind, "evidence": evidence}


KERNEL = {"/proc/sys/kernel/osrelease": "6.8.0-45-generic\n"}
INNER = {**KERNEL, "/proc/self/ns/pid": "-> pid:[4026532326]"}


@pytest.mark.parametrize(("files", "expected"), [
    pytest.param(KERNEL, None, id="none"),
    pytest.param({**KERNEL, "/proc/self/ns/pid": "-> pid:[4026531836]", "/.dockerenv": ""}, None, id="unpacked-image"),
    pytest.param({**INNER, "/run/systemd/container": "podman\n"}, "podman", id="systemd"),
    pytest.param({**INNER, "/run/host/container-manager": "systemd-nspawn\n"}, "systemd-nspawn", id="container-interface"),
    pytest.param({**INNER, "/proc/1/environ": "A=b\0container=lxc\0"}, "lxc", id="environ"),
    pytest.param({**INNER, "/.dockerenv": ""}, "docker", id="docker"),
    pytest.param({**INNER, "/run/.containerenv": "", "/.dockerenv": ""}, "podman", id="podman"),
    pytest.param({**INNER, "/proc/1/cgroup": "0::/kubepods/burstable/pod1/x\n"}, "kubernetes", id="kubernetes"),
    pytest.param({**INNER, "/proc/1/cgroup": "0::/init.scope\n"}, None, id="nothing-known"),
    pytest.param({"/proc/sys/kernel/osrelease": "5.15.167.4-microsoft-standard-WSL2"}, "wsl", id="wsl"),
    pytest.param({**KERNEL, "/proc/vz": "", "/proc/bc": ""}, None, id="openvz-machine"),
    pytest.param({**KERNEL, "/proc/vz": ""}, "openvz", id="openvz"),
])
def test_container(tmp_path: Path, files: dict[str, str], expected: str | None) -> None:
    assert host.container(tree(tmp_path, files)) == expected


class TestFilesystems:
    MOUNTS = ROOT_MOUNT + (
        "2 1 8:2 / /var rw - xfs /dev/sdb rw\n3 1 0:40 / /srv/share rw - nfs4 nas:/share rw,hard\n"
        "4 1 0:41 / /home rw - autofs x rw\n"
        "5 1 7:1 / /snap/x/1 ro - squashfs /dev/loop1 ro\n6 1 8:3 / /data rw - ext4 /dev/sdc rw\n")

    def context(self, root: Path, binaries: list[str], files: dict[str, str] | None = None) -> Fake:
        context = tree(root, {"/proc/self/mountinfo": self.MOUNTS, **(files or {})})
        context.services = [{"name": "x", "binary": binary} for binary in binaries]
        for folder in ("var/log", "tmp", "opt", "data", "snap/x/1"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        return context

    def test_one_entry_a_mount(self, tmp_path: Path) -> None:
        found = host.filesystems(self.context(tmp_path, ["/opt/api/api"]))
        assert [(entry["mount"], entry["paths"]) for entry in found] == [
            ("/", ["/", "/tmp", "/opt", "/opt/api"]), ("/var", ["/var/log", "/var/lib"])]
        assert all(entry["size"] > 0 and entry["error"] is None for entry in found)

    def test_symlinks_are_followed(self, tmp_path: Path) -> None:
        context = self.context(tmp_path, ["/opt/api/current/bin/api"], {
            "/opt/api/current": "-> ../../data/releases/7", "/tmp": "-> /var/tmp"})
        mounts = {entry["mount"]: entry["paths"] for entry in host.filesystems(context)}
        assert mounts["/data"] == ["/opt/api/current/bin"]
        assert "/tmp" in mounts["/var"]

    def test_a_circle_of_symlinks_ends(self, tmp_path: Path) -> None:
        found = host.filesystems(self.context(tmp_path, ["/opt/a/x"], {"/opt/a": "-> b", "/opt/b": "-> a"}))
        assert "/opt/a" in found[0]["paths"]

    def test_read_only_image(self, tmp_path: Path) -> None:
        found = host.filesystems(self.context(tmp_path, ["/snap/x/1/bin"]))
        assert [(entry["fstype"], entry["read_only"]) for entry in found if entry["mount"] == "/snap/x/1"] == [("squashfs", True)]

    def test_remote(self, tmp_path: Path) -> None:
        context = self.context(tmp_path, ["/srv/share/app/bin"])
        context.answers = {"stat": (0, "4096 100 40 1000 900\n", "")}
        entry = next(entry for entry in host.filesystems(context) if entry["mount"] == "/srv/share")
        assert (entry["remote"], entry["size"], entry["available"], entry["inodes"], entry["inodes_available"]) == (
            True, 409600, 163840, 1000, 900)

    @pytest.mark.parametrize(("answer", "kind", "message"), [
        pytest.param(TimeoutError("stat did not end within 2.0 s"), "timeout", "stat did not end within 2.0 s", id="dead"),
        pytest.param((1, "", "stat: Stale file handle"), "unavailable", "stat: Stale file handle", id="stale"),
        pytest.param((0, "x", ""), "unavailable", "stat -f ended with 0", id="odd"),
    ])
    def test_remote_that_does_not_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, kind: str,
                                         message: str) -> None:
        context = self.context(tmp_path, ["/srv/share/app/bin"])
        context.answers = {"stat": answer}
        touched: list[str] = []
        for name in ("readlink", "statvfs"):
            original = getattr(os, name)
            monkeypatch.setattr(os, name, lambda path, original=original: (touched.append(str(path)), original(path))[1])
        entry = next(entry for entry in host.filesystems(context) if entry["mount"] == "/srv/share")
        assert (entry["size"], entry["error"]) == (None, message)
        assert context.errors == [{"part": "host.filesystems", "kind": kind, "message": f"/srv/share (nas:/share): {message}"}]
        assert not [path for path in touched if "/srv/share" in path], "a dead server would have been asked by this process"

    def test_a_real_command_that_hangs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/stat").write_text("#!/bin/sh\nexec sleep 60\n")
        (tmp_path / "bin/stat").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        monkeypatch.setattr(host, "REMOTE_SECONDS", 0.2)
        self.context(tmp_path, [])
        context = Context(root=str(tmp_path), services=[{"name": "x", "binary": "/srv/share/x"}])
        assert {entry["mount"]: entry["error"] for entry in host.filesystems(context)} == {
            "/": None, "/var": None, "/srv/share": "stat did not end within 0.2 s"}

    def test_mounted_on_demand(self, tmp_path: Path) -> None:
        context = self.context(tmp_path, ["/home/deploy/api"])
        entry = next(entry for entry in host.filesystems(context) if entry["mount"] == "/home")
        assert entry["error"] == "is mounted on demand; looking at it would mount it"

    def test_a_table_that_was_cut(self, tmp_path: Path) -> None:
        context = self.context(tmp_path, [])
        path = tmp_path / "proc/self/mountinfo"
        path.write_text(path.read_text() + "7 1 8:4 / /half")
        assert [entry["mount"] for entry in host.filesystems(context)] == ["/", "/var"]

    def test_a_declaration_without_a_path(self, tmp_path: Path) -> None:
        context = self.context(tmp_path, ["api"])
        context.services += [{"name": "y"}, {"name": "z", "binary": None}]
        assert len(host.filesystems(context)) == 2


@pytest.mark.parametrize(("text", "value"), [("4096\n", 4096), ("x", None)])
def test_sysctl(tmp_path: Path, text: str, value: int | None) -> None:
    context = tree(tmp_path, {"/proc/sys/net/core/somaxconn": text})
    found = host.sysctl(context)
    assert found["net.core.somaxconn"] == value
    assert found["fs.nr_open"] is None
    assert [entry["kind"] for entry in context.errors] == ([] if value else ["exception"])


def test_file_nr(tmp_path: Path) -> None:
    assert host.file_nr(tree(tmp_path, {"/proc/sys/fs/file-nr": "795\t0\t9223372036854775807\n"})) == {
        "allocated": 795, "unused": 0, "maximum": 9223372036854775807}


class TestTime:
    def test_the_kernels_own_answer(self) -> None:
        clock = host.kernel_clock()
        assert 0 <= clock["status"] < 1 << 16
        assert 0 <= clock["maxerror"] <= 17_000_000

    UNIT = "/sys/fs/cgroup/system.slice/%s.service/cgroup.procs"

    @pytest.mark.parametrize(("status", "units", "chronyc", "expected", "service"), [
        pytest.param(0x2001, ["systemd-timesyncd"], None, True, "systemd-timesyncd.service", id="synchronised"),
        pytest.param(0x0001, [], None, True, None, id="by-the-machine-around-a-container"),
        pytest.param(0x0040, [], None, False, None, id="nobody"),
        pytest.param(0x0040, ["systemd-timesyncd"], None, False, "systemd-timesyncd.service", id="no-server"),
        pytest.param(0x0040, ["chrony"], (0, "A29FC87B,162.159.200.123,4,1.0,0.0,Normal\n", ""), True, "chrony.service",
                     id="chrony-without-rtcsync"),
        pytest.param(0x0040, ["chrony"], (0, "7F7F0101,,0,0.0,Not synchronised\n", ""), False, "chrony.service", id="chrony-not"),
        pytest.param(0x0040, ["chrony"], (1, "", "506 Cannot talk to daemon"), None, "chrony.service", id="chrony-silent"),
        pytest.param(0x0040, ["chrony"], TimeoutError("chronyc did not end"), None, "chrony.service", id="chrony-hangs"),
        pytest.param(0x0040, ["openntpd"], None, None, "openntpd.service", id="openntpd"),
        pytest.param(None, [], None, None, None, id="no-adjtimex"),
    ])
    def test_cases(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int | None, units: list[str], chronyc: Any,
                   expected: bool | None, service: str | None) -> None:
        def clock() -> dict[str, int]:
            if status is None:
                raise OSError(38, "adjtimex: Function not implemented")
            return {"status": status, "maxerror": 12500, "esterror": 1}

        monkeypatch.setattr(host, "kernel_clock", clock)
        context = tree(tmp_path, {self.UNIT % unit: "12\n" for unit in units})
        context.answers = {"chronyc": chronyc} if chronyc else {}
        found = host.time_sync(context)
        assert (found["synchronized"], found["service"]) == (expected, service)
        assert found["max_error_ms"] == (None if status is None else 12.5)
        assert found["evidence"]

    def test_a_unit_without_processes_does_not_run(self, tmp_path: Path) -> None:
        context = tree(tmp_path, {
            self.UNIT % "ntpsec": "", "/sys/fs/cgroup/systemd/system.slice/ntp.service/cgroup.procs": "7\n"})
        assert host._time_service(context) == "ntp.service"


RUNNING = "6.8.0-45-generic"


@pytest.mark.parametrize(("files", "container", "required", "newest"), [
    pytest.param({f"/boot/vmlinuz-{RUNNING}": ""}, None, False, RUNNING, id="newest-runs"),
    pytest.param({f"/boot/vmlinuz-{RUNNING}": "", "/boot/vmlinuz-6.8.0-48-generic": ""}, None, True, "6.8.0-48-generic",
                 id="newer"),
    pytest.param({f"/boot/vmlinuz-{RUNNING}": "", "/boot/vmlinuz-6.8.0-1018-aws": "", "/boot/vmlinuz-old": "",
                  "/boot/vmlinuz-5.15.0-1-generic": ""}, None, False, RUNNING, id="other-flavours"),
    pytest.param({f"/boot/vmlinuz-{RUNNING}": "", "/run/reboot-required": ""}, None, True, RUNNING, id="marked"),
    pytest.param({"/boot/vmlinuz-6.8.0-48-generic": ""}, None, None, None, id="booted-from-elsewhere"),
    pytest.param({"/usr/share/update-notifier/notify-reboot-required": ""}, None, False, None, id="would-have-been-marked"),
    pytest.param({"/boot/vmlinuz-6.8.0-48-generic": "", f"/boot/vmlinuz-{RUNNING}": ""}, "podman", None, None, id="container"),
    pytest.param({"/run/reboot-required": ""}, "podman", True, None, id="container-marked"),
])
def test_reboot(tmp_path: Path, files: dict[str, str], container: str | None, required: bool | None, newest: str | None) -> None:
    context = tree(tmp_path, files)
    context.shared.update({"host.kernel": RUNNING, "host.container": container})
    found = host.reboot(context)
    assert (found["required"], found["newest_kernel"]) == (required, newest)
    assert found["evidence"] or "/usr/share/update-notifier/notify-reboot-required" in files


def test_reboot_packages(tmp_path: Path) -> None:
    context = tree(tmp_path, {"/run/reboot-required": "", "/run/reboot-required.pkgs": "linux-base\nlibc6\nlinux-base\n"})
    context.shared["host.kernel"] = RUNNING
    assert host.reboot(context)["packages"] == ["libc6", "linux-base"]


@pytest.mark.parametrize(("mounts", "files", "expected"), [
    pytest.param("1 0 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                 {"/sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n"},
                 {"version": 2, "controllers": ["cpu", "memory", "pids"]}, id="v2"),
    pytest.param("1 0 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                 "2 0 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n", {},
                 {"version": 1, "controllers": ["cpu", "cpuacct", "memory"]}, id="v1"),
    pytest.param("1 0 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
                 "2 0 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", {},
                 {"version": "hybrid", "controllers": ["pids"]}, id="hybrid"),
])
def test_cgroup(tmp_path: Path, mounts: str, files: dict[str, str], expected: dict[str, Any]) -> None:
    assert host.cgroup(tree(tmp_path, {"/proc/self/mountinfo": mounts, **files})) == expected


def test_no_cgroup(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no cgroup hierarchy is mounted"):
        host.cgroup(tree(tmp_path, {"/proc/self/mountinfo": ROOT_MOUNT}))


def test_an_empty_host_costs_every_part_and_breaks_none(tmp_path: Path) -> None:
    """Whatever is missing is missing: no part ends in an exception of its own."""
    found = gather({"host": host.PARTS}, Fake(root=str(tmp_path)))
    assert {entry["kind"] for entry in found["errors"]} == {"unavailable"}
