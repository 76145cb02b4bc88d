#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pprof_guard_proof
short_description: Try whether pprof is guarded
version_added: 0.2.0
description:
  - Looks on the host where each service's pprof listens, whether it still answers the host itself, whether the service is healthy,
    and whether the kernel holds the packet filter's rules.
  - Connects from the controller to every guarded port, over the address family that SSH takes, and over the other one where the
    host's SSH answers there too. A controller that is in the allow-list has to get through, any other must not.
  - Where the controller has no direct path to the host (a bastion, a proxy command, the host itself), nothing is proven by
    silence. That is a warning and RV(proven) is V(null).
  - Changes nothing.
author: goready.preflight contributors (@goready)
options:
  services:
    description: RV(goready.preflight.pprof_guard_plan#module:services) of M(goready.preflight.pprof_guard_plan).
    type: list
    elements: dict
    required: true
  firewall:
    description: RV(goready.preflight.pprof_guard_plan#module:firewall) of the same.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Does the same in check mode.
    support: full
  diff_mode:
    description: Nothing is changed, so there is no difference.
    support: none
  platform:
    description: Hosts it can try.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.pprof_guard_plan
"""

EXAMPLES = r"""
- name: Decide
  goready.preflight.pprof_guard_plan:
    services:
      - name: api
        pprof: http://127.0.0.1:6060
  register: plan

- name: Try what is guarded
  goready.preflight.pprof_guard_proof:
    services: "{{ plan.services }}"
    firewall: "{{ plan.firewall }}"
"""

RETURN = r"""
proven:
  description: For each service, whether its guard was seen to hold. V(null) where nothing speaks against it, but nobody could try
    it from outside.
  returned: always
  type: dict
attempts:
  description: Everything that was tried.
  returned: always
  type: list
  elements: dict
  contains:
    service:
      description: Name of the service.
      returned: always
      type: str
    from:
      description: Where it was tried from, V(host) or V(controller).
      returned: always
      type: str
    address:
      description: The address or URL that was tried, if any.
      returned: always
      type: str
    port:
      description: The port that was tried, if any.
      returned: always
      type: int
    expected:
      description: What should be seen, V(blocked), V(admitted), V(answers), V(local) or V(rules loaded).
      returned: always
      type: str
    seen:
      description: What was seen.
      returned: always
      type: str
    ok:
      description: Whether that is as it should be. V(null) where it proves nothing.
      returned: always
      type: bool
    reason:
      description: The same in words.
      returned: always
      type: str
"""
