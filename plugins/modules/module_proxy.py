#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: module_proxy
short_description: Set where Go gets its modules from, for users and for a whole Go
version_added: 0.2.0
description:
  - Sets GOPROXY, GOSUMDB and their like in the C(go/env) file of users (the one that C(go env -w) writes) and in the C(go.env) of
    a whole Go, and puts the credentials of proxies into netrc files. Every other line of these files stays as it is.
  - All of it or nothing. Where C(go env) of the user's login shell does not say afterwards what was asked for, everything is taken
    back and the module fails. A killed call is taken back by the next one.
  - Files below a home are read and written with the rights of that user, so that no link in it leads root elsewhere.
author: goready.preflight contributors (@goready)
options:
  users:
    description: The users whose files are set.
    type: list
    elements: str
    default: []
  system:
    description:
      - Also set it for everybody, in C(GOROOT/go.env). Go reads that file since 1.21, before it the user's own file counts.
      - A toolchain that go downloads itself (GOTOOLCHAIN) brings a C(go.env) of its own, which this does not change.
    type: bool
    default: false
  goroots:
    description: The Gos that O(system) means. Empty for every Go on the host that belongs to root and is 1.21 or newer.
    type: list
    elements: path
    default: []
  goproxy:
    description: GOPROXY. URLs, V(direct) and V(off), separated by C(,) or C(|). Empty leaves it as it is. No credentials in it.
    type: str
    default: ""
  gosumdb:
    description: GOSUMDB. Empty leaves it as it is.
    type: str
    default: ""
  goprivate:
    description: GOPRIVATE, globs of module paths separated by C(,). Empty leaves it as it is.
    type: str
    default: ""
  gonoproxy:
    description: GONOPROXY, likewise.
    type: str
    default: ""
  gonosumdb:
    description: GONOSUMDB, likewise.
    type: str
    default: ""
  goinsecure:
    description: GOINSECURE, likewise.
    type: str
    default: ""
  goflags:
    description: GOFLAGS. Empty leaves it as it is.
    type: str
    default: ""
  unset:
    description:
      - Variables whose lines are taken out of these files, so that what comes after them counts.
      - C(NAME) takes out every line of that name, C(NAME=value) only where the file says that value. A value given by its own option
        comes before C(NAME=value).
    type: list
    elements: str
    default: []
  netrc:
    description:
      - Entries of C(~/.netrc) of the O(users). Entries of other machines stay. The file gets the mode 0600.
    type: list
    elements: dict
    default: []
    suboptions:
      machine:
        description: The host that is asked with these credentials.
        type: str
        required: true
      login:
        description: The user there.
        type: str
      password:
        description: The password or token.
        type: str
  allow_unverified:
    description:
      - Whether a value may switch the verification of modules off. V(GOSUMDB=off), V(GOFLAGS=-insecure), and a GOPRIVATE, GONOSUMDB or
        GOINSECURE that covers a whole public host are refused without it.
    type: bool
    default: false
  state:
    description:
      - V(absent) takes back what was set for the O(users) and, with O(system), for the Gos. A file that nobody else has changed since
        is as it was, byte for byte. Else only the lines of this module's are replaced by what was there before.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Says what would be changed.
    support: full
  diff_mode:
    description: Shows the lines without credentials, and of netrc files nothing.
    support: full
  platform:
    description: Hosts it can change.
    platforms: linux
    support: full
"""

EXAMPLES = r"""
- name: A company's proxy for the user that builds
  goready.preflight.module_proxy:
    users: [ci]
    goproxy: https://goproxy.example.com,direct
    goprivate: git.example.com
    netrc:
      - machine: goproxy.example.com
        login: ci
        password: "{{ vault_goproxy_password }}"

- name: The same proxy for everybody on this host
  goready.preflight.module_proxy:
    system: true
    goproxy: https://goproxy.example.com

- name: Take all of it back
  goready.preflight.module_proxy:
    users: [ci]
    system: true
    state: absent
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file or folder.
      returned: success
      type: str
    action:
      description: V(created), V(changed) or V(removed).
      returned: success
      type: str
    detail:
      description: What else there is to say.
      returned: success
      type: str
recovered:
  description: Paths that an earlier call had left half done when it was killed, and that were taken back first.
  returned: success
  type: list
  elements: str
goroots:
  description: The Gos whose C(go.env) is meant by O(system).
  returned: success
  type: list
  elements: str
proof:
  description: What C(go env) says afterwards. Empty in check mode and with O(state=absent).
  returned: success
  type: list
  elements: dict
  contains:
    subject:
      description: The user, or the GOROOT.
      returned: success
      type: str
    go:
      description: The go that was asked, V(null) where there is none.
      returned: success
      type: str
    settings:
      description: Its answers by variable, without credentials.
      returned: success
      type: dict
    proven:
      description: Whether there was a go to prove it. A proof that fails fails the module.
      returned: success
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.goready.preflight.plugins.module_utils import changing, goproxy, moduleproxy  # noqa: E402


def main() -> None:
    texts = {option: {"type": "str", "default": ""} for option in moduleproxy.OPTIONS}
    module = AnsibleModule(
        argument_spec=dict(
            texts,
            users={"type": "list", "elements": "str", "default": []},
            system={"type": "bool", "default": False},
            goroots={"type": "list", "elements": "path", "default": []},
            unset={"type": "list", "elements": "str", "default": []},
            netrc={"type": "list", "elements": "dict", "default": [], "options": {
                "machine": {"type": "str", "required": True}, "login": {"type": "str"}, "password": {"type": "str", "no_log": True},
            }},
            allow_unverified={"type": "bool", "default": False},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
        ),
        supports_check_mode=True,
    )
    for option in moduleproxy.OPTIONS:
        if goproxy.has_credentials(module.params[option]):
            module.no_log_values.add(module.params[option])  # it is refused, and the refusal shows the arguments
    try:
        result = moduleproxy.run(module.params, check_mode=module.check_mode)
    except moduleproxy.Refused as exc:
        module.fail_json(msg="\n".join(exc.sentences))
    except (changing.Busy, OSError, ValueError) as exc:  # ValueError: of Changes, for a path that is something else
        module.fail_json(msg=str(exc))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
