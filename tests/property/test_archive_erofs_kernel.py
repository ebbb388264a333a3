"""The kernel sees in an EROFS index, mounted over its tar, just what the layer's entries say."""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopery.archive.erofs import build_index
from coopery.archive.tar_writer import write_layer
from coopery.tree.entry import Entry, Kind

MS_RDONLY = 1
MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)

Layer = list[tuple[Entry, bytes]]


def mount(source: bytes, target: Path, kind: bytes, options: bytes) -> None:
    if _libc.mount(source, os.fsencode(target), kind, MS_RDONLY, options):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


@contextmanager
def mounted(layer: Layer, place: Path) -> Iterator[tuple[Path, tuple[Entry, ...]]]:
    """The layer, archived, indexed and mounted below `place`; with its entries, their fractions of seconds restored."""
    place.mkdir(parents=True)
    with (place / "tar").open("wb") as out:
        written = write_layer(((entry, lambda data=data: io.BytesIO(data)) for entry, data in layer), out.write)
    entries = tuple(entry._replace(mtime_ns=exact.mtime_ns) for entry, (exact, _) in zip(written, layer, strict=True))
    (place / "index").write_bytes(build_index(entries, (place / "tar").stat().st_size))
    target = place / "mnt"
    target.mkdir()
    mount(os.fsencode(place / "index"), target, b"erofs", b"device=" + os.fsencode(place / "tar"))
    try:
        yield target, entries
    finally:
        _libc.umount2(os.fsencode(target), MNT_DETACH)


def why_not(place: Path) -> str:
    """What this machine lacks for mounting an index, or nothing."""
    if os.geteuid() != 0:
        return "needs root to mount"
    try:
        with mounted([(Entry(b"f", Kind.FILE, 0o644, 0, 0, 1), b"x")], place):
            return ""
    except OSError as error:
        return f"needs EROFS mounts of plain files (Linux 6.12, CONFIG_EROFS_FS_BACKED_BY_FILE): {error}"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("erofs")
    if reason := why_not(place / "probe"):
        pytest.skip(reason)
    return place


def assert_shown(root: Path, entries: Sequence[Entry], contents: dict[bytes, bytes]) -> None:
    top = os.fsencode(root)
    by_path = {entry.path: entry for entry in entries}
    listed: dict[bytes, set[bytes]] = {entry.path: set() for entry in entries if entry.kind is Kind.DIRECTORY}
    listed.setdefault(b"", set())
    names_of: dict[bytes, int] = {}
    for entry in entries:
        if entry.path:
            listed[entry.parent].add(entry.name)
        names_of[origin(entry, by_path)] = names_of.get(origin(entry, by_path), 0) + 1
    for path, names in listed.items():
        found = os.listdir(os.path.join(top, path))
        assert len(found) == len(names)
        assert set(found) == names
    formats = {Kind.FILE: stat.S_IFREG, Kind.SYMLINK: stat.S_IFLNK, Kind.CHARACTER: stat.S_IFCHR}
    formats |= {Kind.BLOCK: stat.S_IFBLK, Kind.DIRECTORY: stat.S_IFDIR, Kind.FIFO: stat.S_IFIFO}
    for entry in entries:
        place = os.path.join(top, entry.path)
        said = by_path[origin(entry, by_path)]
        seen = os.lstat(place)
        mode = 0o777 if said.kind is Kind.SYMLINK else said.mode
        assert seen.st_mode == formats[said.kind] | mode
        assert (seen.st_uid, seen.st_gid, seen.st_mtime_ns) == (said.uid, said.gid, said.mtime_ns)
        listed_xattrs = os.listxattr(place, follow_symlinks=False)
        assert {os.fsencode(key): os.getxattr(place, key, follow_symlinks=False) for key in listed_xattrs} == dict(
            said.xattrs
        )
        if said.kind is Kind.DIRECTORY:
            below = sum(e.parent == entry.path and e.path != b"" for e in entries if e.kind is Kind.DIRECTORY)
            assert seen.st_nlink == 2 + below
            continue
        assert seen.st_nlink == names_of[said.path]
        assert seen.st_ino == os.lstat(os.path.join(top, said.path)).st_ino
        if said.kind is Kind.FILE:
            with open(place, "rb") as file:
                assert file.read() == contents[said.path]
            assert seen.st_size == said.size
        elif said.kind is Kind.SYMLINK:
            assert os.readlink(place) == said.link
            assert seen.st_size == len(said.link)
        elif said.kind is not Kind.FIFO:
            assert seen.st_rdev == os.makedev(*said.device)


def origin(entry: Entry, by_path: dict[bytes, Entry]) -> bytes:
    """The path of the entry that a hard link stands for in the end; any other entry's own."""
    while entry.kind is Kind.HARDLINK:
        entry = by_path[entry.link]
    return entry.path


_names = st.one_of(
    st.sampled_from([b"!a", b"-a", b"-", b"..a", b"...", b".-", b". ", b".a", b"~", b"\xff\xfe", b"a\nb", b"n" * 255]),
    st.binary(min_size=1, max_size=255).filter(
        lambda name: not set(name) & {0, ord("/")} and name not in (b".", b"..") and not name.startswith(b".wh.")
    ),
)
_contents = st.one_of(
    st.binary(max_size=100),
    st.builds(lambda unit, size: (unit * size)[:size], st.binary(min_size=1, max_size=9), st.integers(1, 20_000)),
)
_ids = st.one_of(st.just(0), st.integers(0, 2**32 - 2))  # the last one means "none" to the kernel
_times = st.integers(-(2**33), 2**34).flatmap(
    lambda seconds: st.integers(0, 10**9 - 1).map(lambda fraction: seconds * 10**9 + fraction)
)


def _xattrs(prefixes: list[bytes]) -> st.SearchStrategy[tuple[tuple[bytes, bytes], ...]]:
    key = st.builds(
        lambda prefix, name: prefix + name,
        st.sampled_from(prefixes),
        st.binary(min_size=1, max_size=200).filter(lambda name: not set(name) & {0, ord("=")}),
    )
    return st.dictionaries(key, st.binary(max_size=400), max_size=4).map(lambda pairs: tuple(sorted(pairs.items())))


_any_xattrs, _trusted_xattrs = _xattrs([b"user.", b"trusted.", b"security."]), _xattrs([b"trusted."])


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    layer: Layer = []
    directories = [b""]
    linkable: list[bytes] = []
    used: set[bytes] = set()
    if draw(st.booleans()):
        layer.append((_entry(draw, b"", Kind.DIRECTORY), b""))
    for _ in range(draw(st.integers(0, 20))):
        parent = draw(st.sampled_from(directories))
        path = (parent + b"/" if parent else b"") + draw(_names)
        if path in used or len(path) > 3500:
            continue
        used.add(path)
        kind = draw(st.sampled_from([*Kind, Kind.FILE, Kind.FILE, Kind.DIRECTORY]))
        if kind is Kind.HARDLINK and not linkable:
            kind = Kind.FIFO
        if kind is Kind.HARDLINK:
            layer.append((Entry(path, kind, 0o644, 0, 0, link=draw(st.sampled_from(linkable))), b""))
            continue
        contents = draw(_contents) if kind is Kind.FILE else b""
        layer.append((_entry(draw, path, kind)._replace(size=len(contents)), contents))
        (directories if kind is Kind.DIRECTORY else linkable).append(path)
    return layer


def _entry(draw: st.DrawFn, path: bytes, kind: Kind) -> Entry:
    entry = Entry(path, kind, draw(st.integers(0, 0o7777)), draw(_ids), draw(_ids), mtime_ns=draw(_times))
    if kind is Kind.SYMLINK:
        target = st.binary(min_size=1, max_size=600).filter(lambda link: 0 not in link)
        entry = entry._replace(link=draw(st.one_of(target, st.integers(1, 4095).map(lambda size: b"t" * size))))
    if kind in (Kind.CHARACTER, Kind.BLOCK):
        entry = entry._replace(device=draw(st.tuples(st.integers(0, 0xFFF), st.integers(0, 0xFFFFF))))
    # The kernel keeps user attributes of other kinds to itself, and looks into some security ones.
    return entry._replace(xattrs=draw(_any_xattrs if kind in (Kind.FILE, Kind.DIRECTORY) else _trusted_xattrs))


@given(layers())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, *HealthCheck])
def test_every_attribute_of_random_trees(scratch: Path, layer: Layer) -> None:
    place = scratch / "example"
    shutil.rmtree(place, ignore_errors=True)
    with mounted(layer, place) as (root, entries):
        assert_shown(root, entries, {entry.path: data for entry, data in layer})


@pytest.fixture(scope="module")
def large() -> Layer:
    """Thousands of entries: directories of many blocks, inodes at every offset, names of all lengths."""
    random = Random(7)
    layer: Layer = [(Entry(b"", Kind.DIRECTORY, 0o751, 1, 2, mtime_ns=3), b"")]
    directories = [b""]
    for number in range(3000):
        parent = directories[0] if number < 1500 else random.choice(directories)
        name = b"%d-%s" % (number, b"n" * random.randrange(60))
        path = parent + b"/" + name if parent else name
        xattrs = ((b"user.x", b"v" * random.randrange(120)),) if random.random() < 0.2 else ()
        kind = random.choice([Kind.FILE, Kind.FILE, Kind.FILE, Kind.SYMLINK, Kind.DIRECTORY])
        entry = Entry(path, kind, random.randrange(0o1000), number, number * 7, mtime_ns=number, xattrs=xattrs)
        contents = b""
        if kind is Kind.FILE:
            contents = random.randbytes(random.choice([0, 1, 511, 512, 513, 4096, 5000, 70_000]))
            entry = entry._replace(size=len(contents))
        elif kind is Kind.SYMLINK:
            entry = entry._replace(link=b"t" * random.randrange(1, 1500), xattrs=())
        else:
            directories.append(path)
        layer.append((entry, contents))
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    layer.append((Entry(b"ping", Kind.FILE, 0o755, 0, 0, 1, xattrs=((b"security.capability", capability),)), b"x"))
    return layer


def test_a_large_tree(scratch: Path, large: Layer) -> None:
    with mounted(large, scratch / "large") as (root, entries):
        assert_shown(root, entries, {entry.path: data for entry, data in large})


def test_fsck_finds_nothing_wrong(scratch: Path, large: Layer) -> None:
    if shutil.which("fsck.erofs") is None:
        pytest.skip("needs fsck.erofs (erofs-utils)")
    with mounted(large, scratch / "fsck"):
        place = scratch / "fsck"
        command = ["fsck.erofs", f"--device={place / 'tar'}", place / "index"]
        result = subprocess.run(command, capture_output=True, text=True)
    if "blksize 512 isn't supported" in result.stderr:
        pytest.skip("needs a newer fsck.erofs (erofs-utils), one that knows blocks of 512 bytes")
    assert result.returncode == 0, result.stderr


def plain(*paths: bytes) -> Layer:
    """Files that hold their own path, and directories (their paths end with a slash)."""
    layer: Layer = []
    for path in paths:
        if path.endswith(b"/"):
            layer.append((Entry(path[:-1], Kind.DIRECTORY, 0o755, 0, 0), b""))
        else:
            contents = b"" if b".wh." in path else path
            layer.append((Entry(path, Kind.FILE, 0o644, 0, 0, len(contents)), contents))
    return layer


def test_whiteouts_act_in_an_overlay(scratch: Path) -> None:
    lower = plain(b"keep/", b"keep/old", b"opaque/", b"opaque/old", b"gone/", b"gone/old", b"both/", b"both/old")
    lower += plain(b"mixed/", b"mixed/old", b"mixed/stays", b"file", b"replaced", b"steered/", b"steered/old")
    upper = plain(b".wh.gone", b".wh.file", b".wh.both", b"both/", b"both/new", b"opaque/", b"opaque/new")
    upper += plain(b"opaque/.wh..wh..opq", b"mixed/", b"mixed/.wh.old", b"mixed/new", b"replaced", b".wh.replaced")
    upper += plain(b".wh.never-there", b".wh..wh.aufs")
    steering = ((b"trusted.overlay.opaque", b"y"), (b"trusted.other", b"1"))
    upper.append((Entry(b"steered", Kind.DIRECTORY, 0o755, 0, 0, xattrs=steering), b""))
    with ExitStack() as stack:
        bottom, _ = stack.enter_context(mounted(lower, scratch / "lower"))
        top, _ = stack.enter_context(mounted(upper, scratch / "upper"))
        merged = scratch / "merged"
        merged.mkdir()
        mount(b"overlay", merged, b"overlay", b"lowerdir=%b:%b" % (os.fsencode(top), os.fsencode(bottom)))
        stack.callback(_libc.umount2, os.fsencode(merged), MNT_DETACH)
        found = {
            os.path.relpath(os.path.join(where, name), merged)
            for where, directories, files in os.walk(merged)
            for name in directories + files
        }
        assert found == {
            "keep", "keep/old", "opaque", "opaque/new", "both", "both/new", "mixed", "mixed/new", "mixed/stays",
            "replaced", "steered", "steered/old",
        }  # fmt: skip
        assert os.listxattr(top / "steered") == ["trusted.other"]
        assert (merged / "replaced").read_bytes() == b"replaced"
