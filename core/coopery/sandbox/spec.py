"""What the main process tells the helper of one RUN. All text is bytes: paths and values need not be UTF-8."""

from __future__ import annotations

from typing import Literal, TypedDict

#: A mount in the order of the step: ("bind", source, target, read_only) or ("tmpfs", target, size, mode).
BindSpec = tuple[Literal["bind"], bytes, bytes, bool]
TmpfsSpec = tuple[Literal["tmpfs"], bytes, int, int]


class Spec(TypedDict):
    """One process to run. Plain values only: it travels as marshal data between two processes of one interpreter."""

    method: Literal["namespaces", "chroot"]
    probe: bool  # set everything up on an empty root, start nothing
    single_id: bool  # only uid and gid 0 exist and setgroups is refused
    rootfs: bytes
    argv: list[bytes]
    env: list[bytes]
    cwd: bytes
    uid: int
    gid: int
    groups: list[int]
    network: bool  # share the network
    hostname: bytes
    resolv_conf: bytes  # contents
    hosts: bytes  # contents
    shm_size: int
    insecure: bool  # all rights that there are
    ulimits: list[tuple[str, int, int]]
    mounts: list[BindSpec | TmpfsSpec]


#: What the helper says at the end: ("exit", status) or ("error", what failed).
Result = tuple[Literal["exit"], int] | tuple[Literal["error"], str]
