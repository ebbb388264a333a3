ARG NAME=two
FROM base AS one
ARG A=${B:-${C:-deep}}
ENV A=${A//e/_} B=${A%_*} C=${A##*d}
FROM one AS two
RUN --mount=from=one,source=/a,target=/b --mount=type=secret,id=s,env=S --mount=type=ssh x
FROM ${NAME} AS three
COPY --from=0 /a /b
COPY --from=base:2 /a /c
FROM three
RUN --mount=type=tmpfs,target=/t,size=64m --mount=type=bind,target=.,rw --security=sandbox y
