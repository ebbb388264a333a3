"""Cache keys: SHA-256 over a canonical JSON form, in which no two different operations look alike.

What is left out follows BuildKit (solver/llbsolver/ops/exec.go, CacheMap): proxy settings, addresses of extra
hosts, ids and sharing of cache mounts. Values of secrets never enter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from coopery.oci.digest import Digest
from coopery.oci.platform import Platform
from coopery.plan.ops import CopyOp, MakeDirectoryOp, RunOp, Surroundings

#: Raised whenever the same operation begins to give another result.
GENERATION = 1


def root_key(chain_id: Digest | None, platform: Platform) -> Digest:
    """The key of a stage's start: the base's content (its chain ID), or nothing for `scratch`."""
    return _digest(["root", str(chain_id or ""), str(platform)])


def run_key(parent: Digest, op: RunOp, around: Surroundings) -> Digest:
    """The key of a RUN."""
    mounts = [[*mount.spec.key_parts(), str(mount.content or "")] for mount in op.mounts]
    limits = [around.hosts, around.ulimits, around.shm_size]
    parts = ["run", op.argv, op.env, op.cwd, op.user, op.network, op.insecure, op.hostname, mounts, limits]
    script = op.script.content.hex() if op.script else None
    return _digest([*parts, script, str(parent)])


def copy_key(parent: Digest, op: CopyOp, content: Digest, around: Surroundings) -> Digest:
    """The key of a COPY or ADD; `content` is the key of the files that its patterns select.

    That several sources are named counts, even where only one is found: the destination is a directory then.
    """
    return _digest(["copy", *_copied(op, around), str(parent), str(content)])


def link_key(op: CopyOp, content: Digest, around: Surroundings) -> Digest:
    """The key of the layer of a COPY or ADD that is linked: nothing of the stage before it is in it."""
    return _digest(["link", *_copied(op, around), str(content)])


def linked_key(parent: Digest, link: Digest) -> Digest:
    """The key of a stage that goes on with a linked layer."""
    return _digest(["linked", str(parent), str(link)])


def _copied(op: CopyOp, around: Surroundings) -> list[Any]:
    several = len(op.patterns) + len(op.inline) > 1
    return [op.destination, op.owner, op.mode, op.unpack, several, around.epoch]


def joint_key(parts: Sequence[tuple[CopyOp, Digest]]) -> Digest:
    """The key of all that one instruction takes from several places: each with the key of its files."""
    return _digest(["parts", [[part.unpack, str(content)] for part, content in parts]])


def directory_key(parent: Digest, op: MakeDirectoryOp, around: Surroundings) -> Digest:
    """The key of a WORKDIR."""
    return _digest(["directory", op.path, op.user, around.epoch, str(parent)])


def stage_files_key(stage: Digest, patterns: Sequence[str]) -> Digest:
    """The key of files that patterns select in another stage or image, told by what made that stage."""
    return _digest(["files", str(stage), list(patterns)])


def selected_key(content: Digest, op: CopyOp) -> Digest:
    """The key of what `--parents` and `--exclude` leave of files that aren't told one by one."""
    return _digest(["selected", str(content), op.parents, op.exclude])


def inline_key(files: Sequence[tuple[str, bytes]]) -> Digest:
    """The key of files written in the Dockerfile itself."""
    return _digest(["inline", [[name, content.hex()] for name, content in files]])


def pinned_key(name: str, checksum: str) -> Digest:
    """The key of a file from a URL that is known by its checksum."""
    return _digest(["pinned", name, checksum])


def download_key(name: str, content: Digest, mtime_ns: int) -> Digest:
    """The key of a file from a URL; the age that the server gives it counts, as in BuildKit (source/http)."""
    return _digest(["url", name, str(content), mtime_ns])


def _digest(parts: Any) -> Digest:
    text = json.dumps([GENERATION, parts], separators=(",", ":"), ensure_ascii=True)
    return Digest.of(text.encode())
