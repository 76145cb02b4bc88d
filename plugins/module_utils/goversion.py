# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go's version strings and the ranges an inventory writes over them.

Pure: text in, values out, ValueError with what was wrong. The order of versions is that of Go's own internal/gover:
``1.27`` (the language version, a tree in development) < ``1.27rc1`` < ``1.27.0`` < ``1.27.1``; before Go 1.21 the
first release of a line had no third number, so there ``1.20`` is ``1.20.0``.
"""
from __future__ import annotations

import re
from functools import total_ordering
from typing import Any, List, Optional, Tuple

LONGEST = 256  # characters of a version or a range; a hostile string costs no more than this

_NUMBER = r"(?:0|[1-9][0-9]{0,5})"
_RELEASE = re.compile(r"(?P<major>%s)\.(?P<minor>%s)(?:\.(?P<patch>%s)|(?P<kind>alpha|beta|rc)(?P<number>%s))?"
                      % ((_NUMBER,) * 4))
# What may follow the numbers: "go1.27.3 X:boringcrypto", "go1.27.3-custom", "go1.18.4 (Red Hat 1.18.4-2.el9)",
# "go1.26-devel_8c5a6f81a3 Mon Jan ...".
_SUFFIX = re.compile(r"(?:[ \t+_~-][^\x00-\x08\x0a-\x1f\x7f]*)?")
_STAGES = {"": 0, "devel": 0, "alpha": 1, "beta": 2, "rc": 3}
_RELEASED = 4


@total_ordering
class GoVersion:
    """One version of Go.

    ``major`` and ``minor`` are whole numbers; ``patch`` is None where the string has none (``go1.27rc1``, a
    development tree); ``pre`` is ``""``, ``"rc1"``, ``"beta2"`` or ``"devel"``; ``suffix`` is whatever stood behind
    the numbers (a vendor's or builder's mark, experiments). Order and equality ignore ``suffix``, as Go does.
    """

    __slots__ = ("major", "minor", "patch", "pre", "suffix")

    def __init__(self, major: int, minor: int, patch: Optional[int] = None, pre: str = "", suffix: str = "") -> None:
        self.major = major
        self.minor = minor
        self.patch = patch
        self.pre = pre
        self.suffix = suffix

    @property
    def language(self) -> str:
        """The release line, which is also the language version: ``"1.27"``."""
        return "%d.%d" % (self.major, self.minor)

    @property
    def line(self) -> Tuple[int, int]:
        """The release line as a value that orders."""
        return self.major, self.minor

    @property
    def prerelease(self) -> bool:
        """A beta, a release candidate or a development tree: nothing that the Go team calls released."""
        return self._key[2] != _RELEASED

    @property
    def _key(self) -> Tuple[int, int, int, int]:
        if self.pre:
            kind = self.pre.rstrip("0123456789")
            return self.major, self.minor, _STAGES[kind], int(self.pre[len(kind):] or 0)
        if self.patch is None:
            # Go 1.21 began to call the first release of a line 1.21.0; until then it was plain 1.20.
            stage = _RELEASED if self.line < (1, 21) else 0
            return self.major, self.minor, stage, 0
        return self.major, self.minor, _RELEASED, self.patch

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GoVersion) and self._key == other._key

    def __lt__(self, other: Any) -> bool:
        if not isinstance(other, GoVersion):
            return NotImplemented
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        """Without prefix and suffix: ``1.27.3``, ``1.27rc1``, ``1.27-devel``."""
        if self.pre == "devel":
            return self.language + "-devel"
        return self.language + (self.pre or ("" if self.patch is None else ".%d" % self.patch))

    def __repr__(self) -> str:
        return "GoVersion(%s%s)" % (self, self.suffix)


def parse(text: str) -> GoVersion:
    """The version in ``go1.27.3``, ``1.27.3``, ``go1.27rc1``, ``go1.27.3 X:boringcrypto``, ``go1.27.3-custom``,
    ``devel go1.28-8c5a6f81a3 ...`` or ``go1.28-devel_8c5a6f81a3 ...``.

    Raises ValueError for anything else, also for ``devel +8c5a6f81a3``, which tells no version at all.
    """
    if not isinstance(text, str):
        raise ValueError("a Go version must be a string, not %s" % type(text).__name__)
    if len(text) > LONGEST:
        raise ValueError("a Go version of %d characters" % len(text))
    stripped = text.strip(" \t\r\n")
    rest = stripped
    devel = rest.startswith("devel ")
    if devel:
        rest = rest[len("devel "):].lstrip(" ")
        if rest.startswith("+"):
            raise ValueError("%r is a development tree that does not tell its version" % stripped)
    if rest.startswith("go"):
        rest = rest[2:]
    found = _RELEASE.match(rest)
    if not found:
        raise ValueError("%r is no Go version (like go1.27.3 or go1.27rc1)" % stripped)
    suffix = rest[found.end():]
    if not _SUFFIX.fullmatch(suffix):
        raise ValueError("%r is no Go version: %r follows %s" % (stripped, suffix, found.group(0)))
    if suffix.startswith("-devel_"):  # the form of Go 1.25 and later
        devel = True
    pre = (found.group("kind") or "") + (found.group("number") or "")
    patch = int(found.group("patch")) if found.group("patch") else None
    if devel and not pre and patch is None:
        pre = "devel"
    return GoVersion(int(found.group("major")), int(found.group("minor")), patch, pre, suffix)


_TERM = re.compile(r"(?P<operator>>=|<=|==|!=|>|<|=|)\s*(?P<version>\S+)")
_ALLOWED = 'expected a version ("1.27", "1.27.3") or bounds with >=, >, <=, <, =, != and commas (">=1.26,<1.28")'


class Range:
    """What an inventory allows: ``1.27`` (every release of that line), ``1.27.3`` (that one), ``>=1.26,<1.28``.

    All terms must hold. A bound without a third number means the whole line: ``<=1.27`` includes 1.27.9, ``>1.26``
    begins at 1.27.0. Betas, release candidates and development trees never match, unless a term names one of their
    own line (``>=1.28rc1``): nobody who writes ``>=1.26`` asks for an unreleased compiler.
    """

    def __init__(self, terms: List[Tuple[str, GoVersion]], text: str) -> None:
        self.terms = terms
        self.text = text

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read a range, or raise ValueError that names the term and what is allowed."""
        if not isinstance(text, str):
            raise ValueError("%r is a %s: quote it, because YAML reads 1.30 as the number 1.3"
                             % (text, type(text).__name__))
        if len(text) > LONGEST:
            raise ValueError("a version range of %d characters; at most %d are allowed" % (len(text), LONGEST))
        if not text.strip():
            raise ValueError("an empty version range; " + _ALLOWED)
        terms: List[Tuple[str, GoVersion]] = []
        for part in text.split(","):
            found = _TERM.fullmatch(part.strip())
            if not found:
                raise ValueError("%r in %r is no term of a version range; %s" % (part.strip(), text, _ALLOWED))
            try:
                version = parse(found.group("version"))
            except ValueError:
                version = None
            if version is None or version.suffix or version.pre == "devel":
                raise ValueError("%r in %r is no Go version; %s" % (found.group("version"), text, _ALLOWED))
            operator = found.group("operator")
            terms.append(("=" if operator in ("", "==") else operator, version))
        parsed = cls(terms, ",".join(part.strip() for part in text.split(",")))
        if not any(parsed.matches(version) for version in parsed._neighbours()):
            raise ValueError("%r contradicts itself: no Go version satisfies all its terms" % text)
        return parsed

    def matches(self, version: GoVersion) -> bool:
        """Whether all terms hold for the version."""
        if version.prerelease and not any(term.pre and term.line == version.line for _operator, term in self.terms):
            return False
        return all(_holds(operator, term, version) for operator, term in self.terms)

    def _neighbours(self) -> List[GoVersion]:
        """Versions at, just below and just above every bound: if none of them matches, none does."""
        found: List[GoVersion] = []
        for _operator, term in self.terms:
            found.append(term)
            for minor in range(max(0, term.minor - 1), term.minor + 2):
                found.extend(GoVersion(term.major, minor, patch) for patch in (0, 10**6))
            if term.patch is not None:
                found.extend(GoVersion(term.major, term.minor, patch)
                             for patch in range(max(0, term.patch - 1), term.patch + 2))
            if term.pre:
                kind = term.pre.rstrip("0123456789")
                number = int(term.pre[len(kind):] or 0)
                found.extend(GoVersion(term.major, term.minor, None, "%s%d" % (kind, max(0, near)))
                             for near in (number - 1, number + 1))
        return found

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return "Range(%s)" % self.text


def _holds(operator: str, term: GoVersion, version: GoVersion) -> bool:
    left: Any = version
    right: Any = term
    if term.patch is None and not term.pre:
        left, right = version.line, term.line
    if operator == "=":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    if operator == ">=":
        return bool(left >= right)
    if operator == ">":
        return bool(left > right)
    if operator == "<=":
        return bool(left <= right)
    return bool(left < right)
