# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils import report as package
from ansible_collections.goready.preflight.plugins.plugin_utils.report import json_report, model
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet

SCHEMA = json.loads((Path(next(iter(package.__path__))).parent / "schema" / "report-1.0.schema.json").read_text("utf-8"))


def strict(schema: Any) -> Any:
    """The same schema where an object may hold no key that is not named: what this version itself has to keep to."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def errors(schema: Any, document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def document(hosts: list[dict[str, Any]] | None = None, baseline: model.Baseline | None = None) -> dict[str, Any]:
    report = model.build(fleet.run(), fleet.documents() if hosts is None else hosts, fleet.CATALOGUE, baseline)
    return dict(json.loads("".join(json_report.render(report))))


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_report_of_a_fleet() -> None:
    assert errors(strict(SCHEMA), document()) == []


def test_report_with_a_baseline() -> None:
    before = model.Baseline("before", "", {"web1": {"ffff": ("limits.nofile_effective", "api", "fail", "critical")}, "old": {}})
    compared = document(baseline=before)
    assert compared["delta"]["fixed"] and compared["delta"]["new"]
    assert errors(strict(SCHEMA), compared) == []


def test_report_of_no_host_and_of_silent_hosts() -> None:
    assert errors(strict(SCHEMA), document([])) == []
    assert errors(strict(SCHEMA), document([model.silent_host("a", model.NO_RESULT)])) == []


def test_an_explanation_of_a_service_is_known() -> None:
    hosts = fleet.documents()
    hosts[0]["services"][0]["explanation"] = {
        "ranked": [{"check": "network.dns", "subject": "db1", "share": 0.4, "reason": "DNS takes 40 % of a request."}],
        "excluded": [{"check": "network.endpoint", "reason": "Every endpoint answers."}]}
    explained = document(hosts)
    assert "explanation" in explained["hosts"][0]["services"][0]
    assert errors(strict(SCHEMA), explained) == []


def test_a_consumer_of_this_schema_reads_later_minor_versions() -> None:
    later = document()
    later["schema_version"] = "1.4"
    later["more"] = later["run"]["more"] = later["hosts"][0]["more"] = later["hosts"][0]["results"][0]["more"] = {"x": 1}
    assert errors(SCHEMA, later) == []


@pytest.mark.parametrize(("path", "value", "message"), [
    (("schema_version",), "2.0", "does not match"),
    (("verdict",), "green", "is not one of"),
    (("hosts", 0, "results", 0, "status"), "skipped", "is not one of"),
    (("hosts", 0, "results", 0, "severity"), "blocker", "is not one of"),
    (("hosts", 0, "results", 0, "id"), "nofile", "does not match"),
    (("hosts", 0, "results", 0, "waived"), "no", "is not of type"),
    (("hosts", 0, "reachable"), "yes", "is not of type"),
    (("summary", "results", "pass"), -1, "is less than the minimum"),
    (("findings", 0, "kind"), "green", "is not one of"),
])
def test_wrong_values_are_refused(path: tuple[Any, ...], value: Any, message: str) -> None:
    wrong: Any = copy.deepcopy(document())
    target = wrong
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert any(message in error for error in errors(SCHEMA, wrong))


@pytest.mark.parametrize("key", SCHEMA["required"])
def test_every_key_of_the_contract_is_required(key: str) -> None:
    wrong = document()
    del wrong[key]
    assert any(f"'{key}' is a required property" in error for error in errors(SCHEMA, wrong))
