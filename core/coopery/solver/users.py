"""USER and --chown: names → ids, by the passwd and group files of the image.

The rules are BuildKit's (executor/oci/user.go for processes, client/llb/fileop.go and
solver/llbsolver/ops/user_linux.go for files): a numeric user needs no entry, nor does `root`; without one a process
has group 0, a file the group of the same number. An explicit group drops the supplementary ones. A name without an
entry is an error, where BuildKit gives files to root.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coopery.errors import DockerfileError

#: Reads a file of the image by its path, None if it isn't there.
ReadFile = Callable[[str], bytes | None]

_ROOT = "root"
_LARGEST_ID = (1 << 32) - 2


class UnknownUser(DockerfileError):
    """The image has no such user or group."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process is, and where its home lies."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def process_identity(user: str, read: ReadFile) -> Identity:
    """Who `USER user` is; UnknownUser if a name isn't in the image's files."""
    name, colon, group = (user or "0").partition(":")
    passwd = _rows(read("/etc/passwd"), 7)
    row = next((row for row in passwd if row[0] == name), None)
    if row is None and _is_id(name):
        row = next((row for row in passwd if row[2] == str(int(name))), None)
    if row is not None and _is_id(row[2]) and _is_id(row[3]):
        uid, gid, home, login = int(row[2]), int(row[3]), row[5] or "/", row[0]
    elif _is_id(name) or name == _ROOT:
        uid, gid, home, login = 0 if name == _ROOT else int(name), 0, "/", ""
    else:
        raise _unknown("user", name, "/etc/passwd")
    rows = _rows(read("/etc/group"), 4)
    if colon and group:
        gid = _group(group, rows)
        return Identity(uid, gid, (gid,), home)
    member = [int(row[2]) for row in rows if _is_id(row[2]) and login and login in row[3].split(",")]
    return Identity(uid, gid, tuple(sorted({gid, *member})), home)


def file_owner(owner: str, read: ReadFile) -> tuple[int, int]:
    """The ids that `--chown=owner` means, or a WORKDIR's user: a lone numeric id is used for user and group alike,
    and a colon with nothing after it means root's group."""
    name, colon, group = owner.partition(":")
    passwd = _rows(read("/etc/passwd"), 7) if name not in ("", _ROOT) and not _is_id(name) else []
    row = next((row for row in passwd if row[0] == name), None)
    if name in ("", _ROOT):
        uid, gid = 0, 0
    elif _is_id(name):
        uid = gid = int(name)
    elif row is not None and _is_id(row[2]) and _is_id(row[3]):
        uid, gid = int(row[2]), int(row[3])
    else:
        raise _unknown("user", name, "/etc/passwd")
    if colon:
        gid = _group(group, [] if _is_id(group) else _rows(read("/etc/group"), 4)) if group else 0
    return uid, gid


def _group(group: str, rows: list[list[str]]) -> int:
    for row in rows:
        if row[0] == group and _is_id(row[2]):
            return int(row[2])
    if _is_id(group) or group == _ROOT:
        return 0 if group == _ROOT else int(group)
    raise _unknown("group", group, "/etc/group")


def _unknown(kind: str, name: str, file: str) -> UnknownUser:
    command = "useradd" if kind == "user" else "groupadd"
    hint = f"make it in an earlier step (RUN {command} …), or give its numeric id"
    return UnknownUser(f"the image has no {kind} {name!r} in {file}", hint=hint)


def _rows(data: bytes | None, width: int) -> list[list[str]]:
    if data is None:
        return []
    lines = (line.strip() for line in data.decode("utf-8", "surrogateescape").split("\n"))
    rows = [line.split(":") for line in lines if line and not line.startswith("#")]
    return [row + [""] * (width - len(row)) for row in rows if len(row) >= 3]


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= _LARGEST_ID
