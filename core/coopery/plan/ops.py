"""What a step does, as values. Two equal operations on equal inputs have equal keys; see keys.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from coopery.dockerfile.git_url import GitUrl
from coopery.errors import Location
from coopery.oci.digest import Digest
from coopery.ports import Network

if TYPE_CHECKING:
    from coopery.mounts.spec import MountSpec


@dataclass(frozen=True, slots=True)
class SourceRef:
    """Where a COPY or a bind mount takes files from."""

    kind: Literal["context", "stage", "image", "inline", "url", "git"]
    name: str = ""  # of the context ("" is the main one), the image reference or the URL
    stage: int = -1
    git: GitUrl | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the request, not the Dockerfile, says of all steps, as far as it can change what they give."""

    network: str = "default"
    hosts: tuple[str, ...] = ()  # names of --add-host
    ulimits: tuple[str, ...] = ()  # name=soft:hard
    shm_size: int = 0  # bytes
    epoch: str = ""  # SOURCE_DATE_EPOCH: the time of directories that have to be made
    hostname: str = ""  # BUILDKIT_SANDBOX_HOSTNAME; empty: the usual one
    cache_namespace: str = ""  # BUILDKIT_CACHE_MOUNT_NS
    allowed: tuple[str, ...] = ()  # --allow


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file whose content stands in the Dockerfile: a here-document of COPY or ADD."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class StepMount:
    """A mount of a RUN, with the files that it takes from elsewhere."""

    spec: MountSpec
    source: SourceRef | None = None
    content: Digest | None = None  # the key of the files at the mount's path in the source


@dataclass(frozen=True, slots=True)
class RunOp:
    """Run a command in the root file system."""

    argv: tuple[str, ...]
    env: tuple[str, ...]  # NAME=value, sorted out of ENV and ARG
    proxy_env: tuple[str, ...]  # proxy settings: passed on, but not part of the key
    cwd: str
    user: str  # as in the config: names are looked up when it runs
    network: Network
    mounts: tuple[StepMount, ...] = ()
    script: InlineFile | None = None  # a here-document with a `#!` line: `argv` names where it is mounted
    insecure: bool = False  # --security=insecure
    hostname: str = ""  # empty: the usual one


@dataclass(frozen=True, slots=True)
class CopyOp:
    """Put files of a source into the root file system."""

    source: SourceRef
    patterns: tuple[str, ...]
    destination: str  # absolute; a trailing slash means a directory
    owner: str  # --chown as expanded, or empty
    mode: int | str | None  # --chmod: the bits, or what is to be done to those that there are
    unpack: bool  # ADD: archives among the sources are unpacked
    inline: tuple[InlineFile, ...] = ()
    link: bool = False  # the layer owes nothing to the steps before it
    parents: bool = False  # patterns are looked for below a directory, and keep their paths from there
    exclude: tuple[str, ...] = ()
    checksum: str = ""  # of what a URL has to give
    also: tuple[CopyOp, ...] = ()  # what the same instruction takes from elsewhere after that

    @property
    def parts(self) -> tuple[CopyOp, ...]:
        """The operation as a row of operations that have one source each."""
        return (self, *self.also)

    @property
    def sought(self) -> list[bytes]:
        """What is looked for in the source, as paths of its tree."""
        if self.source.kind == "url":
            return [b"*"]
        if self.source.kind == "git":
            return [b"/"]
        names = [file.name for file in self.inline] or self.patterns
        return [name.encode("utf-8", "surrogateescape") for name in names]


@dataclass(frozen=True, slots=True)
class MakeDirectoryOp:
    """WORKDIR: the directory exists afterwards, owned by `user` if it had to be made."""

    path: str
    user: str


Op = RunOp | CopyOp | MakeDirectoryOp


def sources_of(op: Op) -> tuple[SourceRef, ...]:
    """Where an operation takes files from, other than from the steps before it."""
    if isinstance(op, CopyOp):
        return tuple(part.source for part in op.parts)
    return tuple(mount.source for mount in op.mounts if mount.source) if isinstance(op, RunOp) else ()


def with_sources(op: Op, moved: Callable[[SourceRef], SourceRef]) -> Op:
    """The operation with each of its sources as `moved` gives it."""
    if isinstance(op, CopyOp):
        also = tuple(replace(part, source=moved(part.source)) for part in op.also)
        return replace(op, source=moved(op.source), also=also)
    if isinstance(op, RunOp) and op.mounts:
        mounts = (replace(mount, source=mount.source and moved(mount.source)) for mount in op.mounts)
        return replace(op, mounts=tuple(mounts))
    return op


@dataclass(frozen=True, slots=True)
class Vertex:
    """An operation on the file system that the steps before it made.

    `key` is the cache key; it doesn't depend on `location` or `title`. `link` is that of the step's own layer alone, if
    it owes nothing to the steps before it.
    """

    op: Op
    key: Digest
    stage: int
    title: str  # as the log shows it: `[build 2/4] RUN make`
    location: Location
    link: Digest | None = None
