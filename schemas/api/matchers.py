"""Which incidents somebody means: CloudEvents filters, Alertmanager matchers, hours of a week."""

from __future__ import annotations

from datetime import time
from enum import StrEnum
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from schemas.api.base import BY_NAME_AND_ALIAS, LabelName, Request, ShortText, Text
from schemas.wire.limits import MAX_LABEL_CHARS

__all__ = ["MAX_FILTERS", "MAX_FILTER_DEPTH", "Filter", "Hours", "MatchKind", "Matcher", "Weekday"]

MAX_FILTERS: Final = 32
"""Most filters in a list."""
MAX_FILTER_DEPTH: Final = 8
"""Deepest nesting of all, any and not."""

Attribute = Annotated[str, Field(pattern="^[a-z0-9]{1,20}$")]
AttributeText = Annotated[dict[Attribute, ShortText], Field(min_length=1, max_length=16)]


class Filter(Request):
    """A filter of the CloudEvents Subscriptions API: exactly one dialect.

    The dialects that the specification requires; another one (such as sql) is rejected.
    """

    exact: AttributeText | None = None
    """Each attribute of the event is the text."""
    prefix: AttributeText | None = None
    """Each attribute begins with the text."""
    suffix: AttributeText | None = None
    """Each attribute ends with the text."""
    all: Annotated[tuple[Filter, ...], Field(min_length=1, max_length=MAX_FILTERS)] | None = None
    """Every one of these filters passes."""
    any: Annotated[tuple[Filter, ...], Field(min_length=1, max_length=MAX_FILTERS)] | None = None
    """One of these filters passes."""
    not_: Annotated[Filter | None, Field(alias="not")] = None
    """This filter does not pass."""

    model_config = BY_NAME_AND_ALIAS

    @model_validator(mode="after")
    def _one_dialect(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "a filter has exactly one of exact, prefix, suffix, all, any, not; got "
                + (", ".join(given).replace("_", "") or "none")
            )
        if self.depth > MAX_FILTER_DEPTH:
            raise ValueError(f"filters are nested at most {MAX_FILTER_DEPTH} deep")
        return self

    @property
    def depth(self) -> int:
        """How deep it is nested; 1 is a filter without others in it."""
        within = [*(self.all or ()), *(self.any or ()), *([self.not_] if self.not_ else [])]
        return 1 + max((one.depth for one in within), default=0)


class Matcher(Request):
    """A matcher as Alertmanager's: a label, how, and a value.

    Labels are those of the sensor, and `sensor_id`, `severity`, `kind`, `direction`, `channel`
    (the main one), `model` of the incident; `alertname` is VigieIncident.
    """

    name: LabelName
    """Name of the label; a label that is not there is the empty text."""
    value: Annotated[Text, Field(max_length=MAX_LABEL_CHARS)]
    """The text, or with `isRegex` a regular expression (RE2) that fits all of the label."""
    is_regex: Annotated[bool, Field(alias="isRegex")] = False
    """Whether the value is a regular expression."""
    is_equal: Annotated[bool, Field(alias="isEqual")] = True
    """Whether it has to match, or must not."""

    model_config = BY_NAME_AND_ALIAS


class MatchKind(StrEnum):
    """What a silence, a subscription, an inhibition did to a notification."""

    SILENCE = "silence"
    INHIBITION = "inhibition"
    COOLDOWN = "cooldown"
    RATE = "rate"
    HOURS = "hours"
    SUPPRESSED = "suppressed"


class Weekday(StrEnum):
    """A day of the week."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone, such as Europe/Paris") from error
    return name


def _without_offset(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("a time of the day without an offset: time_zone says where it is")
    return value


LocalTime = Annotated[time, AfterValidator(_without_offset)]


class Hours(Request):
    """Hours of a week in a time zone, such as business hours."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7)] = tuple(Weekday)
    """Days on which the hours begin."""
    start: LocalTime = time(0, 0)
    """First minute, local time."""
    end: LocalTime = time(0, 0)
    """End, local time, not included; at or before `start`: on the next day."""
    time_zone: Annotated[str, Field(max_length=64), AfterValidator(_zone)] = "UTC"
    """Name of the zone: Europe/Paris."""
