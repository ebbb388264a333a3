"""What a request says of every RUN."""

from __future__ import annotations

from dataclasses import dataclass

from coopery.ports import Ulimit


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What the request says of every RUN."""

    add_hosts: tuple[tuple[str, str], ...]
    shm_size: int
    ulimits: tuple[Ulimit, ...]
