# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded metrics pages of client_golang 1.14.0 with Go 1.21.13 and 1.27.3 and of prometheus-node-exporter 1.5.0."""
from __future__ import annotations

import gzip
import json
import math
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import promtext
from ansible_collections.goready.preflight.plugins.module_utils.promtext import Histogram, Page, PromError, Summary

FIXTURES = Path(__file__).parents[2] / "fixtures" / "runtime" / "profiles" / "metrics"
PAGES = sorted(FIXTURES.glob("*.txt.gz"))
VERSIONS = ("go1.21.13", "go1.27.3")
INF = math.inf
# How client_golang cuts the runtime's buckets (prometheus/go_collector_latest.go): steps of about ten, hence the bounds.
BOUNDS = [6.399999999999999e-08, 6.399999999999999e-07, 7.167999999999999e-06, 8.191999999999999e-05, 0.0009175039999999999,
          0.010485759999999998, 0.11744051199999998, INF]


def recorded(name: str) -> bytes:
    return gzip.decompress((FIXTURES / f"{name}.txt.gz").read_bytes())


def parse(text: str, **limits: int) -> Page:
    return promtext.parse([text.encode()], **limits)


# ----------------------------------------------------------------------------------------------------------- recorded pages

def test_the_pages_are_there() -> None:
    assert [path.name[:-7] for path in PAGES] == [
        f"client_golang-1.14.0-{version}-{form}" for version in VERSIONS for form in ("after", "before", "openmetrics")
    ] + ["prometheus-node-exporter-1.5.0-go1.19.8"]


@pytest.mark.parametrize("form", ["before", "after", "openmetrics"])
@pytest.mark.parametrize("version", VERSIONS)
def test_recorded(version: str, form: str) -> None:
    data = recorded(f"client_golang-1.14.0-{version}-{form}")
    page = promtext.parse([data])
    assert page.dropped == []
    assert page.families['go_info{version="%s"}' % version] == 1.0
    assert page.one("go_info") == 1.0 and page.number("go_goroutines") == 7.0
    for name in ("go_gc_pauses_seconds", "go_sched_latencies_seconds"):
        histogram = page.histogram(name)
        assert histogram is not None and [bound for bound, _value in histogram.buckets] == BOUNDS
        assert histogram.count == histogram.buckets[-1][1] > 10 and histogram.sum > 0
    summary = page.one("go_gc_duration_seconds")
    assert isinstance(summary, Summary) and [q for q, _value in summary.quantiles] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert summary.quantiles[-1][1] <= summary.sum and summary.count >= 8
    # Every series of the page but those that are parts of a histogram or summary is there under its own name.
    lines = [line for line in data.decode().splitlines() if line and not line.startswith("#")]
    singles = {line.rpartition(" ")[0] for line in lines if not any(part in line for part in ("_bucket{", "quantile="))}
    wanted = {name for name in singles if promtext.is_wanted(name) and not name.endswith(("_sum", "_count"))}
    assert wanted <= set(page.families) and len(wanted) > 60
    assert ("go_sched_pauses_total_gc_seconds" in page.families) == (version == "go1.27.3")
    # In pieces it is the same page.
    assert promtext.parse(data[start:start + 7] for start in range(0, len(data), 7)) == page


@pytest.mark.parametrize("version", VERSIONS)
def test_the_quantile_lies_in_its_bucket_and_the_delta_is_what_was_added(version: str) -> None:
    before, after = (promtext.parse([recorded(f"client_golang-1.14.0-{version}-{form}")]) for form in ("before", "after"))
    for name in ("go_gc_pauses_seconds", "go_sched_latencies_seconds"):
        earlier, later = before.histogram(name), after.histogram(name)
        assert earlier and later
        between = promtext.delta(later, earlier)
        assert between.count == later.count - earlier.count == between.buckets[-1][1] > 0
        for q in (0.0, 0.5, 0.9, 0.99, 1.0):
            value, bounds = promtext.quantile(between, q), promtext.quantile_bounds(between, q)
            assert bounds is not None and value is not None and bounds[0] <= value <= bounds[1] <= 0.02
        with pytest.raises(ValueError, match=r"\Athe histogram went back: the process was restarted\Z"):
            promtext.delta(earlier, later)


def test_a_page_of_a_distribution_program() -> None:
    page = promtext.parse([recorded("prometheus-node-exporter-1.5.0-go1.19.8")])
    assert (page.number("go_goroutines"), page.histogram("go_gc_pauses_seconds")) == (7.0, None)
    assert {name.partition("{")[0] for name in page.families} >= {"go_memstats_heap_inuse_bytes", "go_info", "process_open_fds",
                                                                  "process_resident_memory_bytes", "process_start_time_seconds"}
    assert not any(name.startswith(("node_", "promhttp_")) for name in page.families)
    start = page.number("process_start_time_seconds")
    assert start is not None and start > 1.7e9


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_facts_are_json_and_come_back(path: Path) -> None:
    page = promtext.parse([gzip.decompress(path.read_bytes())])
    back = promtext.from_facts(json.loads(json.dumps(promtext.as_facts(page), allow_nan=False)))
    assert back.families == page.families


# -------------------------------------------------------------------------------------------------------------------- forms

HISTOGRAM = """\
go_gc_pauses_seconds_bucket{le="1"} 2
go_gc_pauses_seconds_bucket{le="2"} 6
go_gc_pauses_seconds_bucket{le="+Inf"} 8
go_gc_pauses_seconds_sum 14
go_gc_pauses_seconds_count 8
"""
PAUSES = Histogram(((1.0, 2.0), (2.0, 6.0), (INF, 8.0)), 8.0, 14.0)


@pytest.mark.parametrize(("text", "families"), [
    ("", {}),
    ("\n\n# HELP x y\n# EOF\n", {}),
    ("go_goroutines 12\n", {"go_goroutines": 12.0}),
    ("go_goroutines 12\r\n", {"go_goroutines": 12.0}),
    ("go_goroutines\t 1.2e+01 1700000000000\n", {"go_goroutines": 12.0}),
    ("go_goroutines 12 1700000000.123 # {trace=\"x\"} 3\n", {"go_goroutines": 12.0}),
    ("go_goroutines{} 12\n", {"go_goroutines": 12.0}),
    ('go_goroutines { b = "2" , a="1", } 12\n', {'go_goroutines{a="1",b="2"}': 12.0}),
    ('go_sql_idle_connections{db_name="a\\"b\\\\c\\nd\\q"} 3\n', {'go_sql_idle_connections{db_name="a\\"b\\\\c\\nd\\\\q"}': 3.0}),
    ('go_sql_open_connections{db_name="}"} 3\n', {'go_sql_open_connections{db_name="}"}': 3.0}),
    ("go_gc_gomemlimit_bytes +Inf\ngo_sched_gomaxprocs_threads -2\nprocess_x .5\n",
     {"go_gc_gomemlimit_bytes": INF, "go_sched_gomaxprocs_threads": -2.0, "process_x": 0.5}),
    ("# x\nx 1\nhttp_requests{le=broken\ngo_goroutinesx 1\ngo_information 2\ngolang 3\ngo_goroutines 4\n", {"go_goroutines": 4.0}),
    (HISTOGRAM, {"go_gc_pauses_seconds": PAUSES}),
    ("".join(reversed(HISTOGRAM.splitlines(keepends=True))), {"go_gc_pauses_seconds": PAUSES}),
    (HISTOGRAM.replace("seconds", "seconds_total"), {"go_gc_pauses_seconds": PAUSES}),
    (HISTOGRAM.replace('le=', 'app="x",le=').replace("_sum", '_sum{app="x"}').replace("_count", '_count{app="x"}'),
     {'go_gc_pauses_seconds{app="x"}': PAUSES}),
    (HISTOGRAM.replace('go_gc_pauses_seconds_bucket{le="+Inf"} 8\n', ""), {"go_gc_pauses_seconds": PAUSES}),
    (HISTOGRAM.replace("go_gc_pauses_seconds_count 8\n", ""), {"go_gc_pauses_seconds": PAUSES}),
    ("go_x_sum 3\ngo_sched_y_count 2\n", {"go_sched_y_count": 2.0}),
    ("go_sched_x_sum 3\ngo_sched_y_count 2\n", {"go_sched_x_sum": 3.0, "go_sched_y_count": 2.0}),
    ('go_gc_duration_seconds{quantile="1"} 9\ngo_gc_duration_seconds{quantile="0"} 1\ngo_gc_duration_seconds_sum 20\n'
     "go_gc_duration_seconds_count 5\n", {"go_gc_duration_seconds": Summary(((0.0, 1.0), (1.0, 9.0)), 5.0, 20.0)}),
], ids=["empty", "comments", "plain", "crlf", "timestamp", "exemplar", "no-labels", "blanks", "escapes", "brace", "values",
        "not-wanted", "histogram", "reversed", "old-name", "constant-label", "no-inf", "no-count",
        "prefix-alone", "no-histogram", "summary"])
def test_forms(text: str, families: dict[str, promtext.Family]) -> None:
    assert parse(text) == Page(families)


@pytest.mark.parametrize(("text", "reason"), [
    (HISTOGRAM.replace('"2"} 6', '"2"} 1'), "go_gc_pauses_seconds: the buckets are not cumulative"),
    (HISTOGRAM.replace("count 8", "count 9"), "go_gc_pauses_seconds: the buckets hold 8, the count is 9"),
    (HISTOGRAM.replace('"2"} 6', '"2"} NaN'), "go_gc_pauses_seconds: a bucket has no finite number"),
    (HISTOGRAM.replace('"1"} 2', '"1"} -2'), "go_gc_pauses_seconds: a bucket has no finite number"),
    ('go_gc_pauses_seconds_bucket{le="1"} 2\n', "go_gc_pauses_seconds: the histogram has no bucket +Inf and no count"),
    ('go_gc_pauses_seconds_bucket{le="NaN"} 2\n', "go_gc_pauses_seconds: the histogram has no bucket +Inf and no count"),
], ids=["falls", "count", "nan", "negative", "no-end", "nan-bound"])
def test_a_histogram_that_contradicts_itself_is_left_out(text: str, reason: str) -> None:
    page = parse(text + "go_goroutines 3\n")
    assert (page.families, page.dropped) == ({"go_goroutines": 3.0}, [reason])


@pytest.mark.parametrize(("text", "kind", "message"), [
    ("<!DOCTYPE html>\n<html>", "text", "this is no metrics page: it begins with '<!DOCTYPE html>'"),
    ('\n{"status": "ok"}', "text", "this is no metrics page: it begins with '{\"status\": \"ok\"}'"),
    ("404 page not found\n", "text", "this is no metrics page: it begins with '404 page not found'"),
    ("# Title\nhttp_requests{le=broken\n", "text", "this is no metrics page: it begins with 'http_requests{le=broken'"),
    ("Unauthorized\n", "text", "this is no metrics page: it begins with 'Unauthorized'"),
    ("404 page not found", "text", "this is no metrics page: it begins with '404 page not found'"),
    ("x 1\ngo_goroutines 12", "truncated", "the metrics page ends within a line"),
    ("x 1\ngo_goroutines many\n", "garbage", "no value in 'go_goroutines many'"),
    ("x 1\ngo_goroutines 1_0\n", "garbage", "no value in 'go_goroutines 1_0'"),
    ("x 1\ngo_goroutines infin\n", "garbage", "no value in 'go_goroutines infin'"),
    ("x 1\ngo_goroutines\n", "garbage", "no value in 'go_goroutines'"),
    ("x 1\ngo_goroutines[] 1\n", "garbage", "no value in 'go_goroutines[] 1'"),
    ('x 1\ngo_info{a="b 1\n', "garbage", "the labels of 'go_info{a=\"b 1' cannot be read"),
    ('x 1\ngo_info{a="b" c="d"} 1\n', "garbage", "the labels of 'go_info{a=\"b\" c=\"d\"} 1' cannot be read"),
    ('x 1\ngo_sched_x_bucket{le="much"} 1\n', "garbage", "le='much' of go_sched_x_bucket is no number"),
], ids=["html", "json", "404", "first-series", "text", "404-alone", "cut-off",
        "value", "underscore", "letters", "no-value", "bracket", "open", "no-comma", "le"])
def test_what_is_refused(text: str, kind: str, message: str) -> None:
    with pytest.raises(PromError) as caught:
        parse(text)
    assert (caught.value.kind, str(caught.value)) == (kind, message)
    assert kind in promtext.KINDS


def test_further_series_are_numbers_where_they_are_asked_for() -> None:
    """The sum and count of a histogram, without its buckets."""
    text = 'http_seconds_bucket{le="1"} 4\nhttp_seconds_sum 2\nhttp_seconds_count 4\nhttp_seconds_summit 1\ngo_goroutines 7\n'
    page = promtext.parse([text.encode()], also=re.compile(rb"http_seconds_(?:sum|count)(?=[{ ])"))
    assert page.families == {"http_seconds_sum": 2.0, "http_seconds_count": 4.0, "go_goroutines": 7.0}
    assert parse(text).families == {"go_goroutines": 7.0}


def test_several_series_of_one_name_are_no_number() -> None:
    page = parse('go_goroutines{app="a"} 1\ngo_goroutines{app="b"} 2\ngo_threads{app="a"} 3\n')
    assert (page.number("go_goroutines"), page.number("go_threads"), page.histogram("go_threads")) == (None, 3.0, None)


# ------------------------------------------------------------------------------------------------------------------- limits

def too_big(chunks: Iterator[bytes] | list[bytes], **limits: int) -> str:
    with pytest.raises(PromError) as caught:
        promtext.parse(chunks, **limits)
    assert caught.value.kind == "too_big"
    return str(caught.value)


def test_limits() -> None:
    assert too_big([b"x 1\n" * 30], limit=100) == "the metrics page has more than 100 bytes"
    assert too_big([b"x 1\n", b"# " + b"y" * 50], max_line=50) == "the metrics page has a line of more than 50 bytes"
    assert too_big([b"x 1\ngo_threads 1\n" * 3], max_series=2) == \
        "the metrics page has more than 2 series of the Go runtime"


def test_a_page_without_an_end_is_bounded_in_memory() -> None:
    def endless(piece: bytes) -> Iterator[bytes]:
        while True:
            yield piece

    tracemalloc.start()
    for piece in (b"x 1\n" * 16384, b"#" * 65536, b"# " * 1000 + b"\n"):
        too_big(endless(piece), limit=8 << 20)
    too_big([b"x 1\n" + b"\n" * (8 << 20)], limit=8 << 20)
    assert tracemalloc.get_traced_memory()[1] < 24 << 20
    tracemalloc.stop()


# --------------------------------------------------------------------------------------------------------------- quantiles

@pytest.mark.parametrize(("q", "value", "bounds"), [
    (0.0, 0.0, (0.0, 1.0)), (0.125, 0.5, (0.0, 1.0)), (0.25, 1.0, (0.0, 1.0)), (0.5, 1.5, (1.0, 2.0)), (0.75, 2.0, (1.0, 2.0)),
    (0.76, 2.0, (2.0, INF)), (1.0, 2.0, (2.0, INF)),
])
def test_quantile(q: float, value: float, bounds: tuple[float, float]) -> None:
    assert promtext.quantile(PAUSES, q) == value
    assert promtext.quantile_bounds(PAUSES, q) == bounds


@pytest.mark.parametrize(("buckets", "q", "value"), [
    (((1.0, 0.0), (INF, 0.0)), 0.5, None),
    ((), 0.5, None),
    (((1.0, 0.0), (2.0, 0.0), (3.0, 4.0), (INF, 4.0)), 0.0, 2.0),
    (((-1.0, 4.0), (1.0, 4.0), (INF, 4.0)), 0.5, -1.0),
    (((-1.0, 0.0), (1.0, 4.0), (INF, 4.0)), 0.5, 0.0),
    (((INF, 4.0),), 0.5, 0.0),
], ids=["nothing", "no-bucket", "first-empty", "below-zero", "around-zero", "only-inf"])
def test_quantile_at_the_edges(buckets: tuple[tuple[float, float], ...], q: float, value: float | None) -> None:
    assert promtext.quantile(Histogram(buckets, buckets[-1][1] if buckets else 0.0, 0.0), q) == value


def test_quantile_and_delta_refuse() -> None:
    with pytest.raises(ValueError, match=r"\Athe quantile 1.5 is not between 0 and 1\Z"):
        promtext.quantile(PAUSES, 1.5)
    with pytest.raises(ValueError, match=r"\Athe histograms have different buckets\Z"):
        promtext.delta(PAUSES, Histogram(((INF, 8.0),), 8.0, 1.0))
    with pytest.raises(ValueError, match=r"\Athe metric go_x is not as it was written\Z"):
        promtext.from_facts({"go_x": {"buckets": [], "count": 1, "sum": 2}})


# --------------------------------------------------------------------------------------------------------------- properties

@given(st.binary(max_size=300), st.integers(1, 40))
def test_property_any_bytes(data: bytes, piece: int) -> None:
    for whole in (data, data + b"\n", b"# HELP\nx 1\ngo_gc_x_bucket{le=" + data + b"\n", b"x 1\ngo_goroutines " + data + b"\n",
                  HISTOGRAM.encode() + data + b"\n"):
        try:
            page = promtext.parse([whole])
        except PromError as error:
            assert error.kind in promtext.KINDS and str(error)
            continue
        json.dumps(promtext.as_facts(page), allow_nan=False)
        assert list(map(repr, promtext.parse(whole[at:at + piece] for at in range(0, len(whole), piece)).families.values())) \
            == list(map(repr, page.families.values()))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8), st.floats(0, 1))
def test_property_a_quantile_has_at_most_its_share_below_its_bucket(counts: list[int], q: float) -> None:
    total, buckets = 0.0, []
    for place, count in enumerate(counts):
        total += count
        buckets.append((float(place + 1) if place + 1 < len(counts) else INF, total))
    histogram = Histogram(tuple(buckets), total, 0.0)
    bounds, value = promtext.quantile_bounds(histogram, q), promtext.quantile(histogram, q)
    if not total:
        assert bounds is None and value is None
        return
    assert bounds is not None and value is not None and bounds[0] <= value <= bounds[1]
    below = dict(buckets).get(bounds[0], 0.0)
    assert below <= q * total <= dict(buckets)[bounds[1]]
