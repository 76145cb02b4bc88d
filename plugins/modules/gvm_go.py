#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gvm_go
short_description: Install one verified Go version under gvm
version_added: 0.2.0
description:
  - Has gvm install an exact version of Go. gvm verifies nothing, so this does, on the host, before gvm sees the archive, and looks
    at what gvm made of it afterwards.
  - The SHA-256 that the archive must have is O(checksum), or that in the collection's own dated table, or that which the place
    tells from where the archive comes (its download index, or a C(.sha256) file beside the archive). Without any, it fails.
  - What gvm has installed is proven by its C(VERSION) file, the architecture of its programs, C(go version), and a small program
    that is compiled and run. A failure says which of the three disagrees, C(archive checksum), C(VERSION), or C(binary or
    architecture), and leaves nothing of the version behind.
  - A download goes to a C(.part) file, resumes, and ends at O(timeout). Space on the disk is looked at before something is unpacked.
  - A call that was killed is taken back by the next one. Two calls at once wait for each other.
  - Proxies are those of the task's C(environment).
author: goready.preflight contributors (@goready)
requirements:
  - On the host, gvm (see M(goready.preflight.gvm)) and what it needs.
options:
  version:
    description:
      - The exact version, quoted, as V("1.27.3"). V("1.27") is answered with the versions that it could mean.
    type: str
    required: true
  state:
    description:
      - Whether the version is to be there. V(absent) removes it with its package sets and is refused while a process runs something
        of it, or a unit file (or its C(EnvironmentFile)) names it. Where it was the default, there is none afterwards.
    type: str
    choices: [present, absent]
    default: present
  default:
    description:
      - Make it the version that shells get when they source gvm. With V(false), the default is left as it is.
    type: bool
    default: false
  gvm_root:
    description:
      - Where gvm is.
    type: path
    default: /opt/gvm
  user:
    description:
      - The owner of gvm, as whom it runs.
    type: str
    default: root
  archive:
    description:
      - Path of the archive C(goVERSION.linux-ARCH.tar.gz), instead of O(source). See O(archive_remote).
      - On the host it is read as O(user), who has to be able to read it.
    type: path
  archive_remote:
    description:
      - Whether O(archive) is on the host. With V(false) it is on the controller (or in the role's or playbook's C(files)), and is
        pushed to the host when it is needed. Its checksum is looked at before that, and again on the host.
    type: bool
    default: true
  source:
    description:
      - Base URLs (V(http), V(https), V(file)) below which C(goVERSION.linux-ARCH.tar.gz) is looked for, in this order.
      - An O(ignore:checksum) that the same plain C(http) mirror tells protects from damage, not from a forged mirror.
    type: list
    elements: str
    default: ["https://go.dev/dl"]
  checksum:
    description:
      - The SHA-256 of the archive, in 64 hex digits, with or without C(sha256:) before them.
    type: str
  known_checksums:
    description:
      - The SHA-256 by architecture that the collection's table has for the version, and under C(source) the table's name. Filled in by
        the action plugin.
    type: dict
    default: {}
  known_versions:
    description:
      - The versions of the collection's table. Filled in by the action plugin.
    type: list
    elements: str
    default: []
  probe:
    description:
      - Only tell what would be done. Used by the action plugin, to learn whether an archive has to be pushed.
    type: bool
    default: false
  retries:
    description:
      - How often a download is tried again after a failure that may pass, with growing pauses.
    type: int
    default: 3
  timeout:
    description:
      - Seconds for all of it. Once the archive is verified, unpacking and the proof get at least a minute each, ten on an emulated
        host.
    type: int
    default: 600
attributes:
  check_mode:
    description:
      - Tells the changes that the real call would make. Asks the sources for a checksum where none is known, and downloads nothing else.
        A gvm or a command that is not there yet is a warning then.
    support: full
  diff_mode:
    description: Shows the paths that come, go or change.
    support: full
  platform:
    description: Hosts of amd64 and arm64. gvm takes others for something else, and they are refused.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.gvm
"""

EXAMPLES = r"""
- name: Go 1.27.2, verified by the collection's table, as the default
  goready.preflight.gvm_go:
    version: "1.27.2"
    default: true

- name: A version that is newer than the table, from a mirror
  goready.preflight.gvm_go:
    version: "1.27.3"
    source: [https://mirror.example.com/golang]
    checksum: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

- name: A host without a network gets the archive from the controller
  goready.preflight.gvm_go:
    version: "1.26.9"
    archive: /srv/go/go1.26.9.linux-amd64.tar.gz
    archive_remote: false

- name: Remove a version that nothing uses
  goready.preflight.gvm_go:
    version: "1.26.4"
    state: absent
"""

RETURN = r"""
goroot:
  description: Where the version is, or was.
  returned: success
  type: str
  sample: /opt/gvm/gos/go1.27.3
go_version:
  description: Its name, as C(go version) tells it.
  returned: success
  type: str
  sample: go1.27.3
arch:
  description: The host's architecture in Go's words.
  returned: success
  type: str
  sample: amd64
gvm_root:
  description: Where gvm is.
  returned: success
  type: str
  sample: /opt/gvm
default:
  description: Whether it is the default now, or would be.
  returned: success
  type: bool
checksum:
  description: The SHA-256 of the archive that it was made from. V(null) where it was installed without this module.
  returned: success
  type: str
checksum_source:
  description: Where that was known from.
  returned: success
  type: str
  sample: the collection's table of 2026-11-21
archive_source:
  description: Where the archive came from. V(null) in check mode before it is installed.
  returned: success
  type: str
  sample: https://go.dev/dl/go1.27.2.linux-amd64.tar.gz
changes:
  description: What was changed, or would be in check mode, in the order in which it is done.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: What was changed.
      returned: success
      type: str
    action:
      description: C(created), C(changed) or C(removed).
      returned: success
      type: str
    detail:
      description: More about it.
      returned: success
      type: str
  sample: [{path: /opt/gvm/gos/go1.27.3, action: created, detail: go1.27.3 for linux/amd64}]
recovered:
  description: What a killed call had left and this one has taken back.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.goready.preflight.plugins.module_utils import changing, gvm, gvm_fetch, gvm_go  # noqa: E402


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "default": {"type": "bool", "default": False},
            "gvm_root": {"type": "path", "default": gvm.DEFAULT_ROOT},
            "user": {"type": "str", "default": "root"},
            "archive": {"type": "path"},
            "archive_remote": {"type": "bool", "default": True},
            "source": {"type": "list", "elements": "str", "default": [gvm_fetch.OFFICIAL]},
            "checksum": {"type": "str"},
            "known_checksums": {"type": "dict", "default": {}},
            "known_versions": {"type": "list", "elements": "str", "default": []},
            "probe": {"type": "bool", "default": False},
            "retries": {"type": "int", "default": 3},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    params = module.params
    for url in params["source"]:
        module.no_log_values.update(gvm.secrets_in(url))
    wanted, problems = gvm_go.parse(params)
    if wanted is None:
        module.fail_json(msg="\n".join(problems))
    layout = gvm.Layout(params["gvm_root"].rstrip("/"))
    deadline = gvm.Deadline(params["timeout"])
    changes = changing.Changes("gvm_go", check_mode=module.check_mode or params["probe"], lock_timeout=params["timeout"])
    try:
        with changes:
            who = gvm.identity(params["user"])
            if params["state"] == "absent":
                answer = gvm_go.absent(layout, who, wanted.version, changes=changes, deadline=deadline)
            else:
                answer = gvm_go.present(layout, who, wanted, changes=changes, deadline=deadline)
    except (gvm.GvmError, changing.Busy, ValueError, OSError) as exc:
        module.fail_json(msg=str(exc), recovered=changes.recovered)
    for warning in answer.pop("problems", []) if not params["probe"] else []:
        module.warn(warning)
    answer.pop("problems", None)
    module.exit_json(**changes.as_result(), **answer)


if __name__ == "__main__":
    main()
