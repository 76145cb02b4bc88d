# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module proxies answered, judged: fixtures/proxies/recorded.json."""
from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import engine

HOST = "modules.corp.example:8081"
FINE = "example.org/fine@v1.1.0"
INFO = "example.org/fine/@v/v1.1.0.info"
SUM = "h1:lCAb3GflcqYY9ERuH5zLUIyEH3ui7VLu9kS1NIAAMko="
OTHER = "h1:mcKNrC6n63kqEktFUTyZGY1UbHHskN1Ff2BI03fBB4c="
NOTHING = "its bytes were compared with nothing (no checksum database answered, and no other proxy has the module)"
DOWNLOADED = "its bytes are those that go downloaded, and no checksum database answered for them"
NOT_ASKED = ("No module proxy was asked: https://proxy.golang.org: only go's own default names it, and nothing says that modules are "
             "fetched here (preflight_proxy: {modules: [...]} or preflight_toolchain: required).")

Load = Callable[[str], dict[str, Any]]
Judge = Callable[..., dict[str, engine.Result]]


@pytest.fixture
def load(recorded: Callable[..., dict[str, Any]]) -> Load:
    """The document of modules/good.json with one of the recorded answers."""
    def document(case: str) -> dict[str, Any]:
        facts = recorded("modules/good.json")
        facts["proxies"] = copy.deepcopy(recorded("proxies/recorded.json")[case])
        return facts

    return document


def row(check: str, case: str, status: str, subject: str, reason: str, severity: str = "", **options: Any) -> Any:
    return pytest.param(f"modules.{check}", case, status, subject, reason, severity, options, id=f"{check}: {case} {subject}")


@pytest.mark.parametrize(("check", "case", "status", "subject", "reason", "severity", "options"), [
    row("proxy_reachable", "good", "pass", f"{HOST}/good",
        f"http://{HOST}/good answers in the protocol, and its bytes are those that sum.lab.example has."),
    row("proxy_reachable", "good", "pass", "sum.lab.example",
        f"The checksum database sum.lab.example answers (through http://{HOST}/good/sumdb/sum.lab.example)."),
    row("proxy_reachable", "stops", "fail", f"{HOST}/500", f"http://{HOST}/500 answers 500 ({INFO}), and behind `,` go stops there."),
    row("proxy_reachable", "stops", "pass", f"{HOST}/good", f"http://{HOST}/good answers in the protocol; {NOTHING}."),
    row("proxy_reachable", "goes_on", "fail", f"{HOST}/500",
        f"http://{HOST}/500 answers 500 ({INFO}), and go goes on to http://{HOST}/good.",
        "medium"),
    row("proxy_reachable", "not_found", "pass", f"{HOST}/404",
        f"http://{HOST}/404 answers 404 ({INFO}), and go goes on to http://{HOST}/good."),
    row("proxy_reachable", "gone", "fail", f"{HOST}/410", f"http://{HOST}/410 answers 410 ({INFO}), and go has nobody else "
        "to ask; wanted is a proxy that has the module."),
    row("proxy_reachable", "login", "fail", f"{HOST}/login",
        f"http://{HOST}/login answers 200 with a page of HTML or XML, as a login page does ({INFO}), and behind `,` go stops there."),
    row("proxy_reachable", "wrong", "fail", f"{HOST}/wrong", f"http://{HOST}/wrong gives other bytes than sum.lab.example, and go refuses "
        f"them: the zip of {FINE} is {OTHER}, there {SUM}."),
    row("proxy_reachable", "two", "fail", f"{HOST}/wrong", f"http://{HOST}/wrong gives other bytes than http://{HOST}/bare, which go would "
        f"not notice: the zip of {FINE} is {OTHER}, there {SUM}."),
    row("proxy_reachable", "two", "pass", f"{HOST}/bare", f"http://{HOST}/bare answers in the protocol; {DOWNLOADED}."),
    row("proxy_reachable", "refused", "fail", "modules.corp.example:9",
        "http://modules.corp.example:9: connection refused, and behind `,` go stops there."),
    row("proxy_reachable", "cut", "fail", f"{HOST}/cut",
        f"http://{HOST}/cut: the connection ended inside the response's body ({INFO}), and go has nobody else to ask."),
    row("proxy_reachable", "nozip", "fail", f"{HOST}/503zip",
        f"http://{HOST}/503zip answers 503 (example.org/fine/@v/v1.1.0.zip), and go has nobody else to ask."),
    row("proxy_reachable", "forbidden", "unknown", f"{HOST}/403",
        f"http://{HOST}/403 answers 403 to golang.org/x/text/@v/list, which may be "
        "its rule for modules that are not on a list; preflight_proxy: {modules: [path@version]} says which you need."),
    row("proxy_reachable", "undeclared", "pass", f"{HOST}/404",
        f"http://{HOST}/404 answers 404 (golang.org/x/text/@v/list), and go goes on to "
        "direct; which modules it has is not known (preflight_proxy: {modules: [path@version]} says which matter)."),
    row("proxy_reachable", "implicit", "notapplicable", "", NOT_ASKED),
    row("proxy_reachable", "off", "notapplicable", "", "No module proxy was asked: off: go fetches nothing."),
    row("proxy_reachable", "direct", "notapplicable", "", "No module proxy was asked: direct: version control is not asked from here."),
    row("proxy_reachable", "folder", "pass", "/srv/modules/good", "file:///srv/modules/good answers in the protocol."),

    row("proxy_latency", "slow", "fail", f"{HOST}/slow",
        f"The 95th percentile of http://{HOST}/slow is 3326.1 ms in 10 requests, 10 at once; wanted is at most 200 ms."),
    row("proxy_latency", "slow", "pass", f"{HOST}/slow",
        f"The 95th percentile of http://{HOST}/slow is 3326.1 ms in 10 requests, 10 at once.",
        thresholds={"p95_ms": 4000}),
    row("proxy_latency", "refused", "notapplicable", "modules.corp.example:9",
        "http://modules.corp.example:9: connection refused: modules.proxy_reachable says so."),
    row("proxy_latency", "folder", "notapplicable", "/srv/modules/good",
        "file:///srv/modules/good is a folder: nothing is asked over the network."),
    row("proxy_latency", "implicit", "notapplicable", "", NOT_ASKED),
    row("proxy_errors", "good", "pass", f"{HOST}/good", f"http://{HOST}/good answered 10 of 10 requests, 10 at once."),
    row("proxy_errors", "implicit", "notapplicable", "", NOT_ASKED),

    row("download", "wrong", "fail", FINE, f"go mod download {FINE} failed: {FINE}: verifying module: checksum mismatch."),
    row("download", "stops", "fail", FINE,
        f"go mod download {FINE} failed: {FINE}: reading http://{HOST}/500/{INFO}: 500 Internal Server Error."),
    row("download", "direct", "unknown", FINE,
        f"{FINE} was not downloaded: GOPROXY=direct: go would ask version control, which is not done from here."),
    row("download", "off", "notapplicable", FINE, f"{FINE}: GOPROXY=off: go fetches nothing."),
    row("download", "implicit", "notapplicable", "",
        "No module is declared: preflight_proxy: {modules: [path@version]} says which is to be downloaded."),
    row("download", "private", "unknown", "git.corp.example/team/secret@v0.1.0",
        "git.corp.example/team/secret@v0.1.0 was not downloaded: it is "
        "private (preflight_proxy), and go would tell https://proxy.golang.org about it: modules.private_leak."),

    row("fallback", "stops", "fail", f"{HOST}/500",
        f"http://{HOST}/500 answers 500 ({INFO}), and behind `,` go stops there, although http://{HOST}/good behind it answers."),
    row("fallback", "goes_on", "pass", f"{HOST}/500",
        f"http://{HOST}/500 answers 500 ({INFO}), and go goes on to http://{HOST}/good, which answers."),
    row("fallback", "not_found", "pass", f"{HOST}/404",
        f"http://{HOST}/404 answers 404 ({INFO}), and go goes on to http://{HOST}/good, which answers."),
    row("fallback", "good", "pass", "", "Every entry of GOPROXY is reached, and none passes by a proxy of one's own."),
    row("private_leak", "private", "fail", "/usr/local/go/go.env", "GOPROXY=https://proxy.golang.org,direct tells proxy.golang.org about "
        "git.corp.example/* (preflight_proxy), and GONOPROXY is not set; that counts for login shell of deploy, "
        "non-login shell of deploy."),
    row("private_leak", "good", "notapplicable", "",
        "Nothing says that private modules are built here; the threshold `private` names them."),
])
def test_judgement(load: Load, judge: Judge, check: str, case: str, status: str, subject: str, reason: str, severity: str,
                   options: dict[str, Any]) -> None:
    results = judge(check, load(case), profile="deep", **options)
    assert subject in results, sorted(results)
    result = results[subject]
    assert (result.status, result.reason) == (status, reason)
    if severity:
        assert result.severity == severity


@pytest.mark.parametrize("check", ["proxy_reachable", "proxy_latency", "proxy_errors", "fallback"])
@pytest.mark.parametrize("case", ["good", "stops", "refused"])
def test_a_hidden_password_breaks_no_check(load: Load, judge: Judge, check: str, case: str) -> None:
    """The brackets of ``[redacted]`` are not those of an IPv6 address. The subject is that of the URL without it."""
    plain, hidden = load(case), load(case)
    for entry in hidden["proxies"]["chains"][0]["entries"]:
        entry["url"] = entry["url"].replace("://", "://build:[redacted]@")
    expected = judge(f"modules.{check}", plain, profile="deep")
    assert {subject: one.status for subject, one in judge(f"modules.{check}", hidden, profile="deep").items()} == {
        subject: one.status for subject, one in expected.items()}


def test_a_hidden_password_of_a_git_address_breaks_no_check(recorded: Callable[..., dict[str, Any]], judge: Judge) -> None:
    facts = recorded("modules/good.json")
    facts["modules"]["git"] = [{"user": "root", "where": "/root/.gitconfig:2", "url": "ssh://git@git.corp.example/",
                                "instead_of": "https://bot:[redacted]@git.corp.example/"}]
    (result,) = judge("modules.private_leak", facts).values()
    assert (result.status, result.reason) == ("pass", "Nothing public is asked about git.corp.example.")


def test_a_good_download(load: Load, judge: Judge) -> None:
    result = judge("modules.download", load("good"), profile="deep")[FINE]
    assert result.status == "pass" and result.actual == SUM and result.reason.endswith(f"its hash is {SUM}.")


def test_a_module_that_wants_a_newer_go_was_downloaded(load: Load, judge: Judge) -> None:
    facts = load("good")
    (document,) = facts["proxies"]["downloads"]
    document.update(rc=1, output=[f"{FINE} requires go >= 1.27.0 (running go 1.22.10; GOTOOLCHAIN=local)"])
    result = judge("modules.download", facts, profile="deep")[FINE]
    assert (result.status, result.reason) == ("pass", (
        f"go mod download {FINE} took {document['seconds']} s; its hash is {SUM}, and it wants go 1.27.0 to be built with."))
    document["sum"] = None
    assert judge("modules.download", facts, profile="deep")[FINE].status == "fail"


def test_a_proxy_that_gives_now_this_now_that(load: Load, judge: Judge) -> None:
    facts = load("good")
    facts["proxies"]["chains"][0]["sumdb"] = None
    facts["proxies"]["downloads"][0]["sum"] = OTHER
    result = judge("modules.download", facts, profile="deep")[FINE]
    assert (result.status, result.reason) == ("fail", (
        f"go mod download {FINE} gave {OTHER}, and the same proxies gave {SUM} just before: what they give is not always the same."))
    (entry,) = facts["proxies"]["chains"][0]["entries"]
    second = dict(copy.deepcopy(entry), hashes=[])
    facts["proxies"]["chains"][0]["entries"].append(second)  # its zip was too large to be hashed: go may have got it there
    assert judge("modules.download", facts, profile="deep")[FINE].status == "pass"
    next(one for one in second["requests"] if one["what"] == "zip").update(status=404, outcome="not_found")
    assert judge("modules.download", facts, profile="deep")[FINE].status == "fail"
    facts["proxies"]["chains"][0]["value"] = "https://other.example"
    assert judge("modules.download", facts, profile="deep")[FINE].status == "pass"


def test_a_public_database_with_its_key_is_told_about_private_modules_too(load: Load, judge: Judge) -> None:
    facts = load("private")
    for entry in facts["modules"]["settings"]:
        entry["values"]["GOPROXY"] = dict(entry["values"]["GOPROXY"], value="https://proxy.corp.example")
        entry["values"]["GOSUMDB"] = dict(entry["values"]["GOSUMDB"],
                                          value="sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
    reasons = [one.reason for one in judge("modules.private_leak", facts, profile="deep").values() if one.status == "fail"]
    assert len(reasons) == 1 and "tells sum.golang.org about git.corp.example/*" in reasons[0]


def test_errors_of_a_load(load: Load, judge: Judge) -> None:
    facts = load("flaky")
    (result,) = judge("modules.proxy_errors", facts, profile="deep").values()
    number = sum(facts["proxies"]["chains"][0]["entries"][0]["load"]["errors"].values())
    assert result.status == "fail" and result.reason == (
        f"http://{HOST}/flaky failed {number} of 10 requests ({number} with status 503), {number * 10.0} %; wanted is at most 0 %.")
    (result,) = judge("modules.proxy_errors", facts, profile="deep", thresholds={"percent": 95.0}).values()
    assert result.status == "pass"


def test_one_slow_answer_of_ten_is_none(load: Load, judge: Judge) -> None:
    facts = load("good")
    facts["proxies"]["chains"][0]["entries"][0]["load"].update(
        ms={"min": 1.0, "median": 2.0, "p95": 900.0, "max": 900.0}, slowest=[900.0, 3.0, 2.0, 2.0, 2.0])
    (result,) = judge("modules.proxy_latency", facts, profile="deep").values()
    assert (result.status, result.reason) == (
        "pass", f"The 95th percentile of http://{HOST}/good is 900.0 ms in 10 requests, 10 at once; one answer alone was slow.")


@pytest.mark.parametrize("check", ["proxy_reachable", "proxy_latency", "proxy_errors", "download"])
def test_what_the_budget_cut_off_is_unknown(load: Load, judge: Judge, check: str) -> None:
    facts = load("good")
    cut = {"kind": "budget", "message": "the budget of 60 s (preflight_budget) was used up"}
    (chain,) = facts["proxies"]["chains"]
    chain["sumdb"] = None
    (entry,) = chain["entries"]
    entry.update(requests=[dict(entry["requests"][0], status=None, outcome="error", error=cut, phases={})], hashes=[], load=None)
    facts["proxies"]["downloads"][0].update(rc=None, error=cut)
    (result,) = judge(f"modules.{check}", facts, profile="deep").values()
    assert result.status == "unknown" and cut["message"] in result.reason


@pytest.mark.parametrize(("kind", "goauth", "status"), [
    ("http_401", "netrc", "fail"), ("http_401", "program", "unknown"), ("http2", "netrc", "unknown"), ("unsupported", "netrc", "unknown"),
    ("certificate", "netrc", "fail")])
def test_what_this_collection_cannot_ask_is_unknown(load: Load, judge: Judge, kind: str, goauth: str, status: str) -> None:
    facts = load("refused")
    (chain,) = facts["proxies"]["chains"]
    chain["goauth"] = goauth
    chain["entries"][0]["requests"][0]["error"] = {"kind": kind, "message": "x"}
    assert judge("modules.proxy_reachable", facts, profile="deep")["modules.corp.example:9"].status == status


def test_a_database_that_the_proxy_keeps_from_go(load: Load, judge: Judge) -> None:
    facts = load("good")
    (chain,) = facts["proxies"]["chains"]
    error = {"kind": "http_403", "message": "answers 403"}
    request = dict(chain["sumdb"]["requests"][0], error=error, status=403)
    chain["sumdb"].update(url="", asked=False, via_proxy=False, error=error, requests=[request])
    result = judge("modules.proxy_reachable", facts, profile="deep")["sum.lab.example"]
    assert (result.status, result.severity, result.reason) == ("fail", "medium", (
        "The checksum database sum.lab.example (through the proxies): answers 403, and go refuses every module that is not in go.sum."))
    chain["goauth"] = "program"
    assert judge("modules.proxy_reachable", facts, profile="deep")["sum.lab.example"].status == "unknown"


def test_a_module_that_the_database_does_not_know(load: Load, judge: Judge) -> None:
    facts = load("good")
    (chain,) = facts["proxies"]["chains"]
    request = next(one for one in chain["sumdb"]["requests"] if one["what"] == "lookup")
    request.update(status=404, outcome="not_found")
    result = judge("modules.proxy_reachable", facts, profile="deep")["sum.lab.example"]
    assert (result.status, result.reason) == ("fail", (
        f"The checksum database sum.lab.example (through http://{HOST}/good/sumdb/sum.lab.example): answers 404 "
        f"({request['path']}), and go refuses {FINE} where it is not in go.sum."))
    request.update(status=None, outcome="error", error={"kind": "refused", "message": "connection refused"})
    result = judge("modules.proxy_reachable", facts, profile="deep")["sum.lab.example"]
    assert result.reason.endswith(": connection refused, and go refuses every module that is not in go.sum.")


def test_a_database_that_one_shell_alone_does_not_reach_is_not_hidden(load: Load, judge: Judge) -> None:
    facts = load("good")
    chains = facts["proxies"]["chains"]
    chains.append(copy.deepcopy(chains[0]))
    chains[1]["settings"] = [{"kind": "login", "user": "ci"}]
    chains[1]["sumdb"].update(url="", asked=False, error={"kind": "refused", "message": "connection refused"})
    results = judge("modules.proxy_reachable", facts, profile="deep")
    assert [results[f"sum.lab.example (login shell of {name})"].status for name in ("deploy", "ci")] == ["pass", "fail"]


def test_one_of_two_modules_that_nobody_has(load: Load, judge: Judge) -> None:
    facts = load("good")
    (chain,) = facts["proxies"]["chains"]
    (entry,) = chain["entries"]
    path = "example.org/none/@v/v1.0.0.info"
    entry["requests"].append(dict(entry["requests"][1], what="info", module="example.org/none@v1.0.0", path=path, status=404,
                                  outcome="not_found"))
    result = judge("modules.proxy_reachable", facts, profile="deep")[f"{HOST}/good"]
    assert (result.status, result.reason) == (
        "fail", f"http://{HOST}/good answers 404 ({path}), and go has nobody else to ask; wanted is a proxy that has the module.")
    chain["entries"].append(dict(copy.deepcopy(entry), url=f"http://{HOST}/other"))
    results = judge("modules.proxy_reachable", facts, profile="deep")
    assert [results[f"{HOST}/{name}"].status for name in ("good", "other")] == ["pass", "fail"]
    chain["entries"][0]["requests"][-1].update(status=200, outcome="ok")
    assert judge("modules.proxy_reachable", facts, profile="deep")[f"{HOST}/other"].status == "pass"
    chain["entries"][0]["requests"][-1].update(status=None, outcome="error", error={"kind": "budget", "message": "x"})
    assert judge("modules.proxy_reachable", facts, profile="deep")[f"{HOST}/other"].status == "pass"


def test_a_404_to_a_module_that_nobody_declared_is_no_fault(load: Load, judge: Judge) -> None:
    """Every declared module is taken past the proxy by GONOPROXY: it was asked for golang.org/x/text."""
    facts = load("undeclared")
    (chain,) = facts["proxies"]["chains"]
    del chain["entries"][1:]
    chain["modules"] = [{"path": "git.corp.example/x", "version": "v1.0.0", "private": "", "direct": True}]
    result = judge("modules.proxy_reachable", facts, profile="deep")[f"{HOST}/404"]
    assert (result.status, result.reason) == ("pass", (
        f"http://{HOST}/404 answers 404 (golang.org/x/text/@v/list), and go has nobody else to ask; which modules it has is not known "
        "(preflight_proxy: {modules: [path@version]} says which matter)."))


@pytest.mark.parametrize(("kind", "status"), [("timeout", "fail"), ("disk", "unknown"), ("memory", "unknown"), ("room", "unknown")])
def test_a_download_that_meets_our_own_bounds_is_no_fault(load: Load, judge: Judge, kind: str, status: str) -> None:
    facts = load("good")
    facts["proxies"]["downloads"][0].update(rc=None, sum=None, error={"kind": kind, "message": "x"})
    assert judge("modules.download", facts, profile="deep")[FINE].status == status


@pytest.mark.parametrize("check", ["proxy_reachable", "proxy_latency", "proxy_errors", "fallback"])
def test_a_proxy_that_is_named_twice_has_one_result(load: Load, judge: Judge, check: str) -> None:
    facts = load("goes_on")
    entries = facts["proxies"]["chains"][0]["entries"]
    entries.insert(1, copy.deepcopy(entries[0]))
    assert f"{HOST}/500" in judge(f"modules.{check}", facts, profile="deep")


@pytest.mark.parametrize("check", ["proxy_reachable", "proxy_latency", "proxy_errors", "fallback"])
def test_one_address_over_http_and_https_is_two(load: Load, judge: Judge, check: str) -> None:
    facts = load("goes_on")
    entries = facts["proxies"]["chains"][0]["entries"]
    entries.insert(0, copy.deepcopy(entries[0]))
    entries[0]["url"] = entries[0]["url"].replace("http:", "https:")
    results = judge(f"modules.{check}", facts, profile="deep")
    assert check == "fallback" or {f"http://{HOST}/500", f"https://{HOST}/500"} <= set(results)


def test_downloads_that_differ_in_something_unsaid_have_results_of_their_own(load: Load, judge: Judge) -> None:
    facts = load("good")
    downloads = facts["proxies"]["downloads"]
    downloads += [copy.deepcopy(downloads[0]), copy.deepcopy(downloads[0])]
    assert len(judge("modules.download", facts, profile="deep")) == 3


def test_a_database_behind_a_proxy_that_fails_is_no_second_finding(load: Load, judge: Judge) -> None:
    assert set(judge("modules.proxy_reachable", load("nodb"), profile="deep")) == {f"{HOST}/500", f"{HOST}/good"}


def test_a_login_page_is_taken_for_a_module_behind_any_separator(load: Load, judge: Judge) -> None:
    """go 1.27.3 with GOPROXY=/login|/good: verifying go.mod: malformed record data."""
    facts = load("login")
    entries = facts["proxies"]["chains"][0]["entries"]
    entries[0]["separator"] = "|"
    entries[1:] = load("good")["proxies"]["chains"][0]["entries"]
    said = (f"http://{HOST}/login answers 200 with a page of HTML or XML, as a login page does ({INFO}), "
            "and go takes that for a go.mod or a zip")
    result = judge("modules.proxy_reachable", facts, profile="deep")[f"{HOST}/login"]
    assert (result.status, result.severity, result.reason) == ("fail", "high", said + ".")
    result = judge("modules.fallback", facts, profile="deep")[f"{HOST}/login"]
    assert (result.status, result.reason) == ("fail", f"{said}, although http://{HOST}/good behind it answers.")


def test_a_list_that_fails_alone_stops_no_build(load: Load, judge: Judge) -> None:
    facts = load("good")
    (chain,) = facts["proxies"]["chains"]
    chain["entries"][0]["requests"][0].update(status=500, outcome="error", error={"kind": "http_500", "message": "answers 500"})
    result = judge("modules.proxy_reachable", facts, profile="deep")[f"{HOST}/good"]
    assert (result.status, result.severity, result.reason) == ("fail", "medium", (
        f"http://{HOST}/good answers 500 (example.org/fine/@v/list): builds of known versions work, `go get` and `go list -m -u` do not."))


def test_users_who_see_the_same_share_a_result_and_others_do_not(load: Load, judge: Judge) -> None:
    facts = load("good")
    chains = facts["proxies"]["chains"]
    chains.append(copy.deepcopy(chains[0]))
    chains[1]["settings"] = [{"kind": "login", "user": "ci"}]
    assert f"{HOST}/good" in judge("modules.proxy_reachable", facts, profile="deep")
    chains[1]["entries"][0]["requests"][1].update(status=401, outcome="error", error={"kind": "http_401", "message": "answers 401"})
    results = judge("modules.proxy_reachable", facts, profile="deep")
    subjects = [f"{HOST}/good (login shell of {name})" for name in ("deploy", "ci")]
    assert [results[subject].status for subject in subjects] == ["pass", "fail"]
    chains[1]["settings"] = [{"kind": "non_login", "user": "deploy"}]
    assert f"{HOST}/good (non-login shell of deploy)" in judge("modules.proxy_reachable", facts, profile="deep")


def test_on_a_host_that_need_not_have_a_go_it_is_low(load: Load, judge: Judge, recorded: Callable[..., dict[str, Any]]) -> None:
    facts = recorded("modules/nopath.json")
    facts["proxies"] = load("stops")["proxies"]
    assert judge("modules.proxy_reachable", facts, profile="deep")[f"{HOST}/500"].severity == "low"
    assert judge("modules.proxy_reachable", facts, profile="deep", toolchain="required")[f"{HOST}/500"].severity == "high"


@pytest.mark.parametrize("check", ["proxy_reachable", "proxy_latency", "proxy_errors", "download"])
def test_without_facts_and_without_a_go(load: Load, judge: Judge, check: str) -> None:
    facts = load("good")
    facts["toolchain"]["toolchains"] = []
    (result,) = judge(f"modules.{check}", facts, profile="deep").values()
    assert (result.status, result.reason) == ("notapplicable", "There is no Go on this host, and preflight_toolchain is optional.")
    del facts["proxies"]
    (result,) = judge(f"modules.{check}", facts, profile="deep").values()
    assert (result.status, result.reason) == ("unknown", "proxies.chains was not collected.")
    (result,) = judge(f"modules.{check}", facts, profile="quick").values()
    assert result.status == "notselected"
