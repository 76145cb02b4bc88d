# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""profile.proto, the format of ``/debug/pprof/<kind>`` (github.com/google/pprof proto/profile.proto), decoded and summed.

Public: :class:`Frame`, :class:`Sample`, :class:`Profile`, :class:`Site`, :class:`ProfileError`, :func:`parse`,
:func:`inflate`, :func:`decode`, :func:`totals`, :func:`sites`, :func:`difference`, :func:`merge_key`,
:func:`type_index`, :func:`default_index`. Standard library only: it runs on the hosts.

What is decided, and why:

* A profile is what ``go tool pprof`` accepts (profile/profile.go CheckValid, profile/encode.go postDecode): everything that
  it refuses is refused here with a kind; unknown fields are skipped. Stricter in three points: a profile without any sample
  type is refused also where it has no sample (a disabled mutex or block profile has its types), a number of more than 64 bits
  is refused instead of cut, and the limits below. Laxer in one: a group (the wire types 3 and 4) is skipped.
* Values are as they are in the file. The heap values of Go are already scaled from what was sampled to an estimate of the
  whole (runtime/pprof protomem.go scaleHeapSample), and those of mutex and block are already nanoseconds and multiplied by
  the period (runtime/pprof pprof.go printCountCycleProfile): nothing must be scaled again.
* Inlined calls are frames like any other. The address of a frame is dropped, the line kept: two addresses of one line are
  one frame, as for ``go tool pprof -lines``. Code without symbols (cgo) is named after its binary, ``[libc.so.6]``, as
  pprof does; what has no name at all (the creators of threads) is ``<unknown>``.
* Equal frames, stacks and label sets are one object in the whole profile: 100,000 samples cost what their different stacks
  cost.
* ``drop_frames`` and ``keep_frames`` are not applied: runtime/pprof writes neither (proto.go build, Go 1.21 to 1.27: the two are
  a TODO there).
"""
from __future__ import annotations

import re
import zlib
from array import array
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Callable, Dict, Hashable, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

LIMIT = 64 << 20
MAX_SAMPLES = 1_000_000
MAX_FRAMES = 8_000_000  # of all different stacks together: one is a pointer of 8 bytes
# What no Go program comes near to, so that a hostile profile cannot make 64 MB into gigabytes: entries of each table, lines of
# all locations (100,000 of each are 70 MB here), different sets of labels, bytes of one message or group (a stack of 1,024
# frames, the most that GODEBUG=profstackdepth gives, has some 3,000), gzip members (Go writes one), groups in groups.
MAX_ENTRIES = 100_000
MAX_LABEL_SETS = 200_000
MAX_MESSAGE_BYTES = 1 << 20
MAX_MEMBERS = 16
MAX_GROUP_DEPTH = 64

KINDS = ("empty", "text", "gzip", "truncated", "too_big", "garbage", "no_sample_type", "values", "reference", "types",
         "too_slow")

UNKNOWN = "<unknown>"  # as pprof calls what has no name (internal/graph/graph.go NameComponents)

_PIECE = 1 << 20
_BETWEEN = 1 << 15  # bytes that are decoded between two looks at the clock: some milliseconds
_SPACING = 96
_MASK = (1 << 64) - 1


class ProfileError(ValueError):
    """A profile that cannot be used.

    ``kind`` is one of :data:`KINDS`: ``empty`` (no byte), ``text`` (a page or the debug=1 form), ``gzip`` (a damaged
    stream), ``truncated`` (ends too early), ``too_big`` (over a limit), ``garbage`` (no protocol buffer),
    ``no_sample_type``, ``values`` (a sample with more or fewer values than types), ``reference`` (an index or id that no
    table has), ``types`` (two profiles that cannot be compared, a type that a profile has not), ``too_slow`` (the time was over).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Frame(NamedTuple):
    """One call. ``file`` is "" and ``line`` 0 where they are not known."""

    function: str
    file: str
    line: int


Stack = Tuple[Frame, ...]
#: Whether the time is over. It is asked every few milliseconds.
Late = Callable[[], bool]


class Sample(NamedTuple):
    """``stack`` is leaf first, inlined calls expanded; ``values`` are in the order of the profile's sample types."""

    stack: Stack
    values: Tuple[int, ...]
    labels: Mapping[str, str]  # those with a string; numeric ones (the heap profile's size of an object) are left out


@dataclass
class Profile:
    """Periods and times in the units of the file: a Go heap profile has the period 524288 of ("space", "bytes")."""

    sample_types: List[Tuple[str, str]]  # (type, unit), as ("inuse_space", "bytes")
    default_sample_type: str = ""
    period_type: Tuple[str, str] = ("", "")
    period: int = 0
    time_nanos: int = 0
    duration_nanos: int = 0
    samples: List[Sample] = field(default_factory=list)


class Site(NamedTuple):
    """What one line of code costs: ``flat`` in itself, ``cum`` with all it calls; in the order of the types asked for."""

    frame: Frame
    flat: Tuple[int, ...]
    cum: Tuple[int, ...]


# ---------------------------------------------------------------------------------------------------------------- decode

def parse(data: bytes, *, limit: int = LIMIT, max_samples: int = MAX_SAMPLES, max_frames: int = MAX_FRAMES,
          late: Optional[Late] = None) -> Profile:
    """A profile as the service sent it, gzip or plain.

    ``limit`` bounds the decompressed bytes, ``max_samples`` the samples, ``max_frames`` the frames of all different
    stacks together; where ``late`` says so, it is given up. Raises :class:`ProfileError`.
    """
    return decode(inflate(data, limit=limit, late=late), max_samples=max_samples, max_frames=max_frames, late=late)


def _in_time(late: Optional[Late]) -> None:
    if late is not None and late():
        raise ProfileError("too_slow", "the profile was not decoded in time")


def inflate(data: bytes, *, limit: int = LIMIT, late: Optional[Late] = None) -> bytes:
    """The bytes of the protocol buffer: what gzip (RFC 1952, one or more members) holds, or ``data`` itself.

    It never makes more than ``limit`` bytes (and as many again while it joins the pieces). Raises :class:`ProfileError`.
    """
    if not data:
        raise ProfileError("empty", "the profile is empty")
    if data[:2] != b"\x1f\x8b":
        if data[:1] == b"\x1f" and len(data) == 1:
            raise ProfileError("truncated", "the gzip stream ends after 1 byte")
        if len(data) > limit:
            raise ProfileError("too_big", "the profile has %d bytes, over the limit of %d" % (len(data), limit))
        _refuse_text(data)
        return data
    pieces: List[bytes] = []
    size, rest, members = 0, data, 0
    while rest:
        members += 1
        if members > MAX_MEMBERS:
            raise ProfileError("gzip", "the profile has more than %d gzip members" % MAX_MEMBERS)
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not stream.eof:
            _in_time(late)
            try:
                piece = stream.decompress(rest, min(_PIECE, limit - size + 1))
            except zlib.error as error:
                raise ProfileError("gzip", "not a gzip stream at byte %d: %s" % (len(data) - len(rest), _zlib(error)))
            size += len(piece)
            if size > limit:
                raise ProfileError("too_big", "the profile has more than %d bytes when decompressed" % limit)
            pieces.append(piece)
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
            if not rest and not piece and not stream.eof:
                raise ProfileError("truncated", "the gzip stream ends early, after %d bytes (%d decompressed)"
                                   % (len(data), size))
    raw = b"".join(pieces)
    if not raw:
        raise ProfileError("empty", "the profile is empty (a gzip stream of nothing)")
    _refuse_text(raw)
    return raw


def _zlib(error: zlib.error) -> str:
    # "Error -3 while decompressing data: incorrect header check"
    return str(error).rpartition(": ")[2]


def _refuse_text(raw: bytes) -> None:
    """A page of text is told from a profile by its first bytes: a profile begins with a message (0x0a, its length, a tag)."""
    head = raw[:64].lstrip(b"\r\n\t ")
    if head[:1] == b"<" or head.startswith((b"--- ", b"heap profile:", b"goroutine profile:", b"threadcreate profile:",
                                            b"goroutineleak profile:", b"goroutine ", b"{")):
        shown = head.split(b"\n", 1)[0][:40].decode("utf-8", "replace").strip()
        raise ProfileError("text", "this is text, not a profile: it begins with %r" % shown)


def decode(raw: bytes, *, max_samples: int = MAX_SAMPLES, max_frames: int = MAX_FRAMES, late: Optional[Late] = None) -> Profile:
    """The decompressed bytes of a profile. Raises :class:`ProfileError`."""
    return _Decoder(raw, max_samples, max_frames, late).profile()


def _varint(raw: bytes, at: int, end: int) -> Tuple[int, int]:
    """(value, position behind it). A number has at most 10 bytes and 64 bits."""
    value = shift = 0
    start = at
    while at < end:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > _MASK:
                raise ProfileError("garbage", "the number at byte %d has more than 64 bits" % start)
            return value, at
        shift += 7
        if shift > 63:
            raise ProfileError("garbage", "the number at byte %d has more than 10 bytes" % start)
    raise ProfileError("truncated", "the number at byte %d is cut off at byte %d" % (start, end))


def _packed(raw: bytes, at: int, end: int) -> List[int]:
    """The numbers of a packed field."""
    part = raw[at:end]
    if part.isascii():  # each of one byte
        return list(part)
    values: List[int] = []
    append = values.append
    value = shift = 0
    for byte in part:
        if byte >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ProfileError("garbage", "a number of the list at byte %d has more than 10 bytes" % at)
        elif shift:
            append(value | byte << shift)
            value = shift = 0
        else:
            append(byte)
    if shift:
        raise ProfileError("truncated", "the list of numbers at byte %d is cut off at byte %d" % (at, end))
    if max(values) > _MASK:
        raise ProfileError("garbage", "a number of the list at byte %d has more than 64 bits" % at)
    return values


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _skip(raw: bytes, at: int, end: int, number: int, wire: int) -> int:
    """The position behind a field that is not known; ``at`` is behind its tag."""
    open_groups: List[int] = []
    start = at
    while True:
        if wire == 0:
            at = _varint(raw, at, end)[1]
        elif wire == 1:
            at += 8
        elif wire == 2:
            size, at = _varint(raw, at, end)
            at += size
        elif wire == 5:
            at += 4
        elif wire == 3:
            open_groups.append(number)
            if len(open_groups) > MAX_GROUP_DEPTH:
                raise ProfileError("garbage", "groups are nested deeper than %d at byte %d" % (MAX_GROUP_DEPTH, at))
        elif wire == 4:
            if not open_groups or open_groups.pop() != number:
                raise ProfileError("garbage", "a group that was not opened ends at byte %d" % at)
        else:
            raise ProfileError("garbage", "the wire type %d at byte %d does not exist" % (wire, at))
        if at > end:
            raise ProfileError("truncated", "the field %d at byte %d is longer than what is left" % (number, start))
        if not open_groups:
            return at
        if at - start > MAX_MESSAGE_BYTES:
            raise ProfileError("too_big", "the group at byte %d has more than %d bytes" % (start, MAX_MESSAGE_BYTES))
        number, wire, at = _tag(raw, at, end)


def _tag(raw: bytes, at: int, end: int) -> Tuple[int, int, int]:
    """(field number, wire type, position behind the tag)."""
    tag, behind = _varint(raw, at, end)
    number = tag >> 3
    if not 1 <= number < 1 << 29:
        raise ProfileError("garbage", "the field number %d at byte %d does not exist" % (number, at))
    return number, tag & 7, behind


def _length(raw: bytes, at: int, end: int, what: str) -> Tuple[int, int]:
    """(start, end) of a field with a length; ``at`` is behind its tag."""
    size, start = _varint(raw, at, end)
    if start + size > end:
        raise ProfileError("truncated", "%s at byte %d has %d bytes, of which %d are there" % (what, at, size, end - start))
    return start, start + size


def _fields(raw: bytes, at: int, end: int, what: str, numbers: Sequence[int]) -> List[int]:
    """The numbers with these field numbers in a message of plain numbers; 0 where one is absent, the last where it repeats."""
    values = [0] * len(numbers)
    while at < end:
        tag = raw[at]
        if tag < 0x80 and not tag & 7 and tag >> 3 in numbers:
            values[numbers.index(tag >> 3)], at = _varint(raw, at + 1, end)
        else:
            start = at
            number, wire, at = _tag(raw, at, end)
            if number in numbers:
                if wire:
                    raise ProfileError("garbage", "%s: the field %d at byte %d has the wire type %d" % (what, number, start, wire))
                values[numbers.index(number)], at = _varint(raw, at, end)
            else:
                at = _skip(raw, at, end, number, wire)
    return values


class _Table:
    """Where the messages of one kind lie: they are decoded when everything they point to is known."""

    def __init__(self, what: str, most: int) -> None:
        self.what, self.most = what, most
        self.starts = array("Q")
        self.ends = array("Q")

    def add(self, start: int, end: int) -> None:
        if len(self.starts) >= self.most:
            raise ProfileError("too_big", "the profile has more than %d %ss" % (self.most, self.what))
        self.starts.append(start)
        self.ends.append(end)

    def spans(self, late: Optional[Late]) -> Iterator[Tuple[int, int]]:
        """(start, end) of each. Raises ProfileError where the time is over."""
        look = 0
        for start, end in zip(self.starts, self.ends):
            if start >= look:
                _in_time(late)
                look = start + _BETWEEN
            yield start, end

    def __len__(self) -> int:
        return len(self.starts)


class _Decoder:
    def __init__(self, raw: bytes, max_samples: int, max_frames: int, late: Optional[Late]) -> None:
        self.raw = raw
        self.max_frames = max_frames
        self.late = late
        self.types = _Table("sample type", 64)
        self.samples = _Table("sample", max_samples)
        self.mappings = _Table("mapping", MAX_ENTRIES)
        self.locations = _Table("location", MAX_ENTRIES)
        self.functions = _Table("function", MAX_ENTRIES)
        self.strings = _Table("string", MAX_ENTRIES)
        self.period_type: Optional[Tuple[int, int]] = None
        self.numbers: Dict[int, int] = {}
        self.texts: Dict[int, str] = {}
        self.walk()

    def walk(self) -> None:
        """Find every part of the profile, to its end."""
        raw, end, at, look = self.raw, len(self.raw), 0, 0
        # Field numbers of message Profile in profile.proto.
        tables = {1: self.types, 2: self.samples, 3: self.mappings, 4: self.locations, 5: self.functions, 6: self.strings}
        while at < end:
            start = at
            if at >= look:
                _in_time(self.late)
                look = at + _BETWEEN
            tag = raw[at]
            if tag < 0x80 and tag & 7 == 2 and tag >> 3 in tables and at + 1 < end and raw[at + 1] < 0x80:
                # The quick way for nearly all of them: a tag of one byte, a length of one byte.
                begin = at + 2
                at = begin + raw[at + 1]
                if at > end:
                    raise ProfileError("truncated", "%s at byte %d has %d bytes, of which %d are there"
                                       % (_a(tables[tag >> 3].what), start, at - begin, end - begin))
                tables[tag >> 3].add(begin, at)
                continue
            number, wire, at = _tag(raw, at, end)
            if number in tables or number == 11:
                what = tables[number].what if number in tables else "period type"
                if wire != 2:
                    raise ProfileError("garbage", "%s at byte %d has the wire type %d" % (_a(what), start, wire))
                begin, at = _length(raw, at, end, _a(what))
                if at - begin > MAX_MESSAGE_BYTES and number != 6:
                    raise ProfileError("too_big", "the %s at byte %d has %d bytes, over the limit of %d"
                                       % (what, begin, at - begin, MAX_MESSAGE_BYTES))
                if number == 11:
                    self.period_type = (begin, at)
                else:
                    tables[number].add(begin, at)
            elif number in (9, 10, 12, 14):
                if wire:
                    raise ProfileError("garbage", "the field %d at byte %d has the wire type %d" % (number, start, wire))
                self.numbers[number], at = _varint(raw, at, end)
            else:
                at = _skip(raw, at, end, number, wire)

    def profile(self) -> Profile:
        if not self.types:
            raise ProfileError("no_sample_type", "the profile has no sample type")
        if len(self.strings) and self.strings.starts[0] != self.strings.ends[0]:
            raise ProfileError("garbage", "the first string of the profile is not empty")
        types = [self.value_type(start, end) for start, end in self.types.spans(self.late)]
        return Profile(
            sample_types=types, default_sample_type=self.string(self.numbers.get(14, 0), "the default sample type"),
            period_type=self.value_type(*self.period_type) if self.period_type else ("", ""),
            period=_signed(self.numbers.get(12, 0)), time_nanos=_signed(self.numbers.get(9, 0)),
            duration_nanos=_signed(self.numbers.get(10, 0)), samples=self.all_samples(len(types)))

    def string(self, index: int, what: str) -> str:
        known = self.texts.get(index)
        if known is None:
            if index >= len(self.strings):
                if not index:
                    return ""  # no string table at all: the index was left out
                raise ProfileError("reference", "%s names the string %d of %d" % (what, _signed(index), len(self.strings)))
            known = self.raw[self.strings.starts[index]:self.strings.ends[index]].decode("utf-8", "replace")
            self.texts[index] = known
        return known

    def value_type(self, start: int, end: int) -> Tuple[str, str]:
        kind, unit = _fields(self.raw, start, end, "a value type", (1, 2))
        return self.string(kind, "a value type"), self.string(unit, "a value type")

    def all_functions(self) -> Dict[int, Tuple[str, str]]:
        """id -> (name, file)."""
        functions: Dict[int, Tuple[str, str]] = {}
        for start, end in self.functions.spans(self.late):
            # 3 is the name as the linker has it: pprof shows it where there is no other.
            ident, name, system, filename = _fields(self.raw, start, end, "a function", (1, 2, 3, 4))
            _check_id(ident, functions, "function")
            what = "the function %d" % ident
            functions[ident] = (self.string(name, what) or self.string(system, what) or UNKNOWN, self.string(filename, what))
        return functions

    def all_mappings(self) -> Dict[int, str]:
        """id -> how pprof names code of it that has no symbols."""
        names: Dict[int, str] = {}
        for start, end in self.mappings.spans(self.late):
            ident, filename = _fields(self.raw, start, end, "a mapping", (1, 5))
            _check_id(ident, names, "mapping")
            path = self.string(filename, "the mapping %d" % ident)
            names[ident] = "[%s]" % path.rpartition("/")[2] if path else UNKNOWN
        return names

    def all_locations(self) -> Dict[int, Stack]:
        """id -> its frames, leaf first (profile.proto: the last line is the caller into which the others were inlined)."""
        raw = self.raw
        mappings, functions = self.all_mappings(), self.all_functions()
        frames: Dict[Frame, Frame] = {}
        locations: Dict[int, Stack] = {}
        count = 0
        for start, end in self.locations.spans(self.late):
            ident = mapping = 0
            lines: List[Frame] = []
            at = start
            while at < end:
                begin = at
                number, wire, at = _tag(raw, at, end)
                if number in (1, 2):
                    if wire:
                        raise ProfileError("garbage", "a location: the field %d at byte %d has the wire type %d"
                                           % (number, begin, wire))
                    value, at = _varint(raw, at, end)
                    if number == 1:
                        ident = value
                    else:
                        mapping = value
                elif number == 4:
                    if wire != 2:
                        raise ProfileError("garbage", "a location: the field 4 at byte %d has the wire type %d" % (begin, wire))
                    begin, at = _length(raw, at, end, "a line")
                    function, line = _fields(raw, begin, at, "a line", (1, 2))
                    known = functions.get(function)
                    if known is None:
                        raise ProfileError("reference", "the location %d names the function %d, which is not there"
                                           % (ident, function))
                    frame = Frame(known[0], known[1], _signed(line))
                    lines.append(frames.setdefault(frame, frame))
                    count += 1
                    if count > MAX_ENTRIES:
                        raise ProfileError("too_big", "the locations have more than %d lines" % MAX_ENTRIES)
                else:
                    at = _skip(raw, at, end, number, wire)
            _check_id(ident, locations, "location")
            if not lines:
                frame = Frame(mappings.get(mapping, UNKNOWN), "", 0)
                lines.append(frames.setdefault(frame, frame))
            locations[ident] = tuple(lines)
        return locations

    def all_samples(self, width: int) -> List[Sample]:
        raw, locations = self.raw, _Known(self.all_locations())
        # Location ids -> stack: the bytes of a packed field as they are, a tuple for the other form (runtime/pprof
        # protobuf.go uint64s packs three and more).
        stacks: Dict[Union[bytes, Tuple[int, ...]], Stack] = {}
        label_sets: Dict[Tuple[bytes, ...], Mapping[str, str]] = {(): {}}
        samples: List[Sample] = []
        frames = 0
        for start, end in self.samples.spans(self.late):
            at = start
            packed: Optional[bytes] = None  # the ids, where they are one packed field: the usual form
            ids: List[int] = []
            values: List[int] = []
            labels: List[bytes] = []
            while at < end:
                begin = at
                tag = raw[at]
                at += 1
                if tag >= 0x80:
                    number, wire, at = _tag(raw, begin, end)
                    if number > 3:
                        at = _skip(raw, at, end, number, wire)
                        continue
                    tag = number << 3 | wire  # a tag that is longer than it had to be
                if tag == 0x0A or tag == 0x12 or tag == 0x1A:
                    size = raw[at] if at < end else 0x80
                    if size < 0x80 and at + size < end:
                        at += 1
                        stop = at + size
                    else:
                        at, stop = _length(raw, at, end, "a part of a sample")
                    if tag == 0x0A:
                        if packed is None and not ids:
                            packed = raw[at:stop]
                        else:
                            if packed is not None:
                                ids.extend(_packed(packed, 0, len(packed)))
                                packed = None
                            if stop > at:
                                ids.extend(_packed(raw, at, stop))
                    elif tag == 0x12:
                        if stop > at:
                            values.extend(_packed(raw, at, stop))
                    else:
                        labels.append(raw[at:stop])
                    at = stop
                elif tag == 0x10:
                    value, at = _varint(raw, at, end)
                    values.append(value)
                elif tag == 0x08:
                    value, at = _varint(raw, at, end)
                    if packed is not None:
                        ids.extend(_packed(packed, 0, len(packed)))
                        packed = None
                    ids.append(value)
                else:
                    number, wire, at = _tag(raw, begin, end)
                    if number in (1, 2, 3):
                        raise ProfileError("garbage", "a sample: the field %d at byte %d has the wire type %d"
                                           % (number, begin, wire))
                    at = _skip(raw, at, end, number, wire)
            if len(values) != width:
                raise ProfileError("values", "the sample at byte %d has %d values, the profile %d types"
                                   % (start, len(values), width))
            key = tuple(ids) if packed is None else packed
            stack = stacks.get(key)
            if stack is None:
                room = self.max_frames - frames
                try:
                    stack = tuple(islice(chain.from_iterable(locations.of(packed) if packed is not None else
                                                             [locations.by_id[ident] for ident in ids]), room + 1))
                except KeyError as error:
                    raise ProfileError("reference", "the sample at byte %d names the location %d, which is not there"
                                       % (start, error.args[0]))
                frames += len(stack)
                if len(stack) > room:
                    raise ProfileError("too_big", "the stacks have more than %d frames" % self.max_frames)
                stacks[key] = stack
            shown = label_sets.get(tuple(labels))
            if shown is None:
                if len(label_sets) > MAX_LABEL_SETS:
                    raise ProfileError("too_big", "the samples have more than %d different sets of labels" % MAX_LABEL_SETS)
                shown = label_sets[tuple(labels)] = self.label_set(labels) or label_sets[()]
            top = max(values)
            samples.append(Sample(stack, tuple(values) if top >> 63 == 0 else tuple(map(_signed, values)), shown))
        return samples

    def label_set(self, labels: Iterable[bytes]) -> Dict[str, str]:
        shown: Dict[str, str] = {}
        for label in labels:
            key, text = _fields(label, 0, len(label), "a label", (1, 2))
            name = self.string(key, "a label")
            if text:
                shown[name] = self.string(text, "the label %r" % name)
        return shown


def _a(what: str) -> str:
    return "a " + what


def _check_id(ident: int, known: Mapping[int, object], what: str) -> None:
    if not ident:
        raise ProfileError("reference", "a %s has the id 0, which means none" % what)
    if ident in known:
        raise ProfileError("reference", "two %ss have the id %d" % (what, ident))


_NUMBER = re.compile(rb"[\x80-\xff]*[\x00-\x7f]")


class _Known(Dict[bytes, Stack]):
    """Locations by the bytes of their id as it is in a packed field, which is decoded once and not in every stack."""

    def __init__(self, by_id: Mapping[int, Stack]) -> None:
        super().__init__()
        self.by_id = by_id

    def __missing__(self, number: bytes) -> Stack:
        found = self[number] = self.by_id[_packed(number, 0, len(number))[0]]
        return found

    def of(self, packed: bytes) -> Iterable[Stack]:
        """Raises KeyError with the id of a location that is not there."""
        if packed and packed[-1] >= 0x80:
            _packed(packed, 0, len(packed))  # raises
        return map(self.__getitem__, _NUMBER.findall(packed))


# ------------------------------------------------------------------------------------------------------------------ sums

def type_index(profile: Profile, name: str) -> int:
    """The index of the sample type ``name`` in the values of a sample. Raises :class:`ProfileError`."""
    for index, (kind, _unit) in enumerate(profile.sample_types):
        if kind == name:
            return index
    raise ProfileError("types", "the profile has no sample type %r; it has %s"
                       % (name, ", ".join(kind for kind, _unit in profile.sample_types)))


def default_index(profile: Profile) -> int:
    """The index of the sample type that ``go tool pprof`` shows unasked: the default, else the last (profile.go SampleIndexByName)."""
    for index, (kind, _unit) in enumerate(profile.sample_types):
        if kind == profile.default_sample_type:
            return index
    return len(profile.sample_types) - 1


def totals(profile: Profile) -> Dict[str, int]:
    """Sample type -> the sum of its values, in its unit."""
    columns = list(zip(*(sample.values for sample in profile.samples)))
    return {kind: sum(columns[index]) if columns else 0 for index, (kind, _unit) in enumerate(profile.sample_types)}


def sites(profile: Profile, types: Sequence[str], *, by: str = "line", name: Optional[Callable[[str], str]] = None) -> List[Site]:
    """What each line of code costs, in the types asked for; the dearest (flat, then cum) of the first type first.

    ``by="function"`` gives what each function costs, as ``go tool pprof -top`` shows it (file "" and line 0). A call that
    is in a stack more than once counts once for ``cum`` (pprof internal/graph/graph.go newGraph, seenNode). Sites of which
    every value is 0 are left out. ``name`` is what a function is called instead: frames that become equal are one site.
    Raises :class:`ProfileError` for a type that the profile has not.
    """
    if by not in ("line", "function"):
        raise ValueError("by is %r, not line or function" % by)
    columns = [type_index(profile, name) for name in types]
    # One pass over the different stacks, not over the samples.
    stacks: Dict[int, Tuple[Stack, List[int]]] = {}
    for sample in profile.samples:
        known = stacks.get(id(sample.stack))
        if known is None:
            stacks[id(sample.stack)] = (sample.stack, [sample.values[column] for column in columns])
        else:
            for position, column in enumerate(columns):
                known[1][position] += sample.values[column]
    used = [(stack, values) for stack, values in stacks.values() if stack and any(values)]
    # Frames of one profile are one object each, and an identity is found faster than a value. What is equal is one site.
    by_identity: Dict[int, Frame] = {}
    for stack, _values in used:
        by_identity.update(zip(map(id, stack), stack))
    numbers: Dict[int, int] = {}
    frames: Dict[Frame, int] = {}
    for identity, frame in by_identity.items():
        if name is not None:
            frame = frame._replace(function=name(frame.function))
        numbers[identity] = frames.setdefault(frame if by == "line" else Frame(frame.function, "", 0), len(frames))
    number_of = numbers.__getitem__
    # The values of all types side by side in one integer, so that one addition adds them all: a sum of 2**31 values of 64 bits
    # does not reach the next. The borrow of a negative one is given back by _unpack.
    flat = [0] * len(frames)
    cum = [0] * len(frames)
    for stack, values in used:
        packed = sum(value << _SPACING * position for position, value in enumerate(values))
        flat[number_of(id(stack[0]))] += packed
        for number in set(map(number_of, map(id, stack))):
            cum[number] += packed
    found = [Site(frame, _unpack(flat[number], len(columns)), _unpack(cum[number], len(columns)))
             for frame, number in frames.items() if flat[number] or cum[number]]
    if columns:
        found.sort(key=lambda site: (-site.flat[0], -site.cum[0], site.frame))
    return found


def _unpack(packed: int, width: int) -> Tuple[int, ...]:
    values = []
    for _position in range(width):
        value = packed & (1 << _SPACING) - 1
        if value >> _SPACING - 1:
            value -= 1 << _SPACING
        values.append(value)
        packed = packed - value >> _SPACING
    return tuple(values)


def merge_key(sample: Sample) -> Hashable:
    """Samples with the same key are one in a merged profile (pprof profile/merge.go): the same calls with the same labels."""
    return sample.stack, tuple(sorted(sample.labels.items()))


def difference(after: Profile, before: Profile) -> Profile:
    """What ``after`` has more (or, negative, less) than ``before``, stack by stack; equal stacks are left out.

    For two profiles of one process that count since its start or that show what there is (heap, allocs, goroutine, mutex,
    block): ``go tool pprof -diff_base``. Period, time and default type are those of ``after``, the duration is what lies
    between the two. Raises :class:`ProfileError` where the sample types differ.
    """
    if after.sample_types != before.sample_types:
        raise ProfileError("types", "profiles of different sample types cannot be compared: %s and %s"
                           % (_types(after), _types(before)))
    rows: Dict[Hashable, Tuple[Sample, List[int]]] = {}
    for sign, profile in ((1, after), (-1, before)):
        for sample in profile.samples:
            row = rows.get(merge_key(sample))
            if row is None:
                row = rows[merge_key(sample)] = (sample, [0] * len(profile.sample_types))
            for index, value in enumerate(sample.values):
                row[1][index] += sign * value
    samples = [Sample(sample.stack, tuple(values), sample.labels) for sample, values in rows.values() if any(values)]
    between = after.time_nanos - before.time_nanos if after.time_nanos and before.time_nanos else 0
    return Profile(sample_types=list(after.sample_types), default_sample_type=after.default_sample_type,
                   period_type=after.period_type, period=after.period, time_nanos=after.time_nanos,
                   duration_nanos=max(0, between), samples=samples)


def _types(profile: Profile) -> str:
    return ", ".join("%s/%s" % pair for pair in profile.sample_types)
