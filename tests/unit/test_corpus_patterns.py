"""Patterns of ignore files and what they match. `moby/patternmatcher` says the same of each."""

from __future__ import annotations

import pytest

from coopery.dockerfile import wildcards
from coopery.dockerfile.ignore import IgnoreRules
from coopery.errors import DockerfileError

#: A pattern, paths that it leaves out, and paths that it doesn't.
MATCHES = r"""
*                | x  x.y  x/y  .x                      |
x                | x  x/y  x/y/z                        | y  y/x  xx
x/               | x  x/y                               | y
/x               | x  x/y                               | y/x
./x              | x                                    | y/x
x/../y           | y  y/z                               | x  x/y
x//y             | x/y                                  | x
x*               | x  xy  xy/z                          | y  y/x
*x               | x  yx  yx/z                          | xy
*.o              | a.o  .o  a.o/b                       | a.oo  d/a.o
x*y*z            | xyz  xaybz  xyyz                     | xy  xz  x/y/z
x*/y             | x/y  xa/y/b                          | x/a/y  xa
*/y              | a/y  b/y/c                           | y  a/b/y
*/*/y            | a/b/y                                | a/y  a/b/c/y
x/*              | x/a  x/a/b                           | x
?                | a  a/b  é                            | ab  .b/c
x?z              | xyz  x.z                             | xz  xyyz  x/z
??               | ab  한글                             | a  abc
**               | a  a/b  .a                           |
**/              | a  a/b                               |
**/**            | a  a/b                               |
**/x             | x  a/x  a/b/x  x/y                   | ax  a/xb
**x              | x  ax  a/b/x  a/bx                   | xa  a/xb
**.o             | .o  a.o  d/a.o                       | a.oo
**/*.o           | .o  a.o  d/a.o  d/e/a.o              | a.oo  o
**/x*            | x  xa  a/xb                          | ax
**/x*y*          | xy  a/xyz  a/xbyc                    | yx  x/y
**/x/*           | x/a  b/x/a  b/x/a/c                  | x  b/x
**/x/**          | x/a  b/x/a/c                         | x  b/x
x/**             | x/a  x/a/b                           | x
x/**/y           | x/y  x/a/y  x/a/b/y  x/y/z           | x  xy  y
x**              | x  xa  x/a  xa/b                     | ax
x**y             | xy  x/y  xa/y  x/ay/y                | xay  x/ay
x**/y            | xy  x/y  xa/y                        | xa
**/x/**/y        | x/y  a/x/y  a/x/b/c/y                | x  y
***              | a  a/b                               |
a[bc]d           | abd  acd  acd/e                      | ad  abcd  aed
a[b-d]e          | abe  ace  ade                        | aae  abce
a[^b-d]e         | aae  aee                             | abe  ae
[a-ζ]*           | α  z  ζx                             | A  ω
[\]x]            | ]  x                                 | \
[x\-]            | x  -                                 | y
[\-y]            | -  y                                 | x
[^x]y            | ay                                   | xy  y
[a-b][c-d]       | ac  bd                               | ca
x\*y             | x*y                                  | xay  xy
\!x              | !x                                   | x
x\\              | x\                                   | x
a.c              | a.c                                  | abc
a(b)+c           | a(b)+c                               | abc  abbc
^a$              | ^a$                                  | a
a|b              | a|b                                  | a  b
{a,b}            | {a,b}                                | a  b
.*               | .x  .x/y                             | x  x/.y
"""

#: Patterns that mean nothing.
MALFORMED = ["[", "[^", "[]", "[]a]", "[a", "a[", "[-]", "[x-]", "[-x]", "[a-b-c]", "\\", "a\\", "[\\", "[z-a]", "**["]


def cases() -> list[tuple[str, str, bool]]:
    found = []
    for line in filter(None, MATCHES.splitlines()):
        # From the right: patterns may hold the sign themselves.
        rest, others = line.rsplit(" |", 1)
        pattern, paths = rest.rsplit(" |", 1)
        found += [(pattern.strip(), path, True) for path in paths.split()]
        found += [(pattern.strip(), path, False) for path in others.split()]
    return found


@pytest.mark.parametrize(("pattern", "path", "ignored"), cases())
def test_a_pattern_matches(pattern: str, path: str, ignored: bool) -> None:
    assert IgnoreRules.parse(pattern).ignored(path) is ignored
    assert wildcards.Automaton(IgnoreRules.parse(pattern).rules[0].pieces).matches(path) is ignored


@pytest.mark.parametrize("pattern", MALFORMED)
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(DockerfileError):
        IgnoreRules.parse(f"a\n{pattern}\n")


@pytest.mark.parametrize(
    ("rules", "path", "ignored"),
    [
        ("a !a", "a", False),
        ("!a a", "a", True),
        ("a !a/b", "a/b", False),
        ("a !a/b", "a/b/c", False),
        ("a !a/b", "a/c", True),
        ("a/ !a/b", "a/b", False),
        ("a/* !a/b", "a/b", False),
        ("a/* !a/b", "a/c", True),
        ("** !a/b", "a/b/c", False),
        ("** !a/b", "a", True),
        ("** !a/b a/b/c", "a/b/c", True),
        ("** !*.c", "a.c", False),
        ("** !**/*.c", "d/a.c", False),
        ("* !d **/*.o !d/keep.o", "d/a.o", True),
        ("* !d **/*.o !d/keep.o", "d/keep.o", False),
        ("*.a *.b !x.* *.c", "x.a", False),
        ("*.a *.b !x.* *.c", "x.c", True),
        ("!a", "a", False),
        ("!a", "b", False),
    ],
)
def test_the_last_match_counts(rules: str, path: str, ignored: bool) -> None:
    assert IgnoreRules.parse(rules.replace(" ", "\n")).ignored(path) is ignored


def test_lines_are_trimmed_and_comments_dropped() -> None:
    rules = IgnoreRules.parse("\ufeff# a comment\n\n  spaced\t\r\n#/not\n /rooted/\n!  /back\n .\n")
    assert [(rule.pattern, rule.exception) for rule in rules.rules] == [
        ("spaced", False),
        ("rooted", False),
        ("back", True),
        (".", False),
    ]


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "**/*" * 40, "a**" * 40 + "!", "*[^b]" * 40 + "c", "?*" * 50])
def test_no_pattern_takes_long(pattern: str) -> None:
    """Those that backtrack would outlast the test run."""
    rules = IgnoreRules.parse(f"{pattern}\n!b\n")
    for path in ("a" * 255, "a/" * 100 + "a", "a" * 255 + "/x"):
        rules.ignored(path)
        rules.may_contain_exceptions(path)
