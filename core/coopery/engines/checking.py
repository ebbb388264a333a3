"""Checks a Dockerfile without building it: what the checks find, and what would keep it from being built."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from coopery.cache.store import Store
from coopery.engines.contexts import Contexts
from coopery.engines.definition import Definition, define
from coopery.engines.images import Images
from coopery.engines.layouts import WithLayouts
from coopery.engines.lookups import Lookups
from coopery.engines.remote_files import RemoteFiles
from coopery.errors import CooperyError, Location
from coopery.oci.digest import Digest
from coopery.plan.ops import CopyOp, Surroundings
from coopery.plan.planner import make_plan
from coopery.plan.watch import OF_A_LINE
from coopery.ports import Advice, Progress, Source
from coopery.request import BuildRequest
from coopery.solver.secrets import Secrets

#: How many base images are asked for at once.
_REQUESTS = 8


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of it."""

    lines: tuple[str, ...]  # of the Dockerfile, for excerpts
    findings: tuple[Advice, ...]
    error: CooperyError | None = None  # what would end a build; with `errors` if that is several things


class _Lookups(Lookups):
    """Images are looked up, for their variables count; whether there are files to copy is left to the build."""

    def context_files(self, op: CopyOp, location: Location) -> Digest:
        """The same for all: nobody uses the keys."""
        return Digest.of(b"")

    def mounted_files(self, context: str, path: str, location: Location) -> Digest:
        """The same."""
        return Digest.of(b"")


def check(request: BuildRequest, store: Store, source: Source, progress: Progress, secrets: Secrets) -> Checked:
    """Check the Dockerfile of `request`, all its stages or those of its target, for the first of its platforms.

    Raises what keeps it from being read, and errors that have nothing to do with it.
    """
    contexts = Contexts(request, store, RemoteFiles(store, secrets, request.ssh, progress))
    text, name = contexts.dockerfile()
    try:
        definition = define(text, name, request.build_args, contexts.ignore_rules)
    except OF_A_LINE as error:
        return Checked((), (), error)
    try:
        layouts = WithLayouts(source, request.build_contexts)
        _plan(definition, request, Images(store, layouts, progress, pull=request.pull), contexts)
        definition.check()
    except OF_A_LINE as error:
        return Checked(definition.dockerfile.lines, definition.findings, error)
    return Checked(definition.dockerfile.lines, definition.findings)


def _plan(definition: Definition, request: BuildRequest, images: Images, contexts: Contexts) -> None:
    lined = definition.outline(
        target=request.target,
        platform=request.platforms[0],
        build_args=request.build_args,
        contexts=request.build_contexts,
        every=not request.target,
    )
    with ThreadPoolExecutor(_REQUESTS) as pool:
        for reference, platform in lined.images:
            pool.submit(images.get, reference, platform)
    make_plan(
        lined,
        _Lookups(images, contexts, definition.dockerfile, definition.linter),
        platform=request.platforms[0],
        build_args=request.build_args,
        labels=request.labels,
        contexts=request.build_contexts,
        around=Surroundings(allowed=("security.insecure",)),  # a build says whether it may
        watch=definition.watch,
    )
