"""Asks the destinations whether they would take the image, while there is still nothing to lose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future

from coopery.errors import AuthError, CooperyError, NotFound, several
from coopery.oci.reference import Reference
from coopery.ports import Progress, Registry, StepProgress
from coopery.solver.waiting import finished


class Preflight:
    """One check for each repository that is going to be pushed to. Safe to use from any thread.

    A refusal stops the build before its first command. A registry that can't be reached, or is in trouble, stops it
    only if all are so: the others get their image, and this one may be back by then.
    """

    def __init__(
        self, registry: Registry, destinations: Sequence[Reference], pool: Executor, progress: Progress
    ) -> None:
        self._registry = registry
        self._repositories = list({reference.name: reference for reference in destinations}.values())
        self._pool = pool
        self._progress = progress
        self._lock = threading.Lock()
        self._checks: list[Future[CooperyError | None]] = []
        self._step: StepProgress | None = None
        #: What stops the build, once `passed` has found it.
        self.failure: CooperyError | None = None

    def start(self) -> None:
        """Begin to ask, in the pool; once, however often this is called."""
        if self._repositories and not self._checks:
            self._step = self._progress.step("[internal] check the right to push")
            self._step.start()
            self._checks = [self._pool.submit(self._check, reference) for reference in self._repositories]

    def passed(self, canceled: Callable[[], bool] = lambda: False) -> bool:
        """Whether the build may go on; waits for the answers, or until `canceled` says that nobody wants them."""
        if not finished(self._checks, canceled):
            return False
        with self._lock:
            if self._step:
                self._decide(self._step)
                self._step = None
        return self.failure is None

    def finish(self) -> None:
        """Wait for the answers, and raise what stops the build: AuthError, NotFound, or why no registry answers."""
        if not self.passed() and self.failure:
            raise self.failure

    def _check(self, reference: Reference) -> CooperyError | None:
        try:
            self._registry.check_push(reference)
        except CooperyError as error:
            return error
        return None

    def _decide(self, step: StepProgress) -> None:
        names = [reference.name for reference in self._repositories]
        answers = [check.result() for check in self._checks]
        failures = [(name, error) for name, error in zip(names, answers, strict=True) if error]
        refusals = [(name, error) for name, error in failures if isinstance(error, (AuthError, NotFound))]
        fatal = refusals or (failures if len(failures) == len(answers) else [])
        if fatal:
            self.failure = several(fatal, len(answers), "destinations")
            step.failed(self.failure.message)
            return
        for name, error in failures:
            self._progress.warn(f"pushing to {name} will probably fail: {error.message}")
        step.done()
