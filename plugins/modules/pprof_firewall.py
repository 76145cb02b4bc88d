#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pprof_firewall
short_description: Admit only loopback and an allow-list to pprof ports
version_added: 0.2.0
description:
  - Keeps one nftables table of its own, C(inet goready_pprof), that drops what comes to the given TCP ports from elsewhere than
    loopback and the allow-list, over IPv4 and IPv6.
  - No other table is read or changed. The table's policy is accept, so what it does not drop is decided by the others as before.
  - A port is guarded where connections arrive, before destination NAT, so that a port that is published by a container's
    runtime is guarded too. Connections of the host to itself, by whatever address, are never dropped.
  - The table is loaded by a unit of its own, C(goready-pprof-guard.service), before the network is up. A drop-in of
    C(nftables.service) loads it again whenever that unit starts, reloads or stops, for it flushes all tables then.
  - The table is replaced in one transaction. Where anything fails, files, unit and table are as they were before.
  - A call guards the given services and leaves the guards of others as they are.
author: goready.preflight contributors (@goready)
options:
  services:
    description:
      - The services whose ports are guarded, or with O(state=absent) are no longer guarded.
      - With O(state=absent), an empty list stands for all of them, and nothing is left behind.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the service, by which its guard is found again.
        type: str
        required: true
      ports:
        description: TCP ports to guard.
        type: list
        elements: int
        default: []
      allow:
        description: Networks or addresses that are admitted beside loopback.
        type: list
        elements: str
        default: []
      urls:
        description: URLs of what else the service serves, such as its health URL. A port of one of them is not blocked.
        type: list
        elements: str
        default: []
  state:
    description: Whether the services are guarded.
    type: str
    choices: [present, absent]
    default: present
  block_service_port:
    description:
      - Guard a port although it serves something besides C(/debug/), for instance the application or its metrics.
      - By default such a port is refused. It is found by O(services[].urls), and by asking it for C(/), C(/metrics) and C(/healthz).
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts exactly the changes of the real run.
    support: full
  diff_mode:
    description: Shows the files as they were and as they are.
    support: full
  platform:
    description: Hosts it can change. They need nft and systemd.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.pprof_bind
"""

EXAMPLES = r"""
- name: Admit the monitoring network to the pprof port of a service
  goready.preflight.pprof_firewall:
    services:
      - name: api
        ports: [6060]
        allow: [10.20.0.0/16, "2001:db8:20::/64"]

- name: Guard it no longer
  goready.preflight.pprof_firewall:
    services:
      - name: api
    state: absent
"""

RETURN = r"""
guards:
  description: Every port that is guarded after the call, also for other services than the given ones.
  returned: success
  type: list
  elements: dict
  contains:
    port:
      description: The TCP port.
      returned: success
      type: int
    services:
      description: Names of the services it is guarded for.
      returned: success
      type: list
      elements: str
    allow:
      description: Networks that are admitted beside loopback.
      returned: success
      type: list
      elements: str
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path, or what else it is, such as C(nft table inet goready_pprof).
      returned: success
      type: str
    action:
      description: What happened to it, for instance V(created), V(changed), V(removed), V(started), V(stopped).
      returned: success
      type: str
    detail:
      description: More about it, often empty.
      returned: success
      type: str
recovered:
  description: Paths that a killed call had left changed and that were taken back first.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.goready.preflight.plugins.module_utils import pprof_firewall, units  # noqa: E402
from ansible_collections.goready.preflight.plugins.module_utils.changing import Busy, Changes  # noqa: E402


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "default": [], "options": {
                "name": {"type": "str", "required": True},
                "ports": {"type": "list", "elements": "int", "default": []},
                "allow": {"type": "list", "elements": "str", "default": []},
                "urls": {"type": "list", "elements": "str", "default": []},
            }},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "block_service_port": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    changes = Changes("pprof_firewall", check_mode=module.check_mode)
    try:
        with changes:
            result = pprof_firewall.run(changes, **module.params)
    except (Busy, pprof_firewall.FirewallError, units.UnitError, ValueError, OSError) as exc:
        module.fail_json(msg=str(exc), recovered=changes.recovered)
    module.exit_json(**changes.as_result(), **result)


if __name__ == "__main__":
    main()
