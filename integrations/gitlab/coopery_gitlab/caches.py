"""Where cached steps are kept: in the project's registry, or in a directory that GitLab's `cache:` keeps."""

from __future__ import annotations

import os
from collections.abc import Mapping

from coopery.ci.platform import CHOSEN_TARGET, CacheChoice, CacheWish
from coopery.errors import UsageError
from coopery_gitlab.places import project_folder

#: Names the directory in the project that the job's `cache:` lists; the template sets it.
VARIABLE = "COOPERY_CACHE_DIR"


def choose_cache(environ: Mapping[str, str], wish: CacheWish) -> CacheChoice:
    """GitLab's own cache where the job keeps a directory, else the project's registry.

    UsageError where the one that was asked for isn't there.
    """
    kept, own = environ.get(VARIABLE, ""), environ.get("CI_REGISTRY_IMAGE", "")
    repository = wish.repository or (f"{own}/cache" if own else "")
    if wish.kind == "platform" or (wish.kind == "auto" and kept):
        return _directory(environ, kept, wish)
    if wish.kind == "registry" and not repository:
        raise UsageError(
            "cache: registry needs a repository, and this project has no container registry",
            hint="say cache-repository: REGISTRY/NAME, or enable the container registry in the project's settings",
        )
    if wish.kind in ("registry", "auto") and repository:
        return _registry(environ, repository, wish)
    return CacheChoice()


def _registry(environ: Mapping[str, str], repository: str, wish: CacheWish) -> CacheChoice:
    """Steps in a registry, those of protected branches and tags apart from all others.

    Jobs for protected refs read what such jobs wrote and nothing else; the others read both and write their own.
    Records have their steps' keys, so all targets and platforms share a place.
    """
    protected, others = f"type=registry,ref={repository}:protected", f"type=registry,ref={repository}:unprotected"
    safe = environ.get("CI_COMMIT_REF_PROTECTED") == "true"
    target = f"{protected if safe else others}{CHOSEN_TARGET}"
    return CacheChoice(
        sources=(protected,) if safe else (others, protected), targets=(target,) if wish.may_write else ()
    )


def _directory(environ: Mapping[str, str], name: str, wish: CacheWish) -> CacheChoice:
    """Steps in the directory that `cache:` keeps. It must be in the project; the engine leaves it out of contexts."""
    if not name:
        raise UsageError(
            "cache: platform needs a directory that the job's `cache:` keeps, and there is none",
            hint="set the template's input cache to platform; in a job of your own, list a directory in "
            f"`cache: paths:` and name it in the variable {VARIABLE}",
        )
    project = os.path.abspath(project_folder(environ))
    path = os.path.normpath(os.path.join(project, name))
    if not path.startswith(project + os.sep) or os.path.islink(path):
        raise UsageError(
            f"{VARIABLE} is {name!r}: not a directory of the project",
            hint="give the directory that the job's `cache:` lists, such as .coopery-cache",
        )
    targets = (f"type=local,{_field(f'dest={path}')}{CHOSEN_TARGET}",) if wish.may_write else ()
    return CacheChoice(sources=(f"type=local,{_field(f'src={path}')}",), targets=targets)


def _field(text: str) -> str:
    """`text` as a field of CSV."""
    return '"{}"'.format(text.replace('"', '""')) if "," in text or '"' in text else text
