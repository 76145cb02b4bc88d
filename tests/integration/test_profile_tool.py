# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ``go tool pprof`` of Go 1.27.3 and ours on the same files (the unit test compares with what was recorded)."""
from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from ansible_collections.goready.preflight.plugins.module_utils import profile

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "tests" / "unit" / "fixtures" / "runtime" / "profiles"
VERSION = "1.27.3"
VALUE = r"(-?\d+)(?:B|ns)?"
ROW = re.compile(rf"\s*{VALUE}\s+\S+%\s+\S+%\s+{VALUE}\s+\S+%\s{{2}}(.*?)(?: \((?:partial-)?inline\))?")
UNITS = {"bytes": "B", "nanoseconds": "ns", "count": "count"}


@pytest.fixture(scope="module")
def pprof(tmp_path_factory):
    """``pprof(argument, ...)`` -> what the tool printed."""
    spec = importlib.util.spec_from_file_location("profiles_record", PROFILES / "record.py")
    record = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(record)
    goroot = record.build_service.sdk(VERSION, record.build_service.native())
    work = tmp_path_factory.mktemp("pprof")
    environ = record.environment(goroot, work)
    # `go tool pprof` looks at all its sources in each of its calls; this is what it runs then.
    subprocess.run([goroot / "bin" / "go", "build", "-o", work / "pprof", "cmd/pprof"], env=environ, timeout=600, check=True)

    def run(*arguments: str | Path) -> str:
        command = [work / "pprof", "-symbolize=none", "-trim_path=/nowhere", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=True).stdout

    return run


def rows(text: str) -> dict[str, tuple[int, int]]:
    """Name -> (flat, cum) of ``-top``; what is 0 in both is left out."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.split()[:1] == ["flat"]) + 1
    matches = [ROW.fullmatch(line) for line in lines[start:]]
    assert matches and all(matches), text
    found = {match[3]: (int(match[1]), int(match[2])) for match in matches}
    return {name: values for name, values in found.items() if any(values)}


def ours(parsed: profile.Profile, index: int, by: str) -> dict[str, tuple[int, int]]:
    found = profile.sites(parsed, [parsed.sample_types[index][0]], by=by)
    return {site.frame.function + (f" {site.frame.file}:{site.frame.line}" if site.frame.line else ""): (site.flat[0], site.cum[0])
            for site in found}


def top(parsed: profile.Profile, index: int, by: str) -> list[str]:
    kind, unit = parsed.sample_types[index]
    return ["-top", "-nodecount=100000", "-nodefraction=0", "-edgefraction=0", f"-sample_index={kind}", f"-unit={UNITS[unit]}", f"-{by}s"]


@pytest.mark.parametrize("version", ["1.21.13", "1.27.3"])
@pytest.mark.parametrize("kind", ["heap", "allocs", "goroutine", "mutex", "block", "profile"])
def test_the_tool_and_we_agree(pprof, version: str, kind: str) -> None:
    path = PROFILES / f"go{version}" / f"{kind}.pb.gz"
    parsed = profile.parse(path.read_bytes())
    index = profile.default_index(parsed)
    for by in ("function", "line"):
        assert ours(parsed, index, by) == rows(pprof(*top(parsed, index, by), path))
    # -raw prints the samples as they are: one row a sample, values before the colon.
    raw = pprof("-raw", path).split("Samples:\n", 1)[1].split("\nLocations\n", 1)[0]
    values = [tuple(map(int, match[1].split())) for match in re.finditer(r"^ *((?:-?\d+ +)*-?\d+):", raw, re.MULTILINE)]
    assert values == [sample.values for sample in parsed.samples]


def test_the_difference_is_that_of_diff_base(pprof) -> None:
    before, after = (PROFILES / f"go{VERSION}" / f"{kind}.pb.gz" for kind in ("heap", "allocs"))
    grown = profile.difference(profile.parse(after.read_bytes()), profile.parse(before.read_bytes()))
    assert grown.samples
    for index in range(4):
        assert ours(grown, index, "line") == rows(pprof(*top(grown, index, "line"), f"-diff_base={before}", after))
