"""What a run would do, for people and for other tools: nothing in it is secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from coopery.ci.intents import Intent, intents
from coopery.ci.logins import Origin, login_origins
from coopery.ci.platform import Platform
from coopery.ci.rendering.inert import one_line
from coopery.ci.revision import Revision
from coopery.ci.secrets import SecretStore
from coopery.ci.settings import Settings
from coopery.credentials.keys import matching
from coopery.engines.cache_spec import shown
from coopery.oci.platform import host
from coopery.oci.reference import Reference

#: Where credentials are looked for when neither the settings nor the platform have one.
_USUAL = "the files of docker and podman, or the cloud's own login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A run, before it is one."""

    title: str  # of the platform
    revision: Revision
    settings: Settings
    intents: tuple[Intent, ...]
    logins: Mapping[str, str]  # by the repository that is pushed to: where the credential comes from
    secrets: Mapping[tuple[str, str], tuple[str, bool]]  # by target and id: where it comes from, whether it is there


def preview(
    settings: Settings, revision: Revision, platform: Platform, store: SecretStore, *, now: int, push: bool | None
) -> Preview:
    """What `build_all` would do. Asks the platform for names of credentials and secrets, and builds nothing."""
    planned = intents(settings, revision, platform, now=now, push=push)
    repositories = {Reference.parse(name).name: None for intent in planned for name in intent.names}
    origins = [origin for origin in login_origins(settings.registries, platform, store) if not origin.pull_only]
    secrets = {
        (intent.target.name, name): (wanted.origin, store.place(wanted) is not None)
        for intent in planned
        for name, wanted in intent.target.secrets.items()
    }
    return Preview(
        title=platform.title,
        revision=revision,
        settings=settings,
        intents=planned,
        logins={name: _origin(name, origins) for name in repositories},
        secrets=secrets,
    )


def _origin(repository: str, origins: Sequence[Origin]) -> str:
    """The first provider that has anything for the repository wins; within one the longest namespace."""
    reference = Reference.parse(repository)
    for group in dict.fromkeys(origin.group for origin in origins):
        places = {origin.place: origin.origin for origin in origins if origin.group == group}
        found = matching(places, reference.registry, reference.repository)
        if found:
            return places[found[0]]
    return _USUAL


# ------------------------------------------------------------------------------------------------ for people


def as_text(plan: Preview) -> str:
    """The preview as lines of text. What somebody else chose can't begin a line, nor steer a terminal."""
    revision = plan.revision
    lines = [
        f"On {plan.title}: {_event(revision)}",
        f"Settings: {one_line(plan.settings.file) or 'none but those of the job'}",
    ]
    for intent in plan.intents:
        target = intent.target
        lines += ["", f"Target {target.name}" if target.name else "Image"]
        where = f"{target.context}, {target.file or 'its Dockerfile'}" + (
            f", stage {target.target}" * bool(target.target)
        )
        lines.append(f"  build     {one_line(where)} for {', '.join(intent.platforms or (str(host()),))}")
        lines += _rows("tag", intent.names)
        lines += _rows("push", ["yes" if intent.push else intent.why or "no"])
        lines += _rows("label", (f"{key}={value}" for key, value in intent.naming.labels.items()))
        lines += _rows("read", map(shown, intent.cache.sources))
        lines += _rows("write", map(shown, intent.cache.targets))
        lines += _rows("notice", [text for text in (intent.cache.notice, *intent.naming.warnings) if text])
        lines += _rows("secret", (_secret(plan, target.name, name) for name in target.secrets))
    if plan.logins:
        lines += ["", "Credentials"]
        lines += [f"  {name}: {one_line(origin)}" for name, origin in plan.logins.items()]
    return "\n".join(lines)


def _event(revision: Revision) -> str:
    what = revision.branch or revision.tag or "no branch"
    if revision.event == "change":
        what = f"{revision.change} ({what} to {revision.base_branch})"
    commit = f", commit {revision.commit[:12]}" if revision.commit else ""
    trust = f"; not trusted: {revision.untrusted}" if revision.untrusted else ""
    return one_line(f"{revision.event} of {what}{commit}{trust}")


def _secret(plan: Preview, target: str, name: str) -> str:
    origin, there = plan.secrets[target, name]
    return f"{name}, from {origin}" + ("" if there else ", which isn't there")


def _rows(title: str, values: Sequence[str] | Iterator[str]) -> list[str]:
    return [f"  {title:<9} {one_line(value)}" for value in values]


# ------------------------------------------------------------------------------------------------ for tools


def as_json(plan: Preview) -> dict[str, Any]:
    """The preview as a value for JSON."""
    return {
        "platform": plan.title,
        "revision": asdict(plan.revision),
        "settings": plan.settings.file,
        "targets": {intent.target.name: _intent_json(plan, intent) for intent in plan.intents},
        "credentials": dict(plan.logins),
    }


def _intent_json(plan: Preview, intent: Intent) -> dict[str, Any]:
    target = intent.target
    return {
        **names_json(intent),
        "context": target.context,
        "file": target.file,
        "stage": target.target,
        "platforms": list(intent.platforms) or [str(host())],
        "push": intent.push,
        "reason": intent.why,
        "cache-from": list(map(shown, intent.cache.sources)),
        "cache-to": list(map(shown, intent.cache.targets)),
        "secrets": {
            name: {"from": origin, "there": there}
            for (owner, name), (origin, there) in plan.secrets.items()
            if owner == target.name
        },
        "warnings": [*intent.naming.warnings, *([intent.cache.notice] if intent.cache.notice else [])],
    }


def names_json(intent: Intent) -> dict[str, Any]:
    """Names, labels and annotations of one image under the names that metadata-action's output `json` has."""
    naming = intent.naming
    return {
        "version": naming.version,
        "tags": list(intent.names),
        "tag-names": list(naming.tags),
        "labels": dict(naming.labels),
        "annotations": [f"manifest:{key}={value}" for key, value in naming.annotations.items()],
    }
