# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``toolchain``: every Go there is, and which one each kind of shell sees.

How the shells are asked. One process for each kind, each with a deadline of its own:

* ``login``: ``$SHELL -l -c`` of the user, in the environment that a login gives (/etc/environment included);
* ``non_login``: ``$SHELL -c`` with SSH_CLIENT set, as sshd starts a command (bash reads .bashrc then);
* ``sudo``: ``sudo -n env``; an ordinary user is asked for only where a group says that sudo is allowed, because sudo
  reports every refused attempt to the administrator;
* ``systemd``: ``systemctl show-environment``, what the manager hands to services.

The user is ``build_user``, else who called sudo, else who runs this. Another user's shell is started by setpriv(1): su and
runuser would open a PAM session (a login record, under systemd a new session scope). A login shell runs the user's own
profile, as every login does; whatever that does is not undone here. So the two shells of the user are started one after the
other, and one that is too slow gets SIGTERM before SIGKILL: `pyenv init` in a profile, for instance, takes a lock, which two
shells at a time wait for and a killed one leaves behind. The shell only prints: no history, no terminal.

How a Go is asked. One ``go env -json NAMES``: without names it would compile a test program and fill the build cache.
XDG_CONFIG_HOME points to nowhere, so that no telemetry counter is written; GOENV names the user's real file. Root never
runs a program that somebody else could have put there: it is run as its owner, or as nobody where several could.
"""
from __future__ import annotations

import errno
import json
import os
import re
import stat
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import elf, goenv
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

SHELL_TIMEOUT = 4.0
SHELL_GRACE = 1.0  # between SIGTERM and SIGKILL
GO_TIMEOUT = 5.0
# Bounds of what is looked at; a host beyond them is reported with what was seen.
MAX_HOMES = 200
MAX_TOOLCHAINS = 64
MAX_FILES = 3000
MAX_WRITABLE = 20
AT_ONCE = 4

ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/games"
NOBODY = 65534
_SHELLS = ("sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "zsh", "fish")
_NO_SHELLS = ("nologin", "false", "true", "sync")
_SUDO_GROUPS = ("sudo", "wheel", "admin")

# Where ``ctx.shared`` keeps the whole environment of each kind of shell: it never leaves the host.
ENVIRONMENTS = "toolchain environments"

# Asked of every toolchain. None of them makes cmd/go look for a C compiler (that would take 0.4 s and write the cache).
_ASKED = ("GOROOT", "GOVERSION", "GOHOSTARCH", "GOHOSTOS", "GOARCH", "GOOS", "GOPATH", "GOPROXY", "GOSUMDB", "GOPRIVATE",
          "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOENV", "GOMODCACHE", "GOBIN", "GOTOOLDIR")

# Where Go is put by hand or by packages: a folder, and the pattern of the names in it.
_PLACES = (
    ("/usr/local", r"go.*"), ("/usr/lib", r"go(?:-[0-9].*)?|golang"), ("/usr/lib64", r"go|golang"), ("/opt", r"go.*"),
    ("/snap/go", r"current"), ("/home/linuxbrew/.linuxbrew/opt/go", r"libexec"),
)
# Below a home: the SDKs of golang.org/dl, and what version managers unpack.
_HOME_PLACES = (
    ("", r"go|sdk", ""), ("sdk", r"go[0-9].*|gotip", ""), (".local", r"go", ""), (".goenv/versions", r"[0-9].*", ""),
    (".asdf/installs/golang", r"[0-9].*", "go"), (".local/share/mise/installs/go", r"[0-9].*", ""),
)


class User(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str
    shell: str


class Accounts:
    """Users and groups from /etc/passwd and /etc/group; the name service is asked only for who is not there."""

    def __init__(self, ctx: Context) -> None:
        self.live = ctx.root == "/"
        self.users: Dict[str, User] = {}
        self.names: Dict[int, str] = {}
        self.members: Dict[int, Set[str]] = {}
        self.groups: Dict[int, str] = {}
        for line in _lines(ctx, "/etc/passwd"):
            fields = line.split(":")
            if len(fields) >= 7 and fields[2].isdigit() and fields[3].isdigit():
                user = User(fields[0], int(fields[2]), int(fields[3]), fields[5], fields[6])
                self.users.setdefault(user.name, user)
                self.names.setdefault(user.uid, user.name)
                self.members.setdefault(user.gid, set()).add(user.name)
        for line in _lines(ctx, "/etc/group"):
            fields = line.split(":")
            if len(fields) >= 4 and fields[2].isdigit():
                gid = int(fields[2])
                self.groups.setdefault(gid, fields[0])
                self.members.setdefault(gid, set()).update(name for name in fields[3].split(",") if name)

    def by_name(self, name: str) -> Optional[User]:
        if name not in self.users and self.live:
            import pwd  # only for users that a directory service knows
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                return None
            self.users[name] = User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)
        return self.users.get(name)

    def by_uid(self, uid: int) -> Optional[User]:
        return self.by_name(self.user_name(uid))

    def user_name(self, uid: int) -> str:
        """The name, or the number where nobody has it."""
        if uid not in self.names and self.live:
            import pwd
            try:
                self.names[uid] = pwd.getpwuid(uid).pw_name
            except KeyError:
                self.names[uid] = str(uid)
        return self.names.get(uid, str(uid))

    def group_name(self, gid: int) -> str:
        return self.groups.get(gid, str(gid))

    def others_in(self, gid: int, owner: int) -> bool:
        """Whether the group can hold anybody besides root and the owner. A group that /etc/group does not know (a
        directory service's) may hold anybody."""
        if gid not in self.groups:
            return True
        return bool(self.members.get(gid, set()) - {"root", self.user_name(owner)})


def _lines(ctx: Context, path: str) -> List[str]:
    text = _text(ctx, path)
    return [] if text is None else text.splitlines()


def _text(ctx: Context, path: str, limit: int = 1 << 18) -> Optional[str]:
    """A regular file's text, or None. Never waits: a FIFO in somebody's home must not stop the collector."""
    try:
        if not stat.S_ISREG(os.stat(ctx.path(path)).st_mode):
            return None
        return ctx.read(path, limit)
    except OSError:
        return None


def _names(ctx: Context, path: str, pattern: str) -> List[str]:
    """The sorted names in a folder that match; none where it cannot be read."""
    matches = re.compile(pattern)
    try:
        return sorted(name for name in os.listdir(ctx.path(path)) if matches.fullmatch(name))
    except OSError:
        return []


def _realpath(ctx: Context, path: str) -> str:
    """``path`` with its symlinks resolved below the context's root."""
    todo = [step for step in path.split("/") if step and step != "."]
    done: List[str] = []
    hops = 0
    while todo:
        step = todo.pop(0)
        if step == "..":
            del done[-1:]
            continue
        done.append(step)
        try:
            target = os.readlink(ctx.path("/" + "/".join(done)))
        except OSError:
            continue
        hops += 1
        if hops > 40:
            break
        done = [] if target.startswith("/") else done[:-1]
        todo = [part for part in target.split("/") if part and part != "."] + todo
    return "/" + "/".join(done)


def _is_file(ctx: Context, path: str) -> bool:
    return os.path.isfile(ctx.path(path))


def _is_goroot(ctx: Context, path: str) -> bool:
    """A folder that looks like a Go tree: its go, and one of the things that come with it."""
    return _is_file(ctx, path + "/bin/go") and any(
        os.path.exists(ctx.path(path + "/" + name)) for name in ("VERSION", "pkg/tool", "src/runtime"))


def _goroot_of(ctx: Context, go: str) -> Optional[str]:
    """The GOROOT that a go program lies in, by its path alone."""
    real = _realpath(ctx, go)
    if os.path.basename(real) == "snap":  # /snap/bin/go is a link to snap itself
        real = _realpath(ctx, "/snap/go/current/bin/go")
    root = os.path.dirname(os.path.dirname(real))
    return root if os.path.basename(os.path.dirname(real)) == "bin" and _is_goroot(ctx, root) else None


def _side_by_side(ctx: Context, jobs: Sequence[Callable[[], Any]], timeout: float) -> List[Any]:
    """The results in order; what a host can refuse (OSError, ValueError, Unavailable) stands for itself, None for a job
    that did not end in time. Any other exception is a fault of this collector and raised here."""
    results: List[Any] = [None] * len(jobs)
    turn = iter(range(len(jobs)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                index = next(turn, None)
            if index is None:
                return
            try:
                results[index] = jobs[index]()
            except Exception as exc:  # noqa: BLE001 - raised again in the thread that waits
                results[index] = exc

    threads = [threading.Thread(target=work, daemon=True) for _number in range(min(AT_ONCE, len(jobs)))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + min(timeout, ctx.remaining())
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, (OSError, ValueError, Unavailable)):
            raise result
    return list(results)


def _accounts(ctx: Context) -> Accounts:
    if "toolchain accounts" not in ctx.shared:
        ctx.shared["toolchain accounts"] = Accounts(ctx)
    accounts: Accounts = ctx.shared["toolchain accounts"]
    return accounts


def _subject(ctx: Context) -> User:
    """Whose shells are looked at."""
    accounts = _accounts(ctx)
    name = ctx.build_user
    if not name and os.geteuid() == 0:
        name = os.environ.get("SUDO_USER", "")
    user = accounts.by_name(name) if name else accounts.by_uid(os.geteuid())
    if user is None:
        raise Unavailable("there is no user %s" % (name or os.geteuid()))
    return user


def _as_user(uid: int, gid: int, name: str) -> List[str]:
    """The words before a command that make it run as the user; none for oneself. PermissionError where only root could."""
    if uid == os.geteuid():
        return []
    if os.geteuid() != 0:
        raise PermissionError(errno.EPERM, "only root can look at the shells of %s" % name)
    # Groups can be looked up for a name only; a number without one has none.
    groups = "--clear-groups" if uid == NOBODY or name == str(uid) else "--init-groups"
    return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % gid, groups, "--"]


# --- shells -------------------------------------------------------------------------------------------------------------

def collect_shells(ctx: Context) -> List[Dict[str, Any]]:
    """``toolchain.shells``: one entry for each kind of shell or manager that this host has."""
    _accounts(ctx)  # before the threads share it
    asked: List[Tuple[str, str, Callable[[], Tuple[str, Dict[str, str]]]]] = []
    entries: List[Dict[str, Any]] = []
    try:
        user = _subject(ctx)
    except Unavailable as exc:
        entries = [_entry(kind, ctx.build_user, error=str(exc)) for kind in ("login", "non_login")]
    else:
        turn = threading.Lock()  # the user's start-up files are run by one shell at a time
        asked.append(("login", user.name, lambda: _ask_shell(ctx, user, turn, login=True)))
        asked.append(("non_login", user.name, lambda: _ask_shell(ctx, user, turn, login=False)))
    if any(_is_file(ctx, folder + "/sudo") for folder in ("/usr/bin", "/bin", "/usr/local/bin")):
        asked.append(("sudo", "root", lambda: _ask_sudo(ctx)))
    if os.path.isdir(ctx.path("/run/systemd/system")):
        asked.append(("systemd", "root", lambda: _ask_systemd(ctx)))
    # Looking at what a PATH names belongs to the kind's own thread: a folder of a dead file server costs that kind alone.
    jobs = [_shell_job(ctx, kind, name, ask) for kind, name, ask in asked]
    for (kind, name, _ask), answer in zip(asked, _side_by_side(ctx, jobs, 2 * (SHELL_TIMEOUT + SHELL_GRACE) + 1.0)):
        if answer is None or isinstance(answer, TimeoutError):
            answer = _entry(kind, name, error="it did not answer within %.0f s" % SHELL_TIMEOUT)
        elif isinstance(answer, Exception):
            answer = _entry(kind, name, error=_words(answer))
        entries.append(answer)
    return entries


def _shell_job(ctx: Context, kind: str, name: str, ask: Callable[[], Tuple[str, Dict[str, str]]]) -> Callable[[], Dict[str, Any]]:
    def job() -> Dict[str, Any]:
        answer, environment = ask()
        ctx.shared.setdefault(ENVIRONMENTS, {})[kind] = environment
        return _describe_shell(ctx, kind, name, answer, environment)

    return job


def _words(exc: Exception) -> str:
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)


def _entry(kind: str, user: str, **values: Any) -> Dict[str, Any]:
    entry: Dict[str, Any] = {"kind": kind, "user": user, "go": None, "goroot": None, "version": None, "others": [], "path": None,
                             "env": {}, "effective": None, "goenv": None, "goroot_variable": None, "gopath": [], "error": None}
    entry.update(values)
    return entry


def _login_environment(ctx: Context, user: User) -> Dict[str, str]:
    environment = {"HOME": user.home, "USER": user.name, "LOGNAME": user.name, "SHELL": user.shell, "TERM": "dumb",
                   "PATH": ROOT_PATH if user.uid == 0 else USER_PATH}
    environment.update(goenv.parse_etc_environment(_text(ctx, "/etc/environment") or ""))
    return environment


def _ask_shell(ctx: Context, user: User, turn: threading.Lock, *, login: bool) -> Tuple[str, Dict[str, str]]:
    shell = user.shell or "/bin/sh"
    name = os.path.basename(shell)
    if name in _NO_SHELLS:  # such an account is used with `su -s`, by a CI runner for instance
        shell = "/bin/bash" if _is_file(ctx, "/bin/bash") else "/bin/sh"
    elif name not in _SHELLS:
        raise Unavailable("its shell %s is not one that can be asked" % shell)
    environment = _login_environment(ctx, user)
    if not login:
        environment.update({"SSH_CLIENT": "127.0.0.1 0 22", "SSH_CONNECTION": "127.0.0.1 0 127.0.0.1 22"})
    hidden: List[str] = []
    if name == "fish":
        # fish makes its folders at its first start. Where it has none there is nothing to read: it is shown none.
        for variable, folder in (("XDG_CONFIG_HOME", ".config"), ("XDG_DATA_HOME", ".local/share")):
            if not os.path.isdir(ctx.path("%s/%s/fish" % (user.home, folder))):
                environment[variable] = "/dev/null"
                hidden.append(variable)
    marker = "--goready-%s--" % os.urandom(12).hex()
    # Works in every shell of _SHELLS. `|| :` for profiles that leave `set -e` behind.
    script = "printf '%%s' '%s'; command -v go || :; printf '%%s' '%s'; /usr/bin/env -0; printf '%%s' '%s'" % ((marker,) * 3)
    argv = _as_user(user.uid, user.gid, user.name) + [shell] + (["-l"] if login else []) + ["-c", script]
    if any(_is_file(ctx, folder + "/timeout") for folder in ("/usr/bin", "/bin")):
        argv = ["timeout", "-k", "%g" % SHELL_GRACE, "%g" % SHELL_TIMEOUT] + argv
    home = user.home if user.uid == os.geteuid() and os.path.isdir(user.home) else "/"
    with turn:
        rc, out, err = ctx.run(argv, timeout=SHELL_TIMEOUT + SHELL_GRACE + 0.5, env=environment, cwd=home)
    if argv[0] == "timeout" and rc in (124, 137, -9):  # timeout(1)
        raise TimeoutError("%s did not end within %g s" % (shell, SHELL_TIMEOUT))
    try:
        answer, seen = goenv.parse_dump(out, marker)
    except ValueError as exc:
        last = err.strip().splitlines()[-1:] or [""]
        raise ValueError("%s%s" % (exc, ": " + goenv.clean_value(last[0][:200]) if last[0] else "")) from None
    for variable in hidden:
        seen.pop(variable, None)
    return answer, seen


def _ask_sudo(ctx: Context) -> Tuple[str, Dict[str, str]]:
    accounts = _accounts(ctx)
    if os.geteuid() != 0:
        groups = {accounts.group_name(gid) for gid in os.getgroups()}
        if not groups.intersection(_SUDO_GROUPS):
            raise PermissionError(errno.EPERM, "not tried: this user is in none of the groups %s, and sudo would report it"
                                  % ", ".join(_SUDO_GROUPS))
    environment = {"PATH": ROOT_PATH, "HOME": os.environ.get("HOME", "/"), "TERM": "dumb"}
    rc, out, err = ctx.run(["sudo", "-n", "/usr/bin/env", "-0"], timeout=SHELL_TIMEOUT, env=environment)
    if rc != 0:
        raise Unavailable((err.strip().splitlines() or ["sudo ended with %d" % rc])[0][:200])
    values = dict(entry.split("=", 1) for entry in out.split("\0") if "=" in entry)
    return "", values


def _ask_systemd(ctx: Context) -> Tuple[str, Dict[str, str]]:
    rc, out, err = ctx.run(["systemctl", "show-environment"], timeout=SHELL_TIMEOUT)
    if rc != 0:
        raise Unavailable((err.strip().splitlines() or ["systemctl ended with %d" % rc])[0][:200])
    values = goenv.parse_show_environment(out)
    values.setdefault("PATH", ROOT_PATH)
    return "", values


def _in_path(ctx: Context, path: str) -> List[str]:
    """Every go in the folders of a PATH, in their order."""
    found = []
    for folder in goenv.split_list(path)[:200]:
        candidate = folder.rstrip("/") + "/go"
        if folder.startswith("/") and _is_file(ctx, candidate) and os.access(ctx.path(candidate), os.X_OK):
            found.append(candidate)
    return found


def _describe_shell(ctx: Context, kind: str, user_name: str, answer: str, environment: Mapping[str, str]) -> Dict[str, Any]:
    accounts = _accounts(ctx)
    path = environment.get("PATH", "")
    in_path = _in_path(ctx, path)
    # An alias or a function is no path; then the PATH decides.
    go = answer if answer.startswith("/") else (in_path[0] if in_path else None)
    user = accounts.by_name(user_name)
    entry = _entry(kind, user_name, go=go, path=path[:4096], env=goenv.clean(environment))
    goroot = None
    if go is not None:
        goroot = _goroot_of(ctx, go)
        if goroot is None and user is not None and ctx.toolchain != "absent":
            try:
                goroot = _ask_goroot(ctx, go, user, environment)
            except (OSError, Unavailable) as exc:
                entry["error"] = "%s does not tell its GOROOT: %s" % (go, _words(exc))
        entry["goroot"] = goroot
        entry["version"] = _version_file(ctx, goroot)
    first = goroot
    for other in in_path:
        root = _goroot_of(ctx, other)
        if root and root != first and root not in entry["others"]:
            entry["others"].append(root)
    home = environment.get("HOME", "")
    user_file = _user_file(environment)
    user_values = goenv.parse_env_file(_text(ctx, user_file) or "") if user_file else {}
    if user_values:
        entry["goenv"] = {"path": user_file, "values": goenv.clean(user_values)}
    if go is not None:
        goroot_values = goenv.parse_env_file(_text(ctx, goroot + "/go.env") or "") if goroot else {}
        effective = goenv.in_effect(environment, user_values, goroot_values, home=home, goroot=goroot)
        entry["gopath"] = [_describe_gopath(ctx, one, user, goroot) for one in goenv.split_list(effective["GOPATH"])]
        entry["effective"] = {name: goenv.clean_value(value) for name, value in effective.items()}
    variable = environment.get("GOROOT") or user_values.get("GOROOT")
    if variable:
        real = _realpath(ctx, variable)
        entry["goroot_variable"] = {"path": variable, "realpath": real, "exists": os.path.isdir(ctx.path(real)),
                                    "version": _version_file(ctx, real)}
    return entry


def _user_file(environment: Mapping[str, str]) -> Optional[str]:
    """Where ``go env -w`` keeps the user's settings (os.UserConfigDir), None where it is switched off."""
    named = environment.get("GOENV", "")
    if named:
        return named if named.startswith("/") else None
    folder = environment.get("XDG_CONFIG_HOME") or (environment["HOME"] + "/.config" if environment.get("HOME") else "")
    return folder.rstrip("/") + "/go/env" if folder.startswith("/") else None


def _describe_gopath(ctx: Context, path: str, user: Optional[User], goroot: Optional[str]) -> Dict[str, Any]:
    """One entry of a GOPATH: whether the user can write there (or create it), who else can."""
    accounts = _accounts(ctx)
    entry: Dict[str, Any] = {"path": path, "exists": False, "owner": None, "mode": None, "writable": None, "everybody": False,
                             "in_goroot": False}
    if not path.startswith("/"):
        return entry
    real = _realpath(ctx, path)
    entry["in_goroot"] = goroot is not None and (real + "/").startswith(goroot + "/")
    probe = real
    while True:
        try:
            status = os.stat(ctx.path(probe))
            break
        except (FileNotFoundError, NotADirectoryError):
            if probe == "/":
                return entry
            probe = os.path.dirname(probe)
        except OSError:
            return entry
    if probe == real:
        entry.update(exists=True, owner=accounts.user_name(status.st_uid), mode="%04o" % stat.S_IMODE(status.st_mode),
                     everybody=bool(status.st_mode & 0o002) and not status.st_mode & stat.S_ISVTX)
    if user is not None:
        entry["writable"] = stat.S_ISDIR(status.st_mode) and _may_write(ctx, probe, status, user)
    return entry


def _may_write(ctx: Context, path: str, status: os.stat_result, user: User) -> bool:
    if user.uid == os.geteuid() and ctx.root == "/":
        return os.access(path, os.W_OK | os.X_OK)
    if os.statvfs(ctx.path(path)).f_flag & os.ST_RDONLY:
        return False
    if user.uid == 0:
        return True
    accounts = _accounts(ctx)
    if status.st_uid == user.uid:
        return bool(status.st_mode & 0o200)
    if status.st_gid == user.gid or user.name in accounts.members.get(status.st_gid, set()):
        return bool(status.st_mode & 0o020)
    return bool(status.st_mode & 0o002)


def _version_file(ctx: Context, goroot: Optional[str]) -> Optional[str]:
    text = _text(ctx, goroot + "/VERSION", 4096) if goroot else None
    return goenv.version_line(text) if text else None


# --- gvm ----------------------------------------------------------------------------------------------------------------

def collect_gvm(ctx: Context) -> List[Dict[str, Any]]:
    """``toolchain.gvm``: every gvm root, with the versions in it and the default."""
    found: Dict[str, None] = {}
    for home in _homes(ctx):
        found.setdefault(_realpath(ctx, home + "/.gvm"))
    for place in ("/opt/gvm", "/opt/.gvm", "/usr/local/gvm", "/usr/local/.gvm", "/usr/local/share/gvm"):
        found.setdefault(_realpath(ctx, place))
    for entry in ctx.shared.get("toolchain.shells") or ():
        # A gvm elsewhere shows in the GOROOT of who uses it: $GVM_ROOT/gos/VERSION.
        for root in [entry["goroot"]] + list(entry["others"]):
            if root and os.path.basename(os.path.dirname(root)) == "gos":
                found.setdefault(os.path.dirname(os.path.dirname(root)))
    return [_describe_gvm(ctx, root) for root in found
            if _is_file(ctx, root + "/scripts/gvm") or os.path.isdir(ctx.path(root + "/gos"))]


def _describe_gvm(ctx: Context, root: str) -> Dict[str, Any]:
    text = _text(ctx, root + "/environments/default")
    versions = []
    for name in _names(ctx, root + "/gos", r"[^.].*")[:MAX_TOOLCHAINS]:
        tree = root + "/gos/" + name
        if not os.path.isdir(ctx.path(tree)):
            continue
        versions.append({"name": name, "complete": _is_file(ctx, tree + "/manifest"), "version_file": _version_file(ctx, tree),
                         "go": _is_file(ctx, tree + "/bin/go"), "environment": _is_file(ctx, root + "/environments/" + name)})
    try:
        owner: Optional[str] = _accounts(ctx).user_name(os.stat(ctx.path(root)).st_uid)
    except OSError:
        owner = None
    return {"root": root, "user": owner, "default": goenv.gvm_default(text) if text else None, "versions": versions}


def _homes(ctx: Context) -> List[str]:
    """The home folders of people and of the accounts that have one of their own."""
    if "toolchain homes" in ctx.shared:
        kept: List[str] = ctx.shared["toolchain homes"]
        return kept
    found: Dict[str, None] = {}
    for user in _accounts(ctx).users.values():
        home = user.home.rstrip("/")
        # A system account's home is often a folder that belongs to everybody (/usr/sbin, /var/run).
        own = user.uid == 0 or user.uid >= 1000 or home.startswith(("/home/", "/var/lib/", "/srv/", "/opt/"))
        if home.startswith("/") and own:
            found.setdefault(home)
    for name in _names(ctx, "/home", r"[^.].*"):  # people whom a directory service knows
        found.setdefault("/home/" + name)
    homes = [home for home in list(found)[:MAX_HOMES] if os.path.isdir(ctx.path(home))]
    ctx.shared["toolchain homes"] = homes
    return homes


# --- toolchains ---------------------------------------------------------------------------------------------------------

def collect_toolchains(ctx: Context) -> List[Dict[str, Any]]:
    """``toolchain.toolchains``: one entry for each GOROOT, those that a shell sees first."""
    found: Dict[Tuple[Optional[str], str], List[str]] = {}

    def add(goroot: Optional[str], go: str, how: str) -> None:
        ways = found.setdefault((goroot, go), [])
        if how not in ways:
            ways.append(how)

    shells = ctx.shared.get("toolchain.shells") or ()
    for entry in shells:
        if entry["go"]:
            goroot = entry["goroot"]
            add(goroot, _go_of(ctx, goroot, entry["go"]), shell_label(entry))
    for entry in shells:
        for goroot in entry["others"]:
            add(goroot, goroot + "/bin/go", "PATH of the %s, behind another" % shell_label(entry))
    for how, goroot in _installed(ctx):
        add(goroot, goroot + "/bin/go", how)
    every = list(found.items())[:MAX_TOOLCHAINS]
    # The same work for each; the runs of go dominate, so they go side by side.
    jobs = [_describer(ctx, goroot, go, ways) for (goroot, go), ways in every]
    results = _side_by_side(ctx, jobs, GO_TIMEOUT * 2)
    return [_toolchain(goroot, go, ways, error=_words(result) if result else "it was not described in time")
            if result is None or isinstance(result, Exception) else result
            for ((goroot, go), ways), result in zip(every, results)]


def shell_label(entry: Mapping[str, Any]) -> str:
    """``login shell of deploy``, ``sudo``: what ``found_by`` says."""
    kind = str(entry["kind"])
    return "%s shell of %s" % (kind.replace("_", "-"), entry["user"]) if kind in ("login", "non_login") else kind


def _go_of(ctx: Context, goroot: Optional[str], seen: str) -> str:
    inside = "%s/bin/go" % goroot
    return inside if goroot and _is_file(ctx, inside) else _realpath(ctx, seen)


def _describer(ctx: Context, goroot: Optional[str], go: str, ways: List[str]) -> Callable[[], Dict[str, Any]]:
    return lambda: _describe_toolchain(ctx, goroot, go, ways)


def _installed(ctx: Context) -> Iterator[Tuple[str, str]]:
    """(how, GOROOT) of what lies in the known places, in the units' ExecStart, under gvm and in the homes."""
    for folder, pattern in _PLACES:
        for name in _names(ctx, folder, pattern):
            place = folder + "/" + name
            real = _realpath(ctx, place)
            if _is_goroot(ctx, real):
                yield place, real
    for unit, go in _units(ctx):
        root = _goroot_of(ctx, go)
        if root:
            yield "ExecStart of %s" % unit, root
    for gvm in ctx.shared.get("toolchain.gvm") or ():
        for version in gvm["versions"]:
            real = _realpath(ctx, "%s/gos/%s" % (gvm["root"], version["name"]))
            if _is_goroot(ctx, real):
                yield "gvm in %s" % gvm["root"], real
    for home in _homes(ctx):
        for folder, pattern, below in _HOME_PLACES:
            base = home + "/" + folder if folder else home
            for name in _names(ctx, base, pattern)[:MAX_TOOLCHAINS]:
                place = "/".join(part for part in (base, name, below) if part)
                real = _realpath(ctx, place)
                if _is_goroot(ctx, real):
                    yield place, real


def _units(ctx: Context) -> Iterator[Tuple[str, str]]:
    """(unit, path of go) of the administrator's units that start a go; a distribution's own units never do."""
    calls = re.compile(r"^[ \t]*Exec[A-Za-z]*[ \t]*=.*?(?<![\w/.])(/[^\s\"';]*/go)(?![^\s\"';])", re.MULTILINE)
    for folder in ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"):
        for name in _names(ctx, folder, r"[^.].*\.service(?:\.d)?")[:500]:
            files = [name]
            if name.endswith(".d"):
                files = ["%s/%s" % (name, part) for part in _names(ctx, folder + "/" + name, r"[^.].*\.conf")]
            for file in files:
                text = _text(ctx, folder + "/" + file, 1 << 16) or ""
                if "/go" in text:
                    for match in calls.finditer(text):
                        yield name[:-2] if name.endswith(".d") else name, match.group(1)


def _toolchain(goroot: Optional[str], go: str, ways: List[str], **values: Any) -> Dict[str, Any]:
    entry: Dict[str, Any] = {
        "goroot": goroot, "go": go, "kind": _kind(goroot or go), "found_by": ways, "version_file": None, "version": None,
        "runs": None, "run_as": None, "error": None, "elf_machine": None, "missing": [], "owner": None, "mode": None,
        "in_home": None, "writable_by_others": [], "writable_seen": 0, "env": None}
    entry.update(values)
    return entry


def _kind(path: str) -> str:
    if os.path.basename(os.path.dirname(path)) == "gos":
        return "gvm"
    if path.startswith("/snap/"):
        return "snap"
    if path == "/usr" or path.startswith(("/usr/lib/", "/usr/lib64/", "/usr/share/", "/usr/bin/")):
        return "distribution"
    if re.search(r"/(?:sdk/go[^/]*|\.goenv/versions/[^/]+|\.asdf/installs/golang/[^/]+/go|mise/installs/go/[^/]+)\Z", path):
        return "sdk"
    return "official"


def _describe_toolchain(ctx: Context, goroot: Optional[str], go: str, ways: List[str]) -> Dict[str, Any]:
    entry = _toolchain(goroot, go, ways, version_file=_version_file(ctx, goroot))
    accounts = _accounts(ctx)
    try:
        entry["elf_machine"] = _machine(ctx, go)
    except (OSError, ValueError) as exc:
        entry["error"] = "%s: %s" % (go, _words(exc))
    if goroot is not None:
        status = os.stat(ctx.path(goroot))
        owner = accounts.by_uid(status.st_uid)
        entry.update(owner=accounts.user_name(status.st_uid), mode="%04o" % stat.S_IMODE(status.st_mode),
                     in_home=owner is not None and owner.home != "/" and goroot.startswith(owner.home.rstrip("/") + "/"))
        entry["missing"] = _missing(ctx, goroot, entry["elf_machine"])
        entry["writable_by_others"], entry["writable_seen"] = _writable(ctx, goroot, status.st_uid)
    # Where no Go should be, that it is there is all that matters.
    if entry["elf_machine"] is not None and ctx.toolchain != "absent":
        entry.update(_ask_go(ctx, go))
    return entry


def _machine(ctx: Context, go: str) -> str:
    descriptor = os.open(ctx.path(go), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return elf.parse(elf.DescriptorReader(descriptor)).machine
    finally:
        os.close(descriptor)


def _missing(ctx: Context, goroot: str, machine: Optional[str]) -> List[str]:
    """What no build does without and is not there; a dangling link counts as missing."""
    wanted = ["VERSION", "bin/gofmt", "src/runtime", "src/fmt", "pkg/include/textflag.h"]
    if machine:
        wanted += ["pkg/tool/linux_%s/%s" % (machine, tool) for tool in ("asm", "compile", "link")]
    return [name for name in wanted if not os.path.exists(ctx.path(goroot + "/" + name))]


# --- who can change a file ----------------------------------------------------------------------------------------------

def _open_to(status: os.stat_result, accounts: Accounts, trusted: Set[int], *, parent: bool = False) -> List[Tuple[str, int]]:
    """Who besides ``trusted`` can change what this describes: (words, uid or -1). A sticky folder on the way (/tmp) does
    not let others rename what is not theirs."""
    mode = "%04o" % stat.S_IMODE(status.st_mode)
    found = []
    if status.st_uid not in trusted:
        found.append(("belongs to %s" % accounts.user_name(status.st_uid), status.st_uid))
    if parent and status.st_mode & stat.S_ISVTX:
        return found
    if status.st_mode & 0o002:
        found.append(("is writable by everybody (%s)" % mode, -1))
    elif status.st_mode & 0o020 and status.st_gid != 0 and accounts.others_in(status.st_gid, status.st_uid):
        found.append(("is writable by group %s (%s)" % (accounts.group_name(status.st_gid), mode), -1))
    return found


def _parents(path: str) -> List[str]:
    found = []
    while path != "/":
        path = os.path.dirname(path)
        found.append(path)
    return found


def _writable(ctx: Context, goroot: str, owner: int) -> Tuple[List[str], int]:
    """What lets somebody besides root and the owner change the toolchain, and how many files were looked at.

    All of bin and pkg, the packages of src two levels deep, the folders above: some 1,500 of 15,000 files. Whoever can
    write a file deeper down can, in every layout met so far, write its folder too.
    """
    accounts = _accounts(ctx)
    trusted = {0, owner}
    found: List[str] = []
    seen = 0
    for path in _parents(goroot):
        try:
            status = os.stat(ctx.path(path))
        except OSError:
            continue
        found.extend("%s %s" % (path, words) for words, _uid in _open_to(status, accounts, trusted, parent=True))
    for path, status in _files(ctx, goroot):
        seen += 1
        if not stat.S_ISLNK(status.st_mode):
            found.extend("%s %s" % (path, words) for words, _uid in _open_to(status, accounts, trusted))
    if len(found) > MAX_WRITABLE:
        found[MAX_WRITABLE:] = ["and %d more" % (len(found) - MAX_WRITABLE)]
    return found, seen


def _files(ctx: Context, goroot: str) -> Iterator[Tuple[str, os.stat_result]]:
    depths = {"bin": 1, "pkg": 3, "src": 2, "lib": 1}
    left = [MAX_FILES]

    def walk(path: str, depth: int) -> Iterator[Tuple[str, os.stat_result]]:
        try:
            entries = sorted(os.scandir(ctx.path(path)), key=lambda entry: entry.name)
        except OSError:
            return
        folders = []
        for entry in entries:
            if left[0] <= 0:
                return
            left[0] -= 1
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            yield path + "/" + entry.name, status
            if stat.S_ISDIR(status.st_mode) and depth > 1:
                folders.append(path + "/" + entry.name)
        for folder in folders:
            yield from walk(folder, depth - 1)

    try:
        yield goroot, os.stat(ctx.path(goroot))
    except OSError:
        return
    yield from list(walk(goroot, 1))
    for name, depth in depths.items():
        # A distribution links src to another place: what lies there is compiled all the same.
        yield from walk(_realpath(ctx, goroot + "/" + name), depth)


# --- running go ---------------------------------------------------------------------------------------------------------

def _runner(ctx: Context, path: str) -> Tuple[List[str], User]:
    """(words before the command, the user it runs as) so that nobody's program runs with more rights than its owner's."""
    accounts = _accounts(ctx)
    me = os.geteuid()
    own = accounts.by_uid(me) or User(str(me), me, os.getegid(), os.environ.get("HOME", "/"), "")
    if ctx.root != "/":
        return [], own
    changers: Set[int] = set()
    for index, one in enumerate([path] + _parents(path)):
        status = os.stat(one)
        changers.update(uid for _words, uid in _open_to(status, accounts, {0, me}, parent=index > 0))
    if not changers:
        return [], own
    if me != 0:
        raise PermissionError(errno.EPERM, "not run: another user could have replaced it")
    if len(changers) == 1 and -1 not in changers:
        user = accounts.by_uid(next(iter(changers))) or User(str(min(changers)), min(changers), NOBODY, "/", "")
    else:
        user = User("nobody", NOBODY, NOBODY, "/", "")
    return _as_user(user.uid, user.gid, user.name), user


def _go_environment(user: User, more: Mapping[str, str]) -> Dict[str, str]:
    """An environment in which go answers and writes nothing."""
    environment = dict(more)
    for name in ("GOROOT", "GOFLAGS", "GODEBUG", "GOEXPERIMENT"):
        environment.pop(name, None)
    user_file = _user_file(dict(environment, HOME=environment.get("HOME", user.home)))
    environment.setdefault("HOME", user.home)
    environment.setdefault("PATH", ROOT_PATH)
    # The configuration of a version manager's shim keeps its place, go's telemetry gets none.
    environment.setdefault("MISE_CONFIG_DIR", (environment.get("XDG_CONFIG_HOME") or environment["HOME"] + "/.config") + "/mise")
    environment.update(GOTOOLCHAIN="local", GO111MODULE="off", GOWORK="off", XDG_CONFIG_HOME="/dev/null",
                       GOENV=user_file or "off")
    return environment


def _ask_go(ctx: Context, go: str) -> Dict[str, Any]:
    """``version``, ``runs``, ``run_as``, ``env`` and ``error`` of a toolchain."""
    try:
        prefix, user = _runner(ctx, go)
    except OSError as exc:
        return {"error": exc.strerror}
    answer: Dict[str, Any] = {"run_as": user.name}
    environment = _go_environment(user, {"HOME": user.home})
    if user.uid == NOBODY:
        environment["GOENV"] = "off"
    try:
        rc, out, err = ctx.run(prefix + [ctx.path(go), "env", "-json"] + list(_ASKED), timeout=GO_TIMEOUT, env=environment)
        values = _json_object(out)
        if rc == 0 and not values.get("GOVERSION"):  # before Go 1.16
            _rc, text, _err = ctx.run(prefix + [ctx.path(go), "version"], timeout=GO_TIMEOUT, env=environment)
            found = re.search(r"\bgo version (\S+)", text)
            values["GOVERSION"] = found.group(1) if found else ""
    except TimeoutError as exc:
        return dict(answer, error=str(exc))
    except (OSError, Unavailable) as exc:
        # Exec format error: another machine's; no such file though it is there: its loader is missing.
        return dict(answer, runs=False, error=exc.strerror if isinstance(exc, OSError) else "its dynamic loader is missing")
    if rc != 0 or not values.get("GOVERSION"):
        message = (err.strip().splitlines() or ["go env ended with %d" % rc])[-1][:300]
        # It was setpriv that failed, for want of a right to reach the file: nothing is known about go.
        refused = bool(prefix) and (
            "Permission denied" in message or ("setpriv: " in message and "Exec format" not in message))
        return dict(answer, runs=None if refused else False, error=goenv.clean_value(message))
    version = values.pop("GOVERSION")
    cleaned = {name: goenv.clean_value(value) for name, value in sorted(values.items()) if value}
    return dict(answer, runs=True, version=version, env=cleaned)


def _json_object(text: str) -> Dict[str, str]:
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return {str(name): value for name, value in values.items() if isinstance(value, str)} if isinstance(values, dict) else {}


def _ask_goroot(ctx: Context, go: str, user: User, environment: Mapping[str, str]) -> Optional[str]:
    """GOROOT of a go that lies in no Go tree: a version manager's shim, a copy in /usr/local/bin, gccgo."""
    real = _realpath(ctx, go)
    prefix, runner = _runner(ctx, real)
    if runner.uid == os.geteuid() and user.uid != runner.uid:
        prefix = _as_user(user.uid, user.gid, user.name)
    wanted = _go_environment(user, environment)
    if environment.get("GOROOT"):
        wanted["GOROOT"] = environment["GOROOT"]
    rc, out, err = ctx.run(prefix + [ctx.path(go), "env", "GOROOT"], timeout=GO_TIMEOUT, env=wanted)
    lines = out.strip().splitlines()
    if rc != 0 or not lines or not lines[-1].startswith("/"):
        raise Unavailable((err.strip().splitlines() or ["it ended with %d" % rc])[0][:200])
    return _realpath(ctx, lines[-1])


# What the subset ``modules`` and the module ``module_proxy`` use of this one.
accounts_of = _accounts
as_user = _as_user
homes_of = _homes
installed = _installed
is_goroot = _is_goroot
open_to = _open_to
parents_of = _parents
real_path = _realpath
runner_of = _runner
subject_of = _subject
text_of = _text
user_file = _user_file
version_file = _version_file

PARTS = (
    ("shells", collect_shells, 2 * (SHELL_TIMEOUT + SHELL_GRACE) + 2.0),
    ("gvm", collect_gvm),
    ("toolchains", collect_toolchains),
)
