# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a run: where they lie, what one host's document holds, and how they are written.

``RUN/run.json``, ``RUN/hosts/<name>.json`` (results), ``RUN/facts/<name>.json`` (facts and policy: a replay's input) and
``RUN/profiles/<host>/<service>/*.pb.gz`` (what the services' pprof endpoints sent, as they sent it).
Every file is written beside its final name and renamed, so that a reader sees the old or the new one, never half.
"""
from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ansible_collections.goready.preflight.plugins.module_utils import redact
from ansible_collections.goready.preflight.plugins.plugin_utils import explanation, fleet, runtimes, subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.catalogue import FAMILIES
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Facts, Result, lookup, verdict

if TYPE_CHECKING:  # policy reads baselines, which are reports, which lie where this file says
    from ansible_collections.goready.preflight.plugins.plugin_utils.policy import Rules

FORMAT = 1


def file_name(host: str) -> str:
    """A file name for an inventory name, which may hold anything (slashes, dots, brackets). Distinct names stay so."""
    return f"{_quoted(host)}.json"


def profile_dir(run_dir: Path, host: str, service: str) -> Path:
    """Where a run keeps the profiles of one service: ``RUN/profiles/<host>/<service>``.

    ``service`` is the endpoint's subject (``runtimes.Endpoint.subject``): a service that serves two endpoints has two folders.
    """
    return run_dir / "profiles" / _quoted(host) / _quoted(service)


def _quoted(name: str) -> str:
    quoted = quote(name, safe="-_.@", errors="replace")
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    if len(quoted) > 200:  # a file's name may have 255 bytes
        quoted = f"{quoted[:160]}~{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return quoted


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """Write JSON atomically: a temporary file in the same folder, then a rename. OSError as the file system raises it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    _write(path, text.encode("utf-8", "replace"), mode)


def write_private(folder: Path, name: str, data: bytes, *, below: Path) -> None:
    """Write a file that is its owner's alone, as are the folders on the way from ``below`` to it. OSError as above."""
    for parent in (*reversed(folder.relative_to(below).parents[:-1]), folder.relative_to(below)):
        (below / parent).mkdir(exist_ok=True, mode=0o700)
    _write(folder / name, data, 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def document(*, name: str, started: str, ended: str, duration_ms: int, rules: Rules | None, facts: Facts | None,
             results: Iterable[Result], error: str | None, reachable: bool) -> dict[str, Any]:
    """One host's document, what ``report`` reads. Without facts (``error`` says why) the verdict is ``inconclusive``."""
    lines = list(results)
    gate = rules.policy.gate if rules else "high"
    return {
        "format": FORMAT,
        "name": name,
        "reachable": reachable,
        "verdict": verdict(lines, gate) if error is None else "inconclusive",
        "gate": gate,
        "platform": _platform(facts or {}),
        "services": _services(facts or {}, lines),
        "results": [line.as_dict() for line in lines],
        "checks": {
            check_id: one.as_dict() for check_id, one in (rules.checks if rules else {}).items()
            if one.family not in FAMILIES or "custom" in one.tags
        },
        "waivers": _waivers(rules, lines) if rules else [],
        "fleet": fleet.carried(facts, rules),
        "duration_ms": duration_ms,
        "error": error,
        "started": started,
        "ended": ended,
    }


def counts(results: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many results of each status."""
    return dict(Counter(result["status"] for result in results))


def replayable(facts: Facts, rules: Rules) -> dict[str, Any]:
    """What ``replay`` needs: the facts and the policy's own variables, credentials in URLs redacted."""
    return {
        "format": FORMAT,
        "policy": {
            "hostname": rules.policy.hostname, "groups": list(rules.policy.groups),
            "now": rules.policy.now.isoformat(), "variables": redacted(rules.variables),
        },
        "facts": facts,
    }


def redacted(value: Any, name: str = "") -> Any:
    """The same value with the credentials in its strings hidden: inventories carry them in URLs and probe headers."""
    if isinstance(value, Mapping):
        return {redact.redact_url(str(key)): redacted(item, str(key)) for key, item in value.items()}  # URLs are keys too
    if isinstance(value, (list, tuple)):
        if all(isinstance(item, str) for item in value):
            return redact.redact_argv([str(item) for item in value])  # a command line: an option hides the next word
        return [redacted(item) for item in value]
    return redact.redact_value(name, str(value)) if isinstance(value, str) else value


def _platform(facts: Facts) -> dict[str, Any]:
    return {
        "os": lookup(facts, "host.os.id"),
        "version": lookup(facts, "host.os.version_id"),
        "arch": lookup(facts, "host.machine"),
        "goarch": lookup(facts, "host.goarch"),
        "kernel": lookup(facts, "host.kernel"),
    }


def _services(facts: Facts, lines: Iterable[Result]) -> list[dict[str, Any]]:
    """The services; those whose pprof endpoints were asked with what they gave (``runtime``: see docs/facts.md), each endpoint
    under the ``subject`` that its findings carry; where anything was tried, with the ``explanation`` of what slows requests."""
    explained = explanation.explain(facts, lines)
    views: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for endpoint in runtimes.endpoints(facts):
        views.setdefault(_owner(str(endpoint.facts.get("service")), endpoint.facts.get("container")), []).append(
            {"subject": endpoint.subject, **endpoint.facts})
    found = []
    for service in lookup(facts, "services.services") or []:
        one = _service(service)
        view = views.pop(_owner(one["name"], one["container"]), None)
        if view:
            one["runtime"] = {"limits": _memory_limits(service), "endpoints": view}
        why = explained.get(_owner(one["name"], one["container"]))
        if why:
            one["explanation"] = why
        found.append(one)
    return found


def _owner(service: str, container: Any) -> tuple[str, str]:
    return service, str((container or {}).get("id") or "")


def _memory_limits(service: Mapping[str, Any]) -> dict[str, int | None]:
    """What bounds the memory of a service, in bytes: GOMEMLIMIT of its processes, and the lowest of its control groups."""
    gomemlimit, memory_max = None, None
    for process in service.get("processes") or []:
        try:
            given = subjects.parse_memory_limit(str((process.get("environ") or {}).get("GOMEMLIMIT") or ""))
        except ValueError:
            given = subjects.INFINITY  # limits.memory_limit tells what is wrong with it
        if gomemlimit is None and given != subjects.INFINITY:
            gomemlimit = int(given)
        cgroup = process.get("cgroup") or {}
        for value in (lookup(cgroup, "effective.memory_max.value"), cgroup.get("memory_max")):
            limit = subjects.number(value)
            if limit is not None and limit != subjects.INFINITY and (memory_max is None or limit < memory_max):
                memory_max = int(limit)
    return {"gomemlimit": gomemlimit, "memory_max": memory_max}


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    processes = service.get("processes") or []
    running = next((process["running"] for process in processes if process.get("running")), service.get("binary")) or {}
    buildinfo = running.get("buildinfo") or {}
    properties = service.get("properties") or {}
    listeners = {
        f"unix {listener['path']}" if listener["proto"] == "unix" else
        f"{listener['proto']} {'[%s]' % listener['address'] if ':' in str(listener['address']) else listener['address']}"
        f":{listener['port']}"
        for process in processes for listener in process.get("listeners") or []
    }
    return {
        "name": service["name"],
        "unit": service.get("unit"),
        "declared": bool(service.get("declared")),
        "state": properties.get("ActiveState") or ("running" if processes else None),
        "pids": [process["pid"] for process in processes],
        "go_version": buildinfo.get("go_version"),
        "revision": (buildinfo.get("settings") or {}).get("vcs.revision"),
        "listeners": sorted(listeners),
        "container": service.get("container"),
    }


def _waivers(rules: Rules, results: list[Result]) -> list[dict[str, Any]]:
    lines = []
    for waiver in rules.policy.waivers:
        used = sum(
            1 for result in results
            if result.status in ("fail", "error", "unknown") and waiver.matches(result, rules.policy)
        )
        expired = waiver.expires <= rules.policy.now
        lines.append({**waiver.as_dict(), "state": "expired" if expired else "active" if used else "unused", "results": used})
    return lines
