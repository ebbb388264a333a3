"""Images that parallel jobs build for single platforms: what they are called until they are joined. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from coopery.ci.revision import Revision
from coopery.ci.settings import Target
from coopery.ci.written import did_you_mean
from coopery.errors import UsageError
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference

#: Begins the tags of parts; nobody's own tags do.
PREFIX = "coopery-part"
_COMMIT = 12  # characters of its hash


def part_tag(target: Target, revision: Revision, platform: str) -> str:
    """The tag of the image of `target` for `platform`: the same for every job of a commit, and for no other commit,
    target or platform. UsageError if the commit isn't known.
    """
    if not revision.commit:
        hint = "fetch the repository with its .git directory, or build all platforms in one job"
        raise UsageError("which commit is built isn't known, and parts are called by it", hint=hint)
    words = (PREFIX, revision.commit[:_COMMIT], target.name, str(Platform.parse(platform)).replace("/", "-"))
    return ".".join(word for word in words if word)


def part_names(names: Sequence[str], tag: str) -> tuple[str, ...]:
    """`tag` in each repository that `names` are in."""
    repositories = dict.fromkeys(Reference.parse(name).name for name in names)
    return tuple(f"{repository}:{tag}" for repository in repositories)


def job_of(platform: str) -> str:
    """The command whose job builds the part for `platform`."""
    return f"coopery ci build --only-platform {platform}"


def chosen_targets(targets: Sequence[Target], only_platform: str) -> tuple[Target, ...]:
    """Those of `targets` that a job for this one platform builds; all without one. UsageError if there is none, or if
    one doesn't say what it is for.
    """
    if not only_platform:
        return tuple(targets)
    wanted = Platform.parse(only_platform)
    for target in targets:
        if not target.platforms:
            hint = "list them all in `platforms`: `coopery ci merge` needs to know what to wait for"
            raise UsageError(f"--only-platform: {target.title} says of no platform that it is for it", hint=hint)
    found = tuple(target for target in targets if wanted in map(Platform.parse, target.platforms))
    if not found:
        known = dict.fromkeys(platform for target in targets for platform in target.platforms)
        raise UsageError(f"--only-platform {only_platform}: `platforms` doesn't list it", hint=did_you_mean("", known))
    return found
