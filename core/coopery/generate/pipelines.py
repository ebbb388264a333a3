"""Pipelines out of the templates that adapters bring.

An adapter's template is `pipeline.j2` in a folder `templates`: in its package, as in a wheel, or beside it, as in a
checkout. It has `plan` (a `Plan`), and may import `shared.j2` of this package. Its tags are `<% … %>`, `<< … >>` and
`<# … #>`, since pipelines themselves are full of braces.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, NoReturn

from coopery.ci.platform import ENTRY_POINTS
from coopery.ci.written import did_you_mean
from coopery.errors import EnvironmentUnsuitable, UsageError
from coopery.generate.plan import Wish, make_plan

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATE = "pipeline.j2"


def platforms() -> Mapping[str, EntryPoint]:
    """The platforms that there are adapters for, by name."""
    from importlib.metadata import entry_points

    return {point.name: point for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)}


def generate(platform: str, wish: Wish) -> str:
    """The text of a complete pipeline for `platform`.

    UsageError for a platform that isn't there and for what it can't do; EnvironmentUnsuitable if its adapter can't be
    loaded.
    """
    point = platforms().get(platform)
    if point is None:
        raise UsageError(f"there is no CI platform {platform!r}", hint=did_you_mean(platform, platforms()))
    hint = "install Coopery anew, or the package that brings it"
    try:
        title: str = point.load().title
    except (ImportError, AttributeError, SyntaxError) as error:
        raise EnvironmentUnsuitable(f"the adapter {platform} can't be loaded: {error}", hint=hint) from error
    folder = _templates(point)
    if not folder:
        raise EnvironmentUnsuitable(f"the adapter {platform} has no template of a pipeline", hint=hint)
    plan = make_plan(wish, platform, title)
    return _environment(folder).get_template(_TEMPLATE).render(plan=plan)


def _templates(point: EntryPoint) -> str:
    """The folder with the template of an adapter; empty if there is none."""
    from importlib.util import find_spec

    spec = find_spec(point.module.partition(".")[0])
    packages = (spec.submodule_search_locations or []) if spec else []
    folders = [os.path.join(package, place) for package in packages for place in ("templates", "../templates")]
    return next((folder for folder in folders if os.path.exists(os.path.join(folder, _TEMPLATE))), "")


@cache
def _environment(folder: str) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from coopery.generate import aws, plan, quoting

    made = Environment(
        loader=FileSystemLoader([folder, os.path.dirname(os.path.abspath(__file__))]),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - what is made is no HTML: values are quoted by filters
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    made.filters |= {
        "yaml": quoting.yaml_scalar,
        "groovy": quoting.groovy_string,
        "block": quoting.block,
        "comment": quoting.comment,
        "word": plan.word_of,
    }
    made.globals |= {"aws": aws, "refuse": _refuse}
    return made


def _refuse(message: str, hint: str) -> NoReturn:
    """What a template says of a wish that its platform can't grant."""
    raise UsageError(message, hint=hint)
