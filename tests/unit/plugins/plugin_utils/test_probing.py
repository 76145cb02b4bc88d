# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says of how far a host is tried: every fault by its key and value, and what reaches the module."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.goready.preflight.plugins.module_utils import collecting
from ansible_collections.goready.preflight.plugins.plugin_utils import hostdoc, policy, probing

SERVICES = [
    {"name": "api", "health": "http://127.0.0.1:8080/healthz", "depends_on": ["https://pay.example.org/ping", "tcp://db1:5432"]},
    {"name": "web", "metrics": "http://127.0.0.1:9100/metrics"},
]


def parse(**variables: Any) -> policy.Rules:
    return policy.parse({"preflight_services": SERVICES, **variables})


@pytest.mark.parametrize(("variables", "message"), [
    pytest.param({"preflight_budget": 0}, "preflight_budget: 0 is not a whole number from 1 to 3600", id="budget"),
    pytest.param({"preflight_build_user": "a b"}, "preflight_build_user: 'a b' is not the name of a user", id="user"),
    pytest.param({"preflight_build": {"cgo": True}}, "preflight_build: cgo: True is not one of auto, required, absent", id="cgo"),
    pytest.param({"preflight_build": {"memmory": 1}},
                 "preflight_build: unknown key 'memmory'; did you mean memory? allowed are cgo, toolchains, timeout, memory, disk",
                 id="key"),
    pytest.param({"preflight_build": ["cgo"]},
                 "preflight_build: ['cgo'] is not a mapping; its keys are cgo, toolchains, timeout, memory, disk", id="mapping"),
    pytest.param({"preflight_proxy": {"modules": ["example.com/mod"]}},
                 "preflight_proxy: modules: 'example.com/mod' is not a module and its version, such as example.com/mod@v1.2.3",
                 id="module"),
    pytest.param({"preflight_proxy": {"modules": "example.com/mod@v1.0.0"}},
                 "preflight_proxy: modules: 'example.com/mod@v1.0.0' is not a list", id="modules"),
    pytest.param({"preflight_proxy": {"private": ["https://git.example"]}},
                 "preflight_proxy: private: 'https://git.example' is not the path of a module, or a pattern as GOPRIVATE takes it, such as "
                 "git.example.com/team/*", id="private"),
    pytest.param({"preflight_network": {"window": 61}}, "preflight_network: window: 61 is not a whole number from 1 to 60", id="window"),
    pytest.param({"preflight_network": {"endpoints": {"https://other.example/": {}}}},
                 "preflight_network: endpoints: 'https://other.example/' is in no depends_on and no health of preflight_services",
                 id="foreign"),
    pytest.param({"preflight_network": {"endpoints": {"https://pay.example.org/ping": {"cert_file": "/a.pem"}}}},
                 "preflight_network: endpoints: 'https://pay.example.org/ping': cert_file and key_file belong together", id="pair"),
    pytest.param({"preflight_network": {"endpoints": {"https://pay.example.org/ping": {"ca_file": "a.pem"}}}},
                 "preflight_network: endpoints: 'https://pay.example.org/ping': ca_file: 'a.pem' is not an absolute path on the host",
                 id="path"),
    pytest.param({"preflight_network": {"server_timeouts": ["http://127.0.0.1:22"]}},
                 "preflight_network: server_timeouts: 'http://127.0.0.1:22' is at no port that preflight_services declares as health, "
                 "metrics or pprof", id="undeclared"),
    pytest.param({"preflight_databases": {}}, "preflight_databases: {} is not a list", id="list"),
    pytest.param({"preflight_databases": [{"url": "redis://r1"}]}, "preflight_databases: [0]: the key name is missing", id="name"),
    pytest.param({"preflight_databases": [{"name": "a", "url": "postgres://app:secret@db1/orders"}]},
                 "preflight_databases: [0] (a): url: a password does not belong into the URL; give it in preflight_credentials, by the "
                 "database's name", id="password"),
    pytest.param({"preflight_databases": [{"name": "a", "url": "oracle://db1"}]},
                 "preflight_databases: [0] (a): url: 'oracle://db1' is not a URL that begins with postgres://, postgresql://, mysql://, "
                 "mariadb://, redis://, rediss://", id="scheme"),
    pytest.param({"preflight_databases": [{"name": "a", "url": "postgres:///orders"}]},
                 "preflight_databases: [0] (a): url: 'postgres:///orders' names no host; give one, or the key socket", id="no host"),
    pytest.param({"preflight_databases": [{"name": "a", "url": "redis://r1", "passfile": "/p"}]},
                 "preflight_databases: [0] (a): passfile belongs to postgres; this one is redis", id="other kind"),
    pytest.param({"preflight_databases": [{"name": "a", "url": "redis://r1", "services": ["apo"]}]},
                 "preflight_databases: [0] (a): services: 'apo' is not one of api, web", id="service"),
    pytest.param({"preflight_databases": [{"name": "a", "url": "redis://r1"}, {"name": "a", "url": "redis://r2"}]},
                 "preflight_databases: [1] (a): the name is declared twice", id="twice"),
    pytest.param({"preflight_databases": [{"name": "orders", "url": "redis://r1"}],
                  "preflight_credentials": {"order": {"password": "s3cret"}}},
                 "preflight_credentials: order: no service of that name is declared; preflight_services has api, web and "
                 "preflight_databases orders", id="credentials"),
])
def test_wrong(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(policy.PolicyError) as caught:
        parse(**variables)
    assert caught.value.faults == [message]
    assert "secret" not in str(caught.value)


def test_what_reaches_the_module() -> None:
    rules = parse(
        preflight_proxy={"modules": ["example.com/mod@v1.2.3"], "private": ["git.example.com/team/*"]},
        preflight_network={"window": "3", "server_timeouts": True, "endpoints": {"https://pay.example.org/ping": {"ca_file": "/ca.pem"}}},
        preflight_databases=[{"name": "orders", "url": "postgres:///orders", "socket": "/run/postgresql", "services": ["api"]}],
        preflight_credentials={"orders": {"password": "s3cret"}}, preflight_build={"cgo": "required"}, preflight_budget="90",
    )
    active = rules.probing.active("deep")
    assert active == {
        "budget": 90, "profile": "deep",
        "build": {"cgo": "required", "toolchains": "seen", "timeout": 60, "memory": 1 << 30, "disk": 1 << 30},
        "network": {"samples": 5, "window": 3, "timeout": 3, "redirects": 3, "server_timeouts": ["http://127.0.0.1:8080/healthz"],
                    "endpoints": {"https://pay.example.org/ping": {"ca_file": "/ca.pem"}}},
        "proxy": {"modules": ["example.com/mod@v1.2.3"], "private": ["git.example.com/team/*"], "requests": 100, "concurrency": 10,
                  "timeout": 10},
        "databases": [{"name": "orders", "url": "postgres:///orders", "scheme": "postgres", "services": ["api"],
                       "socket": "/run/postgresql", "run_as": "", "passfile": "", "defaults_file": "", "ca_file": "", "timeout": 5}],
    }
    standard = rules.probing.active("standard")
    assert (standard["proxy"]["requests"], standard["network"]["server_timeouts"]) == (10, [])  # a slow request is for deep alone
    assert "s3cret" not in str(active)


def test_quick_tries_nothing() -> None:
    assert parse(preflight_profile="quick").tried() == []


@pytest.mark.parametrize(("checks", "tried"), [
    pytest.param(["host.*"], [], id="nothing needs it"),
    pytest.param(["toolchain.build"], ["build"], id="build"),
    pytest.param(["modules.proxy_reachable"], ["proxies"], id="proxies"),
    pytest.param(["network.endpoint"], ["connections"], id="connections"),
    pytest.param(["network.retransmits"], ["sample"], id="sample"),
    pytest.param(["network.retransmits", "goroutines.*"], ["sample", "wall"], id="explained"),
    pytest.param(["databases.connections"], ["databases"], id="databases"),
])
def test_what_is_tried_is_what_a_selected_check_needs(checks: list[str], tried: list[str]) -> None:
    assert parse(preflight_checks=checks).tried() == tried


def test_what_is_kept_of_urls_with_passwords_can_be_replayed() -> None:
    url = "https://bob:hunter2@pay.example.org/ping?token=hunter2"
    service = {"name": "api", "health": url, "depends_on": [url, "postgres://app:hunter2@db1:5432/x"]}
    rules = policy.parse({"preflight_services": [service], "preflight_network": {"endpoints": {url: {"validate_certs": False}},
                                                                                 "server_timeouts": [url]}})
    kept = hostdoc.replayable({}, rules)["policy"]["variables"]
    assert "hunter2" not in str(kept)
    hidden = "https://bob:[redacted]@pay.example.org/ping?token=[redacted]"
    assert policy.parse(kept).probing.network.endpoints == {hidden: {"validate_certs": False}}


@pytest.mark.parametrize(("variable", "value", "message"), [
    ("preflight_services", [{"name": "api", "depends_on": ["tcp://u:hun[ter]2@h:1"]}],
     "[0] (api): depends_on: 'tcp://u:[redacted]@h:1' is not a URL that can be asked: its host is none (brackets are for "
     "IPv6 addresses alone)"),
    ("preflight_databases", [{"name": "a", "url": "postgres://u:hun[ter]2@h:1"}],
     "[0] (a): url: 'postgres://u:[redacted]@h:1' is not a URL that can be asked"),
])
def test_a_password_with_brackets_is_not_told(variable: str, value: Any, message: str) -> None:
    with pytest.raises(policy.PolicyError) as caught:
        policy.parse({variable: value})
    assert caught.value.faults == [f"{variable}: {message}"]


def test_a_task_is_given_the_time_of_an_emulated_host() -> None:
    nothing = parse(preflight_checks=["host.*"]).seconds()
    build = parse(preflight_checks=["toolchain.build"], preflight_budget=10).seconds()
    assert (nothing, build) == (0, 10 * collecting.EMULATED + probing.OVERHEAD)
