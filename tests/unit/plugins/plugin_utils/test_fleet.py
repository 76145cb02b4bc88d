# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.plugin_utils import engine, fleet, hostdoc, policy
from ansible_collections.goready.preflight.plugins.plugin_utils.report import model
from ansible_collections.goready.preflight.plugins.sub_plugins.check import databases

CHECKS = {one.id: one for one in engine.checks_of(databases)}
NOW = "2026-11-21T12:00:00+00:00"


def server(name: str = "orders", place: str = "db1:5432", **values: Any) -> dict[str, Any]:
    return {"name": name, "kind": "postgres", "place": place, "server_id": "7 started noon", "limit": 97, "reserved": 3, "used": 12,
            "error": None, "declared": True, "uncounted": [], **values}


def pool(max_open: int | None = 40, server: int | None = 0, subject: str = "api orders") -> dict[str, Any]:
    return {"subject": subject, "max_open": max_open, "open": 2, "server": server}


PLACEHOLDER = engine.result_of(CHECKS[fleet.POOL], engine.notapplicable("The report answers it from what all hosts said.")).as_dict()
OTHER = engine.Result(id="host.memory", status="pass", severity="high", reason="Enough.").as_dict()


def host(name: str, *pools: dict[str, Any], servers: Any = None, results: Any = None, waivers: Any = (), percent: float = 100,
         **values: Any) -> dict[str, Any]:
    return {"format": 1, "name": name, "reachable": True, "verdict": "ready", "gate": "high", "error": None,
            "results": copy.deepcopy([OTHER, PLACEHOLDER] if results is None else results), "waivers": list(waivers),
            "fleet": {"declares": True, "groups": ["web"], "now": NOW, "percent": percent, "pools": list(pools),
                      "servers": [server()] if servers is None else servers}, **values}


def silent(name: str, **values: Any) -> dict[str, Any]:
    return {"format": 1, "name": name, "reachable": False, "verdict": "inconclusive", "error": "unreachable: no route", "results": [],
            **values}


def told(*hosts: dict[str, Any]) -> dict[str, list[tuple[str, str, str, str]]]:
    return {document["name"]: [(one["subject"], one["status"], one["severity"], one["reason"]) for one in document["results"]
                               if one["id"] == fleet.POOL]
            for document in fleet.judge(hosts, CHECKS)}


def verdicts(*hosts: dict[str, Any]) -> dict[str, str]:
    return {document["name"]: document["verdict"] for document in fleet.judge(hosts, CHECKS)}


FITS = "2 pools on 2 hosts may open 80 connections together; the server has 97 for them"
TOO_MUCH = "3 pools on 3 hosts may open 120 connections together; the server has 97 for them."


def test_pools_that_fit():
    hosts = [host("web1", pool()), host("web2", pool())]
    assert told(*hosts) == {name: [("orders", "pass", "high", FITS + ".")] for name in ("web1", "web2")}
    assert verdicts(*hosts) == {"web1": "ready", "web2": "ready"}


def test_too_many_together_although_each_is_few():
    hosts = [host(name, pool()) for name in ("web1", "web2", "web3")]
    assert told(*hosts) == {name: [("orders", "fail", "high", TOO_MUCH)] for name in ("web1", "web2", "web3")}
    assert verdicts(*hosts) == dict.fromkeys(("web1", "web2", "web3"), "not_ready")
    found = next(one for one in fleet.judge(hosts, CHECKS)[0]["results"] if one["id"] == fleet.POOL)
    assert (found["actual"], found["expected"]) == (120, "at most 97")
    assert found["evidence"] == [
        "web1: api orders up to 40", "web2: api orders up to 40", "web3: api orders up to 40",
        "known as orders (db1:5432); 3 hosts of this run counted", "12 connections in use now; 3 more are reserved"]
    assert found["remediation"]["hint"].startswith("Lower SetMaxOpenConns")


def test_a_host_without_pools_is_told_nothing():
    hosts = [host("web1", pool(100)), host("cache")]
    assert told(*hosts)["cache"] == [("", "notapplicable", "high", PLACEHOLDER["reason"])]
    assert verdicts(*hosts) == {"web1": "not_ready", "cache": "ready"}


def test_the_results_of_other_checks_and_their_place_stay():
    document, = fleet.judge([host("web1", pool(100), pool(0, subject="api audit"), results=[PLACEHOLDER, OTHER])], CHECKS)
    assert [(one["id"], one["subject"]) for one in document["results"]] == [
        (fleet.POOL, "api audit"), (fleet.POOL, "orders"), ("host.memory", "")]


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two hosts' servers were taken for one: 60 and 60 are more than 97."""
    answer = told(host("web1", pool(60), servers=[first]), host("web2", pool(60), servers=[second]))
    assert {one[1] for lines in answer.values() for one in lines} in ({"fail"}, {"pass"})
    return answer["web1"][0][1] == "fail"


@pytest.mark.parametrize(("first", "second", "expected"), [
    pytest.param(server(), server(), True, id="all the same"),
    pytest.param(server(), server("o", "10.0.0.5:5432"), True, id="two addresses of one server"),
    pytest.param(server(), server(server_id="8 started noon"), False, id="two servers behind one address"),
    pytest.param(server(server_id=None), server(server_id=None), True, id="one address, nobody says who it is"),
    pytest.param(server(server_id=None), server(), True, id="one of both says who it is"),
    pytest.param(server(server_id=None), server(place="db2:5432", server_id=None), False, id="two addresses"),
    pytest.param(server(place="127.0.0.1:5432", server_id=None), server(place="127.0.0.1:5432", server_id=None), False, id="loopback"),
    pytest.param(server(place="localhost:5432"), server(place="localhost:5432", server_id="8 started noon"), False, id="localhost"),
    pytest.param(server(place="127.0.0.1:5432"), server(), True, id="loopback on the server's own host"),
    pytest.param(server(place="/run/mysqld/mysqld.sock", server_id=None), server(place="/run/mysqld/mysqld.sock", server_id=None), False,
                 id="unix socket"),
    pytest.param(server(), server(kind="mysql"), False, id="another kind"),
])
def test_which_servers_are_one(first, second, expected):
    assert same(first, second) is expected


def test_two_names_of_one_server_are_one_sum():
    servers = [server(), server("audit", "10.0.0.5:5432")]
    assert told(host("web1", pool(50, 0), pool(50, 1, "api audit"), servers=servers)) == {"web1": [
        ("orders", "fail", "high", "2 pools on 1 host may open 100 connections together; the server has 97 for them.")]}


@pytest.mark.parametrize(("hosts", "expected"), [
    pytest.param([host("web1", pool()), host("web2", pool()), silent("web3")],
                 ("unknown", "high", FITS + ", and 1 host did not say what more there is: web3."), id="unreachable"),
    pytest.param([host("web1", pool()), host("web2", pool()), silent("web3", fleet={"declares": False, "now": NOW})],
                 ("pass", "high", FITS + "."), id="unreachable, and nothing is declared there"),
    pytest.param([*(host(name, pool()) for name in ("web1", "web2", "web3")), silent("web4")], ("fail", "high", TOO_MUCH),
                 id="unreachable, and too much already"),
    pytest.param([host("web1", pool(), servers=[server(uncounted=["worker"])]), host("web2", pool())],
                 ("unknown", "low", FITS + ", and not all that use it are counted: web1 worker."), id="a service without metrics"),
    pytest.param([host("web1", pool()), host("web2", pool()), host("web3", pool(0))],
                 ("unknown", "low", FITS + ", and not all that use it are counted: web3 api orders."), id="another one without a bound"),
    pytest.param([host("web1", pool(), servers=[server(limit=None, error="no client: install postgresql-client")])],
                 ("unknown", "high", "1 pool on 1 host may open 40 connections together; how many the server allows is not known: "
                  "no client: install postgresql-client."), id="no limit"),
    pytest.param([host("web1", pool(), servers=[server(limit=None, declared=False)])],
                 ("unknown", "low", "1 pool on 1 host may open 40 connections together; how many the server allows is not known."),
                 id="no limit, and nobody declared it"),
    pytest.param([host("web1", pool(80), percent=80)],
                 ("fail", "high", "1 pool on 1 host may open 80 connections together; the server has 97 for them, of which they may "
                  "take 80 %."), id="threshold"),
    pytest.param([host("web1", pool(97))],
                 ("pass", "high", "1 pool on 1 host may open 97 connections together; the server has 97 for them."), id="exactly"),
    pytest.param([host("web1", pool(None))], ("unknown", "low", "The upper bound of the pool is not among its metrics."),
                 id="no bound told"),
])
def test_a_sum(hosts, expected):
    assert [one[1:] for one in told(*hosts)["web1"]] == [expected]


def test_a_pool_without_a_bound():
    hosts = [host("web1", pool(0)), host("web2", pool(90))]
    answer = told(*hosts)
    assert answer["web1"] == [
        ("api orders", "fail", "low",
         "The pool has no upper bound: under load it may take all 97 connections of orders; SetMaxOpenConns should bound it.")]
    assert verdicts(*hosts) == {"web1": "ready_with_warnings", "web2": "ready_with_warnings"}


def test_a_pool_of_which_nobody_knows_where_it_leads():
    answer = told(host("web1", pool(500, None)))
    assert [(one[0], one[1]) for one in answer["web1"]] == [("api orders", "notapplicable")]


@pytest.mark.parametrize("status", ["notselected", "error", "unknown"])
def test_a_host_that_was_not_to_say_it_keeps_its_word(status):
    line = {**PLACEHOLDER, "status": status}
    hosts = [host("web1", pool(60), results=[line]), host("web2", pool(60))]
    answer = told(*hosts)
    assert [one[1] for one in answer["web1"]] == [status]
    assert [one[1] for one in answer["web2"]] == ["fail"]  # its connections are there all the same


WAIVER = {"check": fleet.POOL, "hosts": ["web"], "subject": "*", "justification": "a pooler is between", "approver": "ops",
          "expires": "2027-01-01T00:00:00+00:00", "state": "unused", "results": 0}


@pytest.mark.parametrize(("waiver", "verdict", "waived", "state"), [
    pytest.param(WAIVER, "ready", True, ("active", 1), id="by group"),
    pytest.param({**WAIVER, "hosts": ["db*"]}, "not_ready", False, ("unused", 0), id="of another host"),
    pytest.param({**WAIVER, "expires": "2026-01-01T00:00:00+00:00", "state": "expired"}, "not_ready", False, ("expired", 1), id="expired"),
])
def test_waivers(waiver, verdict, waived, state):
    document, = fleet.judge([host("web1", pool(100), waivers=[waiver])], CHECKS)
    line = document["results"][1]
    assert (document["verdict"], line["waived"]) == (verdict, waived)
    assert (document["waivers"][0]["state"], document["waivers"][0]["results"]) == state


def test_the_gate_is_each_hosts_own():
    hosts = [host("web1", pool(60), gate="critical"), host("web2", pool(60))]
    assert verdicts(*hosts) == {"web1": "ready_with_warnings", "web2": "not_ready"}


def test_documents_of_an_older_format_and_of_silent_hosts_stay_as_they_are():
    old = host("web1")
    del old["fleet"]
    hosts = [old, silent("web2"), {"format": 1, "name": "web3", "reachable": None, "verdict": "inconclusive", "error": "no result"}]
    assert fleet.judge(hosts, CHECKS) == hosts


def test_a_host_that_could_not_be_verified_stays_inconclusive():
    broken = host("web1", pool(10), error="verification broke", verdict="inconclusive", results=[])
    assert verdicts(broken) == {"web1": "inconclusive"}


def write(run_dir: Path, folder: str, *hosts: dict[str, Any], mode: str = "verify") -> None:
    (run_dir / folder).mkdir(parents=True)
    for one in hosts:
        hostdoc.write_json(run_dir / folder / hostdoc.file_name(one["name"]), {"services": [], "checks": {}, **one})
    hostdoc.write_json(run_dir / "run.json", {"id": "r", "hosts": [one["name"] for one in hosts], "mode": mode, "gate": "high"})


def test_the_report_answers_it_each_time_anew(tmp_path):
    """What lies on disk is not changed: a host that comes later counts."""
    write(tmp_path, "hosts", host("web1", pool(60)))
    before = (tmp_path / "hosts" / "web1.json").read_text()
    for _again in range(2):
        run, hosts = model.load(tmp_path)
        report = model.build(run, hosts, CHECKS)
        assert report.verdict == "ready"
        assert [one["status"] for one in report.document["hosts"][0]["results"] if one["id"] == fleet.POOL] == ["pass"]
    hostdoc.write_json(tmp_path / "hosts" / "web2.json", {"services": [], "checks": {}, **host("web2", pool(60))})
    run, hosts = model.load(tmp_path)
    report = model.build(run, hosts, CHECKS)
    assert report.verdict == "not_ready"
    assert {row.name: row.verdict for row in report.hosts} == {"web1": "not_ready", "web2": "not_ready"}
    assert (tmp_path / "hosts" / "web1.json").read_text() == before


def test_a_remediation_knows_that_it_was_there_before(tmp_path):
    """Else the run would be said to have caused it."""
    hosts = [host("web1", pool(60)), host("web2", pool(60))]
    write(tmp_path, "before", *hosts)
    write(tmp_path, "hosts", *hosts, mode="remediate")
    run, _hosts = model.load(tmp_path)
    for name in ("web1", "web2"):
        assert "fail" in run["remediation"].before[name].statuses.values()


HOSTS = st.lists(st.builds(
    lambda number, pools, known, limit, status: host(
        f"web{number}", *pools, servers=[server(server_id=known, limit=limit)], results=[OTHER, {**PLACEHOLDER, "status": status}]),
    st.integers(0, 50), st.lists(st.builds(pool, st.sampled_from([None, 0, 5, 60]), st.sampled_from([None, 0])), max_size=3),
    st.sampled_from([None, "7", "8"]), st.sampled_from([None, 97]), st.sampled_from(["notapplicable", "notselected"]),
), max_size=5, unique_by=lambda one: one["name"])


@given(HOSTS)
def test_a_report_that_is_made_twice_says_the_same(hosts):
    before = json.dumps(hosts)
    once = fleet.judge(hosts, CHECKS)
    assert fleet.judge(once, CHECKS) == once
    assert json.dumps(hosts) == before  # nobody else's documents are changed
    for document in once:
        lines = [one for one in document["results"] if one["id"] == fleet.POOL]
        assert lines
        assert len({(one["subject"], one["reason"]) for one in lines}) <= len(lines)


# ---------------------------------------------------------------------------------------------------------------- one host

def facts(**servers: Any) -> dict[str, Any]:
    return {
        "pools": {"services": [{"service": "api", "container": None, "url": "http://h/metrics",
                                "pools": [{"name": "orders", "max_open": 40, "open": 2}]},
                               {"service": "quiet", "container": None, "url": "http://h/quiet", "pools": []}]},
        "databases": {"servers": [{"name": name, "kind": "postgres", "place": f"{name}:5432", "database": "", "services": [],
                                   "declared": True, "server_id": None, "connections": {"limit": 97, "reserved": 3, "used": 5},
                                   "error": None, **more} for name, more in servers.items()]},
    }


@pytest.mark.parametrize(("servers", "expected"), [
    pytest.param({"audit": {}, "orders": {}}, 1, id="by the label"),
    pytest.param({"db1": {}, "db2": {"services": ["api"]}}, 1, id="the service's only one"),
    pytest.param({"db1": {"services": ["api"], "database": "orders"}, "db2": {"services": ["api"]}}, 0, id="by the database's name"),
    pytest.param({"db1": {"services": ["api"]}, "db2": {"services": ["api"]}}, None, id="one of two"),
    pytest.param({"db1": {"services": ["other"]}}, None, id="somebody else's"),
    pytest.param({}, None, id="none"),
])
def test_which_server_a_pool_leads_to(servers, expected):
    rules = policy.parse({"preflight_services": []})
    assert [one["server"] for one in fleet.carried(facts(**servers), rules)["pools"]] == [expected]


def test_what_a_host_carries():
    rules = policy.parse({"preflight_services": [{"name": "quiet"}]}, groups=("web",))
    found = fleet.carried(facts(orders={"services": ["api", "quiet"]}, cache={"kind": "redis"}), rules)
    assert found.pop("now") == rules.policy.now.isoformat()
    assert found == {
        "declares": True, "groups": ["web"], "percent": 100, "pools": [{"subject": "api orders", "max_open": 40, "open": 2, "server": 0}],
        "servers": [{"name": "orders", "kind": "postgres", "place": "orders:5432", "server_id": None, "limit": 97, "reserved": 3, "used": 5,
                     "error": None, "declared": True, "between": False, "uncounted": ["quiet"]}]}


def test_one_page_of_two_services_is_one_pool():
    given = facts(orders={})
    given["pools"]["services"].append({**given["pools"]["services"][0], "service": "worker"})
    assert [one["subject"] for one in fleet.carried(given, policy.parse({}))["pools"]] == ["api orders"]


def test_containers_that_have_one_address_each_are_two_pools():
    """Behind a bridge every instance of one image listens at the same loopback address."""
    given = facts(orders={})
    page = given["pools"]["services"][0]
    given["pools"]["services"] = [
        {**page, "service": f"api ({text})", "container": {"id": text, "runtime": "docker"}} for text in ("aa", "bb")]
    assert [one["subject"] for one in fleet.carried(given, policy.parse({}))["pools"]] == ["api (aa) orders", "api (bb) orders"]


@pytest.mark.parametrize(("variables", "declares"), [
    pytest.param({"preflight_services": [{"name": "api"}]}, False, id="a service without a database"),
    pytest.param({"preflight_services": [{"name": "api", "depends_on": ["redis://cache", "https://pay.example.org"]}]}, False,
                 id="no pools there"),
    pytest.param({"preflight_services": [{"name": "api", "depends_on": ["postgres://app@db1/orders"]}]}, True, id="depends_on"),
    pytest.param({"preflight_databases": [{"name": "shop", "url": "mysql://app@db1/shop"}]}, True, id="declared"),
])
@pytest.mark.parametrize("missing", ["pools", "databases"])
def test_a_host_whose_pools_were_not_looked_at_is_not_counted(variables, declares, missing):
    """Its profile is quick, or the look broke: no pools are not zero pools."""
    found = fleet.carried({**facts(orders={}), missing: {}}, policy.parse(variables))
    assert found["declares"] is declares and "pools" not in found
    other = {**host("web2"), "fleet": found}
    expected = ("unknown", "low", "1 pool on 1 host may open 40 connections together; the server has 97 for them, and not all that use it "
                "are counted: web2.") if declares else \
        ("pass", "high", "1 pool on 1 host may open 40 connections together; the server has 97 for them.")
    assert [one[1:] for one in told(host("web1", pool()), other)["web1"]] == [expected]


@pytest.mark.parametrize(("place", "values", "expected"), [
    pytest.param("db1:5432", {"answered_by": {"address": "10.0.0.5", "port": 5432}}, False, id="itself"),
    pytest.param("db1:6432", {"answered_by": {"address": "10.0.0.5", "port": 5432}}, True, id="another port"),
    pytest.param("db1:5432", {"answered_by": None}, True, id="by a unix socket"),
    pytest.param("db1:5432,db2:5433", {"answered_by": {"address": "10.0.0.5", "port": 5432}}, False, id="the first of two hosts"),
    pytest.param("db1:15432", {"answered_by": {"address": "10.0.0.5", "port": 5432}}, True, id="the end of another number"),
    pytest.param("/run/postgresql", {"answered_by": None}, False, id="a unix socket"),
    pytest.param("db1:6432", {"answered_by": None, "login": None}, False, id="nobody answered"),
    pytest.param("db1:3307", {"answered_by": None, "kind": "mysql"}, False, id="who does not say it"),
])
def test_who_is_between(place, values, expected):
    assert fleet.between({"kind": "postgres", "place": place, "login": "mon", **values}) is expected


def test_pools_of_a_pooler_alone_are_no_proof():
    pooler = server(place="db1:6432", between=True)
    said = "3 pools on 3 hosts may open 120 connections together; the server has 97 for them"
    hosts = [host("web1", pool(), servers=[pooler]), host("web2", pool()), host("web3", pool())]
    assert [one[1:] for one in told(*hosts)["web1"]] == [
        ("unknown", "low", said + ", but 40 of them lead to a pooler or a forwarded port: a pooler opens no more than it is allowed.")]
    assert [one[1] for one in told(*hosts, host("web4", pool(60)))["web1"]] == ["fail"]  # 140 lead straight to it
    assert [one[1:3] for one in told(*hosts, silent("web4"))["web1"]] == [("unknown", "high")]


@pytest.mark.parametrize(("variables", "declares"), [
    pytest.param({}, False, id="nothing"),
    pytest.param({"preflight_services": [{"name": "api"}]}, True, id="service"),
    pytest.param({"preflight_databases": [{"name": "orders", "url": "postgres://app@db1/orders"}]}, True, id="database"),
])
def test_a_host_that_said_nothing_carries_what_the_inventory_says(variables, declares):
    rules = policy.parse(variables)
    document = hostdoc.document(name="web1", started=NOW, ended=NOW, duration_ms=1, rules=rules, facts=None, results=[],
                                error="unreachable", reachable=False)
    assert document["fleet"]["declares"] is declares
    assert "pools" not in document["fleet"]
