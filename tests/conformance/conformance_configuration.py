"""Cases of what ends in the configuration: instructions, variables, stages."""

from conformance_case import Case

CASES = [
    Case(
        "every-instruction",
        """\
ARG TAG=unused
FROM @base AS start
MAINTAINER Some One <one@example.org>
ARG VERSION=1
ENV A=1 B="two words" PATH=/opt/bin:$PATH
LABEL one=1 "two words"='2 3' version=$VERSION
EXPOSE 80 53/udp
VOLUME /data "/more"
ADD app.txt /added/
COPY app.txt copied/
RUN echo ran > /ran
USER app
WORKDIR /srv
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --timeout=1m30s --start-period=1h --retries=2 CMD wget -q localhost || exit 1
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT ["/bin/echo", "-n"]
CMD ["hello", "a \\"quote\\""]
ONBUILD RUN echo triggered
ONBUILD COPY . /src
""",
        {"app.txt": "app"},
    ),
    Case("inherited-configuration", "FROM @configured\nRUN id > /tmp/id; pwd > /tmp/pwd\n"),
    Case(
        "replaced-configuration",
        """\
FROM @configured
ENV REPLACED=new ADDED=1
LABEL replaced=new added=1
EXPOSE 2000
VOLUME /added
HEALTHCHECK NONE
SHELL ["/bin/busybox", "sh", "-c"]
RUN echo shell > /tmp/shell
USER 0
WORKDIR sub
STOPSIGNAL 9
""",
    ),
    Case("entrypoint-drops-the-bases-cmd", 'FROM @configured\nENTRYPOINT ["/bin/cat"]\n'),
    Case("entrypoint-keeps-own-cmd", 'FROM @configured\nCMD ["own"]\nENTRYPOINT ["/bin/cat"]\n'),
    Case("empty-entrypoint-and-cmd", "FROM @configured\nENTRYPOINT []\nCMD []\n"),
    Case("cmd-in-shell-form", "FROM @base\nENTRYPOINT exec   top -b\nCMD echo $HOME && echo 'x  y'\n"),
    Case(
        "healthcheck-exec-form",
        'FROM @base\nHEALTHCHECK --interval=1500ms CMD ["true", "x"]\n',
    ),
    Case(
        "expose-forms",
        "FROM @base\nARG PORT=8080\nEXPOSE $PORT ${PORT}/udp 7000-7002 9000-9001/udp\nEXPOSE 80/TCP\n",
    ),
    Case(
        "label-forms",
        """\
FROM @base
ARG who=me
LABEL a=1 b="x y" c='$who' d=$who "e f"="g=h" \\
      i="line \\
continued"
LABEL legacy some value here
LABEL empty="" dotted.name-x=1 j=a\\ b
""",
    ),
    Case(
        "env-forms",
        """\
FROM @base
ENV A=a B=$A
ENV C=$A D=${A} E=${A}x F=$Ax G=\\$A H='$A' I="$A" J=a\\ b
ENV K=${UNSET:-default} L=${A:-default} M=${A:+set} N=${UNSET:+set} O=${UNSET}
ENV legacy form with  spaces and $A
ENV P=${UNSET:-${A}-$C} Q="quoted \\"inner\\" x" R='single "double"' S=a=b=c
ENV A=changed T=$A
RUN env | grep -E '^([A-Z]|legacy)=' | sort > /env
""",
    ),
    Case(
        "env-unset-and-error-forms",
        "FROM @base\nENV EMPTY=\nENV A=${EMPTY-none} B=${EMPTY:-none} C=${UNSET-none} D=${EMPTY+set} E=${UNSET+set}\n",
    ),
    Case(
        "arg-and-env",
        """\
ARG BASE=@base
ARG GLOBAL=global
FROM $BASE
ARG GLOBAL
ARG LOCAL=local WITH=$LOCAL-$GLOBAL
ARG GIVEN=default
ARG UNSET
ARG HIDDEN=arg
ENV HIDDEN=env KEPT=$GIVEN-$GLOBAL-$LOCAL-$HIDDEN-$UNSET
RUN echo "$GLOBAL $LOCAL $GIVEN $HIDDEN $UNSET" > /seen
LABEL seen="$GLOBAL $LOCAL $GIVEN $HIDDEN $UNSET"
ARG LOCAL=again
COPY $LOCAL.txt ${GIVEN}/
WORKDIR /$GLOBAL/$LOCAL
USER ${NOBODY:-app}
""",
        {"again.txt": "x"},
        args={"GIVEN": "given"},
    ),
    Case(
        "predefined-args",
        "FROM @base\nARG TARGETARCH TARGETOS BUILDPLATFORM\nENV A=$TARGETOS-$TARGETARCH-$BUILDPLATFORM\n",
    ),
    Case(
        "args-are-per-stage",
        "FROM @base AS a\nARG X=1\nENV Y=$X\nFROM @base\nENV Z=x$X\nCOPY --from=a /etc/passwd /p\n",
    ),
    Case(
        "args-reach-child-stages",
        "FROM @base AS a\nARG X=1\nFROM a\nENV Y=x$X\nRUN echo x$X > /x\n",
    ),
    Case(
        "comments-and-continuations",
        """\
# a comment
FROM @base
# another
RUN echo one \\
  # inside a command
  && echo two \\

  && echo "# not a comment" > /hash
ENV A=1 \\
# comment
    B=2
  # an indented comment
run echo lower > /lower
Label a=b
""",
    ),
    Case("escape-directive", "# escape=`\nFROM @base\nENV A=C:\\x `\n  B=`$A\nRUN echo '\\' > /x\n"),
    Case(
        "shell-forms",
        """\
FROM @base
SHELL ["/bin/busybox", "sh", "-e", "-c"]
RUN false || echo "$0" > /zero
CMD run this
SHELL ["/bin/sh", "-c"]
RUN ["/bin/sh", "-c", "echo exec $HOME > /exec"]
RUN ["touch", "/a b", "/$HOME"]
""",
    ),
    Case(
        "users",
        """\
FROM @base
RUN chmod 777 /var && id > /var/0
USER app
RUN id > /var/1; echo $HOME >> /var/1
USER 1000:50
RUN id > /var/2
USER 4321
RUN id > /var/3; echo $HOME >> /var/3
USER 4321:8765
RUN id > /var/4
USER nobody:staff
RUN id > /var/5
""",
    ),
    Case(
        "workdirs",
        """\
FROM @base
ENV BASE=/env
WORKDIR /a/b
WORKDIR c
RUN pwd > pwd
WORKDIR ../d
WORKDIR $BASE/x
RUN ln -s /real /link && mkdir /real
WORKDIR /link/inside
RUN touch here
USER app
WORKDIR /made/by/app
WORKDIR /home/app
WORKDIR "/with space/x"
WORKDIR /trailing/
""",
    ),
    Case(
        "unneeded-stages",
        """\
FROM @base AS never
RUN false
FROM @base AS one
RUN echo 1 > /1
FROM one AS two
RUN echo 2 > /2
FROM @base AS after
COPY --from=two /1 /2 /got/
COPY --from=1 /1 /by-number
FROM never
""",
        target="after",
    ),
    Case(
        "stage-names-in-any-case",
        "FROM @base AS One\nRUN echo 1 > /1\nFROM one AS Two\nFROM @base\nCOPY --from=tWo /1 /1\n",
    ),
    Case(
        "onbuild-of-the-base",
        "FROM @onbuild\nRUN echo after >> /app/ran\n",
        {"app.txt": "app"},
    ),
    Case(
        "stage-from-stage-inherits",
        """\
FROM @base AS a
ENV X=1
WORKDIR /a
USER app
LABEL l=1
CMD ["a"]
EXPOSE 1
FROM a AS b
ENTRYPOINT ["e"]
ENV X=2$X
FROM b
USER root
RUN echo $X > x
""",
    ),
    Case(
        "scratch-with-configuration-only",
        'FROM scratch\nENV A=b\nLABEL x=y\nWORKDIR /\nCMD ["/none"]\nCOPY x /\n',
        {"x": ""},
    ),
    Case("no-path-in-the-base", 'FROM @bare\nRUN echo "$PATH" > /path\n'),
    Case(
        "here-documents",
        """\
FROM @base
RUN <<EOF
echo one > /one
echo "$HOME" > /two
EOF
RUN <<'SCRIPT' sh
echo $0 > /three
SCRIPT
RUN <<EOF
#!/bin/busybox sh
echo script > /four
EOF
ARG x=1
COPY <<a <<-"b" <<"c"  /files/
expanded $x
a
	not tabs $x
	b
plain $x
c
COPY --chmod=750 --chown=app <<EOF /single
text
EOF
""",
    ),
]
