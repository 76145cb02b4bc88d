# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give services their limits by a drop-in, and believe it only of the running process.

Public: :func:`parse_services`, :class:`Options`, :func:`apply`; and, pure, for the tests: :func:`nofile_target`,
:func:`parse_size`, :func:`parse_nofile`, :func:`drop_in_lines`, :func:`render`.

Each service is a transaction of its own: drop-in, daemon-reload, restart or prlimit, proof. Where one of them does not come
out, the drop-in is taken back, the service is brought back to the state it was in, and the others go on.
"""
from __future__ import annotations

import difflib
import math
import os
import re
import resource
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe, procfs, redact, systemd, units
from ansible_collections.goready.preflight.plugins.module_utils.changing import Busy, Changes
from ansible_collections.goready.preflight.plugins.module_utils.readfile import read_regular

NAME = "service_limits"
DROP_IN = "50-goready-limits.conf"
SYSCTL = "/etc/sysctl.d/50-goready-fs.conf"
NR_OPEN = "/proc/sys/fs/nr_open"

# RLIM_INFINITY of a 64-bit limit, and what systemd calls it.
INFINITY = (1 << 64) - 1
# What the Go runtime and the program's own stacks, maps and buffers of C code need beside the heap (Go, "A Guide to the Go
# Garbage Collector": leave 5-10 % of headroom).
GOMEMLIMIT_SHARE = 0.9

_OWN_KEYS = ("name", "unit", "nofile", "tasks_max", "memory_max", "memory_high", "gomemlimit", "health")
# The other keys of preflight_services: the same list serves the verification.
_OTHER_KEYS = ("binary", "pprof", "metrics", "revision", "depends_on")
_MEANT = {"limitnofile": "nofile", "tasksmax": "tasks_max", "memorymax": "memory_max", "memorylimit": "memory_max",
          "memoryhigh": "memory_high", "nofiles": "nofile", "url": "health", "service": "unit"}

_PROPERTIES = ("LimitNOFILE", "LimitNOFILESoft", "TasksMax", "MemoryMax", "MemoryHigh", "TasksCurrent", "MemoryCurrent",
               "Environment", "EnvironmentFiles")
_COMMENT = ("Written by goready.preflight (service_limits), which also takes it away: state absent.",)

# How a property of `systemctl show` is named here, and the key that asks for it.
_KEYS = {"TasksMax": "tasks_max", "MemoryHigh": "memory_high", "MemoryMax": "memory_max"}
_CONTROLLERS = {"TasksMax": ("pids", "pids.max", "pids.max"), "MemoryMax": ("memory", "memory.max", "memory.limit_in_bytes"),
                "MemoryHigh": ("memory", "memory.high", "")}


class LimitsError(Exception):
    """One service could not be given its limits: one sentence."""


class Faults(ValueError):
    """The services are declared wrongly; ``faults`` has a sentence each."""

    def __init__(self, faults: List[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


@dataclass(frozen=True)
class Wanted:
    """What is declared for one service. None: not asked for, what is there stays; an amount of "" takes our line out."""

    name: str
    unit: str
    nofile: Optional[Tuple[int, Optional[int]]] = None  # soft, hard; hard None: as it is, and not below soft
    amounts: Mapping[str, Optional[int]] = field(default_factory=dict)  # {TasksMax, MemoryHigh, MemoryMax: number, None: out}
    nofile_out: bool = False
    gomemlimit: Optional[str] = "auto"
    health: str = ""

    @property
    def anything(self) -> bool:
        return self.nofile is not None or self.nofile_out or bool(self.amounts) or self.gomemlimit != "auto"


@dataclass(frozen=True)
class Options:
    """How it is done: the module's options of the same names."""

    apply: str = "restart"
    lower: bool = False
    raise_nr_open: bool = False
    accept_unenforced: bool = False
    timeout: float = 60.0
    settle: float = units.SETTLE
    state: str = "present"
    consent: Sequence[str] = ()

    def faults(self, lock_timeout: float) -> List[str]:
        """One sentence for each number of seconds that no wait can have."""
        found = []
        for key, value, zero in (("timeout", self.timeout, False), ("settle", self.settle, True),
                                 ("lock_timeout", lock_timeout, True)):
            # YAML knows .inf and .nan: a wait without an end.
            if not math.isfinite(value) or value < 0 or not (value or zero):
                found.append("%s: %g is no time to wait: allowed are seconds %s" % (key, value, "from 0" if zero else "above 0"))
        return found


# --- the declaration -------------------------------------------------------------------------------------------------


def parse_services(entries: Sequence[Any], others: Sequence[str] = ()) -> List[Wanted]:
    """The declared services. Raises :class:`Faults` with every fault, each with its key, its value and what is allowed;
    ``others`` are told with them."""
    faults: List[str] = list(others)
    services: List[Wanted] = []
    for index, entry in enumerate(entries):
        label = "services[%d]" % index
        if not isinstance(entry, Mapping):
            faults.append("%s: %s is not a mapping with at least a name" % (label, _short(entry)))
            continue
        if entry.get("name"):
            label += " (%s)" % _short(entry["name"]).strip("'")
        found, wrong = _service(entry)
        faults += ["%s: %s" % (label, one) for one in wrong]
        if found is not None:
            for other in services:
                if other.unit == found.unit:
                    faults.append("%s: unit: %s is declared twice, by %s as well" % (label, found.unit, other.name))
            services.append(found)
    if faults:
        raise Faults(faults)
    return services


def _service(entry: Mapping[str, Any]) -> Tuple[Optional[Wanted], List[str]]:
    faults: List[str] = []
    for key in entry:
        if key not in _OWN_KEYS and key not in _OTHER_KEYS:
            faults.append(_unknown(str(key)))
    given = {str(key): value for key, value in entry.items() if value is not None}

    def take(key: str, reader: Any, default: Any = None) -> Any:
        if key not in given:
            return default
        try:
            return reader(given[key])
        except ValueError as exc:
            faults.append("%s: %s" % (key, exc))
            return default

    name = take("name", _name, "")
    if "name" not in given:
        faults.append("name: the key is missing")
    unit = take("unit", _unit)
    if unit is None and name and "unit" not in given:
        unit = systemd.unit_name(name)
        if unit is None or not unit.endswith(".service"):
            faults.append("name: %s.service is no name of a unit; give the key unit" % _short(name).strip("'"))
    nofile = take("nofile", lambda value: None if value == "" else parse_nofile(value))
    amounts: Dict[str, Optional[int]] = {}
    for directive, key in _KEYS.items():
        if key in given:
            value = take(key, lambda value: (None,) if value == "" else (parse_tasks(value) if key == "tasks_max"  # noqa: B023
                                                                         else parse_size(value),))
            if value is not None:
                amounts[directive] = value[0]
    high, most = amounts.get("MemoryHigh"), amounts.get("MemoryMax")
    if high is not None and most is not None and high > most:
        faults.append("memory_high: %s is above memory_max, %s: it would never act" % (size(high), size(most)))
    gomemlimit = take("gomemlimit", parse_gomemlimit, "auto")
    bound = min([one for one in (high, most) if one is not None], default=INFINITY)
    if gomemlimit not in ("", "auto", "off") and bound != INFINITY and _go_bytes(gomemlimit) >= bound:
        faults.append("gomemlimit: %s is not below the memory limit of %s: the kernel would act before Go does"
                      % (gomemlimit, size(bound)))
    health = take("health", _health, "")
    if faults or unit is None:
        return None, faults
    return Wanted(name, unit, nofile, amounts, given.get("nofile") == "", gomemlimit, health), faults


def _unknown(key: str) -> str:
    plain = key.lower().replace("_", "").replace("-", "").rstrip("=")
    double = re.match(r"limit([a-z]+?)(soft|hard)\Z", plain)
    if double:
        return ("%s: systemd has no such directive and would ignore it: soft and hard limit are written Limit%s=SOFT:HARD; "
                "here nofile: \"65536:524288\"" % (key, double.group(1).upper()))
    near = [_MEANT[plain]] if plain in _MEANT else difflib.get_close_matches(key, _OWN_KEYS, n=1)
    return "%s: unknown key; %sallowed are %s, and the other keys of preflight_services (%s)" % (
        key, "did you mean %s? " % near[0] if near else "", ", ".join(_OWN_KEYS), ", ".join(_OTHER_KEYS))


def _short(value: Any) -> str:
    text = redact.redact_text(repr(value))
    return text if len(text) <= 80 else text[:70] + "..."


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"[A-Za-z0-9][A-Za-z0-9:_.@\\-]{0,199}\Z", value):
        raise ValueError("%s is not a service name (at most 200 letters, digits and :_.@-)" % _short(value))
    return value


def _unit(value: Any) -> str:
    unit = systemd.unit_name(value) if isinstance(value, str) else None
    if unit is None or not unit.endswith(".service"):
        raise ValueError("%s is not the name of a .service unit" % _short(value))
    return unit


def _health(value: Any) -> str:
    if value == "":
        return ""
    if not isinstance(value, str):
        raise ValueError("%s is not a URL" % _short(value))
    try:
        httpprobe.parse_url(value)
    except ValueError as exc:
        raise ValueError("%s is not a URL that can be asked: %s" % (_short(value), exc)) from None
    return value


def _count(value: Any) -> Optional[int]:
    """A whole number above zero that a descriptor limit can be; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    if isinstance(value, str) and not re.match(r"[0-9]{1,10}\Z", value):
        return None
    return int(value) if 0 < int(value) <= 1 << 30 else None


def parse_nofile(value: Any) -> Tuple[int, Optional[int]]:
    """``65536``, ``"65536:524288"`` or ``{soft, hard}`` as (soft, hard or None)."""
    allowed = "allowed are a whole number from 1 to 1073741824, \"soft:hard\", or {soft, hard}"
    if isinstance(value, Mapping):
        unknown = [str(key) for key in value if key not in ("soft", "hard")]
        if unknown or "soft" not in value:
            raise ValueError("%s: %s" % ("unknown key %s" % unknown[0] if unknown else "the key soft is missing", allowed))
        pieces = [value["soft"], *([value["hard"]] if value.get("hard") is not None else [])]
    elif isinstance(value, str) and ":" in value:
        pieces = value.split(":")
    else:
        pieces = [value]
    for piece in pieces:
        if str(piece).strip().lower() in ("infinity", "unlimited"):
            raise ValueError("%s is whatever the kernel allows, which no proof can hold against: give a number" % _short(value))
        # YAML 1.1 reads 65536:524288 without quotes as a number to base 60 where it can; it cannot here, but 1024:59 is one.
        if len(pieces) > 2 or _count(piece) is None:
            raise ValueError("%s is no limit of open files: %s" % (_short(value), allowed))
    soft, hard = int(pieces[0]), int(pieces[1]) if len(pieces) == 2 else None
    if hard is not None and soft > hard:
        raise ValueError("the soft limit %d is above the hard limit %d: systemd would ignore the line" % (soft, hard))
    return soft, hard


def parse_tasks(value: Any) -> int:
    """A number of tasks, or ``infinity``."""
    if value == "infinity":
        return INFINITY
    number = _count(value)
    if number is None:
        raise ValueError("%s is no number of tasks: allowed are a whole number from 1 and infinity" % _short(value))
    return number


def parse_size(value: Any) -> int:
    """Bytes, or a size as systemd writes it (``512M``, ``1.5G``, base 1024), or ``infinity``."""
    if value == "infinity":
        return INFINITY
    number = 0
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str):
        match = re.match(r"([0-9]{1,18}(?:\.[0-9]{1,6})?)([KMGT]?)\Z", value)
        if match:
            number = int(float(match.group(1)) * 1024 ** " KMGT".index(match.group(2) or " "))
    # Below this no Go program starts.
    if not 1 << 20 <= number < 1 << 50:
        raise ValueError("%s is no size of memory: allowed are 1M to 1023T, in bytes or with K, M, G, T (base 1024), and "
                         "infinity" % _short(value))
    return number


def parse_gomemlimit(value: Any) -> str:
    """``auto``, "" (none), ``off``, or a value that Go reads (runtime, parseByteCount): ``460MiB``."""
    if value in ("", "auto", "off"):
        return str(value)
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not re.match(r"[0-9]{1,18}(?:B|[KMGT]iB)?\Z", text) or not _go_bytes(text):
        raise ValueError("%s is no GOMEMLIMIT: allowed are auto, \"\" for none, off, and a whole number with B, KiB, MiB, GiB or "
                         "TiB (no M, no MB: a program would not start)" % _short(value))
    return text


def _go_bytes(text: str) -> int:
    """The bytes of a GOMEMLIMIT; 0 where Go would not read it."""
    match = re.match(r"([0-9]{1,18})(B|KiB|MiB|GiB|TiB)?\Z", text)
    return int(match.group(1)) * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(match.group(2) or "B") if match else 0


def size(number: int) -> str:
    """Bytes as systemd reads them: ``512M`` where that is exact."""
    if number == INFINITY:
        return "infinity"
    for exponent, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if number % 1024 ** exponent == 0:
            return "%d%s" % (number // 1024 ** exponent, letter)
    return str(number)


def words(number: int) -> str:
    return "infinity" if number == INFINITY else str(number)


# --- what the unit shall say -----------------------------------------------------------------------------------------


def nofile_target(wanted: Tuple[int, Optional[int]], current: Tuple[int, int], *, lower: bool) -> Tuple[int, int]:
    """(soft, hard) that the unit shall have. One number is the soft limit: the hard one stays where it is, or rises to it.

    One value in LimitNOFILE= would set both and take a hard limit of 524288 down (systemd.exec(5)). Without ``lower``
    nothing that is higher already gets lower.
    """
    soft, hard = wanted
    if lower:
        return soft, hard if hard is not None else max(soft, current[1])
    soft = max(soft, current[0])
    return soft, max(soft, hard or 0, current[1])


def drop_in_lines(content: Optional[bytes]) -> Dict[str, str]:
    """The lines of a drop-in of ours, by directive; that of GOMEMLIMIT by that name."""
    lines: Dict[str, str] = {}
    for one in systemd.parse_unit_file((content or b"").decode("utf-8", "replace")).directives:
        if one.name == "Environment" and one.value.startswith("GOMEMLIMIT="):
            lines["GOMEMLIMIT"] = one.value[len("GOMEMLIMIT="):]
        elif one.name in ("LimitNOFILE", *_KEYS):
            lines[one.name] = one.value
    return lines


def render(lines: Mapping[str, str]) -> str:
    """The drop-in's text."""
    ordered = [(name, lines[name]) for name in ("LimitNOFILE", *_KEYS) if name in lines]
    if "GOMEMLIMIT" in lines:
        ordered.append(("Environment", "GOMEMLIMIT=" + lines["GOMEMLIMIT"]))
    return units.render_drop_in(ordered, comment=_COMMENT)


def environment(value: str) -> Dict[str, str]:
    """The Environment property of ``systemctl show``."""
    found = {}
    for word in systemd.split_words(value):
        if word[:1] in "\"'" and word[-1:] == word[:1] and len(word) > 1:
            word = word[1:-1]
        name, equals, text = word.partition("=")
        if equals:
            found[name] = text.strip("\"'")
    return found


def environment_file_value(text: str, name: str) -> Optional[str]:
    """What an EnvironmentFile sets a variable to (systemd.exec(5)); None where it does not."""
    found = None
    for line in text.split("\n"):
        match = re.match(r"[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*?)[ \t\r]*\Z", line)
        if match and match.group(1) == name:
            value = match.group(2)
            found = value[1:-1] if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0] else value
    return found


# --- the host --------------------------------------------------------------------------------------------------------


class Limit(NamedTuple):
    soft: int
    hard: int

    def __str__(self) -> str:
        return "%s:%s" % (words(self.soft), words(self.hard))


@dataclass
class Ceiling:
    """How high a process of this host can get: fs.nr_open, and the hard limit of PID 1 where that may not raise it."""

    nr_open: int
    manager: int = INFINITY
    why_not_raised: str = ""


class Host:
    """What is read of processes and the kernel; everything below ``root``."""

    def __init__(self, manager: Optional[units.Systemd] = None, *, root: str = "/") -> None:
        self.systemd = manager or units.Systemd()
        self.root = root

    def path(self, path: str) -> str:
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    def read(self, path: str) -> str:
        """Raises OSError, and ValueError where it is no regular file: an EnvironmentFile= may lie where others write."""
        return read_regular(self.path(path), 1 << 20).decode("utf-8", "replace")

    def limit(self, pid: int) -> Limit:
        """RLIMIT_NOFILE of a process. OSError where it is gone."""
        one = procfs.parse_limits(self.read("/proc/%d/limits" % pid)).get("nofile", {})
        numbers = [INFINITY if value == "unlimited" else value for value in (one.get("soft"), one.get("hard"))]
        if not all(isinstance(value, int) for value in numbers):
            raise ValueError("/proc/%d/limits names no limit of open files" % pid)
        return Limit(int(numbers[0] or 0), int(numbers[1] or 0))

    def environ(self, pid: int) -> Dict[str, str]:
        with open(self.path("/proc/%d/environ" % pid), "rb") as stream:
            return procfs.parse_environ(stream.read(1 << 20))

    def processes(self, properties: Mapping[str, str]) -> List[int]:
        """The processes of a unit, its main process first; none where it does not run."""
        main = int(properties.get("MainPID") or 0)
        found = [main] if main else []
        group = properties.get("ControlGroup", "")
        if group:
            # The unified hierarchy, and where systemd has its own beside version 1's controllers.
            for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"):
                for folder, _folders, names in os.walk(self.path(top + group)):
                    if "cgroup.procs" in names:
                        try:
                            with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as stream:
                                found += [int(line) for line in stream if int(line) not in found]
                        except OSError:  # the group is gone
                            continue
        return found

    def ceiling(self) -> Ceiling:
        result = Ceiling(int(self.read(NR_OPEN)))
        status = self.read("/proc/1/status")
        capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
        # CAP_SYS_RESOURCE is 24 (capability.h), and counts in the initial user namespace alone (kernel/sys.c, capable()).
        able = capabilities is None or bool(int(capabilities.group(1), 16) >> 24 & 1)
        try:
            initial = self.read("/proc/1/uid_map").split() == ["0", "0", "4294967295"]
        except FileNotFoundError:  # a kernel without user namespaces (CONFIG_USER_NS) has the initial one alone
            initial = True
        if not able or not initial:
            result.manager = self.limit(1).hard
            result.why_not_raised = "systemd runs without CAP_SYS_RESOURCE" if not able else \
                "this host is a container of an unprivileged user"
        return result

    def controllers(self) -> List[str]:
        """The controllers that systemd can enforce limits with: memory, pids."""
        try:
            found = self.read("/sys/fs/cgroup/cgroup.controllers").split()
        except OSError:
            found = []
        return found + [one for one in ("memory", "pids") if one not in found and os.path.isdir(self.path("/sys/fs/cgroup/" + one))]

    def enforced(self, group: str, directive: str) -> Optional[int]:
        """What the kernel enforces on a control group; None where it has no such file."""
        controller, new, old = _CONTROLLERS[directive]
        for path in ("/sys/fs/cgroup%s/%s" % (group, new), "/sys/fs/cgroup/%s%s/%s" % (controller, group, old or new)):
            try:
                text = self.read(path).strip()
            except OSError:
                continue
            return INFINITY if text == "max" or int(text) >= 1 << 60 else int(text)
        return None

    def used(self, directive: str, properties: Mapping[str, str], pids: Sequence[int]) -> int:
        """Tasks or bytes in use now: the control group's count, or that of the processes where the kernel keeps none."""
        counted = properties.get("TasksCurrent" if directive == "TasksMax" else "MemoryCurrent", "")
        if counted.isdigit() and int(counted) < 1 << 60:
            return int(counted)
        total = 0
        for pid in pids:
            try:
                status = procfs.parse_status(self.read("/proc/%d/status" % pid))
            except (OSError, ValueError):  # gone meanwhile
                continue
            total += status.threads if directive == "TasksMax" else status.rss or 0
        return total


def _prlimit(pid: int, limit: Limit) -> None:
    soft, hard = (resource.RLIM_INFINITY if one == INFINITY else one for one in limit)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def _amount(text: Optional[str]) -> int:
    """A number of ``systemctl show``; what is not set is infinity."""
    return int(text) if text and text.isascii() and text.isdigit() else INFINITY


def _restarts(host: Host) -> units.Restarts:
    return units.Restarts(NAME, state_dir=host.path("/var/lib/goready-preflight"))


def _real_unit(unit: str, properties: Mapping[str, str]) -> str:
    """An alias (sshd.service on Debian) has its drop-ins under its own name."""
    real = properties.get("Id") or unit
    return unit if units.is_template(unit) or not real.endswith(".service") else real


# --- one service -----------------------------------------------------------------------------------------------------


class Work:
    """One service's way from what is wanted to the proof. ``needs`` collects the words of consent it takes."""

    def __init__(self, host: Host, wanted: Wanted, options: Options, changes: Changes, ceiling: Ceiling,
                 properties: Mapping[str, str], *, interrupted: bool = False, raised: str = "") -> None:
        self.host, self.wanted, self.options, self.changes, self.ceiling = host, wanted, options, changes, ceiling
        self.properties = dict(properties)
        self.unit = _real_unit(wanted.unit, properties)
        self.path = units.drop_in_path(self.unit, DROP_IN)
        self.interrupted = interrupted
        self.raised = raised  # why fs.nr_open was not raised
        self.restarts = _restarts(host)
        self.needs: List[str] = []
        self.messages: List[str] = []
        self.started = time.time()
        self.touched: Dict[str, Mapping[str, str]] = {}  # {unit: its state before} of what was restarted
        self.raised_pids: Dict[int, Limit] = {}
        self.report: Dict[str, Any] = {
            "name": wanted.name, "unit": self.unit, "status": "", "drop_in": self.path, "before": {}, "after": {},
            "messages": self.messages, "failure": "", "journal": [],
        }

    def run(self) -> None:
        """Raises LimitsError, UnitError, OSError or ValueError where it did not come out; :meth:`back` then."""
        if self.options.state == "absent":
            self._remove()
        elif not self.wanted.anything:
            self.report["status"] = "untouched"
            self.messages.append("no limit is declared for it")
        else:
            self._present()

    def _fail_early(self) -> None:
        said = units.fault(self.unit, self.properties)
        if said:
            raise LimitsError(said)

    # present

    def _present(self) -> None:
        self._fail_early()
        if not self.changes.check_mode and self.properties.get("NeedDaemonReload") == "yes":
            # Its files are newer than what systemd knows of them: what it answers would be the old values.
            self.host.systemd.daemon_reload()
            self.properties = self._show(self.unit)
        targets = self._targets()
        ours = drop_in_lines(self.changes.read(self.path))
        lines = self._plan(ours, targets)
        if lines:
            self.changes.directory(os.path.dirname(self.path))
            wrote = self.changes.write(self.path, render(lines))
        else:
            wrote = self.changes.remove(self.path)
            self.changes.remove_directory(os.path.dirname(self.path))
        if not self.changes.check_mode:
            if wrote:
                self.host.systemd.daemon_reload()
            self._believed(lines)
        if not targets:
            self.report["status"] = "configured"
            self.messages.append("%s has no running process: the limits take effect when it starts" % self.unit)
            return
        for unit, properties in targets.items():
            self._effect(unit, properties, lines)

    def _show(self, unit: str) -> Dict[str, str]:
        return self.host.systemd.show([unit], _PROPERTIES)[unit]

    def _targets(self) -> Dict[str, Dict[str, str]]:
        """The units that run processes of it: the unit itself, or the running instances of a template."""
        if not units.is_template(self.unit):
            found = {self.unit: self.properties}
        else:
            names = self.host.systemd.instances(self.unit)
            found = self.host.systemd.show(names, _PROPERTIES)
        return {unit: one for unit, one in found.items()
                if self.interrupted or (units.runs(one) and (self.host.processes(one) or one["ActiveState"] == "activating"))}

    def _plan(self, ours: Dict[str, str], targets: Mapping[str, Mapping[str, str]]) -> Dict[str, str]:
        """The lines of the drop-in: those of before, changed by what is declared."""
        lines = dict(ours)
        before = self.report["before"]
        before["LimitNOFILE"] = str(self._configured_nofile())
        if self.wanted.nofile_out:
            lines.pop("LimitNOFILE", None)
        elif self.wanted.nofile is not None:
            self._within_ceiling(self.wanted.nofile)
            current = self._configured_nofile()
            target = Limit(*nofile_target(self.wanted.nofile, current, lower=self.options.lower))
            later = units.overriding(units.drop_ins(self.properties), DROP_IN, "LimitNOFILE", root=self.host.root)
            if later and target == current:
                # Nothing that we write would count, and what counts is enough.
                self.messages.append("%s:%d sets LimitNOFILE=%s, which is enough" % later[-1])
                lines.pop("LimitNOFILE", None)
            elif target != current or "LimitNOFILE" in ours:
                lines["LimitNOFILE"] = str(target)
            kept = [word for word, have, want in (("soft", current.soft, self.wanted.nofile[0]),
                                                  ("hard", current.hard, self.wanted.nofile[1] or INFINITY)) if have > want]
            if kept and not self.options.lower:
                self.messages.append("LimitNOFILE is %s: the %s limit stays above what is declared (service_limits_lower: true "
                                     "lowers it)" % (current, " and the ".join(kept)))
        for directive, number in self.wanted.amounts.items():
            self._plan_amount(directive, number, lines, ours, targets)
        self._plan_gomemlimit(lines, ours)
        self._not_overridden(lines)
        return lines

    def _configured_nofile(self) -> Limit:
        return Limit(_amount(self.properties.get("LimitNOFILESoft")), _amount(self.properties.get("LimitNOFILE")))

    def _within_ceiling(self, wanted: Tuple[int, Optional[int]]) -> None:
        most = max(wanted[0], wanted[1] or 0)
        if most > self.ceiling.nr_open:
            if self.raised:
                raise LimitsError("%d open files are above fs.nr_open (%d), which could not be raised: %s"
                                  % (most, self.ceiling.nr_open, self.raised))
            if not self.options.raise_nr_open:
                raise LimitsError("%d open files are above fs.nr_open (%d), the kernel's ceiling: systemd would silently give "
                                  "less (service_limits_raise_nr_open: true raises it)" % (most, self.ceiling.nr_open))
        if most > self.ceiling.manager:
            raise LimitsError("%d open files cannot be had here: %s, so no service of this host gets more than its %s "
                              "(/proc/1/limits). Raise the limit where the container is started"
                              % (most, self.ceiling.why_not_raised, words(self.ceiling.manager)))

    def _plan_amount(self, directive: str, number: Optional[int], lines: Dict[str, str], ours: Mapping[str, str],
                     targets: Mapping[str, Mapping[str, str]]) -> None:
        key = _KEYS[directive]
        if number is None:
            lines.pop(directive, None)
            return
        current = _amount(self.properties.get(directive))
        self.report["before"][directive] = size(current) if directive != "TasksMax" else words(current)
        shown = size if directive != "TasksMax" else words
        # No limit of memory is nobody's wish, so that setting the first one lowers nothing. DefaultTasksMax= is one.
        unset = directive != "TasksMax" and current == INFINITY
        if number < current and not unset and not self.options.lower:
            self.messages.append("%s stays at %s, above the %s that is declared (service_limits_lower: true lowers it)"
                                 % (directive, shown(current), shown(number)))
            number = current
        for unit, properties in targets.items():
            used = self.host.used(directive, properties, self.host.processes(properties))
            if number <= used and number < current:
                raise LimitsError("%s: %s is not above what %s uses now, %s: it would be %s at once"
                                  % (key, shown(number), unit, shown(used),
                                     "refused new threads" if directive == "TasksMax" else "reclaimed or killed"))
        if number != INFINITY and _CONTROLLERS[directive][0] not in self.host.controllers():
            said = "%s is configured, but not enforced: this host's kernel offers systemd no %s controller" % (
                directive, _CONTROLLERS[directive][0])
            if not self.options.accept_unenforced:
                raise LimitsError("%s would be configured, but not enforced: this host's kernel offers systemd no %s controller "
                                  "(service_limits_accept_unenforced: true writes it all the same)"
                                  % (directive, _CONTROLLERS[directive][0]))
            self.messages.append(said)
        if number != current or directive in ours:
            lines[directive] = shown(number)

    def _plan_gomemlimit(self, lines: Dict[str, str], ours: Mapping[str, str]) -> None:
        wanted = self.wanted.gomemlimit
        bound = min([parse_size(lines[name]) if name in lines else _amount(self.properties.get(name))
                     for name in ("MemoryHigh", "MemoryMax") if self.wanted.amounts.get(name) is not None], default=INFINITY)
        if wanted == "":
            lines.pop("GOMEMLIMIT", None)
            return
        if wanted == "auto" and bound == INFINITY:
            return
        elsewhere, where = self._environment_file()
        if wanted == "auto":
            own = environment(self.properties.get("Environment", "")).get("GOMEMLIMIT", "")
            there = elsewhere if elsewhere is not None else "" if "GOMEMLIMIT" in ours else own
            if there and 0 < _go_bytes(there) < bound:
                self.messages.append("GOMEMLIMIT=%s of %s is below the memory limit and stays" % (there, where or "the unit"))
                lines.pop("GOMEMLIMIT", None)
                return
            wanted = "%dMiB" % max(1, int(bound * GOMEMLIMIT_SHARE) >> 20)
        if elsewhere is not None and elsewhere != wanted:
            raise LimitsError("GOMEMLIMIT=%s of %s overrides what a drop-in sets (systemd.exec(5), EnvironmentFile=): change it "
                              "there, or set gomemlimit: \"\"" % (elsewhere, where))
        lines["GOMEMLIMIT"] = str(wanted)

    def _environment_file(self) -> Tuple[Optional[str], str]:
        """(GOMEMLIMIT, path) of the last EnvironmentFile= that sets it."""
        found: Tuple[Optional[str], str] = (None, "")
        for match in re.finditer(r"(/\S+) \(ignore_errors=(?:yes|no)\)", self.properties.get("EnvironmentFiles", "")):
            try:
                value = environment_file_value(self.host.read(match.group(1)), "GOMEMLIMIT")
            except OSError:
                continue
            except ValueError as exc:
                self.messages.append("%s: whether it sets GOMEMLIMIT is not known" % exc)
                continue
            if value is not None:
                found = (value, match.group(1))
        return found

    def _not_overridden(self, lines: Mapping[str, str]) -> None:
        """Raises where a drop-in that systemd reads after ours says something else: found before anything is written."""
        paths = units.drop_ins(self.properties)
        for name, value in lines.items():
            directive = "Environment" if name == "GOMEMLIMIT" else name
            for one in units.overriding(paths, DROP_IN, directive, root=self.host.root):
                if name == "GOMEMLIMIT":
                    same = one.value != "" and environment(one.value).get("GOMEMLIMIT", value) == value
                else:
                    same = one.value == value
                if not same:
                    raise LimitsError("%s:%d overrides the drop-in, whose name comes before it: %s=%s" % (
                        one.path, one.line, directive, systemd.redact_directive(directive, one.value)))

    def _believed(self, lines: Mapping[str, str]) -> None:
        """Raises where systemd does not take the drop-in as it is written."""
        self.properties = self._show(self.unit)
        for name, value in lines.items():
            if name == "LimitNOFILE":
                found = str(self._configured_nofile())
            elif name == "GOMEMLIMIT":
                found = environment(self.properties.get("Environment", "")).get("GOMEMLIMIT", "")
            else:
                number = _amount(self.properties.get(name))
                found = words(number) if name == "TasksMax" else size(number)
                value = value if name == "TasksMax" else size(parse_size(value))
            if found != value:
                raise LimitsError("systemd has %s=%s for %s, not the %s of the drop-in: another file overrides it"
                                  % (name, found or "(nothing)", self.unit, value))

    # effect

    def _effect(self, unit: str, properties: Mapping[str, str], lines: Mapping[str, str]) -> None:
        lacking = self._lacking(properties, lines)
        after = self.report["after"]
        if not lacking:
            if self.interrupted and not self.changes.check_mode:
                self._wait(unit, "")
            self.report["status"] = self.report["status"] or "effective"
        elif self.options.apply == "restart":
            self._restart(unit, properties, lines)
            self.report["status"] = "effective"
        elif self.options.apply == "live":
            self.report["status"] = "effective" if self._live(unit, properties, lines) else "configured"
        else:
            self.messages.append("%s still runs with %s; it takes the new limits at its next start" % (unit, "; ".join(lacking)))
            self.report["status"] = "configured"
            return
        if not self.changes.check_mode or not lacking:
            now = self._show(unit)
            after.update(self._after(now))
            if not self.changes.changed or not self.changes.check_mode:
                self._enforced(unit, now, lines)

    def _after(self, properties: Mapping[str, str]) -> Dict[str, str]:
        pids = self.host.processes(properties)
        result = {"nofile": str(self.host.limit(pids[0]))} if pids else {}
        for directive in self.wanted.amounts:
            value = self.host.enforced(properties.get("ControlGroup", ""), directive)
            if value is not None:
                result[directive] = size(value) if directive != "TasksMax" else words(value)
        return result

    def _lacking(self, properties: Mapping[str, str], lines: Mapping[str, str]) -> List[str]:
        """What the running main process does not have yet; empty where it has everything."""
        pids = self.host.processes(properties)
        if not pids or not units.runs(properties):
            return ["no process"]
        found = []
        have = self.host.limit(pids[0])
        if self.wanted.nofile is not None and not self._has(have):
            found.append("%s open files (PID %d)" % (have, pids[0]))
        if self.wanted.gomemlimit != "auto" or self.wanted.amounts:
            value = self.host.environ(pids[0]).get("GOMEMLIMIT", "")
            if value != lines.get("GOMEMLIMIT", value):
                found.append("GOMEMLIMIT=%s" % value if value else "no GOMEMLIMIT")
        return found

    def _has(self, have: Limit) -> bool:
        """Whether a process has what is declared. Go >= 1.24 takes its hard limit less one (syscall/rlimit.go)."""
        if self.wanted.nofile is None:
            return True
        soft, hard = self.wanted.nofile
        if self.options.lower:
            most = hard if hard is not None else INFINITY
            if have.hard > most or (have.soft > soft and have.soft not in (have.hard, have.hard - 1)):
                return False
        enough = have.soft >= soft or (have.soft == have.hard - 1 and have.hard >= soft)
        return enough and (hard is None or have.hard >= hard)

    def _prove(self, unit: str, properties: Mapping[str, str], lines: Mapping[str, str]) -> None:
        lacking = self._lacking(properties, lines)
        if lacking:
            raise LimitsError("%s runs with %s although its unit says %s" % (
                unit, "; ".join(lacking), ", ".join("%s=%s" % one for one in lines.items())))

    def _enforced(self, unit: str, properties: Mapping[str, str], lines: Mapping[str, str]) -> None:
        """Raises where a control group has another value than the drop-in."""
        page = os.sysconf("SC_PAGE_SIZE")
        for directive in self.wanted.amounts:
            if directive not in lines or _CONTROLLERS[directive][0] not in self.host.controllers():
                continue
            wanted = INFINITY if lines[directive] == "infinity" else int(lines[directive]) if directive == "TasksMax" \
                else parse_size(lines[directive])
            found = self.host.enforced(properties.get("ControlGroup", ""), directive)
            if found is None:
                if wanted != INFINITY and not self.options.accept_unenforced:
                    raise LimitsError("%s of %s is configured, but its control group has no such limit" % (directive, unit))
            # The kernel rounds bytes down to whole pages (mm/page_counter.c).
            elif found != wanted and (directive == "TasksMax" or INFINITY in (found, wanted) or found // page != wanted // page):
                raise LimitsError("the kernel enforces %s=%s on %s, not %s" % (directive, words(found), unit, lines[directive]))

    def _restart(self, unit: str, properties: Mapping[str, str], lines: Mapping[str, str]) -> None:
        self._interrupt(unit, properties)
        if not self.changes.check_mode:
            now = self._wait(unit, properties.get("InvocationID", ""))
            self._prove(unit, now, lines)
            self.restarts.end(unit)

    def _interrupt(self, unit: str, properties: Mapping[str, str]) -> None:
        """Restart it, with consent, and so that a call that is killed meanwhile is known to the next one."""
        if "restart" not in self.needs:
            self.needs.append("restart")
        if not self.changes.check_mode:
            if "restart" not in self.options.consent:
                raise LimitsError(_consent("restart", [unit]))
            self.touched[unit] = dict(properties)
            self.restarts.begin(unit)
            self.host.systemd.restart(unit)
        self.changes.note("unit " + unit, "restarted")

    def _wait(self, unit: str, before: str) -> Mapping[str, str]:
        begin = time.monotonic()
        waited = self.host.systemd.wait_active(unit, timeout=self.options.timeout, settle=self.options.settle, before=before)
        if self.wanted.health:
            left = self.options.timeout - (time.monotonic() - begin)
            units.wait_healthy(self.wanted.health, timeout=max(1.0, left))
            now = self._show(unit)
            if now.get("MainPID") != waited.properties.get("MainPID"):
                raise LimitsError("%s was restarted by systemd while it was asked for its health" % unit)
        return self._show(unit)

    def _live(self, unit: str, properties: Mapping[str, str], lines: Mapping[str, str]) -> bool:
        """Raise the limits of the unit's processes as they run. Whether that was everything."""
        if self.wanted.nofile is not None:
            soft, hard = self.wanted.nofile
            main = self.host.processes(properties)
            if main and not self._has(self.host.limit(main[0])):
                self.changes.note("unit " + unit, "raised", "open files of its running processes")
            if not self.changes.check_mode:
                # Twice: a child that was being made during the first round has the old limits.
                for _round in (1, 2):
                    for pid in self.host.processes(self._show(unit)):
                        self._raise(pid, soft, hard)
        env = [one for one in self._lacking(properties, lines) if "GOMEMLIMIT" in one]
        self.messages.append("raised without a restart: a child that the program starts with limits of its own is not covered "
                             "(a program made by an older Go starts its children with the limits it got at its own start)")
        if env:
            self.messages.append("the running %s has %s: a running program's environment cannot be changed, it takes it at its "
                                 "next start" % (unit, env[0]))
        if not self.changes.check_mode and self.wanted.nofile is not None:
            for pid in self.host.processes(self._show(unit)):
                try:
                    have = self.host.limit(pid)
                except OSError:
                    continue
                if not self._at_least(have):
                    raise LimitsError("PID %d of %s has %s open files after it was raised" % (pid, unit, have))
        return not env

    def _at_least(self, have: Limit) -> bool:
        soft, hard = self.wanted.nofile or (0, None)
        return have.soft >= min(soft, have.hard - 1) and have.hard >= max(soft, hard or 0)

    def _raise(self, pid: int, soft: int, hard: Optional[int]) -> None:
        try:
            have = self.host.limit(pid)
            # Never down, neither limit: a Go program has raised its soft limit to the hard one itself, and its open files
            # may be more than what is declared.
            new = Limit(max(have.soft, soft), max(have.hard, soft, hard or 0))
            if new == have:
                return
            self.raised_pids.setdefault(pid, have)
            _prlimit(pid, new)
        except (ProcessLookupError, FileNotFoundError):
            self.raised_pids.pop(pid, None)
        except (PermissionError, ValueError) as exc:
            raise LimitsError("the limits of PID %d cannot be raised to %d: %s" % (pid, max(soft, hard or 0), exc)) from None

    # absent

    def _remove(self) -> None:
        wrote = self.changes.remove(self.path)
        self.changes.remove_directory(os.path.dirname(self.path))
        self.report["status"] = "removed" if wrote else "absent"
        if not wrote:
            return
        loaded = units.fault(self.unit, self.properties) is None
        targets = self._targets() if loaded else {}
        if not self.changes.check_mode:
            self.host.systemd.daemon_reload()
        for unit, properties in targets.items():
            if self.options.apply == "restart":
                self._interrupt(unit, properties)
                if not self.changes.check_mode:
                    self.report["after"].update(self._after(self._wait(unit, properties.get("InvocationID", ""))))
                    self.restarts.end(unit)
            else:
                self.messages.append("%s keeps the limits that it runs with until its next start" % unit)

    # back

    def back(self, exc: Exception) -> None:
        """After a failure: files, systemd and the service as they were; says what happened."""
        said = "%s: %s" % (exc.filename or "the host", exc.strerror) if isinstance(exc, OSError) and exc.strerror else str(exc)
        self.report["status"], self.report["failure"] = "failed", said
        if self.changes.check_mode:
            return
        if self.touched:
            self.report["journal"] = self.host.systemd.journal_tail(next(iter(self.touched)), since=self.started)
        done: List[str] = []
        try:
            for pid, have in self.raised_pids.items():
                try:
                    _prlimit(pid, have)
                except OSError:  # it is gone
                    continue
            # Where this fails, the journal stays, and _restarts remembers the service: the next call brings both back.
            undone = self.changes.undo()
            if undone:
                self.host.systemd.daemon_reload()
                left = [one for one in undone if one.startswith(self.path + " ")]  # changed by somebody else since
                done += left or ["the drop-in was taken back" if self.options.state == "present" else "the drop-in was put back"]
            for unit, before in self.touched.items():
                done.append(self._bring_back(unit, before))
        except (units.UnitError, OSError) as further:
            done.append("taking it back failed: %s" % further)
        if done:
            self.report["failure"] += " (%s)" % "; ".join(done)

    def _bring_back(self, unit: str, before: Mapping[str, str]) -> str:
        self.host.systemd.reset_failed(unit)
        old = self._show(unit).get("InvocationID", "")
        self.changes.note("unit " + unit, "restarted", "with the limits of before")
        self.host.systemd.restart(unit)
        if before.get("ActiveState") == "activating":
            self.restarts.end(unit)
            return "%s starts again, as it did before" % unit
        try:
            self.host.systemd.wait_active(unit, timeout=self.options.timeout, settle=self.options.settle, before=old)
        except units.UnitError as exc:
            return "%s could NOT be brought back: %s" % (unit, exc)
        self.restarts.end(unit)
        if self.wanted.health:
            try:
                units.wait_healthy(self.wanted.health, timeout=min(10.0, self.options.timeout))
            except units.UnitError as exc:
                return "%s runs again with its old limits; %s" % (unit, exc)
        return "%s runs again with its old limits" % unit


# --- the whole call --------------------------------------------------------------------------------------------------


def apply(services: Sequence[Wanted], options: Options, *, check_mode: bool = False, host: Optional[Host] = None,
          lock_timeout: float = 120.0) -> Dict[str, Any]:
    """Handle every service and return the module's result: ``failed`` and ``msg`` where one did not come out.

    First everything is predicted, so that a missing consent is told before any change; then it is done, each service in a
    transaction of its own. Raises Faults where two services are one unit, UnitError where systemd does not answer, OSError
    where /proc cannot be read.
    """
    host = host or Host()
    _distinct(services, host)
    result: Dict[str, Any] = {"changed": False, "changes": [], "diff": [], "recovered": [], "services": [], "warnings": [],
                              "consent_missing": []}
    interrupted = _restarts(host).left() if check_mode else _recover(host, result, lock_timeout)
    ceiling = host.ceiling()
    shown = host.systemd.show([one.unit for one in services], _PROPERTIES)
    needed = _nr_open_needed(services, options, ceiling)
    planned = Ceiling(max(needed, ceiling.nr_open), ceiling.manager, ceiling.why_not_raised)

    needs: Dict[str, List[str]] = {}
    works: List[Work] = []
    prediction = Changes(NAME, check_mode=True, root=host.root)
    with prediction as changes:
        if needed > ceiling.nr_open:
            needs["sysctl"] = ["fs.nr_open"]
            changes.write(SYSCTL, _sysctl(needed))
            changes.note("sysctl fs.nr_open", "changed", "%d to %d" % (ceiling.nr_open, needed))
        elif options.state == "absent":
            _remove_sysctl(services, host, changes, result)
    if check_mode:
        result["recovered"] = [*prediction.pending, *("unit " + unit for unit in interrupted)]
    _add(result, prediction)
    for wanted in services:
        with Changes(NAME, check_mode=True, root=host.root) as changes:
            mine = {wanted.unit, shown[wanted.unit].get("Id")}
            work = Work(host, wanted, options, changes, planned, shown[wanted.unit], interrupted=bool(mine & set(interrupted)))
            _try(work)
        works.append(work)
        for word in work.needs:
            needs.setdefault(word, []).append(wanted.unit)
    missing = [word for word in ("restart", "sysctl") if word in needs and word not in options.consent]
    result["consent_missing"] = missing
    sentences = [_consent(word, needs[word]) for word in missing]
    if sentences and not check_mode:
        return {**result, "changes": [], "diff": [], "changed": bool(result["recovered"]), "failed": True,
                "msg": "; ".join(sentences)}
    result["warnings"] += sentences

    if not check_mode:
        works = _carry_out(services, options, host, works, needed, ceiling, result, lock_timeout)
    else:
        for work in works:
            _add(result, work.changes)
    result["services"] = [work.report for work in works]
    result["changed"] = bool(result["changes"] or result["recovered"])
    failed = [work for work in works if work.report["status"] == "failed"]
    if failed:
        result["failed"] = True
        result["msg"] = _message(failed, len(works))
    return result


def _carry_out(services: Sequence[Wanted], options: Options, host: Host, predicted: Sequence[Work], needed: int,
               ceiling: Ceiling, result: Dict[str, Any], lock_timeout: float) -> List[Work]:
    """Do what was predicted; a service of which nothing was is not touched at all."""
    raised = ""
    result["changes"], result["diff"] = [], []
    if needed > ceiling.nr_open or options.state == "absent":
        changes = Changes(NAME, root=host.root, lock_timeout=lock_timeout)
        try:
            with changes:
                if needed > ceiling.nr_open:
                    raised = _raise_nr_open(needed, ceiling, host, changes)
                else:
                    _remove_sysctl(services, host, changes, {"warnings": []})
        except OSError as exc:
            raised = "%s: %s" % (exc.filename or NR_OPEN, exc.strerror or exc)
        _add(result, changes)
        ceiling = host.ceiling()
    works = []
    for wanted, before in zip(services, predicted):
        quiet = not before.changes.changed and not before.interrupted and not raised
        if quiet and before.properties.get("NeedDaemonReload") != "yes":
            works.append(before)  # nothing is to be done, or it was refused before any change
            continue
        changes = Changes(NAME, root=host.root, lock_timeout=lock_timeout)
        properties = host.systemd.show([wanted.unit], _PROPERTIES)[wanted.unit]
        work = Work(host, wanted, options, changes, ceiling, properties, interrupted=before.interrupted, raised=raised)
        try:
            with changes:
                if changes.recovered:  # what could not be taken back of a service before this one
                    result["recovered"] += changes.recovered
                    host.systemd.daemon_reload()
                _try(work)
        except (Busy, units.UnitError, OSError, ValueError) as exc:
            work.report["status"], work.report["failure"] = "failed", str(exc)
        _add(result, changes)
        works.append(work)
    return works


def _distinct(services: Sequence[Wanted], host: Host) -> None:
    """Raises Faults where two of them are one unit, by a name of its own or an alias: each would undo the other's lines."""
    if len(services) < 2:
        return
    first: Dict[str, Wanted] = {}
    faults = []
    shown = host.systemd.show([one.unit for one in services])
    for one in services:
        real = _real_unit(one.unit, shown[one.unit])
        if real in first:
            faults.append("services (%s): unit: %s is the same unit as %s of %s: one is an alias of the other"
                          % (one.name, one.unit, first[real].unit, first[real].name))
        first.setdefault(real, one)
    if faults:
        raise Faults(faults)


def _try(work: Work) -> None:
    try:
        work.run()
    except (LimitsError, units.UnitError, OSError, ValueError) as exc:
        work.back(exc)
        if work.changes.check_mode:
            work.changes = Changes(NAME, check_mode=True)  # a service that fails changes nothing in the end
            work.needs = []


def _recover(host: Host, result: Dict[str, Any], lock_timeout: float) -> List[str]:
    """Bring back what a killed call left: its files (Changes does), what systemd knows of them, and units that it had
    stopped. Returns those units."""
    restarts = _restarts(host)
    with Changes(NAME, root=host.root, lock_timeout=lock_timeout) as changes:
        left = restarts.left()
        result["recovered"] = [*changes.recovered, *("unit " + unit for unit in left)]
        if changes.recovered:
            host.systemd.daemon_reload()
        for unit, properties in host.systemd.show(left).items():
            if not units.runs(properties) and units.fault(unit, properties) is None:
                host.systemd.reset_failed(unit)
                host.systemd.start(unit)
                result["warnings"].append("an earlier call was killed while it restarted %s; it was started again" % unit)
            restarts.end(unit)
    return left


def _add(result: Dict[str, Any], changes: Changes) -> None:
    found = changes.as_result()
    result["changes"] += found["changes"]
    result["diff"] += found["diff"]


def _message(failed: Sequence[Work], count: int) -> str:
    sentences = []
    for work in failed:
        one = "%s: %s" % (work.wanted.name, work.report["failure"])
        if work.report["journal"]:
            one += ". Last lines of its journal: " + " | ".join(work.report["journal"])
        sentences.append(one)
    wanted = "get their limits" if failed[0].options.state == "present" else "lose them"
    return "%d of %d services did not %s. %s" % (len(failed), count, wanted, ". ".join(one.rstrip(".") for one in sentences))


def _consent(word: str, what: Sequence[str]) -> str:
    names = ", ".join(sorted(set(what)))
    why = {"restart": "%s has to be restarted" % names, "sysctl": "fs.nr_open has to be raised for the whole machine"}[word]
    return "%s, which needs consent: add %s to service_limits_consent or preflight_consent" % (why, word)


# --- fs.nr_open --------------------------------------------------------------------------------------------------------


def _sysctl(value: int) -> str:
    return "# %s\nfs.nr_open = %d\n" % (_COMMENT[0], value)


def _nr_open_needed(services: Sequence[Wanted], options: Options, ceiling: Ceiling) -> int:
    """What fs.nr_open is to be raised to; 0 where it need not or may not be."""
    if options.state == "absent" or not options.raise_nr_open:
        return 0
    most = max((max(one.nofile[0], one.nofile[1] or 0) for one in services if one.nofile), default=0)
    return most if ceiling.nr_open < most <= ceiling.manager else 0


def _raise_nr_open(needed: int, ceiling: Ceiling, host: Host, changes: Changes) -> str:
    """Now and for the next boot. Returns why the kernel did not take it, "" where it did; the file is as it was then.

    The file stays before the kernel is told: a call that is killed in between leaves what the next one needs to do the same,
    while a file that is taken back would be missed at the next boot.
    """
    before = changes.state(SYSCTL)
    changes.write(SYSCTL, _sysctl(needed))
    changes.commit()
    why = _tell_nr_open(needed, host)
    if not why:
        changes.note("sysctl fs.nr_open", "changed", "%d to %d" % (ceiling.nr_open, needed))
    elif before.kind == "absent" or before.content == _sysctl(needed).encode("utf-8"):  # the second: of a call killed here
        changes.remove(SYSCTL)
    else:
        changes.write(SYSCTL, before.content, mode=before.mode, owner=(before.uid, before.gid))
    return why


def _tell_nr_open(needed: int, host: Host) -> str:
    """Why the kernel did not take it, "" where it did."""
    try:
        with open(host.path(NR_OPEN), "w", encoding="ascii") as stream:
            stream.write("%d\n" % needed)
        found = int(host.read(NR_OPEN))
    except OSError as exc:
        return "%s: %s" % (NR_OPEN, exc.strerror)
    return "the kernel keeps %d" % found if found < needed else ""


def _remove_sysctl(services: Sequence[Wanted], host: Host, changes: Changes, result: Dict[str, Any]) -> None:
    """With the last drop-in goes the file. The running kernel keeps its value: lowering it would break processes that have
    more by now."""
    if changes.read(SYSCTL) is None:
        return
    folder = host.path("/etc/systemd/system")
    mine = {units.drop_in_path(one.unit, DROP_IN) for one in services}
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        path = "/etc/systemd/system/%s/%s" % (name, DROP_IN)
        if path not in mine and os.path.exists(host.path(path)):
            return
    changes.remove(SYSCTL)
    result["warnings"].append("%s goes; fs.nr_open itself keeps its value until the next boot" % SYSCTL)
