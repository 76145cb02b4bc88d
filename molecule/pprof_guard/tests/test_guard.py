# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role as a user runs it, tried from a second host. Every test leaves the host guarded as converge left it; the last
one takes everything away."""
from __future__ import annotations

import subprocess

import pytest
from conftest import command, paths

TABLE = "nft table inet goready_pprof"
UNIT = "unit goready-pprof-guard.service"
OPEN = {"name": "open", "pprof": "http://127.0.0.1:6060", "health": "http://127.0.0.1:8080/healthz"}
EXPORTER = {"name": "prometheus-node-exporter", "pprof": "http://127.0.0.1:9100"}
# What is on the host besides our table; a service's own counters are not part of it.
FOREIGN = "nft -s list ruleset 2>/dev/null | sed '/^table inet goready_pprof/,/^}/d'"
TREE = """find /etc /var/lib/goready-preflight ! -type d -printf '%p %m %u %l ' \
-exec sh -c 'test -f "$1" && cksum < "$1" || echo' _ {} \\; 2>/dev/null | sort"""


def status(shell, url: str) -> str:
    """The HTTP status of a GET, "000" where nobody answered within a second."""
    return shell(f"curl -gs -m 1 -o /dev/null -w '%{{http_code}}' '{url}'", check=False)


def proven(result, name: str):
    return result["proof"]["proven"][name]


# --- as converge left it -----------------------------------------------------------------------------------------------


def test_the_other_host_reaches_the_services_but_not_their_pprof(peer, address):
    for host in (address["guard"], f"[{address['guard_v6']}]"):
        assert status(peer, f"http://{host}:8080/") == "200"
        assert status(peer, f"http://{host}:6060/debug/pprof/") == "000"
    for port in (6061, 6062):
        assert status(peer, f"http://{address['guard']}:{port}/debug/pprof/") == "000"
    # What nobody guards is as open as before: the other host would have got through.
    assert status(peer, f"http://{address['guard']}:8083/debug/pprof/") == "200"


def test_the_host_itself_reaches_pprof_by_every_address(guard, address):
    for host in ("127.0.0.1", "[::1]", address["guard"], f"[{address['guard_v6']}]"):
        assert status(guard, f"http://{host}:6060/debug/pprof/") == "200"
    assert status(guard, "http://127.0.0.1:6061/debug/pprof/") == "200"
    assert guard("curl -s -o /dev/null -w '%{http_code}' --unix-socket /run/arg/pprof.sock http://x/debug/pprof/") == "200"


def test_the_rest_of_a_command_line_is_kept_byte_for_byte(guard):
    drop_in = guard("cat /etc/systemd/system/arg.service.d/50-goready-pprof.conf").splitlines()
    (old,) = (line for line in guard("cat /etc/systemd/system/arg.service").splitlines() if line.startswith("ExecStart="))
    assert drop_in[-2:] == ["ExecStart=", old.replace("0.0.0.0:6062", "unix:///run/arg/pprof.sock")]
    assert "  -pprof" in old


def test_other_packet_filters_are_as_they_were(guard):
    assert guard(FOREIGN) == guard("cat /var/tmp/ruleset")
    assert "6060 counter packets 0" not in guard("nft list table inet foreign"), "the peer's packets were dropped before it"


def test_a_second_run_changes_nothing_and_proves_it_again(role):
    rc, output, result = role()
    assert rc == 0, output
    assert paths(result) == []
    assert result["proof"]["proven"] == {"open": True, "env": True, "arg": True}
    assert result["plan"]["left"] == [{"name": "quiet", "why": "only this machine reaches it"}]
    families = {":" in attempt["address"] for attempt in result["proof"]["attempts"] if attempt["port"] == 6060}
    assert families == {False} or families == {False, True}


# --- the allow-list -----------------------------------------------------------------------------------------------------


def test_the_allow_list_admits_and_nobody_else(role, guard, peer, address):
    controller = guard("echo ${SSH_CONNECTION%% *}")
    rc, output, result = role(pprof_guard_allow=[f"{address['peer']}/32", controller])
    assert rc == 0, output
    assert paths(result) == [("/etc/goready-preflight/pprof-guard.nft", "changed", ""), (TABLE, "changed", "")]
    assert proven(result, "open") is True
    (tried,) = (one for one in result["proof"]["attempts"] if one["from"] == "controller" and one["address"] == address["guard"]
                and one["port"] == 6060)
    assert (tried["expected"], tried["seen"]) == ("admitted", "open")
    assert status(peer, f"http://{address['guard']}:6060/debug/pprof/") == "200"
    assert status(peer, f"http://[{address['guard_v6']}]:6060/debug/pprof/") == "000"

    rc, output, result = role(pprof_guard_allow=[f"{address['peer_v6']}/128"])
    assert rc == 0, output
    assert status(peer, f"http://{address['guard']}:6060/debug/pprof/") == "000"
    assert status(peer, f"http://[{address['guard_v6']}]:6060/debug/pprof/") == "200"

    rc, output, result = role()
    assert rc == 0, output
    assert status(peer, f"http://[{address['guard_v6']}]:6060/debug/pprof/") == "000"


def test_a_guard_that_does_not_hold_fails_the_role(role, guard):
    """A table that was emptied by hand: proving alone tells it, a run loads it again."""
    guard("nft flush chain inet goready_pprof local; nft flush chain inet goready_pprof arriving")
    rc, output, result = role("--check")
    assert (rc, paths(result)) == (0, [(TABLE, "changed", "")]), output
    rc, output, result = role("--tags", "pprof_guard_prove,untagged", pprof_guard_services=[OPEN])
    assert rc != 0
    assert "open: the rules are not what they should be: nft table inet goready_pprof changed" in output
    assert "lets the controller" in output
    assert "and its address is not in the allow-list" in output
    rc, output, result = role()
    assert (rc, paths(result)) == (0, [(TABLE, "changed", "")]), output
    assert proven(result, "open") is True


# --- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variables, sentence", [
    pytest.param({"pprof_guard_allow": ["10.0.0.5/8"], "pprof_guard_services": [{**OPEN, "allow": ["10.0.0.0/33"]}]},
                 "pprof_guard_allow: [0]: '10.0.0.5/8' has bits of a host behind its prefix; the network is 10.0.0.0/8 "
                 "pprof_guard_services[0] (open): allow: [0]: '10.0.0.0/33' is not a network such as 10.0.0.0/8 or 2001:db8::/32, or an "
                 "address", id="networks"),
    pytest.param({"pprof_guard_consent": []},
                 "pprof_guard_consent: the packet filter has to be changed for prometheus-node-exporter, which needs consent: add "
                 "firewall to pprof_guard_consent or preflight_consent", id="consent"),
    pytest.param({}, "port 9100 also serves something besides /debug (GET / answered 200, GET /metrics answered 200", id="shared"),
    pytest.param({"pprof_guard_services": [{"name": "gone", "bind": {"environment": "X", "value": "127.0.0.1:1"}, "means": ["bind"]}]},
                 "gone.service does not exist on this host", id="no-unit"),
])
def test_a_refusal_comes_before_any_change(role, guard, variables, sentence):
    before = guard(TREE) + guard("nft -s list ruleset 2>/dev/null")
    given = {"pprof_guard_services": [EXPORTER], **variables}
    if "pprof_guard_consent" in variables:
        given["pprof_guard_block_service_port"] = True
    rc, output, _result = role(**given)
    assert rc != 0
    assert sentence in " ".join(output.split())
    assert guard(TREE) + guard("nft -s list ruleset 2>/dev/null") == before


def test_missing_consent_is_a_warning_in_check_mode_and_the_prediction_goes_on(role):
    rc, output, result = role("--check", pprof_guard_services=[EXPORTER], pprof_guard_consent=[], pprof_guard_block_service_port=True)
    assert rc == 0, output
    assert "add firewall to pprof_guard_consent or preflight_consent" in " ".join(output.split())
    assert paths(result) == [("/etc/goready-preflight/pprof-guard.nft", "changed", ""), (TABLE, "changed", "")]


# --- a service that nobody here wrote -----------------------------------------------------------------------------------


def test_a_distributions_exporter_is_guarded_and_still_does_its_work(role, guard, peer, address):
    """node_exporter serves pprof and /metrics at one port: whoever guards it names the monitoring server."""
    rc, output, result = role(pprof_guard_services=[EXPORTER], pprof_guard_block_service_port=True,
                              pprof_guard_allow=[address["peer"]])
    assert rc == 0, output
    assert proven(result, "prometheus-node-exporter") is True
    assert "node_cpu_seconds_total" in guard("curl -s http://127.0.0.1:9100/metrics")
    assert "node_cpu_seconds_total" in peer(f"curl -s -m 5 http://{address['guard']}:9100/metrics")
    assert status(peer, f"http://[{address['guard_v6']}]:9100/metrics") == "000"
    assert status(peer, f"http://{address['guard']}:6060/debug/pprof/") == "000", "the guard of another service stays"
    rc, output, result = role(pprof_guard_services=[EXPORTER], pprof_guard_state="absent")
    assert rc == 0, output
    assert paths(result) == [("/etc/goready-preflight/pprof-guard.nft", "changed", ""), (TABLE, "changed", "")]
    assert status(peer, f"http://[{address['guard_v6']}]:9100/metrics") == "200"
    assert status(peer, f"http://{address['guard']}:6060/debug/pprof/") == "000"


def test_the_distributions_services_on_loopback_are_left_alone(role):
    rc, output, result = role(pprof_guard_services=[{"name": "caddy", "pprof": "http://127.0.0.1:2019"}, {"name": "etcd"}])
    assert rc == 0, output
    assert paths(result) == []
    assert result["plan"]["left"] == [{"name": "caddy", "why": "only this machine reaches it"},
                                      {"name": "etcd", "why": "no pprof of it was found"}]


# --- a service that does not follow -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bind, sentence", [
    pytest.param({"environment": "NOBODY_READS_THIS"}, "quiet.service does not listen on 127.0.0.1:6065", id="ignored"),
    pytest.param({"argument": "--no-such-flag"}, "quiet.service", id="crashes"),
])
def test_a_bind_that_does_not_work_is_taken_back(role, guard, bind, sentence):
    service = {"name": "quiet", "pprof": "http://127.0.0.1:6064", "means": ["bind"], "bind": {**bind, "value": "127.0.0.1:6065"},
               "health": "http://127.0.0.1:8084/healthz"}
    before = guard(TREE)
    rc, output, _result = role(pprof_guard_services=[service], pprof_guard_timeout=15)
    assert rc != 0
    text = " ".join(output.split())
    assert sentence in text
    assert "taken back: quiet.service runs as before" in text
    assert "the journal says:" in text
    assert guard(TREE) == before
    assert status(guard, "http://127.0.0.1:6064/debug/pprof/") == "200"


# --- a host that does not play along ------------------------------------------------------------------------------------


def test_a_read_only_etc_is_said_and_leaves_nothing(role, guard, address, peer):
    before = guard(TREE) + guard("nft -s list ruleset 2>/dev/null")
    guard("mount --bind /etc /etc && mount -o remount,bind,ro /etc")
    try:
        rc, output, _result = role(pprof_guard_allow=[address["peer"]])
    finally:
        guard("umount /etc")
    assert rc != 0
    assert "Read-only file system" in output
    rc, output, result = role()
    assert (rc, paths(result)) == (0, []), output
    assert guard(TREE) + guard("nft -s list ruleset 2>/dev/null") == before
    assert status(peer, f"http://{address['guard']}:6060/debug/pprof/") == "000"


def test_a_host_without_nft_is_told_what_is_missing(role, guard):
    guard("mv /usr/sbin/nft /usr/sbin/nft.away")
    try:
        rc, output, _result = role(pprof_guard_services=[OPEN])
    finally:
        guard("mv /usr/sbin/nft.away /usr/sbin/nft")
    assert rc != 0
    assert "nft is not installed on this host: install the package nftables, or guard by another means" in " ".join(output.split())


def test_two_runs_at_once_both_hold(guard, peer, address, tmp_path):
    runs = []
    for name, variables in (("a", {"pprof_guard_services": [EXPORTER], "pprof_guard_block_service_port": True}),
                            ("b", {"pprof_guard_services": [{"name": "mux", "port": 8083}], "pprof_guard_block_service_port": True})):
        folder = tmp_path / name
        folder.mkdir()
        runs.append(subprocess.Popen(**command(result_path=str(folder / "result.json"), pprof_guard_consent=["firewall"], **variables)))
    for one in runs:
        output, _none = one.communicate(timeout=180)
        assert one.returncode == 0, output
    for port in (6060, 8083, 9100):
        assert status(peer, f"http://{address['guard']}:{port}/debug/pprof/") == "000"


def test_what_two_runs_guarded_is_taken_back_by_name(role, peer, address):
    rc, output, _result = role(pprof_guard_services=[EXPORTER, {"name": "mux"}], pprof_guard_state="absent")
    assert rc == 0, output
    assert status(peer, f"http://{address['guard']}:8083/debug/pprof/") == "200"
    assert status(peer, f"http://{address['guard']}:6060/debug/pprof/") == "000"


# --- killed ---------------------------------------------------------------------------------------------------------------

# In front of the real systemctl: it kills the module that called it, before or after it has done what it was asked to.
KILLER = """cat > /usr/local/sbin/systemctl <<'END'
#!/bin/sh
case "$*" in
  *{verb}*) if [ {when} = after ]; then /usr/bin/systemctl "$@"; fi
    rm -f /usr/local/sbin/systemctl; kill -9 $PPID; sleep 1; exit 1;;
esac
exec /usr/bin/systemctl "$@"
END
chmod 755 /usr/local/sbin/systemctl"""


@pytest.mark.parametrize("verb, when", [
    pytest.param("reload-or-restart", "before", id="between-file-and-load"),
    pytest.param("reload-or-restart", "after", id="loaded-not-committed"),
])
def test_a_killed_firewall_call_is_put_right_by_the_next(role, guard, peer, address, verb, when):
    guard(KILLER.format(verb=verb, when=when))
    rc, output, _result = role(pprof_guard_allow=[address["peer"]])
    assert rc != 0, output
    assert guard("ls /var/lib/goready-preflight") == "pprof_firewall.journal"
    rc, output, result = role()
    assert rc == 0, output
    assert proven(result, "open") is True
    assert status(peer, f"http://{address['guard']}:6060/debug/pprof/") == "000"
    assert guard("cat /etc/goready-preflight/pprof-guard.nft | grep -c elements", check=False) == "0"
    assert guard("ls /var/lib/goready-preflight", check=False) == ""


@pytest.mark.parametrize("verb, when, port", [
    pytest.param("daemon-reload", "before", 6066, id="drop-in-not-read"),
    pytest.param("restart", "before", 6067, id="read-not-restarted"),
    pytest.param("restart", "after", 6068, id="during-the-restart"),
])
def test_a_killed_bind_call_is_put_right_by_the_next(role, guard, verb, when, port):
    service = {"name": "quiet", "pprof": "http://127.0.0.1:6064", "means": ["bind"],
               "bind": {"argument": "-pprof", "value": f"127.0.0.1:{port}"}, "health": "http://127.0.0.1:8084/healthz"}
    guard(KILLER.format(verb=verb, when=when))
    rc, output, _result = role(pprof_guard_services=[service])
    assert rc != 0, output
    assert guard("ls /var/lib/goready-preflight") != ""
    rc, output, __result = role(pprof_guard_services=[service])
    assert rc == 0, output
    assert status(guard, f"http://127.0.0.1:{port}/debug/pprof/") == "200"
    assert guard("ls /var/lib/goready-preflight", check=False) == ""


# --- removal ------------------------------------------------------------------------------------------------------------


def test_removal_is_predicted_and_leaves_the_host_byte_for_byte_as_it_was(role, guard, peer, address):
    rc, output, predicted = role("--check", "--diff", pprof_guard_services=[], pprof_guard_state="absent")
    assert rc == 0, output
    assert status(peer, f"http://{address['guard']}:6060/debug/pprof/") == "000"
    rc, output, result = role(pprof_guard_services=[], pprof_guard_state="absent")
    assert rc == 0, output
    assert paths(result) == paths(predicted)
    assert {(TABLE, "removed", ""), (UNIT, "stopped", "")} <= set(paths(result))
    assert guard(TREE) == guard("cat /var/tmp/tree")
    assert guard("nft -s list ruleset 2>/dev/null") == guard("cat /var/tmp/ruleset")
    assert guard("ls -d /etc/goready-preflight /etc/systemd/system/env.service.d /etc/systemd/system/nftables.service.d",
                 check=False) == ""
    assert status(peer, f"http://{address['guard']}:6060/debug/pprof/") == "200"
    assert status(guard, "http://127.0.0.1:6064/debug/pprof/") == "200"
    rc, output, result = role(pprof_guard_services=[], pprof_guard_state="absent")
    assert (rc, paths(result)) == (0, []), output


def test_guarding_is_predicted_exactly(role, guard):
    rc, output, predicted = role("--check", "--diff")
    assert rc == 0, output
    assert guard("nft -s list ruleset 2>/dev/null") == guard("cat /var/tmp/ruleset")
    rc, output, result = role()
    assert rc == 0, output
    assert paths(result) == paths(predicted)
    assert result["proof"]["proven"] == {"open": True, "env": True, "arg": True}


def test_the_table_outlasts_the_distributions_unit(role, guard):
    """nftables.service flushes all tables at its start, reload and stop, those of others with them: the last test."""
    for verb in ("start", "restart", "reload", "stop"):
        guard(f"systemctl {verb} nftables.service")
        assert guard("nft list tables").splitlines()[-1] == "table inet goready_pprof", verb
    assert guard("systemctl is-enabled goready-pprof-guard.service") == "enabled"
    rc, output, result = role()
    assert (rc, paths(result)) == (0, []), output
    rc, output, result = role(pprof_guard_services=[], pprof_guard_state="absent")
    assert rc == 0, output
    assert guard("nft list tables") == ""
