# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module ``module_proxy`` does: where Go gets its modules from, for users and for a whole Go.

Public: :func:`faults` (is the wish in order?), :func:`run` (let the host be so, and prove it), :class:`Refused`.

A record beside the journals, for root alone, keeps how each touched file was: ``state: absent`` gives back the very bytes
where nobody else has changed the file since, else only our own lines.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import goenv, goenvfile, goproxy, goversion, netrc
from ansible_collections.goready.preflight.plugins.module_utils.collect import modules, toolchain
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable
from ansible_collections.goready.preflight.plugins.module_utils.userfiles import Identity, UserChanges, acting_as, identity

#: Option -> the variable that it sets.
OPTIONS = {"goproxy": "GOPROXY", "gosumdb": "GOSUMDB", "goprivate": "GOPRIVATE", "gonoproxy": "GONOPROXY",
           "gonosumdb": "GONOSUMDB", "goinsecure": "GOINSECURE", "goflags": "GOFLAGS"}
NAMES = tuple(OPTIONS.values())
GO_TIMEOUT = 60.0  # an emulated host takes ten seconds
FIRST_WITH_GO_ENV = "1.21"
_SHELL_WORDS = {"login": "login shell", "non_login": "non-login shell"}


class Refused(Exception):
    """What was asked cannot be done, or was not effective. One sentence each; nothing stays changed."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = list(sentences)


class Target(NamedTuple):
    """A user whose settings are asked for."""

    who: Identity
    home: str
    file: str  # the go/env file
    netrc: str
    go: Optional[str]  # what the login shell finds
    environment: Dict[str, str]  # of the login shell


# --- the wish -----------------------------------------------------------------------------------------------------------

def wanted(params: Mapping[str, Any]) -> Dict[str, Optional[str]]:
    """``{variable: value}``, None for one whose line is to go. What is to be left alone is not in it."""
    values: Dict[str, Optional[str]] = {}
    for option, name in OPTIONS.items():
        if params[option]:
            values[name] = params[option]
    for name in params["unset"]:
        if name in NAMES:
            values[name] = None
    return values


def conditional(params: Mapping[str, Any]) -> Dict[str, List[str]]:
    """``{variable: values}`` whose line is to go only where it has one of these values (``NAME=value`` in ``unset``)."""
    found: Dict[str, List[str]] = {}
    for entry in params["unset"]:
        name, equals, value = entry.partition("=")
        if equals and name not in wanted(params):
            found.setdefault(name, []).append(value)
    return found


def faults(params: Mapping[str, Any]) -> List[str]:
    """One sentence for each thing that is wrong with the arguments themselves: option, value, what is allowed."""
    found: List[str] = []
    values = wanted(params)
    if not params["users"] and not params["system"]:
        found.append("users: nobody is named and system is false, so there is nothing to set; name users, or set system")
    for user in params["users"]:
        if not re.match(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?\Z", user):
            found.append("users: %r is no user name" % user)
    for goroot in params["goroots"]:
        if not goroot.startswith("/"):
            found.append("goroots: %r is no absolute path" % goroot)
    if params["goroots"] and not params["system"]:
        found.append("goroots: they are used only where system is true")
    if params["netrc"] and not params["users"]:
        found.append("netrc: a netrc file belongs to a user, and users names none")
    for option, name in OPTIONS.items():
        if name in params["unset"] and params[option]:
            found.append("unset: %s is to be unset, and %s gives it a value" % (name, option))
        elif params[option]:
            found.extend(_value_faults(option, name, params[option], params["allow_unverified"]))
    for entry in params["unset"]:
        if entry.partition("=")[0] not in NAMES:
            found.append("unset: %r is none of %s, alone or with =VALUE" % (entry, ", ".join(NAMES)))
    for name in ("GOPROXY", "GOSUMDB"):
        if params["system"] and any(entry.partition("=")[0] == name for entry in params["unset"]) and not values.get(name):
            found.append("unset: %s has no default beside the one in GOROOT/go.env, so go would stop without it; set it to %s"
                         % (name, "https://proxy.golang.org,direct" if name == "GOPROXY" else "sum.golang.org"))
    if params["state"] == "present" and not values and not params["unset"] and not params["netrc"]:
        found.append("state: present, but no value, nothing to unset and no netrc entry is given")
    seen = set()
    for number, entry in enumerate(params["netrc"]):
        where = "netrc[%d]" % number
        for key in ("machine", "login", "password"):
            if params["state"] == "present" or key == "machine":
                try:
                    netrc.check_word("%s.%s" % (where, key), entry.get(key) or "")
                except ValueError as exc:
                    found.append(str(exc))
        if entry.get("machine") in seen:
            found.append("%s: machine %s is named twice" % (where, entry["machine"]))
        seen.add(entry.get("machine"))
    return found


def _value_faults(option: str, name: str, value: str, allowed: bool) -> List[str]:
    try:
        goenvfile.check_value(name, value)
    except ValueError as exc:
        return ["%s: %s" % (option, exc)]
    if name in ("GOPROXY", "GOSUMDB") and goproxy.has_credentials(value):
        return ["%s: a URL in it carries credentials, which every `go env` and error message would show; give them by netrc "
                "(machine, login, password) and leave them out of the URL" % option]
    if name == "GOPROXY":
        try:
            goproxy.proxies(value)
        except ValueError as exc:
            return ["%s: %s; expected URLs, direct and off, separated by `,` or `|`" % (option, exc)]
    if name == "GOSUMDB":
        fault = goproxy.sumdb_fault(value)
        if fault:
            return ["%s: %s" % (option, fault)]
    reason = goproxy.unverified(name, value)
    if reason and not allowed:
        return ["%s: %r is refused: %s; set allow_unverified: true if that is what you want" % (option, value, reason)]
    return []


# --- what is there ------------------------------------------------------------------------------------------------------

def _context(user: str) -> Context:
    return Context(build_user=user, timeout=120.0)


def _target(name: str, values: Mapping[str, Optional[str]], warnings: List[str]) -> Target:
    """Where the user's settings lie and what would hide them. Refused where they could not be set or would not count."""
    context = _context(name)
    account = toolchain.accounts_of(context).by_name(name)
    if account is None:
        raise Refused(["users: there is no user %s on this host" % name])
    if not account.home.startswith("/") or not os.path.isdir(account.home):
        raise Refused(["users: the home of %s, %s, is no folder" % (name, account.home)])
    entries = {entry["kind"]: entry for entry in toolchain.collect_shells(context)}
    environments: Dict[str, Dict[str, str]] = context.shared.get(toolchain.ENVIRONMENTS, {})
    plain = {"HOME": account.home, "USER": name, "LOGNAME": name, "PATH": toolchain.USER_PATH}
    login = environments.get("login")
    if login is None:
        warnings.append("the login shell of %s gave no answer (%s): whether its start-up files hide a value is not known"
                        % (name, entries.get("login", {}).get("error")))
        login = plain
    sentences = []
    for kind, environment in sorted(environments.items()):
        hidden = _hidden(context, account, kind, environment, values)
        if kind == "login":
            sentences.extend(hidden)
        elif kind != "sudo" or account.uid == 0:
            warnings.extend(sentence for sentence in hidden if sentence not in warnings)
    path = toolchain.user_file(login)
    if path is None:
        sentences.append("GOENV=%s in the login shell of %s: go reads no file of that user's, so none can be set"
                         % (login.get("GOENV", ""), name))
    if sentences:
        raise Refused(sentences)
    return Target(identity(name, account.uid, account.gid), account.home, path or "", account.home.rstrip("/") + "/.netrc",
                  entries.get("login", {}).get("go"), login)


def _hidden(context: Context, account: toolchain.User, kind: str, environment: Mapping[str, str],
            values: Mapping[str, Optional[str]]) -> List[str]:
    """One sentence for each variable of the environment that hides what the file is to say."""
    found = []
    for name, value in values.items():
        there = environment.get(name, "")
        if not there or there == value:
            continue
        place = modules.setting_place(context, kind, account.home, name)
        where = "%s of %s" % (_SHELL_WORDS[kind], account.name) if kind in _SHELL_WORDS else kind
        found.append("%s=%s is set in the environment of the %s%s, where it counts before every file of go's: take it out there"
                     % (name, goenv.clean_value(there), where, " by " + place if place else ""))
    return found


def _goroots(named: Sequence[str], targets: Sequence[Target], warnings: List[str]) -> List[str]:
    """The Gos whose go.env is to be written: those named, else every one that is found, root's own and new enough."""
    context = _context("root")
    found: List[str] = []
    if named:
        found = [toolchain.real_path(context, one.rstrip("/") or "/") for one in named]
    else:
        context.shared["toolchain.gvm"] = toolchain.collect_gvm(context)
        found = [root for _how, root in toolchain.installed(context)]
        for target in targets:
            if target.go:
                found.append(os.path.dirname(os.path.dirname(toolchain.real_path(context, target.go))))
    sentences: List[str] = []
    good: List[str] = []
    for root in dict.fromkeys(found):
        fault = _goroot_fault(context, root)
        if fault is None:
            good.append(root)
        elif named:
            sentences.append("goroots: %s %s" % (root, fault))
        else:
            warnings.append("%s is left out: it %s" % (root, fault))
    if sentences:
        raise Refused(sentences)
    if not good:
        raise Refused(["system: no Go of %s or newer that belongs to root was found; name it by goroots" % FIRST_WITH_GO_ENV])
    return good


def _goroot_fault(context: Context, root: str) -> Optional[str]:
    if not toolchain.is_goroot(context, root):
        return "is no Go tree (it has no bin/go)"
    text = toolchain.version_file(context, root)
    try:
        version = goversion.parse(text or "")
    except ValueError:
        return "does not say its version"
    if not goversion.Range.parse(">=" + FIRST_WITH_GO_ENV).matches(version) and not version.prerelease:
        return "is %s, and go.env is read since Go %s" % (text, FIRST_WITH_GO_ENV)
    accounts = toolchain.accounts_of(context)
    # Root writes the one and runs the other.
    for start in (os.path.dirname(toolchain.real_path(context, root + "/go.env")), toolchain.real_path(context, root + "/bin/go")):
        for index, path in enumerate([start] + toolchain.parents_of(start)):
            for words, _uid in toolchain.open_to(os.stat(path), accounts, {0, os.geteuid()}, parent=index > 0):
                return "can be changed by others than root: %s %s" % (path, words)
    return None


# --- the record ---------------------------------------------------------------------------------------------------------

def _digest(text: str, salt: str = "") -> str:
    return hashlib.sha256((salt + text).encode("utf-8", "surrogateescape")).hexdigest()


def _load(changes: UserChanges) -> Dict[str, Dict[str, Any]]:
    raw = changes.read(changes.record_path)
    try:
        return dict(json.loads(raw.decode("utf-8"))["files"]) if raw else {}
    except (ValueError, KeyError, TypeError) as exc:
        raise Refused(["%s, which says what is to be taken back, cannot be read: %s" % (changes.record_path, exc)]) from None


def _save(changes: UserChanges, files: Mapping[str, Any]) -> None:
    if files:
        text = json.dumps({"version": 1, "files": files}, indent=1, sort_keys=True) + "\n"
        changes.write(changes.record_path, text, mode=0o600, secret=True)
    else:
        changes.remove(changes.record_path, secret=True)


def _text(raw: Optional[bytes]) -> str:
    return (raw or b"").decode("utf-8", "surrogateescape")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _shown(text: str) -> str:
    """An environment file as the difference shows it."""
    lines = []
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        lines.append(name + equals + goenv.clean_value(value))
    return "\n".join(lines)


# --- the change ---------------------------------------------------------------------------------------------------------

def _own_file(changes: UserChanges, path: str, who: Optional[Identity]) -> Tuple[Optional[bytes], int]:
    """(content or None, mode) of a file that is there to be edited. Refused where it is not the user's own plain file."""
    try:
        state = changes.state(path)
    except (OSError, ValueError) as exc:
        raise Refused(["%s cannot be read: %s" % (path, getattr(exc, "strerror", None) or exc)]) from None
    if state.kind == "absent":
        return None, 0
    if state.kind != "file":
        what = "a symbolic link to %s" % os.fsdecode(state.content) if state.kind == "link" else "a folder"
        raise Refused(["%s is %s: only a plain file is changed" % (path, what)])
    if who is not None and state.uid != who.uid:
        raise Refused(["%s belongs to user id %d, not to %s: give it to %s first" % (path, state.uid, who.name, who.name)])
    return state.content, state.mode


def _may_write(path: str, who: Optional[Identity]) -> None:
    """Refused where the file could not be put into its folder: before anything is changed, and in check mode too."""
    folder = os.path.dirname(path)
    with acting_as(who):
        while not os.path.lexists(folder) and folder != "/":
            folder = os.path.dirname(folder)
        if not os.path.isdir(folder):
            raise Refused(["%s cannot be written: %s is no folder" % (path, folder)])
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
            reason = "is on a read-only file system" if read_only else "may not be written by %s" % (who.name if who else "root")
            raise Refused(["%s cannot be written: %s %s" % (path, folder, reason)])


def _set(changes: UserChanges, files: Dict[str, Any], path: str, who: Optional[Identity],
         values: Mapping[str, Optional[str]], unless: Mapping[str, Sequence[str]]) -> None:
    """Set the values in one environment file, take out the lines of ``unless`` that say so, and remember how it was."""
    with changes.of(who):
        content, mode = _own_file(changes, path, who)
        before = _text(content)
        record = files.get(path)
        done = {name: goenvfile.Edit(tuple(edit["before"]), edit["after"])
                for name, edit in (record["lines"] if record else {}).items()}
        there = goenvfile.effective(before, first=who is None)
        gone = {name: None for name, bad in unless.items() if name in there and there[name].value in bad}
        text, edits = goenvfile.apply(before, dict(values, **gone), done, first=who is None)
        if text == before:
            return
        _may_write(path, who)
        folders: List[str] = list(record["folders"]) if record else []
        folder = os.path.dirname(path)
        missing = []
        while changes.state(folder).kind == "absent":
            missing.append(folder)
            folder = os.path.dirname(folder)
        if missing:
            changes.directory(missing[0])
            folders = missing + [one for one in folders if one not in missing]
        changes.shown[path] = _shown
        changes.write(path, _raw(text), mode=mode or 0o644)
    if record is None:
        record = {"kind": "env", "user": who.name if who else None, "existed": content is not None, "original": before}
    elif record["original"] is not None and record["sha256"] != _digest(before):
        record["original"] = None  # somebody else has changed it since: from here on, line by line
    record["sha256"] = _digest(text)
    record["folders"] = folders
    record["lines"] = {name: {"before": list(edit.before), "after": edit.after} for name, edit in edits.items()}
    files[path] = record


def _set_netrc(changes: UserChanges, files: Dict[str, Any], target: Target, entries: Sequence[Mapping[str, str]]) -> None:
    path, who = target.netrc, target.who
    with changes.of(who):
        content, mode = _own_file(changes, path, who)
        text = before = _text(content)
        record = files.get(path) or {"kind": "netrc", "user": who.name, "existed": content is not None, "mode": mode, "machines": {}}
        machines = record["machines"]
        for entry in entries:
            machine = entry["machine"]
            try:
                old = netrc.find(text, machine)
                after = netrc.put(text, machine, entry["login"], entry["password"])
            except ValueError as exc:
                raise Refused(["%s has %s: mend that first" % (path, exc)]) from None
            if after == text:
                continue
            ours = machines.get(machine)
            old_text = text[old.start:old.end] if old else None
            if ours is None or old_text is None or _digest(old_text, ours["salt"]) != ours["sha256"]:
                ours = {"before": old_text}
            salt = hashlib.sha256(_raw(path + machine + str(os.stat(target.home).st_ino))).hexdigest()[:16]
            line = netrc.line(machine, entry["login"], entry["password"])
            machines[machine] = {"before": ours["before"], "salt": salt, "sha256": _digest(line, salt)}
            text = after
        if text == before and (content is None or mode & 0o077 == 0):
            return
        _may_write(path, who)
        changes.write(path, _raw(text), mode=0o600, secret=True)
    files[path] = record


def _take_back(changes: UserChanges, files: Dict[str, Any], path: str, warnings: List[str]) -> None:
    record = files.pop(path)
    who: Optional[Identity] = None
    if record["user"] is not None:
        account = toolchain.accounts_of(_context("root")).by_name(record["user"])
        if account is None:
            warnings.append("%s is left as it is: its user %s is gone" % (path, record["user"]))
            return
        who = identity(account.name, account.uid, account.gid)
    with changes.of(who):
        content, mode = _own_file(changes, path, who)
        if content is None:
            return  # nothing of ours is left
        now = text = _text(content)
        if record["kind"] == "netrc":
            for machine, ours in record["machines"].items():
                try:
                    entry = netrc.find(text, machine)
                except ValueError as exc:
                    warnings.append("%s has %s now: they are left as they are" % (path, exc))
                    continue
                if entry is None or _digest(text[entry.start:entry.end], ours["salt"]) != ours["sha256"]:
                    warnings.append("%s: the entry of machine %s was changed since and is left as it is" % (path, machine))
                    continue
                text = netrc.replace(text, machine, ours["before"])
            new_mode = record["mode"] or mode
        else:
            if record["original"] is not None and record["sha256"] == _digest(now):
                text = record["original"]
            else:
                edits = {name: goenvfile.Edit(tuple(edit["before"]), edit["after"]) for name, edit in record["lines"].items()}
                text, changed = goenvfile.revert(now, edits, first=who is None)
                warnings.extend("%s: %s was changed since and is left as it is" % (path, name) for name in changed)
            new_mode = mode
            changes.shown[path] = _shown
        if (text, new_mode) == (now, mode) and (text or record["existed"]):
            return
        _may_write(path, who)
        secret = record["kind"] == "netrc"
        if text == "" and not record["existed"]:
            changes.remove(path, secret=secret)
            for folder in record.get("folders", ()):
                changes.remove_directory(folder)
        else:
            changes.write(path, _raw(text), mode=new_mode, secret=secret)


# --- the proof ----------------------------------------------------------------------------------------------------------

def _go_env(context: Context, prefix: List[str], go: str, environment: Mapping[str, str], names: Sequence[str]) -> Dict[str, str]:
    """What `go env` says. XDG_CONFIG_HOME leads nowhere, so that no telemetry is written; a neutral folder has no go.mod."""
    answer = dict(environment, GOTOOLCHAIN="local", GOWORK="off", XDG_CONFIG_HOME="/dev/null")
    try:
        rc, out, err = context.run(prefix + [go, "env", "-json"] + list(names), timeout=GO_TIMEOUT, env=answer)
        values = json.loads(out) if rc == 0 else None
    except (OSError, ValueError, Unavailable, TimeoutError) as exc:
        raise Refused(["%s gave no answer: %s" % (go, exc)]) from None
    if not isinstance(values, dict):
        raise Refused(["`%s env` ended with %d: %s" % (go, rc, goenv.clean_value((err.strip().splitlines() or [""])[-1][:300]))])
    return {str(name): str(value) for name, value in values.items()}


def _prove(subject: str, go: str, said: Mapping[str, str], values: Mapping[str, Optional[str]],
           unless: Mapping[str, Sequence[str]]) -> Dict[str, Any]:
    wrong = ["`%s env %s` says %r for %s, not %r" % (go, name, goenv.clean_value(said.get(name, "")), subject, value)
             for name, value in values.items() if value is not None and said.get(name, "") != value]
    wrong += ["`%s env %s` says %r for %s still" % (go, name, goenv.clean_value(said.get(name, "")), subject)
              for name, bad in unless.items() if said.get(name, "") in bad]
    if wrong:
        raise Refused(["what was written is not effective and was taken back. " + one for one in wrong])
    return {"subject": subject, "go": go, "settings": {name: goenv.clean_value(value) for name, value in sorted(said.items())},
            "proven": True}


def _prove_user(target: Target, values: Mapping[str, Optional[str]], unless: Mapping[str, Sequence[str]], spare: Sequence[str],
                warnings: List[str]) -> Dict[str, Any]:
    name = target.who.name
    go = target.go or next((root + "/bin/go" for root in spare), None)
    if go is None:
        warnings.append("no go was found for %s: %s is written, but nothing could prove that it counts" % (name, target.file))
        return {"subject": name, "go": None, "settings": {}, "proven": False}
    environment = dict(target.environment, GOENV=target.file, HOME=target.home)
    prefix = toolchain.as_user(target.who.uid, target.who.gid, name)
    if target.who.uid == 0 and toolchain.runner_of(_context(name), toolchain.real_path(_context(name), go))[0]:
        warnings.append("%s is not run as root, for others could have replaced it: nothing could prove that %s counts" % (go, target.file))
        return {"subject": name, "go": None, "settings": {}, "proven": False}
    return _prove(name, go, _go_env(_context(name), prefix, go, environment, NAMES), values, unless)


def _prove_goroot(root: str, values: Mapping[str, Optional[str]], unless: Mapping[str, Sequence[str]]) -> Dict[str, Any]:
    environment = {"HOME": "/nonexistent", "PATH": toolchain.ROOT_PATH, "GOENV": "off", "GOROOT": root}
    return _prove(root, root + "/bin/go", _go_env(_context("root"), [], root + "/bin/go", environment, NAMES), values, unless)


def _hide_system(root_values: Mapping[str, Optional[str]], named: Sequence[str], warnings: List[str]) -> None:
    """Say whose own file hides what is set for all."""
    context = _context("root")
    for home in toolchain.homes_of(context):
        path = home + "/.config/go/env"
        if path in named:
            continue
        for name, one in goenvfile.effective(toolchain.text_of(context, path) or "").items():
            if root_values.get(name) not in (None, one.value):
                warnings.append("%s:%d sets %s, which counts before what is set for all" % (path, one.line, name))


# --- all of it ----------------------------------------------------------------------------------------------------------

def run(params: Mapping[str, Any], *, check_mode: bool = False, lock_timeout: float = 120.0) -> Dict[str, Any]:
    """Let the host be as the arguments say. Returns what the module returns. Raises :class:`Refused`, ``changing.Busy``,
    OSError; whatever was changed by then is taken back."""
    found = faults(params)
    if found:
        raise Refused(found)
    if os.geteuid() != 0 and (params["system"] or params["users"] != [_own_name()]):
        raise Refused(["only root can set this for all or for other users: set become: true"])
    warnings: List[str] = []
    if params["state"] == "absent":
        return _absent(params, warnings, check_mode, lock_timeout)
    values, unless = wanted(params), conditional(params)
    targets: List[Target] = []
    sentences: List[str] = []
    for name in dict.fromkeys(params["users"]):
        try:
            targets.append(_target(name, values, warnings))
        except Refused as exc:
            sentences.extend(exc.sentences)
    roots: List[str] = []
    if params["system"]:
        try:
            roots = _goroots(params["goroots"], targets, warnings)
        except Refused as exc:
            sentences.extend(exc.sentences)
    if sentences:
        raise Refused(sentences)
    proof: List[Dict[str, Any]] = []
    context = _context("root")

    def edit(changes: UserChanges) -> None:
        files = _load(changes)
        for target in targets:
            _set(changes, files, target.file, target.who, values, unless)
            if params["netrc"]:
                _set_netrc(changes, files, target, params["netrc"])
        for root in roots:
            _set(changes, files, toolchain.real_path(context, root + "/go.env"), None, values, unless)
        _save(changes, files)

    with UserChanges("module_proxy", check_mode=check_mode, lock_timeout=lock_timeout) as changes:
        if not check_mode:
            with UserChanges("module_proxy", check_mode=True) as trial:
                edit(trial)  # what cannot be done is refused before anything is
        edit(changes)
        if not check_mode:
            spare = roots
            if not spare and any(target.go is None for target in targets):
                spare = [one for _how, one in toolchain.installed(context) if _goroot_fault(context, one) is None]
            proof = [_prove_user(target, values, unless, spare, warnings) for target in targets]
            proof += [_prove_goroot(root, values, unless) for root in roots]
    if roots:
        _hide_system(values, [target.file for target in targets], warnings)
    return dict(changes.as_result(), proof=proof, goroots=roots, warnings=warnings)


def _absent(params: Mapping[str, Any], warnings: List[str], check_mode: bool, lock_timeout: float) -> Dict[str, Any]:
    roots = set()
    context = _context("root")
    named = {toolchain.real_path(context, one.rstrip("/") + "/go.env") for one in params["goroots"]}

    def edit(changes: UserChanges, notes: List[str]) -> None:
        files = _load(changes)
        for path in list(files):
            user = files[path]["user"]
            if user is None and params["system"] and (not named or path in named):
                roots.add(os.path.dirname(path))
            elif user not in params["users"]:
                continue
            _take_back(changes, files, path, notes)
        _save(changes, files)

    with UserChanges("module_proxy", check_mode=check_mode, lock_timeout=lock_timeout) as changes:
        if not check_mode:
            with UserChanges("module_proxy", check_mode=True) as trial:
                edit(trial, [])
        edit(changes, warnings)
    return dict(changes.as_result(), proof=[], goroots=sorted(roots), warnings=warnings)


def _own_name() -> str:
    user = toolchain.accounts_of(_context("")).by_uid(os.geteuid())
    return user.name if user else str(os.geteuid())
