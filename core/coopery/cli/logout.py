"""`coopery logout`: forgets what `coopery login` or `docker login` kept."""

from __future__ import annotations

import os

import click

from coopery.credentials.keeping import auth_file_path, forget
from coopery.credentials.keys import parse_place


@click.command("logout", short_help="Log out of a registry.")
@click.argument("registry", default="", required=False)
@click.option("--authfile", default="", metavar="PATH", help="The file that keeps the credential.")
def command(registry: str, authfile: str) -> None:
    """Log out of a registry: Docker Hub without REGISTRY. The credential is removed where `coopery login` keeps it."""
    place = parse_place(registry)
    path = auth_file_path(os.environ, authfile)
    if forget(path, place, os.environ):
        click.echo(f"Logged out of {place}", err=True)
    else:
        click.echo(f"Not logged in to {place}: {path} has nothing for it", err=True)
