# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw profiles come from hosts: whatever one says of them, they stay below the run's folder and nothing else is lost."""
from __future__ import annotations

import base64
import stat

import pytest

from ansible_collections.goready.preflight.plugins.action.verify import ActionModule
from ansible_collections.goready.preflight.plugins.plugin_utils import sampling

LISTENER = {"proto": "tcp", "address": "127.0.0.1", "port": 6060, "path": None}


def endpoint(service="api"):
    return {"service": service, "container": None, "pid": 7, "listener": LISTENER, "prefix": "", "takes": []}


def profile(**other):
    return {"service": "api", "container": None, "pid": 7, "listener": LISTENER, "prefix": "", "kind": "heap", "phase": "idle",
            "file": "heap-idle.pb.gz", "data": base64.b64encode(b"profile").decode(), **other}


def keep(tmp_path, *profiles, service="api"):
    action = ActionModule.__new__(ActionModule)
    action._run_dir, action._name = tmp_path / "run", "web/../1"
    action._run_dir.mkdir(exist_ok=True)
    facts = {"runtime": {"endpoints": [endpoint(service)]}}
    action._keep(facts, {"profiles": list(profiles)})
    written = {str(path.relative_to(action._run_dir)): path for path in sorted(action._run_dir.rglob("*")) if path.is_file()}
    return written, [error["message"] for error in facts.get("errors", ())]


def test_a_profile_is_its_owner_s_alone(tmp_path):
    written, errors = keep(tmp_path, profile())
    (path,) = written.values()
    assert list(written) == ["profiles/web%2F..%2F1/api/heap-idle.pb.gz"] and path.read_bytes() == b"profile" and not errors
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent, path.parent.parent.parent)} == {0o700}


@pytest.mark.parametrize("wrong", [
    pytest.param(profile(file="../../heap-idle.pb.gz"), id="path"),
    pytest.param(profile(kind="../x", file="../x-idle.pb.gz"), id="kind"),
    pytest.param(profile(phase="x/y", file="heap-x/y.pb.gz"), id="phase"),
    pytest.param(profile(service="other"), id="service"),
    pytest.param(profile(listener="x"), id="listener"),
    pytest.param(profile(data="ä"), id="text"),
    pytest.param(profile(data="AAA"), id="base64"),
    pytest.param(profile(data=None), id="none"),
    pytest.param("heap", id="no-mapping"),
    pytest.param({}, id="empty"),
])
def test_what_is_wrong_costs_itself_alone(tmp_path, wrong):
    written, errors = keep(tmp_path, wrong, profile())
    assert list(written) == ["profiles/web%2F..%2F1/api/heap-idle.pb.gz"]
    assert len(errors) == 1 and errors[0].startswith("a profile could not be kept: ")


def test_a_profile_has_a_size(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "PROFILE_MOST", 6)
    written, errors = keep(tmp_path, profile())
    assert not written and errors == ["a profile could not be kept: it is larger than any profile that was asked for"]


def test_a_service_s_name_is_no_path(tmp_path):
    written, errors = keep(tmp_path, profile(service="../../etc"), service="../../etc")
    assert list(written) == ["profiles/web%2F..%2F1/%2E.%2F..%2Fetc/heap-idle.pb.gz"] and not errors
