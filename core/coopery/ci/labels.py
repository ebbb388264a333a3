"""Labels and annotations that tell where an image comes from: the keys of the OCI image specification. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from coopery.ci.expressions import Scope, template
from coopery.ci.moments import formatted, moment
from coopery.ci.revision import Revision
from coopery.errors import UsageError

_PREFIX = "org.opencontainers.image."


def described(revision: Revision, version: str) -> dict[str, str]:
    """What is known of the image by the keys of the OCI image specification (annotations.md), sorted by key.

    What isn't known has no key, so that a label of the Dockerfile or the base image stands. `created` is when the
    commit was made, rather than the time of the build: the same commit then gives the same image.
    """
    made = moment(revision.commit_time)
    values = {
        "created": formatted(made, "YYYY-MM-DDTHH:mm:ss[Z]") if made else "",
        "description": revision.description,
        "licenses": revision.licenses,
        "revision": revision.commit,
        "source": revision.repository_url,
        "title": revision.repository.rpartition("/")[2],
        "url": revision.repository_url,
        "version": version,
    }
    return {_PREFIX + key: _text(value) for key, value in values.items() if value}


def overridden(known: Mapping[str, str], given: Mapping[str, str], scope: Scope, what: str) -> dict[str, str]:
    """`known` with what the user gave in its place or besides, sorted by key; expressions in given values are rendered.

    UsageError, naming the key, for a bad expression; `what` says what these are: "label" or "annotation".
    """
    values = dict(known)
    for key, text in given.items():
        try:
            values[key] = _text(template(text).render(scope))
        except UsageError as error:
            hint = error.hint or r"braces that are no expression are written \{{"
            raise UsageError(f"{what} {key!r}: {error.message}", hint=hint) from None
    return dict(sorted(values.items()))


def _text(value: str) -> str:
    """`value` without what can't be written as UTF-8: environment variables may hold any bytes."""
    return value.encode("utf-8", "replace").decode()
