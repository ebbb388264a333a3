"""From a prepared process to the command: limits, ids, capabilities, seccomp, exec. Runs in the helper's child."""

from __future__ import annotations

import errno
import os
import resource

from coopery import kernel
from coopery.sandbox import seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from coopery.sandbox.spec import Spec

#: What root may do in a RUN: Docker's default set (moby's oci/caps/defaults.go).
CAPABILITIES = kernel.capability_mask(
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
#: RLIMIT_* numbers by Docker's names (include/uapi/asm-generic/resource.h; the same on every machine kernel.py knows).
LIMITS = (
    "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending",
    "msgqueue", "nice", "rtprio", "rttime",
)  # fmt: skip
_DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def limit(spec: Spec) -> None:
    """Set the resource limits; OSError naming the one that can't be had."""
    for name, soft, hard in spec["ulimits"]:
        try:
            resource.setrlimit(LIMITS.index(name), (soft, hard))
        except (OSError, ValueError) as error:
            code = error.errno if isinstance(error, OSError) and error.errno else errno.EPERM
            raise OSError(code, os.strerror(code), f"ulimit {name}={soft}:{hard}") from error


def confine(spec: Spec) -> None:
    """Become the command's user with what Docker lets it do; OSError if an id can't be had.

    Root gets Docker's capabilities, other users none; both can gain them from setuid and capability-bearing programs,
    because no_new_privs stays off. The filter goes first: afterwards nobody here may install it. In an insecure step
    any user has all capabilities that there are, and there is no filter.
    """
    effective, _, _ = kernel.capabilities()
    insecure = spec["insecure"]
    allowed = effective if insecure else effective & CAPABILITIES
    if insecure:
        kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    elif spec["method"] == "chroot":
        # A second chroot would lead out of the first (chroot(2), NOTES). And with one capability less than the
        # processes outside have, the kernel won't let the step trace them (ptrace(2), access mode checking).
        # Nor are there mounts that would keep it from opening devices that it makes.
        allowed &= ~kernel.capability_mask("SYS_CHROOT", "MKNOD")
    elif code := seccomp.program(kernel.MACHINE):
        kernel.seccomp_filter(code)
    if effective & kernel.capability_mask("SETPCAP"):
        kernel.drop_bounding(allowed)
    uid, gid = spec["uid"], spec["gid"]
    if not spec["single_id"]:
        _tried("set supplementary groups", os.setgroups, spec["groups"])
    elif any(spec["groups"]):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), "set supplementary groups")
    _tried(f"become group {gid}", os.setresgid, gid, gid, gid)
    _tried(f"become user {uid}", os.setresuid, uid, uid, uid)
    if insecure:
        kernel.set_capabilities(allowed, allowed, allowed)
        kernel.raise_ambient(allowed)
    elif uid == 0:
        kernel.set_capabilities(allowed, allowed)
    else:
        kernel.set_capabilities(0, 0)


def change_directory(spec: Spec) -> None:
    """Go to the working directory, with root's rights as under runc. Exits with 127 if that fails.

    An image's configuration may name one that its layers don't have: it is made for the step's user, as by BuildKit
    (executor/runcexecutor, MkdirAllAndChown).

    No descriptor but the standard ones and those of pipes may be open: one of a directory outside would be a way
    there (CVE-2024-21626).
    """
    try:
        _make_directory(spec["cwd"], spec["uid"], spec["gid"])
        os.chdir(spec["cwd"])
        os.getcwdb()  # fails in a directory outside the root
    except OSError as error:
        what = "doesn't exist" if error.errno == errno.ENOENT else f"can't be entered: {error.strerror}"
        _fail(127, b"working directory %s %s" % (spec["cwd"], what.encode()))


def _make_directory(path: bytes, uid: int, gid: int) -> None:
    """Make a directory and those above it where they are missing; never among the kernel's own."""
    if os.path.exists(path) or path.startswith((b"/proc/", b"/sys/")):
        return
    parent = os.path.dirname(path)
    if parent and parent != path:
        _make_directory(parent, uid, gid)
    os.mkdir(path, 0o755)
    os.chown(path, uid, gid)


def start(spec: Spec) -> NoReturn:
    """Exec the command; what stands in the way is said on standard error.

    Exits with 127 if the command isn't there and 126 if it can't be executed, as a shell does (POSIX XCU 2.8.2).
    """
    os.umask(0o022)
    kernel.default_signals()
    argv = spec["argv"]
    if not argv[0]:
        _fail(127, b"an empty command: not found")
    environment = dict(item.split(b"=", 1) for item in spec["env"] if b"=" in item)
    found: OSError | None = None
    for path in _candidates(argv[0], environment.get(b"PATH", _DEFAULT_PATH)):
        try:
            os.execve(path, argv, environment)  # noqa: S606 no shell unless the command says so
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.isfile(path):
                continue
            if found is None or error.errno != errno.EACCES:
                found = OSError(error.errno, error.strerror, path)
            if error.errno != errno.EACCES:
                break
        except ValueError:
            _fail(126, b"the command or its environment holds a NUL byte")
    if found is None:
        _fail(127, argv[0] + b": not found")
    path = os.fsencode(found.filename)
    if found.errno == errno.ENOENT:
        _fail(127, path + b": its interpreter (named in its first line, or the dynamic loader) is not in the image")
    if found.errno == errno.ENOEXEC:
        _fail(126, path + b": exec format error: no #! line, or made for another architecture")
    _fail(126, path + b": " + os.strerror(found.errno or 0).encode())


def _candidates(command: bytes, search: bytes) -> list[bytes]:
    if b"/" in command or not command:
        return [command]
    return [(directory or b".") + b"/" + command for directory in search.split(b":")]


def _tried(what: str, function: Callable[..., None], *arguments: object) -> None:
    try:
        function(*arguments)
    except OSError as error:
        raise OSError(error.errno, error.strerror, what) from error


def _fail(status: int, message: bytes) -> NoReturn:
    os.write(2, b"coopery: " + message + b"\n")
    os._exit(status)
