#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pprof_bind
short_description: Let a service's pprof listen on loopback or a unix socket
version_added: 0.2.0
description:
  - Tells a service where its pprof listens, by an environment variable or an argument in a drop-in of its unit,
    C(50-goready-pprof.conf), and B(restarts) it where it runs.
  - Then it waits until the unit is active and its health URL answers, and looks where the unit's processes really listen. The
    new listener has to be there and serve pprof, and no listener beyond loopback may be left at O(ports).
  - Where any of that fails, the drop-in is taken back, the service is restarted as it was, and the module fails with the last
    lines of its journal.
author: goready.preflight contributors (@goready)
options:
  unit:
    description: The systemd unit of the service. Not a template.
    type: str
    required: true
  environment:
    description: Name of the environment variable that says where pprof listens.
    type: str
  argument:
    description:
      - The argument that says where pprof listens, such as V(--debug-addr).
      - Of the unit's one ExecStart= line its value is replaced, or it is added at the end. The rest stays as it is.
    type: str
  value:
    description:
      - A loopback address with port, such as V(127.0.0.1:6060), a URL of one, or a unix socket, V(unix:///run/api/pprof.sock).
      - Required with O(state=present), in the form that the service understands.
    type: str
  path:
    description: What the service puts before C(/debug/pprof/) in its paths.
    type: str
    default: /
  ports:
    description: The ports at which nothing of the unit may listen beyond loopback afterwards.
    type: list
    elements: int
    default: []
  health:
    description: Health URL, which has to answer with a status from 200 to 299 after the restart.
    type: str
  urls:
    description: URLs of what else the service serves. A port of one of them is not moved to loopback.
    type: list
    elements: str
    default: []
  state:
    description: Whether the drop-in is there.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description: Seconds for the unit to be active and healthy again.
    type: float
    default: 60
  block_service_port:
    description: Move a port although it serves something besides C(/debug/), for instance the application or its metrics.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts exactly the changes of the real run.
    support: full
  diff_mode:
    description: Shows the drop-in as it was and as it is, without the passwords that can be told by their shape or name.
    support: full
  platform:
    description: Hosts it can change. They need systemd.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.pprof_firewall
"""

EXAMPLES = r"""
- name: Let pprof listen on loopback
  goready.preflight.pprof_bind:
    unit: api.service
    environment: API_PPROF_ADDR
    value: 127.0.0.1:6060
    ports: [6060]
    health: http://127.0.0.1:8080/healthz

- name: The same for a service that is told by an argument
  goready.preflight.pprof_bind:
    unit: api.service
    argument: --debug-addr
    value: 127.0.0.1:6060
"""

RETURN = r"""
listens:
  description: Where the processes of the unit listen after the call.
  returned: success
  type: list
  elements: str
  sample: ["*:8080", "127.0.0.1:6060"]
proven:
  description: Whether the listener was seen where it should be. V(null) in check mode, where the unit does not run, and after a
    removal.
  returned: success
  type: bool
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path, or what else it is, such as C(unit api.service).
      returned: success
      type: str
    action:
      description: What happened to it, for instance V(created), V(changed), V(removed), V(restarted).
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

from ansible_collections.goready.preflight.plugins.module_utils import pprof_bind, units  # noqa: E402
from ansible_collections.goready.preflight.plugins.module_utils.changing import Busy, Changes  # noqa: E402


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "environment": {"type": "str"},
            "argument": {"type": "str"},
            "value": {"type": "str"},
            "path": {"type": "str", "default": "/"},
            "ports": {"type": "list", "elements": "int", "default": []},
            "health": {"type": "str"},
            "urls": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "timeout": {"type": "float", "default": 60},
            "block_service_port": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    changes = Changes("pprof_bind", check_mode=module.check_mode)
    try:
        with changes:
            result = pprof_bind.run(changes, **module.params)
    except (Busy, pprof_bind.BindError, units.UnitError, ValueError, OSError) as exc:
        module.fail_json(msg=str(exc), recovered=changes.recovered)
    result = dict(changes.as_result(), **result)
    module.exit_json(**dict(result, diff=pprof_bind.shown(result["diff"])))


if __name__ == "__main__":
    main()
