# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flame graphs: a profile as the small tree that ``templates/flame.js`` draws.

:func:`build` makes one of a profile, :func:`difference` one of two profiles of the same kind. Pure: a profile in, plain JSON
out (:class:`Flame`, the shape is there). Boxes are functions, from the root of the stacks to their leaves: calls from several
lines of one function are one box that knows its lines. Totals, flat and cumulative values are those of ``go tool pprof -top``
on the same file, for they come from the whole profile and not from what is left of the tree.

Boxes below 0.1 % of the total are pruned, and the smallest ones where more than ``NODES`` are left. A pruned box needs no
node of its own: it is what of a node's ``value`` is neither its own (``self``) nor its children's, so that every sum stays
right. ``flame.js`` draws that part as "(pruned)".
"""
from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

from ansible_collections.goready.preflight.plugins.module_utils import goroutines
from ansible_collections.goready.preflight.plugins.module_utils.profile import Frame, Profile
from ansible_collections.goready.preflight.plugins.plugin_utils.report import text

#: Boxes smaller than this share of the total are pruned: one pixel of a graph a thousand pixels wide.
PRUNE = 0.001
#: At most so many boxes: some 120 kB of the report.
NODES = 5000
#: At most so many levels: Go records 128 frames a stack (maxProfStackDepth, runtime/mprof.go), the rest is for inlined ones.
DEPTH = 256
#: So many lines of the table by flat value, and as many by cumulative value.
TOP = 30
#: The names of the classes; a function's class is a position in it.
ORIGINS = ("own", "dependency", "std", "runtime")
#: Lines of a function that one box names.
LINES = 4
_NAME = 300
_PATH = 300
_TITLE = 200
_WORD = 60


class Kind(NamedTuple):
    """What a kind of profile shows: the sample type, what is counted, and by which value its table is sorted.

    Blocked goroutines end in the runtime and in sync: by flat value nothing else would be seen.
    """

    sample_type: str
    noun: str
    order: str


# The sample types are those of runtime/pprof: proto.go (cpu), protomem.go (heap, allocs), pprof.go (the others).
KINDS: Mapping[str, Kind] = {
    "cpu": Kind("cpu", "CPU time", "flat"),
    "heap": Kind("inuse_space", "in use", "flat"),
    "allocs": Kind("alloc_space", "allocated", "flat"),
    "goroutine": Kind("goroutine", "goroutines", "cum"),
    "goroutineleak": Kind("goroutineleak", "leaked goroutines", "cum"),
    "threadcreate": Kind("threadcreate", "threads", "cum"),
    "mutex": Kind("delay", "delay", "cum"),
    "block": Kind("delay", "delay", "cum"),
}


class Nodes(TypedDict, total=False):
    """Flat arrays, one entry a box, each box before the boxes below it (preorder), the largest child first.

    ``line`` is the line inside the function from which the next function was called (the leaf's: that was executed), 0 where
    none is known, or the lines with the largest values, with a 0 behind them where there are more. ``size`` counts the box and
    all boxes below it. ``before`` and ``before_self`` only in a difference.
    """

    function: list[int]
    line: list[int | list[int]]
    value: list[int]
    self: list[int]
    size: list[int]
    before: list[int]
    before_self: list[int]


class Flame(TypedDict):
    """What ``flame.js`` draws. Every string is there once; ``functions`` are [name, file, class], the first two positions in
    ``strings``, the class one in ``ORIGINS``; function 0 is the root of the graph (class -1).

    ``top`` are [function, flat, cumulative], in a difference with the two values of before behind them. ``origins`` are flat
    values by class. ``pruned``: how many boxes, what they are worth together (and before), below which value a box was
    pruned, and whether that is because of the limit on the number of boxes.
    """

    title: str
    kind: str
    type: str
    unit: str
    noun: str
    order: str
    total: int
    before: int | None
    samples: int
    pruned: dict[str, Any]
    strings: list[str]
    functions: list[list[int]]
    nodes: Nodes
    top: list[list[int]]
    origins: list[int]


def value_index(profile: Profile, kind: str) -> int:
    """Which value of a sample a flame graph of this kind shows; ValueError where the profile has none."""
    names = [name for name, unit in profile.sample_types]
    if not names:
        raise ValueError("the profile has no sample type")
    wanted = KINDS[kind].sample_type if kind in KINDS else ""
    for name in (wanted, profile.default_sample_type):
        if name and name in names:
            return names.index(name)
    # As go tool pprof does without a default: the last one (internal/driver, sampleFormat).
    return len(names) - 1


def build(profile: Profile, index: int | None = None, *, kind: str = "", title: str = "", module: str | None = None,
          prune: float = PRUNE, nodes: int = NODES) -> Flame:
    """The flame graph of one profile.

    ``index`` is the value of each sample that is shown (default: :func:`value_index`). ``module`` is the main module of the
    service: it tells own code from dependencies. Values that are zero or negative are left out: only a difference made by the
    service itself (``?seconds=``) has negative ones, and a box cannot be narrower than nothing. ValueError for an index that
    the profile or a sample does not have.
    """
    index = value_index(profile, kind) if index is None else index
    return _flame([(profile, index)], kind, title, module, prune, nodes)


def difference(before: Profile, after: Profile, index: int | None = None, *, kind: str = "", title: str = "",
               module: str | None = None, prune: float = PRUNE, nodes: int = NODES) -> Flame:
    """The flame graph of two profiles of one service: each box with its value after and before.

    A box is kept where it is large enough in either of them. ValueError where the two have not the same type of value.
    """
    one, other = ((value_index(profile, kind) if index is None else index) for profile in (after, before))
    if after.sample_types[one] != before.sample_types[other]:
        raise ValueError(f"{'/'.join(before.sample_types[other])} and {'/'.join(after.sample_types[one])} cannot be compared")
    return _flame([(after, one), (before, other)], kind, title, module, prune, nodes)


class _Names(dict[Frame, int]):
    """The number of each frame's function, and what is known of the functions. Number 0 is the root."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[str, int] = {"": 0}
        self.files: list[str] = [""]

    def __missing__(self, frame: Frame) -> int:
        # Functions are told apart by their name alone, as go tool pprof does (profile.Aggregate at function granularity), and one
        # without a name has its name for it.
        number = self.numbers.setdefault(frame.function or "<unknown>", len(self.files))
        if number == len(self.files):
            self.files.append(frame.file)
        self[frame] = number
        return number


class _Stack(NamedTuple):
    path: tuple[int, ...]  # functions from the root to the leaf
    lines: tuple[int, ...]
    column: int
    value: int


@dataclass
class _Node:
    depth: int
    function: int
    value: list[int]
    own: list[int]
    line: int | list[int] = 0


def _flame(parts: Sequence[tuple[Profile, int]], kind: str, title: str, module: str | None, prune: float,
           limit: int) -> Flame:
    if not 0 <= prune < 1:
        raise ValueError(f"boxes below a share of {prune} cannot be pruned: it is from 0 to below 1")
    if limit < 1:
        raise ValueError(f"a flame graph has at least 1 box, not {limit}")
    names = _Names()
    stacks = [stack for column, (profile, index) in enumerate(parts) for stack in _stacks(profile, index, column, names)]
    totals = [sum(stack.value for stack in stacks if stack.column == column) for column in range(len(parts))]
    # A part of a value is no value: what is exactly 0.1 % stays.
    least = [max(1, -int(-total * prune // 1)) for total in totals]
    tree, folded = _tree(stacks, totals, least)
    below, limited = least[0], len(tree) > limit
    if limited:
        folded += len(tree) - limit
        tree, below = _largest(tree, totals, limit)
    tree, sizes = _ordered(tree)
    flat, cum = _sums(stacks, len(parts))
    table = _top(flat, cum)
    strings, functions, numbers, classes = _tables(tree, table, names, module)
    origins = [0] * len(ORIGINS)
    for function, value in flat[0].items():
        origins[classes[function]] += value
    columns: Nodes = {
        "function": [numbers[node.function] for node in tree],
        "line": [node.line for node in tree],
        "value": [node.value[0] for node in tree],
        "self": [node.own[0] for node in tree],
        "size": sizes,
    }
    # What of the totals belongs to no box that is left.
    missing = [total - sum(node.own[column] for node in tree) for column, total in enumerate(totals)]
    pruned: dict[str, Any] = {"boxes": folded, "value": missing[0], "below": below, "share": prune, "limited": limited}
    if len(parts) > 1:
        columns["before"] = [node.value[1] for node in tree]
        columns["before_self"] = [node.own[1] for node in tree]
        pruned["before"] = missing[1]
    profile, index = parts[0]
    sample_type, unit = (text.clip(text.line(word), _WORD) for word in profile.sample_types[index])
    noun, order = KINDS[kind][1:] if kind in KINDS else (sample_type, "flat")
    return {
        "title": text.clip(text.line(title or noun), _TITLE), "kind": kind, "type": sample_type, "unit": unit, "noun": noun,
        "order": order, "total": totals[0], "before": totals[1] if len(parts) > 1 else None, "samples": len(stacks),
        "pruned": pruned, "strings": strings, "functions": functions, "nodes": columns,
        "top": [[numbers[function], *(counts[column][function] for column in range(len(parts)) for counts in (flat, cum))]
                for function in table],
        "origins": origins,
    }


def _stacks(profile: Profile, index: int, column: int, names: _Names) -> Iterable[_Stack]:
    if not 0 <= index < len(profile.sample_types):
        raise ValueError(f"value {index} is asked for, the profile has {len(profile.sample_types)}")
    for number, sample in enumerate(profile.samples):
        if len(sample.values) <= index:
            raise ValueError(f"sample {number} has {len(sample.values)} values, value {index} is asked for")
        value = sample.values[index]
        if value > 0:
            frames = sample.stack[::-1]
            yield _Stack(tuple([names[frame] for frame in frames]), tuple([frame.line for frame in frames]), column, value)


def _tree(stacks: list[_Stack], totals: Sequence[int], least: Sequence[int]) -> tuple[list[_Node], int]:
    """The boxes in preorder that are large enough in one of the columns, and how many are not.

    The stacks are walked in their order, so that only the boxes above the current one are open: when a box is closed its value
    is known, and what is too small is cut off the end of the list again. The memory is that of what is kept.
    """
    columns = range(len(totals))
    tree = [_Node(0, 0, list(totals), [0] * len(totals))]
    opened: list[tuple[int, dict[int, int]]] = []  # positions in the tree and the values by line, below the root
    folded = 0

    def close(depth: int) -> int:
        gone = 0
        while len(opened) > depth:
            start, lines = opened.pop()
            node = tree[start]
            if opened:
                above = tree[opened[-1][0]]
                for column in columns:
                    above.value[column] += node.value[column]
            if all(node.value[column] < least[column] for column in columns):
                gone += len(tree) - start
                del tree[start:]
            else:
                node.line = _lines(lines)
        return gone

    stacks.sort(key=lambda stack: stack.path)
    same = 0
    for number, stack in enumerate(stacks):
        path = stack.path[:DEPTH]
        folded += close(same)
        ahead = _common(path, stacks[number + 1].path) if number + 1 < len(stacks) else 0
        end = len(path)
        if stack.value < least[stack.column]:
            # What no other stack shares is too small before it is made. Most boxes of a large profile are of this kind.
            end = max(same, ahead)
            folded += len(stack.path) - end
        elif len(path) < len(stack.path):
            folded += len(stack.path) - len(path)
        for depth in range(same, end):
            opened.append((len(tree), {}))
            tree.append(_Node(depth + 1, path[depth], [0] * len(totals), [0] * len(totals)))
        for (_start, lines), line in zip(opened, stack.lines, strict=False):
            lines[line] = lines.get(line, 0) + stack.value
        if opened:
            tree[opened[-1][0]].value[stack.column] += stack.value
        if end == len(stack.path):
            tree[opened[-1][0] if opened else 0].own[stack.column] += stack.value
        same = ahead
    return tree, folded + close(0)


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many functions two paths have in common, counted from the root."""
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return number
    return min(len(one), len(other))


def _lines(values: dict[int, int]) -> int | list[int]:
    values.pop(0, None)
    if len(values) <= 1:
        return next(iter(values), 0)
    largest = heapq.nlargest(LINES, values, key=lambda line: (values[line], -line))
    return largest + ([0] if len(values) > LINES else [])


def _largest(tree: list[_Node], totals: Sequence[int], limit: int) -> tuple[list[_Node], int]:
    """The root and the ``limit - 1`` largest other boxes, and the value up to which boxes are left out.

    A box is never larger than the box above it, so what is left is a tree again.
    """
    ranks = [max(value / total if total else 0.0 for value, total in zip(node.value, totals, strict=True)) for node in tree]
    ranks[0] = 2.0
    cut = sorted(ranks, reverse=True)[limit - 1]
    room = limit - sum(1 for rank in ranks if rank > cut)
    kept, smallest = [], totals[0]
    for node, rank in zip(tree, ranks, strict=True):
        if rank > cut or (rank == cut and room > 0):
            room -= rank == cut
            kept.append(node)
            smallest = min(smallest, max(node.value))
    return kept, smallest


def _ordered(tree: list[_Node]) -> tuple[list[_Node], list[int]]:
    """The boxes with the largest child first, still in preorder, and the sizes of the subtrees."""
    children: list[list[int]] = [[] for node in tree]
    path: list[int] = []
    for number, node in enumerate(tree):
        del path[node.depth:]
        if path:
            children[path[-1]].append(number)
        path.append(number)
    order: list[int] = []
    waiting = [0]
    while waiting:
        number = waiting.pop()
        order.append(number)
        waiting.extend(sorted(children[number], key=lambda child: (max(tree[child].value), -tree[child].function)))
    ordered = [tree[number] for number in order]
    sizes = [1] * len(ordered)
    for number in range(len(ordered) - 1, -1, -1):
        # Backwards every box comes after all boxes below it.
        end = number + 1
        while end < len(ordered) and ordered[end].depth > ordered[number].depth:
            sizes[number] += sizes[end]
            end += sizes[end]
    return ordered, sizes


def _sums(stacks: Iterable[_Stack], columns: int) -> tuple[list[Counter[int]], list[Counter[int]]]:
    """Flat and cumulative values by function, by column. A function that calls itself is counted once a sample."""
    flat: list[Counter[int]] = [Counter() for column in range(columns)]
    cum: list[Counter[int]] = [Counter() for column in range(columns)]
    for stack in stacks:
        if stack.path:
            flat[stack.column][stack.path[-1]] += stack.value
        counts = cum[stack.column]
        for function in set(stack.path):
            counts[function] += stack.value
    return flat, cum


def _top(flat: Sequence[Counter[int]], cum: Sequence[Counter[int]]) -> list[int]:
    """The functions of the table: the first by flat and the first by cumulative value; in a difference by what changed."""
    chosen: dict[int, None] = {}
    for counts in (flat, cum):
        functions = set().union(*counts)

        def weight(function: int, counts: Sequence[Counter[int]] = counts) -> tuple[int, int, int]:
            change = counts[0][function] - counts[1][function] if len(counts) > 1 else counts[0][function]
            return abs(change), cum[0][function], -function

        chosen.update(dict.fromkeys(heapq.nlargest(TOP, functions, key=weight)))
    return list(chosen)


def _tables(tree: Sequence[_Node], table: Sequence[int], names: _Names,
            module: str | None) -> tuple[list[str], list[list[int]], dict[int, int], list[int]]:
    """The strings, the functions that are used, their new numbers (the most used ones have the shortest), and the class of
    every function by its old number."""
    known = list(names.numbers)
    classes = [-1, *(ORIGINS.index(goroutines.origin(name, module)) for name in known[1:])]
    uses = Counter(node.function for node in tree)
    uses.update(table)
    del uses[0]
    order = [0, *(function for function, times in uses.most_common())]
    strings: dict[str, int] = {"": 0}
    functions = []
    for function in order:
        words = (text.clip(text.line(known[function]), _NAME), text.clip(text.line(names.files[function]), _PATH))
        functions.append([*(strings.setdefault(word, len(strings)) for word in words), classes[function]])
    return list(strings), functions, {function: number for number, function in enumerate(order)}, classes
