# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the variables that are mappings are read with: every fault is a sentence with the key, the value and what is allowed."""
from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import httpprobe, redact


def mapping(value: Any, known: Any) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not a mapping; its keys are {', '.join(known)}")
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), list(known), n=1)
            raise ValueError(f"unknown key {key!r}; {f'did you mean {near[0]}? ' if near else ''}allowed are {', '.join(known)}")
    return {str(key): item for key, item in value.items() if item is not None}


def read(given: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    values = {}
    for key, item in given.items():
        try:
            values[key] = readers[key](item)
        except ValueError as exc:
            raise ValueError(f"{key}: {exc}") from None
    return values


def whole(minimum: int, maximum: int) -> Callable[[Any], int]:
    def reader(value: Any) -> int:
        text = str(value)
        if isinstance(value, bool) or not isinstance(value, (int, str)) or not text.isascii() or not text.isdigit() \
                or not minimum <= int(text[:12]) <= maximum:
            raise ValueError(f"{short(value)} is not a whole number from {minimum} to {maximum}")
        return int(text)

    return reader


def boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false", "yes", "no"):  # --extra-vars key=value gives text
        return str(value).lower() in ("true", "yes")
    raise ValueError(f"{value!r} is neither true nor false")


def one_of(*choices: str) -> Callable[[Any], str]:
    def reader(value: Any) -> str:
        if value in choices:
            return str(value)
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")

    return reader


def short(value: Any) -> str:
    """The value for an error message, a URL without its password: a sentence does not carry five thousand characters."""
    text = repr(redact.redact_url(value) if isinstance(value, str) else value)
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text)} characters)"


def split(url_text: str) -> SplitResult:
    """The parts of a URL, also of one whose password is hidden, as ``replay`` reads it: brackets are for IPv6 addresses alone."""
    return urlsplit(url_text.replace(redact.REDACTED, "redacted"))


def url(value: Any, schemes: tuple[str, ...]) -> str:
    """A URL of one of the schemes with a host (or a path for unix), or ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a URL")
    try:
        parts = split(value)
    except ValueError:
        # Its words hold what stands between the brackets: a part of a password, where that has them.
        raise ValueError(
            f"{short(value)} is not a URL that can be asked: its host is none (brackets are for IPv6 addresses alone)") from None
    try:
        if parts.scheme in ("http", "https", "unix"):
            httpprobe.parse_url(value)
    except ValueError as exc:
        raise ValueError(f"{short(value)} is not a URL that can be asked: {exc}") from None
    if parts.scheme not in schemes:
        raise ValueError(f"{short(value)} is not a URL that begins with {', '.join(scheme + '://' for scheme in schemes)}")
    if parts.scheme == "unix":
        if not parts.path.startswith("/"):
            raise ValueError(f"{short(value)} names no absolute path; expected unix:///run/api/pprof.sock")
        return str(value)
    port = _port(parts.netloc, value)
    if not parts.hostname:
        raise ValueError(f"{short(value)} names no host")
    if port is None and parts.scheme in ("tcp", "tls", "kafka"):
        raise ValueError(f"{short(value)} names no port; expected {parts.scheme}://host:port")
    return str(value)


def _port(netloc: str, url: str) -> int | None:
    try:
        return urlsplit(f"//{netloc}").port
    except ValueError:
        raise ValueError(f"{short(url)} has a port that is no number from 0 to 65535") from None


def port_of(url_text: str) -> int | None:
    """The port of a URL that was validated; None for a unix socket."""
    parts = split(url_text)
    return None if parts.scheme == "unix" else parts.port or (443 if parts.scheme == "https" else 80)
