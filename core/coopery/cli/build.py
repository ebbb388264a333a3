"""`coopery build`: docker buildx build's flags, by the same names and meanings."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from coopery.build import build
from coopery.cli.registry_options import registry_options
from coopery.cli.values import (
    parse_annotations,
    parse_build_args,
    parse_hosts,
    parse_pairs,
    parse_secrets,
    parse_size_option,
    parse_ulimits,
)
from coopery.engines.outputs import with_push
from coopery.errors import CooperyError, UsageError
from coopery.oci.platform import Platform, host
from coopery.ports import NETWORKS
from coopery.progress import Board, failure_log, make_progress
from coopery.registry.settings import RegistrySettings
from coopery.request import DEFAULT_SHM_SIZE, BuildRequest, Output
from coopery.sandbox.enter import ISOLATIONS, enter


@click.command("build", short_help="Build an image from a Dockerfile.")
@click.argument("context", default=".", required=False)
@click.option("--add-host", multiple=True, metavar="HOST:IP", help="Add a line to /etc/hosts of the steps.")
@click.option("--annotation", multiple=True, metavar="KEY=VALUE", help="Add an annotation to the manifest.")
@click.option("--build-arg", multiple=True, metavar="KEY[=VALUE]", help="Set an ARG; without a value, from here.")
@click.option("--build-context", multiple=True, metavar="NAME=WHERE", help="Name a directory or docker-image://.")
@click.option("-f", "--file", "dockerfile", default="", metavar="PATH", help="The Dockerfile [CONTEXT/Dockerfile].")
@click.option("--iidfile", default="", metavar="PATH", help="Write the image's ID to a file.")
@click.option("--isolation", default="auto", type=click.Choice(list(ISOLATIONS)), help="How steps are run [auto].")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Set a label of the image.")
@click.option("--load", is_flag=True, help="Hand the image to the docker command (--output type=docker).")
@click.option("--metadata-file", default="", metavar="PATH", help="Write the result's digests and names as JSON.")
@click.option("--network", default="default", metavar="MODE", help="default, host or none, for all RUN steps.")
@click.option("--no-cache", is_flag=True, help="Run every step, whatever the cache has.")
@click.option("-o", "--output", multiple=True, metavar="SPEC", help="type=image|registry|oci|docker|tar|local,…")
@click.option("--parallel", default=5, type=click.IntRange(1, 64), metavar="N", help="Blobs on their way at once [5].")
@click.option("--platform", default="", metavar="OS/ARCH", help="The platform to build for: this machine's.")
@click.option("--progress", default="auto", metavar="KIND", help="auto, plain, tty, json or quiet.")
@click.option("--pull", is_flag=True, help="Ask the registry for base images, whatever the cache knows.")
@click.option("--push", is_flag=True, help="Push the image to the registries its tags name.")
@click.option("--push-ignore-immutable-tag-errors", is_flag=True, help="Leave tags that may not be moved as they are.")
@click.option("-q", "--quiet", is_flag=True, help="Print the image's ID only.")
@click.option("--scratch", default="auto", metavar="WHERE", help="Where steps work: auto, memory, disk or a path.")
@click.option("--secret", multiple=True, metavar="SPEC", help="id=NAME[,src=FILE|,env=VARIABLE]")
@click.option("--shm-size", default="", metavar="SIZE", help="Size of /dev/shm in steps [64m].")
@click.option("--skip-push-permission-check", is_flag=True, help="Don't ask registries whether we may push first.")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="A name for the image: [registry/]name[:tag].")
@click.option("--target", default="", metavar="STAGE", help="The stage to build [the last].")
@click.option("--ulimit", multiple=True, metavar="NAME=SOFT[:HARD]", help="A resource limit for the steps.")
@registry_options()
def command(
    context: str,
    add_host: Sequence[str],
    annotation: Sequence[str],
    build_arg: Sequence[str],
    build_context: Sequence[str],
    dockerfile: str,
    iidfile: str,
    isolation: str,
    label: Sequence[str],
    load: bool,
    metadata_file: str,
    network: str,
    no_cache: bool,
    output: Sequence[str],
    parallel: int,
    platform: str,
    progress: str,
    pull: bool,
    push: bool,
    push_ignore_immutable_tag_errors: bool,
    quiet: bool,
    scratch: str,
    secret: Sequence[str],
    shm_size: str,
    skip_push_permission_check: bool,
    tags: Sequence[str],
    target: str,
    ulimit: Sequence[str],
    registries: RegistrySettings,
) -> None:
    """Build an image from a Dockerfile.

    CONTEXT is the directory that COPY and ADD take files from; with `-` the Dockerfile comes from standard input
    and there is none.
    """
    if network not in NETWORKS:
        raise UsageError(f"--network {network!r} isn't there", hint="it is default, host or none")
    outputs: tuple[Output, ...] = ()
    if output:
        from coopery.export.output_spec import parse_output

        outputs = tuple(parse_output(text) for text in output)
    if quiet and any(wanted.dest == "-" for wanted in outputs):
        raise UsageError(
            "--quiet prints the image's ID where --output writes an archive",
            hint="leave --quiet out, or give the output dest=FILE",
        )
    if load:
        outputs += (Output(type="docker", oci_media_types=False),)
    request = BuildRequest(
        context=context,
        dockerfile=dockerfile,
        tags=tuple(tags),
        outputs=with_push(outputs, push),
        target=target,
        build_args=parse_build_args(build_arg, os.environ),
        labels=parse_pairs(label, "--label", bare=True),
        annotations=parse_annotations(annotation),
        platform=Platform.parse(platform) if platform else host(),
        build_contexts=parse_pairs(build_context, "--build-context"),
        secrets=parse_secrets(secret),
        no_cache=no_cache,
        pull=pull,
        add_hosts=parse_hosts(add_host),
        network=NETWORKS[network],
        shm_size=parse_size_option(shm_size, "--shm-size") if shm_size else DEFAULT_SHM_SIZE,
        ulimits=parse_ulimits(ulimit),
        isolation=isolation,
        scratch=scratch,
        iid_file=iidfile,
        metadata_file=metadata_file,
        parallel=parallel,
        check_push=not skip_push_permission_check,
        ignore_immutable_tags=push_ignore_immutable_tag_errors,
    )
    if not request.outputs and not quiet:
        click.echo(
            "WARNING: no output was asked for: the result stays in the build cache. Push it with --push, "
            "load it into Docker with --load, or write it with --output",
            err=True,
        )
    entered = enter(request.isolation, os.environ)
    board = make_progress("quiet" if quiet else progress, sys.stderr, environ=os.environ)
    try:
        report = build(request, entered, board, os.environ, lambda value: board.redactor.add([value]), registries)
    except CooperyError as error:
        _add_log(error, board)
        raise
    finally:
        board.close()
    if quiet:
        click.echo(str(report.config_digest))


def _add_log(error: CooperyError, board: Board) -> None:
    """Put the tail of the failed step's output before the Dockerfile's lines."""
    failed = [record for record in board.steps if record.outcome == "failed" and record.log]
    if failed:
        error.detail = "\n".join(part for part in (failure_log(failed[-1]), error.detail) if part)
