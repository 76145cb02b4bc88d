# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service depends on, seen from its host: every fault is named with its phase, each in its time; the healthy are silent."""
from __future__ import annotations

import re

import pytest

CA = "/opt/.faulty/certificates/ca.pem"
API, DUAL, TWO, PAIR = (f"http://{name}.lab.test:7001" for name in ("api", "dual", "two", "pair"))
HEALTHY = [API, "http://user:hunter2@127.0.0.1:7004/", "http://127.0.0.1:7005", "https://secure.lab.test:7101",
           "https://secure.lab.test:7108", "tcp://127.0.0.1:7201", "tcp://127.0.0.1:7205", "postgres://app:hunter2@127.0.0.1:7206/orders", "tcp://127.0.0.1:22"]
FAULTY = ["http://127.0.0.1:7002", "http://127.0.0.1:7003", *(f"https://secure.lab.test:710{number}" for number in range(2, 8)),
          "https://secure.lab.test:7109", "tls://127.0.0.1:7110", "tcp://127.0.0.1:7202", "tcp://127.0.0.1:7204", "tcp://127.0.0.1:7299",
          DUAL, TWO, PAIR, "http://nosuch.lab.test/", "unix:///run/nobody.sock"]
HOLES = [f"tcp://127.0.1.1:{port}" for port in range(9001, 9021)]


def trusting(urls):
    return {"endpoints": {url: {"ca_file": CA} for url in urls if "secure" in url}}


@pytest.fixture(scope="module")
def faulty(preflight):
    return preflight(FAULTY, preflight_network=trusting(FAULTY))


def test_a_healthy_host_is_silent(preflight):
    run = preflight(HEALTHY, health="http://127.0.0.1:7001/healthz", preflight_network=trusting(HEALTHY))
    assert run.findings() == []
    assert {line["status"] for line in run.results if line["id"] == "network.endpoint"} == {"pass"}
    assert len(run.facts["endpoints"]) == len(HEALTHY) + 1 and run.seconds < 8


ENDPOINTS = {
    "http://127.0.0.1:7002": ("fail", "high", "5 of 5 requests to 127.0.0.1:7002 were answered 503; none should be 5xx."),
    "http://127.0.0.1:7003": ("pass", "high", None),
    "https://secure.lab.test:7103": ("pass", "high", None),
    "https://secure.lab.test:7109": ("unknown", "low", "It asks for a client certificate, and none is declared."),
    "tls://127.0.0.1:7110": ("fail", "high", "The connection to 127.0.0.1:7110 ends in the TLS handshake: no TLS handshake within 3 s."),
    "tcp://127.0.0.1:7202": ("fail", "high", "127.0.0.1:7202 accepts the connection and does not serve it: the connection was accepted and "
                                             "closed at once."),
    "tcp://127.0.0.1:7204": ("fail", "high", "The connect to 127.0.0.1:7204 fails: no connection within 3 s."),
    "tcp://127.0.0.1:7299": ("fail", "high", "Nobody listens at 127.0.0.1:7299: connection refused."),
    DUAL: ("fail", "medium", "The IPv6 address [2001:db8:60::dead]:7001 of dual.lab.test is dead while the other works (no connection "
                             "within 3 s); a Go client waits 300 ms for it before it tries IPv4, on every new connection."),
    # Which of the two a DNS server names first is chance.
    TWO: ("fail", "high", "The IPv4 address 127.0.1.1:7001 of two.lab.test is dead while the other works (no connection within 3 s); "
                          "a Go client that tries it first waits 15 s (net/http's default of 30 s over 2 addresses)."),
    PAIR: ("fail", "high", "The IPv4 address 198.51.100.1:7001 of pair.lab.test is dead while the other works (no connection within 3 s); "
                           "a Go client that tries it first waits 15 s (net/http's default of 30 s over 2 addresses)."),
    "http://nosuch.lab.test/": ("notapplicable", "high", "Its name is not found (network.dns judges that)."),
    "unix:///run/nobody.sock": ("fail", "high", "Nobody listens at /run/nobody.sock: no such file or directory."),
}


@pytest.mark.parametrize("url", ENDPOINTS)
def test_endpoint(faulty, url):
    status, severity, reason = faulty.of("endpoint", url)
    assert (status, severity) == ENDPOINTS[url][:2] and ENDPOINTS[url][2] in (None, reason)


@pytest.mark.parametrize(("url", "phase", "least"), [
    ("http://127.0.0.1:7003", "the first byte of the answer takes", 800), ("https://secure.lab.test:7102", "the TLS handshake takes", 700),
])
def test_the_slow_phase_is_named(faulty, url, phase, least):
    status, severity, reason = faulty.of("endpoint_latency", url)
    assert (status, severity) == ("fail", "medium") and phase in reason
    entry = next(one for one in faulty.facts["endpoints"] if one["url"] == url)
    assert least <= entry["phases"]["total"]["min"]


@pytest.mark.parametrize(("port", "severity", "said"), [
    (7103, "high", "expired"), (7104, "high", "is not for secure.lab.test: it is for elsewhere.example"),
    (7105, "medium", "is signed by itself"), (7106, "high", "is not valid before"), (7107, "high", "runs out in"),
])
def test_certificates(faulty, port, severity, said):
    found = faulty.of("tls_expiry", f"https://secure.lab.test:{port}")
    assert found[:2] == ("fail", severity) and said in found[2]


def test_no_such_name(faulty):
    assert faulty.of("dns", "nosuch.lab.test") == ("fail", "high", "nosuch.lab.test does not resolve (Name or service not known).")
    assert faulty.of("dns", "dual.lab.test")[0] == "pass"


def test_all_of_it_at_once_takes_little_longer_than_one(faulty):
    # Two time-outs of 3 s for whatever is silent, side by side with everything else.
    assert faulty.seconds < 12


def test_twenty_black_holes_end_in_time(preflight):
    run = preflight(HOLES)
    assert run.seconds < 12
    assert {run.of("endpoint", url)[:2] for url in HOLES} == {("fail", "high")}
    assert {line["kind"] for one in run.facts["endpoints"] for line in one["addresses"][0]["errors"]} == {"timeout"}


def test_what_the_budget_cuts_off_is_unknown(preflight):
    run = preflight(HOLES[:1], preflight_budget=2)
    status, _severity, reason = run.of("endpoint", HOLES[0])
    assert (status, reason) == ("unknown", "It was not tried: the budget of 2 s (preflight_budget) was used up.")


def test_a_first_nameserver_that_is_silent(preflight, nameservers):
    nameservers("127.0.0.154", "127.0.0.153")
    run = preflight([API])
    status, severity, reason = run.of("dns", "api.lab.test")
    assert (status, severity) == ("fail", "high")
    assert re.fullmatch(r"A look-up of api\.lab\.test takes [5-9]\d{3} ms, 100 ms are accepted: nameserver 127\.0\.0\.154, the first of 2, "
                        r"does not answer\.", reason), reason
    assert run.of("endpoint_latency", API)[:2] == ("fail", "low")
    assert run.seconds < 15


def test_a_second_nameserver_that_is_silent(preflight, nameservers):
    nameservers("127.0.0.153", "127.0.0.154")
    run = preflight([API])
    assert run.of("dns", "api.lab.test")[0] == "pass"
    assert run.of("dns", "nameserver 127.0.0.154")[:2] == ("fail", "medium")
    assert len(run.findings()) == 1


def test_no_nameserver_answers(preflight, nameservers):
    nameservers("127.0.0.154")
    run = preflight([API])
    assert run.of("dns", "api.lab.test") == (
        "fail", "high", "api.lab.test was not found in time (no answer within 6 s): nameserver 127.0.0.154 does not answer.")
    assert len(run.findings()) == 1 and run.seconds < 10


def test_a_slow_nameserver_and_a_search_list(preflight, nameservers):
    nameservers("127.0.0.155", more="search a.example b.example\noptions ndots:5")
    status, _severity, reason = preflight([API]).of("dns", "api.lab.test")
    assert status == "fail" and re.search(r"nameserver 127\.0\.0\.155 takes [3-9]\d\d ms", reason), reason
    assert reason.endswith("2 other names are asked for before it (ndots:5, search a.example b.example).")
