"""Cases of what the test suites of kaniko, Buildah and BuildKit look at, besides those in the other parts."""

from __future__ import annotations

import io
import tarfile

from conformance_case import PAST, Case, directory, link


def tar(**members: str) -> bytes:
    """An archive of files with these contents; `->` starts the target of a link, and `/` stands for a directory."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.mtime = PAST
            if content == "/":
                member.type, member.mode = tarfile.DIRTYPE, 0o751
            elif content.startswith("->"):
                member.type, member.linkname = tarfile.SYMTYPE, content[2:]
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()) if member.isreg() else None)
    return data.getvalue()


CASES = [
    Case(
        "variables-without-a-value",
        """\
FROM @base
USER app
WORKDIR /home/app
USER $NONE
WORKDIR $NONE
COPY file $NONE
RUN pwd > /where && id -u >> /where
""",
        {"file": "file"},
    ),
    Case(
        "wildcards-and-a-name",
        """\
FROM @base
COPY *.txt /files
COPY dir* /directories
COPY one.* /one
COPY none* one.md /two/
COPY a.txt b.txt /three/
""",
        {"a.txt": "a", "b.txt": "b", "dir1/a": "1", "dir2/b": "2", "one.md": "one"},
    ),
    Case(
        "workdirs-through-links",
        """\
FROM @base
RUN mkdir /real && ln -s /real /link && ln -s /not/there /dangling
WORKDIR /link
RUN touch ran
COPY file ./copied
WORKDIR /dangling/below
COPY file ./copied
RUN pwd > /where && touch ran
COPY file /dangling/other
""",
        {"file": "file"},
    ),
    Case(
        "destinations-that-are-dangling-links",
        """\
FROM @base
RUN ln -s /not/there /one && ln -s not/there /two
COPY file /one/
COPY file /two/below/
ADD file /one/below/
""",
        {"file": "file"},
    ),
    Case(
        "a-name-that-is-a-dangling-link",
        "FROM @base\nRUN ln -s /not/there /link\nCOPY file /link\n",
        {"file": "file"},
    ),
    Case(
        "users-of-steps",
        """\
FROM @base
RUN echo second:x:20000:app,nobody >> /etc/group && echo own:x:3000:50::/home/own:/bin/sh >> /etc/passwd
RUN mkdir -m 777 /ids
USER app
RUN id > /ids/1; echo $HOME >> /ids/1
USER app:second
RUN id > /ids/2; echo $HOME >> /ids/2
USER 1000
RUN id > /ids/3; echo $HOME >> /ids/3
USER 1000:20000
RUN id > /ids/4
USER app:20000
RUN id > /ids/5
USER own
RUN id > /ids/6; echo $HOME >> /ids/6
USER 4711
RUN id > /ids/7; echo $HOME >> /ids/7
USER 4711:12
RUN id > /ids/8
""",
    ),
    Case(
        "workdirs-of-users-without-a-passwd",
        """\
FROM @base AS names
FROM scratch
WORKDIR /before/any
USER 9999
WORKDIR /by/id
WORKDIR below
USER 9999:9998
WORKDIR /by/ids
USER 0
WORKDIR /by/zero
COPY --from=names /etc/passwd /etc/group /etc/
USER app
WORKDIR /by/name
USER 1000:staff
WORKDIR /by/group
USER app:50
WORKDIR /by/both/and/below
""",
    ),
    Case(
        "kinds-that-replace-each-other",
        """\
FROM @base
RUN mkdir /dir /file.d && touch /file /file.d/x && ln -s /dir /link && ln -s /dir /other
RUN rm -rf /dir /link && mkdir /link && echo dir > /dir
RUN rm -rf /file.d /file /other && echo file > /file.d && mkdir /file && echo other > /other
RUN rm /dir && mkdir -p /dir/below
""",
    ),
    Case(
        "archives-with-links",
        """\
FROM @base
RUN mkdir -p /there/real && ln -s real /there/link && chmod 700 /there
ADD links.tar /fresh/
ADD links.tar /there
ADD link.tar /there/link
ADD link.tar /there/link/
""",
        {
            "links.tar": tar(dir="/", **{"dir/file": "1", "relative": "->dir/file", "absolute": "->/etc/passwd"}),
            "link.tar": tar(up="->../../x", file="2"),
        },
    ),
    Case(
        "sources-with-signs",
        """\
FROM @base
COPY [ab].c /set/
COPY [^a].c /not/
COPY \\*.c /star/
COPY *[*].c /stars/
COPY d?/f* d[2-3]/g /parts/
COPY ["with blank", "[[]x]", "/json dir/"]
COPY ./d1/../d2/f /tidied
COPY ../../outside /root
COPY * /all/
""",
        {
            **{
                name: name
                for name in ("a.c", "b.c", "c.c", "*.c", "d1/f1", "d2/f", "d2/g", "d3/g", "with blank", "[x]")
            },
            ".hidden": "h",
            "outside": "o",
        },
    ),
    Case(
        "carriage-returns",
        "FROM @base\r\nENV A=1 \\\r\n    B=2\r\nRUN echo hi > /f \\\r\n# comment\r\n && echo ho >> /f\r\n"
        'VOLUME ["/a"]\r\nLABEL k="v"\r\nCMD echo  $A  \r\n',
    ),
    Case(
        "triggers-of-a-stage",
        """\
FROM @base AS source
RUN echo source > /s
FROM @base AS parent
ENV dir=/made
ONBUILD RUN mkdir $dir && echo "$dir" > ${dir}/said
ONBUILD COPY --from=source /s /t
ONBUILD WORKDIR $dir/below
ONBUILD ENV dir=/other
FROM parent AS child
RUN pwd > /where && echo $dir >> /where
FROM child
ONBUILD RUN false
""",
    ),
    Case(
        "ignored-but-for",
        "FROM @base\nCOPY . /all/\nCOPY deep/er /deeper/\n",
        {
            ".dockerignore": "# all but\n*\ntest*\n!test2*\ndeep\n!*/er\ndeep/er/n*\n!**/new\n",
            **{
                name: name
                for name in ("test1", "test2", "deep/x", "deep/er/x", "deep/er/no", "deep/er/new", "new", "a/new")
            },
        },
    ),
    Case(
        "signs-in-variables",
        """\
FROM @base
ENV hey hey
ENV many="this=is a=test string=with a=lot of=equals"
ENV hey hello
ENV third $hey:/third
ENV name="Ann Other" dog=Rex\\ The\\ Dog \\
    cat=fluffy
ENV q1="a'b'c" q2='a"b"c' q3=a\\ b q4="a\\"b" q5='a\\"b' q6="a\\'b" q7=\\$hey q8='$hey' q9="\\$hey$hey"
ENV atomic=one
ENV atomic=two newatomic=$atomic none=$none/none dollars=$$ one=$ end=a$
ENV trimmed=${third%/*} swapped=${name//e/_} deep=${none:-${atomic:+${hey}}}
LABEL "io.host/a"="1" io.host/b='2' c=$hey "$hey"=d multi="one \\
two"
""",
    ),
    Case(
        "into-what-is-there",
        """\
FROM @base
RUN mkdir -p -m 700 /there/dir && touch /there/file && chown -R app /there
COPY tree /there
COPY --chown=1:2 tree/dir /there/dir
COPY tree/dir/ /there/new
COPY file /there/dir/file
COPY file /there/file
""",
        {
            "tree/dir/inner": "1",
            "tree/dir/sub": directory(0o710),
            "tree/file": "2",
            "tree/link": link("dir"),
            "file": "3",
        },
    ),
]
