"""COPY, ADD and WORKDIR: a change made of files that lie elsewhere, without touching the stage's root."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import BinaryIO

from coopery.archive.foreign import tar_bytes
from coopery.archive.tar_reader import TarScanner
from coopery.cache.store import Store
from coopery.context.files import FileSource
from coopery.errors import ContextError, DockerfileError
from coopery.plan.ops import CopyOp, MakeDirectoryOp
from coopery.plan.selection import sources_in
from coopery.ports import Change, Opener
from coopery.solver.users import ReadFile, file_owner
from coopery.tree.copying import CopyItem, plan_sources
from coopery.tree.entry import WHITEOUT_PREFIX, Entry, Kind
from coopery.tree.modes import parse_symbolic
from coopery.tree.sources import Source
from coopery.tree.tree import Tree, normalise

Pair = tuple[Entry, Opener | None]


def copy_change(
    op: CopyOp, sources: Sequence[FileSource], destination: Tree, read: ReadFile, store: Store, created_ns: int
) -> Change:
    """What a COPY or ADD puts on top of `destination`; directories it has to make are of `created_ns`. `sources` has
    the files of each of its parts. For a linked one `destination` is empty, whatever it will be put on.

    ContextError if a source isn't there, UnknownUser if `--chown` names nobody.
    """
    owner = file_owner(op.owner, read) if op.owner else None
    steps = [
        step
        for part, source in zip(op.parts, sources, strict=True)
        for step in _steps(part, source, owner, store, created_ns)
    ]
    if len(steps) == 1:
        return with_parents(steps[0](destination), destination)
    # Each finds what those before it put there. Meanwhile offsets tell where contents come from.
    openers: list[Opener | None] = []
    entries: list[Entry] = []
    tree = destination
    for number, step in enumerate(steps):
        made = list(step(tree))
        new = [entry._replace(offset=len(openers) + place) for place, (entry, _) in enumerate(made)]
        openers += [opener for _, opener in made]
        entries += new
        if number < len(steps) - 1:
            tree = tree.apply(new)
    return [
        (entry._replace(offset=-1), openers[entry.offset] if entry.kind is Kind.FILE else None)
        for entry in normalise(entries, destination)
        if entry.path
    ]


#: Gives what is put on top of a tree.
Step = Callable[[Tree], Iterable[Pair]]


def _steps(
    op: CopyOp, files: FileSource, owner: tuple[int, int] | None, store: Store, created_ns: int
) -> Iterator[Step]:
    """What is done for one part of a COPY or ADD: archives are unpacked, what lies between them is copied together."""
    where = {"stage": "the stage", "image": f"the image {op.source.name}"}.get(op.source.kind, "the build context")
    target = op.destination.encode("utf-8", "surrogateescape")
    mode = parse_symbolic(op.mode) if isinstance(op.mode, str) else op.mode

    def unpack(tar: str, entries: Sequence[Entry]) -> Step:
        return lambda tree: _archive_entries(tar, entries, tree, target, owner)

    def copy(sources: Sequence[Source]) -> Step:
        def step(tree: Tree) -> Iterable[Pair]:
            items = plan_sources(
                sources,
                tree,
                target,
                several=len(op.patterns) + len(op.inline) > 1,
                owner=owner,
                mode=mode,
                keep_owner=files.keep_owner,
                linked=op.link,
                created_ns=created_ns,
            )
            return [(item.entry, _opener(files, item)) for item in items]

        return step

    found = sources_in(op, files.tree, where)
    tars = [
        _unpacked_tar(files, source, store) if op.unpack and source.node.entry.kind is Kind.FILE else None
        for source in found
    ]
    for plain, group in groupby(range(len(found)), lambda number: tars[number] is None):
        if plain:
            yield copy([found[number] for number in group])
        else:
            yield from (unpack(*tar) for number in group if (tar := tars[number]))


def directory_change(op: MakeDirectoryOp, destination: Tree, read: ReadFile, created_ns: int) -> Change:
    """What a WORKDIR puts on top of `destination`: the directories that are missing, owned by the stage's user.

    Nothing if it is there already. DockerfileError if a file stands in its place.
    """
    path, node = destination.resolve(op.path.encode("utf-8", "surrogateescape"))
    if node is not None and node.entry.kind is Kind.DIRECTORY:
        return []
    if node is not None:
        raise _in_the_way(path)
    uid, gid = file_owner(op.user, read)
    made: list[Pair] = []
    while path and destination.lookup(path) is None:
        entry = Entry(path, Kind.DIRECTORY, 0o755, uid, gid, mtime_ns=created_ns)
        made.append((entry, None))
        path = posixpath.dirname(path)
    above = destination.lookup(path)
    if above is not None and above.entry.kind is not Kind.DIRECTORY:
        raise _in_the_way(path)
    return with_parents(reversed(made), destination)


def _in_the_way(path: bytes) -> DockerfileError:
    shown = path.decode(errors="backslashreplace")
    return DockerfileError(f"/{shown} is a file in the image", hint="remove the file in an earlier step")


def with_parents(change: Iterable[Pair], destination: Tree) -> list[Pair]:
    """The change with each directory above an entry listed before it, as the destination has it.

    Some runtimes unpack a layer by itself and would make missing parents up (moby pkg/archive/diff.go makes them
    0600), hiding the right ones below.
    """
    result: list[Pair] = []
    listed = {b""}
    for entry, opener in change:
        missing = []
        parent = posixpath.dirname(entry.path)
        while parent not in listed:
            listed.add(parent)
            missing.append(parent)
            parent = posixpath.dirname(parent)
        for path in reversed(missing):
            node = destination.lookup(path, follow=False)
            if node is not None:
                result.append((node.entry._replace(path=path, offset=-1), None))
        if entry.kind is Kind.DIRECTORY:
            listed.add(entry.path)
        result.append((entry, opener))
    return result


def _opener(source: FileSource, item: CopyItem) -> Opener | None:
    node = item.source
    if item.entry.kind is not Kind.FILE or node is None:
        return None
    return lambda: source.open(node)


def _unpacked_tar(source: FileSource, found: Source, store: Store) -> tuple[str, Sequence[Entry]] | None:
    """The archive that a file is, as an uncompressed tar among the build's temporary files; None if it is none."""
    with source.open(found.node) as file:
        pieces = tar_bytes(file)
        if pieces is None:
            return None
        scanner = TarScanner()
        path = store.temporary()
        with open(path, "wb", buffering=0) as tar:
            for piece in pieces:
                tar.write(piece)
                scanner.feed(piece)
        return path, scanner.finish()


def _archive_entries(
    tar: str, entries: Sequence[Entry], destination: Tree, target: bytes, owner: tuple[int, int] | None
) -> Iterator[Pair]:
    """An archive's entries below `target`, links in paths resolved inside the root."""
    base, node = destination.resolve(target)
    if node is not None and node.entry.kind is not Kind.DIRECTORY:
        raise ContextError(f"can't unpack an archive into {target.decode(errors='replace')}, which is a file")
    moved = []
    for entry in entries:
        if entry.name.startswith(WHITEOUT_PREFIX):
            raise ContextError(
                f"the archive has an entry {entry.path.decode(errors='replace')!r}, which would mean a deletion",
                hint="unpack the archive in a RUN step",
            )
        if owner:
            entry = entry._replace(uid=owner[0], gid=owner[1])
        link = _below(base, entry.link) if entry.kind is Kind.HARDLINK else entry.link
        moved.append(entry._replace(path=_below(base, entry.path), link=link))
    if node is None and not any(entry.path == base for entry in moved):
        uid, gid = owner or (0, 0)
        moved.insert(0, Entry(base, Kind.DIRECTORY, 0o755, uid, gid))
    for entry in normalise(moved, destination):
        if entry.path:
            yield entry, _tar_opener(tar, entry.offset) if entry.kind is Kind.FILE and entry.offset >= 0 else None


def _below(base: bytes, path: bytes) -> bytes:
    return b"/".join(part for part in (base, path) if part)


def _tar_opener(tar: str, offset: int) -> Opener:
    def opener() -> BinaryIO:
        file = open(tar, "rb", buffering=0)  # noqa: SIM115 - the caller closes it
        file.seek(offset)
        return file

    return opener
