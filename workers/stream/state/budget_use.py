"""Incidents of the last day and week against the budget: of each sensor, and at the desk. Pure.

"Now" is event time: the latest event time of the partition's sensors. So old incidents of a sensor
that has fallen silent age out as the others' time goes on, and two workers that know the same log
say the same. All incidents count, true ones too: nobody has judged them yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from detector.calibration.budget import DAY_S, WEEK_S, Allowance
from workers.stream.state.alarm_table import QUARTER_NS, openings

MOST_NAMED: Final = 10
"""Sensors that are named of those over their budget."""
_WEEK_NS: Final = int(WEEK_S) * 10**9


class SensorUse(NamedTuple):
    """Incidents of a sensor that opened in the last day and week."""

    sensor: str
    day: int
    week: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetUse:
    """What the sensors of a partition, or of several, made of their budget.

    Attributes:
        sensors: that brought a reading in the last week.
        day, week: incidents of all that opened in the last 24 hours and 7 days, by quarters of a
            day; without drifts, which have no part in the budget.
        open: incidents that go on, drifts too.
        over: sensors over their budget, see `are_over`...
        farthest: ...and the first of them, the farthest first.
        allowance: what the budget is; None is unknown: then none is over it.
    """

    sensors: int = 0
    day: int = 0
    week: int = 0
    open: int = 0
    over: int = 0
    farthest: tuple[SensorUse, ...] = ()
    allowance: Allowance | None = None

    def __add__(self, other: BudgetUse) -> BudgetUse:
        """Both together."""
        farthest = sorted(
            (*self.farthest, *other.farthest), key=lambda one: (-one.week, -one.day, one.sensor)
        )
        return BudgetUse(
            sensors=self.sensors + other.sensors,
            day=self.day + other.day,
            week=self.week + other.week,
            open=self.open + other.open,
            over=self.over + other.over,
            farthest=tuple(farthest[:MOST_NAMED]),
            allowance=self.allowance or other.allowance,
        )

    @property
    def desk_day(self) -> float | None:
        """False incidents that the budget allows the desk in a day; None is unknown."""
        return None if self.allowance is None else self.allowance.desk(DAY_S, self.sensors)

    @property
    def desk_week(self) -> float | None:
        """Likewise in a week."""
        return None if self.allowance is None else self.allowance.desk(WEEK_S, self.sensors)


def latest_ns(rows: NDArray[Any]) -> int:
    """The latest event time of sensors: "now" for all of them.

    Args:
        rows: of `alarm_table.ROW`.
    """
    if not len(rows):
        return 0
    # A sensor that begins anew with another model has a week of incidents, and no reading yet.
    return max(int(rows["last_ns"].max()), int(rows["quarter"].max()) * QUARTER_NS)


def are_over(
    day: Int64[np.ndarray, " n"], week: Int64[np.ndarray, " n"], allowance: Allowance | None
) -> Bool[np.ndarray, " n"]:
    """Which sensors are over their budget: in the day, or in the week, more than it allows opened.

    One incident is never too many: a budget of one per week allows a seventh of one in a day.

    Args:
        day: incidents of each sensor that opened in the last day.
        week: in the last week.
        allowance: the budget; None is unknown.
    """
    if allowance is None:
        return np.zeros(len(day), np.bool_)
    most_day, most_week = (max(allowance.sensor(period), 1.0) for period in (DAY_S, WEEK_S))
    return (day > most_day) | (week > most_week)


def budget_use(
    names: Sequence[str],
    rows: NDArray[Any],
    allowance: Allowance | None,
    open_: int,
    *,
    most: int = MOST_NAMED,
) -> BudgetUse:
    """What sensors of one partition made of their budget.

    Args:
        names: of n sensors.
        rows: [n] of `alarm_table.ROW`.
        allowance: the budget.
        open_: incidents that go on.
        most: sensors that are named of those over the budget.
    """
    now_ns = latest_ns(rows)
    day, week = openings(rows, now_ns)
    over = are_over(day, week, allowance)
    places = np.flatnonzero(over)
    first = places[np.lexsort((-day[places], -week[places]))][:most].tolist()
    return BudgetUse(
        sensors=int((rows["last_ns"] > now_ns - _WEEK_NS).sum()),
        day=int(day.sum()),
        week=int(week.sum()),
        open=open_,
        over=len(places),
        farthest=tuple(SensorUse(names[at], int(day[at]), int(week[at])) for at in first),
        allowance=allowance,
    )
