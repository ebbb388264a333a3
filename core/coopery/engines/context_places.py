"""Where build contexts are: what `coopery build CONTEXT` and `--build-context NAME=CONTEXT` can name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from coopery.dockerfile.git_url import GitUrl, parse_git_url, without_credentials
from coopery.errors import UsageError
from coopery.plan.outline import is_image
from coopery.request import BuildRequest

#: A build arg of BuildKit's: the context's `.git` is kept.
_KEEP_GIT_DIR = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"
_TRUE = ("1", "t", "T", "TRUE", "true", "True")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a build context is."""

    kind: Literal["directory", "stdin", "git", "web"]
    where: str
    git: GitUrl | None = None

    def __str__(self) -> str:
        return str(self.git) if self.git else without_credentials(self.where)


def is_web(text: str) -> bool:
    """Whether `text` is an address to download from."""
    return text[:8].lower().startswith(("http://", "https://"))


def places_of(request: BuildRequest) -> Mapping[str, Place]:
    """Where the contexts of `request` are, by name, but for images; the main one is called nothing. UsageError for what
    can't be a context."""
    main = _place(request.context, "")
    if main.git and request.build_args.get(_KEEP_GIT_DIR) in _TRUE:
        main = replace(main, git=replace(main.git, keep_git_dir=True))
    named = {name: _place(where, name) for name, where in request.build_contexts.items() if not is_image(where)}
    return {"": main, **named}


def _place(where: str, name: str) -> Place:
    shown = f"--build-context {name}={without_credentials(where)}" if name else where
    if os.path.isdir(where):  # whatever its name looks like, as in buildx
        return Place("directory", where)
    if where == "-" and not name:
        return Place("stdin", where)
    git = parse_git_url(where, bare=True)
    if git:
        return Place("git", where, git)
    if is_web(where):
        return Place("web", where)
    kind = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::)", where)
    if where.startswith("target:"):
        hint = "give what that target builds from as a stage of this Dockerfile, and name the stage"
        raise UsageError(f"{shown}: targets of other files can't be contexts", hint=hint)
    if kind:
        hint = "there are directories, git repositories, http and https; docker-image:// and oci-layout:// with a name"
        if kind[1].lower() == "file":
            hint = "give the directory's path, without file://"
        raise UsageError(f"{shown}: {kind[1]} is no kind of build context", hint=hint)
    if name:
        hint = f"give a directory or an image: --build-context {name}=docker-image://NAME"
        raise UsageError(f"{shown}: there is no such directory", hint=hint)
    return Place("directory", where)
