# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a module proxy serves, as files: a web server makes a proxy of it.

    moduletree.py DIR [--host NAME] [--sumdb NAME]

* ``DIR/good``: the modules, each with ``@v/list``, ``.info``, ``.mod``, ``.zip`` and ``@latest``, and a checksum database with a real
  signature below ``sumdb/NAME``, whose tree go itself verifies;
* ``DIR/wrong``: the same names, but zips with other bytes in them (the database is the good one);
* ``DIR/bare``: the modules without a checksum database and without ``@latest``;
* ``DIR/tls``: ``ca.pem``, and for ``--host`` ``good.pem``, ``expired.pem``, ``other.pem`` (of another name) with their ``.key``.

Prints JSON: ``modules`` (path@version -> {zip, mod} hashes), ``gosumdb`` (a value for GOSUMDB).
"""
from __future__ import annotations

import argparse
import base64
import datetime
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

MODULES = {
    ("example.org/fine", "v1.0.0"): "package fine\n\nfunc Answer() int { return 41 }\n",
    ("example.org/fine", "v1.1.0"): "package fine\n\nfunc Answer() int { return 42 }\n",
    ("example.org/Upper/CaseMod", "v1.2.3"): "package casemod\n\nfunc Name() string { return \"upper\" }\n",
    ("git.corp.example/team/secret", "v0.1.0"): "package secret\n",
}


def escape(text: str) -> str:
    return re.sub("[A-Z]", lambda match: "!" + match.group(0).lower(), text)


def h1(files: dict[str, bytes]) -> str:
    """golang.org/x/mod/sumdb/dirhash, Hash1."""
    lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()


def files_of(path: str, version: str, code: str) -> dict[str, bytes]:
    name = path.rpartition("/")[2].lower()
    return {f"{path}@{version}/go.mod": f"module {path}\n\ngo 1.20\n".encode(), f"{path}@{version}/{name}.go": code.encode()}


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), files[name])
    return out.getvalue()


def write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def write_modules(folder: Path, *, more: str = "", latest: bool = True) -> dict[str, dict[str, str]]:
    sums: dict[str, dict[str, str]] = {}
    versions: dict[str, list[str]] = {}
    for (path, version), code in MODULES.items():
        base = folder / escape(path) / "@v"
        files = files_of(path, version, code + more)
        mod = files[f"{path}@{version}/go.mod"]
        info = json.dumps({"Version": version, "Time": "2020-01-01T00:00:00Z"})
        write(base / f"{escape(version)}.info", info)
        write(base / f"{escape(version)}.mod", mod)
        write(base / f"{escape(version)}.zip", packed(files))
        versions.setdefault(path, []).append(version)
        write(base / "list", "".join(one + "\n" for one in versions[path]))
        if latest:
            write(folder / escape(path) / "@latest", info)
        sums[f"{path}@{version}"] = {"zip": h1(files), "mod": h1({"go.mod": mod})}
    return sums


# --- the checksum database: golang.org/x/mod/sumdb/{note,tlog}, RFC 6962 ------------------------------------------------

def tree_hash(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def write_sumdb(folder: Path, name: str, sums: dict[str, dict[str, str]]) -> str:
    """The database as files; returns the value for GOSUMDB."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    public = b"\x01" + key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    short = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    records = []
    for module, both in sums.items():
        path, _at, version = module.partition("@")
        records.append(f"{path} {version} {both['zip']}\n{path} {version}/go.mod {both['mod']}\n")
    leaves = [hashlib.sha256(b"\x00" + record.encode()).digest() for record in records]
    text = f"go.sum database tree\n{len(leaves)}\n{base64.b64encode(tree_hash(leaves)).decode()}\n"
    signature = base64.b64encode(short + key.sign(text.encode())).decode()
    head = f"{text}\n\N{EM DASH} {name} {signature}\n"
    base = folder / "sumdb" / name
    write(base / "supported", "")
    write(base / "latest", head)
    write(base / "tile/8/0" / f"000.p/{len(leaves)}", b"".join(leaves))
    for number, (module, record) in enumerate(zip(sums, records)):
        path, _at, version = module.partition("@")
        write(base / "lookup" / f"{escape(path)}@{escape(version)}", f"{number}\n{record}\n{head}")
    return f"{name}+{short.hex()}+{base64.b64encode(public).decode()}"


# --- certificates -------------------------------------------------------------------------------------------------------

def write_tls(folder: Path, host: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.timezone.utc)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "goready lab module proxy CA")])

    def make(name: x509.Name, key: ec.EllipticCurvePrivateKey, begin: int, end: int, alternative: str) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(ca_name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + datetime.timedelta(days=begin)).not_valid_after(now + datetime.timedelta(days=end))
        builder = builder.add_extension(x509.BasicConstraints(ca=not alternative, path_length=None), critical=True)
        if alternative:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(alternative)]), critical=False)
        else:
            builder = builder.add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True)
        return builder.sign(ca_key, hashes.SHA256())

    def pem(certificate: x509.Certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)

    authority = make(ca_name, ca_key, -60, 3650, "")
    write(folder / "ca.pem", pem(authority))
    for label, begin, end, alternative in (("good", -1, 365, host), ("expired", -30, -1, host), ("other", -1, 365, "other.example")):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, alternative)])
        write(folder / f"{label}.pem", pem(make(name, key, begin, end, alternative)) + pem(authority))
        write(folder / f"{label}.key", key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def build(folder: Path, *, host: str, sumdb: str) -> dict[str, object]:
    sums = write_modules(folder / "good")
    gosumdb = write_sumdb(folder / "good", sumdb, sums)
    write_modules(folder / "wrong", more="\n// Other bytes.\n")
    for path in (folder / "good" / "sumdb").rglob("*"):
        if path.is_file():
            write(folder / "wrong" / path.relative_to(folder / "good"), path.read_bytes())
    write_modules(folder / "bare", latest=False)
    write_tls(folder / "tls", host)
    return {"modules": sums, "gosumdb": gosumdb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--sumdb", default="sum.lab.example")
    options = parser.parse_args()
    print(json.dumps(build(options.folder, host=options.host, sumdb=options.sumdb), indent=1))


if __name__ == "__main__":
    main()
