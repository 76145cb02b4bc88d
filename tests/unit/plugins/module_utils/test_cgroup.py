# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import cgroup
from ansible_collections.goready.preflight.plugins.module_utils.procfs import Mount, parse_cgroup

ID = "0123456789abcdef" * 4
SHORT = ID[:12]

UNITS = {
    "system service": ("/system.slice/api.service", ("api.service", "system", None, None)),
    "template in its slice": ("/system.slice/system-api.slice/api@blue.service", ("api@blue.service", "system", None, None)),
    "own slice": ("/shop.slice/shop-api.slice/api.service", ("api.service", "system", None, None)),
    "delegated sub-group": ("/system.slice/api.service/workers/1", ("api.service", "system", None, None)),
    "escaped name": ("/system.slice/a\\x2db.service", ("a\\x2db.service", "system", None, None)),
    "escaped for the kernel": ("/system.slice/_cgroup.service", ("cgroup.service", "system", None, None)),
    "transient": ("/system.slice/run-u12.service", ("run-u12.service", "system", None, None)),
    "user manager": (
        "/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service",
        ("sync.service", "user", 1000, None),
    ),
    "user manager itself": ("/user.slice/user-1000.slice/user@1000.service/init.scope", (None, "user", 1000, "init.scope")),
    "program of a desktop": (
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-1.scope",
        (None, "user", 1000, "app-firefox-1.scope"),
    ),
    "login session": ("/user.slice/user-0.slice/session-4.scope", (None, None, None, "session-4.scope")),
    "container's scope": (f"/machine.slice/libpod-{ID}.scope", (None, None, None, f"libpod-{ID}.scope")),
    "service inside a container": (
        f"/machine.slice/libpod-{ID}.scope/system.slice/api.service",
        (None, None, None, f"libpod-{ID}.scope"),
    ),
    "init": ("/init.scope", (None, None, None, "init.scope")),
    "root": ("/", (None, None, None, None)),
}


@pytest.mark.parametrize("case", UNITS)
def test_unit_of(case: str) -> None:
    path, expected = UNITS[case]
    assert cgroup.unit_of(path) == expected


CONTAINERS = {
    "podman, systemd": (f"/machine.slice/libpod-{ID}.scope", ("podman", SHORT)),
    "podman, container's own cgroup": (f"/machine.slice/libpod-{ID}.scope/container", ("podman", SHORT)),
    "podman, quadlet": (f"/system.slice/web.service/libpod-payload-{ID}", ("podman", SHORT)),
    "podman, cgroupfs": (f"/libpod_parent/libpod-{ID}", ("podman", SHORT)),
    "podman, rootless": (
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
        ("podman", SHORT),
    ),
    "podman's monitor": (f"/machine.slice/libpod-conmon-{ID}.scope", None),
    "docker, systemd": (f"/system.slice/docker-{ID}.scope", ("docker", SHORT)),
    "docker, cgroupfs": (f"/docker/{ID}", ("docker", SHORT)),
    "docker, nested": (f"/docker/{ID}/system.slice/api.service", ("docker", SHORT)),
    "kubernetes, containerd": (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-{ID}.scope",
        ("containerd", SHORT),
    ),
    "kubernetes, containerd of systemd": (
        f"/system.slice/containerd.service/kubepods-besteffort-pod1.slice:cri-containerd:{ID}",
        ("containerd", SHORT),
    ),
    "kubernetes, cgroupfs": (f"/kubepods/burstable/pod1-2-3/{ID}", ("containerd", SHORT)),
    "kubernetes, cri-o": (f"/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope", ("unknown", SHORT)),
    "containerd, ctr": (f"/default/{ID}", ("containerd", SHORT)),
    "nerdctl": (f"/system.slice/nerdctl-{ID}.scope", ("containerd", SHORT)),
    "lxc": ("/lxc.payload.web1/system.slice/api.service", ("lxc", "web1")),
    "lxc, older": ("/lxc/web1/init.scope", ("lxc", "web1")),
    "nspawn": ("/machine.slice/systemd-nspawn@web1.service/payload/system.slice/api.service", ("unknown", "web1")),
    "docker itself": ("/system.slice/docker.service", None),
    "containerd and its shims": ("/system.slice/containerd.service", None),
    "service": ("/system.slice/api.service", None),
    "service called like a container": ("/system.slice/docker-registry.service", None),
    "login": ("/user.slice/user-0.slice/session-4.scope", None),
}


@pytest.mark.parametrize("case", CONTAINERS)
def test_container_of(case: str) -> None:
    path, expected = CONTAINERS[case]
    assert cgroup.container_of(path) == expected


@pytest.mark.parametrize(
    ("path", "host", "expected"),
    [
        ("/system.slice/api.service", "/init.scope", "/system.slice/api.service"),
        ("/system.slice/api.service", "/", "/system.slice/api.service"),
        (f"/docker/{ID}/system.slice/api.service", f"/docker/{ID}/init.scope", "/system.slice/api.service"),
        (f"/docker/{ID}", f"/docker/{ID}/init.scope", "/"),
        (f"/libpod_parent/libpod-{ID}/a.service", f"/libpod_parent/libpod-{ID}", "/a.service"),
        ("/lxc/web10/init.scope", "/lxc/web1/init.scope", "/lxc/web10/init.scope"),
        ("/other", f"/docker/{ID}/init.scope", "/other"),
    ],
)
def test_a_host_that_is_a_container_itself(path: str, host: str, expected: str) -> None:
    assert cgroup.relative(path, host) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/system.slice/a.service", "/system.slice/a.service"),
        ("4:memory:/m\n1:name=systemd:/system.slice/a.service", "/system.slice/a.service"),
        ("1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service", "/system.slice/a.service"),
        ("1:name=systemd:/system.slice/a.service\n0::/", "/system.slice/a.service"),
        ("1:name=systemd:/\n0::/system.slice/a.service", "/system.slice/a.service"),
        ("0::/", "/"),
        ("4:memory:/m", None),
        ("", None),
    ],
)
def test_primary(text: str, expected: str | None) -> None:
    assert cgroup.primary(parse_cgroup(text)) == expected


V2 = Mount("/", "/sys/fs/cgroup", "cgroup2", ("rw",))


def v1(controllers: str, root: str = "/") -> Mount:
    return Mount(root, f"/sys/fs/cgroup/{controllers}", "cgroup", ("rw", *controllers.split(",")))


@pytest.mark.parametrize(
    ("text", "mounts", "expected"),
    [
        ("0::/a.service", [V2], {"unified": ("/sys/fs/cgroup", "/a.service")}),
        (
            "5:cpu,cpuacct:/a\n4:memory:/b\n3:pids:/c\n0::/",
            [v1("cpu,cpuacct"), v1("memory"), v1("pids")],
            {
                "cpu": ("/sys/fs/cgroup/cpu,cpuacct", "/a"),
                "memory": ("/sys/fs/cgroup/memory", "/b"),
                "pids": ("/sys/fs/cgroup/pids", "/c"),
            },
        ),
        ("4:memory:/\n0::/a.service", [V2], {"unified": ("/sys/fs/cgroup", "/a.service")}),
        (f"4:memory:/docker/{ID}/x", [v1("memory", f"/docker/{ID}")], {"memory": ("/sys/fs/cgroup/memory", "/x")}),
        (f"4:memory:/docker/{ID}", [v1("memory", f"/docker/{ID}")], {"memory": ("/sys/fs/cgroup/memory", "/")}),
        ("4:memory:/elsewhere", [v1("memory", f"/docker/{ID}")], {}),
        ("0::/../outside", [V2], {}),
        ("0::/a", [Mount("/", "/", "ext4", ("rw",))], {}),
    ],
    ids=["v2", "v1", "v1 not mounted here", "bind mount", "bind mount's top", "not shown", "outside the namespace", "no cgroups"],
)
def test_directories(text: str, mounts: list[Mount], expected: dict[str, tuple[str, str]]) -> None:
    assert cgroup.directories(parse_cgroup(text), mounts) == expected


def test_ancestors() -> None:
    assert cgroup.ancestors("/a/b/c") == ["/a/b/c", "/a/b", "/a", "/"]
    assert cgroup.ancestors("/") == ["/"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max\n", "max"),
        ("536870912\n", 536870912),
        ("0\n", 0),
        ("9223372036854771712\n", "max"),
        ("-1\n", "max"),
    ],
)
def test_amounts(text: str, expected: object) -> None:
    assert cgroup.parse_amount(text) == expected


@pytest.mark.parametrize("text", ["", "x", "1 2", "-2", "1.5", "9" * 30])
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        cgroup.parse_amount(text)


@pytest.mark.parametrize(("text", "expected"), [("max 100000\n", "max"), ("150000 100000\n", 1.5), ("50000\n", 0.5)])
def test_cpu_max(text: str, expected: object) -> None:
    assert cgroup.parse_cpu_max(text) == expected


@pytest.mark.parametrize(("quota", "period", "expected"), [("-1\n", "100000\n", "max"), ("20000\n", "10000\n", 2.0)])
def test_cfs(quota: str, period: str, expected: object) -> None:
    assert cgroup.parse_cfs(quota, period) == expected


@pytest.mark.parametrize("text", ["", "x 1", "1 0", "1 x"])
def test_cpu_that_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        cgroup.parse_cpu_max(text)


@given(st.one_of(st.text(max_size=200), st.text(alphabet="/.service0scopeuser@docker-lib", max_size=300)))
def test_arbitrary_paths(path: str) -> None:
    cgroup.unit_of(path)
    cgroup.container_of(path)
    assert isinstance(cgroup.relative(path, path), str)
    assert cgroup.ancestors(path)[-1] == "/"
    for function in (cgroup.parse_amount, cgroup.parse_cpu_max):
        try:
            function(path)
        except ValueError:
            pass
