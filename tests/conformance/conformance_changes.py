"""Cases of what RUN steps do to files, across layers."""

from conformance_case import Case

CASES = [
    Case(
        "deletions-and-re-creations",
        """\
FROM @base
RUN mkdir -p /d/sub /e/sub /f && echo 1 > /d/a && echo 2 > /d/sub/b && echo 3 > /e/sub/c
RUN echo 4 > /f/x && ln -s a /d/l
RUN rm /d/a /etc/group && rm -r /e
RUN mkdir -m 700 /e && echo again > /e/new && echo back > /d/a
RUN rm -r /d && echo file > /d
RUN rm /d && mkdir -p /d/sub && echo third > /d/sub/b
RUN rm -r /f && ln -s /e /f
RUN rm /f && mkdir /f && touch /f/y
RUN rm -r /home && mkdir -p /home/app/new && touch /home/app/new/x
""",
    ),
    Case(
        "deleted-in-one-layer-copied-in-the-next",
        """\
FROM @base
COPY d /d
RUN rm -r /d
COPY d/a /d/a
RUN rm /d/a && mkdir /d/a
COPY d/a /d/a/
RUN rm -r /d && mkdir /d
COPY d /d
COPY d/sub /d/a2
""",
        {"d/a": "a", "d/sub/b": "b"},
    ),
    Case(
        "made-and-deleted-in-one-layer",
        "FROM @base\nRUN mkdir /tmp/x && touch /tmp/x/y && rm -r /tmp/x && rm -f /none\nRUN true\n",
    ),
    Case(
        "renames",
        """\
FROM @base
RUN mkdir -p /d/a/b && echo 1 > /d/a/b/c && echo 2 > /d/x && ln /d/x /d/y
RUN mv /d/a /d/moved && mv /d/x /d/renamed && mv /home /house
RUN mv /d /everything && mkdir /d && echo new > /d/x
RUN mv /everything/moved/b /everything/b && mv /usr /usr2 && mkdir /usr && mv /usr2/* /usr && rmdir /usr2
""",
    ),
    Case(
        "attributes-alone",
        """\
FROM @base
RUN mkdir /d && echo 1 > /d/f && ln -s f /d/l
RUN chmod 700 /d && chown 12:34 /d/f
RUN chmod 4750 /d/f && chown -h 56:78 /d/l
RUN chown -R app:app /home && chmod 750 /root
""",
    ),
    Case(
        "hard-links-across-layers",
        """\
FROM @base
RUN mkdir /d && echo 1 > /d/a && ln /d/a /d/b && ln /d/a /d/c
RUN ln /d/a /d/later
RUN echo more >> /d/b
RUN rm /d/a && ln /d/c /d/a2
RUN ln /bin/busybox /bin/copy && ln -s /d/b /d/s && ln /d/s /d/hard-symlink
""",
    ),
    Case(
        "devices",
        """\
FROM @base
RUN mkdir /t && mknod /t/char c 1 3 && mknod -m 600 /t/block b 7 300 && mknod /t/big c 511 100000 && mkfifo /t/fifo
RUN chown 4000000000 /t/char && rm /t/block && mkfifo /t/block && mv /t/big /t/moved
""",
    ),
    Case(
        "fifos-modes-and-large-ids",
        """\
FROM @base
RUN mkdir /t && mkfifo /t/fifo && touch /t/large /t/medium
RUN chown 4000000000:4000000001 /t/large && chown 2097152:2097151 /t/medium && chown 4000000000 /t/fifo
RUN mkdir -m 0 /t/none && touch /t/all && chmod 7777 /t/all && mkdir -m 3777 /t/shared
RUN chmod 600 /t/large /t/fifo
""",
    ),
    Case(
        "sparse-and-large-files",
        """\
FROM @base
RUN dd if=/dev/zero of=/hole bs=1 count=1 seek=20000000 && truncate -s 5000000 /empty-hole && printf end >> /empty-hole
RUN dd if=/dev/zero bs=1048576 count=8 of=/zeroes && printf x | dd of=/zeroes bs=1 seek=4000000 conv=notrunc
""",
    ),
    Case(
        "times",
        """\
FROM @base
RUN touch -d '1995-05-05 05:05:05' /past && touch -d '1980-01-01 00:00:00' /etc/passwd
RUN touch -d @-3600 /before-1970 && ln -s x /s && touch -h -d '2000-01-01 00:00:00' /s
""",
    ),
    Case(
        "names-in-a-run",
        """\
FROM @base
RUN mkdir /n && cd /n && touch 'é ü 日本' 'a b' $(printf 'new\\nline') $(printf %0200d 1) \\
 && mkdir -p $(printf 'x%0120d/' 1 2 3 4) && touch $(printf 'x%0120d/' 1 2 3 4)/file && ln -s $(printf %0180d 2) link
RUN cd /n && ln $(printf 'x%0120d/' 1 2 3 4)/file hard && rm 'a b'
""",
    ),
    Case(
        "volumes",
        """\
FROM @base
RUN mkdir /before && echo 1 > /before/kept
VOLUME /before /fresh
COPY file /before/copied
COPY file /fresh/copied
""",
        {"file": "copied"},
    ),
    Case(
        "volumes-changed-by-a-run",
        """\
FROM @base
RUN mkdir /before && echo 1 > /before/kept
VOLUME /before /fresh
RUN echo 2 > /before/added; mkdir -p /fresh && echo 3 > /fresh/added
""",
    ),
    Case(
        "what-a-container-has-mounted",
        """\
FROM @base
RUN cat /etc/hosts /etc/resolv.conf > /dev/null; touch /dev/shm/y /etc/other && mkdir -p /run
RUN echo kept > /run/kept && echo tmp > /tmp/kept
""",
    ),
    Case("files-in-dev", "FROM @base\nRUN touch /dev/x; mkdir /dev/dir; true\n"),
    Case(
        "mount-points-of-the-image",
        """\
FROM @base
COPY hosts /etc/hosts
COPY resolv.conf /etc/resolv.conf
RUN cat /etc/hosts > /dev/null
RUN echo x > /y
""",
        {"hosts": "1.2.3.4 own", "resolv.conf": "nameserver 9.9.9.9\n"},
    ),
    Case("no-directories-to-mount-on", "FROM @bare\nRUN echo 1 > /file\nRUN echo 2 > /file2\n"),
    Case(
        "mounts-of-a-run",
        """\
FROM @base
RUN --mount=type=cache,target=/var/cache/new echo cached > /var/cache/new/file
RUN --mount=type=tmpfs,target=/scratch/deep echo gone > /scratch/deep/file
RUN --mount=type=cache,target=/home/app,id=x touch /home/app/gone
RUN --mount=type=cache,target=/var/cache/new cat /var/cache/new/file > /seen
""",
    ),
    Case(
        "a-users-files",
        """\
FROM @base
RUN mkdir -m 777 /w
USER app
RUN umask > /w/umask; touch /w/file; mkdir /w/dir; ln -s x /w/link; umask 077; touch /w/private
USER 4321:1234
RUN touch /w/number
""",
    ),
    Case(
        "nothing-changes",
        "FROM @base\nRUN true\nRUN cat /etc/passwd > /dev/null\nRUN chmod 755 /bin && touch -c /none\n",
    ),
]
