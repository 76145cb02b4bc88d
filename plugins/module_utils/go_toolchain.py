# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role go_toolchain has to know of a host before it changes it, and what it remembers there of what it makes."""
from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set

from ansible_collections.goready.preflight.plugins.module_utils import go_environment, goarch, gvm
from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
from ansible_collections.goready.preflight.plugins.module_utils.readfile import read_regular

DPKG_TIMEOUT = 60
RECORD_LIMIT = 1 << 20

#: The arguments of the action and the module ``go_toolchain_plan``: the role's variables.
ARGUMENTS: Dict[str, Dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "versions": {"type": "list", "elements": "str", "default": []},
    "default": {"type": "str", "default": ""},
    "prune": {"type": "bool", "default": False},
    "gvm_root": {"type": "str", "default": gvm.DEFAULT_ROOT},
    "gvm_source": {"type": "str", "default": gvm.REPOSITORY},
    "gvm_commit": {"type": "str", "default": gvm.COMMIT},
    "user": {"type": "str", "default": ""},
    "source": {"type": "list", "elements": "str", "default": ["https://go.dev/dl"]},
    "archive_dir": {"type": "str", "default": ""},
    "checksums": {"type": "dict", "default": {}},
    "proxy": {"type": "str", "default": ""},
    "retries": {"type": "int", "default": 3},
    "timeout": {"type": "int", "default": 900},
    "packages": {"type": "list", "elements": "str", "default": []},
    "profile": {"type": "bool", "default": True},
    "profile_path": {"type": "str", "default": "/etc/profile.d/zz-go-toolchain.sh"},
    "links": {"type": "bool", "default": True},
    "links_dir": {"type": "str", "default": "/usr/local/bin"},
    "environment_file": {"type": "bool", "default": False},
    "environment_file_path": {"type": "str", "default": "/etc/default/go"},
    "gopath": {"type": "str", "default": ""},
    "rc_files": {"type": "bool", "default": False},
    "consent": {"type": "list", "elements": "str", "default": []},
}
_VERSION_FOLDER = re.compile(r"go([0-9]+\.[0-9][0-9a-z.]*)")
_LOGIN_FILES = (".bash_profile", ".bash_login", ".profile")  # bash(1), INVOCATION: the first that exists
_EVERYBODYS = ("/etc/bash.bashrc", "/etc/zsh/zshenv")


class Made(NamedTuple):
    """What the role made on a host: the root of gvm, empty where gvm was there before; and the versions, ``1.27.3``."""

    gvm_root: str = ""
    versions: Sequence[str] = ()


def record_path(user: str) -> str:
    """Where it is remembered: in a folder that every host has, so that no folder of our own is to be made and removed."""
    if os.geteuid() != 0:
        return os.path.expanduser("~/.goready-go-made.json")
    return "/var/lib/goready-go-made-%s.json" % (user or "everybody")


def parse_made(content: Optional[bytes]) -> Made:
    """Raises ValueError for a record that is none of ours."""
    if content is None:
        return Made()
    try:
        value = json.loads(content.decode("utf-8"))
        return Made(str(value["gvm_root"]), tuple(str(version) for version in value["versions"]))
    except (ValueError, KeyError, TypeError):
        raise ValueError("it does not hold what was written there") from None


def remember(changes: Changes, path: str, made: Made) -> None:
    """Write the record; nothing to remember is no record."""
    if made.gvm_root or made.versions:
        changes.write(path, json.dumps({"gvm_root": made.gvm_root, "versions": sorted(made.versions)}) + "\n")
    else:
        changes.remove(path)


def merged(known: Made, more: Made) -> Made:
    """Both together, for what is about to be made."""
    return Made(more.gvm_root or known.gvm_root, tuple(sorted({*known.versions, *more.versions})))


def without(known: Made, less: Made) -> Made:
    """What remains after ``less`` was removed."""
    return Made("" if known.gvm_root == less.gvm_root else known.gvm_root,
                tuple(version for version in known.versions if version not in less.versions))


def parse_packages(wanted: Sequence[str], shown: str) -> List[str]:
    """Those of the packages that ``dpkg-query -W -f '${Package} ${db:Status-Status}\\n'`` does not call installed."""
    there = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in there]


def missing_packages(wanted: Sequence[str]) -> List[str]:
    """Raises ValueError where there is no dpkg to ask."""
    if not wanted:
        return []
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted], check=False, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=DPKG_TIMEOUT)
    except FileNotFoundError:
        raise ValueError("this host has no dpkg-query: the role installs packages on Debian and Ubuntu only; install %s by other "
                         "means and set go_toolchain_packages to []" % ", ".join(wanted)) from None
    except subprocess.TimeoutExpired:
        raise ValueError("dpkg-query gave no answer within %d s" % DPKG_TIMEOUT) from None
    return parse_packages(wanted, done.stdout)


def installed_versions(names: Iterable[str]) -> List[str]:
    """The versions among the names in gvm's folder ``gos``: ``1.27.3`` for ``go1.27.3``; others are people's own."""
    found = [_VERSION_FOLDER.fullmatch(name) for name in names]
    return sorted(match.group(1) for match in found if match)


def linked_units(goroot: str, ours: Set[str], folders: Sequence[str] = gvm.UNIT_FOLDERS) -> List[str]:
    """Unit files that start something below ``goroot`` through a symbolic link; the links in ``ours`` do not count."""
    found = []
    for folder in folders:
        for place, names, files in os.walk(folder):
            names.sort()
            for name in sorted(files):
                if not name.endswith((".service", ".conf")):
                    continue
                path = os.path.join(place, name)
                text = gvm.read_text(path)
                for word in re.findall(r"^\s*Exec[A-Za-z]*\s*=[-@:+!|\s]*(/[^\s;]+)", text, re.M):
                    if word not in ours and gvm.below(os.path.realpath(word), [os.path.realpath(goroot)]):
                        found.append("%s starts it as %s" % (path, word))
    return sorted(set(found))


def used_by(goroot: str, links: Sequence[str], environment_file: str) -> List[str]:
    """Who uses a version, besides the role's own links and file, which lead to another version before this one goes."""
    ending = "EnvironmentFile %s" % environment_file
    users = [line for line in gvm.in_use([goroot]) if not (environment_file and line.endswith(ending))]
    known = " ".join(users)
    return users + [line for line in linked_units(goroot, set(links)) if line.split(" ")[0] not in known]


def rc_files(home: str, shell: str, exists: Any = os.path.exists) -> List[str]:
    """The start files of a user's login and other shells; everybody's where ``home`` is empty."""
    if not home:
        return [path for path in _EVERYBODYS if exists(path)]
    if os.path.basename(shell) == "zsh":
        return [home + "/.zshenv"]  # zsh(1), STARTUP/SHUTDOWN FILES: every zsh reads it
    login = next((name for name in _LOGIN_FILES if exists(home + "/" + name)), ".profile")
    return [home + "/" + login, home + "/.bashrc"]


def look(params: Mapping[str, Any]) -> Dict[str, Any]:
    """The host as the module returns it, for its arguments. Raises ValueError with one sentence."""
    machine = os.uname().machine
    gvm_root, home, shell = str(params["gvm_root"]), "", ""
    if params["user"]:
        try:
            who = gvm.identity(params["user"])
        except gvm.GvmError as exc:
            raise ValueError(str(exc)) from None
        import pwd  # the account is known to exist

        account = pwd.getpwuid(who.uid)
        home, shell = account.pw_dir.rstrip("/"), account.pw_shell
        if gvm_root == gvm.DEFAULT_ROOT:
            gvm_root = home + "/.gvm"
    record = record_path(params["user"])
    try:
        made = parse_made(read_regular(record, RECORD_LIMIT))
    except FileNotFoundError:
        made = Made()
    except ValueError as exc:
        raise ValueError("%s: %s; move it away" % (record, str(exc).replace(record + " ", "it ", 1))) from None
    layout = gvm.Layout(gvm_root)
    gos = os.path.join(gvm_root, "gos")
    versions = installed_versions(os.listdir(gos)) if os.path.isdir(gos) else []
    links = ["%s/%s" % (params["links_dir"].rstrip("/"), tool) for tool in go_environment.TOOLS] if params["links"] else []
    # Who uses a version is asked only where it may have to go.
    keep = {name[2:] if name.startswith("go") else name for name in params["versions"]}
    going = params["state"] == "absent"
    asked = going or params["prune"]
    environment = go_environment.read_record(params["user"])
    return {
        "machine": machine,
        "arch": goarch.OF_MACHINE.get(machine, ""),
        "home": home,
        "gvm_root": gvm_root,
        "gvm": layout.installed(),
        "half": os.path.lexists(layout.staging),
        "packages": missing_packages(params["packages"]) if params["state"] == "present" else [],
        "rc_files": rc_files(home, shell),
        "made": {"gvm_root": made.gvm_root, "versions": list(made.versions)},
        "versions": [
            {"version": version, "used_by": used_by(layout.goroot("go" + version), links, params["environment_file_path"])
             if asked and (going or version not in keep) else []}
            for version in versions
        ],
        # A unit whose EnvironmentFile= is gone does not start (systemd.exec(5)).
        "file_used_by": [
            line for path, entry in environment.items() if going and entry["kind"] == "file" for line in gvm.in_use([path])
        ],
    }
