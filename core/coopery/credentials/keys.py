"""Which entry of an auth file serves a repository. Pure.

Keys are written as docker does (`registry.example.com`, `https://index.docker.io/v1/`) or as podman and Kubernetes do,
with a namespace (`registry.example.com/team/app`: containers-auth.json(5)).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from coopery.errors import UsageError
from coopery.oci.reference import DOCKER_HUB, is_registry, is_repository

#: What docker and its helpers call Docker Hub.
HUB_KEY = "https://index.docker.io/v1/"

_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_API_VERSIONS = frozenset({"v1", "v2"})
_SCHEME = re.compile(r"https?://", re.IGNORECASE)


class Key(NamedTuple):
    """A registry's host, with its port, and the namespace below it, empty for all of the registry."""

    host: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.host}/{self.namespace}" if self.namespace else self.host


def parse_key(text: str) -> Key:
    """What an auth file's key stands for: without scheme and API version, Docker Hub under its one name."""
    host, _, path = _SCHEME.sub("", text.strip(), count=1).partition("/")
    host = host.lower()
    namespace = path.strip("/")
    return Key(DOCKER_HUB if host in _HUB_HOSTS else host, "" if namespace in _API_VERSIONS else namespace)


def matching(texts: Iterable[str], registry: str, repository: str) -> list[str]:
    """Those of the keys `texts` that serve `repository` of `registry`: the longest namespace first, then as listed.

    Hosts are compared whole and namespaces by whole path components, so that neither `registry.example.com.evil.com`
    nor the sibling `team-two` gets what belongs to `registry.example.com/team`.
    """
    host = parse_key(registry).host
    path = f"{repository}/"
    found = []
    for text in texts:
        key = parse_key(text)
        if key.host == host and (not key.namespace or path.startswith(f"{key.namespace}/")):
            found.append((-len(key.namespace), text))
    return [text for _, text in sorted(found, key=lambda pair: pair[0])]


def server_url(registry: str) -> str:
    """What a credential helper is asked for `registry`."""
    return HUB_KEY if parse_key(registry).host == DOCKER_HUB else registry


def parse_place(text: str) -> Key:
    """The registry, or the namespace in one, that somebody wants to log in to; without a name Docker Hub.

    UsageError if it can't be one.
    """
    key = parse_key(text or DOCKER_HUB)
    if not is_registry(key.host) or (key.namespace and not is_repository(key.namespace)):
        raise UsageError(
            f"{text!r} is not the address of a registry", hint="write HOST[:PORT], or HOST[:PORT]/NAMESPACE"
        )
    return key
