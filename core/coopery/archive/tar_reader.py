"""Reads the headers of tar archives: POSIX ustar and pax, GNU's long names and base-256 numbers, v7.

Hostile input ends in an IntegrityError and within fixed limits of memory.
"""

from __future__ import annotations

import binascii
import functools
import os
import re
import zlib
from collections.abc import Iterable, Iterator

from coopery.errors import IntegrityError, StorageError
from coopery.tree.entry import Entry, Kind

BLOCK = 512
#: Bytes of extended headers that one member may have; xattrs alone may take 64 KiB each.
MAX_EXTENDED = 1 << 20
#: Bytes of a path or a link's target: the kernel takes no more (PATH_MAX, with its final NUL).
MAX_PATH = 4096
#: The largest images have some hundred thousand entries in a layer.
MAX_ENTRIES = 2_000_000
#: Bytes of names, link targets and xattrs in one archive.
MAX_METADATA = 512 << 20
#: Seconds either side of 1970; a time beyond is moved to the limit, as no file system could hold it.
MAX_TIME = 1 << 40

_MAX_ID = (1 << 32) - 2  # the last one means "leave as it is" to chown(2)
_MAX_SIZE = 1 << 62
_MAX_XATTR_NAME = 255
_MAX_XATTR_VALUE = 1 << 16
_ZEROS = bytes(BLOCK)
_XATTR = b"SCHILY.xattr."
_XATTR_BASE64 = b"LIBARCHIVE.xattr."
_TIME = re.compile(rb"(-?)(\d{1,20})(?:\.(\d*))?")
_KINDS = {
    ord("\0"): Kind.FILE,
    ord("0"): Kind.FILE,
    ord("7"): Kind.FILE,  # "contiguous", which no system makes
    **{ord(kind.value): kind for kind in Kind},
}
_EXTENSIONS = frozenset(b"xXgLK")  # X is Solaris's early x


class TarScanner:
    """Collects a tar's entries while it streams by, in pieces of any length. Contents are passed over.

    Entries are as `Entry` wants them: leading `/` and `./` and trailing slashes gone, likewise for targets of hard
    links; `offset` is where a file's contents start in the tar.
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._position = 0  # in the tar, of the first byte in `_held`, or that comes next
        self._skip = 0  # bytes of contents and padding to pass over from there
        self._held = bytearray()  # the start of a header that isn't complete
        self._wanted = BLOCK  # bytes to hold before it makes sense to look at them
        self._zeros = 0
        self._pax: dict[bytes, bytes] = {}
        self._globals: dict[bytes, bytes] = {}
        self._extended = 0  # bytes of extended headers since the last member, and of global ones
        self._extended_global = 0
        self._metadata = 0

    @property
    def skip(self) -> int:
        """How many of the bytes that come next are contents, which may be left out by calling `passed`."""
        return self._skip

    def passed(self, count: int) -> None:
        """`count` bytes, at most `skip`, weren't fed because they are only contents."""
        self._position += count
        self._skip -= count

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next piece of the tar; IntegrityError if it is malformed."""
        here, end = 0, len(data)
        while self._zeros < 2:
            if self._skip:
                step = min(self._skip, end - here)
                here += step
                self.passed(step)
            if here == end:
                return
            held = self._held
            if held or end - here < self._wanted:
                step = min(self._wanted - len(held), end - here)
                held += data[here : here + step]
                here += step
                if len(held) < self._wanted:
                    return
                block = bytes(held)
            else:
                step = self._wanted
                block = bytes(data[here : here + step])
                here += step
            if len(block) == BLOCK and block[156] in _EXTENSIONS and (more := self._extension(block)):
                self._wanted = BLOCK + more
                if not held:
                    held += block
                continue
            self._position += len(block)
            held.clear()
            self._wanted = BLOCK
            self._block(block[:BLOCK], block[BLOCK:])

    def finish(self) -> tuple[Entry, ...]:
        """All entries, in order, once the whole tar was fed; IntegrityError if it ends too early."""
        if self._skip or self._held or self._pax:
            raise IntegrityError(f"the tar archive ends too early, after {self._position + len(self._held)} bytes")
        return tuple(self._entries)

    def _extension(self, header: bytes) -> int:
        """How many bytes of data and padding follow an extended header's first block."""
        self._check(header)
        size = _number(header[124:136])
        # Kept apart from pax's own sum, which counts when the records are in: this one bounds what is held.
        if not 0 <= size <= MAX_EXTENDED:
            raise IntegrityError(f"the tar archive has an extended header of {size} bytes")
        return size + -size % BLOCK

    def _check(self, header: bytes) -> None:
        """Compare the header's checksum: the sum of its bytes, the eight of the checksum itself taken as spaces."""
        expected = _number(header[148:156]) - 8 * 32 + sum(header[148:156])
        if zlib.adler32(header) & 0xFFFF == (1 + expected) % 65521:  # the lower half of Adler-32 is 1 + the sum
            return
        signed = expected - sum(byte for byte in header[148:156] if byte > 127) * 2
        if sum(byte - 256 if byte > 127 else byte for byte in header) != signed:  # how some old tars did it
            raise IntegrityError(f"the tar archive has a header with a wrong checksum at byte {self._position}")

    def _block(self, header: bytes, body: bytes) -> None:
        if header == _ZEROS:
            self._zeros += 1
            return
        if self._zeros:
            raise IntegrityError(f"the tar archive goes on behind an empty block, at byte {self._position}")
        kind = header[156]
        if kind not in _EXTENSIONS:
            self._check(header)
            self._member(header)
            return
        data = body[: _number(header[124:136])]
        if kind == ord("g"):
            self._extended_global += len(data)
            for key, value in _records(data):
                _set(self._globals, key, value)
        else:
            self._extended += len(data)
            if kind == ord("L") or kind == ord("K"):
                self._pax[b"path" if kind == ord("L") else b"linkpath"] = data.partition(b"\0")[0]
            else:
                self._pax.update(_records(data))
        if max(self._extended, self._extended_global) > MAX_EXTENDED:
            raise IntegrityError(f"the tar archive has more than {MAX_EXTENDED} bytes of extended headers in a row")

    def _member(self, header: bytes) -> None:
        flag = header[156]
        kind = _KINDS.get(flag)
        pax = self._pax
        if pax or self._globals:
            pax = {**self._globals, **pax}
            self._pax, self._extended = {}, 0
        if flag == ord("S") or any(key.startswith(b"GNU.sparse.") for key in pax):
            raise IntegrityError(
                "the tar archive has a sparse file",
                hint="make the layer without sparse members (GNU tar: leave out --sparse)",
            )
        if kind is None:
            raise IntegrityError(f"the tar archive has a member of the unknown type {chr(flag)!r}")
        path = header[: header.find(b"\0", 0, 100)] if header[99] == 0 else header[:100].partition(b"\0")[0]
        if header[345] and header[257:263] == b"ustar\0":
            path = header[345:500].partition(b"\0")[0] + b"/" + path
        mode, uid, gid = _number(header[100:108]), _number(header[108:116]), _number(header[116:124])
        size, mtime_ns = _number(header[124:136]), _number(header[136:148]) * 10**9
        link = header[157:257].partition(b"\0")[0] if header[157] else b""
        xattrs: tuple[tuple[bytes, bytes], ...] = ()
        if pax:
            path = pax.get(b"path") or path
            link = pax.get(b"linkpath") or link
            size = _decimal(pax.get(b"size"), size)
            uid = _decimal(pax.get(b"uid"), uid)
            gid = _decimal(pax.get(b"gid"), gid)
            mtime_ns = _time(pax.get(b"mtime"), mtime_ns)
            xattrs = _xattrs(pax)
        if kind is Kind.FILE:
            if flag == 0 and path.endswith(b"/"):
                kind = Kind.DIRECTORY  # as v7 tar writes them
            if not 0 <= size <= _MAX_SIZE:
                raise IntegrityError(f"the tar archive has a member of {size} bytes")
        if not 0 <= uid <= _MAX_ID or not 0 <= gid <= _MAX_ID:
            raise IntegrityError(f"the tar archive has a member that belongs to {uid}:{gid}")
        if not -MAX_TIME * 10**9 <= mtime_ns <= MAX_TIME * 10**9:
            mtime_ns = MAX_TIME * 10**9 if mtime_ns > 0 else -MAX_TIME * 10**9
        device = (0, 0)
        if kind is Kind.FILE:
            self._skip = size + -size % BLOCK
            link = b""
        else:
            size = 0
            if kind is Kind.HARDLINK:
                link = _clean(link)
            elif kind is not Kind.SYMLINK:
                link = b""
                if kind is Kind.CHARACTER or kind is Kind.BLOCK:
                    device = (_number(header[329:337]), _number(header[337:345]))
                    if not 0 <= device[0] < 1 << 12 or not 0 <= device[1] < 1 << 20:
                        raise IntegrityError(f"the tar archive has a device with the numbers {device[0]}:{device[1]}")
            if not link and (kind is Kind.HARDLINK or kind is Kind.SYMLINK):
                raise IntegrityError("the tar archive has a link to nowhere")
            if len(link) >= MAX_PATH or b"\0" in link:
                raise IntegrityError("the tar archive has a malformed link target")
        offset = self._position if kind is Kind.FILE else -1
        entry = Entry(_clean(path), kind, mode & 0o7777, uid, gid, size, mtime_ns, link, device, xattrs, offset)
        if not entry.path and kind is not Kind.DIRECTORY:
            raise IntegrityError("the tar archive has a member without a name")
        self._entries.append(entry)
        self._metadata += len(entry.path) + len(link)
        for name, value in xattrs:
            self._metadata += len(name) + len(value)
        if len(self._entries) > MAX_ENTRIES or self._metadata > MAX_METADATA:
            raise IntegrityError(
                f"the tar archive has more than {MAX_ENTRIES} members, or names and attributes of more than "
                f"{MAX_METADATA >> 20} MiB"
            )


def read_entries(pieces: Iterable[bytes | memoryview]) -> tuple[Entry, ...]:
    """The entries of the tar that `pieces` make up; IntegrityError if it is malformed or ends too early."""
    scanner = TarScanner()
    for piece in pieces:
        scanner.feed(piece)
    return scanner.finish()


def scan_file(path: str) -> tuple[Entry, ...]:
    """The entries of the tar at `path`, whose contents aren't read.

    IntegrityError if it is malformed; StorageError if it can't be read.
    """
    scanner = TarScanner()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size, position = os.fstat(descriptor).st_size, 0
            while data := os.pread(descriptor, 1 << 15, position):
                scanner.feed(data)
                position += len(data)
                step = min(scanner.skip, size - position)
                if step > 0:
                    scanner.passed(step)
                    position += step
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return scanner.finish()


@functools.lru_cache(4096)
def _number(field: bytes) -> int:
    """A numeric field: octal digits, or big-endian two's complement if the first bit is set."""
    if field[0] & 0x80:
        bits = 8 * len(field)
        value = int.from_bytes(field, "big") & ~(1 << (bits - 1))
        return value - (1 << (bits - 1)) if field[0] & 0x40 else value
    text = field.strip(b" \0").partition(b"\0")[0].rstrip(b" ")
    try:
        return int(text, 8) if text.isdigit() else _no_number(text)
    except ValueError:
        return _no_number(text)


def _no_number(text: bytes) -> int:
    if text:
        raise IntegrityError(f"the tar archive has a header with {text!r} for a number")
    return 0


def _decimal(text: bytes | None, default: int) -> int:
    if not text:
        return default
    if not text.isdigit() or len(text) > 20:
        raise IntegrityError(f"the tar archive has a pax header with {text[:40]!r} for a number")
    return int(text)


def _time(text: bytes | None, default: int) -> int:
    """Nanoseconds since 1970 from decimal seconds, cut off towards zero."""
    if not text:
        return default
    match = _TIME.fullmatch(text)
    if not match:
        raise IntegrityError(f"the tar archive has a pax header with {text[:40]!r} for a time")
    sign, whole, fraction = match.groups(b"")
    value = int(whole) * 10**9 + int((fraction + b"000000000")[:9])
    return -value if sign else value


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a pax extended header (POSIX pax, "pax Header Block")."""
    here, end = 0, len(data)
    while here < end:
        space = data.find(b" ", here, here + 20)
        digits = data[here:space] if space > here else b""
        stop = here + int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : stop - 1].partition(b"=")
        if not here < space < stop <= end or data[stop - 1] != ord("\n") or not equals or not key:
            raise IntegrityError("the tar archive has a malformed pax header")
        yield key, value
        here = stop


def _set(values: dict[bytes, bytes], key: bytes, value: bytes) -> None:
    """Set a global value; an empty one takes the key away."""
    if value:
        values[key] = value
    else:
        values.pop(key, None)


def _xattrs(pax: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Extended attributes, sorted by name, in star's form and in libarchive's, which is base64 by URL-encoded name."""
    found: dict[bytes, bytes] = {}
    for key, value in pax.items():
        if key.startswith(_XATTR):
            found[key[len(_XATTR) :]] = value
        elif key.startswith(_XATTR_BASE64):
            from urllib.parse import unquote_to_bytes

            name = unquote_to_bytes(key[len(_XATTR_BASE64) :])
            try:
                decoded = binascii.a2b_base64(value + b"=" * (-len(value) % 4))
            except binascii.Error as error:
                raise IntegrityError("the tar archive has a malformed extended attribute") from error
            found.setdefault(name, decoded)
    for name, value in found.items():
        if not name or len(name) > _MAX_XATTR_NAME or b"\0" in name or len(value) > _MAX_XATTR_VALUE:
            raise IntegrityError(f"the tar archive has an extended attribute {name[:100]!r} of {len(value)} bytes")
    return tuple(sorted(found.items()))


def _clean(path: bytes) -> bytes:
    """The path without what changes nothing in it; IntegrityError if it climbs or is longer than any path."""
    if path.endswith(b"/"):
        path = path[:-1]
    if path[:1] in b"./" or b"//" in path or b"/." in path or path.endswith(b"/"):
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise IntegrityError(f"the tar archive has a member named {path[:200]!r}, which leads out of it")
        path = b"/".join(parts)
    if len(path) >= MAX_PATH or b"\0" in path:
        raise IntegrityError(f"the tar archive has a member with a malformed name, {path[:200]!r}")
    return path
