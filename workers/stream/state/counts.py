"""Where the readings of a part of the log went, in numbers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from schemas.wire.errors import Stage
from schemas.wire.incident import EndReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Where the readings of a part of the log went: promise 2 in numbers.

    ``records`` read = records decoded + ``dead_lettered``; ``readings`` in the decoded ones =
    ``scored`` + ``warming_up`` + ``late`` + ``duplicate``. Of the scored ones ``scored_partially``
    had a window shorter than the model's receptive field. ``restored`` records were read again
    after a restart and are in none of the others. ``forgotten`` are sensors of which something (or
    all) was forgotten when a TTL window began. Retention deleted ``lost`` offsets before they were
    read, and ``clamped`` ones that a restore wanted. ``missing`` values, null in the decoded
    readings, are no readings. ``bad`` are the ``dead_lettered`` records by the stage at which they
    failed; stages without any are absent. Of the scored ones ``held_back`` lie over their bar and
    a rule beside the model holds them back, and ``off`` are not judged. ``incidents_opened``
    opened, and ``resolved`` ended, by reason; reasons without any are absent.

    Of `vigie repartition`, in records: ``records`` = ``written`` + held + ``dead_lettered``; of
    the written ones ``late`` came too late to be put in order, and ``early`` went on before their
    time, as more lay behind them than may be held.
    """

    records: int = 0
    readings: int = 0
    scored: int = 0
    scored_partially: int = 0
    warming_up: int = 0
    late: int = 0
    duplicate: int = 0
    dead_lettered: int = 0
    anomalies: int = 0
    restored: int = 0
    gaps: int = 0
    forgotten: int = 0
    lost: int = 0
    clamped: int = 0
    missing: int = 0
    written: int = 0
    early: int = 0
    held_back: int = 0
    off: int = 0
    incidents_opened: int = 0
    bad: Mapping[Stage, int] = field(default_factory=dict)
    resolved: Mapping[EndReason, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        """Sum field by field."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in NUMBERS}
        return Counts(
            **sums,
            bad=dict(Counter(self.bad) + Counter(other.bad)),
            resolved=dict(Counter(self.resolved) + Counter(other.resolved)),
        )

    @property
    def reconciled(self) -> bool:
        """Whether every reading is accounted for."""
        return self.readings == self.scored + self.warming_up + self.late + self.duplicate


NUMBERS = tuple(f.name for f in fields(Counts) if f.name not in {"bad", "resolved"})
"""The fields of `Counts` that are one number."""
