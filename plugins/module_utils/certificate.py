# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an X.509 certificate says of itself, read from DER without verifying anything; and where Go programs have those they trust.

Public: :class:`Certificate`, :func:`parse`, :func:`covers`, :data:`CA_FILES`, :data:`CA_FOLDERS`, :data:`PARTIAL_CHAIN`.
Python's ssl gives the fields of a certificate only where it was verified; the one that a service cannot verify is the one to be
shown. The reader (RFC 5280, 4.1; X.690) knows the fields that are needed, is bounded by the bytes it is given, and raises
ValueError for everything that is no certificate.
"""
from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Dict, Iterator, List, Tuple

SIZE_LIMIT = 1 << 16    # bytes of one certificate
NAMES_LIMIT = 200       # names that are kept
TEXT_LIMIT = 256        # characters of one value

#: crypto/x509, root_linux.go: the first file that can be read, and every file in the folders.
CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem")
CA_FOLDERS = ("/etc/ssl/certs", "/etc/pki/tls/certs")
#: X509_V_FLAG_PARTIAL_CHAIN: crypto/x509 lets a chain end at any certificate of the store.
PARTIAL_CHAIN = 0x80000

SEQUENCE, SET, OBJECT_ID, BIT_STRING, OCTET_STRING, UTC_TIME, GENERALIZED_TIME = 0x30, 0x31, 0x06, 0x03, 0x04, 0x17, 0x18
SUBJECT_ALT_NAME = "2.5.29.17"
#: Short names of RFC 4514, 3, and e-mail's of PKCS #9.
ATTRIBUTES: Dict[str, str] = {
    "2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "street",
    "2.5.4.10": "O", "2.5.4.11": "OU", "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress",
}


@dataclass(frozen=True)
class Certificate:
    """``names`` are the DNS names and addresses of subjectAltName, as text; times are RFC 3339 in UTC; ``self_signed`` says
    that it names itself as its issuer (the signature is not looked at)."""

    subject: str
    issuer: str
    not_before: str
    not_after: str
    names: Tuple[str, ...]
    self_signed: bool


def _elements(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """(tag, content) of the elements one after another; ValueError where a length leads out of ``data``."""
    position = 0
    while position < len(data):
        tag = data[position]
        if tag & 0x1F == 0x1F or position + 2 > len(data):
            raise ValueError("not DER: a tag of several bytes, or no length")
        length = data[position + 1]
        position += 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or position + count > len(data):
                raise ValueError("not DER: a length of %d bytes" % count)
            length = int.from_bytes(data[position:position + count], "big")
            position += count
        if position + length > len(data):
            raise ValueError("not DER: an element is longer than what holds it")
        yield tag, data[position:position + length]
        position += length


def _inside(data: bytes, tag: int, what: str) -> List[Tuple[int, bytes]]:
    found = next(_elements(data), (0, b""))
    if found[0] != tag:
        raise ValueError("%s is missing" % what)
    return list(_elements(found[1]))


def parse(data: bytes) -> Certificate:
    """The certificate in DER; ValueError says what is wrong with it."""
    if len(data) > SIZE_LIMIT:
        raise ValueError("the certificate has more than %d bytes" % SIZE_LIMIT)
    outer = _inside(data, SEQUENCE, "the certificate")
    if not outer or outer[0][0] != SEQUENCE:
        raise ValueError("the certificate's content is missing")
    fields = list(_elements(outer[0][1]))
    if fields and fields[0][0] == 0xA0:  # [0] version; version 1 leaves it out
        fields = fields[1:]
    # serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, then [1] [2] [3]
    if len(fields) < 6 or [tag for tag, _content in fields[1:6]] != [SEQUENCE] * 5:
        raise ValueError("the certificate's fields are missing")
    times = list(_elements(fields[3][1]))
    if len(times) != 2:
        raise ValueError("the certificate's validity has %d times" % len(times))
    names: List[str] = []
    for tag, content in fields[6:]:
        if tag == 0xA3:
            names = _alternative_names(content)
    issuer, subject = fields[2][1], fields[4][1]
    return Certificate(subject=_name(subject), issuer=_name(issuer), not_before=_time(*times[0]), not_after=_time(*times[1]),
                       names=tuple(names), self_signed=issuer == subject)


def _time(tag: int, content: bytes) -> str:
    """RFC 5280, 4.1.2.5: UTCTime with two digits of the year (50 and above is 19..), GeneralizedTime with four; both in Z."""
    text = content.decode("ascii", "replace")
    year = 2 if tag == UTC_TIME else 4
    if tag not in (UTC_TIME, GENERALIZED_TIME) or len(text) != year + 11 or not text.endswith("Z") or not text[:-1].isdigit():
        raise ValueError("%r is no time of a certificate" % text[:20])
    if year == 2:
        text = ("19" if text >= "50" else "20") + text
    month, day, hour, minute, second = (int(text[index:index + 2]) for index in (4, 6, 8, 10, 12))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise ValueError("%r is no time of a certificate" % text[:20])
    return "%s-%s-%sT%s:%s:%sZ" % (text[:4], text[4:6], text[6:8], text[8:10], text[10:12], text[12:14])


def _object_id(content: bytes) -> str:
    numbers: List[int] = []
    value = 0
    for byte in content[:64]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        return ""
    first = min(numbers[0] // 40, 2)
    return ".".join(str(number) for number in (first, numbers[0] - 40 * first, *numbers[1:]))


def _text(tag: int, content: bytes) -> str:
    encoding = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1"}.get(tag, "utf-8")
    text = content[:4 * TEXT_LIMIT].decode(encoding, "replace")
    return "".join(char if char.isprintable() else "?" for char in text)[:TEXT_LIMIT]


def _name(content: bytes) -> str:
    """A distinguished name as ``CN=db1, O=Example``, in the order in which it stands in the certificate."""
    parts: List[str] = []
    for tag, relative in _elements(content):
        if tag != SET:
            raise ValueError("a name holds what is no set")
        for kind, pair in _elements(relative):
            values = list(_elements(pair)) if kind == SEQUENCE else []
            if len(values) != 2 or values[0][0] != OBJECT_ID:
                raise ValueError("a name holds what is no attribute")
            key = _object_id(values[0][1])
            parts.append("%s=%s" % (ATTRIBUTES.get(key, key), _text(*values[1])))
    return ", ".join(parts[:32])


def _alternative_names(extensions: bytes) -> List[str]:
    for tag, extension in _inside(extensions, SEQUENCE, "the list of extensions"):
        values = list(_elements(extension)) if tag == SEQUENCE else []
        if len(values) < 2 or values[0][0] != OBJECT_ID or _object_id(values[0][1]) != SUBJECT_ALT_NAME:
            continue
        if values[-1][0] != OCTET_STRING:
            raise ValueError("subjectAltName holds no octets")
        names: List[str] = []
        for kind, content in _inside(values[-1][1], SEQUENCE, "the list of names"):
            if kind == 0x82:  # dNSName
                names.append(_text(0x16, content))
            elif kind == 0x87 and len(content) in (4, 16):  # iPAddress
                names.append(socket.inet_ntop(socket.AF_INET if len(content) == 4 else socket.AF_INET6, content))
        return names[:NAMES_LIMIT]
    return []


def covers(certificate: Certificate, host: str) -> bool:
    """Whether the certificate is good for the host, a name or an address, as Go decides it (crypto/x509, VerifyHostname): by
    subjectAltName only, ``*`` stands for the whole leftmost label."""
    wanted = host.rstrip(".").lower()
    address = _address(host)
    if address:
        return address in (_address(name) for name in certificate.names)
    for name in certificate.names:
        pattern = name.lower()
        if pattern == wanted:
            return True
        if pattern.startswith("*.") and "." in wanted and pattern[1:] == wanted[wanted.index("."):] and not wanted.startswith("."):
            return True
    return False


def _address(text: str) -> bytes:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_pton(family, text.partition("%")[0])
        except (OSError, ValueError):
            continue
    return b""
