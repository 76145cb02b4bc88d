# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flame graphs in a real browser, under the report's policy. Every test also proves that nothing was requested and
nothing was logged (``show``): a style or a script that the policy forbids is logged."""
from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.bench import flame as bench
from ansible_collections.goready.preflight.plugins.module_utils import profile
from ansible_collections.goready.preflight.plugins.module_utils.profile import Frame, Profile, Sample
from ansible_collections.goready.preflight.plugins.plugin_utils.report import flame
from ansible_collections.goready.preflight.tests.browser import flamepage
from ansible_collections.goready.preflight.tests.browser.conftest import Open

RECORDED = Path(__file__).parents[1] / "unit" / "fixtures" / "runtime" / "flame"
EVIL = "<script>alert('owned')</script><img src=x onerror=alert(1)>"
CPU, HEAP, GOROUTINES = 0, 1, 2


def made(*samples: tuple[str, int], unit: str = "bytes") -> Profile:
    """A profile of stacks like ``root middle leaf``."""
    return Profile([("inuse_space", unit)], samples=[
        Sample(tuple(Frame(name, f"/src/{name}.go", 7) for name in reversed(words.split())), (value,), {}) for words, value in samples])


def write(path: Path, *flames: flame.Flame, opened: tuple[int, ...] = (0,)) -> Path:
    path.write_text(flamepage.page(flames, opened), "utf-8")
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cpu, before, after, goroutines = (
        profile.parse((RECORDED / f"{name}.pb.gz").read_bytes()) for name in ("cpu", "heap-idle", "heap-after", "goroutine"))
    return write(
        tmp_path_factory.mktemp("flame") / "flame.html",
        flame.build(cpu, kind="cpu", title="CPU under load", module="example.org/shop"),
        flame.difference(before, after, kind="heap", title="Heap, idle and after load", module="example.org/shop"),
        flame.build(goroutines, kind="goroutine", title="Goroutines", module="example.org/shop"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """main: work (fast 600, slow 250), other 100, itself 50 KiB."""
    kib = 1024
    return write(tmp_path / "small.html", flame.build(made(
        ("main.main main.work example.org/lib/v2.(*Pool).fast", 600 * kib), ("main.main main.work runtime.slow", 250 * kib),
        ("main.main net/http.other", 100 * kib), ("main.main", 50 * kib)), kind="heap", title="Heap in use"))


def graph(page: Any, number: int = 0) -> Any:
    found = page.locator("figure").nth(number).locator(".flame-graph")
    found.wait_for()
    return found


def shown(page: Any, number: int = 0) -> list[str]:
    """The detail line: function, place, numbers."""
    return [str(one) for one in page.locator("figure").nth(number).locator(".flame-detail p").all_text_contents()]


def active(page: Any, number: int = 0) -> str:
    """What a screen reader says of the active box."""
    return str(graph(page, number).evaluate(
        "(one) => document.getElementById(one.getAttribute('aria-activedescendant'))?.getAttribute('aria-label') ?? ''"))


def trail(page: Any, number: int = 0) -> list[str]:
    return [str(one) for one in page.locator("figure").nth(number).locator(".flame-trail li").all_text_contents()]


def at(page: Any, part: float, row: int, number: int = 0) -> tuple[float, float]:
    box = graph(page, number).locator("canvas").bounding_box()
    size = float(graph(page, number).evaluate("(one) => parseFloat(getComputedStyle(one).getPropertyValue('--flame-row'))"))
    return box["x"] + box["width"] * part, box["y"] + size * (row + 0.5)


def colour(page: Any, part: float, row: int, number: int = 0) -> list[int]:
    return list(graph(page, number).locator("canvas").evaluate("""(canvas, [part, row]) => {
        const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        const size = parseFloat(getComputedStyle(canvas).getPropertyValue('--flame-row')) * canvas.height / canvas.clientHeight;
        copy.drawImage(canvas, -Math.round(canvas.width * part), -Math.round(size * row + 2));
        return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
    }""", [part, row]))


def test_nothing_is_laid_out_before_it_is_seen(show: Open, recorded: Path) -> None:
    page = show(recorded)
    graph(page)
    assert page.locator("canvas").count() == 1
    page.locator("summary").nth(GOROUTINES).click()
    graph(page, GOROUTINES)
    assert page.locator("canvas").count() == 2
    assert page.locator("figure").nth(HEAP).evaluate("(one) => one.children.length") == 0


def test_what_a_box_says(show: Open, small: Path) -> None:
    page = show(small, reduced_motion="reduce")
    graph(page)
    assert shown(page) == ["All: Heap in use", "4 stacks", "1,000 KiB in use, 100 % of the profile"]
    for part, row, expected in (
        (0.3, 1, ["main.main", "/src/main.main.go:7", "1,000 KiB in use, 100 % · itself 50 KiB, 5 % · own code"]),
        (0.3, 3, ["example.org/lib/v2.(*Pool).fast", "/src/example.org/lib/v2.(*Pool).fast.go:7",
                  "600 KiB in use, 60 % · itself 600 KiB, 60 % · dependency"]),
        (0.7, 3, ["runtime.slow", "/src/runtime.slow.go:7", "250 KiB in use, 25 % · itself 250 KiB, 25 % · runtime"]),
        (0.9, 2, ["net/http.other", "/src/net/http.other.go:7", "100 KiB in use, 10 % · itself 100 KiB, 10 % · standard library"]),
        (0.99, 2, ["All: Heap in use", "4 stacks", "1,000 KiB in use, 100 % of the profile"]),
    ):
        page.mouse.move(*at(page, part, row))
        assert shown(page) == expected
        assert page.locator(".flame-hover").is_visible() == (part < 0.95)


def test_zoom_with_the_mouse(show: Open, small: Path) -> None:
    page = show(small, reduced_motion="reduce")
    page.mouse.click(*at(page, 0.7, 2))
    assert trail(page) == ["all", "main.main", "main.work"]
    page.mouse.move(*at(page, 0.5, 3))
    assert shown(page)[2] == "600 KiB in use, 60 % · 70.6 % of what is shown · itself 600 KiB, 60 % · dependency"
    page.mouse.move(*at(page, 0.9, 3))
    assert shown(page)[0] == "runtime.slow"
    page.mouse.click(*at(page, 0.9, 3))
    assert trail(page) == ["all", "main.main", "main.work", "runtime.slow"]
    page.get_by_role("button", name="Back").click()
    assert trail(page)[-1] == "main.work"
    page.get_by_role("navigation", name="Zoomed to").get_by_role("button", name="all").click()
    assert trail(page) == ["all"]
    page.get_by_role("button", name="Back").click()
    page.get_by_role("button", name="Back").click()
    assert trail(page) == ["all"] and page.get_by_role("button", name="Back").is_disabled()
    page.mouse.click(*at(page, 0.7, 3))
    page.mouse.click(*at(page, 0.5, 0))
    assert trail(page) == ["all"]


def test_zoom_moves_unless_the_reader_wants_no_motion(show: Open, small: Path) -> None:
    for motion, moved in (("no-preference", True), ("reduce", False)):
        page = show(small, reduced_motion=motion)
        graph(page)
        page.evaluate("""() => {
            window.frames_ = 0;
            const original = window.requestAnimationFrame;
            window.requestAnimationFrame = (call) => { window.frames_ += 1; return original(call); };
        }""")
        page.mouse.click(*at(page, 0.7, 2))
        page.wait_for_timeout(400)
        assert (page.evaluate("window.frames_") > 0) == moved
        page.mouse.move(*at(page, 0.9, 3))
        assert shown(page)[0] == "runtime.slow"


def test_keys(show: Open, small: Path) -> None:
    page = show(small, reduced_motion="reduce")
    graph(page)
    page.get_by_role("searchbox").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "tree"
    assert active(page).startswith("All: Heap in use, 1,000 KiB in use, 100 %")
    for press, expected in (
        ("ArrowDown", "main.main"), ("ArrowDown", "main.work"), ("ArrowRight", "net/http.other"), ("ArrowRight", "net/http.other"),
        ("ArrowLeft", "main.work"), ("ArrowDown", "example.org/lib/v2.(*Pool).fast"), ("ArrowRight", "runtime.slow"),
        ("ArrowUp", "main.work"), ("Home", "All: Heap in use"), ("End", "example.org/lib/v2.(*Pool).fast"), ("ArrowUp", "main.work"),
    ):
        page.keyboard.press(press)
        assert active(page).startswith(f"{expected}, "), press
        assert page.locator(".flame-ring").is_visible()
        assert shown(page)[0] == expected
    item = graph(page).get_by_role("treeitem").last
    assert [item.get_attribute(name) for name in ("aria-level", "aria-posinset", "aria-setsize", "aria-expanded", "aria-selected")] == [
        "3", "1", "2", "true", "true"]
    page.keyboard.press("Enter")
    assert trail(page)[-1] == "main.work"
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    assert trail(page)[-1] == "v2.(*Pool).fast"
    page.keyboard.press("Backspace")
    page.keyboard.press("Escape")
    assert trail(page) == ["all"]
    # Out of what is shown the zoom follows.
    page.keyboard.press("Enter")
    for press in ("ArrowUp", "ArrowDown", "ArrowRight"):
        page.keyboard.press(press)
    assert active(page).startswith("net/http.other") and trail(page) == ["all", "main.main"]
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_search(show: Open, small: Path) -> None:
    page = show(small, reduced_motion="reduce")
    plain = colour(page, 0.95 * 0.9, 2), colour(page, 0.95, 1)
    field, status = page.get_by_role("searchbox"), page.locator(".flame-found")
    for words, expected in (("FAST", "1 box, 60 %"), ("main.", "2 boxes, 100 %"), ("o", "4 boxes, 95 %"), ("nothing", "Nothing matches")):
        field.fill(words)
        assert status.inner_text() == expected, words
    field.fill("other")
    assert colour(page, 0.95 * 0.9, 2) != plain[0] and colour(page, 0.95, 1) != plain[1]
    page.keyboard.press("Enter")
    assert active(page).startswith("net/http.other")
    field.fill("main.")
    page.keyboard.press("Enter")
    assert active(page).startswith("main.main")
    page.keyboard.press("Enter")
    assert active(page).startswith("main.work")
    page.keyboard.press("Shift+Enter")
    assert active(page).startswith("main.main")
    page.keyboard.press("Escape")
    assert field.input_value() == "" and status.inner_text() == "" and (colour(page, 0.95 * 0.9, 2), colour(page, 0.95, 1)) == plain
    page.locator(".flame-name", has_text="runtime.slow").click()
    assert status.inner_text() == "1 box, 25 %"
    page.get_by_role("button", name="Clear").click()
    assert status.inner_text() == ""


def test_the_table_says_the_same(show: Open, small: Path) -> None:
    page = show(small)
    table = page.get_by_role("table", name="Heap in use: functions by own value")
    assert table.locator("tbody tr").all_inner_texts()[0].split() == [
        "dependency:", "example.org/lib/v2.(*Pool).fast", "600", "KiB", "60", "%", "600", "KiB", "60", "%"]
    assert table.locator("[aria-sort=descending]").inner_text() == "Flat ↓"
    table.get_by_role("button", name="Cumulative").click()
    table = page.get_by_role("table", name="Heap in use: functions by cumulative value")
    rows = [" ".join(row.split()[1:]) for row in table.locator("tbody tr").all_inner_texts()]
    assert rows[0] == "code: main.main 50 KiB 5 % 1,000 KiB 100 %" and rows[1] == "code: main.work 0 B 0 % 850 KiB 85 %"
    assert page.evaluate("document.activeElement.textContent") == "Cumulative ↓"


def test_a_recorded_profile(show: Open, recorded: Path) -> None:
    page = show(recorded, reduced_motion="reduce")
    graph(page).focus()
    page.get_by_role("searchbox").fill("(*store).checkout")
    found = page.locator(".flame-found").inner_text()
    page.keyboard.press("Enter")
    assert active(page).startswith("example.org/shop/cart.(*Store).Checkout, ") and active(page).endswith("cart.go:47, 46, 44")
    assert found == "3 boxes, 25.1 %" and ", 940 ms CPU time, 25.1 %, " in active(page)
    legend = [re.sub(r" [0-9.]+ %$", "", one) for one in page.locator(".flame-legend li").all_inner_texts()]
    assert legend == ["Flat, by class:", "Own code", "Dependencies", "Standard library", "Runtime"]
    assert page.locator(".flame-table tbody tr").count() == 10
    page.locator(".flame-more button").click()
    assert page.locator(".flame-table tbody tr").count() > 30


def test_goroutines_are_counted(show: Open, recorded: Path) -> None:
    page = show(recorded)
    page.locator("summary").nth(GOROUTINES).click()
    graph(page, GOROUTINES)
    assert " goroutines, 100 % of the profile" in shown(page, GOROUTINES)[2]
    assert page.locator("figure").nth(GOROUTINES).get_by_role("table").locator("caption").inner_text() == (
        "Goroutines: functions by cumulative value")


def test_a_difference(show: Open, tmp_path: Path) -> None:
    kib = 1024
    before = made(("main.main main.cache", 800 * kib), ("main.main main.keep", 100 * kib), ("main.main main.gone", 100 * kib))
    after = made(("main.main main.cache", 100 * kib), ("main.main main.keep", 100 * kib), ("main.main main.leak", 300 * kib))
    data = flame.difference(before, after, kind="heap", title="Idle and after")
    page = show(write(tmp_path / "flame.html", data), reduced_motion="reduce")
    graph(page)
    assert shown(page)[2] == "−500 KiB (−50 %): 1,000 KiB before, 500 KiB after · 100 % of after"
    # The order is that of the larger value of the two: cache, leak, keep (and gone, which has no width).
    page.mouse.move(*at(page, 0.5, 2))
    assert shown(page)[0] == "main.leak" and shown(page)[2].startswith("+300 KiB: 0 B before, 300 KiB after · 60 % of after · ")
    grew, shrank = colour(page, 0.7, 2), colour(page, 0.19, 2)
    assert grew[0] > grew[2] and shrank[2] > shrank[0]
    page.get_by_role("button", name="Before: what shrank").click()
    page.mouse.move(*at(page, 0.5, 2))
    assert shown(page)[0] == "main.cache"
    assert shown(page)[2].startswith("−700 KiB (−87.5 %): 800 KiB before, 100 KiB after · 80 % of before")
    page.mouse.move(*at(page, 0.95, 2))
    assert shown(page)[0] in ("main.gone", "main.keep")
    page.get_by_role("searchbox").fill("gone")
    assert page.locator(".flame-found").inner_text() == "1 box, 10 %"
    page.get_by_role("button", name="After: what grew").click()
    assert page.locator(".flame-found").inner_text() == "Nothing matches"
    rows = [row.split() for row in page.locator(".flame-table tbody tr").all_inner_texts()]
    assert rows[:3] == [["main.cache", "−700", "KiB", "100", "KiB", "−700", "KiB", "100", "KiB"],
                        ["main.leak", "+300", "KiB", "300", "KiB", "+300", "KiB", "300", "KiB"],
                        ["main.gone", "−100", "KiB", "0", "B", "−100", "KiB", "0", "B"]]


@pytest.mark.parametrize("empty", ["nothing", "nothing after", "nothing before"])
def test_nothing_was_recorded(show: Open, tmp_path: Path, empty: str) -> None:
    some = made(("main.main", 10))
    data = {"nothing": lambda: flame.build(made(), kind="heap", title="Heap"),
            "nothing after": lambda: flame.difference(some, made(), kind="heap", title="Heap"),
            "nothing before": lambda: flame.difference(made(), some, kind="heap", title="Heap")}[empty]()
    page = show(write(tmp_path / "flame.html", data), reduced_motion="reduce")
    if empty == "nothing":
        page.get_by_text("Nothing was recorded: the profile has no value above zero.").wait_for()
        return
    page.mouse.move(*at(page, 0.5, 1))
    assert shown(page)[0] == "main.main"
    for side in ("Before: what shrank", "After: what grew"):
        page.get_by_role("button", name=side).click()
        page.mouse.click(*at(page, 0.5, 0))


def test_what_is_pruned_and_what_is_too_narrow_is_said(show: Open, tmp_path: Path) -> None:
    many = [(f"main.main f{number}", 1100) for number in range(400)] + [(f"main.main g{number}", 30) for number in range(500)]
    many += [("main.main big", 500_000)]
    page = show(write(tmp_path / "flame.html", flame.build(made(*many, unit="count"), kind="goroutine", title="Goroutines")),
                viewport={"width": 390, "height": 800}, reduced_motion="reduce")
    graph(page)
    assert page.locator(".flame-note").inner_text() == (
        '500 boxes below 0.1 % (955) are "(pruned)": together 1.57 % of the total.')
    page.mouse.move(*at(page, 0.8, 2))
    assert shown(page) == ["(too narrow)", "", "400 boxes below main.main: 440,000 goroutines, 46.1 % · zoom in to see them"]
    page.mouse.move(*at(page, 0.995, 2))
    assert shown(page) == ["(pruned)", "", "15,000 goroutines below main.main, 1.57 % · in boxes too small for this report; "
                           "the profile has them"]
    page.get_by_role("searchbox").fill("f399")
    before = colour(page, 0.8, 2)
    page.get_by_role("searchbox").fill("f4000")
    assert colour(page, 0.8, 2) != before, "a match among what is too narrow is marked"
    # Each press zooms into the widest that is too narrow, until it is seen.
    page.mouse.click(*at(page, 0.8, 2))
    page.mouse.click(*at(page, 0.8, 2))
    assert trail(page)[-1].startswith("f")


def test_names_of_a_service_are_text(show: Open, tmp_path: Path) -> None:
    stack = (Frame(EVIL, EVIL, 1), Frame("a" * 5000, "b" * 5000, 2))
    data = flame.build(Profile([("inuse_space", EVIL)], samples=[Sample(stack, (5,), {})]), kind="heap", title=EVIL)
    page = show(write(tmp_path / "flame.html", data), reduced_motion="reduce")
    graph(page)
    page.mouse.click(*at(page, 0.5, 2))
    assert shown(page)[:2] == [EVIL, f"{EVIL}:1"]
    assert EVIL in page.locator(".flame-table").inner_text()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".flame-print text").count() == 1
    assert page.locator(".flame-print p").text_content() == f"Only {EVIL}: 5 {EVIL} in use, 100 %"
    assert page.locator("img").count() == 0 and page.locator("script").count() == 2


def test_light_and_dark(show: Open, small: Path) -> None:
    page = show(small)
    graph(page)
    light = colour(page, 0.95, 1)
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(50)
    dark = colour(page, 0.95, 1)
    assert sum(dark) < sum(light)
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.wait_for_timeout(50)
    assert colour(page, 0.95, 1) == light


def test_follows_the_width_of_the_window(show: Open, small: Path) -> None:
    page = show(small, reduced_motion="reduce")
    wide = graph(page).locator("canvas").bounding_box()["width"]
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_function("(wide) => document.querySelector('canvas').getBoundingClientRect().width < wide", arg=wide)
    page.mouse.move(*at(page, 0.7, 3))
    assert shown(page)[0] == "runtime.slow"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_narrow_screens(show: Open, recorded: Path, width: int) -> None:
    page = show(recorded, viewport={"width": width, "height": 800}, has_touch=True, is_mobile=True, device_scale_factor=2)
    for number in (CPU, HEAP, GOROUTINES):
        page.locator("figure").nth(number).evaluate("(one) => { one.closest('details').open = true; one.scrollIntoView(); }")
        graph(page, number)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".flame-touch").first.is_visible() and not page.locator(".flame-mouse").first.is_visible()


def test_a_tap_tells_and_the_next_zooms(show: Open, small: Path) -> None:
    page = show(small, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True, reduced_motion="reduce")
    page.touchscreen.tap(*at(page, 0.7, 3))
    page.wait_for_function("document.querySelector('.flame-what').textContent === 'runtime.slow'")
    assert trail(page) == ["all"]
    page.touchscreen.tap(*at(page, 0.7, 3))
    page.wait_for_function("document.querySelector('.flame-trail [aria-current]').textContent === 'runtime.slow'")
    page.get_by_role("button", name="Back").tap()
    assert trail(page) == ["all"]


def test_paper(show: Open, recorded: Path) -> None:
    page = show(recorded, color_scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    figure = page.locator("figure").nth(CPU)
    assert figure.locator(".flame-print").is_visible() and figure.get_by_role("table").is_visible()
    for hidden in (".flame-graph", ".flame-bar", ".flame-help"):
        assert not figure.locator(hidden).is_visible(), hidden
    words = figure.locator(".flame-print text").all_text_contents()
    assert words[0].startswith("all: ") and "main.worker" in words and len(words) > 30
    assert figure.locator(".flame-print rect").first.evaluate("(one) => getComputedStyle(one).fill") == "rgb(226, 226, 220)"
    # What was never opened is on paper where the page unfolds it.
    assert page.locator("figure").nth(HEAP).locator(".flame-print").count() == 1
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator(".flame-print").count() == 0
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_fifty_thousand_samples_are_quick(show: Open, tmp_path: Path) -> None:
    data = flame.build(bench.profile(50_000), kind="cpu", title="Large", module="example.org/shop")
    path = write(tmp_path / "flame.html", data, opened=())
    assert path.stat().st_size < 300_000
    page = show(path, reduced_motion="reduce")
    started = time.monotonic()
    page.locator("summary").click()
    graph(page).focus()
    spent = time.monotonic() - started
    # The times are generous: they catch a design fault, not a busy machine. bench/flame.py measures.
    assert spent < 5
    zooms = page.evaluate("""() => [...Array(10)].map((unused, step) => {
        const started = performance.now();
        for (const key of ['ArrowDown', 'ArrowDown', 'Enter']) document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key }));
        return performance.now() - started;
    })""")
    print(f"50,000 samples: drawn in {spent:.2f} s, zooms {sorted(zooms)[5]:.0f} ms")
    assert sorted(zooms)[5] < 500
