"""Rows that people took out of a history: periods to forget, and incidents that were faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from schemas.wire.deed import Deed, parse_deeds, standing_at_the_end
from schemas.wire.verdict import Fault, Forget
from workers.data.errors import FileFormatError
from workers.data.file.rows import LeftOut, Reason
from workers.data.history import BoolArray, History, SensorRows

__all__ = ["read_deeds", "without_forgotten"]


def read_deeds(path: Path) -> list[Deed]:
    """The deeds of a file, as `vigie verdict deeds` and `vigie verdict list --json` write it.

    Raises:
        FileFormatError: it cannot be read, or names the line that is no deed.
    """
    try:
        with path.open("rb") as lines:
            return parse_deeds(lines)
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise FileFormatError(
            f"{path}: {error}. vigie verdict deeds and vigie verdict list --json write such files."
        ) from error


def without_forgotten(history: History, deeds: Sequence[Deed], *, covers_ns: int = 0) -> History:
    """The history without the rows of faults and of periods to forget, counted by sensor.

    What was withdrawn counts no more. A row of a fault that is to be forgotten as well is counted
    as a fault's.

    Args:
        history: rows of sensors.
        deeds: of a file; those of other kinds take no rows.
        covers_ns: how far back from its time a row tells, as one that was resampled does.
    """
    periods = [
        (deed.sensor, deed.wish)
        for deed in standing_at_the_end(deeds)
        if isinstance(deed.wish, Fault | Forget)
    ]
    left_out: LeftOut = Counter()
    hit: set[int] = set()
    sensors = []
    for one in history.sensors:
        kept = np.ones(len(one), np.bool_)
        for kind, reason in ((Fault, Reason.FAULT), (Forget, Reason.FORGOTTEN)):
            for number, (sensor, wish) in enumerate(periods):
                if sensor == one.sensor and isinstance(wish, kind):
                    within = (one.ts_ns >= wish.start_ns) & (
                        one.ts_ns <= wish.end_ns + max(covers_ns - 1, 0)
                    )
                    if within.any():
                        hit.add(number)
                        left_out[reason, sensor] += int((within & kept).sum())
                        kept &= ~within
        sensors.append(one if kept.all() else _rows(one, kept))
    return replace(
        history,
        sensors=tuple(sensors),
        left_out=history.left_out + left_out,
        notes=(*history.notes, *_said(len(periods), len(periods) - len(hit))),
    )


def _rows(one: SensorRows, kept: BoolArray) -> SensorRows:
    return replace(
        one,
        ts_ns=one.ts_ns[kept],
        values=one.values[kept],
        labels=None if one.labels is None else one.labels[kept],
    )


def _said(periods: int, empty: int) -> list[str]:
    if not periods:
        return ["--verdicts names no fault and no period to forget"]
    if empty:
        return [f"{empty:,} of the {periods:,} periods of --verdicts hold no row"]
    return []
