"""What each instruction does to a stage: to its variables, its configuration and its steps."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from coopery.dockerfile import parse_instruction
from coopery.dockerfile.git_url import without_credentials
from coopery.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stage,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from coopery.errors import Location
from coopery.oci.config import HealthCheck, ImageConfig
from coopery.oci.digest import Digest
from coopery.oci.platform import Platform
from coopery.plan import keys
from coopery.plan.copies import copy_operation
from coopery.plan.exposed import exposed_ports
from coopery.plan.history import health, quoted
from coopery.plan.ops import CopyOp, MakeDirectoryOp, Op, SourceRef, Surroundings, Vertex
from coopery.plan.outline import Outline, copy_source, mount_source
from coopery.plan.plan import BaseImage, PlannedStage, PlannedStep
from coopery.plan.runs import DEFAULT_SHELL, run_operation
from coopery.plan.scope import Scope
from coopery.plan.words import Words


class StageLookups(Protocol):
    """The look-ups that instructions need; planner.Lookups has them."""

    def image(self, reference: str, platform: Platform, location: Location) -> BaseImage: ...

    def context_files(self, op: CopyOp, location: Location) -> Digest: ...

    def mounted_files(self, context: str, path: str, location: Location) -> Digest: ...


@dataclass(slots=True)
class StageState:
    """A stage while it is planned."""

    config: ImageConfig
    scope: Scope
    key: Digest
    steps: list[PlannedStep] = field(default_factory=list)
    cmd_set: bool = False  # whether this stage has a CMD: ENTRYPOINT then leaves it

    def configure(self, created_by: str, **changes: object) -> None:
        """Change the configuration, with a line in the history."""
        self.config = replace(self.config, **changes)  # type: ignore[arg-type]
        self.steps.append(PlannedStep(None, created_by))


def changes_files(instruction: Instruction) -> bool:
    """Whether an instruction is a numbered step of the stage."""
    return isinstance(instruction, Run | Copy | Add | Workdir)


class Dispatcher:
    """Plans the instructions of one stage."""

    def __init__(
        self,
        outline: Outline,
        lookups: StageLookups,
        images: dict[str, BaseImage],
        contexts: Mapping[str, str],
        around: Surroundings,
        done: Mapping[int, PlannedStage],
        stage: Stage,
        platform: Platform,
    ) -> None:
        """`images` collects what COPY --from resolves, for `platform`; `done` holds the stages planned so far."""
        self._outline = outline
        self._lookups = lookups
        self._images = images
        self._contexts = contexts
        self._around = around
        self._done = done
        self._stage = stage
        self._platform = platform
        self._handlers: Mapping[type[Instruction], Callable[..., None]] = {
            Add: self._copy,
            Arg: self._arg,
            Cmd: self._cmd,
            Copy: self._copy,
            Entrypoint: self._entrypoint,
            Env: self._env,
            Expose: self._expose,
            Healthcheck: self._healthcheck,
            Label: self._label,
            Maintainer: self._maintainer,
            Onbuild: self._onbuild,
            Run: self._run,
            Shell: self._shell,
            Stopsignal: self._stopsignal,
            User: self._user,
            Volume: self._volume,
            Workdir: self._workdir,
        }

    def implied(self, context: str) -> list[Instruction]:
        """What a FROM that names a context means: all of its files are copied."""
        if not context:
            return []
        copy = Copy(
            location=self._stage.location,
            original=f"COPY --from={context} / /",
            sources=("/",),
            destination="/",
            source_from=context,
        )
        return [copy]

    def triggers(self, texts: Sequence[str]) -> list[Instruction]:
        """The ONBUILD triggers of the base, as instructions that stand at this stage's FROM."""
        return [parse_instruction(text, self._stage.location, self._outline.dockerfile) for text in texts]

    def dispatch(self, state: StageState, instruction: Instruction, position: str) -> None:
        """Carry `instruction` out on `state`; `position` is what a step's title starts with."""
        words = Words(self._outline.dockerfile, instruction.location, state.scope.get)
        self._handlers[type(instruction)](state, instruction, words, position)

    # ------------------------------------------------------------------------------------------ configuration

    def _arg(self, state: StageState, arg: Arg, words: Words, _: str) -> None:
        shown = []
        for name, default in arg.args:
            # A default that isn't needed isn't expanded: it may demand variables by `${v:?}`.
            value = None if default is None or state.scope.is_given(name) else words.one(default)
            state.scope.declare(name, value)
            given = state.scope.args[name]
            shown.append(name if given is None else f"{name}={given}")
        state.configure("ARG " + " ".join(shown))

    def _env(self, state: StageState, env: Env, words: Words, _: str) -> None:
        # Every value sees the variables as they were before this line.
        new = {words.one(name): words.one(value) for name, value in env.pairs}
        if "" in new:
            raise words.error("ENV needs a name before `=`")
        state.scope.set_env(new)
        state.configure("ENV " + " ".join(f"{name}={value}" for name, value in new.items()))

    def _label(self, state: StageState, label: Label, words: Words, _: str) -> None:
        new = {words.one(name): words.one(value) for name, value in label.pairs}
        shown = "LABEL " + " ".join(f"{name}={value}" for name, value in new.items())
        state.configure(shown, labels=MappingProxyType({**state.config.labels, **new}))

    def _maintainer(self, state: StageState, maintainer: Maintainer, _: Words, __: str) -> None:
        state.configure(f"MAINTAINER {maintainer.name}", author=maintainer.name)

    def _cmd(self, state: StageState, cmd: Cmd, _: Words, __: str) -> None:
        argv = self._command(state, cmd)
        state.cmd_set = True
        state.configure(f"CMD {quoted(argv)}", cmd=argv)

    def _entrypoint(self, state: StageState, entrypoint: Entrypoint, _: Words, __: str) -> None:
        argv = self._command(state, entrypoint)
        cmd = state.config.cmd if state.cmd_set else None
        state.configure(f"ENTRYPOINT {quoted(argv)}", entrypoint=argv, cmd=cmd)

    def _shell(self, state: StageState, shell: Shell, _: Words, __: str) -> None:
        state.configure(f"SHELL [{' '.join(shell.argv)}]", shell=shell.argv)

    def _user(self, state: StageState, user: User, words: Words, _: str) -> None:
        name = words.one(user.user)  # empty, as where a variable has no value, it means root
        state.configure(f"USER {name}", user=name)

    def _volume(self, state: StageState, volume: Volume, words: Words, _: str) -> None:
        paths = [words.one(path) for path in volume.paths]
        if not all(paths):
            raise words.error("VOLUME needs a path")
        volumes = tuple(sorted({*state.config.volumes, *paths}))
        state.configure(f"VOLUME [{' '.join(paths)}]", volumes=volumes)

    def _expose(self, state: StageState, expose: Expose, words: Words, _: str) -> None:
        # BuildKit sorts them as they are written, which shows in the history alone.
        ports = exposed_ports([word for text in sorted(expose.ports) for word in words.many(text)], words)
        state.configure(
            f"EXPOSE [{' '.join(ports)}]", exposed_ports=tuple(sorted({*state.config.exposed_ports, *ports}))
        )

    def _stopsignal(self, state: StageState, stopsignal: Stopsignal, words: Words, _: str) -> None:
        import re
        import signal

        text = words.one(stopsignal.signal)
        name = text.upper().removeprefix("SIG")
        known = re.fullmatch("[0-9]{1,2}", text) and 0 < int(text) < signal.NSIG
        real_time = re.fullmatch(r"RTMIN(\+([1-9]|1[0-5]))?|RTMAX(-([1-9]|1[0-4]))?", name)
        if not known and not real_time and "SIG" + name not in signal.Signals.__members__:
            hint = "write a name such as SIGTERM, or a number"
            raise words.error(f"{text!r} is not a signal", hint, stopsignal.signal)
        state.configure(f"STOPSIGNAL {text}", stop_signal=text)

    def _healthcheck(self, state: StageState, check: Healthcheck, _: Words, __: str) -> None:
        value = HealthCheck(
            check.test, check.interval, check.timeout, check.start_period, check.start_interval, check.retries
        )
        state.configure(health(value), healthcheck=value)

    def _onbuild(self, state: StageState, onbuild: Onbuild, _: Words, __: str) -> None:
        # BuildKit leaves no line in the history for ONBUILD.
        state.config = replace(state.config, on_build=(*state.config.on_build, onbuild.trigger))

    def _command(self, state: StageState, command: Command) -> tuple[str, ...]:
        if not command.shell_form:
            return command.argv
        return (*(state.config.shell or DEFAULT_SHELL), *command.argv)

    # -------------------------------------------------------------------------------------------------- steps

    def _add(
        self,
        state: StageState,
        op: Op,
        key: Digest,
        title: str,
        location: Location,
        created_by: str,
        link: Digest | None = None,
    ) -> None:
        state.key = key
        state.steps.append(PlannedStep(Vertex(op, key, self._stage.index, title, location, link), created_by))

    def _run(self, state: StageState, run: Run, words: Words, position: str) -> None:
        def find(name: str, path: str) -> tuple[SourceRef, Digest]:
            source = mount_source(self._outline.dockerfile, name, run.location, self._stage.index, self._contexts)
            return source, self._mounted_key(source, path, run.location)

        op = run_operation(run, words, state.config, state.scope, self._around, find)
        args = state.scope.shown_args
        shown_args = [f"|{len(args)}", *(f"{name}={value}" for name, value in args)] if args else []
        created_by = " ".join(["RUN", *shown_args, *op.argv])
        key = keys.run_key(state.key, op, self._around)
        self._add(state, op, key, f"{position} {words.shown(run.original)}", run.location, created_by)

    def _workdir(self, state: StageState, workdir: Workdir, words: Words, position: str) -> None:
        text = words.one(workdir.path)  # empty, it stays where it is
        path = posixpath.normpath(posixpath.join("/", state.config.working_dir or "/", text)).replace("//", "/")
        created_by = f"WORKDIR {path}"
        if path == "/":
            state.configure(created_by, working_dir=path)
            return
        op = MakeDirectoryOp(path, state.config.user)
        state.config = replace(state.config, working_dir=path)
        key = keys.directory_key(state.key, op, self._around)
        self._add(state, op, key, f"{position} {words.shown(workdir.original)}", workdir.location, created_by)

    def _copy(self, state: StageState, copy: Copy | Add, words: Words, position: str) -> None:
        source = copy_source(self._outline.dockerfile, copy, self._stage.index, self._contexts)
        op = copy_operation(copy, words, state.config.working_dir or "/", source)
        content = self._content_key(op, copy.location)
        flags = ["--parents"] if op.parents else []
        flags += [f"--chown={op.owner}"] if op.owner else []
        flags += [f"--chmod={words.one(copy.chmod)}"] if copy.chmod else []
        patterns = [without_credentials(pattern) for part in op.parts for pattern in part.patterns]
        inline = [f"<<{file.name}" for part in op.parts for file in part.inline]
        shown = [*flags, *patterns, *inline, words.one(copy.destination)]
        link = keys.link_key(op, content, self._around) if op.link else None
        self._add(
            state,
            op,
            keys.linked_key(state.key, link) if link else keys.copy_key(state.key, op, content, self._around),
            without_credentials(f"{position} {words.shown(copy.original)}"),
            copy.location,
            f"{copy.keyword} {' '.join(shown)}",
            link,
        )

    def _content_key(self, op: CopyOp, location: Location) -> Digest:
        found = [(part, self._part_key(part, location)) for part in op.parts]
        return keys.joint_key(found) if len(found) > 1 else found[0][1]

    def _part_key(self, op: CopyOp, location: Location) -> Digest:
        if op.source.kind in ("stage", "image"):
            content = keys.stage_files_key(self._layers_key(op.source, location), op.patterns)
        else:
            content = self._lookups.context_files(op, location)
        told = op.source.kind == "context"
        return content if told or not (op.parents or op.exclude) else keys.selected_key(content, op)

    def _mounted_key(self, source: SourceRef, path: str, location: Location) -> Digest:
        """The key of what lies at `path` in a stage, an image, a context, or an empty directory."""
        if source.kind == "context":
            return self._lookups.mounted_files(source.name, path, location)
        if source.kind == "inline":
            return keys.inline_key(())
        return keys.stage_files_key(self._layers_key(source, location), (path,))

    def _layers_key(self, source: SourceRef, location: Location) -> Digest:
        """The key of all that is in a stage or an image."""
        if source.kind == "stage":
            return self._done[source.stage].key
        name = source.name
        if name not in self._images:
            self._images[name] = self._lookups.image(name, self._platform, location)
        base = self._images[name]
        return keys.root_key(base.content, base.image.config.platform)
