# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import nftables
from ansible_collections.goready.preflight.plugins.module_utils.nftables import Guard
from hypothesis import given
from hypothesis import strategies as st

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures/pprof_guard"
API = Guard(6060, ("api",), ("10.1.0.0/16", "10.89.0.3/32", "fd00::/8"))
NODE = Guard(9100, ("node",), ())


@pytest.mark.parametrize("value, canonical", [
    pytest.param("10.0.0.0/8", "10.0.0.0/8", id="network"),
    pytest.param("10.0.0.7", "10.0.0.7/32", id="address"),
    pytest.param("2001:DB8:0::/48", "2001:db8::/48", id="ipv6"),
    pytest.param("10.0.0.0/255.0.0.0", "10.0.0.0/8", id="netmask"),
])
def test_network(value, canonical):
    assert nftables.network(value) == canonical


NOT_ONE = "%r is not a network such as 10.0.0.0/8 or 2001:db8::/32, or an address"


@pytest.mark.parametrize("value, message", [
    pytest.param("10.0.0.5/8", "'10.0.0.5/8' has bits of a host behind its prefix; the network is 10.0.0.0/8", id="host-bits"),
    pytest.param("0.0.0.0/0", "'0.0.0.0/0' admits everybody: that is no guard", id="everybody"),
    pytest.param("::/0", "'::/0' admits everybody: that is no guard", id="everybody-v6"),
    pytest.param("10.0.0.0/33", NOT_ONE % "10.0.0.0/33", id="prefix"),
    pytest.param("monitoring.example.org", NOT_ONE % "monitoring.example.org", id="name"),
    pytest.param("fe80::1%eth0", NOT_ONE % "fe80::1%eth0", id="zone"),
    pytest.param("", NOT_ONE % "", id="empty"),
    pytest.param(10, NOT_ONE % 10, id="number"),
])
def test_network_refuses(value, message):
    with pytest.raises(ValueError) as caught:
        nftables.network(value)
    assert str(caught.value) == message


def test_networks_are_canonical_and_say_nothing_twice():
    given_ = ["fd00::/8", "10.1.2.3", "10.1.0.0/16", "10.0.0.0/9", "10.128.0.0/9", "fd00::1"]
    assert nftables.networks(given_) == ("10.0.0.0/8", "fd00::/8")


@given(st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=20))))
def test_networks_gives_networks_or_a_value_error(values):
    try:
        found = nftables.networks(values)
    except ValueError:
        return
    assert nftables.networks(found) == found
    # Neighbours become one network: what was given lies in what was found, not the other way round.
    assert all(any(ipaddress.ip_network(net).supernet_of(ipaddress.ip_network(one))
                   for net in found if (":" in net) == (":" in one)) for one in values)


GUARDS = st.lists(st.builds(
    Guard, st.integers(1, 65535), st.lists(st.from_regex(r"[a-z][a-z0-9@.-]{0,9}", fullmatch=True), min_size=1, unique=True).map(
        lambda names: tuple(sorted(names))),
    st.lists(st.ip_addresses().map(str)).map(nftables.networks)), unique_by=lambda one: one.port)


@given(GUARDS)
def test_a_file_tells_its_guards_again(guards):
    assert nftables.parse(nftables.render(guards)) == sorted(guards)


def test_a_file_replaces_its_own_table_and_names_no_other():
    text = nftables.render([API, NODE])
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines[:3] == ["table inet goready_pprof", "delete table inet goready_pprof", "table inet goready_pprof {"]
    assert "flush" not in text
    assert not any(line.startswith("table") and "goready_pprof" not in line for line in lines)
    assert text.count("policy accept") == 2


@pytest.mark.parametrize("text, message", [
    pytest.param("table inet goready_pprof {}\n", "there is no line that begins with '# guards: '", id="no-state"),
    pytest.param("# guards: {\n", "the line '# guards: {' cannot be read: Expecting property name enclosed in double quotes: "
                 "line 1 column 2 (char 1)", id="no-json"),
    pytest.param('# guards: {"6060": 3}\n', "the line '# guards: {\"6060\": 3}' cannot be read: 'int' object is not subscriptable",
                 id="shape"),
])
def test_a_file_of_another_shape(text, message):
    with pytest.raises(ValueError) as caught:
        nftables.parse(text)
    assert str(caught.value) == message


@given(st.text(max_size=200).map(lambda text: "# guards: " + text))
def test_parse_gives_guards_or_a_value_error(text):
    try:
        assert all(isinstance(one, Guard) for one in nftables.parse(text))
    except ValueError:
        pass


@pytest.mark.parametrize("there, wanted, merged", [
    pytest.param([], [API], [API], id="first"),
    pytest.param([API], [NODE], [API, NODE], id="another-service"),
    pytest.param([API], [API._replace(allow=())], [API._replace(allow=())], id="other-allow-list"),
    pytest.param([API], [API._replace(port=7070)], [API._replace(port=7070)], id="other-port"),
    pytest.param([API], [API._replace(services=("web",))], [API._replace(services=("api", "web"))], id="same-port"),
    pytest.param([API._replace(services=("api", "web"))], [API._replace(port=1)],
                 [API._replace(port=1), API._replace(services=("web",))], id="one-of-two-moves"),
])
def test_merge(there, wanted, merged):
    assert nftables.merge(there, wanted) == merged


def test_merge_refuses_two_allow_lists_for_a_port():
    with pytest.raises(ValueError) as caught:
        nftables.merge([API], [Guard(6060, ("web",), ("10.9.0.0/16",))])
    assert str(caught.value) == ("port 6060 is guarded for api with the allow-list [10.1.0.0/16, 10.89.0.3/32, fd00::/8] and for web "
                                 "with [10.9.0.0/16]; give both the same")


@pytest.mark.parametrize("names, left", [
    pytest.param(["api"], [NODE], id="one"),
    pytest.param(["api", "node"], [], id="all"),
    pytest.param(["web"], [API, NODE], id="none"),
])
def test_without(names, left):
    assert nftables.without([API, NODE], names) == left


# Recorded from nft 1.0.6 on Linux 6.18: render([API, NODE]), loaded, and two packets counted.
RECORDED = (FIXTURES / "listing-nft-1.0.6.json").read_text()


def test_a_listing_tells_what_the_kernel_holds_to():
    assert nftables.guards_of_listing(nftables.listing(RECORDED)) == {6060: API.allow, 9100: ()}


def test_a_listing_is_the_same_whatever_was_counted():
    other = RECORDED.replace('"packets": 0', '"packets": 77').replace('"handle": 11', '"handle": 91')
    assert other != RECORDED
    assert nftables.listing(other) == nftables.listing(RECORDED)


@pytest.mark.parametrize("old, new", [
    pytest.param('"drop": null', '"accept": null', id="accepts"),
    pytest.param('"hook": "input"', '"hook": "output"', id="other-hook"),
    pytest.param('"right": "lo"', '"right": "lo"}}, {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, '
                 '"right": "10.0.0.1"', id="one-address-only"),
    pytest.param('"field": "saddr"', '"field": "daddr"', id="other-field"),
])
def test_a_table_that_guards_less_is_no_guard(old, new):
    changed = RECORDED.replace(old, new)
    assert changed != RECORDED
    assert nftables.guards_of_listing(nftables.listing(changed)) == {}


def test_one_family_is_no_guard():
    objects = [one for one in nftables.listing(RECORDED) if '"ip6"' not in json.dumps(one)]
    assert nftables.guards_of_listing(objects) == {}


def test_no_table():
    assert nftables.listing("") is None
    assert nftables.guards_of_listing(None) == {}


@pytest.mark.parametrize("text", ["[]", "{}", '{"nftables": 3}', "nonsense"])
def test_a_listing_of_another_shape(text):
    with pytest.raises(ValueError):
        nftables.listing(text)
