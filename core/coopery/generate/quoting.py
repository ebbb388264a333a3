"""How values are written into pipelines: each language's own quotes, where they are needed. Pure."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./:@=+,{}-]*")
_FLOW = re.compile(r"[^,{}]*")


def yaml_scalar(text: str, flow: bool = False) -> str:
    """`text` as YAML reads it back, in a block or with `flow` in `[…]`: plain if that is safe, else in quotes."""
    import yaml

    plain = _PLAIN.fullmatch(text) and not text.endswith(":") and (not flow or _FLOW.fullmatch(text))
    if plain and yaml.safe_load(text) == text:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    return character if character.isprintable() else f"\\x{code:02x}" if code < 0x100 else f"\\U{code:08x}"


def groovy_string(text: str) -> str:
    """`text` in single quotes, in which Groovy puts nothing in place."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def block(text: str) -> str:
    """`text` without line ends around it."""
    return text.strip("\n")


def comment(text: str, mark: str) -> str:
    """The lines of `text`, each after `mark` and a space, with at most one empty line in a row."""
    lines = re.sub(r"\n{3,}", "\n\n", text.strip("\n")).split("\n")
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in lines)
