# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module itself: arguments, what it brings together, and that its documentation names all of it."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures" / "pprof"))

import pytest
import yaml
from pprof_fixtures import Server

from ansible_collections.goready.preflight.plugins.module_utils.collect import runtime
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
from ansible_collections.goready.preflight.plugins.modules import readiness_facts

FIXTURES = Path(__file__).parents[2] / "fixtures" / "host"
DEFAULTS: dict[str, Any] = {"services": [], "toolchain": "optional", "probes": [], "timeout": 30, "build_user": ""}
# Mappings whose keys are data: the documentation describes them as a whole.
OPEN = {
    "timings", "probes", "host.sysctl", "network.tcp", "toolchain.toolchains.env", "toolchain.shells.env",
    "modules.settings.values", "toolchain.shells.goenv.values", "toolchain.shells.effective", "services.services.properties",
    "services.services.binary.buildinfo.settings", "services.services.processes.running.buildinfo.settings",
    "services.services.processes.limits", "services.services.processes.environ", "services.services.processes.cgroup.effective",
    "runtime.endpoints.groups", "runtime.endpoints.takes.memory.memstats", "runtime.endpoints.takes.metrics.families",
    "runtime.endpoints.takes.profiles.totals", "proxies.chains.entries.load.errors",
    "wall.endpoints.groups", "wall.endpoints.samples.counts",
    "sample.kernel.tcp", "sample.kernel.pressure", "sample.kernel.namespaces", "sample.services.pressure",
    *(f"runtime.endpoints.takes.{key}" for key in (
        "goroutines.counts", "leaks.counts", "dump.ids", "dump.minutes", "dump.waits")),
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


def test_every_key_is_a_word() -> None:
    """A bare ``on`` is a truth value of YAML 1.1, at which ansible-doc breaks."""
    assert [path for path in returns() if {"True", "False", "None"} & set(path.split("."))] == []


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


@pytest.fixture(scope="module")
def runtime_answer() -> dict[str, Any]:
    """What the module returns of a service that answers as Go 1.27 did (fixtures/runtime/endpoint)."""
    answers = json.loads((FIXTURES.parent / "runtime" / "endpoint" / "go1.27.3.json").read_text())
    with Server({path: text.encode("latin-1") for path, text in answers.items()}) as server:
        code, answer = call(subsets=["runtime"], credentials=[{"service": "api", "username": "ops", "password": "main"}], runtime={
            "kinds": list(readiness_facts.KINDS), "cpu_seconds": 1, "raw": ["heap"], "targets": [{
                "service": "api", "container": None, "pid": os.getpid(), "started": runtime.started(Context(), os.getpid()),
                "listener": {"proto": "tcp", "address": "127.0.0.1", "port": server.port, "path": None}, "namespace": "host",
                "scheme": "http", "prefix": "", "declared": True, "go_version": "go1.27.3", "module": "example.test/labsvc"}]})
    assert code == 0 and answer["facts"]["runtime"]["endpoints"][0]["takes"]
    return answer


def test_every_key_of_a_take_is_documented(runtime_answer: dict[str, Any]) -> None:
    assert set(paths(runtime_answer["facts"])) - set(returns()) == set()
    names = documented(yaml.safe_load(readiness_facts.RETURN)["profiles"]["contains"])
    [raw] = runtime_answer["profiles"]
    assert set(paths(raw)) - set(names) == set()
    told = {path for path in returns() if path.startswith("runtime.endpoints.takes.")}
    missing = {path for path in told - set(paths(runtime_answer["facts"])) if not path.endswith((".kind", ".message", ".reason"))}
    # The service of the recording has neither contention nor metrics, and burnt no CPU.
    assert {path.split(".")[3] for path in missing} <= {"mutex", "block", "cpu", "metrics"}


def test_the_shape_of_a_take_is_that_of_the_document(runtime_answer: dict[str, Any]) -> None:
    text = (Path(__file__).parents[4] / "docs" / "facts.md").read_text()
    part = text[text.index("\nruntime:"):text.index("\nprobes:")]
    for path in returns():
        if path.startswith("runtime.") and "container." not in path and "listener." not in path:
            assert re.search(rf"\b{path.rsplit('.', 1)[1]}\b", part), path


def test_credentials_are_not_echoed_and_cut_nothing_out(runtime_answer: dict[str, Any]) -> None:
    """A password that is a word of every Go program: Ansible's own masking would replace it in every function's name."""
    [given] = runtime_answer["invocation"]["module_args"]["credentials"]
    assert given["password"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    groups = runtime_answer["facts"]["runtime"]["endpoints"][0]["groups"].values()
    assert any(row[0] == "main.serve" for group in groups for row in group["frames"])


URLS = {"name": "api", "pprof": "http://bob:hunter22@127.0.0.1:1", "health": "https://h.test/?token=hunter22x", "args": ["-v"]}


@pytest.mark.parametrize("arguments", [{"subsets": ["network"]}, {"timeout": 0}, {"subsets": ["runtime"], "runtime": {"budget": 0}}],
                         ids=["good", "no time", "bad option"])
def test_passwords_in_urls_are_not_echoed(arguments: dict[str, Any]) -> None:
    given = [{"service": "api", "username": "ops", "password": "S3cr3t-of-the-test"}]
    _code, answer = call(services=[URLS], credentials=given, **arguments)
    [echoed] = answer["invocation"]["module_args"]["services"]
    assert echoed == {"name": "api", "pprof": "http://bob:[redacted]@127.0.0.1:1", "health": "https://h.test/?token=[redacted]",
                      "args": ["-v"]}
    assert "hunter22" not in json.dumps(answer) and "S3cr3t" not in json.dumps(answer)


def test_passwords_are_echoed_from_no_argument() -> None:
    url = "https://bob:hunter22@127.0.0.1:1/x"
    _code, answer = call(
        subsets=["network"], services=[{"name": "api", "depends_on": [url, "tcp://127.0.0.1:1"]}],
        active={"network": {"endpoints": {url: {"validate_certs": False}}, "server_timeouts": [url]}},
        probes=[{"id": "a", "kind": "http", "url": url, "headers": {"Authorization": "Bearer hunter22hunter22"}, "timeout": 1}])
    echoed = answer["invocation"]["module_args"]
    assert echoed["services"][0]["depends_on"] == ["https://bob:[redacted]@127.0.0.1:1/x", "tcp://127.0.0.1:1"]
    assert echoed["active"]["network"]["endpoints"] == {"https://bob:[redacted]@127.0.0.1:1/x": {"validate_certs": False}}
    assert "hunter22" not in json.dumps(answer)


def test_types_are_the_documented_ones(runtime_answer: dict[str, Any]) -> None:
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
            for item in value if kind != "raw" else ():
                assert isinstance(item, types[kind]), f"{prefix} has {item!r}, not {kind}"
                if kind != "list":
                    walk(item, prefix)

    for path in recorded():
        walk(json.loads(path.read_text()), "")
    walk(call()[1]["facts"], "")
    walk(runtime_answer["facts"], "")


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
     "value of subsets must be one or more of: host, toolchain, modules, services, pprof, network, runtime, connections, sample, pools, "
     "wall, databases, timeouts, proxies, build. Got no match for: hosts"),
    ({"active": {"budget": 0}}, "active: budget: 0 is not from 1 to 3600 seconds"),
    ({"runtime": {"budget": 0}, "subsets": ["runtime"]}, "runtime: budget: 0 is not from 1 to 600"),
    ({"runtime": {"raw": ["trace"]}, "subsets": ["runtime"]}, f"runtime: raw: trace is none of {', '.join(readiness_facts.KINDS)}"),
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
    assert {key: value for key, value in used.items() if key not in ("subsets", "runtime", "active")} == {
        key: option["default"] for key, option in options.items() if key not in ("subsets", "runtime", "active")}
    for name in ("runtime", "active"):
        assert used[name] == {key: option["default"] for key, option in options[name]["suboptions"].items()}
    assert options["runtime"]["suboptions"]["kinds"]["choices"] == list(readiness_facts.KINDS) == list(runtime.KINDS)
    assert options["subsets"]["default"] == list(readiness_facts.SUBSETS)
    assert options["subsets"]["choices"] == [*readiness_facts.SUBSETS, "runtime", *readiness_facts.ACTIVE]
