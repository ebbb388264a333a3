"""BuildRequest: everything a build is asked to do, as one frozen value. Adapters and the CLI both make these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from coopery.oci.platform import Platform, host
from coopery.ports import Network, Ulimit

OutputType = Literal["image", "registry", "oci", "docker", "tar", "local"]
Compression = Literal["gzip", "zstd", "uncompressed"]

#: Bytes of /dev/shm in a step, Docker's default.
DEFAULT_SHM_SIZE = 64 << 20

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where one form of the result goes: buildx's `--output`."""

    type: OutputType
    dest: str = ""  # a path; `-` is standard output
    names: tuple[str, ...] = ()  # empty: the request's tags
    push: bool = False
    tar: bool = True  # oci: an archive rather than a directory
    oci_media_types: bool = True
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    compression: Compression | None = None  # None: the request's
    compression_level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret by id, from a file or from an environment variable; its value is read only when a step needs it."""

    id: str
    file: str = ""
    env: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build."""

    context: str = "."  # a directory; `-` for a Dockerfile or a tar on standard input
    dockerfile: str = ""  # a path; `-` for standard input; empty: Dockerfile in the context
    tags: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    labels: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    platform: Platform = field(default_factory=host)
    build_contexts: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    secrets: tuple[Secret, ...] = ()
    no_cache: bool = False
    pull: bool = False
    add_hosts: tuple[tuple[str, str], ...] = ()
    network: Network = "default"
    shm_size: int = DEFAULT_SHM_SIZE  # bytes
    ulimits: tuple[Ulimit, ...] = ()
    isolation: str = "auto"
    scratch: str = "auto"  # auto, memory, disk or a directory
    compression: Compression = "gzip"
    compression_level: int | None = None
    iid_file: str = ""
    metadata_file: str = ""
    parallel: int = 5  # blobs on their way at once, each way
    check_push: bool = True  # whether we may push is asked before anything is built
    ignore_immutable_tags: bool = False  # a tag that may not be moved stays where it is, with a warning
