# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from xml.etree import ElementTree

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.report import junit, model
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet
from hypothesis import given
from hypothesis import strategies as st


def parse(report: model.Report) -> ElementTree.Element:
    return ElementTree.fromstring("".join(junit.render(report)).encode())


@pytest.fixture(scope="module")
def root() -> ElementTree.Element:
    return parse(model.build(fleet.run(), fleet.documents(), fleet.CATALOGUE))


def case(root: ElementTree.Element, host: str, name: str) -> ElementTree.Element:
    return root.find(f"testsuite[@name='{host}']/testcase[@name='{name}']")  # type: ignore[return-value]


def test_a_suite_a_host_with_true_counts(root: ElementTree.Element) -> None:
    assert [suite.get("name") for suite in root] == fleet.run()["hosts"]
    for suite in root:
        assert {key: int(suite.get(key, "")) for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": len(suite.findall("testcase")), "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped"))}
    for key in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(key, "")) == sum(int(suite.get(key, "")) for suite in root)
    assert (root.get("failures"), root.get("errors")) == ("7", "3")


def test_a_suite_says_what_was_left_out(root: ElementTree.Element) -> None:
    told = {suite.get("name"): {one.get("name"): one.get("value") for one in suite.findall("properties/property")}
            for suite in root}
    assert told["db1"] == {"verdict": "ready_with_warnings", "checks_not_selected": "1 of 30"}
    assert told["web1"] == {"verdict": "ready", "checks_not_selected": "0 of 30"}
    assert told["pay2"] == {"verdict": "inconclusive", "checks_not_selected": "0 of 0"}


def test_names_are_unique_in_the_whole_run(root: ElementTree.Element) -> None:
    names = [(one.get("classname"), one.get("name")) for one in root.iter("testcase")]
    assert len(names) == len(set(names))


def test_a_fail_at_the_gate_is_a_failure(root: ElementTree.Element) -> None:
    one = case(root, "web3", "limits.nofile_effective [api]")
    assert one.get("classname") == "web3.limits"
    failure = one.find("failure")
    assert failure is not None
    assert failure.get("message") == "api runs with 1024 open files; its unit asks for 65536."
    assert failure.get("type") == "critical"
    assert "wanted: 65536\n" in str(failure.text)
    assert "evidence: /proc/812/limits: Max open files  1024  1024  files\n" in str(failure.text)


@pytest.mark.parametrize(("host", "name", "tag", "words"), [
    ("pay1", "limits.nofile_effective [pay]", "error", "permission denied"),
    ("pay2", "verification", "error", "unreachable: ssh: connect to host"),
    ("job1", "limits.memory_limit [worker]", "system-out", "fail below the gate (medium): worker has MemoryMax=2G"),
    ("pay1", "host.inodes", "system-out", "error below the gate (medium): host.filesystems could not be collected"),
    ("cache1", "binary.replaced [cache]", "skipped", "waived until 2026-11-25T00:00:00+00:00 by M. Weber (release)"),
    ("web1", "toolchain.present", "skipped", "not applicable: There is no Go toolchain"),
    ("db1", "pprof.expvar", "skipped", "not selected: Left out by preflight_skip_checks."),
])
def test_what_becomes_of_the_others(root: ElementTree.Element, host: str, name: str, tag: str, words: str) -> None:
    element, = case(root, host, name)
    assert element.tag == tag
    assert words in str(element.get("message") or element.text)


def test_a_pass_is_an_empty_case(root: ElementTree.Element) -> None:
    one = case(root, "web1", "host.time_sync")
    assert len(one) == 0 and not one.text


def test_time_has_no_zone_and_is_utc(root: ElementTree.Element) -> None:
    assert root[0].get("timestamp") == "2026-11-21T06:30:02"


@given(st.text(st.characters(exclude_categories=("Cs",))), st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_of_a_host_is_valid_xml(name: str, reason: str) -> None:
    results = [fleet.result("limits.nofile_effective", status, reason, subject=name, evidence=(reason,)).as_dict()
               for status in ("fail", "unknown", "notapplicable", "pass")]
    host = {"format": 1, "name": name, "reachable": True, "verdict": "not_ready", "results": results}
    root = parse(model.build(fleet.run([name]), [host], fleet.CATALOGUE))
    assert len(root[0].findall("testcase")) == 4
