# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each planted cause of slow requests is the explanation's first line; where none is planted there is no line."""
from __future__ import annotations

import re
from typing import Any

import causes
import pytest
from conftest import APP, DEPENDENCY

HOSTS = {"app": APP, "dep": DEPENDENCY}
# What a cause may touch. Over the healthy service the whole catalogue is run, but for what compiles.
CHECKS = ["network.*", "databases.*", "memory.*", "goroutines.*", "limits.*", "services.*", "modules.*"]
# Nobody looks at the pages of a dozen runs.
SHORT = {"preflight_checks": CHECKS, "preflight_report_formats": ["json"]}


def told(explanation: dict[str, Any]) -> list[str]:
    """What a failed test shows of an explanation."""
    return [f"{line['cause']} {line['check']} {line['subject']}: {line['share']}: {line['reason']}" for line in explanation["ranked"]]


@pytest.fixture(scope="module")
def healthy(preflight, plant):
    """The whole standard profile over the service under its load, nothing planted."""
    plant()
    return preflight("healthy")


def test_nothing_is_told_of_a_healthy_service_under_load(healthy):
    explanation = healthy.explanation()
    assert not told(explanation)
    # And it was looked at: silence because nothing was seen is no answer.
    assert explanation["measured"]
    assert explanation["excluded"]


def test_nothing_new_fails_on_a_healthy_service(healthy):
    families = ("network.", "databases.", "memory.", "goroutines.")
    assert not [key for key in healthy.failed() if key[0].startswith(families)], healthy.failed()


@pytest.mark.parametrize("name", causes.CAUSES)
def test_the_first_line_names_what_was_planted(preflight, plant, healthy, name):
    cause = causes.CAUSES[name]
    plant(HOSTS[cause.host], name)
    run = preflight(name, **SHORT)
    ranked = run.explanation()["ranked"]
    assert ranked, (run.explanation(), run.failed())
    first = ranked[0]
    assert first["cause"] == cause.explained, told(run.explanation())
    assert first["check"] in cause.checks, told(run.explanation())
    assert re.search(cause.subject, first["subject"]), told(run.explanation())
    new = {key: reason for key, reason in run.failed().items() if key not in healthy.failed()}
    assert not {key: reason for key, reason in new.items() if key[0] not in (*cause.checks, *cause.also)}


def test_nothing_is_told_once_all_is_taken_back(preflight, plant, healthy):
    plant()
    run = preflight("again", **SHORT)
    assert not told(run.explanation())
    assert not {key: reason for key, reason in run.failed().items() if key not in healthy.failed()}
