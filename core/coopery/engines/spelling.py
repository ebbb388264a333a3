"""Values of options and settings, as docker buildx build spells them."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Mapping, Sequence

from coopery.errors import UsageError, did_you_mean
from coopery.oci.platform import Platform, host
from coopery.ports import Ulimit
from coopery.request import Annotation, Entitlement, SshAgent

_ENTITLEMENTS: Mapping[str, Entitlement] = {
    "network.host": "network.host",
    "security.insecure": "security.insecure",
}

#: What an annotation is for: `index`, `manifest[linux/amd64]`, several joined by commas.
_LEVEL = r"(?:manifest|index)(?:-descriptor)?(?:\[[A-Za-z0-9/_-]*\])?"
_ANNOTATED = re.compile(rf"({_LEVEL}(?:,{_LEVEL})*):(.*)", re.DOTALL)

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


def parse_platforms(texts: Sequence[str]) -> tuple[Platform, ...]:
    """The platforms to build for, each once, this machine's if there is none; a text may hold several, parted by
    commas. `local` is this machine's. UsageError for what is no platform, or can't be built for."""
    from coopery.plan.outline import check_buildable

    words = [word.strip() for text in texts for word in text.split(",")]
    found = [host() if word == "local" else check_buildable(Platform.parse(word)) for word in words if word]
    return tuple(dict.fromkeys(found)) or (host(),)


def parse_annotation(name: str, value: str, what: str) -> tuple[Annotation, ...]:
    """What the annotation called `name` is, where that may say what it is for: `KEY`, `index:KEY`,
    `index,manifest[linux/amd64]:KEY`. Without that it is for all images. UsageError naming `what`."""
    from coopery.export.output_spec import annotation

    found = _ANNOTATED.fullmatch(name)
    levels, key = (found[1].split(","), found[2]) if found else ([""], name)
    parts = [level.removesuffix("]").partition("[") for level in levels]
    return tuple(annotation(key, value, level, platform, what) for level, _, platform in parts)


def parse_hosts(texts: Sequence[str], option: str = "--add-host") -> tuple[tuple[str, str], ...]:
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
            raise UsageError(f"{option} {text!r}: {address!r} is not an address", hint=hint) from None
        if not name or any(character.isspace() for character in name):
            raise UsageError(f"{option} {text!r} has no name", hint="write NAME:ADDRESS, such as db.test:10.0.0.3")
        hosts.append((name, address))
    return tuple(hosts)


def parse_ulimits(texts: Sequence[str], option: str = "--ulimit") -> tuple[Ulimit, ...]:
    """`name=soft[:hard]`; -1 is unlimited."""
    limits = []
    for text in texts:
        name, _, value = text.partition("=")
        soft, _, hard = value.partition(":")
        try:
            numbers = int(soft), int(hard or soft)
        except ValueError:
            raise UsageError(f"{option} {text!r} is not NAME=SOFT[:HARD]", hint="such as nofile=1024:4096") from None
        if name not in _ULIMITS:
            raise UsageError(f"{option} {text!r}: there is no limit {name!r}", hint=f"one of {', '.join(_ULIMITS)}")
        if min(numbers) < -1 or (numbers[1] != -1 and (numbers[0] == -1 or numbers[0] > numbers[1])):
            hint = "write NAME=SOFT:HARD, -1 for no limit"
            raise UsageError(f"{option} {text!r}: the soft limit is above the hard one", hint=hint)
        limits.append(Ulimit(name, *numbers))
    return tuple(limits)


def parse_ssh(texts: Sequence[str], environ: Mapping[str, str], option: str = "--ssh") -> tuple[SshAgent, ...]:
    """`default` or `ID`, for the agent that SSH_AUTH_SOCK names, `ID=SOCKET`, or `ID=KEY[,KEY…]` for keys in files."""
    agents: dict[str, SshAgent] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or name in agents:
            hint = "write default, ID=SOCKET or ID=KEYFILE[,KEYFILE], each ID once"
            raise UsageError(f"{option} {text!r}: {'the id comes twice' if name else 'there is no id'}", hint=hint)
        agents[name] = _agent(name, value or environ.get("SSH_AUTH_SOCK", ""), f"{option} {text!r}")
    return tuple(agents.values())


def _agent(name: str, value: str, shown: str) -> SshAgent:
    paths = tuple(os.path.abspath(os.path.expanduser(path)) for path in value.split(",") if path)
    if not paths:
        hint = "start an agent (eval $(ssh-agent); ssh-add), or name a key: --ssh ID=KEYFILE"
        raise UsageError(f"{shown}: no SSH agent is running: SSH_AUTH_SOCK isn't set", hint=hint)
    for path in paths:
        if not os.path.exists(path):
            raise UsageError(f"{shown}: there is no {path}", hint="name a socket, or files with keys")
    sockets = [path for path in paths if stat.S_ISSOCK(os.stat(path).st_mode)]
    if sockets and len(paths) > 1:
        raise UsageError(f"{shown}: a socket stands alone", hint="give each agent an id of its own")
    return SshAgent(id=name, socket=paths[0]) if sockets else SshAgent(id=name, keys=paths)


def parse_entitlements(texts: Sequence[str], option: str = "--allow") -> tuple[Entitlement, ...]:
    """What steps are allowed to, each once."""
    found: dict[Entitlement, None] = {}
    for text in texts:
        if text not in _ENTITLEMENTS:
            hint = did_you_mean(text, _ENTITLEMENTS) or f"there are {' and '.join(_ENTITLEMENTS)}"
            raise UsageError(f"{option} {text!r} can't be granted", hint=hint)
        found[_ENTITLEMENTS[text]] = None
    return tuple(found)


def parse_size_option(text: str, option: str) -> int:
    """Bytes, spelled as Docker does: `64m`, `1g`."""
    from coopery.mounts.spec import BadMount, parse_size

    try:
        return parse_size(text)
    except BadMount as error:
        raise UsageError(f"{option} {error}", hint=error.hint) from None
