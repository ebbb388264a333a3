"""Reads and writes the Groovy that a migration is about: calls of steps, strings, cooperyBuild with its arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coopery.migrate.draft import Draft
from coopery.migrate.logins import named_login
from coopery.migrate.spelling import Speller, Step
from coopery.migrate.words import Native, Natives, Variable, Word

#: Around Groovy's own expressions in scripts, so that they are told from the shell's; nobody writes these characters.
_OPEN, _CLOSE = "\ue0d0", "\ue0d1"
_MARKED = re.compile(f"{_OPEN}(.*?){_CLOSE}", re.DOTALL)
_KNOWN = re.compile(
    r"(?:BUILD|JOB|GIT|BRANCH|CHANGE|TAG|NODE|EXECUTOR|STAGE|JENKINS|HUDSON|RUN)_\w+|WORKSPACE(?:_TMP)?|CI"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
_NAMES = re.compile(r"\$[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a step or a method."""

    name: str  # with what it is called on: docker.build
    arguments: Sequence[Any]
    named: Mapping[str, Any]
    closures: Sequence[Any]
    target: Any = None  # what it is called on


def call_of(node: Any) -> tuple[str, Call | None]:
    """The variable that a statement sets, if it sets one, and the call that it is; None if it is none."""
    kind = node.type
    if kind == "expression_statement" and node.named_child_count == 1:
        return call_of(node.named_children[0])
    if kind in ("local_variable_declaration", "variable_declarator", "assignment_expression"):
        last = node.named_children[-1]
        if kind == "local_variable_declaration":
            return call_of(last) if last.type == "variable_declarator" else ("", None)
        name = node.named_children[0].text.decode()
        call = call_of(last)[1] if last.type in ("method_invocation", "juxt_function_call") else None
        return name, call
    if kind not in ("method_invocation", "juxt_function_call"):
        return "", None
    target: Any = None
    names: list[str] = []
    arguments: list[Any] = []
    named: dict[str, Any] = {}
    closures = []
    for child in node.named_children:
        if child.type == "argument_list":
            for each in child.named_children:
                if each.type == "map_item":
                    named[each.named_children[0].text.decode().strip("'\"")] = each.named_children[-1]
                elif each.type == "closure":
                    closures.append(each)
                else:
                    arguments.append(each)
        elif child.type == "closure":
            closures.append(child)
        elif child.type in ("identifier", "field_access", "scoped_identifier"):
            if not names and target is None:
                target = child
            names.append(child.text.decode())
        else:
            target = child
    return "", Call(".".join(names), arguments, named, closures, target)


def string_word(node: Any, natives: Natives) -> str:
    """The text of a string, or of strings that are added, with what Groovy puts in place hidden."""
    text = node.text.decode()
    if node.type in ("parenthesized_expression",):
        return string_word(node.named_children[0], natives)
    if node.type == "binary_expression" and any(child.type == "+" for child in node.children):
        return "".join(string_word(child, natives) for child in node.named_children)
    if node.type == "method_invocation" and text.endswith((".stripIndent()", ".trim()")):
        return string_word(node.named_children[0], natives)
    quote = next((quote for quote in ("'''", '"""', "'", '"') if text.startswith(quote)), "")
    if not quote:
        return natives.hide(Native(f"{_OPEN}${{{text}}}{_CLOSE}"))
    body = text[len(quote) : -len(quote)]
    out, at = "", 0
    while at < len(body):
        character = body[at]
        if character == "\\" and at + 1 < len(body):
            out += _ESCAPES.get(body[at + 1], body[at + 1])
            at += 2
        elif character == "$" and quote.startswith('"') and (end := _expression_end(body, at)):
            out += natives.hide(Native(f"{_OPEN}{body[at:end]}{_CLOSE}"))
            at = end
        else:
            out += character
            at += 1
    return out


def _expression_end(text: str, start: int) -> int:
    """Where an expression that begins with `$` at `start` ends; 0 if there is none."""
    if text[start + 1 : start + 2] != "{":
        match = _NAMES.match(text, start)
        return match.end() if match else 0
    depth = 0
    for at in range(start + 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at + 1
    return 0


@dataclass(frozen=True)
class Dialect:
    """See `coopery.migrate.spelling.Dialect`: what stands between the quotes of a GString."""

    source: str  # of the Jenkinsfile, which says what variables there are
    roots: Sequence[str] = ("WORKSPACE",)
    commits: Sequence[str] = ("GIT_COMMIT",)
    shell_way: str = "set it before: env.NAME = sh(returnStdout: true, script: '…').trim()"

    def text(self, literal: str) -> str:
        """Escaped for a GString."""
        escaped = literal.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
        return escaped.replace("\n", "\\n")

    def variable(self, name: str) -> str | None:
        """By `env`, if the file says that it is there."""
        set_here = re.search(
            rf"\b{re.escape(name)}\s*=|['\"]{re.escape(name)}(?:['\"]|=)|env\.{re.escape(name)}\b", self.source
        )
        base = name.removesuffix("_USR").removesuffix("_PSW")
        bound = base != name and re.search(rf"\b{re.escape(base)}\s*=\s*credentials\b", self.source)
        return f"${{env.{name}}}" if _KNOWN.fullmatch(name) or set_here or bound else None

    def native(self, written: str) -> str | None:
        """Groovy's own expressions."""
        return written.strip(_OPEN + _CLOSE)

    def spelled(self, value: Word) -> str:
        """The word, as far as it can be told."""
        parts = [
            self.text(piece)
            if isinstance(piece, str)
            else (self.variable(piece.name) or "")
            if isinstance(piece, Variable)
            else self.native(piece.written) or ""
            for piece in value.pieces
        ]
        return "".join(parts)

    @staticmethod
    def quoted(spelled: str) -> str:
        """A string: a GString only if there is something to put in place."""
        if re.search(r"(?<!\\)(?:\\\\)*\$", spelled):
            return f'"{spelled}"'
        return "'" + spelled.replace('\\"', '"').replace("\\$", "$").replace("'", "\\'") + "'"


def written_script(commands: Sequence[str]) -> str:
    """An `sh` with these commands."""
    text = "\n".join(commands)
    several = "\n" in text
    if _OPEN in text:
        parts = _MARKED.split(text)
        body = "".join(part if number % 2 else Dialect("").text(part) for number, part in enumerate(parts))
        return f'sh """\n{_lines(body)}\n"""' if several else f'sh "{body}"'
    body = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"sh '''\n{body}\n'''" if several else f"sh '{body}'"


def _lines(body: str) -> str:
    return body.replace("\\n", "\n")


def written_call(step: Step, draft: Draft, registries: Sequence[Mapping[str, str]], dialect: Dialect) -> list[str]:
    """cooperyBuild with its arguments, each on a line."""
    arguments: dict[str, object] = {}
    for key, value in step.data().items():
        if key == "images" and isinstance(value, list) and len(value) == 1:
            arguments["image"] = value[0]
        else:
            arguments[_camel(key)] = value
    hosts: dict[str, dict[str, object]] = {each["host"]: dict(each) for each in registries}
    for host, entry in step.registries.items():
        hosts.setdefault(host, {"host": host}).update(entry)
    for login in step.logins:
        place = Speller(draft, dialect).value(login.written, login.host)
        if place is not None and place not in hosts and (named := named_login(login, draft)):
            hosts[place] = {"host": place, **named}
    if hosts:
        arguments["registries"] = list(hosts.values())
    lines = [f"    {name}: {_groovy(value)}," for name, value in arguments.items()]
    return ["cooperyBuild(", *lines, ")"] if lines else ["cooperyBuild()"]


def _camel(key: str) -> str:
    first, *rest = key.split("-")
    return first + "".join(part.capitalize() for part in rest)


def _groovy(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        pairs = [f"{_groovy_key(str(key))}: {_groovy(each)}" for key, each in value.items()]
        return "[" + (", ".join(pairs) or ":") + "]"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_groovy(each) for each in value) + "]"
    return Dialect.quoted(str(value))


def _groovy_key(key: str) -> str:
    if re.fullmatch(r"[A-Za-z_]\w*", key):
        return key
    shown = Dialect.quoted(key)
    return f"({shown})" if shown.startswith('"') else shown
