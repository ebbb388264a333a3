"""`coopery migrate`: from kaniko, build-push-action and scripts of docker build to Coopery."""

from __future__ import annotations

import json
import sys

import click

from coopery.errors import UsageError

_LARGEST = 1 << 20
#: Where the words after `--` are kept.
_AFTER = "coopery.migrate.after"


class _WithCommandLine(click.Command):
    """A command that leaves what follows `--` to another one's grammar."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            ctx.meta[_AFTER] = args[args.index("--") + 1 :]
            args = args[: args.index("--")]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@click.command("migrate", cls=_WithCommandLine, short_help="Turn pipelines of other builders into Coopery's.")
@click.argument("file", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Of the result [text].")
@click.option("--platform", default="", metavar="NAME", help="The CI system, by the name of its adapter.")
@click.option("--source", default="", metavar="OWNER/NAME@REF", help="Where the pipeline is to have Coopery from.")
@click.pass_context
def command(context: click.Context, file: str | None, form: str, platform: str, source: str) -> None:
    """Print the pipeline FILE with the steps that build images turned into steps of Coopery's.

    FILE is a pipeline, a Kubernetes manifest or a shell script; `-` is standard input. After `--` stands a command line
    of kaniko's executor or of docker build instead. What can't be carried over is told on standard error, and in
    comments, with the reason and a way out; FILE itself isn't touched.
    """
    from coopery.migrate.adapter import find_migrators
    from coopery.migrate.migrate import migrate_command, migrate_file
    from coopery.migrate.results import Source

    origin = Source.parse(source) if source else Source()
    migrators = find_migrators(lambda text: click.echo(f"WARNING: {text}", err=True))
    words: list[str] | None = context.meta.get(_AFTER)
    if (file is None) == (words is None):
        raise UsageError("one thing at a time is migrated", hint="name a file, or write a command line after --")
    if words is not None:
        name, found = "command line", migrate_command(words, platform, migrators, origin)
    else:
        name = "standard input" if file == "-" else str(file)
        found = migrate_file(name, _read(str(file)), platform, migrators, origin)
    if form == "json":
        click.echo(json.dumps(found.data(), indent=2))
        return
    click.echo(found.text, nl=False)
    if not found.whole and any(step.line for step in found.steps):
        click.echo(f"{name}: these parts are to be put in by hand", err=True)
    for line in found.report(name):
        click.echo(line, err=True)


def _read(path: str) -> str:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(_LARGEST + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path} isn't UTF-8 text", hint="save it as UTF-8") from None
    if len(data) > _LARGEST:
        raise UsageError(f"{path} is larger than pipelines are")
    return text
