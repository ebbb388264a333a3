"""Tags, names and labels: what metadata-action's documentation says of its rules, and what is said of bad ones."""

from __future__ import annotations

import pytest

from coopery.ci.revision import Revision
from coopery.ci.tags import Naming, clean_tag, name_image
from coopery.errors import UsageError

COMMIT = "860c1904a1ce19322e91ac35af1ab07466440c37"
NOW = 1578616200  # 2020-01-10T00:30:00Z
REPOSITORY = {"repository": "octocat/Hello-World", "repository_url": "https://git.example/octocat/Hello-World"}


def revision(event: str, **values: object) -> Revision:
    known = {"commit": COMMIT, "default_branch": "main", "commit_time": NOW - 86400, **REPOSITORY}
    return Revision(**{"event": event, **known, **values})


def tagged(name: str) -> Revision:
    return revision("tag", tag=name)


PUSH = revision("push", branch="main")
TOPIC = revision("push", branch="my/branch")
CHANGE = revision("change", branch="patch-1", change="2", base_branch="main")
SCHEDULE = revision("schedule", branch="main")
QUEUE = revision("queue", branch="main")


def name(revision: Revision, *rules: str, **settings: object) -> Naming:
    return name_image(revision, now=NOW, tags=rules, **settings)


def tags(revision: Revision, *rules: str, **settings: object) -> list[str]:
    return list(name(revision, *rules, **settings).tags)


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        (PUSH, ["main"]),
        (TOPIC, ["my-branch"]),
        (revision("manual", branch="main"), ["main"]),
        (revision("manual", tag="v1"), ["v1", "latest"]),
        (tagged("v1.2.3"), ["v1.2.3", "latest"]),
        (tagged("v2.0.8-beta.67"), ["v2.0.8-beta.67", "latest"]),
        (CHANGE, ["pr-2"]),
        (SCHEDULE, ["nightly", "main"]),
        (QUEUE, []),
        (Revision(event="other"), []),
    ],
)
def test_default_rules(revision, expected):
    assert tags(revision) == expected


@pytest.mark.parametrize(
    ("tag", "pattern", "expected"),
    [
        ("v1.2.3", "{{raw}}", ["v1.2.3", "latest"]),
        ("v1.2.3", "{{version}}", ["1.2.3", "latest"]),
        ("v1.2.3", "{{major}}.{{minor}}", ["1.2", "latest"]),
        ("v1.2.3", "v{{major}}", ["v1", "latest"]),
        ("v1.2.3", "{{minor}}", ["2", "latest"]),
        ("v1.2.3", "{{patch}}", ["3", "latest"]),
        ("v0.2.3", "{{#if major}}{{major}}{{/if}}", []),
        ("v1.2.3+build.5", "{{version}}", ["1.2.3", "latest"]),
        ("v1.2.3+build.5", "{{raw}}", ["v1.2.3-build.5", "latest"]),
        ("v2.0.8-beta.67", "{{raw}}", ["v2.0.8-beta.67"]),
        ("v2.0.8-beta.67", "{{version}}", ["2.0.8-beta.67"]),
        ("v2.0.8-beta.67", "{{major}}.{{minor}}", ["2.0.8-beta.67"]),
        ("v2.0.8-beta.67", "v{{major}}", ["2.0.8-beta.67"]),
        ("release-7", "{{version}}", []),
        ("1.2", "{{version}}", []),
        ("v99999999999999999.0.0", "{{version}}", []),
    ],
)
def test_semver(tag, pattern, expected):
    assert tags(tagged(tag), f"type=semver,pattern={pattern}") == expected
    assert tags(PUSH, f"type=semver,pattern={pattern}") == []


@pytest.mark.parametrize(
    ("tag", "pattern", "expected"),
    [
        ("1.2.3", "{{raw}}", ["1.2.3", "latest"]),
        ("v1.2.3", "{{version}}", ["1.2.3", "latest"]),
        ("1.2.3", "{{major}}.{{minor}}", ["1.2", "latest"]),
        ("v1.2.3rc2", "{{raw}}", ["v1.2.3rc2"]),
        ("1.2.3rc2", "{{version}}", ["1.2.3rc2"]),
        ("1.2.3rc2", "{{major}}.{{minor}}", ["1.2.3rc2"]),
        ("1.2.3post1", "{{major}}.{{minor}}", ["1.2.3.post1"]),
        ("1.2.3beta2", "{{major}}.{{minor}}", ["1.2.3b2"]),
        ("1.0dev4", "{{major}}.{{minor}}", ["1.0.dev4"]),
        ("new", "{{version}}", []),
    ],
)
def test_pep440(tag, pattern, expected):
    assert tags(tagged(tag), f"type=pep440,pattern={pattern}") == expected


def test_version_from_elsewhere_than_the_whole_tag():
    assert tags(tagged("app/v1.2.3"), "type=semver,pattern={{version}},match=app/(.*)") == ["1.2.3", "latest"]
    assert tags(PUSH, "type=semver,pattern={{version}},value=v3.4.5") == ["3.4.5", "latest"]
    missed = name(tagged("v1.2.3"), "type=semver,pattern={{version}},match=app/(.*)")
    assert missed.tags == ("1.2.3", "latest")
    assert "match does not fit 'v1.2.3'" in missed.warnings[0]
    wrong = name(tagged("app/v1.2.3"), "type=pep440,pattern={{version}}")
    assert "'app/v1.2.3' is not a version of PEP 440" in wrong.warnings[0]


@pytest.mark.parametrize(
    ("tag", "rule", "expected"),
    [
        ("v1.2.3", r"pattern=\d.\d.\d", ["1.2.3", "latest"]),
        ("v2.0.8-beta.67", "pattern=v(.*),group=1", ["2.0.8-beta.67", "latest"]),
        ("v2.0.8-beta.67", r"pattern=v(\d.\d),group=1", ["2.0", "latest"]),
        ("20200110-RC2", r"pattern=\d+", ["20200110", "latest"]),
        ("p1/v1.2.3", r"pattern=p1/v(\d.\d.\d),group=1", ["1.2.3", "latest"]),
        ("20200110-RC2", "pattern=/rc/i", ["RC", "latest"]),
        ("a1b2", r"pattern=/\d/g,group=1", ["2", "latest"]),
        ("v1.2.3", r"pattern=(?<major>\d+)\.,group=1", ["1", "latest"]),
        ("v1.2.3", r'"pattern=v(\d{1,3}).*$",group=1', ["1", "latest"]),
        ("v1.2.3", "pattern=w.*", []),
        ("v1", "pattern=v1(x)?,group=1", []),
    ],
)
def test_match(tag, rule, expected):
    assert tags(tagged(tag), f"type=match,{rule}") == expected


def test_edge_and_sha_and_raw():
    assert tags(PUSH, "type=edge") == ["edge"]
    assert tags(TOPIC, "type=edge") == []
    assert tags(TOPIC, "type=edge,branch=my/branch") == ["edge"]
    assert tags(QUEUE, "type=edge", "type=ref,event=branch", "type=sha") == ["sha-860c190"]
    assert tags(CHANGE, "type=sha", "type=sha,format=long,prefix=") == ["sha-860c190", COMMIT]
    assert tags(PUSH, "type=sha,prefix={{branch}}-") == ["main-860c190"]
    assert tags(PUSH, "type=raw,value=foo", "type=raw,bar", "baz", "value=qux") == ["foo", "bar", "baz", "qux"]
    assert tags(PUSH, 'type=raw,"value=a,b"', '"type=raw","value=say ""hi"""') == ["a-b", "say-hi-"]
    assert tags(PUSH, "# a comment", "", " type=raw , value = x ") == ["x"]
    assert name(revision("push", branch="x", default_branch=""), "type=edge").warnings


def test_schedule():
    assert tags(SCHEDULE, "type=schedule,pattern={{date 'YYYYMMDD'}}") == ["20200110"]
    assert tags(SCHEDULE, "type=schedule,pattern={{date 'YYYYMMDD-HHmmss' tz='Asia/Tokyo'}}") == ["20200110-093000"]
    assert tags(SCHEDULE, "type=schedule,pattern={{commit_date 'YYYYMMDD'}}") == ["20200109"]
    assert tags(PUSH, "type=schedule") == []


@pytest.mark.parametrize(
    ("revision", "text", "expected"),
    [
        (TOPIC, "{{branch}}", "my-branch"),
        (CHANGE, "x{{branch}}", "x"),
        (tagged("v1"), "x{{branch}}", "x"),
        (tagged("v1"), "{{tag}}", "v1"),
        (PUSH, "x{{tag}}", "x"),
        (PUSH, "{{sha}}", "860c190"),
        (CHANGE, "{{base_ref}}", "main"),
        (PUSH, "x{{base_ref}}", "x"),
        (revision("tag", tag="v1", base_branch="main"), "x{{base_ref}}", "x"),
        (PUSH, "{{is_default_branch}}", "true"),
        (TOPIC, "{{is_default_branch}}-{{is_not_default_branch}}", "false-true"),
        (QUEUE, "{{is_default_branch}}", "false"),
        (PUSH, "mytag-{{branch}}-{{sha}}", "mytag-main-860c190"),
        (PUSH, "{{#if is_default_branch}}stable{{else}}{{branch}}{{/if}}", "stable"),
        (TOPIC, "{{#if is_default_branch}}stable{{else}}{{branch}}{{/if}}", "my-branch"),
        (revision("push", branch="a&b"), "{{branch}}", "a-b"),
        (revision("push", branch="x", commit_time=None), "{{commit_date 'YYYYMMDD'}}", "20200110"),
        (revision("push", branch="x", commit_time=10**18), "{{commit_date 'YYYYMMDD'}}", "20200110"),
    ],
)
def test_expressions(revision, text, expected):
    assert tags(revision, f"type=raw,value={text}") == [expected]


def test_dates_with_commas_are_quoted():
    text = "{{date 'dddd, MMMM Do YYYY, h:mm:ss a'}}"
    assert tags(PUSH, f'type=raw,"value={text}"') == ["Friday-January-10th-2020-12-30-00-am"]
    with pytest.raises(UsageError, match="without a matching }}") as caught:
        tags(PUSH, f"type=raw,value={text}")
    assert "quotes around the whole" in caught.value.hint


def test_enable():
    rule = "type=raw,value=latest,enable={{is_default_branch}}"
    assert tags(PUSH, rule) == ["latest"]
    assert tags(TOPIC, rule) == []
    with pytest.raises(UsageError, match="enable is 'maybe'"):
        tags(PUSH, "type=sha,enable=maybe")


def test_priority_orders_tags_and_the_first_one_is_the_version():
    rules = ("type=sha", "type=raw,value=first", "type=raw,value=second", "type=ref,event=branch")
    assert tags(PUSH, *rules) == ["main", "first", "second", "sha-860c190"]
    assert name(PUSH, *rules, "type=sha,format=long,priority=601").version == f"sha-{COMMIT}"
    # The first tag says whether there is `latest` too.
    both = ("type=semver,pattern={{version}}", "type=raw,value=x,priority=1000")
    assert tags(tagged("v1.2.3"), *both) == ["x", "1.2.3"]


def test_flavor():
    semver = "type=semver,pattern={{version}}"
    one = tagged("v1.2.3")
    assert tags(one, semver, flavor=["latest=false"]) == ["1.2.3"]
    assert tags(PUSH, flavor=["latest=true"]) == ["main", "latest"]
    assert tags(one, semver, flavor=["prefix=p-", "suffix=-s"]) == ["p-1.2.3-s", "latest"]
    assert tags(one, semver, flavor=["prefix=p-,onlatest=true", "suffix=-s,onlatest=true"]) == [
        "p-1.2.3-s",
        "p-latest-s",
    ]
    assert tags(one, semver + ",prefix=", flavor=["prefix=p-", "latest=false"]) == ["1.2.3"]
    assert tags(PUSH, "type=sha", flavor=["prefix=p-"]) == ["sha-860c190"], "a rule's own prefix comes first"
    assert tags(PUSH, "type=sha", "{{sha}}", flavor=["sha-length=12"]) == ["860c1904a1ce", "sha-860c1904a1ce"]
    assert tags(TOPIC, "x", flavor=["suffix=-{{branch}},onlatest=true", "latest=true"]) == [
        "x-my-branch",
        "latest-my-branch",
    ]


def test_names_of_images():
    made = name(PUSH, "a", "b", images=["User/App", "name=ghcr.io/User/app", "name=off.example/x,enable=false"])
    assert made.names == ("user/app:a", "user/app:b", "ghcr.io/user/app:a", "ghcr.io/user/app:b")
    assert name(PUSH, "a", images=["one/a,two/b"]).names == ("one/a:a", "two/b:a")
    assert name(TOPIC, "a", images=["name=x/y,enable={{is_default_branch}}"]).names == ()
    assert name(PUSH, "a").names == ()


def test_names_that_are_given_whole():
    rules = ("registry.example:5000/team/app:{{branch}}", "ghcr.io/acme/shop", "type=sha")
    made = name(TOPIC, *rules, images=["acme/shop"])
    assert made.tags == ("sha-860c190",)
    assert made.names == (
        "acme/shop:sha-860c190",
        "registry.example:5000/team/app:my-branch",
        "ghcr.io/acme/shop:latest",
    )
    alone = name(tagged("v1"), "a.example/b:1.0,a.example/c:1.0")
    assert alone.names == ("a.example/b:1.0", "a.example/c:1.0")
    assert (alone.tags, alone.version) == ((), "1.0")


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("type=semvr,pattern=x", "no type 'semvr'", "did you mean semver?"),
        ("type=semver", "it has no pattern", "type=semver,pattern="),
        ("type=semver,patern={{version}}", "unknown key 'patern'", "did you mean pattern?"),
        ("type=sha,event=branch", "type sha have no event", "format"),
        ("type=sha,foo", "type sha have no value", "format"),
        ("type=ref,event=brunch", "event is 'brunch'", "did you mean branch?"),
        ("type=sha,format=tiny", "format is 'tiny'", "short, long"),
        ("type=sha,priority=high", "priority is 'high'", "number"),
        ("type=raw,value=a,value=b", "value is there twice", ""),
        ("type=raw,value={{brunch}}", "{{brunch}} is unknown", "did you mean branch?"),
        ("type=schedule,pattern={{date}}", "not understood", "{{date 'YYYYMMDD'}}"),
        ("type=schedule,pattern={{date 'YYYY' tz='Europe/Berlim'}}", "not a time zone", "Europe/Berlin"),
        ("type=schedule,pattern={{date 'YYYY' zone='UTC'}}", "not understood", "tz="),
        ("type=semver,pattern={{#if major}}x", "has no {{/if}}", ""),
        ("type=semver,pattern={{/if}}", "closes nothing", ""),
        ("type=semver,pattern={{#each major}}x{{/each}}", "not understood", "{{#if NAME}}"),
        ("type=match,pattern=(", "not a regular expression", ""),
        ("type=match,pattern=v(.*),group=2", "the pattern has 1", ""),
        ("type=match,pattern=v,group=one", "group is 'one'", "number"),
        ("type=match,pattern=/v/y", "flag 'y'", "i, m, s"),
        ("type=semver,pattern={{version}},match=v.*", "match has no group", "parentheses"),
        ('type=raw,value="a,b"', "quotes", '""'),
        ("type=raw,value=a\nb", "several lines", ""),
        (",", "it is empty", ""),
        ("registry.example/UPPER CASE", "not an image reference", "lower case"),
        ("registry.example/a@sha256:" + "0" * 64, "not an image reference", ""),
    ],
)
def test_bad_rules_are_named(entry, message, hint):
    with pytest.raises(UsageError) as caught:
        tags(revision("other"), "type=sha", entry)
    assert message in caught.value.message
    assert entry.split("@")[0].strip() in caught.value.message.encode().decode("unicode_escape")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"flavor": ["latest=maybe"]}, "latest is 'maybe'"),
        ({"flavor": ["lates=true"]}, "unknown key 'lates'"),
        ({"flavor": ["onlatest=true"]}, "belongs to a prefix"),
        ({"flavor": ["true"]}, "no key before it"),
        ({"flavor": ["sha-length=3"]}, "sha-length is '3'"),
        ({"flavor": ["prefix={{nope}}"]}, "{{nope}} is unknown"),
        ({"images": ["acme/shop:1.0"]}, "has a tag"),
        ({"images": ["-bad-"]}, "not an image reference"),
        ({"images": ["name=a,enabled=true"]}, "unknown key 'enabled'"),
        ({"images": ["enable=true"]}, "it has no name"),
        ({"labels": {"x": "{{nope}}"}}, "label 'x': {{nope}} is unknown"),
        ({"annotations": {"x": "{{"}}, "annotation 'x'"),
    ],
)
def test_other_bad_settings_are_named(setting, message):
    with pytest.raises(UsageError) as caught:
        tags(PUSH, **setting)
    assert message in caught.value.message


def test_labels():
    prefix = "org.opencontainers.image."
    made = name(tagged("v1.2.3"), "type=semver,pattern={{version}}")
    assert made.labels == {
        f"{prefix}created": "2020-01-09T00:30:00Z",
        f"{prefix}revision": COMMIT,
        f"{prefix}source": "https://git.example/octocat/Hello-World",
        f"{prefix}title": "Hello-World",
        f"{prefix}url": "https://git.example/octocat/Hello-World",
        f"{prefix}version": "1.2.3",
    }
    assert made.annotations == made.labels
    known = revision("push", branch="main", description="{{x}} & more", licenses="MIT")
    given = {f"{prefix}title": "Shop", "made-of": "{{branch}}", "empty": "", "braces": r"\{{x}}"}
    labels = name(known, labels=given).labels
    assert labels[f"{prefix}description"] == "{{x}} & more"
    assert labels[f"{prefix}licenses"] == "MIT"
    assert [labels[key] for key in (f"{prefix}title", "made-of", "empty", "braces")] == ["Shop", "main", "", "{{x}}"]
    assert list(labels) == sorted(labels)
    assert name_image(Revision(event="other"), now=NOW).labels == {}


def test_tags_that_would_be_none():
    assert clean_tag("feat/Search Box") == "feat-Search-Box"
    assert clean_tag("-.-x") == "x"
    assert clean_tag("日本") == ""
    long = [clean_tag("x" * 200 + end) for end in "ab"]
    assert len(set(long)) == 2
    assert {len(tag) for tag in long} == {128}
    odd = name(revision("push", branch="日本"))
    assert (odd.tags, odd.names) == ((), ())
    assert "no tag can be made" in odd.warnings[0]
