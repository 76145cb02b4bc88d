# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a flame graph of a large profile costs: on the controller, in the report, and in a browser::

    cd collections && python -m ansible_collections.goready.preflight.bench.flame [--samples 50000] [--json FILE]

A synthetic profile of as many different stacks becomes a graph as the report has it, and one from which nothing is pruned.
Chromium opens both: until the graph is drawn after its part of the page was opened, then each of many zooms from the key to
the last pixel, without the animation. Times are those of the processor; exit status 1 where a target is missed.
"""
from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.goready.preflight.plugins.module_utils.profile import Frame, Profile, Sample
from ansible_collections.goready.preflight.plugins.plugin_utils.report import flame
from ansible_collections.goready.preflight.tests.browser import flamepage

LAYOUT_MS, ZOOM_MS = 1000.0, 50.0
ZOOMS = 60
PACKAGES = ("main", "example.org/shop/cart", "example.org/shop/pricing", "github.com/acme/codec", "google.golang.org/grpc",
            "net/http", "encoding/json", "compress/flate", "runtime")

_OPEN = """async (number) => {
  const box = document.querySelectorAll("details")[number];
  const started = performance.now();
  box.open = true;
  box.scrollIntoView();
  while (!box.querySelector("canvas")?.width) await new Promise(requestAnimationFrame);
  box.querySelector("canvas").getContext("2d").getImageData(0, 0, 1, 1);
  await new Promise(requestAnimationFrame);
  return performance.now() - started;
}"""
_START = """(number) => {
  const graph = document.querySelectorAll("details")[number].querySelector(".flame-graph"), canvas = graph.querySelector("canvas");
  window.press = (key) => graph.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  window.zoom = (key) => {
    const started = performance.now();
    press(key);
    canvas.getContext("2d").getImageData(0, 0, 1, 1);
    return performance.now() - started;
  };
  graph.focus();
  press("Home");
}"""
_MOVE = """async (time) => {
  for (let step = 0; step < 1 + time % 4; step += 1) press("ArrowDown");
  for (let step = 0; step < time % 3; step += 1) press("ArrowRight");
  await new Promise(requestAnimationFrame);
}"""


def profile(samples: int, seed: int = 1) -> Profile:
    """So many different stacks of 8 to 48 frames: few hot paths, and a long tail from which most would be pruned."""
    chance = random.Random(seed)
    frames = [Frame(f"{PACKAGES[number % len(PACKAGES)]}.(*Worker{number % 13}).step{number}", f"/src/{number % 97}/work.go", number % 900)
              for number in range(4000)]
    made, seen = [], set()
    while len(made) < samples:
        depth = chance.randrange(8, 48)
        stack = tuple(frames[min(len(frames) - 1, int(chance.paretovariate(0.7) * (1 + level % 5)))] for level in range(depth))
        if stack not in seen:
            seen.add(stack)
            made.append(Sample(stack[::-1], (int(chance.paretovariate(1.1) * 10_000_000),), {}))
    return Profile([("cpu", "nanoseconds")], samples=made)


def in_browser(path: Path, graphs: int) -> list[dict[str, float]]:
    from playwright.sync_api import sync_playwright

    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    figures = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-background-networking"])
        page = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce").new_page()
        page.goto(path.as_uri())
        devtools = page.context.new_cdp_session(page)
        # The time of the page's main thread on a processor: what the clock on the wall says is also what else the machine does.
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent() -> float:
            metrics = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
            return float(metrics["TaskDuration"]) * 1000

        for number in range(graphs):
            before = spent()
            wall = page.evaluate(_OPEN, number)
            layout = spent() - before
            page.evaluate(_START, number)
            walls, zooms = [], []
            for time_ in range(ZOOMS):
                page.evaluate(_MOVE, time_)
                before = spent()
                walls.append(page.evaluate("(key) => zoom(key)", "Escape" if time_ % 3 == 2 else "Enter"))
                zooms.append(spent() - before)
            figures.append({"layout_ms": layout, "layout_wall_ms": wall, "zoom_ms": statistics.median(zooms), "zoom_max_ms": max(zooms),
                            "zoom_wall_ms": statistics.median(walls), "zoom_wall_max_ms": max(walls)})
        browser.close()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    made = profile(args.samples)
    figures: dict[str, Any] = {}
    flames = []
    for name, options in (("pruned", {}), ("whole", {"prune": 0, "nodes": 50_000})):
        started, cpu = time.perf_counter(), time.process_time()
        data = flame.build(made, kind="cpu", title=name, module="example.org/shop", **options)  # type: ignore[arg-type]
        figures[name] = {
            "samples": args.samples, "build_s": time.perf_counter() - started, "build_cpu_s": time.process_time() - cpu,
            "boxes": len(data["nodes"]["value"]),
            "pruned_boxes": data["pruned"]["boxes"], "bytes": len(json.dumps(data, separators=(",", ":"))),
        }
        flames.append(data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory(prefix="preflight-bench-") as folder:
        path = Path(folder) / "flame.html"
        path.write_text(flamepage.page(flames, ()), "utf-8")
        for one, spent in zip(figures.values(), in_browser(path, len(flames)), strict=True):
            one.update(spent)
    for name, one in figures.items():
        print(f"{name}: {args.samples:,} samples, {one['boxes']:,} boxes ({one['pruned_boxes']:,} pruned), {one['bytes'] / 1000:.0f} kB, "
              f"built in {one['build_cpu_s']:.1f} s ({one['build_s']:.1f} s on the wall)")
        print(f"  drawn {one['layout_ms']:.0f} ms after it was opened ({one['layout_wall_ms']:.0f} ms on the wall, target "
              f"{LAYOUT_MS:.0f}); a zoom {one['zoom_ms']:.0f} ms, at most {one['zoom_max_ms']:.0f} ms ({one['zoom_wall_ms']:.0f} and "
              f"{one['zoom_wall_max_ms']:.0f} ms on the wall, target {ZOOM_MS:.0f})")
    print(f"peak memory of the controller with the profile {peak:.0f} MB")
    figures["peak_mb"] = peak
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    met = all(figures[name]["layout_ms"] < LAYOUT_MS and figures[name]["zoom_max_ms"] < ZOOM_MS for name in ("pruned", "whole"))
    print("targets met" if met else "TARGETS MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
