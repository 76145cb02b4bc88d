#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write the readiness report of a run
version_added: 0.1.0
description:
  - Reads the documents that M(goready.preflight.verify) wrote for the hosts of a run, and writes one report of the fleet on the
    controller. Prints a summary of at most one screen.
  - Every host of the run is a row of the report. A host that has no document (it failed before it was verified) is
    C(inconclusive) and says so.
  - Every file is complete before it takes its name, so an older report of the same name is never lost half-way.
  - Where the run has a baseline, the report says which findings are new, fixed and unchanged since then.
  - Meant to run once for all hosts (C(run_once)); it connects to none.
author: goready.preflight contributors (@goready)
options:
  run_dir:
    description: Folder of the run on the controller, as M(goready.preflight.validate) returns it.
    type: path
    required: true
  report_dir:
    description:
      - Folder that the report is written to.
      - Where it is not given, the folder that holds the run's C(runs) folder.
    type: path
  formats:
    description:
      - Formats to write.
      - V(json) is C(report.json), V(html) is C(report.html), V(junit) is C(junit.xml), V(md) is C(report.md).
      - The run's folder keeps a C(report.json) of its own in any case, as a baseline for later runs.
    type: list
    elements: str
    choices: [json, html, junit, md]
    default: [json, html, junit, md]
  keep_runs:
    description:
      - How many runs to keep beside this one's folder, this one counted. V(0) keeps all.
      - Only folders that hold a run and nothing else are removed, and none that may still be under way.
    type: int
    default: 10
  summary:
    description: Print the summary. It is left out anyway where the standard output is JSON for a program.
    type: bool
    default: true
attributes:
  check_mode:
    description: Writes the report in check mode too, for that changes no host and is the point of the run.
    support: full
  diff_mode:
    description: Nothing is changed on a host, so there is no difference.
    support: none
  platform:
    description: Runs on the controller.
    platforms: posix
    support: full
seealso:
  - module: goready.preflight.validate
  - module: goready.preflight.verify
"""

EXAMPLES = r"""
- name: Write the report of the run
  goready.preflight.report:
    run_dir: "{{ run.run_dir }}"
  register: report
  run_once: true

- name: Write only what a CI server reads
  goready.preflight.report:
    run_dir: "{{ run.run_dir }}"
    report_dir: "{{ playbook_dir }}/public"
    formats: [json, junit]
    summary: false
  run_once: true
"""

RETURN = r"""
changed:
  description: Always false; files of the controller are written, no host is changed.
  type: bool
  returned: always
  sample: false
verdict:
  description: Verdict of the fleet, V(ready), V(ready_with_warnings), V(not_ready) or V(inconclusive).
  type: str
  returned: success
  sample: not_ready
msg:
  description: What stands between the fleet and its traffic, and how many checks were not selected, where any were not.
  type: str
  returned: success
  sample: 3 findings block 4 of 12 hosts; 1 host gave no result.
verdicts:
  description: Verdict of each host, by its inventory name.
  type: dict
  returned: success
  sample: {web1: ready, web2: not_ready}
unmended:
  description: After a remediation, the checks by host whose findings a role was to mend and did not.
  type: dict
  returned: success
  sample: {web2: [limits.nofile_effective]}
counts:
  description: The summary of report.json.
  type: dict
  returned: success
  contains:
    hosts:
      description: Number of hosts by verdict.
      type: dict
      sample: {not_ready: 1, inconclusive: 0, ready_with_warnings: 0, ready: 11}
    results:
      description: Number of results by status.
      type: dict
      sample: {pass: 271, fail: 12, error: 1, unknown: 2, notapplicable: 43, notselected: 1}
    failed:
      description: Number of failed results that are not waived, by severity.
      type: dict
      sample: {critical: 7, high: 0, medium: 5, low: 0, info: 0}
    waived:
      description: Number of waived results.
      type: int
      sample: 1
    checks:
      description: Number of checks, and of those that were not selected on at least one host.
      type: dict
      sample: {total: 30, notselected: 1}
report_dir:
  description: Folder of the report.
  type: str
  returned: success
  sample: /srv/fleet/reports
paths:
  description: The written files by format.
  type: dict
  returned: success
  sample: {json: /srv/fleet/reports/report.json, html: /srv/fleet/reports/report.html}
"""
