"""What this machine allows, fact by fact, for `coopery doctor` and for the words of an error."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass

from coopery import kernel
from coopery.errors import CooperyError
from coopery.ports import Environ
from coopery.sandbox.chroot import ChrootSandbox
from coopery.sandbox.enter import ISOLATIONS, enter, find_program, subordinate_ranges, users_names
from coopery.sandbox.foreign import TRIABLE, obstacles
from coopery.sandbox.namespaces import NamespaceSandbox


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about this machine; `ok` is None where neither answer is better, `hint` says what it means."""

    name: str
    value: str
    ok: bool | None = None
    hint: str = ""


def environment_facts(environ: Environ) -> list[Fact]:
    """All facts, cheap ones first, then every way of isolating tried in a child process (some 0.5 s).

    To be asked before `enter`, which changes many of them.
    """
    return [
        *_kernel_facts(),
        *_privilege_facts(),
        *_user_namespace_facts(environ),
        *_file_system_facts(),
        *_memory_facts(),
        _platforms_fact(),
        *_tried_facts(environ),
    ]


def _kernel_facts() -> list[Fact]:
    machine = os.uname()
    version = kernel_version(machine.release)
    old = "overlay mounts in user namespaces need Linux 5.11"
    return [
        Fact("kernel", machine.release, version >= (5, 11), "" if version >= (5, 11) else old),
        Fact("machine", machine.machine),
    ]


def kernel_version(release: str) -> tuple[int, int]:
    """The first two numbers of a kernel release such as `6.1.0-18-amd64`; zeros if it has none."""
    numbers = [*release.replace("-", ".").split("."), "", ""][:2]
    return (int(numbers[0]), int(numbers[1])) if all(number.isdigit() for number in numbers) else (0, 0)


def _platforms_fact() -> Fact:
    """What commands can be run for, natively or by an emulator."""
    with tempfile.TemporaryDirectory() as directory:
        found = obstacles(TRIABLE, directory)
    runnable = ", ".join(str(platform) for platform, reason in found.items() if not reason)
    return Fact("platforms", runnable, None, "commands for others need an emulator, registered with binfmt_misc")


def _privilege_facts() -> list[Fact]:
    effective, _, _ = kernel.capabilities()
    names = [name for number, name in enumerate(kernel.CAPABILITIES) if effective >> number & 1]
    status = _status()
    seccomp = {"0": "off", "1": "strict", "2": "filter"}.get(status.get("Seccomp", ""), "unknown")
    no_new_privileges = status.get("NoNewPrivs") == "1"
    return [
        Fact("user", f"uid {os.geteuid()}, gid {os.getegid()}"),
        Fact(
            "capabilities",
            ", ".join(names) or "none",
            "SYS_ADMIN" in names or None,
            "" if "SYS_ADMIN" in names else "without SYS_ADMIN mounts need a user namespace",
        ),
        Fact("seccomp", seccomp, None, "the filter may forbid namespaces and mounts" if seccomp == "filter" else ""),
        Fact(
            "no_new_privs",
            "on" if no_new_privileges else "off",
            not no_new_privileges or None,
            "newuidmap can't work" if no_new_privileges else "",
        ),
    ]


def _user_namespace_facts(environ: Environ) -> list[Fact]:
    facts = []
    for path, bad, hint in (
        ("user/max_user_namespaces", "0", "0 forbids user namespaces"),
        ("kernel/unprivileged_userns_clone", "0", "0 keeps user namespaces to root"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "1 takes all rights from unprivileged user namespaces",
        ),
    ):
        value = _read(f"/proc/sys/{path}")
        if value:
            facts.append(Fact(path.replace("/", "."), value, value != bad, hint if value == bad else ""))
    names = users_names()
    for kind in ("uid", "gid"):
        ranges = subordinate_ranges(f"/etc/sub{kind}", names)
        value = ", ".join(f"{first}+{count}" for first, count in ranges)
        facts.append(_useful(f"sub{kind}", value, f"no line for {' or '.join(names)} in /etc/sub{kind}"))
        tool = f"new{kind}map"
        facts.append(_useful(tool, find_program(tool, environ), "install uidmap (Debian) or shadow-utils"))
    return facts


def _useful(name: str, value: str, missing: str) -> Fact:
    """A fact that matters to users without rights; root has no need of it."""
    if value:
        return Fact(name, value, True)
    return Fact(name, "none", None if os.geteuid() == 0 else False, missing)


def _file_system_facts() -> list[Fact]:
    known = {line.split()[-1] for line in _read("/proc/filesystems").splitlines() if line}
    version = kernel_version(os.uname().release)
    unseen = "not listed in /proc/filesystems; its module may still load on first use"
    facts = [Fact("overlay", "yes", True) if "overlay" in known else Fact("overlay", "not seen", None, unseen)]
    file_backed = "erofs" in known and version >= (6, 12)
    value = "file-backed" if file_backed else "only from block devices" if "erofs" in known else "not seen"
    facts.append(Fact("erofs", value, file_backed or None, "" if file_backed else "needs Linux 6.12 with erofs"))
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
        facts.append(Fact("/dev/fuse", "usable", True))
    except OSError as error:
        facts.append(Fact("/dev/fuse", str(error.strerror)))
    return facts


def _memory_facts() -> list[Fact]:
    version, limit = memory_limit()
    available = next(
        (line.split()[1] for line in _read("/proc/meminfo").splitlines() if line.startswith("MemAvailable:")), ""
    )
    shown = f"{int(available) >> 10} MiB" if available.isdigit() else "unknown"
    return [
        Fact("memory available", shown),
        Fact("memory limit", "none" if limit is None else f"{limit >> 20} MiB"),
        Fact("control groups", version),
    ]


def memory_limit(proc: str = "/proc", root: str = "/sys/fs/cgroup") -> tuple[str, int | None]:
    """The control groups' version (`v1`, `v2` or `none`) and this process's memory limit in bytes, None for none.

    Limits of groups above count too; in a container its own group usually appears as the root (cgroups(7)).
    """
    version, path, name = "none", "", ""
    for line in _read(f"{proc}/self/cgroup").splitlines():
        number, controllers, group = line.split(":", 2)
        if "memory" in controllers.split(","):
            version, path, name = "v1", f"{root}/memory{group}", "memory.limit_in_bytes"
            break
        if number == "0" and os.path.exists(f"{root}/cgroup.controllers"):
            version, path, name = "v2", root + group, "memory.max"
    limits = []
    while len(path) >= len(root):
        value = _read(f"{path}/{name}")
        if value.isdigit() and int(value) < 1 << 60:  # v1 shows no limit as nearly 2 to the 63rd
            limits.append(int(value))
        path = os.path.dirname(path.rstrip("/"))
    return version, min(limits, default=None)


def _tried_facts(environ: Environ) -> list[Fact]:
    facts = []
    for mode in ISOLATIONS["auto"]:
        reason = _in_child(mode, environ)
        facts.append(Fact(f"isolation {mode}", "works" if not reason else "no", not reason, reason))
    reason = ChrootSandbox().probe() or ""
    facts.append(Fact("isolation chroot", "works" if not reason else "no", not reason, reason))
    return facts


def _in_child(mode: str, environ: Environ) -> str:
    """Why a rung of the ladder and the sandbox on it can't be had, or an empty string; tried in a forked child."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        reason = ""
        try:
            reason = NamespaceSandbox(enter(mode, environ)).probe() or ""  # enter raises if the rung is refused
        except (CooperyError, OSError) as error:
            reason = str(error).rpartition(f"{mode}: ")[2]
        finally:
            os.write(writes, reason.encode())
            os._exit(0)
    os.close(writes)
    said = b""
    while piece := os.read(reads, 4096):
        said += piece
    os.close(reads)
    os.waitpid(pid, 0)
    return said.decode()


def _status() -> dict[str, str]:
    pairs = (line.partition(":") for line in _read("/proc/self/status").splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _read(path: str) -> str:
    """A small file's text without surrounding space, or an empty string."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
