"""Turns what builds images in a Jenkinsfile into the step cooperyBuild."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coopery.errors import UsageError
from coopery.migrate.draft import Draft
from coopery.migrate.logins import host_of
from coopery.migrate.results import Migrated, Migration, Source, comments
from coopery.migrate.script import Build, Scripts, full_name, kept_commands
from coopery.migrate.shell import grammar
from coopery.migrate.spelling import Step, finish
from coopery.migrate.words import Natives, Word, split_name, word
from coopery_jenkins.migrate_groovy import Call, Dialect, call_of, string_word, written_call, written_script

_LARGEST = 1 << 20
_STRING = r"""(?:"[^"\n]*"|'[^'\n]*')"""
#: `docker.build "NAME"`: the grammar wants parentheses there. It can't do with '' as a first argument either.
_CALLED = re.compile(rf"\bdocker\.(build|image|withRegistry)[ \t]+({_STRING}(?:[ \t]*,[ \t]*{_STRING})*)")


@dataclass(frozen=True, slots=True)
class _Around:
    """What a statement stands in."""

    host: Word | None = None  # of docker.withRegistry


@dataclass
class _Change:
    """A statement that becomes something else: commands, builds of ours, commands."""

    node: Any
    before: list[str] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


class _Migrator:
    """See `coopery.migrate.adapter.Migrator`."""

    def claims(self, path: str, text: str) -> bool:
        """By the file's name, or by a pipeline or node at the top."""
        name = path.rpartition("/")[2]
        if name.startswith("Jenkinsfile") or name.endswith((".groovy", ".jenkinsfile")):
            return True
        return bool(re.search(r"^[ \t]*(?:pipeline[ \t]*\{|node[ \t]*(?:\([^)\n]*\)[ \t]*)?\{|@Library\()", text, re.M))

    def file(self, path: str, text: str, source: Source) -> Migration:
        """The Jenkinsfile with steps of ours."""
        if len(text) > _LARGEST:
            raise UsageError(f"{path} is larger than pipelines are ({_LARGEST} bytes)")
        return _Jenkinsfile(text, source).migration()

    def step(self, draft: Draft, title: str, _source: Source) -> Migrated:
        """The call of cooperyBuild alone."""
        step = finish(draft, Dialect(""))
        text = "\n".join([*comments(draft.notes, "//"), *_lines(step, draft, [], "")]) + "\n"
        return Migrated(title=title, text=text, settings=step.data(), notes=tuple(draft.notes))


MIGRATOR = _Migrator()


class _Jenkinsfile:
    def __init__(self, text: str, source: Source) -> None:
        text = self.text = _CALLED.sub(r"docker.\1(\2)", text).replace("withRegistry(''", 'withRegistry(""')
        self.library = "coopery" if source.remark else f"coopery@{source.ref}"
        self.source = text.encode()
        self.scripts = Scripts()
        self.changes: list[_Change] = []
        self.wrappers: list[Any] = []  # docker.withRegistry
        self.images: dict[str, Build] = {}  # by the variable that holds docker.build's result
        self.registries: list[dict[str, str]] = []
        parser: Any = grammar("groovy")
        root = parser.parse(self.source).root_node
        try:
            for statement in root.named_children:
                self._statement(statement, _Around())
        except RecursionError:
            raise UsageError("the Jenkinsfile is nested too deeply to be read") from None
        self.scripts.finish()

    def migration(self) -> Migration:
        edits: list[tuple[int, int, str]] = []
        steps: list[Migrated] = []
        if self.changes and self.scripts.builds:
            self._notes(self.scripts.builds[0].draft)
            for change in self.changes:
                text, made = self._written(change)
                steps += made
                if not text and self._was_all(change.node):
                    text = "echo 'Done by cooperyBuild.'"  # a block of steps must not be empty
                edits.append((*self._span(change.node, whole=not text), text))
            for wrapper in self.wrappers:
                edits += self._unwrapped(wrapper)
            edits += self._library()
        source = self.source
        for start, end, text in sorted(edits, reverse=True):
            source = source[:start] + text.encode() + source[end:]
        return Migration(platform="jenkins", text=source.decode(), whole=bool(steps), steps=steps)

    # ------------------------------------------------------------------------------------------------ reading

    def _statement(self, node: Any, around: _Around) -> None:
        variable, call = call_of(node)
        if call is None:
            for child in node.named_children:
                self._statement(child, around)
            return
        if call.name == "sh":
            self._sh(node, call, around)
        elif call.name == "docker.build":
            self._docker_build(node, call, variable, around)
        elif call.name in ("docker.withRegistry", "withDockerRegistry"):
            self._with_registry(node, call, around)
        elif call.name.rpartition(".")[2] == "push" and call.target is not None:
            self._push(node, call, around)
        else:
            for closure in call.closures:
                for statement in closure.named_children:
                    self._statement(statement, around)

    def _word(self, node: Any) -> Word:
        natives = Natives()
        return natives.reveal(word(string_word(node, natives)))

    def _sh(self, node: Any, call: Call, around: _Around) -> None:
        argument = call.named.get("script") or (call.arguments[0] if call.arguments else None)
        if argument is None:
            return
        before = len(self.scripts.builds), len(self.scripts.notes.notes), len(self.scripts.logins)
        pushed = sum(len(build.pushed) + len(build.names) for build in self.scripts.builds)
        found = self.scripts.read(string_word(argument, self.scripts.natives))
        builds = [item for item in found if isinstance(item, Build)]
        now = len(self.scripts.builds), len(self.scripts.notes.notes), len(self.scripts.logins)
        if before == now and pushed == sum(len(build.pushed) + len(build.names) for build in self.scripts.builds):
            return
        place = next((number for number, item in enumerate(found) if isinstance(item, Build)), len(found))
        before_it, after_it = (kept_commands(part, self.scripts.notes) for part in (found[:place], found[place:]))
        self.changes.append(_Change(node, before_it, builds, after_it))

    def _docker_build(self, node: Any, call: Call, variable: str, around: _Around) -> Build | None:
        if not call.arguments:
            return None
        name = self._word(call.arguments[0])
        arguments = string_word(call.arguments[1], self.scripts.natives) if len(call.arguments) > 1 else "."
        found = self.scripts.read(f"docker build {arguments}")
        build = next((item for item in found if isinstance(item, Build)), None)
        if build is None:
            return None
        build.names.append(_at(around.host, name))
        if variable:
            self.images[variable] = build
        self.changes.append(_Change(node, builds=[build]))
        return build

    def _push(self, node: Any, call: Call, around: _Around) -> None:
        build = self.images.get(call.target.text.decode()) if call.target.type == "identifier" else None
        tag = self._word(call.arguments[0]) if call.arguments else None
        if build is None:
            _, inner = call_of(call.target)
            if inner is None or inner.name != "docker.build":
                if inner is not None and inner.name == "docker.image":
                    way = "`coopery copy OLD NEW` names what is pushed"
                    self.scripts.notes.left(node.text.decode(), "it was built elsewhere", way)
                return
            build = self._docker_build(node, inner, "", around)
            if build is None:
                return
        else:
            self.changes.append(_Change(node))
        repository, own = split_name(build.names[0])
        if around.host is not None and not build.names[0].written.startswith(around.host.written + "/"):
            repository = _at(around.host, repository)
        name = repository + ":" + (tag or (own if own.pieces else word("latest")))
        if name not in build.names:
            build.names.append(name)
        build.pushed.append(full_name(name))

    def _with_registry(self, node: Any, call: Call, around: _Around) -> None:
        address = call.named.get("url") or (call.arguments[0] if call.arguments else None)
        credential = call.named.get("credentialsId") or (call.arguments[1] if len(call.arguments) > 1 else None)
        host = host_of(self._word(address)) if address is not None else word("docker.io")
        if credential is not None:
            entry = {
                "host": Dialect(self.text).spelled(host),
                "credentialsId": Dialect(self.text).spelled(self._word(credential)),
            }
            if entry not in self.registries:
                self.registries.append(entry)
        inside = replace(around, host=None if host.literal == "docker.io" else host)
        for closure in call.closures:
            for statement in closure.named_children:
                self._statement(statement, inside)
        self.wrappers.append(node)

    # ------------------------------------------------------------------------------------------------ writing

    def _notes(self, draft: Draft) -> None:
        for match in re.finditer(r"image:\s*['\"]?([^\s'\"]*kaniko[^\s'\"]*)", self.text):
            way = "give it an image that has Python 3.11 and Coopery, with `command: [sleep]` and `args: [infinity]`"
            draft.left(f"image: {match[1]}", "the container is to run cooperyBuild", way)
        for name, build in self.images.items():
            for match in re.finditer(rf"\b{re.escape(name)}\.(?!push\b)(\w+)", self.text):
                way = "cooperyBuild returns a map with digest, tags and more"
                build.draft.left(f"{name}.{match[1]}", "there is no object of Docker's", way)

    def _written(self, change: _Change) -> tuple[str, list[Migrated]]:
        column = change.node.start_point[1]
        parts: list[list[str]] = []
        made = []
        if change.before:
            parts.append([written_script(change.before)])
        for build in change.builds:
            draft = build.draft
            step = finish(draft, Dialect(self.text))
            lines = [*comments(draft.notes, "//"), *_lines(step, draft, self.registries, self.text)]
            parts.append(lines)
            made.append(
                Migrated(
                    title="sh" if call_of(change.node)[0] == "" else "docker.build",
                    line=change.node.start_point[0] + 1,
                    text="\n".join(lines) + "\n",
                    settings=step.data(),
                    notes=tuple(draft.notes),
                )
            )
        if change.after:
            parts.append([written_script(change.after)])
        lines = [line for part in parts for line in part]
        return ("\n" + " " * column).join(lines), made

    def _was_all(self, node: Any) -> bool:
        """Whether nothing is left of the block that begins with this statement."""
        gone = {change.node.id for change in self.changes if not (change.before or change.builds or change.after)}
        block = [child for child in node.parent.named_children if "comment" not in child.type]
        return block[0].id == node.id and all(child.id in gone for child in block)

    def _span(self, node: Any, *, whole: bool) -> tuple[int, int]:
        """The bytes of a statement; with its line, if it is to vanish and stands there alone."""
        start = node.start_byte
        end = start + len(node.text.rstrip())  # the grammar counts the line's end among some statements
        if whole:
            line_start = self.source.rfind(b"\n", 0, start) + 1
            line_end = self.source.find(b"\n", end)
            line_end = len(self.source) if line_end < 0 else line_end + 1
            if not self.source[line_start:start].strip() and not self.source[end:line_end].strip(b"; \t\r\n"):
                return line_start, line_end
        return start, end

    def _unwrapped(self, node: Any) -> Iterator[tuple[int, int, str]]:
        """docker.withRegistry taken from around what it holds, unless something in there needs Docker."""
        _, call = call_of(node)
        changed = [change.node for change in self.changes]
        if call is None or not call.closures:
            return
        closure = call.closures[0]
        for statement in closure.named_children:
            text = statement.text.decode()
            if not any(_within(each, statement) for each in changed) and re.search(r"\bdocker\b|\.inside\b", text):
                return
        opening, closing = closure.children[0], closure.children[-1]
        line_start = self.source.rfind(b"\n", 0, node.start_byte) + 1
        line_end = self.source.find(b"\n", opening.end_byte) + 1
        if (
            not self.source[line_start : node.start_byte].strip()
            and not self.source[opening.end_byte : line_end].strip()
        ):
            yield line_start, line_end, ""
            start = self.source.rfind(b"\n", 0, closing.start_byte) + 1
            end = self.source.find(b"\n", closing.end_byte) + 1 or len(self.source)
            yield start, end, ""

    def _library(self) -> Iterator[tuple[int, int, str]]:
        if re.search(r"@Library\([^)]*coopery", self.text) or re.search(r"\blibrary\b[^\n]*coopery", self.text):
            return
        others = list(re.finditer(r"^@Library\([^)]*\)[^\n]*\n", self.text, re.M))
        if others:
            place = len(self.text[: others[-1].end()].encode())
            yield place, place, f"library '{self.library}'\n"
        else:
            place = self.source.find(b"\n") + 1 if self.source.startswith(b"#!") else 0
            yield place, place, f"@Library('{self.library}') _\n"


def _at(host: Word | None, name: Word) -> Word:
    """The name in the registry that docker.withRegistry says."""
    return name if host is None else host + "/" + name


def _within(inner: Any, outer: Any) -> bool:
    return bool(outer.start_byte <= inner.start_byte and inner.end_byte <= outer.end_byte)


def _lines(step: Step, draft: Draft, registries: Sequence[dict[str, str]], source: str) -> list[str]:
    """The call of cooperyBuild, with variables around it if it needs any."""
    lines = written_call(step, draft, registries, Dialect(source))
    if step.variables:
        given = ", ".join(Dialect.quoted(f"{name}={value}") for name, value in step.variables.items())
        return [f"withEnv([{given}]) {{", *(f"    {line}" for line in lines), "}"]
    return lines
