"""How rare an incident is, and which way its main channel went: words for people."""

import math
from enum import IntEnum, StrEnum

LEAST_P_VALUE = 1e-12
"""No history speaks of rarer things."""


class Severity(IntEnum):
    """By the p-value: the share of normal readings expected to open an incident like it.

    It is measured by the budget, which says how rare a false incident is that the operator
    accepts: an incident a thousand times rarer is seldom a false one, whatever the budget.
    """

    LOW = 1
    """As rare as a false incident of the budget, or up to 10 times rarer."""
    MEDIUM = 2
    """10 to 1,000 times rarer."""
    HIGH = 3
    """1,000 times rarer or more."""

    @classmethod
    def of(cls, p_value: float, rate: float) -> "Severity":
        """Severity of an incident.

        Args:
            p_value: of its peak, 0..1.
            rate: false incidents a reading that the budget allows.

        Raises:
            ValueError: a number is out of range.
        """
        if not (0.0 <= p_value <= 1.0 and 0.0 < rate < 1.0):
            raise ValueError(
                f"needs a p-value in 0..1 and a rate between 0 and 1, got {p_value}, {rate}"
            )
        if p_value <= rate / 1_000:
            return cls.HIGH
        return cls.MEDIUM if p_value <= rate / 10 else cls.LOW

    @property
    def word(self) -> str:
        """What people read: "low", "medium" or "high"."""
        return self.name.lower()


def tail_p_value(strength: float, rate: float) -> float:
    """Share of normal readings that open an incident of at least this strength.

    The tail beyond the bar is exponential, as the rule takes it: each slope is a factor e.

    Args:
        strength: tail slopes beyond the bar; an incident's peak.
        rate: false incidents a reading that the budget allows; the share at strength 0.
    """
    return max(LEAST_P_VALUE, rate * math.exp(-max(strength, 0.0)))


class Direction(StrEnum):
    """Which way a channel left what was expected of it."""

    HIGH = "high"
    """Above its band."""
    LOW = "low"
    """Below its band."""
    PATTERN = "pattern"
    """Within its band: not the value is unusual, but its course or its company."""

    @classmethod
    def of(cls, observed: float, expected: float, band: float) -> "Direction":
        """Direction of one reading of the main channel.

        Args:
            observed: channel units; NaN is missing.
            expected: channel units.
            band: half the width of the normal band around the expected value, 0 or more.
        """
        if observed > expected + band:
            return cls.HIGH
        return cls.LOW if observed < expected - band else cls.PATTERN
