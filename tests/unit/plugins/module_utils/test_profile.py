# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded profiles of four Go versions against what ``go tool pprof -top`` printed about them (fixtures/runtime/profiles)."""
from __future__ import annotations

import gzip
import re
import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import profile
from ansible_collections.goready.preflight.plugins.module_utils.profile import Frame, Profile, ProfileError, Sample

FIXTURES = Path(__file__).parents[2] / "fixtures" / "runtime" / "profiles"
RECORDED = sorted(FIXTURES.glob("go*/*.pb.gz"))
VERSIONS = ("go1.21.13", "go1.24.11", "go1.26.4", "go1.27.3")


# ------------------------------------------------------------------------------------------------------- a small encoder

def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, body: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(body)) + body


def packed(field: int, values: Sequence[int]) -> bytes:
    return message(field, b"".join(map(varint, values)))


def loose(field: int, values: Sequence[int]) -> bytes:
    return b"".join(number(field, value) for value in values)


TEXTS = ("", "samples", "count", "main.leaf", "main.caller", "main.go", "key", "text", "/lib/libc.so.6")
HEAD = message(1, number(1, 1) + number(2, 2))  # the sample type samples/count
STRINGS = b"".join(message(6, text.encode()) for text in TEXTS)
FUNCTIONS = message(5, number(1, 1) + number(2, 3) + number(4, 5)) + message(5, number(1, 2) + number(2, 4) + number(4, 5))
LOCATIONS = (message(4, number(1, 1) + message(4, number(1, 1) + number(2, 10)))
             + message(4, number(1, 2) + message(4, number(1, 2) + number(2, 20)))
             # The first line is inlined into the last.
             + message(4, number(1, 300) + message(4, number(1, 1) + number(2, 11)) + message(4, number(1, 2) + number(2, 21))))
TABLES = LOCATIONS + FUNCTIONS + STRINGS
LEAF, CALLER = Frame("main.leaf", "main.go", 10), Frame("main.caller", "main.go", 20)
INLINED = (Frame("main.leaf", "main.go", 11), Frame("main.caller", "main.go", 21))


def one(sample: bytes, tables: bytes = TABLES) -> bytes:
    return HEAD + message(2, sample) + tables


# ------------------------------------------------------------------------------------------------------ against pprof -top

ROW = re.compile(r"\s*(-?\d+)(?:B|ns)?\s+\S+%\s+\S+%\s+(-?\d+)(?:B|ns)?\s+\S+%\s{2}(.*)")
TOTAL = re.compile(r"Showing nodes accounting for (-?\d+)(?:B|ns)?, \S+% of (-?\d+)(?:B|ns)? total")


def top(path: Path) -> dict[tuple[str, str], tuple[int, dict[str, tuple[int, int]]]]:
    """(sample type, granularity) -> (total, name -> (flat, cum)) of what ``go tool pprof -top`` printed."""
    sections: dict[tuple[str, str], tuple[int, dict[str, tuple[int, int]]]] = {}
    for section in gzip.decompress(path.read_bytes()).decode().split("## ")[1:]:
        title, *lines = section.splitlines()
        kind, granularity = title.split()
        total = next(int(match.group(2)) for match in map(TOTAL.match, lines) if match)
        rows: dict[str, tuple[int, int]] = {}
        for line in lines[next(at for at, text in enumerate(lines) if text.split()[:1] == ["flat"]) + 1:]:
            match = ROW.match(line)
            assert match, line
            name = re.sub(r" \((?:partial-)?inline\)$", "", match.group(3))
            assert name not in rows
            rows[name] = (int(match.group(1)), int(match.group(2)))
        sections[kind, granularity] = (total, rows)
    return sections


def ours(parsed: Profile, kind: str, granularity: str) -> dict[str, tuple[int, int]]:
    found = profile.sites(parsed, [kind], by=granularity.rstrip("s"))
    names = [site.frame.function + (" %s:%d" % site.frame[1:] if site.frame.line else "") for site in found]
    assert len(set(names)) == len(names)
    return {name: (site.flat[0], site.cum[0]) for name, site in zip(names, found)}


def test_every_version_has_every_kind() -> None:
    kinds = {"heap", "allocs", "goroutine", "mutex", "block", "threadcreate", "profile"}
    for version in VERSIONS:
        found = {path.name.partition(".")[0] for path in RECORDED if path.parent.name == version}
        assert found == kinds | ({"goroutineleak"} if version == "go1.27.3" else set())


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.name.partition('.')[0]}")
def test_flat_cum_and_total_are_those_of_go_tool_pprof(path: Path) -> None:
    parsed = profile.parse(path.read_bytes())
    sections = top(path.with_name(path.name.replace(".pb.gz", ".top.txt.gz")))
    totals = profile.totals(parsed)
    assert {kind for kind, _granularity in sections} == set(totals) and len(sections) == 2 * len(totals)
    for (kind, granularity), (total, rows) in sections.items():
        assert totals[kind] == total
        if any(sample.stack for sample in parsed.samples):
            assert rows and ours(parsed, kind, granularity) == rows
        else:
            assert path.name == "threadcreate.pb.gz"  # the runtime knows no stack of a thread: nothing but the count


def test_the_recorded_profiles_hold_what_makes_the_comparison_worth_something() -> None:
    parsed = profile.parse((FIXTURES / "go1.27.3" / "profile.pb.gz").read_bytes())
    stacks = {sample.stack for sample in parsed.samples}
    assert any(len(set(stack)) < len(stack) for stack in stacks), "recursion"
    assert {sample.labels.get("worker") for sample in parsed.samples} >= {"a", "b", "c"}
    assert (parsed.sample_types, parsed.period_type, parsed.period) \
        == ([("samples", "count"), ("cpu", "nanoseconds")], ("cpu", "nanoseconds"), 10_000_000)
    assert 1.9e9 < parsed.duration_nanos < 3e9 and parsed.time_nanos > 1.7e18
    heap = profile.parse((FIXTURES / "go1.27.3" / "allocs.pb.gz").read_bytes())
    assert (heap.default_sample_type, heap.period, heap.period_type) == ("alloc_space", 4096, ("space", "bytes"))
    assert profile.default_index(heap) == 1
    assert profile.default_index(profile.parse((FIXTURES / "go1.27.3" / "heap.pb.gz").read_bytes())) == 3
    leaks = profile.parse((FIXTURES / "go1.27.3" / "goroutineleak.pb.gz").read_bytes())
    assert profile.totals(leaks) == {"goroutineleak": 3}
    assert [frame.function for frame in leaks.samples[0].stack][:4] == \
        ["runtime.gopark", "runtime.chansend", "runtime.chansend1", "main.leak"]


def test_equal_frames_stacks_and_labels_are_one_object() -> None:
    parsed = profile.parse((FIXTURES / "go1.27.3" / "allocs.pb.gz").read_bytes())
    frames = [frame for sample in parsed.samples for frame in sample.stack]
    assert len({id(frame) for frame in frames}) == len(set(frames)) < len(frames)
    assert len({id(sample.stack) for sample in parsed.samples}) < len(parsed.samples)
    assert len({id(sample.labels) for sample in parsed.samples}) == 1  # the size of an object is no text


# -------------------------------------------------------------------------------------------------------------- the format

@pytest.mark.parametrize(("sample", "stack"), [
    (packed(1, [1, 2]) + packed(2, [7]), (LEAF, CALLER)),
    (loose(1, [1, 2]) + loose(2, [7]), (LEAF, CALLER)),
    (packed(1, [1]) + loose(1, [2]) + packed(2, [7]), (LEAF, CALLER)),
    (loose(1, [1]) + packed(1, [2]) + packed(2, [7]), (LEAF, CALLER)),
    (packed(1, [1]) + packed(1, [2]) + packed(2, []) + packed(2, [7]), (LEAF, CALLER)),
    (packed(2, [7]) + packed(1, [300, 2]), (*INLINED, CALLER)),
    (packed(1, [2, 2, 2]) + packed(2, [7]), (CALLER, CALLER, CALLER)),
    (packed(2, [7]), ()),
    (packed(1, []) + packed(2, [7]), ()),
    (b"\x8a\x00\x02\x01\x02" + b"\x90\x00\x07", (LEAF, CALLER)),
    (b"\x0a\x82\x00\x01\x02" + b"\x10\x07", (LEAF, CALLER)),
    (b"\x0a\x02\x81\x00" + b"\x10\x07", (LEAF,)),
    (packed(1, [1]) + packed(2, [7]) + number(9, 5) + message(99, b"new") + b"\x55abcd" + b"\x51abcdefgh", (LEAF,)),
    (packed(1, [1]) + b"\x53" + number(1, 3) + b"\x5b\x0a\x01x\x5c\x54" + packed(2, [7]), (LEAF,)),
], ids=["packed", "loose", "packed-loose", "loose-packed", "packed-twice", "inlined", "recursion", "no-location", "empty-packed",
        "long-tags", "long-length", "long-id", "unknown-fields", "groups"])
def test_forms_of_a_sample(sample: bytes, stack: tuple[Frame, ...]) -> None:
    assert profile.parse(one(sample)).samples == [Sample(stack, (7,), {})]


def test_a_whole_profile() -> None:
    raw = (HEAD + message(1, number(1, 6) + number(2, 7)) + number(9, 5) + number(10, 6) + message(11, number(1, 1) + number(2, 2))
           + number(12, 100) + number(14, 6) + message(3, number(1, 1) + number(5, 8))
           + message(2, packed(1, [1, 9]) + packed(2, [3, -4]) + message(3, number(1, 6) + number(2, 7))
                     + message(3, number(1, 2) + number(3, 512)))
           + message(4, number(1, 9) + number(2, 1)) + TABLES)
    expected = Profile(
        sample_types=[("samples", "count"), ("key", "text")], default_sample_type="key", period_type=("samples", "count"),
        period=100, time_nanos=5, duration_nanos=6,
        samples=[Sample((LEAF, Frame("[libc.so.6]", "", 0)), (3, -4), {"key": "text"})])
    assert profile.parse(raw) == profile.parse(gzip.compress(raw)) == expected
    # Two members of one stream (RFC 1952) are one profile.
    assert profile.parse(gzip.compress(raw[:40]) + gzip.compress(raw[40:])) == expected


def test_a_name_that_is_missing() -> None:
    tables = (message(4, number(1, 1) + message(4, number(1, 1))) + message(4, number(1, 2)) + message(5, number(1, 1) + number(3, 3))
              + STRINGS)
    assert profile.parse(one(packed(1, [1, 2]) + packed(2, [7]), tables)).samples[0].stack == \
        (Frame("main.leaf", "", 0), Frame("<unknown>", "", 0))


def test_a_switched_off_profile_is_valid() -> None:
    parsed = profile.parse(HEAD + STRINGS)
    assert (profile.totals(parsed), profile.sites(parsed, ["samples"])) == ({"samples": 0}, [])


GOOD = one(packed(1, [1, 2]) + packed(2, [7]))
BIG_ID = b"\xff" * 9 + b"\x02"
ERRORS = {
    "nothing": (b"", "empty", "the profile is empty"),
    "gzip-of-nothing": (gzip.compress(b""), "empty", "the profile is empty (a gzip stream of nothing)"),
    "page": (b"\r\n<!DOCTYPE html>\n<html>", "text", "this is text, not a profile: it begins with '<!DOCTYPE html>'"),
    "debug1": (b"heap profile: 1: 2 [3: 4] @ heap/1048576\n", "text",
               "this is text, not a profile: it begins with 'heap profile: 1: 2 [3: 4] @ heap/1048576'"),
    "mutex-text": (gzip.compress(b"--- mutex:\ncycles"), "text", "this is text, not a profile: it begins with '--- mutex:'"),
    "one-byte": (b"\x1f", "truncated", "the gzip stream ends after 1 byte"),
    "gzip-header": (b"\x1f\x8b", "truncated", "the gzip stream ends early, after 2 bytes (0 decompressed)"),
    "gzip-method": (b"\x1f\x8b\x07" + bytes(20), "gzip", "not a gzip stream at byte 0: unknown compression method"),
    "gzip-crc": (gzip.compress(GOOD, mtime=0)[:-8] + b"\0" * 8, "gzip", "not a gzip stream at byte 0: incorrect data check"),
    "gzip-tail": (gzip.compress(GOOD, mtime=0) + b"tail", "gzip",
                  f"not a gzip stream at byte {len(gzip.compress(GOOD, mtime=0))}: incorrect header check"),
    "gzip-members": (gzip.compress(b"", mtime=0) * 17, "gzip", "the profile has more than 16 gzip members"),
    "no-type": (message(2, packed(2, [1])) + TABLES, "no_sample_type", "the profile has no sample type"),
    "only-strings": (STRINGS, "no_sample_type", "the profile has no sample type"),
    "wrong-length": (HEAD + b"\x12\x20abc", "truncated", "a sample at byte 6 has 32 bytes, of which 3 are there"),
    "wrong-long-length": (HEAD + b"\x12\x80\x40abc", "truncated", "a sample at byte 7 has 8192 bytes, of which 3 are there"),
    "no-length": (HEAD + b"\x12", "truncated", "the number at byte 7 is cut off at byte 7"),
    "unknown-field-too-long": (HEAD + b"\x7a\x20abc", "truncated", "the field 15 at byte 7 is longer than what is left"),
    "fixed64-too-long": (HEAD + b"\x79abc", "truncated", "the field 15 at byte 7 is longer than what is left"),
    "varint-of-11": (HEAD + b"\x48" + b"\x80" * 10 + b"\x01", "garbage", "the number at byte 7 has more than 10 bytes"),
    "varint-of-65-bits": (HEAD + b"\x48" + b"\xff" * 9 + b"\x02", "garbage", "the number at byte 7 has more than 64 bits"),
    "packed-of-11": (one(message(1, b"\x80" * 10 + b"\x01") + packed(2, [7])), "garbage",
                     "a number of the list at byte 0 has more than 10 bytes"),
    "packed-of-65-bits": (one(message(2, BIG_ID)), "garbage", "a number of the list at byte 10 has more than 64 bits"),
    "packed-cut": (one(message(1, b"\x01\x80") + packed(2, [7])), "truncated",
                   "the list of numbers at byte 0 is cut off at byte 2"),
    "wire-6": (HEAD + b"\x7e", "garbage", "the wire type 6 at byte 7 does not exist"),
    "field-0": (HEAD + b"\x00\x00", "garbage", "the field number 0 at byte 6 does not exist"),
    "field-too-big": (HEAD + varint(1 << 33), "garbage", f"the field number {1 << 30} at byte 6 does not exist"),
    "group-end": (HEAD + b"\x7c", "garbage", "a group that was not opened ends at byte 7"),
    "group-other-end": (HEAD + b"\x7b\x74", "garbage", "a group that was not opened ends at byte 8"),
    "group-open": (HEAD + b"\x7b", "truncated", "the number at byte 7 is cut off at byte 7"),
    "groups-deep": (HEAD + b"\x7b" * 65, "garbage", "groups are nested deeper than 64 at byte 71"),
    "sample-is-number": (HEAD + number(2, 1), "garbage", "a sample at byte 6 has the wire type 0"),
    "time-is-message": (HEAD + message(9, b""), "garbage", "the field 9 at byte 6 has the wire type 2"),
    "value-is-fixed": (one(b"\x15abcd"), "garbage", "a sample: the field 2 at byte 8 has the wire type 5"),
    "label-is-number": (one(packed(2, [7]) + number(3, 1)), "garbage", "a sample: the field 3 at byte 11 has the wire type 0"),
    "line-is-number": (HEAD + message(4, number(1, 1) + number(4, 1)) + STRINGS, "garbage",
                       "a location: the field 4 at byte 10 has the wire type 0"),
    "location-id-is-text": (HEAD + message(4, message(1, b"x")) + STRINGS, "garbage",
                            "a location: the field 1 at byte 8 has the wire type 2"),
    "function-id-is-text": (HEAD + message(5, message(1, b"x")) + STRINGS, "garbage",
                            "a function: the field 1 at byte 8 has the wire type 2"),
    "no-value": (one(packed(1, [1])), "values", "the sample at byte 8 has 0 values, the profile 1 types"),
    "two-values": (one(packed(2, [1, 2])), "values", "the sample at byte 8 has 2 values, the profile 1 types"),
    "no-location": (one(packed(1, [1, 77]) + packed(2, [7])), "reference",
                    "the sample at byte 8 names the location 77, which is not there"),
    "no-location-loose": (one(loose(1, [77]) + packed(2, [7])), "reference",
                          "the sample at byte 8 names the location 77, which is not there"),
    "location-0": (one(packed(1, [0]) + packed(2, [7])), "reference",
                   "the sample at byte 8 names the location 0, which is not there"),
    "no-tables": (one(packed(1, [1]) + packed(2, [7]), STRINGS), "reference",
                  "the sample at byte 8 names the location 1, which is not there"),
    "no-functions": (one(packed(1, [1]) + packed(2, [7]), LOCATIONS + STRINGS), "reference",
                     "the location 1 names the function 1, which is not there"),
    "no-strings": (HEAD, "reference", "a value type names the string 1 of 0"),
    "string-of-type": (message(1, number(1, 50)) + STRINGS, "reference", "a value type names the string 50 of 9"),
    "string-negative": (message(1, number(1, -1)) + STRINGS, "reference", "a value type names the string -1 of 9"),
    "string-of-function": (HEAD + message(5, number(1, 1) + number(2, 9)) + STRINGS, "reference",
                           "the function 1 names the string 9 of 9"),
    "string-of-mapping": (HEAD + message(3, number(1, 1) + number(5, 9)) + STRINGS, "reference",
                          "the mapping 1 names the string 9 of 9"),
    "string-of-label": (one(packed(2, [7]) + message(3, number(1, 6) + number(2, 9))), "reference",
                        "the label 'key' names the string 9 of 9"),
    "string-of-default": (HEAD + number(14, 9) + STRINGS, "reference", "the default sample type names the string 9 of 9"),
    "function-twice": (HEAD + FUNCTIONS * 2 + STRINGS, "reference", "two functions have the id 1"),
    "location-without-id": (HEAD + message(4, b"") + STRINGS, "reference", "a location has the id 0, which means none"),
    "mapping-without-id": (HEAD + message(3, b"") + STRINGS, "reference", "a mapping has the id 0, which means none"),
    "first-string": (HEAD + message(6, b"x") + STRINGS, "garbage", "the first string of the profile is not empty"),
}


@pytest.mark.parametrize(("data", "kind", "message_"), ERRORS.values(), ids=ERRORS)
def test_what_is_refused(data: bytes, kind: str, message_: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profile.parse(data)
    assert (caught.value.kind, str(caught.value)) == (kind, message_)
    assert kind in profile.KINDS


# -------------------------------------------------------------------------------------------------------------- the limits

def refused(data: bytes, **limits: int) -> str:
    with pytest.raises(ProfileError) as caught:
        profile.parse(data, **limits)
    assert caught.value.kind == "too_big"
    return str(caught.value)


def test_limits() -> None:
    assert profile.parse(GOOD, limit=len(GOOD), max_samples=1, max_frames=2) == profile.parse(gzip.compress(GOOD), limit=len(GOOD))
    size = len(GOOD) - 1
    assert refused(GOOD, limit=size) == f"the profile has {len(GOOD)} bytes, over the limit of {size}"
    assert refused(gzip.compress(GOOD), limit=size) == f"the profile has more than {size} bytes when decompressed"
    assert refused(GOOD, max_samples=0) == "the profile has more than 0 samples"
    assert refused(GOOD, max_frames=1) == "the stacks have more than 1 frames"
    assert refused(message(1, b"") * 65) == "the profile has more than 64 sample types"
    assert refused(HEAD + message(2, bytes((1 << 20) + 1)) + STRINGS) == \
        "the sample at byte 10 has 1048577 bytes, over the limit of 1048576"
    assert refused(HEAD + b"\x32\x00" * 100_001) == "the profile has more than 100000 strings"
    assert refused(HEAD + message(4, bytes((1 << 20) + 1)) + STRINGS) == \
        "the location at byte 10 has 1048577 bytes, over the limit of 1048576"
    assert refused(HEAD + varint(20 << 3 | 3) + b"\x20\x01" * ((1 << 19) + 1) + varint(20 << 3 | 4)) == \
        "the group at byte 8 has more than 1048576 bytes"


@pytest.mark.parametrize("looks", [0, 1, 2, 5, 12])
def test_it_can_be_interrupted(looks: int) -> None:
    """At every stage, every some milliseconds: the clock of this one is over after so many looks."""
    data = HEAD + b"".join(message(2, packed(1, [1, 2]) + packed(2, [count])) for count in range(30_000)) + TABLES
    asked: list[None] = []

    def late() -> bool:
        asked.append(None)
        return len(asked) > looks

    with pytest.raises(ProfileError, match="the profile was not decoded in time") as caught:
        profile.parse(gzip.compress(data), late=late)
    assert caught.value.kind == "too_slow" and len(asked) == looks + 1


def test_it_is_asked_for_the_time_again_and_again() -> None:
    data = HEAD + message(2, packed(1, [1, 2]) + packed(2, [1])) * 100_000 + TABLES
    asked: list[None] = []

    def late() -> bool:
        asked.append(None)
        return False

    assert len(profile.parse(data, late=late).samples) == 100_000
    assert len(asked) >= 2 * len(data) // (1 << 15)


def test_a_million_samples_are_bounded() -> None:
    assert refused(HEAD + message(2, b"\x10\x01") * 1_000_001 + STRINGS) == "the profile has more than 1000000 samples"


def test_stacks_that_multiply_are_bounded() -> None:
    """A location with 1,000 inlined calls, 100,000 times in one stack: 10**8 frames from 300 kB."""
    location = message(4, number(1, 1) + message(4, number(1, 1)) * 1000)
    data = HEAD + message(2, packed(1, [1] * 100_000) + packed(2, [1])) + location + FUNCTIONS + STRINGS
    tracemalloc.start()
    assert refused(data) == "the stacks have more than 8000000 frames"
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MAX_LABEL_SETS", 3)
    samples = b"".join(message(2, packed(2, [1]) + message(3, number(1, 6) + number(3, size))) for size in range(1, 5))
    assert refused(HEAD + samples + STRINGS) == "the samples have more than 3 different sets of labels"


def test_a_bomb_is_bounded_in_memory() -> None:
    """A gigabyte of zeros in a megabyte: no more than twice the limit is made of it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(compressor.compress(bytes(16 << 20)) for _piece in range(64)) + compressor.flush()
    assert len(bomb) < 2 << 20
    tracemalloc.start()
    assert refused(bomb, limit=4 << 20) == "the profile has more than 4194304 bytes when decompressed"
    assert tracemalloc.get_traced_memory()[1] < 12 << 20
    tracemalloc.stop()


# -------------------------------------------------------------------------------------------------------------------- sums

A, B, C = Frame("a", "a.go", 1), Frame("b", "b.go", 2), Frame("c", "c.go", 3)
A2 = Frame("a", "a.go", 9)


def made(*samples: tuple[tuple[Frame, ...], tuple[int, ...]], types: Sequence[str] = ("n", "m"), **more: int) -> Profile:
    return Profile([(kind, "count") for kind in types], samples=[Sample(stack, values, {}) for stack, values in samples], **more)


def test_sites() -> None:
    parsed = made(((A, B, C), (1, 10)), ((B, C), (2, -20)), ((A, B, A2, B), (4, 40)), ((), (8, 80)), ((C,), (0, 0)))
    assert profile.sites(parsed, ["n", "m"]) == [(A, (5, 50), (5, 50)), (B, (2, -20), (7, 30)), (A2, (0, 0), (4, 40)),
                                                 (C, (0, 0), (3, -10))]
    assert profile.sites(parsed, ["m"], by="function") == [
        (Frame("a", "", 0), (50,), (50,)), (Frame("c", "", 0), (0,), (-10,)), (Frame("b", "", 0), (-20,), (30,))]
    assert profile.totals(parsed) == {"n": 15, "m": 110}
    assert profile.type_index(parsed, "m") == 1


def test_sites_by_another_name() -> None:
    found = made(((Frame("f[int]", "a.go", 1), Frame("f[string]", "a.go", 1), C), (1, 2)), ((Frame("f[string]", "a.go", 1),), (4, 8)))
    assert profile.sites(found, ["n"], name=lambda name: name.partition("[")[0]) == [
        profile.Site(Frame("f", "a.go", 1), (5,), (5,)), profile.Site(C, (0,), (1,))]


def test_sites_of_frames_that_are_equal_but_not_the_same_object() -> None:
    stack = (Frame("a", "a.go", 1), Frame("b", "b.go", 2), Frame("a", "a.go", 1))
    assert profile.sites(made((stack, (3, 0))), ["n"]) == [(A, (3,), (3,)), (B, (0,), (3,))]


def test_sites_of_the_largest_values() -> None:
    most, least = (1 << 63) - 1, -(1 << 63)
    parsed = made(((A,), (most, least)), ((A,), (most, least)), ((B, A), (least, most)))
    assert profile.sites(parsed, ["n", "m"]) == [(A, (2 * most, 2 * least), (2 * most + least, 2 * least + most)),
                                                 (B, (least, most), (least, most))]


def test_sites_refuses() -> None:
    with pytest.raises(ProfileError, match=r"\Athe profile has no sample type 'x'; it has n, m\Z") as caught:
        profile.sites(made(), ["x"])
    assert caught.value.kind == "types"
    with pytest.raises(ValueError, match=r"\Aby is 'file', not line or function\Z"):
        profile.sites(made(), ["n"], by="file")


def test_difference() -> None:
    before = made(((A, B), (1, 10)), ((B,), (2, 20)), ((C,), (5, 50)), time_nanos=100, period=3)
    after = made(((B,), (2, 20)), ((A, B), (3, 40)), ((A, B), (4, 0)), ((A,), (1, 1)), time_nanos=350, period=7)
    grown = profile.difference(after, before)
    assert grown == made(((A, B), (6, 30)), ((A,), (1, 1)), ((C,), (-5, -50)), time_nanos=350, duration_nanos=250, period=7)
    assert profile.difference(after, after).samples == []
    with pytest.raises(ProfileError) as caught:
        profile.difference(after, made(types=("n", "x")))
    assert (caught.value.kind, str(caught.value)) == \
        ("types", "profiles of different sample types cannot be compared: n/count, m/count and n/count, x/count")


def test_merge_key_tells_labels_apart() -> None:
    one_, two = Sample((A,), (1,), {"k": "1", "j": "2"}), Sample((A,), (9,), {"j": "2", "k": "1"})
    assert profile.merge_key(one_) == profile.merge_key(two) != profile.merge_key(Sample((A,), (1,), {}))


# -------------------------------------------------------------------------------------------------------------- properties

def walk(data: bytes) -> None:
    """Anything is a profile or a ProfileError with a kind that is known; what parses can be summed."""
    try:
        parsed = profile.parse(data, limit=1 << 20)
    except ProfileError as error:
        assert error.kind in profile.KINDS and str(error)
        return
    types = [kind for kind, _unit in parsed.sample_types]
    assert parsed.sample_types and all(len(sample.values) == len(types) for sample in parsed.samples)
    profile.totals(parsed)
    profile.sites(parsed, types)
    assert profile.difference(parsed, parsed).samples == []


@given(st.binary(max_size=400))
def test_property_any_bytes(data: bytes) -> None:
    walk(data)
    walk(HEAD + data)


RAW = [gzip.decompress(path.read_bytes()) for path in RECORDED if path.parent.name == "go1.27.3" and path.stat().st_size < 2000]


@settings(max_examples=200)
@given(st.sampled_from(RAW), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=6))
def test_property_damaged_profiles(raw: bytes, damages: list[tuple[int, int]]) -> None:
    data = bytearray(raw)
    for at, value in damages:
        data[at % len(data)] = value
    walk(bytes(data))


@pytest.mark.parametrize("raw", [GOOD, RAW[0]], ids=["made", "recorded"])
def test_every_truncation_is_named(raw: bytes) -> None:
    for end in range(len(raw)):
        walk(raw[:end])
    whole = gzip.compress(raw, mtime=0)
    for end in range(1, len(whole)):
        with pytest.raises(ProfileError) as caught:
            profile.parse(whole[:end])
        assert caught.value.kind == "truncated"


FRAMES = st.builds(Frame, st.sampled_from(["main.a", "main.b", "x/y.(*T).m"]), st.sampled_from(["", "a.go", "b.go"]),
                   st.integers(0, 5000))
LINES = st.lists(FRAMES, min_size=1, max_size=3)
VALUES = st.integers(-(1 << 63), (1 << 63) - 1)


def encode(types: int, samples: Sequence[tuple[list[list[Frame]], list[int], dict[str, str]]], form: int) -> bytes:
    """As a writer would that knows nothing of ours. ``form``: 0 packed, 1 loose, 2 as runtime/pprof (packed from three on)."""
    strings, functions, locations = [""], {}, {}

    def text(value: str) -> int:
        if value not in strings:
            strings.append(value)
        return strings.index(value)

    def repeated(field: int, values: list[int]) -> bytes:
        return (packed if form == 0 or (form == 2 and len(values) > 2) else loose)(field, values)

    body = b"".join(message(1, number(1, text("t%d" % index)) + number(2, text("count"))) for index in range(types))
    for calls, values, labels in samples:
        ids = [locations.setdefault(tuple(lines), 3 * len(locations) + 100) for lines in calls]
        tags = b"".join(message(3, number(1, text(key)) + number(2, text(value))) for key, value in labels.items())
        body += message(2, repeated(1, ids) + tags + repeated(2, values[:types]))
    for lines, ident in locations.items():
        parts = b""
        for frame in lines:
            function = functions.setdefault(frame[:2], len(functions) + 1)
            parts += message(4, number(1, function) + number(2, frame.line))
        body += message(4, number(1, ident) + parts)
    for (name, file), ident in functions.items():
        body += message(5, number(1, ident) + number(2, text(name)) + number(4, text(file)))
    return body + b"".join(message(6, value.encode()) for value in strings)


SAMPLES = st.lists(st.tuples(st.lists(LINES, max_size=5), st.lists(VALUES, min_size=3, max_size=3),
                             st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["v", "wü"]))), max_size=8)


@settings(max_examples=150)
@given(st.integers(1, 3), SAMPLES, st.integers(0, 2), st.booleans())
def test_property_round_trip_and_sums(types: int, samples: list[tuple[list[list[Frame]], list[int], dict[str, str]]],
                                      form: int, compress: bool) -> None:
    raw = encode(types, samples, form)
    parsed = profile.parse(gzip.compress(raw) if compress else raw)
    assert parsed.samples == [Sample(tuple(frame for lines in calls for frame in lines), tuple(values[:types]), labels)
                              for calls, values, labels in samples]
    names = ["t%d" % index for index in range(types)]
    flat: dict[Frame, list[int]] = {}
    cum: dict[Frame, list[int]] = {}
    for sample in parsed.samples:
        for index in range(types):
            for place, frame in enumerate(dict.fromkeys(sample.stack)):
                cum.setdefault(frame, [0] * types)[index] += sample.values[index]
                flat.setdefault(frame, [0] * types)[index] += 0 if place else sample.values[index]
    assert {frame: (list(own), list(all_)) for frame, own, all_ in profile.sites(parsed, names)} == \
        {frame: (flat[frame], cum[frame]) for frame in cum if any(flat[frame]) or any(cum[frame])}
