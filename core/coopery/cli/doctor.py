"""`coopery doctor`: what this machine allows, and what would make it faster or safer."""

from __future__ import annotations

import json
import os

import click

from coopery.build import probe_ladder
from coopery.errors import EnvironmentUnsuitable
from coopery.sandbox.enter import ISOLATIONS, enter
from coopery.sandbox.probe import environment_facts


@click.command("doctor", short_help="Say how steps would be run on this machine, and why.")
@click.option("--isolation", default="auto", type=click.Choice(list(ISOLATIONS)), help="As for build [auto].")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="The output's form [text].")
def command(isolation: str, form: str) -> None:
    """Try every way of running steps and say which can be used here, and why the others can't.

    Ends with status 10 if none can.
    """
    facts = environment_facts(os.environ)
    entered = enter(isolation, os.environ)
    rungs = probe_ladder(entered, os.environ)
    chosen = next((name for name, reason in rungs if reason is None), None)
    if form == "json":
        value = {
            "mode": entered.mode,
            "ids": entered.id_map,
            "refused": list(entered.refused),
            "ladder": [{"name": name, "usable": reason is None, "reason": reason} for name, reason in rungs],
            "chosen": chosen,
            "facts": [{"name": f.name, "value": f.value, "ok": f.ok, "hint": f.hint} for f in facts],
        }
        click.echo(json.dumps(value, indent=2))
    else:
        click.echo("ways of running steps:")
        for name, reason in rungs:
            mark = "*" if name == chosen else "+" if reason is None else "-"
            click.echo(f"  {mark} {name}" + (f": {reason}" if reason else ""))
        click.echo(f"namespaces: {entered.mode} ({entered.id_map})")
        for line in entered.refused:
            click.echo(f"  - {line}")
        click.echo("this machine:")
        for fact in facts:
            click.echo(f"  {'+' if fact.ok else '-'} {fact.name}: {fact.value}")
            if fact.hint and not fact.ok:
                click.echo(f"      {fact.hint}")
    if chosen is None:
        raise EnvironmentUnsuitable(
            "no way of running steps works on this machine", hint="the lines above say what each of them lacks"
        )
