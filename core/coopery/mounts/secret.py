"""`RUN --mount=type=secret`: a value that the step can read and the image never holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from coopery.errors import UsageError
from coopery.mounts.spec import BadMount, MountEnvironment, Options, Prepared
from coopery.ports import BindMount


@dataclass(frozen=True, slots=True)
class SecretMount:
    """BuildKit's options and defaults (frontend/dockerfile/instructions/commands_runmount.go)."""

    id: str
    target: str
    env: str
    required: bool
    mode: int
    uid: int
    gid: int
    source: ClassVar[None] = None
    precedence: ClassVar[str] = ""

    def key_parts(self) -> Sequence[Any]:
        """Everything but the value, which must never leave a trace."""
        return ["secret", self.id, self.target, self.env, self.mode, self.uid, self.gid]

    @contextlib.contextmanager
    def prepare(self, environment: MountEnvironment) -> Iterator[Prepared]:
        """A read-only file or a variable; without the secret, if it isn't required, no file and an empty variable."""
        value = environment.secret(self.id)
        if value is None:
            if self.required:
                hint = f"give it with --secret id={self.id},src=FILE or --secret id={self.id},env=NAME"
                raise UsageError(f"the step requires the secret {self.id!r}, which was not given", hint=hint)
            yield Prepared(env=(f"{self.env}=",) if self.env else ())
            return
        env = (f"{self.env}={value.decode('utf-8', 'surrogateescape')}",) if self.env else ()
        if not self.target:
            yield Prepared(env=env)
            return
        with environment.private_file(value, self.mode, self.uid, self.gid) as path:
            yield Prepared((BindMount(path, self.target),), env)


def parse(options: Options) -> SecretMount:
    """The secret mount that `options` describe."""
    name, source = options.text("id"), options.text("source", "src")
    if name and source:
        raise BadMount("id and source of a secret say the same", "leave source= out")
    name = name or source
    env = options.text("env")
    target = options.target()
    name = name or target.rstrip("/").rpartition("/")[2] or env
    if not name:
        raise BadMount("a secret mount needs id=… or target=…", "write --mount=type=secret,id=NAME")
    if not target and not env:
        target = f"/run/secrets/{name.rstrip('/').rpartition('/')[2]}"
    return SecretMount(
        id=name,
        target=target,
        env=env,
        required=bool(options.flag("required")),
        mode=options.mode(0o400),
        uid=options.identity("uid"),
        gid=options.identity("gid"),
    )
