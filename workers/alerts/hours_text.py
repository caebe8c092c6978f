"""Hours of a week as text, for the command line: `mon-fri 08:00-18:00 Europe/Paris`.

Days are names or ranges of names with commas between, which may go over the end of the week
(`fri-mon`); without any it is every day. Without a zone it is UTC. An end at or before the start is
on the next day, and `00:00-00:00` is the whole day.
"""

from __future__ import annotations

import re
from typing import Final

from pydantic import ValidationError

from schemas.api.matchers import Hours, Weekday

__all__ = ["MAX_TEXT_CHARS", "parse_hours"]

MAX_TEXT_CHARS: Final = 200
"""Longest text that is parsed."""
_EXAMPLE: Final = "such as 'mon-fri 08:00-18:00 Europe/Paris', 'sat,sun 10:00-12:00', '22:00-06:00'"
_TEXT: Final = re.compile(
    r"(?:(?P<days>[a-z]{3}(?:[,-][a-z]{3})*)\s+)?"
    r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?:\s+(?P<zone>\S+))?",
    re.ASCII | re.IGNORECASE,
)
_WEEK: Final = tuple(day.value for day in Weekday)


def parse_hours(text: str) -> Hours:
    """The hours that a text is.

    Raises:
        ValueError: it is none; says what one looks like.
    """
    found = _TEXT.fullmatch(text.strip()) if len(text) <= MAX_TEXT_CHARS else None
    if found is None:
        raise ValueError(f"{text[:MAX_TEXT_CHARS]!r} are no hours, {_EXAMPLE}")
    given = {
        "days": None if found["days"] is None else _days(found["days"].lower()),
        "start": found["start"],
        "end": found["end"].replace("24:00", "00:00"),
        "time_zone": found["zone"],
    }
    try:
        return Hours.model_validate({name: value for name, value in given.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{text!r}: {first['loc'][0]}: {said}") from error


def _days(text: str) -> list[str]:
    """The days, each once, in the order of the week."""
    named: set[str] = set()
    for part in text.split(","):
        first, *more = part.split("-")
        last = more[-1] if more else first
        if len(more) > 1 or {first, last} - set(_WEEK):
            raise ValueError(f"{part!r} is no day and no range of days: {', '.join(_WEEK)}")
        start, end = _WEEK.index(first), _WEEK.index(last)
        named |= {_WEEK[at % len(_WEEK)] for at in range(start, end + 1 + (end < start) * 7)}
    return [day for day in _WEEK if day in named]
