# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts that say how Go is set up: VERSION, the go command's environment files, what shells and systemd print.

Pure: text in, values out. Text that does not follow its format gives fewer values; ValueError only where nothing could be
told (said with each function).
"""
from __future__ import annotations

import re
from typing import Dict, List, Mapping, Match, Optional, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import redact

# What is reported of an environment. Everything else in it stays on the host.
VARIABLES = ("GOROOT", "GOPATH", "GOPROXY", "GOSUMDB", "GOPRIVATE", "GOFLAGS", "GOTOOLCHAIN", "GONOPROXY", "GONOSUMDB",
             "GOINSECURE", "GOENV", "GOBIN", "GOMODCACHE", "GO111MODULE", "GOOS", "GOARCH", "CGO_ENABLED")

# Those whose value in effect is reported for every shell, with the default that is compiled into cmd/go (since Go 1.21 the
# official release sets GOTOOLCHAIN=auto in GOROOT/go.env, which comes before it).
_DEFAULTS = {"GOPROXY": "https://proxy.golang.org,direct", "GOSUMDB": "sum.golang.org", "GOPRIVATE": "", "GONOPROXY": "",
             "GONOSUMDB": "", "GOINSECURE": "", "GOFLAGS": "", "GOTOOLCHAIN": "local"}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}


def version_line(text: str) -> Optional[str]:
    """The version that a GOROOT/VERSION file names, or None. Since Go 1.21 a second line gives the time of the release."""
    first = text.split("\n", 1)[0].strip()
    return first[:256] if first and first.isprintable() else None


def parse_env_file(text: str) -> Dict[str, str]:
    """A file of ``go env -w`` or GOROOT/go.env. As cmd/go reads it: lines ``KEY=value`` whose key begins with a capital,
    everything else is skipped, the value is taken as it is."""
    values: Dict[str, str] = {}
    for line in text.split("\n"):
        line = line.rstrip("\r")
        name, equals, value = line.partition("=")
        if equals and name[:1].isupper() and name.isascii() and _NAME.match(name):
            values[name] = value
    return values


def parse_etc_environment(text: str) -> Dict[str, str]:
    """/etc/environment as pam_env(8) reads it: ``KEY=value``, an optional ``export``, one pair of quotes taken off, a ``#``
    begins a comment, nothing is expanded."""
    values: Dict[str, str] = {}
    for line in text.split("\n"):
        line = line.split("#", 1)[0].strip()
        if line.startswith("export "):
            line = line[7:].lstrip()
        name, equals, value = line.partition("=")
        if not equals or not _NAME.match(name):
            continue
        if value[:1] in ("'", '"') and value[:1]:
            quote = value[0]
            value = value[1:]
            if value.endswith(quote):
                value = value[:-1]
        values[name] = value
    return values


def parse_show_environment(text: str) -> Dict[str, str]:
    """The lines of ``systemctl show-environment``: ``KEY=value``, or ``KEY=$'value'`` with C escapes where needed."""
    values: Dict[str, str] = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if not equals or not _NAME.match(name):
            continue
        if value.startswith("$'") and value.endswith("'") and len(value) >= 3:
            value = re.sub(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|(.))", _unescape, value[2:-1])
        values[name] = value
    return values


def _unescape(match: Match[str]) -> str:
    hexadecimal, octal, single = match.groups()
    if hexadecimal:
        return chr(int(hexadecimal, 16))
    if octal:
        return chr(int(octal, 8) & 0xFF)
    return _ESCAPES.get(single, single)


def parse_dump(text: str, marker: str) -> Tuple[str, Dict[str, str]]:
    """What a shell printed between three markers: the answer of ``command -v go``, and its environment (``env -0``).

    Profile scripts print what they like before and behind. ValueError where the markers did not come: the shell ended,
    or was replaced, before it reached the question.
    """
    pieces = text.split(marker)
    if len(pieces) != 4:
        raise ValueError("its start-up files ended the shell before it could answer")
    environment: Dict[str, str] = {}
    for entry in pieces[2].lstrip("\r\n").split("\0"):
        name, equals, value = entry.partition("=")
        if equals and _NAME.match(name):
            environment[name] = value
    lines = [line.strip() for line in pieces[1].split("\n") if line.strip()]
    return (lines[-1] if lines else ""), environment


def gvm_default(text: str) -> Optional[str]:
    """The Go that a file of gvm's ``environments/`` selects: its ``gvm_go_name``, or None."""
    found = re.search(r"\bgvm_go_name=[\"']?([A-Za-z0-9][A-Za-z0-9._+-]{0,99})", text)
    return found.group(1) if found else None


def split_list(value: str) -> List[str]:
    """The entries of a PATH or GOPATH, empty ones left out."""
    return [entry for entry in value.split(":") if entry]


def in_effect(variables: Mapping[str, str], user_file: Mapping[str, str], goroot_file: Mapping[str, str], *, home: str,
              goroot: Optional[str]) -> Dict[str, str]:
    """What ``go env`` would answer: a variable of the environment, else the user's file of ``go env -w``, else
    GOROOT/go.env, else the default (cmd/go/internal/cfg; an empty variable counts as unset)."""

    def value(name: str, default: str) -> str:
        return variables.get(name) or user_file.get(name) or goroot_file.get(name) or default

    effective = {name: value(name, default) for name, default in _DEFAULTS.items()}
    # The two lists default to GOPRIVATE (https://go.dev/ref/mod#private-modules).
    for name in ("GONOPROXY", "GONOSUMDB"):
        effective[name] = effective[name] or effective["GOPRIVATE"]
    default_path = home.rstrip("/") + "/go" if home else ""
    # go/build: the default GOPATH is dropped where Go itself lies there.
    if goroot is not None and default_path == goroot.rstrip("/"):
        default_path = ""
    effective["GOPATH"] = value("GOPATH", default_path)
    effective["GOROOT"] = value("GOROOT", goroot or "")
    return effective


def clean(values: Mapping[str, str]) -> Dict[str, str]:
    """Those of :data:`VARIABLES` that are set, without credentials."""
    return {name: clean_value(values[name]) for name in VARIABLES if values.get(name)}


def clean_value(value: str) -> str:
    """One value without credentials. A GOPROXY is a list of URLs, each of which may carry its own."""
    # go puts https:// before an entry without a scheme: user:password@host is a proxy to it.
    value = re.sub(r"(?<![^\s,|])((?:https?:)?[^\s,|/@:]+):[^\s,|/@]+@", r"\1:[redacted]@", value[:4096])
    pieces = re.split(r"([,|])", value)
    if all(piece in ("direct", "off", "") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", piece) for piece in pieces[::2]):
        return "".join(redact.redact_text(piece) for piece in pieces)
    return redact.redact_text(value)
