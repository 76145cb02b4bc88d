# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The terminal summary on the screen of the person who runs the play."""
from __future__ import annotations

from collections.abc import Mapping

from ansible import constants as C
from ansible.utils.color import stringc
from ansible.utils.display import Display

from ansible_collections.goready.preflight.plugins.plugin_utils.report import model, terminal

display = Display()

_COLOURS = {
    "not_ready": C.COLOR_ERROR, "inconclusive": C.COLOR_WARN, "ready_with_warnings": C.COLOR_CHANGED, "ready": C.COLOR_OK,
    "critical": C.COLOR_ERROR, "high": C.COLOR_ERROR, "medium": C.COLOR_CHANGED,
}


def show(report: model.Report, paths: Mapping[str, str]) -> None:
    """Print the summary, coloured on the screen and plain in the log; not where a program reads the callback's output."""
    if str(C.DEFAULT_STDOUT_CALLBACK).rsplit(".", 1)[-1] in ("json", "jsonl"):
        return
    display.display("\n" + terminal.render(report, paths, _paint) + "\n", screen_only=True)
    display.display(terminal.render(report, paths), log_only=True)


def _paint(words: str, kind: str) -> str:
    # stringc itself knows whether this terminal, ANSIBLE_NOCOLOR and ANSIBLE_FORCE_COLOR want colours.
    return str(stringc(words, _COLOURS[kind])) if kind in _COLOURS else words
