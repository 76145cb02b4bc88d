# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.report import model, terminal
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet
from hypothesis import given
from hypothesis import strategies as st

PATHS = {"json": "/srv/reports/report.json", "html": "/srv/reports/report.html", "md": "/srv/reports/report.md"}


def build(hosts: list[dict[str, Any]], baseline: model.Baseline | None = None) -> model.Report:
    return model.build(fleet.run(one["name"] for one in hosts), hosts, fleet.CATALOGUE, baseline)


def host(name: str, verdict: str, *results: Any) -> dict[str, Any]:
    return {"format": 1, "name": name, "reachable": True, "verdict": verdict, "results": [one.as_dict() for one in results]}


def test_fleet() -> None:
    assert terminal.render(build(fleet.documents()), PATHS) == """\
NOT READY  3 findings block 4 of 12 hosts; 1 host gave no result; 2 checks could not be judged on 1
  host.
1 of 30 checks was not selected on 1 of 11 hosts.
12 hosts: 4 not ready, 2 inconclusive, 3 with warnings, 3 ready · profile standard · gate high · 14…

Blocks
  critical  limits.nofile_effective  web3, web4, edge2
            api runs with 1024 open files; its unit asks for 65536. (and 1 more reason)
  critical  pprof.bind  edge1, edge2
            pprof of gateway listens on 0.0.0.0:6060; a loopback address is wanted.
  critical  pprof.reachable  edge1, edge2
            The controller fetched /debug/pprof/ from 10.20.0.31:6060 without a… (and 1 more reason)
No result
  pay2  unreachable: ssh: connect to host 10.20.0.52 port 22: Connection timed out
Could not be judged
  critical  limits.nofile_effective  pay1
            The limits of pay (pid 901) could not be read: permission denied.
  high      binary.replaced  pay1
            Whether pay runs the file on disk could not be read: permission denied.
Also 3 warnings, 1 check below the gate not judged, 1 result waived

Next: api runs with 1024 open files; its unit asks for 65536.
      ansible-playbook remediate.yml --limit web3,web4,edge2 -e preflight_remediate=limits.nofile_effective -e preflight_consent=restart
Report: /srv/reports/report.html  (also md, json)"""


def test_one_ready_host() -> None:
    assert terminal.render(build([host("web1", "ready")]), {"json": "/r/report.json"}) == """\
READY  No open finding on the host.
1 host · profile standard · gate high · 0.0 s

Report: /r/report.json"""


def test_warnings_are_listed_where_nothing_else_is() -> None:
    text = terminal.render(build([fleet.documents()[8]]), PATHS)
    assert text.startswith("READY WITH WARNINGS  Nothing blocks; 1 warning on the host.\n")
    assert "\nWarnings\n  medium    host.time_sync  db1\n            The clock is not synchronised: no service" in text


def test_a_baseline_is_a_line() -> None:
    report = build(fleet.documents(), model.Baseline("before", ""))
    assert "since before: 16 new, 0 fixed, 0 unchanged\n" in terminal.render(report, PATHS)


def test_colours_are_the_callers() -> None:
    painted: list[tuple[str, str]] = []

    def paint(words: str, kind: str) -> str:
        painted.append((words, kind))
        return f"<{kind}>{words}</>"

    text = terminal.render(build(fleet.documents()), PATHS, paint)
    assert text.startswith("<not_ready>NOT READY</>  3 findings")
    assert ("critical ", "critical") in painted
    assert re.sub(r"</?\w*>", "", text) == terminal.render(build(fleet.documents()), PATHS)


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line if not unicodedata.combining(char))


@pytest.mark.parametrize("blockers", [0, 1, 5, 30])
@pytest.mark.parametrize("unclear", [0, 1, 30])
@pytest.mark.parametrize("silent", [0, 1, 40])
@pytest.mark.parametrize("warnings", [0, 2])
def test_it_is_one_screen(blockers: int, unclear: int, silent: int, warnings: int) -> None:
    kinds = [("fail", "critical")] * blockers + [("unknown", "high")] * unclear + [("fail", "low")] * warnings
    results = []
    for number, (status, severity) in enumerate(kinds):
        one = fleet.result("limits.nofile_effective", status, "漢字 " * 60 + str(number), severity=severity,
                           subject="api").as_dict()
        results.append({**one, "id": f"family.check_with_a_long_name_{number}"})
    hosts = [{**host(f"web{number}.{'x' * 90}", "not_ready"), "results": results} for number in range(12)]
    hosts += [model.silent_host(f"gone{number}", "unreachable: " + "y" * 200) for number in range(silent)]
    lines = terminal.render(build(hosts, model.Baseline("b" * 200, "")), PATHS).split("\n")
    assert len(lines) <= 24
    assert max(map(width, lines)) <= 100
    assert lines[-1] == "Report: /srv/reports/report.html  (also md, json)"
    text = "\n".join(lines)
    assert ("\nBlocks\n" in text, "\nCould not be judged\n" in text, "\nNo result\n" in text) == (
        bool(blockers), bool(unclear), bool(silent))
    # What is not shown is counted, so that nobody takes the list for the whole.
    if blockers == 30:
        shown = text.count("  critical ")
        assert f"  … {30 - shown} more in the report" in text


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_no_text_of_a_host_reaches_the_terminal_as_a_command(anything: str) -> None:
    one = fleet.result("limits.nofile_effective", "fail", anything, subject=anything,
                       remediation=fleet.Remediation(hint=anything))
    text = terminal.render(build([host(anything, "not_ready", one), model.silent_host(anything + "2", anything)]), PATHS)
    assert not [char for char in text if unicodedata.category(char) in ("Cc", "Cs") and char != "\n"]
    assert len(text.split("\n")) <= 24
