# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same questions by a server's Python driver, where the host has that and no client program.

:data:`SOURCE` runs in a Python of its own, so that it can be ended at its deadline and be another user. It prints what the client
program would, as far as :mod:`postgres` and :mod:`redis` read it; for MySQL one JSON object a query (:func:`mysql_answers`).
"""
from __future__ import annotations

import json
from typing import Dict, Tuple

from ansible_collections.goready.preflight.plugins.module_utils.databases.target import Answers

#: The drivers of each kind of server, best first.
DRIVERS: Dict[str, Tuple[str, ...]] = {
    "postgres": ("psycopg", "psycopg2"), "mysql": ("pymysql", "MySQLdb"), "redis": ("redis",),
}
#: Variables of the environment: the job (JSON) without its password, and the password.
JOB = "GOREADY_JOB"
PASSWORD = "GOREADY_PASSWORD"

SOURCE = r'''
import importlib, json, os, sys, time
job = json.loads(os.environ["GOREADY_JOB"])
password = os.environ.get("GOREADY_PASSWORD")
driver = importlib.import_module(job["driver"])

def text(exc):
    return " ".join(str(part) for part in exc.args) or type(exc).__name__

def postgres():
    # libpq itself reads the PG* variables.
    connection = driver.connect("")
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in job["begin"].split("; "):
            cursor.execute(statement)
        for sql in job["queries"]:
            cursor.execute("savepoint goready")
            try:
                cursor.execute(sql)
                value = cursor.fetchone()[0]
                print(value if isinstance(value, str) else json.dumps(value, default=str))
            except driver.Error as exc:
                cursor.execute("rollback to savepoint goready")
                code = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None) or "XX000"
                sys.stderr.write("ERROR:  %s: %s\n" % (code, text(exc).splitlines()[0]))
        cursor.execute("commit")
    finally:
        connection.close()

def mysql():
    options = {"user": job["user"] or None, "connect_timeout": job["timeout"], "charset": "utf8mb4"}
    if password is not None:
        options["password" if job["driver"] == "pymysql" else "passwd"] = password
    if job["defaults_file"]:
        options["read_default_file"] = job["defaults_file"]
    if job["socket"]:
        options["unix_socket"] = job["socket"]
    else:
        options.update(host=job["host"], port=int(job["port"]))
    connect = driver.connect
    if job["ca_file"] and job["verify"]:
        options["ssl"] = {"ca": job["ca_file"]}
        if job["driver"] == "pymysql":
            options["ssl"]["check_hostname"] = True

            class Encrypted(driver.connections.Connection):
                # pymysql goes on without TLS where the server says that it has none, and says the password where it is asked to.
                def _request_authentication(self):
                    if not self.server_capabilities & 0x800:
                        raise driver.OperationalError(2026, "SSL connection error: the server does not support it")
                    super()._request_authentication()

            connect = Encrypted
        else:
            options["ssl_mode"] = "VERIFY_IDENTITY"  # releases that do not know it refuse it
    elif job["driver"] == "pymysql":
        options["ssl"] = {"check_hostname": False}  # an account, or the server, may want TLS: where there is some, it is used
    options["local_infile"] = 0  # a server may ask for any file of ours else
    if job["driver"] == "pymysql":
        options["read_timeout"] = job["timeout"] + 2
    connection = connect(**{key: value for key, value in options.items() if value is not None})
    try:
        cursor = connection.cursor()
        for name, sql in job["queries"]:
            try:
                cursor.execute(sql)
                names = [column[0].lower() for column in cursor.description or ()]
                found = [{key: None if value is None else str(value) for key, value in zip(names, row)} for row in cursor.fetchall()]
                print(json.dumps({"q": name, "rows": found}))
            except driver.Error as exc:
                code = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
                if code in (2006, 2013):
                    raise
                print(json.dumps({"q": name, "code": code, "error": text(exc)}))
    finally:
        connection.close()

def redis():
    options = {"username": job["user"] or None, "password": password, "socket_timeout": job["timeout"],
               "socket_connect_timeout": job["timeout"], "decode_responses": False}
    if job["socket"]:
        options["unix_socket_path"] = job["socket"]
    else:
        options.update(host=job["host"], port=int(job["port"]))
    if job["tls"]:
        options.update(ssl=True, ssl_ca_certs=job["ca_file"] or None)
        if not job["verify"]:
            options.update(ssl_cert_reqs="none", ssl_check_hostname=False)
    client = driver.Redis(**options)
    client.response_callbacks.clear()
    for words in job["queries"]:
        if words is None:
            time.sleep(job["sample"])
            continue
        try:
            answer = client.execute_command(*words.split(" "))
        except driver.ResponseError as exc:
            print("ERR " + text(exc))
            continue
        for part in answer if isinstance(answer, (list, tuple)) else [answer]:
            sys.stdout.write((part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)) + "\n")

try:
    {"postgres": postgres, "mysql": mysql, "redis": redis}[job["kind"]]()
except Exception as exc:
    if job["kind"] == "mysql" and exc.args and isinstance(exc.args[0], int):
        sys.stderr.write("ERROR %d (HY000): %s\n" % (exc.args[0], " ".join(str(part) for part in exc.args[1:])))
    else:
        sys.stderr.write("%s\n" % text(exc))
    sys.exit(2)
'''


def mysql_answers(out: str) -> Answers:
    """What :data:`SOURCE` printed of a MySQL server."""
    found = Answers()
    for line in out.splitlines():
        try:
            one = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(one, dict) or not isinstance(one.get("q"), str):
            continue
        if isinstance(one.get("rows"), list):
            found.values[one["q"]] = one["rows"]
        else:
            found.errors[one["q"]] = (str(one.get("code") or ""), str(one.get("error") or ""))
    return found
