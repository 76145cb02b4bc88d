# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``sample``: what the kernel counts while the host is watched for some seconds (``preflight_network.window``).

Nothing is sent to anybody. Counters are read at the begin and at the end, the queues of listening sockets every half second,
all in the network namespaces of the services as well where those are not the host's. Sockets come by sock_diag(7), which lets
the kernel leave out what is not asked for; where that is not to be had (an emulator, no module tcp_diag) from /proc/net/tcp,
which does not tell a backlog.
"""
from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple, TypeVar

from ansible_collections.goready.preflight.plugins.module_utils import cgroup, cgroupcpu, procfs, procnet, sockdiag
from ansible_collections.goready.preflight.plugins.module_utils.collect import network, pprof
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable

WINDOW = 5.0           # seconds, where nothing else is wanted
SHORTEST = 0.5         # seconds: below it a rate says nothing
INTERVAL = 0.5         # seconds between two looks at the queues
MOST_LOOKS = 120        # the longest window has them all
SCAN_SECONDS = 2.0     # what counting connections may take
MOST_SOCKETS = 300000  # connections that are counted
MOST_NAMESPACES = 8
MOST_PROCESSES = 64
MOST_THREADS = 512
MOST_LISTENERS = 200
MOST_DESCRIPTORS = 40000
MOST_INTERFACES = 64
DESTINATIONS = 20
NAMED_SHARE = 0.1      # of the local ports: from here on it is found out whose connections they are

#: Beyond those of subset ``network``.
TCP_EXT = network.TCP_EXT + ("TCPSynRetrans", "TCPLossProbes", "TCPDSACKRecv", "TCPTimeWaitOverflow", "PruneCalled", "RcvPruned",
                             "TCPRcvQDrop", "TCPAbortOnTimeout")
INTERFACE = ("rx_packets", "rx_errors", "rx_dropped", "tx_packets", "tx_errors", "tx_dropped")
CONNTRACK = ("drop", "early_drop", "insert_failed")
PRESSURES = ("cpu", "io", "memory")

T = TypeVar("T")


# ------------------------------------------------------------------------------------------------------- one network namespace

class Holder(NamedTuple):
    """A listening socket of a service, by its inode."""

    service: str
    pid: int


class Net:
    """One network namespace over the window. ``pid`` is a process in it, None for the one that the module runs in."""

    def __init__(self, context: Context, pid: Optional[int], services: Iterable[str] = ()) -> None:
        self.context = context
        self.pid = pid
        self.services = sorted(set(services))
        # /proc/net is that of the process, also for a thread that has gone elsewhere (proc_net(5)).
        self.folder = "/proc/%s/net" % ("self" if pid is None else pid) if context.root == "/" else "/proc/net"
        self.netlink = context.root == "/"
        self.scan = SCAN_SECONDS * context.factor
        self.looks: Dict[int, Tuple[sockdiag.Socket, List[int], List[int]]] = {}  # by inode: socket, queues, drops
        self.result: Dict[str, Any] = {}
        self.inodes: Dict[Tuple[str, int], List[int]] = {}  # by destination: of sockets that lead there

    def watch(self, end: float) -> Dict[str, Any]:
        """The facts of this namespace; returns soon after ``end`` (of time.monotonic)."""
        begun = time.monotonic()
        before = self._counters()
        pause = max(INTERVAL, (end - begun) / MOST_LOOKS)
        while True:
            self._look()
            left = end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(pause, left))
        after = self._counters()
        self.result = {"seconds": round(time.monotonic() - begun, 3), **difference(before, after)}
        self.result["sockets"] = self._attempt("sockstat", self._sockets)
        self.result["tw_reuse"] = self._setting("tcp_tw_reuse")
        self.result["syncookies"] = self._setting("tcp_syncookies")
        self.result["port_range"] = self._attempt("ip_local_port_range", lambda: network.port_range(self.context))
        self._destinations()
        return self.result

    def _attempt(self, where: str, function: Callable[[], T]) -> Optional[T]:
        """What is missing costs itself. A file that this kernel does not have is null without a word."""
        try:
            return function()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, Unavailable) as exc:
            self.context.note("sample.kernel", exc, where)
            return None

    def _setting(self, name: str) -> Optional[int]:
        """A sysctl of this thread's namespace: /proc/sys/net is that of who opens it."""
        return self._attempt(name, lambda: int(self.context.read("/proc/sys/net/ipv4/" + name, 64)))

    # --- counters

    def _counters(self) -> Dict[str, Any]:
        return {"tcp": self._attempt("tcp", self._tcp), "conntrack": self._attempt("conntrack", self._conntrack),
                "interfaces": self._attempt("dev", self._interfaces)}

    def _tcp(self) -> Dict[str, Optional[int]]:
        basic = procnet.parse_counters(self.context.read(self.folder + "/snmp")).get("Tcp", {})
        extended = procnet.parse_counters(self.context.read(self.folder + "/netstat")).get("TcpExt", {})
        values = {name: basic.get(name) for name in network.TCP}
        values.update((name, extended.get(name)) for name in TCP_EXT)
        return values

    def _conntrack(self) -> Optional[Dict[str, Optional[int]]]:
        found: Optional[Dict[str, int]] = network.conntrack(self.context)
        if found is None:
            return None
        values: Dict[str, Optional[int]] = dict(found)
        try:
            counted = procnet.parse_conntrack(self.context.read(self.folder + "/stat/nf_conntrack"))
        except (FileNotFoundError, PermissionError):
            counted = {}
        except ValueError as exc:  # how full the table is, is known all the same
            self.context.note("sample.kernel", exc, "stat/nf_conntrack")
            counted = {}
        values.update((name, counted.get(name)) for name in CONNTRACK)
        return values

    def _interfaces(self) -> Dict[str, Mapping[str, Any]]:
        return {str(row["name"]): row for row in procnet.parse_dev(self.context.read(self.folder + "/dev"))}

    def _sockets(self) -> Dict[str, Any]:
        four = procnet.parse_sockstat(self.context.read(self.folder + "/sockstat")).get("TCP", {})
        six = self._attempt("sockstat6", lambda: procnet.parse_sockstat(self.context.read(self.folder + "/sockstat6"))) or {}
        pages = self._attempt("tcp_mem", lambda: [int(word) for word in self.context.read("/proc/sys/net/ipv4/tcp_mem", 128).split()])
        return {"tcp_inuse": four.get("inuse"), "tcp6_inuse": six.get("TCP6", {}).get("inuse"), "tcp_tw": four.get("tw"),
                "tcp_orphan": four.get("orphan"), "tcp_mem_pages": four.get("mem"), "tcp_mem": pages}

    # --- sockets

    def _ask(self, request: Callable[[int], bytes], states: int, end: float) -> Iterator[sockdiag.Socket]:
        """Sockets of both families. TimeoutError at ``end``."""
        for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
            if self.netlink:
                told = False
                try:
                    for one in _dump(request(family), end):
                        told = True
                        yield one
                    continue
                except (OSError, ValueError) as exc:
                    if told or isinstance(exc, TimeoutError):
                        raise  # what was told is not counted twice
                    self.netlink = False
            yield from self._rows(name, family, states, end)

    def _rows(self, name: str, family: int, states: int, end: float) -> Iterator[sockdiag.Socket]:
        try:
            with open(self.context.path("%s/%s" % (self.folder, name)), encoding="ascii", errors="replace") as stream:
                for number, one in enumerate(sockdiag.parse_rows(stream, family=family)):
                    if states >> one.state & 1:
                        yield one
                    elif states == 1 << sockdiag.LISTEN:
                        return  # listening sockets come first (net/ipv4/tcp_ipv4.c, tcp_get_idx)
                    if number % 1024 == 1023 and time.monotonic() > end:
                        raise TimeoutError("the sockets were not told in time")
        except FileNotFoundError:
            return

    def _look(self) -> None:
        """The queue of every listening socket, now."""
        try:
            for one in self._ask(sockdiag.listening_request, 1 << sockdiag.LISTEN, time.monotonic() + self.scan):
                _socket, queues, drops = self.looks.setdefault(one.inode, (one, [], []))
                queues.append(one.rqueue)
                if one.drops is not None:
                    drops.append(one.drops)
        except (OSError, ValueError) as exc:
            if not self.looks:
                self.context.note("sample.listeners", exc)

    def listeners(self, holders: Mapping[int, Holder]) -> List[Dict[str, Any]]:
        """The listeners of services, and of others those whose queue was or may have been full or that dropped somebody."""
        found = []
        for inode in sorted(self.looks, key=lambda one: (one not in holders, self.looks[one][0].sport, one)):
            one, queues, drops = self.looks[inode]
            holder = holders.get(inode)
            dropped = (drops[-1] - drops[0]) & 0xFFFFFFFF if drops else None
            # Where no backlog is told, who has anybody waiting may be who drops.
            if holder is None and not dropped and max(queues) <= (one.wqueue or 0):
                continue
            found.append({
                "service": holder.service if holder else None, "pid": holder.pid if holder else None,
                "net": self.pid, "proto": "tcp" if one.family == socket.AF_INET else "tcp6",
                "address": sockdiag.text_of(one.source), "port": one.sport, "backlog": one.wqueue, "queue": queues,
                "queue_max": max(queues), "drops": dropped,
            })
        return found[:MOST_LISTENERS]

    def _destinations(self) -> None:
        """How many local ports each remote address and port takes."""
        span = self.result["port_range"]
        self.result.update(reserved_ports=None, destinations=[], complete=True)
        if not span:
            return
        low, high = span
        taken = self._attempt("ip_local_reserved_ports",
                              lambda: procnet.parse_ports(self.context.read("/proc/sys/net/ipv4/ip_local_reserved_ports", 1 << 16)))
        reserved = {port for first, last in taken or () for port in range(max(first, low), min(last, high) + 1)}
        self.result["reserved_ports"] = len(reserved)
        listening = {one.sport for one, _queues, _drops in self.looks.values()}
        tally = Tally(low, high, listening)
        try:
            for one in self._ask(lambda family: sockdiag.local_ports_request(family, low, high), sockdiag.CONNECTED,
                                 time.monotonic() + self.scan):
                if not tally.count(one):
                    self.result["complete"] = False
                    break
        except (OSError, ValueError) as exc:
            self.result["complete"] = False
            self.context.note("sample.kernel", exc, "connections")
        self.result["destinations"] = tally.top(DESTINATIONS)
        self.inodes = tally.inodes


#: Where a state is counted; the last column has all others.
_COLUMNS = {sockdiag.ESTABLISHED: 0, sockdiag.SYN_SENT: 1, sockdiag.TIME_WAIT: 2, sockdiag.CLOSE_WAIT: 3, -1: 4}


class Tally:
    """Connections with a local port of the range, by where they lead to. A local port can be used once for each local address,
    remote address and remote port (connect(2), EADDRNOTAVAIL)."""

    def __init__(self, low: int, high: int, listening: Set[int]) -> None:
        self.low, self.high, self.listening = low, high, listening
        self.counted = 0
        self._counts: Dict[Tuple[bytes, int, bytes], List[int]] = {}
        self._inodes: Dict[Tuple[bytes, int], List[int]] = {}
        self.inodes: Dict[Tuple[str, int], List[int]] = {}

    def count(self, one: sockdiag.Socket) -> bool:
        """False where no more are counted."""
        if not self.low <= one.sport <= self.high or one.sport in self.listening:
            return True  # somebody came to us
        self.counted += 1
        if self.counted > MOST_SOCKETS:
            return False
        row = self._counts.setdefault((one.target, one.dport, one.source), [0] * len(_COLUMNS))
        row[_COLUMNS.get(one.state, len(_COLUMNS) - 1)] += 1
        if one.inode and sum(row) - row[2] <= 64:
            self._inodes.setdefault((one.target, one.dport), []).append(one.inode)
        return True

    def top(self, most: int) -> List[Dict[str, Any]]:
        """Those that take most ports: of several local addresses the one that does."""
        best: Dict[Tuple[bytes, int], Tuple[int, bytes, List[int]]] = {}
        for (target, port, source), row in self._counts.items():
            if (target, port) not in best or (sum(row), source) > best[(target, port)][:2]:
                best[(target, port)] = (sum(row), source, row)
        ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:most]
        result = []
        for (target, port), (ports, source, row) in ranked:
            address = sockdiag.text_of(target)
            self.inodes[(address, port)] = self._inodes.get((target, port), [])
            result.append({"address": address, "port": port, "source": sockdiag.text_of(source), "ports": ports,
                           "established": row[0], "syn_sent": row[1], "time_wait": row[2], "close_wait": row[3], "closing": row[4],
                           "services": []})
        return result


def _dump(request: bytes, end: float) -> Iterator[sockdiag.Socket]:
    """What sock_diag(7) answers to one request, in the network namespace of this thread."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, sockdiag.NETLINK_SOCK_DIAG) as sock:
        sock.settimeout(SCAN_SECONDS)
        sock.bind((0, 0))
        sock.send(request)
        done = False
        while not done:
            if time.monotonic() > end:
                raise TimeoutError("the sockets were not told in time")
            found, done = sockdiag.parse_messages(sock.recv(1 << 16))
            yield from found


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Dict[str, Any]:
    """The counters' growth between two readings. Null where one of them lacks the counter, or where it went back: it was set
    anew, for no counter of 64 bits overflows."""
    old, new = before["tcp"] or {}, after["tcp"]
    tracked, now = before["conntrack"] or {}, after["conntrack"]
    earlier, rows = before["interfaces"] or {}, after["interfaces"]
    return {
        "tcp": None if not old or new is None else {name: _grown(old.get(name), new[name]) for name in new},
        "conntrack": None if now is None else {
            "count": now["count"], "maximum": now["maximum"], "drops": _grown(tracked.get("drop"), now["drop"]),
            "early_drops": _grown(tracked.get("early_drop"), now["early_drop"]),
            "insert_failed": _grown(tracked.get("insert_failed"), now["insert_failed"])},
        "interfaces": None if rows is None else [
            {"name": name, **{key: _grown(earlier[name].get(key), rows[name].get(key)) for key in INTERFACE}}
            for name in sorted(rows) if name in earlier][:MOST_INTERFACES],
    }


def _grown(before: Optional[int], after: Optional[int]) -> Optional[int]:
    return after - before if before is not None and after is not None and after >= before else None


# ------------------------------------------------------------------------------------------------------- one process

class Process:
    """A process of a service over the window."""

    def __init__(self, context: Context, service: Mapping[str, Any], pid: int, mounts: List[procfs.Mount]) -> None:
        self.context = context
        self.service, self.pid = service, pid
        self._places = self._find(mounts)
        self._begun = time.monotonic()
        self._quotas = self._throttled()
        self._usage = self._used()
        self._sched = self._threads()
        self._pressure = self._pressures()

    def end(self) -> Optional[Dict[str, Any]]:
        """Its entry of ``sample.services``; None where it has ended in the meantime."""
        if not os.path.exists(self.context.path("/proc/%d" % self.pid)):
            return None
        seconds = time.monotonic() - self._begun
        return {
            "service": self.service.get("name"), "unit": self.service.get("unit"), "pid": self.pid,
            "container": self.service.get("container"), "fds": self._descriptors(), "cpu": self._cpu(seconds),
            "sched": self._waited(), "pressure": self._pressed(seconds),
        }

    def _read(self, path: str) -> Optional[str]:
        try:
            return self.context.read(path, 1 << 16)
        except OSError:
            return None

    def _find(self, mounts: List[procfs.Mount]) -> Dict[str, Tuple[str, str]]:
        text = self._read("/proc/%d/cgroup" % self.pid)
        return cgroup.directories(procfs.parse_cgroup(text), mounts) if text else {}

    def _descriptors(self) -> Optional[Dict[str, Any]]:
        try:
            opened = len(os.listdir(self.context.path("/proc/%d/fd" % self.pid)))
            limits = procfs.parse_limits(self.context.read("/proc/%d/limits" % self.pid))
        except (OSError, ValueError):
            return None
        return {"open": opened, "soft": limits.get("nofile", {}).get("soft")}

    # --- CPU time that the quota did not give

    def _folders(self) -> List[Tuple[str, str]]:
        """(folder, path in the hierarchy) of the process's control group and those above it: any of them may have a quota."""
        mount, below = self._places.get("cpu") or self._places.get("unified") or ("", "")
        return [(mount + path.rstrip("/"), path) for path in cgroup.ancestors(below)] if mount else []

    def _throttled(self) -> Dict[str, Tuple[float, cgroupcpu.CpuStat]]:
        """By path: (quota in CPUs, cpu.stat) of the groups that have a quota."""
        result = {}
        for folder, path in self._folders():
            try:
                if "cpu" in self._places:
                    quota = cgroup.parse_cfs(self.context.read(folder + "/cpu.cfs_quota_us", 64),
                                             self.context.read(folder + "/cpu.cfs_period_us", 64))
                else:
                    quota = cgroup.parse_cpu_max(self.context.read(folder + "/cpu.max", 64))
                if isinstance(quota, float):
                    result[path] = (quota, cgroupcpu.parse_cpu_stat(self.context.read(folder + "/cpu.stat", 4096)))
            except (OSError, ValueError):
                continue  # the top has no quota, and not every level has the controller
        return result

    def _used(self) -> Optional[float]:
        """CPU seconds of the process's own group."""
        folder = next((folder for folder, _path in self._folders()), "")
        text = self._read(folder + "/cpuacct.usage") if "cpu" in self._places else self._read(folder + "/cpu.stat")
        try:
            if "cpu" in self._places:
                return int(text or "") / 1e9
            return cgroupcpu.parse_cpu_stat(text or "").usage_seconds
        except ValueError:
            return None

    def _cpu(self, seconds: float) -> Optional[Dict[str, Any]]:
        if not self._places:
            return None
        result: Dict[str, Any] = {"quota": None, "path": None, "periods": None, "throttled_periods": None, "throttled_seconds": None,
                                  "usage_seconds": _less(self._usage, self._used()), "seconds": round(seconds, 3)}
        rows = []
        for path, (quota, after) in self._throttled().items():
            before = self._quotas.get(path, (0.0, None))[1]
            if before is None:
                continue
            throttled = _grown(before.throttled, after.throttled)
            rows.append((throttled or 0, -quota, {
                "quota": quota, "path": path, "periods": _grown(before.periods, after.periods), "throttled_periods": throttled,
                "throttled_seconds": _less(before.throttled_seconds, after.throttled_seconds)}))
        if rows:
            # The one that held it up most; of several that did not, the tightest.
            result.update(max(rows, key=lambda row: row[:2])[2])
        return result

    # --- CPU time that others had

    def _threads(self) -> Optional[Dict[str, cgroupcpu.SchedStat]]:
        result = {}
        base = "/proc/%d/task" % self.pid
        try:
            names = os.listdir(self.context.path(base))[:MOST_THREADS]
        except OSError:
            return None
        for name in names:
            try:
                result[name] = cgroupcpu.parse_schedstat(self.context.read("%s/%s/schedstat" % (base, name), 256))
            except (OSError, ValueError):
                continue  # it ended, or this kernel does not count it
        return result or None

    def _waited(self) -> Optional[Dict[str, float]]:
        before, after = self._sched, self._threads()
        if before is None or after is None:
            return None
        if len(before) >= MOST_THREADS:
            after = {name: one for name, one in after.items() if name in before}  # the others may have been there, and not been read
        # A thread that was not there has begun with nothing.
        return {key: round(sum(max(0.0, getattr(one, field) - (getattr(before[name], field) if name in before else 0.0))
                               for name, one in after.items()), 4)
                for key, field in (("wait_seconds", "wait"), ("run_seconds", "run"))}

    def _pressures(self) -> Tuple[str, Dict[str, Dict[str, float]]]:
        mount, below = self._places.get("unified") or ("", "")
        if mount and below != "/":
            found = pressures(self.context, mount + below.rstrip("/") + "/%s.pressure")
            if found:
                return "cgroup", found
        return "system", pressures(self.context)

    def _pressed(self, seconds: float) -> Optional[Dict[str, Any]]:
        (source, before), (again, after) = self._pressure, self._pressures()
        return None if not before or source != again else {"source": source, "seconds": round(seconds, 3), **risen(before, after)}


def pressures(context: Context, pattern: str = "/proc/pressure/%s") -> Dict[str, Dict[str, float]]:
    """{cpu, io, memory: seconds of pressure since boot}; without those that this kernel does not tell."""
    result = {}
    for name in PRESSURES:
        try:
            result[name] = cgroupcpu.parse_pressure(context.read(pattern % name, 4096))
        except (OSError, ValueError):  # built without CONFIG_PSI, or booted with psi=0 (EOPNOTSUPP)
            continue
    return result


def risen(before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]]) -> Dict[str, Any]:
    """{cpu: {some_seconds, full_seconds}, ...} of two readings."""
    return {name: {"%s_seconds" % kind: _less(before.get(name, {}).get(kind), value) for kind, value in rows.items()}
            for name, rows in after.items()}


def _less(before: Optional[float], after: Optional[float]) -> Optional[float]:
    return None if before is None or after is None or after < before else round(after - before, 6)


# ------------------------------------------------------------------------------------------------------- all of it

class Watch:
    """The window: every network namespace in a thread of its own, the processes before and after."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.services: List[Mapping[str, Any]] = list(context.shared.get("services.services") or ())
        self.holders: Dict[int, Holder] = {}
        self.members: List[Tuple[Mapping[str, Any], int]] = []
        self.unreadable: List[str] = []

    def nets(self) -> List[Net]:
        """The namespace of the module first, then those of services that are elsewhere. Fills the tables of processes."""
        own = _namespace(self.context, "self")
        elsewhere: Dict[str, Tuple[int, Set[str]]] = {}
        here: Set[str] = set()
        for service in self.services:
            name = str(service.get("name"))
            for process in service.get("processes") or ():
                pid = process.get("pid")
                if not isinstance(pid, int):
                    continue
                self.members.append((service, pid))
                for listener in process.get("listeners") or ():
                    if listener.get("port") is not None:
                        self.holders.setdefault(listener["inode"], Holder(name, pid))
                theirs = _namespace(self.context, str(pid))
                if theirs is None or own is None or theirs == own:
                    if theirs is None and service.get("container"):
                        self.unreadable.append(name)
                    else:
                        here.add(name)
                else:
                    elsewhere.setdefault(theirs, (pid, set()))[1].add(name)
        found = [Net(self.context, None, here)]
        found += [Net(self.context, pid, names) for pid, names in sorted(elsewhere.values(), key=lambda one: one[0])]
        self.unreadable += [name for net in found[MOST_NAMESPACES + 1:] for name in net.services]
        return found[:MOST_NAMESPACES + 1]

    def run(self, seconds: float) -> Dict[str, Any]:
        nets = self.nets()
        mounts = self._mounts()
        begun = time.monotonic()
        system = pressures(self.context)
        processes = [Process(self.context, service, pid, mounts) for service, pid in self.members[:MOST_PROCESSES]]
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self._elsewhere, args=(net, end), daemon=True) for net in nets[1:]]
        for thread in threads:
            thread.start()
        kernel = nets[0].watch(end)
        entries = [entry for entry in (one.end() for one in processes) if entry is not None]
        for thread in threads:
            thread.join(max(0.0, end + 2 * nets[0].scan + 1 - time.monotonic()))
        self._name(nets)
        kernel["services"] = nets[0].services
        kernel["wanted"] = wanted(self.context)
        kernel["pressure"] = {"seconds": round(time.monotonic() - begun, 3), **risen(system, pressures(self.context))} if system else None
        kernel["namespaces"] = [{"services": net.services, "pid": net.pid, **(net.result or {"error": _error("timeout", (
            "its network namespace was not read in time"))})} for net in nets[1:]]
        kernel["unreadable"] = sorted(set(self.unreadable))
        return {"kernel": kernel, "listeners": [one for net in nets for one in net.listeners(self.holders)], "services": entries}

    def _mounts(self) -> List[procfs.Mount]:
        try:
            return procfs.parse_mountinfo(self.context.read("/proc/self/mountinfo", 8 << 20))
        except OSError:
            return []

    def _elsewhere(self, net: Net, end: float) -> None:
        try:
            pprof.inside(self.context, net.pid or 0, lambda: net.watch(end), end + 2 * net.scan - time.monotonic())
        except OSError as exc:
            net.result = {"error": _error("denied", "its network namespace cannot be entered: %s" % (
                os.strerror(exc.errno).lower() if exc.errno else exc))}

    def _name(self, nets: List[Net]) -> None:
        """Whose connections the busiest destinations are: by the inodes of their sockets."""
        wanted: Dict[int, Dict[str, Any]] = {}
        for net in nets:
            low, high = net.result.get("port_range") or (1, 0)
            free = max(1, high - low + 1 - (net.result.get("reserved_ports") or 0))
            for one in net.result.get("destinations") or ():
                if one["ports"] >= NAMED_SHARE * free:
                    wanted.update((inode, one) for inode in net.inodes.get((one["address"], one["port"]), ()))
        left = MOST_DESCRIPTORS
        for service, pid in self.members if wanted else ():
            folder = self.context.path("/proc/%d/fd" % pid)
            try:
                names = os.listdir(folder)[:left]
            except OSError:
                continue
            left -= len(names)
            for name in names:
                try:
                    inode = procfs.socket_inode(os.readlink(os.path.join(folder, name)))
                except OSError:
                    continue
                services = wanted[inode]["services"] if inode in wanted else None
                if services is not None and service.get("name") not in services:
                    services.append(service.get("name"))


def _namespace(context: Context, pid: str) -> Optional[str]:
    try:
        return os.readlink(context.path("/proc/%s/ns/net" % pid))
    except OSError:
        return None


def _error(kind: str, message: str) -> Dict[str, str]:
    return {"kind": kind, "message": message}


def wanted(context: Context) -> float:
    return float((context.active.get("network") or {}).get("window") or WINDOW)


def window(context: Context) -> float:
    """The seconds that may be watched. Unavailable where the budget does not leave enough for it."""
    left = min(context.budget.remaining(), context.remaining() - SCAN_SECONDS)
    if min(wanted(context), left) < SHORTEST:
        raise Unavailable(context.budget.words)
    return min(wanted(context), left)


def kernel(context: Context) -> Dict[str, Any]:
    """``sample.kernel``: watches for all three parts."""
    watched = Watch(context).run(window(context))
    context.shared["sample.watched"] = watched
    result: Dict[str, Any] = watched["kernel"]
    return result


def _of(part: str) -> Callable[[Context], List[Dict[str, Any]]]:
    def read(context: Context) -> List[Dict[str, Any]]:
        watched = context.shared.get("sample.watched")
        if watched is None:
            window(context)  # says so where the budget is the reason
            raise Unavailable("the host was not watched")
        found: List[Dict[str, Any]] = watched[part]
        return found

    return read


PARTS = (("kernel", kernel), ("listeners", _of("listeners")), ("services", _of("services")))
