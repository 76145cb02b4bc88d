# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import engine

GO_ENV = "/usr/local/go/go.env"
PROFILE = "/etc/profile.d/go.sh"
SHELLS = "that counts for login shell of deploy, non-login shell of deploy."
EVERY = "that counts for login shell of deploy, non-login shell of deploy, sudo, systemd."
NO_GO = "There is no Go on this host, and preflight_toolchain is optional."
PRIVATE_PROXY = "https://ci:[redacted]@goproxy.corp.example|https://proxy.golang.org,direct,https://spare.example"
DEFAULT_PROXY = "https://proxy.golang.org,direct"


def row(check: str, base: str, status: str, reason: str, subject: str = "", *, id: str = "", **options: Any) -> Any:
    options.update(check=f"modules.{check}", base=f"modules/{base}.json", status=status, reason=reason, subject=subject)
    return pytest.param(options, id=id or f"{check}: {base} {status} {subject}".strip())


def setting(name: str, value: str, where: str | None = f"{GO_ENV}:7", source: str = "goroot_file") -> dict[str, Any]:
    """The same value in every shell of good.json, from GOROOT/go.env."""
    return {f"modules/settings/{number}/values/{name}": {"value": value, "source": source, "where": where} for number in range(4)}


ROWS = [
    row("proxy_configured", "good", "pass", f"GOPROXY is {DEFAULT_PROXY}.", evidence=f"{GO_ENV}:7: GOPROXY={DEFAULT_PROXY}"),
    row("proxy_configured", "nopath", "pass", f"GOPROXY is {DEFAULT_PROXY}."),
    row("proxy_configured", "empty", "fail", f"GOPROXY= is refused by go: it names no proxy; {SHELLS}", "deploy", command=""),
    row("proxy_configured", "old", "fail", f"GOPROXY= is refused by go: it names no proxy; {EVERY}", "defaults of go"),
    row("proxy_configured", "private", "fail",
        f"GOPROXY={PRIVATE_PROXY} carries credentials in a URL, where everybody who can read the setting sees them; {SHELLS}",
        "deploy"),
    row("proxy_configured", "good", "pass", "GOPROXY is off.", edits=setting("GOPROXY", "off"), id="proxy_configured: off is a list"),
    row("proxy_configured", "good", "fail",
        f"GOPROXY={DEFAULT_PROXY} asks https://proxy.golang.org; wanted is https://goproxy.corp.example; {EVERY}", GO_ENV,
        thresholds={"proxies": ("https://goproxy.corp.example",)}, id="proxy_configured: another is wanted"),
    row("proxy_configured", "good", "fail",
        f"GOPROXY=direct asks no proxy; wanted is https://goproxy.corp.example; {EVERY}", GO_ENV, edits=setting("GOPROXY", "direct"),
        thresholds={"proxies": ("https://goproxy.corp.example",)}, id="proxy_configured: direct where one is wanted"),
    row("proxy_configured", "good", "fail",
        f"GOPROXY=https://goproxy.corp.example.evil.example asks https://goproxy.corp.example.evil.example; "
        f"wanted is https://goproxy.corp.example; {EVERY}", GO_ENV, edits=setting("GOPROXY", "https://goproxy.corp.example.evil.example"),
        thresholds={"proxies": ("https://goproxy.corp.example",)}, id="proxy_configured: a longer host is another"),
    row("proxy_configured", "good", "pass", "GOPROXY is https://goproxy.corp.example/go,direct.",
        edits=setting("GOPROXY", "https://goproxy.corp.example/go,direct"), thresholds={"proxies": ("https://goproxy.corp.example/",)},
        id="proxy_configured: the one that is wanted"),

    row("checksum_db", "good", "pass", "Downloads are compared with sum.golang.org."),
    row("checksum_db", "trusting", "fail", f"GOSUMDB=off switches the checksum database off for every module; {SHELLS}", "deploy",
        evidence="/home/deploy/.config/go/env:2: GOSUMDB=off", role="module_proxy",
        command="sudo -u deploy env GOENV=/home/deploy/.config/go/env go env -u GOSUMDB"),
    row("checksum_db", "trusting", "fail",
        "GOPRIVATE=* takes the checksum database from every module; that counts for login shell of deploy.", PROFILE,
        evidence=f"{PROFILE}:1: GOPRIVATE=*", command=""),
    row("checksum_db", "file", "fail",
        "GOSUMDB=off switches the checksum database off for every module; that counts for user deploy.", "deploy"),
    row("checksum_db", "private", "pass", "Downloads are compared with sum.golang.org; not asked for github.com/acme/*."),
    row("checksum_db", "old", "fail", f"GOSUMDB= cannot be used: it is empty, and go refuses to fetch anything; {EVERY}",
        "defaults of go", severity="medium"),
    row("checksum_db", "good", "pass", "GOPROXY=off: no module is fetched.",
        edits={**setting("GOPROXY", "off"), **setting("GOSUMDB", "off")}, id="checksum_db: nothing is fetched"),
    row("checksum_db", "good", "fail",
        f"GOFLAGS=-insecure switches the checks off before Go 1.17, and breaks every `go get` since; {EVERY}", GO_ENV,
        edits=setting("GOFLAGS", "-insecure"), id="checksum_db: -insecure"),
    row("checksum_db", "good", "pass", "Downloads are compared with sum.golang.org.", edits=setting("GONOSUMCHECK", "1"),
        evidence="GONOSUMCHECK=1", id="checksum_db: what go ignores is shown"),
    row("checksum_db", "nopath", "fail", f"GOSUMDB=off switches the checksum database off for every module; {EVERY}", GO_ENV,
        edits=setting("GOSUMDB", "off"), severity="low", id="checksum_db: a Go that nobody uses"),
    row("checksum_db", "nopath", "fail", f"GOSUMDB=off switches the checksum database off for every module; {EVERY}", GO_ENV,
        edits=setting("GOSUMDB", "off"), toolchain="required", id="checksum_db: a Go that is called by its path"),

    row("insecure", "good", "pass", "Modules are fetched over TLS, and certificates are checked."),
    row("insecure", "trusting", "fail", "GOINSECURE=* lets go fetch every module over plain HTTP or from a server whose certificate "
        f"nobody checks; {SHELLS}", "deploy", command="go env -u GOINSECURE"),
    row("insecure", "trusting", "fail",
        f"GOPROXY=http://athens.corp.example:3000|direct asks athens.corp.example over plain HTTP; {EVERY}", GO_ENV),
    row("insecure", "good", "fail", f"GOPROXY=http://athens.corp.example asks athens.corp.example over plain HTTP; {EVERY}", GO_ENV,
        edits=setting("GOPROXY", "http://athens.corp.example"), severity="medium", id="insecure: the database vouches"),
    row("insecure", "good", "pass", "Modules are fetched over TLS, and certificates are checked.",
        edits=setting("GOPROXY", "http://athens.corp.example"), thresholds={"http_proxies": ("athens.corp.example",)},
        id="insecure: accepted"),
    row("insecure", "good", "pass", "Modules are fetched over TLS, and certificates are checked.",
        edits={**setting("GOPROXY", "http://[::1]:3000,http://localhost"), **setting("GOINSECURE", "localhost:8080")},
        id="insecure: loopback"),
    row("insecure", "good", "fail", "GOINSECURE=git.corp.example lets go fetch git.corp.example over plain HTTP or from a server whose "
        f"certificate nobody checks; {EVERY}", GO_ENV, edits=setting("GOINSECURE", "git.corp.example"), severity="medium",
        id="insecure: a host of one's own"),
    row("insecure", "good", "fail", "GOVCS=*:all lets every version control tool fetch public modules; go's own rule is git and hg; "
        f"{EVERY}", GO_ENV, edits=setting("GOVCS", "*:all"), severity="low", id="insecure: GOVCS"),

    row("private_leak", "good", "notapplicable", "Nothing says that private modules are built here; the threshold `private` names them."),
    row("private_leak", "private", "fail", "GONOSUMDB=github.com/acme/* does not cover git.corp.example "
        f"(/home/deploy/.config/go/env:2), so that sum.golang.org is told about it (and 1 more there); {SHELLS}", "deploy", command=""),
    row("private_leak", "good", "fail", f"GOPROXY={DEFAULT_PROXY} tells proxy.golang.org about git.corp.example "
        f"(preflight_thresholds), and GONOPROXY is not set; {SHELLS}", GO_ENV, thresholds={"private": ("git.corp.example/",)},
        id="private_leak: by the inventory"),
    row("private_leak", "good", "fail", f"GOSUMDB=sum.golang.org tells sum.golang.org about git.corp.example "
        f"(preflight_thresholds), and GONOSUMDB is not set; {SHELLS}", GO_ENV, edits=setting("GOPROXY", "https://goproxy.corp.example"),
        thresholds={"private": ("git.corp.example",)}, id="private_leak: a proxy of one's own, a public database"),
    row("private_leak", "good", "pass", "Nothing public is asked about git.corp.example.",
        edits={**setting("GONOPROXY", "*.corp.example"), **setting("GONOSUMDB", "*.corp.example")},
        thresholds={"private": ("git.corp.example",)}, id="private_leak: covered"),
    row("private_leak", "good", "pass", "Nothing public is asked about git.corp.example.", edits=setting("GOPROXY", "off"),
        thresholds={"private": ("git.corp.example",)}, id="private_leak: nothing is fetched"),
    row("private_leak", "none", "notapplicable", NO_GO),

    row("fallback", "good", "pass", "Every entry of GOPROXY is reached, and none passes by a proxy of one's own."),
    row("fallback", "private", "fail", f"GOPROXY={PRIVATE_PROXY} has https://spare.example behind direct, where go never looks "
        f"(and 1 more there); {SHELLS}", "deploy", evidence="goes from goproxy.corp.example to proxy.golang.org on every error (`|`)"),
    row("fallback", "good", "fail",
        f"GOPROXY=https://a.example,https://a.example names https://a.example twice: that is no fallback; {EVERY}", GO_ENV,
        edits=setting("GOPROXY", "https://a.example,https://a.example"), id="fallback: twice"),
    row("fallback", "good", "pass", "Every entry of GOPROXY is reached, and none passes by a proxy of one's own.",
        edits=setting("GOPROXY", "https://a.example,direct"), id="fallback: on 404 and 410"),
    row("fallback", "good", "fail", f"GOPROXY=https://a.example,direct goes from a.example to direct; wanted is never; {EVERY}", GO_ENV,
        edits=setting("GOPROXY", "https://a.example,direct"), thresholds={"leave": "never"}, id="fallback: never"),
    row("fallback", "good", "pass", "Every entry of GOPROXY is reached, and none passes by a proxy of one's own.",
        edits=setting("GOPROXY", "https://a.example|direct"), thresholds={"leave": "any_error"}, id="fallback: on any error, wanted"),
    row("fallback", "good", "pass", "Every entry of GOPROXY is reached, and none passes by a proxy of one's own.",
        edits=setting("GOPROXY", "https://goproxy.io|https://proxy.golang.org|direct"), id="fallback: between public ones"),
    row("fallback", "none", "notapplicable", "There is no Go on this host: toolchain.present says so.", toolchain="required"),
    row("fallback", "good", "notapplicable", "preflight_toolchain is absent: nothing is built on this host.", toolchain="absent",
        id="fallback: absent"),
    row("fallback", "good", "notapplicable", "No shell gave its environment: toolchain.env_drift says why.",
        edits={"modules/settings": []}, id="fallback: silent shells"),
    row("fallback", "good", "unknown", "modules.settings was not collected.", edits={"modules/settings": ...},
        id="fallback: not collected"),
]


@pytest.mark.parametrize("case", ROWS)
def test_judgement(case: dict[str, Any], expect: Callable[..., None]) -> None:
    expect(**case)


Judge = Callable[..., dict[str, engine.Result]]


@pytest.mark.parametrize(("base", "check", "subject", "safe"), [
    ("trusting", "checksum_db", "deploy", "apply"), ("trusting", "insecure", "deploy", "apply"),
    ("trusting", "checksum_db", PROFILE, "manual"), ("trusting", "insecure", GO_ENV, "manual"),
    ("private", "private_leak", "deploy", "manual"), ("private", "proxy_configured", "deploy", "manual"),
])
def test_only_a_line_of_a_users_own_that_nobody_misses_is_mended_unasked(
        base: str, check: str, subject: str, safe: str, recorded: Callable[..., dict[str, Any]], judge: Judge) -> None:
    assert judge(f"modules.{check}", recorded(f"modules/{base}.json"))[subject].remediation.safe == safe


def test_what_is_to_go_is_in_the_result(recorded: Callable[..., dict[str, Any]], judge: Judge) -> None:
    assert judge("modules.insecure", recorded("modules/trusting.json"))["deploy"].actual == {"GOINSECURE": "*"}


def test_flags_are_missed(recorded: Callable[..., dict[str, Any]], judge: Judge) -> None:
    facts = recorded("modules/trusting.json")
    facts["modules"]["settings"][0]["values"]["GOFLAGS"]["value"] = "-mod=mod -insecure"
    result = judge("modules.checksum_db", facts)["deploy"]
    assert (result.actual, result.remediation.safe) == ({"GOSUMDB": "off", "GOFLAGS": "-mod=mod -insecure"}, "manual")


def test_what_one_user_calls_private_is_not_asked_of_another(recorded: Callable[..., dict[str, Any]], judge: Judge) -> None:
    facts = recorded("modules/private.json")
    for entry in facts["modules"]["settings"][:2]:
        entry["user"] = "somebody"
    (result,) = judge("modules.private_leak", facts).values()
    assert result.subject == "somebody"
