"""Turns steps of Buildkite's pipelines that build images into steps of the plugin."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coopery.migrate.draft import Draft, Login
from coopery.migrate.edit import (
    Document,
    Edit,
    as_item,
    dump,
    entries,
    get,
    indented,
    is_block,
    items,
    last_line,
    plain,
    plain_mapping,
    spliced,
)
from coopery.migrate.logins import named_login
from coopery.migrate.pods import container_drafts, is_kaniko
from coopery.migrate.results import Migrated, Migration, Source, comments
from coopery.migrate.script import Build, Rest, Scripts
from coopery.migrate.spelling import Speller, Step, finish
from coopery.migrate.words import Native, Natives, Piece, Variable, Word, word

#: What `buildkite-agent pipeline upload` puts in place, and how a dollar sign is kept from it (github.com/buildkite/
#: interpolate).
_UPLOADED = re.compile(r"\$\$|\\\$|\$[A-Za-z_]\w*|\$\{[^}]*\}")
#: Variables that are the same for all jobs of a build, so that the upload knows them.
_OF_THE_BUILD = re.compile(
    r"BUILDKITE_(?:COMMIT|BRANCH|TAG|MESSAGE|BUILD_(?:ID|NUMBER|URL|CREATOR\w*|AUTHOR\w*)|PIPELINE_\w+|ORGANIZATION_SLUG"
    r"|PULL_REQUEST\w*|REPO|SOURCE|TRIGGERED_FROM_\w+)"
)
_ONE_NAME = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_DOCKERS = re.compile(r"DOCKER_(?:HOST|BUILDKIT|TLS_\w+|CLI_\w+)|BUILDKIT_\w+")


@dataclass(frozen=True)
class _Dialect:
    """See `coopery.migrate.spelling.Dialect`. `known` are the variables of the pipeline's own `env`."""

    known: Collection[str] = ()
    roots: Sequence[str] = ("BUILDKITE_BUILD_CHECKOUT_PATH",)
    commits: Sequence[str] = ("BUILDKITE_COMMIT",)
    shell_way: str = "plugins take what is known at `pipeline upload`: set it before, in the pipeline's env"

    def text(self, literal: str) -> str:
        """A dollar sign would begin a variable."""
        return literal.replace("$", "$$")

    def variable(self, name: str) -> str | None:
        """What the upload knows."""
        return f"${{{name}}}" if _OF_THE_BUILD.fullmatch(name) or name in self.known else None

    def native(self, written: str) -> str | None:
        """What the upload puts in place anyway."""
        return written


@dataclass
class _Step:
    """A step of the pipeline, and what it builds."""

    node: Any
    data: dict[str, Any]
    scripts: Scripts = field(default_factory=Scripts)
    kept: list[str] = field(default_factory=list)
    plugins: list[object] = field(default_factory=list)  # of others, that stay

    @property
    def title(self) -> str:
        return str(self.data.get("label") or self.data.get("name") or self.data.get("key") or "a command")


class _Migrator:
    """See `coopery.migrate.adapter.Migrator`."""

    def claims(self, path: str, text: str) -> bool:
        """By the file's place, or by steps at the top."""
        if re.search(r"(?:^|/)\.?buildkite(?:/|\.ya?ml$|\.pipeline)", path):
            return True
        commands = re.search(r"^[ \t]*(?:- +)?(?:commands?|plugins|label|wait)\b", text, re.M)
        return bool(re.search(r"^steps:", text, re.M) and commands and not re.search(r"^jobs:", text, re.M))

    def file(self, path: str, text: str, source: Source) -> Migration:
        """The pipeline with steps of the plugin; only these where lines can't be replaced."""
        document = Document(path, text)
        root = document.root
        known = [each.key for each in entries(get(root, "env"))]
        steps: list[Migrated] = []
        edits: list[Edit] = []
        whole = True
        for node in _steps(root):
            step = _read(node, root)
            if not step.scripts.builds:
                continue
            made = _migrated(document, step, _Dialect(known), source)
            steps += made
            lines = [line for each in made for line in each.text.splitlines()]
            column = node.start_mark.column - 2
            edits.append(Edit(node.start_mark.line, last_line(node, 0), indented(lines, max(column, 0))))
            whole = whole and is_block(node) and column >= 0
        result = document.edited(edits)
        if whole and steps and _still_yaml(path, result):
            return Migration(platform="buildkite", text=result, whole=True, steps=steps)
        parts = "\n".join(step.text for step in steps)
        return Migration(platform="buildkite", text=parts, whole=False, steps=steps)

    def step(self, draft: Draft, title: str, source: Source) -> Migrated:
        """One step, as an item of `steps`."""
        finished = finish(draft, _Dialect())
        lines = as_item(dump({"label": ":docker: Image", **_ours(finished, draft, [], {}, source)}))
        text = "\n".join([*comments(draft.notes), *_remark(source), *lines]) + "\n"
        return Migrated(title=title, text=text, settings=finished.data(), notes=tuple(draft.notes))


MIGRATOR = _Migrator()


# ------------------------------------------------------------------------------------------------ reading


def _steps(root: Any) -> Iterator[Any]:
    """Steps with commands or plugins, also those in groups."""
    for node in items(get(root, "steps") or (root if root is not None and root.id == "sequence" else None)):
        if get(node, "steps") is not None:
            yield from _steps(node)
        elif any(get(node, key) is not None for key in ("command", "commands", "plugins")):
            yield node


def _read(node: Any, root: Any) -> _Step:
    step = _Step(node, plain_mapping(node))
    scripts = step.scripts
    for name, value in _plugins(step.data.get("plugins")):
        _plugin(step, name, value)
    text = "\n".join(_commands(step.data.get("command")) + _commands(step.data.get("commands")))
    if step.plugins and (image := _kaniko_image(step)):
        step.plugins.remove(image)
        (name, value), *_ = image.items() if isinstance(image, dict) else [("", {})]
        command = value.get("command")
        text = "executor " + (" ".join(map(str, command)) if isinstance(command, list) else text)
        for key in set(value) - {"image", "command", "entrypoint", "mount-checkout", "workdir"}:
            scripts.notes.left(
                f"plugin {name.rpartition('/')[2]}: {key}", "it is about the container", "the step runs without"
            )
    found = scripts.read(_shell_text(text, scripts.natives))
    step.kept = [item.text for item in found if isinstance(item, Rest) and not item.idle]
    for title, draft in container_drafts(plain(get(node, "plugins"))):
        draft.moot(title, "the step runs on the agent itself")
        _replace(draft, _uploaded)
        scripts.builds.append(Build(draft, "kaniko"))
        step.plugins = [each for each in step.plugins if "kubernetes" not in str(each)]
    scripts.finish()
    for build in scripts.builds:
        _put(build.draft, plain_mapping(get(step.node, "env")))
        build.draft.logins = [_named(login) for login in build.draft.logins]
    return step


def _shell_text(text: str, natives: Natives) -> str:
    """What the shell sees, with what the upload puts in place hidden."""

    def put(match: re.Match[str]) -> str:
        return "$" if match[0] in ("$$", "\\$") else natives.hide(Native(match[0]))

    return _UPLOADED.sub(put, text)


def _put(draft: Draft, env: dict[str, str]) -> None:
    """The variables of the step's own env by their values: plugins don't see them."""

    def value(piece: Piece) -> Word:
        if isinstance(piece, Variable) and piece.name in env:
            natives = Natives()
            return natives.reveal(word(_shell_text(env[piece.name], natives)))
        return word(piece)

    _replace(draft, value)


def _replace(draft: Draft, put: Callable[[Piece], Word]) -> None:
    for key, values in draft.settings.items():
        draft.settings[key] = [each.replaced(put) for each in values]
    draft.names = [each.replaced(put) for each in draft.names]


def _uploaded(piece: Piece) -> Word:
    """Text as the upload leaves it."""
    natives = Natives()
    return natives.reveal(word(_shell_text(piece, natives))) if isinstance(piece, str) else word(piece)


def _named(login: Login) -> Login:
    """The upload would put a secret into the pipeline: it is named instead."""

    def put(piece: Piece) -> Word:
        match = _ONE_NAME.fullmatch(piece.written) if isinstance(piece, Native) else None
        return word(Variable(match[1])) if match else word(piece)

    return replace(login, username=login.username.replaced(put), password=login.password.replaced(put))


def _commands(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)] if value else []


def _plugins(value: object) -> Iterator[tuple[str, Any]]:
    for each in value if isinstance(value, list) else [value] if isinstance(value, dict) else []:
        if isinstance(each, str):
            yield each, {}
        elif isinstance(each, dict):
            yield from each.items()


def _plugin(step: _Step, name: str, value: Any) -> None:
    """What another plugin did for the build: logins, mostly. Others stay."""
    short = name.partition("#")[0].rpartition("/")[2].removesuffix(".git").removesuffix("-buildkite-plugin")
    given = value if isinstance(value, dict) else {}
    notes = step.scripts.notes
    if short == "docker-login":
        host = word(str(given.get("server", "") or "docker.io"))
        user = str(given.get("username", ""))
        password = str(given.get("password-env", "DOCKER_LOGIN_PASSWORD"))
        who = _named_word(user) if user else word(Variable("DOCKER_LOGIN_USERNAME"))
        step.scripts.logins.append(Login(host, who, word(Variable(password)), f"the login for {host.written}"))
        for key in set(given) - {"server", "username", "password-env"}:
            notes.moot(f"plugin {short}: {key}: {given[key]}", "nothing is left behind by a login")
    elif short == "ecr":
        notes.moot(f"plugin {short}", "the AWS identity that the agent has serves for ECR")
        for key, each in given.items():
            if key in ("assume-role", "assume_role"):
                way = "name the role in registries, and let it trust Buildkite's OIDC tokens"
                shown = ", ".join(f"{k}={v}" for k, v in each.items()) if isinstance(each, dict) else each
                notes.left(f"plugin {short}: {key}: {shown}", "roles are assumed by the job's OIDC token", way)
            else:
                notes.moot(f"plugin {short}: {key}: {each}", "ECR's registries are known by their names")
    elif "coopery" not in short:
        step.plugins.append({name: value} if value else name)


def _named_word(text: str) -> Word:
    match = _ONE_NAME.fullmatch(text)
    return word(Variable(match[1])) if match else word(text)


def _kaniko_image(step: _Step) -> object:
    """The docker plugin, if it runs kaniko."""
    for each in step.plugins:
        if isinstance(each, dict) and any(isinstance(v, dict) and is_kaniko(v.get("image")) for v in each.values()):
            return each
    return None


# ------------------------------------------------------------------------------------------------ writing


def _migrated(document: Document, step: _Step, dialect: _Dialect, source: Source) -> list[Migrated]:
    """The step as one of the plugin; further builds in it as further steps."""
    made = []
    for number, build in enumerate(step.scripts.builds):
        draft = build.draft
        if number == 0:
            for command in step.kept:
                way = "put it into a step of its own; files go from step to step as artifacts"
                draft.left(command, "a step of the plugin has no commands", way)
        finished = finish(draft, dialect)
        env = dict(plain_mapping(get(step.node, "env")))
        for name in [name for name in env if _DOCKERS.fullmatch(name)]:
            draft.moot(f"env {name}", "only Docker reads it")
            del env[name]
        new = _ours(finished, draft, step.plugins, env, source)
        drop = ["command", "commands", "plugins", "env"]
        if is_block(step.node) and number == 0:
            column = step.node.start_mark.column - 2
            body = spliced(document.lines, step.node, drop, new, last_line(step.node, 0))
            lines = [line[column:] if not line[:column].strip() else line for line in body]
        else:
            kept = {key: value for key, value in step.data.items() if key not in (*drop, *(["key"] if number else []))}
            lines = as_item(dump({**kept, **new}))
        text = "\n".join([*comments(draft.notes), *_remark(source), *lines]) + "\n"
        made.append(
            Migrated(
                title=f"step {step.title}",
                line=step.node.start_mark.line + 1,
                text=text,
                settings=finished.data(),
                notes=tuple(draft.notes),
            )
        )
    return made


def _ours(
    step: Step, draft: Draft, plugins: Sequence[object], env: dict[str, object], source: Source
) -> dict[str, object]:
    configuration: dict[str, object] = {**step.data()}
    registries: dict[str, dict[str, object]] = {host: dict(entry) for host, entry in step.registries.items()}
    speller = Speller(draft, _Dialect())
    for login in step.logins:
        host = speller.value(login.written, login.host)
        if host is not None and (entry := named_login(login, draft)):
            registries[host] = {**registries.get(host, {}), **entry}
    if registries:
        configuration["registries"] = registries
    variables = {**env, **step.variables}
    new: dict[str, object] = {"plugins": [*plugins, {_plugin_at(source): configuration}]}
    return {"env": variables, **new} if variables else new


def _plugin_at(source: Source) -> str:
    return f"https://github.com/{source.repository}.git/integrations/buildkite#{source.ref}"


def _remark(source: Source) -> list[str]:
    return [f"# {line}" for line in source.remark]


def _still_yaml(path: str, text: str) -> bool:
    from coopery.errors import UsageError

    try:
        return Document(path, text).root is not None
    except UsageError:
        return False
