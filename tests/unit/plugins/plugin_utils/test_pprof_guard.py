# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.goready.preflight.plugins.module_utils import nftables, pprof_bind, proxyconf
from ansible_collections.goready.preflight.plugins.module_utils.httpprobe import Answer
from ansible_collections.goready.preflight.plugins.plugin_utils import policy, pprof_guard
from ansible_collections.goready.preflight.plugins.plugin_utils.pprof_guard import Attempt

ROLE = Path(__file__).resolve().parents[4] / "roles/pprof_guard"
API = {"name": "api", "pprof": "http://127.0.0.1:6060"}
BIND = {"environment": "API_PPROF"}


def variables(*services: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"services": list(services), "means": "auto", "allow": [], "state": "present", "consent": ["firewall", "restart"],
            "block_service_port": False, "timeout": 60, **more}


def facts(*, address: str = "0.0.0.0", port: int = 6060, name: str = "api", served: bool = True, guarded: bool = False,
          bound: bool = False, runs: bool = True, path: str | None = None, proxied: tuple[str, ...] = ()) -> dict[str, Any]:
    listener = {"proto": "unix", "address": None, "port": None, "path": path} if path else \
        {"proto": "tcp", "address": address, "port": port, "path": None}
    files = [{"path": f"/etc/systemd/system/{name}.service"}]
    files += [{"path": f"/etc/systemd/system/{name}.service.d/{pprof_bind.NAME}"}] if bound else []
    content = nftables.render([nftables.Guard(port, (name,), ())]) if guarded else ""
    return {
        "services": {"services": [{"name": name, "declared": True, "unit_files": files,
                                   "processes": [{"pid": 1, "listeners": [listener]}] if runs else []}]},
        "pprof": {"endpoints": [{"service": name, "pid": 1, "listener": listener, "namespace": "host", "authentication": None,
                                 "pprof": {"served": served}}] if runs else []},
        "probes": {pprof_guard.FILE_PROBE: {"content": content}, pprof_guard.PROXY_PROBE: {"content": published(*proxied)}},
    }


def published(*names: str) -> str | None:
    """The proxy's configuration on the host."""
    services = [proxyconf.service(name, "http://127.0.0.1:6060", []) for name in names]
    return proxyconf.render(services, proxyconf.Settings("16060", token="t" * 32)) if names else None


def decide(service: dict[str, Any], seen: dict[str, Any], **more: Any) -> pprof_guard.Decision:
    (decision,), faults = pprof_guard.decide(pprof_guard.parse(variables(service, **more)), seen)
    assert faults == []
    return decision


@pytest.mark.parametrize("service, seen, more, means", [
    pytest.param(API, facts(), {}, ["firewall"], id="open"),
    pytest.param(API, facts(address="10.0.0.5"), {}, ["firewall"], id="open-on-one-address"),
    pytest.param(API, facts(address="127.0.0.1"), {}, [], id="local-already"),
    pytest.param({"name": "api"}, facts(), {}, ["firewall"], id="found"),
    pytest.param({"name": "api"}, facts(served=False), {}, [], id="no-pprof"),
    pytest.param({"name": "api"}, facts(runs=False), {}, [], id="nothing-runs"),
    pytest.param(API, facts(runs=False), {}, ["firewall"], id="declared-and-not-running"),
    pytest.param({**API, "bind": BIND}, facts(), {}, ["bind"], id="bind-declared"),
    pytest.param({**API, "bind": BIND}, facts(), {"consent": ["firewall"]}, ["firewall"], id="bind-without-consent"),
    pytest.param({**API, "bind": BIND}, facts(), {"consent": []}, ["bind"], id="no-consent-at-all"),
    pytest.param({**API, "bind": BIND}, facts(guarded=True), {}, ["firewall"], id="guarded-stays"),
    pytest.param({**API, "bind": BIND}, facts(address="127.0.0.1", bound=True), {}, ["bind"], id="bound-stays"),
    pytest.param(API, facts(address="127.0.0.1", guarded=True), {}, ["firewall"], id="guarded-and-local"),
    pytest.param({**API, "means": ["firewall"]}, facts(address="127.0.0.1"), {}, ["firewall"], id="as-declared"),
    pytest.param({"name": "api", "pprof": "unix:///run/api.sock"}, facts(runs=False), {}, [], id="unix-not-running"),
    pytest.param({"name": "api", "bind": {**BIND, "value": "unix:///run/api.sock"}}, facts(path="/run/api.sock"), {"means": ["bind"]},
                 ["bind"], id="unix"),
    pytest.param({"name": "api"}, facts(served=False), {"means": ["firewall"]}, [], id="role-wide-means-and-no-pprof"),
])
def test_means(service, seen, more, means):
    assert decide(service, seen, **more).means == means


@pytest.mark.parametrize("service, value", [
    pytest.param({**API, "bind": BIND}, "127.0.0.1:6060", id="declared"),
    pytest.param({"name": "api", "pprof": "http://[::1]:6060", "bind": BIND}, "[::1]:6060", id="ipv6"),
    pytest.param({"name": "api", "pprof": "http://10.0.0.5:6060", "bind": BIND}, "127.0.0.1:6060", id="beyond-loopback"),
    pytest.param({"name": "api", "pprof": "unix:///run/a.sock", "bind": BIND, "means": ["bind"]}, "unix:///run/a.sock", id="unix"),
    pytest.param({"name": "api", "bind": BIND}, "127.0.0.1:6060", id="found"),
    pytest.param({**API, "bind": {**BIND, "value": "127.0.0.1:7"}}, "127.0.0.1:7", id="given"),
])
def test_value(service, value):
    assert decide(service, facts()).value == value


@pytest.mark.parametrize("service, seen, fault", [
    pytest.param({"name": "api", "means": ["firewall"]}, facts(served=False),
                 "api: the firewall needs a port, and no pprof listener on TCP is declared or was found: give pprof or port", id="no-port"),
    pytest.param({**API, "means": ["proxy"]}, facts(),
                 "api: a proxy alone leaves port 6060 open beside it: add bind or firewall to the means", id="proxy-alone"),
    pytest.param({"name": "api", "bind": BIND}, facts(served=False),
                 "api: bind: value is missing, and no pprof is declared or was found that would tell the port", id="no-value"),
])
def test_what_does_not_fit_is_said(service, seen, fault):
    _decisions, faults = pprof_guard.decide(pprof_guard.parse(variables(service)), seen)
    assert faults == [fault]


def test_another_listener_with_pprof_is_told():
    seen = facts(port=8080)
    assert decide(API, seen).warnings == [
        "api serves /debug/pprof/ at port 8080 too, which is not guarded: it is not the declared one"]


def test_a_list_of_means_takes_back_what_it_does_not_name():
    service = {**API, "bind": BIND, "means": ["bind"]}
    settings = pprof_guard.parse(variables(service))
    decisions, _faults = pprof_guard.decide(settings, facts(guarded=True))
    assert pprof_guard.firewall_removed(decisions, settings) == {"state": "absent", "services": [{"name": "api"}]}
    settings = pprof_guard.parse(variables({**API, "means": ["firewall"]}))
    decisions, _faults = pprof_guard.decide(settings, facts(bound=True))
    assert pprof_guard.bind_arguments(decisions, settings) == [{"unit": "api.service", "state": "absent", "timeout": 60}]


FRONTED = {**API, "means": ["firewall", "proxy"]}


@pytest.mark.parametrize("services, proxied, more, call", [
    pytest.param([{**API, "means": ["firewall"]}], ("api", "other"), {},
                 {"state": "absent", "services": [{"name": "api"}], "remove": []}, id="no-longer-named"),
    pytest.param([API], ("api",), {"means": ["firewall"]}, {"state": "absent", "services": [{"name": "api"}], "remove": []},
                 id="no-longer-named-role-wide"),
    pytest.param([API], ("api",), {}, {}, id="auto-leaves-it"),
    # An empty list of services would stand for all of them.
    pytest.param([{**API, "means": ["firewall"]}], ("other",), {}, {}, id="it-has-none"),
    pytest.param([{**API, "means": ["firewall"]}], (), {}, {}, id="there-is-none"),
    pytest.param([FRONTED], ("api",), {},
                 {"state": "present", "remove": [], "services": [
                     {"name": "api", "backend": "http://127.0.0.1:6060", "allow": [], "guarded": True}]}, id="still-named"),
    pytest.param([{**FRONTED, "allow": ["10.0.0.7"]}, {"name": "old", "port": 6070, "means": ["firewall"]}, {"name": "kept", "port": 1}],
                 ("old", "kept"), {},
                 {"state": "present", "remove": ["old"], "services": [
                     {"name": "api", "backend": "http://127.0.0.1:6060", "allow": ["10.0.0.7/32"], "guarded": True}]}, id="another"),
    pytest.param([API, {"name": "gone"}], ("api",), {"state": "absent"},
                 {"state": "absent", "services": [{"name": "api"}, {"name": "gone"}], "remove": []}, id="absent"),
    pytest.param([], ("api",), {"state": "absent"}, {"state": "absent", "services": [], "remove": []}, id="everything-absent"),
])
def test_what_the_proxy_is_called_with(services, proxied, more, call):
    settings = pprof_guard.parse(variables(*services, **more))
    decisions, faults = pprof_guard.decide(settings, facts(proxied=proxied))
    assert faults == []
    assert pprof_guard.proxy_arguments(decisions, settings) == call


@pytest.mark.parametrize("service, seen, backend", [
    pytest.param({**API, "bind": BIND, "means": ["bind", "proxy"]}, {}, "http://127.0.0.1:6060", id="bind"),
    pytest.param({"name": "api", "pprof": "https://10.0.0.5:6060/x", "bind": BIND, "means": ["bind", "proxy"]}, {},
                 "https://127.0.0.1:6060", id="bind-tls"),
    pytest.param({**API, "bind": {**BIND, "value": "unix:///run/a.sock"}, "means": ["bind", "proxy"]}, {}, "unix:///run/a.sock", id="unix"),
    pytest.param({"name": "api", "pprof": "http://127.0.0.1:6060/x", "means": ["proxy"]}, {"address": "127.0.0.1"},
                 "http://127.0.0.1:6060/x", id="as-declared"),
    pytest.param({"name": "api", "means": ["proxy"]}, {"address": "127.0.0.1"}, "http://127.0.0.1:6060", id="found"),
    pytest.param({"name": "api", "means": ["proxy"]}, {"runs": False}, "", id="nothing-tells-it"),
])
def test_what_is_behind_the_proxy(service, seen, backend):
    settings = pprof_guard.parse(variables(service))
    decisions, faults = pprof_guard.decide(settings, facts(**seen))
    assert faults == []
    [one] = pprof_guard.proxy_arguments(decisions, settings)["services"]
    assert one["backend"] == backend


@pytest.mark.parametrize("means, warned", [(["firewall"], 1), (["firewall", "proxy"], 0), ("auto", 0)])
def test_a_proxy_that_cannot_be_read_is_told_where_it_would_be_taken_back(means, warned):
    seen = facts()
    seen["probes"][pprof_guard.PROXY_PROBE] = {"content": "# proxied: {"}
    warnings = decide({**API, "means": means}, seen).warnings
    assert len(warnings) == warned
    for line in warnings:
        assert line.startswith("api: whether a proxy publishes it is not known, and none is taken back: "
                               "/etc/nginx/conf.d/goready-pprof.conf: the line ")


def test_a_service_with_a_fault_does_not_hide_what_the_others_need():
    bad = {"name": "bad", "pprof": "http://127.0.0.1:6060", "means": ["proxy"]}
    settings = pprof_guard.parse(variables(bad, {"name": "good", "port": 6070, "means": ["firewall"]}))
    decisions, faults = pprof_guard.decide(settings, facts(name="bad"))
    assert [one.service.name for one in decisions] == ["good"]
    assert faults == ["bad: a proxy alone leaves port 6060 open beside it: add bind or firewall to the means"]


def test_absent_names_what_is_there():
    settings = pprof_guard.parse(variables(API, state="absent"))
    decisions, faults = pprof_guard.decide(settings, facts(guarded=True, bound=True))
    assert faults == []
    assert pprof_guard.firewall_arguments(decisions, settings)["services"] == []
    assert pprof_guard.firewall_removed(decisions, settings) == {"state": "absent", "services": [{"name": "api"}]}
    assert pprof_guard.bind_arguments(decisions, settings) == [{"unit": "api.service", "state": "absent", "timeout": 60}]


def test_a_prefix_of_the_declared_url_is_passed_on():
    settings = pprof_guard.parse(variables({"name": "api", "pprof": "http://127.0.0.1:6060/admin", "bind": BIND}))
    decisions, _faults = pprof_guard.decide(settings, facts())
    (call,) = pprof_guard.bind_arguments(decisions, settings)
    assert call["path"] == "/admin"


def test_what_the_modules_are_called_with():
    service = {**API, "health": "http://127.0.0.1:8080/healthz", "metrics": "http://127.0.0.1:9090/metrics", "bind": BIND,
               "allow": ["10.0.0.7"], "means": ["bind", "firewall"]}
    settings = pprof_guard.parse(variables(service, timeout=5))
    decisions, _faults = pprof_guard.decide(settings, facts())
    urls = ["http://127.0.0.1:8080/healthz", "http://127.0.0.1:9090/metrics"]
    assert pprof_guard.firewall_arguments(decisions, settings) == {"state": "present", "block_service_port": False, "services": [
        {"name": "api", "ports": [6060], "allow": ["10.0.0.7/32"], "urls": urls}]}
    assert pprof_guard.bind_arguments(decisions, settings) == [
        {"unit": "api.service", "value": "127.0.0.1:6060", "ports": [6060], "urls": urls, "timeout": 5, "block_service_port": False,
         "environment": "API_PPROF", "health": "http://127.0.0.1:8080/healthz"}]


@pytest.mark.parametrize(("block", "allow"), [(False, []), (True, ["10.0.0.7/32"])])
def test_behind_a_proxy_the_port_is_for_the_host_alone(block, allow):
    settings = pprof_guard.parse(variables({**API, "allow": ["10.0.0.7"], "means": ["firewall", "proxy"]}, block_service_port=block))
    decisions, faults = pprof_guard.decide(settings, facts())
    assert faults == []
    [service] = pprof_guard.firewall_arguments(decisions, settings)["services"]
    assert service["allow"] == allow


@pytest.mark.parametrize("given, faults", [
    pytest.param(variables(means="iptables"),
                 ["pprof_guard_means: 'iptables' is neither auto nor a list of bind, firewall, proxy"], id="means"),
    pytest.param(variables(means=[]), ["pprof_guard_means: [] is neither auto nor a list of bind, firewall, proxy"], id="no-means"),
    pytest.param(variables(allow="10.0.0.0/8"),
                 ["pprof_guard_allow: '10.0.0.0/8' is not a list of networks such as 10.0.0.0/8 and 2001:db8::/32"], id="allow"),
    pytest.param(variables(allow=["10.0.0.0/8", "10.0.0.1/8"], state="gone", consent=["all"], timeout=0, block_service_port="no"),
                 ["pprof_guard_allow: [1]: '10.0.0.1/8' has bits of a host behind its prefix; the network is 10.0.0.0/8",
                  "pprof_guard_state: 'gone' is not one of present, absent",
                  "pprof_guard_consent: 'all' is not one of restart, firewall, sysctl, install",
                  "pprof_guard_block_service_port: 'no' is neither true nor false",
                  "pprof_guard_timeout: 0 is not a whole number from 1 to 3600"], id="all-at-once"),
    pytest.param(variables({"unit": "x.service"}), ["pprof_guard_services[0]: the key name is missing"], id="no-name"),
    pytest.param(variables(API, API), ["pprof_guard_services[1] (api): the name is given twice"], id="twice"),
    pytest.param(variables({**API, "bind": BIND}, {"name": "other", "unit": "api.service", "bind": BIND}),
                 ["pprof_guard_services[1] (other): bind: api.service is told already where pprof listens, by another entry"], id="unit"),
    pytest.param(variables({**API, "port": 70000, "bind": {"environment": "A", "argument": "-a"}}),
                 ["pprof_guard_services[0] (api): port: 70000 is not a whole number from 1 to 65535",
                  "pprof_guard_services[0] (api): bind: exactly one of environment and argument says how the service is told where "
                  "pprof listens"], id="keys"),
    pytest.param(variables({**API, "bind": {"environment": "A", "value": ":6060"}}),
                 ["pprof_guard_services[0] (api): bind: value: ':6060' is not on loopback: 127.0.0.1:6060, [::1]:6060 or a unix socket "
                  "is"], id="value"),
    pytest.param(variables({**API, "means": ["bind"]}),
                 ["pprof_guard_services[0] (api): means: bind is one of them, but the key bind does not say how the service is told: "
                  "{environment: NAME} or {argument: \"--flag\"}"], id="bind-without-bind"),
])
def test_faults(given, faults):
    with pytest.raises(policy.PolicyError) as caught:
        pprof_guard.parse(given)
    assert caught.value.faults == faults


def test_an_unknown_key_names_the_known_ones():
    with pytest.raises(policy.PolicyError) as caught:
        pprof_guard.parse(variables({**API, "allowed": []}))
    assert caught.value.faults[0].startswith("pprof_guard_services[0] (api): unknown key 'allowed'; allowed are name, unit, ")


def test_every_key_of_a_declaration_is_accepted():
    declared = {"name": "api", "unit": "api.service", "binary": "/a", "nofile": 1024, "pprof": "http://127.0.0.1:6060",
                "health": "http://127.0.0.1/", "metrics": "http://127.0.0.1/", "revision": "abcd", "depends_on": []}
    assert set(declared) == set(policy.SERVICE_KEYS)
    assert pprof_guard.parse(variables(declared)).services[0].name == "api"


SERVICE = {"name": "api", "unit": "api.service", "ports": [6060], "means": ["firewall"], "allow": ["10.0.0.0/8", "fd00::/8"]}


@pytest.mark.parametrize("means, source, wanted", [
    pytest.param(["firewall"], "10.1.1.1", "admitted", id="inside"),
    pytest.param(["firewall"], "192.0.2.1", "blocked", id="outside"),
    pytest.param(["firewall"], "fd00::1", "admitted", id="inside-v6"),
    pytest.param(["firewall"], "", "", id="not-known"),
    pytest.param(["bind"], "10.1.1.1", "blocked", id="bind-admits-nobody"),
])
def test_expected(means, source, wanted):
    assert pprof_guard.expected({**SERVICE, "means": means}, source) == wanted


@pytest.mark.parametrize("wanted, seen, good", [
    ("blocked", "filtered", True), ("blocked", "closed", True), ("blocked", "open", False), ("admitted", "open", True),
    ("admitted", "filtered", False), ("", "open", None), ("blocked", "unknown", None),
])
def test_judge(wanted, seen, good):
    assert pprof_guard.judge("api", "10.0.0.5", 6060, "10.1.1.1", wanted, seen, "no connection within 2 s").ok is good


@pytest.mark.parametrize("answer, seen", [
    pytest.param(Answer(connected=True, status=200), ("open", "answered 200"), id="answered"),
    pytest.param(Answer(connected=True, error="timeout", detail="did not answer within 2 s"), ("open", "did not answer within 2 s"),
                 id="silent"),
    pytest.param(Answer(error="refused", detail="connection refused"), ("closed", "connection refused"), id="refused"),
    pytest.param(Answer(error="timeout", detail="no connection within 2 s"), ("filtered", "no connection within 2 s"), id="dropped"),
    pytest.param(Answer(error="unreachable", detail="no route to host", errno=errno.EHOSTUNREACH), ("filtered", "no route to host"),
                 id="rejected"),
    pytest.param(Answer(error="unreachable", detail="invalid argument", errno=errno.EINVAL), ("unknown", "invalid argument"),
                 id="own-fault"),
])
def test_seen_of(answer, seen):
    assert pprof_guard.seen_of(answer) == seen


def attempt(source: str, ok: bool | None, expected: str = "blocked") -> Attempt:
    return Attempt("api", source, None, None, expected, "", ok, "the reason")


@pytest.mark.parametrize("attempts, proven, doubts", [
    pytest.param([attempt("host", True), attempt("controller", True)], True, {}, id="proven"),
    pytest.param([attempt("host", True), attempt("controller", None)], None, {"api": "the reason"}, id="not-tried"),
    pytest.param([attempt("host", False), attempt("controller", True)], False, {}, id="wrong-on-the-host"),
    pytest.param([attempt("controller", True), attempt("controller", False)], False, {}, id="wrong-in-one-family"),
    pytest.param([attempt("host", True)], None, {}, id="nobody-tried"),
])
def test_verdicts(attempts, proven, doubts):
    assert pprof_guard.verdicts([SERVICE], attempts) == {"api": proven}
    assert pprof_guard.doubts([SERVICE], attempts) == doubts


def test_a_unix_socket_needs_nobody_outside():
    service = {**SERVICE, "ports": [], "means": ["bind"]}
    assert pprof_guard.verdicts([service], [attempt("host", True, "local")]) == {"api": True}


# Recorded from iproute2 6.1.0 (`ip -json address show scope global`), shortened.
ADDRESSES = [
    {"ifname": "eth0", "addr_info": [
        {"family": "inet", "local": "10.89.0.2", "prefixlen": 24, "scope": "global"},
        {"family": "inet6", "local": "fd00::aaaa", "prefixlen": 64, "scope": "global", "temporary": True},
        {"family": "inet6", "local": "fd00::1", "prefixlen": 64, "scope": "global", "nodad": True}]},
    {"ifname": "eth1", "addr_info": []},
    {},
]


@pytest.mark.parametrize("version, found", [(4, ["10.89.0.2"]), (6, ["fd00::1", "fd00::aaaa"])])
def test_addresses(version, found):
    assert pprof_guard.addresses(ADDRESSES, version) == found


@pytest.mark.parametrize("one, other, same", [
    ("10.0.0.1", "::ffff:10.0.0.1", True), ("fd00::1", "fd00:0::1", True), ("fe80::1%eth0", "fe80::1", True),
    ("10.0.0.1", "10.0.0.2", False),
])
def test_same_address(one, other, same):
    assert pprof_guard.same_address(one, other) is same


def test_defaults_are_those_of_the_argument_spec():
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert set(defaults) == set(options)
    assert {key: value for key, value in defaults.items() if "{{" not in str(value)} == {
        key: option["default"] for key, option in options.items() if "default" in option and "{{" not in str(defaults[key])}


def test_every_key_of_a_service_is_in_the_argument_spec():
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert set(options["pprof_guard_services"]["options"]) == {*policy.SERVICE_KEYS, "bind", "means", "allow", "port"}
