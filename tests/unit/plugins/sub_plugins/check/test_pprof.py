# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "fixtures" / "pprof"))

import pprof_fixtures as fixtures
import pytest

from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Policy
from ansible_collections.goready.preflight.plugins.sub_plugins.check import pprof

CHECKS = {one.id: one for one in engine.checks_of(pprof)}
LISTENERS = [name for name, one in CHECKS.items() if one.needs == pprof.NEEDS]  # the others judge takes, see the end


def run(facts, check, policy=None):
    """{subject: (status, severity, reason)} of one check, through the engine."""
    results = engine.run([CHECKS[check]], facts, policy or Policy())
    assert len({result.subject for result in results}) == len(results), "two results with one fingerprint"
    return {result.subject: (result.status, result.severity, result.reason) for result in results}


def short(results):
    return {subject: result[:2] for subject, result in results.items()}


def only(*services, **edits):
    """The recorded facts with these services' endpoints alone; ``edits`` go into every endpoint."""
    facts = fixtures.facts()
    facts["pprof"]["endpoints"] = [{**one, **edits} for one in facts["pprof"]["endpoints"] if one["service"] in services]
    return facts


def rebind(facts, address, port=None, proto="tcp"):
    for part in (*facts["pprof"]["endpoints"], *facts["outside"]["endpoints"]):
        part["listener"].update(address=address, proto=proto, path=None, port=port or part["listener"]["port"])
    return facts


def test_the_catalogue():
    assert {one.id: one.severity for one in CHECKS.values()} == {
        "pprof.bind": "critical", "pprof.reachable": "critical", "pprof.public_mux": "critical", "pprof.expvar": "high",
        "pprof.allow_list": "high", "pprof.authentication": "high", "pprof.available": "medium", "pprof.profiles_valid": "medium",
        "pprof.mutex_sampling": "info", "pprof.block_sampling": "info"}
    for one in CHECKS.values():
        assert one.remediation.role == ("" if one.needs == pprof.TAKES else "pprof_guard")
        assert one.remediation.hint and ("ource: " in one.why or "Go source" in one.why) and one.judged


# --- the recorded host, whole


def test_bind_on_the_recorded_host():
    assert run(fixtures.facts(), "pprof.bind") == {
        "api 127.0.0.1:6060": ("pass", "critical", "/debug/pprof/ is served on 127.0.0.1:6060, which only this machine reaches."),
        "orders 192.0.2.2:18083": ("pass", "critical",
                                   "192.0.2.2:18083 is beyond loopback, but refuses us without credentials (401)."),
        "raft [::]:18084": ("unknown", "low", "Whether [::]:18084 serves /debug/pprof/ is not known: did not answer within 1 s."),
        "shop [::]:18080": ("fail", "critical", "/debug/pprof/ is served to anybody on [::]:18080: on every address of the host; "
                            "loopback or a unix socket is wanted."),
        "worker unix:/run/worker.sock": ("pass", "critical",
                                         "/debug/pprof/ is served on unix:/run/worker.sock, which only this machine reaches."),
    }


def test_reachable_on_the_recorded_host():
    assert run(fixtures.facts(), "pprof.reachable") == {
        "orders 192.0.2.2:18083": ("pass", "critical",
                                   "192.0.2.2:18083 answers the controller, but serves it no debug endpoint (status 401)."),
        "raft [::]:18084": ("unknown", "low",
                            "Whether others reach debug endpoints on port 18084 is not known: did not answer within 1 s."),
        "shop [::]:18080": ("fail", "critical", "The controller reads /debug/pprof/ at 192.0.2.2:18080: so does everybody with "
                            "the same network path."),
    }


def test_public_mux_on_the_recorded_host():
    assert short(run(fixtures.facts(), "pprof.public_mux")) == {
        "api 127.0.0.1:6060": ("pass", "critical"),
        "shop [::]:18080": ("fail", "critical"),
        "worker unix:/run/worker.sock": ("unknown", "medium"),
    }


def test_expvar_on_the_recorded_host():
    assert run(fixtures.facts(), "pprof.expvar") == {
        "orders 192.0.2.2:18083": ("pass", "high",
                                   "192.0.2.2:18083 is beyond loopback, but refuses us without credentials (401)."),
        "raft [::]:18084": ("unknown", "low", "Whether [::]:18084 serves /debug/vars is not known: did not answer within 1 s."),
        "shop [::]:18080": ("fail", "high", "/debug/vars is served to anybody on [::]:18080: on every address of the host; "
                            "loopback or a unix socket is wanted."),
        "stats 127.0.0.1:18085": ("pass", "high",
                                  "/debug/vars is served on 127.0.0.1:18085, which only this machine reaches."),
    }


def test_allow_list_on_the_recorded_host():
    assert run(fixtures.facts(), "pprof.allow_list") == {
        "orders 192.0.2.2:18083": ("pass", "high", "192.0.2.2:18083 admits every address and asks each for credentials (401), which is "
                                   "accepted in place of an allow-list."),
        "shop [::]:18080": ("fail", "info", "[::]:18080 leads every address to /debug/pprof/: there is no allow-list in front."),
    }


def test_authentication_on_the_recorded_host():
    assert run(fixtures.facts(), "pprof.authentication") == {
        "orders 192.0.2.2:18083": ("fail", "medium", "192.0.2.2:18083 asks for credentials without TLS: whoever listens on the way "
                                   "reads them."),
        "shop [::]:18080": ("fail", "info", "[::]:18080 serves /debug/pprof/ without asking for credentials."),
    }


def test_the_finding_carries_what_a_person_needs():
    [result] = [one for one in engine.run([CHECKS["pprof.reachable"]], fixtures.facts(), Policy()) if one.status == "fail"]
    assert result.evidence == (
        "from the controller: GET /debug/pprof/ answered 200 with the index of net/http/pprof",
        "from the controller: GET /debug/vars answered 200 with the variables cmdline and memstats",
        "port 22 of 192.0.2.2 answers the controller directly")
    assert result.remediation.command == (
        "curl -sS -k -m 3 -o /dev/null -w '%{http_code}\\n' http://192.0.2.2:18080/debug/pprof/")
    [result] = [one for one in engine.run([CHECKS["pprof.bind"]], fixtures.facts(), Policy()) if one.status == "fail"]
    assert result.evidence[0].startswith("listener [::]:18080, http, PID ")
    assert result.evidence[1] == "GET /debug/pprof/ answered 200 with the index of net/http/pprof"
    assert (result.actual, result.expected) == ("[::]:18080", "loopback or unix")


# --- a clean host, an empty one, one that could not be looked into


@pytest.mark.parametrize(("check", "reason"), [
    ("pprof.bind", "No listener serves /debug/pprof/ (2 listeners of Go processes asked)."),
    ("pprof.reachable", "No listener beyond loopback serves debug endpoints, so there was nothing to try (2 listeners of Go "
                        "processes asked)."),
    ("pprof.public_mux", "No listener serves /debug/pprof/ (2 listeners of Go processes asked)."),
    ("pprof.expvar", "No listener serves /debug/vars (2 listeners of Go processes asked)."),
    ("pprof.allow_list", "Nothing beyond loopback leads to /debug/pprof/, no reverse proxy either (2 listeners of Go processes asked)."),
    ("pprof.authentication", "Nothing beyond loopback leads to /debug/pprof/, no reverse proxy either (2 listeners of Go processes "
                             "asked)."),
])
def test_metrics_and_an_application_without_debugging_are_no_finding(check, reason):
    facts = only("exporter", "api")
    facts["pprof"]["endpoints"] = [one for one in facts["pprof"]["endpoints"] if not one["pprof"]["served"]]
    assert len(facts["pprof"]["endpoints"]) == 2
    assert run(facts, check) == {"": ("pass", CHECKS[check].severity, reason)}
    [result] = engine.run([CHECKS[check]], facts, Policy())
    assert any(line.startswith("exporter [::]:19090: GET /debug/pprof/ answered 404") for line in result.evidence)


@pytest.mark.parametrize("check", LISTENERS)
def test_no_go_service_at_all(check):
    facts = only()
    facts["outside"] = {"direct": None, "address": "web1", "reason": "", "endpoints": []}
    assert run(facts, check) == {"": ("notapplicable", CHECKS[check].severity, "No Go process listens on this host.")}


@pytest.mark.parametrize("check", CHECKS)
def test_what_was_not_collected_is_not_judged(check):
    facts = only()
    del facts["pprof"]["endpoints"]
    facts["errors"] = [{"part": CHECKS[check].needs[0], "kind": "unavailable", "message": "the services were not collected"}]
    assert short(run(facts, check)) == {"": ("unknown", CHECKS[check].severity)}
    facts["errors"][0].update(kind="timeout")
    assert short(run(facts, check)) == {"": ("error", CHECKS[check].severity)}


UNREADABLE = {"processes": 3, "commands": ["api", "sshd"], "hidden": False,
              "reason": "the executables of other users' processes are readable by root only"}


@pytest.mark.parametrize("check", LISTENERS)
@pytest.mark.parametrize(("unreadable", "privileged", "services", "severity"), [
    (UNREADABLE, False, (), None),
    (UNREADABLE, False, ({"name": "api"},), "low"),
    (UNREADABLE, True, (), "low"),
    ({"processes": 0, "commands": [], "hidden": True, "reason": "/proc hides the processes of other users (hidepid)"}, False, (),
     None),
])
def test_an_ordinary_user_is_told_what_he_cannot_see(check, unreadable, privileged, services, severity):
    facts = only("exporter")
    facts["collected"]["privileged"] = privileged
    facts["services"]["unreadable"] = unreadable
    [result] = engine.run([CHECKS[check]], facts, Policy(services=services))
    assert (result.subject, result.status, result.severity, result.reason) == (
        "", "unknown", severity or CHECKS[check].severity, f"Listeners may have been missed: {unreadable['reason']}.")
    assert (result.remediation == engine.AS_ROOT) is not privileged
    assert result.remediation != CHECKS[check].remediation


@pytest.mark.parametrize("check", LISTENERS)
@pytest.mark.parametrize(("go", "declared", "line", "status"), [
    (True, False, "fds: permission denied", "unknown"),
    (True, False, "listeners: of 9000 descriptors only the first 8192 were looked at", "unknown"),
    (False, True, "fds: permission denied", "unknown"),
    (None, True, "status: permission denied", "unknown"),
    (False, False, "fds: permission denied", "pass"),
    (True, True, "environ: permission denied", "pass"),
])
def test_a_process_whose_listeners_are_not_known(check, go, declared, line, status):
    facts = only("exporter")
    [service] = [one for one in facts["services"]["services"] if one["name"] == "exporter"]
    service["declared"] = declared
    service["processes"][0].update(go=go, unreadable=[line])
    results = run(facts, check)
    assert short(results) == {"": (status, CHECKS[check].severity)}
    if status == "unknown":
        assert results[""][2] == "What a service's process listens on could not be read."


def blind(go, declared, *, lines=("fds: permission denied",), privileged=False, count=1):
    """Facts where ``count`` processes of a service may not be looked at."""
    facts = only("exporter")
    facts["collected"]["privileged"] = privileged
    [service] = [one for one in facts["services"]["services"] if one["name"] == "exporter"]
    first = service["processes"][0]
    service.update(declared=declared, processes=[
        {**first, "pid": 700 + number, "go": go, "unreadable": list(lines)} for number in range(count)])
    return facts


@pytest.mark.parametrize("check", LISTENERS)
@pytest.mark.parametrize(("services", "privileged", "severity"), [
    ((), False, None), (({"name": "api"},), False, "low"), ((), True, "low"),
])
def test_a_process_that_may_be_a_go_program_weighs_less_than_one_that_is(check, services, privileged, severity):
    facts = blind(None, False, privileged=privileged)
    [result] = engine.run([CHECKS[check]], facts, Policy(services=services))
    assert (result.status, result.severity) == ("unknown", severity or CHECKS[check].severity)
    assert result.reason == "Listeners may have been missed: some processes are not readable."
    assert result.evidence == ("PID 700 (exporter): fds: permission denied",)


def test_go_programs_that_were_not_read_come_before_those_that_may_be_some():
    facts = blind(None, False)
    facts["services"]["services"].append({"name": "api", "declared": False, "processes": [
        {"pid": 12, "go": True, "unreadable": ["fds: permission denied", "listeners: cut", "exe: permission denied"]},
        {"pid": 13, "go": False, "unreadable": ["fds: permission denied"]},
    ]})
    facts["services"]["unreadable"] = UNREADABLE
    [result] = engine.run([CHECKS["pprof.bind"]], facts, Policy(services=({"name": "web"},)))
    assert (result.severity, result.reason) == ("critical", "What a service's process listens on could not be read.")
    assert result.evidence == (
        "PID 12 (api): fds: permission denied; listeners: cut", "PID 700 (exporter): fds: permission denied",
        "not readable: api, sshd")


def test_unread_processes_are_counted_and_the_evidence_is_bounded():
    [result] = engine.run([CHECKS["pprof.bind"]], blind(True, False, count=50), Policy())
    assert result.reason == "What 50 processes of services listen on could not be read."
    assert (len(result.evidence), result.evidence[-1]) == (pprof.SHOWN + 1, "... and 30 more")


@pytest.mark.parametrize(("lines", "privileged", "mend"), [
    (["fds: permission denied"], False, engine.AS_ROOT),
    (["fds: permission denied"], True, pprof._LOOK),
    (["listeners: of 9000 descriptors only the first 8192 were looked at"], False, pprof._LOOK),
])
def test_who_can_read_what_was_not_read(lines, privileged, mend):
    [result] = engine.run([CHECKS["pprof.bind"]], blind(True, False, lines=lines, privileged=privileged), Policy())
    assert result.remediation == mend


@pytest.mark.parametrize("check", ["pprof.bind", "pprof.expvar"])
@pytest.mark.parametrize(("privileged", "as_root"), [(False, True), (True, False)])
def test_another_network_namespace_is_entered_by_root(check, privileged, as_root):
    facts = only("raft", state="namespace", namespace=None, error="in a container whose network namespace cannot be read")
    facts["collected"]["privileged"] = privileged
    [result] = engine.run([CHECKS[check]], facts, Policy())
    assert (result.status, result.remediation == engine.AS_ROOT) == ("unknown", as_root)


# --- bind


@pytest.mark.parametrize(("address", "status", "reach"), [
    ("127.0.0.1", "pass", None), ("127.0.0.53", "pass", None), ("::1", "pass", None), ("::ffff:127.0.0.1", "pass", None),
    ("0.0.0.0", "fail", "on 0.0.0.0:18080: on every address of the host"),
    ("10.0.0.5", "fail", "on 10.0.0.5:18080: for everybody with a route to that address"),
    ("192.168.1.5", "fail", "on 192.168.1.5:18080: for everybody with a route to that address"),
    ("fe80::1", "fail", "on [fe80::1]:18080: for everybody with a route to that address"),
])
def test_bind_judges_the_address(address, status, reach):
    [(found, severity, reason)] = run(rebind(only("shop"), address), "pprof.bind").values()
    assert (found, severity) == (status, "critical")
    if reach:
        assert reason == f"/debug/pprof/ is served to anybody {reach}; loopback or a unix socket is wanted."


def test_bind_in_a_container():
    facts = only("shop", namespace="other", container={"runtime": "podman", "id": "0123456789ab"})
    [(status, severity, reason)] = run(facts, "pprof.bind").values()
    assert (status, severity) == ("fail", "high")
    assert reason == ("/debug/pprof/ is served to anybody on [::]:18080 inside its container's network: for everything on that "
                      "network, and wherever the port is published; loopback or a unix socket is wanted.")
    assert run(facts, "pprof.reachable") == {
        "shop (podman container) [::]:18080": (
            "unknown", "medium", "Where [::]:18080 is published, and so who reaches it, is not known.")}
    assert short(run(facts, "pprof.expvar")) == {"shop (podman container) [::]:18080": ("fail", "medium")}
    # With the host's network it is a listener of the host.
    facts["pprof"]["endpoints"][0]["namespace"] = "host"
    assert short(run(facts, "pprof.bind")) == {"shop (podman container) [::]:18080": ("fail", "critical")}


def test_two_containers_of_one_service_are_told_apart():
    facts = only("shop", namespace="other")
    first = facts["pprof"]["endpoints"][0]
    second = copy.deepcopy(first)
    first["container"], second["container"] = {"runtime": "docker", "id": "aaa"}, {"runtime": "docker", "id": "bbb"}
    facts["pprof"]["endpoints"].append(second)
    assert set(run(facts, "pprof.bind")) == {"shop (docker container) [::]:18080 @aaa", "shop (docker container) [::]:18080 @bbb"}


@pytest.mark.parametrize(("edits", "status", "severity"), [
    ({}, "unknown", "low"),
    ({"declared": True}, "unknown", "critical"),
    ({"state": "not_probed", "error": "not reached in the time for all listeners"}, "unknown", "critical"),
    ({"state": "tls", "error": "TLS handshake failed: x"}, "unknown", "medium"),
    ({"state": "namespace", "namespace": None, "error": "in a container"}, "unknown", "medium"),
    ({"state": "client_certificate", "authentication": True}, "pass", "critical"),
], ids=lambda value: json.dumps(value) if isinstance(value, dict) else "")
@pytest.mark.parametrize("check", ["pprof.bind", "pprof.expvar"])
def test_what_is_not_known_of_a_listener_beyond_loopback(check, edits, status, severity):
    severity = CHECKS[check].severity if severity == "critical" else severity
    assert short(run(only("raft", **edits), check)) == {"raft [::]:18084": (status, severity)}


@pytest.mark.parametrize("check", LISTENERS)
def test_silence_on_loopback_is_nobodys_business(check):
    assert short(run(rebind(only("raft"), "127.0.0.1"), check)) == {"": ("pass", CHECKS[check].severity)}


# --- reachable


def answer(facts, **edits):
    facts["outside"]["endpoints"] = [{**one, **edits} for one in facts["outside"]["endpoints"] if one["service"] == "shop"]
    return facts


@pytest.mark.parametrize(("edits", "status", "severity", "reason"), [
    ({"state": "closed", "open": False, "pprof": None, "expvar": None, "error": "connection refused"}, "pass", "critical",
     "192.0.2.2:18080 does not let the controller in (connection refused)."),
    ({"state": "filtered", "open": False, "pprof": None, "expvar": None, "error": "no connection within 1 s"}, "pass", "critical",
     "192.0.2.2:18080 does not let the controller in (no connection within 1 s)."),
    ({"pprof": False, "expvar": False, "status": 403}, "pass", "critical",
     "192.0.2.2:18080 answers the controller, but serves it no debug endpoint (status 403)."),
    ({"pprof": False}, "fail", "high",
     "The controller reads /debug/vars at 192.0.2.2:18080: so does everybody with the same network path."),
    ({"pprof": False, "expvar": None}, "unknown", "critical", None),
    ({"state": None, "open": None, "pprof": None, "expvar": None, "error": "no direct path"}, "unknown", "critical",
     "Whether others reach debug endpoints on port 18080 is not known: no direct path."),
    ({"address": "fd00::5"}, "fail", "critical",
     "The controller reads /debug/pprof/ at [fd00::5]:18080: so does everybody with the same network path."),
])
def test_reachable(edits, status, severity, reason):
    [(found, weight, said)] = run(answer(only("shop"), **edits), "pprof.reachable").values()
    assert (found, weight) == (status, severity)
    assert reason is None or said == reason


def test_reachable_expvar_alone_is_asked_for_and_mended_as_expvar():
    facts = answer(only("shop"), pprof=False)
    [result] = engine.run([CHECKS["pprof.reachable"]], facts, Policy())
    assert result.remediation.command.endswith(" http://192.0.2.2:18080/debug/vars")
    assert result.remediation.hint == CHECKS["pprof.expvar"].remediation.hint


@pytest.mark.parametrize("check", ["pprof.bind", "pprof.reachable", "pprof.public_mux", "pprof.expvar"])
@pytest.mark.parametrize(("exe", "edits", "hint"), [
    ("/usr/bin/prometheus-node-exporter", {}, "flag (--web.listen-address=ADDRESS:PORT), or let the firewall admit"),
    ("/usr/sbin/shopd", {}, "by its own listen flag, or let the firewall admit only the monitoring server to port 18080."),
    ("/usr/bin/shop", {"declared": True}, "mux"),
    ("/usr/bin/shop", {"container": {"runtime": "podman", "id": "aaa"}}, "mux"),
    ("/opt/shop/shop", {}, "mux"),
])
def test_what_an_operator_can_do_about_a_distributions_daemon(check, exe, edits, hint):
    facts = only("shop", **edits)
    [endpoint] = facts["pprof"]["endpoints"]
    facts["services"] = {"services": [{"name": "shop", "declared": False, "container": edits.get("container"),
                                       "processes": [{"pid": endpoint["pid"], "exe": exe, "go": True}]}]}
    results = [one for one in engine.run([CHECKS[check]], facts, Policy()) if one.status == "fail"]
    assert results and all(hint in one.remediation.hint for one in results)


def test_reachable_of_a_listener_that_the_host_saw_serve_pprof_only():
    """What the host ruled out need not be asked from outside."""
    facts = answer(only("shop"), pprof=False, expvar=None, status=404)
    facts["pprof"]["endpoints"][0]["expvar"]["served"] = False
    assert short(run(facts, "pprof.reachable")) == {"shop [::]:18080": ("pass", "critical")}


def test_reachable_without_the_outside_view():
    facts = only("shop")
    del facts["outside"]
    assert run(facts, "pprof.reachable") == {
        "shop [::]:18080": ("unknown", "critical", "Port 18080 was not tried from another machine.")}
    facts = only("api", "worker", "stats")
    del facts["outside"]
    assert short(run(facts, "pprof.reachable")) == {"": ("pass", "critical")}


@pytest.mark.parametrize(("service", "severity"), [("shop", "critical"), ("orders", "low"), ("raft", "low")])
def test_what_nobody_tried_weighs_what_it_was_worth_on_the_host(service, severity):
    facts = only(service)
    del facts["outside"]
    assert [result[:2] for result in run(facts, "pprof.reachable").values()] == [("unknown", severity)]


# --- public_mux


@pytest.mark.parametrize(("address", "shared", "status", "severity"), [
    ("0.0.0.0", True, "fail", "critical"),
    ("127.0.0.1", True, "fail", "high"),
    ("127.0.0.1", False, "pass", "critical"),
    ("0.0.0.0", False, "pass", "critical"),
    ("127.0.0.1", None, "unknown", "medium"),
])
def test_public_mux(address, shared, status, severity):
    facts = rebind(only("shop", shared=shared), address)
    assert [result[:2] for result in run(facts, "pprof.public_mux").values()] == [(status, severity)]


def test_public_mux_on_loopback_says_why_it_matters():
    [result] = engine.run([CHECKS["pprof.public_mux"]], rebind(only("shop"), "127.0.0.1"), Policy())
    assert result.reason == ("The application's own listener 127.0.0.1:18080 serves /debug/pprof/ too: a reverse proxy that "
                             "forwards every path publishes it; a listener of its own on loopback is wanted.")
    assert result.evidence[-1] == "GET / answered 200 with text/html"


# --- expvar


@pytest.mark.parametrize(("service", "address", "shared", "status", "severity"), [
    ("stats", "0.0.0.0", None, "fail", "high"),
    ("stats", "10.0.0.5", False, "fail", "high"),
    ("stats", "127.0.0.1", None, "pass", "high"),
    ("shop", "127.0.0.1", True, "fail", "medium"),
])
def test_expvar(service, address, shared, status, severity):
    facts = rebind(only(service, shared=shared), address)
    assert [result[:2] for result in run(facts, "pprof.expvar").values()] == [(status, severity)]


# --- all of them


@pytest.mark.parametrize("check", CHECKS)
def test_the_order_of_the_facts_does_not_matter(check):
    facts, turned = fixtures.facts(), fixtures.facts()
    turned["pprof"]["endpoints"].reverse()
    turned["outside"]["endpoints"].reverse()
    assert engine.run([CHECKS[check]], facts, Policy()) == engine.run([CHECKS[check]], turned, Policy())


def test_results_are_json_and_do_not_hold_the_command_line():
    results = engine.run([CHECKS[name] for name in LISTENERS], fixtures.facts(), Policy())
    text = json.dumps([result.as_dict() for result in results])
    assert "secret-of-the-fixture" not in text and len(results) == 19


# --- what stands in front


TABLE = {"present": True, "ports": [{"port": 18080, "allow": ["198.51.100.0/24"]}], "lasting": True, "error": None}
SHOP = "shop [::]:18080"
FOUR = ("pprof.bind", "pprof.reachable", "pprof.expvar", "pprof.allow_list", "pprof.authentication")


def guarded(*, lasting=True, let_in=False, source="192.0.2.1", client=None, allow=("198.51.100.0/24",)):
    """shop's open port behind the table of role pprof_guard; the recorded controller, 192.0.2.1, is not on its list."""
    facts = only("shop")
    facts["pprof"]["firewall"] = {**TABLE, "ports": [{"port": 18080, "allow": list(allow)}], "lasting": lasting}
    facts["pprof"]["client"] = client
    for one in facts["outside"]["endpoints"]:
        one["source"] = source if let_in else None
        if one["service"] == "shop" and not let_in:
            one.update(state="filtered", open=False, pprof=None, expvar=None, status=None, error="no connection within 1 s")
    return facts


def test_a_proven_allow_list_is_as_good_as_loopback():
    words = "the table inet goready_pprof admits only loopback and 198.51.100.0/24"
    assert {check: run(guarded(), check)[SHOP] for check in FOUR} == {
        "pprof.bind": ("pass", "critical", f"/debug/pprof/ is served on [::]:18080, to which {words}."),
        "pprof.reachable": ("pass", "critical", "192.0.2.2:18080 does not let the controller in (no connection within 1 s)."),
        "pprof.expvar": ("pass", "high", f"/debug/vars is served on [::]:18080, to which {words}."),
        "pprof.allow_list": ("pass", "high", f"To [::]:18080, {words}."),
        "pprof.authentication": ("pass", "high", f"[::]:18080 asks nobody for credentials, and {words}, which is accepted in place of "
                                 "them."),
    }


@pytest.mark.parametrize(("source", "client"), [("198.51.100.9", None), ("10.0.0.1", "198.51.100.9")])
def test_a_controller_that_is_on_the_list_gets_in_rightly(source, client):
    facts = guarded(let_in=True, source=source, client=client)
    assert {check: run(facts, check)[SHOP][0] for check in FOUR} == dict.fromkeys(FOUR, "pass")
    assert run(facts, "pprof.reachable")[SHOP][2] == (
        f"The controller ({source}) reads /debug/pprof/ at 192.0.2.2:18080 because it is on the allow-list: the table inet goready_pprof "
        "admits only loopback and 198.51.100.0/24.")


def test_a_table_that_lets_in_whom_it_should_not_is_no_guard():
    facts = guarded(let_in=True)
    why = ("the table inet goready_pprof admits only loopback and 198.51.100.0/24, but the controller (192.0.2.1) is not on that list and "
           "is let in")
    assert run(facts, "pprof.bind")[SHOP] == ("fail", "critical", f"/debug/pprof/ is served on [::]:18080; {why}.")
    assert run(facts, "pprof.allow_list")[SHOP] == ("fail", "info", f"To [::]:18080, {why}.")
    assert {check: run(facts, check)[SHOP][0] for check in FOUR} == dict.fromkeys(FOUR, "fail")


def test_a_table_that_is_gone_after_the_next_boot():
    facts = guarded(lasting=False)
    assert run(facts, "pprof.bind")[SHOP] == (
        "fail", "high", "/debug/pprof/ is served on [::]:18080; the table inet goready_pprof admits only loopback and 198.51.100.0/24, but "
        "it will not be there after the next boot.")
    assert run(facts, "pprof.allow_list", Policy(skip=("pprof.bind",)))[SHOP][:2] == ("fail", "high")


@pytest.mark.parametrize("edit", [
    lambda facts: facts["pprof"]["firewall"].update(ports=[{"port": 18081, "allow": []}]),
    lambda facts: facts["pprof"]["firewall"].update(present=None, ports=[], error="operation not permitted"),
    lambda facts: facts["pprof"].update(firewall=None),
    lambda facts: [one.update(namespace="other") for one in facts["pprof"]["endpoints"]],
])
def test_a_table_that_does_not_cover_the_port_is_no_guard(edit):
    facts = guarded()
    edit(facts)
    assert run(facts, "pprof.bind")[SHOP][0] == "fail"
    assert run(facts, "pprof.allow_list")[SHOP][:2] == ("fail", "info")


def test_nothing_in_front_weighs_in_bind_and_here_where_bind_is_left_out():
    assert short(run(only("shop"), "pprof.allow_list")) == {SHOP: ("fail", "info")}
    for policy in (Policy(skip=("pprof.bind",)), Policy(select=("pprof.allow_list", "pprof.authentication"))):
        assert short(run(only("shop"), "pprof.allow_list", policy)) == {SHOP: ("fail", "high")}
        assert short(run(only("shop"), "pprof.authentication", policy)) == {SHOP: ("fail", "high")}


def test_both_may_be_wanted():
    strict = Policy(thresholds={"pprof.allow_list": {"credentials": False}, "pprof.authentication": {"allow_list": False}})
    assert run(only("orders"), "pprof.allow_list", strict)["orders 192.0.2.2:18083"] == (
        "fail", "high", "192.0.2.2:18083 admits every address, though it asks for credentials (401); an allow-list is wanted too.")
    assert run(guarded(), "pprof.authentication", strict)[SHOP] == (
        "fail", "high", "[::]:18080 serves /debug/pprof/ without asking for credentials, though the table inet goready_pprof admits only "
        "loopback and 198.51.100.0/24.")


def proxied(*, allow=("127.0.0.0/8", "::1", "198.51.100.0/24"), scheme="https", served=None, status=401, answer=403, got=False,
            source="192.0.2.1", **edits):
    """api on loopback, and nginx before it."""
    facts = only("api")
    facts["pprof"]["endpoints"] = [one for one in facts["pprof"]["endpoints"] if one["pprof"]["served"]]
    facts["pprof"]["proxies"] = [{
        "service": "api", "program": "nginx", "pid": None, "declared": False, "container": None, "namespace": "host",
        "listener": {"proto": "tcp", "address": "0.0.0.0", "port": 16060, "path": None},
        "backend": {"proto": "tcp", "address": "127.0.0.1", "port": 6060, "path": None},
        "file": "/etc/nginx/conf.d/goready-pprof.conf", "line": 40, "server_name": "", "prefix": "/api",
        "allow": None if allow is None else list(allow), "scheme": scheme, "state": "answered",
        "pprof": {"served": served, "status": status, "path": "/api/debug/pprof/" if served else None,
                  "evidence": [f"GET /api/debug/pprof/ answered {status}"]},
        "expvar": {"served": None if served is None else False, "status": 403, "evidence": []},
        "authentication": True if served is None else False if served else None, "requests": 3, "error": None, **edits}]
    facts["outside"]["endpoints"] = [{
        "service": "api", "listener": dict(facts["pprof"]["proxies"][0]["listener"]), "address": "192.0.2.2", "port": 16060,
        "state": "open", "open": True, "pprof": got, "expvar": False, "status": answer, "evidence": [f"answered {answer}"], "error": None,
        "source": source}]
    return facts


PROXY = "api 0.0.0.0:16060"


def test_a_proxy_with_a_list_and_credentials_passes():
    assert run(proxied(), "pprof.allow_list") == {PROXY: (
        "pass", "high", "To 0.0.0.0:16060, nginx (/etc/nginx/conf.d/goready-pprof.conf) admits only loopback and 198.51.100.0/24.")}
    assert run(proxied(), "pprof.authentication") == {PROXY: ("pass", "high", "0.0.0.0:16060 asks for credentials (401).")}
    assert short(run(proxied(), "pprof.reachable")) == {PROXY: ("pass", "critical")}
    [result] = engine.run([CHECKS["pprof.allow_list"]], proxied(), Policy())
    assert result.evidence[:2] == ("/etc/nginx/conf.d/goready-pprof.conf line 40: nginx hands /api/debug on to 127.0.0.1:6060",
                                   "listener 0.0.0.0:16060, https")


@pytest.mark.parametrize(("edits", "check", "expected"), [
    # Published to everybody: bind passes, for pprof itself listens on loopback.
    ({"allow": None, "served": True, "status": 200, "got": True, "answer": 200}, "pprof.bind", ("pass", "critical")),
    ({"allow": None, "served": True, "status": 200, "got": True, "answer": 200}, "pprof.reachable", ("fail", "critical")),
    ({"allow": None, "served": True, "status": 200, "got": True, "answer": 200}, "pprof.allow_list", ("fail", "high")),
    ({"allow": None, "served": True, "status": 200, "got": True, "answer": 200}, "pprof.authentication", ("fail", "high")),
    # Credentials for everybody.
    ({"allow": None, "answer": 401}, "pprof.allow_list", ("pass", "high")),
    ({"allow": None, "answer": 401, "scheme": "http"}, "pprof.authentication", ("fail", "medium")),
    ({"scheme": "http"}, "pprof.authentication", ("fail", "low")),
    # A list and nothing asked.
    ({"served": True, "status": 200}, "pprof.allow_list", ("pass", "high")),
    ({"served": True, "status": 200}, "pprof.authentication", ("pass", "high")),
    # Not on the list, and not refused for its address.
    ({"answer": 401}, "pprof.allow_list", ("fail", "high")),
    ({"answer": 401, "source": "198.51.100.3"}, "pprof.allow_list", ("pass", "high")),
    ({"state": "client_certificate", "status": None}, "pprof.authentication", ("pass", "high")),
])
def test_a_proxy(edits, check, expected):
    results = short(run(proxied(**edits), check))
    assert results.get(PROXY, results.get("api 127.0.0.1:6060")) == expected


@pytest.mark.parametrize("edits", [
    {"served": False, "status": 404}, {"state": "refused", "status": None, "authentication": None},
    {"listener": {"proto": "tcp", "address": "127.0.0.1", "port": 16060, "path": None}},
    {"listener": {"proto": "unix", "address": None, "port": None, "path": "/run/x.sock"}},
])
@pytest.mark.parametrize("check", ["pprof.allow_list", "pprof.authentication"])
def test_a_proxy_that_leads_nobody_there_is_no_finding(check, edits):
    assert short(run(proxied(**edits), check)) == {"": ("pass", "high")}


@pytest.mark.parametrize("check", ["pprof.allow_list", "pprof.authentication"])
def test_a_configuration_that_could_not_be_read(check):
    facts = only("api")
    facts["errors"] = [{"part": "pprof.proxies", "kind": "permission", "message": "not read: /etc/nginx/x.conf: permission denied"}]
    assert run(facts, check) == {"": ("unknown", "low", "Whether a reverse proxy of this host leads to pprof is not known.")}


@pytest.mark.parametrize("check", ["pprof.reachable", "pprof.allow_list", "pprof.authentication"])
def test_no_role_is_offered_for_the_sites_of_others(check):
    facts = proxied(allow=None, served=True, status=200, got=True, answer=200)
    [result] = [one for one in engine.run([CHECKS[check]], facts, Policy()) if one.status == "fail"]
    assert (result.remediation.role, result.remediation.hint) == (
        "", "In /etc/nginx/conf.d/goready-pprof.conf (line 40), let nginx refuse /debug/, or give the location allow and deny, and "
        "credentials.")


# --- what role pprof_guard may mend unasked


def mendable(*, exe="/opt/shop/shop", service=(), **edits):
    """shop's recorded port beyond loopback, which serves debugging and nothing else, and its unit of the host's systemd."""
    facts = only("shop", **{"shared": False, **edits})
    [endpoint] = facts["pprof"]["endpoints"]
    facts["services"]["services"] = [{
        "name": "shop", "unit": "shop.service", "manager": "system", "declared": False, "container": edits.get("container"),
        "processes": [{"pid": endpoint["pid"], "exe": exe, "go": True}], **dict(service)}]
    return facts


def safety(facts, check):
    """{(status, role, safe)} of one check's findings."""
    return {(one.status, one.remediation.role, one.remediation.safe) for one in engine.run([CHECKS[check]], facts, Policy())}


OPEN = ("pprof.bind", "pprof.reachable", "pprof.expvar", "pprof.allow_list", "pprof.authentication")
CONTAINER = {"runtime": "podman", "id": "aaa"}


@pytest.mark.parametrize("check", OPEN)
@pytest.mark.parametrize("more", [
    pytest.param({}, id="found"),
    pytest.param({"declared": True, "service": {"declared": True}}, id="declared"),
    pytest.param({"exe": "/usr/bin/shopd"}, id="distribution-with-a-port-for-debugging"),
])
def test_a_debug_port_of_a_unit_is_mended_unasked(check, more):
    assert safety(mendable(**more), check) == {("fail", "pprof_guard", "apply")}


@pytest.mark.parametrize("check", OPEN)
@pytest.mark.parametrize("more", [
    pytest.param({"shared": True}, id="shared-with-the-application"),
    pytest.param({"shared": None}, id="shared-is-not-known"),
    pytest.param({"exe": "/usr/bin/prometheus-node-exporter", "shared": True}, id="distribution-with-metrics-there"),
    pytest.param({"container": CONTAINER}, id="container"),
    pytest.param({"service": {"manager": "user"}}, id="user-unit"),
    pytest.param({"service": {"unit": "session-3.scope"}}, id="scope"),
    pytest.param({"service": {"unit": None, "manager": None}}, id="no-unit"),
    pytest.param({"service": {"name": "other"}}, id="another-service"),
])
def test_what_others_may_need_is_left_to_a_person(check, more):
    assert safety(mendable(**more), check) == {("fail", "pprof_guard", "manual")}


@pytest.mark.parametrize("check", ["pprof.bind", "pprof.expvar", "pprof.allow_list", "pprof.authentication"])
@pytest.mark.parametrize("namespace", ["other", None])
def test_another_network_namespace_is_left_to_a_person(check, namespace):
    assert safety(mendable(namespace=namespace), check) == {("fail", "pprof_guard", "manual")}


@pytest.mark.parametrize("listener", [
    {"proto": "tcp", "address": "127.0.0.1", "port": 18080, "path": None},
    {"proto": "tcp6", "address": "::1", "port": 18080, "path": None},
    {"proto": "unix", "address": None, "port": None, "path": "/run/shop.sock"},
])
def test_what_only_this_machine_reaches_needs_no_guard(listener):
    """public_mux and expvar fail there too, for a proxy that forwards every path: no packet filter mends that."""
    for check in ("pprof.public_mux", "pprof.expvar"):
        assert safety(mendable(listener=listener, shared=True), check) == {("fail", "pprof_guard", "manual")}
    facts = mendable(listener=listener)
    failed = engine.failed("It fails.", subject="shop")
    assert pprof._mended(facts, facts["pprof"]["endpoints"][0], failed, pprof._GUARD) is failed


@pytest.mark.parametrize("outcome", [None, engine.passed("Yes."), engine.unknown("Nobody knows.")], ids=["none", "pass", "unknown"])
def test_only_what_failed_is_mended(outcome):
    facts = mendable()
    assert pprof._mended(facts, facts["pprof"]["endpoints"][0], outcome, pprof._GUARD) is outcome


def test_the_hint_of_a_finding_stays_where_it_is_mended_unasked():
    [result] = engine.run([CHECKS["pprof.bind"]], mendable(exe="/usr/bin/shopd"), Policy())
    assert result.remediation.hint.startswith("shopd is the distribution's: bind it to loopback")
    [result] = engine.run([CHECKS["pprof.bind"]], mendable(), Policy())
    assert result.remediation.hint == CHECKS["pprof.bind"].remediation.hint


# --- the takes: do the profiles tell what they should?

PROFILES = ("pprof.available", "pprof.profiles_valid", "pprof.mutex_sampling", "pprof.block_sampling")


def asked(kind, error=None, status=200, message=None):
    return {"kind": kind, "form": "proto", "status": status, "ms": 3, "bytes": 900,
            "error": {"kind": error, "message": message or error} if error else None}


def shown(kind, error=None, valid=True):
    return {"kind": kind, "file": f"{kind}-once.pb.gz", "bytes": 900, "valid": valid, "error": error, "samples": 7}


def took(*requests, profiles=(), clock=1000.0, **parts):
    return {"phase": "once", "at": "2026-11-21T12:00:00Z", "clock": clock, "asked": list(requests), "skipped": [], "mutex": None,
            "block": None, "profiles": list(profiles), **parts}


def endpoint(*takes, **edits):
    return {"runtime": {"endpoints": [{
        "service": "api", "container": None, "pid": 812, "started": 900.0, "declared": True, "error": None, "restarted": None,
        "listener": {"proto": "tcp", "address": "127.0.0.1", "port": 6060, "path": None}, "takes": list(takes), **edits}]}}


def judged(check, facts):
    """(status, severity, reason) of the one result."""
    [result] = run(facts, check).values()
    return result


@pytest.mark.parametrize("check", PROFILES)
def test_no_endpoint_of_profiles(check):
    assert judged(check, {"runtime": {"endpoints": []}})[::2] == (
        "notapplicable", "No service of this host is known to serve net/http/pprof.")


@pytest.mark.parametrize("check", PROFILES[1:])
@pytest.mark.parametrize(("edits", "status"), [
    ({"error": {"kind": "refused", "message": "connection refused"}}, "unknown"),
    ({"error": {"kind": "unauthorized", "message": "it answered 401"}}, "notapplicable"),
    ({"error": {"kind": "timeout", "message": "no answer"}, "declared": False}, "notapplicable"),
], ids=["declared", "asks", "discovered"])
def test_the_others_leave_it_to_available(check, edits, status):
    assert judged(check, endpoint(**edits))[0] == status


GIVE = " Give the credentials in preflight_credentials, by the service's name: username and password, or token; from a vault."


@pytest.mark.parametrize(("takes", "edits", "result"), [
    pytest.param([took(asked("heap"), asked("goroutine"))], {}, ("pass", "medium", "pprof on 127.0.0.1:6060 gives profiles."), id="gives"),
    pytest.param([took(asked("heap"), asked("cpu", "cpu_busy"))], {}, ("pass", "medium", "pprof on 127.0.0.1:6060 gives profiles."),
                 id="all-but-one"),
    pytest.param([], {"error": {"kind": "refused", "message": "connection refused"}}, (
        "fail", "medium", "pprof is declared on 127.0.0.1:6060 and gives no profile: connection refused."), id="declared-refuses"),
    pytest.param([], {"error": {"kind": "not_pprof", "message": "GET /debug/pprof/ answered 404"}}, (
        "fail", "medium", "pprof is declared on 127.0.0.1:6060 and gives no profile: GET /debug/pprof/ answered 404."), id="declared-404"),
    pytest.param([], {"error": {"kind": "unauthorized", "message": "it answered 401"}}, (
        "unknown", "medium", "No profile was taken from 127.0.0.1:6060: it answered 401."), id="declared-asks"),
    pytest.param([], {"error": {"kind": "unauthorized", "message": "it answered 401"}, "declared": False}, (
        "notapplicable", "medium", "No profile was taken from 127.0.0.1:6060: it answered 401." + GIVE),
        id="discovered-asks"),
    pytest.param([], {"error": {"kind": "not_pprof", "message": "404"}, "declared": False}, (
        "notapplicable", "medium", "127.0.0.1:6060 serves no pprof."), id="discovered-404"),
    pytest.param([], {"error": {"kind": "timeout", "message": "no answer within 5 s"}, "declared": False}, (
        "unknown", "info", "127.0.0.1:6060 serves pprof and gave no profile: no answer within 5 s."), id="discovered-slow"),
    pytest.param([took(asked("heap"))], {"interrupted": {"kind": "refused", "message": "connection refused"}}, (
        "fail", "medium", "127.0.0.1:6060 gave 1 take and no more after that: connection refused."), id="declared-stopped"),
    pytest.param([took(asked("heap")), took(asked("heap"))], {"interrupted": {"kind": "refused"}, "declared": False}, (
        "unknown", "info", "127.0.0.1:6060 gave 2 takes and no more after that: refused."), id="discovered-stopped"),
    pytest.param([took(asked("heap"))], {"restarted": "PID 812 was replaced by PID 900: one later take was dropped"}, (
        "pass", "medium", "pprof on 127.0.0.1:6060 gives profiles."), id="restarted"),
    pytest.param([took(asked("heap", "broken", message="not gzip"))], {}, (
        "fail", "medium", "127.0.0.1:6060 answers, and gives none of the profiles that it was asked for: not gzip."), id="none-of-them"),
    pytest.param([took(asked("heap", "status", status=404))], {"declared": False}, (
        "unknown", "info", "127.0.0.1:6060 answers, and gives none of the profiles that it was asked for: not there."), id="other-routes"),
])
def test_available(takes, edits, result):
    assert judged("pprof.available", endpoint(*takes, **edits)) == result


@pytest.mark.parametrize(("take", "result"), [
    pytest.param(took(asked("heap"), asked("mutex"), profiles=[shown("heap"), shown("mutex")]), (
        "pass", "medium", "2 profiles can be read (heap, mutex)."), id="valid"),
    pytest.param(took(asked("heap"), profiles=[shown("heap", "not brought along: its 900 bytes are more than profile_limit (800)")]), (
        "pass", "medium", "1 profile can be read (heap)."), id="valid-and-left-behind"),
    pytest.param(took(asked("heap", "broken", message="truncated gzip"), asked("allocs"), profiles=[
        shown("heap", "truncated gzip", valid=False), shown("allocs")]), (
        "fail", "medium", "The heap profile cannot be read: truncated gzip."), id="cut"),
    pytest.param(took(asked("heap", "not_pprof", message="it answers with a page of HTML"), asked("allocs"), profiles=[shown("allocs")]), (
        "fail", "medium", "The heap profile cannot be read: it answers with a page of HTML."), id="html"),
    pytest.param(took(asked("heap", "broken", message="bad"), asked("allocs", "broken", message="bad"), profiles=[
        shown("heap", "bad", valid=False), shown("allocs", "bad", valid=False)]), (
        "fail", "medium", "The heap profile cannot be read: bad, and 1 more."), id="two"),
    pytest.param(took(asked("heap"), asked("cpu", "cpu_busy", 500, "another CPU profile of the process is being taken"),
                      profiles=[shown("heap")]), (
        "unknown", "info", "Not every profile was got: cpu (another CPU profile of the process is being taken)."), id="cpu-busy"),
    pytest.param(took(asked("heap", "too_big", message="too large"), profiles=[shown("heap", "too large", valid=False)]), (
        "unknown", "info", "Not every profile was got: heap (too large)."), id="too-big"),
    pytest.param(took(asked("heap"), profiles=[shown("heap", "not decoded: no time was left in the budget", valid=False)]), (
        "unknown", "info", "Not every profile was got: heap (not decoded: no time was left in the budget)."), id="no-time"),
    pytest.param(took(asked("heap"), asked("goroutineleak", "status", 404), profiles=[shown("heap")]), (
        "pass", "medium", "1 profile can be read (heap)."), id="no-such-profile"),
    pytest.param(took(), ("notapplicable", "medium", "No profile was asked for (preflight_runtime.kinds)."), id="none-asked"),
])
def test_profiles_valid(take, result):
    assert judged("pprof.profiles_valid", endpoint(take)) == result


def mutex(period, contentions=0):
    return took(mutex={"period": period, "sites": [], "contentions": contentions, "delay_ns": 0})


@pytest.mark.parametrize(("take", "result"), [
    pytest.param(mutex(0), ("notapplicable", "info", "Mutex profiling is off: it costs nothing and shows no contention. "
                            "runtime.SetMutexProfileFraction(100) at the program's start switches it on at little cost."), id="off"),
    pytest.param(mutex(1, 5000), ("fail", "info", "Mutex profiling is dear: every contended unlock records its stack (5000 contentions "
                                                  "since "
                                  "it was switched on); a period of 100 to 1000 shows the same sites."), id="every"),
    pytest.param(mutex(4), ("fail", "info", "Mutex profiling is dear: one of 4 contended unlocks records its stack; a period of 100 to "
                                            "1000 "
                            "shows the same sites."), id="one-of-four"),
    pytest.param(mutex(5), ("pass", "info", "One of 5 contended unlocks records its stack."), id="the-least"),
    pytest.param(mutex(100, 700), ("pass", "info", "One of 100 contended unlocks records its stack (700 contentions since it was switched "
                                   "on)."), id="usual"),
    pytest.param(mutex(None), ("unknown", "info", "The mutex profile does not tell its period."), id="not-told"),
    pytest.param(took(asked("mutex", "timeout", message="no answer")), (
        "unknown", "info", "The mutex profile was not read: no answer."), id="failed"),
    pytest.param(took(skipped=[{"kind": "mutex", "reason": "switched off"}]), (
        "notapplicable", "info", "The mutex profile was not asked for: switched off."), id="switched-off"),
    pytest.param(took(), ("notapplicable", "info", "The mutex profile was not asked for: it is not one of its profiles."), id="no-such"),
])
def test_mutex_sampling(take, result):
    assert judged("pprof.mutex_sampling", endpoint(take)) == result


def block(*delays, contentions=None, clock=1000.0):
    sites = [{"function": f"main.wait{number}", "file": "/src/main.go", "line": number, "contentions": 1, "delay_ns": delay}
             for number, delay in enumerate(delays)]
    count = len(delays) if contentions is None else contentions
    return took(clock=clock, block={"samples": len(delays), "sites": sites, "contentions": count, "delay_ns": sum(delays)})


@pytest.mark.parametrize(("takes", "result"), [
    pytest.param([block()], ("notapplicable", "info", "The block profile is empty: it is off, or nothing waited; nobody can tell which."),
                 id="empty"),
    pytest.param([block(4200, 10**9)], (
        "fail", "info", "Block profiling is dear: its rate is at most 4200 ns, so nearly every wait records its stack (recorded waits: at "
        "most 0 a second)."), id="below-10-us"),
    pytest.param([block(10_000, contentions=50_000)], (
        "pass", "info", "Block profiling is on, at a rate that is not told, and costs little (recorded waits: at most 500 a second)."),
        id="few"),
    pytest.param([block(10**6, contentions=500_000)], (
        "notapplicable", "info", "Block profiling is on, and nothing tells its rate (recorded waits: at most 5,000 a second); "
        "runtime.SetBlockProfileRate with 10000 (nanoseconds) or more is cheap."), id="many"),
    pytest.param([block(10**6, 10**9, contentions=10**6), block(10**6 + 3000, 2 * 10**9, contentions=10**6 + 120, clock=1060.0)], (
        "fail", "info", "Block profiling is dear: its rate is at most 3000 ns, so nearly every wait records its stack (recorded waits: at "
        "most 2 a second)."), id="gained-between-two-takes"),
    pytest.param([block(10**6, contentions=10**6), block(2 * 10**6, contentions=10**6 + 600, clock=1060.0)], (
        "pass", "info", "Block profiling is on, at a rate that is not told, and costs little (recorded waits: at most 10 a second)."),
        id="few-between-two-takes"),
    pytest.param([took(asked("block", "broken", message="not gzip"))], (
        "unknown", "info", "The block profile was not read: not gzip."), id="failed"),
])
def test_block_sampling(takes, result):
    assert judged("pprof.block_sampling", endpoint(*takes)) == result


def test_block_sampling_of_a_process_of_unknown_age():
    assert judged("pprof.block_sampling", endpoint(block(10**6), started=None))[::2] == (
        "notapplicable", "Block profiling is on, and nothing tells its rate (how many waits are recorded is not known); "
        "runtime.SetBlockProfileRate with 10000 (nanoseconds) or more is cheap.")


def test_contended_sites_are_evidence():
    [result] = engine.run([CHECKS["pprof.block_sampling"]], endpoint(block(10**6, 2 * 10**9)), Policy())
    assert result.evidence == ("the smallest delay of a site is 1000000 ns: the rate is at most that",
                               "main.wait1 (main.go:1): 1 waits, 2 s in all", "main.wait0 (main.go:0): 1 waits, 0.001 s in all")


@pytest.mark.parametrize(("name", "mutexes", "blocks"), [
    ("every-wait", "fail", "notapplicable"),  # periods of 1; 1,800 waits a second, of 1 ms and more: nobody can tell the rate
    ("few-waits", "pass", "notapplicable"),
    ("twin-go1.24", "notapplicable", "notapplicable"),
    ("twin-go1.27", "notapplicable", "notapplicable"),
])
def test_recorded_services(name, mutexes, blocks):
    """Services that ran; what each one does is in fixtures/runtime/memory/record.py."""
    facts = {"runtime": json.loads((Path(__file__).parents[3] / f"fixtures/runtime/memory/{name}.json").read_text(encoding="utf-8"))}
    statuses = [judged(check, facts)[0] for check in PROFILES]
    assert statuses == ["pass", "pass", mutexes, blocks]
