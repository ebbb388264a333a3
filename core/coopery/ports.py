"""What the layers of the engine ask of each other: protocols, and the values that cross them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, Protocol

from coopery.errors import Location
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference
from coopery.tree.entry import Entry

# ------------------------------------------------------------------------------------------------ progress


StepOutcome = Literal["waiting", "running", "done", "cached", "failed", "canceled"]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What is known of a step. Times are seconds; `started` counts from the beginning of the build's progress."""

    number: int  # 0 while nothing has happened to it
    name: str
    outcome: StepOutcome
    started: float
    seconds: float  # so far, if it runs
    message: str  # why it failed
    log: tuple[str, ...]  # the last lines of its output
    location: Location | None = None  # of the instruction that it carries out
    saved: float | None = None  # what it took when it last ran, if it was found in a cache and that is known


@dataclass(frozen=True, slots=True)
class Advice:
    """What a check found in a Dockerfile."""

    rule: str  # the name of the check
    description: str  # what the check wants
    url: str  # where it is described
    message: str
    hint: str  # how to mend it
    location: Location
    remark: str = ""  # the hint, where it is about this very place

    @property
    def text(self) -> str:
        """All of it in one line."""
        remark = f", {self.remark}" if self.remark else ""
        return f"{self.rule}: {self.message}{remark} (line {self.location.line})"


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

    def cached(self, saved: float | None = None) -> None:
        """The step needs no running: its result was found. `saved` is how many seconds it took when it last ran."""

    def failed(self, message: str) -> None:
        """The step ended badly."""

    def canceled(self) -> None:
        """The step was stopped because something else failed or the user asked."""


class Progress(Protocol):
    """Where one build says what it does. Safe to call from any thread."""

    def step(self, name: str, location: Location | None = None) -> StepProgress:
        """A new step; it gets its number, and appears, when something happens to it. `location` is given for the
        Dockerfile's own steps, those that a cache can have."""

    def spared(self, name: str, location: Location, saved: float | None) -> None:
        """A step of the Dockerfile that isn't even looked for in the cache: nothing that is left to do needs it.
        It is recorded as a cached one, and not shown. `saved` is how many seconds it took when it last ran."""

    def warn(self, text: str) -> None:
        """Something the user should know that doesn't stop the build."""

    def advise(self, advice: Advice) -> None:
        """Warn of what a check found, once."""

    @property
    def steps(self) -> Sequence[StepRecord]:
        """All steps so far: those that began first, in the order of their numbers, with spared ones in between."""

    @property
    def warnings(self) -> Sequence[str]:
        """All warnings so far, with the texts of the advice."""

    @property
    def advice(self) -> Sequence[Advice]:
        """What checks have found so far."""


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


#: What became of a blob that was to be in a repository.
BlobOutcome = Literal["exists", "mounted", "uploaded"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a registry client has moved so far: bytes of blobs and manifests, each counted once however often a broken
    connection made it go."""

    pulled: int = 0
    pushed: int = 0
    #: By repository, with its registry, and digest: what became of each blob when it was first to be there.
    blobs: Mapping[tuple[str, Digest], BlobOutcome] = field(default_factory=dict, hash=False)


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

    @property
    def traffic(self) -> Traffic:
        """What was moved so far, also by sources that pull through this client."""

    def has_blob(self, reference: Reference, digest: Digest) -> bool:
        """Whether the repository of `reference` holds the blob."""

    def push_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        open_blob: Callable[[], BinaryIO],
        mount_from: Sequence[Reference] = (),
    ) -> BlobOutcome:
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
    insecure: bool = False  # with all rights that this process has, and the machine's devices


@dataclass(frozen=True, slots=True)
class BindMount:
    """A file, directory or socket of the builder's, seen at `target` inside the root."""

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
    shares: bool  # whether several steps can have one directory mounted at a time

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
    mounts: bool  # layers are mounted where they lie, not unpacked: a checkout costs next to nothing

    def probe(self) -> str | None:
        """Why this snapshotter can't be used here, or None if it can."""

    def checkout(self, layers: Sequence[StoredLayer], *, bare: bool = False) -> AbstractContextManager[Workspace]:
        """A workspace whose root holds `layers`, lowest first; gone, with its mounts, when the context ends.

        A `bare` one isn't to be a step's root but to be seen in one: it has no places for mounts, and takes no commit.
        """

    def unpack(self, layer: StoredLayer, directory: str) -> None:
        """Unpack a layer into an empty directory, with the owners and devices that can be had here."""


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
