# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared, what the drop-in shall say, and what is refused; the way over a real host is molecule/service_limits."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import service_limits, systemd, units
from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
from ansible_collections.goready.preflight.plugins.module_utils.service_limits import INFINITY

ALLOWED = "allowed are a whole number from 1 to 1073741824, \"soft:hard\", or {soft, hard}"
KEYS = ("allowed are name, unit, nofile, tasks_max, memory_max, memory_high, gomemlimit, health, and the other keys of "
        "preflight_services (binary, pprof, metrics, revision, depends_on)")


@pytest.mark.parametrize(("value", "expected"), [
    pytest.param(65536, (65536, None), id="number"),
    pytest.param("65536", (65536, None), id="text"),
    pytest.param("65536:524288", (65536, 524288), id="pair"),
    pytest.param({"soft": 65536, "hard": "524288"}, (65536, 524288), id="mapping"),
    pytest.param({"soft": 65536}, (65536, None), id="mapping-soft"),
])
def test_nofile(value: Any, expected: Any) -> None:
    assert service_limits.parse_nofile(value) == expected


@pytest.mark.parametrize(("value", "message"), [
    pytest.param("64K", f"'64K' is no limit of open files: {ALLOWED}", id="suffix"),
    pytest.param(0, f"0 is no limit of open files: {ALLOWED}", id="zero"),
    pytest.param(True, f"True is no limit of open files: {ALLOWED}", id="boolean"),
    pytest.param("1:2:3", f"'1:2:3' is no limit of open files: {ALLOWED}", id="three"),
    pytest.param("2:1", "the soft limit 2 is above the hard limit 1: systemd would ignore the line", id="soft-above-hard"),
    pytest.param("1024:infinity", "'1024:infinity' is whatever the kernel allows, which no proof can hold against: give a number",
                 id="infinity"),
    pytest.param({"soft": 1, "max": 2}, f"unknown key max: {ALLOWED}", id="unknown-key"),
    pytest.param({"hard": 1}, f"the key soft is missing: {ALLOWED}", id="no-soft"),
])
def test_nofile_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        service_limits.parse_nofile(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(("value", "expected", "text"), [
    pytest.param("512M", 512 << 20, "512M", id="mebibytes"),
    pytest.param("1.5G", 3 << 29, "1536M", id="fraction"),
    pytest.param(1 << 30, 1 << 30, "1G", id="bytes"),
    pytest.param(1048577, 1048577, "1048577", id="odd"),
    pytest.param("infinity", INFINITY, "infinity", id="infinity"),
])
def test_size(value: Any, expected: int, text: str) -> None:
    assert service_limits.parse_size(value) == expected
    assert service_limits.size(expected) == text


@given(st.integers(min_value=1 << 20, max_value=(1 << 50) - 1))
def test_a_size_is_read_as_it_was_written(number: int) -> None:
    assert service_limits.parse_size(service_limits.size(number)) == number


@pytest.mark.parametrize("reader", [service_limits.parse_nofile, service_limits.parse_size, service_limits.parse_tasks,
                                    service_limits.parse_gomemlimit], ids=lambda one: one.__name__)
@given(value=st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.dictionaries(st.text(), st.integers())))
def test_anything_is_read_or_refused(reader: Any, value: Any) -> None:
    try:
        reader(value)
    except ValueError as exc:
        assert str(exc)


@pytest.mark.parametrize(("wanted", "current", "lower", "expected"), [
    pytest.param((65536, None), (1024, 524288), False, (65536, 524288), id="the-hard-limit-stays"),
    pytest.param((65536, None), (1024, 4096), False, (65536, 65536), id="the-hard-limit-rises"),
    pytest.param((65536, 70000), (1024, 524288), False, (65536, 524288), id="an-explicit-one-lowers-nothing"),
    pytest.param((65536, 70000), (1024, 524288), True, (65536, 70000), id="unless-told"),
    pytest.param((1024, None), (8192, 8192), False, (8192, 8192), id="the-soft-limit-is-higher"),
    pytest.param((1024, None), (8192, 8192), True, (1024, 8192), id="lowered"),
    pytest.param((65536, None), (1024, INFINITY), False, (65536, INFINITY), id="infinity"),
])
def test_nofile_target(wanted: Any, current: Any, lower: bool, expected: Any) -> None:
    assert service_limits.nofile_target(wanted, current, lower=lower) == expected


limits = st.integers(min_value=1, max_value=1 << 30)


@given(limits, st.one_of(st.none(), limits), limits, limits)
def test_without_lower_nothing_gets_lower(soft: int, hard: Any, have_soft: int, have_hard: int) -> None:
    if (hard is not None and hard < soft) or have_hard < have_soft:
        return
    got = service_limits.nofile_target((soft, hard), (have_soft, have_hard), lower=False)
    assert got[0] >= max(soft, have_soft) and got[1] >= max(have_hard, hard or 0, got[0])
    assert service_limits.nofile_target((soft, hard), got, lower=False) == got


FAULTS = [
    ("no-mapping", ["api"], ["services[0]: 'api' is not a mapping with at least a name"]),
    ("no-name", [{"nofile": 1}], ["services[0]: name: the key is missing"]),
    ("bad-name", [{"name": "a b"}], ["services[0] (a b): name: 'a b' is not a service name (at most 200 letters, digits and :_.@-)"]),
    ("no-directive", [{"name": "api", "LimitNOFILESoft": 65536}], [
        "services[0] (api): LimitNOFILESoft: systemd has no such directive and would ignore it: soft and hard limit are written "
        "LimitNOFILE=SOFT:HARD; here nofile: \"65536:524288\""]),
    ("hard-too", [{"name": "api", "limit_nofile_hard": 65536}], [
        "services[0] (api): limit_nofile_hard: systemd has no such directive and would ignore it: soft and hard limit are written "
        "LimitNOFILE=SOFT:HARD; here nofile: \"65536:524288\""]),
    ("directive", [{"name": "api", "MemoryMax": "1G"}], [f"services[0] (api): MemoryMax: unknown key; did you mean memory_max? {KEYS}"]),
    ("misspelt", [{"name": "api", "no_file": 1}], [f"services[0] (api): no_file: unknown key; did you mean nofile? {KEYS}"]),
    ("unknown", [{"name": "api", "colour": 1}], [f"services[0] (api): colour: unknown key; {KEYS}"]),
    ("no-service", [{"name": "api", "unit": "api.socket"}], ["services[0] (api): unit: 'api.socket' is not the name of a .service unit"]),
    ("glob", [{"name": "api", "unit": "*.service"}], ["services[0] (api): unit: '*.service' is not the name of a .service unit"]),
    ("tasks", [{"name": "api", "tasks_max": "10%"}], [
        "services[0] (api): tasks_max: '10%' is no number of tasks: allowed are a whole number from 1 and infinity"]),
    ("memory", [{"name": "api", "memory_max": "50%"}], [
        "services[0] (api): memory_max: '50%' is no size of memory: allowed are 1M to 1023T, in bytes or with K, M, G, T (base 1024), "
        "and infinity"]),
    ("high-above-max", [{"name": "api", "memory_max": "1G", "memory_high": "2G"}], [
        "services[0] (api): memory_high: 2G is above memory_max, 1G: it would never act"]),
    ("gomemlimit", [{"name": "api", "gomemlimit": "512M"}], [
        "services[0] (api): gomemlimit: '512M' is no GOMEMLIMIT: allowed are auto, \"\" for none, off, and a whole number with B, KiB, "
        "MiB, GiB or TiB (no M, no MB: a program would not start)"]),
    ("gomemlimit-above", [{"name": "api", "gomemlimit": "1GiB", "memory_max": "1G"}], [
        "services[0] (api): gomemlimit: 1GiB is not below the memory limit of 1G: the kernel would act before Go does"]),
    ("health", [{"name": "api", "health": "ftp://x"}], [
        "services[0] (api): health: 'ftp://x' is not a URL that can be asked: expected http://, https:// or unix:///, not 'ftp://x'"]),
    ("twice", [{"name": "api"}, {"name": "b", "unit": "api"}], [
        "services[1] (b): unit: api.service is declared twice, by api as well"]),
    ("all-at-once", [{"name": "a", "nofile": 0, "tasks_max": 0}, {"name": "b", "nofile": "x"}], [
        f"services[0] (a): nofile: 0 is no limit of open files: {ALLOWED}",
        "services[0] (a): tasks_max: 0 is no number of tasks: allowed are a whole number from 1 and infinity",
        f"services[1] (b): nofile: 'x' is no limit of open files: {ALLOWED}"]),
]


@pytest.mark.parametrize(("entries", "faults"), [pytest.param(*row[1:], id=row[0]) for row in FAULTS])
def test_faults(entries: Any, faults: Any) -> None:
    with pytest.raises(service_limits.Faults) as caught:
        service_limits.parse_services(entries)
    assert caught.value.faults == faults


@pytest.mark.parametrize(("options", "lock_timeout", "faults"), [
    pytest.param({}, 120, [], id="defaults"),
    pytest.param({"timeout": 0.5, "settle": 0}, 0, [], id="short"),
    pytest.param({"timeout": -1.0}, 120, ["timeout: -1 is no time to wait: allowed are seconds above 0"], id="below-0"),
    pytest.param({"timeout": 0.0}, 120, ["timeout: 0 is no time to wait: allowed are seconds above 0"], id="none"),
    pytest.param({"timeout": float("inf"), "settle": float("nan")}, -2, [
        "timeout: inf is no time to wait: allowed are seconds above 0", "settle: nan is no time to wait: allowed are seconds from 0",
        "lock_timeout: -2 is no time to wait: allowed are seconds from 0"], id="all"),
])
def test_a_wait_has_an_end(options: Any, lock_timeout: float, faults: Any) -> None:
    found = service_limits.Options(**options).faults(lock_timeout)
    assert found == faults
    with pytest.raises(service_limits.Faults) as caught:
        service_limits.parse_services(["api"], found)
    assert caught.value.faults == [*faults, "services[0]: 'api' is not a mapping with at least a name"]


def test_an_entry_of_preflight_services_is_one() -> None:
    (one,) = service_limits.parse_services([{
        "name": "api", "nofile": 65536, "binary": "/opt/api", "pprof": "http://127.0.0.1:6060", "metrics": None, "revision": "00c0ffee",
        "depends_on": []}])
    assert (one.unit, one.nofile, one.gomemlimit) == ("api.service", (65536, None), "auto")
    (other,) = service_limits.parse_services([{"name": "api", "unit": "worker@.service"}])
    assert not other.anything and units.is_template(other.unit)


def test_rendered_and_read_again() -> None:
    lines = {"GOMEMLIMIT": "460MiB", "MemoryMax": "512M", "LimitNOFILE": "65536:524288", "TasksMax": "4096"}
    text = service_limits.render(lines)
    assert text == (
        "# Written by goready.preflight (service_limits), which also takes it away: state absent.\n[Service]\n"
        "LimitNOFILE=65536:524288\nTasksMax=4096\nMemoryMax=512M\nEnvironment=GOMEMLIMIT=460MiB\n")
    assert service_limits.drop_in_lines(text.encode()) == lines
    assert systemd.parse_unit_file(text).problems == []
    assert service_limits.drop_in_lines(None) == {}


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param("GOMEMLIMIT=1GiB\n", "1GiB", id="plain"),
    pytest.param("# GOMEMLIMIT=1GiB\nOTHER=1\n", None, id="comment"),
    pytest.param(" GOMEMLIMIT = \"900MiB\" \n", "900MiB", id="quoted"),
    pytest.param("GOMEMLIMIT=1GiB\nGOMEMLIMIT='2GiB'", "2GiB", id="the-last-wins"),
    pytest.param("NOT_GOMEMLIMIT=1GiB\n", None, id="another"),
])
def test_environment_files(text: str, expected: Any) -> None:
    assert service_limits.environment_file_value(text, "GOMEMLIMIT") == expected


# What systemd 252 prints.
@pytest.mark.parametrize(("value", "expected"), [
    pytest.param("GOMEMLIMIT=460MiB", {"GOMEMLIMIT": "460MiB"}, id="one"),
    pytest.param("A=1 \"B=x y\" GOMEMLIMIT=1GiB", {"A": "1", "B": "x y", "GOMEMLIMIT": "1GiB"}, id="quoted"),
    pytest.param("", {}, id="none"),
])
def test_environment(value: str, expected: Any) -> None:
    assert service_limits.environment(value) == expected


# --- decisions, with a systemd that answers from a table and a recorded /proc ------------------------------------------

# As fs/proc/base.c prints them: the name in 25 columns, the limits in 20 each.
LIMITS = ("Limit                     Soft Limit           Hard Limit           Units\n"
          "Max processes             4096                 4096                 processes\n"
          "Max open files            {soft:<20} {hard:<20} files\n")


class Machine:
    """A host in a folder: PID 1, one service with PID 77, and systemctl's answers."""

    def __init__(self, root: Path, **properties: str) -> None:
        self.root = root
        self.asked: list[list[str]] = []
        self.properties = {
            "Id": "api.service", "LoadState": "loaded", "ActiveState": "active", "SubState": "running", "MainPID": "77",
            "InvocationID": "aa", "Job": "", "NRestarts": "0", "DropInPaths": "", "NeedDaemonReload": "no", "ControlGroup": "",
            "LimitNOFILE": "524288", "LimitNOFILESoft": "1024", "TasksMax": "4915", "MemoryMax": "infinity",
            "MemoryHigh": "infinity", "TasksCurrent": "12", "MemoryCurrent": str(100 << 20), "Environment": "",
            "EnvironmentFiles": "", **properties}
        self.put("/proc/sys/fs/nr_open", "1048576\n")
        self.process(1, 524288, 524288, "CapEff:\t000001ffffffffff\n")
        self.put("/proc/1/uid_map", "         0          0 4294967295\n")
        self.process(77, 1024, 524288)
        self.put("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n")

    def put(self, path: str, text: str) -> None:
        real = self.root / path.lstrip("/")
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text)

    def process(self, pid: int, soft: Any, hard: Any, status: str = "") -> None:
        self.put(f"/proc/{pid}/limits", LIMITS.format(soft=soft, hard=hard))
        self.put(f"/proc/{pid}/environ", "A=1\0")
        self.put(f"/proc/{pid}/status", status)

    def run(self, argv: Any, seconds: float) -> tuple[int, str, str]:
        self.asked.append(list(argv))
        return 0, "\n".join(f"{name}={value}" for name, value in self.properties.items()) + "\n", ""

    def predict(self, entry: dict[str, Any], **options: Any) -> dict[str, Any]:
        host = service_limits.Host(units.Systemd(self.run), root=str(self.root))
        return service_limits.apply(service_limits.parse_services([{"name": "api", **entry}]), service_limits.Options(**options),
                                    check_mode=True, host=host)


def drop_in(result: dict[str, Any]) -> str:
    (one,) = [one["after"] for one in result["diff"] if one["after_header"].endswith("50-goready-limits.conf")]
    return str(one).partition("[Service]\n")[2]


PREDICTIONS = [
    ("raise", {}, {"nofile": 65536}, {}, "LimitNOFILE=65536:524288\n", "effective"),
    ("memory", {}, {"memory_max": "512M"}, {}, "MemoryMax=512M\nEnvironment=GOMEMLIMIT=460MiB\n", "effective"),
    ("the-lower-one-counts", {}, {"memory_max": "1G", "memory_high": "512M"}, {},
     "MemoryHigh=512M\nMemoryMax=1G\nEnvironment=GOMEMLIMIT=460MiB\n", "effective"),
    ("no-gomemlimit", {}, {"memory_max": "512M", "gomemlimit": ""}, {}, "MemoryMax=512M\n", "effective"),
    ("a-fitting-one-stays", {"Environment": "GOMEMLIMIT=300MiB"}, {"memory_max": "512M"}, {}, "MemoryMax=512M\n", "effective"),
    ("a-greater-one-does-not", {"Environment": "GOMEMLIMIT=600MiB"}, {"memory_max": "512M"}, {},
     "MemoryMax=512M\nEnvironment=GOMEMLIMIT=460MiB\n", "effective"),
    ("tasks", {}, {"tasks_max": 8000}, {}, "TasksMax=8000\n", "effective"),
    ("lower-tasks", {}, {"tasks_max": 100}, {"lower": True}, "TasksMax=100\n", "effective"),
    ("resting", {"ActiveState": "inactive", "MainPID": "0"}, {"nofile": 65536}, {}, "LimitNOFILE=65536:524288\n", "configured"),
    ("next-start", {}, {"nofile": 65536}, {"apply": "next_start"}, "LimitNOFILE=65536:524288\n", "configured"),
]


@pytest.mark.parametrize(("properties", "entry", "options", "text", "status"), [pytest.param(*row[1:], id=row[0]) for row in PREDICTIONS])
def test_predictions(tmp_path: Path, properties: Any, entry: Any, options: Any, text: str, status: str) -> None:
    result = Machine(tmp_path, **properties).predict(entry, **options)
    assert drop_in(result) == text
    assert result["services"][0]["status"] == status
    assert not (tmp_path / "etc").exists()


REFUSALS = [
    ("above-nr-open", {}, {"nofile": 2000000}, "2000000 open files are above fs.nr_open (1048576), the kernel's ceiling: systemd would "
     "silently give less (service_limits_raise_nr_open: true raises it)"),
    ("missing", {"LoadState": "not-found"}, {"nofile": 1}, "api.service does not exist on this host"),
    ("masked", {"LoadState": "masked"}, {"nofile": 1},
     "api.service is masked: nothing can start it (systemctl unmask api.service, if that was not meant)"),
    ("broken", {"LoadState": "bad-setting", "LoadError": "org.x \"no ExecStart\""}, {"nofile": 1},
     "systemd cannot load api.service: it is bad-setting (org.x \"no ExecStart\")"),
    ("memory-in-use", {}, {"memory_max": "64M"}, "memory_max: 64M is not above what api.service uses now, 100M: it would be reclaimed or "
     "killed at once"),
]


@pytest.mark.parametrize(("properties", "entry", "failure"), [pytest.param(*row[1:], id=row[0]) for row in REFUSALS])
def test_refusals(tmp_path: Path, properties: Any, entry: Any, failure: str) -> None:
    result = Machine(tmp_path, **properties).predict(entry)
    assert result["failed"] and not result["changed"]
    assert result["services"][0]["failure"] == failure
    assert result["msg"] == f"1 of 1 services did not get their limits. api: {failure}"


def test_tasks_in_use(tmp_path: Path) -> None:
    result = Machine(tmp_path).predict({"tasks_max": 12}, lower=True)
    assert result["services"][0]["failure"] == ("tasks_max: 12 is not above what api.service uses now, 12: it would be refused new "
                                                "threads at once")


def test_what_is_higher_stays_and_is_told(tmp_path: Path) -> None:
    result = Machine(tmp_path, LimitNOFILESoft="80000").predict({"nofile": 65536, "tasks_max": 100})
    assert not result["changed"] or result["changes"] == [{"path": "unit api.service", "action": "restarted", "detail": ""}]
    assert result["services"][0]["messages"] == [
        "LimitNOFILE is 80000:524288: the soft limit stays above what is declared (service_limits_lower: true lowers it)",
        "TasksMax stays at 4915, above the 100 that is declared (service_limits_lower: true lowers it)"]


def test_a_manager_that_may_not_raise(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.process(1, 20000, 20000, "CapEff:\t000001fffeffffff\n")
    assert machine.predict({"nofile": 65536})["services"][0]["failure"] == (
        "65536 open files cannot be had here: systemd runs without CAP_SYS_RESOURCE, so no service of this host gets more than its "
        "20000 (/proc/1/limits). Raise the limit where the container is started")
    machine.put("/proc/1/status", "CapEff:\t000001ffffffffff\n")
    machine.put("/proc/1/uid_map", "         0     100000      65536\n")
    assert "this host is a container of an unprivileged user" in machine.predict({"nofile": 65536})["services"][0]["failure"]


def test_no_controller(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.put("/sys/fs/cgroup/cgroup.controllers", "hugetlb\n")
    assert machine.predict({"memory_max": "512M"})["services"][0]["failure"] == (
        "MemoryMax would be configured, but not enforced: this host's kernel offers systemd no memory controller "
        "(service_limits_accept_unenforced: true writes it all the same)")
    result = machine.predict({"memory_max": "512M"}, accept_unenforced=True)
    assert result["services"][0]["messages"] == [
        "MemoryMax is configured, but not enforced: this host's kernel offers systemd no memory controller"]


def test_a_later_drop_in_wins(tmp_path: Path) -> None:
    path = "/etc/systemd/system/api.service.d/99-x.conf"
    machine = Machine(tmp_path, DropInPaths=path)
    machine.put(path, "[Service]\n# no\nLimitNOFILE=2048\n")
    assert machine.predict({"nofile": 65536})["services"][0]["failure"] == (
        f"{path}:3 overrides the drop-in, whose name comes before it: LimitNOFILE=2048")
    machine.properties.update(LimitNOFILE="90000", LimitNOFILESoft="90000")
    machine.put(path, "[Service]\nLimitNOFILE=90000\n")
    machine.process(77, 90000, 90000)
    result = machine.predict({"nofile": 65536})
    assert not result["changed"] and result["services"][0]["messages"][0] == f"{path}:2 sets LimitNOFILE=90000, which is enough"


def test_an_environment_file_wins(tmp_path: Path) -> None:
    machine = Machine(tmp_path, EnvironmentFiles="/etc/default/api (ignore_errors=yes)")
    machine.put("/etc/default/api", "GOMEMLIMIT=900MiB\n")
    assert machine.predict({"memory_max": "512M"})["services"][0]["failure"] == (
        "GOMEMLIMIT=900MiB of /etc/default/api overrides what a drop-in sets (systemd.exec(5), EnvironmentFile=): change it there, "
        "or set gomemlimit: \"\"")
    result = machine.predict({"memory_max": "2G"})
    assert result["services"][0]["messages"] == ["GOMEMLIMIT=900MiB of /etc/default/api is below the memory limit and stays"]


def test_an_environment_file_that_nobody_writes_into_is_not_waited_for(tmp_path: Path) -> None:
    machine = Machine(tmp_path, EnvironmentFiles="/etc/default/api (ignore_errors=yes)")
    (tmp_path / "etc/default").mkdir(parents=True)
    fifo = tmp_path / "etc/default/api"
    os.mkfifo(fifo)
    assert machine.predict({"nofile": 65536})["services"][0]["messages"] == []
    assert machine.predict({"memory_max": "2G"})["services"][0]["messages"] == [
        f"{fifo} is no regular file: whether it sets GOMEMLIMIT is not known"]


def test_a_kernel_without_user_namespaces(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "proc/1/uid_map").unlink()
    assert machine.predict({"nofile": 600000})["services"][0]["status"] == "effective"


@pytest.mark.parametrize("names", [("ssh", "sshd"), ("sshd", "ssh")])
def test_an_alias_is_the_same_unit(tmp_path: Path, names: tuple[str, str]) -> None:
    machine = Machine(tmp_path)

    def run(argv: Any, seconds: float) -> tuple[int, str, str]:
        units_asked = [one for one in argv if one.endswith(".service")]
        return 0, "\n".join(machine.run(["show", unit], seconds)[1] for unit in units_asked).replace("api.service", "ssh.service"), ""

    host = service_limits.Host(units.Systemd(run), root=str(tmp_path))
    declared = service_limits.parse_services([{"name": name, "nofile": 65536} for name in names])
    with pytest.raises(service_limits.Faults) as caught:
        service_limits.apply(declared, service_limits.Options(), check_mode=True, host=host)
    assert str(caught.value) == (f"services ({names[1]}): unit: {names[1]}.service is the same unit as {names[0]}.service of {names[0]}: "
                                 "one is an alias of the other")


# --- what ends badly ---------------------------------------------------------------------------------------------------

OURS = "# Written by goready.preflight (service_limits), which also takes it away: state absent.\nfs.nr_open = 2000000\n"
RAISE = """
import sys
from ansible_collections.goready.preflight.plugins.module_utils import changing, service_limits
host = service_limits.Host(root=sys.argv[1])
with changing.Changes(service_limits.NAME, root=host.root) as changes:
    service_limits._raise_nr_open(2000000, service_limits.Ceiling(1048576), host, changes)
"""


def test_killed_while_the_kernel_is_told_of_more_open_files(tmp_path: Path) -> None:
    Machine(tmp_path)
    file, journal = tmp_path / "etc/sysctl.d/50-goready-fs.conf", tmp_path / "var/lib/goready-preflight/service_limits.journal"
    file.parent.mkdir(parents=True)
    kernel = tmp_path / "proc/sys/fs/nr_open"
    kernel.unlink()
    os.mkfifo(kernel)  # nobody reads it: whoever opens it to write stays there
    with subprocess.Popen([sys.executable, "-c", RAISE, str(tmp_path)], env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))) as done:
        deadline = time.monotonic() + 20
        while (not file.exists() or journal.exists()) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        done.kill()
    kernel.unlink()
    kernel.write_text("1048576\n")
    host = service_limits.Host(root=str(tmp_path))
    with Changes(service_limits.NAME, root=str(tmp_path)) as changes:
        assert changes.recovered == []
        assert file.read_text() == OURS
        assert service_limits._raise_nr_open(2000000, host.ceiling(), host, changes) == ""
    assert (kernel.read_text(), file.read_text()) == ("2000000\n", OURS)
    assert [one["path"] for one in changes.changes] == ["sysctl fs.nr_open"]


@pytest.mark.parametrize(("before", "after", "actions"), [
    pytest.param(None, None, [], id="nothing-was-there"),
    pytest.param(OURS.replace("2000000", "1500000"), OURS.replace("2000000", "1500000"), [], id="a-lower-value-was-there"),
    pytest.param(OURS, None, ["removed"], id="of-a-killed-call"),
])
def test_a_kernel_that_refuses_more_open_files(tmp_path: Path, before: Any, after: Any, actions: Any) -> None:
    file = tmp_path / "etc/sysctl.d/50-goready-fs.conf"
    file.parent.mkdir(parents=True)
    if before is not None:
        file.write_text(before)
    (tmp_path / "proc/sys/fs/nr_open").mkdir(parents=True)  # nothing can be written there
    with Changes(service_limits.NAME, root=str(tmp_path)) as changes:
        why = service_limits._raise_nr_open(2000000, service_limits.Ceiling(1048576), service_limits.Host(root=str(tmp_path)), changes)
    assert why == "/proc/sys/fs/nr_open: Is a directory"
    assert (file.read_text() if file.exists() else None) == after
    assert [one["action"] for one in changes.changes] == actions


def test_what_cannot_be_taken_back_keeps_its_journal_and_is_taken_back_later(tmp_path: Path) -> None:
    """Something lies where the old drop-in would be put together; systemd refuses the new one. It is gone before the second
    service, whose call takes the first one's drop-in back."""
    api, worker = (tmp_path / f"etc/systemd/system/{name}.service.d/50-goready-limits.conf" for name in ("api", "worker"))
    journal = tmp_path / "var/lib/goready-preflight/service_limits.journal"
    machine = Machine(tmp_path)
    old = service_limits.render({"LimitNOFILE": "2048:524288"})
    machine.put(str(api.relative_to(tmp_path)), old)
    block = api.parent / f".{api.name}.{os.getpid()}.goready~"
    reloads: list[str] = []

    def run(argv: Any, seconds: float) -> tuple[int, str, str]:
        if "daemon-reload" in argv:
            reloads.append(api.read_text())
            if len(reloads) == 1:
                block.mkdir()
                return 1, "", "Connection timed out"
            return 0, "", ""
        if block.exists():
            assert journal.exists()
            block.rmdir()
        shown = []
        for unit in [one for one in argv if one.endswith(".service")]:
            soft = "65536" if unit == "worker.service" and worker.exists() else "1024"
            text = machine.run(argv, seconds)[1].replace("Id=api.service", f"Id={unit}")
            shown.append(text.replace("LimitNOFILESoft=1024", f"LimitNOFILESoft={soft}"))
        return 0, "\n".join(shown), ""

    host = service_limits.Host(units.Systemd(run), root=str(tmp_path))
    declared = service_limits.parse_services([{"name": name, "nofile": 65536} for name in ("api", "worker")])
    result = service_limits.apply(declared, service_limits.Options(apply="next_start"), host=host)
    first, second = result["services"]
    assert "(taking it back failed: not taken back: /etc/systemd/system/api.service.d/50-goready-limits.conf: Is a directory (how it was " \
           f"stays in {journal})" in first["failure"]
    assert (second["status"], worker.exists(), journal.exists()) == ("configured", True, False)
    assert api.read_text() == old and old in reloads[1:]  # and systemd knows
    assert result["recovered"] == ["/etc/systemd/system/api.service.d/50-goready-limits.conf"]


@pytest.mark.parametrize(("soft", "hard", "entry", "changed"), [
    pytest.param(65535, 65536, {"nofile": 65536}, False, id="go-takes-one-less"),
    pytest.param(65536, 524288, {"nofile": 65536}, False, id="has-it"),
    pytest.param(65535, 524288, {"nofile": 65536}, True, id="one-short"),
    pytest.param(65536, 65536, {"nofile": "65536:524288"}, True, id="hard-short"),
    pytest.param("unlimited", "unlimited", {"nofile": 65536}, False, id="unlimited"),
])
def test_a_restart_only_where_the_process_lacks_something(tmp_path: Path, soft: Any, hard: Any, entry: Any, changed: bool) -> None:
    machine = Machine(tmp_path, LimitNOFILE="524288", LimitNOFILESoft="65536")
    machine.process(77, soft, hard)
    result = machine.predict(entry)
    assert result["changes"] == ([{"path": "unit api.service", "action": "restarted", "detail": ""}] if changed else [])
    assert result["consent_missing"] == (["restart"] if changed else [])


def test_other_lines_of_ours_stay(tmp_path: Path) -> None:
    """The loop calls with the limits that failed; what another call has set must not go by that."""
    path = "/etc/systemd/system/api.service.d/50-goready-limits.conf"
    machine = Machine(tmp_path, DropInPaths=path, MemoryMax=str(512 << 20))
    machine.put(path, service_limits.render({"MemoryMax": "512M", "GOMEMLIMIT": "460MiB"}))
    assert drop_in(machine.predict({"nofile": 65536})) == (
        "LimitNOFILE=65536:524288\nMemoryMax=512M\nEnvironment=GOMEMLIMIT=460MiB\n")
    assert drop_in(machine.predict({"memory_max": "", "gomemlimit": "", "nofile": 65536})) == "LimitNOFILE=65536:524288\n"


def test_check_mode_tells_what_a_killed_call_has_left(tmp_path: Path) -> None:
    machine = Machine(tmp_path, LimitNOFILESoft="8192")
    machine.process(77, 8192, 524288)
    assert machine.predict({"nofile": 8192})["recovered"] == []
    left = Changes("service_limits", root=str(tmp_path), lock_dir=str(tmp_path))
    left.__enter__()  # and never left, as where it is killed
    left.directory("/etc")
    left.write("/etc/x.conf", "half\n")
    units.Restarts("service_limits", state_dir=str(tmp_path / "var/lib/goready-preflight")).begin("web.service")
    result = machine.predict({"nofile": 8192})
    assert result["recovered"] == ["/etc/x.conf", "/etc", "unit web.service"]
    assert result["changed"] and result["changes"] == []
    assert (tmp_path / "etc/x.conf").read_text() == "half\n"


def test_the_roles_defaults_are_those_of_its_argument_spec() -> None:
    role = Path(__file__).resolve().parents[4] / "roles/service_limits"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert set(defaults) == set(options)
    for name, value in defaults.items():
        assert options[name].get("default", value) == value
        assert ("default" in options[name]) == ("{{" not in str(value)), name
