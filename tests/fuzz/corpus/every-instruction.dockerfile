# syntax=docker/dockerfile:1
# check=skip=StageNameCasing;error=true
ARG BASE=base:1 OTHER="a b" PLAIN
FROM --platform=$BUILDPLATFORM ${BASE} AS build
SHELL ["/bin/sh", "-ec"]
ARG BASE VERSION=${BASE#*:} FLAG
ENV A=1 B="two words" C=th\ ree D='$A' E=${A:+set} PATH=/opt/bin:$PATH
RUN --mount=type=cache,target=/var/cache,sharing=locked --network=none make \
    # why
    "all of it" \

    && make install
COPY --chown=1:1 --chmod=u+x,go=rX --exclude=*.o src/ [a-z]*.c /srv/
ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 https://host.example/a.tgz /a/
ONBUILD COPY --from=build /a /b
HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD ["curl", "-f", "localhost"]
FROM scratch
COPY --link --from=build /srv /srv
COPY --parents ./a/./b **/c /d/
LABEL k=v "two words"='$VERSION' old.style=
EXPOSE 80/tcp 8000-8010/udp $A
VOLUME ["/data", "/more"]
STOPSIGNAL SIGTERM
USER 1000:1000
WORKDIR /srv/../srv
MAINTAINER Ann Other <ann@host.example>
ENTRYPOINT ["/a"]
CMD run --help
