# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module itself: arguments, what it brings together, and that its documentation names all of it."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.goready.preflight.plugins.modules import readiness_facts

FIXTURES = Path(__file__).parents[2] / "fixtures" / "host"
DEFAULTS: dict[str, Any] = {"services": [], "toolchain": "optional", "probes": [], "timeout": 30, "build_user": ""}
# Mappings whose keys are data: the documentation describes them as a whole.
OPEN = {
    "timings", "probes", "host.sysctl", "network.tcp", "toolchain.toolchains.env", "toolchain.shells.env",
    "modules.settings.values", "toolchain.shells.goenv.values", "toolchain.shells.effective", "services.services.properties",
    "services.services.binary.buildinfo.settings", "services.services.processes.running.buildinfo.settings",
    "services.services.processes.limits", "services.services.processes.environ", "services.services.processes.cgroup.effective",
}


def call(**arguments: Any) -> tuple[int, dict[str, Any]]:
    """Run the module as Ansible does: its own process, arguments as JSON, one JSON answer."""
    done = subprocess.run(
        [sys.executable, "-m", readiness_facts.__name__], input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), text=True,
        capture_output=True, timeout=120, check=False, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    return done.returncode, json.loads(done.stdout)


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """The dotted paths of all keys of a document; lists are looked through."""
    if isinstance(value, Mapping) and prefix not in OPEN:
        for key, item in value.items():
            path = f"{prefix}.{key}" if prefix else str(key)
            yield path
            yield from paths(item, path)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, prefix)


def documented(entries: Mapping[str, Any], prefix: str = "") -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for key, entry in entries.items():
        path = f"{prefix}.{key}" if prefix else key
        found[path] = entry
        found.update(documented(entry.get("contains") or {}, path))
    return found


def returns() -> dict[str, Mapping[str, Any]]:
    return documented(yaml.safe_load(readiness_facts.RETURN)["facts"]["contains"])


def recorded() -> list[Path]:
    return sorted(FIXTURES.glob("*.json"))


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.stem)
def test_every_key_of_a_recorded_document_is_documented(path: Path) -> None:
    assert set(paths(json.loads(path.read_text()))) - set(returns()) == set()


def test_this_host() -> None:
    code, answer = call()
    assert (code, answer["changed"]) == (0, False)
    facts = answer["facts"]
    assert [entry for entry in facts["errors"] if entry["kind"] == "exception"] == []
    assert set(readiness_facts.SUBSETS) <= set(facts)
    assert set(paths(facts)) - set(returns()) == set()
    assert facts["probes"] == {}


def test_types_are_the_documented_ones() -> None:
    types = {"dict": dict, "list": list, "str": str, "int": int, "float": (int, float), "bool": bool}
    entries = returns()

    def walk(value: Any, prefix: str) -> None:
        if isinstance(value, Mapping) and prefix not in OPEN:
            for key, item in value.items():
                path = f"{prefix}.{key}" if prefix else key
                kind = entries[path]["type"]
                assert item is None or kind == "raw" or isinstance(item, types[kind]), f"{path} is {item!r}, not {kind}"
                walk(item, path)
        elif isinstance(value, list) and value:
            kind = entries[prefix]["elements"]
            for item in value:
                assert isinstance(item, types[kind]), f"{prefix} has {item!r}, not {kind}"
                walk(item, prefix)

    for path in recorded():
        walk(json.loads(path.read_text()), "")
    walk(call()[1]["facts"], "")


def test_check_mode_is_identical() -> None:
    """But for what moves by itself."""
    documents = [call(_ansible_check_mode=mode, subsets=["host"])[1]["facts"] for mode in (False, True)]
    for document in documents:
        for key in ("collected", "timings"):
            del document[key]
        for key in ("memory", "file_nr", "filesystems", "time"):
            document["host"].pop(key, None)
    assert documents[0] == documents[1]


def test_one_subset() -> None:
    facts = readiness_facts.read({**DEFAULTS, "subsets": ["network"]})
    assert set(facts) == {"facts_version", "collected", "errors", "timings", "network", "probes"}


def test_pprof_brings_services_along(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(readiness_facts, "SUBSETS", {
        "pprof": (("endpoints", lambda context: order.append("pprof")),),
        "services": (("services", lambda context: order.append("services")),), "host": ()})
    facts = readiness_facts.read({**DEFAULTS, "subsets": ["pprof"]})
    assert order == ["services", "pprof"]
    assert {"pprof", "services"} <= set(facts)
    assert "host" not in facts


def test_declarations_reach_the_collectors(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(readiness_facts, "SUBSETS", {"host": (
        ("x", lambda context: seen.extend([context.services, context.toolchain, context.build_user, context.timeout])),)})
    readiness_facts.read({**DEFAULTS, "subsets": ["host"], "services": [{"name": "api"}], "toolchain": "absent",
                          "build_user": "ci", "timeout": 7})
    assert seen == [[{"name": "api"}], "absent", "ci", 7.0]


def test_probes() -> None:
    code, answer = call(subsets=["network"], probes=[
        {"id": "a.ok", "kind": "command", "command": ["echo", "hi"]}, {"id": "a.bad", "kind": "nonsense"},
        {"id": "a.hangs", "kind": "command", "command": ["sleep", "60"], "timeout": 0.2}])
    assert code == 0
    probes = answer["facts"]["probes"]
    assert {key: entry["ok"] for key, entry in probes.items()} == {"a.ok": True, "a.bad": False, "a.hangs": False}
    assert probes["a.ok"]["stdout"] == "hi"


@pytest.mark.parametrize(("arguments", "message"), [
    ({"timeout": 0}, "timeout: 0 is not from 1 to 3600 seconds"),
    ({"subsets": ["hosts"]},
     "value of subsets must be one or more of: host, toolchain, modules, services, pprof, network. Got no match for: hosts"),
    ({"toolchain": "maybe"}, "value of toolchain must be one of: required, optional, absent, got: maybe"),
])
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    code, answer = call(**arguments)
    assert (code, answer["msg"]) == (1, message)


def test_the_arguments_are_the_documented_ones() -> None:
    """The defaults and choices of the documentation, by running the module with none and with each choice."""
    options = yaml.safe_load(readiness_facts.DOCUMENTATION)["options"]
    _code, answer = call(subsets=["network"])
    used = answer["invocation"]["module_args"]
    assert set(used) == set(options)
    assert {key: value for key, value in used.items() if key != "subsets"} == {
        key: option["default"] for key, option in options.items() if key != "subsets"}
    assert options["subsets"]["default"] == options["subsets"]["choices"] == list(readiness_facts.SUBSETS)
