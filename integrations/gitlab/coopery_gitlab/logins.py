"""The logins and secrets that GitLab gives a job."""

from __future__ import annotations

import os
from collections.abc import Mapping

from coopery.ci.platform import Login, SecretSource

#: The user that goes with a job's token.
_JOB_USER = "gitlab-ci-token"
_LOCAL_FILES = "/tmp/gitlab-ci-local-file-variables-"  # noqa: S108 - a place to recognise


def read_logins(environ: Mapping[str, str]) -> tuple[Login, ...]:
    """The job's logins, most specific first.

    The project's own images are pushed with CI_REGISTRY_PASSWORD. For those of other projects a deploy token comes
    first, as the job's token may only read what was opened to it. The dependency proxy is called by GitLab's own host.
    """
    found: list[Login] = []
    registry, image = environ.get("CI_REGISTRY", ""), environ.get("CI_REGISTRY_IMAGE", "")
    if registry:
        names = "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"
        own = _login(environ, registry, *names)
        if image.startswith(f"{registry}/"):
            found += _login(environ, registry, *names, namespace=image.removeprefix(f"{registry}/"))
        found += _login(environ, registry, "CI_DEPLOY_USER", "CI_DEPLOY_PASSWORD")
        found += own
        token = environ.get("CI_JOB_TOKEN", "")
        if not own and token:
            found.append(
                Login(host=registry, username=_JOB_USER, password=token, origin="CI_JOB_TOKEN", pull_only=True)
            )
    proxy = environ.get("CI_DEPENDENCY_PROXY_SERVER", "")
    for host in dict.fromkeys((proxy, proxy.removesuffix(":443"))):  # images are named either way
        names = "CI_DEPENDENCY_PROXY_USER", "CI_DEPENDENCY_PROXY_PASSWORD"
        found += _login(environ, host, *names, pull_only=True)
    return tuple(found)


def _login(
    environ: Mapping[str, str], host: str, user: str, password: str, *, namespace: str = "", pull_only: bool = False
) -> list[Login]:
    """The login in two variables; none if one of them is empty."""
    if not (host and environ.get(user) and environ.get(password)):
        return []
    return [
        Login(
            host=host,
            namespace=namespace,
            username=environ[user],
            password=environ[password],
            origin=password,
            pull_only=pull_only,
        )
    ]


def read_secret(environ: Mapping[str, str], name: str) -> SecretSource | None:
    """The variable `name`; None if there is none or it is empty.

    A variable of type file, and one that `secrets:` of a job fetched, holds the path of a file of its name that the
    runner made: in a directory beside the project's (gitlab-runner, shells/abstract.go), or for gitlab-ci-local in
    one of its own (its job.js, fileVariablesDir).
    """
    value = environ.get(name, "")
    if not value:
        return None
    folder = os.path.dirname(value)
    beside = environ.get("CI_PROJECT_DIR", "").rstrip("/") + ".tmp"
    is_file = os.path.basename(value) == name and (folder == beside or folder.startswith(_LOCAL_FILES))
    return SecretSource(file=value) if is_file and os.path.isfile(value) else SecretSource(value=value)
