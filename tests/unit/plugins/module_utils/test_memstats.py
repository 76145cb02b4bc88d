# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded ends of heap?debug=1 of four Go versions (fixtures/runtime/profiles)."""
from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import memstats
from ansible_collections.goready.preflight.plugins.module_utils.memstats import MemStats

FIXTURES = Path(__file__).parents[2] / "fixtures" / "runtime" / "profiles"
VERSIONS = ("go1.21.13", "go1.24.11", "go1.26.4", "go1.27.3")
FIELDS = {"Alloc", "TotalAlloc", "Sys", "Lookups", "Mallocs", "Frees", "HeapAlloc", "HeapSys", "HeapIdle", "HeapInuse", "HeapReleased",
          "HeapObjects", "StackInuse", "StackSys", "MSpanInuse", "MSpanSys", "MCacheInuse", "MCacheSys", "BuckHashSys", "GCSys",
          "OtherSys", "NextGC", "LastGC", "NumGC", "NumForcedGC", "MaxRSS"}


def recorded(version: str, kind: str = "heap") -> bytes:
    return gzip.decompress((FIXTURES / version / f"{kind}.debug1.txt.gz").read_bytes())


def page(*lines: str) -> bytes:
    given_ = {line.partition(" = ")[0] for line in lines}
    needed = [line for line in ("HeapAlloc = 1", "HeapInuse = 2", "NumGC = 0") if line.partition(" = ")[0] not in given_]
    return ("heap profile: 0: 0 [0: 0] @ heap/1048576\n\n# runtime.MemStats\n"
            + "".join("# %s\n" % line for line in (*needed, *lines))).encode()


@pytest.mark.parametrize("kind", ["heap", "allocs"])
@pytest.mark.parametrize("version", VERSIONS)
def test_recorded(version: str, kind: str) -> None:
    data = recorded(version, kind)
    stats = memstats.parse(data)
    assert set(stats.values) == FIELDS
    values = stats.values
    # What runtime.MemStats says about its own fields (runtime/mstats.go).
    assert values["Alloc"] == values["HeapAlloc"] <= values["HeapInuse"] < values["HeapSys"] < values["Sys"]
    assert values["HeapSys"] == values["HeapInuse"] + values["HeapIdle"] and values["HeapReleased"] <= values["HeapIdle"]
    assert values["Mallocs"] - values["Frees"] == values["HeapObjects"]
    assert values["StackInuse"] <= values["StackSys"] and values["MCacheInuse"] <= values["MCacheSys"]
    assert 0 < len(stats.pauses) == values["NumGC"] < 256
    assert stats.latest_pause == stats.pauses[0] and stats.pauses[0][0] == values["LastGC"]
    assert stats.pauses == sorted(stats.pauses, reverse=True)
    assert all(1_000 < length < 1_000_000_000 for _end, length in stats.pauses)
    assert stats.gc_cpu_fraction is not None and 0 < stats.gc_cpu_fraction < 1
    assert stats.debug_gc is False
    # The end of the answer is enough.
    assert memstats.parse(data[-memstats.TAIL:]) == stats
    assert len(data) - data.rfind(memstats.MARKER) < memstats.TAIL // 2


RING = " ".join(str(number) for number in range(1000, 1256))
ENDS = " ".join(str(number) for number in range(5000, 5256))


@pytest.mark.parametrize(("cycles", "count", "first", "last"), [
    (0, 0, None, None), (1, 1, (5000, 1000), (5000, 1000)), (3, 3, (5002, 1002), (5000, 1000)),
    (256, 256, (5255, 1255), (5000, 1000)), (257, 256, (5000, 1000), (5001, 1001)), (1000, 256, (5231, 1231), (5232, 1232)),
    ((1 << 32) - 1, 256, (5254, 1254), (5255, 1255)),
], ids=["none", "one", "three", "full", "wrapped", "thousand", "uint32"])
def test_the_ring_is_unrolled_newest_first(cycles: int, count: int, first: object, last: object) -> None:
    stats = memstats.parse(page("PauseNs = [%s]" % RING, "PauseEnd = [%s]" % ENDS, "NumGC = %d" % cycles))
    assert len(stats.pauses) == count
    assert stats.latest_pause == first
    assert (stats.pauses[-1] if stats.pauses else None) == last


@pytest.mark.parametrize(("lines", "expected"), [
    ((), MemStats({"HeapAlloc": 1, "HeapInuse": 2, "NumGC": 0})),
    (("New = 5", "Other = 1 / 2", "Text = later", "Half = 1.5", "Ring = [1 2]", "Bad = [1 x]", "no field", "MaxRSS = 7"),
     MemStats({"HeapAlloc": 1, "HeapInuse": 2, "NumGC": 0, "New": 5, "OtherInuse": 1, "OtherSys": 2, "MaxRSS": 7})),
    (("GCCPUFraction = 1e-05", "DebugGC = true"), MemStats({"HeapAlloc": 1, "HeapInuse": 2, "NumGC": 0}, 1e-05, True)),
    (("GCCPUFraction = NaN", "DebugGC = perhaps"), MemStats({"HeapAlloc": 1, "HeapInuse": 2, "NumGC": 0})),
    (("GCCPUFraction = -0.5",), MemStats({"HeapAlloc": 1, "HeapInuse": 2, "NumGC": 0})),
    (("GCCPUFraction = much",), MemStats({"HeapAlloc": 1, "HeapInuse": 2, "NumGC": 0})),
    (("PauseNs = []", "PauseEnd = []", "NumGC = 9"), MemStats({"HeapAlloc": 1, "HeapInuse": 2, "NumGC": 9})),
    (("PauseNs = [4]", "PauseEnd = [6]", "NumGC = 9"), MemStats({"HeapAlloc": 1, "HeapInuse": 2, "NumGC": 9}, pauses=[(6, 4)])),
], ids=["least", "unknown", "fraction", "nan", "negative", "text", "empty-rings", "short-rings"])
def test_forms(lines: tuple[str, ...], expected: MemStats) -> None:
    assert memstats.parse(page(*lines)) == expected


def test_a_function_that_is_called_like_the_marker_does_not_confuse() -> None:
    data = b"# runtime.MemStats\n# HeapAlloc = 9\n# HeapInuse = 9\n# NumGC = 0\n" + page()
    assert memstats.parse(data).values["HeapAlloc"] == 1


@pytest.mark.parametrize(("data", "message"), [
    (b"", "no memory statistics in 0 bytes: there is no line '# runtime.MemStats' near the end"),
    (b"<html>\n", "no memory statistics in 7 bytes: there is no line '# runtime.MemStats' near the end"),
    (b"x # runtime.MemStats\n# HeapAlloc = 1\n",
     "no memory statistics in 37 bytes: there is no line '# runtime.MemStats' near the end"),
    (page() + b"x" * memstats.TAIL,
     "no memory statistics in 32873 bytes: there is no line '# runtime.MemStats' near the end"),
    (b"# runtime.MemStats\n# HeapAlloc = 1\n", "the memory statistics have no HeapInuse, NumGC: the answer is cut off or not Go's"),
    (page("NumGC = 12")[:-2], "the memory statistics have no NumGC: the answer is cut off or not Go's"),
    (page("NumGC = many"), "the memory statistics have no NumGC: the answer is cut off or not Go's"),
    (page("NumGC = 3", "PauseNs = [1 2]", "PauseEnd = [1]"), "the memory statistics have 2 lengths of pauses and 1 ends"),
    (page("NumGC = 3", "PauseNs = [1 2]"), "the memory statistics have 2 lengths of pauses and 0 ends"),
    (page("NumGC = -3", "PauseNs = [1]", "PauseEnd = [1]"), "the memory statistics count -3 garbage collections"),
], ids=["empty", "html", "not-a-line", "far-from-the-end", "cut", "half-a-number", "no-number", "rings-differ", "one-ring", "negative"])
def test_what_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        memstats.parse(data)
    assert str(caught.value) == message


@given(st.binary(max_size=300))
def test_property_any_end(data: bytes) -> None:
    for whole in (data, page() + data, memstats.MARKER + data):
        try:
            stats = memstats.parse(whole)
        except ValueError as error:
            assert str(error)
        else:
            assert {"HeapAlloc", "HeapInuse", "NumGC"} <= set(stats.values) and len(stats.pauses) <= 256


@given(st.integers(0, 5000))
def test_property_every_truncation_is_bounded(cut: int) -> None:
    data = recorded("go1.27.3")
    try:
        stats = memstats.parse(data[:len(data) - cut])
    except ValueError as error:
        assert str(error).startswith(("no memory statistics", "the memory statistics have"))
    else:
        whole = memstats.parse(data)
        assert stats.values.items() <= whole.values.items() and stats.pauses == whole.pauses
