# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the network answer in time: names, connections, certificates, and what the kernel counts while the host is watched?

The first checks judge what a service declares (``depends_on``, ``health``), measured from its own host (facts
``connections``): the subject is the URL, or the name that is looked up. The others judge the kernel's counters over a window
(facts ``sample``).
"""
from __future__ import annotations

import datetime
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import dialing, watched
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    SEVERITIES, Facts, Outcome, Policy, Remediation, Threshold, as_root, check, failed, lookup, notapplicable, passed, unknown,
)
from ansible_collections.goready.preflight.plugins.plugin_utils.watched import Destination, Listener, Namespace

NEEDS_ENDPOINTS = ("connections.endpoints",)
_LOOK_UP = "getent ahosts"
_TIMEOUT_KINDS = ("timeout", "unreachable")
_AT_ONCE = ("refused", "failed")
#: Who is there, and does not do what we ask (RFC 9110, 15.6.2 and 15.6.6): the service will ask something else.
_NO_GET = ("501", "505")
#: Of Endpoint.error: what says nothing about the endpoint, but about how far we came.
_CUT = ("budget", "limit")
_VARIABLE = Remediation(hint="Correct the entry of this URL in preflight_network: endpoints.")
_TRUST = Remediation(hint="Install the CA on the host (update-ca-certificates), or name it as ca_file of this URL in preflight_network: "
                          "endpoints.")
#: Whom it asks itself, resolv.conf does not say (systemd-resolved.service(8)).
_RESOLVED = "127.0.0.53"
_ASK_RESOLVED = Remediation(hint="systemd-resolved (127.0.0.53) asks other nameservers: look which those are, and whether they answer.",
                            command="resolvectl status")
_SET_CLOCK = Remediation(hint="Set the clock of this host, and let a time service keep it (host.time_sync).")
_MORE_TIME = Remediation(hint="Give more time in preflight_budget, or fewer samples in preflight_network.")
_SOCKET = Remediation(hint="Look whether the program behind the socket runs, and listens at this very path.", command="ss -lx")
_SOME_FAIL = ("Some connections are served and others are not: look at its server's log and at its limit of connections, and at each "
              "server behind a load balancer by itself.")
_ANSWERS_BADLY = "It is there and answers with an error: read its server's log."
_PHASES = (("dns", "the look-up of its name"), ("connect", "the TCP connect"), ("tls", "the TLS handshake"),
           ("first_byte", "the first byte of the answer"))


def _endpoints(facts: Facts) -> Sequence[Mapping[str, Any]]:
    return sorted(lookup(facts, "connections.endpoints") or (), key=lambda one: str(one.get("url")))


def _no_endpoints(facts: Facts) -> Iterator[Outcome]:
    if not _endpoints(facts):
        yield notapplicable("No service of preflight_services declares depends_on or a health URL.")


def _milliseconds(value: Any) -> str:
    number = float(value)
    return f"{number:.0f} ms" if number >= 10 else f"{number:.1f} ms"


def _who(endpoint: Mapping[str, Any]) -> str:
    roles = " and ".join("depends_on" if role == "depends_on" else "health URL" for role in endpoint.get("role") or ())
    return f"{roles} of {', '.join(str(one) for one in endpoint.get('services') or ())}"


def _only_health(endpoint: Mapping[str, Any]) -> bool:
    return list(endpoint.get("role") or ()) == ["health"]


def _error(endpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = endpoint.get("error") or {}
    return found


def _cut_off(endpoint: Mapping[str, Any], subject: str) -> Outcome | None:
    """The outcome of an endpoint that was not measured for reasons of our own; None where it was."""
    error = _error(endpoint)
    if error.get("kind") in _CUT:
        return unknown(f"It was not tried: {error.get('message')}.", subject=subject, remediation=_MORE_TIME)
    if error.get("kind") == "settings":
        return unknown(f"It was not tried: {error.get('message')}.", subject=subject, remediation=_VARIABLE)
    return None


def _times(name: str, values: Mapping[str, Any] | None) -> list[str]:
    if not values:
        return []
    return [f"{name}: min {values.get('min')}, median {values.get('median')}, p95 {values.get('p95')} ms"]


# ------------------------------------------------------------------------------------------------------- dns

@check(
    "network.dns",
    title="The names of the endpoints are found in time",
    severity="high",
    profile="standard",
    why="Go keeps no names: every new connection looks its host up. glibc and Go ask the nameservers of resolv.conf in turn and wait "
        "5 s for each that is silent, twice, so that one dead nameserver in the first line is a time-out of every request that opens a "
        "connection. Sources: resolv.conf(5), `timeout` and `attempts`; Go, src/net/dnsclient_unix.go.",
    judged="Every name of `depends_on` and of health URLs is looked up on the host by getaddrinfo(3), which follows nsswitch.conf, search "
           "domains and ndots: once at first, then again and again within the window. It fails where a name does not resolve, where some "
           "look-ups fail, where the median of the repeated ones is above `warm_ms`, and (medium) where only the first is above "
           "`cold_ms`. Each nameserver of resolv.conf is asked by itself too, twice over UDP for a name: one that is silent while "
           "another answers fails (medium where no look-up is slow for it, low where it refuses at once), unless a slow name says it "
           "already. A name in the same network's cache takes 1 to 2 ms, one round trip over an ocean 100 to 150 ms: repeated look-ups "
           "above 100 ms are answered by nobody's cache.",
    remediation=Remediation(hint="Take the silent nameserver out of resolv.conf (or mend it), or let a cache on the host answer "
                                 "(systemd-resolved, dnsmasq, nscd)."),
    needs=("connections.resolver", *NEEDS_ENDPOINTS),
    thresholds={
        "warm_ms": Threshold(100.0, "Median of the repeated look-ups of a name.", unit="milliseconds", minimum=0.1),
        "cold_ms": Threshold(1000.0, "The first look-up of a name.", unit="milliseconds", minimum=0.1),
    },
)
def dns(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    names: dict[str, list[Mapping[str, Any]]] = {}
    for one in _endpoints(facts):
        if one.get("dns"):
            names.setdefault(str(one["dns"]["name"]).lower(), []).append(one)
    resolver: Mapping[str, Any] = lookup(facts, "connections.resolver") or {}
    servers = _nameservers([found[0]["dns"] for found in names.values()])
    blamed: set[str] = set()
    for name in sorted(names):
        outcome = _name(name, names[name], resolver, servers, policy)
        if outcome.status == "fail":
            words = set(re.split(r"[ ,()]+", outcome.reason.rstrip(".")))  # 10.0.0.1 is not in 10.0.0.10
            blamed.update(server for server in servers if server in words)
        yield outcome
    yield from _silent_servers(resolver, servers, blamed)
    if not _endpoints(facts):
        yield from _no_endpoints(facts)
    elif not names:
        yield notapplicable("Every declared endpoint is an address or a unix socket: no name is looked up.")


def _nameservers(found: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The answers of each nameserver to all names."""
    servers: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        for query in one.get("queries") or ():
            servers.setdefault(str(query.get("server")), []).append(query)
    return servers


def _dead_servers(resolver: Mapping[str, Any], servers: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Those that answered nothing at all, in the order in which they are asked."""
    dead = []
    for server in _order(resolver):
        # What is no name was not asked for.
        asked = [query for query in servers.get(server) or () if (query.get("error") or {}).get("kind") != "name"]
        if asked and not any(query.get("answer") for query in asked):
            dead.append(server)
    return dead


def _order(resolver: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(str(one) for one in resolver.get("nameservers") or ()))


def _silence(found: Mapping[str, Any], resolver: Mapping[str, Any], servers: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """``: nameserver 192.0.2.1, the first of 2, does not answer``; empty where no silent one is waited for.

    Nobody waits for one that is behind the first that answers: with the addresses, or that there is no such name.
    """
    order = _order(resolver)
    answers = [str(query.get("server")) for query in found.get("queries") or () if query.get("answer") in ("NOERROR", "NXDOMAIN")]
    first = min((order.index(one) for one in answers if one in order), default=len(order))
    dead = [one for one in _dead_servers(resolver, servers) if order.index(one) < first or "rotate" in (resolver.get("options") or ())]
    if not dead:
        return ""
    if len(dead) == len(order):
        if len(order) == 1:
            return f": nameserver {dead[0]} does not answer"
        return f": no nameserver of resolv.conf answers ({', '.join(order)})"
    places = ("first", "second", "third")
    return ": " + ", ".join(f"nameserver {one}, the {places[min(order.index(one), 2)]} of {len(order)}, does not answer"
                            for one in dead)


def _slowness(name: str, found: Mapping[str, Any], resolver: Mapping[str, Any], limit: float) -> str:
    """What else than a silent nameserver makes a look-up slow: one that is slow itself, and names that are asked for before."""
    causes = [f"nameserver {query.get('server')} takes {_milliseconds(query['ms'])} for an answer" for query in found.get("queries") or ()
              if query.get("ms") is not None and query["ms"] > limit / 2]
    search = [str(one) for one in resolver.get("search") or ()]
    exists = any(query.get("answer") == "NOERROR" for query in found.get("queries") or ())
    if search and not name.endswith(".") and name.count(".") < int(resolver.get("ndots") or 1) and "." in name and not exists:
        # resolv.conf(5): a name with fewer dots than ndots is looked for in every search domain first. It was asked for in the first of
        # them: where that has it, nothing is asked for before it.
        others = "names are" if len(search) > 1 else "name is"
        causes.append(f"{len(search)} other {others} asked for before it (ndots:{resolver.get('ndots')}, "
                      f"search {' '.join(search)})")
    return ": " + ", and ".join(causes) if causes else ""


def _name(name: str, endpoints: Sequence[Mapping[str, Any]], resolver: Mapping[str, Any],
          servers: Mapping[str, Sequence[Mapping[str, Any]]], policy: Policy) -> Outcome:
    found: Mapping[str, Any] = endpoints[0]["dns"]
    warm_limit, cold_limit = float(policy.threshold(dns, "warm_ms")), float(policy.threshold(dns, "cold_ms"))
    error, cold, warm = found.get("error"), found.get("cold"), found.get("warm") or {}
    evidence = _dns_evidence(name, endpoints, found, resolver)
    silence = _silence(found, resolver, servers)
    mend = _ASK_RESOLVED if _RESOLVED in _order(resolver) else None
    if error:
        said = {"not_found": "does not resolve", "timeout": "was not found in time"}.get(str(error.get("kind")), "could not be looked up")
        return failed(f"{name} {said} ({error.get('message')}){silence}.", subject=name, actual=error.get("kind"), expected="an address",
                      evidence=evidence, remediation=mend if mend and error.get("kind") in ("timeout", "no_answer") else Remediation(
                          hint="Correct the name in preflight_services, or the zone, /etc/hosts or the nameservers of this host.",
                          command=f"{_LOOK_UP} {shlex.quote(name)}"))
    if cold is None:
        reason = next((str(_error(one).get("message")) for one in endpoints if _error(one)), "no look-up was made")
        return unknown(f"{name} was not looked up: {reason}.", subject=name, remediation=_MORE_TIME)
    if found.get("failed"):
        return failed(f"{found['failed']} of {found.get('asked')} repeated look-ups of {name} brought no answer{silence}.", subject=name,
                      actual=found["failed"], expected=0, evidence=evidence, remediation=mend)
    median = warm.get("median")
    # One that refuses costs no time.
    silence = _silence(found, resolver, {server: queries for server, queries in servers.items() if not all(
        (query.get("error") or {}).get("kind") == "refused" for query in queries)})
    if median is not None and median > warm_limit:
        cause = silence or _slowness(name, found, resolver, warm_limit)
        return failed(f"A look-up of {name} takes {_milliseconds(median)}, {warm_limit:g} ms are accepted{cause}.", subject=name,
                      actual=median, expected=warm_limit, evidence=evidence, remediation=mend)
    if cold > cold_limit:
        return failed(f"The first look-up of {name} took {_milliseconds(cold)}, {cold_limit:g} ms are accepted{silence}.", subject=name,
                      actual=cold, expected=cold_limit, evidence=evidence, severity="medium", remediation=mend)
    took = f"{_milliseconds(cold)} at first" + (f", {_milliseconds(median)} when repeated" if median is not None else "")
    count = len(found.get("addresses") or ())
    return passed(f"{name} has {count} address{'es' if count != 1 else ''}: {took}.", subject=name,
                  actual=median if median is not None else cold, expected=warm_limit, evidence=evidence)


def _dns_evidence(name: str, endpoints: Sequence[Mapping[str, Any]], found: Mapping[str, Any], resolver: Mapping[str, Any]) -> list[str]:
    evidence = [f"{one.get('url')}: {_who(one)}" for one in endpoints[:5]]
    if found.get("addresses"):
        evidence.append(f"getaddrinfo {name}: " + ", ".join(str(one.get("address")) for one in found["addresses"]))
    if found.get("cold") is not None:
        evidence.append(f"first look-up: {found['cold']} ms")
    evidence += _times("repeated look-ups", found.get("warm"))
    for query in found.get("queries") or ():
        error = query.get("error")
        said = str(error.get("message")) if error else f"{query.get('answer')} in {query.get('ms')} ms"
        evidence.append(f"nameserver {query.get('server')}: {said}")
    evidence.append(f"{resolver.get('source') or 'no resolv.conf'}: nameserver {', '.join(resolver.get('nameservers') or ())}; timeout "
                    f"{resolver.get('timeout')} s, attempts {resolver.get('attempts')}, ndots {resolver.get('ndots')}, search "
                    f"{' '.join(resolver.get('search') or ()) or '(none)'}; nsswitch hosts: {resolver.get('nsswitch')}")
    return evidence


def _silent_servers(resolver: Mapping[str, Any], servers: Mapping[str, Sequence[Mapping[str, Any]]], blamed: set[str]) -> Iterator[Outcome]:
    """One outcome for every nameserver that answers nothing while another does."""
    dead = _dead_servers(resolver, servers)
    if len(dead) == len(servers):
        return  # whether that matters, the names say: they may be in /etc/hosts
    for server in dead:
        subject = f"nameserver {server}"
        error = servers[server][0].get("error") or {}
        if server in blamed:
            yield notapplicable(f"That nameserver {server} does not answer is told by the names that are slow for it.", subject=subject)
            continue
        first = (resolver.get("nameservers") or [""])[0] == server
        waits = f"; who asks waits {resolver.get('timeout')} s for it" if error.get("kind") == "timeout" else ""
        severity = "low" if error.get("kind") == "refused" and not first else "medium"
        yield failed(f"Nameserver {server} does not answer ({error.get('message')}){waits}; the others do.", subject=subject,
                     actual=error.get("kind"), expected="an answer", severity=severity,
                     evidence=[f"nameserver {one}: {(query.get('error') or {}).get('message') or query.get('answer')}"
                               for one, queries in servers.items() for query in queries[:1]])


# ------------------------------------------------------------------------------------------------------- endpoint

@check(
    "network.endpoint",
    title="What the service depends on can be connected to",
    severity="high",
    profile="standard",
    why="A connection that nobody answers is a request that waits for its time-out, not an error that comes at once: net/http's default "
        "dialer waits 30 s, a bare net.Dialer two minutes (tcp(7), tcp_syn_retries). Where a name has several addresses, a Go client "
        "that meets the dead one first waits 300 ms for the other address family, and for another address of the same family a share "
        "of its whole time. Source: Go, src/net/dial.go (dialParallel, partialDeadline).",
    judged="Every `depends_on` is connected to from the host, each address of its name by itself, as often as `samples` says within the "
           "window; http and https are asked with GET, without credentials. It fails where no connection or no answer comes about (the "
           "phase is named), where a connection is accepted and closed at once, where the answer is 5xx, and (medium) where some of the "
           "connections fail or one of several addresses is dead: high where a Go client waits seconds for it, low where it does not wait "
           "(the other family works, and is tried first, or this one refuses at once), no finding for the other half of localhost. 401, "
           "403 and 404 are answers: who is declared is there. An address of a family that the host has no route for is not tried. That a "
           "health URL does not answer at all is left to services.healthy, a name that does not resolve to network.dns.",
    remediation=Remediation(hint="Look from the host whether it runs, listens there and is let through: ss -ltn on its host, the packet "
                                 "filters of both."),
    needs=NEEDS_ENDPOINTS,
)
def endpoint(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from _no_endpoints(facts)
    for one in _endpoints(facts):
        subject = str(one.get("url"))
        yield _cut_off(one, subject) or _reach(facts, one, subject)


def _reach(facts: Facts, one: Mapping[str, Any], subject: str) -> Outcome:
    error, addresses = _error(one), list(one.get("addresses") or ())
    evidence = _reach_evidence(one)
    if error.get("phase") == "dns":
        return notapplicable("Its name is not found (network.dns judges that).", subject=subject)
    if error:
        if _only_health(one):
            return notapplicable("services.healthy judges whether a health URL answers.", subject=subject, evidence=evidence)
        return _unreachable(facts, one, subject, evidence)
    trouble = [(address, problem) for address in addresses for problem in [_trouble(one, address)] if problem]
    if trouble:
        address, (words, severity, hint) = max(trouble, key=lambda pair: SEVERITIES.index(pair[1][1]))
        return failed(words, subject=subject, actual=address.get("ok"), expected=address.get("asked"), evidence=evidence, severity=severity,
                      remediation=Remediation(hint=hint))
    dead = [address for address in addresses if dialing.dead(address) and not _other_loopback(address)]
    if dead:
        return _dead_address(one, subject, addresses, dead, evidence)
    used = next(address for address in addresses if address.get("ok"))
    answer = f" and answers {used['status']}" if used.get("status") else ""
    answer += " (services.healthy judges that)" if _only_health(one) and int(used.get("status") or 0) >= 300 else ""
    connect = lookup(one, "phases.connect.median")
    return passed(f"It connects in {_milliseconds(connect)}{answer}." if connect is not None else f"It connects{answer}.", subject=subject,
                  actual=used.get("ok"), expected=used.get("asked"), evidence=evidence)


def _place(one: Mapping[str, Any], address: Mapping[str, Any]) -> str:
    name = str(address.get("address"))
    if address.get("family") == "unix":
        return name
    return f"[{name}]:{one.get('port')}" if ":" in name else f"{name}:{one.get('port')}"


def _called(one: Mapping[str, Any], address: Mapping[str, Any]) -> str:
    """For a sentence, as it is declared: ``db1:5432``, and which address where the name has several."""
    name, several = str(one.get("host") or ""), len(one.get("addresses") or ()) > 1
    if not name or name == address.get("address") or address.get("family") == "unix":
        return _place(one, address)
    return f"{name}:{one.get('port')}" + (f" ({address.get('address')})" if several else "")


def _reach_evidence(one: Mapping[str, Any]) -> list[str]:
    evidence = [_who(one)]
    for address in one.get("addresses") or ():
        place = _place(one, address)
        if not address.get("routed", True):
            evidence.append(f"{place}: not tried, the host has no route to it")
            continue
        statuses = ", ".join(f"{status} x {count}" for status, count in sorted((address.get("statuses") or {}).items()))
        told = f"; HTTP {statuses}" if statuses else ""
        evidence.append(f"{place}: {address.get('ok')} of {address.get('asked')} connections good{told}")
        evidence += [f"{place}: {error.get('phase')}: {error.get('message')} ({error.get('count')} x)"
                     for error in address.get("errors") or ()]
        for hop in address.get("redirects") or ():
            why = f" ({hop['reason']})" if hop.get("reason") else f", which answers {hop['answer']}" if hop.get("answer") else ""
            evidence.append(f"{place}: {hop.get('status')} leads to {hop.get('to')}{'' if hop.get('followed') else ', not followed'}{why}")
    return evidence


def _unreachable(facts: Facts, one: Mapping[str, Any], subject: str, evidence: Sequence[str]) -> Outcome:
    error = _error(one)
    kind, phase, message = error.get("kind"), error.get("phase"), str(error.get("message"))
    if kind == "client_certificate":
        return unknown("It asks for a client certificate, and none is declared.", subject=subject, evidence=evidence, severity="low",
                       remediation=Remediation(hint="Give cert_file and key_file of this URL in preflight_network: endpoints."))
    if kind == "denied" and not lookup(facts, "collected.privileged"):
        return unknown(f"It was not tried: {message}.", subject=subject, evidence=evidence, remediation=as_root(facts, message))
    tried = [address for address in one.get("addresses") or () if address.get("routed", True)]
    alike = [address for address in tried if any((entry.get("phase"), entry.get("kind")) == (phase, kind)
                                                 for entry in address.get("errors") or ())]
    where = str(one.get("unix") or f"{one.get('host')}:{one.get('port')}")
    if len(tried) == 1:
        where = _called({**one, "addresses": tried}, tried[0])
    elif tried and len(alike) == len(tried):
        where = f"each of the {len(tried)} addresses of {where}"
    elif alike:
        where = _called(one, alike[0])  # the others fail otherwise: the evidence has them
    begin = f"E{where[1:]}" if where.startswith("each of ") else where  # a name begins as it is written
    hint: Remediation | None = None
    if kind == "no_local_port":
        words = f"This host has no free local port for a connection to {where}: {message}."
        hint = Remediation(hint="Keep connections open instead of opening one for each request (http.Transport, MaxIdleConnsPerHost), or "
                                "widen net.ipv4.ip_local_port_range.", command="ss -tan state time-wait | wc -l")
    elif phase == "connect" and kind in ("refused", "missing"):
        words = f"Nobody listens at {where}: {message}."
        hint = _SOCKET if one.get("unix") else None
    elif phase == "connect" and kind == "backlog":
        words = f"The accept queue of {where} is full: {message}."
        hint = Remediation(hint="Its program does not accept: look at it (its goroutines, its open descriptors, its journal).",
                           command="ss -lx")
    elif phase == "connect" and kind == "reset":
        words = f"{begin} serves nobody: {message}."
    elif phase == "connect":
        words = f"The connect to {where} fails: {message}."
        hint = Remediation(hint="Nothing answers, neither yes nor no: a packet filter that drops, a host that is down, or a full accept "
                                f"queue (ss -ltn on its host: Recv-Q above Send-Q).{_proxied(one)}") if kind in _TIMEOUT_KINDS else None
    elif phase == "tls":
        words = f"The connection to {where} ends in the TLS handshake: {message}."
        hint = Remediation(hint="The port answers, TLS does not: look whether it serves TLS there, with which versions, and whether the "
                                "server has a free worker.")
    else:
        words = f"{begin} accepts the connection and does not serve it: {message}."
        hint = Remediation(hint="The kernel accepts for a program that does not answer: look at the program (its goroutines, its journal), "
                                "or at the proxy in front of it.")
        if kind == "failed":  # MySQL's error instead of a greeting
            hint = Remediation(hint="The server turns this host away: 1040 it has too many connections (databases.connections), 1129 too "
                                    "many from here were broken off (FLUSH HOSTS), 1130 no user of it may come from here.")
    return failed(words, subject=subject, actual=f"{phase}: {kind}", expected="a connection", evidence=evidence, remediation=hint)


def _proxied(one: Mapping[str, Any]) -> str:
    return " A service that goes through an HTTP proxy (HTTPS_PROXY) does not come this way: declare the proxy instead, as tcp://." if (
        one.get("scheme") in ("http", "https")) else ""


def _trouble(one: Mapping[str, Any], address: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """What is wrong with an address that is not simply dead: the sentence, what it is worth, and the first thing to do."""
    asked, ok = int(address.get("asked") or 0), int(address.get("ok") or 0)
    if not asked or dialing.dead(address):
        return None
    place, errors = _called(one, address), list(address.get("errors") or ())
    if errors and ok < asked:
        worst = errors[0]
        if worst.get("kind") == "client_certificate":
            return None
        return (f"{asked - ok} of {asked} connections to {place} failed ({worst.get('phase').replace('_', ' ')}: {worst.get('message')}); "
                f"none should.", "high" if 2 * (asked - ok) > asked else "medium", _SOME_FAIL)
    bad = {status: count for status, count in (address.get("statuses") or {}).items()
           if str(status).startswith("5") and str(status) not in _NO_GET}
    if bad and not _only_health(one):
        number = sum(bad.values())
        status = max(bad, key=lambda key: bad[key])
        return (f"{number} of {ok} requests to {place} were answered {status}; none should be 5xx.",
                "high" if 2 * number > ok else "medium", _ANSWERS_BADLY)
    return None


def _other_loopback(address: Mapping[str, Any]) -> bool:
    """Whether it is the half of ``localhost`` that nobody listens at: the host itself says so at once, and every client goes on."""
    name = str(address.get("address"))
    return (name == "::1" or name.startswith("127.")) and all(error.get("kind") == "refused" for error in address.get("errors") or ())


def _dead_address(one: Mapping[str, Any], subject: str, addresses: Sequence[Mapping[str, Any]], dead: Sequence[Mapping[str, Any]],
                  evidence: Sequence[str]) -> Outcome:
    cost = dialing.delay(addresses)
    named = next((address for address in dead if cost is not None and address.get("address") == cost.address), dead[0])
    family = dialing.FAMILIES.get(str(named.get("family")), "")
    message = str(((named.get("errors") or [{}])[0]).get("message"))
    others = f"{len(addresses) - 1} others work" if len(addresses) > 2 else "the other works"
    words = f"{len(dead)} of {len(addresses)} addresses of {one.get('host')} are dead, first {_place(one, named)}" if len(dead) > 1 else \
        f"The {family} address {_place(one, named)} of {one.get('host')} is dead while {others}"
    # DNS servers rotate the addresses of one family: the dead one is first for some. Of two families the order is fixed.
    first = dialing.in_order(addresses)[0].get("family")
    refused = all(error.get("kind") in _AT_ONCE for error in named.get("errors") or ())
    working = {address.get("family") for address in addresses if address.get("ok")}
    harmless = cost is None and (named.get("family") != first or (refused and named.get("family") not in working))
    tail = f"; {cost.words}" if cost is not None else ""
    return failed(f"{words} ({message}){tail}.", subject=subject, actual=len(dead), expected=0, evidence=evidence,
                  severity="low" if harmless else "high" if cost is not None and cost.ms >= 1000 else "medium", remediation=Remediation(
                      hint="Mend the address, or take it out of the name"
                           f"{' (its AAAA record, where nothing behind it speaks IPv6)' if family == 'IPv6' else ''}."))


# ------------------------------------------------------------------------------------------------------- endpoint_latency

@check(
    "network.endpoint_latency",
    title="A new connection is served in time",
    severity="medium",
    profile="standard",
    why="What a new connection costs is in every request that finds no idle one: after a deploy, under load (net/http keeps 2 idle "
        "connections a host), or where keep-alive is lost because a body was not read. Its phases have different cures: a look-up, the "
        "distance, a full accept queue, a handshake without a free CPU, the server itself. Source: Go, src/net/http/transport.go "
        "(DefaultMaxIdleConnsPerHost).",
    judged="The 95th percentile (nearest rank) of the whole time of a new connection (name, TCP, TLS, first byte) to the address that is "
           "used first must not be above `p95_ms`; low where most of the samples are below it, or where only the look-up makes it slow "
           "(network.dns judges that). The slowest phase is named with its share. The default leaves three round trips within a "
           "continent (100 ms) and 200 ms for the server; give more to what is farther.",
    remediation=Remediation(hint="Mend the phase that is named first."),
    needs=NEEDS_ENDPOINTS,
    thresholds={"p95_ms": Threshold(500.0, "95th percentile of a new connection's time to the first byte.", unit="milliseconds",
                                    minimum=0.1)},
)
def endpoint_latency(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from _no_endpoints(facts)
    limit = float(policy.threshold(endpoint_latency, "p95_ms"))
    slow_name = float(policy.threshold(dns, "warm_ms"))
    for one in _endpoints(facts):
        subject = str(one.get("url"))
        yield _cut_off(one, subject) or _latency(one, subject, limit, slow_name)


def _latency(one: Mapping[str, Any], subject: str, limit: float, slow_name: float) -> Outcome:
    phases, slowest = one.get("phases"), one.get("slowest")
    if not phases or not slowest or not phases.get("total"):
        return notapplicable("No connection came about (network.dns and network.endpoint judge that).", subject=subject)
    total = phases["total"]
    used: Mapping[str, Any] = next((address for address in one.get("addresses") or () if address.get("ok")), {})
    evidence = [f"{_who(one)}; {used.get('ok')} connections to {_place(one, used)}"]
    for name, words in _PHASES:
        evidence += _times(words, phases.get(name))
    evidence += _times("altogether", total)
    found = f"{_milliseconds(total['p95'])} (p95 of {used.get('ok')})"
    place = _called(one, used)
    if total["p95"] <= limit:
        return passed(f"A new connection to {place} takes {found}; {limit:g} ms are accepted.", subject=subject, actual=total["p95"],
                      expected=limit, evidence=evidence)
    # Of the slowest connection itself: the percentiles of phases belong to different connections.
    name, words = max(_PHASES, key=lambda pair: slowest.get(pair[0]) or 0.0)
    part = float(slowest.get(name) or 0.0)
    share = 100 * part / max(0.1, float(slowest["total"]))
    severity = None
    if total["median"] <= limit or (name == "dns" and part > slow_name and slowest["total"] - part <= limit):
        severity = "low"
    return failed(f"A new connection to {place} takes {found}, {limit:g} ms are accepted: {words} takes {_milliseconds(part)} of it "
                  f"({share:.0f} %).", subject=subject, actual=total["p95"], expected=limit, evidence=evidence, severity=severity,
                  remediation=_mend_phase(name, part))


def _mend_phase(name: str, ms: float) -> Remediation:
    if name == "connect" and ms >= 950:
        # RFC 6298, 2.1: 1 s, doubled each time. tcp(7): so does Linux.
        return Remediation(hint="A connect of 1, 3 or 7 s is a first packet that got no answer and was sent again: a full accept queue "
                                "(ss -ltn on its host: Recv-Q above Send-Q; listen() of its program, somaxconn), or packets that are lost.")
    return Remediation(hint={
        "dns": "See network.dns: which nameserver makes the look-up slow.",
        "connect": "The distance, or a busy link: a TCP connect is one round trip and nothing else (ping shows the same time).",
        "tls": "The server's CPU, an RSA key larger than it needs, or a proxy that asks elsewhere before it shakes hands (OCSP, a key "
               "server).",
        "first_byte": "The server itself: its own report, its goroutines, what it waits for.",
    }[name])


# ------------------------------------------------------------------------------------------------------- tls_expiry

#: Of the certificate's whole life: who renews a certificate of 90 days or less does it when a third is left (RFC 9773 and the
#: defaults of certbot and cert-manager). 30, 14 and 7 days are no more than that for 90 days.
_LIFE_SHARES = {"low": 1 / 3, "medium": 1 / 6, "high": 1 / 12}


@check(
    "network.tls_expiry",
    title="The certificates of the endpoints are good, and stay so",
    severity="high",
    profile="standard",
    why="A certificate that runs out ends all connections at one second, on all hosts. A chain or a name that a Go client cannot verify "
        "ends each of them now (x509: certificate signed by unknown authority; Go has not looked at the common name since 1.15). "
        "Sources: RFC 5280, 4.1.2.5; Go, src/crypto/x509/verify.go.",
    judged="The certificate that every address of an https, tls, rediss or amqps endpoint shows: it fails where less than `high_days`, "
           "`medium_days` or `low_days` are left (high, medium, low), less for one whose whole life is under 90 days (a twelfth, a "
           "sixth, a third of it); where it has expired or is not valid yet by the host's own clock; where its name is not the "
           "endpoint's; and (medium: the service may know more authorities than the host) where the host's CA store or `ca_file` does not "
           "lead to who signed it. Of a health URL, and with validate_certs: false, only the dates are judged; low in the second case.",
    remediation=Remediation(hint="Renew the certificate, and find out why nothing renewed it by itself."),
    needs=NEEDS_ENDPOINTS,
    thresholds={
        "high_days": Threshold(7.0, "Days that are left.", unit="days", minimum=0),
        "medium_days": Threshold(14.0, "Days that are left.", unit="days", minimum=0),
        "low_days": Threshold(30.0, "Days that are left.", unit="days", minimum=0),
    },
)
def tls_expiry(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    found = [one for one in _endpoints(facts) if one.get("scheme") in ("https", "tls", "rediss", "amqps")]
    for one in found:
        subject = str(one.get("url"))
        yield _cut_off(one, subject) or _certificates(facts, policy, one, subject)
    if not found:
        yield notapplicable("No declared endpoint is spoken to with TLS.")


def _certificates(facts: Facts, policy: Policy, one: Mapping[str, Any], subject: str) -> Outcome:
    shown = [address for address in one.get("addresses") or () if address.get("certificate")]
    if not shown:
        if _error(one).get("kind") is None:
            return unknown("The certificate could not be read.", subject=subject)
        return notapplicable("No TLS connection came about (network.dns and network.endpoint judge that).", subject=subject)
    outcomes = [_certificate(facts, policy, one, address, subject) for address in shown]
    order = {"fail": 2, "unknown": 1}
    return max(outcomes, key=lambda outcome: (order.get(outcome.status, 0), SEVERITIES.index(outcome.severity or "high")))


def _certificate(facts: Facts, policy: Policy, one: Mapping[str, Any], address: Mapping[str, Any], subject: str) -> Outcome:
    shown, chain, name = address["certificate"], address.get("chain") or {}, address.get("name") or {}
    now = _time(lookup(facts, "collected.at")) or policy.now
    begin, end = _time(shown.get("not_before")), _time(shown.get("not_after"))
    place = _called(one, address)
    evidence = [f"{_place(one, address)}: {shown.get('subject') or '(no subject)'}, valid from {shown.get('not_before')} to "
                f"{shown.get('not_after')}",
                f"issued by {shown.get('issuer')}" + (" (itself)" if shown.get("self_signed") else ""),
                f"for {', '.join((shown.get('names') or ['nobody (no subjectAltName)'])[:10])}",
                f"{address.get('protocol')}; {_who(one)}"]
    evidence += [f"chain: {chain['error']}"] if chain.get("error") else []
    if begin is None or end is None:
        return unknown(f"The dates of the certificate of {place} cannot be read.", subject=subject, evidence=evidence)
    # With validate_certs: false the name is compared with nothing, and the chain with nobody.
    unchecked = name.get("ok") is None and chain.get("ok") is None and not chain.get("error")
    mild = "low" if unchecked else None
    left = (end - now).total_seconds() / 86400
    expected = f"at least {float(policy.threshold(tls_expiry, 'low_days')):g} days"
    actual = round(left, 1)
    if now < begin:
        return _not_yet(facts, policy, begin, now, place, subject, evidence, mild)
    if left < 0 and policy.now <= end:
        return failed(f"The certificate of {place} ended at {shown.get('not_after')}, and it is {now.isoformat(timespec='seconds')} on "
                      f"this host: its clock is ahead, the controller's says {policy.now.isoformat(timespec='seconds')}.", subject=subject,
                      actual=actual, expected=expected, evidence=[*evidence, *_clock(facts)], severity=mild, remediation=_SET_CLOCK)
    if left < 0:
        return failed(f"The certificate of {place} expired {_days(-left)} ago, at {shown.get('not_after')}.", subject=subject,
                      actual=actual, expected=expected, evidence=evidence, severity=mild)
    if not _only_health(one):
        if name.get("ok") is False:
            return failed(f"The certificate of {place} is not for {one.get('host')}: {name.get('error')}.", subject=subject,
                          actual=list(shown.get("names") or ())[:10], expected=one.get("host"), evidence=evidence,
                          remediation=Remediation(hint="Declare the name that the certificate has, or have the name put into it."))
        if chain.get("ok") is False:
            what = "is signed by itself, and this host does not know it" if shown.get("self_signed") else \
                f"is not trusted by this host: {chain.get('error')}"
            return failed(f"The certificate of {place} {what}; who signed it should be in the host's CA store or in ca_file.",
                          subject=subject, actual=chain.get("error"), expected="a chain to a known CA", evidence=evidence,
                          severity="medium", remediation=_TRUST)
    life = max(0.0, (end - begin).total_seconds() / 86400)
    for severity in ("high", "medium", "low"):
        wanted = min(float(policy.threshold(tls_expiry, f"{severity}_days")), life * _LIFE_SHARES[severity])
        if left < wanted:
            return failed(f"The certificate of {place} runs out in {_days(left)}, at {shown.get('not_after')}; {_days(wanted)} should be "
                          "left.", subject=subject, actual=actual, expected=round(wanted, 1), evidence=evidence, severity=mild or severity)
    if chain.get("error") and chain.get("ok") is None and not _only_health(one):
        return unknown(f"Whether this host trusts the certificate of {place} is unknown: {chain['error']}.", subject=subject,
                       evidence=evidence)
    return passed(f"The certificate of {place} is good for {_days(left)} more.", subject=subject, actual=actual, expected=expected,
                  evidence=evidence)


def _not_yet(facts: Facts, policy: Policy, begin: datetime.datetime, now: datetime.datetime, place: str, subject: str,
             evidence: Sequence[str], severity: str | None) -> Outcome:
    words = (f"The certificate of {place} is not valid before {begin.isoformat()}, and it is {now.isoformat(timespec='seconds')} "
             "on this host")
    more = _clock(facts)
    if policy.now >= begin:
        return failed(f"{words}: its clock is behind, the controller's says {policy.now.isoformat(timespec='seconds')}.", subject=subject,
                      actual=now.isoformat(), expected=begin.isoformat(), evidence=[*evidence, *more], severity=severity,
                      remediation=_SET_CLOCK)
    return failed(f"{words}.", subject=subject, actual=now.isoformat(), expected=begin.isoformat(), evidence=[*evidence, *more],
                  severity=severity, remediation=Remediation(
                      hint="The clock of who made the certificate is ahead, or it was deployed too early."))


def _clock(facts: Facts) -> list[str]:
    state = lookup(facts, "host.time.synchronized")
    return [] if state is None else [f"the clock of this host is {'' if state else 'not '}synchronized"]


def _time(value: Any) -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)


def _days(days: float) -> str:
    if days < 2:
        return f"{days * 24:.1f} hours" if days * 24 >= 1 else f"{days * 1440:.0f} minutes"
    return f"{days:.0f} days" if days >= 10 else f"{days:.1f} days"


# ------------------------------------------------------------------------------------------------------- the kernel's counters

_NO_ROOM = Remediation(
    hint="Find out why the service does not accept: all its descriptors are open (limits.nofile_headroom), its goroutines wait for one "
         "lock, or it gets no CPU. A longer queue only helps against short bursts: raise net.core.somaxconn, which Go takes as its "
         "backlog, and start the service anew.",
    command="ss -ltn")


def _window(namespace: Namespace) -> str:
    return f"{namespace.seconds:.2g} s" if namespace.seconds < 10 else f"{namespace.seconds:.0f} s"


def _since_boot(facts: Facts, *names: str) -> list[str]:
    """For the record only: what was counted before says nothing about now."""
    values = lookup(facts, "network.tcp") or {}
    told = [f"{name} {values[name]}" for name in names if values.get(name)]
    return ["since boot, which is not judged: " + ", ".join(told)] if told else []


def _counters(namespace: Namespace, *names: str) -> list[str]:
    values = namespace.tcp or {}
    grown = ", ".join(f"{name} +{values[name]}" for name in names if values.get(name) is not None)
    return [f"{_window(namespace)} of {namespace.where}: {grown}"]


@check(
    "network.retransmits",
    title="TCP segments arrive without being sent again",
    severity="medium",
    why="A lost segment that nothing is acknowledged behind is sent again after 200 ms at the earliest (include/net/tcp.h, TCP_RTO_MIN), "
        "then after twice as long: a request that takes 5 ms takes 200 or more. Servers that the whole Internet asks sent 2.8 % again "
        "in the mean (Dukkipati et al., Proportional Rate Reduction for TCP, IMC 2011); within one network it is far less.",
    judged="RetransSegs without TCPSynRetrans (a connection that is not answered is no lost segment; network.endpoint and "
           "network.listen_overflow judge those) against OutSegs of /proc/net/snmp and netstat, their growth over the window. "
           "Fewer of them than the threshold `segments` are no finding, whatever their share. TCP that is short of memory is another "
           "finding. Hosts that only talk to their own network may be held to a smaller share.",
    needs=("sample.kernel",),
    profile="standard",
    thresholds={
        "percent": Threshold(3.0, "largest accepted share of segments that are sent again", unit="percent", minimum=0, maximum=100),
        "segments": Threshold(10, "fewest segments sent again that are a finding", unit="segments", minimum=1),
    },
    remediation=Remediation(
        hint="Look at which peers it happens to (the command shows connections with their retrans counter), then at the path to them: "
             "errors of the interface, a duplex mismatch, a full queue, a firewall that drops.",
        command="ss -tin state established"),
)
def retransmits(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    limit, fewest = policy.threshold(retransmits, "percent"), policy.threshold(retransmits, "segments")
    for namespace in watched.namespaces(facts):
        values = namespace.tcp
        if values is None or values.get("OutSegs") is None or values.get("RetransSegs") is None:
            yield unknown(namespace.reason, subject=namespace.subject, remediation=as_root(facts, namespace.error))
            continue
        yield _retransmits(facts, namespace, limit, fewest)
        yield from _memory(namespace)


def _retransmits(facts: Facts, namespace: Namespace, limit: float, fewest: int) -> Outcome:
    out, again = namespace.grown("OutSegs"), namespace.grown("RetransSegs")
    handshakes = min(again, namespace.grown("TCPSynRetrans"))
    lost = again - handshakes
    share = 100.0 * lost / max(1, out, lost)
    evidence = _counters(namespace, "OutSegs", "RetransSegs", "TCPSynRetrans", "TCPTimeouts", "TCPLossProbes", "TCPDSACKRecv")
    for one in namespace.facts.get("interfaces") or ():
        trouble = [f"{key} +{one[key]}" for key in ("rx_errors", "rx_dropped", "tx_errors", "tx_dropped") if one.get(key)]
        evidence += [f"{one['name']}: {', '.join(trouble)}"] if trouble else []
    evidence += _since_boot(facts, "OutSegs", "RetransSegs") if not namespace.subject else []
    values: dict[str, Any] = {"subject": namespace.subject, "actual": round(share, 2), "expected": limit, "evidence": evidence}
    if lost >= fewest and share > limit:
        return failed(f"{lost} of {out} TCP segments ({share:.3g} %) were sent again within {_window(namespace)}; at most {limit:g} % are "
                      "accepted.", **values)
    if out < 10 * fewest and lost < fewest:
        return notapplicable(f"Too few TCP segments were sent within {_window(namespace)} to tell a share of lost ones: {out}.",
                             subject=namespace.subject, evidence=evidence)
    few = f"; fewer than {fewest} are no finding" if share > limit else ""
    return passed(f"{lost} of {out} TCP segments ({share:.3g} %) were sent again within {_window(namespace)}{few}.", **values)


def _memory(namespace: Namespace) -> Iterator[Outcome]:
    sockets = namespace.facts.get("sockets") or {}
    pages, limits = sockets.get("tcp_mem_pages"), sockets.get("tcp_mem") or []
    saving = limits[1] if len(limits) == 3 else None  # from here on the kernel saves (ip-sysctl.rst, tcp_mem)
    pressed = namespace.grown("TCPMemoryPressures")
    if pages is not None and saving is not None and pages > saving:
        found = f"{pages} pages of memory are in TCP sockets, and the kernel saves from {saving} on"
    elif pressed:
        found = f"The kernel began {pressed} times to save memory of TCP sockets within {_window(namespace)}"
    else:
        return
    yield failed(
        f"{found}: it drops segments that came, and senders slow down (net.ipv4.tcp_mem).", subject=namespace.label("socket memory"),
        actual=pages, expected=saving,
        evidence=_counters(namespace, "TCPMemoryPressures", "TCPAbortOnMemory", "PruneCalled", "RcvPruned", "TCPRcvQDrop"),
        remediation=Remediation(hint="Find the connections whose data nobody reads (Recv-Q), or give TCP more memory by "
                                     "net.ipv4.tcp_mem.", command="ss -tm"))


@check(
    "network.listen_overflow",
    title="No listening socket drops connections",
    severity="high",
    why="A connection that finds the queue of a listener full is dropped without a word: the client sends its SYN again after 1 s, then "
        "after 2, 4, 8 s (listen(2), RFC 6298). Requests take whole seconds or time out, while the service itself measures nothing.",
    judged="ListenOverflows and ListenDrops of /proc/net/netstat over the window say whether connections were dropped. It is the "
           "listener whose own count (sk_drops of sock_diag(7)) grew and whose queue was full, or the only one whose count grew; that "
           "count alone is no finding, for the kernel counts the reset of a half-open probe there too. A service's queue that was longer "
           "than its backlog at one of the looks (every half second) is a finding as well: the kernel drops the next one "
           "(include/net/sock.h, sk_acceptq_is_full). TCPReqQFullDrop is one of the host; SYN cookies sent are one of severity medium, "
           "but where net.ipv4.tcp_syncookies is 2 (always). What was counted before the window is only told.",
    needs=("sample.kernel", "sample.listeners"),
    profile="standard",
    remediation=_NO_ROOM,
)
def listen_overflow(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    del policy
    found = watched.listeners(facts)
    for namespace in watched.namespaces(facts):
        here = [one for one in found if one.net == namespace.pid]
        dropped = _dropped(namespace)
        suspects = [one for one in here if one.drops] if dropped else []
        guilty = [one for one in suspects if one.full] or (suspects if len(suspects) == 1 else [])
        # A short queue of a program that is no service of ours may be full for a moment and harm nobody.
        bad = guilty + [one for one in here if one.full and one.service and one not in guilty]
        for one in bad:
            yield _overflowing(facts, namespace, one, min(one.drops or 0, dropped or 0) if one in guilty else 0)
        quiet: dict[str, list[Listener]] = {}
        for one in here:
            if one.service and not any(other.service == one.service for other in bad):
                quiet.setdefault(one.service, []).append(one)
        for service, rows in quiet.items():
            yield _quiet(namespace, service, rows, dropped, unclear=not guilty and any(one in suspects for one in rows))
        waiting = [f"{one.place}: at most {one.queue} waited to be accepted" + (f", its drops grew by {one.drops}" if one.drops else "")
                   for one in here if one in suspects or (one.backlog is None and one.queue)]
        yield from _whole(facts, namespace, dropped, waiting, explained=bool(guilty))


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


def _dropped(namespace: Namespace) -> int | None:
    """Connections that listeners of a namespace dropped; None where they are not counted."""
    values = namespace.tcp
    if values is None or values.get("ListenDrops") is None:
        return None
    # An overflow is a drop too (net/ipv4/tcp_ipv4.c, tcp_v4_syn_recv_sock).
    return max(namespace.grown("ListenDrops"), namespace.grown("ListenOverflows"))


def _overflowing(facts: Facts, namespace: Namespace, one: Listener, count: int) -> Outcome:
    dropped = f"dropped {_connections(count)} within {_window(namespace)}" if count else ""
    queue = f"had {one.queue} connections waiting to be accepted at a backlog of {one.backlog}" if one.full else ""
    evidence = [f"{one.place}: queue at most {one.queue}, backlog {one.backlog}, drops {'not told' if one.drops is None else one.drops}"]
    evidence += _counters(namespace, "ListenOverflows", "ListenDrops")
    for process in lookup(facts, "sample.services") or ():
        fds = process.get("fds") or {}
        if process.get("pid") == one.pid and fds.get("open") is not None:
            evidence.append(f"PID {one.pid}: {fds['open']} descriptors of {fds.get('soft')} are open")
    if not one.service:
        evidence.append("no service is known to hold it")
    where = f"sport = :{one.port}"
    return failed(
        f"The listener {one.place} {' and '.join(text for text in (dropped, queue) if text)}; nobody may be turned away.",
        subject=one.subject, actual={"drops": count, "queue": one.queue, "backlog": one.backlog}, expected={"drops": 0}, evidence=evidence,
        remediation=Remediation(hint=_NO_ROOM.hint, command=f"ss -ltnp '{where}'"))


def _quiet(namespace: Namespace, service: str, rows: list[Listener], dropped: int | None, *, unclear: bool) -> Outcome:
    evidence = [f"{one.place}: queue at most {one.queue}, backlog {'not told' if one.backlog is None else one.backlog}" for one in rows]
    if dropped is None:
        return unknown("Whether connections were dropped was not read.", subject=service, evidence=evidence)
    if dropped and (unclear or any(one.drops is None for one in rows)):
        return unknown(f"Connections were dropped in {namespace.where} ({dropped}), and it is not told by which listener.", subject=service,
                       evidence=evidence)
    longest = max(rows, key=lambda one: one.queue)
    waited = f"at most {longest.queue} waited to be accepted at {longest.place}" if longest.queue else "none had to wait to be accepted"
    backlog = f" (backlog {longest.backlog})" if longest.queue and longest.backlog is not None else ""
    return passed(f"No connection was dropped within {_window(namespace)}; {waited}{backlog}.", subject=service, actual=0, expected=0,
                  evidence=evidence)


def _whole(facts: Facts, namespace: Namespace, dropped: int | None, waiting: list[str], *, explained: bool) -> Iterator[Outcome]:
    names = ("ListenOverflows", "ListenDrops", "TCPReqQFullDrop", "SyncookiesSent")
    # The subject of another namespace alone is a service of its own.
    subject = namespace.label("all listeners") if namespace.subject else ""
    if dropped is None:
        yield unknown(namespace.reason, subject=subject, remediation=as_root(facts, namespace.error))
        return
    evidence = _counters(namespace, *names) + waiting + (_since_boot(facts, *names) if not namespace.subject else [])
    refused, cookies = namespace.grown("TCPReqQFullDrop"), namespace.grown("SyncookiesSent")
    values: dict[str, Any] = {"subject": subject, "expected": 0, "evidence": evidence}
    if dropped and not explained:
        yield failed(f"Listeners in {namespace.where} dropped {_connections(dropped)} within {_window(namespace)}; nobody may be turned "
                     "away.", actual=dropped, **values)
    elif refused and not explained:
        yield failed(f"Listeners in {namespace.where} refused {_connections(refused)} within {_window(namespace)}, because too many were "
                     "just being opened; nobody may be turned away.", actual=refused, **values)
    elif cookies and not explained and namespace.facts.get("syncookies") != 2:
        yield failed(f"SYN cookies were sent in {namespace.where} within {_window(namespace)} ({cookies}): more connections are opened "
                     "than a listener has room for.", actual=cookies, severity="medium", **values)
    elif not explained:
        yield passed(f"No listener in {namespace.where} dropped a connection within {_window(namespace)}.", actual=0, **values)


@check(
    "network.conntrack",
    title="Connection tracking and local ports have room",
    severity="medium",
    why="A full table of tracked connections drops the first packet of every new one (nf_conntrack-sysctl.rst; the kernel logs "
        "`nf_conntrack: table full, dropping packet`). And a host has only so many local ports for connections to one address and port: "
        "when all are taken, connect(2) fails with EADDRNOTAVAIL, `cannot assign requested address`. In Go the usual cause are "
        "connections that are not kept: http.Transport keeps two idle ones a host (DefaultMaxIdleConnsPerHost), and the others stay in "
        "TIME-WAIT for a minute.",
    judged="nf_conntrack_count against nf_conntrack_max, and early_drop and drop of /proc/net/stat/nf_conntrack over the window (a few "
           "of the latter are two packets that raced for one entry; insert_failed is only told). For each destination (its own "
           "subject): the local ports that connections to it take, from the local address with most of them, against "
           "net.ipv4.ip_local_port_range without the reserved ones. Ports in TIME-WAIT do not count where net.ipv4.tcp_tw_reuse lets a "
           "new connection have them. From 98 % on the finding is of severity high.",
    needs=("sample.kernel",),
    profile="standard",
    thresholds={
        "percent": Threshold(80.0, "fullest accepted table of tracked connections", unit="percent", minimum=1, maximum=100),
        "ports": Threshold(80.0, "largest accepted share of the local ports for one destination", unit="percent", minimum=1, maximum=100),
        "drops": Threshold(5, "most packets that connection tracking may drop within the window while its table has room", unit="packets",
                           minimum=0),
    },
    remediation=Remediation(
        hint="Raise net.netfilter.nf_conntrack_max (and the hash with it), shorten its timeouts, or do not track what needs no tracking "
             "(nftables: notrack).",
        command="sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max"),
)
def conntrack(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    fill, ports, drops = (policy.threshold(conntrack, name) for name in ("percent", "ports", "drops"))
    for namespace in watched.namespaces(facts):
        if namespace.error:
            yield unknown(namespace.reason, subject=namespace.subject, remediation=as_root(facts, namespace.error))
            continue
        found = watched.destinations(namespace)
        for one in found:
            if one.percent >= ports:
                yield _exhausted(namespace, one, ports)
        if not found and not namespace.facts.get("port_range"):
            yield unknown("The range of local ports was not read.", subject=namespace.label("local ports"))
        elif not namespace.facts.get("complete", True) and not any(one.percent >= ports for one in found):
            yield unknown("There were more connections than could be counted.", subject=namespace.label("local ports"))
        yield _table(namespace, found, fill, drops)


def _exhausted(namespace: Namespace, one: Destination, ports: float) -> Outcome:
    row = one.facts
    whose = f" (of {one.services})" if one.services else ""
    low, high = namespace.facts["port_range"]
    return failed(
        f"Connections to {one.place}{whose} take {one.used} of {one.usable} local ports ({one.percent:.3g} %); below {ports:g} % is "
        "accepted.",
        subject=namespace.label(one.place), actual=one.used, expected=int(one.usable * ports / 100),
        severity="high" if one.percent >= 98 else None,
        evidence=[_states(row),
                  f"net.ipv4.ip_local_port_range {low} {high}, {namespace.facts.get('reserved_ports') or 0} of them reserved",
                  f"net.ipv4.tcp_tw_reuse {namespace.facts.get('tw_reuse')}"],
        remediation=Remediation(
            hint="Keep connections and use them again: one http.Client, bodies read to their end and closed, MaxIdleConnsPerHost as large "
                 "as requests run at once; a pool with a limit for a database. A wider net.ipv4.ip_local_port_range only puts it off.",
            command=f"ss -tan 'dport = :{row['port']}'"))


def _states(row: Mapping[str, Any]) -> str:
    return (f"from {row['source']}: {row['established']} established, {row['syn_sent']} being opened, {row['close_wait']} closed by the "
            f"peer alone, {row['closing']} being closed, {row['time_wait']} in TIME-WAIT")


def _table(namespace: Namespace, found: list[Destination], limit: float, accepted: int) -> Outcome:
    table = namespace.facts.get("conntrack")
    busiest = f"connections to {found[0].place} take {found[0].used} of {found[0].usable} local ports" if found else (
        "no connection takes a local port")
    if not table:
        return notapplicable(f"Nothing tracks connections in {namespace.where}; {busiest}.", subject=namespace.subject)
    count, most = table.get("count"), table.get("maximum")
    early, drops = table.get("early_drops") or 0, table.get("drops") or 0
    evidence = [f"nf_conntrack_count {count}, nf_conntrack_max {most}",
                f"{_window(namespace)}: " + ", ".join(f"{key} {'not readable' if table.get(key) is None else table[key]}"
                                                      for key in ("drops", "early_drops", "insert_failed"))]
    evidence += [f"to {one.place} {_states(one.facts)}" for one in found[:1]]
    values: dict[str, Any] = {"subject": namespace.subject, "actual": count, "expected": int(most * limit / 100) if most else None,
                              "evidence": evidence}
    share = 100.0 * count / most if most else 0.0  # nf_conntrack_max 0: as many as there is memory for
    if early:
        return failed(f"Connection tracking gave up {_connections(early)} within {_window(namespace)} to make room ({count} of {most} are "
                      "tracked); it has to have room.", **values)
    if drops > accepted:
        return failed(f"Connection tracking dropped {drops} packets within {_window(namespace)} ({count} of {most} connections are "
                      f"tracked); at most {accepted} are accepted.", **values)
    if share >= limit:
        return failed(f"{count} of {most} connections are tracked ({share:.3g} %); below {limit:g} % is accepted.", **values)
    tracked = f"{count} of {most} connections are tracked ({share:.2g} %)" if most else f"{count} connections are tracked, without a limit"
    return passed(f"{tracked}, and {busiest}.", **values)
