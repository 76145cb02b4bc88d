# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of all unit tests."""
from __future__ import annotations

import os

from hypothesis import settings

# Without a deadline an example: a busy CI machine is no defect of a parser. What has to be fast says so itself.
settings.register_profile("goready", deadline=None)
# A gate gives the same answer to the same commit; everybody else looks for examples that nobody has seen yet.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "goready")
