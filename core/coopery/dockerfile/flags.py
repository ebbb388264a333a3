"""The flags that each instruction takes (BuildKit: `frontend/dockerfile/instructions/bflag.go` and parse.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from coopery.dockerfile.faults import Fault, UnknownFault
from coopery.errors import did_you_mean

Kind = Literal["text", "bool", "list"]

_HEALTHCHECK: Mapping[str, Kind] = {
    "interval": "text",
    "timeout": "text",
    "start-period": "text",
    "start-interval": "text",
    "retries": "text",
}

#: What each instruction's flags hold; an instruction that isn't here has none.
FLAGS: Mapping[str, Mapping[str, Kind]] = MappingProxyType(
    {
        "FROM": {"platform": "text"},
        "RUN": {"mount": "list", "network": "text", "security": "text"},
        "COPY": {
            "from": "text",
            "chown": "text",
            "chmod": "text",
            "link": "bool",
            "parents": "bool",
            "exclude": "list",
        },
        "ADD": {
            "chown": "text",
            "chmod": "text",
            "link": "bool",
            "keep-git-dir": "bool",
            "checksum": "text",
            "unpack": "bool",
            "exclude": "list",
        },
        "HEALTHCHECK": _HEALTHCHECK,
    }
)


class Flags:
    """The flags of one statement, by kind. What wasn't given is None or empty."""

    def __init__(self, keyword: str, given: Sequence[str]) -> None:
        """Reads `--name=value` words; Fault for an unknown, repeated or malformed one."""
        self._texts: dict[str, str] = {}
        self._bools: dict[str, bool] = {}
        self._lists: dict[str, list[str]] = {}
        kinds = FLAGS.get(keyword, {})
        for flag in given:
            name, equals, value = flag[2:].partition("=")
            kind = kinds.get(name)
            if kind is None:
                raise _unknown(keyword, name, kinds)
            if kind != "list" and (name in self._texts or name in self._bools):
                raise Fault(f"--{name} is given twice", near=flag)
            if kind == "bool":
                self._bools[name] = _boolean(name, equals, value)
                continue
            if not equals:
                raise Fault(f"--{name} needs a value", hint=f"write --{name}=VALUE, without a space", near=flag)
            if kind == "list":
                self._lists.setdefault(name, []).append(value)
            else:
                self._texts[name] = value

    def text(self, name: str) -> str | None:
        """The value of a text flag, None when it wasn't given."""
        return self._texts.get(name)

    def boolean(self, name: str) -> bool | None:
        """The value of a boolean flag, None when it wasn't given."""
        return self._bools.get(name)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a flag that may be repeated, in order."""
        return tuple(self._lists.get(name, ()))


def _boolean(name: str, equals: str, value: str) -> bool:
    lowered = value.lower()
    if lowered == "true" or not equals:
        return True
    if lowered == "false":
        return False
    raise Fault(f"--{name} is either true or false, not {value!r}", near=f"--{name}")


def _unknown(keyword: str, name: str, kinds: Mapping[str, Kind]) -> UnknownFault:
    hint = did_you_mean(f"--{name}", [f"--{known}" for known in kinds])
    if keyword == "RUN" and name == "device":
        hint = "devices of the host can't be passed to a step here"
    elif not hint:
        hint = f"{keyword} takes {', '.join(f'--{known}' for known in kinds)}" if kinds else f"{keyword} takes no flags"
    return UnknownFault(f"{keyword} has no flag --{name}", hint=hint, near=f"--{name}")
