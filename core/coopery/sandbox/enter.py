"""Getting a mount namespace for the whole build, at its very start.

All mounts that a build makes live in a namespace of its own: they end with its last process, also after `kill -9`.
As root with CAP_SYS_ADMIN that is one system call. Otherwise a user namespace has to come first. It is made by a
child process, given its ids and tried there; only when it is known to work does this process join it, so a refusal
leaves everything as it was and the next rung of the ladder can be tried.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from coopery import kernel
from coopery.errors import EnvironmentUnsuitable, UsageError
from coopery.ports import Environ

Mode = Literal["mnt", "full", "sub", "single", "none"]

#: What --isolation takes: how it is chosen, the sandbox, or one rung of the ladder.
ISOLATIONS: dict[str, tuple[Mode, ...]] = {
    "auto": ("mnt", "full", "sub", "single"),
    "namespaces": ("mnt", "full", "sub", "single"),
    "mnt": ("mnt",),
    "full": ("full",),
    "sub": ("sub",),
    "single": ("single",),
    "chroot": (),
}
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Lines of /proc/…/uid_map: (id inside, id outside, how many).
IdMap = tuple[tuple[int, int, int], ...]


class _Refused(Exception):
    """A rung that can't be had; says why."""


@dataclass(frozen=True, slots=True)
class Entered:
    """Which rung of the ladder carried.

    `mnt`: a mount namespace and nothing else; `full`: a user namespace in which all ids are their own; `sub`: one in
    which this user is root and its /etc/subuid ranges are the others; `single`: one that has root only; `none`:
    this process is where it was.
    """

    mode: Mode
    refused: tuple[str, ...] = ()  # why the rungs before it were, one line each
    id_map: str = "all ids as outside"


def enter(isolation: str, environ: Environ) -> Entered:
    """Move this process, which must have no other threads yet, into a mount namespace of its own if it may.

    Mounts made outside still arrive, but none made here leaves. `environ` is where newuidmap is looked for (PATH).
    UsageError for an unknown isolation; EnvironmentUnsuitable if a rung other than by `auto` was wanted and is refused.
    """
    if isolation not in ISOLATIONS:
        raise UsageError(f"unknown isolation {isolation!r}", hint="one of " + ", ".join(ISOLATIONS))
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("namespaces can only be entered before the first thread starts")
    refused: list[str] = []
    for mode in ISOLATIONS[isolation]:
        try:
            return Entered(mode, tuple(refused), _RUNGS[mode](environ))
        except _Refused as error:
            refused.append(f"{mode}: {error}")
    if isolation not in ("auto", "chroot"):
        raise EnvironmentUnsuitable(
            f"isolation {isolation!r} can't be had here: " + "; ".join(refused),
            hint="`coopery doctor` shows what this machine allows; --isolation=auto takes the best of it",
        )
    return Entered("none", tuple(refused))


# ------------------------------------------------------------------------------------------------ rungs


def _enter_mnt(_environ: Environ) -> str:
    if not kernel.capabilities()[0] & kernel.capability_mask("SYS_ADMIN"):
        raise _Refused("no CAP_SYS_ADMIN")
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_SLAVE)
    except OSError as error:
        raise _Refused(_why(error)) from error
    return "all ids as outside"


def _enter_full(_environ: Environ) -> str:
    if os.geteuid() != 0 or not kernel.capabilities()[0] & kernel.capability_mask("SETUID"):
        raise _Refused("not root with CAP_SETUID and CAP_SETGID")
    maps = [tuple((inside, inside, count) for inside, _, count in _own_map(kind)) for kind in ("uid", "gid")]

    def write(pid: int) -> None:
        _write_map(pid, "uid", maps[0])
        _write_map(pid, "gid", maps[1])

    _join_user_namespace(write)
    return "all ids as outside"


def _enter_sub(environ: Environ) -> str:
    names = users_names()
    maps: list[IdMap] = []
    tools = []
    for kind, tool, own in (("uid", "newuidmap", os.geteuid()), ("gid", "newgidmap", os.getegid())):
        ranges = subordinate_ranges(f"/etc/sub{kind}", names)
        if not ranges:
            raise _Refused(f"no range for {' or '.join(names)} in /etc/sub{kind}")
        path = find_program(tool, environ)
        if not path:
            raise _Refused(f"{tool} is not installed")
        lines, inside = [(0, own, 1)], 1
        for first, count in ranges:
            lines.append((inside, first, count))
            inside += count
        maps.append(tuple(lines))
        tools.append(path)

    def write(pid: int) -> None:
        for tool, ids in zip(tools, maps, strict=True):
            _run([tool, str(pid), *(str(number) for line in ids for number in line)])

    _join_user_namespace(write)
    return ", ".join(
        f"{kind} " + " ".join(f"{inside}+{count}→{outside}" for inside, outside, count in ids)
        for kind, ids in zip(("uid", "gid"), maps, strict=True)
    )


def _enter_single(_environ: Environ) -> str:
    uid, gid = os.geteuid(), os.getegid()

    def write(pid: int) -> None:
        _write(f"/proc/{pid}/setgroups", "deny")
        _write_map(pid, "uid", ((0, uid, 1),))
        _write_map(pid, "gid", ((0, gid, 1),))

    _join_user_namespace(write)
    return f"uid 0+1→{uid}, gid 0+1→{gid}"


_RUNGS: dict[Mode, Callable[[Environ], str]] = {
    "mnt": _enter_mnt,
    "full": _enter_full,
    "sub": _enter_sub,
    "single": _enter_single,
}


def _join_user_namespace(write_maps: Callable[[int], None]) -> None:
    """Have a child make a user and a mount namespace, map its ids, see that it may mount, and join it.

    _Refused, with this process as it was, if any of that fails.
    """
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(to_child)
        os.close(from_child)
        _hold_namespace(to_parent, from_parent)
    os.close(to_parent)
    os.close(from_parent)
    try:
        _expect(from_child)
        write_maps(pid)
        os.write(to_child, b"mapped")
        _expect(from_child)
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.setns(namespace, kernel.CLONE_NEWUSER)
        finally:
            os.close(namespace)
    except OSError as error:
        raise _Refused(_why(error)) from error
    finally:
        os.close(to_child)
        os.close(from_child)
        os.waitpid(pid, 0)
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_SLAVE)
    except OSError as error:  # the child could: there is no way back and no reason to expect this
        raise EnvironmentUnsuitable(f"a mount namespace was lost after it had been tried: {_why(error)}") from error


def _hold_namespace(to_parent: int, from_parent: int) -> None:
    """The child's part: make the namespaces, and when ids are mapped try a mount; end when the parent has joined."""
    message = b"ok"
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
        os.write(to_parent, message)
        if os.read(from_parent, 16):
            kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
            kernel.mount("tmpfs", "/proc", "tmpfs")
            os.write(to_parent, message)
            os.read(from_parent, 1)  # until its end
    except OSError as error:
        os.write(to_parent, _why_no_namespace(error).encode())
    finally:
        os._exit(0)


def _why_no_namespace(error: OSError) -> str:
    """A user namespace's refusal in words: the errors alone mislead (user_namespaces(7), namespaces(7))."""
    if error.errno == errno.ENOSPC:
        return "no user namespaces are left or allowed (the user.max_user_namespaces sysctl)"
    if error.errno in (errno.EPERM, errno.EACCES) and str(error.filename).startswith("unshare"):
        return "user namespaces are forbidden (by a seccomp profile, AppArmor, a sysctl or a chroot around us)"
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"a user namespace can be had, but no mount in it (AppArmor?): {_why(error)}"
    return _why(error)


def _expect(from_child: int) -> None:
    answer = os.read(from_child, 4096)
    if answer != b"ok":
        raise _Refused(answer.decode() or "a trial process ended early")


# ------------------------------------------------------------------------------------------------ id maps


def _own_map(kind: str) -> IdMap:
    with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
        return tuple((int(a), int(b), int(c)) for a, b, c in (line.split() for line in file))


def _write_map(pid: int, kind: str, ids: IdMap) -> None:
    _write(f"/proc/{pid}/{kind}_map", "".join("{} {} {}\n".format(*line) for line in ids))


def _write(path: str, text: str) -> None:
    """Write in one call; its error is not lost in a buffered file's close."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"write {path.rpartition('/')[2]}") from error
    finally:
        os.close(fd)


def users_names() -> list[str]:
    """What this user is called in /etc/subuid: by name, if it has one, or by number."""
    import pwd

    uid = os.geteuid()
    try:
        return [pwd.getpwuid(uid).pw_name, str(uid)]
    except KeyError:
        return [str(uid)]


def subordinate_ranges(path: str, names: list[str]) -> list[tuple[int, int]]:
    """The (first id, count) ranges that a subuid(5) file gives to any of `names`; none if it can't be read."""
    found = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.strip().split(":")
                if len(fields) == 3 and fields[0] in names and fields[1].isdigit() and fields[2].isdigit():
                    found.append((int(fields[1]), int(fields[2])))
    except OSError:
        return []
    return found


def find_program(name: str, environ: Environ) -> str:
    """The path of an executable on PATH, or an empty string."""
    for directory in environ.get("PATH", _DEFAULT_PATH).split(":"):
        path = os.path.join(directory or ".", name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return ""


def _run(command: list[str]) -> None:
    """Run a program to its end; _Refused with its last words if it fails."""
    reads, writes = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writes, 1), (os.POSIX_SPAWN_DUP2, writes, 2)]
    try:
        pid = os.posix_spawn(command[0], command, {}, file_actions=actions)
    finally:
        os.close(writes)
    said = b""
    while piece := os.read(reads, 4096):
        said += piece
    os.close(reads)
    if os.waitpid(pid, 0)[1] != 0:
        lines = said.decode(errors="replace").strip().splitlines() or ["failed without a word"]
        raise _Refused(lines[-1])


def _why(error: OSError) -> str:
    return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else str(error.strerror)
