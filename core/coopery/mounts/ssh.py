"""`RUN --mount=type=ssh`: a socket at which an SSH agent signs for the step; it never sees a key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from coopery.errors import UsageError
from coopery.mounts.spec import MountEnvironment, Options, Prepared
from coopery.ports import BindMount

DEFAULT_ID = "default"


@dataclass(frozen=True, slots=True)
class SshMount:
    """BuildKit's options and defaults (dockerfile2llb/convert_ssh.go, client/llb/exec.go)."""

    id: str
    target: str
    required: bool
    mode: int
    uid: int
    gid: int
    first: bool  # of the step: the one that SSH_AUTH_SOCK names
    source: ClassVar[None] = None
    precedence: ClassVar[str] = ""

    def key_parts(self) -> Sequence[Any]:
        """Everything but whose keys there are."""
        return ["ssh", self.id, self.target, self.mode, self.uid, self.gid, self.first]

    @contextlib.contextmanager
    def prepare(self, environment: MountEnvironment) -> Iterator[Prepared]:
        """The socket; nothing if there is no such agent and none is required."""
        agent = environment.agent_socket(self.id, self.mode, self.uid, self.gid)
        if agent is None:
            if self.required:
                spec = self.id if self.id == DEFAULT_ID else f"{self.id}=SOCKET"
                hint = f"give it with --ssh {spec}, or its keys with --ssh {self.id}=KEYFILE"
                raise UsageError(f"the step requires the SSH agent {self.id!r}, which was not given", hint=hint)
            yield Prepared()
            return
        with agent as path:
            env = (f"SSH_AUTH_SOCK={self.target}",) if self.first else ()
            yield Prepared((BindMount(path, self.target),), default_env=env)


def parse(options: Options) -> SshMount:
    """The SSH mount that `options` describe."""
    number = options.defaults.number
    return SshMount(
        id=options.text("id") or DEFAULT_ID,
        target=options.target() or f"/run/buildkit/ssh_agent.{number}",
        required=bool(options.flag("required")),
        mode=options.mode(0o600),
        uid=options.identity("uid"),
        gid=options.identity("gid"),
        first=number == 0,
    )
