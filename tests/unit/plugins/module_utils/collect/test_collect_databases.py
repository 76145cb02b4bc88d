# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset databases: whom to ask, by which program, and what that program is told. The programs are real processes that print what
the real ones did, and write down how they were called."""
from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils.collect import databases
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context
from ansible_collections.goready.preflight.plugins.module_utils.databases import driver

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures/databases"
SECRET = "correct-horse-battery"


def declared(name="orders", url="postgres://mon@db1/orders", **more):
    return {"name": name, "url": url, **more}


def asked(*found, services=(), credentials=(), budget=60.0):
    ctx = Context(services=services, credentials=credentials, active={"budget": budget, "databases": list(found)}, timeout=30)
    return databases.collect_servers(ctx)


# ------------------------------------------------------------------------------------------------------------- whom

def test_declared_servers_and_those_of_depends_on():
    services = [
        {"name": "api", "depends_on": ["postgres://app:pw@DB1:5432/orders", "https://pay.example.org", "redis://cache/0", "tcp://db9:5432"]},
        {"name": "web", "depends_on": ["postgresql://app@db1/other", "redis://cache:6379/1", "mysql://db1/shop"]},
    ]
    found, broken = databases.jobs([declared(services=["admin"])], services, [])
    assert [(one.name, one.declared, one.services) for one in found] == [
        ("orders", True, ["admin", "api", "web"]), ("cache:6379/0", False, ["api", "web"]), ("db1:3306/shop", False, ["web"])]
    assert broken == []


def test_two_declared_names_of_one_place_are_both_asked():
    found, _broken = databases.jobs([declared(), declared("shop", "postgres://mon@db1/shop")], [], [])
    assert [one.name for one in found] == ["orders", "shop"]


def test_a_url_that_cannot_be_read_is_an_entry():
    found, broken = databases.jobs([], [{"name": "api", "depends_on": ["mysql://app:" + SECRET + "@[db1/x"]}], [])
    assert found == []
    (entry,) = broken
    assert entry["error"]["kind"] == "url" and entry["services"] == ["api"] and SECRET not in json.dumps(entry)


def test_credentials_go_by_the_databases_name_and_are_never_shown():
    (job,), _broken = databases.jobs([declared()], [], [{"service": "orders", "username": "ops", "password": SECRET, "ca_file": "/ca.pem"}])
    assert (job.user, job.password, job.ca_file, job.given) == ("ops", SECRET, "/ca.pem", True)
    assert SECRET not in repr(job) and SECRET not in json.dumps(job.entry())


def test_a_password_in_a_depends_on_is_used_and_redacted():
    (job,), _broken = databases.jobs([], [{"name": "api", "depends_on": ["postgres://app:%s@db1/orders" % SECRET]}], [])
    assert job.password == SECRET and job.given
    assert job.entry()["url"] == "postgres://app:[redacted]@db1/orders"


# ------------------------------------------------------------------------------------------------------------- by which program

PROGRAM = """#!{python}
import json, os, sys
if sys.argv[1:] == ["--version"]:
    sys.exit(print({version!r}))
with open({call!r}, "w") as call:
    json.dump([sys.argv[1:], dict(os.environ), sys.stdin.read() if {stdin!r} else ""], call)
{before}
sys.stdout.write({out!r})
sys.stderr.write({err!r})
sys.exit({rc})
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """``programs("psql", out=..., err=..., rc=2)`` puts a program into PATH; ``.calls()`` are (argv, environment, standard input)."""
    folder, log = tmp_path / "bin", tmp_path / "log"
    folder.mkdir()
    log.mkdir()
    monkeypatch.setenv("PATH", "%s:%s" % (folder, os.environ["PATH"]))
    monkeypatch.setattr(databases, "_FOLDERS", (str(folder), "/usr/bin", "/bin"))

    class Programs:
        def __call__(self, name, *, out="", err="", rc=0, version="", before="", stdin=False):
            program = folder / name
            program.write_text(PROGRAM.format(python=sys.executable, call=str(log / name), out=out, err=err, rc=rc, version=version,
                                              before=before, stdin=stdin))
            program.chmod(0o755)

        def call(self, name):
            argv, environment, stdin = json.loads((log / name).read_text())
            return argv, environment, stdin

    return Programs()


def fixture(name):
    return (FIXTURES / name).read_text()


def test_psql_is_told_everything_by_its_environment(programs, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c search_path=evil")
    monkeypatch.setenv("PGSERVICE", "other")
    programs("psql", out=fixture("postgres_busy.out"), version="psql (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)")
    (server,) = asked(declared(ca_file="/etc/ca.pem", timeout=7), credentials=[{"service": "orders", "password": SECRET}])
    assert (server["error"], server["client"], server["connections"]["used"]) == (None, "psql 15.20", 6)
    argv, environment, _stdin = programs.call("psql")
    assert SECRET not in " ".join(argv) and "-X" in argv and "-w" in argv
    assert {key: value for key, value in environment.items() if key.startswith("PG")} == {
        "PGAPPNAME": "goready-preflight", "PGCONNECT_TIMEOUT": "7", "PGCLIENTENCODING": "UTF8", "PGDATABASE": "orders", "PGHOST": "db1",
        "PGPORT": "5432", "PGUSER": "mon", "PGPASSWORD": SECRET, "PGSSLROOTCERT": "/etc/ca.pem", "PGSSLMODE": "verify-full"}
    assert SECRET not in json.dumps(server)


ENVIRONMENTS = {
    "a passfile": (declared(passfile="/etc/pgpass"), [], {"PGPASSFILE": "/etc/pgpass"}),
    "a password goes before a passfile": (declared(passfile="/etc/pgpass"), [{"service": "orders", "password": SECRET}],
                                          {"PGPASSWORD": SECRET}),
    "a folder of sockets": (declared(url="postgres:///orders", socket="/run/postgresql"), [], {
        "PGHOST": "/run/postgresql", "PGPORT": "5432"}),
    "a socket's file": (declared(url="postgres:///orders", socket="/run/postgresql/.s.PGSQL.5433"), [], {
        "PGHOST": "/run/postgresql", "PGPORT": "5433"}),
    "several hosts": (declared(url="postgres://a,b:5433/orders"), [], {"PGHOST": "a,b", "PGPORT": "5432,5433"}),
    "no database": (declared(url="postgres://db1"), [], {"PGDATABASE": "postgres"}),
    "sslmode of the URL": (declared(url="postgres://db1/x?sslmode=require"), [], {"PGSSLMODE": "require", "PGSSLROOTCERT": None}),
    "no file of CAs is the system's": (declared(url="postgres://db1/x?sslmode=verify-full"), [], {
        "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/passwd"}),
    "a file of CAs": (declared(url="postgres://db1/x?sslmode=verify-ca&sslrootcert=/my.pem"), [], {
        "PGSSLMODE": "verify-ca", "PGSSLROOTCERT": "/my.pem"}),
    "a client's certificate": (declared(url="postgres://db1/x?sslcert=/c.pem&sslkey=/k.pem"), [], {
        "PGSSLCERT": "/c.pem", "PGSSLKEY": "/k.pem"}),
    "the primary of several": (declared(url="postgres://a,b/x?target_session_attrs=primary"), [], {"PGTARGETSESSIONATTRS": "read-write"}),
    "a replica of several": (declared(url="postgres://a,b/x?target_session_attrs=prefer-standby"), [], {
        "PGTARGETSESSIONATTRS": "prefer-standby"}),
    "no such attribute": (declared(url="postgres://a,b/x?target_session_attrs=best"), [], {"PGTARGETSESSIONATTRS": None}),
    "a CA without its name": (declared(ca_file="/ca.pem"), [{"service": "orders", "validate_certs": False}], {"PGSSLMODE": "require"}),
}


@pytest.mark.parametrize(("one", "credentials", "expected"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_environments_of_libpq(one, credentials, expected, monkeypatch):
    monkeypatch.setattr(databases.certificate, "CA_FILES", ("/nonexistent/ca.pem", "/etc/passwd", "/etc/group"))
    (job,), _broken = databases.jobs([one], [], credentials)
    environment = databases.postgres_environment(job)
    assert {key: environment.get(key) for key in expected} == expected
    assert not {"PGPASSWORD", "PGPASSFILE"} <= set(environment)


def test_mariadb_reads_its_statements_and_no_option_file(programs, tmp_path):
    programs("mariadb", out=fixture("mariadb_row.out"), stdin=True,
             version="mariadb  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)")
    (server,) = asked(declared("shop", "mysql://mon@localhost/shop"), credentials=[{"service": "shop", "password": SECRET}])
    assert (server["error"], server["client"], server["lock_waits"][0]["kind"]) == (None, "mariadb 10.11.19", "row")
    argv, environment, stdin = programs.call("mariadb")
    # The first option decides which files are read; "localhost" without a protocol would be the socket.
    assert argv[0] == "--no-defaults"
    # An account, or the server, may want TLS; "--ssl" goes on without where there is none.
    assert {"--local-infile=0", "--protocol=tcp", "--host=localhost", "--ssl", "--skip-ssl-verify-server-cert"} <= set(argv)
    assert SECRET not in " ".join(argv) + stdin and environment["MYSQL_PWD"] == SECRET
    assert stdin.startswith("select 'limit1' as '@goready-preflight';\n")


def test_mysql_8_has_another_option_for_a_certificate(tmp_path):
    (job,), _broken = databases.jobs([declared("shop", "mysql://db1/shop", ca_file="/ca.pem")], [], [])
    assert databases.mysql_arguments(job, str(tmp_path), "mysql  Ver 8.0.36 for Linux on x86_64")[-2:] == [
        "--ssl-ca=/ca.pem", "--ssl-mode=VERIFY_IDENTITY"]


OPTION_FILES = {
    "the inventory's": (declared("shop", "mysql://db1/shop", defaults_file="/etc/shop.cnf"), [], "--defaults-file=/etc/shop.cnf"),
    "one's own where no password is given": (declared("shop", "mysql://db1/shop"), [], "--defaults-file=%s/.my.cnf"),
    "none beside a password": (declared("shop", "mysql://db1/shop"), [{"service": "shop", "password": SECRET}], "--no-defaults"),
}


@pytest.mark.parametrize(("one", "credentials", "expected"), OPTION_FILES.values(), ids=OPTION_FILES)
def test_option_files_of_mysql(tmp_path, one, credentials, expected):
    (tmp_path / ".my.cnf").write_text("[client]\npassword=x\n")
    (job,), _broken = databases.jobs([one], [], credentials)
    assert databases.mysql_arguments(job, str(tmp_path), "")[0] == (expected % tmp_path if "%" in expected else expected)


def test_no_password_of_an_option_file_is_shown_to_a_server_of_depends_on(tmp_path):
    (tmp_path / ".my.cnf").write_text("[client]\npassword=x\n")
    (job,), _broken = databases.jobs([], [{"name": "api", "depends_on": ["mysql://root@db9/shop"]}], [])
    assert databases.mysql_arguments(job, str(tmp_path), "")[0] == "--no-defaults"


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"  # nobody may wait for it in a container
    except OSError:
        return False


def test_a_client_outlives_a_killed_module_for_some_seconds_only(programs, tmp_path):
    """redis-cli waits for ever for a server that accepts and says nothing."""
    mark = tmp_path / "pid"
    programs("redis-cli", before="open(%r, 'w').write(str(os.getpid())); import time; time.sleep(60)" % str(mark),
             version="redis-cli 7.0.15")
    code = ("import sys; from ansible_collections.goready.preflight.plugins.module_utils.collect import databases as d\n"
            "from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context\n"
            "d._FOLDERS = (%r, '/usr/bin', '/bin')\n"
            "d.collect_servers(Context(active={'budget': 60, 'databases': [%r]}, timeout=30))" % (
                str(tmp_path / "bin"), declared("cache", "redis://127.0.0.1:1", timeout=1)))
    module = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    end = time.monotonic() + 20
    while not (mark.exists() and mark.read_text()) and time.monotonic() < end:
        time.sleep(0.02)
    module.kill()
    module.wait()
    pid = int(mark.read_text())
    while runs(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs(pid)


def test_redis_cli_is_asked_twice_in_one_run(programs):
    programs("redis-cli", out=fixture("redis_full.out"), stdin=True, version="redis-cli 7.0.15")
    (server,) = asked(declared("cache", "rediss://ops@cache:6380/0", ca_file="/ca.pem"),
                      credentials=[{"service": "cache", "password": SECRET}])
    assert (server["error"], server["client"], server["memory"]["policy"]) == (None, "redis-cli 7.0.15", "noeviction")
    argv, environment, stdin = programs.call("redis-cli")
    assert argv == ["-h", "cache", "-p", "6380", "--user", "ops", "--tls", "--sni", "cache", "--cacert", "/ca.pem"]
    assert stdin.splitlines() == ["CLIENT SETNAME goready-preflight", "INFO", "CONFIG GET maxclients", "CLIENT LIST", "INFO"]
    assert environment["REDISCLI_AUTH"] == SECRET


def test_a_login_that_redis_refused_is_no_answer_of_the_default_users(programs):
    programs("redis-cli", out=fixture("redis_wrong.out"), err=fixture("redis_wrong.err"), stdin=True, version="redis-cli 7.0.15")
    (server,) = asked(declared("cache", "redis://ops@cache"), credentials=[{"service": "cache", "password": SECRET}])
    assert server["error"] == {"kind": "auth", "message": "WRONGPASS invalid username-password pair or user is disabled"}
    assert server["connections"] is None


NOPERM = "NOPERM this user has no permissions to run the '%s' command\n"


@pytest.mark.parametrize("word", ["NOPERM", "ERR"], ids=["redis-cli", "redis-py"])
def test_an_account_that_may_not_ask_for_info_is_let_in(programs, word):
    """What Redis 7.0.15 says to ``+@all -@dangerous``, which an account of a service mostly is."""
    out = "OK\n" + "".join(NOPERM % name for name in ("info", "config|get", "client|list", "info")).replace("NOPERM", word)
    programs("redis-cli", out=out, stdin=True, version="redis-cli 7.0.15")
    (server,) = asked(services=[{"name": "api", "depends_on": ["redis://app:%s@cache" % SECRET]}])
    assert (server["error"], server["connections"], server["memory"], server["replication"]) == (None, None, None, None)
    assert server["unreadable"][0] == "INFO: %s this user has no permissions to run the 'info' command" % word


def test_a_redis_that_loads_does_not_answer(programs):
    out = "OK\n" + fixture("redis_full.out").replace("\nloading:0", "\nloading:1")
    programs("redis-cli", out=out, stdin=True, version="redis-cli 7.0.15")
    (server,) = asked(declared("cache", "redis://cache"))
    assert server["error"] == {"kind": "starting", "message": "it loads its data set into memory"} and server["memory"] is None


def test_what_a_server_says_of_a_password_stays_on_the_host(programs):
    programs("psql", err='psql: error: FATAL:  password "%s" of user "mon" is wrong, authentication failed\n' % SECRET, rc=2,
             version="psql (PostgreSQL) 16.1")
    (server,) = asked(declared(), credentials=[{"service": "orders", "password": SECRET}])
    assert server["error"]["kind"] == "auth" and SECRET not in json.dumps(server)


def test_a_client_that_hangs_is_ended(programs):
    programs("psql", before="import time; time.sleep(60)", version="psql (PostgreSQL) 16.1")
    (server,) = asked(declared(timeout=1))
    assert server["error"] == {"kind": "timeout", "message": "no answer within 4 s"}
    assert 3.5 < server["seconds"] < 8


def test_a_budget_that_is_used_up(programs):
    programs("psql", before="import time; time.sleep(60)", version="psql (PostgreSQL) 16.1")
    servers = asked(*[declared("db%d" % number) for number in range(6)], budget=2.5)
    assert {one["error"]["kind"] for one in servers} == {"budget"}
    assert servers[0]["error"]["message"] == "the budget of 2.5 s (preflight_budget) was used up"


def test_no_client_and_no_driver(programs, monkeypatch):
    monkeypatch.setattr(databases, "_FOLDERS", ())
    monkeypatch.setattr(databases, "_newest_folders", list)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(driver, "DRIVERS", {"postgres": ("no_such_driver",), "mysql": ("no_such_driver",), "redis": ("no_such_driver",)})
    servers = asked(declared(), declared("shop", "mysql://db1/shop"), declared("cache", "redis://cache"))
    assert [one["error"] for one in servers] == [
        {"kind": "no_client", "message": "there is neither psql nor Python's no_such_driver on this host"},
        {"kind": "no_client", "message": "there is neither mariadb nor mysql nor Python's no_such_driver on this host"},
        {"kind": "no_client", "message": "there is neither redis-cli nor valkey-cli nor Python's no_such_driver on this host"}]


def test_a_user_that_is_not_there(programs):
    programs("psql")
    (server,) = asked(declared(run_as="no-such-user"))
    assert server["error"] == {"kind": "run_as", "message": "there is no user no-such-user on this host"}


def test_to_ask_as_oneself_needs_no_other_program(programs):
    programs("psql", out=fixture("postgres_busy.out"), version="psql (PostgreSQL) 15.20")
    (server,) = asked(declared(run_as=getpass.getuser()))
    assert server["error"] is None


def test_one_server_that_sends_nonsense_leaves_the_others(programs):
    programs("psql", out="\x00{\"q\": \"server\", \"v\": [1, 2]}" * 3, version="")
    programs("redis-cli", out=fixture("redis_replica.out"), stdin=True, version="redis-cli 7.0.15")
    orders, cache = asked(declared(), declared("cache", "redis://cache"))
    assert orders["client"] == "psql" and orders["connections"] is None
    assert cache["replication"]["role"] == "replica"


# ------------------------------------------------------------------------------------------------------------- by a driver

DRIVER = '''
import os
class Error(Exception):
    pass
OperationalError = Error
class Cursor:
    description = [("name",), ("value",)]
    def execute(self, sql):
        if "innodb_trx" in sql:
            raise Error(1227, "Access denied; you need the PROCESS privilege")
    def fetchall(self):
        return [("max_connections", 151), (None, None)]
class Connection:
    def cursor(self):
        return Cursor()
    def close(self):
        pass
class connections:
    class Connection(Connection):
        def __init__(self, **options):
            self.server_capabilities = int(os.environ["CAPABILITIES"], 16)
            if options["ssl"] != {"ca": "/ca.pem", "check_hostname": True}:
                raise Error(2026, "SSL connection error: nobody is verified")
            self._request_authentication()
        def _request_authentication(self):
            pass
def connect(**options):
    if options["ssl"] != {"check_hostname": False}:
        raise Error(1045, "Access denied: the account REQUIREs SSL")
    if options["password"] != "correct-horse-battery":
        raise Error(1045, "Access denied for user 'mon'@'app1' (using password: YES)")
    return Connection()
'''


@pytest.fixture
def pymysql(programs, monkeypatch, tmp_path):
    """No client program, and this driver; ``pymysql["CAPABILITIES"]`` are its server's."""
    monkeypatch.setattr(databases, "_FOLDERS", ())
    monkeypatch.setattr(databases, "_newest_folders", list)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pymysql.py").write_text(DRIVER)
    environment, more = databases._environment, {"PYTHONPATH": str(tmp_path)}
    monkeypatch.setattr(databases, "_environment", lambda user: {**environment(user), **more})
    return more


@pytest.mark.parametrize(("capabilities", "kind"), [("a800", None), ("a000", "tls")], ids=["TLS", "none"])
def test_a_driver_tells_no_password_without_the_tls_that_is_wanted(pymysql, capabilities, kind):
    pymysql["CAPABILITIES"] = capabilities
    (server,) = asked(declared("shop", "mysql://mon@db1/shop", ca_file="/ca.pem"), credentials=[{"service": "shop", "password": SECRET}])
    assert (server["error"] or {"kind": None})["kind"] == kind


@pytest.mark.parametrize(("password", "kind"), [(SECRET, None), ("another-password", "auth")], ids=["let in", "refused"])
def test_a_driver_in_a_python_of_its_own(pymysql, password, kind):
    (server,) = asked(declared("shop", "mysql://mon@db1/shop"), credentials=[{"service": "shop", "password": password}])
    assert server["client"] == "python pymysql"
    assert (server["error"] or {"kind": None})["kind"] == kind
    if kind is None:
        assert server["unreadable"][0].startswith("open transactions (right PROCESS): ")
