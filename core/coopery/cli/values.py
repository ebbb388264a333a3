"""Reading the values of options, as docker buildx build spells them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from coopery.errors import UsageError
from coopery.ports import Ulimit
from coopery.request import Secret

_BOTH_SPELLINGS = "write id=NAME,src=FILE or id=NAME,env=VARIABLE"
_ULIMITS = (
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
)


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


def parse_annotations(texts: Sequence[str]) -> Mapping[str, str]:
    """Annotations of the manifest; `manifest:` before the key says the same, other targets can't be had."""
    plain = []
    for text in texts:
        target, colon, rest = text.partition(":")
        if colon and "=" not in target and target in ("manifest", "index", "manifest-descriptor", "index-descriptor"):
            if target != "manifest":
                hint = "leave the prefix out: the annotation then goes to the manifest"
                raise UsageError(f"--annotation {text!r}: there is no {target} to annotate", hint=hint)
            text = rest
        plain.append(text)
    return parse_pairs(plain, "--annotation")


def parse_hosts(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`name:address` or `name=address`; an address in brackets is IPv6."""
    hosts = []
    for text in texts:
        separator = "=" if "=" in text else ":"
        name, _, address = text.partition(separator)
        address = address.removeprefix("[").removesuffix("]")
        if address == "host-gateway":
            # Steps share the network of this machine: its gateway to itself is the loopback address.
            address = "127.0.0.1"
        try:
            ipaddress.ip_address(address)
        except ValueError:
            hint = "write NAME:ADDRESS, such as db.test:10.0.0.3"
            raise UsageError(f"--add-host {text!r}: {address!r} is not an address", hint=hint) from None
        if not name or any(character.isspace() for character in name):
            raise UsageError(f"--add-host {text!r} has no name", hint="write NAME:ADDRESS, such as db.test:10.0.0.3")
        hosts.append((name, address))
    return tuple(hosts)


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


def parse_ulimits(texts: Sequence[str]) -> tuple[Ulimit, ...]:
    """`name=soft[:hard]`; -1 is unlimited."""
    limits = []
    for text in texts:
        name, _, value = text.partition("=")
        soft, _, hard = value.partition(":")
        try:
            numbers = int(soft), int(hard or soft)
        except ValueError:
            raise UsageError(f"--ulimit {text!r} is not NAME=SOFT[:HARD]", hint="such as nofile=1024:4096") from None
        if name not in _ULIMITS:
            raise UsageError(f"--ulimit {text!r}: there is no limit {name!r}", hint=f"one of {', '.join(_ULIMITS)}")
        if min(numbers) < -1 or (numbers[1] != -1 and (numbers[0] == -1 or numbers[0] > numbers[1])):
            hint = "write NAME=SOFT:HARD, -1 for no limit"
            raise UsageError(f"--ulimit {text!r}: the soft limit is above the hard one", hint=hint)
        limits.append(Ulimit(name, *numbers))
    return tuple(limits)


def parse_size_option(text: str, option: str) -> int:
    """Bytes, spelled as Docker does: `64m`, `1g`."""
    from coopery.mounts.spec import BadMount, parse_size

    try:
        return parse_size(text)
    except BadMount as error:
        raise UsageError(f"{option} {error}", hint=error.hint) from None


def parse_age(text: str, option: str) -> float:
    """Seconds, spelled as Go spells durations, with `d` for days: `90m`, `24h`, `1h30m`, `7d`."""
    import re

    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{option} {text!r} is not an age", hint="write a number with s, m, h or d, such as 24h")
    return sum(float(number) * units[unit] for number, unit in parts)
