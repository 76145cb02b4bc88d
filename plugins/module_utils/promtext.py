# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Go runtime says about itself on a metrics page (Prometheus text format 0.0.4, OpenMetrics text 1.0).

Public: :class:`Histogram`, :class:`Summary`, :class:`Page`, :class:`PromError`, :func:`parse`, :func:`is_wanted`,
:func:`quantile`, :func:`quantile_bounds`, :func:`delta`, :func:`as_facts`, :func:`from_facts`.

Only the families of the Go and the process collector of client_golang (and of database/sql) are kept; a page of a busy
service has 100,000 series of its own. The page is read in pieces, of which no more than one line is kept.

* Histograms and summaries are known by their series (``_bucket`` with ``le``, ``quantile``), not by ``# TYPE``.
* ``go_gc_pauses_seconds_total`` (client_golang 1.12) is the histogram that is called ``go_gc_pauses_seconds`` since, and is
  given under the new name. From Go 1.22 ``go_sched_pauses_total_gc_seconds`` holds the same numbers under the name that the
  runtime prefers (runtime/metrics ``/sched/pauses/total/gc:seconds``).
* ``go_gc_duration_seconds`` is a summary over all that the ring of 256 pauses held when it was read (debug.ReadGCStats): its
  quantiles are not those of a time.
"""
from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Match, Optional, Pattern, Tuple, Union

LIMIT = 32 << 20
MAX_LINE = 1 << 16
MAX_SERIES = 5000
_PART = 1 << 16

NAMES = ("go_goroutines", "go_threads", "go_info")
PREFIXES = ("go_gc_", "go_sched_", "go_memstats_", "go_memory_classes_", "go_cpu_classes_", "go_sync_", "go_cgo_", "go_sql_",
            "process_")
KINDS = ("text", "too_big", "truncated", "garbage")

_WANTED = tuple(name.encode() for name in NAMES + PREFIXES)
_ALIASES = {"go_gc_pauses_seconds_total": "go_gc_pauses_seconds"}
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))')
_ESCAPE = re.compile(r"\\(.)")
# A value, an optional timestamp (whole milliseconds, or seconds in OpenMetrics), an optional exemplar.
_VALUE = re.compile(r"[ \t]*([0-9+\-.eEinfINFatyTYAxXpP]{1,40})(?:[ \t]+-?[0-9.eE+]{1,30})?[ \t]*(?:#[ \t].*)?\Z")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z|[+-]?inf(?:inity)?\Z|nan\Z", re.IGNORECASE)


class PromError(ValueError):
    """``kind``: ``text`` (no metrics page), ``too_big``, ``truncated`` (it ends within a line), ``garbage`` (a wanted series that
    cannot be read).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Histogram:
    """``buckets``: (upper bound, how many up to it), ascending, the last is infinite. ``sum`` is NaN where none is told."""

    buckets: Tuple[Tuple[float, float], ...]
    count: float
    sum: float


@dataclass(frozen=True)
class Summary:
    quantiles: Tuple[Tuple[float, float], ...]
    count: float
    sum: float


Family = Union[float, Histogram, Summary]


@dataclass
class Page:
    """``families``: name, or ``name{label="value"}`` with sorted labels -> a number, a histogram or a summary.

    ``dropped`` says which wanted series contradict themselves and were left out, and why.
    """

    families: Dict[str, Family] = field(default_factory=dict)
    dropped: List[str] = field(default_factory=list)

    def number(self, name: str) -> Optional[float]:
        """The value of a gauge or counter, None without it or with several series; constant labels do not matter."""
        found = self.one(name)
        return found if isinstance(found, float) else None

    def histogram(self, name: str) -> Optional[Histogram]:
        """The histogram ``name``, None without it or with several of it; constant labels do not matter."""
        found = self.one(name)
        return found if isinstance(found, Histogram) else None

    def one(self, name: str) -> Optional[Family]:
        found = [family for key, family in self.families.items() if key == name or key.startswith(name + "{")]
        return found[0] if len(found) == 1 else None


def is_wanted(name: str) -> bool:
    return name in NAMES or name.startswith(PREFIXES)


def parse(chunks: Iterable[bytes], *, limit: int = LIMIT, max_line: int = MAX_LINE, max_series: int = MAX_SERIES,
          also: Optional[Pattern[bytes]] = None) -> Page:
    """``chunks`` are the pieces of the answer as they come (one ``[body]`` will do). Raises :class:`PromError`.

    ``also`` matches the beginning of further lines, whose series are kept as numbers (a histogram's ``_sum`` and ``_count`` without
    its buckets, of which a busy service has very many).
    """
    collected = _Collected(max_series)
    first = True
    for line in _lines(chunks, limit, max_line):
        if first:
            text = line.strip()
            if not text:
                continue
            if not text.startswith(b"#"):
                # A page of HTML or JSON is told by its first line, not by the lack of what is wanted.
                try:
                    _series(text.decode("utf-8", "replace"))
                except PromError:
                    raise PromError("text", "this is no metrics page: it begins with %r"
                                    % text[:40].decode("utf-8", "replace"))
                first = False
        asked = also is not None and also.match(line) is not None
        if asked or line.startswith(_WANTED):
            collected.add(line.decode("utf-8", "replace").rstrip("\r"), asked)
    return collected.page()


def _lines(chunks: Iterable[bytes], limit: int, max_line: int) -> Iterator[bytes]:
    size = 0
    rest = b""
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise PromError("too_big", "the metrics page has more than %d bytes" % limit)
        # In parts: the lines of one big piece would need many times its memory.
        for start in range(0, len(chunk), _PART):
            lines = chunk[start:start + _PART].split(b"\n")
            lines[0] = rest + lines[0]
            rest = lines.pop()
            if len(rest) > max_line or (lines and len(lines[0]) > max_line):
                raise PromError("too_big", "the metrics page has a line of more than %d bytes" % max_line)
            yield from lines
    if rest:
        yield rest
        # Both formats want an end of line after the last: without it the last may be half a number of a page that was cut off.
        raise PromError("truncated", "the metrics page ends within a line")


def _number(text: str) -> float:
    if not _NUMBER.match(text):
        raise ValueError(text)
    return float(text)


def _series(line: str) -> Tuple[str, Dict[str, str], float]:
    """(name, labels, value) of one line."""
    match = _NAME.match(line)
    if not match:
        raise PromError("garbage", "no name of a metric in %r" % line[:80])
    name, at = match.group(), match.end()
    labels: Dict[str, str] = {}
    blank = len(line) - len(line[at:].lstrip(" \t"))
    if line[blank:blank + 1] == "{":
        at = blank + 1
        while True:
            found = _LABEL.match(line, at)
            if not found:
                break
            labels[found.group(1)] = _ESCAPE.sub(_unescape, found.group(2))
            at = found.end()
        closing = len(line) - len(line[at:].lstrip(" \t"))
        if line[closing:closing + 1] != "}":
            raise PromError("garbage", "the labels of %r cannot be read" % line[:80])
        at = closing + 1
    elif line[at:at + 1] not in (" ", "\t"):
        raise PromError("garbage", "no value in %r" % line[:80])
    value = _VALUE.match(line, at)
    try:
        if not value:
            raise ValueError(line)
        return name, labels, _number(value.group(1))
    except ValueError:
        raise PromError("garbage", "no value in %r" % line[:80])


def _unescape(match: Match[str]) -> str:
    return {"n": "\n", '"': '"', "\\": "\\"}.get(match.group(1), match.group())


def _key(name: str, labels: Mapping[str, str]) -> str:
    if not labels:
        return name
    return "%s{%s}" % (name, ",".join('%s="%s"' % (label, _escape(labels[label])) for label in sorted(labels)))


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class _Collected:
    """The series wanted, until the page ends and it is known which belong together."""

    def __init__(self, max_series: int) -> None:
        self.max_series = max_series
        self.seen = 0
        self.numbers: Dict[Tuple[str, str], Tuple[str, float]] = {}  # (name, labels) -> (key, value)
        self.buckets: Dict[Tuple[str, str], Dict[float, float]] = {}
        self.quantiles: Dict[Tuple[str, str], Dict[float, float]] = {}

    def add(self, line: str, asked: bool) -> None:
        # The name alone first: the prefixes are those of other families too (go_information_total).
        match = _NAME.match(line)
        if not match or not (asked or is_wanted(match.group())):
            return
        self.seen += 1
        if self.seen > self.max_series:
            raise PromError("too_big", "the metrics page has more than %d series of the Go runtime" % self.max_series)
        name, labels, value = _series(line)
        for kind, label, parts in (("_bucket", "le", self.buckets), ("", "quantile", self.quantiles)):
            if label in labels and name.endswith(kind):
                try:
                    bound = _number(labels[label])
                except ValueError:
                    raise PromError("garbage", "%s=%r of %s is no number" % (label, labels[label][:40], name))
                others = {key: text for key, text in labels.items() if key != label}
                base = name[:len(name) - len(kind)]
                parts.setdefault((base, _key("", others)), {})[bound] = value
                return
        self.numbers[(name, _key("", labels))] = (_key(name, labels), value)

    def page(self) -> Page:
        page = Page()
        for (name, labels), buckets in self.buckets.items():
            total, count = self.part(name, labels, "_sum"), self.part(name, labels, "_count")
            shown = _ALIASES.get(name, name) + labels
            bounds = sorted((bound, value) for bound, value in buckets.items() if not math.isnan(bound))
            wrong = _wrong(bounds, count)
            if wrong:
                page.dropped.append("%s: %s" % (shown, wrong))
                continue
            if bounds[-1][0] != math.inf and count is not None:
                bounds.append((math.inf, count))
            page.families[shown] = Histogram(tuple(bounds), bounds[-1][1], math.nan if total is None else total)
        for (name, labels), quantiles in self.quantiles.items():
            total, count = self.part(name, labels, "_sum"), self.part(name, labels, "_count")
            page.families[name + labels] = Summary(tuple(sorted(quantiles.items())), math.nan if count is None else count,
                                                   math.nan if total is None else total)
        for key, value in self.numbers.values():
            page.families.setdefault(key, value)
        return page

    def part(self, name: str, labels: str, suffix: str) -> Optional[float]:
        found = self.numbers.pop((name + suffix, labels), None)
        return found[1] if found else None


def _wrong(bounds: List[Tuple[float, float]], count: Optional[float]) -> str:
    if not bounds or (bounds[-1][0] != math.inf and count is None):
        return "the histogram has no bucket +Inf and no count"
    values = [value for _bound, value in bounds]
    if not all(math.isfinite(value) and value >= 0 for value in values + ([] if count is None else [count])):
        return "a bucket has no finite number"
    if any(later < earlier for earlier, later in zip(values, values[1:])):
        return "the buckets are not cumulative"
    if count is not None and (values[-1] > count or (bounds[-1][0] == math.inf and values[-1] != count)):
        return "the buckets hold %g, the count is %g" % (values[-1], count)
    return ""


# ------------------------------------------------------------------------------------------------------------- histograms

def quantile_bounds(histogram: Histogram, q: float) -> Optional[Tuple[float, float]]:
    """The bucket in which the quantile lies, (above, up to): what a histogram really knows. None of an empty histogram.

    The upper bound is infinite where it lies in the last bucket. Raises ValueError for ``q`` outside of 0..1.
    """
    if not 0 <= q <= 1:
        raise ValueError("the quantile %r is not between 0 and 1" % q)
    if not histogram.buckets or not histogram.count:
        return None
    rank = q * histogram.count
    lower = -math.inf if histogram.buckets[0][0] <= 0 else 0.0
    for bound, value in histogram.buckets:
        # An empty bucket holds no quantile, not even that of 0.
        if value and value >= rank:
            return lower, bound
        lower = bound
    return lower, math.inf


def quantile(histogram: Histogram, q: float) -> Optional[float]:
    """Linear within its bucket, as PromQL's histogram_quantile; the last finite bound where it lies above. None if empty."""
    found = quantile_bounds(histogram, q)
    if found is None:
        return None
    lower, upper = found
    if math.isinf(upper):
        return None if math.isinf(lower) else lower
    if math.isinf(lower):
        return upper
    below = inside = 0.0
    for bound, value in histogram.buckets:
        if bound <= lower:
            below = value
        elif bound == upper:
            inside = value - below
    return lower + (upper - lower) * max(0.0, min(1.0, (q * histogram.count - below) / inside))


def delta(after: Histogram, before: Histogram) -> Histogram:
    """What was counted between the two. Raises ValueError where they cannot be of one life of one process."""
    if [bound for bound, _value in after.buckets] != [bound for bound, _value in before.buckets]:
        raise ValueError("the histograms have different buckets")
    buckets = tuple((bound, value - earlier) for (bound, value), (_bound, earlier) in zip(after.buckets, before.buckets))
    counts = [value for _bound, value in buckets]
    if any(value < 0 for value in counts) or any(later < earlier for earlier, later in zip(counts, counts[1:])):
        raise ValueError("the histogram went back: the process was restarted")
    return Histogram(buckets, after.count - before.count, after.sum - before.sum)


# ------------------------------------------------------------------------------------------------------------------ facts

def as_facts(page: Page) -> Dict[str, Any]:
    """The families as JSON has them: null for an infinite bound (the last) and for what is no finite number."""
    return {key: _family(family) for key, family in page.families.items()}


def _finite(value: float) -> Optional[float]:
    return value if math.isfinite(value) else None


def _family(family: Family) -> Any:
    if isinstance(family, Histogram):
        return {"buckets": [[_finite(bound), value] for bound, value in family.buckets], "count": family.count,
                "sum": _finite(family.sum)}
    if isinstance(family, Summary):
        return {"quantiles": [[bound, _finite(value)] for bound, value in family.quantiles], "count": _finite(family.count),
                "sum": _finite(family.sum)}
    return _finite(family)


def from_facts(families: Mapping[str, Any]) -> Page:
    """:func:`as_facts` undone. Raises ValueError for what it cannot have written."""
    page = Page()
    for key, value in families.items():
        try:
            if isinstance(value, Mapping):
                total, count = _plain(value["sum"]), _plain(value["count"])
                if "buckets" in value:
                    pairs = [(math.inf if bound is None else float(bound), float(number)) for bound, number in value["buckets"]]
                    if not pairs or math.isnan(count):
                        raise ValueError("an empty histogram")
                    page.families[key] = Histogram(tuple(pairs), count, total)
                else:
                    quantiles = [(float(bound), _plain(number)) for bound, number in value["quantiles"]]
                    page.families[key] = Summary(tuple(quantiles), count, total)
            else:
                page.families[key] = _plain(value)
        except (KeyError, TypeError, ValueError):
            raise ValueError("the metric %s is not as it was written" % key)
    return page


def _plain(value: Any) -> float:
    return math.nan if value is None else float(value)
