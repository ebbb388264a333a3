"""Compressing layers: which codec, and a tar file's way through it.

The output depends on the input, the codec, its level and its library's version alone: the tar is cut into blocks of a
fixed size and each is compressed by itself, as a gzip member (RFC 1952, section 2.2) or a zstd frame (RFC 8878,
section 3), so neither the number of threads nor the kind of processor shows. Another codec is never used instead.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from coopery.archive.hashing import HashingWriter
from coopery.errors import IntegrityError, StorageError, UsageError
from coopery.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from coopery.oci.digest import Digest

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future  # brings logging along

Buffer = bytes | bytearray | memoryview

_MEDIA_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD, "uncompressed": OCI_LAYER}
_LEVELS = {"gzip": range(13), "zstd": range(1, 23), "uncompressed": range(0)}  # libdeflate's, libzstd's
_DEFAULT_LEVEL = {"gzip": 1, "zstd": 3}
_BLOCK = {"gzip": 1 << 20, "zstd": 4 << 20, "uncompressed": 1 << 20}
_IN_FLIGHT = 4  # blocks being compressed or waiting to be written; bounds the memory


@dataclass(frozen=True, slots=True)
class Codec:
    """A way of compressing layers. UsageError if it has no such level; None is the codec's default level."""

    name: Literal["gzip", "zstd", "uncompressed"] = "gzip"
    level: int | None = None

    def __post_init__(self) -> None:
        levels = _LEVELS.get(self.name)
        if levels is None:
            raise UsageError(f"unknown compression {self.name!r}", hint="use gzip, zstd or uncompressed")
        if self.level is not None and self.level not in levels:
            raise UsageError(
                f"compression {self.name} has no level {self.level}",
                hint=f"its levels are {levels[0]} to {levels[-1]}" if levels else "it takes no level",
            )

    def __str__(self) -> str:
        """The name with the level in force, such as `gzip-1`; equal for codecs that give equal bytes."""
        level = _DEFAULT_LEVEL.get(self.name) if self.level is None else self.level
        return self.name if level is None else f"{self.name}-{level}"

    @property
    def media_type(self) -> str:
        """The OCI media type of a layer compressed so."""
        return _MEDIA_TYPES[self.name]


def compress_file(
    tar: str, write: Callable[[Buffer], object], codec: Codec, pool: Executor | None = None
) -> tuple[Digest, int]:
    """Compress the file at path `tar`; returns the digest and the size in bytes of what went to `write`, in order.

    With a `pool`, blocks are compressed in its threads and `write` is called in the caller's. StorageError if the file
    can't be read, IntegrityError if it shrinks meanwhile.
    """
    out = HashingWriter(write)
    try:
        file = os.open(tar, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"cannot read {tar}: {error.strerror}") from error
    try:
        # Closed at once if `write` fails: no task may read from the descriptor after it is closed.
        with closing(_in_order(_tasks(tar, file, codec), pool)) as pieces:
            for piece in pieces:
                out.write(piece)
    finally:
        os.close(file)
    return out.digest, out.size


def _tasks(tar: str, file: int, codec: Codec) -> Iterator[Callable[[], Buffer]]:
    """One task a block: read it and compress it. An empty file has one empty block, so that the output is valid."""
    compress = _compressor(codec)
    block, end = _BLOCK[codec.name], os.fstat(file).st_size

    def task(start: int, length: int) -> Callable[[], Buffer]:
        def run() -> Buffer:
            try:
                data = os.pread(file, length, start)
            except OSError as error:
                raise StorageError(f"cannot read {tar}: {error.strerror}") from error
            if len(data) != length:
                raise IntegrityError(f"{tar} changed while it was being compressed")
            return compress(data)

        return run

    for start in range(0, max(end, 1), block):
        yield task(start, min(block, end - start))


def _compressor(codec: Codec) -> Callable[[bytes], Buffer]:
    level = _DEFAULT_LEVEL.get(codec.name, 0) if codec.level is None else codec.level
    if codec.name == "gzip":
        import deflate

        def gzip(data: bytes) -> Buffer:
            # libdeflate's header has no name and no time; its operating system is 255, unknown.
            member: Buffer = deflate.gzip_compress(data, level)
            return member

        return gzip
    if codec.name == "zstd":
        import zstandard

        def zstd(data: bytes) -> Buffer:
            # A compressor must not be used by two threads at once, and making one costs little beside a block.
            compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True, threads=0)
            return compressor.compress(data)

        return zstd
    return lambda data: data


def _in_order(tasks: Iterator[Callable[[], Buffer]], pool: Executor | None) -> Generator[Buffer, None, None]:
    """The results of `tasks`, a few of them running at a time. No task is left running when this ends or fails."""
    if pool is None:
        for task in tasks:
            yield task()
        return
    running: deque[Future[Buffer]] = deque()
    try:
        for task in tasks:
            running.append(pool.submit(task))
            if len(running) == _IN_FLIGHT:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            if not future.cancel():
                future.exception()  # waits: the file is closed next
