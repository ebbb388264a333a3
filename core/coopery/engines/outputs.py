"""Delivering what was built to every output that was asked for."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

from coopery.archive.compress import Codec
from coopery.engines.built import BuiltImage
from coopery.errors import CooperyError, EnvironmentUnsuitable, ExportError, Interrupted, UsageError, several
from coopery.export.contents import Contents, IndexedImage, image_contents, index_contents
from coopery.export.destination import BlobOpener
from coopery.export.output_spec import parse_bool
from coopery.oci.descriptor import Descriptor
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.ports import Progress, Registry
from coopery.request import AnnotationLevel, BuildRequest, Output
from coopery.solver.layers import Layers
from coopery.tree.tree import Tree

#: The build arg that has even a single image put into an index.
_INDEXED = "BUILDKIT_MULTI_PLATFORM"


@dataclass(frozen=True, slots=True)
class Delivered:
    """One place the result went to."""

    type: str  # as in --output
    where: str  # a reference or a path
    descriptor: Descriptor | None = None  # of the manifest that is there
    reference: Reference | None = None  # in a registry


def check_outputs(request: BuildRequest) -> None:
    """UsageError or EnvironmentUnsuitable for outputs that can't be, before anything is built."""
    names = names_of(request.tags)
    _check_annotations(request)
    for output in request.outputs:
        _check_form(request, output)
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


def _check_form(request: BuildRequest, output: Output) -> None:
    if output.type == "docker" and is_indexed(request):
        several = ", ".join(map(str, request.platforms))
        hint = "choose one with --platform; or push them with --push, or write them with --output type=oci"
        raise UsageError(f"Docker's archives hold no index: the image is for {several}", hint=hint)
    if output.platform_split is False and len(request.platforms) > 1:
        hint = "leave platform-split out: each platform then has a directory of its own"
        raise UsageError("platform-split=false: the files of several platforms can't be in one place", hint=hint)


def _check_annotations(request: BuildRequest) -> None:
    indexed = is_indexed(request)
    for each in (*request.annotations, *(each for output in request.outputs for each in output.annotations)):
        if each.level != "manifest" and not indexed:
            hint = "leave that out: the annotation then goes to the image; an index is made of several platforms"
            raise UsageError(f"annotation {each.level}:{each.key}: there is no index to annotate", hint=hint)
        if each.platform and each.platform not in request.platforms:
            hint = f"the build is for {', '.join(map(str, request.platforms))}"
            raise UsageError(f"annotation {each.key}: no image is built for {each.platform}", hint=hint)


def codec_of(request: BuildRequest) -> Codec:
    """How layers are compressed: as the outputs say, else as the request does. UsageError if outputs disagree."""
    wanted = {
        Codec(output.compression or request.compression, output.compression_level)
        for output in request.outputs
        if output.compression or output.compression_level is not None
    }
    if len(wanted) > 1:
        raise UsageError("the outputs ask for different compressions", hint="one build compresses layers in one way")
    return wanted.pop() if wanted else Codec(request.compression, request.compression_level)


def names_of(texts: Sequence[str]) -> tuple[Reference, ...]:
    """The references that `--tag` values mean, each once. UsageError if one isn't a reference."""
    return tuple(dict.fromkeys(Reference.parse(text).or_latest() for text in texts))


def is_indexed(request: BuildRequest) -> bool:
    """Whether the images are put into an index: several always, and a single one if that is wished for, as BuildKit
    lets one do."""
    wish = request.build_args.get(_INDEXED) or "false"
    return len(request.platforms) > 1 or parse_bool(wish, f"--build-arg {_INDEXED}")


def annotations_of(
    request: BuildRequest, level: AnnotationLevel, platform: Platform | None = None, output: Output | None = None
) -> dict[str, str]:
    """The annotations for the images' manifests or for what else `level` says; those for the one `platform` win over
    those for all, those of `output` over the request's."""
    given = [each for each in (*request.annotations, *(output.annotations if output else ())) if each.level == level]
    chosen = sorted(
        (each for each in given if each.platform in (None, platform)), key=lambda each: each.platform is not None
    )
    return {each.key: each.value for each in chosen}


def contents_of(
    request: BuildRequest, built: Sequence[BuiltImage], blob: BlobOpener, output: Output | None = None
) -> Contents:
    """The image, or the index of all images, as `output` wants it; `blob` opens layers."""
    docker = output is not None and not output.oci_media_types
    annotations = partial(annotations_of, request, output=output)
    if not is_indexed(request):
        (only,) = built
        own = annotations("manifest", only.platform)
        return image_contents(only.image, blob, docker_types=docker, annotations=own)
    images = [
        IndexedImage(
            each.platform,
            each.image,
            annotations("manifest", each.platform),
            annotations("manifest-descriptor", each.platform),
        )
        for each in built
    ]
    return index_contents(images, blob, docker_types=docker, annotations=annotations("index"))


class Delivery:
    """Writes what was built to its outputs."""

    def __init__(
        self,
        request: BuildRequest,
        built: Sequence[BuiltImage],
        layers: Layers,
        registry: Registry,
        tree: Callable[[BuiltImage], Tree],
        progress: Progress,
    ) -> None:
        """`tree` gives the root file system of an image. Layers of base images are fetched when an output needs
        them."""
        self._request = request
        self._built = built
        self._layers = layers
        self._registry = registry
        self._tree = tree
        self._progress = progress
        bases = [each.base for each in built if each.base]
        self._bases = tuple(dict.fromkeys(base.fetched.reference for base in bases))
        self._base_layers = {
            layer.descriptor.digest: (layer, base.fetched.reference) for base in bases for layer in base.image.layers
        }

    def deliver(self) -> list[Delivered]:
        """Bring the result to all outputs, one after the other. Where one fails the others are served all the same;
        then the failures are raised as one error of the first one's class.
        """
        outputs = self._request.outputs
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

    def _push(self, output: Output, names: Sequence[Reference]) -> list[Delivered]:
        from coopery.export.registry import push

        step = self._progress.step("pushing " + ", ".join(str(name) for name in names))
        step.start()
        try:
            pushed = push(
                self._registry,
                contents_of(self._request, self._built, self.blob, output),
                names,
                step=step,
                mount_from=[place for base in self._bases for place in self._layers.places(base)],
                places=self._layers.offers.places,
                parallel=self._request.parallel,
                ignore_immutable=self._progress.warn if self._request.ignore_immutable_tags else None,
            )
        except BaseException as error:
            step.failed(str(error))
            raise
        step.done()
        return [
            Delivered("registry", str(item.reference), item.descriptor, item.reference)
            for item in pushed
            if item.outcome != "kept"
        ]

    def _write(self, output: Output, names: Sequence[Reference]) -> Descriptor | None:
        if output.type == "oci":
            from coopery.export.oci_layout import write_oci_archive, write_oci_directory

            if not output.tar and not output.dest:
                raise ExportError("an OCI layout directory needs a place", hint="add dest=DIRECTORY to --output")
            write = write_oci_archive if output.tar else write_oci_directory
            return write(output.dest or "-", contents_of(self._request, self._built, self.blob, output), names)
        if output.type == "docker":
            from coopery.export.docker_archive import write_docker_archive

            if not output.dest:
                return self._load(names)
            docker = not output.oci_media_types
            return write_docker_archive(output.dest, self._built[0].image, names, self.tar, docker_types=docker)
        self._write_files(output)
        return None

    def _write_files(self, output: Output) -> None:
        from coopery.export.filesystem import write_directory, write_tar

        split = is_indexed(self._request) if output.platform_split is None else output.platform_split
        places = [str(each.platform).replace("/", "_") if split else "" for each in self._built]
        if output.type == "tar":
            trees = dict(zip(places, map(self._tree, self._built), strict=True))
            write_tar(output.dest or "-", trees, self.tar)
            return
        for place, built in zip(places, self._built, strict=True):
            write_directory(os.path.join(output.dest, place), self._tree(built), self.tar, self._progress.warn)

    def _load(self, names: Sequence[Reference]) -> Descriptor:
        """Hand the image to the docker command, as buildx's --load does."""
        import subprocess

        from coopery.export.docker_archive import write_docker_archive

        path = self._layers.temporary()
        descriptor = write_docker_archive(path, self._built[0].image, names, self.tar)
        done = subprocess.run(["docker", "load", "--input", path], capture_output=True, text=True, check=False)
        os.unlink(path)
        if done.returncode:
            raise ExportError(
                f"`docker load` failed: {done.stderr.strip()[-500:]}", hint="is the Docker daemon running?"
            )
        return descriptor

    def blob(self, digest: Digest) -> BinaryIO:
        """A layer's blob as transported, fetched from the base's repository if it is the base's."""
        layer, base = self._base_layers.get(digest, (None, None))
        if layer and base:
            return self._layers.open_base_blob(layer.descriptor, base)
        return self._layers.open_blob(digest)

    def tar(self, diff_id: Digest) -> BinaryIO:
        """A layer's uncompressed tar."""
        known = self._base_layers.values()
        layer, base = next((pair for pair in known if pair[0].diff_id == diff_id), (None, None))
        stored = self._layers.fetch(layer, base) if layer and base else self._layers.stored(diff_id)
        return open(stored.tar, "rb")


def with_push(outputs: tuple[Output, ...], push_all: bool) -> tuple[Output, ...]:
    """The outputs with `--push` in force: image outputs are pushed, and there is one if there was none."""
    if not push_all:
        return outputs
    pushed = tuple(replace(output, push=True) if output.type in ("image", "registry") else output for output in outputs)
    has_image = any(output.type in ("image", "registry") for output in pushed)
    return pushed if has_image else (*pushed, Output(type="registry", push=True))
