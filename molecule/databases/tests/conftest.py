# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the playbook as a process, and sessions of a database that do what a test wants."""
from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import scenario

CHECKS = ["databases." + name for name in (
    "reachable", "connections", "idle_in_transaction", "lock_wait", "replication_lag", "memory")]


@dataclass(frozen=True)
class Run:
    output: str
    folder: Path
    report: dict[str, Any]

    def results(self, host: str, check: str = "") -> dict[str, dict[str, Any]]:
        """By subject (one check) or by check and subject."""
        assert self.report, self.output[-4000:]
        (row,) = (one for one in self.report["hosts"] if one["name"] == host)
        lines = [line for line in row["results"] if line["status"] != "notselected"]
        if check:
            return {line["subject"]: line for line in lines if line["id"] == f"databases.{check}"}
        return {f"{line['id'].split('.')[1]} {line['subject']}": line for line in lines}

    def text(self) -> str:
        """Everything that the run has written."""
        return self.output + "".join(path.read_text(errors="replace") for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def preflight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``preflight("store", preflight_databases=[...])`` as a user types it, in profile standard."""

    def run(limit: str, **variables: Any) -> Run:
        folder = tmp_path_factory.mktemp("reports")
        extra = {"preflight_profile": "standard", "preflight_checks": CHECKS, "preflight_skip_checks": [], "preflight_services": [],
                 **variables}
        _rc, output, report = scenario.preflight(folder, "--limit", limit, **extra)
        return Run(output, folder, report)

    return run


@pytest.fixture(scope="session")
def store() -> Any:
    return scenario.connect("store")


CLIENTS = {
    "postgres": "PGAPPNAME=api PGPASSWORD=app-word psql -X -q -h 127.0.0.1 -U app orders",
    "mariadb": "MYSQL_PWD=app-word mariadb --no-defaults -h 127.0.0.1 -u app shop",
}


# How many sessions the service's user has: of all, idle, in a transaction that says nothing, waiting for a lock.
SESSIONS = {
    "postgres": """runuser -u postgres -- psql -XAtF ' ' -c "select count(*), count(*) filter (where state = 'idle'),
        count(*) filter (where state = 'idle in transaction'), count(*) filter (where wait_event_type = 'Lock')
        from pg_stat_activity where usename = 'app'" """,
    "mariadb": """mariadb -N -e "select count(*), ifnull(sum(command = 'Sleep' and trx_id is null), 0),
        ifnull(sum(command = 'Sleep' and trx_id is not null), 0), ifnull(sum(trx_state = 'LOCK WAIT'), 0)
        from information_schema.processlist p left join information_schema.innodb_trx on trx_mysql_thread_id = p.id
        where user = 'app'" """,
}


@pytest.fixture
def session(store: Any) -> Iterator[Callable[..., None]]:
    """``session("postgres", "begin; ...", then=(1, 0, 1, 0))``: a session of the service's user that says this and then stays, until the
    test ends. It returns when the server has as many as ``then`` says (:data:`SESSIONS`)."""
    units = "lab-session-*"

    def there(kind: str) -> tuple[int, ...]:
        return tuple(int(word) for word in store.check_output(SESSIONS[kind]).split())

    def begin(kind: str, sql: str, count: int = 1, *, then: tuple[int, int, int, int]) -> None:
        script = f"for n in $(seq {count}); do (echo \"$1\"; sleep 900) | {CLIENTS[kind]} & done; wait"
        store.run_expect([0], "systemd-run --quiet --collect --unit=%s sh -c %s sh %s", units.replace("*", uuid.uuid4().hex), script, sql)
        scenario.wait_until(lambda: there(kind) == then, f"{then} sessions of {kind}")

    def end() -> None:
        store.run_expect([0], "systemctl stop %s", units)
        for kind in CLIENTS:
            scenario.wait_until(lambda kind=kind: there(kind)[0] == 0, f"no session of {kind}")

    end()
    yield begin
    end()
