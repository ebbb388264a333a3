"""`--chmod` with letters, as chmod(1) has them: `u=rwX,go=rX`.

The behaviour is that of BSD's setmode(3), which BuildKit uses (tonistiigi/dchapes-mode), with a umask of 0.
"""

from __future__ import annotations

from collections.abc import Callable

#: What becomes of an entry's own permission bits, given whether it is a directory.
Symbolic = Callable[[int, bool], int]

_SET_USER, _SET_GROUP, _STICKY, _RWX = 0o4000, 0o2000, 0o1000, 0o777
_ALL = _SET_USER | _SET_GROUP | _RWX
_CLASSES = {"a": _ALL, "u": _SET_USER | 0o700, "g": _SET_GROUP | 0o070, "o": 0o007}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": _SET_USER | _SET_GROUP}
_SHIFTS = {"u": 6, "g": 3, "o": 0}


def parse_symbolic(text: str) -> Symbolic:
    """The change that `text` describes. ValueError if it isn't a symbolic mode."""
    changes: list[Symbolic] = []
    for clause in text.split(","):
        actions = clause.lstrip("augo")
        who = 0
        for letter in clause[: len(clause) - len(actions)]:
            who |= _CLASSES[letter]
        if not actions:
            raise ValueError(f"{text!r} has a part that changes nothing")
        while actions:
            operator, letters = actions[0], actions[1:]
            end = next((at for at, letter in enumerate(letters) if letter in "+-="), len(letters))
            letters, actions = letters[:end], letters[end:]
            if operator not in "+-=" or not set(letters) <= set("rwxXstugo"):
                raise ValueError(f"{text!r} is no mode")
            changes.append(_change(who, operator, letters))

    def apply(mode: int, is_directory: bool) -> int:
        executable = is_directory or bool(mode & 0o111)  # as it was before any change
        for change in changes:
            mode = change(mode, executable)
        return mode

    return apply


def _change(who: int, operator: str, letters: str) -> Symbolic:
    """One operator with its letters, on modes of what is executable or not."""
    if "t" in letters and (not who or who & ~0o007):
        who |= _STICKY
    affected = who or _ALL
    bits = 0
    for letter in letters:
        bits |= _BITS.get(letter, 0)
    if who and not who & ~0o007:
        bits &= ~_BITS["s"]
    if "t" in letters and who & _STICKY:
        bits |= _STICKY
    copied = [letter for letter in letters if letter in _SHIFTS]

    def apply(mode: int, executable: bool) -> int:
        own = bits | (0o111 if "X" in letters and (executable or operator == "-") else 0)
        for letter in copied:
            own |= (mode >> _SHIFTS[letter] & 0o007) * 0o111
        if operator == "-":
            return mode & ~(own & affected)
        # A copy of another class's bits leaves setuid and setgid as they are.
        cleared = affected & _RWX if copied else affected
        return (mode & ~cleared if operator == "=" else mode) | (own & affected)

    return apply
