"""The Linux system calls that Python has no function for, by ctypes.

Everything here is a thin shim: one call each, bytes or text in, OSError out. The error's `filename` says what was
tried, so that a message built from it alone makes sense. Numbers are those of x86_64 and of the generic table that
arm64, riscv64 and loongarch64 share (the kernel's arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h); elsewhere each call fails with ENOSYS.

The module is imported in the helper process of every RUN: it stays with `os`, `sys` and `ctypes`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

Path = str | bytes

# ------------------------------------------------------------------------------------------------ constants

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1 << 10
MS_NODIRATIME = 1 << 11
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24

MNT_DETACH = 2

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NODEV = 0x04

RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2

#: Capability names in the order of their numbers (include/uapi/linux/capability.h), without `CAP_`.
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip


def capability_mask(*names: str) -> int:
    """The bit mask of capabilities named without `CAP_`; ValueError for an unknown name."""
    mask = 0
    for name in names:
        mask |= 1 << CAPABILITIES.index(name)
    return mask


# ------------------------------------------------------------------------------------------------ the call itself

_NEW = {
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}
_X86_64 = {
    "clone": 56,
    "prctl": 157,
    "capget": 125,
    "capset": 126,
    "pivot_root": 155,
    "mount": 165,
    "umount2": 166,
    "sethostname": 170,
    "unshare": 272,
    "setns": 308,
    "seccomp": 317,
    **_NEW,
}
_GENERIC = {
    "umount2": 39,
    "mount": 40,
    "pivot_root": 41,
    "capget": 90,
    "capset": 91,
    "unshare": 97,
    "sethostname": 161,
    "prctl": 167,
    "clone": 220,
    "setns": 268,
    "seccomp": 277,
    **_NEW,
}
#: The machine's name as uname gives it.
MACHINE = os.uname().machine
_TABLES = {"x86_64": _X86_64, "aarch64": _GENERIC, "riscv64": _GENERIC, "loongarch64": _GENERIC}
_NUMBERS = _TABLES.get(MACHINE, {}) if sys.maxsize > 1 << 32 else {}

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_fork = ctypes.PyDLL(None, use_errno=True).syscall  # keeps the interpreter lock: the child has but one thread
_fork.restype = ctypes.c_long

_Argument = int | bytes | None | ctypes.Array[ctypes.c_char]


def _call(name: str, tried: Path, *arguments: _Argument) -> int:
    """Make the system call `name`; OSError with `tried` as its filename when it fails."""
    number = _NUMBERS.get(name)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), tried)
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_syscall(ctypes.c_long(number), *converted))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), tried)
    return result


def _text(value: Path | None) -> str:
    return "" if value is None else os.fsdecode(value)


def _bytes(value: Path | None) -> bytes | None:
    return None if value is None else os.fsencode(value)


# ------------------------------------------------------------------------------------------------ namespaces


def unshare(flags: int) -> None:
    """Move this process into new namespaces: CLONE_NEW* flags (unshare(2))."""
    _call("unshare", f"unshare {flags:#x}", flags)


def fork_into(flags: int) -> int:
    """Fork, with the child in new namespaces: CLONE_NEW* flags (clone(2)). Returns as os.fork does.

    Unlike unshare and fork it leaves the caller where it was, so that it can try again with other flags.
    Only for a process with one thread: Python's own fork handlers don't run.
    """
    number = _NUMBERS.get("clone")
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), "clone")
    zero = ctypes.c_long(0)
    pid = int(_fork(ctypes.c_long(number), ctypes.c_long(flags | 17), zero, zero, zero, zero))  # 17: SIGCHLD
    if pid == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"clone into new namespaces {flags:#x}")
    return pid


def setns(fd: int, flags: int = 0) -> None:
    """Enter the namespace that `fd` (an open /proc/…/ns/… file) refers to (setns(2))."""
    _call("setns", f"setns {flags:#x}", fd, flags)


def sethostname(name: Path) -> None:
    """Set the host name of this UTS namespace."""
    data = os.fsencode(name)
    _call("sethostname", f"sethostname {_text(name)}", data, len(data))


def prctl(option: int, *arguments: int) -> int:
    """prctl(2) with integer arguments; missing ones are 0."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return _call("prctl", f"prctl {option}", option, *padded)


# ------------------------------------------------------------------------------------------------ mounts


def mount(
    source: Path | None, target: Path, filesystem: str | None = None, flags: int = 0, options: Path | None = None
) -> None:
    """mount(2). `options` is cut off by the kernel after 4,095 bytes: longer ones fail here with E2BIG."""
    data = _bytes(options)
    what = filesystem or ("bind" if flags & MS_BIND else "change")
    tried = f"mount {what} {_text(source)} on {_text(target)}" + (f" ({_text(options)[:200]})" if options else "")
    if data is not None and len(data) > 4095:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG), tried)
    _call("mount", tried, _bytes(source), os.fsencode(target), _bytes(filesystem), flags, data)


def unmount(target: Path, flags: int = MNT_DETACH) -> None:
    """umount2(2); by default detached, so that it can't be busy."""
    _call("umount2", f"unmount {_text(target)}", os.fsencode(target), flags)


def pivot_root(new_root: Path, put_old: Path) -> None:
    """pivot_root(2). Both `.` stacks the old root over the new one, to be detached by `unmount(".")`."""
    _call("pivot_root", f"pivot_root {_text(new_root)}", os.fsencode(new_root), os.fsencode(put_old))


def fsopen(filesystem: str) -> int:
    """A new file-system context's descriptor (fsopen(2), Linux 5.2)."""
    return _call("fsopen", f"fsopen {filesystem}", filesystem.encode(), FSOPEN_CLOEXEC)


def fsconfig(fd: int, key: str, value: Path | None = None) -> None:
    """Set an option of a context: a flag without `value`, else a string of at most 255 bytes (fsconfig(2)).

    Overlay takes any number of layers as repeated `lowerdir+`, topmost first (Linux 6.7; before that EINVAL).
    """
    if value is None:
        _call("fsconfig", f"fsconfig {key}", fd, FSCONFIG_SET_FLAG, key.encode(), None, 0)
    else:
        tried = f"fsconfig {key}={_text(value)}"
        _call("fsconfig", tried, fd, FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)


def fsconfig_create(fd: int) -> None:
    """Make the superblock of a configured context; what the kernel says about a failure joins the error."""
    try:
        _call("fsconfig", "create file system", fd, FSCONFIG_CMD_CREATE, None, None, 0)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), "create file system" + _context_log(fd)) from error


def _context_log(fd: int) -> str:
    """The messages that a file-system context holds, each `e|w|i text` (fsopen(2), message retrieval)."""
    lines = []
    try:
        while True:
            lines.append(os.read(fd, 8192).decode(errors="replace").strip())
    except OSError:
        return ": " + "; ".join(lines) if lines else ""


def fsmount(fd: int, attributes: int = 0) -> int:
    """The descriptor of a detached mount of a created context, with MOUNT_ATTR_* `attributes` (fsmount(2))."""
    return _call("fsmount", "fsmount", fd, FSMOUNT_CLOEXEC, attributes)


def move_mount(mount_fd: int, target: Path | int) -> None:
    """Attach a detached mount at a path, or on an open descriptor (move_mount(2)). A last symlink isn't followed."""
    if isinstance(target, int):
        flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
        _call("move_mount", "move_mount onto a descriptor", mount_fd, b"", target, b"", flags)
    else:
        tried = f"move_mount on {_text(target)}"
        _call("move_mount", tried, mount_fd, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)


def mount_setattr(fd: int, set_attributes: int, *, recursive: bool = False) -> None:
    """Add MOUNT_ATTR_* to the mount whose root `fd` is, and those below it if `recursive` (Linux 5.12)."""
    attributes = ctypes.create_string_buffer(set_attributes.to_bytes(8, sys.byteorder), 32)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _call("mount_setattr", f"mount_setattr {set_attributes:#x}", fd, b"", flags, attributes, 32)


def openat2(dir_fd: int, path: Path, flags: int, *, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """Open `path` below `dir_fd` with RESOLVE_* restrictions (openat2(2), Linux 5.6).

    With RESOLVE_IN_ROOT, the default, absolute paths, symlinks and `..` stay inside `dir_fd`.
    EAGAIN means that a rename interfered: try again.
    """
    how = b"".join(value.to_bytes(8, sys.byteorder) for value in (flags | os.O_CLOEXEC, mode, resolve))
    return _call(
        "openat2", f"openat2 {_text(path)}", dir_fd, os.fsencode(path), ctypes.create_string_buffer(how, 24), 24
    )


# ------------------------------------------------------------------------------------------------ privileges


def capabilities() -> tuple[int, int, int]:
    """This process's effective, permitted and inheritable capabilities as bit masks (capget(2), version 3)."""
    header = ctypes.create_string_buffer((0x20080522).to_bytes(4, sys.byteorder), 8)
    data = ctypes.create_string_buffer(24)
    _call("capget", "capget", header, data)
    words = [int.from_bytes(data.raw[at : at + 4], sys.byteorder) for at in range(0, 24, 4)]
    return words[0] | words[3] << 32, words[1] | words[4] << 32, words[2] | words[5] << 32


def set_capabilities(effective: int, permitted: int, inheritable: int = 0) -> None:
    """Set this process's capabilities from bit masks (capset(2), version 3)."""
    header = ctypes.create_string_buffer((0x20080522).to_bytes(4, sys.byteorder), 8)
    words = [mask >> shift & 0xFFFFFFFF for shift in (0, 32) for mask in (effective, permitted, inheritable)]
    data = ctypes.create_string_buffer(b"".join(word.to_bytes(4, sys.byteorder) for word in words), 24)
    _call("capset", f"capset {permitted:#x}", header, data)


def raise_ambient(mask: int) -> None:
    """Have programs that this process executes keep capabilities that it holds and may inherit, whoever runs them."""
    for capability in range(64):
        if mask >> capability & 1:
            prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def drop_bounding(keep: int) -> None:
    """Take every capability outside the mask `keep` out of the bounding set; needs CAP_SETPCAP if any goes."""
    for capability in range(64):
        try:
            held = prctl(PR_CAPBSET_READ, capability)
        except OSError:  # past the last capability that this kernel knows
            return
        if held and not keep >> capability & 1:
            prctl(PR_CAPBSET_DROP, capability)


def seccomp_filter(program: bytes) -> None:
    """Install a BPF program (struct sock_filter records) for this process and its children (seccomp(2)).

    EACCES without CAP_SYS_ADMIN in the user namespace and without no_new_privs.
    """
    code = ctypes.create_string_buffer(program, len(program))
    length = (len(program) // 8).to_bytes(2, sys.byteorder)
    record = length + bytes(6) + ctypes.addressof(code).to_bytes(8, sys.byteorder)
    _call("seccomp", "seccomp filter", 1, 0, ctypes.create_string_buffer(record, 16))


# ------------------------------------------------------------------------------------------------ odds and ends


def close_from(first: int) -> None:
    """Close every descriptor from `first` up."""
    try:
        _call("close_range", "close_range", first, 0x7FFFFFFF, 0)
    except OSError:
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def default_signals() -> None:
    """Give every signal its default action and block none: what a program expects to start with."""
    handler = _libc.signal
    handler.argtypes = (ctypes.c_int, ctypes.c_void_p)
    handler.restype = ctypes.c_void_p
    for number in range(1, 65):
        handler(number, None)  # EINVAL for SIGKILL, SIGSTOP and the C library's own
    _libc.sigprocmask(2, ctypes.create_string_buffer(128), None)  # SIG_SETMASK to the empty set


def loopback_up() -> None:
    """Bring `lo` of this network namespace up (netdevice(7): SIOCSIFFLAGS)."""
    fd = _libc.socket(2, 2 | os.O_CLOEXEC, 0)
    if fd == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "socket for lo")
    try:
        request = ctypes.create_string_buffer(b"lo".ljust(16, b"\0") + (1).to_bytes(2, sys.byteorder), 40)  # IFF_UP
        if _libc.ioctl(fd, ctypes.c_ulong(0x8914), request) == -1:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "bring lo up")
    finally:
        os.close(fd)
