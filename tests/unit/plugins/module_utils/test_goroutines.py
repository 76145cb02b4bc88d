# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three forms of a goroutine profile."""
from __future__ import annotations

import gzip
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import goroutines, profile
from ansible_collections.goready.preflight.plugins.module_utils.goroutines import Frame, GoroutineError, Group

FIXTURES = Path(__file__).parents[2] / "fixtures" / "runtime" / "goroutines"
RECORDED = sorted(path.name for path in FIXTURES.iterdir() if (path / "goroutine.0.pb.gz").exists())
WITH_LEAKS = [name for name in RECORDED if (FIXTURES / name / "goroutineleak.0.pb.gz").exists()]
MODULE = "example.org/states"
MAIN = "example.org/states/main.go"


def read(recorded: str, name: str) -> bytes:
    data = (FIXTURES / recorded / name).read_bytes()
    return data if name.endswith(".pb.gz") else gzip.decompress(data)


def proto(recorded: str, kind: str = "goroutine") -> list[Group]:
    return goroutines.from_profile(profile.parse(read(recorded, kind + ".0.pb.gz")), MODULE)


def text(recorded: str, kind: str = "goroutine") -> goroutines.TextProfile:
    return goroutines.parse_text(read(recorded, kind + ".1.txt.gz"), MODULE)


def dump(recorded: str, kind: str = "goroutine") -> goroutines.Dump:
    return goroutines.parse_dump([read(recorded, kind + ".2.txt.gz")], MODULE)


def counts(groups: list[Group]) -> dict[str, int]:
    """Without the goroutine that makes the profile: each form catches it at another line."""
    return {group.fingerprint: group.count for group in groups if not group.profiler}


def of(groups: list[Group], function: str) -> Group:
    """The one group that has a function as its first own frame."""
    found = [group for group in groups if group.own and group.own.function == function]
    assert len(found) == 1, (function, found)
    return found[0]


# --------------------------------------------------------------------------------------------------------- the three forms

def test_recordings_are_there() -> None:
    assert set(RECORDED) >= {"1.21.13-amd64", "1.24.11-amd64", "1.26.4-amd64", "1.27.3-amd64", "1.27.3-arm64", "1.21.13-arm64"}
    assert {name.split("-")[0] for name in WITH_LEAKS} == {"1.26.4", "1.27.3"}


@pytest.mark.parametrize("recorded", RECORDED)
def test_forms_agree(recorded: str) -> None:
    zero, one, two = proto(recorded), text(recorded), dump(recorded)
    assert counts(zero) == counts(one.groups) == counts(two.groups)
    assert sum(group.count for group in zero) == one.total == two.total
    assert (one.complete, two.complete, two.why) == (True, True, None)
    assert len(counts(zero)) >= 44


@pytest.mark.parametrize("recorded", RECORDED)
def test_classes_and_frames_agree(recorded: str) -> None:
    zero = {group.fingerprint: group for group in proto(recorded)}
    one = {group.fingerprint: group for group in text(recorded).groups}
    for group in dump(recorded).groups:
        if group.profiler:
            continue
        first, second = zero[group.fingerprint], one[group.fingerprint]
        assert group.cls == first.cls, group
        assert second.cls in (group.cls, "other"), group  # debug=1 has no frames of the runtime
        shared = goroutines.FINGERPRINTED
        assert group.frames[:shared] == first.frames[:shared] == second.frames[:shared]
        assert first.wait in (None, group.wait)
        assert group.created_by is not None or group.own is not None


@pytest.mark.parametrize("recorded", RECORDED)
@pytest.mark.parametrize(("function", "cls", "wait"), [
    ("main.sendUnbuffered", "chan_send", "chan send"),
    ("main.rangeOverChannel", "chan_receive", "chan receive"),
    ("main.sendNil", "chan_send", "chan send (nil chan)"),
    ("main.receiveNil", "chan_receive", "chan receive (nil chan)"),
    ("main.selectNone", "select", "select (no cases)"),
    ("main.selectTwo", "select", "select"),
    ("main.waitForTimer", "chan_receive", "chan receive"),
    ("main.sleeping", "sleep", "sleep"),
    ("main.lockMutex", "lock", "sync.Mutex.Lock"),
    ("main.lockRead", "lock", "sync.RWMutex.RLock"),
    ("main.waitGroup", "wait_group", None),  # semacquire up to Go 1.23
    ("main.waitCond", "cond", "sync.Cond.Wait"),
    ("main.readPipe", "syscall", "syscall"),
    ("main.reflectedSend", "chan_send", "chan send"),
    ("main.reflectedSelect", "select", "select"),
    ("main.lockedToThread", "chan_receive", "chan receive"),
    ("main.spinning", "running", "runnable"),
])
def test_class(recorded: str, function: str, cls: str, wait: str | None) -> None:
    parsed = dump(recorded)
    group, first = of(parsed.groups, function), of(proto(recorded), function)
    assert (group.cls, first.cls) == (cls, cls)
    expected = wait or ("semacquire" if recorded.startswith("1.21") else "sync.WaitGroup.Wait")
    assert parsed.waits[group.fingerprint] == {expected: group.count}
    assert group.wait == expected
    # What a profile without a dump tells for sure.
    assert first.wait == (wait if wait and wait.endswith(")") else None)


def test_classes_without_own_code() -> None:
    for recorded in RECORDED:
        found = {group.frames[0].function: group.cls for group in proto(recorded)}
        assert (found["internal/poll.runtime_pollWait"], found["os/signal.signal_recv"]) == ("io", "syscall")
        if "iter.Pull[...].func1.1" in found:
            assert found["iter.Pull[...].func1.1"] == "other"


def test_cgo() -> None:
    groups = dump("1.27.3-cgo").groups
    inside = of(groups, "main._Cfunc_sleepInC")
    assert (inside.cls, inside.frames[0].file, of(groups, "main.goBack").cls) == ("syscall", "_cgo_gotypes.go", "chan_receive")
    assert of(proto("1.27.3-cgo"), "main._Cfunc_sleepInC").cls == of(text("1.27.3-cgo").groups, "main._Cfunc_sleepInC").cls == "syscall"


@pytest.mark.parametrize("recorded", RECORDED)
def test_frames(recorded: str) -> None:
    parsed = dump(recorded)
    groups = parsed.groups
    send = of(groups, "main.sendUnbuffered")
    assert send.count == 3
    assert send.frames == (Frame("main.sendUnbuffered", MAIN, 28, "own"),)
    assert send.created_by is not None
    assert send.created_by[:2] == ("main.main", MAIN)
    assert send.created_by.origin == "own"
    # One group for three instances of a generic function; a method value and the wrapper of a promoted method are not shown.
    assert of(groups, "main.generic[...]").count == 9
    assert [frame.function for frame in of(groups, "main.base.method").frames] == ["main.base.method"]
    assert (of(groups, "main.(*base).Wait").count, len(of(groups, "main.(*base).Wait").frames)) == (6, 1)
    deferred = of(groups, "main.inDefer.func1")
    assert [frame.function for frame in deferred.frames] == ["main.inDefer.func1", "main.inDefer"]  # without panic between
    assert of(groups, "main.inlinedInner").frames[1].function == "main.inlined"
    dependency = next(group for group in groups if group.frames[0].function == "gopkg.in/dep%2ev2.Wait")
    assert (dependency.frames[0].origin, dependency.own) == ("dependency", None)
    assert of(groups, f"{MODULE}/inner.Wait").frames[0].origin == "own"
    # deep(300) has 301 frames: the text shows 50 from each end.
    assert parsed.elided == 3


@pytest.mark.parametrize("recorded", RECORDED)
def test_ids_ages_and_marks(recorded: str) -> None:
    parsed = dump(recorded)
    whole = read(recorded, "goroutine.2.txt.gz")
    expected = sorted(int(number) for number in re.findall(rb"(?m)^goroutine (\d+) ", whole))
    assert sorted(number for ids in parsed.ids.values() for number in ids) == expected
    for group in parsed.groups:
        assert len(parsed.ids[group.fingerprint]) == group.count == sum(parsed.waits[group.fingerprint].values())
    assert parsed.minutes[of(parsed.groups, "main.sendUnbuffered").fingerprint] == 1
    assert parsed.minutes[of(parsed.groups, "main.spinning").fingerprint] is None
    assert parsed.locked[of(parsed.groups, "main.lockedToThread").fingerprint] == 1
    assert (parsed.leaked, parsed.bubble, parsed.durable, parsed.left_out) == ({}, {}, {}, 0)
    assert parsed.size == len(whole)


@pytest.mark.parametrize("recorded", WITH_LEAKS)
def test_leaks(recorded: str) -> None:
    """debug=0 and debug=1 list the leaked goroutines only, debug=2 all of them with a mark."""
    zero, one, two = proto(recorded, "goroutineleak"), text(recorded, "goroutineleak"), dump(recorded, "goroutineleak")
    leaked = {group.fingerprint: group.count for group in zero}
    assert leaked == {group.fingerprint: group.count for group in one.groups} == two.leaked
    assert (one.name, one.total, one.complete) == ("goroutineleak", sum(leaked.values()), True)
    assert two.total > one.total
    before = counts(proto(recorded))
    assert all(0 < count <= before[mark] for mark, count in leaked.items())
    functions = {group.own.function for group in zero if group.own}
    assert functions >= {"main.sendUnbuffered", "main.receiveUnbuffered", "main.sendNil", "main.selectNone", "main.waitGroup",
                         "main.waitCond"}
    # What something still reachable could wake is none: the locks are held by main, the context can be cancelled.
    assert not functions & {"main.lockMutex", "main.lockRead", "main.waitForContext", "main.sleeping", "main.readPipe", "main.spinning"}
    # (leaked) is no part of the wait reason, and the class stays.
    send = of(two.groups, "main.sendUnbuffered")
    assert (send.wait, send.cls, of(zero, "main.sendUnbuffered").cls) == ("chan send", "chan_send", "chan_send")
    assert two.minutes[send.fingerprint] is None


def test_architectures_have_the_same_fingerprints() -> None:
    """But for what lies in files of one architecture, and what runs."""
    for version in ("1.21.13", "1.27.3"):
        amd, arm = proto(version + "-amd64"), dump(version + "-arm64").groups
        common = [{mark: count for group in groups for mark, count in counts([group]).items() if group.cls not in ("syscall", "running")}
                  for groups in (amd, arm)]
        assert common[0] == common[1]
        assert len(common[0]) > 40


def test_module_that_is_not_known() -> None:
    groups = goroutines.parse_dump([read("1.27.3-amd64", "goroutine.2.txt.gz")]).groups
    inner = next(group for group in groups if group.frames[0].function.endswith("/inner.Wait"))
    assert (inner.frames[0].origin, of(groups, "main.sendUnbuffered").count) == ("dependency", 3)


def test_facts() -> None:
    group = Group("0123456789abcdef", "chan_send", (Frame("main.f", "/src/main.go", 3, "own"),),
                  Frame("main.main", "/src/main.go", 9, "own"), "chan send", 7)
    assert group.facts() == {"class": "chan_send", "frames": [["main.f", "/src/main.go", 3, "own"]],
                             "created_by": ["main.main", "/src/main.go", 9, "own"], "wait": "chan send"}
    assert Group("", "running", (), None, None, 1).facts() == {"class": "running", "frames": [], "created_by": None, "wait": None}


# -------------------------------------------------------------------------------------------------------------- rare forms

def test_bubble() -> None:
    parsed = goroutines.parse_dump([(FIXTURES / "forms/bubble.txt").read_bytes()], "example.org/forms")
    assert parsed.complete
    bubble = {group.wait: (parsed.bubble.get(group.fingerprint), parsed.durable.get(group.fingerprint)) for group in parsed.groups}
    assert bubble["synctest.Run"] == (1, 1)
    assert bubble["running"] == (1, None)
    assert bubble["chan send"] == bubble["sleep"] == bubble["sync.WaitGroup.Wait"] == (1, 1)


def test_ancestors_are_no_frames() -> None:
    parsed = goroutines.parse_dump([(FIXTURES / "forms/ancestors.txt").read_bytes()], "example.org/forms/crash")
    leaf = of(parsed.groups, "main.leaf")
    assert ([frame.function for frame in leaf.frames], leaf.created_by and leaf.created_by.function) == (["main.leaf"], "main.middle")
    assert (parsed.total, parsed.complete) == (4, True)


def test_all_frames_of_a_crash() -> None:
    """With GOTRACEBACK=system the text has the runtime's frames, wrappers and goroutines, and a line in front."""
    parsed = goroutines.parse_dump([(FIXTURES / "forms/system.txt").read_bytes()])
    other = goroutines.parse_dump([(FIXTURES / "forms/ancestors.txt").read_bytes()])
    for function in ("main.leaf", "main.middle", "main.inner.Wait"):
        assert of(parsed.groups, function).fingerprint == of(other.groups, function).fingerprint
    system = [group for group in parsed.groups if group.frames[0].origin == "runtime"]
    assert {group.cls for group in system} == {"runtime"}
    assert (parsed.complete, parsed.why) == (False, "'panic: on purpose' is no goroutine")


def one(header: str, body: str = "main.f(0x1)\n\t/src/main.go:3 +0x1d\n") -> goroutines.Dump:
    return goroutines.parse_dump([(header + "\n" + body).encode()])


@pytest.mark.parametrize(("header", "wait", "cls", "minutes", "flags"), [
    ("goroutine 7 [chan receive (nil chan)]:", "chan receive (nil chan)", "chan_receive", None, ""),
    ("goroutine 7 [chan send (nil chan) (leaked)]:", "chan send (nil chan)", "chan_send", None, "leaked"),
    ("goroutine 7 [select (leaked) (scan)]:", "select", "select", None, "leaked"),
    ("goroutine 7 [select (scan), 12 minutes, locked to thread]:", "select", "select", 12, "locked"),
    ("goroutine 7 [chan receive (synctest), synctest bubble 3]:", "chan receive", "chan_receive", None, "bubble durable"),
    ("goroutine 7 [sync.WaitGroup.Wait (durable), 3 minutes, synctest bubble 3]:", "sync.WaitGroup.Wait", "wait_group", 3,
     "bubble durable"),
    ("goroutine 7 [select labels:{\"a\": \"b]:\"}]:", "select", "select", None, ""),
    ("goroutine 7 [IO wait, 4 minutes] {a: \"x]: y\", b: c}:", "IO wait", "io", 4, ""),
    ("goroutine 7 gp=0xc000002380 m=0 mp=0x5ed5e0 [force gc (idle)]:", "force gc (idle)", "runtime", None, ""),
    ("goroutine 7 gp=0xc000002380 m=nil [GC worker (idle), 2 minutes]:", "GC worker (idle)", "runtime", 2, ""),
    ("goroutine 7 [leaked (leaked)]:", "leaked", "other", None, "leaked"),
    ("goroutine 7 [???]:", "???", "other", None, ""),
    ("goroutine 7 [a reason of a later Go]:", "a reason of a later Go", "other", None, ""),
    ("goroutine 7 [waiting for cgo callback]:", "waiting for cgo callback", "runtime", None, ""),
])
def test_header(header: str, wait: str, cls: str, minutes: int | None, flags: str) -> None:
    parsed = one(header)
    (group,) = parsed.groups
    mark = group.fingerprint
    assert (parsed.complete, parsed.total, parsed.ids) == (True, 1, {mark: [7]})
    assert (group.wait, group.cls, parsed.minutes[mark]) == (wait, cls, minutes)
    found = {"leaked": parsed.leaked, "locked": parsed.locked, "bubble": parsed.bubble, "durable": parsed.durable}
    assert {name for name, where in found.items() if where} == set(flags.split())


@pytest.mark.parametrize(("body", "functions"), [
    ("\tgoroutine running on other thread; stack unavailable\ncreated by main.main in goroutine 1\n\t/src/main.go:9 +0x2\n", []),
    ("non-Go function at pc=0x1234\nmain.f(...)\n\t/src/main.go:3\n", ["main.f"]),
    ("sleep\n\t/src/c.c:3 pc=0x1234\nmain._Cfunc_f(0x1)\n\t_cgo_gotypes.go:3 +0x1\n", ["main._Cfunc_f"]),
    ("main.f({0x1, 0x2}, 0x3?, _)\n\t/a b/c:d/main.go:3 +0x1d fp=0x1 sp=0x2 pc=0x3\n", ["main.f"]),
    ("main.f(0x1)\n\tC:/src/main.go:3 +0x1d\n...300 frames elided...\nmain.g(0x1)\n\tC:/src/main.go:4 +0x1d\n", ["main.f", "main.g"]),
    ("main.f(0x1)\n\t/src/main.go:3 +0x1d\n...additional frames elided...\n", ["main.f"]),
    ("main.(*T[...]).m-fm()\n\t/src/main.go:3 +0x1d\nmain.f(0x1)\n\t<autogenerated>:1 +0x1d\nmain.g.gowrap1()\n\t/src/main.go:3\n"
     "crosscall2(0x1)\n\t/src/asm.s:3\nmain.last()\n\t/src/main.go:7\n", ["main.last"]),
])
def test_stack(body: str, functions: list[str]) -> None:
    parsed = one("goroutine 7 [running]:", body)
    (group,) = parsed.groups
    assert ([frame.function for frame in group.frames], parsed.complete) == (functions, True)
    assert parsed.elided == ("elided" in body)


def test_the_highest_age_counts() -> None:
    block = "goroutine %d [select, %d minutes]:\nmain.f()\n\t/src/main.go:3 +0x1\n"
    whole = "\n".join([*(block % one for one in ((5, 7), (6, 90), (8, 8))), "goroutine 9 [select]:\nmain.f()\n\t/src/main.go:3 +0x1\n"])
    parsed = goroutines.parse_dump([whole.encode()])
    (mark,) = parsed.ids
    assert (parsed.minutes, parsed.waits, parsed.ids) == ({mark: 90}, {mark: {"select": 4}}, {mark: [5, 6, 8, 9]})


def test_creator_by_majority() -> None:
    block = "goroutine %d [select]:\nmain.f()\n\t/src/main.go:3 +0x1\ncreated by main.%s in goroutine 1\n\t/src/main.go:%d +0x1\n"
    whole = "\n".join(block % one for one in ((5, "a", 7), (6, "b", 8), (9, "b", 8)))
    (group,) = goroutines.parse_dump([whole.encode()], "example.org/x").groups
    assert (group.count, group.created_by) == (3, Frame("main.b", "/src/main.go", 8, "own"))


def test_many_stacks_of_one_creator() -> None:
    """More than the near list holds: all are told apart, also functions of one place."""
    block = "goroutine %d [select]:\nmain.f%d(0x%x)\n\t/src/main.go:%d +0x1\ncreated by main.main in goroutine %d\n\t/src/main.go:8 +0x1\n"
    whole = "\n".join(block % (number, number % 30, number, number % 10, number) for number in range(1, 601))
    groups = goroutines.parse_dump([whole.encode()]).groups
    assert [group.count for group in groups] == [20] * 30
    assert {group.frames[0].function for group in groups} == {"main.f%d" % number for number in range(30)}


# ---------------------------------------------------------------------------------------------------------- names, origin

@pytest.mark.parametrize(("function", "path", "expected"), [
    ("main.main.func1", "main", "own"),
    ("example.org/api/store.(*DB).Get", "example.org/api/store", "own"),
    ("example.org/api.Run", "example.org/api", "own"),
    ("example.org/api_test.TestRun", "example.org/api_test", "own"),
    ("example.org/apis.Run", "example.org/apis", "dependency"),
    ("github.com/lib/pq.(*conn).query", "github.com/lib/pq", "dependency"),
    ("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml.v3", "dependency"),
    ("example.org/api/vendor/github.com/lib/pq.Open", "example.org/api/vendor/github.com/lib/pq", "dependency"),
    ("vendor/golang.org/x/net/http2/hpack.Decode", "vendor/golang.org/x/net/http2/hpack", "std"),
    ("net/http.(*conn).serve", "net/http", "std"),
    ("sync.runtime_Semacquire", "sync", "std"),
    ("runtime/pprof.writeGoroutine", "runtime/pprof", "std"),
    ("iter.Pull[go.shape.struct { example.org/api.X int }].func1", "iter", "std"),
    ("runtime.gopark", "runtime", "runtime"),
    ("internal/runtime/maps.newTable", "internal/runtime/maps", "runtime"),
    ("runtime/internal/syscall.Syscall6", "runtime/internal/syscall", "runtime"),
    ("runtime/cgo.unwindm", "runtime/cgo", "runtime"),
    ("crosscall2", "", "runtime"),
    ("panic", "", "runtime"),
    ("", "", "runtime"),
])
def test_origin(function: str, path: str, expected: str) -> None:
    assert (goroutines.package(function), goroutines.origin(function, "example.org/api")) == (path, expected)


@pytest.mark.parametrize(("module", "expected"), [("leaky", "own"), (None, "std"), ("leak", "std")])
def test_module_without_a_dot(module: str | None, expected: str) -> None:
    assert goroutines.origin("leaky/store.Get", module) == expected


@pytest.mark.parametrize(("long", "expected"), [
    ("main.(*box[go.shape.int]).wait", "main.(*box[...]).wait"),
    ("main.f[go.shape.[]string]", "main.f[...]"),
    ("main.f[go.shape.map[string][]int].func1", "main.f[...].func1"),
    ("main.(*box[go.shape.int]).put[go.shape.[4]int]", "main.(*box[...]).put[...]"),
    ("main.f", "main.f"),
    ("main.f[", "main.f["),
    ("main.f]", "main.f]"),
])
def test_short(long: str, expected: str) -> None:
    assert goroutines.short(long) == expected
    assert goroutines.short(expected) == expected
    place = ("/src/main.go", 3)
    assert goroutines.fingerprint([(long, *place)]) == goroutines.fingerprint([(expected, *place)])


def test_fingerprint() -> None:
    frames = [("runtime.gopark", "/go/proc.go", 1), ("main.f", "/src/main.go", 3), ("runtime.call32", "/go/asm.s", 4),
              ("main.g", "/src/main.go", 5)]
    # sha256("main.f /src/main.go:3\nmain.g /src/main.go:5")
    assert goroutines.fingerprint(frames) == goroutines.fingerprint([frames[1], frames[3]]) == "34c789715526a18f"
    assert goroutines.fingerprint(frames) != goroutines.fingerprint(reversed(frames))
    many = [("main.f", "/src/main.go", number) for number in range(60)]
    assert goroutines.fingerprint(many) == goroutines.fingerprint(many[:24]) != goroutines.fingerprint(many[:23])


@pytest.mark.parametrize(("reason", "functions", "expected"), [
    ("semacquire", ["sync.runtime_Semacquire", "sync.(*WaitGroup).Wait"], "wait_group"),
    ("semacquire", ["sync.runtime_Semacquire", "sync.(*Pool).pinSlow"], "lock"),
    ("semacquire", ["internal/poll.runtime_Semacquire", "internal/poll.(*fdMutex).rwlock"], "lock"),
    ("semacquire", ["runtime.ReadMemStats", "main.f"], "runtime"),
    ("semacquire", [], "lock"),
    ("waiting", ["time.Sleep"], "sleep"),
    ("waiting", ["main.f"], "other"),
    ("sync.RWMutex.Lock", [], "lock"),
    ("nothing that is known", ["time.Sleep"], "other"),
])
def test_class_of_wait(reason: str, functions: list[str], expected: str) -> None:
    assert goroutines.class_of_wait(reason, [(name, "", 0) for name in functions]) == expected


@pytest.mark.parametrize(("functions", "expected"), [
    (["runtime.gopark", "runtime.gcParkAssist", "runtime.gcAssistAlloc", "runtime.mallocgc", "main.f"], "runtime"),
    (["runtime.gopark", "runtime.semacquire1", "runtime.semacquire", "runtime.stopTheWorld", "runtime.ReadMemStats", "main.f"], "runtime"),
    (["runtime.gopark", "internal/synctest.Run", "main.f"], "other"),
    (["runtime.asyncPreempt2", "runtime.asyncPreempt", "main.f"], "running"),
    (["runtime.ReadMemStats", "main.f"], "running"),
    (["main.f"], "running"),
    (["runtime.gopark", "runtime.runfinq", "runtime.goexit"], "runtime"),
    (["runtime.cgocall", "main._Cfunc_f", "main.f"], "syscall"),
    (["runtime.cgocall", "main._cgo_of_a_later_go", "main.f"], "syscall"),
    (["net._C2func_getaddrinfo", "net.cgoLookupHostIP"], "syscall"),
    (["syscall.Syscall6", "syscall.read", "main.f"], "syscall"),
    (["internal/runtime/syscall.Syscall6", "syscall.RawSyscall6", "main.f"], "syscall"),
    ([], "running"),
])
def test_class_of_profile(functions: list[str], expected: str) -> None:
    stack = tuple(profile.Frame(name, "/src/a.go", 1) for name in functions)
    (group,) = goroutines.from_profile(profile.Profile([("goroutine", "count")], samples=[profile.Sample(stack, (2,), {})]))
    assert (group.cls, group.count) == (expected, 2)


def test_profile_of_another_kind() -> None:
    with pytest.raises(GoroutineError, match=r"^a profile of inuse_space, inuse_objects counts no goroutines$") as error:
        goroutines.from_profile(profile.Profile([("inuse_space", "bytes"), ("inuse_objects", "count")]))
    assert error.value.kind == "not_goroutines"


# ------------------------------------------------------------------------------------------------------- damage and hostility

@pytest.mark.parametrize(("data", "kind", "message"), [
    (b"", "empty", "the goroutine dump is empty"),
    (b"\n\n\n", "not_goroutines", "no goroutine in 3 bytes: they begin with ''"),
    (b"<html>\n<title>x</title>\n", "not_goroutines", "no goroutine in 24 bytes: they begin with '<html>'"),
    (b"goroutine x [select]:\nmain.f()\n", "garbage", "no goroutine in 31 bytes: they begin with 'goroutine x [select]:'"),
    (b"goroutine 4 [select", "garbage", "no goroutine in 19 bytes: they begin with 'goroutine 4 [select'"),
    (b"goroutine profile: total 3\n", "not_goroutines", "no goroutine in 27 bytes: they begin with 'goroutine profile: total 3'"),
    (b"\0" * 50, "not_goroutines", "no goroutine in 50 bytes: they begin with " + repr("\0" * 40)),
])
def test_no_dump(data: bytes, kind: str, message: str) -> None:
    with pytest.raises(GoroutineError) as error:
        goroutines.parse_dump([data])
    assert (error.value.kind, str(error.value)) == (kind, message)


@pytest.mark.parametrize(("data", "kind", "message"), [
    (b"", "empty", "the goroutine profile is empty"),
    (b"goroutine 1 [running]:\n", "not_goroutines", "no goroutine profile: it begins with 'goroutine 1 [running]:'"),
    (b"heap profile: 0: 0 [0: 0] @ heap/1048576\n", "not_goroutines",
     "no goroutine profile: it begins with 'heap profile: 0: 0 [0: 0] @ heap/1048576'"),
    (b"x" * 10**6, "not_goroutines", "no goroutine profile: it begins with " + repr("x" * 40)),
])
def test_no_text(data: bytes, kind: str, message: str) -> None:
    with pytest.raises(GoroutineError) as error:
        goroutines.parse_text(data)
    assert (error.value.kind, str(error.value)) == (kind, message)


def test_text_over_the_limit() -> None:
    with pytest.raises(GoroutineError, match=r"^the goroutine profile has 27 bytes, over the limit of 26$"):
        goroutines.parse_text(b"goroutine profile: total 0\n", limit=26)


@pytest.mark.parametrize(("data", "seen", "complete"), [
    ("goroutine profile: total 0\n", 0, True),
    ("goroutine profile: total 2\n2 @ 0x1\n#\t0x1\tmain.f+0x2\t/src/main.go:3\n\n", 2, True),
    ("goroutine profile: total 3\n2 @ 0x1\n#\t0x1\tmain.f+0x2\t/src/main.go:3\n\n", 2, False),
    ("goroutine profile: total 2\n2 @ 0x1\n#\t0x1\tmain.f+0x2\t/src/main.go:3\n", 0, False),
    ("goroutine profile: total 2\n2 @ 0x1\n# labels: {\"a\":\"b\"}\n#\t0x1\tmain.f+0x2\t\t/src/main.go:3\n#\t0x2\n\n", 2, True),
    ("goroutine profile: total 4\nnonsense\n\n4 @\n\n", 4, False),
    ("goroutine profile: total 4\n4 @ 0x1\n1 @ 0x1\n\n", 1, False),
    ("goroutine profile: total 1\n1 @" + " 0x1" * 3000 + "\n\n", 1, True),
])
def test_damaged_text(data: str, seen: int, complete: bool) -> None:
    parsed = goroutines.parse_text(data.encode())
    assert (sum(group.count for group in parsed.groups), parsed.complete) == (seen, complete)


WHOLE = b"".join(b"goroutine %d [select]:\nmain.f(0x%x)\n\t/src/main.go:%d +0x1d\n\n" % (n, n * n, n % 7) for n in range(1, 30))[:-1]


@pytest.mark.parametrize(("data", "total", "why"), [
    (WHOLE, 29, None),
    (WHOLE[:-1], 28, "the text ends in the middle of a line"),
    (WHOLE[:WHOLE.rindex(b"\t")], 28, "the text ends in the middle of a stack"),
    (WHOLE[7:], 28, "'ne 1 [select]:' is no goroutine"),
    (WHOLE.replace(b"goroutine 5 [", b"goroutine -5 ["), 28, "'goroutine -5 [select]:' is no goroutine"),
    (WHOLE.replace(b"goroutine 5 [", b"goroutine " + b"5" * 5000 + b" ["), 28, "'goroutine " + "5" * 30 + "' is no goroutine"),
    (b"panic: x\n\n" + WHOLE + b"\nexit status 2\n", 29, "'panic: x' is no goroutine"),
    (b"\n\n\n" + WHOLE.replace(b"\n\n", b"\n\n\n\n\n"), 29, None),
    (WHOLE.replace(b"main.go:3 ", b"main.go:" + b"3" * 60 + b" "), 29, None),
    (WHOLE + b"\ngoroutine 77 [select]:\n" + b"x" * (2 << 20) + b"\n\n" + WHOLE, 58, "a goroutine has more than 1048576 bytes of text"),
])
@pytest.mark.parametrize("chunk", [1 << 30, 1000, 7])
def test_damaged_dump(data: bytes, total: int, why: str | None, chunk: int) -> None:
    parsed = goroutines.parse_dump(data[at:at + chunk] for at in range(0, len(data), chunk))
    assert (parsed.total, parsed.complete, parsed.why) == (total, why is None, why)


def test_the_end_of_what_is_skipped_lies_across_two_pieces() -> None:
    begin = b"goroutine 77 [select]:\n"
    begin += b"x" * ((2 << 20) - len(begin) - 1) + b"\n"
    parsed = goroutines.parse_dump([begin, b"\n" + WHOLE])
    assert (parsed.total, parsed.complete) == (29, False)


def test_dump_over_the_limit() -> None:
    parsed = goroutines.parse_dump([WHOLE], limit=500)
    assert (parsed.complete, parsed.why, parsed.size) == (False, "the dump has more than 500 bytes", 500)
    assert 0 < parsed.total < 29


def test_dump_that_the_runtime_cut() -> None:
    """The runtime's buffer ends at 64 MB, wherever that is: here behind a whole line."""
    block = b"goroutine 9 [select]:\nmain.f(%s)\n\t/src/main.go:3 +0x1d\n\n" % b"0x12345678, ".ljust(4096, b"0")
    count = goroutines.RUNTIME_LIMIT // len(block) - 1
    first, last = b"goroutine 8 [select]:\nmain.g(", b")\n\t/src/main.go:7 +0x1d\n"
    rest = goroutines.RUNTIME_LIMIT - count * len(block) - len(first) - len(last)
    parsed = goroutines.parse_dump([*[block] * count, first + b"0" * rest + last])
    assert parsed.size == goroutines.RUNTIME_LIMIT
    assert (parsed.complete, parsed.why) == (False, "the runtime cuts a dump at 67108864 bytes")
    assert (parsed.total, len(parsed.groups)) == (count, 1)


def endless(kind: str) -> Iterator[bytes]:
    """Hostile text of some megabytes, in pieces."""
    if kind == "a line":
        yield b"goroutine 1 [select]:\n"
        yield from [b"x" * 65536] * 320
    elif kind == "frames":
        yield b"goroutine 1 [select]:\n"
        yield from [b"main.f(0x1)\n\t/src/main.go:3 +0x1d\n" * 1000] * 1000
        yield b"\n" + WHOLE
    elif kind == "garbage":
        yield WHOLE + b"\n"
        chance = random.Random(1)
        for _number in range(160):
            yield chance.randbytes(65536)
    else:
        block = {
            "groups": b"goroutine %d [select]:\nmain.f%d(0x1)\n\t/src/" + b"long" * 200 + b".go:%d +0x1d\n\n",
            "states": b"goroutine %d [state %d, %d minutes]:\nmain.f(0x1)\n\t/src/a.go:3 +0x1d\n\n",
            "labels": b"goroutine %d [select] {a%d: " + b"b" * 300 + b"%d}:\nmain.f(0x1)\n\t/src/a.go:3 +0x1d\n\n",
            "creators": b"goroutine %d [select]:\nmain.f(0x1)\n\t/src/a.go:3 +0x1d\ncreated by main.f%d\n\t/src/a.go:%d\n\n",
            "elisions": b"goroutine %d [select]:\nmain.f(0x1)\n\t/src/a.go:3 +0x1d\n...%d frames elided...\nmain.f(%d)\n\t/src/a.go:3\n\n",
        }[kind]
        for number in range(12000):
            yield block % (number, number, number)


HOSTILE = ("a line", "frames", "garbage", "groups", "states", "labels", "creators", "elisions")


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile(kind: str) -> None:
    try:
        parsed = goroutines.parse_dump(endless(kind))
    except GoroutineError as error:
        assert (kind, error.kind) == ("a line", "garbage")
        return
    assert kind != "a line"
    assert len(parsed.groups) <= goroutines.MAX_GROUPS
    assert sum(group.count for group in parsed.groups) + parsed.left_out == parsed.total
    assert all(len(group.frames) <= goroutines.SHOWN for group in parsed.groups)
    assert all(len(waits) <= goroutines.MAX_REASONS for waits in parsed.waits.values())
    assert all(sum(waits.values()) == group.count for group in parsed.groups for waits in [parsed.waits[group.fingerprint]])
    assert parsed.complete == (kind not in ("frames", "garbage"))
    if kind in ("states", "labels", "creators", "elisions"):
        assert [group.count for group in parsed.groups] == [12000]
        assert parsed.elided == (12000 if kind == "elisions" else 0)


def test_memory() -> None:
    """The peak of a process that reads them all, over that of one that has read nothing."""
    code = ("import resource, runpy\n"
            "test = runpy.run_path(%r)\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "for kind in test['HOSTILE']:\n"
            "    try:\n"
            "        test['goroutines'].parse_dump(test['endless'](kind))\n"
            "    except ValueError:\n"
            "        pass\n"
            "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n") % __file__
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert int(done.stdout) < 48


def test_bounds() -> None:
    whole = b"\n".join(b"goroutine %d [select]:\nmain.f%d(0x1)\n\t/src/a.go:3 +0x1d\n" % (n, n % 5) for n in range(100))
    parsed = goroutines.parse_dump([whole], max_groups=3, max_ids=10)
    assert (parsed.total, parsed.left_out, [group.count for group in parsed.groups]) == (100, 40, [20, 20, 20])
    assert sum(len(ids) for ids in parsed.ids.values()) <= 10
    short = goroutines.parse_text(read("1.27.3-amd64", "goroutine.1.txt.gz"), max_groups=2)
    assert (len(short.groups), sum(group.count for group in short.groups) + short.left_out) == (2, short.total)
    assert len(goroutines.from_profile(profile.parse(read("1.27.3-amd64", "goroutine.0.pb.gz")), max_groups=2)) == 2


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 60000), max_size=30))
def test_chunks_do_not_matter(cuts: list[int]) -> None:
    data = read("1.27.3-amd64", "goroutine.2.txt.gz")
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[begin:end] for begin, end in zip(edges, edges[1:], strict=False)]
    assert goroutines.parse_dump(chunks, MODULE) == dump("1.27.3-amd64")


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(1, 30000), begin=st.integers(0, 30000))
def test_cut_anywhere(cut: int, begin: int) -> None:
    """Every window of a dump: the goroutines that lie in it whole are counted as in the whole, others not at all."""
    data = read("1.27.3-amd64", "goroutine.2.txt.gz")
    begin %= len(data) // 2
    window = data[begin:begin + cut]
    known = counts(dump("1.27.3-amd64").groups)
    inside = [match.start() for match in re.finditer(rb"(?m)^goroutine ", data)]
    ends = [*[at - 1 for at in inside[1:]], len(data)]
    try:
        parsed = goroutines.parse_dump([window], MODULE)
    except GoroutineError as error:
        assert error.kind in ("garbage", "not_goroutines")
        return
    assert parsed.total >= sum(first >= begin and last <= begin + cut for first, last in zip(inside, ends, strict=True)) > -1
    # A window that ends behind a place is whole for all one can see: only then the last stack may be shorter than it is.
    strange = [group for group in parsed.groups if not group.profiler and group.count > known.get(group.fingerprint, 0)]
    assert len(strange) <= (1 if parsed.complete or window.endswith(b"\n") else 0)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 3))
def test_any_bytes(data: bytes, form: int) -> None:
    heads = (b"", b"goroutine 1 [", b"goroutine 1 [select]:\n", b"goroutine profile: total 5\n")
    data = heads[form] + data
    try:
        parsed = goroutines.parse_dump([data])
    except GoroutineError as error:
        assert error.kind in goroutines.KINDS
    else:
        assert sum(group.count for group in parsed.groups) + parsed.left_out == parsed.total
    try:
        one = goroutines.parse_text(data)
    except GoroutineError as error:
        assert error.kind in goroutines.KINDS
    else:
        assert one.complete == (sum(group.count for group in one.groups) == one.total) or not one.complete


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["main.f", "runtime.gopark", "a/b%2ec.(*T[...]).m", "main.g.gowrap1", "panic", "[libc.so.6]"]),
                          st.sampled_from(["/src/a.go", "<autogenerated>", ""]), st.integers(0, 99)), max_size=40), st.integers(1, 9))
def test_any_stack(stack: list[tuple[str, str, int]], count: int) -> None:
    """A stack written as the runtime does has the fingerprint that the profile has."""
    frames = tuple(profile.Frame(*frame) for frame in stack)
    (group,) = goroutines.from_profile(profile.Profile([("goroutine", "count")], samples=[profile.Sample(frames, (count,), {})]))
    written = "".join("%s(0x1)\n\t%s:%d +0x1d\n" % (*frame[:2], frame[2]) for frame in stack)
    whole = "\n".join("goroutine %d [select]:\n%s" % (number, written) for number in range(count))
    (other,) = goroutines.parse_dump([whole.encode()]).groups
    assert (other.fingerprint, other.frames, other.count) == (group.fingerprint, group.frames, count)
