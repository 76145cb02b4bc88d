# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants one cause of slow requests on a host of the scenario `explanation`, and takes all of them back.

    python3 /opt/causes.py plant slow-dns     # on the host that `causes.py list` names
    python3 /opt/causes.py take-back          # on each of both: as it was
    python3 /opt/causes.py list               # JSON: cause -> host, what the explanation's first line names

Standard library only and one file, so that it can be copied to a host and run there as root. Everything it changes belongs to the
host's own network namespace, its own units or its own files. `prepare.yml` of the scenario makes the units.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

UNITS = Path("/etc/systemd/system")
PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
# What Linux begins with, and a range that a few dozen connections fill.
ALL_PORTS, FEW_PORTS = "32768 60999", "40000 40063"


@dataclass(frozen=True)
class Cause:
    """One cause. ``host``: app or dep. ``explained``: its name in the explanation's first line; ``checks``: any of which that line may
    name; ``subject``: what it has to be about (a regular expression). ``also``: checks that fail with it and rightly so. ``settle``:
    seconds until it shows."""

    host: str
    explained: str
    checks: tuple[str, ...]
    subject: str
    also: tuple[str, ...] = ()
    settle: float = 2.0
    # Of the service: its -cause, further flags, lines of its unit; how many orders a second.
    cause: str = ""
    flags: str = ""
    lines: tuple[str, ...] = ()
    rate: int = 20


# What a service that answers late itself brings with it: its health URL is late as well.
LATE = ("services.healthy", "network.endpoint", "network.endpoint_latency")

CAUSES = {
    "slow-dns": Cause("dep", "dns", ("network.dns", "network.endpoint_latency"), r"pay\.lab\.test"),
    "slow-tls": Cause("dep", "tls", ("network.endpoint_latency",), r"pay\.lab\.test"),
    "dead-ipv6": Cause("dep", "dead_address", ("network.endpoint",), r"pay\.lab\.test", ("network.endpoint_latency",)),
    "backlog": Cause("app", "accept_queue", ("network.listen_overflow",), r"shop", (*LATE, "network.retransmits"),
                     cause="backlog", flags="-backlog 1 -accept 200ms"),
    "descriptors": Cause("app", "descriptors", ("limits.nofile_headroom",), r"shop",
                         ("limits.nofile_configured", "limits.nofile_lowered", "pprof.available", *LATE),
                         cause="files", flags="-files 64 -spare 3", lines=("LimitNOFILE=64",)),
    "pool": Cause("app", "pool", ("databases.pool_wait",), r"shop", cause="pool"),
    "idle-transactions": Cause("app", "database_idle", ("databases.idle_in_transaction", "databases.lock_wait"), r"stock",
                               ("databases.lock_wait", "databases.pool_wait"), cause="idle-tx"),
    "lock": Cause("app", "lock", ("goroutines.blocked",), r"shop", cause="lock", flags="-hold 60ms"),
    "collector": Cause("app", "gc", ("memory.gc_cpu", "memory.gc_pause_p99"), r"shop", LATE, cause="gc"),
    # The only one that a machine without the controller cannot have as it is: see Quota.
    "cpu-quota": Cause("app", "cpu_quota", ("limits.gomaxprocs",), r"shop", LATE),
    "ports": Cause("app", "ports", ("network.conntrack",), r":443$", ("network.endpoint",)),
    "slow-proxy": Cause("dep", "module_proxy", ("modules.proxy_latency",), r"proxy\.lab\.test"),
}


def systemctl(verb: str, *units: str) -> None:
    """``systemctl verb units``. A start counts anew: on a quick machine two causes follow each other within the ten seconds in which
    systemd starts a unit five times (systemd.unit(5), StartLimitBurst=)."""
    if units and verb != "stop":
        subprocess.run(["systemctl", "reset-failed", *units], check=False, stderr=subprocess.DEVNULL, timeout=60)
    # Longer than systemd waits for what does not stop (90 s), and then kills it.
    subprocess.run(["systemctl", verb, *units], check=True, timeout=120)


def wait_until(true: Callable[[], bool], what: str) -> None:
    """systemd takes a unit for started before it serves: at once on a quick machine, seconds later on a busy one."""
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within 60 s")
        time.sleep(0.1)


def connections() -> list[tuple[int, int, str]]:
    """(local port, remote port, state in hexadecimal) of this network's TCP sockets over IPv4: proc_net_tcp(5)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [(int(row[1].rpartition(":")[2], 16), int(row[2].rpartition(":")[2], 16), row[3]) for row in rows]


def start(unit: str, port: int) -> None:
    """Restarts a server and returns once it listens."""
    systemctl("restart", unit)
    wait_until(lambda: any(local == port and state == "0A" for local, _remote, state in connections()), f"{unit} listens at {port}")


def write_dropin(unit: str, lines: list[str]) -> None:
    """Gives a unit these lines of [Service], or none."""
    path = UNITS / f"{unit}.service.d" / "cause.conf"
    if lines:
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(["[Service]", *lines, ""]), encoding="utf-8")
    else:
        path.unlink(missing_ok=True)


def set_service(cause: str, flags: str, lines: tuple[str, ...], rate: int) -> None:
    """Restarts the service with this cause, and the load anew: one that waits for old answers is none."""
    dropin = [f'Environment=CAUSE={cause} "FLAGS={flags}"', *lines] if cause != "behave" else []
    write_dropin("shop", dropin)
    write_dropin("orders", [f"Environment=RATE={rate}"] if rate != 20 else [])
    systemctl("daemon-reload")
    systemctl("stop", "orders.service", "shop.service")
    start("shop.service", 8080)
    systemctl("start", "orders.service")


def hold(target: str, port: int, seconds: float) -> int:
    """Keeps as many connections to one destination as there are ports for, for a while."""
    low, high = (int(word) for word in PORTS.read_text().split())
    held: list[socket.socket] = []
    end = time.monotonic() + seconds
    address = socket.gethostbyname(target)
    while time.monotonic() < end:
        while len(held) <= high - low:
            one = socket.socket()
            try:
                one.connect((address, port))
            except OSError:
                one.close()
                break
            held.append(one)
        time.sleep(0.2)
        held = [one for one in held if alive(one)]
    return 0


def alive(one: socket.socket) -> bool:
    """Whether the other side has not closed it; closes it here otherwise."""
    one.setblocking(False)
    try:
        closed = one.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        closed = False
    except OSError:
        closed = True
    if closed:
        one.close()
    return not closed


class Quota:
    """A CPU quota for a unit where the kernel offers none: its control group is frozen for the rest of each period, and files in the
    form of the kernel's (Documentation/admin-guide/cgroup-v2.rst, "CPU Interface Files") lie over those of the group."""

    PERIOD, RUN = 0.1, 0.02

    def __init__(self, unit: str) -> None:
        self.group = Path("/sys/fs/cgroup/system.slice") / f"{unit}.service"
        self.files = Path("/run/lab-quota")

    def give_back(self) -> None:
        # Lazily: somebody may be reading there, and what is written below would not reach the group.
        while os.path.ismount(self.group):
            subprocess.run(["umount", "--lazy", self.group], check=True, timeout=10)
        if self.group.exists():
            (self.group / "cgroup.freeze").write_text("0")

    def keep(self, seconds: float) -> None:
        self.files.mkdir(exist_ok=True)
        for path in self.group.glob("*.pressure"):
            (self.files / path.name).write_text(path.read_text())
        (self.files / "cgroup.procs").write_text((self.group / "cgroup.procs").read_text())
        (self.files / "cpu.max").write_text(f"{self.RUN * 1e6:.0f} {self.PERIOD * 1e6:.0f}\n")
        with (self.group / "cgroup.freeze").open("w") as brake, (self.group / "cpu.stat").open() as real:
            periods = stopped = 0
            begin = time.monotonic()
            self.write(real, 0, 0)
            subprocess.run(["mount", "--bind", self.files, self.group], check=True, timeout=10)
            while (now := time.monotonic() - begin) < seconds:
                # What is stopped is what the kernel would count: the time until the next period.
                for word, until in (("0", periods * self.PERIOD + self.RUN), ("1", (periods + 1) * self.PERIOD)):
                    brake.write(word)
                    brake.flush()
                    now = time.monotonic() - begin
                    time.sleep(max(0.0, until - now))
                    stopped += int((until - now) * 1e6) if word == "1" and until > now else 0
                periods += 1
                self.write(real, periods, stopped)

    def write(self, real: TextIO, periods: int, stopped: int) -> None:
        real.seek(0)
        known = [line for line in real.read().splitlines() if "usec" in line and "throttled" not in line]
        text = "\n".join([*known, f"nr_periods {periods}", f"nr_throttled {periods}", f"throttled_usec {stopped}", ""])
        # At once: whoever reads sees the old or the new.
        new = self.files / "new"
        new.write_text(text)
        new.replace(self.files / "cpu.stat")


def plant(name: str) -> None:
    one = CAUSES[name]
    if one.cause:
        set_service(one.cause, one.flags, one.lines, one.rate)
    elif name == "ports":
        PORTS.write_text(FEW_PORTS)
        systemctl("start", "holder.service")
        few = range(*map(int, FEW_PORTS.split()))
        wait_until(lambda: {local for local, remote, _state in connections() if remote == 443}.issuperset(few), "no port is left")
    elif name == "cpu-quota":
        systemctl("start", "quota.service")
        wait_until(lambda: os.path.ismount(Quota("shop").group), "the quota is there")
    elif one.host == "dep":
        set_dependency(addresses=[DEAD] if name == "dead-ipv6" else [], names_delay=0.4 if name == "slow-dns" else 0.0,
                       handshake=0.8 if name == "slow-tls" else 0.0, slow_proxy=name == "slow-proxy")
    time.sleep(one.settle)


def take_back() -> None:
    """Whatever was planted: what is not there is no error."""
    if (UNITS / "shop.service").exists():
        PORTS.write_text(ALL_PORTS)
        systemctl("stop", "holder.service", "quota.service")
        set_service("behave", "", (), 20)
    if (UNITS / "names.service").exists():
        set_dependency(addresses=[], names_delay=0.0, handshake=0.0, slow_proxy=False)


LAB = Path("/etc/lab")
# A network that a router loses: molecule/explanation/prepare.yml makes it.
DEAD = "2001:db8:60:dead::1"


def own_address() -> str:
    """The address at which the other host finds this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.1", 9))  # nothing is sent
        return str(one.getsockname()[0])


def set_names(more: list[str], delay: float) -> None:
    """Restarts the name server with these further addresses of pay, and with this delay in seconds."""
    own = own_address()
    names = {name: [own] for name in ("pay.lab.test", "db.lab.test", "proxy.lab.test")}
    names["pay.lab.test"] += more
    server = {"kind": "dns", "port": 53, "address": "0.0.0.0", "names": names, "delay": delay}
    (LAB / "names.json").write_text(json.dumps([server]), encoding="utf-8")
    start("names.service", 53)


def set_servers(handshake: float, *, slow_proxy: bool) -> None:
    """Serves pay by nginx, or by a server whose handshake takes ``handshake`` seconds; lets nginx's module proxy answer five requests a
    second, the others in their turn, or all at once."""
    site, limit = Path("/etc/nginx/sites-enabled/pay"), LAB / "slow.conf"
    systemctl("stop", "slow-tls.service")
    if handshake:
        site.unlink(missing_ok=True)
    elif not site.exists():
        site.symlink_to("../sites-available/pay")
    if slow_proxy:
        limit.write_text("limit_req zone=slow burst=500;\n", encoding="utf-8")
    else:
        limit.unlink(missing_ok=True)
    # Not reloaded: nginx would give up its port some time later.
    systemctl("restart", "nginx.service")
    if handshake:
        server = {"kind": "tls", "port": 443, "address": "0.0.0.0", "certificate": str(LAB / "good.pem"), "delay": handshake}
        (LAB / "slow-tls.json").write_text(json.dumps([server]), encoding="utf-8")
        start("slow-tls.service", 443)


def set_dependency(*, addresses: list[str], names_delay: float, handshake: float, slow_proxy: bool) -> None:
    set_names(addresses, names_delay)
    set_servers(handshake, slow_proxy=slow_proxy)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    planting = commands.add_parser("plant", help="plant one cause, where none is")
    planting.add_argument("cause", choices=sorted(CAUSES))
    commands.add_parser("take-back", help="as it was")
    commands.add_parser("list", help="what there is, as JSON")
    holding = commands.add_parser("hold", help="use up the ports for one destination")
    holding.add_argument("name")
    holding.add_argument("port", type=int)
    holding.add_argument("seconds", type=float)
    quota = commands.add_parser("quota", help="hold back a unit as a CPU quota does; 0 seconds: no more")
    quota.add_argument("unit")
    quota.add_argument("seconds", type=float)
    options = parser.parse_args()
    if options.command == "list":
        print(json.dumps({name: asdict(one) for name, one in CAUSES.items()}, indent=1))
    elif options.command == "hold":
        return hold(options.name, options.port, options.seconds)
    elif options.command == "quota" and options.seconds > 0:
        Quota(options.unit).keep(options.seconds)
    elif options.command == "quota":
        Quota(options.unit).give_back()
    elif options.command == "take-back":
        take_back()
    else:
        plant(options.cause)
    return 0


if __name__ == "__main__":
    sys.exit(main())
