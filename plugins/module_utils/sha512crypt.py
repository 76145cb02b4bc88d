# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SHA-512 crypt (``$6$``), which crypt(3) of every distribution understands, without Python's crypt module (gone in 3.13).

Public: :func:`hashed`, :func:`matches`. Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", whose numbered steps
the comments name.
"""
from __future__ import annotations

import hashlib
import hmac
import os

ROUNDS = 5000  # the specification's default, which is not written into the result

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def hashed(password: str, salt: str = "") -> str:
    """``$6$SALT$HASH``; without ``salt`` a new one of 96 random bits."""
    salt = salt or "".join(_ALPHABET[byte & 63] for byte in os.urandom(16))
    if not 1 <= len(salt) <= 16 or set(salt) - set(_ALPHABET):
        raise ValueError("a salt has 1 to 16 characters of ./0-9A-Za-z")
    return "$6$%s$%s" % (salt, _digest(password.encode("utf-8"), salt.encode("ascii")))


def matches(password: str, text: str) -> bool:
    """Whether ``text`` is a hash of this password as :func:`hashed` makes them."""
    parts = text.split("$")
    if len(parts) != 4 or parts[:2] != ["", "6"]:
        return False
    try:
        return hmac.compare_digest(hashed(password, parts[2]).encode("ascii"), text.encode("utf-8", "replace"))
    except ValueError:
        return False


def _digest(key: bytes, salt: bytes) -> str:
    alternate = hashlib.sha512(key + salt + key).digest()                          # 4 to 8
    first = hashlib.sha512(key + salt + _fill(alternate, len(key)))                # 1 to 3, 9, 10
    bits = len(key)
    while bits:                                                                    # 11
        first.update(alternate if bits & 1 else key)
        bits >>= 1
    result = first.digest()                                                        # 12
    p = _fill(hashlib.sha512(key * len(key)).digest(), len(key))                   # 13 to 16
    s = _fill(hashlib.sha512(salt * (16 + result[0])).digest(), len(salt))         # 17 to 20
    for number in range(ROUNDS):                                                   # 21
        block = hashlib.sha512(p if number & 1 else result)
        if number % 3:
            block.update(s)
        if number % 7:
            block.update(p)
        block.update(result if number & 1 else p)
        result = block.digest()
    return _encoded(result)


def _fill(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _encoded(digest: bytes) -> str:
    """Step 22: three bytes at a time, in the specification's own order."""
    text = []
    a, b, c = 0, 21, 42
    for _number in range(21):
        text.append(_base64((digest[a] << 16) | (digest[b] << 8) | digest[c], 4))
        a, b, c = b + 1, c + 1, a + 1
    text.append(_base64(digest[63], 2))
    return "".join(text)


def _base64(value: int, count: int) -> str:
    return "".join(_ALPHABET[(value >> (6 * place)) & 63] for place in range(count))
