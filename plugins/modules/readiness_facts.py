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
    choices: [host, toolchain, modules, services, pprof, network, runtime, connections, sample, pools, wall, databases, timeouts,
              proxies, build]
    default: [host, toolchain, modules, services, pprof, network]
  services:
    description:
      - The services that the host should run, as C(preflight_services) declares them.
      - The keys C(name), C(unit), C(binary), C(pprof), C(health), C(metrics) and C(depends_on) are used here. Others are for the
        judgement and are ignored.
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
      - How to be let in to the pprof and the metrics of services, and to databases. They are used for the declared endpoint of a
        service; where none is declared, for the one that asks.
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
    proxies:
      description: What the module proxies answered. Missing where it was not asked for.
      returned: with V(proxies) in O(subsets)
      type: dict
      contains:
        chains:
          description: One entry for each distinct way to get modules.
          returned: success
          type: list
          elements: dict
          contains:
            settings:
              description: The shells that have it.
              returned: success
              type: list
              elements: dict
              contains:
                kind:
                  description: Kind of the shell.
                  returned: success
                  type: str
                user:
                  description: Its user.
                  returned: success
                  type: str
            user:
              description: The first of their users.
              returned: success
              type: str
            go:
              description: Whether one of these shells finds a go.
              returned: success
              type: bool
            value:
              description: GOPROXY.
              returned: success
              type: str
            implicit:
              description: Whether only go's own default says so.
              returned: success
              type: bool
            goauth:
              description: V(netrc), V(off), or V(program) where go would run one.
              returned: success
              type: str
            error:
              description: Why go refuses the list.
              returned: success
              type: dict
              contains:
                kind:
                  description: What kind of failure, see docs/facts.md.
                  returned: success
                  type: str
                message:
                  description: One sentence.
                  returned: success
                  type: str
            modules:
              description: The declared modules.
              returned: success
              type: list
              elements: dict
              contains:
                path:
                  description: Its path.
                  returned: success
                  type: str
                version:
                  description: Its version.
                  returned: success
                  type: str
                private:
                  description: Who says that it is private.
                  returned: success
                  type: str
                direct:
                  description: Whether GONOPROXY covers it.
                  returned: success
                  type: bool
            entries:
              description: The entries of the list in their order.
              returned: success
              type: list
              elements: dict
              contains:
                url:
                  description: The URL, V(direct) or V(off).
                  returned: success
                  type: str
                separator:
                  description: What stands behind it.
                  returned: success
                  type: str
                kind:
                  description: V(proxy), V(file), V(direct) or V(off).
                  returned: success
                  type: str
                public:
                  description: Whether everybody may ask it.
                  returned: success
                  type: bool
                via:
                  description: The HTTP proxy that it is asked through.
                  returned: success
                  type: str
                asked:
                  description: Whether it was asked.
                  returned: success
                  type: bool
                not_asked:
                  description: Why not.
                  returned: success
                  type: str
                requests:
                  description: What it was asked, in order.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    what:
                      description: V(list), V(info), V(mod), V(zip), V(latest), V(sumdb), V(lookup) or V(tree).
                      returned: success
                      type: str
                    module:
                      description: The module, with its version where it was declared.
                      returned: success
                      type: str
                    path:
                      description: What was asked for, below the URL.
                      returned: success
                      type: str
                    status:
                      description: The HTTP status, or V(null).
                      returned: success
                      type: int
                    bytes:
                      description: Size of the answer.
                      returned: success
                      type: int
                    redirects:
                      description: How many were followed.
                      returned: success
                      type: int
                    phases:
                      description: What it took. Connecting only where a connection was made.
                      returned: success
                      type: dict
                      contains:
                        dns:
                          description: Milliseconds for the name.
                          returned: success
                          type: float
                        connect:
                          description: Milliseconds to connect.
                          returned: success
                          type: float
                        tls:
                          description: Milliseconds for the handshake.
                          returned: success
                          type: float
                        first_byte:
                          description: Milliseconds from the request to the first byte.
                          returned: success
                          type: float
                        total:
                          description: Milliseconds for all of it.
                          returned: success
                          type: float
                    outcome:
                      description: V(ok), V(not_found) or V(error).
                      returned: success
                      type: str
                    error:
                      description: Why it failed.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: What kind of failure, see docs/facts.md.
                          returned: success
                          type: str
                        message:
                          description: One sentence.
                          returned: success
                          type: str
                    via:
                      description: The HTTP proxy.
                      returned: success
                      type: str
                    unhashed:
                      description: Why a zip was not hashed.
                      returned: success
                      type: str
                hashes:
                  description: What it gave, as go.sum writes it.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    module:
                      description: The module.
                      returned: success
                      type: str
                    what:
                      description: V(zip) or V(mod).
                      returned: success
                      type: str
                    found:
                      description: The hash of what it gave.
                      returned: success
                      type: str
                    expected:
                      description: What it should be, V(null) where nobody says so.
                      returned: success
                      type: str
                    ok:
                      description: Whether they are the same.
                      returned: success
                      type: bool
                    from:
                      description: Who says so, the checksum database or another proxy.
                      returned: success
                      type: str
                load:
                  description: Many requests for one file.
                  returned: success
                  type: dict
                  contains:
                    path:
                      description: The file.
                      returned: success
                      type: str
                    status:
                      description: The status that is right.
                      returned: success
                      type: int
                    wanted:
                      description: How many requests were to be made.
                      returned: success
                      type: int
                    requests:
                      description: How many were.
                      returned: success
                      type: int
                    ok:
                      description: How many were answered so.
                      returned: success
                      type: int
                    concurrency:
                      description: How many at once.
                      returned: success
                      type: int
                    connections:
                      description: How many connections were made.
                      returned: success
                      type: int
                    seconds:
                      description: How long it took.
                      returned: success
                      type: float
                    errors:
                      description: The others, by kind.
                      returned: success
                      type: dict
                    ms:
                      description: Milliseconds of those that were answered.
                      returned: success
                      type: dict
                      contains:
                        min:
                          description: Least.
                          returned: success
                          type: float
                        median:
                          description: Median.
                          returned: success
                          type: float
                        p95:
                          description: 95th percentile by nearest rank.
                          returned: success
                          type: float
                        max:
                          description: Most.
                          returned: success
                          type: float
                    slowest:
                      description: The five that took longest.
                      returned: success
                      type: list
                      elements: float
                    error:
                      description: Why there were fewer.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: What kind of failure, see docs/facts.md.
                          returned: success
                          type: str
                        message:
                          description: One sentence.
                          returned: success
                          type: str
            sumdb:
              description: The way to the checksum database.
              returned: success
              type: dict
              contains:
                name:
                  description: Its name.
                  returned: success
                  type: str
                url:
                  description: Where it is.
                  returned: success
                  type: str
                via_proxy:
                  description: Whether a module proxy carries it.
                  returned: success
                  type: bool
                asked:
                  description: Whether it was asked.
                  returned: success
                  type: bool
                not_asked:
                  description: Why not.
                  returned: success
                  type: str
                requests:
                  description: What was asked.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    what:
                      description: V(list), V(info), V(mod), V(zip), V(latest), V(sumdb), V(lookup) or V(tree).
                      returned: success
                      type: str
                    module:
                      description: The module, with its version where it was declared.
                      returned: success
                      type: str
                    path:
                      description: What was asked for, below the URL.
                      returned: success
                      type: str
                    status:
                      description: The HTTP status, or V(null).
                      returned: success
                      type: int
                    bytes:
                      description: Size of the answer.
                      returned: success
                      type: int
                    redirects:
                      description: How many were followed.
                      returned: success
                      type: int
                    phases:
                      description: What it took. Connecting only where a connection was made.
                      returned: success
                      type: dict
                      contains:
                        dns:
                          description: Milliseconds for the name.
                          returned: success
                          type: float
                        connect:
                          description: Milliseconds to connect.
                          returned: success
                          type: float
                        tls:
                          description: Milliseconds for the handshake.
                          returned: success
                          type: float
                        first_byte:
                          description: Milliseconds from the request to the first byte.
                          returned: success
                          type: float
                        total:
                          description: Milliseconds for all of it.
                          returned: success
                          type: float
                    outcome:
                      description: V(ok), V(not_found) or V(error).
                      returned: success
                      type: str
                    error:
                      description: Why it failed.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: What kind of failure, see docs/facts.md.
                          returned: success
                          type: str
                        message:
                          description: One sentence.
                          returned: success
                          type: str
                    via:
                      description: The HTTP proxy.
                      returned: success
                      type: str
                    unhashed:
                      description: Why a zip was not hashed.
                      returned: success
                      type: str
                error:
                  description: Why there is no way to it.
                  returned: success
                  type: dict
                  contains:
                    kind:
                      description: What kind of failure, see docs/facts.md.
                      returned: success
                      type: str
                    message:
                      description: One sentence.
                      returned: success
                      type: str
            private:
              description: What nobody else may hear of, and whom go would ask. Nobody was asked.
              returned: success
              type: list
              elements: dict
              contains:
                path:
                  description: The path or pattern.
                  returned: success
                  type: str
                why:
                  description: Who says that it is private.
                  returned: success
                  type: str
                asked_of:
                  description: Whom go would ask.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    url:
                      description: The proxy, or the database's name.
                      returned: success
                      type: str
                    what:
                      description: V(proxy) or V(sumdb).
                      returned: success
                      type: str
                    public:
                      description: Whether everybody may ask it.
                      returned: success
                      type: bool
        downloads:
          description: What go downloaded.
          returned: success
          type: list
          elements: dict
          contains:
            user:
              description: The user it was done as.
              returned: success
              type: str
            go:
              description: The go.
              returned: success
              type: str
            module:
              description: The module with its version.
              returned: success
              type: str
            value:
              description: GOPROXY.
              returned: success
              type: str
            rc:
              description: Its status, V(null) where it did not come to its end.
              returned: success
              type: int
            seconds:
              description: How long it took.
              returned: success
              type: float
            bytes:
              description: What it put into the folder.
              returned: success
              type: int
            sum:
              description: The hash of the module.
              returned: success
              type: str
            mod_sum:
              description: The hash of its go.mod.
              returned: success
              type: str
            output:
              description: What it said, where it failed.
              returned: success
              type: list
              elements: str
            error:
              description: Why it was not done, or ended.
              returned: success
              type: dict
              contains:
                kind:
                  description: What kind of failure, see docs/facts.md.
                  returned: success
                  type: str
                message:
                  description: One sentence.
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
    pools:
      description: Subset C(pools). The services' metrics pages, each read at the begin and at the end of the window.
      returned: success
      type: dict
      contains:
        services:
          description: One entry a page.
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
              description: The process behind the page, V(null) where it is not known.
              returned: success
              type: int
            url:
              description: Where the page is, without credentials.
              returned: success
              type: str
            declared:
              description: Whether the service declares it.
              returned: success
              type: bool
            seconds:
              description: Seconds between the two readings, 0 with an error.
              returned: success
              type: float
            clock:
              description: Seconds since the host's boot at the first reading.
              returned: success
              type: float
            error:
              description: Why there are no differences.
              returned: success
              type: dict
              contains:
                kind:
                  description: V(status), V(unauthorized), V(restarted), V(budget) and others.
                  returned: success
                  type: str
                message:
                  description: What happened.
                  returned: success
                  type: str
            pools:
              description: The connection pools that the page tells of.
              returned: success
              type: list
              elements: dict
              contains:
                name:
                  description: Its label C(db_name).
                  returned: success
                  type: str
                max_open:
                  description: Upper bound of its connections, 0 where there is none.
                  returned: success
                  type: int
                open:
                  description: Connections, the higher one of both readings.
                  returned: success
                  type: int
                in_use:
                  description: Those in use.
                  returned: success
                  type: int
                idle:
                  description: Those that are idle.
                  returned: success
                  type: int
                full:
                  description: Whether every connection was in use at both readings.
                  returned: success
                  type: bool
                waits:
                  description: Requests that began to wait for a connection.
                  returned: success
                  type: int
                wait_seconds:
                  description: Seconds that those waited whose waiting ended.
                  returned: success
                  type: float
                closed:
                  description: Connections that were closed, by the reason.
                  returned: success
                  type: dict
                  contains:
                    max_idle:
                      description: SetMaxIdleConns.
                      returned: success
                      type: int
                    max_idle_time:
                      description: SetConnMaxIdleTime.
                      returned: success
                      type: int
                    max_lifetime:
                      description: SetConnMaxLifetime.
                      returned: success
                      type: int
            http:
              description: Requests that the service answered.
              returned: success
              type: dict
              contains:
                requests:
                  description: How many.
                  returned: success
                  type: int
                seconds:
                  description: How long they took together.
                  returned: success
                  type: float
                family:
                  description: The metrics that say so.
                  returned: success
                  type: str
            gc:
              description: Garbage collections.
              returned: success
              type: dict
              contains:
                pauses:
                  description: How many.
                  returned: success
                  type: int
                pause_seconds:
                  description: How long everything stood still.
                  returned: success
                  type: float
                cpu_seconds:
                  description: CPU time that they took.
                  returned: success
                  type: float
                assist_seconds:
                  description: The part of it that requests did.
                  returned: success
                  type: float
                cpu_fraction:
                  description: Its share of the CPU time that GOMAXPROCS allows.
                  returned: success
                  type: float
            mutex_wait_seconds:
              description: Seconds that goroutines waited for mutexes.
              returned: success
              type: float
            sched_latency:
              description: How long goroutines that could run waited for a thread.
              returned: success
              type: dict
              contains:
                count:
                  description: How many.
                  returned: success
                  type: int
                median:
                  description: Milliseconds.
                  returned: success
                  type: float
                p99:
                  description: Milliseconds.
                  returned: success
                  type: float
            goroutines:
              description: Goroutines, the higher one of both readings.
              returned: success
              type: int
            fds:
              description: File descriptors.
              returned: success
              type: dict
              contains:
                open:
                  description: Open ones, the higher one of both readings.
                  returned: success
                  type: int
                max:
                  description: Their soft limit.
                  returned: success
                  type: int
    wall:
      description: Subset C(wall). Several looks at the goroutines of each service within the window.
      returned: success
      type: dict
      contains:
        endpoints:
          description: One entry an endpoint of RV(facts.runtime) that gave a take.
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
              description: Seconds since boot at which it began.
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
            prefix:
              description: What its path has before /debug.
              returned: success
              type: str
            seconds:
              description: Seconds from the first look to the last.
              returned: success
              type: float
            groups:
              description: Goroutines with equal stacks by their fingerprint, each with C(class), C(frames), C(wait) and C(server).
              returned: success
              type: dict
            samples:
              description: The looks, in their order.
              returned: success
              type: list
              elements: dict
              contains:
                clock:
                  description: Seconds since boot.
                  returned: success
                  type: float
                total:
                  description: How many goroutines there were.
                  returned: success
                  type: int
                counts:
                  description: How many of each group.
                  returned: success
                  type: dict
            mutex:
              description: How much waiting for locks the window brought. Null where the service samples none.
              returned: success
              type: dict
              contains:
                seconds:
                  description: Length of the window.
                  returned: success
                  type: float
                period:
                  description: One of so many contentions is recorded.
                  returned: success
                  type: int
                contentions:
                  description: How often somebody waited.
                  returned: success
                  type: int
                delay_ns:
                  description: Nanoseconds of all waiting.
                  returned: success
                  type: int
                sites:
                  description: The lines outside of sync that held the locks, those that cost most first.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    function:
                      description: Its name.
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
                        - The first own code above it that is another function, as function, file, line and origin.
                        - Null where there is none.
                      returned: success
                      type: list
                      elements: raw
                    contentions:
                      description: How often others waited for it in the window.
                      returned: success
                      type: int
                    delay_ns:
                      description: Nanoseconds that they waited together.
                      returned: success
                      type: int
            error:
              description: Why there is no sample, or why there are not more.
              returned: success
              type: dict
              contains:
                kind:
                  description: Kind of the failure.
                  returned: success
                  type: str
                message:
                  description: What happened.
                  returned: success
                  type: str
    connections:
      description: Subset C(connections), see docs/network.md.
      returned: success
      type: dict
      contains:
        resolver:
          description: How this host looks up names.
          returned: success
          type: dict
          contains:
            nameservers:
              description: Of resolv.conf, at most three.
              returned: success
              type: list
              elements: str
            search:
              description: Search domains.
              returned: success
              type: list
              elements: str
            ndots:
              description: Dots from which on a name is tried as it is first.
              returned: success
              type: int
            timeout:
              description: Seconds that a nameserver is waited for.
              returned: success
              type: int
            attempts:
              description: How often all of them are asked.
              returned: success
              type: int
            options:
              description: Other options.
              returned: success
              type: list
              elements: str
            nsswitch:
              description: The line hosts of nsswitch.conf.
              returned: success
              type: str
            source:
              description: The file, empty where there is none.
              returned: success
              type: str
            link:
              description: Where it leads, if it is a link.
              returned: success
              type: str
        endpoints:
          description: One entry a distinct URL of C(depends_on) and C(health).
          returned: success
          type: list
          elements: dict
          contains:
            services:
              description: The services that declare it.
              returned: success
              type: list
              elements: str
            role:
              description: V(depends_on), V(health) or both.
              returned: success
              type: list
              elements: str
            url:
              description: The URL without credentials.
              returned: success
              type: str
            scheme:
              description: Its scheme.
              returned: success
              type: str
            host:
              description: Its host.
              returned: success
              type: str
            port:
              description: Its port.
              returned: success
              type: int
            path:
              description: Path of the request, empty where none is made.
              returned: success
              type: str
            unix:
              description: Path of the socket.
              returned: success
              type: str
            samples:
              description: Connections that were wanted to each address.
              returned: success
              type: int
            dns:
              description: Look-ups of its name, V(null) for an address or a socket.
              returned: success
              type: dict
              contains:
                name:
                  description: The name.
                  returned: success
                  type: str
                cold:
                  description: Milliseconds of the first look-up.
                  returned: success
                  type: float
                warm:
                  description: Milliseconds of the later ones.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
                asked:
                  description: How many later ones were made.
                  returned: success
                  type: int
                failed:
                  description: How many of them brought nothing.
                  returned: success
                  type: int
                addresses:
                  description: Addresses in the order in which a client tries them.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    address:
                      description: Address.
                      returned: success
                      type: str
                    family:
                      description: V(inet) or V(inet6).
                      returned: success
                      type: str
                left_out:
                  description: Addresses beyond the first eight.
                  returned: success
                  type: int
                error:
                  description: Why the first look-up brought nothing.
                  returned: success
                  type: dict
                  contains:
                    kind:
                      description: Kind of the failure.
                      returned: success
                      type: str
                    message:
                      description: What happened.
                      returned: success
                      type: str
                queries:
                  description: Each nameserver asked for the name by itself.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    server:
                      description: Its address.
                      returned: success
                      type: str
                    ms:
                      description: Milliseconds of its answer.
                      returned: success
                      type: float
                    answer:
                      description: Its code, for instance V(NOERROR) or V(NXDOMAIN).
                      returned: success
                      type: str
                    error:
                      description: Why there is none.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: Kind of the failure.
                          returned: success
                          type: str
                        message:
                          description: What happened.
                          returned: success
                          type: str
            addresses:
              description: Each address by itself.
              returned: success
              type: list
              elements: dict
              contains:
                address:
                  description: Address, or path of the socket.
                  returned: success
                  type: str
                family:
                  description: V(inet), V(inet6) or V(unix).
                  returned: success
                  type: str
                routed:
                  description: Whether the host has a route to it; without one it is not asked.
                  returned: success
                  type: bool
                asked:
                  description: Connections that were tried.
                  returned: success
                  type: int
                ok:
                  description: Connections that were good.
                  returned: success
                  type: int
                errors:
                  description: Failures by phase and kind.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    phase:
                      description: C(dns), C(connect), C(tls) or C(first_byte), V(null) where it was not tried.
                      returned: success
                      type: str
                    kind:
                      description: Kind of the failure.
                      returned: success
                      type: str
                    message:
                      description: What happened.
                      returned: success
                      type: str
                    count:
                      description: How often.
                      returned: success
                      type: int
                connect:
                  description: Milliseconds of the TCP connect.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
                tls:
                  description: Milliseconds of the TLS handshake.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
                first_byte:
                  description: Milliseconds from the request to the first byte.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
                total:
                  description: Milliseconds of all of it.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
                status:
                  description: The last HTTP status.
                  returned: success
                  type: int
                statuses:
                  description: How often each HTTP status came, by its number.
                  returned: success
                  type: dict
                redirects:
                  description: Where the answer led to.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    status:
                      description: Status of the answer that led there.
                      returned: success
                      type: int
                    to:
                      description: URL, without credentials.
                      returned: success
                      type: str
                    followed:
                      description: Whether it was asked.
                      returned: success
                      type: bool
                    reason:
                      description: Why it was not, or what it failed with.
                      returned: success
                      type: str
                    answer:
                      description: Status that came from there.
                      returned: success
                      type: int
                    ms:
                      description: Milliseconds that took.
                      returned: success
                      type: int
                certificate:
                  description: What the server showed.
                  returned: success
                  type: dict
                  contains:
                    subject:
                      description: Whom it names.
                      returned: success
                      type: str
                    issuer:
                      description: Who issued it.
                      returned: success
                      type: str
                    not_before:
                      description: RFC 3339 time from which it is valid.
                      returned: success
                      type: str
                    not_after:
                      description: RFC 3339 time until which it is valid.
                      returned: success
                      type: str
                    names:
                      description: DNS names and addresses of subjectAltName.
                      returned: success
                      type: list
                      elements: str
                    self_signed:
                      description: Whether it names itself as its issuer.
                      returned: success
                      type: bool
                protocol:
                  description: Version of TLS.
                  returned: success
                  type: str
                chain:
                  description: Whether this host, or C(ca_file), trusts who signed it.
                  returned: success
                  type: dict
                  contains:
                    ok:
                      description: Whether it is good, V(null) where nobody looked.
                      returned: success
                      type: bool
                    error:
                      description: What is wrong with it.
                      returned: success
                      type: str
                    code:
                      description: Number of the reason in OpenSSL.
                      returned: success
                      type: int
                name:
                  description: Whether it is for this host name.
                  returned: success
                  type: dict
                  contains:
                    ok:
                      description: Whether it is good, V(null) where nobody looked.
                      returned: success
                      type: bool
                    error:
                      description: What is wrong with it.
                      returned: success
                      type: str
            phases:
              description: Milliseconds of each phase to the first address that is good, V(null) where none is.
              returned: success
              type: dict
              contains:
                dns:
                  description: Of a later look-up.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
                connect:
                  description: Milliseconds of the TCP connect.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
                tls:
                  description: Milliseconds of the TLS handshake.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
                first_byte:
                  description: Milliseconds from the request to the first byte.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
                total:
                  description: Milliseconds of all of it.
                  returned: success
                  type: dict
                  contains:
                    min:
                      description: The fastest.
                      returned: success
                      type: float
                    median:
                      description: Half of them were not slower.
                      returned: success
                      type: float
                    p95:
                      description: Of every 20 of them 19 were not slower.
                      returned: success
                      type: float
            slowest:
              description: Milliseconds of the slowest connection among these.
              returned: success
              type: dict
              contains:
                dns:
                  description: Of the look-up.
                  returned: success
                  type: float
                connect:
                  description: Of the TCP connect.
                  returned: success
                  type: float
                tls:
                  description: Of the TLS handshake.
                  returned: success
                  type: float
                first_byte:
                  description: From the request to the first byte.
                  returned: success
                  type: float
                total:
                  description: Of all of it.
                  returned: success
                  type: float
            greeting:
              description: Whether the server spoke without being asked, or answered a question of its protocol.
              returned: success
              type: bool
            error:
              description: Why no connection was good.
              returned: success
              type: dict
              contains:
                phase:
                  description: C(dns), C(connect), C(tls) or C(first_byte), V(null) where it was not tried.
                  returned: success
                  type: str
                kind:
                  description: Kind of the failure.
                  returned: success
                  type: str
                message:
                  description: What happened.
                  returned: success
                  type: str
    sample:
      description: Subset C(sample).
      returned: success
      type: dict
      contains:
        kernel:
          description: What the kernel counted in the module's network namespace.
          returned: success
          type: dict
          contains:
            seconds:
              description: Length of the window.
              returned: success
              type: float
            wanted:
              description: What was asked for.
              returned: success
              type: float
            services:
              description: Names of the services in this network namespace.
              returned: success
              type: list
              elements: str
            tcp:
              description: Growth of TCP's counters, by the kernel's names.
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
                drops:
                  description: Growth of the packets dropped.
                  returned: success
                  type: int
                early_drops:
                  description: Growth of the entries dropped to make room.
                  returned: success
                  type: int
                insert_failed:
                  description: Growth of the entries that clashed.
                  returned: success
                  type: int
            sockets:
              description: TCP sockets at the end.
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
                  description: In TIME-WAIT.
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
                tcp_mem:
                  description: Pages from which the kernel is content, saves, refuses. Null in a container.
                  returned: success
                  type: list
                  elements: int
            tw_reuse:
              description: C(net.ipv4.tcp_tw_reuse).
              returned: success
              type: int
            syncookies:
              description: C(net.ipv4.tcp_syncookies).
              returned: success
              type: int
            port_range:
              description: First and last port of outgoing connections.
              returned: success
              type: list
              elements: int
            reserved_ports:
              description: How many of them are reserved.
              returned: success
              type: int
            complete:
              description: Whether all connections were counted.
              returned: success
              type: bool
            destinations:
              description: The addresses and ports to which connections take most local ports.
              returned: success
              type: list
              elements: dict
              contains:
                address:
                  description: Address.
                  returned: success
                  type: str
                port:
                  description: Port.
                  returned: success
                  type: int
                source:
                  description: Local address from which most of them lead there.
                  returned: success
                  type: str
                ports:
                  description: Local ports that they take from it.
                  returned: success
                  type: int
                established:
                  description: Established.
                  returned: success
                  type: int
                syn_sent:
                  description: Being opened.
                  returned: success
                  type: int
                time_wait:
                  description: In TIME-WAIT.
                  returned: success
                  type: int
                close_wait:
                  description: Closed by the peer alone.
                  returned: success
                  type: int
                closing:
                  description: Being closed.
                  returned: success
                  type: int
                services:
                  description: Names of the services whose connections they are, as far as known.
                  returned: success
                  type: list
                  elements: str
            interfaces:
              description: Growth of the interfaces' counters.
              returned: success
              type: list
              elements: dict
              contains:
                name:
                  description: Name.
                  returned: success
                  type: str
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
            pressure:
              description: >-
                Seconds in which tasks of the whole machine waited for C(cpu), C(io) and C(memory). Null where the
                kernel does not tell.
              returned: success
              type: dict
            namespaces:
              description: The same of each other network namespace with services, with C(pid) of a process in it, or with C(error).
              returned: success
              type: list
              elements: dict
            unreadable:
              description: Services whose network namespace could not be seen.
              returned: success
              type: list
              elements: str
        listeners:
          description: TCP listeners of services, and others whose queue was full or that dropped connections.
          returned: success
          type: list
          elements: dict
          contains:
            service:
              description: Name of the service. Null for another program.
              returned: success
              type: str
            pid:
              description: Its process.
              returned: success
              type: int
            net:
              description: C(pid) of the entry in C(namespaces) that it is in. Null for the module's own.
              returned: success
              type: int
            proto:
              description: V(tcp) or V(tcp6).
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
            backlog:
              description: Longest queue that the kernel keeps. Null where it is not told.
              returned: success
              type: int
            queue:
              description: Connections that waited to be accepted, at each look.
              returned: success
              type: list
              elements: int
            queue_max:
              description: Most of them.
              returned: success
              type: int
            drops:
              description: Growth of its C(sk_drops), where half-open probes count too. Null where it is not told.
              returned: success
              type: int
        services:
          description: Processes of services.
          returned: success
          type: list
          elements: dict
          contains:
            service:
              description: Name of the service.
              returned: success
              type: str
            unit:
              description: Its unit.
              returned: success
              type: str
            pid:
              description: The process.
              returned: success
              type: int
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
            fds:
              description: File descriptors at the end.
              returned: success
              type: dict
              contains:
                open:
                  description: How many are open.
                  returned: success
                  type: int
                soft:
                  description: The soft limit, a number or V(unlimited).
                  returned: success
                  type: raw
            cpu:
              description: CPU time of its control group. Null where it is not readable.
              returned: success
              type: dict
              contains:
                quota:
                  description: CPUs that the quota allows, of the group that held it up most, or the tightest. Null without one.
                  returned: success
                  type: float
                path:
                  description: That group.
                  returned: success
                  type: str
                periods:
                  description: Periods of the quota in the window.
                  returned: success
                  type: int
                throttled_periods:
                  description: Those in which it was used up.
                  returned: success
                  type: int
                throttled_seconds:
                  description: Seconds without CPU for that reason, of all CPUs together.
                  returned: success
                  type: float
                usage_seconds:
                  description: CPU seconds used by the process's own group.
                  returned: success
                  type: float
                seconds:
                  description: Length of the window.
                  returned: success
                  type: float
            sched:
              description: Time of its threads. Null where the kernel does not count it.
              returned: success
              type: dict
              contains:
                wait_seconds:
                  description: Seconds that they could run and waited for a CPU.
                  returned: success
                  type: float
                run_seconds:
                  description: Seconds that they ran.
                  returned: success
                  type: float
            pressure:
              description: >-
                Seconds in which tasks waited for C(cpu), C(io) and C(memory), in C(seconds); C(source) is
                V(cgroup) or V(system).
              returned: success
              type: dict
    databases:
      description: Subset C(databases).
      returned: success
      type: dict
      contains:
        servers:
          description: One entry for each database server.
          returned: success
          type: list
          elements: dict
          contains:
            name:
              description: Its name in C(preflight_databases), else C(host:port/database).
              returned: success
              type: str
            kind:
              description: V(postgres), V(mysql) (MariaDB too) or V(redis) (Valkey too).
              returned: success
              type: str
            url:
              description: Its URL without a password.
              returned: success
              type: str
            place:
              description: Host and port, or the socket.
              returned: success
              type: str
            database:
              description: The database of the URL.
              returned: success
              type: str
            services:
              description: Names of the services that need it.
              returned: success
              type: list
              elements: str
            declared:
              description: Whether C(preflight_databases) names it; else only a C(depends_on) does.
              returned: success
              type: bool
            credentials:
              description: Whether the inventory says how to log in.
              returned: success
              type: bool
            client:
              description: Program or Python driver that asked, V(null) where the host has none.
              returned: success
              type: str
            user:
              description: The user that was given, V(null) where the client chose.
              returned: success
              type: str
            seconds:
              description: How long asking took, with the second that MySQL's and Redis' counters are watched for.
              returned: success
              type: float
            error:
              description: Why it gave nothing.
              returned: success
              type: dict
              contains:
                kind:
                  description:
                    - V(no_client), V(refused), V(resolve), V(timeout), V(unreachable), V(closed), V(tls), V(starting), V(full),
                      V(full_own), V(auth), V(denied), V(forbidden), V(role), V(pooling), V(database), V(failed), V(run_as),
                      V(url), V(budget) or V(exception).
                  returned: success
                  type: str
                message:
                  description: What the client or the server said.
                  returned: success
                  type: str
            version:
              description: Version of the server.
              returned: success
              type: str
            login:
              description: Who the server took us for.
              returned: success
              type: str
            sees_all:
              description: Whether this user is shown the sessions of others in full.
              returned: success
              type: bool
            answered_by:
              description: Where a PostgreSQL server itself says it was reached.
              returned: success
              type: dict
              contains:
                address:
                  description: Address.
                  returned: success
                  type: str
                port:
                  description: Port.
                  returned: success
                  type: int
            server_id:
              description: What tells two names of one server from two servers.
              returned: success
              type: str
            connections:
              description: Connections, without those of this collection.
              returned: success
              type: dict
              contains:
                used:
                  description: Those that count against the limit.
                  returned: success
                  type: int
                limit:
                  description: How many an ordinary user may take.
                  returned: success
                  type: int
                maximum:
                  description: How many there may be in all.
                  returned: success
                  type: int
                reserved:
                  description: How many of these are kept for some.
                  returned: success
                  type: int
                uncertain:
                  description: How many of C(used) may be the server's own.
                  returned: success
                  type: int
                by:
                  description: The largest groups of them.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    user:
                      description: The database user.
                      returned: success
                      type: str
                    application:
                      description: What the client calls itself, empty where it does not or the server has no such name.
                      returned: success
                      type: str
                    database:
                      description: The database it is connected to.
                      returned: success
                      type: str
                    host:
                      description: Address the client came from, empty for a local one.
                      returned: success
                      type: str
                    state:
                      description: What they do.
                      returned: success
                      type: str
                    count:
                      description: How many.
                      returned: success
                      type: int
                own_limits:
                  description: Limits of a single role, database or user.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    of:
                      description: Whose.
                      returned: success
                      type: str
                    used:
                      description: Connections.
                      returned: success
                      type: int
                    limit:
                      description: The limit.
                      returned: success
                      type: int
                peak:
                  description: Most at a time since the server's start.
                  returned: success
                  type: int
                refused:
                  description: Connections refused for want of room within a second.
                  returned: success
                  type: int
            idle_in_transaction:
              description: The oldest idle transactions.
              returned: success
              type: list
              elements: dict
              contains:
                pid:
                  description: Its process or connection id on the server.
                  returned: success
                  type: int
                user:
                  description: The database user.
                  returned: success
                  type: str
                application:
                  description: What the client calls itself, empty where it does not or the server has no such name.
                  returned: success
                  type: str
                database:
                  description: The database it is connected to.
                  returned: success
                  type: str
                host:
                  description: Address the client came from, empty for a local one.
                  returned: success
                  type: str
                seconds:
                  description: Since its last statement.
                  returned: success
                  type: float
                transaction_seconds:
                  description: Age of the transaction.
                  returned: success
                  type: float
                writes:
                  description: Whether it has written.
                  returned: success
                  type: bool
                state:
                  description: V(idle in transaction) or V(idle in transaction (aborted)).
                  returned: success
                  type: str
            idle_in_transaction_count:
              description: How many there are.
              returned: success
              type: int
            idle_in_transaction_limit:
              description: Seconds after which the server ends one, V(null) for never.
              returned: success
              type: float
            longest:
              description: The statement that has run longest.
              returned: success
              type: dict
              contains:
                pid:
                  description: Its process or connection id on the server.
                  returned: success
                  type: int
                user:
                  description: The database user.
                  returned: success
                  type: str
                application:
                  description: What the client calls itself, empty where it does not or the server has no such name.
                  returned: success
                  type: str
                database:
                  description: The database it is connected to.
                  returned: success
                  type: str
                host:
                  description: Address the client came from, empty for a local one.
                  returned: success
                  type: str
                seconds:
                  description: For how long.
                  returned: success
                  type: float
                waits_for:
                  description: What it waits for.
                  returned: success
                  type: str
            lock_waits:
              description: Sessions that wait for a lock.
              returned: success
              type: list
              elements: dict
              contains:
                pid:
                  description: Its process or connection id on the server.
                  returned: success
                  type: int
                user:
                  description: The database user.
                  returned: success
                  type: str
                application:
                  description: What the client calls itself, empty where it does not or the server has no such name.
                  returned: success
                  type: str
                database:
                  description: The database it is connected to.
                  returned: success
                  type: str
                host:
                  description: Address the client came from, empty for a local one.
                  returned: success
                  type: str
                seconds:
                  description: For how long.
                  returned: success
                  type: float
                waits_for:
                  description: State of the session.
                  returned: success
                  type: str
                exact:
                  description: V(false) where C(seconds) is only an upper bound.
                  returned: success
                  type: bool
                kind:
                  description: Kind of lock.
                  returned: success
                  type: str
                "on":
                  description: Mode and kind of the lock, and the table where it is known.
                  returned: success
                  type: str
                blocked_by:
                  description: Who holds it.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    pid:
                      description: Its process or connection id on the server.
                      returned: success
                      type: int
                    user:
                      description: The database user.
                      returned: success
                      type: str
                    application:
                      description: What the client calls itself, empty where it does not or the server has no such name.
                      returned: success
                      type: str
                    host:
                      description: Address the client came from, empty for a local one.
                      returned: success
                      type: str
                    state:
                      description: What it does; empty where that was not shown.
                      returned: success
                      type: str
                    transaction_seconds:
                      description: Age of its transaction.
                      returned: success
                      type: float
            replication:
              description: Replication.
              returned: success
              type: dict
              contains:
                role:
                  description: V(primary), V(standby), V(replica), or V(sentinel) of a Redis that only watches others.
                  returned: success
                  type: str
                lag_seconds:
                  description: How far it is behind.
                  returned: success
                  type: float
                lag_bytes:
                  description: The same in bytes.
                  returned: success
                  type: int
                resolution:
                  description: What C(lag_seconds) can tell, V(1 s) for instance; empty for finer.
                  returned: success
                  type: str
                state:
                  description: State of a replica.
                  returned: success
                  type: str
                note:
                  description: What else is known.
                  returned: success
                  type: str
                delay:
                  description: Seconds that a replica is told to be behind.
                  returned: success
                  type: float
                replicas:
                  description: Replicas of a primary; the channels of a MySQL replica.
                  returned: success
                  type: list
                  elements: dict
                  contains:
                    name:
                      description: What it calls itself.
                      returned: success
                      type: str
                    host:
                      description: Its address.
                      returned: success
                      type: str
                    state:
                      description: Its state.
                      returned: success
                      type: str
                    sync:
                      description: PostgreSQL's C(sync_state).
                      returned: success
                      type: str
                    slot:
                      description: V(physical), V(logical) or empty.
                      returned: success
                      type: str
                    lag_seconds:
                      description: How far it is behind.
                      returned: success
                      type: float
                    lag_bytes:
                      description: The same in bytes.
                      returned: success
                      type: int
                    error:
                      description: Its last error.
                      returned: success
                      type: str
                    delay:
                      description: Seconds that it is told to be behind.
                      returned: success
                      type: float
            memory:
              description: Memory of a Redis server.
              returned: success
              type: dict
              contains:
                used:
                  description: Bytes.
                  returned: success
                  type: int
                maximum:
                  description: C(maxmemory), V(null) for no limit.
                  returned: success
                  type: int
                rss:
                  description: Bytes that are resident.
                  returned: success
                  type: int
                system:
                  description: Bytes of the machine.
                  returned: success
                  type: int
                policy:
                  description: C(maxmemory_policy).
                  returned: success
                  type: str
                evicted:
                  description: Keys thrown away within C(sample_seconds).
                  returned: success
                  type: int
                evicted_total:
                  description: The same since the server's start.
                  returned: success
                  type: int
                refused_writes:
                  description: Commands refused for want of memory within C(sample_seconds).
                  returned: success
                  type: int
                sample_seconds:
                  description: Seconds between two looks.
                  returned: success
                  type: float
                since_seconds:
                  description: Since the server's start.
                  returned: success
                  type: int
            clients:
              description: What else is known of the clients of MySQL and Redis.
              returned: success
              type: dict
              contains:
                running:
                  description: Statements that run now.
                  returned: success
                  type: int
                blocked:
                  description: Clients that wait in a blocking command.
                  returned: success
                  type: int
                rejected:
                  description: As C(connections.refused).
                  returned: success
                  type: int
            unreadable:
              description: What the user's rights did not show.
              returned: success
              type: list
              elements: str
    timeouts:
      description: Subset C(timeouts).
      returned: success
      type: dict
      contains:
        listeners:
          description: The URLs that may be asked slowly.
          returned: success
          type: list
          elements: dict
          contains:
            url:
              description: The URL, without credentials.
              returned: success
              type: str
            headers:
              description: What came of half a request's head.
              returned: success
              type: dict
              contains:
                closed_after:
                  description: Seconds until the server ended the connection. Null where it did not.
                  returned: success
                  type: float
                waited:
                  description: Seconds that were waited.
                  returned: success
                  type: float
                status:
                  description: HTTP status that it sent before.
                  returned: success
                  type: int
                error:
                  description: Why it could not be asked.
                  returned: success
                  type: dict
                  contains:
                    kind:
                      description: Kind.
                      returned: success
                      type: str
                    message:
                      description: Message.
                      returned: success
                      type: str
            body:
              description: What came of a head and one byte of the body that it announces.
              returned: success
              type: dict
              contains:
                closed_after:
                  description: Seconds until the server ended the connection. Null where it did not.
                  returned: success
                  type: float
                waited:
                  description: Seconds that were waited.
                  returned: success
                  type: float
                status:
                  description: HTTP status that it sent before.
                  returned: success
                  type: int
                error:
                  description: Why it could not be asked.
                  returned: success
                  type: dict
                  contains:
                    kind:
                      description: Kind.
                      returned: success
                      type: str
                    message:
                      description: Message.
                      returned: success
                      type: str
            error:
              description: Why it could not be asked.
              returned: success
              type: dict
              contains:
                kind:
                  description: Kind.
                  returned: success
                  type: str
                message:
                  description: Message.
                  returned: success
                  type: str
    build:
      description: Subset C(build).
      returned: success
      type: dict
      contains:
        toolchains:
          description: One entry for each Go that was tried.
          returned: success
          type: list
          elements: dict
          contains:
            goroot:
              description: Its GOROOT, null for a go that lies in no tree.
              returned: success
              type: str
            go:
              description: Path of its go.
              returned: success
              type: str
            version:
              description: What it says it is.
              returned: success
              type: str
            user:
              description: Who built.
              returned: success
              type: str
            emulated:
              description: Whether the host's programs run on translated instructions, so that the time is six times as long.
              returned: success
              type: bool
            seen_by:
              description: The shells and managers that see it first.
              returned: success
              type: list
              elements: str
            base:
              description: The folder that the scratch folder was in.
              returned: success
              type: str
            noexec:
              description: Whether nothing may be executed there.
              returned: success
              type: bool
            error:
              description: Why nothing was tried, or nothing more.
              returned: success
              type: dict
              contains:
                kind:
                  description: >-
                    V(broken) (it does not start), V(space) (the file systems are full), V(room) (they have
                    less than is wanted), V(permission), V(unavailable), V(budget), V(timeout) or
                    V(exception).
                  returned: success
                  type: str
                message:
                  description: Message.
                  returned: success
                  type: str
            seconds:
              description: Seconds of all its steps.
              returned: success
              type: float
            bytes:
              description: The most that the folder took, in bytes.
              returned: success
              type: int
            memory:
              description: The most anonymous memory of one step, in bytes.
              returned: success
              type: int
            cgo:
              description: Whether cgo was to be tried; null where it did not come to that.
              returned: success
              type: dict
              contains:
                wanted:
                  description: Whether.
                  returned: success
                  type: bool
                why:
                  description: Why, or why not.
                  returned: success
                  type: str
            settings:
              description: The builds with what shells set.
              returned: success
              type: list
              elements: dict
              contains:
                shells:
                  description: The shells that set it.
                  returned: success
                  type: list
                  elements: str
                values:
                  description: The variables.
                  returned: success
                  type: dict
                not_tried:
                  description: Why it was not tried; null where it was.
                  returned: success
                  type: str
                step:
                  description: The build, as in C(steps).
                  returned: success
                  type: dict
            steps:
              description: What was run, by its name.
              returned: success
              type: dict
              contains:
                fmt:
                  description: C(gofmt -l).
                  returned: success
                  type: dict
                  contains:
                    argv:
                      description: The command, empty where it was not run.
                      returned: success
                      type: list
                      elements: str
                    rc:
                      description: Exit status, negative where a signal ended it, null where it did not come to its own end.
                      returned: success
                      type: int
                    seconds:
                      description: Seconds that it took.
                      returned: success
                      type: float
                    output:
                      description: The last lines that it printed, 15 at most.
                      returned: success
                      type: list
                      elements: str
                    memory:
                      description: The most anonymous memory of all its processes, in bytes.
                      returned: success
                      type: int
                    env:
                      description: What its environment had beside the folder's own.
                      returned: success
                      type: dict
                    elf:
                      description: The headers of what it built, null for other steps and where nothing was built.
                      returned: success
                      type: dict
                      contains:
                        bits:
                          description: V(32) or V(64).
                          returned: success
                          type: int
                        machine:
                          description: GOARCH of its machine.
                          returned: success
                          type: str
                        type:
                          description: V(exec), or V(dyn) for a PIE.
                          returned: success
                          type: str
                        interpreter:
                          description: PT_INTERP, the dynamic loader; null for none.
                          returned: success
                          type: str
                        needed:
                          description: DT_NEEDED, the shared libraries.
                          returned: success
                          type: list
                          elements: str
                    error:
                      description: Why it did not come to its own end.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: >-
                            V(timeout), V(memory), V(disk), V(room), V(space), V(budget), V(unavailable),
                            V(permission), V(exception), or V(build) where nothing is built.
                          returned: success
                          type: str
                        message:
                          description: Message.
                          returned: success
                          type: str
                    matched:
                      description: Whether it printed what it should.
                      returned: success
                      type: bool
                build:
                  description: C(go build), cold.
                  returned: success
                  type: dict
                  contains:
                    argv:
                      description: The command, empty where it was not run.
                      returned: success
                      type: list
                      elements: str
                    rc:
                      description: Exit status, negative where a signal ended it, null where it did not come to its own end.
                      returned: success
                      type: int
                    seconds:
                      description: Seconds that it took.
                      returned: success
                      type: float
                    output:
                      description: The last lines that it printed, 15 at most.
                      returned: success
                      type: list
                      elements: str
                    memory:
                      description: The most anonymous memory of all its processes, in bytes.
                      returned: success
                      type: int
                    env:
                      description: What its environment had beside the folder's own.
                      returned: success
                      type: dict
                    elf:
                      description: The headers of what it built, null for other steps and where nothing was built.
                      returned: success
                      type: dict
                      contains:
                        bits:
                          description: V(32) or V(64).
                          returned: success
                          type: int
                        machine:
                          description: GOARCH of its machine.
                          returned: success
                          type: str
                        type:
                          description: V(exec), or V(dyn) for a PIE.
                          returned: success
                          type: str
                        interpreter:
                          description: PT_INTERP, the dynamic loader; null for none.
                          returned: success
                          type: str
                        needed:
                          description: DT_NEEDED, the shared libraries.
                          returned: success
                          type: list
                          elements: str
                    error:
                      description: Why it did not come to its own end.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: >-
                            V(timeout), V(memory), V(disk), V(room), V(space), V(budget), V(unavailable),
                            V(permission), V(exception), or V(build) where nothing is built.
                          returned: success
                          type: str
                        message:
                          description: Message.
                          returned: success
                          type: str
                run:
                  description: The program that was built.
                  returned: success
                  type: dict
                  contains:
                    argv:
                      description: The command, empty where it was not run.
                      returned: success
                      type: list
                      elements: str
                    rc:
                      description: Exit status, negative where a signal ended it, null where it did not come to its own end.
                      returned: success
                      type: int
                    seconds:
                      description: Seconds that it took.
                      returned: success
                      type: float
                    output:
                      description: The last lines that it printed, 15 at most.
                      returned: success
                      type: list
                      elements: str
                    memory:
                      description: The most anonymous memory of all its processes, in bytes.
                      returned: success
                      type: int
                    env:
                      description: What its environment had beside the folder's own.
                      returned: success
                      type: dict
                    elf:
                      description: The headers of what it built, null for other steps and where nothing was built.
                      returned: success
                      type: dict
                      contains:
                        bits:
                          description: V(32) or V(64).
                          returned: success
                          type: int
                        machine:
                          description: GOARCH of its machine.
                          returned: success
                          type: str
                        type:
                          description: V(exec), or V(dyn) for a PIE.
                          returned: success
                          type: str
                        interpreter:
                          description: PT_INTERP, the dynamic loader; null for none.
                          returned: success
                          type: str
                        needed:
                          description: DT_NEEDED, the shared libraries.
                          returned: success
                          type: list
                          elements: str
                    error:
                      description: Why it did not come to its own end.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: >-
                            V(timeout), V(memory), V(disk), V(room), V(space), V(budget), V(unavailable),
                            V(permission), V(exception), or V(build) where nothing is built.
                          returned: success
                          type: str
                        message:
                          description: Message.
                          returned: success
                          type: str
                    matched:
                      description: Whether it printed what it should.
                      returned: success
                      type: bool
                static_build:
                  description: The step V(build) once more, with the ELF headers of what it built. It takes no time of its own.
                  returned: success
                  type: dict
                  contains:
                    argv:
                      description: The command, empty where it was not run.
                      returned: success
                      type: list
                      elements: str
                    rc:
                      description: Exit status, negative where a signal ended it, null where it did not come to its own end.
                      returned: success
                      type: int
                    seconds:
                      description: Seconds that it took.
                      returned: success
                      type: float
                    output:
                      description: The last lines that it printed, 15 at most.
                      returned: success
                      type: list
                      elements: str
                    memory:
                      description: The most anonymous memory of all its processes, in bytes.
                      returned: success
                      type: int
                    env:
                      description: What its environment had beside the folder's own.
                      returned: success
                      type: dict
                    elf:
                      description: The headers of what it built, null for other steps and where nothing was built.
                      returned: success
                      type: dict
                      contains:
                        bits:
                          description: V(32) or V(64).
                          returned: success
                          type: int
                        machine:
                          description: GOARCH of its machine.
                          returned: success
                          type: str
                        type:
                          description: V(exec), or V(dyn) for a PIE.
                          returned: success
                          type: str
                        interpreter:
                          description: PT_INTERP, the dynamic loader; null for none.
                          returned: success
                          type: str
                        needed:
                          description: DT_NEEDED, the shared libraries.
                          returned: success
                          type: list
                          elements: str
                    error:
                      description: Why it did not come to its own end.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: >-
                            V(timeout), V(memory), V(disk), V(room), V(space), V(budget), V(unavailable),
                            V(permission), V(exception), or V(build) where nothing is built.
                          returned: success
                          type: str
                        message:
                          description: Message.
                          returned: success
                          type: str
                vet:
                  description: C(go vet).
                  returned: success
                  type: dict
                  contains:
                    argv:
                      description: The command, empty where it was not run.
                      returned: success
                      type: list
                      elements: str
                    rc:
                      description: Exit status, negative where a signal ended it, null where it did not come to its own end.
                      returned: success
                      type: int
                    seconds:
                      description: Seconds that it took.
                      returned: success
                      type: float
                    output:
                      description: The last lines that it printed, 15 at most.
                      returned: success
                      type: list
                      elements: str
                    memory:
                      description: The most anonymous memory of all its processes, in bytes.
                      returned: success
                      type: int
                    env:
                      description: What its environment had beside the folder's own.
                      returned: success
                      type: dict
                    elf:
                      description: The headers of what it built, null for other steps and where nothing was built.
                      returned: success
                      type: dict
                      contains:
                        bits:
                          description: V(32) or V(64).
                          returned: success
                          type: int
                        machine:
                          description: GOARCH of its machine.
                          returned: success
                          type: str
                        type:
                          description: V(exec), or V(dyn) for a PIE.
                          returned: success
                          type: str
                        interpreter:
                          description: PT_INTERP, the dynamic loader; null for none.
                          returned: success
                          type: str
                        needed:
                          description: DT_NEEDED, the shared libraries.
                          returned: success
                          type: list
                          elements: str
                    error:
                      description: Why it did not come to its own end.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: >-
                            V(timeout), V(memory), V(disk), V(room), V(space), V(budget), V(unavailable),
                            V(permission), V(exception), or V(build) where nothing is built.
                          returned: success
                          type: str
                        message:
                          description: Message.
                          returned: success
                          type: str
                test:
                  description: C(go test).
                  returned: success
                  type: dict
                  contains:
                    argv:
                      description: The command, empty where it was not run.
                      returned: success
                      type: list
                      elements: str
                    rc:
                      description: Exit status, negative where a signal ended it, null where it did not come to its own end.
                      returned: success
                      type: int
                    seconds:
                      description: Seconds that it took.
                      returned: success
                      type: float
                    output:
                      description: The last lines that it printed, 15 at most.
                      returned: success
                      type: list
                      elements: str
                    memory:
                      description: The most anonymous memory of all its processes, in bytes.
                      returned: success
                      type: int
                    env:
                      description: What its environment had beside the folder's own.
                      returned: success
                      type: dict
                    elf:
                      description: The headers of what it built, null for other steps and where nothing was built.
                      returned: success
                      type: dict
                      contains:
                        bits:
                          description: V(32) or V(64).
                          returned: success
                          type: int
                        machine:
                          description: GOARCH of its machine.
                          returned: success
                          type: str
                        type:
                          description: V(exec), or V(dyn) for a PIE.
                          returned: success
                          type: str
                        interpreter:
                          description: PT_INTERP, the dynamic loader; null for none.
                          returned: success
                          type: str
                        needed:
                          description: DT_NEEDED, the shared libraries.
                          returned: success
                          type: list
                          elements: str
                    error:
                      description: Why it did not come to its own end.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: >-
                            V(timeout), V(memory), V(disk), V(room), V(space), V(budget), V(unavailable),
                            V(permission), V(exception), or V(build) where nothing is built.
                          returned: success
                          type: str
                        message:
                          description: Message.
                          returned: success
                          type: str
                cgo:
                  description: C(go build) of a file with C in it.
                  returned: success
                  type: dict
                  contains:
                    argv:
                      description: The command, empty where it was not run.
                      returned: success
                      type: list
                      elements: str
                    rc:
                      description: Exit status, negative where a signal ended it, null where it did not come to its own end.
                      returned: success
                      type: int
                    seconds:
                      description: Seconds that it took.
                      returned: success
                      type: float
                    output:
                      description: The last lines that it printed, 15 at most.
                      returned: success
                      type: list
                      elements: str
                    memory:
                      description: The most anonymous memory of all its processes, in bytes.
                      returned: success
                      type: int
                    env:
                      description: What its environment had beside the folder's own.
                      returned: success
                      type: dict
                    elf:
                      description: The headers of what it built, null for other steps and where nothing was built.
                      returned: success
                      type: dict
                      contains:
                        bits:
                          description: V(32) or V(64).
                          returned: success
                          type: int
                        machine:
                          description: GOARCH of its machine.
                          returned: success
                          type: str
                        type:
                          description: V(exec), or V(dyn) for a PIE.
                          returned: success
                          type: str
                        interpreter:
                          description: PT_INTERP, the dynamic loader; null for none.
                          returned: success
                          type: str
                        needed:
                          description: DT_NEEDED, the shared libraries.
                          returned: success
                          type: list
                          elements: str
                    error:
                      description: Why it did not come to its own end.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: >-
                            V(timeout), V(memory), V(disk), V(room), V(space), V(budget), V(unavailable),
                            V(permission), V(exception), or V(build) where nothing is built.
                          returned: success
                          type: str
                        message:
                          description: Message.
                          returned: success
                          type: str
                    run:
                      description: What came of the program; only where it was built.
                      returned: success
                      type: dict
                      contains:
                        rc:
                          description: Exit status.
                          returned: success
                          type: int
                        output:
                          description: Its last lines.
                          returned: success
                          type: list
                          elements: str
                        matched:
                          description: Whether it printed what it should.
                          returned: success
                          type: bool
                        error:
                          description: Why it did not come to its own end.
                          returned: success
                          type: dict
                          contains:
                            kind:
                              description: As of a step.
                              returned: success
                              type: str
                            message:
                              description: Message.
                              returned: success
                              type: str
                cross_build:
                  description: C(go build) for another machine.
                  returned: success
                  type: dict
                  contains:
                    argv:
                      description: The command, empty where it was not run.
                      returned: success
                      type: list
                      elements: str
                    rc:
                      description: Exit status, negative where a signal ended it, null where it did not come to its own end.
                      returned: success
                      type: int
                    seconds:
                      description: Seconds that it took.
                      returned: success
                      type: float
                    output:
                      description: The last lines that it printed, 15 at most.
                      returned: success
                      type: list
                      elements: str
                    memory:
                      description: The most anonymous memory of all its processes, in bytes.
                      returned: success
                      type: int
                    env:
                      description: What its environment had beside the folder's own.
                      returned: success
                      type: dict
                    elf:
                      description: The headers of what it built, null for other steps and where nothing was built.
                      returned: success
                      type: dict
                      contains:
                        bits:
                          description: V(32) or V(64).
                          returned: success
                          type: int
                        machine:
                          description: GOARCH of its machine.
                          returned: success
                          type: str
                        type:
                          description: V(exec), or V(dyn) for a PIE.
                          returned: success
                          type: str
                        interpreter:
                          description: PT_INTERP, the dynamic loader; null for none.
                          returned: success
                          type: str
                        needed:
                          description: DT_NEEDED, the shared libraries.
                          returned: success
                          type: list
                          elements: str
                    error:
                      description: Why it did not come to its own end.
                      returned: success
                      type: dict
                      contains:
                        kind:
                          description: >-
                            V(timeout), V(memory), V(disk), V(room), V(space), V(budget), V(unavailable),
                            V(permission), V(exception), or V(build) where nothing is built.
                          returned: success
                          type: str
                        message:
                          description: Message.
                          returned: success
                          type: str
                    wanted:
                      description: The GOARCH that was asked for.
                      returned: success
                      type: str
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
    **dict.fromkeys(_WINDOW, _BEFORE),
    "timeouts": (*_BEFORE, *_WINDOW), "proxies": (*_BEFORE, *_WINDOW, "timeouts"),
    "build": (*_BEFORE, *_WINDOW, "timeouts", "proxies"),
}
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
            context.slow_down(collecting.EMULATED)
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


def _hidden(value: Any, name: str = "") -> Any:
    """The same value without credentials, as they stand in URLs, headers and command lines."""
    if isinstance(value, dict):
        return {_hidden(key): _hidden(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if all(isinstance(item, str) for item in value):
            return redact.redact_argv(value)
        return [_hidden(item) for item in value]
    return redact.redact_value(name, value) if isinstance(value, str) else value


def _forget(module: AnsibleModule) -> None:
    """Take the credentials out of what AnsibleModule echoes, and its search for them out of what is returned.

    That search replaces every occurrence in every text: a password like "main" would destroy the functions' names and, being
    found by chance, the profiles' base64. The collector gives none of them away: they are in no value that it returns.
    """
    for one in module.params["credentials"]:
        for key in ("password", "token"):
            if one.get(key) is not None:
                one[key] = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    # A URL may have a user and password in it, wherever it stands: in a list, as the name of a key. A probe has headers.
    for name in ("services", "active", "probes"):
        module.params[name] = _hidden(module.params[name])
    module.no_log_values.clear()


if __name__ == "__main__":
    main()
