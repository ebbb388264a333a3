"""Cases of what contexts hold and what ignore files leave out of them."""

from __future__ import annotations

import os
from pathlib import Path

from conformance_bases import CAPABILITY
from conformance_case import Case, directory, hard, link, with_mode


def many(path: Path) -> None:
    """Three thousand files in thirty directories."""
    for number in range(30):
        part = path / f"part{number:02}"
        part.mkdir(parents=True)
        for serial in range(100):
            (part / f"file{serial}").write_text(f"{number}.{serial}")


def capable(path: Path) -> None:
    """A file with a capability."""
    path.write_bytes(b"capable")
    os.setxattr(path, "security.capability", CAPABILITY.encode())


def device(path: Path) -> None:
    os.mknod(path, 0o020640, os.makedev(1, 3))


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o640)


CASES = [
    Case(
        "context-of-every-kind",
        "FROM @base\nCOPY . /c\nCOPY links/file /single\nCOPY links/dir /linked-dir\nCOPY links /l/\n",
        {
            "modes/0": with_mode(0),
            "modes/7777": with_mode(0o7777),
            "modes/dir": directory(0o1700),
            "hard/a": "same",
            "hard/b": hard("a"),
            "links/file": link("../hard/a"),
            "links/dir": link("../hard"),
            "links/dangling": link("nowhere"),
            "links/absolute": link("/hard/a"),
            "links/long": link("x" * 300),
            "capable": capable,
            "fifo": fifo,
            "empty-file": "",
            "empty-dir": directory(),
        },
    ),
    Case("device-in-the-context", "FROM @base\nCOPY . /c\n", {"null": device}),
    Case(
        "names",
        """\
FROM @base
COPY . /n
RUN cp -a /n /m && rm -r /n/deep*
COPY ["a b", "/s p/"]
""",
        {
            "é-ü-日本": "unicode",
            "a b": "space",
            "tab\tand\nnewline": "control",
            "back\\slash": "x",
            "quo'te\"s": "x",
            "-dash": "x",
            "#hash": "x",
            "dollar$HOME": "x",
            "=equals=": "x",
            "l" * 101: "101",
            "m" * 255: "255",
            "/".join(["deep" * 20] * 4) + "/file": "323 characters",
            "/".join(["deeper" + "é" * 50] * 12) + "/x": "over a thousand bytes",
            "target": link("/" + "t" * 150),
            "utf8-target": link("é" * 60),
        },
    ),
    Case(
        "names-that-are-not-utf8",
        "FROM @base\nCOPY . /n\nRUN touch $(printf '/n/ran-\\351')\n",
        {os.fsdecode(b"latin-\xe9"): "latin 1", "link": link(os.fsdecode(b"\xff\xfe"))},
    ),
    Case(
        "names-that-are-not-utf8-in-a-run",
        "FROM @base\nRUN mkdir -p /n && cd /n && touch $(printf 'ran-\\351') && ln -s $(printf '\\377') link\n",
    ),
    Case(
        "thousands-of-files",
        "FROM @base\nCOPY many /many\nRUN rm -r /many/part0* && find /many -type f -name '*9' -exec rm {} +\n",
        {"many": many},
    ),
    Case(
        "dockerignore",
        "FROM @base\nCOPY . /c\nCOPY dir /d\nCOPY *.md /md/\n",
        {
            ".dockerignore": """\
# a comment
*.log
!keep.log
/rooted
dir/*.tmp
**/deep.o
secret*/
!secret/public
node_modules
nested/**/x
**/*.pyc
?.one
 spaced
[ab].set
!important.md
trailing/
back/./../back2
""",
            "a.log": "",
            "keep.log": "",
            "dir/a.log": "",
            "dir/b.tmp": "",
            "dir/sub/b.tmp": "",
            "dir/sub/deep.o": "",
            "deep.o": "",
            "rooted": "",
            "dir/rooted": "",
            "secret/public": "p",
            "secret/key": "",
            "secrets/public": "",
            "node_modules/x/y": "",
            "dir/node_modules/y": "",
            "nested/x": "",
            "nested/a/b/x": "",
            "nested/a/b/y": "",
            "m.pyc": "",
            "dir/m.pyc": "",
            "a.one": "",
            "ab.one": "",
            "spaced": "",
            "a.set": "",
            "c.set": "",
            "important.md": "",
            "trailing/x": "",
            "back2": "",
            "Dockerfile.other": "",
        },
    ),
    Case(
        "dockerignore-all-but",
        "FROM @base\nCOPY . /c\n",
        {
            ".dockerignore": "*\n!src\n!*.lock\nsrc/generated\n!src/generated/keep\nsrc/**/*.o\n",
            "src/main.c": "",
            "src/main.o": "",
            "src/a/b/c.o": "",
            "src/generated/drop": "",
            "src/generated/keep": "",
            "package.lock": "",
            "README": "",
            "lib/x": "",
        },
    ),
    Case(
        "dockerignore-of-the-dockerfile",
        "FROM @base\nCOPY . /c\n",
        {
            ".dockerignore": "by-general\n",
            "Dockerfile.dockerignore": "by-own\nDockerfile*\n",
            "by-general": "",
            "by-own": "",
            "x": "",
        },
    ),
]
