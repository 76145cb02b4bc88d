# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a facts file again, without Ansible and without the host::

    cd collections && python -m ansible_collections.goready.preflight.plugins.plugin_utils.replay FACTS.json

FACTS.json is a file of ``reports/runs/<run>/facts/`` (it carries the policy it was judged by) or the bare ``facts`` of
``readiness_facts``. Prints the results as JSON; the exit status is 0 for ready and ready_with_warnings, 2 for not_ready,
3 for inconclusive, 1 for a file that cannot be judged.
"""
from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils import engine, policy

EXIT = {"ready": 0, "ready_with_warnings": 0, "not_ready": 2, "inconclusive": 3}


def judge(document: dict[str, Any], *, now: datetime.datetime | None = None,
          overrides: dict[str, Any] | None = None) -> tuple[str, list[engine.Result]]:
    """Verdict and results of a facts document. Raises ValueError where it is none, or its policy is wrong."""
    if not isinstance(document, dict):
        raise ValueError("this is no facts file: it is not a JSON object")
    facts = document.get("facts", document)
    if not isinstance(facts, dict) or "facts_version" not in facts:
        raise ValueError("this is no facts file: it has no facts_version")
    given = document.get("policy", {})
    moment = now or (datetime.datetime.fromisoformat(given["now"]) if "now" in given else None)
    rules = policy.parse(
        {**given.get("variables", {}), **(overrides or {})}, hostname=given.get("hostname", "localhost"),
        groups=tuple(given.get("groups", ())), now=moment,
    )
    results = engine.run(rules.checks.values(), facts, rules.policy)
    return engine.verdict(results, rules.policy.gate), results


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="replay", description="Judge a facts file again, without Ansible.")
    parser.add_argument("facts", type=Path, help="a file of reports/runs/<run>/facts/, or the facts of readiness_facts")
    parser.add_argument("--variables", type=Path, help="JSON file of preflight_* variables that replace the recorded ones")
    arguments = parser.parse_args(argv)
    try:
        document = json.loads(arguments.facts.read_text(encoding="utf-8"))
        overrides = json.loads(arguments.variables.read_text(encoding="utf-8")) if arguments.variables else None
        verdict, results = judge(document, overrides=overrides)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as exc:
        # A file that is JSON and yet no facts file breaks anywhere.
        print(f"{arguments.facts} cannot be judged: {type(exc).__name__}: {exc}", file=sys.stderr)
        return 1
    json.dump({"verdict": verdict, "results": [result.as_dict() for result in results]}, sys.stdout, indent=2, default=str)
    print()
    return EXIT[verdict]


if __name__ == "__main__":
    sys.exit(main())
