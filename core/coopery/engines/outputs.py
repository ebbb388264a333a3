"""Delivering an image to every output that was asked for."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from coopery.errors import CooperyError, EnvironmentUnsuitable, ExportError, Interrupted, UsageError, several
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image
from coopery.oci.reference import Reference
from coopery.plan.plan import BaseImage
from coopery.ports import Progress, Registry
from coopery.request import BuildRequest, Output
from coopery.solver.layers import Layers
from coopery.tree.tree import Tree


@dataclass(frozen=True, slots=True)
class Delivered:
    """One place the result went to."""

    type: str  # as in --output
    where: str  # a reference or a path
    descriptor: Descriptor | None = None  # of the manifest that is there


def check_outputs(request: BuildRequest) -> None:
    """UsageError or EnvironmentUnsuitable for outputs that can't be, before anything is built."""
    names = names_of(request.tags)
    for output in request.outputs:
        own = names_of(output.names) or names
        if output.push and not own:
            raise UsageError("nothing says where to push the image", hint="give it a name with --tag REGISTRY/NAME:TAG")
        if output.push and any(name.digest for name in own):
            raise UsageError("an image can't be pushed to a digest", hint="give a tag: --tag REGISTRY/NAME:TAG")
        if output.type == "docker" and not output.dest and not shutil.which("docker"):
            raise EnvironmentUnsuitable(
                "loading the image needs the docker command, which isn't here",
                hint="write it to a file: --output type=docker,dest=image.tar",
            )
    places = [
        output.dest if output.dest == "-" else os.path.realpath(output.dest)
        for output in request.outputs
        if output.dest
    ]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"two outputs go to {place}", hint="give each of them a dest of its own")
    if "-" in places and sys.stdout.isatty():
        raise UsageError("--output dest=-: a terminal is no place for an archive", hint="redirect it to a file")


def names_of(texts: Sequence[str]) -> tuple[Reference, ...]:
    """The references that `--tag` values mean, each once. UsageError if one isn't a reference."""
    return tuple(dict.fromkeys(Reference.parse(text).or_latest() for text in texts))


class Delivery:
    """Writes one image to its outputs."""

    def __init__(
        self,
        request: BuildRequest,
        image: Image,
        base: BaseImage | None,
        layers: Layers,
        registry: Registry,
        tree: Callable[[], Tree],
        progress: Progress,
    ) -> None:
        """`base` is the image it was made from: its layers are fetched when an output needs them."""
        self._request = request
        self._image = image
        self._layers = layers
        self._registry = registry
        self._base = base.fetched.reference if base else None
        self._base_layers = {layer.descriptor.digest: layer for layer in base.image.layers} if base else {}
        self._tree = tree
        self._progress = progress

    def deliver(self, outputs: Sequence[Output]) -> list[Delivered]:
        """Bring the image to all outputs, one after the other. Where one fails the others are served all the same;
        then the failures are raised as one error of the first one's class.
        """
        delivered: list[Delivered] = []
        failures: list[tuple[str, CooperyError]] = []
        for output in outputs:
            try:
                delivered += self._deliver(output)
            except Interrupted:
                raise
            except CooperyError as error:
                failures.append((f"{output.type} {output.dest}".rstrip(), error))
        if failures:
            raise several(failures, len(outputs), "outputs")
        return delivered

    def _deliver(self, output: Output) -> list[Delivered]:
        names = names_of(output.names) or names_of(self._request.tags)
        if output.type in ("image", "registry"):
            return self._push(output, names) if output.push else []
        shown = "standard output" if output.dest == "-" else output.dest or "docker"
        step = self._progress.step(f"exporting to {output.type} ({shown})")
        step.start()
        try:
            result = self._write(output, names)
        except BaseException as error:
            step.failed(str(error))
            raise
        step.done()
        return [Delivered(output.type, shown, result)]

    def _annotations(self, output: Output) -> dict[str, str]:
        return {**self._request.annotations, **output.annotations}

    def _push(self, output: Output, names: Sequence[Reference]) -> list[Delivered]:
        from coopery.export.registry import push

        step = self._progress.step("pushing " + ", ".join(str(name) for name in names))
        step.start()
        try:
            pushed = push(
                self._registry,
                self._image,
                names,
                self.blob,
                step=step,
                mount_from=self._layers.places(self._base) if self._base else (),
                docker_types=not output.oci_media_types,
                annotations=self._annotations(output),
                parallel=self._request.parallel,
                ignore_immutable=self._progress.warn if self._request.ignore_immutable_tags else None,
            )
        except BaseException as error:
            step.failed(str(error))
            raise
        step.done()
        return [
            Delivered("registry", str(item.reference), item.descriptor) for item in pushed if item.outcome != "kept"
        ]

    def _write(self, output: Output, names: Sequence[Reference]) -> Descriptor | None:
        from coopery.export.docker_archive import write_docker_archive
        from coopery.export.filesystem import write_directory, write_tar
        from coopery.export.oci_layout import write_oci_archive, write_oci_directory

        annotations, docker = self._annotations(output), not output.oci_media_types
        if output.type == "oci":
            write = write_oci_archive if output.tar else write_oci_directory
            if not output.tar and not output.dest:
                raise ExportError("an OCI layout directory needs a place", hint="add dest=DIRECTORY to --output")
            return write(
                output.dest or "-", self._image, names, self.blob, docker_types=docker, annotations=annotations
            )
        if output.type == "docker":
            if not output.dest:
                return self._load(names)
            return write_docker_archive(output.dest, self._image, names, self.tar, docker_types=docker)
        if output.type == "tar":
            write_tar(output.dest or "-", self._tree(), self.tar)
        else:
            write_directory(output.dest, self._tree(), self.tar, self._progress.warn)
        return None

    def _load(self, names: Sequence[Reference]) -> Descriptor:
        """Hand the image to the docker command, as buildx's --load does."""
        import subprocess

        from coopery.export.docker_archive import write_docker_archive

        path = self._layers.temporary()
        descriptor = write_docker_archive(path, self._image, names, self.tar)
        done = subprocess.run(["docker", "load", "--input", path], capture_output=True, text=True, check=False)
        os.unlink(path)
        if done.returncode:
            raise ExportError(
                f"`docker load` failed: {done.stderr.strip()[-500:]}", hint="is the Docker daemon running?"
            )
        return descriptor

    def blob(self, digest: Digest) -> BinaryIO:
        """A layer's blob as transported, fetched from the base's repository if it is the base's."""
        layer = self._base_layers.get(digest)
        if layer and self._base:
            return self._layers.open_base_blob(layer.descriptor, self._base)
        return self._layers.open_blob(digest)

    def tar(self, diff_id: Digest) -> BinaryIO:
        """A layer's uncompressed tar."""
        layer = next((layer for layer in self._base_layers.values() if layer.diff_id == diff_id), None)
        stored = self._layers.fetch(layer, self._base) if layer and self._base else self._layers.stored(diff_id)
        return open(stored.tar, "rb")


def with_push(outputs: tuple[Output, ...], push_all: bool) -> tuple[Output, ...]:
    """The outputs with `--push` in force: image outputs are pushed, and there is one if there was none."""
    if not push_all:
        return outputs
    pushed = tuple(replace(output, push=True) if output.type in ("image", "registry") else output for output in outputs)
    has_image = any(output.type in ("image", "registry") for output in pushed)
    return pushed if has_image else (*pushed, Output(type="registry", push=True))
