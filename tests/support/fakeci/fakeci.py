"""A CI platform for tests: what a job is given comes from a file, and what it is told goes to another."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from coopery.ci.platform import CacheChoice, CacheWish, Login, SecretSource
from coopery.ci.rendering.jsonform import encode
from coopery.ci.report import Report
from coopery.ci.revision import Revision


class FakeCI:
    """Reads `$FAKE_CI_JOB`, a JSON object; appends to `$FAKE_CI_TOLD`, a JSON value on each line."""

    name: ClassVar[str] = "fakeci"
    title: ClassVar[str] = "Fake CI"

    @classmethod
    def detect(cls, environ: Mapping[str, str]) -> bool:
        return "FAKE_CI_JOB" in environ

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._job: dict[str, Any] = json.loads(Path(environ["FAKE_CI_JOB"]).read_text())
        self._told = Path(environ["FAKE_CI_TOLD"])

    def _tell(self, kind: str, value: object) -> None:
        with self._told.open("a") as file:
            file.write(json.dumps([kind, value]) + "\n")

    def inputs(self) -> Mapping[str, object]:
        return self._job.get("inputs", {})

    def revision(self) -> Revision:
        return Revision(**self._job.get("revision", {"event": "push", "branch": "main", "default_branch": "main"}))

    def secret(self, name: str) -> SecretSource | None:
        found = self._job.get("secrets", {}).get(name)
        if found is None:
            return None
        if isinstance(found, dict):
            return SecretSource(**found)
        self.mask(found)
        return SecretSource(value=found)

    def credentials(self) -> Sequence[Login]:
        return [Login(**login) for login in self._job.get("logins", ())]

    def identity_token(self, audience: str) -> str | None:
        self._tell("audience", audience)
        return self._job.get("tokens", {}).get(audience)

    def identity_help(self, audience: str) -> str:
        return f"tell the fake about {audience}"

    def cache(self, wish: CacheWish) -> CacheChoice:
        self._tell("wish", [wish.kind, wish.repository, wish.scope, wish.may_write])
        return CacheChoice(**self._job.get("cache", {}))

    def mask(self, value: str) -> None:
        self._tell("mask", value)

    @contextlib.contextmanager
    def group(self, title: str) -> Iterator[None]:
        print(f"+++ {title}", file=sys.stderr, flush=True)
        yield
        print("---", file=sys.stderr, flush=True)

    def notice(self, text: str) -> None:
        self._tell("notice", text)

    def publish(self, report: Report) -> None:
        self._tell("report", json.loads(encode(report)))
