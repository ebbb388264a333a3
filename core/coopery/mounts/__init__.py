"""Mount types of `RUN --mount`. A new type is a module and a line in `_PARSERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coopery.mounts import cache, secret, tmpfs
from coopery.mounts.spec import BadMount, MountParser, MountSpec, Options, split_options

_PARSERS: Mapping[str, MountParser] = {"cache": cache.parse, "secret": secret.parse, "tmpfs": tmpfs.parse}


def parse_mount(text: str, cwd: str, expand: Callable[[str], str]) -> MountSpec:
    """The mount that a `--mount=` value describes, its options expanded (all but `from`).

    `cwd` is what relative targets are relative to. BadMount if it makes no sense or its type isn't there.
    """
    values = {name: value if name == "from" else expand(value) for name, value in split_options(text).items()}
    kind = values.pop("type", "bind").lower()
    if kind not in _PARSERS:
        hint = f"types that can be used: {', '.join(sorted(_PARSERS))}; COPY the files in instead"
        raise BadMount(f"mounts of type {kind!r} can't be made", hint)
    options = Options(kind, values)
    mount = _PARSERS[kind](options, cwd)
    options.finish()
    return mount
