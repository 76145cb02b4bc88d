# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol between the go command and a module proxy (https://go.dev/ref/mod#goproxy-protocol), as far as asking goes.

Pure: paths, escaping, what an answer has to look like, the hash of go.sum, and which HTTP proxy a request takes. Everything
follows cmd/go: modfetch/proxy.go, modfetch/sumdb.go, golang.org/x/mod/{module,sumdb/dirhash}, golang.org/x/net/http/httpproxy.
"""
from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
import zipfile
import zlib
from typing import IO, Dict, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import quote, urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import goproxy
from ansible_collections.goready.preflight.plugins.module_utils.latency import percentile

# What a proxy is asked for where no module was declared. cmd/go itself takes this path to see whether it takes a proxy's URL
# (modfetch/proxy.go, proxyList); a public proxy has it, and one that has not says 404 or 410.
COMMON_MODULE = "golang.org/x/text"
# A zip beyond these is not hashed here: cmd/go takes up to 500 MB (golang.org/x/mod/zip, MaxZipFile).
UNPACKED_LIMIT = 256 << 20
FILES_LIMIT = 20000
DIRECTORY_LIMIT = 8 << 20  # bytes of a zip's list of its files: zipfile makes an object of 400 bytes of every 46

_VERSION = re.compile(r"v(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)?)?\Z")
_HASH = re.compile(r"h1:[A-Za-z0-9+/]{43}=\Z")  # dirhash.Hash1
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)\Z")


class Module(NamedTuple):
    """A module at a version."""

    path: str
    version: str

    def __str__(self) -> str:
        return "%s@%s" % (self.path, self.version)


def module_of(text: str) -> Module:
    """``example.org/mod@v1.2.3``. ValueError where it is none."""
    path, at, version = text.partition("@")
    if not at or not _VERSION.match(version) or version.count(".") < 2:
        raise ValueError("%r is not PATH@vX.Y.Z" % text[:200])
    escape(path)
    return Module(path, version)


def escape(path: str) -> str:
    """A module path or version as it stands in a URL: ``!x`` for every ``X`` (golang.org/x/mod/module, EscapePath)."""
    if not re.match(r"[A-Za-z0-9._~+/-]+\Z", path) or any(not one.strip(".") for one in path.split("/")):
        raise ValueError("%r is not a module path" % path[:200])
    return re.sub(r"[A-Z]", lambda match: "!" + match.group(0).lower(), path)


def file_of(module: Module, what: str) -> str:
    """The path below a proxy's URL of ``list``, ``info``, ``mod``, ``zip`` or ``latest``."""
    base = escape(module.path)
    if what == "list":
        return base + "/@v/list"
    if what == "latest":
        return base + "/@latest"
    return "%s/@v/%s.%s" % (base, escape(module.version), what)


def join(url: str, path: str) -> str:
    """``path`` below a proxy's URL, what stands behind ``?`` kept where it is. ``!`` goes as %21 (net/url, URL.EscapedPath)."""
    parts = urlsplit(url)
    base = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    return parts._replace(path="%s/%s" % (base, quote(path, safe="/@:$&+=~")), fragment="").geturl()


# --- answers ------------------------------------------------------------------------------------------------------------

def fault(what: str, body: bytes, module: Module) -> Optional[str]:
    """Why a 200 with this body is no answer to the question, or None. ``zip`` is judged by :func:`hash_zip`."""
    text = body.decode("utf-8", "replace")
    if text.lstrip("\ufeff \t\r\n")[:1] == "<":
        return "answers 200 with a page of HTML or XML, as a login page does"
    if what == "list":
        words = [line.split()[0] for line in text.split("\n") if line.strip()]
        # cmd/go skips lines that are no version; where no line is one, this is no list.
        if words and not any(_VERSION.match(word) for word in words):
            return "answers 200 with something that is no list of versions"
    elif what in ("info", "latest"):
        try:
            info = json.loads(text)
        except (ValueError, RecursionError):
            return "answers 200 with something that is no JSON"
        # encoding/json takes a key in any case, the last one that fits.
        fields = {key.lower(): value for key, value in info.items()} if isinstance(info, dict) else {}
        version, when = fields.get("version"), fields.get("time")
        if not isinstance(version, str) or not version:
            return "answers 200 with JSON that names no Version"
        if when is not None and not (isinstance(when, str) and _TIME.match(when)):
            return "answers 200 with JSON whose Time is none of RFC 3339"
        if what == "info" and version != module.version:
            return "answers with version %s in place of %s" % (version[:60], module.version)
    elif what == "mod":
        if not re.search(r"(?m)^[ \t]*module\b", text):
            return "answers 200 with something that is no go.mod"
    elif what == "lookup":
        if not sums_of(text, module):
            return "answers 200 without a line for the module"
    elif what == "tree":
        if not text.startswith("go.sum database tree\n"):
            return "answers 200 with something that is no signed tree head"
    return None


def hash_files(files: Mapping[str, str]) -> str:
    """``h1:`` of the SHA-256 (hexadecimal) of each file (dirhash.Hash1)."""
    lines = "".join("%s  %s\n" % (files[name], name) for name in sorted(files, key=lambda name: name.encode("utf-8", "surrogateescape")))
    digest = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).digest()
    return "h1:" + base64.b64encode(digest).decode("ascii")


def hash_mod(body: bytes) -> str:
    """``h1:`` of a go.mod, as go.sum has it in the line that ends in /go.mod."""
    return hash_files({"go.mod": hashlib.sha256(body).hexdigest()})


def _directory_size(handle: IO[bytes]) -> int:
    """Bytes of a zip's central directory as its end says (APPNOTE.TXT, 4.3.16), 0 where it has none."""
    handle.seek(0, 2)
    size = handle.tell()
    handle.seek(max(0, size - (1 << 16) - 42))
    tail = handle.read()
    handle.seek(0)
    # As zipfile looks for it: at the very end first, where no comment follows, else the last one.
    at = len(tail) - 22 if tail[-22:].startswith(b"PK\5\6") and tail.endswith(b"\0\0") else tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        return 0
    if tail[max(0, at - 20):at].startswith(b"PK\6\7"):
        return size  # ZIP64: for 65,535 files and more, whatever the 32 bits say
    return int.from_bytes(tail[at + 12:at + 16], "little")


def hash_zip(handle: IO[bytes], module: Module) -> str:
    """``h1:`` of a module's zip. ValueError where it is none, holds a file of something else, or is beyond the bounds."""
    files: Dict[str, str] = {}
    room = UNPACKED_LIMIT
    prefix = "%s@%s/" % (module.path, module.version)
    try:
        if _directory_size(handle) > DIRECTORY_LIMIT:
            raise ValueError("holds more than %d files" % FILES_LIMIT)
        with zipfile.ZipFile(handle) as archive:
            entries = archive.infolist()
            if len(entries) > FILES_LIMIT:
                raise ValueError("holds more than %d files" % FILES_LIMIT)
            for entry in entries:
                name = entry.filename
                if not entry.flag_bits & 0x800:  # not marked as UTF-8: zipfile has read it as cp437, go takes the bytes
                    name = entry.orig_filename.encode("cp437").decode("utf-8", "surrogateescape")
                if not name.startswith(prefix):
                    raise ValueError("holds %r, which lies outside %s" % (name[:80], prefix))
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # archive/zip knows these
                    raise ValueError("holds %r, packed in a way that go does not know" % name[:80])
                digest = hashlib.sha256()
                with archive.open(entry) as source:
                    while True:
                        piece = source.read(1 << 16)
                        if not piece:
                            break
                        room -= len(piece)
                        if room < 0:
                            raise ValueError("unpacks to more than %d bytes" % UNPACKED_LIMIT)
                        digest.update(piece)
                files[name] = digest.hexdigest()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError,
            UnicodeDecodeError) as exc:
        raise ValueError("is no readable zip: %s" % (str(exc)[:120] or type(exc).__name__)) from None
    return hash_files(files)


# --- the checksum database ----------------------------------------------------------------------------------------------

class SumDB(NamedTuple):
    """``name`` as the paths below /sumdb/ have it; ``url`` where GOSUMDB names one, which is asked without any proxy."""

    name: str
    url: str


def sumdb_of(value: str) -> Optional[SumDB]:
    """What GOSUMDB names (modfetch/sumdb.go, dbDial), None where it is off. ValueError where go refuses it."""
    if value.strip() == "off":
        return None
    refused = goproxy.sumdb_fault(value)
    if refused:
        raise ValueError(refused)
    words = value.split()
    if words == ["sum.golang.google.cn"]:
        words = ["sum.golang.org", "https://sum.golang.google.cn"]
    name = words[0].partition("+")[0]
    if not re.match(r"[^/@:?#]+(?::[0-9]+)?(?:/[^@?#]*[^/@?#])?\Z", name):
        raise ValueError("the database's name is not host[/path]")
    return SumDB(name, words[1] if len(words) == 2 else "")


def sums_of(text: str, module: Module) -> Dict[str, str]:
    """``{"zip": h1, "mod": h1}`` that a text in the format of go.sum (or a record of the database) has for a module."""
    found: Dict[str, str] = {}
    for line in text.split("\n"):
        words = line.split()
        if len(words) == 3 and words[0] == module.path and _HASH.match(words[2]):
            if words[1] == module.version:
                found["zip"] = words[2]
            elif words[1] == module.version + "/go.mod":
                found["mod"] = words[2]
    return found


# --- the way there ------------------------------------------------------------------------------------------------------

def http_proxy(url: str, environment: Mapping[str, str]) -> str:
    """The URL of the HTTP proxy that go's client asks through for ``url``, "" for none (httpproxy.Config.ProxyFunc)."""
    parts = urlsplit(url)
    value = _any(environment, "HTTPS_PROXY" if parts.scheme == "https" else "HTTP_PROXY")
    if not value:
        return ""
    if "://" not in value:
        value = "http://" + value
    host = (parts.hostname or "").lower()
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return ""  # no port at all: who asks is told
    return value if _through(host, port, _any(environment, "NO_PROXY")) else ""


def _any(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower()) or ""


def _through(host: str, port: int, no_proxy: str) -> bool:
    """Whether a host is asked through the HTTP proxy (httpproxy, useProxy)."""
    if host == "localhost":
        return False
    address = None
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if address is not None and address.is_loopback:
        return False
    for entry in no_proxy.lower().split(","):
        entry = entry.strip()
        if entry == "*":
            return False
        if not entry:
            continue
        if "/" in entry:
            try:
                if address is not None and address in ipaddress.ip_network(entry, strict=False):
                    return False
                continue
            except ValueError:
                pass
        name, wanted = _host_port(entry)
        if not name or (wanted and wanted != str(port)):
            continue
        if address is not None:
            try:
                if address == ipaddress.ip_address(name):
                    return False
            except ValueError:
                pass
            continue  # an address is compared with addresses only
        if name.startswith("*."):
            name = name[1:]
        if host.endswith(name if name.startswith(".") else "." + name) or host == name:
            return False
    return True


def _host_port(entry: str) -> Tuple[str, str]:
    if entry.startswith("["):
        name, _bracket, port = entry[1:].partition("]")
        return name, port.lstrip(":")
    if entry.count(":") == 1:
        name, _colon, port = entry.partition(":")
        return name, port
    return entry, ""


# --- figures ------------------------------------------------------------------------------------------------------------

def figures(values: List[float]) -> Optional[Dict[str, float]]:
    """``{min, median, p95, max}`` with one decimal, None where there are no values."""
    if not values:
        return None
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {"min": round(ordered[0], 1), "median": round(median, 1), "p95": round(percentile(ordered, 95), 1), "max": round(ordered[-1], 1)}
