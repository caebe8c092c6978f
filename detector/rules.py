"""Rules beside the model: what people know of channels, applied to a row and its expectation.

The model says that a row is unusual. A rule says what of it matters, and what always does. Like the
custom rules of Elastic's machine learning and the suppression rules of OpenSearch's detectors, a
rule never changes a score; it decides whether the row counts.

* **Carrying.** A channel carries the alarm of a row when it has at least `CARRIES` of the largest
  contribution, or lies outside of its band with at least `JOINS` of it. Contributions alone would
  pass over a small real deviation beside a large one; bands alone would count the noise that a
  model smears from one channel to the others.
* **Unimportant.** A rule finds a channel of its own unimportant in a row when one of its conditions
  is not met: the deviation is smaller than the least that matters, or on the other side, or the
  company that it asks for is not there. Without a least, a direction asks for a deviation outside
  of the band: within it, above and below are noise. So a channel with a least or a direction alarms
  by its deviation and never by its pattern. `never_alone` finds its channels unimportant always.
* **Held back** is a row when something carries it, and all that carries it is unimportant, by one
  rule or by several together. What no rule speaks of keeps its alarm.
* **Raised** is a row in which a value lies beyond a hard limit; then nothing holds it back.
* **A missing value holds nothing back**: a channel that has gone dark is a fault of its own. It is
  never unimportant, counts as deviating where a rule asks for its company, and has no limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float, Float64, Int8, Int64

from detector.globs import ByName

CARRIES: Final = 0.5
"""Of the largest contribution: who has as much carries the alarm."""
JOINS: Final = 0.1
"""Of the largest contribution: who has as much and lies outside of its band does so too. Parts go
with the square of a deviation, so it has about a third of the largest one."""
MOST_RULES: Final = 63
"""Bits of a number that has a sign."""

HELD: Final = 1
RAISED: Final = 2

Direction = Literal["high", "low", "any"]
Values = Float[np.ndarray, "n channels"]
Mask = Bool[np.ndarray, "n channels"]
Band = Float64[np.ndarray, " channels"] | Float64[np.ndarray, "n channels"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What is said of some channels; `schemas.settings.rules` explains each key.

    Attributes:
        name: of the rule.
        sensors: patterns of the sensors that it is about.
        channels: places of the channels that it is about.
        least_deviation: channel units; 0 when nothing is said.
        least_share: of the expected value's size; 0 when nothing is said.
        direction: the side that matters.
        above: alarm above this value, channel units.
        below: alarm below this value, channel units.
        never_alone: whether the channels alarm only together with others.
        all_of: places of the channels that all have to deviate.
        any_of: places of channels of which one has to deviate; empty when nothing is said.
    """

    name: str
    sensors: tuple[str, ...]
    channels: tuple[int, ...]
    least_deviation: float = 0.0
    least_share: float = 0.0
    direction: Direction = "any"
    above: float = float("inf")
    below: float = float("-inf")
    never_alone: bool = False
    all_of: tuple[int, ...] = ()
    any_of: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the rules say of rows.

    Attributes:
        ruling: 0, `HELD` or `RAISED`.
        by: bit set of the rules that did it, bit i for the rule at place i; 0 where ruling is.
    """

    ruling: Int8[np.ndarray, " n"]
    by: Int64[np.ndarray, " n"]


class Rules:
    """All rules, and which of them apply to a sensor. Picklable.

    Raises:
        ValueError: more than `MOST_RULES` rules.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        if len(rules) > MOST_RULES:
            raise ValueError(f"at most {MOST_RULES} rules, got {len(rules)}")
        self._rules = tuple(rules)
        self._by_sensor = ByName([rule.sensors for rule in rules], self._some)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def for_sensor(self, name: str) -> "SensorRules | None":
        """The rules of a sensor; None when there are none."""
        return self._by_sensor.get(name)

    def named(self, by: int) -> list[str]:
        """Names of the rules in a bit set of `Judged.by`, in the order of the settings."""
        return [rule.name for place, rule in enumerate(self._rules) if by >> place & 1]

    def beyond(self, by: int, row: Float[np.ndarray, " channels"]) -> list[int]:
        """Places of the channels of a row that lie beyond a hard limit of the rules of a bit set.

        Args:
            by: of `Judged.by`.
            row: observed values, channel units.
        """
        rules = [rule for place, rule in enumerate(self._rules) if by >> place & 1]
        return sorted(
            {
                channel
                for rule in rules
                for channel in rule.channels
                if row[channel] > rule.above or row[channel] < rule.below
            }
        )

    def _some(self, places: tuple[int, ...]) -> "SensorRules":
        return SensorRules([(place, self._rules[place]) for place in places])


class SensorRules:
    """The rules of one sensor.

    Args:
        rules: with the place of each among all rules, which is its bit.
    """

    def __init__(self, rules: Sequence[tuple[int, Rule]]) -> None:
        self._rules = [_Applied(1 << place, rule) for place, rule in rules]

    def judge(
        self,
        observed: Values,
        expected: Values,
        band: Band,
        contribution: Values,
    ) -> Judged:
        """Which rows the rules hold back or raise.

        Each row for itself, so cuts change nothing, and the rows of all sensors that have these
        rules may come in one call: it costs 0.1 ms, and 0.3 us a row (8 channels, 3 rules).

        Args:
            observed: channel units; NaN (or an infinity) = missing.
            expected: channel units.
            band: half the width of the band around the expected values, channel units, as of
                `detector.explanation.band`; of all rows, or of each.
            contribution: each channel's share in the score; NaN or 0 in a row without one, which
                is not held back then.
        """
        rows = _Seen.of(observed, expected, band)
        with np.errstate(invalid="ignore"):
            largest = np.fmax.reduce(contribution, axis=1, keepdims=True)
            carries = (contribution > 0) & (
                (contribution >= CARRIES * largest)
                | (rows.outside & (contribution >= JOINS * largest))
            )
        unimportant = np.zeros(observed.shape, dtype=np.bool_)
        held_by = np.zeros(len(observed), dtype=np.int64)
        raised_by = np.zeros(len(observed), dtype=np.int64)
        for rule in self._rules:
            if rule.holds:
                out = rule.unimportant(rows)
                unimportant[:, rule.channels] |= out
                held_by |= (out & carries[:, rule.channels]).any(axis=1) * rule.bit
            if rule.limits:
                raised_by |= rule.beyond(rows) * rule.bit
        held = carries.any(axis=1) & ~(carries & ~unimportant).any(axis=1)
        raised = raised_by > 0
        ruling = np.where(raised, RAISED, np.where(held, HELD, 0)).astype(np.int8)
        return Judged(ruling=ruling, by=np.where(raised, raised_by, np.where(held, held_by, 0)))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """Rows as the rules look at them.

    Attributes:
        observed: channel units.
        size: of the expected value, channel units.
        band: channel units.
        deviation: observed - expected, channel units; NaN where one is missing.
        missing: where there is no deviation.
        outside: whether the deviation is larger than the band.
    """

    observed: Values
    size: Values
    band: Band
    deviation: Values
    missing: Mask
    outside: Mask

    @classmethod
    def of(cls, observed: Values, expected: Values, band: Band) -> "_Seen":
        there = np.isfinite(observed) & np.isfinite(expected)
        deviation = np.subtract(observed, expected, where=there, out=np.full(there.shape, np.nan))
        return cls(
            observed=observed,
            size=np.abs(expected, where=there, out=np.full(there.shape, np.nan)),
            band=band,
            deviation=deviation,
            missing=~there,
            outside=np.abs(deviation) > band,
        )


class _Applied:
    """A rule with its channels as arrays."""

    def __init__(self, bit: int, rule: Rule) -> None:
        self.bit = np.int64(bit)
        self.channels = np.array(rule.channels, dtype=np.int64)
        self._rule = rule
        self._least = rule.least_deviation > 0 or rule.least_share > 0
        self._company = bool(rule.all_of or rule.any_of)
        self.holds = rule.never_alone or self._least or rule.direction != "any" or self._company
        self.limits = rule.above < np.inf or rule.below > -np.inf

    def unimportant(self, rows: _Seen) -> Bool[np.ndarray, "n own"]:
        """Which of the rule's channels do not matter."""
        rule, own = self._rule, self.channels
        missing = rows.missing[:, own]
        if rule.never_alone:
            return ~missing
        deviation = rows.deviation[:, own]
        matters = np.ones(deviation.shape, dtype=np.bool_)
        if self._least:
            size = np.abs(deviation)
            matters &= size >= rule.least_deviation
            matters &= size >= rule.least_share * rows.size[:, own]
        elif rule.direction != "any":
            matters &= rows.outside[:, own]
        if rule.direction != "any":
            matters &= deviation > 0 if rule.direction == "high" else deviation < 0
        if self._company:
            matters &= self._has_company(rows)[:, None]
        out: Bool[np.ndarray, "n own"] = ~(matters | missing)
        return out

    def _has_company(self, rows: _Seen) -> Bool[np.ndarray, " n"]:
        deviates = rows.outside | rows.missing
        found: Bool[np.ndarray, " n"] = deviates[:, list(self._rule.all_of)].all(axis=1)
        if self._rule.any_of:
            found &= deviates[:, list(self._rule.any_of)].any(axis=1)
        return found

    def beyond(self, rows: _Seen) -> Bool[np.ndarray, " n"]:
        """Whether a value lies beyond a hard limit; a missing one does not."""
        values = rows.observed[:, self.channels]
        out = np.isfinite(values) & ((values > self._rule.above) | (values < self._rule.below))
        beyond: Bool[np.ndarray, " n"] = out.any(axis=1)
        return beyond
