"""Turns steps of workflows that build images into steps of the action."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from coopery.migrate.draft import Draft
from coopery.migrate.edit import (
    Document,
    Edit,
    as_item,
    dump,
    entries,
    entry,
    get,
    indented,
    is_block,
    items,
    last_line,
    plain,
    plain_mapping,
    spliced,
    unchanged,
)
from coopery.migrate.pods import is_kaniko
from coopery.migrate.results import Migrated, Migration, Source, comments
from coopery.migrate.script import Build, Item, Rest, Scripts, kept_commands
from coopery.migrate.spelling import finish
from coopery_github.migrate_actions import (
    EXPRESSION,
    build_draft,
    carry_metadata,
    kaniko_command,
    login_of,
    setup_notes,
    words_of,
)
from coopery_github.migrate_dialect import Dialect, inputs_of

_BUILD, _METADATA, _LOGIN = "docker/build-push-action", "docker/metadata-action", "docker/login-action"
_QEMU = "docker/setup-qemu-action"
_SETUP = ("docker/setup-buildx-action", _QEMU)
_KANIKO = "aevea/action-kaniko"
#: What a step keeps that becomes ours.
_KEPT = ("name", "id", "if", "env", "continue-on-error", "timeout-minutes")
_DOCKER = re.compile(r"\b(?:docker|podman|skopeo|crane|buildah)\b")


@dataclass
class _Step:
    """A step of a job."""

    node: Any
    first: int
    last: int
    data: dict[str, Any]
    items: list[Item] = field(default_factory=list)
    drop: bool = False
    read: bool = False  # whether it is a script that was read

    @property
    def action(self) -> str:
        """What it uses, without its version."""
        return str(self.data.get("uses", "")).partition("@")[0].lower()

    @property
    def inputs(self) -> dict[str, str]:
        given = self.data.get("with")
        return {str(key): str(value) for key, value in given.items()} if isinstance(given, dict) else {}

    @property
    def id(self) -> str:
        return str(self.data.get("id", ""))

    @property
    def title(self) -> str:
        return str(self.data.get("name") or self.data.get("uses") or str(self.data.get("run", "")).partition("\n")[0])


class _Migrator:
    """See `coopery.migrate.adapter.Migrator`."""

    def claims(self, path: str, text: str) -> bool:
        """By the file's place, or by jobs with steps."""
        by_place = "/.github/workflows/" in f"/{path}"
        return by_place or bool(
            re.search(r"^jobs:", text, re.M) and re.search(r"^(?:on|'on'|\"on\"|true):", text, re.M)
        )

    def file(self, path: str, text: str, source: Source) -> Migration:
        """The workflow with steps of ours; only these where lines can't be replaced."""
        document = Document(path, text)
        edits: list[Edit] = []
        steps: list[Migrated] = []
        renamed: dict[str, str] = {}
        whole = is_block(document.root)
        for each in entries(get(document.root, "jobs")):
            job = _Job(document, each.key, each.value, source)
            if not job.builds:
                continue
            whole = whole and job.is_block
            steps += job.migrated()
            edits += job.edits
            renamed |= job.renamed
        if whole and steps:
            result = _with_renamed(document.edited(edits), renamed)
            if unchanged(document, result, ["jobs"]):
                return Migration(platform="github-action", text=result, whole=True, steps=steps)
        parts = "\n".join(step.text for step in steps)
        return Migration(platform="github-action", text=parts, whole=False, steps=steps)

    def step(self, draft: Draft, title: str, source: Source) -> Migrated:
        """One step, as an item of `steps`."""
        step = finish(draft, Dialect(known=None))
        env = {"env": dict(step.variables)} if step.variables else {}
        lines = as_item(dump({"uses": _action(source), "with": inputs_of(step, draft), **env}))
        lines = [*comments(draft.notes), *_remark(source), *lines]
        return Migrated(title=title, text="\n".join(lines) + "\n", settings=step.data(), notes=tuple(draft.notes))


MIGRATOR = _Migrator()


class _Job:
    """A job, and what its steps build."""

    def __init__(self, document: Document, name: str, node: Any, source: Source) -> None:
        self.document = document
        self.source = source
        self.name = name
        self.node = node
        self.scripts = Scripts()
        self.edits: list[Edit] = []
        self.renamed: dict[str, str] = {}  # `steps.OLD.outputs.` that are `steps.NEW.outputs.` now
        listed = get(node, "steps")
        self.is_block = is_block(listed) and all(is_block(each) for each in items(listed))
        self.steps = [_step(each) for each in items(listed) if isinstance(plain(each), dict)]
        for step in self.steps:
            self._read(step)

    @property
    def builds(self) -> list[Build]:
        return self.scripts.builds

    def _read(self, step: _Step) -> None:
        if step.action == _BUILD:
            build = Build(build_draft(step.inputs), "action")
            self.builds.append(build)
            step.items = [build]
        elif step.action == _KANIKO or (step.action.startswith("docker://") and is_kaniko(step.action)):
            text = kaniko_command(step.inputs, self.scripts.notes) if step.action == _KANIKO else ""
            text = text or f"executor {step.inputs.get('args', '')}"
            step.items = self.scripts.read(self.scripts.natives.hide_all(EXPRESSION, text))
            if step.action == _KANIKO and (login := login_of(step.inputs)):
                self.scripts.logins.append(login)
        elif "run" in step.data and str(step.data.get("shell", "bash")).partition(" ")[0] in ("bash", "sh"):
            folder = step.data.get("working-directory") or plain(get(self.node, "defaults", "run")) or ""
            folder = folder.get("working-directory", "") if isinstance(folder, dict) else folder
            here = words_of(str(folder))[0] if folder else None
            text = self.scripts.natives.hide_all(EXPRESSION, str(step.data["run"]))
            step.read = True
            env = {key: words_of(value)[0] for key, value in plain_mapping(get(step.node, "env")).items() if value}
            step.items = self.scripts.read(text, here, env)

    # ------------------------------------------------------------------------------------------------ writing

    def migrated(self) -> list[Migrated]:
        """Our steps; `edits` and `renamed` say what becomes of the file."""
        self.scripts.finish()
        logins = [step for step in self.steps if step.action == _LOGIN]
        docker_stays = any(_DOCKER.search("\n".join(_commands(step))) for step in self.steps)
        for step in self.steps:
            step.drop = step.action in _SETUP or (step.action == _LOGIN and not docker_stays)
            if step.action == _QEMU and self._emulates():
                step.drop = False
            # A step that only helped (a login, a pull, a push) is gone; one that has nothing to do with images stays.
            if step.read and not step.items and str(step.data["run"]).strip():
                step.drop = True
        self._fold_metadata()
        first = self.builds[0].draft
        for step in self.steps:
            if step.action in _SETUP and step.drop:
                setup_notes(step.action, step.inputs, first)
        for step in logins:
            if step.data.get("if"):
                first.moot(f"if: {step.data['if']}", "a login is used where something is pulled or pushed")
            for build in self.builds:
                if login := login_of(step.inputs, build.draft):
                    build.draft.logins.append(login)
        self._surroundings(first)
        made = []
        for step in self.steps:
            if any(isinstance(item, Build) for item in step.items):
                made += self._replaced(step)
            elif step.drop:
                self.edits.append(Edit(step.first, step.last, []))
            elif step.read and _absorbed(step):
                kept = kept_commands(step.items, first)
                new = {"run": "\n".join(kept) + "\n"}
                lines = spliced(self.document.lines, step.node, ("run",), new, step.last) if kept else []
                self.edits.append(Edit(step.first, step.last, lines))
        return made

    def _emulates(self) -> bool:
        """Whether a build is for other platforms than that of most runners. Then the emulators stay."""
        platforms = [value for build in self.builds for value in build.draft.settings.get("platforms", ())]
        emulated = any(value.literal != "linux/amd64" for value in platforms)
        for build in self.builds if emulated else ():
            build.draft.emulated = True
        return emulated

    def _surroundings(self, draft: Draft) -> None:
        """The checkout, and a container of the job's."""
        before = []
        for step in self.steps:
            if any(isinstance(item, Build) for item in step.items):
                break
            before.append(step)
        remote = any("://" in value.start for value in draft.settings.get("context", ()))
        if not any("checkout" in step.action for step in before) and self.is_block and not remote:
            first = next(step for step in self.steps if any(isinstance(item, Build) for item in step.items))
            column = first.node.start_mark.column - 2
            self.edits.append(Edit(first.first, first.first, indented(["- uses: actions/checkout@v6"], column)))
            draft.check("the context", "it was fetched by itself; here it is the checkout, so there is a step for it")
        container = entry(self.node, "container")
        if container:
            image = plain(container.value)
            image = image.get("image", "") if isinstance(image, dict) else image
            if is_kaniko(image):
                draft.moot(f"container: {image}", "the step runs on the runner itself")
                self.edits.append(Edit(container.first, container.last, []))

    def _fold_metadata(self) -> None:
        """Give builds the rules of the metadata steps that they name; drop those that nobody else needs."""
        for meta in [step for step in self.steps if step.action == _METADATA and step.id]:
            users = [step for step in self.steps for item in step.items if isinstance(item, Build)]
            users = [step for step in users if f"steps.{meta.id}.outputs." in str(step.inputs)]
            if not users:
                continue
            folded = [carry_metadata(self._build(step).draft, step.inputs, meta.id, meta.inputs) for step in users]
            pattern = re.compile(rf"steps\.{re.escape(meta.id)}\.(?:outputs\.([\w-]+))?")
            after: list[str] = []
            before: list[str] = []
            for number, line in enumerate(self.document.lines):
                for match in pattern.finditer(line):
                    if any(step.first <= number < step.last for step in users):
                        continue
                    (after if number >= users[0].last else before).append(match[1] or "")
            fits = {"tags", "labels", "version", "json", "annotations"}
            if all(folded) and not before and set(after) <= fits:
                meta.drop = True
                if after:
                    name = users[0].id or "build"
                    users[0].data["id"] = name
                    self.renamed[f"steps.{meta.id}.outputs."] = f"steps.{name}.outputs."
            else:
                draft = self._build(users[0]).draft
                draft.check(
                    f"the step {meta.id}", "it stays for those who use its outputs; our step names images itself"
                )

    def _build(self, step: _Step) -> Build:
        return next(item for item in step.items if isinstance(item, Build))

    def _replaced(self, step: _Step) -> list[Migrated]:
        """Our steps in the place of one, with what else it did before and after them."""
        builds = [item for item in step.items if isinstance(item, Build)]
        place = step.items.index(builds[0])
        notes = builds[0].draft
        before, after = kept_commands(step.items[:place], notes), kept_commands(step.items[place:], notes)
        stage = [item.text for item in step.items[:place] if isinstance(item, Rest) and item.stage]
        made, lines = [], []
        column = step.node.start_mark.column - 2
        if before:
            lines += self._run(step, before)
        for number, build in enumerate(builds):
            migrated = self._ours(step, build, again=number > 0)
            made.append(migrated)
            lines += migrated.text.splitlines()
        if after:
            lines += self._run(step, [*stage, *after])
        self.edits.append(Edit(step.first, step.last, indented(lines, max(column, 0))))
        return made

    def _run(self, step: _Step, commands: Sequence[str]) -> list[str]:
        kept = {key: value for key, value in step.data.items() if key not in ("id", "name")}
        return as_item(dump({**kept, "run": "\n".join(commands) + "\n"}))

    def _ours(self, step: _Step, build: Build, again: bool) -> Migrated:
        draft = build.draft
        finished = finish(draft, Dialect(known=self._known(step)))
        inputs = inputs_of(finished, draft)
        drop = [key for key in step.data if key not in _KEPT]
        new: dict[str, object] = {"uses": _action(self.source), "with": inputs}
        if finished.variables:
            new["env"] = {**plain_mapping(get(step.node, "env")), **finished.variables}
            drop.append("env")
        if step.id and get(step.node, "id") is None:
            new = {"id": step.id, **new}
        if is_block(step.node) and not again and any(each.key in drop for each in entries(step.node)):
            column = step.node.start_mark.column - 2
            body = spliced(self.document.lines, step.node, drop, new, step.last)
            lines = [line[column:] if not line[:column].strip() else line for line in body]
        else:
            stays = [key for key in _KEPT if key not in drop and not (again and key == "id")]
            kept = {key: step.data[key] for key in stays if key in step.data}
            lines = as_item(dump({**kept, **new}))
        text = "\n".join([*comments(draft.notes), *_remark(self.source), *lines]) + "\n"
        return Migrated(
            title=f"job {self.name}, step {step.title}",
            line=step.first + 1,
            text=text,
            settings=finished.data(),
            notes=tuple(draft.notes),
        )

    def _known(self, step: _Step) -> set[str] | None:
        """The variables that the context `env` has; None if they can't be told."""
        if "GITHUB_ENV" in self.document.text:
            return None
        found: set[str] = set()
        for node in (get(self.document.root, "env"), get(self.node, "env"), get(step.node, "env")):
            found |= {each.key for each in entries(node)}
        return found


def _action(source: Source) -> str:
    return f"{source.repository}/integrations/github-action@{source.ref}"


def _remark(source: Source) -> list[str]:
    return [f"# {line}" for line in source.remark]


def _step(node: Any) -> _Step:
    return _Step(node, node.start_mark.line, last_line(node, node.start_mark.line + 1), plain(node))


def _commands(step: _Step) -> Iterator[str]:
    """The commands of a step that stay."""
    if "run" in step.data:
        yield from kept_commands(step.items, Draft())
    elif not any(isinstance(item, Build) for item in step.items) and "docker://" in step.action:
        yield "docker"


def _absorbed(step: _Step) -> bool:
    """Whether some of a script's commands have gone."""
    kept = [line.strip() for item in step.items if isinstance(item, Rest) for line in item.text.splitlines()]
    return any(
        line.strip() and not line.strip().startswith("#") and line.strip() not in kept
        for line in str(step.data["run"]).splitlines()
    )


def _with_renamed(text: str, renamed: dict[str, str]) -> str:
    for old, new in renamed.items():
        text = re.sub(rf"(?<![\w.-]){re.escape(old)}", new, text)
    return text
