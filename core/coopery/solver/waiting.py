"""Waiting for other threads without becoming deaf to the user."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from typing import Any

#: Seconds between two looks at whether the build is being stopped.
_GLANCE = 0.1


def finished(futures: Collection[Future[Any]], canceled: Callable[[], bool]) -> bool:
    """Wait until all of `futures` are done; False as soon as `canceled` says that nobody wants them any more.

    A registry may never answer: nothing that depends on one may wait in any other way.
    """
    while wait(futures, timeout=_GLANCE).not_done:
        if canceled():
            return False
    return True
