# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inside of services in a real browser. Every test also proves that nothing was requested and nothing logged (``show``)."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.plugin_utils.report import model, store
from ansible_collections.goready.preflight.tests.browser.conftest import Open
from ansible_collections.goready.preflight.tests.unit.fixtures.report import fleet, inside

NARROW = {"viewport": {"width": 390, "height": 844}}
DARK = {"color_scheme": "dark"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    before = folder / "runs" / "before"
    inside.write(before, [inside.document("web1", (("api", "healthy"),))])
    store.write(model.build(*model.load(before), fleet.CATALOGUE), ["json"], folder, before)
    run_dir = folder / "runs" / fleet.run()["id"]
    inside.write(run_dir, [inside.document("web1"), inside.document("web2", (("api", "healthy"),), phases=("once",))])
    run, hosts = model.load(run_dir)
    built = model.build(run, hosts, fleet.CATALOGUE, model.read_baseline(before / "report.json"))
    return store.write(built, ["html"], folder, run_dir)["html"]


def rows(page: Any) -> list[str]:
    return list(page.locator("#groups-1 tbody tr:visible td.blocked").all_inner_texts())


def test_the_leaking_service_is_open_and_first(show: Open, report: Path) -> None:
    page = show(report)
    first = page.locator(".service").first
    assert first.get_attribute("open") is not None
    assert first.locator(".title").inner_text().startswith("example.org/api/worker.(*Pool).notify.func1 leaks goroutines: 680")
    assert page.locator("#groups-1 tbody tr").first.locator(".blocked").inner_text().split("\n") == [
        "chan send", "leaks", "680 in the leak profile"]
    assert page.locator("#groups-4").count() == 1 and not page.locator("#groups-4").is_visible()


def test_chips_show_one_kind_of_group(show: Open, report: Path) -> None:
    page = show(report)
    every = rows(page)
    assert len(every) == 8
    page.locator('[name="origin-1"][value="dependency"]').check(force=True)
    assert rows(page) == ["select"]
    page.locator('[name="origin-1"][value="dependency"]').press("ArrowRight")
    assert rows(page) == ["I/O", "system call", "timer"]
    page.locator('[name="origin-1"][value=""]').check(force=True)
    assert rows(page) == every


def test_a_stack_comes_on_demand(show: Open, report: Path) -> None:
    page = show(report)
    stack = page.locator("#groups-1 tbody tr").nth(2).locator(".stack")
    assert not stack.locator("ol").is_visible()
    stack.locator("summary").press("Enter")
    assert stack.locator("li").nth(1).inner_text() == "example.org/api/store.(*Cache).Get /src/api/store/cache.go:31"


def test_charts_have_names_for_those_who_do_not_see_them(show: Open, report: Path) -> None:
    page = show(report)
    chart = page.get_by_role("img", name="Memory of api over the takes")
    assert chart.count() == 1
    tree = page.locator("#chart-1-d").text_content()
    assert tree.startswith("5 takes: HeapAlloc from 15.5 MiB to 33.3 MiB; HeapInuse from 18.0 MiB to 38.8 MiB")
    assert page.get_by_role("img", name="GC pauses of api").count() == 1
    page.locator("#service-1 .chart summary").click()
    assert page.locator("#service-1 .chart table tbody tr").nth(3).inner_text().split("\t")[0] == "under load"


def test_lines_of_the_chart_are_where_their_values_are(show: Open, report: Path) -> None:
    page = show(report)
    plot = page.locator("#service-1 .plot").bounding_box()
    limit = page.locator("#service-1 .plot .limit").bounding_box()
    # GOMEMLIMIT 192 MiB of 200 MiB.
    assert abs(limit["y"] - plot["y"] - plot["height"] * 8 / 200) < 2
    dot = page.locator("#service-1 .plot .dot.s-heap_inuse path").nth(3).bounding_box()
    assert abs(dot["y"] + dot["height"] / 2 - plot["y"] - plot["height"] * (1 - 77.5 / 200)) < 3


@pytest.mark.parametrize("options", [{}, NARROW, {**NARROW, **DARK}], ids=["wide", "narrow", "narrow and dark"])
def test_nothing_is_wider_than_the_page(show: Open, report: Path, options: dict[str, Any]) -> None:
    page = show(report, **options)
    page.evaluate("document.querySelectorAll('.service, .inside details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cut = page.evaluate("""() => [...document.querySelectorAll('.plot text, .strip text, .axis text')].filter((one) => {
      const text = one.getBoundingClientRect(), box = one.closest('.chart').getBoundingClientRect();
      return text.left < box.left - 1 || text.right > box.right + 1 || text.top < box.top - 1;
    }).map((one) => one.textContent)""")
    assert cut == []


@pytest.mark.parametrize("options", [{}, DARK], ids=["light", "dark"])
def test_series_and_words_can_be_told_from_the_ground(show: Open, report: Path, options: dict[str, Any]) -> None:
    page = show(report, **options)
    worst = page.evaluate("""() => {
      const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
      const light = (colour) => {
        canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
          .map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
          .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
      };
      const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
      const grounds = [...document.querySelectorAll('#service-1 .band')].map((one) => getComputedStyle(one).fill);
      const lines = [...document.querySelectorAll('#service-1 .curve')].map((one) => getComputedStyle(one).stroke);
      const words = [...document.querySelectorAll('#service-1 .plot text')].map((one) => getComputedStyle(one).fill);
      const card = getComputedStyle(document.querySelector('#service-1')).backgroundColor;
      return [Math.min(...lines.flatMap((one) => grounds.map((ground) => ratio(one, ground)))),
              Math.min(...words.map((one) => ratio(one, card)))];
    }""")
    assert worst[0] >= 3 and worst[1] >= 4.5, worst


def test_flame_graphs_are_drawn(show: Open, report: Path) -> None:
    page = show(report)
    figure = page.locator("#service-1 figure.flame").first
    figure.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('#service-1 figure.flame').childElementCount > 0")
    assert page.evaluate("document.flames.length") == page.locator("figure.flame").count()
    page.locator("#service-1 .graph").nth(2).locator(":scope > summary").click()
    page.wait_for_function("() => document.querySelectorAll('#service-1 figure.flame')[2].childElementCount > 0")


def test_without_a_script_all_groups_are_there(show: Open, report: Path) -> None:
    page = show(report, java_script_enabled=False)
    assert len(rows(page)) == 8
    assert not page.locator(".pills").first.is_visible()
    assert page.get_by_text("Flame graphs are drawn by a script.").first.is_visible()


def test_links_to_profiles_are_there(show: Open, report: Path) -> None:
    page = show(report)
    links = page.locator("#service-1 .profiles a").evaluate_all("all => all.map((one) => one.href)")
    assert len(links) == 11
    assert all(Path(link.removeprefix("file://")).is_file() for link in links)


def test_a_link_opens_the_service(show: Open, report: Path) -> None:
    page = show(report, "#service-4")
    page.locator("#groups-4").wait_for()


def test_print_holds_what_is_wrong(show: Open, report: Path, tmp_path: Path) -> None:
    page = show(report)
    page.emulate_media(media="print")
    assert page.locator("#service-1 .groups").is_visible() and page.locator("#service-1 .plot").is_visible()
    assert not page.locator("#service-1 .pills").is_visible()
    assert not page.locator("#groups-4").is_visible()
    page.pdf(path=tmp_path / "report.pdf")


def test_since_the_baseline(show: Open, report: Path) -> None:
    page = show(report)
    words = page.locator("#runtime-since").inner_text()
    assert "api on web1" in words and "42 → 93" in words and "+40" in words
