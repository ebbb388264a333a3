"""Tag rules, flavor and image names as they are written: metadata-action's grammar. Pure.

A rule is a line of CSV (`type=semver,pattern={{version}},priority=950`): README.md, src/tag.ts,
flavor.ts and image.ts of docker/metadata-action. Unlike there, an attribute that a rule has no use for is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from coopery.ci.expressions import Template, template
from coopery.errors import UsageError, did_you_mean

_COMMON = ("enable", "priority", "prefix", "suffix")
_SEMVER_PARTS = ("raw", "version", "major", "minor", "patch", "prerelease", "build")
_PEP440_PARTS = ("raw", "version", "major", "minor", "patch")


@dataclass(frozen=True, slots=True)
class _Type:
    priority: float
    attributes: tuple[str, ...] = ()
    needs: str = ""  # the one that can't be left out
    defaults: tuple[tuple[str, str], ...] = ()


_TYPES = {
    "schedule": _Type(1000, ("pattern",), defaults=(("pattern", "nightly"),)),
    "semver": _Type(900, ("pattern", "value", "match"), "pattern"),
    "pep440": _Type(900, ("pattern", "value", "match"), "pattern"),
    "match": _Type(800, ("pattern", "group", "value"), "pattern", (("group", "0"),)),
    "edge": _Type(700, ("branch",)),
    "ref": _Type(600, ("event",), "event"),
    "raw": _Type(200, ("value",), "value"),
    "sha": _Type(100, ("format",), defaults=(("format", "short"), ("prefix", "sha-"))),
}
_ATTRIBUTES = {"type", *_COMMON, *(name for each in _TYPES.values() for name in each.attributes)}
_CHOICES = {("ref", "event"): ("branch", "tag", "pr"), ("sha", "format"): ("short", "long")}

#: What holds where no rule is given.
DEFAULT_RULES = ("type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One tag rule. None and empty strings stand for attributes that weren't given."""

    text: str
    type: str
    priority: float
    enable: Template
    prefix: Template | None
    suffix: Template | None
    pattern: Template | None = None  # of schedule, semver and pep440
    value: Template | None = None
    expression: re.Pattern[str] | None = None  # `pattern` of match; `match` of semver and pep440
    every: bool = False  # the expression's flag `g`: groups are then the matches
    group: int = 0
    branch: str = ""
    event: str = ""
    format: str = ""


@dataclass(frozen=True, slots=True)
class WholeName:
    """An image's full name among the rules."""

    text: str
    repository: str
    tag: Template


@dataclass(frozen=True, slots=True)
class Image:
    """A repository that every tag is for."""

    text: str
    name: str
    enable: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """What holds for all tags."""

    latest: str = "auto"  # or true, false
    prefix: Template | None = None
    prefix_latest: bool = False
    suffix: Template | None = None
    suffix_latest: bool = False
    sha_length: int = 7


def parse_tags(entries: Sequence[str]) -> tuple[tuple[Rule, ...], tuple[WholeName, ...]]:
    """The rules in their order of priority, and the full names, that the setting `tags` has.

    An entry is a rule, a tag, or (without any attribute, but with `/` or `:`) a full name. No entries at all are
    `DEFAULT_RULES`. UsageError, naming the entry, for what can't be honoured.
    """
    rules: list[Rule] = []
    names: list[WholeName] = []
    for entry in [line for line in map(str.strip, entries) if line and not line.startswith("#")] or DEFAULT_RULES:
        with _blaming(f"tag rule {entry!r}"):
            fields = _fields(entry)
            if any(key for key, _ in fields):
                rules.append(_rule(entry, fields))
                continue
            for _, value in fields:
                if re.search("[/:]", re.sub(r"\{\{.*?\}\}", "", value)):
                    names.append(_whole_name(value))
                else:
                    rules.append(_rule(value, [("value", value)]))
    return tuple(sorted(rules, key=lambda rule: -rule.priority)), tuple(names)


def parse_images(entries: Sequence[str]) -> tuple[Image, ...]:
    """The setting `images`: names, or `name=NAME,enable=true|false`. UsageError, naming the entry."""
    images: list[Image] = []
    for entry in [line for line in map(str.strip, entries) if line and not line.startswith("#")]:
        with _blaming(f"image {entry!r}"):
            fields = _fields(entry)
            values = {key: value for key, value in fields if key}
            _check_keys(values, ("name", "enable"))
            plain = [value for key, value in fields if not key]
            if values and "name" not in values and len(plain) == 1:
                values["name"] = plain.pop()
            if values and (plain or not values.get("name")):
                raise UsageError("it has no name", hint="write NAME, or name=NAME,enable=true")
            enable = template(values.get("enable", "true"))
            names = [values["name"]] if values else plain
            images += [Image(entry, name.lower(), enable) for name in names]
    return tuple(images)


def parse_flavor(entries: Sequence[str]) -> Flavor:
    """The setting `flavor`: `latest=auto|true|false`, `prefix=TEXT[,onlatest=true]`, `suffix=` likewise, and
    `sha-length=NUMBER`, the length of short commit hashes (7).

    UsageError, naming the entry.
    """
    values: dict[str, str] = {}
    for entry in [line for line in map(str.strip, entries) if line and not line.startswith("#")]:
        with _blaming(f"flavor {entry!r}"):
            affix = ""
            for key, value in _fields(entry):
                _check_keys([key], ("latest", "prefix", "suffix", "onlatest", "sha-length"))
                if key == "onlatest" and not affix:
                    raise UsageError("onlatest belongs to a prefix or suffix", hint="write prefix=TEXT,onlatest=true")
                affix = key if key in ("prefix", "suffix") else affix
                name = f"{affix}-{key}" if key == "onlatest" else key
                allowed = {"latest": ("auto", "true", "false"), "onlatest": ("true", "false")}.get(key, (value,))
                if value not in allowed:
                    raise UsageError(f"{key} is {value!r}", hint=f"it is one of {', '.join(allowed)}")
                if key in ("prefix", "suffix"):
                    template(value)
                if key == "sha-length" and not (re.fullmatch("[0-9]{1,2}", value) and 4 <= int(value) <= 64):
                    raise UsageError(f"{key} is {value!r}", hint="it is a number from 4 to 64")
                values[name] = value
    return Flavor(
        latest=values.get("latest", "auto"),
        prefix=template(values["prefix"]) if values.get("prefix") else None,
        prefix_latest=values.get("prefix-onlatest") == "true",
        suffix=template(values["suffix"]) if values.get("suffix") else None,
        suffix_latest=values.get("suffix-onlatest") == "true",
        sha_length=int(values.get("sha-length", "7")),
    )


@contextmanager
def _blaming(what: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{what}: {error.message}", hint=error.hint) from None


# ------------------------------------------------------------------------------------------------ rules


def _rule(text: str, fields: Sequence[tuple[str, str]]) -> Rule:
    values: dict[str, str] = {}
    for key, value in fields:
        if (key or "value") in values:
            raise UsageError(f"{key or 'value'} is there twice")
        values[key or "value"] = value
    kind = values.pop("type", "raw")
    if kind not in _TYPES:
        hint = did_you_mean(kind, _TYPES) or f"types are {', '.join(_TYPES)}"
        raise UsageError(f"there is no type {kind!r}", hint=hint)
    type_ = _TYPES[kind]
    _check_keys(values, (*type_.attributes, *_COMMON), f"rules of type {kind}")
    if type_.needs and type_.needs not in values:
        raise UsageError(f"it has no {type_.needs}", hint=f"write type={kind},{type_.needs}=…")
    values = {**dict(type_.defaults), **values}
    for (owner, name), allowed in _CHOICES.items():
        if owner == kind and values[name] not in allowed:
            hint = did_you_mean(values[name], allowed) or f"it is one of {', '.join(allowed)}"
            raise UsageError(f"{name} is {values[name]!r}", hint=hint)
    if values.get("event") == "pr":
        values.setdefault("prefix", "pr-")
    expression, every = _expression(kind, values)
    return Rule(
        text=text,
        type=kind,
        priority=_priority(values.get("priority"), type_.priority),
        enable=template(values.get("enable", "true")),
        prefix=template(values["prefix"]) if "prefix" in values else None,
        suffix=template(values["suffix"]) if "suffix" in values else None,
        pattern=_pattern(kind, values),
        value=template(values["value"]) if "value" in values and (values["value"] or kind == "raw") else None,
        expression=expression,
        every=every,
        group=_group(values["group"], expression, every) if kind == "match" else 1,
        branch=values.get("branch", ""),
        event=values.get("event", ""),
        format=values.get("format", ""),
    )


def _whole_name(text: str) -> WholeName:
    hidden = re.sub(r"\{\{.*?\}\}", lambda match: "x" * len(match[0]), text)
    colon = hidden.rfind(":") if hidden.rfind(":") > hidden.rfind("/") else len(text)
    return WholeName(text, text[:colon].lower(), template(text[colon + 1 :] or "latest"))


def _pattern(kind: str, values: Mapping[str, str]) -> Template | None:
    if kind == "match" or "pattern" not in values:
        return None
    return template(values["pattern"], {"semver": _SEMVER_PARTS, "pep440": _PEP440_PARTS}.get(kind, ()))


def _priority(text: str | None, default: float) -> float:
    if text is None:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?", text):
        raise UsageError(f"priority is {text!r}", hint="it is a number, such as 950; higher ones come first")
    return float(text)


def _group(text: str, expression: re.Pattern[str] | None, every: bool) -> int:
    assert expression is not None
    if not re.fullmatch("[0-9]{1,3}", text):
        raise UsageError(f"group is {text!r}", hint="it is a number; 0 is all that the pattern matches")
    if int(text) > expression.groups and not every:
        raise UsageError(f"group is {text}, and the pattern has {expression.groups}")
    return int(text)


def _expression(kind: str, values: Mapping[str, str]) -> tuple[re.Pattern[str] | None, bool]:
    if kind == "match":
        slashed = re.fullmatch(r"/(.+)/(.*)", values["pattern"])
        flags = slashed[2] if slashed else ""
        return _javascript(slashed[1] if slashed else values["pattern"], flags), "g" in flags
    if not values.get("match"):
        return None, False
    found = _javascript(values["match"], "")
    if not found.groups:
        raise UsageError("match has no group", hint="what is in its first parentheses is the version: match=app-(.*)")
    return found, False


def _javascript(pattern: str, flags: str) -> re.Pattern[str]:
    """The regular expression that a pattern is in JavaScript, whose `$` and named groups aren't Python's."""
    known = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "g": re.NOFLAG, "u": re.NOFLAG}
    if unknown := set(flags) - set(known):
        hint = f"flags are {', '.join(known)}"
        raise UsageError(f"the pattern's flag {min(unknown)!r} is not understood", hint=hint)
    found = re.ASCII
    for flag in flags:
        found |= known[flag]
    pieces: list[str] = []
    in_class = False
    for match in re.finditer(r"\\k<(?P<back>\w+)>|\\.|\(\?<(?P<name>[A-Za-z_]\w*)>|.", pattern, re.DOTALL):
        piece = match[0]
        if match["back"]:
            piece = f"(?P={match['back']})"
        elif match["name"] and not in_class:
            piece = f"(?P<{match['name']}>"
        elif piece == "$" and not in_class and "m" not in flags:
            piece = r"\Z"
        elif piece in "[]":
            in_class = piece == "["
        pieces.append(piece)
    try:
        return re.compile("".join(pieces), found)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{pattern!r} is not a regular expression that is understood: {error}") from None


# ------------------------------------------------------------------------------------------------ CSV


def _fields(entry: str) -> list[tuple[str, str]]:
    """The attributes of a line of CSV, in order; the key is empty where a field has none that is a key."""
    fields: list[str] = []
    rest = entry
    while True:
        rest = rest.lstrip(" \t")
        match = re.match(r'"((?:[^"]|"")*)"[ \t]*(,|$)', rest) if rest.startswith('"') else None
        match = match or re.match(r'([^",]*)(,|$)', rest)
        if match is None:
            hint = 'put the quotes around all of the attribute: "pattern={{date \'D, M\'}}"; one inside is written ""'
            raise UsageError("its quotes can't be understood", hint=hint)
        fields.append(match[1].replace('""', '"') if rest.startswith('"') else match[1])
        rest = rest[match.end() :]
        if not match[2]:
            break
    found = []
    for field in fields:
        if field.count("{{") > field.count("}}"):
            hint = "a comma ends an attribute: put quotes around the whole of it, as in \"pattern={{date 'D, M'}}\""
            raise UsageError(f"{field!r} has {{{{ without a matching }}}}", hint=hint)
        match = re.match(r"([^={}/:]+)=", field)  # braces, slashes and colons are in values only
        found.append((match[1].strip().lower(), field[match.end() :].strip()) if match else ("", field.strip()))
    if "\n" in entry:
        raise UsageError("it has several lines", hint="write an entry for each")
    if not any(key or value for key, value in found):
        raise UsageError("it is empty")
    return [(key, value) for key, value in found if key or value]


def _check_keys(keys: Sequence[str] | Mapping[str, str], known: Sequence[str], owner: str = "") -> None:
    for key in keys:
        if key in known:
            continue
        if owner and key in _ATTRIBUTES:
            raise UsageError(f"{owner} have no {key}", hint=f"they have {', '.join(known)}")
        if not key:
            raise UsageError("a value has no key before it", hint=f"keys are {', '.join(known)}")
        raise UsageError(f"unknown key {key!r}", hint=did_you_mean(key, known) or f"keys are {', '.join(known)}")
