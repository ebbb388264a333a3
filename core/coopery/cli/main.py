"""The `coopery` command: its subcommands are loaded when they are called."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping

import click

from coopery import __version__
from coopery.errors import CooperyError, Interrupted, StorageError

_COMMANDS: Mapping[str, str] = {
    "build": "coopery.cli.build",
    "cache": "coopery.cli.cache",
    "check": "coopery.cli.check",
    "ci": "coopery.cli.ci",
    "copy": "coopery.cli.copy",
    "doctor": "coopery.cli.doctor",
    "generate": "coopery.cli.generate",
    "index": "coopery.cli.index",
    "inspect": "coopery.cli.inspect",
    "login": "coopery.cli.login",
    "logout": "coopery.cli.logout",
    "migrate": "coopery.cli.migrate",
}


class _Lazy(click.Group):
    """A group whose commands' modules are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], _COMMANDS, 1)
            if close:
                raise click.UsageError(f"{error.message} Did you mean {close[0]!r}?", error.ctx) from None
            raise


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="coopery")
def cli() -> None:
    """Build container images without a daemon and without privileges."""


def run(arguments: list[str]) -> int:
    """The exit status of one command line; errors are printed to standard error, never raised."""
    try:
        status = cli.main(arguments, prog_name="coopery", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _report(Interrupted("interrupted"))
    except CooperyError as error:
        return _report(error)
    except (BrokenPipeError, SystemExit):
        return 0  # nobody reads on; click makes a SystemExit of it
    except OSError as error:
        return _report(StorageError(f"the operating system refuses: {error}"))
    except Exception as error:
        return _internal(error)
    return status if isinstance(status, int) else 0  # what a command ends with that failed in no way


def _report(error: CooperyError) -> int:
    lines = [f"ERROR: {error.message}"]
    if error.detail:
        lines.append(error.detail)
    if error.hint:
        lines.append(f"hint: {error.hint}")
    click.echo("\n".join(lines), err=True)
    return error.exit_code


def _internal(error: Exception) -> int:
    if os.environ.get("COOPERY_DEBUG"):
        import traceback

        traceback.print_exception(error)
    click.echo(f"ERROR: internal error: {type(error).__name__}: {error}", err=True)
    click.echo("hint: this is a fault of coopery's own; COOPERY_DEBUG=1 shows where it happened", err=True)
    return CooperyError.exit_code
