# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role go_toolchain's variables, judged before a host is touched; and what follows from them for one host.

Pure, but for the look into ``go_toolchain_archive_dir``. Every fault is a sentence with the variable, its value and what is
allowed.
"""
from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.goready.preflight.plugins.module_utils import goversion, gvm_fetch
from ansible_collections.goready.preflight.plugins.plugin_utils import policy

CHECKSUMS = Path(__file__).parent / "data" / "go_checksums.json"
# What gvm names rightly (scripts/install maps riscv64, loongarch64 and armv8l to s390x, i686 to a name that upstream has not).
ARCHITECTURES = ("amd64", "arm64")
# The defaults that a named user's own places stand in for.
GVM_ROOT = "/opt/gvm"
LINKS_DIR = "/usr/local/bin"
CONSENT = "install"

_PATH = re.compile(r"(?:/[A-Za-z0-9._@+-]+)+/?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# Debian Policy 5.6.1.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_CHECKSUM_KEY = re.compile(r"(?:go)?([0-9]+\.[0-9][0-9a-z.]*?)(?:-linux-([a-z0-9]+)|\.linux-([a-z0-9]+)\.tar\.gz)")


def known_versions(text: str) -> list[str]:
    """The versions in the collection's table of checksums, in its order."""
    return [str(entry["version"]) for entry in json.loads(text)["releases"]]


def exact(text: str, known: Sequence[str]) -> str:
    """``1.27.3`` for a name of exactly that version. ValueError for a release line, with what it could mean."""
    try:
        version = goversion.parse(text)
    except ValueError as exc:
        raise ValueError(f"{exc}; expected an exact version such as 1.27.3") from None
    if version.suffix or version.pre == "devel":
        raise ValueError(f"{text!r} is not a version that upstream releases; expected one such as 1.27.3")
    if version.patch is None and not version.pre:  # until 1.21 the first release of a line had no third number either
        means = [name for name in known if goversion.parse(name).line == version.line]
        could = f"it could mean {', '.join(means)}" if means else \
            "this release of the collection knows no version of it (quote it: YAML reads 1.30 as the number 1.3)"
        raise ValueError(f"{text!r} is a release line and no exact version; {could}")
    return str(version)


def faults(values: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    """Every fault of the variables, which have their types already."""
    found: list[str] = []

    def tell(key: str, value: object, wanted: str) -> None:
        found.append(f"go_toolchain_{key}: {value!r} is not allowed; expected {wanted}")

    present = values["state"] == "present"
    versions = []
    for index, text in enumerate(values["versions"]):
        try:
            versions.append(exact(text, known))
        except ValueError as exc:
            found.append(f"go_toolchain_versions[{index}]: {exc}")
    if present and not values["versions"]:
        newest = known[-1] if known else "1.27.3"
        found.append(f"go_toolchain_versions: it is empty; expected at least one exact version such as {newest}")
    if values["default"] and versions:
        try:
            if exact(values["default"], known) not in versions:
                tell("default", values["default"], f"one of go_toolchain_versions ({', '.join(versions)})")
        except ValueError as exc:
            found.append(f"go_toolchain_default: {exc}")
    for key in ("gvm_root", "profile_path", "links_dir", "environment_file_path"):
        if not _is_path(values[key]):
            tell(key, values[key], "an absolute path of letters, digits and . _ @ + -")
    if not values["profile_path"].endswith(".sh"):
        tell("profile_path", values["profile_path"], "a name that ends in .sh: /etc/profile sources no other")
    if values["gopath"] and not (_is_path(values["gopath"]) or _is_path(re.sub(r"^~/", "/", values["gopath"]))):
        tell("gopath", values["gopath"], "an absolute path or one that begins with ~/")
    if not values["gvm_source"] or values["gvm_source"].startswith("-"):
        tell("gvm_source", values["gvm_source"], "the URL or path of a git repository or bundle")
    if not re.fullmatch(r"[0-9a-f]{40}", values["gvm_commit"]):
        tell("gvm_commit", values["gvm_commit"], "a commit of 40 hexadecimal digits")
    if values["user"] and not _USER.fullmatch(values["user"]):
        tell("user", values["user"], "the name of a user of the host")
    if not values["source"]:
        tell("source", values["source"], "at least one URL")
    for index, url in enumerate(values["source"]):
        try:
            gvm_fetch.check_source(url)
        except ValueError as exc:
            found.append(f"go_toolchain_source[{index}]: {str(exc).removeprefix('source: ')}")
    if values["proxy"]:
        found += _proxy(values["proxy"])
    if values["archive_dir"] and not Path(values["archive_dir"]).is_dir():
        tell("archive_dir", values["archive_dir"], "a folder on the controller")
    for name, sha256 in values["checksums"].items():
        if not _CHECKSUM_KEY.fullmatch(str(name)):
            tell("checksums", name, "names such as 1.27.3-linux-amd64 or go1.27.3.linux-amd64.tar.gz")
            continue
        try:
            gvm_fetch.normal_checksum(str(sha256))
        except ValueError as exc:
            found.append(f"go_toolchain_checksums[{name}]: {str(exc).removeprefix('checksum: ')}")
    for key, least, most, unit in (("retries", 0, 20, ""), ("timeout", 10, 7200, " seconds")):
        if not least <= values[key] <= most:
            tell(key, values[key], f"a whole number from {least} to {most}{unit}")
    for name in values["packages"]:
        if not _PACKAGE.fullmatch(name):
            tell("packages", name, "names of Debian packages")
    try:
        policy.words_of_consent(values["consent"])
    except ValueError as exc:
        found.append(f"go_toolchain_consent: {exc}")
    return found


def _is_path(text: str) -> bool:
    return bool(_PATH.fullmatch(text)) and not {".", ".."} & set(text.split("/"))


def _proxy(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        parts, password = urlsplit(""), None
    if password:
        # It travels as an environment variable, which Ansible puts in front of the command.
        return ["go_toolchain_proxy: a password in it would be seen in the host's list of processes; expected a URL without one"]
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return [f"go_toolchain_proxy: {url!r} is not allowed; expected http://HOST:PORT or https://HOST:PORT"]
    return []


def checksum(table: Mapping[str, Any], version: str, arch: str) -> str:
    """The inventory's checksum for an archive, empty where it gives none."""
    for name, value in table.items():
        match = _CHECKSUM_KEY.fullmatch(str(name))
        if match and match.group(1) == version and (match.group(2) or match.group(3)) == arch:
            return gvm_fetch.normal_checksum(str(value))
    return ""


def archive(folder: str, version: str, arch: str) -> str:
    return str(Path(folder).absolute() / f"go{version}.linux-{arch}.tar.gz") if folder else ""


def decide(values: Mapping[str, Any], host: Mapping[str, Any], exists: Any = Path.exists) -> tuple[dict[str, Any], list[str]]:
    """The plan for one host, and what keeps it from being carried out. ``values`` have no :func:`faults`."""
    present = values["state"] == "present"
    arch, root = str(host["arch"]), str(host["gvm_root"])
    found: list[str] = []
    if present and arch not in ARCHITECTURES:
        found.append(f"{host['machine']}: gvm takes the wrong archive on such a machine (its scripts/install); "
                     f"expected {' or '.join(ARCHITECTURES)}")
    versions = [exact(text, ()) for text in values["versions"]] if present else []
    default = exact(values["default"], ()) if present and values["default"] else next(iter(versions), "")
    there = {str(entry["version"]): list(entry["used_by"]) for entry in host["versions"]}
    installs = []
    for version in dict.fromkeys(versions):
        path = archive(values["archive_dir"], version, arch)
        if path and version not in there and not exists(Path(path)):
            found.append(f"go_toolchain_archive_dir: {values['archive_dir']!r} has no {Path(path).name}, which this host needs")
        installs.append({"version": version, "default": version == default, "archive": path if path and exists(Path(path)) else "",
                         "checksum": checksum(values["checksums"], version, arch)})
    made = host["made"]
    if present:
        surplus = [version for version in there if version not in versions] if values["prune"] else []
        remove = [version for version in surplus if not there[version]]
        kept = [version for version in surplus if there[version]]
        gvm_goes = False
    else:
        remove = [version for version in made["versions"] if version in there]
        kept = [version for version in there if version not in remove]
        # What a killed installation or removal has left is no gvm any more, and goes all the same.
        gvm_goes = bool(host["gvm"] or host["half"]) and made["gvm_root"] == root and not kept
        found += [f"go{version} is in use and stays: {'; '.join(there[version][:5])}" for version in remove if there[version]]
        found += [f"go_toolchain_environment_file_path: the file stays, {line}" for line in host["file_used_by"]]
    environment: dict[str, Any] = {"goroot": "", "links_dir": "", "profile": "", "environment_file": "", "gopath": "", "rc_files": []}
    if present:
        environment = {
            "goroot": f"{root}/gos/go{default}",
            "links_dir": _links_dir(values, host) if values["links"] else "",
            # A user's own Go is not for everybody's shells.
            "profile": values["profile_path"] if values["profile"] and not values["user"] else "",
            "environment_file": values["environment_file_path"] if values["environment_file"] else "",
            "gopath": values["gopath"],
            "rc_files": list(host["rc_files"]) if values["rc_files"] else [],
        }
    missing = list(host["packages"]) if present else []
    return {
        "arch": arch, "gvm_root": root, "default": default, "packages": missing,
        "package_changes": [{"path": f"package {name}", "action": "installed", "detail": ""} for name in missing],
        "installs": installs, "remove": remove,
        "kept": [{"version": version, "used_by": there[version]} for version in kept],
        "gvm_goes": gvm_goes, "environment": environment,
        "claim": {"gvm_root": "" if host["gvm"] or not present else root,
                  "versions": [version for version in dict.fromkeys(versions) if version not in there]},
        # Where there is none, a removal was killed before it could be forgotten.
        "release": {"gvm_root": root if gvm_goes or not (present or host["gvm"] or host["half"]) else "",
                    "versions": list(made["versions"]) if not present else remove},
        # A user's own Go changes nothing for the rest of the machine; packages do. To take everybody's Go away is to change it too.
        "needs_consent": not values["user"] or bool(missing),
        "consent": CONSENT in policy.words_of_consent(values["consent"]),
        "shells": _shells(environment),
    }, found


def _shells(environment: Mapping[str, Any]) -> list[str]:
    """The kinds of shell that have to see the Go: those whose PATH has the folder of the links on every host, and those
    whose start files were written."""
    if environment["links_dir"] == LINKS_DIR:
        return ["login", "non_login", "sudo", "systemd"]
    if environment["rc_files"]:
        return ["login", "non_login"]
    return ["login"] if environment["profile"] else []


def _links_dir(values: Mapping[str, Any], host: Mapping[str, Any]) -> str:
    if values["user"] and values["links_dir"].rstrip("/") == LINKS_DIR:
        return f"{str(host['home']).rstrip('/')}/.local/bin"
    return str(values["links_dir"]).rstrip("/")
