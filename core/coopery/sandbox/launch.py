"""Start the helper for one RUN, pass its output on, and stop it when asked. Runs in the main process, on any thread."""

from __future__ import annotations

import fcntl
import marshal
import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import Literal

from coopery.errors import EnvironmentUnsuitable
from coopery.ports import Mount, Process, TmpfsMount
from coopery.sandbox.spec import BindSpec, Result, Spec, TmpfsSpec

Log = Callable[[bytes, Literal["stdout", "stderr"]], None]

#: Descriptors beyond the standard ones that the helper starts with.
_CONTROL, _RESULT = 3, 4
_BOOT = (
    f"import sys; sys.path.append(sys.argv[1]); from coopery.sandbox.helper import main; main({_CONTROL}, {_RESULT})"
)
_CANCEL_INTERVAL = 50  # ms between looks at cancel()
_PIECE = 1 << 16
_ABOVE = 10  # pipes get descriptors from here, out of the way of those that the helper has


def specify(
    method: Literal["namespaces", "chroot"],
    process: Process,
    rootfs: str,
    mounts: Sequence[Mount],
    *,
    single_id: bool = False,
    probe: bool = False,
) -> Spec:
    """All that the helper must know to run `process`."""
    specs: list[BindSpec | TmpfsSpec] = []
    # What lies deeper comes later, as in BuildKit (solver/llbsolver/ops/exec.go): none hides another.
    for mount in sorted(mounts, key=lambda mount: mount.target.split("/")):
        if isinstance(mount, TmpfsMount):
            specs.append(("tmpfs", os.fsencode(mount.target), mount.size, mount.mode))
        else:
            specs.append(("bind", os.fsencode(mount.source), os.fsencode(mount.target), mount.read_only))
    return Spec(
        method=method,
        probe=probe,
        single_id=single_id,
        rootfs=os.fsencode(os.path.abspath(rootfs)),
        argv=[os.fsencode(word) for word in process.argv],
        env=[os.fsencode(item) for item in process.env],
        cwd=os.fsencode(process.cwd),
        uid=process.uid,
        gid=process.gid,
        groups=list(process.groups),
        network=process.network != "none",
        hostname=os.fsencode(process.hostname),
        resolv_conf=b"" if process.network == "none" else _own_resolv_conf(),
        hosts=hosts_file(process),
        shm_size=process.shm_size,
        insecure=process.insecure,
        ulimits=[(limit.name, limit.soft, limit.hard) for limit in process.ulimits],
        mounts=specs,
    )


def hosts_file(process: Process) -> bytes:
    """/etc/hosts as BuildKit writes it: localhost with the host name, then the extra hosts.

    The address `host-gateway` means the machine itself, which is localhost here: the network is shared with it.
    """
    lines = [f"127.0.0.1\tlocalhost {process.hostname}", "::1\tlocalhost ip6-localhost ip6-loopback"]
    for name, address in process.add_hosts:
        lines.append(f"{'127.0.0.1' if address == 'host-gateway' else address}\t{name}")
    return ("\n".join(lines) + "\n").encode()


def _own_resolv_conf() -> bytes:
    try:
        with open("/etc/resolv.conf", "rb") as file:
            return file.read()
    except OSError:
        return b""


def refusal(spec: Spec) -> str | None:
    """Why what `spec` says can't be run here, or None: tries it for real. For a spec that is a probe."""
    try:
        launch(spec, lambda _data, _stream: None, lambda: False)
    except EnvironmentUnsuitable as error:
        return error.message
    return None


def launch(spec: Spec, log: Log, cancel: Callable[[], bool]) -> int:
    """Run what `spec` says to its end and return its exit status, as ports.Sandbox.run.

    EnvironmentUnsuitable if the sandbox can't be set up.
    """
    with _Helper() as process:
        process.tell(spec)
        process.follow(log, cancel)
        outcome = process.finish(log)
    if outcome[0] == "error":
        raise EnvironmentUnsuitable(
            f"the sandbox can't run the step: {outcome[1]}", hint="`coopery doctor` shows what this machine allows"
        )
    return outcome[1]


class _Helper:
    """The helper process with its pipes; leaving the context ends both, whatever happened."""

    def __init__(self) -> None:
        self._ours: list[int] = []
        theirs: list[int] = []
        try:
            self._output, output = self._pipe(theirs)
            self._errors, errors = self._pipe(theirs)
            self._results, result = self._pipe(theirs)
            control, self._control = os.pipe()
            self._ours.append(self._control)
            theirs.append(fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, _ABOVE))
            os.close(control)
            targets = {output: 1, errors: 2, theirs[-1]: _CONTROL, result: _RESULT}
            actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
            ]
            actions += [(os.POSIX_SPAWN_DUP2, fd, target) for fd, target in targets.items()]
            # -I -S: nothing of the user's Python settings; -B: nothing written. The dynamic loader may need its path.
            argv = [sys.executable, "-I", "-S", "-B", "-c", _BOOT, _import_path()]
            environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
            self._pid = os.posix_spawn(sys.executable, argv, environment, file_actions=actions, setsigmask=())
        except OSError as error:
            for fd in self._ours:
                os.close(fd)
            raise EnvironmentUnsuitable(f"the sandbox's helper can't be started: {error.strerror}") from error
        finally:
            for fd in theirs:
                os.close(fd)

    def _pipe(self, theirs: list[int]) -> tuple[int, int]:
        reads, low = os.pipe()
        self._ours.append(reads)
        writes = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
        theirs.append(writes)
        os.close(low)
        return reads, writes

    def __enter__(self) -> _Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._reap()
        for fd in self._ours:
            os.close(fd)

    def stop(self) -> None:
        """Have the helper end the RUN."""
        if self._control != -1:
            os.close(self._control)
            self._ours.remove(self._control)
            self._control = -1

    def tell(self, spec: Spec) -> None:
        """Send the spec. A helper that has ended already shows when its result is read."""
        data = marshal.dumps(dict(spec))
        data = len(data).to_bytes(8, "little") + data
        try:
            while data:
                data = data[os.write(self._control, data) :]
        except BrokenPipeError:
            return

    def follow(self, log: Log, cancel: Callable[[], bool]) -> None:
        """Pass output on until the helper has closed its result."""
        poll = select.poll()
        streams: dict[int, Literal["stdout", "stderr"]] = {self._output: "stdout", self._errors: "stderr"}
        for fd in (*streams, self._results):
            poll.register(fd, select.POLLIN)
        self._result = b""
        while True:
            ready = [fd for fd, _ in poll.poll(_CANCEL_INTERVAL)]
            for fd in ready:
                data = os.read(fd, _PIECE)
                if fd == self._results:
                    self._result += data
                    if not data:
                        return
                elif data:
                    log(data, streams[fd])
                else:
                    poll.unregister(fd)
            if cancel():
                self.stop()

    def finish(self, log: Log) -> Result:
        """Pass on what is left of the output and return the result."""
        status = self._reap()
        streams: tuple[tuple[int, Literal["stdout", "stderr"]], ...]
        streams = ((self._output, "stdout"), (self._errors, "stderr"))
        for fd, stream in streams:
            os.set_blocking(fd, False)  # a process elsewhere may have been handed the other end
            try:
                while data := os.read(fd, _PIECE):
                    log(data, stream)
            except BlockingIOError:
                continue
        if not self._result:
            ended = f"signal {-status}" if status < 0 else f"status {status}"
            return "error", f"its helper process ended with {ended}"
        result: Result = marshal.loads(self._result)  # noqa: S302 from our own child, by a pipe of its own
        return result

    def _reap(self) -> int:
        if self._pid:
            _, status = os.waitpid(self._pid, 0)
            self._pid = 0
            self._status = os.waitstatus_to_exitcode(status)
        return self._status


def _import_path() -> str:
    """Where the coopery package lies."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
