"""Whole Dockerfiles, as people write them, and what is wrong with them."""

from __future__ import annotations

from typing import TypeVar

import pytest

from coopery.dockerfile import parse, parse_instruction
from coopery.dockerfile.heredocs import sole_heredoc
from coopery.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from coopery.errors import DockerfileError, Location

T = TypeVar("T", bound=Instruction)


def one(kind: type[T], text: str, escape: str = "\\") -> T:
    """The only instruction of a stage."""
    parsed = parse(f"# escape={escape}\nFROM scratch\n{text}\n")
    (instruction,) = parsed.stages[0].instructions
    assert isinstance(instruction, kind)
    return instruction


def fails(text: str | bytes) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    return caught.value


def kinds(dockerfile: Dockerfile, stage: int = 0) -> list[str]:
    return [instruction.keyword for instruction in dockerfile.stages[stage].instructions]


# ------------------------------------------------------------------------------------------ whole files


def test_python_service() -> None:
    parsed = parse(
        """\
FROM python:3.12-slim
LABEL org.opencontainers.image.title="orders" \\
      org.opencontainers.image.description="Takes orders, ships them"
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
WORKDIR /srv/orders
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY --chown=1000:1000 . .
USER 1000
EXPOSE 8000/tcp 9100
HEALTHCHECK --interval=30s --timeout=2.5s --retries=3 CMD ["python", "-m", "orders.ping"]
ENTRYPOINT ["python", "-m", "orders"]
CMD ["--port", "8000"]
"""
    )
    (stage,) = parsed.stages
    assert (stage.base, stage.name, stage.platform, stage.index) == ("python:3.12-slim", "", "", 0)
    label, env, workdir, copy, run, _, user, expose, health, entrypoint, cmd = stage.instructions
    assert isinstance(label, Label) and isinstance(env, Env) and isinstance(health, Healthcheck)
    assert label.pairs == (
        ("org.opencontainers.image.title", '"orders"'),
        ("org.opencontainers.image.description", '"Takes orders, ships them"'),
    )
    assert label.location == Location("Dockerfile", 2, 3)
    assert label.original == (
        'LABEL org.opencontainers.image.title="orders"       '
        'org.opencontainers.image.description="Takes orders, ships them"'
    )
    assert env.pairs == (("PYTHONUNBUFFERED", "1"), ("PIP_NO_CACHE_DIR", "1"))
    assert isinstance(workdir, Workdir) and workdir.path == "/srv/orders"
    assert isinstance(copy, Copy) and (copy.sources, copy.destination) == (("requirements.txt",), ".")
    assert isinstance(run, Run) and run.shell_form and run.argv == ("pip install -r requirements.txt",)
    assert isinstance(user, User) and user.user == "1000"
    assert isinstance(expose, Expose) and expose.ports == ("8000/tcp", "9100")
    assert health.test == ("CMD", "python", "-m", "orders.ping")
    assert (health.interval, health.timeout, health.retries) == (30 * 10**9, 25 * 10**8, 3)
    assert isinstance(entrypoint, Entrypoint) and entrypoint.argv == ("python", "-m", "orders")
    assert isinstance(cmd, Cmd) and not cmd.shell_form


def test_go_in_several_stages() -> None:
    parsed = parse(
        """\
# syntax=docker/dockerfile:1
ARG GO=1.23
ARG BASE=gcr.io/distroless/static

FROM --platform=$BUILDPLATFORM golang:${GO} AS Build
ARG TARGETOS TARGETARCH="amd64"
RUN --mount=type=cache,target=/root/.cache/go-build \\
    --mount=type=bind,target=. \\
    GOOS=$TARGETOS go build -o /out/app ./cmd/app

FROM build as test
RUN --network=none go test ./...

FROM ${BASE}
COPY --from=build --link --chmod=0755 /out/app /app
ENTRYPOINT ["/app"]
"""
    )
    assert parsed.directives == (("syntax", "docker/dockerfile:1"),)
    assert [arg.args for arg in parsed.global_args] == [
        (("GO", "1.23"),),
        (("BASE", "gcr.io/distroless/static"),),
    ]
    assert [(stage.index, stage.name, stage.base, stage.platform) for stage in parsed.stages] == [
        (0, "build", "golang:${GO}", "$BUILDPLATFORM"),
        (1, "test", "build", ""),
        (2, "", "${BASE}", ""),
    ]
    arg, run = parsed.stages[0].instructions
    assert isinstance(arg, Arg) and arg.args == (("TARGETOS", None), ("TARGETARCH", '"amd64"'))
    assert isinstance(run, Run)
    assert run.mounts == ("type=cache,target=/root/.cache/go-build", "type=bind,target=.")
    assert run.argv == ("GOOS=$TARGETOS go build -o /out/app ./cmd/app",)
    (test,) = parsed.stages[1].instructions
    assert isinstance(test, Run) and test.network == "none"
    copy = parsed.stages[2].instructions[0]
    assert isinstance(copy, Copy)
    assert (copy.source_from, copy.link, copy.chmod) == ("build", True, "0755")


def test_long_apt_line_with_comments_and_blank_lines() -> None:
    parsed = parse(
        """\
FROM debian:12
RUN apt-get update && \\
    # build tools
    apt-get install -y \\
        gcc \\

        # an indented comment
# and one at the margin
        make \\\t
    && rm -rf /var/lib/apt/lists/*
CMD ["bash"]
"""
    )
    run, cmd = parsed.stages[0].instructions
    assert run.original == (
        "RUN apt-get update &&     apt-get install -y         gcc         make     && rm -rf /var/lib/apt/lists/*"
    )
    assert run.location == Location("Dockerfile", 2, 10)
    assert cmd.location == Location("Dockerfile", 11, 11)


def test_windows_paths_with_a_backtick_as_escape() -> None:
    parsed = parse(
        "# escape=`\r\n"
        "FROM mcr.microsoft.com/windows/nanoserver\r\n"
        "COPY testfile.txt c:\\\r\n"
        "RUN dir `\r\n"
        "    c:\\\r\n"
        "ENV A=b` c D=e\r\n"
    )
    assert parsed.escape == "`"
    copy, run, env = parsed.stages[0].instructions
    assert isinstance(copy, Copy) and copy.destination == "c:\\"
    assert isinstance(run, Run) and run.argv == ("dir     c:\\",)
    assert isinstance(env, Env) and env.pairs == (("A", "b` c"), ("D", "e"))


def test_heredocs_of_every_kind() -> None:
    parsed = parse(
        """\
FROM debian:12
RUN <<EOF
set -e
apt-get update   # not a comment of the Dockerfile
FROM this is text
EOF
COPY --chown=www <<index.html <<-"robots.txt" static/ /srv/www/
<h1>$TITLE</h1>
index.html
\t\tUser-agent: $ANY
\trobots.txt
RUN 3<<ONE cat <<-'TWO' /dev/fd/3
1
ONE
\t2
\tTWO
USER www
"""
    )
    script, copy, cat, user = parsed.stages[0].instructions
    assert isinstance(script, Run) and isinstance(copy, Copy) and isinstance(cat, Run)
    assert script.argv == ("<<EOF",)
    assert script.shell_form
    assert sole_heredoc(script) == script.heredocs[0]
    assert script.heredocs[0].content == (
        "set -e\napt-get update   # not a comment of the Dockerfile\nFROM this is text\n"
    )
    assert script.location == Location("Dockerfile", 2, 6)

    assert copy.sources == ("static/", "index.html", "robots.txt")
    assert copy.destination == "/srv/www/"
    index, robots = copy.heredocs
    assert (index.name, index.expand, index.chomp, index.content) == ("index.html", True, False, "<h1>$TITLE</h1>\n")
    assert (robots.name, robots.expand, robots.chomp, robots.content) == (
        "robots.txt",
        False,
        True,
        "User-agent: $ANY\n",
    )

    assert sole_heredoc(cat) is None
    assert cat.argv == ("3<<ONE cat <<-'TWO' /dev/fd/3",)
    assert [(body.name, body.fd, body.expand, body.content) for body in cat.heredocs] == [
        ("ONE", 3, True, "1\n"),
        ("TWO", 0, False, "2\n"),
    ]
    assert user.location == Location("Dockerfile", 17, 17)


@pytest.mark.parametrize("marker", ['<<"EOF"', "<<-EOF", "<<'EOF'", "<< EOF", "0<<EOF"])
def test_a_run_of_one_heredoc_only(marker: str) -> None:
    run = one(Run, f"RUN --network=host {marker}\n#!/bin/sh\ntrue\nEOF")
    heredoc = sole_heredoc(run)
    assert heredoc is not None
    assert heredoc.content == "#!/bin/sh\ntrue\n"


@pytest.mark.parametrize(
    "command",
    [
        "echo $((1<<2))",
        "cat <<<word",
        "echo '<<EOF'",
        'echo "a <<EOF b"',
        '["cat", "<<EOF"]',
        "echo \\<<EOF",
    ],
)
def test_no_heredoc_here(command: str) -> None:
    assert one(Run, f"RUN {command}").heredocs == ()


def test_heredoc_in_a_file_with_carriage_returns_keeps_them() -> None:
    parsed = parse(b"FROM a\r\nCOPY <<E /x\r\none\r\n\r\nE\r\nUSER me\r\n")
    copy, user = parsed.stages[0].instructions
    assert isinstance(copy, Copy) and copy.heredocs[0].content == "one\r\n\r\n"
    assert isinstance(user, User) and user.user == "me"


def test_base_image_with_triggers() -> None:
    parsed = parse(
        """\
FROM node:20
ONBUILD ARG NODE_ENV=production
ONBUILD COPY package.json \\
    package-lock.json ./
ONBUILD RUN <<-EOF
\tnpm ci
\tnpm cache clean
\tEOF
onbuild entrypoint ["node"]
"""
    )
    triggers = [onbuild.trigger for onbuild in parsed.stages[0].instructions if isinstance(onbuild, Onbuild)]
    assert triggers == [
        "ARG NODE_ENV=production",
        "COPY package.json     package-lock.json ./",
        "RUN <<-EOF\n\tnpm ci\n\tnpm cache clean\nEOF",
        'entrypoint ["node"]',
    ]
    place = Location("child/Dockerfile", 7, 7)
    fired = [parse_instruction(trigger, place) for trigger in triggers]
    assert [instruction.keyword for instruction in fired] == ["ARG", "COPY", "RUN", "ENTRYPOINT"]
    assert all(instruction.location == place for instruction in fired)
    script = fired[2]
    assert isinstance(script, Run)
    assert script.heredocs[0].content == "npm ci\nnpm cache clean\n"


def test_all_flags_of_copy_add_and_run() -> None:
    copy = one(
        Copy,
        "COPY --from=b --chown=u:g --chmod=u=rwX --link --parents --exclude=*.o --exclude='a b' ./x/./y /z",
    )
    assert (copy.source_from, copy.chown, copy.chmod) == ("b", "u:g", "u=rwX")
    assert (copy.link, copy.parents, copy.exclude) == (True, True, ("*.o", "a b"))
    add = one(
        Add, "ADD --checksum=sha256:00 --keep-git-dir=true --unpack=false --chmod=644 --exclude=x --link=FALSE u d/"
    )
    assert (add.checksum, add.keep_git_dir, add.unpack, add.chmod) == ("sha256:00", True, False, "644")
    assert (add.exclude, add.link) == (("x",), False)
    bare = one(Add, "ADD u d/")
    assert (bare.keep_git_dir, bare.unpack, bare.link) == (None, None, False)
    run = one(Run, "RUN --security=insecure --network=default -- --mount=x")
    assert (run.security, run.network, run.mounts, run.argv) == ("insecure", "default", (), ("--mount=x",))


def test_old_style_file() -> None:
    parsed = parse(
        """\
from ubuntu
maintainer Jane Doe <jane@example.org>
env PATH /opt/bin:$PATH
env GREETING hello  "wide"   world
label version 1.0
volume /data /var/log/app
volume ["/with space", "/b"]
add http://example.org/a.tar.gz /tmp/
stopsignal SIGQUIT
shell ["/bin/bash", "-o", "pipefail", "-c"]
expose 80 443
healthcheck none
cmd exec app --flag
"""
    )
    instructions = parsed.stages[0].instructions
    assert instructions[0] == Maintainer(
        name="Jane Doe <jane@example.org>",
        location=Location("Dockerfile", 2, 2),
        original="maintainer Jane Doe <jane@example.org>",
    )
    assert [pairs.pairs for pairs in instructions if isinstance(pairs, Env | Label)] == [
        (("PATH", "/opt/bin:$PATH"),),
        (("GREETING", 'hello  "wide"   world'),),
        (("version", "1.0"),),
    ]
    assert [volume.paths for volume in instructions if isinstance(volume, Volume)] == [
        ("/data", "/var/log/app"),
        ("/with space", "/b"),
    ]
    assert kinds(parsed)[6:] == ["ADD", "STOPSIGNAL", "SHELL", "EXPOSE", "HEALTHCHECK", "CMD"]
    signal, shell, _, health, cmd = instructions[7:]
    assert isinstance(signal, Stopsignal) and signal.signal == "SIGQUIT"
    assert isinstance(shell, Shell) and shell.argv == ("/bin/bash", "-o", "pipefail", "-c")
    assert isinstance(health, Healthcheck) and health.test == ("NONE",)
    assert isinstance(cmd, Cmd) and cmd.argv == ("exec app --flag",)


def test_comments_describe_what_they_stand_above() -> None:
    parsed = parse(
        """\
# check=skip=all
# a licence, cut off by an empty comment
#
# VERSION of the base
  # in two lines

ARG VERSION=1
# app is the default
FROM alpine:$VERSION AS app
# why
RUN true
RUN false
"""
    )
    assert parsed.directives == (("check", "skip=all"),)
    assert parsed.global_args[0].doc == "VERSION of the base\nin two lines"
    assert parsed.stages[0].doc == "app is the default"
    assert [run.doc for run in parsed.stages[0].instructions] == ["why", ""]


def test_byte_order_mark_and_no_line_break_at_the_end() -> None:
    parsed = parse(b"\xef\xbb\xbf# escape=`\nFROM a")
    assert (parsed.escape, parsed.stages[0].base) == ("`", "a")
    assert parsed.lines == ("# escape=`", "FROM a")


def test_continuation_at_the_end_of_the_file() -> None:
    (run,) = parse("FROM a\nRUN x && \\\n  # nothing follows\n").stages[0].instructions
    assert run.original == "RUN x &&"
    assert run.location == Location("Dockerfile", 2, 3)


def test_an_escaped_escape_at_the_end_continues_nothing() -> None:
    first, second = parse("FROM a\nRUN echo \\\\\nRUN echo 2 \\ \t\n  3\n").stages[0].instructions
    assert isinstance(first, Run) and first.argv == ("echo \\\\",)
    assert isinstance(second, Run) and second.argv == ("echo 2   3",)


def test_bytes_that_are_not_utf8_may_stand_in_comments() -> None:
    parsed = parse(b"# Gr\xfc\xdfe\nFROM a\nRUN x \\\n # Gr\xfc\xdfe\n y\n")
    assert parsed.lines[0] == "# Gr??e"
    assert kinds(parsed) == ["RUN"]


def test_a_directive_after_anything_else_is_a_comment() -> None:
    for start in ("\n", "# comment\n", "# unknown=1\n", "ARG A\n"):
        assert parse(f"{start}# escape=`\nFROM a\n").escape == "\\"
    assert parse("#Escape =  `  \n#SYNTAX=x\nFROM a\n").directives == (("escape", "`"), ("syntax", "x"))


# ------------------------------------------------------------------------------------------ single instructions


@pytest.mark.parametrize(
    ("text", "argv", "shell_form"),
    [
        ('CMD ["a", "b c"]', ("a", "b c"), False),
        ('CMD   [ "a" ]  ', ("a",), False),
        ('CMD ["\\u00e9\\n"]', ("é\n",), False),
        ("CMD []", (), False),
        ("CMD ['a', 'b']", ("['a', 'b']",), True),
        ('CMD ["a",]', ('["a",]',), True),
        ('CMD ["a"] b', ('["a"] b',), True),
        ("CMD [NaN]", ("[NaN]",), True),
        ("CMD [ -f x ] && y", ("[ -f x ] && y",), True),
        ("CMD a  b", ("a  b",), True),
        ("CMD a -- --b", ("a -- --b",), True),
    ],
)
def test_exec_and_shell_form(text: str, argv: tuple[str, ...], shell_form: bool) -> None:
    cmd = one(Cmd, text)
    assert (cmd.argv, cmd.shell_form) == (argv, shell_form)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("ENV a=b", [("a", "b")]),
        ("ENV a= b=''", [("a", ""), ("b", "''")]),
        ("ENV a=\"b c\" d='e f' g=h\\ i", [("a", '"b c"'), ("d", "'e f'"), ("g", "h\\ i")]),
        ('ENV a=b"c d"e f=\\"g', [("a", 'b"c d"e'), ("f", '\\"g')]),
        ("ENV a=b=c", [("a", "b=c")]),
        ("ENV a b=c", [("a", "b=c")]),
        ("ENV\ta\t b  c ", [("a", "b  c")]),
        ('ENV a="never closed b=c', [("a", '"never closed b=c')]),
        ('ENV "a b"=c', [('"a b"', "c")]),
    ],
)
def test_names_and_values(text: str, pairs: list[tuple[str, str]]) -> None:
    assert one(Env, text).pairs == tuple(pairs)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1h30m", 5400 * 10**9),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("250ms", 250_000_000),
        ("1ms", 1_000_000),
        ("1000µs", 1_000_000),
        ("0", 0),
        ("0s", 0),
        ("+2m", 120 * 10**9),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert one(Healthcheck, f"HEALTHCHECK --start-period={text} CMD x").start_period == nanoseconds


def test_healthcheck_of_the_shell() -> None:
    health = one(Healthcheck, 'HEALTHCHECK --start-interval=1s cmd curl -f "http://localhost/" || exit 1')
    assert health.test == ("CMD-SHELL", 'curl -f "http://localhost/" || exit 1')
    assert health.start_interval == 10**9


# ------------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "no instructions"),
        ("# only a comment\n\n", 1, "no instructions"),
        ("ARG A\n", 1, "no FROM"),
        ("ARG A\nRUN x\nFROM a\n", 2, "RUN before the first FROM"),
        ("FROM\n", 1, "FROM needs an argument"),
        ("FROM a b\n", 1, "an image and a name"),
        ("FROM a AS\n", 1, "an image and a name"),
        ("FROM a IS b\n", 1, "an image and a name"),
        ("FROM a AS 1st\n", 1, "can't be called '1st'"),
        ("FROM a AS b/c\n", 1, "can't be called"),
        ("FROM --platfrom=x a\n", 1, "no flag --platfrom"),
        ("FROM --platform a\n", 1, "--platform needs a value"),
        ("FROM --platform=a --platform=b c\n", 1, "given twice"),
        ("# escape=x\nFROM a\n", 1, "can't be 'x'"),
        ("# syntax=a\n# syntax=b\nFROM a\n", 2, "given twice"),
        ("FROM a\n\nRNU x\n", 3, "unknown instruction 'RNU'"),
        ("FROM a\nRUN\xa0x\n", 2, "only looks like a space"),
        ("FROM a\n\\\n\n", 2, "nothing in it"),
        ("FROM a\nRUN\n", 2, "RUN needs a command"),
        ("FROM a\nRUN []\n", 2, "RUN needs a command"),
        ("FROM a\nRUN --mount x\n", 2, "--mount needs a value"),
        ("FROM a\nRUN --network=bridge x\n", 2, "not 'bridge'"),
        ("FROM a\nRUN --security= x\n", 2, "not ''"),
        ("FROM a\nRUN <<EOF\nx\n", 2, "'EOF' has no end"),
        ("FROM a\nCMD\n", 2, "CMD needs a command"),
        ("FROM a\nCMD --flag x\n", 2, "CMD has no flag --flag"),
        ("FROM a\nCMD [1, 2]\n", 2, "only strings"),
        ("FROM a\nCMD [null]\n", 2, "only strings"),
        ('FROM a\nCMD ["a\\u0000b"]\n', 2, "NUL"),
        ("FROM a\nCOPY x\n", 2, "a source and a destination"),
        ("FROM a\nCOPY\n", 2, "a source and a destination"),
        ('FROM a\nCOPY ["x"]\n', 2, "a source and a destination"),
        ("FROM a\nCOPY --link=maybe x y\n", 2, "either true or false"),
        ("FROM a\nCOPY --link= x y\n", 2, "either true or false"),
        ("FROM a\nCOPY x <<EOF\nEOF\n", 2, "heredoc as its destination"),
        ("FROM a\nCOPY << EOF /x\nEOF\n", 2, "one word of its own"),
        ("FROM a\nADD --from=b x y\n", 2, "ADD has no flag --from"),
        ("FROM a\nENV\n", 2, "ENV needs an argument"),
        ("FROM a\nENV x\n", 2, "a name and a value"),
        ("FROM a\nENV x=1 y\n", 2, "'y' has no `=`"),
        ("FROM a\nENV =1\n", 2, "a name before `=`"),
        ("FROM a\nLABEL x\n", 2, "LABEL needs a name and a value"),
        ("FROM a\nARG =1\n", 2, "ARG needs a name"),
        ("FROM a\nARG\n", 2, "ARG needs an argument"),
        ("FROM a\nVOLUME []\n", 2, "VOLUME needs a path"),
        ('FROM a\nVOLUME [" "]\n', 2, "VOLUME needs a path"),
        ("FROM a\nSHELL bash -c\n", 2, "JSON list"),
        ("FROM a\nSHELL []\n", 2, "at least one word"),
        ("FROM a\nWORKDIR\n", 2, "WORKDIR needs an argument"),
        ("FROM a\nUSER --x=y me\n", 2, "USER has no flag"),
        ("FROM a\nONBUILD\n", 2, "ONBUILD needs an argument"),
        ("FROM a\nONBUILD ONBUILD RUN x\n", 2, "ONBUILD ONBUILD"),
        ("FROM a\nONBUILD FROM b\n", 2, "FROM isn't allowed"),
        ("FROM a\nONBUILD maintainer b\n", 2, "MAINTAINER isn't allowed"),
        ("FROM a\nONBUILD COPY x\n", 2, "ONBUILD: COPY needs"),
        ("FROM a\nONBUILD NONSENSE x\n", 2, "ONBUILD: unknown instruction"),
        ("FROM a\nHEALTHCHECK\n", 2, "HEALTHCHECK needs an argument"),
        ("FROM a\nHEALTHCHECK curl x\n", 2, "can't be 'curl'"),
        ("FROM a\nHEALTHCHECK CMD\n", 2, "needs a command"),
        ("FROM a\nHEALTHCHECK CMD []\n", 2, "needs a command"),
        ("FROM a\nHEALTHCHECK NONE x\n", 2, "takes no arguments"),
        ("FROM a\nHEALTHCHECK --interval=5 CMD x\n", 2, "has no unit"),
        ("FROM a\nHEALTHCHECK --interval=5d CMD x\n", 2, "unknown unit 'd'"),
        ("FROM a\nHEALTHCHECK --interval=soon CMD x\n", 2, "not a duration"),
        ("FROM a\nHEALTHCHECK --interval=9999999h CMD x\n", 2, "too long"),
        ("FROM a\nHEALTHCHECK --interval=-5s CMD x\n", 2, "less than 1ms"),
        ("FROM a\nHEALTHCHECK --interval=5us CMD x\n", 2, "less than 1ms"),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x\n", 2, "--retries"),
        ("FROM a\nHEALTHCHECK --retries=1_0 CMD x\n", 2, "--retries"),
        ("FROM a\nRUN a\0b\n", 2, "NUL"),
        (b"FROM a\nRUN \\\n gr\xfc\xdfe\n", 3, "isn't UTF-8"),
        (b"FROM a\nCOPY <<E /x\n# \xfc\nE\n", 3, "isn't UTF-8"),
        ("FROM a\n".encode("utf-16"), 1, "UTF-16"),
    ],
)
def test_mistake_is_named_with_its_line(text: str | bytes, line: int, says: str) -> None:
    error = fails(text)
    assert says in error.message
    assert error.location is not None
    assert (error.location.file, error.location.line) == ("Dockerfile", line)
    assert error.message.startswith(f"Dockerfile:{line}: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("FORM a\n", "did you mean FROM?"),
        ("FROM a\ncoppy x y\n", "did you mean COPY?"),
        ("FROM a\nENTRYPIONT x\n", "did you mean ENTRYPOINT?"),
        ("FROM a\napt-get update\n", "is a `\\` missing above?"),
        ("FROM a\nCOPY --form=b x y\n", "did you mean --from?"),
        ("FROM a\nRUN --mont=x y\n", "did you mean --mount?"),
        ("FROM a\nUSER --uid=5\n", "USER takes no flags"),
        ("FROM a\nRUN --device=gpu x\n", "devices of the host"),
        ("FROM a\nENV A=b c\n", "quotes"),
        ("FROM a\nENTRYPOINT\n", "ENTRYPOINT [] clears it"),
    ],
)
def test_mistake_comes_with_advice(text: str, hint: str) -> None:
    assert hint in fails(text).hint


def test_error_shows_the_lines_around_and_points_at_the_word() -> None:
    error = fails("FROM a\nENV abc=1 c\nRUN x\n")
    assert error.detail.splitlines() == [
        "   1 |     FROM a",
        "   2 | >>> ENV abc=1 c",
        "                     ^",
        "   3 |     RUN x",
    ]


def test_first_mistake_wins() -> None:
    assert fails("FROM a\nRUN --x=1 y\nNONSENSE\n").location == Location("Dockerfile", 2, 2)


@pytest.mark.parametrize(
    ("trigger", "says"),
    [
        ("FROM b", "FROM isn't allowed"),
        ("ONBUILD RUN x", "ONBUILD isn't allowed"),
        ("RUN a\nRUN b", "this is 2"),
        ("", "this is 0"),
        ("NONSENSE", "unknown instruction"),
        ("RUN --nonsense=1 x", "no flag --nonsense"),
        ("RUN <<EOF\n", "has no end"),
    ],
)
def test_bad_trigger_is_blamed_on_the_line_that_fires_it(trigger: str, says: str) -> None:
    parsed = parse("ARG A\nFROM broken/base\n", "sub/Dockerfile")
    place = parsed.stages[0].location
    with pytest.raises(DockerfileError, match=r"^sub/Dockerfile:2: ONBUILD: ") as caught:
        parse_instruction(trigger, place, parsed)
    assert says in caught.value.message
    assert ">>> FROM broken/base" in caught.value.detail


def test_a_line_beyond_buildkits_limit_is_refused() -> None:
    parse("FROM x\n# " + "c" * 65533)
    with pytest.raises(DockerfileError, match="Dockerfile:2: the line has 65536 characters"):
        parse("FROM x\n# " + "c" * 65534)
