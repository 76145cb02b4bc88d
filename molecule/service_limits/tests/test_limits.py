# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits on real hosts: those of converge first, then every service that does not bear what it is given."""
from __future__ import annotations

import json
import subprocess
import time

import pytest
import scenario

CONSENT = {"consent": ["restart"]}
DROP_IN = "50-goready-limits.conf"


@pytest.mark.parametrize(("host", "unit", "least"), [
    ("limits", "api", 16384), ("limits", "prometheus-node-exporter", 8192), ("limits", "plain", 8192),
    ("limits", "worker@one", 8192), ("limits", "worker@two", 8192), ("limits-edge", "api", 16384), ("limits-edge", "plain", 8192),
])
def test_the_running_process_has_the_limit(soft, host, unit, least):
    assert soft(host, unit) >= least


def test_memory_and_its_gomemlimit(shell):
    environ = shell("limits", "tr '\\0' '\\n' < /proc/$(systemctl show --property=MainPID --value heap)/environ")
    assert "GOMEMLIMIT=460MiB" in environ.splitlines()
    shown = shell("limits", "systemctl show --property=MemoryMax,TasksMax heap").splitlines()
    assert sorted(shown) == [f"MemoryMax={512 << 20}", "TasksMax=40000"]


def test_a_service_that_rests_is_not_started(shell):
    assert shell("limits", "systemctl is-active resting || true") == "inactive"
    assert shell("limits", "systemctl show --property=LimitNOFILESoft --value resting") == "8192"


def role(host, *arguments, **variables):
    done = subprocess.run(**scenario.command("molecule/service_limits/converge.yml", "--limit", host, *arguments, **variables), timeout=300,
                          check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("host", ["limits", "limits-edge"])
def test_removal_restores_and_the_prediction_holds(host, limits, shell):
    """Away, back and away again: each time what check mode said is what happens, and in the end /etc is as it was."""
    services = scenario.connect(host).ansible.get_variables()["service_limits_services"]
    # An emulated host takes its time.
    for state in ("absent", "present", "absent") if host == "limits" else ("absent",):
        options = {"state": state, "accept_unenforced": True, **CONSENT}
        predicted = limits(host, services, check=True, **options)
        done = limits(host, services, **options)
        assert done["changes"] == predicted["changes"] != []
        assert not done["failed"]
    assert not limits(host, services, **options)["changed"]
    shell(host, "find /etc -path /etc/mtab -prune -o -printf '%p %y %m %u %g %l\\n' | LC_ALL=C sort | diff - /root/before.list")
    shell(host, "find /etc -type f -exec sha256sum {} + | LC_ALL=C sort | diff - /root/before.sums")


REFUSED = {
    "dies": ({"nofile": 8192}, "dies.service crashes again and again", "the drop-in was taken back; dies.service runs again"),
    "ends": ({"nofile": 8192}, "ends.service failed: failed (failed), result exit-code, its program ended with status 4", "runs again"),
    "never": ({"nofile": 8192}, "never.service is not active after 8 s: it is activating (start)", "runs again"),
    "sick": ({"nofile": 8192, "health": "http://127.0.0.1:8090/"}, "http://127.0.0.1:8090/ is not healthy after", "runs again"),
    "wrapped": ({"nofile": 8192}, "wrapped.service runs with 2048:2048 open files", "although its unit says LimitNOFILE=8192:524288"),
    "later": ({"nofile": 8192}, "later.service.d/99-x.conf:2 overrides the drop-in", "LimitNOFILE=2048:4096"),
    "ghost": ({"nofile": 8192}, "ghost.service does not exist on this host", ""),
    "masked": ({"nofile": 8192}, "masked.service is masked: nothing can start it", ""),
    "api": ({"nofile": 65536}, "65536 open files cannot be had here: systemd runs without CAP_SYS_RESOURCE", "20000 (/proc/1/limits)"),
    "plain": ({"nofile": 1 << 30}, "1073741824 open files are above fs.nr_open", "service_limits_raise_nr_open: true raises it"),
    "heap": ({"memory_max": "1M"}, "memory_max: 1M is not above what heap.service uses now", ""),
    "envy": ({"memory_max": "512M", "gomemlimit": "400MiB"}, "GOMEMLIMIT=900MiB of /etc/default/envy overrides", ""),
}


def test_what_does_not_come_out_is_taken_back_and_hides_nothing(limits, shell, soft):
    running = [name for name in REFUSED if name not in ("ghost", "masked")]
    before = {name: soft("limits", name) for name in running}
    services = [{"name": name, **wanted} for name, (wanted, *_said) in REFUSED.items()]
    done = limits("limits", [*services, {"name": "family", "nofile": 8192}], timeout=8, accept_unenforced=True, **CONSENT)
    assert done["failed"]
    assert done["msg"].startswith("12 of 13 services did not get their limits. dies: dies.service crashes")
    reports = {one["name"]: one for one in done["services"]}
    for name, (_wanted, *said) in REFUSED.items():
        assert reports[name]["status"] == "failed", name
        assert all(one in reports[name]["failure"] for one in said), reports[name]["failure"]
    assert reports["family"]["status"] == "effective" and soft("limits", "family") == 8192
    assert {name: soft("limits", name) for name in running} == before
    assert "drop-in" in done["msg"] and "[redacted]" in done["msg"] and "a-word-nobody-knows" not in json.dumps(done)
    assert [one["path"] for one in done["changes"] if one["path"].startswith("/")] == [
        "/etc/systemd/system/family.service.d", f"/etc/systemd/system/family.service.d/{DROP_IN}"]
    assert shell("limits", "systemctl is-active dies ends never sick wrapped").split() == ["active"] * 5
    assert not limits("limits", [{"name": "family"}], state="absent", **CONSENT)["failed"]


def test_without_consent_nothing_happens(limits, shell):
    service = [{"name": "plain", "nofile": 8192}]
    pid = shell("limits", "systemctl show --property=MainPID --value plain")
    done = limits("limits", service)
    assert done["failed"] and done["changes"] == [] and done["consent_missing"] == ["restart"]
    assert done["msg"] == ("plain.service has to be restarted, which needs consent: add restart to service_limits_consent or "
                           "preflight_consent")
    assert limits("limits", service, check=True)["consent_missing"] == ["restart"]
    assert shell("limits", "systemctl show --property=MainPID --value plain") == pid
    assert shell("limits", "ls /etc/systemd/system/plain.service.d 2>/dev/null || echo none") == "none"


def test_faults_of_the_declaration_are_told_together(limits):
    done = limits("limits", [{"name": "api", "LimitNOFILESoft": 65536}, {"name": "plain", "nofile": "64K"}], **CONSENT)
    assert done["failed"] and "services" not in done
    assert "services[0] (api): LimitNOFILESoft: systemd has no such directive" in done["msg"]
    assert "services[1] (plain): nofile: '64K' is no limit of open files" in done["msg"]


def test_live_raises_the_processes_that_run(limits, shell, soft):
    service = [{"name": "family", "nofile": "8192:9000"}]
    pids = shell("limits", "cat /sys/fs/cgroup/system.slice/family.service/cgroup.procs").split()
    assert len(pids) == 2
    predicted = limits("limits", service, apply="live", check=True)
    done = limits("limits", service, apply="live")
    assert done["changes"] == predicted["changes"]
    assert done["changes"][-1] == {"path": "unit family.service", "action": "raised", "detail": "open files of its running processes"}
    assert shell("limits", "cat /sys/fs/cgroup/system.slice/family.service/cgroup.procs").split() == pids
    for pid in pids:
        assert int(shell("limits", f"awk '/open files/ {{print $4}}' /proc/{pid}/limits")) == 8192
    assert any("is not covered" in one for one in done["services"][0]["messages"])
    assert not limits("limits", service, apply="live")["changed"]
    kept = limits("limits", service, apply="live", state="absent")["services"][0]
    assert kept["messages"] == ["family.service keeps the limits that it runs with until its next start"]


def test_next_start_waits_and_a_later_restart_completes_it(limits, soft):
    service = [{"name": "plain", "nofile": 8192}]
    done = limits("limits", service, apply="next_start")
    assert done["services"][0]["status"] == "configured" and soft("limits", "plain") == 1024
    assert any("plain.service still runs with 1024:20000 open files" in one for one in done["services"][0]["messages"])
    assert not limits("limits", service, apply="next_start")["changed"]
    done = limits("limits", service, **CONSENT)
    assert [one["path"] for one in done["changes"]] == ["unit plain.service"] and soft("limits", "plain") == 8192
    lowered = limits("limits", [{"name": "plain", "nofile": 2048}], lower=True, **CONSENT)
    assert lowered["services"][0]["status"] == "effective" and soft("limits", "plain") == 2048
    assert not limits("limits", [{"name": "plain"}], state="absent", **CONSENT)["failed"]


def test_an_alias_is_its_unit(limits):
    done = limits("limits", [{"name": "sshd", "nofile": 8192}], apply="next_start", check=True)
    assert done["services"][0]["drop_in"] == f"/etc/systemd/system/ssh.service.d/{DROP_IN}"


def test_a_read_only_etc_is_told(limits, shell):
    shell("limits", "mount --bind /etc/systemd/system /etc/systemd/system && mount -o remount,bind,ro /etc/systemd/system")
    try:
        done = limits("limits", [{"name": "plain", "nofile": 8192}], **CONSENT)
    finally:
        shell("limits", "umount /etc/systemd/system")
    assert done["failed"] and not done["changed"] and "Read-only file system" in done["services"][0]["failure"]
    assert shell("limits", "ls /var/lib/goready-preflight 2>/dev/null || echo none") == "none"


def test_the_kernels_ceiling_is_raised_with_consent(limits, shell):
    """The file stands in for /proc/sys/fs/nr_open in this host's mount namespace: the real one is the machine's."""
    shell("limits", "echo 10000 > /run/nr_open && mount --bind /run/nr_open /proc/sys/fs/nr_open")
    try:
        service = [{"name": "plain", "nofile": 16384}]
        refused = limits("limits", service, **CONSENT)
        assert "16384 open files are above fs.nr_open (10000)" in refused["msg"]
        options = {"raise_nr_open": True, "consent": ["restart", "sysctl"]}
        assert limits("limits", service, raise_nr_open=True, **CONSENT)["consent_missing"] == ["sysctl"]
        predicted = limits("limits", service, check=True, **options)
        done = limits("limits", service, **options)
        assert done["changes"] == predicted["changes"] and not done["failed"]
        assert [one["path"] for one in done["changes"]][:2] == ["/etc/sysctl.d/50-goready-fs.conf", "sysctl fs.nr_open"]
        assert shell("limits", "cat /run/nr_open; tail -1 /etc/sysctl.d/50-goready-fs.conf").split("\n") == ["16384", "fs.nr_open = 16384"]
        assert not limits("limits", service, **options)["changed"]
        gone = limits("limits", service, state="absent", **CONSENT)
        assert "/etc/sysctl.d/50-goready-fs.conf" in [one["path"] for one in gone["changes"]]
    finally:
        shell("limits", "umount /proc/sys/fs/nr_open; rm /run/nr_open")


# A systemctl that stops at a point of the way, for the tests that kill the module there.
STOPS = """mkdir -p /opt/stops && rm -f /run/reached && cat > /opt/stops/systemctl <<'END'
#!/bin/sh
case "$*" in *{verb}*) {before}: > /run/reached; sleep 30; exit 1;; esac
exec /usr/bin/systemctl "$@"
END
chmod +x /opt/stops/systemctl"""
PATH = "/opt/stops:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture
def killed(begin, shell):
    """A call of which the module is killed (SIGKILL) where it calls systemctl with a verb; the service manager may have been
    told already."""

    def run(service, verb, *, told):
        real = '/usr/bin/systemctl "$@"; ' if told else ""
        shell("limits", STOPS.format(verb=verb, before=real))
        call = begin("limits", [service], path=PATH, **CONSENT)
        end = time.monotonic() + 60
        while shell("limits", "test -e /run/reached && echo yes || echo no") == "no":
            assert time.monotonic() < end
            time.sleep(0.2)
        pid = shell("limits", "sed 's/.*PID \\([0-9]*\\).*/\\1/' /run/goready-preflight.lock")
        assert shell("limits", f"cat /proc/{pid}/comm") == "python3"
        shell("limits", f"kill -KILL {pid}")
        assert call.end()["failed"]

    return run


@pytest.mark.parametrize(("verb", "told"), [("daemon-reload", False), ("daemon-reload", True), ("restart", False), ("restart", True)])
def test_killed_and_run_again(killed, limits, shell, soft, verb, told):
    service = {"name": "plain", "nofile": 8192}
    killed(service, verb, told=told)
    done = limits("limits", [service], **CONSENT)
    assert not done["failed"] and f"/etc/systemd/system/plain.service.d/{DROP_IN}" in done["recovered"]
    assert soft("limits", "plain") == 8192
    assert not limits("limits", [service], **CONSENT)["changed"]
    assert shell("limits", "ls /var/lib/goready-preflight 2>/dev/null || echo none") == "none"
    assert not limits("limits", [{"name": "plain"}], state="absent", **CONSENT)["failed"]
    assert soft("limits", "plain") == 1024
    assert shell("limits", "ls /etc/systemd/system/plain.service.d 2>/dev/null || echo none") == "none"


def test_killed_while_the_service_was_down(killed, limits, shell, soft):
    """The unit fails after the kill, with nobody there to bring it back: the next call does, whatever it is called for."""
    killed({"name": "ends", "nofile": 8192}, "restart", told=True)
    time.sleep(3)
    assert shell("limits", "systemctl is-active ends || true") == "failed"
    done = limits("limits", [{"name": "api", "nofile": 64}], **CONSENT)
    assert not done["failed"] and "unit ends.service" in done["recovered"]
    assert shell("limits", "systemctl is-active ends") == "active" and soft("limits", "ends") == 1024
    assert shell("limits", "ls /etc/systemd/system/ends.service.d 2>/dev/null || echo none") == "none"
    assert not limits("limits", [{"name": "api"}], state="absent", **CONSENT)["failed"]


def test_two_at_once(begin, limits, shell, soft):
    """`slow` takes six seconds to start: the second call waits for the first, or says who is at it."""
    if soft("limits", "slow") >= 8192:
        shell("limits", "systemctl restart slow")
    first = begin("limits", [{"name": "slow", "nofile": 8192}], **CONSENT)
    shell("limits", "for unused in $(seq 300); do test -e /var/lib/goready-preflight/service_limits.restarts && exit 0; sleep 0.1; "
                    "done; exit 1")
    busy = limits("limits", [{"name": "plain", "nofile": 8192}], lock_timeout=0.5, **CONSENT)
    second = limits("limits", [{"name": "slow", "nofile": 8192}], **CONSENT)
    assert "another remediation changes this host: service_limits, PID" in busy["msg"]
    assert not first.end()["failed"] and not second["failed"] and second["changes"] == []
    assert soft("limits", "slow") == 8192
    assert not limits("limits", [{"name": "slow"}], state="absent", apply="next_start")["failed"]
