"""Reading the values of options, as docker buildx build spells them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from coopery.engines.spelling import parse_annotation
from coopery.errors import UsageError
from coopery.request import Annotation, Secret

_BOTH_SPELLINGS = "write id=NAME,src=FILE or id=NAME,env=VARIABLE"


def parse_build_args(texts: Sequence[str], environ: Mapping[str, str]) -> Mapping[str, str]:
    """`--build-arg` values, and SOURCE_DATE_EPOCH of the environment, which buildx passes on by itself."""
    given = parse_pairs(texts, "--build-arg", environ)
    epoch = environ.get("SOURCE_DATE_EPOCH")
    return given if not epoch or "SOURCE_DATE_EPOCH" in given else {**given, "SOURCE_DATE_EPOCH": epoch}


def parse_pairs(
    texts: Sequence[str], option: str, environ: Mapping[str, str] | None = None, *, bare: bool = False
) -> Mapping[str, str]:
    """KEY=VALUE values, the last of a key winning. With `environ`, a lone KEY takes its value from there, if any;
    with `bare` it stands for an empty value.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not (equals or bare or environ is not None):
            raise UsageError(f"{option} {text!r} is not KEY=VALUE", hint=f"write {option} KEY=VALUE")
        if equals or bare:
            pairs[key] = value
        elif environ is not None and key in environ:
            pairs[key] = environ[key]
    return MappingProxyType(pairs)


def parse_annotations(texts: Sequence[str]) -> tuple[Annotation, ...]:
    """`KEY=VALUE` values; before the key may stand what they are for: `index:`, `manifest[linux/amd64]:`."""
    option = "--annotation"
    pairs = parse_pairs(texts, option).items()
    return tuple(each for name, value in pairs for each in parse_annotation(name, value, f"{option} {name}"))


def parse_secrets(texts: Sequence[str]) -> tuple[Secret, ...]:
    """`id=NAME,src=FILE`, `id=NAME,env=VARIABLE`, or `id=NAME` for the variable or file of that name."""
    return tuple(_secret(text) for text in texts)


def _secret(text: str) -> Secret:
    from coopery.mounts.spec import BadMount, split_options

    try:
        values = split_options(text)
    except BadMount as error:
        raise UsageError(f"--secret {text!r}: {error}", hint=_BOTH_SPELLINGS) from None
    kind = values.pop("type", "")
    name = values.pop("id", "")
    file = values.pop("src", "") or values.pop("source", "")
    env = values.pop("env", "")
    if values or kind not in ("", "file", "env") or not name or (file and env):
        raise UsageError(f"--secret {text!r} is not a secret", hint=_BOTH_SPELLINGS)
    if kind == "env" and file:
        file, env = "", file
    if not file and not env:
        # As buildx: a variable of that name if there is one, else a file.
        env, file = (name, "") if kind == "env" or name in os.environ else ("", name)
    if file:
        file = os.path.abspath(os.path.expanduser(file))
        if not os.path.exists(file):
            raise UsageError(f"--secret {text!r}: there is no file {file}", hint=_BOTH_SPELLINGS)
    return Secret(id=name, file=file, env=env)


def parse_age(text: str, option: str) -> float:
    """Seconds, spelled as Go spells durations, with `d` for days: `90m`, `24h`, `1h30m`, `7d`."""
    import re

    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{option} {text!r} is not an age", hint="write a number with s, m, h or d, such as 24h")
    return sum(float(number) * units[unit] for number, unit in parts)
