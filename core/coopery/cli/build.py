"""`coopery build`: docker buildx build's flags, by the same names and meanings."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Literal

import click

from coopery.build import build
from coopery.cli.call import parse_call, run_call
from coopery.cli.registry_options import registry_options
from coopery.cli.values import (
    parse_annotations,
    parse_build_args,
    parse_pairs,
    parse_secrets,
)
from coopery.engines.outputs import with_push
from coopery.engines.spelling import (
    parse_entitlements,
    parse_hosts,
    parse_platforms,
    parse_size_option,
    parse_ssh,
    parse_ulimits,
)
from coopery.errors import CooperyError, UsageError
from coopery.ports import NETWORKS
from coopery.progress import Board, failure_log, make_progress
from coopery.registry.settings import RegistrySettings
from coopery.request import DEFAULT_SHM_SIZE, BuildRequest, CacheSpec, Output
from coopery.sandbox.enter import ISOLATIONS, enter


def _no_cgroups(_: click.Context, __: click.Parameter, value: str | None) -> None:
    if value is not None:
        hint = "leave it out: the steps are in the control group that coopery runs in"
        raise UsageError(f"--cgroup-parent {value}: steps get no control groups of their own", hint=hint)


@click.command("build", short_help="Build an image from a Dockerfile.")
@click.argument("context", default=".", required=False)
@click.option("--add-host", multiple=True, metavar="HOST:IP", help="Add a line to /etc/hosts of the steps.")
@click.option("--allow", multiple=True, metavar="WHAT", help="Let steps have security.insecure or network.host.")
@click.option("--annotation", multiple=True, metavar="KEY=VALUE", help="Add an annotation: [index:]KEY=VALUE.")
@click.option("--build-arg", multiple=True, metavar="KEY[=VALUE]", help="Set an ARG; without a value, from here.")
@click.option("--build-context", multiple=True, metavar="NAME=WHERE", help="Name a directory, image or repository.")
@click.option("--cache-from", multiple=True, metavar="SPEC", help="type=registry|local|gha,… or a repository.")
@click.option("--cache-to", multiple=True, metavar="SPEC", help="type=registry|local|inline|gha,…[,mode=max]")
@click.option("--call", default="build", metavar="METHOD", help="build, check, outline or targets[,format=json].")
@click.option("--cgroup-parent", expose_value=False, callback=_no_cgroups, help="Refused: steps stay in ours.")
@click.option("--check", "only_check", is_flag=True, help="Check the Dockerfile, and build nothing.")
@click.option("--dry-run", is_flag=True, help="Print what would be done.")
@click.option("-f", "--file", "dockerfile", default="", metavar="PATH", help="The Dockerfile [CONTEXT/Dockerfile].")
@click.option("--format", "form", type=click.Choice(["text", "json"]), help="Of --dry-run [text].")
@click.option("--iidfile", default="", metavar="PATH", help="Write the image's ID to a file.")
@click.option("--isolation", default="auto", type=click.Choice(list(ISOLATIONS)), help="How steps are run [auto].")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Set a label of the image.")
@click.option("--load", is_flag=True, help="Hand the image to the docker command (--output type=docker).")
@click.option("--metadata-file", default="", metavar="PATH", help="Write the result's digests and names as JSON.")
@click.option("--network", default="default", metavar="MODE", help="default, host or none, for all RUN steps.")
@click.option("--no-cache", is_flag=True, help="Run every step, whatever the cache has.")
@click.option("-o", "--output", multiple=True, metavar="SPEC", help="type=image|registry|oci|docker|tar|local,…")
@click.option("--parallel", default=5, type=click.IntRange(1, 64), metavar="N", help="Blobs on their way at once [5].")
@click.option("--platform", multiple=True, metavar="OS/ARCH,…", help="The platforms to build for [this machine's].")
@click.option("--print", "printed", default="", metavar="METHOD", help="The older name of --call.")
@click.option("--progress", default="auto", metavar="KIND", help="auto, plain, tty, json or quiet.")
@click.option("--pull", is_flag=True, help="Ask the registry for base images, whatever the cache knows.")
@click.option("--push", is_flag=True, help="Push the image to the registries its tags name.")
@click.option("--push-ignore-immutable-tag-errors", is_flag=True, help="Leave tags that may not be moved as they are.")
@click.option("-q", "--quiet", is_flag=True, help="Print the image's ID only.")
@click.option("--scratch", default="auto", metavar="WHERE", help="Where steps work: auto, memory, disk or a path.")
@click.option("--secret", multiple=True, metavar="SPEC", help="id=NAME[,src=FILE|,env=VARIABLE]")
@click.option("--ssh", multiple=True, metavar="SPEC", help="default|ID[=SOCKET|=KEYFILE,…] for RUN --mount=type=ssh.")
@click.option("--shm-size", default="", metavar="SIZE", help="Size of /dev/shm in steps [64m].")
@click.option("--skip-push-permission-check", is_flag=True, help="Don't ask registries whether we may push first.")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="A name for the image: [registry/]name[:tag].")
@click.option("--target", default="", metavar="STAGE", help="The stage to build [the last].")
@click.option("--ulimit", multiple=True, metavar="NAME=SOFT[:HARD]", help="A resource limit for the steps.")
@registry_options()
def command(
    context: str,
    add_host: Sequence[str],
    allow: Sequence[str],
    annotation: Sequence[str],
    build_arg: Sequence[str],
    build_context: Sequence[str],
    cache_from: Sequence[str],
    cache_to: Sequence[str],
    call: str,
    only_check: bool,
    dry_run: bool,
    dockerfile: str,
    form: str | None,
    iidfile: str,
    isolation: str,
    label: Sequence[str],
    load: bool,
    metadata_file: str,
    network: str,
    no_cache: bool,
    output: Sequence[str],
    parallel: int,
    platform: Sequence[str],
    printed: str,
    progress: str,
    pull: bool,
    push: bool,
    push_ignore_immutable_tag_errors: bool,
    quiet: bool,
    scratch: str,
    secret: Sequence[str],
    ssh: Sequence[str],
    shm_size: str,
    skip_push_permission_check: bool,
    tags: Sequence[str],
    target: str,
    ulimit: Sequence[str],
    registries: RegistrySettings,
) -> None:
    """Build an image from a Dockerfile.

    CONTEXT is where COPY and ADD take files from: a directory, a git repository, an archive's address, or `-` for
    a tar on standard input. A Dockerfile on standard input, or at an address, needs no files.
    """
    asked = parse_call("check" if only_check else printed or call)
    if form and not dry_run:
        raise UsageError("--format is for --dry-run", hint="write --call METHOD,format=json")
    if dry_run and asked.method != "build":
        raise UsageError(f"--dry-run and --call {asked.method} exclude each other", hint="leave one of them out")
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
        platforms=parse_platforms(platform),
        build_contexts=parse_pairs(build_context, "--build-context"),
        secrets=parse_secrets(secret),
        ssh=parse_ssh(ssh, os.environ),
        allow=parse_entitlements(allow),
        no_cache=no_cache,
        cache_from=_caches(cache_from, "--cache-from"),
        cache_to=_caches(cache_to, "--cache-to"),
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
    if dry_run:
        from coopery.cli.dry_run import run_dry_run

        run_dry_run(request, registries, form or "text")
        return
    if asked.method != "build":
        run_call(asked, request, registries)
        return
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
        # A line of the Dockerfile may hold a password, in an address.
        mask = board.redactor.text
        error.message, error.detail, error.hint = mask(error.message), mask(error.detail), mask(error.hint)
        raise
    finally:
        board.close()
    if quiet:
        click.echo(str(report.image_id))


def _caches(texts: Sequence[str], option: Literal["--cache-from", "--cache-to"]) -> tuple[CacheSpec, ...]:
    if not texts:
        return ()
    from coopery.engines.cache_spec import parse_cache

    return tuple(parse_cache(text, option) for text in texts)


def _add_log(error: CooperyError, board: Board) -> None:
    """Put the tail of the failed step's output before the Dockerfile's lines."""
    failed = [record for record in board.steps if record.outcome == "failed" and record.log]
    if failed:
        error.detail = "\n".join(part for part in (failure_log(failed[-1]), error.detail) if part)
