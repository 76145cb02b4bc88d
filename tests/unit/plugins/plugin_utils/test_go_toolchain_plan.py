# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import go_toolchain as on_the_host
from ansible_collections.goready.preflight.plugins.plugin_utils import go_toolchain

ROOT = Path(__file__).resolve().parents[4]
KNOWN = ("1.20.14", "1.26.4", "1.27.0", "1.27.2")
SHA = "7b207f9f1104256cbc25657fdf08e87074958c786a94c8fc3959cbfc57dee665"


def values(**changed: Any) -> dict[str, Any]:
    return {**{name: spec["default"] for name, spec in on_the_host.ARGUMENTS.items()}, "versions": ["1.27.3"], **changed}


def host(**changed: Any) -> dict[str, Any]:
    return {"machine": "x86_64", "arch": "amd64", "home": "", "gvm_root": "/opt/gvm", "gvm": False, "half": False, "packages": [],
            "rc_files": [], "made": {"gvm_root": "", "versions": []}, "versions": [], "file_used_by": [], **changed}


def there(**used_by: list[str]) -> list[dict[str, Any]]:
    return [{"version": name.removeprefix("v").replace("_", "."), "used_by": users} for name, users in used_by.items()]


@pytest.mark.parametrize(("changed", "fault"), [
    pytest.param({"versions": []}, "go_toolchain_versions: it is empty; expected at least one exact version such as 1.27.2", id="none"),
    pytest.param({"versions": ["1.27"]}, "go_toolchain_versions[0]: '1.27' is a release line and no exact version; it could mean "
                 "1.27.0, 1.27.2", id="line"),
    pytest.param({"versions": ["1.3"]}, "go_toolchain_versions[0]: '1.3' is a release line and no exact version; this release of the "
                 "collection knows no version of it (quote it: YAML reads 1.30 as the number 1.3)", id="unknown line"),
    pytest.param({"versions": ["1.27.3", "latest"]}, "go_toolchain_versions[1]: 'latest' is no Go version (like go1.27.3 or "
                 "go1.27rc1); expected an exact version such as 1.27.3", id="word"),
    pytest.param({"versions": ["go1.27.3-custom"]}, "go_toolchain_versions[0]: 'go1.27.3-custom' is not a version that upstream "
                 "releases; expected one such as 1.27.3", id="vendor"),
    pytest.param({"default": "1.26.4"}, "go_toolchain_default: '1.26.4' is not allowed; expected one of go_toolchain_versions (1.27.3)",
                 id="default elsewhere"),
    pytest.param({"default": "1.27"}, "go_toolchain_default: '1.27' is a release line and no exact version; it could mean 1.27.0, "
                 "1.27.2", id="default line"),
    pytest.param({"gvm_root": "/opt/my gvm"}, "go_toolchain_gvm_root: '/opt/my gvm' is not allowed; expected an absolute path of "
                 "letters, digits and . _ @ + -", id="blank"),
    pytest.param({"links_dir": "/usr/../bin"}, "go_toolchain_links_dir: '/usr/../bin' is not allowed; expected an absolute path of "
                 "letters, digits and . _ @ + -", id="dots"),
    pytest.param({"profile_path": "/etc/profile.d/go"}, "go_toolchain_profile_path: '/etc/profile.d/go' is not allowed; expected a name "
                 "that ends in .sh: /etc/profile sources no other", id="profile"),
    pytest.param({"gopath": "go"}, "go_toolchain_gopath: 'go' is not allowed; expected an absolute path or one that begins with ~/",
                 id="gopath"),
    pytest.param({"gopath": "~/$(id)"}, "go_toolchain_gopath: '~/$(id)' is not allowed; expected an absolute path or one that begins "
                 "with ~/", id="gopath with a command"),
    pytest.param({"gvm_commit": "master"}, "go_toolchain_gvm_commit: 'master' is not allowed; expected a commit of 40 hexadecimal digits",
                 id="commit"),
    pytest.param({"gvm_source": "--upload-pack=x"}, "go_toolchain_gvm_source: '--upload-pack=x' is not allowed; expected the URL or "
                 "path of a git repository or bundle", id="option"),
    pytest.param({"user": "a b"}, "go_toolchain_user: 'a b' is not allowed; expected the name of a user of the host", id="user"),
    pytest.param({"source": []}, "go_toolchain_source: [] is not allowed; expected at least one URL", id="no source"),
    pytest.param({"source": ["ftp://x/"]}, "go_toolchain_source[0]: 'ftp://x/' is no base URL (http://HOST/PATH, https://HOST/PATH or "
                 "file:///PATH)", id="scheme"),
    pytest.param({"archive_dir": "/nowhere"}, "go_toolchain_archive_dir: '/nowhere' is not allowed; expected a folder on the controller",
                 id="archive_dir"),
    pytest.param({"checksums": {"1.27": SHA}}, "go_toolchain_checksums: '1.27' is not allowed; expected names such as "
                 "1.27.3-linux-amd64 or go1.27.3.linux-amd64.tar.gz", id="checksum's name"),
    pytest.param({"checksums": {"1.27.3-linux-amd64": "abc"}}, "go_toolchain_checksums[1.27.3-linux-amd64]: 'abc' is no SHA-256 (64 hex "
                 "digits, with or without sha256: before them)", id="checksum"),
    pytest.param({"proxy": "proxy:3128"}, "go_toolchain_proxy: 'proxy:3128' is not allowed; expected http://HOST:PORT or "
                 "https://HOST:PORT", id="proxy"),
    pytest.param({"proxy": "http://me:secret@proxy:3128"}, "go_toolchain_proxy: a password in it would be seen in the host's list of "
                 "processes; expected a URL without one", id="proxy with a password"),
    pytest.param({"retries": 21}, "go_toolchain_retries: 21 is not allowed; expected a whole number from 0 to 20", id="retries"),
    pytest.param({"timeout": 5}, "go_toolchain_timeout: 5 is not allowed; expected a whole number from 10 to 7200 seconds", id="timeout"),
    pytest.param({"packages": ["git", "-y"]}, "go_toolchain_packages: '-y' is not allowed; expected names of Debian packages",
                 id="package"),
    pytest.param({"consent": ["yes"]}, "go_toolchain_consent: 'yes' is not one of restart, firewall, sysctl, install", id="consent"),
])
def test_one_fault_one_sentence(changed, fault):
    assert go_toolchain.faults(values(**changed), KNOWN) == [fault]


def test_all_faults_at_once_and_none_for_good_ones():
    assert len(go_toolchain.faults(values(versions=["1.27"], user="a b", timeout=1), KNOWN)) == 3
    assert go_toolchain.faults(values(state="absent", versions=[]), KNOWN) == []
    assert go_toolchain.faults(values(
        versions=["go1.27.3", "1.20.1", "1.28rc1"], default="1.27.3", gopath="~/go", source=["file:///srv", "https://m.example/go/"],
        proxy="http://proxy.example:3128", checksums={"go1.27.3.linux-arm64.tar.gz": "sha256:" + SHA}), KNOWN) == []


def test_the_collections_own_table_is_read():
    known = go_toolchain.known_versions(go_toolchain.CHECKSUMS.read_text())
    assert "1.26.4" in known
    with pytest.raises(ValueError, match=r"it could mean 1\.26\.0, 1\.26\.1"):
        go_toolchain.exact("1.26", known)


@given(st.text())
def test_any_text_is_an_exact_version_or_a_fault(text):
    try:
        found = go_toolchain.exact(text, KNOWN)
    except ValueError as exc:
        assert str(exc)
    else:
        assert go_toolchain.exact(found, KNOWN) == found


def test_a_fresh_host():
    plan, faults = go_toolchain.decide(values(versions=["1.27.3", "1.26.4"], default="1.26.4", prune=True), host(packages=["git"]))
    assert faults == []
    assert plan["installs"] == [{"version": "1.27.3", "default": False, "archive": "", "checksum": ""},
                                {"version": "1.26.4", "default": True, "archive": "", "checksum": ""}]
    assert plan["environment"] == {"goroot": "/opt/gvm/gos/go1.26.4", "links_dir": "/usr/local/bin", "environment_file": "",
                                   "profile": "/etc/profile.d/zz-go-toolchain.sh", "gopath": "", "rc_files": []}
    assert plan["claim"] == {"gvm_root": "/opt/gvm", "versions": ["1.27.3", "1.26.4"]}
    assert (plan["packages"], plan["remove"], plan["kept"]) == (["git"], [], [])
    assert (plan["needs_consent"], plan["consent"]) == (True, False)
    assert plan["shells"] == ["login", "non_login", "sudo", "systemd"]


def test_a_gvm_that_was_there_is_not_claimed():
    plan, _faults = go_toolchain.decide(values(), host(gvm=True, versions=there(v1_27_3=[])))
    assert plan["claim"] == {"gvm_root": "", "versions": []}


def test_prune_keeps_what_is_used():
    plan, faults = go_toolchain.decide(values(prune=True), host(gvm=True, versions=there(v1_27_3=[], v1_26_4=[], v1_21_13=["process 7"])))
    assert faults == []
    assert plan["remove"] == ["1.26.4"]
    assert plan["kept"] == [{"version": "1.21.13", "used_by": ["process 7"]}]
    assert go_toolchain.decide(values(), host(gvm=True, versions=there(v1_26_4=[])))[0]["remove"] == []


def test_a_named_user_gets_a_go_of_their_own():
    theirs = host(home="/home/d", gvm_root="/home/d/.gvm", rc_files=["/home/d/.profile", "/home/d/.bashrc"])
    plan, _faults = go_toolchain.decide(values(user="d", rc_files=True), theirs)
    assert plan["environment"] == {"goroot": "/home/d/.gvm/gos/go1.27.3", "links_dir": "/home/d/.local/bin", "environment_file": "",
                                   "profile": "", "gopath": "", "rc_files": ["/home/d/.profile", "/home/d/.bashrc"]}
    assert not plan["needs_consent"]
    assert plan["shells"] == ["login", "non_login"]
    assert go_toolchain.decide(values(user="d"), {**theirs, "packages": ["git"]})[0]["needs_consent"]


@pytest.mark.parametrize(("made", "versions", "remove", "gvm_goes"), [
    pytest.param({"gvm_root": "/opt/gvm", "versions": ["1.27.3"]}, there(v1_27_3=[]), ["1.27.3"], True, id="all ours"),
    pytest.param({"gvm_root": "/opt/gvm", "versions": ["1.27.3"]}, [], [], True, id="gvm alone is left"),
    pytest.param({"gvm_root": "", "versions": ["1.27.3"]}, there(v1_27_3=[]), ["1.27.3"], False, id="gvm was there"),
    pytest.param({"gvm_root": "/opt/gvm", "versions": ["1.27.3"]}, there(v1_27_3=[], v1_9_7=[]), ["1.27.3"], False, id="another's"),
    pytest.param({"gvm_root": "/srv/gvm", "versions": []}, [], [], False, id="elsewhere"),
])
def test_removal_takes_what_the_role_made(made, versions, remove, gvm_goes):
    plan, faults = go_toolchain.decide(values(state="absent"), host(gvm=True, made=made, versions=versions))
    assert faults == []
    assert (plan["remove"], plan["gvm_goes"]) == (remove, gvm_goes)
    assert plan["environment"]["goroot"] == ""


@pytest.mark.parametrize(("found", "goes", "release"), [
    pytest.param({"gvm": True}, True, "/opt/gvm", id="whole"),
    pytest.param({"half": True}, True, "/opt/gvm", id="killed half-way"),
    pytest.param({}, False, "/opt/gvm", id="killed before it was forgotten"),
    pytest.param({"gvm": True, "versions": there(v1_9_7=[])}, False, "", id="stays"),
])
def test_a_removal_that_was_killed_is_finished(found, goes, release):
    made = {"gvm_root": "/opt/gvm", "versions": ["1.27.3"]}
    plan, faults = go_toolchain.decide(values(state="absent"), host(made=made, **found))
    assert faults == []
    assert (plan["gvm_goes"], plan["release"]) == (goes, {"gvm_root": release, "versions": ["1.27.3"]})


def test_half_a_gvm_is_claimed_again():
    plan, _faults = go_toolchain.decide(values(), host(half=True))
    assert plan["claim"] == {"gvm_root": "/opt/gvm", "versions": ["1.27.3"]}
    assert plan["release"] == {"gvm_root": "", "versions": []}


@pytest.mark.parametrize(("changed", "needed"), [
    pytest.param({"user": ""}, (True, False), id="everybody's"),
    pytest.param({"user": "", "consent": ["install"]}, (True, True), id="everybody's, consented"),
    pytest.param({"user": "d"}, (False, False), id="a user's own"),
])
def test_removal_of_everybodys_go_needs_consent(changed, needed):
    plan, _faults = go_toolchain.decide(values(state="absent", **changed), host(gvm=True, packages=["git"]))
    assert (plan["needs_consent"], plan["consent"]) == needed


@pytest.mark.parametrize(("changed", "found", "fault"), [
    pytest.param({}, {"machine": "riscv64", "arch": "riscv64"}, "riscv64: gvm takes the wrong archive on such a machine (its "
                 "scripts/install); expected amd64 or arm64", id="machine"),
    pytest.param({"archive_dir": "/srv"}, {}, "go_toolchain_archive_dir: '/srv' has no go1.27.3.linux-amd64.tar.gz, which this host "
                 "needs", id="archive"),
    pytest.param({"state": "absent"}, {"versions": there(v1_27_3=["process 7"]), "made": {"gvm_root": "", "versions": ["1.27.3"]}},
                 "go1.27.3 is in use and stays: process 7", id="used"),
    pytest.param({"state": "absent"}, {"file_used_by": ["/etc/systemd/system/x.service names it in line 3"]},
                 "go_toolchain_environment_file_path: the file stays, /etc/systemd/system/x.service names it in line 3", id="file used"),
])
def test_what_keeps_a_host_from_it(changed, found, fault):
    assert go_toolchain.decide(values(**changed), host(**found))[1] == [fault]


def test_archives_and_checksums_of_the_controller(tmp_path):
    (tmp_path / "go1.27.3.linux-arm64.tar.gz").touch()
    plan, faults = go_toolchain.decide(
        values(archive_dir=str(tmp_path), checksums={"1.27.3-linux-amd64": "0" * 64, "go1.27.3.linux-arm64.tar.gz": SHA.upper()}),
        host(machine="aarch64", arch="arm64"))
    assert faults == []
    assert plan["installs"] == [{"version": "1.27.3", "default": True, "archive": str(tmp_path / "go1.27.3.linux-arm64.tar.gz"),
                                 "checksum": SHA}]
    # An archive that has gone since is no fault where its version is installed.
    plan, faults = go_toolchain.decide(values(archive_dir="/srv"), host(gvm=True, versions=there(v1_27_3=[])))
    assert (faults, plan["installs"][0]["archive"]) == ([], "")


def test_defaults_equal_the_roles_and_their_specification():
    defaults = yaml.safe_load((ROOT / "roles/go_toolchain/defaults/main.yml").read_text())
    options = yaml.safe_load((ROOT / "roles/go_toolchain/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == defaults
    plain = {name.removeprefix("go_toolchain_"): value for name, value in defaults.items()}
    # What the module does not install, and what comes from the whole run.
    assert plain.pop("packages") == ["git", "binutils", "bison", "gcc", "make", "curl", "bsdextrautils"]
    assert plain.pop("consent") == "{{ preflight_consent | default([]) }}"
    spec = {name: entry["default"] for name, entry in on_the_host.ARGUMENTS.items() if name not in ("packages", "consent")}
    assert spec == plain
    for name, entry in on_the_host.ARGUMENTS.items():
        assert options["go_toolchain_" + name]["type"] == entry["type"]
    passed = yaml.safe_load((ROOT / "roles/go_toolchain/tasks/validate.yml").read_text())[0]["goready.preflight.go_toolchain_plan"]
    assert passed == {name: "{{ go_toolchain_%s }}" % name for name in on_the_host.ARGUMENTS}


def test_every_default_carries_a_comment():
    lines = (ROOT / "roles/go_toolchain/defaults/main.yml").read_text().splitlines()
    assert [line for before, line in zip(lines, lines[1:]) if line[:1].isalpha() and not before.startswith("#")] == []
