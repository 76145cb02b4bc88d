# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own version, from MANIFEST.json (installed) or galaxy.yml (a clone)."""
from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


@lru_cache(maxsize=1)
def collection_version() -> str:
    """``1.2.3``, or ``unknown`` where neither file is there."""
    manifest = _ROOT / "MANIFEST.json"
    if manifest.is_file():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    galaxy = _ROOT / "galaxy.yml"
    found = re.search(r"^version:\s*(\S+)", galaxy.read_text(encoding="utf-8"), re.M) if galaxy.is_file() else None
    return found.group(1) if found else "unknown"
