"""The Dockerfile language: parsing, expansion of variables, ignore files. Nothing here reads or writes a file."""

from __future__ import annotations

from collections.abc import Sequence

from coopery.dockerfile.instructions import Dockerfile, Instruction
from coopery.errors import Location


def parse(text: bytes | str, path: str = "Dockerfile") -> Dockerfile:
    """The whole file as values; see `coopery.dockerfile.parser.parse`, which is loaded when it is needed."""
    from coopery.dockerfile import parser

    return parser.parse(text, path)


def parse_instruction(trigger: str, location: Location, dockerfile: Dockerfile | None = None) -> Instruction:
    """The instruction of an ONBUILD trigger; see `coopery.dockerfile.parser.parse_instruction`.

    `dockerfile` is the one whose FROM is at `location`, for the excerpt in an error.
    """
    from coopery.dockerfile import parser

    source: Sequence[str] = dockerfile.lines if dockerfile else ()
    return parser.parse_instruction(trigger, location, source)
