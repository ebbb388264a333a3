"""Everything a RUN sees mounted, put together in its own mount namespace. Runs in the helper process's child.

The set of mounts and what is hidden of /proc and /sys follow runc's defaults for Docker (moby's oci/defaults.go).
Paths inside the root are opened first and mounted on by descriptor, so that symlinks in the image never lead out.
"""

from __future__ import annotations

import errno
import os
import stat

from coopery import kernel
from coopery.sandbox.rooted import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coopery.sandbox.spec import Spec

MASKED = (
    b"proc/acpi", b"proc/asound", b"proc/interrupts", b"proc/kcore", b"proc/keys", b"proc/latency_stats",
    b"proc/sched_debug", b"proc/scsi", b"proc/timer_list", b"proc/timer_stats", b"sys/devices/virtual/powercap",
    b"sys/firmware",
)  # fmt: skip
READ_ONLY = (b"proc/bus", b"proc/fs", b"proc/irq", b"proc/sys", b"proc/sysrq-trigger")
DEVICES = {b"null": 3, b"zero": 5, b"full": 7, b"random": 8, b"urandom": 9}  # minor numbers below major 1
LINKS = {
    b"fd": b"/proc/self/fd",
    b"stdin": b"/proc/self/fd/0",
    b"stdout": b"/proc/self/fd/1",
    b"stderr": b"/proc/self/fd/2",
    b"ptmx": b"pts/ptmx",
}
#: What an insecure step gets besides, as in BuildKit (util/entitlements/security): numbers, and loop devices.
MORE_DEVICES = {
    b"kmsg": (1, 11),
    b"cuse": (10, 203),
    b"fuse": (10, 229),
    b"kvm": (10, 232),
    b"net/tun": (10, 200),
    b"loop-control": (10, 237),
}
_LOOP = 7  # the major number
_SPARE_LOOPS = 8
_QUIET = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC

# What statvfs(3) calls the flags that a remount in a user namespace must repeat, and mount(2) does.
_KEPT_FLAGS = {
    1: kernel.MS_RDONLY,
    2: kernel.MS_NOSUID,
    4: kernel.MS_NODEV,
    8: kernel.MS_NOEXEC,
    1024: kernel.MS_NOATIME,
    2048: kernel.MS_NODIRATIME,
    4096: kernel.MS_RELATIME,
}


class NoFreshProc(Exception):
    """A new procfs isn't allowed, because the one around us is masked (mount_namespaces(7)): EPERM."""


def enter(spec: Spec, root: Root, *, own_pids: bool) -> None:
    """Mount all of a RUN's mounts below `root` and make it this process's root directory.

    The process must be alone in its mount namespace. `root` belongs to it, opened after the root was made a mount;
    `root.stubs` tells what was made for mount points. `own_pids`: this is the first process of a PID namespace.
    Raises OSError with what was tried; NoFreshProc, before anything is mounted, if `own_pids` can't be had.
    """
    insecure = spec["insecure"]
    _mount_proc(root, own_pids=own_pids)
    _mount_sys(root, writable=insecure)
    _mount_files(spec, root)
    _mount_dev(spec, root)
    if insecure:
        _more_devices(root)
    else:
        for path in MASKED:
            _mask(root, path)
        for path in READ_ONLY:
            _make_read_only(root, path)
    for mount in spec["mounts"]:
        if mount[0] == "bind":
            _, source, target, read_only = mount
            _bind(root, source, target, read_only=read_only, devices=insecure)
        else:
            _, target, size, mode = mount
            options = b"mode=%o" % mode + (b",size=%d" % size if size else b"")
            _mount(root, target, b"tmpfs", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
    os.fchdir(root.fd)
    kernel.pivot_root(".", ".")
    kernel.unmount(".")
    os.chdir("/")


def prepare(rootfs: bytes, *, empty: bool = False, devices: bool = False) -> Root:
    """Cut this mount namespace off from others, make `rootfs` a mount of its own and open it.

    `empty`: put an empty tmpfs there, for a trial. `devices`: let device nodes in there be opened.
    """
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    if empty:
        kernel.mount("tmpfs", rootfs, "tmpfs", 0, "mode=755")
    else:
        kernel.mount(rootfs, rootfs, None, kernel.MS_BIND | kernel.MS_REC)
    root = Root(rootfs)
    if not devices:
        _forbid_devices(root.fd)
    return root


def _at(fd: int) -> bytes:
    return b"/proc/self/fd/%d" % fd


def _said(path: bytes, error: OSError) -> OSError:
    """The error with the path inside the root in place of a descriptor's."""
    tried = os.fsdecode(error.filename or b"").split(" on /proc/self/fd/")[0]
    return OSError(error.errno, os.strerror(error.errno or 0), f"{tried} on {os.fsdecode(path)}")


def _mount(
    root: Root, path: bytes, source: bytes | None, kind: str | None, flags: int, options: bytes | None = None
) -> None:
    """Mount on a directory inside the root, made if it isn't there."""
    fd = root.open(path, "directory")
    try:
        kernel.mount(source, _at(fd), kind, flags, options)
    except OSError as error:
        raise _said(path, error) from error
    finally:
        os.close(fd)


def _own_directory(root: Root, path: bytes) -> None:
    """Make sure that a place of the kernel's is a directory and no symlink (CVE-2019-19921)."""
    try:
        os.close(root.open(path, "directory", follow=False))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a symbolic link stands in its place", f"mount on /{path.decode()}") from error
        raise


def _mount_proc(root: Root, *, own_pids: bool) -> None:
    _own_directory(root, b"proc")
    if not own_pids:
        _mount(root, b"proc", b"/proc", None, kernel.MS_BIND | kernel.MS_REC)
        return
    try:
        _mount(root, b"proc", b"proc", "proc", _QUIET)
    except PermissionError as error:
        raise NoFreshProc from error


def _mount_sys(root: Root, *, writable: bool) -> None:
    """A sysfs of its own where that is allowed, with the control groups as seen outside; else the one outside."""
    _own_directory(root, b"sys")
    try:
        _mount(root, b"sys", b"sysfs", "sysfs", _QUIET | (0 if writable else kernel.MS_RDONLY))
    except OSError:
        if os.path.isdir("/sys"):
            _mount(root, b"sys", b"/sys", None, kernel.MS_BIND | kernel.MS_REC)
            if not writable:
                _make_read_only(root, b"sys", bind=False)
        return
    if os.path.isdir("/sys/fs/cgroup"):
        _mount(root, b"sys/fs/cgroup", b"/sys/fs/cgroup", None, kernel.MS_BIND | kernel.MS_REC)
        if not writable:
            _make_read_only(root, b"sys/fs/cgroup", bind=False)


def _mask(root: Root, path: bytes) -> None:
    """Hide a file behind the root's own /dev/null, a directory behind an empty read-only one, if it is there."""
    try:
        fd = root.open(path, follow=False)
    except OSError:
        return
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            kernel.mount("tmpfs", _at(fd), "tmpfs", _QUIET | kernel.MS_RDONLY, "nr_blocks=1,nr_inodes=1")
        else:
            null = root.open(b"dev/null")
            kernel.mount(_at(null), _at(fd), None, kernel.MS_BIND)
            os.close(null)
    except OSError as error:
        raise _said(path, error) from error
    finally:
        os.close(fd)


def _make_read_only(root: Root, path: bytes, *, bind: bool = True) -> None:
    """Make what is mounted at `path`, with everything below it, read-only; `bind`: make it a mount first."""
    try:
        fd = root.open(path)
    except FileNotFoundError:
        return
    try:
        if bind:
            kernel.mount(_at(fd), _at(fd), None, kernel.MS_BIND | kernel.MS_REC)
            os.close(fd)
            fd = root.open(path)
        try:
            kernel.mount_setattr(fd, kernel.MOUNT_ATTR_RDONLY, recursive=True)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
            for place in _mounts_below(os.readlink(_at(fd))):
                _remount(place, kernel.MS_RDONLY)
    except OSError as error:
        raise _said(path, error) from error
    finally:
        os.close(fd)


def _mounts_below(path: bytes) -> list[bytes]:
    """Where mounts lie at and below a path, by this process's mountinfo (proc_pid_mountinfo(5))."""
    found = []
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            place = line.split(b" ")[4]
            for code, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
                place = place.replace(code, character)
            if place == path or place.startswith(path + b"/"):
                found.append(place)
    return found


def _forbid_devices(fd: int) -> None:
    """Let no device node on the mount whose root is open as `fd` be opened; nodes can still be made there.

    Docker has a devices control group for this: without it a RUN could make a node for the machine's disk.
    """
    try:
        kernel.mount_setattr(fd, kernel.MOUNT_ATTR_NODEV)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        _remount(os.readlink(_at(fd)), kernel.MS_NODEV)


def _remount(path: bytes, more: int) -> None:
    """Add flags to those that the mount at `path` has."""
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | more
    has = os.statvfs(path).f_flag
    for statvfs_flag, mount_flag in _KEPT_FLAGS.items():
        if has & statvfs_flag:
            flags |= mount_flag
    kernel.mount(None, path, None, flags)


def _bind(root: Root, source: bytes, target: bytes, *, read_only: bool, devices: bool = False) -> None:
    fd = root.open(target, "directory" if os.path.isdir(source) else "file")
    try:
        kernel.mount(source, _at(fd), None, kernel.MS_BIND | kernel.MS_REC)
    except OSError as error:
        raise _said(target, error) from error
    finally:
        os.close(fd)
    if not devices:
        fd = root.open(target)
        _forbid_devices(fd)
        os.close(fd)
    if read_only:
        _make_read_only(root, target, bind=False)


def _mount_files(spec: Spec, root: Root) -> None:
    """Bind the generated files, which live on a small file system that /dev then hides."""
    _own_directory(root, b"dev")
    _mount(root, b"dev", b"tmpfs", "tmpfs", _QUIET, b"mode=700,size=4m")
    fd = root.open(b"dev")
    for target, contents in ((b"etc/resolv.conf", spec["resolv_conf"]), (b"etc/hosts", spec["hosts"])):
        name = target.rpartition(b"/")[2]
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=fd)
        os.write(file, contents)
        os.close(file)
        _bind(root, _at(fd) + b"/" + name, target, read_only=True)
    os.close(fd)


def _mount_dev(spec: Spec, root: Root) -> None:
    _mount(root, b"dev", b"tmpfs", "tmpfs", kernel.MS_NOSUID | kernel.MS_STRICTATIME, b"mode=755,size=64k")
    fd = root.open(b"dev")
    base = _at(fd) + b"/"
    for name, minor in DEVICES.items():
        _device(root, base, name, os.makedev(1, minor))
    _device(root, base, b"tty", os.makedev(5, 0))
    for name, target in LINKS.items():
        os.symlink(target, base + name)
    for name, kind, flags, options in (
        (b"shm", "tmpfs", _QUIET, b"mode=1777,size=%d" % spec["shm_size"]),
        (b"mqueue", "mqueue", _QUIET, None),
    ):
        os.mkdir(base + name, 0o755)
        _mount(root, b"dev/" + name, kind.encode(), kind, flags, options)
    os.mkdir(base + b"pts", 0o755)
    options = b"newinstance,ptmxmode=0666,mode=0620" + (b"" if spec["single_id"] else b",gid=5")
    _mount(root, b"dev/pts", b"devpts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, options)
    if not spec["insecure"]:
        _forbid_devices(fd)
    os.close(fd)


def _more_devices(root: Root) -> None:
    """What an insecure step has besides: made, or where none may be made the machine's, as far as it has them."""
    there = [name for name in os.listdir(b"/dev") if name[:4] == b"loop" and name[4:].isdigit()]
    loops = _SPARE_LOOPS + max((int(name[4:]) + 1 for name in there), default=0)
    devices = {name: (stat.S_IFCHR, *numbers) for name, numbers in MORE_DEVICES.items()}
    devices |= {b"loop%d" % number: (stat.S_IFBLK, _LOOP, number) for number in range(loops)}
    os.close(root.open(b"dev/net", "directory"))
    fd = root.open(b"dev")
    for name, (kind, major, minor) in devices.items():
        try:
            os.mknod(_at(fd) + b"/" + name, kind | 0o666, os.makedev(major, minor))
        except PermissionError:
            if os.path.exists(b"/dev/" + name):
                _bind(root, b"/dev/" + name, b"dev/" + name, read_only=False, devices=True)
    os.close(fd)


def _device(root: Root, base: bytes, name: bytes, device: int) -> None:
    """A device node of the RUN's own, or where none may be made a read-only bind of the machine's.

    Each is a mount of its own: those can be opened, other nodes on /dev can't.
    """
    try:
        os.mknod(base + name, stat.S_IFCHR | 0o666, device)
        _bind(root, base + name, b"dev/" + name, read_only=False, devices=True)
    except PermissionError:
        os.close(os.open(base + name, os.O_CREAT | os.O_CLOEXEC, 0o666))
        _bind(root, b"/dev/" + name, b"dev/" + name, read_only=True, devices=True)
