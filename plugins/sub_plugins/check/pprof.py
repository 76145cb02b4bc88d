# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who can read, and load, a Go service through its debug endpoints?

``bind`` judges the address a listener is bound to, ``reachable`` what the controller really got, ``public_mux`` whether
the application's own listener serves debugging, ``expvar`` the same for /debug/vars; ``allow_list`` and ``authentication``
what stands in front, of reverse proxies too. A listener that serves neither is
no finding, whatever else it serves (/metrics, /healthz).

And do the profiles tell what they should? ``available``, ``profiles_valid``, and what contention profiling costs:
``mutex_sampling``, ``block_sampling``. These judge the takes of ``runtime.endpoints``.
"""
from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils.collect.pprof import is_local
from ansible_collections.goready.preflight.plugins.plugin_utils import memory, outside, runtimes, subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    AS_ROOT, Facts, Outcome, Policy, Remediation, Threshold, as_root, check, failed, is_selected, lookup, notapplicable, passed, unknown,
)

NEEDS = ("pprof.endpoints",)
WILDCARDS = ("0.0.0.0", "::")
SHOWN = 20  # listeners named in the evidence of a summary

Endpoint = Mapping[str, Any]

_GUARD = Remediation(
    hint="Serve net/http/pprof on a listener of its own, bound to 127.0.0.1 or a unix socket: give it its own mux "
         "(http.NewServeMux, pprof.Index and the others) and its own http.Server, and reach it through an SSH tunnel.",
    role="pprof_guard",
)

_NO_EXPVAR = Remediation(
    hint="Serve expvar.Handler() on the debug listener on loopback only, and the application on a mux of its own.",
    role="pprof_guard")

_LOOK = Remediation(hint="Look on the host at what these processes listen on.", command="sudo ss -Hlntp")

_WHY_PPROF = (
    "net/http/pprof asks nobody who they are. Whoever reaches it reads the arguments of the command line "
    "(/debug/pprof/cmdline), function and file names, stacks of all goroutines; and starts CPU profiles, traces and stack "
    "dumps that stop the world, as often as he likes. Source: Go, src/net/http/pprof/pprof.go (init registers the handlers on "
    "http.DefaultServeMux on import) and CWE-200, CWE-400."
)


def _listeners(facts: Facts, part: str = "endpoints") -> list[tuple[str, Endpoint]]:
    """(subject, endpoint) of every listener, by subject. A subject names service and listener; two containers that give
    the same one are told apart by their id."""
    endpoints = lookup(facts, f"pprof.{part}") or []
    names = [f"{subjects.subject_of(endpoint['service'], endpoint.get('container'))} {runtimes.where(endpoint)}" for endpoint in endpoints]
    counts = Counter(names)
    found = []
    for name, endpoint in zip(names, endpoints, strict=True):
        mark = (endpoint.get("container") or {}).get("id") or endpoint.get("pid")
        found.append((f"{name} @{mark}" if counts[name] > 1 else name, endpoint))
    return sorted(found, key=lambda pair: pair[0])


def _evidence(endpoint: Endpoint, part: str = "pprof") -> list[str]:
    lines = [f"{_bound(endpoint)}{_process(endpoint)}"]
    if endpoint["declared"]:
        lines.append("declared by pprof: in preflight_services")
    lines.extend(str(line) for line in endpoint[part]["evidence"])
    if endpoint.get("error") and endpoint["error"] not in lines:
        lines.append(str(endpoint["error"]))
    return lines


def _bound(endpoint: Endpoint) -> str:
    scheme = f", {endpoint['scheme']}" if endpoint.get("scheme") else ""
    return f"listener {runtimes.where(endpoint)}{scheme}"


def _process(endpoint: Endpoint) -> str:
    container = endpoint.get("container")
    inside = f" in {container.get('runtime')} container {container.get('id')}" if container else ""
    return (f", PID {endpoint['pid']}" if endpoint.get("pid") else "") + inside


def _reach(endpoint: Endpoint) -> str:
    """Who can connect, for a listener beyond loopback."""
    address = endpoint["listener"]["address"]
    if endpoint.get("namespace") == "other":
        net = "its container's network" if endpoint.get("container") else "its own network namespace"
        return f"on {runtimes.where(endpoint)} inside {net}: for everything on that network, and wherever the port is published"
    if address in WILDCARDS:
        return f"on {runtimes.where(endpoint)}: on every address of the host"
    return f"on {runtimes.where(endpoint)}: for everybody with a route to that address"


def _own_network(endpoint: Endpoint) -> bool:
    return bool(endpoint.get("namespace") != "host")


@dataclass(frozen=True)
class _Guard:
    """What keeps a port for an allow-list: role pprof_guard's table, or a proxy's own configuration. ``lasting`` as in the
    facts; ``contradiction`` is what the controller got although it is not on the list."""

    allow: Sequence[str]
    by: str
    lasting: bool = True
    contradiction: str = ""

    @property
    def words(self) -> str:
        return f"{self.by} admits only loopback" + (f" and {', '.join(self.allow)}" if self.allow else "")

    @property
    def proven(self) -> bool:
        return self.lasting and not self.contradiction


def _admits(guard: _Guard, addresses: Sequence[object]) -> bool:
    """Whether one of these addresses is on the allow-list."""
    for text in addresses:
        try:
            one = ipaddress.ip_address(str(text).partition("%")[0])
        except ValueError:
            continue
        if one.is_loopback or any("-" not in net and one in ipaddress.ip_network(net, strict=False) for net in guard.allow):
            return True
    return False


def _seen_from(facts: Facts, answer: Mapping[str, Any] | None) -> list[object]:
    """The controller's addresses: its own in the connection, and the one the host sees (they differ behind NAT)."""
    return [address for address in ((answer or {}).get("source"), lookup(facts, "pprof.client")) if address]


def _table(facts: Facts, endpoint: Endpoint) -> _Guard | None:
    """The packet filter of role pprof_guard in front of a listener of the host's own network."""
    if endpoint.get("namespace") != "host" or not endpoint["listener"]["port"]:
        return None
    for entry in lookup(facts, "pprof.firewall.ports") or ():
        if entry["port"] == endpoint["listener"]["port"]:
            guard = _Guard(entry["allow"], "the table inet goready_pprof", lasting=lookup(facts, "pprof.firewall.lasting") is not False)
            return _contradicted(facts, endpoint, guard)
    return None


def _contradicted(facts: Facts, endpoint: Endpoint, guard: _Guard) -> _Guard:
    """The guard, and whether the controller got in although it is not on the list. A proxy answers 403 to whom it refuses."""
    for answer in lookup(facts, "outside.endpoints") or ():
        refused = not answer["open"] or (endpoint.get("program") and answer["status"] == 403)
        if _key(answer) == _key(endpoint) and not refused:
            here = _seen_from(facts, answer)
            if here and not _admits(guard, here):
                return replace(guard, contradiction=f"the controller ({here[0]}) is not on that list and is let in")
    return guard


def _doubt(endpoint: Endpoint, part: str = "pprof") -> tuple[str, str | None]:
    """(why it is not known what a listener serves, the severity of that). None: the check's own severity.

    A declared pprof listener is there to be judged. Of any other one that does not talk HTTP to us, debugging is only a
    possibility (the executable holds the path): that must be seen, and must not stop a release.
    """
    state = endpoint["state"]
    detail = endpoint.get("error") or "; ".join(endpoint[part]["evidence"]) or state
    severity = None if endpoint["declared"] or state == "not_probed" else "low" if state == "silent" else "medium"
    return str(detail), severity


def _with_way_in(facts: Facts, endpoint: Endpoint, outcome: Outcome | None) -> Outcome | None:
    """Only root may enter another network namespace (setns(2)): a listener that an ordinary user could not ask there."""
    if outcome is None or outcome.status != "unknown" or endpoint["state"] != "namespace" or \
            lookup(facts, "collected.privileged"):
        return outcome
    return replace(outcome, remediation=AS_ROOT)


def _guarded(endpoint: Endpoint, part: str = "pprof") -> bool:
    """Nothing was served without credentials, and that is why nobody knows what is behind."""
    if part == "expvar":
        return endpoint["expvar"]["status"] in (401, 403) or (endpoint["state"] == "client_certificate")
    return bool(endpoint["authentication"])


def _guarded_words(endpoint: Endpoint, part: str = "pprof") -> str:
    if endpoint["state"] == "client_certificate":
        return "asks for a TLS client certificate"
    return f"refuses us without credentials ({endpoint[part]['status'] or endpoint['expvar']['status']})"


# Their listen flag (github.com/prometheus/exporter-toolkit, web/kingpinflag).
_PROMETHEUS = ("prometheus", "exporter", "alertmanager", "pushgateway")


def _packaged(facts: Facts, endpoint: Endpoint) -> str:
    """The distribution's program that listens, where nobody declared it as a service of theirs; empty for any other."""
    if endpoint["declared"] or endpoint.get("container"):
        return ""
    for service in lookup(facts, "services.services") or ():
        if service.get("name") == endpoint["service"] and not service.get("declared") and not service.get("container"):
            for process in service.get("processes") or ():
                exe = str(process.get("exe") or "")
                if process.get("pid") == endpoint.get("pid") and exe.startswith(("/usr/bin/", "/usr/sbin/")):
                    return exe
    return ""


def _advised(facts: Facts, endpoint: Endpoint, outcome: Outcome | None) -> Outcome | None:
    """Who runs a distribution's daemon does not write its code: what they can change is where it listens, and for whom."""
    if outcome is None or not (outcome.status == "fail" or (outcome.status == "unknown" and outcome.remediation is None)):
        return outcome
    exe = _packaged(facts, endpoint)
    if not exe:
        return outcome
    name = exe.rsplit("/", 1)[-1]
    flag = " (--web.listen-address=ADDRESS:PORT)" if name.replace("_", "-").split("-")[-1] in _PROMETHEUS else ""
    port = endpoint["listener"]["port"]
    door = f"port {port}" if port else "it"
    hint = (f"{name} is the distribution's: bind it to loopback, or to an address of the monitoring network, by its own listen "
            f"flag{flag}, or let the firewall admit only the monitoring server to {door}.")
    return replace(outcome, remediation=Remediation(
        hint=hint, command=outcome.remediation.command if outcome.remediation else "", role="pprof_guard"))


def _mended(facts: Facts, endpoint: Endpoint, outcome: Outcome | None, general: Remediation) -> Outcome | None:
    """The outcome, whose remediation role pprof_guard may apply unasked: where the port serves debugging and nothing else, and
    a unit of the host's systemd is behind it. What others need of a shared port is a person's decision."""
    if outcome is None or outcome.status != "fail":
        return outcome
    mend = outcome.remediation or general
    if (mend.role != "pprof_guard" or endpoint.get("program") or endpoint.get("container") or endpoint.get("namespace") != "host"
            or endpoint.get("shared") is not False or not endpoint["listener"]["port"] or is_local(endpoint["listener"])):
        return outcome
    for service in lookup(facts, "services.services") or ():
        if service.get("name") == endpoint["service"]:
            if service.get("manager") != "user" and str(service.get("unit")).endswith(".service"):
                return replace(outcome, remediation=replace(mend, safe="apply"))
    return outcome


def _blind(facts: Facts, policy: Policy) -> list[Outcome]:
    """What the collectors could not see, in one outcome at most: listeners of processes that were not ours to read.

    It weighs as much as the check where a Go program or a declared service is among them, or nobody said which services
    count; where they are declared and were read, or root himself could not see more, it is low.
    """
    heavy: dict[str, str] = {}  # by PID
    others: dict[str, str] = {}
    refusals = []
    for service in lookup(facts, "services.services") or ():
        for process in service.get("processes") or ():
            said = [str(line) for line in process.get("unreadable") or ()
                    if str(line).split(":", maxsplit=1)[0] in ("listeners", "fds", "status")]
            wanted = bool(process.get("go") or service.get("declared"))
            if not said or (process.get("go") is False and not wanted):
                continue
            pid = str(process.get("pid"))
            (heavy if wanted else others)[pid] = f"PID {pid} ({service.get('name')}): {'; '.join(said)}"
            refusals += said if wanted else []
    unseen = lookup(facts, "services.unreadable") or {}
    commands = ", ".join(str(command) for command in (unseen.get("commands") or ())[:10])
    evidence = [*heavy.values(), *others.values()]
    evidence = evidence[:SHOWN] + ([f"... and {len(evidence) - SHOWN} more"] if len(evidence) > SHOWN else [])
    evidence += [f"not readable: {commands}"] if commands else []
    if heavy:
        return [unknown(f"What {len(heavy)} processes of services listen on could not be read." if len(heavy) > 1 else
                        "What a service's process listens on could not be read.", evidence=evidence,
                        remediation=as_root(facts, *refusals) or _LOOK)]
    if others or unseen.get("processes") or unseen.get("hidden"):
        light = bool(policy.services) or bool(lookup(facts, "collected.privileged"))
        return [unknown(f"Listeners may have been missed: {unseen.get('reason') or 'some processes are not readable'}.",
                        evidence=evidence, remediation=subjects.unseen(facts), severity="low" if light else None)]
    return []


def _nothing(facts: Facts, what: str) -> Outcome:
    """The outcome of a host where no listener was worth a line of its own."""
    listeners = _listeners(facts)
    if not listeners:
        return notapplicable("No Go process listens on this host.")
    shown = [f"{subject}: {'; '.join(endpoint['pprof']['evidence']) or endpoint['state']}" for subject, endpoint in listeners]
    more = [f"... and {len(shown) - SHOWN} more"] if len(shown) > SHOWN else []
    count = len(listeners)
    return passed(f"{what} ({count} listener{'s' if count > 1 else ''} of Go processes asked).", evidence=shown[:SHOWN] + more)


def _each_listener(facts: Facts, policy: Policy, judge: Callable[[str, Endpoint], Outcome | None], nothing: str,
                   general: Remediation) -> Iterator[Outcome]:
    """What ``judge`` says of every listener, what was hidden from us, and where there is neither, that there is ``nothing``."""
    listed = False
    for subject, endpoint in _listeners(facts):
        outcome = _advised(facts, endpoint, _with_way_in(facts, endpoint, judge(subject, endpoint)))
        outcome = _mended(facts, endpoint, outcome, general)
        if outcome is not None:
            listed = True
            yield outcome
    hidden = _blind(facts, policy)
    yield from hidden
    if not listed and not hidden:
        yield _nothing(facts, nothing)


@check(
    "pprof.bind",
    title="pprof listens on loopback or a unix socket only",
    severity="critical",
    why=_WHY_PPROF + " A firewall in front is one rule away from being gone; the address a socket is bound to is not.",
    judged="Every listener of a Go process that serves /debug/pprof/ (seen by its index, its X-Go-Pprof header or its symbol "
           "handler; no profile is taken) must be bound to 127.0.0.0/8, ::1 or a unix socket. Any other address fails, one of a "
           "private network too: others are on that network. A port that the kernel's table of role pprof_guard admits only an "
           "allow-list to passes, where that table is loaded at boot and the controller was not let in against it. In a network "
           "namespace of its own (a container) it fails as high, because who reaches it depends on what is published. Listeners "
           "that answer every debug path with 401 or 403, or want a TLS client certificate, pass: nothing is served to whoever "
           "just asks. A listener beyond loopback that accepts a connection and stays silent is unknown, as low unless it is "
           "declared, and only where the executable holds the path /debug/pprof/ at all.",
    remediation=_GUARD,
    needs=NEEDS,
)
def bind(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from _each_listener(facts, policy, partial(_bind, facts), "No listener serves /debug/pprof/", _GUARD)


def _bind(facts: Facts, subject: str, endpoint: Endpoint) -> Outcome | None:
    served, where = endpoint["pprof"]["served"], runtimes.where(endpoint)
    local = is_local(endpoint["listener"])
    evidence = _evidence(endpoint)
    if served:
        if local:
            return passed(f"/debug/pprof/ is served on {where}, which only this machine reaches.", subject=subject, actual=where,
                          expected="loopback or unix", evidence=evidence)
        guard = _table(facts, endpoint)
        if guard is not None and guard.proven:
            return passed(f"/debug/pprof/ is served on {where}, to which {guard.words}.", subject=subject, actual=where,
                          expected="loopback or unix", evidence=evidence)
        if guard is not None:
            return failed(f"/debug/pprof/ is served on {where}; {_unproven(guard)}.", subject=subject, actual=where,
                          expected="loopback or unix", evidence=evidence, severity=None if guard.contradiction else "high")
        return failed(f"/debug/pprof/ is served to anybody {_reach(endpoint)}; loopback or a unix socket is wanted.",
                      subject=subject, actual=where, expected="loopback or unix", evidence=evidence,
                      severity="high" if _own_network(endpoint) else None)
    if served is None and not local and _guarded(endpoint):
        return passed(f"{where} is beyond loopback, but {_guarded_words(endpoint)}.", subject=subject, actual=where,
                      evidence=evidence)
    if served is None and not local:
        detail, severity = _doubt(endpoint)
        return unknown(f"Whether {where} serves /debug/pprof/ is not known: {detail}.", subject=subject, actual=where,
                       expected="loopback or unix", evidence=evidence, severity=severity)
    return None


def _unproven(guard: _Guard) -> str:
    return f"{guard.words}, but " + (guard.contradiction or "it will not be there after the next boot")


@check(
    "pprof.reachable",
    title="Nobody reaches pprof from the network",
    severity="critical",
    why=_WHY_PPROF + " This one is proven: the controller, another machine, asked for it and got it.",
    judged="Tried from the controller: every TCP listener beyond loopback where the host saw /debug/pprof/ or /debug/vars or "
           "could not rule them out, and every nginx of the host that leads to one. It fails where the controller gets them (as "
           "high for /debug/vars alone), unless it is on the allow-list that a guard holds to. Refused, "
           "filtered, or answered without them (401, 403, 404) passes. It passes untried where there is no such listener. It "
           "is unknown where the controller has no direct path to the host (SSH through a bastion or proxy, a local or "
           "container connection, an address of another network): no answer proves nothing then. Containers with a network "
           "of their own are not tried, for their published ports are not known here; a published port that a Go proxy holds "
           "open on the host is a listener of its own and is tried.",
    remediation=Remediation(
        hint=_GUARD.hint + " Until then, let the firewall close the port.", role="pprof_guard"),
    needs=NEEDS,
)
def reachable(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    answers = {_key(entry): entry for entry in lookup(facts, "outside.endpoints") or ()}
    candidates = {_key(endpoint) for endpoint in outside.candidates(facts)}
    listed = False
    for subject, endpoint in [*_listeners(facts), *_listeners(facts, "proxies")]:
        outcome = None
        if endpoint["listener"]["port"] and _key(endpoint) in candidates:
            outcome = _reachable(facts, subject, endpoint, answers.get(_key(endpoint)))
        elif _own_network(endpoint) and not is_local(endpoint["listener"]) and (
                endpoint["pprof"]["served"] or endpoint["expvar"]["served"]):
            outcome = unknown(f"Where {runtimes.where(endpoint)} is published, and so who reaches it, is not known.", subject=subject,
                              evidence=_evidence(endpoint), severity="medium")
        outcome = _mended(facts, endpoint, _advised(facts, endpoint, outcome), _GUARD)
        if outcome is not None:
            listed = True
            yield outcome
    hidden = _blind(facts, policy)
    yield from hidden
    if not listed and not hidden:
        yield _nothing(facts, "No listener beyond loopback serves debug endpoints, so there was nothing to try")


def _key(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    listener = entry["listener"]
    return entry["service"], listener["proto"], listener["address"], listener["port"]


def _reachable(facts: Facts, subject: str, endpoint: Endpoint, answer: Mapping[str, Any] | None) -> Outcome:
    port, reason = endpoint["listener"]["port"], lookup(facts, "outside.reason")
    if answer is None:
        return unknown(f"Port {port} was not tried from another machine.", subject=subject, evidence=_evidence(endpoint),
                       severity=_doubt_outside(endpoint))
    target = f"[{answer['address']}]:{port}" if ":" in str(answer["address"]) else f"{answer['address']}:{port}"
    # Where expvar alone was seen, here or there, that is what there is to ask for and to mend.
    vars_only = not answer["pprof"] and (answer["expvar"] or (
        endpoint["expvar"]["served"] is not False and endpoint["pprof"]["served"] is False))
    what = (endpoint.get("prefix") or "") + ("/debug/vars" if vars_only else "/debug/pprof/")
    command = f"curl -sS -k -m 3 -o /dev/null -w '%{{http_code}}\\n' {endpoint.get('scheme') or 'http'}://{target}{what}"
    evidence = [f"from the controller: {line}" for line in answer["evidence"]] + ([str(reason)] if reason else [])
    mend = Remediation(hint=_NO_EXPVAR.hint if vars_only else _GUARD.hint, command=command, role="pprof_guard")
    if endpoint.get("program"):
        mend = replace(_at_the_proxy(endpoint), command=command)
    guard = _in_front(facts, endpoint)
    if (answer["pprof"] or answer["expvar"]) and guard is not None and guard.proven:
        return passed(f"The controller ({_seen_from(facts, answer)[0]}) reads {what} at {target} because it is on the allow-list: "
                      f"{guard.words}.", subject=subject, actual="admitted", expected="not reachable", evidence=evidence)
    if answer["pprof"] or answer["expvar"]:
        return failed(f"The controller reads {what} at {target}: so does everybody with the same network path.", subject=subject,
                      actual="reachable", expected="not reachable", evidence=evidence, remediation=mend,
                      severity=None if answer["pprof"] else "high")
    if answer["open"] is False:
        return passed(f"{target} does not let the controller in ({answer['error']}).", subject=subject, actual=answer["state"],
                      expected="not reachable", evidence=evidence)
    # What the host itself did not see served needs no answer from outside.
    wanted = [part for part in ("pprof", "expvar") if endpoint[part]["served"] is not False]
    if answer["open"] and all(answer[part] is False for part in wanted):
        status = f" (status {answer['status']})" if answer["status"] else ""
        return passed(f"{target} answers the controller, but serves it no debug endpoint{status}.", subject=subject,
                      actual="open", expected="not reachable", evidence=evidence)
    detail = answer["error"] or "; ".join(answer["evidence"]) or "no answer"
    return unknown(f"Whether others reach debug endpoints on port {port} is not known: {detail}.", subject=subject,
                   expected="not reachable", evidence=evidence, remediation=Remediation(
                       hint="Try from a machine of the network that you want it closed for.", command=command),
                   severity=_doubt_outside(endpoint))


def _doubt_outside(endpoint: Endpoint) -> str | None:
    """Severity of not knowing: the check's own where pprof was seen on the host, else what it is worth there."""
    if endpoint["pprof"]["served"]:
        return None
    if endpoint["expvar"]["served"]:
        return "high"
    if _guarded(endpoint):
        return "low"
    return _doubt(endpoint)[1]


@check(
    "pprof.public_mux",
    title="The application's listener does not serve pprof",
    severity="critical",
    why=_WHY_PPROF + " An application that serves http.DefaultServeMux publishes pprof with its own pages wherever they are "
    "published: no port to close is left.",
    judged="A listener that serves /debug/pprof/ must serve nothing else. It is the application's where the service's declared "
           "`health` URL is on it, or where GET / answers with something else than 404 or a page of links to /metrics and "
           "/debug. It is a debug listener where it is the declared `pprof` URL, where / answers 404 and `health` is declared "
           "elsewhere, on port 6060, or on loopback beside a listener beyond it. What neither shows is unknown (as medium). "
           "/metrics and /healthz beside pprof are an administrator's listener, not an application. On loopback it fails as "
           "high: a reverse proxy that forwards every path publishes it. A listener without /debug/pprof/ is no finding.",
    remediation=Remediation(
        hint="Give the application a mux of its own (http.NewServeMux) instead of http.DefaultServeMux or a nil Handler, and "
             "serve net/http/pprof on a listener bound to loopback. Until then let the reverse proxy refuse /debug/.",
        role="pprof_guard"),
    needs=NEEDS,
)
def public_mux(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    listed = False
    for subject, endpoint in _listeners(facts):
        if not endpoint["pprof"]["served"]:
            continue
        listed = True
        where, mux = runtimes.where(endpoint), endpoint["shared"]
        local = is_local(endpoint["listener"])
        evidence = [*_evidence(endpoint), *endpoint.get("shared_evidence", ())]
        if mux:
            reach = ": a reverse proxy that forwards every path publishes it" if local else ""
            shared = failed(f"The application's own listener {where} serves /debug/pprof/ too{reach}; a listener of its own on "
                            "loopback is wanted.", subject=subject, actual="shared", expected="separate", evidence=evidence,
                            severity="high" if local else None)
            yield _advised(facts, endpoint, shared) or shared
        elif mux is False:
            yield passed(f"{where} serves debugging apart from the application.", subject=subject, actual="separate",
                         expected="separate", evidence=evidence)
        else:
            yield unknown(f"Whether {where} is the application's own listener is not known; declare the service's health or "
                          "pprof URL to tell.", subject=subject, expected="separate", evidence=evidence, severity="medium",
                          remediation=Remediation(hint="Declare `health:` and `pprof:` of the service in preflight_services."))
    hidden = _blind(facts, policy)
    yield from hidden
    if not listed and not hidden:
        yield _nothing(facts, "No listener serves /debug/pprof/")


@check(
    "pprof.expvar",
    title="expvar is not published",
    severity="high",
    why="/debug/vars holds the whole command line (with the secrets that were passed there) and every memory statistic, for "
        "which runtime.ReadMemStats stops the world at each request. Source: Go, package expvar (init publishes cmdline and "
        "memstats and registers the handler on http.DefaultServeMux on import) and src/runtime/mstats.go.",
    judged="A listener of a Go process that serves /debug/vars (JSON with cmdline; the values are never kept) must be bound to "
           "loopback or a unix socket and must not be the application's own. Beyond loopback it fails; in a network namespace "
           "of its own, and on the application's listener on loopback (a reverse proxy may publish it), as medium. Listeners "
           "that answer it with 401 or 403 pass, and ports that the table of role pprof_guard admits only an allow-list to.",
    remediation=_NO_EXPVAR,
    needs=NEEDS,
)
def expvar(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from _each_listener(facts, policy, partial(_expvar, facts), "No listener serves /debug/vars", _NO_EXPVAR)


def _expvar(facts: Facts, subject: str, endpoint: Endpoint) -> Outcome | None:
    served, where = endpoint["expvar"]["served"], runtimes.where(endpoint)
    local = is_local(endpoint["listener"])
    evidence = _evidence(endpoint, "expvar")
    guard = None if local else _table(facts, endpoint)
    if served and guard is not None and guard.proven:
        return passed(f"/debug/vars is served on {where}, to which {guard.words}.", subject=subject, actual=where,
                      expected="loopback or unix", evidence=evidence)
    if served and not local:
        return failed(f"/debug/vars is served to anybody {_reach(endpoint)}; loopback or a unix socket is wanted.",
                      subject=subject, actual=where, expected="loopback or unix", evidence=evidence,
                      severity="medium" if _own_network(endpoint) else None)
    if served and endpoint["shared"]:
        return failed(f"The application's own listener {where} serves /debug/vars too: a reverse proxy that forwards every path "
                      "publishes it; a listener of its own is wanted.", subject=subject, actual="shared", expected="separate",
                      evidence=[*evidence, *endpoint.get("shared_evidence", ())], severity="medium")
    if served:
        return passed(f"/debug/vars is served on {where}, which only this machine reaches.", subject=subject, actual=where,
                      expected="loopback or unix", evidence=evidence)
    if served is None and not local and _guarded(endpoint, "expvar"):
        return passed(f"{where} is beyond loopback, but {_guarded_words(endpoint, 'expvar')}.", subject=subject, actual=where,
                      evidence=evidence)
    if served is None and not local:
        detail, severity = _doubt(endpoint, "expvar")
        return unknown(f"Whether {where} serves /debug/vars is not known: {detail}.", subject=subject, actual=where,
                       expected="loopback or unix", evidence=evidence, severity=severity)
    return None


_WHY_GUARD = (
    "Where pprof has to be read from another machine, two things keep it from everybody else: an allow-list of networks, and "
    "credentials. Source: Go, src/net/http/pprof/pprof.go (the handlers ask for none); CWE-284, CWE-306."
)

_AS_BIND = (
    "A listener beyond loopback with nothing at all in front is the finding of pprof.bind, which weighs there: here it is told as "
    "info, unless pprof.bind was left out of the run."
)

_IN_FRONT = Remediation(
    hint="Put a guard in front with role pprof_guard: `pprof_guard_allow` names the networks that are admitted, by the packet filter or "
         "by a proxy that asks for credentials too. Better still, let pprof listen on loopback.",
    role="pprof_guard",
)


def _in_front(facts: Facts, endpoint: Endpoint) -> _Guard | None:
    """The allow-list in front of a listener or proxy. A packet filter before a proxy's port narrows what that admits."""
    table = _table(facts, endpoint)
    if table is not None or not endpoint.get("program") or endpoint["allow"] is None:
        return table
    beyond = [net for net in endpoint["allow"] if not _loopback(net)]
    return _contradicted(facts, endpoint, _Guard(beyond, f"{endpoint['program']} ({endpoint['file']})"))


def _loopback(net: str) -> bool:
    try:
        return ipaddress.ip_network(net, strict=False).is_loopback
    except ValueError:
        return False  # unix:, or a name


def _fronts(facts: Facts, policy: Policy, judge: Callable[[str, Endpoint], Outcome | None]) -> Iterator[Outcome]:
    """What ``judge`` says of every listener and proxy beyond loopback that leads to pprof, by whatever it asks first."""
    listed = False
    for subject, endpoint in [*_listeners(facts), *_listeners(facts, "proxies")]:
        outcome = None
        if not is_local(endpoint["listener"]) and (endpoint["pprof"]["served"] or _guarded(endpoint)):
            outcome = _mended(facts, endpoint, _advised(facts, endpoint, judge(subject, endpoint)), _IN_FRONT)
        if outcome is not None:
            listed = True
            yield outcome
    hidden = _blind(facts, policy)
    yield from hidden
    unread = [str(entry["message"]) for entry in lookup(facts, "errors") or () if entry.get("part") in ("pprof.proxies", "pprof")]
    if unread:
        yield unknown("Whether a reverse proxy of this host leads to pprof is not known.", evidence=unread, severity="low",
                      remediation=as_root(facts, *unread))
    if not listed and not hidden and not unread:
        yield _nothing(facts, "Nothing beyond loopback leads to /debug/pprof/, no reverse proxy either")


def _alone(policy: Policy, endpoint: Endpoint) -> str | None:
    """Severity of a listener with nothing in front. Proxies are no finding of pprof.bind."""
    return "info" if not endpoint.get("program") and is_selected(bind, policy) else None


def _at_the_proxy(endpoint: Endpoint) -> Remediation:
    """No role touches the sites of others."""
    return Remediation(hint=f"In {endpoint['file']} (line {endpoint['line']}), let {endpoint['program']} refuse /debug/, or give the "
                            "location allow and deny, and credentials.")


def _asks(endpoint: Endpoint) -> str:
    """What it asks for, as words; empty where it serves whoever comes."""
    if not _guarded(endpoint):
        return ""
    if endpoint["state"] == "client_certificate":
        return "a TLS client certificate"
    statuses = {endpoint["pprof"]["status"], endpoint["expvar"]["status"]}
    return "credentials (401)" if 401 in statuses else "something else (403)"


def _fronted(endpoint: Endpoint) -> list[str]:
    if not endpoint.get("program"):
        return _evidence(endpoint)
    backend = runtimes.where({"listener": endpoint["backend"]})
    return [f"{endpoint['file']} line {endpoint['line']}: {endpoint['program']} hands {endpoint['prefix']}/debug on to {backend}",
            _bound(endpoint), *(str(line) for line in endpoint["pprof"]["evidence"])]


@check(
    "pprof.allow_list",
    title="pprof admits only an allow-list",
    severity="high",
    why=_WHY_GUARD,
    judged="Every listener beyond loopback that serves /debug/pprof/ or asks for credentials before it, and every server of nginx on the "
           "host that leads to a listener that serves it, must admit only listed networks: by the table of role pprof_guard, as the "
           "kernel has it, or by nginx's own allow and deny. It fails where the controller is let in without being listed, and where "
           "the table will not be there after the next boot. Asking for credentials counts as much by default; the threshold "
           "`credentials` says otherwise. Other packet filters are not read: what they keep out is pprof.reachable's. " + _AS_BIND,
    remediation=_IN_FRONT,
    needs=NEEDS,
    thresholds={"credentials": Threshold(True, "asking everybody for credentials is accepted in place of an allow-list")},
)
def allow_list(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    enough = bool(policy.threshold(allow_list, "credentials"))

    def judge(subject: str, endpoint: Endpoint) -> Outcome:
        where, evidence, asks = runtimes.where(endpoint), _fronted(endpoint), _asks(endpoint)
        guard = _in_front(facts, endpoint)
        wanted = "an allow-list or credentials" if enough else "an allow-list"
        if guard is not None and guard.proven:
            return passed(f"To {where}, {guard.words}.", subject=subject, actual=list(guard.allow), expected=wanted, evidence=evidence)
        if guard is not None:
            return failed(f"To {where}, {_unproven(guard)}.", subject=subject, actual=list(guard.allow), expected=wanted, evidence=evidence,
                          severity=None if asks else _alone(policy, endpoint))
        if asks and enough:
            return passed(f"{where} admits every address and asks each for {asks}, which is accepted in place of an allow-list.",
                          subject=subject, actual="every address", expected=wanted, evidence=evidence)
        if asks:
            return failed(f"{where} admits every address, though it asks for {asks}; an allow-list is wanted too.", subject=subject,
                          actual="every address", expected=wanted, evidence=evidence)
        return failed(f"{where} leads every address to /debug/pprof/: there is no allow-list in front.", subject=subject,
                      actual="every address", expected=wanted, evidence=evidence, severity=_alone(policy, endpoint),
                      remediation=_at_the_proxy(endpoint) if endpoint.get("program") else None)

    yield from _fronts(facts, policy, judge)


@check(
    "pprof.authentication",
    title="pprof asks for credentials",
    severity="high",
    why=_WHY_GUARD + " Credentials without TLS are read by whoever listens on the way (CWE-319).",
    judged="Every listener beyond loopback, and every server of nginx on the host that leads to one, must answer an anonymous request "
           "for /debug/pprof/ and its pages with 401 or 403, or want a TLS client certificate. That nobody but an allow-list gets as far "
           "counts as much by default; the threshold `allow_list` says otherwise. Where credentials are asked for without TLS it fails as "
           "medium, behind an allow-list as low. " + _AS_BIND,
    remediation=_IN_FRONT,
    needs=NEEDS,
    thresholds={"allow_list": Threshold(True, "admitting only an allow-list is accepted in place of credentials")},
)
def authentication(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    enough = bool(policy.threshold(authentication, "allow_list"))

    def judge(subject: str, endpoint: Endpoint) -> Outcome:
        where, evidence, asks = runtimes.where(endpoint), _fronted(endpoint), _asks(endpoint)
        guard = _in_front(facts, endpoint)
        listed = guard is not None and guard.proven
        wanted = "credentials or an allow-list" if enough else "credentials"
        if asks and asks.startswith("credentials") and endpoint.get("scheme") != "https":
            return failed(f"{where} asks for credentials without TLS: whoever listens on the way reads them.", subject=subject,
                          actual="http", expected="https", evidence=evidence, severity="low" if listed else "medium",
                          remediation=Remediation(hint="Serve it by TLS: with role pprof_guard, give pprof_guard_proxy_tls_certificate and "
                                                       "pprof_guard_proxy_tls_key."))
        if asks:
            return passed(f"{where} asks for {asks}.", subject=subject, actual=asks, expected=wanted, evidence=evidence)
        if guard is not None and listed and enough:
            return passed(f"{where} asks nobody for credentials, and {guard.words}, which is accepted in place of them.", subject=subject,
                          actual="none", expected=wanted, evidence=evidence)
        return failed(f"{where} serves /debug/pprof/ without asking for credentials" + (
            f", though {guard.words}." if guard is not None and listed else "."), subject=subject, actual="none", expected=wanted,
            evidence=evidence, severity=None if listed else _alone(policy, endpoint),
            remediation=_at_the_proxy(endpoint) if endpoint.get("program") else None)

    yield from _fronts(facts, policy, judge)


TAKES = ("runtime.endpoints",)


def _takes(facts: Facts, judge: Callable[[runtimes.Endpoint], Outcome]) -> Iterator[Outcome]:
    """What ``judge`` says of every endpoint that gave a take; of the others pprof.available tells."""
    yield from runtimes.none(facts)
    for endpoint in runtimes.endpoints(facts):
        if endpoint.takes:
            yield judge(endpoint)
        elif endpoint.refused_us or not endpoint.declared:
            yield notapplicable("No profile was taken (pprof.available tells why).", subject=endpoint.subject)
        else:
            yield unknown("No profile was taken.", subject=endpoint.subject, evidence=[endpoint.failure],
                          remediation=runtimes.SEE_AVAILABLE)


def _asked(endpoint: runtimes.Endpoint) -> list[Mapping[str, Any]]:
    """What was asked of pprof; the page of metrics is none of its profiles."""
    return [one for take in endpoint.takes for one in take.get("asked") or () if one.get("kind") != "metrics"]


def _faults(endpoint: runtimes.Endpoint) -> dict[str, str]:
    """What went wrong with each kind that was asked for; that a program has no such profile is no fault."""
    found: dict[str, str] = {}
    for one in _asked(endpoint):
        error = one.get("error")
        if error and one.get("status") != 404:
            found[str(one.get("kind"))] = str(error.get("message") or error.get("kind") if isinstance(error, Mapping) else error)
    return found


@check(
    "pprof.available",
    title="pprof answers where it is declared",
    severity="medium",
    profile="standard",
    why="pprof is wanted when something is wrong, and then it is too late to find that the build left it out, the port moved or the "
        "handlers are on another mux. Source: Go, src/net/http/pprof/pprof.go: the import registers the handlers on "
        "http.DefaultServeMux only, and a server with a mux of its own has to register them itself.",
    judged="Every endpoint that is declared (`pprof` in preflight_services) must have given profiles. It fails where it did not "
           "answer, answered with something else, or stopped to answer between two takes. One that asks for credentials it was not "
           "given is unknown. Discovered listeners promised nothing: what they do not give is not applicable, or unknown as info "
           "where they served pprof a moment before.",
    remediation=Remediation(
        hint="Import net/http/pprof where the declared address is served, or correct `pprof` in preflight_services.",
        command="curl -sS -m 3 -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:6060/debug/pprof/"),
    needs=TAKES,
)
def available(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from runtimes.none(facts)
    for endpoint in runtimes.endpoints(facts):
        yield _available(endpoint)


def _available(endpoint: runtimes.Endpoint) -> Outcome:
    subject, declared = endpoint.subject, endpoint.declared
    address, message = runtimes.where(endpoint.facts), endpoint.failure
    if endpoint.takes:
        return _answered(endpoint, address)
    if endpoint.refused_us:
        return runtimes.without_take(endpoint)
    if declared:
        return failed(f"pprof is declared on {address} and gives no profile: {message}.", subject=subject, actual=message,
                      expected="profiles")
    if lookup(endpoint.facts, "error.kind") == "not_pprof":
        return notapplicable(f"{address} serves no pprof.", subject=subject, evidence=[message])
    return unknown(f"{address} serves pprof and gave no profile: {message}.", subject=subject, severity="info")


def _answered(endpoint: runtimes.Endpoint, address: str) -> Outcome:
    asked, faults, subject = _asked(endpoint), _faults(endpoint), endpoint.subject
    good = sorted({str(one.get("kind")) for one in asked if not one.get("error")})
    evidence = [f"given: {', '.join(good)}"] if good else []
    evidence += [f"{kind}: {message}" for kind, message in sorted(faults.items())]
    if endpoint.facts.get("restarted"):
        evidence.append(str(endpoint.facts["restarted"]))
    stopped = endpoint.facts.get("interrupted")
    message = str(stopped.get("message") or stopped.get("kind")) if isinstance(stopped, Mapping) else str(stopped or "")
    declared = bool(endpoint.facts.get("declared"))
    if message:
        count = len(endpoint.takes)
        said = f"{address} gave {count} take{'' if count == 1 else 's'} and no more after that: {message}."
        if declared:
            return failed(said, subject=subject, actual=message, expected="profiles", evidence=evidence)
        return unknown(said, subject=subject, evidence=evidence, severity="info")
    if asked and not good:
        said = f"{address} answers, and gives none of the profiles that it was asked for: {next(iter(faults.values()), 'not there')}."
        if declared:
            return failed(said, subject=subject, actual="no profile", expected="profiles", evidence=evidence)
        return unknown(said, subject=subject, evidence=evidence, severity="info")
    return passed(f"pprof on {address} gives profiles.", subject=subject, actual="available", expected="profiles", evidence=evidence)


@check(
    "pprof.profiles_valid",
    title="The profiles can be read",
    severity="medium",
    profile="standard",
    why="A proxy that cuts answers, compresses them again or sends its own error page with status 200 spoils profiles, and it is found "
        "when somebody needs one. Source: github.com/google/pprof, proto/profile.proto and profile.CheckValid.",
    judged="Every profile that was fetched must unpack, decode to its end and name at least one sample type. A mutex or block profile "
           "without samples is valid: it is switched off, or nothing waited. A kind that was asked for and not got (CPU profiling "
           "already in use, no answer in time, too large) is unknown, as info.",
    remediation=Remediation(
        hint="Fetch it by hand, on the host and past every proxy, and open it.",
        command="curl -sS -o heap.pb.gz http://127.0.0.1:6060/debug/pprof/heap && go tool pprof -top heap.pb.gz"),
    needs=TAKES,
)
def profiles_valid(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from _takes(facts, _profiles_valid)


def _profiles_valid(endpoint: runtimes.Endpoint) -> Outcome:
    found = [one for take in endpoint.takes for one in take.get("profiles") or ()]
    # What is too large for us, or came too late to be decoded, may be as it should.
    faults = _faults(endpoint)
    kinds_of_fault = {str(one.get("kind")): str(lookup(one, "error.kind")) for one in _asked(endpoint) if one.get("error")}
    faults.update({str(one["kind"]): str(one["error"]) for one in found if not one.get("valid") and _undecided(one)})
    bad = [one for one in found if not one.get("valid") and not _undecided(one) and kinds_of_fault.get(str(one.get("kind"))) != "too_big"]
    bad += [{"kind": one.get("kind"), "error": lookup(one, "error.message")} for one in _asked(endpoint)
            if lookup(one, "error.kind") in ("broken", "not_pprof") and all(one.get("kind") != other.get("kind") for other in bad)]
    evidence = [f"{one.get('file') or one.get('kind')}: {one.get('error') or 'not valid'}" for one in bad][:SHOWN]
    kinds = sorted({str(one.get("kind")) for one in found})
    if bad:
        first = bad[0]
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        return failed(f"The {first.get('kind')} profile cannot be read: {first.get('error') or 'it is not valid'}{more}.",
                      subject=endpoint.subject, actual=sorted({str(one.get("kind")) for one in bad}), expected="valid profiles",
                      evidence=evidence)
    if faults:
        told = "; ".join(f"{kind} ({message})" for kind, message in sorted(faults.items()))
        return unknown(f"Not every profile was got: {told}.", subject=endpoint.subject, severity="info",
                       evidence=[f"read: {', '.join(kinds)}"] if kinds else [], remediation=runtimes.SEE_AVAILABLE)
    if not found:
        return notapplicable("No profile was asked for (preflight_runtime.kinds).", subject=endpoint.subject)
    return passed(f"{len(found)} profile{'s' if len(found) > 1 else ''} can be read ({', '.join(kinds)}).", subject=endpoint.subject,
                  actual=len(found), evidence=[
                      f"{one.get('file') or one.get('kind')}: {one.get('samples')} samples, {one.get('bytes')} bytes"
                      for one in found][:SHOWN])


def _undecided(shown: Mapping[str, Any]) -> bool:
    return str(shown.get("error") or "").startswith("not decoded")


def _sampled(endpoint: runtimes.Endpoint, kind: str) -> tuple[list[Mapping[str, Any]], Outcome | None]:
    """The takes that carry a kind, and what there is to say where none does."""
    takes = [take for take in endpoint.takes if take.get(kind)]
    if takes:
        return takes, None
    fault = _faults(endpoint).get(kind)
    if fault:
        return [], unknown(f"The {kind} profile was not read: {fault}.", subject=endpoint.subject, severity="info",
                           remediation=runtimes.SEE_AVAILABLE)
    reason = next((str(one.get("reason")) for take in endpoint.takes for one in take.get("skipped") or () if one.get("kind") == kind),
                  "it is not one of its profiles")
    return [], notapplicable(f"The {kind} profile was not asked for: {reason}.", subject=endpoint.subject)


def _sites(sampled: Mapping[str, Any]) -> list[str]:
    """The most contended sites, for the evidence."""
    sites = sorted(sampled.get("sites") or (), key=lambda site: -(site.get("delay_ns") or 0))
    return [f"{memory.where(site)}: {site.get('contentions')} waits, {memory.span((site.get('delay_ns') or 0) / 1e9)} in all"
            for site in sites[:5]]


@check(
    "pprof.mutex_sampling",
    title="Mutex profiling costs little",
    severity="info",
    profile="standard",
    why="With runtime.SetMutexProfileFraction(n) one of n contended unlocks records its stack, under a lock that all of them share "
        "(Go source, runtime/mprof.go, mutexevent and saveBlockEventStack): the more contention there is, the more its measuring adds. "
        "GODEBUG has no such setting.",
    judged="mutex?debug=1 tells the period. A period below `period` fails; from there on it passes, 100 to 1000 is usual. 0 is off, "
           "which costs and shows nothing: not applicable.",
    remediation=Remediation(hint="Call runtime.SetMutexProfileFraction with a number from 100 to 1000 at the program's start."),
    needs=TAKES,
    thresholds={"period": Threshold(5, "The smallest period: 1 of so many contended unlocks is recorded.", unit="unlocks", minimum=1)},
)
def mutex_sampling(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    yield from _takes(facts, partial(_mutex_sampling, int(policy.threshold(mutex_sampling, "period"))))


def _mutex_sampling(least: int, endpoint: runtimes.Endpoint) -> Outcome:
    takes, missing = _sampled(endpoint, "mutex")
    if missing is not None:
        return missing
    sampled = takes[-1]["mutex"]
    period, subject = memory.whole(sampled.get("period")), endpoint.subject
    if period is None:
        return unknown("The mutex profile does not tell its period.", subject=subject, severity="info")
    if period == 0:
        return notapplicable("Mutex profiling is off: it costs nothing and shows no contention. runtime.SetMutexProfileFraction(100) at "
                             "the program's start switches it on at little cost.", subject=subject)
    count = memory.whole(sampled.get("contentions"))
    evidence = [f"mutex?debug=1: sampling period={period}", *_sites(sampled)]
    seen = f" ({count} contentions since it was switched on)" if count else ""
    if period < least:
        every = "every contended unlock records" if period == 1 else f"one of {period} contended unlocks records"
        return failed(f"Mutex profiling is dear: {every} its stack{seen}; a period of 100 to 1000 shows the same sites.", subject=subject,
                      actual=period, expected=f"at least {least}", evidence=evidence)
    return passed(f"One of {period} contended unlocks records its stack{seen}.", subject=subject, actual=period,
                  expected=f"at least {least}", evidence=evidence)


@check(
    "pprof.block_sampling",
    title="Block profiling costs little",
    severity="info",
    profile="standard",
    why="runtime.SetBlockProfileRate(n) records a wait of n nanoseconds or more with its stack, and a shorter one by chance: with 1 each "
        "wait on a channel, select, lock or condition pays for a stack and a lock that all of them share. Source: Go, "
        "runtime/mprof.go (blocksampled, saveBlockEventStack).",
    judged="Nothing tells the rate. But each recorded wait adds at least the rate to the delay of its site (a shorter wait is scaled up to "
           "it), so the rate is at most the smallest delay that a site has, or gained between two takes: where that is below "
           "`rate`, it fails. And each adds at least one to the contentions, so no more waits were recorded than those: with at most "
           "`events` a second it passes, whatever the rate. Neither: not applicable, what it costs cannot be told from outside. A "
           "profile without samples is off, or nothing waited: nobody can tell which, and it is not applicable either.",
    remediation=Remediation(hint="Call runtime.SetBlockProfileRate with 10000 (nanoseconds) or more, or switch it off after use."),
    needs=TAKES,
    thresholds={
        "rate": Threshold(10.0, "The smallest rate.", unit="microseconds", minimum=0),
        "events": Threshold(1000.0, "Recorded waits a second that cost too little to matter.", unit="waits a second", minimum=0),
    },
)
def block_sampling(facts: Facts, policy: Policy) -> Iterator[Outcome]:
    rate, events = (float(policy.threshold(block_sampling, name)) for name in ("rate", "events"))
    yield from _takes(facts, partial(_block_sampling, rate * 1000, events))


def _block_sampling(least: float, events: float, endpoint: runtimes.Endpoint) -> Outcome:
    takes, missing = _sampled(endpoint, "block")
    if missing is not None:
        return missing
    subject, last = endpoint.subject, takes[-1]["block"]
    if not last.get("samples"):
        return notapplicable("The block profile is empty: it is off, or nothing waited; nobody can tell which.", subject=subject)
    bound = min(_delays(takes), default=None)
    waits = _waits(endpoint, takes)
    evidence = _sites(last)
    if bound is not None:
        evidence.insert(0, f"the smallest delay of a site is {bound:.0f} ns: the rate is at most that")
    many = f"recorded waits: at most {waits:,.0f} a second" if waits is not None else "how many waits are recorded is not known"
    if bound is not None and bound < least:
        return failed(f"Block profiling is dear: its rate is at most {bound:.0f} ns, so nearly every wait records its stack ({many}).",
                      subject=subject, actual=f"at most {bound:.0f} ns", expected=f"at least {least:.0f} ns", evidence=evidence)
    if waits is not None and waits <= events:
        return passed(f"Block profiling is on, at a rate that is not told, and costs little ({many}).", subject=subject,
                      actual=round(waits, 3), expected=f"at most {events:g} waits a second", evidence=evidence)
    return notapplicable(f"Block profiling is on, and nothing tells its rate ({many}); runtime.SetBlockProfileRate with 10000 "
                         "(nanoseconds) or more is cheap.", subject=subject, evidence=evidence)


def _delays(takes: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    """The delays of the sites in nanoseconds, and what they gained from one take to the next."""
    before: dict[tuple[Any, ...], int] = {}
    for take in takes:
        now: dict[tuple[Any, ...], int] = {
            (site.get("function"), site.get("file"), site.get("line")): int(site.get("delay_ns") or 0)
            for site in take["block"].get("sites") or ()}
        for key, delay in now.items():
            gained = delay - before.get(key, 0)
            if gained > 0:
                yield gained
        before = now


def _waits(endpoint: runtimes.Endpoint, takes: Sequence[Mapping[str, Any]]) -> float | None:
    """Recorded waits a second, at most: between the first and the last take, else since the start of the process."""
    first, last = takes[0], takes[-1]
    counts = [memory.number(take["block"].get("contentions")) for take in (first, last)]
    if counts[0] is None or counts[1] is None:
        return None
    begin, end = memory.number(first.get("clock")), memory.number(last.get("clock"))
    if begin is not None and end is not None and end - begin >= 1 and counts[1] >= counts[0]:
        return (counts[1] - counts[0]) / (end - begin)
    age = memory.age(endpoint.facts, last)
    return counts[1] / age if age else None
