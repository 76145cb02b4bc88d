# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of kernels."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import kernelrelease


@pytest.mark.parametrize(("older", "newer"), [
    pytest.param("6.8.0-45-generic", "6.8.0-48-generic", id="ubuntu-abi"),
    pytest.param("6.8.0-9-generic", "6.8.0-45-generic", id="numbers-not-text"),
    pytest.param("5.15.0-122-generic", "6.8.0-45-generic", id="ubuntu-hwe"),
    pytest.param("6.8.0-1015-aws", "6.8.0-1018-aws", id="ubuntu-cloud"),
    pytest.param("6.1.0-18-amd64", "6.1.0-27-amd64", id="debian-12"),
    pytest.param("6.12.38+deb13-amd64", "6.12.43+deb13-amd64", id="debian-13"),
    pytest.param("6.1.0-27-amd64", "6.12.9+bpo-amd64", id="debian-backport"),
    pytest.param("6.8.0-rc3-amd64", "6.8.0-amd64", id="candidate"),
])
def test_order(older: str, newer: str) -> None:
    first, second = kernelrelease.parse(older), kernelrelease.parse(newer)
    assert first.flavour == second.flavour
    assert first.order < second.order


@pytest.mark.parametrize(("release", "flavour"), [
    ("6.8.0-45-generic", "generic"), ("6.8.0-45-generic-64k", "generic-64k"), ("6.1.0-18-cloud-amd64", "cloud-amd64"),
    ("6.1.0-18-rt-amd64", "rt-amd64"), ("6.12.9+bpo-amd64", "amd64"), ("5.15.0-1034-raspi", "raspi"), ("6.6.31", ""),
])
def test_flavour(release: str, flavour: str) -> None:
    assert kernelrelease.parse(release).flavour == flavour


@pytest.mark.parametrize("release", ["", "generic", "6", "6.8.0-45-Generic", "6.1.0-0.deb11.5x-amd64", "6.8.0-45-generic\n"])
def test_faults(release: str) -> None:
    with pytest.raises(ValueError) as caught:
        kernelrelease.parse(release)
    assert str(caught.value) == f"kernel release {release!r} has not the shape of a Debian or Ubuntu kernel"


@given(st.text() | st.from_regex(r"[0-9.]{1,9}[-+a-z0-9.]*"))
def test_any_text(release: str) -> None:
    try:
        kernelrelease.parse(release)
    except ValueError:
        pass
