#!/usr/bin/python
# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: readiness_facts
short_description: Read what decides whether a host can run Go services
version_added: 0.1.0
description:
  - Reads the host, its Go toolchains, its Go services, their debugging endpoints and the kernel's network counters in one call,
    and returns them as one document of plain values.
  - Only reads. Nothing is written, started, stopped or compiled. Commands in O(probes) are the caller's own.
  - Services are profiled only with V(runtime) in O(subsets), and only as far as O(runtime.kinds) says.
  - The subsets V(connections), V(sample), V(pools), V(wall), V(databases), V(timeouts), V(proxies) and V(build) try what the
    host is meant to do, as far as O(active) says. They ask declared endpoints and configured module proxies alone. V(build)
    compiles in a private temporary folder, which it removes.
  - Every part has a deadline of its own. One that hangs or breaks costs its own value and an entry in RV(facts.errors).
  - It works as an ordinary user too. What needs root is V(null) then, and named in RV(facts.errors) or beside the value.
  - Values that look like credentials are replaced on the host, before they leave it.
  - It judges nothing. The P(goready.preflight.verify#module) action does.
author: goready.preflight contributors (@goready)
options:
  subsets:
    description:
      - What to read. V(pprof) needs the listeners of V(services), V(runtime) the endpoints of V(pprof) and V(modules) the shells
        of V(toolchain); they bring them along.
      - V(runtime) asks the services for profiles, once each. It is left out by default, as is what tries something.
      - V(connections), V(sample), V(pools), V(wall) and V(databases) watch for some seconds, side by side, when everything else has
        been read. V(timeouts), V(proxies) and V(build) follow them, so that no compiler spoils a measurement.
    type: list
    elements: str
    choices: [host, toolchain, modules, services, pprof, network, runtime, connections, sample, pools, wall, databases, timeouts, proxies, build]
    default: [host, toolchain, modules, services, pprof, network]
  services:
    description:
      - The services that the host should run, as C(preflight_services) declares them.
      - The keys C(name), C(unit), C(binary), C(pprof), C(health), C(metrics) and C(depends_on) are used here. Others are for the judgement and
        are ignored.
    type: list
    elements: dict
    default: []
  toolchain:
    description:
      - Whether the host should have a Go toolchain. With V(absent) none is run to ask for its environment.
    type: str
    choices: [required, optional, absent]
    default: optional
  probes:
    description:
      - The questions of C(preflight_custom_checks) that are asked from the host. Each has the C(id) of its check, a C(kind)
        (C(command), C(file), C(http), C(tcp), C(dns), C(prometheus)) and the keys of that kind.
      - They run in check mode too, so a command has to be one that only reads.
    type: list
    elements: dict
    default: []
  timeout:
    description:
      - Seconds after which the module returns what it has. One part may take half of them.
    type: int
    default: 30
  build_user:
    description:
      - The user that builds on this host, whose shells are asked for their Go beside those of root. Empty for none.
    type: str
    default: ""
  runtime:
    description:
      - How services are profiled, with V(runtime) in O(subsets).
    type: dict
    default: {}
    suboptions:
      phase:
        description: What the take is called.
        type: str
        choices: [once, idle, load, after]
        default: once
      kinds:
        description:
          - What is asked of an endpoint, always in the order that is given here.
          - V(dump) has the goroutines' ids, ages and creators, and stops the service while it is made.
          - V(cpu) takes O(runtime.cpu_seconds). V(goroutineleak) makes the service collect its garbage.
        type: list
        elements: str
        choices: [heap, goroutine, dump, allocs, mutex, block, threadcreate, cpu, metrics, goroutineleak]
        default: [heap, goroutine, dump, allocs, mutex, block, threadcreate, metrics, goroutineleak]
      dump_limit:
        description: Goroutines up to which V(dump) is asked for.
        type: int
        default: 2000
      leak_limit:
        description:
          - Goroutines up to which V(goroutineleak) is asked for; the service stands still while it looks through their stacks.
          - With V(10000000), the most, it is always asked for, also where nobody knows how many there are.
        type: int
        default: 50000
      cpu_seconds:
        description: Seconds of the CPU profile, at most 30.
        type: int
        default: 10
      gc:
        description: Whether the service collects its garbage before its memory is looked at.
        type: bool
        default: false
      budget:
        description: Seconds for all endpoints together, beyond O(timeout) and without those of the CPU profile.
        type: int
        default: 20
      profile_limit:
        description: Bytes of a profile up to which it is returned in RV(profiles).
        type: int
        default: 4194304
      raw:
        description: The kinds of O(runtime.kinds) that are returned in RV(profiles).
        type: list
        elements: str
        default: []
      targets:
        description:
          - Endpoints as an earlier call returned them in C(facts.runtime.endpoints). They are asked again, and nothing else is
            collected for it.
          - One whose process is not the same any more gives no take.
        type: list
        elements: dict
        default: []
  active:
    description:
      - How far the host is tried, with one of the subsets that try something in O(subsets).
    type: dict
    default: {}
    suboptions:
      budget:
        description:
          - Seconds for all of them together, from the first question on. What is cut off says so.
          - An emulated host has six times as many.
        type: int
        default: 60
      profile:
        description: V(deep) asks more, and may take longer.
        type: str
        choices: [standard, deep]
        default: standard
      build:
        description:
          - How toolchains are tried. C(cgo) is V(auto), V(required) or V(absent); C(toolchains) is V(seen) (those that a shell finds
            first) or V(all); C(timeout) are seconds for each, C(memory) and C(disk) bytes.
        type: dict
        default: {}
      proxy:
        description:
          - How module proxies are asked. C(modules) are what is really downloaded (V(path@version)), C(private) patterns of modules
            that nobody else may hear of, C(requests) and C(concurrency) the load, C(timeout) seconds for a request.
        type: dict
        default: {}
      network:
        description:
          - How endpoints are asked. C(samples) connections to each, C(window) seconds to watch, C(timeout) seconds for a connection,
            C(redirects) that are followed.
          - C(endpoints) has C(ca_file), C(cert_file), C(key_file) and C(validate_certs) by URL. C(server_timeouts) are the URLs that
            may be asked slowly.
        type: dict
        default: {}
      databases:
        description:
          - The database servers, with C(name), C(url), C(scheme), C(services), C(socket), C(run_as), C(passfile), C(defaults_file),
            C(ca_file) and C(timeout).
        type: list
        elements: dict
        default: []
  credentials:
    description:
      - How to be let in to the pprof and the metrics of services, and to databases. They are used for the declared endpoint of a service; where none is declared,
        for the one that asks.
      - They are sent only to who refused a request without them, and only over https to a good certificate, to a listener that a
        process of the service holds, or to a declared URL of another host.
      - They are never in what the module returns.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Name of the service, or of the database.
        type: str
        required: true
      username:
        description: Name for Basic authentication.
        type: str
      password:
        description: Password for Basic authentication.
        type: str
      token:
        description: Bearer token.
        type: str
      ca_file:
        description: PEM file on the host of those who may sign the server's certificate. Without it those that the host trusts.
        type: path
      validate_certs:
        description: Whether the server's certificate has to be good.
        type: bool
        default: true
attributes:
  check_mode:
    description: Runs the same in check mode.
    support: full
  diff_mode:
    description: Nothing is changed, so there is no difference.
    support: none
  platform:
    description: Hosts it can read.
    platforms: linux
    support: full
seealso:
  - module: goready.preflight.verify
"""

EXAMPLES = r"""
- name: Everything that can be read on a host
  goready.preflight.readiness_facts:
  register: readiness

- name: One declared service, with one question of one's own
  goready.preflight.readiness_facts:
    subsets: [host, services, pprof]
    services:
      - name: api
        unit: api.service
        pprof: http://127.0.0.1:6060
    probes:
      - id: api.migrations
        kind: command
        command: [/opt/api/current/api, migrations, --pending]

- name: What the runtime of a service says of itself, with its profiles
  goready.preflight.readiness_facts:
    subsets: [runtime]
    services:
      - name: api
        unit: api.service
        pprof: https://127.0.0.1:6060
    runtime:
      raw: [heap, goroutine]
    credentials:
      - service: api
        username: ops
        password: "{{ api_pprof_password }}"
        ca_file: /etc/ssl/api-ca.pem
  no_log: true
  register: runtime

- name: Show what could not be read
  ansible.builtin.debug:
    var: readiness.facts.errors
"""

RETURN = r"""
facts:
  description: The facts document. A value that could not be read is V(null), never a guess.
  returned: always
  type: dict
  contains:
    facts_version:
      description: Version of this document's shape.
      returned: success
      type: str
    collected:
      description: When, by whom and what was collected.
      returned: success
      type: dict
      contains:
        at:
          description: RFC 3339 time in UTC.
          returned: success
          type: str
        duration_ms:
          description: Milliseconds that collecting took.
          returned: success
          type: int
        subsets:
          description: The subsets that were read.
          returned: success
          type: list
          elements: str
        uid:
          description: Effective user id of the module.
          returned: success
          type: int
        user:
          description: Name of that user, or its number where it has none.
          returned: success
          type: str
        privileged:
          description: Whether it was root.
          returned: success
          type: bool
        hostname:
          description: The host's own name.
          returned: success
          type: str
        python:
          description: Version of the host's Python.
          returned: success
          type: str
    errors:
      description: What could not be read.
      returned: success
      type: list
      elements: dict
      contains:
        part:
          description: Dotted path of what is missing, V(host.filesystems) for instance.
          returned: success
          type: str
        kind:
          description: V(timeout), V(permission), V(unavailable), V(exception) or V(truncated).
          returned: success
          type: str
        message:
          description: What happened.
          returned: success
          type: str
    timings:
      description: Milliseconds of each subset, by its name.
      returned: success
      type: dict
    host:
      description: Subset C(host).
      returned: success
      type: dict
      contains:
        os:
          description: What os-release says.
          returned: success
          type: dict
          contains:
            id:
              description: V(ubuntu), V(debian) and so on.
              returned: success
              type: str
            version_id:
              description: For instance V(24.04).
              returned: success
              type: str
            codename:
              description: For instance V(noble).
              returned: success
              type: str
            pretty_name:
              description: The name for people.
              returned: success
              type: str
            like:
              description: The distributions it derives from.
              returned: success
              type: list
              elements: str
            extended_support:
              description: Files of apt with Ubuntu Pro's security archives.
              returned: success
              type: list
              elements: str
        kernel:
          description: Release of the running kernel.
          returned: success
          type: str
        machine:
          description: What C(uname -m) says.
          returned: success
          type: str
        dpkg_arch:
          description: Architecture of the userland as dpkg names it, V(null) without dpkg.
          returned: success
          type: str
        goarch:
          description: Go's name for C(machine).
          returned: success
          type: str
        bits:
          description: Width of the userland's programs, V(32) or V(64).
          returned: success
          type: int
        cpu:
          description: The processors.
          returned: success
          type: dict
          contains:
            count:
              description: How many are online.
              returned: success
              type: int
            vendor:
              description: Their maker.
              returned: success
              type: str
            model:
              description: Their model.
              returned: success
              type: str
            flags:
              description: Features that every one of them has.
              returned: success
              type: list
              elements: str
            goamd64:
              description: Highest GOAMD64 whose programs run here.
              returned: success
              type: str
            goarm64:
              description: Highest GOARM64 whose programs run here.
              returned: success
              type: str
        emulation:
          description: Whether instructions are translated.
          returned: success
          type: dict
          contains:
            kind:
              description: V(qemu-user), V(qemu-system), V(rosetta) or V(null).
              returned: success
              type: str
            evidence:
              description: What shows it.
              returned: success
              type: list
              elements: str
        container:
          description: The container manager where the host itself is a container.
          returned: success
          type: str
        memory:
          description: Bytes.
          returned: success
          type: dict
          contains:
            total:
              description: All memory.
              returned: success
              type: int
            available:
              description: What programs can get without swapping.
              returned: success
              type: int
            swap_total:
              description: All swap.
              returned: success
              type: int
            swap_free:
              description: Unused swap.
              returned: success
              type: int
        filesystems:
          description: The filesystems that hold C(/), C(/var/log), C(/var/lib), C(/tmp), C(/opt) and the declared binaries.
          returned: success
          type: list
          elements: dict
          contains:
            paths:
              description: Which of these folders it holds.
              returned: success
              type: list
              elements: str
            mount:
              description: Where it is mounted.
              returned: success
              type: str
            device:
              description: What is mounted.
              returned: success
              type: str
            fstype:
              description: Its type.
              returned: success
              type: str
            size:
              description: Bytes.
              returned: success
              type: int
            available:
              description: Bytes that ordinary users can still fill.
              returned: success
              type: int
            inodes:
              description: Number of inodes, V(0) where it is not fixed.
              returned: success
              type: int
            inodes_available:
              description: Free inodes.
              returned: success
              type: int
            read_only:
              description: Whether it is mounted read-only.
              returned: success
              type: bool
            remote:
              description: Whether another machine or a program answers for it.
              returned: success
              type: bool
            error:
              description: Why its size is unknown.
              returned: success
              type: str
        sysctl:
          description: Values of sysctls by their dotted names.
          returned: success
          type: dict
        file_nr:
          description: C(/proc/sys/fs/file-nr).
          returned: success
          type: dict
          contains:
            allocated:
              description: Open files of the machine.
              returned: success
              type: int
            unused:
              description: Allocated and unused ones.
              returned: success
              type: int
            maximum:
              description: Most there can be.
              returned: success
              type: int
        time:
          description: The clock.
          returned: success
          type: dict
          contains:
            synchronized:
              description: Whether it is disciplined, V(null) where that cannot be told.
              returned: success
              type: bool
            service:
              description: The unit of the time service that runs.
              returned: success
              type: str
            max_error_ms:
              description: The kernel's estimate of the largest error.
              returned: success
              type: float
            evidence:
              description: What shows it.
              returned: success
              type: list
              elements: str
        reboot:
          description: Pending reboot.
          returned: success
          type: dict
          contains:
            required:
              description: Whether one is due, V(null) where that cannot be told.
              returned: success
              type: bool
            packages:
              description: Packages that asked for it.
              returned: success
              type: list
              elements: str
            running_kernel:
              description: Release of the running kernel.
              returned: success
              type: str
            newest_kernel:
              description: The newest installed one of its flavour.
              returned: success
              type: str
            evidence:
              description: What shows it.
              returned: success
              type: list
              elements: str
        cgroup:
          description: Control groups.
          returned: success
          type: dict
          contains:
            version:
              description: V(1), V(2) or V(hybrid).
              returned: success
              type: raw
            controllers:
              description: The controllers there are.
              returned: success
              type: list
              elements: str
        init:
          description: Command name of process 1.
          returned: success
          type: str
    toolchain:
      description: Subset C(toolchain).
      returned: success
      type: dict
      contains:
        toolchains:
          description: Every Go there is, one entry a GOROOT.
          returned: success
          type: list
          elements: dict
          contains:
            goroot:
              description: Its folder, symlinks resolved.
              returned: success
              type: str
            go:
              description: Its go command.
              returned: success
              type: str
            kind:
              description: V(official), V(distribution), V(gvm), V(snap) or V(sdk).
              returned: success
              type: str
            found_by:
              description: How it was found.
              returned: success
              type: list
              elements: str
            version_file:
              description: The version in C(GOROOT/VERSION).
              returned: success
              type: str
            version:
              description: The version that it says itself.
              returned: success
              type: str
            runs:
              description: Whether it could be run, V(null) where it was not tried.
              returned: success
              type: bool
            run_as:
              description: The user that it was run as.
              returned: success
              type: str
            error:
              description: Why not.
              returned: success
              type: str
            elf_machine:
              description: Architecture of the go command.
              returned: success
              type: str
            missing:
              description: Parts of a toolchain that are not there.
              returned: success
              type: list
              elements: str
            owner:
              description: Owner of the folder.
              returned: success
              type: str
            mode:
              description: Mode of the folder.
              returned: success
              type: str
            in_home:
              description: Whether it lies in its owner's home.
              returned: success
              type: bool
            writable_by_others:
              description: What others than its owner can write.
              returned: success
              type: list
              elements: str
            writable_seen:
              description: How many of its files were looked at.
              returned: success
              type: int
            env:
              description: What C(go env) says, by variable.
              returned: success
              type: dict
        shells:
          description: What each kind of shell or manager sees.
          returned: success
          type: list
          elements: dict
          contains:
            kind:
              description: V(login), V(non_login), V(sudo) or V(systemd).
              returned: success
              type: str
            user:
              description: Whose.
              returned: success
              type: str
            go:
              description: The go command that it finds.
              returned: success
              type: str
            goroot:
              description: The GOROOT of that command.
              returned: success
              type: str
            version:
              description: The version of that command.
              returned: success
              type: str
            path:
              description: Its PATH.
              returned: success
              type: str
            env:
              description: The Go variables that are set in it, by name.
              returned: success
              type: dict
            error:
              description: Why it could not be asked.
              returned: success
              type: str
            others:
              description: Further GOROOTs behind the first in its PATH.
              returned: success
              type: list
              elements: str
            goenv:
              description: What C(go env -w) keeps for its user.
              returned: success
              type: dict
              contains:
                path:
                  description: File.
                  returned: success
                  type: str
                values:
                  description: Its values by variable.
                  returned: success
                  type: dict
            effective:
              description: Go variables by name as they work out, V(null) where no go is seen.
              returned: success
              type: dict
            goroot_variable:
              description: What the variable GOROOT names.
              returned: success
              type: dict
              contains:
                path:
                  description: Its value.
                  returned: success
                  type: str
                realpath:
                  description: The same without symlinks.
                  returned: success
                  type: str
                exists:
                  description: Whether that folder exists.
                  returned: success
                  type: bool
                version:
                  description: The version of Go in it.
                  returned: success
                  type: str
            gopath:
              description: The folders of GOPATH.
              returned: success
              type: list
              elements: dict
              contains:
                path:
                  description: Folder.
                  returned: success
                  type: str
                exists:
                  description: Whether it exists.
                  returned: success
                  type: bool
                owner:
                  description: Owner.
                  returned: success
                  type: str
                mode:
                  description: Mode.
                  returned: success
                  type: str
                writable:
                  description: Whether the user can write to it.
                  returned: success
                  type: bool
                everybody:
                  description: Whether everybody can.
                  returned: success
                  type: bool
                in_goroot:
                  description: Whether it lies in a GOROOT.
                  returned: success
                  type: bool
        gvm:
          description: The installations of gvm.
          returned: success
          type: list
          elements: dict
          contains:
            root:
              description: Folder.
              returned: success
              type: str
            user:
              description: Owner.
              returned: success
              type: str
            default:
              description: The version that is the default.
              returned: success
              type: str
            versions:
              description: The installed versions.
              returned: success
              type: list
              elements: dict
              contains:
                name:
                  description: Version.
                  returned: success
                  type: str
                complete:
                  description: Whether its manifest was written.
                  returned: success
                  type: bool
                version_file:
                  description: The version in its C(VERSION) file.
                  returned: success
                  type: str
                go:
                  description: Whether its go command is there.
                  returned: success
                  type: bool
                environment:
                  description: Whether its environment file is there.
                  returned: success
                  type: bool
    modules:
      description: Subset C(modules).
      returned: success
      type: dict
      contains:
        settings:
          description: Where go would get modules from, one entry a shell that gave its environment, then one a further user with settings.
          returned: success
          type: list
          elements: dict
          contains:
            kind:
              description: V(login), V(non_login), V(sudo), V(systemd), or V(file) where only the user's file was read.
              returned: success
              type: str
            user:
              description: Whose.
              returned: success
              type: str
            go:
              description: The go command that the shell finds.
              returned: success
              type: str
            goroot:
              description: The GOROOT whose C(go.env) was read.
              returned: success
              type: str
            goenv:
              description: The user's file of C(go env -w), V(null) where it is switched off.
              returned: success
              type: str
            values:
              description:
                - By variable, C(value) without credentials, C(source) (V(environment), V(user_file), V(goroot_file), V(default)) and
                  C(where), the file and line that say so, V(null) where none was found.
              returned: success
              type: dict
        netrc:
          description: The netrc files in the homes.
          returned: success
          type: list
          elements: dict
          contains:
            path:
              description: The file.
              returned: success
              type: str
            owner:
              description: Its owner.
              returned: success
              type: str
            mode:
              description: Its mode.
              returned: success
              type: str
            machines:
              description: The machines it has credentials for. Nothing else of it is reported.
              returned: success
              type: list
              elements: str
            readable:
              description: Whether it could be read.
              returned: success
              type: bool
        git:
          description: Addresses that git replaces by others (C(url.X.insteadOf)).
          returned: success
          type: list
          elements: dict
          contains:
            user:
              description: Whose configuration says so, V(null) for the system's.
              returned: success
              type: str
            where:
              description: File and line.
              returned: success
              type: str
            url:
              description: What it is replaced by.
              returned: success
              type: str
            instead_of:
              description: What is replaced.
              returned: success
              type: str
    services:
      description: Subset C(services).
      returned: success
      type: dict
      contains:
        services:
          description: Declared services and processes with Go build information.
          returned: success
          type: list
          elements: dict
          contains:
            name:
              description: The declared name, else the unit's, else the executable's.
              returned: success
              type: str
            declared:
              description: Whether O(services) names it.
              returned: success
              type: bool
            unit:
              description: Its unit.
              returned: success
              type: str
            manager:
              description: V(system) or V(user).
              returned: success
              type: str
            manager_user:
              description: Whose user manager it is.
              returned: success
              type: str
            container:
              description: The container that it runs in.
              returned: success
              type: dict
              contains:
                runtime:
                  description: V(podman), V(docker), V(containerd), V(lxc) or V(unknown).
                  returned: success
                  type: str
                id:
                  description: The first characters of its id.
                  returned: success
                  type: str
            properties:
              description: What C(systemctl show) prints, by property.
              returned: success
              type: dict
            unit_files:
              description: The fragment and its drop-ins, in the order systemd reads them.
              returned: success
              type: list
              elements: dict
              contains:
                path:
                  description: File.
                  returned: success
                  type: str
                directives:
                  description: Its settings, credentials redacted.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    line:
                      description: Line.
                      returned: success
                      type: int
                    section:
                      description: Section.
                      returned: success
                      type: str
                    name:
                      description: Name.
                      returned: success
                      type: str
                    value:
                      description: Value.
                      returned: success
                      type: str
                problems:
                  description: What systemd ignores.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    line:
                      description: Line.
                      returned: success
                      type: int
                    section:
                      description: Section.
                      returned: success
                      type: str
                    name:
                      description: Name.
                      returned: success
                      type: str
                    message:
                      description: What is wrong.
                      returned: success
                      type: str
                error:
                  description: Why the file could not be read.
                  returned: success
                  type: str
            ignored_files:
              description: Files in the drop-in folders that systemd does not read.
              returned: success
              type: list
              elements: str
            exec:
              description: The first C(ExecStart).
              returned: success
              type: dict
              contains:
                path:
                  description: Program.
                  returned: success
                  type: str
                argv:
                  description: Arguments, credentials redacted.
                  returned: success
                  type: list
                  elements: str
            main_pid:
              description: Process id of the main process.
              returned: success
              type: int
            binary:
              description: The file on disk that the declaration or the unit names.
              returned: success
              type: dict
              contains: &binary
                path:
                  description: Path.
                  returned: success
                  type: str
                realpath:
                  description: Path without symlinks.
                  returned: success
                  type: str
                size:
                  description: Bytes.
                  returned: success
                  type: int
                mtime:
                  description: RFC 3339 time of its last change.
                  returned: success
                  type: str
                elf:
                  description: Its ELF header.
                  returned: success
                  type: dict
                  contains:
                    bits:
                      description: V(32) or V(64).
                      returned: success
                      type: int
                    machine:
                      description: Go's name of its architecture.
                      returned: success
                      type: str
                    type:
                      description: V(exec) or V(dyn).
                      returned: success
                      type: str
                    interpreter:
                      description: The loader that it asks for.
                      returned: success
                      type: str
                    interpreter_exists:
                      description:
                        - Whether that loader is there, in the root that the program starts in.
                        - Null where the program asks for none, where it cannot be told, and for a program of another machine.
                      returned: success
                      type: bool
                    needed:
                      description: The shared libraries that it asks for.
                      returned: success
                      type: list
                      elements: str
                buildinfo:
                  description: Go's build information.
                  returned: success
                  type: dict
                  contains:
                    go_version:
                      description: Version of Go.
                      returned: success
                      type: str
                    path:
                      description: Package path of the program.
                      returned: success
                      type: str
                    main:
                      description: The main module.
                      returned: success
                      type: dict
                      contains:
                        path:
                          description: Module path.
                          returned: success
                          type: str
                        version:
                          description: Version.
                          returned: success
                          type: str
                        replace:
                          description: What replaces it.
                          returned: success
                          type: dict
                    deps:
                      description: The modules that it was built from.
                      returned: success
                      type: list
                      elements: dict
                      contains:
                        path:
                          description: Module path.
                          returned: success
                          type: str
                        version:
                          description: Version.
                          returned: success
                          type: str
                        replace:
                          description: What replaces it.
                          returned: success
                          type: dict
                    settings:
                      description: Build settings by name.
                      returned: success
                      type: dict
                owner:
                  description: Owner.
                  returned: success
                  type: str
                group:
                  description: Group.
                  returned: success
                  type: str
                mode:
                  description: Mode.
                  returned: success
                  type: str
                folders:
                  description: Every folder above it.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    path:
                      description: Path.
                      returned: success
                      type: str
                    owner:
                      description: Owner.
                      returned: success
                      type: str
                    group:
                      description: Group.
                      returned: success
                      type: str
                    mode:
                      description: Mode.
                      returned: success
                      type: str
                writable_by:
                  description: What lets others than root or the owner replace it.
                  returned: success
                  type: list
                  elements: str
                error:
                  description: Why it could not be read.
                  returned: success
                  type: str
            processes:
              description: Its Go processes, the main process first.
              returned: success
              type: list
              elements: dict
              contains:
                pid:
                  description: Process id.
                  returned: success
                  type: int
                ppid:
                  description: Process id of the parent.
                  returned: success
                  type: int
                uid:
                  description: User id.
                  returned: success
                  type: int
                user:
                  description: User.
                  returned: success
                  type: str
                comm:
                  description: Command name.
                  returned: success
                  type: str
                exe:
                  description: The executable.
                  returned: success
                  type: str
                exe_deleted:
                  description: Whether that file is gone.
                  returned: success
                  type: bool
                emulator:
                  description: The emulator that runs the program, V(null) where the CPU runs it.
                  returned: success
                  type: dict
                  contains:
                    path:
                      description: Its executable, V(/usr/bin/qemu-aarch64-static) for instance.
                      returned: success
                      type: str
                argv:
                  description: Arguments, credentials redacted.
                  returned: success
                  type: list
                  elements: str
                started:
                  description: RFC 3339 time of its start.
                  returned: success
                  type: str
                go:
                  description: Whether it carries Go build information.
                  returned: success
                  type: bool
                limits:
                  description: Resource limits by name (C(nofile), C(nproc) and so on), each with C(soft) and C(hard).
                  returned: success
                  type: dict
                fds:
                  description: Descriptors.
                  returned: success
                  type: dict
                  contains:
                    open:
                      description: How many are open.
                      returned: success
                      type: int
                threads:
                  description: How many threads it has.
                  returned: success
                  type: int
                rss:
                  description: Resident memory in bytes.
                  returned: success
                  type: int
                cgroup:
                  description: Limits of its control group. Bytes, CPUs and tasks, V(max) where there is no limit.
                  returned: success
                  type: dict
                  contains:
                    path:
                      description: Its path.
                      returned: success
                      type: str
                    memory_max:
                      description: Memory limit.
                      returned: success
                      type: raw
                    memory_high:
                      description: Memory throttling limit.
                      returned: success
                      type: raw
                    memory_current:
                      description: Memory in use.
                      returned: success
                      type: raw
                    cpu_quota:
                      description: CPUs.
                      returned: success
                      type: raw
                    pids_max:
                      description: Most tasks.
                      returned: success
                      type: raw
                    pids_current:
                      description: Tasks.
                      returned: success
                      type: raw
                    effective:
                      description: The tightest of its own and its parents' limits, by name.
                      returned: success
                      type: dict
                environ:
                  description: C(GOMEMLIMIT), C(GOMAXPROCS), C(GODEBUG) and C(GOGC), where they are set.
                  returned: success
                  type: dict
                listeners:
                  description: The sockets that it listens on.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    proto:
                      description: V(tcp), V(tcp6) or V(unix).
                      returned: success
                      type: str
                    address:
                      description: Address.
                      returned: success
                      type: str
                    port:
                      description: Port.
                      returned: success
                      type: int
                    path:
                      description: Path of a unix socket.
                      returned: success
                      type: str
                    inode:
                      description: Inode of the socket.
                      returned: success
                      type: int
                running:
                  description: The executable as it runs, with the keys of C(binary).
                  returned: success
                  type: dict
                  contains: *binary
                same_file:
                  description: Whether the running file is the one on disk at that path.
                  returned: success
                  type: bool
                unreadable:
                  description: What could not be read of it.
                  returned: success
                  type: list
                  elements: str
            more_processes:
              description: Further Go processes that are not listed.
              returned: success
              type: int
        unreadable:
          description: Processes that could not be told to be Go or not.
          returned: success
          type: dict
          contains:
            processes:
              description: How many.
              returned: success
              type: int
            commands:
              description: Their names.
              returned: success
              type: list
              elements: str
            hidden:
              description: Whether C(/proc) shows the caller's own processes only.
              returned: success
              type: bool
            reason:
              description: Why.
              returned: success
              type: str
        systemd:
          description: What systemd was asked.
          returned: success
          type: dict
          contains:
            asked:
              description: How many units.
              returned: success
              type: int
            directives_known:
              description: Whether the systemd's own list of settings was read.
              returned: success
              type: bool
            nofile:
              description: Limit of open files (C(soft), C(hard)) of systemd itself. V(null) where it could not be read.
              returned: success
              type: dict
        limits_conf:
          description: Lines of C(limits.conf) and C(limits.d), in the order in which pam_limits reads them.
          returned: success
          type: list
          elements: dict
          contains:
            path:
              description: The file.
              returned: success
              type: str
            line:
              description: Number of the line.
              returned: success
              type: int
            domain:
              description: Whose logins it is for.
              returned: success
              type: str
            type:
              description: V(soft), V(hard) or V(-) for both.
              returned: success
              type: str
            item:
              description: For instance V(nofile). V(null) in a line that frees its domain of all limits.
              returned: success
              type: str
            value:
              description: The limit as it is written.
              returned: success
              type: str
    pprof:
      description: Subset C(pprof).
      returned: success
      type: dict
      contains:
        endpoints:
          description: One entry a listener of a Go process, and one a declared pprof URL that none of them is.
          returned: success
          type: list
          elements: dict
          contains:
            service:
              description: The service's name.
              returned: success
              type: str
            pid:
              description: Process id.
              returned: success
              type: int
            listener:
              description: The listener.
              returned: success
              type: dict
              contains:
                proto:
                  description: V(tcp), V(tcp6) or V(unix).
                  returned: success
                  type: str
                address:
                  description: Address.
                  returned: success
                  type: str
                port:
                  description: Port.
                  returned: success
                  type: int
                path:
                  description: Path of a unix socket.
                  returned: success
                  type: str
            declared:
              description: Whether it was declared.
              returned: success
              type: bool
            container:
              description: The container of its process.
              returned: success
              type: dict
              contains:
                runtime:
                  description: V(podman), V(docker), V(containerd), V(lxc) or V(unknown).
                  returned: success
                  type: str
                id:
                  description: The first characters of its id.
                  returned: success
                  type: str
            namespace:
              description: Whose network it is in, V(host) or V(other).
              returned: success
              type: str
            scheme:
              description: V(http) or V(https), V(null) where it speaks neither.
              returned: success
              type: str
            state:
              description: How it answered.
              returned: success
              type: str
            pprof:
              description: Whether it serves C(/debug/pprof/).
              returned: success
              type: dict
              contains:
                served:
                  description: Whether it does.
                  returned: success
                  type: bool
                status:
                  description: HTTP status.
                  returned: success
                  type: int
                path:
                  description: The path whose answer proves it.
                  returned: success
                  type: str
                evidence:
                  description: What shows it.
                  returned: success
                  type: list
                  elements: str
            expvar:
              description: Whether it serves C(/debug/vars).
              returned: success
              type: dict
              contains:
                served:
                  description: Whether it does.
                  returned: success
                  type: bool
                status:
                  description: HTTP status.
                  returned: success
                  type: int
                evidence:
                  description: What shows it.
                  returned: success
                  type: list
                  elements: str
            authentication:
              description: Whether every debugging path refused an anonymous request.
              returned: success
              type: bool
            shared:
              description: Whether the same server serves something besides debugging.
              returned: success
              type: bool
            shared_evidence:
              description: What shows it.
              returned: success
              type: list
              elements: str
            requests:
              description: How often it was asked.
              returned: success
              type: int
            error:
              description: Why it could not be asked.
              returned: success
              type: str
        health:
          description: One entry a declared health URL.
          returned: success
          type: list
          elements: dict
          contains:
            service:
              description: The service's name.
              returned: success
              type: str
            url:
              description: The URL.
              returned: success
              type: str
            status:
              description: HTTP status.
              returned: success
              type: int
            ms:
              description: Milliseconds that the answer took.
              returned: success
              type: raw
            ok:
              description: Whether it says healthy, V(null) where it could not be asked.
              returned: success
              type: bool
            error:
              description: Why not.
              returned: success
              type: str
        client:
          description: The address from which the one who collects came, as the host sees it. V(null) where it is no SSH session.
          returned: success
          type: str
        firewall:
          description: What the kernel has of the table of role pprof_guard.
          returned: success
          type: dict
          contains:
            present:
              description: Whether the table is there, V(null) where it could not be read.
              returned: success
              type: bool
            ports:
              description: The ports it guards over IPv4 and IPv6.
              returned: success
              type: list
              elements: dict
              contains:
                port:
                  description: The TCP port.
                  returned: success
                  type: int
                allow:
                  description: Networks that are admitted beside loopback.
                  returned: success
                  type: list
                  elements: str
            lasting:
              description: Whether it will be there after the next boot, V(null) where there is none or it could not be read.
              returned: success
              type: bool
            error:
              description: Why it could not be read.
              returned: success
              type: str
        proxies:
          description: One entry a server of nginx and service behind it that serves debugging, asked as a listener is.
          returned: success
          type: list
          elements: dict
          contains:
            service:
              description: Name of the service behind it.
              returned: success
              type: str
            program:
              description: The proxy's program.
              returned: success
              type: str
            pid:
              description: Always V(null).
              returned: success
              type: int
            declared:
              description: Always V(false).
              returned: success
              type: bool
            container:
              description: Always V(null).
              returned: success
              type: raw
            namespace:
              description: Always V(host).
              returned: success
              type: str
            listener:
              description: Where the proxy listens.
              returned: success
              type: dict
              contains:
                proto:
                  description: V(tcp), V(tcp6) or V(unix).
                  returned: success
                  type: str
                address:
                  description: Address.
                  returned: success
                  type: str
                port:
                  description: Port.
                  returned: success
                  type: int
                path:
                  description: Path of a unix socket.
                  returned: success
                  type: str
            backend:
              description: The listener it leads to.
              returned: success
              type: dict
              contains:
                proto:
                  description: V(tcp), V(tcp6) or V(unix).
                  returned: success
                  type: str
                address:
                  description: Address.
                  returned: success
                  type: str
                port:
                  description: Port.
                  returned: success
                  type: int
                path:
                  description: Path of a unix socket.
                  returned: success
                  type: str
            file:
              description: The file of the configuration that says so.
              returned: success
              type: str
            line:
              description: The line in it.
              returned: success
              type: int
            server_name:
              description: The server's name, empty where any will do.
              returned: success
              type: str
            prefix:
              description: What its path has before C(/debug).
              returned: success
              type: str
            allow:
              description: Networks that its configuration admits, V(null) for everybody.
              returned: success
              type: list
              elements: str
            scheme:
              description: V(http) or V(https).
              returned: success
              type: str
            state:
              description: How it answered.
              returned: success
              type: str
            pprof:
              description: Whether it serves C(/debug/pprof/) without credentials.
              returned: success
              type: dict
              contains:
                served:
                  description: Whether it does.
                  returned: success
                  type: bool
                status:
                  description: HTTP status.
                  returned: success
                  type: int
                path:
                  description: The path whose answer proves it.
                  returned: success
                  type: str
                evidence:
                  description: What shows it.
                  returned: success
                  type: list
                  elements: str
            expvar:
              description: Whether it serves C(/debug/vars) without credentials.
              returned: success
              type: dict
              contains:
                served:
                  description: Whether it does.
                  returned: success
                  type: bool
                status:
                  description: HTTP status.
                  returned: success
                  type: int
                evidence:
                  description: What shows it.
                  returned: success
                  type: list
                  elements: str
            authentication:
              description: Whether every debugging path refused an anonymous request.
              returned: success
              type: bool
            requests:
              description: How often it was asked.
              returned: success
              type: int
            error:
              description: Why it could not be asked.
              returned: success
              type: str
    network:
      description: Subset C(network).
      returned: success
      type: dict
      contains:
        tcp:
          description: Counters of TCP since boot, by the kernel's names.
          returned: success
          type: dict
        conntrack:
          description: The connection table, V(null) where connections are not tracked.
          returned: success
          type: dict
          contains:
            count:
              description: Entries.
              returned: success
              type: int
            maximum:
              description: Most there can be.
              returned: success
              type: int
        sockets:
          description: TCP sockets.
          returned: success
          type: dict
          contains:
            tcp_inuse:
              description: Open over IPv4.
              returned: success
              type: int
            tcp6_inuse:
              description: Open over IPv6.
              returned: success
              type: int
            tcp_tw:
              description: In TIME_WAIT.
              returned: success
              type: int
            tcp_orphan:
              description: Closed by their process and not yet by the peer.
              returned: success
              type: int
            tcp_mem_pages:
              description: Pages of memory.
              returned: success
              type: int
        port_range:
          description: First and last port of outgoing connections.
          returned: success
          type: list
          elements: int
        interfaces:
          description: The network interfaces.
          returned: success
          type: list
          elements: dict
          contains:
            name:
              description: Name.
              returned: success
              type: str
            rx_bytes:
              description: Received bytes.
              returned: success
              type: int
            rx_packets:
              description: Received packets.
              returned: success
              type: int
            rx_errors:
              description: Receive errors.
              returned: success
              type: int
            rx_dropped:
              description: Dropped on receipt.
              returned: success
              type: int
            tx_bytes:
              description: Sent bytes.
              returned: success
              type: int
            tx_packets:
              description: Sent packets.
              returned: success
              type: int
            tx_errors:
              description: Send errors.
              returned: success
              type: int
            tx_dropped:
              description: Dropped on sending.
              returned: success
              type: int
    runtime:
      description: Subset C(runtime).
      returned: success
      type: dict
      contains:
        endpoints:
          description: One entry a process that serves pprof, and one a declared pprof URL.
          returned: success
          type: list
          elements: dict
          contains:
            service:
              description: Name of the service.
              returned: success
              type: str
            container:
              description: The container it is in.
              returned: success
              type: dict
              contains:
                runtime:
                  description: What runs it.
                  returned: success
                  type: str
                id:
                  description: Its id.
                  returned: success
                  type: str
            pid:
              description: Its process.
              returned: success
              type: int
            started:
              description: Seconds since the host's boot at which that process began. Takes of two lives are never compared.
              returned: success
              type: float
            listener:
              description: Where it was asked.
              returned: success
              type: dict
              contains:
                proto:
                  description: V(tcp), V(tcp6) or V(unix).
                  returned: success
                  type: str
                address:
                  description: Address.
                  returned: success
                  type: str
                port:
                  description: Port.
                  returned: success
                  type: int
                path:
                  description: Path of a unix socket.
                  returned: success
                  type: str
            namespace:
              description: Whose network that is.
              returned: success
              type: str
            scheme:
              description: V(http) or V(https).
              returned: success
              type: str
            prefix:
              description: What its path has before C(/debug/pprof/).
              returned: success
              type: str
            declared:
              description: Whether it was declared.
              returned: success
              type: bool
            credentials:
              description: V(basic) or V(bearer) where such were sent.
              returned: success
              type: str
            go_version:
              description: Version of Go.
              returned: success
              type: str
            module:
              description: Path of the main module.
              returned: success
              type: str
            metrics_url:
              description: Where its page of metrics is.
              returned: success
              type: str
            error:
              description: Why there is no take.
              returned: success
              type: dict
              contains:
                kind:
                  description: What kind of failure.
                  returned: success
                  type: str
                message:
                  description: What happened.
                  returned: success
                  type: str
            restarted:
              description: What became of the process of an earlier take.
              returned: success
              type: str
            groups:
              description: Groups of goroutines by fingerprint. Each has C(class), C(frames), C(created_by) and C(wait).
              returned: success
              type: dict
            takes:
              description: The take, where it gave one.
              returned: success
              type: list
              elements: dict
              contains:
                phase:
                  description: V(once), V(idle), V(load) or V(after).
                  returned: success
                  type: str
                at:
                  description: RFC 3339 time at which the goroutine profile was taken.
                  returned: success
                  type: str
                clock:
                  description: The same in seconds since the host's boot.
                  returned: success
                  type: float
                asked:
                  description: Every request.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    kind:
                      description: What was asked for.
                      returned: success
                      type: str
                    form:
                      description: V(text), V(proto) or V(dump).
                      returned: success
                      type: str
                    status:
                      description: HTTP status.
                      returned: success
                      type: int
                    ms:
                      description: Milliseconds that the answer took.
                      returned: success
                      type: int
                    bytes:
                      description: Bytes of its body that were read.
                      returned: success
                      type: int
                    error:
                      description: Why it is of no use.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: What kind of failure.
                          returned: success
                          type: str
                        message:
                          description: What happened.
                          returned: success
                          type: str
                skipped:
                  description: What was not asked for.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    kind:
                      description: What it is.
                      returned: success
                      type: str
                    reason:
                      description: Why.
                      returned: success
                      type: str
                goroutines:
                  description: The goroutine profile.
                  returned: success
                  type: dict
                  contains:
                    total:
                      description: Number of goroutines.
                      returned: success
                      type: int
                    counts:
                      description: Goroutines by group.
                      returned: success
                      type: dict
                    left_out:
                      description: Goroutines of groups that are left out.
                      returned: success
                      type: int
                dump:
                  description: The goroutine dump.
                  returned: success
                  type: dict
                  contains:
                    total:
                      description: Number of goroutines.
                      returned: success
                      type: int
                    complete:
                      description: Whether all of it was read.
                      returned: success
                      type: bool
                    ids:
                      description: Goroutine ids by group.
                      returned: success
                      type: dict
                    minutes:
                      description: By group, the most minutes that one waits.
                      returned: success
                      type: dict
                    waits:
                      description: By group, goroutines by the reason why they wait.
                      returned: success
                      type: dict
                leaks:
                  description: The runtime's own profile of leaked goroutines.
                  returned: success
                  type: dict
                  contains:
                    available:
                      description: Whether the service has one.
                      returned: success
                      type: bool
                    reason:
                      description: Why not.
                      returned: success
                      type: str
                    total:
                      description: Leaked goroutines.
                      returned: success
                      type: int
                    counts:
                      description: Leaked goroutines by group.
                      returned: success
                      type: dict
                memory:
                  description: Statistics of the memory.
                  returned: success
                  type: dict
                  contains:
                    memstats:
                      description: Whole numbers of runtime.MemStats by their names.
                      returned: success
                      type: dict
                    gc_cpu_fraction:
                      description: Share of the CPU time that garbage collection took.
                      returned: success
                      type: float
                    pauses:
                      description: End (nanoseconds since 1970) and length (nanoseconds) of the latest pauses, newest first.
                      returned: success
                      type: list
                      elements: list
                    forced_gc:
                      description: Whether a garbage collection was asked for just before.
                      returned: success
                      type: bool
                process:
                  description: What the kernel says of the process.
                  returned: success
                  type: dict
                  contains:
                    rss:
                      description: Resident memory in bytes.
                      returned: success
                      type: int
                    hwm:
                      description: The most that it was.
                      returned: success
                      type: int
                    cpu_seconds:
                      description: CPU time.
                      returned: success
                      type: float
                    threads:
                      description: Threads.
                      returned: success
                      type: int
                    fds:
                      description: Open descriptors.
                      returned: success
                      type: int
                heap:
                  description: What allocates.
                  returned: success
                  type: dict
                  contains:
                    period:
                      description: Bytes between two samples.
                      returned: success
                      type: int
                    sites:
                      description: The lines that allocated most.
                      returned: success
                      type: list
                      elements: dict
                      contains:
                        function:
                          description: Its function.
                          returned: success
                          type: str
                        file:
                          description: Its file.
                          returned: success
                          type: str
                        line:
                          description: Its line.
                          returned: success
                          type: int
                        origin:
                          description: V(own), V(dependency), V(std) or V(runtime).
                          returned: success
                          type: str
                        caller:
                          description:
                            - Function, file, line and origin of the first own code above it, of the stacks with the most.
                            - Null where there is none.
                          returned: success
                          type: list
                          elements: raw
                        inuse_bytes:
                          description: Bytes in use.
                          returned: success
                          type: int
                        inuse_objects:
                          description: Objects in use.
                          returned: success
                          type: int
                        alloc_bytes:
                          description: Bytes allocated since the start.
                          returned: success
                          type: int
                        alloc_objects:
                          description: Objects allocated since the start.
                          returned: success
                          type: int
                mutex:
                  description: Contention of mutexes.
                  returned: success
                  type: dict
                  contains:
                    period:
                      description: One of so many contentions is recorded, V(0) for none.
                      returned: success
                      type: int
                    sites:
                      description: The lines that made others wait most.
                      returned: success
                      type: list
                      elements: dict
                      contains:
                        function:
                          description: Its function.
                          returned: success
                          type: str
                        file:
                          description: Its file.
                          returned: success
                          type: str
                        line:
                          description: Its line.
                          returned: success
                          type: int
                        origin:
                          description: V(own), V(dependency), V(std) or V(runtime).
                          returned: success
                          type: str
                        caller:
                          description:
                            - Function, file, line and origin of the first own code above it, of the stacks with the most.
                            - Null where there is none.
                          returned: success
                          type: list
                          elements: raw
                        contentions:
                          description: How often.
                          returned: success
                          type: int
                        delay_ns:
                          description: Nanoseconds that were waited.
                          returned: success
                          type: int
                    contentions:
                      description: All of them.
                      returned: success
                      type: int
                    delay_ns:
                      description: Nanoseconds that were waited.
                      returned: success
                      type: int
                block:
                  description: Waiting for channels and locks.
                  returned: success
                  type: dict
                  contains:
                    samples:
                      description: Stacks that were recorded.
                      returned: success
                      type: int
                    sites:
                      description: The lines that waited most.
                      returned: success
                      type: list
                      elements: dict
                      contains:
                        function:
                          description: Its function.
                          returned: success
                          type: str
                        file:
                          description: Its file.
                          returned: success
                          type: str
                        line:
                          description: Its line.
                          returned: success
                          type: int
                        origin:
                          description: V(own), V(dependency), V(std) or V(runtime).
                          returned: success
                          type: str
                        caller:
                          description:
                            - Function, file, line and origin of the first own code above it, of the stacks with the most.
                            - Null where there is none.
                          returned: success
                          type: list
                          elements: raw
                        contentions:
                          description: How often.
                          returned: success
                          type: int
                        delay_ns:
                          description: Nanoseconds that were waited.
                          returned: success
                          type: int
                    contentions:
                      description: All of them.
                      returned: success
                      type: int
                    delay_ns:
                      description: Nanoseconds that were waited.
                      returned: success
                      type: int
                threads:
                  description: Threads that the runtime has made.
                  returned: success
                  type: int
                cpu:
                  description: The CPU profile.
                  returned: success
                  type: dict
                  contains:
                    duration_ns:
                      description: Nanoseconds that it took.
                      returned: success
                      type: int
                    period:
                      description: Nanoseconds between two samples.
                      returned: success
                      type: int
                    samples:
                      description: Samples.
                      returned: success
                      type: int
                    sites:
                      description: The lines that took most.
                      returned: success
                      type: list
                      elements: dict
                      contains:
                        function:
                          description: Its function.
                          returned: success
                          type: str
                        file:
                          description: Its file.
                          returned: success
                          type: str
                        line:
                          description: Its line.
                          returned: success
                          type: int
                        origin:
                          description: V(own), V(dependency), V(std) or V(runtime).
                          returned: success
                          type: str
                        caller:
                          description:
                            - Function, file, line and origin of the first own code above it, of the stacks with the most.
                            - Null where there is none.
                          returned: success
                          type: list
                          elements: raw
                        flat_ns:
                          description: Nanoseconds in itself.
                          returned: success
                          type: int
                        cum_ns:
                          description: Nanoseconds with what it called.
                          returned: success
                          type: int
                metrics:
                  description: The page of metrics.
                  returned: success
                  type: dict
                  contains:
                    url:
                      description: Where it is.
                      returned: success
                      type: str
                    families:
                      description: What it says of the Go runtime, by the families' names.
                      returned: success
                      type: dict
                profiles:
                  description: The profiles that came.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    kind:
                      description: What it is.
                      returned: success
                      type: str
                    file:
                      description: Its name in RV(profiles). Null where it is not there.
                      returned: success
                      type: str
                    bytes:
                      description: Its size.
                      returned: success
                      type: int
                    valid:
                      description: Whether it could be decoded.
                      returned: success
                      type: bool
                    error:
                      description: Why not, or why it is not in RV(profiles).
                      returned: success
                      type: str
                    sample_types:
                      description: Names and units of its values.
                      returned: success
                      type: list
                      elements: list
                    totals:
                      description: Sums of its values by their names.
                      returned: success
                      type: dict
                    samples:
                      description: Number of its samples.
                      returned: success
                      type: int
                    duration_ns:
                      description: Nanoseconds that it covers.
                      returned: success
                      type: int
                    period:
                      description: Its period.
                      returned: success
                      type: int
    probes:
      description: The answers to O(probes) by their C(id). Each has C(kind), C(ok), C(error), C(ms) and the keys of its kind.
      returned: success
      type: dict
profiles:
  description: The profiles of O(runtime.raw) as the services sent them, 16 MiB at most.
  returned: with V(runtime) in O(subsets)
  type: list
  elements: dict
  contains:
    service:
      description: Name of the service.
      returned: success
      type: str
    container:
      description: The container it is in.
      returned: success
      type: dict
      contains:
        runtime:
          description: What runs it.
          returned: success
          type: str
        id:
          description: Its id.
          returned: success
          type: str
    pid:
      description: Its process.
      returned: success
      type: int
    listener:
      description: Where it was asked.
      returned: success
      type: dict
      contains:
        proto:
          description: V(tcp), V(tcp6) or V(unix).
          returned: success
          type: str
        address:
          description: Address.
          returned: success
          type: str
        port:
          description: Port.
          returned: success
          type: int
        path:
          description: Path of a unix socket.
          returned: success
          type: str
    prefix:
      description: What the path has before C(/debug/pprof/).
      returned: success
      type: str
    kind:
      description: What it is.
      returned: success
      type: str
    phase:
      description: Phase of the take.
      returned: success
      type: str
    file:
      description: A name for it.
      returned: success
      type: str
    data:
      description: The file, in base64.
      returned: success
      type: str
"""

from typing import Any, Dict, List, Mapping, Sequence, Tuple  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

from ansible_collections.goready.preflight.plugins.module_utils import collecting, emulator, redact  # noqa: E402
from ansible_collections.goready.preflight.plugins.module_utils.collect import (  # noqa: E402
    host, modules, network, pprof, services, toolchain,
)

SUBSETS = {
    "host": host.PARTS,
    "toolchain": toolchain.PARTS,
    "modules": modules.PARTS,
    "services": services.PARTS,
    "pprof": pprof.PARTS,
    "network": network.PARTS,
}
#: What the subset "runtime" asks for, in its order. It is imported only where it is wanted.
KINDS = ("heap", "goroutine", "dump", "allocs", "mutex", "block", "threadcreate", "cpu", "metrics", "goroutineleak")
#: Those that try something, each with its parts. They too are imported only where they are wanted.
ACTIVE = ("connections", "sample", "pools", "wall", "databases", "timeouts", "proxies", "build")
#: While one watches, nothing else is done on the host: what compiles comes last.
_WINDOW = ("connections", "sample", "pools", "wall", "databases")
_BEFORE = ("host", "services", "pprof", "runtime", "network", "toolchain", "modules")
AFTER: Dict[str, Sequence[str]] = {
    "pprof": ("services",), "modules": ("toolchain",), "runtime": ("pprof",),
    **{name: _BEFORE for name in _WINDOW},
    "timeouts": (*_BEFORE, *_WINDOW), "proxies": (*_BEFORE, *_WINDOW, "timeouts"),
    "build": (*_BEFORE, *_WINDOW, "timeouts", "proxies"),
}
#: An emulated host takes this many times as long.
EMULATED = 6
#: Seconds beyond the budget, in which what was begun within it is ended and taken back.
SLACK = 10.0


class ReadOnlyModule(AnsibleModule):  # type: ignore[misc]
    """AnsibleModule writes its arguments to the host's log: that would be the one thing this module writes, and the
    headers of probes may hold credentials."""

    def _log_invocation(self) -> None:
        return


def read(params: Mapping[str, Any]) -> Dict[str, Any]:
    """The facts document for validated module arguments. ValueError for a bad option of ``runtime``."""
    return read_all(params)[0]


def read_all(params: Mapping[str, Any]) -> Tuple[Dict[str, Any], List[Dict[str, Any]]]:
    """The facts document, and the profiles that stay outside of it."""
    wanted = set(params["subsets"])
    options = params.get("runtime") or {}
    if "runtime" in wanted and not options.get("targets"):
        wanted.add("pprof")
    if {"connections", "sample", "pools", "wall", "timeouts", "pprof"} & wanted:
        wanted.add("services")
    if "proxies" in wanted:
        wanted.add("modules")
    if {"modules", "build"} & wanted:
        wanted.add("toolchain")
    parts: Dict[str, List[Any]] = {name: list(SUBSETS[name]) for name in SUBSETS if name in wanted}
    extra: Dict[str, float] = {}
    # Most hosts are asked none, and every import is compiled anew on every host.
    if "runtime" in wanted:
        from ansible_collections.goready.preflight.plugins.module_utils.collect import runtime

        seconds = runtime.Options.of(options).seconds + 1
        parts["runtime"] = [("endpoints", runtime.endpoints, seconds)]
        extra["runtime"] = seconds
    if params["probes"]:
        from ansible_collections.goready.preflight.plugins.module_utils.collect import probes

        parts["probes"] = [("answers", probes.collect, float(params["timeout"]))]
    context = collecting.Context(
        services=params["services"], probes=params["probes"], timeout=float(params["timeout"]),
        toolchain=params["toolchain"], build_user=params["build_user"], runtime=options,
        credentials=params.get("credentials") or (), extra=extra, active=params.get("active") or {},
    )
    tried = [name for name in ACTIVE if name in wanted]
    if tried:
        if emulator.is_emulator(host.running(context)):
            context.slow_down(EMULATED)
        for name in tried:
            parts[name] = [(part[0], part[1], context.budget.seconds + SLACK) for part in _active_parts(name)]
            context.extra[name] = extra.get("runtime", 0.0) + context.budget.seconds + SLACK
    facts = collecting.document(parts, context, AFTER)
    facts["probes"] = facts.get("probes", {}).get("answers", {})
    return facts, list(context.shared.get("runtime.profiles") or ())


def _active_parts(name: str) -> Sequence[Any]:
    """The parts of a subset that tries something. Ansible sends to a host what an import statement names, wherever it stands."""
    if name == "connections":
        from ansible_collections.goready.preflight.plugins.module_utils.collect import connections

        return connections.PARTS
    if name == "sample":
        from ansible_collections.goready.preflight.plugins.module_utils.collect import sample

        return sample.PARTS
    if name == "pools":
        from ansible_collections.goready.preflight.plugins.module_utils.collect import pools

        return pools.PARTS
    if name == "wall":
        from ansible_collections.goready.preflight.plugins.module_utils.collect import wall

        return wall.PARTS
    if name == "databases":
        from ansible_collections.goready.preflight.plugins.module_utils.collect import databases

        return databases.PARTS
    if name == "timeouts":
        from ansible_collections.goready.preflight.plugins.module_utils.collect import timeouts

        return timeouts.PARTS
    if name == "proxies":
        from ansible_collections.goready.preflight.plugins.module_utils.collect import proxies

        return proxies.PARTS
    if name == "build":
        from ansible_collections.goready.preflight.plugins.module_utils.collect import build

        return build.PARTS
    raise ValueError("%s is no subset" % name)


def main() -> None:
    module = ReadOnlyModule(
        argument_spec={
            "subsets": {"type": "list", "elements": "str", "choices": [*SUBSETS, "runtime", *ACTIVE], "default": list(SUBSETS)},
            "services": {"type": "list", "elements": "dict", "default": []},
            "toolchain": {"type": "str", "choices": ["required", "optional", "absent"], "default": "optional"},
            "probes": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "int", "default": 30},
            "build_user": {"type": "str", "default": ""},
            "runtime": {"type": "dict", "default": {}, "options": {
                "phase": {"type": "str", "choices": ["once", "idle", "load", "after"], "default": "once"},
                "kinds": {"type": "list", "elements": "str", "choices": list(KINDS),
                          "default": [kind for kind in KINDS if kind != "cpu"]},
                "dump_limit": {"type": "int", "default": 2000},
                "leak_limit": {"type": "int", "default": 50000},
                "cpu_seconds": {"type": "int", "default": 10},
                "gc": {"type": "bool", "default": False},
                "budget": {"type": "int", "default": 20},
                "profile_limit": {"type": "int", "default": 4 << 20},
                "raw": {"type": "list", "elements": "str", "default": []},
                "targets": {"type": "list", "elements": "dict", "default": []},
            }},
            "active": {"type": "dict", "default": {}, "options": {
                "budget": {"type": "int", "default": 60},
                "profile": {"type": "str", "choices": ["standard", "deep"], "default": "standard"},
                "build": {"type": "dict", "default": {}},
                "proxy": {"type": "dict", "default": {}},
                "network": {"type": "dict", "default": {}},
                "databases": {"type": "list", "elements": "dict", "default": []},
            }},
            "credentials": {"type": "list", "elements": "dict", "default": [], "options": {
                "service": {"type": "str", "required": True},
                "username": {"type": "str"},
                "password": {"type": "str", "no_log": True},
                "token": {"type": "str", "no_log": True},
                "ca_file": {"type": "path"},
                "validate_certs": {"type": "bool", "default": True},
            }},
        },
        supports_check_mode=True,
    )
    if not 1 <= module.params["timeout"] <= 3600:
        _forget(module)
        module.fail_json(msg="timeout: %d is not from 1 to 3600 seconds" % module.params["timeout"])
    if not 1 <= module.params["active"]["budget"] <= 3600:
        _forget(module)
        module.fail_json(msg="active: budget: %d is not from 1 to 3600 seconds" % module.params["active"]["budget"])
    try:
        facts, profiles = read_all(module.params)
    except ValueError as exc:
        _forget(module)
        module.fail_json(msg="runtime: %s" % exc)
    _forget(module)
    # A profile can only be returned as it is where it was asked for.
    module.exit_json(changed=False, facts=facts, **({"profiles": profiles} if "runtime" in module.params["subsets"] else {}))


def _forget(module: AnsibleModule) -> None:
    """Take the credentials out of what AnsibleModule echoes, and its search for them out of what is returned.

    That search replaces every occurrence in every text: a password like "main" would destroy the functions' names and, being
    found by chance, the profiles' base64. The collector gives none of them away: they are in no value that it returns.
    """
    for one in module.params["credentials"]:
        for key in ("password", "token"):
            if one.get(key) is not None:
                one[key] = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    # A URL may have a user and password in it.
    module.params["services"] = [{key: redact.redact_url(value) if isinstance(value, str) else value for key, value in one.items()}
                                 for one in module.params["services"]]
    module.no_log_values.clear()


if __name__ == "__main__":
    main()
