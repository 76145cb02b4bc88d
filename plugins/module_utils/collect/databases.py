# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subset ``databases``: what the database servers that the services need say of themselves, asked from this host.

Asked are ``preflight_databases`` and the servers of the services' ``depends_on``, by the server's own client program (psql, mariadb
or mysql, redis-cli or valkey-cli) or its Python driver, whichever the host has. One run of a client a server, several servers side
by side. Every statement only reads.

A client's environment is made here and has nothing of the module's own. A password is in that environment alone, never in an
argument. Where the inventory gives none the client finds its own: ``~/.pgpass``, and for ``preflight_databases`` ``~/.my.cnf``.
"""
from __future__ import annotations

import errno
import importlib.util
import json
import os
import pwd
import re
import shutil
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import certificate
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable
from ansible_collections.goready.preflight.plugins.module_utils.databases import driver, mysql, postgres, redis
from ansible_collections.goready.preflight.plugins.module_utils.databases.target import (
    APPLICATION, SCHEMES, Failure, Target, parse, words,
)
from ansible_collections.goready.preflight.plugins.module_utils.redact import redact_url

WORKERS = 4        # servers that are asked side by side
SERVERS = 50       # that are asked at all
TIMEOUT = 5        # seconds for a connection where nobody says so, and for one statement
OUTPUT = 2 << 20   # bytes of a client's answer
SECONDS = 3600.0   # the part's own bound; the budget is the real one

#: Client programs of each kind, best first, and where they are beside PATH.
PROGRAMS: Mapping[str, Tuple[str, ...]] = {
    "postgres": ("psql",), "mysql": ("mariadb", "mysql"), "redis": ("redis-cli", "valkey-cli"),
}
_FOLDERS = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/usr/local/pgsql/bin", "/usr/local/mysql/bin", "/opt/bin")
PACKAGES: Mapping[str, str] = {"postgres": postgres.PACKAGE, "mysql": mysql.PACKAGE, "redis": redis.PACKAGE}
#: What can go wrong with one server's answer, whatever it sends: it costs that server, not the others.
_BROKEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, OSError, Unavailable)


@dataclass
class Job:
    """A server to ask, and what becomes its facts."""

    name: str
    target: Target
    declared: bool
    services: List[str]
    url: str
    run_as: str = ""
    passfile: str = ""
    defaults_file: str = ""
    ca_file: str = ""
    verify: bool = True
    timeout: int = TIMEOUT
    password: str = field(default="", repr=False)

    @property
    def user(self) -> str:
        return self.target.user

    @property
    def given(self) -> bool:
        """Whether the inventory says how to log in (else the client may know by itself)."""
        return bool(self.password or self.passfile or self.defaults_file or self.run_as)

    def entry(self, error: Optional[Failure] = None) -> Dict[str, Any]:
        """The server's facts before it was asked."""
        return {
            "name": self.name, "kind": self.target.kind, "url": self.url, "place": self.target.place, "database": self.target.database,
            "services": self.services, "declared": self.declared, "credentials": self.given, "client": None, "user": self.user or None,
            "seconds": None, "error": error.as_dict() if error else None, "version": None, "login": None, "sees_all": None,
            "answered_by": None, "server_id": None, "connections": None, "idle_in_transaction": None, "idle_in_transaction_count": None,
            "idle_in_transaction_limit": None, "longest": None, "lock_waits": None, "replication": None, "memory": None, "clients": None,
            "unreadable": [],
        }


# ------------------------------------------------------------------------------------------------------------- what to ask

def jobs(databases: Sequence[Mapping[str, Any]], services: Sequence[Mapping[str, Any]],
         credentials: Sequence[Mapping[str, Any]]) -> Tuple[List[Job], List[Dict[str, Any]]]:
    """The servers to ask, declared ones first, and the entries of those whose URL cannot be read.

    A URL of ``depends_on`` that means the host and port of another is that server: its services are added there.
    """
    found: List[Job] = []
    broken: List[Dict[str, Any]] = []
    by_name = {str(one.get("service")): one for one in credentials}
    places: Dict[Tuple[str, str], Job] = {}
    for one in databases:
        job = _job(str(one.get("name")), str(one.get("url")), one, by_name, broken)
        if job is not None:
            found.append(job)
            places.setdefault((job.target.kind, job.target.place), job)
    for service in services:
        for url in service.get("depends_on") or ():
            if str(url).split(":", maxsplit=1)[0] not in SCHEMES:
                continue
            job = _job("", str(url), {"services": [service.get("name")]}, by_name, broken)
            if job is None:
                continue
            key = (job.target.kind, job.target.place)
            known = places.get(key)
            if known is None:
                found.append(job)
                places[key] = job
            else:
                known.services += [name for name in job.services if name not in known.services]
    return found, broken


def _job(name: str, url: str, one: Mapping[str, Any], credentials: Mapping[str, Mapping[str, Any]],
         broken: List[Dict[str, Any]]) -> Optional[Job]:
    services = [str(service) for service in one.get("services") or ()]
    try:
        target = parse(url, str(one.get("socket") or ""))
    except ValueError as exc:
        nothing = Target(kind=SCHEMES.get(url.split(":", maxsplit=1)[0], ("", 0, False))[0], scheme="", hosts=())
        broken.append(Job(name=name or words(redact_url(url), 200), target=nothing, declared=bool(name), services=services,
                          url=words(redact_url(url), 200)).entry(Failure("url", words(exc))))
        return None
    own = credentials.get(name or target.name, {})
    target = Target(kind=target.kind, scheme=target.scheme, hosts=target.hosts, user=str(own.get("username") or target.user),
                    database=target.database, socket=target.socket, options=target.options,
                    password=str(own.get("password") or target.password))
    return Job(
        name=name or words(target.name, 200), target=target, declared=bool(name), services=services, url=words(redact_url(url), 200),
        run_as=str(one.get("run_as") or ""), passfile=str(one.get("passfile") or ""), defaults_file=str(one.get("defaults_file") or ""),
        ca_file=str(one.get("ca_file") or own.get("ca_file") or ""), verify=own.get("validate_certs") is not False,
        timeout=int(one.get("timeout") or TIMEOUT), password=target.password)


# ------------------------------------------------------------------------------------------------------------- whom to ask by

@dataclass(frozen=True)
class Client:
    """``program`` is a path of a client program, or of a Python with ``module``."""

    program: str
    name: str
    module: str = ""


def find_client(kind: str) -> Optional[Client]:
    """The client program of this kind of server, else a Python that has its driver."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS, *_newest_folders()])
    for program in PROGRAMS[kind]:
        found = shutil.which(program, path=path)
        if found:
            return Client(found, program)
    for module in driver.DRIVERS[kind]:
        try:
            there = importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            there = False
        if there:
            return Client(sys.executable, "python %s" % module, module)
    return None


def _newest_folders() -> List[str]:
    """Where the packages of PostgreSQL's own project put psql, newest release first."""
    found: List[Tuple[int, str]] = []
    for parent, pattern in (("/usr/lib/postgresql", r"(\d+)"), ("/usr", r"pgsql-(\d+)")):
        try:
            names = os.listdir(parent)
        except OSError:
            continue
        for name in names:
            match = re.match(pattern + r"\Z", name)
            if match:
                found.append((int(match.group(1)), os.path.join(parent, name, "bin")))
    return [folder for _release, folder in sorted(found, reverse=True)]


def _become(name: str) -> Tuple[List[str], pwd.struct_passwd]:
    """The words before a command that make it run as this user (empty: as ourselves), and the user. PermissionError, Unavailable."""
    try:
        user = pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
    except KeyError:
        if name:
            raise Unavailable("there is no user %s on this host" % name) from None
        return [], pwd.struct_passwd(("", "x", os.geteuid(), os.getegid(), "", "/nonexistent", ""))
    if user.pw_uid == os.geteuid():
        return [], user
    if os.geteuid() != 0:
        raise PermissionError(errno.EPERM, "only root can ask as %s" % name)
    setpriv = shutil.which("setpriv", path=os.pathsep.join(_FOLDERS))
    if setpriv is None:
        raise Unavailable("setpriv (util-linux), by which root becomes %s, is not installed" % name)
    # su and runuser would open a PAM session: a login record, under systemd a new session scope.
    return [setpriv, "--reuid=%d" % user.pw_uid, "--regid=%d" % user.pw_gid, "--init-groups", "--"], user


def _bounded(seconds: float) -> List[str]:
    """The words before a client that end it where this module was killed and cannot: redis-cli waits for an answer for ever."""
    timeout = shutil.which("timeout", path=os.pathsep.join(_FOLDERS))
    return [timeout, "-k", "1", "%d" % (seconds + 2)] if timeout else []


# ------------------------------------------------------------------------------------------------------------- asking

def _environment(user: pwd.struct_passwd) -> Dict[str, str]:
    return {"PATH": os.pathsep.join(_FOLDERS), "HOME": user.pw_dir or "/", "USER": user.pw_name, "LOGNAME": user.pw_name}


def postgres_environment(job: Job, home: str = "/nonexistent") -> Dict[str, str]:
    """libpq's variables: everything that psql is told, so that a database called ``a host=b`` is a name and no connection string.
    ``home`` is where psql would find certificates of its user."""
    target, options = job.target, job.target.options
    env = {"PGAPPNAME": APPLICATION, "PGCONNECT_TIMEOUT": str(max(2, job.timeout)), "PGCLIENTENCODING": "UTF8",
           "PGDATABASE": target.database or "postgres"}
    if target.socket:
        folder, name = os.path.split(target.socket)
        match = re.match(r"\.s\.PGSQL\.(\d{1,5})\Z", name)
        env["PGHOST"], env["PGPORT"] = (folder, match.group(1)) if match else (target.socket, options.get("port", "5432"))
    else:
        env["PGHOST"], env["PGPORT"] = target.host, target.port
    if target.user:
        env["PGUSER"] = target.user
    if job.password:
        env["PGPASSWORD"] = job.password
    elif job.passfile:
        env["PGPASSFILE"] = job.passfile
    if job.ca_file:
        env["PGSSLROOTCERT"], env["PGSSLMODE"] = job.ca_file, "verify-full" if job.verify else "require"
    elif options.get("sslmode") in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"):
        env["PGSSLMODE"] = options["sslmode"]
        if options.get("sslrootcert", "").startswith("/"):
            env["PGSSLROOTCERT"] = options["sslrootcert"]
        elif options["sslmode"].startswith("verify-") and not os.path.exists(os.path.join(home, ".postgresql/root.crt")):
            # Go's drivers go by the system's store then (crypto/x509); libpq refuses to connect.
            store = next((path for path in certificate.CA_FILES if os.path.exists(path)), None)
            if store is not None:
                env["PGSSLROOTCERT"] = store
    for option, variable in (("sslcert", "PGSSLCERT"), ("sslkey", "PGSSLKEY")):
        if options.get(option, "").startswith("/"):
            env[variable] = options[option]
    # Which of several hosts the service takes. psql knows "primary" from 14 on only, "read-write" always.
    wanted = options.get("target_session_attrs")
    if wanted in ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"):
        env["PGTARGETSESSIONATTRS"] = "read-write" if wanted == "primary" else wanted
    return env


def _ask_postgres(ctx: Context, job: Job, client: Client, prefix: Sequence[str], env: Dict[str, str],
                  seconds: float) -> Tuple[Dict[str, Any], Optional[Failure]]:
    env.update(postgres_environment(job, env["HOME"]))
    milliseconds = job.timeout * 1000
    if client.module:
        env[driver.JOB] = json.dumps({
            "kind": "postgres", "driver": client.module, "begin": postgres.begin(milliseconds),
            "queries": [postgres.one_line(sql) for _name, sql, _missing in postgres.QUERIES]})
        argv = [client.program, "-c", driver.SOURCE]
    else:
        argv = [client.program, *postgres.arguments(milliseconds)]
    rc, out, err = ctx.run([*prefix, *argv], timeout=seconds, env=env, limit=OUTPUT, truncate=True)
    found = postgres.answers(out, err)
    if not found.values:
        return {}, postgres.failure(rc, err, job.password)
    return postgres.facts(found, job.password), None


# Both clients take several commands on their standard input; no command of a context has one.
_PIPE = 'commands=$1; shift; printf "%s\\n" "$commands" | "$@"'
_PIPE_TWICE = 'commands=$1; after=$2; pause=$3; shift 3; { printf "%s\\n" "$commands"; sleep "$pause"; printf "%s\\n" "$after"; } | "$@"'


def mysql_arguments(job: Job, home: str, version: str) -> List[str]:
    """The client's options. --defaults-file and --no-defaults come first: else /etc/my.cnf and its like say what is printed."""
    target = job.target
    own = os.path.join(home, ".my.cnf")
    if job.defaults_file:
        argv = ["--defaults-file=" + job.defaults_file]
    elif job.declared and not job.password and os.path.exists(own):
        # Unlike a .pgpass it does not say whose the password is: a URL of depends_on is no leave to show it to that server.
        argv = ["--defaults-file=" + own]
    else:
        argv = ["--no-defaults"]
    argv += ["--batch", "--force", "--column-names", "--skip-auto-rehash", "--skip-reconnect", "--default-character-set=utf8mb4",
             # Else a server may answer any statement with "send me this file of yours" (MySQL manual, LOAD DATA LOCAL).
             "--local-infile=0",
             "--connect-timeout=%d" % job.timeout]
    # The client takes "localhost" for its socket; a Go driver connects to the address.
    argv += ["--protocol=socket", "--socket=" + target.socket] if target.socket else [
        "--protocol=tcp", "--host=" + target.host, "--port=" + target.port]
    if target.user:
        argv.append("--user=" + target.user)
    if "mariadb" in version.lower():
        # From 11.4 on the client wants a good certificate of everybody.
        argv += ["--ssl-ca=" + job.ca_file, "--ssl-verify-server-cert"] if job.ca_file and job.verify else [
            "--ssl", "--skip-ssl-verify-server-cert"]
    elif job.ca_file:
        argv += ["--ssl-ca=" + job.ca_file, "--ssl-mode=" + ("VERIFY_IDENTITY" if job.verify else "REQUIRED")]
    return argv


def _ask_mysql(ctx: Context, job: Job, client: Client, prefix: Sequence[str], env: Dict[str, str], seconds: float, version: str,
               home: str) -> Tuple[Dict[str, Any], Optional[Failure]]:
    env["MYSQL_TEST_LOGIN_FILE"] = "/nonexistent"  # ~/.mylogin.cnf is read whatever the options say (MySQL manual, option files)
    if client.module:
        env[driver.JOB] = json.dumps({
            **_driver_job(job, client), "queries": list(zip([name for name, _sql in mysql.QUERIES], mysql.statements(job.timeout)))})
        if job.password:
            env[driver.PASSWORD] = job.password
        begin = time.monotonic()
        rc, out, err = ctx.run([*prefix, client.program, "-c", driver.SOURCE], timeout=seconds, env=env, limit=OUTPUT, truncate=True)
        found = driver.mysql_answers(out)
        elapsed = time.monotonic() - begin
    else:
        if job.password:
            env["MYSQL_PWD"] = job.password
        # With -e the client ends at the first statement that is refused, --force or not (MariaDB 10.11).
        argv = ["/bin/sh", "-c", _PIPE, "sh", mysql.script(job.timeout), client.program, *mysql_arguments(job, home, version)]
        begin = time.monotonic()
        rc, out, err = ctx.run([*prefix, *argv], timeout=seconds, env=env, limit=OUTPUT, truncate=True)
        found = mysql.answers(out, err)
        elapsed = time.monotonic() - begin
    if "variables" not in found.values and "status" not in found.values:
        return {}, mysql.failure(rc, err, job.password, quick=elapsed < 0.9 * job.timeout)
    return mysql.facts(found, job.password), None


def redis_arguments(job: Job) -> List[str]:
    target = job.target
    argv = ["-s", target.socket] if target.socket else ["-h", target.host, "-p", target.port]
    if target.user and job.password:
        argv += ["--user", target.user]
    if target.tls:
        argv.append("--tls")
        if not target.socket:
            argv += ["--sni", target.host]
        if job.ca_file:
            argv += ["--cacert", job.ca_file]
        if not job.verify:
            argv.append("--insecure")
    return argv


def _ask_redis(ctx: Context, job: Job, client: Client, prefix: Sequence[str], env: Dict[str, str],
               seconds: float) -> Tuple[Dict[str, Any], Optional[Failure]]:
    if client.module:
        env[driver.JOB] = json.dumps({**_driver_job(job, client), "queries": [*redis.COMMANDS, None, redis.AFTER], "sample": redis.SAMPLE})
        if job.password:
            env[driver.PASSWORD] = job.password
        argv = [client.program, "-c", driver.SOURCE]
    else:
        if job.password:
            env["REDISCLI_AUTH"] = job.password
        argv = ["/bin/sh", "-c", _PIPE_TWICE, "sh", "\n".join(redis.COMMANDS), redis.AFTER, str(redis.SAMPLE), client.program,
                *redis_arguments(job)]
    rc, out, err = ctx.run([*prefix, *argv], timeout=seconds, env=env, limit=OUTPUT, truncate=True)
    found = redis.answers(out, err)
    # redis-cli goes on as the default user where a login was refused, and that one may be allowed everything.
    # An account of a service seldom may ask for INFO (@dangerous): it is let in all the same.
    let_in = found.values.get("info") or "has no permissions" in found.errors.get("info", ("", ""))[1]
    if not let_in or re.search(r"(?m)^AUTH failed", out + "\n" + err):
        return {}, redis.failure(rc, out, err, job.password)
    loading = redis.loading(found)
    return ({}, loading) if loading else (redis.facts(found, job.password), None)


def _driver_job(job: Job, client: Client) -> Dict[str, Any]:
    target = job.target
    return {"kind": target.kind, "driver": client.module, "host": target.host, "port": target.port, "socket": target.socket,
            "user": target.user, "timeout": job.timeout, "defaults_file": job.defaults_file, "ca_file": job.ca_file, "tls": target.tls,
            "verify": job.verify}


def ask(ctx: Context, job: Job) -> Dict[str, Any]:
    """One server's facts. Never raises for what a server, a client or the host's users are like."""
    entry = job.entry()
    kind = job.target.kind
    left = min(ctx.budget.remaining(), ctx.remaining())
    if left < 1.0:
        entry["error"] = ctx.budget.error()
        return entry
    client = find_client(kind)
    if client is None:
        entry["error"] = {"kind": "no_client", "message": "there is neither %s nor Python's %s on this host" % (
            " nor ".join(PROGRAMS[kind]), " or ".join(driver.DRIVERS[kind]))}
        return entry
    entry["client"] = client.name
    begin = time.monotonic()
    # One share for the connection, one for the statements; a statement that takes longer is ended by the server. redis-cli has no
    # deadline of its own for a connection.
    wanted = job.timeout + redis.SAMPLE + 1.0 if kind == "redis" else 2.0 * job.timeout + 2.0
    seconds = min(left, wanted * ctx.factor)
    try:
        prefix, user = _become(job.run_as)
        env = _environment(user)
        version = "" if client.module else _version(ctx, client, env, min(seconds, job.timeout * ctx.factor))
        if version:
            entry["client"] = "%s %s" % (client.name, _release(version))
        begin = time.monotonic()
        prefix += _bounded(seconds)
        if kind == "postgres":
            values, failure = _ask_postgres(ctx, job, client, prefix, env, seconds)
        elif kind == "mysql":
            values, failure = _ask_mysql(ctx, job, client, prefix, env, seconds, version, user.pw_dir)
        else:
            values, failure = _ask_redis(ctx, job, client, prefix, env, seconds)
        entry.update(values)
        entry["error"] = failure.as_dict() if failure else None
    except TimeoutError:
        if min(ctx.budget.remaining(), ctx.remaining()) < 1.0:
            entry["error"] = ctx.budget.error()
        else:
            entry["error"] = {"kind": "timeout", "message": "no answer within %.0f s" % seconds}
    except (PermissionError, Unavailable) as exc:
        entry["error"] = {"kind": "run_as", "message": words(exc.strerror if isinstance(exc, OSError) else exc, 300, job.password)}
    except _BROKEN as exc:
        entry["error"] = {"kind": "exception", "message": words("%s: %s" % (type(exc).__name__, exc), 300, job.password)}
    entry["seconds"] = round(time.monotonic() - begin, 3)
    return entry


def _version(ctx: Context, client: Client, env: Mapping[str, str], seconds: float) -> str:
    _rc, out, _err = ctx.run([client.program, "--version"], timeout=seconds, env=env, limit=4096, truncate=True)
    return words(out, 200)


def _release(version: str) -> str:
    """``psql (PostgreSQL) 15.20 (Debian ...)``, ``mariadb  Ver 15.1 Distrib 10.11.19-MariaDB``, ``redis-cli 7.0.15``."""
    match = re.search(r"(?:Distrib|from) (\d+(?:\.\d+)+)", version) or re.search(r"(?:Ver|\)|-cli) +(\d+(?:\.\d+)+)", version)
    return match.group(1) if match else "of unknown release"


def collect_servers(ctx: Context) -> List[Dict[str, Any]]:
    """``databases.servers``: one entry for each server, declared ones first."""
    todo, broken = jobs(ctx.active.get("databases") or (), ctx.services, ctx.credentials)
    entries: List[Optional[Dict[str, Any]]] = [None] * len(todo)
    for index, job in enumerate(todo[SERVERS:], SERVERS):
        entries[index] = job.entry(Failure("budget", "not asked: at most %d servers are" % SERVERS))
    queue = list(enumerate(todo[:SERVERS]))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not queue:
                    return
                index, job = queue.pop(0)
            entries[index] = ask(ctx, job)

    threads = [threading.Thread(target=work, daemon=True, name="databases") for _number in range(min(WORKERS, len(queue)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [entry for entry in entries if entry is not None] + broken


PARTS = (("servers", collect_servers, SECONDS),)
