# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says of real hosts: every planted fault, and nothing that was not planted."""
from __future__ import annotations

import pytest
from conftest import REPORTS, found

FAULTY = {
    "stopped": {"services.active"},
    "absent": {"services.present"},
    "notenabled": {"services.enabled"},
    "norestart": {"services.restart_policy"},
    "flapping": {"services.flapping", "services.active"},
    "asroot": {"services.root_user"},
    "sick": {"services.healthy"},
    "toolow": {"limits.nofile_configured", "limits.nofile_lowered"},
    "crowded": {"limits.nofile_headroom", "limits.nofile_configured", "limits.nofile_lowered"},
    "lowered": {"limits.nofile_lowered"},
    "fewtasks": {"limits.tasks"},
    "memory": {"limits.memory_limit"},
    "halfcpu": {"limits.gomaxprocs", "binary.go_release"},
    "foreign": {"binary.arch_match"},
    "otherrev": {"binary.revision"},
    "dirty": {"binary.clean"},
    "public": {"pprof.bind", "pprof.public_mux", "pprof.reachable"},
    "vars": {"pprof.expvar", "pprof.reachable"},
}


def serious(row, *statuses):
    """Findings above info that the lab's inventory does not waive: (check, subject)."""
    return {
        (line["id"], line["subject"]) for line in row["results"]
        if line["status"] in statuses and line["severity"] != "info" and not line["waived"]
    }


def by_service(row, *statuses):
    services = {service["name"] for service in row["services"]}
    grouped = {}
    for check, subject in serious(row, *statuses or ("fail",)):
        name = next((word for word in subject.replace("/", " ").split() if word in services), subject)
        grouped.setdefault(name, set()).add(check)
    return grouped


def test_a_host_as_it_should_be_is_ready(rows):
    row = rows["ready"]
    assert serious(row, "fail", "error", "unknown") == set()
    assert row["verdict"] == "ready"
    assert {"services.healthy", "limits.nofile_effective", "binary.revision", "pprof.bind", "toolchain.version_policy"} <= {
        check for check, _subject in found(row, "pass")}


def test_six_kinds_of_planted_faults_are_found_and_no_others(rows):
    assert by_service(rows["six"], "fail", "error", "unknown") == {
        "exposed": {"pprof.bind", "pprof.reachable"},
        "clamped": {"limits.nofile_effective"},
        "misspelt": {"services.unit_directives"},
        "replaced": {"binary.replaced"},
        "writable": {"binary.ownership"},
        "racy": {"binary.race"},
    }
    assert rows["six"]["verdict"] == "not_ready"


@pytest.mark.parametrize("service", FAULTY)
def test_one_fault_a_service(rows, service):
    assert by_service(rows["faulty"]).get(service) == FAULTY[service]


def test_nothing_else_is_found_on_the_faulty_host(rows):
    assert set(by_service(rows["faulty"])) - set(FAULTY) == set()


# Each was planted, but for two that come with one that was: a program without its loader cannot be started, and a unit that
# asks for more descriptors than fs.nr_open gets fewer (here, as in every container, than its own hard limit).
WORN = {
    ("host.supported_os", ""), ("host.pending_reboot", ""), ("host.disk_space", "/var/log"), ("host.inodes", "/opt"),
    ("host.tcp_backlog", "net.core.somaxconn"), ("toolchain.present", ""),
    ("host.fd_ceiling", "fs.nr_open"), ("limits.nofile_effective", "greedy"),
    ("binary.static", "loaderless"), ("services.active", "loaderless"),
}


def test_a_host_that_was_neglected(rows):
    row = rows["worn"]
    assert serious(row, "fail", "error", "unknown") == WORN
    assert row["verdict"] == "not_ready"


def test_what_was_changed_in_a_host_stays_there(connect):
    values = {name: connect(name).check_output("sysctl --values net.core.somaxconn") for name in ("worn", "ready")}
    assert (values["worn"], int(values["ready"]) >= 4096) == ("128", True), values


def test_limits_that_do_not_reach_a_service_are_told(rows):
    assert "limits.limits_conf_ignored" in {check for check, _subject in found(rows["faulty"], "fail")}


# Looked at one by one; each is right: Debian's node_exporter serves /debug/pprof/ and /debug/vars beside its metrics on every
# address, Debian's caddy.service has no Restart= and etcd.service only restarts after signals, and both units ask for more
# files than a container here may have.
STRANGERS = {
    ("pprof.bind", "prometheus-node-exporter [::]:9100"), ("pprof.reachable", "prometheus-node-exporter [::]:9100"),
    ("pprof.expvar", "prometheus-node-exporter [::]:9100"),
    ("services.restart_policy", "caddy"), ("services.restart_policy", "etcd"),
    ("limits.nofile_effective", "caddy"), ("limits.nofile_effective", "etcd"),
}


def test_services_nobody_here_wrote_are_found_and_not_slandered(rows):
    row = rows["strangers"]
    assert {"prometheus-node-exporter", "caddy", "etcd"} <= {service["name"] for service in row["services"]}
    assert not any(service["declared"] for service in row["services"])
    assert serious(row, "error") == set()
    assert serious(row, "fail") == STRANGERS


def test_a_build_host_with_broken_toolchains(rows):
    failed = {check for check, _subject in serious(rows["tools"], "fail")}
    assert {check for check in failed if check.startswith("toolchain.")} == {
        "toolchain.arch_match", "toolchain.conflict", "toolchain.goroot", "toolchain.gopath", "toolchain.env_drift",
        "toolchain.ownership", "toolchain.gvm", "toolchain.supported_release", "toolchain.version_policy",
    }


def test_an_unreachable_host_is_a_row(rows):
    row = rows["gone"]
    assert (row["reachable"], row["verdict"], row["results"]) == (False, "inconclusive", [])


def test_the_other_architecture(rows):
    row = rows["edge"]
    assert (row["platform"]["arch"], row["platform"]["goarch"]) == ("aarch64", "arm64")
    assert ("binary.arch_match", "api") in found(row, "pass")
    assert serious(row, "error") == set()


def test_no_secret_is_in_any_file_of_the_run(report):
    leaks = [path for path in REPORTS.rglob("*") if path.is_file() and b"a-word-nobody-knows" in path.read_bytes()]
    assert leaks == []
