"""The alarm budget in words: "1 per week"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from detector.calibration.threshold import AlarmBudget

_UNITS_S = {
    "second": 1.0,
    "minute": 60.0,
    "hour": 3_600.0,
    "day": 86_400.0,
    "week": 604_800.0,
    "month": 2_629_800.0,
    "year": 31_557_600.0,
}
_FORM = re.compile(
    r"\s*(?P<alarms>\d+(?:\.\d*)?|\.\d+)\s*(?:per|/|an?\b|in)\s*(?P<count>\d+(?:\.\d*)?)?\s*"
    r"(?P<unit>[a-z]+?)s?\s*",
    re.IGNORECASE,
)


def parse_budget(text: str) -> AlarmBudget:
    """The budget that a text such as "1 per week", "0.5/day" or "3 in 2 weeks" describes.

    Raises:
        typer.BadParameter: another form, an unknown unit, or a number that is not above zero.
    """
    from detector.calibration.threshold import AlarmBudget

    match = _FORM.fullmatch(text)
    unit_s = _UNITS_S.get(match["unit"].lower()) if match else None
    if match is None or unit_s is None:
        raise typer.BadParameter(
            f'{text!r} is no budget: write "1 per week" or "2 per 3 days", with one of '
            f"{', '.join(_UNITS_S)}",
            param_hint="--budget",
        )
    try:
        return AlarmBudget(
            false_alarms=float(match["alarms"]), per_s=float(match["count"] or 1) * unit_s
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--budget") from error
