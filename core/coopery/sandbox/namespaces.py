"""NamespaceSandbox: a RUN in mount, PID, IPC, UTS and if wanted network namespaces of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from coopery.errors import EnvironmentUnsuitable
from coopery.ports import Mount, Process
from coopery.sandbox import launch
from coopery.sandbox.enter import Entered

_SINGLE = (
    "steps run with one user id: programs that change owners or users, such as apt-get and useradd, fail. "
    "Install newuidmap and newgidmap (the package uidmap) and give this user ranges in /etc/subuid and /etc/subgid"
)


class NamespaceSandbox:
    """Runs processes in namespaces below those that `enter` got; implements ports.Sandbox.

    In PID-less surroundings (a container's masked /proc forbids a new one) the RUN shares the process ids around it
    and what it leaves behind is found and ended by the helper; everything else is the same.
    """

    name = "namespaces"
    shares = True

    def __init__(self, entered: Entered) -> None:
        """`entered` is what sandbox.enter.enter said for this process."""
        self._entered = entered
        self.caveat = _SINGLE if entered.mode == "single" else ""

    def probe(self) -> str | None:
        """Why this sandbox can't be used here, or None: sets one up for real on an empty root, and ends it."""
        if self._entered.mode == "none":
            return "; ".join(self._entered.refused) or "no namespaces wanted"
        place = next(path for path in ("/tmp", "/run", "/mnt", "/") if os.path.isdir(path))  # noqa: S108 mounted over
        spec = launch.specify(
            "namespaces", Process((), (), "/"), place, (), single_id=self._entered.mode == "single", probe=True
        )
        return launch.refusal(spec)

    def run(
        self, process: Process, rootfs: str, mounts: Sequence[Mount], log: launch.Log, cancel: Callable[[], bool]
    ) -> int:
        """As ports.Sandbox.run. EnvironmentUnsuitable also for a user that has no id in a single-id map."""
        single = self._entered.mode == "single"
        if single and (process.uid or process.gid or any(process.groups)):
            raise EnvironmentUnsuitable(
                f"the step runs as {process.uid}:{process.gid}, but only root exists in this user namespace",
                hint="give this user ranges in /etc/subuid and /etc/subgid and install newuidmap and newgidmap",
            )
        return launch.launch(launch.specify("namespaces", process, rootfs, mounts, single_id=single), log, cancel)
