"""Mount types of `RUN --mount`. A new type is a module and a line in `_PARSERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from coopery.errors import did_you_mean
from coopery.mounts import bind, cache, secret, ssh, tmpfs
from coopery.mounts.spec import BadMount, Defaults, MountParser, MountSpec, Options, split_options

_PARSERS: Mapping[str, MountParser] = {
    "bind": bind.parse,
    "cache": cache.parse,
    "secret": secret.parse,
    "ssh": ssh.parse,
    "tmpfs": tmpfs.parse,
}


def parse_mounts(
    texts: Sequence[str], cwd: str, expand: Callable[[str], str], namespace: str = ""
) -> tuple[MountSpec, ...]:
    """The mounts that the `--mount=` values of one RUN describe, their options expanded (all but `from`).

    `cwd` is what relative targets are relative to, `namespace` that of cache mounts. BadMount if one makes no sense
    or its type isn't there.
    """
    mounts: list[MountSpec] = []
    numbers: dict[str, int] = {}
    for text in texts:
        values = {name: value if name == "from" else expand(value) for name, value in split_options(text).items()}
        kind = values.pop("type", "bind").lower()
        if kind not in _PARSERS:
            known = sorted(_PARSERS)
            hint = did_you_mean(kind, known) or f"there are {', '.join(known)}"
            raise BadMount(f"--mount={text}: there is no mount of type {kind!r}", hint)
        options = Options(kind, values, Defaults(cwd, namespace, numbers.get(kind, 0)))
        numbers[kind] = numbers.get(kind, 0) + 1
        try:
            mounts.append(_PARSERS[kind](options))
            options.finish()
        except BadMount as error:
            raise BadMount(f"--mount={text}: {error}", error.hint) from None
    return tuple(mounts)


def mount_from(text: str) -> str:
    """What the `from` of a `--mount=` value names, empty without one. BadMount if the value can't be read."""
    return split_options(text).get("from", "")
