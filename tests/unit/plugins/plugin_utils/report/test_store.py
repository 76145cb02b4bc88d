# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.report import model, store
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet

ALL = ["json", "html", "junit", "md"]
NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)


@pytest.fixture(scope="module")
def report() -> model.Report:
    return model.build(fleet.run(), fleet.documents(), fleet.CATALOGUE)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return fleet.write(tmp_path / "reports" / "runs" / fleet.run()["id"], [])


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_writes_every_format(report: model.Report, run_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert store.write(report, ALL, folder, run_dir) == {
        "json": folder / "report.json", "html": folder / "report.html", "junit": folder / "junit.xml", "md": folder / "report.md"}
    assert names(folder) == ["junit.xml", "report.html", "report.json", "report.md"]
    assert names(run_dir) == ["facts", "hosts", "report.json", "run.json"]
    assert json.loads((folder / "report.json").read_text()) == report.document
    assert (run_dir / "report.json").read_bytes() == (folder / "report.json").read_bytes()


def test_writes_only_what_is_asked_for(report: model.Report, run_dir: Path, tmp_path: Path) -> None:
    assert list(store.write(report, ["md", "md"], tmp_path / "out", run_dir)) == ["md"]
    assert names(tmp_path / "out") == ["report.md"]
    assert (run_dir / "report.json").exists()


def test_files_follow_the_umask(report: model.Report, run_dir: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        paths = store.write(report, ALL, tmp_path / "out", run_dir)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in paths.values()} == {0o640}


def test_without_hard_links_it_is_a_copy(
    report: model.Report, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(store.os, "link", refuse)
    store.write(report, ALL, tmp_path / "out", run_dir)
    assert (run_dir / "report.json").read_bytes() == (tmp_path / "out" / "report.json").read_bytes()
    assert names(tmp_path / "out") == ["junit.xml", "report.html", "report.json", "report.md"]


def test_a_new_report_does_not_touch_that_of_an_older_run(report: model.Report, tmp_path: Path) -> None:
    first, second = (fleet.write(tmp_path / "runs" / name, []) for name in ("one", "two"))
    store.write(report, ALL, tmp_path, first)
    before = (first / "report.json").read_bytes()
    store.write(model.build({**fleet.run(), "id": "two"}, [], {}), ALL, tmp_path, second)
    assert (first / "report.json").read_bytes() == before
    assert json.loads((tmp_path / "report.json").read_text())["run"]["id"] == "two"


@pytest.mark.parametrize("broken", ["html", "junit", "md"])
def test_an_older_report_survives_a_failure_half_way(
    report: model.Report, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str,
) -> None:
    folder = tmp_path / "out"
    store.write(report, ALL, folder, run_dir)
    before = {name: (folder / name).read_bytes() for name in names(folder)}

    def full(_report: model.Report) -> Iterator[str]:
        yield "half of it"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "RENDERERS", {**store.RENDERERS, broken: full})
    with pytest.raises(OSError, match="No space left"):
        store.write(model.build({**fleet.run(), "id": "next"}, [], {}), ALL, folder, run_dir)
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before
    assert names(run_dir) == ["facts", "hosts", "report.json", "run.json"]


@pytest.mark.parametrize("one", ["json", "html", "junit", "md"])
def test_an_older_report_survives_a_folder_of_a_file_s_name(report: model.Report, run_dir: Path, tmp_path: Path, one: str) -> None:
    folder = tmp_path / "out"
    store.write(report, ALL, folder, run_dir)
    (folder / store.FILES[one]).unlink()
    (folder / store.FILES[one]).mkdir()
    before = {path: path.read_bytes() for path in (*folder.iterdir(), *run_dir.iterdir()) if path.is_file()}
    with pytest.raises(IsADirectoryError) as caught:
        store.write(model.build({**fleet.run(), "id": "next"}, [], {}), ALL, folder, run_dir)
    assert caught.value.filename == str(folder / store.FILES[one])
    assert {path: path.read_bytes() for path in (*folder.iterdir(), *run_dir.iterdir()) if path.is_file()} == before


class TestPrune:
    @staticmethod
    def runs(folder: Path, count: int, *, finished: bool = True) -> list[Path]:
        made = []
        for number in range(count):
            name = f"run{number}"
            path = fleet.write(folder / "runs" / name, [], {
                **fleet.run(), "id": name, "started": f"2026-11-21T0{number}:00:00+00:00"})
            if finished:
                (path / "report.json").write_text("{}")
            made.append(path)
        return made

    @pytest.mark.parametrize(("keep", "left"), [(1, [4]), (3, [2, 3, 4]), (10, [0, 1, 2, 3, 4]), (0, [0, 1, 2, 3, 4])])
    def test_keeps_the_newest(self, tmp_path: Path, keep: int, left: list[int]) -> None:
        runs = self.runs(tmp_path, 5)
        removed = store.prune(runs[4], keep, now=NOW)
        assert names(tmp_path / "runs") == [f"run{number}" for number in left]
        assert sorted(removed) == [path for number, path in enumerate(runs) if number not in left]

    def test_never_this_run(self, tmp_path: Path) -> None:
        runs = self.runs(tmp_path, 3)
        store.prune(runs[0], 1, now=NOW)
        assert names(tmp_path / "runs") == ["run0", "run2"]

    def test_never_the_one_with_the_baseline(self, tmp_path: Path) -> None:
        runs = self.runs(tmp_path, 3)
        store.prune(runs[2], 1, runs[0] / "report.json", now=NOW)
        assert names(tmp_path / "runs") == ["run0", "run2"]

    def test_a_run_without_a_report_may_be_under_way_for_a_day(self, tmp_path: Path) -> None:
        runs = self.runs(tmp_path, 3, finished=False)
        assert store.prune(runs[2], 1, now=NOW) == []
        store.prune(runs[2], 1, now=NOW + datetime.timedelta(days=1))
        assert names(tmp_path / "runs") == ["run2"]

    def test_what_is_not_ours_stays(self, tmp_path: Path) -> None:
        runs = self.runs(tmp_path, 6)
        (runs[0] / "notes.txt").write_text("mine")
        runs[1].rename(runs[1].with_name("kept"))
        (runs[2] / "run.json").write_text("{")
        (tmp_path / "elsewhere").mkdir()
        runs[3].rename(tmp_path / "elsewhere" / "run3")
        (tmp_path / "runs" / "run3").symlink_to(tmp_path / "elsewhere" / "run3")
        (tmp_path / "runs" / "a file").write_text("")
        (tmp_path / "runs" / "empty").mkdir()
        store.prune(runs[5], 1, now=NOW)
        assert names(tmp_path / "runs") == ["a file", "empty", "kept", "run0", "run2", "run3", "run5"]
        assert (tmp_path / "elsewhere" / "run3" / "run.json").exists()
