"""Image references, normalised as Docker does (distribution/reference, normalize.go and regexp.go)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from coopery.errors import IntegrityError, UsageError
from coopery.oci.digest import Digest

DOCKER_HUB = "docker.io"

_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PATH_PART}(?:/{_PATH_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


def is_registry(text: str) -> bool:
    """Whether `text` can be a reference's registry: a host, with its port if it has one."""
    return _DOMAIN.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """Whether `text` can be a repository, or the first components of one."""
    return _PATH.fullmatch(text) is not None and len(text) <= 255


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository in a registry, with a tag, a digest, both or neither. `str()` spells it in full."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference that `text` names: `debian` is docker.io/library/debian, without a tag.

        UsageError if the text isn't a reference.
        """
        rest, at, digest_text = text.partition("@")
        try:
            digest = Digest.parse(digest_text) if at else None
        except IntegrityError as error:
            raise UsageError(f"{text!r} is not an image reference: {error.message}", hint=error.hint) from None
        slash, colon = rest.rfind("/"), rest.rfind(":")
        tag = ""
        if colon > slash:
            rest, tag = rest[:colon], rest[colon + 1 :]
            if not _TAG.fullmatch(tag):
                raise UsageError(f"{text!r} is not an image reference: {tag!r} is not a tag")
        if _IMAGE_ID.fullmatch(rest):
            hint = "an image ID is not a name: give the image a repository and a tag"
            raise UsageError(f"{text!r} is not an image reference", hint=hint)
        first, slash_found, path = rest.partition("/")
        if slash_found and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
            registry = first
        else:
            registry, path = DOCKER_HUB, rest
        if registry == "index.docker.io":
            registry = DOCKER_HUB
        if registry == DOCKER_HUB and "/" not in path:
            path = "library/" + path
        if not is_registry(registry) or not is_repository(path):
            hint = "repository names are lower case: [registry/]path[:tag][@sha256:…]"
            raise UsageError(f"{text!r} is not an image reference", hint=hint)
        return cls(registry, path, tag, digest)

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def or_latest(self) -> Reference:
        """This reference, with the tag `latest` if it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag="latest")

    @property
    def version(self) -> str:
        """What the registry's API takes to name the manifest: the digest if there is one, else the tag."""
        return str(self.digest) if self.digest else (self.tag or "latest")

    def at(self, digest: Digest) -> Reference:
        """This reference pinned to `digest`."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")
