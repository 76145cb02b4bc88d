# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.goready.preflight.plugins.module_utils.readfile import read_regular


def test_a_file_and_a_link_to_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")

    assert read_regular(str(tmp_path / "file"), 5) == b"12345"
    assert read_regular(str(tmp_path / "link"), 5) == b"12345"


def test_too_much(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456")
    with pytest.raises(ValueError, match=r"/file has more than 5 bytes$"):
        read_regular(str(tmp_path / "file"), 5)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(ValueError, match=r" is no regular file$"):
            read_regular(str(path), 5)
    with pytest.raises(FileNotFoundError):
        read_regular(str(tmp_path / "none"), 5)


def test_a_fifo_put_there_after_the_look_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"1")
    real = os.open

    def swapped(path: str, flags: int) -> int:
        os.unlink(path)
        os.mkfifo(path)
        return real(path, flags)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(ValueError, match=r" is no regular file$"):
        read_regular(str(tmp_path / "file"), 5)
