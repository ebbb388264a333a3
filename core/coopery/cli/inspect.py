"""`coopery inspect`: what an image or an index is made of, without pulling it."""

from __future__ import annotations

import json
import os
import sys

import click

from coopery.build import registry_access
from coopery.cli.registry_options import registry_options
from coopery.errors import NotFound, UsageError
from coopery.oci.config import ImageConfig
from coopery.oci.manifest import Index, Manifest
from coopery.oci.platform import Platform, host
from coopery.registry.settings import RegistrySettings
from coopery.transfer.content import Document, is_image
from coopery.transfer.copy import for_platform
from coopery.transfer.describe import as_text, describe
from coopery.transfer.places import Place
from coopery.transfer.scratch import Scratch
from coopery.transfer.sources import Source, config_of, opened


@click.command("inspect", short_help="Show what an image or an index is made of.")
@click.argument("name", metavar="REF")
@click.option("--config", "config_only", is_flag=True, help="Print the image's configuration, as it is stored.")
@click.option("--digest", "digest_only", is_flag=True, help="Print the digest alone.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="The output's form [text].")
@click.option("--platform", default="", metavar="OS/ARCH", help="Choose an image of an index.")
@click.option("--raw", is_flag=True, help="Print the manifest or index, as it is stored.")
@registry_options()
def command(
    name: str,
    config_only: bool,
    digest_only: bool,
    form: str,
    platform: str,
    raw: bool,
    registries: RegistrySettings,
) -> None:
    """Show what REF is made of: digest, platforms, layers with their sizes, labels and environment.

    REF is [docker://]NAME[:TAG], oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME].
    """
    if config_only + digest_only + raw > 1:
        raise UsageError("--config, --digest and --raw exclude each other")
    place = Place.parse(name)
    wanted = Platform.parse(platform) if platform else None
    with (
        registry_access(os.environ, registries, notice=_warn) as (pulled_from, _),
        Scratch(os.environ) as scratch,
        opened(place, pulled_from, scratch) as source,
    ):
        top = source.top()
        if digest_only or raw:
            shown = for_platform(source, top, str(place), wanted) if wanted else top
            _print(shown.data if raw else f"{shown.descriptor.digest}\n".encode())
            return
        image = _image(source, top, place, wanted, needed=config_only)
        config = config_of(source, image.value) if image and isinstance(image.value, Manifest) else b""
        runs = image is not None and isinstance(image.value, Manifest) and is_image(image.value)
    if config_only:
        _print(config)
        return
    reference = place.reference if place.kind == "docker" else None
    value = describe(
        reference.name if reference else str(place),
        reference.tag if reference else place.name,
        top,
        image,
        ImageConfig.parse(config) if runs else None,
    )
    text = json.dumps(value, indent=4, ensure_ascii=False) if form == "json" else as_text(value)
    _print(text.encode("utf-8", "surrogateescape") + b"\n")


def _image(source: Source, top: Document, place: Place, wanted: Platform | None, *, needed: bool) -> Document | None:
    """The image to speak of: of an index, the one for `wanted` or for this machine, if there is one."""
    try:
        return for_platform(source, top, str(place), wanted or (host() if isinstance(top.value, Index) else None))
    except NotFound:
        if wanted or needed:
            raise
        return None


def _warn(text: str) -> None:
    click.echo(f"WARNING: {text}", err=True)


def _print(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
