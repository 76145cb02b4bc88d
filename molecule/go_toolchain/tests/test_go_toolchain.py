# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on the hosts that converge has left, in this order: used, switched, pruned, removed, refused, killed."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import pytest
from conftest import INVENTORY, ROOT, WORK, environment, prepared, program, start

HOSTS = ["gopher", "gopher-edge"]
PASSING = {"present", "version_policy", "supported_release", "arch_match", "conflict", "goroot", "gopath", "env_drift", "ownership", "gvm"}
ASK = "command -v go; go version; echo GOROOT=${GOROOT-unset} GOPATH=${GOPATH-unset}"
# Each kind of shell; deploy is an ordinary user of the test hosts, whose login shell is bash.
SHELLS = {
    "login": f"bash -lc '{ASK}'", "login of dash": f"env -i HOME=/root sh -lc '{ASK}'", "non-login": ASK,
    "login of a user": f"su - deploy -c '{ASK}'", "sudo": f"sudo -n sh -c '{ASK}'",
    "systemd": f"systemd-run --quiet --wait --pipe sh -c '{ASK.replace('$', '$$')}'",
}


def answers(on, host, shells=None):
    return {kind: on(host, command).split("\n") for kind, command in SHELLS.items() if shells is None or kind in shells}


def archives():
    return prepared()["scenario_archives"]


@pytest.mark.needs_gvm
@pytest.mark.parametrize("host", HOSTS)
def test_every_shell_has_it(on, host):
    arch = "arm64" if "edge" in host else "amd64"
    for kind, (path, version, variables) in answers(on, host).items():
        assert version == f"go version go1.27.3 linux/{arch}", kind
        assert path in ("/usr/local/bin/go", "/opt/gvm/gos/go1.27.3/bin/go"), kind
        assert variables == "GOROOT=unset GOPATH=unset", kind


@pytest.mark.needs_gvm
def test_a_unit_has_it_by_its_environment_file(on):
    found = on("gopher", "systemd-run --quiet --wait --pipe -p EnvironmentFile=/etc/default/go sh -c 'command -v go; go env GOROOT'")
    assert found.split("\n") == ["/opt/gvm/gos/go1.27.3/bin/go", "/opt/gvm/gos/go1.27.3"]


@pytest.mark.needs_gvm
def test_no_start_file_of_anybody_was_touched(listing):
    for host in HOSTS:
        before = (WORK / f"{host}.before").read_text().strip().split("\n")
        now = set(listing(host, "/etc", "/root", "/home").split("\n"))
        assert [line for line in before if re.search(r"(^|  )/(etc|root|home)/", line) and " d " not in line and line not in now] == []


@pytest.mark.needs_gvm
def test_the_verification_passes(tmp_path):
    done = subprocess.run(
        [program("ansible-playbook"), "preflight.yml", "-i", INVENTORY, "--limit", ",".join(HOSTS), "-e",
         json.dumps({"preflight_report_dir": str(tmp_path), "preflight_checks": ["toolchain.*"]})],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False, stdin=subprocess.DEVNULL,
        env=environment())
    assert done.returncode == 0, done.stdout
    for row in json.loads((tmp_path / "report.json").read_text())["hosts"]:
        found = {(line["id"].split(".")[1], line["status"]) for line in row["results"] if line["status"] not in ("notselected",)}
        assert found == {(name, "pass") for name in PASSING}, row["name"]


@pytest.mark.needs_gvm
def test_three_versions_and_another_default(predicted, on):
    done = predicted("gopher", go_toolchain_versions=["1.26.4", "1.27.3", "1.21.13"], go_toolchain_archive_dir=archives())
    assert {"/opt/gvm/gos/go1.26.4", "/opt/gvm/gos/go1.21.13", "/opt/gvm/environments/default", "/usr/local/bin/go",
            "/etc/profile.d/zz-go-toolchain.sh", "/etc/default/go"} <= set(done.paths)
    for kind, (_path, version, _variables) in answers(on, "gopher").items():
        assert version == "go version go1.26.4 linux/amd64", kind
    assert on("gopher", "for go in /opt/gvm/gos/*/bin/go; do $go env GOVERSION; done").split() == ["go1.21.13", "go1.26.4", "go1.27.3"]


@pytest.mark.needs_gvm
def test_back_and_pruned_but_for_what_runs(predicted, on):
    on("gopher", "nohup sh -c 'sleep 300 | /opt/gvm/gos/go1.21.13/bin/gofmt' >/dev/null 2>&1 </dev/null &")
    try:
        done = predicted("gopher", go_toolchain_versions=["1.27.3"], go_toolchain_prune=True)
        assert "go1.21.13 stays: process " in done.output and "runs /opt/gvm/gos/go1.21.13/bin/gofmt" in done.output
        assert on("gopher", "ls /opt/gvm/gos").split() == ["go1.21.13", "go1.27.3"]
        for kind, (_path, version, _variables) in answers(on, "gopher").items():
            assert version == "go version go1.27.3 linux/amd64", kind
    finally:
        on("gopher", "for p in /proc/[0-9]*; do case $(readlink $p/exe) in */gos/go1.21.13/bin/gofmt) kill ${p#/proc/};; esac; done")


@pytest.mark.needs_gvm
def test_a_user_with_a_go_of_their_own(predicted, role, on, listing):
    places = ("/etc", "/usr/local", "/root", "/home", "/var/lib")
    before = listing("gopher", *places)
    theirs = {"go_toolchain_user": "builder", "go_toolchain_rc_files": True, "go_toolchain_environment_file": False,
              "go_toolchain_gopath": "~/code", "go_toolchain_archive_dir": archives(), "go_toolchain_versions": ["1.26.4"],
              "go_toolchain_consent": []}
    done = predicted("gopher", **theirs)
    assert [path for path in done.paths if not path.startswith("/home/builder/")] == [
        "/var/lib/goready-go-made-builder.json", "/var/lib/goready-go-environment-builder.json"]
    # Debian's ~/.profile puts ~/.local/bin, where the link is, before what the block at its top has put first.
    expected = ["go version go1.26.4 linux/amd64", "GOROOT=unset GOPATH=/home/builder/code"]
    place, *found = on("gopher", f"su - builder -c '{ASK}'").split("\n")
    assert (place, found) == ("/home/builder/.local/bin/go", expected)
    # Debian's ~/.bashrc returns where a shell is not interactive: the block stands before that.
    place, *found = on("gopher", f"cd / && setpriv --reuid=builder --regid=builder --clear-groups env -i HOME=/home/builder SSH_CLIENT=x "
                                 f"PATH=/usr/bin:/bin bash -c '{ASK}'").split("\n")
    assert (place, found) == ("/home/builder/.gvm/gos/go1.26.4/bin/go", expected)
    assert on("gopher", "go version") == "go version go1.27.3 linux/amd64"
    assert on("gopher", "find /home/builder ! -user builder ! -type l") == ""
    gone = predicted("gopher", **theirs, go_toolchain_state="absent")
    assert gone.changes
    assert listing("gopher", *places) == before


@pytest.mark.needs_gvm
def test_a_folder_that_cannot_be_written_leaves_everything_as_it_was(role, on, listing):
    before = listing("gopher", "/etc", "/usr/local", "/var/lib")
    on("gopher", "mount --bind /etc /etc && mount -o remount,bind,ro /etc")
    try:
        done = role("gopher", go_toolchain_environment_file=False, go_toolchain_links_dir="/usr/local/sbin")
        assert done.rc == 1
        assert "Read-only file system: nothing was changed" in done.output
    finally:
        on("gopher", "umount /etc")
    assert listing("gopher", "/etc", "/usr/local", "/var/lib") == before


@pytest.mark.needs_gvm
def test_without_consent_nothing_is_removed(role, listing):
    before = listing("gopher")
    refused = role("gopher", go_toolchain_state="absent", go_toolchain_consent=[])
    assert refused.rc == 1 and refused.changed == 0
    assert "go_toolchain_consent (or preflight_consent) lacks the word install" in refused.output
    assert "/usr/local/bin/go, " in refused.output
    said = role("gopher", "--check", go_toolchain_state="absent", go_toolchain_consent=[])
    assert said.rc == 0 and said.changed > 0
    assert "Warning: without check mode this fails" in said.output
    assert said.paths == role("gopher", "--check", go_toolchain_state="absent").paths
    assert listing("gopher") == before


@pytest.mark.needs_gvm
@pytest.mark.parametrize("host", HOSTS)
def test_removal_restores_the_host(predicted, listing, on, host):
    done = predicted(host, go_toolchain_state="absent")
    assert {"/opt/gvm", "/usr/local/bin/go", "/etc/profile.d/zz-go-toolchain.sh"} <= set(done.paths)
    assert listing(host) == (WORK / f"{host}.before").read_text().strip()


def test_without_consent_nothing_is_changed(role, listing):
    before = listing("gopher")
    refused = role("gopher", go_toolchain_consent=[])
    assert refused.rc == 1 and refused.changed == 0
    assert "go_toolchain_consent (or preflight_consent) lacks the word install" in refused.output
    assert "/opt/gvm/gos/go1.27.3" in refused.output
    said = role("gopher", "--check", go_toolchain_consent=[])
    assert said.rc == 0 and said.changed > 0
    assert "Warning: without check mode this fails" in said.output
    assert said.paths == role("gopher", "--check").paths
    assert listing("gopher") == before


def test_bad_input_is_told_all_at_once_before_any_change(role, listing):
    before = listing("gopher")
    done = role("gopher", go_toolchain_versions=["1.26"], go_toolchain_source=["ftp://x"], go_toolchain_gopath="go")
    assert done.rc == 1 and done.changed == 0
    for words in ("'1.26' is a release line and no exact version; it could mean 1.26.0, 1.26.1", "go_toolchain_source[0]: 'ftp://x'",
                  "go_toolchain_gopath: 'go'"):
        assert words in " ".join(done.output.split()), words
    assert listing("gopher") == before


def test_a_program_in_the_way_is_told_before_any_change(role, on, listing):
    on("gopher", "touch /usr/local/bin/go")
    try:
        before = listing("gopher")
        done = role("gopher")
        assert done.rc == 1 and done.changed == 0
        assert "/usr/local/bin/go is a file: a link goes there only where none or another link is" in " ".join(done.output.split())
        assert listing("gopher") == before
    finally:
        on("gopher", "rm /usr/local/bin/go")


def test_links_and_profile_for_a_go_that_gvm_did_not_install(on, listing):
    before = listing("gopher")

    def call(**arguments):
        done = subprocess.run([program("ansible"), "gopher", "-i", INVENTORY, "-m", "goready.preflight.go_environment", "-a",
                               json.dumps(arguments)], cwd=ROOT, text=True, capture_output=True, timeout=120, check=False,
                              env=environment())
        assert done.returncode == 0, done.stdout + done.stderr

    on("gopher", "mkdir /srv/sdk && tar -xzf /srv/go1.27.3.linux-amd64.tar.gz -C /srv/sdk --no-same-owner")
    try:
        call(goroot="/srv/sdk/go", links_dir="/usr/local/bin", profile="/etc/profile.d/zz-go-toolchain.sh")
        for kind, (_path, version, _variables) in answers(on, "gopher").items():
            assert version == "go version go1.27.3 linux/amd64", kind
        call(state="absent")
        assert listing("gopher") == before
    finally:
        on("gopher", "rm -rf /srv/sdk")


@pytest.mark.needs_gvm
def test_killed_in_the_middle_the_next_run_ends_right_without_apt(role, on, listing, tmp_path):
    before = (WORK / "gopher.before").read_text().strip()
    run = start("gopher", tmp_path)
    marker = "/opt/gvm/.goready/go1.27.3.unfinished"
    for _attempt in range(400):
        if on("gopher", f"test -e {marker} && echo there", check=False):
            break
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.1)
    # The module first, while gvm unpacks; then ansible-playbook, which would tell of it.
    on("gopher", f"kill -9 $(sed -E 's/.*\"pid\": ([0-9]+).*/\\1/' {marker})")
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    assert on("gopher", f"test -e {marker} && echo there") == "there"
    # No network for apt: the packages are there.
    on("gopher", "echo 'Acquire::http::Proxy \"http://127.0.0.1:9\";' > /etc/apt/apt.conf.d/99broken")
    try:
        done = role("gopher")
    finally:
        on("gopher", "rm /etc/apt/apt.conf.d/99broken")
    assert done.rc == 0, done.output
    assert on("gopher", "go version") == "go version go1.27.3 linux/amd64"
    assert role("gopher").changed == 0
    assert role("gopher", go_toolchain_state="absent").rc == 0
    assert listing("gopher") == before


@pytest.mark.needs_gvm
def test_the_remediation_loop_installs_what_is_missing(role, listing, tmp_path):
    """The tests before this one have left no Go: verification finds that, and one command mends it."""
    before = (WORK / "gopher.before").read_text().strip()
    assert listing("gopher") == before
    done = subprocess.run(
        [program("ansible-playbook"), "remediate.yml", "-i", INVENTORY, "--limit", "gopher", "-e", f"@{WORK}/go_toolchain.json", "-e",
         json.dumps({"preflight_report_dir": str(tmp_path), "preflight_checks": ["toolchain.*"], "preflight_consent": ["install"]})],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False, stdin=subprocess.DEVNULL,
        env=environment())
    assert done.returncode == 0, done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    (row,) = report["hosts"]
    assert report["remediation"]["summary"]["not_fixed"] == 0
    assert ("toolchain.present", "fixed", "go_toolchain") in {(one["check"], one["outcome"], one["role"]) for one in row["remediation"]}
    assert {"path": "/opt/gvm", "action": "created"}.items() <= next(one for one in row["changes"] if one["path"] == "/opt/gvm").items()
    assert role("gopher").changed == 0
    assert role("gopher", go_toolchain_state="absent").rc == 0
    assert listing("gopher") == before
