# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the machine itself fit: its operating system, architecture, clock, disks and the kernel's ceilings?

A container is judged like any host where the value is its own (disks, time, packages); what belongs to the machine around it
(kernel, fs.nr_open) is judged by its value too, but mended there, and the reason says so.
"""
from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import goarch
from ansible_collections.goready.preflight.plugins.plugin_utils import os_releases, subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Facts, Outcome, Policy, Remediation, Threshold, check, failed, lookup, notapplicable, passed, unknown,
)

# What the kernel itself has as accept queue since 5.4 (commit 19f92a030ca6, "net: increase SOMAXCONN to 4096").
_SOMAXCONN = 4096
# The kernel's default, and what systemd makes of fs.file-max at boot (LONG_MAX, src/core/main.c).
_NR_OPEN, _FILE_MAX = 1048576, (1 << 63) - 1
# Filesystems that are full and read-only by nature.
_IMAGES = frozenset(("squashfs", "iso9660", "erofs", "cramfs", "udf"))
# Folders that a host cannot do without writing to.
_WRITTEN = ("/var/log", "/var/lib", "/tmp")


def _container(facts: Facts) -> str:
    """`` of the machine around this container`` where the host is one, for what only the machine can change."""
    return " of the machine around this container" if lookup(facts, "host.container") else ""


@check(
    "host.supported_os",
    title="The operating system gets security fixes",
    severity="high",
    why="After the end of support nobody mends OpenSSL, the C library or the kernel of this host, and no new packages of Go's "
        "toolchain arrive. Ubuntu LTS gets five years (ubuntu.com/about/release-cycle), Debian three years from its security "
        "team and two more from Debian LTS (wiki.debian.org/LTS). Dates: Debian package distro-info-data.",
    judged="ID and VERSION_ID of os-release(5) against the dated table that ships with the collection. Debian counts beside "
           "Ubuntu, to the end of Debian LTS; Ubuntu to the end of standard support, or of ESM where apt uses the ESM archive "
           "(Ubuntu Pro). An interim Ubuntu release passes until its end. Support that ends within `notice_days` is low. A "
           "distribution or release that the table does not know is unknown, unless threshold `accepted` names it; Debian "
           "testing and unstable fail, because the security team does not serve them.",
    remediation=Remediation(
        hint="Move the service to a host with a supported Ubuntu LTS or Debian release, or upgrade this one "
             "(do-release-upgrade(8)). On Ubuntu LTS, Ubuntu Pro extends the support."),
    needs=("host.os",),
    thresholds={
        "accepted": Threshold((), "Operating systems that somebody else supports, by os-release: `rocky`, `rocky:9.5`."),
        "notice_days": Threshold(90, "Days before the end of support from which it is a finding (low).", "days", 0, 3650),
    },
)
def supported_os(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    system: Mapping[str, Any] = facts["host"]["os"]
    name, version = str(system.get("id")), system.get("version_id")
    label = str(system.get("pretty_name") or name)
    evidence = [f"/etc/os-release: ID={name} VERSION_ID={version or 'absent'}"]
    accepted = policy.threshold(supported_os, "accepted")
    if name in accepted or f"{name}:{version}" in accepted:
        yield passed(f"{label} is accepted by threshold accepted.", actual=label, evidence=evidence)
        return
    table = os_releases.load()
    today = policy.now.date()
    expected = ", ".join(table.supported(today))
    known = table.of(name)
    evidence.append(f"support dates as of {table.as_of}: {table.source}")
    if not known:
        yield unknown(f"{label} is neither Ubuntu nor Debian: until when it gets fixes is not known here.", actual=label,
                      expected=expected, evidence=evidence,
                      remediation=Remediation(hint="Where somebody supports it, name it in threshold `accepted` of this check."))
        return
    if not version:
        yield failed(f"{label} has no version: testing and unstable get no timely security fixes.", actual=label,
                     expected=expected, evidence=evidence)
        return
    release = table.find(name, str(version))
    if release is None:
        yield _unlisted(label, str(version), known, expected, evidence)
        return
    yield _dated(release, system, label, today, policy.threshold(supported_os, "notice_days"), expected, evidence)


def _unlisted(label: str, version: str, known: list[os_releases.OsRelease], expected: str, evidence: list[str]) -> Outcome:
    try:
        # Every release that is not in the table and older than its newest one was left out because it has ended.
        ended = os_releases.version(version) < known[-1].order
    except ValueError:
        ended = False
    if ended:
        return failed(f"{label} gets no security fixes any more.", actual=label, expected=expected, evidence=evidence)
    return unknown(f"{label} is newer than the table of support dates: whether it gets fixes is not known here.", actual=label,
                   expected=expected, evidence=evidence,
                   remediation=Remediation(hint="Update the collection, or name the release in threshold `accepted`."))


def _dated(release: os_releases.OsRelease, system: Mapping[str, Any], label: str, today: datetime.date, notice: int,
           expected: str, evidence: list[str]) -> Outcome:
    ends, by = release.ends, "" if release.id == "ubuntu" or today <= release.regular_ends else " by Debian LTS"
    extended = [file for file in system.get("extended_support") or () if file.startswith("ubuntu-esm-infra")]
    if extended and release.extended_ends:
        ends, by = release.extended_ends, " by Ubuntu Pro (ESM)"
        evidence.append(f"/etc/apt/sources.list.d/{extended[0]}")
    days = (ends - today).days
    if days < 0:
        return failed(f"{label} has had no security fixes since {ends}.", actual=str(ends), expected=expected, evidence=evidence)
    if days <= notice:
        return failed(f"{label} gets security fixes{by} for {days} more days only, until {ends}.", actual=str(ends),
                      expected=f"more than {notice} days", evidence=evidence, severity="low")
    return passed(f"{label} gets security fixes{by} until {ends}.", actual=str(ends), evidence=evidence)


@check(
    "host.architecture",
    title="Kernel and userland have one architecture",
    severity="high",
    why="A 64-bit kernel with a 32-bit userland (a Raspberry Pi image, an old container) shows `uname -m` of the one and "
        "installs packages of the other: a release chosen by uname does not find its loader, or uses cgo libraries that are "
        "not there (execve(2): ENOENT). `uname -m` is the kernel's (uname(2)), `dpkg --print-architecture` the userland's "
        "(dpkg(1)).",
    judged="Go's name for `uname -m`, for dpkg's architecture and the ELF class of the userland's shell have to agree. Without "
           "dpkg the ELF class alone decides. A static Go program of the kernel's architecture would run all the same; waive "
           "the finding where nothing else is deployed. What architecture toolchains and services have is judged by "
           "toolchain.arch_match and binary.arch_match.",
    remediation=Remediation(hint="Deploy builds for the userland's architecture, or install the host anew with a userland of the "
                                 "kernel's."),
    needs=("host.machine",),
)
def architecture(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    host = facts["host"]
    machine, dpkg, bits = str(host["machine"]), host.get("dpkg_arch"), host.get("bits")
    kernel = goarch.OF_MACHINE.get(machine)
    evidence = [f"uname -m: {machine}"]
    if dpkg:
        evidence.append(f"dpkg --print-architecture: {dpkg}")
    if bits:
        evidence.append(f"ELF class of /bin/sh: {bits} bits")
    if kernel is None:
        yield unknown(f"The machine {machine} has no name in Go that is known here.", actual=machine, evidence=evidence)
        return
    userland = goarch.OF_DPKG.get(str(dpkg)) if dpkg else None
    width = 32 if kernel in ("386", "arm") else 64
    if dpkg and userland is None:
        yield unknown(f"dpkg's architecture {dpkg} has no name in Go that is known here.", actual=str(dpkg), evidence=evidence)
    # `uname -m` is mips64 in both byte orders; dpkg tells which.
    elif userland and userland != kernel and not (kernel == "mips64" and userland == "mips64le"):
        yield failed(f"The kernel is {machine} ({kernel}), the userland is {dpkg} ({userland}).", actual=userland,
                     expected=kernel, evidence=evidence)
    elif bits and bits != width:
        yield failed(f"The kernel is {machine} ({kernel}), the userland's programs have {bits} bits.", actual=bits,
                     expected=width, evidence=evidence)
    elif not dpkg and not bits:
        yield unknown(f"The kernel is {machine}; what the userland is could not be read.", actual=machine, evidence=evidence)
    else:
        yield passed(f"Kernel and userland are {userland or kernel}.", actual=userland or kernel, evidence=evidence)


@check(
    "host.emulation",
    title="Programs run on the CPU itself",
    severity="medium",
    why="Under qemu-user or Rosetta every instruction is translated: a Go program is 5 to 20 times slower, its garbage collector "
        "and timers with it, and qemu-user does not support all that the Go runtime asks of the kernel (qemu.org, \"User space "
        "emulator\"). Latency measured on such a host says nothing. kernel.org, admin-guide/binfmt-misc.rst.",
    judged="Whether /proc/cpuinfo shows another maker's CPU than `uname -m` implies, the kernel's view of the running process "
           "names an interpreter, or one is registered for the host's own architecture; `VirtualApple` is Rosetta, a `QEMU TCG "
           "CPU` a virtual machine without KVM. Interpreters registered for *other* architectures are no finding: build hosts "
           "have them.",
    remediation=Remediation(hint="Run the service on hardware of its own architecture; on an ARM machine use an arm64 image."),
    needs=("host.emulation",),
)
def emulation(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    found: Mapping[str, Any] = facts["host"]["emulation"]
    evidence = [str(line) for line in found.get("evidence") or ()]
    machine = lookup(facts, "host.machine")
    if found.get("kind"):
        yield failed(f"The {machine} programs of this host are emulated by {found['kind']}.", actual=found["kind"],
                     expected="no emulation", evidence=evidence)
    elif not lookup(facts, "host.cpu"):
        yield unknown("/proc/cpuinfo was not read: emulation cannot be excluded.", evidence=evidence)
    else:
        cpu = lookup(facts, "host.cpu.model") or lookup(facts, "host.cpu.vendor") or "unnamed CPU"
        yield passed(f"{machine} programs run on the CPU itself ({cpu}).", actual=None,
                     evidence=evidence or [f"/proc/cpuinfo: {cpu}"])


@check(
    "host.fd_ceiling",
    title="The kernel allows the descriptors that the services need",
    severity="high",
    why="fs.nr_open is the ceiling of every RLIMIT_NOFILE: systemd silently starts a service with less than its LimitNOFILE "
        "where the kernel allows no more, and fs.file-max is the ceiling of all processes together: beyond it open(2) and "
        "accept(2) fail with ENFILE for everybody but root. proc_sys_fs(5); setrlimit(2).",
    judged="fs.nr_open against the highest `nofile` of preflight_services and the highest LimitNOFILE that the files of a Go "
           "service's unit set, at least threshold `minimum`; systemd's own default and `infinity` ask for no certain number. "
           "fs.file-max against the sum of "
           "the declared `nofile` (a service that declares none counts with `minimum`) and, in use, against `used_ratio` of "
           "it. In a container the values are the machine's: they count all the same.",
    remediation=Remediation(hint="Raise the ceiling and keep it over reboots; services take it at their next start.",
                            role="service_limits"),
    needs=("host.sysctl",),
    thresholds={
        "minimum": Threshold(65536, "Descriptors that a service needs which declares no `nofile`.", "descriptors", 256, 1 << 30),
        "used_ratio": Threshold(0.8, "Share of fs.file-max in use from which it is a finding.", "", 0.01, 1.0),
    },
)
def fd_ceiling(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    sysctl: Mapping[str, Any] = facts["host"]["sysctl"]
    minimum = policy.threshold(fd_ceiling, "minimum")
    where = _container(facts)
    wanted, source = _descriptors_wanted(facts, policy, minimum)
    ceiling = sysctl.get("fs.nr_open")
    evidence = [f"/proc/sys/fs/nr_open: {ceiling}", source]
    if ceiling is None:
        yield unknown("fs.nr_open could not be read.", subject="fs.nr_open", expected=wanted)
    elif ceiling < wanted:
        yield failed(f"fs.nr_open{where} is {ceiling}; {wanted} descriptors are needed.", subject="fs.nr_open", actual=ceiling,
                     expected=wanted, evidence=evidence, remediation=_raise("fs.nr_open", max(wanted, _NR_OPEN)))
    else:
        yield passed(f"fs.nr_open{where} is {ceiling}, enough for the {wanted} needed.", subject="fs.nr_open", actual=ceiling,
                     expected=wanted, evidence=evidence)

    total = sum(int(service.get("nofile") or minimum) for service in policy.services) or wanted
    maximum = sysctl.get("fs.file-max")
    allocated = lookup(facts, "host.file_nr.allocated")
    evidence = [f"/proc/sys/fs/file-max: {maximum}", f"/proc/sys/fs/file-nr: {allocated} allocated"]
    share = policy.threshold(fd_ceiling, "used_ratio")
    if maximum is None:
        yield unknown("fs.file-max could not be read.", subject="fs.file-max", expected=total)
    elif maximum < total:
        yield failed(f"fs.file-max{where} is {maximum}; the services together need {total} descriptors.", subject="fs.file-max",
                     actual=maximum, expected=total, evidence=evidence, remediation=_raise("fs.file-max", _FILE_MAX))
    elif allocated is not None and allocated > share * maximum:
        yield failed(f"{allocated} of fs.file-max{where} = {maximum} files are open, more than {share:.0%}.",
                     subject="fs.file-max", actual=allocated, expected=int(share * maximum), evidence=evidence,
                     remediation=_raise("fs.file-max", _FILE_MAX))
    else:
        yield passed(f"fs.file-max{where} is {maximum}, enough for {total} descriptors.", subject="fs.file-max", actual=maximum,
                     expected=total, evidence=evidence)


def _descriptors_wanted(facts: Facts, policy: Policy, minimum: int) -> tuple[int, str]:
    """The most that one service asks for, and who does."""
    wanted, source = minimum, f"threshold minimum of host.fd_ceiling: {minimum}"
    for declaration in policy.services:
        nofile = int(declaration.get("nofile") or 0)
        if nofile > wanted:
            wanted, source = nofile, f"preflight_services {declaration['name']}: nofile {nofile}"
    for service in subjects.services(facts, policy):
        # The manager's default (524288) is no wish of the unit; neither is `infinity`, which asks for the ceiling itself.
        for path, line, value in service.directives("LimitNOFILE"):
            limit = value.rpartition(":")[2].strip()
            if limit.isdecimal() and int(limit) > wanted:
                wanted, source = int(limit), f"{path}:{line}: LimitNOFILE={value}"
    return wanted, source


def _raise(name: str, value: int) -> Remediation:
    """Raise a sysctl, now and after the next reboot."""
    path = f"/etc/sysctl.d/60-goready-{name.replace('.', '-')}.conf"
    return Remediation(
        hint="Raise the ceiling and keep it over reboots; services take it at their next start.",
        # The role raises what a declared `nofile` needs, where it is told to (service_limits_raise_nr_open).
        role="service_limits" if name == "fs.nr_open" else "",
        command=f"echo '{name} = {value}' | sudo tee {path} && sudo sysctl --system")


@check(
    "host.tcp_backlog",
    title="Listeners of Go services have a full accept queue",
    severity="low",
    why="Go takes the length of every listener's accept queue from net.core.somaxconn when it starts to listen (Go source, "
        "net/sock_linux.go: maxListenerBacklog). Connections beyond it are dropped in a burst and come back after a second or "
        "more (listen(2)). Linux raised its own default from 128 to 4096 in 5.4 (commit 19f92a030ca6): less is an old kernel, "
        "or a tuning guide of that time, which now *lowers* the value.",
    judged="net.core.somaxconn of the network namespace against threshold `somaxconn`. tcp_max_syn_backlog is judged only where "
           "SYN cookies are off, because with them it limits nothing (listen(2), tcp(7)); wanted are then the 1024 that tcp(7) "
           "calls the default of a machine with enough memory. Low, because a queue that never overflowed harms nobody: the "
           "evidence has the overflows since boot. A running service takes a new value at its next start.",
    remediation=Remediation(
        hint="Raise the value and restart the services: a listener keeps the queue it started with.",
        command="echo 'net.core.somaxconn = 4096' | sudo tee /etc/sysctl.d/60-goready-backlog.conf && sudo sysctl --system"),
    needs=("host.sysctl",),
    thresholds={
        "somaxconn": Threshold(_SOMAXCONN, "Wanted net.core.somaxconn.", "connections", 1, 1 << 31),
        "syn_backlog": Threshold(1024, "Wanted net.ipv4.tcp_max_syn_backlog where SYN cookies are off.", "connections",
                                 1, 1 << 31),
    },
)
def tcp_backlog(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    sysctl: Mapping[str, Any] = facts["host"]["sysctl"]
    value, wanted = sysctl.get("net.core.somaxconn"), policy.threshold(tcp_backlog, "somaxconn")
    evidence = [f"/proc/sys/net/core/somaxconn: {value}"]
    overflows = lookup(facts, "network.tcp.ListenOverflows")
    if overflows is not None:
        evidence.append(f"/proc/net/netstat: ListenOverflows {overflows} since boot")
    if value is None:
        yield unknown("net.core.somaxconn could not be read.", subject="net.core.somaxconn", expected=wanted)
    elif value < wanted:
        yield failed(f"net.core.somaxconn is {value}; {wanted} is wanted.", subject="net.core.somaxconn", actual=value,
                     expected=wanted, evidence=evidence)
    else:
        yield passed(f"net.core.somaxconn is {value}.", subject="net.core.somaxconn", actual=value, expected=wanted,
                     evidence=evidence)

    value, wanted = sysctl.get("net.ipv4.tcp_max_syn_backlog"), policy.threshold(tcp_backlog, "syn_backlog")
    cookies = sysctl.get("net.ipv4.tcp_syncookies")
    evidence = [f"/proc/sys/net/ipv4/tcp_max_syn_backlog: {value}", f"/proc/sys/net/ipv4/tcp_syncookies: {cookies}"]
    subject = "net.ipv4.tcp_max_syn_backlog"
    if cookies:
        yield notapplicable("SYN cookies are on, so net.ipv4.tcp_max_syn_backlog limits nothing.", subject=subject,
                            evidence=evidence)
    elif value is None or cookies is None:
        yield unknown("net.ipv4.tcp_max_syn_backlog or net.ipv4.tcp_syncookies could not be read.", subject=subject,
                      expected=wanted)
    elif value < wanted:
        yield failed(f"SYN cookies are off and net.ipv4.tcp_max_syn_backlog is {value}; {wanted} is wanted.", subject=subject,
                     actual=value, expected=wanted, evidence=evidence, remediation=Remediation(
                         hint="Switch SYN cookies on (the kernel's default), or raise the backlog.",
                         command="echo 'net.ipv4.tcp_syncookies = 1' | sudo tee /etc/sysctl.d/60-goready-backlog.conf && "
                                 "sudo sysctl --system"))
    else:
        yield passed(f"net.ipv4.tcp_max_syn_backlog is {value}.", subject=subject, actual=value, expected=wanted,
                     evidence=evidence)


@check(
    "host.time_sync",
    title="The clock is synchronised",
    severity="medium",
    why="A clock that drifts lets TLS certificates and tokens look expired or not yet valid, orders the log lines of two hosts "
        "wrongly, and breaks leases and replication. The kernel knows whether its clock is disciplined: adjtimex(2), STA_UNSYNC.",
    judged="The kernel's own flag, whichever daemon (or the machine around a container) disciplines the clock; its estimate of "
           "the error grows by 500 ppm while nobody does, so a value above `max_error_seconds` shows a daemon that died hours "
           "ago. chronyd without `rtcsync` does not tell the kernel: chronyc is asked then. A synchronisation by the "
           "hypervisor's guest agent steps the clock without disciplining it and fails.",
    remediation=Remediation(
        hint="Let one time service run and reach its servers (UDP 123).",
        command="sudo apt install -y systemd-timesyncd && sudo timedatectl set-ntp true && timedatectl timesync-status"),
    needs=("host.time",),
    thresholds={"max_error_seconds": Threshold(5.0, "The kernel's estimate of the clock's error from which it is a finding.",
                                               "seconds", 0.001, 16.0)},
)
def time_sync(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    clock: Mapping[str, Any] = facts["host"]["time"]
    evidence = [str(line) for line in clock.get("evidence") or ()]
    by = f" by {clock['service']}" if clock.get("service") else ""
    error, limit = clock.get("max_error_ms"), policy.threshold(time_sync, "max_error_seconds")
    where = _container(facts)
    mend = Remediation(hint="Synchronise the clock of the machine that runs this container.") if where else None
    if clock.get("synchronized") is None:
        yield unknown("Whether the clock is synchronised could not be read.", evidence=evidence)
    elif not clock["synchronized"]:
        reason = f"{clock['service']} runs, but has not synchronised it" if by else "no time service is known to run"
        yield failed(f"The clock{where} is not synchronised: {reason}.", actual=False, expected=True, evidence=evidence,
                     remediation=mend)
    elif error is not None and error > limit * 1000 and not any(line.startswith("chronyc") for line in evidence):
        yield failed(f"The clock{where} was synchronised, but may be wrong by {error / 1000:.1f} s (at most {limit:g} s wanted): "
                     f"the time service has not reached its servers for hours.", actual=round(error / 1000, 3), expected=limit,
                     evidence=evidence, remediation=mend)
    else:
        yield passed(f"The clock{where} is synchronised{by}.", actual=True, expected=True, evidence=evidence)


@check(
    "host.disk_space",
    title="The disks of system, logs and releases have room",
    severity="high",
    why="A full disk stops logging, databases and deployments at once: write(2) fails with ENOSPC, and a service that cannot "
        "write its log or its temporary file answers with errors. Ordinary users have less than df's \"free\" (statvfs(3), "
        "f_bavail): the reserve is root's.",
    judged="Every filesystem that holds /, /var/log, /var/lib, /tmp, /opt or the folder of a declared binary: high below "
           "`critical_ratio` of its size for ordinary users, medium below `free_ratio`; neither where `enough_gib` are left, "
           "because 5 % of 4 TB is room. Read-only images (squashfs, as snaps have) are full by nature. Another filesystem that "
           "is read-only fails where /var/log, /var/lib or /tmp lie on it. A network filesystem that did not answer is unknown.",
    remediation=Remediation(
        hint="Look for what grew; rotate logs, remove old releases, or enlarge the disk.",
        command="sudo du -xh --max-depth=2 / 2>/dev/null | sort -h | tail -20; sudo journalctl --disk-usage"),
    needs=("host.filesystems",),
    thresholds={
        "free_ratio": Threshold(0.10, "Share that has to be free (medium below it).", "", 0.0, 1.0),
        "critical_ratio": Threshold(0.05, "Share below which it is high.", "", 0.0, 1.0),
        "enough_gib": Threshold(20.0, "Free GiB that are enough whatever the share.", "GiB", 0.0, 1 << 20),
    },
)
def disk_space(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    share, critical = policy.threshold(disk_space, "free_ratio"), policy.threshold(disk_space, "critical_ratio")
    enough = policy.threshold(disk_space, "enough_gib") * (1 << 30)
    for one in facts["host"]["filesystems"]:
        mount, size, available = str(one["mount"]), one.get("size"), one.get("available")
        evidence = _mounted(one)
        read_only = _read_only(one)
        if read_only is not None:
            yield read_only
        elif size is None or available is None:
            yield unknown(f"{mount} ({one.get('device')}) could not be asked: {one.get('error') or 'no answer'}.", subject=mount,
                          evidence=evidence)
        elif not size:
            yield notapplicable(f"{mount} ({one.get('fstype')}) has no size of its own.", subject=mount, evidence=evidence)
        else:
            free = available / size
            found = f"{mount} has {subjects.size(available)} free of {subjects.size(size)} ({free:.1%})"
            wanted = f"{share:.0%} or {enough / (1 << 30):g} GiB"
            evidence.append(f"statvfs {mount}: {available} of {size} bytes for ordinary users")
            if available >= enough or free >= max(share, critical):
                yield passed(f"{found}.", subject=mount, actual=available, expected=wanted, evidence=evidence)
            else:
                yield failed(f"{found}; {wanted} are wanted.", subject=mount, actual=available, expected=wanted,
                             evidence=evidence, severity="high" if free < critical else "medium")


def _mounted(one: Mapping[str, Any]) -> list[str]:
    return [f"{one['mount']}: {one.get('device')} ({one.get('fstype')}), holds {', '.join(one.get('paths') or ())}"]


def _read_only(one: Mapping[str, Any]) -> Outcome | None:
    """The outcome of a read-only filesystem; None where it can be written."""
    if not one.get("read_only"):
        return None
    mount, fstype = str(one["mount"]), str(one.get("fstype"))
    written = [path for path in one.get("paths") or () if path in _WRITTEN]
    if fstype in _IMAGES or not written:
        return notapplicable(f"{mount} ({fstype}) is mounted read-only.", subject=mount, evidence=_mounted(one))
    return failed(
        f"{mount} is mounted read-only, and {', '.join(written)} on it cannot be written.", subject=mount, actual="read-only",
        expected="writable", evidence=_mounted(one), remediation=Remediation(
            hint="The kernel remounts a disk read-only after errors (mount(8), errors=remount-ro): look at its log before "
                 "anything else.", command="sudo dmesg --level=emerg,alert,crit,err | tail -50"))


@check(
    "host.inodes",
    title="The filesystems have inodes left",
    severity="medium",
    why="A filesystem without free inodes refuses every new file with ENOSPC while df shows room: millions of small session, "
        "cache or mail files do that. ext4 fixes their number when it is made (mke2fs(8), -N and -i).",
    judged="The filesystems of host.disk_space: below `free_ratio` of the inodes, unless `enough` are left. btrfs, zfs and vfat "
           "have no fixed number (statvfs(3) says 0) and read-only ones need none. A network filesystem that did not answer is "
           "unknown.",
    remediation=Remediation(hint="Find the folder with the many small files and clear it; the number itself cannot be changed.",
                            command="sudo du --inodes -x --max-depth=3 / 2>/dev/null | sort -n | tail -20"),
    needs=("host.filesystems",),
    thresholds={
        "free_ratio": Threshold(0.10, "Share of the inodes that has to be free.", "", 0.0, 1.0),
        "enough": Threshold(1_000_000, "Free inodes that are enough whatever the share.", "inodes", 0, 1 << 40),
    },
)
def inodes(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    share, enough = policy.threshold(inodes, "free_ratio"), policy.threshold(inodes, "enough")
    for one in facts["host"]["filesystems"]:
        mount, total, free = str(one["mount"]), one.get("inodes"), one.get("inodes_available")
        if one.get("read_only"):
            yield notapplicable(f"{mount} is mounted read-only.", subject=mount, evidence=_mounted(one))
        elif total is None or free is None:
            yield unknown(f"{mount} ({one.get('device')}) could not be asked: {one.get('error') or 'no answer'}.", subject=mount,
                          evidence=_mounted(one))
        elif not total:
            yield notapplicable(f"{mount} ({one.get('fstype')}) has no fixed number of inodes.", subject=mount,
                                evidence=_mounted(one))
        else:
            found = f"{mount} has {free} of {total} inodes free ({free / total:.1%})"
            wanted = f"{share:.0%} or {enough}"
            if free >= enough or free / total >= share:
                yield passed(f"{found}.", subject=mount, actual=free, expected=wanted, evidence=_mounted(one))
            else:
                yield failed(f"{found}; {wanted} are wanted.", subject=mount, actual=free, expected=wanted,
                             evidence=_mounted(one))


@check(
    "host.pending_reboot",
    title="No reboot is due",
    severity="low",
    why="Until the reboot the host runs the kernel, or the C library in long-lived processes, whose faults the update was for; "
        "and the first reboot after months is better done before a launch than by accident after it. Ubuntu's packages write "
        "/run/reboot-required (Debian policy, update-notifier's notify-reboot-required); a newer kernel in /boot says the same.",
    judged="/run/reboot-required exists, or /boot holds a newer kernel of the running one's flavour (a cloud kernel is no "
           "successor of a generic one). Where nothing writes the mark and the running kernel does not lie in /boot, the answer "
           "is unknown. A container has no kernel of its own: only the mark counts there.",
    remediation=Remediation(hint="Take the host out of traffic and reboot it.", command="sudo systemctl reboot"),
    needs=("host.reboot",),
)
def pending_reboot(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    state: Mapping[str, Any] = facts["host"]["reboot"]
    running, newest = state.get("running_kernel"), state.get("newest_kernel")
    evidence = [str(line) for line in state.get("evidence") or ()]
    packages = [str(name) for name in state.get("packages") or ()]
    if packages:
        evidence.append("/run/reboot-required.pkgs: " + ", ".join(packages[:20]))
    if state.get("required"):
        reasons = []
        if newest and newest != running:
            reasons.append(f"kernel {running} runs, {newest} is installed")
        if packages:
            reasons.append("updated: " + ", ".join(packages[:5]) + (" ..." if len(packages) > 5 else ""))
        yield failed(f"A reboot is due{': ' + '; '.join(reasons) if reasons else ''}.", actual=running,
                     expected=newest or "no pending reboot", evidence=evidence)
    elif state.get("required") is False:
        yield passed(f"No reboot is due; kernel {running} runs.", actual=running, evidence=evidence)
    elif lookup(facts, "host.container"):
        yield notapplicable("The host is a container: it has no kernel of its own to update.", evidence=evidence)
    else:
        yield unknown(f"Whether kernel {running} is the newest installed one cannot be told on this host.", actual=running,
                      evidence=evidence)
