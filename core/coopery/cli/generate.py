"""`coopery generate`: complete pipelines for CI systems."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import click

from coopery.errors import UsageError
from coopery.generate.pipelines import generate, platforms
from coopery.generate.plan import BRANCH, CACHES, REPOSITORY, SOURCE, Wish
from coopery.generate.registries import known_registries


@click.command("generate", short_help="Write a pipeline for a CI system.")
@click.argument("platform", metavar="PLATFORM", type=click.Choice(list(platforms())))
@click.option("--registry", "registries", multiple=True, metavar="NAME", help="Where the image goes; several are fine.")
@click.option(
    "--image", "images", multiple=True, metavar="NAME", help="The image's name, with its registry or without."
)
@click.option("--platforms", "wanted", multiple=True, metavar="OS/ARCH,…", help="What to build for; a job for each.")
@click.option("--cache", type=click.Choice(CACHES), default="auto", help="Where steps are kept between jobs [auto].")
@click.option("--keyless", is_flag=True, help="Store no password: registries trust the job's own identity.")
@click.option("--repository", default=REPOSITORY, metavar="NAME", help=f"The project, for such trust [{REPOSITORY}].")
@click.option("--branch", default=BRANCH, metavar="NAME", help=f"The project's default branch [{BRANCH}].")
@click.option("--source", default=SOURCE, metavar="OWNER/NAME@REF", help=f"Where Coopery comes from [{SOURCE}].")
@click.option("-o", "--output", default="-", metavar="FILE", help="Write to this file [standard output].")
@click.option("-f", "--force", is_flag=True, help="Replace the file if it is there.")
def command(
    platform: str,
    registries: Sequence[str],
    images: Sequence[str],
    wanted: Sequence[str],
    cache: str,
    keyless: bool,
    repository: str,
    branch: str,
    source: str,
    output: str,
    force: bool,
) -> None:
    """Write a complete pipeline that builds the image of a repository and pushes it.

    Its comments say what to set up before the first run, and where. What is left out is written with examples.
    """
    text = generate(
        platform,
        Wish(
            registries=_split(registries),
            images=_split(images),
            platforms=_split(wanted),
            cache=cache,
            keyless=keyless,
            repository=repository,
            branch=branch,
            source=source,
        ),
    )
    if output == "-":
        click.echo(text, nl=False)
    else:
        _write(output, text, force)


def _split(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _write(path: str, text: str, force: bool) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        with open(path, "w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="--force replaces it") from None


# Names are told here for the help: they come from the adapters, and from the table of registries.
command.epilog = f"PLATFORM is {', '.join(platforms())}; registries are {', '.join(known_registries())}."
