# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset sample, on recorded hosts whose files change while they are watched, and on this one."""
from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.goready.preflight.plugins.module_utils import procfs, sockdiag
from ansible_collections.goready.preflight.plugins.module_utils.collect import sample
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable, gather
from ansible_collections.goready.preflight.plugins.module_utils.sockdiag import Socket

FIXTURES = Path(__file__).parents[3] / "fixtures"
KERNEL = FIXTURES / "kernel"
SELF = os.getpid()


def context(root: Path | str = "/", *, seconds: float = 0.6, budget: float = 60,
            services: list[Mapping[str, Any]] | None = None) -> Context:
    made = Context(root=str(root), active={"budget": budget, "network": {"window": seconds}})
    made.shared["services.services"] = services or []
    return made


def service(*processes: Mapping[str, Any], name: str = "api", container: Any = None) -> dict[str, Any]:
    return {"name": name, "unit": f"{name}.service", "container": container, "processes": list(processes)}


def collect(one: Context) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    found = gather({"sample": sample.PARTS}, one)
    return found["sample"], found["errors"]


def later(function: Callable[[], Any], seconds: float = 0.25) -> None:
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A recorded host, with the counters of one whose queue is full."""
    shutil.copytree(FIXTURES / "host" / "ubuntu24-standin-podman" / "proc", tmp_path / "proc")
    shutil.copytree(KERNEL / "stuck-before", tmp_path / "proc/net", dirs_exist_ok=True)
    (tmp_path / "proc/net/stat").mkdir()
    shutil.copy(KERNEL / "nf_conntrack", tmp_path / "proc/net/stat/nf_conntrack")
    write(tmp_path, "proc/sys/net/netfilter/nf_conntrack_count", "40\n")
    write(tmp_path, "proc/sys/net/netfilter/nf_conntrack_max", "50\n")
    write(tmp_path, "proc/sys/net/ipv4/ip_local_port_range", "40000\t40099\n")
    write(tmp_path, "proc/sys/net/ipv4/ip_local_reserved_ports", "40001,40090-40200\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


# ------------------------------------------------------------------------------------------------------- recorded

def test_growth_of_the_counters(host: Path) -> None:
    def change() -> None:
        shutil.copytree(KERNEL / "stuck-after", host / "proc/net", dirs_exist_ok=True)
        table = host / "proc/net/stat/nf_conntrack"
        lines = [line.split() for line in table.read_text().splitlines()]
        for name, value in (("drop", "00000011"), ("insert_failed", "00000002")):
            lines[1][lines[0].index(name)] = value
        table.write_text("\n".join(" ".join(words) for words in lines) + "\n")

    inode = next(one.inode for one in sockdiag.parse_rows((KERNEL / "stuck-after/tcp").read_text().splitlines(), family=socket.AF_INET)
                 if one.sport == 9001)
    later(change)
    found, errors = collect(context(host, services=[service({"pid": 7, "listeners": [{"port": 9001, "inode": inode}]})]))
    kernel = found["kernel"]
    assert errors == []
    assert (kernel["tcp"]["ListenOverflows"], kernel["tcp"]["ListenDrops"], kernel["tcp"]["TCPSynRetrans"]) == (53, 53, 44)
    assert 0.6 <= kernel["seconds"] < 5
    assert kernel["wanted"] == 0.6
    assert kernel["conntrack"] == {"count": 40, "maximum": 50, "drops": 17, "early_drops": 0, "insert_failed": 2}
    assert (kernel["port_range"], kernel["reserved_ports"], kernel["complete"]) == ([40000, 40099], 11, True)
    busiest = kernel["destinations"][0]
    assert {key: busiest[key] for key in ("address", "port", "source", "ports", "established")} == {
        "address": "127.0.0.1", "port": 9100, "source": "127.0.0.1", "ports": 90, "established": 90}
    # /proc/net/tcp has the queue; neither backlog nor drops are in it.
    (listener,) = found["listeners"]
    assert {key: listener[key] for key in ("service", "port", "queue_max", "backlog", "drops")} == {
        "service": "api", "port": 9001, "queue_max": 2, "backlog": None, "drops": None}
    assert len(listener["queue"]) >= 2


def test_a_host_without_conntrack_and_without_ipv6(host: Path) -> None:
    shutil.rmtree(host / "proc/sys/net/netfilter")
    for name in ("tcp6", "sockstat6"):
        (host / "proc/net" / name).unlink()
    found, errors = collect(context(host))
    assert found["kernel"]["conntrack"] is None
    assert found["kernel"]["sockets"]["tcp6_inuse"] is None
    assert errors == []


def test_a_damaged_file_costs_itself(host: Path) -> None:
    write(host, "proc/net/netstat", "TcpExt: A\n")
    found, errors = collect(context(host))
    assert found["kernel"]["tcp"] is None
    assert found["kernel"]["interfaces"]
    assert {(one["part"], one["message"]) for one in errors} == {("sample.kernel", "tcp: counters: 1 lines, but they come in pairs")}


def test_a_damaged_line_of_conntrack_leaves_how_full_it_is(host: Path) -> None:
    write(host, "proc/net/stat/nf_conntrack", "entries drop\n00000001\n")
    found, errors = collect(context(host))
    assert found["kernel"]["conntrack"] == {"count": 40, "maximum": 50, "drops": None, "early_drops": None, "insert_failed": None}
    assert {one["message"] for one in errors} == {"stat/nf_conntrack: conntrack line 2: 2 names, 1 values"}


def test_a_counter_that_went_back_is_not_known() -> None:
    def reading(value: int) -> dict[str, Any]:
        return {"tcp": {"OutSegs": value, "RetransSegs": None}, "conntrack": None, "interfaces": {"lo": {"rx_errors": value}}}

    found = sample.difference(reading(5), reading(3))
    assert found["tcp"] == {"OutSegs": None, "RetransSegs": None}
    assert found["interfaces"][0]["rx_errors"] is None
    assert sample.difference(reading(3), reading(5))["tcp"]["OutSegs"] == 2


@pytest.mark.parametrize(("version", "quota"), [("v2", ("cpu.max", "100000 1000000\n")), ("v1", ("cpu.cfs_quota_us", "100000\n"))])
def test_throttling_by_a_group_above(tmp_path: Path, version: str, quota: tuple[str, str]) -> None:
    """Recorded cpu.stat of RHEL: the slice has the quota, the service's own group has none."""
    folder = "sys/fs/cgroup/api.slice"
    if version == "v2":
        mount, entry = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/api.slice/api.service\n"
        write(tmp_path, f"{folder}/api.service/cpu.max", "max 100000\n")
        write(tmp_path, f"{folder}/api.service/cpu.stat", "usage_usec 1000000\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n")
    else:
        mount, entry = "30 20 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw,cpu,cpuacct\n", "4:cpu,cpuacct:/api.slice/api.service\n"
        write(tmp_path, f"{folder}/api.service/cpu.cfs_quota_us", "-1\n")
        write(tmp_path, f"{folder}/api.service/cpu.cfs_period_us", "100000\n")
        write(tmp_path, f"{folder}/api.service/cpuacct.usage", "1000000000\n")
        write(tmp_path, f"{folder}/cpu.cfs_period_us", "1000000\n")
    write(tmp_path, f"{folder}/{quota[0]}", quota[1])
    write(tmp_path, f"{folder}/cpu.stat", (KERNEL / f"cpu.stat-{version}-before").read_text())
    write(tmp_path, "proc/self/mountinfo", mount)
    write(tmp_path, "proc/7/cgroup", entry)
    one = context(tmp_path)
    process = sample.Process(one, service(), 7, procfs.parse_mountinfo(mount))
    write(tmp_path, f"{folder}/cpu.stat", (KERNEL / f"cpu.stat-{version}-after").read_text())
    if version == "v2":
        write(tmp_path, f"{folder}/api.service/cpu.stat", "usage_usec 1300000\n")
    else:
        write(tmp_path, f"{folder}/api.service/cpuacct.usage", "1300000000\n")
    entry_of = process.end()
    assert entry_of is not None
    cpu = entry_of["cpu"]
    seconds = cpu.pop("seconds")
    assert seconds >= 0
    assert cpu == {"quota": 0.1, "path": "/api.slice", "periods": 3, "throttled_periods": 3, "usage_seconds": 0.3,
                   "throttled_seconds": pytest.approx({"v2": 2.698097, "v1": 2.69844}[version], abs=1e-5)}


@pytest.mark.parametrize(("own", "above", "path"), [(5, 2, "/api.slice/api.service"), (1, 4, "/api.slice"), (0, 0, "/api.slice")])
def test_of_two_quotas_the_one_that_held_it_up_counts(tmp_path: Path, own: int, above: int, path: str) -> None:
    """Where neither did, the tightest: the slice has half a CPU, the service two."""
    mount = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"

    def state(own: int, above: int) -> None:
        for folder, quota, throttled in (("api.slice/api.service", "200000", own), ("api.slice", "50000", above)):
            group = f"sys/fs/cgroup/{folder}"
            write(tmp_path, f"{group}/cpu.max", f"{quota} 100000\n")
            write(tmp_path, f"{group}/cpu.stat", f"usage_usec 1\nnr_periods 50\nnr_throttled {throttled}\nthrottled_usec 1\n")

    write(tmp_path, "proc/7/cgroup", "0::/api.slice/api.service\n")
    state(0, 0)
    process = sample.Process(context(tmp_path), service(), 7, procfs.parse_mountinfo(mount))
    state(own, above)
    entry = process.end()
    assert entry is not None
    assert (entry["cpu"]["path"], entry["cpu"]["throttled_periods"]) == (path, max(own, above))


def test_a_process_without_a_quota(tmp_path: Path) -> None:
    mount = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    write(tmp_path, "proc/7/cgroup", "0::/system.slice/api.service\n")
    write(tmp_path, "sys/fs/cgroup/system.slice/api.service/cpu.stat", "usage_usec 40571\nuser_usec 1\nsystem_usec 2\n")
    entry = sample.Process(context(tmp_path), service(), 7, procfs.parse_mountinfo(mount)).end()
    assert entry is not None
    assert {key: entry["cpu"][key] for key in ("quota", "periods", "usage_seconds")} == {
        "quota": None, "periods": None, "usage_seconds": 0.0}
    assert (entry["fds"], entry["sched"], entry["pressure"]) == (None, None, None)


def test_threads_and_pressure(tmp_path: Path) -> None:
    mount = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    write(tmp_path, "proc/7/cgroup", "0::/api.service\n")
    write(tmp_path, "proc/7/task/7/schedstat", "1000000000 500000000 3\n")
    write(tmp_path, "proc/7/task/8/schedstat", "1000000000 0 3\n")
    pressure = "sys/fs/cgroup/api.service/cpu.pressure"
    write(tmp_path, pressure, "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n")
    process = sample.Process(context(tmp_path), service(), 7, procfs.parse_mountinfo(mount))
    write(tmp_path, "proc/7/task/7/schedstat", "2000000000 2500000000 4\n")
    (tmp_path / "proc/7/task/8/schedstat").unlink()
    write(tmp_path, "proc/7/task/9/schedstat", "0 250000000 1\n")
    write(tmp_path, pressure, "some avg10=0.00 avg60=0.00 avg300=0.00 total=1250000\n")
    entry = process.end()
    assert entry is not None
    assert entry["sched"] == {"wait_seconds": 2.25, "run_seconds": 1.0}
    assert entry["pressure"].pop("seconds") >= 0
    assert entry["pressure"] == {"source": "cgroup", "cpu": {"some_seconds": 0.25}}


def test_of_more_threads_than_are_read_those_count_that_were_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One ends, and another one comes among those that are read: it was there long before."""
    monkeypatch.setattr(sample, "MOST_THREADS", 2)
    for number in (7, 8):
        write(tmp_path, f"proc/7/task/{number}/schedstat", "1000000000 500000000 3\n")
    process = sample.Process(context(tmp_path), service(), 7, [])
    (tmp_path / "proc/7/task/8/schedstat").unlink()
    (tmp_path / "proc/7/task/8").rmdir()
    write(tmp_path, "proc/7/task/7/schedstat", "1500000000 600000000 4\n")
    write(tmp_path, "proc/7/task/9/schedstat", "90000000000 80000000000 9\n")
    entry = process.end()
    assert entry is not None
    assert entry["sched"] == {"wait_seconds": 0.1, "run_seconds": 0.5}


def test_the_longest_window_is_looked_at_every_half_second() -> None:
    assert 60 / sample.MOST_LOOKS <= sample.INTERVAL


def test_a_process_that_has_ended_has_no_entry(tmp_path: Path) -> None:
    assert sample.Process(context(tmp_path), service(), 7, []).end() is None


# ------------------------------------------------------------------------------------------------------- counting

def made(target: str, dport: int, *, sport: int = 40000, source: str = "10.0.0.1", state: int = sockdiag.ESTABLISHED,
         inode: int = 0) -> Socket:
    return Socket(socket.AF_INET, state, socket.inet_aton(source), sport, socket.inet_aton(target), dport, 0, None, 0, inode, None)


def test_ports_are_counted_by_destination() -> None:
    tally = sample.Tally(40000, 40999, {40500})
    for one in (
        *(made("10.0.0.5", 5432, sport=40000 + number, inode=number + 1) for number in range(5)),
        made("10.0.0.5", 5432, sport=40900, state=sockdiag.TIME_WAIT), made("10.0.0.5", 5432, sport=40901, state=sockdiag.SYN_SENT),
        made("10.0.0.5", 5432, sport=40902, state=sockdiag.CLOSE_WAIT), made("10.0.0.5", 5432, sport=40903, state=4),
        made("10.0.0.5", 5432, sport=40000, source="10.0.0.2"),  # another local address: the same port may be used again
        made("10.0.0.9", 51000, sport=40500),                    # a client of ours, whose port we listen at
        made("10.0.0.9", 443, sport=39999), made("10.0.0.7", 443, sport=40999),
    ):
        assert tally.count(one)
    assert tally.top(20) == [
        {"address": "10.0.0.5", "port": 5432, "source": "10.0.0.1", "ports": 9, "established": 5, "syn_sent": 1, "time_wait": 1,
         "close_wait": 1, "closing": 1, "services": []},
        {"address": "10.0.0.7", "port": 443, "source": "10.0.0.1", "ports": 1, "established": 1, "syn_sent": 0, "time_wait": 0,
         "close_wait": 0, "closing": 0, "services": []}]
    assert tally.inodes["10.0.0.5", 5432] == [1, 2, 3, 4, 5]
    assert len(tally.top(1)) == 1


def test_counting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "MOST_SOCKETS", 3)
    tally = sample.Tally(1, 65535, set())
    assert [tally.count(made("10.0.0.5", 1)) for _number in range(5)] == [True, True, True, False, False]


# ------------------------------------------------------------------------------------------------------- this host

def inode_of(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


@pytest.fixture
def netlink() -> None:
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, sockdiag.NETLINK_SOCK_DIAG).close()
    except OSError as exc:
        pytest.skip(f"no sock_diag here: {exc}")


@pytest.fixture
def full() -> Iterator[socket.socket]:
    """A listener with a backlog of 1 that nobody accepts from, and connections that knock."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        clients = []
        for _number in range(6):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            clients.append(client)
        time.sleep(0.1)
        yield server
        for client in clients:
            client.close()


@pytest.mark.usefixtures("netlink")
def test_a_full_queue(full: socket.socket) -> None:
    port = full.getsockname()[1]
    process = {"pid": SELF, "listeners": [{"port": port, "inode": inode_of(full)}]}

    def knock() -> None:
        with socket.socket() as client:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
            time.sleep(0.2)

    later(knock, 0.2)
    found, errors = collect(context(seconds=0.8, services=[service(process)]))
    assert errors == []
    (mine,) = [one for one in found["listeners"] if one["port"] == port]
    assert {key: mine[key] for key in ("service", "pid", "net", "proto", "address", "backlog", "queue_max")} == {
        "service": "api", "pid": SELF, "net": None, "proto": "tcp", "address": "127.0.0.1", "backlog": 1, "queue_max": 2}
    assert 1 <= mine["drops"] <= found["kernel"]["tcp"]["ListenDrops"], "those before the window do not count"
    assert found["kernel"]["tcp"]["ListenOverflows"] >= 1
    (entry,) = found["services"]
    assert entry["fds"]["open"] > 3
    assert entry["sched"] is None or entry["sched"]["run_seconds"] >= 0


@pytest.mark.usefixtures("netlink")
def test_a_full_queue_of_a_program_that_is_no_service(full: socket.socket) -> None:
    found, _errors = collect(context(seconds=0.5))
    assert [one["service"] for one in found["listeners"] if one["port"] == full.getsockname()[1]] == [None]


def test_whose_connections_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "NAMED_SHARE", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as _client:
        monkeypatch.setattr(sample, "DESTINATIONS", 10000)
        found, _errors = collect(context(seconds=0.5, services=[service({"pid": SELF, "listeners": []})]))
        (mine,) = [one for one in found["kernel"]["destinations"] if one["port"] == server.getsockname()[1]]
    assert (mine["established"], mine["services"]) == (1, ["api"])


def test_without_netlink_it_is_read_from_proc(full: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an emulator, where such a socket cannot be made."""

    def refused(*_unused: object) -> Iterator[Socket]:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(sample, "_dump", refused)
    process = {"pid": SELF, "listeners": [{"port": full.getsockname()[1], "inode": inode_of(full)}]}
    found, errors = collect(context(seconds=0.5, services=[service(process)]))
    (mine,) = found["listeners"]
    assert (mine["backlog"], mine["queue_max"], mine["drops"]) == (None, 2, None)
    assert errors == []
    assert found["kernel"]["complete"]


def test_the_budget_is_used_up() -> None:
    found, errors = collect(context(budget=0.2))
    assert found == {}
    assert {one["part"] for one in errors} == {"sample.kernel", "sample.listeners", "sample.services"}
    assert {(one["kind"], one["message"]) for one in errors} == {("unavailable", "the budget of 0.2 s (preflight_budget) was used up")}


def test_a_window_that_the_budget_cuts() -> None:
    assert sample.window(context(seconds=30, budget=2)) == pytest.approx(2, abs=0.1)
    assert sample.window(context(seconds=3, budget=60)) == 3
    kernel = collect(context(seconds=30, budget=0.8))[0]["kernel"]
    assert (kernel["wanted"], kernel["seconds"] < 5) == (30, True)
    with pytest.raises(Unavailable, match=r"the budget of 0\.4 s"):
        sample.window(context(seconds=30, budget=0.4))


def test_a_container_whose_network_cannot_be_seen(tmp_path: Path) -> None:
    (tmp_path / "proc/self/ns").mkdir(parents=True)
    (tmp_path / "proc/self/ns/net").symlink_to("net:[1]")
    container = {"runtime": "podman", "id": "0123456789ab"}
    watch = sample.Watch(context(tmp_path, services=[
        service({"pid": 7, "listeners": None}, container=container), service({"pid": 8}, name="db")]))
    (own,) = watch.nets()
    assert (own.services, watch.unreadable) == (["db"], ["api"])


def test_many_connections_are_counted_fast() -> None:
    """200,000 rows, as they come from the kernel."""
    rows = [made("10.0.0.5", 1024 + number % 7, sport=40000 + number % 1000) for number in range(200000)]
    tally = sample.Tally(40000, 41000, set())
    begun = time.process_time()
    for one in rows:
        tally.count(one)
    assert tally.top(20)[0]["ports"] > 20000
    assert time.process_time() - begun < 2
