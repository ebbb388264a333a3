"""Whole Dockerfiles with the oddities that old ones have. BuildKit's parser reads each in the same way."""

from __future__ import annotations

import pytest

from coopery.dockerfile import parse
from coopery.dockerfile.instructions import Add, Cmd, Copy, Entrypoint, Env, Healthcheck, Label, Maintainer, Run, Volume
from coopery.errors import DockerfileError


def of(text: str) -> tuple:
    return parse(f"FROM base\n{text}").stages[0].instructions


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("RUN one \\\n  two", "one   two"),
        ("RUN one \\  \n two", "one  two"),
        ("RUN one\\\ntwo", "onetwo"),
        ("RUN one \\\n\n\n two", "one  two"),
        ("RUN one \\\n# a comment\n two", "one  two"),
        ("RUN one \\\n   # a comment \\\n two", "one  two"),
        ("RUN \\\n one", "one"),
        ("RUN\\\n one", "one"),
        ("RUN \\\n\\\n\\\n one \\\n\\\n", "one"),
        ("RUN one \\", "one"),
        ("RUN one \\\n", "one"),
        ("RUN one \\\n# the end", "one"),
        ("RUN one \\\\\nRUN two", "one \\\\"),
        ("RUN one # no comment", "one # no comment"),
        ("RUN one \\#", "one \\#"),
        ("  RUN   one", "one"),
        ("\tRUN\tone\t", "one"),
        ("run one", "one"),
        ("rUn one\r\n", "one"),
        ("RUN one \\\r\n two\r\n", "one  two"),
        ('RUN echo "a \\\n   b"', 'echo "a    b"'),
        ("RUN [ -f x ]", "[ -f x ]"),
        ("RUN ['one']", "['one']"),
        ('RUN ["one"', '["one"'),
        ('RUN ["one",]', '["one",]'),
        ('RUN ["one"] two', '["one"] two'),
        ("RUN [“one”]", "[“one”]"),
        ('RUN "[one]"', '"[one]"'),
        ("RUN <<<x", "<<<x"),
        ("RUN a << 1", "a << 1"),
    ],
)
def test_a_shell_command_is(text: str, command: str) -> None:
    if "<< " in text:
        text += "\n1"  # which a heredoc it is after all
    run = of(text)[0]
    assert isinstance(run, Run)
    assert (run.argv, run.shell_form) == ((command,), True)


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ('CMD ["one","two three"]', ("one", "two three")),
        ('CMD   [ "one" , "two" ]  ', ("one", "two")),
        ('CMD ["one", \\\n  "two"]', ("one", "two")),
        ("CMD []", ()),
        ("CMD [ ]", ()),
        ('CMD ["\\"", "\\\\", "\\u00e9", "\\n", "/"]', ('"', "\\", "é", "\n", "/")),
        ('CMD ["$HOME", "# none", "<<EOF"]', ("$HOME", "# none", "<<EOF")),
        ('CMD ["é", "\\ud83d\\ude00"]', ("é", "😀")),
    ],
)
def test_a_list_is(text: str, argv: tuple[str, ...]) -> None:
    (cmd,) = of(text)
    assert isinstance(cmd, Cmd)
    assert (cmd.argv, cmd.shell_form) == (argv, False)


@pytest.mark.parametrize(
    "text", ["CMD [1]", 'CMD ["a", 1]', 'CMD [["a"]]', "CMD [null]", 'CMD ["a", {}]', "CMD [true]"]
)
def test_lists_hold_strings(text: str) -> None:
    with pytest.raises(DockerfileError, match="only strings"):
        of(text)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("ENV a b", [("a", "b")]),
        ("ENV a b c=d", [("a", "b c=d")]),
        ("ENV a   b  c", [("a", "b  c")]),
        ("ENV a=b", [("a", "b")]),
        ("ENV a=", [("a", "")]),
        ("ENV a= b=", [("a", ""), ("b", "")]),
        ("ENV a=b=c", [("a", "b=c")]),
        ("ENV a=b c=d", [("a", "b"), ("c", "d")]),
        ("ENV a=b \\\n    c=d", [("a", "b"), ("c", "d")]),
        ("ENV a=b\\\nc", [("a", "bc")]),
        ('ENV a="b c" d', None),
        ('ENV a="b c" d=e', [("a", '"b c"'), ("d", "e")]),
        ("ENV a='b \"c' d=e", [("a", "'b \"c'"), ("d", "e")]),
        ("ENV a=b\\ c d=e", [("a", "b\\ c"), ("d", "e")]),
        ('ENV a="b\\" c" d=e', [("a", '"b\\" c"'), ("d", "e")]),
        ("ENV a='b\\' c=d", [("a", "'b\\'"), ("c", "d")]),
        ('ENV "a"="b"', [('"a"', '"b"')]),
        ('ENV a="b', [("a", '"b')]),
        ("ENV a b \\\n  c", [("a", "b   c")]),
        ('ENV "a b" c', [('"a', 'b" c')]),
        ("ENV a=$b", [("a", "$b")]),
        ("ENV a", None),
        ("ENV =b", None),
        ("ENV a=b =c", None),
    ],
)
def test_variables_are(text: str, pairs: list[tuple[str, str]] | None) -> None:
    for keyword, kind in (("ENV", Env), ("LABEL", Label)):
        if pairs is None:
            with pytest.raises(DockerfileError):
                of(text.replace("ENV", keyword))
            continue
        (instruction,) = of(text.replace("ENV", keyword))
        assert isinstance(instruction, kind)
        assert list(instruction.pairs) == pairs


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("COPY a b", ("a", "b")),
        ("COPY a b c/", ("a", "b", "c/")),
        ('COPY ["a b", "c"]', ("a b", "c")),
        ('COPY ["a", "b", "c d/"]', ("a", "b", "c d/")),
        ('COPY "a b" c', ('"a', 'b"', "c")),
        ("COPY a\\ b c", ("a\\", "b", "c")),
        ("COPY a \\\n  b", ("a", "b")),
        ("COPY [a b]", ("[a", "b]")),
        ("COPY [ab] c", ("[ab]", "c")),
        ("COPY --from=x --chown=1 a b", ("a", "b")),
        ("COPY --chown=1  -- --a b", ("--a", "b")),
        ("COPY a --chown=1", ("a", "--chown=1")),
    ],
)
def test_paths_are(text: str, paths: tuple[str, ...]) -> None:
    for keyword in ("COPY", "ADD"):
        if keyword == "ADD" and "--from" in text:
            continue
        (copy,) = of(text.replace("COPY", keyword))
        assert isinstance(copy, Copy | Add)
        assert (*copy.sources, copy.destination) == paths


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("VOLUME /a", ("/a",)),
        ("VOLUME /a  /b", ("/a", "/b")),
        ('VOLUME ["/a", "/b c"]', ("/a", "/b c")),
        ('VOLUME [" /a "]', ("/a",)),
        ("VOLUME ['/a']", ("['/a']",)),
        ("VOLUME [ /a ]", ("[", "/a", "]")),
    ],
)
def test_volumes_are(text: str, paths: tuple[str, ...]) -> None:
    (volume,) = of(text)
    assert isinstance(volume, Volume)
    assert volume.paths == paths


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("HEALTHCHECK NONE", ("NONE",)),
        ("HEALTHCHECK none", ("NONE",)),
        ("HEALTHCHECK CMD curl -f x", ("CMD-SHELL", "curl -f x")),
        ("HEALTHCHECK --timeout=3s cmd a  b", ("CMD-SHELL", "a  b")),
        ('HEALTHCHECK CMD ["a", "b"]', ("CMD", "a", "b")),
        ("HEALTHCHECK CMD \\\n a", ("CMD-SHELL", "a")),
    ],
)
def test_health_checks_are(text: str, test: tuple[str, ...]) -> None:
    (check,) = of(text)
    assert isinstance(check, Healthcheck)
    assert check.test == test


@pytest.mark.parametrize(
    ("directives", "escape", "known"),
    [
        ("", "\\", {}),
        ("# escape=`\n", "`", {"escape": "`"}),
        ("#escape=\\\n", "\\", {"escape": "\\"}),
        ("#  ESCAPE =  ` \n", "`", {"escape": "`"}),
        ("# syntax=a/b:1\n# escape=`\n", "`", {"syntax": "a/b:1", "escape": "`"}),
        ("# escape=`\n# syntax=x\n# check=skip=all\n", "`", {"escape": "`", "syntax": "x", "check": "skip=all"}),
        ("# a comment\n# escape=`\n", "\\", {}),
        ("# unknown=x\n# escape=`\n", "\\", {}),
        ("\n# escape=`\n", "\\", {}),
        ("# escape\n", "\\", {}),
        ("# escape=\n", "\\", {}),
        ("\ufeff# escape=`\n", "`", {"escape": "`"}),
        ("# syntax = a b  c \n", "\\", {"syntax": "a b  c"}),
    ],
)
def test_directives_are(directives: str, escape: str, known: dict[str, str]) -> None:
    parsed = parse(f"{directives}FROM a\n")
    assert parsed.escape == escape
    assert dict(parsed.directives) == known


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "#", "\ufeff", "# syntax=x\n", "\r\n", "ARG a\n", "RUN a"])
def test_files_without_a_stage_are_refused(text: str) -> None:
    with pytest.raises(DockerfileError):
        parse(text)


def test_places_count_every_line() -> None:
    parsed = parse("# a\n\nFROM a\n\n\n# b\nRUN x \\\n\n# c\n  y\nCOPY <<E /f\n\n#\nE\n\n\nCMD z \\\n")
    places = [(stage.location.line, stage.location.end_line) for stage in parsed.stages]
    places += [(one.location.line, one.location.end_line) for one in parsed.stages[0].instructions]
    assert places == [(3, 3), (7, 10), (11, 14), (17, 17)]


def test_an_old_file_of_every_kind() -> None:
    instructions = of(
        'maintainer   Ann Other "ann@x"  # me\n'
        "add\thttp://x/y\t/z\n"
        "entrypoint   exec   top  -b\n"
        'ENTRYPOINT ["/bin/sh", "-c"]\n'
        "RUN apt-get update \\\n"
        "    && apt-get install -y \\\n"
        "# the compiler\n"
        "       gcc \\\n"
        "\n"
        "       make\n"
        "cmd\n".replace("cmd\n", "cmd x\n")
    )
    assert [type(one) for one in instructions] == [Maintainer, Add, Entrypoint, Entrypoint, Run, Cmd]
    maintainer, _, entrypoint, _, run, _ = instructions
    assert isinstance(maintainer, Maintainer) and maintainer.name == 'Ann Other "ann@x"  # me'
    assert isinstance(entrypoint, Entrypoint) and entrypoint.argv == ("exec   top  -b",)
    assert isinstance(run, Run)
    assert run.argv == ("apt-get update     && apt-get install -y        gcc        make",)
