"""The report as JSON, and back.

The object has the members of `report.Report` under their own names, and those of the values in it likewise; `format` is
1. Sizes are bytes, times seconds, a missing value is null. Members may be added within a format; `schema` describes it
in JSON Schema.
"""

from __future__ import annotations

import json
import re
import types
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from coopery.ci.report import Report
from coopery.errors import UsageError

#: Raised when a member changes its meaning or goes.
FORMAT = 1

_SURROGATE = re.compile("[\ud800-\udfff]")
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def encode(report: Report) -> str:
    """The report as JSON text. What isn't Unicode in it (bytes of file names, say) becomes U+FFFD."""
    value = {"format": FORMAT, **_plain(report)}
    return _SURROGATE.sub("\ufffd", json.dumps(value, indent=2, ensure_ascii=False)) + "\n"


def decode(text: str | bytes) -> Report:
    """The report that `encode` wrote. Members that this version doesn't know are passed over; UsageError for anything
    that isn't a report."""
    try:
        value = json.loads(text)
        if value["format"] != FORMAT:
            raise UsageError(f"this is a report of format {value['format']!r}, not {FORMAT}")
        made = _value(Report, value)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(f"this is not a report: {error}", hint="it is what `coopery ci` wrote as JSON") from error
    assert isinstance(made, Report)
    return made


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what `encode` gives."""
    value = _schema(Report)
    value["properties"] = {"format": {"const": FORMAT}, **value["properties"]}
    value["required"] = ["format", *value["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Report of coopery ci", **value}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(hint: Any, value: Any) -> Any:
    """`value`, as it came from JSON, as the type that `hint` stands for. TypeError if it can't be."""
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        known = {field.name for field in fields(hint)} & set(value)
        return hint(**{name: _value(_hints(hint)[name], value[name]) for name in known})
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], item) for item in value)
    if origin is dict and isinstance(value, dict):
        return {key: _value(inner[1], item) for key, item in value.items()}
    if origin in (Union, types.UnionType):
        return None if value is None else _value(inner[0], value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint or (origin is Literal and value in inner):
        return value
    raise TypeError(f"{str(value)[:100]!r} stands where it can't")


def _schema(hint: Any) -> dict[str, Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        required = [field.name for field in fields(hint) if field.default is MISSING is field.default_factory]
        properties = {field.name: _schema(_hints(hint)[field.name]) for field in fields(hint)}
        return {"type": "object", "properties": properties, "required": required}
    if origin is tuple:
        return {"type": "array", "items": _schema(inner[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(inner[1])}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(inner[0]), {"type": "null"}]}
    if origin is Literal:
        return {"enum": list(inner)}
    return {"type": _SCALARS[hint]}
