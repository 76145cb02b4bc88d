# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The waits against a systemd that plays a script; real units are in molecule/service_limits."""
from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import systemd, units
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Unavailable


class Player:
    """systemctl: each ``show`` is the next line of the script, the last one for ever."""

    def __init__(self, *script: dict[str, str], rc: int = 0, err: str = "") -> None:
        self.script = [{"Id": "api.service", "ActiveState": "active", "SubState": "running", "Job": "", "MainPID": "7",
                        "InvocationID": "new", "NRestarts": "0", "ExecMainCode": "0", **line} for line in script]
        self.rc, self.err = rc, err
        self.asked: list[list[str]] = []

    def __call__(self, argv: Any, seconds: float) -> tuple[int, str, str]:
        self.asked.append(list(argv))
        now = self.script.pop(0) if len(self.script) > 1 else self.script[0] if self.script else {}
        return self.rc, "".join(f"{name}={value}\n" for name, value in now.items()), self.err


def test_many_units_in_one_call() -> None:
    asked: list[list[str]] = []

    def run(argv: Any, seconds: float) -> tuple[int, str, str]:
        asked.append(list(argv))
        return 0, "Id=api.service\nTasksMax=5\n\nId=worker@goready-preflight.service\nTasksMax=6\n", ""

    found = units.Systemd(run).show(["api.service", "worker@.service"], ["TasksMax"])
    assert {unit: one["TasksMax"] for unit, one in found.items()} == {"api.service": "5", "worker@.service": "6"}
    assert len(asked) == 1 and asked[0][-2:] == ["api.service", "worker@goready-preflight.service"]
    assert units.Systemd(run).show([]) == {}


def test_no_answer() -> None:
    with pytest.raises(units.UnitError) as caught:
        units.Systemd(Player(rc=1, err="Failed to connect to bus: password=hunter2secret\n")).show(["api.service"])
    assert str(caught.value) == "systemctl show answered for 0 of 1 units: Failed to connect to bus: password=[redacted]"

    def absent(argv: Any, seconds: float) -> tuple[int, str, str]:
        raise Unavailable("systemctl is not installed")

    with pytest.raises(units.UnitError) as caught:
        units.Systemd(absent).daemon_reload()
    assert str(caught.value) == "systemctl is not installed: this host has no systemd"


STARTING = {"ActiveState": "activating", "SubState": "start"}
GONE = {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainCode": "1", "ExecMainStatus": "3"}
CRASHED = {"ActiveState": "activating", "SubState": "auto-restart", "ExecMainCode": "1", "ExecMainStatus": "3"}


@pytest.mark.parametrize("script", [
    pytest.param([{}], id="at-once"),
    pytest.param([{"InvocationID": "old"}, {"InvocationID": "old", "ActiveState": "inactive", "Job": "12"}, STARTING, {}], id="restart"),
    pytest.param([CRASHED, {"NRestarts": "1"}], id="one-crash-is-forgiven"),
])
def test_active(script: Any) -> None:
    waited = units.Systemd(Player(*script)).wait_active("api.service", timeout=5, settle=0.15, before="old")
    assert waited.properties["MainPID"] == "7" and waited.seconds >= 0.15


@pytest.mark.parametrize(("script", "message"), [
    pytest.param([STARTING], "api.service is not active after 0.5 s: it is activating (start)", id="never-ready"),
    pytest.param([{"InvocationID": "old"}], "api.service is not active after 0.5 s: it is active (running)", id="not-restarted"),
    pytest.param([STARTING, GONE], "api.service failed: failed (failed), result exit-code, its program ended with status 3", id="failed"),
    pytest.param([STARTING, {**GONE, "Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9"}],
                 "api.service failed: failed (failed), result signal, its program was ended by signal 9", id="killed"),
    pytest.param([{"ActiveState": "inactive", "SubState": "dead", "ExecMainCode": "1", "ExecMainStatus": "0"}],
                 "api.service ended: inactive (dead), its program ended with status 0", id="ended"),
])
def test_not_active(script: Any, message: str) -> None:
    with pytest.raises(units.UnitError) as caught:
        units.Systemd(Player(*script)).wait_active("api.service", timeout=0.5, settle=0.2, before="old")
    assert str(caught.value) == message


def test_a_crash_loop_ends_the_wait() -> None:
    script = [line for number in range(4) for line in ({"NRestarts": str(number), "InvocationID": f"i{number}"},
                                                       {**CRASHED, "NRestarts": str(number), "InvocationID": f"i{number}"})]
    with pytest.raises(units.UnitError, match=r"api.service crashes again and again: systemd restarted it 3 times within [01]\.\d s "
                                              r"\(activating \(auto-restart\), its program ended with status 3\)\Z"):
        units.Systemd(Player(*script)).wait_active("api.service", timeout=30, settle=0.5, before="old")


def test_another_process_starts_the_settling_anew() -> None:
    player = Player({"MainPID": "7"}, {"MainPID": "8"}, {"MainPID": "9"})
    waited = units.Systemd(player).wait_active("api.service", timeout=5, settle=0.25)
    assert waited.properties["MainPID"] == "9" and len(player.asked) >= 4


def test_a_refused_restart() -> None:
    with pytest.raises(units.UnitError) as caught:
        units.Systemd(Player(rc=1, err="Failed to restart api.service: Unit is masked.\n")).restart("api.service")
    assert str(caught.value) == "systemctl restart api.service was refused: Failed to restart api.service: Unit is masked."


@pytest.fixture
def server() -> Iterator[Any]:
    """Answers 503 twice, and 200 then."""

    class Handler(http.server.BaseHTTPRequestHandler):
        count = 0

        def do_GET(self) -> None:
            Handler.count += 1
            self.send_response(200 if Handler.count > 2 and self.path == "/healthz" else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd.server_address[1]
    httpd.shutdown()
    httpd.server_close()


def test_healthy_after_a_while(server: int) -> None:
    assert units.wait_healthy(f"http://127.0.0.1:{server}/healthz", timeout=10) >= 0.3


def test_not_healthy(server: int) -> None:
    with pytest.raises(units.UnitError) as caught:
        units.wait_healthy(f"http://user:secret@127.0.0.1:{server}/nope", timeout=0.5)
    assert str(caught.value).endswith("/nope is not healthy after 0.5 s: answers 503") and "secret" not in str(caught.value)


@pytest.mark.parametrize(("name", "expected"), [
    ("worker@.service", True), ("worker@1.service", False), ("api.service", False), ("a@b@.service", False),
])
def test_templates(name: str, expected: bool) -> None:
    assert units.is_template(name) is expected
    assert not units.is_template(units.instance(name))


def test_rendered() -> None:
    text = units.render_drop_in([("Environment", units.quote('A=50% "x" \\')), ("LimitNOFILE", "1:2")], comment=["why"])
    assert text == '# why\n[Service]\nEnvironment="A=50%% \\"x\\" \\\\"\nLimitNOFILE=1:2\n'
    with pytest.raises(ValueError, match="does not fit into one line"):
        units.render_drop_in([("Environment", "A=1\nExecStart=/bin/evil")])
    with pytest.raises(ValueError, match="does not fit into one line"):
        units.render_drop_in([("Environment", "A=1\\")])


@given(st.text())
def test_a_quoted_word_stays_one_line_and_one_word(text: str) -> None:
    try:
        rendered = units.render_drop_in([("Environment", units.quote("A=" + text))])
    except ValueError:
        return
    (one,) = systemd.parse_unit_file(rendered).directives
    assert systemd.split_words(one.value) == [units.quote("A=" + text)]


def test_overriding(tmp_path: Path) -> None:
    files = {"10-a.conf": "[Service]\nLimitNOFILE=1\n", "60-b.conf": "[Service]\nLimitNOFILE=64K\nLimitNOFILE=2:3\n",
             "99-c.conf": "[Unit]\nLimitNOFILE=9\n[Service]\n#LimitNOFILE=8\nTasksMax=4\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    paths = [f"/{name}" for name in [*files, "99-gone.conf"]]
    assert units.overriding(paths, "50-mine.conf", "LimitNOFILE", root=str(tmp_path)) == [("/60-b.conf", 3, "2:3")]
    assert units.overriding(paths, "50-mine.conf", "TasksMax", root=str(tmp_path)) == [("/99-c.conf", 5, "4")]


@pytest.mark.parametrize(("properties", "expected"), [
    ({"LoadState": "loaded"}, None),
    ({"LoadState": "not-found"}, "api.service does not exist on this host"),
    ({"LoadState": "error", "LoadError": "org.x.Y \"bad\""}, "systemd cannot load api.service: it is error (org.x.Y \"bad\")"),
    ({}, "systemd cannot load api.service: it is in no known state"),
])
def test_fault(properties: Any, expected: Any) -> None:
    assert units.fault("api.service", properties) == expected


def test_restarts_outlast_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    restarts = units.Restarts("x", state_dir=str(folder))
    assert restarts.left() == []
    restarts.begin("a.service")
    restarts.begin("b.service")
    restarts.begin("a.service")
    assert units.Restarts("x", state_dir=str(folder)).left() == ["b.service", "a.service"]
    restarts.end("b.service")
    assert json.loads((folder / "x.restarts").read_text()) == ["a.service"]
    restarts.end("a.service")
    assert not folder.exists()
    folder.mkdir()
    (folder / "x.restarts").write_text("half")
    assert restarts.left() == []
