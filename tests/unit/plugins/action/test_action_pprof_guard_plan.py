# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.goready.preflight.plugins.action import pprof_guard_plan
from ansible_collections.goready.preflight.plugins.module_utils import proxyconf

SETTINGS = {key: spec.get("default") for key, spec in proxyconf.ARGUMENTS.items()}
WRONG = ["users and token: at least one is needed, for a proxy that asks nobody who they are guards nothing; tls_certificate and tls_key: "
         "without them credentials cross the network in clear text to 16060; give them, listen on 127.0.0.1 or ::1, or accept it by "
         "insecure: true"]


@pytest.mark.parametrize(("services", "means", "state", "proxy", "faults"), [
    ([{"name": "api", "means": ["firewall", "proxy"]}], "auto", "present", {}, WRONG),
    ([{"name": "api", "means": "proxy"}], "auto", "present", {}, WRONG),
    ([{"name": "api"}], ["proxy"], "present", {}, WRONG),
    ([{"name": "api", "means": ["proxy"]}], "auto", "present", {"token": "t" * 32, "listen": "127.0.0.1:16060"}, []),
    # Nobody asks for a proxy.
    ([{"name": "api", "means": ["firewall"]}], "auto", "present", {}, []),
    ([{"name": "api", "means": None}], None, "present", {}, []),
    ([], ["proxy"], "present", {}, []),
    ([{"name": "api", "means": ["proxy"]}], "auto", "absent", {}, []),
])
def test_the_proxys_settings_are_judged_with_the_other_variables(services, means, state, proxy, faults):
    args = {"services": services, "means": means, "state": state}
    assert pprof_guard_plan._proxy_faults(args, {**SETTINGS, **proxy}) == faults


def test_the_plan_takes_every_setting_of_the_proxy():
    assert set(proxyconf.ARGUMENTS) - set(pprof_guard_plan._PROXY_SETTINGS) == {"services", "remove", "state", "install", "timeout"}
