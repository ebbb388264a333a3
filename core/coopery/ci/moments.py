"""Points in time in moment.js's formats, which tag rules are written in. Pure.

Formats: momentjs.com/docs, "Format", in the locale `en`; the tokens are those of moment's lib/format/format.js. Letters
that are no token stand for themselves, as does all inside brackets.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

from coopery.errors import UsageError, did_you_mean

#: Seconds since 1970 that a year of four digits can tell, with a day to spare for time zones. Commits claim any time.
_LATEST = 253_402_214_400

_LONG = {
    "LTS": "h:mm:ss A",
    "LT": "h:mm A",
    "L": "MM/DD/YYYY",
    "LL": "MMMM D, YYYY",
    "LLL": "MMMM D, YYYY h:mm A",
    "LLLL": "dddd, MMMM D, YYYY h:mm A",
    "l": "M/D/YYYY",
    "ll": "MMM D, YYYY",
    "lll": "MMM D, YYYY h:mm A",
    "llll": "ddd, MMM D, YYYY h:mm A",
}
_LONG_TOKENS = re.compile(r"\[[^\[]*\]|\\?(?:LTS|LT|LL?L?L?|l{1,4})")
_TOKENS = re.compile(
    r"\[[^\[]*\]|\\?(?:[Hh]mm(?:ss)?|Mo|MM?M?M?|Do|DDDo|DD?D?D?|ddd?d?|do?|wo|ww?|Wo|WW?|Qo?|N{1,5}|YYYYYY|YYYYY|YYYY"
    r"|YY|Y|y{2,4}|yo?|gg(?:ggg?)?|GG(?:GGG?)?|e|E|a|A|hh?|HH?|kk?|mm?|ss?|S{1,9}|x|X|zz?|ZZ?|.)",
    re.DOTALL,
)
# Python's own names follow the process's locale.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def moment(seconds: int | None) -> datetime | None:
    """The time so many seconds after 1970 began, in UTC; None if that isn't known, or not in the years 1970 to 9999."""
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None and 0 <= seconds < _LATEST else None


def zone(name: str) -> tzinfo:
    """The time zone of the IANA database that `name` is, in any case; UsageError if there is none."""
    if name.upper() == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, available_timezones

    known = {each.lower(): each for each in available_timezones()}
    if name.lower() not in known:
        hint = did_you_mean(name, known.values()) or "zones are named as in tz='Europe/Berlin'"
        raise UsageError(f"{name!r} is not a time zone", hint=hint)
    return ZoneInfo(known[name.lower()])


def formatted(when: datetime, form: str) -> str:
    """`when`, which knows its zone, in moment's format `form`."""
    return _TOKENS.sub(lambda match: _token(when, match[0]), _LONG_TOKENS.sub(_expanded, form))


def _expanded(match: re.Match[str]) -> str:
    return _LONG.get(match[0], match[0])


def _token(when: datetime, token: str) -> str:
    if token.startswith("[") and len(token) > 1:
        return token[1:-1]
    if token.startswith("\\"):
        return token[1:]
    if token.startswith("S"):
        return "0" * len(token)  # of seconds that we know there are only whole ones
    render = _RENDER.get(token)
    return render(when) if render else token


def _ordinal(number: int) -> str:
    teen = 10 < number % 100 < 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _offset(when: datetime, colon: str) -> str:
    delta = when.utcoffset()
    assert delta is not None
    minutes = int(delta.total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}{colon}{rest:02}"


def _week(when: datetime) -> tuple[int, int]:
    """Year and week as in the United States: weeks begin on Sundays, and the first one has January 1st."""
    day = when.isoweekday() % 7
    saturday = when.toordinal() + 6 - day
    if saturday > datetime.max.toordinal():
        return when.year, 53
    year = datetime.fromordinal(saturday).year
    first = datetime(year, 1, 1)
    start = first.toordinal() - first.isoweekday() % 7
    return year, (when.toordinal() - start) // 7 + 1


def _twelve(when: datetime) -> int:
    return when.hour % 12 or 12


_RENDER: dict[str, Callable[[datetime], str]] = {
    "YY": lambda t: f"{t.year % 100:02}",
    "Y": lambda t: str(t.year),
    "YYYY": lambda t: f"{t.year:04}",
    "YYYYY": lambda t: f"{t.year:05}",
    "YYYYYY": lambda t: f"+{t.year:06}",
    **dict.fromkeys(("y", "yy", "yyy", "yyyy"), lambda t: f"{t.year:04}"),
    "yo": lambda t: _ordinal(t.year),
    **dict.fromkeys(("N", "NN", "NNN", "NNNNN"), lambda _t: "AD"),
    "NNNN": lambda _t: "Anno Domini",
    "Q": lambda t: str((t.month + 2) // 3),
    "Qo": lambda t: _ordinal((t.month + 2) // 3),
    "M": lambda t: str(t.month),
    "Mo": lambda t: _ordinal(t.month),
    "MM": lambda t: f"{t.month:02}",
    "MMM": lambda t: _MONTHS[t.month - 1][:3],
    "MMMM": lambda t: _MONTHS[t.month - 1],
    "D": lambda t: str(t.day),
    "Do": lambda t: _ordinal(t.day),
    "DD": lambda t: f"{t.day:02}",
    "DDD": lambda t: str(t.timetuple().tm_yday),
    "DDDo": lambda t: _ordinal(t.timetuple().tm_yday),
    "DDDD": lambda t: f"{t.timetuple().tm_yday:03}",
    "d": lambda t: str(t.isoweekday() % 7),
    "do": lambda t: _ordinal(t.isoweekday() % 7),
    "dd": lambda t: _DAYS[t.weekday()][:2],
    "ddd": lambda t: _DAYS[t.weekday()][:3],
    "dddd": lambda t: _DAYS[t.weekday()],
    "e": lambda t: str(t.isoweekday() % 7),
    "E": lambda t: str(t.isoweekday()),
    "w": lambda t: str(_week(t)[1]),
    "wo": lambda t: _ordinal(_week(t)[1]),
    "ww": lambda t: f"{_week(t)[1]:02}",
    "W": lambda t: str(t.isocalendar().week),
    "Wo": lambda t: _ordinal(t.isocalendar().week),
    "WW": lambda t: f"{t.isocalendar().week:02}",
    "gg": lambda t: f"{_week(t)[0] % 100:02}",
    "gggg": lambda t: f"{_week(t)[0]:04}",
    "ggggg": lambda t: f"{_week(t)[0]:05}",
    "GG": lambda t: f"{t.isocalendar().year % 100:02}",
    "GGGG": lambda t: f"{t.isocalendar().year:04}",
    "GGGGG": lambda t: f"{t.isocalendar().year:05}",
    "A": lambda t: "AM" if t.hour < 12 else "PM",
    "a": lambda t: "am" if t.hour < 12 else "pm",
    "H": lambda t: str(t.hour),
    "HH": lambda t: f"{t.hour:02}",
    "h": lambda t: str(_twelve(t)),
    "hh": lambda t: f"{_twelve(t):02}",
    "k": lambda t: str(t.hour or 24),
    "kk": lambda t: f"{t.hour or 24:02}",
    "hmm": lambda t: f"{_twelve(t)}{t.minute:02}",
    "hmmss": lambda t: f"{_twelve(t)}{t.minute:02}{t.second:02}",
    "Hmm": lambda t: f"{t.hour}{t.minute:02}",
    "Hmmss": lambda t: f"{t.hour}{t.minute:02}{t.second:02}",
    "m": lambda t: str(t.minute),
    "mm": lambda t: f"{t.minute:02}",
    "s": lambda t: str(t.second),
    "ss": lambda t: f"{t.second:02}",
    "z": lambda t: t.tzname() or "",
    "zz": lambda t: t.tzname() or "",
    "Z": lambda t: _offset(t, ":"),
    "ZZ": lambda t: _offset(t, ""),
    "X": lambda t: str(int(t.timestamp())),
    "x": lambda t: str(int(t.timestamp()) * 1000),
}
