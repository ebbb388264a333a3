"""SOURCE_DATE_EPOCH: the time that takes the place of the clock (reproducible-builds.org/specs/source-date-epoch).

It is a number, or names what it is taken from: `context`, a named context, or a stage that is nothing but one ADD from
elsewhere (BuildKit, dockerfile2llb/epoch.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from coopery.dockerfile.instructions import Add, Arg, Stage
from coopery.engines.contexts import Contexts
from coopery.errors import UsageError
from coopery.plan.copies import copy_operation
from coopery.plan.outline import SCRATCH, Outline
from coopery.plan.scope import Scope
from coopery.plan.words import Words
from coopery.request import BuildRequest
from coopery.tree.entry import Kind

if TYPE_CHECKING:
    from coopery.dockerfile.git_url import GitUrl
    from coopery.tree.node import Node

_EPOCH = "SOURCE_DATE_EPOCH"
_LONGEST = 11  # digits: until the year 5138
_SECOND = 1_000_000_000
_MAIN = "context"


def settle_epoch(
    request: BuildRequest, lined: Sequence[Outline], contexts: Contexts
) -> tuple[int | None, BuildRequest, Sequence[Outline]]:
    """The epoch in nanoseconds if there is one, and the request and outlines with the number in place of a name.

    UsageError if it is neither a number nor a name that tells a time; DockerfileError for a stage that doesn't.
    """
    text = request.build_args.get(_EPOCH, lined[0].globals.get(_EPOCH, ""))
    if not text:
        return None, request, lined
    if text.isascii() and text.isdecimal() and len(text) <= _LONGEST:
        return int(text) * _SECOND, request, lined
    seconds = _named(text, request, lined[0], contexts)
    number = "" if seconds is None else str(seconds)
    if _EPOCH in request.build_args:
        request = replace(request, build_args={**request.build_args, _EPOCH: number})
    settled = [replace(each, globals={**each.globals, _EPOCH: number}) for each in lined]
    return (None if seconds is None else seconds * _SECOND), request, settled


def _named(name: str, request: BuildRequest, lined: Outline, contexts: Contexts) -> int | None:
    """Seconds since 1970; None for what changes under our hands: a directory here."""
    place = contexts.places.get("" if name == _MAIN else name)
    if place:
        if place.kind == "web":
            return _age_of_url(place.where, "", contexts)
        return _age_of_git(place.git, contexts, own=True) if place.git else None
    stage = next((stage for stage in lined.dockerfile.stages if stage.name and stage.name == name.lower()), None)
    if stage is None:
        hint = "write the number, such as that of `git log -1 --format=%ct`; or context, or the name of a stage"
        raise UsageError(f"{_EPOCH}={name} is not a number of seconds since 1970", hint=hint)
    return _age_of_stage(stage, request, lined, contexts)


def _age_of_stage(stage: Stage, request: BuildRequest, lined: Outline, contexts: Contexts) -> int | None:
    values = {name: value for name, value in lined.globals.items() if name != _EPOCH}
    scope = Scope(values, request.build_args, values)
    dockerfile = lined.dockerfile
    adds = [one for one in stage.instructions if isinstance(one, Add)]
    words = Words(dockerfile, stage.location, scope.get)
    hint = "such a stage is FROM scratch with one ADD of an address, and besides that with ARG alone"
    only = all(isinstance(one, Add | Arg) for one in stage.instructions)
    if words.one(stage.base) != SCRATCH or len(adds) != 1 or not only:
        raise words.error(f"{_EPOCH} can't be taken from this stage", hint)
    for one in stage.instructions:
        words = Words(dockerfile, one.location, scope.get)
        if isinstance(one, Arg):
            for name, default in one.args:
                scope.declare(name, None if default is None or scope.is_given(name) else words.one(default))
        elif isinstance(one, Add):
            op = copy_operation(one, words, "/", None)
    if op.also or op.source.kind not in ("url", "git"):
        raise words.error(f"{_EPOCH} can't be taken from this stage", hint)
    if op.source.git:
        return _age_of_git(op.source.git, contexts, own=False)
    return _age_of_url(op.source.name, op.checksum, contexts)


def _age_of_git(url: GitUrl, contexts: Contexts, *, own: bool) -> int | None:
    """When the commit was made: its files are as old."""
    return _newest(contexts.remote.git(replace(url, mtime=""), own=own).tree.root)


def _age_of_url(url: str, checksum: str, contexts: Contexts) -> int | None:
    """What the server says; if it says nothing and there is an archive, the age of what is newest in that."""
    found = contexts.remote.download(url, checksum)
    if found.mtime_ns:
        return found.mtime_ns // _SECOND
    archive = contexts.remote.archive(found.path, url)
    return _newest(archive.tree.root) if archive else None


def _newest(root: Node) -> int | None:
    newest, todo = 0, [root]
    while todo:
        node = todo.pop()
        todo += (node.children or {}).values()
        if node is not root or node.entry.kind != Kind.DIRECTORY:
            newest = max(newest, node.entry.mtime_ns)
    return newest // _SECOND or None
