"""The helper: one small process per RUN that sets the stage, waits for the command and cleans up.

It is a fresh interpreter with an empty environment, so nothing of the builder's memory, credentials or secrets of
other steps is among the ancestors of what a RUN starts. It imports little, because it starts for every RUN.

    main process ── control pipe ─▶ helper ──▶ first process of the RUN ──▶ the command
                 ◀── result pipe ──           (namespaces, mounts, root;      (user, capabilities,
                                               then waits as PID 1)            seccomp, exec)

Where no PID namespace can be had, the RUN's first process execs the command itself and the helper adopts and ends
what is left over. The control pipe carries the spec; its end, by the main process closing it or dying, means: stop.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import sys

from coopery import kernel
from coopery.sandbox import become, borrowed, mounting, rooted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from coopery.sandbox.spec import Result, Spec

    #: From the RUN's first process: "ready", "again" (without a PID namespace) or "error"; its text; mount stubs.
    Message = tuple[str, str, list[rooted.Stub]]

_SIGKILL = 9


def main(control: int, result: int) -> NoReturn:
    """Do what the spec that comes through `control` says, and tell `result`, the last descriptor, how it went."""
    kernel.close_from(result + 1)  # whatever the job's shell left open
    os.setsid()  # the terminal's Ctrl-C is for the main process, which then closes the control pipe
    os.umask(0)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    length = int.from_bytes(_read(control, 8), "little")
    spec: Spec = marshal.loads(_read(control, length))  # noqa: S302 from our own parent, by a pipe of its own
    try:
        outcome = _chrooted(spec, control) if spec["method"] == "chroot" else _in_namespaces(spec, control)
    except OSError as error:
        outcome = ("error", describe(error))
    os.write(result, marshal.dumps(outcome))
    os._exit(0)  # nothing to tidy: spares the interpreter's own end


def describe(error: OSError) -> str:
    """What was tried and why it failed."""
    tried = os.fsdecode(error.filename) if error.filename else ""
    return f"{tried}: {error.strerror}" if tried else str(error.strerror)


def _read(fd: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = os.read(fd, length - len(data))
        if not piece:
            os._exit(0)  # the main process is gone before it said what to do
        data += piece
    return data


# ------------------------------------------------------------------------------------------------ namespaces


def _in_namespaces(spec: Spec, control: int) -> Result:
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    if not spec["network"]:
        flags |= kernel.CLONE_NEWNET
    outcome = _attempt(spec, control, flags | kernel.CLONE_NEWPID)
    return outcome or _attempt(spec, control, flags) or ("error", "no namespaces")


def _attempt(spec: Spec, control: int, flags: int) -> Result | None:
    """Run the command in these namespaces; None if that can't be with a PID namespace."""
    own_pids = bool(flags & kernel.CLONE_NEWPID)
    if not own_pids:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    reports, report = os.pipe()
    try:
        child = kernel.fork_into(flags)
    except OSError:
        if own_pids:
            return None
        raise
    if child == 0:
        os.close(reports)
        _first_process(spec, report, own_pids=own_pids)
    os.close(report)
    messages = _messages(reports)
    status = _wait(child, control)
    if not own_pids:
        end_leftovers()
    kind, text, stubs = messages or ("error", "its first process ended early", [])
    rooted.remove_stubs(spec["rootfs"], stubs)
    if kind == "again":
        return None
    return ("error", text) if kind == "error" else ("exit", status)


def _messages(fd: int) -> Message | None:
    """What the RUN's processes reported until the command was started: the last word, with all stubs."""
    data = b""
    while piece := os.read(fd, 65536):
        data += piece
    os.close(fd)
    merged: Message | None = None
    while data:
        end = 8 + int.from_bytes(data[:8], "little")
        message: Message = marshal.loads(data[8:end])  # noqa: S302 from our own child
        data = data[end:]
        merged = message if merged is None else (message[0], message[1], merged[2] + message[2])
    return merged


def _first_process(spec: Spec, report: int, *, own_pids: bool) -> NoReturn:
    """The RUN's first process: set everything up, then start the command, as its init if it is PID 1."""
    root = None
    try:
        _follow_parent(report)
        kernel.sethostname(spec["hostname"])
        if not spec["network"]:
            kernel.loopback_up()
        root = mounting.prepare(spec["rootfs"], empty=spec["probe"], devices=spec["insecure"])
        mounting.enter(spec, root, own_pids=own_pids)
        _no_more_imports()
        _say(report, ("ready", "", root.stubs))
        command = os.fork() if own_pids else 0
        if command == 0:
            _command(spec, report)
    except mounting.NoFreshProc:
        _say(report, ("again", "", root.stubs if root else []))
        os._exit(1)
    except OSError as error:
        _say(report, ("error", describe(error), root.stubs if root else []))
        os._exit(1)
    kernel.close_from(0)
    kernel.set_capabilities(0, 0)
    while True:
        pid, status = os.wait()
        if pid == command:
            os._exit(_exit_status(status))


def _command(spec: Spec, report: int) -> NoReturn:
    """Turn into the command; what fails before its exec is reported as the sandbox's failure."""
    try:
        if report != 3:
            os.dup2(report, 3, inheritable=False)
        kernel.close_from(4)
        os.setsid()
        become.limit(spec)
        _own_output(spec)
        _null_input()
        if not spec["probe"]:
            become.change_directory(spec)
        become.confine(spec)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, _SIGKILL)
    except OSError as error:
        _say(3, ("error", describe(error), []))
        os._exit(1)
    if spec["probe"]:
        os._exit(0)
    become.start(spec)


def _follow_parent(report: int) -> None:
    """Have the kernel end this process with the helper, also if the helper has ended already."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, _SIGKILL)
    poll = select.poll()
    poll.register(report, 0)
    if poll.poll(0):  # POLLERR: nobody reads
        os._exit(1)


def _no_more_imports() -> None:
    """From here on paths mean the image's: nothing may be imported from there."""
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()


def _own_output(spec: Spec) -> None:
    """Give the output pipes to the command's user, so that it can open /dev/stdout; as runc does."""
    for fd in (1, 2):
        try:
            os.fchown(fd, spec["uid"], spec["gid"])
        except OSError:  # an id that isn't mapped: the command's start will say so
            return


def _null_input() -> None:
    """Standard input from the root's own /dev/null, if it has one; the machine's otherwise."""
    try:
        fd = os.open("/dev/null", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return
    os.dup2(fd, 0)
    os.close(fd)


def _say(fd: int, message: Message) -> None:
    data = marshal.dumps(message)
    os.write(fd, len(data).to_bytes(8, "little") + data)


# ------------------------------------------------------------------------------------------------ chroot


def _chrooted(spec: Spec, control: int) -> Result:
    if not spec["network"]:
        kernel.unshare(kernel.CLONE_NEWNET)
        kernel.loopback_up()
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    files = borrowed.Files(spec["rootfs"])
    try:
        if not spec["probe"]:
            files.lend(spec)
        reports, report = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reports)
            try:
                _follow_parent(report)
                os.chroot(spec["rootfs"])
                os.chdir("/")
            except OSError as error:
                _say(report, ("error", f"chroot: {error.strerror}", []))
                os._exit(1)
            _no_more_imports()
            _command(spec, report)
        os.close(report)
        messages = _messages(reports)
        status = _wait(child, control)
        end_leftovers()
    finally:
        files.take_back()
    return ("error", messages[1]) if messages else ("exit", status)


# ------------------------------------------------------------------------------------------------ waiting


def _wait(child: int, control: int) -> int:
    """Wait for `child` to end, or end it when the control pipe ends; its status as a shell counts."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    try:
        watched = os.pidfd_open(child)
    except OSError:  # Linux before 5.3, or forbidden
        watched = -1
    else:
        poll.register(watched, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll(20 if watched == -1 else None)]
        if control in ready:
            os.kill(child, _SIGKILL)
            _, status = os.waitpid(child, 0)
            return _exit_status(status)
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return _exit_status(status)


def end_leftovers() -> None:
    """End and reap all descendants of this process, which must be their subreaper.

    Only direct children are killed, again and again: their process ids can't be reused before they are reaped, and
    their orphans become direct children in turn.
    """
    while True:
        for pid in _children():
            os.kill(pid, _SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def _children() -> list[int]:
    """The process ids of this process's children, zombies too (proc_pid_stat(5), field 4)."""
    own = b"%d" % os.getpid()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ESRCH, errno.EACCES):
                    continue
                raise
            if fields[1] == own:
                found.append(int(name))
    return found


def _exit_status(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
