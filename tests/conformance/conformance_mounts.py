"""Cases of what a RUN sees besides its root: mounts, here-documents, its environment."""

from __future__ import annotations

from conformance_case import Case, link, with_mode

CASES = [
    Case(
        "bind-mounts-of-the-context",
        """\
FROM @base
WORKDIR /work
ARG WHERE=/there
RUN --mount=target=. find . | sort > /all && stat -c '%a %u:%g %n' * d/* > /attributes
RUN --mount=type=bind,source=d,target=$WHERE find $WHERE | sort > /part
RUN --mount=source=d/file,target=/one/file stat -c '%a %u:%g %s %Y' /one/file > /single && cat /one/file >> /single
RUN --mount=source=links/dir,target=/a --mount=source=links/file,target=/b ls /a > /linked && cat /b >> /linked
RUN --mount=source=/d,target=/x,rw echo more >> /x/file && rm /x/private && touch /x/new && ls /x > /written
RUN --mount=source=d,target=/x ls /x > /again; touch /x/new 2>/dev/null || echo read-only >> /again
RUN --mount=target=/work/sub find /work/sub -name file | sort > /sub
""",
        {
            "d/file": "content",
            "d/private": with_mode(0o600),
            "d/tool": with_mode(0o755),
            "links/dir": link("../d"),
            "links/file": link("/d/file"),
            "ignored/file": "x",
            ".dockerignore": "ignored\n",
        },
    ),
    Case(
        "bind-mounts-of-stages-and-images",
        """\
FROM @base AS first
RUN mkdir -p /out/d && echo 1 > /out/d/f && ln -s d /out/link && ln -s /etc /out/up && chown -R 1000:50 /out/d
FROM @base
RUN --mount=from=first,source=/out,target=/m cd /m && stat -c '%a %u:%g %N' d d/f link up > /seen && cat link/f >> /seen
RUN --mount=from=first,source=/out/link,target=/m stat -c '%a %u:%g' /m > /link && ls /m >> /link
RUN --mount=from=first,source=/out/up,target=/m cat /m/passwd > /up
RUN --mount=from=first,target=/m,rw echo x > /m/x && rm -r /m/out && ls /m > /writable
RUN --mount=from=first,target=/m ls /m/out > /unchanged
RUN --mount=from=@tools,target=/t ls / > /own && ls /t > /image
RUN --mount=from=scratch,target=/s,rw ls -A /s | wc -l > /nothing
""",
    ),
    Case(
        "mount-points-that-are-links",
        """\
FROM @base
RUN mkdir -p /real/dir && ln -s /real /absolute && ln -s real/dir /relative && ln -s ../../../../real /up
RUN --mount=target=/absolute/m --mount=target=/relative/m --mount=target=/up/deep/er find /real | sort > /seen
RUN find /real | sort > /left
""",
        {"file": "x"},
    ),
    Case(
        "mounts-hide-what-the-image-has",
        """\
FROM @base
RUN mkdir -p /data/sub && echo own > /data/own && echo own > /data/sub/own
RUN --mount=target=/data ls /data > /one && echo hidden > /hidden
RUN --mount=type=tmpfs,target=/data --mount=type=cache,target=/data/cache ls /data > /two && echo x > /data/x
RUN --mount=source=file,target=/data/own cat /data/own > /three
RUN find /data | sort > /left && cat /data/own >> /left
""",
        {"file": "from the context"},
    ),
    Case(
        "cache-mounts",
        """\
FROM @base AS seed
RUN mkdir -p /s/d && echo seed > /s/d/f
FROM @base
RUN --mount=type=cache,target=/c,id=conformance,from=seed,source=/s cat /c/d/f > /seeded && echo more >> /c/d/f
RUN --mount=type=cache,target=/c,id=conformance,from=seed,source=/s cat /c/d/f > /kept
RUN --mount=type=cache,target=/c,id=conformance2,mode=0750,uid=1000,gid=50 stat -c '%a %u:%g' /c > /owner && touch /c/x
RUN --mount=type=cache,target=/c,id=conformance2,mode=0750,uid=1000,gid=50 ls /c > /same
RUN --mount=type=cache,target=/c,id=conformance2 ls /c > /another
RUN --mount=type=cache,target=/c,id=conformance2,ro touch /c/y || echo read-only > /readonly
RUN --mount=type=cache,target=/c,id=conformance2,sharing=locked --mount=type=cache,target=/d ls /c /d > /several
""",
    ),
    Case(
        "optional-secrets-and-agents",
        """\
FROM @base
RUN --mount=type=secret,id=none --mount=type=ssh ls -A /run/secrets /run/buildkit 2>&1 | wc -l > /none
RUN --mount=type=secret,id=none,env=NONE env | grep -v -e ^OTEL -e ^TRACE | sort > /env
""",
    ),
    Case(
        "what-a-run-is-told",
        """\
FROM @base
ARG HTTP_PROXY
ARG ONE=1
ENV TWO=2
RUN env | grep -v -e ^OTEL -e ^TRACE | sort > /env
RUN hostname > /hostname && cat /etc/hosts > /hosts-of-it
USER app
RUN env | grep -v -e ^OTEL -e ^TRACE | sort > /tmp/env
RUN pwd > /tmp/pwd && id > /tmp/id && (read x; echo "$?$x") > /tmp/stdin
""",
        args={"HTTP_PROXY": "http://declared:1", "https_proxy": "http://undeclared:2", "NO_PROXY": "here"},
    ),
    Case(
        "here-documents-of-every-kind",
        """\
FROM @base
ARG x=expanded
RUN <<EOF cat > /unquoted && cat <<'END' > /quoted && cat 3<<-TABS <&3 > /descriptor
$x \\$x
EOF
$x \\$x
END
	tabs
		more
	TABS
RUN <<EOF
#!/bin/busybox sh
echo "$0 $x" > /interpreted
EOF
RUN <<-"EOF"
	#!/bin/sh
	echo "$x" > /chomped
	EOF
RUN sh -s one "two three" <<EOF
echo "\\$2" > /arguments
EOF
RUN <<EOF /bin/cat > /first; cat <<EOF2 > /second
first
EOF
second
EOF2
SHELL ["/bin/sh", "-ec"]
RUN <<EOF
false || true
echo "$-" > /flags
EOF
SHELL ["/bin/echo", "shell:"]
RUN <<EOF
not run
EOF
ONBUILD RUN <<EOF
echo never
EOF
""",
    ),
    Case(
        "onbuild-mounts",
        """\
FROM @base AS parent
ONBUILD RUN --mount=target=/m cp /m/file /copied
FROM parent
RUN ls /m || true
""",
        {"file": "x"},
    ),
    Case("run-without-network", "FROM @base\nRUN --network=none ip -o link | cut -d: -f2 > /links\n"),
]
