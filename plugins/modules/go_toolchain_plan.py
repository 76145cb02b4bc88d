#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: go_toolchain_plan
short_description: Decide what the role go_toolchain has to do on a host
version_added: 0.2.0
description:
  - Judges the variables of the P(goready.preflight.go_toolchain#role) role, all faults at once, before the host is connected to.
    Then looks at the host, and returns what is to be done there.
  - Only reads. The options are the role's variables without C(go_toolchain_); the role's documentation says what they mean.
author: goready.preflight contributors (@goready)
options:
  state:
    description: Whether the toolchain is wanted or what was made of it is to go.
    type: str
    choices: [present, absent]
    default: present
  versions:
    description: Exact versions.
    type: list
    elements: str
    default: []
  default:
    description: The version that people and units get. Empty for the first of O(versions).
    type: str
    default: ""
  prune:
    description: Whether versions that are not named are to be removed.
    type: bool
    default: false
  gvm_root:
    description: Folder of gvm.
    type: str
    default: /opt/gvm
  gvm_source:
    description: Where gvm is cloned from.
    type: str
    default: https://github.com/moovweb/gvm.git
  gvm_commit:
    description: The commit of gvm.
    type: str
    default: dd652539fa4b771840846f8319fad303c7d0a8d2
  user:
    description: The user whose Go it is. Empty for everybody's.
    type: str
    default: ""
  source:
    description: Base URLs of the archives.
    type: list
    elements: str
    default: ["https://go.dev/dl"]
  archive_dir:
    description: Folder on the controller with the archives. Empty for none.
    type: str
    default: ""
  checksums:
    description: SHA-256 by version, system and architecture, or by the archive's name.
    type: dict
    default: {}
  proxy:
    description: Proxy for the downloads. Empty for none.
    type: str
    default: ""
  retries:
    description: How often a download is tried again.
    type: int
    default: 3
  timeout:
    description: Seconds for one version, or for gvm.
    type: int
    default: 900
  packages:
    description: Debian packages that gvm needs.
    type: list
    elements: str
    default: []
  profile:
    description: Whether login shells get the Go by a profile.
    type: bool
    default: true
  profile_path:
    description: Path of the profile.
    type: str
    default: /etc/profile.d/zz-go-toolchain.sh
  links:
    description: Whether links are made.
    type: bool
    default: true
  links_dir:
    description: Folder of the links.
    type: str
    default: /usr/local/bin
  environment_file:
    description: Whether a file for the C(EnvironmentFile=) of units is written.
    type: bool
    default: false
  environment_file_path:
    description: Path of that file.
    type: str
    default: /etc/default/go
  gopath:
    description: The E(GOPATH) to export. Empty leaves it to the user.
    type: str
    default: ""
  rc_files:
    description: Whether shell start files are changed.
    type: bool
    default: false
  consent:
    description: What may be changed for the whole machine.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Runs the same in check mode.
    support: full
  diff_mode:
    description: Nothing is changed, so there is no difference.
    support: none
  platform:
    description: Hosts it can look at.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.gvm_go
  - module: goready.preflight.go_environment
"""

EXAMPLES = r"""
- name: Decide what is to be done
  goready.preflight.go_toolchain_plan:
    versions: [1.27.3, 1.26.4]
    packages: [git, binutils, bison, gcc, make, curl, bsdextrautils]
  register: go_toolchain_plan
"""

RETURN = r"""
plan:
  description: What is to be done.
  returned: success
  type: dict
  contains:
    arch:
      description: The host's architecture in Go's words.
      returned: success
      type: str
      sample: amd64
    gvm_root:
      description: Folder of gvm.
      returned: success
      type: str
      sample: /opt/gvm
    default:
      description: The version that people and units get.
      returned: success
      type: str
      sample: 1.27.3
    packages:
      description: The packages that are missing.
      returned: success
      type: list
      elements: str
    package_changes:
      description: The same in the shape of the role's list of changes.
      returned: success
      type: list
      elements: dict
      contains:
        path:
          description: The word C(package) and the name.
          returned: success
          type: str
          sample: package git
        action:
          description: Always V(installed).
          returned: success
          type: str
        detail:
          description: Always empty.
          returned: success
          type: str
    installs:
      description: The versions that there shall be.
      returned: success
      type: list
      elements: dict
      contains:
        version:
          description: The version.
          returned: success
          type: str
          sample: 1.27.3
        default:
          description: Whether it is the default.
          returned: success
          type: bool
        archive:
          description: Its archive on the controller. Empty where it is downloaded.
          returned: success
          type: str
        checksum:
          description: The inventory's SHA-256. Empty where there is none.
          returned: success
          type: str
    remove:
      description: The versions that are removed.
      returned: success
      type: list
      elements: str
    kept:
      description: The versions that are not named and stay.
      returned: success
      type: list
      elements: dict
      contains:
        version:
          description: The version.
          returned: success
          type: str
        used_by:
          description: What uses it, a sentence each.
          returned: success
          type: list
          elements: str
    gvm_goes:
      description: Whether gvm itself is removed.
      returned: success
      type: bool
    environment:
      description: Arguments for M(goready.preflight.go_environment).
      returned: success
      type: dict
    claim:
      description: What is about to be made, arguments for M(goready.preflight.go_toolchain_record).
      returned: success
      type: dict
    release:
      description: What is about to be removed, arguments for M(goready.preflight.go_toolchain_record).
      returned: success
      type: dict
    needs_consent:
      description: Whether changes need the consent V(install).
      returned: success
      type: bool
    consent:
      description: Whether it was given.
      returned: success
      type: bool
    unconsented:
      description: Whether consent is needed and missing.
      returned: success
      type: bool
    predict:
      description: Whether the changes are only predicted, in check mode and for want of consent.
      returned: success
      type: bool
    preview:
      description: Whether they are predicted for want of consent alone; the role then fails where there would be any.
      returned: success
      type: bool
    shells:
      description: The kinds of shell that have to see the Go afterwards.
      returned: success
      type: list
      elements: str
host:
  description: What was found on the host.
  returned: success
  type: dict
  contains:
    machine:
      description: What C(uname -m) says.
      returned: success
      type: str
      sample: x86_64
    arch:
      description: The same in Go's words. Empty for a machine that Go does not know.
      returned: success
      type: str
      sample: amd64
    home:
      description: Home of O(user). Empty without one.
      returned: success
      type: str
    gvm_root:
      description: Folder of gvm.
      returned: success
      type: str
    gvm:
      description: Whether there is a gvm.
      returned: success
      type: bool
    half:
      description: Whether a killed installation or removal of gvm has left something there.
      returned: success
      type: bool
    packages:
      description: The packages that are missing.
      returned: success
      type: list
      elements: str
    rc_files:
      description: The shell start files that O(rc_files) is about.
      returned: success
      type: list
      elements: str
    file_used_by:
      description: The units that name the file for C(EnvironmentFile=), where it is to go.
      returned: success
      type: list
      elements: str
    made:
      description: What earlier runs made.
      returned: success
      type: dict
      contains:
        gvm_root:
          description: Folder of the gvm that they made.
          returned: success
          type: str
        versions:
          description: The versions that they made.
          returned: success
          type: list
          elements: str
    versions:
      description: The versions that are there.
      returned: success
      type: list
      elements: dict
      contains:
        version:
          description: The version.
          returned: success
          type: str
        used_by:
          description: What uses it, where that was asked.
          returned: success
          type: list
          elements: str
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.goready.preflight.plugins.module_utils import go_toolchain  # noqa: E402


def main() -> None:
    module = AnsibleModule(argument_spec=go_toolchain.ARGUMENTS, supports_check_mode=True)
    try:
        host = go_toolchain.look(module.params)
    except ValueError as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg="%s%s" % (exc.filename + ": " if exc.filename else "", exc.strerror or exc))
    module.exit_json(changed=False, host=host)


if __name__ == "__main__":
    main()
