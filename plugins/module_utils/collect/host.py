# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``host``: the machine itself, as far as a Go service depends on it. Reads /proc, /sys, /etc and /run; the only
commands are dpkg, and chronyc or stat where the kernel cannot answer."""
from __future__ import annotations

import os
import re
import threading
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import (
    cpuinfo, goarch, kernelrelease, meminfo, mountinfo, osrelease,
)
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

#: The folders whose disks a Go service fills: the system, its logs, its temporary files, its releases, its state.
PATHS = ("/", "/var/log", "/var/lib", "/tmp", "/opt")
SYSCTLS = (
    "fs.nr_open", "fs.file-max", "net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_syncookies",
    "kernel.pid_max", "kernel.threads-max",
)
#: Units that discipline the clock, by the names that Debian and Ubuntu give them. The first that runs is named.
TIME_SERVICES = ("systemd-timesyncd", "chrony", "chronyd", "ntpsec", "ntp", "ntpd", "openntpd", "phc2sys")
#: What a server may take to tell the size of its filesystem.
REMOTE_SECONDS = 2.0

_PID_NAMESPACE_OF_THE_MACHINE = "pid:[4026531836]"  # PROC_PID_INIT_INO, include/linux/proc_ns.h
_STA_UNSYNC = 0x0040  # include/uapi/linux/timex.h
_QEMU = {"amd64": "x86_64", "386": "i386", "arm64": "aarch64", "arm": "arm", "ppc64le": "ppc64le", "riscv64": "riscv64",
         "s390x": "s390x", "loong64": "loongarch64"}


def os_release(context: Context) -> Dict[str, Any]:
    text = ""
    for path in ("/etc/os-release", "/usr/lib/os-release"):  # in the order of os-release(5)
        try:
            text = context.read(path, 1 << 16)
            break
        except FileNotFoundError:
            continue
    if not text:
        raise Unavailable("there is neither /etc/os-release nor /usr/lib/os-release")
    values = osrelease.parse(text)
    return {
        "id": values.get("ID", "linux").lower(), "version_id": values.get("VERSION_ID"),
        "codename": values.get("VERSION_CODENAME") or values.get("UBUNTU_CODENAME"),
        "pretty_name": values.get("PRETTY_NAME") or values.get("NAME"),
        "like": values.get("ID_LIKE", "").lower().split(), "extended_support": _extended_support(context),
    }


def _extended_support(context: Context) -> List[str]:
    """Security archives beyond the normal end of a release that apt is told to use (`pro enable` writes these files)."""
    folder = "/etc/apt/sources.list.d"
    try:
        names = sorted(os.listdir(context.path(folder)))
    except OSError:
        return []
    return [name for name in names if re.match(r"ubuntu-esm-(?:infra|apps)\.(?:list|sources)\Z", name)]


def kernel(context: Context) -> str:
    return context.read("/proc/sys/kernel/osrelease", 256).strip()


def machine(context: Context) -> str:
    return os.uname().machine


def dpkg_arch(context: Context) -> Optional[str]:
    """dpkg's own answer: it is compiled in, and /var/lib/dpkg/arch exists only where architectures were added."""
    try:
        code, out, _err = context.run(["dpkg", "--print-architecture"], timeout=3.0)
    except Unavailable:
        return None
    if code != 0 or not out.strip():
        raise Unavailable("dpkg --print-architecture ended with %d" % code)
    return out.strip()


def go_architecture(context: Context) -> Optional[str]:
    return goarch.OF_MACHINE.get(context.shared.get("host.machine") or machine(context))


def bits(context: Context) -> int:
    """The ELF class of the userland's shell: a 64-bit kernel may carry a 32-bit userland, and another Python."""
    for path in ("/bin/sh", "/sbin/init", "/proc/self/exe"):
        try:
            header = context.read_bytes(path, 5)
        except OSError:
            continue
        if header[:4] == b"\x7fELF" and header[4] in (1, 2):
            return 32 * header[4]
    raise Unavailable("neither /bin/sh nor /sbin/init is an ELF program that can be read")


def cpu(context: Context) -> Dict[str, Any]:
    info = cpuinfo.parse(context.read("/proc/cpuinfo"))
    try:
        count = cpuinfo.cpu_list(context.read("/sys/devices/system/cpu/online", 4096))
    except (OSError, ValueError):
        count = info.processors
    arch = context.shared.get("host.goarch")
    return {
        "count": count, "vendor": info.vendor, "model": info.model, "flags": sorted(info.flags),
        # Under emulation the flags are another machine's: no level is claimed for an amd64 without an x86 flag.
        "goamd64": goarch.goamd64(info.flags) if arch == "amd64" and "lm" in info.flags else None,
        "goarm64": goarch.goarm64(info.flags) if arch == "arm64" else None,
    }


def emulation(context: Context) -> Dict[str, Any]:
    """Whether the programs of this host run on translated instructions.

    Under qemu-user uname shows the guest's machine, but /proc is the real kernel's (only /proc/self/exe and some others are
    rewritten, linux-user/syscall.c): the CPU's maker, the interpreter behind /proc/self/task/TID/exe and a registered
    interpreter for the host's own architecture give it away.
    """
    arch = context.shared.get("host.goarch")
    processor: Mapping[str, Any] = context.shared.get("host.cpu") or {}
    vendor, model = str(processor.get("vendor") or ""), str(processor.get("model") or "")
    flags = set(processor.get("flags") or ())
    evidence: List[str] = []
    kind: Optional[str] = None
    if "VirtualApple" in vendor + model:
        kind = "rosetta"
        evidence.append("/proc/cpuinfo: vendor_id %s, model name %s" % (vendor, model))
    is_x86 = bool({"sse2", "lm", "fpu"} & flags) and not {"asimd", "neon", "half"} & flags
    is_arm = bool({"asimd", "neon", "half"} & flags)
    if (is_x86 and arch not in ("amd64", "386", None)) or (is_arm and arch not in ("arm64", "arm", None)):
        rosetta = os.path.exists(context.path("/proc/sys/fs/binfmt_misc/rosetta"))
        kind = kind or ("rosetta" if rosetta else "qemu-user")
        evidence.append("uname -m: %s, but /proc/cpuinfo shows a CPU of %s" % (
            context.shared.get("host.machine"), vendor or model))
    interpreter = running(context)
    if re.match(r"qemu-|rosetta", os.path.basename(interpreter)):
        kind = kind or ("rosetta" if "rosetta" in interpreter else "qemu-user")
        evidence.append("/proc/self/task/TID/exe: %s" % interpreter)
    registered = "/proc/sys/fs/binfmt_misc/qemu-%s" % _QEMU.get(str(arch), "none")
    try:
        if context.read(registered, 256).startswith("enabled"):
            # A kernel that runs these programs itself has no interpreter for them.
            kind = kind or "qemu-user"
            evidence.append("%s: enabled" % registered)
    except OSError:
        pass
    if model.startswith("QEMU TCG CPU"):
        kind = kind or "qemu-system"
        evidence.append("/proc/cpuinfo: model name %s (a virtual machine without KVM)" % model)
    return {"kind": kind, "evidence": evidence}


def running(context: Context) -> str:
    """The file that this very process executes, read where qemu-user does not rewrite it."""
    try:
        task = "/proc/self/task/%d/exe" % (threading.get_native_id() if context.root == "/" else 1)
        return os.readlink(context.path(task))
    except OSError:
        return ""


def container(context: Context) -> Optional[str]:
    """The container manager where the host itself is a container (the signs of systemd-detect-virt(1)).

    The initial PID namespace is no container, whatever a file says: an image unpacked onto a machine brings /.dockerenv.
    """
    try:
        if os.readlink(context.path("/proc/self/ns/pid")) == _PID_NAMESPACE_OF_THE_MACHINE:
            return None
    except OSError:
        pass
    for path in ("/run/host/container-manager", "/run/systemd/container"):
        try:
            name = context.read(path, 64).strip()
        except OSError:
            continue
        if name:
            return name
    try:
        for variable in context.read("/proc/1/environ", 1 << 16).split("\0"):
            if variable.startswith("container=") and variable != "container=":
                return variable[len("container="):][:40]
    except OSError:
        pass
    if "microsoft" in context.read("/proc/sys/kernel/osrelease", 256).lower():
        return "wsl"
    for path, name in (("/run/.containerenv", "podman"), ("/.dockerenv", "docker"), ("/proc/vz", "openvz")):
        if os.path.exists(context.path(path)) and not (name == "openvz" and os.path.exists(context.path("/proc/bc"))):
            return name
    try:
        names = context.read("/proc/1/cgroup", 4096)
    except OSError:
        return None
    match = re.search(r"[/:-](docker|libpod|kubepods|lxc)\b", names)
    return {"libpod": "podman", "kubepods": "kubernetes"}.get(match.group(1), match.group(1)) if match else None


def memory(context: Context) -> Dict[str, Optional[int]]:
    values = meminfo.parse(context.read("/proc/meminfo", 1 << 16))
    return {"total": values["MemTotal"], "available": values.get("MemAvailable"), "swap_total": values.get("SwapTotal"),
            "swap_free": values.get("SwapFree")}


def filesystems(context: Context) -> List[Dict[str, Any]]:
    """The filesystems that hold PATHS and the folders of declared binaries, one entry a mount."""
    mounts = _mounts(context)
    remote = [mount for mount in mounts if mount.remote]
    wanted = list(PATHS)
    for service in context.services:
        binary = service.get("binary")
        if isinstance(binary, str) and binary.startswith("/"):
            wanted.append(os.path.dirname(os.path.normpath(binary)) or "/")
    entries: Dict[str, Dict[str, Any]] = {}
    for path in wanted:
        mount = mountinfo.holding(mounts, _resolve(context, remote, path))
        if mount is None:
            continue
        entry = entries.get(mount.mount_point)
        if entry is None:
            entry = entries[mount.mount_point] = _filesystem(context, mount)
        if path not in entry["paths"]:
            entry["paths"].append(path)
    if not entries:
        raise Unavailable("/proc/self/mountinfo shows no mount that holds /")
    return [entries[key] for key in sorted(entries)]


def _mounts(context: Context) -> List[mountinfo.Mount]:
    """The mounts of this process; on a host with thousands of containers those that 8 MiB hold."""
    text = context.read("/proc/self/mountinfo", 8 << 20)
    return mountinfo.parse(text if text.endswith("\n") else text[:text.rfind("\n") + 1])


def _resolve(context: Context, remote: Sequence[mountinfo.Mount], path: str) -> str:
    """The path with its symlinks followed, but never through a mount that another machine answers for.

    os.path.realpath() would ask a dead NFS server for the status of each folder below it.
    """
    done, todo = "/", [piece for piece in path.split("/") if piece]
    for _unused in range(200):  # SYMLOOP_MAX is 40; every step below takes one piece
        if not todo:
            break
        piece = todo.pop(0)
        if piece in (".", ".."):
            done = os.path.dirname(done) if piece == ".." else done
            continue
        step = os.path.join(done, piece)
        if mountinfo.holding(remote, step) is not None:
            return os.path.join(step, *todo)
        try:
            target = os.readlink(context.path(step))
        except OSError:
            done = step  # no link, or nothing there yet: it lies where its parent lies
            continue
        if target.startswith("/"):
            done = "/"
        todo = [part for part in target.split("/") if part] + todo
    return os.path.join(done, *todo)


def _filesystem(context: Context, mount: mountinfo.Mount) -> Dict[str, Any]:
    entry: Dict[str, Any] = {
        "paths": [], "mount": mount.mount_point, "device": mount.source, "fstype": mount.fstype, "size": None,
        "available": None, "inodes": None, "inodes_available": None, "read_only": mount.read_only, "remote": mount.remote,
        "error": None,
    }
    try:
        unit, blocks, available, inodes, free_inodes = _statfs(context, mount)
    except (OSError, Unavailable, ValueError) as exc:
        entry["error"] = str(exc) or type(exc).__name__
        context.note("host.filesystems", exc, "%s (%s)" % (mount.mount_point, mount.source))
        return entry
    entry.update(size=unit * blocks, available=unit * available, inodes=inodes, inodes_available=free_inodes)
    return entry


def _statfs(context: Context, mount: mountinfo.Mount) -> Tuple[int, int, int, int, int]:
    """Fragment size, blocks, blocks for ordinary users, inodes, free inodes (statvfs(3))."""
    if mount.fstype == "autofs":
        raise Unavailable("is mounted on demand; looking at it would mount it")
    if not mount.remote:
        status = os.statvfs(context.path(mount.mount_point))
        return status.f_frsize, status.f_blocks, status.f_bavail, status.f_files, status.f_favail
    # A server that does not answer holds the asking process in the kernel: that must be another process than this one.
    code, out, err = context.run(["stat", "-f", "-c", "%S %b %a %c %d", "--", mount.mount_point], timeout=REMOTE_SECONDS)
    words = out.split()
    if code != 0 or len(words) != 5 or not all(word.isdigit() for word in words):
        raise Unavailable(" ".join(err.split())[:200] or "stat -f ended with %d" % code)
    return int(words[0]), int(words[1]), int(words[2]), int(words[3]), int(words[4])


def sysctl(context: Context) -> Dict[str, Optional[int]]:
    values: Dict[str, Optional[int]] = {}
    for name in SYSCTLS:
        path = "/proc/sys/" + name.replace(".", "/")
        try:
            values[name] = int(context.read(path, 256))
        except (OSError, ValueError) as exc:
            values[name] = None
            if not isinstance(exc, FileNotFoundError):
                context.note("host.sysctl", exc, name)
    return values


def file_nr(context: Context) -> Dict[str, int]:
    words = context.read("/proc/sys/fs/file-nr", 256).split()
    if len(words) != 3:
        raise ValueError("/proc/sys/fs/file-nr: %d numbers, 3 expected" % len(words))
    return {"allocated": int(words[0]), "unused": int(words[1]), "maximum": int(words[2])}


def kernel_clock() -> Dict[str, int]:
    """The kernel's own account of the clock (adjtimex(2), which everybody may read): status bits, microseconds of error.

    It is the machine's clock in a container too, and no daemon has to be known or asked.
    """
    import ctypes  # here, because nothing else of the module needs it

    class Timex(ctypes.Structure):
        """struct timex up to what is read; the rest is room for the kernel to write."""

        _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
                    ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
                    ("rest", ctypes.c_char * 512)]

    buffer = Timex()  # modes 0: read only
    library = ctypes.CDLL(None, use_errno=True)
    if library.adjtimex(ctypes.byref(buffer)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, "adjtimex: " + os.strerror(code))
    return {"status": buffer.status, "maxerror": buffer.maxerror, "esterror": buffer.esterror}


def time_sync(context: Context) -> Dict[str, Any]:
    service = _time_service(context)
    evidence: List[str] = []
    synchronized: Optional[bool] = None
    max_error: Optional[float] = None
    try:
        clock = kernel_clock()
        synchronized = not clock["status"] & _STA_UNSYNC
        max_error = round(clock["maxerror"] / 1000.0, 3)
        evidence.append("adjtimex: status 0x%04x (%s), maximum error %.3f ms" % (
            clock["status"], "synchronized" if synchronized else "STA_UNSYNC", max_error))
    except (OSError, AttributeError) as exc:
        evidence.append(str(exc))
    evidence.append("%s runs" % service if service else "none of the known time services runs as a unit of this host")
    if not synchronized and service in ("chrony.service", "chronyd.service"):
        # chronyd tells the kernel only with `rtcsync` (chrony.conf(5)): without it the flag says nothing about chronyd.
        synchronized, line = _chrony(context)
        evidence.append(line)
    elif not synchronized and service in ("openntpd.service", "phc2sys.service"):
        synchronized = None
        evidence.append("%s steers the clock without telling the kernel" % service)
    return {"synchronized": synchronized, "service": service, "max_error_ms": max_error, "evidence": evidence}


def _time_service(context: Context) -> Optional[str]:
    """A unit runs while its cgroup holds processes: no need to ask systemd, or to look at every process."""
    for base in ("/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice", "/sys/fs/cgroup/unified/system.slice"):
        for name in TIME_SERVICES:
            try:
                if context.read("%s/%s.service/cgroup.procs" % (base, name), 64).strip():
                    return name + ".service"
            except OSError:
                continue
    return None


def _chrony(context: Context) -> Tuple[Optional[bool], str]:
    try:
        code, out, err = context.run(["chronyc", "-n", "-c", "tracking"], timeout=2.0)
    except (Unavailable, TimeoutError) as exc:
        return None, str(exc)
    if code != 0:
        return None, "chronyc tracking: %s" % " ".join((err or out).split())[:200]
    leap = out.strip().rpartition(",")[2]
    return leap in ("Normal", "Insert second", "Delete second"), "chronyc tracking: leap status %s" % leap[:40]


def reboot(context: Context) -> Dict[str, Any]:
    """Whether a reboot is due: the distribution's own mark, or a newer kernel than the running one in /boot."""
    running = context.shared.get("host.kernel") or kernel(context)
    evidence: List[str] = []
    packages: List[str] = []
    marked = os.path.exists(context.path("/run/reboot-required"))
    if marked:
        evidence.append("/run/reboot-required exists")
        try:
            packages = sorted(set(context.read("/run/reboot-required.pkgs", 1 << 16).split()))[:100]
        except FileNotFoundError:
            pass
    # What writes the mark; without it, no mark means nothing.
    marks = any(os.path.exists(context.path(path)) for path in (
        "/usr/share/update-notifier/notify-reboot-required", "/etc/kernel/postinst.d/unattended-upgrades"))
    if context.shared.get("host.container"):
        evidence.append("the kernel is that of the machine around this container")
        return {"required": True if marked else None, "packages": packages, "running_kernel": running, "newest_kernel": None,
                "evidence": evidence}
    newest = _newest_kernel(context, running)
    if newest is not None and newest != running:
        evidence.append("running kernel %s, /boot/vmlinuz-%s is newer" % (running, newest))
    elif newest is not None:
        evidence.append("the running kernel is the newest of its flavour in /boot")
    elif not marks:
        evidence.append("/boot has no kernel of the running one's flavour, and nothing here writes /run/reboot-required")
    required: Optional[bool] = marked or (newest is not None and newest != running)
    if not required and newest is None and not marks:
        required = None
    return {"required": required, "packages": packages, "running_kernel": running, "newest_kernel": newest, "evidence": evidence}


def _newest_kernel(context: Context, running: str) -> Optional[str]:
    """The newest kernel of the running one's flavour; None where the running one is not there (booted from elsewhere)."""
    try:
        names = [name[len("vmlinuz-"):] for name in os.listdir(context.path("/boot")) if name.startswith("vmlinuz-")]
        mine = kernelrelease.parse(running)
    except (OSError, ValueError):
        return None
    if running not in names:
        return None
    newest, order = running, mine.order
    for name in names:
        try:
            other = kernelrelease.parse(name)
        except ValueError:
            continue
        if other.flavour == mine.flavour and other.order > order:
            newest, order = name, other.order
    return newest


def cgroup(context: Context) -> Dict[str, Any]:
    """Which cgroup hierarchy programs see (cgroups(7)); hybrid is both, where the controllers are those of version 1."""
    mounts = _mounts(context)
    unified = [mount for mount in mounts if mount.fstype == "cgroup2"]
    legacy = [mount for mount in mounts if mount.fstype == "cgroup"]
    if not unified and not legacy:
        raise Unavailable("no cgroup hierarchy is mounted")
    controllers: FrozenSet[str] = frozenset()
    if legacy:
        known = frozenset(("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "net_cls", "net_prio",
                           "perf_event", "hugetlb", "rdma", "misc"))
        for mount in legacy:
            controllers |= mount.super_options & known
    else:
        try:
            text = context.read(unified[0].mount_point.rstrip("/") + "/cgroup.controllers", 4096)
            controllers = frozenset(text.split())
        except FileNotFoundError:
            pass
    version: Any = "hybrid" if legacy and unified else 1 if legacy else 2
    return {"version": version, "controllers": sorted(controllers)}


def init(context: Context) -> str:
    return context.read("/proc/1/comm", 64).strip()


PARTS = (
    ("os", os_release),
    ("kernel", kernel),
    ("machine", machine),
    ("dpkg_arch", dpkg_arch),
    ("goarch", go_architecture),
    ("bits", bits),
    ("cpu", cpu),
    ("emulation", emulation),
    ("container", container),
    ("memory", memory),
    ("sysctl", sysctl),
    ("file_nr", file_nr),
    ("time", time_sync),
    ("reboot", reboot),
    ("cgroup", cgroup),
    ("init", init),
    ("filesystems", filesystems),  # the only part that may wait for another machine: last
)
