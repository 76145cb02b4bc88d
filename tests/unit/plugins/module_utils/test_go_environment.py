# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import go_environment
from ansible_collections.goready.preflight.plugins.module_utils.go_environment import Wanted
from ansible_collections.goready.preflight.plugins.module_utils.userfiles import Identity, UserChanges

OLD, NEW = "/opt/gvm/gos/go1.26.4", "/opt/gvm/gos/go1.27.3"
EVERYTHING = Wanted(goroot=NEW, links_dir="/usr/local/bin", profile="/etc/profile.d/zz-go.sh", environment_file="/etc/default/go",
                    rc_files=("/etc/bash.bashrc",), gopath="/srv/go")
RECORD = "/var/lib/goready-go-environment-everybody.json"


@pytest.fixture
def host(tmp_path):
    root = tmp_path / "host"
    for folder in ("usr/local/bin", "etc/profile.d", "etc/default", "var/lib", "run"):
        (root / folder).mkdir(parents=True)
    (root / "etc/bash.bashrc").write_bytes(b"# caf\xe9\n[ -z \"$PS1\" ] && return\n")
    return root


def call(root, wanted, *, check_mode=False):
    with UserChanges("go_environment", check_mode=check_mode, root=str(root)) as changes:
        go_environment.apply(changes, wanted, RECORD)
    return changes


def listing(root):
    """{path: what is there}, without the lock's file."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            if os.path.islink(path):
                found[path] = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as stream:
                    found[path] = (about.st_mode, stream.read())
            else:
                found[path] = about.st_mode
    found.pop(str(root / "run/goready-preflight.lock"), None)
    return found


def test_everything_is_made_once_and_taken_back_whole(host):
    before = listing(host)
    said = call(host, EVERYTHING, check_mode=True).changes
    assert listing(host) == before
    done = call(host, EVERYTHING)
    assert done.changes == said
    assert [(line["path"], line["action"]) for line in said] == [
        ("/usr/local/bin/go", "created"), ("/usr/local/bin/gofmt", "created"), ("/etc/profile.d/zz-go.sh", "created"),
        ("/etc/default/go", "created"), ("/etc/bash.bashrc", "changed"), (RECORD, "created")]
    assert not call(host, EVERYTHING).changed
    said = call(host, Wanted(), check_mode=True).changes
    assert call(host, Wanted()).changes == said
    assert listing(host) == before


@pytest.mark.parametrize("first", [NEW, OLD], ids=["fresh", "switched"])
def test_a_link_of_somebody_else_comes_back(host, first):
    (host / "usr/local/bin/go").symlink_to("/usr/local/go/bin/go")
    before = listing(host)
    for goroot in (first, NEW):
        call(host, Wanted(goroot=goroot, links_dir="/usr/local/bin"))
    assert os.readlink(host / "usr/local/bin/go") == NEW + "/bin/go"
    call(host, Wanted())
    assert listing(host) == before


def test_what_somebody_changed_since_stays(host):
    call(host, EVERYTHING)
    (host / "usr/local/bin/go").unlink()
    (host / "usr/local/bin/go").symlink_to("/snap/bin/go")
    (host / "etc/default/go").write_text("PATH=/mine\n")
    call(host, Wanted())
    assert os.readlink(host / "usr/local/bin/go") == "/snap/bin/go"
    assert (host / "etc/default/go").read_text() == "PATH=/mine\n"
    assert not (host / "usr/local/bin/gofmt").is_symlink()
    assert not (host / "etc/profile.d/zz-go.sh").exists()


def test_a_switch_turned_off_and_a_path_moved(host):
    call(host, EVERYTHING)
    moved = EVERYTHING._replace(profile="/etc/profile.d/go.sh", environment_file="", rc_files=())
    assert {(line["path"], line["action"]) for line in call(host, moved).changes} == {
        ("/etc/profile.d/zz-go.sh", "removed"), ("/etc/profile.d/go.sh", "created"), ("/etc/default/go", "removed"),
        ("/etc/bash.bashrc", "changed"), (RECORD, "changed")}
    assert (host / "etc/bash.bashrc").read_bytes() == b"# caf\xe9\n[ -z \"$PS1\" ] && return\n"


def test_folders_that_were_made_go_when_they_are_empty(host):
    before = listing(host)
    wanted = Wanted(goroot=NEW, links_dir="/home/d/.local/bin", rc_files=("/home/d/.profile",))
    call(host, wanted)
    call(host, wanted)
    (host / "home/d/.local/bin/mine").write_text("")
    call(host, Wanted())
    assert os.listdir(host / "home/d/.local/bin") == ["mine"]
    (host / "home/d/.local/bin/mine").unlink()
    for folder in ("home/d/.local/bin", "home/d/.local", "home/d", "home"):
        (host / folder).rmdir()
    assert listing(host) == before


def test_the_record_may_be_lost(host):
    call(host, EVERYTHING)
    (host / RECORD[1:]).unlink()
    assert {line["path"] for line in call(host, EVERYTHING).changes} == {RECORD}
    call(host, Wanted())
    assert os.listdir(host / "usr/local/bin") == []


@pytest.mark.parametrize(("plant", "message"), [
    pytest.param(lambda host: (host / "usr/local/bin/go").write_text("#!"), "/usr/local/bin/go is a file: a link goes there only "
                 "where none or another link is; move it away or choose another folder", id="program"),
    pytest.param(lambda host: (host / "usr/local/bin/gofmt").mkdir(), "/usr/local/bin/gofmt is a folder: a link goes there only "
                 "where none or another link is; move it away or choose another folder", id="folder"),
    pytest.param(lambda host: (host / "etc/default/go").write_text("PATH=/mine\n"), "/etc/default/go is there already and was not "
                 "written by this module: move it away or choose another path", id="file"),
    pytest.param(lambda host: (host / "etc/profile.d/zz-go.sh").symlink_to("/etc/passwd"), "/etc/profile.d/zz-go.sh is there "
                 "already and was not written by this module: move it away or choose another path", id="link"),
    pytest.param(lambda host: (host / RECORD[1:]).write_text("[]"),
                 RECORD + ": it does not hold what was written there; move it away", id="record"),
])
def test_what_is_in_the_way_is_told_and_nothing_is_changed(host, plant, message):
    plant(host)
    before = listing(host)
    for check_mode in (True, False):
        with pytest.raises(ValueError, match="^" + message.replace("(", r"\(") + "$"):
            call(host, EVERYTHING, check_mode=check_mode)
        assert listing(host) == before


SOMEBODY = Identity("somebody", 4711, 4711, (4711,))
THEIRS = Wanted(goroot=NEW, links_dir="/home/d/.local/bin", environment_file="/etc/go/env",
                rc_files=("/home/d/.bashrc", "/home/d/.profile"), who=SOMEBODY, homes=("/home/d",))


@pytest.fixture
def home(host, tmp_path):
    """The home of SOMEBODY, who can reach it."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and str(folder) != "/":
            folder.chmod(folder.stat().st_mode | 0o011)
    place = host / "home/d"
    place.mkdir(parents=True)
    (place / ".bashrc").write_text("export TOKEN=s3cret\n")
    for path in (place, place / ".bashrc"):
        os.chown(path, SOMEBODY.uid, SOMEBODY.gid)
    return place


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@needs_root
def test_what_is_in_a_home_belongs_to_its_user_and_nothing_else(host, home):
    before = listing(host)
    said = call(host, THEIRS, check_mode=True).changes
    assert call(host, THEIRS).changes == said
    owners = {path: os.lstat(host / path).st_uid for path in (
        "home/d/.local", "home/d/.local/bin", "home/d/.local/bin/go", "home/d/.bashrc", "home/d/.profile", "etc/go", "etc/go/env",
        RECORD[1:])}
    assert owners == {path: 4711 if path.startswith("home/") else 0 for path in owners}
    assert not call(host, THEIRS).changed
    call(host, Wanted(who=SOMEBODY, homes=THEIRS.homes))
    assert listing(host) == before


@needs_root
@pytest.mark.parametrize("planted", ["home/d/.local", "home/d/.local/bin"])
def test_a_link_in_a_home_leads_root_nowhere(host, home, planted):
    (host / "etc/cron.d").mkdir()
    (host / planted).parent.mkdir(exist_ok=True)
    (host / planted).symlink_to(host / "etc/cron.d")
    with pytest.raises(PermissionError):
        call(host, THEIRS)
    assert os.listdir(host / "etc/cron.d") == []
    assert (home / ".bashrc").read_text() == "export TOKEN=s3cret\n"


@needs_root
def test_a_difference_shows_nothing_of_a_start_file_but_the_block(host, home):
    block = go_environment.with_block("", go_environment.shell_lines(NEW))
    for wanted, before, after in ((THEIRS, "", block), (Wanted(who=SOMEBODY, homes=THEIRS.homes), block, "")):
        (entry,) = [entry for entry in call(host, wanted).diff if entry["after_header"] == "/home/d/.bashrc"]
        assert (entry["before"], entry["after"]) == (before, after)


@needs_root
def test_without_root_the_prediction_is_what_happens(home):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(SOMEBODY.gid)
            os.setuid(SOMEBODY.uid)
            os.environ["HOME"] = str(home)
            told = []
            for check_mode in (True, False):
                with UserChanges("go_environment", check_mode=check_mode, **go_environment.places()) as changes:
                    go_environment.apply(changes, Wanted(goroot=NEW, links_dir="%s/.local/bin" % home), go_environment.record_path(""))
                told.append(changes.changes)
            os.write(writing, json.dumps(told).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        predicted, done = json.loads(stream.read() or "[[], null]")
    os.waitpid(pid, 0)
    assert predicted == done and predicted[0]["path"] == "%s/.local" % home


# What is /bin/sh somewhere: Debian's, Red Hat's, Alpine's; and zsh, which reads the same files where it is told to.
FOUND = {name: shutil.which(name) for name in ("dash", "bash", "busybox", "zsh")}
SHELLS = {name: [path, *(["sh"] if name == "busybox" else [])] for name, path in FOUND.items() if path}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("path", "gopath", "answer"), [
    pytest.param("/usr/bin:/bin", "", NEW + "/bin:/usr/bin:/bin||", id="first"),
    pytest.param(NEW + "/bin:/usr/bin", "", NEW + "/bin:/usr/bin||", id="already"),
    pytest.param("/usr/bin:" + NEW + "/bin", "", NEW + "/bin:/usr/bin:" + NEW + "/bin||", id="behind"),
    pytest.param(None, "", NEW + "/bin||", id="unset"),
    pytest.param("/bin", "/srv/go", NEW + "/bin:/bin:/srv/go/bin|/srv/go|", id="gopath"),
    pytest.param("/bin", "~/go", NEW + "/bin:/bin:/h o/go/bin|/h o/go|", id="home"),
])
def test_the_lines_in_a_real_shell(shell, path, gopath, answer):
    environment = {"HOME": "/h o", "GOROOT": "/wrong", **({} if path is None else {"PATH": path})}
    lines = go_environment.shell_lines(NEW, gopath)
    script = ("unset PATH\n" if path is None else "") + "set -eu\n" + lines + "echo \"$PATH|${GOPATH-}|${GOROOT-}\""
    found = subprocess.run([*SHELLS[shell], "-c", script], env=environment, check=True, text=True, stdout=subprocess.PIPE).stdout
    assert found == answer + "\n"


def test_the_lines_for_units():
    assert go_environment.unit_lines(NEW) == (
        "PATH=/opt/gvm/gos/go1.27.3/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nGOROOT=\n")
    assert go_environment.unit_lines(NEW, "/srv/go").endswith("GOPATH=/srv/go\n")
    assert "GOPATH" not in go_environment.unit_lines(NEW, "~/go")


@given(st.text())
def test_a_block_is_taken_out_as_it_was_put_in(text):
    rest = go_environment.without_block(text)
    once = go_environment.with_block(text, go_environment.shell_lines(NEW))
    assert go_environment.without_block(once) == rest
    assert go_environment.with_block(once, go_environment.shell_lines(NEW)) == once


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["made", "kind", "before", "set", "/x"]), inner)).map(lambda value: json.dumps(value).encode()))
def test_any_record_gives_entries_or_value_error(content):
    try:
        made = go_environment.parse_record(content)
    except ValueError as exc:
        assert str(exc) == "it does not hold what was written there"
    else:
        assert all(set(entry) == {"kind", "before", "set"} for entry in made.values())
