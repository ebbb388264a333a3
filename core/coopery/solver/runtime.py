"""What a RUN step needs around its command: who it is, its environment, its mounts."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator

from coopery import kernel
from coopery.cache.store import Store
from coopery.mounts.spec import Prepared
from coopery.plan.ops import RunOp
from coopery.ports import Process, Ulimit
from coopery.request import SshAgent
from coopery.solver.mounted import Mounted
from coopery.solver.secrets import Secrets
from coopery.solver.users import process_identity

_LARGEST_FILE = 16 << 20


def read_in_root(rootfs: str, path: str) -> bytes | None:
    """A small regular file of a root file system, links resolved inside it; None if there is none."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        handle = kernel.openat2(root, path, os.O_RDONLY | os.O_NONBLOCK, resolve=kernel.RESOLVE_IN_ROOT)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            return None
        raise
    finally:
        os.close(root)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(_LARGEST_FILE)


def process_for(
    op: RunOp,
    rootfs: str,
    *,
    add_hosts: tuple[tuple[str, str], ...],
    shm_size: int,
    ulimits: tuple[Ulimit, ...],
    extra: Prepared,
) -> Process:
    """The process of a RUN in `rootfs`, with the variables of its mounts. UnknownUser if its user isn't there."""
    identity = process_identity(op.user, lambda path: read_in_root(rootfs, path))
    env = [*op.proxy_env, *op.env, *extra.env]
    names = {text.partition("=")[0] for text in env}
    defaults = (*extra.default_env, f"HOME={identity.home}")
    env += [text for text in defaults if text.partition("=")[0] not in names]
    return Process(
        argv=op.argv,
        env=tuple(env),
        cwd=op.cwd,
        uid=identity.uid,
        gid=identity.gid,
        groups=identity.groups,
        network=op.network,
        add_hosts=add_hosts,
        shm_size=shm_size,
        ulimits=ulimits,
        insecure=op.insecure,
        **({"hostname": op.hostname} if op.hostname else {}),
    )


class StepEnvironment:
    """What mounts are prepared with: secrets and agents of the request, cache directories of the store."""

    def __init__(
        self,
        store: Store,
        mounted: Mounted,
        secrets: Secrets,
        agents: tuple[SshAgent, ...],
        memory: str,
    ) -> None:
        """`memory` is a directory for secret files, on memory where that can be had."""
        self._store = store
        self.mounted = mounted
        self._agents = {agent.id: agent for agent in agents}
        self._secrets = secrets
        self._memory = memory
        self._serial = itertools.count()

    def secret(self, name: str) -> bytes | None:
        """See Secrets.get."""
        return self._secrets.get(name)

    def cache_directory(
        self, name: str, sharing: str, make: Callable[[str], None], canceled: Callable[[], bool]
    ) -> contextlib.AbstractContextManager[str]:
        """The directory of a cache mount; see cache_mounts.held."""
        from coopery.solver.cache_mounts import held

        return held(self._store, name, sharing, make, canceled)

    @contextlib.contextmanager
    def private_file(self, data: bytes, mode: int, uid: int, gid: int) -> Iterator[str]:
        """A file with these bytes, gone after the block."""
        path = os.path.join(self._memory, str(next(self._serial)))
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                os.fchown(file.fileno(), uid, gid)
                os.fchmod(file.fileno(), mode)
            yield path
        finally:
            os.unlink(path)

    def agent_socket(self, name: str, mode: int, uid: int, gid: int) -> contextlib.AbstractContextManager[str] | None:
        """A socket at which the SSH agent of that id answers as long as the block lasts; None if there is none.
        UsageError if its keys can't be read."""
        agent = self._agents.get(name)
        if agent is None:
            return None
        from coopery.credentials.ssh_agent import answering

        path = os.path.join(self._memory, str(next(self._serial)))
        return answering(agent, path, mode, uid, gid)


@contextlib.contextmanager
def secrets_directory(parent: str, *, private_mounts: bool) -> Iterator[str]:
    """A directory below `parent` for secret files: on memory if this process has a mount namespace of its own.

    Such a mount goes with the namespace, so a killed build leaves nothing. Elsewhere it is a plain directory that
    only we can enter, and the next build clears it away.
    """
    path = os.path.join(parent, "secrets")
    os.mkdir(path, 0o700)
    mounted = False
    if private_mounts:
        with contextlib.suppress(OSError):
            kernel.mount("tmpfs", path, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=64m,mode=700")
            mounted = True
    try:
        yield path
    finally:
        if mounted:
            kernel.unmount(path)
