# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import goproxyproto
from ansible_collections.goready.preflight.plugins.module_utils.goproxyproto import Module

FINE = Module("example.org/fine", "v1.1.0")
UPPER = Module("github.com/Azure/azure-sdk", "v1.0.0-RC1")
SUM = "h1:lCAb3GflcqYY9ERuH5zLUIyEH3ui7VLu9kS1NIAAMko="
MOD_SUM = "h1:2qffx5P2/9Y6HH8Arqjrp/ZrMcRI6R3EGgz0WlMMhwQ="


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    out.seek(0)
    return out


@pytest.mark.parametrize(("module", "what", "path"), [
    (FINE, "list", "example.org/fine/@v/list"), (FINE, "latest", "example.org/fine/@latest"),
    (FINE, "info", "example.org/fine/@v/v1.1.0.info"), (UPPER, "list", "github.com/!azure/azure-sdk/@v/list"),
    (UPPER, "zip", "github.com/!azure/azure-sdk/@v/v1.0.0-!r!c1.zip"),
], ids=str)
def test_file_of(module: Module, what: str, path: str) -> None:
    assert goproxyproto.file_of(module, what) == path


@pytest.mark.parametrize(("text", "error"), [
    ("example.org/fine", "'example.org/fine' is not PATH@vX.Y.Z"),
    ("example.org/fine@latest", "'example.org/fine@latest' is not PATH@vX.Y.Z"),
    ("example.org/fine@v1.2", "'example.org/fine@v1.2' is not PATH@vX.Y.Z"), ("../up@v1.0.0", "'../up' is not a module path"),
    ("a//b@v1.0.0", "'a//b' is not a module path"), ("a b@v1.0.0", "'a b' is not a module path"),
])
def test_what_is_no_module(text: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:
        goproxyproto.module_of(text)
    assert str(caught.value) == error


def test_module_of() -> None:
    assert goproxyproto.module_of("example.org/x@v2.0.0+incompatible") == Module("example.org/x", "v2.0.0+incompatible")


@given(st.from_regex(r"[a-zA-Z0-9._~-]*[a-zA-Z0-9](/[a-zA-Z0-9._~-]*[a-zA-Z0-9]){0,3}", fullmatch=True))
def test_an_escaped_path_has_no_capital_and_can_be_read_back(path: str) -> None:
    escaped = goproxyproto.escape(path)
    pieces = escaped.split("!")
    assert escaped == escaped.lower()
    assert pieces[0] + "".join(piece[:1].upper() + piece[1:] for piece in pieces[1:]) == path


@pytest.mark.parametrize(("url", "path", "joined"), [
    ("https://a.example", "x/@v/list", "https://a.example/x/@v/list"),
    ("https://a.example/go/", "x/@v/list", "https://a.example/go/x/@v/list"),
    ("https://a.example//go//", "!x/@latest", "https://a.example/go/%21x/@latest"),  # as go sends it: tried with 1.22.10, 1.27.3
    ("https://a.example", "x/@v/v2.0.0+incompatible.zip", "https://a.example/x/@v/v2.0.0+incompatible.zip"),
    ("https://u:p@a.example:8443/go?key=1", "x/@latest", "https://u:p@a.example:8443/go/x/@latest?key=1"),
])
def test_join(url: str, path: str, joined: str) -> None:
    assert goproxyproto.join(url, path) == joined


PAGE = b"\n<!DOCTYPE html><html><title>Sign in</title></html>"
HTML = "answers 200 with a page of HTML or XML, as a login page does"


@pytest.mark.parametrize(("what", "body", "said"), [
    ("list", b"v1.0.0\nv1.1.0\n", None), ("list", b"", None), ("list", b"v1.0.0 2020-01-01T00:00:00Z\n", None),
    ("list", b"v1.0.0\nnot a version\n", None), ("list", PAGE, HTML),
    ("list", b"Please sign in\n", "answers 200 with something that is no list of versions"),
    ("info", b'{"Version":"v1.1.0","Time":"2020-01-01T00:00:00Z"}', None), ("info", PAGE, HTML),
    ("info", b'{"Version":"v9.9.9"}', "answers with version v9.9.9 in place of v1.1.0"),
    ("info", b'{"version":"v1.1.0","TIME":"2020-01-01T00:00:00.123+02:00"}', None), ("info", b'{"Version":"v1.1.0","Time":null}', None),
    ("info", b'{"Version":"v1.1.0","Time":""}', "answers 200 with JSON whose Time is none of RFC 3339"),
    ("info", b'{"Version":"v1.1.0","Time":"2020-01-01 00:00:00"}', "answers 200 with JSON whose Time is none of RFC 3339"),
    ("info", b"x", "answers 200 with something that is no JSON"),
    ("info", b"[" * 100000, "answers 200 with something that is no JSON"), ("info", b"[]", "answers 200 with JSON that names no Version"),
    ("latest", b'{"Version":"v9.9.9"}', None), ("latest", b'{"error":"no"}', "answers 200 with JSON that names no Version"),
    ("mod", b"// x\nmodule example.org/fine\n", None),
    ("mod", b"hello", "answers 200 with something that is no go.mod"), ("mod", PAGE, HTML),
    ("lookup", f"4\nexample.org/fine v1.1.0 {SUM}\n".encode(), None),
    ("lookup", b"4\nother v1.1.0 h1:x=\n",
     "answers 200 without a line for the module"),
    ("tree", b"go.sum database tree\n4\n", None), ("tree", b"x", "answers 200 with something that is no signed tree head"),
    ("sumdb", b"", None), ("sumdb", PAGE, HTML),
], ids=lambda value: str(value)[:40])
def test_fault(what: str, body: bytes, said: str | None) -> None:
    assert goproxyproto.fault(what, body, FINE) == said


@given(st.sampled_from(("list", "info", "mod", "latest", "lookup", "tree", "sumdb")), st.binary(max_size=400))
def test_fault_takes_any_body(what: str, body: bytes) -> None:
    said = goproxyproto.fault(what, body, FINE)
    assert said is None or said.startswith("answers ")


FILES = {
    "example.org/fine@v1.1.0/go.mod": b"module example.org/fine\n\ngo 1.20\n",
    "example.org/fine@v1.1.0/fine.go": b"package fine\n\nfunc Answer() int { return 42 }\n",
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_hash_of_a_zip_is_that_of_go(method: int) -> None:
    """What `go mod download -json` of go 1.27.3 printed for these files."""
    assert goproxyproto.hash_zip(packed(FILES, method), FINE) == SUM
    assert goproxyproto.hash_zip(packed(dict(reversed(FILES.items())), method), FINE) == SUM
    assert goproxyproto.hash_mod(FILES["example.org/fine@v1.1.0/go.mod"]) == MOD_SUM


def test_a_name_that_is_not_marked_as_utf8_is_hashed_by_its_bytes() -> None:
    """As a packer that is not Go writes it. The hash is what `go mod download -json` of go 1.27.3 printed."""
    data = bytearray(packed({
        "example.org/fine@v1.1.0/go.mod": FILES["example.org/fine@v1.1.0/go.mod"], "example.org/fine@v1.1.0/fine.go": b"package fine\n",
        "example.org/fine@v1.1.0/testdata/gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{LATIN SMALL LETTER SHARP S}e.txt": b"x"}).getvalue())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + flags + 1] &= ~8
            at = data.find(mark, at + 4)
    assert goproxyproto.hash_zip(io.BytesIO(bytes(data)), FINE) == "h1:t/phAej/rZ9XnGz63Y9DWaaPJB/tbX3w1aciepvFvXs="


@pytest.mark.parametrize(("handle", "said"), [
    (io.BytesIO(PAGE), "is no readable zip: File is not a zip file"), (io.BytesIO(), "is no readable zip: File is not a zip file"),
    (packed({"other@v1.0.0/a": b""}), "holds 'other@v1.0.0/a', which lies outside example.org/fine@v1.1.0/"),
    (packed(FILES, zipfile.ZIP_BZIP2), "holds 'example.org/fine@v1.1.0/go.mod', packed in a way that go does not know"),
], ids=["html", "empty", "other module", "bzip2"])
def test_what_is_no_zip_of_the_module(handle: io.BytesIO, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        goproxyproto.hash_zip(handle, FINE)
    assert str(caught.value) == said


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goproxyproto, "UNPACKED_LIMIT", 1 << 20)
    with pytest.raises(ValueError, match=r"\Aunpacks to more than 1048576 bytes\Z"):
        goproxyproto.hash_zip(packed({"example.org/fine@v1.1.0/zero": b"\0" * (2 << 20)}), FINE)


def directory(count: int, *, end: bytes = b"", offset: int = 0, comment: bytes = b"") -> io.BytesIO:
    """A zip that is nothing but its list of files. ``end`` stands before the end's record."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    size = 0 if end else len(entry) * count
    return io.BytesIO(entry * count + end + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, size, offset, len(comment)) + comment)


@pytest.mark.parametrize("handle", [
    directory(200_000), directory(200_000, offset=int.from_bytes(b"PK\5\6", "little")), directory(200_000, comment=b"x" * 65535),
    directory(200_000, end=struct.pack("<4sLQL", b"PK\6\7", 0, 200_000 * 47, 1)),
], ids=["plain", "a mark in the record", "comment", "zip64"])
def test_a_list_of_very_many_files_is_not_read(handle: io.BytesIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take gigabytes: 64 MiB of such a list are 1.4 million files."""
    monkeypatch.delattr(zipfile, "ZipFile")
    with pytest.raises(ValueError, match=r"\Aholds more than 20000 files\Z"):
        goproxyproto.hash_zip(handle, FINE)


@given(st.binary(max_size=60), st.integers(0, 400))
def test_a_damaged_zip_is_refused_or_hashed(noise: bytes, at: int) -> None:
    data = bytearray(packed(FILES).getvalue())
    data[at:at + len(noise)] = noise
    try:
        assert goproxyproto.hash_zip(io.BytesIO(bytes(data)), FINE).startswith("h1:")
    except ValueError as exc:
        assert str(exc)


@pytest.mark.parametrize(("value", "name", "url"), [
    ("sum.golang.org", "sum.golang.org", ""), ("sum.golang.google.cn", "sum.golang.org", "https://sum.golang.google.cn"),
    ("sum.corp.example+01234567+AAAA https://a.example/db", "sum.corp.example", "https://a.example/db"),
    ("sum.corp.example:8443/go+01234567+AAAA", "sum.corp.example:8443/go", ""),
])
def test_sumdb_of(value: str, name: str, url: str) -> None:
    assert goproxyproto.sumdb_of(value) == (name, url)


def test_no_sumdb() -> None:
    assert goproxyproto.sumdb_of("off") is None


@pytest.mark.parametrize(("value", "said"), [
    ("", "it is empty, and go refuses to fetch anything"), ("a b c", "it has more than a name and a URL"),
    ("sum.corp.example", "sum.corp.example is no database whose key go knows, and no key stands with it (name+hash+key)"),
    ("https://ci:wordofci@sum.corp.example+01234567+AAAA", "the database's name is not host[/path]"),
    ("sum.corp.example/+01234567+AAAA", "the database's name is not host[/path]"),
])
def test_a_sumdb_that_go_refuses(value: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        goproxyproto.sumdb_of(value)
    assert str(caught.value) == said


def test_sums_of_a_record() -> None:
    text = f"7\nexample.org/fine v1.1.0 {SUM}\nexample.org/fine v1.1.0/go.mod {MOD_SUM}\n\ngo.sum database tree\n9\nAAAA=\n"
    assert goproxyproto.sums_of(text, FINE) == {"zip": SUM, "mod": MOD_SUM}
    assert goproxyproto.sums_of(text, Module("example.org/fine", "v1.1.1")) == {}
    for other in ("h1:", "h1:\x1b[2J", SUM + "x" * 100000, "h1:" + "a" * 44):
        assert goproxyproto.sums_of(f"7\nexample.org/fine v1.1.0 {other}\n", FINE) == {}


PROXY = {"HTTPS_PROXY": "http://proxy.corp.example:3128", "HTTP_PROXY": "plain.corp.example"}
VIA = "http://proxy.corp.example:3128"


# golang.org/x/net/http/httpproxy: testdata of its own tests, and its documentation.
@pytest.mark.parametrize(("url", "no_proxy", "through"), [
    ("https://a.example", "", VIA), ("http://a.example", "", "http://plain.corp.example"), ("https://localhost", "", ""),
    ("https://127.0.0.1", "", ""), ("https://[::1]:8443", "", ""), ("https://localhost.example", "", VIA),
    ("https://a.example", "*", ""), ("https://a.example", "a.example", ""), ("https://b.a.example", "a.example", ""),
    ("https://a.example", ".a.example", VIA), ("https://b.a.example", ".a.example", ""), ("https://b.a.example", "*.a.example", ""),
    ("https://a.example", "*.a.example", VIA), ("https://xa.example", "a.example", VIA), ("https://a.example", "a.example:8443", VIA),
    ("https://a.example:8443", "a.example:8443", ""), ("https://a.example", "a.example:443", ""),
    ("https://A.EXAMPLE", " a.Example ,b", ""),
    ("https://192.0.2.7", "192.0.2.0/24", ""), ("https://192.0.3.7", "192.0.2.0/24", VIA), ("https://192.0.2.7", "192.0.2.7", ""),
    ("https://192.0.2.7:8443", "192.0.2.7:8443", ""), ("https://[2001:db8::1]", "[2001:db8::1]:443", ""),
    ("https://[2001:db8::1]", "2001:db8::/32", ""), ("https://[2001:db8::1]", "2001:DB8:0:0::1", ""),
    ("https://a.example", "192.0.2.0/24,,x/y", VIA), ("https://192.0.2.7", "2.7", VIA),
], ids=lambda value: value or "-")
def test_http_proxy(url: str, no_proxy: str, through: str) -> None:
    assert goproxyproto.http_proxy(url, {**PROXY, "NO_PROXY": no_proxy}) == through


def test_the_variables_in_small_letters_count_too() -> None:
    assert goproxyproto.http_proxy("https://a.example", {"https_proxy": "http://small:1"}) == "http://small:1"
    assert goproxyproto.http_proxy("https://a.example", {"https_proxy": "http://small:1", "HTTPS_PROXY": "http://BIG:1"}) == "http://BIG:1"
    assert goproxyproto.http_proxy("https://a.example", {"HTTP_PROXY": "http://plain:1"}) == ""


def test_figures() -> None:
    assert goproxyproto.figures([]) is None
    assert goproxyproto.figures([3.04, 1.0, 2.0, 10.0]) == {"min": 1.0, "median": 2.5, "p95": 10.0, "max": 10.0}


def test_the_lab_writes_what_go_takes(tmp_path: object) -> None:
    """tests/lab/moduletree.py was tried with go 1.27.3: its hashes are those of go."""
    import importlib.util
    from pathlib import Path

    source = Path(__file__).parents[3] / "lab" / "moduletree.py"
    spec = importlib.util.spec_from_file_location("moduletree", source)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sums = module.write_modules(Path(str(tmp_path)))
    assert sums[str(FINE)] == {"zip": SUM, "mod": MOD_SUM}
    base = Path(str(tmp_path)) / "example.org/!upper/!case!mod/@v"
    assert json.loads((base / "v1.2.3.info").read_text())["Version"] == "v1.2.3"
