"""What the layers of the engine ask of each other: protocols, and the values that cross them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol

from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference
from coopery.tree.entry import Entry

# ------------------------------------------------------------------------------------------------ progress


class StepProgress(Protocol):
    """One numbered step of a build's log. Safe to call from any thread."""

    def start(self) -> None:
        """The step begins to run."""

    def log(self, data: bytes, stream: Literal["stdout", "stderr"] = "stdout") -> None:
        """Raw output of the step's process, in pieces of any length."""

    def status(self, text: str) -> None:
        """A line about what goes on inside the step, such as a layer being fetched."""

    def done(self) -> None:
        """The step ended well."""

    def cached(self) -> None:
        """The step needs no running: its result was found."""

    def failed(self, message: str) -> None:
        """The step ended badly."""

    def canceled(self) -> None:
        """The step was stopped because something else failed or the user asked."""


class Progress(Protocol):
    """Where the engine says what it does. Safe to call from any thread."""

    def step(self, name: str) -> StepProgress:
        """A new step; it gets its number, and appears, when something happens to it."""

    def warn(self, text: str) -> None:
        """Something the user should know that doesn't stop the build."""


# ------------------------------------------------------------------------------------------------ registries


@dataclass(frozen=True, slots=True)
class Credential:
    """Who we are to a registry. Its repr never shows the secret parts."""

    username: str = ""
    password: str = ""
    identity_token: str = ""  # an OAuth2 refresh token, as in config.json
    registry_token: str = ""  # a bearer token to send as it is

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, …)"

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The parts that nobody may see."""
        parts = (self.password, self.identity_token, self.registry_token)
        return tuple(part.encode("utf-8", "surrogateescape") for part in parts if part)


class CredentialProvider(Protocol):
    """Finds the credential for a repository. Asked again when a registry answers 401."""

    def get(self, registry: str, repository: str) -> Credential | None:
        """The credential for `registry` (a host, with its port if it has one), or None for anonymous."""

    def advice(self, registry: str, repository: str, action: str) -> str:
        """After a refusal: what this provider knows of why, and what would help. Empty if nothing; holds no secret."""


class Source(Protocol):
    """Where images are pulled from. Every digest is verified here; memory stays flat whatever a blob's size."""

    def places(self, reference: Reference) -> Sequence[Reference]:
        """Where what `reference` names may really lie: itself, and what stands for it in mirrors of its registry."""

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """The manifest or index that `reference` names, with its descriptor."""

    def head(self, reference: Reference) -> Descriptor | None:
        """The descriptor of the manifest that `reference` names, without fetching it; None if there is none."""

    def blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """The blob's bytes in pieces; IntegrityError at the end if they don't match the descriptor."""


class Registry(Source, Protocol):
    """A registry client: a source that can be pushed to. What is pushed is verified too."""

    def has_blob(self, reference: Reference, digest: Digest) -> bool:
        """Whether the repository of `reference` holds the blob."""

    def push_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        open_blob: Callable[[], BinaryIO],
        mount_from: Sequence[Reference] = (),
    ) -> Literal["exists", "mounted", "uploaded"]:
        """Put a blob into the repository of `reference`: found there, mounted from another repository of the
        same registry, or uploaded. `open_blob` is called only if bytes are needed, again after a lost connection."""

    def push_manifest(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Put a manifest under the tag of `reference`, or under its digest if it has no tag."""

    def check_push(self, reference: Reference) -> None:
        """Return if the repository of `reference` may be pushed to, raise the reason if not; changes nothing."""


# ------------------------------------------------------------------------------------------------ running


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A resource limit by the name Docker gives it (`nofile`); -1 is unlimited."""

    name: str
    soft: int
    hard: int


#: What --network takes, for a build or a RUN.
Network = Literal["default", "host", "none"]
NETWORKS: Mapping[str, Network] = {"default": "default", "host": "host", "none": "none"}


@dataclass(frozen=True, slots=True)
class Process:
    """A command to run in a root file system, with ids already looked up."""

    argv: tuple[str, ...]
    env: tuple[str, ...]  # NAME=value
    cwd: str
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()  # supplementary
    network: Network = "default"
    hostname: str = "buildkitsandbox"
    add_hosts: tuple[tuple[str, str], ...] = ()  # (name, address)
    shm_size: int = 64 << 20
    ulimits: tuple[Ulimit, ...] = ()


@dataclass(frozen=True, slots=True)
class BindMount:
    """A file or directory of the builder's, seen at `target` inside the root."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    """An empty directory on memory at `target`; `size` in bytes, 0 for the kernel's default."""

    target: str
    size: int = 0
    mode: int = 0o1777


Mount = BindMount | TmpfsMount


class Sandbox(Protocol):
    """A way of running a process inside a root file system."""

    name: str
    caveat: str  # what a user should know before relying on it; empty if there is nothing

    def probe(self) -> str | None:
        """Why this sandbox can't be used here, or None if it can. Tries for real, in a child process."""

    def run(
        self,
        process: Process,
        rootfs: str,
        mounts: Sequence[Mount],
        log: Callable[[bytes, Literal["stdout", "stderr"]], None],
        cancel: Callable[[], bool],
    ) -> int:
        """Run `process` and everything it starts until it ends, and return its exit status (128 + n for signal n).

        Output arrives at `log` as it is written. When `cancel()` turns true the processes are killed. On return no
        process, mount or file of the sandbox's own is left. EnvironmentUnsuitable if the sandbox itself fails;
        a command that isn't there is status 127, one that isn't executable 126, with a line on stderr.
        """


# ------------------------------------------------------------------------------------------------ file systems

#: Opens a file's contents for reading; the caller closes what it gets. None for entries without contents.
Opener = Callable[[], BinaryIO]
#: What a layer is archived from: entries in tar order, with their contents.
Change = Iterable[tuple[Entry, Opener | None]]


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer's uncompressed tar in the local store, and the entries it holds (with offsets into it)."""

    diff_id: Digest
    tar: str  # path
    entries: tuple[Entry, ...]


class Capture(Protocol):
    """The change that a step made, taken out of a workspace."""

    frozen: bool  # False: must be read before the workspace is used again

    def entries(self) -> Change:
        """What changed, as layer entries; empty if nothing did. Read once."""

    def stored(self, layer: StoredLayer) -> None:
        """The change is in the store now as `layer`; the capture's own files may be reused or let go."""


class Workspace(Protocol):
    """A stage's writable root file system, as a stack of layers that grows."""

    @property
    def rootfs(self) -> str:
        """The root directory; made ready, if need be, when it is asked for."""

    def commit(self) -> Capture:
        """Take what changed since the last commit, apply or discard; later changes count for the next one."""

    def discard(self) -> None:
        """Forget what changed since the last commit or apply (a failed step)."""

    def apply(self, layer: StoredLayer) -> None:
        """Put a finished layer (of a COPY, say) on top."""


class Snapshotter(Protocol):
    """A way of making root file systems out of layers."""

    name: str

    def probe(self) -> str | None:
        """Why this snapshotter can't be used here, or None if it can."""

    def checkout(self, layers: Sequence[StoredLayer]) -> AbstractContextManager[Workspace]:
        """A workspace whose root holds `layers`, lowest first; gone, with its mounts, when the context ends."""


# ------------------------------------------------------------------------------------------------ looking up


@dataclass(frozen=True, slots=True)
class Fetched:
    """How a reference was resolved: what the tag points to and the image for one platform behind it."""

    reference: Reference  # pinned to `top`
    top: Descriptor  # the index or manifest that the tag names
    manifest: Descriptor
    manifest_data: bytes
    config_data: bytes


Environ = Mapping[str, str]
