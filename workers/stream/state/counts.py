"""Where the readings of a partition went, in numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields

from schemas.wire.errors import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Where the readings of a stretch of the log went: promise 2 in numbers.

    ``records`` read = records decoded + ``dead_lettered``; ``readings`` in the decoded ones =
    ``scored`` + ``warming_up`` + ``late`` + ``duplicate``. ``replayed`` records were read again
    after a restart and are in none of the others. ``forgotten`` are sensors of which something (or
    all) was forgotten when a stretch began. Retention deleted ``lost`` offsets before they were
    read, and ``clamped`` ones that a replay wanted. ``missing`` values, null in the decoded
    readings, are no readings. ``bad_decode`` and so on are the ``dead_lettered`` records by the
    stage at which they failed.
    """

    records: int = 0
    readings: int = 0
    scored: int = 0
    warming_up: int = 0
    late: int = 0
    duplicate: int = 0
    dead_lettered: int = 0
    anomalies: int = 0
    replayed: int = 0
    gaps: int = 0
    forgotten: int = 0
    lost: int = 0
    clamped: int = 0
    missing: int = 0
    bad_decode: int = 0
    bad_schema: int = 0
    bad_channels: int = 0
    bad_size: int = 0
    bad_content_type: int = 0
    bad_clock: int = 0
    bad_scoring: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Sum field by field."""
        return Counts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)}
        )

    @property
    def reconciled(self) -> bool:
        """Whether every reading is accounted for."""
        return self.readings == self.scored + self.warming_up + self.late + self.duplicate


def by_stage(stage: Stage) -> str:
    """The field of `Counts` with the dead letters of a stage."""
    return f"bad_{stage.replace('-', '_')}"
