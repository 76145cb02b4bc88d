# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy as a user gets it, against the distribution's nginx: what it lets through and what not, from the controller, which is
on the allow-list, and from a second host, which is not. Installed by the first test, taken away by the last one."""
from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time

import pytest
from conftest import command, shell

from ansible_collections.goready.preflight.plugins.module_utils import proxyproof
from ansible_collections.goready.preflight.plugins.module_utils.proxyproof import Door

HOST, PEER = "fronted", os.environ.get("GOREADY_PEER", "guard-peer")
TOKEN = "a-token-of-the-tests-0123456789abcdef"
PASSWORD = "a word: with $signs % and ümlauts"
NEAR = {"name": "near", "pprof": "http://127.0.0.1:6060", "means": ["proxy"]}
CONF = "/etc/nginx/conf.d/goready-pprof.conf"
# What apt keeps of what it did, and the services' own run-time files, are not the role's.
SKIPPED = ("/proc", "/sys", "/run", "/tmp", "/dev", "/root/.ansible", "/var/cache", "/var/log", "/var/lib/apt", "/var/lib/dpkg",
           "/var/lib/systemd", "/var/lib/private", "/var/lib/caddy", "/var/lib/prometheus", "/var/tmp", "/etc/ld.so.cache")
FIND = "find / -xdev \\( " + " -o ".join(f"-path {path}" for path in SKIPPED) + " \\) -prune -o"
TREE = (f"({FIND} -type d -printf '%p %m %u %g\\n' -o ! -type d -printf '%p %m %u %g %l\\n'; "
        f"{FIND} -type f -print0 | xargs -0 cksum) | sort")
PLAY = """\
- hosts: fronted
  gather_facts: false
  roles: [goready.preflight.pprof_guard]
  post_tasks:
    - ansible.builtin.copy:
        dest: "{{ result_path }}"
        content: "{{ {'changes': pprof_guard_changes} | to_json }}"
        mode: "0600"
      delegate_to: localhost
      check_mode: false
      changed_when: false
"""


@pytest.fixture(scope="module")
def host(connect):
    return shell(connect(HOST))


@pytest.fixture(scope="module")
def peer(connect):
    return shell(connect(PEER))


@pytest.fixture(scope="module")
def where(connect):
    """The host's address, and the one that this machine has on the way to it."""
    there = connect(HOST).ansible.get_variables()["ansible_host"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((there, 9))
        return {HOST: there, "here": way.getsockname()[0]}


@pytest.fixture(scope="module")
def certificate(host):
    """A certificate of the tests' own, on the host."""
    host("mkdir -p -m 700 /root/tls && test -e /root/tls/key.pem || openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=fronted "
         "-keyout /root/tls/key.pem -out /root/tls/cert.pem 2>/dev/null")
    return {"pprof_guard_proxy_tls_certificate": "/root/tls/cert.pem", "pprof_guard_proxy_tls_key": "/root/tls/key.pem"}


@pytest.fixture(scope="module")
def before(host, certificate):
    """How the host is before anything is installed."""
    host("apt-get update")
    return host(TREE)


@pytest.fixture(scope="module")
def role(tmp_path_factory, certificate, where):
    folder = tmp_path_factory.mktemp("proxy")

    def arguments(*words, **variables):
        result = folder / "result.json"
        result.unlink(missing_ok=True)
        one = command(*words, result_path=str(result), **{
            "pprof_guard_consent": ["install", "firewall"], "pprof_guard_services": [NEAR], "pprof_guard_allow": [where["here"]],
            "pprof_guard_proxy_token": TOKEN, "pprof_guard_proxy_users": {"ops": PASSWORD}, **certificate, **variables})
        (folder / "play.yml").write_text(PLAY)
        return one, result

    def run(*words, **variables):
        one, result = arguments(*words, **variables)
        done = subprocess.run(**one, timeout=240, check=False)
        return done.returncode, done.stdout, json.loads(result.read_text())["changes"] if result.exists() else []

    run.arguments = arguments
    return run


def entries(changes):
    return [(one["path"], one["action"], one["detail"]) for one in changes]


@pytest.fixture(scope="module")
def ask(where):
    """One request from here: ``ask(path, method="GET", ...)`` -> the status, 0 where there was no answer."""
    door = Door(where[HOST], 16060, True)

    def one(path, *, method="GET", authorization=f"Bearer {TOKEN}", headers=None):
        for _number in range(40):
            reply = proxyproof.ask(door, method, path, authorization=authorization, headers=headers)
            if reply.status != 429:
                return reply.status or 0
            time.sleep(0.2)
        return 429

    return one


@pytest.fixture(scope="module")
def refused(peer, where):
    """The same from the second host, with the right token: ``refused(path, "X-Forwarded-For: ...")`` -> the status as text."""
    def one(path, *headers, method="GET"):
        lines = " ".join(f"-H '{line}'" for line in (f"Authorization: Bearer {TOKEN}", *headers))
        return peer(f"curl -gsk -m 10 -o /dev/null -w '%{{http_code}}' -X {method} {lines} "
                    f"'https://{where[HOST]}:16060{path}'", check=False)

    return one


# --- before, and the way in --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variables", "sentence"), [
    ({"pprof_guard_consent": []}, "nginx has to be installed, which needs consent: add install to pprof_guard_consent"),
    ({"pprof_guard_consent": [],
      "pprof_guard_services": [{"name": "wide", "pprof": "http://127.0.0.1:6061", "means": ["firewall", "proxy"]}]},
     "the packet filter has to be changed for wide, which needs consent: add firewall to pprof_guard_consent or preflight_consent "
     "pprof_guard_consent: nginx has to be installed, which needs consent: add install"),
    # Every fault at once; the unit tests have each of them.
    ({"pprof_guard_proxy_token": "short", "pprof_guard_proxy_users": {}, "pprof_guard_proxy_tls_key": ""},
     "tls_certificate and tls_key: both or none, not one of them; token: it is to have at least 32 characters"),
    ({"pprof_guard_proxy_listen": "9100"}, "something listens on *:9100 already"),
    ({"pprof_guard_services": [{"name": "wide", "pprof": "http://127.0.0.1:6061", "means": ["proxy"]}]},
     "a proxy alone leaves port 6061 open beside it: add bind or firewall to the means"),
])
def test_what_is_refused_before_anything_is_changed(host, before, role, variables, sentence):
    rc, output, _changes = role(**variables)
    assert rc != 0 and sentence in " ".join(output.split()), output
    assert host(TREE) == before
    assert TOKEN not in output and PASSWORD not in output


def test_a_socket_that_nginx_may_not_open_is_told_and_everything_taken_back(host, before, role):
    rc, output, _changes = role(pprof_guard_services=[
        {"name": "socketed", "pprof": "unix:///run/socketed/pprof.sock", "means": ["proxy"]}])
    assert rc != 0
    said = "the service itself does not answer nginx at unix:///run/socketed/pprof.sock, where its user has to be allowed to write"
    assert said in " ".join(output.split()), output
    assert host(TREE) == before
    assert "not-found" in host("systemctl show -p LoadState nginx.service")


def test_a_kill_during_the_installation_is_mended_by_the_next_run(host, before, role):
    one, _result = role.arguments()
    process = subprocess.Popen(**one)
    try:
        # The module's own process, once apt has begun.
        deadline = time.monotonic() + 90
        killed = ""
        while time.monotonic() < deadline and not killed:
            killed = host("pid=$(pgrep -f 'apt-get .*--no-install-recommends nginx$' | head -1); test -n \"$pid\" || exit 1; "
                          "grep -q simulate /proc/$pid/cmdline && exit 1; "
                          "module=$(ps -o ppid= -p $pid | tr -d ' '); kill -9 $module $pid && echo $module", check=False)
            if not killed.strip().isdigit():
                killed = ""
                time.sleep(0.05)
        assert killed, "the installation was not seen"
    finally:
        process.communicate(timeout=120)
    assert process.returncode != 0
    rc, output, changes = role()
    assert rc == 0, output
    assert ("unit nginx.service", "started", "") in entries(changes)
    assert host("ls /etc/nginx/sites-enabled") == "" and host("ls /usr/sbin/policy-rc.d", check=False) == ""
    rc, output, _changes = role(pprof_guard_state="absent", pprof_guard_services=[])
    assert rc == 0, output
    assert host(TREE) == before


def test_check_mode_says_exactly_what_is_done(host, before, role):
    rc, output, predicted = role("--check", "--diff")
    assert rc == 0 and host(TREE) == before, output
    assert "secure_link_md5" not in output and "$6$" not in output and TOKEN not in output and PASSWORD not in output
    rc, output, changes = role("--diff", "-vvv")
    assert rc == 0, output
    assert entries(changes) == entries(predicted)
    assert ("package nginx", "installed", "") in entries(changes) and (CONF, "created", "") in entries(changes)
    assert "secure_link_md5" not in output and "$6$" not in output and TOKEN not in output and PASSWORD not in output


def test_the_second_run_changes_nothing(host, role):
    marks = "stat -c %Y /etc/goready-preflight/pprof-proxy/* " + CONF + "; pgrep -f 'nginx: (master|worker)'"
    now = host(marks)
    rc, output, changes = role()
    assert rc == 0 and changes == [] and re.search(rf"{HOST} .*changed=0", output), output
    assert host(marks) == now


# --- what it lets through ----------------------------------------------------------------------------------------------


def test_nothing_else_of_nginx_is_open(host):
    ports = {line.split()[3].rsplit(":", 1)[1] for line in host("ss -Hlntp | grep nginx").splitlines()}
    assert ports == {"16060"}


def test_secrets_on_the_host_are_hashes_for_root_and_nginx(host):
    assert host("stat -c '%a %U %G %n' /etc/goready-preflight/pprof-proxy/*").splitlines() == [
        "600 root root /etc/goready-preflight/pprof-proxy/token.conf", "640 root www-data /etc/goready-preflight/pprof-proxy/users"]
    assert host("cat /etc/goready-preflight/pprof-proxy/users").startswith("ops:$6$")
    found = host(f"grep -rlF -e '{TOKEN}' -e '{PASSWORD.split()[-1]}' /etc /var/lib /var/log /run/log 2>/dev/null", check=False)
    assert found == ""


@pytest.mark.parametrize(("path", "status"), [
    ("/near/debug/pprof/", 200), ("/near/debug/pprof/heap", 200), ("/near/debug/pprof/heap?gc=1&debug=1", 200),
    ("/near/debug/pprof/allocs", 200), ("/near/debug/pprof/goroutine?debug=1", 200), ("/near/debug/pprof/goroutine?seconds=1", 200),
    ("/near/debug/pprof/profile?seconds=1", 200),
    # Pages that are not on the list.
    ("/near/debug/pprof/cmdline", 403), ("/near/debug/pprof/symbol", 403), ("/near/debug/pprof/trace?seconds=1", 403),
    ("/near/debug/pprof/block", 403), ("/near/debug/vars", 403), ("/debug/pprof/", 403), ("/", 403), ("/near", 403),
    # The same page otherwise written.
    ("/near//debug///pprof/heap", 200), ("/near/debug%2fpprof%2fheap", 200), ("//near/debug/pprof/heap", 200),
    ("/near/debug/pprof/heap/", 403), ("/near/debug/pprof/heap;x=1", 403), ("/near/debug/pprof/HEAP", 403),
    ("/near/debug/pprof/heap/../cmdline", 403), ("/near/debug/pprof/heap/%2e%2e/cmdline", 403),
    ("/near/debug/pprof/heap%2f..%2fcmdline", 403), ("/near/debug/pprof/%63mdline", 403), ("/near//debug//pprof//cmdline", 403),
    ("/near/debug/pprof/./cmdline", 403), ("/near/debug/pprof/..%5ccmdline", 403), ("/near/debug/pprof/heap%00", 400),
    ("/near/debug/pprof/../../../debug/pprof/cmdline", 403),
    # The dump that stops the world, and every way to spell it.
    ("/near/debug/pprof/goroutine?debug=2", 403), ("/near/debug/pprof/goroutine?debug=2&debug=1", 403),
    ("/near/debug/pprof/goroutine?debug=1&debug=2", 403), ("/near/debug/pprof/goroutine?debug=02", 403),
    ("/near/debug/pprof/goroutine?DEBUG=2", 403), ("/near/debug/pprof/goroutine?%64ebug=2", 403),
    ("/near/debug/pprof/goroutine?debug=%32", 403), ("/near/debug/pprof/goroutine?debug=+2", 403),
    ("/near/debug/pprof/goroutine?debug=1;debug=2", 403), ("/near/debug/pprof/goroutine?debug=1%0a", 403),
    ("/near/debug/pprof/goroutine?debug=1&x=%26debug=2", 403), ("/near/debug/pprof/?name=cmdline", 403),
    # Longer than is allowed.
    ("/near/debug/pprof/profile?seconds=31", 403), ("/near/debug/pprof/profile?seconds=9999", 403),
    ("/near/debug/pprof/profile?seconds=30&seconds=9999", 403), ("/near/debug/pprof/profile?seconds=0", 403),
    ("/near/debug/pprof/profile?seconds=-1", 403), ("/near/debug/pprof/profile?seconds=1e9", 403),
    ("/near/debug/pprof/profile?seconds=030", 403), ("/near/debug/pprof/heap?seconds=3600", 403),
])
def test_every_path_and_query(ask, path, status):
    assert ask(path) == status


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
def test_no_other_method_than_get(ask, method):
    assert ask("/near/debug/pprof/heap", method=method) == 405
    assert ask("/near/debug/pprof/heap", method=method, headers={"X-HTTP-Method-Override": "GET"}, authorization="") == 405


@pytest.mark.parametrize(("authorization", "status"), [
    (f"Bearer {TOKEN}", 200), (proxyproof.basic("ops", PASSWORD), 200),
    ("", 401), ("Bearer", 401), ("Bearer wrong", 401), (f"Bearer {TOKEN}0", 401), (f"Bearer {TOKEN[:-1]}", 401), (TOKEN, 401),
    (f"Basic {TOKEN}", 401), (proxyproof.basic("ops", ""), 401), (proxyproof.basic("ops", "wrong"), 401),
    (proxyproof.basic("root", PASSWORD), 401), (proxyproof.basic("OPS", PASSWORD), 401), (proxyproof.basic("", ""), 401),
])
def test_credentials(ask, authorization, status):
    assert ask("/near/debug/pprof/heap", authorization=authorization) == status


def test_absolute_targets_and_other_names_change_nothing(ask):
    assert ask("http://127.0.0.1:6060/debug/pprof/cmdline") == 403
    assert ask("/near/debug/pprof/heap", headers={"Host": "127.0.0.1:6060"}) == 200
    assert ask("/near/debug/pprof/cmdline", headers={"Host": "localhost", "X-Original-URL": "/near/debug/pprof/heap"}) == 403


def test_who_is_not_on_the_list_gets_nothing_whatever_the_headers_say(refused, where):
    for path in ("/near/debug/pprof/", "/near/debug/pprof/heap", "/near/debug/pprof/cmdline"):
        assert refused(path) == "403"
    for header in (f"X-Forwarded-For: {where['here']}", "X-Real-IP: 127.0.0.1", f"Forwarded: for={where['here']}"):
        assert refused("/near/debug/pprof/heap", header) == "403"
    assert refused("/near/debug/pprof/", method="POST") == "405"


def test_too_many_requests_are_told_so(where):
    door = Door(where[HOST], 16060, True)
    assert {proxyproof.ask(door, "GET", "/near/debug/pprof/heap").status for _number in range(80)} == {401, 429}
    time.sleep(2)


def test_the_address_is_the_peers_own_where_the_site_trusts_a_header(host, ask, refused, where):
    """A real_ip setting of the administrator's own for the whole of nginx does not reach this server."""
    host("printf 'set_real_ip_from 0.0.0.0/0;\\nreal_ip_header X-Forwarded-For;\\n' > /etc/nginx/conf.d/own.conf && nginx -t -q && "
         "systemctl reload nginx && sleep 1")
    try:
        assert refused("/near/debug/pprof/", f"X-Forwarded-For: {where['here']}") == "403"
        assert ask("/near/debug/pprof/") == 200
    finally:
        host("rm /etc/nginx/conf.d/own.conf && systemctl reload nginx && sleep 1")


# --- services of the distribution --------------------------------------------------------------------------------------


def test_programs_of_the_distribution_go_on_with_their_work(host, peer, ask, role, where):
    """caddy's own administration interface (it looks at the Host header), and node_exporter, whose one port has both."""
    rc, output, changes = role(pprof_guard_block_service_port=True, pprof_guard_services=[
        {"name": "caddy", "pprof": "http://127.0.0.1:2019", "means": ["proxy"]},
        {"name": "prometheus-node-exporter", "pprof": "http://127.0.0.1:9100", "means": ["firewall", "proxy"]}])
    assert rc == 0, output
    assert (CONF, "changed", "") in entries(changes) and ("unit nginx.service", "reloaded", "") in entries(changes)
    for name in ("near", "caddy", "prometheus-node-exporter"):
        assert ask(f"/{name}/debug/pprof/heap") == 200
        assert ask(f"/{name}/debug/pprof/heap", authorization="") == 401
        assert ask(f"/{name}/debug/pprof/cmdline") == 403
    assert "caddy" in peer(f"curl -s http://{where[HOST]}/ -D - -o /dev/null").lower()
    assert "node_uname_info" in host("curl -s http://127.0.0.1:9100/metrics")
    # Who is on the list reads its metrics as before; to everybody else the port is closed.
    assert proxyproof.ask(Door(where[HOST], 9100, False), "GET", "/metrics").status == 200
    assert peer(f"curl -s -m 2 -o /dev/null http://{where[HOST]}:9100/metrics || echo closed", check=False) == "closed"
    rc, output, changes = role(pprof_guard_state="absent", pprof_guard_services=[{"name": "caddy"}, {"name": "prometheus-node-exporter"}])
    assert rc == 0, output
    assert ask("/near/debug/pprof/heap") == 200 and ask("/caddy/debug/pprof/heap") == 403
    assert "node_uname_info" in peer(f"curl -s -m 5 http://{where[HOST]}:9100/metrics")


def test_with_the_firewall_the_port_itself_is_for_the_host_alone(host, ask, role, where):
    wide = {"name": "wide", "pprof": "http://127.0.0.1:6061", "means": ["firewall", "proxy"]}
    assert proxyproof.ask(Door(where[HOST], 6061, False), "GET", "/debug/pprof/").status == 200
    rc, output, _changes = role(pprof_guard_services=[wide])
    assert rc == 0, output
    # This machine is on the allow-list: the proxy admits it, and nothing goes past the proxy.
    assert ask("/wide/debug/pprof/heap") == 200 and ask("/wide/debug/pprof/heap", authorization="") == 401
    assert proxyproof.ask(Door(where[HOST], 6061, False), "GET", "/debug/pprof/", timeout=2).status is None
    # Means that no longer name the proxy take it back, and only its own.
    alone = [NEAR, {**wide, "means": ["firewall"]}]
    rc, output, predicted = role("--check", pprof_guard_services=alone)
    assert rc == 0 and ask("/wide/debug/pprof/heap") == 200, output
    rc, output, changes = role(pprof_guard_services=alone)
    assert rc == 0 and entries(changes) == entries(predicted) and (CONF, "changed", "") in entries(changes), output
    assert ask("/wide/debug/pprof/heap") == 403 and ask("/near/debug/pprof/heap") == 200
    assert proxyproof.ask(Door(where[HOST], 6061, False), "GET", "/debug/pprof/").status == 200
    rc, output, _changes = role(pprof_guard_state="absent", pprof_guard_services=[wide])
    assert rc == 0, output
    assert ask("/wide/debug/pprof/heap") == 403 and ask("/near/debug/pprof/heap") == 200


# --- faults ------------------------------------------------------------------------------------------------------------


def test_a_configuration_that_nginx_refuses_is_taken_back(host, ask, role):
    now = host(f"cat {CONF}")
    rc, output, _changes = role(pprof_guard_proxy_tls_certificate="/root/tls/missing.pem")
    assert rc != 0 and "nginx -t refuses the configuration" in output and "missing.pem" in output, output
    assert host(f"cat {CONF}") == now and ask("/near/debug/pprof/heap") == 200


def test_a_service_that_is_down_is_told_and_the_others_stay(host, ask, role):
    now = host(f"cat {CONF}")
    rc, output, _changes = role(pprof_guard_services=[{"name": "gone", "pprof": "http://127.0.0.1:6999", "means": ["proxy"]}])
    assert rc != 0 and "the service itself does not answer nginx at http://127.0.0.1:6999" in " ".join(output.split()), output
    assert host(f"cat {CONF}") == now and ask("/near/debug/pprof/heap") == 200 and ask("/gone/debug/pprof/heap") == 403


def test_an_edited_file_and_a_stopped_nginx_are_mended(host, ask, role):
    host(f"sed -i 's/deny all;//' {CONF}; systemctl stop nginx")
    rc, output, changes = role()
    assert rc == 0 and entries(changes) == [(CONF, "changed", ""), ("unit nginx.service", "started", "")], output
    assert ask("/near/debug/pprof/heap") == 200


def test_a_configuration_that_was_never_loaded_is_loaded(host, ask, role):
    """As a kill between the write and the reload leaves it, without its journal."""
    host(f"cp {CONF} /root/kept && rm {CONF} && systemctl reload nginx && sleep 1 && cp /root/kept {CONF} && rm /root/kept")
    assert ask("/near/debug/pprof/heap") == 0
    rc, output, changes = role()
    assert rc == 0 and entries(changes) == [("unit nginx.service", "reloaded", "")], output
    assert ask("/near/debug/pprof/heap") == 200


def test_a_kill_after_the_files_were_written_is_mended_by_the_next_run(host, ask, role):
    now = host(f"cat {CONF}")
    one, _result = role.arguments(pprof_guard_proxy_seconds_max=20)
    process = subprocess.Popen(**one)
    try:
        killed = host(f"for n in $(seq 900); do grep -q 'proxy_read_timeout 35s' {CONF} && "
                      "kill -9 $(sed 's/.*PID \\([0-9]*\\),.*/\\1/' /run/goready-preflight.lock) && echo killed && exit; sleep 0.05; done")
    finally:
        process.communicate(timeout=120)
    assert killed == "killed" and process.returncode != 0
    assert host(f"cat {CONF}") != now and host("ls /var/lib/goready-preflight") == "pprof_proxy.journal"
    rc, output, changes = role()
    assert rc == 0 and entries(changes) == [("unit nginx.service", "reloaded", "")], output
    assert host(f"cat {CONF}") == now and host("ls /var/lib/goready-preflight 2>/dev/null", check=False) == ""
    assert ask("/near/debug/pprof/heap") == 200


def test_a_new_password_replaces_the_old_one(ask, role):
    rc, output, changes = role(pprof_guard_proxy_token="", pprof_guard_proxy_users={"ops": "another"})
    assert rc == 0, output
    assert ("/etc/goready-preflight/pprof-proxy/token.conf", "removed", "") in entries(changes)
    assert ask("/near/debug/pprof/heap", authorization=proxyproof.basic("ops", "another")) == 200
    assert ask("/near/debug/pprof/heap", authorization=proxyproof.basic("ops", PASSWORD)) == 401
    assert ask("/near/debug/pprof/heap") == 401


# --- and away ----------------------------------------------------------------------------------------------------------


def test_nginx_stays_where_others_have_come_to_use_it(host, role):
    host("printf 'server { listen 127.0.0.1:8099; return 204; }\\n' > /etc/nginx/conf.d/shop.conf && systemctl reload nginx")
    rc, output, changes = role("--check", pprof_guard_state="absent", pprof_guard_services=[])
    assert rc == 0 and "it stays" in output and ("package nginx", "removed", "") not in entries(changes), output
    host("rm /etc/nginx/conf.d/shop.conf && systemctl reload nginx")


def test_removal_leaves_the_host_as_it_was(host, before, role):
    rc, output, _changes = role(pprof_guard_state="absent", pprof_guard_services=[], pprof_guard_consent=["firewall"])
    assert rc != 0 and "nginx was installed for the proxy and has to be removed with it, which needs consent" in " ".join(output.split())
    rc, output, predicted = role("--check", pprof_guard_state="absent", pprof_guard_services=[])
    assert rc == 0, output
    rc, output, changes = role(pprof_guard_state="absent", pprof_guard_services=[])
    assert rc == 0 and entries(changes) == entries(predicted), output
    assert host(TREE) == before
    rc, output, changes = role(pprof_guard_state="absent", pprof_guard_services=[])
    assert rc == 0 and changes == [], output


def test_an_nginx_that_was_there_keeps_its_sites_and_its_package(host, ask, role):
    host("DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nginx >/dev/null 2>&1; "
         "rm -f /etc/nginx/sites-enabled/default; printf 'server { listen 127.0.0.1:8098; return 200 shop; }\\n' "
         "> /etc/nginx/sites-enabled/shop; systemctl restart nginx")
    try:
        now = host(TREE)
        rc, output, _changes = role(pprof_guard_consent=[])
        assert rc == 0 and ask("/near/debug/pprof/heap") == 200, output
        assert host("curl -s http://127.0.0.1:8098/") == "shop"
        rc, output, changes = role(pprof_guard_state="absent", pprof_guard_services=[], pprof_guard_consent=[])
        assert rc == 0 and ("unit nginx.service", "reloaded", "") in entries(changes), output
        assert host(TREE) == now and host("curl -s http://127.0.0.1:8098/") == "shop"
        host("systemctl stop nginx")
        rc, output, _changes = role(pprof_guard_consent=[])
        assert rc != 0 and "nginx is installed and does not run: to start it would publish whatever else it is configured for" in " ".join(
            output.split()), output
    finally:
        host("rm -f /etc/nginx/sites-enabled/shop; DEBIAN_FRONTEND=noninteractive apt-get purge -qy nginx nginx-common >/dev/null 2>&1; "
             "rm -rf /var/www")
