# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page with nothing but flame graphs, under the policy and in the style of report.html.

For the tests, for the benchmark, and to look at profiles while working on the graphs::

    cd collections && python -m ansible_collections.goready.preflight.tests.browser.flamepage OUT.html [KIND=FILE.pb.gz ...]

``KIND=BEFORE.pb.gz,AFTER.pb.gz`` shows a difference.
"""
from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ansible_collections.goready.preflight.plugins.module_utils import profile
from ansible_collections.goready.preflight.plugins.plugin_utils.report import flame, html

TEMPLATES = Path(html.__file__).parent / "templates"
# The policy is the report's own: what it forbids is forbidden here.
_POLICY = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', (TEMPLATES / "report.html.j2").read_text("utf-8"))
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
%s
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Flame graphs</title>
<link rel="icon" href="data:,">
<style>{{ style }}</style>
</head>
<body>
<main>
{%% for title in titles %%}
<details class="card"{%% if loop.index0 in opened %%} open{%% endif %%}>
<summary><span class="what"><span class="title">{{ title }}</span></span></summary>
<div class="case"><figure class="flame" data-flame="{{ loop.index0 }}"></figure></div>
</details>
{%% endfor %%}
</main>
<script type="application/json" id="data">{{ data }}</script>
<script>{{ script }}</script>
</body>
</html>
"""
_BOOT = """
const data = JSON.parse(document.getElementById("data").textContent);
for (const figure of document.querySelectorAll("figure[data-flame]")) flame(figure, data.flames[figure.dataset.flame]);
"""


def page(flames: Sequence[Any], opened: Sequence[int] = (0,)) -> str:
    """The text of the page; ``opened`` are the graphs that are not folded."""
    if not _POLICY:
        raise ValueError("the report's template has no content security policy")
    style = "".join((TEMPLATES / name).read_text("utf-8") for name in ("report.css", "flame.css"))
    style += ".case { padding: 4px 18px 18px; } main { padding-top: 18px; padding-bottom: 18px; }"
    script = (TEMPLATES / "flame.js").read_text("utf-8") + _BOOT
    data = json.dumps({"flames": flames}, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        data = data.replace(char, f"\\u{ord(char):04x}")
    template = jinja2.Environment(autoescape=True).from_string(_PAGE % _POLICY[0])
    return template.render(
        titles=[one["title"] for one in flames], opened=opened, style=Markup(style), script=Markup(script), data=Markup(data),
        style_hash=html._hash(style), script_hash=html._hash(script))


def main() -> None:
    flames = []
    for argument in sys.argv[2:]:
        kind, files = argument.split("=", 1)
        profiles = [profile.parse(Path(file).read_bytes()) for file in files.split(",")]
        if len(profiles) > 1:
            flames.append(flame.difference(profiles[0], profiles[1], kind=kind, title=f"{kind}: what changed", module="example.org/shop"))
        else:
            flames.append(flame.build(profiles[0], kind=kind, title=kind, module="example.org/shop"))
    Path(sys.argv[1]).write_text(page(flames, range(len(flames))), "utf-8")


if __name__ == "__main__":
    main()
