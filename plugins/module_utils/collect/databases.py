# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``databases``."""
from __future__ import annotations

from typing import Any, Tuple

PARTS: Tuple[Any, ...] = ()
