#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: service_limits
short_description: Give services their limits by a drop-in, proven on the running process
version_added: 0.2.0
description:
  - Writes C(/etc/systemd/system/UNIT.d/50-goready-limits.conf) with C(LimitNOFILE=), C(TasksMax=), C(MemoryHigh=), C(MemoryMax=)
    and a fitting C(GOMEMLIMIT), lets systemd read it, and lets it take effect as O(apply) says.
  - The proof is what the kernel says of the running process, C(/proc/PID/limits), C(/proc/PID/environ) and the files of its control
    group. Where a service does not come out of it active, healthy and with its limits, its drop-in is taken back, it is brought
    back to the state it was in, and the module fails at the end; the other services are handled all the same.
  - A service is restarted only where its running process lacks something. A service that does not run is not started.
  - What a call that was killed has left is taken back by the next one.
author: goready.preflight contributors (@goready)
options:
  services:
    description:
      - The services. An entry of C(preflight_services) is one; its keys that do not concern limits are ignored, and a service
        for which nothing is declared is left alone.
      - A limit that is not named stays as it is, also in a drop-in of an earlier call. V("") takes its line out.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      unit:
        description:
          - Its unit. C(NAME.service) where it is not given.
          - A template (C(worker@.service)) means all of its instances; those that run are handled one after the other.
        type: str
      nofile:
        description:
          - Open files. A number is the soft limit, and the hard limit stays, or rises to it. C("65536:524288") or a mapping of
            C(soft) and C(hard) sets both.
        type: raw
      tasks_max:
        description: Most tasks (threads) of the unit; a number, or V(infinity).
        type: raw
      memory_max:
        description: Memory that the unit may not pass; bytes, a size such as C(512M) (base 1024), or V(infinity).
        type: raw
      memory_high:
        description: Memory from which on the kernel reclaims from the unit and slows it down.
        type: raw
      gomemlimit:
        description:
          - C(GOMEMLIMIT) of the program. V(auto) is 90 % of the lower one of O(services[].memory_max) and
            O(services[].memory_high) where one is given. V("") is none.
        type: raw
      health:
        description: URL (http, https, unix) that has to answer with a status from 200 to 299 after a restart.
        type: str
  apply:
    description:
      - When it takes effect. V(restart) restarts the services whose process lacks something, and needs the consent V(restart).
      - V(live) raises the open files of the running processes without a restart.
      - V(next_start) leaves the running processes alone.
      - With all three systemd applies C(TasksMax=), C(MemoryMax=) and C(MemoryHigh=) to a running unit as soon as it reads its files.
    type: str
    choices: [restart, live, next_start]
    default: restart
  lower:
    description:
      - Take what is higher now down to what is declared. Without it a limit that is higher stays. The first limit of memory
        lowers nothing.
    type: bool
    default: false
  raise_nr_open:
    description:
      - Raise C(fs.nr_open) where more open files are declared than it allows, now and in C(/etc/sysctl.d/50-goready-fs.conf).
        Needs the consent V(sysctl). Without it such a value is refused.
    type: bool
    default: false
  accept_unenforced:
    description:
      - Write a limit of tasks or memory also where the kernel offers systemd no such controller. Without it such a limit is refused.
    type: bool
    default: false
  timeout:
    description: Seconds in which a restarted service has to be active and healthy; above 0.
    type: float
    default: 60
  settle:
    description: Seconds that it has to stay active with the same main process.
    type: float
    default: 2
  state:
    description:
      - V(absent) removes the drop-ins, and with the last one of the host C(/etc/sysctl.d/50-goready-fs.conf).
    type: str
    choices: [present, absent]
    default: present
  consent:
    description:
      - What may be done. Without the needed word the module fails before it changes anything; in check mode it warns.
    type: list
    elements: str
    choices: [restart, firewall, sysctl, install]
    default: []
  lock_timeout:
    description: Seconds to wait for another remediation that changes this host.
    type: float
    default: 120
attributes:
  check_mode:
    description: Predicts the changes of the real call.
    support: full
  diff_mode:
    description: Shows the drop-ins before and after.
    support: full
  platform:
    description: Hosts with systemd.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.readiness_facts
"""

EXAMPLES = r"""
- name: Let api open 65536 files, now
  goready.preflight.service_limits:
    services:
      - name: api
        nofile: 65536
        health: http://127.0.0.1:8080/healthz
    consent: [restart]

- name: Cap the memory of a worker; GOMEMLIMIT becomes 460MiB
  goready.preflight.service_limits:
    services:
      - name: worker
        memory_max: 512M
    consent: [restart]

- name: Raise a limit without a restart
  goready.preflight.service_limits:
    services:
      - name: api
        nofile: "65536:524288"
    apply: live

- name: Take the drop-in away
  goready.preflight.service_limits:
    services:
      - name: api
    state: absent
    apply: next_start
"""

RETURN = r"""
changes:
  description: What was changed, in its order; in check mode what would be.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file or folder, C(unit NAME), or C(sysctl NAME).
      returned: success
      type: str
    action:
      description: What happened to it, V(created), V(changed), V(removed), V(restarted) or V(raised).
      returned: success
      type: str
    detail:
      description: More about it, where there is more to say.
      returned: success
      type: str
recovered:
  description: What was taken back of an earlier call that was killed; in check mode what would be.
  returned: always
  type: list
  elements: str
services:
  description: What became of each service, in the order of O(services).
  returned: when the services were declared rightly and no consent was missing
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      returned: success
      type: str
    unit:
      description: Its unit; the real one where an alias was given.
      returned: success
      type: str
    status:
      description:
        - V(effective) (proven on the running process; in check mode, would be), V(configured) (takes effect at the next start),
          V(untouched) (nothing is declared), V(removed), V(absent) (there was nothing to remove), V(failed).
      returned: success
      type: str
    drop_in:
      description: Path of its drop-in.
      returned: success
      type: str
    before:
      description: What the unit said before, by directive.
      returned: success
      type: dict
    after:
      description: What holds for the running process now; C(nofile) is C(soft:hard) of C(/proc/PID/limits).
      returned: success
      type: dict
    messages:
      description: What one should know, a sentence each.
      returned: success
      type: list
      elements: str
    failure:
      description: Why it failed and what was taken back. Empty where it did not.
      returned: success
      type: str
    journal:
      description: The last lines of its journal after a failed restart, without credentials.
      returned: success
      type: list
      elements: str
consent_missing:
  description: The words of consent that are needed and not given.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.goready.preflight.plugins.module_utils import changing, service_limits, units  # noqa: E402


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            # Checked by parse_services(): all faults at once, and what is meant by a directive that systemd does not have.
            "services": {"type": "list", "elements": "dict", "required": True},
            "apply": {"type": "str", "choices": ["restart", "live", "next_start"], "default": "restart"},
            "lower": {"type": "bool", "default": False},
            "raise_nr_open": {"type": "bool", "default": False},
            "accept_unenforced": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 60},
            "settle": {"type": "float", "default": 2},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "consent": {"type": "list", "elements": "str", "choices": ["restart", "firewall", "sysctl", "install"], "default": []},
            "lock_timeout": {"type": "float", "default": 120},
        },
        supports_check_mode=True,
    )
    given = dict(module.params)
    lock_timeout = given.pop("lock_timeout")
    try:
        entries = given.pop("services")
        options = service_limits.Options(**given)
        services = service_limits.parse_services(entries, options.faults(lock_timeout))
        result = service_limits.apply(services, options, check_mode=module.check_mode, lock_timeout=lock_timeout)
    except (changing.Busy, units.UnitError, OSError, ValueError) as exc:  # ValueError: Faults, and Changes' own
        module.fail_json(msg=str(exc), changes=[], recovered=[], consent_missing=[])
    for sentence in result.pop("warnings"):
        module.warn(sentence)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
