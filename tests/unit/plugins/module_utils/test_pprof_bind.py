# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is pure of it; the rest runs on a real host in molecule/pprof_guard."""
from __future__ import annotations

import os

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import pprof_bind, units
from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
from ansible_collections.goready.preflight.plugins.module_utils.pprof_bind import Wanted
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("value, found", [
    pytest.param("127.0.0.1:6060", Wanted("127.0.0.1", 6060, ""), id="ipv4"),
    pytest.param("[::1]:6060", Wanted("::1", 6060, ""), id="ipv6"),
    pytest.param("localhost:6060", Wanted("localhost", 6060, ""), id="name"),
    pytest.param("http://127.0.0.1:6060", Wanted("127.0.0.1", 6060, ""), id="url"),
    pytest.param("unix:///run/api.sock", Wanted("", 0, "/run/api.sock"), id="unix-url"),
    pytest.param("unix:/run/api.sock", Wanted("", 0, "/run/api.sock"), id="unix"),
    pytest.param("/run/api.sock", Wanted("", 0, "/run/api.sock"), id="path"),
])
def test_wanted(value, found):
    assert pprof_bind.wanted(value) == found


NOT_ONE = "%r is not an address such as 127.0.0.1:6060 or unix:///run/api/pprof.sock"
NO_LOOPBACK = "%r is not on loopback: 127.0.0.1:6060, [::1]:6060 or a unix socket is"


@pytest.mark.parametrize("value, message", [
    pytest.param(":6060", NO_LOOPBACK % ":6060", id="every-address"),
    pytest.param("0.0.0.0:6060", NO_LOOPBACK % "0.0.0.0:6060", id="wildcard"),
    pytest.param("[::]:6060", NO_LOOPBACK % "[::]:6060", id="wildcard-v6"),
    pytest.param("10.0.0.1:6060", NO_LOOPBACK % "10.0.0.1:6060", id="network"),
    pytest.param("127.0.0.1", NOT_ONE % "127.0.0.1", id="no-port"),
    pytest.param("127.0.0.1:0", NOT_ONE % "127.0.0.1:0", id="port-0"),
    pytest.param("127.0.0.1:99999", NOT_ONE % "127.0.0.1:99999", id="port-too-high"),
    pytest.param("127.0.0.1:6060\nUser=root", NOT_ONE % "127.0.0.1:6060\nUser=root", id="newline"),
    pytest.param(6060, NOT_ONE % 6060, id="number"),
    pytest.param("", NOT_ONE % "", id="empty"),
    pytest.param("unix:", "'unix:' names no socket: an absolute path of at most 107 characters is wanted", id="no-path"),
])
def test_wanted_refuses(value, message):
    with pytest.raises(ValueError) as caught:
        pprof_bind.wanted(value)
    assert str(caught.value) == message


@given(st.text(max_size=60))
def test_wanted_is_never_beyond_loopback(value):
    try:
        found = pprof_bind.wanted(value)
    except ValueError:
        return
    assert found.path or found.host in ("localhost", "::1") or found.host.startswith(("127.", "::ffff:127."))


@pytest.mark.parametrize("environment, argument, message", [
    pytest.param(None, None, "environment, argument: exactly one of both says how the service is told where pprof listens", id="none"),
    pytest.param("A", "--a", "environment, argument: exactly one of both says how the service is told where pprof listens", id="both"),
    pytest.param("A B", None, "environment: 'A B' is not the name of a variable", id="variable"),
    pytest.param(None, "debug addr", "argument: 'debug addr' is not an argument such as --debug-addr", id="argument"),
])
def test_told_by_refuses(environment, argument, message):
    with pytest.raises(ValueError) as caught:
        pprof_bind.told_by(environment, argument)
    assert str(caught.value) == message


def test_told_by():
    assert pprof_bind.told_by("API_PPROF", None) == "API_PPROF"
    assert pprof_bind.told_by(None, "-pprof") == "-pprof"


def test_a_fifo_in_place_of_an_environment_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "env")
    (tmp_path / "real").write_text("OTHER=1\n API_PPROF = :6060\n")
    assert pprof_bind._sets(str(tmp_path / "env"), "API_PPROF") is False
    assert pprof_bind._sets(str(tmp_path / "missing"), "API_PPROF") is False
    assert pprof_bind._sets(str(tmp_path / "real"), "API_PPROF") is True


def test_the_difference_shows_no_password():
    after = ("# Managed\n[Service]\nExecStart=\nExecStart=/usr/bin/api --password=hunter2 --token hunter2 --db postgres://u:hunter2@h/x"
             " --debug-addr=127.0.0.1:6060\n")
    [one] = pprof_bind.shown([{"before_header": "/a", "after_header": "/a", "before": "", "after": after}])
    assert one == {"before_header": "/a", "after_header": "/a", "before": "", "after": (
        "# Managed\n[Service]\nExecStart=\nExecStart=/usr/bin/api --password=[redacted] --token [redacted] "
        "--db postgres://u:[redacted]@h/x --debug-addr=127.0.0.1:6060\n")}


class Unready:
    """A systemd whose first restart is interrupted. It cannot be had from a real one at a point that is known."""

    def __init__(self):
        self.said = []

    def __getattr__(self, name):
        def call(*_arguments, **_options):
            self.said.append(name)
            if name == "restart" and self.said.count(name) == 1:
                raise KeyboardInterrupt
            if name == "wait_active":
                return units.Waited({}, 0.0)
            return {"api.service": {"ActiveState": "active", "SubState": "running", "LoadState": "loaded", "MainPID": "1"}}
        return call


def test_whatever_interrupts_the_restart_the_service_runs_again_as_before(tmp_path, monkeypatch):
    systemd = Unready()
    monkeypatch.setattr(units, "Systemd", lambda: systemd)
    monkeypatch.setattr(units, "Restarts", lambda name, real=units.Restarts: real(name, state_dir=str(tmp_path / "state")))
    changes = Changes("pprof_bind", root=str(tmp_path), lock_dir=str(tmp_path), state_dir=str(tmp_path / "state"))
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), changes:
        pprof_bind.Binding(changes, "api.service", timeout=1.0, health="").apply("[Service]\n", None)
    assert systemd.said.count("restart") == 2
    assert list((tmp_path / "etc/systemd/system").iterdir()) == []
    assert not (tmp_path / "state").exists()
