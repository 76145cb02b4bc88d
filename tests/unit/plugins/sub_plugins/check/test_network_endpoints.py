# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""network.dns, endpoint, endpoint_latency and tls_expiry: on recorded facts of a real host, and on what was changed in them.

fixtures/connections: Debian 12, Python 3.11, the servers of tests/lab/faulty_net.py as molecule/network_probe plants them.
"""
from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Policy, run
from ansible_collections.goready.preflight.plugins.sub_plugins.check import network

FOLDER = Path(__file__).parents[3] / "fixtures" / "connections"
CHECKS = (network.dns, network.endpoint, network.endpoint_latency, network.tls_expiry)
NOW = datetime.datetime(2026, 11, 21, 17, tzinfo=datetime.timezone.utc)
API, DUAL, TWO = "http://api.lab.test:7001", "http://dual.lab.test:7001", "http://two.lab.test:7001"
SECURE = "https://secure.lab.test:71"


def recorded(name="faults"):
    return json.loads((FOLDER / f"{name}.json").read_text())


def entry(facts, url):
    return next(one for one in facts["connections"]["endpoints"] if one["url"] == url)


def only(url, name="faults"):
    """The facts with one endpoint of a recorded host, and that endpoint, to be changed."""
    facts = recorded(name)
    facts["connections"]["endpoints"] = [entry(facts, url)]
    return facts, facts["connections"]["endpoints"][0]


def results(facts, check, **given):
    policy = Policy(profile="standard", now=NOW, **given)
    return {one.subject: one for one in run([check], copy.deepcopy(facts), policy)}


def result(facts, check, **given):
    (found,) = results(facts, check, **given).values()
    return found


def told(one):
    return (one.status, one.severity, one.reason)


# ------------------------------------------------------------------------------------------------------- the recorded host

def test_the_healthy_endpoint_has_no_finding():
    facts, _one = only(API)
    assert [told(result(facts, check))[0] for check in CHECKS] == ["pass", "pass", "pass", "notapplicable"]


ENDPOINT = {
    API: ("pass", "high", "It connects in 0.5 ms and answers 200."),
    "http://127.0.0.1:7002": ("fail", "high", "5 of 5 requests to 127.0.0.1:7002 were answered 503; none should be 5xx."),
    "http://127.0.0.1:7002/healthz": ("pass", "high", "It connects in 0.2 ms and answers 503 (services.healthy judges that)."),
    "http://127.0.0.1:7004": ("pass", "high", "It connects in 0.2 ms and answers 401."),
    "http://127.0.0.1:7005": ("pass", "high", "It connects in 0.2 ms and answers 302."),
    DUAL: ("fail", "medium", "The IPv6 address [2001:db8:60::dead]:7001 of dual.lab.test is dead while the other works (no connection "
                             "within 3 s); a Go client waits 300 ms for it before it tries IPv4, on every new connection."),
    # Which of the two a DNS server names first is chance.
    TWO: ("fail", "high", "The IPv4 address 127.0.1.1:7001 of two.lab.test is dead while the other works (no connection within 3 s); a Go "
                          "client that tries it first waits 15 s (net/http's default of 30 s over 2 addresses)."),
    "http://nosuch.lab.test:1/": ("notapplicable", "high", "Its name is not found (network.dns judges that)."),
    "https://secure.lab.test:7001": ("fail", "high", "The connection to secure.lab.test:7001 ends in the TLS handshake: no TLS handshake "
                                                     "within 3 s."),
    f"{SECURE}03": ("pass", "high", "It connects in 0.2 ms and answers 200."),
    f"{SECURE}09": ("unknown", "low", "It asks for a client certificate, and none is declared."),
    "tcp://127.0.0.1:7201": ("pass", "high", "It connects in 0.2 ms."),
    "tcp://127.0.0.1:7202": ("fail", "high", "127.0.0.1:7202 accepts the connection and does not serve it: the connection was accepted and "
                                             "closed at once."),
    "tcp://127.0.0.1:7204": ("fail", "high", "The connect to 127.0.0.1:7204 fails: no connection within 3 s."),
    "tls://127.0.0.1:7110": ("fail", "high", "The connection to 127.0.0.1:7110 ends in the TLS handshake: no TLS handshake within 3 s."),
    "unix:///run/nobody.sock": ("fail", "high", "Nobody listens at /run/nobody.sock: no such file or directory."),
}


@pytest.mark.parametrize("url", ENDPOINT)
def test_endpoint(url):
    found = results(recorded(), network.endpoint)[url]
    status, severity, reason = ENDPOINT[url]
    assert (found.status, found.severity) == (status, severity)
    # What was measured differs from one recording to the next.
    assert found.reason.split(" ms")[-1] == reason.split(" ms")[-1] if status == "pass" else found.reason == reason


def test_a_redirect_is_in_the_evidence():
    found = results(recorded(), network.endpoint)
    assert "127.0.0.1:7005: 302 leads to http://127.0.0.1:7001/there, which answers 200" in found["http://127.0.0.1:7005"].evidence
    assert "127.0.0.1:7006: 302 leads to http://192.0.2.1/elsewhere, not followed (192.0.2.1 is not declared)" in (
        found["http://127.0.0.1:7006"].evidence)


@pytest.mark.parametrize(("url", "phase"), [
    ("http://127.0.0.1:7003", "the first byte of the answer takes 80"),
    (f"{SECURE}02", "the TLS handshake takes 70"),
])
def test_latency_names_the_slow_phase(url, phase):
    found = results(recorded(), network.endpoint_latency)[url]
    assert (found.status, found.severity) == ("fail", "medium") and phase in found.reason and found.actual > 700
    assert found.reason.endswith(("(100 %).", "(99 %)."))


CERTIFICATE = {
    f"{SECURE}01": ("pass", "high", "The certificate of secure.lab.test:7101 is good for 365 days more."),
    f"{SECURE}03": ("fail", "high", "The certificate of secure.lab.test:7103 expired 3.0 days ago, at 2026-11-18T16:51:00Z."),
    f"{SECURE}04": ("fail", "high", "The certificate of secure.lab.test:7104 is not for secure.lab.test: it is for elsewhere.example."),
    f"{SECURE}05": ("fail", "medium", "The certificate of secure.lab.test:7105 is signed by itself, and this host does not know it; who "
                                      "signed it should be in the host's CA store or in ca_file."),
    f"{SECURE}07": ("fail", "high", "The certificate of secure.lab.test:7107 runs out in 5.0 days, at 2026-11-26T16:51:00Z; 7.0 days "
                                    "should be left."),
    f"{SECURE}08": ("pass", "high", "The certificate of secure.lab.test:7108 is good for 11.9 hours more."),
    "https://secure.lab.test:7001": ("notapplicable", "high",
                                     "No TLS connection came about (network.dns and network.endpoint judge that)."),
}


@pytest.mark.parametrize("url", CERTIFICATE)
def test_certificate(url):
    assert told(results(recorded(), network.tls_expiry)[url]) == CERTIFICATE[url]


@pytest.mark.parametrize(("name", "expected"), [
    ("faults", {"api.lab.test": "pass", "nosuch.lab.test": "fail"}),
    ("first_nameserver_silent", {"api.lab.test": "fail", "nameserver 127.0.0.154": "notapplicable"}),
    ("second_nameserver_silent", {"api.lab.test": "pass", "nameserver 127.0.0.154": "fail"}),
    ("only_nameserver_silent", {"api.lab.test": "fail"}),
    ("slow_nameserver_with_search", {"api.lab.test": "fail"}),
])
def test_dns_recorded(name, expected):
    found = {subject: one.status for subject, one in results(recorded(name), network.dns).items()}
    assert {subject: found.get(subject) for subject in expected} == expected
    assert name == "faults" or found == expected


def test_the_silent_nameserver_is_named():
    found = results(recorded("first_nameserver_silent"), network.dns)["api.lab.test"]
    assert found.severity == "high" and found.actual > 5000
    assert found.reason.endswith(" ms, 100 ms are accepted: nameserver 127.0.0.154, the first of 2, does not answer.")
    assert found.reason.startswith("A look-up of api.lab.test takes 50")
    assert told(results(recorded("second_nameserver_silent"), network.dns)["nameserver 127.0.0.154"]) == (
        "fail", "medium", "Nameserver 127.0.0.154 does not answer (no answer to 2 questions within 3 s); who asks waits 5 s for it; the "
                          "others do.")
    assert told(results(recorded("only_nameserver_silent"), network.dns)["api.lab.test"]) == (
        "fail", "high", "api.lab.test was not found in time (no answer within 6 s): nameserver 127.0.0.154 does not answer.")
    assert result(recorded("slow_nameserver_with_search"), network.dns).reason.endswith(
        " ms for an answer, and 2 other names are asked for before it (ndots:5, search a.example b.example).")


def test_a_name_that_the_first_search_domain_has_is_asked_for_at_once():
    facts = recorded("slow_nameserver_with_search")
    for endpoint in facts["connections"]["endpoints"]:
        for query in (endpoint["dns"] or {}).get("queries") or ():
            assert query["answer"] == "NXDOMAIN"
            query["answer"] = "NOERROR"
    assert result(facts, network.dns).reason.endswith(" ms for an answer.")


def test_a_slow_name_is_not_told_twice():
    assert told(results(recorded("first_nameserver_silent"), network.endpoint_latency)[API])[:2] == ("fail", "low")


# ------------------------------------------------------------------------------------------------------- dns, changed

def dns_of(**changed):
    facts, one = only(API)
    one["dns"].update(changed)
    return facts


@pytest.mark.parametrize(("changed", "status", "severity", "said"), [
    ({"warm": {"min": 1, "median": 100.0, "p95": 900}}, "pass", "high", "1 address"),
    ({"warm": {"min": 1, "median": 100.1, "p95": 100.1}}, "fail", "high", "takes 100 ms, 100 ms are accepted"),
    ({"cold": 1500.0}, "fail", "medium", "The first look-up of api.lab.test took 1500 ms, 1000 ms are accepted."),
    ({"failed": 2, "asked": 5}, "fail", "high", "2 of 5 repeated look-ups of api.lab.test brought no answer."),
    ({"error": {"kind": "not_found", "message": "Name or service not known"}}, "fail", "high",
     "api.lab.test does not resolve (Name or service not known)."),
    ({"error": {"kind": "no_answer", "message": "Temporary failure in name resolution"}}, "fail", "high", "could not be looked up"),
    ({"cold": None, "warm": None}, "unknown", "high", "was not looked up: no look-up was made."),
], ids=["at the limit", "above it", "only at first", "some", "no such name", "no answer", "not tried"])
def test_dns(changed, status, severity, said):
    found = result(dns_of(**changed), network.dns)
    assert (found.status, found.severity) == (status, severity) and said in found.reason


def test_dns_threshold():
    assert result(dns_of(), network.dns, thresholds={"network.dns": {"warm_ms": 0.1}}).status == "fail"


def test_names_that_no_nameserver_knows_are_found_elsewhere():
    """All nameservers are silent, and the name is in /etc/hosts: nothing waits for them."""
    facts = recorded("second_nameserver_silent")
    queries = facts["connections"]["endpoints"][0]["dns"]["queries"]
    for query in queries:
        query.update(answer=None, ms=None, error={"kind": "timeout", "message": "no answer"})
    assert {one.status for one in results(facts, network.dns).values()} == {"pass"}


NOBODY = {"answer": None, "ms": None, "error": {"kind": "timeout", "message": "no answer to 2 questions within 3 s"}}
REFUSES = {"answer": None, "ms": None, "error": {"kind": "refused", "message": "nobody listens at port 53/udp"}}
SLOW = {"answer": "NOERROR", "ms": 300.0, "error": None}
BAD = {"answer": "SERVFAIL", "ms": 1.0, "error": None}
NONE = {"answer": "NXDOMAIN", "ms": 1.0, "error": None}
TAKES = {"warm": {"min": 300, "median": 300.0, "p95": 300}, "failed": 0}


def asked(changed, *queries, options=(), servers=("10.0.0.10", "10.0.0.1")):
    facts, one = only(API)
    facts["connections"]["resolver"].update(nameservers=list(servers), options=list(options))
    one["dns"].update(changed, queries=[{"server": server, **query} for server, query in zip(servers, queries, strict=True)])
    return {subject: (found.status, found.reason) for subject, found in results(facts, network.dns).items()}


@pytest.mark.parametrize(("changed", "queries", "options", "end"), [
    (TAKES, (NOBODY, SLOW), (), ": nameserver 10.0.0.10, the first of 2, does not answer."),
    (TAKES, (SLOW, NOBODY), (), ": nameserver 10.0.0.10 takes 300 ms for an answer."),
    (TAKES, (SLOW, NOBODY), ("rotate",), ": nameserver 10.0.0.1, the second of 2, does not answer."),
    (TAKES, (BAD, NOBODY), (), ": nameserver 10.0.0.1, the second of 2, does not answer."),
    (TAKES, (REFUSES, SLOW), (), ": nameserver 10.0.0.1 takes 300 ms for an answer."),
    ({"error": {"kind": "not_found", "message": "unknown"}}, (NONE, NOBODY), (), "api.lab.test does not resolve (unknown)."),
    ({"error": {"kind": "no_answer", "message": "try again"}}, (BAD, NOBODY), (),
     "could not be looked up (try again): nameserver 10.0.0.1, the second of 2, does not answer."),
    ({"error": {"kind": "no_answer", "message": "try again"}}, (REFUSES, REFUSES), (),
     ": no nameserver of resolv.conf answers (10.0.0.10, 10.0.0.1)."),
], ids=["the first is waited for", "the second is not", "unless they take turns", "or the first has no answer",
        "who refuses is not waited for", "no such name is an answer", "nobody has an answer", "nobody is there"])
def test_a_silent_nameserver_is_blamed_where_it_is_waited_for(changed, queries, options, end):
    status, reason = asked(changed, *queries, options=options)["api.lab.test"]
    assert status == "fail" and reason.endswith(end)


def test_a_silent_nameserver_that_nobody_waits_for_is_told_by_itself():
    """10.0.0.1 stands in 10.0.0.10, which the name's sentence blames."""
    found = asked(TAKES, SLOW, NOBODY)
    assert found["nameserver 10.0.0.1"] == (
        "fail", "Nameserver 10.0.0.1 does not answer (no answer to 2 questions within 3 s); who asks waits 5 s for it; the others do.")


@pytest.mark.parametrize(("changed", "hint"), [
    (TAKES, "systemd-resolved"), ({"cold": 1500.0}, "systemd-resolved"), ({"failed": 1}, "systemd-resolved"),
    ({"error": {"kind": "timeout", "message": "late"}}, "systemd-resolved"), ({"error": {"kind": "not_found", "message": "no"}}, "Correct"),
], ids=["slow", "slow at first", "some fail", "none in time", "no such name"])
def test_what_asks_others_is_not_what_is_to_be_mended(changed, hint):
    """Ubuntu: resolv.conf names systemd-resolved alone."""
    facts, one = only(API)
    facts["connections"]["resolver"].update(nameservers=["127.0.0.53"])
    one["dns"].update(changed, queries=[{"server": "127.0.0.53", **NOBODY}])
    assert result(facts, network.dns).remediation.hint.startswith(hint)


def test_what_is_no_name_was_asked_of_nobody():
    unasked = {"answer": None, "ms": None, "error": {"kind": "name", "message": "'a..b' is no domain name"}}
    found = asked({"error": {"kind": "name", "message": "label empty or too long"}}, unasked, unasked)
    assert found == {"api.lab.test": ("fail", "api.lab.test could not be looked up (label empty or too long).")}


def test_a_nameserver_that_stands_twice_is_one():
    found = asked({}, NOBODY, NOBODY, servers=("10.0.0.1", "10.0.0.1"))
    assert {status for status, _reason in found.values()} == {"pass"}


def test_no_names():
    facts, _one = only("http://127.0.0.1:7004")
    assert told(result(facts, network.dns))[::2] == (
        "notapplicable", "Every declared endpoint is an address or a unix socket: no name is looked up.")


# ------------------------------------------------------------------------------------------------------- endpoint, changed

@pytest.mark.parametrize("check", CHECKS)
def test_nothing_is_declared(check):
    facts = recorded()
    facts["connections"]["endpoints"] = []
    assert result(facts, check).status == "notapplicable"


@pytest.mark.parametrize("check", [network.endpoint, network.endpoint_latency, network.tls_expiry])
@pytest.mark.parametrize("kind", ["budget", "limit", "settings"])
def test_what_was_not_tried_is_unknown(check, kind):
    facts, one = only(f"{SECURE}01")
    one.update(error={"phase": None, "kind": kind, "message": "the reason"}, phases=None, slowest=None, addresses=[])
    assert told(result(facts, check))[::2] == ("unknown", "It was not tried: the reason.")


@pytest.mark.parametrize("check", CHECKS)
def test_facts_that_are_not_there(check):
    assert result({"connections": {}}, check).status == "unknown"


@pytest.mark.parametrize("check", CHECKS)
def test_a_resolv_conf_that_cannot_be_read_costs_names_alone(check):
    facts = recorded()
    del facts["connections"]["resolver"]
    facts["errors"] = [{"part": "connections.resolver", "kind": "permission", "message": "permission denied"}]
    found = {one.status for one in results(facts, check).values()}
    assert ("pass" in found) is (check is not network.dns)


def test_some_connections_fail():
    facts, one = only(API)
    one["addresses"][0].update(ok=4, errors=[{"phase": "connect", "kind": "timeout", "message": "no connection within 3 s", "count": 1}])
    assert told(result(facts, network.endpoint)) == (
        "fail", "medium", "1 of 5 connections to api.lab.test:7001 failed (connect: no connection within 3 s); none should.")


@pytest.mark.parametrize(("statuses", "status", "severity"), [
    ({"503": 3, "200": 2}, "fail", "high"), ({"503": 1, "200": 4}, "fail", "medium"), ({"501": 5}, "pass", "high"),
    ({"404": 5}, "pass", "high"), ({"403": 5}, "pass", "high"),
])
def test_statuses(statuses, status, severity):
    facts, one = only(API)
    one["addresses"][0]["statuses"] = statuses
    assert told(result(facts, network.endpoint))[:2] == (status, severity)


@pytest.mark.parametrize(("phase", "kind", "message", "roles", "privileged", "status", "said"), [
    ("connect", "refused", "connection refused", ["depends_on"], True, "fail", "Nobody listens at api.lab.test:7001: connection refused."),
    ("connect", "refused", "connection refused", ["health"], True, "notapplicable", "services.healthy judges"),
    ("connect", "no_local_port", "cannot assign requested address", ["depends_on"], True, "fail", "This host has no free local port"),
    ("connect", "no_route", "the host has no route to any address of it", ["depends_on"], True, "fail", "no route"),
    ("connect", "denied", "permission denied", ["depends_on"], False, "unknown", "It was not tried: permission denied."),
    ("connect", "denied", "permission denied", ["depends_on"], True, "fail", "The connect to api.lab.test:7001 fails: permission denied."),
    ("tls", "tls", "the TLS handshake failed: wrong version", ["depends_on"], True, "fail", "ends in the TLS handshake"),
    ("first_byte", "not_http", "not an HTTP/1.x response", ["depends_on", "health"], True, "fail", "and does not serve it"),
])
def test_no_connection(phase, kind, message, roles, privileged, status, said):
    facts, one = only(API)
    facts["collected"]["privileged"] = privileged
    one.update(error={"phase": phase, "kind": kind, "message": message}, role=roles, phases=None, slowest=None)
    one["addresses"][0].update(ok=0, errors=[{"phase": phase, "kind": kind, "message": message, "count": 5}])
    found = result(facts, network.endpoint)
    assert found.status == status and said in found.reason
    assert result(facts, network.endpoint_latency).status == "notapplicable"


@pytest.mark.parametrize(("silent", "said"), [
    (False, "The connect to dual.lab.test:7001 (127.0.0.1) fails: no connection within 3 s."),
    (True, "The connect to each of the 2 addresses of dual.lab.test:7001 fails: no connection within 3 s."),
], ids=["the other one refuses", "both are silent"])
def test_addresses_that_fail_in_several_ways(silent, said):
    """As localhost, where nobody listens at ::1 and the queue of 127.0.0.1 is full."""
    facts, one = only(DUAL)
    hole = {"phase": "connect", "kind": "timeout", "message": "no connection within 3 s", "count": 2}
    one.update(error=hole, phases=None, slowest=None)
    one["addresses"][0].update(address="::1", ok=0, errors=[hole] if silent else REFUSED["errors"])
    one["addresses"][1].update(address="127.0.0.1", ok=0, errors=[hole])
    assert result(facts, network.endpoint).reason == said


def test_a_database_that_turns_the_host_away():
    facts, one = only(API)
    error = {"phase": "first_byte", "kind": "failed", "message": "the server greets with error 1040"}
    one.update(error=error, phases=None, slowest=None)
    one["addresses"][0].update(ok=0, errors=[{**error, "count": 1}])
    found = result(facts, network.endpoint)
    assert told(found) == (
        "fail", "high", "api.lab.test:7001 accepts the connection and does not serve it: the server greets with error 1040.")
    assert "databases.connections" in found.remediation.hint


@pytest.mark.parametrize(("kind", "message", "said", "hint"), [
    ("missing", "no such file or directory", "Nobody listens at /run/nobody.sock: no such file or directory.", "Look whether the program"),
    ("backlog", "resource temporarily unavailable", "The accept queue of /run/nobody.sock is full: resource temporarily unavailable.",
     "Its program does not accept"),
])
def test_a_unix_socket_without_a_server(kind, message, said, hint):
    facts, one = only("unix:///run/nobody.sock")
    error = {"phase": "connect", "kind": kind, "message": message}
    one["error"] = error
    one["addresses"][0]["errors"] = [{**error, "count": 5}]
    found = result(facts, network.endpoint)
    assert told(found) == ("fail", "high", said) and found.remediation.hint.startswith(hint)


@pytest.mark.parametrize(("scheme", "told"), [("https", True), ("http", True), ("postgres", False)])
def test_the_way_is_the_direct_one(scheme, told):
    facts, one = only(API)
    hole = {"phase": "connect", "kind": "timeout", "message": "no connection within 3 s", "count": 2}
    one.update(scheme=scheme, error=hole, phases=None, slowest=None)
    one["addresses"][0].update(ok=0, errors=[hole])
    assert ("HTTPS_PROXY" in result(facts, network.endpoint).remediation.hint) is told


def test_a_dead_fallback_is_worth_less():
    """IPv4 comes first and works: a Go client never gets to the other family."""
    facts, one = only(DUAL)
    one["addresses"].reverse()
    assert told(result(facts, network.endpoint)) == (
        "fail", "low",
        "The IPv6 address [2001:db8:60::dead]:7001 of dual.lab.test is dead while the other works (no connection within 3 s).")


REFUSED = {"ok": 0, "errors": [{"phase": "connect", "kind": "refused", "message": "connection refused", "count": 5}]}


@pytest.mark.parametrize(("addresses", "status", "severity"), [
    (["::1", "127.0.0.1"], "pass", "high"), (["2001:db8::1", "192.0.2.1"], "fail", "low"), (["192.0.2.2", "192.0.2.1"], "fail", "medium"),
], ids=["localhost", "a host without IPv6", "one of two servers"])
def test_an_address_that_refuses_at_once(addresses, status, severity):
    facts, one = only(DUAL)
    for address, row, changed in zip(addresses, one["addresses"], [REFUSED, {"ok": 5}], strict=True):
        row.update(address=address, family="inet6" if ":" in address else "inet", **changed)
    found = result(facts, network.endpoint)
    assert (found.status, found.severity) == (status, severity) and "waits" not in found.reason


def test_a_dead_local_ipv6_address_is_behind_ipv4_for_go():
    """The libc has it first, Go last (RFC 6724: fc00::/7 has a precedence of 3): no Go client waits for it."""
    facts, one = only(DUAL)
    one["addresses"][0]["address"] = "fd00::dead"
    assert told(result(facts, network.endpoint))[:2] == ("fail", "low")


def test_an_address_that_a_packet_filter_rejects():
    facts, one = only(DUAL)
    one["addresses"][0].update(ok=0, errors=[{"phase": "connect", "kind": "failed", "message": "no route to host", "count": 5}])
    assert told(result(facts, network.endpoint)) == (
        "fail", "low", "The IPv6 address [2001:db8:60::dead]:7001 of dual.lab.test is dead while the other works (no route to host).")


@pytest.mark.parametrize(("url", "changed", "begin"), [
    (TWO, {}, "Mend the address, or take it out of the name."),
    (DUAL, {}, "Mend the address, or take it out of the name (its AAAA record"),
    ("http://127.0.0.1:7002", {}, "It is there and answers with an error"),
    ("http://127.0.0.1:7004", {"ok": 4, "errors": [{"phase": "first_byte", "kind": "reset", "message": "connection reset", "count": 1}]},
     "Some connections are served and others are not"),
], ids=["dead IPv4", "dead IPv6", "5xx", "one of five reset"])
def test_the_first_thing_to_do_fits_the_finding(url, changed, begin):
    facts, one = only(url)
    one["addresses"][0].update(changed)
    assert result(facts, network.endpoint).remediation.hint.startswith(begin)


@pytest.mark.parametrize(("ok", "severity"), [(4, "medium"), (3, "medium"), (2, "high")], ids=["one", "two", "three of five"])
def test_what_fails_more_often_than_not_is_high(ok, severity):
    facts, one = only("http://127.0.0.1:7004")
    one["addresses"][0].update(ok=ok, errors=[{"phase": "first_byte", "kind": "reset", "message": "connection reset", "count": 5 - ok}])
    assert told(result(facts, network.endpoint)) == (
        "fail", severity, f"{5 - ok} of 5 connections to 127.0.0.1:7004 failed (first byte: connection reset); none should.")


@pytest.mark.parametrize("first", [False, True], ids=["the good one first", "the dead one first"])
def test_a_dead_address_that_costs_seconds_is_high_wherever_it_stands(first):
    facts, one = only(TWO)
    one["addresses"].sort(key=lambda address: address["ok"], reverse=not first)
    assert told(result(facts, network.endpoint)) == ENDPOINT[TWO]


def test_a_family_without_a_route_is_no_finding():
    facts, one = only(DUAL)
    one["addresses"][0].update(routed=False, asked=0, errors=[])
    found = result(facts, network.endpoint)
    assert found.status == "pass" and "[2001:db8:60::dead]:7001: not tried, the host has no route to it" in found.evidence


# ------------------------------------------------------------------------------------------------------- latency, changed

@pytest.mark.parametrize(("total", "slowest", "severity", "said"), [
    ({"median": 600, "p95": 900}, {"connect": 850, "first_byte": 50, "total": 900}, "medium", "the TCP connect takes 850 ms of it (94 %)"),
    ({"median": 2, "p95": 900}, {"connect": 2, "first_byte": 898, "total": 900}, "low", "the first byte of the answer takes 898 ms"),
    ({"median": 600, "p95": 600}, {"dns": 590, "connect": 10, "total": 600}, "low", "the look-up of its name takes 590 ms of it (98 %)"),
    ({"median": 1300, "p95": 1300}, {"dns": 700, "connect": 600, "total": 1300}, "medium", "the look-up of its name takes 700 ms"),
])
def test_latency(total, slowest, severity, said):
    facts, one = only(API)
    one["phases"]["total"] = {"min": 1, **total}
    one["slowest"] = {"dns": None, "connect": None, "tls": None, "first_byte": None, **slowest}
    found = result(facts, network.endpoint_latency)
    assert (found.status, found.severity) == ("fail", severity) and said in found.reason


def test_a_connect_of_a_second_is_a_lost_syn():
    facts, one = only(API)
    one["phases"]["total"] = {"min": 1, "median": 1030.0, "p95": 1030.0}
    one["slowest"] = {"dns": 1, "connect": 1028.0, "tls": None, "first_byte": 1, "total": 1030.0}
    assert "a full accept queue" in result(facts, network.endpoint_latency).remediation.hint


def test_latency_threshold():
    facts, _one = only(API)
    assert result(facts, network.endpoint_latency, thresholds={"network.endpoint_latency": {"p95_ms": 0.1}}).status == "fail"


# ------------------------------------------------------------------------------------------------------- certificates, changed

def days(number):
    # The recorded host's own clock is what counts.
    at = datetime.datetime.fromisoformat(recorded()["collected"]["at"])
    return (at + datetime.timedelta(days=number)).isoformat().replace("+00:00", "Z")


def certificate(begin=-10.0, end=355.0, url=f"{SECURE}01", **address):
    facts, one = only(url)
    one["addresses"][0]["certificate"].update(not_before=days(begin), not_after=days(end))
    one["addresses"][0].update(address)
    return facts, one


@pytest.mark.parametrize(("begin", "end", "status", "severity"), [
    (-300, 31, "pass", "high"), (-300, 29, "fail", "low"), (-300, 13, "fail", "medium"), (-300, 6, "fail", "high"),
    (-300, -0.01, "fail", "high"), (-60, 31, "pass", "high"), (-62, 28, "fail", "low"), (-0.5, 0.5, "pass", "high"),
    (-0.7, 0.3, "fail", "low"), (-0.9, 0.1, "fail", "medium"), (-0.95, 0.05, "fail", "high"),
], ids=["31 days", "29", "13", "6", "over", "90 in all, 31", "90 in all, 28", "a day, half", "a day, 7 hours",
        "a day, 2 hours", "a day, 1 hour"])
def test_expiry(begin, end, status, severity):
    facts, _one = certificate(begin, end)
    assert told(result(facts, network.tls_expiry))[:2] == (status, severity)


def test_a_clock_that_is_behind_is_named():
    """The host's own clock is two days behind the controller's, and the certificate began yesterday."""
    facts, _one = certificate(1, 300)
    facts["host"]["time"]["synchronized"] = False
    late = datetime.datetime.fromisoformat(recorded()["collected"]["at"]) + datetime.timedelta(days=2)
    (found,) = run([network.tls_expiry], facts, Policy(profile="standard", now=late))
    assert (found.status, found.severity) == ("fail", "high") and "its clock is behind, the controller's says" in found.reason
    assert "the clock of this host is not synchronized" in found.evidence


def test_a_clock_that_is_ahead_is_named():
    """By the host's own clock the certificate ended yesterday; by the controller's it has a day left."""
    facts, _one = certificate(-300, -1)
    facts["host"]["time"]["synchronized"] = False
    early = datetime.datetime.fromisoformat(recorded()["collected"]["at"]) - datetime.timedelta(days=2)
    (found,) = run([network.tls_expiry], facts, Policy(profile="standard", now=early))
    assert (found.status, found.severity) == ("fail", "high") and "its clock is ahead, the controller's says" in found.reason
    assert found.remediation.hint.startswith("Set the clock") and "the clock of this host is not synchronized" in found.evidence


def test_dates_that_are_none():
    facts, one = certificate()
    one["addresses"][0]["certificate"]["not_after"] = "2026-02-30T00:00:00Z"
    assert told(result(facts, network.tls_expiry))[::2] == (
        "unknown", "The dates of the certificate of secure.lab.test:7101 cannot be read.")


def test_not_yet_valid_by_both_clocks():
    found = results(recorded(), network.tls_expiry)[f"{SECURE}06"]
    assert (found.status, found.severity) == ("fail", "high") and "its clock is behind" not in found.reason


@pytest.mark.parametrize("url", [f"{SECURE}04", f"{SECURE}05"])
def test_of_a_health_url_only_the_dates_are_judged(url):
    facts, one = only(url)
    one["role"] = ["health"]
    assert result(facts, network.tls_expiry).status == "pass"


def test_an_expired_one_that_nobody_verifies_is_low():
    facts, _one = certificate(-300, -1, chain={"ok": None, "error": None}, name={"ok": None, "error": None})
    assert told(result(facts, network.tls_expiry))[:2] == ("fail", "low")


@pytest.mark.parametrize(("changed", "said"), [
    ({"chain": {"ok": None, "error": "no TLS handshake within 3 s"}},
     "Whether this host trusts the certificate of secure.lab.test:7101 is unknown"),
    ({"certificate": None}, "The certificate could not be read."),
])
def test_an_unknown_certificate(changed, said):
    facts, _one = certificate(**changed)
    found = result(facts, network.tls_expiry)
    assert found.status == "unknown" and said in found.reason


def test_the_worst_of_several_addresses_counts():
    facts, one = certificate()
    second = copy.deepcopy(one["addresses"][0])
    second["address"] = "127.0.0.2"
    second["certificate"]["not_after"] = days(3)
    one["addresses"].append(second)
    assert "secure.lab.test:7101 (127.0.0.2) runs out in 3.0 days" in result(facts, network.tls_expiry).reason
