"""Versions, dates and expressions against the libraries that metadata-action is made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopery.ci.expressions import Scope, template
from coopery.ci.moments import formatted, moment, zone
from coopery.ci.revision import Revision
from coopery.ci.versions import pep440, semver

NEEDED = ("handlebars", "moment-timezone", "semver", "@renovate/pep440")
ANSWER = """
import {createRequire} from 'module';
import readline from 'readline';
const load = createRequire(process.argv[1] + '/');
const [handlebars, moment, semver, pep440] = ['handlebars', 'moment-timezone', 'semver', '@renovate/pep440'].map(load);
const answers = {
  moment: ([seconds, zone, form]) => moment(seconds * 1000).tz(zone).format(form),
  semver: text => {
    const v = semver.valid(text) && semver.parse(text, {loose: true});
    return v && [v.raw, v.version, v.major, v.minor, v.patch, !semver.prerelease(text)];
  },
  pep440: text => {
    const v = pep440.valid(text) && pep440.explain(text);
    const parts = [pep440.major, pep440.minor, pep440.patch].map(part => v && part(text));
    return v && [pep440.clean(text), ...parts, !(v.is_prerelease || v.is_postrelease || v.is_devrelease)];
  },
  handlebars: ([text, values]) => handlebars.compile(text)(values),
};
for await (const line of readline.createInterface({input: process.stdin})) {
  const [kind, question] = JSON.parse(line);
  console.log(JSON.stringify(answers[kind](question) ?? null));
}
"""


class Peers:
    """A process of Node's that answers for the libraries."""

    def __init__(self, modules: Path) -> None:
        command = ["node", "--input-type=module", "-e", ANSWER, str(modules)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, kind: str, question: object) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([kind, question]), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        for end in (self.process.stdin, self.process.stdout):
            assert end
            end.close()
        self.process.wait()


@pytest.fixture(scope="module")
def peers():
    root = Path(__file__).resolve().parents[2]
    modules = Path(os.environ.get("COOPERY_NODE_CLIENTS") or root / ".venv/node/node_modules")
    missing = [name for name in NEEDED if not (modules / name).is_dir()]
    if not shutil.which("node") or missing:
        pytest.skip(f"needs node, and {', '.join(missing or NEEDED)} of npm in {modules}")
    running = Peers(modules)
    yield running
    running.close()


relaxed = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TOKENS = [
    *("M", "Mo", "MM", "MMM", "MMMM", "Q", "Qo", "D", "Do", "DD", "DDD", "DDDo", "DDDD", "d", "do", "dd"),
    *("ddd", "dddd", "e", "E", "w", "wo", "ww", "W", "Wo", "WW"),
    *("YY", "Y", "YYYY", "YYYYY", "YYYYYY", "y", "yy", "yyyy", "yo", "N"),
    *("NNNN", "gg", "gggg", "GG", "GGGG", "A", "a", "H", "HH", "h", "hh", "k", "kk", "hmm", "hmmss", "Hmm", "Hmmss"),
    *("m", "mm", "s", "ss", "S", "SS", "SSS", "SSSSSS", "z", "Z", "ZZ", "X", "x", "L", "LT", "LTS", "LL", "LLL"),
    *("LLLL", "l", "ll", "lll", "llll", "[at]", "[YYYY]", "\\Y", "\\L", "-", ".", "T", "Th:", "o", "n", "[", "]"),
    "YYYYMMDD",
    "YYYY-MM-DDTHH:mm:ss[Z]",
]


@relaxed
@given(
    seconds=st.integers(0, 200_000_000_000),
    place=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York", "asia/kolkata"]),
    form=st.lists(st.sampled_from([*TOKENS, " "]), min_size=1, max_size=8).map("".join),
)
def test_dates_are_formatted_as_moment_does(peers, seconds, place, form):
    if seconds > 2_100_000_000:
        place = "UTC"  # moment's data ends in 2037
    when = moment(seconds)
    assert when
    assert formatted(when.astimezone(zone(place)), form) == peers("moment", [seconds, place, form])


@relaxed
@given(
    year=st.integers(1970, 9999), day=st.integers(-10, 10), form=st.sampled_from(["gggg-ww", "GGGG-WW-E", "gg GG w W"])
)
def test_weeks_at_the_turn_of_a_year(peers, year, day, form):
    seconds = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) + day * 86400
    if (when := moment(seconds)) is not None:
        assert formatted(when, form) == peers("moment", [seconds, "UTC", form])


WORDS = [
    "1",
    "0",
    "01",
    "2",
    "10",
    ".",
    ".",
    "-",
    "+",
    "v",
    "V",
    "=",
    "rc",
    "a",
    "beta",
    "alpha",
]
WORDS += ["post", "dev", "r", "c", "_", "!", "x", "٣", "é", "1.2.3", "1.0"]


@relaxed
@given(
    st.one_of(
        st.from_regex(r"v?\d{1,3}(\.\d{1,3}){1,3}([-+.][0-9a-z.+-]{0,12})?", fullmatch=True),
        st.lists(st.sampled_from(WORDS), max_size=8).map("".join),
    )
)
def test_versions_are_read_as_semver_js_does(peers, text):
    found = semver(text)
    theirs = peers("semver", text)
    assert theirs == (found and [found.raw, found.text, found.major, found.minor, found.patch, found.release])


@relaxed
@given(
    st.one_of(
        st.from_regex(
            r"v?[0-9]{1,3}(\.[0-9]{1,3}){0,3}([._-]?(a|b|rc|c|post|dev|alpha|preview|r)[._-]?[0-9]{0,3}){0,2}",
            fullmatch=True,
        ),
        st.lists(st.sampled_from(WORDS), max_size=8).map("".join),
    )
)
def test_versions_are_read_as_renovates_pep440_does(peers, text):
    if "+" in text:
        return  # it writes the parts of local versions with commas between them
    found = pep440(text)
    theirs = peers("pep440", text)
    assert theirs == (found and [found.text, found.major, found.minor, found.patch, found.release])


PIECES = [
    "{{major}}",
    "{{ minor }}",
    "{{{raw}}}",
    "{{~patch~}}",
    "{{! note }}",
    "{{!-- a }} b --}}",
    "\\{{major}}",
    "\\\\{{minor}}",
]
PIECES += ["{{#if major}}", "{{else}}", "{{^}}", "{{/if}}", "{{#unless minor}}", "{{/unless}}", "{{else if patch}}"]
PIECES += ["{{#if patch includeZero=true}}", "v", "x y", ".", "x}y", "\\"]
WHOLE = [
    "{{#if major}}{{major}}{{/if}}",
    "{{#if major}}a{{else if minor}}b{{else}}c{{/if}}",
    "{{#unless major}}zero{{/unless}}",
]


@relaxed
@given(
    text=st.lists(st.sampled_from(PIECES + WHOLE * 3), max_size=6).map("".join),
    number=st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1)),
)
def test_expressions_are_rendered_as_handlebars_does(peers, text, number):
    raw = "v" + ".".join(map(str, number))
    values = {"raw": raw, "version": raw[1:], "major": number[0], "minor": number[1], "patch": number[2]}
    try:
        found = template(text, tuple(values)).render(Scope(Revision(event="tag"), 0, version=semver(raw)))
    except Exception as error:
        assert type(error).__name__ == "UsageError"
        return
    assert found == peers("handlebars", [text, values])
