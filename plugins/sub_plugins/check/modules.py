# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where do modules come from, and does anybody vouch for them?

A setting is judged where it stands: in a user's go/env file (the subject is the user), in GOROOT/go.env or a start-up file (the
subject is the file). One line there often counts for several shells, and is mended once. Only shells that find a go in their PATH
count; where none does, all of them (a build may call go by its path), and a fault on a host that need not have a Go is low
then. Nothing is asked over the network here.
"""
from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import goproxy
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    SEVERITIES, Facts, Outcome, Policy, Remediation, Threshold, check, failed, lookup, notapplicable, passed,
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
           "in ~/.netrc are shown, but prove nothing.",
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
        database = next((one for one in goproxy.PUBLIC_SUMDBS if _value(entry, "GOSUMDB").split()[:1] == [one]), None)
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
    for rewrite in lookup(facts, "modules.git") or ():
        prefix = _rewritten(str(rewrite["instead_of"]))
        if prefix and prefix not in goproxy.PUBLIC_HOSTS:
            known = personal.setdefault(str(rewrite["user"]), {}) if rewrite["user"] else general
            known.setdefault(prefix, f"{rewrite['where']}: insteadOf")
    return general, personal


def _rewritten(address: str) -> str:
    """The module prefix that a git address stands for: https://git.example.com/ -> git.example.com."""
    if "://" not in address:
        return ""
    parts = urlsplit(address)
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
           "The default list passes: nobody's policy is passed by. A single proxy without any fallback passes too, as a decision.",
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

    yield from _judge(facts, policy, find, good=good, hint=fallback.remediation.hint)
