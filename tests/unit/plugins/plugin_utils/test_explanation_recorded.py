# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a service under load with one cause of slow requests planted at a time: the first line names it, and is none where none is.

Recorded by molecule/explanation (GOREADY_RECORD) with the causes of tests/lab/causes.py, which says of each what it is to be named.
"""
from __future__ import annotations

import ast
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.goready.preflight.plugins.plugin_utils import explanation, replay

ROOT = Path(__file__).resolve().parents[4]
RECORDED = ROOT / "tests/unit/fixtures/explanation"
#: cause: (its name in the explanation, the check, what it is about)
CAUSES = {
    "slow-dns": ("dns", "network.dns", r"pay\.lab\.test|db\.lab\.test"),
    "dead-ipv6": ("dead_address", "network.endpoint", r"pay\.lab\.test"),
    "slow-tls": ("tls", "network.endpoint_latency", r"pay\.lab\.test"),
    "backlog": ("accept_queue", "network.listen_overflow", r"shop 127\.0\.0\.1:8080"),
    "descriptors": ("descriptors", "limits.nofile_headroom", "shop"),
    "pool": ("pool", "databases.pool_wait", "shop orders"),
    "idle-transactions": ("database_idle", "databases.idle_in_transaction", "stock"),
    "lock": ("lock", "goroutines.blocked", "shop"),
    "collector": ("gc", "memory.gc_cpu", "shop"),
    "cpu-quota": ("cpu_quota", "limits.gomaxprocs", "shop"),
    "ports": ("ports", "network.conntrack", ":443"),
    "slow-proxy": ("module_proxy", "modules.proxy_latency", r"proxy\.lab\.test"),
}


def explained(name: str) -> dict[str, Any]:
    """The explanation of the service, from the facts of a run."""
    document = json.loads(gzip.decompress((RECORDED / f"{name}.json.gz").read_bytes()))
    _verdict, results = replay.judge(document)
    found: dict[str, Any] = explanation.explain(document["facts"], results)["shop", ""]
    return found


@pytest.mark.parametrize("name", CAUSES)
def test_the_first_line_names_what_was_planted(name):
    cause, check, subject = CAUSES[name]
    first = explained(name)["ranked"][0]
    assert (first["cause"], first["check"]) == (cause, check)
    assert re.search(subject, first["subject"])


@pytest.mark.parametrize("name", ["healthy", "again"])
def test_nothing_is_told_of_a_healthy_service(name):
    found = explained(name)
    assert found["ranked"] == []
    # Which is no answer where nothing was looked at.
    assert found["measured"]
    assert found["excluded"]


def test_there_is_a_recording_of_each_cause_that_can_be_planted():
    source = ast.parse((ROOT / "tests/lab/causes.py").read_text(encoding="utf-8"))
    (planted,) = (node.value for node in source.body if isinstance(node, ast.Assign)
                  and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "CAUSES")
    assert isinstance(planted, ast.Dict)
    assert sorted(ast.literal_eval(key) for key in planted.keys if key is not None) == sorted(CAUSES)
    assert len(CAUSES) == 12
