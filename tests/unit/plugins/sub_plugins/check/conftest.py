# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded facts, small edits of them, and one check run over the result."""
from __future__ import annotations

import copy
import datetime
import importlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import engine

FIXTURES = Path(__file__).parents[3] / "fixtures"
NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)


@cache
def _read(path: str) -> Any:
    return json.loads((FIXTURES / path).read_text(encoding="utf-8"))


@cache
def _check(check_id: str) -> engine.Check:
    family = check_id.split(".", 1)[0]
    module = importlib.import_module(f"ansible_collections.goready.preflight.plugins.sub_plugins.check.{family}")
    return next(one for one in engine.checks_of(module) if one.id == check_id)


@pytest.fixture
def recorded() -> Callable[..., dict[str, Any]]:
    """``recorded("checks/host.json", {path: value})``: a copy of a recorded document, edited.

    A path is written with slashes; an entry of a list is named by its number or by its ``name``
    (``services/services/api/processes/0/fds/open``). The value ``...`` takes the entry away.
    """
    def load(name: str, edits: Mapping[str, Any] | None = None) -> dict[str, Any]:
        facts: dict[str, Any] = copy.deepcopy(_read(name))
        for path, value in (edits or {}).items():
            edit(facts, path, value)
        return facts

    return load


def edit(document: Any, path: str, value: Any) -> None:
    *steps, last = path.split("/")
    for step in steps:
        document = document[_key(document, step)]
    key = _key(document, last)
    if value is ...:
        del document[key]
    elif isinstance(document, list) and key == len(document):
        document.append(copy.deepcopy(value))
    else:
        document[key] = copy.deepcopy(value)


def _key(document: Any, step: str) -> Any:
    if not isinstance(document, list):
        return step
    if step.isdigit():
        return int(step)
    return next(index for index, entry in enumerate(document) if entry.get("name") == step)


@pytest.fixture
def judge() -> Callable[..., dict[str, engine.Result]]:
    """``judge("limits.tasks", facts, thresholds={...}, services=[...])``: the results of one check by subject."""
    def run(check_id: str, facts: Mapping[str, Any], *, thresholds: Mapping[str, Any] | None = None,
            **policy: Any) -> dict[str, engine.Result]:
        policy.setdefault("now", NOW)
        policy["services"] = tuple(policy.get("services") or ())
        one = _check(check_id)
        results = engine.run([one], facts, engine.Policy(thresholds={check_id: dict(thresholds or {})}, **policy))
        by_subject = {result.subject: result for result in results}
        assert len(by_subject) == len(results), f"{check_id} names a subject twice: {[one.subject for one in results]}"
        return by_subject

    return run


@pytest.fixture
def expect(recorded: Callable[..., dict[str, Any]], judge: Callable[..., dict[str, engine.Result]]) -> Callable[..., None]:
    """Run one check over an edited document and compare one subject's result with what the row says.

    ``evidence`` and ``command`` are parts of theirs.
    """
    def compare(*, base: str, check: str, status: str = "", reason: str = "", subject: str = "", severity: str | None = None,
                edits: Mapping[str, Any] | None = None, evidence: str = "", command: str | None = None,
                role: str | None = None, **options: Any) -> None:
        results = judge(check, recorded(base, edits), **options)
        assert subject in results, f"no result for {subject!r}, there are {sorted(results)}"
        result = results[subject]
        assert (result.status, result.reason) == (status, reason)
        assert result.severity == (severity or _check(check).severity)
        assert evidence in "\n".join(result.evidence)
        if command is not None:
            assert command in result.remediation.command if command else not result.remediation.command
        if role is not None:
            assert result.remediation.role == role

    return compare
