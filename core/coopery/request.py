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
#: The kinds of remote caches: buildx's names, and theirs for the one it doesn't have.
CacheType = Literal["registry", "local", "inline", "gha", "s3", "azblob", "gcs"]
#: Those of them that are object stores.
OBJECT_STORES: tuple[CacheType, ...] = ("s3", "azblob", "gcs")
#: Which steps a cache is to have: those of the target's own stages, or of all stages.
CacheMode = Literal["min", "max"]

#: What an annotation is attached to: images' manifests, the index, or what the index says of an image.
AnnotationLevel = Literal["manifest", "index", "manifest-descriptor"]

#: What steps may be allowed to: buildx's names. Here the network is the machine's anyway.
Entitlement = Literal["network.host", "security.insecure"]

#: Bytes of /dev/shm in a step, Docker's default.
DEFAULT_SHM_SIZE = 64 << 20

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """An annotation of what is built: buildx's `--annotation`."""

    key: str
    value: str
    level: AnnotationLevel = "manifest"
    platform: Platform | None = None  # of the one image that it is for; None: of all


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where one form of the result goes: buildx's `--output`."""

    type: OutputType
    dest: str = ""  # a path; `-` is standard output
    names: tuple[str, ...] = ()  # empty: the request's tags
    push: bool = False
    tar: bool = True  # oci: an archive rather than a directory
    oci_media_types: bool = True
    annotations: tuple[Annotation, ...] = ()  # besides the request's
    platform_split: bool | None = None  # tar, local: a directory for each platform; None: if there are several
    compression: Compression | None = None  # None: the request's
    compression_level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret by id, from a file or from an environment variable; its value is read only when a step needs it."""

    id: str
    file: str = ""
    env: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAgent:
    """An SSH agent by id: the user's own, by its socket, or one that has the keys in some files."""

    id: str
    socket: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPlace:
    """Where in an object store a cache is, as far as a specification says it; the environment says the rest."""

    bucket: str = ""  # azblob: the container
    region: str = ""
    endpoint: str = ""  # a URL; azblob: the account's
    path_style: bool = False  # s3: the bucket is in the URL's path rather than in its host
    account: str = ""  # azblob
    key_id: str = ""
    secret: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    prefix: str = ""
    blobs_prefix: str = "blobs"
    records_prefix: str = "manifests"
    names: tuple[str, ...] = ("coopery",)  # namespaces of records: all are written, and read in this order
    parallel: int = 4  # blobs that are uploaded at once
    attempts: int = 5  # at each request
    touch: int = 86_400  # seconds after which a blob that is used again is made to look new


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSpec:
    """A remote cache to read or to write: buildx's `--cache-from` and `--cache-to`."""

    type: CacheType
    ref: str = ""  # registry: a repository; a tag in it is a namespace of its own
    path: str = ""  # local: the directory
    scope: str = ""  # gha: builds of different scopes don't see each other's steps
    url: str = ""  # gha: of the service; empty: the environment's
    token: str = field(default="", repr=False)  # gha: for the service; empty: the environment's
    objects: ObjectPlace | None = None  # s3, azblob, gcs
    mode: CacheMode = "min"
    ttl: int = 0  # seconds; 0: for ever
    compression: Compression | None = None  # None: that of the image's layers
    compression_level: int | None = None
    ignore_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build."""

    context: str = "."  # a directory, a repository or a URL; `-` for a Dockerfile or a tar on standard input
    dockerfile: str = ""  # a path or a URL; `-` for standard input; empty: Dockerfile in the context
    tags: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    labels: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    annotations: tuple[Annotation, ...] = ()
    platforms: tuple[Platform, ...] = field(default_factory=lambda: (host(),))  # an image for each, in this order
    build_contexts: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    secrets: tuple[Secret, ...] = ()
    ssh: tuple[SshAgent, ...] = ()
    allow: tuple[Entitlement, ...] = ()
    no_cache: bool = False
    cache_from: tuple[CacheSpec, ...] = ()
    cache_to: tuple[CacheSpec, ...] = ()
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
