# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check catalogue: the collection's own families, and families that other collections ship."""
from __future__ import annotations

import difflib
import fnmatch
import importlib
import re
from collections.abc import Iterable, Mapping

from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Check, checks_of

# In the order in which a person works through a host: the machine, its tools, what runs, what it shows.
FAMILIES = ("host", "toolchain", "modules", "services", "limits", "binary", "pprof", "memory", "goroutines", "network", "databases")

_PACKAGE = "ansible_collections.{namespace}.{collection}.plugins.sub_plugins.check.{family}"
_FQCN = re.compile(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*")


def load(extra: Iterable[str] = ()) -> dict[str, Check]:
    """``{id: Check}`` of the built-in families and of those named by FQCN (``namespace.collection.family``).

    Raises ValueError for a name that is no FQCN, a family that cannot be imported or holds no check, and an id that
    is taken already.
    """
    catalogue: dict[str, Check] = {}
    for fqcn in [f"goready.preflight.{family}" for family in FAMILIES] + list(extra):
        for one in _family(fqcn):
            if one.id in catalogue:
                raise ValueError(f"{fqcn}: the check id {one.id} is taken already")
            catalogue[one.id] = one
    return catalogue


def _family(fqcn: str) -> list[Check]:
    if not _FQCN.fullmatch(fqcn):
        raise ValueError(f"{fqcn!r} is no check family: expected namespace.collection.family")
    namespace, collection, family = fqcn.split(".")
    name = _PACKAGE.format(namespace=namespace, collection=collection, family=family)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as exc:
        raise ValueError(
            f"check family {fqcn} was not found: is the collection {namespace}.{collection} installed with "
            f"plugins/sub_plugins/check/{family}.py? ({exc})"
        ) from exc
    except Exception as exc:  # foreign code: whatever its import raises is one clear message
        raise ValueError(f"check family {fqcn} cannot be loaded: {type(exc).__name__}: {exc}") from exc
    checks = checks_of(module)
    if not checks:
        raise ValueError(f"check family {fqcn} declares no check")
    for one in checks:
        if one.family != family:
            raise ValueError(f"check family {fqcn} declares {one.id}, which belongs to another family")
    return checks


def unmatched(pattern: str, catalogue: Mapping[str, Check]) -> str:
    """An error sentence where an id, glob or ``@tag`` names no check of the catalogue, else an empty string."""
    tags = sorted({tag for one in catalogue.values() for tag in (*one.tags, one.family, one.profile)})
    if pattern.startswith("@"):
        if pattern[1:] in tags:
            return ""
        return f"no check carries the tag {pattern}; there are " + ", ".join("@" + tag for tag in tags)
    if any(fnmatch.fnmatchcase(check_id, pattern) for check_id in catalogue):
        return ""
    words = re.sub(r"[*?\[\]]", "", pattern)
    near = difflib.get_close_matches(words, catalogue, n=3, cutoff=0.5)
    if not near:
        near = sorted(check_id for check_id in catalogue if check_id.split(".")[0] == pattern.split(".")[0])[:5]
    hint = "did you mean " + ", ".join(near) + "?" if near else "the families are " + ", ".join(
        sorted({one.family for one in catalogue.values()}))
    return f"no check is named {pattern}; {hint}"
