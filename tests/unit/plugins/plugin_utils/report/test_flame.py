# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flame graphs as data, against ``go tool pprof -top`` on recorded profiles and against a plain tree on made-up ones."""
from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import profile
from ansible_collections.goready.preflight.plugins.module_utils.profile import Frame, Profile, Sample
from ansible_collections.goready.preflight.plugins.plugin_utils.report import flame
from hypothesis import given, settings
from hypothesis import strategies as st

RUNTIME = Path(__file__).parents[3] / "fixtures" / "runtime"
RECORDED = {
    f"{path.parent.name}/{path.name.removesuffix('.pb.gz')}": path
    for folder in ("profiles", "flame") for path in sorted((RUNTIME / folder).glob("**/*.pb.gz"))
}
TYPES = {"heap": "inuse_space", "heap-idle": "inuse_space", "heap-after": "inuse_space", "allocs": "alloc_space", "profile": "cpu",
         "cpu": "cpu", "mutex": "delay", "block": "delay"}
CSS = (Path(flame.__file__).parent / "templates" / "flame.css").read_text("utf-8")


def read(path: Path) -> Profile:
    return profile.parse(path.read_bytes())


def of(*samples: tuple[str, int], types: list[tuple[str, str]] | None = None, default: str = "") -> Profile:
    """A profile of stacks like ``a b:7 c`` (root first, with the lines that matter)."""
    made = []
    for words, value in samples:
        frames = [word.partition(":") for word in words.split()]
        stack = tuple(Frame(name, f"/src/{name}.go", int(line or 0)) for name, colon, line in reversed(frames))
        made.append(Sample(stack, (value,), {}))
    return Profile(types or [("cpu", "nanoseconds")], default, samples=made)


def lines(data: flame.Flame) -> list[str]:
    """The tree as indented lines: function, value, own value, lines."""
    nodes, names = data["nodes"], [data["strings"][name] for name, file, origin in data["functions"]]
    ends: list[int] = []
    found = []
    for box, size in enumerate(nodes["size"]):
        while ends and ends[-1] <= box:
            ends.pop()
        line = nodes["line"][box]
        found.append(f"{'  ' * len(ends)}{names[nodes['function'][box]]} {nodes['value'][box]} {nodes['self'][box]}"
                     + (f" {line}" if line else ""))
        ends.append(box + size)
    return found


def boxes(data: flame.Flame) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every box with its path of functions."""
    names = [data["strings"][name] for name, file, origin in data["functions"]]
    path: list[tuple[str, int]] = []
    for box, size in enumerate(data["nodes"]["size"]):
        while path and path[-1][1] <= box:
            path.pop()
        path.append((names[data["nodes"]["function"][box]], box + size))
        yield box, tuple(name for name, end in path[1:])


def sums(data: flame.Flame, value: str = "value", own: str = "self") -> tuple[Counter[str], Counter[str]]:
    """Flat and cumulative values by function, out of the tree alone."""
    nodes: Mapping[str, Any] = data["nodes"]
    flat: Counter[str] = Counter()
    cum: Counter[str] = Counter()
    for box, path in boxes(data):
        if path:
            flat[path[-1]] += nodes[own][box]
            cum[path[-1]] += nodes[value][box] if path[-1] not in path[:-1] else 0
    return flat, cum


def pprof(words: str) -> tuple[dict[str, int], dict[str, int]]:
    """Flat and cumulative values as ``go tool pprof -top`` prints them."""
    flat, cum = {}, {}
    for line in words.splitlines():
        found = re.match(r" *(-?\d+)(?:ns|B)? +\S+ +\S+ +(-?\d+)(?:ns|B)? +\S+ {2}(.+?)(?: \((?:inline|partial-inline)\))?$", line)
        if found:
            flat[found[3]], cum[found[3]] = int(found[1]), int(found[2])
    return flat, cum


def top_of(path: Path) -> str:
    words = gzip.decompress(path.with_name(path.name.replace(".pb.gz", ".top.txt.gz")).read_bytes()).decode()
    if "\n## " not in f"\n{words}":
        return words
    sample_type = TYPES.get(path.name.removesuffix(".pb.gz"), path.name.removesuffix(".pb.gz"))
    return next(part for part in f"\n{words}".split("\n## ") if part.startswith(f"{sample_type} functions\n"))


# Agreement with go tool pprof

def test_profiles_are_recorded() -> None:
    assert {name.split("/")[0] for name in RECORDED} >= {"flame", "go1.21.13", "go1.27.3"}


@pytest.mark.parametrize("name", RECORDED)
def test_agrees_with_go_tool_pprof(name: str) -> None:
    path = RECORDED[name]
    kind = {"profile": "cpu", "heap-idle": "heap", "heap-after": "heap"}.get(name.split("/")[1], name.split("/")[1])
    flat, cum = pprof(top_of(path))
    parsed = read(path)
    data = flame.build(parsed, kind=kind, prune=0, nodes=1_000_000)
    of_tree = sums(data)
    assert {function: of_tree[0][function] for function in cum} == flat
    assert {function: value for function, value in of_tree[1].items() if value} == {one: value for one, value in cum.items() if value}
    assert data["total"] == profile.totals(parsed)[data["type"]]
    for function, own, with_callees in data["top"]:
        function_name = data["strings"][data["functions"][function][0]]
        assert (flat[function_name], cum[function_name]) == (own, with_callees)
    if flat:
        assert data["top"][0][1] == max(flat.values())
    # What is pruned changes the tree and nothing of the table, the totals and the classes.
    pruned = flame.build(parsed, kind=kind, nodes=20)
    assert (pruned["total"], pruned["origins"]) == (data["total"], data["origins"])
    assert named(pruned) == named(data)
    assert len(pruned["nodes"]["value"]) <= 20


def named(data: flame.Flame) -> list[list[Any]]:
    return [[data["strings"][data["functions"][line[0]][0]], *line[1:]] for line in data["top"]]


def test_a_difference_agrees_with_go_tool_pprof() -> None:
    folder = RUNTIME / "flame"
    flat, cum = pprof(gzip.decompress((folder / "diff.top.txt.gz").read_bytes()).decode())
    data = flame.difference(read(folder / "heap-idle.pb.gz"), read(folder / "heap-after.pb.gz"), kind="heap", prune=0)
    after, before = sums(data), sums(data, "before", "before_self")
    assert len(cum) > 20
    for ours, theirs in ((0, flat), (1, cum)):
        # What has not changed at all is left out by go tool pprof.
        changed = {one: after[ours][one] - before[ours][one] for one in after[1]}
        assert {one: change for one, change in changed.items() if change or one in theirs} == theirs
    for function, own, with_callees, own_before, before_with_callees in data["top"]:
        name = data["strings"][data["functions"][function][0]]
        assert (own - own_before, with_callees - before_with_callees) == (flat[name], cum[name])
    changes = [abs(line[1] - line[3]) for line in data["top"][:5]]
    assert changes == sorted(map(abs, flat.values()), reverse=True)[:5]


def test_a_recorded_profile_is_small() -> None:
    path = RUNTIME / "flame" / "cpu.pb.gz"
    data = flame.build(read(path), kind="cpu", title="CPU", module="example.org/shop")
    assert (data["kind"], data["type"], data["unit"], data["noun"], data["order"]) == ("cpu", "cpu", "nanoseconds", "CPU time", "flat")
    assert len(json.dumps(data, separators=(",", ":"))) < 3 * path.stat().st_size
    assert len(set(data["strings"])) == len(data["strings"])
    classes = {data["strings"][name]: flame.ORIGINS[origin] for name, file, origin in data["functions"][1:]}
    assert {name: classes[name] for name in ("main.worker", "example.org/shop/cart.(*Store).Checkout", "github.com/acme/codec.Pack",
                                             "net/http.(*conn).serve", "runtime.mallocgc")} == {
        "main.worker": "own", "example.org/shop/cart.(*Store).Checkout": "own", "github.com/acme/codec.Pack": "dependency",
        "net/http.(*conn).serve": "std", "runtime.mallocgc": "runtime"}
    assert sum(data["origins"]) == data["total"] and min(data["origins"]) >= 0


# The tree

@pytest.mark.parametrize(("samples", "expected"), [
    pytest.param([], [" 0 0"], id="nothing"),
    pytest.param([("a b", 2), ("a c", 3)], [" 5 0", "  a 5 0", "    c 3 3", "    b 2 2"], id="the largest child first"),
    pytest.param([("a b", 2), ("a", 3), ("a b", 1)], [" 6 0", "  a 6 3", "    b 3 3"], id="own and called"),
    pytest.param([("a:1 b:5", 2), ("a:2 b:5", 3)], [" 5 0", "  a 5 0 [2, 1]", "    b 5 5 5"], id="merged by function"),
    pytest.param([(f"a:{line} b", line) for line in range(1, 7)], [" 21 0", "  a 21 0 [6, 5, 4, 3, 0]", "    b 21 21"], id="many lines"),
    pytest.param([("a:0 b", 2), ("a:9 b", 1)], [" 3 0", "  a 3 0 9", "    b 3 3"], id="a line that is not known"),
    pytest.param([("a b a", 2), ("a b", 1)], [" 3 0", "  a 3 0", "    b 3 1", "      a 2 2"], id="recursion"),
    pytest.param([("a b", 2), ("c b", 2)], [" 4 0", "  a 2 0", "    b 2 2", "  c 2 0", "    b 2 2"], id="two ways to one function"),
    pytest.param([("", 4), ("a", 1)], [" 5 4", "  a 1 1"], id="no stack"),
    pytest.param([("a", 0), ("b", -3), ("c", 1)], [" 1 0", "  c 1 1"], id="zero and negative"),
    pytest.param([("a", 1), ("b", 999)], [" 1000 0", "  b 999 999", "  a 1 1"], id="just large enough"),
    pytest.param([("a b", 1), ("b", 1000)], [" 1001 0", "  b 1000 1000"], id="just too small"),
    pytest.param([("a b", 1), ("a c", 1), ("b", 998)], [" 1000 0", "  b 998 998", "  a 2 0", "    b 1 1", "    c 1 1"],
                 id="shares of a part"),
    pytest.param([("a b", 1), ("a c", 1), ("b", 1998)], [" 2000 0", "  b 1998 1998", "  a 2 0"], id="too small below one large enough"),
])
def test_tree(samples: list[tuple[str, int]], expected: list[str]) -> None:
    assert lines(flame.build(of(*samples), kind="cpu")) == expected


def test_what_is_pruned_is_said() -> None:
    samples = [("a b", 1), ("a c d", 1), ("b", 1998)]
    assert flame.build(of(*samples))["pruned"] == {"boxes": 3, "value": 2, "below": 2, "share": 0.001, "limited": False}
    data = flame.build(of(*samples), nodes=2)
    assert lines(data) == [" 2000 0", "  b 1998 1998"]
    assert data["pruned"] == {"boxes": 4, "value": 2, "below": 1998, "share": 0.001, "limited": True}


def test_the_limit_keeps_the_largest_boxes() -> None:
    many = [(f"f{number}", 10) for number in range(500)] + [("main work", 50), ("main work rest", 1)]
    data = flame.build(of(*many), prune=0, nodes=100)
    kept = lines(data)
    assert len(kept) == 100 and kept[:3] == [" 5051 0", "  main 51 0", "    work 51 50"]
    assert data["pruned"] == {"boxes": 404, "value": 5051 - 50 - 97 * 10, "below": 10, "share": 0, "limited": True}


def test_a_stack_deeper_than_the_limit_ends_there() -> None:
    data = flame.build(of((" ".join(["f"] * 1000), 7)))
    assert len(lines(data)) == flame.DEPTH + 1
    assert sum(data["nodes"]["self"]) == 0 and data["pruned"]["value"] == 7 and data["pruned"]["boxes"] == 1000 - flame.DEPTH
    assert data["top"] == [[1, 7, 7]]


def test_a_difference_keeps_what_is_large_in_either() -> None:
    before, after = of(("a gone", 90), ("a tiny", 1), ("a same", 9)), of(("a new", 3000), ("a tiny", 1), ("a same", 9))
    data = flame.difference(before, after, kind="cpu", title="What changed")
    names = [path[-1] if path else "" for box, path in boxes(data)]
    assert names == ["", "a", "new", "gone", "same", "tiny"]
    nodes = data["nodes"]
    assert (nodes["value"], nodes["before"]) == ([3010, 3010, 3000, 0, 9, 1], [100, 100, 0, 90, 9, 1])
    assert (data["total"], data["before"], data["pruned"]["value"], data["pruned"]["before"]) == (3010, 100, 0, 0)
    assert named(data)[:3] == [["new", 3000, 3000, 0, 0], ["gone", 0, 0, 90, 90], ["same", 9, 9, 9, 9]]


def test_a_difference_from_nothing() -> None:
    data = flame.difference(of(), of(("a", 3)), kind="cpu")
    assert (data["before"], data["nodes"]["before"], data["nodes"]["value"]) == (0, [0, 0], [3, 3])
    data = flame.difference(of(("a", 3)), of(), kind="cpu")
    assert (data["before"], data["total"], data["nodes"]["before"]) == (3, 0, [3, 3])


def test_what_a_service_names_is_one_short_line_of_text() -> None:
    evil = "<script>\n\u202e\x1b[2J" + "x" * 1000
    made = Profile([("cpu\n", "nano\x07seconds")], samples=[Sample((Frame(evil, evil, 1),), (1,), {})])
    data = flame.build(made, title=evil)
    assert {len(word) for word in (data["title"], *data["strings"][1:])} == {200, 300}
    assert all(word.isprintable() for word in (data["title"], data["type"], data["unit"], data["noun"], *data["strings"]))


@pytest.mark.parametrize(("types", "default", "kind", "expected"), [
    pytest.param(["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"], "inuse_space", "heap", 3, id="heap"),
    pytest.param(["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"], "alloc_space", "allocs", 1, id="allocs"),
    pytest.param(["samples", "cpu"], "", "cpu", 1, id="cpu"),
    pytest.param(["contentions", "delay"], "", "mutex", 1, id="mutex"),
    pytest.param(["contentions", "delay"], "", "block", 1, id="block"),
    pytest.param(["goroutine"], "", "goroutine", 0, id="goroutine"),
    pytest.param(["goroutineleak"], "", "goroutineleak", 0, id="goroutineleak"),
    pytest.param(["one", "two", "three"], "two", "", 1, id="the default of the profile"),
    pytest.param(["one", "two", "three"], "four", "heap", 2, id="the last"),
])
def test_value_index(types: list[str], default: str, kind: str, expected: int) -> None:
    assert flame.value_index(Profile([(one, "count") for one in types], default), kind) == expected


@pytest.mark.parametrize(("call", "message"), [
    pytest.param(lambda: flame.build(Profile([])), "the profile has no sample type", id="no type"),
    pytest.param(lambda: flame.build(of(("a", 1)), 1), "value 1 is asked for, the profile has 1", id="index"),
    pytest.param(lambda: flame.build(of(("a", 1)), -1), "value -1 is asked for, the profile has 1", id="negative index"),
    pytest.param(lambda: flame.build(of(("a", 1), types=[("a", ""), ("b", "")])), "sample 0 has 1 values, value 1 is asked for",
                 id="values"),
    pytest.param(lambda: flame.build(of(("a", 1)), prune=1.0), "boxes below a share of 1.0 cannot be pruned: it is from 0 to below 1",
                 id="prune"),
    pytest.param(lambda: flame.build(of(("a", 1)), nodes=0), "a flame graph has at least 1 box, not 0", id="nodes"),
    pytest.param(lambda: flame.difference(of(("a", 1), types=[("inuse_space", "bytes")]), of(("a", 1))),
                 "inuse_space/bytes and cpu/nanoseconds cannot be compared", id="types"),
])
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


# Against a plain tree

STACKS = st.lists(st.tuples(st.lists(st.sampled_from("abcde"), max_size=7).map(" ".join), st.integers(-2, 5000)), max_size=60)


def plain(samples: list[tuple[str, int]]) -> tuple[Counter[tuple[str, ...]], Counter[tuple[str, ...]]]:
    values: Counter[tuple[str, ...]] = Counter()
    own: Counter[tuple[str, ...]] = Counter()
    for words, value in samples:
        if value > 0:
            path = tuple(words.split())
            own[path] += value
            for end in range(len(path) + 1):
                values[path[:end]] += value
    return values, own


@settings(max_examples=150, deadline=None)
@given(samples=STACKS, prune=st.sampled_from([0, 0.001, 0.05]), limit=st.sampled_from([1, 3, 10, 5000]))
def test_is_the_plain_tree_without_what_is_pruned(samples: list[tuple[str, int]], prune: float, limit: int) -> None:
    data = flame.build(of(*samples), prune=prune, nodes=limit)
    values, own = plain(samples)
    total = values[()]
    nodes, found = data["nodes"], {path: box for box, path in boxes(data)}
    assert len(found) == len(nodes["value"]) == len(nodes["self"]) == len(nodes["size"]) == len(nodes["line"])
    for path, box in found.items():
        assert (nodes["value"][box], nodes["self"][box]) == (values[path], own[path])
        assert not path or path[:-1] in found
    large = {path for path, value in values.items() if value >= total * prune} | {()}
    assert len(found) == min(limit, len(large))
    if len(large) <= limit:
        assert set(found) == large
    elif len(found) > 1:
        assert min(values[path] for path in found) >= max(values[path] for path in large - set(found))
    assert data["pruned"]["boxes"] == len(set(values) - set(found) - {()})
    assert data["pruned"]["value"] == total - sum(nodes["self"])
    # The children come with the largest first, and never are more than their parent.
    for path, box in found.items():
        children = [nodes["value"][at] for one, at in found.items() if one and one[:-1] == path]
        assert children == sorted(children, reverse=True) and sum(children) + own[path] <= values[path]


@settings(max_examples=80, deadline=None)
@given(before=STACKS, after=STACKS, limit=st.sampled_from([2, 5000]))
def test_a_difference_is_both_trees(before: list[tuple[str, int]], after: list[tuple[str, int]], limit: int) -> None:
    data = flame.difference(of(*before), of(*after), prune=0, nodes=limit)
    trees = plain(before), plain(after)
    found = {path: box for box, path in boxes(data)}
    every = set(trees[0][0]) | set(trees[1][0]) | {()}
    assert len(found) == min(limit, len(every)) and set(found) <= every
    for path, box in found.items():
        assert [data["nodes"][key][box] for key in ("before", "before_self", "value", "self")] == [  # type: ignore[literal-required]
            counts[path] for tree in trees for counts in tree]


# Colours

def colours(block: str) -> dict[str, tuple[float, ...]]:
    return {name: tuple(int(code[at:at + 2], 16) / 255 for at in (0, 2, 4))
            for name, code in re.findall(r"--flame-([a-z0-9-]+): #([0-9a-f]{6});", block)}


def luminance(colour: tuple[float, ...]) -> float:
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# In the order of the file: light, dark by the system, dark by choice, paper.
THEMES = dict(zip(("light", "dark", "chosen dark", "print"), re.findall(r"(--flame-ink.*?--flame-shrank-3: #\w+;)", CSS, re.S)))


def test_themes_have_the_same_colours() -> None:
    assert len(THEMES) == 4
    assert colours(THEMES["dark"]) == colours(THEMES["chosen dark"])
    assert colours(THEMES["light"]) == colours(THEMES["print"])
    assert set(colours(THEMES["light"])) == set(colours(THEMES["dark"]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_on_every_colour(theme: str) -> None:
    known = colours(THEMES[theme])
    inks = {"dim": "dim-ink", "pruned": "dim-ink", "narrow": "dim-ink", "hit": "hit-ink"}
    ratios = {}
    for name, fill in known.items():
        if not name.endswith("ink") and name != "edge":
            ink = known[inks.get(name, "ink")]
            ratios[name] = round(contrast(ink, fill), 2)
    # WCAG 2.2, 1.4.3: 4.5 to 1 for text of this size.
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}
