"""Reads scripts of POSIX shells and bash: the simple commands in them, with their words and the input they get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from coopery.errors import EnvironmentUnsuitable, UsageError
from coopery.migrate.shellwords import shell_text, shell_word
from coopery.migrate.words import Shell, Word, word

if TYPE_CHECKING:
    from tree_sitter import Node

#: What commands can stand in so that they don't run exactly once.
_REPEATED = ("for_statement", "c_style_for_statement", "while_statement", "function_definition", "case_statement")
_CONDITIONAL = ("if_statement",)
_ODD = re.compile(r"[^\t\n\r -~]")
_DOLLAR = re.compile(r"\$(?=[A-Za-z_])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A simple command, an assignment, or (without words) what isn't understood."""

    words: tuple[Word, ...] = ()
    assigned: tuple[tuple[str, Word], ...] = ()  # by itself, or before its words
    given: Word | None = None  # its standard input, if that is known
    writes: Word | None = None  # the file that its output goes to
    group: int = 0  # commands of one statement (`a | b && c`) have the same number
    condition: str = ""  # the first line of the `if` around it
    repeated: bool = False  # in a loop, a function or a case
    optional: bool = False  # it may fail, or runs only if the one before it failed: `a || b`
    piped: bool = False  # what it prints goes to the next command
    inside: bool = False  # in a shell of its own: what it sets is gone afterwards
    text: str = ""  # as it was written
    source: str = ""  # the same of the whole statement

    @property
    def name(self) -> str:
        """The program's name without its directory; empty if that isn't known."""
        return ((self.words[0].literal if self.words else "") or "").rpartition("/")[2]


def read_script(text: str) -> tuple[Command, ...]:
    """The commands of a script, in order. EnvironmentUnsuitable without the library that reads them,
    UsageError for what is nested without end."""
    try:
        return tuple(_Reader(text).commands())
    except RecursionError:
        raise UsageError("a script is nested too deeply to be read") from None


def grammar(language: str) -> object:
    """A parser for `bash` or `groovy`. EnvironmentUnsuitable if it isn't installed."""
    import importlib

    try:
        import tree_sitter

        module = importlib.import_module(f"tree_sitter_{language}")
    except ImportError as error:
        hint = "pip install 'coopery[migrate]'"
        raise EnvironmentUnsuitable(f"reading {language} needs a library: {error}", hint=hint) from None
    return tree_sitter.Parser(tree_sitter.Language(module.language()))


@dataclass(frozen=True, slots=True)
class _Around:
    """What a command stands in."""

    group: int = 0
    source: str = ""
    condition: str = ""
    repeated: bool = False
    optional: bool = False
    piped: bool = False
    inside: bool = False
    given: Word | None = None
    writes: Word | None = None


@dataclass
class _Reader:
    text: str
    groups: int = field(default=0, init=False)

    def commands(self) -> Iterator[Command]:
        parser: Any = grammar("bash")
        # The grammar's scanner reads beyond its tables for characters that are not ASCII, and it takes `$A:$B-c` for
        # two words. Words are read by us, so it gets letters for both. As each character is one byte, places in the
        # tree are places in the text.
        plain = _DOLLAR.sub("x", _ODD.sub("x", self.text))
        yield from self._statements(parser.parse(plain.encode()).root_node, _Around())

    def _text(self, node: Node) -> str:
        return self.text[node.start_byte : node.end_byte]

    def _statements(self, node: Node, around: _Around) -> Iterator[Command]:
        """The commands of the statements in `node`; each of them is a group of its own."""
        for child in node.named_children:
            if child.type == "comment":
                continue
            self.groups += 1
            yield from self._node(child, _with(around, group=self.groups, source=self._text(child)))

    def _node(self, node: Node, around: _Around) -> Iterator[Command]:
        kind = node.type
        if kind == "list":
            left, right = node.named_children[0], node.named_children[-1]
            either = any(child.type == "||" for child in node.children)
            tested = left.type == "test_command" or self._text(left).startswith("test ")
            yield from self._node(left, _with(around, optional=True) if either else around)
            around = _with(around, condition=around.condition or self._text(left)) if tested else around
            yield from self._node(right, _with(around, optional=True) if either else around)
        elif kind == "pipeline":
            *first, last = [child for child in node.named_children if child.type != "comment"]
            before: list[Command] = []
            for child in first:
                found = list(self._node(child, _with(around, piped=True, given=_printed(before))))
                before += found
                yield from found
            yield from self._node(last, _with(around, given=_printed(before)))
        elif kind == "redirected_statement":
            body = node.child_by_field_name("body")
            given, writes = self._redirects(node)
            if body is not None:
                yield from self._node(body, _with(around, given=given or around.given, writes=writes or around.writes))
        elif kind in ("command", "declaration_command", "variable_assignment", "variable_assignments"):
            yield self._command(node, around)
        elif kind in _CONDITIONAL:
            condition = self._text(node).strip().partition("\n")[0]
            yield from self._blocks(node, _with(around, condition=condition), first=True)
        elif kind in _REPEATED:
            yield from self._blocks(node, _with(around, repeated=True), first=False)
        elif kind in ("subshell", "compound_statement", "do_group", "else_clause", "elif_clause"):
            for child in node.named_children:
                yield from self._node(child, _with(around, inside=True) if kind == "subshell" else around)
        else:  # a test, an arithmetic command, or what the grammar can't read
            yield self._made(around, self._text(node))

    def _blocks(self, node: Node, around: _Around, *, first: bool) -> Iterator[Command]:
        """The commands in a compound statement, without those that are its condition."""
        named = node.named_children
        for number, child in enumerate(named):
            if (first and number == 0) or child.type in ("word", "variable_name"):
                continue
            if child.type == "case_item":
                yield from self._blocks(child, around, first=False)
            else:
                yield from self._node(child, around)

    def _command(self, node: Node, around: _Around) -> Command:
        words: list[Word] = []
        assigned: list[tuple[str, Word]] = []
        given, writes = around.given, around.writes
        assigns = node.type != "command"
        for child in [node] if node.type == "variable_assignment" else node.children:
            kind = child.type
            if kind == "variable_assignment":
                pair = self._assignment(child)
                if assigns or not words:
                    assigned.append(pair)
                else:
                    words.append(word(f"{pair[0]}=") + pair[1])
            elif kind == "herestring_redirect":
                given = self._word(child.named_children[-1])
            elif kind == "command_name":
                words.append(self._word(child.named_children[0] if child.named_children else child))
            elif child.is_named and kind not in ("file_redirect", "heredoc_redirect", "comment") and not assigns:
                words.append(self._word(child))
        around = _with(around, given=given, writes=writes)
        return self._made(around, self._text(node), words=tuple(words), assigned=tuple(assigned))

    @staticmethod
    def _made(
        around: _Around, text: str, words: tuple[Word, ...] = (), assigned: tuple[tuple[str, Word], ...] = ()
    ) -> Command:
        return Command(
            words=words,
            assigned=assigned,
            given=around.given,
            writes=around.writes,
            group=around.group,
            condition=around.condition,
            repeated=around.repeated,
            optional=around.optional,
            piped=around.piped,
            inside=around.inside,
            text=text,
            source=around.source,
        )

    def _assignment(self, node: Node) -> tuple[str, Word]:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        return self._text(name) if name else "", self._word(value) if value else Word()

    def _redirects(self, node: Node) -> tuple[Word | None, Word | None]:
        given = writes = None
        for child in node.children:
            if child.type == "heredoc_redirect":
                given = self._heredoc(child)
                writes = self._redirects(child)[1] or writes
            elif child.type == "herestring_redirect":
                given = self._word(child.named_children[-1])
            elif child.type == "file_redirect" and child.named_children:
                place = self._word(child.named_children[-1])
                signs = {each.type for each in child.children}
                descriptor = [self._text(each) for each in child.children if each.type == "file_descriptor"]
                if "<" in signs:
                    given = word(Shell(f"$(cat {place.written})"))
                elif signs & {">", ">>", "&>"} and descriptor != ["2"] and place.literal != "/dev/null":
                    writes = place
        return given, writes

    def _heredoc(self, node: Node) -> Word:
        start = next((child for child in node.children if child.type == "heredoc_start"), None)
        body = next((child for child in node.children if child.type == "heredoc_body"), None)
        if body is None:
            return Word()
        if start is not None and self._text(start)[:1] in "'\"\\":
            return word(self._text(body))
        return shell_text(self._text(body))

    def _word(self, node: Node) -> Word:
        return shell_word(self._text(node))


def _printed(before: list[Command]) -> Word | None:
    """What the commands of a pipe so far print, if that can be told."""
    if not before:
        return None
    last = before[-1]
    if last.name in ("echo", "printf") and len(before) == 1:
        shown = [each for each in last.words[1:] if each.literal not in ("-n", "-e", "%s", "%s\\n", "--")]
        if len(shown) == 1:
            return shown[0]
    return word(Shell("$(" + " | ".join(" ".join(each.written for each in one.words) for one in before) + ")"))


def _with(around: _Around, **changes: object) -> _Around:
    return replace(around, **changes)  # type: ignore[arg-type]
