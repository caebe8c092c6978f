"""What the supervisor and its scorers say of themselves. Plain values that pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, kw_only=True)
class ScorerPulse:
    """A sign of life of a scorer.

    Attributes:
        node: where its process runs, as Ray names it.
        pid: its process there.
        begun, ended: calls since it started.
    """

    node: str
    pid: int
    begun: int
    ended: int


class Mode(StrEnum):
    """Who decides how many workers of a kind there are."""

    AUTO = "auto"
    """The load does."""
    FIXED = "fixed"
    """The settings name a number."""
    MANUAL = "manual"
    """Somebody said so with `vigie scale`."""


@dataclass(frozen=True, kw_only=True)
class Headcount:
    """How many workers of a kind there are and should be.

    Attributes:
        mode: who decides.
        target: how many there should be.
        actual: how many have started and answered.
        least, most: what scaling keeps to.
    """

    mode: Mode
    target: int
    actual: int
    least: int
    most: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the number of workers, as it is told."""

    at: str
    kind: str
    before: int
    target: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Staffing:
    """What the supervisor says of itself.

    Attributes:
        partitions: of the readings, as last looked up.
        ingest, scorers: how many there are.
        replaced: workers killed or found dead, by (kind, reason).
        restarts: workers started again, by slot.
        decisions: changes of the numbers, by (kind, "out" or "in").
        last: the latest of them.
    """

    partitions: int
    ingest: Headcount
    scorers: Headcount
    replaced: Mapping[tuple[str, str], int] = field(default_factory=dict)
    restarts: Mapping[int, int] = field(default_factory=dict)
    decisions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    last: Change | None = None
