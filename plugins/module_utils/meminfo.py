# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/meminfo (proc_meminfo(5))."""
from __future__ import annotations

import re
from typing import Dict

_LINE = re.compile(r"([A-Za-z0-9_()]+):\s*([0-9]{1,18})(?:\s+(kB))?\s*\Z")


def parse(text: str) -> Dict[str, int]:
    """Field -> bytes (a plain number where the kernel gives no unit). Raises ValueError without MemTotal."""
    values: Dict[str, int] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            values[match.group(1)] = int(match.group(2)) * (1024 if match.group(3) else 1)
    if "MemTotal" not in values:
        raise ValueError("meminfo: no MemTotal in %d characters" % len(text))
    return values
