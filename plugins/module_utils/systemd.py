# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd says and what its unit files say, as text in and data out.

Public: :func:`parse_show`, :func:`parse_exec`, :func:`parse_configuration_items`, :func:`parse_unit_file`,
:func:`redact_directive`, :func:`unit_name`, :func:`split_words`.

A unit file is read the way systemd's own parser reads it (src/shared/conf-parser.c, config_parse and parse_line): a line
that systemd would ignore with a warning in the journal becomes a problem with its line number. Which directives exist is
asked of the host's own systemd (``systemd --dump-configuration-items``), so that a directive is unknown exactly where that
version does not know it.
"""
from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import redact

# {section: {directive: type}} as systemd prints it.
KnownDirectives = Mapping[str, Mapping[str, str]]

MAX_LINES = 20000


def unit_name(name: str, suffix: str = "service") -> Optional[str]:
    """``name`` as a unit's full name (``api`` -> ``api.service``), None where systemd allows no such name.

    Characters are those of systemd.unit(5); a glob would make ``systemctl show`` list other units.
    """
    if not re.search(r"\.(?:service|socket|timer|path|target|mount|automount|swap|slice|scope|device)\Z", name):
        name = "%s.%s" % (name, suffix)
    return name if re.match(r"[A-Za-z0-9:_.\\@-]{1,255}\Z", name) and not name.startswith(("-", ".")) else None


def parse_show(text: str) -> List[Dict[str, str]]:
    """``systemctl show`` of one or more units: a dict of properties for each block. A property that is printed several
    times (ExecStart= of a oneshot service) has its values on lines of its own."""
    result: List[Dict[str, str]] = []
    block: Dict[str, str] = {}
    last = ""
    for line in text.split("\n"):
        if not line:
            if block:
                result.append(block)
            block, last = {}, ""
            continue
        name, equals, value = line.partition("=")
        if equals and re.match(r"[A-Z][A-Za-z0-9]*\Z", name):
            block[name] = block[name] + "\n" + value if name in block else value
            last = name
        elif last:
            block[last] += "\n" + line
    if block:
        result.append(block)
    return result


def parse_exec(value: str) -> Optional[Tuple[str, List[str]]]:
    """(path, arguments) of the first command in an ExecStart= property as ``systemctl show`` prints it.

    systemctl joins the arguments with blanks and does not quote them: one that holds a blank comes back as two.
    """
    match = re.search(r"\{ path=(.*?) ; argv\[\]=(.*?) ; (?:flags|ignore_errors)=", value)
    return (match.group(1), match.group(2).split()) if match else None


def parse_configuration_items(text: str) -> Dict[str, Dict[str, str]]:
    """``systemd --dump-configuration-items``: {section: {directive: type}}. ValueError where it is something else."""
    result: Dict[str, Dict[str, str]] = {}
    section: Dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith("[") and line.endswith("]"):
            section = result.setdefault(line[1:-1], {})
        elif "=" in line and result:
            name, _equals, kind = line.partition("=")
            section[name] = kind
    if "Service" not in result or "Unit" not in result:
        raise ValueError("no list of systemd's directives")
    return result


class Directive(NamedTuple):
    """One assignment. ``line`` is its first line, counted from 1."""

    line: int
    section: str
    name: str
    value: str


class Problem(NamedTuple):
    """A line that systemd ignores, and why."""

    line: int
    section: str
    name: str
    message: str


class UnitFile(NamedTuple):
    directives: List[Directive]
    problems: List[Problem]


def parse_unit_file(text: str, *, kind: str = "service", known: Optional[KnownDirectives] = None) -> UnitFile:
    """The assignments of a unit file or drop-in of a unit of this kind, and the lines that systemd ignores.

    ``known`` is what :func:`parse_configuration_items` returned; without it unknown directives cannot be told. Names and
    sections that begin with ``X-`` are for others and never a problem (systemd.unit(5)).
    """
    directives: List[Directive] = []
    problems: List[Problem] = []
    own = kind.capitalize()
    sections = {"Unit", "Install", own}
    section: Optional[str] = None
    ignored = False
    for number, line in _logical_lines(text):
        if line.startswith("["):
            name = line[1:-1] if line.endswith("]") else ""
            if not name:
                # Unlike any other fault this one makes systemd refuse the file (config_parse returns -EBADMSG).
                problems.append(Problem(number, section or "", "", "invalid section header, the file is not read on"))
                break
            section, ignored = name, name not in sections
            if ignored and not name.startswith("X-"):
                problems.append(Problem(number, name, "", "unknown section of a %s unit" % kind))
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name:
            problems.append(Problem(number, section or "", "", "no name=value" if not equals else "no name before ="))
            continue
        if section is None:
            problems.append(Problem(number, "", name, "assignment outside of a section"))
            continue
        directives.append(Directive(number, section, name, value))
        if ignored or name.startswith("X-"):
            continue
        kinds = (known or {}).get(section)
        if kinds is not None and name not in kinds:
            problems.append(Problem(number, section, name, _unknown(name, section, known or {})))
            continue
        message = _rejected(name, value, section, (kinds or {}).get(name, ""))
        if message:
            problems.append(Problem(number, section, name, message))
    return UnitFile(directives, problems)


def _logical_lines(text: str) -> List[Tuple[int, str]]:
    """(first line's number, text): continuation lines joined, comments (also between them) and empty lines dropped."""
    result: List[Tuple[int, str]] = []
    pending = ""
    start = 0
    for number, raw in enumerate(text.split("\n")[:MAX_LINES], 1):
        line = raw.rstrip("\r").lstrip(" \t")
        if number == 1:
            line = line.lstrip("\ufeff")
        if line[:1] in ("#", ";"):
            continue
        if not pending:
            start = number
        pending += line
        # An odd number of backslashes at the end continues the line; a blank stands in for it.
        trailing = len(pending) - len(pending.rstrip("\\"))
        if trailing % 2:
            pending = pending[:-1] + " "
            continue
        if pending.strip():
            result.append((start, pending.strip()))
        pending = ""
    if pending.strip():
        result.append((start, pending.strip()))
    return result


def _unknown(name: str, section: str, known: KnownDirectives) -> str:
    elsewhere = [other for other in ("Unit", "Service", "Install", "Socket", "Timer") if name in known.get(other, {})]
    if elsewhere:
        return "unknown directive in [%s], it belongs into [%s]" % (section, elsewhere[0])
    lower = {one.lower(): one for one in known.get(section, {})}
    if name.lower() in lower:
        return "unknown directive, the name is case-sensitive: %s" % lower[name.lower()]
    limit = re.match(r"(Limit[A-Z]+)(Soft|Hard)\Z", name)
    if limit:
        return "unknown directive, soft and hard limit are written %s=soft:hard" % limit.group(1)
    return "unknown directive"


_COUNT_LIMITS = ("LimitNOFILE", "LimitNPROC", "LimitLOCKS", "LimitSIGPENDING", "LimitRTPRIO")
_SIZE_LIMITS = ("LimitFSIZE", "LimitDATA", "LimitSTACK", "LimitCORE", "LimitRSS", "LimitAS", "LimitMEMLOCK", "LimitMSGQUEUE")
_MEMORY = ("MemoryMax", "MemoryHigh", "MemoryLimit", "MemorySwapMax", "MemoryMin", "MemoryLow")
_MEMORY_MAY_BE_ZERO = ("MemorySwapMax", "MemoryMin", "MemoryLow")
_SPANS = ("RestartSec", "TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "WatchdogSec", "RuntimeMaxSec",
          "StartLimitIntervalSec", "StartLimitInterval")
_CHOICES = {
    "Restart": ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"),
    "Type": ("simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"),
    "KillMode": ("control-group", "process", "mixed", "none"),
}
_BOOLEANS = ("1", "yes", "y", "true", "t", "on", "0", "no", "n", "false", "f", "off")
_INTEGER = r"\s*\+?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)\Z"
# One piece of a size ("1G 500M") or a time span ("1min 30s"); a value is several of them without anything between.
_SIZE = r"[0-9]+(?:\.[0-9]*)?[ \t]*[EPTGMKB]?[ \t]*"
_SPAN = (r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[ \t]*(?:seconds?|sec|s|minutes?|min|months?|month|M|msec|ms|m|hours?|hr|h|days?|d"
         r"|weeks?|w|years?|y|usec|us|\u00b5s|\u03bcs|nsec|ns)?[ \t]*")
_PERCENT = r"[0-9]+(?:\.[0-9]{1,2})?%\Z"


def _pieces(pattern: str, text: str) -> bool:
    """Whether the text consists of pieces only. A loop, because a repeated group would try every way to cut it."""
    position = 0
    while position < len(text):
        match = re.compile(pattern).match(text, position)
        if match is None:
            return False
        position = match.end()
    return bool(text)


def _rejected(name: str, value: str, section: str, kind: str) -> str:
    """Why systemd ignores this value, "" where it takes it. Only directives whose values are judged are looked at, each by
    the parser that systemd uses for it (src/basic/rlimit-util.c, src/core/load-fragment.c)."""
    if "%" in value and name not in _MEMORY and name not in ("CPUQuota", "TasksMax"):
        return ""  # specifiers
    if section == "Service":
        if name in _COUNT_LIMITS or name in _SIZE_LIMITS:
            return _rejected_limit(name, value)
        if name in _MEMORY and value not in ("", "infinity"):
            if re.match(_PERCENT, value) or (_pieces(_SIZE, value) and (_size(value) > 0 or name in _MEMORY_MAY_BE_ZERO)):
                return ""
            return "%r is no size (a number with K, M, G, T, or a percentage): the line is ignored" % value
        if name == "TasksMax" and value not in ("", "infinity"):
            if re.match(_PERCENT, value) or (re.match(_INTEGER, value) and _number(value) > 0):
                return ""
            return "%r is no number of tasks: the line is ignored" % value
        if name == "CPUQuota" and value and (not re.match(_PERCENT, value) or not value.strip("0.%")):
            return "%r is no percentage: the line is ignored" % value
    if name in _SPANS and value.strip() != "infinity" and not _pieces(_SPAN, value):
        return "%r is no time span: the line is ignored" % value
    if name == "StartLimitBurst" and not re.match(_INTEGER, value):
        return "%r is no number: the line is ignored" % value
    if section == "Service" and name in _CHOICES and value not in _CHOICES[name]:
        return "%r is none of %s: the line is ignored" % (value, ", ".join(_CHOICES[name]))
    if kind == "BOOLEAN" and value.lower() not in _BOOLEANS:
        return "%r is neither yes nor no: the line is ignored" % value
    return ""


def _number(text: str) -> int:
    text = text.strip().lstrip("+").lower()
    if len(text) > 80:
        return 1 << 64
    if text.startswith("0x"):
        return int(text, 16)
    if text.startswith("0b"):
        return int(text, 2)
    return int(text.replace("0o", "0"), 8 if text.startswith("0") else 10)


def _rejected_limit(name: str, value: str) -> str:
    pieces = value.split(":")
    if len(pieces) > 2:
        return "%r is no limit (number, infinity, or soft:hard): the line is ignored" % value
    count = name in _COUNT_LIMITS
    numbers = []
    for piece in pieces:
        if piece == "infinity":
            numbers.append(1 << 64)
        elif count and re.match(_INTEGER, piece) and _number(piece) < (1 << 64) - 1:
            numbers.append(_number(piece))
        elif not count and _pieces(_SIZE, piece):
            numbers.append(_size(piece))
        else:
            what = "a plain number (no K or M)" if count else "a size"
            if not value:
                return "an empty value is no limit and resets nothing: the line is ignored"
            return "%r is not %s, infinity or soft:hard: the line is ignored" % (value, what)
    if len(numbers) == 2 and numbers[0] > numbers[1]:
        return "the soft limit is above the hard limit in %r: the line is ignored" % value
    return ""


def _size(text: str) -> int:
    total = 0.0
    for number, unit in re.findall(r"([0-9]{1,30}(?:\.[0-9]{0,30})?)[ \t]*([EPTGMKB]?)", text[:200]):
        total += float(number) * 1024 ** "BKMGTPE".index(unit or "B")
    return int(total)


def split_words(value: str) -> List[str]:
    """The words of an Environment= value, each with its quotes: the quoting rules of systemd.syntax(7)."""
    return re.findall(r"(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|\\.|[^\s\"'\\]|\\\Z)+", value, re.DOTALL)


def redact_directive(name: str, value: str) -> str:
    """A directive's value without credentials: every assignment of Environment= by its name, what SetCredential= sets, and
    in the others what :func:`redact.redact_text` finds."""
    if name == "Environment":
        words = []
        for word in split_words(value):
            quote = word[0] if word[0] in "\"'" else ""
            bare = word[1:-1] if quote and len(word) > 1 and word[-1] == quote else word[len(quote):]
            variable, equals, content = bare.partition("=")
            if equals:
                inner = content[1:-1] if len(content) > 1 and content[0] in "\"'" and content[-1] == content[0] else content
                plain = redact.redact_value(variable, inner)
                if plain != inner:
                    word = "%s%s=%s%s" % (quote, variable, plain, quote)
            else:
                word = redact.redact_text(word)
            words.append(word)
        return " ".join(words)
    if name in ("SetCredential", "SetCredentialEncrypted"):
        label, colon, _secret = value.partition(":")
        return label + colon + (redact.REDACTED if colon else "")
    if name.startswith(("Exec", "Condition", "Assert", "Limit", "Load", "PassEnv", "UnsetEnv")):
        return redact.redact_text(value)
    return redact.redact_value(name, value) if redact.is_secret_name(name) else redact.redact_text(value)


def only_go_variables(value: str) -> str:
    """Of an Environment= property the assignments that steer the Go runtime and toolchain (``GO...``)."""
    kept = [word for word in split_words(value) if word.lstrip("\"'").startswith("GO")]
    return redact_directive("Environment", " ".join(kept))


def as_dict(path: str, unit_file: UnitFile) -> Dict[str, Any]:
    """An entry of ``unit_files`` of the facts, redacted."""
    return {
        "path": path,
        "directives": [{"line": one.line, "section": one.section, "name": one.name,
                        "value": redact_directive(one.name, one.value)} for one in unit_file.directives],
        "problems": [{"line": one.line, "section": one.section, "name": one.name,
                      "message": redact.redact_text(one.message)} for one in unit_file.problems],
    }
