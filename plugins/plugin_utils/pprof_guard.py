# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role ``pprof_guard`` on the controller: what its variables mean, and by which means each service is guarded.

Pure: variables and facts in, decisions out. The role's actions do what is decided here.
"""
from __future__ import annotations

import errno
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe, nftables, pprof_bind, proxyconf
from ansible_collections.goready.preflight.plugins.module_utils.collect.pprof import is_local
from ansible_collections.goready.preflight.plugins.plugin_utils import policy, readers

MEANS = ("bind", "firewall", "proxy")
CONSENT = ("restart", "firewall", "sysctl", "install")
FILE_PROBE = "pprof_guard.file"
PROXY_PROBE = "pprof_guard.proxy"


@dataclass(frozen=True)
class Service:
    """One entry of ``pprof_guard_services``, validated, with the role's defaults filled in."""

    name: str
    unit: str
    pprof: str
    health: str
    metrics: str
    port: int | None
    bind: dict[str, str]
    means: tuple[str, ...] | None      # None: auto
    allow: tuple[str, ...]
    asked: bool                        # the entry itself says something of pprof

    @property
    def urls(self) -> list[str]:
        return [url for url in (self.health, self.metrics) if url]


@dataclass(frozen=True)
class Settings:
    services: tuple[Service, ...]
    state: str
    consent: tuple[str, ...]
    block_service_port: bool
    timeout: int


@dataclass
class Decision:
    """How one service is guarded. ``exposure``: local, open, or unknown where nothing was seen to listen."""

    service: Service
    ports: list[int]
    exposure: str
    means: list[str]
    why: str
    value: str = ""                    # for bind
    bound: bool = False                # our drop-in is there
    guarded: bool = False              # our table guards it
    proxied: bool = False              # our proxy publishes it
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        one = self.service
        return {"name": one.name, "unit": one.unit, "pprof": one.pprof, "health": one.health, "ports": self.ports,
                "exposure": self.exposure, "means": self.means, "why": self.why, "allow": list(one.allow), "value": self.value}


def parse(variables: Mapping[str, Any]) -> Settings:
    """The role's variables without their prefix. Raises :class:`policy.PolicyError` with a sentence for every fault."""
    faults: list[str] = []

    def take(key: str, reader: Callable[[Any], Any], fallback: Any) -> Any:
        try:
            return reader(variables[key])
        except ValueError as exc:
            faults.append(f"pprof_guard_{key}: {exc}")
            return fallback

    means = take("means", _means, None)
    allow = take("allow", _allow, ())
    state = take("state", _choice(("present", "absent")), "present")
    consent = take("consent", _consent, ())
    block = take("block_service_port", _boolean, False)
    timeout = take("timeout", readers.whole(1, 3600), 60)
    services: list[Service] = []
    entries = variables["services"]
    if not isinstance(entries, Sequence) or isinstance(entries, (str, bytes)):
        faults.append(f"pprof_guard_services: {entries!r} is not a list")
        entries = []
    for index, entry in enumerate(entries):
        try:
            one = _service(entry, means, allow)
            if any(one.name == other.name for other in services):
                raise ValueError("the name is given twice")
            if one.bind and any(other.bind and one.unit == other.unit for other in services):
                raise ValueError(f"bind: {one.unit} is told already where pprof listens, by another entry")
            services.append(one)
        except ValueError as exc:
            label = f" ({entry['name']})" if isinstance(entry, Mapping) and "name" in entry else ""
            faults.extend(f"pprof_guard_services[{index}]{label}: {line}" for line in str(exc).split("\n"))
    if faults:
        raise policy.PolicyError(faults)
    return Settings(tuple(services), state, consent, block, timeout)


def _service(entry: Any, means: tuple[str, ...] | None, allow: tuple[str, ...]) -> Service:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{entry!r} is not a mapping with at least a name")
    if "name" not in entry:
        raise ValueError("the key name is missing")
    known: dict[str, Callable[[Any], Any]] = {
        **policy.SERVICE_KEYS, "bind": _bind, "means": _means, "allow": _allow, "port": readers.whole(1, 65535)}
    values: dict[str, Any] = {}
    faults = []
    for key, given in entry.items():
        if key not in known:
            faults.append(f"unknown key {key!r}; allowed are {', '.join(known)}")
        elif given is not None or key == "name":
            try:
                values[str(key)] = known[key](given)
            except ValueError as exc:
                faults.append(f"{key}: {exc}")
    if faults:
        raise ValueError("\n".join(faults))
    name = values["name"]
    own = values.get("means", means)
    if own is not None and "bind" in own and not values.get("bind") and "means" in values:
        raise ValueError("means: bind is one of them, but the key bind does not say how the service is told: "
                         "{environment: NAME} or {argument: \"--flag\"}")
    return Service(
        name=name, unit=values.get("unit") or (name if name.endswith(".service") else f"{name}.service"),
        pprof=values.get("pprof", ""), health=values.get("health", ""), metrics=values.get("metrics", ""),
        port=values.get("port"), bind=values.get("bind", {}), means=own, allow=values.get("allow", allow),
        asked=any(key in values for key in ("pprof", "port", "bind", "means")))


def _bind(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{value!r} is not a mapping such as {{environment: NAME}} or {{argument: \"--flag\"}}")
    unknown = [str(key) for key in value if key not in ("environment", "argument", "value")]
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; allowed are environment, argument, value")
    found = {str(key): str(one) for key, one in value.items() if one is not None}
    if ("environment" in found) == ("argument" in found):
        raise ValueError("exactly one of environment and argument says how the service is told where pprof listens")
    pprof_bind.told_by(found.get("environment"), found.get("argument"))
    if "value" in found:
        try:
            pprof_bind.wanted(found["value"])
        except ValueError as exc:
            raise ValueError(f"value: {exc}") from None
    return found


def _means(value: Any) -> tuple[str, ...] | None:
    if value == "auto":
        return None
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, Sequence) or not given or any(one not in MEANS for one in given):
        raise ValueError(f"{value!r} is neither auto nor a list of {', '.join(MEANS)}")
    return tuple(means for means in MEANS if means in given)


def _allow(value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise ValueError(f"{value!r} is not a list of networks such as 10.0.0.0/8 and 2001:db8::/32")
    for index, one in enumerate(value):
        try:
            nftables.network(str(one) if isinstance(one, str) else one)
        except ValueError as exc:
            raise ValueError(f"[{index}]: {exc}") from None
    return nftables.networks([str(one) for one in value])


def _consent(value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise ValueError(f"{value!r} is not a list of {', '.join(CONSENT)}")
    for one in value:
        if one not in CONSENT:
            raise ValueError(f"{one!r} is not one of {', '.join(CONSENT)}")
    return tuple(str(one) for one in value)


def _choice(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return str(value)

    return read


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


# --- what is decided --------------------------------------------------------------------------------------------------


def decide(settings: Settings, facts: Mapping[str, Any]) -> tuple[list[Decision], list[str]]:
    """(a decision for every service that has no fault, faults) of the facts ``services``, ``pprof`` and the probes of our files."""
    guarded = guarded_services(facts)
    published: set[str] = set()
    unread = ""
    try:
        published = proxied_services(facts)
    except ValueError as exc:
        unread = str(exc)
    decisions: list[Decision] = []
    faults: list[str] = []
    for one in settings.services:
        seen = _look(one, facts)
        seen.guarded = one.name in guarded
        seen.proxied = one.name in published
        if settings.state == "present":
            try:
                _choose(seen, settings)
            except ValueError as exc:
                faults.append(f"{one.name}: {exc}")
                continue
            if unread and one.means is not None and "proxy" not in one.means:
                seen.warnings.append(f"{one.name}: whether a proxy publishes it is not known, and none is taken back: {unread}")
        decisions.append(seen)
    return decisions, faults


def guarded_services(facts: Mapping[str, Any]) -> set[str]:
    """The services that the table's file names. A file that cannot be read is told by the module that has to change it."""
    answer = (facts.get("probes") or {}).get(FILE_PROBE) or {}
    try:
        return {name for one in nftables.parse(answer.get("content") or "") for name in one.services}
    except ValueError:
        return set()


def proxied_services(facts: Mapping[str, Any]) -> set[str]:
    """The services that our proxy's configuration publishes. ValueError where there is one that cannot be read."""
    content = ((facts.get("probes") or {}).get(PROXY_PROBE) or {}).get("content")
    try:
        return {one.name for one in proxyconf.parse(content)[1]} if content else set()
    except ValueError as exc:
        raise ValueError(f"{proxyconf.CONF}: {exc}") from None


def _look(one: Service, facts: Mapping[str, Any]) -> Decision:
    """What is there: the ports, who reaches them, and our own earlier guards."""
    known = (facts.get("services") or {}).get("services") or ()
    entry: Mapping[str, Any] = next((entry for entry in known if entry.get("name") == one.name and entry.get("declared")), {})
    endpoints = [endpoint for endpoint in (facts.get("pprof") or {}).get("endpoints") or () if endpoint["service"] == one.name]
    served = [endpoint for endpoint in endpoints if endpoint["pprof"]["served"] and endpoint["pid"]]
    target = httpprobe.parse_url(one.pprof) if one.pprof else None
    if one.port is not None:
        ports = [one.port]
    elif target is not None:
        ports = [] if target.unix else [target.port]
    else:
        ports = sorted({int(endpoint["listener"]["port"]) for endpoint in served if endpoint["listener"]["port"]})
    listeners = [listener for process in entry.get("processes") or () for listener in process.get("listeners") or ()]
    mine = [listener for listener in listeners if listener.get("port") in ports] if ports else \
        [listener for listener in listeners if target is not None and listener.get("path") == target.unix]
    exposure = "unknown" if not mine else "local" if all(is_local(listener) for listener in mine) else "open"
    decision = Decision(one, ports, exposure, [], "")
    decision.bound = any(str(file.get("path", "")).endswith("/" + pprof_bind.NAME) for file in entry.get("unit_files") or ())
    for endpoint in served:
        listener = endpoint["listener"]
        if listener["port"] and listener["port"] not in ports and not is_local(listener) and endpoint.get("namespace") != "other":
            decision.warnings.append(
                f"{one.name} serves /debug/pprof/ at port {listener['port']} too, which is not guarded: it is not the declared one")
    if not entry.get("processes"):
        decision.warnings.append(f"{one.name}: {one.unit} does not run, so nothing could be seen of where its pprof listens")
    if exposure == "unknown" and any(endpoint.get("namespace") == "other" for endpoint in served) and one.port is None:
        decision.warnings.append(f"{one.name} runs in a network of its own: give its published port by the key port")
    return decision


def _choose(decision: Decision, settings: Settings) -> None:
    """Fill in means and why. ValueError where the declaration does not fit."""
    one = decision.service
    nothing = not decision.ports and not (one.pprof and httpprobe.parse_url(one.pprof).unix)
    if one.means is None:
        _choose_auto(decision, settings, nothing)
    else:
        decision.means = [means for means in one.means if means != "bind" or one.bind]
        decision.why = "as declared"
        if nothing and not one.asked:
            decision.means, decision.why = [], "no pprof of it was found"
        elif "firewall" in decision.means and not decision.ports:
            raise ValueError("the firewall needs a port, and no pprof listener on TCP is declared or was found: give pprof or port")
        elif "bind" in one.means and not one.bind and len(one.means) == 1:
            raise ValueError("bind is the only means, but the key bind does not say how the service is told: "
                             "{environment: NAME} or {argument: \"--flag\"}")
        elif decision.means == ["proxy"] and decision.exposure == "open":
            raise ValueError(f"a proxy alone leaves port {decision.ports[0]} open beside it: add bind or firewall to the means")
    if "bind" in decision.means:
        decision.value = one.bind.get("value") or _default_value(decision)


def _choose_auto(decision: Decision, settings: Settings, nothing: bool) -> None:
    one = decision.service
    if decision.bound and one.bind:
        decision.means, decision.why = ["bind"], "it is bound by our drop-in already"
    elif decision.guarded and decision.ports:
        decision.means, decision.why = ["firewall"], "our table guards it already"
    elif decision.exposure == "local":
        decision.why = "only this machine reaches it"
    elif not decision.ports and not one.bind:
        decision.why = "no pprof of it was found" if nothing else "it is declared on a unix socket"
    elif one.bind and ("restart" in settings.consent or "firewall" not in settings.consent or not decision.ports):
        decision.means, decision.why = ["bind"], "bind is declared, and nobody else reaches loopback"
    else:
        decision.means = ["firewall"]
        decision.why = "bind needs consent to restart" if one.bind else "no bind is declared, and the firewall interrupts nobody"


def _default_value(decision: Decision) -> str:
    target = httpprobe.parse_url(decision.service.pprof) if decision.service.pprof else None
    if target is not None and target.unix:
        return f"unix://{target.unix}"
    if target is not None and is_local({"proto": "tcp", "address": target.host}):
        return f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
    if decision.ports:
        return f"127.0.0.1:{decision.ports[0]}"
    raise ValueError("bind: value is missing, and no pprof is declared or was found that would tell the port")


# --- what the modules are called with -----------------------------------------------------------------------------------


def at_the_port(decision: Decision, settings: Settings) -> list[str]:
    """Who is admitted to the service's own port.

    Behind a proxy that is the host alone: who is on the allow-list would pass by the proxy's credentials and pages. Only where
    the same port serves the application too, the list has to hold there.
    """
    return [] if "proxy" in decision.means and not settings.block_service_port else list(decision.service.allow)


def firewall_arguments(decisions: Sequence[Decision], settings: Settings) -> dict[str, Any]:
    """For ``pprof_firewall``: what it guards."""
    return {"state": "present", "block_service_port": settings.block_service_port, "services": [
        {"name": one.service.name, "ports": one.ports, "urls": one.service.urls,
         "allow": at_the_port(one, settings)}
        for one in decisions if "firewall" in one.means]}


def firewall_removed(decisions: Sequence[Decision], settings: Settings) -> dict[str, Any]:
    """For ``pprof_firewall``: what it guards no longer. Without any service in the role's list, all."""
    names = [one.service.name for one in decisions
             if one.guarded and "firewall" not in one.means and (settings.state == "absent" or one.service.means is not None)]
    return {"state": "absent", "services": [{"name": name} for name in names]}


def bind_arguments(decisions: Sequence[Decision], settings: Settings) -> list[dict[str, Any]]:
    """For ``pprof_bind``, a call a service: those that are bound, then those that are no longer."""
    calls: list[dict[str, Any]] = []
    for one in decisions:
        if "bind" in one.means:
            call: dict[str, Any] = {"unit": one.service.unit, "value": one.value, "ports": one.ports, "urls": one.service.urls,
                                    "timeout": settings.timeout, "block_service_port": settings.block_service_port}
            path = httpprobe.parse_url(one.service.pprof).path if one.service.pprof else "/"
            call.update({"path": path} if path != "/" else {})
            call.update({key: one.service.bind[key] for key in ("environment", "argument") if key in one.service.bind})
        elif one.bound and (settings.state == "absent" or one.service.means is not None):
            call = {"unit": one.service.unit, "state": "absent", "timeout": settings.timeout}
        else:
            continue
        calls.append({**call, "health": one.service.health} if one.service.health else call)
    return calls


def proxy_arguments(decisions: Sequence[Decision], settings: Settings) -> dict[str, Any]:
    """For ``pprof_proxy``, beside its settings: one call, which publishes some and takes others away. Empty: nothing to do.

    A call and not two: the removal of one service must not take for the last one what the same run puts another behind.
    """
    if settings.state == "absent":
        return {"state": "absent", "services": [{"name": one.name} for one in settings.services], "remove": []}
    gone = [one.service.name for one in decisions
            if one.proxied and one.service.means is not None and "proxy" not in one.means]
    wanted = [{"name": one.service.name, "backend": _backend(one), "allow": list(one.service.allow), "guarded": len(one.means) > 1}
              for one in decisions if "proxy" in one.means]
    if wanted:
        return {"state": "present", "services": wanted, "remove": gone}
    return {"state": "absent", "services": [{"name": name} for name in gone], "remove": []} if gone else {}


def _backend(decision: Decision) -> str:
    """The base URL of its pprof for the proxy, once the other means are in place. Empty where nothing tells it."""
    url = decision.service.pprof
    if "bind" in decision.means:
        scheme = url.split("://")[0] if url.startswith("http") else "http"
        return decision.value if decision.value.startswith("unix:") else f"{scheme}://{decision.value}"
    return url or (f"http://127.0.0.1:{decision.ports[0]}" if decision.ports else "")


# --- the proof ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """One thing that was tried. ``ok`` is None where it proves nothing."""

    service: str
    source: str                        # host or controller
    address: str | None
    port: int | None
    expected: str                      # admitted, blocked, answers, local, rules loaded
    seen: str
    ok: bool | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        return {"service": self.service, "from": self.source, "address": self.address, "port": self.port,
                "expected": self.expected, "seen": self.seen, "ok": self.ok, "reason": self.reason}


def seen_on_host(services: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[Attempt]:
    """Of each service: where it listens, whether pprof still answers the host itself, whether it is healthy."""
    attempts: list[Attempt] = []
    endpoints = (facts.get("pprof") or {}).get("endpoints") or ()
    for one in services:
        mine = [endpoint for endpoint in endpoints if endpoint["service"] == one["name"] and endpoint["pid"]]
        beyond = [endpoint for endpoint in mine if not is_local(endpoint["listener"])
                  and (endpoint["pprof"]["served"] or endpoint["listener"]["port"] in one["ports"])]
        if "bind" in one["means"]:
            text = ", ".join(f"{endpoint['listener']['address']}:{endpoint['listener']['port']}" for endpoint in beyond)
            attempts.append(Attempt(one["name"], "host", None, None, "local", "open" if beyond else "local", not beyond,
                                    f"pprof listens on {text}, beyond loopback" if beyond else "no pprof listener is beyond loopback"))
        wanted = [endpoint for endpoint in mine if endpoint["listener"]["port"] in one["ports"]] or \
            [endpoint for endpoint in mine if endpoint["pprof"]["served"]]
        answers = [endpoint for endpoint in wanted if endpoint["pprof"]["served"] or endpoint["authentication"]]
        if mine:
            attempts.append(Attempt(one["name"], "host", "loopback", None, "answers", "answers" if answers else "no answer",
                                    bool(answers) if wanted else None,
                                    "pprof answers the host itself" if answers else "pprof does not answer the host itself"))
        else:
            attempts.append(Attempt(one["name"], "host", "loopback", None, "answers", "not running", None,
                                    f"nothing of {one['unit']} listens"))
    for health in (facts.get("pprof") or {}).get("health") or ():
        attempts.append(Attempt(health["service"], "host", health["url"], None, "answers", str(health["status"]), health["ok"],
                                f"its health URL answers {health['status']}" if health["status"] else
                                f"its health URL does not answer: {health['error']}"))
    return attempts


def expected(service: Mapping[str, Any], source: str) -> str:
    """Whether the controller, which the host sees as ``source``, has to get through. Empty where that is not known."""
    if "bind" in service["means"]:
        return "blocked"
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return ""
    inside = any(address in ipaddress.ip_network(net) for net in service["allow"])
    return "admitted" if inside else "blocked"


def seen_of(answer: httpprobe.Answer) -> tuple[str, str]:
    """(open, closed, filtered or unknown; in words) of a connection that was tried. SSH of the same address has answered: what
    is silent, or says "no route", is somebody's filter. Any other failure may be this machine's own."""
    if answer.connected:
        return "open", f"answered {answer.status}" if answer.status else answer.detail
    if answer.error == httpprobe.REFUSED:
        return "closed", answer.detail
    if answer.error == httpprobe.TIMEOUT_KIND or answer.errno in (errno.EHOSTUNREACH, errno.EACCES, errno.EPERM):
        return "filtered", answer.detail
    return "unknown", answer.detail


def judge(name: str, address: str, port: int, source: str, wanted: str, seen: str, detail: str) -> Attempt:
    """What a connection from the controller proves."""
    target = f"port {port} of {address}"
    if not wanted or seen == "unknown":
        return Attempt(name, "controller", address, port, wanted, seen, None,
                       f"{target} from the controller: {detail or 'its address is not known'}")
    through = seen == "open"
    good = through == (wanted == "admitted")
    said = f"{target} lets the controller ({source}) in" if through else f"{target} does not let the controller ({source}) in ({detail})"
    why = {(True, False): ", and its address is not in the allow-list", (False, True): ", though its address is in the allow-list"}
    return Attempt(name, "controller", address, port, wanted, seen, good, said + ("" if good else why[(through, wanted == "admitted")]))


def verdicts(services: Sequence[Mapping[str, Any]], attempts: Sequence[Attempt]) -> dict[str, bool | None]:
    """{service: proven}. None: nothing speaks against it, but nobody tried from outside."""
    result: dict[str, bool | None] = {}
    for one in services:
        mine = [attempt for attempt in attempts if attempt.service == one["name"]]
        tried = any(attempt.source == "controller" and attempt.ok for attempt in mine) or (
            # Where there is no port at all (a unix socket), there is nothing to try from outside.
            not one["ports"] and any(attempt.expected == "local" and attempt.ok for attempt in mine))
        result[one["name"]] = False if any(attempt.ok is False for attempt in mine) else True if tried else None
    return result


def doubts(services: Sequence[Mapping[str, Any]], attempts: Sequence[Attempt]) -> dict[str, str]:
    """{service: why nobody could try it from outside}, for those that something was to be tried of."""
    found = verdicts(services, attempts)
    result: dict[str, str] = {}
    for one in services:
        reasons = [attempt.reason for attempt in attempts
                   if attempt.service == one["name"] and attempt.source == "controller" and attempt.ok is None]
        if found[one["name"]] is None and reasons:
            result[one["name"]] = reasons[0]
    return result


def addresses(interfaces: Any, version: int) -> list[str]:
    """Global addresses of a family in what ``ip -json address`` prints, the permanent ones first."""
    found: list[tuple[bool, str]] = []
    for interface in interfaces if isinstance(interfaces, list) else ():
        for one in interface.get("addr_info") or () if isinstance(interface, Mapping) else ():
            text = str(one.get("local") or "")
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                continue
            if address.version == version and not address.is_loopback and not address.is_link_local:
                found.append((bool(one.get("temporary") or one.get("deprecated") or one.get("tentative")), text))
    return [text for _temporary, text in sorted(found)]


def same_address(one: str, other: str) -> bool:
    """Whether two texts are the same address, an IPv4-mapped one counted as IPv4."""
    def read(text: str) -> Any:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return text
        return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address

    return bool(read(one) == read(other))
