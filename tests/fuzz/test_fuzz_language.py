"""Whatever the text: it is understood, or refused by an error that can be shown, and neither takes long.

`--fuzz N` tries N inputs in each test. fuzz_targets.py says how to go on by coverage.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_targets
from fuzz_targets import TARGETS

#: What breaks readers of text.
ODD = (
    *(b"\0", b"\r", b"\r\n", b"\n", b"\\\n", b"`\n", b"\t", b" ", b"\x0b", b"\x1c", b"\x85", b"\xc2\x85", b"\xc2\xa0"),
    *(b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xef\xbb\xbf", "\u2028".encode(), "\u0130\u017fe\u0301".encode()),
    *(b"<<E", b"<<-E\n", b"E\n", b"<<<", b"${", b"}", b"$", b"$(", b"'", b'"', b"\\", b"`", b"*", b"?", b"[", b"]"),
    *(b"**/", b"!", b"#", b"/", b"//", b"../", b"@", b":", b"=", b",", b"--", b"-", b"+", b"%", b"FROM ", b"ONBUILD "),
    *(b"# escape=`\n", b"--mount=", b"\\ud800", b"1e999", b"NaN", b"${A:-" * 60, b"[" * 3000, b"*a" * 60, b"9" * 5000),
    b"a" * 70000,
)


@st.composite
def changed(draw: st.DrawFn, texts: list[bytes]) -> bytes:
    """One of the texts after some changes."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.sampled_from([0, 0, 1, 8, 60]))
        kind = draw(st.sampled_from(["odd", "odd", "moved", "bytes"]))
        if kind == "odd":
            piece = draw(st.sampled_from(ODD))
        elif kind == "moved":
            other = draw(st.integers(0, len(text)))
            piece = text[other : other + draw(st.integers(1, 60))]
        else:
            piece = draw(st.binary(max_size=4))
        text = text[:start] + piece + text[end:]
    return text


@pytest.mark.parametrize("text", fuzz_targets.corpus("dockerfile"))
def test_the_dockerfiles_of_the_corpus_are_right(text: bytes) -> None:
    """Changes of what is refused anyway would find little."""
    fuzz_targets.plan(text)


@pytest.mark.parametrize("name", TARGETS)
def test_any_change_is_understood_or_refused(name: str, pytestconfig: pytest.Config) -> None:
    target = TARGETS[name][0]

    @settings(max_examples=pytestconfig.getoption("--fuzz"), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(changed(fuzz_targets.corpus(name)), st.binary()))
    def try_one(text: bytes) -> None:
        target(text)

    try_one()


def lines(line: str, count: int = 20_000) -> str:
    return f"FROM a\n{f'{line}{chr(10)}' * count}"


def one(line: str) -> str:
    return f"FROM a\n{line}"


#: Inputs that take forever, or all memory, where time or memory grow with the square of a length or worse.
LARGE = {
    "many-steps": lines("RUN a"),
    "many-stages": "FROM a AS b\n" * 20_000,
    "many-comments": lines("# a") + "RUN a",
    "many-comments-inside": one("RUN a \\\n" + "# b\n" * 50_000 + " c"),
    "many-continuations": one("RUN a" + "\\\n b" * 50_000),
    "many-heredocs": lines("RUN <<E\nE", 5000),
    "many-heredocs-on-a-line": one("COPY " + "<<E " * 5000 + "/x\n" + "E\n" * 5000),
    "many-heredocs-without-an-end": lines("RUN <<E", 5000),
    "many-wrong-flags": lines("RUN --x a", 5000),
    "many-unknown": lines("XX a\nRUN b", 5000),
    "many-onbuilds": lines("ONBUILD RUN x", 2000),
    "long-line": one("RUN " + "a" * 65_000),
    "longer-line": one("RUN " + "a" * 1_000_000),
    "long-joined": one("ENV A=" + ("b" * 60_000 + "\\\n") * 16 + "$A"),
    "long-list": one("CMD [" + '"a",' * 16_000 + '"b"]'),
    "long-unclosed-list": one("CMD [" + '"a",' * 16_000),
    "deep-list": one("CMD " + "[" * 60_000),
    "long-white-space": one("RUN" + " \t" * 30_000 + "a"),
    "long-odd-white-space": one("RUN " + "\u2028" * 30_000 + "a"),
    "long-directive": "# syntax=a" + " \t" * 30_000 + "b\nFROM a\n",
    "long-keyword": one("X" * 60_000),
    "long-flag": one("RUN --" + "x" * 60_000),
    "long-number": one("HEALTHCHECK --retries=" + "1" * 60_000 + " CMD a"),
    "long-duration": one("HEALTHCHECK --interval=" + "1h" * 30_000 + " CMD a"),
    "long-quotes": one("ENV " + "a='b' " * 10_000),
    "long-marker": one("RUN " + "<" * 60_000),
    "long-stage-name": "FROM a AS " + "a-" * 30_000 + "!\n",
    "nested-variables": one("ENV A=" + "${A:-" * 50 + "x" * 60_000 + "}" * 50),
    "nested-too-deeply": one("ENV A=" + "${A:-" * 12_000),
    "nested-onbuild": one("ONBUILD " * 8000 + "RUN a"),
    "doubling-variable": one("ENV A=aaaaaaaa\n" + "ENV A=$A$A\n" * 60),
    "squaring-variable": one("ENV A=" + "a" * 60_000 + "\nENV A=${A//a/$A}\n" * 3),
    "matched-stars": one(
        "ENV A=" + "a" * 60_000 + "\nENV B=${A//" + "*a" * 10_000 + "b/x} C=${A##" + "*a" * 10_000 + "b}"
    ),
    "pattern-of-stars": one("COPY --exclude=" + "*a" * 10_000 + " " + "*a" * 10_000 + "b /x/"),
    "many-mounts": one("RUN " + "--mount=type=tmpfs,target=/a " * 2000 + "x"),
    "long-mount": one("RUN --mount=" + "a=b," * 16_000 + " x"),
    "long-base": "FROM " + "a/" * 30_000 + "\n",
    "long-base-of-dashes": "FROM " + "a-" * 30_000 + "!\n",
}


@pytest.mark.parametrize("name", LARGE)
def test_large_files_are_done_with(name: str) -> None:
    TARGETS["dockerfile"][0](LARGE[name].encode())


@pytest.mark.parametrize("pattern", ["*a" * 30_000, "**/a/" * 10_000, "[^a]*" * 10_000, "a**" * 20_000, "[" * 60_000])
def test_long_patterns_are_done_with(pattern: str) -> None:
    TARGETS["ignore"][0](f"{pattern}\n!b\n".encode())
    TARGETS["patterns"][0](pattern.encode())
