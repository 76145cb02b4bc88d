# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue, engine, plan, policy
from ansible_collections.goready.preflight.plugins.plugin_utils.report import text

CHECKS = catalogue.load()


def result(check: str, subject: str = "api", status: str = "fail", *, role: str = "service_limits", safe: str = "apply",
           expected: Any = 65536, waived: bool = False, severity: str = "high") -> dict[str, Any]:
    one = engine.Result(check, status, severity, "It is wrong.", subject, expected=expected, waived=waived)
    remediation = {"hint": "Raise it.", "command": "raise it", "role": role, "safe": safe}
    return {**one.as_dict(), "remediation": remediation}


def host(*results: dict[str, Any], services: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"name": "web1", "gate": "high", "reachable": True, "results": list(results),
            "services": services or [{"name": "api", "unit": "api.service"}, {"name": "api/two", "unit": "two.service"},
                                     {"name": "boxed", "unit": "boxed.service", "container": {"id": "1"}},
                                     {"name": "loose", "unit": None}]}


def inventory(consent: str = "restart,firewall,install", select: str = "*", *services: dict[str, Any],
              **variables: Any) -> plan.Inventory:
    mandate = policy.parse_mandate({"preflight_consent": consent, "preflight_remediate": select}, CHECKS)
    return plan.Inventory(mandate, services, variables)


def left(made: plan.Plan) -> list[tuple[str, str]]:
    return [(one.kind, one.why) for one in made.left]


def test_nothing_failed() -> None:
    assert plan.make(host(result("limits.nofile_configured", status="pass")), inventory(), CHECKS) == plan.Plan()


def test_a_finding_becomes_its_role_with_what_verification_wants() -> None:
    found = result("limits.nofile_configured")
    made = plan.make(host(found), inventory(), CHECKS)
    assert made.left == ()
    assert made.steps == (plan.Step(
        "service_limits", {"service_limits_services": [{"name": "api", "unit": "api.service", "nofile": 65536}]},
        ("firewall", "install", "restart"), (found["fingerprint"],)),)


def test_the_inventory_says_what_is_wanted() -> None:
    declared = {"name": "api", "nofile": 9000, "health": "http://127.0.0.1/h", "binary": None}
    own = [{"name": "api", "tasks_max": 500}, {"name": "other", "tasks_max": 1}]
    made = plan.make(host(result("limits.nofile_configured"), result("limits.nofile_effective")),
                     inventory("restart", "*", declared, service_limits_services=own), CHECKS)
    assert made.steps[0].variables["service_limits_services"] == [
        {"name": "api", "unit": "api.service", "nofile": 9000, "health": "http://127.0.0.1/h", "tasks_max": 500}]
    assert len(made.steps[0].items) == 2


def test_two_services_of_one_role_and_the_longest_name_wins() -> None:
    made = plan.make(host(result("limits.nofile_configured"), result("limits.nofile_configured", "api/two")), inventory(), CHECKS)
    assert [one["unit"] for one in made.steps[0].variables["service_limits_services"]] == ["api.service", "two.service"]


@pytest.mark.parametrize(("found", "given", "kind", "why"), [
    (result("limits.nofile_configured"), inventory(""), "consent", "needs consent restart"),
    (result("limits.nofile_configured", waived=True), inventory(), "waived", "waived: somebody took responsibility for it"),
    (result("limits.nofile_configured"), inventory(select="pprof.*"), "unselected", "not named by preflight_remediate"),
    (result("limits.nofile_configured", safe="manual"), inventory(), "manual", "manual: Raise it."),
    (result("services.active", role=""), inventory(), "manual", "manual: Raise it."),
    (result("limits.nofile_configured", "boxed"), inventory(), "manual",
     "manual: it runs in a container, which the container's runtime configures"),
    (result("limits.nofile_configured", "loose"), inventory(), "manual", "manual: no unit starts it"),
    (result("limits.nofile_configured", "nobody"), inventory(), "manual",
     "manual: the finding belongs to no service that the role could be given"),
    (result("toolchain.present", "", role="go_toolchain"), inventory(), "manual",
     "manual: say which Go is wanted in go_toolchain_versions"),
    (result("toolchain.present", "", role="go_toolchain"), inventory("", go_toolchain_versions=["1.27.3"]), "consent",
     "needs consent install"),
    (result("pprof.bind", "api [::]:6060", role="pprof_guard"), inventory("restart"), "consent", "needs consent firewall"),
    (result("pprof.bind", "api [::]:6060", role="pprof_guard"),
     inventory("", pprof_guard_services=[{"name": "api", "bind": {"argument": "-pprof"}}]), "consent", "needs consent restart or firewall"),
    (result("pprof.bind", "api [::]:6060", role="pprof_guard"),
     inventory("", pprof_guard_means=["firewall", "proxy"]), "consent", "needs consent firewall and install"),
    (result("pprof.bind", "api [::]:6061", role="pprof_guard"),
     inventory("firewall", "*", {"name": "api", "pprof": "http://127.0.0.1:6060"}), "manual",
     "manual: it is served on port 6061, and the one declared to be guarded is 6060"),
], ids=["consent", "waived", "unselected", "unsafe", "no-role", "container", "no-unit", "no-service", "no-version", "install",
        "firewall", "either", "every-means", "other-port"])
def test_what_is_left_says_why(found: dict[str, Any], given: plan.Inventory, kind: str, why: str) -> None:
    made = plan.make(host(found), given, CHECKS)
    assert made.steps == ()
    assert left(made) == [(kind, why)]
    if kind == "consent":
        words = ",".join(sorted({*why.removeprefix("needs consent ").split(" or ")[0].split(" and "), *given.mandate.consent}))
        assert made.left[0].command == (
            f"ansible-playbook remediate.yml --limit web1 -e preflight_remediate={found['id']} -e preflight_consent={words}")
        assert plan.consents(host(found), given) == {found["fingerprint"]: words}


def test_the_command_repeats_the_consent_of_the_inventory_that_it_replaces() -> None:
    found = result("pprof.bind", "api [::]:6060", role="pprof_guard")
    given = inventory("firewall,sysctl", pprof_guard_means=["firewall", "proxy"])
    assert plan.make(host(found), given, CHECKS).left[0].command.endswith("-e preflight_consent=firewall,install,sysctl")
    assert plan.consents(host(found), given) == {found["fingerprint"]: "firewall,install,sysctl"}


def test_what_no_command_mends_has_none() -> None:
    found = result("toolchain.present", "", role="go_toolchain")
    assert plan.consents(host(found), inventory()) == {found["fingerprint"]: None}
    assert plan.consents(host(found), inventory("", go_toolchain_versions=["1.27.3"], go_toolchain_user="dev")) == {
        found["fingerprint"]: ""}


@pytest.mark.parametrize(("variables", "consent"), [
    ({"service_limits_apply": "next_start"}, ""), ({"service_limits_apply": "live"}, ""), ({"service_limits_consent": ["restart"]}, ""),
])
def test_what_interrupts_nobody_or_is_allowed_by_the_role_needs_no_more(variables: dict[str, Any], consent: str) -> None:
    assert plan.make(host(result("limits.nofile_configured")), inventory(consent, **variables), CHECKS).steps


def test_a_pprof_listener() -> None:
    found = result("pprof.bind", "api [::]:6060", role="pprof_guard")
    made = plan.make(host(found), inventory("firewall"), CHECKS)
    assert made.steps[0].variables == {
        "pprof_guard_services": [{"name": "api", "unit": "api.service", "pprof": "http://127.0.0.1:6060"}]}
    bound = inventory("restart", "*", pprof_guard_services=[{"name": "api", "bind": {"environment": "PPROF"}}])
    assert plan.make(host(found), bound, CHECKS).steps[0].variables["pprof_guard_services"][0]["bind"] == {"environment": "PPROF"}


def test_the_module_proxys_settings() -> None:
    found = {**result("modules.checksum_db", "deploy", role="module_proxy"), "actual": {"GOSUMDB": "off", "GONOSUMDB": "*"}}
    other = {**result("modules.insecure", "deploy", role="module_proxy"), "actual": {"GOINSECURE": "*"}}
    given = inventory("", module_proxy_gosumdb="sum.example.org", module_proxy_goproxy="https://proxy.example.org")
    assert plan.make(host(found, other), given, CHECKS).steps[0].variables == {
        "module_proxy_users": ["deploy"], "module_proxy_unset": ["GOSUMDB=off", "GONOSUMDB=*", "GOINSECURE=*"],
        "module_proxy_gosumdb": "sum.example.org", "module_proxy_gonosumdb": "", "module_proxy_goinsecure": ""}


def test_roles_run_in_their_order_and_every_finding_has_its_place() -> None:
    results = [result("pprof.bind", "api [::]:6060", role="pprof_guard"), result("limits.nofile_configured"),
               result("toolchain.present", "", role="go_toolchain"), result("services.active", role="", safe="manual")]
    made = plan.make(host(*results), inventory(go_toolchain_versions=["1.27.3"]), CHECKS)
    assert [step.role for step in made.steps] == ["go_toolchain", "service_limits", "pprof_guard"]
    placed = [item for step in made.steps for item in step.items] + [one.fingerprint for one in made.left]
    assert sorted(placed) == sorted(one["fingerprint"] for one in results)


@pytest.mark.parametrize(("hosts", "consent", "command"), [
    ([], "", "ansible-playbook remediate.yml -e preflight_remediate=a.b"),
    (["web1", "web2"], "restart",
     "ansible-playbook remediate.yml --limit web1,web2 -e preflight_remediate=a.b -e preflight_consent=restart"),
    (["a b;rm"], "", "ansible-playbook remediate.yml --limit 'a b;rm' -e preflight_remediate=a.b"),
])
def test_the_command_to_mend(hosts: list[str], consent: str, command: str) -> None:
    assert text.mend_command("a.b", hosts, consent) == command


FOUND = result("limits.nofile_configured")


@pytest.mark.parametrize(("after", "outcome"), [
    ([result("limits.nofile_configured", status="pass")], "fixed"),
    ([result("limits.nofile_configured", status="notapplicable")], "fixed"),
    ([FOUND], "not_fixed"),
    ([result("limits.nofile_configured", status="pass"), FOUND], "not_fixed"),
    ([result("limits.nofile_configured", status="unknown")], "unverified"),
    ([result("limits.nofile_configured", "other", status="pass")], "fixed"),
    ([result("limits.nofile_configured", "", status="error")], "unverified"),
    ([result("limits.nofile_configured", "other", status="pass"), result("limits.nofile_configured", "", status="error")], "unverified"),
    ([], "unverified"),
], ids=["pass", "na", "fail", "worst", "unknown", "gone", "broken", "half-broken", "silent"])
def test_what_became_of_a_finding(after: list[dict[str, Any]], outcome: str) -> None:
    assert plan.outcomes([FOUND], host(*after)) == {FOUND["fingerprint"]: outcome}


@pytest.mark.parametrize(("now", "new"), [
    (result("services.active"), True), (result("services.active", severity="low"), False), (result("services.active", waived=True), False),
    (result("services.active", status="unknown"), False), (FOUND, False),
], ids=["worse", "below-the-gate", "waived", "unknown", "old"])
def test_what_got_worse(now: dict[str, Any], new: bool) -> None:
    assert bool(list(plan.newly_failed(host(FOUND), host(now)))) is new
