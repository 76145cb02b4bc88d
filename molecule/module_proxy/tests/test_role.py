# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What converge left, the way back, and everything that can go wrong. The tests run in the order of this file."""
from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, WANTED, Run, command

PROXY = WANTED["module_proxy_goproxy"]
ORIGINAL = "# mine\nGOFLAGS=-mod=mod\nGOPROXY=direct\nGOPROXY=https://old.example\nGOPATH=/home/ci/work"
Play = Callable[..., Run]
Snapshot = Callable[[], list[str]]


@pytest.mark.parametrize("user", ["ci", "deploy"])
def test_a_login_shell_has_it(host: Any, user: str) -> None:
    # XDG_CONFIG_HOME: go would keep its telemetry there, and the host is to be compared later.
    said = json.loads(host.check_output(
        f"su - {user} -c 'cd / && GOTOOLCHAIN=local GOENV=$HOME/.config/go/env XDG_CONFIG_HOME=/dev/null "
        "go env -json GOPROXY GOPRIVATE GONOSUMDB GOFLAGS'"))
    assert said == {"GOPROXY": PROXY, "GOPRIVATE": "git.example", "GONOSUMDB": "git.example",
                    "GOFLAGS": "-mod=mod" if user == "ci" else ""}


@pytest.mark.parametrize("go", ["/usr/local/go/bin/go", "/opt/go1.21.13/bin/go"])
def test_everybody_has_it(host: Any, go: str) -> None:
    assert host.check_output(f"cd / && GOENV=off XDG_CONFIG_HOME=/dev/null GOTOOLCHAIN=local {go} env GOPROXY") == PROXY


def test_other_lines_stay(host: Any) -> None:
    file = host.file("/home/ci/.config/go/env")
    assert file.content_string == ("# mine\nGOFLAGS=-mod=mod\nGOPROXY=direct\nGOPROXY=https://goproxy.example,direct\n"
                                   "GOPATH=/home/ci/work\nGOPRIVATE=git.example")
    assert (file.user, file.group, file.mode) == ("ci", "ci", 0o640)


@pytest.mark.parametrize(("user", "content"), [
    ("ci", f"machine goproxy.example login builder password {PASSWORD}\n# mine\nmachine git.example login ci password an-old-word\n"
           "default login anonymous password nobody\n"),
    ("deploy", f"machine goproxy.example login builder password {PASSWORD}\n"),
    ("runner", f"machine goproxy.example login builder password {PASSWORD}\n"),
])
def test_credentials_are_for_the_user_alone(host: Any, user: str, content: str) -> None:
    file = host.file(f"/home/{user}/.netrc")
    assert file.content_string == content
    assert (file.user, file.group, file.mode) == (user, user, 0o600)


def test_the_record_is_for_root_alone_and_holds_no_password(host: Any) -> None:
    file = host.file("/var/lib/goready-preflight/module_proxy.json")
    assert (file.user, file.mode, PASSWORD in file.content_string) == ("root", 0o600, False)
    assert host.file("/var/lib/goready-preflight").mode == 0o700


def test_it_is_taken_back_byte_for_byte(host: Any, clean: list[str]) -> None:
    assert host.file("/home/ci/.config/go/env").content_string == ORIGINAL
    netrc = host.file("/home/ci/.netrc")
    assert (netrc.mode, netrc.content_string) == (
        0o644, "# mine\nmachine git.example login ci password an-old-word\ndefault login anonymous password nobody\n")
    for path in ("/home/deploy/.netrc", "/home/runner/.netrc", "/home/runner/.config", "/var/lib/goready-preflight"):
        assert not host.file(path).exists, path
    for root in ("/usr/local/go", "/opt/go1.21.13"):
        assert "goproxy.example" not in host.file(f"{root}/go.env").content_string


def test_check_mode_says_exactly_what_will_be(play: Play, clean: list[str], snapshot: Snapshot) -> None:
    predicted = play("--check", "--diff")
    assert predicted.rc == 0, predicted.output
    assert snapshot() == clean
    done = play("--diff")
    assert done.rc == 0, done.output
    assert done.changes == predicted.changes
    assert ("/home/ci/.netrc", "changed") in done.paths and ("/home/runner/.netrc", "created") in done.paths
    assert len(done.changes) >= 9
    again = play()
    assert (again.rc, again.changes) == (0, []), again.output
    back = play("--check", module_proxy_state="absent")
    assert play(module_proxy_state="absent").changes == back.changes != []
    assert snapshot() == clean
    assert play(module_proxy_state="absent").changes == []


def test_no_output_shows_a_password(play: Play, host: Any, clean: list[str]) -> None:
    for arguments in (("--check", "--diff", "-vvv"), ("--diff", "-vvv")):
        run = play(*arguments)
        assert run.rc == 0, run.output
        assert "+GOPROXY=https://goproxy.example,direct" in run.output
        # The test's own command line is not in it: ansible shows no extra variables.
        assert PASSWORD not in run.output and "an-old-word" not in run.output
    assert PASSWORD not in host.check_output("journalctl --quiet --no-pager")


def test_a_person_is_not_overruled_on_the_way_back(play: Play, host: Any, clean: list[str]) -> None:
    assert play().rc == 0
    host.check_output("su -s /bin/sh ci -c 'cd / && go env -w GOPRIVATE=by.hand GOSUMDB=sum.golang.google.cn'")
    done = play(module_proxy_state="absent")
    assert "/home/ci/.config/go/env: GOPRIVATE was changed since and is left as it is" in " ".join(done.output.split())
    lines = host.file("/home/ci/.config/go/env").content_string.splitlines()
    assert {"GOPROXY=https://old.example", "GOPRIVATE=by.hand", "GOSUMDB=sum.golang.google.cn", "GOFLAGS=-mod=mod"} <= set(lines)
    assert "GOPROXY=https://goproxy.example,direct" not in lines
    host.check_output(f"printf '%s' '{ORIGINAL}' > /home/ci/.config/go/env; rm -rf /home/ci/.config/go/telemetry")


# What is planted, how it is undone, the role's variables, and the sentence.
FAULTS = {
    "a start-up file hides it": (
        "printf '# c\\nexport GOPROXY=https://other.example\\n' > /etc/profile.d/zz-go.sh", "rm /etc/profile.d/zz-go.sh", {},
        "GOPROXY=https://other.example is set in the environment of the login shell of ci by /etc/profile.d/zz-go.sh:2, where it counts "
        "before every file of go's: take it out there"),
    "/etc/environment hides it": (
        "echo GOPRIVATE=x >> /etc/environment", "sed -i /GOPRIVATE/d /etc/environment", {},
        "GOPRIVATE=x is set in the environment of the login shell of ci by /etc/environment:"),
    "no file is read": (
        "echo export GOENV=off > /etc/profile.d/zz-go.sh", "rm /etc/profile.d/zz-go.sh", {},
        "GOENV=off in the login shell of ci: go reads no file of that user's, so none can be set"),
    "a home that is not there": (
        "mv /home/runner /home/away", "mv /home/away /home/runner", {}, "users: the home of runner, /home/runner, is no folder"),
    "a read-only home": (
        "mount --bind -o ro /home/deploy /home/deploy", "umount /home/deploy", {},
        "/home/deploy/.config/go/env cannot be written: /home/deploy is on a read-only file system"),
    "a full disk": (
        "mount -t tmpfs -o size=4k,uid=$(id -u runner),gid=$(id -g runner),mode=700 full /home/runner && "
        "head -c 4096 /dev/zero > /home/runner/full", "umount /home/runner", {}, "No space left on device"),
    "a link in place of the file": (
        "mkdir -p /home/deploy/.config/go && ln -s /etc/passwd /home/deploy/.config/go/env && chown -R deploy: /home/deploy/.config",
        "rm -r /home/deploy/.config", {}, "/home/deploy/.config/go/env is a symbolic link to /etc/passwd: only a plain file is changed"),
    "a link in place of a folder": (
        "mkdir /var/lib/roots && ln -s /var/lib/roots /home/deploy/.config", "rm -r /var/lib/roots /home/deploy/.config", {},
        "/home/deploy/.config/go/env cannot be written: /home/deploy/.config may not be written by deploy"),
    "a link in place of .netrc": (
        "ln -s /root/.profile /home/deploy/.netrc", "rm /home/deploy/.netrc", {},
        "/home/deploy/.netrc is a symbolic link to /root/.profile: only a plain file is changed"),
    "a FIFO": (
        "install -d -o deploy /home/deploy/.config/go && mkfifo /home/deploy/.config/go/env", "rm -r /home/deploy/.config", {},
        "/home/deploy/.config/go/env cannot be read: /home/deploy/.config/go/env is neither a file, nor a folder, nor a symbolic link"),
    "a file of root's": (
        "install -d -o deploy /home/deploy/.config /home/deploy/.config/go && touch /home/deploy/.config/go/env",
        "rm -r /home/deploy/.config", {}, "/home/deploy/.config/go/env belongs to user id 0, not to deploy: give it to deploy first"),
    "two entries of a machine": (
        "cp -p /home/ci/.netrc /tmp/netrc && printf 'machine goproxy.example login a password b\\n%.0s' 1 2 >> /home/ci/.netrc",
        "cp -p /tmp/netrc /home/ci/.netrc", {}, "/home/ci/.netrc has 2 entries for machine goproxy.example: mend that first"),
    "a Go that others can write": (
        "chmod 0777 /opt/go1.21.13", "chmod 0755 /opt/go1.21.13", {"module_proxy_goroots": ["/opt/go1.21.13"]},
        "goroots: /opt/go1.21.13 can be changed by others than root: /opt/go1.21.13 is writable by everybody (0777)"),
    "a go that is not root's": (
        "chown deploy /opt/go1.21.13/bin/go", "chown root /opt/go1.21.13/bin/go", {"module_proxy_goroots": ["/opt/go1.21.13"]},
        "goroots: /opt/go1.21.13 can be changed by others than root: /opt/go1.21.13/bin/go belongs to deploy"),
    "no Go": ("true", "true", {"module_proxy_goroots": ["/usr/local"]}, "goroots: /usr/local is no Go tree (it has no bin/go)"),
    "a Go that is too old": (
        "cp -a /opt/go1.21.13/VERSION /tmp/VERSION && echo go1.20.14 > /opt/go1.21.13/VERSION", "cp -a /tmp/VERSION /opt/go1.21.13/VERSION",
        {"module_proxy_goroots": ["/opt/go1.21.13"]}, "goroots: /opt/go1.21.13 is go1.20.14, and go.env is read since Go 1.21"),
    "credentials in a URL": ("true", "true", {"module_proxy_goproxy": f"https://ci:{PASSWORD}@goproxy.example"},
                             "module_proxy_goproxy: a URL in it carries credentials"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_and_nothing_stays_changed(name: str, play: Play, host: Any, clean: list[str], snapshot: Snapshot) -> None:
    plant, remove, variables, sentence = FAULTS[name]
    host.check_output(plant)
    try:
        before = snapshot()
        run = play(**variables)
        after = snapshot()
    finally:
        host.check_output(remove)
    assert run.rc != 0, run.output
    assert sentence in " ".join(run.output.split())
    assert "Traceback" not in run.output
    assert PASSWORD not in run.output
    assert after == before
    assert snapshot() == clean


def test_a_setting_that_does_not_count_is_taken_back(play: Play, host: Any, clean: list[str], snapshot: Snapshot) -> None:
    """A wrapper in the user's PATH that sets the variable itself: no environment shows it, only go's own answer does."""
    wrapper = "#!/bin/sh\\nGOPROXY=https://other.example exec /usr/local/go/bin/go \"$@\"\\n"
    host.check_output(f"mkdir /home/deploy/bin && printf '{wrapper}' > /home/deploy/bin/go && chmod 755 /home/deploy/bin/go && "
                      "echo 'PATH=/home/deploy/bin:$PATH' > /etc/profile.d/zz-go.sh")
    try:
        before = snapshot()
        run = play(module_proxy_users=["deploy"])
        assert snapshot() == before
    finally:
        host.check_output("rm -r /home/deploy/bin /etc/profile.d/zz-go.sh")
    assert run.rc != 0
    assert ("what was written is not effective and was taken back. `/home/deploy/bin/go env GOPROXY` says 'https://other.example' for "
            f"deploy, not '{PROXY}'") in " ".join(run.output.split())


def test_killed_after_every_write_the_next_run_ends_right(play: Play, host: Any, clean: list[str], snapshot: Snapshot) -> None:
    script = (Path(__file__).parent / "kill.py").read_text()
    host.run_expect([0], f"cat > /opt/goready-code/kill.py <<'END'\n{script}\nEND")
    options = {"goproxy": PROXY, "goprivate": "git.example", "gosumdb": "", "gonoproxy": "", "gonosumdb": "", "goinsecure": "",
               "goflags": "", "unset": [], "users": ["ci", "deploy"], "system": True, "goroots": [], "allow_unverified": False,
               "netrc": [{"machine": "goproxy.example", "login": "builder", "password": "another-word"}]}
    here = "/home/ci /home/deploy /usr/local/go/go.env /opt/go1.21.13/go.env /var/lib/goready-preflight"
    sums = f"find {here} -type f -print0 | sort -z | xargs -0 sha256sum; find {here} -printf '%p %y %m %u\\n' | sort"
    host.run_expect([0], f"""cat > /opt/goready-code/all.sh <<'END'
set -u
present='{json.dumps({**options, "state": "present"})}'
absent='{json.dumps({**options, "state": "absent"})}'
run() {{ timeout 60 python3 kill.py "$1" "$2" 2>/tmp/kill.err; }}
state() {{ {sums}; }} 2>/dev/null
cd /opt/goready-code
state > /tmp/state.off
run 0 "$present" || exit 3
state > /tmp/state.on
for way in "present on" "absent off"; do
  set -- $way
  points=0
  while :; do
    # The other state first.
    if [ "$1" = present ]; then run 0 "$absent"; want=$present; else run 0 "$present"; want=$absent; fi || exit 4
    points=$((points + 1))
    run $points "$want" && break
    [ $? = 137 ] || {{ cat /tmp/kill.err; exit 5; }}
    run 0 "$want" || {{ echo "after a kill at $points:"; cat /tmp/kill.err; exit 6; }}
    state > /tmp/state.now
    diff /tmp/state.$2 /tmp/state.now || {{ echo "differs after a kill at $points"; exit 7; }}
  done
  echo "$1 $((points - 1))"
done
END""")
    done = host.run("bash /opt/goready-code/all.sh")
    assert done.rc == 0, done.stdout + done.stderr
    points = dict(line.split() for line in done.stdout.splitlines())
    assert int(points["present"]) > 15 and int(points["absent"]) > 10, points
    assert snapshot() == clean


def test_two_at_once_wait_for_each_other(play: Play, clean: list[str], snapshot: Snapshot, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.json" for number in range(2)]
    running = [subprocess.Popen(**command(changes=str(file))) for file in files]
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    changes = sorted((json.loads(file.read_text()) for file in files), key=len)
    assert changes[0] == [] and len(changes[1]) >= 9
    assert play(module_proxy_state="absent").rc == 0
    assert snapshot() == clean


def test_it_leaves_no_telemetry(play: Play, host: Any, clean: list[str]) -> None:
    host.check_output("rm -rf /root/.config/go /home/*/.config/go/telemetry")
    assert play().rc == 0
    assert host.run("ls -d /root/.config/go /home/*/.config/go/telemetry").stdout == ""
    assert play(module_proxy_state="absent").rc == 0
