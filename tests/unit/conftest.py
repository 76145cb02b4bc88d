# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of all unit tests."""
from __future__ import annotations

from hypothesis import settings

# Without a deadline an example: a busy CI machine is no defect of a parser. What has to be fast says so itself.
settings.register_profile("goready", deadline=None)
settings.load_profile("goready")
