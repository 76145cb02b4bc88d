# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fault of a module proxy a run: the finding names it, and go itself fails (or goes on) as the finding says."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import HOST, Run

PLAIN, TLS = f"http://{HOST}:8081", f"https://{HOST}:8443"
FINE = "example.org/fine@v1.1.0"
Verify = Callable[..., Run]


def told(prober: Any) -> list[str]:
    """What runs of preflight have asked the proxy, without what go has."""
    return [line for line in prober.file("/var/log/nginx/probe.log").content_string.splitlines() if "goready-preflight" in line]


def test_a_good_proxy(verify: Verify, known: dict[str, Any]) -> None:
    run = verify(f"{TLS}/good,direct")
    assert run.go.endswith("rc=0\n")
    proxy = run.of("proxy_reachable")[f"{HOST}:8443/good"]
    assert proxy["status"] == "pass" and proxy["reason"].endswith("and its bytes are those that sum.lab.example has.")
    assert run.of("proxy_reachable")["sum.lab.example"]["status"] == "pass"
    assert run.of("download")[FINE]["actual"] == known["modules"][FINE]["zip"]
    assert {line["status"] for line in run.results if line["id"].startswith("modules.")} == {"pass", "notapplicable"}


@pytest.mark.parametrize(("goproxy", "says", "go"), [
    (f"{PLAIN}/500,{TLS}/good", "answers 500", "500 Internal Server Error"),
    (f"{PLAIN}/403,{TLS}/good", "answers 403", "403 Forbidden"),
    (f"http://{HOST}:9,{TLS}/good", "connection refused", "connection refused"),
    (f"{PLAIN}/cut,{TLS}/good", "the connection ended inside the response's body", "unexpected EOF"),
    (f"{PLAIN}/silent,{TLS}/good", "closed the connection without an answer", "EOF"),
    (f"{PLAIN}/login,{TLS}/good", "a page of HTML", "invalid character '<'"),
    (f"{PLAIN}/503zip,{TLS}/good", "answers 503", "503 Service Temporarily Unavailable"),
    (f"{PLAIN}/loop,{TLS}/good", "stopped after 10 redirects", "stopped after 10 redirects"),
    (f"https://{HOST}:8444/good,{TLS}/good", "certificate has expired", "certificate has expired"),
    (f"https://{HOST}:8445/good,{TLS}/good", "hostname mismatch", f"valid for other.example, not {HOST}"),
    (f"{TLS}/private,{TLS}/good", "answers 401", "401 Unauthorized"),
    (f"{TLS}/down,{TLS}/good", "redirects from https to http", "redirected from secure URL"),
], ids=lambda value: value.partition(",")[0] if "," in value else None)
def test_a_fault_that_stops_the_build(verify: Verify, goproxy: str, says: str, go: str) -> None:
    run = verify(goproxy)
    assert go in run.go and not run.go.endswith("rc=0\n")
    address = goproxy.partition(",")[0].partition("://")[2]
    (result,) = (line for subject, line in run.of("proxy_reachable").items() if subject == address)
    assert (result["status"], result["severity"]) == ("fail", "high")
    assert says in result["reason"] and result["reason"].endswith("and behind `,` go stops there.")
    assert run.of("proxy_reachable")[f"{HOST}:8443/good"]["status"] == "pass"
    assert run.of("fallback")[address]["status"] == "fail"
    assert run.of("download")[FINE]["status"] == "fail"


@pytest.mark.parametrize("goproxy", [f"{PLAIN}/404,{TLS}/good", f"{PLAIN}/410,{TLS}/good", f"{PLAIN}/500|{TLS}/good", f"http://{HOST}:9|{TLS}/good"])
def test_where_go_goes_on(verify: Verify, goproxy: str) -> None:
    run = verify(goproxy)
    assert run.go.endswith("rc=0\n")
    address = goproxy.replace("|", ",").partition(",")[0].partition("://")[2]
    result = run.of("proxy_reachable")[address]
    assert (result["status"], result["severity"]) == (("fail", "medium") if "|" in goproxy else ("pass", "high"))
    assert f"and go goes on to {TLS}/good" in result["reason"]
    assert run.of("download")[FINE]["status"] == "pass"
    assert run.of("fallback")[address]["status"] == "pass"


def test_a_login_page_is_taken_for_a_module(verify: Verify) -> None:
    run = verify(f"{PLAIN}/login|{TLS}/good")
    assert "verifying go.mod" in run.go and not run.go.endswith("rc=0\n")
    result = run.of("proxy_reachable")[f"{HOST}:8081/login"]
    assert (result["status"], result["severity"]) == ("fail", "high")
    assert result["reason"].endswith("and go takes that for a go.mod or a zip.")
    assert run.of("download")[FINE]["status"] == "fail"


def test_other_bytes(verify: Verify, known: dict[str, Any]) -> None:
    run = verify(f"{PLAIN}/wrong")
    assert "checksum mismatch" in run.go
    result = run.of("proxy_reachable")[f"{HOST}:8081/wrong"]
    assert result["status"] == "fail" and result["reason"].endswith(f"there {known['modules'][FINE]['zip']}.")
    assert "checksum mismatch" in run.of("download")[FINE]["reason"]


def test_a_slow_proxy(verify: Verify) -> None:
    run = verify(f"{PLAIN}/slow")
    assert run.go.endswith("rc=0\n")
    result = run.of("proxy_latency")[f"{HOST}:8081/slow"]
    assert (result["status"], result["expected"]) == ("fail", 200) and result["actual"] > 1000
    assert run.of("proxy_errors")[f"{HOST}:8081/slow"]["status"] == "pass"


def test_a_proxy_that_fails_now_and_then(verify: Verify) -> None:
    """Half of the answers: that its first five are good happens once in thirty runs, so what fails is either."""
    run = verify(f"{PLAIN}/flaky", profile="deep")
    lines = [run.of(check).get(f"{HOST}:8081/flaky", {}) for check in ("proxy_reachable", "proxy_errors")]
    assert any(line.get("status") == "fail" and "503" in line["reason"] for line in lines)


def test_netrc(verify: Verify, prober: Any) -> None:
    run = verify(f"{TLS}/private", netrc=f"machine {HOST}:8443 login ci password a-word-of-ci\n")
    assert run.go.endswith("rc=0\n")
    assert run.of("proxy_reachable")[f"{HOST}:8443/private"]["status"] == "pass"
    assert run.of("download")[FINE]["status"] == "pass"
    for path in run.folder.rglob("*"):
        assert not path.is_file() or b"a-word-of-ci" not in path.read_bytes(), path
    assert any('"ci"' in line for line in told(prober))


def test_through_an_http_proxy(verify: Verify) -> None:
    run = verify(f"{TLS}/good", environment="export HTTPS_PROXY=http://127.0.0.1:8888\n")
    assert run.go.endswith("rc=0\n")
    result = run.of("proxy_reachable")[f"{HOST}:8443/good"]
    assert result["status"] == "pass" and "through the HTTP proxy http://127.0.0.1:8888" in result["evidence"]
    run = verify(f"{TLS}/good", environment="export HTTPS_PROXY=http://127.0.0.1:8889\n")
    assert "connection refused" in run.go
    # The other shell does not read .profile, and has no HTTP proxy.
    found = run.of("proxy_reachable")
    assert "the HTTP proxy 127.0.0.1:8889: connection refused" in found[f"{HOST}:8443/good (login shell of ci)"]["reason"]
    assert found[f"{HOST}:8443/good (non-login shell of ci)"]["status"] == "pass"


def test_capitals(verify: Verify, known: dict[str, Any]) -> None:
    module = "example.org/Upper/CaseMod@v1.2.3"
    run = verify(f"{TLS}/good", module=module)
    assert run.of("download")[module]["actual"] == known["modules"][module]["zip"]
    assert run.of("proxy_reachable")[f"{HOST}:8443/good"]["status"] == "pass"


@pytest.mark.parametrize("goproxy", ["off", "direct"])
def test_a_host_that_asks_no_proxy(verify: Verify, goproxy: str) -> None:
    run = verify(goproxy, gosumdb="off")
    for check in ("proxy_reachable", "proxy_latency", "proxy_errors"):
        assert {line["status"] for line in run.of(check).values()} == {"notapplicable"}
    assert run.of("download")[FINE]["status"] == ("notapplicable" if goproxy == "off" else "unknown")


def test_a_folder(verify: Verify) -> None:
    run = verify("file:///srv/modules/good")
    assert run.go.endswith("rc=0\n")
    assert run.of("proxy_reachable")["/srv/modules/good"]["status"] == "pass"
    assert run.of("download")[FINE]["status"] == "pass"


def test_a_private_module(verify: Verify, prober: Any) -> None:
    """Without a list of ci's own: the public proxy is not asked about it (it could not be from here; the facts say that nobody tried)."""
    before = len([line for line in told(prober) if "secret" in line])
    module = "git.corp.example/team/secret@v0.1.0"
    run = verify(f"{TLS}/good", module=module, proxy={"private": ["git.corp.example/*"]}, gosumdb="sum.golang.org")
    result = run.of("download")[module]
    assert result["status"] == "unknown" and "would tell sum.golang.org about it" in result["reason"]
    leaks = [line for line in run.of("private_leak").values() if line["status"] == "fail"]
    assert leaks and "tells sum.golang.org about git.corp.example/*" in leaks[0]["reason"]
    # A proxy of one's own may hear of it.
    assert len([line for line in told(prober) if "secret" in line]) > before


def test_nothing_of_it_stays(verify: Verify, prober: Any) -> None:
    run = verify(f"{TLS}/good")
    assert run.of("download")[FINE]["status"] == "pass"
    assert prober.run("ls -d /tmp/goready* /var/tmp/goready* 2>/dev/null").stdout == ""
    assert prober.run("ls /home/ci/go 2>/dev/null").stdout == ""
