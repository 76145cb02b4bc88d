# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of family network that judge the kernel's counters over the window, on recorded facts and on changed ones."""
from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.goready.preflight.plugins.modules import readiness_facts
from ansible_collections.goready.preflight.plugins.plugin_utils import watched
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Policy, Result, run
from ansible_collections.goready.preflight.plugins.sub_plugins.check import network

KERNEL = Path(__file__).parents[3] / "fixtures" / "kernel"
HEALTHY, STUCK = (json.loads((KERNEL / f"{name}.json").read_text()) for name in ("healthy", "stuck"))
CHECKS = (network.retransmits, network.listen_overflow, network.conntrack)


def judge(check: Any, facts: dict[str, Any], **thresholds: Any) -> list[Result]:
    policy = Policy(profile="standard", thresholds={check.id: thresholds} if thresholds else {})
    return run([check], facts, policy)


def lines(results: list[Result]) -> dict[str, tuple[str, str, str]]:
    found = {one.subject: (one.status, one.severity, one.reason) for one in results}
    assert len(found) == len(results), "two results with one subject"
    return found


def changed(base: dict[str, Any] = HEALTHY, **kernel: Any) -> dict[str, Any]:
    """Facts with other values in sample.kernel; ``tcp`` and ``sockets`` are merged into those that are there."""
    facts = copy.deepcopy(base)
    for key, value in kernel.items():
        if key in ("tcp", "sockets") and value is not None:
            facts["sample"]["kernel"][key].update(value)
        else:
            facts["sample"]["kernel"][key] = value
    return facts


# ------------------------------------------------------------------------------------------------------- recorded

def test_a_healthy_host_is_silent() -> None:
    results = [one for check in CHECKS for one in judge(check, HEALTHY)]
    assert {one.status for one in results} == {"pass", "notapplicable"}
    assert lines(judge(network.listen_overflow, HEALTHY)) == {
        "api": ("pass", "high", "No connection was dropped within 4 s; none had to wait to be accepted."),
        "node": ("pass", "high", "No connection was dropped within 4 s; none had to wait to be accepted."),
        "": ("pass", "high", "No listener in this host's network dropped a connection within 4 s."),
    }


def test_a_recorded_host_with_a_full_queue() -> None:
    found = lines(judge(network.listen_overflow, STUCK))
    assert found["stuck 127.0.0.1:9001"] == (
        "fail", "high", "The listener 127.0.0.1:9001 dropped 30 connections within 4 s and had 2 connections waiting to be accepted at a "
                        "backlog of 1; nobody may be turned away.")
    assert {subject: line[0] for subject, line in found.items() if subject != "stuck 127.0.0.1:9001"} == dict.fromkeys(
        ("api", "dialer", "hold", "node"), "pass")
    (result,) = [one for one in judge(network.listen_overflow, STUCK) if one.status == "fail"]
    assert result.evidence[0] == "127.0.0.1:9001: queue at most 2, backlog 1, drops 30"
    assert any("descriptors of 19999 are open" in line for line in result.evidence)
    assert result.remediation.command == "ss -ltnp 'sport = :9001'"


def test_what_that_does_to_handshakes_is_no_loss_of_segments() -> None:
    """30 of the retransmitted segments are SYNs that the queue had no room for."""
    assert STUCK["sample"]["kernel"]["tcp"]["RetransSegs"] == 30
    (result,) = judge(network.retransmits, STUCK)
    assert (result.status, result.reason) == (
        "notapplicable", "Too few TCP segments were sent within 4 s to tell a share of lost ones: 0.")


def test_a_recorded_host_whose_local_ports_are_taken() -> None:
    found = lines(judge(network.conntrack, STUCK))
    assert found["127.0.0.1:9100"] == (
        "fail", "medium", "Connections to 127.0.0.1:9100 (of hold) take 90 of 100 local ports (90 %); below 80 % is accepted.")
    assert found[""][0] == "pass"


@pytest.mark.parametrize("check", CHECKS, ids=[check.id for check in CHECKS])
def test_a_host_that_was_not_watched_is_unknown(check: Any) -> None:
    facts = {"facts_version": "1.0", "sample": {}, "errors": [
        {"part": "sample.kernel", "kind": "unavailable", "message": "the budget of 60 s (preflight_budget) was used up"}]}
    (result,) = judge(check, facts)
    assert result.status == "unknown"
    assert "the budget of 60 s (preflight_budget) was used up" in result.reason


@pytest.mark.parametrize("check", CHECKS[:2], ids=[check.id for check in CHECKS[:2]])
def test_counters_that_were_not_read_are_unknown(check: Any) -> None:
    assert lines(judge(check, changed(tcp=None)))[""][0] == "unknown"


# ------------------------------------------------------------------------------------------------------- documents

def keys(value: Any, prefix: str, documented: dict[str, Any]) -> set[str]:
    """The paths of a value's keys, down to where the documentation says no more than "dict"."""
    found: set[str] = set()
    if isinstance(value, dict) and documented:
        for key, item in value.items():
            found |= {f"{prefix}.{key}"} | keys(item, f"{prefix}.{key}", documented.get(key, {}).get("contains") or {})
    elif isinstance(value, list):
        for item in value:
            found |= keys(item, prefix, documented)
    return found


def told(documented: dict[str, Any], prefix: str) -> set[str]:
    return {f"{prefix}.{key}" for key in documented} | {
        path for key, entry in documented.items() for path in told(entry.get("contains") or {}, f"{prefix}.{key}")}


@pytest.mark.parametrize("facts", [HEALTHY, STUCK], ids=["healthy", "stuck"])
def test_every_key_is_documented(facts: dict[str, Any]) -> None:
    entries = yaml.safe_load(readiness_facts.RETURN)["facts"]["contains"]["sample"]["contains"]
    assert keys(facts["sample"], "sample", entries) - told(entries, "sample") == set()


def test_the_shape_is_that_of_the_document() -> None:
    text = (Path(__file__).parents[5] / "docs" / "facts.md").read_text()
    returned = yaml.safe_load(readiness_facts.RETURN)["facts"]["contains"]
    for subset, end in (("sample", "\ntimeouts:"), ("timeouts", "\nprobes:")):
        part = text[text.index(f"\n{subset}:"):text.index(end)]
        for path in told(returned[subset]["contains"], subset):
            if ".container." not in path:
                assert re.search(rf"\b{path.rsplit('.', 1)[1]}\b", part), path


# ------------------------------------------------------------------------------------------------------- retransmits

@pytest.mark.parametrize(("out", "again", "handshakes", "status", "reason"), [
    pytest.param(10000, 301, 0, "fail", "301 of 10000 TCP segments (3.01 %) were sent again within 4 s; at most 3 % are accepted.",
                 id="above"),
    pytest.param(10000, 300, 0, "pass", "300 of 10000 TCP segments (3 %) were sent again within 4 s.", id="at"),
    pytest.param(200, 9, 0, "pass", "9 of 200 TCP segments (4.5 %) were sent again within 4 s; fewer than 10 are no finding.", id="few"),
    pytest.param(5, 1, 0, "notapplicable", "Too few TCP segments were sent within 4 s to tell a share of lost ones: 5.", id="1 of 5"),
    pytest.param(0, 0, 0, "notapplicable", "Too few TCP segments were sent within 4 s to tell a share of lost ones: 0.", id="idle"),
    pytest.param(20, 12, 0, "fail", "12 of 20 TCP segments (60 %) were sent again within 4 s; at most 3 % are accepted.", id="most"),
    pytest.param(1000, 500, 495, "pass", "5 of 1000 TCP segments (0.5 %) were sent again within 4 s.", id="nobody answers"),
    pytest.param(0, 40, 0, "fail", "40 of 0 TCP segments (100 %) were sent again within 4 s; at most 3 % are accepted.", id="all again"),
])
def test_retransmits(out: int, again: int, handshakes: int, status: str, reason: str) -> None:
    (result,) = judge(network.retransmits, changed(tcp={"OutSegs": out, "RetransSegs": again, "TCPSynRetrans": handshakes}))
    assert (result.status, result.severity, result.reason) == (status, "medium", reason)


def test_retransmits_by_another_threshold() -> None:
    facts = changed(tcp={"OutSegs": 10000, "RetransSegs": 50})
    assert [one.status for one in judge(network.retransmits, facts)] == ["pass"]
    assert [one.status for one in judge(network.retransmits, facts, percent=0.1)] == ["fail"]
    assert [one.status for one in judge(network.retransmits, facts, percent=0.1, segments=51)] == ["pass"]


def test_errors_of_an_interface_are_evidence() -> None:
    quiet = {"rx_errors": 0, "rx_dropped": 0, "tx_errors": 0, "tx_dropped": 0}
    facts = changed(tcp={"OutSegs": 1000, "RetransSegs": 90},
                    interfaces=[{"name": "eth0", **quiet, "rx_errors": 12, "tx_dropped": None}, {"name": "lo", **quiet}])
    (result,) = judge(network.retransmits, facts)
    assert "eth0: rx_errors +12" in result.evidence
    assert not any(line.startswith("lo:") for line in result.evidence)


@pytest.mark.parametrize(("tcp", "sockets", "reason"), [
    pytest.param({"TCPMemoryPressures": 2}, {}, "The kernel began 2 times to save memory of TCP sockets within 4 s: it drops segments that "
                 "came, and senders slow down (net.ipv4.tcp_mem).", id="began"),
    pytest.param({}, {"tcp_mem_pages": 400, "tcp_mem": [100, 300, 500]}, "400 pages of memory are in TCP sockets, and the kernel saves "
                 "from 300 on: it drops segments that came, and senders slow down (net.ipv4.tcp_mem).", id="over"),
    pytest.param({}, {"tcp_mem_pages": 300, "tcp_mem": [100, 300, 500]}, None, id="below"),
    pytest.param({}, {"tcp_mem_pages": 300, "tcp_mem": None}, None, id="a container does not see it"),
])
def test_socket_memory(tcp: dict[str, int], sockets: dict[str, Any], reason: str | None) -> None:
    found = lines(judge(network.retransmits, changed(tcp=tcp, sockets=sockets)))
    assert found.get("socket memory", (None, None, None))[2] == reason


# ------------------------------------------------------------------------------------------------------- listen_overflow

def listener(**more: Any) -> dict[str, Any]:
    return {"service": "api", "pid": 1, "net": None, "proto": "tcp", "address": "0.0.0.0", "port": 80, "backlog": 4096, "queue": [0],
            "queue_max": 0, "drops": 0, **more}


def overflow(tcp: dict[str, int | None], *rows: dict[str, Any], **kernel: Any) -> dict[str, tuple[str, str, str]]:
    facts = changed(tcp=tcp, **kernel)
    facts["sample"]["listeners"] = list(rows)
    return lines(judge(network.listen_overflow, facts))


@pytest.mark.parametrize(("queue", "backlog", "status"), [
    (4096, 4096, "pass"), (4097, 4096, "fail"), (1, 1, "pass"), (2, 1, "fail"), (9, None, "pass")])
def test_a_queue_is_full_when_the_kernel_says_so(queue: int, backlog: int | None, status: str) -> None:
    found = overflow({}, listener(queue_max=queue, backlog=backlog))
    assert found["api 0.0.0.0:80" if status == "fail" else "api"][0] == status


def test_a_service_with_a_full_listener_and_others_has_the_finding_alone() -> None:
    found = overflow({"ListenDrops": 4}, listener(drops=4), listener(port=81))
    assert {subject: line[0] for subject, line in found.items()} == {"api 0.0.0.0:80": "fail"}


def test_sockets_that_share_a_port_are_one_listener() -> None:
    found = overflow({"ListenDrops": 5}, listener(drops=2), listener(drops=3, queue_max=7))
    assert found["api 0.0.0.0:80"][2] == "The listener 0.0.0.0:80 dropped 5 connections within 4 s; nobody may be turned away."


def test_a_listener_of_another_program() -> None:
    found = overflow({"ListenDrops": 1}, listener(), listener(service=None, pid=None, port=5432, drops=1))
    assert found["0.0.0.0:5432"][2].startswith("The listener 0.0.0.0:5432 dropped 1 connection within")
    assert found["api"][0] == "pass"
    assert "" not in found


_COOKIES = "SYN cookies were sent in this host's network within 4 s (5): more connections are opened than a listener has room for."


@pytest.mark.parametrize(("tcp", "kernel", "expected"), [
    pytest.param({"ListenOverflows": 3, "ListenDrops": 7}, {}, (
        "fail", "high", "Listeners in this host's network dropped 7 connections within 4 s; nobody may be turned away."), id="unexplained"),
    pytest.param({"TCPReqQFullDrop": 2}, {}, (
        "fail", "high", "Listeners in this host's network refused 2 connections within 4 s, because too many were just being opened; "
                        "nobody may be turned away."), id="too many are being opened"),
    pytest.param({"SyncookiesSent": 5}, {"syncookies": 1}, ("fail", "medium", _COOKIES), id="cookies"),
    pytest.param({"SyncookiesSent": 5}, {"syncookies": 2}, (
        "pass", "high", "No listener in this host's network dropped a connection within 4 s."), id="cookies always"),
])
def test_the_whole_host(tcp: dict[str, int], kernel: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert overflow(tcp, listener(), **kernel)[""] == expected


def test_what_was_dropped_before_the_window_is_told_and_not_judged() -> None:
    facts = copy.deepcopy(HEALTHY)
    facts["network"]["tcp"]["ListenOverflows"] = 123456
    (whole,) = [one for one in judge(network.listen_overflow, facts) if not one.subject]
    assert whole.status == "pass"
    assert any("since boot, which is not judged: ListenOverflows 123456" in line for line in whole.evidence)


def test_what_the_kernel_counts_for_half_open_probes_is_no_finding() -> None:
    """A SYN, and a reset instead of an acknowledgement: a load balancer's check. sk_drops grows, ListenDrops does not."""
    assert {line[0] for line in overflow({}, listener(drops=20)).values()} == {"pass"}
    found = overflow({"ListenDrops": 4}, listener(drops=20), listener(service="db", port=81, drops=4, queue_max=5000))
    assert {subject: line[0] for subject, line in found.items()} == {"api": "pass", "db 0.0.0.0:81": "fail"}
    assert overflow({"ListenDrops": 4}, listener(drops=20))["api 0.0.0.0:80"][2] == (
        "The listener 0.0.0.0:80 dropped 4 connections within 4 s; nobody may be turned away.")


def test_several_may_have_dropped() -> None:
    found = overflow({"ListenDrops": 4}, listener(drops=4), listener(service="db", port=81, drops=2), listener(service="web", port=82))
    assert {subject: line[0] for subject, line in found.items()} == {"": "fail", "api": "unknown", "db": "unknown", "web": "pass"}


def test_a_full_queue_of_another_program_that_drops_nobody() -> None:
    assert {line[0] for line in overflow({}, listener(service=None, queue_max=1, backlog=0)).values()} == {"pass"}


def test_where_drops_are_not_told_by_listener() -> None:
    """An emulated host: the whole network has none, so no listener has; or somebody has, and nobody knows who."""
    row = listener(drops=None, backlog=None, queue_max=3)
    assert overflow({}, row)["api"] == (
        "pass", "high", "No connection was dropped within 4 s; at most 3 waited to be accepted at 0.0.0.0:80.")
    found = overflow({"ListenDrops": 2, "ListenOverflows": 2}, row)
    assert found["api"][0] == "unknown"
    assert found[""][0] == "fail"
    assert overflow({"ListenDrops": None}, row)["api"][0] == "unknown"
    facts = changed(tcp={"ListenDrops": 2})
    facts["sample"]["listeners"] = [{**row, "service": None}]
    (whole,) = judge(network.listen_overflow, facts)
    assert "0.0.0.0:80: at most 3 waited to be accepted" in whole.evidence


# ------------------------------------------------------------------------------------------------------- other namespaces

def test_a_container_is_judged_by_its_own_counters() -> None:
    facts = changed(namespaces=[{**HEALTHY["sample"]["kernel"], "services": ["shop"], "pid": 9}])
    facts["services"]["services"].append({"name": "shop", "container": {"runtime": "podman", "id": "0123456789ab"}})
    inside = facts["sample"]["kernel"]["namespaces"][0]
    inside["tcp"] = {**inside["tcp"], "ListenOverflows": 42, "ListenDrops": 42, "OutSegs": 1000, "RetransSegs": 500}
    facts["sample"]["listeners"].append(
        listener(service="shop", net=9, pid=9, address="127.0.0.1", port=8080, backlog=1, queue_max=2, drops=42))
    found = lines(judge(network.listen_overflow, facts))
    assert found["shop (podman container) 127.0.0.1:8080"][0] == "fail"
    assert found["api"][0] == found[""][0] == "pass"
    assert lines(judge(network.retransmits, facts))["shop (podman container)"][0] == "fail"


def test_a_namespace_that_cannot_be_entered_is_unknown() -> None:
    facts = changed(namespaces=[{"services": ["shop"], "pid": 9, "error": {
        "kind": "denied", "message": "its network namespace cannot be entered: operation not permitted"}}])
    for check in CHECKS:
        results = {one.subject: one for one in judge(check, facts)}
        (bad,) = [one for subject, one in results.items() if subject.startswith("shop")]
        assert bad.status == "unknown"
        assert bad.reason == ("The counters of the network of shop were not read: its network namespace cannot be entered: operation not "
                              "permitted.")


@pytest.mark.parametrize(("privileged", "why", "hint"), [
    (False, "permission denied", "root"), (True, "it could not be looked into", "")])
@pytest.mark.parametrize("check", CHECKS, ids=[check.id for check in CHECKS])
def test_a_namespace_that_nobody_could_look_into_is_unknown(check: Any, privileged: bool, why: str, hint: str) -> None:
    facts = changed(unreadable=["api", "shop"])  # one process of api could be seen
    facts["collected"] = {"privileged": privileged}
    (bad,) = [one for one in judge(check, facts) if one.subject.startswith("shop")]
    assert (bad.status, bad.reason) == ("unknown", f"The counters of the network of shop were not read: {why}.")
    assert hint in bad.remediation.hint


# ------------------------------------------------------------------------------------------------------- conntrack and ports

def table(count: int = 10, maximum: int = 100, **more: Any) -> dict[str, Any]:
    return {"count": count, "maximum": maximum, "drops": 0, "early_drops": 0, "insert_failed": 0, **more}


@pytest.mark.parametrize(("found", "status", "begin"), [
    pytest.param(table(79), "pass", "79 of 100 connections are tracked (79 %), and connections to ", id="room"),
    pytest.param(table(80), "fail", "80 of 100 connections are tracked (80 %); below 80 % is accepted.", id="full"),
    pytest.param(table(drops=6), "fail", "Connection tracking dropped 6 packets within 4 s (10 of 100 connections are tracked); at most "
                 "5 are accepted.", id="drops"),
    pytest.param(table(drops=5), "pass", "10 of 100 connections", id="packets that raced"),
    pytest.param(table(early_drops=1), "fail", "Connection tracking gave up 1 connection within 4 s to make room (10 of 100 are "
                 "tracked); it has to have room.", id="early drops"),
    pytest.param(table(insert_failed=9), "pass", "10 of 100 connections", id="a clash that the kernel resolves"),
    pytest.param(table(drops=None, early_drops=None), "pass", "10 of 100 connections", id="drops that cannot be read"),
    pytest.param(table(maximum=0), "pass", "10 connections are tracked, without a limit, and ", id="no limit"),
    pytest.param(None, "notapplicable", "Nothing tracks connections in this host's network; ", id="none"),
])
def test_conntrack(found: dict[str, Any] | None, status: str, begin: str) -> None:
    line = lines(judge(network.conntrack, changed(conntrack=found)))[""]
    assert (line[0], line[2][:len(begin)]) == (status, begin)


def row(**more: Any) -> dict[str, Any]:
    return {"address": "10.0.0.5", "port": 5432, "source": "10.0.0.1", "ports": 0, "established": 0, "syn_sent": 0, "time_wait": 0,
            "close_wait": 0, "closing": 0, "services": [], **more}


@pytest.mark.parametrize(("found", "setting", "expected"), [
    pytest.param(row(established=79), 2, None, id="room"),
    pytest.param(row(established=70, syn_sent=4, close_wait=3, closing=3), 2, "medium", id="80 %"),
    pytest.param(row(established=98), 2, "high", id="98 %"),
    pytest.param(row(time_wait=90), 2, "medium", id="TIME-WAIT to another host"),
    pytest.param(row(time_wait=90), 0, "medium", id="TIME-WAIT, never used again"),
    pytest.param(row(time_wait=90), 1, None, id="TIME-WAIT that is used again"),
    pytest.param(row(time_wait=90, address="127.0.0.1", source="127.0.0.1"), 2, None, id="TIME-WAIT on loopback"),
    pytest.param(row(time_wait=90, address="127.0.0.1", source="127.0.0.1"), 0, "medium", id="TIME-WAIT on loopback, never used again"),
    pytest.param(row(time_wait=90), None, "medium", id="the setting is not known"),
])
def test_local_ports(found: dict[str, Any], setting: int | None, expected: str | None) -> None:
    facts = changed(destinations=[found], port_range=[40000, 40109], reserved_ports=10, tw_reuse=setting)
    results = {one.subject: one for one in judge(network.conntrack, facts)}
    subject = f"{found['address']}:5432"
    assert (results[subject].severity if subject in results else None) == expected
    assert subject not in results or results[subject].status == "fail"


def test_another_share_of_local_ports() -> None:
    facts = changed(destinations=[row(established=50, address="2001:db8::5")], port_range=[40000, 40099], reserved_ports=0)
    assert [one.subject for one in judge(network.conntrack, facts, ports=50.0)] == ["[2001:db8::5]:5432", ""]
    assert [one.subject for one in judge(network.conntrack, facts)] == [""]


@pytest.mark.parametrize(("kernel", "reason"), [
    pytest.param({"complete": False, "destinations": []}, "There were more connections than could be counted.", id="too many"),
    pytest.param({"port_range": None, "destinations": []}, "The range of local ports was not read.", id="no range"),
])
def test_ports_that_could_not_be_counted_are_unknown(kernel: dict[str, Any], reason: str) -> None:
    assert lines(judge(network.conntrack, changed(**kernel)))["local ports"][::2] == ("unknown", reason)


# ------------------------------------------------------------------------------------------------------- server timeouts

@pytest.mark.parametrize(("part", "expected"), [
    ({"closed_after": 3.0, "waited": 3.0, "status": None, "error": None}, ("limited", 3.0)),
    ({"closed_after": None, "waited": 15.0, "status": None, "error": None}, ("unlimited", 15.0)),
    ({"closed_after": 0.0, "waited": 0.0, "status": 405, "error": None}, ("unread", 0.0)),
    ({"closed_after": None, "waited": 0.0, "status": None, "error": {"kind": "refused", "message": ""}}, ("unknown", 0.0)),
    (None, ("unknown", 0.0)),
])
def test_server_timeout(part: dict[str, Any] | None, expected: tuple[str, float]) -> None:
    assert watched.server_timeout(part) == expected
