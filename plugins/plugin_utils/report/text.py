# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words for people: what every renderer does to text that came from a host, and to numbers, times and lists."""
from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Sequence
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import engine

VERDICT_WORDS = {
    "ready": "Ready",
    "ready_with_warnings": "Ready with warnings",
    "inconclusive": "Inconclusive",
    "not_ready": "Not ready",
}

STATUS_WORDS = {
    "pass": "pass",
    "fail": "fail",
    "error": "error",
    "unknown": "unknown",
    "notapplicable": "not applicable",
    "notselected": "not selected",
}

OUTCOME_WORDS = {
    "fixed": "Fixed",
    "predicted": "Would be fixed",
    "not_fixed": "Not fixed",
    "new": "New",
    "left": "Left",
}

# The remediation roles, and the word of preflight_consent that each needs (empty: none).
CONSENT = {"go_toolchain": "install", "module_proxy": "", "pprof_guard": "firewall", "service_limits": "restart"}
# What a word of preflight_consent lets a role do.
CONSENT_MEANS = {
    "restart": "restart the service", "firewall": "change the packet filter", "sysctl": "change kernel settings",
    "install": "install software for the whole machine",
}
# So many hosts are named by a command; with more it goes by the finding alone.
LIMIT_HOSTS = 5

# Control characters become their visible pictures (U+2400..): a terminal must not obey a host, XML 1.0 forbids most of
# them, and silently dropping them would hide that they were there. Bidirectional overrides can make a name read
# backwards, lone surrogates cannot be encoded, non-characters are no text: they become the replacement character.
_VISIBLE: dict[int, int | str] = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)}
_VISIBLE[0x7F] = 0x2421
_VISIBLE.update(
    (code, 0xFFFD)
    for codes in (
        range(0x80, 0xA0), (0x061C, 0x200E, 0x200F), range(0x2028, 0x202F), range(0x2066, 0x206A),
        range(0xD800, 0xE000), range(0xFDD0, 0xFDF0), range(0xFFF9, 0xFFFC), (0xFEFF, 0xFFFE, 0xFFFF),
    )
    for code in codes
)
_ONE_LINE: dict[int, int | str] = {**_VISIBLE, 0x09: " ", 0x0A: " "}


def visible(text: str) -> str:
    """``text`` without anything that acts instead of showing; tabs and line ends stay."""
    return text if text.isprintable() else text.translate(_VISIBLE)


def line(text: str) -> str:
    """``text`` as one line, without anything that acts instead of showing."""
    return text if text.isprintable() else text.translate(_ONE_LINE)


def clip(text: str, length: int) -> str:
    """``text`` cut to ``length`` characters, with an ellipsis where something is missing."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def plain(value: Any) -> str:
    """An ``actual`` or ``expected`` value as text: a string as it is, everything else as JSON; null as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def count(number: int, singular: str, plural: str = "") -> str:
    """``1 host``, ``2 hosts``, ``1,200 hosts``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def names(items: Sequence[str], limit: int) -> str:
    """The first ``limit`` items and how many more there are: ``web1, web2 and 3 more``."""
    if len(items) <= limit:
        return ", ".join(items)
    return f"{', '.join(items[:limit])} and {len(items) - limit:,} more"


def sentence(text: str) -> str:
    """``text`` as a sentence: it begins with a capital and ends with a full stop."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?…:" else ".")


def first_sentence(text: str) -> str:
    """The first sentence of ``text``; a dot inside a name or a number does not end one."""
    head, dot, tail = text.partition(". ")
    return head + "." if dot and tail[:1].isupper() else text


def parse_time(text: Any) -> datetime.datetime | None:
    """An RFC 3339 time, in UTC; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    try:
        return moment.astimezone(datetime.timezone.utc)
    except OverflowError:
        return None


def moment(text: Any) -> str:
    """A time as people read it: ``2026-11-21 06:31 UTC``; what is no time stays as it is."""
    parsed = parse_time(text)
    return parsed.strftime("%Y-%m-%d %H:%M UTC") if parsed else line(str(text or ""))


def day(text: Any) -> str:
    """The day of a time: ``2026-11-21``."""
    parsed = parse_time(text)
    return parsed.strftime("%Y-%m-%d") if parsed else line(str(text or ""))


def duration(seconds: float) -> str:
    """``0.4 s``, ``41 s``, ``3 min 20 s``, ``1 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")


def rank(severity: str) -> int:
    """A severity as a number, ``info`` = 0."""
    return engine.SEVERITIES.index(severity)


def mend_command(check_id: str, hosts: Sequence[str], consent: str) -> str:
    """The command that mends a finding, for a shell. ``consent`` are words of preflight_consent, joined by commas.

    More than ``LIMIT_HOSTS`` hosts are not named: the command then mends the finding wherever verification finds it.
    """
    limit = f" --limit {shlex.quote(','.join(hosts))}" if 0 < len(hosts) <= LIMIT_HOSTS else ""
    agreed = f" -e preflight_consent={shlex.quote(consent)}" if consent else ""
    return f"ansible-playbook remediate.yml{limit} -e preflight_remediate={shlex.quote(check_id)}{agreed}"
