# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.goready.preflight.plugins.action import report as action, summary as summary_action
from ansible_collections.goready.preflight.plugins.modules import report as documented
from ansible_collections.goready.preflight.plugins.plugin_utils.report import json_report, model
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet


class Screen:
    """Stands in for Ansible's Display."""

    def __init__(self) -> None:
        self.screen: list[str] = []
        self.log: list[str] = []

    def display(self, msg: str, *, screen_only: bool = False, log_only: bool = False) -> None:
        assert screen_only != log_only
        (self.screen if screen_only else self.log).append(msg)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    stub = Screen()
    monkeypatch.setattr("ansible_collections.goready.preflight.plugins.plugin_utils.report.screen.display", stub)
    return stub


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return fleet.write(tmp_path / "reports" / "runs" / fleet.run()["id"])


def run(check_mode: bool = False, **args: Any) -> dict[str, Any]:
    task = MagicMock(args=args, check_mode=check_mode, async_val=0, action="goready.preflight.report")
    module = action.ActionModule(task, connection=MagicMock(), play_context=MagicMock(check_mode=check_mode), loader=MagicMock(),
                                 templar=MagicMock(), shared_loader_obj=None)
    return dict(module.run(task_vars={}))


@pytest.mark.parametrize("check_mode", [False, True])
def test_writes_the_report_and_returns_little(run_dir: Path, tmp_path: Path, screen: Screen, check_mode: bool) -> None:
    result = run(check_mode, run_dir=str(run_dir))
    folder = tmp_path / "reports"
    assert {key: value for key, value in result.items() if key != "counts"} == {
        "changed": False, "verdict": "not_ready", "report_dir": str(folder),
        "msg": "3 findings block 4 of 12 hosts; 1 host gave no result; 2 checks could not be judged on 1 host. "
        "1 of 30 checks was not selected on 1 of 11 hosts.",
        "verdicts": {"web1": "ready", "web2": "ready", "web3": "not_ready", "web4": "not_ready", "edge1": "not_ready",
                     "edge2": "not_ready", "job1": "ready_with_warnings", "job2": "ready_with_warnings",
                     "db1": "ready_with_warnings", "cache1": "ready", "pay1": "inconclusive", "pay2": "inconclusive"},
        "unmended": {},
        "paths": {"json": str(folder / "report.json"), "html": str(folder / "report.html"), "junit": str(folder / "junit.xml"),
                  "md": str(folder / "report.md")}}
    assert result["counts"] == json.loads((folder / "report.json").read_text())["summary"]
    assert len(json.dumps(result)) < 2000


def test_prints_one_screen_and_where_the_report_lies(run_dir: Path, tmp_path: Path, screen: Screen) -> None:
    run(run_dir=str(run_dir))
    assert screen.screen[0].startswith("\nNOT READY  3 findings block 4 of 12 hosts")
    assert screen.screen[0].endswith(f"Report: {tmp_path}/reports/report.html  (also md, json, junit)\n")
    assert screen.log == [screen.screen[0].strip("\n")]


def test_the_summary_can_be_shown_after_the_gate(run_dir: Path, tmp_path: Path, screen: Screen) -> None:
    result = run(run_dir=str(run_dir))
    shown = screen.screen.pop()
    task = MagicMock(args={"run_dir": str(run_dir), "paths": result["paths"]}, check_mode=False, async_val=0, action="summary")
    again = summary_action.ActionModule(task, connection=MagicMock(), play_context=MagicMock(check_mode=False), loader=MagicMock(),
                                        templar=MagicMock(), shared_loader_obj=None).run(task_vars={})
    assert (screen.screen, again["verdict"], again["changed"]) == ([shown], "not_ready", False)


def test_colours_are_those_of_ansible(run_dir: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible.utils.color.ANSIBLE_COLOR", True)
    run(run_dir=str(run_dir))
    assert screen.screen[0].startswith("\n\x1b[0;31mNOT READY\x1b[0m  3 findings")
    assert "\x1b" not in screen.log[0]


@pytest.mark.parametrize(("callback", "summary", "printed"), [
    ("default", True, 1), ("default", False, 0), ("json", True, 0), ("ansible.posix.jsonl", True, 0),
    ("ansible.builtin.default", True, 1),
])
def test_a_summary_only_where_people_read(
    run_dir: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch, callback: str, summary: bool, printed: int,
) -> None:
    monkeypatch.setattr("ansible.constants.DEFAULT_STDOUT_CALLBACK", callback)
    run(run_dir=str(run_dir), summary=summary)
    assert len(screen.screen) == printed


def test_formats_and_folder(run_dir: Path, tmp_path: Path, screen: Screen) -> None:
    result = run(run_dir=str(run_dir), report_dir=str(tmp_path / "public"), formats=["junit"])
    assert result["paths"] == {"junit": str(tmp_path / "public" / "junit.xml")}
    assert [entry.name for entry in (tmp_path / "public").iterdir()] == ["junit.xml"]


def test_the_baseline_may_be_the_report_that_is_replaced(tmp_path: Path, screen: Screen) -> None:
    before = model.build({**fleet.run(), "id": "before"}, fleet.before(), fleet.CATALOGUE)
    path = tmp_path / "reports" / "report.json"
    path.parent.mkdir()
    path.write_text("".join(json_report.render(before)), "utf-8")
    run_dir = fleet.write(path.parent / "runs" / fleet.run()["id"], about={**fleet.run(), "baseline": str(path)})
    run(run_dir=str(run_dir))
    delta = json.loads(path.read_text())["delta"]
    assert delta["baseline_run_id"] == "before"
    assert {key: len(delta[key]) for key in model.CHANGES} == {"new": 4, "fixed": 2, "unchanged": 12, "unverified": 1}
    assert (delta["hosts_new"], delta["hosts_gone"]) == (["job2"], ["old1"])
    assert "since before: 4 new, 2 fixed, 12 unchanged, 1 not verified again\n" in screen.screen[0]


def test_old_runs_are_cleared_away(run_dir: Path, screen: Screen) -> None:
    for day in (1, 2, 3):
        name = f"2026110{day}T000000Z-aaaaaa"
        old = fleet.write(run_dir.parent / name, [], {**fleet.run(), "id": name, "started": f"2026-11-0{day}T00:00:00+00:00"})
        (old / "report.json").write_text("{}")
    run(run_dir=str(run_dir), keep_runs=2)
    assert sorted(entry.name for entry in run_dir.parent.iterdir()) == ["20261103T000000Z-aaaaaa", fleet.run()["id"]]


@pytest.mark.parametrize(("content", "message"), [
    (None, "it cannot be read: No such file or directory"),
    ("{}", "it has no schema_version: expected a report.json that this collection wrote"),
])
def test_a_baseline_that_is_no_report_is_one_sentence(
    tmp_path: Path, screen: Screen, content: str | None, message: str,
) -> None:
    path = tmp_path / "baseline.json"
    if content is not None:
        path.write_text(content)
    run_dir = fleet.write(tmp_path / "reports" / "runs" / "x", about={**fleet.run(), "baseline": str(path)})
    with pytest.raises(AnsibleActionFail) as caught:
        run(run_dir=str(run_dir))
    assert caught.value.message == f"the baseline {str(path)!r} is no report: {message}"
    assert not (tmp_path / "reports" / "report.json").exists()


def test_a_folder_that_holds_no_run_is_one_sentence(tmp_path: Path, screen: Screen) -> None:
    with pytest.raises(AnsibleActionFail) as caught:
        run(run_dir=str(tmp_path))
    assert caught.value.message == f"{tmp_path} holds no run: run.json cannot be read: No such file or directory"


def test_a_folder_that_cannot_be_written_is_one_sentence(run_dir: Path, tmp_path: Path, screen: Screen) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail) as caught:
        run(run_dir=str(run_dir), report_dir=str(tmp_path / "file"))
    assert caught.value.message == (
        f"the report cannot be written: {tmp_path}/file: File exists; an older report was left as it is")
    assert screen.screen == []


@pytest.mark.parametrize("args", [{}, {"run_dir": "/x", "formats": ["pdf"]}, {"run_dir": "/x", "keep_runs": "many"},
                                  {"run_dir": "/x", "y": 1}])
def test_wrong_arguments_are_refused(args: dict[str, Any], screen: Screen) -> None:
    with pytest.raises(AnsibleError):
        run(**args)


def test_documentation_tells_the_truth(run_dir: Path, screen: Screen) -> None:
    options = yaml.safe_load(documented.DOCUMENTATION)["options"]
    assert set(options) == {"run_dir", "report_dir", "formats", "keep_runs", "summary"}
    assert options["formats"]["default"] == options["formats"]["choices"] == list(action.store.FILES)
    assert set(yaml.safe_load(documented.RETURN)) == set(run(run_dir=str(run_dir)))
