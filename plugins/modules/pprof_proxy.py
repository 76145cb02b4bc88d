#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pprof_proxy
short_description: Put nginx in front of pprof listeners
version_added: 0.2.0
description:
  - Serves the pprof pages of the given services under C(/NAME/debug/pprof/) of one nginx server, to those who come from the
    allow-list and have credentials. Everything else is refused, with 401 (credentials), 403 (address, page, query), 405 (any
    method but GET) or 429 (more than 10 requests a second).
  - A page is an exact path, and its query one that is spelled out, so no encoding or repeated parameter gets through.
    C(debug=2), which stops the service while it is answered, never does.
  - nginx of the distribution is used. Where it is missing, O(install) has to be given. It is then installed without its
    default site, which would listen on port 80, and is purged with the proxy. Sites that are there are never touched.
  - Of the packages that came with it, those that something else needs by then stay, or that somebody has marked as wanted
    (C(apt-mark manual)). What apt upgrades for nginx stays upgraded. Where apt would remove a package for it, the module fails.
  - C(nginx -t) judges the configuration before it is loaded, and what answers then is tried, by every address family, page and
    method. Where any of that fails, the files are as they were and nginx is told so. A call takes back what a killed one left.
  - The action plugin of this name also tries it from the controller, after that. Where the controller gets what it should not
    and the call had changed something, the named services are served no longer. How they were served before does not come back.
  - A service whose own pprof listens beyond loopback, with no other guard, is refused.
author: goready.preflight contributors (@goready)
options:
  services:
    description:
      - The services to serve, or with O(state=absent) to serve no longer. Others that are served already stay.
      - With O(state=absent), an empty list stands for all of them, and nothing is left behind.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the service. It is part of the path.
        type: str
        required: true
      backend:
        description: Base URL of its pprof on the host, C(http://), C(https://) or C(unix://). Needed with O(state=present).
        type: str
      allow:
        description: Networks or addresses that are admitted beside loopback.
        type: list
        elements: str
        default: []
      guarded:
        description:
          - Another guard closes the service's own port before this runs. Believed in check mode only, where that guard is not in
            place yet.
        type: bool
        default: false
  remove:
    description:
      - Names of services that are served no longer, in the same call. With O(state=present) only; O(services) wins.
    type: list
    elements: str
    default: []
  state:
    description: Whether the services are served.
    type: str
    choices: [present, absent]
    default: present
  listen:
    description:
      - A port, for every address of both families, or an address with a port, such as C(10.0.0.5:16060) or C([::1]:16060).
      - The default is 16060, which no service is registered for.
    type: str
    default: "16060"
  tls_certificate:
    description: Certificate on the host, with its chain, in PEM.
    type: str
  tls_key:
    description: Its private key on the host, in PEM.
    type: str
  insecure:
    description: Ask for credentials without TLS on an address beyond loopback, where whoever listens on the network reads them.
    type: bool
    default: false
  token:
    description:
      - Bearer token of at least 32 characters. The host keeps its digest only, in a file that root alone reads.
    type: str
  users:
    description:
      - Passwords by user name, for basic authentication. The host keeps their hashes (SHA-512 crypt) only.
    type: dict
  paths:
    description: Pages to serve.
    type: list
    elements: str
    default: [index, heap, allocs, goroutine, profile]
    choices: [index, allocs, block, cmdline, goroutine, goroutineleak, heap, mutex, profile, symbol, threadcreate, trace]
  seconds_max:
    description: The longest CPU profile, trace or delta that may be asked for, in seconds.
    type: int
    default: 30
  install:
    description: Consent to install nginx where it is missing, and to purge it again if it was installed here.
    type: bool
    default: false
  timeout:
    description: Seconds for nginx to start, or to take its new configuration.
    type: int
    default: 30
attributes:
  check_mode:
    description: Predicts exactly the changes of the real run. The packages are predicted by apt's own simulation.
    support: full
  diff_mode:
    description: Shows the files as they were and as they are, but for the token's digest and the hashes of passwords.
    support: full
  platform:
    description: Hosts it can change. They need apt (or nginx) and systemd.
    platforms: debian
    support: full
seealso:
  - module: goready.preflight.pprof_firewall
"""

EXAMPLES = r"""
- name: Serve the profiles of a service to the monitoring network
  goready.preflight.pprof_proxy:
    services:
      - name: api
        backend: http://127.0.0.1:6060
        allow: [10.20.0.0/16]
    token: "{{ vault_pprof_token }}"
    tls_certificate: /etc/ssl/certs/api.pem
    tls_key: /etc/ssl/private/api.key
    install: true

- name: Serve nothing any more
  goready.preflight.pprof_proxy:
    state: absent
    install: true
"""

RETURN = r"""
services:
  description: Every service that is served after the call.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the service.
      returned: success
      type: str
    path:
      description: The folder of its pages.
      returned: success
      type: str
      sample: /api/debug/pprof/
    allow:
      description: Networks that are admitted beside loopback.
      returned: success
      type: list
      elements: str
tried:
  description: Requests that proved it on the host. 0 in check mode.
  returned: success
  type: int
missing:
  description: In check mode, what cannot be done for want of O(install), in sentences. Without check mode it is a failure.
  returned: success
  type: list
  elements: str
client:
  description: The controller's address as the host sees it, or null where it is not known.
  returned: success
  type: str
certificate:
  description: SHA-256 of O(tls_certificate)'s first certificate. Empty without TLS.
  returned: success
  type: str
outside:
  description: What the controller saw.
  returned: success, but for check mode and O(state=absent)
  type: dict
  contains:
    tried:
      description: Requests that proved it.
      returned: success
      type: int
    admitted:
      description: Whether the controller's address is admitted. Null where it was not tried.
      returned: success
      type: bool
    reason:
      description: Why it was not tried, or from which address to which it was.
      returned: success
      type: str
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path, or what else it is, such as C(package nginx) or C(unit nginx.service).
      returned: success
      type: str
    action:
      description: What happened to it, for instance V(created), V(changed), V(removed), V(installed), V(started), V(reloaded).
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

from ansible_collections.goready.preflight.plugins.module_utils import pprof_proxy, proxyconf, units  # noqa: E402
from ansible_collections.goready.preflight.plugins.module_utils.changing import Busy, Changes  # noqa: E402


def main() -> None:
    module = AnsibleModule(argument_spec=proxyconf.ARGUMENTS, supports_check_mode=True)
    changes = Changes("pprof_proxy", check_mode=module.check_mode)
    try:
        with changes:
            result = pprof_proxy.run(changes, **module.params)
    except (Busy, pprof_proxy.ProxyError, units.UnitError, ValueError, OSError) as exc:
        module.fail_json(msg=str(exc), recovered=changes.recovered)
    for warning in [*result.pop("warnings"), *result["missing"]]:
        module.warn(warning)
    module.exit_json(**changes.as_result(), **result)


if __name__ == "__main__":
    main()
