# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the families services, limits and binary judge: the services of the facts and the programs that run in them.

A *subject* is a service, or one program of a service that runs several (``containerd/containerd-shim-runc-v2``). Its name
holds no PID, so that a finding keeps its fingerprint over restarts. Everything here reads the facts and judges nothing.
"""
from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils import goversion
from ansible_collections.goready.preflight.plugins.plugin_utils import engine
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import (
    CheckFunction, Facts, Outcome, Policy, Remediation, lookup, notapplicable, unknown,
)

INFINITY = float("inf")

# Programs whose work is other processes, the network or the whole machine: they run as root and unconfined by design.
SYSTEM_DAEMONS = (
    "amazon-ssm-agent", "buildkitd", "cilium-agent", "containerd", "containerd-shim*", "crio", "docker-proxy", "dockerd",
    "flanneld", "google_guest_agent", "google_osconfig_agent", "incusd", "k0s", "k3s", "k3s-server", "k3s-agent",
    "kube-proxy", "kubelet", "lxd", "nomad", "podman", "rke2", "runc", "snapd", "tailscaled",
)


@dataclass(frozen=True)
class Program:
    """The processes of one service that run one executable; ``main`` is the one that holds the service's main process."""

    subject: str
    main: bool
    processes: tuple[Mapping[str, Any], ...]

    @property
    def go(self) -> bool | None:
        """Whether it is a Go program; None where its executable could not be read."""
        if any(process.get("go") for process in self.processes):
            return True
        return None if any(process.get("exe") is None for process in self.processes) else False

    @property
    def name(self) -> str:
        return executable(self.processes[0])

    @property
    def pids(self) -> str:
        """``PID 812``, ``PIDs 812, 813``; at most five are named."""
        pids = [str(process.get("pid")) for process in self.processes]
        return ("PID " if len(pids) == 1 else "PIDs ") + ", ".join(pids[:5]) + (", ..." if len(pids) > 5 else "")


@dataclass(frozen=True)
class Service:
    """One entry of ``services.services`` with the inventory's declaration of it (empty where it was discovered)."""

    subject: str
    facts: Mapping[str, Any]
    declaration: Mapping[str, Any]
    document: Facts  # what the service is part of
    silence: str = ""  # why systemd did not answer

    @property
    def declared(self) -> bool:
        return bool(self.facts.get("declared")) or bool(self.declaration)

    @property
    def unit(self) -> str:
        return str(self.facts.get("unit") or "")

    @property
    def properties(self) -> Mapping[str, Any]:
        """What ``systemctl show`` says; empty where there is no unit or systemd was not asked."""
        return self.facts.get("properties") or {}

    @property
    def is_system(self) -> bool:
        """Managed by the system's systemd (not by a user's)."""
        return bool(self.unit) and self.facts.get("manager") != "user"

    @property
    def vendor(self) -> bool:
        """Discovered, with the unit of its package: what the unit asks for is its packager's decision."""
        return not self.declared and not self.property("FragmentPath").startswith(("/etc/", "/run/"))

    @property
    def container(self) -> str:
        """``the podman container 0123456789ab``, empty outside of one."""
        container = self.facts.get("container")
        if not container:
            return ""
        runtime = container.get("runtime") or "unknown"
        kind = "a container" if runtime == "unknown" else f"the {runtime} container"
        return f"{kind} {container.get('id') or ''}".rstrip()

    @property
    def processes(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(sorted(self.facts.get("processes") or (), key=lambda process: process.get("pid") or 0))

    @property
    def main(self) -> Mapping[str, Any] | None:
        """The process that does the work: systemd's main process, or the Go program that a wrapper script has started."""
        main_pid = self.facts.get("main_pid")
        # sorted() is stable: of the Go processes, else of all, the main one, else the lowest PID.
        ranked = sorted(self.processes, key=lambda one: (not one.get("go"), not main_pid or one.get("pid") != main_pid))
        return ranked[0] if ranked else None

    @property
    def programs(self) -> list[Program]:
        """The programs of the service, the main one first, then by name. A wrapper around a Go program is left out."""
        main = self.main
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for process in self.processes:
            if main is not None and main.get("go") and not process.get("go"):
                continue
            groups.setdefault(executable(process), []).append(process)
        found = []
        for name in sorted(groups):
            is_main = main is not None and executable(main) == name
            processes = sorted(groups[name], key=lambda process: (process is not main, process.get("pid") or 0))
            found.append(Program(self.subject if is_main else f"{self.subject}/{name}", is_main, tuple(processes)))
        return sorted(found, key=lambda program: not program.main)

    @property
    def quoted(self) -> str:
        """The unit's name for a shell command."""
        return shlex.quote(self.unit)

    def as_root(self, *told: object) -> Remediation | None:
        """:func:`engine.as_root`: how to get what was not read, for the reasons told."""
        return engine.as_root(self.document, *told)

    def property(self, name: str) -> str:
        """A unit's property as text, empty where systemd does not tell it."""
        value = self.properties.get(name)
        return "" if value is None else str(value).strip()

    def directives(self, name: str, section: str = "Service") -> list[tuple[str, int, str]]:
        """(path, line, value) of a directive in the unit's files, in the order systemd reads them; lines that systemd
        ignores are left out."""
        found = []
        for unit_file in self.facts.get("unit_files") or ():
            ignored = {problem.get("line") for problem in unit_file.get("problems") or ()}
            found += [
                (str(unit_file.get("path")), int(directive.get("line") or 0), str(directive.get("value") or ""))
                for directive in unit_file.get("directives") or ()
                if directive.get("name") == name and directive.get("section") == section
                and directive.get("line") not in ignored
            ]
        return found

    def systemctl(self, words: str) -> str:
        """A systemctl command to copy, empty where no unit belongs to the service."""
        return self._command("systemctl", f"{words} {self.quoted}")

    def journal(self, lines: int) -> str:
        """A journalctl command to copy, empty where no unit belongs to the service."""
        if self.is_system:
            return self._command("journalctl", f"-u {self.quoted} -n {lines} --no-pager")
        # A user's journal is in the system's, under another field.
        return self._command("journalctl", f"_SYSTEMD_USER_UNIT={self.quoted} -n {lines} --no-pager", user=False)

    def _command(self, program: str, words: str, *, user: bool = True) -> str:
        if not self.unit.endswith(".service") or self.container:
            return ""
        if self.is_system or not user:
            return f"sudo {program} {words}"
        owner = self.facts.get("manager_user")
        return f"sudo {program} --user -M {shlex.quote(str(owner))}@ {words}" if owner else f"{program} --user {words}"

    def drop_in(self, lines: Iterable[str], name: str) -> str:
        """A command that puts ``[Service]`` lines into a drop-in and restarts the unit; empty where that is not root's
        business (containers, hand-started programs, units of a user)."""
        if not self.is_system or not self.unit.endswith(".service") or self.container:
            return ""
        folder = f"/etc/systemd/system/{self.unit}.d"
        text = "\\n".join(["[Service]", *lines])
        return (f"sudo install -d {shlex.quote(folder)} && printf '%b\\n' {shlex.quote(text)} | "
                f"sudo tee {shlex.quote(f'{folder}/{name}.conf')} && sudo systemctl daemon-reload && "
                f"{self.systemctl('restart')}")


def executable(process: Mapping[str, Any]) -> str:
    """The name of the file that a process runs, its COMM where the file is not known."""
    path = str(process.get("exe") or "").removesuffix(" (deleted)")
    return path.rsplit("/", 1)[-1] or str(process.get("comm") or "unknown")


def services(facts: Facts, policy: Policy) -> Iterator[Service]:
    """Every service of the facts, by name (the collector gives no name twice)."""
    silence = next((str(entry.get("message")) for entry in facts.get("errors") or ()
                    if entry.get("part") == "services.systemd"), "")
    for entry in sorted(lookup(facts, "services.services") or (), key=lambda one: str(one.get("name"))):
        name = str(entry.get("name"))
        yield Service(subject_of(name, entry.get("container")), entry,
                      policy.service(name) if entry.get("declared") else {}, facts, silence)


def subject_of(name: str, container: Mapping[str, Any] | None) -> str:
    """``racy (podman container)``. The id is evidence (:func:`located`), because a container that is made anew has another
    one and its findings are the same; where names clash, the collector has put the id into the name already."""
    if not container or (container.get("id") and str(container["id"]) in name.partition(" (")[2]):
        return name
    runtime = container.get("runtime") or "unknown"
    return f"{name} (container)" if runtime == "unknown" else f"{name} ({runtime} container)"


def located(function: CheckFunction) -> CheckFunction:
    """Let a check of services say of each subject in a container which one that is: its paths are not the host's."""

    @functools.wraps(function)
    def wrapper(facts: Facts, policy: Policy) -> Iterator[Outcome]:
        where = {subject: service.container for service in services(facts, policy) if service.container
                 for subject in (service.subject, *(program.subject for program in service.programs))}
        for outcome in function(facts, policy):
            container = where.get(outcome.subject)
            if container:
                line = f"in {container}: paths and users are the container's"
                outcome = replace(outcome, evidence=(line, *outcome.evidence))
            yield outcome

    return wrapper


def unreadable(processes: Iterable[Mapping[str, Any]], *parts: str) -> str:
    """Why a part of the first process that lacks it was not read (``fds: permission denied``); empty where none says so.

    Where a process's status is closed to us, so is everything else of it.
    """
    return next((str(text) for process in processes for text in process.get("unreadable") or ()
                 if str(text).split(":", maxsplit=1)[0] in (*parts, "status")), "")


def unseen(facts: Facts) -> Remediation:
    """What to do about processes that could not be told to be Go programs or not."""
    if lookup(facts, "collected.privileged"):
        return Remediation(hint="Declare the services of this host in preflight_services: not even root may look at all of its "
                                "processes, so discovery may miss some.")
    return engine.AS_ROOT


def no_unit(service: Service) -> str:
    """Why questions about a unit do not arise for this service; empty where they do."""
    if service.container:
        return f"It runs in {service.container}: the container's runtime starts it, not a unit of this host."
    if not service.unit:
        if not service.processes:
            return "No systemd unit belongs to it (services.present judges that)."
        return "It was started by hand or by another program: no systemd unit belongs to it."
    if not service.unit.endswith(".service"):
        return f"It runs in {service.unit}, which holds processes that others started: systemd does not start it."
    if service.property("LoadState") not in ("", "loaded"):
        return f"{service.unit} is not loaded (services.present judges that)."
    return ""


def unit_gate(service: Service) -> Outcome | None:
    """The outcome of a question about the unit that cannot be answered for this service; None where it can."""
    reason = no_unit(service)
    if reason:
        return notapplicable(reason, subject=service.subject)
    if service.properties:
        return None
    if service.facts.get("manager") == "user":
        reason = f"{service.unit} belongs to a user's own systemd, whose properties were not read."
        # Nobody promised that a discovered program of a login survives anything: it must not make a host inconclusive.
        return unknown(reason, subject=service.subject) if service.declared else notapplicable(reason, subject=service.subject)
    because = f": {service.silence}" if service.silence else "."
    return unknown(f"systemd's view of {service.unit} was not read{because}", subject=service.subject,
                   remediation=service.as_root(service.silence))


def go_version(binary: Mapping[str, Any] | None) -> goversion.GoVersion | None:
    """The Go version a binary was built with; None where it is unknown or tells no number."""
    text = lookup(binary or {}, "buildinfo.go_version")
    try:
        return goversion.parse(str(text)) if text else None
    except ValueError:
        return None


def settings(binary: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The build settings that a binary tells (``-race``, ``GOAMD64``, ``vcs.revision``)."""
    found: Mapping[str, Any] = lookup(binary or {}, "buildinfo.settings") or {}
    return found


def scripted(binary: Mapping[str, Any]) -> bool:
    """Whether a file was read and is a script or something else that is no ELF executable."""
    return not binary.get("elf") and bool(binary.get("size")) and binary.get("error") in (None, "not an ELF file")


def running(program: Program, service: Service) -> Mapping[str, Any] | None:
    """The executable that a program runs: read through /proc, or the file on disk where that is known to be the same."""
    for process in program.processes:
        if process.get("running"):
            return dict(process["running"])
    if program.main and any(process.get("same_file") for process in program.processes):
        return on_disk(service)
    return None


def on_disk(service: Service) -> Mapping[str, Any] | None:
    """The file that the service starts the next time."""
    found: Mapping[str, Any] | None = service.facts.get("binary")
    return found


def binaries(service: Service) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(subject, where, Binary) of every executable that a service runs or will run: ``running`` ones, then the file on
    disk where another one runs or none does."""
    found: list[tuple[str, str, Mapping[str, Any]]] = []
    for program in service.programs:
        binary = running(program, service)
        if binary is not None:
            found.append((program.subject, "running", binary))
    disk = on_disk(service)
    if disk is not None and not any(
        subject == service.subject and _same(service, disk) for subject, unused, unused_binary in found
    ):
        found.append((service.subject, "on disk", disk))
    return found


def _same(service: Service, disk: Mapping[str, Any]) -> bool:
    main = service.main or {}
    return bool(main.get("same_file")) and main.get("exe") in (disk.get("realpath"), disk.get("path"))


def number(value: Any) -> float | None:
    """A limit as a number: ``unlimited``, ``infinity`` and ``max`` are infinite; None where it is unknown."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    text = str(value).strip()
    if text in ("unlimited", "infinity", "max"):
        return INFINITY
    return int(text) if text.isdigit() else None


def parse_memory_limit(text: str) -> float:
    """The bytes of a GOMEMLIMIT as the runtime reads it (Go source, parseByteCount in runtime/string.go): whole numbers with
    B, KiB, MiB, GiB, TiB or nothing behind them; ``off`` is infinite. ValueError for what would end the program."""
    if text in ("", "off"):
        return INFINITY
    found = re.fullmatch(r"([+]?[0-9]{1,19})(B|KiB|MiB|GiB|TiB)?", text)
    if found:
        value: int = int(found.group(1)) * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(found.group(2) or "B")
        if value < 1 << 63:
            return value
    raise ValueError(f"{text!r} is no GOMEMLIMIT: Go reads whole numbers of bytes, or with B, KiB, MiB, GiB, TiB, or `off`")


def words(value: float | None) -> str:
    """A limit for a sentence: ``65536``, ``unlimited``, ``unknown``."""
    if value is None:
        return "unknown"
    if value == INFINITY:
        return "unlimited"
    return str(int(value)) if value == int(value) else f"{value:g}"


def size(value: float) -> str:
    """Bytes for a sentence: ``512 MiB``."""
    for unit, power in (("TiB", 4), ("GiB", 3), ("MiB", 2), ("KiB", 1)):
        if value >= 1024 ** power:
            return f"{round(value / 1024 ** power, 1):g} {unit}"
    return f"{value:.0f} bytes"


def plain(value: float | None) -> int | float | str | None:
    """A limit as a JSON value."""
    if value is None:
        return None
    return "unlimited" if value == INFINITY else int(value) if value == int(value) else value
