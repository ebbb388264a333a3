"""What a step does, as values. Two equal operations on equal inputs have equal keys; see keys.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from coopery.errors import Location
from coopery.oci.digest import Digest
from coopery.ports import Network

if TYPE_CHECKING:
    from coopery.mounts.spec import MountSpec


@dataclass(frozen=True, slots=True)
class SourceRef:
    """Where a COPY or a bind mount takes files from."""

    kind: Literal["context", "stage", "image", "inline", "url"]
    name: str = ""  # of the context ("" is the main one), the image reference or the URL
    stage: int = -1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the request, not the Dockerfile, says of all steps, as far as it can change what they give."""

    network: str = "default"
    hosts: tuple[str, ...] = ()  # names of --add-host
    ulimits: tuple[str, ...] = ()  # name=soft:hard
    shm_size: int = 0  # bytes
    epoch: str = ""  # SOURCE_DATE_EPOCH: the time of directories that have to be made


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file whose content stands in the Dockerfile: a here-document of COPY or ADD."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class RunOp:
    """Run a command in the root file system."""

    argv: tuple[str, ...]
    env: tuple[str, ...]  # NAME=value, sorted out of ENV and ARG
    proxy_env: tuple[str, ...]  # proxy settings: passed on, but not part of the key
    cwd: str
    user: str  # as in the config: names are looked up when it runs
    network: Network
    mounts: tuple[MountSpec, ...] = ()
    script: InlineFile | None = None  # a here-document with a `#!` line: `argv` names where it is mounted


@dataclass(frozen=True, slots=True)
class CopyOp:
    """Put files of a source into the root file system."""

    source: SourceRef
    patterns: tuple[str, ...]
    destination: str  # absolute; a trailing slash means a directory
    owner: str  # --chown as expanded, or empty
    mode: int | None
    unpack: bool  # ADD: archives among the sources are unpacked
    inline: tuple[InlineFile, ...] = ()

    @property
    def sought(self) -> list[bytes]:
        """What is looked for in the source, as paths of its tree."""
        if self.source.kind == "url":
            return [b"*"]
        names = [file.name for file in self.inline] or self.patterns
        return [name.encode("utf-8", "surrogateescape") for name in names]


@dataclass(frozen=True, slots=True)
class MakeDirectoryOp:
    """WORKDIR: the directory exists afterwards, owned by `user` if it had to be made."""

    path: str
    user: str


Op = RunOp | CopyOp | MakeDirectoryOp


@dataclass(frozen=True, slots=True)
class Vertex:
    """An operation on the file system that the steps before it made.

    `key` is the cache key; it doesn't depend on `location` or `title`.
    """

    op: Op
    key: Digest
    stage: int
    title: str  # as the log shows it: `[build 2/4] RUN make`
    location: Location
