"""How many false incidents an operator accepts, and what a history can say about that number."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

DAY_S = 86_400.0
WEEK_S = 604_800.0
UNITS_S = {
    "second": 1.0,
    "minute": 60.0,
    "hour": 3_600.0,
    "day": DAY_S,
    "week": WEEK_S,
    "month": 2_629_800.0,
    "year": 31_557_600.0,
}
SHORTEST_INCIDENT = 32
"""Readings that an incident and the quiet behind it last at the least."""
CERTAIN = 3.0
"""False incidents to expect in a history that can show their rate: with three expected, seeing
none has a chance of 5 % (the rule of three)."""
STRETCH = 10.0
"""How far beyond the history the tail of the scores is believed: by this factor in the rate."""
FEW_BLOCKS = 10
"""With fewer independent blocks not even the tail's slope is known."""
_DIGITS: Final = 6
"""Of what is allowed: an allowance of one must not be a little more or less."""

_BUDGET = re.compile(
    r"\s*(?P<incidents>\d+(?:\.\d*)?|\.\d+)\s*(?:per|/|an?\b|in)\s*(?P<sensor>sensor\s+and\s+)?"
    r"(?P<count>\d+(?:\.\d*)?)?\s*(?P<unit>[a-z]+?)s?"
    r"(?P<scope>\s+(?:(?:per|and)\s+sensor|for\s+the\s+desk|for\s+all\s+sensors|in\s+all))?\s*",
    re.IGNORECASE,
)


class Scope(StrEnum):
    """Whose incidents a budget counts."""

    SENSOR = "sensor"
    """Those of each sensor for itself."""
    DESK = "desk"
    """Those of all sensors together: what reaches one operator's desk."""


@dataclass(frozen=True, kw_only=True)
class AlarmBudget:
    """How many false incidents may open while all is well.

    Attributes:
        false_alarms: incidents, on average.
        per_s: in this many seconds.
        scope: of one sensor, or of all together.

    Raises:
        ValueError: a number is not greater than zero.
    """

    false_alarms: float = 1.0
    per_s: float = WEEK_S
    scope: Scope = Scope.SENSOR

    def __post_init__(self) -> None:
        if not (self.false_alarms > 0 and self.per_s > 0):
            raise ValueError(
                f"an alarm budget needs numbers greater than zero, got "
                f"false_alarms={self.false_alarms}, per_s={self.per_s}"
            )

    @classmethod
    def parse(cls, text: str) -> "AlarmBudget":
        """The budget that a text describes.

        "1 per week" and "1 per sensor and week" count each sensor's incidents, "10 per day for
        the desk" those of all sensors together; "0.5/day" and "3 in 2 weeks" do as well.

        Raises:
            ValueError: another form, an unknown unit, or a number that is not above zero.
        """
        match = _BUDGET.fullmatch(text)
        unit_s = UNITS_S.get(match["unit"].lower()) if match else None
        scope = (match["scope"] or "").lower() if match else ""
        desk = bool(scope) and "sensor" not in scope.replace("all sensors", "")
        if match is None or unit_s is None or (match["sensor"] and scope):
            raise ValueError(
                f'{text!r} is no budget: write "1 per week", "2 per 3 days" or "10 per day for '
                f'the desk", with one of {", ".join(UNITS_S)}'
            )
        return cls(
            false_alarms=float(match["incidents"]),
            per_s=float(match["count"] or 1) * unit_s,
            scope=Scope.DESK if desk else Scope.SENSOR,
        )

    def rate(self, interval_s: float, *, sensors: int = 1) -> float:
        """False incidents a reading of one sensor, at one reading every `interval_s`.

        Args:
            interval_s: sampling interval of a sensor.
            sensors: that share a budget for the desk; no matter to one per sensor.

        Raises:
            ValueError: the budget leaves less than `SHORTEST_INCIDENT` readings to an incident.
        """
        shares = sensors if self.scope is Scope.DESK else 1
        rate = self.false_alarms * interval_s / self.per_s / shares
        if rate > 1 / SHORTEST_INCIDENT:
            raise ValueError(
                f"a budget of {self} leaves {1 / rate:.2g} readings to each false incident at one "
                f"reading every {interval_s:g} s, and an incident lasts {SHORTEST_INCIDENT} or "
                "more; give a smaller one"
            )
        return rate

    def __str__(self) -> str:
        whole = [
            (unit, self.per_s / length)
            for unit, length in UNITS_S.items()
            if (self.per_s / length).is_integer()
        ]
        unit, count = whole[-1] if whole else ("second", self.per_s)
        span = unit if count == 1 else f"{count:g} {unit}s"
        per = f"sensor and {span}" if self.scope is Scope.SENSOR else span
        return f"{self.false_alarms:g} per {per}" + (
            " for the desk" if self.scope is Scope.DESK else ""
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """False incidents that a trained model's budget allows in some time.

    Attributes:
        sensor_per_s: of one sensor in a second.
        desk_per_s: of all together, however many; None: each sensor adds its own.
    """

    sensor_per_s: float
    desk_per_s: float | None = None

    @classmethod
    def of(cls, rate: float, *, interval_s: float, training: Mapping[str, Any]) -> Self:
        """By what a model says of itself.

        Args:
            rate: false incidents a reading of one sensor.
            interval_s: sampling interval.
            training: how it was trained; its `budget` tells whether that is the desk's.
        """
        budget = training.get("budget") or {}
        is_desk = budget.get("scope") == Scope.DESK
        return cls(
            sensor_per_s=rate / interval_s,
            desk_per_s=budget["false_alarms"] / budget["per_s"] if is_desk else None,
        )

    def sensor(self, period_s: float) -> float:
        """Of one sensor in so many seconds."""
        return round(self.sensor_per_s * period_s, _DIGITS)

    def chance_over(self, period_s: float) -> float:
        """How likely a sensor has more than it is allowed, and more than one, by chance alone.

        Of a sensor that keeps the budget exactly; its false incidents come as a Poisson process.
        """
        mean = self.sensor(period_s)
        if not mean:
            return 0.0
        at_most = math.floor(max(mean, 1.0))
        terms = (n * math.log(mean) - mean - math.lgamma(n + 1) for n in range(at_most + 1))
        return max(1.0 - math.fsum(map(math.exp, terms)), 0.0)

    def desk(self, period_s: float, sensors: int) -> float:
        """Of so many sensors together."""
        per_s = self.sensor_per_s * sensors if self.desk_per_s is None else self.desk_per_s
        return round(per_s * period_s, _DIGITS)


class Basis(StrEnum):
    """What a budget rests on."""

    COUNTED = "counted"
    """The history is long enough to see incidents at this rate."""
    EXTRAPOLATED = "extrapolated"
    """It is up to `STRETCH` times too short: an estimate from the tail of the scores."""
    HOPED = "hoped"
    """Nothing in the history speaks for this number."""


@dataclass(frozen=True, kw_only=True)
class BudgetWorth:
    """What a history can say about a budget.

    Attributes:
        asked: the budget.
        smallest: the smallest budget that this history can certify, rounded up.
        asked_rate: false incidents a reading that the budget allows.
        expected: false incidents that the budget allows in the history.
        readings: calibration readings of all sensors that the number rests on.
        independent: stretches among them that share no reading.
        sensors: that the history is of.
        interval_s: sampling interval.
        basis: counted, extrapolated or hoped.
    """

    asked: AlarmBudget
    smallest: AlarmBudget
    asked_rate: float
    expected: float
    readings: int
    independent: int
    sensors: int
    interval_s: float
    basis: Basis

    @property
    def warning(self) -> str | None:
        """Why the budget is not to be relied upon; None if it is."""
        return None if self.basis is Basis.COUNTED else str(self)

    def __str__(self) -> str:
        history = _duration(self.readings * self.interval_s)
        whose = "of one sensor" if self.sensors == 1 else f"of {self.sensors} sensors together"
        had = (
            f"the history has {history} of calibration {whose} ({self.independent} independent "
            f"stretches), in which a budget of {self.asked} allows {self.expected:.2g} false "
            "incidents"
        )
        if self.basis is Basis.COUNTED:
            return f"{had}: enough to count on, as long as the data stay like this history"
        few = (
            f"; with less than {FEW_BLOCKS} independent stretches even the estimate is rough"
            if self.independent < FEW_BLOCKS
            else ""
        )
        weak = _duration(self.interval_s / self.asked_rate)
        learns = (
            f"the rule counts its own incidents and corrects its bar, but in the first {weak} it "
            "can be wrong by several incidents"
        )
        if self.basis is Basis.EXTRAPOLATED:
            return (
                f"{had}: too few to count, so the bar is an estimate from the tail of the "
                f"scores{few}; {learns}. The smallest budget that this history can certify is "
                f"{self.smallest}"
            )
        return (
            f"{had}: nothing in it speaks for that number{few}; {learns}. The smallest honest "
            f"budget is {self.smallest}: ask for that, or give a longer history"
        )


def least_rate(readings: int) -> float:
    """The lowest rate that the tail of so many readings is believed for: bars start there.

    For a rarer one nothing in the history speaks; the rule's own counting lifts the bar instead.
    """
    return CERTAIN / readings / STRETCH


def worth(
    budget: AlarmBudget, *, interval_s: float, readings: int, independent: int, sensors: int = 1
) -> BudgetWorth:
    """What a calibration history can certify of a budget.

    Sensors of one model count together: each adds its stretches to what is known of a false
    incident's rate. The tail is counted where `CERTAIN` incidents are to be expected.

    Args:
        budget: asked for.
        interval_s: sampling interval.
        readings: calibration readings of all sensors, at least one.
        independent: stretches among them that share no reading.
        sensors: that the readings are of, and that share a budget for the desk.

    Raises:
        ValueError: no reading or sensor, or a budget that `AlarmBudget.rate` rejects.
    """
    if readings < 1 or sensors < 1:
        raise ValueError(f"needs readings and sensors, got {readings} and {sensors}")
    rate = budget.rate(interval_s, sensors=sensors)
    lowest = CERTAIN / readings
    certain = rate >= lowest and independent >= FEW_BLOCKS
    basis = Basis.EXTRAPOLATED if rate >= lowest / STRETCH else Basis.HOPED
    return BudgetWorth(
        asked=budget,
        smallest=_rounded_up(lowest, interval_s, sensors, budget.scope),
        asked_rate=rate,
        expected=rate * readings,
        readings=readings,
        independent=independent,
        sensors=sensors,
        interval_s=interval_s,
        basis=Basis.COUNTED if certain else basis,
    )


def _rounded_up(rate: float, interval_s: float, sensors: int, scope: Scope) -> AlarmBudget:
    """The next budget above a rate: whole incidents of the first unit that holds one."""
    shares = sensors if scope is Scope.DESK else 1
    per_s = min(rate, 1 / SHORTEST_INCIDENT) * shares / interval_s
    unit_s = next((s for s in UNITS_S.values() if per_s * s >= 1), UNITS_S["year"])
    room = math.floor(unit_s * shares / interval_s / SHORTEST_INCIDENT)
    return AlarmBudget(
        false_alarms=float(max(1, min(math.ceil(per_s * unit_s), room))), per_s=unit_s, scope=scope
    )


def _duration(seconds: float) -> str:
    unit, length = next(
        ((u, s) for u, s in reversed(UNITS_S.items()) if seconds >= 1.5 * s), ("second", 1.0)
    )
    return f"{seconds / length:.3g} {unit}s"
