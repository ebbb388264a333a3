"""Whatever stands in a report: it says what it says, takes no more room than there is, and changes no structure."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar

import cmarkgfm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from coopery.ci.rendering.codequality import code_quality
from coopery.ci.rendering.dotenv import dotenv
from coopery.ci.rendering.inert import one_line
from coopery.ci.rendering.jsonform import decode, encode
from coopery.ci.rendering.markdown import LIMIT, markdown
from coopery.ci.rendering.sarif import sarif
from coopery.ci.rendering.text import text
from coopery.ci.report import Report
from coopery.errors import UsageError
from support.reports import FAILED, SEVERAL

NASTY = (
    "`", "``", "```", "````\n", "~~~", "|", "\\|", "\\", "\\\\|", "| --- |", "\n\n# heading", "\n- item", "\r\n\r\n",
    "<script>alert(1)</script>", "</details>", "</code>", "</summary>", "<!--", "-->", "<![CDATA[", "<img src=x>",
    "@everyone", "@acme/team", "#123", "[x](javascript:alert(1))", "![x](https://evil.example/x.png)", "[x]: /u",
    "https://evil.example", "www.evil.example", "me@evil.example", "&lt;b&gt;", "&#10;", "**b**", "_e_", "~~s~~",
    "\x1b[31m", "\x1b]8;;https://evil.example\x07", "\x00", "\x7f", "\u202e", "\u2028", "\ufeff", "\udcff", "\ud800",
    "::set-output name=x::y", "##[error]", "\x1b[0Ksection_start:1:x\r", "$(id)", "${{ x }}", ":smile:", "$x^2$", "é",
)  # fmt: skip

#: What somebody could write into a branch, a file name or a step. Blank ones are shown as a dash, which is no code.
hostile = (
    st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=5)), min_size=1, max_size=6)
    .map("".join)
    .filter(lambda text: bool(text.strip()))
)
T = TypeVar("T")

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OPTIONS = cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE


def everywhere(value: T, chosen: Any) -> T:
    """`value` with every free text in it replaced by what `chosen()` gives."""
    if is_dataclass(value) and not isinstance(value, type):
        fixed = ("level", "outcome", "event")
        changes = {
            field.name: everywhere(getattr(value, field.name), chosen)
            for field in fields(value)
            if field.name not in fixed
        }
        return replace(value, **changes)
    if isinstance(value, str):
        return chosen() if value else value  # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(everywhere(item, chosen) for item in value)  # type: ignore[return-value]
    if isinstance(value, dict):
        return {chosen(): chosen() for _ in value}  # type: ignore[return-value]
    return value


BOTH = replace(SEVERAL, error=FAILED.error, steps=FAILED.steps, failed_target="web")
hostile_texts = st.lists(hostile, min_size=1, max_size=12)


def filled(texts: list[str]) -> Report:
    """A report with these texts in all places, in turn."""
    turn = itertools.cycle(texts)
    return everywhere(BOTH, lambda: next(turn))


class Tags(HTMLParser):
    """The tags of some HTML with their attributes, and what isn't tags or text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(f"<{tag} {attrs}>")

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        self.found.append("comment")

    def handle_decl(self, decl: str) -> None:
        self.found.append("declaration")

    def unknown_decl(self, data: str) -> None:
        self.found.append("declaration")

    def handle_pi(self, data: str) -> None:
        self.found.append("instruction")


def tags(html: str) -> list[str]:
    parser = Tags()
    parser.feed(html)
    parser.close()
    return parser.found


def structure(tokens: list[Token]) -> list[Any]:
    """What a text is made of, without its words."""
    found: list[Any] = []
    for token in tokens:
        if token.type == "text":
            continue
        html = tags(token.content) if token.type.startswith("html") else None
        found.append((token.type, token.tag, token.nesting, token.info, dict(token.attrs), html))
        found.append(structure(token.children or []))
    return found


@given(hostile_texts)
def test_no_text_changes_the_structure_of_the_markdown(texts: list[str]) -> None:
    report = filled(texts)
    plain = markdown(everywhere(BOTH, lambda: "x"))
    shown = markdown(report)
    assert structure(MARKDOWN.parse(shown)) == structure(MARKDOWN.parse(plain))
    github = [tags(cmarkgfm.github_flavored_markdown_to_html(each, OPTIONS)) for each in (shown, plain)]
    assert github[0] == github[1]


@given(hostile)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    report = everywhere(BOTH, lambda: text)
    wanted = one_line(text, 200)
    spans = [
        child.content.strip()
        for token in MARKDOWN.parse(markdown(report))
        for child in token.children or []
        if child.type == "code_inline"
    ]
    assert wanted in spans


@given(hostile_texts, st.integers(0, 6000))
def test_it_never_takes_more_room_and_stays_whole(texts: list[str], limit: int) -> None:
    report = filled(texts)
    shown = markdown(report, limit)
    assert len(shown.encode()) <= limit
    html = cmarkgfm.github_flavored_markdown_to_html(shown + "\n\nthe end\n", OPTIONS)
    assert html.endswith("<p>the end</p>\n")
    open_tags: list[str] = []
    for tag in tags(html):
        name = re.split(r"[ >]", tag.strip("</"))[0]
        if tag.startswith("</"):
            assert open_tags.pop() == name
        elif name != "br":
            open_tags.append(name)
    assert not open_tags
    assert markdown(report, LIMIT) == markdown(report)


@given(hostile_texts)
def test_plain_lines_are_printable_and_begin_with_our_words(texts: list[str]) -> None:
    report = filled(texts)
    shown = text(report)
    shown.encode()
    for line in shown.splitlines():
        assert line.isprintable()
        assert re.match(r"  (name|is|cache|layer|step|hint:|\|)|(Build|Steps|Image|ERROR:|WARNING:|NOTICE:)", line)


@given(hostile_texts)
def test_json_comes_back_as_it_was_but_for_what_is_no_unicode(texts: list[str]) -> None:
    report = filled(texts)
    written = encode(report)
    written.encode()
    assert encode(decode(written)) == written
    if not re.search("[\ud800-\udfff]", "".join(texts)):
        assert decode(written) == report


@given(hostile_texts)
def test_findings_stay_in_their_members(texts: list[str]) -> None:
    report = filled(texts)
    for issue in code_quality(report):
        json.dumps(issue, ensure_ascii=False).encode()
        assert issue["description"].isprintable()
        assert not issue["location"]["path"].startswith(("/", "../"))
        assert re.fullmatch(r"[0-9a-f]{64}", issue["fingerprint"])
    for result in sarif(report)["runs"][0]["results"]:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", uri)


@given(st.dictionaries(st.one_of(st.from_regex(r"\A[A-Z_]{1,4}\Z"), hostile), hostile, max_size=3))
def test_a_dotenv_file_says_what_it_was_given_or_is_refused(variables: dict[str, str]) -> None:
    try:
        written = dotenv(variables)
    except UsageError:
        return
    assert dict(line.split("=", 1) for line in written.splitlines()) == variables


@pytest.mark.parametrize("value", ["a,b=c", "registry.example:5000/a/b:1.0@sha256:00", "%s", "-n", "+%Y"])
def test_a_shell_reads_a_dotenv_file_alike(tmp_path: Path, value: str) -> None:
    path = tmp_path / "file.env"
    path.write_text(dotenv({"VALUE": value}))
    done = subprocess.run(["sh", "-c", f'. {path}; printf %s "$VALUE"'], capture_output=True, text=True, check=True)
    assert done.stdout == value
