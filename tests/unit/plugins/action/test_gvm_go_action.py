# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugin of gvm_go judges before a host is touched. Pushing is tested on real hosts (molecule/go_toolchain)."""
from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.goready.preflight.plugins.action import gvm_go

ROOT = Path(__file__).resolve().parents[4]
BODY = b"an archive"
SUM = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "go1.27.2.linux-amd64.tar.gz"
    path.write_bytes(BODY)
    return path


@pytest.mark.parametrize(("given", "sums"), [
    (SUM, {}), ("sha256:" + SUM, {}), (SUM, {"amd64": "0" * 64}), ("", {"amd64": "0" * 64, "arm64": SUM}),
], ids=["given", "prefix", "given-wins", "table"])
def test_archives_that_are_right(archive, given, sums):
    assert gvm_go.verify(str(archive), given, sums, "the table") == SUM


@pytest.mark.parametrize(("given", "sums", "message"), [
    ("0" * 64, {}, f"archive checksum: {{path}} on the controller has the SHA-256 {SUM}, and not {'0' * 64}"),
    ("xyz", {}, "checksum: 'xyz' is no SHA-256 (64 hex digits, with or without sha256: before them)"),
    ("", {}, "checksum: there is none for {path}, and what cannot be verified is not installed; give it as checksum"),
    ("", {"amd64": "0" * 64}, f"archive checksum: {{path}} on the controller has the SHA-256 {SUM}, which is in the table for no "
                              "architecture of this version"),
], ids=["given", "no-sum", "none", "table"])
def test_archives_that_are_not(archive, given, sums, message):
    with pytest.raises(AnsibleActionFail) as caught:
        gvm_go.verify(str(archive), given, sums, "the table")
    assert str(caught.value) == message.format(path=archive)


def test_the_sum_beside_an_archive(archive):
    assert gvm_go.beside(str(archive)) == ""
    Path(str(archive) + ".sha256").write_text(f"{SUM}  {archive.name}\n")
    assert gvm_go.beside(str(archive)) == SUM


@pytest.mark.parametrize(("arguments", "message"), [
    ({"version": "1.27"}, "version: '1.27' is not exact; it could mean 1.27.0, 1.27.1, 1.27.2"),
    ({"version": 1.3}, "version: 1.3 is no text: quote it, as YAML reads 1.30 as the number 1.3"),
    ({"version": "1.27.2", "archive": "none.tar.gz", "archive_remote": False}, "archive: Could not find or access 'none.tar.gz'"),
    ({"default": True}, "version: '' is no Go version"),
], ids=["line", "number", "archive", "none"])
def test_faults_that_need_no_host(arguments, message):
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible"), "nowhere", "-i", "nowhere,", "-m", "goready.preflight.gvm_go",
         "-a", json.dumps(arguments)],
        cwd=ROOT, text=True, capture_output=True, check=False, timeout=60,
        env=os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "1"})
    assert done.returncode == 2 and message in done.stderr + done.stdout, done.stdout + done.stderr
