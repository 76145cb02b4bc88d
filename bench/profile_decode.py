# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast profiles are decoded and summed, as JSON on stdout.

    PYTHONPATH=collections python bench/profile_decode.py [--samples 60000] [--runs 5] [FILE.pb.gz ...]

Without files it makes a heap profile as runtime/pprof writes one: four values and a numeric label a sample, stacks of 5 to
64 calls that share their roots, every eighth sample on a stack that was there before. The best of the runs counts.
"""
from __future__ import annotations

import argparse
import gzip
import json
import platform
import random
import sys
import time
import tracemalloc
from pathlib import Path

from ansible_collections.goready.preflight.plugins.module_utils import profile


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def numbers(number: int, values: list[int]) -> bytes:
    return message(number, b"".join(map(varint, values)))


def heap(samples: int, seed: int = 1) -> bytes:
    """A heap profile of so many samples, decompressed."""
    rng = random.Random(seed)
    strings = ["", "alloc_objects", "count", "alloc_space", "bytes", "inuse_objects", "inuse_space", "space"]
    parts = [message(1, b"\x08" + varint(kind) + b"\x10" + varint(unit)) for kind, unit in ((1, 2), (3, 4), (5, 2), (6, 4))]
    parts += [message(11, b"\x08\x07\x10\x04"), b"\x60" + varint(524288)]
    locations = 12000
    stacks: list[list[int]] = []
    for _number in range(samples):
        if stacks and rng.random() < 0.125:
            stack = rng.choice(stacks)
        elif stacks and rng.random() < 0.8:
            # Another leaf below calls that are known.
            known = rng.choice(stacks)
            root = known[rng.randrange(len(known)):]
            stack = ([rng.randrange(1, locations + 1) for _call in range(rng.randrange(3, 30))] + root)[-64:]
            stacks.append(stack)
        else:
            stack = [rng.randrange(1, locations + 1) for _call in range(rng.randrange(5, 65))]
            stacks.append(stack)
        objects, size = rng.randrange(1, 500), 16 << rng.randrange(12)
        parts.append(message(2, numbers(2, [objects * 2, objects * size * 2, objects, objects * size]) + numbers(1, stack)
                             + message(3, b"\x08\x04\x18" + varint(size))))
    for ident in range(1, locations + 1):
        lines = b"".join(message(4, b"\x08" + varint((ident + offset) % 6000 + 1) + b"\x10" + varint(ident % 900 + 1))
                         for offset in range(2 if ident % 5 == 0 else 1))
        parts.append(message(4, b"\x08" + varint(ident) + b"\x18" + varint(0x400000 + ident * 16) + lines))
    for ident in range(1, 6001):
        strings += [f"example.org/service/internal/part{ident % 97}.(*Handler{ident}).Serve",
                    f"example.org/service/internal/part{ident % 97}/file{ident % 11}.go"]
        parts.append(message(5, b"\x08" + varint(ident) + b"\x10" + varint(len(strings) - 2) + b"\x20" + varint(len(strings) - 1)))
    parts += [message(6, text.encode()) for text in strings]
    return b"".join(parts)


def measure(name: str, data: bytes, runs: int) -> dict[str, object]:
    best = {"inflate": 1e9, "decode": 1e9, "totals": 1e9, "sites": 1e9, "functions": 1e9}
    raw, decoded, size = b"", profile.Profile([]), 0
    for _run in range(runs):
        marks = [time.process_time()]
        raw = profile.inflate(data)
        marks.append(time.process_time())
        decoded = profile.decode(raw)
        marks.append(time.process_time())
        profile.totals(decoded)
        marks.append(time.process_time())
        types = [kind for kind, _unit in decoded.sample_types]
        size = len(profile.sites(decoded, types))
        marks.append(time.process_time())
        profile.sites(decoded, types, by="function")
        marks.append(time.process_time())
        for key, start, end in zip(best, marks, marks[1:]):
            best[key] = min(best[key], end - start)
    del decoded
    tracemalloc.start()
    decoded = profile.decode(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"profile": name, "bytes": len(data), "decompressed_bytes": len(raw), "samples": len(decoded.samples), "sites": size,
            "stacks": len({id(sample.stack) for sample in decoded.samples}),
            "seconds": {key: round(value, 4) for key, value in best.items()},
            "decode_mb_per_second": round(len(raw) / 1e6 / best["decode"], 2),
            "decode_samples_per_second": round(len(decoded.samples) / best["decode"]),
            "decode_peak_bytes": peak}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--samples", type=int, default=60000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    given = [(path.name, path.read_bytes()) for path in options.files]
    if not given:
        given = [(f"heap of {options.samples} samples", gzip.compress(heap(options.samples), 1, mtime=0))]
    print(json.dumps({"python": platform.python_version(), "machine": platform.machine(),
                      "results": [measure(name, data, options.runs) for name, data in given]}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
