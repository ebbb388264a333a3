"""`coopery cache`: what the local cache holds, and making room in it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import click

from coopery.cache.layout import cache_root
from coopery.cache.prune import Usage, disk_usage, prune
from coopery.cli.values import parse_age
from coopery.engines.spelling import parse_size_option
from coopery.errors import UsageError
from coopery.progress.amounts import human_size


@click.group("cache", short_help="Show or prune the local cache.")
def command() -> None:
    """Show or prune the local cache: $COOPERY_CACHE, or coopery below $XDG_CACHE_HOME or ~/.cache."""


@command.command("du", short_help="Show how much the cache holds.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="The output's form [text].")
def du(form: str) -> None:
    """Show how many entries the cache holds, and how many bytes they take on disk."""
    root = cache_root(os.environ)
    usages = disk_usage(root)
    if form == "json":
        kinds = {usage.kind: {"entries": usage.entries, "bytes": usage.size} for usage in usages}
        total = sum(usage.size for usage in usages)
        click.echo(json.dumps({"root": root, "bytes": total, "kinds": kinds}, indent=2))
        return
    click.echo(root)
    _table(usages)


@command.command("prune", short_help="Remove entries from the cache.")
@click.option("-a", "--all", "everything", is_flag=True, help="Remove everything.")
@click.option("--until", metavar="AGE", help="Remove what was not used for this long: 24h, 7d.")
@click.option("--filter", "filters", multiple=True, metavar="until=AGE", help="The same in docker's spelling.")
@click.option("--keep-storage", "--max-used-space", metavar="SIZE", help="Keep this much, used last: 10g.")
@click.option("-f", "--force", is_flag=True, help="Accepted for docker's sake: nothing is asked anyway.")
def prune_command(
    everything: bool, until: str | None, filters: Sequence[str], keep_storage: str | None, force: bool
) -> None:
    """Remove entries from the cache, those used least recently first. Says what it removed."""
    for text in filters:
        key, _, value = text.partition("=")
        if key != "until" or not value:
            raise UsageError(f"--filter {text!r}: there is only until=AGE")
        until = value
    if not everything and until is None and keep_storage is None:
        raise UsageError("nothing says what to remove", hint="give --until AGE, --keep-storage SIZE or --all")
    dropped = prune(
        cache_root(os.environ),
        older_than=None if everything or until is None else parse_age(until, "--until"),
        keep_bytes=None if everything or keep_storage is None else parse_size_option(keep_storage, "--keep-storage"),
    )
    _table(dropped)


def _table(usages: Sequence[Usage]) -> None:
    for usage in usages:
        click.echo(f"{usage.kind:16} {usage.entries:8} {human_size(usage.size):>10}")
    click.echo(f"{'total':16} {sum(u.entries for u in usages):8} {human_size(sum(u.size for u in usages)):>10}")
