# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.goready.preflight.plugins.plugin_utils import subjects
from ansible_collections.goready.preflight.plugins.plugin_utils.engine import Outcome, Policy, passed

PODMAN = {"runtime": "podman", "id": "0123456789ab"}


@pytest.mark.parametrize(
    ("name", "container", "expected"),
    [
        ("racy", None, "racy"),
        ("racy", PODMAN, "racy (podman container)"),
        ("racy (podman 0123456789ab)", PODMAN, "racy (podman 0123456789ab)"),
        ("racy", {"runtime": "unknown", "id": "0123456789ab"}, "racy (container)"),
        ("racy", {"runtime": "podman", "id": None}, "racy (podman container)"),
    ],
)
def test_a_subject_names_its_container(name: str, container: dict[str, str] | None, expected: str) -> None:
    assert subjects.subject_of(name, container) == expected


def test_every_outcome_about_a_container_says_which_one() -> None:
    facts = {"services": {"services": [
        {"name": "racy", "container": PODMAN, "processes": [
            {"pid": 7, "exe": "/opt/racy/racy", "go": True}, {"pid": 8, "exe": "/opt/racy/helper", "go": True}]},
        {"name": "shop", "container": None, "processes": [{"pid": 9, "exe": "/opt/shop", "go": True}]},
    ]}}

    @subjects.located
    def check(facts: object, policy: Policy) -> list[Outcome]:
        return [passed("Fine.", subject=subject, evidence=["seen"])
                for subject in ("racy (podman container)", "racy (podman container)/helper", "shop", "")]

    line = "in the podman container 0123456789ab: paths and users are the container's"
    assert [outcome.evidence for outcome in check(facts, Policy())] == [(line, "seen"), (line, "seen"), ("seen",), ("seen",)]
