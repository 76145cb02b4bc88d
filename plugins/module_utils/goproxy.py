# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the values of GOPROXY, GOSUMDB, GOPRIVATE and their like mean (https://go.dev/ref/mod#environment-variables).

Pure. Both who judges the settings and who writes them ask here, so that nothing is written that would be found.
"""
from __future__ import annotations

import fnmatch
import ipaddress
import re
from typing import Iterable, List, NamedTuple, Optional
from urllib.parse import urlsplit

# Asked with "no such module of nobody's": what matches it covers the whole host.
NOBODY = "goready-preflight-nobody/goready-preflight-nothing"
# Hosts of modules that everybody uses; the checksum database knows them.
PUBLIC_HOSTS = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "golang.org", "google.golang.org", "gopkg.in",
                "go.uber.org", "k8s.io", "sigs.k8s.io", "cloud.google.com")
# Proxies that anybody may ask, and the databases whose keys cmd/go knows (cmd/go/internal/modfetch/key.go).
PUBLIC_PROXIES = ("proxy.golang.org", "goproxy.io", "goproxy.cn", "goproxy.golang.org", "mirrors.aliyun.com",
                  "mirrors.cloud.tencent.com", "athens.azurefd.net", "gocenter.io")
PUBLIC_SUMDBS = ("sum.golang.org", "sum.golang.google.cn")


class Step(NamedTuple):
    """One entry of a GOPROXY list. ``url``: a URL, ``direct`` or ``off``; ``on_error``: any error leads to the next entry
    (``|``), not only 404 and 410 (``,``)."""

    url: str
    on_error: bool

    @property
    def host(self) -> str:
        return "" if self.url in ("direct", "off") else (urlsplit(self.url).hostname or "")

    @property
    def scheme(self) -> str:
        return "" if self.url in ("direct", "off") else urlsplit(self.url).scheme

    @property
    def public(self) -> bool:
        return self.host in PUBLIC_PROXIES


class ProxyList(NamedTuple):
    steps: List[Step]
    unreached: List[str]  # entries behind direct or off, which go never reads


def proxies(value: str) -> ProxyList:
    """A GOPROXY value as cmd/go reads it (modfetch/proxy.go, proxyList). ValueError where go refuses it."""
    steps: List[Step] = []
    pieces = re.split(r"([,|])", value)
    for index in range(0, len(pieces), 2):
        url = pieces[index].strip()
        on_error = index + 1 < len(pieces) and pieces[index + 1] == "|"
        if not url:
            continue
        if url in ("off", "direct"):
            steps.append(Step(url, on_error))
            return ProxyList(steps, [one.strip() for one in pieces[index + 2::2] if one.strip()])
        if re.search(r"[.:/]", url) and ":/" not in url and not url.startswith("/"):
            url = "https://" + url
        url = url.replace("[redacted]", "redacted")  # brackets are for IPv6 addresses alone
        try:
            scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
        except ValueError:
            # Its words may repeat a password.
            raise ValueError("%r is no URL" % _shown(url)) from None
        if not scheme:
            raise ValueError("%r is neither a URL nor direct nor off" % _shown(url))
        if scheme not in ("http", "https", "file"):
            raise ValueError("%r has the scheme %s; go knows https, http and file" % (_shown(url), scheme))
        if scheme != "file" and not host:
            raise ValueError("%r names no host" % _shown(url))
        if scheme == "file" and (re.search(r"[?#]", url) or urlsplit(url).netloc):
            raise ValueError("%r has more than a path, which go refuses for file" % _shown(url))
        steps.append(Step(url, on_error))
    if not steps:
        raise ValueError("it names no proxy")
    return ProxyList(steps, [])


def _shown(url: str) -> str:
    return re.sub(r"(\A|//)[^/@]*@", r"\1[redacted]@", url)


def has_credentials(value: str) -> bool:
    """Whether a URL of a GOPROXY list (or a GOSUMDB) carries a user or a password, redacted ones included."""
    return any("@" in re.sub(r"\A[A-Za-z][A-Za-z0-9+.-]*://", "", one).split("/", 1)[0] for one in re.split(r"[,|\s]+", value))


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def patterns(value: str) -> List[str]:
    """The globs of a comma-separated list, empty ones left out."""
    return [one for one in (piece.rstrip("/") if piece.endswith("/") else piece for piece in value.split(",")) if one]


def matches(value: str, path: str) -> bool:
    """Whether a list of globs covers a module path (golang.org/x/mod/module, MatchPrefixPatterns): each glob is compared
    with as many leading elements of the path as it has itself."""
    elements = path.split("/")
    return any(_matches_one(glob.split("/"), elements) for glob in patterns(value))


def _matches_one(glob: List[str], elements: List[str]) -> bool:
    if len(glob) > len(elements):
        return False
    # path.Match negates a class by ^, fnmatch by !.
    return all(fnmatch.fnmatchcase(element, one.replace("[^", "[!")) for one, element in zip(glob, elements))


def whole_hosts(value: str, hosts: Iterable[str] = PUBLIC_HOSTS) -> List[str]:
    """The public hosts all of whose modules a list of globs covers."""
    return [host for host in hosts if matches(value, "%s/%s" % (host, NOBODY))]


def insecure_flag(goflags: str) -> bool:
    """``-insecure``: before Go 1.17 it switched the checks off, since then every `go get` with it fails."""
    return any(re.match(r"--?insecure(?:=(?:1|t|true|T|TRUE|True))?\Z", word) for word in goflags.split())


def unverified(name: str, value: str) -> Optional[str]:
    """Why this value takes the verification from modules that everybody uses, or None."""
    if name == "GOSUMDB" and value.strip() == "off":
        return "it switches the checksum database off for every module"
    if name in ("GONOSUMDB", "GOPRIVATE", "GOINSECURE"):
        hosts = whole_hosts(value)
        if hosts:
            which = "every module" if len(hosts) == len(PUBLIC_HOSTS) else "all of %s" % ", ".join(hosts)
            what = "lets go fetch without TLS, or with a certificate that nobody vouches for," if name == "GOINSECURE" else \
                "takes the checksum database from"
            return "it %s %s" % (what, which)
    if name == "GOFLAGS" and insecure_flag(value):
        return "it switches the checks off before Go 1.17, and breaks every `go get` since"
    if name == "GONOSUMCHECK" and value:
        return "its only purpose was to switch the checks off; go ignores it today"
    return None


def sumdb_fault(value: str) -> Optional[str]:
    """Why go would refuse this GOSUMDB, or None."""
    if value.strip() == "off":
        return None
    words = value.split()
    if not words:
        return "it is empty, and go refuses to fetch anything"
    if len(words) > 2:
        return "it has more than a name and a URL"
    # A note's verifier key: name+hash+base64 (golang.org/x/mod/sumdb/note).
    if words[0] not in PUBLIC_SUMDBS and not re.match(r"[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+\Z", words[0]):
        return "%s is no database whose key go knows, and no key stands with it (name+hash+key)" % words[0]
    return None
