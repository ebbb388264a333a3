"""Expansion of variables and quotes: what a Dockerfile's author gets for a word."""

from __future__ import annotations

import pytest

from coopery.dockerfile.expand import expand, expand_shown, expand_words
from coopery.errors import DockerfileError, Location

VARIABLES = {
    "NAME": "tool",
    "VERSION": "1.22.3",
    "EMPTY": "",
    "SPACED": "two words",
    "FILE": "/srv/data/archive.tar.gz",
    "REPEAT": "aXbXc",
    "STARS": "1*2*3",
    "SLASH": "a\\b",
    "ÉTÉ": "summer",
    "_x1": "under",
    "LINES": "one\ntwo",
}

CASES = [
    # nothing to do
    ("", ""),
    ("plain", "plain"),
    ("two  spaces\tand a tab", "two  spaces\tand a tab"),
    ("a<b<<c", "a<b<<c"),
    # plain variables
    ("$NAME", "tool"),
    ("${NAME}", "tool"),
    ("$NAME-$VERSION", "tool-1.22.3"),
    ("${NAME}_x", "tool_x"),
    ("$NAME_x", ""),
    ("$_x1.", "under."),
    ("$ÉTÉ!", "summer!"),
    ("pre${NAME}post", "pretoolpost"),
    ("$UNSET", ""),
    ("[${UNSET}]", "[]"),
    ("$EMPTY", ""),
    ("$SPACED", "two words"),
    # a dollar that names nothing
    ("$", "$"),
    ("cost: 5$", "cost: 5$"),
    ("$ NAME", "$ NAME"),
    ("$.", "$."),
    ("$(pwd)", "$(pwd)"),
    # the shell's own parameters are never set
    ("$1x", "x"),
    ("$12x", "x"),
    ("$$NAME", "NAME"),
    ("a$@b$?c", "abc"),
    # defaults
    ("${UNSET:-other}", "other"),
    ("${UNSET-other}", "other"),
    ("${EMPTY:-other}", "other"),
    ("${EMPTY-other}", ""),
    ("${NAME:-other}", "tool"),
    ("${NAME-other}", "tool"),
    ("${UNSET:-}", ""),
    ("${UNSET:-$NAME/${VERSION}}", "tool/1.22.3"),
    ("${UNSET:-${ALSO_UNSET:-deep}}", "deep"),
    ("${UNSET:-a b}", "a b"),
    ("${UNSET:-'a}b'}", "a}b"),
    ('${UNSET:-"a}b"}', "a}b"),
    ("${UNSET:-a\\}b}", "a}b"),
    # alternatives
    ("${NAME:+yes}", "yes"),
    ("${NAME+yes}", "yes"),
    ("${EMPTY:+yes}", ""),
    ("${EMPTY+yes}", "yes"),
    ("${UNSET:+yes}", ""),
    ("${UNSET+yes}", ""),
    ("${NAME:+--name=$NAME}", "--name=tool"),
    # demands that are met
    ("${NAME:?no name}", "tool"),
    ("${NAME?no name}", "tool"),
    ("${EMPTY?no value}", ""),
    # prefixes and suffixes
    ("${FILE#*/}", "srv/data/archive.tar.gz"),
    ("${FILE##*/}", "archive.tar.gz"),
    ("${FILE%.*}", "/srv/data/archive.tar"),
    ("${FILE%%.*}", "/srv/data/archive"),
    ("${FILE#/srv/}", "data/archive.tar.gz"),
    ("${FILE#srv}", "/srv/data/archive.tar.gz"),
    ("${FILE%.??}", "/srv/data/archive.tar"),
    ("${FILE%.gz*}", "/srv/data/archive.tar"),
    ("${VERSION%.*}", "1.22"),
    ("${VERSION%%.*}", "1"),
    ("${VERSION##*.}", "3"),
    ("${VERSION#?}", ".22.3"),
    ("${VERSION#}", "1.22.3"),
    ("${VERSION##*}", ""),
    ("${STARS#*\\*}", "2*3"),
    ("${STARS##*\\*}", "3"),
    ('${STARS#1"*"}', "*2*3"),  # a star stays one in quotes
    ("${SLASH#a\\\\}", "b"),
    ("${SLASH%'\\b'}", "a"),
    ("${UNSET#x}", ""),
    ("${NAME%$NAME}", ""),
    ("${FILE#[a-z]}", "/srv/data/archive.tar.gz"),
    ("${LINES#*}", "one\ntwo"),
    ("${LINES##*}", "\ntwo"),
    # replacement
    ("${REPEAT/X/-}", "a-bXc"),
    ("${REPEAT//X/-}", "a-b-c"),
    ("${REPEAT//X/}", "abc"),
    ("${REPEAT/Y/-}", "aXbXc"),
    ("${REPEAT/X*/-}", "a-"),
    ("${REPEAT//?X/_}", "__c"),
    ("${REPEAT//*/-}", "-"),
    ("${REPEAT/X/$NAME}", "atoolbXc"),
    ("${FILE//\\//_}", "_srv_data_archive.tar.gz"),
    ("${VERSION//./}", "1223"),
    ("${UNSET/a/b}", ""),
    ("${EMPTY//*/b}", "b"),
    # quotes
    ("'single $NAME'", "single $NAME"),
    ("'a\\b'", "a\\b"),
    ("'say \"hi\"'", 'say "hi"'),
    ('"double $NAME"', "double tool"),
    ('"it\'s"', "it's"),
    ('"a \\"b\\" \\$NAME \\\\"', 'a "b" $NAME \\'),
    ('"C:\\temp"', "C:\\temp"),
    ("a'b'\"c\"d", "abcd"),
    ("''", ""),
    ('"${UNSET:-"x y"}"', "x y"),
    # escapes
    ("\\$NAME", "$NAME"),
    ("\\${NAME}", "${NAME}"),
    ("a\\ b", "a b"),
    ("\\\\", "\\"),
    ("\\n", "n"),
    ("\\'x", "'x"),
    ('\\"x', '"x'),
    ("ends in \\", "ends in "),
]


@pytest.mark.parametrize(("word", "expected"), CASES)
def test_word(word: str, expected: str) -> None:
    assert expand(word, VARIABLES).text == expected
    assert expand(word, VARIABLES.get).text == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("`$NAME", "$NAME"),
        ("a` b", "a b"),
        ("C:\\$NAME", "C:\\tool"),
        ('"`"`$"', '"$'),
        ("${STARS#*`*}", "2*3"),
        ("${SLASH%\\*}", "a"),
    ],
)
def test_backtick_as_escape(word: str, expected: str) -> None:
    assert expand(word, VARIABLES, "`").text == expected


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("${", "'}' is missing"),
        ("${NAME", "'}' is missing"),
        ("${NAME:", "'}' is missing"),
        ("${NAME:-x", "'}' is missing"),
        ("${}", "needs a name"),
        ("${:-x}", "needs a name"),
        ("${{NAME}}", "needs a name"),
        ("${NAME!x}", "isn't supported"),
        ("${NAME:0}", "isn't supported"),
        ("${NAME:#x}", "isn't supported"),
        ("${NAME^}", "isn't supported"),
        ("${REPEAT/X}", "'/' is missing"),
        ("${REPEAT/X/", "'}' is missing"),
        ("${FILE#\\a}", "isn't an escape"),
        ("'open", "single quote"),
        ('"open', "double quote"),
        ('"open\\"', "double quote"),
        ("${UNSET:?give me one}", "UNSET: give me one"),
        ("${UNSET?}", "UNSET: is not set"),
        ("${EMPTY:?}", "EMPTY: is empty"),
        ("${UNSET:?needs $NAME}", "UNSET: needs tool"),
        ("${A:-" * 60 + "}" * 60, "nested"),
    ],
)
def test_malformed_word(word: str, says: str) -> None:
    with pytest.raises(DockerfileError, match="can't expand") as caught:
        expand(word, VARIABLES)
    assert says in caught.value.message


def test_error_shows_its_place() -> None:
    source = ("FROM a", "ENV X ${Y")
    with pytest.raises(DockerfileError) as caught:
        expand("${Y", {}, location=Location("Dockerfile", 2, 2), source=source)
    assert str(caught.value).startswith("Dockerfile:2: ")
    assert ">>> ENV X ${Y" in caught.value.detail
    assert caught.value.detail.splitlines()[-1].index("^") == caught.value.detail.splitlines()[-2].index("${Y")


def test_names_without_value_are_reported() -> None:
    assert expand("$A ${B:-x} ${C+y} $NAME", VARIABLES).unmatched == {"A", "B", "C"}
    assert expand("$NAME $EMPTY", VARIABLES).unmatched == frozenset()
    assert expand("'$A' \\$B", VARIABLES).unmatched == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('say "$NAME"', 'say "tool"'),
        ("don't $NAME", "don't tool"),
        ("\\$NAME ${UNSET:-'x'}", "$NAME 'x'"),
    ],
)
def test_body_of_a_heredoc_keeps_its_quotes(text: str, expected: str) -> None:
    assert expand(text, VARIABLES, quotes=False).text == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", []),
        ("a b\tc", ["a", "b", "c"]),
        ("$SPACED", ["two", "words"]),
        ('"$SPACED"', ["two words"]),
        ("x$SPACED", ["xtwo", "words"]),
        ("$UNSET", []),
        ("''", []),
        ("a\\ b c", ["a b", "c"]),
        ("80 ${UNSET:-443}", ["80", "443"]),
        ("pre${UNSET:-fix}", ["prefix"]),
        ("$LINES", ["one", "two"]),
    ],
)
def test_words(word: str, expected: list[str]) -> None:
    assert expand_words(word, VARIABLES) == expected


def test_words_of_a_malformed_text() -> None:
    with pytest.raises(DockerfileError, match="double quote"):
        expand_words('a "b', VARIABLES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN echo '$NAME' \"$VERSION\" \\$NAME", "RUN echo '$NAME' \"1.22.3\" \\$NAME"),
        ("RUN x=$i; echo ${x} $NAME", "RUN x=$i; echo ${x} tool"),
        ("RUN echo ${UNSET:-d}", "RUN echo ${UNSET:-d}"),
        ("RUN echo it's $NAME", "RUN echo it's $NAME"),
        ("RUN echo ${NAME^^}", "RUN echo ${NAME^^}"),
    ],
)
def test_step_name_shows_values_and_stays_as_written(text: str, expected: str) -> None:
    assert expand_shown(text, VARIABLES) == expected
