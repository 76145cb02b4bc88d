# Copyright: Acme platform team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A check family of another collection: named in preflight_custom_checks as acme.checks.billing."""
from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    Facts, Outcome, Policy, Remediation, Threshold, check, failed, notapplicable, passed,
)


@check(
    "billing.memory",
    title="The host has the memory that billing was sized for",
    severity="medium",
    why="Billing keeps a month of invoices in memory (capacity plan 2026).",
    judged="MemTotal of /proc/meminfo against the threshold; only on hosts where a service named billing is declared.",
    needs=("host.memory",),
    thresholds={"gib": Threshold(1.0, "least memory", unit="GiB", minimum=0)},
    remediation=Remediation(hint="Move billing to a larger host."),
)
def memory(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    if not policy.service("billing"):
        yield notapplicable("No service named billing is declared for this host.")
        return
    have = facts["host"]["memory"]["total"] / 2**30
    want = policy.threshold(memory, "gib")
    values = {"actual": round(have, 1), "expected": want, "evidence": [f"/proc/meminfo: MemTotal is {have:.1f} GiB"]}
    if have < want:
        yield failed(f"The host has {have:.1f} GiB of memory; billing needs {want:g} GiB.", **values)
    else:
        yield passed(f"The host has {have:.1f} GiB of memory.", **values)
