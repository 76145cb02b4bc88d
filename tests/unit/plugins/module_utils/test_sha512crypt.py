# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import sha512crypt


def test_the_specifications_vector():
    # Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512".
    assert sha512crypt.hashed("Hello world!", "saltstring") == (
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("password", ["a", "word", "ümlaut €", "x" * 63, "x" * 64, "x" * 65, "x" * 200, "with space $6$"])
@pytest.mark.parametrize("salt", ["a", "./AZaz09", "0123456789abcdef"])
def test_another_implementation_agrees(password, salt):
    done = subprocess.run(["openssl", "passwd", "-6", "-salt", salt, "-stdin"], input=password + "\n", capture_output=True, text=True,
                          check=True)
    assert sha512crypt.hashed(password, salt) == done.stdout.strip()


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=40), st.text(st.characters(blacklist_categories=["Cs"]), max_size=40))
@settings(max_examples=20, deadline=None)
def test_a_hash_matches_its_password_alone(password, other):
    made = sha512crypt.hashed(password)
    assert sha512crypt.matches(password, made)
    assert sha512crypt.matches(other, made) == (other == password)


def test_each_hash_has_a_salt_of_its_own():
    assert sha512crypt.hashed("a") != sha512crypt.hashed("a")


@pytest.mark.parametrize("text", ["", "$6$", "$6$salt", "$6$$x", "$5$salt$x", "$6$rounds=1000$salt$x", "$6$sält$x", "plain",
                                  "$6$" + "s" * 17 + "$x"])
def test_what_is_no_hash_of_ours_matches_nothing(text):
    assert not sha512crypt.matches("a", text)


@pytest.mark.parametrize("salt", ["s" * 17, "with space", "ä", "$"])
def test_no_salt(salt):
    with pytest.raises(ValueError, match=r"^a salt has 1 to 16 characters of \./0-9A-Za-z$"):
        sha512crypt.hashed("a", salt)
