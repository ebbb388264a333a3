"""What is going to be done with each target: its names, whether it is pushed and why not, its caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from coopery.ci.local import Local
from coopery.ci.parts import chosen_targets, part_names, part_tag
from coopery.ci.platform import CacheChoice, CacheKind, CacheWish, Platform
from coopery.ci.revision import Revision
from coopery.ci.rules import parse_images, parse_tags
from coopery.ci.settings import Settings, Target
from coopery.ci.tags import Naming, name_image
from coopery.ci.written import NOWHERE, Faults
from coopery.errors import CooperyError, UsageError
from coopery.oci.platform import Platform as ImagePlatform
from coopery.oci.platform import host
from coopery.oci.reference import Reference

_KINDS: dict[str, CacheKind] = {
    "auto": "auto",
    "platform": "platform",
    "registry": "registry",
    "local": "local",
    "none": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is going to be done with one target."""

    target: Target
    naming: Naming
    platforms: tuple[str, ...]  # to build for; empty: this machine's
    names: tuple[str, ...]  # that are pushed, or would be: those of the naming, or of the part
    push: bool
    why: str = ""  # what people should know of it if it isn't pushed
    cache: CacheChoice = field(default_factory=CacheChoice)


def intents(
    settings: Settings,
    revision: Revision,
    platform: Platform,
    *,
    now: int,
    push: bool | None = None,
    merging: bool = False,
) -> tuple[Intent, ...]:
    """What is going to be done with each target of `settings` that this job builds. `now` is in seconds since 1970;
    `push` is what the command line says of it. A job that is `merging` runs no steps and needs no cache.

    UsageError, or SettingsError for several, for names that can't be, and for a name that two targets have.
    """
    faults = Faults()
    local = isinstance(platform, Local)
    found: list[Intent] = []
    for target in chosen_targets(settings.targets, settings.only_platform):
        try:
            found.append(_intent(target, settings.only_platform, revision, platform, now, _Wish(push, local, merging)))
        except CooperyError as error:
            _blame(error, target)
            faults.add(error)
    faults.check()
    _check_clashes(found)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command line says of pushing, whether there is no CI system, and whether no steps are run."""

    push: bool | None
    local: bool
    merging: bool


def _intent(
    target: Target, only_platform: str, revision: Revision, platform: Platform, now: int, wish: _Wish
) -> Intent:
    naming = name_target(target, revision, now)
    names, built_for = naming.names, target.platforms
    if only_platform and len(target.platforms) > 1:
        names, built_for = part_names(names, part_tag(target, revision, only_platform)), (only_platform,)
    push, why = _pushing(target, revision, names, wish)
    found = Intent(target=target, naming=naming, platforms=built_for, names=names, push=push, why=why)
    if wish.merging:
        return found
    may_write = revision.trusted and (push or not wish.local)
    return replace(found, cache=_cache(found, revision, platform, may_write))


def name_target(target: Target, revision: Revision, now: int) -> Naming:
    """What the image of `target` is called. UsageError for settings that can't be honoured."""
    return name_image(
        revision,
        now=now,
        images=_images(target, revision),
        tags=target.tags,
        flavor=target.flavor,
        labels=target.labels,
        annotations=target.annotations,
    )


def _images(target: Target, revision: Revision) -> tuple[str, ...]:
    """What the image is called. Where the settings don't say it is its place in the platform's own registry, if there
    is one; of several targets each has a place of its own below.
    """
    if target.images:
        return target.images
    rules, names = parse_tags(target.tags)
    if not revision.default_image or (names and not rules):
        return ()
    return (f"{revision.default_image}/{target.name.lower()}".rstrip("/"),)


def _pushing(target: Target, revision: Revision, names: Sequence[str], wish: _Wish) -> tuple[bool, str]:
    """Whether the image is pushed, and if not what people should know of that."""
    wanted = target.push if wish.push is None else str(wish.push).lower()
    if wanted == "false":
        return False, ""
    if not revision.trusted:
        return False, f"{target.title} is built and not pushed: {revision.untrusted}"
    if wish.local and wish.push is None:
        return False, f"{target.title} is built and not pushed: this is no CI job (--push pushes it)"
    if wanted == "auto" and revision.event == "change":
        return False, f"{target.title} is built and not pushed: it is a change (push: true pushes it)"
    if not names:
        if wanted == "true" and not (target.images or target.tags):
            hint = "name its repository: images: [REGISTRY/REPOSITORY]"
            raise UsageError(f"{target.title} is to be pushed, and nothing says what it is called", hint=hint)
        reason = "no tag rule applies here" if target.images or target.tags else "the settings name no image"
        return False, f"{target.title} is built and not pushed: {reason}"
    return True, ""


def _cache(intent: Intent, revision: Revision, platform: Platform, may_write: bool) -> CacheChoice:
    target = intent.target
    if target.cache_from or target.cache_to:
        notice = "" if may_write or not target.cache_to else f"{target.title}: no cache is written by this job"
        return CacheChoice(sources=target.cache_from, targets=target.cache_to if may_write else (), notice=notice)
    if target.cache == "none":
        return CacheChoice()
    repository = target.cache_repository.lower()
    images = intent.naming.names or [image.name for image in parse_images(_images(target, revision))]
    if not repository and images:  # also where no tag rule applies
        repository = _beside(Reference.parse(images[0]))
    built_for = [str(ImagePlatform.parse(text)) for text in intent.platforms] or [str(host())]
    scope = "-".join(part for part in (target.name, *built_for) if part).replace("/", "-")
    choice = platform.cache(
        CacheWish(kind=_KINDS[target.cache], repository=repository, scope=scope, may_write=may_write)
    )
    return choice if may_write else replace(choice, targets=())


def _beside(image: Reference) -> str:
    """The repository for cached steps of `image`. Docker Hub has no repositories below others."""
    return f"{image.name}-cache" if image.registry == "docker.io" else f"{image.name}/cache"


def _blame(error: CooperyError, target: Target) -> None:
    """The tag rules' errors name their entry: say where the setting is."""
    for word, key in (("tag", "tags"), ("image", "images"), ("label", "labels"), ("annotation", "annotations")):
        if error.message.startswith(word) and target.spot(key) is not NOWHERE:
            target.spot(key).blame(error)
            return
    if target.name and error.location is None:
        error.message = f"target {target.name}: {error.message}"


def _check_clashes(found: Sequence[Intent]) -> None:
    """UsageError if two targets would be pushed under one name."""
    owners: dict[str, Intent] = {}
    for intent in found:
        for name in intent.names:
            other = owners.setdefault(name, intent)
            if other is not intent:
                hint = f"give each an image of its own, or a flavor: suffix=-{intent.target.name},onlatest=true"
                spot = intent.target.spot("images")
                message = f"the targets {other.target.name} and {intent.target.name} are both called {name}"
                raise spot.error(message, hint=hint)
