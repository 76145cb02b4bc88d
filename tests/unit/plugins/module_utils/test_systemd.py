# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import systemd

FIXTURES = Path(__file__).parents[2] / "fixtures" / "services" / "systemd252"
KNOWN = systemd.parse_configuration_items((FIXTURES / "configuration-items.txt").read_text())


def test_same_lines_as_systemd_analyze_verify() -> None:
    """systemd's own judgement of a unit file with every fault we know of, and of lines without a fault between them."""
    text = (FIXTURES / "faulty.service").read_text()
    verified = {int(number) for number in re.findall(r"^ (\d+):", (FIXTURES / "faulty.service.verify").read_text(), re.MULTILINE)}
    assert len(verified) == 38
    assert {one.line for one in systemd.parse_unit_file(text, known=KNOWN).problems} == verified


def problems(text: str, *, kind: str = "service", **options: systemd.KnownDirectives | None) -> list[tuple[int, str, str]]:
    known = options.get("known", KNOWN)
    return [(one.line, one.name, one.message) for one in systemd.parse_unit_file(text, known=known, kind=kind).problems]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("LimitNOFILESoft=65536", "unknown directive, soft and hard limit are written LimitNOFILE=soft:hard"),
        ("LimitNOFILEHard=65536", "unknown directive, soft and hard limit are written LimitNOFILE=soft:hard"),
        ("restart=always", "unknown directive, the name is case-sensitive: Restart"),
        ("StartLimitIntervalSec=5", "unknown directive in [Service], it belongs into [Unit]"),
        ("WantedBy=multi-user.target", "unknown directive in [Service], it belongs into [Install]"),
        ("Frobnicate=1", "unknown directive"),
        ("LimitNOFILE=64K", "'64K' is not a plain number (no K or M), infinity or soft:hard: the line is ignored"),
        ("LimitNOFILE=", "an empty value is no limit and resets nothing: the line is ignored"),
        ("LimitNOFILE=100:50", "the soft limit is above the hard limit in '100:50': the line is ignored"),
        ("LimitNOFILE=1:2:3", "'1:2:3' is no limit (number, infinity, or soft:hard): the line is ignored"),
        ("LimitAS=4GB", "'4GB' is not a size, infinity or soft:hard: the line is ignored"),
        ("MemoryMax=512MB", "'512MB' is no size (a number with K, M, G, T, or a percentage): the line is ignored"),
        ("CPUQuota=1.5", "'1.5' is no percentage: the line is ignored"),
        ("TasksMax=many", "'many' is no number of tasks: the line is ignored"),
        (
            "Restart=yes",
            "'yes' is none of no, on-success, on-failure, on-abnormal, on-watchdog, on-abort, always: the line is ignored",
        ),
        ("RestartSec=5x", "'5x' is no time span: the line is ignored"),
        ("StartLimitBurst=unlimited", "'unlimited' is no number: the line is ignored"),
        ("NoNewPrivileges=maybe", "'maybe' is neither yes nor no: the line is ignored"),
        ("just words", "no name=value"),
        ("=value", "no name before ="),
    ],
)
def test_ignored_lines(line: str, message: str) -> None:
    assert problems(f"[Service]\nType=exec\n{line}\n") == [(3, line.partition("=")[0] if "=" in line else "", message)]


@pytest.mark.parametrize(
    "line",
    [
        "LimitNOFILE=65536",
        "LimitNOFILE=1024:65536",
        "LimitNOFILE=infinity",
        "LimitNOFILE=1024:infinity",
        "LimitNOFILE=0x10",
        "LimitNOFILE=%i",
        "LimitCORE=0",
        "LimitMEMLOCK=64K",
        "LimitAS=1.5G:infinity",
        "MemoryMax=512M",
        "MemoryMax=50%",
        "MemoryMax=",
        "MemoryMax=infinity",
        "MemorySwapMax=0",
        "TasksMax=10%",
        "TasksMax=infinity",
        "CPUQuota=150%",
        "CPUQuota=",
        "Restart=on-failure",
        "RestartSec=100ms",
        "RestartSec=1min 30s",
        "WatchdogSec=infinity",
        "NoNewPrivileges=ON",
        "X-Ours=whatever",
        "Type=notify",
        "MemoryMin=0",
        "ProtectSystem=strict",
        "TimeoutStopSec=2.5h",
    ],
)
def test_lines_that_are_right(line: str) -> None:
    assert problems(f"[Service]\n{line}\n") == []


def test_sections() -> None:
    assert problems("Early=1\n[Sevice]\nRestart=nonsense\n[X-Ours]\na=b\n[Socket]\nListenStream=1\n[Service]\nUser=api\n") == [
        (1, "Early", "assignment outside of a section"),
        (2, "", "unknown section of a service unit"),
        (6, "", "unknown section of a service unit"),
    ]
    assert problems("[Socket]\nListenStream=1\n", kind="socket") == []
    assert problems("[Service]\n[broken\nFoo=1\n") == [(2, "", "invalid section header, the file is not read on")]


def test_without_the_hosts_list_of_directives() -> None:
    """What cannot be told is not guessed: the values are still judged."""
    assert problems("[Service]\nFrobnicate=1\nLimitNOFILE=64K\n", known=None) == [
        (3, "LimitNOFILE", "'64K' is not a plain number (no K or M), infinity or soft:hard: the line is ignored")
    ]


def test_continuation_lines_and_comments() -> None:
    text = (
        "# LimitNOFILE=1\n; LimitNOFILE=2\n[Service]\nExecStart=/bin/x -a \\\n  # not an argument\n\t-b \\\n;nor this\n  -c\n"
        "  User = api  \nEnvironment=A=\\\\\nGroup=api\\"
    )
    assert [tuple(one) for one in systemd.parse_unit_file(text, known=KNOWN).directives] == [
        (4, "Service", "ExecStart", "/bin/x -a  -b  -c"),
        (9, "Service", "User", "api"),
        (10, "Service", "Environment", "A=\\\\"),
        (11, "Service", "Group", "api"),
    ]


def test_byte_order_mark_and_windows_line_ends() -> None:
    assert systemd.parse_unit_file("\ufeff[Service]\r\nUser=api\r\n", known=KNOWN) == (
        [systemd.Directive(2, "Service", "User", "api")],
        [],
    )


def test_configuration_items() -> None:
    assert KNOWN["Service"]["LimitNOFILE"] == "LIMIT"
    assert KNOWN["Service"]["NoNewPrivileges"] == "BOOLEAN"
    assert "StartLimitIntervalSec" in KNOWN["Unit"] and "StartLimitIntervalSec" not in KNOWN["Service"]
    with pytest.raises(ValueError, match="no list of systemd's directives"):
        systemd.parse_configuration_items("Failed to connect to bus\n")


SHOWN = systemd.parse_show((FIXTURES / "show.txt").read_text())


def test_recorded_show() -> None:
    assert [one["Id"] for one in SHOWN] == ["api.service", "gone.service", "masked.service", "broken.service", "caddy.service"]
    assert [one["LoadState"] for one in SHOWN] == ["loaded", "not-found", "masked", "loaded", "loaded"]
    api = SHOWN[0]
    assert (api["LimitNOFILE"], api["LimitNOFILESoft"], api["MemoryMax"], api["Restart"]) == (
        "8192",
        "4096",
        "infinity",
        "always",
    )
    assert api["DropInPaths"] == "/etc/systemd/system/api.service.d/10-limits.conf"
    assert (SHOWN[3]["ActiveState"], SHOWN[3]["ExecMainStatus"]) == ("failed", "203")


def test_show_with_a_property_of_several_lines() -> None:
    text = "Id=a.service\nExecStart={ path=/a }\nExecStart={ path=/b }\nDescription=two\nlines\n\n\nId=b.service\n"
    assert systemd.parse_show(text) == [
        {"Id": "a.service", "ExecStart": "{ path=/a }\n{ path=/b }", "Description": "two\nlines"},
        {"Id": "b.service"},
    ]
    assert systemd.parse_show("") == []


def test_exec() -> None:
    assert systemd.parse_exec(SHOWN[0]["ExecStart"]) == (
        "/opt/api/current/api",
        ["/opt/api/current/api", "-tcp", "0.0.0.0:8080", "-unix", "/tmp/api.sock", "-token", "s3cr3t"],
    )
    # systemd >= 254 prints flags= in ExecStartEx
    assert systemd.parse_exec("{ path=/a ; argv[]=/a ; flags=ignore-failure ; start_time=[n/a] }") == ("/a", ["/a"])
    assert systemd.parse_exec("") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("api", "api.service"),
        ("api.service", "api.service"),
        ("api@blue", "api@blue.service"),
        ("web.socket", "web.socket"),
        ("a.b", "a.b.service"),
        ("dev-sda\\x2d1", "dev-sda\\x2d1.service"),
        ("api*", None),
        ("a b", None),
        ("a/b", None),
        ("", None),
        ("-Hroot@example", None),
        ("x" * 300, None),
        ("api\n", None),
    ],
)
def test_unit_names(name: str, expected: str | None) -> None:
    assert systemd.unit_name(name) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Environment", 'A=1 "DB_PASSWORD=a b" C=2', 'A=1 "DB_PASSWORD=[redacted]" C=2'),
        ("Environment", "DB_PASSWORD=a,b;c&d", "DB_PASSWORD=[redacted]"),
        ("Environment", "DB_PASSWORD='a b' X=1", "DB_PASSWORD=[redacted] X=1"),
        ("Environment", "'TOKEN=a b'", "'TOKEN=[redacted]'"),
        ("Environment", "URL=postgres://u:p@h/d GOGC=50", "URL=postgres://u:[redacted]@h/d GOGC=50"),
        ("ExecStart", "/bin/x --token abc -listen :80", "/bin/x --token [redacted] -listen :80"),
        ("ExecStart", "/bin/x -keyfile=/etc/tls/key.pem", "/bin/x -keyfile=/etc/tls/key.pem"),
        ("SetCredential", "db:hunter2", "db:[redacted]"),
        ("LoadCredential", "token:/etc/creds/token", "token:/etc/creds/token"),
        ("KeyringMode", "private", "private"),
        ("LimitNOFILE", "65536", "65536"),
        ("PassEnvironment", "DB_PASSWORD TOKEN", "DB_PASSWORD TOKEN"),
        ("X-Api-Token", "abc", "[redacted]"),
    ],
)
def test_redaction(name: str, value: str, expected: str) -> None:
    assert systemd.redact_directive(name, value) == expected


def test_environment_of_go_only() -> None:
    assert systemd.only_go_variables('A=1 GOGC=50 "GODEBUG=a=1 b" PATH=/x') == 'GOGC=50 "GODEBUG=a=1 b"'


UNIT_TEXT = st.text(alphabet="[]ServiceLmtNOF=\\\n#; \"'0123456789KM%:.", max_size=300)


@given(st.one_of(st.text(max_size=300), UNIT_TEXT))
def test_arbitrary_text(text: str) -> None:
    for part in (
        text,
        "[Service]\n" + text,
        "[Service]\nLimitNOFILE=" + text,
        "[Service]\nMemoryMax=" + text,
        "[Unit]\nRestartSec=" + text,
    ):
        unit = systemd.parse_unit_file(part, known=KNOWN)
        lines = part.count("\n") + 1
        assert all(1 <= one.line <= lines for one in [*unit.directives, *unit.problems])
        systemd.as_dict("/x", unit)
    systemd.parse_show(text)
    systemd.parse_exec(text)
    systemd.only_go_variables(text)
    try:
        systemd.parse_configuration_items(text)
    except ValueError:
        pass


@pytest.mark.parametrize("value", ["1" * 50_000 + "x", "1 " * 50_000 + "x", "1.1.1" * 20_000, "s" * 50_000, '"' + "\\" * 50_001])
def test_long_values_take_no_time(value: str) -> None:
    for name in ("RestartSec", "MemoryMax", "LimitAS", "LimitNOFILE", "Environment", "CPUQuota"):
        systemd.as_dict("/x", systemd.parse_unit_file(f"[Service]\n{name}={value}\n", known=KNOWN))
