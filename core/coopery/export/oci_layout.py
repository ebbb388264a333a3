"""OCI image layouts, as a directory or as a tar (OCI image specification, image-layout.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from coopery.errors import ExportError
from coopery.export.blobs import BlobArchive, blob_path, copy_checked
from coopery.export.contents import Blob, Contents
from coopery.export.destination import replacing, reporting
from coopery.oci.descriptor import OCI_INDEX, Descriptor
from coopery.oci.manifest import Index
from coopery.oci.reference import Reference

REF_NAME = "org.opencontainers.image.ref.name"
#: The full name, which containerd and what is built on it go by before the other.
FULL_NAME = "io.containerd.image.name"
LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'


def write_oci_directory(dest: str, contents: Contents, names: Sequence[Reference]) -> Descriptor:
    """Put an image or index into the layout directory `dest`; see `put_directory`. Returns its descriptor."""
    put_directory(dest, contents.everything, index_entries(contents.entry, names))
    return contents.entry


def write_oci_archive(dest: str, contents: Contents, names: Sequence[Reference]) -> Descriptor:
    """Write an image or index as a layout in a tar; see `put_archive`. Returns its descriptor."""
    put_archive(dest, contents.everything, index_entries(contents.entry, names))
    return contents.entry


def put_directory(dest: str, blobs: Sequence[Blob], entries: Sequence[Descriptor], *, at_once: int = 1) -> None:
    """Put `blobs` into the layout directory `dest`, which is made, or added to, as need be, `at_once` at a time.

    Blobs that are there already stay. The index gets `entries`, and comes last; an entry of the same name is replaced,
    all others are kept (as skopeo and umoci do). ExportError if `dest` can't be written or holds something else,
    StorageError if there is no room, IntegrityError if a blob is damaged.
    """
    with reporting(dest):
        os.makedirs(dest, exist_ok=True)
        with _locked(dest):
            index = _read_index(dest)
            if at_once == 1:
                for blob in blobs:
                    _put_blob(dest, blob)
            else:
                _put_blobs(dest, blobs, at_once)
            if not os.path.exists(os.path.join(dest, "oci-layout")):
                _put_document(os.path.join(dest, "oci-layout"), LAYOUT_FILE)
            _replace_entries(index, [entry.to_json() for entry in entries])
            _put_document(os.path.join(dest, "index.json"), json.dumps(index, separators=(",", ":")).encode())


def put_archive(dest: str, blobs: Sequence[Blob], entries: Sequence[Descriptor]) -> None:
    """Write a layout of `blobs` with `entries` in its index, as a tar, to the file `dest`, or to standard output for
    `-`. Errors as of `put_directory`.
    """
    with replacing(dest) as write:
        archive = BlobArchive(write)
        archive.document("oci-layout", LAYOUT_FILE)
        archive.document("index.json", Index(tuple(entries)).serialize())
        for blob in blobs:
            if blob.descriptor.digest not in archive:
                with blob.opener() as source:
                    archive.blob(blob.descriptor.digest, blob.descriptor.size, source, blob.what)
        archive.close()


def index_entries(descriptor: Descriptor, names: Sequence[Reference]) -> tuple[Descriptor, ...]:
    """What an index says of a manifest with these names: an entry for each, with the annotations BuildKit writes.

    Names of different repositories may have one tag in common. Then only the first entry has it as its
    `ref.name`: umoci refuses a tag that is there twice, and containerd goes by the full name anyway.
    """
    entries, tags = [], set()
    for name in names:
        named = name.or_latest()
        annotations = {FULL_NAME: str(named)}
        tag = named.tag or str(named.digest)
        if tag not in tags:
            annotations[REF_NAME] = tag
            tags.add(tag)
        entries.append(replace(descriptor, annotations=annotations))
    return tuple(entries) or (descriptor,)


@contextmanager
def _locked(dest: str) -> Iterator[None]:
    """Nobody else of us changes the layout meanwhile: jobs of one machine may share it."""
    import fcntl

    fd = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _put_blobs(dest: str, blobs: Sequence[Blob], at_once: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(at_once, "coopery-layout") as pool:
        futures = [pool.submit(_put_blob, dest, blob) for blob in blobs]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()


def _put_blob(dest: str, blob: Blob) -> None:
    descriptor = blob.descriptor
    path = os.path.join(dest, blob_path(descriptor.digest))
    try:
        if os.stat(path).st_size == descriptor.size:
            return
    except FileNotFoundError:
        pass
    with blob.opener() as source, replacing(path) as write:
        copy_checked(source, descriptor.digest, descriptor.size, write, blob.what)


def _put_document(path: str, data: bytes) -> None:
    with replacing(path) as write:
        write(memoryview(data))


def _read_index(dest: str) -> dict[str, Any]:
    path = os.path.join(dest, "index.json")
    try:
        with open(path, "rb") as file:
            index = json.loads(file.read())
    except FileNotFoundError:
        return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    except ValueError as error:
        raise ExportError(f"{path} is not JSON: {error}", hint="choose an empty directory") from error
    manifests = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(manifests, list) or not all(isinstance(entry, dict) for entry in manifests):
        raise ExportError(f"{path} is not the index of an image layout", hint="choose an empty directory")
    return dict(index)


def _replace_entries(index: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """Put `entries` into an index, in place of those that have one of their names or are the same without a name."""

    def names(entry: dict[str, Any]) -> set[tuple[str, str]]:
        annotations = entry.get("annotations")
        if not isinstance(annotations, dict):
            return {("digest", str(entry.get("digest")))}
        found = {(key, str(annotations[key])) for key in (REF_NAME, FULL_NAME) if key in annotations}
        return found or {("digest", str(entry.get("digest")))}

    taken = set().union(*map(names, entries))
    index["manifests"] = [*(entry for entry in index["manifests"] if not names(entry) & taken), *entries]
