"""Test hosts: containers with systemd as PID 1, sshd, and an address that this machine reaches.

    python tests/lab/lab.py up web1 web2:ubuntu edge:arm64 --inventory /tmp/lab/hosts.yml
    ansible -i /tmp/lab/hosts.yml all -m ping
    python tests/lab/lab.py down

Hosts belong to a set (``--set``, default "default"); ``down`` without names removes its set, and an
inventory holds its set. Only what needs root runs as root, through tests/lab/enter.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from labcache import LabError, cache_dir, digest, finished_or_nothing, locked, run

HERE = Path(__file__).resolve().parent
NETWORK = "goready-lab"
LABEL = "goready.lab"
IMAGE = "localhost/goready-lab"
# Standard names of Debian's architectures, by what uname says.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")

PACKAGES = (
    "systemd systemd-sysv dbus python3 iproute2 openssh-server ca-certificates procps sudo "
    # What a minimal server still has and the checks or ansible's become need.
    "acl curl iputils-ping netbase nftables python3-apt"
).split()
# Go programs from the distribution with units of their own: services that nobody here wrote. Installed
# on amd64 only and disabled; a host that wants one enables it.
STRANGERS = ("prometheus-node-exporter", "caddy", "etcd-server")

# A privileged container shares the kernel's settings with this machine: nothing in it may load modules,
# set sysctls, unregister binary formats, trigger udev or drive a virtual terminal. The timers would only
# be noise in a measurement.
MASKED = (
    "systemd-binfmt.service proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount "
    "systemd-sysctl.service systemd-modules-load.service kmod-static-nodes.service "
    "modprobe@.service systemd-udevd.service systemd-udev-trigger.service systemd-udev-settle.service "
    "systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-journald-audit.socket "
    "systemd-timesyncd.service systemd-logind.service systemd-random-seed.service systemd-pstore.service "
    "systemd-remount-fs.service systemd-firstboot.service systemd-hwdb-update.service "
    "sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount "
    "dev-hugepages.mount dev-mqueue.mount "
    # Wants the audit subsystem, which no container has in a user namespace.
    "systemd-update-utmp.service systemd-update-utmp-runlevel.service "
    "console-getty.service getty.target getty@.service "
    # Each takes an inotify instance, of which a user has few: see MAKE_SHARD.
    "systemd-ask-password-console.path systemd-ask-password-wall.path "
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer "
    "e2scrub_reap.service motd-news.timer man-db.timer systemd-tmpfiles-clean.timer"
).split()

# Every host is told its own name, identity and resolver when it starts.
ROOT_HOOK = 'rm -f "$1/etc/hostname" "$1/etc/resolv.conf" && : > "$1/etc/machine-id"'

# Turns the packages into a host. The users: root for ansible, deploy for the run without privileges.
SETUP = r"""
set -eu
systemctl mask --quiet {masked}
for unit in {strangers}; do systemctl disable --quiet "$unit"; done
mkdir -p /etc/systemd/system/ssh.service.d /etc/systemd/journald.conf.d /etc/ssh/sshd_config.d
# A host whose ssh answers has started everything before it: /run/nologin is gone.
printf '[Unit]\nAfter=systemd-user-sessions.service\n' > /etc/systemd/system/ssh.service.d/lab.conf
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\nAudit=no\n' > /etc/systemd/journald.conf.d/lab.conf
printf 'PasswordAuthentication no\nUseDNS no\nMaxStartups 100\n' > /etc/ssh/sshd_config.d/lab.conf
# In a container without privileges the kernel refuses to set the login id.
sed -i 's/^\(session[[:space:]]*\)required\([[:space:]]*pam_loginuid.so\)/\1optional\2/' /etc/pam.d/sshd
# Ubuntu activates sshd by its socket; a running daemon is the same on every release.
systemctl disable --quiet ssh.socket 2>/dev/null || true
systemctl enable --quiet ssh.service
useradd --create-home --shell /bin/bash deploy
for home in /root /home/deploy; do
  mkdir -p -m 700 "$home/.ssh"
  printf '%s\n' '{key}' > "$home/.ssh/authorized_keys"
  chmod 600 "$home/.ssh/authorized_keys"
done
chown -R deploy:deploy /home/deploy
"""

# qemu-user does not know the mount calls that hand credentials to a unit; nobody passes any here.
SETUP_EMULATED = r"""
for unit in systemd-sysusers systemd-tmpfiles-setup systemd-tmpfiles-setup-dev; do
  mkdir -p "/etc/systemd/system/$unit.service.d"
  printf '[Service]\nLoadCredential=\n' > "/etc/systemd/system/$unit.service.d/emulated.conf"
done
"""

# What makes the stand-in answer "Ubuntu 24.04"; the packages stay Debian's.
UBUNTU = {
    "usr/lib/os-release": """\
PRETTY_NAME="Ubuntu 24.04.3 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.3 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
HOME_URL="https://www.ubuntu.com/"
SUPPORT_URL="https://help.ubuntu.com/"
BUG_REPORT_URL="https://bugs.launchpad.net/ubuntu/"
UBUNTU_CODENAME=noble
""",
    "etc/lsb-release": """\
DISTRIB_ID=Ubuntu
DISTRIB_RELEASE=24.04
DISTRIB_CODENAME=noble
DISTRIB_DESCRIPTION="Ubuntu 24.04.3 LTS"
""",
}


def say(text: str) -> None:
    """Progress goes to standard error: standard output is for answers."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


@cache
def native() -> str:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise LabError(f"no lab for the architecture {machine}: only {' and '.join(ARCHITECTURES)}")
    return ARCHITECTURES[machine]


@cache
def os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError as error:
        raise LabError("this machine has no os-release file, so its suite is unknown") from error


def suite() -> str:
    """The distribution release of the hosts: this machine's own, whose apt sources are known to work."""
    codename = os_release().get("VERSION_CODENAME", "")
    if os_release().get("ID") not in ("debian", "ubuntu") or not codename:
        raise LabError("the hosts' image is made with apt, which needs a Debian or Ubuntu machine")
    return codename


def entered(*command: str | Path) -> list[str]:
    return [str(HERE / "enter"), *(str(word) for word in command)]


@cache
def podman_command() -> tuple[str, ...]:
    """Where systemd is not PID 1, podman cannot ask it for cgroups nor write its journal."""
    if Path("/run/systemd/system").is_dir():
        return ("podman",)
    return ("podman", "--cgroup-manager=cgroupfs", "--events-backend=file")


def podman(*arguments: str | Path, timeout: float = 60, what: str) -> str:
    return run(entered(*podman_command(), *arguments), timeout=timeout, what=what)


@dataclass(frozen=True)
class Kernel:
    """What this machine can give to a container."""

    controllers: frozenset[str]
    sys_resource: bool
    hard: Mapping[str, str]


@cache
def kernel() -> Kernel:
    script = "cat /sys/fs/cgroup/cgroup.controllers; sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status; ulimit -Hn; ulimit -Hu"
    said = run(entered("bash", "-c", script), timeout=60, what="entering the lab's namespace").splitlines()
    # Bit 24 is CAP_SYS_RESOURCE: linux/capability.h.
    return Kernel(frozenset(said[0].split()), bool(int(said[1], 16) >> 24 & 1), {"nofile": said[2], "nproc": said[3]})


@cache
def run_flags() -> tuple[str, ...]:
    """The flags of ``podman run`` that this machine needs; none on an ordinary one."""
    flags: list[str] = []
    if "pids" not in kernel().controllers:
        flags.append("--pids-limit=-1")
    if not kernel().sys_resource:
        # Podman wants to raise limits to its own defaults, which takes CAP_SYS_RESOURCE.
        for name, most in (("nofile", 1048576), ("nproc", 4096)):
            hard = kernel().hard[name]
            limit = most if hard == "unlimited" else min(int(hard), most)
            flags.append(f"--ulimit={name}={limit}:{limit}")
    privileged = os.environ.get("GOREADY_LAB_PRIVILEGED") or ("1" if flags else "0")
    if privileged == "1":
        flags.append("--privileged")
    return tuple(flags)


# --- images ---------------------------------------------------------------------------------------------


def key_file() -> Path:
    """The private key of the hosts' users; made once for a cache."""
    key = cache_dir() / "ssh" / "id_ed25519"
    with locked(key):
        if not key.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "goready-lab", "-f", str(key)]
            run(command, timeout=30, what="making the hosts' ssh key")
    return key


def apt_settings() -> list[str]:
    """This machine's apt settings without which its package sources might not answer."""
    options: list[str] = []
    names = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    for name in names:
        value = run(["apt-config", "shell", "VALUE", name], timeout=30, what=f"reading {name}").strip()
        if value:
            options.append(f"--aptopt={name} {value.removeprefix('VALUE=').replace(chr(39), chr(34))}")
    return options


def strangers(arch: str) -> tuple[str, ...]:
    return STRANGERS if arch == "amd64" else ()


def setup_script(arch: str, ubuntu: bool) -> str:
    units = (name.removesuffix("-server") for name in strangers(arch))
    key = key_file().with_suffix(".pub").read_text(encoding="utf-8").strip()
    script = SETUP.format(masked=" ".join(MASKED), strangers=" ".join(units), key=key)
    if arch != native():
        script += SETUP_EMULATED
    if ubuntu:
        for path, text in UBUNTU.items():
            script += f"cat > /{path} <<'END'\n{text}END\n"
    return script


def image_exists(name: str) -> bool:
    command = entered(*podman_command(), "image", "exists", name)
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=60).returncode == 0


def check_emulation(arch: str) -> None:
    if arch == native():
        return
    interpreter = "qemu-aarch64" if arch == "arm64" else "qemu-x86_64"
    script = f"test -e /proc/sys/fs/binfmt_misc/{interpreter}"
    if subprocess.run(entered("sh", "-c", script), check=False, timeout=60).returncode != 0:
        raise LabError(
            f"{arch} programs do not run here: binfmt_misc has no {interpreter} "
            "(packages qemu-user-static and binfmt-support, and a kernel with binfmt_misc)"
        )


def ensure_image(arch: str, *, ubuntu: bool = False) -> str:
    """Builds the image unless it is there, and returns its name.

    Cold: half a minute native, 4 minutes emulated. The packages are one layer and the settings another, so
    that a change of the settings or a new key costs seconds for both architectures.
    """
    packages = [*PACKAGES, *strangers(arch)]
    script = setup_script(arch, ubuntu and os_release().get("ID") != "ubuntu")
    mark = digest(suite(), arch, ROOT_HOOK, *packages)
    base = f"{IMAGE}-{arch}-packages:{mark}"
    name = f"{IMAGE}-{arch}{'-ubuntu' if ubuntu else ''}:{digest(base, script)}"
    with locked(cache_dir() / "images" / arch):
        if image_exists(name):
            return name
        check_emulation(arch)
        if not image_exists(base):
            tarball = cache_dir() / "images" / f"{suite()}-{arch}-{mark}.tar"
            if not tarball.exists():
                build_root(arch, packages, tarball)
            what = f"importing the {arch} packages"
            podman("import", "--quiet", "--arch", arch, tarball, base, timeout=300, what=what)
        add_settings(arch, base, script, name)
    return name


def build_root(arch: str, packages: list[str], tarball: Path) -> None:
    say(f"building the {suite()} {arch} image (once)")
    started = time.monotonic()
    mirror = os.environ.get("GOREADY_LAB_MIRROR")
    with finished_or_nothing(tarball) as unfinished:
        run(
            entered(
                "mmdebstrap", "--quiet", "--variant=minbase", f"--arch={arch}", "--format=tar",
                "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*", f"--include={','.join(packages)}",
                *apt_settings(), f"--customize-hook={ROOT_HOOK}",
                suite(), unfinished, *([mirror] if mirror else []),
            ),
            timeout=1500, what=f"building the {arch} image",
        )  # fmt: skip
    for old in tarball.parent.glob(f"*-{arch}-*.tar"):
        if old != tarball:
            old.unlink()
    say(f"built the {arch} image in {time.monotonic() - started:.0f} s")


def add_settings(arch: str, base: str, script: str, name: str) -> None:
    draft = f"goready-lab-draft-{arch}"
    what = f"preparing the {arch} image"
    podman("rm", "--force", "--ignore", draft, what=what)
    try:
        podman(
            "run", "--name", draft, "--arch", arch, "--network", "none", *run_flags(), base, "sh", "-c", script,
            timeout=180, what=what,
        )  # fmt: skip
        podman(
            "commit", "--quiet", "--change", 'CMD ["/sbin/init"]', "--change", "STOPSIGNAL SIGRTMIN+3", draft, name,
            timeout=180, what=what,
        )  # fmt: skip
    finally:
        podman("rm", "--force", "--ignore", draft, what=what)


# --- hosts ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Host:
    """A host as asked for, and where it answers."""

    name: str
    arch: str
    ubuntu: bool = False
    address: str = ""
    # The container's id: a new container with an old address must not meet an old ssh connection.
    id: str = ""

    @property
    def container(self) -> str:
        return f"goready-lab-{self.name}"


def parse_spec(text: str) -> Host:
    """``NAME[:ARCH][:ubuntu]``."""
    name, *words = text.split(":")
    if not NAME.fullmatch(name):
        raise LabError(f"{name!r} is no host name: lower case letters, digits and dashes, at most 52")
    arch, ubuntu = native(), False
    for word in words:
        if word in ARCHITECTURES.values():
            arch = word
        elif word == "ubuntu":
            ubuntu = True
        else:
            raise LabError(f"{text!r}: {word!r} is none of amd64, arm64, ubuntu")
    return Host(name, arch, ubuntu)


def containers() -> dict[str, dict[str, Any]]:
    """The lab's containers by host name; ``State``, ``Id`` and ``Labels`` as podman gives them."""
    text = podman("ps", "--all", "--filter", f"label={LABEL}", "--format", "json", what="listing the hosts")
    hosts = {found["Labels"][LABEL]: found for found in json.loads(text or "[]")}
    for found in hosts.values():
        # Where all processes of a session were ended at once, nobody was left to tell podman.
        if found["State"] == "running" and not alive(found["Pid"]):
            found["State"] = "lost"
    return hosts


def alive(pid: int) -> bool:
    """False for a zombie too: the machine's PID 1 may be one that collects nobody."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # The state follows the program's name in parentheses: proc(5).
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Book:
    """Which hosts a set has and where they answered. Kept beside podman's own knowledge because a host that
    was killed has no address any more, and yet belongs into the inventory: it is the unreachable one."""

    def __init__(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise LabError(f"{name!r} is no name of a set")
        self.path = cache_dir() / "state" / f"{name}.json"
        self.hosts: dict[str, Host] = {}
        if self.path.exists():
            for entry in json.loads(self.path.read_text(encoding="utf-8")):
                self.hosts[entry["name"]] = Host(**entry)

    def save(self) -> None:
        if not self.hosts:
            self.path.unlink(missing_ok=True)
            return
        with finished_or_nothing(self.path) as unfinished:
            entries = [asdict(host) for host in self.hosts.values()]
            unfinished.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


# A systemd takes three inotify instances, and some room for what a host starts. fs.inotify.max_user_instances
# (128 by default) is counted for the user who owns the user namespace, over all containers: about 25 hosts.
INSTANCES_PER_HOST = 4
SHARD_OWNER = 64000

# A user namespace with the whole id range, owned by another user than root: its hosts count for that user.
# It is pinned to a file; the process that made it ends with this script.
MAKE_SHARD = r"""
set -euo pipefail
pin=$1 owner=$2
[[ $(stat -f -c %T "$pin" 2>/dev/null || true) != nsfs ]] || exit 0
mkdir -p "${pin%/*}"
: > "$pin"
coproc setpriv --reuid="$owner" --regid="$owner" --clear-groups unshare --user cat
mine=$(readlink /proc/self/ns/user)
for _ in {1..100}; do
  sleep 0.05
  theirs=$(readlink "/proc/$COPROC_PID/ns/user" || true)
  [[ -z $theirs || $theirs == "$mine" ]] || break
done
for kind in uid gid; do
  echo '0 0 4294967295' > "/proc/$COPROC_PID/${kind}_map"
done
mount --bind "/proc/$COPROC_PID/ns/user" "$pin"
"""


def place(hosts: Sequence[Host], there: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Which shard each new host goes to; 0 is this machine's own user namespace."""
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text(encoding="ascii"))
    room = max(1, int(limit * 0.8) // INSTANCES_PER_HOST)
    taken = Counter(int(found["Labels"].get(f"{LABEL}.shard", 0)) for found in there.values())
    placed = {}
    for host in hosts:
        shard = next(number for number in itertools.count() if taken[number] < room)
        taken[shard] += 1
        placed[host.name] = shard
    return placed


def shard_flags(number: int) -> list[str]:
    """What puts a container into the shard; makes the shard when it is missing."""
    flags = ["--label", f"{LABEL}.shard={number}"]
    if number == 0:
        return flags
    pin = f"/run/goready-lab/user-namespace-{number}"
    command = entered("bash", "-c", MAKE_SHARD, "shard", pin, str(SHARD_OWNER + number))
    run(command, timeout=60, what="making a user namespace for more hosts than fs.inotify.max_user_instances allows")
    return [*flags, f"--userns=ns:{pin}"]


def ensure_network() -> None:
    command = entered(*podman_command(), "network", "exists", NETWORK)
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=60).returncode != 0:
        podman("network", "create", "--label", f"{LABEL}=network", NETWORK, what="making the hosts' network")


def network_lock() -> AbstractContextManager[None]:
    """One set's last `down` must not take the network away between another set's first steps of `up`."""
    return locked(cache_dir() / "network")


def start(host: Host, image: str, group: str, extra: Sequence[str]) -> None:
    podman(
        "run", "--detach", "--systemd=always", "--arch", host.arch, "--name", host.container,
        "--hostname", host.name, "--network", f"{NETWORK}:alias={host.name}",
        "--label", f"{LABEL}={host.name}", "--label", f"{LABEL}.set={group}",
        "--log-driver", "k8s-file", "--log-opt", "max-size=1mb", "--stop-timeout", "3",
        *extra, *run_flags(), image,
        timeout=120, what=f"starting {host.name}",
    )  # fmt: skip


def start_ssh(host: Host) -> None:
    podman("exec", host.container, "systemctl", "start", "ssh", what=f"starting sshd on {host.name}")


def addresses(hosts: Sequence[Host]) -> list[Host]:
    """The hosts with the address and id that podman gave them."""
    text = podman("inspect", *(host.container for host in hosts), timeout=120, what="reading the addresses")
    found = {entry["Name"]: entry for entry in json.loads(text)}
    placed = []
    for host in hosts:
        entry = found[host.container]
        address = entry["NetworkSettings"]["Networks"].get(NETWORK, {}).get("IPAddress", "")
        if not address:
            raise LabError(f"{host.name} stopped while it started; see: {' '.join(podman_command())} logs {host.container}")
        placed.append(Host(host.name, host.arch, host.ubuntu, address, entry["Id"][:12]))
    return placed


def greets(address: str, timeout: float = 2) -> bool:
    """True when an ssh server says so itself; an open port alone could still be the start-up."""
    try:
        with socket.create_connection((address, 22), timeout=timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def wait_for_ssh(hosts: Sequence[Host], deadline: float) -> None:
    """Returns when every host answers; raises with the names of those that do not by ``deadline``."""
    waiting = list(hosts)
    while waiting:
        waiting = [host for host in waiting if not greets(host.address)]
        if waiting and time.monotonic() > deadline:
            names = ", ".join(host.name for host in waiting)
            raise LabError(f"no ssh answer in time from: {names}")
        if waiting:
            time.sleep(0.2)


def in_parallel(jobs: int, tasks: Sequence[Callable[[], None]]) -> None:
    """Runs all tasks, then raises the first error: the others are not left half done."""
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


def up(specs: Sequence[str], *, group: str, inventory: Path | None, jobs: int, timeout: float | None) -> None:
    asked = {host.name: host for host in map(parse_spec, specs)}
    if len(asked) != len(specs):
        raise LabError("a host is named twice")
    if not asked:
        raise LabError("no host is named")
    kinds = {(host.arch, host.ubuntu) for host in asked.values()}
    images = {(arch, ubuntu): ensure_image(arch, ubuntu=ubuntu) for arch, ubuntu in sorted(kinds)}
    started = time.monotonic()
    with locked(cache_dir() / "state" / group):
        book = Book(group)
        there = containers()
        new: list[Host] = []
        kept: list[Host] = []
        for host in asked.values():
            old = there.get(host.name)
            if old is None:
                new.append(host)
                continue
            if old["Labels"].get(f"{LABEL}.set") != group:
                raise LabError(f"{host.name} belongs to the set {old['Labels'].get(LABEL + '.set')!r}; choose another name")
            if old["State"] == "running" and old.get("Image") == images[host.arch, host.ubuntu]:
                kept.append(host)
            else:
                new.append(host)
        remove([host.container for host in new if host.name in there])
        # Heals hosts whose sshd a test had stopped; costs nothing where it runs.
        in_parallel(jobs, [partial(start_ssh, host) for host in kept])
        if new:
            with network_lock():
                ensure_network()
                shards = place(new, there)
                flags = {number: shard_flags(number) for number in set(shards.values())}
                tasks = [partial(start, host, images[host.arch, host.ubuntu], group, flags[shards[host.name]]) for host in new]
                in_parallel(jobs, tasks)
        placed = addresses(list(asked.values()))
        book.hosts.update({host.name: host for host in placed})
        book.save()
        emulated = sum(host.arch != native() for host in new)
        limit = timeout or 60 + 3 * len(new) + 120 * emulated
        wait_for_ssh(placed, time.monotonic() + limit)
        if inventory:
            write_inventory(inventory, book)
    say(f"{len(placed)} up ({len(new)} new) after {time.monotonic() - started:.1f} s")


def remove(names: Sequence[str]) -> None:
    """Removes containers; twice when needed: the first try only corrects podman's view of a lost one."""
    if not names:
        return
    command = ["rm", "--force", "--ignore", "--time", "0", *names]
    try:
        podman(*command, timeout=60 + 5 * len(names), what="removing hosts")
    except LabError:
        podman(*command, timeout=60 + 5 * len(names), what="removing hosts")


def down(names: Sequence[str], *, group: str, everything: bool) -> None:
    started = time.monotonic()
    groups = sorted(p.stem for p in (cache_dir() / "state").glob("*.json")) if everything else [group]
    there = containers()
    unknown = [name for name in names if name not in there]
    gone = [
        found["Names"][0]
        for name, found in there.items()
        if (name in names if names else everything or found["Labels"].get(f"{LABEL}.set") == group)
    ]
    remove(gone)
    for each in groups:
        with locked(cache_dir() / "state" / each):
            book = Book(each)
            book.hosts = {n: h for n, h in book.hosts.items() if names and n not in names}
            book.save()
    with network_lock():
        if not containers():
            podman("network", "rm", "--force", NETWORK, what="removing the hosts' network")
    say(f"{len(gone)} down after {time.monotonic() - started:.1f} s" + (f"; not there: {', '.join(unknown)}" if unknown else ""))


def status() -> None:
    known: dict[str, Host] = {}
    for path in (cache_dir() / "state").glob("*.json"):
        known |= Book(path.stem).hosts
    for name, found in sorted(containers().items()):
        host = known.get(name, Host(name, "?"))
        answers = "ssh" if found["State"] == "running" and host.address and greets(host.address) else "no ssh"
        group = found["Labels"].get(f"{LABEL}.set", "")
        system = f"{host.arch}{' ubuntu' if host.ubuntu else ''}"
        print(f"{name:20} {group:10} {found['State']:10} {answers:7} {host.address:15} {system}")


def running(name: str) -> str:
    """The container of a running host."""
    found = containers().get(name)
    if found is None or found["State"] != "running":
        raise LabError(f"{name} is not running")
    return f"goready-lab-{name}"


def stop_ssh(name: str) -> None:
    """Stops sshd and ends its open sessions, which a controller would otherwise go on using."""
    script = "systemctl stop ssh.service; pkill -x sshd; exit 0"
    podman("exec", running(name), "sh", "-c", script, what=f"stopping sshd on {name}")


def kill(name: str) -> None:
    podman("kill", running(name), what=f"killing {name}")


def execute(name: str, command: Sequence[str]) -> int:
    """Runs ``command`` in a host, with this terminal."""
    flags = ["--interactive"] + (["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else [])
    return subprocess.run(entered(*podman_command(), "exec", *flags, running(name), *command), check=False).returncode


# --- inventory ------------------------------------------------------------------------------------------


@dataclass
class Group:
    hosts: list[str] = field(default_factory=list)
    variables: dict[str, object] = field(default_factory=dict)


def write_inventory(path: Path, book: Book) -> None:
    """An Ansible inventory of the set; groups amd64, arm64, ubuntu (stand-ins) and emulated."""
    common = (
        "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "
        "-o ServerAliveInterval=5 -o ServerAliveCountMax=6"
    )
    shared: dict[str, object] = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key_file()),
        "ansible_ssh_common_args": common,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    groups = {"amd64": Group(), "arm64": Group(), "ubuntu": Group(), "emulated": Group(variables={"ansible_timeout": 60})}
    lines = ["# Written by tests/lab/lab.py; the next `up` writes it anew.", "all:", "  vars:"]
    lines += [f"    {name}: {json.dumps(value)}" for name, value in shared.items()]
    lines.append("  hosts:")
    for host in sorted(book.hosts.values(), key=lambda h: h.name):
        # %% is ansible's escape; ssh's %C is the hash of user, host and port.
        control = f"%(directory)s/%%C-{host.id}"
        lines += [
            f"    {host.name}:",
            f"      ansible_host: {json.dumps(host.address)}",
            f"      ansible_control_path: {json.dumps(control)}",
        ]
        groups[host.arch].hosts.append(host.name)
        if host.ubuntu:
            groups["ubuntu"].hosts.append(host.name)
        if host.arch != native():
            groups["emulated"].hosts.append(host.name)
    lines.append("  children:")
    for name, group in groups.items():
        if not group.hosts:
            continue
        lines += [f"    {name}:", "      hosts:", *(f"        {host}: {{}}" for host in group.hosts)]
        if group.variables:
            lines += ["      vars:", *(f"        {key}: {json.dumps(value)}" for key, value in group.variables.items())]
    with finished_or_nothing(path.absolute()) as unfinished:
        unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- command line ---------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    image = commands.add_parser("image", help="build an image unless it is there, and print its name")
    image.add_argument("--arch", choices=sorted(ARCHITECTURES.values()), default=None)
    image.add_argument("--ubuntu", action="store_true", help="the stand-in that says it is Ubuntu 24.04")

    start_ = commands.add_parser("up", help="start hosts and wait until their ssh answers")
    start_.add_argument("spec", nargs="*", metavar="NAME[:arm64|:amd64][:ubuntu]")
    start_.add_argument("--count", type=int, default=0, metavar="N", help="start this many more, named PREFIX-01 ...")
    start_.add_argument("--prefix", default="host")
    start_.add_argument("--inventory", type=Path, help="write an Ansible inventory of the set to this file")
    start_.add_argument("--set", dest="group", default="default", help="the set they belong to (default: default)")
    start_.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="hosts started at once")
    start_.add_argument("--timeout", type=float, help="seconds to wait for ssh (default: by number and architecture)")

    stop = commands.add_parser("down", help="remove hosts, or the whole set; the network goes with the last one")
    stop.add_argument("name", nargs="*")
    stop.add_argument("--set", dest="group", default="default")
    stop.add_argument("--all", action="store_true", help="every set")

    commands.add_parser("status", help="the hosts there are")
    for name, text in (
        ("stop-ssh", "stop a host's sshd: it is up and unreachable"),
        ("kill", "kill a host: its address does not answer, the inventory keeps it"),
    ):
        commands.add_parser(name, help=text).add_argument("name")
    within = commands.add_parser("exec", help="run a command in a host: exec NAME -- COMMAND ...")
    within.add_argument("name")
    within.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    commands.add_parser("key", help="print the path of the hosts' private key")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    command = options.command
    if command != "key":
        # Without root or podman nothing below works: one sentence now instead of a half-done job.
        podman("version", what="asking podman")
    if command == "image":
        print(ensure_image(options.arch or native(), ubuntu=options.ubuntu))
    elif command == "up":
        specs = [*options.spec, *(f"{options.prefix}-{n:02}" for n in range(1, options.count + 1))]
        up(specs, group=options.group, inventory=options.inventory, jobs=options.jobs, timeout=options.timeout)
    elif command == "down":
        down(options.name, group=options.group, everything=options.all)
    elif command == "status":
        status()
    elif command == "stop-ssh":
        stop_ssh(options.name)
    elif command == "kill":
        kill(options.name)
    elif command == "exec":
        words = options.words[1:] if options.words[:1] == ["--"] else options.words
        if not words:
            raise LabError("no command is given")
        return execute(options.name, words)
    elif command == "key":
        print(key_file())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"lab: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
