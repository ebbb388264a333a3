"""The JSON schema of coopery.yaml, for editors: made of the table of keys. The copy that is shipped lies beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from coopery.ci.keys import ALIASES, FILE_KEYS, LOGINS, REGISTRY_KEYS, TARGET_KEYS, EntryKey, Key

#: The shipped copy, beside this file.
FILE = "coopery.schema.json"

_SCALAR = ["string", "number", "boolean"]
_FLAG = {"enum": [True, False, "true", "false", "yes", "no", "on", "off"]}
_LINES = {"type": "array", "items": {"type": _SCALAR}}
_TARGET_NAME = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"


def schema() -> dict[str, Any]:
    """The schema, of draft 7, which editors know."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "coopery.yaml",
        "description": "What `coopery ci` builds, the same on every CI platform.",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": _with_aliases({name: _key(key) for name, key in FILE_KEYS.items()}),
    }


def schema_text() -> str:
    """The schema as the file has it."""
    return json.dumps(schema(), indent=2) + "\n"


def _key(key: Key) -> dict[str, Any]:
    return {"description": key.description, **_SHAPES[key.kind](key)}


def _text(key: Key) -> dict[str, Any]:
    if not key.choices:
        return {"type": [*_SCALAR, "null"]}
    truths = [word == "true" for word in key.choices if word in ("true", "false")]
    return {"enum": [*key.choices, *truths, None]}


def _number(_: Key) -> dict[str, Any]:
    return {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$"}


def _flag(_: Key) -> dict[str, Any]:
    return {"enum": [*_FLAG["enum"], None]}


def _list(key: Key) -> dict[str, Any]:
    shapes: list[dict[str, Any]] = [{"type": [*_SCALAR, "null"]}, _LINES]
    if key.name == "flavor":
        shapes.append(_mapping(key)["anyOf"][0])
    return {"anyOf": shapes}


def _mapping(_: Key) -> dict[str, Any]:
    values = {"type": "object", "additionalProperties": {"type": [*_SCALAR, "null"]}}
    return {"anyOf": [values, _LINES, {"type": ["string", "null"]}]}


def _secrets(_: Key) -> dict[str, Any]:
    places = [
        {"type": "object", "required": [kind], "additionalProperties": False, "properties": {kind: {"type": "string"}}}
        for kind in ("env", "file")
    ]
    values = {"type": "object", "additionalProperties": {"anyOf": [{"type": ["string", "null"]}, *places]}}
    return {"anyOf": [values, _LINES, {"type": ["string", "null"]}]}


def _registries(_: Key) -> dict[str, Any]:
    together = {
        name: [each for each in LOGINS[key.login] if each != name] for name, key in REGISTRY_KEYS.items() if key.login
    }
    entry = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _entry(key) for name, key in REGISTRY_KEYS.items()},
        "dependencies": {name: needed for name, needed in together.items() if needed},
    }
    return {"type": ["object", "null"], "additionalProperties": entry}


def _entry(key: EntryKey) -> dict[str, Any]:
    shapes: dict[str, dict[str, Any]] = {
        "text": {"type": [*_SCALAR, "null"]},
        "flag": {"enum": [*_FLAG["enum"], None]},
        "list": {"anyOf": [{"type": [*_SCALAR, "null"]}, _LINES]},
    }
    return {"description": key.description, **shapes[key.kind]}


def _targets(_: Key) -> dict[str, Any]:
    properties = {name: _key(key) for name, key in TARGET_KEYS.items()}
    one = {"type": ["object", "null"], "additionalProperties": False, "properties": _with_aliases(properties)}
    return {"type": ["object", "null"], "patternProperties": {_TARGET_NAME: one}, "additionalProperties": False}


def _with_aliases(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties, and those that are other spellings of them, sorted."""
    also = {alias: {**properties[name], "description": f"The same as {name}."} for alias, name in ALIASES.items()}
    return dict(sorted({**properties, **also}.items()))


_SHAPES = {
    "text": _text,
    "number": _number,
    "flag": _flag,
    "list": _list,
    "mapping": _mapping,
    "secrets": _secrets,
    "registries": _registries,
    "targets": _targets,
}
