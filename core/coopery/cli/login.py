"""`coopery login`: checks a credential against a registry and keeps it where docker and podman look."""

from __future__ import annotations

import os
import sys

import click

from coopery.cli.registry_options import registry_options
from coopery.credentials.keeping import auth_file_path, keep
from coopery.credentials.keys import parse_place
from coopery.errors import UsageError
from coopery.ports import Credential
from coopery.registry.login import log_in
from coopery.registry.settings import RegistrySettings
from coopery.registry.transport import Transport

_MAX_PASSWORD = 32 << 10  # bytes; tokens of some vendors have thousands


@click.command("login", short_help="Log in to a registry.")
@click.argument("registry", default="", required=False)
@click.option("-u", "--username", default="", metavar="USER", help="The user name.")
@click.option("-p", "--password", default="", metavar="PASSWORD", help="The password, for all processes to see.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--authfile", default="", metavar="PATH", help="The file to keep the credential in.")
@registry_options(mirrors=False)
def command(
    registry: str, username: str, password: str, password_stdin: bool, authfile: str, registries: RegistrySettings
) -> None:
    """Log in to a registry: Docker Hub without REGISTRY, a namespace only with HOST/NAMESPACE.

    The credential is checked first. It is kept by the credential helper in charge of the registry, or else in
    REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json or ~/.docker/config.json.
    """
    place = parse_place(registry)
    path = auth_file_path(os.environ, authfile)
    credential = Credential(*_who(username, password, password_stdin))
    transport = Transport(settings=registries)
    try:
        asked = log_in(place.host, credential, transport)
    finally:
        transport.close()
    if not asked:
        click.echo(f"WARNING: {place.host} asks nobody who they are: the credential was not checked", err=True)
    where = keep(path, place, credential, os.environ)
    click.echo(f"Logged in to {place}; the credential is kept in {where}", err=True)
    if not authfile and os.environ.get("DOCKER_AUTH_CONFIG"):
        click.echo("WARNING: what DOCKER_AUTH_CONFIG says comes before what is kept there", err=True)


def _who(username: str, password: str, password_stdin: bool) -> tuple[str, str]:
    """User name and password, out of the options, standard input or the terminal. UsageError if one is missing."""
    if password and password_stdin:
        raise UsageError("--password and --password-stdin exclude each other")
    if password:
        hint = "use --password-stdin"
        click.echo(f"WARNING: every process of this machine can read a password on the command line: {hint}", err=True)
    if password_stdin:
        if not username:
            raise UsageError("--password-stdin needs a user name", hint="add --username USER")
        password = _read_password()
    if not username or not password:
        if not sys.stdin.isatty():
            missing = "password" if username else "user name"
            hint = "give --username USER, and the password to --password-stdin"
            raise UsageError(f"there is no {missing}, and no terminal to ask at", hint=hint)
        username = username or click.prompt("Username", err=True)
        password = password or click.prompt("Password", hide_input=True, err=True)
    if ":" in username or not username.isprintable():
        raise UsageError(
            "a user name has no colons and no control characters", hint="RFC 7617, section 2, forbids them"
        )
    return username, password


def _read_password() -> str:
    """Standard input without the line break at its end, as docker reads it."""
    data = sys.stdin.buffer.read(_MAX_PASSWORD + 1)
    text = data.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
    if not text:
        raise UsageError("standard input holds no password", hint='pipe it in: printf %s "$TOKEN" | coopery login …')
    if len(data) > _MAX_PASSWORD:
        raise UsageError(f"what standard input holds is no password: it has more than {_MAX_PASSWORD} bytes")
    if "\n" in text or "\0" in text:
        raise UsageError("what standard input holds is no password: it has more than one line")
    return text
