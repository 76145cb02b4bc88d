#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Judge whether a host is ready to take traffic
version_added: 0.1.0
description:
  - Gathers the facts of the host in one module call, looks at the host from the controller, evaluates the check catalogue,
    and writes the host's document below O(run_dir).
  - Changes nothing on the host. It runs the same in check mode.
  - The task does not fail for findings; P(goready.preflight.report#module) and the gate of the P(goready.preflight.preflight#role)
    role act on them.
author: goready.preflight contributors (@goready)
options:
  run_dir:
    description: Folder of the run on the controller, as M(goready.preflight.validate) returns it.
    type: path
    required: true
  variables:
    description: The public C(preflight_) variables of this host, by their names. See the P(goready.preflight.preflight#role) role.
    type: dict
    default: {}
  timeout:
    description: Seconds that gathering may take on the host before it returns what it has.
    type: int
    default: 30
attributes:
  check_mode:
    description: Runs the same in check mode.
    support: full
  diff_mode:
    description: Nothing is changed, so there is no difference.
    support: none
  platform:
    description: Hosts it can judge.
    platforms: posix
    support: full
seealso:
  - module: goready.preflight.readiness_facts
  - module: goready.preflight.report
"""

EXAMPLES = r"""
- name: Judge one host with the defaults
  goready.preflight.verify:
    run_dir: "{{ run.run_dir }}"

- name: Judge the host by its own inventory variables
  goready.preflight.verify:
    run_dir: "{{ run.run_dir }}"
    variables:
      preflight_profile: quick
      preflight_services:
        - name: api
          nofile: 65536
"""

RETURN = r"""
verdict:
  description: V(ready), V(ready_with_warnings), V(not_ready) or V(inconclusive).
  type: str
  returned: always
  sample: not_ready
counts:
  description: How many results of each status.
  type: dict
  returned: always
  sample: {"pass": 41, "fail": 2, "notapplicable": 7}
failed_checks:
  description: Ids of the checks with a failed result that is not waived.
  type: list
  elements: str
  returned: always
  sample: ["limits.nofile_effective", "pprof.bind"]
path:
  description: The host's document on the controller.
  type: str
  returned: always
  sample: reports/runs/20261121T061503Z-a1b2c3/hosts/web1.json
"""
