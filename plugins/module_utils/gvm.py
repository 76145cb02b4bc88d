# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gvm itself: where its things are, how it is run, installed at one commit, and removed.

gvm is shell code that is sourced (https://github.com/moovweb/gvm, scripts/). It wants bash without ``set -e`` and
``set -u``, a TERM, a list of commands, and it matches version names as substrings of regular expressions. So it is always
called here with an environment of our own and full names, and what it did is looked at afterwards.
"""
from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple
from urllib.parse import urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import changing, emulator, redact, userfiles
from ansible_collections.goready.preflight.plugins.module_utils.collect import toolchain
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
from ansible_collections.goready.preflight.plugins.module_utils.readfile import read_regular
from ansible_collections.goready.preflight.plugins.module_utils.userfiles import Identity, acting_as

DEFAULT_ROOT = "/opt/gvm"
REPOSITORY = "https://github.com/moovweb/gvm.git"
#: The newest commit, of 2023-08-14.
COMMIT = "dd652539fa4b771840846f8319fad303c7d0a8d2"

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What gvm calls (scripts/gvm-check, scripts/function/tools, scripts/install) and Debian's package of it.
COMMANDS = (
    ("bash", "bash"), ("git", "git"), ("ar", "binutils"), ("bison", "bison"), ("gcc", "gcc"), ("make", "make"), ("curl", "curl"),
    ("hexdump", "bsdextrautils"), ("tar", "tar"), ("gzip", "gzip"),
)
#: Folders of systemd.unit(5), those of system units and of users' units for the whole host.
UNIT_FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd")
UNIT_LIMIT = 1 << 20
#: A kernel that emulates another machine runs programs at about a tenth of the speed.
EMULATED_FACTOR = 10

_STAGING = ".goready-staging"


class GvmError(Exception):
    """It cannot be done; the text is one sentence or a few, for whoever runs the playbook."""


def identity(user: str) -> Identity:
    """The named user. GvmError where there is none, or where we may not act for it."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise GvmError("user: there is no user %r on this host" % user) from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise GvmError("user: only root, or %s itself, can install for %s; become one of them" % (user, user))
    return userfiles.identity(entry.pw_name, entry.pw_uid, entry.pw_gid)


@contextlib.contextmanager
def as_called() -> Iterator[None]:
    """Inside :func:`acting_as`, be again who runs the module: an archive that Ansible has pushed lies in that one's own folder."""
    uid = os.geteuid()
    if os.getuid() != 0 or uid == 0:
        yield
        return
    os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(uid)


class Deadline:
    """A moment of the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.end = time.monotonic() + seconds

    def left(self, what: str) -> float:
        """Seconds that remain. GvmError where none do."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise GvmError("timeout: %s was not done within %d s" % (what, self.seconds))
        return left


def run(argv: Sequence[str], who: Identity, *, env: Dict[str, str], cwd: str, deadline: Deadline, what: str,
        pass_fds: Tuple[int, ...] = ()) -> Tuple[int, str]:
    """(rc, both outputs together) of a command that runs as ``who``. Ended with its children at the deadline: GvmError.

    ``pass_fds`` are left open: a lock that the command inherits lasts as long as anything of it, also where we are killed.
    """
    drop = os.getuid() == 0 and who.uid != 0

    def become() -> None:
        os.umask(0o022)
        if drop:
            os.seteuid(0)
            os.setgroups(list(who.groups))
            os.setgid(who.gid)
            os.setuid(who.uid)

    seconds = deadline.left(what)
    process = subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd,
                               env=env, start_new_session=True, preexec_fn=become, pass_fds=pass_fds)
    try:
        output, _nothing = process.communicate(timeout=seconds)
    except BaseException as exc:
        # The command may have ended and its children not. Nobody has waited for it yet, so the group's number is still its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        if isinstance(exc, subprocess.TimeoutExpired):
            raise GvmError("timeout: %s was not done within %d s" % (what, deadline.seconds)) from None
        raise
    return process.returncode, output.decode("utf-8", "replace")


@contextlib.contextmanager
def locked(layout: Layout, deadline: Deadline) -> Iterator[int]:
    """A lock on the folder of a gvm, as a descriptor for the commands that are started there to inherit: what a killed call
    has started holds it still, and is waited for."""
    handle = os.open(layout.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                deadline.left("waiting for what an earlier call has started in %s" % layout.root)
                time.sleep(0.2)
        yield handle
    finally:
        os.close(handle)


def require_owner(layout: Layout, who: Identity) -> None:
    """GvmError where the gvm belongs to somebody else: its scripts must run as nobody but their owner."""
    uid = os.stat(layout.root).st_uid
    if uid != who.uid:
        try:
            owner = pwd.getpwuid(uid).pw_name
        except KeyError:
            owner = str(uid)
        raise GvmError("user: %s belongs to %s, and not to %s" % (layout.root, owner, who.name))


def require_closed(layout: Layout, who: Identity, name: str = "") -> None:
    """:func:`require_owner`, and GvmError where others than the owner and root could change what is run as the owner: the
    folders above, gvm's scripts and environments, the program of the Go version ``name``."""
    require_owner(layout, who)
    _refuse_open(_chain(layout.root), {who.uid}, parents_from=1)
    places = [os.path.join(layout.root, one) for one in ("archive", "gos", "pkgsets", ".goready")]
    for one in ("scripts", "environments"):
        for folder, _folders, files in os.walk(os.path.join(layout.root, one)):
            places += [folder, *(os.path.join(folder, file) for file in files)]
    if name:
        places += [os.path.join(layout.goroot(name), one) for one in ("", "bin", "bin/go")]
    _refuse_open(places, {who.uid})


def _chain(path: str) -> List[str]:
    """A path and every folder above it, without symbolic links."""
    real = os.path.realpath(path)
    return [real, *toolchain.parents_of(real)]


def _refuse_open(paths: Sequence[str], trusted: Set[int], *, parents_from: Optional[int] = None) -> None:
    """GvmError where one of the paths (those that are there) can be changed by others than ``trusted`` and root."""
    accounts = toolchain.accounts_of(Context())
    for index, path in enumerate(paths):
        try:
            about = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        above = parents_from is not None and index >= parents_from
        for words, _uid in toolchain.open_to(about, accounts, trusted | {0}, parent=above):
            raise GvmError("gvm_root: others could change what is run there: %s %s; close it to them first" % (path.rstrip("/"), words))


def tail(text: str, lines: int = 6) -> str:
    """The last lines of an output for a message, without colours and credentials."""
    plain = re.sub(r"\x1b[\[(][0-9;]*[A-Za-z]", "", text)
    kept = [line.strip() for line in plain.splitlines() if line.strip()][-lines:]
    return redact.redact_text(" | ".join(kept)) or "it said nothing"


def missing_commands(path: str = SYSTEM_PATH) -> List[Tuple[str, str]]:
    """(command, package) of everything that gvm needs and the host lacks."""
    return [(command, package) for command, package in COMMANDS if shutil.which(command, path=path) is None]


def require_commands(problems: List[str], check_mode: bool) -> None:
    """GvmError that names what is missing; in check mode a problem, as an earlier task may be about to install it."""
    missing = missing_commands()
    if not missing:
        return
    text = "gvm needs %s, which this host lacks (packages: %s)" % (
        ", ".join(command for command, _package in missing), " ".join(sorted({package for _command, package in missing})))
    if not check_mode:
        raise GvmError(text)
    problems.append(text)


def is_emulated(machine: str, cpuinfo: str) -> bool:
    """Whether /proc/cpuinfo is that of another kind of machine than ``uname -m`` says (user-mode emulation)."""
    if machine in ("aarch64", "arm64"):
        return re.search(r"^CPU implementer\s*:", cpuinfo, re.M) is None
    if machine == "x86_64":
        return re.search(r"^flags\s*:", cpuinfo, re.M) is None
    return False


def slowness() -> int:
    """By what the deadlines of programs are multiplied on this host."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            text = stream.read(1 << 20)
    except OSError:
        return 1
    return EMULATED_FACTOR if is_emulated(os.uname().machine, text) else 1


class Layout:
    """The paths of one gvm, see its scripts/install and scripts/env/use."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.staging = os.path.join(root, _STAGING)
        self.own = os.path.join(root, ".goready")
        self.default = os.path.join(root, "environments", "default")
        self.archives = os.path.join(root, "archive")

    def goroot(self, name: str) -> str:
        return os.path.join(self.root, "gos", name)

    def environment(self, name: str) -> str:
        return os.path.join(self.root, "environments", name)

    def packages(self, name: str) -> str:
        return os.path.join(self.root, "pkgsets", name)

    def archive(self, name: str, arch: str) -> str:
        return os.path.join(self.archives, "%s.linux-%s.tar.gz" % (name, arch))

    def record(self, name: str) -> str:
        return os.path.join(self.own, "%s.json" % name)

    def unfinished(self, name: str) -> str:
        return os.path.join(self.own, "%s.unfinished" % name)

    def installed(self) -> bool:
        """Whether there is a whole gvm: ``scripts`` is what comes last."""
        return os.path.isfile(os.path.join(self.root, "scripts", "gvm")) and not os.path.lexists(self.staging)


def check_root(root: str) -> str:
    """The path of a gvm without a trailing slash. ValueError for one that gvm's scripts, which quote nothing, cannot bear."""
    if not re.fullmatch(r"(?:/[A-Za-z0-9._@+-]+)+/?", root) or "/../" in root + "/" or "/./" in root + "/":
        raise ValueError("gvm_root: %r is no absolute path of letters, digits and . _ @ + - (gvm does not quote its paths)" % root)
    return root.rstrip("/")


def parse_head(gitdir: Dict[str, str]) -> Optional[str]:
    """The commit that HEAD names. ``gitdir``: text of ``HEAD``, ``packed-refs`` and of the loose refs by their path."""
    head = gitdir.get("HEAD", "").strip()
    for _step in range(5):
        if re.fullmatch(r"[0-9a-f]{40}", head):
            return head
        if not head.startswith("ref: "):
            return None
        name = head[len("ref: "):].strip()
        found = gitdir.get(name, "").strip()
        if not found:
            packed = re.search(r"^([0-9a-f]{40}) %s$" % re.escape(name), gitdir.get("packed-refs", ""), re.M)
            found = packed.group(1) if packed else ""
        head = found
    return None


def installed_commit(root: str) -> Optional[str]:
    """The commit of an installed gvm, None where it does not tell. Its installer moves ``.git`` to ``git.bak``."""
    for folder in ("git.bak", ".git"):
        files: Dict[str, str] = {}
        for name in ("HEAD", "packed-refs"):
            files[name] = read_text(os.path.join(root, folder, name))
        found = re.match(r"ref: (refs/[A-Za-z0-9._/-]+)\s*\Z", files["HEAD"])
        if found and ".." not in found.group(1):
            files[found.group(1)] = read_text(os.path.join(root, folder, found.group(1)))
        commit = parse_head(files)
        if commit:
            return commit
    return None


def read_text(path: str, limit: int = UNIT_LIMIT) -> str:
    """A file's text; empty where there is none, or something that must not be waited for."""
    try:
        return read_regular(path, limit).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def shell_environment(root: str, who: Identity, scratch: str) -> Dict[str, str]:
    """The environment in which gvm's scripts run: nothing of the caller's but its proxies."""
    env = {
        "PATH": SYSTEM_PATH, "HOME": scratch, "TMPDIR": scratch, "USER": who.name, "LOGNAME": who.name, "SHELL": "/bin/bash",
        "LC_ALL": "C", "LANG": "C", "TERM": "dumb", "GVM_DIRECTORY": root, "GVM_NO_UPDATE_PROFILE": "1",
        # gvm shall take the archive that was verified; it must never download one by itself.
        "GO_BINARY_BASE_URL": "file:///dev/null",
        # root's tar would give the files to whatever user id the archive names.
        "TAR_OPTIONS": "--no-same-owner",
        "GOENV": "off", "GOTOOLCHAIN": "local", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "0",
    }
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        for spelled in (name, name.upper()):
            if spelled in os.environ:
                env[spelled] = os.environ[spelled]
    return env


# gvm is a function that the sourced script defines; `source` itself ends with the result of an unrelated command.
_CALL = 'source "$GVM_DIRECTORY/scripts/gvm" >/dev/null 2>&1; declare -F gvm >/dev/null || { ' \
        'echo "$GVM_DIRECTORY/scripts/gvm defines no gvm"; exit 97; }; gvm "$@"'


def call(layout: Layout, arguments: Sequence[str], who: Identity, *, scratch: str, deadline: Deadline,
         pass_fds: Tuple[int, ...] = ()) -> Tuple[int, str]:
    """``gvm ARGUMENTS`` in a fresh bash: (rc, output)."""
    return run(["bash", "--noprofile", "--norc", "-c", _CALL, "gvm", *arguments], who, cwd="/", deadline=deadline,
               env=shell_environment(layout.root, who, scratch), what="gvm %s" % " ".join(arguments), pass_fds=pass_fds)


def remove_tree(path: str) -> None:
    """Remove whatever is at ``path``. Go's module cache is read-only folders, which an ordinary user has to open first."""
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    if os.geteuid() != 0:
        for folder, _folders, _files in os.walk(path):
            if not os.stat(folder).st_mode & stat.S_IWUSR:
                os.chmod(folder, 0o700)
    shutil.rmtree(path)


def below(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(root + "/") for root in roots)


def mentions(text: str, roots: Iterable[str]) -> Optional[int]:
    """The line (from 1) that names one of the folders or something in it; comments do not count."""
    names = re.compile("|".join(r"%s(?![A-Za-z0-9._+@-])" % re.escape(root) for root in roots))
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith(("#", ";")) and names.search(line):
            return number
    return None


def in_use(roots: Sequence[str], *, proc: str = "/proc", unit_folders: Sequence[str] = UNIT_FOLDERS) -> List[str]:
    """Who uses something in the folders: running processes by their executable, and unit files that name it, also by
    their EnvironmentFile=. Without root, other users' processes are not seen."""
    found: List[str] = []
    # The kernel tells programs without symbolic links; units are written as people call it.
    roots = list(dict.fromkeys([*roots, *(os.path.realpath(root) for root in roots)]))
    for name in sorted((entry for entry in os.listdir(proc) if entry.isdigit()), key=int):
        try:
            program = os.readlink(os.path.join(proc, name, "exe"))
            if emulator.is_emulator(program):
                with open(os.path.join(proc, name, "cmdline"), "rb") as stream:
                    words = [word.decode("utf-8", "replace") for word in stream.read(1 << 16).split(b"\0")]
                emulated = emulator.program(words, True) or emulator.program(words, False)
                program = emulated[0] if emulated else program
        except OSError:
            continue  # it has ended, is a kernel thread, or is another user's
        if below(program, roots):
            found.append("process %s runs %s" % (name, program))
    seen = set()
    for path in _unit_files(unit_folders):
        if os.path.realpath(path) in seen:
            continue
        seen.add(os.path.realpath(path))
        text = read_text(path)
        line = mentions(text, roots)
        if line is not None:
            found.append("%s names it in line %d" % (path, line))
            continue
        for other in re.findall(r"^\s*EnvironmentFile\s*=\s*-?(/[^\s%*?\[]+)", text, re.M):
            line = mentions(read_text(other), roots)
            if line is not None:
                found.append("%s names it in line %d of its EnvironmentFile %s" % (path, line, other))
    return found


def _unit_files(folders: Sequence[str]) -> Iterator[str]:
    for folder in folders:
        for place, names, files in os.walk(folder):
            names.sort()
            for name in sorted(files):
                if name.endswith((".conf", ".service", ".socket", ".timer", ".path", ".mount", ".target")):
                    yield os.path.join(place, name)


def refuse_if_used(what: str, roots: Sequence[str]) -> None:
    uid = os.geteuid()
    if os.getuid() == 0 and uid != 0:
        os.seteuid(0)  # other users' processes are seen by root alone
    try:
        used = in_use(roots)
    finally:
        os.seteuid(uid)
    if used:
        more = " and %d more" % (len(used) - 5) if len(used) > 5 else ""
        raise GvmError("%s is in use and stays: %s%s" % (what, "; ".join(used[:5]), more))


# gvm itself

def _missing(root: str) -> List[str]:
    """The folders that are to be made for a gvm, the highest first."""
    found: List[str] = []
    while not os.path.lexists(root):
        found.insert(0, root)
        root = os.path.dirname(root)
    return found


def make_root(root: str, who: Identity, *, check_mode: bool = False) -> List[str]:
    """Make the folder of a gvm, which belongs to ``who``, with the folders above it: what was made. One that exists is left as
    it is. GvmError where it would be made in a folder that somebody else could turn into another one."""
    missing = _missing(root)
    if not missing:
        return []
    base = os.path.dirname(missing[0])
    if not os.path.isdir(base):
        raise GvmError("gvm_root: %s is no folder" % base)
    _refuse_open(_chain(base), {who.uid}, parents_from=0)
    with acting_as(who):
        writable = os.access(base, os.W_OK | os.X_OK, effective_ids=True)
    if not writable and os.geteuid() != 0:
        raise GvmError("gvm_root: %s may make nothing in %s" % (who.name, base))
    if not writable:
        # Root makes it for them, where nobody but root decides what the names mean.
        _refuse_open(_chain(base), set(), parents_from=0)
    made: List[str] = []
    try:
        for path in [] if check_mode else missing:
            if writable:
                with acting_as(who):
                    os.mkdir(path, 0o755)
            else:
                os.mkdir(path, 0o755)
            made.append(path)
        if made and not writable:
            os.chown(root, who.uid, who.gid, follow_symlinks=False)
    except BaseException:
        _unmake(made)
        raise
    return missing


def _unmake(made: Sequence[str]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def _content(root: str) -> List[str]:
    """What is in a folder, but for what mkfs puts into an empty file system."""
    return sorted(name for name in os.listdir(root) if name != "lost+found") if os.path.isdir(root) else []


def present(layout: Layout, who: Identity, *, source: str, commit: str, changes: changing.Changes, deadline: Deadline) -> List[str]:
    """Let gvm be installed at that commit. Returns what in check mode would have been an error."""
    root, problems = layout.root, []  # type: str, List[str]
    if os.path.lexists(root) and not os.path.isdir(root):
        raise GvmError("gvm_root: %s is no folder" % root)
    half = os.path.lexists(layout.staging)
    if os.path.isdir(root):
        require_closed(layout, who)
    if layout.installed():
        have = installed_commit(root)
        if have == commit:
            return problems
        raise GvmError("gvm_root: %s holds gvm at commit %s, and not at %s; name that commit, or remove it first with "
                       "state: absent" % (root, have or "(unknown)", commit))
    if not half and _content(root):
        raise GvmError("gvm_root: %s is no gvm and is not empty (%s)" % (root, ", ".join(_content(root)[:5])))
    require_commands(problems, changes.check_mode)
    check_source(source)
    made = make_root(root, who, check_mode=changes.check_mode)
    if not changes.check_mode:
        try:
            require_closed(layout, who)
            with acting_as(who), locked(layout, deadline) as lock:
                if half:
                    # Only an installation or a removal that was killed leaves the folder behind.
                    changes.recovered.append(root)
                    _empty(layout)
                try:
                    os.mkdir(layout.staging, 0o700)
                    _install(layout, who, source, commit, deadline, lock)
                except BaseException:
                    _empty(layout)
                    raise
        except BaseException:
            _unmake(made)
            raise
        found = installed_commit(root)
        if found != commit or not layout.installed():
            raise GvmError("gvm_root: the installer ran, but %s holds commit %s, and not %s" % (root, found or "(unknown)", commit))
    for path in made[:-1]:
        changes.note(path, "created")
    changes.note(root, "created", "gvm at commit %s" % commit[:12])
    return problems


def _empty(layout: Layout) -> None:
    """Remove what an unfinished installation has left; the staging folder, which marks it as such, is the last to go."""
    for name in _content(layout.root):
        if name != _STAGING:
            remove_tree(os.path.join(layout.root, name))
    remove_tree(layout.staging)


def check_source(source: str) -> None:
    """GvmError for what git must not be given."""
    if source.startswith("-"):
        raise GvmError("source: %r is neither a URL nor a path" % source)
    try:
        parts = urlsplit(source)
        password, user = parts.password, parts.username
    except ValueError:
        # What urlsplit() says may repeat a password.
        raise GvmError("source: %s is no URL" % redact.redact_text(source)) from None
    # Over HTTP a name without a password is a token; ssh://git@host is a name and no secret.
    if "://" in source and (password or (user is not None and parts.scheme in ("http", "https"))):
        kept = user + "@" if user and parts.scheme == "ssh" else ""
        bare = "%s://%s%s%s" % (parts.scheme, kept, parts.netloc.rpartition("@")[2], parts.path)
        raise GvmError("source: a password or token in a URL is seen by every user of the host in the list of processes; give git a "
                       "credential helper or a netrc file, and %s here" % bare)


def secrets_in(url: str) -> List[str]:
    """What no output may show of a URL: its password, or what stands in the place of a user where there is none."""
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
    except ValueError:
        # No URL; what stands between its // and an @ may still be meant as one.
        found = re.match(r"[a-z+]+://([^/@]+)@", url)
        return [found.group(1)] if found else []
    if password:
        return [password]
    return [user] if user and parts.scheme in ("http", "https") else []


def _install(layout: Layout, who: Identity, source: str, commit: str, deadline: Deadline, lock: int) -> None:
    clone, dest = os.path.join(layout.staging, "clone"), os.path.join(layout.staging, "dest")
    env = shell_environment(layout.root, who, layout.staging)
    # The user's own git configuration counts (insteadOf, proxies, credential helpers), though HOME is ours.
    home = pwd.getpwuid(who.uid).pw_dir
    config = os.path.join(layout.staging, "gitconfig")
    lines = ["[include]", "\tpath = %s" % os.path.join(home, ".gitconfig"), "[include]",
             "\tpath = %s" % os.path.join(home, ".config", "git", "config"),
             # A mirror on the host may belong to another user. Its content is judged by the commit's hash.
             "[safe]", "\tdirectory = *"]
    with open(config, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
    env["GIT_CONFIG_GLOBAL"] = config
    env["GIT_SSH_COMMAND"] = os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    # The installer asks whether it is called from within a repository: only from the folder itself, not from those above.
    env["GIT_CEILING_DIRECTORIES"] = layout.root
    shown = redact.redact_url(source) if "://" in source else source

    def git(*arguments: str) -> Tuple[int, str]:
        return run(["git", *arguments], who, env=env, cwd=layout.staging, deadline=deadline, what="git of %s" % shown,
                   pass_fds=(lock,))

    rc, output = git("clone", "--quiet", "--no-checkout", "--", source, clone)
    if rc != 0:
        raise GvmError("source: git cannot clone %s: %s" % (shown, tail(output)))
    rc, output = git("-C", clone, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit)
    if rc != 0:
        _rc, newest = git("-C", clone, "log", "--all", "-1", "--format=%H of %cs")
        raise GvmError("commit: %s has no commit %s; its newest is %s" % (shown, commit, newest.strip() or "unknown"))
    installer = os.path.join(clone, "binscripts", "gvm-installer")
    if not os.path.isfile(installer):
        raise GvmError("source: commit %s of %s is no gvm: it has no binscripts/gvm-installer" % (commit, shown))
    env["SRC_REPO"] = clone
    os.mkdir(dest)
    rc, output = run(["bash", "--noprofile", "--norc", installer, commit, dest], who, env=env, cwd=layout.staging,
                     deadline=deadline, what="gvm's installer", pass_fds=(lock,))
    made = os.path.join(dest, "gvm")
    if rc != 0 or installed_commit(made) != commit or not os.path.isfile(os.path.join(made, "scripts", "gvm")):
        raise GvmError("gvm's installer failed (rc %d): %s" % (rc, tail(output)))
    _relocate(made, layout.root, clone, source)
    # Whoever sources gvm finds a whole one or none: scripts comes last.
    names = sorted(os.listdir(made), key=lambda name: name == "scripts")
    for name in names:
        os.rename(os.path.join(made, name), os.path.join(layout.root, name))
    remove_tree(layout.staging)


def _relocate(made: str, root: str, clone: str, source: str) -> None:
    """Write the final paths where the installer has written those of the staging folder: what check_existing_go and the lines
    behind it generate, and git's remote. The installer also puts Go's quotes around a system Go's GOROOT into the value (gvm issue 503)."""
    targets = [os.path.join(made, "scripts", "gvm"), os.path.join(made, "git.bak", "config")]
    folder = os.path.join(made, "environments")
    if os.path.isdir(folder):
        targets += [os.path.join(folder, name) for name in os.listdir(folder)]
    for path in targets:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        text = text.replace(made, root).replace(clone, source)
        text = re.sub(r"""^(export GOROOT; GOROOT=")'([^'"]*)'"$""", r'\1\2"', text, flags=re.M)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)


def absent(layout: Layout, who: Identity, *, changes: changing.Changes, deadline: Deadline) -> None:
    """Let there be no gvm and none of its Go versions. Refused while a process or a unit uses one."""
    root = layout.root
    if not os.path.isdir(root):
        return
    half = os.path.lexists(layout.staging)
    if not half and not layout.installed():
        if _content(root):
            raise GvmError("gvm_root: %s is no gvm and is left alone (%s)" % (root, ", ".join(_content(root)[:5])))
        return
    require_owner(layout, who)
    refuse_if_used(root, [root])
    if not changes.check_mode:
        with acting_as(who), locked(layout, deadline):
            os.makedirs(layout.staging, 0o700, exist_ok=True)
            _empty(layout)
        # A mount point stays, and so does a folder that somebody else has put something into.
        with contextlib.suppress(OSError):
            os.rmdir(root)
    changes.note(root, "removed", "gvm and the Go versions in it")


def result(layout: Layout) -> Dict[str, Any]:
    return {"gvm_root": layout.root, "commit": installed_commit(layout.root) if layout.installed() else None}
