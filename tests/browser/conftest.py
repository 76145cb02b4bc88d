# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser for report.html. In CI a missing one is a failure; elsewhere it is skipped, and says how to get it."""
from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HELP = "no Chromium was found: apt-get install chromium, or set CHROMIUM to its path"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    in_ci = os.environ.get("CI", "").lower() in ("1", "true", "yes")
    give_up = pytest.fail if in_ci else pytest.skip
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not executable:
        give_up(HELP)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        give_up("playwright is not installed: pip install -r requirements-dev.txt")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-background-networking"])
        yield running
        running.close()


class Watch:
    """Everything that a page of the report must not do."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.requests: list[str] = []

    def attach(self, page: Any) -> None:
        page.on("console", lambda message: self.faults.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self.requests.append(request.url))

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()


Open = Callable[..., Any]


@pytest.fixture
def show(browser: Any) -> Iterator[Open]:
    """Open a file in a page of its own; afterwards nothing may have gone wrong and nothing may have been requested."""
    contexts, watch, files = [], Watch(), set()

    def open_page(path: Path, fragment: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        watch.attach(page)
        files.add(path.as_uri())
        page.goto(path.as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert watch.faults == []
    assert {url.split("#")[0] for url in watch.requests} - {"data:,"} == files
