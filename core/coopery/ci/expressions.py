"""Expressions in tag rules and labels: `{{branch}}`, `{{date 'YYYYMMDD'}}`, `{{#if major}}…{{/if}}`. Pure.

They are that part of Handlebars' language that makes sense where there are no objects to walk through
(handlebarsjs.com/guide/expressions.html, builtin-helpers.html). Two things are different on purpose: values aren't
escaped for HTML, and what has no meaning is an error rather than an empty string.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coopery.ci.moments import formatted, moment, zone
from coopery.ci.revision import Revision
from coopery.ci.versions import Version
from coopery.errors import UsageError, did_you_mean

_FLAGS = ("is_default_branch", "is_not_default_branch")
_DATES = ("date", "commit_date")
#: What every expression may name: metadata-action's "Global expressions".
GLOBAL = ("branch", "tag", "sha", "base_ref", *_FLAGS, *_DATES)

_MUSTACHE = re.compile(
    r"(?P<slashes>\\*)(?:\{\{!--.*?--~?\}\}|\{\{~?!.*?\}\}|\{\{\{(?P<triple>[^{}]*)\}\}\}|\{\{(?P<double>[^{}]*)\}\}"
    r"|(?P<open>\{\{))",
    re.DOTALL,
)
_WORD = re.compile(
    r"""\s*(?:(?P<key>[A-Za-z_]\w*)\s*=\s*)?(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>[^\s'"=()|]+))(?=\s|$)"""
)
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Scope:
    """What expressions are about. `now` is in seconds since 1970; `version` is that of the rule at hand."""

    revision: Revision
    now: int
    sha_length: int = 7
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class _Value:
    name: str
    form: str = ""  # of a date
    zone: str = ""


@dataclass(frozen=True, slots=True)
class _Choice:
    name: str
    zero: bool  # whether 0 counts as something
    then: tuple[_Node, ...]
    otherwise: tuple[_Node, ...]


_Node = str | _Value | _Choice


@dataclass(frozen=True, slots=True)
class Template:
    """A text with expressions in it."""

    nodes: tuple[_Node, ...]

    def render(self, scope: Scope) -> str:
        """The text, with the values that its expressions have in `scope`."""
        return "".join(_render(node, scope) for node in self.nodes)

    @property
    def is_raw(self) -> bool:
        """Whether it is `{{raw}}` and nothing else."""
        return self.nodes == (_Value("raw"),)


def built_branch(revision: Revision) -> str:
    """The branch whose head is built. Empty for tags, for changes, and for queues: their result is not on it yet."""
    return "" if revision.tag or revision.event in ("change", "queue") else revision.branch


def built_tag(revision: Revision) -> str:
    """The git tag that is built; empty if it is something else."""
    return "" if revision.event in ("change", "queue") else revision.tag


def template(text: str, parts: Sequence[str] = ()) -> Template:
    """`text` with its expressions understood; `parts` are the names that are known besides the global ones.

    UsageError if an expression is malformed or names something unknown.
    """
    tokens = _tokens(text)
    nodes, rest = _block(tokens, frozenset((*GLOBAL, *parts)), 0)
    if rest:
        raise UsageError(f"{{{{{rest[0][1]}}}}} closes nothing", hint="blocks are {{#if NAME}}…{{else}}…{{/if}}")
    return Template(nodes)


# ------------------------------------------------------------------------------------------------ reading

#: Whether it is an expression, and the text or what stands between the braces.
_Token = tuple[bool, str]


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, trim = 0, False

    def add(literal: str) -> None:
        if literal:
            found.append((False, literal))

    for match in _MUSTACHE.finditer(text):
        literal = text[at : match.start()]
        at = match.end()
        slashes = len(match["slashes"])
        if match["open"] is not None and slashes != 1:
            hint = "a comma ends an attribute: put quotes around the whole of it, as in \"pattern={{date 'D, M'}}\""
            raise UsageError(f"{text[match.start() :]!r} has {{{{ without a matching }}}}", hint=hint)
        if trim:
            literal = literal.lstrip()
        if slashes == 1:  # Handlebars' way of writing braces
            add(literal + match[0][1:])
            trim = False
            continue
        literal += "\\" * (slashes - 1)
        inner = match["triple"] if match["triple"] is not None else match["double"]
        tag = match[0][slashes:]
        add(literal.rstrip() if tag.startswith("{{~") else literal)
        trim = tag.endswith("~}}")
        if inner is not None:
            found.append((True, inner.strip().removeprefix("~").removesuffix("~").removeprefix("&").strip()))
    add(text[at:].lstrip() if trim else text[at:])
    return found


def _block(tokens: list[_Token], known: frozenset[str], depth: int) -> tuple[tuple[_Node, ...], list[_Token]]:
    """The nodes up to what ends the block they are in, and the tokens from there on."""
    if depth > _DEEPEST:
        raise UsageError(f"{{{{#if}}}} is nested more than {_DEEPEST} times")
    nodes: list[_Node] = []
    while tokens:
        is_expression, text = tokens[0]
        if not is_expression:
            nodes.append(text)
        elif text.startswith("#"):
            choice, tokens = _choice(tokens, text[1:], known, depth)
            nodes.append(choice)
            continue
        elif text.startswith("/") or text.split(None, 1)[:1] == ["else"] or text == "^":
            break
        else:
            nodes.append(_value(text, known))
        tokens = tokens[1:]
    return tuple(nodes), tokens


def _choice(
    tokens: list[_Token], text: str, known: frozenset[str], depth: int, end: str = ""
) -> tuple[_Choice, list[_Token]]:
    """The choice that `text`, without its `#`, begins, and the tokens after its end, `{{/end}}`."""
    words = _words(text)
    helper = words[0][1]
    zero = words[2:] == [("includeZero", "true")]
    if helper not in ("if", "unless") or len(words) < 2 or words[1][0] or (words[2:] and not zero):
        raise UsageError(f"{{{{#{text}}}}} is not understood", hint="there are {{#if NAME}} and {{#unless NAME}}")
    end = end or helper
    name = _known(words[1][1], known - set(_DATES))
    first, tokens = _block(tokens[1:], known, depth + 1)
    second: tuple[_Node, ...] = ()
    if tokens and not tokens[0][1].startswith("/"):
        chained = tokens[0][1].removeprefix("else").removeprefix("^").strip()
        if chained:
            inner, tokens = _choice(tokens, chained, known, depth + 1, end)
            second = (inner,)
            return _chosen(helper, name, zero, first, second), tokens
        second, tokens = _block(tokens[1:], known, depth + 1)
    if not tokens or tokens[0][1] != f"/{end}":
        raise UsageError(f"{{{{#{text}}}}} has no {{{{/{end}}}}}")
    return _chosen(helper, name, zero, first, second), tokens[1:]


def _chosen(helper: str, name: str, zero: bool, first: tuple[_Node, ...], second: tuple[_Node, ...]) -> _Choice:
    return _Choice(name, zero, first, second) if helper == "if" else _Choice(name, zero, second, first)


def _value(text: str, known: frozenset[str]) -> _Value:
    words = _words(text)
    name = _known(words[0][1], known)
    if name not in _DATES:
        if len(words) > 1:
            raise UsageError(f"{{{{{text}}}}} is not understood", hint=f"{name} stands alone: {{{{{name}}}}}")
        return _Value(name)
    forms = [word for key, word in words[1:] if not key]
    options = {key: word for key, word in words[1:] if key}
    if len(forms) != 1 or not forms[0] or set(options) - {"tz"} or len(options) + 2 < len(words):
        hint = f"write {{{{{name} 'YYYYMMDD'}}}}, or {{{{{name} 'YYYYMMDD' tz='Europe/Berlin'}}}}"
        raise UsageError(f"{{{{{text}}}}} is not understood", hint=hint)
    zone(options.get("tz", "UTC"))  # now, rather than on the day when the rule is first used
    return _Value(name, forms[0], options.get("tz", "UTC"))


def _words(text: str) -> list[tuple[str, str]]:
    """The parts of an expression: each its key, if it has one, and its value."""
    words: list[tuple[str, str]] = []
    at = 0
    while text[at:].strip():
        match = _WORD.match(text, at)
        if match is None:
            raise UsageError(f"{{{{{text}}}}} is not understood", hint="write {{NAME}}, or {{NAME 'TEXT' KEY='TEXT'}}")
        value = next(part for part in (match["single"], match["double"], match["bare"]) if part is not None)
        words.append((match["key"] or "", value))
        at = match.end()
    if not words or words[0][0]:
        raise UsageError(f"{{{{{text}}}}} names nothing")
    return words


def _known(name: str, known: frozenset[str]) -> str:
    if name in known:
        return name
    hint = did_you_mean(name, sorted(known)) or f"known here: {', '.join(sorted(known))}"
    raise UsageError(f"{{{{{name}}}}} is unknown here", hint=hint)


# ------------------------------------------------------------------------------------------------ rendering


def _render(node: _Node, scope: Scope) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, _Choice):
        value = _look_up(node.name, scope)
        holds = bool(value) or (node.zero and value == 0 and not isinstance(value, bool))
        return "".join(_render(each, scope) for each in (node.then if holds else node.otherwise))
    if node.name in _DATES:
        when = moment(scope.revision.commit_time) if node.name == "commit_date" else None
        when = when or moment(scope.now) or moment(0)
        assert when is not None
        return formatted(when.astimezone(zone(node.zone)), node.form)
    value = _look_up(node.name, scope)
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _look_up(name: str, scope: Scope) -> str | int | bool | tuple[str, ...]:
    revision, version = scope.revision, scope.version
    default = bool(built_branch(revision)) and revision.on_default_branch
    values: dict[str, str | int | bool | tuple[str, ...]] = {
        "branch": built_branch(revision),
        "tag": built_tag(revision),
        "sha": revision.commit[: scope.sha_length],
        # Not of a tag: one platform alone says which branch it was cut from, and that only sometimes.
        "base_ref": revision.base_branch if revision.event == "change" else "",
        "is_default_branch": default,
        "is_not_default_branch": not default,
    }
    if version is not None:
        values |= {
            "raw": version.raw,
            "version": version.text,
            "major": version.major,
            "minor": version.minor,
            "patch": version.patch,
            "prerelease": version.prerelease,
            "build": version.build,
        }
    return values[name]
