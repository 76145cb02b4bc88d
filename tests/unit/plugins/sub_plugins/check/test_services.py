# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

HOST, TROUBLE, USER = "checks/host.json", "checks/trouble.json", "checks/user.json"
HEALTH = "http://127.0.0.1:8080/healthz"


def of(name: str, **edits: Any) -> dict[str, Any]:
    """Edits of one service: ``of("api", unit=None)``, ``of("api", properties__Restart="no")``."""
    return {f"services/services/{name}/{path.replace('__', '/')}": value for path, value in edits.items()}


def row(**values: Any) -> dict[str, Any]:
    return values


def prop(name: str, **values: str) -> dict[str, Any]:
    return {f"services/services/{name}/properties/{key}": value for key, value in values.items()}


CONTAINER = {"runtime": "podman", "id": "0123456789ab"}
IN_CONTAINER = of("api", container=CONTAINER, unit=None, manager=None, properties=None, unit_files=[])
BY_HAND = of("api", unit=None, manager=None, properties=None, unit_files=[])
USERS_OWN = of("api", manager="user", manager_user="deploy", properties=None, unit_files=[])
NO_SYSTEMD = {
    **of("api", properties=None, unit_files=[]),
    "errors/0": {"part": "services.systemd", "kind": "timeout", "message": "systemctl did not end within 8.0 s"},
}
NOT_RUNNING = of("api", processes=[], main_pid=None)
RUNS_IN = "It runs in the podman container 0123456789ab: the container's runtime starts it, not a unit of this host."
HAND = "It was started by hand or by another program: no systemd unit belongs to it."
SILENT = "systemd's view of api.service was not read: systemctl did not end within 8.0 s"


def discovered(name: str) -> dict[str, Any]:
    return of(name, declared=False)


ROWS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "services.present": [
        ("loaded", row(subject="api", status="pass", reason="api.service is installed.", evidence="LoadState=loaded")),
        ("not-found", row(subject="gone", status="fail", reason="There is no unit gone.service on this host.")),
        ("not-found-but-runs", row(
            subject="api", edits=prop("api", LoadState="not-found"), status="fail",
            reason="There is no unit api.service on this host. A process of it runs all the same.")),
        ("masked", row(base=TROUBLE, subject="masked", status="fail",
                       reason="masked.service is masked: systemd refuses to start it.",
                       command="sudo systemctl unmask masked.service")),
        ("bad-setting", row(subject="api", edits=prop("api", LoadState="bad-setting"), status="fail",
                            reason="systemd cannot use api.service: its LoadState is bad-setting.",
                            command="systemd-analyze verify api.service")),
        ("no-program", row(
            base=TROUBLE, subject="missing", status="fail", role="release",
            reason="missing.service is installed, but its program /opt/nothere/api is not on disk: it cannot start.",
            evidence="/opt/nothere/api: no such file or directory")),
        ("not-executable", row(
            subject="api", edits={**NOT_RUNNING, **of("api", binary__mode="0644")}, status="fail", evidence="mode 0644",
            reason="api.service is installed, but its program /opt/api/current/api is not executable: it cannot start.")),
        ("program-in-an-image", row(base=TROUBLE, subject="missing", edits=prop("missing", RootDirectory="/srv/image"),
                                    status="pass", reason="missing.service is installed.")),
        ("in-a-container", row(subject="api (podman container)", edits=IN_CONTAINER, status="pass",
                               reason="It runs as PID 211 in the podman container 0123456789ab.")),
        ("by-hand", row(subject="api", edits=BY_HAND, status="pass", reason="It runs as PID 211, without a systemd unit.")),
        ("systemd-silent", row(subject="api", edits={**NO_SYSTEMD, **NOT_RUNNING}, status="unknown",
                               reason="Whether api.service is installed is unknown: systemd's view of it was not read.")),
        ("nothing-at-all", row(subject="api", edits={**BY_HAND, **NOT_RUNNING}, status="fail",
                               reason="No unit and no running process of it was found on this host.")),
        ("not-in-the-facts", row(subject="late", services=[{"name": "late"}], status="unknown",
                                 reason="late was not looked for when these facts were collected.")),
        ("as-a-user", row(
            base=USER, subject="", status="unknown", severity="low", evidence="not readable: api, bad, caddy",
            reason="Services may have been missed: 17 processes could not be told to be Go programs or not (the executables of "
                   "other users' processes are readable by root only).")),
        ("as-a-user-nothing-declared", row(
            base=USER, subject="", edits={"services/services": []}, status="unknown", severity="critical",
            reason="Services may have been missed: 17 processes could not be told to be Go programs or not (the executables of "
                   "other users' processes are readable by root only).")),
        ("nothing-declared", row(subject="", edits={"services/services": []}, status="notapplicable",
                                 reason="preflight_services declares no service; what runs here was discovered.")),
    ],
    "services.active": [
        ("running", row(subject="caddy", status="pass", reason="caddy.service is active (running).")),
        ("failed", row(base=TROUBLE, subject="crash", status="fail", evidence="NRestarts=6",
                       command="journalctl -u crash.service",
                       reason="crash.service is failed (failed), result exit-code, exit status 1; it should be active.")),
        ("between-two-crashes", row(
            subject="api", edits=prop("api", ActiveState="activating", SubState="auto-restart", Result="exit-code"),
            status="fail", reason="api.service is activating (auto-restart), result exit-code; it should be active.")),
        ("stopped", row(subject="api", edits=prop("api", ActiveState="inactive", SubState="dead"), status="fail",
                        reason="api.service is inactive (dead); it should be active.")),
        ("stopped-but-processes-are-left", row(
            subject="caddy", edits=prop("caddy", ActiveState="inactive", SubState="dead"), status="fail", severity="medium",
            reason="caddy.service is inactive (dead); it should be active.")),
        ("reloading", row(subject="api", edits=prop("api", ActiveState="reloading", SubState="reload"), status="pass",
                          reason="api.service is reloading (reload).")),
        ("oneshot-done", row(base=TROUBLE, subject="once", status="pass",
                             reason="once.service is a oneshot service whose last run ended with success.")),
        ("oneshot-failed", row(base=TROUBLE, subject="once", edits=prop("once", Result="exit-code", ActiveState="failed"),
                               status="fail", reason="once.service is failed (dead), result exit-code; it should be active.")),
        ("socket-activated", row(
            subject="api", edits=prop("api", ActiveState="inactive", SubState="dead", TriggeredBy="api.socket"), status="unknown",
            command="systemctl status api.socket",
            reason="api.service is inactive (dead) and started on demand by api.socket: whether that listens was not read.")),
        ("systemd-silent", row(subject="api", edits={**NO_SYSTEMD, **NOT_RUNNING}, status="unknown", reason=SILENT)),
        ("systemd-silent-but-runs", row(subject="api", edits=NO_SYSTEMD, status="pass", reason="It runs as PID 211.")),
        ("not-installed", row(subject="gone", status="notapplicable",
                              reason="gone.service is not loaded (services.present judges that).")),
        ("by-hand", row(subject="hand", status="pass", reason="It runs as PID 253.", evidence="/proc/253/exe")),
    ],
    "services.enabled": [
        ("enabled", row(subject="api", status="pass", reason="api.service is enabled.")),
        ("disabled", row(base=TROUBLE, subject="crash", status="fail", command="sudo systemctl enable crash.service",
                         reason="crash.service is disabled: a reboot does not start it.")),
        ("disabled-discovered", row(base=TROUBLE, subject="crash", edits=discovered("crash"), status="fail", severity="medium",
                                    reason="crash.service is disabled: a reboot does not start it.")),
        ("disabled-with-a-timer", row(subject="api",
                                      edits=prop("api", UnitFileState="disabled", WantedBy="", TriggeredBy="api.timer"),
                                      status="pass", reason="api.service is disabled and started by api.timer.")),
        ("static-wanted", row(subject="api", edits=prop("api", UnitFileState="static"), status="pass",
                              reason="api.service is static and started by multi-user.target.")),
        ("static-alone", row(base=TROUBLE, subject="rep", status="unknown",
                             reason="rep.service is static, and systemd shows nothing that starts it at boot.")),
        ("static-alone-discovered", row(base=TROUBLE, subject="rep", edits=discovered("rep"), status="unknown", severity="low",
                                        reason="rep.service is static, and systemd shows nothing that starts it at boot.")),
        ("static-oneshot", row(base=TROUBLE, subject="once", status="notapplicable",
                               reason="once.service is a static oneshot service: it runs when somebody asks for it.")),
        ("generated-wanted", row(subject="api", edits=prop("api", UnitFileState="generated"), status="pass",
                                 reason="api.service is generated and started by multi-user.target.")),
        ("enabled-runtime", row(subject="api", edits=prop("api", UnitFileState="enabled-runtime"), status="fail",
                                reason="api.service is enabled until the next reboot only.")),
        ("masked-runtime", row(subject="api", edits=prop("api", UnitFileState="masked-runtime"), status="fail",
                               command="unmask", reason="api.service is masked-runtime: a reboot does not start it.")),
        ("transient", row(base=TROUBLE, subject="trans", status="fail",
                          reason="trans.service is transient: it was made by systemd-run or an API and is gone after a reboot.")),
        ("transient-discovered", row(base=TROUBLE, subject="trans", edits=discovered("trans"), status="notapplicable",
                                     reason="trans.service is a transient unit that somebody started by systemd-run or an API.")),
        ("not-told", row(subject="api", edits=prop("api", UnitFileState="", WantedBy=""), status="unknown",
                         reason="systemd does not tell whether api.service is enabled.")),
        ("systemd-silent", row(subject="api", edits=NO_SYSTEMD, status="unknown", reason=SILENT)),
        ("users-own-declared", row(
            subject="api", edits=USERS_OWN, status="unknown",
            reason="api.service belongs to a user's own systemd, whose properties were not read.")),
        ("users-own-discovered", row(
            subject="api", edits={**USERS_OWN, **discovered("api")}, status="notapplicable",
            reason="api.service belongs to a user's own systemd, whose properties were not read.")),
        ("in-a-container", row(subject="api (podman container)", edits=IN_CONTAINER, status="notapplicable", reason=RUNS_IN)),
        ("by-hand", row(subject="hand", status="notapplicable", reason=HAND)),
    ],
    "services.restart_policy": [
        ("on-failure", row(subject="api", status="pass", reason="api.service has Restart=on-failure.",
                           evidence="/etc/systemd/system/api.service:6: Restart=on-failure")),
        ("always", row(subject="wrap", status="pass", reason="wrap.service has Restart=always.")),
        ("no", row(subject="bad", status="fail", command="/etc/systemd/system/bad.service.d/50-restart.conf",
                   reason="bad.service has Restart=no: once it dies it stays dead; on-failure is wanted.")),
        ("on-abnormal-discovered", row(
            subject="etcd", status="fail", severity="low", evidence="/lib/systemd/system/etcd.service:18: Restart=on-abnormal",
            reason="etcd.service has Restart=on-abnormal: a Go panic exits with status 2, which that does not restart; "
                   "on-failure is wanted.")),
        ("on-success", row(subject="api", edits=prop("api", Restart="on-success"), status="fail",
                           reason="api.service has Restart=on-success: it comes back after a clean exit only; on-failure is wanted.")),
        ("oneshot", row(base=TROUBLE, subject="once", status="notapplicable",
                        reason="once.service is a oneshot service: it is meant to end.")),
        ("triggered", row(subject="bad", edits=prop("bad", TriggeredBy="bad.socket"), status="notapplicable",
                          reason="bad.service is started again by bad.socket.")),
        ("not-told", row(subject="api", edits=prop("api", Restart=""), status="unknown",
                         reason="systemd does not tell Restart= of api.service.")),
        ("systemd-silent", row(subject="api", edits=NO_SYSTEMD, status="unknown", reason=SILENT)),
    ],
    "services.flapping": [
        ("never", row(subject="api", status="pass",
                      reason="systemd has not restarted api.service since it was last started by hand.")),
        ("once", row(subject="api", edits=prop("api", NRestarts="1"), status="pass",
                     reason="systemd restarted api.service once since it was last started by hand.")),
        ("just-now", row(subject="api", edits={**prop("api", NRestarts="3"),
                         **of("api", processes__0__started="2026-11-21T06:40:12Z")},
                         status="fail", command="journalctl -u api.service",
                         reason="systemd restarted api.service 3 times, the last time 5 min ago; fewer than 3 are wanted.")),
        ("today", row(subject="api", edits={**prop("api", NRestarts="9"),
                      **of("api", processes__0__started="2026-11-20T18:45:12Z")},
                      status="fail", severity="medium",
                      reason="systemd restarted api.service 9 times, the last time 12 h ago; fewer than 3 are wanted.")),
        ("weeks-ago", row(subject="api", edits={**prop("api", NRestarts="9"),
                          **of("api", processes__0__started="2026-10-31T06:45:12Z")},
                          status="pass",
                          reason="systemd restarted api.service 9 times, the last time 21 days ago: it has been steady since.")),
        ("wider-window", row(subject="api", edits={**prop("api", NRestarts="9"),
                             **of("api", processes__0__started="2026-10-31T06:45:12Z")},
                             thresholds={"window_hours": 1000.0}, status="fail",
                             reason="systemd restarted api.service 9 times, the last time 21 days ago; fewer than 3 are wanted.")),
        ("gave-up", row(base=TROUBLE, subject="crash", status="fail",
                        reason="systemd restarted crash.service 6 times and then gave up.")),
        ("start-limit", row(subject="api", edits=prop("api", Result="start-limit-hit"), status="fail",
                            reason="systemd has given up on api.service: it ended too often in a short time.")),
        ("auto-restart", row(subject="api", edits=prop("api", SubState="auto-restart", NRestarts="1"), status="fail",
                             reason="api.service has ended and waits for its next restart (1 so far).")),
        ("stopped-since", row(subject="api", edits={**NOT_RUNNING, **prop("api", NRestarts="9", ActiveState="inactive")},
                              status="notapplicable",
                              reason="api.service does not run (services.active judges that); systemd had restarted it 9 times.")),
        ("age-unknown", row(subject="api", edits={**prop("api", NRestarts="3"), **of("api", processes__0__started=None)},
                            status="unknown",
                            reason="systemd restarted api.service 3 times; when the last time was is unknown.")),
        ("old-systemd", row(subject="api", edits=of("api", properties__NRestarts=...), status="unknown",
                            reason="systemd does not tell how often it restarted api.service.")),
    ],
    "services.root_user": [
        ("own-user", row(subject="api", status="pass", reason="api runs as api.", evidence="Uid 999 (api)")),
        ("as-a-user", row(base=USER, subject="api", status="pass", reason="api runs as api.")),
        ("root", row(subject="bad", status="fail", reason="bad runs as root; a user of its own is wanted.",
                     evidence="Uid 0 (root)")),
        ("root-discovered", row(subject="hand", status="fail", severity="low",
                                reason="hand runs as root; a user of its own is wanted.")),
        ("root-in-a-container", row(
            subject="api (podman container)",
            edits={**IN_CONTAINER, **of("api", processes__0__uid=0, processes__0__user="root")}, status="fail",
            severity="low", reason="api runs as root in the podman container 0123456789ab; a user of its own is wanted.")),
        ("container-engine", row(subject="hand", edits=of("hand", processes__0__exe="/usr/bin/dockerd"), status="notapplicable",
                                 reason="dockerd needs root by what it does.")),
        ("shim", row(subject="hand", edits=of("hand", processes__0__exe="/usr/bin/containerd-shim-runc-v2"),
                     status="notapplicable", reason="containerd-shim-runc-v2 needs root by what it does.")),
        ("allowed", row(subject="bad", thresholds={"allowed": ("bad",)}, status="notapplicable",
                        reason="bad needs root by what it does.")),
        ("stopped-root", row(base=TROUBLE, subject="crash", status="fail",
                             reason="crash.service would run as root; a user of its own is wanted.")),
        ("stopped-dynamic", row(base=TROUBLE, subject="crash", edits=prop("crash", DynamicUser="yes"), status="pass",
                                reason="crash.service would run as a dynamic user.")),
        ("uid-unknown", row(subject="api", edits=of("api", processes__0__uid=None), status="unknown",
                            reason="The user of api (PID 211) was not read.")),
        ("stopped-silent", row(subject="api", edits={**NO_SYSTEMD, **NOT_RUNNING}, status="unknown", reason=SILENT)),
    ],
    "services.unit_directives": [
        ("understood", row(subject="api", status="pass", reason="systemd understands all 10 lines of api.service.")),
        ("unknown-directive", row(
            subject="bad", status="fail", reason="bad.service has a line that systemd does not use: LimitNOFILESoft.",
            evidence="/etc/systemd/system/bad.service:8: [Service] LimitNOFILESoft: unknown directive, soft and hard limit are "
                     "written LimitNOFILE=soft:hard", command="sudo systemctl edit --full bad.service")),
        ("wrong-section", row(base=TROUBLE, subject="crash", status="fail",
                              reason="crash.service has a line that systemd does not use: StartLimitIntervalSec.")),
        ("vendor-unit", row(
            subject="etcd", status="fail", severity="low", command="sudo systemctl edit --full etcd.service",
            edits=of("etcd", unit_files__0__problems=[{"line": 9, "section": "Service", "name": "ProtectProc",
                                                       "message": "unknown directive"}]),
            reason="etcd.service has a line that systemd does not use: ProtectProc.")),
        ("two-without-names", row(
            subject="api", status="fail", evidence="/etc/systemd/system/api.service:3: no name=value",
            edits=of("api", unit_files__0__problems=[{"line": 3, "section": "", "name": "", "message": "no name=value"},
                                                     {"line": 5, "section": "Servcie", "name": "", "message": "unknown section"}]),
            reason="api.service has 2 lines that systemd does not use: line, Servcie.")),
        ("not-reloaded", row(base=TROUBLE, subject="api", status="fail", severity="medium",
                             reason="api.service was changed on disk and systemd has not read the change.",
                             command="sudo systemctl daemon-reload && sudo systemctl restart api.service")),
        ("ignored-drop-in", row(
            subject="api", edits=of("api", ignored_files=["/etc/systemd/system/api.service.d/limits"]), status="fail",
            severity="medium",
            reason="systemd does not read /etc/systemd/system/api.service.d/limits: names of drop-ins end in .conf.")),
        ("file-unreadable", row(subject="api", edits=of("api", unit_files__0__error="permission denied"), status="unknown",
                                reason="The files of api.service were not all read.",
                                evidence="/etc/systemd/system/api.service: permission denied")),
        ("no-files", row(subject="api", edits=of("api", unit_files=[]), status="unknown",
                         reason="The files of api.service were not read.")),
        ("directives-unknown", row(
            subject="api", edits={"services/systemd/directives_known": False}, status="unknown",
            reason="Which directives this systemd knows was not read; no other fault was found in api.service.")),
        ("systemd-silent", row(subject="api", edits=NO_SYSTEMD, status="unknown", reason=SILENT)),
        ("by-hand", row(subject="hand", status="notapplicable", reason=HAND)),
    ],
    "services.healthy": [
        ("200", row(subject="api", services=[{"name": "api", "health": HEALTH}], status="pass",
                    reason="http://127.0.0.1:8080/healthz answered 200 in 0 ms.")),
        ("503", row(subject="api", services=[{"name": "api", "health": HEALTH}],
                    edits={"pprof/health/0/status": 503, "pprof/health/0/ok": False}, status="fail",
                    reason="http://127.0.0.1:8080/healthz answered 503; 2xx is wanted.",
                    command="curl -sS -i --max-time 5 http://127.0.0.1:8080/healthz")),
        ("redirect", row(subject="api", services=[{"name": "api", "health": HEALTH}],
                         edits={"pprof/health/0/status": 302, "pprof/health/0/ok": False}, status="fail",
                         reason="http://127.0.0.1:8080/healthz answered 302; 2xx is wanted.")),
        ("refused", row(
            subject="api", services=[{"name": "api", "health": HEALTH}], status="fail",
            edits={"pprof/health/0": {"service": "api", "url": HEALTH, "status": None, "ms": None, "ok": False,
                                      "error": "connection refused"}},
            reason="http://127.0.0.1:8080/healthz did not answer: connection refused; 2xx is wanted.")),
        ("not-asked", row(
            subject="api", services=[{"name": "api", "health": HEALTH}], status="unknown",
            edits={"pprof/health/0": {"service": "api", "url": HEALTH, "status": None, "ms": None, "ok": None,
                                      "error": "the name api.internal was not resolved"}},
            reason="http://127.0.0.1:8080/healthz could not be tried: the name api.internal was not resolved.")),
        ("not-collected", row(
            subject="api", services=[{"name": "api", "health": HEALTH}], status="unknown",
            edits={"pprof": ..., "errors/0": {"part": "pprof.health", "kind": "timeout", "message": "not reached in time"}},
            reason="http://127.0.0.1:8080/healthz was not tried on the host: not reached in time")),
        ("unix-socket", row(
            subject="api", services=[{"name": "api", "health": "unix:///run/api/health.sock"}], status="fail",
            edits={"pprof/health/0": {"service": "api", "url": "unix:///run/api/health.sock", "status": 500, "ms": 2, "ok": False,
                                      "error": None}},
            reason="unix:///run/api/health.sock answered 500; 2xx is wanted.",
            command="curl -sS -i --max-time 5 --unix-socket /run/api/health.sock http://localhost/")),
        ("none-declared", row(subject="", status="notapplicable",
                              reason="No service of preflight_services declares a health URL.")),
    ],
    "services.hardening": [
        ("confined", row(subject="api", status="pass",
                         reason="api.service sets NoNewPrivileges, ProtectSystem, ProtectHome, PrivateTmp.")),
        ("open", row(subject="bad", status="fail",
                     reason="bad.service does not set NoNewPrivileges, ProtectSystem, ProtectHome, PrivateTmp.",
                     command="'[Service]\\nNoNewPrivileges=yes\\nProtectSystem=full\\nProtectHome=yes\\nPrivateTmp=yes'")),
        ("other-wish", row(subject="bad", thresholds={"wanted": ("PrivateTmp",)}, status="fail",
                           reason="bad.service does not set PrivateTmp.")),
        ("vendor", row(subject="caddy", status="notapplicable",
                       reason="caddy.service is its package's unit, and nobody declared it.")),
        ("container-engine", row(subject="bad", edits=of("bad", processes__0__exe="/usr/bin/containerd"), status="notapplicable",
                                 reason="containerd needs the whole machine by what it does.")),
        ("not-told", row(subject="api", edits=of("api", properties={"LoadState": "loaded"}), status="unknown",
                         reason="systemd does not tell how api.service is confined.")),
        ("by-hand", row(subject="hand", status="notapplicable", reason=HAND)),
    ],
}


@pytest.mark.parametrize(
    ("check", "case"), [pytest.param(check, case, id=f"{check}-{name}") for check, rows in ROWS.items() for name, case in rows])
def test_judgement(check: str, case: Mapping[str, Any], expect: Callable[..., None]) -> None:
    expect(**{"check": check, "base": HOST, **case})


@pytest.mark.parametrize("check", list(ROWS))
def test_packages_of_the_distribution_block_nothing(check: str, recorded: Callable[..., Any], judge: Callable[..., Any]) -> None:
    results = judge(check, recorded(HOST))
    for name in ("caddy", "etcd", "prometheus-node-exporter"):
        result = results.get(name)
        assert result is None or result.status in ("pass", "notapplicable") or result.severity in ("info", "low", "medium")


@pytest.mark.parametrize("check", list(ROWS))
def test_without_the_subset_nothing_passes(check: str, recorded: Callable[..., Any], judge: Callable[..., Any]) -> None:
    error = {"part": "services", "kind": "timeout", "message": "the collector did not end in time"}
    results = judge(check, recorded(HOST, {"services": ..., "errors/0": error}))
    assert {one.status for one in results.values()} == {"error"}


def test_a_wrapper_script_is_not_the_service(recorded: Callable[..., Any], judge: Callable[..., Any]) -> None:
    result = judge("services.root_user", recorded(HOST))["wrap"]
    assert result.evidence[0] == "/proc/222/status: Uid 0 (root)"  # the Go program, not the shell with PID 221
