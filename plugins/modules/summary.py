#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: summary
short_description: Print the summary of a run on the controller's terminal
version_added: 0.1.0
description:
  - Prints at most one screen of summary of a run that M(goready.preflight.report) wrote the report of.
  - Comes after the gate, so that the last thing on the terminal is the verdict and not the failed tasks of many hosts.
  - Meant to run once for all hosts (C(run_once)); it connects to none.
author: goready.preflight contributors (@goready)
options:
  run_dir:
    description: Folder of the run on the controller, as M(goready.preflight.validate) returns it.
    type: path
    required: true
  paths:
    description: The files of the report by format, as M(goready.preflight.report) returns them.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Prints in check mode too.
    support: full
  diff_mode:
    description: Nothing is changed, so there is no difference.
    support: none
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
seealso:
  - module: goready.preflight.report
"""

EXAMPLES = r"""
- name: Show the summary
  goready.preflight.summary:
    run_dir: "{{ run.run_dir }}"
    paths: "{{ report.paths }}"
  run_once: true
"""

RETURN = r"""
verdict:
  description: The verdict of the fleet.
  type: str
  returned: always
  sample: not_ready
"""
