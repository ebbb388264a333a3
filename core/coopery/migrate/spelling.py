"""From a draft to a step: names become images and tags, and words become text in the platform's own syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from coopery.ci.keys import KEYS
from coopery.ci.leaks import secret_in
from coopery.ci.requests import UNSUPPORTED
from coopery.migrate.draft import Draft, Login, Note
from coopery.migrate.words import Native, Piece, Shell, Variable, Word, inside, join, same, split_name, word


class Dialect(Protocol):
    """How a platform writes what is only known when the job runs."""

    @property
    def roots(self) -> Sequence[str]:
        """Variables that hold the directory of the checkout."""

    @property
    def commits(self) -> Sequence[str]:
        """Variables that hold the hash of the commit."""

    @property
    def shell_way(self) -> str:
        """What to do about a value that a shell makes."""

    def text(self, literal: str) -> str:
        """Known text, with what the platform would take for its own syntax escaped."""

    def variable(self, name: str) -> str | None:
        """The value of an environment variable; None if it can't be had there."""

    def native(self, written: str) -> str | None:
        """What was written in the platform's own syntax; None if that isn't its own."""


class Plain:
    """For coopery.yaml, which knows no variables."""

    roots: Sequence[str] = ()
    commits: Sequence[str] = ()
    shell_way = "name the CI system with --platform, or give it by a variable COOPERY_CI_…"

    def text(self, literal: str) -> str:
        """As it is."""
        return literal

    def variable(self, name: str) -> str | None:
        """None."""
        return None

    def native(self, written: str) -> str | None:
        """None."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of ours, in the platform's spelling: one text for each entry of a setting."""

    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    registries: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # without logins
    logins: Sequence[Login] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[Note] = ()

    def data(self) -> dict[str, object]:
        """The settings as coopery.yaml has them, without registries."""
        return {key: _data(key, values) for key, values in self.settings.items()}

    def texts(self) -> dict[str, str]:
        """The settings as text, with an entry on each line."""
        return {
            key: "\n".join(_secret_line(value) if key == "secrets" else _line(value) for value in values)
            for key, values in self.settings.items()
        }


def finish(draft: Draft, dialect: Dialect) -> Step:
    """The step that `draft` describes. What can't be written in `dialect` is among the notes."""
    _refuse(draft)
    _name(draft)
    speller = Speller(draft, dialect)
    settings: dict[str, list[str]] = {}
    order = list(KEYS)
    for key in sorted(draft.settings, key=order.index):
        found = [speller.value(key, value) for value in draft.settings[key]]
        if kept := [each for each in found if each is not None]:
            settings[key] = kept
    if settings.get("context") in (["."], ["./"]):
        del settings["context"]
    if "context" not in settings and settings.get("file") in (["Dockerfile"], ["./Dockerfile"]):
        del settings["file"]
    registries: dict[str, dict[str, object]] = {}
    for host, entry in draft.registries.items():
        name = speller.value("registries", host)
        for key, value in entry.items() if name is not None else ():
            spelled = speller.value(f"registries: {host.written}: {key}", value)
            if spelled is not None:
                registries.setdefault(name or "", {})[key] = True if spelled == "true" else spelled
    variables = {name: speller.value(name, value) for name, value in draft.variables.items()}
    return Step(
        settings=settings,
        registries=registries,
        logins=tuple(draft.logins),
        variables={name: value for name, value in variables.items() if value is not None},
        notes=tuple(draft.notes),
    )


@dataclass(frozen=True, slots=True)
class Speller:
    """Writes words in a dialect; what can't be written goes to the notes of a draft."""

    draft: Draft
    dialect: Dialect

    def value(self, key: str, value: Word) -> str | None:
        """The text, or None with a note."""
        if key in ("context", "file"):
            value = inside(value, self.dialect.roots)
        if key in ("tags", "labels", "annotations"):
            value = self._templated(key, value)
        kind = secret_in(value.literal or "")
        if kind:
            way = "revoke it, and give the name of a variable or secret that holds the new one"
            self.draft.left(f"{key}: {value.partition('=')[0].written}", f"it looks like {kind}, in the open", way)
            return None
        pieces = [self._piece(piece) for piece in value.pieces]
        if None not in pieces:
            return "".join(piece or "" for piece in pieces)
        lost = next(piece for piece, spelled in zip(value.pieces, pieces, strict=True) if spelled is None)
        assert not isinstance(lost, str)
        why = f"{lost.written} is made by a shell" if isinstance(lost, Shell) else f"{lost.written} isn't known there"
        self.draft.left(f"{key}: {value.written}", why, self.dialect.shell_way)
        return None

    def _piece(self, piece: Piece) -> str | None:
        if isinstance(piece, str):
            return self.dialect.text(piece)
        if isinstance(piece, Variable):
            return self.dialect.variable(piece.name)
        return self.dialect.native(piece.written) if isinstance(piece, Native) else None

    def _templated(self, key: str, value: Word) -> Word:
        """Commands that ask for the commit or the date have their like in the language of tags and labels."""
        whole = value.pieces[0] if len(value.pieces) == 1 else None
        if key == "tags" and isinstance(whole, Shell) and _LONG_COMMIT.fullmatch(whole.written):
            return word("type=sha,format=long,prefix=")

        def put(piece: Piece) -> Word:
            return word(self._template(key, piece) or piece)

        return value.replaced(put)

    def _template(self, key: str, piece: Piece) -> str:
        if not isinstance(piece, Shell):
            return ""
        if _SHORT_COMMIT.fullmatch(piece.written):
            return "{{sha}}"
        cut = _CUT.fullmatch(piece.written)
        if cut and cut[1] in self.dialect.commits:
            if cut[2] != "7":
                self.draft.check(f"{key}: {piece.written}", "{{sha}} has 7 characters")
            return "{{sha}}"
        date = _DATE.fullmatch(piece.written)
        form = _moment(date[1]) if date else ""
        return f"{{{{date '{form}'}}}}" if form else ""


_SHORT_COMMIT = re.compile(r"\$\(\s*git rev-parse --short(?:=7)? HEAD\s*\)")
_LONG_COMMIT = re.compile(r"\$\(\s*git rev-parse HEAD\s*\)")
_CUT = re.compile(r"\$\{([A-Za-z_]\w*):0?:([0-9]+)\}")
_DATE = re.compile(r"""\$\(\s*date (?:-u |--utc )?["']?\+([^"'`$]+?)["']?\s*\)""")
#: What date(1) calls what moment.js calls so.
_MOMENTS = {
    "%Y": "YYYY",
    "%m": "MM",
    "%d": "DD",
    "%H": "HH",
    "%M": "mm",
    "%S": "ss",
    "%y": "YY",
    "%j": "DDDD",
    "%s": "X",
}


def _moment(form: str) -> str:
    """The format of date(1) as moment.js writes it; empty if it has no like there."""
    form = form.replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S")
    found = []
    for part in re.findall(r"%.|[^%]+", form):
        if part.startswith("%"):
            if part not in _MOMENTS:
                return ""
            found.append(_MOMENTS[part])
        else:
            found.append(f"[{part}]" if re.search("[A-Za-z]", part) else part)
    return "".join(found)


def _refuse(draft: Draft) -> None:
    """Leave out what a build would refuse, and say so."""
    for key, (why, way) in UNSUPPORTED.items():
        for value in draft.settings.pop(key, ()):
            draft.left(f"{key}: {value.written}", why, way)
    platforms = [part for value in draft.settings.get("platforms", ()) for part in value.split(",")]
    platforms = [part for value in platforms for part in value.split("\n") if part.pieces]
    if len(platforms) > 1:
        draft.settings["platforms"] = platforms
    if len(platforms) > 1 and not draft.emulated:
        way = "register emulators in the job, or build each in a job of its own with only-platform, and merge"
        listed = join(platforms, ", ").written
        draft.check(f"platforms: {listed}", "commands for other platforms than the machine's own need an emulator", way)


def _name(draft: Draft) -> None:
    """The draft's names: repositories times tags, if that gives just these names; else the names as they are."""
    found: dict[str, tuple[Word, Word]] = {}
    whole: dict[str, Word] = {}
    known: dict[str, Word] = {}  # of several spellings of one repository or tag the first
    for name in draft.names:
        repository, tag = split_name(name)
        if not tag.pieces and name.pieces and not isinstance(name.pieces[-1], str):
            whole.setdefault(same(name), name)  # a tag may be in what isn't known yet; without one it is `latest`
            continue
        tag = tag if tag.pieces else word("latest")
        pair = known.setdefault(same(repository), repository), known.setdefault(same(tag), tag)
        found.setdefault(same(pair[0] + ":" + pair[1]), pair)
    pairs = list(found.values())
    repositories = list(dict.fromkeys(repository for repository, _ in pairs))
    tags = list(dict.fromkeys(tag for _, tag in pairs))
    if whole or len(repositories) * len(tags) != len(pairs) or "images" in draft.settings or "tags" in draft.settings:
        for repository, tag in pairs:
            draft.add("tags", repository + ":" + tag)
        for name in whole.values():
            draft.add("tags", name)
        return
    for repository in repositories:
        draft.add("images", repository)
    for tag in tags:
        draft.add("tags", tag)


def _secret_line(value: str) -> str:
    """A secret as text has it: ID=NAME, or buildx's spelling for files."""
    name, _, place = value.partition("=")
    kind, colon, where = place.partition(":")
    if colon and kind == "file":
        return f"id={name},src={where}"
    return f"{name}={where}" if colon and kind == "env" else value


def _line(value: str) -> str:
    """An entry of several lines stands in quotes, as in build-push-action's inputs."""
    return '"' + value.replace('"', '""') + '"' if "\n" in value and not value.startswith('"') else value


def _data(key: str, values: Sequence[str]) -> object:
    kind = KEYS[key].kind
    if kind in ("mapping", "secrets"):
        pairs = [line.partition("=") for value in values for line in value.split("\n") if line.strip()]
        if kind == "secrets":
            return {name: _place(place) for name, _, place in pairs}
        return {name: value for name, _, value in pairs}
    if kind == "list":
        return [line for value in values for line in value.split("\n") if line.strip()]
    value = values[-1]
    if kind == "flag":
        return {"true": True, "false": False}.get(value, value)
    return int(value) if kind == "number" and re.fullmatch("-?[0-9]{1,9}", value) else value


def _place(text: str) -> object:
    """`env:NAME` and `file:PATH`, as drafts write the places of secrets."""
    kind, colon, place = text.partition(":")
    return {kind: place} if colon and kind in ("env", "file") else text
