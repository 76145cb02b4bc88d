# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subsets sample and timeouts as the module is run, against a Go service with the faults that only the kernel sees
(tests/integration/kernel), in a network namespace of its own: its sysctls and counters are nobody else's."""
from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import build_service
import labcache
import pytest
from scenario import ROOT, wait_until

from ansible_collections.goready.preflight.plugins.module_utils import procfs
from ansible_collections.goready.preflight.plugins.module_utils.collect import sample
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, gather
from ansible_collections.goready.preflight.plugins.modules import readiness_facts
from ansible_collections.goready.preflight.plugins.plugin_utils import watched
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Policy, run
from ansible_collections.goready.preflight.plugins.sub_plugins.check import network

OWN = "10.9.8.7"
CHECKS = (network.retransmits, network.listen_overflow, network.conntrack)

pytestmark = pytest.mark.skipif(
    subprocess.run(["unshare", "--net", "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0,
    reason="a network namespace needs CAP_SYS_ADMIN")


@functools.cache
def binary() -> str:
    goroot = build_service.sdk("1.27.3", build_service.native())
    source = ROOT / "tests/integration/kernel"
    mark = labcache.digest("1.27.3", *(path.read_text() for path in sorted(source.iterdir())))
    target = labcache.cache_dir() / "kernel" / mark / "kernelsvc"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f"unfinished-{os.getpid()}")
        subprocess.run([str(goroot / "bin/go"), "build", "-buildvcs=false", "-o", str(half), "."], cwd=source, check=True, timeout=600,
                       env=build_service.environment(target.parent))
        half.rename(target)
    return str(target)


def sockets(pid: int) -> list[list[str]]:
    """The rows of /proc/PID/net/tcp, see proc_net_tcp(5): a row's state is its fourth word."""
    return [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]


def listening(pid: int) -> list[procfs.Listener]:
    return [one for proto in ("tcp", "tcp6") for one in procfs.parse_net_tcp(Path(f"/proc/{pid}/net/{proto}").read_text(), proto=proto)]


class Network:
    """A network namespace with loopback, an address of its own, and ``ports`` local ports."""

    def __init__(self, ports: int = 0) -> None:
        setup = f"ip link set lo up && ip addr add {OWN}/32 dev lo"
        if ports:
            setup += f" && echo '40000 {39999 + ports}' > /proc/sys/net/ipv4/ip_local_port_range"
        self.processes = [subprocess.Popen(["unshare", "--net", "sh", "-c", setup + " && echo ready && exec sleep 300"],
                                           stdout=subprocess.PIPE, text=True)]
        assert self.processes[0].stdout.readline() == "ready\n"
        self.argv = ["nsenter", f"--net=/proc/{self.processes[0].pid}/ns/net"]

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *unused: object) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def start(self, *flags: str) -> int:
        """A service, and its PID once it listens."""
        port = int(flags[flags.index("-listen") + 1].rpartition(":")[2])
        process = subprocess.Popen([*self.argv, binary(), *flags], stderr=subprocess.DEVNULL)
        self.processes.append(process)
        wait_until(lambda: os.readlink(f"/proc/{process.pid}/exe") == binary() and port in {one.port for one in listening(process.pid)},
                   "the service listens")
        return process.pid

    def facts(self, window: float = 2, **more: object) -> dict:
        """What the module says in there."""
        arguments = {"subsets": ["network", "sample", *more.pop("subsets", ())], "services": [{"name": "svc", "binary": binary()}],
                     "active": {"budget": 60, "profile": "deep", "network": {"window": window, **more}}}
        done = subprocess.run(
            [*self.argv, sys.executable, "-m", readiness_facts.__name__], input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), text=True,
            capture_output=True, timeout=120, check=False, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["facts"]

    def judged(self, **more: object) -> dict:
        facts = self.facts(**more)
        # Other people's programs on this machine are in other networks.
        facts["sample"]["kernel"]["namespaces"] = []
        return {(one.id.partition(".")[2], one.subject): one for one in run(CHECKS, facts, Policy(profile="deep"))}


def findings(judged: dict) -> dict:
    return {key: one.reason for key, one in judged.items() if one.status not in ("pass", "notapplicable")}


def test_a_healthy_service_is_silent():
    with Network() as net:
        net.start("-listen", "127.0.0.1:8080", "-header", "5s")
        net.start("-listen", "127.0.0.1:8081", "-hold", "127.0.0.1:8080", "-count", "200")
        judged = net.judged()
    assert findings(judged) == {}
    assert judged["listen_overflow", "svc"].status == "pass"
    assert judged["conntrack", ""].status in ("pass", "notapplicable")


def test_nobody_accepts():
    with Network() as net:
        net.start("-listen", "127.0.0.1:8080", "-stuck", "9001", "-backlog", "1", "-hold", "127.0.0.1:9001", "-count", "50")
        judged = net.judged()
    found = findings(judged)
    assert set(found) == {("listen_overflow", "svc 127.0.0.1:9001")}
    assert "had 2 connections waiting to be accepted at a backlog of 1" in found["listen_overflow", "svc 127.0.0.1:9001"]
    assert judged["listen_overflow", "svc 127.0.0.1:9001"].actual["drops"] >= 1


LOSS = """
add table inet loss
add chain inet loss input { type filter hook input priority 0; }
add rule inet loss input iif lo tcp sport 8080 numgen random mod 4 < 1 drop
"""
#: Thirty clients that keep their connections.
CLIENTS = """
import http.client, threading, time
end = time.monotonic() + 120
def ask():
    while time.monotonic() < end:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=3)
            while time.monotonic() < end:
                connection.request("GET", "/")
                connection.getresponse().read()
                time.sleep(0.02)
        except OSError:
            pass
threads = [threading.Thread(target=ask) for _number in range(30)]
[one.start() for one in threads]
[one.join() for one in threads]
"""


def test_lost_segments():
    with Network() as net:
        pid = net.start("-listen", "127.0.0.1:8080")
        if subprocess.run([*net.argv, "nft", "-f", "-"], input=LOSS, text=True, check=False, stderr=subprocess.DEVNULL).returncode:
            pytest.skip("nft cannot drop packets at random here")
        net.processes.append(subprocess.Popen([*net.argv, sys.executable, "-c", CLIENTS], stderr=subprocess.DEVNULL))
        wait_until(lambda: [row[3] for row in sockets(pid)].count("01") >= 40, "twenty clients are connected")
        found = findings(net.judged(window=3))
    assert set(found) == {("retransmits", "")}
    assert re.fullmatch(r"\d+ of \d+ TCP segments \([\d.]+ %\) were sent again within 3[\d.]* s; at most 3 % are accepted\.",
                        found["retransmits", ""])


#: As a load balancer asks whether a port is open: a SYN, and for the answer a reset (the kernel sends it, for no socket asked).
HALF_OPEN = """
import socket, struct, time
own, there = socket.inet_aton("%s"), socket.inet_aton("127.0.0.1")
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
    raw.bind(("%s", 0))
    for number in range(1200):
        head = struct.pack("!HHIIBBHHH", 50000 + number %% 1000, 8080, 1000, 0, 0x50, 2, 65535, 0, 0)
        whole = own + there + struct.pack("!BBH", 0, 6, len(head)) + head
        total = sum(struct.unpack("!%%dH" %% (len(whole) // 2), whole))
        total = (total >> 16) + (total & 0xffff)
        total += total >> 16
        raw.sendto(head[:16] + struct.pack("!H", ~total & 0xffff) + head[18:], ("127.0.0.1", 0))
        time.sleep(0.1)
""" % (OWN, OWN)


def test_half_open_probes_are_no_finding():
    with Network() as net:
        net.start("-listen", "127.0.0.1:8080")
        net.processes.append(subprocess.Popen([*net.argv, sys.executable, "-c", HALF_OPEN]))
        facts = net.facts(window=3)
    (listener,) = [one for one in facts["sample"]["listeners"] if one["port"] == 8080 and one["net"] is None]
    assert listener["drops"] >= 5, "what the kernel counts for the resets"
    assert facts["sample"]["kernel"]["tcp"]["ListenDrops"] == 0
    facts["sample"]["kernel"]["namespaces"] = []
    assert {one.status for one in run([network.listen_overflow], facts, Policy())} == {"pass"}


@pytest.mark.parametrize(("to", "flags", "expected"), [
    pytest.param("127.0.0.1", (), "high", id="kept"),
    pytest.param(OWN, ("-closed",), "high", id="TIME-WAIT"),
    # The kernel would use some again before it takes the last.
    pytest.param("127.0.0.1", ("-closed", "-from", "40000"), None, id="TIME-WAIT on loopback is used again"),
])
def test_local_ports(to, flags, expected):
    with Network(ports=100) as net:
        net.start("-listen", "0.0.0.0:8080", "-header", "1m")
        pid = net.start("-listen", "127.0.0.1:8081", "-hold", f"{to}:8080", "-count", "150", *flags)
        ports = {f"{port:04X}" for port in range(40000, 40100)}
        wait_until(lambda: ports <= {row[1][-4:] for row in sockets(pid) if row[2].endswith(":1F90")}, "all local ports are taken")
        judged = net.judged(window=1)
    result = judged.get(("conntrack", f"{to}:8080"))
    assert (result and result.severity) == expected, judged
    if expected:
        assert "of 100 local ports (" in result.reason
    if not flags:
        assert "(of svc)" in result.reason


def test_a_service_in_another_network_is_watched_there():
    with Network(ports=100) as net:
        pid = net.start("-listen", "127.0.0.1:8080", "-stuck", "9001", "-hold", "127.0.0.1:9001", "-count", "50")
        listeners = [procfs.as_listener(one) for one in listening(pid)]
        context = Context(active={"network": {"window": 3}})
        context.shared["services.services"] = [{"name": "svc", "unit": None, "container": None,
                                                "processes": [{"pid": pid, "listeners": listeners}]}]
        found = gather({"sample": sample.PARTS}, context)
    assert found["errors"] == []
    kernel = found["sample"]["kernel"]
    assert (kernel["services"], kernel["port_range"] != [40000, 40099]) == ([], True)
    (inside,) = kernel["namespaces"]
    assert (inside["services"], inside["pid"], inside["port_range"]) == (["svc"], pid, [40000, 40099])
    assert inside["tcp"]["ListenOverflows"] >= 1
    stuck = next(one for one in found["sample"]["listeners"] if one["port"] == 9001)
    assert (stuck["net"], stuck["service"], stuck["backlog"], stuck["queue_max"]) == (pid, "svc", 1, 2)
    (entry,) = found["sample"]["services"]
    assert entry["sched"]["run_seconds"] >= 0


def test_server_timeouts():
    with Network() as net:
        net.start("-listen", "127.0.0.1:8080")
        net.start("-listen", "127.0.0.1:8081", "-header", "1s", "-read", "3s")
        net.start("-listen", "127.0.0.1:8443", "-tls", "-header", "1s")
        urls = ["http://127.0.0.1:8080/", "http://127.0.0.1:8081/", "https://127.0.0.1:8443/", "http://127.0.0.1:8082/"]
        facts = net.facts(window=0.5, timeout=1, subsets=["timeouts"], server_timeouts=urls)
    found = {one["url"]: tuple(watched.server_timeout(one[key]) for key in ("headers", "body")) for one in facts["timeouts"]["listeners"]}
    assert found == {
        urls[0]: (("unlimited", pytest.approx(15, abs=2)),) * 2,
        urls[1]: (("limited", pytest.approx(1, abs=0.9)), ("limited", pytest.approx(3, abs=0.9))),
        urls[2]: (("limited", pytest.approx(1, abs=0.9)), ("unlimited", pytest.approx(15, abs=2))),
        urls[3]: (("unknown", 0.0),) * 2,
    }
