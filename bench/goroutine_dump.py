# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a goroutine dump is read, and in how much memory, beside a plain regular-expression version::

    python bench/goroutine_dump.py [--megabytes 50] [--rounds 3] [--shape recorded|leak|distinct]

A dump of so many megabytes is made of recorded stacks with other ids, arguments and ages (not measured). Each version reads
it in a process of its own, in turns; the best of the rounds counts, in seconds of processor time: what else runs on the machine
must not count. The peak of the resident memory is that of the whole process; `over_import_mb` is what it has more than one that
has only imported the module. Prints JSON. Exit status 1 where the target is missed: 80 MB/s in less than 64 MB.

``recorded``: every state of the recording in turn. ``leak``: one short stack, the worst case for what is done per goroutine.
``distinct``: each goroutine has a line of its own, so that nothing repeats: no
service is like that, and it has to be read in bounded memory, not fast.
"""
from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.goready.preflight.plugins.module_utils import goroutines  # noqa: E402

FIXTURE = ROOT / "tests/unit/fixtures/runtime/goroutines/1.27.3-amd64/goroutine.2.txt.gz"
SHAPES = ("recorded", "leak", "distinct")
TARGET_SPEED, TARGET_MEMORY = 80.0, 64.0
PIECE = 1 << 16

HEAD = re.compile(rb"^goroutine (\d+) \[([^\],]+)(?:, (\d+) minutes)?[^\]]*\][^\n]*:\n", re.MULTILINE)
FRAME = re.compile(rb"^(\S[^\n]*)\([^\n]*\)\n\t([^\n]+):(\d+)(?: \+0x[0-9a-f]+)?$", re.MULTILINE)
CREATED = re.compile(rb"^created by ([^\n]+?)(?: in goroutine \d+)?\n\t([^\n]+):(\d+)", re.MULTILINE)


def blocks(shape: str) -> Iterator[bytes]:
    chance = random.Random(1)
    recorded = gzip.decompress(FIXTURE.read_bytes()).rstrip(b"\n").split(b"\n\n")
    recorded = [block for block in recorded if b"elided" not in block]
    if shape == "leak":
        recorded = [block for block in recorded if b"main.sendUnbuffered" in block][:1]
    number = 0
    while True:
        for block in recorded:
            number += 1
            block = re.sub(rb"^goroutine \d+ \[([^\],]+)", lambda match, n=number: b"goroutine %d [%s%s" % (
                n, match.group(1), b", %d minutes" % (n // 1000) if n % 3 else b""), block, count=1)
            block = re.sub(rb"0x[0-9a-f]{6,}", lambda match: b"0xc%09x" % chance.randrange(1 << 34), block)
            block = re.sub(rb"in goroutine \d+", lambda match, n=number: b"in goroutine %d" % (n // 7), block)
            if shape == "distinct":
                block = re.sub(rb"\.go:\d+", lambda match, n=number: b".go:%d" % n, block, count=1)
            yield block


def generate(path: Path, shape: str, megabytes: float) -> None:
    with path.open("wb") as file:
        size = 0
        for block in blocks(shape):
            size += file.write(block + b"\n\n")
            if size >= megabytes * 1e6:
                file.write(block + b"\n")
                return


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(PIECE):
            yield chunk


def ours(path: Path) -> tuple[int, int]:
    dump = goroutines.parse_dump(pieces(path), "example.org/states", limit=1 << 40)
    return dump.total, len(dump.groups)


def plain(path: Path) -> tuple[int, int]:
    """The same by regular expressions, block by block: the counts, ids and ages of stacks without ids and arguments."""
    counts: Counter[bytes] = Counter()
    ids: dict[bytes, list[int]] = {}
    ages: dict[bytes, int] = {}
    total, tail = 0, b""
    for chunk in pieces(path):
        parts = (tail + chunk).split(b"\n\n")
        tail = parts.pop()
        for part in parts:
            total += plain_block(part, counts, ids, ages)
    total += plain_block(tail, counts, ids, ages)
    return total, len(counts)


def plain_block(block: bytes, counts: Counter[bytes], ids: dict[bytes, list[int]], ages: dict[bytes, int]) -> int:
    head = HEAD.match(block)
    if not head:
        return 0
    key = b"\n".join(b" ".join(frame) for frame in FRAME.findall(block, head.end()))
    counts[key] += 1
    ids.setdefault(key, []).append(int(head.group(1)))
    ages[key] = max(ages.get(key, 0), int(head.group(3) or 0))
    return 1


READERS = {"ours": ours, "plain": plain, "nothing": lambda path: (0, 0)}


def child(name: str, path: Path) -> None:
    begin = time.process_time()
    total, groups = READERS[name](path)
    seconds = time.process_time() - begin
    print(json.dumps({"seconds": seconds, "goroutines": total, "groups": groups,
                      "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def measure(name: str, path: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--child", name, str(path)], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]))
        return 0
    result: dict[str, Any] = {}
    good = True
    with tempfile.TemporaryDirectory() as directory:
        for shape in options.shape or ["recorded", "leak"]:
            path = Path(directory) / shape
            generate(path, shape, options.megabytes)
            size = path.stat().st_size / 1e6
            empty = measure("nothing", path)["peak"]
            rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "plain": []}
            for _round in range(options.rounds):
                for name, done in rounds.items():
                    done.append(measure(name, path))
            best = {name: min(done, key=lambda one: one["seconds"]) for name, done in rounds.items()}
            result[shape] = {"megabytes": round(size, 1), **{
                name: {"mb_per_s": round(size / one["seconds"], 1), "peak_mb": round(one["peak"], 1),
                       "over_import_mb": round(one["peak"] - empty, 1), "goroutines": one["goroutines"], "groups": one["groups"]}
                for name, one in best.items()}, "ratio": round(best["plain"]["seconds"] / best["ours"]["seconds"], 2)}
            speed, memory = result[shape]["ours"]["mb_per_s"], result[shape]["ours"]["peak_mb"]
            good = good and memory < TARGET_MEMORY and (shape == "distinct" or speed >= TARGET_SPEED)
            path.unlink()
    result["target"] = {"mb_per_s": TARGET_SPEED, "peak_mb": TARGET_MEMORY, "met": good}
    print(json.dumps(result, indent=2))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
