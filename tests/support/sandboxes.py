"""What the sandbox tests share: a small root file system, and processes of every kind of rights."""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CORE = Path(__file__).resolve().parents[2] / "core"
DRIVER = Path(__file__).with_name("sandbox_driver.py")
BUSYBOX = Path("/bin/busybox")
USER = 12345
#: mnt: root with all rights; full: Docker's root without its seccomp profile; sub, single: a user with and without
#: subordinate ids; masked: single with a /proc that can't be mounted anew; chroot: Docker's root.
MODES = ("mnt", "full", "sub", "single", "masked", "chroot")


def unavailable() -> str:
    """Why the sandbox tests can't run here, or an empty string."""
    if os.geteuid() != 0:
        return "needs root, to start from every kind of rights"
    if not BUSYBOX.exists():
        return f"needs {BUSYBOX} (Debian: busybox-static)"
    if not interpreter():
        return "needs a Python 3.11 that other users may run"
    return ""


@functools.cache
def interpreter() -> str:
    """A Python that an unprivileged user can start."""
    for path in (sys.executable, "/usr/bin/python3"):
        done = (
            subprocess.run(
                [path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"],
                user=USER,
                group=USER,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
            if _reachable(path)
            else None
        )
        if done and done.returncode == 0:
            return path
    return ""


def _reachable(path: str) -> bool:
    real = Path(path).resolve()
    return real.exists() and all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents)


def make_rootfs(place: Path, uid: int = 0) -> Path:
    """A root with busybox and symlinks to it, owned by `uid`."""
    root = place / "root"
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    names = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    for path in (root, *root.rglob("*")):
        os.lchown(path, uid, uid)
    return root


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything about a tree that could end in a layer."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (root, *sorted(root.rglob("*"))):
        status = path.lstat()
        contents: object = None
        if path.is_symlink():
            contents = os.readlink(path)
        elif path.is_file():
            contents = path.read_bytes()
        found[str(path.relative_to(root))] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev, status.st_nlink, contents,
        )  # fmt: skip
    return found


class Driver:
    """A sandbox_driver.py process with the rights of one mode, and a root it can use."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.place = Path(tempfile.mkdtemp(prefix="sandbox-"))
        self.place.chmod(0o755)
        owner = USER if mode in ("sub", "single", "masked") else 0
        self.rootfs = make_rootfs(self.place, owner)
        (self.place / "passwd").write_text(Path("/etc/passwd").read_text() + f"builder:x:{USER}:{USER}::/:/bin/sh\n")
        for name in ("subuid", "subgid"):
            (self.place / name).write_text(f"builder:300000:65536\n{USER + 1}:1:1\n")
        self.process = subprocess.Popen(
            [interpreter(), str(DRIVER), mode, str(self.place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CORE), "CI_SECRET": "of-the-job"},
        )
        self.entered = self.answer()

    def send(self, argv: tuple[str, ...], *, rootfs: Path | None = None, **request: Any) -> None:
        """Ask for a run; fields of Process by name, `mounts`, `cancel_on`, `lengths`, `live` and `thread` too."""
        message = {key: request.pop(key) for key in ("mounts", "cancel_on", "lengths", "live", "thread", "id")
                   if key in request}  # fmt: skip
        process = {"argv": argv, "env": ["PATH=/bin"], "cwd": "/"} | request
        message |= {"rootfs": str(rootfs or self.rootfs), "process": process}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        result: dict[str, Any] = json.loads(self.process.stdout.readline())
        return result

    def run(self, *argv: str, **request: Any) -> dict[str, Any]:
        self.send(argv, **request)
        return self.answer()

    def sh(self, script: str, **request: Any) -> dict[str, Any]:
        return self.run("sh", "-c", script, **request)

    def close(self) -> None:
        """Let the process end, or notice that it has, and remove its files."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.place)


def running(mark: str) -> list[int]:
    """The processes that have `mark` as a word of their command line."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                words = (directory / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark.encode() in words:
                found.append(int(directory.name))
    return found


def children(pid: int) -> list[int]:
    """The process ids of a process's children."""
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
