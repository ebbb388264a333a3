"""The platform where there is no CI system: a developer's machine."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from coopery.ci.platform import CacheChoice, CacheWish, Login, SecretSource
from coopery.ci.report import Report
from coopery.ci.revision import Revision


class Local:
    """Builds as CI would, out of the working copy."""

    name: ClassVar[str] = "local"
    title: ClassVar[str] = "this machine"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @classmethod
    def detect(cls, environ: Mapping[str, str]) -> bool:
        """Never: it is what remains."""
        return False

    def inputs(self) -> Mapping[str, object]:
        """Nothing: there is no job that defines any."""
        return {}

    def revision(self) -> Revision:
        """What is checked out here, as if somebody had started its build; no commit where there is no repository."""
        from coopery.ci.checkout import read_checkout

        found = read_checkout(os.curdir)
        if found is None:
            return Revision(event="manual")
        if found.dirty:
            self.notice("there are changes that aren't committed: what is built isn't what CI would build")
        return found.revision

    def secret(self, name: str) -> SecretSource | None:
        """None: the environment's variables are looked at by whoever asks."""
        return None

    def credentials(self) -> Sequence[Login]:
        """None but those that docker and podman have, which are looked at anyway."""
        return ()

    def identity_token(self, audience: str) -> str | None:
        """None: a person is no job."""
        return None

    def identity_help(self, audience: str) -> str:
        """What to do in place of it."""
        return "log in with `coopery login`, or with the cloud's own command"

    def cache(self, wish: CacheWish) -> CacheChoice:
        """The cache in a registry is read if it is asked for by name; steps are kept on this machine anyway."""
        if wish.kind == "registry" and wish.repository:
            return CacheChoice(sources=(f"type=registry,ref={wish.repository}",))
        return CacheChoice()

    def mask(self, value: str) -> None:
        """Nothing: the log isn't kept."""

    @contextlib.contextmanager
    def group(self, title: str) -> Iterator[None]:
        """The title on a line, then what is printed."""
        print(f"=== {title}", file=sys.stderr, flush=True)  # noqa: T201
        yield

    def notice(self, text: str) -> None:
        """A line on standard error."""
        print(f"NOTICE: {text}", file=sys.stderr, flush=True)  # noqa: T201

    def publish(self, report: Report) -> None:
        """Nothing: the summary that every platform's log ends with says it."""
