"""ChrootSandbox: a RUN in a plain chroot, for containers whose root may not mount anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from coopery import kernel
from coopery.errors import EnvironmentUnsuitable
from coopery.ports import Mount, Process, TmpfsMount
from coopery.sandbox import launch

_WAY_OUT = (
    "mounts need a mount namespace: run the job with CAP_SYS_ADMIN (privileged), or let it use user namespaces "
    "(a seccomp profile that doesn't forbid unshare); `coopery doctor` shows what is missing"
)


class ChrootSandbox:
    """Runs processes in a chroot, with the devices and files they need lent to the root; implements ports.Sandbox.

    It keeps a RUN's files apart, not its processes: those share the process ids, the IPC objects and the host name
    of the machine around, and there is no /proc.
    """

    name = "chroot"
    caveat = "steps run in a chroot: there is no /proc, and processes are not isolated from the job's"

    def probe(self) -> str | None:
        """Why this sandbox can't be used here, or None: changes root for real, in a helper process."""
        if os.geteuid() != 0:
            return "chroot needs root"
        spec = launch.specify("chroot", Process((), (), "/"), "/", (), probe=True)
        return launch.refusal(spec)

    def run(
        self, process: Process, rootfs: str, mounts: Sequence[Mount], log: launch.Log, cancel: Callable[[], bool]
    ) -> int:
        """As ports.Sandbox.run. Read-only files are copied in for the duration; EnvironmentUnsuitable for any other
        mount, and for `network=none` without the right to have a network namespace."""
        for mount in mounts:
            if isinstance(mount, TmpfsMount):
                raise EnvironmentUnsuitable(f"a tmpfs on {mount.target} can't be had in a chroot", hint=_WAY_OUT)
            if os.path.isdir(mount.source) or not mount.read_only:
                what = "directory" if os.path.isdir(mount.source) else "writable file"
                raise EnvironmentUnsuitable(
                    f"a mount of a {what} on {mount.target} can't be had in a chroot", hint=_WAY_OUT
                )
        if process.network == "none" and not kernel.capabilities()[0] & kernel.capability_mask("SYS_ADMIN"):
            raise EnvironmentUnsuitable(
                "a step without network needs a network namespace, which this job may not have",
                hint="leave out --network=none, or run the job with CAP_SYS_ADMIN",
            )
        return launch.launch(launch.specify("chroot", process, rootfs, mounts), log, cancel)
