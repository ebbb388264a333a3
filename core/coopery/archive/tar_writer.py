"""Writes layer tars: ustar headers, with pax records only for what ustar can't say.

Equal input gives equal bytes, whatever the machine or the Python: user and group names stay empty, times are cut to
whole seconds as containerd's differ does (archive/tar.go), and the archive ends after its two zero blocks instead of
being filled up to a record of 10 KiB. Format: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import BinaryIO
from zlib import adler32

from coopery.errors import IntegrityError, StorageError
from coopery.ports import Change
from coopery.tree.entry import Entry, Kind

BLOCK = 512
CHUNK = 1 << 20  # what one call of `write` gets, except the last
PAX_XATTR = b"SCHILY.xattr."  # star's keyword, which GNU tar, Go and libarchive share

_NAME, _PREFIX = 100, 155  # bytes that the header has room for
_MAX_ID = 0o7777777
_MAX_LONG = 0o77777777777  # size and mtime
_SECOND = 10**9
_ZEROS = bytes(BLOCK)
_MAGIC = b"ustar\x0000" + bytes(64)  # with both names empty
_NO_DEVICE = _MAGIC + b"%07o\0%07o\0" % (0, 0)
_NON_ASCII = re.compile(rb"[^\x00-\x7f]")


class TarWriter:
    """Writes entries, with their contents, as a stream of whole chunks.

    `write` gets a view of a buffer that is used again afterwards: it must be done with it, or have copied it, when it
    returns.
    """

    def __init__(self, write: Callable[[memoryview], object]) -> None:
        self._write = write
        self._buffer = memoryview(bytearray(CHUNK))
        self._used = 0  # bytes of the buffer
        self._written = 0  # bytes handed to `write`

    def add(self, entry: Entry, contents: BinaryIO | int | None = None) -> Entry:
        """Write one entry; `contents` is a file, or a descriptor, that is read from where it stands.

        Returns the entry as a reader of the tar will find it: `offset` is where its contents start (files only), and
        the mtime has no fraction. Exactly `entry.size` bytes are taken from a file that has grown meanwhile;
        IntegrityError if it ends earlier or if the entry can't be told in a tar, StorageError if reading fails.
        """
        path, kind, mode, uid, gid, size, mtime_ns, link, device, xattrs, _ = entry
        if kind is not Kind.FILE:
            size = 0
        mtime = mtime_ns // _SECOND
        self._header(path, kind, mode, uid, gid, size, mtime, link, device, xattrs)
        offset = -1
        if kind is Kind.FILE:
            offset = self._written + self._used
            if size:
                if contents is None:
                    raise IntegrityError(f"no contents for {_shown(path)}, a file of {size} bytes")
                self._copy(path, size, contents)
        return Entry(path, kind, mode, uid, gid, size, mtime * _SECOND, link, device, xattrs, offset)

    def close(self) -> None:
        """Write the end of the archive. The writer can't be used afterwards; what lies under it stays open."""
        self._put(_ZEROS + _ZEROS)
        if self._used:
            self._write(self._buffer[: self._used])
        self._written += self._used
        self._used = 0

    def _header(
        self,
        path: bytes,
        kind: Kind,
        mode: int,
        uid: int,
        gid: int,
        size: int,
        mtime: int,
        link: bytes,
        device: tuple[int, int],
        xattrs: tuple[tuple[bytes, bytes], ...],
    ) -> None:
        if b"\0" in path or b"\0" in link:
            raise IntegrityError(f"{_shown(path)}: a zero byte in a name or link target")
        records: dict[bytes, bytes] = {}
        name, prefix = path, b""
        if kind is Kind.DIRECTORY:
            name = path + b"/" if path else b"./"
        if len(name) > _NAME or not name.isascii():
            name, prefix = _split(name)
            if not name:
                records[b"path"] = path + b"/" if kind is Kind.DIRECTORY else path
                # Only for readers that don't know pax; GNU tar takes a trailing slash here for a directory's.
                name = _NON_ASCII.sub(b"_", path)[:_NAME].rstrip(b"/")
        if link and (len(link) > _NAME or not link.isascii()):
            records[b"linkpath"] = link
            link = _NON_ASCII.sub(b"_", link)[:_NAME]
        if not 0 <= uid <= _MAX_ID:
            records[b"uid"] = b"%d" % uid
            uid = 0
        if not 0 <= gid <= _MAX_ID:
            records[b"gid"] = b"%d" % gid
            gid = 0
        if size > _MAX_LONG:
            records[b"size"] = b"%d" % size
            size = 0
        if not 0 <= mtime <= _MAX_LONG:
            records[b"mtime"] = b"%d" % mtime
            mtime = 0
        for key, value in xattrs:
            if b"=" in key:
                raise IntegrityError(
                    f"{_shown(path)} has the extended attribute {_shown(key)}, whose name a tar can't carry",
                    hint="remove it with setfattr -x",
                )
            records[PAX_XATTR + key] = value
        if records:
            body = b"".join(_record(key, records[key]) for key in sorted(records))
            self._put(_block(b"PaxHeaders/x", b"x", 0o644, 0, 0, len(body), 0, b"", _NO_DEVICE, b""))
            self._put(body)
            self._pad()
        tail = _NO_DEVICE
        if kind is Kind.CHARACTER or kind is Kind.BLOCK:
            if not (0 <= device[0] <= _MAX_ID and 0 <= device[1] <= _MAX_ID):
                raise IntegrityError(f"{_shown(path)}: device number {device[0]}:{device[1]} is out of range")
            tail = _MAGIC + b"%07o\0%07o\0" % device
        flag = kind.encode()
        self._put(_block(name, flag, mode & 0o7777, uid, gid, size, mtime, link, tail, prefix))

    def _put(self, data: bytes) -> None:
        end = self._used + len(data)
        if end < CHUNK:
            self._buffer[self._used : end] = data
            self._used = end
            return
        rest = memoryview(data)
        while rest:
            taken = min(len(rest), CHUNK - self._used)
            self._buffer[self._used : self._used + taken] = rest[:taken]
            self._advance(taken)
            rest = rest[taken:]

    def _advance(self, count: int) -> None:
        self._used += count
        if self._used == CHUNK:
            self._write(self._buffer)
            self._written += CHUNK
            self._used = 0

    def _pad(self) -> None:
        over = self._used % BLOCK  # CHUNK is a multiple of BLOCK
        if over:
            self._put(_ZEROS[over:])

    def _copy(self, path: bytes, size: int, contents: BinaryIO | int) -> None:
        left = size
        while left:
            room = self._buffer[self._used : self._used + left]  # slicing stops at the buffer's end
            try:
                count = os.readv(contents, (room,)) if isinstance(contents, int) else _read_into(contents, room)
            except OSError as error:
                raise StorageError(f"cannot read {_shown(path)}: {error.strerror or error}") from error
            if not count:
                raise IntegrityError(
                    f"{_shown(path)} changed while it was being read: it ended after {size - left} of {size} bytes",
                    hint="something else writes to this file; build again when it has finished",
                )
            left -= count
            self._advance(count)
        self._pad()


def write_layer(change: Change, write: Callable[[memoryview], object]) -> tuple[Entry, ...]:
    """Archive `change` as a whole layer; returns its entries as they are in the tar, in that order.

    `write` as in TarWriter. Contents are opened one at a time and closed again. Errors as of `TarWriter.add`, and
    StorageError for what can't be opened.
    """
    writer = TarWriter(write)
    add = writer.add
    written: list[Entry] = []
    for entry, opener in change:
        if opener is None or not entry.size:
            written.append(add(entry))
            continue
        try:
            contents = opener()
        except OSError as error:
            raise StorageError(f"cannot read {_shown(entry.path)}: {error.strerror or error}") from error
        try:
            written.append(add(entry, contents))
        finally:
            contents.close()
    writer.close()
    return tuple(written)


def _read_into(contents: BinaryIO, room: memoryview) -> int:
    readinto = getattr(contents, "readinto", None)
    if readinto is not None:
        return readinto(room) or 0
    data = contents.read(len(room))
    room[: len(data)] = data
    return len(data)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Name and prefix whose sum, with a slash between, is `name`; two empty ones if ustar can't hold it.

    Cuts at the same slash as Go's archive/tar (splitUSTARPath).
    """
    at = name.rfind(b"/", 0, min(_PREFIX + 1, len(name) - 1))
    if at <= 0 or len(name) - at - 1 > _NAME or not name.isascii():
        return b"", b""
    return name[at + 1 :], name[:at]


def _record(key: bytes, value: bytes) -> bytes:
    """A pax record; the length that it begins with counts its own digits."""
    rest = len(key) + len(value) + 3  # space, equals sign, newline
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _block(
    name: bytes,
    flag: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    link: bytes,
    tail: bytes,
    prefix: bytes,
) -> bytes:
    before = name.ljust(_NAME, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, uid, gid, size, mtime)
    after = flag + link.ljust(_NAME, b"\0") + tail + prefix.ljust(167, b"\0")
    # Adler-32's low half is one more than the sum of the bytes, modulo 65521, which 500 ASCII bytes don't reach.
    # The field itself counts as eight spaces.
    checksum = (adler32(after, adler32(before)) & 0xFFFF) - 1 + 8 * 32
    return b"%b%06o\0 %b" % (before, checksum, after)


def _shown(name: bytes) -> str:
    return "/" + os.fsdecode(name) if name else "the root directory"
