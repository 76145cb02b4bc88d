# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How people and units get a Go: links, a profile, shell start files, a file for EnvironmentFile=.

What stood in a place before is kept in a record on the host, so that taking it away again, or moving it to another place, leaves
the host as it was. Everything happens in one transaction; what is below a user's home is touched with that user's rights.
"""
from __future__ import annotations

import json
import os
import re
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils.readfile import read_regular
from ansible_collections.goready.preflight.plugins.module_utils.userfiles import Identity, UserChanges

TOOLS = ("go", "gofmt")
RECORD_LIMIT = 1 << 20
# systemd's own (systemd.exec(5), "$PATH"): a unit with the file has the same commands as one without.
UNIT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MARK = "goready.preflight go_environment"
HEADER = "# Written by %s; changes are lost.\n" % MARK
BEGIN = "# BEGIN %s\n" % MARK
END = "# END %s\n" % MARK
_BLOCK = re.compile(re.escape(BEGIN) + r"(?:.*\n)*?" + re.escape(END))


class Wanted(NamedTuple):
    """What there shall be. Empty strings: not that. ``homes``: the paths of the home of ``who``, with and without symbolic links;
    everything below belongs to that user."""

    goroot: str = ""
    links_dir: str = ""
    profile: str = ""
    environment_file: str = ""
    rc_files: Sequence[str] = ()
    gopath: str = ""
    who: Optional[Identity] = None
    homes: Sequence[str] = ()

    def whose(self, path: str) -> Optional[Identity]:
        """The user whose path it is, None for the system's."""
        return self.who if any(path.startswith(home + "/") for home in self.homes) else None


def shell_lines(goroot: str, gopath: str = "") -> str:
    """POSIX sh that puts the Go first in PATH; sourced by dash, with ``set -u`` and ``set -e`` too.

    GOROOT is unset: go finds its own, and one of another release breaks every build (cmd/compile/internal/base/flag.go).
    """
    lines = [
        "unset GOROOT",
        'case "${PATH-}:" in',
        "  %s/bin:*) ;;" % goroot,
        "  *) PATH=%s/bin${PATH:+:$PATH} ;;" % goroot,
        "esac",
        "export PATH",
    ]
    if gopath:
        place = '"$HOME/%s"' % gopath[2:] if gopath.startswith("~/") else '"%s"' % gopath
        lines += [
            "GOPATH=%s" % place,
            "export GOPATH",
            'case ":$PATH:" in',
            '  *":$GOPATH/bin:"*) ;;',
            "  *) PATH=$PATH:$GOPATH/bin ;;",
            "esac",
        ]
    return "\n".join(lines) + "\n"


def unit_lines(goroot: str, gopath: str = "") -> str:
    """What EnvironmentFile= reads (systemd.exec(5)). An empty GOROOT is none for go (cmd/go/internal/cfg); the file cannot
    unset it. systemd expands nothing, so a GOPATH in a home is left out."""
    lines = ["PATH=%s/bin:%s" % (goroot, UNIT_PATH), "GOROOT="]
    if gopath.startswith("/"):
        lines.append("GOPATH=%s" % gopath)
    return "\n".join(lines) + "\n"


def with_block(text: str, lines: str) -> str:
    """A shell start file with our lines at its top: what follows often ends with "if not interactive, return"."""
    return BEGIN + lines + END + without_block(text)


def without_block(text: str) -> str:
    return _BLOCK.sub("", text)


def only_block(text: str) -> str:
    """What a difference shows of a shell start file: the rest of it is nobody's business, and may be a token."""
    return "".join(_BLOCK.findall(text))


def record_path(user: str) -> str:
    """Where what was made is remembered: in a folder that every host has."""
    if os.geteuid() != 0:
        return os.path.expanduser("~/.goready-go-environment.json")
    return "/var/lib/goready-go-environment-%s.json" % (user or "everybody")


def places() -> Dict[str, str]:
    """Where journal and lock of a user without root's rights are: not below ~/.local, which may be among what is made."""
    own = os.path.expanduser("~/.goready-preflight")
    return {} if os.geteuid() == 0 else {"state_dir": own, "lock_dir": own}


def parse_record(content: Optional[bytes]) -> Dict[str, Dict[str, Any]]:
    """``{path: {kind, before, set}}`` of what was made; raises ValueError for a file that is none of ours."""
    if content is None:
        return {}
    try:
        made = json.loads(content.decode("utf-8"))["made"]
        return {str(path): {"kind": str(entry["kind"]), "before": entry["before"], "set": entry["set"]}
                for path, entry in made.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("it does not hold what was written there") from None


def read_record(user: str) -> Dict[str, Dict[str, Any]]:
    """What was made for a user, as :func:`parse_record` gives it. Raises ValueError with the record's path."""
    path = record_path(user)
    try:
        return parse_record(read_regular(path, RECORD_LIMIT))
    except FileNotFoundError:
        return {}
    except ValueError as exc:
        raise ValueError("%s: %s; move it away" % (path, str(exc).replace(path + " ", "it ", 1))) from None


def apply(changes: UserChanges, wanted: Wanted, record: str) -> None:
    """Let the host be as ``wanted`` says; an empty one takes everything back. Raises ValueError with what is in the way."""
    try:
        made = parse_record(changes.read(record))
    except ValueError as exc:
        raise ValueError("%s: %s; move it away" % (record, exc)) from None
    todo = _todo(changes, wanted, made)
    for path in sorted(set(made) - set(todo), key=_folders_last(made)):
        with changes.of(wanted.whose(path)):
            _take_back(changes, path, made.pop(path))
    for path, entry in todo.items():
        with changes.of(wanted.whose(path)):
            made[path] = _make(changes, path, entry, made.get(path), wanted)
    if made:
        changes.write(record, json.dumps({"made": made}, indent=1, sort_keys=True) + "\n")
    else:
        changes.remove(record)


def _todo(changes: UserChanges, wanted: Wanted, made: Mapping[str, Mapping[str, Any]]) -> Dict[str, Tuple[str, str]]:
    """``{path: (kind, content)}`` in the order of making: folders before what is in them."""
    files: Dict[str, Tuple[str, str]] = {}
    if not wanted.goroot:
        return files
    lines = shell_lines(wanted.goroot, wanted.gopath)
    if wanted.links_dir:
        for tool in TOOLS:
            files["%s/%s" % (wanted.links_dir, tool)] = ("link", "%s/bin/%s" % (wanted.goroot, tool))
    if wanted.profile:
        files[wanted.profile] = ("file", HEADER + lines)
    if wanted.environment_file:
        files[wanted.environment_file] = ("file", HEADER + unit_lines(wanted.goroot, wanted.gopath))
    for path in wanted.rc_files:
        files[path] = ("block", lines)
    folders: Dict[str, Tuple[str, str]] = {}
    for path in files:
        folder = os.path.dirname(path)
        missing = []
        while folder not in ("", "/"):
            with changes.of(wanted.whose(folder)):
                if folder not in made and changes.state(folder).kind != "absent":
                    break
            missing.append(folder)
            folder = os.path.dirname(folder)
        for one in reversed(missing):
            folders[one] = ("directory", "")
    folders.update(files)
    return folders


def _folders_last(made: Mapping[str, Mapping[str, Any]]) -> Any:
    return lambda path: (made[path]["kind"] == "directory", -len(path), path)


def _make(changes: UserChanges, path: str, entry: Tuple[str, str], known: Optional[Dict[str, Any]], wanted: Wanted) -> Dict[str, Any]:
    kind, content = entry
    now = changes.state(path)
    if kind == "directory":
        changes.directory(path)
        return {"kind": kind, "before": None, "set": None}
    if kind == "link":
        if now.kind not in ("absent", "link"):
            raise ValueError("%s is a %s: a link goes there only where none or another link is; move it away or choose another "
                             "folder" % (path, "folder" if now.kind == "directory" else now.kind))
        target = os.fsdecode(now.content) if now.kind == "link" else None
        before = known["before"] if known and known["kind"] == kind and known["set"] == target else target
        if before is not None and os.path.dirname(os.path.dirname(os.path.dirname(before))) == os.path.dirname(wanted.goroot):
            before = None  # to another of these very versions: ours, from a run whose record is lost
        changes.link(path, content)
        return {"kind": kind, "before": before, "set": content}
    text = _text(now.content) if now.kind == "file" else ""
    if kind == "file":
        if now.kind != "absent" and HEADER not in text:
            raise ValueError("%s is there already and was not written by this module: move it away or choose another path" % path)
        changes.write(path, content, owner=(0, 0) if os.geteuid() == 0 and wanted.whose(path) is None else None)
        return {"kind": kind, "before": None, "set": None}
    missing = known["before"] == "missing" if known else now.kind == "absent"
    changes.shown[path] = only_block
    if now.kind == "absent":
        changes.write(path, with_block("", content))
    else:
        changes.write(path, _bytes(with_block(text, content)), mode=now.mode)
    return {"kind": kind, "before": "missing" if missing else None, "set": None}


def _take_back(changes: UserChanges, path: str, entry: Mapping[str, Any]) -> None:
    """What somebody has changed since is theirs and stays."""
    now = changes.state(path)
    if entry["kind"] == "directory":
        changes.remove_directory(path)
    elif entry["kind"] == "link" and now.kind == "link" and os.fsdecode(now.content) == entry["set"]:
        if entry["before"] is None:
            changes.remove(path)
        else:
            changes.link(path, entry["before"])
    elif entry["kind"] == "file" and now.kind == "file" and HEADER.encode("utf-8") in now.content:
        changes.remove(path)
    elif entry["kind"] == "block" and now.kind == "file":
        changes.shown[path] = only_block
        rest = without_block(_text(now.content))
        if not rest and entry["before"] == "missing":
            changes.remove(path)
        else:
            changes.write(path, _bytes(rest), mode=now.mode)


def _text(content: bytes) -> str:
    """A start file may be of any encoding: what is not UTF-8 goes through unchanged."""
    return content.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
