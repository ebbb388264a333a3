"""What holds for any input: mistakes are DockerfileErrors, places are real, rules count in order."""

from __future__ import annotations

import posixpath

from hypothesis import example, given
from hypothesis import strategies as st

from coopery.dockerfile import parse
from coopery.dockerfile.durations import parse_duration
from coopery.dockerfile.expand import expand, expand_shown, expand_words
from coopery.dockerfile.faults import Fault
from coopery.dockerfile.ignore import IgnoreRules
from coopery.dockerfile.instructions import Command, Copy, Dockerfile, Instruction, Onbuild, Run
from coopery.dockerfile.words import SPACE
from coopery.errors import DockerfileError

REAL = """\
# syntax=docker/dockerfile:1
# escape=\\
ARG BASE=debian:12 OTHER="a b"
# the builder
FROM --platform=$BUILDPLATFORM ${BASE} AS build
SHELL ["/bin/bash", "-c"]
ENV A=1 B="two words" C=th\\ ree
RUN --mount=type=cache,target=/var/cache/apt apt-get update && \\
    # comment

    apt-get install -y gcc
COPY --chown=1:1 <<EOF <<-"END" src/ /srv/
some $A text
EOF
\ttext
\tEND
ONBUILD RUN <<X
true
X
HEALTHCHECK --interval=1m30s --retries=3 CMD ["curl", "-f", "localhost"]
FROM scratch
COPY --from=build /a /b
LABEL k=v
EXPOSE 80/tcp
VOLUME ["/data"]
STOPSIGNAL SIGTERM
USER 1000:1000
WORKDIR /srv
ENTRYPOINT ["/a"]
CMD ["--help"]
"""
PIECES = [
    *(
        "<<E",
        "<<-E\n",
        "E\n",
        "\\\n",
        "\\",
        "`",
        '"',
        "'",
        "[",
        "]",
        "#",
        "\n",
        "\r\n",
        " ",
        "\t",
        "--",
        "=",
        "$",
        "${",
    ),
    *("}", "ONBUILD ", "RUN ", "FROM a\n", "ENV ", "--link ", "\0", "\ufeff", "\u00a0", "\x1c", "\u2028", "\ud800"),
    *("# escape=`\n", "[" * 2000, "1" * 5000 + "<<E", "9" * 5000 + "h"),
]


def instructions(dockerfile: Dockerfile) -> list[Instruction]:
    return [*dockerfile.global_args, *(one for stage in dockerfile.stages for one in stage.instructions)]


def check(text: str | bytes) -> None:
    try:
        parsed = parse(text)
    except DockerfileError as error:
        assert error.location is not None
        assert 1 <= error.location.line <= error.location.end_line
        error.detail.encode()  # can be shown
        return
    last = 0
    for place in sorted(
        [one.location for one in instructions(parsed)] + [stage.location for stage in parsed.stages],
        key=lambda location: location.line,
    ):
        assert last < place.line <= place.end_line <= len(parsed.lines)
        last = place.end_line
    for one in instructions(parsed):
        written = "".join(parsed.lines[one.location.line - 1 : one.location.end_line])
        assert one.original.split()[0] in written.replace("\\", "").replace("`", "")
        assert one.original == one.original.strip(SPACE)
        assert "\n" not in one.original
        repr(one).encode()
        if isinstance(one, Command):
            assert one.argv or not one.shell_form
    for stage in parsed.stages:
        assert stage.base
        assert stage.name == stage.name.lower()


@given(st.one_of(st.text(), st.binary()))
def test_any_text_is_parsed_or_refused(text: str | bytes) -> None:
    check(text)


@given(st.data())
def test_any_change_of_a_real_file_is_parsed_or_refused(data: st.DataObject) -> None:
    text = REAL
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.sampled_from([0, 0, 1, 5, 40]))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[end:]
    check(text)


@given(st.lists(st.sampled_from([*PIECES, "EXPOSE 80", "COPY a b", "HEALTHCHECK ", "CMD "])).map("".join))
def test_any_instruction_is_parsed_or_refused(text: str) -> None:
    check(f"FROM a\n{text}")


@given(st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"])))
def test_heredoc_bodies_come_through_as_they_are(line: str) -> None:
    body = f"{line}\n# {line}\n\n\\\n{line} \\\n"
    run, copy = parse(f"FROM a\nRUN <<'EOF=='\n{body}EOF==\nCOPY <<EOF== /x\n{body}EOF==\n").stages[0].instructions
    assert isinstance(run, Run) and isinstance(copy, Copy)
    assert [one.heredocs[0].content for one in (run, copy)] == [body, body]
    assert [one.heredocs[0].expand for one in (run, copy)] == [False, True]


@given(st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"])))
def test_a_trigger_with_a_heredoc_can_be_parsed_again(line: str) -> None:
    (onbuild,) = parse(f"FROM a\nONBUILD RUN <<EOF==\n\t{line}\nEOF==\n").stages[0].instructions
    assert isinstance(onbuild, Onbuild)
    (run,) = parse(f"FROM a\n{onbuild.trigger}\n").stages[0].instructions
    assert isinstance(run, Run)
    assert run.heredocs[0].content == f"\t{line}\n"


@given(st.text(st.characters(exclude_characters="$'\"\\", exclude_categories=["Cs"])))
def test_text_without_special_characters_expands_to_itself(text: str) -> None:
    assert expand(text, {}).text == text
    assert expand(f"'{text}'", {}).text == text
    assert expand(f'"{text}"', {}).text == text
    assert expand("$A", {"A": text}).text == text
    assert expand("${A:-x}", {"A": f"a{text}"}).text == f"a{text}"
    assert expand_shown(text, {}) == text


@given(st.text("ab*?/\\$`{}'\"#%:-+?_ \n<Xé"), st.sampled_from("\\`"))
@example("${a:-" * 2000, "\\")
@example("${a//" + "*a" * 200 + "/}", "\\")
def test_any_word_is_expanded_or_refused(word: str, escape: str) -> None:
    variables = {"a": "a" * 300, "b": "", "X": "a b\nc"}
    try:
        expansion = expand(word, variables, escape)
    except DockerfileError:
        return
    assert expansion.unmatched.isdisjoint(variables)
    expand_words(word, variables, escape)
    expand_shown(word, variables, escape)


@given(st.text("ab/.", max_size=12), st.sampled_from(["*", "*a", "a*", "?", "*/", "*.", "a?b", "", "*a*b", "b*a*"]))
def test_trimming_takes_the_shortest_and_the_longest(value: str, pattern: str) -> None:
    """Against the definition, tried out on every prefix and suffix."""
    from fnmatch import fnmatchcase

    cuts = range(len(value) + 1)
    prefixes = [at for at in cuts if fnmatchcase(value[:at], pattern)]
    suffixes = [at for at in cuts if fnmatchcase(value[at:], pattern)]
    variables = {"V": value}
    assert expand(f"${{V#{pattern}}}", variables).text == (value[min(prefixes) :] if prefixes else value)
    assert expand(f"${{V##{pattern}}}", variables).text == (value[max(prefixes) :] if prefixes else value)
    assert expand(f"${{V%{pattern}}}", variables).text == (value[: max(suffixes)] if suffixes else value)
    assert expand(f"${{V%%{pattern}}}", variables).text == (value[: min(suffixes)] if suffixes else value)


@given(st.integers(0, 10**15))
def test_durations_add_up(nanoseconds: int) -> None:
    seconds, rest = divmod(nanoseconds, 10**9)
    assert parse_duration(f"{seconds}s{rest}ns") == nanoseconds
    assert parse_duration(f"-{seconds}s{rest}ns") == -nanoseconds


@given(st.text("0123456789.+-nsuµmh", max_size=30))
def test_any_duration_is_read_or_refused(text: str) -> None:
    try:
        parse_duration(text)
    except Fault as fault:
        assert fault.message


NAMES = st.sampled_from(["a", "b", "ab", "c.o", ".x"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "**", "?b", "*.o", "[ab]"]), min_size=1, max_size=3).map("/".join)
RULES = st.lists(st.tuples(st.booleans(), PATTERNS), max_size=6)


def text_of(rules: list[tuple[bool, str]]) -> str:
    return "\n".join(f"{'!' * exception}{pattern}" for exception, pattern in rules)


def parents(path: str) -> list[str]:
    found = []
    while path:
        found.append(path)
        path = posixpath.dirname(path)
    return found


@given(RULES, PATHS)
def test_last_match_wins(rules: list[tuple[bool, str]], path: str) -> None:
    """Against each rule asked by itself, about the path and about every directory above it."""
    verdict = False
    for exception, pattern in rules:
        alone = IgnoreRules.parse(pattern)
        if any(alone.ignored(parent) for parent in parents(path)):
            verdict = not exception
    assert IgnoreRules.parse(text_of(rules)).ignored(path) is verdict


@given(RULES, PATHS)
def test_directories_left_out_hold_nothing_that_counts(rules: list[tuple[bool, str]], path: str) -> None:
    parsed = IgnoreRules.parse(text_of(rules))
    if not parsed.ignored(path):
        for directory in parents(path)[1:]:
            assert not parsed.ignored(directory) or parsed.may_contain_exceptions(directory)


@given(st.one_of(st.text(), st.text("ab*?[]^-\\!/#. \n"), st.binary()), PATHS)
def test_any_ignore_file_is_read_or_refused(text: str | bytes, path: str) -> None:
    try:
        rules = IgnoreRules.parse(text)
    except DockerfileError as error:
        assert error.location is not None
        return
    rules.ignored(path)
    rules.may_contain_exceptions(path)
