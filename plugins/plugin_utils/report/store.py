# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report files on disk: written beside their final names and renamed together, and old runs cleared away."""
from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ansible_collections.goready.preflight.plugins.plugin_utils.report import (
    html, json_report, junit, markdown, model, text,
)

RENDERERS: Mapping[str, Callable[[model.Report], Iterator[str]]] = {
    "json": json_report.render, "html": html.render, "junit": junit.render, "md": markdown.render,
}
FILES = {"json": "report.json", "html": "report.html", "junit": "junit.xml", "md": "report.md"}

# Everything that a run's folder holds: one that holds something else is somebody's, and stays.
_OWN = {"run.json", "report.json", "hosts", "facts", "before", "profiles", "remediation", "stopped.json"}
# A run that wrote no report may still be under way; after a day it is not.
_ABANDONED = datetime.timedelta(days=1)


def write(report: model.Report, formats: list[str], report_dir: Path, run_dir: Path) -> dict[str, Path]:
    """Write the report in ``formats`` to ``report_dir`` and report.json to the run's folder (a baseline for later runs).

    All files are complete before the first one takes its name: where anything fails, every older report is still there,
    whole. Raises OSError as the file system does.
    """
    report_dir.mkdir(parents=True, exist_ok=True)
    report = model.placed(report, report_dir)
    # Files beside the final names prove that both folders can be written; what a rename would trip over is looked for here.
    for path in (run_dir / FILES["json"], *(report_dir / FILES[one] for one in formats)):
        if path.is_dir() and not path.is_symlink():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    staged: dict[Path, Path] = {}
    try:
        kept = run_dir / FILES["json"]
        staged[kept] = _beside(kept)
        _fill(staged[kept], json_report.render(report))
        paths = {}
        for one in dict.fromkeys(formats):
            path = paths[one] = report_dir / FILES[one]
            temporary = staged[path] = _beside(path)
            if one != "json":
                _fill(temporary, RENDERERS[one](report))
                continue
            try:
                os.link(staged[kept], temporary)
            except OSError:  # another file system, or one without links
                shutil.copyfile(staged[kept], temporary)
        for path, temporary in staged.items():
            os.replace(temporary, path)
    finally:
        for temporary in staged.values():
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    return paths


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def _fill(path: Path, pieces: Iterator[str]) -> None:
    with path.open("x", encoding="utf-8") as stream:
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        # Without this a power cut after the rename can leave an empty file under the final name.
        os.fsync(stream.fileno())


def prune(run_dir: Path, keep: int, baseline: Path | None = None, now: datetime.datetime | None = None) -> list[Path]:
    """Remove the oldest runs beside ``run_dir`` so that ``keep`` are left (0: all are kept); returns what was removed.

    Only folders that are runs and nothing else are touched; never this run, the one ``baseline`` lies in, or one that
    may still be under way.
    """
    if keep <= 0:
        return []
    now = now or datetime.datetime.now(datetime.timezone.utc)
    runs = sorted(filter(None, map(_run, run_dir.parent.iterdir())), reverse=True)
    removed = []
    for started, path in runs[keep:]:
        if path == run_dir or (baseline and baseline.resolve().is_relative_to(path.resolve())):
            continue
        if not (path / FILES["json"]).exists() and now - started < _ABANDONED:
            continue
        shutil.rmtree(path)
        removed.append(path)
    return removed


def _run(path: Path) -> tuple[datetime.datetime, Path] | None:
    """When the run in this folder began; None where the folder is not one of ours."""
    try:
        if path.is_symlink() or not path.is_dir() or {entry.name for entry in path.iterdir()} - _OWN:
            return None
        about = json.loads((path / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    started = text.parse_time(about.get("started")) if isinstance(about, dict) else None
    return (started, path) if started and about.get("id") == path.name else None
