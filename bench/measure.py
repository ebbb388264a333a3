"""Wall time, CPU time and memory of one command and of whatever it starts, daemons included."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWCGROUP = 0x20000, 0x2000000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_INTERVAL = 0.05  # seconds between samples of memory
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A measured command ended with another status than 0."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one build took."""

    wall: float  # seconds
    cpu: float  # seconds, user and system, of the builder, its daemon and the steps they ran
    memory: int  # bytes, peak, of the builder's own processes
    shmem: int  # bytes, peak growth of tmpfs and shared memory on the whole machine


class Account:
    """A control group that holds one builder, so that the kernel adds up its CPU time.

    The builder runs in namespaces where this group is the root of the hierarchy: the groups that runc makes for
    containers then lie below it, whoever asks for them. Version 2 and version 1's cpuacct both do.
    """

    def __init__(self, name: str, root: Path = Path("/sys/fs/cgroup")) -> None:
        self.v2 = (root / "cgroup.controllers").exists()
        self.top = root if self.v2 else root / "cpuacct"
        self.path = self.top / f"bench-{name}-{os.getpid()}"
        self.tool = self.path / "tool"  # version 2 wants processes in leaves
        self.tool.mkdir(parents=True)

    def cpu(self) -> float:
        """Seconds used so far."""
        if self.v2:
            return int((self.path / "cpu.stat").read_text().split()[1]) / 1e6
        return int((self.path / "cpuacct.usage").read_text()) / 1e9

    def enter(self) -> None:
        """Moves the calling process in; for a child between fork and exec."""
        (self.path / "cgroup.procs").write_text("0")
        _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWCGROUP))
        _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None))
        _check(_libc.mount(os.fsencode(self.path), os.fsencode(self.top), None, _MS_BIND, None))
        (self.top / "tool" / "cgroup.procs").write_text("0")

    def pids(self) -> list[int]:
        """Processes of the builder and of steps that run without a group of their own."""
        return [int(line) for line in (self.tool / "cgroup.procs").read_text().split()]

    def close(self) -> None:
        """Ends what is left in the group and removes it."""
        for directory, _, _ in os.walk(self.path, topdown=False):
            for _ in range(200):
                with contextlib.suppress(FileNotFoundError):
                    for pid in map(int, Path(directory, "cgroup.procs").read_text().split()):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
                    break
                time.sleep(0.01)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Sampler(threading.Thread):
    """Watches the memory of an account's processes whose program is one of `programs`; steps' own don't count.

    A sample is the sum of proportional set sizes, in which a page that forks share counts once. The kernel's own
    high-water mark of the largest process catches peaks between samples.
    """

    def __init__(self, account: Account, programs: Iterable[Path]) -> None:
        super().__init__(daemon=True)
        self.account = account
        self.programs = {(status.st_dev, status.st_ino) for status in (os.stat(each) for each in programs)}
        self.peak = 0
        self.shmem = 0
        self._floor = _shmem()
        self._over = threading.Event()
        for pid in account.pids():  # a daemon's high-water mark begins anew
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def run(self) -> None:
        while not self._over.is_set():
            self.sample()
            self._over.wait(_INTERVAL)

    def stop(self) -> None:
        self._over.set()
        self.join()
        self.sample()

    def sample(self) -> None:
        total = 0
        for pid in self.account.pids():
            with contextlib.suppress(OSError, ValueError):
                program = os.stat(f"/proc/{pid}/exe")
                if (program.st_dev, program.st_ino) in self.programs:
                    total += _kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:")
                    self.peak = max(self.peak, _kilobytes(f"/proc/{pid}/status", "VmHWM:"))
        self.peak = max(self.peak, total)
        self.shmem = max(self.shmem, _shmem() - self._floor)


def _kilobytes(path: str, field: str) -> int:
    for line in Path(path).read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) << 10
    return 0


def _shmem() -> int:
    return _kilobytes("/proc/meminfo", "Shmem:")


def spawn(
    account: Account, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts a command inside an account, its output added to `log`."""
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            preexec_fn=account.enter,
        )


def measure(
    account: Account,
    programs: Iterable[Path],
    commands: Iterable[Sequence[str]],
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Cost:
    """Runs commands one after the other, as one build. Raises Failed with the end of the log."""
    os.sync()
    sampler = Sampler(account, programs)
    sampler.start()
    before, begun = account.cpu(), time.monotonic()
    try:
        for command in commands:
            status = spawn(account, command, log, env).wait()
            if status:
                tail = log.read_text(errors="replace").splitlines()[-15:]
                raise Failed(f"{' '.join(command)}: status {status}\n" + "\n".join(tail))
        wall = time.monotonic() - begun
        cpu = account.cpu() - before
    finally:
        sampler.stop()
    return Cost(wall, cpu, sampler.peak, sampler.shmem)
