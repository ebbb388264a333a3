"""The mounts of one RUN, made ready for the time it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from coopery.mounts.spec import Prepared
from coopery.plan.ops import RunOp, SourceRef, StepMount
from coopery.ports import BindMount, Sandbox, Snapshotter
from coopery.solver.mounted import MountFiles
from coopery.solver.runtime import StepEnvironment


@contextlib.contextmanager
def prepared_mounts(
    op: RunOp,
    environment: StepEnvironment,
    sources: Mapping[SourceRef, MountFiles],
    snapshotter: Snapshotter,
    sandbox: Sandbox,
    canceled: Callable[[], bool],
) -> Iterator[Prepared]:
    """The mounts of a RUN and the variables they add, ready as long as the block lasts.

    `sources` has what its mounts take files from. Errors are those of the mounts' kinds; Interrupted if the build is
    canceled while a cache is waited for.
    """
    with contextlib.ExitStack() as stack:
        step = _Step(environment, sources, snapshotter, sandbox, canceled, stack)
        order = sorted(range(len(op.mounts)), key=lambda number: op.mounts[number].spec.precedence)
        ready = {
            number: stack.enter_context(op.mounts[number].spec.prepare(_Mount(step, op.mounts[number])))
            for number in order
        }
        parts = [ready[number] for number in range(len(op.mounts))]
        if op.script:
            path = stack.enter_context(environment.private_file(op.script.content, 0o755, 0, 0))
            parts.append(Prepared((BindMount(path, op.script.name),)))
        yield Prepared(
            tuple(mount for part in parts for mount in part.mounts),
            tuple(text for part in parts for text in part.env),
            tuple(text for part in parts for text in part.default_env),
        )


class _Step:
    """What the mounts of one step have in common."""

    def __init__(
        self,
        environment: StepEnvironment,
        sources: Mapping[SourceRef, MountFiles],
        snapshotter: Snapshotter,
        sandbox: Sandbox,
        canceled: Callable[[], bool],
        stack: contextlib.ExitStack,
    ) -> None:
        self.environment = environment
        self.sources = sources
        self.snapshotter = snapshotter
        self._sandbox = sandbox
        self._canceled = canceled
        self._stack = stack
        self._locked: dict[str, str] = {}

    def cache_directory(self, name: str, sharing: str, make: Callable[[str], None]) -> str:
        """The directory behind a cache mount, held until the step ends. One that is locked is so for the whole step,
        however many of its mounts show it."""
        if sharing == "shared" and not self._sandbox.shares:
            sharing = "locked"
        if sharing != "locked":
            cache = self.environment.cache_directory(name, sharing, make, self._canceled)
            return self._stack.enter_context(cache)
        if name not in self._locked:
            cache = self.environment.cache_directory(name, sharing, make, self._canceled)
            self._locked[name] = self._stack.enter_context(cache)
        return self._locked[name]


class _Mount:
    """The MountEnvironment of one mount."""

    def __init__(self, step: _Step, mount: StepMount) -> None:
        self._step = step
        self._mount = mount

    @property
    def content(self) -> str:
        """See MountEnvironment."""
        return str(self._mount.content or "")

    @contextlib.contextmanager
    def files(self) -> Iterator[str]:
        """See MountEnvironment."""
        step, source, path = self._step, self._mount.source, self._mount.spec.source
        assert source
        assert path is not None
        with step.environment.mounted.seen(source, step.sources[source], path, step.snapshotter) as place:
            yield place

    def fill(self, directory: str) -> None:
        """See MountEnvironment."""
        step, source, path = self._step, self._mount.source, self._mount.spec.source
        assert source
        assert path is not None
        step.environment.mounted.copy(source, step.sources[source], path, directory, step.snapshotter)

    def secret(self, name: str) -> bytes | None:
        """See MountEnvironment."""
        return self._step.environment.secret(name)

    @contextlib.contextmanager
    def cache_directory(self, name: str, sharing: str, make: Callable[[str], None]) -> Iterator[str]:
        """See MountEnvironment."""
        yield self._step.cache_directory(name, sharing, make)

    def private_file(self, data: bytes, mode: int, uid: int, gid: int) -> contextlib.AbstractContextManager[str]:
        """See MountEnvironment."""
        return self._step.environment.private_file(data, mode, uid, gid)

    def agent_socket(self, name: str, mode: int, uid: int, gid: int) -> contextlib.AbstractContextManager[str] | None:
        """See MountEnvironment."""
        return self._step.environment.agent_socket(name, mode, uid, gid)
