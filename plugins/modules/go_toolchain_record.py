#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: go_toolchain_record
short_description: Remember on a host what the role go_toolchain makes
version_added: 0.2.0
description:
  - Keeps a record in F(/var/lib) of the gvm and the Go versions that the P(goready.preflight.go_toolchain#role) role made, so that
    it removes those and no others.
  - The role calls it before it makes something, so that a run that is killed in between leaves nothing without an owner.
author: goready.preflight contributors (@goready)
options:
  state:
    description:
      - V(present) adds to the record.
      - V(absent) takes from it. A record that is empty then is removed.
    type: str
    choices: [present, absent]
    default: present
  gvm_root:
    description: The root of a gvm. Empty for none.
    type: str
    default: ""
  versions:
    description: Exact versions of Go, without C(go).
    type: list
    elements: str
    default: []
  user:
    description: The user whose gvm it is. Empty for everybody's.
    type: str
    default: ""
attributes:
  check_mode:
    description: Tells whether the record would change.
    support: full
  diff_mode:
    description: Shows the difference of the record.
    support: full
  platform:
    description: Hosts it can change.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.gvm_go
"""

EXAMPLES = r"""
- name: Remember what is about to be made
  goready.preflight.go_toolchain_record:
    gvm_root: /opt/gvm
    versions: [1.27.3]
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path.
      returned: success
      type: str
      sample: /var/lib/goready-go-made-everybody.json
    action:
      description: What happened to it, V(created), V(changed) or V(removed).
      returned: success
      type: str
      sample: created
    detail:
      description: What changed besides the content.
      returned: success
      type: str
recovered:
  description: Paths that a killed call had changed, and that were first put back as they were.
  returned: success
  type: list
  elements: str
"""

from typing import Any, Dict  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.goready.preflight.plugins.module_utils import go_environment, go_toolchain  # noqa: E402
from ansible_collections.goready.preflight.plugins.module_utils.changing import Busy, Changes  # noqa: E402


def change(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """The result for validated module arguments. Raises ValueError, OSError or Busy."""
    path = go_toolchain.record_path(params["user"])
    named = go_toolchain.Made(params["gvm_root"], params["versions"])
    with Changes("go_toolchain_record", check_mode=check_mode, **go_environment.places()) as changes:
        try:
            known = go_toolchain.parse_made(changes.read(path))
        except ValueError as exc:
            raise ValueError("%s: %s; move it away" % (path, exc)) from None
        combine = go_toolchain.merged if params["state"] == "present" else go_toolchain.without
        go_toolchain.remember(changes, path, combine(known, named))
    return changes.as_result()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "gvm_root": {"type": "str", "default": ""},
            "versions": {"type": "list", "elements": "str", "default": []},
            "user": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        result = change(module.params, module.check_mode)
    except (Busy, ValueError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s%s: nothing was changed" % (exc.filename + ": " if exc.filename else "", exc.strerror or exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
