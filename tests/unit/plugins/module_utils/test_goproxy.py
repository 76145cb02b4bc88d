# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import goproxy
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(("value", "steps", "unreached"), [
    ("https://proxy.golang.org,direct", [("https://proxy.golang.org", False), ("direct", False)], []),
    ("https://a|b.example/x, direct,off", [("https://a", True), ("https://b.example/x", False), ("direct", False)], ["off"]),
    ("off,https://a", [("off", False)], ["https://a"]),
    (",,https://a|", [("https://a", True)], []),
    ("file:///srv/proxy", [("file:///srv/proxy", False)], []),
    ("http://[::1]:3000", [("http://[::1]:3000", False)], []),
    ("https://ci:[redacted]@a.example", [("https://ci:redacted@a.example", False)], []),
])
def test_proxies(value: str, steps: list[tuple[str, bool]], unreached: list[str]) -> None:
    found = goproxy.proxies(value)
    assert ([tuple(step) for step in found.steps], found.unreached) == (steps, unreached)


# What go 1.27.3 refuses too (`go list -m golang.org/x/text@latest` with each).
@pytest.mark.parametrize(("value", "message"), [
    ("", "it names no proxy"),
    (" , |", "it names no proxy"),
    ("proxy", "'proxy' is neither a URL nor direct nor off"),
    ("/srv/proxy", "'/srv/proxy' is neither a URL nor direct nor off"),
    ("ftp://a.example", "'ftp://a.example' has the scheme ftp; go knows https, http and file"),
    ("file://host/srv", "'file://host/srv' has more than a path, which go refuses for file"),
    ("https://", "'https://' names no host"),
    ("https://ci:word@proxy\u2100.corp", "'https://[redacted]@proxy\u2100.corp' is no URL"),  # the NFKC form has a slash
    ("ftp://u:p@a.example", "'ftp://[redacted]@a.example' has the scheme ftp; go knows https, http and file"),
])
def test_a_list_that_go_refuses(value: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        goproxy.proxies(value)
    assert str(caught.value) == message


@given(st.text(max_size=40))
def test_any_text_is_a_list_or_refused(value: str) -> None:
    try:
        assert goproxy.proxies(value).steps
    except ValueError:
        pass
    goproxy.has_credentials(value)
    goproxy.whole_hosts(value)
    goproxy.unverified("GOPRIVATE", value)
    goproxy.sumdb_fault(value)


@pytest.mark.parametrize(("value", "expected"), [
    ("https://u:p@a.example", True), ("https://a.example,https://token@b.example", True), ("u:p@a.example", True),
    ("https://ci:[redacted]@a.example", True), ("sum.example+0123abcd+key https://u:p@a.example", True),
    ("https://a.example/x@v1.2.3", False), ("https://proxy.golang.org,direct", False), ("off", False),
])
def test_credentials(value: str, expected: bool) -> None:
    assert goproxy.has_credentials(value) is expected


# The table of golang.org/x/mod/module's own test of MatchPrefixPatterns, but for its malformed globs.
@pytest.mark.parametrize(("globs", "target", "expected"), [
    ("*/quote", "rsc.io/quote", True), ("*/quote", "rsc.io/quote/v2", True), ("*/quote", "foo/bar/quote", False),
    ("*", "rsc.io/quote", True), ("rsc.io/*", "rsc.io/quote", True), ("rsc.io/*", "rsc.io", False),
    ("*.io", "rsc.io/quote", True), ("x,rsc.io", "rsc.io/quote", True), ("rsc.io/", "rsc.io/quote", True),
    ("", "rsc.io/quote", False), ("r[^a-c]c.io", "rsc.io/x", True), ("rsc.io/quote/v2", "rsc.io/quote", False),
    ("*.corp.com,rsc.io/private", "rsc.io/private/x", True), ("git.corp.com", "git.corp.company/x", False),
])
def test_matches(globs: str, target: str, expected: bool) -> None:
    assert goproxy.matches(globs, target) is expected


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("GOSUMDB", "off", "it switches the checksum database off for every module"),
    ("GOSUMDB", "sum.golang.org", None),
    ("GOPRIVATE", "*", "it takes the checksum database from every module"),
    ("GONOSUMDB", "github.com", "it takes the checksum database from all of github.com"),
    ("GONOSUMDB", "github.com/*", "it takes the checksum database from all of github.com"),
    ("GOPRIVATE", "github.com/acme,git.corp.example,*.corp.example", None),
    ("GOINSECURE", "*", "it lets go fetch without TLS, or with a certificate that nobody vouches for, every module"),
    ("GOINSECURE", "git.corp.example", None),
    ("GOFLAGS", "-mod=mod -insecure", "it switches the checks off before Go 1.17, and breaks every `go get` since"),
    ("GOFLAGS", "-insecure=false -mod=mod", None),
    ("GONOSUMCHECK", "1", "its only purpose was to switch the checks off; go ignores it today"),
    ("GOPROXY", "off", None),
])
def test_unverified(name: str, value: str, expected: str | None) -> None:
    assert goproxy.unverified(name, value) == expected


@pytest.mark.parametrize(("value", "expected"), [
    ("sum.golang.org", None), ("sum.golang.google.cn", None), ("off", None),
    ("sum.golang.org https://sum.corp.example", None),
    ("sum.corp.example+55b7c6a1+AVXoYQ8F4Pb9zMmiLU5PTrGfhQRbqzXe3kMmlOKuNIzS https://sum.corp.example", None),
    ("", "it is empty, and go refuses to fetch anything"),
    ("sum.corp.example", "sum.corp.example is no database whose key go knows, and no key stands with it (name+hash+key)"),
    ("sum.golang.org https://a b", "it has more than a name and a URL"),
])
def test_sumdb(value: str, expected: str | None) -> None:
    assert goproxy.sumdb_fault(value) == expected


@pytest.mark.parametrize(("host", "expected"), [
    ("localhost", True), ("127.0.0.1", True), ("::1", True), ("athens.localhost", True), ("10.0.0.1", False), ("localhost.example", False),
])
def test_loopback(host: str, expected: bool) -> None:
    assert goproxy.is_loopback(host) is expected
