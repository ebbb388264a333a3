"""Mounts overlays, however long the stack, and read-only EROFS layers."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from coopery import kernel
from coopery.errors import EnvironmentUnsuitable

#: Where overlayfs keeps its marks: `trusted` wants CAP_SYS_ADMIN over the whole machine, `user` is for user namespaces.
Marks = Literal["trusted", "user"]

# Whatever the kernel was built with: with these off an upper directory can be read, and its layers be moved about.
# `userxattr` implies that directories aren't redirected, and conflicts with saying so.
_OFF: Mapping[Marks, tuple[str, ...]] = MappingProxyType(
    {"trusted": ("redirect_dir", "metacopy", "index", "xino"), "user": ("metacopy", "index", "xino")}
)
_MAX_OPTIONS = 4095  # a longer string is cut off by mount(2), which may lose a layer without a word
_MAX_LAYERS = 500  # OVL_MAX_STACK, fs/overlayfs/params.h


@contextlib.contextmanager
def _handles(directories: Sequence[str]) -> Iterator[list[str]]:
    """Short names of directories, free of the characters that mean something in options, for as long as the block."""
    opened: list[int] = []
    try:
        for directory in directories:
            opened.append(os.open(directory, os.O_PATH | os.O_CLOEXEC))  # noqa: PERF401 - closed if the next one fails
        yield [f"/proc/self/fd/{handle}" for handle in opened]
    finally:
        for handle in opened:
            os.close(handle)


def mount_overlay(lowers: Sequence[str], upper: str, work: str, target: str, marks: Marks) -> None:
    """Mount an overlay at `target`: `lowers` with the topmost first, below the directory `upper`.

    `work` is an empty directory on the file system of `upper`. Written data isn't synced ("volatile"): the directories
    are worth nothing after a crash. OSError if the kernel refuses, EnvironmentUnsuitable for more layers than it takes.
    """
    if len(lowers) > _MAX_LAYERS:
        raise EnvironmentUnsuitable(
            f"the image has {len(lowers)} layers; overlayfs takes {_MAX_LAYERS}", hint="put several RUN into one"
        )
    with _handles([upper, work, *lowers]) as (upper_name, work_name, *names):
        try:
            _mount_by_context(names, upper_name, work_name, target, marks)
        except OSError as error:
            # No fsopen (before 5.2, or a seccomp profile without it), or no `lowerdir+` (before 6.7).
            if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.EPERM):
                raise
            _mount_by_string(names, upper_name, work_name, target, marks)


def _mount_by_context(lowers: Sequence[str], upper: str, work: str, target: str, marks: Marks) -> None:
    context = kernel.fsopen("overlay")
    try:
        for lower in lowers:
            kernel.fsconfig(context, "lowerdir+", lower)
        kernel.fsconfig(context, "upperdir", upper)
        kernel.fsconfig(context, "workdir", work)
        for name in _OFF[marks]:
            kernel.fsconfig(context, name, "off")
        kernel.fsconfig(context, "volatile")
        if marks == "user":
            kernel.fsconfig(context, "userxattr")
        kernel.fsconfig_create(context)
        mounted = kernel.fsmount(context)
        try:
            kernel.move_mount(mounted, target)
        finally:
            os.close(mounted)
    finally:
        os.close(context)


def _mount_by_string(lowers: Sequence[str], upper: str, work: str, target: str, marks: Marks) -> None:
    options = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work}"
    options += "".join(f",{name}=off" for name in _OFF[marks])
    if marks == "user":
        options += ",userxattr"
    if len(options) + len(",volatile") > _MAX_OPTIONS:
        raise EnvironmentUnsuitable(
            f"this kernel can't mount an overlay of {len(lowers)} layers",
            hint="use Linux 6.7 or later, or an image of fewer layers",
        )
    try:
        kernel.mount("overlay", target, "overlay", 0, options + ",volatile")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        kernel.mount("overlay", target, "overlay", 0, options)  # `volatile` is there from 5.10 on


def mount_erofs(index: str, tar: str, target: str) -> None:
    """Mount the layer whose EROFS index and uncompressed tar are these, read-only (Linux 6.12, real root).

    OSError if the kernel refuses: EPERM in a user namespace, ENOTBLK where it takes block devices alone or `index` lies
    on tmpfs or overlayfs.
    """
    with _handles([index, tar]) as (index_name, tar_name):
        kernel.mount(index_name, target, "erofs", kernel.MS_RDONLY, f"device={tar_name}")


def unmount(target: str) -> None:
    """Take a mount away, also if something still has a file of it open."""
    try:
        kernel.unmount(target, 0)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        kernel.unmount(target)


def filesystem_of(path: str) -> str:
    """The type of the file system that `path` lies on, such as `ext4`; empty if unknown (proc(5), mountinfo)."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            mounted, _, described = line.partition(" - ")
            if mounted.split(" ", 3)[2] == wanted:
                return described.split(" ", 1)[0]
    return ""
