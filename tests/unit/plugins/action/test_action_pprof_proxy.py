# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.goready.preflight.plugins.action import pprof_proxy
from ansible_collections.goready.preflight.plugins.module_utils.proxyconf import Settings
from ansible_collections.goready.preflight.plugins.module_utils.proxyproof import Door


@pytest.mark.parametrize(("wrong", "answer", "text"), [
    (["it admits us"], None, "from the controller, it admits us"),
    (["it admits us", "b", "c"], {"changed": True}, "from the controller, it admits us (and 2 more); the proxy serves api, shop no longer, "
     "and how it did before does not come back"),
    (["it admits us"], {"failed": True, "msg": "nginx was installed for the proxy"},
     "from the controller, it admits us; api, shop could not be taken away from the proxy: nginx was installed for the proxy"),
])
def test_what_became_of_the_services_is_told(wrong, answer, text):
    assert pprof_proxy._told(wrong, ["api", "shop"], answer) == text


@pytest.mark.parametrize(("listen", "peer", "door"), [
    ("16060", "10.0.0.5", Door("10.0.0.5", 16060, True)),
    ("16060", "2001:db8::5", Door("2001:db8::5", 16060, True)),
    ("0.0.0.0:80", "10.0.0.5", Door("10.0.0.5", 80, True)),
    ("10.0.0.5:80", "10.0.0.5", Door("10.0.0.5", 80, True)),
    # The controller's path to the host does not end where the proxy listens.
    ("10.1.1.1:80", "10.0.0.5", None),
    ("0.0.0.0:80", "2001:db8::5", None),
    ("[::]:80", "10.0.0.5", None),
    ("16060", "web1", None),
])
def test_where_the_controller_would_meet_the_proxy(listen, peer, door):
    assert pprof_proxy._door(Settings(listen, certificate="/c", key="/k"), peer) == door


ADMITS = "api: 10.0.0.5:80 admits 10.0.0.9, which is not in the allow-list []"


@pytest.mark.parametrize(("answer", "told"), [
    pytest.param(None, f"from the controller, {ADMITS} (and 1 more)", id="nothing-was-changed"),
    pytest.param({"changed": True}, f"from the controller, {ADMITS} (and 1 more); the proxy serves api, shop no longer, and how it did "
                                    "before does not come back", id="taken-away"),
    pytest.param({"failed": True, "msg": "apt-get purge failed: E: a lock"},
                 f"from the controller, {ADMITS} (and 1 more); api, shop could not be taken away from the proxy: "
                 "apt-get purge failed: E: a lock", id="not-taken-away"),
])
def test_what_is_said_of_the_removal_is_what_became_of_it(answer, told):
    assert pprof_proxy._told([ADMITS, "another"], ["api", "shop"], answer) == told
