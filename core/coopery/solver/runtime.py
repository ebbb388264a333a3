"""What a RUN step needs around its command: who it is, its environment, its mounts."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Mapping

from coopery import kernel
from coopery.cache.store import Store
from coopery.errors import UsageError
from coopery.plan.ops import RunOp
from coopery.ports import BindMount, Mount, Process, Ulimit
from coopery.request import Secret
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
    extra_env: tuple[str, ...],
) -> Process:
    """The process of a RUN in `rootfs`. UnknownUser if its user isn't there."""
    identity = process_identity(op.user, lambda path: read_in_root(rootfs, path))
    env = [*op.proxy_env, *op.env, *extra_env]
    if not any(text.startswith("HOME=") for text in env):
        env.append(f"HOME={identity.home}")
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
    )


class StepEnvironment:
    """What mounts are prepared with: secrets of the request, cache directories of the store."""

    def __init__(
        self,
        store: Store,
        secrets: tuple[Secret, ...],
        environ: Mapping[str, str],
        memory: str,
        mask: Callable[[bytes], None],
    ) -> None:
        """`memory` is a directory for secret files, on memory where that can be had; `mask` is told each value."""
        self._store = store
        self._secrets = {secret.id: secret for secret in secrets}
        self._environ = environ
        self._memory = memory
        self._mask = mask
        self._serial = itertools.count()

    def secret(self, name: str) -> bytes | None:
        """The secret's value, read now and masked in the log from now on; None if the user gave none of this name.

        UsageError if its file or variable isn't there.
        """
        value = self._read_secret(name)
        if value:
            self._mask(value)
        return value

    def _read_secret(self, name: str) -> bytes | None:
        secret = self._secrets.get(name)
        if secret is None:
            return None
        if secret.env:
            value = self._environ.get(secret.env)
            if value is None:
                raise UsageError(f"the secret {name!r} comes from the variable {secret.env}, which isn't set")
            return value.encode("utf-8", "surrogateescape")
        try:
            with open(secret.file, "rb") as file:
                return file.read()
        except OSError as error:
            raise UsageError(f"can't read the secret {name!r} from {secret.file}: {error.strerror}") from error

    @contextlib.contextmanager
    def cache_directory(self, name: str, sharing: str) -> Iterator[str]:
        """The directory of a cache mount: shared by all, locked for one step at a time, or private to one.

        A private one is the first of a series that no other step holds.
        """
        number = 0
        while True:
            path = self._store.mount_path(name if number == 0 else f"{name}\0{number}")
            handle = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                wait = 0 if sharing == "locked" else fcntl.LOCK_NB
                fcntl.flock(handle, (fcntl.LOCK_SH if sharing == "shared" else fcntl.LOCK_EX) | wait)
            except BlockingIOError:
                os.close(handle)
                number += 1
                continue
            os.utime(handle)  # the directory's own time says nothing of its use
            break
        try:
            yield path
        finally:
            os.close(handle)

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


@contextlib.contextmanager
def prepared_mounts(op: RunOp, environment: StepEnvironment) -> Iterator[tuple[tuple[Mount, ...], tuple[str, ...]]]:
    """The mounts of a RUN and the variables they add, ready as long as the block lasts."""
    with contextlib.ExitStack() as stack:
        mounts: list[Mount] = []
        env: list[str] = []
        for spec in op.mounts:
            ready = stack.enter_context(spec.prepare(environment))
            mounts.extend(ready.mounts)
            env.extend(ready.env)
        if op.script:
            path = stack.enter_context(environment.private_file(op.script.content, 0o755, 0, 0))
            mounts.append(BindMount(path, op.script.name))
        yield tuple(mounts), tuple(env)


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
