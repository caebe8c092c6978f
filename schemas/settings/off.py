"""`[[off]]`: when sensors are not judged: during maintenance, or while a channel says so.

What an entry does to readings is `workers.stream.state.off`; here stands what may be said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self, cast

from pydantic import AfterValidator, Field, model_validator

from schemas.settings.rules import Patterns, RuleName, unique_names
from schemas.settings.section import Section
from schemas.wire.limits import MAX_NAME_CHARS
from schemas.wire.time_zone import zone_of

MAX_OFF: Final = 64
MAX_SETTLE_S: Final = 864_000

Comparison = Literal["<", "<=", ">", ">=", "==", "!="]

_CONDITION: Final = re.compile(
    r"""\s*(?:"(?P<quoted>[^"]+)"|(?P<plain>[^<>=!"\s](?:[^<>=!"]*[^<>=!"\s])?))
        \s*(?P<comparison><=|>=|==|!=|<|>)
        \s*(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*""",
    re.ASCII | re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What a channel has to be, such as `speed < 5`."""

    channel: str
    comparison: Comparison
    number: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition of a text: a channel, a comparison, a number.

        Raises:
            ValueError: it is none; says what one looks like.
        """
        found = _CONDITION.fullmatch(text)
        if found is None or abs(number := float(found["number"])) == float("inf"):
            raise ValueError(
                "is no condition: write a channel, one of < <= > >= == != and a number,"
                ' such as "speed < 5";'
                " a channel with such marks in its name goes into quotes, '\"a<b\" < 5'"
            )
        return cls(
            channel=found["quoted"] or found["plain"],
            comparison=cast("Comparison", found["comparison"]),
            number=number,
        )


def _condition(text: str) -> str:
    Condition.parse(text)
    return text


def _zone(name: str) -> str:
    zone_of(name)
    return name


class OffSettings(Section):
    """One reason for which sensors are not judged: by a condition, or by a calendar.

    Their readings are scored and published all the same, marked as off.
    """

    name: RuleName
    """The reason, as people read it."""
    sensors: Patterns = "*"
    """Sensors that it is about, by pattern."""
    when: (
        Annotated[
            str, Field(min_length=1, max_length=MAX_NAME_CHARS + 40), AfterValidator(_condition)
        ]
        | None
    ) = None
    """Off while a channel is so: a channel, a comparison and a number, such as speed < 5."""
    calendar: Path | None = None
    """Off during the events of an iCalendar file (.ics), read when the run starts."""
    timezone: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_zone)] | None = (
        None
    )
    """Zone of all-day events and of times that name none; else the calendar's own, else UTC."""
    settle_s: Annotated[float, Field(ge=0, le=MAX_SETTLE_S)] = 0.0
    """How much longer it stays off afterwards, in the time of the readings."""

    @property
    def condition(self) -> Condition | None:
        """What `when` says."""
        return None if self.when is None else Condition.parse(self.when)

    @model_validator(mode="after")
    def _one_reason(self) -> Self:
        if (self.when is None) == (self.calendar is None):
            raise ValueError(
                'give either when, such as "speed < 5", or calendar, the path of an .ics file;'
                " for both make two entries"
            )
        if self.timezone is not None and self.calendar is None:
            raise ValueError("timezone is for a calendar; event times of readings have a zone")
        return self


Off = Annotated[tuple[OffSettings, ...], Field(max_length=MAX_OFF), AfterValidator(unique_names)]
