# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database with 17 connections: a pool of ten fits alone, two of them do not; a pool that is too small is named."""
from __future__ import annotations

import re

ALONE = "1 pool on 1 host may open 10 connections together; the server has 17 for them"
TOGETHER = "2 pools on 2 hosts may open 20 connections together; the server has 17 for them."
HOSTS = ["pool-db", "pool-peer"]


def test_one_host_is_well(preflight, running):
    with running("pool-db", "api", rps=20):
        run = preflight(["pool-db"], ["api"])
    line = run.of("fleet_pool", "pool-db")["orders"]
    assert (line["status"], line["reason"]) == ("pass", ALONE + ".")
    assert "known as orders (pool-db:5432); 1 host of this run counted" in line["evidence"]
    line = run.of("pool_wait", "pool-db")["api orders"]
    assert (line["status"], line["actual"]["waits"]) == ("pass", 0)
    assert run.verdict == "ready"


def test_together_they_are_too_many(preflight):
    run = preflight(HOSTS, ["api"])
    for host in HOSTS:
        line = run.of("fleet_pool", host)["orders"]
        assert (line["status"], line["severity"], line["reason"], line["actual"]) == ("fail", "high", TOGETHER, 20)
        assert run.hosts[host]["verdict"] == "not_ready"
    for name in ("report.html", "report.md", "junit.xml"):
        assert TOGETHER.rstrip(".") in (run.reports / name).read_text(), name


def test_a_host_that_does_not_answer_makes_it_unknown(preflight, tmp_path):
    inventory = tmp_path / "more.ini"
    inventory.write_text("pool-gone ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh\n")
    run = preflight(["pool-db", "pool-gone"], ["api"], str(inventory))
    line = run.of("fleet_pool", "pool-db")["orders"]
    assert (line["status"], line["reason"]) == ("unknown", ALONE + ", and 1 host did not say what more there is: pool-gone.")
    assert run.hosts["pool-db"]["verdict"] == run.verdict == "inconclusive"


def test_a_pool_without_a_bound_is_no_part_of_the_sum(preflight, running):
    with running("pool-peer", "loose"):
        run = preflight(["pool-peer"], ["api", "loose"])
    found = run.of("fleet_pool", "pool-peer")
    assert (found["loose orders"]["status"], found["loose orders"]["severity"]) == ("fail", "low")
    assert (found["orders"]["status"], found["orders"]["severity"]) == ("unknown", "low")
    assert run.verdict == "ready_with_warnings"


def test_a_pool_that_is_too_small(preflight, running):
    with running("pool-peer", "tight", rps=30):
        run = preflight(["pool-peer"], ["tight", "api"])
    found = run.of("pool_wait", "pool-peer")
    assert (found["tight orders"]["status"], found["tight orders"]["severity"]) == ("fail", "high")
    assert re.fullmatch(r"\d+ requests waited \d+ ms in the mean for one of 2 connections within \S+ s; it should be below 20 ms\.",
                        found["tight orders"]["reason"])
    assert re.search(r"\d+ goroutines at once in database/sql\.\(\*DB\)\.conn", "\n".join(found["tight orders"]["evidence"]))
    assert found["api orders"]["status"] == "pass"


def test_a_pool_whose_connections_never_come_back(preflight, running):
    with running("pool-peer", "stuck", rps=5):
        run = preflight(["pool-peer"], ["stuck"])
    line = run.of("pool_wait", "pool-peer")["stuck orders"]
    assert (line["status"], line["severity"]) == ("fail", "high")
    assert re.match(r"All 6 connections of the pool were in use for \S+ s, and of \d+ requests that wait for one none got it\.|"
                    r"(\d+ r|R)equests waited ", line["reason"])
