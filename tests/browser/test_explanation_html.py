# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a request would time out, in a real browser. Every test also proves that nothing was requested and nothing logged (``show``)."""
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.report import html, model
from ansible_collections.goready.preflight.tests.browser.conftest import Open
from ansible_collections.goready.preflight.tests.unit.fixtures.report import explained, fleet


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hosts = explained.documents()
    path = tmp_path_factory.mktemp("explained") / "report.html"
    path.write_text("".join(html.render(model.build(fleet.run(one["name"] for one in hosts), hosts, fleet.CATALOGUE, None))))
    return path


def test_the_services_in_trouble_are_open_and_first(show: Open, report: Path) -> None:
    page = show(report)
    cards = page.locator(".explained .card")
    assert cards.locator(".title").all_inner_texts() == [
        "edge has 1,024 of 1,024 files open: it can accept no connection.",
        "4 transactions of orders are left open, the oldest for 310 s, and hold locks that others wait for.",
        "Nothing was found that a request would wait for; little could be measured.", "Nothing was found that a request would wait for."]
    assert [card.get_attribute("open") is not None for card in cards.all()] == [True, True, False, False]
    top = page.locator("#why-1").bounding_box()
    assert top is not None and top["y"] < 900  # on the first screen, before the findings


def test_a_share_is_as_long_as_it_is(show: Open, report: Path) -> None:
    page = show(report)
    whole, part = (page.locator(f"#why-2 .cause .share-{name}").first.bounding_box() for name in ("all", "part"))
    assert whole is not None and part is not None
    assert part["width"] / whole["width"] == pytest.approx(0.62, abs=0.01)


def test_evidence_comes_on_demand(show: Open, report: Path) -> None:
    page = show(report)
    evidence = page.locator("#why-2 .cause").first.locator(".evidence")
    assert not evidence.locator("li").first.is_visible()
    evidence.locator("summary").press("Enter")
    assert evidence.locator("li").all_inner_texts() == ["PID 812 of app/api: idle in transaction for 310 s", "PID 901 waits for it"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(show: Open, report: Path, width: int, scheme: str) -> None:
    page = show(report, viewport={"width": width, "height": 844}, color_scheme=scheme)
    for card in page.locator(".explained .card > summary").all():
        if card.locator("xpath=..").get_attribute("open") is None:
            card.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [one.bounding_box() for one in page.locator(".explained .cause, .explained .spent li, .explained .part").all()]
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
