#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: remediation
short_description: Plan a run's remediation, and keep its books
version_added: 0.2.0
description:
  - Works on the documents that M(goready.preflight.verify) wrote on the controller; connects to no host and changes none.
  - O(phase=plan) decides for every finding of every host whether a role mends it, or why it is left (consent that is missing, a
    decision that is a person's, a waiver, a selection that does not name it).
  - O(phase=begin) returns the roles to run on each host of a batch, or none where an earlier batch stopped the run.
  - O(phase=end) compares each host of the batch with what it was, notes what every role did, and stops the run where a host
    got worse or where too many hosts of the batch could not be mended.
  - Runs once for all hosts of the batch.
author: goready.preflight contributors (@goready)
options:
  run_dir:
    description: Folder of the run on the controller, as M(goready.preflight.validate) returns it.
    type: path
    required: true
  phase:
    description: What is done.
    type: str
    choices: [plan, begin, end]
    required: true
attributes:
  check_mode:
    description: Keeps the books of what would be done.
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
  - module: goready.preflight.report
"""

EXAMPLES = r"""
- name: Plan what is mended
  goready.preflight.remediation:
    run_dir: "{{ run.run_dir }}"
    phase: plan
  register: plan
"""

RETURN = r"""
mend:
  description: The hosts on which roles are to run.
  type: list
  elements: str
  returned: O(phase=plan)
  sample: [web1, web2]
left:
  description: How many findings no role is asked to mend.
  type: int
  returned: O(phase=plan)
  sample: 2
serial:
  description: Sizes of the batches, for the C(serial) of the play that mends.
  type: list
  elements: raw
  returned: O(phase=plan)
  sample: [1, 20%]
msg:
  description: The plan in one sentence.
  type: str
  returned: O(phase=plan)
  sample: 2 hosts to mend; 3 findings are left to people
steps:
  description: By host and role, the variables and the consent that the role gets.
  type: dict
  returned: O(phase=begin)
  sample:
    web1:
      service_limits:
        variables: {service_limits_services: [{name: api, unit: api.service, nofile: 65536}]}
        consent: [restart]
stopped:
  description: Why the run stopped, with the host, the reason and the kind V(worse) or V(failures); null while it goes on.
  type: dict
  returned: O(phase=begin) and O(phase=end)
  sample: {host: web3, reason: services.active of api fails newly, kind: worse}
failed_hosts:
  description: Hosts of the batch on which not everything that was to be mended is mended.
  type: list
  elements: str
  returned: O(phase=end)
  sample: [web2]
worse_hosts:
  description: Hosts of the batch that have a new finding at or above the gate.
  type: list
  elements: str
  returned: O(phase=end)
  sample: [web3]
"""
