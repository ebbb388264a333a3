"""Lists of tree entries as files: one JSON array, byte strings carried as Latin-1 so that nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from coopery.tree.entry import Entry, Kind

_KINDS = {kind.value: kind for kind in Kind}
_FORMAT = 1


def save_entries(entries: Iterable[Entry], write: Callable[[bytes], object]) -> None:
    """Write `entries` in the form that `load_entries` reads."""
    rows = [
        [
            entry.path.decode("latin-1"),
            entry.kind.value,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.size,
            entry.mtime_ns,
            entry.link.decode("latin-1"),
            entry.device,
            [[key.decode("latin-1"), value.decode("latin-1")] for key, value in entry.xattrs],
            entry.offset,
        ]
        for entry in entries
    ]
    write(json.dumps([_FORMAT, rows], separators=(",", ":"), ensure_ascii=False).encode())


def load_entries(path: str) -> tuple[Entry, ...]:
    """The entries in the file at `path`. OSError if it can't be read, ValueError if it isn't such a list."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read())
    except RecursionError as error:
        raise ValueError("not a list of entries") from error
    if not isinstance(value, list) or len(value) != 2 or value[0] != _FORMAT:
        raise ValueError("not a list of entries of this version")
    try:
        return tuple(
            Entry(
                name.encode("latin-1"),
                _KINDS[kind],
                mode,
                uid,
                gid,
                size,
                mtime_ns,
                link.encode("latin-1"),
                (device[0], device[1]),
                tuple((key.encode("latin-1"), text.encode("latin-1")) for key, text in xattrs) if xattrs else (),
                offset,
            )
            for name, kind, mode, uid, gid, size, mtime_ns, link, device, xattrs, offset in value[1]
        )
    except (KeyError, TypeError, AttributeError, IndexError, UnicodeError) as error:
        raise ValueError("not a list of entries") from error
