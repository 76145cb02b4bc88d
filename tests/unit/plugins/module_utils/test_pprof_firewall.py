# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What needs no packet filter of a host's; the rest is in molecule/pprof_guard."""
from __future__ import annotations

from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
from ansible_collections.goready.preflight.plugins.module_utils.pprof_firewall import Firewall


def test_rules_may_be_longer_than_an_argument(tmp_path):
    text = "add element inet goready pprof { 10.0.0.0/8 }\n" * 10000
    firewall = Firewall(Changes("pprof_firewall", root=str(tmp_path), lock_dir=str(tmp_path)))
    assert firewall._execute(["cat"], text) == (0, text, "")
