#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pprof_guard_plan
short_description: Decide how each service's pprof is guarded
version_added: 0.2.0
description:
  - Validates the variables of the role P(goready.preflight.pprof_guard#role), reads where each service's pprof listens, and decides by
    which means it is guarded.
  - Everything that would be done is tried in check mode. What is refused, and what lacks consent, is told here, all at once. Where
    a variable itself is wrong, all that is wrong with the variables is told, and nothing is tried.
  - Changes nothing.
author: goready.preflight contributors (@goready)
options:
  services:
    description: The services, as C(pprof_guard_services).
    type: list
    elements: dict
    default: []
  means:
    description: As C(pprof_guard_means).
    type: raw
    default: auto
  allow:
    description: As C(pprof_guard_allow).
    type: list
    elements: raw
    default: []
  block_service_port:
    description: As C(pprof_guard_block_service_port).
    type: bool
    default: false
  state:
    description: As C(pprof_guard_state).
    type: str
    default: present
  consent:
    description: As C(pprof_guard_consent).
    type: list
    elements: str
    default: []
  timeout:
    description: As C(pprof_guard_timeout).
    type: int
    default: 60
  proxy:
    description:
      - The variables C(pprof_guard_proxy_listen) and so on, without that prefix, as M(goready.preflight.pprof_proxy) takes them.
    type: dict
attributes:
  check_mode:
    description: Does the same in check mode; missing consent is a warning then.
    support: full
  diff_mode:
    description: Nothing is changed, so there is no difference.
    support: none
  platform:
    description: Hosts it can read.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.pprof_guard_proof
  - module: goready.preflight.pprof_firewall
  - module: goready.preflight.pprof_bind
  - module: goready.preflight.pprof_proxy
"""

EXAMPLES = r"""
- name: See how a service would be guarded
  goready.preflight.pprof_guard_plan:
    services:
      - name: api
        pprof: http://127.0.0.1:6060
    consent: [firewall]
  register: plan
"""

RETURN = r"""
services:
  description: The services that are guarded, each with what was decided.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the service.
      returned: success
      type: str
    unit:
      description: Its systemd unit.
      returned: success
      type: str
    pprof:
      description: The declared URL of its pprof, or empty.
      returned: success
      type: str
    health:
      description: Its declared health URL, or empty.
      returned: success
      type: str
    ports:
      description: The TCP ports of its pprof, declared or found.
      returned: success
      type: list
      elements: int
    exposure:
      description: Who reached them before, V(local), V(open), or V(unknown) where nothing was seen to listen.
      returned: success
      type: str
    means:
      description: By which means it is guarded.
      returned: success
      type: list
      elements: str
    why:
      description: Why by these.
      returned: success
      type: str
    allow:
      description: Networks that are admitted beside loopback.
      returned: success
      type: list
      elements: str
    value:
      description: For C(bind), where pprof is told to listen.
      returned: success
      type: str
left:
  description: The services that are not guarded.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the service.
      returned: success
      type: str
    why:
      description: Why not.
      returned: success
      type: str
firewall:
  description: The options for M(goready.preflight.pprof_firewall).
  returned: success
  type: dict
firewall_removed:
  description: The options for M(goready.preflight.pprof_firewall) that take guards away.
  returned: success
  type: dict
remove_firewall:
  description: Whether RV(firewall_removed) is to be carried out.
  returned: success
  type: bool
bind:
  description: The options for M(goready.preflight.pprof_bind), an entry a unit.
  returned: success
  type: list
  elements: dict
proxy:
  description: The options for M(goready.preflight.pprof_proxy) beside its settings. Empty where it has nothing to do.
  returned: success
  type: dict
"""
