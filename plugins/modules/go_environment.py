#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: go_environment
short_description: Let people and units find a Go
version_added: 0.2.0
description:
  - Makes links to C(go) and C(gofmt), a file for F(/etc/profile.d), a file for the C(EnvironmentFile=) of units and a block in
    shell start files, each where it is asked for.
  - E(GOROOT) is unset in all of them, because go finds its own and one of another release breaks every build. E(GOPATH) is left
    alone unless O(gopath) is given.
  - One transaction. What fails half-way is taken back, also what a killed call has left.
  - What was there before a link is kept in a record in F(/var/lib). What is no longer asked for is taken back.
  - A file that this module did not write is never replaced.
author: goready.preflight contributors (@goready)
options:
  state:
    description:
      - V(present) lets the host be as the other options say.
      - V(absent) takes away what earlier calls for the same O(user) made, and restores what stood there before.
    type: str
    choices: [present, absent]
    default: present
  goroot:
    description: The folder of the Go, which holds F(bin/go). Needed for O(state=present).
    type: path
  links_dir:
    description: Folder of the links. Empty for no links.
    type: str
    default: ""
  profile:
    description: Path of a file that login shells source. Empty for none.
    type: str
    default: ""
  environment_file:
    description: Path of a file for the C(EnvironmentFile=) of units. Empty for none.
    type: str
    default: ""
  rc_files:
    description: Shell start files that get the lines of the profile, in a block at their top.
    type: list
    elements: str
    default: []
  gopath:
    description: The E(GOPATH) to export, absolute or beginning with C(~/). Empty leaves it to the user.
    type: str
    default: ""
  user:
    description:
      - The user whose Go it is. Empty for everybody's.
      - What is below the user's home is made with that user's rights, and belongs to that user.
    type: str
    default: ""
attributes:
  check_mode:
    description: Tells every path that would change.
    support: full
  diff_mode:
    description: Shows the difference of every file and link; of a shell start file, the block only.
    support: full
  platform:
    description: Hosts it can change.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.gvm_go
"""

EXAMPLES = r"""
- name: Links in the PATH of every shell and unit
  goready.preflight.go_environment:
    goroot: /opt/gvm/gos/go1.27.3
    links_dir: /usr/local/bin

- name: Also a profile, and a file for units
  goready.preflight.go_environment:
    goroot: /opt/gvm/gos/go1.27.3
    links_dir: /usr/local/bin
    profile: /etc/profile.d/zz-go-toolchain.sh
    environment_file: /etc/default/go

- name: Take all of it away
  goready.preflight.go_environment:
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
      description: The path.
      returned: success
      type: str
      sample: /usr/local/bin/go
    action:
      description: What happened to it, V(created), V(changed) or V(removed).
      returned: success
      type: str
      sample: created
    detail:
      description: Where a link leads to, or what changed besides the content.
      returned: success
      type: str
      sample: to /opt/gvm/gos/go1.27.3/bin/go
recovered:
  description: Paths that a killed call had changed, and that were first put back as they were.
  returned: success
  type: list
  elements: str
"""

import os  # noqa: E402
import pwd  # noqa: E402
from typing import Any, Dict, List, Optional  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.goready.preflight.plugins.module_utils import go_environment  # noqa: E402
from ansible_collections.goready.preflight.plugins.module_utils.changing import Busy  # noqa: E402
from ansible_collections.goready.preflight.plugins.module_utils.userfiles import Identity, UserChanges, identity  # noqa: E402


def change(params: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    """The result for validated module arguments. Raises ValueError, OSError or Busy with one sentence."""
    who: Optional[Identity] = None
    homes: List[str] = []
    record = go_environment.record_path(params["user"])
    if params["user"]:
        try:
            account = pwd.getpwnam(params["user"])
        except KeyError:
            raise ValueError("user: there is no user %s on this host" % params["user"]) from None
        who = identity(account.pw_name, account.pw_uid, account.pw_gid)
        # A home of "/" is that of a service, and everything is not its own.
        homes = [home for home in dict.fromkeys((account.pw_dir.rstrip("/"), os.path.realpath(account.pw_dir))) if home not in ("", "/")]
    wanted = go_environment.Wanted(who=who, homes=homes)
    if params["state"] == "present":
        if not os.path.exists(params["goroot"] + "/bin/go") and not check_mode:
            raise ValueError("goroot: there is no %s/bin/go" % params["goroot"])
        wanted = go_environment.Wanted(
            goroot=params["goroot"], links_dir=params["links_dir"], profile=params["profile"],
            environment_file=params["environment_file"], rc_files=params["rc_files"], gopath=params["gopath"], who=who, homes=homes)
        theirs = [path for path in (params["links_dir"] + "/go", params["profile"], params["environment_file"], *params["rc_files"])
                  if wanted.whose(path)]
        if theirs and not os.path.isdir(homes[0]):
            raise ValueError("%s: the home of %s, %s, is no folder" % (theirs[0], params["user"], homes[0]))
    with UserChanges("go_environment", check_mode=check_mode, **go_environment.places()) as changes:
        go_environment.apply(changes, wanted, record)
    return changes.as_result()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "goroot": {"type": "path"},
            "links_dir": {"type": "str", "default": ""},
            "profile": {"type": "str", "default": ""},
            "environment_file": {"type": "str", "default": ""},
            "rc_files": {"type": "list", "elements": "str", "default": []},
            "gopath": {"type": "str", "default": ""},
            "user": {"type": "str", "default": ""},
        },
        required_if=[("state", "present", ["goroot"])],
        supports_check_mode=True,
    )
    faults = [
        "%s: %r is no absolute path without . and .. in it" % (key, value)
        for key in ("goroot", "links_dir", "profile", "environment_file", "rc_files")
        for value in (module.params[key] if key == "rc_files" else [module.params[key]])
        if value and (not value.startswith("/") or {".", ".."} & set(value.split("/")))
    ]
    if faults:
        module.fail_json(msg="; ".join(faults))
    try:
        result = change(module.params, module.check_mode)
    except (Busy, ValueError) as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s%s: nothing was changed" % (exc.filename + ": " if exc.filename else "", exc.strerror or exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
