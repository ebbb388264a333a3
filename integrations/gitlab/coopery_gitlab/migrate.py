"""Turns jobs of .gitlab-ci.yml that build images into jobs that extend the template's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from coopery.errors import UsageError
from coopery.migrate.draft import Draft
from coopery.migrate.edit import (
    Document,
    Edit,
    Entry,
    Reference,
    dump,
    entries,
    get,
    is_block,
    items,
    plain,
    plain_mapping,
    resolved,
    spliced,
    text_of,
    unchanged,
)
from coopery.migrate.logins import named_login
from coopery.migrate.results import Migrated, Migration, Source, comments
from coopery.migrate.script import Build, Scripts, kept_commands
from coopery.migrate.spelling import Step, finish
from coopery.migrate.words import Variable, Word
from coopery_gitlab.migrate_include import Wanted, include_edit, included, inputs_for

#: What is no job at the top of a pipeline (GitLab's CI/CD YAML syntax reference, "Global keywords" and "Job keywords").
_GLOBAL = frozenset(
    (
        *("default", "include", "stages", "variables", "workflow", "spec", "pages_deploy", "types"),
        *("image", "services", "before_script", "after_script", "cache"),
    )
)
_TEMPLATE_JOB = ".coopery-build"
_INPUT = "COOPERY_INPUT_"
#: Variables that only Docker reads.
_DOCKERS = re.compile(r"(?:DOCKER_(?:HOST|TLS_\w+|CERT_PATH|DRIVER|BUILDKIT|CLI_\w+)|BUILDKIT_\w+|BUILDX_\w+)")
#: Keys at the top of other systems' pipelines and manifests.
_ELSEWHERE = ("on", "jobs", "steps", "apiVersion", "kind")
#: Files that say by their names what they are.
_FILES = re.compile(r"(?:^|/)\.gitlab-ci[\w.-]*\.ya?ml$|\.gitlab-ci\.ya?ml$|(?:^|/)\.gitlab/")


class _Dialect:
    roots: Sequence[str] = ("CI_PROJECT_DIR",)
    commits: Sequence[str] = ("CI_COMMIT_SHA",)
    shell_way = "write it to a dotenv report in a job before, and use the variable"

    def text(self, literal: str) -> str:
        """A dollar sign would begin a variable."""
        return literal.replace("$", "$$")

    def variable(self, name: str) -> str | None:
        """Variables are put in place in variables."""
        return f"${{{name}}}" if name not in _MADE_BY_SHELLS else None

    def native(self, written: str) -> str | None:
        """Inputs of the file itself, `$[[ inputs.x ]]`."""
        return written


_MADE_BY_SHELLS = ("PWD", "HOME", "HOSTNAME", "RANDOM", "USER", "PATH")
_INPUTS = re.compile(r"\$\[\[.*?\]\]")


@dataclass
class _Job:
    """A job of the pipeline, and what it builds."""

    own: Entry
    scripts: Scripts = field(default_factory=Scripts)
    before: list[str] = field(default_factory=list)  # commands that stay, before the build and after it
    after: list[str] = field(default_factory=list)
    inherited: bool = False  # whether commands from elsewhere would run before the script
    extra: Draft = field(default_factory=Draft)  # notes about the job itself

    @property
    def builds(self) -> list[Build]:
        return self.scripts.builds


class _Migrator:
    """See `coopery.migrate.adapter.Migrator`."""

    def claims(self, path: str, text: str) -> bool:
        """By the file's name, or jobs with scripts at the top."""
        if _FILES.search(path):
            return True
        try:
            root = Document(path, text).root
        except UsageError:
            return False
        if any(each.key in _ELSEWHERE for each in entries(root)):
            return False
        return any(get(each.value, key) is not None for each in entries(root) for key in ("script", "before_script"))

    def file(self, path: str, text: str, source: Source) -> Migration:
        """The pipeline with jobs of the template's kind; only these where lines can't be replaced."""
        document = Document(path, text)
        root = document.root
        jobs = [job for job in (_job(document, each) for each in entries(root)) if job and job.builds]
        owners = [job.own for job in jobs]
        edits: list[Edit] = []
        steps: list[Migrated] = []
        taken = {each.key for each in entries(root)}
        for job in jobs:
            made = _migrated(document, job, taken)
            steps += [migrated for migrated, _ in made]
            lines = [line for migrated, _ in made for line in [*migrated.text.splitlines(), ""]]
            edits.append(Edit(job.own.first, job.own.last, lines[:-1]))
        wanted = Wanted(source, cloud=any(_needs_cloud(step.text) for step in steps))
        if jobs:
            edits.append(include_edit(document, inputs_for(root, owners), wanted))
        result = document.edited(edits) if is_block(root) else ""
        touched = ["include", *(job.own.key for job in jobs)]
        if result and all(is_block(job.own.value) for job in jobs) and unchanged(document, result, touched):
            return Migration(platform="gitlab", text=result, whole=True, steps=steps)
        parts = "\n".join([*included(inputs_for(root, owners), wanted), "", *(step.text for step in steps)])
        return Migration(platform="gitlab", text=parts, whole=False, steps=steps)

    def step(self, draft: Draft, title: str, source: Source) -> Migrated:
        """A pipeline with one job."""
        step = finish(draft, _Dialect())
        variables = _variables(step, draft)
        job = {"build-image": {"extends": _TEMPLATE_JOB, "variables": variables}}
        lines = [*included({}, Wanted(source, cloud=_needs_cloud(job))), "", *comments(draft.notes), *dump(job)]
        return Migrated(title=title, text="\n".join(lines) + "\n", settings=step.data(), notes=tuple(draft.notes))


MIGRATOR = _Migrator()


# ------------------------------------------------------------------------------------------------ reading


def _job(document: Document, own: Entry) -> _Job | None:
    if own.key in _GLOBAL or resolved(own.value, "script") is None:
        return None
    job = _Job(own)
    root = document.root
    before, job.inherited = _inherited(root, own)
    # They run in one shell.
    commands = "\n".join([*_commands(before, job), *_commands(resolved(own.value, "script"), job)])
    found = job.scripts.read(job.scripts.natives.hide_all(_INPUTS, commands))
    place = next((number for number, item in enumerate(found) if isinstance(item, Build)), len(found))
    job.before, job.after = kept_commands(found[:place], job.extra), kept_commands(found[place:], job.extra)
    job.scripts.finish()
    return job


def _inherited(root: Any, own: Entry) -> tuple[Any, bool]:
    """The commands before the job's script: its own, or those of what it extends, or the default ones."""
    if mine := resolved(own.value, "before_script"):
        return mine, False
    seen: set[str] = set()
    bases = [text_of(each) for each in items(resolved(own.value, "extends"))]
    while bases:
        base = bases.pop()
        if base in seen:
            continue
        seen.add(base)
        if found := get(root, base, "before_script"):
            return found, True
        bases = [*(text_of(each) for each in items(get(root, base, "extends"))), *bases]
    found = get(root, "default", "before_script") or get(root, "before_script")
    return found, found is not None


def _commands(node: Any, job: _Job) -> Iterator[str]:
    for each in items(node):
        if text := text_of(each):
            yield text
        elif each.tag == "!reference":
            target = ", ".join(text_of(part) for part in items(each))
            job.extra.left(
                f"!reference [{target}]", "what it brings isn't read", "migrate that job, and add its settings"
            )
        elif isinstance(plain(each), list):
            yield from _commands(each, job)


# ------------------------------------------------------------------------------------------------ writing


def _migrated(document: Document, job: _Job, taken: set[str]) -> list[tuple[Migrated, Build]]:
    """The job as one of ours; further builds in it as further jobs."""
    made = []
    for number, build in enumerate(job.builds, 1):
        name = job.own.key
        if number > 1:
            name = next(f"{name}-{n}" for n in range(number, 99) if f"{name}-{n}" not in taken)
            build.draft.check(name, f"the job {job.own.key} builds several images; this one has a job of its own")
        taken.add(name)
        draft = build.draft
        step = finish(draft, _Dialect())
        changed = _Changed(document, job, step, draft, name, first=number == 1)
        lines = changed.lines()
        draft.notes += [note for note in job.extra.notes if note not in draft.notes]
        text = "\n".join([*comments(draft.notes), *lines])
        migrated = Migrated(
            title=f"job {job.own.key}",
            line=job.own.first + 1,
            text=text + "\n",
            settings=step.data(),
            notes=tuple(draft.notes),
        )
        made.append((migrated, build))
    return made


@dataclass
class _Changed:
    """A job with other keys for what it runs; the rest of it is as it was."""

    document: Document
    job: _Job
    step: Step
    draft: Draft
    name: str
    first: bool

    def lines(self) -> list[str]:
        value = self.job.own.value
        drop = {"extends", "script", "before_script", "variables"}
        image = plain(resolved(value, "image"))
        drop |= {"image"} & set(self._keys())
        if image:
            shown = str(image.get("name", "")) if isinstance(image, dict) else str(image)
            if not re.search("kaniko|docker|podman|buildah", shown):
                self.draft.check(
                    f"image: {shown}", "the job runs in the template's image", "set the input executor-image"
                )
            else:
                self.draft.moot(f"image: {shown}", "the job runs in the template's image")
        services = self._services()
        if services is not None:
            drop.add("services")
        if self._only_docker_after():
            drop.add("after_script")
        new = {**self._merged(drop), **self._new(services)}
        if not is_block(value):
            kept = {key: each for key, each in plain(value).items() if key not in drop}
            return dump({self.name: {**new, **kept}})
        own, lines = self.job.own, self.document.lines
        body = spliced(lines, value, drop, new, own.last)
        return [*(_renamed(line, own.key, self.name) for line in lines[own.first : value.start_mark.line]), *body]

    def _merged(self, drop: set[str]) -> dict[str, object]:
        """What `<<` brings and stays, written out: the rest of it must not come back."""
        own = self._keys()
        if "<<" not in own:
            return {}
        bases = [base for base in items(get(self.job.own.value, "<<")) if isinstance(plain(base), dict)]
        brought = {key: each for base in reversed(bases) for key, each in plain(base).items()}
        drop.add("<<")
        gone = {"image", "services", "script", "before_script", "variables", "extends"}
        return {key: each for key, each in brought.items() if key not in own and key not in gone | drop}

    def _keys(self) -> list[str]:
        return [each.key for each in entries(self.job.own.value)]

    def _new(self, services: list[Any] | None) -> dict[str, object]:
        value = self.job.own.value
        bases = [text_of(each) for each in items(resolved(value, "extends"))]
        new: dict[str, object] = {"extends": [*bases, _TEMPLATE_JOB] if bases else _TEMPLATE_JOB}
        if resolved(value, "stage") is None and not bases:
            new["stage"] = "test"  # where jobs are that don't say it
        if services is not None and (services or "services" not in self._keys()):
            new["services"] = services
        new["variables"] = {**self._own_variables(), **_variables(self.step, self.draft)}
        before, after = (self.job.before, self.job.after) if self.first else ([], [])
        if self.job.inherited or (get(value, "before_script") is not None and bases):
            new["before_script"] = []
        if before or after:
            way = "give the job an image that has what they need, by the input executor-image"
            self.draft.check("other commands", "they run in the template's image now", way)
            new["script"] = [*before, Reference((_TEMPLATE_JOB, "script")), *after]
        return new

    def _services(self) -> list[Any] | None:
        """The job's services without Docker's; None if nothing changes."""
        root = self.document.root
        own = resolved(self.job.own.value, "services")
        node = own or get(root, "default", "services") or get(root, "services")
        found = [plain(each) for each in items(node)]
        kept = [each for each in found if "dind" not in str(each) and not re.search(r"\bdocker:", str(each))]
        if len(kept) == len(found):
            return None
        self.draft.moot("services: docker", "there is no daemon")
        return kept

    def _only_docker_after(self) -> bool:
        """Whether what follows the script, whatever its outcome, is about Docker alone."""
        node = resolved(self.job.own.value, "after_script")
        scripts = Scripts()
        found = scripts.read("\n".join(_commands(node, self.job)))
        self.draft.notes += scripts.notes.notes
        return node is not None and not kept_commands(found, self.draft)

    def _own_variables(self) -> dict[str, object]:
        kept = {}
        for name, value in plain_mapping(resolved(self.job.own.value, "variables")).items():
            if _DOCKERS.fullmatch(name):
                self.draft.moot(f"variable {name}", "only Docker reads it")
            else:
                kept[name] = value
        return kept


def _renamed(line: str, old: str, new: str) -> str:
    return line if old == new else line.replace(old, new, 1)


def _variables(step: Step, draft: Draft) -> dict[str, object]:
    """The settings as the variables that the template's inputs are, and what is said of registries as one more."""
    variables: dict[str, object] = {_INPUT + key.upper().replace("-", "_"): text for key, text in step.texts().items()}
    registries: dict[str, dict[str, object]] = {host: dict(entry) for host, entry in step.registries.items()}
    dialect = _Dialect()
    for login in step.logins:
        host = _host(login.host, dialect)
        if host is None or _own_registry(login.host, login.password):
            draft.moot(login.written, "every job can log in to the project's own registry")
        elif named := named_login(login, draft):
            registries[host] = {**registries.get(host, {}), **named}
    if registries:
        variables[f"{_INPUT}REGISTRIES"] = json.dumps(registries, ensure_ascii=False)
    return {**variables, **step.variables}


def _needs_cloud(job: object) -> bool:
    """Whether an image is in the registry of a cloud, whose logins take the vendor's library."""
    return bool(re.search(r"amazonaws\.com|public\.ecr\.aws|pkg\.dev|\bgcr\.io|azurecr\.", str(job)))


def _host(host: Word, dialect: _Dialect) -> str | None:
    parts = [
        dialect.text(p) if isinstance(p, str) else dialect.variable(p.name) if isinstance(p, Variable) else None
        for p in host.pieces
    ]
    return None if None in parts else "".join(part or "" for part in parts)


def _own_registry(host: Word, password: Word) -> bool:
    return any(
        isinstance(piece, Variable) and piece.name.startswith("CI_") for piece in (*host.pieces, *password.pieces)
    )
