"""Credential providers, and the chain of them that users of docker and podman expect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from coopery.credentials.auth_file import AuthFile, parse_auth_file
from coopery.credentials.keys import server_url
from coopery.errors import AuthError
from coopery.ports import Credential, CredentialProvider

_MAX_SIZE = 4 << 20  # bytes of an auth file


class Logins(NamedTuple):
    """Providers that are asked before the usual ones: when something is pushed, and when it is pulled."""

    push: tuple[CredentialProvider, ...] = ()
    pull: tuple[CredentialProvider, ...] = ()


NO_LOGINS = Logins()


class VariableProvider:
    """An auth file in an environment variable, as docker 28 and CI systems take it."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self._name = name
        self._environ = environ

    def get(self, registry: str, repository: str) -> Credential | None:
        """The credential for the repository, or None; AuthError if the variable's value or a helper is no good."""
        data = self._environ.get(self._name, "").encode("utf-8", "surrogateescape")
        return _look_up(parse_auth_file(data, self._name), registry, repository, self._environ)

    def advice(self, _registry: str, _repository: str, _action: str) -> str:
        """None: what is configured speaks for itself."""
        return ""


class FileProvider:
    """An auth file on disk. It is read anew each time: what other tools write there, during a long build, is found."""

    def __init__(self, path: str, environ: Mapping[str, str], *, wanted: bool) -> None:
        """`wanted`: the user named this file, so that it must be readable if it is there."""
        self._path = path
        self._environ = environ
        self._wanted = wanted

    def get(self, registry: str, repository: str) -> Credential | None:
        """The credential for the repository, or None; AuthError if the file or a helper is no good."""
        try:
            with open(self._path, "rb") as file:
                data = file.read(_MAX_SIZE + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            if not self._wanted:
                return None
            reason = error.strerror if isinstance(error, OSError) else "its name can't be a file's"
            raise AuthError(f"{self._path} can't be read: {reason}") from error
        if len(data) > _MAX_SIZE:
            raise AuthError(f"{self._path} is larger than an auth file can be ({_MAX_SIZE} bytes)")
        return _look_up(parse_auth_file(data, self._path), registry, repository, self._environ)

    def advice(self, _registry: str, _repository: str, _action: str) -> str:
        """None: what is configured speaks for itself."""
        return ""


class CloudLogins:
    """What clouds mint for their own registries; their modules are loaded when they are asked for the first time."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` is where Docker Hub's connection is named; the vendors' libraries read the process's own."""
        self._environ = environ
        self._lock = threading.Lock()
        self._providers: tuple[CredentialProvider, ...] = ()

    def get(self, registry: str, repository: str) -> Credential | None:
        """The login that the registry's cloud gives; None for all other registries, and where there is none."""
        found = (provider.get(registry, repository) for provider in self._clouds())
        return next((credential for credential in found if credential), None)

    def advice(self, registry: str, repository: str, action: str) -> str:
        """What went wrong in the login, or what its identity lacks."""
        return next(filter(None, (one.advice(registry, repository, action) for one in self._providers)), "")

    def _clouds(self) -> Sequence[CredentialProvider]:
        with self._lock:
            if not self._providers:
                from coopery.credentials.aws import Aws
                from coopery.credentials.azure import Azure
                from coopery.credentials.cloud import CloudProvider
                from coopery.credentials.dockerhub import DockerHub
                from coopery.credentials.google import Google

                clouds = (Aws(), Google(), Azure(), DockerHub(self._environ))
                self._providers = tuple(CloudProvider(cloud) for cloud in clouds)
            return self._providers


class Chain:
    """Providers in turn: the first that has a credential."""

    def __init__(self, providers: Sequence[CredentialProvider], mask: Callable[[bytes], None] | None = None) -> None:
        """`mask` is told each secret before it is handed out."""
        self._providers = tuple(providers)
        self._mask = mask

    def get(self, registry: str, repository: str) -> Credential | None:
        """The first provider's credential for the repository, or None for anonymous; AuthError as theirs."""
        for provider in self._providers:
            found = provider.get(registry, repository)
            if found:
                if self._mask:
                    for secret in found.secrets:
                        self._mask(secret)
                return found
        return None

    def advice(self, registry: str, repository: str, action: str) -> str:
        """The first advice that a provider has."""
        return next(filter(None, (one.advice(registry, repository, action) for one in self._providers)), "")


def default_provider(environ: Mapping[str, str], mask: Callable[[bytes], None] | None = None) -> CredentialProvider:
    """The places where docker and podman keep credentials, by the variables in `environ`; then the clouds' own logins.

    In order: DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE, `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`,
    `$XDG_RUNTIME_DIR/containers/auth.json`. Within a file a credential helper comes before what the file holds itself.
    Last, registries of AWS, Google Cloud and Azure by their libraries. Nothing is read before the first `get`.
    `mask` is told each secret before it is handed out, so that no log shows it.
    """
    providers: list[CredentialProvider] = []
    if environ.get("DOCKER_AUTH_CONFIG"):
        providers.append(VariableProvider("DOCKER_AUTH_CONFIG", environ))
    if path := environ.get("REGISTRY_AUTH_FILE"):
        providers.append(FileProvider(path, environ, wanted=True))
    if folder := environ.get("DOCKER_CONFIG"):
        providers.append(FileProvider(f"{folder.rstrip('/')}/config.json", environ, wanted=True))
    elif home := environ.get("HOME"):
        providers.append(FileProvider(f"{home.rstrip('/')}/.docker/config.json", environ, wanted=False))
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        providers.append(FileProvider(f"{runtime.rstrip('/')}/containers/auth.json", environ, wanted=False))
    providers.append(CloudLogins(environ))
    return Chain(providers, mask)


def _look_up(file: AuthFile, registry: str, repository: str, environ: Mapping[str, str]) -> Credential | None:
    helper = file.helper(registry, repository)
    if helper:
        from coopery.credentials.helper import ask_helper
    found = ask_helper(helper, server_url(registry), environ) if helper else None
    return found or file.credential(registry, repository)
