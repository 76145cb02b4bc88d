# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "fixtures" / "services"))

import services_fixtures as fixtures

from ansible_collections.goready.preflight.plugins.module_utils.collect import services
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable, gather

ITEMS = (fixtures.HERE / "systemd252" / "configuration-items.txt").read_text()
ID = "0123456789abcdef" * 4
DEFAULTS = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "MainPID": "0",
    "FragmentPath": "",
    "DropInPaths": "",
    "NRestarts": "0",
}


class Host:
    """A tree, and a systemctl that answers for its units."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.tree = fixtures.Tree(root, **more)
        self.units: dict[str, dict[str, str]] = {}
        self.commands: list[list[str]] = []
        self.failure: BaseException | None = None
        self.answer: tuple[int, str, str] | None = None

    def unit(
        self,
        name: str,
        *,
        main: int = 0,
        exec_start: str = "",
        fragment: str = "",
        drop_ins: Sequence[tuple[str, str]] = (),
        **properties: str,
    ) -> None:
        values = dict(DEFAULTS, Id=name, MainPID=str(main), **properties)
        if exec_start:
            values["ExecStart"] = (
                f"{{ path={exec_start.split()[0]} ; argv[]={exec_start} ; ignore_errors=no ; start_time=[n/a] }}"
            )
        if fragment:
            values["FragmentPath"] = f"/etc/systemd/system/{name}"
            self.tree.file(values["FragmentPath"], fragment)
        for file, text in drop_ins:
            self.tree.file(f"/etc/systemd/system/{name}.d/{file}", text)
        values["DropInPaths"] = " ".join(f"/etc/systemd/system/{name}.d/{file}" for file, _text in drop_ins)
        self.units[name] = values

    def run(self, argv: Sequence[str], **_options: Any) -> tuple[int, str, str]:
        self.commands.append(list(argv))
        if self.failure is not None:
            raise self.failure
        if argv[0] == "systemctl":
            if self.answer:
                return self.answer
            blocks = []
            for name in argv[argv.index("--") + 1 :]:
                values = self.units.get(name) or dict(
                    DEFAULTS, Id=name, LoadState="not-found", ActiveState="inactive", SubState="dead"
                )
                blocks.append("".join(f"{key}={value}\n" for key, value in values.items()))
            return 0, "\n".join(blocks), ""
        assert argv[1] == "--dump-configuration-items"
        return 0, ITEMS, ""

    def facts(self, declared: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        context = Context(root=str(self.tree.root), services=declared)
        context.run = self.run  # type: ignore[method-assign]
        facts = gather({"services": services.PARTS}, context)
        json.dumps(facts)
        return facts

    def services(self, declared: Sequence[dict[str, Any]] = ()) -> dict[str, dict[str, Any]]:
        facts = self.facts(declared)
        assert facts["errors"] == []
        return {one["name"]: one for one in facts["services"]["services"]}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    one = Host(tmp_path)
    one.tree.file("/opt/api/api", fixtures.go_program(), 0o755)
    return one


def api(host: Host, pid: int = 80, **more: Any) -> None:
    """The usual: api.service, its process, its listener."""
    host.tree.process(
        pid,
        "/opt/api/api",
        cgroup="/system.slice/api.service",
        argv=("/opt/api/api", "-token", "s3cr3t"),
        uid=990,
        environ="GOMEMLIMIT=512MiB\nDB_PASSWORD=hunter2\nGOGC=50\n",
        sockets=(901, 902),
        **more,
    )
    host.tree.listen(pid, 8080, 901)
    host.unit(
        "api.service",
        main=pid,
        exec_start="/opt/api/api -token s3cr3t",
        Environment="GOGC=50 DB_PASSWORD=hunter2",
        fragment="[Service]\nExecStart=/opt/api/api -token s3cr3t\nLimitNOFILESoft=65536\nEnvironment=DB_PASSWORD=hunter2\n",
    )


def test_a_service(host: Host) -> None:
    api(host)
    one = host.services()["api"]
    process = one["processes"][0]
    assert {key: one[key] for key in ("declared", "unit", "manager", "container", "main_pid", "more_processes")} == {
        "declared": False,
        "unit": "api.service",
        "manager": "system",
        "container": None,
        "main_pid": 80,
        "more_processes": 0,
    }
    assert one["exec"] == {"path": "/opt/api/api", "argv": ["/opt/api/api", "-token", "[redacted]"]}
    assert one["unit_files"][0]["problems"] == [
        {
            "line": 3,
            "section": "Service",
            "name": "LimitNOFILESoft",
            "message": "unknown directive, soft and hard limit are written LimitNOFILE=soft:hard",
        }
    ]
    assert {key: process[key] for key in process if key not in ("running", "cgroup")} == {
        "pid": 80,
        "ppid": 1,
        "uid": 990,
        "user": "api",
        "comm": "api",
        "exe": "/opt/api/api",
        "exe_deleted": False,
        "emulator": None,
        "argv": ["/opt/api/api", "-token", "[redacted]"],
        "started": "2023-11-14T22:13:%02dZ" % (20 + int(500 / os.sysconf("SC_CLK_TCK"))),
        "go": True,
        "limits": {"nofile": {"soft": 1024, "hard": 524288}},
        "fds": {"open": 3},
        "threads": 7,
        "rss": 2097152,
        "environ": {"GOMEMLIMIT": "512MiB", "GOGC": "50"},
        "listeners": [{"proto": "tcp", "address": "127.0.0.1", "port": 8080, "path": None, "inode": 901}],
        "same_file": True,
        "unreadable": [],
    }
    for binary in (one["binary"], process["running"]):
        assert binary["elf"]["machine"] == "amd64"
        assert binary["buildinfo"]["settings"]["vcs.revision"] == "3f2c9ab"
        assert binary["error"] is None


def test_nothing_that_was_collected_holds_a_secret(host: Host) -> None:
    host.tree.file("/opt/api/api", fixtures.go_program(settings={"-ldflags": '"-X main.token=s3cr3t"'}), 0o755)
    api(host)
    text = json.dumps(host.facts([{"name": "api"}]))
    assert "hunter2" not in text and "s3cr3t" not in text
    assert text.count("[redacted]") >= 5


def test_one_systemctl_for_all_units(host: Host) -> None:
    api(host)
    host.services([{"name": "api"}, {"name": "other"}, {"name": "x", "unit": "third.service"}])
    shows = [one for one in host.commands if one[0] == "systemctl"]
    assert [one[one.index("--") + 1 :] for one in shows] == [["api.service", "other.service", "third.service"]]
    assert len(host.commands) == 2, "and one question for the directives that systemd knows"


def test_a_plain_host_costs_no_command(host: Host) -> None:
    host.tree.file("/usr/bin/python3", fixtures.make_elf(), 0o755)
    host.tree.file("/usr/bin/script", "#!/bin/sh\n", 0o755)
    host.tree.process(50, "/usr/bin/python3", cgroup="/system.slice/web.service")
    host.tree.process(51, "/usr/bin/script", cgroup="/system.slice/web.service")
    facts = host.facts()
    assert facts["services"] == {
        "services": [],
        "systemd": {"asked": 0, "directives_known": False, "nofile": {"soft": 1024, "hard": 524288}},
        "unreadable": {"processes": 0, "commands": [], "hidden": False, "reason": None},
        "limits_conf": [],
    }
    assert facts["errors"] == [] and host.commands == []


# --- declared services


def test_declared_without_process(host: Host) -> None:
    host.unit("api.service", exec_start="/opt/api/api", ActiveState="failed")
    found = host.services([{"name": "api"}, {"name": "gone"}, {"name": "odd name"}])
    assert list(found) == ["api", "gone", "odd name"], "in the order of their declaration"
    assert found["api"]["properties"]["ActiveState"] == "failed"
    assert found["api"]["binary"]["buildinfo"]["go_version"] == "go1.27.3"
    assert (found["api"]["processes"], found["api"]["main_pid"]) == ([], None)
    assert found["gone"]["properties"]["LoadState"] == "not-found"
    assert (found["gone"]["unit"], found["gone"]["binary"]) == ("gone.service", None)
    assert (found["odd name"]["unit"], found["odd name"]["properties"]) == (None, None)


def test_declared_binary_and_unit(host: Host) -> None:
    api(host)
    host.tree.file("/srv/new", fixtures.go_program(version="go1.26.1"), 0o755)
    found = host.services([{"name": "shop", "unit": "api", "binary": "/srv/new"}])
    assert list(found) == ["shop"], "the unit is not listed a second time"
    assert found["shop"]["unit"] == "api.service"
    assert found["shop"]["binary"]["path"] == "/srv/new"
    assert found["shop"]["processes"][0]["exe"] == "/opt/api/api"


def test_declared_by_its_binary_alone(host: Host) -> None:
    api(host)
    found = host.services([{"name": "shop", "binary": "/opt/api/api"}])
    assert list(found) == ["shop"]
    assert (found["shop"]["unit"], found["shop"]["manager"], found["shop"]["main_pid"]) == ("api.service", "system", 80)


def test_declared_by_an_alias(host: Host) -> None:
    api(host)
    host.units["shop.service"] = dict(host.units["api.service"])
    found = host.services([{"name": "shop"}])
    assert [one["pid"] for one in found["shop"]["processes"]] == [80]
    assert "api" not in found


def test_declared_service_whose_main_process_is_a_shell(host: Host) -> None:
    host.tree.file("/bin/sh", fixtures.make_elf(), 0o755)
    host.tree.process(70, "/bin/sh", cgroup="/system.slice/api.service", argv=("/bin/sh", "-c", "/opt/api/api; true"))
    api(host, 80)
    host.unit("api.service", main=70, exec_start="/bin/sh -c /opt/api/api")
    one = host.services([{"name": "api"}])["api"]
    assert [(process["pid"], process["go"]) for process in one["processes"]] == [(70, False), (80, True)]
    assert (one["main_pid"], one["binary"]["path"], one["binary"]["buildinfo"]) == (70, "/bin/sh", None)


def test_release_link_moved_to_another_release(host: Host) -> None:
    """The path that the unit starts leads to another file than the one that runs: both are told."""
    for release, version in (("1", "go1.26.1"), ("2", "go1.27.3")):
        host.tree.file(f"/opt/api/releases/{release}/api", fixtures.go_program(version=version), 0o755)
    host.tree.link("/opt/api/current", "releases/2")
    host.tree.process(80, "/opt/api/releases/1/api", cgroup="/system.slice/api.service")
    host.unit("api.service", main=80, exec_start="/opt/api/current/api")
    one = host.services()["api"]
    assert (one["binary"]["path"], one["binary"]["realpath"]) == ("/opt/api/current/api", "/opt/api/releases/2/api")
    assert one["binary"]["buildinfo"]["go_version"] == "go1.27.3"
    process = one["processes"][0]
    assert (process["exe"], process["same_file"], process["exe_deleted"]) == ("/opt/api/releases/1/api", True, False)
    assert process["running"]["buildinfo"]["go_version"] == "go1.26.1"
    assert [folder["path"] for folder in one["binary"]["folders"]] == [
        "/opt/api/current",
        "/opt/api",
        "/opt",
        "/",
        "/opt/api/releases",
        "/opt/api/releases/2",
    ]


def test_process_of_a_moved_link_is_known_by_its_first_argument(host: Host) -> None:
    for release in "12":
        host.tree.file(f"/opt/api/releases/{release}/api", fixtures.go_program(), 0o755)
    host.tree.link("/opt/api/current", "releases/2")
    host.tree.process(80, "/opt/api/releases/1/api", argv=("/opt/api/current/api", "-v"))
    one = host.services([{"name": "shop", "binary": "/opt/api/current/api"}])["shop"]
    assert [process["pid"] for process in one["processes"]] == [80]


# --- discovered services


@pytest.mark.parametrize(
    ("cgroup", "listens", "expected"),
    [
        ("/system.slice/worker.service", False, ("worker", "worker.service", "system", None)),
        ("/system.slice/system-w.slice/w@1.service/sub", False, ("w@1", "w@1.service", "system", None)),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service",
            False,
            ("sync", "sync.service", "user", "deploy"),
        ),
        ("/user.slice/user-0.slice/session-3.scope", True, ("api", None, None, None)),
        ("/user.slice/user-0.slice/session-3.scope", False, None),
        ("/system.slice/ssh.service", True, ("api", None, None, None)),
        ("/system.slice/ssh.service", False, None),
        ("/system.slice/cron.service", False, None),
        ("/system.slice/system-getty.slice/getty@tty1.service", False, None),
        ("/", True, ("api", None, None, None)),
        ("/", False, None),
    ],
)
def test_what_is_a_service(host: Host, cgroup: str, listens: bool, expected: tuple[Any, ...] | None) -> None:
    host.tree.process(80, "/opt/api/api", cgroup=cgroup, sockets=(901,))
    if listens:
        host.tree.listen(80, 8080, 901)
    found = [(one["name"], one["unit"], one["manager"], one["manager_user"]) for one in host.services().values()]
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(("path", "counts"), [("/run/api.sock", True), ("@docker_cli_1234", False)])
def test_unix_listeners_of_a_program_without_unit(host: Host, path: str, counts: bool) -> None:
    host.tree.process(80, "/opt/api/api", sockets=(901,))
    unix = host.tree.root / "proc/80/net/unix"
    unix.write_text(unix.read_text() + f"0000000000000000: 00000002 00000000 00010000 0001 01 901 {path}\n")
    found = host.services()
    assert bool(found) is counts
    if counts:
        assert found["api"]["processes"][0]["listeners"] == [
            {"proto": "unix", "address": None, "port": None, "path": path, "inode": 901}
        ]


def test_the_go_toolchain_is_no_service(host: Host) -> None:
    host.tree.file("/usr/local/go/bin/go", fixtures.go_program(path="cmd/go"), 0o755)
    host.tree.process(80, "/usr/local/go/bin/go", cgroup="/system.slice/ci-runner.service", sockets=(901,))
    host.tree.listen(80, 8080, 901)
    assert host.services() == {}


def test_socket_activation(host: Host) -> None:
    """The listener belongs to the process that holds its descriptor, whoever opened it."""
    host.tree.process(80, "/opt/api/api", cgroup="/system.slice/api.service", sockets=(901,))
    host.tree.listen(1, 8080, 901)
    host.tree.listen(80, 8080, 901)
    host.tree.listen(80, 9999, 555)
    host.unit("api.service", main=80, TriggeredBy="api.socket")
    one = host.services()["api"]
    assert [listener["port"] for listener in one["processes"][0]["listeners"]] == [8080], "not the port that is somebody else's"
    assert one["properties"]["TriggeredBy"] == "api.socket"


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (f"/machine.slice/libpod-{ID}.scope", {"runtime": "podman", "id": ID[:12]}),
        (f"/system.slice/docker-{ID}.scope", {"runtime": "docker", "id": ID[:12]}),
        (f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", {"runtime": "containerd", "id": ID[:12]}),
        ("/lxc.payload.web1/system.slice/api.service", {"runtime": "lxc", "id": "web1"}),
    ],
)
def test_processes_in_containers(host: Host, cgroup: str, container: dict[str, str]) -> None:
    host.tree.file("/containers/1/app/api", fixtures.go_program(version="go1.26.1"), 0o755)
    host.tree.process(80, "/app/api", cgroup=cgroup, root="/containers/1", nspid=(80, 7), uid=990)
    one = host.services()["api"]
    assert (one["container"], one["unit"], one["manager"], one["properties"]) == (container, None, None, None)
    assert one["binary"]["buildinfo"]["go_version"] == "go1.26.1", "the file of the container, not of the host"
    process = one["processes"][0]
    assert (process["same_file"], process["user"]) == (True, "990"), "the host's user names say nothing there"


@pytest.mark.parametrize(
    ("marker", "text", "container"),
    [
        ("run/.containerenv", 'engine="podman-4.9.3"\nid="%s"\n' % ID, {"runtime": "podman", "id": ID[:12]}),
        (".dockerenv", "", {"runtime": "docker", "id": ""}),
        ("other", "", {"runtime": "unknown", "id": ""}),
    ],
)
def test_container_without_a_cgroup_of_its_own(host: Host, marker: str, text: str, container: dict[str, str]) -> None:
    host.tree.file(f"/containers/1/{marker}", text)
    host.tree.file("/containers/1/app/api", fixtures.go_program(), 0o755)
    host.tree.process(80, "/app/api", cgroup="/system.slice/worker.service", root="/containers/1", nspid=(80, 7))
    assert host.services()["api"]["container"] == container


def test_sandboxed_service_is_no_container(host: Host) -> None:
    """PrivatePIDs= gives a pid namespace, ProtectSystem= a mount namespace: the root is still the host's."""
    host.tree.process(80, "/opt/api/api", cgroup="/system.slice/api.service", nspid=(80, 1))
    assert host.services()["api"]["container"] is None


def test_host_that_is_a_container_itself(tmp_path: Path) -> None:
    host = Host(tmp_path, top=f"/docker/{ID}/init.scope")
    host.tree.file("/opt/api/api", fixtures.go_program(), 0o755)
    host.tree.process(80, "/opt/api/api", cgroup=f"/docker/{ID}/system.slice/api.service")
    one = host.services()["api"]
    assert (one["container"], one["unit"], one["processes"][0]["cgroup"]["path"]) == (
        None,
        "api.service",
        "/system.slice/api.service",
    )


def test_declared_unit_that_runs_a_container(host: Host) -> None:
    host.tree.file("/containers/1/app/api", fixtures.go_program(), 0o755)
    host.tree.process(
        80, "/app/api", cgroup=f"/system.slice/web.service/libpod-payload-{ID}", root="/containers/1", nspid=(80, 1)
    )
    host.unit("web.service", exec_start="/usr/bin/podman run web")
    found = host.services([{"name": "web"}])
    assert list(found) == ["web"]
    assert (found["web"]["unit"], found["web"]["container"]) == ("web.service", {"runtime": "podman", "id": ID[:12]})


def test_names_differ_and_do_not_depend_on_pids(host: Host) -> None:
    for path in ("/srv/a/api", "/srv/b/api"):
        host.tree.file(path, fixtures.go_program(), 0o755)
    api(host, 80)
    for number, (exe, cgroup) in enumerate(
        [
            ("/srv/a/api", "/"),
            ("/srv/b/api", "/"),
            ("/opt/api/api", f"/docker/{ID}"),
            ("/opt/api/api", "/user.slice/user-1000.slice/user@1000.service/app.slice/api.service"),
        ],
        81,
    ):
        host.tree.process(number, exe, cgroup=cgroup, sockets=(900 + number,))
        host.tree.listen(number, 9000 + number, 900 + number)
    # Each process has its own net/tcp in the tree, so each needs a namespace of its own.
    for pid in range(80, 86):
        host.tree.link(f"/proc/{pid}/ns/net", f"net:[{pid}]")
    first = sorted(host.services())
    assert first == ["api", "api (/srv/a/api)", "api (/srv/b/api)", f"api (docker {ID[:12]})", "api (user 1000)"]
    assert sorted(host.services()) == first
    assert sorted(host.services([{"name": "api", "unit": "other"}])) == ["api", *first[1:3], "api (api.service)", *first[3:]]


def test_users_of_a_container(host: Host) -> None:
    """Names are the container's own; where its user namespace shifts the ids, there are none."""
    host.tree.file("/containers/1/app/api", fixtures.go_program(), 0o755)
    host.tree.file("/containers/1/etc/passwd", "app:x:990:990::/:/bin/false\n")
    host.tree.process(80, "/app/api", cgroup=f"/docker/{ID}", root="/containers/1", uid=990)
    host.tree.link("/proc/self/ns/user", "user:[1]")
    host.tree.link("/proc/80/ns/user", "user:[1]")
    assert host.services()["api"]["processes"][0]["user"] == "app"
    host.tree.link("/proc/80/ns/user", "user:[2]")
    assert host.services()["api"]["processes"][0]["user"] == "990"


def test_many_processes_of_one_service(host: Host) -> None:
    for pid in range(100, 150):
        host.tree.process(pid, "/opt/api/api", cgroup="/system.slice/containerd.service")
    host.unit("containerd.service", main=140)
    one = host.services()["containerd"]
    assert (len(one["processes"]), one["more_processes"]) == (32, 18)
    assert one["processes"][0]["pid"] == 140, "the main process is among them"


# --- files


def test_deleted_executable(host: Host) -> None:
    api(host)
    host.tree.file("/opt/api/api (deleted)", fixtures.go_program(version="go1.26.1"), 0o755)
    host.tree.link("/proc/80/exe", "/opt/api/api (deleted)")
    process = host.services()["api"]["processes"][0]
    assert (process["exe"], process["exe_deleted"], process["same_file"]) == ("/opt/api/api", True, False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"/opt/api": 0o777}, ["/opt/api is writable by everybody (0777)"]),
        ({"/opt/api": 0o1777}, []),
        ({"/opt/api/api": 0o757}, ["/opt/api/api is writable by everybody (0757)"]),
        ({"/opt/api/api": 0o775}, []),
    ],
)
def test_who_could_replace_the_file(host: Host, changes: dict[str, int], expected: list[str]) -> None:
    host.tree.root.chmod(0o755)
    (host.tree.root / "opt").chmod(0o755)
    (host.tree.root / "opt/api").chmod(0o755)
    for path, mode in changes.items():
        (host.tree.root / path.lstrip("/")).chmod(mode)
    host.unit("api.service", exec_start="/opt/api/api")
    # Group writable counts for a group that others are in: root's own group does not.
    if os.getgid() == 0:
        assert host.services([{"name": "api"}])["api"]["binary"]["writable_by"] == expected


@pytest.mark.skipif(os.getuid() != 0, reason="gives files to other users")
def test_group_and_owner_of_the_folders(host: Host) -> None:
    root = host.tree.root
    for folder in (root, root / "opt"):
        folder.chmod(0o755)
    os.chown(root / "opt/api", 1000, 1000)
    os.chown(root / "opt/api/api", 0, 1500)
    (root / "opt/api/api").chmod(0o775)
    host.unit("api.service", exec_start="/opt/api/api")
    binary = host.services([{"name": "api"}])["api"]["binary"]
    assert binary["writable_by"] == ["/opt/api/api is writable by group ops (0775)", "/opt/api belongs to deploy (0755)"]
    assert (binary["owner"], binary["group"], binary["mode"]) == ("root", "ops", "0775")
    os.chown(root / "opt/api/api", 1000, 1000)
    assert host.services([{"name": "api"}])["api"]["binary"]["writable_by"] == [], "a user's own group holds nobody else"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: None, "no such file or directory"),
        (lambda path: path.mkdir(), "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("api2"), "too many levels of symbolic links"),
        (lambda path: path.write_text("#!/bin/sh\n"), "not an ELF file"),
        (
            lambda path: path.write_bytes(fixtures.make_elf(buildinfo=b"\xff Go buildinf:\x05\x00" + b"\0" * 16)),
            "Go build information with pointers of 5 bytes",
        ),
    ],
    ids=["absent", "folder", "fifo", "loop", "script", "damaged"],
)
def test_binaries_that_are_none(host: Host, make: Any, error: str) -> None:
    make(host.tree.root / "opt/api/api2")
    assert host.services([{"name": "api", "binary": "/opt/api/api2"}])["api"]["binary"]["error"] == error


def test_links_stay_below_the_root_of_the_tree(host: Host) -> None:
    host.tree.link("/opt/link", "/../../../../opt/api/../api/api")
    context = Context(root=str(host.tree.root))
    real, inside, _folders = services.Scan(context).resolve("/opt/link", context.path("/"))
    assert (real, inside) == (f"{host.tree.root}/opt/api/api", "/opt/api/api")


# --- units


LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.mark.parametrize(
    ("machine", "uname", "there", "expected"),
    [
        pytest.param(62, "x86_64", "file", True, id="there"),
        pytest.param(62, "x86_64", "link", True, id="behind-links"),
        pytest.param(62, "x86_64", "dangling", False, id="a-link-to-nothing"),
        pytest.param(62, "x86_64", "", False, id="missing"),
        pytest.param(3, "x86_64", "", False, id="missing-of-386"),
        pytest.param(40, "aarch64", "", False, id="missing-of-arm-on-arm64"),
        pytest.param(183, "x86_64", "", None, id="missing-of-another-machine"),
        pytest.param(183, "x86_64", "file", True, id="there-of-another-machine"),
        pytest.param(62, "x86_64", "closed", None, id="not-readable"),
    ],
)
def test_the_loader_of_a_file_on_disk(
    host: Host, monkeypatch: pytest.MonkeyPatch, machine: int, uname: str, there: str, expected: bool | None
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "web1", "6.1", "#1", uname)))
    host.tree.file("/opt/api/api", fixtures.go_program(machine=machine, interpreter=LOADER.encode()), 0o755)
    if there == "file":
        host.tree.file(LOADER, "loader", 0o755)
    elif there:
        host.tree.link("/lib64", "usr/lib64")
        host.tree.link("/usr/lib64/ld-linux-x86-64.so.2", "/lib/real/ld.so")
    if there == "link":
        host.tree.file("/lib/real/ld.so", "loader", 0o755)
    if there == "closed":
        readlink = os.readlink

        def refuse(path: Any, **options: Any) -> Any:
            if str(path).endswith("/usr/lib64/ld-linux-x86-64.so.2"):
                raise PermissionError(13, "Permission denied")
            return readlink(path, **options)

        monkeypatch.setattr(os, "readlink", refuse)
    host.unit("api.service", exec_start="/opt/api/api")
    elf = host.services([{"name": "api"}])["api"]["binary"]["elf"]
    assert (elf["interpreter"], elf["interpreter_exists"]) == (LOADER, expected)


@pytest.mark.parametrize("interpreter", [b"", b"ld.so"], ids=["static", "relative"])
def test_there_is_no_loader_to_look_for(host: Host, interpreter: bytes) -> None:
    host.tree.file("/opt/api/api", fixtures.go_program(interpreter=interpreter), 0o755)
    host.unit("api.service", exec_start="/opt/api/api")
    assert host.services([{"name": "api"}])["api"]["binary"]["elf"]["interpreter_exists"] is None


@pytest.mark.parametrize(
    ("lines", "properties", "expected"),
    [
        ("", {}, False),
        ("BindPaths=\nRootImage=\n", {}, False),
        ("BindReadOnlyPaths=/srv/musl/lib:/lib\n", {}, None),
        ("RootImage=/srv/api.raw\n", {}, None),
        ("", {"RootDirectory": "/srv/alpine"}, None),
    ],
)
def test_a_unit_whose_processes_see_other_files(
    host: Host, monkeypatch: pytest.MonkeyPatch, lines: str, properties: dict[str, str], expected: bool | None
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "web1", "6.1", "#1", "x86_64")))
    host.tree.file("/opt/api/api", fixtures.go_program(interpreter=b"/lib/ld-musl-x86_64.so.1"), 0o755)
    fragment = f"[Service]\nExecStart=/opt/api/api\n{lines}"
    host.unit("api.service", exec_start="/opt/api/api", fragment=fragment, **properties)
    host.unit("plain.service", exec_start="/opt/api/api")
    found = host.services([{"name": "api"}, {"name": "plain"}])
    assert found["api"]["binary"]["elf"]["interpreter_exists"] is expected
    assert found["plain"]["binary"]["elf"]["interpreter_exists"] is False, "one file, two units"


def test_the_loader_of_a_container_is_in_its_image(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "web1", "6.1", "#1", "x86_64")))
    program = fixtures.go_program(interpreter=b"/lib/ld-musl-x86_64.so.1")
    for image in ("/image", "/broken", ""):
        host.tree.file(image + "/opt/job", program, 0o755)
    host.tree.file("/image/lib/ld-musl-x86_64.so.1", "loader", 0o755)
    for pid, image in ((90, "/image"), (91, "/broken")):
        host.tree.process(pid, "/opt/job", cgroup=f"/machine.slice/libpod-{pid}{ID[2:]}.scope", root=image)
    host.tree.process(92, "/opt/job", cgroup="/system.slice/job.service")
    host.unit("job.service", main=92, exec_start="/opt/job")
    found = {one["processes"][0]["pid"]: one for one in host.services().values()}
    for pid, expected in ((90, True), (91, False), (92, False)):
        assert found[pid]["binary"]["elf"]["interpreter_exists"] is expected, pid
        assert found[pid]["processes"][0]["running"]["elf"]["interpreter_exists"] is expected, pid


def test_unit_files_and_files_that_systemd_does_not_read(host: Host) -> None:
    api(host)
    host.unit(
        "api.service",
        main=80,
        fragment="[Service]\nLimitNOFILE=1024\n",
        drop_ins=[("10-a.conf", "[Service]\nLimitNOFILE=64K\n"), ("20-b.conf", "[Service]\nFoo=1\n")],
    )
    for name in ("30-c.txt", "limits", "40-d.conf~", "50-e.conf.dpkg-old", "README", ".swp", "60-f.conf.disabled"):
        host.tree.file(f"/etc/systemd/system/api.service.d/{name}", "[Service]\n")
    one = host.services()["api"]
    assert [file["path"].rsplit("/", 1)[1] for file in one["unit_files"]] == ["api.service", "10-a.conf", "20-b.conf"]
    assert [[problem["line"] for problem in file["problems"]] for file in one["unit_files"]] == [[], [2], [2]]
    assert one["ignored_files"] == ["/etc/systemd/system/api.service.d/30-c.txt", "/etc/systemd/system/api.service.d/limits"]


def test_masked_unit(host: Host) -> None:
    host.unit("api.service", LoadState="masked")
    host.units["api.service"]["FragmentPath"] = "/etc/systemd/system/api.service"
    # As the link to /dev/null that it is: opening it for reading must not be tried.
    (host.tree.root / "etc/systemd/system").mkdir(parents=True)
    os.mkfifo(host.tree.root / "etc/systemd/system/api.service")
    one = host.services([{"name": "api"}])["api"]
    assert (one["properties"]["LoadState"], one["unit_files"]) == ("masked", [])


def test_unit_file_that_is_gone(host: Host) -> None:
    host.unit("api.service", fragment="[Service]\n")
    (host.tree.root / "etc/systemd/system/api.service").unlink()
    assert host.services([{"name": "api"}])["api"]["unit_files"] == [
        {"path": "/etc/systemd/system/api.service", "directives": [], "problems": [], "error": "no such file or directory"}
    ]


@pytest.mark.parametrize(
    ("prepare", "kind", "message"),
    [
        (
            lambda host: setattr(host, "failure", Unavailable("systemctl is not installed")),
            "unavailable",
            "systemctl is not installed",
        ),
        (
            lambda host: setattr(host, "failure", TimeoutError("systemctl did not end within 8.0 s")),
            "timeout",
            "systemctl did not end within 8.0 s",
        ),
        (
            lambda host: setattr(host, "answer", (1, "", "Failed to connect to bus: No such file or directory\n")),
            "unavailable",
            "systemctl: Failed to connect to bus: No such file or directory (rc 1)",
        ),
        (lambda host: (host.tree.root / "run/systemd/system").rmdir(), "unavailable", "systemd is not the init system here"),
    ],
    ids=["absent", "hangs", "no bus", "other init"],
)
def test_without_an_answer_of_systemd(host: Host, prepare: Any, kind: str, message: str) -> None:
    """The processes are listed all the same, and what is missing is named."""
    api(host)
    prepare(host)
    facts = host.facts([{"name": "api"}])
    assert facts["errors"] == [{"part": "services.systemd", "kind": kind, "message": message}]
    one = facts["services"]["services"][0]
    assert (one["properties"], one["unit_files"], one["main_pid"]) == (None, [], None)
    assert [process["pid"] for process in one["processes"]] == [80]


def test_declared_by_name_where_there_is_no_systemd(host: Host) -> None:
    (host.tree.root / "run/systemd/system").rmdir()
    host.tree.process(80, "/opt/api/api", cgroup="/")
    found = {one["name"]: one for one in host.facts([{"name": "api"}, {"name": "gone"}])["services"]["services"]}
    assert [process["pid"] for process in found["api"]["processes"]] == [80]
    assert (found["api"]["unit"], found["gone"]["unit"], found["gone"]["processes"]) == (None, None, [])


# --- programs of another machine, run by an emulator

QEMU = "/usr/bin/qemu-aarch64-static"
PRESERVE = struct.pack("=6Q", 6, 4096, 8, 1, 0, 0)


def emulated(host: Host, pid: int = 80, *, mapped: str = "/opt/api/api", files: bool = True, device: str = "fe:00",
             inode: int = 9, argv: Sequence[str] = ("/usr/libexec/qemu", "/opt/api/api", "api", "-token", "s3cr3t"),
             auxv: bytes = PRESERVE, **more: Any) -> None:
    """api.service, whose arm64 program qemu runs as the kernel has started it."""
    host.tree.file(QEMU, fixtures.make_elf(), 0o755)
    program = fixtures.go_program(machine=183, settings={"GOARCH": "arm64"})
    host.tree.file(mapped, program, 0o755)
    more.setdefault("cgroup", "/system.slice/api.service")
    host.tree.process(pid, QEMU, argv=tuple(argv), comm="api", **more)
    host.tree.file(f"/proc/{pid}/auxv", auxv)
    host.tree.file(
        f"/proc/{pid}/maps",
        f"00010000-00319000 r--p 00000000 {device} {inode}    {mapped}\n"
        f"00320000-006a8000 r--p 00310000 {device} {inode}    {mapped}\n"
        "006a8000-006b0000 ---p 00000000 00:00 0 \n"
        f"7f0000000000-7f0000228000 r-xp 00000000 fe:00 7    {QEMU}\n",
    )
    if files:
        host.tree.link(f"/proc/{pid}/map_files/10000-319000", mapped)
        host.tree.link(f"/proc/{pid}/map_files/7f0000000000-7f0000228000", QEMU)
    host.unit("api.service", main=pid, exec_start="/opt/api/api")


def test_program_in_an_emulator(host: Host) -> None:
    emulated(host)
    one = host.services()["api"]
    process = one["processes"][0]
    assert {key: process[key] for key in ("exe", "exe_deleted", "emulator", "argv", "go", "same_file", "unreadable")} == {
        "exe": "/opt/api/api",
        "exe_deleted": False,
        "emulator": {"path": QEMU},
        "argv": ["api", "-token", "[redacted]"],
        "go": True,
        "same_file": True,
        "unreadable": [],
    }
    for binary in (one["binary"], process["running"]):
        assert (binary["path"], binary["elf"]["machine"]) == ("/opt/api/api", "arm64")
        assert binary["buildinfo"]["go_version"] == "go1.27.3"
    assert [found["pid"] for found in host.services([{"name": "shop", "binary": "/opt/api/api"}])["shop"]["processes"]] == [80]


@pytest.mark.parametrize(("argv", "auxv", "expected"), [
    (("qemu", "/opt/api/api", "-v"), struct.pack("=6Q", 6, 4096, 8, 0, 0, 0), ["/opt/api/api", "-v"]),
    (("qemu", "-L", "/sysroot", "-0", "shop", "/opt/api/api", "-v"), b"", ["shop", "-v"]),
    (("qemu", "api", "api", "-v"), PRESERVE, ["api", "-v"]),
    (("qemu", "./api", "./api"), PRESERVE, ["./api"]),
    (("qemu", "/opt/current/api", "api"), PRESERVE, ["api"]),
    (("qemu", "/usr/local/bin/shop", "shop"), PRESERVE, ["shop"]),
], ids=["name-not-kept", "by-hand", "through-PATH", "relative", "link-moved", "link-moved-and-named-otherwise"])
def test_layouts_of_an_emulators_arguments(host: Host, argv: Sequence[str], auxv: bytes, expected: list[str]) -> None:
    emulated(host, argv=argv, auxv=auxv)
    host.tree.link("/proc/80/cwd", "/opt/api")
    host.tree.file("/opt/2/api", fixtures.go_program(), 0o755)
    host.tree.link("/opt/current", "2")
    host.tree.link("/usr/local/bin/shop", "/opt/current/api")
    process = host.services()["api"]["processes"][0]
    assert (process["exe"], process["argv"], process["same_file"]) == ("/opt/api/api", expected, True)
    assert process["running"]["elf"]["machine"] == "arm64"


def test_emulated_program_that_was_replaced(host: Host) -> None:
    """As map_files shows it: the old file is still what runs."""
    emulated(host, mapped="/opt/api/api (deleted)")
    host.tree.file("/opt/api/api", fixtures.go_program(version="go1.26.1", machine=183), 0o755)
    process = host.services()["api"]["processes"][0]
    assert (process["exe"], process["exe_deleted"], process["same_file"]) == ("/opt/api/api", True, False)
    assert process["running"]["buildinfo"]["go_version"] == "go1.27.3"


def test_emulated_program_whose_mapped_files_are_closed(host: Host) -> None:
    """/proc/PID/map_files needs CAP_SYS_ADMIN: device and inode of maps are the proof then, or there is none."""
    emulated(host, files=False)
    process = host.services()["api"]["processes"][0]
    assert (process["exe"], process["go"], process["same_file"]) == ("/opt/api/api", True, None)
    assert process["running"]["elf"]["machine"] == "arm64"
    assert process["unreadable"] == [f"same_file: the file that {QEMU} runs cannot be told from the one on disk"]
    status = (host.tree.root / "opt/api/api").stat()
    emulated(host, files=False, device=f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", inode=status.st_ino)
    process = host.services()["api"]["processes"][0]
    assert (process["same_file"], process["unreadable"]) == (True, [])


@pytest.mark.parametrize("mapped", ["/opt/api/api (deleted)", "/opt/gone"])
def test_emulated_program_that_cannot_be_reached(host: Host, mapped: str) -> None:
    emulated(host, mapped=mapped, files=False)
    if mapped == "/opt/gone":
        (host.tree.root / "opt/gone").unlink()
    facts = host.facts()
    process = facts["services"]["services"][0]["processes"][0]
    assert (process["exe"], process["go"], process["running"], process["emulator"]) == (None, None, None, None)
    assert process["unreadable"] == ["exe: permission denied"]
    assert facts["services"]["unreadable"]["commands"] == ["api"]


def test_emulators_that_run_no_go_program(host: Host) -> None:
    emulated(host, argv=("qemu", "-version"), auxv=b"")
    emulated(host, 81, mapped="/usr/bin/python3", argv=("qemu", "/usr/bin/python3", "py"), cgroup="/system.slice/web.service")
    host.tree.file("/usr/bin/python3", fixtures.make_elf(machine=183), 0o755)
    host.units.clear()
    assert host.services() == {}
    host.unit("api.service", main=80)
    process = host.services([{"name": "api"}])["api"]["processes"][0]
    assert (process["exe"], process["go"], process["emulator"], process["argv"]) == (QEMU, False, None, ["qemu", "-version"])


# --- file systems of other machines


REMOTE = (
    "31 23 0:28 / / rw,relatime - ext4 /dev/vda1 rw\n"
    "32 31 0:40 / /mnt/nas rw,relatime - nfs4 nas:/srv rw\n"
    "33 32 0:41 / /mnt/nas/local rw,relatime - ext4 /dev/vdb1 rw\n"
    "34 31 0:42 / /mnt/auto rw,relatime - autofs systemd-1 rw\n"
)


@pytest.mark.parametrize(("path", "answers", "error"), [
    ("/mnt/nas/api", False, "/mnt/nas (nfs4, nas:/srv) does not answer"),
    ("/mnt/nas/api", True, None),
    ("/mnt/nas/local/api", False, "/mnt/nas (nfs4, nas:/srv) does not answer"),
    ("/mnt/nas/local/api", True, None),
    ("/opt/api/nas", False, "/mnt/nas (nfs4, nas:/srv) does not answer"),
    ("/mnt/auto/api", True, "/mnt/auto is mounted on demand, looking at it would mount it"),
], ids=["dead", "alive", "below-the-dead", "below-the-living", "through-a-link", "on-demand"])
def test_declared_binary_on_a_remote_file_system(host: Host, monkeypatch: pytest.MonkeyPatch, path: str, answers: bool,
                                                 error: str | None) -> None:
    api(host)
    for place in ("/mnt/nas/api", "/mnt/nas/local/api", "/mnt/auto/api"):
        host.tree.file(place, fixtures.go_program(), 0o755)
    host.tree.link("/opt/api/nas", "/mnt/nas/api")
    host.tree.process(90, "/mnt/nas/api", comm="shop", cgroup="/system.slice/shop.service")
    host.tree.file("/proc/self/mountinfo", REMOTE)
    original, asked = host.run, []

    def run(argv: Sequence[str], **options: Any) -> tuple[int, str, str]:
        if argv[0] != "stat":
            return original(argv, **options)
        asked.append(argv[-1])
        if not answers:
            raise TimeoutError("stat did not end within 2.0 s")
        return 0, "", ""

    monkeypatch.setattr(host, "run", run)
    facts = host.facts([{"name": "other", "binary": path}])
    found = {one["name"]: one for one in facts["services"]["services"]}
    assert found["other"]["binary"]["error"] == error
    assert found["api"]["processes"][0]["running"]["error"] is None, "the others are read whole"
    assert asked == ["/mnt/nas"], "once"
    assert ("shop" in found or found["other"]["processes"] != []) is answers
    assert facts["services"]["unreadable"]["reason"] == (None if answers else "/mnt/nas (nfs4, nas:/srv) does not answer")


# --- limits of logins


def test_limits_conf(host: Host) -> None:
    host.tree.file("/etc/security/limits.conf", "# everybody\n* soft core 0\n")
    host.tree.file("/etc/security/limits.d/50-b.conf", "api soft nofile 65536\n")
    host.tree.file("/etc/security/limits.d/50-B.conf", "api - nofile 1024\n")
    host.tree.file("/etc/security/limits.d/50-c.conf.bak", "api - nofile 1\n")
    (host.tree.root / "etc/security/limits.d/60-d.conf").mkdir()
    facts = host.facts()
    assert facts["errors"] == []
    assert [tuple(one.values()) for one in facts["services"]["limits_conf"]] == [
        ("/etc/security/limits.conf", 2, "*", "soft", "core", "0"),
        ("/etc/security/limits.d/50-B.conf", 1, "api", "-", "nofile", "1024"),
        ("/etc/security/limits.d/50-b.conf", 1, "api", "soft", "nofile", "65536"),
    ]
    assert list(facts["services"]["limits_conf"][0]) == ["path", "line", "domain", "type", "item", "value"]


def test_limits_conf_that_may_not_be_read(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.tree.file("/etc/security/limits.conf", "api soft nofile 1\n")
    host.tree.file("/etc/security/limits.d/a.conf", "api soft nofile 2\n")
    original, listdir = Context.read_bytes, os.listdir

    def read_bytes(self: Context, path: str, limit: int = 1 << 20) -> bytes:
        if path.endswith("limits.conf"):
            raise PermissionError(13, "Permission denied", path)
        return original(self, path, limit)

    monkeypatch.setattr(Context, "read_bytes", read_bytes)
    facts = host.facts()
    assert [one["value"] for one in facts["services"]["limits_conf"]] == ["2"]
    assert [(entry["part"], entry["kind"]) for entry in facts["errors"]] == [("services.limits_conf", "permission")]
    assert facts["errors"][0]["message"].startswith("/etc/security/limits.conf: ")

    def closed(path: Any) -> list[str]:
        if str(path).endswith("limits.d"):
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", closed)
    facts = host.facts()
    assert "limits_conf" not in facts["services"]
    assert {entry["kind"] for entry in facts["errors"]} == {"permission"}


def test_limits_conf_is_bounded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_CONF_LINES", 5)
    for name in "abc":
        host.tree.file(f"/etc/security/limits.d/{name}.conf", "api soft nofile 1\n" * 3)
    assert [one["path"][-6:] for one in host.facts()["services"]["limits_conf"]] == ["a.conf"] * 3 + ["b.conf"] * 2


# --- what may not be read, and what goes away


def test_unreadable_processes_are_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    api(host)
    host.tree.process(90, "/opt/api/api", cgroup="/system.slice/hidden.service", comm="hidden")
    host.tree.process(91, "/opt/api/api", cgroup="/", comm="kworker/0:1", flags=0x208040)
    host.unit("hidden.service", main=90, exec_start="/opt/api/api")
    original = services.Scan.exe_path

    def exe_path(self: services.Scan, pid: int) -> str:
        if pid in (90, 91):
            raise PermissionError(13, "Permission denied")
        return original(self, pid)

    monkeypatch.setattr(services.Scan, "exe_path", exe_path)
    facts = host.facts()
    reason = (
        "the executables of some processes may not be read, even by root (a security module, a missing capability)"
        if os.geteuid() == 0
        else "the executables of other users' processes are readable by root only"
    )
    assert facts["services"]["unreadable"] == {"processes": 1, "commands": ["hidden"], "hidden": False, "reason": reason}, (
        "kernel threads are no programs"
    )
    hidden = {one["name"]: one for one in facts["services"]["services"]}["hidden"]
    process = hidden["processes"][0]
    assert (process["pid"], process["go"], process["exe"], process["running"]) == (90, None, None, None)
    assert process["unreadable"] == ["exe: permission denied"]
    assert process["limits"] == {"nofile": {"soft": 1024, "hard": 524288}}


def test_hidepid(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """hidepid=1: the ids of others are there, nothing below them can be read. hidepid=2: not even the ids."""
    api(host)
    original_stat, original_read = services.Scan.exe_path, Context.read_bytes

    def exe_path(self: services.Scan, pid: int) -> str:
        if pid == 80:
            raise PermissionError(1, "Operation not permitted")
        return original_stat(self, pid)

    def read_bytes(self: Context, path: str, limit: int = 1 << 20) -> bytes:
        if path.startswith("/proc/80/"):
            raise PermissionError(1, "Operation not permitted")
        return original_read(self, path, limit)

    monkeypatch.setattr(services.Scan, "exe_path", exe_path)
    monkeypatch.setattr(Context, "read_bytes", read_bytes)
    one = host.services([{"name": "api"}])["api"]
    assert one["main_pid"] == 80
    assert {key: value for key, value in one["processes"][0].items() if value is not None} == {
        "pid": 80,
        "unreadable": ["status: permission denied"],
    }
    monkeypatch.setattr(os, "listdir", lambda path: ["700", "self"])
    assert host.facts()["services"]["unreadable"] == {
        "processes": 0,
        "commands": [],
        "hidden": True,
        "reason": "/proc hides the processes of other users (hidepid)",
    }


@pytest.mark.parametrize("name", ["limits", "environ", "cgroup", "cmdline"])
def test_one_unreadable_file_costs_only_its_value(host: Host, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    api(host)
    original = Context.read_bytes

    def read_bytes(self: Context, path: str, limit: int = 1 << 20) -> bytes:
        if path == f"/proc/80/{name}":
            raise PermissionError(13, "Permission denied")
        return original(self, path, limit)

    monkeypatch.setattr(Context, "read_bytes", read_bytes)
    found = host.services([{"name": "api", "binary": "/opt/api/api"}])
    process = found["api"]["processes"][0]
    if name == "cgroup":
        assert process["cgroup"] is None
    else:
        key = {"cmdline": "argv"}.get(name, name)
        assert (process[key], process["unreadable"]) == (None, [f"{key}: permission denied"])


@pytest.mark.parametrize(
    "name", ["status", "stat", "limits", "cgroup", "cmdline", "environ", "net/tcp", "net/unix", "ns/net", "exe"]
)
@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), ProcessLookupError(3, "gone")], ids=["gone", "no process"])
def test_a_process_that_ends_while_it_is_read(host: Host, monkeypatch: pytest.MonkeyPatch, name: str, error: OSError) -> None:
    api(host)
    host.tree.process(81, "/opt/api/api", cgroup="/system.slice/api.service", sockets=(903,), net="net:[2]")
    original_read, original_link, original_open = Context.read_bytes, os.readlink, open
    hits: list[str] = []

    def ended(path: object) -> None:
        if str(path).endswith(f"/proc/81/{name}"):
            hits.append(name)
            raise error

    def read_bytes(self: Context, path: str, limit: int = 1 << 20) -> bytes:
        ended(path)
        return original_read(self, path, limit)

    def readlink(path: Any, **options: Any) -> str:
        ended(path)
        return original_link(path, **options)

    def opening(path: Any, *args: Any, **kwargs: Any) -> Any:
        ended(path)
        return original_open(path, *args, **kwargs)

    monkeypatch.setattr(Context, "read_bytes", read_bytes)
    monkeypatch.setattr(os, "readlink", readlink)
    monkeypatch.setattr("builtins.open", opening)
    found = host.services()
    assert hits, "the case was met"
    assert 80 in [process["pid"] for process in found["api"]["processes"]]


def test_more_descriptors_than_are_looked_at(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_DESCRIPTORS", 2)
    api(host)
    process = host.services()["api"]["processes"][0]
    assert process["fds"] == {"open": 3}
    assert process["unreadable"] == ["listeners: of 3 descriptors only the first 2 were looked at"]


def test_connections_behind_the_listeners_are_not_read(host: Host) -> None:
    api(host)
    path = host.tree.root / "proc/80/net/tcp"
    connection = (
        "   1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 20 4 30 10 -1\n"
    )
    path.write_text(path.read_text() + "".join(connection.format(5000 + number) for number in range(200_000)))
    started = time.process_time()
    assert host.services()["api"]["processes"][0]["listeners"][0]["port"] == 8080
    assert time.process_time() - started < 0.5


# --- cgroups


def test_cgroup_values_and_the_tightest_of_the_parents(host: Host) -> None:
    api(host)
    base = "/sys/fs/cgroup/system.slice"
    for path, text in {
        "api.service/memory.max": "1073741824",
        "api.service/memory.high": "max",
        "api.service/memory.current": "52428800",
        "api.service/cpu.max": "200000 100000",
        "api.service/pids.max": "200",
        "api.service/pids.current": "9",
        "memory.max": "536870912",
        "cpu.max": "max 100000",
        "pids.max": "max",
    }.items():
        host.tree.file(f"{base}/{path}", text + "\n")
    assert host.services()["api"]["processes"][0]["cgroup"] == {
        "path": "/system.slice/api.service",
        "memory_max": 1073741824,
        "memory_high": "max",
        "memory_current": 52428800,
        "cpu_quota": 2.0,
        "pids_max": 200,
        "pids_current": 9,
        "effective": {
            "memory_max": {"value": 536870912, "path": "/system.slice"},
            "cpu_quota": {"value": 2.0, "path": "/system.slice/api.service"},
            "pids_max": {"value": 200, "path": "/system.slice/api.service"},
        },
    }


def test_cgroup_v1(host: Host) -> None:
    api(host)
    host.tree.file(
        "/proc/80/cgroup",
        "5:cpu,cpuacct:/system.slice/api.service\n4:memory:/system.slice/api.service\n"
        "1:name=systemd:/system.slice/api.service\n0::/\n",
    )
    host.tree.file(
        "/proc/self/mountinfo",
        "".join(
            f"3{number} 23 0:2{number} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
            for number, name in enumerate(("cpu,cpuacct", "memory"))
        ),
    )
    for path, text in {
        "cpu,cpuacct/system.slice/api.service/cpu.cfs_quota_us": "150000",
        "cpu,cpuacct/system.slice/api.service/cpu.cfs_period_us": "100000",
        "memory/system.slice/api.service/memory.limit_in_bytes": "9223372036854771712",
        "memory/system.slice/api.service/memory.usage_in_bytes": "4096",
    }.items():
        host.tree.file(f"/sys/fs/cgroup/{path}", text + "\n")
    values = host.services()["api"]["processes"][0]["cgroup"]
    assert (values["cpu_quota"], values["memory_max"], values["memory_current"], values["pids_max"]) == (1.5, "max", 4096, None)


def test_absent_controllers_are_null(host: Host) -> None:
    api(host)
    assert host.services()["api"]["processes"][0]["cgroup"] == {
        "path": "/system.slice/api.service",
        "memory_max": None,
        "memory_high": None,
        "memory_current": None,
        "cpu_quota": None,
        "pids_max": None,
        "pids_current": None,
        "effective": {},
    }


# --- cost, and this machine


def test_500_processes(host: Host) -> None:
    for number in range(100):
        host.tree.file(f"/usr/bin/tool{number}", fixtures.make_elf(), 0o755)
    for pid in range(1000, 1500):
        host.tree.process(pid, f"/usr/bin/tool{pid % 100}")
    api(host)
    started = time.process_time()
    assert list(host.services()) == ["api"]
    assert time.process_time() - started < 1.0, "0.05 s where nothing else runs"


def test_this_machine() -> None:
    """The real thing, whatever runs here: it answers, in the shape of docs/facts.md."""
    facts = gather({"services": services.PARTS}, Context(services=[{"name": "no-such-service"}]))
    json.dumps(facts)
    assert {entry["part"] for entry in facts["errors"]} <= {"services.systemd"}
    assert facts["services"]["services"][0]["name"] == "no-such-service"
    assert facts["services"]["services"][0]["processes"] == []
