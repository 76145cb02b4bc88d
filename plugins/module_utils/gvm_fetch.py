# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring one file from a mirror or a path into a ``.part`` file, and find the checksum that it must have.

A download resumes where it stopped (RFC 9110, Range), begins anew where the server does not resume, and ends at a deadline
whatever the server does. Nothing here decides whether the content is right: that is the checksum's part.
"""
from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import unquote, urlsplit, urlunsplit

from ansible_collections.goready.preflight.plugins.module_utils import redact
from ansible_collections.goready.preflight.plugins.module_utils.gvm import Deadline, GvmError, as_called
from ansible_collections.goready.preflight.plugins.module_utils.readfile import open_regular

OFFICIAL = "https://go.dev/dl"
CHUNK = 1 << 18
#: Seconds without a byte after which an attempt is given up, where the deadline is not nearer.
STALL = 30.0
#: The index of all releases had 4 MiB in 2026.
INDEX_LIMIT = 32 << 20
#: Seconds before the second attempt, doubled for each that follows, up to the other.
PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Space that is left alone on the file system.
RESERVE = 16 << 20

_AGENT = "goready-preflight"
_HEX = re.compile(r"[0-9a-f]{64}")


class Missing(GvmError):
    """The source answers and does not have it."""


class Broken(Exception):
    """An attempt failed in a way that another may not."""


class _Alarm(Exception):
    """The timer of :func:`_until` has run out."""


def normal_checksum(text: str) -> str:
    """64 small hex digits from ``sha256:HEX`` or ``HEX``. ValueError says what is allowed."""
    value = text.strip().lower()
    value = value[len("sha256:"):] if value.startswith("sha256:") else value
    if not _HEX.fullmatch(value):
        raise ValueError("checksum: %r is no SHA-256 (64 hex digits, with or without sha256: before them)" % text)
    return value


def checksum_from_file(text: str, name: str) -> Optional[str]:
    """The sum in a ``.sha256`` file: bare as upstream serves it, or lines of sha256sum(1), of which that of ``name`` counts."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and _HEX.fullmatch(lines[0].lower()):
        return lines[0].lower()
    for line in lines:
        found = re.fullmatch(r"\\?([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(\S+)", line)
        if found and found.group(2) == name:
            return found.group(1).lower()
        found = re.fullmatch(r"SHA256 \((\S+)\) = ([0-9a-fA-F]{64})", line)
        if found and found.group(1) == name:
            return found.group(2).lower()
    return None


def checksum_from_index(text: str, name: str) -> Optional[str]:
    """The sum of the archive ``name`` in the download index (https://go.dev/dl/?mode=json). ValueError where it is no index."""
    document = json.loads(text)
    if not isinstance(document, list):
        raise ValueError("the download index is no list")
    for release in document:
        files = release.get("files") if isinstance(release, dict) else None
        for entry in files if isinstance(files, list) else []:
            if isinstance(entry, dict) and entry.get("filename") == name:
                value = str(entry.get("sha256", "")).lower()
                if not _HEX.fullmatch(value):
                    raise ValueError("the download index has no SHA-256 for %s" % name)
                return value
    return None


def check_source(source: str) -> str:
    """A base URL without a trailing slash. ValueError says what is allowed."""
    try:
        parts = urlsplit(source)
    except ValueError:
        # What urlsplit() says may repeat a password.
        raise ValueError("source: %s is no URL" % redact.redact_text(source)) from None
    if parts.scheme not in ("http", "https", "file") or (parts.scheme != "file" and not parts.hostname) \
            or (parts.scheme == "file" and (parts.netloc not in ("", "localhost") or not parts.path.startswith("/"))) \
            or parts.query or parts.fragment:
        raise ValueError("source: %r is no base URL (http://HOST/PATH, https://HOST/PATH or file:///PATH)" % redact.redact_url(source))
    return source.rstrip("/")


def hash_file(path: str, deadline: Deadline) -> str:
    """SHA-256 of a file in hex."""
    total = hashlib.sha256()
    with os.fdopen(open_regular(path), "rb") as stream:
        while True:
            block = stream.read(1 << 20)
            if not block:
                return total.hexdigest()
            total.update(block)
            deadline.left("reading %s" % path)


def require_space(folder: str, needed: int, what: str) -> None:
    """GvmError where the file system has not that many bytes (for us) and RESERVE more."""
    about = os.statvfs(folder)
    free = about.f_bavail * about.f_frsize
    if free < needed + RESERVE:
        raise GvmError("%s needs %d MiB in %s, where %d MiB are free" % (what, (needed + RESERVE) >> 20, folder, free >> 20))


@contextlib.contextmanager
def _until(seconds: float) -> Iterator[None]:
    """Leave whatever hangs (a name that does not resolve, headers that come a byte a minute) after that time."""
    def ring(_number: int, _frame: Any) -> None:
        raise _Alarm()

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follow redirects, from https to https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.HTTPError(newurl, code, "it redirects from https to %s" % urlsplit(newurl).scheme, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, timeout: float, headers: Dict[str, str]) -> Any:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), headers=dict(headers, **{"User-Agent": _AGENT}))
    if parts.username is not None:
        import base64

        pair = "%s:%s" % (unquote(parts.username), unquote(parts.password or ""))
        # Not for the host that a redirect leads to.
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii"))
    return urllib.request.build_opener(_SameHost).open(request, timeout=timeout)


class Stream(NamedTuple):
    """What a source has opened: where in the file it begins, how many bytes are to come (None: it does not say)."""

    read: Callable[[], bytes]
    start: int
    length: Optional[int]


def _open_file(path: str, pushed: bool) -> int:
    """With the user's own rights: it could have linked it to a file that only root may read. But what Ansible has pushed
    lies in a folder of whoever runs the module."""
    try:
        return open_regular(path)
    except PermissionError:
        if not pushed:
            raise
    with as_called():
        return open_regular(path, follow=False)


@contextlib.contextmanager
def _stream(url: str, offset: int, timeout: float, pushed: bool) -> Iterator[Stream]:
    if url.startswith("file:"):
        with os.fdopen(_open_file(unquote(urlsplit(url).path), pushed), "rb") as handle:
            yield Stream(lambda: handle.read(CHUNK), 0, os.fstat(handle.fileno()).st_size)
        return
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = "bytes=%d-" % offset
    with contextlib.closing(_open(url, timeout, headers)) as answer:
        start = 0
        if answer.status == 206:
            found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
            if not found or int(found.group(1)) != offset:
                raise Broken("it answers a range with another one")
            start = offset
        length = answer.headers.get("Content-Length")
        # read1 returns what has come; read would wait for the whole chunk, past every deadline.
        yield Stream(lambda: bytes(answer.read1(CHUNK)), start, int(length) if length and length.isdigit() else None)


def _attempt(url: str, part: str, timeout: float, limit: Optional[int], pushed: bool = False) -> None:
    """Complete ``part`` from the URL. Broken where another attempt may help."""
    offset = os.path.getsize(part) if os.path.exists(part) else 0
    with _stream(url, offset, timeout, pushed) as stream:
        if stream.length is not None:
            held = 0 if stream.start else offset  # what is there is written over
            require_space(os.path.dirname(part), stream.length - held, "the download of %s" % redact.redact_url(url))
        taken = 0
        with open(part, "r+b" if stream.start else "wb") as out:
            out.seek(stream.start)
            out.truncate()
            while True:
                block = stream.read()
                if not block:
                    break
                out.write(block)
                taken += len(block)
                if limit is not None and taken > limit:
                    raise Missing("%s has more than %d bytes" % (redact.redact_url(url), limit))
            out.flush()
            os.fsync(out.fileno())
    if stream.length is not None and taken < stream.length:
        raise Broken("the connection ended after %d of %d bytes" % (taken, stream.length))


def fetch(url: str, part: str, *, deadline: Deadline, retries: int, limit: Optional[int] = None,
          pushed: bool = False) -> None:
    """Let ``part`` hold what the URL gives, beginning with what it holds already. Retries with growing pauses.

    Missing where the source has no such file; GvmError at the deadline, where the disk is full, or after the last attempt.
    What has come stays in ``part`` for another call, but for a full disk.
    """
    shown = redact.redact_url(url)
    what = "the download of %s" % shown
    last = ""
    for attempt in range(retries + 1):
        if attempt:
            time.sleep(min(PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE, max(0.0, deadline.end - time.monotonic())))
        left = deadline.left(what + (" (%s)" % last if last else ""))
        try:
            with _until(left):
                _attempt(url, part, min(STALL, left), limit, pushed)
            return
        except urllib.error.HTTPError as exc:
            last = "HTTP %d %s" % (exc.code, exc.reason)
            exc.close()
            if exc.code == 416:  # what is there is not the beginning of what the server has
                _unlink(part)
            elif exc.code not in (408, 425, 429) and exc.code < 500:
                raise Missing("%s: %s" % (shown, last)) from None
        except FileNotFoundError:
            raise Missing("%s: there is no such file" % shown) from None
        except _Alarm:
            raise GvmError("timeout: %s was not done within %d s%s" % (what, deadline.seconds, " (%s)" % last if last else "")) from None
        except (Broken, http.client.HTTPException, socket.timeout) as exc:
            last = str(exc) or type(exc).__name__
        except urllib.error.URLError as exc:
            last = str(exc.reason)
        except OSError as exc:
            import errno

            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                _unlink(part)
                raise GvmError("%s: %s is full" % (what, os.path.dirname(part))) from None
            if exc.errno in (errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR):
                raise GvmError("%s: %s" % (what, exc)) from None
            last = str(exc)
        except ValueError as exc:  # no regular file
            raise GvmError("%s: %s" % (what, exc)) from None
    raise GvmError("%s failed %s: %s" % (what, "after %d attempts" % (retries + 1) if retries else "at once", last))


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _text(url: str, scratch: str, deadline: Deadline, retries: int) -> str:
    part = os.path.join(scratch, "answer")
    _unlink(part)
    try:
        fetch(url, part, deadline=deadline, retries=retries, limit=INDEX_LIMIT)
        with open(part, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    finally:
        _unlink(part)


def find_checksum(source: str, name: str, scratch: str, *, deadline: Deadline, retries: int) -> Tuple[Optional[str], str, List[str]]:
    """(checksum, where it is from, why not) by a source's ``NAME.sha256``, then its download index."""
    reasons: List[str] = []
    places = ["%s/%s.sha256" % (source, name)]
    if not source.startswith("file:"):
        # The official site has the index; mirrors usually have the files beside the archives.
        places.insert(0 if source == OFFICIAL else 1, "%s/?mode=json&include=all" % source)
    for url in places:
        shown = redact.redact_url(url)
        try:
            text = _text(url, scratch, deadline, retries)
            found = checksum_from_index(text, name) if "?mode=" in url else checksum_from_file(text, name)
        except Missing as exc:
            reasons.append(str(exc))
            continue
        except ValueError as exc:
            reasons.append("%s: %s" % (shown, exc))
            continue
        if found:
            return found, "%s %s" % ("index" if "?mode=" in url else "file", shown), reasons
        reasons.append("%s does not name %s" % (shown, name))
    return None, "", reasons
