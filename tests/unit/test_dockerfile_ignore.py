"""Which paths of a context an ignore file leaves out."""

from __future__ import annotations

import pytest

from coopery.dockerfile.ignore import IgnoreRules
from coopery.errors import DockerfileError, Location


@pytest.mark.parametrize(
    ("patterns", "ignored", "kept"),
    [
        # names and directories
        ("node_modules", ["node_modules", "node_modules/x/y.js"], ["src/node_modules", "node_modules2"]),
        ("/build", ["build", "build/a"], ["a/build"]),
        ("build/", ["build", "build/a"], ["a/build"]),
        ("./a/../b//c", ["b/c", "b/c/d"], ["a", "b", "c"]),
        ("a/b", ["a/b", "a/b/c"], ["a", "b", "a/bc"]),
        # one segment's wildcards
        ("*", ["a", "a/b", ".git"], []),
        ("*.md", ["README.md"], ["docs/README.md", "md"]),
        ("*/*.o", ["a/b.o", "a/b.o/c"], ["b.o", "a/b/c.o"]),
        ("temp?", ["temp1", "temps/x"], ["temp", "temp12"]),
        ("a*b*c", ["abc", "a1b2c", "a1b2c/d"], ["ab", "a/b/c"]),
        # any number of segments
        ("**", ["a", "a/b/c"], []),
        ("**/*.pyc", ["a.pyc", "x/y/a.pyc"], ["a.py", "pyc"]),
        ("**/cache", ["cache", "a/cache", "a/b/cache/c"], ["cached", "a/mycache"]),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs", "docs2"]),
        ("docs/**/tmp", ["docs/tmp", "docs/a/b/tmp", "docs/a/tmp/x"], ["docs/atmp", "tmp"]),
        ("**/a/**/b", ["a/b", "x/a/y/z/b"], ["b", "a", "xa/b"]),
        ("**.o", ["a.o", "x/y.o"], ["o", "a.oo"]),
        ("**/**/x", ["x", "a/x", "a/b/x"], ["ax"]),
        # classes and escapes
        ("file[0-9]", ["file7"], ["filex", "file10"]),
        ("file[^0-9]", ["filex"], ["file7"]),
        ("[a-c][xz]", ["bx", "cz/d"], ["by", "dx"]),
        ("[\\]]", ["]"], ["[", "\\"]),
        ("\\*", ["*"], ["a", "\\a"]),
        ("what\\?", ["what?"], ["whats"]),
        # characters that mean something in a regular expression only
        ("a.b", ["a.b"], ["axb"]),
        ("(a|b)+$", ["(a|b)+$"], ["a"]),
        ("^a", ["^a"], ["a"]),
        ("{a,b}", ["{a,b}"], ["a"]),
        # lines
        ("# comment\n\n  a  \n\tb\t\n", ["a", "b"], ["# comment", "comment"]),
        (" # not a comment", ["# not a comment"], ["not a comment"]),
        ("\ufeff#a\n#b\nc", ["c"], ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"], ["a\r"]),
        ("", [], ["a"]),
        (".", [], ["a"]),
        ("/", [], ["a"]),
        ("..", [], ["a"]),
        # exceptions
        ("*\n!keep", ["a", "a/keep"], ["keep", "keep/x"]),
        ("*\n!a/b", ["a", "a/c", "b"], ["a/b", "a/b/c"]),
        ("*\n! /a/b ", ["a/c"], ["a/b"]),
        ("*.md\n!README.md", ["x.md"], ["README.md"]),
        ("!README.md\n*.md", ["x.md", "README.md"], []),
        ("a\n!a/b\na/b/c", ["a", "a/x", "a/b/c", "a/b/c/d"], ["a/b", "a/b/d"]),
        ("a\n!a", [], ["a", "a/b"]),
        ("**/x\n!**/keep/x", ["x", "a/x"], ["keep/x", "a/keep/x"]),
        ("/!a", [], ["a"]),
    ],
)
def test_what_is_ignored(patterns: str, ignored: list[str], kept: list[str]) -> None:
    for text in (patterns, patterns.encode()):
        rules = IgnoreRules.parse(text)
        assert [path for path in ignored + kept if rules.ignored(path)] == ignored


def test_names_that_are_not_utf8() -> None:
    rules = IgnoreRules.parse(b"gr\xfc*\n")
    assert rules.ignored("gr\udcfcn")
    assert not rules.ignored("grun")


def test_no_rules_is_false() -> None:
    assert not IgnoreRules()
    assert not IgnoreRules.parse("# nothing\n")
    assert IgnoreRules.parse("a")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a\n!\n", 2, "`!` without a pattern"),
        ("!  ", 1, "`!` without a pattern"),
        ("!/", 1, "`!` without a pattern"),
        ("# c\n\na[", 3, "malformed"),
        ("[]", 1, "malformed"),
        ("[^]", 1, "malformed"),
        ("[a-]", 1, "malformed"),
        ("[z-a]", 1, "malformed"),
        ("[-a]", 1, "malformed"),
        ("a\\", 1, "malformed"),
        ("[\\", 1, "malformed"),
    ],
)
def test_bad_line_is_named(text: str, line: int, says: str) -> None:
    with pytest.raises(DockerfileError, match=says) as caught:
        IgnoreRules.parse(text, "app.dockerignore")
    assert caught.value.location == Location("app.dockerignore", line, line)
    assert ">>>" in caught.value.detail


@pytest.mark.parametrize(
    ("patterns", "directory", "expected"),
    [
        ("node_modules", "node_modules", False),
        ("*\n!src", "docs", False),
        ("*\n!src/main", "src", True),
        ("*\n!src/main", "docs", False),
        ("*\n!src/main/app.c", "src/main", True),
        ("*\n!src/main/app.c", "src/test", False),
        ("*\n!**/*.c", "docs", True),
        ("*\n!s*/*.c", "src", True),
        ("*\n!s*/*.c", "docs", False),
        ("*\n!s*/*.c", "src/main", False),
        ("!a/b\na", "a", False),
        ("a\n!a/b\na/*", "a", True),
        ("a\n!a/b\na", "a", False),
    ],
)
def test_a_walk_may_leave_out_directories(patterns: str, directory: str, expected: bool) -> None:
    rules = IgnoreRules.parse(patterns)
    assert rules.ignored(directory)
    assert rules.may_contain_exceptions(directory) is expected
