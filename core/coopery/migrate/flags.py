"""Reads command lines with flags as pflag and Docker's own parsers do: `--flag value`, `--flag=value`, `-fvalue`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from coopery.migrate.draft import Draft
from coopery.migrate.words import Word, word


@dataclass(frozen=True, slots=True)
class Given:
    """A flag on a command line."""

    name: str  # without dashes, by its usual name
    value: Word  # `true` for a switch that stands alone
    written: str

    @property
    def on(self) -> bool:
        """Whether a switch is on."""
        return (self.value.literal or "").lower() in ("true", "1", "t")


#: What is done with one flag.
Carry = Callable[[Draft, Given], None]


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag that a command knows."""

    carry: Carry
    switch: bool = False  # takes a value only after `=`


@dataclass(frozen=True, slots=True)
class Line:
    """What a command line says."""

    flags: tuple[Given, ...]
    others: tuple[Word, ...]  # arguments that are no flags


def read_flags(
    words: Sequence[Word], known: Mapping[str, Flag], draft: Draft, short: Mapping[str, str], says: str
) -> Line:
    """The flags and the other arguments in `words`. Unknown flags are said in the notes, and so are words that only
    the job knows, where a flag could be. `short` has the names behind single letters and other spellings; `says` is
    what the command is called.
    """
    flags: list[Given] = []
    others: list[Word] = []
    rest = list(words)
    while rest:
        first = rest.pop(0)
        if first.literal == "--":
            others += rest
            break
        if not first.start.startswith("-") or first.literal == "-":
            others.append(first)
            continue
        name, has_value, value = first.partition("=")
        text = name.literal
        if text is None and first.start.startswith("-") and not first.start.startswith("--"):
            text = first.start  # -t$IMAGE
        if text is None:
            draft.left(first.written, f"which option of {says} this is, is only known when the job runs")
            continue
        if not text.startswith("--") and len(text) > 2:  # -tNAME, or several switches in one
            letters = _letters(first, known, short)
            if letters is not None:
                rest[:0] = letters
                continue
        key = short.get(text.lstrip("-"), text.lstrip("-"))
        flag = known.get(key)
        if flag is None:
            draft.left(first.written, f"{says} has no such option that is known here", "look up what it did")
            continue
        written = first.written
        if not has_value:
            if flag.switch:
                value = word("true")
            elif rest:
                value = rest.pop(0)
                written = f"{first.written} {value.written}"
            else:
                draft.left(first.written, "its value is missing")
                continue
        flags.append(Given(key, value, written))
    return Line(tuple(flags), tuple(others))


def _letters(first: Word, known: Mapping[str, Flag], short: Mapping[str, str]) -> list[Word] | None:
    """`-qt NAME` as `-q -t NAME`, and `-tNAME` as `-t NAME`; None if it is neither."""
    letter = first.start[1]
    flag = known.get(short.get(letter, ""))
    if flag is None:
        return None
    after = word(first.start[2:], *first.pieces[1:])
    if flag.switch:
        return [word(f"-{letter}"), word("-") + after]
    return [word(f"-{letter}"), after.without("=") or after]


# ------------------------------------------------------------------------------------------------ carrying


def sets(key: str) -> Carry:
    """Gives a setting its value."""
    return lambda draft, given: draft.set(key, given.value)


def adds(key: str) -> Carry:
    """Adds an entry to a setting."""
    return lambda draft, given: draft.add(key, given.value)


def switches(key: str) -> Carry:
    """Turns a setting on or off."""
    return lambda draft, given: draft.set(key, given.value)


def leaves(why: str, way: str = "") -> Carry:
    """Can't be carried over."""
    return lambda draft, given: draft.left(given.written, why, way)


def moot(why: str) -> Carry:
    """Needs no counterpart."""
    return lambda draft, given: draft.moot(given.written, why)


def if_on(carry: Carry, otherwise: str = "that is how it is anyway") -> Carry:
    """For a switch: `carry` if it is on, and else nothing but a word about it."""

    def chosen(draft: Draft, given: Given) -> None:
        if given.on or given.value.literal is None:
            carry(draft, given)
        else:
            draft.moot(given.written, otherwise)

    return chosen


def pair_from_here(key: str) -> Carry:
    """KEY=VALUE, or KEY alone for the value of the environment's variable of that name."""
    from coopery.migrate.words import Variable

    def carry(draft: Draft, given: Given) -> None:
        name, has_value, _ = given.value.partition("=")
        text = name.literal
        if has_value or text is None:
            draft.add(key, given.value)
        else:
            draft.add(key, given.value + "=" + word(Variable(text)))

    return carry


def carry_all(draft: Draft, line: Line, known: Mapping[str, Flag]) -> None:
    """Have every flag of the line done."""
    for given in line.flags:
        known[given.name].carry(draft, given)
