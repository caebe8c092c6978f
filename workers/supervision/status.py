"""What the supervisor says of itself, and what may be asked of it. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, StrictInt, model_validator


class Kind(StrEnum):
    """The kinds of workers."""

    INGEST = "ingest"
    SCORERS = "scorers"


class Mode(StrEnum):
    """Who decides how many workers of a kind there are."""

    AUTO = "auto"
    """The load does."""
    FIXED = "fixed"
    """The settings name a number."""
    MANUAL = "manual"
    """Somebody said so with `vigie scale`."""


class ScaleRequest(BaseModel):
    """How many workers somebody asks for: a number that stays, or auto, so that the load decides.

    A kind that is left out stays as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ingest: StrictInt | Literal["auto"] | None = None
    scorers: StrictInt | Literal["auto"] | None = None

    @model_validator(mode="after")
    def _something(self) -> ScaleRequest:
        if self.ingest is None and self.scorers is None:
            raise ValueError('name "ingest", "scorers" or both')
        return self


@dataclass(frozen=True, kw_only=True)
class WorkerCount:
    """How many workers of a kind there should be and have answered, and what scaling keeps to.

    `room` is how many the cluster had room for when it last lacked room for one more; None where
    that is not known.
    """

    mode: Mode
    target: int
    actual: int
    least: int
    most: int
    room: int | None = None

    @property
    def possible(self) -> int:
        """How many there can be as things are: no load brings more."""
        if self.mode is not Mode.AUTO:
            return self.target
        return self.most if self.room is None else min(self.most, self.room)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the number of workers, as it is shown."""

    at: str
    kind: str
    before: int
    target: int
    text: str


@dataclass(frozen=True, kw_only=True)
class ScalingStatus:
    """What the supervisor says of itself.

    Attributes:
        partitions: of the readings, as last looked up.
        ingest, scorers: how many there are.
        replaced: workers killed or found dead, by (kind, reason).
        restarts: ingest workers started again, by slot.
        decisions: changes of the numbers, by (kind, "out" or "in").
        last: the latest of them.
    """

    partitions: int
    ingest: WorkerCount
    scorers: WorkerCount
    replaced: Mapping[tuple[str, str], int] = field(default_factory=dict)
    restarts: Mapping[int, int] = field(default_factory=dict)
    decisions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    last: Change | None = None
