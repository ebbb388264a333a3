"""The settings that there are: one table, from which their reading, the JSON schema, the variables and the text forms
of inputs all come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from coopery.ci import checks

#: `mapping` maps text to text; `secrets`, `registries` and `targets` are what their names say.
Kind = Literal["text", "number", "flag", "list", "mapping", "secrets", "registries", "targets"]
#: Where a key may stand: `any` in the file, also of one target; `file` only at its top; `job` only in what a job says.
Scope = Literal["any", "file", "job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A setting."""

    name: str
    kind: Kind
    description: str
    scope: Scope = "any"
    choices: tuple[str, ...] = ()  # of a text
    commas: bool = False  # as text, a list's entries may also stand on one line, parted by commas
    check: Callable[[str], object] | None = None  # raises UsageError for a text, or an entry of a list, that is wrong

    @property
    def field(self) -> str:
        """The name of the attribute that holds it."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return VARIABLES + self.name.upper().replace("-", "_")


#: What the names of variables with settings begin with.
VARIABLES = "COOPERY_CI_"

_CACHES = ("auto", "platform", "registry", "local", "none")

_KEYS = (
    Key(
        name="images",
        kind="list",
        description="Repositories that the image is for, such as registry.example/team/app.",
        commas=True,
        check=checks.image,
    ),
    Key(
        name="tags",
        kind="list",
        description="What tags there are: rules such as type=semver,pattern={{version}}, tags as they are, or whole "
        "names REGISTRY/REPOSITORY:TAG.",
        commas=True,
    ),
    Key(
        name="flavor",
        kind="list",
        description="For all tags: latest=auto|true|false, prefix=…, suffix=… (each with onlatest=true|false).",
    ),
    Key(name="labels", kind="mapping", description="Labels of the image, besides those that the commit gives."),
    Key(name="annotations", kind="mapping", description="Annotations of the manifest, or with index: of the index."),
    Key(name="context", kind="text", description="The directory that COPY and ADD take files from [.]."),
    Key(name="file", kind="text", description="The Dockerfile [Dockerfile in the context]."),
    Key(name="target", kind="text", description="The stage of the Dockerfile to build [the last]."),
    Key(
        name="platforms",
        kind="list",
        description="Platforms to build for, such as linux/amd64 [the machine's].",
        commas=True,
        check=checks.platform,
    ),
    Key(name="build-args", kind="mapping", description="Values for the Dockerfile's ARGs."),
    Key(
        name="build-contexts",
        kind="mapping",
        description="Further contexts by name: directories, or docker-image://NAME.",
    ),
    Key(
        name="secrets",
        kind="secrets",
        description="Secrets for RUN --mount=type=secret, by id: the name of a variable or of a secret of the CI "
        "system, {env: NAME} or {file: PATH}. Never a value.",
    ),
    Key(name="ssh", kind="list", description="SSH agents or keys for RUN --mount=type=ssh.", commas=True),
    Key(
        name="add-hosts",
        kind="list",
        description="Lines for /etc/hosts of the steps: NAME:ADDRESS.",
        commas=True,
        check=checks.host_line,
    ),
    Key(
        name="network",
        kind="text",
        description="The network of RUN steps [default].",
        choices=("default", "host", "none"),
    ),
    Key(name="shm-size", kind="text", description="Size of /dev/shm in steps [64m].", check=checks.shm_size),
    Key(
        name="ulimit",
        kind="list",
        description="Resource limits for the steps: NAME=SOFT[:HARD].",
        check=checks.ulimit,
    ),
    Key(name="allow", kind="list", description="Entitlements that steps may use.", commas=True),
    Key(name="pull", kind="flag", description="Ask for base images anew, whatever the cache knows."),
    Key(name="no-cache", kind="flag", description="Run every step, whatever the cache has."),
    Key(name="no-cache-filters", kind="list", description="Stages whose steps are all run.", commas=True),
    Key(name="isolation", kind="text", description="How steps are run [auto].", check=checks.isolation),
    Key(name="scratch", kind="text", description="Where steps work: auto, memory, disk or a directory [auto]."),
    Key(
        name="compression",
        kind="text",
        description="How layers are compressed [gzip].",
        choices=("gzip", "zstd", "uncompressed"),
    ),
    Key(name="compression-level", kind="number", description="How much effort compression takes."),
    Key(
        name="outputs",
        kind="list",
        description="Further outputs in the spelling of --output: type=oci,dest=image.tar.",
        check=checks.output,
    ),
    Key(name="load", kind="flag", description="Hand the image to the docker command."),
    Key(
        name="push",
        kind="text",
        description="auto pushes unless a change (a pull or merge request) is built; true pushes that too; what isn't "
        "trusted, such as a fork's change, is never pushed [auto].",
        choices=("auto", "true", "false"),
    ),
    Key(
        name="cache",
        kind="text",
        description="Where steps are kept between jobs: by the CI system, in a registry, on the machine; auto takes "
        "the first that there is [auto].",
        choices=_CACHES,
    ),
    Key(
        name="cache-repository",
        kind="text",
        description="The repository for cached steps [that of the first image, with /cache; -cache on Docker Hub].",
        check=checks.cache_repository,
    ),
    Key(name="cache-from", kind="list", description="Caches to read, in buildx's spelling, in place of `cache`."),
    Key(name="cache-to", kind="list", description="Caches to write, in buildx's spelling, in place of `cache`."),
    Key(
        name="registries",
        kind="registries",
        scope="file",
        description="How to log in to registries, and how they are reached, by host or HOST/NAMESPACE.",
    ),
    Key(
        name="targets",
        kind="targets",
        scope="file",
        description="Several images, built in order: by name, what is different for each. As text: the names of those "
        "to build.",
    ),
    Key(name="config", kind="text", scope="job", description="The settings file [coopery.yaml]."),
    Key(
        name="only-platform",
        kind="text",
        scope="job",
        description="Build for this one of the platforms only, for `coopery ci merge` to join with the others.",
        check=checks.platform,
    ),
)

#: The keys by name.
KEYS: Mapping[str, Key] = {key.name: key for key in _KEYS}
#: Other spellings of keys.
ALIASES: Mapping[str, str] = {"image": "images"}
#: What the settings of one target may have.
TARGET_KEYS: Mapping[str, Key] = {key.name: key for key in _KEYS if key.scope == "any"}
#: What a settings file may have.
FILE_KEYS: Mapping[str, Key] = {key.name: key for key in _KEYS if key.scope != "job"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryKey:
    """A setting of one registry."""

    name: str
    kind: Literal["text", "flag", "list"]
    description: str
    login: str = ""  # which kind of login it belongs to; empty: it is about how the registry is reached

    @property
    def field(self) -> str:
        """The name of the attribute that holds it."""
        return self.name.replace("-", "_")


_REGISTRY_KEYS = (
    EntryKey(
        name="username",
        kind="text",
        login="password",
        description="The user, or the name of the variable or secret that has it.",
    ),
    EntryKey(
        name="password",
        kind="text",
        login="password",
        description="The name of the variable or secret that has the password or token. Never the value.",
    ),
    EntryKey(name="role", kind="text", login="role", description="AWS: the role to assume by the job's OIDC token."),
    EntryKey(name="region", kind="text", login="role", description="AWS: the region of the role [the registry's]."),
    EntryKey(
        name="connection",
        kind="text",
        login="connection",
        description="Docker Hub: the id of the OIDC connection.",
    ),
    EntryKey(name="organization", kind="text", login="connection", description="Docker Hub: the organization's name."),
    EntryKey(
        name="workload-identity-provider",
        kind="text",
        login="workload-identity-provider",
        description="Google Cloud: projects/…/locations/global/workloadIdentityPools/…/providers/….",
    ),
    EntryKey(
        name="service-account",
        kind="text",
        login="workload-identity-provider",
        description="Google Cloud: the service account to act as [none: the identity itself].",
    ),
    EntryKey(name="client-id", kind="text", login="client-id", description="Azure: the application's client id."),
    EntryKey(name="tenant-id", kind="text", login="client-id", description="Azure: the tenant's id."),
    EntryKey(name="mirror", kind="list", description="Registries HOST[/PREFIX] to pull its images from first."),
    EntryKey(name="plain-http", kind="flag", description="Speak plain HTTP."),
    EntryKey(name="insecure", kind="flag", description="Speak unverified TLS, or else plain HTTP."),
    EntryKey(name="certificate", kind="text", description="A PEM file of certificate authorities to trust."),
)
#: What `registries` may say of one.
REGISTRY_KEYS: Mapping[str, EntryKey] = {key.name: key for key in _REGISTRY_KEYS}
#: For each kind of login what it can't do without.
LOGINS: Mapping[str, tuple[str, ...]] = {
    "password": ("username", "password"),
    "role": ("role",),
    "connection": ("connection", "organization"),
    "workload-identity-provider": ("workload-identity-provider",),
    "client-id": ("client-id", "tenant-id"),
}
