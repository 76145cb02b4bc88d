"""The lab's cache: images, SDKs, built services and the hosts' key, outside the repository."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class LabError(Exception):
    """One sentence about what is wrong, for the person at the terminal."""


def cache_dir() -> Path:
    """``$GOREADY_LAB_CACHE``, else goready-lab in the user's cache folder; made when missing."""
    named = os.environ.get("GOREADY_LAB_CACHE")
    if named:
        path = Path(named).absolute()
    else:
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        path = Path(home) / "goready-lab"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"the cache folder {path} cannot be made: {error.strerror}") from error
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on ``path``.lock, so that two calls never build the same thing at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def finished_or_nothing(path: Path) -> Iterator[Path]:
    """Gives a name to write to; it becomes ``path`` only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        else:
            unfinished.unlink(missing_ok=True)


def digest(*parts: str | bytes) -> str:
    """A short name for what ``parts`` say; every part counts with its length."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(b"%d:" % len(data) + data)
    return total.hexdigest()[:12]


def run(
    command: Sequence[str | Path],
    *,
    timeout: float,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Runs ``command`` and returns its standard output; ``what`` names it in an error."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if env is None else dict(env),
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{what}: {error.filename} is not there; tests/lab/install installs it") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{what}: no end after {timeout:.0f} s") from error
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise LabError(f"{what}: exit status {done.returncode}: {' | '.join(said[-3:]) or 'no output'}")
    return done.stdout
