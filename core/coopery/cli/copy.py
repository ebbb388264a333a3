"""`coopery copy`: images from one registry, layout or archive into others."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from coopery.build import registry_access
from coopery.cli.registry_options import registry_options
from coopery.oci.platform import Platform
from coopery.progress import make_progress
from coopery.registry.settings import RegistrySettings
from coopery.transfer.copy import copy
from coopery.transfer.places import Place
from coopery.transfer.scratch import Scratch


@click.command("copy", short_help="Copy images between registries, layouts and archives.")
@click.argument("source", metavar="SRC")
@click.argument("destinations", metavar="DST...", nargs=-1, required=True)
@click.option("-a", "--all", "every", is_flag=True, help="Copy an index whole, with the images of all platforms.")
@click.option("--platform", default="", metavar="OS/ARCH", help="Which image of an index to copy: this machine's.")
@click.option("--progress", default="auto", metavar="KIND", help="auto, plain, tty, json or quiet.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what the copies are called.")
@registry_options()
def command(
    source: str,
    destinations: Sequence[str],
    every: bool,
    platform: str,
    progress: str,
    quiet: bool,
    registries: RegistrySettings,
) -> None:
    """Copy an image or an index from SRC to each DST, and print what it is called there, with its digest.

    Each of them is [docker://]NAME[:TAG], oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME].
    """
    if every and platform:
        raise click.UsageError("--all copies every platform: leave --platform out")
    places = [Place.parse(text) for text in destinations]
    wanted = Platform.parse(platform) if platform else None
    board = make_progress("quiet" if quiet else progress, sys.stderr, environ=os.environ)
    try:
        with (
            registry_access(
                os.environ, registries, mask=lambda value: board.redactor.add([value]), notice=board.warn
            ) as access,
            Scratch(os.environ) as scratch,
        ):
            copied = copy(access, Place.parse(source), places, scratch, board, platform=wanted, every=every)
    finally:
        board.close()
    for one in copied:
        named = one.place.reference if one.place.kind == "docker" else None
        click.echo(str(named.at(one.descriptor.digest)) if named else f"{one.place} {one.descriptor.digest}")
