"""ChrootSandbox: a RUN in a plain chroot, for containers whose root may not mount anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from coopery import kernel
from coopery.errors import EnvironmentUnsuitable
from coopery.ports import Mount, Process, TmpfsMount
from coopery.sandbox import launch


class ChrootSandbox:
    """Runs processes in a chroot, with the devices and files they need lent to the root; implements ports.Sandbox.

    It keeps a RUN's files apart, not its processes: those share the process ids, the IPC objects and the host name
    of the machine around, and there is no /proc.
    """

    name = "chroot"
    shares = False  # a directory is moved into the root for the time of the step
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
        """As ports.Sandbox.run. What is mounted elsewhere is put into the root for the duration (borrowed.py), where
        nothing keeps root from writing to what should be read-only; that is lost afterwards like what is written to a
        writable file. EnvironmentUnsuitable for a tmpfs of limited size, and for `network=none` without the right to
        have a network namespace."""
        for mount in mounts:
            if isinstance(mount, TmpfsMount) and mount.size:
                raise EnvironmentUnsuitable(
                    f"the size of a tmpfs on {mount.target} can't be limited in a chroot",
                    hint="leave out size=, or let the job use user namespaces; `coopery doctor` shows what is missing",
                )
        if process.network == "none" and not kernel.capabilities()[0] & kernel.capability_mask("SYS_ADMIN"):
            raise EnvironmentUnsuitable(
                "a step without network needs a network namespace, which this job may not have",
                hint="leave out --network=none, or run the job with CAP_SYS_ADMIN",
            )
        return launch.launch(launch.specify("chroot", process, rootfs, mounts), log, cancel)
