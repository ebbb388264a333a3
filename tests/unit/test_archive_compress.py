"""Layers are compressed to the same bytes everywhere, and decompressed whatever they claim to be."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zstandard

from coopery.archive.compress import Codec, compress_file
from coopery.archive.decompress import decompress
from coopery.errors import IntegrityError, NetworkError, StorageError, UsageError
from coopery.oci.digest import Digest

MIB = 1 << 20
CODECS = [Codec("gzip"), Codec("gzip", 6), Codec("zstd"), Codec("zstd", 1), Codec("uncompressed")]


def compressed(source: Path, codec: Codec, pool: ThreadPoolExecutor | None = None) -> bytes:
    out = bytearray()
    digest, size = compress_file(str(source), out.extend, codec, pool)
    assert (digest, size) == (Digest.of(out), len(out))
    return bytes(out)


def unpacked(data: bytes, media_type: str = "", step: int = MIB, max_output: int | None = None) -> bytes:
    chunks = (data[at : at + step] for at in range(0, len(data), step))
    return b"".join(decompress(chunks, media_type, max_output=max_output))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine MiB and a bit: several blocks of either codec, some of them dull and some noise."""
    random = Random(1)
    words = [random.randbytes(random.randrange(1, 12)) for _ in range(500)]
    path = tmp_path_factory.mktemp("compress") / "layer.tar"
    with path.open("wb") as out:
        for _ in range(3):
            out.write(random.randbytes(MIB))
            out.write(b"".join(random.choices(words, k=300_000))[:MIB])
            out.write(bytes(MIB))
        out.write(b"the end")
    return path


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_threads_do_not_show_in_the_output(sample: Path, codec: Codec) -> None:
    alone = compressed(sample, codec)
    assert unpacked(alone, codec.media_type) == sample.read_bytes()
    for threads in 1, 3:
        with ThreadPoolExecutor(threads) as pool:
            assert compressed(sample, codec, pool) == alone


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 4 * MIB, 4 * MIB + 1])
def test_edges_of_blocks(tmp_path: Path, codec: Codec, size: int) -> None:
    (tmp_path / "tar").write_bytes(b"x" * size)
    data = compressed(tmp_path / "tar", codec)
    assert bool(data) == bool(size or codec.name != "uncompressed")
    assert unpacked(data, codec.media_type) == b"x" * size


@pytest.mark.parametrize(("tool", "codec"), [("gzip", Codec("gzip")), ("zstd", Codec("zstd"))])
@pytest.mark.parametrize("empty", [False, True])
def test_the_tools_of_old_accept_it(sample: Path, tmp_path: Path, tool: str, codec: Codec, empty: bool) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    source = sample
    if empty:
        source = tmp_path / "empty"
        source.write_bytes(b"")
    data = compressed(source, codec)
    subprocess.run([tool, "-t"], input=data, check=True, capture_output=True)
    assert subprocess.run([tool, "-dc"], input=data, check=True, capture_output=True).stdout == source.read_bytes()


def test_gzip_headers_hold_neither_time_nor_name_nor_system(sample: Path) -> None:
    assert compressed(sample, Codec("gzip"))[:10] == bytes.fromhex("1f8b08 00 00000000 04 ff")


def test_codecs_know_their_levels_and_types() -> None:
    assert str(Codec("gzip")) == str(Codec("gzip", 1)) == "gzip-1"
    assert str(Codec("zstd")) == "zstd-3"
    assert str(Codec("uncompressed")) == "uncompressed"
    assert Codec("gzip").media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert Codec("zstd").media_type == "application/vnd.oci.image.layer.v1.tar+zstd"
    assert Codec("uncompressed").media_type == "application/vnd.oci.image.layer.v1.tar"


@pytest.mark.parametrize(
    ("name", "level", "hint"),
    [
        ("gzip", 13, "0 to 12"),
        ("gzip", -1, "0 to 12"),
        ("zstd", 0, "1 to 22"),
        ("zstd", 23, "1 to 22"),
        ("uncompressed", 1, "no level"),
        ("estargz", None, "gzip, zstd or uncompressed"),
    ],
)
def test_unknown_levels_and_codecs_are_refused(name: str, level: int | None, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Codec(name, level)  # type: ignore[arg-type]
    assert hint in caught.value.hint


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        compress_file(str(tmp_path / "none"), lambda data: None, Codec())


def test_an_error_of_the_writer_ends_the_work(sample: Path) -> None:
    submitted: list[Future[object]] = []

    class Watched(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            submitted.append(super().submit(*args, **kwargs))
            return submitted[-1]

    def full(data: object) -> None:
        raise OSError(28, "No space left on device")

    with Watched(2) as pool:
        try:
            compress_file(str(sample), full, Codec("gzip", 9), pool)
        except OSError as error:
            assert error.errno == 28
            assert all(future.done() for future in submitted)
    assert 1 < len(submitted) < 9


@pytest.mark.parametrize("media_type", ["", Codec("gzip").media_type, Codec("zstd").media_type, "text/plain"])
def test_first_bytes_count_more_than_the_media_type(media_type: str) -> None:
    for data in b"plain tar", gzip.compress(b"plain tar"), zstandard.compress(b"plain tar"):
        assert unpacked(data, media_type) == b"plain tar"


@pytest.mark.parametrize("make", [bz2.compress, lzma.compress])
def test_other_compressions_are_named(make: Callable[[bytes], bytes]) -> None:
    with pytest.raises(IntegrityError, match=r"bzip2|xz"):
        unpacked(make(b"a tar"))


def test_an_uncompressed_tar_may_begin_with_any_name() -> None:
    assert unpacked(b"BZh9.txt" + bytes(504)) == b"BZh9.txt" + bytes(504)


def test_an_empty_blob_is_an_empty_tar_only_if_uncompressed() -> None:
    assert unpacked(b"") == unpacked(b"", Codec("uncompressed").media_type) == b""
    for name in "gzip", "zstd":
        with pytest.raises(IntegrityError, match="empty"):
            unpacked(b"", Codec(name).media_type)


def test_zeros_after_gzip_members_are_padding_and_other_bytes_are_not() -> None:
    data = gzip.compress(b"one ") + gzip.compress(b"two")
    for step in 1, 7, MIB:
        assert unpacked(data + bytes(1000), step=step) == b"one two"
        with pytest.raises(IntegrityError, match="corrupt"):
            unpacked(data + b"more than a header", step=step)


def test_skippable_zstd_frames_are_skipped() -> None:
    skippable = b"\x53\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    data = skippable + zstandard.compress(b"one ") + skippable + zstandard.compress(b"two") + skippable
    for step in 1, 7, MIB:
        assert unpacked(data, step=step) == b"one two"
    with pytest.raises(IntegrityError, match="ends early"):
        unpacked(data[:-1])


@pytest.mark.parametrize("make", [gzip.compress, zstandard.compress])
def test_bombs_are_unpacked_piece_by_piece_and_stopped(make: Callable[[bytes], bytes]) -> None:
    bomb = make(bytes(64 * MIB)) * 4
    tracemalloc.start()
    try:
        total = 0
        for piece in decompress([bomb]):
            assert len(piece) <= MIB
            total += len(piece)
        assert total == 256 * MIB
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    with pytest.raises(IntegrityError, match=f"more than {MIB} bytes"):
        unpacked(bomb, max_output=MIB)
    assert unpacked(make(bytes(MIB)), max_output=MIB) == bytes(MIB)


def test_windows_beyond_128_mib_are_refused() -> None:
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([(30 - 10) << 3]) + b"\x01\0\0"  # a window of 1 GiB, an empty last block
    with pytest.raises(IntegrityError, match="corrupt"):
        unpacked(frame)


def test_errors_of_the_download_pass_through() -> None:
    def chunks(data: bytes) -> Iterator[bytes]:
        yield data
        raise NetworkError("the connection was lost")

    for data in gzip.compress(b"a" * 1000)[:-5], zstandard.compress(b"a" * 1000)[:-1], b"plain":
        with pytest.raises(NetworkError):
            list(decompress(chunks(data)))


def test_large_output_is_hashed_as_it_goes(sample: Path) -> None:
    hashed = hashlib.sha256()
    for piece in decompress([compressed(sample, Codec("zstd"))]):
        hashed.update(piece)
    assert hashed.digest() == hashlib.sha256(sample.read_bytes()).digest()
