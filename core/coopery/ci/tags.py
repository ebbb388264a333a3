"""What an image is called: its tags, full names and labels, computed from a revision by metadata-action's rules. Pure.

The same revision and settings give the same result whichever platform the revision came from. What the rules mean is
said in docker/metadata-action's README.md; this follows its src/meta.ts, and differs where that gives no valid tag:
a tag never begins with `.` or `-` and isn't longer than 128 characters. A merge queue's result is not on its branch
yet, so the rules about branches don't apply to it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from coopery.ci.expressions import Scope, Template, built_branch, built_tag
from coopery.ci.labels import described, overridden
from coopery.ci.revision import Revision
from coopery.ci.rules import Flavor, Image, Rule, WholeName, parse_flavor, parse_images, parse_tags
from coopery.ci.versions import Version, pep440, semver
from coopery.errors import UsageError
from coopery.oci.reference import Reference

_LONGEST = 128
_NOT_IN_TAGS = re.compile(r"[^a-zA-Z0-9._-]+")
#: What a rule yields: the tag's value, and whether it makes the image the latest one. None: nothing.
_Yield = tuple[str, bool] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What an image is called, and what is written on it."""

    version: str = ""  # the first tag; empty if no rule gave one
    tags: tuple[str, ...] = ()  # of every image, in order
    names: tuple[str, ...] = ()  # `image:tag`, each image with each tag, then the names that were given whole
    labels: Mapping[str, str] = field(default_factory=dict)  # sorted
    annotations: Mapping[str, str] = field(default_factory=dict)  # sorted; of the manifest, and of an index
    warnings: tuple[str, ...] = ()  # rules that could not be applied


def name_image(
    revision: Revision,
    *,
    now: int,
    images: Sequence[str] = (),
    tags: Sequence[str] = (),
    flavor: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Naming:
    """How the settings `images`, `tags`, `flavor`, `labels` and `annotations` name what is built of `revision`.

    `now` is the time for `{{date}}`, in seconds since 1970. UsageError, naming the entry, for settings that can't be
    honoured, also for those of rules that don't apply to the revision.
    """
    style = parse_flavor(flavor)
    rules, whole = parse_tags(tags)
    scope = Scope(revision, now, style.sha_length)
    warnings: list[str] = []
    found, latest = _apply(rules, style, scope, warnings)
    if found and latest:
        prefix = style.prefix.render(scope) if style.prefix and style.prefix_latest else ""
        suffix = style.suffix.render(scope) if style.suffix and style.suffix_latest else ""
        found.append(clean_tag(f"{prefix}latest{suffix}"))
    bare = tuple(dict.fromkeys(found))
    names = [f"{name}:{tag}" for name in _repositories(parse_images(images), scope) for tag in bare]
    given = [_given(name, scope) for name in whole]
    if bare and given and not images:
        warnings.append("the tag rules apply to no image: only whole names are given, and no images")
    version = bare[0] if bare else given[0].rpartition(":")[2] if given else ""
    known = described(revision, version)
    return Naming(
        version=version,
        tags=bare,
        names=tuple(dict.fromkeys([*names, *given])),
        labels=overridden(known, labels or {}, scope, "label"),
        annotations=overridden(known, annotations or {}, scope, "annotation"),
        warnings=tuple(warnings),
    )


def clean_tag(text: str) -> str:
    """The tag that stands for `text`; empty if nothing is left of it.

    As metadata-action, runs of what tags can't have become `-`. Beyond that, a tag doesn't begin with `.` or `-`, and
    one that would be too long ends with a part of its hash, so that two of them stay different.
    """
    tag = _NOT_IN_TAGS.sub("-", text).lstrip(".-")
    if len(tag) <= _LONGEST:
        return tag
    return f"{tag[: _LONGEST - 13]}-{hashlib.sha256(tag.encode()).hexdigest()[:12]}"


# ------------------------------------------------------------------------------------------------ rules


def _apply(rules: Sequence[Rule], style: Flavor, scope: Scope, warnings: list[str]) -> tuple[list[str], bool]:
    """The tags that the rules give, and whether `latest` is one: the first rule that gives a tag decides."""
    found: list[str] = []
    latest = False
    for rule in rules:
        if not _enabled(rule.enable, f"tag rule {rule.text!r}", scope):
            continue
        outcome = _APPLY[rule.type](rule, scope, warnings)
        if outcome is None:
            continue
        text = _affixed(outcome[0], rule, style, scope)
        tag = clean_tag(text)
        if not tag:
            if text:
                warnings.append(f"tag rule {rule.text!r} gives {text!r}, of which no tag can be made")
            continue
        if not found:
            latest = outcome[1] if style.latest == "auto" else style.latest == "true"
        found.append(tag)
    return found, latest


def _enabled(enable: Template, what: str, scope: Scope) -> bool:
    value = enable.render(scope)
    if value not in ("true", "false"):
        raise UsageError(f"{what}: enable is {value!r}", hint="it is true or false, or {{is_default_branch}}")
    return value == "true"


def _affixed(value: str, rule: Rule, style: Flavor, scope: Scope) -> str:
    prefix = rule.prefix if rule.prefix is not None else style.prefix
    suffix = rule.suffix if rule.suffix is not None else style.suffix
    return (prefix.render(scope) if prefix else "") + value + (suffix.render(scope) if suffix else "")


def _schedule(rule: Rule, scope: Scope, _warnings: list[str]) -> _Yield:
    assert rule.pattern is not None
    return (rule.pattern.render(scope), False) if scope.revision.event == "schedule" else None


def _semver(rule: Rule, scope: Scope, warnings: list[str]) -> _Yield:
    text = _subject(rule, scope)
    if text is None:
        return None
    version = semver(_matched(text, rule, warnings))
    if version is None:
        warnings.append(f"tag rule {rule.text!r}: {text!r} is not a version of semver.org")
        return None
    return _numbered(version, rule, scope)


def _pep440(rule: Rule, scope: Scope, warnings: list[str]) -> _Yield:
    text = _subject(rule, scope)
    if text is None:
        return None
    version = pep440(_matched(text, rule, warnings))
    if version is None:
        warnings.append(f"tag rule {rule.text!r}: {text!r} is not a version of PEP 440")
        return None
    return _numbered(version, rule, scope)


def _numbered(version: Version, rule: Rule, scope: Scope) -> _Yield:
    """A version that isn't a release gives no tag but itself: those without all its parts are for releases."""
    assert rule.pattern is not None
    if version.release:
        return rule.pattern.render(replace(scope, version=version)), True
    return version.raw if rule.pattern.is_raw else version.text, False


def _match(rule: Rule, scope: Scope, warnings: list[str]) -> _Yield:
    text = _subject(rule, scope)
    if text is None:
        return None
    assert rule.expression is not None
    match = rule.expression.search(text)
    groups: list[str | None] = [match[0], *match.groups()] if match else []
    if rule.every:
        groups = [each[0] for each in rule.expression.finditer(text)]
    value = groups[rule.group] if rule.group < len(groups) else None
    if value is None:
        warnings.append(f"tag rule {rule.text!r} does not match {text!r}")
        return None
    return value, True


def _edge(rule: Rule, scope: Scope, warnings: list[str]) -> _Yield:
    branch = built_branch(scope.revision)
    edge = rule.branch or scope.revision.default_branch
    if branch and not edge:
        warnings.append(f"tag rule {rule.text!r}: which branch is the default one isn't known; write branch=NAME")
    return ("edge", False) if branch and branch == edge else None


def _ref(rule: Rule, scope: Scope, _warnings: list[str]) -> _Yield:
    revision = scope.revision
    if rule.event == "branch":
        value = built_branch(revision)
    elif rule.event == "tag":
        value = built_tag(revision)
    else:
        value = revision.change if revision.event == "change" else ""
    return (value, rule.event == "tag") if value else None


def _raw(rule: Rule, scope: Scope, _warnings: list[str]) -> _Yield:
    assert rule.value is not None
    return rule.value.render(scope), False


def _sha(rule: Rule, scope: Scope, _warnings: list[str]) -> _Yield:
    commit = scope.revision.commit
    value = commit if rule.format == "long" else commit[: scope.sha_length]
    return (value, False) if value else None


_APPLY = {
    "schedule": _schedule,
    "semver": _semver,
    "pep440": _pep440,
    "match": _match,
    "edge": _edge,
    "ref": _ref,
    "raw": _raw,
    "sha": _sha,
}


def _subject(rule: Rule, scope: Scope) -> str | None:
    """What a version is read from: the rule's value, or else the git tag; None if there is neither."""
    return rule.value.render(scope) if rule.value else built_tag(scope.revision) or None


def _matched(text: str, rule: Rule, warnings: list[str]) -> str:
    """What the rule's `match` has in its first group; the text as it is if there is no `match`, or it doesn't fit."""
    match = rule.expression.search(text) if rule.expression else None
    if rule.expression and (match is None or match[1] is None):
        warnings.append(f"tag rule {rule.text!r}: match does not fit {text!r}")
    elif match:
        text = match[1]
    return text.replace("/", "-")


# ------------------------------------------------------------------------------------------------ names


def _repositories(images: Sequence[Image], scope: Scope) -> list[str]:
    names = []
    for image in images:
        what = f"image {image.text!r}"
        reference = _reference(image.name, what)
        if reference.tag or reference.digest:
            raise UsageError(f"{what}: it has a tag or digest", hint="tags have a setting of their own: tags")
        if _enabled(image.enable, what, scope):
            names.append(image.name)
    return names


def _given(name: WholeName, scope: Scope) -> str:
    tag = clean_tag(name.tag.render(scope))
    what = f"tag {name.text!r}"
    if not tag:
        raise UsageError(f"{what}: nothing is left of its tag here", hint="write a tag after the colon")
    if _reference(name.repository, what).digest:
        raise UsageError(f"{what}: it has a digest", hint="an image is given a name by a tag")
    return f"{name.repository}:{tag}"


def _reference(text: str, what: str) -> Reference:
    try:
        return Reference.parse(text)
    except UsageError as error:
        raise UsageError(f"{what}: {error.message}", hint=error.hint) from None
