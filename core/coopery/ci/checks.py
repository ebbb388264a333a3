"""Whether a setting's value can be meant: each raises UsageError if not. What they need is imported when they run."""

from __future__ import annotations

from coopery.errors import UsageError


def image(text: str) -> None:
    """The name of a repository, without a tag, or a rule about one: name=NAME,enable=true|false."""
    from coopery.ci.rules import parse_images
    from coopery.oci.reference import Reference

    for found in parse_images([text]):
        reference = Reference.parse(found.name)
        if reference.tag or reference.digest:
            hint = "name the repository alone; tags are a setting of their own"
            raise UsageError(f"{found.name!r} is not the name of a repository", hint=hint)


def cache_repository(text: str) -> None:
    """The name of a repository; a tag in it sets its caches apart from others."""
    from coopery.oci.reference import Reference

    if Reference.parse(text.lower()).digest:
        raise UsageError(f"{text!r} has a digest", hint="name the repository, with a tag or without")


def platform(text: str) -> None:
    """A platform, such as linux/arm64."""
    from coopery.oci.platform import Platform

    Platform.parse(text)


def host_line(text: str) -> None:
    """NAME:ADDRESS."""
    from coopery.engines.spelling import parse_hosts

    parse_hosts([text], "add-hosts:")


def ulimit(text: str) -> None:
    """NAME=SOFT[:HARD]."""
    from coopery.engines.spelling import parse_ulimits

    parse_ulimits([text], "ulimit:")


def shm_size(text: str) -> None:
    """A size such as 64m."""
    from coopery.engines.spelling import parse_size_option

    parse_size_option(text, "shm-size:")


def isolation(text: str) -> None:
    """A way of running steps."""
    from coopery.sandbox.enter import ISOLATIONS

    if text not in ISOLATIONS:
        raise UsageError(f"isolation: there is no {text!r}", hint="one of " + ", ".join(ISOLATIONS))


def output(text: str) -> None:
    """The value of an --output."""
    from coopery.export.output_spec import parse_output

    if parse_output(text).dest == "-":
        raise UsageError(f"outputs: {text!r} goes to standard output, the job's log", hint="give it a file: dest=PATH")
