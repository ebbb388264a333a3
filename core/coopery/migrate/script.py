"""Scripts that build images: which builds they hold, what these are called and whether they are pushed, and what else
the scripts do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType

from coopery.migrate.containers import container_draft, kaniko_image
from coopery.migrate.docker import below, draft_build
from coopery.migrate.draft import Draft, Login
from coopery.migrate.flags import Flag, moot, read_flags
from coopery.migrate.kaniko import draft_executor
from coopery.migrate.logins import carry_config, carry_login, host_of
from coopery.migrate.shell import Command, read_script
from coopery.migrate.words import Natives, Piece, Shell, Variable, Word, same, split_name, word

_NOTHING: Mapping[str, Word] = MappingProxyType({})


@dataclass
class Build:
    """One build of a script."""

    draft: Draft
    tool: str  # what built it: "docker" or "kaniko"
    names: list[Word] = field(default_factory=list)  # that it was given, pushed or not
    pushed: list[Word] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rest:
    """Commands that are no part of a build. Those that only set the stage (`cd`, assignments) matter to later ones."""

    text: str
    stage: bool = False
    talk: bool = False  # prints something, and does nothing
    feeds: bool = False  # is there for another command of its statement

    @property
    def idle(self) -> bool:
        """Whether nothing is lost without it if nothing follows."""
        return self.stage or self.talk


Item = Build | Rest


def kept_commands(items: Sequence[Item], notes: Draft) -> list[str]:
    """The commands among `items`; none if they only set the stage for what isn't there any more. What they would have
    said is told to `notes`.
    """
    rests = [item for item in items if isinstance(item, Rest)]
    if not all(rest.idle for rest in rests):
        return [rest.text for rest in rests]
    for rest in rests:
        if rest.talk:
            notes.moot(rest.text, "the log says what is done")
    return []


_DOCKERS = ("docker", "podman", "nerdctl")
_CONFIG = re.compile(r"(?:^|/)(?:\.docker|DOCKER_CONFIG\}?)/config\.json$")
_NEEDS_DOCKER = "this needs Docker, which the build doesn't"
_FETCHED = "images are fetched as they are needed"


@dataclass
class Scripts:
    """The scripts of one job, in order: what one says holds for those after it."""

    natives: Natives = field(default_factory=Natives)
    builds: list[Build] = field(default_factory=list)
    logins: list[Login] = field(default_factory=list)
    notes: Draft = field(default_factory=Draft)  # of what belongs to no build
    _known: dict[str, Word] = field(default_factory=dict)
    _here: Word | None = None
    _needed: list[Word] = field(default_factory=list)  # words of commands that stay and want Docker's images

    def read(self, text: str, here: Word | None = None, env: Mapping[str, Word] = _NOTHING) -> list[Item]:
        """What a script does, in order, that is started in the directory `here`, if not in that of the checkout. `env`
        are variables that it alone has.

        EnvironmentUnsuitable without the library that reads scripts.
        """
        self._here, before = here, dict(self._known)
        self._known |= env
        items: list[Item] = []
        commands = read_script(text)
        for _, group in groupby(commands, key=lambda command: command.group):
            items += self._group(list(group))
        for name in env:
            self._known.pop(name, None)
            if name in before:
                self._known[name] = before[name]
        return items

    def finish(self) -> None:
        """Settle what is only known once every script was read: names, pushes, logins."""
        for build in self.builds:
            draft = build.draft
            self._resolve(draft)
            build.names = [self._resolved(name) for name in build.names]
            build.pushed = [self._resolved(name) for name in build.pushed]
            if build.tool == "docker":
                self._settle(build)
            draft.logins += self.logins
            for name, value in self.notes.variables.items():
                draft.variables.setdefault(name, value)
            if draft is self.builds[0].draft:
                draft.notes += [note for note in self.notes.notes if note not in draft.notes]

    def _settle(self, build: Build) -> None:
        draft = build.draft
        pushes = draft.settings.get("push", [])
        if not pushes:
            draft.set("push", "true" if build.pushed else "false")
        by_itself = bool(pushes) and pushes[0].literal != "false"
        names = [*draft.names, *build.names]
        pushed = {same(name) for name in build.pushed}
        draft.names = list(dict.fromkeys(name for name in names if by_itself or same(full_name(name)) in pushed))
        unpushed = [name for name in dict.fromkeys(names) if name not in draft.names]
        if not draft.names:
            draft.names = unpushed
        elif unpushed:
            listed = ", ".join(name.written for name in unpushed)
            draft.moot(f"the name {listed}", "nothing is pushed by it")
        if self._needed and "load" not in draft.settings:
            draft.set("load", "true")
            draft.check("docker", "other commands of the job use Docker; load: true hands it the image")

    # ------------------------------------------------------------------------------------------------ commands

    def _group(self, commands: Sequence[Command]) -> list[Item]:
        """What one statement comes to. Where none of it is part of a build it stays as it is."""
        here = self._here
        found = [self._command(command) for command in commands]
        if any(command.inside for command in commands):
            self._here = here
        rests = [item for item in found if isinstance(item, Rest)]
        if len(rests) == len(found):
            source = self.natives.show(commands[0].source)
            idle, stage = all(rest.idle for rest in rests), all(rest.stage for rest in rests)
            return [Rest(source, stage=stage, talk=idle and not stage)]
        items: list[Item] = []
        for command, item in zip(commands, found, strict=True):
            if item is None or (isinstance(item, Rest) and item.feeds):
                continue
            if isinstance(item, Rest) and command.condition and not item.idle:
                self.notes.left(
                    item.text, f"it stands in `{self._shown(command.condition)}`", "keep it in a step of its own"
                )
                continue
            if not (isinstance(item, Rest) and command.condition):
                items.append(item)
        return items

    def _shown(self, text: str) -> str:
        return self.natives.show(text)

    def _command(self, command: Command) -> Item | None:
        """What a command comes to; None if it is part of a build."""
        command = self._unwrapped(command)
        shown = self._shown(command.text)
        if command.repeated:
            self._forget(command)
            if _DOCKER_WORD.search(command.text):
                way = "write it out as commands of their own, or describe the images under targets in coopery.yaml"
                self.notes.left(shown, "it stands in a loop, a function or a case", way)
            return Rest(self.natives.show(command.source))
        if command.assigned and not command.words:
            for name, value in command.assigned:
                self._known[name] = word(Shell(f"${{{name}}}")) if command.condition else self._resolved(value)
            return Rest(shown, stage=True)
        handler = self._handler(command)
        if handler is None:
            return self._other(command, shown)
        before = len(self.builds)
        kept = handler(command)
        if command.condition and _CHANGING.search(shown):
            way = "say it by the conditions of the job or step, or by enable= of a tag rule"
            self.notes.check(shown, f"it stands in `{self._shown(command.condition)}`, and is done always now", way)
        if len(self.builds) > before:
            self._resolve(self.builds[-1].draft)
            return self.builds[-1]
        return Rest(shown) if kept else None

    def _forget(self, command: Command) -> None:
        for name, _ in command.assigned:
            self._known[name] = word(Shell(f"${{{name}}}"))

    def _other(self, command: Command, shown: str) -> Rest | None:
        name = command.name
        if not command.words or (command.optional and name in ("true", "exit", "false", ":")) or name in ("test", "["):
            return Rest(shown, stage=True, feeds=True)
        if name == "cd" and len(command.words) == 2:
            self._here = below(self._here, command.words[1])
            return Rest(shown, stage=True)
        if name in ("set", "shopt", "export", "unset", ":", "true", "sleep"):
            return Rest(shown, stage=True)
        if command.writes is not None and _CONFIG.search(command.writes.written):
            if command.given is not None and name == "cat":
                carry_config(self.logins, self.notes, command.given)
            elif name in ("echo", "printf") and command.words[1:]:
                carry_config(self.logins, self.notes, command.words[-1])
            elif name == "cat" and command.words[1:]:
                self.notes.variables["REGISTRY_AUTH_FILE"] = command.words[1]
            else:
                self.notes.left(shown, "what it writes can't be told", "name the logins in registries")
            return None
        if name in ("cp", "mv", "ln") and command.words and _CONFIG.search(command.words[-1].written):
            self.notes.variables["REGISTRY_AUTH_FILE"] = command.words[-2]
            return None
        if name == "mkdir" and all(
            "docker" in each.written or each.start.startswith("-") for each in command.words[1:]
        ):
            return None
        talk = name in ("echo", "printf") and command.writes is None and not command.piped
        return Rest(shown, talk=talk, feeds=command.piped)

    def _handler(self, command: Command) -> Callable[[Command], bool] | None:
        """What sees to the command: returns whether it stays in the job too."""
        name, words = command.name, command.words
        if name in ("executor", "kaniko-executor") or (name == "kaniko" and words[0].literal != "kaniko"):
            return self._executor
        if name == "warmer":
            return lambda _: self._moot(command, _FETCHED)
        if name in _DOCKERS and len(words) > 1:
            return self._docker
        if name == "az" and [each.literal for each in words[1:3]] == ["acr", "login"]:
            return lambda _: self._moot(command, "the job's Azure identity serves for its registries")
        if name == "gcloud" and [each.literal for each in words[1:3]] == ["auth", "configure-docker"]:
            return lambda _: self._moot(command, "the job's Google identity serves for its registries")
        return None

    def _unwrapped(self, command: Command) -> Command:
        """With known variables in their places, and without `sudo` and the like."""
        words = [self._resolved(each) for each in command.words]
        while words and words[0].literal in ("sudo", "exec", "time", "command", "env", "retry"):
            words.pop(0)
            while words and (words[0].start.startswith("-") or re.match(r"[A-Z_]+=", words[0].start)):
                words.pop(0)
        given = self._resolved(command.given) if command.given is not None else None
        writes = self._resolved(command.writes) if command.writes is not None else None
        return replace(command, words=tuple(words), given=given, writes=writes)

    # ------------------------------------------------------------------------------------------------ docker, kaniko

    def _executor(self, command: Command) -> bool:
        first = command.words[1].literal if len(command.words) > 1 else ""
        if first == "login":
            self._login(command, command.words[2:])
        elif first == "push":
            self.notes.left(self._shown(command.text), "it pushes an archive", "coopery copy ARCHIVE NAME does it")
        else:
            self.builds.append(Build(draft_executor(command.words[1:], self._here), "kaniko"))
        return False

    def _docker(self, command: Command) -> bool:
        words = list(command.words[1:])
        verbs = [each.literal or "" for each in words[:2]] + [""]
        if verbs[0] in ("image", "builder", "buildx") and verbs[1] in ("build", "b", "push", "tag", "pull"):
            words, verbs = words[1:], [verbs[1], ""]
        rest = words[1:]
        match verbs[0]:
            case "build" | "b":
                self._build(rest)
            case "login":
                self._login(command, rest)
            case "push":
                self._push(command, rest)
            case "tag":
                return self._tag(command, rest)
            case "pull":
                return self._moot(command, _FETCHED)
            case "logout":
                return self._moot(command, "logins end with the step")
            case "info" | "version" | "buildx" | "context" | "builder" | "images" | "ps" | "rmi":
                return self._about(command, verbs)
            case "run" if kaniko_image(rest) >= 0:
                self.builds.append(Build(container_draft(rest), "kaniko"))
            case "run" if "binfmt" in command.text or "qemu" in command.text:
                way = "have an emulator registered on the machine, if commands of other platforms have to run"
                self.notes.left(self._shown(command.text), _NEEDS_DOCKER, way)
            case _:
                self._needed += rest
                self.notes.check(self._shown(command.text), _NEEDS_DOCKER, "the job's runner must have it")
                return True
        return False

    def _about(self, command: Command, verbs: Sequence[str]) -> bool:
        if verbs[0] == "buildx" and verbs[1] not in ("create", "use", "inspect", "version", "ls", "rm", "install"):
            way = "coopery.yaml describes several targets" if verbs[1] == "bake" else "see `coopery index create`"
            self.notes.left(self._shown(command.text), _NEEDS_DOCKER, way)
            return True
        return self._moot(command, "it is about Docker's own state, and there is none")

    def _build(self, words: Sequence[Word]) -> None:
        draft = draft_build(words, self._here)
        names, draft.names = draft.names, []
        build = Build(draft, "docker", names=names)
        self.builds.append(build)

    def _login(self, command: Command, words: Sequence[Word]) -> None:
        line = read_flags(words, _LOGIN, self.notes, {"u": "username", "p": "password"}, "docker login")
        values = {given.name: given.value for given in line.flags}
        host = host_of(line.others[0]) if line.others else word("docker.io")
        password = command.given if "password-stdin" in values else values.get("password")
        written = f"the login for {host.written}"
        if password is None or "username" not in values:
            self.notes.left(written, "it can't be told who logs in", "name the login in registries")
            return
        carry_login(self.logins, self.notes, Login(host, self._resolved(values["username"]), password, written))

    def _push(self, command: Command, words: Sequence[Word]) -> None:
        line = read_flags(words, _PUSH, self.notes, {"a": "all-tags", "q": "quiet"}, "docker push")
        every = any(given.name == "all-tags" for given in line.flags)
        found = False
        for name in line.others:
            for build in self.builds:
                for known in [*build.names, *build.draft.names]:
                    all_of_it = every and same(split_name(known)[0]) == same(split_name(name)[0])
                    if all_of_it or same(full_name(known)) == same(full_name(name)):
                        build.pushed.append(full_name(known))
                        found = True
        if not found:
            way = "`coopery copy` pushes what a registry or an archive has"
            self.notes.left(self._shown(command.text), "no build of this job gives it that name", way)

    def _tag(self, command: Command, words: Sequence[Word]) -> bool:
        if len(words) == 2:
            for build in self.builds:
                if same(full_name(words[0])) in [same(full_name(name)) for name in build.names]:
                    build.names.append(words[1])
                    return False
        shown = self._shown(command.text)
        self.notes.left(shown, "no build of this job gives it that name", "`coopery copy OLD NEW` names what is pushed")
        return False

    def _moot(self, command: Command, why: str) -> bool:
        self.notes.moot(self._shown(command.text), why)
        return False

    # ------------------------------------------------------------------------------------------------ variables

    def _resolved(self, value: Word) -> Word:
        """With what the script said of its variables in their places, and native syntax as such."""

        def put(piece: Piece) -> Word:
            return self._known.get(piece.name, word(piece)) if isinstance(piece, Variable) else word(piece)

        shown = self.natives.reveal(value)
        return Word(shown.replaced(put).pieces, value.quoted)

    def _resolve(self, draft: Draft) -> None:
        """The same for all that a draft has."""
        for key, values in draft.settings.items():
            draft.settings[key] = [self._resolved(value) for value in values]
        draft.names = [self._resolved(name) for name in draft.names]
        draft.registries = {
            self._resolved(host): {key: self._resolved(value) for key, value in entry.items()}
            for host, entry in draft.registries.items()
        }
        draft.variables = {name: self._resolved(value) for name, value in draft.variables.items()}


def full_name(name: Word) -> Word:
    """The name with the tag that Docker takes where there is none."""
    _, tag = split_name(name)
    return name if tag.pieces else name + ":latest"


_CHANGING = re.compile(r"\b(?:build|bud|push|tag|executor)\b")
_DOCKER_WORD = re.compile(r"\b(?:docker|podman|nerdctl|executor)\b")
_LOGIN: Mapping[str, Flag] = {
    "username": Flag(moot("")),
    "password": Flag(moot("")),
    "password-stdin": Flag(moot(""), switch=True),
}
_PUSH: Mapping[str, Flag] = {
    "all-tags": Flag(moot(""), switch=True),
    "quiet": Flag(moot(""), switch=True),
    "disable-content-trust": Flag(moot(""), switch=True),
}
