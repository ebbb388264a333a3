"""What a conformance case is: a Dockerfile and its context."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: When every file of a context was last changed: 2001-09-09. Times before `RECENT` come from a context or an archive.
PAST, RECENT = 1_000_000_000, 1_577_836_800

Content = str | bytes | Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One build. `@base`, `@tools` and the like in the Dockerfile stand for the test images of those names."""

    name: str
    dockerfile: str
    files: Mapping[str, Content] = field(default_factory=dict)  # a callable makes what lies at its path
    args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""

    def write(self, context: Path) -> None:
        """Make the context, without the Dockerfile, every time in it PAST."""
        context.mkdir(parents=True)
        for name, content in self.files.items():
            path = context / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            elif name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        for directory, names, files in os.walk(os.fsencode(context), topdown=False):
            for name in (*names, *files):
                os.utime(os.path.join(directory, name), (PAST, PAST), follow_symlinks=False)


def link(target: str) -> Callable[[Path], None]:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


def hard(target: str) -> Callable[[Path], None]:
    """A further name of a file that was listed before, given from the link's own directory."""
    return lambda path: path.hardlink_to(path.parent / target)


def with_mode(mode: int, data: bytes = b"data") -> Callable[[Path], None]:
    """A file, or with a name that ends in a slash a directory, of this mode."""

    def make(path: Path) -> None:
        path.write_bytes(data)
        path.chmod(mode)

    return make


def directory(mode: int = 0o755) -> Callable[[Path], None]:
    """A directory of this mode."""

    def make(path: Path) -> None:
        path.mkdir(exist_ok=True)
        path.chmod(mode)

    return make
