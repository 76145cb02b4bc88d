# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of openssl 3.0 (tests/lab/faulty_net.py), and all that this machine trusts, against Python's own reader."""
from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from ansible_collections.goready.preflight.plugins.module_utils import certificate
from ansible_collections.goready.preflight.plugins.module_utils.certificate import Certificate
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).parents[2] / "fixtures" / "connections" / "certificates"
FILES = sorted(path.stem for path in FOLDER.glob("*.pem"))


def der(name: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert((FOLDER / f"{name}.pem").read_text())


def tlv(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    length = bytes((len(body),)) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes((tag,)) + length + body


def made(*, not_before: bytes = tlv(0x17, b"260101000000Z"), not_after: bytes = tlv(0x17, b"270101000000Z"), subject: bytes = b"",
         names: bytes = b"") -> bytes:
    extensions = tlv(0xA3, tlv(0x30, tlv(0x30, tlv(6, b"\x55\x1d\x11"), tlv(4, tlv(0x30, names))))) if names else b""
    algorithm = tlv(0x30, tlv(6, b"\x2a"))
    fields = (tlv(0xA0, tlv(2, b"\2")), tlv(2, b"\1"), algorithm, tlv(0x30), tlv(0x30, not_before, not_after), tlv(0x30, subject),
              tlv(0x30))
    return tlv(0x30, tlv(0x30, *fields, extensions), algorithm, tlv(3, b"\0"))


def test_the_recorded_one():
    assert certificate.parse(der("good")) == Certificate(
        subject="CN=localhost", issuer="CN=Lab CA", not_before="2026-11-11T16:48:07Z", not_after="2027-11-21T16:48:07Z",
        names=("localhost",), self_signed=False)


@pytest.mark.parametrize(("name", "own"), [("self", True), ("ca", True), ("expired", False)])
def test_self_signed(name, own):
    assert certificate.parse(der(name)).self_signed is own


def seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_as_python_reads_them():
    """get_ca_certs() gives the fields and the bytes of every certificate of the host's store."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    for name in FILES:
        context.load_verify_locations(cadata=der(name))
    fields, data = context.get_ca_certs(), context.get_ca_certs(binary_form=True)
    assert len(fields) == len(data) >= 1
    for known, one in zip(fields, data):
        found = certificate.parse(one)
        assert seconds(found.not_before) == ssl.cert_time_to_seconds(known["notBefore"])
        assert seconds(found.not_after) == ssl.cert_time_to_seconds(known["notAfter"])
        assert found.self_signed == (known["subject"] == known["issuer"])
        values = [value for relative in known["subject"] for _name, value in relative]
        assert all(value in found.subject for value in values), (found.subject, values)


@pytest.mark.parametrize(("name", "host", "good"), [
    (("db1.example.org",), "db1.example.org", True),
    (("DB1.example.org",), "db1.EXAMPLE.org.", True),
    (("*.example.org",), "db1.example.org", True),
    (("*.example.org",), "a.db1.example.org", False),
    (("*.example.org",), "example.org", False),
    (("*.example.org",), ".example.org", False),
    (("d*.example.org",), "db1.example.org", False),
    (("127.0.0.1",), "127.0.0.1", True),
    (("::1",), "0:0:0:0:0:0:0:1", True),
    (("fe80::1",), "fe80::1%eth0", True),
    (("127.0.0.1",), "127.0.0.2", False),
    (("*.0.0.1",), "127.0.0.1", False),
    ((), "localhost", False),
], ids=["same", "case and dot", "star", "one label only", "not its parent", "an empty label", "part of a label", "address",
        "address in full", "zone", "another address", "no star for addresses", "no names"])
def test_covers(name, host, good):
    assert certificate.covers(Certificate("CN=localhost", "", "", "", tuple(name), False), host) is good


@pytest.mark.parametrize(("changed", "expected"), [
    ({"not_before": tlv(0x17, b"500101000000Z"), "not_after": tlv(0x18, b"20500101000000Z")},
     ("1950-01-01T00:00:00Z", "2050-01-01T00:00:00Z")),
    ({"not_before": tlv(0x17, b"491231235959Z"), "not_after": tlv(0x18, b"99991231235959Z")},
     ("2049-12-31T23:59:59Z", "9999-12-31T23:59:59Z")),
], ids=["1950", "2049 and never"])
def test_times(changed, expected):
    found = certificate.parse(made(**changed))
    assert (found.not_before, found.not_after) == expected


def test_names_of_both_kinds():
    found = certificate.parse(made(names=tlv(0x82, b"a.example") + tlv(0x81, b"x@y") + tlv(0x87, b"\x7f\0\0\1")
                                   + tlv(0x87, b"\0" * 15 + b"\1") + tlv(0x87, b"\0\0")))
    assert found.names == ("a.example", "127.0.0.1", "::1")


@pytest.mark.parametrize(("attribute", "expected"), [
    (tlv(0x30, tlv(6, b"\x55\x04\x03"), tlv(0x0C, "größe\n".encode())), "CN=größe?"),
    (tlv(0x30, tlv(6, b"\x55\x04\x0a"), tlv(0x1E, "日本".encode("utf-16-be"))), "O=日本"),
    (tlv(0x30, tlv(6, b"\x88\x37"), tlv(0x13, b"x")), "2.999=x"),
    (tlv(0x30, tlv(6, b"\x55\x04\x03"), tlv(0x0C, b"x" * 600)), "CN=" + "x" * 256),
], ids=["utf-8, a line break", "utf-16", "unknown", "long"])
def test_subject(attribute, expected):
    assert certificate.parse(made(subject=tlv(0x31, attribute))).subject == expected


@pytest.mark.parametrize(("data", "message"), [
    (b"", "the certificate is missing"),
    (b"\x30", "not DER: a tag of several bytes, or no length"),
    (b"\x30\x80", "not DER: a length of 0 bytes"),
    (b"\x30\x05\x30", "not DER: an element is longer than what holds it"),
    (tlv(0x30), "the certificate's content is missing"),
    (tlv(0x30, tlv(0x30, tlv(2, b"\1"))), "the certificate's fields are missing"),
    (made(not_before=b""), "the certificate's validity has 1 times"),
    (made(not_before=tlv(0x17, b"260101000000")), "'260101000000' is no time of a certificate"),
    (made(not_before=tlv(0x17, b"261301000000Z")), "'20261301000000Z' is no time of a certificate"),
    (made(subject=tlv(0x30)), "a name holds what is no set"),
    (made(subject=tlv(0x31, tlv(0x30))), "a name holds what is no attribute"),
    (b"\x30" * (certificate.SIZE_LIMIT + 1), "the certificate has more than 65536 bytes"),
], ids=["nothing", "cut", "endless", "too long", "empty", "few fields", "one time", "no zone", "month 13", "no set", "no attribute",
        "large"])
def test_no_certificate(data, message):
    with pytest.raises(ValueError) as raised:
        certificate.parse(data)
    assert str(raised.value) == message


@given(st.binary(max_size=300))
def test_any_bytes(data):
    try:
        certificate.parse(data)
    except ValueError as exc:
        assert str(exc)


@given(st.sampled_from(FILES), st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_real_one_with_one_byte_changed(name, position, value):
    data = bytearray(der(name))
    data[position % len(data)] = value
    try:
        found = certificate.parse(bytes(data))
    except ValueError:
        return
    assert len(found.names) <= certificate.NAMES_LIMIT and found.not_before.endswith("Z")


@given(st.text(max_size=40), st.text(max_size=40))
def test_covers_any_text(name, host):
    assert certificate.covers(Certificate("", "", "", "", (name,), False), host) in (True, False)
