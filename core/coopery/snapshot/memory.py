"""How much memory may still be taken: MemAvailable and the limits of the control groups around this process."""

from __future__ import annotations

import os
from collections.abc import Iterator


def available_memory(root: str = "/") -> int:
    """Bytes of memory that can be taken without swapping or meeting a control group's limit; 0 if unknown.

    Page cache that a group can drop counts as free (proc(5), MemAvailable; the kernel's cgroup-v2.rst and
    cgroup-v1/memory.rst). `root` is where proc and sys are looked for.
    """
    free = _fields(os.path.join(root, "proc/meminfo"), ":").get("MemAvailable", 0) * 1024
    rooms = [limit - used for limit, used in _groups(root)]
    return max(0, min([free, *rooms]))


def _groups(root: str) -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of each control group that limits this process."""
    for line in _lines(os.path.join(root, "proc/self/cgroup")):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            names = ("memory.max", "memory.current", "inactive_file")
            tops = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            tops = ("sys/fs/cgroup/memory", "sys/fs/cgroup/" + controllers)
        else:
            continue
        for top in tops:
            yield from _walk_up(os.path.join(root, top), path.strip("/"), names)


def _walk_up(top: str, path: str, names: tuple[str, str, str]) -> Iterator[tuple[int, int]]:
    # In a container the path may be the host's, which isn't mounted here; then the top is the container's own group.
    limit_name, used_name, droppable_name = names
    while True:
        group = os.path.join(top, path)
        limit, used = _number(os.path.join(group, limit_name)), _number(os.path.join(group, used_name))
        if limit is not None and used is not None:
            yield limit, used - _fields(os.path.join(group, "memory.stat"), " ").get(droppable_name, 0)
        if not path:
            return
        path = os.path.dirname(path)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _number(path: str) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None  # "max" is no limit


def _fields(path: str, separator: str) -> dict[str, int]:
    found = {}
    for line in _lines(path):
        key, _, value = line.partition(separator)
        first = value.split()[:1]
        if first and first[0].isdigit():
            found[key] = int(first[0])
    return found
