"""What holds of tags whatever a revision holds: nothing in it was vetted."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from coopery.ci.revision import Revision
from coopery.ci.tags import clean_tag, name_image
from coopery.errors import UsageError
from coopery.oci.reference import Reference

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
ANYTHING = st.characters(exclude_categories=())  # also what is no UTF-8
TEXT = st.one_of(st.text(ANYTHING, max_size=40), st.text("aB1.-_/+ v\n$(){}`\"'日", max_size=300))
VERSIONS = st.from_regex(r"v?(0|[1-9][0-9]?)(\.(0|[1-9][0-9]?)){2}(-[a-z]{1,5}\.[1-9])?(\+[a-z]{1,3})?", fullmatch=True)
REVISIONS = st.builds(
    Revision,
    event=st.sampled_from(["push", "tag", "change", "schedule", "manual", "queue", "other"]),
    commit=TEXT,
    branch=TEXT,
    tag=st.one_of(st.just(""), VERSIONS, TEXT),
    change=TEXT,
    base_branch=TEXT,
    default_branch=TEXT,
    repository=TEXT,
    repository_url=TEXT,
    description=TEXT,
    licenses=TEXT,
    commit_time=st.one_of(st.none(), st.integers()),
)
RULES = [
    "type=schedule,pattern=nightly-{{date 'YYYYMMDD'}}",
    "type=semver,pattern={{version}}",
    "type=semver,pattern={{raw}}",
    "type=semver,pattern={{major}}.{{minor}}",
    "type=semver,pattern={{version}},value={{branch}},match=(.+)",
    "type=pep440,pattern={{major}}",
    "type=match,pattern=(.)(.*),group=2",
    "type=edge",
    "type=ref,event=branch",
    "type=ref,event=tag,prefix=,suffix=-{{base_ref}}",
    "type=ref,event=pr,prefix=",
    "{{branch}}{{tag}}",
    "{{commit_date 'L LTS zz'}}",
    "type=sha,prefix={{branch}}-",
    "type=sha,format=long,prefix=",
    "registry.example:5000/app:x{{branch}}",
]
SOME_RULES = st.lists(st.sampled_from(RULES), max_size=6)


@given(revision=REVISIONS, rules=SOME_RULES, latest=st.sampled_from(["auto", "true", "false"]), affix=st.booleans())
def test_every_tag_and_name_is_valid_and_the_same_each_time(revision, rules, latest, affix):
    flavor = [f"latest={latest}", *(["prefix=.{{branch}},onlatest=true", "suffix=/é"] if affix else [])]
    settings = {"images": ["acme/shop", "ghcr.io/Acme/shop"], "tags": rules, "flavor": flavor, "now": 1772600767}
    made = name_image(revision, **settings, labels={"x": "{{branch}}"})
    for tag in made.tags:
        assert TAG.fullmatch(tag)
    for name in made.names:
        assert Reference.parse(name).tag
    assert len(set(made.names)) == len(made.names)
    "".join([*made.labels.values(), *made.warnings]).encode()  # can be written down
    assert bool(made.version) == bool(made.names)
    assert made == name_image(revision, **settings, labels={"x": "{{branch}}"})


@given(version=st.tuples(*[st.integers(0, 99)] * 3), before=st.sampled_from(["rc.1", "alpha", "0", "beta-2.x"]))
def test_prerelease_moves_no_tag_but_its_own(version, before):
    text = "v" + ".".join(map(str, version))
    rules = [
        f"type=semver,pattern={each}" for each in ("{{version}}", "{{major}}.{{minor}}", "{{major}}", "v{{major}}")
    ]

    def made(tag: str) -> tuple[str, ...]:
        return name_image(Revision(event="tag", tag=tag), now=0, tags=rules).tags

    assert made(f"{text}-{before}") == (f"{text[1:]}-{before}",)
    assert {text[1:], f"{version[0]}.{version[1]}", str(version[0]), "latest"} <= set(made(text))


@given(st.text(max_size=300))
def test_cleaning_is_done_once(text):
    tag = clean_tag(text)
    assert not tag or TAG.fullmatch(tag)
    assert clean_tag(tag) == tag


@given(st.lists(st.one_of(st.text("type=rawsemvr,pn{}'\"#i/ \\(", max_size=60), st.text(max_size=20)), max_size=3))
def test_rules_are_understood_or_refused(rules):
    try:
        name_image(Revision(event="push", branch="main", commit="1" * 40), now=0, tags=rules)
    except UsageError as error:
        assert error.message
