# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""readiness_facts, subset runtime, as Ansible runs it, against the tests' own Go service (tests/lab/leaky) on loopback."""
from __future__ import annotations

import base64
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from ansible_collections.goready.preflight.plugins.module_utils import profile
from ansible_collections.goready.preflight.plugins.modules import readiness_facts

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ["1.27", "1.21"]
SECRET = "S3cr3t-of-the-test"


@functools.cache
def binary(version="1.27"):
    done = subprocess.run([sys.executable, "tests/lab/build_service.py", "build", f"leaky-go{version}"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, check=True, timeout=600)
    return json.loads(done.stdout)["variants"][f"leaky-go{version}"]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Service:
    """A service of ours, with its pprof where it is told to be. ``argv`` goes in front of it (another network)."""

    def __init__(self, *flags, version="1.27", pprof=None, argv=()):
        self.port = free_port()
        self.pprof = pprof or f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [*argv, binary(version), "-listen", f"127.0.0.1:{self.port}", "-pprof", self.pprof, *flags], stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, start_new_session=True)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait(self):
        for _attempt in range(100):
            try:
                return self.get("/healthz")
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the service does not answer")

    def get(self, path, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read()

    def declared(self, **more):
        where = self.pprof if self.pprof.startswith("unix:") else f"{more.pop('scheme', 'http')}://{self.pprof}"
        return {"name": "leaky", "binary": binary(), "pprof": where, **more}


def call(*services, check=True, **arguments):
    """(facts, profiles, what the module printed): its own process, arguments as JSON, one JSON answer."""
    arguments = {"subsets": ["runtime"], "services": list(services), **arguments}
    done = subprocess.run(
        [sys.executable, "-m", readiness_facts.__name__], input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), text=True,
        capture_output=True, timeout=120, check=False, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    return answer["facts"], answer["profiles"], done.stdout


def of(facts, pid):
    """Other Go processes may run on this machine."""
    [entry] = [one for one in facts["runtime"]["endpoints"] if one["pid"] == pid]
    return entry


def find(service, *declared, **arguments):
    """The endpoint as the module finds it among everything on this machine. Other people's services are asked for next to nothing."""
    return of(call(*declared, runtime={"kinds": ["threadcreate"]}, **arguments)[0], service.pid)


def target(entry):
    """What the controller tells a later call of an endpoint: it alone is asked then."""
    return {key: value for key, value in entry.items() if key not in ("takes", "groups", "error", "restarted")}


def take_of(entry, *declared, credentials=(), **runtime):
    """(endpoint, profiles, what the module printed) of a whole take."""
    kinds = [kind for kind in readiness_facts.KINDS if kind != "cpu"]
    facts, profiles, said = call(*declared, credentials=list(credentials), runtime={"kinds": kinds, "targets": [target(entry)], **runtime})
    assert [one for one in facts["errors"] if one["part"].startswith("runtime")] == []
    [again] = facts["runtime"]["endpoints"]
    return again, profiles, said


@pytest.mark.parametrize("version", VERSIONS)
def test_a_service_that_leaks(version):
    ways = ("unbuffered-send", "mutex", "wait-group")
    with Service("-leak", ",".join(ways), "-rate", "20", "-count", "12", "-mutex-fraction", "100", version=version) as service:
        service.wait()
        for _attempt in range(100):
            truth = json.loads(service.get("/truth"))
            if all(way in truth and truth[way]["leaked"] >= 12 for way in ways):
                break
            time.sleep(0.1)
        found = of(call(runtime={"kinds": ["threadcreate", "metrics"]})[0], service.pid)
        entry, profiles, _said = take_of(found, raw=["heap", "goroutine"])
    assert entry["error"] is None and entry["go_version"].startswith(f"go{version}.")
    [take] = entry["takes"]
    assert [one["error"] for one in take["asked"] if one["error"]] == []
    for way in ways:
        known = [key for key, group in entry["groups"].items()
                 if any((row[0], row[2]) == (truth[way]["function"], truth[way]["line"]) for row in group["frames"])]
        assert sum(take["goroutines"]["counts"].get(key, 0) for key in known) == truth[way]["leaked"], way
        assert sum(len(take["dump"]["ids"].get(key, ())) for key in known) == truth[way]["leaked"], way
        assert {entry["groups"][key]["class"] for key in known} == {truth[way]["class"]}
        if version == "1.27":
            assert sum(take["leaks"]["counts"].get(key, 0) for key in known) == truth[way]["leaked"], way
    assert take["leaks"]["available"] is (version == "1.27")
    assert take["goroutines"]["total"] == pytest.approx(take["dump"]["total"], abs=12)  # requests come and go
    assert take["mutex"]["period"] == 100
    assert take["metrics"]["families"]["go_goroutines"] > 36 and entry["metrics_url"] == f"http://127.0.0.1:{service.port}/metrics"
    assert {one["kind"] for one in profiles} == {"heap", "goroutine"}
    for one in profiles:
        [listed] = [row for row in take["profiles"] if row["kind"] == one["kind"]]
        assert profile.totals(profile.parse(base64.b64decode(one["data"]))) == listed["totals"]


@pytest.mark.parametrize(("flags", "given"), [
    (["-token", SECRET], {"token": SECRET}), (["-basic-auth", f"ops:{SECRET}"], {"username": "ops", "password": SECRET}),
    (["-basic-auth", "ops:main"], {"username": "ops", "password": "main"})], ids=["token", "basic", "a short password"])
def test_credentials_over_tls_are_nowhere_to_be_read(tmp_path, flags, given):
    ca = tmp_path / "ca.pem"
    with Service("-pprof-tls", "-ca-file", str(ca), *flags) as service:
        service.wait()
        declared = service.declared(scheme="https")
        good = [{"service": "leaky", "ca_file": str(ca), **given}]
        entry, profiles, said = take_of(find(service, declared, credentials=good), declared, credentials=good, raw=["goroutine"])
        without = find(service, declared)
        unknown = find(service, declared, credentials=[{"service": "leaky", **given}])
    assert entry["error"] is None and entry["takes"][0]["goroutines"]["total"] > 3
    assert entry["credentials"] == ("bearer" if "token" in given else "basic")
    secret = given.get("token") or given["password"]
    if len(secret) > 4:  # the short one is a word of every Go program, and must not be cut out of what is returned
        assert secret not in said and base64.b64encode(f"ops:{secret}".encode()).decode() not in said
    assert any(row[0].startswith("main.") for group in entry["groups"].values() for row in group["frames"])
    assert all(profile.parse(base64.b64decode(one["data"])).samples for one in profiles)
    assert without["error"]["kind"] == "unauthorized"
    assert unknown["error"]["kind"] == "certificate"


def test_a_unix_socket(tmp_path):
    with Service(pprof=f"unix://{tmp_path}/pprof.sock") as service:
        service.wait()
        entry, _profiles, _said = take_of(find(service))
    assert entry["listener"]["path"] == f"{tmp_path}/pprof.sock" and entry["takes"][0]["goroutines"]["total"] > 3


def test_another_network():
    if subprocess.run(["unshare", "--net", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a network namespace needs CAP_SYS_ADMIN")
    with Service(argv=("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")) as service:
        for _attempt in range(50):
            facts = call(runtime={"kinds": ["threadcreate", "metrics"]})[0]
            found = [one for one in facts["runtime"]["endpoints"] if one["pid"] == service.pid]
            if found:
                break
        entry, _profiles, _said = take_of(found[0])
    assert entry["namespace"] == "other" and entry["error"] is None
    assert entry["takes"][0]["goroutines"]["total"] > 3 and entry["takes"][0]["metrics"] is not None


MISBEHAVE = {
    "slow": {"timeout"}, "500": {"status"}, "html": {"not_pprof"}, "huge": {"too_big"}, "bomb": {"too_big", "timeout"},
    "garbage": {"broken", "not_pprof"}, "cut": {"broken"}, "gone": {"refused", "broken"},
}


@pytest.mark.parametrize("how", MISBEHAVE)
def test_a_service_that_misbehaves(how):
    with Service() as service:
        service.wait()
        found = find(service)
        service.get(f"/misbehave?kind={how}" + ("" if how == "gone" else ":goroutine"), "POST")
        started = time.monotonic()
        entry, _profiles, _said = take_of(found)
        took = time.monotonic() - started
        assert service.process.poll() is None
    failed = [one["error"]["kind"] for take in entry["takes"] for one in take["asked"] if one["error"]] or [entry["error"]["kind"]]
    assert failed[0] in MISBEHAVE[how], entry
    assert took < 25  # the budget and the start of Python


def test_a_restart_between_two_takes():
    with Service() as service:
        service.wait()
        first = target(find(service))
    with Service(pprof=service.pprof) as other:
        other.wait()
        facts, _profiles, _said = call(runtime={"targets": [first], "phase": "idle"})
        [entry] = facts["runtime"]["endpoints"]
        assert (entry["takes"], entry["error"]["kind"], entry["pid"]) == ([], "restarted", other.pid)
        assert {"services", "pprof"} & set(facts) == set()
    [entry] = call(runtime={"targets": [first]})[0]["runtime"]["endpoints"]
    assert (entry["error"]["kind"], entry["restarted"]) == ("refused", None)


def test_two_verifications_at_once():
    """One takes the CPU profile, the other says that it is busy; all else is taken by both."""
    with Service() as service:
        service.wait()
        answers, found = [], find(service)
        runtime = {"kinds": ["heap", "goroutine", "cpu"], "cpu_seconds": 6}
        threads = [threading.Thread(target=lambda: answers.append(take_of(found, **runtime)[0])) for _number in range(2)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    takes = [entry["takes"][0] for entry in answers]
    assert all(take["goroutines"]["total"] > 3 for take in takes)
    busy = [one["error"]["kind"] for take in takes for one in take["asked"] if one["error"]]
    assert busy == ["cpu_busy"] and sum(take["cpu"] is not None for take in takes) == 1


POLLER = """
import socket, sys, time
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
longest = 0.0
while True:
    start = time.monotonic()
    one.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    one.recv(4096)
    longest = time.monotonic() - start
    print("%.6f %.6f" % (start, longest), flush=True)
    time.sleep(0.001)
"""


@pytest.mark.parametrize("number", [100, 100_000])
def test_a_take_stalls_a_service_for_less_than_50_ms(number):
    """The best of four: other work on this machine can delay an answer, but nothing can make one come early."""
    with Service("-goroutines", str(number)) as service:
        service.wait()
        poller = subprocess.Popen([sys.executable, "-c", POLLER, str(service.port)], stdout=subprocess.PIPE, text=True)
        rows = []
        reader = threading.Thread(target=lambda: rows.extend(
            tuple(map(float, line.split())) for line in poller.stdout if line[0].isdigit()))
        reader.start()
        stalls = []
        try:
            found = find(service)
            for _attempt in range(4):
                begin = time.monotonic()
                entry, _profiles, _said = take_of(found)
                end = time.monotonic()
                time.sleep(0.3)
                assert entry["takes"][0]["goroutines"]["total"] >= number
                assert (entry["takes"][0]["dump"] is None) == (number > 2000)
                stalls.append(max(took for start, took in list(rows) if begin <= start + took and start <= end))
                if stalls[-1] < 0.05:
                    break
        finally:
            poller.kill()
            poller.wait()
            reader.join()
    assert min(stalls) < 0.05, stalls


def test_all_profiles_of_a_module_call_fit_in_little_memory(tmp_path):
    """The module's own process, with everything on, against a service with a heap and goroutines of every kind."""
    with Service("-leak", "goroutines", "-rate", "20") as service:
        service.wait()
        time.sleep(2)
        arguments = {"subsets": ["runtime"], "runtime": {"raw": list(readiness_facts.KINDS), "targets": [target(find(service))]}}
        script = (f"import runpy, sys, atexit; atexit.register(lambda: sys.stderr.write(open('/proc/self/status').read())); "
                  f"runpy.run_module({readiness_facts.__name__!r}, run_name='__main__')")
        done = subprocess.run([sys.executable, "-c", script], input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), text=True, timeout=60,
                              capture_output=True, check=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert len(json.loads(done.stdout)["facts"]["runtime"]["endpoints"][0]["groups"]) > 20
    assert int(re.search(r"VmHWM:\s+([0-9]+) kB", done.stderr).group(1)) < 150 * 1024
