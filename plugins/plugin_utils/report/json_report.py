# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""report.json: the document of the model, one line a result, so that it can be read with grep as well as with jq."""
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ansible_collections.goready.preflight.plugins.plugin_utils.report.model import Report

# One line each: what a reader looks for by line, and what would be longest if it were indented.
_LISTS = ("waivers", "findings")
_HOST_LISTS = ("services", "results", "remediation", "changes")


def render(report: Report) -> Iterator[str]:
    """The text of report.json in pieces: a fleet's document is never a second time in memory as a whole."""
    document = report.document
    yield "{\n"
    last = list(document)[-1]
    for key, value in document.items():
        comma = "" if key == last else ","
        if key == "hosts":
            yield '"hosts": ['
            yield from _hosts(value)
            yield f"]{comma}\n"
        elif key == "delta" and value:
            yield '"delta": {' + ",\n ".join(f"{_text(name)}: {_lines(part)}" for name, part in value.items()) + f"}}{comma}\n"
        elif key == "checks":
            entries = ",\n ".join(f"{_text(name)}: {_text(entry)}" for name, entry in value.items())
            yield f'"checks": {{{entries}}}{comma}\n'
        elif key in _LISTS:
            yield f"{_text(key)}: {_lines(value)}{comma}\n"
        else:
            yield f"{_text(key)}: {_text(value)}{comma}\n"
    yield "}\n"


def _hosts(hosts: list[dict[str, Any]]) -> Iterator[str]:
    for number, host in enumerate(hosts):
        head = {key: value for key, value in host.items() if key not in _HOST_LISTS}
        yield f"{',' if number else ''}\n {_text(head)[:-1]}"
        for key in _HOST_LISTS:
            if key in host:
                lines = ",\n  ".join(map(_text, host[key]))
                yield f', "{key}": [' + (f"\n  {lines}" if lines else "") + "]"
        yield "}"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n  " + ",\n  ".join(map(_text, value)) + "]"
    return _text(value)


_encoder = json.JSONEncoder(ensure_ascii=False, default=str)
_text = _encoder.encode
