# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue as a whole, and families that other collections ship."""
from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue, policy
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import ROLES, lookup

ROOT = Path(__file__).resolve().parents[4]
EXAMPLE = ROOT / "tests/integration/collections"
CATALOGUE = catalogue.load()

# design.md: ids and severities are public and are never renamed.
PUBLIC = """
host: supported_os high, architecture high, emulation medium, fd_ceiling high, tcp_backlog low, time_sync medium,
 disk_space high, inodes medium, pending_reboot low
toolchain: present high, version_policy high, supported_release medium, arch_match critical, conflict medium, goroot high,
 gopath medium, env_drift medium, ownership high, gvm medium, build high, vet high, test high, fmt high, static_build medium,
 cross_build low, cgo low
modules: proxy_configured medium, checksum_db high, insecure high, private_leak medium, fallback low, proxy_reachable high,
         proxy_latency medium, proxy_errors medium, download high
services: present critical, active critical, enabled high, restart_policy medium, flapping high, root_user medium,
 unit_directives high, healthy critical, hardening info
limits: nofile_configured high, nofile_effective critical, nofile_headroom high, nofile_lowered medium,
 limits_conf_ignored info, tasks medium, memory_limit medium, gomaxprocs low
binary: arch_match critical, cpu_level critical, static low, go_release medium, revision high, clean medium, race high,
 replaced high, ownership high
pprof: bind critical, reachable critical, public_mux critical, expvar high, allow_list high, authentication high,
 available medium, profiles_valid medium, mutex_sampling info, block_sampling info
memory: heap_growth high, returns_after_load high, gc_pause_p99 medium, gc_cpu medium, rss_headroom high
goroutines: leaked high, count medium, growth_rate high, blocked medium
network: dns high, endpoint high, endpoint_latency medium, tls_expiry high, retransmits medium, listen_overflow high,
 conntrack medium
databases: reachable high, connections high, idle_in_transaction medium, lock_wait medium, replication_lag medium, memory medium,
 pool_wait high, fleet_pool high
"""


def test_ids_and_severities_are_the_public_ones():
    public = {}
    for block in PUBLIC.replace("\n ", " ").strip().splitlines():
        family, names = block.split(":")
        for pair in names.split(","):
            name, severity = pair.split()
            public[f"{family}.{name}"] = severity
    assert {check_id: one.severity for check_id, one in CATALOGUE.items()} == public


@pytest.mark.parametrize("one", CATALOGUE.values(), ids=CATALOGUE)
def test_every_entry_is_complete(one):
    assert one.title and one.why and one.judged and one.remediation.hint
    assert one.remediation.safe in ("apply", "manual")
    assert one.needs, "a check that needs nothing judges nothing"
    assert all(limit.doc for limit in one.thresholds.values())


@pytest.mark.parametrize("one", CATALOGUE.values(), ids=CATALOGUE)
def test_without_facts_no_check_passes(one):
    from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Policy, run

    assert {result.status for result in run([one], {"facts_version": "1.0"}, Policy(profile="deep"))} == {"unknown"}


@pytest.fixture
def acme(monkeypatch):
    """The example collection beside this one, as a collections path would show it."""
    import ansible_collections

    monkeypatch.setattr(ansible_collections, "__path__", [*ansible_collections.__path__, str(EXAMPLE / "ansible_collections")])
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.startswith("ansible_collections.acme")]:
        del sys.modules[name]


@pytest.mark.usefixtures("acme")
def test_a_family_of_another_collection_is_judged_like_our_own():
    from ansible_collections.goready.preflight.plugins.plugin_utils.engine import run

    rules = policy.parse({
        "preflight_custom_checks": ["acme.checks.billing"], "preflight_services": [{"name": "billing"}],
        "preflight_thresholds": {"billing.memory": 4}, "preflight_checks": ["billing.*"],
    })
    facts = {"host": {"memory": {"total": 2 * 2**30}}}
    (result,) = [line for line in run(rules.checks.values(), facts, rules.policy) if line.status != "notselected"]
    assert (result.id, result.status, result.reason) == (
        "billing.memory", "fail", "The host has 2.0 GiB of memory; billing needs 4 GiB.")


def test_lookup():
    assert lookup({"a": {"b": 0}}, "a.b") == 0
    assert lookup({"a": []}, "a.b") is None


def test_the_report_names_roles_that_are_there():
    there = {path.name for path in (ROOT / "roles").iterdir()} - {"preflight"}
    assert there == set(ROLES)
    for one in CATALOGUE.values():
        assert one.as_dict()["remediation"]["role"] in {"", *there}
