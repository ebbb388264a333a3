"""RUN → an operation: its command with its here-documents, its mounts, its network and its rights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from coopery.dockerfile.heredocs import sole_heredoc
from coopery.dockerfile.instructions import Run
from coopery.oci.config import ImageConfig
from coopery.oci.digest import Digest
from coopery.plan.ops import InlineFile, RunOp, SourceRef, StepMount, Surroundings
from coopery.plan.scope import Scope
from coopery.plan.words import Words
from coopery.ports import NETWORKS

if TYPE_CHECKING:
    from coopery.mounts.spec import MountSpec

DEFAULT_SHELL = ("/bin/sh", "-c")
#: Where a here-document with a `#!` line is seen by the step that executes it.
SCRIPT_DIRECTORY = "/dev/pipes"
_INSECURE = "security.insecure"

#: Finds what the `from` of a mount names, and the key of the files at a path of that.
FindFiles = Callable[[str, str], tuple[SourceRef, Digest]]


def run_operation(
    run: Run, words: Words, config: ImageConfig, scope: Scope, around: Surroundings, find: FindFiles
) -> RunOp:
    """The operation of a RUN in a stage that has come to `config` and `scope`. DockerfileError for what makes no
    sense or isn't allowed."""
    wanted = words.one(run.network) or around.network
    network = NETWORKS.get(wanted)
    if network is None:
        raise words.error(f"RUN --network={wanted}: there are default, none and host")
    argv, script = _command(run, config.shell or DEFAULT_SHELL)
    cwd = config.working_dir or "/"
    return RunOp(
        argv=argv,
        env=scope.run_env(),
        proxy_env=scope.proxy_env(),
        cwd=cwd,
        user=config.user,
        network=network,
        mounts=_mounts(run, cwd, words, around, find) if run.mounts else (),
        script=script,
        insecure=_is_insecure(run, words, around),
        hostname=around.hostname,
    )


def _is_insecure(run: Run, words: Words, around: Surroundings) -> bool:
    mode = words.one(run.security) or "sandbox"
    if mode not in ("sandbox", "insecure"):
        raise words.error(f"RUN --security={mode}: there are sandbox and insecure")
    if mode == "insecure" and _INSECURE not in around.allowed:
        hint = f"if the Dockerfile can be trusted with all rights of the builder, allow it with --allow {_INSECURE}"
        raise words.error("RUN --security=insecure is not allowed", hint)
    return mode == "insecure"


def _mounts(run: Run, cwd: str, words: Words, around: Surroundings, find: FindFiles) -> tuple[StepMount, ...]:
    from coopery.mounts import mount_from, parse_mounts
    from coopery.mounts.spec import BadMount

    def step_mount(text: str, spec: MountSpec) -> StepMount:
        if spec.source is None:
            return StepMount(spec)
        source, content = find(mount_from(text), spec.source)
        return StepMount(spec, source, content)

    try:
        specs = parse_mounts(run.mounts, cwd, words.one, around.cache_namespace)
    except BadMount as error:
        raise words.error(f"RUN {error}", error.hint) from None
    return tuple(step_mount(text, spec) for text, spec in zip(run.mounts, specs, strict=True))


def _command(run: Run, shell: tuple[str, ...]) -> tuple[tuple[str, ...], InlineFile | None]:
    """The command of a RUN, with its here-documents: a sole one is the script itself, a file that the shell
    executes when it starts with `#!`; others are left to the shell to read (BuildKit, dispatchRun)."""
    if not run.shell_form:
        return run.argv, None
    text = run.argv[0]
    if not run.heredocs:
        return (*shell, text), None
    sole = sole_heredoc(run)
    if sole:
        if sole.content.startswith("#!"):
            path = f"{SCRIPT_DIRECTORY}/{sole.name}"
            return (*shell, path), InlineFile(path, sole.content.encode("utf-8", "surrogateescape"))
        return (*shell, sole.content), None
    bodies = "".join(f"\n{heredoc.written}{heredoc.name}" for heredoc in run.heredocs)
    return (*shell, text + bodies), None
