# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""collecting: parts that fail alone, commands with a deadline, a document within bounds."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import collecting
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable, gather


def part(value: Any) -> Any:
    return lambda context: value


def hang(seconds: float) -> Any:
    return lambda context: time.sleep(seconds)


def broken(exc: BaseException) -> Any:
    def function(context: Context) -> Any:
        raise exc
    return function


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    end = time.monotonic() + 2
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


class TestGather:
    def test_all_parts(self) -> None:
        result = gather({"a": (("x", part(1)), ("y", part([2]))), "b": (("z", part(None)),)}, Context())
        assert {key: result[key] for key in "ab"} == {"a": {"x": 1, "y": [2]}, "b": {"z": None}}
        assert result["errors"] == []
        assert set(result["timings"]) == {"a", "b"}

    @pytest.mark.parametrize(("exc", "kind", "message"), [
        pytest.param(PermissionError(13, "Permission denied", "/root/x"), "permission",
                     "[Errno 13] Permission denied: '/root/x'", id="permission"),
        pytest.param(FileNotFoundError(2, "No such file", "/x"), "unavailable", "[Errno 2] No such file: '/x'", id="no-file"),
        pytest.param(Unavailable("dpkg is not installed"), "unavailable", "dpkg is not installed", id="unavailable"),
        pytest.param(TimeoutError("x did not end within 1.0 s"), "timeout", "x did not end within 1.0 s", id="timeout"),
        pytest.param(subprocess.TimeoutExpired("x", 1), "timeout", "TimeoutExpired: Command 'x' timed out after 1 seconds",
                     id="subprocess"),
        pytest.param(ValueError("line 3: no number"), "exception", "line 3: no number", id="value"),
        pytest.param(KeyError("k"), "exception", "KeyError: 'k'", id="key"),
        pytest.param(OSError(), "exception", "OSError", id="nothing-said"),
        pytest.param(SystemExit(3), "exception", "SystemExit: 3", id="exit"),
        pytest.param(KeyboardInterrupt(), "exception", "KeyboardInterrupt: ", id="interrupt"),
        pytest.param(RecursionError("deep"), "exception", "RecursionError: deep", id="recursion"),
        pytest.param(ValueError("\udcff"), "exception", "?", id="surrogate"),
        pytest.param(ValueError("x" * 900), "exception", "x" * 500, id="long"),
    ])
    def test_a_part_that_raises_costs_its_own_key(self, exc: BaseException, kind: str, message: str) -> None:
        result = gather({"a": (("x", broken(exc)), ("y", part(2)))}, Context())
        assert result["a"] == {"y": 2}
        assert result["errors"] == [{"part": "a.x", "kind": kind, "message": message}]

    def test_a_part_that_hangs_leaves_those_behind_it(self) -> None:
        started = time.monotonic()
        result = gather({"a": (("x", part(1)), ("y", hang(20), 0.2), ("z", part(3))), "b": (("w", part(4)),)}, Context())
        assert time.monotonic() - started < 2
        assert result["a"] == {"x": 1, "z": 3}
        assert result["b"] == {"w": 4}
        assert result["errors"] == [{"part": "a.y", "kind": "timeout", "message": "the collector did not end in time"}]

    def test_the_default_share_of_the_time(self) -> None:
        result = gather({"a": (("x", hang(20)), ("y", part(2)))}, Context(timeout=2))
        assert result["a"] == {"y": 2}

    def test_parts_that_are_never_reached_are_named(self) -> None:
        started = time.monotonic()
        result = gather({"a": (("x", part(1)), ("y", hang(20), 60.0), ("z", part(3)))}, Context(timeout=0.3))
        assert time.monotonic() - started < 2
        assert result["a"] == {"x": 1}
        assert [(entry["part"], entry["kind"], entry["message"]) for entry in result["errors"]] == [
            ("a.y", "timeout", "the collector did not end in time"), ("a.z", "timeout", "not reached in time")]

    def test_many_hanging_subsets_do_not_add_up(self) -> None:
        started = time.monotonic()
        result = gather({name: (("x", hang(20)),) for name in "abcdefgh"}, Context(timeout=0.4))
        assert time.monotonic() - started < 1.5
        assert len(result["errors"]) == 8

    def test_a_late_answer_is_not_taken(self) -> None:
        release = threading.Event()
        context = Context()
        result = gather({"a": (("x", lambda part: release.wait(5), 0.1), ("y", part(2)))}, context)
        release.set()
        time.sleep(0.1)
        assert result["a"] == {"y": 2}
        assert "a.x" not in context.shared

    def test_a_subset_waits_for_another(self) -> None:
        def first(context: Context) -> str:
            time.sleep(0.1)
            return "found"

        subsets = {"after": (("x", lambda context: context.shared["before.x"]),), "before": (("x", first),)}
        assert gather(subsets, Context(), {"after": ("before", "not wanted")})["after"] == {"x": "found"}

    def test_a_subset_waits_no_longer_than_the_other_may_take(self) -> None:
        subsets = {"before": (("x", hang(20), 0.2), ("y", part(1))), "after": (("x", part("ran")),)}
        result = gather(subsets, Context(), {"after": ("before", "not wanted")})
        assert result["after"] == {"x": "ran"}
        assert result["before"] == {"y": 1}

    def test_a_subset_whose_turn_never_came_is_named(self) -> None:
        subsets = {"before": (("x", hang(20), 60.0),), "after": (("x", part(1)),)}
        result = gather(subsets, Context(timeout=0.2), {"after": ("before", "not wanted")})
        assert [entry["part"] for entry in result["errors"]] == ["after.x", "before.x"]
        assert result["after"] == {}

    @pytest.mark.parametrize("after", [{"a": "b", "b": "a"}, {"a": "a"}], ids=["circle", "itself"])
    def test_waiting_in_a_circle_ends(self, after: dict[str, str]) -> None:
        result = gather({"a": (("x", part(1)),), "b": (("x", part(2)),)}, Context(), after)
        assert {"part": "a.x", "kind": "timeout", "message": "not reached in time"} in result["errors"]

    def test_waiting_for_a_subset_that_was_not_asked_for(self) -> None:
        assert gather({"a": (("x", part(1)),)}, Context(), {"a": "b"})["a"] == {"x": 1}

    def test_every_part_sees_its_own_deadline_and_the_shared_things(self) -> None:
        seen: list[float] = []

        def look(context: Context) -> None:
            seen.append(context.remaining())
            context.shared["left"] = True
            context.note("a.x", PermissionError(13, "Permission denied"), "/data (nfs)")

        context = Context(timeout=30)
        result = gather({"a": (("x", look, 2.0), ("y", look, 90.0))}, context)
        assert 1 < seen[0] <= 2
        assert 25 < seen[1] <= 30
        assert context.shared["left"]
        assert result["errors"][0] == {
            "part": "a.x", "kind": "permission", "message": "/data (nfs): [Errno 13] Permission denied"}

    def test_a_subset_with_more_time_than_the_others(self) -> None:
        """``extra`` is one subset's own: the others end when they would have, and it is not cut off with them."""
        left: dict[str, float] = {}

        def look(name: str, seconds: float) -> Any:
            def function(context: Context) -> str:
                left[name] = context.remaining()
                time.sleep(seconds)
                return name
            return function

        subsets = {"a": (("x", look("a.x", 20), 60.0), ("y", look("a.y", 0))),
                   "b": (("x", look("b.x", 1.6), 60.0), ("y", look("b.y", 0), 60.0))}
        started = time.monotonic()
        context = Context(timeout=0.3, extra={"b": 4.0})
        assert context.deadline_of("b") == context.deadline + 4.0 and context.deadline_of("a") == context.deadline
        result = gather(subsets, context)
        assert 1.5 < time.monotonic() - started < 4
        assert (result["a"], result["b"]) == ({}, {"x": "b.x", "y": "b.y"})
        assert 0 < left["a.x"] <= 0.3 and 3.5 < left["b.x"] <= 4.3 and 1 < left["b.y"] <= 2.7 and "a.y" not in left
        assert [entry["part"] for entry in result["errors"]] == ["a.x", "a.y"]

    def test_extra_does_not_lengthen_a_part(self) -> None:
        context = Context(timeout=10, extra={"b": 60.0})
        assert context.until(time.monotonic() + 1, "b").remaining() <= 1
        assert 60 < context.until(time.monotonic() + 600, "b").remaining() <= 70
        assert context.until(time.monotonic() + 600, "a").remaining() <= 10
        assert Context().deadline_of("b") == pytest.approx(Context().deadline, abs=1)

    def test_a_value_that_is_no_json_costs_its_own_key(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        result = gather({"a": (("x", part(loop)), ("y", part({"ok": (1, b"\xff", {2})})))}, Context())
        assert result["a"] == {"y": {"ok": [1, "\ufffd", [2]]}}
        assert result["errors"][0]["message"] == "the value is nested deeper than 64 levels or contains itself"

    def test_a_process_with_a_hanging_part_ends(self) -> None:
        """What the module relies on: neither a sleeping thread nor its command keeps the process, or its pipes, open."""
        program = (
            "import json, time\n"
            "from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, gather\n"
            "def command(context):\n"
            "    return context.run(['sh', '-c', 'echo $$ >&2; exec sleep 300'], timeout=300)\n"
            "parts = {'a': (('x', lambda context: time.sleep(300)),), 'b': (('y', command),)}\n"
            "print(json.dumps(gather(parts, Context(timeout=0.3))['errors']))\n"
        )
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True,
                              env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
        assert time.monotonic() - started < 5
        assert [entry["part"] for entry in json.loads(done.stdout)] == ["a.x", "b.y"]


class TestRun:
    def test_answer(self) -> None:
        assert Context().run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\n", "err\n")

    def test_environment(self) -> None:
        _code, out, _err = Context().run(["sh", "-c", "echo $LC_ALL $PATH"])
        assert out.startswith("C ") and out.endswith("/sbin\n")
        assert Context().run(["/bin/sh", "-c", "echo $LC_ALL $X"], env={"X": "1"})[1] == "C 1\n"

    def test_no_input(self) -> None:
        assert Context().run(["cat"]) == (0, "", "")

    @pytest.mark.parametrize(("argv", "options", "kind", "message"), [
        pytest.param(["no-such-command-here"], {}, Unavailable, "no-such-command-here is not installed", id="absent"),
        pytest.param(["true"], {"cwd": "/no/such/folder"}, FileNotFoundError,
                     "[Errno 2] No such file or directory: '/no/such/folder'", id="no-folder"),
        pytest.param(["/etc/passwd"], {}, PermissionError, "[Errno 13] Permission denied: '/etc/passwd'", id="not-executable"),
        pytest.param(["sleep", "60"], {"timeout": 0.2}, TimeoutError, "sleep did not end within 0.2 s", id="hangs"),
        pytest.param(["sh", "-c", "exec >&- 2>&-; exec sleep 60"], {"timeout": 0.2}, TimeoutError,
                     "sh did not end within 0.2 s", id="hangs-with-closed-outputs"),
        pytest.param(["yes"], {"timeout": 0.3, "truncate": True}, TimeoutError, "yes did not end within 0.3 s", id="endless"),
        pytest.param(["head", "-c", "2000", "/dev/zero"], {"limit": 1000}, ValueError, "head printed more than 1000 bytes",
                     id="too-much"),
    ])
    def test_failures(self, argv: list[str], options: dict[str, Any], kind: type, message: str) -> None:
        started = time.monotonic()
        with pytest.raises(kind) as caught:
            Context().run(argv, **options)
        assert str(caught.value) == message
        assert time.monotonic() - started < 2

    def test_no_time_left(self) -> None:
        context = Context(timeout=0)
        with pytest.raises(TimeoutError, match=r"^true was not started: no time was left$"):
            context.run(["true"])

    def test_killed_by_a_signal(self) -> None:
        assert Context().run(["sh", "-c", "kill -9 $$"])[0] == -9

    def test_truncated(self) -> None:
        code, out, _err = Context().run(["head", "-c", "300000", "/dev/zero"], limit=1000, truncate=True)
        assert (code, len(out)) == (0, 1000)

    def test_the_whole_session_is_killed(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        with pytest.raises(TimeoutError):
            Context().run(["sh", "-c", f"sleep 300 & echo $! > {pids}; echo $$ >> {pids}; wait"], timeout=0.5)
        for pid in pids.read_text().split():
            assert gone(int(pid)), f"{pid} is still there"

    def test_a_child_that_keeps_the_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        pid = tmp_path / "pid"
        started = time.monotonic()
        code, out, _err = Context().run(["sh", "-c", f"setsid sleep 30 & echo $! > {pid}; echo done"], timeout=10)
        assert (code, out) == (0, "done\n")
        assert time.monotonic() - started < 3
        os.kill(int(pid.read_text()), 9)

    def test_commands_of_parts_that_were_given_up_are_killed(self, tmp_path: Path) -> None:
        pid = tmp_path / "pid"

        def stubborn(context: Context) -> Any:
            context.deadline += 60  # a part that does not keep to its time
            return context.run(["sh", "-c", f"echo $$ > {pid}; exec sleep 300"], timeout=300)

        gather({"a": (("x", stubborn),)}, Context(timeout=0.5))
        assert gone(int(pid.read_text()))

    @pytest.mark.parametrize("overrun", [0, 60], ids=["at-its-own-deadline", "when-the-module-ends"])
    def test_a_shell_may_give_its_lock_back(self, tmp_path: Path, overrun: int) -> None:
        """As rbenv's and pyenv's rehash do it: a lock that is left behind makes the next login wait."""
        lock, ready = tmp_path / "lock", tmp_path / "ready"
        script = f"trap 'rm {lock}; exit 1' TERM; touch {lock} {ready}; sleep 300 & wait"

        def shell(context: Context) -> Any:
            context.deadline += overrun
            return context.run(["sh", "-c", script], timeout=300)

        gather({"a": (("x", shell),)}, Context(timeout=0.6))
        assert ready.exists() and not lock.exists()

    def test_what_does_not_listen_to_sigterm_is_killed(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        stubborn = f"trap '' TERM; sleep 300 & echo $! > {pids}; echo $$ >> {pids}; wait"
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=r"^sh did not end within 0\.5 s$"):
            Context().run(["sh", "-c", stubborn], timeout=0.5)
        took = time.monotonic() - started
        assert 0.5 + collecting.TERM_SECONDS <= took < 0.5 + collecting.GRACE + 1
        for pid in pids.read_text().split():
            assert gone(int(pid)), f"{pid} is still there"

    def test_a_child_that_outlives_its_shell_is_killed(self, tmp_path: Path) -> None:
        pid = tmp_path / "pid"
        script = f"sh -c 'trap \"\" TERM; echo $$ > {pid}; exec sleep 300' & wait"
        with pytest.raises(TimeoutError):
            Context().run(["sh", "-c", script], timeout=0.5)
        assert gone(int(pid.read_text()))

    def test_a_part_is_still_heard_after_its_stubborn_command(self) -> None:
        def patient(context: Context) -> Any:
            try:
                context.run(["sh", "-c", "trap '' TERM; sleep 300"], timeout=300)
            except TimeoutError:
                return "what it has"

        assert gather({"a": (("x", patient, 0.3),)}, Context())["a"] == {"x": "what it has"}


class TestContext:
    def test_root(self, tmp_path: Path) -> None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/x").write_bytes(b"a\xffb")
        context = Context(root=str(tmp_path))
        assert context.path("/etc/x") == str(tmp_path / "etc/x")
        assert context.read("/etc/x") == "a\ufffdb"
        assert context.read_bytes("/etc/x", 2) == b"a\xff"
        assert Context().path("/etc/x") == "/etc/x"

    def test_until_only_shortens(self) -> None:
        context = Context(timeout=10)
        assert context.until(time.monotonic() + 60).deadline == context.deadline
        assert context.until(time.monotonic() + 1).remaining() <= 1
        assert context.until(0).remaining() == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner) | st.frozensets(
        st.text() | st.integers()), max_leaves=20)


class TestAsJson:
    @given(JSON)
    def test_anything_becomes_json_text_that_utf8_can_hold(self, value: Any) -> None:
        json.dumps(collecting.as_json(value), allow_nan=False, ensure_ascii=False).encode("utf-8")

    @pytest.mark.parametrize("value", [None, True, 0, 1.5, "x", [], {"a": [1, {"b": None}]}, "\U0001f600"])
    def test_json_stays_as_it_is(self, value: Any) -> None:
        assert collecting.as_json(value) == value

    @pytest.mark.parametrize(("value", "expected"), [
        pytest.param({1: {"b", "a"}}, {"1": ["a", "b"]}, id="set"),
        pytest.param([float("nan"), float("inf"), 1.0], [None, None, 1.0], id="nan"),
        pytest.param({"\udcff": "\udcff"}, {"?": "?"}, id="surrogates"),
        pytest.param(Path("/x"), "/x", id="object"),
    ])
    def test_other_values(self, value: Any, expected: Any) -> None:
        assert collecting.as_json(value) == expected


class TestFit:
    def document(self) -> dict[str, Any]:
        return {"host": {"os": {"id": "debian"}}, "services": {"services": [
            {"name": f"s{number}", "processes": [{"pid": number, "listeners": []}]} for number in range(10)]}, "errors": []}

    def test_what_fits_is_not_touched(self) -> None:
        document = self.document()
        collecting.fit(document)
        assert document == self.document()

    def test_one_service_that_is_too_big_does_not_cost_the_others(self) -> None:
        document = self.document()
        document["services"]["services"][3]["processes"][0]["listeners"] = [{"port": port} for port in range(5000)]
        collecting.fit(document, 10_000)
        assert len(json.dumps(document)) < 11_000
        assert [service["name"] for service in document["services"]["services"]] == [f"s{number}" for number in range(10)]
        assert document["services"]["services"][3]["processes"][0]["listeners"][0] == {"port": 0}
        assert document["errors"] == [{
            "part": "services.services", "kind": "truncated",
            "message": "services.services[3].processes[0].listeners: kept 625 of 5000, the document would have passed 10000 "
                       "bytes"}]

    def test_many_equal_entries(self) -> None:
        document = {"services": {"services": [{"name": "x" * 100, "n": number} for number in range(1000)]}, "errors": []}
        collecting.fit(document, 20_000)
        assert len(document["services"]["services"]) == 125
        assert document["errors"][0]["message"].startswith("services.services: kept 125 of 1000")

    def test_a_long_text(self) -> None:
        document: dict[str, Any] = {"probes": {"a.b": {"stdout": "x" * 100_000}}, "errors": []}
        collecting.fit(document, 30_000)
        assert len(document["probes"]["a.b"]["stdout"]) == 25_000
        assert document["errors"][0]["part"] == "probes.a"

    def test_a_wide_mapping(self) -> None:
        document: dict[str, Any] = {"host": {"sysctl": {f"k{number}": number for number in range(5000)}}, "errors": []}
        collecting.fit(document, 5_000)
        assert document["host"]["sysctl"] is None
        assert document["errors"][0]["message"].startswith("host.sysctl: kept 0 of 5000")

    def test_many_errors(self) -> None:
        document: dict[str, Any] = {"host": {}, "errors": [{"part": "a.x", "kind": "timeout", "message": "m"}] * 5000}
        collecting.fit(document)
        assert len(document["errors"]) == 1001
        assert document["errors"][1000] == {"part": "errors", "kind": "truncated", "message": "4000 more are left out"}

    @given(st.dictionaries(st.sampled_from(["host", "services", "pprof"]), st.recursive(
        st.integers() | st.text(max_size=200), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner))),
        st.integers(200, 2000))
    def test_it_always_ends(self, document: dict[str, Any], limit: int) -> None:
        document["errors"] = []
        collecting.fit(document, limit)
        assert len(json.dumps({key: value for key, value in document.items() if key != "errors"})) <= limit


def test_document() -> None:
    facts = collecting.document({"a": (("x", part(1)),)}, Context())
    assert facts["facts_version"] == "1.0"
    assert facts["a"] == {"x": 1}
    assert facts["collected"]["subsets"] == ["a"]
    assert facts["collected"]["uid"] == os.geteuid()
    assert facts["collected"]["at"].endswith("+00:00")
    assert set(facts["collected"]) == {"at", "duration_ms", "subsets", "uid", "user", "privileged", "hostname", "python"}
