# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import hostdoc, runtimes
from ansible_collections.goready.preflight.plugins.plugin_utils.report import (
    html, json_report, markdown, model, runtime, store, terminal,
)
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet, inside
from ansible_collections.goready.preflight.tests.unit.plugins.plugin_utils.report.test_html import Page
from ansible_collections.goready.preflight.tests.unit.plugins.plugin_utils.report.test_schema import SCHEMA, errors, strict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EVIL = "</script><script>alert(1)</script><!-- \u2028 & \"'` \x1b[31m {{ 7*7 }}"
STRICT = strict(SCHEMA)


def build(hosts: list[dict[str, Any]], baseline: model.Baseline | None = None, **run: Any) -> model.Report:
    return model.build({**fleet.run(one["name"] for one in hosts), **run}, hosts, fleet.CATALOGUE, baseline)


def endpoint_of(report: model.Report, host: int = 0, service: int = 0) -> dict[str, Any]:
    return dict(report.document["hosts"][host]["services"][service]["runtime"]["endpoints"][0])


def condensed(facts: dict[str, Any], results: list[Any] | None = None, gate: str = "high") -> dict[str, Any]:
    host = {"name": "web1", "gate": gate, "results": [one.as_dict() for one in results or []],
            "services": [{"name": facts["service"], "runtime": {"limits": {}, "endpoints": [facts]}}]}
    return dict(runtime.condensed(host, runtime.Shared())["services"][0]["runtime"]["endpoints"][0])


@pytest.fixture(scope="module")
def report() -> model.Report:
    return build([inside.document()])


@pytest.fixture(scope="module")
def leaking(report: model.Report) -> dict[str, Any]:
    return endpoint_of(report)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / fleet.run()["id"]
    inside.write(path, [inside.document("web1"), inside.document("web2", (("api", "healthy"),), phases=("once",))])
    return path


def written(run_dir: Path, baseline: model.Baseline | None = None) -> model.Report:
    run, hosts = model.load(run_dir)
    return model.build(run, hosts, fleet.CATALOGUE, baseline)


# The host's document

@pytest.mark.parametrize(("host", "service", "expected"), [
    ("web1", "api", "run/profiles/web1/api"),
    ("a/b", "api 127.0.0.1:6060", "run/profiles/a%2Fb/api%20127.0.0.1%3A6060"),
    ("..", ".", "run/profiles/%2E./%2E"),
    ("web1", "podman/0123 /../../x", "run/profiles/web1/podman%2F0123%20%2F..%2F..%2Fx"),
    ("web1", "\udcff", "run/profiles/web1/%3F"),
])
def test_profile_dir(host: str, service: str, expected: str) -> None:
    path = hostdoc.profile_dir(Path("run"), host, service)
    assert path.as_posix() == expected
    assert path.relative_to(Path("run/profiles")).parts == tuple(expected.split("/")[2:])


def test_profile_dir_of_a_long_name_is_a_file_name() -> None:
    one, other = (hostdoc.profile_dir(Path("run"), "web1", "x" * 300 + end) for end in "ab")
    assert one != other and len(one.name) < 200


def test_host_document_holds_the_endpoints_by_subject_and_the_limits() -> None:
    first, second = (inside.endpoint(phases=("once",)) for _number in range(2))
    for one in (first, second):
        del one["subject"]
    second["listener"] = {**second["listener"], "port": 6061}
    process = {"pid": 812, "environ": {"GOMEMLIMIT": "192MiB"}, "cgroup": {
        "memory_max": "max", "effective": {"memory_max": {"value": 1 << 30, "path": "/"}}}}
    facts = {"services": {"services": [{"name": "api", "processes": [process]}, {"name": "web", "processes": []}]},
             "runtime": {"endpoints": [first, second]}}
    services = hostdoc.document(name="web1", started="", ended="", duration_ms=1, rules=None, facts=facts, results=(), error=None,
                                reachable=True)["services"]
    assert "runtime" not in services[1]
    assert services[0]["runtime"]["limits"] == {"gomemlimit": 192 << 20, "memory_max": 1 << 30}
    assert [one["subject"] for one in services[0]["runtime"]["endpoints"]] == [
        "api 127.0.0.1:6060", "api 127.0.0.1:6061"] == [one.subject for one in runtimes.endpoints(facts)]


# report.json

def test_schema_knows_all_of_it(report: model.Report) -> None:
    document = json.loads("".join(json_report.render(report)))
    assert document == report.document
    assert errors(STRICT, document) == []


def test_leaking_group_comes_first_and_is_marked(leaking: dict[str, Any]) -> None:
    first, *others = leaking["goroutines"]["groups"]
    assert (first["fingerprint"], first["blamed"], first["leaked"], first["count"]) == (inside.LEAK, True, 680, 680)
    assert (first["counts"], first["minutes"], first["wait"]) == ([40, 200, 360, 520, 680], 16, "chan send")
    assert first["at"] == ["example.org/api/worker.(*Pool).notify.func1", "/src/api/worker/pool.go", 57, "own"]
    assert first["ids"][:3] == [18, 19, 20] and len(first["ids"]) == 680
    assert not any(one["blamed"] or one["leaked"] for one in others)
    assert [one["count"] for one in others] == sorted((one["count"] for one in others), reverse=True)
    assert leaking["goroutines"]["classes"] == {"chan_send": 680, "select": 14, "lock": 14, "io": 37, "timer": 1, "syscall": 1}
    assert leaking["goroutines"]["origins"] == {"own": 703, "dependency": 6, "runtime": 38}


def test_the_place_of_a_group_is_its_innermost_own_frame(leaking: dict[str, Any]) -> None:
    places = {one["class"]: one["at"][0] for one in leaking["goroutines"]["groups"]}
    assert places["lock"] == "example.org/api/store.(*Cache).Get"
    assert places["timer"] == "database/sql.(*DB).connectionOpener"


@pytest.mark.parametrize(("subject", "evidence", "blamed"), [
    pytest.param("api example.org/api/worker.(*Pool).notify.func1", (), {inside.LEAK}, id="by function"),
    pytest.param("api anything", (f"group {inside.LEAK}",), {inside.LEAK}, id="by fingerprint"),
    pytest.param("api net/http.(*conn).serve", (), {"lock"}, id="by a function further out"),
    pytest.param("api example.org/api/worker", (), set(), id="no function of that name"),
    pytest.param("apix example.org/api/worker.(*Pool).notify.func1", (), set(), id="another service"),
    pytest.param("api", (), set(), id="the service itself"),
])
def test_groups_are_blamed_by_the_check_alone(subject: str, evidence: tuple[str, ...], blamed: set[str]) -> None:
    facts = inside.endpoint(phases=("once",))
    facts["takes"][0]["leaks"] = None
    told = [inside._result("goroutines.leaked", "high", "fail", "It leaks.", subject, evidence=evidence)]
    found = {one["class"] if one["class"] == "lock" else one["fingerprint"]
             for one in condensed(facts, told)["goroutines"]["groups"] if one["blamed"]}
    assert found == blamed


def test_the_longest_subject_owns_a_result() -> None:
    one, other = inside.endpoint("api"), inside.endpoint("api 127.0.0.1:6061")
    told = [inside._result("goroutines.leaked", "high", "fail", "It leaks.", "api 127.0.0.1:6061 main.leak")]
    host = {"name": "web1", "gate": "high", "results": [one.as_dict() for one in told],
            "services": [{"name": "api", "runtime": {"limits": {}, "endpoints": [one, other]}}]}
    states = [one["state"] for one in runtime.condensed(host, runtime.Shared())["services"][0]["runtime"]["endpoints"]]
    assert states == ["none", "blocker"]


@pytest.mark.parametrize(("results", "state", "said"), [
    pytest.param([("goroutines.count", "medium", "pass", "93.")], "pass",
                 "Healthy: 747 goroutines, 38.8 MiB of heap in use, GC pauses of at most 1.0 ms; 1 check found nothing wrong.",
                 id="healthy"),
    pytest.param([("goroutines.count", "medium", "fail", "main.x has 9."), ("memory.gc_cpu", "medium", "fail", "Second.")], "warning",
                 "main.x has 9. And 1 more finding.", id="a name keeps its case"),
    pytest.param([("goroutines.count", "medium", "fail", "Less."), ("memory.rss_headroom", "high", "fail", "Blocks.")], "blocker",
                 "Blocks. And 1 more finding.", id="worst first"),
    pytest.param([("memory.heap_growth", "high", "fail", "Heap."), ("goroutines.leaked", "high", "fail", "Leak.")], "blocker",
                 "Leak. And 1 more finding.", id="the leak first"),
    pytest.param([("goroutines.count", "medium", "pass", "93."), ("memory.heap_growth", "high", "unknown", "Too short.")], "unclear",
                 "1 check found nothing wrong, 1 check could not be judged: Too short.", id="not judged"),
    pytest.param([("goroutines.count", "medium", "notapplicable", "None.")], "none",
                 "Measured, and judged by no check: 747 goroutines, 38.8 MiB of heap in use, GC pauses of at most 1.0 ms.", id="nothing"),
    pytest.param([("pprof.bind", "critical", "fail", "Elsewhere.")], "none",
                 "Measured, and judged by no check: 747 goroutines, 38.8 MiB of heap in use, GC pauses of at most 1.0 ms.",
                 id="a finding about something else"),
])
def test_one_sentence(results: list[tuple[str, str, str, str]], state: str, said: str) -> None:
    found = condensed(inside.endpoint(), [inside._result(*one, "api") for one in results])
    assert (found["state"], found["said"]) == (state, said)


def test_a_waived_finding_is_not_wrong_and_not_healthy() -> None:
    waived = inside._result("goroutines.leaked", "high", "fail", "Known.", "api main.leak").as_dict() | {"waived": True}
    host = {**inside.document(services=(("api", "leaking"),)), "results": [waived]}
    found = endpoint_of(build([host]))
    assert (found["state"], found["said"]) == ("waived", "Nothing wrong but what is waived: Known.")


def test_an_endpoint_without_a_take_says_why() -> None:
    found = condensed(inside.closed("auth"))
    assert found["said"] == "No runtime view: GET http://127.0.0.1:6060/debug/pprof/ of auth: 401 Unauthorized."
    assert (found["goroutines"], found["heap"], found["pauses"], found["takes"]) == (None, None, None, [])


def test_sites_are_compared_with_the_last_idle_take(leaking: dict[str, Any]) -> None:
    heap = leaking["heap"]
    assert (heap["take"], heap["compared_with"]) == (4, 2)
    grew = {one["function"]: one["grew_bytes"] for one in heap["sites"]}
    assert grew["example.org/api/worker.(*Pool).notify"] == int(14.7 * inside.MIB) - int(8.9 * inside.MIB)
    assert grew["google.golang.org/grpc/internal/transport.newBufWriter"] == 0


@pytest.mark.parametrize(("phases", "take", "base"), [
    (("once",), 0, None), (("idle",) * 3, 2, 0), (("idle", "load"), 1, 0), (("load", "after"), 1, None),
])
def test_which_takes_are_compared(phases: tuple[str, ...], take: int, base: int | None) -> None:
    heap = condensed(inside.endpoint(phases=phases))["heap"]
    assert (heap["take"], heap["compared_with"]) == (take, base)


def test_what_a_site_held_is_not_known_where_only_the_largest_were_kept() -> None:
    facts = inside.endpoint(phases=("idle", "idle"))
    fill = [{"function": f"main.f{number}", "file": "x.go", "line": number, "inuse_bytes": 10_000_000} for number in range(100)]
    facts["takes"][0]["heap"]["sites"] = fill
    assert condensed(facts)["heap"]["sites"][0]["grew_bytes"] is None
    facts["takes"][0]["heap"]["sites"] = fill[:99]
    first = condensed(facts)["heap"]["sites"][0]
    assert first["grew_bytes"] == first["inuse_bytes"]


def test_pauses_of_all_takes_count_once(leaking: dict[str, Any]) -> None:
    pauses = leaking["pauses"]
    # 120 in the first take; every later one, a minute on, has 15 new ones.
    assert (pauses["count"], pauses["seconds"]) == (180, 716.0)
    sizes = sorted(one for _end, one in pauses["last"])
    assert (pauses["p50_ns"], pauses["p99_ns"], pauses["max_ns"]) == (sizes[89], sizes[178], sizes[179])


@pytest.mark.parametrize(("values", "part", "expected"), [
    ([5], 0.5, 5), ([5], 0.99, 5), ([1, 2], 0.5, 1), ([1, 2, 3], 0.5, 2), (list(range(1, 101)), 0.99, 99), (list(range(1, 100)), 0.99, 99),
    (list(range(1, 101)), 0.5, 50),
])
def test_rank(values: list[int], part: float, expected: int) -> None:
    assert runtime._rank(values, part) == expected


@pytest.mark.parametrize(("buckets", "expected"), [
    ([[1e-5, 50], [1e-4, 99], [None, 100.0]], {"count": 100, "p50_ns": 10_000, "p99_ns": 100_000}),
    ([[1e-5, 0], [None, 7]], {"count": 7, "p50_ns": None, "p99_ns": None}),
    ([[None, 0]], None), ([], None), ("x", None), ([["a", 6], [1e-3, "x"], [[], 3]], None),
])
def test_histogram(buckets: Any, expected: dict[str, Any] | None) -> None:
    take = {"metrics": {"families": {"go_gc_pauses_seconds": {"buckets": buckets}}}}
    assert runtime._histogram(take, "go_gc_pauses_seconds") == expected


def test_profiles_lead_to_what_the_run_keeps(run_dir: Path) -> None:
    (hostdoc.profile_dir(run_dir, "web1", "api") / "heap-load.pb.gz").unlink()
    paths = {one["file"]: one["path"] for one in endpoint_of(written(run_dir))["profiles"]}
    assert paths["heap-idle.pb.gz"] == "profiles/web1/api/heap-idle.pb.gz"
    assert paths["heap-load.pb.gz"] is None


@pytest.mark.parametrize("name", ["../../../run.json", "/etc/passwd", ".", "..", ".hidden", "", "a/b"])
def test_a_file_name_does_not_lead_elsewhere(run_dir: Path, name: str) -> None:
    host = inside.document(services=(("api", "leaking"),))
    host["services"][0]["runtime"]["endpoints"][0]["takes"][0]["profiles"][0]["file"] = name
    assert endpoint_of(build([host], folder=str(run_dir)))["profiles"][0]["path"] is None


def test_of_two_takes_with_one_file_the_later_one_has_it(run_dir: Path) -> None:
    host = inside.document(services=(("api", "leaking"),), phases=("idle", "idle"))
    for take in host["services"][0]["runtime"]["endpoints"][0]["takes"]:
        take["profiles"][0]["file"] = "heap-idle.pb.gz"
    found = [one["path"] for one in endpoint_of(build([host], folder=str(run_dir)))["profiles"] if one["kind"] == "heap"]
    assert found == [None, "profiles/web1/api/heap-idle.pb.gz"]


def test_stacks_of_a_fleet_have_one_budget() -> None:
    facts = inside.endpoint(phases=("once",))
    for number in range(300):
        mark, group = inside.group("io", [[f"main.f{number}", "x.go", number + 1, "own"]] * 2)
        facts["groups"][mark] = group
        facts["takes"][0]["goroutines"]["counts"][mark] = 2
    host = {"name": "web1", "results": [], "services": [{"name": "api", "runtime": {"endpoints": [facts]}}]}
    found = runtime.condensed(host, runtime.Shared(frames=0))["services"][0]["runtime"]["endpoints"][0]["goroutines"]
    kept = [one for one in found["groups"] if one["frames"]]
    assert 0 < sum(len(one["frames"]) for one in kept) <= runtime.FEWEST + 1
    assert found["stacks_left_out"] == len(found["groups"]) - len(kept)
    assert kept[0]["fingerprint"] == inside.LEAK
    assert all(one["at"] for one in found["groups"])


def test_more_groups_than_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "GROUPS", 2)
    found = condensed(inside.endpoint(phases=("once",)))["goroutines"]
    assert [one["count"] for one in found["groups"]] == [40, 24]
    assert found["left_out"] == found["total"] - 64


def test_condensing_twice_changes_nothing(report: model.Report) -> None:
    once = runtime.condensed(inside.document(), runtime.Shared())
    assert runtime.condensed(once, runtime.Shared()) == once
    assert build([once]).document == report.document


def test_condensing_leaves_the_facts_alone() -> None:
    host = inside.document()
    before = copy.deepcopy(host)
    runtime.condensed(host, runtime.Shared())
    assert host == before


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path, *(one for key, item in value.items() for one in _paths(item, (*path, key)))]
    if isinstance(value, list):
        return [path, *(one for number, item in enumerate(value[:3]) for one in _paths(item, (*path, number)))]
    return [path]


PLACES = [path for path in _paths(inside.endpoint(phases=("idle", "after"))) if path and path not in (("service",), ("subject",))]
ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=3),
                st.dictionaries(st.text(max_size=4), st.integers(), max_size=3), st.sampled_from([EVIL, -1, 1e300, [[]], [{}], {"a": []}]))


@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_facts_break_a_report(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    host = inside.document(services=(("api", "leaking"),), phases=("idle", "after"))
    facts = host["services"][0]["runtime"]["endpoints"][0]
    for path, value in changes:
        target = facts
        for step in path[:-1]:
            try:
                target = target[step]
            except (KeyError, IndexError, TypeError):
                break
        else:
            if isinstance(target, dict) or (isinstance(target, list) and isinstance(path[-1], int) and path[-1] < len(target)):
                target[path[-1]] = value
    odd = build([host], build_baseline())
    document = json.loads("".join(json_report.render(odd)), parse_constant=pytest.fail)
    assert errors(STRICT, document) == []
    Page("".join(html.render(odd)))


def build_baseline() -> model.Baseline:
    earlier = runtime.condensed(inside.document(), runtime.Shared())
    endpoints = earlier["services"][0]["runtime"]["endpoints"]
    return model.Baseline("before", "", {"web1": {}}, {("web1", one["subject"]): runtime._before(one) for one in endpoints})


# Since the baseline

def baseline_of(tmp_path: Path, hosts: list[dict[str, Any]]) -> model.Baseline:
    path = tmp_path / "before.json"
    path.write_text("".join(json_report.render(build(hosts))), "utf-8")
    return model.read_baseline(path)


def test_what_grew_since_the_baseline(tmp_path: Path) -> None:
    before = inside.document(services=(("api", "healthy"), ("billing", "healthy")))
    now = build([inside.document(services=(("api", "leaking"), ("billing", "healthy")))], baseline_of(tmp_path, [before]))
    grown, same = now.document["delta"]["runtime"]
    assert (grown["service"], grown["goroutines"]["before"], grown["goroutines"]["after"]) == ("api", 42, 93)
    first = grown["goroutines"]["groups"][0]
    assert (first["fingerprint"], first["before"], first["after"]) == (inside.LEAK, 0, 40)
    assert same["goroutines"] == {"before": 42, "after": 42, "groups": []}
    assert grown["heap_inuse"] == {"before": 18 * inside.MIB, "after": 18 * inside.MIB}
    assert errors(STRICT, json.loads("".join(json_report.render(now)))) == []
    page = Page("".join(html.render(now))).words
    assert "Since the baseline 1 service" in page and "api on web1" in page and "42 → 93" in page
    assert "+40 channel send in example.org/api/worker.(*Pool).notify.func1 pool.go:57" in page


def test_a_new_build_moves_lines_and_nothing_else(tmp_path: Path) -> None:
    moved = inside.document(services=(("api", "leaking"),), phases=("once",))
    facts = moved["services"][0]["runtime"]["endpoints"][0]
    group = copy.deepcopy(facts["groups"].pop(inside.LEAK))
    group["frames"][0][2] += 3
    facts["groups"]["feedfeedfeedfeed"] = group
    counts = facts["takes"][0]["goroutines"]["counts"]
    counts["feedfeedfeedfeed"] = counts.pop(inside.LEAK) + 5
    before = baseline_of(tmp_path, [inside.document(services=(("api", "leaking"),), phases=("once",))])
    entry = build([moved], before).document["delta"]["runtime"][0]
    assert [(one["fingerprint"], one["before"], one["after"]) for one in entry["goroutines"]["groups"]] == [("feedfeedfeedfeed", 40, 45)]


def test_another_version_of_go_is_not_compared(tmp_path: Path) -> None:
    before = inside.document(services=(("api", "healthy"),))
    before["services"][0]["runtime"]["endpoints"][0]["go_version"] = "go1.26.4"
    now = build([inside.document(services=(("api", "leaking"),))], baseline_of(tmp_path, [before]))
    entry = now.document["delta"]["runtime"][0]
    assert (entry["compared"], entry["goroutines"], entry["heap_inuse"]) == (False, None, None)
    assert "Not compared: built with go1.26.4 then and go1.27.3 now" in Page("".join(html.render(now))).words


def test_another_service_or_host_is_not_compared(tmp_path: Path) -> None:
    before = baseline_of(tmp_path, [inside.document("web1", (("api", "healthy"),)), inside.document("web2", (("other", "healthy"),))])
    now = build([inside.document("web2", (("api", "leaking"),))], before)
    assert "runtime" not in now.document["delta"]


def test_a_baseline_keeps_only_what_a_comparison_needs(tmp_path: Path) -> None:
    held = baseline_of(tmp_path, [inside.document()]).inside
    assert set(held) == {("web1", "api"), ("web1", "billing"), ("web1", "auth")}
    one = held["web1", "api"]
    assert (one.go_version, one.goroutines, one.heap_inuse) == ("go1.27.3", 93, 18 * inside.MIB)
    assert {mark: number for mark, number, _key in one.groups}[inside.LEAK] == 40


@pytest.mark.parametrize("part", [
    None, 3, "x", [], {"endpoints": 1}, {"endpoints": [None, 3, {"subject": "api"}]},
    {"endpoints": [{"subject": "api", "takes": {}, "go_version": 3, "goroutines": {"groups": [1, None]}}]},
    {"endpoints": [{"subject": [], "takes": [1, {"phase": "once", "goroutines": "x"}], "go_version": None, "goroutines": 5}]},
    {"endpoints": [{"subject": "api", "go_version": "x", "takes": [{"phase": "once", "goroutines": 3}], "goroutines": {
        "groups": [{"fingerprint": 1, "counts": "x", "frames": []}, {"fingerprint": "a", "counts": [1]}]}}]},
])
def test_an_odd_baseline_is_read(tmp_path: Path, part: Any) -> None:
    document = json.loads("".join(json_report.render(build([inside.document(services=(("api", "healthy"),))]))))
    document["hosts"][0]["services"][0]["runtime"] = part
    path = tmp_path / "before.json"
    path.write_text(json.dumps(document), "utf-8")
    build([inside.document()], model.read_baseline(path))


# The page

def test_page_says_it_first_and_then_the_rest(report: model.Report) -> None:
    page = Page("".join(html.render(report)))
    for words in (
        "Inside the running services 3", "example.org/api/worker.(*Pool).notify.func1 leaks goroutines: 680 of them",
        "And 1 more finding.", "api on web1 · go1.27.3 · 127.0.0.1:6060 · 5 takes over 4 min", "40 → 200 → 360 → 520 → 680",
        "leaks 680 in the leak profile",
        "created by example.org/api/worker.(*Pool).notify pool.go:55", "16 min", "18, 19, 20, 21 and 676 more",
        "Own code 703", "Dependencies 6", "Runtime and standard library 38", "The runtime's own leak profile names 680 leaked goroutines",
        "HeapInuse 38.8 MiB", "MemoryMax 1.0 GiB, far above", "GOMEMLIMIT 192 MiB", "+5.8 MiB", "180 pauses over 11 min 56 s",
        "of waiting in 8,112 contentions since the start; one of 100 is recorded", "it is off, or nothing blocked",
        "The profile is off (runtime.SetMutexProfileFraction was not called)", "GET /metrics: 404",
        "Healthy: 54 goroutines", "pprof of auth asks for a password: 401.",
    ):
        assert words in page.words, words


def test_page_of_one_take_has_readings_and_no_chart() -> None:
    words = Page("".join(html.render(build([inside.document(services=(("api", "healthy"),), phases=("once",))])))).words
    assert "HeapInuse 18.0 MiB" in words and "Next GC at 30.6 MiB" in words
    assert "over the takes" not in words


def test_what_was_never_asked_is_told_once() -> None:
    facts = inside.endpoint(phases=("idle", "idle"))
    for take in facts["takes"]:
        take["skipped"] = [{"kind": kind, "reason": "switched off"} for kind in ("cpu", "heap", "allocs")]
    facts["takes"][1]["asked"] = []
    host = inside.document(services=(("api", "leaking"),))
    host["services"][0]["runtime"]["endpoints"] = [facts]
    report = build([host])
    assert report.inside.views[0].skipped == (("switched off", ("cpu", "allocs")),)
    assert "Not asked: cpu, allocs (switched off)" in Page("".join(html.render(report))).words


def test_takes_that_asked_for_goroutines_alone_make_no_chart() -> None:
    host = inside.document(services=(("api", "healthy"),), phases=("idle", "idle", "idle"))
    for take in host["services"][0]["runtime"]["endpoints"][0]["takes"][1:]:
        take["memory"] = take["heap"] = None
    report = build([host])
    assert report.inside.views[0].chart is None
    assert "HeapInuse 18.0 MiB" in Page("".join(html.render(report))).words


def test_every_leaking_group_has_a_row_and_one_that_is_gone_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "PAGE_GROUPS", 1)
    facts = inside.endpoint(phases=("idle", "idle"))
    marks = list(facts["groups"])
    facts["takes"][1]["goroutines"]["counts"].pop(marks[6])
    facts["takes"][1]["leaks"]["counts"] = {inside.LEAK: 9, marks[1]: 2, marks[5]: 3}
    host = inside.document(services=(("api", "leaking"),))
    host["services"][0]["runtime"]["endpoints"] = [facts]
    view = build([host]).inside.views[0]
    assert {one["fingerprint"] for one in view.groups} == {inside.LEAK, marks[1], marks[5]}
    assert view.more_groups == len(marks) - 4


def test_page_without_a_runtime_view_has_nothing_of_it() -> None:
    page = "".join(html.render(build(fleet.documents())))
    for word in ('id="runtime"', "#runtime", "goroutine", "plain-scroll", "--s1", "flame", "service-"):
        assert word not in page, word


def test_links_of_the_page_lead_somewhere(run_dir: Path, tmp_path: Path) -> None:
    report_dir = tmp_path / "of the\u00e4 report"
    paths = store.write(written(run_dir), ["html"], report_dir, run_dir)
    page = Page(paths["html"].read_text("utf-8"))
    ids = {one["id"] for _tag, one in page.elements if one.get("id")}
    files = [one["href"] for tag, one in page.elements if tag == "a" and one.get("href") and not one["href"].startswith("#")]
    assert "../runs/20261121T063000Z-7f3a9c/profiles/web1/api/heap-idle.pb.gz" in files
    for one in files:
        assert (report_dir / one).is_file(), one
    for _tag, one in page.elements:
        for name in ("href", "aria-labelledby"):
            for target in (one.get(name) or "").split() if name != "href" else [one.get("href") or ""]:
                if target.startswith("#") or name != "href":
                    assert target.lstrip("#") in ids, target
    assert "go tool pprof -http=: ../runs/20261121T063000Z-7f3a9c/profiles/web1/api/heap-after.pb.gz" in page.words
    assert ("go tool pprof -http=: -diff_base=../runs/20261121T063000Z-7f3a9c/profiles/web1/api/heap-idle-2.pb.gz "
            "../runs/20261121T063000Z-7f3a9c/profiles/web1/api/heap-after.pb.gz") in page.words


def test_policy_allows_the_style_and_the_script_of_this_page(run_dir: Path) -> None:
    page = Page("".join(html.render(written(run_dir))))
    policy = next(one["content"] for tag, one in page.elements if tag == "meta" and one.get("http-equiv")) or ""
    for kind, code in (("style", page.raw["style"][0]), ("script", page.raw["script"][-1])):
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" in policy
    assert not any(name == "style" or name.startswith("on") for _tag, one in page.elements for name in one)
    assert not re.search(r"url\(|@import", page.raw["style"][0])
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|innerHTML|insertAdjacentHTML|document\.write|eval\(", page.raw["script"][-1])


def test_text_of_a_host_is_text(tmp_path: Path) -> None:
    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoil(item) for key, item in value.items()}
        if isinstance(value, list):
            return [spoil(item) for item in value]
        return f"{value}{EVIL}" if isinstance(value, str) and value not in ("own", "std", "runtime", "dependency", *runtime.CLASS_WORDS,
                                                                            *runtime.PHASES) else value

    host = inside.document(EVIL, services=(("api", "leaking"),))
    facts = host["services"][0]["runtime"]["endpoints"][0] = {
        **spoil(inside.endpoint()), "subject": "api", "restarted": EVIL, "interrupted": {"kind": EVIL, "message": EVIL}}
    inside.write(tmp_path / "run", [])
    names = [one["file"] for take in facts["takes"] for one in take["profiles"]]
    report = model.build({**fleet.run([EVIL]), "folder": str(tmp_path / "run")}, [host], fleet.CATALOGUE)
    page = Page("".join(html.render(report)))
    assert sum(tag == "script" for tag, _one in page.elements) == 2 and "<" not in page.raw["script"][0]
    assert len(names) == 11 and "\x1b" not in "".join(page.text)
    # The restart, the failed take, and the names of functions are there as they are; controls are visible.
    assert page.words.count("alert(1)") > 50
    assert "{{ 7*7 }}" in page.words and f"replaced {7 * 7}" not in page.words


def test_a_reason_of_a_host_is_text_in_markdown_and_in_a_terminal() -> None:
    host = inside.document(services=(("api", "leaking"),))
    host["results"] = [inside._result("goroutines.leaked", "high", "fail", f"It leaks {EVIL}", "api main.leak").as_dict()]
    report = build([host])
    line = next(one for one in "".join(markdown.render(report)).splitlines() if one.startswith("- ❌"))
    said = "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!-- \ufffd &amp; \"'\\` ␛\\[31m"
    assert line.startswith(f"- ❌ `api` on `web1`: It leaks {said}")
    assert "␛[31m" in terminal.render(report, {}) and "\x1b" not in terminal.render(report, {})


def test_a_large_fleet_is_told_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [inside.document(f"web{number}", (("api", "leaking" if number == 250 else "healthy"),), phases=("once",))
             for number in range(260)]
    overview = build(hosts).inside
    assert (len(overview.views), overview.more) == (runtime.LINES, 60)
    assert overview.views[0].host == "web250"
    assert [one.shown for one in overview.views] == [True] * runtime.PARTS + [False] * (runtime.LINES - runtime.PARTS)
    assert overview.counts == {"blocker": 1, "pass": 259}
    page = Page("".join(html.render(build(hosts))))
    assert "and 60 more services that less is wrong with: report.json holds them" in page.words


@pytest.mark.parametrize(("spots", "labelled"), [
    pytest.param([4, 96], [4, 96], id="two"),
    pytest.param([4, 50, 96], [4, 50, 96], id="three with room"),
    pytest.param([4, 8, 50, 90, 96], [4, 50, 96], id="beside the first and the last"),
    pytest.param([4 + 92 * number / 18 for number in range(19)], [4, 14.2, 24.4, 34.7, 44.9, 55.1, 65.3, 75.6, 85.8, 96],
                 id="deep with a load"),
])
def test_words_below_the_chart_do_not_touch(spots: list[float], labelled: list[float]) -> None:
    assert [round(spot, 1) for spot, _word in runtime._apart(tuple((spot, "4 min 30 s") for spot in spots))] == labelled


def test_chart_stays_inside_its_area(report: model.Report) -> None:
    chart = report.inside.views[0].chart
    assert chart is not None
    assert [one.key for one in chart.series] == ["heap_alloc", "heap_inuse", "heap_sys", "rss"]
    for line in chart.series:
        assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in line.points)
    assert list(chart.bands) == [
        ("idle", 0.0, 61.5), ("load", 61.5, 23.0), ("after", 84.5, 15.5)]
    assert [label for _y, label in chart.grid] == ["0", "50 MiB", "100 MiB", "150 MiB", "200 MiB"]
    assert ([label for label, _value, _y in chart.limits], chart.far) == (["GOMEMLIMIT"], (("MemoryMax", "1.0 GiB"),))
    inuse = next(one for one in chart.series if one.key == "heap_inuse")
    # 38.75 MiB of the 200 MiB that the chart is high.
    assert inuse.points[-1][1] == pytest.approx(100 - 100 * 38.76 / 200, abs=0.1)
    assert chart.rows[3] == ("under load", "3 min", "66.6 MiB", "77.5 MiB", "96.0 MiB", "173 MiB")


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=2, max_size=9))
def test_takes_are_drawn_in_their_order(seconds: list[float | None]) -> None:
    spots = runtime._spots(seconds)
    assert len(spots) == len(seconds) and spots == sorted(set(spots)) and spots[0] == 4 and spots[-1] == 96


@given(st.floats(1, 1e15))
def test_scale_has_few_lines_and_room(highest: float) -> None:
    step, top = runtime._scale(highest)
    assert top >= highest and 1 <= top / step <= 6


@pytest.mark.parametrize(("value", "words"), [
    (None, "–"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (12_992_348, "12.4 MiB"), (-3 << 20, "-3.0 MiB"), (300 << 20, "300 MiB"),
    (5 << 40, "5.0 TiB"),
])
def test_size(value: int | None, words: str) -> None:
    assert runtime.size(value) == words


@pytest.mark.parametrize(("value", "words"), [
    (None, "–"), (850, "850 ns"), (42_000, "42.0 µs"), (1_300_000, "1.3 ms"), (2_100_000_000, "2.1 s"), (90_200_000_000, "1 min 30 s"),
])
def test_span(value: int | None, words: str) -> None:
    assert runtime.span(value) == words


@pytest.mark.parametrize(("name", "parts"), [
    ("main.main", ("", "main.main")),
    ("example.org/api/worker.(*Pool).run", ("example.org/api/", "worker.(*Pool).run")),
    ("slices.SortFunc[go.shape.[]example.org/x.T]", ("", "slices.SortFunc[go.shape.[]example.org/x.T]")),
    ("", ("", "")),
])
def test_function(name: str, parts: tuple[str, str]) -> None:
    assert runtime.function(name) == parts


# Flame graphs

def test_flame_graphs_of_what_the_run_keeps(run_dir: Path) -> None:
    report = written(run_dir)
    flames = runtime.flames(report.inside)
    assert [title for title, _number in flames.of[1]] == [
        "CPU time, under load", "Heap in use, after load", "Goroutines, after load", "Heap in use, idle against after load"]
    graphs = [json.loads(one) for one in flames.graphs]
    by_title = {title: graphs[number] for title, number in flames.of[1]}
    heap = {one["file"]: one for one in report.inside.views[0].endpoint["profiles"]}
    assert by_title["Goroutines, after load"]["total"] == heap["goroutine-after.pb.gz"]["totals"]["goroutine"] == 747
    sites = report.inside.views[0].endpoint["heap"]["sites"]
    assert by_title["Heap in use, after load"]["total"] == sum(one["inuse_bytes"] for one in sites)
    changed = by_title["Heap in use, idle against after load"]
    assert changed["total"] - changed["before"] == sum(one["grew_bytes"] for one in sites)
    page = Page("".join(html.render(report)))
    figures = [one["data-flame"] for tag, one in page.elements if tag == "figure" and one.get("class") == "flame"]
    assert figures == [str(number) for number in range(len(graphs))]
    assert json.loads(page.raw["script"][0]) == graphs


def test_flame_graphs_have_a_budget_and_say_so(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = written(run_dir)
    monkeypatch.setattr(runtime, "FLAME_BYTES", sum(map(len, runtime.flames(report.inside).graphs[:5])) + 200)
    flames = runtime.flames(report.inside)
    assert sum(len(one.encode()) for one in flames.graphs) <= runtime.FLAME_BYTES
    assert len(flames.of[1]) == 4
    assert flames.left_out == ("api on web2 (in part)", "billing on web1")
    assert "There was no room for the flame graphs of api on web2 (in part), billing on web1." in Page("".join(html.render(report))).words


@pytest.mark.parametrize(("content", "words"), [
    (b"<html>", "heap-after.pb.gz: "), (b"", "heap-after.pb.gz: the profile is empty"), (b"\x1f\x8b\x00", "heap-after.pb.gz: "),
])
def test_a_broken_profile_is_named(run_dir: Path, content: bytes, words: str) -> None:
    (hostdoc.profile_dir(run_dir, "web1", "api") / "heap-after.pb.gz").write_bytes(content)
    report = written(run_dir)
    failed = runtime.flames(report.inside).failed[1]
    assert len(failed) == 1 and failed[0].startswith(words)
    assert "Not drawn: heap-after.pb.gz" in Page("".join(html.render(report))).words


def test_a_huge_profile_is_not_read(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "FLAME_FILE", 100)
    assert runtime.flames(written(run_dir).inside).failed[1][0].endswith(": it is larger than 100 B")


# The others

def test_markdown_and_terminal_have_a_line_a_service(report: model.Report) -> None:
    words = "".join(markdown.render(report))
    assert "### Inside the services\n\n- ❌ `api` on `web1`: example.org/api/worker.(\\*Pool).notify.func1 leaks goroutines" in words
    assert "billing" not in words.split("### Inside the services")[1].split("###")[0]
    lines = terminal.render(report, {"html": "report.html"}).splitlines()
    at = lines.index("Inside the services")
    assert lines[at + 1].startswith("  api on web1  example.org/api/worker.(*Pool).notify.func1 leaks goroutines")
    assert len(lines) <= terminal.LINES and all(len(line) <= terminal.COLUMNS for line in lines)


def test_markdown_and_terminal_say_nothing_of_healthy_services() -> None:
    healthy = build([inside.document(services=(("api", "healthy"),))])
    assert "Inside the services" not in "".join(markdown.render(healthy)) + terminal.render(healthy, {})


def test_the_state_before_a_remediation_is_read_without_its_takes(tmp_path: Path) -> None:
    parts = fleet.remediation()
    one = inside.document(parts["before"][0]["name"])
    parts["before"][0]["services"] = one["services"]
    run, _hosts = model.load(fleet.write_remediation(tmp_path / "run", parts))
    assert "takes" not in json.dumps(run["remediation"], default=str)


def test_a_run_with_profiles_is_cleared_away(tmp_path: Path, run_dir: Path) -> None:
    store.write(written(run_dir), ["json"], tmp_path, run_dir)
    newer = run_dir.parent / "20261122T063000Z-000000"
    inside.write(newer, [inside.document()], {**fleet.run(["web1"]), "id": newer.name, "started": "2026-11-22T06:30:00+00:00"})
    assert store.prune(newer, 1) == [run_dir]
