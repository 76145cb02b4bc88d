# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules gvm and gvm_go on a real host: real gvm, real Go archives, and what can go wrong with both.

gvm's repository comes as the bundle that the scenario prepares; where it cannot be had, the tests that need gvm's scripts say so.
"""
from __future__ import annotations

import functools
import gzip
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import build_service
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ.get("GOREADY_TEST_INVENTORY", str(ROOT / "molecule/default/inventory"))
HOST = os.environ.get("GOREADY_TEST_HOST", "gofaults")
WORK = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
COMMIT = "dd652539fa4b771840846f8319fad303c7d0a8d2"
NEW, OLD = "1.27.3", "1.26.4"
PACKAGES = "git binutils bison gcc make curl bsdextrautils"
GVM = "/opt/gvm"
MIRROR = "/srv/faults"

# A web server of the host's own loopback. /hang never answers, /drip sends a byte a second, /cut ends the connection after a MiB
# (and serves the rest to who asks for it), everything else is files.
SERVER = r'''
import http.server, os, re, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *arguments):
        with open("/srv/faults/requests", "a") as log:
            log.write(self.path + " " + self.headers.get("Range", "-") + "\n")
    def do_GET(self):
        self.log_message()
        kind, _, name = self.path.lstrip("/").partition("/")
        if kind == "hang":
            time.sleep(600)
        path = "/srv/faults/" + name
        if not os.path.isfile(path):
            self.send_error(404)
            return
        size = os.path.getsize(path)
        start = 0
        found = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found and kind in ("cut", "drip"):
            start = int(found.group(1))
            self.send_response(206)
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, size - 1, size))
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        with open(path, "rb") as stream:
            stream.seek(start)
            if kind == "drip":
                while True:
                    self.wfile.write(stream.read(1)); self.wfile.flush(); time.sleep(1)
            if kind == "cut" and not start:
                self.wfile.write(stream.read(1 << 20)); self.wfile.flush(); self.close_connection = True; self.connection.close(); return
            while True:
                block = stream.read(1 << 20)
                if not block:
                    return
                self.wfile.write(block)
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
Server(("127.0.0.1", 8642), Handler).serve_forever()
'''


@functools.cache
def address() -> dict[str, Any]:
    done = subprocess.run([str(Path(sys.executable).parent / "ansible-inventory"), "-i", INVENTORY, "--host", HOST], check=True,
                          capture_output=True, text=True, cwd=ROOT, timeout=60)
    return dict(json.loads(done.stdout))


def ssh_options() -> list[str]:
    values = address()
    return ["-i", values["ansible_ssh_private_key_file"], *shlex.split(values["ansible_ssh_common_args"])]


def shell(command: str, *, check: bool = True, timeout: float = 300) -> str:
    """Standard output of a command on the host."""
    done = subprocess.run(["ssh", *ssh_options(), f"root@{address()['ansible_host']}", command], capture_output=True, text=True,
                          timeout=timeout, check=False, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def copy(local: Path | str, remote: str) -> None:
    subprocess.run(["scp", "-q", *ssh_options(), str(local), f"root@{address()['ansible_host']}:{remote}"], check=True, timeout=300)


def start(name: str, arguments: dict[str, Any], *options: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_"))}
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "ansible"), HOST, "-i", INVENTORY, "-m", f"goready.preflight.{name}", "-a",
         json.dumps(arguments), *options],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        env=environment | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0", "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                           "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"})


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _nothing = process.communicate(timeout=600)
    marks = [mark for mark in (f"{HOST} | CHANGED => \n", f"{HOST} | SUCCESS => \n", f"{HOST} | FAILED! => \n") if mark in output]
    assert len(marks) == 1, output
    answer = yaml.safe_load(output.partition(marks[0])[2])
    return {"failed": "FAILED" in marks[0], "output": output, **answer}


def module(name: str, arguments: dict[str, Any], *options: str) -> dict[str, Any]:
    return finish(start(name, arguments, *options))


def go(version: str, *options: str, **arguments: Any) -> dict[str, Any]:
    return module("gvm_go", {"version": version, **arguments}, *options)


def mirror(kind: str = "file") -> list[str]:
    return [f"http://127.0.0.1:8642/{kind}"]


def archive_name(version: str) -> str:
    return f"go{version}.linux-amd64.tar.gz"


def left(version: str, root: str = GVM) -> list[str]:
    """Everything on the host that belongs to a version, gvm's empty logs aside."""
    found = shell(f"ls -d {root}/gos/go{version} {root}/environments/go{version}* {root}/pkgsets/go{version} {root}/archive/*go{version}* "
                  f"{root}/.goready/*go{version}* {root}/.goready/scratch 2>/dev/null; true")
    return found.split()


@functools.cache
def archive(version: str) -> Path:
    """Upstream's files of a version as its archive has them. Of the old one only what compiles a program without imports: it is
    installed a dozen times here."""
    if version != OLD:
        return build_service.sdk_tarball(version, "amd64")
    tree = build_service.sdk(version, "amd64")
    target = WORK / "faults" / archive_name(version)
    target.parent.mkdir(exist_ok=True)
    packages = ("runtime", "internal", "unsafe", "math")
    with gzip.GzipFile(target, "wb", compresslevel=1, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as whole:
        for path in [tree, *sorted(tree.rglob("*"))]:
            parts = path.relative_to(tree).parts
            if parts[:1] == ("src",):
                taken = len(parts) == 1 or (parts[1] in packages and "testdata" not in parts and not path.name.endswith("_test.go"))
            elif parts[:2] == ("pkg", "tool"):
                taken = len(parts) < 4 or path.name in ("compile", "link", "asm")
            else:
                taken = parts[:1] in ((), ("bin",), ("pkg",), ("VERSION",), ("go.env",))
            if taken:
                whole.add(path, path.relative_to(tree.parent), recursive=False, filter=build_service.owned_by_root)
    return target


@functools.cache
def sums() -> dict[str, str]:
    """The archives on the host's mirror and their SHA-256; made once."""
    shell(f"mkdir -p {MIRROR}")
    found = {}
    for version in (NEW, OLD):
        path = archive(version)
        found[version] = hashlib.sha256(path.read_bytes()).hexdigest()
        copy(path, f"{MIRROR}/{archive_name(version)}")
    return found


@pytest.fixture(scope="module", autouse=True)
def server():
    sums()
    subprocess.run(["ssh", *ssh_options(), f"root@{address()['ansible_host']}", f"cat > {MIRROR}/server.py"], input=SERVER, text=True,
                   check=True, timeout=60)
    shell("systemctl stop faults 2>/dev/null; systemctl reset-failed faults 2>/dev/null; "
          f"systemd-run --quiet --unit=faults python3 {MIRROR}/server.py")
    for _attempt in range(50):
        if shell("curl -s -o /dev/null -w %{http_code} http://127.0.0.1:8642/file/none", check=False) == "404":
            break
        time.sleep(0.2)
    yield
    shell("systemctl stop faults")


@pytest.fixture(scope="module")
def gvm():
    """gvm on the host, installed by the module from its real repository."""
    if shell("command -v hexdump bison gcc make git ar >/dev/null && echo all", check=False).strip() != "all":
        shell(f"apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y {PACKAGES} >/dev/null 2>&1", timeout=600)
    copy(WORK / "gvm.bundle", "/srv/gvm.bundle")
    answer = module("gvm", {"source": "/srv/gvm.bundle"})
    assert not answer["failed"] and answer["commit"] == COMMIT, answer
    return answer


@pytest.fixture(scope="module")
def installed(gvm):
    """The new version, from the mirror; what check mode had said of it."""
    arguments = {"source": mirror(), "checksum": sums()[NEW], "default": True}
    predicted = go(NEW, "--check", **arguments)
    return predicted, go(NEW, **arguments)


# gvm itself

@pytest.mark.needs_gvm
def test_gvm_comes_from_its_repository_and_touches_no_rc_file(gvm):
    again = module("gvm", {"source": "/srv/gvm.bundle"})
    assert (again["failed"], again["changed"], again["changes"]) == (False, False, [])
    assert shell(f"grep -l {GVM} /root/.bashrc /root/.profile /etc/profile /etc/bash.bashrc /etc/profile.d/* 2>/dev/null; true") == ""
    assert shell(f"cat {GVM}/scripts/gvm").splitlines()[0] == f"export GVM_ROOT={GVM}"


@pytest.mark.needs_gvm
def test_another_commit_is_named(gvm):
    answer = module("gvm", {"source": "/srv/gvm.bundle", "commit": "1" * 40})
    assert answer["failed"] and answer["msg"].startswith(f"gvm_root: {GVM} holds gvm at commit {COMMIT}, and not at {'1' * 40}")
    answer = module("gvm", {"source": "/srv/gvm.bundle", "commit": "1" * 40, "gvm_root": "/opt/other"})
    assert answer["msg"] == f"commit: /srv/gvm.bundle has no commit {'1' * 40}; its newest is {COMMIT} of 2023-08-14"
    assert shell("ls -d /opt/other 2>/dev/null; true") == ""


@pytest.mark.needs_gvm
def test_a_killed_installation_of_gvm_is_taken_back_and_done(gvm):
    # A clone that hangs: git talks to a server that never answers.
    process = start("gvm", {"source": "http://127.0.0.1:8642/hang/gvm.git", "gvm_root": "/opt/killed", "timeout": 60})
    kill_module("gvm", "test -d /opt/killed/.goready-staging")
    process.communicate(timeout=60)
    # What the module has started lives on without it, and is waited for, to a deadline.
    answer = module("gvm", {"source": "/srv/gvm.bundle", "gvm_root": "/opt/killed", "timeout": 2})
    assert answer["failed"] and "waiting for what an earlier call has started in /opt/killed" in answer["msg"], answer
    shell("systemctl restart faults")  # the hanging clone ends with its connection
    answer = module("gvm", {"source": "/srv/gvm.bundle", "gvm_root": "/opt/killed"})
    assert (answer["failed"], answer["recovered"]) == (False, ["/opt/killed"]), answer
    answer = module("gvm", {"gvm_root": "/opt/killed", "state": "absent"})
    assert [(entry["path"], entry["action"]) for entry in answer["changes"]] == [("/opt/killed", "removed")]
    assert shell("ls -d /opt/killed 2>/dev/null; true") == ""


@pytest.mark.needs_gvm
def test_gvm_for_one_user(gvm):
    shell("chmod 755 /srv; chmod 644 /srv/gvm.bundle")
    root = "/home/deploy/.gvm"
    answer = module("gvm", {"source": "/srv/gvm.bundle", "gvm_root": root, "user": "deploy"})
    assert not answer["failed"], answer
    assert shell(f"find {root} ! -user deploy").strip() == ""
    other = go(OLD, gvm_root=root, source=mirror(), checksum=sums()[OLD])
    assert other["msg"] == f"user: {root} belongs to deploy, and not to root"
    answer = go(OLD, gvm_root=root, user="deploy", source=mirror(), checksum=sums()[OLD], default=True)
    assert not answer["failed"] and answer["default"], answer
    assert shell(f"find {root} ! -user deploy").strip() == ""
    said = shell(f"su - deploy -c 'bash -c \"source {root}/scripts/gvm; go version; echo $HOME\"'").splitlines()
    assert said[0] == f"go version go{OLD} linux/amd64"
    answer = module("gvm", {"gvm_root": root, "user": "deploy", "state": "absent"})
    assert answer["changed"] and shell(f"ls -d {root} 2>/dev/null; true") == "", answer


# An installation that goes well

@pytest.mark.needs_gvm
def test_prediction_and_result_are_the_same(installed):
    predicted, answer = installed
    assert not predicted["failed"] and not answer["failed"], (predicted, answer)
    assert answer["changed"] and predicted["changes"] == answer["changes"]
    assert {entry["path"] for entry in answer["changes"]} == {
        f"{GVM}/gos/go{NEW}", f"{GVM}/environments/go{NEW}", f"{GVM}/environments/go{NEW}@global", f"{GVM}/pkgsets/go{NEW}",
        f"{GVM}/.goready/go{NEW}.json", f"{GVM}/environments/default"}
    assert all(shell(f"test -e {entry['path']} && echo yes", check=False) == "yes\n" for entry in answer["changes"])
    assert (answer["goroot"], answer["go_version"], answer["arch"], answer["default"], answer["checksum_source"]) == (
        f"{GVM}/gos/go{NEW}", f"go{NEW}", "amd64", True, "given")


@pytest.mark.needs_gvm
def test_what_is_installed_works_and_the_second_run_changes_nothing(installed):
    assert shell(f"env -i HOME=/root {GVM}/gos/go{NEW}/bin/go version") == f"go version go{NEW} linux/amd64\n"
    assert shell(f"bash -c 'source {GVM}/scripts/gvm; go version'") == f"go version go{NEW} linux/amd64\n"
    again = go(NEW, source=mirror("hang"), checksum=sums()[NEW], default=True, timeout=30)
    assert (again["failed"], again["changed"], again["changes"], again["checksum"]) == (False, False, [], sums()[NEW])
    assert left(NEW) == [f"{GVM}/.goready/go{NEW}.json", f"{GVM}/environments/go{NEW}", f"{GVM}/environments/go{NEW}@global",
                         f"{GVM}/gos/go{NEW}", f"{GVM}/pkgsets/go{NEW}"]


@pytest.mark.needs_gvm
def test_another_checksum_than_that_of_the_installation_is_told(installed):
    answer = go(NEW, checksum="0" * 64)
    assert answer["failed"] and answer["msg"] == (
        f"archive checksum: go{NEW} was installed from an archive with the SHA-256 {sums()[NEW]} (given), and not {'0' * 64}; remove it "
        "first with state: absent")


@pytest.mark.needs_gvm
def test_an_archive_of_the_controller_is_pushed_the_default_switched_and_switched_back(installed):
    local = archive(OLD)
    arguments = {"archive": str(local), "archive_remote": False, "checksum": "sha256:" + sums()[OLD], "default": True}
    predicted = go(OLD, "--check", **arguments)
    answer = go(OLD, **arguments)
    assert not answer["failed"] and answer["archive_source"] == f"controller {local}", answer
    assert predicted["changes"] == answer["changes"]
    assert {"path": f"{GVM}/environments/default", "action": "changed", "detail": f"go{NEW} to go{OLD}"} in answer["changes"]
    assert shell(f"bash -c 'source {GVM}/scripts/gvm; go version'") == f"go version go{OLD} linux/amd64\n"
    again = go(OLD, **arguments)
    assert (again["failed"], again["changed"]) == (False, False), again
    answer = go(NEW, default=True)
    assert [entry["path"] for entry in answer["changes"]] == [f"{GVM}/environments/default"], answer
    assert shell(f"bash -c 'source {GVM}/scripts/gvm; go version'") == f"go version go{NEW} linux/amd64\n"


@pytest.mark.needs_gvm
def test_gvm_choosing_another_version_for_the_default_is_seen(installed):
    """gvm takes the first of `ls gos` that contains the name."""
    shell(f"mkdir {GVM}/gos/ago{OLD}.1; cp {GVM}/environments/go{NEW} {GVM}/environments/ago{OLD}.1")
    try:
        answer = go(OLD, default=True, source=mirror(), checksum=sums()[OLD])
        assert answer["failed"] and f"gvm use go{OLD} --default left go{NEW} as the default" in answer["msg"], answer
        assert shell(f"bash -c 'source {GVM}/scripts/gvm; go version'") == f"go version go{NEW} linux/amd64\n"
    finally:
        shell(f"rm -rf {GVM}/gos/ago{OLD}.1 {GVM}/environments/ago{OLD}.1")


# What a version that is in use, or not, says to its removal

@pytest.mark.needs_gvm
def test_a_version_in_use_stays_and_one_that_is_not_goes(installed):
    assert not go(OLD, source=mirror(), checksum=sums()[OLD])["failed"]
    goroot = f"{GVM}/gos/go{OLD}"
    shell(f"cp /bin/sleep {goroot}/bin/sleepy; systemd-run --quiet --unit=sleepy {goroot}/bin/sleepy 600")
    try:
        answer = go(OLD, state="absent")
        assert answer["failed"] and answer["msg"].startswith(f"go{OLD} is in use and stays: process "), answer
        assert f" runs {goroot}/bin/sleepy" in answer["msg"]
    finally:
        shell("systemctl stop sleepy")
    shell(f"printf '[Service]\\nExecStart=/bin/true\\nEnvironment=PATH={goroot}/bin:/bin\\n' > /etc/systemd/system/builder.service")
    try:
        answer = go(OLD, "--check", state="absent")
        assert answer["msg"] == f"go{OLD} is in use and stays: /etc/systemd/system/builder.service names it in line 3"
        # A longer name is another version.
        shell(f"sed -i s,go{OLD}/bin,go{OLD}1/bin, /etc/systemd/system/builder.service")
        predicted = go(OLD, "--check", state="absent")
        answer = go(OLD, state="absent")
    finally:
        shell("rm /etc/systemd/system/builder.service")
    assert not answer["failed"] and answer["changes"] == predicted["changes"], answer
    assert left(OLD) == []
    again = go(OLD, state="absent")
    assert (again["failed"], again["changed"]) == (False, False)


# Archives that are not what they should be

@pytest.mark.needs_gvm
def test_wrong_checksum(gvm):
    answer = go(OLD, source=mirror(), checksum="0" * 64)
    assert answer["msg"] == (f"archive checksum: go{OLD} from http://127.0.0.1:8642/file/{archive_name(OLD)} has the SHA-256 "
                             f"{sums()[OLD]}, and not {'0' * 64} (given); gvm has not seen it")
    assert left(OLD) == []


@pytest.mark.needs_gvm
def test_truncated_archive(gvm):
    shell(f"mkdir -p {MIRROR}/short; head -c 10000000 {MIRROR}/{archive_name(OLD)} > {MIRROR}/short/{archive_name(OLD)}")
    answer = go(OLD, source=[f"file://{MIRROR}/short"], checksum=sums()[OLD])
    assert "archive checksum: " in answer["msg"] and left(OLD) == [], answer
    # Even where somebody has taken the checksum of the truncated one.
    short = shell(f"sha256sum {MIRROR}/short/{archive_name(OLD)}").split()[0]
    answer = go(OLD, source=[f"file://{MIRROR}/short"], checksum=short)
    assert answer["msg"].startswith(f"gvm install go{OLD} -B failed") and left(OLD) == [], answer


@pytest.mark.needs_gvm
def test_archive_of_another_architecture(gvm):
    path = build_service.sdk_tarball(NEW, "arm64")
    copy(path, f"{MIRROR}/foreign.tar.gz")
    foreign = hashlib.sha256(path.read_bytes()).hexdigest()
    assert not go(NEW, state="absent")["failed"]
    answer = go(NEW, archive=f"{MIRROR}/foreign.tar.gz", checksum=foreign)
    assert answer["msg"] == (f"go{NEW}: the archive's checksum is right (given), but bin/go is a program for arm64, and this host is amd64 "
                             "(binary or architecture); everything of it was removed")
    assert left(NEW) == []


@pytest.mark.needs_gvm
def test_content_of_another_version_under_the_name(gvm):
    shell(f"mkdir -p {MIRROR}/other; ln -sf {MIRROR}/{archive_name(OLD)} {MIRROR}/other/{archive_name('1.26.9')}")
    answer = go("1.26.9", source=[f"file://{MIRROR}/other"], checksum=sums()[OLD])
    assert answer["msg"] == (f"go1.26.9: the archive's checksum is right (given), but its VERSION file says go{OLD}, and not go1.26.9 "
                             "(VERSION); everything of it was removed")
    assert left("1.26.9") == []
    # The collection's own table knows that version: no checksum has to be given to see it.
    answer = go("1.26.9", source=[f"file://{MIRROR}/other"])
    assert "archive checksum: go1.26.9" in answer["msg"] and "(the collection's table of " in answer["msg"], answer


@pytest.mark.needs_gvm
def test_an_archive_that_lies_there_already_is_not_trusted(gvm):
    """gvm takes whatever has the name in its folder."""
    shell(f"echo poison > {GVM}/archive/{archive_name(OLD)}")
    predicted = go(OLD, "--check", source=mirror(), checksum=sums()[OLD])
    answer = go(OLD, source=mirror(), checksum=sums()[OLD])
    assert not answer["failed"] and predicted["changes"] == answer["changes"], answer
    assert (answer["changes"][0]["path"], answer["changes"][0]["action"]) == (f"{GVM}/archive/{archive_name(OLD)}", "removed")
    assert not go(OLD, state="absent")["failed"]


@pytest.mark.needs_gvm
def test_no_checksum_no_installation(gvm):
    # 1.27.3 is in no table, and this mirror has no .sha256 beside it.
    answer = go("1.27.8", source=mirror())
    assert answer["msg"].startswith(f"checksum: there is none for {archive_name('1.27.8')}, and what cannot be verified is not installed")
    assert left("1.27.8") == []


# Mirrors that are not what they should be

@pytest.mark.needs_gvm
def test_404_and_the_next_mirror(gvm):
    answer = go(OLD, source=["http://127.0.0.1:8642/file/absent"], checksum=sums()[OLD])
    assert answer["msg"] == f"http://127.0.0.1:8642/file/absent/{archive_name(OLD)}: HTTP 404 Not Found"
    # The mirror's own sum, and a connection that breaks: the second one has it, and it resumes.
    shell(f"cd {MIRROR} && sha256sum {archive_name(OLD)} > {archive_name(OLD)}.sha256; : > requests")
    answer = go("1.26.4", source=["http://127.0.0.1:8642/file/absent", *mirror("cut")], checksum=sums()[OLD])
    assert not answer["failed"] and answer["archive_source"] == f"http://127.0.0.1:8642/cut/{archive_name(OLD)}", answer
    asked = shell(f"grep -o 'bytes=.*' {MIRROR}/requests").split()
    assert asked and all(int(line.split("=")[1].rstrip("-")) > 0 for line in asked)
    assert not go(OLD, state="absent")["failed"]


@pytest.mark.needs_gvm
@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_a_mirror_that_hangs_ends_at_the_deadline(gvm, kind):
    begin = time.monotonic()
    answer = go(OLD, source=mirror(kind), checksum=sums()[OLD], timeout=4)
    assert answer["msg"].startswith("timeout: the download of http://127.0.0.1:8642/") and "within 4 s" in answer["msg"], answer
    assert time.monotonic() - begin < 20
    assert [path for path in left(OLD) if not path.endswith(".part")] == []
    assert not go(OLD, state="absent")["failed"] and left(OLD) == []


# Disks that are full

@pytest.mark.needs_gvm
def test_disk_full(gvm):
    size = archive(OLD).stat().st_size >> 20
    shell(f"mkdir -p /opt/small && mount -t tmpfs -o mode=755,size={size + 8}m tmpfs /opt/small")
    try:
        answer = module("gvm", {"source": "/srv/gvm.bundle", "gvm_root": "/opt/small"})
        assert not answer["failed"], answer
        answer = go(OLD, gvm_root="/opt/small", source=mirror(), checksum=sums()[OLD])
        assert "the download of http://127.0.0.1:8642" in answer["msg"] and "MiB are free" in answer["msg"], answer
        assert left(OLD, "/opt/small") == []
        shell(f"mount -o remount,size={size * 2 + 24}m /opt/small")
        answer = go(OLD, gvm_root="/opt/small", source=mirror(), checksum=sums()[OLD])
        assert answer["msg"].startswith(f"unpacking go{OLD} needs ") and "MiB are free" in answer["msg"], answer
        # The archive is right and need not come again when there is room.
        assert [path for path in left(OLD, "/opt/small") if not path.endswith(".part")] == []
        shell("mount -o remount,size=600m /opt/small")
        answer = go(OLD, gvm_root="/opt/small", source=mirror("cut"), checksum=sums()[OLD])
        assert not answer["failed"], answer
        answer = module("gvm", {"gvm_root": "/opt/small", "state": "absent"})
        assert answer["changed"] and shell("ls -A /opt/small") == "", answer
    finally:
        shell("umount /opt/small; rmdir /opt/small")


# Killed, and two at once

def kill_module(name: str, when: str) -> None:
    """SIGKILL for the module's process on the host as soon as the shell condition holds. The lock says who it is."""
    killed = shell(
        f"for i in $(seq 600); do if {when}; then pid=$(sed -n 's/^{name}, PID \\([0-9]*\\).*/\\1/p' /run/goready-preflight.lock); "
        "kill -9 $pid && echo killed; exit; fi; sleep 0.05; done")
    assert killed == "killed\n"


KILLS = {
    "download": ("drip", f"test -e {GVM}/archive/{archive_name(OLD)}.part"),
    "unpack": ("file", f"test -e {GVM}/gos/go{OLD}/VERSION"),
    "gvm": ("file", f"test -e {GVM}/environments/go{OLD}"),
    "proof": ("file", f"test -e {GVM}/.goready/scratch/cache"),
}


@pytest.mark.needs_gvm
@pytest.mark.parametrize("point", KILLS)
def test_killed(gvm, point):
    kind, when = KILLS[point]
    process = start("gvm_go", {"version": OLD, "source": mirror(kind), "checksum": sums()[OLD], "default": True})
    kill_module("gvm_go", when)
    process.communicate(timeout=60)
    before = shell(f"cat {GVM}/environments/default 2>/dev/null; true")
    predicted = go(OLD, "--check", source=mirror(), checksum=sums()[OLD]) if point == "gvm" else None
    answer = go(OLD, source=mirror(), checksum=sums()[OLD])
    assert not answer["failed"], answer
    assert predicted is None or predicted["changes"] == answer["changes"]
    assert bool(answer["recovered"]) == (point != "download"), answer
    assert shell(f"{GVM}/gos/go{OLD}/bin/go version") == f"go version go{OLD} linux/amd64\n"
    assert shell(f"cat {GVM}/environments/default 2>/dev/null; true") == before
    assert not go(OLD, state="absent")["failed"] and left(OLD) == []


@pytest.mark.needs_gvm
def test_two_at_once(gvm):
    arguments = {"version": OLD, "source": mirror(), "checksum": sums()[OLD]}
    both = [finish(process) for process in [start("gvm_go", arguments), start("gvm_go", arguments)]]
    assert [answer["failed"] for answer in both] == [False, False], both
    assert sorted(answer["changed"] for answer in both) == [False, True]
    # One that may not wait that long says who it waits for.
    first = start("gvm_go", {"version": NEW, "source": mirror("drip"), "checksum": sums()[NEW], "timeout": 12})
    shell("for i in $(seq 200); do grep -q '^gvm_go' /run/goready-preflight.lock && "
          f"test -e {GVM}/archive/{archive_name(NEW)}.part && exit 0; sleep 0.1; done; exit 1")
    second = go(NEW, state="absent", timeout=2)
    assert second["failed"] and second["msg"].startswith("another remediation changes this host: gvm_go, PID "), second
    assert finish(first)["failed"]


@pytest.mark.needs_gvm
def test_a_broken_tree_is_made_anew(gvm):
    arguments = {"source": mirror(), "checksum": sums()[OLD]}
    assert not go(OLD, **arguments)["failed"]
    shell(f"rm {GVM}/gos/go{OLD}/manifest")
    predicted = go(OLD, "--check", **arguments)
    answer = go(OLD, **arguments)
    assert not answer["failed"] and predicted["changes"] == answer["changes"], answer
    assert (answer["changes"][0]["path"], answer["changes"][0]["action"]) == (f"{GVM}/gos/go{OLD}", "changed")
    assert not go(OLD, state="absent")["failed"]


# What needs no gvm

def test_without_gvm():
    answer = go(NEW, gvm_root="/opt/nothing", checksum="0" * 64)
    assert answer["msg"] == "gvm_root: there is no gvm in /opt/nothing; install it with goready.preflight.gvm"
    answer = go("1.27")
    assert answer["msg"].startswith("version: '1.27' is not exact; it could mean 1.27.0, 1.27.1, 1.27.2")
    answer = go(NEW, gvm_root="/opt/nothing", state="absent")
    assert (answer["failed"], answer["changed"]) == (False, False)


def test_an_archive_of_the_controller_is_looked_at_before_it_is_pushed():
    local = archive(OLD)
    answer = go(OLD, archive=str(local), archive_remote=False, checksum="0" * 64)
    assert answer["msg"] == f"archive checksum: {local} on the controller has the SHA-256 {sums()[OLD]}, and not {'0' * 64}"
    answer = go("1.27.3", archive=str(local), archive_remote=False)
    assert answer["msg"].startswith(f"checksum: there is none for {local}, and what cannot be verified is not installed")
