# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the host: what the module does, killed after the N-th time that something has reached the disk.

    python3 kill.py N '{"users": ["ci"], ...}'     exits 0 where there was no N-th time
"""
from __future__ import annotations

import json
import os
import signal
import sys

sys.path.insert(0, "/opt/goready-code")

from ansible_collections.goready.preflight.plugins.module_utils import moduleproxy

left = [int(sys.argv[1])]
original = os.fsync


def fsync(descriptor: int) -> None:
    original(descriptor)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


os.fsync = fsync
moduleproxy.run(json.loads(sys.argv[2]))
