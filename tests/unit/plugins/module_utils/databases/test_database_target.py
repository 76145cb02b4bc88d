# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server a URL means."""
from __future__ import annotations

import pytest
from ansible_collections.goready.preflight.plugins.module_utils.databases import target
from hypothesis import given
from hypothesis import strategies as st

URLS = {
    "postgres": ("postgres://app@db1/orders", "", ("postgres", "db1:5432", "app", "", "orders", "db1:5432/orders")),
    "postgresql with a port": ("postgresql://db1:6432/orders", "", ("postgres", "db1:6432", "", "", "orders", "db1:6432/orders")),
    "a password in the URL": ("postgres://app:p%40ss@DB1/orders", "", ("postgres", "db1:5432", "app", "p@ss", "orders", "db1:5432/orders")),
    "several hosts": ("postgres://a:5432,b:5433/orders", "", ("postgres", "a:5432,b:5433", "", "", "orders", "a:5432,b:5433/orders")),
    "IPv6": ("postgres://[2001:db8::1]:5432/orders", "", ("postgres", "[2001:db8::1]:5432", "", "", "orders", "[2001:db8::1]:5432/orders")),
    "a socket beside the URL": (
        "postgres:///orders", "/run/postgresql", ("postgres", "/run/postgresql", "", "", "orders", "/run/postgresql/orders")),
    "a socket in the URL": (
        "postgres:///orders?host=/run/postgresql", "", ("postgres", "/run/postgresql", "", "", "orders", "/run/postgresql/orders")),
    "a socket as libpq writes it": (
        "postgres://%2Frun%2FPG:5433/orders", "", ("postgres", "/run/PG:5433", "", "", "orders", "/run/PG:5433/orders")),
    "a port of that folder": ("postgres:///orders?host=/run/postgresql&port=5433", "", (
        "postgres", "/run/postgresql:5433", "", "", "orders", "/run/postgresql:5433/orders")),
    "a port that is none": ("postgres:///orders?host=/run/postgresql&port=\N{SUPERSCRIPT TWO}", "", (
        "postgres", "/run/postgresql", "", "", "orders", "/run/postgresql/orders")),
    "its usual port": ("postgres:///orders?host=/run/postgresql&port=5432", "", (
        "postgres", "/run/postgresql", "", "", "orders", "/run/postgresql/orders")),
    "mysql": ("mysql://app@db1/shop", "", ("mysql", "db1:3306", "app", "", "shop", "db1:3306/shop")),
    "mariadb": ("mariadb://db1", "", ("mysql", "db1:3306", "", "", "", "db1:3306")),
    "mysql's socket": ("mysql://app@localhost/shop?socket=/run/mysqld/mysqld.sock", "", (
        "mysql", "/run/mysqld/mysqld.sock", "app", "", "shop", "/run/mysqld/mysqld.sock/shop")),
    "redis": ("redis://cache:6380/1", "", ("redis", "cache:6380", "", "", "1", "cache:6380/1")),
    "rediss": ("rediss://:secret@cache", "", ("redis", "cache:6379", "", "secret", "", "cache:6379")),
}


@pytest.mark.parametrize(("url", "socket", "expected"), URLS.values(), ids=URLS)
def test_a_url_is_a_server(url, socket, expected):
    one = target.parse(url, socket)
    assert (one.kind, one.place, one.user, one.password, one.database, one.name) == expected
    assert one.tls == url.startswith("rediss")
    assert not one.password or one.password not in repr(one)


WRONG = {
    "scheme": ("http://db1/", "the URL's scheme is none of postgres, postgresql, mysql, mariadb, redis, rediss"),
    "no host": ("postgres:///orders", "the URL names no host"),
    "port": ("mysql://db1:hello/x", "the URL's port is no number from 1 to 65535"),
    "port of 0": ("mysql://db1:0/x", "the URL's port is no number from 1 to 65535"),
    "several hosts": ("redis://a,b/0", "the URL names several hosts"),
    "bare IPv6": ("redis://::1", "an IPv6 address in a URL stands in brackets"),
}


@pytest.mark.parametrize(("url", "message"), WRONG.values(), ids=WRONG)
def test_a_url_that_is_none_says_why_without_itself(url, message):
    with pytest.raises(ValueError) as caught:
        target.parse(url)
    assert str(caught.value) == message


@given(st.text())
def test_any_url_is_a_server_or_an_error(text):
    for scheme in ("", "postgres://", "mysql://"):
        try:
            one = target.parse(scheme + text)
        except ValueError:
            continue
        assert one.place and one.kind in ("postgres", "mysql", "redis")


TEXTS = {
    "lines become one": ("a\n  b\t c", {}, "a b c"),
    "a terminal is told nothing": ("a\x1b[31mb\u202ec", {}, "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c"),
    "the password": ("login hunter22hunter failed", {"secret": "hunter22hunter"}, "login [redacted] failed"),
    "a short password is a word": ("the main database", {"secret": "main"}, "the main database"),
    "the end": ("x" * 200, {"limit": 10}, "xxxxxxx..."),
}


@pytest.mark.parametrize(("text", "options", "expected"), TEXTS.values(), ids=TEXTS)
def test_words_of_a_server(text, options, expected):
    assert target.words(text, **options) == expected


@given(st.text(), st.integers(min_value=10, max_value=300))
def test_words_are_one_printable_line_within_their_limit(text, limit):
    line = target.words(text, limit)
    assert len(line) <= limit and "\n" not in line and line.isprintable()


NUMBERS = {"text": ("12", 12.0), "float": (1.5, 1.5), "null": (None, None), "a word": ("many", None), "truth": (True, None),
           "infinity": (float("inf"), None), "nan": ("NaN", None), "huge": ("1e300", None),
           "huge and whole": (10 ** 400, None)}


@pytest.mark.parametrize(("value", "expected"), NUMBERS.values(), ids=NUMBERS)
def test_numbers(value, expected):
    assert target.number(value) == expected
    assert target.seconds(value) == expected
    assert target.whole(value) == (None if expected is None else int(expected))


def test_a_duration_is_never_below_zero():
    assert target.seconds(-0.4) == 0.0
