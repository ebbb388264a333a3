"""The threads of a build."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import Executor, ThreadPoolExecutor

from coopery.errors import Interrupted


def is_stop(kind: type[BaseException] | None) -> bool:
    """Whether the user wants the build to end: then no registry that is slow to answer is waited for."""
    return kind is not None and issubclass(kind, (KeyboardInterrupt, Interrupted))


class Pools:
    """The threads of a build.

    No job of a pool waits for another job of the same pool, but in `archive`: there for one submitted earlier.
    """

    def __init__(self, stack: contextlib.ExitStack, parallel: int) -> None:
        """`parallel` is how many blobs may be on their way at once, each way."""
        cpus = os.cpu_count() or 1

        def pool(size: int, name: str) -> Executor:
            made = ThreadPoolExecutor(size, name)

            stack.push(lambda kind, *_: made.shutdown(wait=not is_stop(kind), cancel_futures=True))
            return made

        self.resolve = pool(8, "resolve")
        self.fetch = pool(parallel, "fetch")
        self.compress = pool(max(1, cpus), "compress")
        self.send = pool(parallel, "send")
        self.archive = pool(max(2, cpus), "archive")
