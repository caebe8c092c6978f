"""The slow twin of `detector.rules`: one row, one channel, one rule at a time, as the text says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isnan

from detector.rules import CARRIES, HELD, JOINS, RAISED, Rule


@dataclass(frozen=True)
class Row:
    """One row, by channel."""

    observed: Sequence[float]
    expected: Sequence[float]
    band: Sequence[float]
    contribution: Sequence[float]

    def missing(self, c: int) -> bool:
        return not (isfinite(self.observed[c]) and isfinite(self.expected[c]))

    def outside(self, c: int) -> bool:
        return not self.missing(c) and abs(self.observed[c] - self.expected[c]) > self.band[c]

    def beyond(self, c: int, rule: Rule) -> bool:
        value = self.observed[c]
        return isfinite(value) and (value > rule.above or value < rule.below)

    def carriers(self) -> set[int]:
        parts = self.contribution
        largest = max((part for part in parts if not isnan(part)), default=0.0)
        return {
            c
            for c, part in enumerate(parts)
            if part > 0
            and (part >= CARRIES * largest or (self.outside(c) and part >= JOINS * largest))
        }

    def keeps(self, c: int, rule: Rule) -> list[bool]:
        """Each condition of a rule, of a channel that is not missing."""
        deviation = self.observed[c] - self.expected[c]
        has_least = rule.least_deviation > 0 or rule.least_share > 0
        by_direction = {
            "any": True,
            "high": deviation > 0 and (has_least or self.outside(c)),
            "low": deviation < 0 and (has_least or self.outside(c)),
        }
        return [
            not rule.never_alone,
            abs(deviation) >= rule.least_deviation,
            abs(deviation) >= rule.least_share * abs(self.expected[c]),
            by_direction[rule.direction],
            all(self.outside(other) or self.missing(other) for other in rule.all_of),
            not rule.any_of
            or any(self.outside(other) or self.missing(other) for other in rule.any_of),
        ]


def judge_row(rules: Sequence[tuple[int, Rule]], row: Row) -> tuple[int, set[int]]:
    """The ruling of a row, and the places of the rules that did it."""
    raising = {
        place
        for place, rule in rules
        if any(row.beyond(channel, rule) for channel in rule.channels)
    }
    if raising:
        return RAISED, raising
    carriers = row.carriers()
    holding = {
        (place, channel)
        for place, rule in rules
        for channel in carriers.intersection(rule.channels)
        if not row.missing(channel) and not all(row.keeps(channel, rule))
    }
    if carriers and carriers == {channel for _, channel in holding}:
        return HELD, {place for place, _ in holding}
    return 0, set()
