"""`RUN --mount=type=secret`: a value that the step can read and the image never holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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

    def key_parts(self) -> Sequence[Any]:
        """Everything but the value, which must never leave a trace."""
        return ["secret", self.id, self.target, self.env, self.mode, self.uid, self.gid]

    @contextlib.contextmanager
    def prepare(self, environment: MountEnvironment) -> Iterator[Prepared]:
        """A read-only file or a variable; nothing if the secret isn't there and isn't required."""
        value = environment.secret(self.id)
        if value is None:
            if self.required:
                hint = f"give it with --secret id={self.id},src=FILE or --secret id={self.id},env=NAME"
                raise UsageError(f"the step requires the secret {self.id!r}, which was not given", hint=hint)
            yield Prepared()
            return
        env = (f"{self.env}={value.decode('utf-8', 'surrogateescape')}",) if self.env else ()
        if not self.target:
            yield Prepared(env=env)
            return
        with environment.private_file(value, self.mode, self.uid, self.gid) as path:
            yield Prepared((BindMount(path, self.target),), env)


def parse(options: Options, cwd: str) -> SecretMount:
    """The secret mount that `options` describe."""
    name = options.text("id")
    env = options.text("env")
    target = options.target(cwd)
    name = name or target.rstrip("/").rpartition("/")[2] or env
    if not name:
        raise BadMount("a secret mount needs id=… or target=…", "write --mount=type=secret,id=NAME")
    if not target and not env:
        target = f"/run/secrets/{name}"
    return SecretMount(
        id=name,
        target=target,
        env=env,
        required=bool(options.flag("required")),
        mode=options.mode(0o400),
        uid=options.identity("uid"),
        gid=options.identity("gid"),
    )
