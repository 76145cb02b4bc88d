# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.report import json_report, model
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet


@pytest.mark.parametrize("hosts", [
    pytest.param(fleet.documents(), id="fleet"), pytest.param([], id="no host"),
    pytest.param([model.silent_host("a", "gone")], id="a silent host"),
])
@pytest.mark.parametrize("baseline", [None, model.Baseline("b", "", {}), model.Baseline("b", "", {"web1": {
    "x": ("limits.nofile_effective", "", "fail", "high")}})], ids=["alone", "empty baseline", "baseline"])
def test_text_is_the_document(hosts: list[dict[str, Any]], baseline: model.Baseline | None) -> None:
    report = model.build(fleet.run(), hosts, fleet.CATALOGUE, baseline)
    assert json.loads("".join(json_report.render(report))) == report.document


def test_a_result_is_a_line() -> None:
    lines = "".join(json_report.render(model.build(fleet.run(), fleet.documents(), fleet.CATALOGUE))).splitlines()
    found = [line for line in lines if '"id": "limits.nofile_effective"' in line]
    assert len(found) == 11
    assert all(json.loads(line.strip().rstrip(",").removesuffix("]}"))["id"] == "limits.nofile_effective" for line in found)
