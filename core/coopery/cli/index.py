"""`coopery index`: images of several platforms under one name."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from coopery.build import registry_access
from coopery.cli.registry_options import registry_options
from coopery.engines.outputs import names_of
from coopery.errors import UsageError
from coopery.progress import make_progress
from coopery.registry.settings import RegistrySettings
from coopery.transfer.index import IndexMaker, check_names
from coopery.transfer.merge import parse_annotations


@click.group("index", short_help="Put images of several platforms under one name.")
def command() -> None:
    """Put images of several platforms under one name."""


@command.command("create", short_help="Make an index of images, and push it.")
@click.argument("names", metavar="REF...", nargs=-1)
@click.option("--annotation", multiple=True, metavar="KEY=VALUE", help="Add an annotation to the index.")
@click.option("--append", is_flag=True, help="Add to what the first --tag has already, if it is there.")
@click.option("--dry-run", is_flag=True, help="Print the index rather than push it.")
@click.option("--progress", default="auto", metavar="KIND", help="auto, plain, tty, json or quiet.")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="A name for the index: [registry/]name[:tag].")
@registry_options()
def create(
    names: Sequence[str],
    annotation: Sequence[str],
    append: bool,
    dry_run: bool,
    progress: str,
    tags: Sequence[str],
    registries: RegistrySettings,
) -> None:
    """Make an index of the images that REF... name, push it under each --tag, and print what it is called.

    An index among them contributes all that it lists. Of two images for one platform the later counts. Images in other
    repositories are mounted or copied into those of the tags.
    """
    targets, sources = names_of(tags), names_of(names)
    annotations = parse_annotations(annotation)
    check_names(targets)
    if not targets and (append or not dry_run):
        raise UsageError("nothing says what to call the index", hint="give it a name with --tag REGISTRY/NAME:TAG")
    if not sources:
        raise UsageError("nothing says what to put into the index", hint="name the images it is to list")
    board = make_progress(progress, sys.stderr, environ=os.environ)
    try:
        with registry_access(
            os.environ, registries, mask=lambda value: board.redactor.add([value]), notice=board.warn
        ) as access:
            maker = IndexMaker(access, board)
            index = maker.make(sources, annotations, targets[:1] if append else ())
            if not dry_run:
                maker.push(index, targets)
    finally:
        board.close()
    if dry_run:
        sys.stdout.flush()
        sys.stdout.buffer.write(index.data + b"\n")
        return
    for target in targets:
        click.echo(str(target.at(index.descriptor.digest)))
