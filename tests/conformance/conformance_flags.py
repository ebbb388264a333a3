"""Cases of the flags of COPY and ADD."""

from __future__ import annotations

import gzip
import hashlib

from conformance_case import Case, directory, link, with_mode
from conformance_copies import TAR

FILES = {
    "one.txt": "1",
    "two.txt": "2",
    "notes.md": "n",
    "secret": with_mode(0o600, b"s"),
    "run.sh": with_mode(0o755, b"#!/bin/sh\n"),
    "dir/a.txt": "a",
    "dir/b.md": "b",
    "dir/sub/a.txt": "a",
    "dir/sub/run": with_mode(0o700),
    "dir/sub/deep/a.txt": "a",
    "dir/sub/deep/z.md": "z",
    "dir/empty": directory(0o700),
    "dir/to-sub": link("sub"),
    "other/a.txt": "other a",
    "other/c.md": "c",
    "to-dir": link("dir"),
    "plain.tar": TAR,
    "packed.tar.gz": gzip.compress(TAR, mtime=0),
}

CASES = [
    Case(
        "copy-link",
        """\
FROM @base
RUN mkdir -m 700 -p /own/sub && chown -R app:app /own && ln -s /own /way && ln -s usr/bin /sbin && echo old > /own/old
COPY --link one.txt /new/er/name
COPY --link one.txt two.txt /several/
COPY --link dir /into
COPY --link dir/sub/ /own/sub
COPY --link one.txt /way/one.txt
COPY --link run.sh /sbin/run
COPY --link --chown=12:34 one.txt /chowned/by/number
COPY --link --chown=root two.txt /tmp/two
COPY --link <<here /inline/
text
here
WORKDIR /work
COPY --link one.txt .
COPY --link dir sub
ADD --link plain.tar /unpacked
RUN cat /way/one.txt /work/one.txt > /read
""",
        FILES,
    ),
    Case(
        "copy-link-from",
        """\
FROM @base AS make
RUN mkdir -p /out/sub && echo 1 > /out/file && ln /out/file /out/hard && ln -s file /out/link && chown -R 7:8 /out
FROM @base
COPY --link --from=make /out /out
COPY --link --from=make /out/link /through
COPY --link --from=@tools /opt/tool /opt/capable /tools/
""",
    ),
    Case(
        "copy-link-with-chmod",
        "FROM @base\nCOPY --link --chmod=640 one.txt /made/name\nCOPY --link --chmod=755 dir /dir\n",
        FILES,
    ),
    Case(
        "copy-exclude",
        """\
FROM @base
RUN mkdir -p /there/sub && chmod 711 /there /there/sub && chown app /there/sub
COPY --exclude=*.txt . /top/
COPY --exclude=**/*.txt --exclude=*.md dir /deep/
COPY --exclude=sub --exclude=!sub/deep dir /back/
COPY --exclude=**/a.txt --exclude=!sub/deep/* dir /there
COPY --exclude=* dir /nothing/
COPY --exclude=[ab].* --exclude=?mpty dir other /two/
COPY --exclude=to-sub --exclude=sub/run --chown=5:6 --chmod=u=rwX,go= dir /flags/
COPY --exclude=sub d* /wild/
COPY --exclude=sub/../a.txt --exclude=./sub/ dir /cleaned/
ADD --exclude=*.md other /added/
COPY --link --exclude=sub dir /linked/
""",
        FILES,
    ),
    Case("copy-exclude-what-is-named", "FROM @base\nCOPY --exclude=*.txt *.txt *.md /x/\n", FILES),
    Case(
        "copy-exclude-from-a-stage",
        """\
FROM @base AS make
RUN mkdir -p /out/keep /out/drop && touch /out/keep/a /out/keep/b.log /out/drop/c
FROM @base
COPY --from=make --exclude=drop --exclude=**/*.log /out /out
""",
    ),
    Case(
        "copy-parents",
        """\
FROM @base
RUN mkdir -p /there/dir/sub && chmod 711 /there /there/dir && chown -R app /there
COPY --parents one.txt dir/sub/a.txt /x/
COPY --parents dir/sub/*.txt dir/*/deep /glob/
COPY --parents dir/./sub/a.txt other/a.txt /pivot/
COPY --parents d*/./sub /wild-pivot/
COPY --parents **/c.md **/deep /stars/
COPY --parents dir ./other/ /whole
COPY --parents dir/. dir/../one.txt ../two.txt /cleaned/
COPY --parents dir/to-sub to-dir /links/
COPY --parents dir/sub/a.txt /there/
COPY --parents --chown=5:6 --chmod=711 dir/sub/a.txt /flags/
COPY --parents --chmod=u+x,go-r dir/sub/deep/z.md /letters/
COPY --parents --exclude=**/deep --exclude=dir/a.txt dir /less/
COPY --parents --exclude=deep --exclude=sub/a.txt dir/./sub /less-below/
COPY --parents noth* /nothing/
COPY --parents --link dir/./sub/a.txt /linked/
WORKDIR /work
COPY --parents dir/sub/run .
""",
        FILES,
    ),
    Case(
        "copy-parents-from-a-stage",
        """\
FROM @base AS make
RUN mkdir -p /a/b/c/d && touch /a/b/c/d/e /a/b/f && chown -R 7:8 /a/b && chmod 2750 /a/b
FROM @base
COPY --from=make --parents /a/b/./c/d /one/
COPY --from=make --parents a/b/c/d/e /a/b/f /two/
COPY --from=make --parents /a/**/e /three/
""",
    ),
    Case("copy-several-without-a-slash", "FROM @base\nCOPY one.txt two.txt /several\n", FILES),
    Case(
        "copy-chown-in-parts",
        """\
FROM @base
COPY --chown=3: one.txt /number
COPY --chown=app: one.txt /name
COPY --chown=:staff one.txt /group
COPY --chown=app:root one.txt /both
COPY --chown=root one.txt /root-of-all
""",
        FILES,
    ),
    Case(
        "copy-chmod-with-letters",
        """\
FROM @base
COPY --chmod=u=rwX,go=rX dir run.sh secret /usual/
COPY --chmod=a+r,g+s dir /added/
COPY --chmod=go= one.txt run.sh /taken/
COPY --chmod=g=u,o-r dir/sub /copied/
COPY --chmod=+t,u+s dir /special/
COPY --chmod=-x,+X dir/sub /again/
ARG how=o+w
COPY --chmod=$how one.txt /variable
ADD --chmod=u=rwx,go=x one.txt /added-file
COPY --chmod=a=r <<here /inline
text
here
""",
        FILES,
    ),
    Case(
        "add-unpack",
        f"""\
FROM @base
ADD --unpack=false plain.tar packed.tar.gz /packed/
ADD --unpack=true plain.tar one.txt /plain/
ADD --unpack=true @http/packed.tar.gz /web/
ADD --unpack @http/dated.txt /web-file/
ADD --unpack=false @http/packed.tar.gz /web-packed/
ADD --checksum=sha256:{hashlib.sha256(b"from the web").hexdigest()} @http/dated.txt /checked/
ADD one.txt @http/dated.txt dir /mixed/
COPY two.txt <<first <<second /files/
one
first
two
second
""",
        FILES,
    ),
]
