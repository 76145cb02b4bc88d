# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes of custom checks: one question to a command, a file, an HTTP server, a TCP port, the resolver or Prometheus.

Public: :func:`validate_probe`, :func:`run_probe`, :func:`collect`. ``readiness_facts`` runs them on the host, ``verify``
runs those with ``from: controller`` on the controller: the same code, the same answers. An answer always has ``kind``,
``ok``, ``error`` and ``ms``; ``ok`` says that there *is* an answer (the command ran, the server spoke), never that it is a
good one: that is what the check's conditions are for.
"""
from __future__ import annotations

import os
import shlex
import stat
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import redact
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, as_json

if TYPE_CHECKING:  # these cost 40 ms on a host, and most hosts have no HTTP probe
    import http.client
    import socket

#: Seconds that a probe may take where it does not say so, and the most that it may ask for.
DEFAULT_TIMEOUT = 5.0
MAX_TIMEOUT = 30.0
#: The most of a file, a body or an output that is kept.
TEXT_LIMIT = 64 << 10
#: How many probes run at a time on one host, and how many a host is asked at all.
PARALLEL = 8
PROBE_LIMIT = 200
#: A file's checksum is taken up to this size; a larger one has sha256 null.
CHECKSUM_LIMIT = 256 << 20

Answer = Dict[str, Any]


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _url(value: Any) -> bool:
    if not _text(value) or any(ord(char) <= 32 or ord(char) > 126 for char in value):
        return False
    try:
        _split(value)
    except ValueError:
        return False
    return True


def _words(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(word, str) for word in value) and _text(value[0])


def _command(value: Any) -> bool:
    if _words(value):
        return True
    if not _text(value):
        return False
    try:
        return bool(shlex.split(value))
    except ValueError:
        return False


def _port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _headers(value: Any) -> bool:
    # A line break in a header would be a second header, or a body.
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(content, str) and name and not set("\r\n\0: ") & set(name)
        and not set("\r\n\0") & set(content) for name, content in value.items())


def _seconds(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= MAX_TIMEOUT


def _absolute(value: Any) -> bool:
    return _text(value) and value.startswith("/")


def _choice(*choices: str) -> Callable[[Any], bool]:
    return lambda value: value in choices


Rule = Tuple[Callable[[Any], bool], str, bool]  # the test, what is allowed in words, whether the key must be there

_EVERY: Dict[str, Rule] = {
    "timeout": (_seconds, "a number of seconds above 0, at most %g" % MAX_TIMEOUT, False),
}
_WEB: Dict[str, Rule] = {
    "url": (_url, "an http:// or https:// URL", True),
    "headers": (_headers, "a mapping of header names to strings without line breaks", False),
    "verify_tls": (_flag, "true or false", False),
}
KINDS: Dict[str, Dict[str, Rule]] = {
    "command": dict(
        _EVERY, command=(_command, "a list of strings, or one string that shlex can split", True),
        shell=(_flag, "true or false", False), chdir=(_absolute, "an absolute path", False)),
    "file": dict(
        _EVERY, path=(_absolute, "an absolute path", True), content=(_flag, "true or false", False),
        sha256=(_flag, "true or false", False)),
    "http": dict(_EVERY, **_WEB),
    "tcp": dict(_EVERY, host=(_text, "a host name or an address", True), port=(_port, "a whole number from 1 to 65535", True)),
    "dns": dict(
        _EVERY, name=(_text, "a host name", True), family=(_choice("any", "ipv4", "ipv6"), "one of any, ipv4, ipv6", False)),
    "prometheus": dict(_EVERY, query=(_text, "a PromQL expression", True), **_WEB),
}


def validate_probe(probe: Mapping[str, Any]) -> None:
    """Raise ValueError that names the key, the value and what is allowed, unless ``probe`` can be run."""
    if not isinstance(probe, Mapping):
        raise ValueError("%r is not a mapping" % (probe,))
    kind = probe.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError("kind: %r is not one of %s" % (kind, ", ".join(KINDS)))
    rules = KINDS[kind]
    for key, value in probe.items():
        if key == "kind":
            continue
        if key not in rules:
            raise ValueError("unknown key %r of a %s probe; allowed are kind, %s" % (key, kind, ", ".join(sorted(rules))))
        if not rules[key][0](value):
            raise ValueError("%s: %r is not %s" % (key, value, rules[key][1]))
    for key, (_test, allowed, required) in rules.items():
        if required and key not in probe:
            raise ValueError("the key %s of a %s probe is missing; it is %s" % (key, kind, allowed))
    if probe.get("shell") and not isinstance(probe.get("command"), str):
        raise ValueError("command: %r is not one string, which a probe with shell needs" % (probe.get("command"),))


def run_probe(probe: Mapping[str, Any], context: Context) -> Answer:
    """The answer of one probe, within its own deadline and the context's. Never raises.

    The keys ``id`` and ``from``, which belong to the check, are passed over.
    """
    question = {str(key): value for key, value in probe.items() if key not in ("id", "from")}
    kind = str(question.get("kind"))
    try:
        validate_probe(question)
    except ValueError as exc:
        return _failure(kind, "not a probe: %s" % exc)
    seconds = min(float(question.get("timeout", DEFAULT_TIMEOUT)), context.remaining())
    if seconds <= 0:
        return _failure(kind, "not started: no time was left")
    mine = context.until(time.monotonic() + seconds)
    box: List[Answer] = []

    def work() -> None:
        box.append(_run(kind, question, mine))

    # Neither the resolver nor a file on a dead server can be interrupted: the thread is left alone when its time is over.
    started = time.monotonic()
    thread = threading.Thread(target=work, daemon=True, name="probe")
    thread.start()
    thread.join(seconds + 0.2)
    answer = box[0] if box else _failure(kind, "no answer within %g s" % seconds)
    if answer.get("ms") is None:
        answer["ms"] = round((time.monotonic() - started) * 1000, 1)
    return answer


def collect(context: Context) -> Dict[str, Answer]:
    """The answers of the context's probes by the ids of their checks, several at a time."""
    # Some time stays for handing in the answers of those that were in time.
    context = context.until(context.deadline - min(0.5, context.remaining() / 10))
    answers: Dict[str, Answer] = {}
    todo = [probe for probe in context.probes if isinstance(probe, Mapping)][:PROBE_LIMIT]
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not todo:
                    return
                probe = todo.pop(0)
            answer = run_probe(probe, context)
            with lock:
                answers[str(probe.get("id"))] = answer

    if len(context.probes) > PROBE_LIMIT:
        for probe in context.probes[PROBE_LIMIT:]:
            answers[str(dict(probe).get("id"))] = _failure("", "not run: a host is asked %d probes at most" % PROBE_LIMIT)
    threads = [threading.Thread(target=work, daemon=True, name="probes") for _unused in range(min(PARALLEL, len(todo)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()  # every probe ends by itself, see run_probe()
    return answers


def _failure(kind: str, message: str) -> Answer:
    return {"kind": kind, "ok": False, "error": message, "ms": None}


def _run(kind: str, probe: Mapping[str, Any], context: Context) -> Answer:
    try:
        answer: Answer = as_json(dict({"kind": kind, "ok": True, "error": None, "ms": None}, **_RUNNERS[kind](probe, context)))
        return answer
    except Exception as exc:  # noqa: BLE001 - whatever a server or a file does: it is this probe's answer, nobody else's
        text = str(exc)
        message = text if isinstance(exc, (OSError, ValueError)) and text else "%s: %s" % (type(exc).__name__, text)
        return _failure(kind, redact.redact_text(message[:500]))


def _cut(data: bytes) -> Tuple[str, bool]:
    """As text, bounded and without credentials; and whether it was cut."""
    return redact.redact_text(data[:TEXT_LIMIT].decode("utf-8", "replace")), len(data) > TEXT_LIMIT


def _probe_command(probe: Mapping[str, Any], context: Context) -> Answer:
    command = probe["command"]
    argv = shlex.split(command) if isinstance(command, str) else list(command)
    if probe.get("shell"):
        argv = ["/bin/sh", "-c", command]
    started = time.monotonic()
    code, out, err = context.run(argv, timeout=context.remaining(), cwd=str(probe.get("chdir", "/")), limit=TEXT_LIMIT,
                                 truncate=True)
    return {"rc": code, "stdout": redact.redact_text(out.rstrip("\n")), "stderr": redact.redact_text(err.rstrip("\n")),
            "ms": _since(started)}


def _probe_file(probe: Mapping[str, Any], context: Context) -> Answer:
    path = context.path(probe["path"])
    answer: Answer = {"path": probe["path"], "exists": False, "type": None, "mode": None, "owner": None, "group": None,
                      "size": None, "mtime": None, "link": None}
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            answer["link"] = os.readlink(path)
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return answer  # that it is not there is an answer
    kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "fifo"))
    answer.update(
        exists=True, type=next((name for test, name in kinds if test(status.st_mode)), "device"),
        mode="%04o" % stat.S_IMODE(status.st_mode), owner=_name("pwd", status.st_uid), group=_name("grp", status.st_gid),
        size=status.st_size, mtime=int(status.st_mtime))
    # Only a regular file is opened: a fifo would wait for its writer, and reading a device may change it.
    if probe.get("content") and answer["type"] == "file":
        with open(path, "rb") as handle:
            answer["content"], answer["truncated"] = _cut(handle.read(TEXT_LIMIT + 1))
    if probe.get("sha256") and answer["type"] == "file":
        answer["sha256"] = _checksum(path, context) if status.st_size <= CHECKSUM_LIMIT else None
    return answer


def _name(database: str, number: int) -> str:
    """The user's or group's name, or its number as text where it has none."""
    try:
        if database == "pwd":
            import pwd
            return pwd.getpwuid(number).pw_name
        import grp
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _checksum(path: str, context: Context) -> str:
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while True:
            if not context.remaining():
                raise TimeoutError("the checksum was not finished in time")
            chunk = handle.read(1 << 20)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _probe_tcp(probe: Mapping[str, Any], context: Context) -> Answer:
    started = time.monotonic()
    connection, address = _connect(str(probe["host"]), probe["port"], context)
    connection.close()
    return {"address": address, "port": probe["port"], "ms": _since(started)}


def _connect(host: str, port: int, context: Context) -> Tuple[socket.socket, str]:
    """A connection to the first address that takes one, and that address; OSError of the last attempt."""
    import socket

    failure: OSError = OSError("%s has no address" % host)
    for family, kind, protocol, _name, target in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
        left = context.remaining()
        if left <= 0:
            raise TimeoutError("connecting to %s port %d was not finished in time" % (host, port))
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(left)
            connection.connect(target)
            return connection, str(target[0])
        except socket.timeout:
            connection.close()
            failure = TimeoutError("%s port %d did not answer within %.1f s" % (target[0], port, left))
        except OSError as exc:
            connection.close()
            failure = OSError(exc.errno, "%s port %d: %s" % (target[0], port, exc.strerror or exc))
    raise failure


def _probe_dns(probe: Mapping[str, Any], context: Context) -> Answer:
    import socket

    family = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}.get(str(probe.get("family")), 0)
    started = time.monotonic()
    try:
        found = socket.getaddrinfo(str(probe["name"]), None, family, socket.SOCK_STREAM)
    except socket.gaierror as exc:
        return {"addresses": [], "ok": False, "error": exc.strerror, "ms": _since(started)}
    return {"addresses": sorted({str(entry[4][0]) for entry in found}), "ms": _since(started)}


def _split(url: str) -> Tuple[str, str, int, str, Optional[str]]:
    """scheme, host, port, path with query, userinfo of an http(s) URL; ValueError for another one."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "https"):
        raise ValueError("%r is not an http:// or https:// URL" % url)
    end = min([rest.find(char) for char in "/?#" if char in rest] or [len(rest)])
    authority, target = rest[:end], rest[end:].partition("#")[0]
    userinfo, at, place = authority.rpartition("@")
    if place.startswith("["):
        host, bracket, port = place[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError("%r: the address in brackets is not closed" % url)
        port = port[1:]
    else:
        host, _colon, port = place.partition(":")
    if not host or (port and (not port.isdecimal() or not 0 < int(port[:6]) < 65536)):
        raise ValueError("%r names no host, or a port that is none" % url)
    number = int(port) if port else 443 if scheme == "https" else 80
    return scheme, host, number, target if target.startswith("/") else "/" + target, userinfo if at else None


def _get(url: str, probe: Mapping[str, Any], context: Context,
         limit: int = TEXT_LIMIT) -> Tuple[http.client.HTTPResponse, bytes, Answer]:
    """One GET, no redirect followed: the response, at most ``limit`` + 1 bytes of its body, and the timings."""
    import http.client

    scheme, host, port, target, userinfo = _split(url)
    started = time.monotonic()
    connection, address = _connect(host, port, context)
    connected = time.monotonic()
    try:
        if scheme == "https":
            import ssl

            tls = ssl.create_default_context()
            if not probe.get("verify_tls", True):
                tls.check_hostname = False
                tls.verify_mode = ssl.CERT_NONE
            connection.settimeout(max(0.01, context.remaining()))
            connection = tls.wrap_socket(connection, server_hostname=host)
        client = http.client.HTTPConnection(host, port)
        if scheme == "https":
            client.default_port = 443  # or the Host header would name it
        client.sock = connection
        headers = {"User-Agent": "goready-preflight", "Accept": "*/*", "Connection": "close"}
        if userinfo is not None:
            import base64
            from urllib.parse import unquote

            headers["Authorization"] = "Basic " + base64.b64encode(unquote(userinfo).encode()).decode()
        headers.update(probe.get("headers") or {})
        connection.settimeout(max(0.01, context.remaining()))
        client.request("GET", target, headers=headers)
        response = client.getresponse()
        first_byte = time.monotonic()
        body = b""
        while len(body) <= limit:
            left = context.remaining()
            if left <= 0:
                raise TimeoutError("the body was not finished in time")
            connection.settimeout(left)
            chunk = response.read1(1 << 14)
            if not chunk:
                break
            body += chunk
    finally:
        connection.close()
    return response, body, {
        "address": address, "connect_ms": round((connected - started) * 1000, 1),
        "first_byte_ms": round((first_byte - started) * 1000, 1), "ms": _since(started),
    }


def _probe_http(probe: Mapping[str, Any], context: Context) -> Answer:
    response, body, answer = _get(str(probe["url"]), probe, context)
    headers: Dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        # Set-Cookie may be there more than once; what it sets is a session.
        shown = redact.redact_value(key, redact.redact_url(value))[:2000]
        headers[key] = headers[key] + ", " + shown if key in headers else shown
    text, cut = _cut(body)
    return dict(answer, status=response.status, headers=headers, body=text, truncated=cut)


def _probe_prometheus(probe: Mapping[str, Any], context: Context) -> Answer:
    """An instant query (https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries)."""
    import json
    from urllib.parse import urlencode

    base = str(probe["url"]).rstrip("/")
    url = "%s/api/v1/query?%s" % (base, urlencode({"query": probe["query"]}))
    response, body, answer = _get(url, probe, context, limit=1 << 20)
    answer.update(status=response.status, type=None, value=None, series=[])
    if len(body) > 1 << 20:
        return dict(answer, ok=False, error="the result has more than 1 MiB; aggregate in the query")
    try:
        document = json.loads(body.decode("utf-8", "replace"))
        if document.get("status") != "success":
            return dict(answer, ok=False, error="Prometheus says: %s" % str(document.get("error") or document)[:300])
        kind, result = document["data"]["resultType"], document["data"]["result"]
        rows = [({}, result)] if kind in ("scalar", "string") else [(entry["metric"], entry["value"]) for entry in result]
        answer["series"] = [{"labels": labels, "value": _sample(pair[1])} for labels, pair in rows[:1000]]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return dict(answer, ok=False, error="HTTP %d, not a Prometheus answer: %s" % (response.status, _cut(body[:200])[0]))
    values = [row["value"] for row in answer["series"]]
    return dict(answer, type=kind, value=values[0] if len(values) == 1 else None)


def _sample(text: Any) -> Optional[float]:
    """A sample's number; NaN and the infinities, which JSON cannot hold, are null."""
    number = float(text)
    return number if number - number == 0 else None


_RUNNERS: Dict[str, Callable[[Mapping[str, Any], Context], Answer]] = {
    "command": _probe_command, "file": _probe_file, "http": _probe_http, "tcp": _probe_tcp, "dns": _probe_dns,
    "prometheus": _probe_prometheus,
}
