# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers with one fault each, for the checks of the network. Standard library and openssl only; runs on a test host as it is.

    faulty_net.py certificates FOLDER NAME     # ca.pem, good.pem, expired.pem, other.pem, self.pem, future.pem, soon.pem, short.pem
    faulty_net.py serve FILE                   # a JSON list of listeners, until the process is ended

A listener is ``{"kind": ..., "port": ..., "address": "127.0.0.1"}`` and more by kind:

    http      answers GET with "status" (200) after "delay" seconds; "location"; with "certificate" over TLS
    tls       shakes hands after "delay" seconds with "certificate" (a PEM file with its key), then answers as http
    silent    accepts and says nothing          close   accepts and closes at once       reset   accepts and resets
    backlog   listens with a backlog of "backlog" (1) and never accepts; "fill" connections of its own fill it
    greeting  says "text" at once               mysql-like servers do
    postgres  answers SSLRequest with "N", with "certificate" with "S" and a handshake; "ends" says how the client left
    dns       answers A and AAAA over UDP and TCP from "names" ({name: [addresses]}) after "delay" seconds; "silent": true
              answers nothing; a name that it does not know is NXDOMAIN
"""
from __future__ import annotations

import datetime
import http.server
import json
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

#: name of the file: days from now at which the certificate begins and ends.
LIVES = {"good": (-10, 365), "expired": (-100, -3), "other": (-10, 365), "self": (-10, 365), "future": (30, 400), "soon": (-300, 5),
         "short": (-0.25, 0.5)}


def certificates(folder: str, name: str) -> None:
    """A CA and one certificate for each of :data:`LIVES`, for ``name`` (``other`` is for another one), each with its key."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    kind = "IP" if name.replace(".", "").isdigit() or ":" in name else "DNS"
    with tempfile.TemporaryDirectory() as work:
        base = Path(work)
        (base / "index").write_text("")
        (base / "serial").write_text("01\n")
        (base / "new").mkdir()
        (base / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=lab\n[lab]\ndatabase={base}/index\nserial={base}/serial\nnew_certs_dir={base}/new\ndefault_md=sha256\n"
            "policy=any\nunique_subject=no\ncopy_extensions=copy\n[any]\ncommonName=supplied\n"
            "[req]\ndistinguished_name=dn\n[dn]\n[v3_ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n"
            "subjectKeyIdentifier=hash\n")
        run = ["openssl"]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl([*run, "req", "-x509", *key, "-config", str(base / "ca.cnf"), "-extensions", "v3_ca", "-keyout", str(base / "ca.key"),
                  "-out", str(target / "ca.pem"), "-days", "3650", "-subj", "/CN=Lab CA"])
        now = datetime.datetime.now(datetime.timezone.utc)
        for one, (begin, end) in LIVES.items():
            host = "elsewhere.example" if one == "other" else name
            alternative = f"subjectAltName={'DNS' if one == 'other' else kind}:{host}"
            request, certificate = base / f"{one}.csr", base / f"{one}.crt"
            _openssl([*run, "req", *key, "-config", str(base / "ca.cnf"), "-keyout", str(base / f"{one}.key"), "-out", str(request),
                      "-subj", f"/CN={host[:60]}", "-addext", alternative])
            dates = [(now + datetime.timedelta(days=day)).strftime("%Y%m%d%H%M%SZ") for day in (begin, end)]
            signer = ["-selfsign", "-keyfile", str(base / f"{one}.key")] if one == "self" else [
                "-cert", str(target / "ca.pem"), "-keyfile", str(base / "ca.key")]
            _openssl([*run, "ca", "-batch", "-config", str(base / "ca.cnf"), *signer, "-in", str(request), "-out", str(certificate),
                      "-startdate", dates[0], "-enddate", dates[1], "-notext"])
            (target / f"{one}.pem").write_text(certificate.read_text() + (base / f"{one}.key").read_text())


def _openssl(argv: list[str]) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv[:2])}: {done.stderr[-500:]}")


class Listener:
    """One faulty server; :meth:`start` binds, so that a port is known when it returns (``port`` 0 takes any)."""

    def __init__(self, kind: str, port: int = 0, address: str = "127.0.0.1", **options: Any) -> None:
        self.kind, self.port, self.address, self.options = kind, port, address, options
        self.accepted = 0
        self.ends: list[str] = []
        self._kept: list[socket.socket] = []
        self._closed = False

    def start(self) -> Listener:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._server = socket.socket(family, socket.SOCK_STREAM)
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self._server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self._server.bind((self.address, self.port))
        self.port = self._server.getsockname()[1]
        if self.kind == "dns":
            self._datagrams = socket.socket(family, socket.SOCK_DGRAM)
            self._datagrams.bind((self.address, self.port))
            threading.Thread(target=self._dns_udp, daemon=True).start()
        self._server.listen(int(self.options.get("backlog", 1)) if self.kind == "backlog" else 128)
        if self.kind == "backlog":
            for _number in range(int(self.options.get("fill", 0))):
                client = socket.socket(family, socket.SOCK_STREAM)
                client.setblocking(False)
                client.connect_ex((self.address, self.port))
                self._kept.append(client)
        else:
            threading.Thread(target=self._accept, daemon=True).start()
        return self

    def close(self) -> None:
        self._closed = True
        # close() alone leaves accept() of the other thread asleep.
        for one in (self._server, *([self._datagrams] if self.kind == "dns" else [])):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        for one in self._kept:
            one.close()

    def _accept(self) -> None:
        context = None
        if self.options.get("certificate"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.options["certificate"])
            if self.options.get("client_ca"):
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.options["client_ca"])
        while not self._closed:
            try:
                connection, _peer = self._server.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection, context), daemon=True).start()

    def _serve(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        delay = float(self.options.get("delay", 0))
        try:
            if self.kind == "silent":
                self._kept.append(connection)
                return
            if self.kind == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if self.kind in ("close", "reset"):
                connection.close()
                return
            if self.kind == "tls" and delay:
                time.sleep(delay)
                delay = 0
            if context is not None and self.kind != "postgres":
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                connection.settimeout(30)
                if self.kind == "greeting":
                    time.sleep(delay)
                    connection.sendall(str(self.options.get("text", "hello\r\n")).encode("latin-1"))
                    while connection.recv(4096):
                        pass
                elif self.kind == "postgres":
                    self._postgres(connection, context, delay)
                elif self.kind == "dns":
                    self._dns_tcp(connection)
                else:
                    self._http(connection, delay)
        except OSError:
            connection.close()

    def _postgres(self, connection: socket.socket, context: ssl.SSLContext | None, delay: float) -> None:
        connection.recv(8)
        time.sleep(delay)
        connection.sendall(b"N" if context is None else b"S")
        try:
            if context is None:
                self.ends.append(repr(connection.recv(1)))
            else:
                with context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) as tls:
                    self.ends.append(repr(tls.recv(1)))
        except OSError as exc:
            self.ends.append(type(exc).__name__)

    def _http(self, connection: Any, delay: float) -> None:
        head = b""
        while b"\r\n\r\n" not in head and len(head) < 65536:
            data = connection.recv(4096)
            if not data:
                return
            head += data
        if delay:
            time.sleep(delay)
        status = int(self.options.get("status", 200))
        location = f"Location: {self.options['location']}\r\n" if self.options.get("location") else ""
        reason = http.server.BaseHTTPRequestHandler.responses.get(status, ("Unknown", ""))[0]
        connection.sendall(f"HTTP/1.1 {status} {reason}\r\n{location}Content-Length: 3\r\nConnection: close\r\n\r\nok\n".encode())

    # --- names

    def _dns_udp(self) -> None:
        while not self._closed:
            try:
                data, peer = self._datagrams.recvfrom(4096)
            except OSError:
                return
            if not self.options.get("silent"):
                threading.Thread(target=self._dns_late, args=(data, peer), daemon=True).start()

    def _dns_late(self, data: bytes, peer: Any) -> None:
        time.sleep(float(self.options.get("delay", 0)))
        try:
            self._datagrams.sendto(answer(data, self.options.get("names", {})), peer)
        except (OSError, ValueError):
            pass

    def _dns_tcp(self, connection: Any) -> None:
        size = connection.recv(2)
        if len(size) == 2 and not self.options.get("silent"):
            data = connection.recv(struct.unpack(">H", size)[0])
            time.sleep(float(self.options.get("delay", 0)))
            reply = answer(data, self.options.get("names", {}))
            connection.sendall(struct.pack(">H", len(reply)) + reply)


def answer(question: bytes, names: dict[str, list[str]]) -> bytes:
    """The response to one question about A or AAAA; ValueError for what is none."""
    if len(question) < 17:
        raise ValueError("no question")
    labels, position = [], 12
    while question[position]:
        length = question[position]
        labels.append(question[position + 1:position + 1 + length].decode("ascii", "replace").lower())
        position += length + 1
    kind = struct.unpack(">H", question[position + 1:position + 3])[0]
    found = names.get(".".join(labels))
    records = b""
    count = 0
    for address in found or ():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if kind == (28 if family == socket.AF_INET6 else 1):
            data = socket.inet_pton(family, address)
            records += struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(data)) + data
            count += 1
    flags = 0x8180 | (0 if found is not None else 3)
    return question[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0) + question[12:position + 5] + records


def serve(path: str) -> None:
    started = [Listener(**one).start() for one in json.loads(Path(path).read_text())]
    print(json.dumps([{"kind": one.kind, "address": one.address, "port": one.port} for one in started]), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["certificates"] and len(sys.argv) == 4 and shutil.which("openssl"):
        certificates(sys.argv[2], sys.argv[3])
    elif sys.argv[1:2] == ["serve"] and len(sys.argv) == 3:
        serve(sys.argv[2])
    else:
        sys.exit(str(__doc__))
