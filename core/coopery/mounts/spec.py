"""What all mount types of `RUN --mount` share: reading options, and the protocols they are prepared through."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from coopery.errors import did_you_mean
from coopery.ports import Mount

_LARGEST_ID = (1 << 32) - 2
#: Options that mean yes when they stand alone.
_FLAGS = ("ro", "readonly", "rw", "readwrite", "required")


class BadMount(ValueError):
    """A mount's options make no sense; the planner adds the place in the Dockerfile."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Defaults(NamedTuple):
    """What a mount takes up that its options don't say."""

    cwd: str  # what relative targets are relative to
    namespace: str = ""  # of cache mounts
    number: int = 0  # how many mounts of its type the step has before it


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a mount asks of the sandbox: mounts, and variables for the process."""

    mounts: tuple[Mount, ...] = ()
    env: tuple[str, ...] = ()
    default_env: tuple[str, ...] = ()  # for where the step has no variable of that name


class MountEnvironment(Protocol):
    """What the engine offers to a mount when its step is about to run."""

    @property
    def content(self) -> str:
        """What tells the files that the mount takes from others; empty if it takes none."""

    def files(self) -> AbstractContextManager[str]:
        """The path of what the mount's source is: a file, or a directory, with changes that end with the block."""

    def fill(self, directory: str) -> None:
        """Put a copy of the mount's source, which must be a directory, into an empty directory."""

    def secret(self, name: str) -> bytes | None:
        """The value of the secret with this id, or None if the user gave none."""

    def cache_directory(self, name: str, sharing: str, make: Callable[[str], None]) -> AbstractContextManager[str]:
        """The directory behind a cache mount, held as `sharing` (shared, private or locked) says. A new one is empty
        until `make` is done with it."""

    def private_file(self, data: bytes, mode: int, uid: int, gid: int) -> AbstractContextManager[str]:
        """The path of a file with `data`, never on a disk where memory can be had; gone after the block."""

    def agent_socket(self, name: str, mode: int, uid: int, gid: int) -> AbstractContextManager[str] | None:
        """The path of a socket at which the SSH agent with this id answers; None if the user gave none."""


class MountSpec(Protocol):
    """A mount as written, with its variables expanded. A frozen value."""

    @property
    def target(self) -> str:
        """Where in the root it is seen; empty if it only sets a variable."""

    @property
    def source(self) -> str | None:
        """The path of what it takes from its `from`; None if it takes no files."""

    @property
    def precedence(self) -> str:
        """What is locked for it. All steps prepare their mounts in the order of this: none waits for another that
        waits for it."""

    def key_parts(self) -> Sequence[Any]:
        """What of this mount, besides its files, belongs to the step's cache key."""

    def prepare(self, environment: MountEnvironment) -> AbstractContextManager[Prepared]:
        """Make the mount ready for one run of the step."""


class Options:
    """The `key=value` options of one mount, taken one by one; what is left over at the end is an error."""

    def __init__(self, kind: str, values: Mapping[str, str], defaults: Defaults) -> None:
        self.kind = kind
        self.defaults = defaults
        self._values = dict(values)
        self._known: list[str] = ["type"]

    def text(self, *names: str, default: str = "") -> str:
        """The value of the option that has any of `names`."""
        self._known.extend(names)
        found = [self._values.pop(name) for name in names if name in self._values]
        return found[-1] if found else default

    def flag(self, *names: str) -> bool | None:
        """A boolean option: `required`, `required=true`; None if it isn't there."""
        value = self.text(*names, default="\0")
        if value == "\0":
            return None
        if value.lower() in ("", "true", "1", "t"):
            return True
        if value.lower() in ("false", "0", "f"):
            return False
        raise BadMount(f"{names[0]}={value!r} is neither true nor false")

    def read_only(self, default: bool) -> bool:
        """What `ro` and `rw` say; BadMount if they contradict each other."""
        read_only, writable = self.flag("ro", "readonly"), self.flag("rw", "readwrite")
        if read_only is not None and read_only == writable:
            raise BadMount("ro and rw contradict each other", "leave one of them out")
        return default if read_only is None and writable is None else bool(read_only) or writable is False

    def identity(self, name: str) -> int:
        """A user or group id; 0 if it isn't there."""
        value = self.text(name) or "0"
        if not (value.isascii() and value.isdecimal()) or int(value) > _LARGEST_ID:
            raise BadMount(f"{name}={value!r} is not an id", "ids are numbers: names aren't looked up here")
        return int(value)

    def mode(self, default: int) -> int:
        """Permission bits, written in octal digits."""
        value = self.text("mode")
        if not all(digit in "01234567" for digit in value) or len(value.lstrip("0")) > 4:
            raise BadMount(f"mode={value!r} is not an octal mode", "write octal digits, such as 0755")
        return int(value, 8) if value else default

    def size(self, name: str) -> int:
        """A size in bytes, spelled as Docker does (`64m`, `1g`); 0 if it isn't there."""
        return parse_size(self.text(name) or "0")

    def target(self) -> str:
        """Where in the root the mount is to be seen: an absolute path, empty if nothing says so. BadMount for `/`."""
        value = self.text("target", "dst", "destination")
        if not value:
            return ""
        path = posixpath.normpath(posixpath.join("/", self.defaults.cwd, value)).replace("//", "/")
        if path == "/":
            raise BadMount(f"a {self.kind} mount can't be at {value!r}, which is the root")
        return path

    def directory(self) -> str:
        """The target of a mount of files: the working directory if nothing says so. BadMount for `/`."""
        path = self.target() or self.defaults.cwd
        if path == "/":
            raise BadMount(f"a {self.kind} mount needs target=…")
        return path

    def finish(self) -> None:
        """BadMount if an option was given that this kind of mount doesn't have."""
        for name in self._values:
            raise BadMount(
                f"{self.kind} mounts have no option {name!r}",
                did_you_mean(name, self._known) or f"{self.kind} mounts take {', '.join(self._known[1:])}",
            )


def parse_size(text: str) -> int:
    """Bytes from Docker's spelling of sizes (`64m`, `1.5g`, `512`); BadMount if it can't be read."""
    units = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
    body = text.strip().lower().removesuffix("ib") if text.strip().lower().endswith("ib") else text.strip().lower()
    if len(body) > 1 and body.endswith("b") and body[-2] in "kmgt":
        body = body[:-1]
    unit = body[-1:] if body[-1:] in units and not body[-1:].isdigit() else ""
    try:
        value = float(body.removesuffix(unit)) * units[unit]
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 63:
        raise BadMount(f"{text!r} is not a size", "write a number with k, m or g behind it")
    return int(value)


def split_options(text: str) -> dict[str, str]:
    """The options of a `--mount=` value, which is one line of CSV; names in lower case.

    BadMount if it isn't CSV, or for a name without a value that needs one.
    """
    import csv

    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise BadMount(f"can't read the mount {text!r}: {error}") from None
    if '"' in "".join(fields) and '""' not in text:
        raise BadMount(f"a quote inside an option: {text}", "quotes go around the whole option, name and all")
    values: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        name = name.strip().lower()
        if not equals and name not in _FLAGS:
            raise BadMount(f"{field!r} has no value", "options are name=value, with commas between them")
        values[name] = value
    return values


MountParser = Callable[[Options], MountSpec]
