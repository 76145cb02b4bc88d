# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``modules``: where Go would get its modules from, for each kind of shell and for every user with settings.

No shell is started here: the environments are those that the subset ``toolchain`` was given, which runs before. The files
behind them are read as cmd/go reads them (cmd/go/internal/cfg), so that it is known not only what counts, but which line of
which file says so. ``go env`` would tell the value alone.
"""
from __future__ import annotations

import os
import re
import stat
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import goenv, goenvfile, goversion, netrc
from ansible_collections.goready.preflight.plugins.module_utils.collect.toolchain import (
    ENVIRONMENTS, accounts_of, homes_of, text_of, user_file, version_file,
)
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context

NAMES = ("GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOFLAGS", "GOVCS", "GOAUTH", "GONOSUMCHECK")
# Compiled into cmd/go before 1.21; since then they stand in GOROOT/go.env alone.
_DEFAULTS = {"GOPROXY": "https://proxy.golang.org,direct", "GOSUMDB": "sum.golang.org"}
_ALWAYS = ("GOPROXY", "GOSUMDB")  # the others are reported where they are set
MAX_REWRITES = 100


# --- settings -----------------------------------------------------------------------------------------------------------

def collect_settings(ctx: Context) -> List[Dict[str, Any]]:
    """``modules.settings``: one entry for each shell that gave its environment, then one for each further user with a file."""
    if ctx.toolchain == "absent":
        return []
    environments: Mapping[str, Mapping[str, str]] = ctx.shared.get(ENVIRONMENTS) or {}
    toolchains = ctx.shared.get("toolchain.toolchains") or ()
    spare = next((one["goroot"] for one in toolchains if one["goroot"]), None)
    found = []
    files = set()
    for shell in ctx.shared.get("toolchain.shells") or ():
        environment = environments.get(shell["kind"])
        if environment is None:
            continue
        entry = _entry(ctx, shell["kind"], shell["user"], environment, shell["go"], shell["goroot"] or spare)
        files.add(entry["goenv"])
        found.append(entry)
    accounts = accounts_of(ctx)
    owners = {user.home.rstrip("/"): user.name for user in reversed(list(accounts.users.values()))}
    asked = {one["user"] for one in found if one["kind"] in ("login", "non_login")}  # these know best which file they read
    for home in homes_of(ctx):
        path = home + "/.config/go/env"
        user = owners.get(home, os.path.basename(home))
        if path not in files and user not in asked and text_of(ctx, path) is not None:
            found.append(_entry(ctx, "file", user, {"HOME": home}, None, spare))
    return found


def _entry(ctx: Context, kind: str, user: str, environment: Mapping[str, str], go: Optional[str],
           goroot: Optional[str]) -> Dict[str, Any]:
    path = user_file(environment)
    mine = goenvfile.effective(text_of(ctx, path) or "") if path else {}
    shared_path = goroot + "/go.env" if goroot else None
    shared = goenvfile.effective(text_of(ctx, shared_path) or "", first=True) if shared_path else {}
    defaults = {} if _says_all(ctx, goroot) else _DEFAULTS
    home = environment.get("HOME", "")
    values: Dict[str, Dict[str, Any]] = {}
    where: Optional[str]
    for name in NAMES:
        if environment.get(name):
            value, source = environment[name], "environment"
            where = setting_place(ctx, kind, home, name)
        elif name in mine:
            value, source = mine[name].value, "user_file"
            where = "%s:%d" % (path, mine[name].line)
        elif name in shared:
            value, source = shared[name].value, "goroot_file"
            where = "%s:%d" % (shared_path, shared[name].line)
        else:
            value, source = defaults.get(name, ""), "default"
            where = None
        if value or name in _ALWAYS or source != "default":
            values[name] = {"value": goenv.clean_value(value), "source": source, "where": where}
    # The two lists default to GOPRIVATE (https://go.dev/ref/mod#private-modules).
    for name in ("GONOPROXY", "GONOSUMDB"):
        if not values.get(name, {}).get("value") and "GOPRIVATE" in values:
            values[name] = dict(values["GOPRIVATE"])
    return {"kind": kind, "user": user, "go": go, "goroot": goroot, "goenv": path, "values": values}


def _says_all(ctx: Context, goroot: Optional[str]) -> bool:
    """Whether this Go has no default of its own beside GOROOT/go.env."""
    text = version_file(ctx, goroot)
    try:
        return text is not None and goversion.Range.parse(">=1.21").matches(goversion.parse(text))
    except ValueError:
        return False


# The files that put variables into an environment, in the order in which they are read; the last one counts.
_COMMON_FILES = ("/etc/environment", "/etc/security/pam_env.conf")
_LOGIN_FILES = ("/etc/profile", "/etc/profile.d", "/etc/zsh/zshenv", "/etc/zsh/zprofile", "/etc/bash.bashrc", "~/.zshenv",
                "~/.zprofile", "~/.bashrc", "~/.zshrc", "~/.profile", "~/.bash_login", "~/.bash_profile", "~/.config/fish/config.fish")
_NON_LOGIN_FILES = ("/etc/bash.bashrc", "/etc/zsh/zshenv", "~/.zshenv", "~/.bashrc", "~/.config/fish/config.fish")
_SYSTEMD_FILES = ("/etc/systemd/system.conf", "/etc/systemd/system.conf.d", "/etc/environment.d")


def setting_place(context: Context, kind: str, home: str, name: str) -> Optional[str]:
    """``file:line`` of the start-up file that gives a variable its value in this kind of shell, None where none shows it.

    By the text alone: who computes a name or reads further files is not followed.
    """
    files = {"login": _COMMON_FILES + _LOGIN_FILES, "non_login": _COMMON_FILES + _NON_LOGIN_FILES,
             "systemd": _SYSTEMD_FILES}.get(kind, _COMMON_FILES + ("/etc/sudoers",))
    word = re.escape(name)
    assigned = re.compile(r"(?:\A|[\s;&\"'=])%s=|\A%s[ \t]+(?:DEFAULT|OVERRIDE)=|\bset[ \t]+-\w*x\w*[ \t]+%s[ \t]" % (word, word, word))
    found = None
    for entry in files:
        path = home.rstrip("/") + entry[1:] if entry.startswith("~") else entry
        names = [path]
        if entry.endswith(".d"):
            try:
                names = ["%s/%s" % (path, one) for one in sorted(os.listdir(context.path(path)))
                         if not one.startswith(".") and one.endswith((".sh", ".conf"))]
            except OSError:
                continue
        for one in names:
            for number, line in enumerate((text_of(context, one) or "").split("\n"), 1):
                if not line.lstrip().startswith(("#", "unset ")) and assigned.search(line):
                    found = "%s:%d" % (one, number)
    return found


# --- what says that modules are private ---------------------------------------------------------------------------------

def collect_netrc(ctx: Context) -> List[Dict[str, Any]]:
    """``modules.netrc``: every ~/.netrc, the machines in it and who can read it. Nothing else of it leaves the host."""
    accounts = accounts_of(ctx)
    found = []
    for home in homes_of(ctx):
        path = home + "/.netrc"
        try:
            status = os.lstat(ctx.path(path))
        except OSError:
            continue
        # A link would let its owner learn what another's file names.
        text = text_of(ctx, path) if stat.S_ISREG(status.st_mode) else None
        machines = sorted({one.machine[:200] for one in netrc.entries(text or "") if one.machine})
        found.append({"path": path, "owner": accounts.user_name(status.st_uid), "mode": "%04o" % stat.S_IMODE(status.st_mode),
                      "machines": machines[:50], "readable": text is not None})
    return found


def collect_git(ctx: Context) -> List[Dict[str, Any]]:
    """``modules.git``: the addresses that git replaces (url.X.insteadOf), as Go's documentation advises for private modules."""
    owners = {user.home.rstrip("/"): user.name for user in reversed(list(accounts_of(ctx).users.values()))}
    files: List[Tuple[Optional[str], str]] = [(None, "/etc/gitconfig")]
    for home in homes_of(ctx):
        user = owners.get(home, os.path.basename(home))
        files += [(user, home + "/.gitconfig"), (user, home + "/.config/git/config")]
    found = []
    for whose, path in files:
        for line, url, instead in rewrites(text_of(ctx, path) or ""):
            found.append({"user": whose, "where": "%s:%d" % (path, line), "url": goenv.clean_value(url),
                          "instead_of": goenv.clean_value(instead)})
    return found[:MAX_REWRITES]


def rewrites(text: str) -> Iterator[Tuple[int, str, str]]:
    """(line, X, Y) of every ``[url "X"] insteadOf = Y`` of a git configuration (git-config(1))."""
    url = None
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        section = re.match(r'\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\](.*)\Z', line)
        if section:
            url = section.group(2) if section.group(1).lower() == "url" else None
            line = section.group(3).strip()
        found = re.match(r"(?i)insteadof\s*=\s*\"?([^\"#;]*)", line)
        if found and url is not None and found.group(1).strip():
            yield number, url, found.group(1).strip()


PARTS = (
    ("settings", collect_settings),
    ("netrc", collect_netrc),
    ("git", collect_git),
)
