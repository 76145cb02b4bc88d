# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Go services this host runs: processes with Go build information, declared units, what systemd says of them.

One pass over /proc, then one ``systemctl show`` for all units. What is read of a process that is no Go program is the
first block of its executable, once for each file. Nothing is judged here; the shape is ``services`` of docs/facts.md.

What counts as a service, where nobody declared it:

* a Go process in the cgroup of a ``*.service`` unit, of the system's or a user's manager;
* a Go process in a container;
* any other Go process that listens on TCP or on a socket in the file system.

A program of another machine runs in an emulator (binfmt_misc), and /proc/PID/exe is the emulator then: what is read is the
program that it runs.

Not a service: the Go toolchain itself (programs built from ``cmd/...``), and command line tools without a listener, also
where there is no logind and a login shell therefore runs in ssh.service's own cgroup, or cron's jobs in cron.service's.
"""
from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import (
    buildinfo, cgroup, elf, emulator, goarch, limitsconf, mountinfo, procfs, redact, systemd,
)
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

PROPERTIES = (
    "Id", "Names", "LoadState", "LoadError", "ActiveState", "SubState", "Result", "UnitFileState", "UnitFilePreset",
    "FragmentPath", "DropInPaths", "SourcePath", "NeedDaemonReload", "Transient", "MainPID", "ControlPID", "ControlGroup",
    "Slice", "NRestarts", "Restart", "RestartUSec", "StartLimitIntervalUSec", "StartLimitBurst", "Type", "RemainAfterExit",
    "User", "Group", "DynamicUser", "SupplementaryGroups", "ExecStart", "ExecMainStartTimestamp", "ExecMainCode",
    "ExecMainStatus", "ActiveEnterTimestamp", "InactiveEnterTimestamp", "StateChangeTimestamp", "ConditionResult",
    "AssertResult", "LimitNOFILE", "LimitNOFILESoft", "LimitNPROC", "LimitNPROCSoft", "LimitCORE", "LimitMEMLOCK", "LimitAS",
    "TasksMax", "TasksCurrent", "MemoryMax", "MemoryHigh", "MemorySwapMax", "MemoryCurrent", "CPUQuotaPerSecUSec",
    "Environment", "EnvironmentFiles", "WatchdogUSec", "TimeoutStartUSec", "TimeoutStopUSec", "KillMode", "OOMPolicy",
    "OOMScoreAdjust", "TriggeredBy", "Triggers", "WantedBy", "RequiredBy", "WorkingDirectory", "RootDirectory",
    "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers",
    "ProtectKernelTunables", "ProtectKernelModules", "ProtectControlGroups", "RestrictAddressFamilies", "RestrictNamespaces",
    "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "SystemCallFilter", "CapabilityBoundingSet",
    "AmbientCapabilities", "ReadWritePaths",
)
VARIABLES = ("GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOGC")

# Descriptors of one process that are looked at for listeners: the lowest ones, opened first.
MAX_DESCRIPTORS = 8192
# Processes of one service in the facts (containerd has one shim a container, all with the same settings).
MAX_PROCESSES = 32
MAX_ARGUMENTS = 256
MAX_ARGUMENT = 2048
# /proc/PID/net/tcp prints listening sockets first (tcp_get_idx in net/ipv4/tcp_ipv4.c), then 150 bytes a connection.
NET_CHUNK = 1 << 16
MAX_NET = 1 << 24
MAX_LINKS = 40
# What gives a unit's processes another view of the file system (systemd.exec(5)): what is missing here may be there.
_OTHER_VIEW = ("RootDirectory", "RootImage", "TemporaryFileSystem", "BindPaths", "BindReadOnlyPaths", "MountImages",
               "ExtensionImages", "ExtensionDirectories")
# What else the kernels of a machine run themselves, without an emulator.
_ALSO_RUNS = {"amd64": "386", "arm64": "arm"}
# Lines of limits.conf and limits.d, together.
MAX_CONF_LINES = 5000
# What a file system of another machine is given to answer.
REMOTE_SECONDS = 2.0

# Units in whose cgroup people's and cron's own programs run: a Go process there is not the unit's service.
_SESSION_UNITS = (r"(?:ssh|sshd|cron|crond|cronie|anacron|atd|getty|serial-getty|console-getty|container-getty|emergency|rescue"
                  r"|debug-shell|systemd-logind|gdm|gdm3|lightdm|sddm|dropbear|telnet|code-server|tmux|screen|user)"
                  r"(?:@.*)?\.service\Z")
_PF_KTHREAD = 0x00200000


class Owners:
    """Names of users and groups, from passwd(5) and group(5): a lookup through NSS may ask a directory server and hang."""

    def __init__(self, passwd: str, group: str) -> None:
        self.users: Dict[int, str] = {}
        self.groups: Dict[int, str] = {}
        self.members: Dict[int, Set[str]] = {}
        for line in passwd.split("\n"):
            fields = line.split(":")
            if len(fields) >= 3 and fields[2].isdigit():
                self.users.setdefault(int(fields[2]), fields[0])
        for line in group.split("\n"):
            fields = line.split(":")
            if len(fields) >= 4 and fields[2].isdigit():
                self.groups.setdefault(int(fields[2]), fields[0])
                self.members[int(fields[2])] = {one for one in fields[3].split(",") if one}

    def user(self, uid: int) -> str:
        return self.users.get(uid, str(uid))

    def group(self, gid: int) -> str:
        return self.groups.get(gid, str(gid))

    def private(self, gid: int, owner: str) -> bool:
        """Whether a group holds nobody but its namesake (user private groups, the default of useradd)."""
        return self.groups.get(gid) == owner and not self.members.get(gid, set()) - {owner}


class Exe(NamedTuple):
    """The executable of a process: ``link`` is its path, as /proc/PID/exe names it, ``opened`` where the file can be read.

    Of a program in an emulator, ``emulator`` is the path of that. Where the running file itself cannot be reached and the
    one on disk is not proven to be it, ``status`` is that of the file on disk and ``certain`` is False.
    """

    link: str
    status: os.stat_result
    deleted: bool
    opened: str
    emulator: Optional[str] = None
    certain: bool = True


class Found(NamedTuple):
    """A Go process."""

    pid: int
    exe: Exe
    status: procfs.Status
    stat: procfs.Stat
    unit: cgroup.Unit
    container: Optional[Dict[str, str]]
    memberships: Tuple[procfs.Membership, ...]


class Scan:
    """One pass over the host's processes, and what several services share (caches by file and by network namespace)."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._owners: Dict[str, Owners] = {}
        self.found: List[Found] = []
        self.unreadable: Dict[int, str] = {}  # processes whose executable may not be read, and their names
        self.unanswered = False  # one of them because of a file system that does not answer
        self.hidden = False
        self._go: Dict[Tuple[int, int, int], bool] = {}
        self._binaries: Dict[Tuple[int, int, int, str], Dict[str, Any]] = {}
        self._loaders: Dict[Tuple[str, str], Optional[bool]] = {}
        self._networks: Dict[str, Dict[int, procfs.Listener]] = {}
        self._cgroups: Dict[str, Dict[str, Any]] = {}
        self._mounts: Optional[List[procfs.Mount]] = None
        self._all_mounts, self._remote = self._read_mounts()
        self.silent: Dict[str, str] = {}  # mounts of other machines that were asked, and why not to touch them (or "")
        self._top = self._text_or_empty(1, "cgroup")
        self._boot: Optional[int] = None
        self._ticks = float(os.sysconf("SC_CLK_TCK"))

    def owners(self, pid: Optional[int] = None) -> Owners:
        """The host's users; with ``pid`` those of the container that the process is in. Where a container's user namespace
        shifts the ids, no list of names fits them: numbers are given then."""
        root = self.context.path("/") if pid is None else self.root_of(pid)
        if root not in self._owners:
            texts = []
            for path in ("/etc/passwd", "/etc/group"):
                try:
                    with open(self.resolve(path, root)[0], "rb") as handle:
                        texts.append(handle.read(4 << 20).decode("utf-8", "replace"))
                except OSError:
                    texts.append("")
            self._owners[root] = Owners("", "") if pid is not None and self._shifted(pid) else Owners(texts[0], texts[1])
        return self._owners[root]

    def _shifted(self, pid: int) -> bool:
        try:
            return os.readlink(self.proc(pid, "ns/user")) != os.readlink(self.context.path("/proc/self/ns/user"))
        except OSError:
            return False

    # --- /proc, of this machine or of a recorded tree

    def proc(self, pid: int, name: str) -> str:
        return self.context.path("/proc/%d/%s" % (pid, name))

    def text(self, pid: int, name: str, limit: int = 1 << 16) -> str:
        return self.context.read("/proc/%d/%s" % (pid, name), limit)

    def _text_or_empty(self, pid: int, name: str) -> str:
        try:
            return self.text(pid, name)
        except OSError:
            return ""

    def exe_path(self, pid: int) -> str:
        """Where the running file can be opened. /proc/PID/exe leads to the file itself, also when its name is gone."""
        path = self.proc(pid, "exe")
        if self.context.root == "/":
            return path
        link = os.readlink(path)
        return self.resolve(link, self.root_of(pid))[0]

    def root_of(self, pid: int) -> str:
        """The folder that the process sees as "/"."""
        path = self.proc(pid, "root")
        if self.context.root == "/":
            return path
        return self.context.path(os.readlink(path))

    def resolve(self, path: str, root: str) -> Tuple[str, str, List[str]]:
        """(path on this machine, path below ``root``, folders passed) of a path whose links are followed below ``root``.

        OSError as stat() raises it, where a step does not exist or may not be read.
        """
        root = root.rstrip("/")
        todo = [part for part in path.split("/") if part and part != "."]
        done: List[str] = []
        folders: List[str] = ["/"]
        links = 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                if done:
                    done.pop()
                continue
            here = "/" + "/".join(done + [part])
            self.answers(here)
            try:
                target = os.readlink(root + here)
            except OSError as exc:
                if exc.errno != errno.EINVAL:
                    raise
                done.append(part)
                if todo and here not in folders:
                    folders.append(here)
                continue
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                done = []
            todo = [one for one in target.split("/") if one and one != "."] + todo
        inside = "/" + "/".join(done)
        return root + inside if root else inside, inside, folders

    def _read_mounts(self) -> Tuple[List[mountinfo.Mount], List[mountinfo.Mount]]:
        try:
            text = self.context.read("/proc/self/mountinfo", 8 << 20)
            mounts = mountinfo.parse(text[:text.rfind("\n") + 1])
        except (OSError, ValueError):
            mounts = []
        return mounts, [mount for mount in mounts if mount.remote]

    def answers(self, path: str) -> None:
        """Raise OSError where ``path`` lies on another machine's file system that does not answer.

        Touching it would hold this process in the kernel and cost all services. Each such mount is asked once, by another
        process. A path in a container counts as the host's: nothing better is known without touching it.
        """
        if not self._remote or mountinfo.holding(self._remote, path) is None:
            return
        mount = mountinfo.holding(self._all_mounts, path)
        if mount is None or not mount.remote:
            return
        point = mount.mount_point
        if point not in self.silent:
            self.silent[point] = ""
            if mount.fstype == "autofs":
                self.silent[point] = "%s is mounted on demand, looking at it would mount it" % point
            else:
                try:
                    self.context.run(["stat", "-f", "--", point], timeout=REMOTE_SECONDS)
                except TimeoutError:
                    self.silent[point] = "%s (%s, %s) does not answer" % (point, mount.fstype, mount.source)
                except (OSError, Unavailable, ValueError):
                    pass  # without stat(1) it is touched as any other
        if self.silent[point]:
            raise OSError(self.silent[point])

    # --- which processes are Go programs

    def run(self) -> None:
        entries = [int(name) for name in os.listdir(self.context.path("/proc")) if name.isdigit()]
        # hidepid=2 shows a user no processes but its own.
        self.hidden = bool(entries) and 1 not in entries
        for pid in sorted(entries):
            try:
                self._look(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while it was looked at
            except PermissionError:
                self._count_unreadable(pid)
            except OSError as exc:
                if exc.errno not in (None, errno.EIO, errno.ESTALE, errno.ENXIO, errno.ELOOP, errno.ENOTDIR):
                    raise
                self._count_unreadable(pid)
                self.unanswered = self.unanswered or exc.errno is None
            except ValueError:
                continue  # its status was cut off: it is ending

    def _count_unreadable(self, pid: int) -> None:
        try:
            text = self.text(pid, "stat")
            fields = text[text.rfind(")") + 1:].split()
            if len(fields) > 6 and not int(fields[6]) & _PF_KTHREAD and fields[0] not in "ZX":
                self.unreadable[pid] = text[text.find("(") + 1:text.rfind(")")]
        except (OSError, ValueError):
            pass

    def _look(self, pid: int) -> None:
        exe = self._exe(pid)
        if self.is_go(exe.opened, exe.status):
            self.found.append(self._found(pid, exe))

    def _exe(self, pid: int) -> Exe:
        path = self.exe_path(pid)
        link = os.readlink(self.proc(pid, "exe"))
        self.answers(link)
        status = os.stat(path)
        # The kernel appends " (deleted)" to the name; a file may also really be called so.
        deleted = link.endswith(" (deleted)") and (
            status.st_nlink == 0 or self.context.root != "/" or not self._same(link, pid, status))
        exe = Exe(link[:-len(" (deleted)")] if deleted else link, status, deleted, path)
        return self._emulated(pid, exe.link) or exe if emulator.is_emulator(exe.link) else exe

    def _words(self, pid: int) -> List[str]:
        return procfs.parse_cmdline(self.context.read_bytes("/proc/%d/cmdline" % pid, 1 << 18))

    def _program(self, pid: int) -> Optional[Tuple[str, List[str]]]:
        """(path that was given to execve(), arguments) of the program that an emulator runs; None where it runs none."""
        try:
            auxv = procfs.parse_auxv(self.context.read_bytes("/proc/%d/auxv" % pid, 1 << 14))
        except (PermissionError, ValueError):
            auxv = {}
        words = self._words(pid)
        return emulator.program(words, emulator.keeps_name(auxv, words))

    def _emulated(self, pid: int, link: str) -> Optional[Exe]:
        """The program that the emulator ``link`` runs in a process; None where its arguments name none.

        The emulator maps the program's file, so /proc/PID/maps tells which one it is, also after its path has come to lead
        elsewhere, and /proc/PID/map_files leads to the file itself as /proc/PID/exe does (root only, proc(5)).
        """
        program = self._program(pid)
        if program is None:
            return None
        path = program[0]
        root = self.root_of(pid)
        if not path.startswith("/"):
            path = os.path.normpath(os.path.join(os.readlink(self.proc(pid, "cwd")), path))
        names = {path}
        try:
            names.add(self.resolve(path, root)[1])
        except OSError:
            pass
        mapped = [one for one in procfs.parse_maps(self.text(pid, "maps", 4 << 20)) if one.path != link and not one.offset]
        # The lowest file is the program: libraries, the emulator's as well, lie above (linux-user/elfload.c).
        chosen = next((one for one in mapped if one.path in names), None) or next(
            (one for one in mapped if os.path.basename(one.path) == os.path.basename(path)), mapped[0] if mapped else None)
        if chosen is not None:
            opened = self._map_file(pid, chosen)
            if opened is not None:
                return Exe(chosen.path, os.stat(opened), chosen.deleted, opened, link)
        if chosen is not None and chosen.deleted:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), chosen.path)
        name = chosen.path if chosen is not None else path
        try:
            opened = self.resolve(name, root)[0]
            status = os.stat(opened)
        except (FileNotFoundError, NotADirectoryError):
            # Not the process is gone, but the name of its file.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name) from None
        certain = chosen is not None and chosen.inode == status.st_ino and chosen.device == (
            os.major(status.st_dev), os.minor(status.st_dev))
        return Exe(name, status, False, opened, link, certain)

    def _map_file(self, pid: int, mapped: procfs.Mapped) -> Optional[str]:
        """Where a mapped file itself can be read; None where that is not permitted."""
        path = self.proc(pid, "map_files/%x-%x" % (mapped.start, mapped.end))
        try:
            if self.context.root != "/":
                path = self.resolve(os.readlink(path), self.root_of(pid))[0]
            os.stat(path)
        except OSError:
            return None
        return path

    def _same(self, link: str, pid: int, status: os.stat_result) -> bool:
        try:
            other = os.stat(self.resolve(link, self.root_of(pid))[0])
        except OSError:
            return False
        return (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino)

    def _found(self, pid: int, exe: Exe) -> Found:
        status = procfs.parse_status(self.text(pid, "status"))
        process = procfs.parse_stat(self.text(pid, "stat"))
        memberships = tuple(procfs.parse_cgroup(self._text_or_empty(pid, "cgroup")))
        path = self.relative(memberships)
        container = self._container(pid, path, status)
        return Found(pid, exe, status, process, cgroup.unit_of(path), container, memberships)

    def relative(self, memberships: Sequence[procfs.Membership]) -> str:
        host = cgroup.primary(procfs.parse_cgroup(self._top)) or "/"
        return cgroup.relative(cgroup.primary(memberships) or "/", host)

    def _container(self, pid: int, path: str, status: procfs.Status) -> Optional[Dict[str, str]]:
        """The container a process is in, as seen from this host (which may be one itself).

        A mount namespace of its own says nothing: systemd gives one to every service with PrivateTmp= or ProtectSystem=.
        What says container is the cgroup that a runtime made; or, where the runtime made none, a pid namespace below the
        host's together with another root.
        """
        named = cgroup.container_of(path)
        if named is not None:
            return {"runtime": named[0], "id": named[1]}
        if len(status.nspid) < 2:
            return None
        root = self.root_of(pid)
        try:
            other, own = os.stat(root), os.stat(self.context.path("/"))
        except OSError:
            return {"runtime": "unknown", "id": ""}
        if (other.st_dev, other.st_ino) == (own.st_dev, own.st_ino):
            return None
        for marker, runtime in (("run/.containerenv", "podman"), (".dockerenv", "docker")):
            try:
                with open(os.path.join(root, marker), "rb") as handle:
                    text = handle.read(4096).decode("utf-8", "replace")
            except OSError:
                continue
            match = re.search(r'^id="([0-9a-f]{12})', text, re.MULTILINE)
            return {"runtime": runtime, "id": match.group(1) if match else ""}
        return {"runtime": "unknown", "id": ""}

    def is_go(self, path: str, status: os.stat_result) -> bool:
        key = (status.st_dev, status.st_ino, status.st_mtime_ns)
        if key not in self._go:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                self._go[key] = buildinfo.locate(elf.parse(elf.DescriptorReader(descriptor))) is not None
            except ValueError:
                self._go[key] = False
            finally:
                os.close(descriptor)
        return self._go[key]

    # --- files

    def binary(self, path: str, root: str, *, opened: Optional[str] = None,
               owners: Optional[Owners] = None) -> Dict[str, Any]:
        """``Binary`` of the facts for ``path`` below ``root``. ``opened`` is where the file itself can be reached, whatever
        has become of its name (/proc/PID/exe). ``owners`` are the users of a container."""
        owners = owners or self.owners()
        result: Dict[str, Any] = {
            "path": path, "realpath": None, "size": None, "mtime": None, "elf": None, "buildinfo": None, "owner": None,
            "group": None, "mode": None, "folders": [], "writable_by": [], "error": None,
        }
        passed: List[str] = []
        inside = path
        where = opened or ""
        try:
            real, inside, passed = self.resolve(path, root)
            result["realpath"] = inside
            where = where or real
        except OSError as exc:
            if not opened:
                result["error"] = _why(exc)
                return result
        try:
            status = os.stat(where)
            if not stat.S_ISREG(status.st_mode):
                result["error"] = "not a regular file"
                return result
            result.update(size=status.st_size, mtime=_rfc3339(status.st_mtime), owner=owners.user(status.st_uid),
                          group=owners.group(status.st_gid), mode="%04o" % stat.S_IMODE(status.st_mode))
            result.update(self._content(where, status))
            if result["elf"] is not None:
                result["elf"] = dict(result["elf"], interpreter_exists=self._loader_exists(result["elf"], root))
        except OSError as exc:
            result["error"] = _why(exc)
            return result
        folders: List[str] = []
        for one in _parents(path) + passed + _parents(inside):
            if one not in folders:
                folders.append(one)
        if opened and result["realpath"] is None:
            folders = []
        self._ownership(result, inside, status, folders, root, owners)
        return result

    def _content(self, where: str, status: os.stat_result) -> Dict[str, Any]:
        key = (status.st_dev, status.st_ino, status.st_mtime_ns, "content")
        if key in self._binaries:
            return self._binaries[key]
        result: Dict[str, Any] = {"elf": None, "buildinfo": None, "error": None}
        descriptor = os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            image = elf.parse(elf.DescriptorReader(descriptor))
            result["elf"] = image.as_dict()
            result["buildinfo"] = buildinfo.read(image)
            if result["buildinfo"] is not None:
                # Linker flags may set a variable to a token.
                settings = result["buildinfo"]["settings"]
                result["buildinfo"]["settings"] = {name: redact.redact_text(value) for name, value in settings.items()}
        except ValueError as exc:
            result["error"] = str(exc)
        finally:
            os.close(descriptor)
        self._binaries[key] = result
        return result

    def _loader_exists(self, image: Mapping[str, Any], root: str) -> Optional[bool]:
        """Whether PT_INTERP is there, below the root that the program starts in: execve(2) fails with ENOENT where it is not.

        None where there is no interpreter, where it cannot be looked at, and for a program of another machine: an emulator
        may have a folder of its own for loaders (qemu-user's -L).
        """
        path = image["interpreter"]
        if not path or not path.startswith("/"):
            return None
        key = (root, path)
        if key not in self._loaders:
            exists: Optional[bool] = True
            try:
                self.resolve(path, root)
            except (FileNotFoundError, NotADirectoryError):
                exists = False
            except OSError:
                exists = None
            self._loaders[key] = exists
        own = goarch.OF_MACHINE.get(os.uname().machine)
        if self._loaders[key] is False and image["machine"] not in (own, _ALSO_RUNS.get(str(own))):
            return None
        return self._loaders[key]

    def _ownership(self, result: Dict[str, Any], inside: str, status: os.stat_result, folders: Sequence[str],
                   root: str, owners: Owners) -> None:
        """Owner and mode of every folder on the way, and who besides root and the file's owner could replace the file."""
        owner = result["owner"]
        result["writable_by"].extend(_writers(inside, status, owner, owners, folder=False))
        for folder in folders:
            try:
                one = os.stat(root.rstrip("/") + folder)
            except OSError:
                continue
            result["folders"].append({"path": folder, "owner": owners.user(one.st_uid),
                                      "group": owners.group(one.st_gid), "mode": "%04o" % stat.S_IMODE(one.st_mode)})
            result["writable_by"].extend(_writers(folder, one, owner, owners, folder=True))

    # --- one process

    def process(self, found: Optional[Found], pid: int) -> Optional[Dict[str, Any]]:
        """``Process`` of the facts; None where it ended in the meantime. ``found`` is None for a unit's main process that is
        no Go program or whose executable may not be read."""
        unreadable: List[str] = []

        def attempt(what: str, function: Callable[[], Any]) -> Any:
            try:
                return function()
            except (FileNotFoundError, ProcessLookupError):
                raise  # it ended
            except PermissionError:
                unreadable.append("%s: permission denied" % what)
            except (OSError, ValueError) as exc:
                unreadable.append("%s: %s" % (what, _why(exc)))
            return None

        try:
            status = found.status if found else procfs.parse_status(self.text(pid, "status"))
            process = found.stat if found else procfs.parse_stat(self.text(pid, "stat"))
            memberships = found.memberships if found else tuple(procfs.parse_cgroup(self._text_or_empty(pid, "cgroup")))
            exe = found.exe if found else attempt("exe", lambda: self._exe(pid))
            container = found.container if found else self._container(pid, self.relative(memberships), status)
            owners = self.owners(None if container is None else pid)
            descriptors = attempt("fds", lambda: os.listdir(self.proc(pid, "fd")))
            result: Dict[str, Any] = {
                "pid": pid, "ppid": status.ppid, "uid": status.uid, "user": owners.user(status.uid), "comm": status.name,
                "exe": exe.link if exe else None, "exe_deleted": exe.deleted if exe else None,
                "emulator": {"path": exe.emulator} if exe and exe.emulator else None,
                "argv": attempt("argv", lambda: self._arguments(pid, exe is not None and exe.emulator is not None)),
                "started": self._started(process), "go": True if found else False if exe else None,
                "limits": attempt("limits", lambda: procfs.parse_limits(self.text(pid, "limits"))),
                "fds": None if descriptors is None else {"open": len(descriptors)},
                "threads": status.threads, "rss": status.rss,
                "cgroup": attempt("cgroup", lambda: self.cgroup(memberships)),
                "environ": attempt("environ", lambda: self._environ(pid)),
                "listeners": [], "running": None, "same_file": None, "unreadable": unreadable,
            }
            if descriptors is None:
                result["listeners"] = None
            elif found is not None:
                result["listeners"] = attempt("listeners", lambda: self._listeners(pid, descriptors, unreadable))
            if exe is not None:
                root, result["same_file"] = self.on_disk(pid, exe)
                result["running"] = attempt("running", lambda: self.binary(exe.link, root, opened=exe.opened, owners=owners))
                if not exe.certain:
                    unreadable.append("same_file: the file that %s runs cannot be told from the one on disk" % exe.emulator)
                elif result["same_file"] is None:
                    unreadable.append("same_file: the file on disk cannot be looked at")
            return result
        except PermissionError:
            return self._closed(pid)  # hidepid=1: nothing of another user's process can be read
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None

    @staticmethod
    def _closed(pid: int) -> Dict[str, Any]:
        result: Dict[str, Any] = dict.fromkeys((
            "pid", "ppid", "uid", "user", "comm", "exe", "exe_deleted", "emulator", "argv", "started", "go", "limits", "fds",
            "threads", "rss", "cgroup", "environ", "listeners", "running", "same_file"))
        result.update(pid=pid, unreadable=["status: permission denied"])
        return result

    def on_disk(self, pid: int, exe: Exe) -> Tuple[str, Optional[bool]]:
        """(the root below which the executable's path counts, whether the running file is the one that lies there).

        The kernel prints the path as it is in the process's mount namespace, whatever chroot the process is in; and the root
        of another user's process needs privilege. So the host's own root is looked at as well.
        """
        own = self.root_of(pid)
        if not exe.certain:
            return own, None
        answer: Optional[bool] = None
        for place in (own, self.context.path("/")):
            try:
                other = os.stat(self.resolve(exe.link, place)[0])
            except (FileNotFoundError, NotADirectoryError):
                answer = False
                continue
            except OSError:
                continue
            if (other.st_dev, other.st_ino) == (exe.status.st_dev, exe.status.st_ino):
                return place, True
            answer = False
        return own, False if exe.deleted else answer

    def _started(self, process: procfs.Stat) -> Optional[str]:
        if self._boot is None:
            try:
                # btime stands behind one line a CPU and the interrupt counters.
                self._boot = procfs.boot_time(self.context.read("/proc/stat", 8 << 20))
            except (OSError, ValueError):
                self._boot = 0
        return _rfc3339(self._boot + process.started / self._ticks) if self._boot else None

    def _arguments(self, pid: int, emulated: bool) -> List[str]:
        program = self._program(pid) if emulated else None
        words = program[1] if program else self._words(pid)
        # Redacted before it is cut: a cut secret is still half a secret.
        return [word[:MAX_ARGUMENT] for word in redact.redact_argv(words)[:MAX_ARGUMENTS]]

    def hidden_units(self) -> Set[str]:
        """The system's services that the unreadable processes belong to: cgroups are readable by everybody."""
        result = set()
        for pid in self.unreadable:
            path = self.relative(procfs.parse_cgroup(self._text_or_empty(pid, "cgroup")))
            unit = cgroup.unit_of(path)
            if unit.name and unit.manager == "system" and not _is_session(unit) and cgroup.container_of(path) is None:
                result.add(unit.name)
        return result

    def is_go_file(self, path: str) -> bool:
        """Whether the file on disk is a Go program, as far as that can be told."""
        try:
            real = self.resolve(path, self.context.path("/"))[0]
            status = os.stat(real)
            return stat.S_ISREG(status.st_mode) and self.is_go(real, status)
        except OSError:
            return False

    def started_as(self, found: Found) -> Optional[str]:
        """The first argument: by it a process is known whose path has since become a link to something else."""
        try:
            program = self._program(found.pid) if found.exe.emulator else None
            return program[0] if program else (self._words(found.pid) or [""])[0]
        except OSError:
            return None

    def _environ(self, pid: int) -> Dict[str, str]:
        environ = procfs.parse_environ(self.context.read_bytes("/proc/%d/environ" % pid, 1 << 20))
        return redact.redact_environ({name: environ[name][:MAX_ARGUMENT] for name in VARIABLES if name in environ})

    def _listeners(self, pid: int, descriptors: Sequence[str], unreadable: List[str]) -> List[Dict[str, Any]]:
        numbers = sorted(int(name) for name in descriptors if name.isdigit())
        if len(numbers) > MAX_DESCRIPTORS:
            unreadable.append("listeners: of %d descriptors only the first %d were looked at" % (len(numbers), MAX_DESCRIPTORS))
        inodes: List[int] = []
        prefix = self.proc(pid, "fd/")
        for number in numbers[:MAX_DESCRIPTORS]:
            try:
                inode = procfs.socket_inode(os.readlink(prefix + str(number)))
            except FileNotFoundError:
                continue  # closed in the meantime
            if inode is not None and inode not in inodes[-1:]:
                inodes.append(inode)
        if not inodes:
            return []
        listening = self._network(pid)
        seen = sorted({inode for inode in inodes if inode in listening})
        result = [procfs.as_listener(listening[inode]) for inode in seen]
        return sorted(result, key=lambda one: (one["proto"], one["port"] or 0, one["address"] or "", one["path"] or ""))

    def _network(self, pid: int) -> Dict[int, procfs.Listener]:
        """The listening sockets of the process's network namespace by inode; each namespace is read once."""
        namespace = os.readlink(self.proc(pid, "ns/net"))
        if namespace not in self._networks:
            table: Dict[int, procfs.Listener] = {}
            for proto in ("tcp", "tcp6"):
                for one in self._tcp(pid, proto):
                    table[one.inode] = one
            try:
                for one in procfs.parse_net_unix(self.text(pid, "net/unix", MAX_NET)):
                    table[one.inode] = one
            except FileNotFoundError:
                if not os.path.isdir(self.proc(pid, "fd")):
                    raise
            self._networks[namespace] = table
        return self._networks[namespace]

    def _tcp(self, pid: int, proto: str) -> List[procfs.Listener]:
        result: List[procfs.Listener] = []
        path = self.proc(pid, "net/" + proto)
        if not os.path.exists(path) and os.path.isdir(self.proc(pid, "fd")):
            return []  # a kernel without IPv6
        with open(path, "rb") as handle:
            rest = b""
            for _round in range(MAX_NET // NET_CHUNK):
                data = handle.read(NET_CHUNK)
                lines, newline, rest = (rest + data).rpartition(b"\n")
                text = lines.decode("ascii", "replace")
                if not data or (newline and " 0A " not in text):
                    break
                result.extend(procfs.parse_net_tcp(text, proto=proto))
        return result

    # --- cgroups

    def cgroup(self, memberships: Sequence[procfs.Membership]) -> Optional[Dict[str, Any]]:
        if not memberships:
            return None
        path = self.relative(memberships)
        key = "|".join(one.path for one in memberships)
        if key not in self._cgroups:
            if self._mounts is None:
                try:
                    self._mounts = procfs.parse_mountinfo(self.context.read("/proc/self/mountinfo", 8 << 20))
                except OSError:
                    self._mounts = []
            self._cgroups[key] = self._limits(path, cgroup.directories(memberships, self._mounts))
        return self._cgroups[key]

    def _limits(self, path: str, places: Mapping[str, Tuple[str, str]]) -> Dict[str, Any]:
        result: Dict[str, Any] = {"path": path, "memory_max": None, "memory_high": None, "memory_current": None,
                                  "cpu_quota": None, "pids_max": None, "pids_current": None, "effective": {}}
        files = (
            ("memory_max", "memory", "memory.limit_in_bytes", "memory.max"),
            ("memory_high", "memory", "", "memory.high"),
            ("memory_current", "memory", "memory.usage_in_bytes", "memory.current"),
            ("pids_max", "pids", "pids.max", "pids.max"),
            ("pids_current", "pids", "pids.current", "pids.current"),
            ("cpu_quota", "cpu", "cpu.cfs_quota_us", "cpu.max"),
        )
        for key, controller, old, new in files:
            # A controller is either of v1 or of v2 (cgroups(7)).
            mount, below = places.get(controller) or places.get("unified") or ("", "")
            name = old if controller in places else new
            if not mount or not name:
                continue
            values = []
            for folder in cgroup.ancestors(below):
                value = self._amount(mount + folder.rstrip("/") + "/" + name, key)
                if folder == below.rstrip("/") or below == "/":
                    result[key] = value
                    if value is None or key in ("memory_current", "pids_current"):
                        break
                if value not in (None, "max"):
                    values.append((value, folder))
            if values:
                # Own and parents' limits hold together: the tightest is what the process meets.
                value, folder = min(values, key=lambda one: one[0])
                result["effective"][key] = {"value": value, "path": folder}
        return result

    def _amount(self, path: str, key: str) -> Any:
        try:
            text = self.context.read(path, 4096)
            if key != "cpu_quota":
                return cgroup.parse_amount(text)
            if path.endswith("cpu.max"):
                return cgroup.parse_cpu_max(text)
            return cgroup.parse_cfs(text, self.context.read(path[:-len("quota_us")] + "period_us", 4096))
        except (OSError, ValueError):
            return None


def _writers(path: str, status: os.stat_result, owner: str, owners: Owners, *, folder: bool) -> Iterable[str]:
    """Who besides root and the file's owner could put another file in its place."""
    mode = stat.S_IMODE(status.st_mode)
    if folder and mode & stat.S_ISVTX:
        return  # as /tmp: only the owner of an entry may replace it
    if folder and status.st_uid != 0 and owners.user(status.st_uid) != owner:
        yield "%s belongs to %s (%04o)" % (path, owners.user(status.st_uid), mode)
    if mode & stat.S_IWOTH:
        yield "%s is writable by everybody (%04o)" % (path, mode)
    elif mode & stat.S_IWGRP and status.st_gid != 0 and not owners.private(status.st_gid, owner):
        yield "%s is writable by group %s (%04o)" % (path, owners.group(status.st_gid), mode)


def _parents(path: str) -> List[str]:
    """Every folder above an absolute path, the nearest first."""
    parts = [part for part in path.split("/") if part][:-1]
    return ["/" + "/".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _why(exc: BaseException) -> str:
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno).lower()
    return str(exc)


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(0.0, min(seconds, 253402300799.0))))


# --- systemd

class Manager:
    """What the system's service manager says, asked once for all units."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.running = os.path.isdir(context.path("/run/systemd/system"))
        self.error: Optional[BaseException] = None
        self.directives: Optional[Dict[str, Dict[str, str]]] = None
        self.version: Optional[str] = None
        self.units: Dict[str, Dict[str, str]] = {}

    def ask(self, names: Sequence[str]) -> None:
        """Properties of the units, and meanwhile the directives that this systemd knows."""
        if not self.running:
            self.error = Unavailable("systemd is not the init system here")
            return
        if not names:
            return
        helper = threading.Thread(target=self._ask_directives, daemon=True)
        helper.start()
        try:
            status, out, err = self.context.run(
                ["systemctl", "show", "--no-pager", "--property=" + ",".join(PROPERTIES), "--"] + list(names), timeout=8.0)
            blocks = systemd.parse_show(out)
            if len(blocks) != len(names):
                message = err.strip().split("\n")[0] or "systemctl show answered for %d of %d units" % (len(blocks), len(names))
                raise Unavailable("systemctl: %s (rc %d)" % (message[:200], status))
            self.units = dict(zip(names, blocks))
        except (Unavailable, TimeoutError, OSError) as exc:
            self.error = exc
        helper.join(self.context.remaining())

    def _ask_directives(self) -> None:
        for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd"):
            try:
                _status, out, _err = self.context.run([path, "--dump-configuration-items"], timeout=8.0)
                self.directives = systemd.parse_configuration_items(out)
                return
            except (Unavailable, TimeoutError, OSError, ValueError):
                continue

    def properties(self, name: Optional[str]) -> Optional[Dict[str, str]]:
        """Properties for the facts: as systemctl prints them, secrets hidden."""
        raw = self.units.get(name or "")
        if raw is None:
            return None
        result = dict(raw)
        if "ExecStart" in result:
            result["ExecStart"] = redact.redact_text(result["ExecStart"])
        if "Environment" in result:
            result["Environment"] = systemd.only_go_variables(result["Environment"])
        return result

    def unit_files(self, name: Optional[str]) -> List[Dict[str, Any]]:
        """The fragment and the drop-ins, in the order in which systemd reads them."""
        raw = self.units.get(name or "")
        if raw is None:
            return []
        paths = [raw.get("FragmentPath", "")] + systemd.split_words(raw.get("DropInPaths", ""))
        result = []
        for path in paths:
            if not path.startswith("/"):
                continue
            try:
                status = os.stat(self.context.path(path))
                if not stat.S_ISREG(status.st_mode):
                    continue  # a masked unit is a link to /dev/null
                text = self.context.read(path)
            except OSError as exc:
                result.append({"path": path, "directives": [], "problems": [], "error": _why(exc)})
                continue
            kind = (name or "").rpartition(".")[2]
            entry = systemd.as_dict(path, systemd.parse_unit_file(text, kind=kind, known=self.directives))
            entry["error"] = None
            result.append(entry)
        return result

    def ignored_files(self, name: Optional[str]) -> List[str]:
        """Files in the unit's drop-in folders that systemd does not read, because their names do not end in .conf."""
        result: List[str] = []
        if name is None or name not in self.units:
            return result
        for place in ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"):
            folder = "%s/%s.d" % (place, name)
            try:
                entries = os.listdir(self.context.path(folder))
            except OSError:
                continue
            # Editors' and package managers' leftovers are meant to be ignored.
            result += ["%s/%s" % (folder, one) for one in sorted(entries) if not one.endswith((".conf", "~", ".dpkg-old"))
                       and not one.startswith(".") and ".dpkg-" not in one and ".rpm" not in one and ".ucf-" not in one
                       and not one.endswith((".swp", ".bak", ".orig", ".old", ".disabled", ".off", ".save"))
                       and not one.lower().startswith("readme")]
        return result


# --- services

def _is_session(unit: cgroup.Unit) -> bool:
    return unit.name is not None and re.match(_SESSION_UNITS, unit.name) is not None


def _is_toolchain(binary: Optional[Mapping[str, Any]]) -> bool:
    """The go command, the compiler and their like (packages cmd/...)."""
    info = (binary or {}).get("buildinfo") or {}
    return str(info.get("path") or "").startswith("cmd/")


def _listens(process: Mapping[str, Any]) -> bool:
    """Abstract sockets do not count: the docker command line has one while it runs a plugin."""
    return any(one["port"] is not None or (one["path"] or "@")[0] == "/" for one in process["listeners"] or ())


def services(context: Context) -> List[Dict[str, Any]]:
    """``services.services`` of the facts: the declared ones in their order, then the discovered ones by name."""
    scan = Scan(context)
    context.shared["services.scan"] = scan
    scan.run()
    manager = Manager(context)
    context.shared["services.manager"] = manager
    declared = [dict(one) for one in context.services]
    for one in declared:
        one["wanted"] = systemd.unit_name(str(one.get("unit") or one["name"]))
    names = {one["wanted"] for one in declared if one["wanted"]}
    names |= {found.unit.name for found in scan.found
              if found.unit.name and found.unit.manager == "system" and not _is_session(found.unit)
              and systemd.unit_name(found.unit.name) == found.unit.name}
    hidden = {name for name in scan.hidden_units() if systemd.unit_name(name) == name} - names
    manager.ask(sorted(names | hidden))

    taken: Set[int] = set()
    result = [_declared(scan, manager, one, taken) for one in declared]
    used = {str(one["name"]) for one in result}
    result += _discovered(scan, manager, taken, used, hidden)
    return result


def _declared(scan: Scan, manager: Manager, one: Mapping[str, Any], taken: Set[int]) -> Dict[str, Any]:
    name, wanted, path = str(one["name"]), one["wanted"], one.get("binary")
    raw = manager.units.get(wanted) if wanted else None
    loaded = raw is not None and raw.get("LoadState") != "not-found"
    members: List[Found] = []
    unit: Optional[str] = wanted
    manager_name: Optional[str] = "system" if wanted else None
    if loaded or raw is None or one.get("unit"):
        # An alias stands for the unit's own name, which is the one the cgroup has.
        own = (raw or {}).get("Id") or wanted
        members = [found for found in scan.found if found.unit.name == own and found.unit.manager == "system"]
        if not members and not loaded:
            members = [found for found in scan.found if found.unit.name == own and found.unit.manager == "user"]
            manager_name = "user" if members else manager_name
    if not members and not loaded:
        members = _by_file(scan, name, str(path) if path else None, manager.running)
        if members:
            first = members[0]
            unit = first.unit.name if first.container is None and not _is_session(first.unit) else None
            manager_name = first.unit.manager if unit else None
            members = [found for found in members if found.unit.name == first.unit.name and found.container == first.container]
            raw = manager.units.get(unit or "")
        elif not one.get("unit") and path and not manager.running:
            unit = manager_name = None
    if not manager.running and not members:
        unit = manager_name = None
    main = int(raw["MainPID"]) if raw and manager_name == "system" and raw.get("MainPID", "").isdigit() else 0
    return _service(scan, manager, name, True, unit, manager_name, members, main, str(path) if path else None, taken)


def _by_file(scan: Scan, name: str, path: Optional[str], has_systemd: bool) -> List[Found]:
    """The processes that run the declared file; without one and without systemd, those of the declared name."""
    if path:
        names = {path}
        key: Optional[Tuple[int, int]] = None
        try:
            real, inside, _passed = scan.resolve(path, scan.context.path("/"))
            names.add(inside)
            status = os.stat(real)
            key = (status.st_dev, status.st_ino)
        except OSError:
            pass
        return [found for found in scan.found
                if (found.exe.status.st_dev, found.exe.status.st_ino) == key
                or (found.container is None and (found.exe.link in names or scan.started_as(found) == path))
                or (key is None and found.exe.link == path)]
    if not has_systemd:
        return [found for found in scan.found if os.path.basename(found.exe.link) == name and found.container is None]
    return []


def _discovered(scan: Scan, manager: Manager, taken: Set[int], used: Set[str], hidden: Set[str]) -> List[Dict[str, Any]]:
    groups: Dict[Tuple[Any, ...], List[Found]] = {}
    for found in scan.found:
        if found.pid in taken:
            continue
        key: Tuple[Any, ...]
        if found.container is not None:
            key = ("container", found.container["runtime"], found.container["id"], found.exe.link)
        elif found.unit.name and not _is_session(found.unit):
            key = ("unit", found.unit.manager, found.unit.user, found.unit.name)
        else:
            key = ("none", found.exe.link, found.status.uid)
        groups.setdefault(key, []).append(found)
    result = []
    plain = {key: key[3][:-len(".service")] if key[0] == "unit" else os.path.basename(members[0].exe.link)
             for key, members in groups.items()}
    shared = list(plain.values()) + list(used)
    for key in sorted(groups, key=lambda one: tuple(str(part) for part in one)):
        members = groups[key]
        kind = key[0]
        unit = key[3] if kind == "unit" else None
        manager_name = key[1] if kind == "unit" else None
        raw = manager.units.get(unit or "") if manager_name == "system" else None
        main = int(raw["MainPID"]) if raw and raw.get("MainPID", "").isdigit() else 0
        # Results are told apart by the name: it has to differ from others, and to be the same on the next run. Of several
        # that share one, the system's unit has it alone.
        name = plain[key]
        if name in used or (shared.count(name) > 1 and manager_name != "system"):
            detail = {"system": unit}.get(str(manager_name), key[1] if kind == "none" else ("%s %s" % (key[1], key[2])).strip())
            name = "%s (%s)" % (name, detail)
        number = 2
        base = name
        while name in used:
            name = "%s #%d" % (base, number)
            number += 1
        service = _service(scan, manager, name, False, unit, manager_name, members, main, None, taken)
        running = [one for one in service["processes"] if one["go"]]
        if not running or all(_is_toolchain(one["running"]) for one in running):
            continue
        if kind == "none" and not any(_listens(one) for one in running):
            continue
        used.add(name)
        result.append(service)
    for unit in sorted(hidden):
        # Without privilege a process cannot be told to be a Go program, but the file that its unit starts can.
        raw = manager.units.get(unit, {})
        command = systemd.parse_exec(raw.get("ExecStart", ""))
        name = unit[:-len(".service")]
        main = int(raw["MainPID"]) if raw.get("MainPID", "").isdigit() else 0
        if command and main and name not in used and scan.is_go_file(command[0]):
            used.add(name)
            result.append(_service(scan, manager, name, False, unit, "system", [], main, None, taken))
    return sorted(result, key=lambda one: str(one["name"]))


def _service(scan: Scan, manager: Manager, name: str, declared: bool, unit: Optional[str], manager_name: Optional[str],
             members: Sequence[Found], main: int, path: Optional[str], taken: Set[int]) -> Dict[str, Any]:
    known = unit if manager_name == "system" else None
    raw = manager.units.get(known or "")
    ordered = sorted(members, key=lambda found: (found.pid != main, found.pid))
    processes: List[Dict[str, Any]] = []
    for found in ordered[:MAX_PROCESSES]:
        one = scan.process(found, found.pid)
        if one is not None:
            processes.append(one)
    if main and main not in [found.pid for found in members]:
        # The unit's main process is no Go program (a wrapper script), or may not be read.
        one = scan.process(None, main)
        if one is not None:
            processes.insert(0, one)
    taken.update(found.pid for found in members)
    command = systemd.parse_exec(raw.get("ExecStart", "")) if raw else None
    unit_files = manager.unit_files(known)
    binary: Optional[Dict[str, Any]] = None
    if path or command:
        binary = scan.binary(path or (command or ("", []))[0], scan.context.path("/"))
        if binary["elf"] is not None and _has_other_view(raw or {}, unit_files):
            binary["elf"]["interpreter_exists"] = None
    elif ordered:
        first = ordered[0]
        owners = scan.owners(first.pid if first.container is not None else None)
        binary = scan.binary(first.exe.link, scan.on_disk(first.pid, first.exe)[0], owners=owners)
    return {
        "name": name, "declared": declared, "unit": unit, "manager": manager_name,
        "manager_user": scan.owners().user(members[0].unit.user) if members and members[0].unit.user is not None
        and manager_name == "user" else None,
        "container": next((found.container for found in ordered if found.container is not None), None),
        "properties": manager.properties(known), "unit_files": unit_files,
        "ignored_files": manager.ignored_files(known),
        "exec": {"path": command[0], "argv": redact.redact_argv(command[1])} if command else None,
        "main_pid": main or None, "binary": binary, "processes": processes,
        "more_processes": max(0, len(members) - MAX_PROCESSES),
    }


def _has_other_view(raw: Mapping[str, str], unit_files: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a unit's processes may see other files than we do."""
    return bool(raw.get("RootDirectory")) or any(
        directive["name"] in _OTHER_VIEW and directive["value"] for one in unit_files for directive in one["directives"])


def unreadable(context: Context) -> Dict[str, Any]:
    """How many processes could not be told to be Go programs or not, because another user's executable is not readable."""
    scan = context.shared.get("services.scan")
    if scan is None:
        raise Unavailable("the processes were not read")
    if scan.unreadable and scan.unanswered:
        reason: Optional[str] = "; ".join(sorted(why for why in scan.silent.values() if why))
    elif scan.hidden:
        reason = "/proc hides the processes of other users (hidepid)"
    elif scan.unreadable and os.geteuid() == 0:
        reason = "the executables of some processes may not be read, even by root (a security module, a missing capability)"
    elif scan.unreadable:
        reason = "the executables of other users' processes are readable by root only"
    else:
        reason = None
    return {"processes": len(scan.unreadable), "commands": sorted(set(scan.unreadable.values()))[:50], "hidden": scan.hidden,
            "reason": reason}


def manager(context: Context) -> Dict[str, Any]:
    """Whether systemd answered. Raises what went wrong, so that it becomes an entry of ``errors``."""
    one = context.shared.get("services.manager")
    if one is None:
        raise Unavailable("systemd was not asked")
    if one.error is not None:
        raise one.error
    # What systemd has itself: where it may not raise a limit (a container), no service gets more than this.
    try:
        nofile = procfs.parse_limits(context.read("/proc/1/limits")).get("nofile")
    except (OSError, ValueError):
        nofile = None
    return {"asked": len(one.units), "directives_known": one.directives is not None, "nofile": nofile}


def limits_conf(context: Context) -> List[Dict[str, Any]]:
    """What limits.conf and limits.d set for logins, in the order in which pam_limits reads them."""
    folder = "/etc/security/limits.d"
    try:
        # pam_limits sorts them in the C locale: by their bytes.
        names = sorted((name for name in os.listdir(context.path(folder)) if limitsconf.is_read(name)), key=os.fsencode)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    result: List[Dict[str, Any]] = []
    for path in ["/etc/security/limits.conf"] + [folder + "/" + name for name in names]:
        try:
            if not stat.S_ISREG(os.stat(context.path(path)).st_mode):
                continue
            lines = limitsconf.parse(context.read(path), MAX_CONF_LINES - len(result))
        except (FileNotFoundError, NotADirectoryError):
            continue  # no PAM on this host
        except OSError as exc:
            context.note("services.limits_conf", exc, path)
            continue
        result.extend(dict(path=path, **one._asdict()) for one in lines)
        if len(result) >= MAX_CONF_LINES:
            break
    return result


PARTS = (("services", services), ("unreadable", unreadable), ("systemd", manager), ("limits_conf", limits_conf))
