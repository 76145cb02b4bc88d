# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where do modules come from, and does anybody vouch for them?

A setting is judged where it stands: in a user's go/env file (the subject is the user), in GOROOT/go.env or a start-up file (the
subject is the file). One line there often counts for several shells, and is mended once. Only shells that find a go in their PATH
count; where none does, all of them (a build may call go by its path), and a fault on a host that need not have a Go is low
then. The settings are judged by what they say. What the proxies answered (facts ``proxies``, from profile standard on) is judged
by checks of its own, whose subject is the proxy's address; ``fallback`` and ``private_leak`` use it where it is there.
"""
from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import goproxy, redact
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    SEVERITIES, Facts, Outcome, Policy, Remediation, Threshold, check, failed, lookup, notapplicable, passed,
    unknown,
)

NEEDS = ("modules.settings", "toolchain.toolchains")
ROLE = "module_proxy"
_NOT_MISSED = frozenset(("GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOINSECURE"))

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one variable of one entry: ``words`` follow ``NAME=value: ``."""

    name: str
    words: str
    severity: str | None = None


@dataclass
class Place:
    """Everything that is wrong in one place."""

    faults: dict[tuple[str, str], Fault] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    source: str = ""
    file: str = ""


def _entries(facts: Facts) -> Sequence[Entry]:
    found: Sequence[Entry] = lookup(facts, "modules.settings") or ()
    seeing = [one for one in found if one["go"] or one["kind"] == "file"]
    return seeing if any(one["go"] for one in seeing) else found


def _label(entry: Entry) -> str:
    kind = str(entry["kind"])
    if kind in ("login", "non_login"):
        return f"{kind.replace('_', '-')} shell of {entry['user']}"
    return f"user {entry['user']}" if kind == "file" else kind


def _value(entry: Entry, name: str) -> str:
    return str((entry["values"].get(name) or {}).get("value") or "")


def _source(entry: Entry, name: str) -> tuple[str, str, str]:
    """(place, source, evidence) of a variable: the file that sets it, or the shell whose environment has it."""
    setting = entry["values"].get(name) or {"source": "default", "where": None}
    where = setting["where"]
    if where:
        return str(where).rpartition(":")[0], str(setting["source"]), f"{where}: {name}={_value(entry, name)}"
    if setting["source"] == "environment":
        return f"environment of the {_label(entry)}", "environment", f"environment of the {_label(entry)}: {name}={_value(entry, name)}"
    return "defaults of go", "default", f"default of {entry['goroot'] or 'go'}: {name}={_value(entry, name)}"


def _nothing_to_judge(facts: Facts, policy: Policy) -> Outcome | None:
    if policy.toolchain == "absent":
        return notapplicable("preflight_toolchain is absent: nothing is built on this host.")
    if not lookup(facts, "toolchain.toolchains"):
        if policy.toolchain == "required":
            return notapplicable("There is no Go on this host: toolchain.present says so.")
        return notapplicable("There is no Go on this host, and preflight_toolchain is optional.")
    if not _entries(facts):
        return notapplicable("No shell gave its environment: toolchain.env_drift says why.")
    return None


def _judge(facts: Facts, policy: Policy, find: Callable[[Entry], Iterable[Fault]], *, good: Callable[[list[Entry]], Outcome],
           hint: str, kinds: Sequence[str] = (), harmful: bool = False) -> Iterator[Outcome]:
    """One outcome for each place with a fault; ``good`` where there is none. ``harmful``: go is safer without the line."""
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    entries = list(_entries(facts))
    entries = [one for one in entries if one["kind"] in kinds] or entries
    places: dict[str, Place] = {}
    for entry in entries:
        for fault in find(entry):
            file, source, line = _source(entry, fault.name)
            name = str(entry["user"]) if source == "user_file" else file
            place = places.setdefault(name, Place(source=source, file=file))
            place.faults.setdefault((fault.name, fault.words), fault)
            place.values[fault.name] = _value(entry, fault.name)
            for known, new in ((place.labels, _label(entry)), (place.evidence, line)):
                if new not in known:
                    known.append(new)
    idle = policy.toolchain == "optional" and not any(one["go"] for one in entries)
    for name, place in places.items():
        yield _failed(name, place, hint, idle=idle, harmful=harmful)
    if not places:
        yield good(entries)


def _failed(name: str, place: Place, hint: str, *, idle: bool, harmful: bool) -> Outcome:
    faults = list(place.faults.values())
    ranks = [SEVERITIES.index(fault.severity) if fault.severity else None for fault in faults]
    severity = None if None in ranks else SEVERITIES[max(rank for rank in ranks if rank is not None)]
    if idle:
        severity = "low"
    first = faults[0]
    more = f" (and {len(faults) - 1} more there)" if len(faults) > 1 else ""
    others = [f"{fault.name}={place.values[fault.name]} {fault.words}" for fault in faults]
    remedy = Remediation(hint=hint, role=ROLE)
    if place.source == "user_file" and harmful:
        names = sorted(place.values)
        command = f"sudo -u {shlex.quote(name)} env GOENV={shlex.quote(place.file)} go env -u {' '.join(names)}"
        # Without these lines go is as careful as it comes; a proxy or flags are somebody's choice.
        safe = "apply" if set(names) <= _NOT_MISSED else "manual"
        remedy = Remediation(hint=hint, command=command, role=ROLE, safe=safe)
    return failed(
        f"{first.name}={place.values[first.name]} {first.words}{more}; that counts for {', '.join(place.labels)}.",
        subject=name, actual=dict(place.values), evidence=[*place.evidence, *(others if more else ())], severity=severity,
        remediation=remedy)


def _lines(entries: Iterable[Entry], *names: str) -> list[str]:
    return list(dict.fromkeys(_source(entry, name)[2] for entry in entries for name in names if _value(entry, name)))


def _values(entries: Iterable[Entry], name: str) -> list[str]:
    return list(dict.fromkeys(_value(entry, name) for entry in entries))


def _proxies(entry: Entry) -> goproxy.ProxyList | None:
    try:
        return goproxy.proxies(_value(entry, "GOPROXY"))
    except ValueError:
        return None


# --- the checks ---------------------------------------------------------------------------------------------------------

@check(
    "modules.proxy_configured",
    title="GOPROXY is a list that go takes, without credentials, and the one that is wanted",
    severity="medium",
    why="An empty or mistyped GOPROXY stops every build that needs a module (cmd/go/internal/modfetch/proxy.go, proxyList), and "
        "since Go 1.21 an empty line in go/env hides the default as well. A password in the URL is shown by `go env`, in bug "
        "reports and by /proc/PID/environ; netrc is where Go wants it (https://go.dev/ref/mod#private-module-proxy-auth).",
    judged="GOPROXY as go would read it, for every shell that finds a go and every user with a go/env file. The default "
           "(proxy.golang.org, then direct), `direct` and `off` are lists like any other. Where the threshold `proxies` names "
           "URLs, each proxy of the list has to begin with one of them, and there has to be one.",
    remediation=Remediation(hint="Set GOPROXY to URLs without credentials; put those into ~/.netrc.", role=ROLE),
    needs=NEEDS,
    thresholds={"proxies": Threshold((), "Proxies that may be used, as beginnings of their URLs; empty for any.")},
)
def proxy_configured(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    wanted: tuple[str, ...] = tuple(policy.threshold("modules.proxy_configured", "proxies", ()))

    def find(entry: Entry) -> Iterator[Fault]:
        value = _value(entry, "GOPROXY")
        if goproxy.has_credentials(value):
            yield Fault("GOPROXY", "carries credentials in a URL, where everybody who can read the setting sees them")
        try:
            steps = goproxy.proxies(value).steps
        except ValueError as exc:
            yield Fault("GOPROXY", f"is refused by go: {exc}")
            return
        if wanted:
            used = [step.url for step in steps if step.host or step.scheme == "file"]
            other = [url for url in used if not any(_begins(url, one) for one in wanted)]
            if other or not used:
                yield Fault("GOPROXY", f"{'asks ' + other[0] if other else 'asks no proxy'}; wanted is {' or '.join(wanted)}")

    def good(entries: list[Entry]) -> Outcome:
        values = _values(entries, "GOPROXY")
        return passed(f"GOPROXY is {' or '.join(values)}.", actual=values, expected=list(wanted) or None,
                      evidence=_lines(entries, "GOPROXY"))

    yield from _judge(facts, policy, find, good=good, hint=proxy_configured.remediation.hint)


def _begins(url: str, prefix: str) -> bool:
    """Whether a URL lies at or below another: https://a.example is no beginning of https://a.example.org."""
    prefix = prefix.rstrip("/")
    return url == prefix or url.startswith(prefix + "/")


@check(
    "modules.checksum_db",
    title="What is downloaded is compared with the checksum database",
    severity="high",
    why="The first time a module version is downloaded nothing but the checksum database says that it is what everybody else got; "
        "go.sum only remembers that first answer (https://go.dev/ref/mod#checksum-database). With GOSUMDB=off, or a GONOSUMDB or "
        "GOPRIVATE that covers public hosts, a proxy or a moved tag can put other code into the build unnoticed.",
    judged="GOSUMDB is not `off` and is a database that go takes; no glob of GONOSUMDB (by default GOPRIVATE) covers a whole public "
           "host: `*`, `*.org`, `github.com`. A part of one (`github.com/acme`) and hosts of one's own are what these "
           "variables are for. GOFLAGS=-insecure fails: before Go 1.17 it switched the checks off, since then `go get` refuses it. "
           "GONOSUMCHECK is ignored by go and only shown. Nothing is judged where GOPROXY=off and no module is fetched. Where no PATH has "
           "a go and preflight_toolchain is optional, a fault is low, here and in the other checks of this family.",
    remediation=Remediation(hint="Take the setting away, or narrow it to the modules that are your own.", role=ROLE),
    needs=NEEDS,
)
def checksum_db(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    def find(entry: Entry) -> Iterator[Fault]:
        if _value(entry, "GOPROXY").strip() == "off":
            return
        for name in ("GOSUMDB", "GONOSUMDB", "GOFLAGS"):
            value = _value(entry, name)
            reason = goproxy.unverified(name, value)
            if name == "GOSUMDB" and not reason:
                fault = goproxy.sumdb_fault(value)
                if fault:
                    yield Fault(name, f"cannot be used: {fault}", "medium")
            elif reason:
                yield Fault(_named(entry, name), reason.removeprefix("it "))

    def good(entries: list[Entry]) -> Outcome:
        exempt = [value for value in _values(entries, "GONOSUMDB") if value]
        note = f"; not asked for {' or '.join(exempt)}" if exempt else ""
        asked = [value for value in _values([one for one in entries if _value(one, "GOPROXY").strip() != "off"], "GOSUMDB") if value]
        if not asked:
            return passed("GOPROXY=off: no module is fetched.", evidence=_lines(entries, "GOPROXY"))
        return passed(f"Downloads are compared with {' or '.join(asked)}{note}.", actual=asked,
                      evidence=_lines(entries, "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK"))

    yield from _judge(facts, policy, find, good=good, hint=checksum_db.remediation.hint, harmful=True)


def _named(entry: Entry, name: str) -> str:
    """GOPRIVATE where the list comes from there: that is the variable to change."""
    own, private = entry["values"].get(name), entry["values"].get("GOPRIVATE")
    return "GOPRIVATE" if private and own == private and name in ("GONOSUMDB", "GONOPROXY") else name


@check(
    "modules.insecure",
    title="Modules come over TLS whose certificate is checked",
    severity="high",
    why="GOINSECURE lets go fetch over plain HTTP and without checking certificates "
        "(https://go.dev/ref/mod#environment-variables), and a proxy with http:// answers in clear: who sits between can give "
        "other code to every module that the checksum database does not vouch for, and read what is built.",
    judged="No glob in GOINSECURE beyond loopback, and no http:// proxy beyond loopback. GOINSECURE counts for direct fetches only; "
           "one that covers no public host is medium. An http:// proxy is medium where the checksum database vouches for every module "
           "(it is on, and GONOSUMDB and GOPRIVATE are empty). GOVCS that lets every version control tool fetch public modules is low. "
           "The threshold `http_proxies` names proxies whose plain HTTP is accepted (in a mesh that encrypts).",
    remediation=Remediation(hint="Give the proxy or the server a certificate that the hosts trust, and take the setting away.", role=ROLE),
    needs=NEEDS,
    thresholds={"http_proxies": Threshold((), "Hosts of proxies that may be asked over plain HTTP.")},
)
def insecure(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    accepted = set(policy.threshold("modules.insecure", "http_proxies", ()))

    def find(entry: Entry) -> Iterator[Fault]:
        value = _value(entry, "GOINSECURE")
        far = [one for one in goproxy.patterns(value) if not goproxy.is_loopback(one.split("/")[0].split(":")[0])]
        if far:
            public = goproxy.whole_hosts(value)
            covers = "every module" if len(public) == len(goproxy.PUBLIC_HOSTS) else ", ".join(public or far)
            yield Fault("GOINSECURE", f"lets go fetch {covers} over plain HTTP or from a server whose certificate nobody checks",
                        None if public else "medium")
        listed = _proxies(entry)
        for step in listed.steps if listed else ():
            if step.scheme == "http" and not goproxy.is_loopback(step.host) and step.host not in accepted:
                vouched = _value(entry, "GOSUMDB").strip() not in ("", "off") and not _value(entry, "GONOSUMDB")
                yield Fault("GOPROXY", f"asks {step.host} over plain HTTP", "medium" if vouched else None)
        for rule in _value(entry, "GOVCS").split(","):
            pattern, _colon, tools = rule.strip().partition(":")
            if pattern in ("*", "public") and "all" in tools.split("|"):
                yield Fault("GOVCS", "lets every version control tool fetch public modules; go's own rule is git and hg", "low")

    def good(entries: list[Entry]) -> Outcome:
        return passed("Modules are fetched over TLS, and certificates are checked.", evidence=_lines(entries, "GOPROXY", "GOINSECURE"))

    yield from _judge(facts, policy, find, good=good, hint=insecure.remediation.hint, harmful=True)


@check(
    "modules.private_leak",
    title="Names of private modules are not told to public services",
    severity="medium",
    why="go asks the proxy and the checksum database for every module path that GOPRIVATE does not cover: with the defaults the names "
        "of private repositories, and of their branches and versions, go to public services, and the build fails "
        "with 404 or 410 besides (https://go.dev/ref/mod#private-modules).",
    judged="Private are the prefixes in the threshold `private`; for a user also what the own GOPRIVATE, GONOPROXY or GONOSUMDB name, "
           "and what git is told to fetch from elsewhere (url.X.insteadOf for a host that is not public, or for one organisation "
           "of a public host). In the user's shells, and for users with a go/env file, each of them has to be covered by "
           "GONOPROXY wherever a public proxy is in the list (low where it is behind one of your own), and by GONOSUMDB wherever "
           "the database is a public one. Where nothing says that there are private modules the question does not arise. Machines "
           "in ~/.netrc are shown, but prove nothing, unless a module that preflight_proxy names lies there. From profile standard on "
           "what preflight_proxy names as private counts too. Nobody is asked about any of them to find out.",
    remediation=Remediation(hint="Put the prefix into GOPRIVATE.", role=ROLE),
    needs=(*NEEDS, "modules.git"),
    thresholds={"private": Threshold((), "Prefixes of private module paths, for instance git.example.com or github.com/acme.")},
)
def private_leak(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    general, personal = _private(facts, policy)
    private = {**general, **{prefix: why for known in personal.values() for prefix, why in known.items()}}
    if not private and _nothing_to_judge(facts, policy) is None:
        machines = sorted({machine for one in lookup(facts, "modules.netrc") or () for machine in one["machines"]})
        yield notapplicable("Nothing says that private modules are built here; the threshold `private` names them.",
                            evidence=[f"machines in netrc files: {', '.join(machines)}"] if machines else [])
        return

    def find(entry: Entry) -> Iterator[Fault]:
        listed = _proxies(entry)
        steps = listed.steps if listed else []
        proxies = [step for step in steps if step.host]
        public = [step for step in proxies if step.public]
        name = "".join(_value(entry, "GOSUMDB").split()[:1]).partition("+")[0]  # the key may stand with it
        database = name if name in goproxy.PUBLIC_SUMDBS else None
        fetches = any(step.url != "off" for step in steps)
        for prefix, why in {**general, **personal.get(str(entry["user"]), {})}.items():
            if public and not goproxy.matches(_value(entry, "GONOPROXY"), prefix):
                behind = proxies[0] not in public
                yield _leak(entry, "GOPROXY", "GONOPROXY", public[0].host, f"{prefix} ({why})", "low" if behind else None)
            elif database and fetches and not goproxy.matches(_value(entry, "GONOSUMDB"), prefix):
                yield _leak(entry, "GOSUMDB", "GONOSUMDB", database, f"{prefix} ({why})", None)

    def good(entries: list[Entry]) -> Outcome:
        return passed(f"Nothing public is asked about {', '.join(private)}.", actual=list(private),
                      evidence=_lines(entries, "GOPROXY", "GONOPROXY", "GONOSUMDB"))

    first = next(iter(private), "")
    yield from _judge(facts, policy, find, good=good, hint=f"Put the prefix into GOPRIVATE, for instance GOPRIVATE={first}.",
                      kinds=("login", "non_login", "file"))


def _leak(entry: Entry, name: str, exempt: str, asked: str, what: str, severity: str | None) -> Fault:
    """The fault stands where the list of exemptions does; where there is none, with who is asked."""
    if _value(entry, exempt):
        return Fault(exempt, f"does not cover {what}, so that {asked} is told about it", severity)
    return Fault(name, f"tells {asked} about {what}, and {exempt} is not set", severity)


def _private(facts: Facts, policy: Policy) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Prefixes of private modules and who says so: for everybody, and by user what only that user's own files say."""
    general = {prefix.strip("/"): "preflight_thresholds" for prefix in policy.threshold("modules.private_leak", "private", ())}
    personal: dict[str, dict[str, str]] = {}
    for entry in lookup(facts, "modules.settings") or ():
        for name in ("GOPRIVATE", "GONOPROXY", "GONOSUMDB"):
            source, line = _source(entry, name)[1:]
            known = general if source == "goroot_file" else personal.setdefault(str(entry["user"]), {})
            for glob in goproxy.patterns(_value(entry, name)):
                # A glob stands for many prefixes; a word such as `none` for no module path at all.
                if not any(char in glob for char in "*?[") and "." in glob.split("/")[0] and glob not in goproxy.PUBLIC_HOSTS:
                    known.setdefault(glob, line.partition(": ")[0])
    for chain in lookup(facts, "proxies.chains") or ():
        for one in chain["private"]:
            for setting in chain["settings"]:
                personal.setdefault(str(setting["user"]), {}).setdefault(str(one["path"]), str(one["why"]))
    for rewrite in lookup(facts, "modules.git") or ():
        prefix = _rewritten(str(rewrite["instead_of"]))
        if prefix and prefix not in goproxy.PUBLIC_HOSTS:
            known = personal.setdefault(str(rewrite["user"]), {}) if rewrite["user"] else general
            known.setdefault(prefix, f"{rewrite['where']}: insteadOf")
    return general, personal


def _parts(url: str) -> SplitResult:
    """The parts of a URL of the facts. Brackets are for IPv6 addresses alone: ``user:[redacted]@host`` is none to urlsplit()."""
    return urlsplit(url.replace(redact.REDACTED, "redacted"))


def _rewritten(address: str) -> str:
    """The module prefix that a git address stands for: https://git.example.com/ -> git.example.com."""
    if "://" not in address:
        return ""
    parts = _parts(address)
    path = parts.path.strip("/")
    return (parts.hostname or "") + ("/" + path if path else "") if "." in (parts.hostname or "") else ""


@check(
    "modules.fallback",
    title="What happens when a proxy does not answer is what the list says",
    severity="low",
    why="Behind `,` go tries the next entry on 404 and 410 only; behind `|` on every error, a 403 of a proxy that blocks a module "
        "included; and it reads nothing behind `direct` or `off` (https://go.dev/ref/mod#environment-variables; "
        "cmd/go/internal/modfetch/proxy.go).",
    judged="No entry stands behind `direct` or `off`, and none twice. A proxy of one's own is not left on every error (`|`) for a "
           "public proxy or `direct`, for then its policy can be passed by; the threshold `leave` makes that stricter or switches it off. "
           "The default list passes: nobody's policy is passed by. A single proxy without any fallback passes too, as a decision. From "
           "profile standard on it fails also where an entry does not answer now, go stops there (`,`), and one behind it answers.",
    remediation=Remediation(hint="Separate the entries by `,`, put `direct` or `off` last, and name each proxy once.", role=ROLE),
    needs=NEEDS,
    thresholds={"leave": Threshold("not_found", "When go may leave a proxy of one's own for a public one or `direct`: any_error (`|`), "
                                                "not_found (`,`), never.", choices=("any_error", "not_found", "never"))},
)
def fallback(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    leave = policy.threshold("modules.fallback", "leave", "not_found")

    def find(entry: Entry) -> Iterator[Fault]:
        listed = _proxies(entry)
        if listed is None:
            return  # modules.proxy_configured says so
        steps = listed.steps
        if listed.unreached:
            yield Fault("GOPROXY", f"has {listed.unreached[0]} behind {steps[-1].url}, where go never looks")
        urls = [step.url for step in steps]
        twice = [url for url in urls if urls.count(url) > 1]
        if twice:
            yield Fault("GOPROXY", f"names {twice[0]} twice: that is no fallback")
        for step, after in zip(steps, steps[1:]):
            own = bool(step.host or step.scheme == "file") and not step.public
            if not own or not (after.public or after.url == "direct"):
                continue
            target = after.host or after.url
            if step.on_error and leave != "any_error":
                yield Fault("GOPROXY", f"goes from {step.host or step.url} to {target} on every error (`|`), also when the proxy "
                                       "refuses the module or is down")
            elif leave == "never":
                yield Fault("GOPROXY", f"goes from {step.host or step.url} to {target}; wanted is never")

    def good(entries: list[Entry]) -> Outcome:
        return passed("Every entry of GOPROXY is reached, and none passes by a proxy of one's own.",
                      actual=_values(entries, "GOPROXY"), evidence=_lines(entries, "GOPROXY"))

    tried = list(_tried(facts, policy))
    for outcome in _judge(facts, policy, find, good=good, hint=fallback.remediation.hint):
        if outcome.status != "pass" or not any(one.status == "fail" for one in tried):
            yield outcome
    yield from tried


def _tried(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    """What go does now, for each list whose first entry does not answer."""
    if _nothing_to_judge(facts, policy):
        return
    seen: set[str] = set()
    for chain in _chains(facts):
        entries = chain["entries"]
        for position, entry in enumerate(entries):
            standing = _standing(chain, entry)
            if standing.word in ("ok", "partly", "idle", "unknown"):
                break
            later = next((one for one in entries[position + 1:] if _standing(chain, one).word == "ok"), None)
            subject = _address(entry)
            if subject in seen:
                break
            if standing.word == "failed" and (entry["separator"] == "," or standing.request is None or _taken(entry)):
                if later is not None and standing.request is not None:
                    seen.add(subject)
                    does = "and behind `,` go stops there" if entry["separator"] == "," else TAKEN
                    yield failed(
                        f"{_said(entry, standing)}, {does}, although {later['url']} behind it answers.",
                        subject=subject, actual=chain["value"], evidence=_asked(entry) + _asked(later), remediation=Remediation(
                            hint=f"Mend {subject}; where {_address(later)} may stand in for it, separate the two by `|`.", role=ROLE),
                        severity=_idle(facts, policy))
                break
            if later is not None and later is entries[position + 1]:
                seen.add(subject)
                yield passed(f"{_said(entry, standing)}, and go goes on to {later['url']}, which answers.", subject=subject,
                             actual=chain["value"], evidence=_asked(entry) + _asked(later))
                break


# --- what the proxies answered --------------------------------------------------------------------------------------------

PROBED = (*NEEDS, "proxies.chains")
DECLARE = "preflight_proxy: {modules: [path@version]} says which"
TAKEN = "and go takes that for a go.mod or a zip"
# What this collection cannot ask as go does: nothing is known then.
_CANNOT = frozenset(("budget", "http2", "unsupported"))


@dataclass(frozen=True)
class Standing:
    """How an entry of a list answered. ``word``: ok, not_found (go goes on), failed, partly (what a build of known versions asks for
    is there), unknown, idle (was not asked)."""

    word: str
    words: str = ""
    request: Mapping[str, Any] | None = None


def _chains(facts: Facts) -> list[Mapping[str, Any]]:
    return [one for one in lookup(facts, "proxies.chains") or () if not one["error"]]


def _address(entry: Mapping[str, Any]) -> str:
    """The URL of a proxy for people and waivers: without scheme and credentials."""
    parts = _parts(str(entry["url"]))
    return (parts.netloc.rpartition("@")[2] + parts.path).rstrip("/") or str(entry["url"])


def _standing(chain: Mapping[str, Any], entry: Mapping[str, Any]) -> Standing:
    if not entry["asked"]:
        return Standing("idle", str(entry["not_asked"]))
    # What a build asks for comes first: the list and @latest are for `go get` and `go list -m -u`.
    requests = sorted(entry["requests"], key=lambda one: one["what"] in ("list", "latest"))
    declared = _declared(entry)
    for one in requests:
        if one["outcome"] == "error":
            kind, message = str(one["error"]["kind"]), str(one["error"]["message"])
            if kind in _CANNOT or (kind == "denied" and entry["kind"] == "file" and one["status"] is None):
                return Standing("unknown", message, one)
            if kind in ("http_401", "http_403") and chain["goauth"] == "program":
                return Standing("unknown", f"{message}; the program of GOAUTH, which would give credentials, is not run from here", one)
            if kind == "http_403" and not declared:
                # What a proxy does that serves a list of modules (https://go.dev/ref/mod#private-module-proxy-direct).
                return Standing("unknown", f"{message} to {one['path']}, which may be its rule for modules that are not on a list; "
                                           f"{DECLARE} you need", one)
            part = declared and one["what"] in ("list", "latest") and one["status"] is not None
            return Standing("partly" if part else "failed", f"{message} ({one['path']})" if one["status"] else message, one)
    for one in entry["hashes"]:
        if one["ok"] is False:
            knows = bool(chain["sumdb"]) and one["from"] == chain["sumdb"]["name"]
            then = "and go refuses them" if knows else "which go would not notice"
            return Standing("failed", f"gives other bytes than {one['from']}, {then}: the {'go.mod' if one['what'] == 'mod' else 'zip'} of "
                                      f"{one['module']} is {one['found']}, there {one['expected']}")
    first = next((one for one in requests if one["what"] in ("info", "list") and one["outcome"] == "not_found"), None)
    found = [one for one in requests if one["what"] in ("info", "mod", "zip") and one["outcome"] == "ok"]
    if first is not None and not found:
        return Standing("not_found", f"answers {first['status']} ({first['path']})", first)
    missing = next((one for one in requests if one["what"] in ("mod", "zip") and one["outcome"] == "not_found"
                    and any(other["what"] == "info" and other["module"] == one["module"] for other in found)), None)
    if missing is not None:
        return Standing("failed", f"has the version, but answers {missing['status']} ({missing['path']})", missing)
    return Standing("ok")


def _declared(entry: Mapping[str, Any]) -> bool:
    """Whether an entry was asked for declared modules, and not for one that it need not have."""
    return any("@" in one["module"] for one in entry["requests"])


def _lacking(chain: Mapping[str, Any], position: int) -> Mapping[str, Any] | None:
    """The answer of the list's last entry about a declared module that no entry has; None where there is none, or who knows."""
    entries = chain["entries"]
    if position + 1 < len(entries) or any(_standing(chain, one).word == "unknown" for one in entries):
        return None
    infos = [one for entry in entries for one in entry["requests"] if one["what"] == "info"]
    there = {one["module"] for one in infos if one["outcome"] == "ok"}
    return next((one for one in entries[position]["requests"]
                 if one["what"] == "info" and one["outcome"] == "not_found" and one["module"] not in there), None)


def _said(entry: Mapping[str, Any], standing: Standing) -> str:
    """The proxy and what it did, as the beginning of a sentence."""
    verbs = ("answers", "gives", "has", "did", "closed", "reset", "redirects", "speaks", "does", "asks")
    return f"{entry['url']}{' ' if standing.words.startswith(verbs) else ': '}{standing.words}"


def _asked(entry: Mapping[str, Any]) -> list[str]:
    """One line for each request."""
    lines = []
    for one in entry["requests"]:
        said = one["error"]["message"] if one["error"] else str(one["status"])
        total = one["phases"].get("total")
        lines.append(f"GET {entry['url'].rstrip('/')}/{one['path']}: {said}" + (f", {total} ms" if total is not None else "")
                     + (f", {one['redirects']} redirects" if one["redirects"] else ""))
    if entry["via"]:
        lines.append(f"through the HTTP proxy {entry['via']}")
    return lines


def _idle(facts: Facts, policy: Policy) -> str | None:
    """The severity of what concerns a host that need not have a Go, and where no shell has one."""
    return "low" if policy.toolchain == "optional" and not any(one["go"] for one in _entries(facts)) else None


def _least(*severities: str | None) -> str | None:
    known = [one for one in severities if one]
    return min(known, key=SEVERITIES.index) if known else None


# (chain, position in it, entry) -> what to say about the entry
Judge = Callable[[Mapping[str, Any], int, Mapping[str, Any]], Outcome]


def _probed(facts: Facts, policy: Policy, judge: Judge) -> Iterator[Outcome]:
    """One outcome for each proxy that was asked; with the shells in its subject where they do not see the same of it."""
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    found: dict[tuple[str, str], list[Seen]] = {}
    reasons: dict[str, None] = {}
    for chain in lookup(facts, "proxies.chains"):
        if chain["error"]:
            reasons.setdefault(str(chain["error"]["message"]))
        here = set()
        for position, entry in enumerate(chain["entries"]):
            key = (_address(entry), _parts(str(entry["url"])).scheme)
            if not entry["asked"]:
                reasons.setdefault(f"{entry['url'] + ': ' if entry['kind'] in ('proxy', 'file') else ''}{entry['not_asked']}")
            elif key not in here:  # a list that names one twice is a matter of modules.fallback
                here.add(key)
                found.setdefault(key, []).append((chain, judge(chain, position, entry)))
    addresses = [address for address, _scheme in found]
    for (address, scheme), seen in found.items():
        yield from _by_shells(address if addresses.count(address) == 1 else f"{scheme}://{address}", seen)
    if not found:
        yield notapplicable(f"No module proxy was asked: {next(iter(reasons), 'GOPROXY names none')}.", evidence=list(reasons))


# (chain, what to say about something in it)
Seen = tuple[Mapping[str, Any], Outcome]


def _by_shells(subject: str, seen: Iterable[Seen]) -> Iterator[Outcome]:
    """One outcome for all who see the same of a subject; with their shells in its name where others see something else."""
    same: dict[tuple[str, str], list[str]] = {}
    outcomes: dict[tuple[str, str], Outcome] = {}
    for chain, outcome in seen:
        key = (outcome.status, outcome.reason if outcome.status == "fail" else "")
        outcomes.setdefault(key, outcome)
        same.setdefault(key, []).extend(_label(one) for one in chain["settings"])
    for key, outcome in outcomes.items():
        whose = ", ".join(dict.fromkeys(same[key]))
        yield replace(outcome, subject=subject if len(outcomes) == 1 else f"{subject} ({whose})")


def _taken(entry: Mapping[str, Any]) -> bool:
    """Whether go takes a 200 of this proxy for a go.mod or a zip that it is not: then nobody behind it is asked, whatever separates
    them. Tried with go 1.27.3; only .info and @latest are parsed before the next entry's turn is over (modfetch, TryProxies)."""
    return any(one["what"] in ("mod", "zip") and one["error"] and one["error"]["kind"] == "protocol" for one in entry["requests"])


def _what_go_does(chain: Mapping[str, Any], position: int, *, goes_on: bool) -> str:
    entries = chain["entries"]
    after = entries[position + 1]["url"] if position + 1 < len(entries) else ""
    if not after:
        return "and go has nobody else to ask"
    return f"and go goes on to {after}" if goes_on else "and behind `,` go stops there"


def _weight(facts: Facts, policy: Policy, chain: Mapping[str, Any], position: int) -> str | None:
    """What an entry that does not answer is worth, where that is less than the check's own severity."""
    entries = chain["entries"]
    declared = _declared(entries[position])
    before = any(_standing(chain, one).word == "ok" for one in entries[:position])
    after = any(_standing(chain, one).word == "ok" or one["url"] == "direct" for one in entries[position + 1:])
    return _least(
        _idle(facts, policy), "low" if before and declared else None, "medium" if position else None,
        "medium" if entries[position]["separator"] == "|" and after and not _taken(entries[position]) else None,
        "medium" if chain["implicit"] and not declared else None)


@check(
    "modules.proxy_reachable",
    title="Every module proxy answers in the protocol, with the right bytes",
    severity="high",
    why="A build fetches what it needs from the entries of GOPROXY in their order. Only 404 and 410 lead past an entry with `,` behind "
        "it: a 500, a 403, a refused connection, a certificate that has expired or a login page with status 200 stops every build that "
        "needs a module, wherever the module is (cmd/go/internal/modfetch/proxy.go; https://go.dev/ref/mod#goproxy-protocol).",
    judged="From the host, as go does it: through the user's HTTP_PROXY, HTTPS_PROXY and NO_PROXY, with netrc's credentials over https, "
           "certificates verified with the host's CA store or SSL_CERT_FILE and SSL_CERT_DIR, at most 10 redirects. Each proxy is asked "
           "`@v/list`, `.info`, `.mod`, `.zip` and `@latest` of the modules of preflight_proxy; the hash of what it gives is "
           "compared with the checksum database, or with another proxy of the list. Without modules it is asked for the list of "
           "golang.org/x/text: 404 and 410 are answers then, and a 403 is unknown, for it may be a rule. So is what only this "
           "collection cannot do (HTTP/2 alone, SOCKS, a program in GOAUTH). The checksum database is asked the way go would take. "
           "`direct` is not tried. What only go's default names is asked only where modules are declared or a toolchain is required, and "
           "for sudo and systemd not where the user's shells have a list. "
           "Medium where go goes on (`|`) or another entry comes first, low where that one has every declared module.",
    remediation=Remediation(hint="Look at the first request in the evidence from that host, as that user: curl -v URL.", role=ROLE),
    needs=PROBED,
    profile="standard",
)
def proxy_reachable(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    def judge(chain: Mapping[str, Any], position: int, entry: Mapping[str, Any]) -> Outcome:
        standing = _standing(chain, entry)
        evidence = _asked(entry)
        if standing.word == "unknown":
            return unknown(f"{_said(entry, standing)}.", evidence=evidence)
        lacking = _lacking(chain, position) if standing.word in ("ok", "not_found") else None
        if lacking is not None:
            return failed(f"{entry['url']} answers {lacking['status']} ({lacking['path']}), and go has nobody else to ask; wanted is a "
                          "proxy that has the module.", actual="not found", evidence=evidence, severity=_idle(facts, policy))
        if standing.word == "not_found":
            only = "" if _declared(entry) else f"; which modules it has is not known ({DECLARE} matter)"
            return passed(f"{_said(entry, standing)}, {_what_go_does(chain, position, goes_on=True)}{only}.", actual="not found",
                          evidence=evidence)
        if standing.word == "failed" and standing.request is None:
            return failed(f"{_said(entry, standing)}.", actual=standing.words, evidence=evidence, severity=_idle(facts, policy),
                          remediation=Remediation(hint="Find out which of the two is right before anything is built with it.", role=ROLE))
        if standing.word == "partly":
            return failed(f"{_said(entry, standing)}: builds of known versions work, `go get` and `go list -m -u` do not.",
                          actual=standing.words, evidence=evidence, severity=_least(_idle(facts, policy), "medium"),
                          remediation=_remedy(chain, standing, entry))
        if standing.word == "failed":
            on = entry["separator"] == "|" or (standing.request is not None and standing.request["outcome"] == "not_found")
            does = TAKEN if _taken(entry) and on else _what_go_does(chain, position, goes_on=on)
            return failed(f"{_said(entry, standing)}, {does}.", actual=standing.words,
                          evidence=evidence, severity=_weight(facts, policy, chain, position), remediation=_remedy(chain, standing, entry))
        return passed(f"{entry['url']} answers in the protocol{_compared(facts, entry)}.", actual="answers", evidence=evidence)

    yield from _probed(facts, policy, judge)
    if not _nothing_to_judge(facts, policy):
        yield from _databases(facts, policy)


def _compared(facts: Facts, entry: Mapping[str, Any]) -> str:
    zips = [one for one in entry["hashes"] if one["what"] == "zip"]
    if not zips:
        return ""
    good = [one for one in zips if one["ok"]]
    if len(good) == len(zips):
        return f", and its bytes are those that {' and '.join(dict.fromkeys(one['from'] for one in good))} has"
    sums = {(one["module"], one["sum"]) for one in lookup(facts, "proxies.downloads") or () if one["rc"] == 0 or _newer_go(one)}
    if all((one["module"], one["found"]) in sums for one in zips):
        return "; its bytes are those that go downloaded, and no checksum database answered for them"
    return "; its bytes were compared with nothing (no checksum database answered, and no other proxy has the module)"


def _remedy(chain: Mapping[str, Any], standing: Standing, entry: Mapping[str, Any]) -> Remediation | None:
    if chain["implicit"] and standing.request is not None and standing.request["status"] is None:
        return Remediation(hint="Set GOPROXY to a proxy that this host reaches, or to off where builds need no module.", role=ROLE)
    kind = str(standing.request["error"]["kind"]) if standing.request and standing.request["error"] else ""
    host = _parts(str(entry["url"])).netloc.rpartition("@")[2]
    hint = {
        "http_401": f"Put credentials for {host} into the user's ~/.netrc (go sends them over https only).",
        "http_403": f"Ask whoever runs {host} why this module, or this user, is refused.",
        "certificate": f"Renew the certificate of {host}, or put the CA that signed it into the host's CA store (update-ca-certificates).",
        "resolve": f"Mend the name: getent hosts {host.rpartition(':')[0] or host} on that host.",
        "refused": f"Start the proxy, or mend the port: nothing listens at {host}.",
        "http_proxy": "Look at the HTTP proxy, or name the host in NO_PROXY.",
        "protocol": f"Mend the path in GOPROXY, or have {host} answer go with 401 in place of a page for people.",
        "insecure": "Use https, and put the credentials into ~/.netrc.",
    }.get(kind)
    if hint is None and standing.request is not None:
        hint = f"Run curl -v {str(entry['url']).rstrip('/')}/{standing.request['path']} on that host, and look into the log of {host}."
    return Remediation(hint=hint, role=ROLE) if hint else None


def _databases(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    """The checksum databases, where they were asked."""
    found: dict[str, list[Seen]] = {}
    for chain in _chains(facts):
        database = chain["sumdb"]
        if not database or not (database["asked"] or database["error"]):
            continue
        error = database["error"]
        if error and any(_standing(chain, one).word in ("failed", "unknown") for one in chain["entries"]):
            continue  # the proxy that stands before it does not answer: that is said already
        found.setdefault(str(database["name"]), []).append((chain, _database(facts, policy, chain, database)))
    for name, seen in found.items():
        yield from _by_shells(name, seen)


def _database(facts: Facts, policy: Policy, chain: Mapping[str, Any], database: Mapping[str, Any]) -> Outcome:
    name, way, error = str(database["name"]), "through the proxies", database["error"]
    refused = "every module that is not in go.sum"
    broken = next((one for one in database["requests"] if one["what"] != "sumdb" and one["outcome"] != "ok"), None)
    if broken and not error:
        error = broken["error"] or {"kind": "", "message": f"answers {broken['status']} ({broken['path']})"}
        if broken["what"] == "lookup" and broken["status"] is not None:
            refused = f"{broken['module']} where it is not in go.sum"
    evidence = [f"GET {one['path']}: {one['error']['message'] if one['error'] else one['status']}" for one in database["requests"]]
    if database["url"]:
        way = f"{'through' if database['via_proxy'] else 'at'} {database['url']}"
    if error and (error["kind"] in _CANNOT or (error["kind"] in ("http_401", "http_403") and chain["goauth"] == "program")):
        return unknown(f"The checksum database {name} ({way}): {error['message']}.", evidence=evidence)
    if error:
        return failed(f"The checksum database {name} ({way}): {error['message']}, and go refuses {refused}.",
                      actual=error["message"], evidence=evidence, severity=_least(_idle(facts, policy), "medium"),
                      remediation=Remediation(hint="Let the proxy carry the database (sumdb/NAME/supported), or open the way to it; "
                                                   "modules of your own belong into GOPRIVATE.", role=ROLE))
    return passed(f"The checksum database {name} answers ({way}).", evidence=evidence)


def _load_of(chain: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Outcome | None]:
    """The load on an entry, or why there is none to judge."""
    standing = _standing(chain, entry)
    load = entry["load"]
    if load is None or not load["requests"]:
        if entry["kind"] == "file":
            return None, notapplicable(f"{entry['url']} is a folder: nothing is asked over the network.")
        if standing.word == "failed":
            return None, notapplicable(f"{_said(entry, standing)}: modules.proxy_reachable says so.")
        why = standing.words or ((load or {}).get("error") or {}).get("message") or "the budget (preflight_budget) was used up before it"
        return None, unknown(f"{entry['url']} was not loaded: {why}.")
    return load, None


@check(
    "modules.proxy_latency",
    title="Module proxies answer fast",
    severity="medium",
    why="A cold build asks a proxy some hundred times, for a few dozen modules one after the other: each wants .info, .mod and .zip. "
        "A proxy that takes half a second each makes minutes of it, and CI jobs run into their time limits.",
    judged="The 95th percentile (nearest rank) of the answers to one .info of a declared module, or to the list of golang.org/x/text: 10 "
           "requests in profile standard, 100 in deep, 10 at once (preflight_proxy). Connections are kept as go keeps them, and making "
           "a worker's first one is not counted. Below 20 requests one slow answer alone is none. A proxy that everybody shares gets 10.",
    remediation=Remediation(
        hint="Look at the proxy's own load and its storage; a proxy near the hosts that keeps what it fetched is fast.", role=ROLE),
    needs=PROBED,
    thresholds={"p95_ms": Threshold(200, "The 95th percentile of the answers' times.", unit="ms", minimum=1)},
    profile="standard",
)
def proxy_latency(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    limit = policy.threshold("modules.proxy_latency", "p95_ms", 200)

    def judge(chain: Mapping[str, Any], position: int, entry: Mapping[str, Any]) -> Outcome:
        load, none = _load_of(chain, entry)
        if load is None:
            return none or unknown(f"{entry['url']} was not loaded.")
        figures = load["ms"]
        if figures is None:
            return unknown(f"{entry['url']}: none of {load['requests']} requests was answered; modules.proxy_errors says why.")
        words = f"{figures['p95']} ms in {load['ok']} requests, {load['concurrency']} at once"
        evidence = [f"{load['path']}: min {figures['min']}, median {figures['median']}, p95 {figures['p95']}, max {figures['max']} ms; "
                    f"{load['connections']} connections", *_phases(entry)]
        few = load["ok"] < 20 and len(load["slowest"]) > 1 and load["slowest"][1] <= limit
        if figures["p95"] > limit and not few:
            return failed(f"The 95th percentile of {entry['url']} is {words}; wanted is at most {limit} ms.", actual=figures["p95"],
                          expected=limit, evidence=evidence, severity=_idle(facts, policy))
        return passed(f"The 95th percentile of {entry['url']} is {words}{'; one answer alone was slow' if figures['p95'] > limit else ''}.",
                      actual=figures["p95"], expected=limit, evidence=evidence)

    yield from _probed(facts, policy, judge)


def _phases(entry: Mapping[str, Any]) -> list[str]:
    """What the first connection took."""
    first = entry["requests"][0]["phases"] if entry["requests"] else {}
    made = [f"{name} {first[name]}" for name in ("dns", "connect", "tls") if name in first]
    return [f"the first connection: {', '.join(made)} ms"] if made else []


@check(
    "modules.proxy_errors",
    title="Module proxies answer every request",
    severity="medium",
    why="go does not repeat a request that failed: one answer of a hundred with 502, 429 or a connection that is reset is enough to fail "
        "a cold build now and then, which nobody can reproduce afterwards.",
    judged="The requests of modules.proxy_latency: the share of those that were not answered as the first one was. The threshold `percent` "
           "says how many may.",
    remediation=Remediation(
        hint="Look for this kind of error in the proxy's log at the time of this run; look at its limits of connections.", role=ROLE),
    needs=PROBED,
    thresholds={"percent": Threshold(0.0, "How many of the requests may fail.", unit="percent", minimum=0, maximum=100)},
    profile="standard",
)
def proxy_errors(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    limit = policy.threshold("modules.proxy_errors", "percent", 0.0)

    def judge(chain: Mapping[str, Any], position: int, entry: Mapping[str, Any]) -> Outcome:
        load, none = _load_of(chain, entry)
        if load is None:
            return none or unknown(f"{entry['url']} was not loaded.")
        count = sum(load["errors"].values())
        percent = round(100 * count / load["requests"], 1)
        kinds = ", ".join(f"{number} {'with status ' + kind[5:] if kind.startswith('http_') and kind[5:].isdigit() else kind}"
                          for kind, number in sorted(load["errors"].items()))
        if percent > limit:
            return failed(f"{entry['url']} failed {count} of {load['requests']} requests ({kinds}), {percent} %; "
                          f"wanted is at most {limit:g} %.", actual=percent, expected=limit,
                          evidence=[f"{load['path']}: {kinds}"], severity=_idle(facts, policy))
        return passed(f"{entry['url']} answered {load['requests'] - count} of {load['requests']} requests, {load['concurrency']} at once.",
                      actual=percent, expected=limit)

    yield from _probed(facts, policy, judge)


@check(
    "modules.download",
    title="go really downloads a declared module, and its checksum is right",
    severity="high",
    why="Everything has to fit together for that: the list of proxies, the way there, certificates, credentials, the checksum database, "
        "files. Only go itself tries all of it.",
    judged="`go mod download -json` of each module of preflight_proxy, with the go, the settings and the rights of the user whose shells "
           "find it, into a temporary folder that is removed; go verifies the checksum. What it gives is compared with what the proxies "
           "gave. Version control is not tried: where go would have to, the answer is unknown.",
    remediation=Remediation(
        hint="Run the command in the evidence as that user; modules.proxy_reachable says which proxy fails.", role=ROLE),
    needs=(*PROBED, "proxies.downloads"),
    profile="standard",
)
def download(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    skip = _nothing_to_judge(facts, policy)
    if skip:
        yield skip
        return
    downloads = lookup(facts, "proxies.downloads")
    if not downloads:
        declared = any(chain["modules"] for chain in lookup(facts, "proxies.chains"))
        yield notapplicable("No shell finds a go that could download a module." if declared else
                            f"No module is declared: {DECLARE} is to be downloaded.")
        return
    several = len({one["user"] for one in downloads}) > 1 or len({one["value"] for one in downloads}) > 1
    subjects: set[str] = set()
    for one in downloads:
        subject = f"{one['module']} ({one['user']})" if several else str(one["module"])
        if subject in subjects:
            subject = f"{one['module']} ({one['user']}, {one['value']})"
        if subject in subjects:  # something else of the settings differs
            subject += f" {len(subjects) + 1}"
        subjects.add(subject)
        yield _downloaded(facts, policy, one, subject)


def _downloaded(facts: Facts, policy: Policy, one: Mapping[str, Any], subject: str) -> Outcome:
    command = f"GOPROXY='{one['value']}' {one['go']} mod download -json {one['module']}"
    error = one["error"]
    if error and error["kind"] == "off":
        return notapplicable(f"{one['module']}: {error['message']}.", subject=subject)
    if error and error["kind"] == "timeout":
        return failed(f"go mod download {one['module']} was ended: {error['message']}.", subject=subject, actual=error["message"],
                      evidence=[command, *one["output"]], severity=_idle(facts, policy))
    if error:
        return unknown(f"{one['module']} was not downloaded: {error['message']}.", subject=subject, evidence=[command, *one["output"]])
    newer = _newer_go(one)
    if one["rc"] != 0 and not newer:
        said = one["output"][0] if one["output"] else f"rc {one['rc']}"
        return failed(f"go mod download {one['module']} failed: {said.rstrip('.')}.", subject=subject, actual=one["rc"], expected=0,
                      evidence=[command, *one["output"]], severity=_idle(facts, policy))
    other = sorted({(found["found"], entry["url"]) for chain in _chains(facts) for entry in chain["entries"] for found in entry["hashes"]
                    if found["module"] == one["module"] and found["what"] == "zip" and one["sum"] and found["found"] != one["sum"]})
    evidence = [command, f"{one['module']} {one['sum']}", f"{one['bytes']} bytes in {one['seconds']} s",
                *(f"{url} gave {found}" for found, url in other)]
    before = _other_bytes(facts, one)
    if before:
        return failed(f"go mod download {one['module']} gave {one['sum']}, and the same proxies gave {before} just before: what they "
                      "give is not always the same.", subject=subject, actual=one["sum"], expected=before, evidence=evidence,
                      severity=_idle(facts, policy))
    wants = f", and it wants go {newer} to be built with" if newer else ""
    return passed(f"go mod download {one['module']} took {one['seconds']} s; its hash is {one['sum']}{wants}.", subject=subject,
                  actual=one["sum"], evidence=evidence)


def _newer_go(one: Mapping[str, Any]) -> str:
    """The Go that a module wants, where that alone made go fail once it had the module. It was not let get itself another Go."""
    said = re.search(r" requires go >= (\S+) \(running go ", one["output"][0]) if one["sum"] and one["rc"] and one["output"] else None
    return said.group(1) if said else ""


def _other_bytes(facts: Facts, one: Mapping[str, Any]) -> str:
    """The hash of what the list that go used had given before, where none of its proxies had given what go then got. "" where one did,
    or gave a zip that was not hashed."""
    found: set[str] = set()
    for chain in _chains(facts):
        if chain["value"] != one["value"] or not any(entry["user"] == one["user"] for entry in chain["settings"]):
            continue
        for entry in chain["entries"]:
            zips = [request for request in entry["requests"] if request["what"] == "zip" and request["module"] == one["module"]]
            hashes = {row["found"] for row in entry["hashes"] if row["what"] == "zip" and row["module"] == one["module"]}
            if entry["kind"] in ("proxy", "file") and not hashes and not any(request["outcome"] == "not_found" for request in zips):
                return ""
            found |= hashes
    return min(found) if found and one["sum"] and one["sum"] not in found else ""
