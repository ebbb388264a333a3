"""Draft: what a build is to be, collected from whatever said it before, with what could not be carried over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from coopery.ci.leaks import without_secrets
from coopery.migrate.words import Word, word

#: `left` is missing from the result; `check` is in it, and isn't quite the same; `moot` needs no counterpart.
NoteKind = Literal["left", "check", "moot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something of the source that the result doesn't have as it was."""

    kind: NoteKind
    what: str  # as it was written
    why: str
    way: str = ""  # out

    @property
    def text(self) -> str:
        """For people, on one line, without what looks like a secret."""
        said = {"left": "Not carried over", "check": "Check", "moot": "Not needed"}[self.kind]
        way = f" ({self.way})" if self.way else ""
        return without_secrets(f"{said}: {self.shown}: {self.why}{way}")

    @property
    def shown(self) -> str:
        """What was written, on one line, without what looks like a secret."""
        line = " ".join(self.what.split())
        return without_secrets("".join(character for character in line if character.isprintable()))


@dataclass(frozen=True, slots=True)
class Login:
    """What somebody told a registry: the user and the password, by whatever holds it."""

    host: Word  # empty: Docker Hub
    username: Word
    password: Word
    written: str  # what said it, without the password

    def __repr__(self) -> str:
        return f"Login({self.host.written!r}, …)"


@dataclass
class Draft:
    """One build. Values are texts by the keys of coopery.yaml: entries of lists, KEY=VALUE of mappings."""

    settings: dict[str, list[Word]] = field(default_factory=dict)
    registries: dict[Word, dict[str, Word]] = field(default_factory=dict)  # by host; no logins
    logins: list[Login] = field(default_factory=list)
    variables: dict[str, Word] = field(default_factory=dict)  # of the environment, for the whole step
    notes: list[Note] = field(default_factory=list)
    emulated: bool = False  # whether there are emulators for other platforms
    names: list[Word] = field(default_factory=list)  # that the image is pushed by, whole

    def set(self, key: str, value: Word | str) -> None:
        """Give a setting its one value; the last one counts, as with most flags."""
        self.settings[key] = [value if isinstance(value, Word) else word(value)]

    def add(self, key: str, value: Word | str) -> None:
        """Add an entry to a list or a mapping."""
        self.settings.setdefault(key, []).append(value if isinstance(value, Word) else word(value))

    def registry(self, host: Word, key: str, value: Word | str) -> None:
        """Set how a registry is reached."""
        self.registries.setdefault(host, {})[key] = value if isinstance(value, Word) else word(value)

    def left(self, what: str, why: str, way: str = "") -> None:
        """Say what isn't carried over."""
        self._note(Note(kind="left", what=what, why=why, way=way))

    def check(self, what: str, why: str, way: str = "") -> None:
        """Say what is carried over, and how it differs."""
        self._note(Note(kind="check", what=what, why=why, way=way))

    def moot(self, what: str, why: str) -> None:
        """Say what needs no counterpart."""
        self._note(Note(kind="moot", what=what, why=why))

    def _note(self, note: Note) -> None:
        if note not in self.notes:
            self.notes.append(note)
