"""Write docs/checks/*.md from the catalogue; with --check, only tell whether they are in step."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ansible_collections.goready.preflight.plugins.plugin_utils import catalogue
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Check

FOLDER = Path(__file__).resolve().parent / "checks"
SOURCE = "plugins/sub_plugins/check/{family}.py"


def page(family: str, checks: list[Check]) -> str:
    """One family as Markdown."""
    lines = [
        f"# {family}", "",
        f"Generated from `{SOURCE.format(family=family)}` by `make docs`. Thresholds are set by `preflight_thresholds`.", "",
        "| check | severity | what it asks |", "| --- | --- | --- |",
        *(f"| [{one.id}](#{one.id.replace('.', '')}) | {one.severity} | {_cell(one.title)} |" for one in checks), "",
    ]
    for one in checks:
        lines += [
            f"## {one.id}", "", f"**{one.title}** ({one.severity}, profile {one.profile}"
            + (f", tags {', '.join('@' + tag for tag in one.tags)}" if one.tags else "") + ")", "",
            f"*Why:* {one.why}", "", f"*How it is judged:* {one.judged}", "",
        ]
        if one.thresholds:
            lines += ["| threshold | default | allowed | meaning |", "| --- | --- | --- | --- |"]
            for name, limit in one.thresholds.items():
                default = ", ".join(limit.default) if isinstance(limit.default, tuple) else limit.default
                lines.append(f"| `{name}` | {_cell(str(default))} | {_cell(limit.describe())} | {_cell(limit.doc)} |")
            lines.append("")
        mend = one.remediation.as_dict()
        lines.append(f"*How it is mended:* {mend['hint']}" + (f" Role: `{mend['role']}`." if mend["role"] else ""))
        if mend["command"]:
            lines += ["", "```", mend["command"], "```"]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def index(families: dict[str, list[Check]]) -> str:
    lines = ["# The check catalogue", "", "Generated from the catalogue by `make docs`.", ""]
    for family, checks in families.items():
        lines += [f"## [{family}]({family}.md)", "", "| check | severity | what it asks |", "| --- | --- | --- |"]
        lines += [f"| [{one.id}]({family}.md#{one.id.replace('.', '')}) | {one.severity} | {_cell(one.title)} |" for one in checks]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is out of step")
    arguments = parser.parse_args()
    families: dict[str, list[Check]] = {}
    for one in catalogue.load().values():
        families.setdefault(one.family, []).append(one)
    pages = {"README.md": index(families), **{f"{family}.md": page(family, checks) for family, checks in families.items()}}
    stale = [name for name, text in pages.items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != text]
    stale += [path.name for path in FOLDER.glob("*.md") if path.name not in pages]
    if arguments.check:
        for name in stale:
            print(f"docs/checks/{name} is out of step with the catalogue: run make docs", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        if name in pages:
            (FOLDER / name).write_text(pages[name])
        else:
            (FOLDER / name).unlink()
    print(f"docs/checks: {len(stale)} of {len(pages)} pages written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
