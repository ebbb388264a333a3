"""From a file or a command line of another builder to ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coopery.errors import UsageError
from coopery.migrate.adapter import Migrator, claiming, named_migrator
from coopery.migrate.docker import draft_build
from coopery.migrate.draft import Draft
from coopery.migrate.edit import dump
from coopery.migrate.kaniko import draft_executor
from coopery.migrate.logins import named_login
from coopery.migrate.pods import pod_drafts
from coopery.migrate.results import Migrated, Migration, Source, comments
from coopery.migrate.script import Scripts
from coopery.migrate.spelling import Plain, finish
from coopery.migrate.words import word

#: What stands where it isn't said where Coopery comes from.
_ANYWHERE = Source()


def migrate_command(
    arguments: Sequence[str], platform: str, migrators: Mapping[str, Migrator], source: Source = _ANYWHERE
) -> Migration:
    """What a command line of kaniko or Docker is as a step of `platform`, or as coopery.yaml without one.

    Variables in it were put in place by the shell that ran us. UsageError if it builds nothing.
    """
    names = [argument.rpartition("/")[2] for argument in arguments[:3]]
    words = [word(argument) for argument in arguments]
    if names and names[0] in ("executor", "kaniko"):
        draft = draft_executor(words[1:])
    elif names and names[0].startswith("--"):
        draft = draft_executor(words)
    elif "build" in names:
        draft = draft_build(words[names.index("build") + 1 :])
        _pushed_or_not(draft)
    else:
        hint = "give `executor` with its flags, or `docker build …`"
        raise UsageError("this is no command line of kaniko's or Docker's that builds an image", hint=hint)
    return _of([("kaniko" if "docker" not in names[:1] else "docker build", draft)], platform, migrators, source)


def migrate_file(
    path: str, text: str, platform: str, migrators: Mapping[str, Migrator], source: Source = _ANYWHERE
) -> Migration:
    """What the pipeline, the manifest or the shell script `text` is with our steps. `platform` may be empty.

    UsageError if it builds no image, or isn't understood.
    """
    name = platform or claiming(path, text, migrators)
    claimed = bool(name) and named_migrator(name, migrators).claims(path, text)
    if claimed and (found := migrators[name].file(path, text, source)).steps:
        return found
    if not claimed and "containers:" in text and (drafts := pod_drafts(path, text)):
        return _of(drafts, platform, migrators, source)
    scripts = Scripts()
    if not claimed:
        scripts.read(text)
    scripts.finish()
    if not scripts.builds:
        hint = "kaniko, docker build and docker buildx build are understood, and actions that run them"
        raise UsageError(f"{path} has nothing that builds an image", hint=hint)
    return _of([("the script", build.draft) for build in scripts.builds], platform, migrators, source)


def _pushed_or_not(draft: Draft) -> None:
    if "push" not in draft.settings:
        draft.set("push", "false")
        draft.check("docker build", "it doesn't push by itself", "set push to auto if the image was pushed afterwards")


def _of(
    drafts: Sequence[tuple[str, Draft]], platform: str, migrators: Mapping[str, Migrator], source: Source
) -> Migration:
    if platform:
        migrator = named_migrator(platform, migrators)
        steps = [migrator.step(draft, title, source) for title, draft in drafts]
    else:
        steps = [settings_file(draft, title) for title, draft in drafts]
    return Migration(platform=platform, text="\n".join(step.text for step in steps), whole=False, steps=steps)


def settings_file(draft: Draft, title: str) -> Migrated:
    """A coopery.yaml for `draft`."""
    step = finish(draft, Plain())
    data = step.data()
    registries: dict[str, Mapping[str, object]] = dict(step.registries)
    for login in step.logins:
        entry = named_login(login, draft)
        if entry and login.host.literal:
            registries[login.host.literal] = {**registries.get(login.host.literal, {}), **entry}
        elif entry:
            draft.left(login.written, "the registry isn't known before the job runs", "name it in registries")
    if registries:
        data["registries"] = registries
    for name, value in step.variables.items():
        draft.check(name, f"set the variable to {value} where the job runs")
    lines = [*comments(draft.notes), *(dump(data) if data else [])]
    return Migrated(title=title, text="\n".join(lines) + "\n", settings=data, notes=tuple(draft.notes))
