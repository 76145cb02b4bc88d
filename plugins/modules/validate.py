#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: validate
short_description: Validate the variables of every host and begin a run
version_added: 0.1.0
description:
  - Judges the public C(preflight_) variables of every host of the play before any host is touched, and tells every fault by its
    key, its value and what is allowed.
  - Creates the folder of the run on the controller. Wrong input leaves nothing behind.
  - Reads the variables by itself, as the P(goready.preflight.preflight#role) role documents them.
  - A variable whose name is nearly a public one is warned of.
  - Runs once for all hosts and connects to none.
author: goready.preflight contributors (@goready)
options:
  mode:
    description: What the run is for; V(remediate) where something is mended after verification. Reports show it.
    type: str
    choices: [verify, remediate]
    default: verify
attributes:
  check_mode:
    description: Runs the same in check mode.
    support: full
  diff_mode:
    description: Nothing is changed on a host, so there is no difference.
    support: none
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
seealso:
  - module: goready.preflight.verify
"""

EXAMPLES = r"""
- name: Begin a run
  goready.preflight.validate:
  register: run
"""

RETURN = r"""
run_id:
  description: Name of the run.
  type: str
  returned: success
  sample: 20261121T061503Z-a1b2c3
run_dir:
  description: Folder of the run on the controller.
  type: str
  returned: success
  sample: /srv/fleet/reports/runs/20261121T061503Z-a1b2c3
report_dir:
  description: Folder of the reports on the controller.
  type: str
  returned: success
  sample: /srv/fleet/reports
hosts:
  description: How many hosts the play has.
  type: int
  returned: success
  sample: 12
looking_seconds:
  description: Seconds that looking into the services of one host may take at most, beside everything else.
  type: int
  returned: success
  sample: 35
"""
