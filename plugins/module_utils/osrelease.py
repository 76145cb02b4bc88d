# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""os-release(5): what a distribution says about itself."""
from __future__ import annotations

import re
from typing import Dict

_LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)\Z")
_ESCAPED = re.compile(r"\\([\\\"'$`])")


def parse(text: str) -> Dict[str, str]:
    """The assignments of an os-release file, unquoted.

    Comments and lines that are no assignment are passed over, as os-release(5) asks of readers. Raises ValueError where
    there is no assignment at all, or where a quote is not closed.
    """
    values: Dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line.strip())
        if match is None:
            continue
        name, value = match.groups()
        quote = value[:1]
        if quote in ("'", '"'):
            if len(value) < 2 or value[-1] != quote:
                raise ValueError("os-release line %d: the quote of %s is not closed" % (number, name))
            value = value[1:-1]
        values[name] = value if quote == "'" else _ESCAPED.sub(r"\1", value)
    if not values:
        raise ValueError("os-release: no assignment in %d characters" % len(text))
    return values
