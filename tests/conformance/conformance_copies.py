"""Cases of COPY and ADD."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

import zstandard
from conformance_case import PAST, Case, directory, with_mode


def archive() -> bytes:
    """A tar with owners, modes, links and times of its own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name: str, data: bytes = b"", **rest: object) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), PAST, 0o644
            for key, value in rest.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))

        add("top", type=tarfile.DIRTYPE, mode=0o750, uid=5, gid=6)
        add("top/file", b"abc", uid=42, gid=43, mode=0o640)
        add("top/setuid", b"x", mode=0o4755)
        add("top/hard", type=tarfile.LNKTYPE, linkname="top/file", mode=0o640, uid=42, gid=43)
        add("top/link", type=tarfile.SYMTYPE, linkname="../etc/file", mode=0o777)
        add("deep/without/parents", b"deep")
        add("etc/added", b"into a directory of the image")
    return buffer.getvalue()


TAR = archive()


SOURCES = {
    "one.txt": "1",
    "two.txt": "2",
    "run.sh": with_mode(0o755, b"#!/bin/sh\n"),
    "dir/a.txt": "a",
    "dir/.hidden": "h",
    "dir/sub/b.txt": "b",
    "dir/sub/run": with_mode(0o700),
    "dir/empty": directory(0o700),
    "other/a.txt": "other a",
    "other/c.md": "c",
}

CASES = [
    Case(
        "copy-file",
        """\
FROM @base
COPY one.txt /renamed
COPY one.txt /into/
COPY one.txt /etc
COPY one.txt /
COPY one.txt two.txt /several/
COPY ["one.txt", "two.txt", "/json array/"]
COPY run.sh /deep/er/run
COPY ./dir/../one.txt /cleaned
COPY /one.txt /leading
WORKDIR /work
COPY one.txt .
COPY one.txt ./
COPY two.txt here
COPY two.txt sub/
COPY two.txt ../up
COPY two.txt ..
""",
        SOURCES,
    ),
    Case(
        "copy-directory",
        """\
FROM @base
COPY dir /plain
COPY dir /slash/
COPY dir/ /source-slash
COPY dir/. /source-dot/
COPY dir /etc
COPY dir/sub /sub/sub
COPY dir other /merged/
COPY dir/empty /empty
WORKDIR /work
COPY . .
COPY dir sub
""",
        SOURCES,
    ),
    Case(
        "copy-wildcards",
        """\
FROM @base
COPY *.txt /txt/
COPY ???.sh /question/
COPY [ot]*.txt /class/
COPY d*/*.txt /below/
COPY */ /directories/
COPY dir/s* /sub/
COPY o* /mixed/
COPY run.s? /single
COPY * /all/
COPY dir/* /etc
""",
        SOURCES,
    ),
    Case(
        "copy-into-links",
        """\
FROM @base
RUN mkdir -p /real/inner && ln -s /real /abs && ln -s real /rel && ln -s inner /real/in
RUN ln -s ../../real/inner /var/up
COPY one.txt /abs/
COPY two.txt /rel/in/
COPY dir /rel/dir
COPY dir /abs/
COPY dir /var/up
COPY one.txt /abs/new/made/
RUN ln -s /usr/bin /real/outside
COPY run.sh /real/outside/run
WORKDIR /abs
COPY one.txt here
""",
        SOURCES,
    ),
    Case(
        "copy-onto-links",
        """\
FROM @base
RUN mkdir /d && echo target > /target && ln -s /target /d/one.txt && ln -s nothing /d/two.txt && ln -s /target /d/a.txt
COPY one.txt two.txt /d/
COPY dir /d/
""",
        SOURCES,
    ),
    Case(
        "copy-to-the-name-of-a-link",
        """\
FROM @base
RUN echo target > /target && ln -s /target /link && ln -s /etc /elsewhere
COPY one.txt /link
COPY one.txt /elsewhere
""",
        SOURCES,
    ),
    Case(
        "copy-over-existing",
        """\
FROM @base
RUN mkdir -m 700 -p /d/sub /d/empty /d/kept && chown -R app:app /d && chmod 2711 /d /d/sub && echo old > /d/a.txt
RUN chmod 600 /d/a.txt && ln /d/a.txt /d/other-name && ln -s a.txt /d/.hidden && touch /d/kept/file
COPY dir /d
COPY other /d/
""",
        SOURCES,
    ),
    Case(
        "copy-chown",
        """\
FROM @base
COPY --chown=app one.txt /name
COPY --chown=app:staff one.txt /name-group
COPY --chown=1234:4321 dir /made/by/number
COPY --chown=app:77 dir /mixed/
COPY --chown=55:staff one.txt /reverse
COPY --chown=4000000000:4000000001 one.txt /large
COPY --chown=app:app dir /etc/
ARG who=nobody
COPY --chown=$who one.txt /variable
USER app
COPY one.txt /still-root
ADD --chown=app:app one.txt /added/
""",
        SOURCES,
    ),
    Case(
        "copy-chown-with-one-number",
        "FROM @base\nCOPY --chown=1000 one.txt /known\nCOPY --chown=1234 one.txt /unknown\n",
        SOURCES,
    ),
    Case(
        "copy-chmod",
        """\
FROM @base
COPY --chmod=755 one.txt /file
COPY --chmod=0644 run.sh /no-longer
COPY --chmod=4711 one.txt /setuid
COPY --chmod=700 dir /dir
COPY --chmod=1777 --chown=app one.txt /made/dir/
COPY --chmod=640 dir/*.txt /wild/
ADD --chmod=600 one.txt /added
""",
        SOURCES,
    ),
    Case(
        "copy-from-stage",
        """\
FROM @base AS make
RUN mkdir -p /out/sub && echo 1 > /out/file && ln /out/file /out/hard && ln /out/file /out/sub/hard \\
 && ln -s file /out/link && ln -s /out/file /out/absolute && chown -h 5:6 /out/link && chown -R 7:8 /out/sub \\
 && chmod 2750 /out/sub && cp /bin/busybox /out/suid && chown 0:50 /out/suid && chmod 6755 /out/suid \\
 && mkdir -m 1777 /out/sticky && mkfifo -m 640 /out/fifo && ln -s sub /out/dirlink \\
 && touch -d '2001-01-01 00:00:00' /out/file
FROM @base
COPY --from=make /out /all
COPY --from=make /out/ /all-again/
COPY --from=make /out/hard /out/link /single/
COPY --from=make /out/absolute /through
COPY --from=make /out/dirlink /through-dir
COPY --from=make /out/dirlink/ /through-dir-slash/
COPY --from=make /out/dirlink/hard /below-link
COPY --from=make /out/s* /wild/
COPY --from=make --chown=app:staff /out /owned
COPY --from=make --chmod=711 /out/file /out/sub /moded/
WORKDIR /w
COPY --from=make out/file relative
""",
    ),
    Case(
        "copy-from-image",
        """\
FROM @base
COPY --from=@tools /opt /opt
COPY --from=@tools /opt/capable /capable
COPY --from=@tools /current /current
COPY --from=@tools /current/file /opt/up/file /files/
COPY --from=@tools --chown=9:9 /opt/capable /opt/tool /owned/
""",
    ),
    Case(
        "image-with-everything",
        """\
FROM @tools
COPY one.txt /opt/deep/
COPY --from=@base /bin/busybox /bin/sh
RUN ["/bin/sh", "-c", "echo > /opt/old/ran"]
""",
        SOURCES,
    ),
    Case(
        "add-archives",
        """\
FROM @base
ADD plain.tar /plain
ADD packed.tar.gz /gz/
ADD packed.tar.bz2 /bz2/
ADD packed.tar.xz /xz/
ADD packed.tar.zst /zst/
ADD no-suffix /no-suffix/
ADD plain.tar packed.tar.gz one.txt /several/
ADD plain.tar /
ADD --chown=app:staff plain.tar /owned/
ADD broken.tar /broken/
ADD single.gz /single/
ADD dir /dir/
RUN ln -s /real /link && mkdir /real
ADD plain.tar /link/
COPY plain.tar /copied
""",
        {
            "plain.tar": TAR,
            "packed.tar.gz": gzip.compress(TAR, mtime=0),
            "packed.tar.bz2": bz2.compress(TAR),
            "packed.tar.xz": lzma.compress(TAR),
            "packed.tar.zst": zstandard.compress(TAR),
            "no-suffix": gzip.compress(TAR, mtime=0),
            "broken.tar": "not an archive",
            "single.gz": gzip.compress(b"not a tar", mtime=0),
            "one.txt": "1",
            "dir/plain.tar": TAR,
        },
    ),
    Case(
        "add-from-http",
        """\
FROM @base
ADD @http/dated.txt /
ADD @http/dated.txt /renamed
ADD --chmod=755 --chown=app:staff @http/packed.tar.gz /t/
""",
    ),
]
