"""What a pipeline is to do, out of what was asked for. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coopery.errors import UsageError
from coopery.generate.registries import OTHER, KnownRegistry, Login, known_registries, registry_of
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference

#: Where Coopery comes from, until somebody says it: a repository on the forge, and the commit or tag of it to use.
SOURCE = "OWNER/coopery@COMMIT"
#: The repository that the pipeline is for, and its default branch, until somebody says them.
REPOSITORY, BRANCH = "acme/shop", "main"
CACHES = ("auto", "platform", "registry", "local", "none")
#: Under which names images are pushed: rules that suit a project with releases.
TAGS = (
    "type=ref,event=branch",
    "type=ref,event=pr",
    "type=semver,pattern={{version}}",
    "type=semver,pattern={{major}}.{{minor}}",
    "type=sha",
)

_SOURCE = re.compile(r"(?P<repository>[A-Za-z0-9_-]+/[A-Za-z0-9._-]+)@(?P<ref>[A-Za-z0-9][A-Za-z0-9._/-]*)")
_REPOSITORY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")
#: One word for each kind of processor: what runners are called by. A variant is only told for 32-bit ARM.
_WORDS = {("arm", "v7"): "armhf", ("arm", "v6"): "armel"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for."""

    registries: tuple[str, ...] = ()  # ids
    images: tuple[str, ...] = ()  # with their registry, or for each of the registries
    platforms: tuple[str, ...] = ()
    cache: str = "auto"
    keyless: bool = False
    source: str = SOURCE
    repository: str = REPOSITORY
    branch: str = BRANCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where Coopery comes from."""

    repository: str  # owner/name
    ref: str
    placeholder: bool  # whether it has to be replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A registry, the images that go there, and how jobs log in."""

    registry: KnownRegistry
    host: str
    images: tuple[str, ...]
    given: bool  # whether somebody named the images; else they are examples, or of a home those of the project
    login: Login
    names: str  # begins the names of its variables and secrets
    account: str = ""  # of AWS
    region: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        return self.registry.title or self.host

    @property
    def username(self) -> str:
        """The name of the variable or secret with the user's name."""
        return f"{self.names}_USERNAME"

    @property
    def token(self) -> str:
        """The name of the secret with the password."""
        return f"{self.names}_TOKEN"

    @property
    def organization(self) -> str:
        """The first part of the images' names."""
        return self.images[0].split("/")[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the pipeline does."""

    platform: str  # the entry point's name
    title: str
    places: tuple[Place, ...]
    platforms: tuple[str, ...]
    cache: str
    keyless: bool
    source: Source
    repository: str
    branch: str
    tags: tuple[str, ...] = TAGS

    @property
    def images(self) -> tuple[str, ...]:
        """All images, in order."""
        return tuple(image for place in self.places for image in place.images)

    @property
    def several(self) -> bool:
        """Whether each platform has a job of its own."""
        return len(self.platforms) > 1

    @property
    def registry_cache(self) -> str:
        """The repository that a cache in a registry is in."""
        first = self.places[0]
        return first.registry.cache.format(image=first.images[0])

    @property
    def cache_repository(self) -> str:
        """The same where that has to be said, as it isn't beside the image; else empty."""
        return self.registry_cache if self.registry_cache != f"{self.images[0]}/cache" else ""

    @property
    def destinations(self) -> str:
        """The registries, as a part of a sentence."""
        *most, last = (place.title for place in self.places)
        return f"{', '.join(most)} and {last}" if most else last

    def pushed_to(self, place: Place, cached: bool) -> tuple[str, ...]:
        """The repositories in `place`, without its host; with the cache's if steps are kept in a registry."""
        names = [*place.images, *([self.registry_cache] if cached else [])]
        return tuple(name.partition("/")[2] for name in names if name.startswith(f"{place.host}/"))

    def logging_in_by(self, *logins: Login) -> list[Place]:
        """The places with one of these logins."""
        return [place for place in self.places if place.login in logins]


def word_of(platform: str) -> str:
    """What runners for `platform` are called by: amd64, arm64, armhf."""
    found = Platform.parse(platform)
    return _WORDS.get((found.architecture, found.variant), found.architecture)


def make_plan(wish: Wish, platform: str, title: str) -> Plan:
    """What a pipeline on `platform`, which people call `title`, does for `wish`.

    UsageError for what can't be read, and for what can't be had together.
    """
    if wish.cache not in CACHES:
        raise UsageError(f"--cache: there is no {wish.cache!r}", hint="one of " + ", ".join(CACHES))
    repository = _matching(_REPOSITORY, wish.repository, "--repository", "OWNER/NAME")
    return Plan(
        platform=platform,
        title=title,
        places=_places(wish, platform, title),
        platforms=_platforms(wish.platforms),
        cache=wish.cache,
        keyless=wish.keyless,
        source=_source(wish.source),
        repository=repository,
        branch=_matching(_BRANCH, wish.branch, "--branch", "the name of the default branch, such as main"),
    )


def _places(wish: Wish, platform: str, title: str) -> tuple[Place, ...]:
    known = known_registries()
    paths = [name for name in wish.images if not _has_host(name)]
    registries = wish.registries or ((_usual(platform),) if paths or not wish.images else ())
    unknown = [name for name in registries if name not in known]
    if unknown:
        raise UsageError(f"--registry: there is no {unknown[0]!r}", hint="one of " + ", ".join(known))
    images: dict[str, list[str]] = {}  # by host
    examples: set[str] = set()
    for name in wish.images:
        if _has_host(name):
            reference = _repository(name)
            images.setdefault(reference.registry, []).append(reference.name)
    for registry in (known[name] for name in dict.fromkeys(registries)):
        hosts = [host for host in images if registry_of(host) is registry]
        if hosts and not paths:
            continue
        if not hosts and (registry.example or not (paths or wish.repository != REPOSITORY)):
            examples.add(registry.host)
        # Names in registries are lower case, repositories' needn't be.
        for path in paths or [wish.repository.lower()]:
            for host in hosts or [registry.host]:
                images.setdefault(host, []).append(_repository(f"{host}/{path}").name)
    others = [host for host in images if registry_of(host).id == OTHER]
    return tuple(
        _place(
            host,
            tuple(dict.fromkeys(names)),
            given=host not in examples,
            # Of registries that the table doesn't know there may be several.
            suffix=str(others.index(host) + 1) if host in others[1:] else "",
            keyless=wish.keyless,
            platform=platform,
            title=title,
        )
        for host, names in images.items()
    )


def _place(
    host: str, images: tuple[str, ...], *, given: bool, suffix: str, keyless: bool, platform: str, title: str
) -> Place:
    registry = registry_of(host)
    login = registry.keyless_login(platform) if keyless else registry.stored_login(platform)
    if login is None:
        raise _not_keyless(host, registry, platform, title)
    match = re.fullmatch(registry.pattern, host)
    assert match
    return Place(
        registry=registry,
        host=host,
        images=images,
        given=given,
        login=login,
        names=registry.names + suffix,
        **match.groupdict(),
    )


def _not_keyless(host: str, registry: KnownRegistry, platform: str, title: str) -> UsageError:
    known = known_registries().values()
    others = [entry.id for entry in known if entry.keyless_login(platform)]
    message = f"--keyless: {host} takes no identity of jobs of {title}"
    if registry.home or registry.keyless_on:
        homes = ", ".join(registry.keyless_on or (registry.home,))
        message += f", only those of {homes}"
    hint = "leave out --keyless: the pipeline then says which token to create and where to keep it"
    if others:
        hint += f"; or take --registry {' or '.join(others)}"
    return UsageError(message, hint=hint)


def _usual(platform: str) -> str:
    """The registry for those who name none: the platform's own, else the first of the table."""
    known = known_registries()
    return next((entry.id for entry in known.values() if entry.home == platform), next(iter(known)))


def _has_host(name: str) -> bool:
    """Whether `name` begins with a registry, by Docker's rule."""
    first, slash, _ = name.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def _repository(name: str) -> Reference:
    reference = Reference.parse(name)
    if reference.tag or reference.digest:
        raise UsageError(f"--image {name}: that is one image, not a repository", hint=f"write --image {reference.name}")
    return reference


def _platforms(names: Sequence[str]) -> tuple[str, ...]:
    found = []
    for name in names:
        platform = Platform.parse(name)
        if platform.os != "linux":
            hint = "take linux/amd64 or linux/arm64"
            raise UsageError(f"--platforms: images for {platform.os} can't be built", hint=hint)
        if platform.variant and (platform.architecture, platform.variant) not in _WORDS:
            hint = f"take {platform.os}/{platform.architecture}"
            raise UsageError(f"--platforms: no runner is known by the variant of {platform}", hint=hint)
        found.append(str(platform))
    return tuple(dict.fromkeys(found))


def _source(text: str) -> Source:
    match = _SOURCE.fullmatch(text)
    if not match:
        hint = f"write OWNER/NAME@COMMIT, as in {SOURCE}"
        raise UsageError(f"--source: {text!r} is not a repository with a commit", hint=hint)
    return Source(repository=match["repository"], ref=match["ref"], placeholder=text == SOURCE)


def _matching(pattern: re.Pattern[str], text: str, option: str, wanted: str) -> str:
    if not pattern.fullmatch(text):
        raise UsageError(f"{option}: {text!r} can't be meant", hint=f"write {wanted}")
    return text
