"""The options that say how registries are reached, for every command that reaches any."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import click

from coopery.registry.settings import registry_settings

Command = Callable[..., Any]

_CONNECTION: tuple[tuple[str, str, str], ...] = (
    ("--insecure-registry", "HOST", "Speak unverified TLS, or else plain HTTP, to a registry or network."),
    ("--plain-http", "HOST", "Speak plain HTTP to a registry."),
    ("--skip-tls-verify-registry", "HOST", "Don't verify a registry's certificate."),
    ("--registry-certificate", "HOST=PATH", "Trust these certificate authorities for a registry."),
    ("--registry-client-cert", "HOST=CERT,KEY", "Show a registry this certificate of ours."),
)
_MIRRORS: tuple[tuple[str, str, str], ...] = (
    ("--registry-mirror", "HOST[/PREFIX]", "Pull Docker Hub's images from here first."),
    ("--registry-map", "A=B[/PREFIX][,C]", "Pull images of registry A from B, then C."),
)


def registry_options(*, mirrors: bool = True) -> Callable[[Command], Command]:
    """A decorator for a click command: adds the options, and passes what they and the environment say to the command
    as `registries`, a RegistrySettings. Commands that pull nothing go without the options for mirrors.

    UsageError for values that can't be read.
    """

    def decorate(command: Command) -> Command:
        names = [option[2:].replace("-", "_") for option, _, _ in _CONNECTION + (_MIRRORS if mirrors else ())]
        if mirrors:
            names.append("skip_default_registry_fallback")

        @functools.wraps(command)
        def with_settings(*arguments: Any, **options: Any) -> Any:
            given = {name: options.pop(name) for name in names}
            return command(*arguments, registries=registry_settings(os.environ, **given), **options)

        wrapped: Command = with_settings
        if mirrors:
            wrapped = click.option(
                "--skip-default-registry-fallback",
                is_flag=True,
                help="Fail if no mirror has an image, rather than ask its own registry.",
            )(wrapped)
        for option, metavar, text in reversed(_CONNECTION + (_MIRRORS if mirrors else ())):
            wrapped = click.option(option, multiple=True, metavar=metavar, help=text)(wrapped)
        return wrapped

    return decorate
