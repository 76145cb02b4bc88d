# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook as a user runs it: the gate, harmlessness, an ordinary user."""
from __future__ import annotations

import re

import pytest

# Everything a verification could have left behind. /root/.ansible is Ansible's own temporary folder.
SNAPSHOT = (
    "find /etc /opt /usr/local /root /home -xdev -path /root/.ansible -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; "
    "find /etc /opt /usr/local /root /home -xdev -path /root/.ansible -prune -o -printf '%p %y %m %u %g %s %l\\n' "
    "| grep -v '^/root d' | sort; "
    "systemctl list-units --all --no-legend --plain --type=service,socket,timer,mount,target | grep -v '^session\\|^user' | sort; "
    "systemctl list-unit-files --no-legend | sort; find /tmp /var/tmp /run -xdev -name '*goready*' -o -xdev -name '*preflight*'"
)


@pytest.mark.parametrize("name", ["ready", "six", "tools"])
def test_verification_changes_nothing(connect, preflight, name):
    host = connect(name)
    before = host.run(SNAPSHOT)
    assert before.rc == 0 and len(before.stdout.splitlines()) > 300, before.stderr
    preflight("--limit", name)
    assert host.run(SNAPSHOT).stdout.splitlines() == before.stdout.splitlines()


def test_ready_hosts_pass_the_gate(preflight):
    rc, output, report = preflight("--limit", "ready")
    assert (rc, report["verdict"]) == (0, "ready"), output
    assert "changed=0" in output


def test_a_fleet_with_one_host_that_is_not_ready_is_held(preflight):
    rc, output, report = preflight("--limit", "ready,six")
    assert (rc, report["verdict"]) == (2, "not_ready"), output
    recap = output[output.index("PLAY RECAP"):]
    assert re.findall(r"^(\w+) .*failed=1", recap, re.M) == ["six"]


def test_unreachable_and_nothing_else_is_inconclusive(preflight):
    rc, output, report = preflight("--limit", "gone", "-e", "ansible_ssh_common_args='-o ConnectTimeout=3'")
    assert (rc, report["verdict"]) == (2, "inconclusive"), output
    assert report["hosts"][0]["name"] == "gone"


def test_an_ordinary_user_gets_unknowns_with_their_reason(preflight):
    rc, output, report = preflight("--limit", "ready", "-u", "deploy", "-e", "ansible_user=deploy")
    (row,) = report["hosts"]
    assert (rc, report["verdict"]) == (2, "inconclusive"), output
    unknown = [line for line in row["results"] if line["status"] == "unknown"]
    assert unknown and all(line["reason"] for line in unknown)
    assert not [line for line in row["results"] if line["status"] == "error"]
    assert "limits.nofile_effective" not in {line["id"] for line in row["results"] if line["status"] == "fail"}
