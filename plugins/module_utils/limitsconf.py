# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""limits.conf(5), read as pam_limits reads it (Linux-PAM, modules/pam_limits/pam_limits.c, parse_config_file).

Public: :func:`parse`, :func:`is_read`.
"""
from __future__ import annotations

import re
from typing import List, NamedTuple, Optional

# isspace() of the C locale; others are part of a word.
_BLANKS = re.compile(r"[ \t\r\v\f]+")
MAX_WORD = 256


class Line(NamedTuple):
    """One line that sets a limit. ``type`` is soft, hard or "-" (both). A line that frees its domain of all limits has
    neither ``item`` nor ``value``."""

    line: int
    domain: str
    type: str
    item: Optional[str]
    value: Optional[str]


def parse(text: str, limit: int = 10000) -> List[Line]:
    """The lines that pam_limits takes, at most ``limit``, in their order.

    What it skips with a message in the log (too few words) is left out; words behind the fourth are ignored. Everything but
    the domain counts in lower case. Items and values are not checked.
    """
    result: List[Line] = []
    for number, raw in enumerate(text.split("\n"), 1):
        words = [word for word in _BLANKS.split(raw.partition("#")[0].partition("\0")[0]) if word]
        if any(len(word) > MAX_WORD for word in words[:4]):
            continue
        if len(words) >= 4:
            result.append(Line(number, words[0], words[1].lower(), words[2].lower(), words[3].lower()))
        elif len(words) == 2 and words[1].startswith("-"):
            result.append(Line(number, words[0], "-", None, None))
        if len(result) >= limit:
            break
    return result


def is_read(name: str) -> bool:
    """Whether pam_limits reads a file of that name in limits.d: what glob(3) finds for ``*.conf``."""
    return name.endswith(".conf") and not name.startswith(".")
