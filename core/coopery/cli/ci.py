"""`coopery ci`: the builds that coopery.yaml describes, in the jobs of a CI system or as those would run."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import click

from coopery.ci.local import Local
from coopery.ci.platforms import find_platform, revision_of
from coopery.ci.run import Job, Options, build_all, run_job
from coopery.ci.secrets import SecretStore
from coopery.ci.settings import Settings
from coopery.ci.sources import read_settings
from coopery.cli.registry_options import registry_options
from coopery.credentials.providers import Logins
from coopery.engines.account import BuildReport
from coopery.ports import Progress, Registry, Source
from coopery.registry.settings import RegistrySettings
from coopery.request import BuildRequest
from coopery.sandbox.enter import Entered

Command = Callable[..., Any]
#: Settings by key, each with the option that says it.
Flags = Mapping[str, tuple[str, object]]


@click.group("ci", short_help="Build what coopery.yaml describes, as CI jobs do.")
def command() -> None:
    """Build what coopery.yaml describes, as CI jobs do."""


def _settings_options(command: Command) -> Command:
    """The options about settings that several subcommands have; they reach the command as `flags`."""

    @functools.wraps(command)
    def with_flags(
        targets: Sequence[str], config: str, platforms: Sequence[str], tags: Sequence[str], **options: Any
    ) -> Any:
        flags = {
            "targets": ("TARGET", list(targets)),
            "config": ("--config", config),
            "platforms": ("--platform", list(platforms)),
            "tags": ("--tag", list(tags)),
        }
        return command(flags=flags, **options)

    wrapped: Command = with_flags
    for option in (
        click.option("-t", "--tag", "tags", multiple=True, metavar="RULE", help="These tags in place of those set."),
        click.option("--platform", "platforms", multiple=True, metavar="OS/ARCH", help="For these, whatever is set."),
        click.option("--config", default="", metavar="PATH", help="The settings file [coopery.yaml]."),
        click.argument("targets", metavar="[TARGET]...", nargs=-1),
    ):
        wrapped = option(wrapped)
    return wrapped


_PROGRESS = click.option("--progress", default="auto", metavar="KIND", help="auto, plain, tty, json or quiet.")
_PUSH = click.option("--push/--no-push", default=None, help="Push, or don't, whatever is set.")
_ONLY = click.option("--only-platform", default="", metavar="OS/ARCH", help="For this one, to be merged later.")


@command.command("build", short_help="Build, push and report.")
@_settings_options
@click.option("--dry-run", is_flag=True, help="Print what would be done.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Of --dry-run [text].")
@_ONLY
@_PROGRESS
@_PUSH
@registry_options()
def build(
    flags: Flags,
    dry_run: bool,
    form: str,
    only_platform: str,
    progress: str,
    push: bool | None,
    registries: RegistrySettings,
) -> None:
    """Build the targets of coopery.yaml, or those named TARGET, push them and publish a report.

    In a job of a CI system the commit, secrets, credentials and caches are the job's. Elsewhere the same is built from
    the working copy, and pushed only with --push.
    """
    flags = {**flags, "only-platform": ("--only-platform", only_platform)}
    if dry_run:
        _preview(flags, push, form)
        return

    def work(job: Job) -> None:
        settings = _settings(job, flags)
        if isinstance(job.platform, Local):
            from coopery.ci.preview import as_text, preview

            store = SecretStore(job.platform, job.environ, job.masks.text)
            plan = preview(settings, job.ledger.revision, job.platform, store, now=job.now, push=push)
            click.echo(as_text(plan) + "\n", err=True)
        build_all(job, settings)

    _run(work, Options(push=push, progress=progress, registries=registries))


@command.command("merge", short_help="Join what jobs for single platforms built.")
@_settings_options
@_PROGRESS
@_PUSH
@registry_options()
def merge(flags: Flags, progress: str, push: bool | None, registries: RegistrySettings) -> None:
    """Join the images that jobs with --only-platform built into one index, under the names that the settings give."""
    from coopery.ci.merge import merge_all

    _run(
        lambda job: merge_all(job, _settings(job, flags)), Options(push=push, progress=progress, registries=registries)
    )


@command.command("tags", short_help="Print names and labels, for other tools.")
@_settings_options
def tags(flags: Flags) -> None:
    """Print what images are called as JSON, in the form of metadata-action's output `json`; of several targets, each
    under its name.
    """
    from coopery.ci.intents import intents
    from coopery.ci.preview import names_json

    platform = find_platform(os.environ, _warn)
    settings = read_settings(environ=os.environ, inputs=platform.inputs(), inputs_from=platform.title, flags=flags)
    found = intents(settings, revision_of(platform), platform, now=int(time.time()))
    named = {intent.target.name: names_json(intent) for intent in found}
    click.echo(json.dumps(named if len(named) > 1 else next(iter(named.values())), indent=2))


@command.command("schema", short_help="Print the JSON schema of coopery.yaml.")
def schema() -> None:
    """Print the JSON schema of coopery.yaml, for editors."""
    from coopery.ci.schema import schema_text

    click.echo(schema_text(), nl=False)


class _Engine:
    """What this layer brings to a run; imported when it is needed."""

    def build(
        self,
        request: BuildRequest,
        entered: Entered,
        progress: Progress,
        environ: Mapping[str, str],
        mask: Callable[[bytes], None],
        registries: RegistrySettings,
        logins: Logins,
        private: Mapping[str, str],
    ) -> BuildReport:
        """See `coopery.build.build`."""
        from coopery.build import build

        return build(request, entered, progress, environ, mask, registries, logins, private)

    def access(
        self,
        environ: Mapping[str, str],
        registries: RegistrySettings,
        mask: Callable[[bytes], None],
        notice: Callable[[str], None],
        logins: Logins,
    ) -> AbstractContextManager[tuple[Source, Registry]]:
        """See `coopery.build.registry_access`."""
        from coopery.build import registry_access

        return registry_access(environ, registries, mask=mask, notice=notice, logins=logins)


def _run(work: Callable[[Job], None], options: Options) -> None:
    """Have `work` done and reported, and print what every image is called."""
    report = run_job(
        work,
        platform=find_platform(os.environ, _warn),
        environ=os.environ,
        engine=_Engine(),
        options=options,
        stream=sys.stderr,
        now=int(time.time()),
    )
    for image in report.images:
        for name in image.names:
            click.echo(f"{name}@{image.digest}" if image.pushed else f"{name} (not pushed)")


def _preview(flags: Flags, push: bool | None, form: str) -> None:
    from coopery.ci.preview import as_json, as_text, preview

    platform = find_platform(os.environ, _warn)
    settings = read_settings(environ=os.environ, inputs=platform.inputs(), inputs_from=platform.title, flags=flags)
    store = SecretStore(platform, os.environ, platform.mask)
    plan = preview(settings, revision_of(platform), platform, store, now=int(time.time()), push=push)
    click.echo(json.dumps(as_json(plan), indent=2) if form == "json" else as_text(plan))


def _settings(job: Job, flags: Flags) -> Settings:
    return read_settings(environ=job.environ, inputs=job.platform.inputs(), inputs_from=job.platform.title, flags=flags)


def _warn(text: str) -> None:
    click.echo(f"WARNING: {text}", err=True)
