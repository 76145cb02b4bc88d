# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys
import time

import pytest

from ansible_collections.goready.preflight.plugins.plugin_utils import looks, runtimes, sampling


def endpoint(**other):
    return {"service": "api", "container": None, "pid": 7, "started": 100.0, "prefix": "",
            "listener": {"proto": "tcp", "address": "127.0.0.1", "port": 6060, "path": None},
            "groups": {}, "takes": [{"phase": "idle", "at": 0}], "error": None, **other}


class Clock:
    """Time that passes where somebody sleeps."""

    def __init__(self):
        self.now = 0.0
        self.said = []
        self.calls = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def go(self, value, load=None, running=None, answer=None, settings=None):
        facts = {"runtime": {"endpoints": [endpoint()]}}

        def call(step, targets):
            self.calls.append((step.phase, round(self.now)))
            assert targets == [{key: item for key, item in endpoint().items() if key not in ("takes", "groups", "error")}]
            self.now += 2
            return answer or {"facts": {"runtime": {"endpoints": [endpoint(takes=[{"phase": step.phase, "at": self.now}])]}},
                              "profiles": [step.phase]}

        profiles = []
        looks.go_on(facts, sampling.steps(sampling.parse(value), load, "deep")[1:], load, call=call,
                    keep=lambda one: profiles.extend(one.get("profiles") or ()), start=lambda one: running, say=self.said.append,
                    begin=0.0, clock=self, sleep=self.sleep)
        return facts, profiles


class Work:
    def __init__(self, clock, seconds, rc=0, said=""):
        self.clock, self.end, self.rc, self.said = clock, clock.now + seconds, rc, said

    def ended(self):
        return self.clock.now >= self.end

    def finish(self):
        return self.rc, self.said


def test_looks_come_at_their_times():
    clock = Clock()
    facts, profiles = clock.go({"snapshots": 4, "interval": 10})
    assert clock.calls == [("idle", second) for second in (5, 10, 15, 20, 25, 30)] and profiles == ["idle"] * 6
    assert [take["phase"] for take in facts["runtime"]["endpoints"][0]["takes"]] == ["idle"] * 7
    assert clock.said == ["4 looks at its services over 30 s", "look 2 of 4 made, the last one in 20 s",
                          "look 3 of 4 made, the last one in 10 s"]
    assert "load" not in facts["runtime"]


def test_phases_around_a_load():
    clock = Clock()
    load = sampling.parse_load({"command": "x", "duration": 40, "settle": 5})
    facts, _profiles = clock.go({"snapshots": 2, "interval": 8}, load, Work(clock, 50))
    assert clock.calls == [("idle", 8), ("load", 20), ("load", 30), ("load", 40), ("after", 55), ("after", 59), ("after", 63)]
    assert facts["runtime"]["load"] == {"words": "the command x on the controller", "seconds": 40.0, "rc": 0, "error": None}


def test_a_load_that_fails_at_once_is_told_and_not_looked_at():
    clock = Clock()
    load = sampling.parse_load({"command": "x", "duration": 40, "settle": 5})
    facts, _profiles = clock.go({"snapshots": 2, "interval": 8}, load, Work(clock, 0, 127, "x cannot be run"))
    assert [phase for phase, _when in clock.calls] == ["idle", "after", "after", "after"]
    assert facts["runtime"]["load"]["error"] == "it ended with exit status 127: x cannot be run"
    assert "the load failed: it ended with exit status 127: x cannot be run" in clock.said


def test_a_look_that_gives_nothing_leaves_the_others():
    clock = Clock()
    facts, profiles = clock.go({"snapshots": 3, "interval": 8}, answer={"msg": "unreachable: broken pipe"})
    assert len(facts["runtime"]["endpoints"][0]["takes"]) == 1 and profiles == []
    assert [error["message"] for error in facts["errors"]] == [
        "look 2 (idle) gave nothing: unreachable: broken pipe", "look 3 (idle) gave nothing: unreachable: broken pipe"]


@pytest.mark.parametrize(("later", "restarted"), [
    pytest.param({"pid": 9, "started": 300.0}, "PID 7 was replaced by PID 9: one later take was dropped", id="pid"),
    pytest.param({"started": 300.0}, "PID 7 was replaced by a process of the same PID: one later take was dropped", id="life"),
    pytest.param({"pid": None, "started": None, "takes": [], "restarted": "gone"},
                 "PID 7 was replaced by another process: one later take was dropped", id="collector"),
])
def test_two_lives_are_never_mixed(later, restarted):
    runtime = {"endpoints": [endpoint()]}
    runtimes.merge(runtime, {"endpoints": [endpoint(**later)]})
    assert runtime["endpoints"][0]["restarted"] == restarted and len(runtime["endpoints"][0]["takes"]) == 1
    runtimes.merge(runtime, {"endpoints": [endpoint(**later)]})
    assert runtime["endpoints"][0]["restarted"].endswith("2 later takes were dropped")


def test_a_failed_take_is_kept_beside_the_others():
    runtime = {"endpoints": [endpoint()]}
    runtimes.merge(runtime, {"endpoints": [endpoint(takes=[], error={"kind": "timeout", "message": "late"})]})
    assert runtime["endpoints"][0]["interrupted"] == {"kind": "timeout", "message": "late"}
    assert len(runtime["endpoints"][0]["takes"]) == 1


def local(code, seconds=30):
    return looks.Local(sampling.parse_load({"command": [sys.executable, "-c", code], "duration": seconds}))


def gone(pid):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            if open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def until_ended(running):
    end = time.monotonic() + 20
    while not running.ended() and time.monotonic() < end:
        time.sleep(0.02)
    return running.finish()


def test_a_local_load_gives_its_status_and_its_last_words_without_secrets():
    assert until_ended(local("pass")) == (0, "")
    assert until_ended(local("import sys; sys.exit('no\\n  way: password=hunter2hunter2')")) == (1, "no way: password=[redacted]")


def test_a_local_load_is_ended_with_its_children(tmp_path):
    mark = tmp_path / "pid"
    running = local(f"import subprocess, time; p = subprocess.Popen(['sleep', '60']); open({str(mark)!r}, 'w').write(str(p.pid)); "
                    "time.sleep(60)", seconds=1)
    rc, _said = until_ended(running)
    assert rc in (None, 124)
    assert gone(int(mark.read_text()))


def test_a_command_that_is_not_there():
    running = looks.Local(sampling.parse_load({"command": "/nowhere/load", "duration": 5}))
    rc, said = until_ended(running)
    assert rc == 127 and "/nowhere/load" in said and "No such file or directory" in said


def test_a_load_ends_with_the_process_that_started_it(tmp_path):
    mark = tmp_path / "pid"
    program = (
        "import time\n"
        "from ansible_collections.goready.preflight.plugins.plugin_utils import looks, sampling\n"
        f"looks.Local(sampling.parse_load({{'command': ['sh', '-c', 'echo $$ > {mark}; exec sleep 60'], 'duration': 50}}))\n"
        "time.sleep(60)\n")
    parent = subprocess.Popen([sys.executable, "-c", program])
    end = time.monotonic() + 20
    while not (mark.exists() and mark.read_text().strip()) and time.monotonic() < end:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    assert gone(int(mark.read_text()))
