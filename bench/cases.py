"""What is built: each case writes a context, names its base and changes one thing for the rebuild."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

BASES = {  # name → the packages beyond the minimum, made by scripts/base-image
    "debian": "",
    "python": "python3,python3-venv,ca-certificates",
    "node": "nodejs,npm,ca-certificates",
}


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    base: str  # of BASES
    write: Callable[[Path], None]  # fills an empty directory, the same bytes every time
    edit: Callable[[Path], None]  # what a developer changes before the rebuild


def _put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def _append(name: str, text: str) -> Callable[[Path], None]:
    def edit(context: Path) -> None:
        with (context / name).open("a") as file:
            file.write(text)

    return edit


def _words(source: random.Random, size: int) -> bytes:
    """Text that compresses about as source code does."""
    lines = (f"value_{source.randrange(1 << 20):05x} = {source.randrange(1 << 30)}\n" for _ in range(size // 26 + 1))
    return "".join(lines).encode()[:size]


def _copy(context: Path) -> None:
    source = random.Random(1)
    _put(context / "Dockerfile", "ARG BASE\nFROM ${BASE}\nCOPY lib /app/lib\nCOPY app /app/bin\n")
    for number in range(300):
        _put(context / f"lib/{number % 20:02}/module{number:03}.py", _words(source, source.randrange(1_000, 40_000)))
    _put(context / "app/main.py", "print('hello')\n")


def _apt(context: Path) -> None:
    _put(
        context / "Dockerfile",
        "ARG BASE\nFROM ${BASE}\n"
        "RUN apt-get update \\\n"
        " && apt-get install -y --no-install-recommends curl git openssh-client \\\n"
        " && rm -rf /var/lib/apt/lists/*\n"
        "COPY run.sh /usr/local/bin/run.sh\n"
        'CMD ["run.sh"]\n',
    )
    _put(context / "run.sh", "#!/bin/sh\nexec git --version\n")


def _example(name: str) -> Callable[[Path], None]:
    def write(context: Path) -> None:
        shutil.copytree(EXAMPLES / name, context, dirs_exist_ok=True)

    return write


def _stages(context: Path) -> None:
    work = "".join(
        f"FROM ${{BASE}} AS {name}\nRUN head -c 1000000000 /dev/zero | sha512sum > /{name}\n\n" for name in "abcd"
    )
    copies = "".join(f"COPY --from={name} /{name} /{name}\n" for name in "abcd")
    _put(context / "Dockerfile", f"ARG BASE\n\n{work}FROM ${{BASE}}\n{copies}COPY note /note\n")
    _put(context / "note", "one\n")


def _large(context: Path) -> None:
    source = random.Random(2)
    _put(context / "Dockerfile", "ARG BASE\nFROM ${BASE}\nCOPY big /data/big\nCOPY small /data/small\n")
    for number in range(3):
        _put(context / f"big/{number}", b"".join(source.randbytes(1 << 20) for _ in range(100)))
    for number in range(20_000):
        _put(context / f"small/{number % 200:03}/{number:05}", _words(source, 3_000))


CASES = {
    case.name: case
    for case in (
        Case("copy", "debian", _copy, _append("app/main.py", "print('again')\n")),
        Case("apt", "debian", _apt, _append("run.sh", "# again\n")),
        Case("pyapp", "python", _example("flask"), _append("app.py", "\n# again\n")),
        Case("nodeapp", "node", _example("express"), _append("index.js", "\n// again\n")),
        Case("stages", "debian", _stages, _append("note", "two\n")),
        Case("large", "debian", _large, _append("small/007/00007", "again = 1\n")),
    )
}
