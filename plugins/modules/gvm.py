#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gvm
short_description: Install gvm, the Go version manager, at one commit
version_added: 0.2.0
description:
  - Clones gvm to a temporary folder below O(gvm_root), checks that it has the commit, and runs gvm's own installer from it.
    C(scripts), which shells source, is the last to get its place.
  - No file of any shell is touched (the installer runs with C(GVM_NO_UPDATE_PROFILE=1)).
  - A call that was killed half-way is taken back by the next one.
  - An installed gvm at another commit is an error that names it. Nothing is replaced below a Go that somebody uses.
  - Refused where others than O(user) and root could change what is run as O(user), in O(gvm_root) or by a folder above it.
  - Go versions are installed by M(goready.preflight.gvm_go).
author: goready.preflight contributors (@goready)
requirements:
  - On the host, bash, git, curl, gcc, make, ar (binutils), bison, hexdump (bsdextrautils), tar and gzip, which gvm calls.
options:
  gvm_root:
    description:
      - Where gvm is, or is to be. Letters, digits and C(. _ @ + -) only, as gvm does not quote its paths.
      - The folder may exist when it is empty, as a file system of its own does.
      - Folders above it that are missing are made, and stay when gvm is removed.
    type: path
    default: /opt/gvm
  source:
    description:
      - Where git finds gvm's repository. A URL, the path of a mirror on the host, or the path of a git bundle on the host.
      - A URL with a password or a token is refused, as every user of a host sees the arguments of its processes.
      - The git configuration of O(user) counts (C(insteadOf), credential helpers).
    type: str
    default: https://github.com/moovweb/gvm.git
  commit:
    description:
      - The commit to install, all 40 digits. The default is the newest one, of August 2023.
    type: str
    default: dd652539fa4b771840846f8319fad303c7d0a8d2
  user:
    description:
      - Who owns gvm, and as whom its installer runs.
    type: str
    default: root
  state:
    description:
      - With V(absent), O(gvm_root) is removed with all Go versions in it. Refused while a process runs something from there or a
        unit file names it.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description:
      - Seconds for all of it.
    type: int
    default: 300
attributes:
  check_mode:
    description: Tells the changes that the real call would make. A command that gvm needs and the host lacks is a warning then.
    support: full
  diff_mode:
    description: Shows the folder that comes or goes.
    support: full
  platform:
    description: Hosts it changes.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.gvm_go
"""

EXAMPLES = r"""
- name: Install gvm for the whole system
  goready.preflight.gvm:

- name: Install gvm from a bundle that was brought along
  goready.preflight.gvm:
    source: /srv/bundles/gvm.bundle

- name: Install gvm for one user
  goready.preflight.gvm:
    gvm_root: /home/deploy/.gvm
    user: deploy
"""

RETURN = r"""
gvm_root:
  description: Where gvm is.
  returned: success
  type: str
  sample: /opt/gvm
commit:
  description: The commit that is installed, V(null) where none is.
  returned: success
  type: str
  sample: dd652539fa4b771840846f8319fad303c7d0a8d2
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: What was changed.
      returned: success
      type: str
    action:
      description: C(created) or C(removed).
      returned: success
      type: str
    detail:
      description: More about it.
      returned: success
      type: str
  sample: [{path: /opt/gvm, action: created, detail: gvm at commit dd652539fa4b}]
recovered:
  description: What a killed call had left and this one has taken back.
  returned: success
  type: list
  elements: str
"""

import re  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.goready.preflight.plugins.module_utils import changing, gvm  # noqa: E402


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "gvm_root": {"type": "path", "default": gvm.DEFAULT_ROOT},
            "source": {"type": "str", "default": gvm.REPOSITORY},
            "commit": {"type": "str", "default": gvm.COMMIT},
            "user": {"type": "str", "default": "root"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    params = module.params
    module.no_log_values.update(gvm.secrets_in(params["source"]))
    problems = []
    if params["state"] == "present":
        try:
            gvm.check_source(params["source"])
        except gvm.GvmError as exc:
            problems.append(str(exc))
    try:
        params["gvm_root"] = gvm.check_root(params["gvm_root"])
    except ValueError as exc:
        problems.append(str(exc))
    if not re.fullmatch(r"[0-9a-f]{40}", params["commit"]):
        problems.append("commit: %r is no commit; all 40 hexadecimal digits are needed" % params["commit"])
    if not 1 <= params["timeout"] <= 86400:
        problems.append("timeout: %d is not from 1 to 86400 seconds" % params["timeout"])
    if problems:
        module.fail_json(msg="\n".join(problems))
    layout = gvm.Layout(params["gvm_root"])
    deadline = gvm.Deadline(params["timeout"])
    changes = changing.Changes("gvm", check_mode=module.check_mode, lock_timeout=params["timeout"])
    warnings = []
    try:
        with changes:
            who = gvm.identity(params["user"])
            if params["state"] == "absent":
                gvm.absent(layout, who, changes=changes, deadline=deadline)
            else:
                warnings = gvm.present(layout, who, source=params["source"], commit=params["commit"], changes=changes,
                                       deadline=deadline)
    except (gvm.GvmError, changing.Busy, ValueError, OSError) as exc:
        module.fail_json(msg=str(exc), recovered=changes.recovered)
    for warning in warnings:
        module.warn(warning)
    module.exit_json(**changes.as_result(), **gvm.result(layout))


if __name__ == "__main__":
    main()
