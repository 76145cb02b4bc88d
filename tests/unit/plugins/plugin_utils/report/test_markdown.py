# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.report import markdown, model
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet
from hypothesis import given
from hypothesis import strategies as st


def render(hosts: list[dict[str, Any]], baseline: model.Baseline | None = None) -> str:
    return "".join(markdown.render(model.build(fleet.run(one["name"] for one in hosts), hosts, fleet.CATALOGUE, baseline)))


def host(name: str, **result: Any) -> dict[str, Any]:
    one = fleet.result(**{"check_id": "limits.nofile_effective", "status": "fail", "reason": "It fails.", **result})
    return {"format": 1, "name": name, "reachable": True, "verdict": "not_ready", "results": [one.as_dict()]}


def test_fleet() -> None:
    text = render(fleet.documents(), model.Baseline("before", "", {}))
    assert text.startswith(
        "## ❌ Not ready\n\n3 findings block 4 of 12 hosts; 1 host gave no result; 2 checks could not be judged on 1 host. "
        "1 of 30 checks was not selected on 1 of 11 hosts.\n")
    assert ("| critical 🆕 | `limits.nofile_effective` | api runs with 1024 open files; its unit asks for 65536.<br>"
            "… and 1 more reason | `web3`, `web4`, `edge2` |\n") in text
    assert "| `pay2` | unreachable: ssh: connect to host 10.20.0.52 port 22: Connection timed out |\n" in text
    assert "Since `before`: **16 new**, 0 fixed, 0 unchanged.\n" in text
    assert "| `host.time_sync` | `db*` | 2026-11-14 | **expired** (1) | J. Okafor (operations) |" in text
    assert text.count("<details>") == text.count("</details>") == 6


def test_nothing_blocks() -> None:
    text = render(fleet.documents()[:2])
    assert text.startswith("## ✅ Ready\n\nNo open finding on any of 2 hosts.\n")
    assert "What blocks" not in text and "What to do next" not in text


@pytest.mark.parametrize("hosts", [1, 200, 3000])
def test_size_is_bounded(hosts: int) -> None:
    many = [host(f"web{number}.{'long' * 20}.example.org", reason=f"Reason {number} " + "ü" * 500, evidence=("x" * 5000,) * 50)
            for number in range(hosts)]
    text = render(many)
    assert len(text.encode()) < 60_000
    assert text.count("<details>") == text.count("</details>")
    if hosts == 3000:
        assert re.search(r"… and [\d,]+ hosts more: see the full report\.", text)


@pytest.mark.parametrize(("words", "expected"), [
    ("a | b", "a \\| b"), ("<script>", "&lt;script&gt;"), ("a & b", "a &amp; b"), ("**bold** _i_", "\\*\\*bold\\*\\* \\_i\\_"),
    ("[x](http://e)", "\\[x\\](http://e)"), ("`code`", "\\`code\\`"), ("back\\slash", "back\\\\slash"),
    ("two\nlines", "two lines"),
    ("@all", "@\u200ball"), ("see #12 and !7", "see #\u200b12 and !\u200b7"), ("me@example.org", "me@\u200bexample.org"),
    ("5 # 6", "5 # 6"), ("&amp;", "&\u200bamp;".replace("&", "&amp;")), ("\x1b[0m", "␛\\[0m"), ("~~x~~", "\\~\\~x\\~\\~"),
])
def test_escaped(words: str, expected: str) -> None:
    assert markdown.escaped(words) == expected


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_no_text_of_a_host_is_markup(anything: str) -> None:
    text = render([host(anything or "x", reason=anything, subject=anything, evidence=(anything,))])
    assert text.count("<details>") == text.count("</details>") == 2
    # Every row of a table has the cells of its head: no text closed one, and none began a new line.
    rows = [line for line in text.split("### What blocks", 1)[1].splitlines() if line.startswith("|")]
    blockers = rows[:3]
    assert [len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) for row in blockers] == [5, 5, 5]
    # What is left without escapes, fenced blocks and code spans is what a reader of Markdown takes for markup.
    outside = re.sub(r"(?ms)\\.|^(`{3,})text\n.*?^\1$|(?<!`)(`+)(?!`).*?(?<!`)\2(?!`)", "", text)
    assert not re.search(r"<(?!/?(?:details|summary|sub|br)>)", outside)


@pytest.mark.parametrize(("words", "span"), [
    ("web1", "`web1`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("", "` `"), ("a\nb", "`a b`"), ("a|b", "`a|b`"),
])
def test_code(words: str, span: str) -> None:
    assert markdown._code(words) == span


def test_a_pipe_in_a_code_span_of_a_table_is_escaped() -> None:
    assert "| `a\\|b` |" in render([host("a|b")])


def test_evidence_cannot_close_its_block() -> None:
    text = render([host("a", evidence=("```", "````text", "# heading"))])
    assert "`````text\n```\n````text\n# heading\n`````\n" in text
